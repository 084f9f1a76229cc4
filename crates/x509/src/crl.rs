//! Certificate revocation lists (RFC 5280 §5), read and indexed once, asked many times.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use der::Decode;
use x509_cert::ext::pkix::crl::dp;

use crate::asn1::{self, Cursor, DerError};
use crate::certificate::{SignatureError, algorithm_name, range_of, repeated};
use crate::extension::{self, AuthorityKeyIdentifier, Extension, ExtensionError};
use crate::general_name::GeneralName;
use crate::key::PublicKey;
use crate::name::{DistinguishedName, NameError};
use crate::oid::{self, ObjectIdentifier};
use crate::reason::RevocationReason;
use crate::serial::SerialNumber;
use crate::signature::{SignatureAlgorithm, parse_identifier};
use crate::validity::{EncodedTime, Time};

/// A parsed CRL. Cheap to clone.
///
/// Reading it proves nothing: [`CertificateList::verify_signed_by`] must succeed before an answer counts.
#[derive(Clone)]
pub struct CertificateList {
    inner: Arc<Inner>,
}

struct Inner {
    der: Vec<u8>,
    tbs: Range<usize>,
    signature: Range<usize>,
    algorithms_agree: bool,
    algorithm: Option<SignatureAlgorithm>,
    algorithm_oid: ObjectIdentifier,
    version: u64,
    issuer: DistinguishedName,
    this_update: EncodedTime,
    next_update: Option<EncodedTime>,
    entries: HashMap<SerialNumber, RevokedEntry>,
    extensions: Vec<Extension>,
    number: Option<Vec<u8>>,
    base_number: Option<Vec<u8>>,
    authority_key_id: Option<Vec<u8>>,
    distribution_point: Option<IssuingDistributionPoint>,
}

/// One revoked certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevokedEntry {
    /// When it was revoked.
    pub revoked_at: Time,
    /// Why; unspecified if the entry does not say.
    pub reason: RevocationReason,
    /// Since when the key may have been in other hands, if the entry says (RFC 5280 §5.3.2).
    pub invalid_since: Option<Time>,
}

/// What part of an issuer's certificates a CRL is about (RFC 5280 §5.2.5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IssuingDistributionPoint {
    /// The full names of the place it is published at.
    pub names: Vec<GeneralName>,
    /// Only certificates that are not authorities'.
    pub only_user: bool,
    /// Only certificates of authorities.
    pub only_ca: bool,
    /// Only for some reasons, so that absence proves little.
    pub only_some_reasons: bool,
    /// Only attribute certificates.
    pub only_attribute: bool,
}

