//! Signers and authorities for the tests of this crate.

use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self as backend, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use bowline_x509::{
    DistinguishedName, GeneralName, PublicKey, SerialNumber, SignError, SignatureAlgorithm, Signer,
    Time,
};
use p384::ecdsa::signature::Signer as _;
use p384::pkcs8::EncodePublicKey as _;

use crate::{Asked, Authority, AuthorityUrls, CertificateProfile, Draft, Subject, SubjectName};

/// A private key in memory.
pub(crate) struct TestSigner {
    public_key: PublicKey,
    key: Key,
}

enum Key {
    Ecdsa(EcdsaKeyPair, SignatureAlgorithm),
    P384(Box<p384::ecdsa::SigningKey>),
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

impl TestSigner {
    fn ecdsa(kind: &'static EcdsaSigningAlgorithm, algorithm: SignatureAlgorithm) -> TestSigner {
        let key = EcdsaKeyPair::generate(kind).unwrap();
        let spki = key.public_key().as_der().unwrap();
        TestSigner {
            public_key: PublicKey::from_spki_der(spki.as_ref()).unwrap(),
            key: Key::Ecdsa(key, algorithm),
        }
    }

    pub(crate) fn p256() -> TestSigner {
        TestSigner::ecdsa(
            &backend::ECDSA_P256_SHA256_ASN1_SIGNING,
            SignatureAlgorithm::EcdsaSha256,
        )
    }

    pub(crate) fn p521() -> TestSigner {
        TestSigner::ecdsa(
            &backend::ECDSA_P521_SHA512_ASN1_SIGNING,
            SignatureAlgorithm::EcdsaSha512,
        )
    }

    /// A P-384 key of the p384 crate; the same seed gives the same key.
    pub(crate) fn p384(seed: u8) -> TestSigner {
        let key = p384::ecdsa::SigningKey::from_slice(&[seed; 48]).unwrap();
        let spki = p384::PublicKey::from(key.verifying_key())
            .to_public_key_der()
            .unwrap();
        TestSigner {
            public_key: PublicKey::from_spki_der(spki.as_bytes()).unwrap(),
            key: Key::P384(Box::new(key)),
        }
    }

    pub(crate) fn rsa() -> TestSigner {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let spki = key.public_key().as_der().unwrap();
        TestSigner {
            public_key: PublicKey::from_spki_der(spki.as_ref()).unwrap(),
            key: Key::Rsa(Box::new(key)),
        }
    }

    pub(crate) fn ed25519() -> TestSigner {
        let key = Ed25519KeyPair::generate().unwrap();
        let spki = key.public_key().as_der().unwrap();
        TestSigner {
            public_key: PublicKey::from_spki_der(spki.as_ref()).unwrap(),
            key: Key::Ed25519(key),
        }
    }

    /// One key of every kind, P-256 first. Made once: RSA keys take their time.
    pub(crate) fn of_every_kind() -> &'static [TestSigner; 5] {
        static SIGNERS: OnceLock<[TestSigner; 5]> = OnceLock::new();
        SIGNERS.get_or_init(|| {
            [
                TestSigner::p256(),
                TestSigner::p384(7),
                TestSigner::p521(),
                TestSigner::rsa(),
                TestSigner::ed25519(),
            ]
        })
    }
}

impl Signer for TestSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if algorithm != self.public_key.default_signature_algorithm() {
            return Err(SignError::new(format!(
                "this key does not sign with {algorithm:?}"
            )));
        }
        let random = SystemRandom::new();
        match &self.key {
            Key::Ecdsa(key, own) => {
                assert_eq!(algorithm, *own);
                Ok(key.sign(&random, message).unwrap().as_ref().to_vec())
            }
            Key::P384(key) => {
                let signature: p384::ecdsa::DerSignature = key.sign(message);
                Ok(signature.as_bytes().to_vec())
            }
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&backend::RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                Ok(signature)
            }
            Key::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
    }
}

