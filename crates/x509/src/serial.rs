//! Certificate serial numbers (RFC 5280 §4.1.2.2).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::asn1::{self, DerError, Element};

/// The number that, with the issuer's name, identifies a certificate (RFC 5280 §4.1.2.2).
///
/// Values made here are positive and at most 20 octets as encoded. Values read from foreign certificates may be zero,
/// negative or longer, as the RFC asks readers to bear; [`SerialNumber::is_conforming`] tells.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SerialNumber {
    /// The content of the DER INTEGER: shortest two's complement, big-endian.
    integer: Box<[u8]>,
}

/// Why some text or bytes are not a serial number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SerialError {
    /// Zero, or no digits at all.
    #[error("a serial number is positive, not zero")]
    Zero,
    /// More than 20 octets as encoded.
    #[error("serial number of {octets} octets is over RFC 5280's {SERIAL_OCTETS_MAX}")]
    TooLong {
        /// How many octets its INTEGER would have.
        octets: usize,
    },
    /// Not digits.
    #[error("{text:?} is not a serial number: write hexadecimal as 0x1f71 or 1f:71")]
    NotDigits {
        /// The text, shortened.
        text: String,
    },
}

impl SerialNumber {
    /// Keeps all 128 drawn bits; DER adds a 00 octet where the first is set.
    ///
    /// Sixteen zero octets, which no working random source draws, become the number one, because zero is not a serial.
    pub fn from_random(bytes: [u8; 16]) -> SerialNumber {
        // Cannot fail: 16 octets are within 20, and the fallback is not zero.
        SerialNumber::from_bytes(&bytes).unwrap_or_else(|_| SerialNumber {
            integer: Box::new([1]),
        })
    }

    /// From an unsigned big-endian number; leading zeros are dropped.
    pub fn from_bytes(magnitude: &[u8]) -> Result<SerialNumber, SerialError> {
        let leading = magnitude.iter().take_while(|octet| **octet == 0).count();
        let magnitude = &magnitude[leading..];
        let first = *magnitude.first().ok_or(SerialError::Zero)?;
        let sign = usize::from(first & 0x80 != 0);
        let octets = magnitude.len() + sign;
        if octets > SERIAL_OCTETS_MAX {
            return Err(SerialError::TooLong { octets });
        }
        let mut integer = vec![0; sign];
        integer.extend_from_slice(magnitude);
        Ok(SerialNumber {
            integer: integer.into(),
        })
    }

    /// From the INTEGER of a certificate or CRL entry, which may break the rules for issuers.
    pub(crate) fn from_element(element: &Element<'_>) -> Result<SerialNumber, DerError> {
        let integer = element.integer("serial number")?;
        if integer.len() > FOREIGN_OCTETS_MAX {
            return Err(DerError::TooLarge {
                field: "serial number",
                found: integer.len(),
                allowed: FOREIGN_OCTETS_MAX,
            });
        }
        Ok(SerialNumber {
            integer: integer.into(),
        })
    }

    /// The unsigned number, big-endian, without leading zeros. For a negative foreign serial, its two's complement.
    pub fn as_bytes(&self) -> &[u8] {
        match &*self.integer {
            [0, rest @ ..] if !rest.is_empty() => rest,
            all => all,
        }
    }

    /// The content octets of the DER INTEGER, sign octet included.
    pub fn integer_content(&self) -> &[u8] {
        &self.integer
    }

    /// The DER INTEGER.
    pub fn to_der(&self) -> Vec<u8> {
        asn1::element(asn1::INTEGER, &self.integer)
    }

    /// Whether it is what RFC 5280 §4.1.2.2 asks of issuers: positive and at most 20 octets.
    pub fn is_conforming(&self) -> bool {
        !self.is_negative() && *self.integer != [0] && self.integer.len() <= SERIAL_OCTETS_MAX
    }

    /// Whether a foreign issuer wrote a negative INTEGER.
    pub fn is_negative(&self) -> bool {
        self.integer[0] & 0x80 != 0
    }

    /// Lower-case hexadecimal, two digits an octet. A negative foreign serial shows its two's complement after a minus sign.
    pub fn to_hex(&self) -> String {
        let sign = if self.is_negative() { "-" } else { "" };
        format!("{sign}{}", hex::encode(self.as_bytes()))
    }

    /// The decimal number, as the AWS wire and some tools show it.
    pub fn to_decimal(&self) -> String {
        let mut magnitude = self.as_bytes().to_vec();
        let sign = if self.is_negative() { "-" } else { "" };
        if self.is_negative() {
            negate(&mut magnitude);
        }
        let mut digits = Vec::new();
        while magnitude.iter().any(|octet| *octet != 0) {
            let mut remainder = 0u16;
            for octet in &mut magnitude {
                let value = remainder << 8 | u16::from(*octet);
                // Cannot truncate: the remainder is below 10, so the quotient is below 256.
                *octet = (value / 10) as u8;
                remainder = value % 10;
            }
            digits.push(char::from(b'0' + remainder as u8));
        }
        if digits.is_empty() {
            digits.push('0');
        }
        sign.chars().chain(digits.into_iter().rev()).collect()
    }

