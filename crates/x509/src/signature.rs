//! Signature algorithms and their identifiers (RFC 4055, RFC 5758, RFC 8410).

use std::fmt;

use const_oid::db::{rfc5912, rfc8410};
use der::asn1::ObjectIdentifier;

use crate::asn1::{self, Cursor, DerError, Element};

/// A signature algorithm this program makes and accepts. SHA-1, MD5 and DSA have no name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 4055 §5).
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384 (RFC 4055 §5).
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512 (RFC 4055 §5).
    RsaPkcs1Sha512,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 octets (RFC 4055 §3.1).
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384 and a salt of 48 octets (RFC 4055 §3.1).
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512, MGF1 with SHA-512 and a salt of 64 octets (RFC 4055 §3.1).
    RsaPssSha512,
    /// ECDSA with SHA-256 (RFC 5758 §3.2).
    EcdsaSha256,
    /// ECDSA with SHA-384 (RFC 5758 §3.2).
    EcdsaSha384,
    /// ECDSA with SHA-512 (RFC 5758 §3.2).
    EcdsaSha512,
    /// Ed25519 (RFC 8410 §6).
    Ed25519,
}

impl SignatureAlgorithm {
    /// Every algorithm.
    pub const ALL: [SignatureAlgorithm; 10] = [
        SignatureAlgorithm::RsaPkcs1Sha256,
        SignatureAlgorithm::RsaPkcs1Sha384,
        SignatureAlgorithm::RsaPkcs1Sha512,
        SignatureAlgorithm::RsaPssSha256,
        SignatureAlgorithm::RsaPssSha384,
        SignatureAlgorithm::RsaPssSha512,
        SignatureAlgorithm::EcdsaSha256,
        SignatureAlgorithm::EcdsaSha384,
        SignatureAlgorithm::EcdsaSha512,
        SignatureAlgorithm::Ed25519,
    ];

    /// Reads an AlgorithmIdentifier. None if the algorithm is not accepted, or its parameters are not the ones it has here.
    pub fn from_der(identifier: &[u8]) -> Option<SignatureAlgorithm> {
        let (oid, parameters) = parse_identifier(identifier).ok()?;
        let null_or_absent = parameters.is_none_or(|parameters| parameters.der == NULL);
        let algorithm = match oid {
            // RFC 4055 §5 has the parameters be NULL and tells readers to bear their absence.
            rfc5912::SHA_256_WITH_RSA_ENCRYPTION if null_or_absent => {
                SignatureAlgorithm::RsaPkcs1Sha256
            }
            rfc5912::SHA_384_WITH_RSA_ENCRYPTION if null_or_absent => {
                SignatureAlgorithm::RsaPkcs1Sha384
            }
            rfc5912::SHA_512_WITH_RSA_ENCRYPTION if null_or_absent => {
                SignatureAlgorithm::RsaPkcs1Sha512
            }
            rfc5912::ID_RSASSA_PSS => return pss(parameters?).ok().flatten(),
            rfc5912::ECDSA_WITH_SHA_256 if parameters.is_none() => SignatureAlgorithm::EcdsaSha256,
            rfc5912::ECDSA_WITH_SHA_384 if parameters.is_none() => SignatureAlgorithm::EcdsaSha384,
            rfc5912::ECDSA_WITH_SHA_512 if parameters.is_none() => SignatureAlgorithm::EcdsaSha512,
            rfc8410::ID_ED_25519 if parameters.is_none() => SignatureAlgorithm::Ed25519,
            _ => return None,
        };
        Some(algorithm)
    }

    /// The AlgorithmIdentifier, as certificates carry it.
    pub fn to_der(self) -> Vec<u8> {
        let oid = asn1::oid(&self.oid());
        match self {
            SignatureAlgorithm::RsaPkcs1Sha256
            | SignatureAlgorithm::RsaPkcs1Sha384
            | SignatureAlgorithm::RsaPkcs1Sha512 => asn1::sequence(&[&oid, NULL]),
            SignatureAlgorithm::RsaPssSha256 => pss_identifier(&oid, rfc5912::ID_SHA_256, 32),
            SignatureAlgorithm::RsaPssSha384 => pss_identifier(&oid, rfc5912::ID_SHA_384, 48),
            SignatureAlgorithm::RsaPssSha512 => pss_identifier(&oid, rfc5912::ID_SHA_512, 64),
            SignatureAlgorithm::EcdsaSha256
            | SignatureAlgorithm::EcdsaSha384
            | SignatureAlgorithm::EcdsaSha512
            | SignatureAlgorithm::Ed25519 => asn1::sequence(&[&oid]),
        }
    }

