//! Public keys: which are accepted, and what they can verify (RFC 3279 §2.3, RFC 5480, RFC 8410).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::{digest, signature as backend};
use const_oid::db::{rfc5912, rfc8410};
use der::asn1::ObjectIdentifier;

use crate::SignatureAlgorithm;
use crate::asn1::{self, Cursor, DerError};
use crate::signature::{NULL, parse_identifier};

mod weakness;

/// The kind of a public key that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// RSA (RFC 8017) of this many bits.
    Rsa {
        /// Length of the modulus.
        bits: u32,
    },
    /// ECDSA on secp256r1 (RFC 5480 §2.1.1.1).
    P256,
    /// ECDSA on secp384r1.
    P384,
    /// ECDSA on secp521r1.
    P521,
    /// Ed25519 (RFC 8410).
    Ed25519,
}

/// A subject's public key, checked when it was read: of an accepted kind, long enough, and on its curve.
#[derive(Clone)]
pub struct PublicKey {
    inner: Arc<Inner>,
}

struct Inner {
    spki: Vec<u8>,
    key_bits: Vec<u8>,
    algorithm: KeyAlgorithm,
    /// Decoded once, for the algorithm most signatures have.
    parsed: backend::ParsedPublicKey,
}

/// Why a public key is refused, or a signature does not verify under it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The SubjectPublicKeyInfo is not DER.
    #[error("public key: {0}")]
    Der(#[from] DerError),
    /// The kind of key is not accepted.
    #[error("key algorithm {oid} is not accepted: RSA, P-256, P-384, P-521 and Ed25519 are")]
    UnknownAlgorithm {
        /// Its object identifier.
        oid: ObjectIdentifier,
    },
    /// The curve is not accepted, or is not named by an identifier.
    #[error(
        "elliptic curve {curve} is not accepted: P-256, P-384 and P-521, named by identifier, are"
    )]
    UnknownCurve {
        /// Its identifier, or a word for what stands there.
        curve: String,
    },
    /// An RSA modulus is too short or too long.
    #[error("RSA key of {bits} bits is outside {RSA_BITS_MIN} to {RSA_BITS_MAX}")]
    RsaSize {
        /// Its length.
        bits: u32,
    },
    /// An RSA exponent that is even, below 3, or longer than 32 bits.
    #[error("RSA public exponent {exponent} must be odd, at least 3 and at most 32 bits long")]
    RsaExponent {
        /// The exponent in hexadecimal, shortened.
        exponent: String,
    },
    /// An RSA modulus that is known to be easy to factor.
    #[error("RSA modulus {weakness}")]
    RsaModulus {
        /// What is wrong with it.
        weakness: &'static str,
    },
    /// The bytes are not a key of that kind: wrong length, compressed, or not on the curve.
    #[error("not a valid {algorithm} public key: {rule}")]
    Invalid {
        /// What it should be.
        algorithm: KeyAlgorithm,
        /// What it is not.
        rule: &'static str,
    },
    /// This kind of key does not make this kind of signature.
    #[error("a {key} key does not make {algorithm} signatures")]
    Mismatch {
        /// The key.
        key: KeyAlgorithm,
        /// The signature.
        algorithm: SignatureAlgorithm,
    },
    /// The signature is not this key's over this message.
    #[error("the {algorithm} signature does not verify under the {key} key")]
    BadSignature {
        /// The key.
        key: KeyAlgorithm,
        /// The signature.
        algorithm: SignatureAlgorithm,
    },
}

