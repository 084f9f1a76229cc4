//! Attribute types: keywords, string types, upper bounds (RFC 4514 §3, RFC 4519, RFC 5280 appendix A.1).

use super::{Attribute, NameError};
use crate::asn1::{self, Element};
use crate::oid::{self, ObjectIdentifier};

/// What is known of an attribute type.
struct AttributeType {
    oid: ObjectIdentifier,
    keyword: &'static str,
    /// Other spellings that are read.
    aliases: &'static [&'static str],
    /// The longest value, in characters (the `ub-` numbers of RFC 5280 appendix A.1).
    upper_bound: usize,
}

const fn attribute_type(
    oid: ObjectIdentifier,
    keyword: &'static str,
    aliases: &'static [&'static str],
    upper_bound: usize,
) -> AttributeType {
    AttributeType {
        oid,
        keyword,
        aliases,
        upper_bound,
    }
}

/// What RFC 5280 leaves unbounded, or bounds so high that it does not matter.
const WIDE: usize = 1024;

const TYPES: [AttributeType; 23] = [
    attribute_type(oid::COMMON_NAME, "CN", &["commonName"], 64),
    attribute_type(oid::ORGANIZATION, "O", &["organizationName"], 64),
    attribute_type(
        oid::ORGANIZATIONAL_UNIT,
        "OU",
        &["organizationalUnitName"],
        64,
    ),
    attribute_type(oid::COUNTRY, "C", &["countryName"], 2),
    attribute_type(oid::STATE, "ST", &["S", "stateOrProvinceName"], 128),
    attribute_type(oid::LOCALITY, "L", &["localityName"], 128),
    attribute_type(oid::STREET, "STREET", &["streetAddress"], 128),
    attribute_type(oid::DOMAIN_COMPONENT, "DC", &["domainComponent"], 63),
    attribute_type(oid::USER_ID, "UID", &["userId"], 256),
    attribute_type(oid::SERIAL_NUMBER_ATTRIBUTE, "serialNumber", &[], 64),
    attribute_type(oid::EMAIL_ADDRESS, "emailAddress", &["E", "email"], 255),
    attribute_type(oid::GIVEN_NAME, "GN", &["givenName", "G"], 64),
    attribute_type(oid::SURNAME, "SN", &["surname"], 64),
    attribute_type(oid::TITLE, "title", &["T"], 64),
    attribute_type(oid::INITIALS, "initials", &[], 64),
    attribute_type(oid::GENERATION_QUALIFIER, "generationQualifier", &[], 64),
    attribute_type(oid::DN_QUALIFIER, "dnQualifier", &["DNQ"], WIDE),
    attribute_type(oid::PSEUDONYM, "pseudonym", &[], 128),
    attribute_type(oid::NAME, "name", &[], WIDE),
    attribute_type(oid::POSTAL_CODE, "postalCode", &[], 40),
    attribute_type(oid::BUSINESS_CATEGORY, "businessCategory", &[], 128),
    attribute_type(oid::DESCRIPTION, "description", &[], WIDE),
    attribute_type(
        oid::ORGANIZATION_IDENTIFIER,
        "organizationIdentifier",
        &[],
        WIDE,
    ),
];

/// The keyword of a known type.
pub(super) fn keyword(oid: &ObjectIdentifier) -> Option<&'static str> {
    TYPES
        .iter()
        .find(|known| known.oid == *oid)
        .map(|known| known.keyword)
}

/// The type of a keyword, in any case, or of a dotted identifier.
pub(super) fn from_keyword(word: &str) -> Option<ObjectIdentifier> {
    if word.starts_with(|first: char| first.is_ascii_digit()) {
        return ObjectIdentifier::new(word).ok();
    }
    let names = |known: &&AttributeType| {
        known.keyword.eq_ignore_ascii_case(word)
            || known
                .aliases
                .iter()
                .any(|alias| alias.eq_ignore_ascii_case(word))
    };
    TYPES.iter().find(names).map(|known| known.oid)
}

