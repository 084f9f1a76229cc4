//! What may be certified: profiles, drafts, certificates and revocation lists of our own authorities.
//!
//! The way of a certificate: a [`CertificateProfile`] judges a [`Subject`] and makes a [`Draft`], which holds
//! everything the certificate will say; [`Draft::sign`] uses the draft up. A [`CertificationRequest`] contributes its
//! key, and the alternative names that the profile allows; everything else it asks for is refused by name.
//!
//! Nothing here knows where keys live, what time it is, or what has been issued before: the signer, the time and the
//! serial number are given.
//!
//! [`CertificationRequest`]: bowline_x509::CertificationRequest

mod authority;
mod crl;
mod direct;
mod draft;
mod error;
mod names;
mod profile;
mod renewal;
mod request;
mod sign;
mod through_rcgen;
mod validity;

pub use authority::{Authority, AuthorityError, AuthorityUrls};
pub use crl::{Revocation, sign_crl};
pub use draft::{Draft, RootDraft, Subject, SubjectName, roles_of};
pub use error::{IssueError, ProfileError};
pub use names::{NameKind, NamePattern, NameRules};
pub use profile::{CertificateKind, CertificateProfile, KeyKind, KeyPurpose, KeyUsage, NAMES_MAX};
pub use renewal::{ExpiresIn, needs_renewal};
pub use validity::Asked;

#[cfg(test)]
mod testing;
