//! Trust anchors: whose certificates are believed.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_policy::AccountId;
use bowline_x509::{Certificate, KeyUsage, Time};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::arns;
use crate::ids::Uuid;
use crate::record::{RESOURCE_NAME, RecordError, check_count};

/// An authority whose certificates may be traded for credentials.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrustAnchor {
    /// The id, part of the ARN.
    pub id: Uuid,
    /// The account it belongs to.
    pub account: AccountId,
    /// A name for people.
    pub name: String,
    /// The authority.
    pub source: AnchorSource,
    /// Whether it is believed at present.
    pub enabled: bool,
    /// What to do when its revocation list is out of date.
    #[serde(default)]
    pub crl_strictness: CrlStrictness,
    /// Grows with every change, so that the record's bytes never repeat.
    pub revision: u64,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// Where the certificates of an anchor come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum AnchorSource {
    /// Certificates that someone uploaded, one root or a root and its intermediate.
    #[serde(with = "bundle")]
    CertificateBundle(Vec<Certificate>),
    /// An authority that lives beside us, by its id; its certificates are looked up when they are needed.
    Authority(String),
}

/// What to do when a revocation list of the anchor is past its `nextUpdate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrlStrictness {
    /// Refuse every certificate of the issuer: the list may hide a revocation.
    #[default]
    Strict,
    /// Go on using what the list says, which is what AWS's guide leaves open.
    Lenient,
}

impl TrustAnchor {
    /// An enabled anchor with the defaults; see [`TrustAnchor::validate`].
    pub fn new(
        id: Uuid,
        account: AccountId,
        name: impl Into<String>,
        source: AnchorSource,
        now: Time,
    ) -> TrustAnchor {
        TrustAnchor {
            id,
            account,
            name: name.into(),
            source,
            enabled: true,
            crl_strictness: CrlStrictness::default(),
            revision: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether the record keeps the limits. Call it before storing a new or changed record.
    pub fn validate(&self) -> Result<(), RecordError> {
        RESOURCE_NAME.check("trust anchor name", &self.name)?;
        match &self.source {
            AnchorSource::Authority(id) if id.is_empty() => {
                Err(RecordError::Empty { field: "authority" })
            }
            AnchorSource::Authority(_) => Ok(()),
            AnchorSource::CertificateBundle(certificates) => validate_bundle(certificates),
        }
    }

    /// The ARN.
    pub fn arn(&self, partition: &str, region: &str) -> String {
        arns::trust_anchor_arn(partition, region, &self.account, self.id)
    }
}

/// What is required of an authority's certificate (RFC 5280 §4.2.1.3, §4.2.1.9); whether it is in its time is the
/// path's business, because that changes.
fn validate_bundle(certificates: &[Certificate]) -> Result<(), RecordError> {
    if certificates.is_empty() {
        return Err(RecordError::Empty {
            field: "certificate bundle",
        });
    }
    check_count(
        "certificate bundle",
        "certificates",
        certificates.len(),
        BUNDLE_MAX,
    )?;
    for certificate in certificates {
        let refused = |why| {
            Err(RecordError::NotAuthority {
                subject: certificate.subject().to_string(),
                why,
            })
        };
        if !certificate.is_ca() {
            return refused("lacks CA:TRUE");
        }
        if !certificate.key_usage().is_some_and(KeyUsage::key_cert_sign) {
            return refused("lacks the key usage keyCertSign");
        }
    }
    let mut seen = HashSet::new();
    match certificates
        .iter()
        .find(|certificate| !seen.insert(certificate.fingerprint()))
    {
        Some(again) => Err(RecordError::Repeated {
            field: "certificate bundle",
            value: again.subject().to_string(),
        }),
        None => Ok(()),
    }
}

/// Certificates as a list of base64 texts.
mod bundle {
    use super::{Certificate, Deserialize, Deserializer, Engine, STANDARD, Serializer};

    pub(super) fn serialize<S: Serializer>(
        bundle: &[Certificate],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            bundle
                .iter()
                .map(|certificate| STANDARD.encode(certificate.der())),
        )
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Certificate>, D::Error> {
        Vec::<String>::deserialize(deserializer)?
            .iter()
            .map(|text| {
                let der = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
                Certificate::from_der(&der).map_err(serde::de::Error::custom)
            })
            .collect()
    }
}

/// Certificates in a bundle, as AWS limits them: a root, or a root and its intermediate.
const BUNDLE_MAX: usize = 2;
