//! Attribute mapping: which parts of a certificate become session tags.

use std::fmt;
use std::str::FromStr;

use bowline_policy::{Tag, TagError};
use bowline_x509::{Attribute, Certificate, DistinguishedName, GeneralName};
use serde::{Deserialize, Serialize};

use crate::ids::excerpt;

/// The mapping rules of a profile, at most one entry for each field of the certificate.
///
/// The default maps everything: all of the issuer, the first DNS name, URI and directory name, all of the subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<AttributeMapping>", into = "Vec<AttributeMapping>")]
pub struct AttributeMappings(Vec<AttributeMapping>);

/// The rules of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttributeMapping {
    /// The field they read.
    pub certificate_field: CertificateField,
    /// The rules, each naming something in the field.
    pub mapping_rules: Vec<MappingRule>,
}

/// One thing in a field that becomes a tag, or `*` for everything in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingRule {
    /// What it names: `CN`, `2.5.4.3`, `*`; for the SAN `DNS`, `URI`, `Name/*`, `Name/CN`.
    pub specifier: String,
}

/// A field of the certificate that tags are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CertificateField {
    /// The issuer's name.
    #[serde(rename = "x509Issuer")]
    Issuer,
    /// The subject alternative names.
    #[serde(rename = "x509SAN")]
    SubjectAlternativeName,
    /// The subject's name.
    #[serde(rename = "x509Subject")]
    Subject,
}

impl CertificateField {
    /// The name on the wire and at the beginning of every tag key.
    pub fn as_str(self) -> &'static str {
        match self {
            CertificateField::Issuer => "x509Issuer",
            CertificateField::SubjectAlternativeName => "x509SAN",
            CertificateField::Subject => "x509Subject",
        }
    }
}

impl fmt::Display for CertificateField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CertificateField {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<CertificateField, MappingError> {
        [
            CertificateField::Issuer,
            CertificateField::SubjectAlternativeName,
            CertificateField::Subject,
        ]
        .into_iter()
        .find(|field| field.as_str() == text)
        .ok_or_else(|| MappingError::Field {
            text: excerpt(text),
        })
    }
}

impl AttributeMappings {
    /// No rules: sessions carry no tags.
    pub fn none() -> AttributeMappings {
        AttributeMappings(Vec::new())
    }

    /// The rules, field by field in the order the wire has them.
    pub fn iter(&self) -> impl Iterator<Item = &AttributeMapping> {
        self.0.iter()
    }

    /// Sets the rules of a field, in place of those it had. `Name` and `Name/` are kept as `Name/*`.
    pub fn put(
        &mut self,
        field: CertificateField,
        specifiers: &[&str],
    ) -> Result<(), MappingError> {
        let mut rules: Vec<MappingRule> = Vec::new();
        for text in specifiers {
            let rule = MappingRule {
                specifier: checked_specifier(field, text)?,
            };
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        if rules.is_empty() {
            return Err(MappingError::NoRules { field });
        }
        self.0.retain(|mapping| mapping.certificate_field != field);
        let at = self
            .0
            .partition_point(|mapping| mapping.certificate_field < field);
        self.0.insert(
            at,
            AttributeMapping {
                certificate_field: field,
                mapping_rules: rules,
            },
        );
        Ok(())
    }

    /// Removes the named rules of a field, or all of them when none is named.
    pub fn delete(
        &mut self,
        field: CertificateField,
        specifiers: &[&str],
    ) -> Result<(), MappingError> {
        let named: Vec<String> = specifiers
            .iter()
            .map(|text| checked_specifier(field, text))
            .collect::<Result<_, _>>()?;
        for mapping in self
            .0
            .iter_mut()
            .filter(|mapping| mapping.certificate_field == field)
        {
            mapping
                .mapping_rules
                .retain(|rule| !named.is_empty() && !named.contains(&rule.specifier));
        }
        self.0.retain(|mapping| !mapping.mapping_rules.is_empty());
        Ok(())
    }

    /// The tags of a certificate under these rules, and what could not become one.
    pub(crate) fn tags(&self, certificate: &Certificate) -> (Vec<Tag>, Vec<DroppedTag>) {
        let mut found = Found::default();
        for mapping in &self.0 {
            for rule in &mapping.mapping_rules {
                let specifier = rule.specifier.as_str();
                match mapping.certificate_field {
                    CertificateField::Issuer => {
                        found.name("x509Issuer/", certificate.issuer(), specifier);
                    }
                    CertificateField::Subject => {
                        found.name("x509Subject/", certificate.subject(), specifier);
                    }
                    CertificateField::SubjectAlternativeName => {
                        found.alternative(certificate.subject_alt_names(), specifier);
                    }
                }
            }
        }
        (found.tags, found.dropped)
    }
}

impl Default for AttributeMappings {
    fn default() -> AttributeMappings {
        let mapping = |certificate_field, specifiers: &[&str]| AttributeMapping {
            certificate_field,
            mapping_rules: specifiers
                .iter()
                .map(|text| MappingRule {
                    specifier: (*text).to_owned(),
                })
                .collect(),
        };
        AttributeMappings(vec![
            mapping(CertificateField::Issuer, &["*"]),
            mapping(
                CertificateField::SubjectAlternativeName,
                &["DNS", "URI", "Name/*"],
            ),
            mapping(CertificateField::Subject, &["*"]),
        ])
    }
}

impl TryFrom<Vec<AttributeMapping>> for AttributeMappings {
    type Error = MappingError;

