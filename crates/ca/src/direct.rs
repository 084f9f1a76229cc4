//! Drafts built without rcgen, from x509-cert's types and through the same signer: for names that rcgen cannot hold.
//!
//! Extensions stand in the order rcgen writes them, so that both builders give the same bytes where both can build.

use bowline_x509::{DistinguishedName, GeneralName, SignatureAlgorithm, Signer, Time};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{
    ID_AD_CA_ISSUERS, ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS,
    ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE, ID_CE_SUBJECT_ALT_NAME,
    ID_CE_SUBJECT_KEY_IDENTIFIER, ID_PE_AUTHORITY_INFO_ACCESS,
};
use der::asn1::{Any, BitString, GeneralizedTime, Ia5String, OctetString, UtcTime};
use der::flagset::FlagSet;
use der::{DateTime, Decode, Encode, Sequence};
use spki::AlgorithmIdentifierOwned;
use x509_cert::Version;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{self as pkix_name, DistributionPointName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints,
    CrlDistributionPoints, ExtendedKeyUsage, KeyUsage as KeyUsageBits, KeyUsages,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time as EncodedTime, Validity};

use crate::draft::Draft;
use crate::error::IssueError;
use crate::profile::{CertificateKind, KeyPurpose, KeyUsage};

/// TBSCertificate (RFC 5280 §4.1). Names and key are kept as the bytes they came in.
#[derive(Sequence)]
struct TbsCertificate {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: Version,
    serial_number: SerialNumber,
    signature: AlgorithmIdentifierOwned,
    issuer: Any,
    validity: Validity,
    subject: Any,
    subject_public_key_info: Any,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Extensions,
}

