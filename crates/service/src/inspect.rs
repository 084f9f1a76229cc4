//! What a certificate says, for people and programs. No home, no store.

use bowline_x509::{Certificate, ObjectIdentifier, Time};
use const_oid::db::rfc5280;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::verify::certificates_from;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateDetails {
    /// The subject, RFC 4514.
    pub subject: String,
    /// The issuer, RFC 4514.
    pub issuer: String,
    /// The serial number in hex.
    pub serial: String,
    /// The serial number in decimal.
    pub serial_decimal: String,
    /// The first second it is good for.
    pub not_before: Time,
    /// The last second it is good for.
    pub not_after: Time,
    /// The kind of its key, or why it is not accepted.
    pub key: String,
    /// The algorithm it is signed with.
    pub signature_algorithm: String,
    /// Subject alternative names.
    pub names: Vec<String>,
    /// Whether it may issue certificates.
    pub ca: bool,
    /// How many authorities may follow below, if that is limited.
    pub path_length: Option<u32>,
    /// What its key may be used for (RFC 5280 §4.2.1.3).
    pub key_usage: Vec<String>,
    /// What it may be used for (RFC 5280 §4.2.1.12): the usual word, else the object identifier.
    pub extended_key_usage: Vec<String>,
    /// The subject key identifier in hex.
    pub subject_key_id: Option<String>,
    /// The authority key identifier in hex.
    pub authority_key_id: Option<String>,
    /// Where its issuer's CRL is fetched.
    pub crl_distribution_points: Vec<String>,
    /// SHA-256 of the certificate in hex.
    pub fingerprint: String,
}

/// Reads every certificate of a file, PEM or DER.
pub fn inspect(text: &[u8]) -> Result<Vec<CertificateDetails>, Error> {
    let certificates = certificates_from(text)?;
    if certificates.is_empty() {
        return Err(Error::NoCertificate);
    }
    Ok(certificates.iter().map(details).collect())
}

pub(crate) fn details(certificate: &Certificate) -> CertificateDetails {
    let validity = certificate.validity();
    CertificateDetails {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        serial: certificate.serial().to_hex(),
        serial_decimal: certificate.serial().to_decimal(),
        not_before: validity.not_before,
        not_after: validity.not_after,
        key: certificate
            .public_key()
            .map_or_else(ToString::to_string, |key| key.algorithm().to_string()),
        signature_algorithm: certificate.signature_algorithm_name(),
        names: certificate
            .subject_alt_names()
            .iter()
            .map(ToString::to_string)
            .collect(),
        ca: certificate.is_ca(),
        path_length: certificate
            .basic_constraints()
            .and_then(|constraints| constraints.path_len),
        key_usage: certificate
            .key_usage()
            .map(|usage| usage.names().map(str::to_owned).collect())
            .unwrap_or_default(),
        extended_key_usage: certificate
            .extended_key_usage()
            .map(|purposes| purposes.iter().map(purpose_name).collect())
            .unwrap_or_default(),
        subject_key_id: certificate.subject_key_id().map(hex::encode),
        authority_key_id: certificate.authority_key_id().map(hex::encode),
        crl_distribution_points: certificate.crl_distribution_points(),
        fingerprint: hex::encode(certificate.fingerprint()),
    }
}

fn purpose_name(purpose: &ObjectIdentifier) -> String {
    const NAMES: [(ObjectIdentifier, &str); 7] = [
        (rfc5280::ANY_EXTENDED_KEY_USAGE, "anyExtendedKeyUsage"),
        (rfc5280::ID_KP_SERVER_AUTH, "serverAuth"),
        (rfc5280::ID_KP_CLIENT_AUTH, "clientAuth"),
        (rfc5280::ID_KP_CODE_SIGNING, "codeSigning"),
        (rfc5280::ID_KP_EMAIL_PROTECTION, "emailProtection"),
        (rfc5280::ID_KP_TIME_STAMPING, "timeStamping"),
        (rfc5280::ID_KP_OCSP_SIGNING, "OCSPSigning"),
    ];
    let known = NAMES.iter().find(|(oid, _)| oid == purpose);
    known.map_or_else(|| purpose.to_string(), |(_, name)| (*name).to_owned())
}
