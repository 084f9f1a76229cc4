//! Private keys and the concrete signers behind the [`Signer`] seam.
//!
//! P-384 keys sign with the `p384` crate (deterministic, RFC 6979, over any of the three
//! SHA-2 digests); every other kind with `aws-lc-rs`.

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use bowline_x509::pem;
use bowline_x509::{KeyAlgorithm, PublicKey, SignError, SignatureAlgorithm, Signer};
use p384::ecdsa::signature::hazmat::PrehashSigner;
use p384::elliptic_curve::Generate;
use p384::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use pkcs8::EncryptedPrivateKeyInfoRef;
use zeroize::{Zeroize, Zeroizing};

use crate::environment::{Entropy, draw};
use crate::error::Error;

/// The kinds of key that can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySpec {
    /// ECDSA on P-256, the default for leaves and issuing authorities.
    P256,
    /// ECDSA on P-384, the default for roots.
    P384,
    /// ECDSA on P-521.
    P521,
    /// RSA with a 2,048-bit modulus.
    Rsa2048,
    /// RSA with a 3,072-bit modulus.
    Rsa3072,
    /// RSA with a 4,096-bit modulus.
    Rsa4096,
    /// Ed25519. No Roles Anywhere client signs with it.
    Ed25519,
}

impl KeySpec {
    /// The kind of key that another key is, where that kind can be generated.
    pub fn like(algorithm: KeyAlgorithm) -> Option<KeySpec> {
        match algorithm {
            KeyAlgorithm::P256 => Some(KeySpec::P256),
            KeyAlgorithm::P384 => Some(KeySpec::P384),
            KeyAlgorithm::P521 => Some(KeySpec::P521),
            KeyAlgorithm::Rsa { bits: 2048 } => Some(KeySpec::Rsa2048),
            KeyAlgorithm::Rsa { bits: 3072 } => Some(KeySpec::Rsa3072),
            KeyAlgorithm::Rsa { bits: 4096 } => Some(KeySpec::Rsa4096),
            KeyAlgorithm::Ed25519 => Some(KeySpec::Ed25519),
            KeyAlgorithm::Rsa { .. } => None,
        }
    }
}

