//! The certificates that were issued: records, lists, one in detail.

use std::sync::Arc;

use bowline_store::Key;
use bowline_x509::{Certificate, SerialNumber, Time};
use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::error::Error;
use crate::inspect::{CertificateDetails, details};
use crate::keyspace;
use crate::operation::Operation;
use crate::record::Record;
use crate::revocation::RevocationRecord;
use crate::service::Service;
use crate::wire::base64_bytes;

/// A certificate as the store keeps it. Never changed: a revocation is a record of its own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateRecord {
    #[serde(with = "base64_bytes")]
    pub(crate) certificate: Vec<u8>,
    pub(crate) name: String,
    pub(crate) authority: String,
    pub(crate) certificate_profile: String,
    pub(crate) issued: Time,
    #[serde(default)]
    pub(crate) renews: Option<String>,
}

impl Record for CertificateRecord {
    const WHAT: &'static str = "certificate record";
}

impl CertificateRecord {
    pub(crate) fn parsed(&self) -> Result<Certificate, Error> {
        Certificate::from_der(&self.certificate).map_err(|error| {
            Error::internal(format!("a stored certificate does not read: {error}"))
        })
    }
}

/// Whether a certificate can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateStatus {
    /// Its time has not come.
    NotYetValid,
    /// It can.
    Valid,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl CertificateStatus {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            CertificateStatus::NotYetValid => "not yet valid",
            CertificateStatus::Valid => "valid",
            CertificateStatus::Expired => "expired",
            CertificateStatus::Revoked => "revoked",
        }
    }
}

/// A line of the inventory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CertificateSummary {
    /// Its serial number in hex.
    pub serial: String,
    /// The name it was issued for.
    pub name: String,
    /// Its subject, RFC 4514.
    pub subject: String,
    /// Its subject alternative names.
    pub names: Vec<String>,
    /// The authority that signed it.
    pub authority: String,
    /// The certificate profile.
    pub certificate_profile: String,
    /// When it was issued.
    pub issued: Time,
    /// The last second it is good for.
    pub not_after: Time,
    /// Whether it can be used.
    pub status: CertificateStatus,
    /// When it was revoked, and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked: Option<RevocationRecord>,
}

/// Lists certificates in the order of their ends.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListCertificates {
    /// Only those issued for this name.
    pub name: Option<String>,
    /// Also those whose time is over.
    pub expired: bool,
    /// How many at most; 100 if not given, 1,000 at most.
    pub limit: Option<usize>,
    /// Where the last page ended.
    pub after: Option<String>,
}

/// A page of certificates.
#[derive(Debug, Serialize, Deserialize)]
pub struct CertificatePage {
    /// The certificates.
    pub certificates: Vec<CertificateSummary>,
    /// What to give as `after` for the next page, if there is one.
    pub next: Option<String>,
}

impl Operation for ListCertificates {
    const NAME: &'static str = "list-certificates";
    type Answer = CertificatePage;

    fn run(self, service: &Service, caller: &Caller) -> Result<CertificatePage, Error> {
        service.authorize(caller, "bowline:ListCertificates", "*")?;
        service.settings()?;
        let now = service.now();
        let limit = self.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
        let prefix = match &self.name {
            Some(name) => keyspace::certificates_by_name(name)?,
            None => keyspace::certificates_by_end(),
        };
        // Under either prefix come eight bytes of the end, then the serial.
        let start = match &self.after {
            Some(after) => {
                let rest = hex::decode(after).map_err(|_| Error::PageUnknown)?;
                Some(prefixed(&prefix, &rest)?)
            }
            None if self.expired => None,
            None => Some(prefixed(&prefix, &keyspace::time_bytes(now))?),
        };
        let page = service.store.scan(&prefix, start.as_ref(), limit)?;
        let next = match page.last() {
            Some((key, _)) if page.len() == limit => {
                Some(hex::encode(&key.as_bytes()[prefix.len()..]))
            }
            Some(_) | None => None,
        };
        let mut certificates = Vec::with_capacity(page.len());
        for (key, _) in &page {
            let serial = serial_at_end(&prefix, key)?;
            certificates.push(service.summary(&*service.certificate_record(&serial)?, now)?);
        }
        Ok(CertificatePage { certificates, next })
    }
}

fn prefixed(prefix: &Key, rest: &[u8]) -> Result<Key, Error> {
    let mut bytes = prefix.as_bytes().to_vec();
    bytes.extend_from_slice(rest);
    Key::new(bytes).map_err(|_| Error::PageUnknown)
}

/// The serial number in an index key: what follows the prefix and eight bytes of time.
fn serial_at_end(prefix: &Key, key: &Key) -> Result<SerialNumber, Error> {
    let end = (prefix.len() + keyspace::TIME_LEN).min(key.len());
    let longer = prefixed(&Key::empty(), &key.as_bytes()[..end])?;
    keyspace::serial_after(&longer, key)
}

