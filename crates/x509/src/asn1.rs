//! DER, strictly: a cursor over borrowed bytes that hands out one element at a time, and the few encoders this crate needs.
//!
//! Elements are returned with their exact bytes, because signatures are checked and names are compared over what was sent,
//! never over a re-encoding (X.690 §10 and §11).

use der::asn1::ObjectIdentifier;
use der::{Decode, Encode, Length, Reader, SliceReader};

/// Why some bytes are not the DER they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DerError {
    /// The bytes end inside an element, or the element has a length no DER encoder writes.
    #[error("{field} is cut short, or its length is not in DER's one shortest form")]
    Length {
        /// What was being read.
        field: &'static str,
    },
    /// Another element stands where this one belongs.
    #[error("{field} has tag {found:#04x}, expected {expected:#04x}")]
    Tag {
        /// What was being read.
        field: &'static str,
        /// The identifier octet that belongs here.
        expected: u8,
        /// The identifier octet found.
        found: u8,
    },
    /// The enclosing element ends where this one belongs.
    #[error("{field} is missing")]
    Missing {
        /// What was being read.
        field: &'static str,
    },
    /// Bytes follow the end.
    #[error("{bytes} bytes follow the end of {field}")]
    Trailing {
        /// What had ended.
        field: &'static str,
        /// How many bytes are left over.
        bytes: usize,
    },
    /// The element is well formed and its content is not.
    #[error("{field}: {rule}")]
    Value {
        /// What was being read.
        field: &'static str,
        /// The rule the content breaks.
        rule: &'static str,
    },
    /// A structure does not decode.
    #[error("{field}: {reason}")]
    Decoder {
        /// What was being read.
        field: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// The element is larger than this program reads.
    #[error("{field} has {found}, at most {allowed} are read")]
    TooLarge {
        /// What was being read.
        field: &'static str,
        /// How much there is (octets, or entries of a list).
        found: usize,
        /// How much is read at most.
        allowed: usize,
    },
}

/// One element: its identifier octet, its content, and all of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    pub der: &'a [u8],
}

/// A cursor over the elements of some bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    /// Reads the one element these bytes are, and nothing after it.
    pub fn only(bytes: &'a [u8], tag: u8, field: &'static str) -> Result<Element<'a>, DerError> {
        let mut cursor = Cursor::new(bytes);
        let element = cursor.expect(tag, field)?;
        cursor.end(field)?;
        Ok(element)
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn peek_tag(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes the next element, whatever it is.
    pub fn any(&mut self, field: &'static str) -> Result<Element<'a>, DerError> {
        let tag = self.peek_tag().ok_or(DerError::Missing { field })?;
        if tag & HIGH_TAG == HIGH_TAG {
            return Err(DerError::Value {
                field,
                rule: "tag numbers above 30 have no place in RFC 5280",
            });
        }
        let whole = self.rest;
        let (content_len, header_len) = header(whole).ok_or(DerError::Length { field })?;
        let end = header_len
            .checked_add(content_len)
            .filter(|end| *end <= whole.len());
        let end = end.ok_or(DerError::Length { field })?;
        self.rest = &whole[end..];
        Ok(Element {
            tag,
            content: &whole[header_len..end],
            der: &whole[..end],
        })
    }

    /// Takes the next element, which must have this tag.
    pub fn expect(&mut self, tag: u8, field: &'static str) -> Result<Element<'a>, DerError> {
        match self.peek_tag() {
            None => Err(DerError::Missing { field }),
            Some(found) if found != tag => Err(DerError::Tag {
                field,
                expected: tag,
                found,
            }),
            Some(_) => self.any(field),
        }
    }

    /// Takes the next element if it has this tag.
    pub fn optional(
        &mut self,
        tag: u8,
        field: &'static str,
    ) -> Result<Option<Element<'a>>, DerError> {
        if self.peek_tag() == Some(tag) {
            self.any(field).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Checks that nothing is left.
    pub fn end(&self, field: &'static str) -> Result<(), DerError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(DerError::Trailing {
                field,
                bytes: self.rest.len(),
            })
        }
    }
}

