//! What the tests share: requests that can be changed, keys, certificates, and the vectors.

use crate::{Body, SignedRequest, payload::sha256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use bowline_x509::{Certificate, PublicKey, SignError, SignatureAlgorithm, Signer, Time};
use p384::pkcs8::DecodePrivateKey;
use serde::Deserialize;
use std::sync::LazyLock;

/// Noon on 1 June 2026, the time of the AWS4-X509 vectors.
pub(crate) fn noon() -> Time {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

/// A request that owns its parts, so that a test can change one.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: SentBody,
}

#[derive(Clone, Debug)]
pub(crate) enum SentBody {
    Bytes(Vec<u8>),
    Hash([u8; 32]),
    Unknown,
}

impl Sent {
    pub fn new(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Sent {
        Sent {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
                .collect(),
            body: SentBody::Bytes(body.as_bytes().to_vec()),
        }
    }

    pub fn with(mut self, headers: Vec<(String, String)>) -> Sent {
        let headers = headers.into_iter().map(|(n, v)| (n, v.into_bytes()));
        self.headers.extend(headers);
        self
    }

    pub fn request(&self) -> SignedRequest<'_> {
        let body = match &self.body {
            SentBody::Bytes(bytes) => Body::Bytes(bytes),
            SentBody::Hash(hash) => Body::Hash(*hash),
            SentBody::Unknown => Body::Unknown,
        };
        SignedRequest::new(&self.method, &self.target, &self.headers, body)
    }

    pub fn text(&self, name: &str) -> String {
        let (_, value) = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .unwrap();
        String::from_utf8(value.clone()).unwrap()
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers
            .push((name.to_owned(), value.as_bytes().to_vec()));
    }

    pub fn replace(&mut self, name: &str, from: &str, to: &str) {
        let text = self.text(name);
        assert!(text.contains(from), "{name}: {text} has no {from}");
        self.set(name, &text.replace(from, to));
    }
}

/// A private key of a kind that signs AWS4-X509 requests, with a certificate.
pub(crate) struct TestKey {
    pub certificate: Certificate,
    public: PublicKey,
    private: Private,
}

enum Private {
    Ec(EcdsaKeyPair),
    P384(p384::ecdsa::SigningKey),
    Rsa(RsaKeyPair),
    None,
}

impl Signer for TestKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        match (&self.private, algorithm) {
            (Private::Ec(key), SignatureAlgorithm::EcdsaSha256) => {
                Ok(key.sign(&random, message).unwrap().as_ref().to_vec())
            }
            (Private::P384(key), SignatureAlgorithm::EcdsaSha256) => {
                use p384::ecdsa::signature::hazmat::PrehashSigner;
                let signature: p384::ecdsa::DerSignature =
                    key.sign_prehash(&sha256(message)).unwrap();
                Ok(signature.as_bytes().to_vec())
            }
            (Private::Rsa(key), SignatureAlgorithm::RsaPkcs1Sha256) => {
                let mut out = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut out)
                    .unwrap();
                Ok(out)
            }
            _ => Err(SignError::new("key is locked")),
        }
    }
}

/// A self-signed certificate of a fresh key; who issued it does not matter here.
fn generate(algorithm: &'static rcgen::SignatureAlgorithm, serial: u64) -> TestKey {
    let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let certificate = certificate(&pair, serial);
    let der = pair.serialize_der();
    let private = if algorithm == &rcgen::PKCS_ECDSA_P256_SHA256 {
        Private::Ec(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der).unwrap())
    } else if algorithm == &rcgen::PKCS_ECDSA_P521_SHA512 {
        Private::Ec(EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA256_ASN1_SIGNING, &der).unwrap())
    } else if algorithm == &rcgen::PKCS_ECDSA_P384_SHA384 {
        Private::P384(p384::ecdsa::SigningKey::from_pkcs8_der(&der).unwrap())
    } else if algorithm == &rcgen::PKCS_RSA_SHA256 {
        Private::Rsa(RsaKeyPair::from_pkcs8(&der).unwrap())
    } else {
        Private::None
    };
    TestKey {
        public: certificate.public_key().unwrap().clone(),
        certificate,
        private,
    }
}

