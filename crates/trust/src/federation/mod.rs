//! Identities that another party vouches for: OpenID Connect tokens and SAML assertions.
//!
//! A [`FederatedIdentity`](crate::FederatedIdentity) is made here and nowhere else, by verification:
//!
//! 1. [`OidcProvider`], [`SamlProvider`]: whom we believe, and for what. [`KeySource`] says where the keys of an issuer
//!    are; fetching them is the caller's to do.
//! 2. [`verify_web_identity`]: a JSON Web Token under a [`JwkSet`]. [`PresentedToken`] splits it in two, so that what
//!    needs no key is refused before any key is looked for.
//! 3. [`verify_saml_assertion`]: a SAML response under the certificates of its provider's metadata.
//!
//! Whether the identity may take a role is not decided here but where everything else is, in
//! [`authorize`](crate::authorize).

mod attributes;
mod json;
mod jwk;
mod oidc;
mod provider;
mod refusal;
mod saml;
mod tags;
mod url;
mod xml;
mod xmldsig;

pub use jwk::{JwkError, JwkSet};
pub use oidc::{PresentedToken, TOKEN_CHARACTERS, verify_web_identity};
pub use provider::{
    AUDIENCES_MAX, IdentityProvider, KeySource, OidcProvider, ProviderError, SamlMetadata,
    SamlProvider, TokenAlgorithm, oidc_provider_arn, saml_provider_arn,
};
pub use refusal::{AssertionRefusal, TokenRefusal};
pub use saml::{
    ASSERTION_CHARACTERS, AcceptedEndpoints, SAML_AUDIENCE, SAML_RECIPIENT, SamlIdentity,
    verify_saml_assertion,
};
pub use tags::is_certificate_tag;

/// How far the clock of an identity provider may be ahead of ours: a token from the near future is believed. An end
/// that has passed has passed, whatever the clocks.
pub(crate) const CLOCK_SKEW_MAX: chrono::TimeDelta = chrono::TimeDelta::seconds(60);

#[cfg(test)]
mod tests;