impl<'a> Element<'a> {
    /// A cursor over what a constructed element contains.
    pub fn inside(&self) -> Cursor<'a> {
        Cursor::new(self.content)
    }

    pub fn oid(&self, field: &'static str) -> Result<ObjectIdentifier, DerError> {
        ObjectIdentifier::from_bytes(self.content).map_err(|_| DerError::Value {
            field,
            rule: "not a well-formed object identifier",
        })
    }

    /// A BOOLEAN, in DER's two forms only (X.690 §11.1).
    pub fn boolean(&self, field: &'static str) -> Result<bool, DerError> {
        match self.content {
            [0x00] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(DerError::Value {
                field,
                rule: "a DER BOOLEAN is one octet, 00 or ff",
            }),
        }
    }

    /// The content of an INTEGER, checked to be the shortest (X.690 §8.3.2).
    pub fn integer(&self, field: &'static str) -> Result<&'a [u8], DerError> {
        match self.content {
            [] => Err(DerError::Value {
                field,
                rule: "an INTEGER has at least one octet",
            }),
            [0x00, next, ..] if next & 0x80 == 0 => Err(long_integer(field)),
            [0xff, next, ..] if next & 0x80 != 0 => Err(long_integer(field)),
            content => Ok(content),
        }
    }

    /// A non-negative INTEGER that fits in 64 bits.
    pub fn small_integer(&self, field: &'static str) -> Result<u64, DerError> {
        let content = self.integer(field)?;
        let digits = content.strip_prefix(&[0]).unwrap_or(content);
        if content[0] & 0x80 != 0 {
            return Err(DerError::Value {
                field,
                rule: "must not be negative",
            });
        }
        if digits.len() > 8 {
            return Err(DerError::TooLarge {
                field,
                found: digits.len(),
                allowed: 8,
            });
        }
        Ok(digits
            .iter()
            .fold(0, |number, digit| number << 8 | u64::from(*digit)))
    }

    /// The octets of a BIT STRING that has no unused bits, as keys and signatures are.
    pub fn octet_aligned_bits(&self, field: &'static str) -> Result<&'a [u8], DerError> {
        match self.content {
            [0, bits @ ..] => Ok(bits),
            _ => Err(DerError::Value {
                field,
                rule: "a BIT STRING of whole octets is expected here",
            }),
        }
    }

    /// The octets of a named bit list, with trailing zero bits removed as DER wants (X.690 §11.2.2).
    pub fn named_bits(&self, field: &'static str) -> Result<&'a [u8], DerError> {
        let Some((&unused, bits)) = self.content.split_first() else {
            return Err(DerError::Value {
                field,
                rule: "a BIT STRING says how many bits are unused",
            });
        };
        let padding = 1u8.checked_shl(u32::from(unused)).map(|bit| bit - 1);
        match (bits.last(), padding) {
            (None, _) if unused == 0 => Ok(bits),
            (Some(last), Some(padding)) if last & padding == 0 => Ok(bits),
            _ => Err(DerError::Value {
                field,
                rule: "unused bits of a BIT STRING are zero, and fewer than eight",
            }),
        }
    }
}

/// The content length and the header length of the element that starts here.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut reader = SliceReader::new(bytes.get(1..)?).ok()?;
    let content = Length::decode(&mut reader).ok()?;
    let header = usize::try_from(reader.position()).ok()? + 1;
    Some((usize::try_from(content).ok()?, header))
}

/// Encodes one element.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    // Cannot fail: what this crate encodes comes from values whose sizes it has capped far below DER's limit of 256 MiB.
    let length = Length::try_from(content.len())
        .and_then(|length| length.to_der())
        .expect("length within DER's range");
    der.extend_from_slice(&length);
    der.extend_from_slice(content);
    der
}

