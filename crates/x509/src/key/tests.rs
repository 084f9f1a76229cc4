use super::*;
use crate::fixtures::{fixture, leaf};
use crate::{Certificate, SignatureError};

fn self_signed(der: &[u8], key: &str, algorithm: SignatureAlgorithm) {
    let certificate = Certificate::from_der(der).unwrap();
    let public_key = certificate.public_key().unwrap();
    assert_eq!(public_key.algorithm().to_string(), key);
    assert_eq!(certificate.signature_algorithm(), Some(algorithm));
    assert_eq!(certificate.verify_signed_by(public_key), Ok(()));

    // One bit of the message, or of the signature, and it no longer stands.
    let mut message = certificate.tbs_der().to_vec();
    message[20] ^= 1;
    let wrong = KeyError::BadSignature {
        key: public_key.algorithm(),
        algorithm,
    };
    assert_eq!(
        public_key.verify(algorithm, &message, certificate.signature()),
        Err(wrong.clone())
    );
    let mut signature = certificate.signature().to_vec();
    *signature.last_mut().unwrap() ^= 1;
    assert_eq!(
        public_key.verify(algorithm, certificate.tbs_der(), &signature),
        Err(wrong)
    );
}

#[test]
fn every_algorithm_verifies_what_openssl_signed_and_nothing_else() {
    use SignatureAlgorithm as S;
    self_signed(&fixture!("rsa_pkcs1_sha256"), "RSA-2048", S::RsaPkcs1Sha256);
    self_signed(&fixture!("rsa_pkcs1_sha384"), "RSA-2048", S::RsaPkcs1Sha384);
    self_signed(&fixture!("rsa_pkcs1_sha512"), "RSA-2048", S::RsaPkcs1Sha512);
    self_signed(&fixture!("rsa_pss_sha256"), "RSA-3072", S::RsaPssSha256);
    self_signed(&fixture!("rsa_pss_sha384"), "RSA-3072", S::RsaPssSha384);
    self_signed(&fixture!("rsa_pss_sha512"), "RSA-3072", S::RsaPssSha512);
    self_signed(&fixture!("ecdsa_p256_sha256"), "P-256", S::EcdsaSha256);
    self_signed(&fixture!("ecdsa_p256_sha384"), "P-256", S::EcdsaSha384);
    self_signed(&fixture!("ecdsa_p256_sha512"), "P-256", S::EcdsaSha512);
    self_signed(&fixture!("ecdsa_p384_sha256"), "P-384", S::EcdsaSha256);
    self_signed(&fixture!("ecdsa_p384_sha384"), "P-384", S::EcdsaSha384);
    self_signed(&fixture!("ecdsa_p384_sha512"), "P-384", S::EcdsaSha512);
    self_signed(&fixture!("ecdsa_p521_sha256"), "P-521", S::EcdsaSha256);
    self_signed(&fixture!("ecdsa_p521_sha384"), "P-521", S::EcdsaSha384);
    self_signed(&fixture!("ecdsa_p521_sha512"), "P-521", S::EcdsaSha512);
    self_signed(&fixture!("ed25519"), "Ed25519", S::Ed25519);
    self_signed(&fixture!("rsa_exponent3"), "RSA-2048", S::RsaPkcs1Sha256);
}

#[test]
fn weak_signature_algorithms_are_named_and_not_verified() {
    for (der, name) in [
        (fixture!("weak_rsa_sha1"), "RSA with SHA-1"),
        (fixture!("weak_rsa_md5"), "RSA with MD5"),
        (fixture!("weak_ecdsa_sha1"), "ECDSA with SHA-1"),
    ] {
        let certificate = Certificate::from_der(&der).unwrap();
        assert_eq!(certificate.signature_algorithm(), None);
        let refused = Err(SignatureError::Algorithm {
            name: name.to_owned(),
        });
        assert_eq!(
            certificate.verify_signed_by(certificate.public_key().unwrap()),
            refused
        );
    }
}

#[test]
fn short_rsa_keys_are_refused_with_both_numbers() {
    let certificate = Certificate::from_der(&fixture!("weak_rsa1024")).unwrap();
    let error = certificate.public_key().unwrap_err();
    assert_eq!(*error, KeyError::RsaSize { bits: 1024 });
    assert_eq!(
        error.to_string(),
        "RSA key of 1024 bits is outside 2048 to 8192"
    );
}

#[test]
fn other_curves_are_refused_by_identifier() {
    let certificate = Certificate::from_der(&fixture!("weak_secp256k1")).unwrap();
    assert_eq!(
        certificate.public_key(),
        Err(&KeyError::UnknownCurve {
            curve: "1.3.132.0.10".into()
        })
    );
}

