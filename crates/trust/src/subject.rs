//! Who a certificate is, in the words of roles and policies: tags, source identity, session name.

use std::fmt;

use aws_lc_rs::digest;
use bowline_policy::Tag;
use bowline_x509::path::VerifiedPath;
use bowline_x509::{Certificate, DistinguishedName, PublicKey};

use crate::claims::CertificateClaim;
use crate::ids::Uuid;
use crate::mapping::{AttributeMappings, DroppedTag};
use crate::record::SESSION_NAME;

/// The subject of a verified certificate.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its id, derived from the name: every certificate of one subject has the same.
    pub id: Uuid,
    /// Its name.
    pub name: DistinguishedName,
    /// The session tags that the profile's rules make of the certificate.
    pub tags: Vec<Tag>,
    /// What the rules asked for and no session can carry.
    pub dropped: Vec<DroppedTag>,
    /// Who the sessions say is behind them.
    pub source_identity: String,
    /// Which rule made the source identity.
    pub source_identity_from: SourceIdentityFrom,
    /// The name of a session that nobody named: the serial number in hex.
    pub default_session_name: String,
    /// Which certificate spoke for the subject.
    pub certificate: CertificateClaim,
}

/// Which rule made a source identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceIdentityFrom {
    /// `CN=` and the common name.
    CommonName,
    /// The common name alone, because `CN=` would make it too long.
    BareCommonName,
    /// `ID=` and the serial number in hex, and why not the common name.
    Serial {
        /// What kept the common name from being used.
        why: &'static str,
    },
}

impl fmt::Display for SourceIdentityFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceIdentityFrom::CommonName => f.write_str("the common name"),
            SourceIdentityFrom::BareCommonName => {
                f.write_str("the common name, too long for its prefix")
            }
            SourceIdentityFrom::Serial { why } => write!(f, "the serial number: {why}"),
        }
    }
}

impl Subject {
    /// Reads the subject of a path's leaf under a profile's rules.
    pub fn from_path(path: &VerifiedPath, mappings: &AttributeMappings) -> Subject {
        let leaf = path.leaf();
        // The issuer stands next in a path. Where its key cannot be read nothing could have been verified.
        let issuer_key_id = path
            .certificates()
            .get(1)
            .and_then(|issuer| issuer.public_key().ok())
            .map_or([0; 20], PublicKey::key_id);
        Subject::from_certificate(leaf, issuer_key_id, mappings)
    }

    pub(crate) fn from_certificate(
        leaf: &Certificate,
        issuer_key_id: [u8; 20],
        mappings: &AttributeMappings,
    ) -> Subject {
        let (tags, dropped) = mappings.tags(leaf);
        let serial = leaf.serial().to_hex();
        let (source_identity, source_identity_from) = source_identity(leaf.subject(), &serial);
        Subject {
            id: subject_id(leaf.subject()),
            name: leaf.subject().clone(),
            tags,
            dropped,
            source_identity,
            source_identity_from,
            default_session_name: serial,
            certificate: CertificateClaim {
                issuer_key_id,
                serial: leaf.serial().clone(),
                fingerprint: leaf.fingerprint(),
                not_after: Some(leaf.validity().not_after),
            },
        }
    }
}

/// The id of a subject, from SHA-256 of its name in DER: stable, and known without a record.
pub fn subject_id(name: &DistinguishedName) -> Uuid {
    let hash = digest::digest(&digest::SHA256, name.as_der());
    // Cannot fail: SHA-256 has 32 bytes.
    Uuid::from_hash(hash.as_ref().try_into().expect("a hash of 32 bytes"))
}

/// The source identity of a subject: its common name where exactly one fits, else the certificate's serial number.
///
/// Two subjects must not share an identity that one of them chose: so a bare common name never begins like the two
/// prefixed forms, and a name with several common names does not pick one.
fn source_identity(name: &DistinguishedName, serial: &str) -> (String, SourceIdentityFrom) {
    let by_serial = |why| (format!("ID={serial}"), SourceIdentityFrom::Serial { why });
    let mut common_names = name
        .attributes()
        .filter(|attribute| attribute.label() == "CN");
    let Some(common_name) = common_names
        .next()
        .map(|attribute| attribute.value.as_str())
    else {
        return by_serial("the subject has no common name");
    };
    if common_names.next().is_some() {
        return by_serial("the subject has several common names");
    }
    if common_name.is_empty() {
        return by_serial("the common name is empty");
    }
    if common_name.chars().count() <= PREFIXED_COMMON_NAME_MAX {
        let prefixed = format!("CN={common_name}");
        return if SESSION_NAME.fits(&prefixed) {
            (prefixed, SourceIdentityFrom::CommonName)
        } else {
            by_serial("the common name has characters that a source identity cannot hold")
        };
    }
    if !SESSION_NAME.fits(common_name) {
        return by_serial(
            "the common name is too long, or has characters that a source identity cannot hold",
        );
    }
    if common_name.starts_with("CN=") || common_name.starts_with("ID=") {
        return by_serial("the common name would pass for another subject's source identity");
    }
    (common_name.to_owned(), SourceIdentityFrom::BareCommonName)
}

/// The longest common name in characters that `CN=` still fits before (IAM Roles Anywhere).
const PREFIXED_COMMON_NAME_MAX: usize = 61;

#[cfg(test)]
mod tests;
