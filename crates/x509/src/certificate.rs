//! Certificates (RFC 5280 §4.1): read strictly as DER, leniently as a profile.
//!
//! What is not DER is refused. What is DER and breaks the RFC's profile is kept and can be asked for, so that path
//! validation can say which certificate broke which rule.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::digest;

use crate::asn1::{self, Cursor, DerError, Element};
use crate::extension::{
    self, AuthorityKeyIdentifier, BasicConstraints, Extension, ExtensionError, KeyUsage,
    NameConstraints,
};
use crate::general_name::GeneralName;
use crate::key::{KeyError, PublicKey};
use crate::name::{DistinguishedName, NameError};
use crate::oid::{self, ObjectIdentifier};
use crate::serial::SerialNumber;
use crate::signature::{SignatureAlgorithm, parse_identifier, weak_algorithm_name};
use crate::validity::{EncodedTime, Validity};

/// A parsed certificate. Cheap to clone.
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<Inner>,
}

struct Inner {
    der: Vec<u8>,
    tbs: Range<usize>,
    version: u64,
    serial: SerialNumber,
    inner_algorithm: Range<usize>,
    outer_algorithm: Range<usize>,
    algorithm_oid: ObjectIdentifier,
    algorithm: Option<SignatureAlgorithm>,
    issuer: DistinguishedName,
    subject: DistinguishedName,
    not_before: EncodedTime,
    not_after: EncodedTime,
    spki: Range<usize>,
    public_key: Result<PublicKey, KeyError>,
    issuer_unique_id: bool,
    subject_unique_id: bool,
    extensions: Vec<Extension>,
    signature: Range<usize>,
    known: Known,
}

/// What the known extensions say. A malformed one is in `malformed` and absent elsewhere.
#[derive(Default)]
struct Known {
    malformed: Vec<ExtensionError>,
    subject_alt_names: Vec<GeneralName>,
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<Vec<ObjectIdentifier>>,
    subject_key_id: Option<Vec<u8>>,
    authority_key_id: Option<AuthorityKeyIdentifier>,
    name_constraints: Option<NameConstraints>,
    crl_distribution_points: Vec<String>,
    authority_info_access: Vec<(ObjectIdentifier, GeneralName)>,
}

/// Why some bytes are not a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not DER, or not the structure of RFC 5280 §4.1.
    #[error("not a certificate: {0}")]
    Der(#[from] DerError),
    /// The issuer's or subject's name cannot be read.
    #[error("{field} of the certificate: {error}")]
    Name {
        /// Whose name.
        field: &'static str,
        /// What is wrong with it.
        error: NameError,
    },
}