    /// The algorithm's object identifier.
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            SignatureAlgorithm::RsaPkcs1Sha256 => rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
            SignatureAlgorithm::RsaPkcs1Sha384 => rfc5912::SHA_384_WITH_RSA_ENCRYPTION,
            SignatureAlgorithm::RsaPkcs1Sha512 => rfc5912::SHA_512_WITH_RSA_ENCRYPTION,
            SignatureAlgorithm::RsaPssSha256
            | SignatureAlgorithm::RsaPssSha384
            | SignatureAlgorithm::RsaPssSha512 => rfc5912::ID_RSASSA_PSS,
            SignatureAlgorithm::EcdsaSha256 => rfc5912::ECDSA_WITH_SHA_256,
            SignatureAlgorithm::EcdsaSha384 => rfc5912::ECDSA_WITH_SHA_384,
            SignatureAlgorithm::EcdsaSha512 => rfc5912::ECDSA_WITH_SHA_512,
            SignatureAlgorithm::Ed25519 => rfc8410::ID_ED_25519,
        }
    }

    /// A name for people.
    pub fn name(self) -> &'static str {
        match self {
            SignatureAlgorithm::RsaPkcs1Sha256 => "RSA with SHA-256",
            SignatureAlgorithm::RsaPkcs1Sha384 => "RSA with SHA-384",
            SignatureAlgorithm::RsaPkcs1Sha512 => "RSA with SHA-512",
            SignatureAlgorithm::RsaPssSha256 => "RSA-PSS with SHA-256",
            SignatureAlgorithm::RsaPssSha384 => "RSA-PSS with SHA-384",
            SignatureAlgorithm::RsaPssSha512 => "RSA-PSS with SHA-512",
            SignatureAlgorithm::EcdsaSha256 => "ECDSA with SHA-256",
            SignatureAlgorithm::EcdsaSha384 => "ECDSA with SHA-384",
            SignatureAlgorithm::EcdsaSha512 => "ECDSA with SHA-512",
            SignatureAlgorithm::Ed25519 => "Ed25519",
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names a signature algorithm that is known and not accepted, for messages.
pub fn weak_algorithm_name(oid: &ObjectIdentifier) -> Option<&'static str> {
    WEAK.iter()
        .find(|(weak, _)| weak == oid)
        .map(|(_, name)| *name)
}

/// Splits an AlgorithmIdentifier into its identifier and parameters.
pub(crate) fn parse_identifier(
    identifier: &[u8],
) -> Result<(ObjectIdentifier, Option<Element<'_>>), DerError> {
    let field = "algorithm identifier";
    let mut inside = Cursor::only(identifier, asn1::SEQUENCE, field)?.inside();
    let oid = inside.expect(asn1::OID, field)?.oid(field)?;
    let parameters = if inside.is_empty() {
        None
    } else {
        Some(inside.any(field)?)
    };
    inside.end(field)?;
    Ok((oid, parameters))
}

