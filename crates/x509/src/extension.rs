//! Certificate extensions (RFC 5280 §4.2): the raw ones, and what the known ones say.

use der::{Decode, Encode};
use x509_cert::ext::pkix::name::DistributionPointName;
use x509_cert::ext::pkix::{AuthorityInfoAccessSyntax, CrlDistributionPoints};

use crate::asn1::{self, Cursor, DerError};
use crate::general_name::GeneralName;
use crate::oid::{self, ObjectIdentifier};

mod key_usage;
mod name_constraints;

pub use key_usage::KeyUsage;
pub use name_constraints::{AddressRange, ConstrainedName, NameConstraints};

/// One extension as it stands in a certificate, request or CRL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Which extension it is.
    pub oid: ObjectIdentifier,
    /// Whether a reader that does not know it must refuse.
    pub critical: bool,
    /// The content of its OCTET STRING.
    pub value: Vec<u8>,
}

/// A known extension that does not hold what it should.
///
/// A reader that goes on regardless would take a constraint for absent: path validation refuses such certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("extension {name} is malformed: {error}")]
pub struct ExtensionError {
    /// Which extension.
    pub oid: ObjectIdentifier,
    /// Its name, or its identifier.
    pub name: String,
    /// What is wrong.
    pub error: DerError,
}

/// Whether a certificate is an authority's, and how many may follow it (RFC 5280 §4.2.1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BasicConstraints {
    /// Whether it may certify others.
    pub ca: bool,
    /// How many intermediate certificates may follow it in a path.
    pub path_len: Option<u32>,
}

/// Which key signed a certificate (RFC 5280 §4.2.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthorityKeyIdentifier {
    /// The issuer's subject key identifier.
    pub key_id: Option<Vec<u8>>,
    /// The names of the issuer's issuer.
    pub issuer: Vec<GeneralName>,
    /// The issuer's serial number, as the content of its INTEGER.
    pub serial: Option<Vec<u8>>,
}

impl Extension {
    /// Makes an extension.
    pub fn new(oid: ObjectIdentifier, critical: bool, value: Vec<u8>) -> Extension {
        Extension {
            oid,
            critical,
            value,
        }
    }

    /// Reads an Extensions SEQUENCE, which has at least one member (RFC 5280 §4.1).
    pub fn list_from_der(der: &[u8]) -> Result<Vec<Extension>, DerError> {
        let field = "extensions";
        let mut list = Cursor::only(der, asn1::SEQUENCE, field)?.inside();
        let mut extensions = Vec::new();
        while !list.is_empty() {
            let mut inside = list.expect(asn1::SEQUENCE, "extension")?.inside();
            let oid = inside
                .expect(asn1::OID, "extension identifier")?
                .oid("extension identifier")?;
            // An explicit FALSE is not DER for a default, yet many issuers write it; it misleads nobody.
            let critical = match inside.optional(asn1::BOOLEAN, "extension criticality")? {
                Some(critical) => critical.boolean("extension criticality")?,
                None => false,
            };
            let value = inside
                .expect(asn1::OCTET_STRING, "extension value")?
                .content
                .to_vec();
            inside.end("extension")?;
            extensions.push(Extension {
                oid,
                critical,
                value,
            });
            if extensions.len() > EXTENSIONS_MAX {
                return Err(DerError::TooLarge {
                    field,
                    found: extensions.len(),
                    allowed: EXTENSIONS_MAX,
                });
            }
        }
        if extensions.is_empty() {
            Err(DerError::Missing { field: "extension" })
        } else {
            Ok(extensions)
        }
    }

    /// Encodes one extension.
    pub fn to_der(&self) -> Vec<u8> {
        let critical = if self.critical {
            asn1::element(asn1::BOOLEAN, &[0xff])
        } else {
            Vec::new()
        };
        let value = asn1::element(asn1::OCTET_STRING, &self.value);
        asn1::sequence(&[&asn1::oid(&self.oid), &critical, &value])
    }

    /// Encodes an Extensions SEQUENCE.
    pub fn list_to_der(extensions: &[Extension]) -> Vec<u8> {
        let extensions: Vec<Vec<u8>> = extensions.iter().map(Extension::to_der).collect();
        asn1::element(asn1::SEQUENCE, &extensions.concat())
    }

