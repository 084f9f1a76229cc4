//! AWS Signature Version 4: canonical requests, signing and verifying, with a shared secret or a certificate's key.
//!
//! - [`hmac`] verifies AWS4-HMAC-SHA256 requests, in header form and as presigned URLs;
//! - [`x509`] verifies AWS4-X509 requests, signed with the key of the certificate they bring;
//! - [`sign_hmac`], [`presign`] and [`sign_x509`] sign them.
//!
//! Every request is read as it came over the wire, once, and refused when it could be read in two ways.
//! The crate has no clock and no key store: `now`, secrets and signers are handed in. Signatures of chunked
//! bodies and replays inside the date window are the caller's business.

mod aws;
mod canonical;
mod error;
#[cfg(test)]
mod fixtures;
pub mod hmac;
mod key;
#[cfg(test)]
mod mutations;
mod payload;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod refusals;
mod request;
mod rules;
mod scope;
mod sign;
mod uri;
pub mod x509;

pub use error::SignatureError;
pub use key::{Credentials, SigningKey, signing_key};
pub use payload::Payload;
pub use request::{
    Body, HEADER_BYTES_MAX, HEADERS_MAX, PARAMETERS_MAX, SignedRequest, TARGET_BYTES_MAX,
};
pub use rules::{Allowed, PRESIGNED_SECONDS_MAX, Rules, S3_SKEW_SECONDS, SKEW_SECONDS};
pub use scope::Scope;
pub use sign::{presign, sign_hmac, sign_x509};