    fn try_from(mappings: Vec<AttributeMapping>) -> Result<AttributeMappings, MappingError> {
        let mut checked = AttributeMappings::none();
        for mapping in mappings {
            let specifiers: Vec<&str> = mapping
                .mapping_rules
                .iter()
                .map(|rule| rule.specifier.as_str())
                .collect();
            checked.put(mapping.certificate_field, &specifiers)?;
        }
        Ok(checked)
    }
}

impl From<AttributeMappings> for Vec<AttributeMapping> {
    fn from(mappings: AttributeMappings) -> Vec<AttributeMapping> {
        mappings.0
    }
}

/// A tag that a certificate asks for and a session cannot carry.
///
/// AWS drops such tags without a word, and a trust policy that tests one then fails; so they are kept to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DroppedTag {
    /// The key it would have.
    pub key: String,
    /// The value it would have.
    pub value: String,
    /// Which limit it breaks.
    pub why: String,
}

impl DroppedTag {
    fn new(key: String, value: String, why: &TagError) -> DroppedTag {
        DroppedTag {
            key,
            value: excerpt(&value),
            why: why.to_string(),
        }
    }
}

/// What the rules have found so far; a key that two rules find counts once.
#[derive(Default)]
struct Found {
    tags: Vec<Tag>,
    dropped: Vec<DroppedTag>,
}

impl Found {
    /// The attributes of a name that a specifier means: `*` each under its own label, else the one named. Repeats of an
    /// attribute are joined with `/` in certificate order.
    fn name(&mut self, prefix: &str, name: &DistinguishedName, specifier: &str) {
        let mut joined: Vec<(String, String)> = Vec::new();
        for attribute in name.attributes() {
            let Some(label) = label_under(attribute, specifier) else {
                continue;
            };
            match joined.iter_mut().find(|(known, _)| *known == label) {
                Some((_, values)) => {
                    values.push('/');
                    values.push_str(&attribute.value);
                }
                None => joined.push((label, attribute.value.clone())),
            }
        }
        for (label, value) in joined {
            self.add(format!("{prefix}{label}"), value);
        }
    }