impl KeyAlgorithm {
    /// The hash its signatures take unless something else is asked: SHA-384 for P-384, SHA-512 for P-521, else SHA-256.
    pub fn default_signature_algorithm(self) -> SignatureAlgorithm {
        match self {
            KeyAlgorithm::Rsa { .. } => SignatureAlgorithm::RsaPkcs1Sha256,
            KeyAlgorithm::P256 => SignatureAlgorithm::EcdsaSha256,
            KeyAlgorithm::P384 => SignatureAlgorithm::EcdsaSha384,
            KeyAlgorithm::P521 => SignatureAlgorithm::EcdsaSha512,
            KeyAlgorithm::Ed25519 => SignatureAlgorithm::Ed25519,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyAlgorithm::Rsa { bits } => write!(f, "RSA-{bits}"),
            KeyAlgorithm::P256 => f.write_str("P-256"),
            KeyAlgorithm::P384 => f.write_str("P-384"),
            KeyAlgorithm::P521 => f.write_str("P-521"),
            KeyAlgorithm::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

impl PublicKey {
    /// Reads and checks a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    pub fn from_spki_der(spki: &[u8]) -> Result<PublicKey, KeyError> {
        let field = "subject public key info";
        let mut inside = Cursor::only(spki, asn1::SEQUENCE, field)?.inside();
        let identifier = inside.expect(asn1::SEQUENCE, "key algorithm")?;
        let key_bits = inside
            .expect(asn1::BIT_STRING, "key")?
            .octet_aligned_bits("key")?;
        inside.end(field)?;
        let (oid, parameters) = parse_identifier(identifier.der)?;
        let algorithm = match oid {
            rfc5912::RSA_ENCRYPTION => {
                if parameters.is_some_and(|parameters| parameters.der != NULL) {
                    return Err(DerError::Value {
                        field: "RSA parameters",
                        rule: "must be NULL",
                    }
                    .into());
                }
                check_rsa(key_bits)?
            }
            rfc5912::ID_EC_PUBLIC_KEY => match parameters {
                Some(curve) if curve.tag == asn1::OID => match curve.oid("curve")? {
                    rfc5912::SECP_256_R_1 => KeyAlgorithm::P256,
                    rfc5912::SECP_384_R_1 => KeyAlgorithm::P384,
                    rfc5912::SECP_521_R_1 => KeyAlgorithm::P521,
                    other => {
                        return Err(KeyError::UnknownCurve {
                            curve: other.to_string(),
                        });
                    }
                },
                Some(_) => {
                    return Err(KeyError::UnknownCurve {
                        curve: "with explicit parameters".into(),
                    });
                }
                None => {
                    return Err(KeyError::UnknownCurve {
                        curve: "without parameters".into(),
                    });
                }
            },
            rfc8410::ID_ED_25519 => {
                if parameters.is_some() {
                    return Err(DerError::Value {
                        field: "Ed25519 parameters",
                        rule: "must be absent",
                    }
                    .into());
                }
                KeyAlgorithm::Ed25519
            }
            oid => return Err(KeyError::UnknownAlgorithm { oid }),
        };
        check_encoding(algorithm, key_bits)?;
        let verifier = verifier(algorithm, algorithm.default_signature_algorithm());
        let invalid = |rule| KeyError::Invalid { algorithm, rule };
        let verifier = verifier.ok_or(invalid("no verifier"))?;
        // The backend decodes the point, so a point off the curve ends here.
        let parsed = backend::ParsedPublicKey::new(verifier, key_bits)
            .map_err(|_| invalid("not a point on the curve"))?;
        let inner = Inner {
            spki: spki.to_vec(),
            key_bits: key_bits.to_vec(),
            algorithm,
            parsed,
        };
        Ok(PublicKey {
            inner: Arc::new(inner),
        })
    }

    /// The SubjectPublicKeyInfo as it was read.
    pub fn spki_der(&self) -> &[u8] {
        &self.inner.spki
    }

    /// What kind of key it is.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.inner.algorithm
    }

    /// The content of the BIT STRING: an uncompressed point, an RSAPublicKey, or 32 octets of Ed25519.
    pub fn key_bits(&self) -> &[u8] {
        &self.inner.key_bits
    }

    /// The key identifier by the RFC's first method: SHA-1 of the BIT STRING's content (RFC 5280 §4.2.1.2).
    ///
    /// Names a key, and protects nothing: SHA-1 is not used as a signature hash anywhere here.
    pub fn key_id(&self) -> [u8; 20] {
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.inner.key_bits);
        // Cannot fail: SHA-1 has 20 octets.
        digest.as_ref().try_into().expect("20 octets")
    }

    /// The algorithm this key signs with unless another is asked for.
    pub fn default_signature_algorithm(&self) -> SignatureAlgorithm {
        self.inner.algorithm.default_signature_algorithm()
    }

    /// Checks that the signature over the message was made with this key's private half. ECDSA signatures are DER.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyError> {
        let key = self.inner.algorithm;
        let verifier = verifier(key, algorithm).ok_or(KeyError::Mismatch { key, algorithm })?;
        let verified = if algorithm == self.default_signature_algorithm() {
            self.inner.parsed.verify_sig(message, signature)
        } else {
            backend::UnparsedPublicKey::new(verifier, &self.inner.key_bits)
                .verify(message, signature)
        };
        verified.map_err(|_| KeyError::BadSignature { key, algorithm })
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &PublicKey) -> bool {
        self.inner.spki == other.inner.spki
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PublicKey({}, {})",
            self.inner.algorithm,
            hex::encode(self.key_id())
        )
    }
}

/// Checks an RSAPublicKey (RFC 8017 §A.1.1).
fn check_rsa(key_bits: &[u8]) -> Result<KeyAlgorithm, KeyError> {
    let field = "RSA public key";
    let mut inside = Cursor::only(key_bits, asn1::SEQUENCE, field)?.inside();
    let modulus = inside
        .expect(asn1::INTEGER, "RSA modulus")?
        .integer("RSA modulus")?;
    let exponent = inside
        .expect(asn1::INTEGER, "RSA exponent")?
        .integer("RSA exponent")?;
    inside.end(field)?;
    if modulus[0] & 0x80 != 0 {
        return Err(KeyError::RsaModulus {
            weakness: "is negative",
        });
    }
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let leading = modulus.first().map_or(0, |first| first.leading_zeros());
    let octets = u32::try_from(modulus.len()).unwrap_or(u32::MAX / 8);
    let bits = (octets * 8).saturating_sub(leading);
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Err(KeyError::RsaSize { bits });
    }
    let value = exponent.strip_prefix(&[0]).unwrap_or(exponent);
    let odd = value.last().is_some_and(|last| last & 1 == 1);
    if exponent[0] & 0x80 != 0 || !odd || value == [1] || value.len() > RSA_EXPONENT_OCTETS_MAX {
        let shown = &exponent[..exponent.len().min(RSA_EXPONENT_OCTETS_MAX + 1)];
        return Err(KeyError::RsaExponent {
            exponent: format!("0x{}", hex::encode(shown)),
        });
    }
    match weakness::of_modulus(modulus) {
        Some(weakness) => Err(KeyError::RsaModulus { weakness }),
        None => Ok(KeyAlgorithm::Rsa { bits }),
    }
}

