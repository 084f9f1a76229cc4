//! From a draft to a certificate: built, signed, read back and compared, or thrown away.

use bowline_x509::{
    BasicConstraints, Certificate, DistinguishedName, GeneralName, KeyAlgorithm, PublicKey,
    SerialNumber, SignatureAlgorithm, Signer,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{
    ID_AD_CA_ISSUERS, ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS,
    ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE, ID_CE_SUBJECT_ALT_NAME,
    ID_CE_SUBJECT_KEY_IDENTIFIER, ID_PE_AUTHORITY_INFO_ACCESS,
};
use p384::ecdsa::signature::Verifier as _;
use p384::ecdsa::{DerSignature, VerifyingKey};

use crate::authority::{Authority, hex, label};
use crate::draft::{Draft, RootDraft};
use crate::error::{IssueError, utc};
use crate::profile::{CertificateKind, KeyPurpose};
use crate::{direct, through_rcgen};

impl Draft {
    /// Signs what was drafted, once.
    ///
    /// The certificate is read back and compared with the draft field by field, and its signature is checked, before
    /// anyone sees it. An authority's certificate signed with P-384 is checked by a second implementation as well.
    pub fn sign(
        self,
        authority: &Authority,
        signer: &dyn Signer,
    ) -> Result<Certificate, IssueError> {
        if self.issuing.as_ref().map(Certificate::der) != Some(authority.certificate().der()) {
            return Err(IssueError::OtherAuthority {
                drafted: label(&self.issuer, &self.authority_key_id),
                given: authority.label(),
            });
        }
        self.sign_with(authority.public_key(), signer)
    }

    /// Signs with a signer that must hold the issuer's key.
    fn sign_with(
        self,
        issuer_key: &PublicKey,
        signer: &dyn Signer,
    ) -> Result<Certificate, IssueError> {
        check_signer(&self.issuer, issuer_key, signer)?;
        // 1. Build: rcgen, or x509-cert where rcgen cannot hold what was drafted.
        let der = match through_rcgen::certificate(&self, signer)? {
            Some(der) => der,
            None => direct::certificate(&self, signer)?,
        };
        // 2. Read back with the parser that everyone else's certificates go through.
        let certificate = Certificate::from_der(&der).map_err(|error| IssueError::Encoding {
            what: "the certificate",
            reason: error.to_string(),
        })?;
        // 3. Compare with the draft.
        self.compare(&certificate)?;
        // 4. Check the signature.
        let wrong = |by| IssueError::SignatureWrong {
            authority: self.issuer.to_string(),
            by,
        };
        certificate
            .verify_signed_by(issuer_key)
            .map_err(|_| wrong(FIRST_IMPLEMENTATION))?;
        if self.is_authority() {
            second_opinion(issuer_key, certificate.tbs_der(), certificate.signature())
                .map_err(|Disagrees| wrong(SECOND_IMPLEMENTATION))?;
        }
        Ok(certificate)
    }

    /// That the certificate says what was drafted and nothing else.
    fn compare(&self, built: &Certificate) -> Result<(), IssueError> {
        let (drafted, found) = (self.validity, built.validity());
        same("issuer", self.issuer.as_der(), built.issuer().as_der(), hex)?;
        same(
            "subject",
            self.subject.as_der(),
            built.subject().as_der(),
            hex,
        )?;
        same(
            "serial number",
            &self.serial,
            built.serial(),
            SerialNumber::to_hex,
        )?;
        same("notBefore", &drafted.not_before, &found.not_before, utc)?;
        same("notAfter", &drafted.not_after, &found.not_after, utc)?;
        same(
            "public key",
            self.public_key.spki_der(),
            built.spki_der(),
            hex,
        )?;
        same(
            "subject alternative names",
            &self.names[..],
            built.subject_alt_names(),
            words,
        )?;
        let drafted = match self.kind {
            CertificateKind::EndEntity => BasicConstraints {
                ca: false,
                path_len: None,
            },
            CertificateKind::Authority { path_length } => BasicConstraints {
                ca: true,
                path_len: path_length.map(u32::from),
            },
        };
        same(
            "basic constraints",
            &Some(drafted),
            &built.basic_constraints(),
            |shown| format!("{shown:?}"),
        )?;
        let drafted: Vec<_> = self.key_usages.iter().map(|usage| usage.name()).collect();
        let found: Vec<_> = built
            .key_usage()
            .into_iter()
            .flat_map(bowline_x509::KeyUsage::names)
            .collect();
        same("key usage", &drafted[..], &found, words)?;
        let drafted: Vec<_> = self
            .key_purposes
            .iter()
            .copied()
            .map(KeyPurpose::oid)
            .collect();
        same(
            "extended key usage",
            &drafted[..],
            built.extended_key_usage().unwrap_or_default(),
            words,
        )?;
        let found = built.subject_key_id().unwrap_or_default();
        same(
            "subject key identifier",
            &self.public_key.key_id()[..],
            found,
            hex,
        )?;
        let found = built.authority_key_id().unwrap_or_default();
        same(
            "authority key identifier",
            &self.authority_key_id[..],
            found,
            hex,
        )?;
        let drafted: Vec<_> = self.urls.iter().map(|urls| urls.crl.clone()).collect();
        same(
            "CRL distribution points",
            &drafted[..],
            &built.crl_distribution_points(),
            words,
        )?;
        let drafted = self.urls.iter();
        let drafted = drafted.map(|urls| {
            (
                ID_AD_CA_ISSUERS,
                GeneralName::Uri(urls.ca_certificate.clone()),
            )
        });
        let (drafted, found): (Vec<_>, _) = (drafted.collect(), built.authority_info_access());
        same(
            "authority information access",
            &drafted[..],
            found,
            |shown| format!("{shown:?}"),
        )?;
        let found = built.extensions().iter();
        let found: Vec<_> = found.map(|found| (found.oid, found.critical)).collect();
        same("extensions", &self.extensions(), &found, |shown| {
            format!("{shown:?}")
        })
    }

    /// The extensions that the certificate will have, and which are critical (RFC 5280 §4.2.1).
    fn extensions(&self) -> Vec<(ObjectIdentifier, bool)> {
        let when = |present: bool, oid, critical| present.then_some((oid, critical));
        let extensions = [
            when(true, ID_CE_AUTHORITY_KEY_IDENTIFIER, false),
            when(
                !self.names.is_empty(),
                ID_CE_SUBJECT_ALT_NAME,
                self.subject.is_empty(),
            ),
            when(true, ID_CE_KEY_USAGE, true),
            when(!self.key_purposes.is_empty(), ID_CE_EXT_KEY_USAGE, false),
            when(self.urls.is_some(), ID_CE_CRL_DISTRIBUTION_POINTS, false),
            when(true, ID_CE_SUBJECT_KEY_IDENTIFIER, false),
            when(true, ID_CE_BASIC_CONSTRAINTS, true),
            when(self.urls.is_some(), ID_PE_AUTHORITY_INFO_ACCESS, false),
        ];
        extensions.into_iter().flatten().collect()
    }
}

impl RootDraft {
    /// Signs with the root's own key, once; see [`Draft::sign`].
    pub fn sign(self, signer: &dyn Signer) -> Result<Certificate, IssueError> {
        let own_key = self.0.public_key.clone();
        self.0.sign_with(&own_key, signer)
    }
}

/// That the signer holds the key the authority is certified for.
pub(crate) fn check_signer(
    authority: &DistinguishedName,
    certified: &PublicKey,
    signer: &dyn Signer,
) -> Result<(), IssueError> {
    let signing = signer.public_key();
    if signing.spki_der() == certified.spki_der() {
        return Ok(());
    }
    Err(IssueError::WrongSigner {
        authority: authority.to_string(),
        certified: hex(&certified.key_id()),
        signer: hex(&signing.key_id()),
    })
}

/// Checks our own signature over our own bytes with the authority's key, with P-384 twice.
pub(crate) fn check_signature(
    authority: &Authority,
    algorithm: SignatureAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), IssueError> {
    let wrong = |by| IssueError::SignatureWrong {
        authority: authority.subject().to_string(),
        by,
    };
    let key = authority.public_key();
    key.verify(algorithm, message, signature)
        .map_err(|_| wrong(FIRST_IMPLEMENTATION))?;
    second_opinion(key, message, signature).map_err(|Disagrees| wrong(SECOND_IMPLEMENTATION))
}

/// The second implementation does not accept the signature.
struct Disagrees;

/// What the p384 crate says of a P-384 signature; of other keys it has no opinion and agrees.
fn second_opinion(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), Disagrees> {
    if key.algorithm() != KeyAlgorithm::P384 {
        return Ok(());
    }
    let key = VerifyingKey::from_sec1_bytes(key.key_bits()).map_err(|_| Disagrees)?;
    let signature = DerSignature::from_bytes(signature).map_err(|_| Disagrees)?;
    key.verify(message, &signature).map_err(|_| Disagrees)
}

/// Refuses two values that should be one, and shows both.
fn same<T: PartialEq + ?Sized>(
    field: &'static str,
    drafted: &T,
    built: &T,
    show: impl Fn(&T) -> String,
) -> Result<(), IssueError> {
    if drafted == built {
        return Ok(());
    }
    Err(IssueError::DiffersFromDraft {
        field,
        drafted: show(drafted),
        built: show(built),
    })
}

/// Words for a message.
fn words<T: ToString>(words: &[T]) -> String {
    words
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Who checks every signature.
const FIRST_IMPLEMENTATION: &str = "aws-lc-rs";

/// Who checks those of P-384 authorities again.
const SECOND_IMPLEMENTATION: &str = "the p384 crate";

#[cfg(test)]
mod tests;