    /// The RFC's name for it, or its dotted identifier.
    pub fn name(&self) -> String {
        extension_name(&self.oid).map_or_else(|| self.oid.to_string(), str::to_owned)
    }

    /// Ties an error to this extension.
    pub(crate) fn malformed(&self, error: DerError) -> ExtensionError {
        ExtensionError {
            oid: self.oid,
            name: self.name(),
            error,
        }
    }
}

impl BasicConstraints {
    /// Reads the extension's value.
    pub fn from_der(value: &[u8]) -> Result<BasicConstraints, DerError> {
        let field = "basicConstraints";
        let mut inside = Cursor::only(value, asn1::SEQUENCE, field)?.inside();
        let ca = match inside.optional(asn1::BOOLEAN, "cA")? {
            Some(ca) => ca.boolean("cA")?,
            None => false,
        };
        let path_len = match inside.optional(asn1::INTEGER, "pathLenConstraint")? {
            // A limit beyond 32 bits limits nothing that could be sent.
            Some(number) => {
                Some(u32::try_from(number.small_integer("pathLenConstraint")?).unwrap_or(u32::MAX))
            }
            None => None,
        };
        inside.end(field)?;
        Ok(BasicConstraints { ca, path_len })
    }

    /// Encodes the extension's value.
    pub fn to_der(&self) -> Vec<u8> {
        let ca = if self.ca {
            asn1::element(asn1::BOOLEAN, &[0xff])
        } else {
            Vec::new()
        };
        let path_len = self
            .path_len
            .map(|number| asn1::unsigned(u64::from(number)))
            .unwrap_or_default();
        asn1::sequence(&[&ca, &path_len])
    }
}

impl AuthorityKeyIdentifier {
    /// Reads the extension's value.
    pub fn from_der(value: &[u8]) -> Result<AuthorityKeyIdentifier, DerError> {
        let field = "authorityKeyIdentifier";
        let mut inside = Cursor::only(value, asn1::SEQUENCE, field)?.inside();
        let key_id = inside
            .optional(asn1::context(0), "keyIdentifier")?
            .map(|id| id.content.to_vec());
        let issuer = match inside.optional(asn1::context_constructed(1), "authorityCertIssuer")? {
            Some(names) => GeneralName::list(names.inside(), "authorityCertIssuer")?,
            None => Vec::new(),
        };
        let serial = match inside.optional(asn1::context(2), "authorityCertSerialNumber")? {
            Some(serial) => Some(serial.integer("authorityCertSerialNumber")?.to_vec()),
            None => None,
        };
        inside.end(field)?;
        Ok(AuthorityKeyIdentifier {
            key_id,
            issuer,
            serial,
        })
    }

    /// Encodes the extension's value for an issuer known by key identifier.
    pub fn key_id_to_der(key_id: &[u8]) -> Vec<u8> {
        asn1::sequence(&[&asn1::element(asn1::context(0), key_id)])
    }
}

/// Reads an extKeyUsage value: at least one purpose (RFC 5280 §4.2.1.12).
pub(crate) fn extended_key_usage(value: &[u8]) -> Result<Vec<ObjectIdentifier>, DerError> {
    let field = "extKeyUsage";
    let mut list = Cursor::only(value, asn1::SEQUENCE, field)?.inside();
    let mut purposes = Vec::new();
    while !list.is_empty() {
        purposes.push(list.expect(asn1::OID, "key purpose")?.oid("key purpose")?);
    }
    if purposes.is_empty() {
        Err(DerError::Missing {
            field: "key purpose",
        })
    } else {
        Ok(purposes)
    }
}

/// Reads a subjectKeyIdentifier value.
pub(crate) fn subject_key_id(value: &[u8]) -> Result<Vec<u8>, DerError> {
    Cursor::only(value, asn1::OCTET_STRING, "subjectKeyIdentifier").map(|id| id.content.to_vec())
}