/// Why some bytes are not a CRL that can be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// Not DER, or not the structure of RFC 5280 §5.1.
    #[error("not a CRL: {0}")]
    Der(#[from] DerError),
    /// The issuer's name cannot be read.
    #[error("issuer of the CRL: {0}")]
    Issuer(#[from] NameError),
    /// A version that does not exist, or extensions in a v1 list.
    #[error("CRL version number {found} does not fit: 1 (v2), or none without extensions")]
    Version {
        /// The number found, 0 if left out.
        found: u64,
    },
    /// A known extension does not hold what it should.
    #[error("CRL: {0}")]
    Extension(#[from] ExtensionError),
    /// A critical extension that is not understood, on the list or on an entry (RFC 5280 §5.2, §5.3).
    #[error("CRL has the critical extension {name}, which is not understood")]
    UnknownCriticalExtension {
        /// Which.
        name: String,
    },
    /// The same extension twice.
    #[error("CRL has {name} twice")]
    RepeatedExtension {
        /// Which.
        name: String,
    },
    /// It lists certificates of other issuers (RFC 5280 §5.3.3).
    #[error("indirect CRLs are not accepted: it lists certificates of issuers other than {issuer}")]
    Indirect {
        /// Who signed it.
        issuer: String,
    },
    /// The same serial number twice.
    #[error("CRL lists serial {serial} twice")]
    RepeatedSerial {
        /// Which.
        serial: SerialNumber,
    },
}

impl CertificateList {
    /// Reads a DER CRL and nothing after it, and indexes its entries.
    pub fn from_der(der: &[u8]) -> Result<CertificateList, CrlError> {
        if der.len() > CRL_OCTETS_MAX {
            return Err(DerError::TooLarge {
                field: "CRL",
                found: der.len(),
                allowed: CRL_OCTETS_MAX,
            }
            .into());
        }
        // 1. The frame.
        let mut outer = Cursor::only(der, asn1::SEQUENCE, "CRL")?.inside();
        let tbs = outer.expect(asn1::SEQUENCE, "tbsCertList")?;
        let outer_algorithm = outer.expect(asn1::SEQUENCE, "signatureAlgorithm")?;
        let signature = outer
            .expect(asn1::BIT_STRING, "signatureValue")?
            .octet_aligned_bits("signatureValue")?;
        outer.end("CRL")?;

        // 2. The head.
        let mut fields = tbs.inside();
        let version = match fields.optional(asn1::INTEGER, "version")? {
            Some(version) => version.small_integer("version")?,
            None => 0,
        };
        let inner_algorithm = fields.expect(asn1::SEQUENCE, "signature")?;
        let issuer = DistinguishedName::from_der(fields.expect(asn1::SEQUENCE, "issuer")?.der)?;
        let this_update = EncodedTime::from_element(&fields.any("thisUpdate")?, "thisUpdate")?;
        let next_update = match fields.peek_tag() {
            Some(asn1::UTC_TIME | asn1::GENERALIZED_TIME) => Some(EncodedTime::from_element(
                &fields.any("nextUpdate")?,
                "nextUpdate",
            )?),
            _ => None,
        };
        let revoked = fields.optional(asn1::SEQUENCE, "revokedCertificates")?;
        let extensions = match fields.optional(asn1::context_constructed(0), "crlExtensions")? {
            Some(wrapper) => Extension::list_from_der(wrapper.content)?,
            None => Vec::new(),
        };
        fields.end("tbsCertList")?;
        if version > 1 || version == 0 && !extensions.is_empty() {
            return Err(CrlError::Version { found: version });
        }

        // 3. The extensions.
        if let Some(extension) = repeated(&extensions) {
            return Err(CrlError::RepeatedExtension {
                name: extension.name(),
            });
        }
        let (algorithm_oid, _) = parse_identifier(outer_algorithm.der)?;
        let mut inner = Inner {
            der: der.to_vec(),
            tbs: range_of(der, tbs.der),
            signature: range_of(der, signature),
            algorithms_agree: inner_algorithm.der == outer_algorithm.der,
            algorithm: SignatureAlgorithm::from_der(outer_algorithm.der),
            algorithm_oid,
            version,
            issuer,
            this_update,
            next_update,
            entries: HashMap::new(),
            extensions: Vec::new(),
            number: None,
            base_number: None,
            authority_key_id: None,
            distribution_point: None,
        };
        for extension in &extensions {
            inner.read_extension(extension)?;
        }
        inner.extensions = extensions;

        // 4. The entries.
        if let Some(revoked) = revoked {
            inner.read_entries(revoked.inside())?;
        }
        Ok(CertificateList {
            inner: Arc::new(inner),
        })
    }

    /// The CRL's exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.inner.der
    }

    /// The exact bytes that are signed.
    pub fn tbs_der(&self) -> &[u8] {
        &self.inner.der[self.inner.tbs.clone()]
    }

    /// The version number as encoded: 0 is v1 (left out), 1 is v2.
    pub fn version(&self) -> u64 {
        self.inner.version
    }

    /// Who signed it, and whose certificates it lists.
    pub fn issuer(&self) -> &DistinguishedName {
        &self.inner.issuer
    }

    /// The CRL number's unsigned octets, if it has one (RFC 5280 §5.2.3). Up to 20 octets; compare by length, then by octets.
    pub fn number_octets(&self) -> Option<&[u8]> {
        self.inner.number.as_deref()
    }

    /// The CRL number, if it has one that fits in 64 bits, as all do that count from one.
    pub fn number(&self) -> Option<u64> {
        small(self.inner.number.as_deref()?)
    }

    /// When it was issued.
    pub fn this_update(&self) -> Time {
        self.inner.this_update.time
    }

    /// By when the next is issued at the latest. RFC 5280 §5.1.2.5 demands it, and not all issuers obey.
    pub fn next_update(&self) -> Option<Time> {
        self.inner.next_update.map(|next| next.time)
    }

    /// Whether it only lists changes since another CRL (RFC 5280 §5.2.4). Absence from it proves nothing.
    pub fn is_delta(&self) -> bool {
        self.inner.base_number.is_some()
    }

    /// What part of the issuer's certificates it is about, if not all.
    pub fn issuing_distribution_point(&self) -> Option<&IssuingDistributionPoint> {
        self.inner.distribution_point.as_ref()
    }

    /// The key identifier of the issuer, if given.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.inner.authority_key_id.as_deref()
    }

    /// Every extension of the list, in order.
    pub fn extensions(&self) -> &[Extension] {
        &self.inner.extensions
    }

    /// How many certificates it lists.
    pub fn len(&self) -> usize {
        self.inner.entries.len()
    }

    /// Whether it lists none.
    pub fn is_empty(&self) -> bool {
        self.inner.entries.is_empty()
    }

    /// The entry of a certificate, if it is listed.
    pub fn revoked(&self, serial: &SerialNumber) -> Option<RevokedEntry> {
        self.inner.entries.get(serial).copied()
    }

    /// Every entry, in no order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&SerialNumber, &RevokedEntry)> {
        self.inner.entries.iter()
    }

    /// The algorithm of its signature; None if it is not one that is accepted.
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        self.inner.algorithm
    }

    /// The octets of the signature.
    pub fn signature(&self) -> &[u8] {
        &self.inner.der[self.inner.signature.clone()]
    }

    /// Checks that the CRL's signature was made with this key.
    pub fn verify_signed_by(&self, key: &PublicKey) -> Result<(), SignatureError> {
        if !self.inner.algorithms_agree {
            return Err(SignatureError::AlgorithmsDiffer);
        }
        let algorithm = self
            .inner
            .algorithm
            .ok_or_else(|| SignatureError::Algorithm {
                name: algorithm_name(None, &self.inner.algorithm_oid),
            })?;
        Ok(key.verify(algorithm, self.tbs_der(), self.signature())?)
    }
}