    /// From a decimal number.
    pub fn parse_decimal(text: &str) -> Result<SerialNumber, SerialError> {
        let not_digits = || SerialError::NotDigits {
            text: shorten(text),
        };
        if text.is_empty() || !text.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(not_digits());
        }
        if text.len() > DECIMAL_DIGITS_MAX {
            return Err(not_digits());
        }
        let mut magnitude = [0u8; SERIAL_OCTETS_MAX + 1];
        for digit in text.bytes() {
            let mut carry = u16::from(digit - b'0');
            for octet in magnitude.iter_mut().rev() {
                let value = u16::from(*octet) * 10 + carry;
                *octet = (value & 0xff) as u8;
                carry = value >> 8;
            }
        }
        SerialNumber::from_bytes(&magnitude)
    }
}

/// Turns a two's complement number into its opposite, in place.
fn negate(number: &mut [u8]) {
    let mut carry = true;
    for octet in number.iter_mut().rev() {
        let (flipped, overflow) = (!*octet).overflowing_add(u8::from(carry));
        *octet = flipped;
        carry = overflow;
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

impl FromStr for SerialNumber {
    type Err = SerialError;

    /// Reads `0x1f71…`, `1f:71:…` or plain hexadecimal, in either case. Digits are never taken for decimal.
    fn from_str(text: &str) -> Result<SerialNumber, SerialError> {
        let not_digits = || SerialError::NotDigits {
            text: shorten(text),
        };
        let mut digits =
            if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
                digits.to_owned()
            } else if text.contains(':') {
                if text.split(':').any(|octet| octet.len() != 2) {
                    return Err(not_digits());
                }
                text.replace(':', "")
            } else {
                text.to_owned()
            };
        if digits.is_empty() || digits.len() > HEX_DIGITS_MAX {
            return Err(not_digits());
        }
        if digits.len() % 2 == 1 {
            digits.insert(0, '0');
        }
        SerialNumber::from_bytes(&hex::decode(&digits).map_err(|_| not_digits())?)
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialNumber({})", self.to_hex())
    }
}

impl Ord for SerialNumber {
    /// By number.
    fn cmp(&self, other: &SerialNumber) -> std::cmp::Ordering {
        let magnitude =
            |serial: &SerialNumber| (serial.as_bytes().len(), serial.as_bytes().to_vec());
        match (self.is_negative(), other.is_negative()) {
            (false, false) => magnitude(self).cmp(&magnitude(other)),
            (true, false) => std::cmp::Ordering::Less,
            (false, true) => std::cmp::Ordering::Greater,
            // More octets are further below zero; among equals two's complement keeps the order.
            (true, true) => other
                .integer
                .len()
                .cmp(&self.integer.len())
                .then_with(|| self.integer.cmp(&other.integer)),
        }
    }
}

impl PartialOrd for SerialNumber {
    fn partial_cmp(&self, other: &SerialNumber) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl serde::Serialize for SerialNumber {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SerialNumber {
    /// Reads back what was serialized, foreign serials that break the rules included.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<SerialNumber, D::Error> {
        let text = <Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, &*text),
        };
        let invalid = || {
            serde::de::Error::custom(SerialError::NotDigits {
                text: shorten(&text),
            })
        };
        let octets = hex::decode(digits).map_err(|_| invalid())?;
        let sign_bit = octets.first().ok_or_else(invalid)? & 0x80 != 0;
        if octets.len() > FOREIGN_OCTETS_MAX || negative && !sign_bit {
            return Err(invalid());
        }
        let mut content = if sign_bit && !negative {
            vec![0]
        } else {
            Vec::new()
        };
        content.extend_from_slice(&octets);
        let element = Element {
            tag: asn1::INTEGER,
            content: &content,
            der: &content,
        };
        let integer = element
            .integer("serial number")
            .map_err(serde::de::Error::custom)?;
        Ok(SerialNumber {
            integer: integer.into(),
        })
    }
}

/// RFC 5280 §4.1.2.2: issuers must not use longer serial numbers, the sign octet counted.
const SERIAL_OCTETS_MAX: usize = 20;

/// What is still read from a foreign certificate, in octets. Some issuers put a whole hash in; none needs more.
const FOREIGN_OCTETS_MAX: usize = 64;

/// Digits of the largest 160-bit number; more cannot be a serial, and the conversion costs time by the square.
const DECIMAL_DIGITS_MAX: usize = 49;

/// Room for 20 octets and generous leading zeros.
const HEX_DIGITS_MAX: usize = 64;