/// Encodes a SEQUENCE of elements already encoded.
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &parts.concat())
}

/// Encodes an OBJECT IDENTIFIER.
pub(crate) fn oid(oid: &ObjectIdentifier) -> Vec<u8> {
    element(OID, oid.as_bytes())
}

/// Encodes a non-negative INTEGER.
pub(crate) fn unsigned(number: u64) -> Vec<u8> {
    let octets = number.to_be_bytes();
    let start = octets
        .iter()
        .position(|octet| *octet != 0)
        .unwrap_or(octets.len() - 1);
    let mut content = if octets[start] & 0x80 == 0 {
        Vec::new()
    } else {
        vec![0]
    };
    content.extend_from_slice(&octets[start..]);
    element(INTEGER, &content)
}

/// Encodes a BIT STRING of whole octets.
pub(crate) fn bit_string(octets: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], octets].concat())
}

fn long_integer(field: &'static str) -> DerError {
    DerError::Value {
        field,
        rule: "an INTEGER is written with as few octets as possible",
    }
}

/// The low five bits that announce a tag number of several octets.
const HIGH_TAG: u8 = 0x1f;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const TELETEX_STRING: u8 = 0x14;
pub(crate) const IA5_STRING: u8 = 0x16;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const BMP_STRING: u8 = 0x1e;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The identifier octet of a primitive `[number]`.
pub(crate) const fn context(number: u8) -> u8 {
    0x80 | number
}

/// The identifier octet of a constructed `[number]`.
pub(crate) const fn context_constructed(number: u8) -> u8 {
    0xa0 | number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Result<Element<'_>, DerError> {
        Cursor::new(bytes).any("test")
    }

    #[test]
    fn only_the_shortest_length_is_read() {
        assert!(one(&[4, 1, 0]).is_ok());
        assert!(
            one(&[4, 0x81, 1, 0]).is_err(),
            "long form of a short length"
        );
        assert!(one(&[4, 0x80, 0, 0]).is_err(), "indefinite length");
        assert!(one(&[4, 0x82, 0, 0x80]).is_err(), "leading zero");
        assert!(one(&[4, 0xff]).is_err(), "reserved");
        assert!(one(&[4, 2, 0]).is_err(), "cut short");
        assert!(
            one(&[4, 0x84, 0xff, 0xff, 0xff, 0xff]).is_err(),
            "more than there is"
        );
        assert!(one(&[0x1f, 1, 0]).is_err(), "tag of several octets");
        let long = [&[4, 0x81, 0x80][..], &[0; 128]].concat();
        assert_eq!(one(&long).unwrap().content.len(), 128);
    }

    #[test]
    fn lengths_are_written_in_their_shortest_form() {
        assert_eq!(element(4, &[0; 127])[..2], [4, 127]);
        assert_eq!(element(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(element(4, &[0; 256])[..4], [4, 0x82, 1, 0]);
    }

    #[test]
    fn small_integers_survive() {
        for number in [0, 1, 127, 128, 255, 256, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(
                one(&unsigned(number)).unwrap().small_integer("test"),
                Ok(number)
            );
        }
        assert!(
            one(&[2, 1, 0xff]).unwrap().small_integer("test").is_err(),
            "negative"
        );
        assert!(
            one(&[2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0])
                .unwrap()
                .small_integer("test")
                .is_err(),
            "over 64 bits"
        );
    }

    #[test]
    fn booleans_have_two_forms() {
        assert_eq!(one(&[1, 1, 0xff]).unwrap().boolean("test"), Ok(true));
        assert_eq!(one(&[1, 1, 0]).unwrap().boolean("test"), Ok(false));
        assert!(one(&[1, 1, 1]).unwrap().boolean("test").is_err());
        assert!(one(&[1, 0]).unwrap().boolean("test").is_err());
    }
}