#[test]
fn a_point_off_the_curve_is_refused() {
    let mut spki = leaf().spki_der().to_vec();
    *spki.last_mut().unwrap() ^= 1;
    let error = PublicKey::from_spki_der(&spki).unwrap_err();
    assert_eq!(
        error,
        KeyError::Invalid {
            algorithm: KeyAlgorithm::P256,
            rule: "not a point on the curve"
        }
    );
}

#[test]
fn a_compressed_point_is_refused() {
    let key = leaf().public_key().unwrap().clone();
    let compressed = [&[2], &key.key_bits()[1..33]].concat();
    let spki = with_key_bits(&key, &compressed);
    let rule = "a compressed point; the uncompressed form is required";
    let error = PublicKey::from_spki_der(&spki).unwrap_err();
    assert_eq!(
        error,
        KeyError::Invalid {
            algorithm: KeyAlgorithm::P256,
            rule
        }
    );
}

#[test]
fn the_point_at_infinity_is_refused() {
    let spki = with_key_bits(leaf().public_key().unwrap(), &[0]);
    assert!(matches!(
        PublicKey::from_spki_der(&spki),
        Err(KeyError::Invalid { .. })
    ));
}

/// The same algorithm with another key.
fn with_key_bits(key: &PublicKey, key_bits: &[u8]) -> Vec<u8> {
    let identifier = Cursor::only(key.spki_der(), asn1::SEQUENCE, "")
        .unwrap()
        .inside()
        .any("")
        .unwrap();
    asn1::sequence(&[identifier.der, &asn1::bit_string(key_bits)])
}

fn rsa_with(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, KeyError> {
    let certificate = Certificate::from_der(&fixture!("rsa_pkcs1_sha256")).unwrap();
    let key = certificate.public_key().unwrap();
    let numbers = asn1::sequence(&[
        &asn1::element(asn1::INTEGER, modulus),
        &asn1::element(asn1::INTEGER, exponent),
    ]);
    PublicKey::from_spki_der(&with_key_bits(key, &numbers))
}

/// The modulus of a real key, as the content of its INTEGER.
fn modulus() -> Vec<u8> {
    let certificate = Certificate::from_der(&fixture!("rsa_pkcs1_sha256")).unwrap();
    let key_bits = certificate.public_key().unwrap().key_bits().to_vec();
    let mut inside = Cursor::only(&key_bits, asn1::SEQUENCE, "")
        .unwrap()
        .inside();
    inside.any("").unwrap().content.to_vec()
}

#[test]
fn rsa_exponents_must_be_odd_and_at_least_three() {
    assert!(rsa_with(&modulus(), &[3]).is_ok());
    assert!(rsa_with(&modulus(), &[1, 0, 1]).is_ok());
    for exponent in [&[1][..], &[2], &[0], &[0xff], &[1, 0, 0, 0, 1]] {
        assert!(
            matches!(
                rsa_with(&modulus(), exponent),
                Err(KeyError::RsaExponent { .. })
            ),
            "{exponent:?}"
        );
    }
}

#[test]
fn rsa_moduli_that_are_easy_to_factor_are_refused() {
    let mut even = modulus();
    *even.last_mut().unwrap() &= 0xfe;
    assert_eq!(
        rsa_with(&even, &[3]),
        Err(KeyError::RsaModulus {
            weakness: "has a factor below 170"
        })
    );
}

#[test]
fn negative_and_oversized_rsa_moduli_are_refused() {
    let negative = [&[0x80], &modulus()[2..]].concat();
    assert_eq!(
        rsa_with(&negative, &[3]),
        Err(KeyError::RsaModulus {
            weakness: "is negative"
        })
    );
    let huge = [&[1], vec![0xff; 1024].as_slice()].concat();
    assert_eq!(rsa_with(&huge, &[3]), Err(KeyError::RsaSize { bits: 8193 }));
}

#[test]
fn key_and_algorithm_must_belong_together() {
    let key = leaf().public_key().unwrap().clone();
    let error = key
        .verify(SignatureAlgorithm::Ed25519, b"", b"")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a P-256 key does not make Ed25519 signatures"
    );
}

#[test]
fn the_key_identifier_is_the_one_openssl_writes() {
    let leaf = leaf();
    assert_eq!(
        leaf.subject_key_id(),
        Some(leaf.public_key().unwrap().key_id().as_slice())
    );
}

#[test]
fn default_algorithms_follow_the_curve() {
    assert_eq!(
        KeyAlgorithm::P384.default_signature_algorithm(),
        SignatureAlgorithm::EcdsaSha384
    );
    assert_eq!(
        KeyAlgorithm::P521.default_signature_algorithm(),
        SignatureAlgorithm::EcdsaSha512
    );
    assert_eq!(
        KeyAlgorithm::Rsa { bits: 2048 }.default_signature_algorithm(),
        SignatureAlgorithm::RsaPkcs1Sha256
    );
}