impl Service {
    /// The record of a certificate we issued.
    pub(crate) fn certificate_record(
        &self,
        serial: &SerialNumber,
    ) -> Result<Arc<CertificateRecord>, Error> {
        let key = keyspace::certificate(serial);
        match self.store.get(&key)? {
            // Not through the cache: certificates are many, and each is rarely read twice.
            Some(value) => Ok(Arc::new(CertificateRecord::decode(&key, &value)?)),
            None => {
                self.settings()?;
                Err(Error::CertificateUnknown {
                    what: format!("0x{}", serial.to_hex()),
                })
            }
        }
    }

    pub(crate) fn summary(
        &self,
        record: &CertificateRecord,
        now: Time,
    ) -> Result<CertificateSummary, Error> {
        let certificate = record.parsed()?;
        let revoked = self.revocation_of(record, &certificate)?;
        let validity = certificate.validity();
        let status = if revoked.is_some() {
            CertificateStatus::Revoked
        } else if now < validity.not_before {
            CertificateStatus::NotYetValid
        } else if validity.not_after < now {
            CertificateStatus::Expired
        } else {
            CertificateStatus::Valid
        };
        Ok(CertificateSummary {
            serial: certificate.serial().to_hex(),
            name: record.name.clone(),
            subject: certificate.subject().to_string(),
            names: certificate
                .subject_alt_names()
                .iter()
                .map(ToString::to_string)
                .collect(),
            authority: record.authority.clone(),
            certificate_profile: record.certificate_profile.clone(),
            issued: record.issued,
            not_after: validity.not_after,
            status,
            revoked,
        })
    }

    pub(crate) fn revocation_of(
        &self,
        record: &CertificateRecord,
        certificate: &Certificate,
    ) -> Result<Option<RevocationRecord>, Error> {
        let authority = self.authority_record(&record.authority)?;
        self.revocation(
            &authority.authority()?.public_key().key_id(),
            certificate.serial(),
        )
    }

    /// Every certificate of a name whose time is not over, first the one that ends first.
    pub(crate) fn unexpired_by_name(
        &self,
        name: &str,
        now: Time,
    ) -> Result<Vec<CertificateRecord>, Error> {
        let prefix = keyspace::certificates_by_name(name)?;
        let mut after = Some(prefixed(&prefix, &keyspace::time_bytes(now))?);
        let mut records = Vec::new();
        loop {
            let page = self.store.scan(&prefix, after.as_ref(), PAGE_MAX)?;
            for (key, _) in &page {
                let key = keyspace::certificate(&serial_at_end(&prefix, key)?);
                if let Some(value) = self.store.get(&key)? {
                    records.push(CertificateRecord::decode(&key, &value)?);
                }
            }
            if page.len() < PAGE_MAX {
                return Ok(records);
            }
            after = page.into_iter().next_back().map(|(key, _)| key);
        }
    }
}

/// Shows a certificate: by serial number, or the latest of a name.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowCertificate {
    /// `0x…`, a serial with colons, or a name.
    pub certificate: String,
}

/// A certificate in detail.
#[derive(Debug, Serialize, Deserialize)]
pub struct CertificateView {
    /// Its line of the inventory.
    #[serde(flatten)]
    pub summary: CertificateSummary,
    /// The serial number of the certificate it renews.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub renews: Option<String>,
    /// What it says.
    pub details: CertificateDetails,
    /// The certificate, DER.
    #[serde(with = "base64_bytes")]
    pub certificate: Vec<u8>,
}

impl Operation for ShowCertificate {
    const NAME: &'static str = "show-certificate";
    type Answer = CertificateView;

    fn run(self, service: &Service, caller: &Caller) -> Result<CertificateView, Error> {
        service.authorize(caller, "acm-pca:GetCertificate", "*")?;
        let now = service.now();
        let record = match serial_of(&self.certificate)? {
            Some(serial) => service.certificate_record(&serial)?,
            None => {
                let prefix = keyspace::certificates_by_name(&self.certificate)?;
                service.settings()?;
                let mut latest = None;
                let mut after: Option<Key> = None;
                loop {
                    let page = service.store.scan(&prefix, after.as_ref(), PAGE_MAX)?;
                    latest = page.last().map(|(key, _)| key.clone()).or(latest);
                    if page.len() < PAGE_MAX {
                        break;
                    }
                    after.clone_from(&latest);
                }
                let latest = latest.ok_or_else(|| Error::CertificateUnknown {
                    what: self.certificate.clone(),
                })?;
                service.certificate_record(&serial_at_end(&prefix, &latest)?)?
            }
        };
        Ok(CertificateView {
            summary: service.summary(&record, now)?,
            renews: record.renews.clone(),
            details: details(&record.parsed()?),
            certificate: record.certificate.clone(),
        })
    }
}

/// The serial number, if the text is written as one: `0x…` or with colons. Anything else is a name.
pub(crate) fn serial_of(text: &str) -> Result<Option<SerialNumber>, Error> {
    let written_as_serial = text.starts_with("0x")
        || text.starts_with("0X")
        || (text.contains(':')
            && text
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b':'));
    if !written_as_serial {
        return Ok(None);
    }
    Ok(Some(text.parse()?))
}

/// How many certificates a page has unless more are asked for.
const PAGE_DEFAULT: usize = 100;
/// How many certificates a page has at most: what one scan of the store returns.
const PAGE_MAX: usize = bowline_store::SCAN_RECORDS_MAX;