/// Reads RSASSA-PSS-params (RFC 4055 §3.1). All of the defaults are SHA-1's, so none may be left out.
fn pss(parameters: Element<'_>) -> Result<Option<SignatureAlgorithm>, DerError> {
    let field = "RSASSA-PSS parameters";
    let mut inside = Cursor::only(parameters.der, asn1::SEQUENCE, field)?.inside();
    let hash = inside.expect(asn1::context_constructed(0), field)?;
    let mask = inside.expect(asn1::context_constructed(1), field)?;
    let salt = inside.expect(asn1::context_constructed(2), field)?;
    if let Some(trailer) = inside.optional(asn1::context_constructed(3), field)? {
        let trailer = Cursor::only(trailer.content, asn1::INTEGER, field)?.small_integer(field)?;
        if trailer != PSS_TRAILER {
            return Ok(None);
        }
    }
    inside.end(field)?;
    let (mask_oid, mask_hash) = parse_identifier(mask.content)?;
    let (hash_oid, hash_parameters) = parse_identifier(hash.content)?;
    let Some(mask_hash) = mask_hash else {
        return Ok(None);
    };
    let (mask_hash_oid, mask_hash_parameters) = parse_identifier(mask_hash.der)?;
    let salt = Cursor::only(salt.content, asn1::INTEGER, field)?.small_integer(field)?;
    let null_or_absent =
        |parameters: Option<Element<'_>>| parameters.is_none_or(|it| it.der == NULL);
    if mask_oid != rfc5912::ID_MGF_1
        || mask_hash_oid != hash_oid
        || !null_or_absent(hash_parameters)
        || !null_or_absent(mask_hash_parameters)
    {
        return Ok(None);
    }
    Ok(match (hash_oid, salt) {
        (rfc5912::ID_SHA_256, 32) => Some(SignatureAlgorithm::RsaPssSha256),
        (rfc5912::ID_SHA_384, 48) => Some(SignatureAlgorithm::RsaPssSha384),
        (rfc5912::ID_SHA_512, 64) => Some(SignatureAlgorithm::RsaPssSha512),
        _ => None,
    })
}

fn pss_identifier(oid: &[u8], hash: ObjectIdentifier, salt: u8) -> Vec<u8> {
    let hash = asn1::sequence(&[&asn1::oid(&hash), NULL]);
    let mask = asn1::sequence(&[&asn1::oid(&rfc5912::ID_MGF_1), &hash]);
    let parameters = asn1::sequence(&[
        &asn1::element(asn1::context_constructed(0), &hash),
        &asn1::element(asn1::context_constructed(1), &mask),
        &asn1::element(
            asn1::context_constructed(2),
            &asn1::element(asn1::INTEGER, &[salt]),
        ),
    ]);
    asn1::sequence(&[oid, &parameters])
}

/// The encoding of NULL.
pub(crate) const NULL: &[u8] = &[0x05, 0x00];

/// trailerFieldBC, the only trailer there is (RFC 4055 §3.1).
const PSS_TRAILER: u64 = 1;

const WEAK: [(ObjectIdentifier, &str); 7] = [
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.2"),
        "RSA with MD2",
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.4"),
        "RSA with MD5",
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"),
        "RSA with SHA-1",
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.14"),
        "RSA with SHA-224",
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.10040.4.3"),
        "DSA with SHA-1",
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"),
        "ECDSA with SHA-1",
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.1"),
        "ECDSA with SHA-224",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identifier_survives_its_der() {
        for algorithm in SignatureAlgorithm::ALL {
            assert_eq!(
                SignatureAlgorithm::from_der(&algorithm.to_der()),
                Some(algorithm)
            );
        }
    }

    #[test]
    fn sha1_is_not_accepted_and_has_a_name() {
        let oid = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");
        let identifier = asn1::sequence(&[&asn1::oid(&oid), NULL]);
        assert_eq!(SignatureAlgorithm::from_der(&identifier), None);
        assert_eq!(weak_algorithm_name(&oid), Some("RSA with SHA-1"));
    }

    #[test]
    fn pss_with_its_sha1_defaults_is_not_accepted() {
        let identifier =
            asn1::sequence(&[&asn1::oid(&rfc5912::ID_RSASSA_PSS), &asn1::sequence(&[])]);
        assert_eq!(SignatureAlgorithm::from_der(&identifier), None);
    }

    #[test]
    fn pss_with_another_salt_length_is_not_accepted() {
        let identifier =
            pss_identifier(&asn1::oid(&rfc5912::ID_RSASSA_PSS), rfc5912::ID_SHA_256, 20);
        assert_eq!(SignatureAlgorithm::from_der(&identifier), None);
    }

    #[test]
    fn ecdsa_with_parameters_is_not_accepted() {
        let identifier = asn1::sequence(&[&asn1::oid(&rfc5912::ECDSA_WITH_SHA_256), NULL]);
        assert_eq!(SignatureAlgorithm::from_der(&identifier), None);
    }

    #[test]
    fn rsa_identifier_is_the_one_openssl_writes() {
        assert_eq!(
            hex::encode(SignatureAlgorithm::RsaPkcs1Sha256.to_der()),
            "300d06092a864886f70d01010b0500"
        );
    }
}
