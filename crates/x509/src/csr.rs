//! Certification requests (PKCS #10, RFC 2986), read only together with their proof of possession.

use std::fmt;

use crate::asn1::{self, Cursor, DerError};
use crate::certificate::{SignatureError, algorithm_name, repeated};
use crate::extension::{self, BasicConstraints, Extension, ExtensionError, KeyUsage};
use crate::general_name::GeneralName;
use crate::key::{KeyError, PublicKey};
use crate::name::{DistinguishedName, NameError};
use crate::oid::{self, ObjectIdentifier};
use crate::signature::{SignatureAlgorithm, parse_identifier};
use crate::signer::{SignError, Signer};

/// A request whose sender has proved to hold the private key: its signature was verified when it was read.
///
/// What it asks for is a wish, not a fact: nothing of it may reach a certificate but by the profile's leave.
#[derive(Clone)]
pub struct CertificationRequest {
    der: Vec<u8>,
    subject: DistinguishedName,
    public_key: PublicKey,
    algorithm: SignatureAlgorithm,
    extensions: Vec<Extension>,
    names: Vec<GeneralName>,
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<Vec<ObjectIdentifier>>,
}

/// Why some bytes are not a request that can be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not DER, or not the structure of RFC 2986 §4.
    #[error("not a certification request: {0}")]
    Der(#[from] DerError),
    /// The subject's name cannot be read.
    #[error("subject of the certification request: {0}")]
    Subject(#[from] NameError),
    /// The version is not 0 (RFC 2986 §4.1).
    #[error("certification request of version {found}, only 0 (v1) exists")]
    Version {
        /// The number found.
        found: u64,
    },
    /// The public key is not accepted.
    #[error("key of the certification request: {0}")]
    Key(#[from] KeyError),
    /// The signature does not prove possession of the private key.
    #[error("the certification request does not prove possession of its key: {0}")]
    ProofOfPossession(SignatureError),
    /// A known extension that is asked for does not hold what it should.
    #[error("the certification request asks for a bad extension: {0}")]
    Extension(#[from] ExtensionError),
    /// An attribute or an extension is there twice, so that two readers could see two requests.
    #[error("the certification request has {name} twice")]
    Repeated {
        /// What is repeated.
        name: String,
    },
}

impl CertificationRequest {
    /// Reads a DER request and nothing after it, and verifies its signature with the key inside.
    pub fn from_der(der: &[u8]) -> Result<CertificationRequest, RequestError> {
        if der.len() > REQUEST_OCTETS_MAX {
            let (found, allowed) = (der.len(), REQUEST_OCTETS_MAX);
            return Err(DerError::TooLarge {
                field: "certification request",
                found,
                allowed,
            }
            .into());
        }
        // 1. Take apart.
        let mut outer = Cursor::only(der, asn1::SEQUENCE, "certification request")?.inside();
        let info = outer.expect(asn1::SEQUENCE, "certificationRequestInfo")?;
        let identifier = outer.expect(asn1::SEQUENCE, "signatureAlgorithm")?;
        let signature = outer
            .expect(asn1::BIT_STRING, "signature")?
            .octet_aligned_bits("signature")?;
        outer.end("certification request")?;
        let mut fields = info.inside();
        let version = fields
            .expect(asn1::INTEGER, "version")?
            .small_integer("version")?;
        if version != 0 {
            return Err(RequestError::Version { found: version });
        }
        let subject = DistinguishedName::from_der(fields.expect(asn1::SEQUENCE, "subject")?.der)?;
        let spki = fields.expect(asn1::SEQUENCE, "subjectPKInfo")?;
        // The attributes are not optional, but OpenSSL of old and others leave an empty set out.
        let attributes = fields.optional(asn1::context_constructed(0), "attributes")?;
        fields.end("certificationRequestInfo")?;

        // 2. Verify, over the bytes as they came.
        let public_key = PublicKey::from_spki_der(spki.der)?;
        let (algorithm_oid, _) = parse_identifier(identifier.der)?;
        let algorithm = SignatureAlgorithm::from_der(identifier.der).ok_or_else(|| {
            RequestError::ProofOfPossession(SignatureError::Algorithm {
                name: algorithm_name(None, &algorithm_oid),
            })
        })?;
        public_key
            .verify(algorithm, info.der, signature)
            .map_err(|error| RequestError::ProofOfPossession(error.into()))?;

        // 3. Read what is asked for.
        let extensions = match attributes {
            Some(attributes) => requested_extensions(attributes.inside())?,
            None => Vec::new(),
        };
        if let Some(extension) = repeated(&extensions) {
            return Err(RequestError::Repeated {
                name: extension.name(),
            });
        }
        let mut request = CertificationRequest {
            der: der.to_vec(),
            subject,
            public_key,
            algorithm,
            extensions: Vec::new(),
            names: Vec::new(),
            basic_constraints: None,
            key_usage: None,
            extended_key_usage: None,
        };
        for extension in &extensions {
            request
                .read_extension(extension)
                .map_err(|error| extension.malformed(error))?;
        }
        request.extensions = extensions;
        Ok(request)
    }

    fn read_extension(&mut self, extension: &Extension) -> Result<(), DerError> {
        let value = extension.value.as_slice();
        match extension.oid {
            oid::SUBJECT_ALT_NAME => self.names = GeneralName::list_from_der(value)?,
            oid::BASIC_CONSTRAINTS => {
                self.basic_constraints = Some(BasicConstraints::from_der(value)?);
            }
            oid::KEY_USAGE => self.key_usage = Some(KeyUsage::from_der(value)?),
            oid::EXTENDED_KEY_USAGE => {
                self.extended_key_usage = Some(extension::extended_key_usage(value)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes a request for these names, signed by the key's holder with the key's own algorithm.
    pub fn create(
        subject: &DistinguishedName,
        names: &[GeneralName],
        signer: &dyn Signer,
    ) -> Result<Vec<u8>, SignError> {
        let mut extensions = Vec::new();
        if !names.is_empty() {
            // Critical when it is all there is to name the subject (RFC 5280 §4.2.1.6).
            let value = GeneralName::list_to_der(names);
            extensions.push(Extension::new(
                oid::SUBJECT_ALT_NAME,
                subject.is_empty(),
                value,
            ));
        }
        CertificationRequest::create_with_extensions(subject, &extensions, signer)
    }

    /// Makes a request for these extensions, signed by the key's holder with the key's own algorithm.
    pub fn create_with_extensions(
        subject: &DistinguishedName,
        extensions: &[Extension],
        signer: &dyn Signer,
    ) -> Result<Vec<u8>, SignError> {
        let mut attributes = Vec::new();
        if !extensions.is_empty() {
            let values = asn1::element(asn1::SET, &Extension::list_to_der(extensions));
            attributes = asn1::sequence(&[&asn1::oid(&oid::EXTENSION_REQUEST), &values]);
        }
        let public_key = signer.public_key();
        let info = asn1::sequence(&[
            &asn1::unsigned(0),
            subject.as_der(),
            public_key.spki_der(),
            &asn1::element(asn1::context_constructed(0), &attributes),
        ]);
        let algorithm = public_key.default_signature_algorithm();
        let signature = signer.sign(algorithm, &info)?;
        Ok(asn1::sequence(&[
            &info,
            &algorithm.to_der(),
            &asn1::bit_string(&signature),
        ]))
    }

    /// The request's exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The name asked for.
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// The key to certify, whose private half signed the request.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The algorithm the request was signed with. It need not be the key's default.
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The alternative names asked for.
    pub fn requested_names(&self) -> Vec<GeneralName> {
        self.names.clone()
    }

    /// Every extension asked for, known or not.
    pub fn requested_extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// Whether an authority's certificate is asked for.
    pub fn asks_for_ca(&self) -> bool {
        self.basic_constraints
            .is_some_and(|constraints| constraints.ca)
    }

    /// The basicConstraints asked for.
    pub fn requested_basic_constraints(&self) -> Option<BasicConstraints> {
        self.basic_constraints
    }

    /// The keyUsage asked for.
    pub fn requested_key_usage(&self) -> Option<KeyUsage> {
        self.key_usage
    }

    /// The purposes asked for.
    pub fn requested_extended_key_usage(&self) -> Option<&[ObjectIdentifier]> {
        self.extended_key_usage.as_deref()
    }
}

/// Reads the extensionRequest attribute (RFC 2985 §5.4.2) and passes over the others, such as challengePassword.
fn requested_extensions(mut attributes: Cursor<'_>) -> Result<Vec<Extension>, RequestError> {
    let mut extensions = None;
    let mut count = 0;
    while !attributes.is_empty() {
        let mut attribute = attributes.expect(asn1::SEQUENCE, "attribute")?.inside();
        let oid = attribute
            .expect(asn1::OID, "attribute type")?
            .oid("attribute type")?;
        let values = attribute.expect(asn1::SET, "attribute values")?;
        attribute.end("attribute")?;
        count += 1;
        if count > ATTRIBUTES_MAX {
            return Err(DerError::TooLarge {
                field: "attributes",
                found: count,
                allowed: ATTRIBUTES_MAX,
            }
            .into());
        }
        if oid == oid::EXTENSION_REQUEST {
            let mut values = values.inside();
            let list = values.expect(asn1::SEQUENCE, "extensionRequest")?;
            values.end("extensionRequest")?;
            // Some tools send the attribute with nothing in it.
            let list = if list.content.is_empty() {
                Vec::new()
            } else {
                Extension::list_from_der(list.der)?
            };
            if extensions.replace(list).is_some() {
                return Err(RequestError::Repeated {
                    name: "extensionRequest".into(),
                });
            }
        }
    }
    Ok(extensions.unwrap_or_default())
}

impl fmt::Debug for CertificationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CertificationRequest({}, {:?})",
            self.subject, self.public_key
        )
    }
}

/// The largest request read, in octets: the body limit of the server.
const REQUEST_OCTETS_MAX: usize = 64 << 10;

/// The most attributes read. Requests in use have one or two.
const ATTRIBUTES_MAX: usize = 64;

#[cfg(test)]
mod tests;
