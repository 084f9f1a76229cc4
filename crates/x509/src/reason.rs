//! Why a certificate was revoked (RFC 5280 §5.3.1).

use std::fmt;
use std::str::FromStr;

/// The reason in a CRL entry (RFC 5280 §5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum RevocationReason {
    /// No reason given; written by leaving the extension out.
    #[default]
    Unspecified,
    /// The subject's private key is, or may be, in other hands.
    KeyCompromise,
    /// The authority's private key is, or may be, in other hands.
    CaCompromise,
    /// The subject's name or other facts changed.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// No longer needed.
    CessationOfOperation,
    /// On hold; the only reason that can be taken back.
    CertificateHold,
    /// In a delta CRL: no longer revoked.
    RemoveFromCrl,
    /// A right it stood for was taken away.
    PrivilegeWithdrawn,
    /// An attribute authority's key is, or may be, in other hands.
    AaCompromise,
}

/// A word or number that is no revocation reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a revocation reason: one of unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation, certificateHold, removeFromCRL, privilegeWithdrawn, aACompromise"
)]
pub struct UnknownReason {
    /// What was given.
    pub text: String,
}

impl RevocationReason {
    /// Every reason, by code.
    pub const ALL: [RevocationReason; 10] = [
        RevocationReason::Unspecified,
        RevocationReason::KeyCompromise,
        RevocationReason::CaCompromise,
        RevocationReason::AffiliationChanged,
        RevocationReason::Superseded,
        RevocationReason::CessationOfOperation,
        RevocationReason::CertificateHold,
        RevocationReason::RemoveFromCrl,
        RevocationReason::PrivilegeWithdrawn,
        RevocationReason::AaCompromise,
    ];

    /// The CRLReason number; 7 is not used.
    pub fn code(self) -> u8 {
        match self {
            RevocationReason::Unspecified => 0,
            RevocationReason::KeyCompromise => 1,
            RevocationReason::CaCompromise => 2,
            RevocationReason::AffiliationChanged => 3,
            RevocationReason::Superseded => 4,
            RevocationReason::CessationOfOperation => 5,
            RevocationReason::CertificateHold => 6,
            RevocationReason::RemoveFromCrl => 8,
            RevocationReason::PrivilegeWithdrawn => 9,
            RevocationReason::AaCompromise => 10,
        }
    }

    /// The reason of a CRLReason number.
    pub fn from_code(code: u8) -> Option<RevocationReason> {
        RevocationReason::ALL
            .into_iter()
            .find(|reason| reason.code() == code)
    }

    /// The name RFC 5280 §5.3.1 gives it.
    pub fn name(self) -> &'static str {
        match self {
            RevocationReason::Unspecified => "unspecified",
            RevocationReason::KeyCompromise => "keyCompromise",
            RevocationReason::CaCompromise => "cACompromise",
            RevocationReason::AffiliationChanged => "affiliationChanged",
            RevocationReason::Superseded => "superseded",
            RevocationReason::CessationOfOperation => "cessationOfOperation",
            RevocationReason::CertificateHold => "certificateHold",
            RevocationReason::RemoveFromCrl => "removeFromCRL",
            RevocationReason::PrivilegeWithdrawn => "privilegeWithdrawn",
            RevocationReason::AaCompromise => "aACompromise",
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RevocationReason {
    type Err = UnknownReason;

    /// Reads the RFC's name without regard to case, so that `caCompromise`, as other tools spell it, is understood.
    fn from_str(text: &str) -> Result<RevocationReason, UnknownReason> {
        let found = RevocationReason::ALL
            .into_iter()
            .find(|reason| reason.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| UnknownReason {
            text: text.chars().take(40).collect(),
        })
    }
}

crate::text_serde!(RevocationReason);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_text_and_code() {
        for reason in RevocationReason::ALL {
            assert_eq!(reason.to_string().parse(), Ok(reason));
            assert_eq!(RevocationReason::from_code(reason.code()), Some(reason));
        }
    }

    #[test]
    fn seven_is_no_reason() {
        assert_eq!(RevocationReason::from_code(7), None);
        assert_eq!(RevocationReason::from_code(11), None);
    }

    #[test]
    fn case_does_not_matter_and_other_words_do() {
        assert_eq!("KEYCOMPROMISE".parse(), Ok(RevocationReason::KeyCompromise));
        assert!("stolen".parse::<RevocationReason>().is_err());
    }
}
