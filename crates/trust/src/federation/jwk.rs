//! The public keys of an issuer: a JSON Web Key Set (RFC 7517), as far as its keys verify tokens.

use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::json;
use super::provider::TokenAlgorithm;

/// The keys of an issuer that a token can be verified with. Others of its set are left out (RFC 7517 §5).
#[derive(Debug, Clone, Default)]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

/// One key. What it verifies with is its own: nothing a token says can change that.
#[derive(Debug, Clone)]
struct Jwk {
    id: Option<String>,
    key: Key,
}

#[derive(Debug, Clone)]
enum Key {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Why a document is no set of keys to verify tokens with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// Not a JSON Web Key Set.
    #[error("the document is not a JSON Web Key Set: an object with a list of keys (RFC 7517 §5)")]
    NotAKeySet,
    /// A private or symmetric key.
    #[error(
        "key {key} of the set is private: publish its public half only, and use a new key, this one was shown"
    )]
    Private {
        /// Its id, or its place in the set counted from 0.
        key: String,
    },
    /// No key of a kind that is accepted.
    #[error(
        "none of the {count} keys of the set verifies tokens: RSA of 2048 bits or more, P-256, P-384 and Ed25519 do"
    )]
    NoUsableKey {
        /// How many keys there are.
        count: usize,
    },
    /// Many keys.
    #[error("{count} keys are over the limit of {KEYS_MAX} a set")]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

impl JwkSet {
    /// Reads a document. Keys for encryption, of other kinds or too weak are left out, as the standard has it; a key
    /// with its private half is refused, because somebody has made a mistake.
    pub fn parse(document: &[u8]) -> Result<JwkSet, JwkError> {
        let mut object = json::object(document).ok_or(JwkError::NotAKeySet)?;
        let Some(Value::Array(entries)) = object.remove("keys") else {
            return Err(JwkError::NotAKeySet);
        };
        let count = entries.len();
        if count > KEYS_MAX {
            return Err(JwkError::TooMany { count });
        }
        let mut keys = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let Value::Object(entry) = entry else {
                return Err(JwkError::NotAKeySet);
            };
            if entry.contains_key("d") || entry.contains_key("k") {
                let id = entry.get("kid").and_then(Value::as_str);
                return Err(JwkError::Private {
                    key: id.map_or_else(|| at.to_string(), crate::ids::excerpt),
                });
            }
            keys.extend(Jwk::read(entry));
        }
        if keys.is_empty() {
            return Err(JwkError::NoUsableKey { count });
        }
        Ok(JwkSet { keys })
    }

    /// The ids of the keys, for people.
    pub fn key_ids(&self) -> Vec<String> {
        let id = |key: &Jwk| key.id.clone().unwrap_or_else(|| "(no id)".into());
        self.keys.iter().map(id).collect()
    }

    /// Whether there is a key that could have signed such a token.
    pub(crate) fn has(&self, id: Option<&str>, algorithm: TokenAlgorithm) -> bool {
        self.fitting(id, algorithm).next().is_some()
    }

    /// Whether one of the keys that fit made the signature. Without an id there must be just one such key.
    pub(crate) fn verifies(
        &self,
        id: Option<&str>,
        algorithm: TokenAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        self.fitting(id, algorithm)
            .any(|key| key.verifies(message, signature))
    }

    /// The keys with an id whose kind is the algorithm's. A token without an id is for the only key that fits.
    fn fitting<'a>(
        &'a self,
        id: Option<&'a str>,
        algorithm: TokenAlgorithm,
    ) -> impl Iterator<Item = &'a Jwk> {
        let fits = move |key: &&Jwk| {
            key.key.algorithm() == algorithm && (id.is_none() || key.id.as_deref() == id)
        };
        let only = id.is_some() || self.keys.iter().filter(|key| fits(key)).count() == 1;
        self.keys.iter().filter(fits).filter(move |_| only)
    }
}

