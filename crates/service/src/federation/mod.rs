//! Federation, both ways: identities that others vouch for become sessions here, and sessions from here get tokens that
//! others believe.
//!
//! [`providers`] keeps whom we believe, [`jwks`] has their keys at hand, [`web_identity`] and [`saml`] trade what they
//! say for credentials. [`identity_token`] makes tokens of our own under [`identity_keys`], which [`discovery`] publishes.

mod discovery;
mod identity_keys;
mod identity_token;
mod jwks;
mod outbound;
mod providers;
mod saml;
mod web_identity;

pub use discovery::{ShowJwks, ShowOpenIdConfiguration};
pub use identity_keys::{IdentityKeysView, RotateIdentityKeys};
pub use identity_token::{GetWebIdentityToken, IdentityToken};
pub(crate) use jwks::KeySets;
pub use outbound::{Fetch, Outbound, OutboundError};
pub use providers::{
    CreateProvider, DeleteProvider, ListProviders, ProviderView, ShowProvider, UpdateProvider,
};
pub use saml::{AssumeRoleWithSaml, SamlRole};
pub use web_identity::{AssumeRoleWithWebIdentity, FederatedRole};