    /// Only the first name of each kind counts, as in AWS.
    fn alternative(&mut self, names: &[GeneralName], specifier: &str) {
        match specifier {
            "DNS" => {
                let first = names.iter().find_map(|name| match name {
                    GeneralName::Dns(text) => Some(text.clone()),
                    _ => None,
                });
                first
                    .into_iter()
                    .for_each(|text| self.add("x509SAN/DNS".to_owned(), text));
            }
            "URI" => {
                let first = names.iter().find_map(|name| match name {
                    GeneralName::Uri(text) => Some(text.clone()),
                    _ => None,
                });
                first
                    .into_iter()
                    .for_each(|text| self.add("x509SAN/URI".to_owned(), text));
            }
            _ => {
                let first = names.iter().find_map(|name| match name {
                    GeneralName::DirectoryName(name) => Some(name),
                    _ => None,
                });
                let inner = specifier.strip_prefix(DIRECTORY_NAME).unwrap_or(specifier);
                if let Some(name) = first {
                    self.name("x509SAN/Name/", name, inner);
                }
            }
        }
    }

    fn add(&mut self, key: String, value: String) {
        let same = |known: &str| known.eq_ignore_ascii_case(&key);
        if self.tags.iter().any(|tag| same(tag.key()))
            || self.dropped.iter().any(|tag| same(&tag.key))
        {
            return;
        }
        match Tag::new(key.clone(), value.clone()) {
            Ok(tag) => self.tags.push(tag),
            Err(why) => self.dropped.push(DroppedTag::new(key, value, &why)),
        }
    }
}

/// The label that an attribute gets in a tag key under a specifier; none if the specifier means another attribute.
fn label_under(attribute: &Attribute, specifier: &str) -> Option<String> {
    let label = attribute.label();
    if specifier == "*" || label.eq_ignore_ascii_case(specifier) {
        return Some(label.to_string());
    }
    (attribute.oid.to_string() == specifier).then(|| specifier.to_owned())
}

/// A specifier in the form it is kept in.
fn checked_specifier(field: CertificateField, text: &str) -> Result<String, MappingError> {
    let refused = |rule| {
        Err(MappingError::Specifier {
            field,
            text: excerpt(text),
            rule,
        })
    };
    if text.len() > SPECIFIER_MAX {
        return refused("at most 60 characters");
    }
    match field {
        CertificateField::Issuer | CertificateField::Subject => {
            if text == "*" || is_attribute(text) {
                return Ok(text.to_owned());
            }
            refused("`*`, a short name such as CN, or a dotted object identifier such as 2.5.4.3")
        }
        CertificateField::SubjectAlternativeName => match text {
            "DNS" | "URI" => Ok(text.to_owned()),
            "Name" | "Name/" => Ok("Name/*".to_owned()),
            _ => match text.strip_prefix(DIRECTORY_NAME) {
                Some(inner) if inner == "*" || is_attribute(inner) => Ok(text.to_owned()),
                _ => refused("DNS, URI, Name/*, or Name/ with an attribute such as Name/CN"),
            },
        },
    }
}

/// Whether a text is a short name (RFC 4512 §1.4 `descr`) or a dotted object identifier (`numericoid`).
fn is_attribute(text: &str) -> bool {
    let short_name = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let dotted = text.contains('.')
        && text
            .split('.')
            .all(|arc| !arc.is_empty() && arc.chars().all(|c| c.is_ascii_digit()));
    short_name || dotted
}

/// Why a mapping rule is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// No such field.
    #[error("`{text}` is not a certificate field: x509Subject, x509Issuer or x509SAN")]
    Field {
        /// What was given.
        text: String,
    },
    /// The specifier cannot mean anything in the field.
    #[error("specifier `{text}` of {field} is not allowed: it takes {rule}")]
    Specifier {
        /// The field.
        field: CertificateField,
        /// What was given.
        text: String,
        /// What it may be.
        rule: &'static str,
    },
    /// A mapping without rules.
    #[error("the mapping of {field} has no rules")]
    NoRules {
        /// The field.
        field: CertificateField,
    },
}

impl MappingError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            MappingError::Field { .. } => "unknown_certificate_field",
            MappingError::Specifier { .. } => "invalid_specifier",
            MappingError::NoRules { .. } => "empty_attribute_mapping",
        }
    }
}

/// How a specifier points into the directory name of the SAN.
const DIRECTORY_NAME: &str = "Name/";

/// Characters of a specifier (IAM Roles Anywhere).
const SPECIFIER_MAX: usize = 60;

#[cfg(test)]
mod tests;
