//! Identity providers: whom we believe about others, and where their keys are.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_policy::AccountId;
use bowline_x509::{Certificate, Time};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::jwk::{JwkError, JwkSet};
use super::refusal::AssertionRefusal;
use super::{url, xml};
use crate::ids::excerpt;

/// An identity provider, of either kind. One namespace of names holds both.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum IdentityProvider {
    /// Vouches with tokens (OpenID Connect).
    Oidc(OidcProvider),
    /// Vouches with assertions (SAML 2.0).
    Saml(SamlProvider),
}

/// Somebody whose tokens are believed (OpenID Connect Core 1.0).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcProvider {
    /// Its name here.
    pub name: String,
    /// The account it belongs to.
    pub account: AccountId,
    /// Its URL: the very text of the `iss` of its tokens.
    pub issuer: String,
    /// For whom a token may be: one of these must be in its `aud`.
    pub audiences: Vec<String>,
    /// The algorithms a token may be signed with.
    pub algorithms: Vec<TokenAlgorithm>,
    /// Where its keys are.
    pub keys: KeySource,
    /// Roots, as PEM, that its server's certificate must lead to; none for those of the system.
    #[serde(default)]
    pub roots: Option<String>,
    /// Grows with every change, so that the record's bytes never repeat.
    pub revision: u64,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// Where the keys of an issuer come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// A JSON Web Key Set that was uploaded: nothing is fetched.
    Document(String),
    /// A JSON Web Key Set behind this URL.
    Url(String),
    /// Where the issuer's own `/.well-known/openid-configuration` says (OpenID Connect Discovery §4).
    Discovery,
}

/// Somebody whose assertions are believed (SAML 2.0).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamlProvider {
    /// Its name here, part of the ARN.
    pub name: String,
    /// The account it belongs to.
    pub account: AccountId,
    /// What its metadata says.
    pub metadata: SamlMetadata,
    /// Grows with every change, so that the record's bytes never repeat.
    pub revision: u64,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// What is kept of an identity provider's metadata (SAML Metadata 2.0 §2.4.3).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamlMetadata {
    /// The entity id: the issuer of its assertions.
    pub entity_id: String,
    /// Certificates whose keys sign. Only the keys count, as the metadata profile for interoperability has it (§2.6.1):
    /// whoever no longer trusts one takes it out of the metadata.
    #[serde(with = "certificates")]
    pub certificates: Vec<Certificate>,
    /// From when on the metadata is not to be used.
    #[serde(default)]
    pub valid_until: Option<Time>,
}

