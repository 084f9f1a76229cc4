//! Revoking: one record, whose presence ends the certificate and every session it was traded for.

use std::collections::BTreeSet;

use bowline_store::{Commit, StoreError};
use bowline_x509::{RevocationReason, SerialNumber, Time};
use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::caller::Caller;
use crate::error::Error;
use crate::inventory::{CertificateRecord, CertificateSummary, serial_of};
use crate::keyspace;
use crate::operation::Operation;
use crate::record::Record;
use crate::service::Service;

/// That, when and why a certificate was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationRecord {
    /// Since when.
    pub at: Time,
    /// Why (RFC 5280 §5.3.1).
    pub reason: RevocationReason,
    /// The last second the certificate would have been good for; after it the CRL need not list it.
    pub not_after: Time,
}

impl Record for RevocationRecord {
    const WHAT: &'static str = "revocation";
}

/// Revokes a certificate by its serial number, or all unexpired certificates of a name.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeCertificate {
    /// `0x…`, a serial with colons, or a name.
    pub certificate: String,
    /// Why.
    pub reason: RevocationReason,
}

/// What was revoked.
#[derive(Debug, Serialize, Deserialize)]
pub struct RevokedCertificates {
    /// The certificates that are revoked now and were not before.
    pub revoked: Vec<CertificateSummary>,
    /// Those that had been revoked already; they keep their time and reason.
    pub already_revoked: Vec<CertificateSummary>,
}

impl Operation for RevokeCertificate {
    const NAME: &'static str = "revoke-certificate";
    type Answer = RevokedCertificates;

    fn run(self, service: &Service, caller: &Caller) -> Result<RevokedCertificates, Error> {
        let settings = service.settings()?;
        let now = service.now();
        if !matches!(caller, Caller::Operator | Caller::Session { .. }) {
            // Nobody without credentials learns what exists.
            service.authorize(caller, "acm-pca:RevokeCertificate", "*")?;
        }
        if self.reason == RevocationReason::RemoveFromCrl {
            return Err(Error::ReasonNotARevocation);
        }
        let records = service.named_or_numbered(&self.certificate, now)?;
        let authorities: BTreeSet<&str> = records
            .iter()
            .map(|record| record.authority.as_str())
            .collect();
        if authorities.is_empty() {
            service.authorize(caller, "acm-pca:RevokeCertificate", "*")?;
            return Err(Error::CertificateUnknown {
                what: self.certificate,
            });
        }
        for authority in authorities {
            service.authorize(
                caller,
                "acm-pca:RevokeCertificate",
                &settings.authority_arn(authority),
            )?;
        }
        let mut answer = RevokedCertificates {
            revoked: Vec::new(),
            already_revoked: Vec::new(),
        };
        for record in &records {
            let fresh = service.revoke(record, self.reason, caller, now)?;
            let summary = service.summary(record, now)?;
            if fresh {
                answer.revoked.push(summary);
            } else {
                answer.already_revoked.push(summary);
            }
        }
        Ok(answer)
    }
}

impl Service {
    /// A certificate by its serial number with all that renewed it since, or else the unexpired ones of a name. A thief
    /// who renewed a stolen certificate to a key of his own must lose that one too.
    fn named_or_numbered(&self, text: &str, now: Time) -> Result<Vec<CertificateRecord>, Error> {
        // A name may be written like a serial number; the number goes first.
        let Some(serial) = serial_of(text).or_else(|error| {
            if text.contains(':') {
                Ok(None)
            } else {
                Err(error)
            }
        })?
        else {
            return self.unexpired_by_name(text, now);
        };
        let mut records: Vec<CertificateRecord> = Vec::new();
        let mut waiting = vec![serial];
        while let Some(serial) = waiting.pop() {
            let key = keyspace::certificate(&serial);
            let Some(value) = self.store.get(&key)? else {
                continue;
            };
            let record = CertificateRecord::decode(&key, &value)?;
            // The one named is revoked even if its time is over; what came of it only while it can be used.
            if records.is_empty() || now <= record.parsed()?.validity().not_after {
                records.push(record);
            }
            waiting.extend(self.renewals(&serial)?);
        }
        if records.is_empty() {
            return self.unexpired_by_name(text, now);
        }
        Ok(records)
    }

    /// The serial numbers of the certificates that renewed one.
    fn renewals(&self, serial: &SerialNumber) -> Result<Vec<SerialNumber>, Error> {
        let prefix = keyspace::renewals(serial);
        let page = self
            .store
            .scan(&prefix, None, bowline_store::SCAN_RECORDS_MAX)?;
        page.iter()
            .map(|(key, _)| keyspace::serial_after(&prefix, key))
            .collect()
    }

    /// Revokes one certificate; `false` if it was revoked before. One commit each, so that of many
    /// certificates of a name those acknowledged are revoked whatever happens to the rest.
    fn revoke(
        &self,
        record: &CertificateRecord,
        reason: RevocationReason,
        caller: &Caller,
        now: Time,
    ) -> Result<bool, Error> {
        let certificate = record.parsed()?;
        let authority = self.authority_record(&record.authority)?;
        let issuer = authority.authority()?.public_key().key_id();
        let key = keyspace::revocation(&issuer, certificate.serial());
        let revocation = RevocationRecord {
            at: now,
            reason,
            not_after: certificate.validity().not_after,
        };
        let event = Event::CertificateRevoked {
            serial: certificate.serial().to_hex(),
            subject: certificate.subject().to_string(),
            authority: record.authority.clone(),
            reason: reason.to_string(),
        };
        let commit = Commit::new()
            .from_reserve()
            .expect_absent(key.clone())
            .put(key, revocation.encode()?);
        let outcome = self.commit(commit, caller, now, event);
        // Whatever the outcome: it may have been applied, now or by somebody else.
        self.revocation_lists.changed(&record.authority);
        match outcome {
            Ok(()) => Ok(true),
            // "Revoked before" is said only of a revocation that is there to be read.
            Err(Error::Store(StoreError::Conflict { key })) => {
                match self.revocation(&issuer, certificate.serial())? {
                    Some(_) => Ok(false),
                    None => Err(Error::Store(StoreError::Conflict { key })),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// The revocation of a certificate, by the key that signed it and its serial number.
    pub(crate) fn revocation(
        &self,
        issuer_key_id: &[u8],
        serial: &SerialNumber,
    ) -> Result<Option<RevocationRecord>, Error> {
        let key = keyspace::revocation(issuer_key_id, serial);
        self.store
            .get(&key)?
            .map(|value| RevocationRecord::decode(&key, &value))
            .transpose()
    }
}