impl Jwk {
    /// A key that verifies signatures, if this is one.
    fn read(entry: &Map<String, Value>) -> Option<Jwk> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        // RFC 7517 §4.2 and §4.3.
        let for_signatures = text("use").is_none_or(|usage| usage == "sig")
            && entry.get("key_ops").is_none_or(|operations| {
                operations
                    .as_array()
                    .is_some_and(|all| all.iter().any(|one| one == "verify"))
            });
        if !for_signatures {
            return None;
        }
        let point = |length: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == length && y.len() == length).then(|| [&[4], &x[..], &y[..]].concat())
        };
        let key = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let (modulus, exponent) = (bytes("n")?, bytes("e")?);
                let modulus: Vec<u8> = modulus.into_iter().skip_while(|byte| *byte == 0).collect();
                // The library refuses moduli under 2048 bits; 8,192 bits end what verifying may cost.
                if !(RSA_BYTES_LEAST..=RSA_BYTES_MAX).contains(&modulus.len()) {
                    return None;
                }
                Key::Rsa { modulus, exponent }
            }
            ("EC", Some("P-256")) => Key::P256(point(32)?),
            ("EC", Some("P-384")) => Key::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Key::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
            _ => return None,
        };
        // RFC 7517 §4.4: a key for another algorithm is not one for this.
        let stated = text("alg");
        if stated.is_some_and(|name| TokenAlgorithm::from_header(name) != Some(key.algorithm())) {
            return None;
        }
        Some(Jwk {
            id: text("kid").map(str::to_owned),
            key,
        })
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.key {
            Key::Rsa { modulus, exponent } => RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            Key::P256(point) => unparsed(&ECDSA_P256_SHA256_FIXED, point, message, signature),
            Key::P384(point) => unparsed(&ECDSA_P384_SHA384_FIXED, point, message, signature),
            Key::Ed25519(key) => unparsed(&ED25519, key, message, signature),
        };
        verified.is_ok()
    }
}

fn unparsed(
    algorithm: &'static dyn signature::VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), aws_lc_rs::error::Unspecified> {
    UnparsedPublicKey::new(algorithm, key).verify(message, signature)
}

impl Key {
    /// The one algorithm that the key verifies: its kind decides, so that no token can have it used for another.
    fn algorithm(&self) -> TokenAlgorithm {
        match self {
            Key::Rsa { .. } => TokenAlgorithm::Rs256,
            Key::P256(_) => TokenAlgorithm::Es256,
            Key::P384(_) => TokenAlgorithm::Es384,
            Key::Ed25519(_) => TokenAlgorithm::EdDsa,
        }
    }
}

/// The most keys of a set. Issuers publish two to ten.
const KEYS_MAX: usize = 100;
/// RSA of 2,048 bits.
const RSA_BYTES_LEAST: usize = 256;
/// RSA of 8,192 bits.
const RSA_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn set(keys: &str) -> Result<JwkSet, JwkError> {
        JwkSet::parse(format!("{{\"keys\":[{keys}]}}").as_bytes())
    }

    const ED25519: &str =
        r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

    #[test]
    fn keys_for_other_purposes_are_left_out() {
        let kept = set(&format!(
            r#"{{{ED25519},"kid":"a"}},{{{ED25519},"kid":"b","use":"enc"}},{{{ED25519},"kid":"c","key_ops":["sign"]}},
               {{{ED25519},"kid":"d","alg":"ES256"}},{{"kty":"EC","crv":"P-521","kid":"e"}},{{"kty":"new"}},
               {{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"f"}},{{{ED25519},"kid":"g","use":"sig","key_ops":["verify"],"alg":"EdDSA"}}"#
        ))
        .unwrap();
        assert_eq!(kept.key_ids(), ["a", "g"]);
    }

    #[test]
    fn a_private_key_in_a_set_is_said() {
        let private = set(&format!(r#"{{{ED25519},"kid":"mine","d":"AA"}}"#)).unwrap_err();
        assert_eq!(private, JwkError::Private { key: "mine".into() });
        let symmetric = set(r#"{"kty":"oct","k":"AA"}"#).unwrap_err();
        assert_eq!(symmetric, JwkError::Private { key: "0".into() });
    }

    #[test]
    fn what_is_no_set_of_usable_keys_is_refused() {
        assert_eq!(set("").unwrap_err(), JwkError::NoUsableKey { count: 0 });
        assert_eq!(set("1").unwrap_err(), JwkError::NotAKeySet);
        for document in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            assert_eq!(
                JwkSet::parse(document.as_bytes()).unwrap_err(),
                JwkError::NotAKeySet,
                "{document}"
            );
        }
        let many = vec!["{}"; 101].join(",");
        assert_eq!(set(&many).unwrap_err(), JwkError::TooMany { count: 101 });
    }

    #[test]
    fn a_token_without_a_key_id_is_for_the_only_key_that_fits() {
        let one = set(&format!(r#"{{{ED25519},"kid":"a"}}"#)).unwrap();
        assert!(one.has(None, TokenAlgorithm::EdDsa));
        assert!(one.has(Some("a"), TokenAlgorithm::EdDsa));
        assert!(!one.has(Some("b"), TokenAlgorithm::EdDsa));
        assert!(!one.has(None, TokenAlgorithm::Es256));
        let two = set(&format!(r#"{{{ED25519},"kid":"a"}},{{{ED25519}}}"#)).unwrap();
        assert!(!two.has(None, TokenAlgorithm::EdDsa));
    }
}
