//! Revoking: one record, whose presence ends the certificate and every session it was traded for.

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
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
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
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RevokeCertificate {
    /// `0x…`, a serial with colons, or a name.
    pub certificate: String,
    /// Why.
    pub reason: RevocationReason,
}

/// What was revoked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
        let records = match serial_of(&self.certificate)? {
            Some(serial) => {
                let key = keyspace::certificate(&serial);
                let value = service.store.get(&key)?;
                value
                    .map(|value| CertificateRecord::decode(&key, &value))
                    .transpose()?
                    .into_iter()
                    .collect()
            }
            None => service.unexpired_by_name(&self.certificate, now)?,
        };
        // Asked before anything is said about what exists.
        let authorities: std::collections::BTreeSet<&str> = records
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
                answer.revoked.push(summary)
            } else {
                answer.already_revoked.push(summary)
            }
        }
        Ok(answer)
    }
}

impl Service {
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
        let key = keyspace::revocation(authority.authority()?.key_id(), certificate.serial());
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
            .expect_absent(key.clone())
            .put(key, revocation.encode()?);
        match self.commit(commit, caller, now, event) {
            Ok(()) => {
                self.revocation_lists.changed(&record.authority);
                Ok(true)
            }
            Err(Error::Store(StoreError::Conflict { .. })) => Ok(false),
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
