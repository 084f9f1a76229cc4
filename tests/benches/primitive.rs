//! The least that the work could cost: the cryptography and the encoding alone.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber, SigningKey,
};
use std::hint::black_box;

/// About as many bytes as a certification request or a string to sign has: hashing them is part of the work.
const MESSAGE: [u8; 256] = [0x5a; 256];

/// One P-256 key with a signature to verify.
pub struct P256 {
    pair: EcdsaKeyPair,
    signature: Vec<u8>,
    random: SystemRandom,
}

impl P256 {
    pub fn new() -> P256 {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING);
        let pair = pair.expect("a key can be generated");
        let signature = pair.sign(&random, &MESSAGE).expect("a fresh key signs");
        P256 {
            signature: signature.as_ref().to_vec(),
            pair,
            random,
        }
    }

    /// Verifies once, from the encoded key.
    pub fn verify(&self) {
        let key = self.pair.public_key().as_ref();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key);
        let verified = key.verify(black_box(&MESSAGE), &self.signature);
        verified.expect("the signature is right");
    }

    /// Signs once.
    pub fn sign(&self) {
        let signature = self.pair.sign(&self.random, black_box(&MESSAGE));
        black_box(signature.expect("a fresh key signs"));
    }
}

/// The key of a subject or of an issuer that signs nothing: rcgen then only encodes.
struct Mute {
    point: [u8; 65],
}

impl PublicKeyData for Mute {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Mute {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(vec![0x5a; 71])
    }
}

/// Encodes a leaf as the CA does, without any signature.
pub fn encode_leaf() {
    let key = Mute { point: [4; 65] };
    let mut issuer = CertificateParams::default();
    let name = &mut issuer.distinguished_name;
    name.push(DnType::CommonName, "Bench Issuing CA");
    issuer.key_identifier_method = KeyIdMethod::PreSpecified(vec![1; 20]);
    let issuer = Issuer::from_params(&issuer, &key);

    let mut leaf = CertificateParams::default();
    let name = &mut leaf.distinguished_name;
    name.push(DnType::CommonName, "web-1");
    name.push(DnType::OrganizationalUnitName, "s3-reader");
    let host = "web-1.internal.example".try_into();
    leaf.subject_alt_names = vec![SanType::DnsName(host.expect("plain ASCII"))];
    leaf.serial_number = Some(SerialNumber::from_slice(&[0x51; 16]));
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_identifier_method = KeyIdMethod::PreSpecified(vec![2; 20]);
    let encoded = leaf.signed_by(&key, &issuer);
    black_box(encoded.expect("everything in it can be encoded"));
}

/// The HMACs of one verification: four that narrow the secret, one over the string to sign.
pub fn hmacs_of_a_verification() {
    let mut key = *black_box(b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfi");
    for part in ["20260601", "us-east-1", "s3", "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    // As long as a string to sign is: label, date, scope, hash.
    black_box(mac(&key, &[0x5a; 140]));
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, message);
    // Cannot fail: the digest has 32 bytes.
    tag.as_ref().try_into().expect("32 bytes")
}
