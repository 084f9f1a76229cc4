//! Drafts as rcgen builds them, with our signer behind its key trait.
//!
//! rcgen's own choices (serial, validity, name, key identifiers) are never used: each is set from the draft.

use std::cell::RefCell;

use bowline_x509::{
    DistinguishedName, GeneralName, KeyAlgorithm, PublicKey, SignError, SignatureAlgorithm, Signer,
};
use der::asn1::{Any, Ia5StringRef, PrintableStringRef, Utf8StringRef};
use der::{Decode, Tag, Tagged};
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, PublicKeyData, SanType,
    SerialNumber, SigningKey,
};
use time::OffsetDateTime;
use x509_cert::name::Name;

use crate::direct;
use crate::draft::Draft;
use crate::error::IssueError;
use crate::profile::{CertificateKind, KeyPurpose, KeyUsage};

/// Builds and signs. None where rcgen cannot hold the draft exactly: a name with several values of one type or in one
/// RDN, other string types than it writes, unusual alternative names, or a key whose encoding it would change.
pub(crate) fn certificate(
    draft: &Draft,
    signer: &dyn Signer,
) -> Result<Option<Vec<u8>>, IssueError> {
    let Some(signing_key) = SignerKey::new(signer) else {
        return Ok(None);
    };
    let Some(subject_key) = SubjectKey::new(&draft.public_key) else {
        return Ok(None);
    };
    let Some(params) = params(draft)? else {
        return Ok(None);
    };
    let Some(issuer) = distinguished_name(&draft.issuer) else {
        return Ok(None);
    };
    let mut issuer_params = CertificateParams::default();
    issuer_params.distinguished_name = issuer;
    issuer_params.key_identifier_method = KeyIdMethod::PreSpecified(draft.authority_key_id.clone());
    let issuer = Issuer::from_params(&issuer_params, &signing_key);
    match params.signed_by(&subject_key, &issuer) {
        Ok(certificate) => Ok(Some(certificate.der().to_vec())),
        Err(error) => Err(match signing_key.refused.take() {
            Some(refused) => IssueError::Signer(refused),
            None => IssueError::Encoding {
                what: "the certificate",
                reason: error.to_string(),
            },
        }),
    }
}

/// The draft in rcgen's words.
fn params(draft: &Draft) -> Result<Option<CertificateParams>, IssueError> {
    let Some(distinguished_name) = distinguished_name(&draft.subject) else {
        return Ok(None);
    };
    let names: Option<Vec<SanType>> = draft.names.iter().map(alternative_name).collect();
    let Some(subject_alt_names) = names else {
        return Ok(None);
    };
    let mut params = CertificateParams::default();
    params.not_before = moment(draft.validity.not_before)?;
    params.not_after = moment(draft.validity.not_after)?;
    params.serial_number = Some(SerialNumber::from_slice(draft.serial.as_bytes()));
    params.subject_alt_names = subject_alt_names;
    params.distinguished_name = distinguished_name;
    params.is_ca = match draft.kind {
        CertificateKind::EndEntity => IsCa::ExplicitNoCa,
        CertificateKind::Authority { path_length: None } => {
            IsCa::Ca(BasicConstraints::Unconstrained)
        }
        CertificateKind::Authority {
            path_length: Some(length),
        } => IsCa::Ca(BasicConstraints::Constrained(length)),
    };
    params.key_usages = draft.key_usages.iter().copied().map(key_usage).collect();
    params.extended_key_usages = draft
        .key_purposes
        .iter()
        .copied()
        .map(key_purpose)
        .collect();
    params.use_authority_key_identifier_extension = true;
    params.key_identifier_method = KeyIdMethod::PreSpecified(draft.public_key.key_id().to_vec());
    if let Some(urls) = &draft.urls {
        params.crl_distribution_points = vec![CrlDistributionPoint {
            uris: vec![urls.crl.clone()],
        }];
        let oid: Vec<u64> = direct::AUTHORITY_INFO_ACCESS
            .arcs()
            .map(u64::from)
            .collect();
        let content = direct::authority_info_access(&urls.ca_certificate)?;
        params.custom_extensions = vec![CustomExtension::from_oid_content(&oid, content)];
    }
    Ok(Some(params))
}

fn key_usage(usage: KeyUsage) -> KeyUsagePurpose {
    match usage {
        KeyUsage::DigitalSignature => KeyUsagePurpose::DigitalSignature,
        KeyUsage::KeyEncipherment => KeyUsagePurpose::KeyEncipherment,
        KeyUsage::KeyCertSign => KeyUsagePurpose::KeyCertSign,
        KeyUsage::CrlSign => KeyUsagePurpose::CrlSign,
    }
}

fn key_purpose(purpose: KeyPurpose) -> ExtendedKeyUsagePurpose {
    match purpose {
        KeyPurpose::ServerAuth => ExtendedKeyUsagePurpose::ServerAuth,
        KeyPurpose::ClientAuth => ExtendedKeyUsagePurpose::ClientAuth,
    }
}

/// A time for rcgen, which counts with another crate.
fn moment(time: bowline_x509::Time) -> Result<OffsetDateTime, IssueError> {
    OffsetDateTime::from_unix_timestamp(time.timestamp()).map_err(|error| IssueError::Encoding {
        what: "the validity",
        reason: error.to_string(),
    })
}

