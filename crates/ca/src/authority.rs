//! The signing end of a chain: an authority's certificate, the certificates up to its root, and where it publishes.

use bowline_x509::{BasicConstraints, Certificate, DistinguishedName, KeyUsage, PublicKey};

use crate::error::shown;

/// An authority that may issue certificates, with the chain that proves it.
///
/// Holds no private key: the signer is passed beside it, and compared with the certificate's key at every use.
#[derive(Debug, Clone)]
pub struct Authority {
    certificate: Certificate,
    chain: Vec<Certificate>,
    urls: Option<AuthorityUrls>,
    public_key: PublicKey,
    key_id: Vec<u8>,
    path_length: Option<u32>,
}

/// Where an authority publishes; both addresses are written into what it issues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityUrls {
    /// Its revocation list (RFC 5280 §4.2.1.13).
    pub crl: String,
    /// Its own certificate (RFC 5280 §4.2.2.1).
    pub ca_certificate: String,
}

/// Why a certificate cannot be the signing end of a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// No `CA:TRUE`.
    #[error(
        "the certificate of {subject} has no CA:TRUE in its basic constraints and cannot issue"
    )]
    NotAuthority {
        /// Its subject.
        subject: String,
    },
    /// No keyCertSign.
    #[error("the certificate of {subject} has no keyCertSign in its key usage and cannot issue")]
    NoKeyCertSign {
        /// Its subject.
        subject: String,
    },
    /// No subject (RFC 5280 §4.1.2.6 demands one of issuers).
    #[error(
        "the certificate with serial {serial} has an empty subject and cannot be named as an issuer"
    )]
    EmptySubject {
        /// Its serial, hexadecimal.
        serial: String,
    },
    /// No subject key identifier (RFC 5280 §4.2.1.2 demands one of authorities).
    #[error("the certificate of {subject} has no subject key identifier for others to point at")]
    NoSubjectKeyId {
        /// Its subject.
        subject: String,
    },
    /// A key that is not accepted.
    #[error("the key of {subject} is not accepted: {reason}")]
    Key {
        /// Its subject.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A chain that does not lead to a root.
    #[error(
        "the chain ends at {subject}, which {issuer} issued: the last certificate must be a self-signed root"
    )]
    NoRoot {
        /// The last certificate's subject.
        subject: String,
        /// Its issuer.
        issuer: String,
    },
    /// A link with other names.
    #[error("{subject} was issued by {issuer}, and the next certificate of the chain is {next}")]
    BrokenChain {
        /// The lower certificate's subject.
        subject: String,
        /// Its issuer.
        issuer: String,
        /// The subject of the certificate above it.
        next: String,
    },
    /// A link with another key.
    #[error("the signature on {subject} is not by the key of {issuer}")]
    ChainSignature {
        /// The lower certificate's subject.
        subject: String,
        /// The upper certificate's subject.
        issuer: String,
    },
    /// More authorities below one than it allows.
    #[error("{subject} allows path length {allowed}, and {found} authorities stand below it")]
    PathLength {
        /// The upper certificate's subject.
        subject: String,
        /// Its path length.
        allowed: u32,
        /// How many authorities stand below it.
        found: usize,
    },
    /// An address that certificates cannot carry.
    #[error("the address {url:?} cannot stand in certificates: {rule}")]
    Url {
        /// The address, shortened.
        url: String,
        /// What an address is.
        rule: &'static str,
    },
}

impl AuthorityError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            AuthorityError::NotAuthority { .. } => "authority_is_not_ca",
            AuthorityError::NoKeyCertSign { .. } => "authority_may_not_sign_certificates",
            AuthorityError::EmptySubject { .. } => "authority_subject_empty",
            AuthorityError::NoSubjectKeyId { .. } => "authority_key_id_missing",
            AuthorityError::Key { .. } => "authority_key_not_accepted",
            AuthorityError::NoRoot { .. } => "authority_chain_without_root",
            AuthorityError::BrokenChain { .. } => "authority_chain_broken",
            AuthorityError::ChainSignature { .. } => "authority_chain_signature_wrong",
            AuthorityError::PathLength { .. } => "authority_path_length_exceeded",
            AuthorityError::Url { .. } => "authority_url_not_accepted",
        }
    }
}