fn certificate(pair: &rcgen::KeyPair, serial: u64) -> Certificate {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.serial_number = Some(rcgen::SerialNumber::from(serial));
    Certificate::from_der(params.self_signed(pair).unwrap().der()).unwrap()
}

/// Certificates that differ, for chains.
pub(crate) fn certificates(count: u64) -> Vec<Certificate> {
    let pair = rcgen::KeyPair::generate().unwrap();
    (0..count).map(|i| certificate(&pair, 1000 + i)).collect()
}

pub(crate) static P256: LazyLock<TestKey> =
    LazyLock::new(|| generate(&rcgen::PKCS_ECDSA_P256_SHA256, 0x1f71_c511));
pub(crate) static P384: LazyLock<TestKey> =
    LazyLock::new(|| generate(&rcgen::PKCS_ECDSA_P384_SHA384, 0x2001));
pub(crate) static P521: LazyLock<TestKey> =
    LazyLock::new(|| generate(&rcgen::PKCS_ECDSA_P521_SHA512, 7));
pub(crate) static RSA: LazyLock<TestKey> = LazyLock::new(|| generate(&rcgen::PKCS_RSA_SHA256, 291));
pub(crate) static ED25519: LazyLock<TestKey> =
    LazyLock::new(|| generate(&rcgen::PKCS_ED25519, 25519));

/// `tests/vectors/sigv4-requests.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Captures {
    #[serde(rename = "note")]
    _note: String,
    pub requests: Vec<Capture>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Capture {
    pub tag: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body_len: usize,
    body_sha256: String,
    body_hex: Option<String>,
}

impl Capture {
    /// Header values are Latin-1 text in the file.
    pub fn sent(&self) -> Sent {
        let latin_1 = |v: &str| v.chars().map(|c| u8::try_from(c).unwrap()).collect();
        let body = match &self.body_hex {
            Some(text) => {
                let bytes = hex::decode(text).unwrap();
                assert_eq!(bytes.len(), self.body_len);
                SentBody::Bytes(bytes)
            }
            None => SentBody::Hash(hex::decode(&self.body_sha256).unwrap().try_into().unwrap()),
        };
        Sent {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self
                .headers
                .iter()
                .map(|(n, v)| (n.clone(), latin_1(v)))
                .collect(),
            body,
        }
    }
}

pub(crate) fn captures() -> Vec<Capture> {
    let text = include_str!("../../../tests/vectors/sigv4-requests.json");
    serde_json::from_str::<Captures>(text).unwrap().requests
}

/// `tests/vectors/roles-anywhere-vectors.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vectors {
    #[serde(rename = "note")]
    _note: String,
    #[serde(rename = "trust_anchor_pem")]
    _trust_anchor_pem: String,
    #[serde(rename = "intermediate_pem")]
    _intermediate_pem: String,
    pub vectors: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vector {
    pub name: String,
    #[serde(rename = "description")]
    _description: String,
    method: String,
    path_and_query: String,
    headers: Vec<(String, String)>,
    body: String,
    pub canonical_request: String,
    pub canonical_request_sha256: String,
    pub string_to_sign: String,
    pub serial_decimal: String,
    pub serial_hex: String,
    pub expect: String,
}

impl Vector {
    pub fn sent(&self) -> Sent {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        Sent::new(&self.method, &self.path_and_query, &headers, &self.body)
    }
}

pub(crate) fn vectors() -> Vec<Vector> {
    let text = include_str!("../../../tests/vectors/roles-anywhere-vectors.json");
    serde_json::from_str::<Vectors>(text).unwrap().vectors
}
