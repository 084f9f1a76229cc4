//! Renewing: when it is time, and a new certificate that says what the old one said.

use bowline_x509::{Certificate, PublicKey, SerialNumber, Time};
use chrono::TimeDelta;
use const_oid::ObjectIdentifier;

use crate::authority::Authority;
use crate::draft::Draft;
use crate::error::ProfileError;
use crate::profile::{CertificateProfile, KeyPurpose, joined};
use crate::validity::{self, Asked, lifetime};

impl CertificateProfile {
    /// Drafts a successor: same subject, same names, and as long a life, judged by this profile as if it were new.
    ///
    /// The old certificate is taken at its word. Ask before whether it is one of ours, whether it is revoked, and
    /// whether the caller holds its key.
    pub fn renew(
        &self,
        old: &Certificate,
        public_key: &PublicKey,
        authority: &Authority,
        serial: SerialNumber,
        now: Time,
    ) -> Result<Draft, ProfileError> {
        if self.is_authority() {
            return Err(ProfileError::AuthorityProfile {
                profile: self.name().to_owned(),
            });
        }
        if old.is_ca() {
            return Err(ProfileError::RenewsAuthority {
                subject: old.subject().to_string(),
            });
        }
        let not_after = old.validity().not_after;
        if not_after < now {
            return Err(ProfileError::RenewsExpired { not_after, now });
        }
        let not_before = old.validity().not_before;
        if now < not_before {
            return Err(ProfileError::RenewsNotYetValid { not_before, now });
        }
        // Under another profile a server could become a client without anyone having decided so.
        let purposes = old.extended_key_usage().unwrap_or_default();
        let given: Vec<_> = self
            .key_purposes()
            .iter()
            .copied()
            .map(KeyPurpose::oid)
            .collect();
        if purposes.len() != given.len() || !given.iter().all(|purpose| purposes.contains(purpose))
        {
            return Err(ProfileError::RenewsOtherPurpose {
                profile: self.name().to_owned(),
                old: purpose_names(purposes),
                given: purpose_names(&given),
            });
        }
        if !self.allows_roles() && !crate::draft::roles_of(old.subject()).is_empty() {
            let roles = crate::draft::roles_of(old.subject()).join("/");
            return Err(ProfileError::RolesNotAllowed {
                profile: self.name().to_owned(),
                roles,
            });
        }
        let length = lifetime(old.validity());
        let issuer = Some(authority.certificate());
        let granted = validity::grant(self, length, Asked::default(), issuer, now)?;
        let names = old.subject_alt_names();
        self.under(
            authority,
            old.subject().clone(),
            names,
            public_key,
            serial,
            granted,
        )
    }
}

/// When a certificate counts as due for renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiresIn {
    /// When less than this is left of its life.
    Duration(TimeDelta),
    /// When this much of its life is over, in percent.
    Percent(u8),
}

impl Default for ExpiresIn {
    /// Two thirds of its life, which leaves a third for trying again.
    fn default() -> ExpiresIn {
        ExpiresIn::Percent(66)
    }
}

/// Whether it is time to renew. An expired certificate always needs it.
pub fn needs_renewal(certificate: &Certificate, expires_in: ExpiresIn, now: Time) -> bool {
    let validity = certificate.validity();
    let end = validity.not_before + lifetime(validity);
    if end <= now {
        return true;
    }
    match expires_in {
        ExpiresIn::Duration(window) => end - now < window,
        ExpiresIn::Percent(percent) => {
            let used = i128::from((now - validity.not_before).num_seconds());
            let whole = i128::from(lifetime(validity).num_seconds());
            used * 100 >= whole * i128::from(percent)
        }
    }
}

/// Key purposes for a message: the names of those we know.
pub(crate) fn purpose_names(purposes: &[ObjectIdentifier]) -> String {
    let names: Vec<String> = purposes.iter().map(purpose_name).collect();
    joined(names.iter().map(String::as_str))
}

/// A key purpose for a message.
pub(crate) fn purpose_name(purpose: &ObjectIdentifier) -> String {
    let known = [KeyPurpose::ServerAuth, KeyPurpose::ClientAuth];
    let known = known.into_iter().find(|known| known.oid() == *purpose);
    known.map_or_else(|| purpose.to_string(), |known| known.name().to_owned())
}

#[cfg(test)]
mod tests;
