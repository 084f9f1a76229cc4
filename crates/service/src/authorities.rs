//! The authorities of a home: their records, and what anybody may know of them.

use std::sync::OnceLock;

use bowline_ca::{Authority, AuthorityUrls};
use bowline_x509::{Certificate, Time, pem};
use serde::{Deserialize, Serialize};

use crate::cache::Loaded;
use crate::caller::Caller;
use crate::error::Error;
use crate::keyspace;
use crate::operation::Operation;
use crate::record::Record;
use crate::service::Service;
use crate::wire::{base64_bytes, base64_list};

/// The id of the root.
pub(crate) const ROOT: &str = "root";
/// The id of the authority that issues workload certificates.
pub(crate) const ISSUING: &str = "issuing";
/// The id of the authority that issues operator certificates and nothing else, so that no workload
/// certificate can ever become an operator's.
pub(crate) const OPERATORS: &str = "operators";

/// Where an authority stands in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorityKind {
    /// Signed by itself.
    Root,
    /// Signed by another.
    Subordinate,
}

/// Where an authority's private key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyLocation {
    /// In this home, sealed.
    Sealed,
    /// Not in this home.
    Offline,
}

/// An authority as the store keeps it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthorityRecord {
    pub(crate) id: String,
    pub(crate) kind: AuthorityKind,
    pub(crate) key: KeyLocation,
    #[serde(with = "base64_bytes")]
    pub(crate) certificate: Vec<u8>,
    /// From the next one up to the root.
    #[serde(with = "base64_list")]
    pub(crate) chain: Vec<Vec<u8>>,
    #[serde(default)]
    pub(crate) crl_url: Option<String>,
    #[serde(default)]
    pub(crate) certificate_url: Option<String>,
    pub(crate) created: Time,
    pub(crate) revision: u64,
    /// Parsed once, with every link of the chain checked.
    #[serde(skip)]
    built: OnceLock<Authority>,
}

impl Record for AuthorityRecord {
    const WHAT: &'static str = "authority record";
}

impl AuthorityRecord {
    pub(crate) fn new(
        id: &str,
        kind: AuthorityKind,
        authority: &Authority,
        key: KeyLocation,
        now: Time,
    ) -> AuthorityRecord {
        AuthorityRecord {
            id: id.into(),
            kind,
            key,
            certificate: authority.certificate().der().to_vec(),
            chain: authority
                .chain()
                .iter()
                .map(|certificate| certificate.der().to_vec())
                .collect(),
            crl_url: authority.urls().map(|urls| urls.crl.clone()),
            certificate_url: authority.urls().map(|urls| urls.ca_certificate.clone()),
            created: now,
            revision: 1,
            built: OnceLock::new(),
        }
    }

    /// The authority, ready to draft under.
    pub(crate) fn authority(&self) -> Result<&Authority, Error> {
        if let Some(authority) = self.built.get() {
            return Ok(authority);
        }
        let certificate = parse(&self.certificate)?;
        let chain = self
            .chain
            .iter()
            .map(|der| parse(der))
            .collect::<Result<Vec<_>, _>>()?;
        let urls = match (&self.crl_url, &self.certificate_url) {
            (Some(crl), Some(ca_certificate)) => Some(AuthorityUrls {
                crl: crl.clone(),
                ca_certificate: ca_certificate.clone(),
            }),
            (None | Some(_), None) | (None, Some(_)) => None,
        };
        let authority = Authority::new(certificate, chain, urls)?;
        Ok(self.built.get_or_init(|| authority))
    }

    pub(crate) fn view(&self) -> Result<AuthorityView, Error> {
        let certificate = parse(&self.certificate)?;
        let key = certificate
            .public_key()
            .map_or_else(ToString::to_string, |key| key.algorithm().to_string());
        Ok(AuthorityView {
            id: self.id.clone(),
            kind: self.kind,
            key: self.key,
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            serial: certificate.serial().to_hex(),
            key_algorithm: key,
            not_before: certificate.validity().not_before,
            not_after: certificate.validity().not_after,
            fingerprint: hex::encode(certificate.fingerprint()),
            crl_url: self.crl_url.clone(),
            certificate_url: self.certificate_url.clone(),
            certificate: self.certificate.clone(),
        })
    }
}

