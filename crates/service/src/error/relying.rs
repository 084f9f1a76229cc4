//! What relying services can be refused for.

use super::Kind;
use crate::s3::S3Error;

/// Why a relying service is refused.
#[derive(Debug, thiserror::Error)]
pub enum RelyingError {
    /// Only one of action and resource.
    #[error("an action is decided on a resource: name both, or neither for a request of S3")]
    HalfNamed,
    /// A request of another service than S3 does not tell its action.
    #[error(
        "what a request of {service:?} asks for is not known: name the action and the resource, which are told from the request for s3 alone"
    )]
    NothingNamed {
        /// The service.
        service: String,
    },
    /// Not a request of S3.
    #[error(transparent)]
    S3(#[from] S3Error),
    /// A fingerprint is not one.
    #[error(
        "client-certificate-sha256 has {length} characters: it is a SHA-256 in 64 hexadecimal digits"
    )]
    CertificateHash {
        /// How long it is.
        length: usize,
    },
    /// A key that would open this very service.
    #[error(
        "keys for {service} are not given out: whoever holds one could act here as the session"
    )]
    ServiceOurs {
        /// The service.
        service: String,
    },
}

impl RelyingError {
    /// What it means, and its stable code.
    pub(crate) fn classify(&self) -> (Kind, &'static str) {
        match self {
            RelyingError::HalfNamed => (Kind::Invalid, "action_without_resource"),
            RelyingError::NothingNamed { .. } => (Kind::Invalid, "action_not_named"),
            RelyingError::S3(error) => (Kind::Invalid, error.code()),
            RelyingError::CertificateHash { .. } => (Kind::Invalid, "certificate_hash_invalid"),
            RelyingError::ServiceOurs { .. } => (Kind::Denied, "signing_key_of_our_own"),
        }
    }

    /// The code an STS client expects, where the kind alone does not say it.
    pub(crate) fn sts_code(&self) -> Option<&'static str> {
        None
    }
}
