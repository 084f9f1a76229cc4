//! The identifiers that this crate makes and reads: resource ids, role ids, and the base32 they share.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A universally unique identifier (RFC 9562), the id of a trust anchor, a profile or a subject.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// Makes a version 4 id (RFC 9562 §5.4) of drawn bytes; six of the 128 bits become version and variant.
    pub fn from_random(bytes: [u8; 16]) -> Uuid {
        Uuid(marked(bytes, 4))
    }

    /// Makes a version 8 id (RFC 9562 §5.8) of a hash, so that equal things get equal ids without a record of them.
    pub fn from_hash(hash: &[u8; 32]) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        Uuid(marked(bytes, 8))
    }

    /// Takes the sixteen octets as they are.
    pub fn from_bytes(bytes: [u8; 16]) -> Uuid {
        Uuid(bytes)
    }

    /// The sixteen octets, most significant first.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

fn marked(mut bytes: [u8; 16], version: u8) -> [u8; 16] {
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if UUID_DASH_BEFORE.contains(&at) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = IdError;

    /// Reads the 8-4-4-4-12 form in either case; nothing else.
    fn from_str(text: &str) -> Result<Uuid, IdError> {
        let refused = || IdError::Uuid {
            text: excerpt(text),
        };
        let octets = text.as_bytes();
        if octets.len() != UUID_TEXT_LEN {
            return Err(refused());
        }
        let mut bytes = [0; 16];
        let mut at = 0;
        for (index, byte) in bytes.iter_mut().enumerate() {
            if UUID_DASH_BEFORE.contains(&index) {
                if octets[at] != b'-' {
                    return Err(refused());
                }
                at += 1;
            }
            let (Some(high), Some(low)) = (hex_digit(octets[at]), hex_digit(octets[at + 1])) else {
                return Err(refused());
            };
            *byte = high << 4 | low;
            at += 2;
        }
        Ok(Uuid(bytes))
    }
}

fn hex_digit(octet: u8) -> Option<u8> {
    char::from(octet)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// The unique id of a role: `AROA` and 16 characters, never used twice.
///
/// A role that is deleted and created again under its old name gets another id, so that sessions of the first do not
/// become sessions of the second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleId([u8; 10]);

impl RoleId {
    /// Makes an id of 80 drawn bits.
    pub fn from_random(bytes: [u8; 10]) -> RoleId {
        RoleId(bytes)
    }

    /// The 80 bits behind the text.
    pub fn as_bytes(&self) -> &[u8; 10] {
        &self.0
    }
}

impl fmt::Display for RoleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ROLE_ID_PREFIX}{}", base32(&self.0))
    }
}

impl fmt::Debug for RoleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RoleId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<RoleId, IdError> {
        text.strip_prefix(ROLE_ID_PREFIX)
            .and_then(from_base32)
            .map(RoleId)
            .ok_or_else(|| IdError::Role {
                text: excerpt(text),
            })
    }
}

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a UUID.
    #[error("`{text}` is not a UUID such as 11111111-2222-3333-4444-555555555555")]
    Uuid {
        /// What was given, cut to a readable length.
        text: String,
    },
    /// Not a role id.
    #[error("`{text}` is not a role id: AROA and 16 characters of A-Z and 2-7")]
    Role {
        /// What was given, cut to a readable length.
        text: String,
    },
    /// Not the access key id of temporary credentials.
    #[error(
        "`{begins}…`, of {characters} characters, is not an access key id of temporary credentials: ASIA and 16 characters of A-Z and 2-7"
    )]
    AccessKey {
        /// How what was given begins: all of it may be the secret, which easily changes places with it.
        begins: String,
        /// How long it is.
        characters: usize,
    },
}

/// Ten bytes as sixteen characters of the base32 alphabet (RFC 4648 §6), which needs no padding at this length.
pub(crate) fn base32(bytes: &[u8; 10]) -> String {
    let bits = bytes
        .iter()
        .fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
    (0..16)
        .rev()
        .map(|at| char::from(BASE32_ALPHABET[(bits >> (5 * at) & 31) as usize]))
        .collect()
}

