//! Somebody whom another party vouches for.

use std::collections::BTreeMap;

use bowline_policy::Tag;
use bowline_x509::Time;

/// Somebody whom an identity provider vouches for, as a verified token or assertion says.
///
/// Made by verification only: nobody outside this crate can put one together.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FederatedIdentity {
    /// By which kind of statement.
    pub kind: FederationKind,
    /// The provider's ARN; a trust policy names it as its `Federated` principal.
    pub provider_arn: String,
    /// Who it is, as the provider says.
    pub subject: String,
    /// Who says so: the issuer of the token or assertion.
    pub issuer: String,
    /// For whom it was said.
    pub audience: String,
    /// What a trust policy may test: `issuer.example/path:aud`, `saml:aud`, ….
    pub keys: BTreeMap<String, Vec<String>>,
    /// The session tags it brings.
    pub tags: Vec<Tag>,
    /// The keys of those that stay with every session assumed further.
    pub transitive_tag_keys: Vec<String>,
    /// Who is behind the session, where the provider says it.
    pub source_identity: Option<String>,
    /// When sessions of it end at the latest: SAML's `SessionNotOnOrAfter`.
    pub not_after: Option<Time>,
}

/// By which kind of statement somebody is vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FederationKind {
    /// A token of an OpenID Connect provider.
    WebIdentity,
    /// An assertion of a SAML provider.
    Saml,
}