fn parse(der: &[u8]) -> Result<Certificate, Error> {
    Certificate::from_der(der).map_err(|error| {
        Error::internal(format!(
            "the certificate of an authority does not read: {error}"
        ))
    })
}

/// What anybody may know of an authority.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuthorityView {
    /// Its id: `issuing`.
    pub id: String,
    /// Root or subordinate.
    pub kind: AuthorityKind,
    /// Where its key is.
    pub key: KeyLocation,
    /// Its subject, RFC 4514.
    pub subject: String,
    /// Its issuer, RFC 4514.
    pub issuer: String,
    /// Its serial number in hex.
    pub serial: String,
    /// The kind of its key.
    pub key_algorithm: String,
    /// The first second it is good for.
    pub not_before: Time,
    /// The last second it is good for.
    pub not_after: Time,
    /// SHA-256 of its certificate, in hex.
    pub fingerprint: String,
    /// Where its CRL is fetched, as written into certificates.
    pub crl_url: Option<String>,
    /// Where its certificate is fetched, as written into certificates.
    pub certificate_url: Option<String>,
    /// Its certificate, DER.
    #[serde(with = "base64_bytes")]
    pub certificate: Vec<u8>,
}

impl AuthorityView {
    /// The certificate as PEM.
    pub fn pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.certificate)
    }
}

impl Service {
    /// The record of an authority; an error that lists those there are.
    pub(crate) fn authority_record(&self, id: &str) -> Result<Loaded<AuthorityRecord>, Error> {
        match self.load::<AuthorityRecord>(&keyspace::authority(id)?)? {
            Some(record) => Ok(record),
            None => {
                self.settings()?;
                let known = self.load_all::<AuthorityRecord>(&keyspace::authorities())?;
                Err(Error::AuthorityUnknown {
                    name: id.into(),
                    known: known.into_iter().map(|record| record.id).collect(),
                })
            }
        }
    }
}

/// Lists the authorities, root first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListAuthorities {}

impl Operation for ListAuthorities {
    const NAME: &'static str = "list-authorities";
    type Answer = Vec<AuthorityView>;

    /// Needs no permission: certificates of authorities are public.
    fn run(self, service: &Service, _caller: &Caller) -> Result<Vec<AuthorityView>, Error> {
        service.settings()?;
        let records = service.load_all::<AuthorityRecord>(&keyspace::authorities())?;
        let mut views = records
            .iter()
            .map(AuthorityRecord::view)
            .collect::<Result<Vec<_>, _>>()?;
        views.sort_by_key(|view| (view.kind == AuthorityKind::Subordinate, view.id.clone()));
        Ok(views)
    }
}

/// Shows one authority.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowAuthority {
    /// Its id.
    pub authority: String,
}

impl Operation for ShowAuthority {
    const NAME: &'static str = "show-authority";
    type Answer = AuthorityView;

    /// Needs no permission: certificates of authorities are public.
    fn run(self, service: &Service, _caller: &Caller) -> Result<AuthorityView, Error> {
        service.authority_record(&self.authority)?.view()
    }
}

/// Gives the roots as PEM: what a client is told to trust.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowBundle {}

/// The roots.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bundle {
    /// All of them, one after the other.
    pub pem: String,
    /// SHA-256 of each, in hex.
    pub fingerprints: Vec<String>,
}

impl Operation for ShowBundle {
    const NAME: &'static str = "show-bundle";
    type Answer = Bundle;

    /// Needs no permission: roots are public.
    fn run(self, service: &Service, caller: &Caller) -> Result<Bundle, Error> {
        let mut roots = ListAuthorities {}.run(service, caller)?;
        roots.retain(|view| view.kind == AuthorityKind::Root);
        Ok(Bundle {
            pem: roots.iter().map(AuthorityView::pem).collect(),
            fingerprints: roots.into_iter().map(|view| view.fingerprint).collect(),
        })
    }
}