/// A private key that can sign. Its bytes are wiped when it is dropped, and it has no
/// `Debug`, `Clone` or serialization by which it could leave unnoticed.
pub struct PrivateKey {
    pair: Pair,
    public: PublicKey,
    pkcs8: Zeroizing<Vec<u8>>,
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(p384::ecdsa::SigningKey),
    /// aws-lc-rs binds the digest to the key: one pair a digest, SHA-256, 384 and 512.
    P521([EcdsaKeyPair; 3]),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Generates a key.
    pub fn generate(spec: KeySpec) -> Result<PrivateKey, Error> {
        let failed = |_| Error::internal("the cryptographic library could not generate a key");
        let rsa = |size| {
            RsaKeyPair::generate(size).map_err(failed).and_then(|pair| {
                AsDer::<Pkcs8V1Der<'_>>::as_der(&pair)
                    .map(|der| Zeroizing::new(der.as_ref().to_vec()))
                    .map_err(failed)
            })
        };
        let ecdsa = |algorithm| {
            EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())
                .map(|document| Zeroizing::new(document.as_ref().to_vec()))
                .map_err(failed)
        };
        let pkcs8 = match spec {
            KeySpec::P256 => ecdsa(&signature::ECDSA_P256_SHA256_ASN1_SIGNING)?,
            KeySpec::P521 => ecdsa(&signature::ECDSA_P521_SHA512_ASN1_SIGNING)?,
            KeySpec::P384 => {
                let secret = p384::SecretKey::try_generate().map_err(|_| {
                    Error::internal("the operating system gave no random bytes for a key")
                })?;
                let document = secret
                    .to_pkcs8_der()
                    .map_err(|_| Error::internal("a P-384 key could not be encoded"))?;
                Zeroizing::new(document.as_bytes().to_vec())
            }
            KeySpec::Rsa2048 => rsa(KeySize::Rsa2048)?,
            KeySpec::Rsa3072 => rsa(KeySize::Rsa3072)?,
            KeySpec::Rsa4096 => rsa(KeySize::Rsa4096)?,
            KeySpec::Ed25519 => {
                let document =
                    Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(failed)?;
                Zeroizing::new(document.as_ref().to_vec())
            }
        };
        PrivateKey::from_der(&pkcs8)
    }

    /// Reads an unencrypted key: PKCS#8 (RFC 5958), SEC1 (RFC 5915) or PKCS#1 (RFC 8017).
    pub fn from_der(der: &[u8]) -> Result<PrivateKey, Error> {
        let (pair, spki) = read_pair(der).ok_or(Error::PrivateKeyUnreadable)?;
        let public = PublicKey::from_spki_der(&spki).map_err(Error::Key)?;
        let pkcs8 = pair.to_pkcs8()?;
        Ok(PrivateKey {
            pair,
            public,
            pkcs8,
        })
    }

    /// Reads a key from a file's bytes: PEM or DER. An encrypted one (PKCS#8, PBES2) needs its password.
    pub fn from_file(bytes: &[u8], password: Option<&[u8]>) -> Result<PrivateKey, Error> {
        let is_pem = bytes
            .windows(PEM_BEGINS.len())
            .any(|window| window == PEM_BEGINS);
        if is_pem || bytes.first() != Some(&DER_SEQUENCE) {
            return PrivateKey::from_pem(bytes, password);
        }
        match EncryptedPrivateKeyInfoRef::try_from(bytes) {
            Ok(encrypted) => PrivateKey::decrypt(&encrypted, password),
            Err(_) => PrivateKey::from_der(bytes),
        }
    }

    /// Reads a key from PEM. An encrypted one (PKCS#8, PBES2) needs its password.
    pub fn from_pem(text: &[u8], password: Option<&[u8]>) -> Result<PrivateKey, Error> {
        let mut blocks = pem::decode(text).map_err(Error::Pem)?;
        let key = blocks
            .iter()
            .find(|block| block.label.ends_with("PRIVATE KEY"))
            .ok_or(Error::NoPrivateKeyInPem)
            .and_then(|block| PrivateKey::from_block(block, password));
        for block in &mut blocks {
            block.der.zeroize();
        }
        key
    }

    fn from_block(block: &pem::Block, password: Option<&[u8]>) -> Result<PrivateKey, Error> {
        if block.label != "ENCRYPTED PRIVATE KEY" {
            return PrivateKey::from_der(&block.der);
        }
        let encrypted = EncryptedPrivateKeyInfoRef::try_from(block.der.as_slice())
            .map_err(|_| Error::PrivateKeyUnreadable)?;
        PrivateKey::decrypt(&encrypted, password)
    }

    fn decrypt(
        encrypted: &EncryptedPrivateKeyInfoRef<'_>,
        password: Option<&[u8]>,
    ) -> Result<PrivateKey, Error> {
        let password = password.ok_or(Error::PrivateKeyEncrypted)?;
        let document = encrypted
            .decrypt(password)
            .map_err(|_| Error::PrivateKeyPasswordWrong)?;
        PrivateKey::from_der(document.as_bytes())
    }

    /// The kind of key it is, where that kind can be generated.
    pub fn spec(&self) -> Option<KeySpec> {
        KeySpec::like(self.public.algorithm())
    }

    /// Whether a certificate (DER) is for this key.
    pub fn is_key_of(&self, certificate: &[u8]) -> Result<bool, Error> {
        let certificate = bowline_x509::Certificate::from_der(certificate)?;
        Ok(certificate.spki_der() == self.public.spki_der())
    }

    /// The key as PKCS#8 PEM, unencrypted.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem::encode("PRIVATE KEY", &self.pkcs8))
    }

    /// The key as PKCS#8 PEM under a password (PBES2: scrypt and AES-256-CBC), which openssl
    /// and the Roles Anywhere helper read.
    pub fn to_encrypted_pem(
        &self,
        password: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<String, Error> {
        let failed = |_| Error::internal("a private key could not be encrypted");
        let params = scrypt::Params::new(PEM_SCRYPT_LOG_N, 8, 1)
            .map_err(|_| Error::internal("scrypt refused its parameters"))?;
        let (salt, iv) = (draw::<16>(entropy), draw::<16>(entropy));
        let scheme = pkcs8::pkcs5::pbes2::Parameters::generate_scrypt_aes256cbc(params, &salt, iv)
            .map_err(|_| Error::internal("PBES2 refused its parameters"))?;
        let data = scheme.encrypt(password, &self.pkcs8).map_err(failed)?;
        let info = pkcs8::EncryptedPrivateKeyInfoOwned {
            encryption_algorithm: scheme.into(),
            encrypted_data: der::asn1::OctetString::new(data)
                .map_err(|_| Error::internal("an encrypted key is too long"))?,
        };
        let der = der::Encode::to_der(&info)
            .map_err(|_| Error::internal("an encrypted key could not be encoded"))?;
        Ok(pem::encode("ENCRYPTED PRIVATE KEY", &der))
    }

    /// The key as PKCS#8 DER; goes straight into a [`crate::sealing::Sealer`].
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }
}

