//! Distinguished names: the X.501 `Name` of a certificate (RFC 5280 §4.1.2.4) and its text (RFC 4514).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::asn1::{self, Cursor, DerError, Element};
use crate::oid::{self, ObjectIdentifier};

mod attribute_type;
mod text;

/// A name as it stands in a certificate: its exact DER, and what its attributes say.
///
/// Two names are equal when their DER is, as RFC 5280 §7.1 allows issuers and readers that do not normalise; an issuer's
/// name must be copied into what it issues byte for byte. Text does not keep the ASN.1 string types of foreign names,
/// so a name read back from text can differ in DER from the one that was printed.
#[derive(Clone)]
pub struct DistinguishedName {
    der: Arc<[u8]>,
    attributes: Arc<[Attribute]>,
}

/// One attribute of a name: a type and a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The attribute's type.
    pub oid: ObjectIdentifier,
    /// The value as text. A value of a type that is no string, or not well formed, is `#` and the hexadecimal of its DER.
    pub value: String,
    rdn: usize,
    value_der: Vec<u8>,
    is_text: bool,
}

/// Why some text or bytes are not a distinguished name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The bytes are not DER, or not a Name.
    #[error("distinguished name: {0}")]
    Der(#[from] DerError),
    /// The text is not RFC 4514's.
    #[error("distinguished name, character {position}: {rule}")]
    Text {
        /// Where, counted in characters from 1.
        position: usize,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A word that names no attribute type.
    #[error(
        "{keyword:?} is no attribute type: write CN, O, OU, C, ST, L, DC, UID, serialNumber or a dotted identifier"
    )]
    UnknownType {
        /// The word.
        keyword: String,
    },
    /// An attribute without a value.
    #[error("{label} has no value")]
    EmptyValue {
        /// The attribute's type.
        label: String,
    },
    /// A country that is not two letters (RFC 5280 appendix A.1).
    #[error("country {value:?} is not an ISO 3166 code of two letters")]
    Country {
        /// What was given.
        value: String,
    },
    /// Characters that the attribute's string type cannot hold.
    #[error("{label} {value:?} has characters outside {string_type}")]
    Characters {
        /// The attribute's type.
        label: String,
        /// What was given.
        value: String,
        /// The ASN.1 type the attribute must have.
        string_type: &'static str,
    },
    /// A value over RFC 5280's upper bound.
    #[error("{label} of {found} characters is over RFC 5280's {allowed}")]
    TooLong {
        /// The attribute's type.
        label: String,
        /// Its length.
        found: usize,
        /// The upper bound.
        allowed: usize,
    },
    /// More than is read.
    #[error("distinguished name has {found} {unit}, at most {allowed} are read")]
    TooLarge {
        /// What is counted.
        unit: &'static str,
        /// How many there are.
        found: usize,
        /// How many are read.
        allowed: usize,
    },
}

impl DistinguishedName {
    /// Reads a DER Name. The order inside a relative name of several attributes is not checked: names in
    /// the field break DER's ascending order, and their bytes are compared as they stand.
    pub fn from_der(der: &[u8]) -> Result<DistinguishedName, NameError> {
        let field = "name";
        if der.len() > NAME_OCTETS_MAX {
            return Err(NameError::TooLarge {
                unit: "octets",
                found: der.len(),
                allowed: NAME_OCTETS_MAX,
            });
        }
        let mut rdns = Cursor::only(der, asn1::SEQUENCE, field)?.inside();
        let mut attributes = Vec::new();
        let mut rdn = 0;
        while !rdns.is_empty() {
            let mut set = rdns
                .expect(asn1::SET, "relative distinguished name")?
                .inside();
            if set.is_empty() {
                return Err(DerError::Missing {
                    field: "attribute of a relative distinguished name",
                }
                .into());
            }
            while !set.is_empty() {
                let mut pair = set.expect(asn1::SEQUENCE, "attribute")?.inside();
                let oid = pair
                    .expect(asn1::OID, "attribute type")?
                    .oid("attribute type")?;
                let value = pair.any("attribute value")?;
                pair.end("attribute")?;
                attributes.push(Attribute::decoded(oid, value, rdn));
                if attributes.len() > ATTRIBUTES_MAX {
                    let found = attributes.len();
                    return Err(NameError::TooLarge {
                        unit: "attributes",
                        found,
                        allowed: ATTRIBUTES_MAX,
                    });
                }
            }
            rdn += 1;
        }
        Ok(DistinguishedName {
            der: der.into(),
            attributes: attributes.into(),
        })
    }

    /// Makes a name for a certificate to be issued, one attribute to a relative name, in certificate order
    /// (country first, common name last, by custom), within RFC 5280's bounds.
    pub fn from_attributes(
        attributes: &[(ObjectIdentifier, &str)],
    ) -> Result<DistinguishedName, NameError> {
        let rdns = attributes
            .iter()
            .map(|(oid, value)| vec![(*oid, attribute_type::encode_value(oid, value))]);
        let name = DistinguishedName::encode(&rdns.collect::<Vec<_>>())?;
        name.check_issuable()?;
        Ok(name)
    }

    /// The name without attributes, as a subject has whose names are all in the subjectAltName.
    pub fn empty() -> DistinguishedName {
        DistinguishedName {
            der: asn1::sequence(&[]).into(),
            attributes: Arc::new([]),
        }
    }