/// Reads the URIs of a cRLDistributionPoints value. Points by relative name, or of other issuers, give none.
pub(crate) fn distribution_points(value: &[u8]) -> Result<Vec<String>, DerError> {
    let field = "cRLDistributionPoints";
    let points = CrlDistributionPoints::from_der(value)
        .map_err(|error| decoder(field, &error))?
        .0;
    if points.is_empty() {
        return Err(DerError::Missing {
            field: "distribution point",
        });
    }
    let mut uris = Vec::new();
    for point in points
        .into_iter()
        .filter(|point| point.crl_issuer.is_none())
    {
        let names = full_names(point.distribution_point.as_ref(), field)?;
        uris.extend(names.into_iter().filter_map(|name| match name {
            GeneralName::Uri(uri) => Some(uri),
            _ => None,
        }));
    }
    Ok(uris)
}

/// The full names of a distribution point; none if it has no name, or one relative to the issuer's.
pub(crate) fn full_names(
    point: Option<&DistributionPointName>,
    field: &'static str,
) -> Result<Vec<GeneralName>, DerError> {
    match point {
        Some(DistributionPointName::FullName(names)) => {
            names.iter().map(|name| general_name(name, field)).collect()
        }
        Some(DistributionPointName::NameRelativeToCRLIssuer(_)) | None => Ok(Vec::new()),
    }
}

/// Reads an authorityInfoAccess value: method and place of each entry.
pub(crate) fn access_descriptions(
    value: &[u8],
) -> Result<Vec<(ObjectIdentifier, GeneralName)>, DerError> {
    let field = "authorityInfoAccess";
    let entries = AuthorityInfoAccessSyntax::from_der(value)
        .map_err(|error| decoder(field, &error))?
        .0;
    if entries.is_empty() {
        return Err(DerError::Missing {
            field: "access description",
        });
    }
    let entries = entries.into_iter();
    entries
        .map(|entry| {
            Ok((
                entry.access_method,
                general_name(&entry.access_location, field)?,
            ))
        })
        .collect()
}

fn general_name(
    name: &x509_cert::ext::pkix::name::GeneralName,
    field: &'static str,
) -> Result<GeneralName, DerError> {
    GeneralName::from_der(&name.to_der().map_err(|error| decoder(field, &error))?)
}

/// An error of the decoder for structures that are read whole.
pub(crate) fn decoder(field: &'static str, error: &der::Error) -> DerError {
    DerError::Decoder {
        field,
        reason: error.to_string(),
    }
}

/// The RFC's name of an extension.
pub fn extension_name(oid: &ObjectIdentifier) -> Option<&'static str> {
    Some(match *oid {
        oid::SUBJECT_KEY_IDENTIFIER => "subjectKeyIdentifier",
        oid::KEY_USAGE => "keyUsage",
        oid::SUBJECT_ALT_NAME => "subjectAltName",
        oid::ISSUER_ALT_NAME => "issuerAltName",
        oid::BASIC_CONSTRAINTS => "basicConstraints",
        oid::CRL_NUMBER => "cRLNumber",
        oid::REASON_CODE => "reasonCode",
        oid::INVALIDITY_DATE => "invalidityDate",
        oid::DELTA_CRL_INDICATOR => "deltaCRLIndicator",
        oid::ISSUING_DISTRIBUTION_POINT => "issuingDistributionPoint",
        oid::CERTIFICATE_ISSUER => "certificateIssuer",
        oid::NAME_CONSTRAINTS => "nameConstraints",
        oid::CRL_DISTRIBUTION_POINTS => "cRLDistributionPoints",
        oid::CERTIFICATE_POLICIES => "certificatePolicies",
        oid::POLICY_MAPPINGS => "policyMappings",
        oid::AUTHORITY_KEY_IDENTIFIER => "authorityKeyIdentifier",
        oid::POLICY_CONSTRAINTS => "policyConstraints",
        oid::EXTENDED_KEY_USAGE => "extKeyUsage",
        oid::FRESHEST_CRL => "freshestCRL",
        oid::INHIBIT_ANY_POLICY => "inhibitAnyPolicy",
        oid::AUTHORITY_INFO_ACCESS => "authorityInfoAccess",
        oid::SUBJECT_INFO_ACCESS => "subjectInfoAccess",
        _ => return None,
    })
}

/// The most extensions read in one list. Certificates in use have about ten.
const EXTENSIONS_MAX: usize = 256;

#[cfg(test)]
mod tests;
