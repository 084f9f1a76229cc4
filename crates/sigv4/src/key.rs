//! Secrets and the signing keys derived from them.

use aws_lc_rs::{constant_time, hmac};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// An access key id with its secret and, for temporary credentials, its session token.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// Public: it stands in every request.
    pub access_key_id: &'a str,
    /// Never leaves this process.
    pub secret: &'a str,
    /// Sent along with every request of temporary credentials.
    pub session_token: Option<&'a str>,
}

/// Shows the access key id only.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// A secret narrowed to one day, region and service. It may be kept by whoever verifies for that service:
/// stolen, it opens nothing else and dies with the day. Wiped from memory when dropped.
#[derive(Clone)]
pub struct SigningKey(Zeroizing<[u8; 32]>);

/// Shows nothing of the key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// Derives the signing key of a secret for one day (`YYYYMMDD`), region and service.
pub fn signing_key(secret: &str, date: &str, region: &str, service: &str) -> SigningKey {
    let mut first = Zeroizing::new(Vec::with_capacity(4 + secret.len()));
    first.extend_from_slice(b"AWS4");
    first.extend_from_slice(secret.as_bytes());
    let mut key = mac(&first, date.as_bytes());
    for part in [region, service, crate::scope::TERMINATOR] {
        let next = mac(&key, part.as_bytes());
        key.zeroize();
        key = next;
    }
    SigningKey(Zeroizing::new(key))
}

impl SigningKey {
    /// A key that was derived elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> SigningKey {
        SigningKey(Zeroizing::new(bytes))
    }

    /// The key itself, for handing it to a verifier that may hold it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// HMAC-SHA256 of the string to sign.
    pub(crate) fn sign(&self, string_to_sign: &[u8]) -> [u8; 32] {
        mac(&self.0[..], string_to_sign)
    }

    /// Compares in constant time.
    pub(crate) fn is_signature_of(&self, string_to_sign: &[u8], signature: &[u8; 32]) -> bool {
        constant_time::verify_slices_are_equal(&self.sign(string_to_sign), signature).is_ok()
    }
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut out = [0; 32];
    out.copy_from_slice(hmac::sign(&key, message).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_derived_in_four_steps() {
        // The worked example in AWS's own description of the derivation.
        let key = signing_key(
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "20150830",
            "us-east-1",
            "iam",
        );
        assert_eq!(
            hex::encode(key.as_bytes()),
            "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        );
        let copy = SigningKey::from_bytes(*key.as_bytes());
        assert!(copy.is_signature_of(b"text", &key.sign(b"text")));
        assert!(!copy.is_signature_of(b"text", &key.sign(b"texT")));
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let credentials = Credentials {
            access_key_id: "ASIA",
            secret: "hidden",
            session_token: Some("hidden"),
        };
        assert_eq!(
            format!("{credentials:?}"),
            "Credentials { access_key_id: \"ASIA\", .. }"
        );
        let key = signing_key("hidden", "20150830", "us-east-1", "iam");
        assert_eq!(format!("{key:?}"), "SigningKey(…)");
    }
}