/// The ten bytes of sixteen base32 characters; upper case only, so that one value has one text.
pub(crate) fn from_base32(text: &str) -> Option<[u8; 10]> {
    if text.len() != 16 {
        return None;
    }
    let mut bits = 0u128;
    for octet in text.bytes() {
        let digit = BASE32_ALPHABET.iter().position(|letter| *letter == octet)?;
        bits = bits << 5 | digit as u128;
    }
    bits.to_be_bytes()[6..].try_into().ok()
}

/// The first characters of what someone sent, fit to stand in a message.
pub(crate) fn excerpt(text: &str) -> String {
    let mut short: String = text
        .chars()
        .take(EXCERPT_CHARS)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if text.chars().nth(EXCERPT_CHARS).is_some() {
        short.push('…');
    }
    short
}

/// Reads and writes a value as the text it prints.
pub(crate) mod text {
    use super::{Deserialize, Deserializer, FromStr, Serializer, fmt};

    pub(crate) fn serialize<T: fmt::Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: fmt::Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

macro_rules! serialized_as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                text::serialize(self, serializer)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text::deserialize(deserializer)
            }
        }
    )*};
}
serialized_as_text!(Uuid, RoleId);

/// The octets of a UUID that a dash stands before (RFC 9562 §4).
const UUID_DASH_BEFORE: [usize; 4] = [4, 6, 8, 10];

/// 32 hex digits and four dashes.
const UUID_TEXT_LEN: usize = 36;

/// What AWS begins the id of a role with.
const ROLE_ID_PREFIX: &str = "AROA";

/// RFC 4648 §6.
const BASE32_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Characters of a refused value that a message repeats: enough to recognise it, too few to fill a log.
const EXCERPT_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_prints_and_reads_the_same() {
        let text = "00112233-4455-4677-8899-aabbccddeeff";
        let id: Uuid = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(text.to_uppercase().parse::<Uuid>().unwrap(), id);
    }

    #[test]
    fn drawn_and_hashed_ids_carry_their_version_and_variant() {
        assert_eq!(
            Uuid::from_random([0xff; 16]).to_string(),
            "ffffffff-ffff-4fff-bfff-ffffffffffff"
        );
        assert_eq!(
            Uuid::from_hash(&[0; 32]).to_string(),
            "00000000-0000-8000-8000-000000000000"
        );
    }

    #[test]
    fn other_forms_of_a_uuid_are_refused() {
        for text in [
            "",
            "00112233445546778899aabbccddeeff",
            "{00112233-4455-4677-8899-aabbccddeeff}",
            "00112233-4455-4677-8899-aabbccddeef",
            "0011223-34455-4677-8899-aabbccddeeff",
            "+0112233-4455-4677-8899-aabbccddeeff",
            "00112233-4455-4677-8899-aabbccddeefg",
            "é112233-4455-4677-8899-aabbccddeeff",
        ] {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
    }

    #[test]
    fn base32_agrees_with_the_standard() {
        assert_eq!(base32(b"foobarfoob"), "MZXW6YTBOJTG633C");
        assert_eq!(base32(&[0; 10]), "AAAAAAAAAAAAAAAA");
        assert_eq!(base32(&[0xff; 10]), "7777777777777777");
        assert_eq!(from_base32("MZXW6YTBOJTG633C"), Some(*b"foobarfoob"));
    }

    #[test]
    fn a_role_id_has_one_text() {
        let id = RoleId::from_random(*b"foobarfoob");
        assert_eq!(id.to_string(), "AROAMZXW6YTBOJTG633C");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [
            "AROAmzxw6ytbojtg633c",
            "AIDAMZXW6YTBOJTG633C",
            "AROAMZXW6YTBOJTG633",
            "AROAMZXW6YTBOJTG6331",
        ] {
            assert!(text.parse::<RoleId>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_excerpt_is_short_and_printable() {
        assert_eq!(excerpt("a\u{1b}[31m"), "a?[31m");
        assert_eq!(excerpt(&"x".repeat(1000)).chars().count(), 65);
    }
}
