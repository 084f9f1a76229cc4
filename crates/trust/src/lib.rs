//! Trust anchors, profiles and roles; the one decision who gets credentials, and the sealed session token.
//!
//! A workload holds a certificate and asks for a session of a role. The way through this crate:
//!
//! 1. [`Subject`]: who the certificate is, as tags, source identity and session name, under the [`Profile`]'s
//!    [`AttributeMappings`].
//! 2. [`authorize`]: the rules, one after the other, over [`TrustAnchor`], [`Profile`] and [`Role`]; a [`Grant`] or the
//!    [`Denial`] that names the first broken one. [`explain`] tells the same decision rule by rule.
//! 3. [`KeyRing::seal`]: a grant becomes [`TemporaryCredentials`]; nothing is stored.
//! 4. [`KeyRing::open`]: the token of a later request becomes a [`Session`] again, with the policies that bind it.
//!
//! Pure: the time, the drawn bytes and the records are the caller's to bring.

mod anchor;
mod arns;
mod claims;
mod credentials;
mod denial;
mod explanation;
mod facts;
mod federated;
mod federation;
mod grant;
mod ids;
mod keyring;
mod mapping;
mod payload;
mod profile;
mod record;
mod request;
mod role;
mod rule;
mod session;
mod subject;

pub use anchor::{AnchorSource, CrlStrictness, TrustAnchor};
pub use arns::{assumed_role_arn, profile_arn, role_arn, subject_arn, trust_anchor_arn, user_arn};
pub use claims::{
    CHAIN_MAX, CertificateClaim, CertificateOrigin, ChainLink, ChainRole, Claims, FederatedOrigin,
    Origin, RoleSession, SessionPrincipal, UserSession,
};
pub use credentials::{AccessKeyId, Draw, TemporaryCredentials};
pub use denial::{Denial, DenialKind};
pub use explanation::{Check, Explanation};
pub use facts::SERVICE;
pub use federated::{FederatedIdentity, FederationKind};
pub use federation::{
    ASSERTION_CHARACTERS, AUDIENCES_MAX, AcceptedEndpoints, AssertionRefusal, IdentityProvider,
    JwkError, JwkSet, KeySource, OidcProvider, PresentedToken, ProviderError, SAML_AUDIENCE,
    SAML_RECIPIENT, SamlIdentity, SamlMetadata, SamlProvider, TOKEN_CHARACTERS, TokenAlgorithm,
    TokenRefusal, is_certificate_tag, oidc_provider_arn, saml_provider_arn, verify_saml_assertion,
    verify_web_identity,
};
pub use grant::{Grant, GrantedCertificate, authorize, explain};
pub use ids::{IdError, RoleId, Uuid};
pub use keyring::{
    KeyRing, KeyRingError, MESSAGE_TEXT_MAX, MessageError, ROOT_LEN, TOKEN_BYTES_MAX, TokenError,
};
pub use mapping::{
    AttributeMapping, AttributeMappings, CertificateField, DroppedTag, MappingError, MappingRule,
};
pub use profile::{
    CHAINED_DURATION_SECONDS_MAX, DURATION_SECONDS, DURATION_SECONDS_DEFAULT,
    ITSELF_DURATION_SECONDS, ITSELF_DURATION_SECONDS_DEFAULT, ManagedPolicy, PROFILE_LAYER,
    Profile, REQUEST_LAYER,
};
pub use record::RecordError;
pub use request::{
    Asker, CertificateAsker, FederatedAsker, ItselfAsker, SessionAsker, SessionRequest, Settings,
};
pub use role::{Boundary, Role, RolePolicy};
pub use rule::Rule;
pub use session::{RoleGone, Session, Watermark};
pub use subject::{SourceIdentityFrom, Subject, subject_id};

#[cfg(test)]
mod fixture;