/// Why a signature on a certificate or CRL does not stand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The algorithm is not accepted.
    #[error("signature algorithm {name} is not accepted")]
    Algorithm {
        /// Its name, or its dotted identifier.
        name: String,
    },
    /// The two places that name the algorithm differ (RFC 5280 §4.1.1.2).
    #[error("the signature algorithm inside the signed part differs from the one outside")]
    AlgorithmsDiffer,
    /// The signature does not verify, or not with this kind of key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Certificate {
    /// Reads a DER certificate and nothing after it.
    pub fn from_der(der: &[u8]) -> Result<Certificate, CertificateError> {
        if der.len() > CERTIFICATE_OCTETS_MAX {
            let (found, allowed) = (der.len(), CERTIFICATE_OCTETS_MAX);
            return Err(DerError::TooLarge {
                field: "certificate",
                found,
                allowed,
            }
            .into());
        }
        let owned = der.to_vec();
        let range = |part: &[u8]| range_of(der, part);

        let mut outer = Cursor::only(der, asn1::SEQUENCE, "certificate")?.inside();
        let tbs = outer.expect(asn1::SEQUENCE, "tbsCertificate")?;
        let outer_algorithm = outer.expect(asn1::SEQUENCE, "signatureAlgorithm")?;
        let signature = outer
            .expect(asn1::BIT_STRING, "signatureValue")?
            .octet_aligned_bits("signatureValue")?;
        outer.end("certificate")?;

        let mut fields = tbs.inside();
        let version = match fields.optional(asn1::context_constructed(0), "version")? {
            Some(version) => {
                Cursor::only(version.content, asn1::INTEGER, "version")?.small_integer("version")?
            }
            None => 0,
        };
        let serial = SerialNumber::from_element(&fields.expect(asn1::INTEGER, "serialNumber")?)?;
        let inner_algorithm = fields.expect(asn1::SEQUENCE, "signature")?;
        let issuer = name(fields.expect(asn1::SEQUENCE, "issuer")?, "issuer")?;
        let mut validity = fields.expect(asn1::SEQUENCE, "validity")?.inside();
        let not_before = EncodedTime::from_element(&validity.any("notBefore")?, "notBefore")?;
        let not_after = EncodedTime::from_element(&validity.any("notAfter")?, "notAfter")?;
        validity.end("validity")?;
        let subject = name(fields.expect(asn1::SEQUENCE, "subject")?, "subject")?;
        let spki = fields.expect(asn1::SEQUENCE, "subjectPublicKeyInfo")?;
        let issuer_unique_id = fields
            .optional(asn1::context(1), "issuerUniqueID")?
            .is_some();
        let subject_unique_id = fields
            .optional(asn1::context(2), "subjectUniqueID")?
            .is_some();
        let extensions = match fields.optional(asn1::context_constructed(3), "extensions")? {
            Some(wrapper) => Extension::list_from_der(wrapper.content)?,
            None => Vec::new(),
        };
        fields.end("tbsCertificate")?;

        let (algorithm_oid, _) = parse_identifier(outer_algorithm.der)?;
        parse_identifier(inner_algorithm.der)?;
        let inner = Inner {
            tbs: range(tbs.der),
            version,
            serial,
            inner_algorithm: range(inner_algorithm.der),
            outer_algorithm: range(outer_algorithm.der),
            algorithm_oid,
            algorithm: SignatureAlgorithm::from_der(outer_algorithm.der),
            issuer,
            subject,
            not_before,
            not_after,
            spki: range(spki.der),
            public_key: PublicKey::from_spki_der(spki.der),
            issuer_unique_id,
            subject_unique_id,
            known: Known::read(&extensions),
            extensions,
            signature: range(signature),
            der: owned,
        };
        Ok(Certificate {
            inner: Arc::new(inner),
        })
    }

    /// The certificate's exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.inner.der
    }

    /// The exact bytes that are signed.
    pub fn tbs_der(&self) -> &[u8] {
        &self.inner.der[self.inner.tbs.clone()]
    }

    /// The version number as encoded: 0 is v1 (left out), 2 is v3.
    pub fn version(&self) -> u64 {
        self.inner.version
    }

    /// The serial number, which a foreign issuer may have made zero, negative or too long ([`SerialNumber::is_conforming`]).
    pub fn serial(&self) -> &SerialNumber {
        &self.inner.serial
    }

    /// Who signed it.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.inner.issuer
    }

    /// Whom it is about.
    pub fn subject(&self) -> &DistinguishedName {
        &self.inner.subject
    }

    /// Whether issuer and subject are the same name (RFC 5280 §6.1: self-issued). Says nothing of the signature.
    pub fn is_self_issued(&self) -> bool {
        self.inner.issuer == self.inner.subject
    }

    /// When it is good.
    pub fn validity(&self) -> Validity {
        Validity {
            not_before: self.inner.not_before.time,
            not_after: self.inner.not_after.time,
        }
    }

    /// notBefore, and how it was written.
    pub fn not_before(&self) -> EncodedTime {
        self.inner.not_before
    }

    /// notAfter, and how it was written.
    pub fn not_after(&self) -> EncodedTime {
        self.inner.not_after
    }

    /// The subject's key, or why it is not accepted.
    pub fn public_key(&self) -> Result<&PublicKey, &KeyError> {
        self.inner.public_key.as_ref()
    }

    /// The SubjectPublicKeyInfo's exact bytes.
    pub fn spki_der(&self) -> &[u8] {
        &self.inner.der[self.inner.spki.clone()]
    }

    /// The algorithm of its signature; None if it is not one that is accepted.
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        self.inner.algorithm
    }

    /// The identifier of its signature's algorithm, accepted or not.
    pub fn signature_algorithm_oid(&self) -> &ObjectIdentifier {
        &self.inner.algorithm_oid
    }

    /// The name of its signature's algorithm, for messages: "RSA with SHA-1", or a dotted identifier.
    pub fn signature_algorithm_name(&self) -> String {
        algorithm_name(self.inner.algorithm, &self.inner.algorithm_oid)
    }

    /// The AlgorithmIdentifier inside the signed part.
    pub fn inner_algorithm_der(&self) -> &[u8] {
        &self.inner.der[self.inner.inner_algorithm.clone()]
    }

    /// The AlgorithmIdentifier beside the signature.
    pub fn outer_algorithm_der(&self) -> &[u8] {
        &self.inner.der[self.inner.outer_algorithm.clone()]
    }

    /// The octets of the signature.
    pub fn signature(&self) -> &[u8] {
        &self.inner.der[self.inner.signature.clone()]
    }

    /// Whether it has an issuerUniqueID, which RFC 5280 §4.1.2.8 tells issuers not to write.
    pub fn has_issuer_unique_id(&self) -> bool {
        self.inner.issuer_unique_id
    }

    /// Whether it has a subjectUniqueID, which RFC 5280 §4.1.2.8 tells issuers not to write.
    pub fn has_subject_unique_id(&self) -> bool {
        self.inner.subject_unique_id
    }

    /// Every extension, in order, repeats included.
    pub fn extensions(&self) -> &[Extension] {
        &self.inner.extensions
    }

    /// The first extension of that kind.
    pub fn extension(&self, oid: &ObjectIdentifier) -> Option<&Extension> {
        self.inner
            .extensions
            .iter()
            .find(|extension| extension.oid == *oid)
    }

    /// An extension that occurs twice, which RFC 5280 §4.2 forbids.
    pub fn repeated_extension(&self) -> Option<&Extension> {
        repeated(&self.inner.extensions)
    }

    /// The known extensions that do not hold what they should. The other accessors report these as absent,
    /// so whoever relies on an absence must look here first.
    pub fn malformed_extensions(&self) -> &[ExtensionError] {
        &self.inner.known.malformed
    }

    /// The names in the subjectAltName; empty without one.
    pub fn subject_alt_names(&self) -> &[GeneralName] {
        &self.inner.known.subject_alt_names
    }

    /// The basicConstraints, if present.
    pub fn basic_constraints(&self) -> Option<BasicConstraints> {
        self.inner.known.basic_constraints
    }

    /// Whether basicConstraints says it is an authority's.
    pub fn is_ca(&self) -> bool {
        self.basic_constraints()
            .is_some_and(|constraints| constraints.ca)
    }

    /// The keyUsage, if present. Absent means unrestricted.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.inner.known.key_usage
    }

    /// The extKeyUsage purposes, if present. Absent means unrestricted.
    pub fn extended_key_usage(&self) -> Option<&[ObjectIdentifier]> {
        self.inner.known.extended_key_usage.as_deref()
    }

    /// The subjectKeyIdentifier, if present.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.inner.known.subject_key_id.as_deref()
    }

    /// The key identifier of the authorityKeyIdentifier, if present.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.authority_key_identifier()?.key_id.as_deref()
    }

    /// The whole authorityKeyIdentifier, if present.
    pub fn authority_key_identifier(&self) -> Option<&AuthorityKeyIdentifier> {
        self.inner.known.authority_key_id.as_ref()
    }

    /// The nameConstraints, if present.
    pub fn name_constraints(&self) -> Option<&NameConstraints> {
        self.inner.known.name_constraints.as_ref()
    }

    /// The URIs where its issuer's CRL is found.
    pub fn crl_distribution_points(&self) -> Vec<String> {
        self.inner.known.crl_distribution_points.clone()
    }

    /// The authorityInfoAccess entries: method and place.
    pub fn authority_info_access(&self) -> &[(ObjectIdentifier, GeneralName)] {
        &self.inner.known.authority_info_access
    }

    /// SHA-256 of the certificate's bytes.
    pub fn fingerprint(&self) -> [u8; 32] {
        let digest = digest::digest(&digest::SHA256, &self.inner.der);
        // Cannot fail: SHA-256 has 32 octets.
        digest.as_ref().try_into().expect("32 octets")
    }

    /// Checks that the certificate's signature was made with this key.
    pub fn verify_signed_by(&self, key: &PublicKey) -> Result<(), SignatureError> {
        if self.inner_algorithm_der() != self.outer_algorithm_der() {
            return Err(SignatureError::AlgorithmsDiffer);
        }
        let not_accepted = || SignatureError::Algorithm {
            name: self.signature_algorithm_name(),
        };
        let algorithm = self.inner.algorithm.ok_or_else(not_accepted)?;
        Ok(key.verify(algorithm, self.tbs_der(), self.signature())?)
    }
}