impl Signer for PrivateKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = |_| SignError {
            reason: "the cryptographic library refused to sign".into(),
        };
        let rng = SystemRandom::new();
        match (&self.pair, algorithm) {
            (Pair::P256(pair), SignatureAlgorithm::EcdsaSha256) => pair
                .sign(&rng, message)
                .map(|s| s.as_ref().to_vec())
                .map_err(failed),
            (
                Pair::P256(pair),
                SignatureAlgorithm::EcdsaSha384 | SignatureAlgorithm::EcdsaSha512,
            ) => {
                // The library knows the curve with SHA-256 alone. Of a longer hash, as many bits count as the curve's
                // order has (FIPS 186-5 §6.4.1).
                let hash = prehashed(algorithm, message)?;
                let counted =
                    digest::Digest::import_less_safe(&hash[..SHA256.output_len()], &SHA256);
                counted
                    .and_then(|counted| pair.sign_digest(&counted))
                    .map(|s| s.as_ref().to_vec())
                    .map_err(failed)
            }
            (Pair::P384(key), _) => {
                let digest = match algorithm {
                    SignatureAlgorithm::EcdsaSha256 => &SHA256,
                    SignatureAlgorithm::EcdsaSha384 => &SHA384,
                    SignatureAlgorithm::EcdsaSha512 => &SHA512,
                    _ => return Err(self.wrong_algorithm(algorithm)),
                };
                let prehash = digest::digest(digest, message);
                let signature: p384::ecdsa::DerSignature =
                    key.sign_prehash(prehash.as_ref()).map_err(|_| SignError {
                        reason: "the P-384 key refused to sign".into(),
                    })?;
                Ok(signature.as_bytes().to_vec())
            }
            (Pair::P521([sha256, sha384, sha512]), _) => {
                let pair = match algorithm {
                    SignatureAlgorithm::EcdsaSha256 => sha256,
                    SignatureAlgorithm::EcdsaSha384 => sha384,
                    SignatureAlgorithm::EcdsaSha512 => sha512,
                    _ => return Err(self.wrong_algorithm(algorithm)),
                };
                pair.sign(&rng, message)
                    .map(|s| s.as_ref().to_vec())
                    .map_err(failed)
            }
            (Pair::Rsa(pair), _) => {
                let padding: &dyn signature::RsaEncoding = match algorithm {
                    SignatureAlgorithm::RsaPkcs1Sha256 => &signature::RSA_PKCS1_SHA256,
                    SignatureAlgorithm::RsaPkcs1Sha384 => &signature::RSA_PKCS1_SHA384,
                    SignatureAlgorithm::RsaPkcs1Sha512 => &signature::RSA_PKCS1_SHA512,
                    _ => return Err(self.wrong_algorithm(algorithm)),
                };
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &rng, message, &mut out)
                    .map_err(failed)?;
                Ok(out)
            }
            (Pair::Ed25519(pair), SignatureAlgorithm::Ed25519) => {
                Ok(pair.sign(message).as_ref().to_vec())
            }
            (Pair::P256(_) | Pair::Ed25519(_), _) => Err(self.wrong_algorithm(algorithm)),
        }
    }
}