/// What is signed, with the signature (RFC 5280 §4.1, §5.1): the same shape for certificates and lists.
#[derive(Sequence)]
struct Signed {
    to_be_signed: Any,
    signature_algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// Builds and signs.
pub(crate) fn certificate(draft: &Draft, signer: &dyn Signer) -> Result<Vec<u8>, IssueError> {
    let algorithm = signer.public_key().default_signature_algorithm();
    let to_be_signed = tbs_certificate(draft, algorithm)?;
    let signature = signer.sign(algorithm, &to_be_signed)?;
    signed(&to_be_signed, algorithm, &signature, "the certificate")
}

/// The bytes to be signed.
fn tbs_certificate(draft: &Draft, algorithm: SignatureAlgorithm) -> Result<Vec<u8>, IssueError> {
    let validity = Validity::new(
        encoded_time(draft.validity.not_before)?,
        encoded_time(draft.validity.not_after)?,
    );
    let tbs = TbsCertificate {
        version: Version::V3,
        serial_number: serial_number(&draft.serial)?,
        signature: algorithm_identifier(algorithm)?,
        issuer: distinguished_name(&draft.issuer)?,
        validity,
        subject: distinguished_name(&draft.subject)?,
        subject_public_key_info: encoded(
            "the public key",
            Any::from_der(draft.public_key.spki_der()),
        )?,
        extensions: extensions(draft)?,
    };
    encoded("the certificate", tbs.to_der())
}

/// The extensions, in rcgen's order.
fn extensions(draft: &Draft) -> Result<Extensions, IssueError> {
    let mut extensions = vec![authority_key_id(&draft.authority_key_id)?];
    if !draft.names.is_empty() {
        let names: Result<Vec<_>, _> = draft.names.iter().map(general_name).collect();
        // RFC 5280 §4.1.2.6: critical where it stands in for the subject.
        extensions.push(extension(
            ID_CE_SUBJECT_ALT_NAME,
            draft.subject.is_empty(),
            &names?,
        )?);
    }
    let mut bits: FlagSet<KeyUsages> = FlagSet::default();
    for usage in &draft.key_usages {
        bits |= key_usage(*usage);
    }
    extensions.push(extension(ID_CE_KEY_USAGE, true, &KeyUsageBits(bits))?);
    if !draft.key_purposes.is_empty() {
        let purposes = draft
            .key_purposes
            .iter()
            .copied()
            .map(KeyPurpose::oid)
            .collect();
        extensions.push(extension(
            ID_CE_EXT_KEY_USAGE,
            false,
            &ExtendedKeyUsage(purposes),
        )?);
    }
    if let Some(urls) = &draft.urls {
        let name = DistributionPointName::FullName(vec![uri(&urls.crl)?]);
        let point = DistributionPoint {
            distribution_point: Some(name),
            reasons: None,
            crl_issuer: None,
        };
        extensions.push(extension(
            ID_CE_CRL_DISTRIBUTION_POINTS,
            false,
            &CrlDistributionPoints(vec![point]),
        )?);
    }
    let key_id = encoded(
        "the subject key identifier",
        OctetString::new(draft.public_key.key_id()),
    )?;
    extensions.push(extension(
        ID_CE_SUBJECT_KEY_IDENTIFIER,
        false,
        &SubjectKeyIdentifier(key_id),
    )?);
    let (ca, path_len_constraint) = match draft.kind {
        CertificateKind::EndEntity => (false, None),
        CertificateKind::Authority { path_length } => (true, path_length),
    };
    extensions.push(extension(
        ID_CE_BASIC_CONSTRAINTS,
        true,
        &BasicConstraints {
            ca,
            path_len_constraint,
        },
    )?);
    if let Some(urls) = &draft.urls {
        let content = authority_info_access(&urls.ca_certificate)?;
        let extn_value = encoded(
            "the authority information access",
            OctetString::new(content),
        )?;
        extensions.push(Extension {
            extn_id: AUTHORITY_INFO_ACCESS,
            critical: false,
            extn_value,
        });
    }
    Ok(extensions)
}

/// AuthorityInfoAccessSyntax with one caIssuers address (RFC 5280 §4.2.2.1), which rcgen does not know.
pub(crate) fn authority_info_access(ca_certificate: &str) -> Result<Vec<u8>, IssueError> {
    let description = AccessDescription {
        access_method: ID_AD_CA_ISSUERS,
        access_location: uri(ca_certificate)?,
    };
    encoded(
        "the authority information access",
        AuthorityInfoAccessSyntax(vec![description]).to_der(),
    )
}

/// Authority key identifier, key identifier only (RFC 5280 §4.2.1.1, §5.2.1).
pub(crate) fn authority_key_id(key_id: &[u8]) -> Result<Extension, IssueError> {
    let key_identifier = Some(encoded(
        "the authority key identifier",
        OctetString::new(key_id),
    )?);
    let identifier = AuthorityKeyIdentifier {
        key_identifier,
        ..AuthorityKeyIdentifier::default()
    };
    extension(ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &identifier)
}

/// An extension with its value encoded.
pub(crate) fn extension(
    oid: ObjectIdentifier,
    critical: bool,
    value: &impl Encode,
) -> Result<Extension, IssueError> {
    let content = encoded("an extension", value.to_der())?;
    let extn_value = encoded("an extension", OctetString::new(content))?;
    Ok(Extension {
        extn_id: oid,
        critical,
        extn_value,
    })
}

/// Puts a signature under what it signs.
pub(crate) fn signed(
    to_be_signed: &[u8],
    algorithm: SignatureAlgorithm,
    signature: &[u8],
    what: &'static str,
) -> Result<Vec<u8>, IssueError> {
    let signed = Signed {
        to_be_signed: encoded(what, Any::from_der(to_be_signed))?,
        signature_algorithm: algorithm_identifier(algorithm)?,
        signature: encoded("the signature", BitString::from_bytes(signature))?,
    };
    encoded(what, signed.to_der())
}

/// The algorithm as certificates name it.
pub(crate) fn algorithm_identifier(
    algorithm: SignatureAlgorithm,
) -> Result<AlgorithmIdentifierOwned, IssueError> {
    encoded(
        "the signature algorithm",
        AlgorithmIdentifierOwned::from_der(&algorithm.to_der()),
    )
}

/// The serial as an INTEGER, with a sign octet where it needs one. Zero and negative ones are not ours.
pub(crate) fn serial_number(
    serial: &bowline_x509::SerialNumber,
) -> Result<SerialNumber, IssueError> {
    if !serial.is_conforming() {
        let reason = format!("{} is not positive with at most 20 octets", serial.to_hex());
        return Err(IssueError::Encoding {
            what: "a serial number",
            reason,
        });
    }
    encoded("a serial number", SerialNumber::new(serial.as_bytes()))
}

/// UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5).
pub(crate) fn encoded_time(time: Time) -> Result<EncodedTime, IssueError> {
    let seconds = u64::try_from(time.timestamp()).map_err(|_| der::ErrorKind::DateTime.into());
    let moment = seconds
        .and_then(|seconds| DateTime::from_unix_duration(std::time::Duration::from_secs(seconds)));
    let moment = encoded("a time", moment)?;
    Ok(match UtcTime::from_date_time(moment) {
        Ok(time) => EncodedTime::UtcTime(time),
        Err(_) => EncodedTime::GeneralTime(GeneralizedTime::from_date_time(moment)),
    })
}

/// The name, byte for byte.
fn distinguished_name(name: &DistinguishedName) -> Result<Any, IssueError> {
    encoded("a name", Any::from_der(name.as_der()))
}

fn key_usage(usage: KeyUsage) -> KeyUsages {
    match usage {
        KeyUsage::DigitalSignature => KeyUsages::DigitalSignature,
        KeyUsage::KeyEncipherment => KeyUsages::KeyEncipherment,
        KeyUsage::KeyCertSign => KeyUsages::KeyCertSign,
        KeyUsage::CrlSign => KeyUsages::CRLSign,
    }
}

/// An alternative name of any kind.
fn general_name(name: &GeneralName) -> Result<pkix_name::GeneralName, IssueError> {
    Ok(match name {
        GeneralName::Dns(text) => pkix_name::GeneralName::DnsName(ia5(text)?),
        GeneralName::Ip(address) => pkix_name::GeneralName::from(*address),
        GeneralName::Uri(text) => uri(text)?,
        GeneralName::Email(text) => pkix_name::GeneralName::Rfc822Name(ia5(text)?),
        GeneralName::DirectoryName(name) => pkix_name::GeneralName::DirectoryName(encoded(
            "an alternative name",
            x509_cert::name::Name::from_der(name.as_der()),
        )?),
        GeneralName::Other(der) => {
            encoded("an alternative name", pkix_name::GeneralName::from_der(der))?
        }
    })
}

fn uri(text: &str) -> Result<pkix_name::GeneralName, IssueError> {
    Ok(pkix_name::GeneralName::UniformResourceIdentifier(ia5(
        text,
    )?))
}

fn ia5(text: &str) -> Result<Ia5String, IssueError> {
    encoded("an alternative name", Ia5String::new(text))
}

/// Says what could not be encoded.
pub(crate) fn encoded<T>(
    what: &'static str,
    result: Result<T, der::Error>,
) -> Result<T, IssueError> {
    result.map_err(|error| IssueError::Encoding {
        what,
        reason: error.to_string(),
    })
}

/// id-pe-authorityInfoAccess.
pub(crate) const AUTHORITY_INFO_ACCESS: ObjectIdentifier = ID_PE_AUTHORITY_INFO_ACCESS;

#[cfg(test)]
mod tests;