/// A signature algorithm of tokens (RFC 7518 §3.1, RFC 8037). There is no other: not `none`, no shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA with P-384 and SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Why a provider is not acceptable as a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Not a name.
    #[error("provider name `{name}` is not 1 to 128 of letters, digits and _.-")]
    Name {
        /// What was given.
        name: String,
    },
    /// Not an address of an issuer.
    #[error(
        "`{url}` is not the URL of an issuer: https://host[:port][/path] of at most 255 characters, or http:// to this machine"
    )]
    Url {
        /// What was given.
        url: String,
    },
    /// An issuer whose condition keys could be those of others.
    #[error(
        "the condition keys of issuer `{url}` could be taken for those of others: its host needs a dot, a port or a path, its path no colon, and neither has a `*`"
    )]
    IssuerAmbiguous {
        /// What was given.
        url: String,
    },
    /// Nobody to whom a token may be addressed.
    #[error(
        "a provider takes 1 to {AUDIENCES_MAX} audiences, not {count}: those that its tokens may be for"
    )]
    AudienceCount {
        /// How many were given.
        count: usize,
    },
    /// Not an audience.
    #[error(
        "audience `{audience}` is not 1 to 255 characters without control characters, or is named twice"
    )]
    Audience {
        /// What was given.
        audience: String,
    },
    /// No algorithm, or one twice.
    #[error(
        "a provider takes each of RS256, ES256, ES384 and EdDSA at most once, and at least one"
    )]
    Algorithms,
    /// Not a set of keys.
    #[error("the key set is refused: {0}")]
    Keys(JwkError),
    /// A key set, roots or metadata over the limit.
    #[error("{what} of {bytes} bytes is over the limit of {DOCUMENT_BYTES_MAX}")]
    DocumentTooLong {
        /// What it is.
        what: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// Roots where nothing is fetched.
    #[error("roots are for fetching keys: leave them out beside a key set that is given as a file")]
    RootsWithoutFetching,
    /// Metadata that does not read.
    #[error("the metadata is refused: {0}")]
    Metadata(AssertionRefusal),
    /// Metadata that is no longer to be used.
    #[error("the metadata was valid until {}: give newer", crate::keyring::stamp(.until))]
    MetadataEnded {
        /// Until when.
        until: Time,
    },
    /// A certificate whose key is not accepted.
    #[error("signing certificate {subject} is not accepted: {reason}")]
    Certificate {
        /// Its subject, or its place.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl IdentityProvider {
    /// Its name here.
    pub fn name(&self) -> &str {
        match self {
            IdentityProvider::Oidc(provider) => &provider.name,
            IdentityProvider::Saml(provider) => &provider.name,
        }
    }

    /// Its ARN, as trust policies name it.
    pub fn arn(&self, partition: &str) -> String {
        match self {
            IdentityProvider::Oidc(provider) => provider.arn(partition),
            IdentityProvider::Saml(provider) => provider.arn(partition),
        }
    }

    /// Whether the record keeps the limits. Call it before storing a new or changed record.
    pub fn validate(&self, now: Time) -> Result<(), ProviderError> {
        let name = self.name();
        let fits = (1..=NAME_CHARACTERS_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if !fits {
            return Err(ProviderError::Name {
                name: excerpt(name),
            });
        }
        match self {
            IdentityProvider::Oidc(provider) => provider.validate(),
            IdentityProvider::Saml(provider) => provider.metadata.validate(now),
        }
    }
}

impl OidcProvider {
    /// `arn:aws:iam::123456789012:oidc-provider/issuer.example/path`.
    pub fn arn(&self, partition: &str) -> String {
        oidc_provider_arn(partition, &self.account, self.without_scheme())
    }

    /// The issuer without its scheme: what its ARN ends with and its condition keys begin with.
    pub fn without_scheme(&self) -> &str {
        self.issuer
            .split_once("://")
            .map_or(self.issuer.as_str(), |(_, rest)| rest)
    }

    /// Where the issuer tells about itself (OpenID Connect Discovery §4).
    pub fn discovery_url(&self) -> String {
        format!(
            "{}/.well-known/openid-configuration",
            self.issuer.trim_end_matches('/')
        )
    }

    /// The address of the keys, out of the issuer's discovery document. None where the document is not this issuer's
    /// own, or names no address that keys may be fetched from.
    pub fn keys_address(&self, document: &[u8]) -> Option<String> {
        let document = super::json::object(document)?;
        let text = |name: &str| document.get(name).and_then(serde_json::Value::as_str);
        // OpenID Connect Discovery §4.3: it must be exactly the issuer that was asked.
        let address = text("issuer")
            .filter(|issuer| *issuer == self.issuer)
            .and(text("jwks_uri"))?;
        url::may_lead_to(&self.issuer, address).then(|| address.to_owned())
    }

    fn validate(&self) -> Result<(), ProviderError> {
        check_url(&self.issuer)?;
        if !url::names_its_own_keys(&self.issuer) {
            return Err(ProviderError::IssuerAmbiguous {
                url: excerpt(&self.issuer),
            });
        }
        let count = self.audiences.len();
        if !(1..=AUDIENCES_MAX).contains(&count) {
            return Err(ProviderError::AudienceCount { count });
        }
        for (at, audience) in self.audiences.iter().enumerate() {
            let fits = (1..=AUDIENCE_CHARACTERS_MAX).contains(&audience.chars().count())
                && !audience.chars().any(char::is_control)
                && !self.audiences[..at].contains(audience);
            if !fits {
                return Err(ProviderError::Audience {
                    audience: excerpt(audience),
                });
            }
        }
        let repeated = (1..self.algorithms.len())
            .any(|at| self.algorithms[..at].contains(&self.algorithms[at]));
        if self.algorithms.is_empty() || repeated {
            return Err(ProviderError::Algorithms);
        }
        match &self.keys {
            KeySource::Document(document) => {
                check_length("a key set", document)?;
                JwkSet::parse(document.as_bytes()).map_err(ProviderError::Keys)?;
                if self.roots.is_some() {
                    return Err(ProviderError::RootsWithoutFetching);
                }
            }
            KeySource::Url(address) if url::may_lead_to(&self.issuer, address) => {}
            KeySource::Url(address) => {
                return Err(ProviderError::Url {
                    url: excerpt(address),
                });
            }
            KeySource::Discovery => {}
        }
        self.roots
            .as_deref()
            .map_or(Ok(()), |roots| check_length("a list of roots", roots))
    }
}

impl SamlProvider {
    /// `arn:aws:iam::123456789012:saml-provider/NAME`.
    pub fn arn(&self, partition: &str) -> String {
        saml_provider_arn(partition, &self.account, &self.name)
    }
}

impl SamlMetadata {
    /// Reads an identity provider's metadata: one EntityDescriptor with one IDPSSODescriptor. Its signature, if it has
    /// one, is not looked at: whoever uploads it vouches for it.
    pub fn parse(text: &str) -> Result<SamlMetadata, ProviderError> {
        check_length("metadata", text)?;
        let (entity_id, encoded, valid_until) =
            xml::read_metadata(text).map_err(ProviderError::Metadata)?;
        let mut certificates: Vec<Certificate> = Vec::new();
        for (at, der) in encoded.iter().enumerate() {
            let certificate =
                Certificate::from_der(der).map_err(|error| ProviderError::Certificate {
                    subject: at.to_string(),
                    reason: error.to_string(),
                })?;
            if !certificates
                .iter()
                .any(|known| known.der() == certificate.der())
            {
                certificates.push(certificate);
            }
        }
        Ok(SamlMetadata {
            entity_id,
            certificates,
            valid_until,
        })
    }

    fn validate(&self, now: Time) -> Result<(), ProviderError> {
        for certificate in &self.certificates {
            certificate
                .public_key()
                .map_err(|error| ProviderError::Certificate {
                    subject: certificate.subject().to_string(),
                    reason: error.to_string(),
                })?;
        }
        match self.valid_until {
            Some(until) if until <= now => Err(ProviderError::MetadataEnded { until }),
            Some(_) | None => Ok(()),
        }
    }
}

impl TokenAlgorithm {
    /// Every algorithm, which is what a provider has where nothing else is said.
    pub const ALL: [TokenAlgorithm; 4] = [
        TokenAlgorithm::Rs256,
        TokenAlgorithm::Es256,
        TokenAlgorithm::Es384,
        TokenAlgorithm::EdDsa,
    ];

    /// Its name in headers and key sets.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenAlgorithm::Rs256 => "RS256",
            TokenAlgorithm::Es256 => "ES256",
            TokenAlgorithm::Es384 => "ES384",
            TokenAlgorithm::EdDsa => "EdDSA",
        }
    }

    /// Reads the name of a header or key. RFC 9864 §2.2 calls EdDSA by its curve.
    pub(crate) fn from_header(name: &str) -> Option<TokenAlgorithm> {
        if name == "Ed25519" {
            return Some(TokenAlgorithm::EdDsa);
        }
        TokenAlgorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
    }
}

