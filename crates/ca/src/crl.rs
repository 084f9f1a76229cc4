//! Full revocation lists (RFC 5280 §5), encoded here over x509-cert's types.

use bowline_x509::{KeyUsage, RevocationReason, SerialNumber, Signer, Time};
use const_oid::db::rfc5280::{ID_CE_CRL_NUMBER, ID_CE_CRL_REASONS};
use der::asn1::Any;
use der::{Decode, Encode, Sequence};
use spki::AlgorithmIdentifierOwned;
use x509_cert::Version;
use x509_cert::crl::RevokedCert;
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::{CrlNumber, CrlReason};
use x509_cert::time::Time as EncodedTime;

use crate::authority::Authority;
use crate::direct::{
    algorithm_identifier, authority_key_id, encoded, encoded_time, extension, serial_number, signed,
};
use crate::error::IssueError;
use crate::sign::{check_signature, check_signer};

/// A certificate that its issuer no longer stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Its serial number.
    pub serial: SerialNumber,
    /// Since when.
    pub revoked_at: Time,
    /// Why.
    pub reason: RevocationReason,
}

/// TBSCertList (RFC 5280 §5.1), version 2. The issuer is kept as the bytes its certificate has.
#[derive(Sequence)]
struct TbsCertList {
    version: Version,
    signature: AlgorithmIdentifierOwned,
    issuer: Any,
    this_update: EncodedTime,
    next_update: EncodedTime,
    #[asn1(optional = "true")]
    revoked_certificates: Option<Any>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    crl_extensions: Extensions,
}

/// Signs a full list, as DER.
///
/// The entries are sorted by serial; of a certificate that is given twice the earlier revocation counts. The list ends
/// at `next_update` or with its signer's certificate, whichever comes first, so that it never outlives who vouches for
/// it. Numbers must grow from list to list (RFC 5280 §5.2.3): store the number before publishing the list.
pub fn sign_crl<'a>(
    authority: &Authority,
    signer: &dyn Signer,
    number: u64,
    this_update: Time,
    next_update: Time,
    revocations: impl IntoIterator<Item = &'a Revocation>,
) -> Result<Vec<u8>, IssueError> {
    // 1. The signer may.
    check_signer(authority.subject(), authority.public_key(), signer)?;
    if !authority
        .certificate()
        .key_usage()
        .is_some_and(KeyUsage::crl_sign)
    {
        return Err(IssueError::NoCrlSign {
            authority: authority.subject().to_string(),
        });
    }
    let next_update = next_update.min(authority.certificate().validity().not_after);
    if next_update.timestamp() <= this_update.timestamp() {
        return Err(IssueError::ListPeriod {
            this_update,
            next_update,
        });
    }
    // 2. Encode.
    let algorithm = authority.public_key().default_signature_algorithm();
    let number = encoded("the CRL number", CrlNumber::try_from(number))?;
    let list = TbsCertList {
        version: Version::V2,
        signature: algorithm_identifier(algorithm)?,
        issuer: encoded("the issuer", Any::from_der(authority.subject().as_der()))?,
        this_update: encoded_time(this_update)?,
        next_update: encoded_time(next_update)?,
        revoked_certificates: entries(revocations.into_iter().collect())?,
        crl_extensions: vec![
            authority_key_id(authority.key_id())?,
            extension(ID_CE_CRL_NUMBER, false, &number)?,
        ],
    };
    let to_be_signed = encoded(LIST, list.to_der())?;
    // 3. Sign, and check what was signed.
    let signature = signer.sign(algorithm, &to_be_signed)?;
    check_signature(authority, algorithm, &to_be_signed, &signature)?;
    signed(&to_be_signed, algorithm, &signature, LIST)
}

/// revokedCertificates: absent when there are none (RFC 5280 §5.1.2.6).
///
/// Each entry is encoded once into one buffer; a tree of 100,000 entries would be measured several times over.
fn entries(mut revocations: Vec<&Revocation>) -> Result<Option<Any>, IssueError> {
    if revocations.is_empty() {
        return Ok(None);
    }
    revocations.sort_unstable_by_key(|revocation| {
        (
            revocation.serial.as_bytes().len(),
            revocation.serial.as_bytes(),
            revocation.revoked_at,
        )
    });
    revocations.dedup_by(|later, earlier| later.serial == earlier.serial);
    let mut content = Vec::with_capacity(revocations.len() * ENTRY_OCTETS);
    let reasons = reason_extensions()?;
    for revocation in revocations {
        let crl_entry_extensions = match reasons
            .iter()
            .find(|(reason, _)| *reason == revocation.reason)
        {
            Some((_, extensions)) => Some(extensions.clone()),
            None if revocation.reason == RevocationReason::Unspecified => None,
            None => {
                return Err(IssueError::ReasonOfDeltaList {
                    serial: revocation.serial.to_hex(),
                });
            }
        };
        let entry: RevokedCert = RevokedCert {
            serial_number: serial_number(&revocation.serial)?,
            revocation_date: encoded_time(revocation.revoked_at)?,
            crl_entry_extensions,
        };
        encoded(LIST, entry.encode_to_vec(&mut content))?;
    }
    encoded(LIST, Any::new(der::Tag::Sequence, content)).map(Some)
}

/// The entry extensions of each reason that a full list can give. Unspecified is said by silence (RFC 5280 §5.3.1).
fn reason_extensions() -> Result<Vec<(RevocationReason, Extensions)>, IssueError> {
    let code = |reason| match reason {
        RevocationReason::KeyCompromise => Some(CrlReason::KeyCompromise),
        RevocationReason::CaCompromise => Some(CrlReason::CaCompromise),
        RevocationReason::AffiliationChanged => Some(CrlReason::AffiliationChanged),
        RevocationReason::Superseded => Some(CrlReason::Superseded),
        RevocationReason::CessationOfOperation => Some(CrlReason::CessationOfOperation),
        RevocationReason::CertificateHold => Some(CrlReason::CertificateHold),
        RevocationReason::PrivilegeWithdrawn => Some(CrlReason::PrivilegeWithdrawn),
        RevocationReason::AaCompromise => Some(CrlReason::AaCompromise),
        RevocationReason::Unspecified | RevocationReason::RemoveFromCrl => None,
    };
    let given = RevocationReason::ALL
        .into_iter()
        .filter_map(|reason| Some((reason, code(reason)?)));
    given
        .map(|(reason, code)| Ok((reason, vec![extension(ID_CE_CRL_REASONS, false, &code)?])))
        .collect()
}

/// What errors call the list.
const LIST: &str = "the revocation list";

/// About as long as an entry with a 128-bit serial and a reason is.
const ENTRY_OCTETS: usize = 52;

#[cfg(test)]
mod tests;