    /// Encodes relative names, whose values are DER already.
    fn encode(rdns: &[Vec<(ObjectIdentifier, Vec<u8>)>]) -> Result<DistinguishedName, NameError> {
        let mut content = Vec::new();
        for rdn in rdns {
            let pairs = rdn
                .iter()
                .map(|(oid, value)| asn1::sequence(&[&asn1::oid(oid), value]));
            let mut pairs: Vec<Vec<u8>> = pairs.collect();
            // DER writes the members of a SET OF in ascending order of their encodings (X.690 §11.6).
            pairs.sort();
            content.extend_from_slice(&asn1::element(asn1::SET, &pairs.concat()));
        }
        DistinguishedName::from_der(&asn1::element(asn1::SEQUENCE, &content))
    }

    /// Checks what RFC 5280 appendix A.1 asks of names in certificates: no empty value, none over its upper bound,
    /// countries of two letters, and the string type an attribute must have.
    pub fn check_issuable(&self) -> Result<(), NameError> {
        self.attributes.iter().try_for_each(attribute_type::check)
    }

    /// The name's exact DER.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// A copy of the name's exact DER.
    pub fn to_der(&self) -> Vec<u8> {
        self.der.to_vec()
    }

    /// Whether it has no attributes at all.
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// Whether both are one name by RFC 5280 §7.1: the same attributes in the same relative names, whose texts differ
    /// in case, spaces and string type at most.
    ///
    /// Characters that Unicode can write in several ways are compared as they stand. Two authorities can have such
    /// names: a match proves nothing about keys.
    pub fn matches(&self, other: &DistinguishedName) -> bool {
        let as_many = self.attributes.len() == other.attributes.len();
        self == other || as_many && self.folded() == other.folded()
    }

    /// What two matching names have in common: the relative names in order, the attributes of each in any.
    fn folded(&self) -> Vec<(usize, String, bool, String)> {
        let mut folded: Vec<_> = self.attributes.iter().map(Attribute::folded).collect();
        folded.sort();
        folded
    }

    /// The attributes in the order of the certificate, which is the reverse of the text's.
    pub fn attributes(&self) -> impl DoubleEndedIterator<Item = &Attribute> + ExactSizeIterator {
        self.attributes.iter()
    }

    /// The values of one attribute type, in the order of the certificate.
    pub fn values<'a>(
        &'a self,
        oid: &'a ObjectIdentifier,
    ) -> impl DoubleEndedIterator<Item = &'a str> {
        self.attributes
            .iter()
            .filter(move |attribute| attribute.oid == *oid)
            .map(|attribute| attribute.value.as_str())
    }

    /// The most specific common name: the last in the order of the certificate.
    pub fn common_name(&self) -> Option<&str> {
        self.values(&oid::COMMON_NAME).next_back()
    }
}

impl Attribute {
    fn decoded(oid: ObjectIdentifier, value: Element<'_>, rdn: usize) -> Attribute {
        let text = attribute_type::decode_value(value);
        let is_text = text.is_some();
        let value_text = text.unwrap_or_else(|| format!("#{}", hex::encode(value.der)));
        Attribute {
            oid,
            value: value_text,
            rdn,
            value_der: value.der.to_vec(),
            is_text,
        }
    }

    /// Its place, its type, whether it is text, and its value without regard to case and repeated spaces.
    fn folded(&self) -> (usize, String, bool, String) {
        let value = if self.is_text {
            let words: Vec<&str> = self.value.split_whitespace().collect();
            // By way of upper case, which letters with two lower cases share.
            let upper: String = words
                .join(" ")
                .chars()
                .flat_map(char::to_uppercase)
                .collect();
            upper.chars().flat_map(char::to_lowercase).collect()
        } else {
            self.value.clone()
        };
        (self.rdn, self.oid.to_string(), self.is_text, value)
    }

    /// The keyword of a known type: `CN`, `O`, `OU`, `serialNumber`.
    pub fn short_name(&self) -> Option<&'static str> {
        attribute_type::keyword(&self.oid)
    }

    /// The keyword, or the dotted identifier of an unknown type.
    pub fn label(&self) -> String {
        self.short_name()
            .map_or_else(|| self.oid.to_string(), str::to_owned)
    }

    /// Which relative name it belongs to, counted from 0 in the order of the certificate.
    pub fn rdn(&self) -> usize {
        self.rdn
    }

    /// Whether the value is a well-formed string, and `value` its text rather than the hexadecimal of its DER.
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    /// The value's DER, string type included.
    pub fn value_der(&self) -> &[u8] {
        &self.value_der
    }
}

impl PartialEq for DistinguishedName {
    fn eq(&self, other: &DistinguishedName) -> bool {
        self.der == other.der
    }
}

impl Eq for DistinguishedName {}

impl Hash for DistinguishedName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.der.hash(state);
    }
}

impl Default for DistinguishedName {
    fn default() -> DistinguishedName {
        DistinguishedName::empty()
    }
}

impl fmt::Debug for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DistinguishedName({self})")
    }
}

crate::text_serde!(DistinguishedName);

/// The largest name read, in octets. Names in use have a few hundred.
const NAME_OCTETS_MAX: usize = 16 << 10;

/// The most attributes read. Names in use have about ten.
const ATTRIBUTES_MAX: usize = 128;

#[cfg(test)]
mod tests;