/// An extension that occurs twice.
pub(crate) fn repeated(extensions: &[Extension]) -> Option<&Extension> {
    let again = |(index, extension): &(usize, &Extension)| {
        extensions[..*index]
            .iter()
            .any(|it| it.oid == extension.oid)
    };
    extensions
        .iter()
        .enumerate()
        .find(again)
        .map(|(_, extension)| extension)
}

/// The name of a signature algorithm, for messages.
pub(crate) fn algorithm_name(
    algorithm: Option<SignatureAlgorithm>,
    oid: &ObjectIdentifier,
) -> String {
    match (algorithm, weak_algorithm_name(oid)) {
        (Some(algorithm), _) => algorithm.name().to_owned(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => oid.to_string(),
    }
}

/// Where a part lies in the whole it was cut from.
pub(crate) fn range_of(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

fn name(element: Element<'_>, field: &'static str) -> Result<DistinguishedName, CertificateError> {
    DistinguishedName::from_der(element.der)
        .map_err(|error| CertificateError::Name { field, error })
}

impl Known {
    fn read(extensions: &[Extension]) -> Known {
        let mut known = Known::default();
        for extension in extensions {
            // Of a repeated extension the first counts; that it is repeated is told elsewhere.
            if let Err(error) = known.read_one(extension) {
                known.malformed.push(extension.malformed(error));
            }
        }
        known
    }

    fn read_one(&mut self, extension: &Extension) -> Result<(), DerError> {
        let value = extension.value.as_slice();
        match extension.oid {
            oid::SUBJECT_ALT_NAME if self.subject_alt_names.is_empty() => {
                self.subject_alt_names = GeneralName::list_from_der(value)?;
            }
            oid::BASIC_CONSTRAINTS => first(
                &mut self.basic_constraints,
                BasicConstraints::from_der(value)?,
            ),
            oid::KEY_USAGE => first(&mut self.key_usage, KeyUsage::from_der(value)?),
            oid::EXTENDED_KEY_USAGE => first(
                &mut self.extended_key_usage,
                extension::extended_key_usage(value)?,
            ),
            oid::SUBJECT_KEY_IDENTIFIER => {
                first(&mut self.subject_key_id, extension::subject_key_id(value)?);
            }
            oid::AUTHORITY_KEY_IDENTIFIER => {
                first(
                    &mut self.authority_key_id,
                    AuthorityKeyIdentifier::from_der(value)?,
                );
            }
            oid::NAME_CONSTRAINTS => first(
                &mut self.name_constraints,
                NameConstraints::from_der(value)?,
            ),
            oid::CRL_DISTRIBUTION_POINTS if self.crl_distribution_points.is_empty() => {
                self.crl_distribution_points = extension::distribution_points(value)?;
            }
            oid::AUTHORITY_INFO_ACCESS if self.authority_info_access.is_empty() => {
                self.authority_info_access = extension::access_descriptions(value)?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn first<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Certificate) -> bool {
        self.inner.der == other.inner.der
    }
}

impl Eq for Certificate {}

impl std::hash::Hash for Certificate {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.der.hash(state);
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Certificate({}, {})",
            self.inner.subject, self.inner.serial
        )
    }
}

/// The largest certificate read, in octets. Those in use have one or two thousand; a chain must fit in a request header.
const CERTIFICATE_OCTETS_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests;