impl PrivateKey {
    fn wrong_algorithm(&self, algorithm: SignatureAlgorithm) -> SignError {
        SignError {
            reason: format!(
                "a {} key does not sign with {algorithm}",
                self.public.algorithm()
            ),
        }
    }
}

impl Pair {
    fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let failed = || Error::internal("a private key could not be encoded");
        let bytes = match self {
            Pair::P256(pair) => pair.to_pkcs8v1().map_err(|_| failed())?.as_ref().to_vec(),
            Pair::P521([pair, ..]) => pair.to_pkcs8v1().map_err(|_| failed())?.as_ref().to_vec(),
            Pair::P384(key) => key
                .to_pkcs8_der()
                .map_err(|_| failed())?
                .as_bytes()
                .to_vec(),
            Pair::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair)
                .map_err(|_| failed())?
                .as_ref()
                .to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().map_err(|_| failed())?.as_ref().to_vec(),
        };
        Ok(Zeroizing::new(bytes))
    }
}

/// What a token that does not hash is given to sign for an algorithm: the hash for ECDSA, and for RSA the DigestInfo
/// around it (RFC 8017 §9.2).
pub fn prehashed(algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignError> {
    let (digest, prefix): (_, &[u8]) = match algorithm {
        SignatureAlgorithm::EcdsaSha256 => (&SHA256, &[]),
        SignatureAlgorithm::EcdsaSha384 => (&SHA384, &[]),
        SignatureAlgorithm::EcdsaSha512 => (&SHA512, &[]),
        SignatureAlgorithm::RsaPkcs1Sha256 => (&SHA256, &DIGEST_INFO_SHA256),
        SignatureAlgorithm::RsaPkcs1Sha384 => (&SHA384, &DIGEST_INFO_SHA384),
        SignatureAlgorithm::RsaPkcs1Sha512 => (&SHA512, &DIGEST_INFO_SHA512),
        _ => {
            return Err(SignError::new(format!(
                "{algorithm} is not a signature over a hash"
            )));
        }
    };
    let hash = digest::digest(digest, message);
    Ok([prefix, hash.as_ref()].concat())
}

/// An ECDSA signature as tokens give it, r and s beside each other, as the DER that certificates and requests carry
/// (RFC 3279 §2.2.3).
pub fn ecdsa_signature(fixed: &[u8]) -> Result<Vec<u8>, SignError> {
    if fixed.is_empty() || !fixed.len().is_multiple_of(2) {
        return Err(SignError::new(format!(
            "an ECDSA signature of {} octets is no pair of numbers",
            fixed.len()
        )));
    }
    let failed = |_| SignError::new("an ECDSA signature could not be encoded");
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let mut numbers = Vec::new();
    for number in [r, s] {
        let number = der::asn1::UintRef::new(number).map_err(failed)?;
        der::Encode::encode_to_vec(&number, &mut numbers).map_err(failed)?;
    }
    let sequence = der::AnyRef::new(der::Tag::Sequence, &numbers).map_err(failed)?;
    der::Encode::to_der(&sequence).map_err(failed)
}

/// Tries every kind of key and encoding; the algorithm identifier inside decides, so at most one fits.
fn read_pair(der: &[u8]) -> Option<(Pair, Vec<u8>)> {
    let ecdsa = |algorithm: &'static EcdsaSigningAlgorithm| {
        EcdsaKeyPair::from_private_key_der(algorithm, der).ok()
    };
    let spki = |public: &dyn AsDer<PublicKeyX509Der<'static>>| {
        public.as_der().ok().map(|der| der.as_ref().to_vec())
    };
    if let Some(pair) = ecdsa(&signature::ECDSA_P256_SHA256_ASN1_SIGNING) {
        let spki = spki(pair.public_key())?;
        return Some((Pair::P256(pair), spki));
    }
    let p384 =
        p384::SecretKey::from_pkcs8_der(der).or_else(|_| p384::SecretKey::from_sec1_der(der));
    if let Ok(secret) = p384 {
        let spki = secret.public_key().to_public_key_der().ok()?.into_vec();
        return Some((Pair::P384(secret.into()), spki));
    }
    if let (Some(sha256), Some(sha384), Some(sha512)) = (
        ecdsa(&signature::ECDSA_P521_SHA256_ASN1_SIGNING),
        ecdsa(&signature::ECDSA_P521_SHA384_ASN1_SIGNING),
        ecdsa(&signature::ECDSA_P521_SHA512_ASN1_SIGNING),
    ) {
        let spki = spki(sha256.public_key())?;
        return Some((Pair::P521([sha256, sha384, sha512]), spki));
    }
    if let Ok(pair) = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)) {
        let spki = spki(pair.public_key())?;
        return Some((Pair::Rsa(pair), spki));
    }
    let pair = Ed25519KeyPair::from_pkcs8(der)
        .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der))
        .ok()?;
    let spki = spki(pair.public_key())?;
    Some((Pair::Ed25519(pair), spki))
}