/// A signer that shows another's key and refuses, or signs something else.
pub(crate) struct BadSigner<'a> {
    pub(crate) honest: &'a TestSigner,
    /// Refuse with this reason; else sign the wrong message.
    pub(crate) refusal: Option<&'static str>,
}

impl Signer for BadSigner<'_> {
    fn public_key(&self) -> &PublicKey {
        self.honest.public_key()
    }

    fn sign(&self, algorithm: SignatureAlgorithm, _message: &[u8]) -> Result<Vec<u8>, SignError> {
        match self.refusal {
            Some(reason) => Err(SignError::new(reason)),
            None => self.honest.sign(algorithm, b"something else"),
        }
    }
}

pub(crate) fn time(text: &str) -> Time {
    text.parse().unwrap()
}

/// When most tests happen.
pub(crate) fn now() -> Time {
    time("2026-03-01T12:00:00Z")
}

pub(crate) fn name(text: &str) -> DistinguishedName {
    text.parse().unwrap()
}

pub(crate) fn serial(number: u8) -> SerialNumber {
    SerialNumber::from_bytes(&[number]).unwrap()
}

pub(crate) fn dns(text: &str) -> GeneralName {
    GeneralName::Dns(text.to_owned())
}

pub(crate) fn urls() -> AuthorityUrls {
    AuthorityUrls {
        crl: "http://ca.example/crl/issuing.crl".to_owned(),
        ca_certificate: "http://ca.example/ca/issuing.crt".to_owned(),
    }
}

/// A self-signed authority made now.
pub(crate) fn root_of(signer: &TestSigner) -> Authority {
    root_at(signer, now(), Asked::default())
}

pub(crate) fn root_at(signer: &TestSigner, now: Time, asked: Asked) -> Authority {
    let profile = CertificateProfile::root();
    let draft = profile
        .draft_root(
            &name("CN=Test Root CA"),
            signer.public_key(),
            &asked,
            serial(1),
            now,
        )
        .unwrap();
    Authority::new(draft.sign(signer).unwrap(), Vec::new(), None).unwrap()
}

/// An issuing authority below another, made now, that publishes.
pub(crate) fn issuing_below(
    parent: &Authority,
    parent_signer: &TestSigner,
    signer: &TestSigner,
) -> Authority {
    let (profile, subject) = (CertificateProfile::issuing(), name("CN=Test Issuing CA"));
    let draft = profile
        .draft_authority(
            &subject,
            signer.public_key(),
            &Asked::default(),
            parent,
            serial(2),
            now(),
        )
        .unwrap();
    let certificate = draft.sign(parent, parent_signer).unwrap();
    let mut chain = vec![parent.certificate().clone()];
    chain.extend_from_slice(parent.chain());
    Authority::new(certificate, chain, Some(urls())).unwrap()
}

/// The usual pair: a P-384 root and a P-256 issuing authority.
pub(crate) struct World {
    pub(crate) root: Authority,
    pub(crate) root_signer: TestSigner,
    pub(crate) issuing: Authority,
    pub(crate) issuing_signer: TestSigner,
}

/// Made once, because the p384 crate is slow without optimization.
pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let (root_signer, issuing_signer) = (TestSigner::p384(1), TestSigner::p256());
        let root = root_of(&root_signer);
        let issuing = issuing_below(&root, &root_signer, &issuing_signer);
        World {
            root,
            root_signer,
            issuing,
            issuing_signer,
        }
    })
}

/// A P-256 key to certify.
pub(crate) fn subject_key() -> PublicKey {
    TestSigner::of_every_kind()[0].public_key().clone()
}

pub(crate) fn subject(common_name: &str) -> Subject {
    Subject {
        name: SubjectName::CommonName(common_name.to_owned()),
        names: Vec::new(),
        roles: Vec::new(),
        public_key: subject_key(),
    }
}

/// A draft of the usual pair's, now.
pub(crate) fn drafted(
    profile: &CertificateProfile,
    subject: &Subject,
) -> Result<Draft, crate::ProfileError> {
    profile.draft(
        subject,
        &Asked::default(),
        &world().issuing,
        serial(9),
        now(),
    )
}