impl Authority {
    /// Checks that the certificate may issue and that the chain leads from it to a self-signed root, which comes last.
    ///
    /// For a root the chain is empty. Verifies one signature a certificate, so build it once and keep it.
    /// Says nothing about time: a draft asks whether the authority is valid when it is made.
    pub fn new(
        certificate: Certificate,
        chain: Vec<Certificate>,
        urls: Option<AuthorityUrls>,
    ) -> Result<Authority, AuthorityError> {
        let subject = certificate.subject().to_string();
        // 1. The certificate itself.
        let path_length = check_may_issue(&certificate)?.path_len;
        let key_id = certificate.subject_key_id().map(<[u8]>::to_vec);
        let key_id = key_id.ok_or(AuthorityError::NoSubjectKeyId { subject })?;
        let public_key = accepted_key(&certificate)?.clone();
        // 2. Every link up to the root, and the root's link to itself.
        let mut lower = &certificate;
        for (below, upper) in chain.iter().enumerate() {
            check_link(lower, upper)?;
            let allowed = check_may_issue(upper)?.path_len;
            let found = below + 1;
            if let Some(allowed) = allowed.filter(|allowed| u64::from(*allowed) < found as u64) {
                return Err(AuthorityError::PathLength {
                    subject: upper.subject().to_string(),
                    allowed,
                    found,
                });
            }
            lower = upper;
        }
        if lower.issuer() != lower.subject() {
            return Err(AuthorityError::NoRoot {
                subject: lower.subject().to_string(),
                issuer: lower.issuer().to_string(),
            });
        }
        check_link(lower, lower)?;
        // 3. The addresses.
        if let Some(urls) = &urls {
            check_url(&urls.crl)?;
            check_url(&urls.ca_certificate)?;
        }
        Ok(Authority {
            certificate,
            chain,
            urls,
            public_key,
            key_id,
            path_length,
        })
    }

    /// Its certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The certificates above it, root last; empty when it is the root.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// The self-signed end of its chain.
    pub fn root(&self) -> &Certificate {
        self.chain.last().unwrap_or(&self.certificate)
    }

    /// Where it publishes.
    pub fn urls(&self) -> Option<&AuthorityUrls> {
        self.urls.as_ref()
    }

    /// Its name, which becomes the issuer of what it signs.
    pub fn subject(&self) -> &DistinguishedName {
        self.certificate.subject()
    }

    /// Its public key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Its subject key identifier, which becomes the authority key identifier of what it signs.
    pub fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    /// How many authorities may stand below it; absent means any number.
    pub fn path_length(&self) -> Option<u32> {
        self.path_length
    }

    /// Its name and key identifier, for messages that tell two authorities of one name apart.
    pub(crate) fn label(&self) -> String {
        label(self.subject(), &self.key_id)
    }
}

/// A name with a key identifier.
pub(crate) fn label(subject: &DistinguishedName, key_id: &[u8]) -> String {
    format!("{subject} ({})", hex(key_id))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// CA:TRUE, keyCertSign and a subject (RFC 5280 §4.1.2.6, §4.2.1.3, §4.2.1.9).
fn check_may_issue(certificate: &Certificate) -> Result<BasicConstraints, AuthorityError> {
    let subject = || certificate.subject().to_string();
    if certificate.subject().is_empty() {
        return Err(AuthorityError::EmptySubject {
            serial: certificate.serial().to_hex(),
        });
    }
    let constraints = certificate
        .basic_constraints()
        .filter(|constraints| constraints.ca);
    let constraints =
        constraints.ok_or_else(|| AuthorityError::NotAuthority { subject: subject() })?;
    if !certificate.key_usage().is_some_and(KeyUsage::key_cert_sign) {
        return Err(AuthorityError::NoKeyCertSign { subject: subject() });
    }
    Ok(constraints)
}

/// The certificate's key, if it is one we can use.
fn accepted_key(certificate: &Certificate) -> Result<&PublicKey, AuthorityError> {
    certificate
        .public_key()
        .map_err(|error| AuthorityError::Key {
            subject: certificate.subject().to_string(),
            reason: error.to_string(),
        })
}

/// That the upper certificate issued the lower one, by name and by signature.
fn check_link(lower: &Certificate, upper: &Certificate) -> Result<(), AuthorityError> {
    let (subject, issuer) = (lower.subject().to_string(), upper.subject().to_string());
    if lower.issuer() != upper.subject() {
        return Err(AuthorityError::BrokenChain {
            subject,
            issuer: lower.issuer().to_string(),
            next: issuer,
        });
    }
    let key = accepted_key(upper)?;
    lower
        .verify_signed_by(key)
        .map_err(|_| AuthorityError::ChainSignature { subject, issuer })
}

/// An http or https URL in printable ASCII: what IA5String and every client can hold.
fn check_url(url: &str) -> Result<(), AuthorityError> {
    let refuse = |rule| AuthorityError::Url {
        url: shown(url),
        rule,
    };
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    match rest {
        None => Err(refuse("it begins with http:// or https://")),
        Some(rest) if rest.is_empty() || rest.starts_with('/') => Err(refuse("it names a host")),
        Some(_) if url.len() > URL_OCTETS_MAX => Err(refuse("it has at most 1024 characters")),
        Some(_) if !url.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err(refuse("it is ASCII without spaces"))
        }
        Some(_) => Ok(()),
    }
}

/// The longest address: it is repeated in every certificate.
const URL_OCTETS_MAX: usize = 1024;

#[cfg(test)]
mod tests;