/// The name, if rcgen would write exactly these bytes: one attribute an RDN, no type twice, usual string types.
fn distinguished_name(name: &DistinguishedName) -> Option<rcgen::DistinguishedName> {
    let name = Name::from_der(name.as_der()).ok()?;
    let mut built = rcgen::DistinguishedName::new();
    for rdn in name.iter_rdn() {
        if rdn.len() != 1 {
            return None;
        }
        let attribute = rdn.iter().next()?;
        let arcs: Vec<u64> = attribute.oid.arcs().map(u64::from).collect();
        let kind = DnType::from_oid(&arcs);
        // rcgen keeps one value for each type: a second would take the first one's place.
        if built.get(&kind).is_some() {
            return None;
        }
        built.push(kind, attribute_value(&attribute.value)?);
    }
    Some(built)
}

/// A value in the string type it has.
fn attribute_value(value: &Any) -> Option<DnValue> {
    match value.tag() {
        Tag::Utf8String => Some(DnValue::Utf8String(
            Utf8StringRef::try_from(value).ok()?.as_str().to_owned(),
        )),
        Tag::PrintableString => {
            let text = PrintableStringRef::try_from(value)
                .ok()?
                .as_str()
                .to_owned();
            Some(DnValue::PrintableString(text.try_into().ok()?))
        }
        Tag::Ia5String => {
            let text = Ia5StringRef::try_from(value).ok()?.as_str().to_owned();
            Some(DnValue::Ia5String(text.try_into().ok()?))
        }
        _ => None,
    }
}

/// An alternative name, if rcgen knows its kind.
fn alternative_name(name: &GeneralName) -> Option<SanType> {
    match name {
        GeneralName::Dns(text) => Some(SanType::DnsName(text.as_str().try_into().ok()?)),
        GeneralName::Ip(address) => Some(SanType::IpAddress(*address)),
        GeneralName::Uri(text) => Some(SanType::URI(text.as_str().try_into().ok()?)),
        GeneralName::Email(text) => Some(SanType::Rfc822Name(text.as_str().try_into().ok()?)),
        GeneralName::DirectoryName(_) | GeneralName::Other(_) => None,
    }
}

/// Our signer as rcgen wants it. Keeps the refusal, for which rcgen's error has no room.
struct SignerKey<'a> {
    signer: &'a dyn Signer,
    algorithm: SignatureAlgorithm,
    written: &'static rcgen::SignatureAlgorithm,
    refused: RefCell<Option<SignError>>,
}

impl SignerKey<'_> {
    fn new(signer: &dyn Signer) -> Option<SignerKey<'_>> {
        let key = signer.public_key().algorithm();
        let (algorithm, written) = (key.default_signature_algorithm(), written_algorithm(key));
        // The identifier rcgen writes belongs to the key; ours must be the same one, or verifiers are told a lie.
        let identifier = match algorithm {
            SignatureAlgorithm::RsaPkcs1Sha256 => &rcgen::PKCS_RSA_SHA256,
            SignatureAlgorithm::EcdsaSha256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            SignatureAlgorithm::EcdsaSha384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            SignatureAlgorithm::EcdsaSha512 => &rcgen::PKCS_ECDSA_P521_SHA512,
            SignatureAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
            SignatureAlgorithm::RsaPkcs1Sha384
            | SignatureAlgorithm::RsaPkcs1Sha512
            | SignatureAlgorithm::RsaPssSha256
            | SignatureAlgorithm::RsaPssSha384
            | SignatureAlgorithm::RsaPssSha512 => return None,
        };
        (identifier == written).then(|| SignerKey {
            signer,
            algorithm,
            written,
            refused: RefCell::new(None),
        })
    }
}

impl PublicKeyData for SignerKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.signer.public_key().key_bits()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.written
    }
}

impl SigningKey for SignerKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.signer
            .sign(self.algorithm, message)
            .map_err(|refused| {
                *self.refused.borrow_mut() = Some(refused);
                rcgen::Error::RemoteKeyError
            })
    }
}

/// A subject's key as rcgen wants it.
struct SubjectKey<'a> {
    key: &'a PublicKey,
}

impl SubjectKey<'_> {
    /// None where rcgen would write another SubjectPublicKeyInfo than the key came with.
    fn new(key: &PublicKey) -> Option<SubjectKey<'_>> {
        let subject = SubjectKey { key };
        (subject.subject_public_key_info() == key.spki_der()).then_some(subject)
    }
}

impl PublicKeyData for SubjectKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.key_bits()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        written_algorithm(self.key.algorithm())
    }
}

/// rcgen's value for a kind of key, which carries the identifiers of both the key and its signatures.
fn written_algorithm(key: KeyAlgorithm) -> &'static rcgen::SignatureAlgorithm {
    match key {
        KeyAlgorithm::Rsa { .. } => &rcgen::PKCS_RSA_SHA256,
        KeyAlgorithm::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        KeyAlgorithm::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        KeyAlgorithm::P521 => &rcgen::PKCS_ECDSA_P521_SHA512,
        KeyAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
    }
}