impl Inner {
    fn read_extension(&mut self, extension: &Extension) -> Result<(), CrlError> {
        let value = extension.value.as_slice();
        let malformed = |error| CrlError::from(extension.malformed(error));
        match extension.oid {
            oid::CRL_NUMBER => self.number = Some(crl_number(value).map_err(malformed)?),
            oid::DELTA_CRL_INDICATOR => {
                self.base_number = Some(crl_number(value).map_err(malformed)?);
            }
            oid::AUTHORITY_KEY_IDENTIFIER => {
                self.authority_key_id = AuthorityKeyIdentifier::from_der(value)
                    .map_err(malformed)?
                    .key_id;
            }
            oid::ISSUING_DISTRIBUTION_POINT => {
                let (point, indirect) = distribution_point(value).map_err(malformed)?;
                if indirect {
                    return Err(CrlError::Indirect {
                        issuer: self.issuer.to_string(),
                    });
                }
                self.distribution_point = Some(point);
            }
            _ if extension.critical => {
                return Err(CrlError::UnknownCriticalExtension {
                    name: extension.name(),
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn read_entries(&mut self, mut list: Cursor<'_>) -> Result<(), CrlError> {
        while !list.is_empty() {
            let mut entry = list.expect(asn1::SEQUENCE, "revoked certificate")?.inside();
            let serial =
                SerialNumber::from_element(&entry.expect(asn1::INTEGER, "userCertificate")?)?;
            let revoked_at =
                EncodedTime::from_element(&entry.any("revocationDate")?, "revocationDate")?.time;
            let extensions = match entry.optional(asn1::SEQUENCE, "crlEntryExtensions")? {
                Some(extensions) => Extension::list_from_der(extensions.der)?,
                None => Vec::new(),
            };
            entry.end("revoked certificate")?;
            if self.version == 0 && !extensions.is_empty() {
                return Err(CrlError::Version {
                    found: self.version,
                });
            }
            if let Some(extension) = repeated(&extensions) {
                return Err(CrlError::RepeatedExtension {
                    name: extension.name(),
                });
            }
            let mut revoked = RevokedEntry {
                revoked_at,
                reason: RevocationReason::Unspecified,
                invalid_since: None,
            };
            for extension in &extensions {
                self.read_entry_extension(extension, &mut revoked)?;
            }
            if self.entries.insert(serial.clone(), revoked).is_some() {
                return Err(CrlError::RepeatedSerial { serial });
            }
        }
        Ok(())
    }

    fn read_entry_extension(
        &self,
        extension: &Extension,
        entry: &mut RevokedEntry,
    ) -> Result<(), CrlError> {
        let value = extension.value.as_slice();
        let malformed = |error| CrlError::from(extension.malformed(error));
        match extension.oid {
            oid::REASON_CODE => entry.reason = reason(value).map_err(malformed)?,
            oid::INVALIDITY_DATE => {
                let date = Cursor::only(value, asn1::GENERALIZED_TIME, "invalidityDate")
                    .map_err(malformed)?;
                let date = EncodedTime::from_element(&date, "invalidityDate").map_err(malformed)?;
                entry.invalid_since = Some(date.time);
            }
            // Critical or not: an entry about another issuer's certificate must not be taken for one of this issuer's.
            oid::CERTIFICATE_ISSUER => {
                return Err(CrlError::Indirect {
                    issuer: self.issuer.to_string(),
                });
            }
            _ if extension.critical => {
                return Err(CrlError::UnknownCriticalExtension {
                    name: extension.name(),
                });
            }
            _ => {}
        }
        Ok(())
    }
}

/// A CRL number: at most 20 octets, not negative (RFC 5280 §5.2.3).
fn crl_number(value: &[u8]) -> Result<Vec<u8>, DerError> {
    let field = "cRLNumber";
    let content = Cursor::only(value, asn1::INTEGER, field)?.integer(field)?;
    if content[0] & 0x80 != 0 {
        return Err(DerError::Value {
            field,
            rule: "must not be negative",
        });
    }
    if content.len() > NUMBER_OCTETS_MAX {
        return Err(DerError::TooLarge {
            field,
            found: content.len(),
            allowed: NUMBER_OCTETS_MAX,
        });
    }
    Ok(content.strip_prefix(&[0]).unwrap_or(content).to_vec())
}

fn small(octets: &[u8]) -> Option<u64> {
    (octets.len() <= 8).then(|| {
        octets
            .iter()
            .fold(0, |number, octet| number << 8 | u64::from(*octet))
    })
}

fn reason(value: &[u8]) -> Result<RevocationReason, DerError> {
    let field = "reasonCode";
    let code = Cursor::only(value, asn1::ENUMERATED, field)?;
    let known = match code.content {
        [code] => RevocationReason::from_code(*code),
        _ => None,
    };
    known.ok_or(DerError::Value {
        field,
        rule: "a reason is 0 to 6 or 8 to 10",
    })
}

/// Reads an issuingDistributionPoint, and whether it says that the CRL is indirect.
fn distribution_point(value: &[u8]) -> Result<(IssuingDistributionPoint, bool), DerError> {
    let field = "issuingDistributionPoint";
    let read = dp::IssuingDistributionPoint::from_der(value);
    let read = read.map_err(|error| extension::decoder(field, &error))?;
    let point = IssuingDistributionPoint {
        names: extension::full_names(read.distribution_point.as_ref(), field)?,
        only_user: read.only_contains_user_certs,
        only_ca: read.only_contains_ca_certs,
        only_some_reasons: read.only_some_reasons.is_some(),
        only_attribute: read.only_contains_attribute_certs,
    };
    Ok((point, read.indirect_crl))
}

impl fmt::Debug for CertificateList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CertificateList({}, {} entries)",
            self.inner.issuer,
            self.len()
        )
    }
}

/// The largest CRL read, in octets: about a million entries. More belongs in shards.
const CRL_OCTETS_MAX: usize = 48 << 20;

/// RFC 5280 §5.2.3: readers must bear 20 octets, issuers must not write more. One more is the sign's.
const NUMBER_OCTETS_MAX: usize = 21;

#[cfg(test)]
mod tests;