impl fmt::Display for TokenAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `arn:aws:iam::123456789012:oidc-provider/issuer.example/path`.
pub fn oidc_provider_arn(partition: &str, account: &AccountId, issuer: &str) -> String {
    format!("arn:{partition}:iam::{account}:oidc-provider/{issuer}")
}

/// `arn:aws:iam::123456789012:saml-provider/NAME`.
pub fn saml_provider_arn(partition: &str, account: &AccountId, name: &str) -> String {
    format!("arn:{partition}:iam::{account}:saml-provider/{name}")
}

fn check_url(address: &str) -> Result<(), ProviderError> {
    match url::after_scheme(address) {
        Some(_) => Ok(()),
        None => Err(ProviderError::Url {
            url: excerpt(address),
        }),
    }
}

fn check_length(what: &'static str, document: &str) -> Result<(), ProviderError> {
    let bytes = document.len();
    if bytes > DOCUMENT_BYTES_MAX {
        return Err(ProviderError::DocumentTooLong { what, bytes });
    }
    Ok(())
}

/// Certificates as a list of base64 texts.
mod certificates {
    use super::{Certificate, Deserialize, Deserializer, Engine, STANDARD, Serializer};

    pub(super) fn serialize<S: Serializer>(
        certificates: &[Certificate],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            certificates
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

/// The most audiences of a provider: the limit of IAM.
pub const AUDIENCES_MAX: usize = 100;
/// The longest audience: the limit of IAM.
const AUDIENCE_CHARACTERS_MAX: usize = 255;
/// The longest name: the limit of IAM for SAML providers.
const NAME_CHARACTERS_MAX: usize = 128;
/// The longest key set, list of roots or metadata that is kept. A record ends at 64 KiB, and holds two of them at most
/// beside a hundred audiences.
const DOCUMENT_BYTES_MAX: usize = 20 * 1024;
