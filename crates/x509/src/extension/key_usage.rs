//! What a key may be used for (RFC 5280 §4.2.1.3).

use std::fmt;

use crate::asn1::{self, Cursor, DerError};

/// The keyUsage bits (RFC 5280 §4.2.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KeyUsage {
    /// Bit n is named bit n.
    bits: u16,
}

impl KeyUsage {
    /// digitalSignature.
    pub const DIGITAL_SIGNATURE: KeyUsage = KeyUsage { bits: 1 << 0 };
    /// nonRepudiation, also called contentCommitment.
    pub const NON_REPUDIATION: KeyUsage = KeyUsage { bits: 1 << 1 };
    /// keyEncipherment.
    pub const KEY_ENCIPHERMENT: KeyUsage = KeyUsage { bits: 1 << 2 };
    /// dataEncipherment.
    pub const DATA_ENCIPHERMENT: KeyUsage = KeyUsage { bits: 1 << 3 };
    /// keyAgreement.
    pub const KEY_AGREEMENT: KeyUsage = KeyUsage { bits: 1 << 4 };
    /// keyCertSign.
    pub const KEY_CERT_SIGN: KeyUsage = KeyUsage { bits: 1 << 5 };
    /// cRLSign.
    pub const CRL_SIGN: KeyUsage = KeyUsage { bits: 1 << 6 };
    /// encipherOnly.
    pub const ENCIPHER_ONLY: KeyUsage = KeyUsage { bits: 1 << 7 };
    /// decipherOnly.
    pub const DECIPHER_ONLY: KeyUsage = KeyUsage { bits: 1 << 8 };

    /// Reads the extension's value.
    pub fn from_der(value: &[u8]) -> Result<KeyUsage, DerError> {
        let octets = Cursor::only(value, asn1::BIT_STRING, "keyUsage")?.named_bits("keyUsage")?;
        let mut bits = 0;
        // Named bit 0 is the first octet's highest. Bits beyond the known ones mean nothing yet.
        for index in 0..NAMES.len() {
            let octet = octets.get(index / 8).copied().unwrap_or(0);
            if octet & (0x80 >> (index % 8)) != 0 {
                bits |= 1 << index;
            }
        }
        Ok(KeyUsage { bits })
    }

    /// Encodes the extension's value, without trailing zero bits (X.690 §11.2.2).
    pub fn to_der(self) -> Vec<u8> {
        let mut octets = [0u8; 2];
        for index in 0..NAMES.len() {
            if self.bits & (1 << index) != 0 {
                octets[index / 8] |= 0x80 >> (index % 8);
            }
        }
        let length = octets
            .iter()
            .rposition(|octet| *octet != 0)
            .map_or(0, |last| last + 1);
        let unused = octets[..length]
            .last()
            .map_or(0, |last| last.trailing_zeros());
        // Cannot truncate: below eight.
        let mut content = vec![unused as u8];
        content.extend_from_slice(&octets[..length]);
        asn1::element(asn1::BIT_STRING, &content)
    }

    /// Whether it has every bit of the other.
    pub fn contains(self, other: KeyUsage) -> bool {
        self.bits & other.bits == other.bits
    }

    /// The bits of both.
    pub const fn union(self, other: KeyUsage) -> KeyUsage {
        KeyUsage {
            bits: self.bits | other.bits,
        }
    }

    /// Whether no bit is set, which RFC 5280 §4.2.1.3 forbids.
    pub fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// For signatures other than on certificates and CRLs: TLS, signed requests.
    pub fn digital_signature(self) -> bool {
        self.contains(KeyUsage::DIGITAL_SIGNATURE)
    }

    /// For transporting keys.
    pub fn key_encipherment(self) -> bool {
        self.contains(KeyUsage::KEY_ENCIPHERMENT)
    }

    /// For agreeing on keys.
    pub fn key_agreement(self) -> bool {
        self.contains(KeyUsage::KEY_AGREEMENT)
    }

    /// For signing certificates.
    pub fn key_cert_sign(self) -> bool {
        self.contains(KeyUsage::KEY_CERT_SIGN)
    }

    /// For signing CRLs.
    pub fn crl_sign(self) -> bool {
        self.contains(KeyUsage::CRL_SIGN)
    }

    /// The RFC's names of the bits that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES
            .into_iter()
            .enumerate()
            .filter(move |(index, _)| self.bits & (1 << index) != 0)
            .map(|(_, name)| name)
    }
}

impl fmt::Display for KeyUsage {
    /// Writes the RFC's names of the bits, joined by `, `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(", "))
    }
}

const NAMES: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];