/// Checks form and length of the key octets, which the backend is more liberal about.
fn check_encoding(algorithm: KeyAlgorithm, key_bits: &[u8]) -> Result<(), KeyError> {
    let (coordinate, point) = match algorithm {
        KeyAlgorithm::Rsa { .. } => return Ok(()),
        KeyAlgorithm::P256 => (32, true),
        KeyAlgorithm::P384 => (48, true),
        KeyAlgorithm::P521 => (66, true),
        KeyAlgorithm::Ed25519 => (32, false),
    };
    let right = if point {
        key_bits.len() == 1 + 2 * coordinate && key_bits[0] == UNCOMPRESSED_POINT
    } else {
        key_bits.len() == coordinate
    };
    if right {
        return Ok(());
    }
    let rule = match key_bits.first() {
        Some(2 | 3) if point => "a compressed point; the uncompressed form is required",
        _ => "wrong length or form",
    };
    Err(KeyError::Invalid { algorithm, rule })
}

/// The backend's verifier for a pair that belongs together.
fn verifier(
    key: KeyAlgorithm,
    algorithm: SignatureAlgorithm,
) -> Option<&'static dyn backend::VerificationAlgorithm> {
    use SignatureAlgorithm as S;
    Some(match (key, algorithm) {
        (KeyAlgorithm::Rsa { .. }, S::RsaPkcs1Sha256) => &backend::RSA_PKCS1_2048_8192_SHA256,
        (KeyAlgorithm::Rsa { .. }, S::RsaPkcs1Sha384) => &backend::RSA_PKCS1_2048_8192_SHA384,
        (KeyAlgorithm::Rsa { .. }, S::RsaPkcs1Sha512) => &backend::RSA_PKCS1_2048_8192_SHA512,
        (KeyAlgorithm::Rsa { .. }, S::RsaPssSha256) => &backend::RSA_PSS_2048_8192_SHA256,
        (KeyAlgorithm::Rsa { .. }, S::RsaPssSha384) => &backend::RSA_PSS_2048_8192_SHA384,
        (KeyAlgorithm::Rsa { .. }, S::RsaPssSha512) => &backend::RSA_PSS_2048_8192_SHA512,
        (KeyAlgorithm::P256, S::EcdsaSha256) => &backend::ECDSA_P256_SHA256_ASN1,
        (KeyAlgorithm::P256, S::EcdsaSha384) => &backend::ECDSA_P256_SHA384_ASN1,
        (KeyAlgorithm::P256, S::EcdsaSha512) => &backend::ECDSA_P256_SHA512_ASN1,
        (KeyAlgorithm::P384, S::EcdsaSha256) => &backend::ECDSA_P384_SHA256_ASN1,
        (KeyAlgorithm::P384, S::EcdsaSha384) => &backend::ECDSA_P384_SHA384_ASN1,
        (KeyAlgorithm::P384, S::EcdsaSha512) => &backend::ECDSA_P384_SHA512_ASN1,
        (KeyAlgorithm::P521, S::EcdsaSha256) => &backend::ECDSA_P521_SHA256_ASN1,
        (KeyAlgorithm::P521, S::EcdsaSha384) => &backend::ECDSA_P521_SHA384_ASN1,
        (KeyAlgorithm::P521, S::EcdsaSha512) => &backend::ECDSA_P521_SHA512_ASN1,
        (KeyAlgorithm::Ed25519, S::Ed25519) => &backend::ED25519,
        (
            KeyAlgorithm::Rsa { .. }
            | KeyAlgorithm::P256
            | KeyAlgorithm::P384
            | KeyAlgorithm::P521
            | KeyAlgorithm::Ed25519,
            _,
        ) => return None,
    })
}

/// Below this, factoring is within reach of a state (NIST SP 800-131A disallows it).
const RSA_BITS_MIN: u32 = 2048;

/// Above this, verifying a signature costs more than an answer should; the backend stops here too.
const RSA_BITS_MAX: u32 = 8192;

/// Longer exponents only slow the verifier down; 65537 takes three octets.
const RSA_EXPONENT_OCTETS_MAX: usize = 4;

/// First octet of an uncompressed point (SEC 1 §2.3.3).
const UNCOMPRESSED_POINT: u8 = 4;

#[cfg(test)]
mod tests;