/// The string type an attribute must have, if RFC 5280 appendix A.1 leaves no choice.
fn required_string(oid: &ObjectIdentifier) -> Option<(u8, &'static str)> {
    match *oid {
        oid::COUNTRY | oid::SERIAL_NUMBER_ATTRIBUTE | oid::DN_QUALIFIER => {
            Some((asn1::PRINTABLE_STRING, "PrintableString"))
        }
        oid::DOMAIN_COMPONENT | oid::EMAIL_ADDRESS => Some((asn1::IA5_STRING, "IA5String")),
        _ => None,
    }
}

/// Encodes a value: in the type its attribute must have, if that can hold it, else as UTF8String (RFC 5280 §4.1.2.4).
pub(super) fn encode_value(oid: &ObjectIdentifier, value: &str) -> Vec<u8> {
    let tag = match required_string(oid) {
        Some((asn1::PRINTABLE_STRING, _)) if value.bytes().all(is_printable) => {
            asn1::PRINTABLE_STRING
        }
        Some((asn1::IA5_STRING, _)) if value.is_ascii() => asn1::IA5_STRING,
        _ => asn1::UTF8_STRING,
    };
    asn1::element(tag, value.as_bytes())
}

/// Checks one attribute of a name that is to be issued.
pub(super) fn check(attribute: &Attribute) -> Result<(), NameError> {
    let (label, value) = (attribute.label(), attribute.value.clone());
    if value.is_empty() {
        return Err(NameError::EmptyValue { label });
    }
    let two_letters = value.len() == 2 && value.bytes().all(|letter| letter.is_ascii_alphabetic());
    if attribute.oid == oid::COUNTRY && !two_letters {
        return Err(NameError::Country { value });
    }
    let tag = attribute.value_der()[0];
    if let Some((_, string_type)) =
        required_string(&attribute.oid).filter(|(required, _)| *required != tag)
    {
        return Err(NameError::Characters {
            label,
            value,
            string_type,
        });
    }
    let known = TYPES.iter().find(|known| known.oid == attribute.oid);
    let allowed = known.map_or(WIDE, |known| known.upper_bound);
    let found = value.chars().count();
    if found > allowed {
        Err(NameError::TooLong {
            label,
            found,
            allowed,
        })
    } else {
        Ok(())
    }
}

/// Decodes the string types of DirectoryString and their kin. None for other types and for broken content.
pub(super) fn decode_value(value: Element<'_>) -> Option<String> {
    let content = value.content;
    match value.tag {
        asn1::UTF8_STRING => std::str::from_utf8(content).ok().map(str::to_owned),
        asn1::PRINTABLE_STRING | asn1::IA5_STRING | NUMERIC_STRING | VISIBLE_STRING
            if content.is_ascii() =>
        {
            std::str::from_utf8(content).ok().map(str::to_owned)
        }
        // In practice TeletexString holds ISO 8859-1, whose octets are the first 256 code points.
        asn1::TELETEX_STRING => Some(content.iter().map(|octet| char::from(*octet)).collect()),
        asn1::BMP_STRING if content.len().is_multiple_of(2) => {
            let unit = |pair: &[u8]| char::from_u32(u32::from(pair[0]) << 8 | u32::from(pair[1]));
            content.chunks_exact(2).map(unit).collect()
        }
        UNIVERSAL_STRING if content.len().is_multiple_of(4) => {
            let unit = |four: &[u8]| {
                char::from_u32(
                    four.iter()
                        .fold(0, |sum, octet| sum << 8 | u32::from(*octet)),
                )
            };
            content.chunks_exact(4).map(unit).collect()
        }
        _ => None,
    }
}

/// Whether PrintableString has the character (X.680 §41.4).
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

const NUMERIC_STRING: u8 = 0x12;
const VISIBLE_STRING: u8 = 0x1a;
const UNIVERSAL_STRING: u8 = 0x1c;