/// How much of a wrong text an error repeats, in characters.
const SHOWN_CHARS_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> String {
        text.parse::<SerialNumber>()
            .map_or_else(|error| error.to_string(), |serial| serial.to_hex())
    }

    #[test]
    fn text_is_read_with_prefix_with_colons_or_plain() {
        for text in [
            "0x1f71", "0X1F71", "1f:71", "1F:71", "1f71", "0x001f71", "00:1f:71",
        ] {
            assert_eq!(read(text), "1f71", "{text}");
        }
        assert_eq!(read("0xf"), "0f");
    }

    #[test]
    fn text_that_is_no_serial_is_refused() {
        for text in [
            "", "0x", "1f:7", "1f::71", ":", "0x1g", "-5", "1f 71", " 1f",
        ] {
            assert!(
                read(text).contains("is not a serial number"),
                "{text:?}: {}",
                read(text)
            );
        }
        assert_eq!(read("0x00"), "a serial number is positive, not zero");
        assert_eq!(
            read(&"ff".repeat(20)),
            "serial number of 21 octets is over RFC 5280's 20"
        );
        assert_eq!(read(&"7f".repeat(20)), "7f".repeat(20));
    }

    #[test]
    fn all_drawn_bits_are_kept() {
        let serial = SerialNumber::from_random([0xff; 16]);
        assert_eq!(serial.as_bytes(), [0xff; 16]);
        assert_eq!(serial.integer_content().len(), 17);
        assert_eq!(serial.to_der()[..4], [2, 17, 0, 0xff]);
        assert_eq!(SerialNumber::from_random([0; 16]).to_hex(), "01");
    }

    #[test]
    fn decimal_numbers_are_converted() {
        let serial: SerialNumber = "0xff00000000000000000000000000000001".parse().unwrap();
        assert_eq!(
            serial.to_decimal(),
            "86772003564839308183160524895100893921281"
        );
        assert_eq!(
            SerialNumber::parse_decimal(&serial.to_decimal()),
            Ok(serial)
        );
        assert_eq!(SerialNumber::parse_decimal("256").unwrap().to_hex(), "0100");
        assert_eq!(SerialNumber::parse_decimal("0"), Err(SerialError::Zero));
        for text in ["", "-1", "1f", "1 "] {
            assert!(
                matches!(
                    SerialNumber::parse_decimal(text),
                    Err(SerialError::NotDigits { .. })
                ),
                "{text:?}"
            );
        }
        let largest = "1461501637330902918203684832716283019655932542975";
        assert_eq!(
            SerialNumber::parse_decimal(largest),
            Err(SerialError::TooLong { octets: 21 })
        );
        assert!(SerialNumber::parse_decimal(&"9".repeat(49)).is_err());
        assert!(SerialNumber::parse_decimal(&"9".repeat(50)).is_err());
    }

    #[test]
    fn negative_foreign_serials_have_their_own_text_and_order() {
        let foreign = |content: &[u8]| {
            let der = asn1::element(asn1::INTEGER, content);
            SerialNumber::from_element(&asn1::Cursor::only(&der, asn1::INTEGER, "").unwrap())
                .unwrap()
        };
        let (minus_five, minus_300, five) =
            (foreign(&[0xfb]), foreign(&[0xfe, 0xd4]), foreign(&[5]));
        assert_eq!(minus_five.to_hex(), "-fb");
        assert_eq!(minus_five.to_decimal(), "-5");
        assert_eq!(minus_300.to_decimal(), "-300");
        assert!(minus_300 < minus_five && minus_five < five);
        assert_ne!(minus_five, foreign(&[0, 0xfb]));
        assert!(minus_five.to_string().parse::<SerialNumber>().is_err());
        assert_eq!(foreign(&[0]).to_decimal(), "0");
    }

    #[test]
    fn a_serial_is_text_in_json() {
        let serial: SerialNumber = "0x1F71".parse().unwrap();
        assert_eq!(serde_json::to_string(&serial).unwrap(), "\"1f71\"");
        assert_eq!(
            serde_json::from_str::<SerialNumber>("\"1f71\"").unwrap(),
            serial
        );
        for foreign in [
            "\"-fb\"",
            "\"00\"",
            "\"80\"",
            "\"7f112233445566778899aabbccddeeff00112233445566\"",
        ] {
            let serial: SerialNumber = serde_json::from_str(foreign).unwrap();
            assert_eq!(serde_json::to_string(&serial).unwrap(), foreign);
        }
        for wrong in ["\"\"", "\"-05\"", "\"0005\"", "\"xy\"", "7"] {
            assert!(
                serde_json::from_str::<SerialNumber>(wrong).is_err(),
                "{wrong}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_number_survives_all_its_forms(number in 1..u128::MAX) {
            let serial = SerialNumber::from_bytes(&number.to_be_bytes()).unwrap();
            prop_assert_eq!(serial.to_decimal(), number.to_string());
            prop_assert_eq!(SerialNumber::parse_decimal(&number.to_string()), Ok(serial.clone()));
            prop_assert_eq!(serial.to_hex().parse(), Ok(serial.clone()));
            prop_assert_eq!(format!("0x{serial}").parse(), Ok(serial));
        }

        #[test]
        fn order_is_the_order_of_numbers(one: u128, other: u128) {
            prop_assume!(one > 0 && other > 0);
            let serial = |number: u128| SerialNumber::from_bytes(&number.to_be_bytes()).unwrap();
            prop_assert_eq!(serial(one).cmp(&serial(other)), one.cmp(&other));
        }
    }
}