/// What every PEM block begins with (RFC 7468 §2). No key in DER holds it.
const PEM_BEGINS: &[u8] = b"-----BEGIN ";
/// What every key in DER begins with: the tag of a SEQUENCE (X.690 §8.9).
const DER_SEQUENCE: u8 = 0x30;
/// What stands before a hash in a DigestInfo, the hash's algorithm and length (RFC 8017 §9.2, notes).
const DIGEST_INFO_SHA256: [u8; 19] =
    *b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
const DIGEST_INFO_SHA384: [u8; 19] =
    *b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30";
const DIGEST_INFO_SHA512: [u8; 19] =
    *b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40";
/// scrypt cost of an encrypted PEM key: 16 MiB. OpenSSL reads no key that takes 32 MiB or more.
const PEM_SCRYPT_LOG_N: u8 = 14;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::SystemEntropy;

    const ALL: [KeySpec; 5] = [
        KeySpec::P256,
        KeySpec::P384,
        KeySpec::P521,
        KeySpec::Rsa2048,
        KeySpec::Ed25519,
    ];

    #[test]
    fn every_kind_signs_what_its_public_key_verifies() {
        for spec in ALL {
            let key = PrivateKey::generate(spec).unwrap();
            let algorithm = key.public_key().default_signature_algorithm();
            let signature = key.sign(algorithm, b"message").unwrap();
            key.public_key()
                .verify(algorithm, b"message", &signature)
                .unwrap();
            assert!(
                key.public_key()
                    .verify(algorithm, b"massage", &signature)
                    .is_err(),
                "{spec:?}"
            );
            assert_eq!(KeySpec::like(key.public_key().algorithm()), Some(spec));
        }
    }

    #[test]
    fn ec_keys_sign_with_every_hash_whatever_the_curve() {
        for spec in [KeySpec::P256, KeySpec::P384, KeySpec::P521] {
            let key = PrivateKey::generate(spec).unwrap();
            for algorithm in [
                SignatureAlgorithm::EcdsaSha256,
                SignatureAlgorithm::EcdsaSha384,
                SignatureAlgorithm::EcdsaSha512,
            ] {
                let signature = key.sign(algorithm, b"message").unwrap();
                key.public_key()
                    .verify(algorithm, b"message", &signature)
                    .unwrap();
            }
        }
    }

    #[test]
    fn a_file_is_read_as_what_it_is() {
        for spec in ALL {
            let key = PrivateKey::generate(spec).unwrap();
            let pem = key.to_pem();
            let preface = [b"0 is what this text begins with\n", pem.as_bytes()].concat();
            for bytes in [pem.as_bytes(), key.pkcs8(), &preface] {
                let read = PrivateKey::from_file(bytes, None).unwrap();
                assert_eq!(read.pkcs8(), key.pkcs8(), "{spec:?}");
            }
        }
        let key = PrivateKey::generate(KeySpec::P256).unwrap();
        let pem = key.to_encrypted_pem(b"password", &SystemEntropy).unwrap();
        let der = &pem::decode(pem.as_bytes()).unwrap()[0].der;
        assert!(PrivateKey::from_file(der, Some(b"password")).is_ok());
        assert!(matches!(
            PrivateKey::from_file(der, Some(b"passwort")),
            Err(Error::PrivateKeyPasswordWrong)
        ));
        assert!(matches!(
            PrivateKey::from_file(der, None),
            Err(Error::PrivateKeyEncrypted)
        ));
        for bytes in [&b""[..], b"0", b"\x30", b"\x30\x82\xff\xff"] {
            assert!(PrivateKey::from_file(bytes, None).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_tokens_signature_becomes_der() {
        for (fixed, der) in [
            (&[1, 2][..], &[0x30, 6, 2, 1, 1, 2, 1, 2][..]),
            // A first bit of 1 would make it negative; zeros in front are not minimal (X.690 §8.3.2).
            (&[0x80, 0xff], &[0x30, 8, 2, 2, 0, 0x80, 2, 2, 0, 0xff]),
            (&[0, 0, 1, 0, 0, 0x80], &[0x30, 7, 2, 1, 1, 2, 2, 0, 0x80]),
        ] {
            assert_eq!(ecdsa_signature(fixed).unwrap(), der, "{fixed:?}");
        }
        for fixed in [&[][..], &[1], &[1, 2, 3]] {
            assert!(ecdsa_signature(fixed).is_err(), "{fixed:?}");
        }
        assert!(prehashed(SignatureAlgorithm::Ed25519, b"message").is_err());
    }

    #[test]
    fn every_kind_survives_its_pem_plain_and_encrypted() {
        for spec in ALL {
            let key = PrivateKey::generate(spec).unwrap();
            let again = PrivateKey::from_pem(key.to_pem().as_bytes(), None).unwrap();
            assert_eq!(again.public_key().spki_der(), key.public_key().spki_der());

            let encrypted = key.to_encrypted_pem(b"password", &SystemEntropy).unwrap();
            let again = PrivateKey::from_pem(encrypted.as_bytes(), Some(b"password")).unwrap();
            assert_eq!(again.public_key().spki_der(), key.public_key().spki_der());
            assert!(matches!(
                PrivateKey::from_pem(encrypted.as_bytes(), None),
                Err(Error::PrivateKeyEncrypted)
            ));
            assert!(matches!(
                PrivateKey::from_pem(encrypted.as_bytes(), Some(b"other")),
                Err(Error::PrivateKeyPasswordWrong)
            ));
        }
    }

    #[test]
    fn a_key_refuses_an_algorithm_of_another_kind() {
        let key = PrivateKey::generate(KeySpec::P256).unwrap();
        let refused = key
            .sign(SignatureAlgorithm::Ed25519, b"message")
            .unwrap_err();
        assert!(
            refused.reason.contains("does not sign with"),
            "{}",
            refused.reason
        );
    }

    #[test]
    fn garbage_is_no_key() {
        assert!(matches!(
            PrivateKey::from_der(b"garbage"),
            Err(Error::PrivateKeyUnreadable)
        ));
        assert!(matches!(
            PrivateKey::from_pem(b"", None),
            Err(Error::NoPrivateKeyInPem | Error::Pem(_))
        ));
    }
}
