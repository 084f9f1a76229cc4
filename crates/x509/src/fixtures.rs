//! What the tests of this crate share: the files under tests/fixtures, a signer, and bytes gone wrong.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self as backend, KeyPair};

use crate::{Certificate, PublicKey, SignError, SignatureAlgorithm, Signer, asn1, pem};

/// The DER of one PEM file under tests/fixtures.
macro_rules! fixture {
    ($name:literal) => {
        crate::fixtures::first_block(include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/",
            $name,
            ".pem"
        )))
    };
}
pub(crate) use fixture;

pub(crate) fn first_block(text: &[u8]) -> Vec<u8> {
    pem::decode(text).unwrap().remove(0).der
}

pub(crate) fn root() -> Certificate {
    Certificate::from_der(&fixture!("root")).unwrap()
}

pub(crate) fn intermediate() -> Certificate {
    Certificate::from_der(&fixture!("intermediate")).unwrap()
}

pub(crate) fn leaf() -> Certificate {
    Certificate::from_der(&fixture!("leaf")).unwrap()
}

/// A fresh P-256 key.
pub(crate) struct TestSigner {
    key: backend::EcdsaKeyPair,
    public_key: PublicKey,
}

impl TestSigner {
    pub fn new() -> TestSigner {
        let key =
            backend::EcdsaKeyPair::generate(&backend::ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let curve = asn1::sequence(&[
            &asn1::oid(&const_oid::db::rfc5912::ID_EC_PUBLIC_KEY),
            &asn1::oid(&const_oid::db::rfc5912::SECP_256_R_1),
        ]);
        let spki = asn1::sequence(&[&curve, &asn1::bit_string(key.public_key().as_ref())]);
        let public_key = PublicKey::from_spki_der(&spki).unwrap();
        TestSigner { key, public_key }
    }

    /// Signs a part and puts algorithm and signature behind it, as certificates, requests and CRLs have them.
    pub fn wrap(&self, part: &[u8]) -> Vec<u8> {
        let signature = self.sign(SignatureAlgorithm::EcdsaSha256, part).unwrap();
        asn1::sequence(&[
            part,
            &SignatureAlgorithm::EcdsaSha256.to_der(),
            &asn1::bit_string(&signature),
        ])
    }
}

impl Signer for TestSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if algorithm != SignatureAlgorithm::EcdsaSha256 {
            return Err(SignError::new("only ECDSA with SHA-256"));
        }
        let signature = self.key.sign(&SystemRandom::new(), message);
        signature
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| SignError::new("no randomness"))
    }
}

/// One way for bytes to go wrong, chosen by numbers that proptest draws.
#[derive(Debug, Clone)]
pub(crate) enum Damage {
    Flip { at: usize, with: u8 },
    Cut { at: usize },
    Remove { at: usize, len: usize },
    Repeat { at: usize, len: usize },
    Insert { at: usize, bytes: Vec<u8> },
}

impl Damage {
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        match self {
            Damage::Flip { at, with } => bytes[at % len] ^= with,
            Damage::Cut { at } => bytes.truncate(at % len),
            Damage::Remove { at, len: count } => {
                let at = at % len;
                bytes.drain(at..(at + count).min(len));
            }
            Damage::Repeat { at, len: count } => {
                let at = at % len;
                let part = bytes[at..(at + count).min(len)].to_vec();
                bytes.splice(at..at, part);
            }
            Damage::Insert { at, bytes: new } => {
                let at = at % len;
                bytes.splice(at..at, new.iter().copied());
            }
        }
    }

    pub fn any() -> impl proptest::strategy::Strategy<Value = Damage> {
        use proptest::prelude::*;
        prop_oneof![
            6 => (any::<usize>(), 1..=255u8).prop_map(|(at, with)| Damage::Flip { at, with }),
            1 => any::<usize>().prop_map(|at| Damage::Cut { at }),
            1 => (any::<usize>(), 1..40usize).prop_map(|(at, len)| Damage::Remove { at, len }),
            1 => (any::<usize>(), 1..40usize).prop_map(|(at, len)| Damage::Repeat { at, len }),
            1 => (any::<usize>(), proptest::collection::vec(any::<u8>(), 1..8))
                .prop_map(|(at, bytes)| Damage::Insert { at, bytes }),
        ]
    }
}
