//! What identities from elsewhere can be refused for, and ours for elsewhere.

use bowline_trust::{AssertionRefusal, ProviderError, TokenRefusal};

use super::Kind;

/// Why an identity from elsewhere is not believed, or one of ours cannot be made for elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    /// An identity provider is outside its limits.
    #[error(transparent)]
    Provider(ProviderError),
    /// No such provider.
    #[error("there is no identity provider {name:?}; there are: {}", super::listed(.known))]
    ProviderUnknown {
        /// What was asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// A provider of both kinds, or of none.
    #[error("an identity provider is either an issuer with its audiences, or SAML metadata")]
    ProviderKindNeeded,
    /// What only a provider of the other kind has.
    #[error("{name} is a provider of {kind}: it has no {what}")]
    ProviderOfOtherKind {
        /// Its name.
        name: String,
        /// What it is.
        kind: &'static str,
        /// What it has not.
        what: &'static str,
    },
    /// Metadata of somebody else.
    #[error(
        "the metadata is of {found:?}, and {name} stands for {entity:?}: create a provider for the other, and have roles trust it"
    )]
    EntityOther {
        /// Its name.
        name: String,
        /// The entity id it has.
        entity: String,
        /// The entity id that was given.
        found: String,
    },
    /// A trust policy that everybody satisfies who has a token.
    #[error(
        "statement {statement} of the trust policy would let everybody take the role for whom {issuer} makes tokens: test {issuer}:sub, or say --any-identity"
    )]
    TrustOfEverybody {
        /// Its place, counted from 0.
        statement: usize,
        /// The issuer, without its scheme.
        issuer: String,
    },
    /// Keys from two places.
    #[error("keys come from a key set, or from a URL, or by discovery: name one of them")]
    KeySourceTwice,
    /// Many providers.
    #[error("{count} identity providers are the limit: delete one that is not used")]
    ProvidersMany {
        /// The most.
        count: usize,
    },
    /// A token of nobody who is believed here.
    #[error(
        "no identity provider here has the issuer {issuer:?}: `bowline provider create NAME --issuer URL --audience A` adds one"
    )]
    IssuerUnknown {
        /// The `iss` of the token, cut short.
        issuer: String,
    },
    /// An assertion of nobody who is believed here.
    #[error(
        "there is no SAML provider {arn:?}: `bowline provider create NAME --saml-metadata FILE` adds one"
    )]
    PrincipalUnknown {
        /// The ARN asked for, cut short.
        arn: String,
    },
    /// A web identity token is not believed.
    #[error(transparent)]
    Token(TokenRefusal),
    /// A SAML assertion is not believed.
    #[error(transparent)]
    Assertion(AssertionRefusal),
    /// A SAML assertion came before.
    #[error("the assertion {id:?} was traded for a session before: sign in again")]
    AssertionUsed {
        /// Its id, cut short.
        id: String,
    },
    /// The keys of a provider could not be had.
    #[error("the keys of identity provider {provider} could not be fetched: {reason}")]
    KeysUnavailable {
        /// Its name.
        provider: String,
        /// Why not.
        reason: String,
    },
    /// A parameter of another kind of token.
    #[error(
        "ProviderId is for the access tokens of two providers that are not served here: leave it out, the token names its issuer"
    )]
    ProviderIdGiven,
    /// A token of ours without a place that it comes from.
    #[error(
        "a web identity token says where its keys are, and this home has no URL: `bowline settings set url https://…` gives it one"
    )]
    UrlMissing,
    /// A parameter of GetWebIdentityToken outside its limits.
    #[error("{parameter} takes {rule}, not {found}")]
    TokenParameter {
        /// Its name.
        parameter: &'static str,
        /// What it takes.
        rule: &'static str,
        /// What was given, cut short.
        found: String,
    },
    /// A token that would outlive the session it speaks of.
    #[error("a token of {asked} s would outlive the session, which ends in {left} s: ask for less")]
    TokenOutlivesSession {
        /// What was asked for, in seconds.
        asked: i64,
        /// What is left of the session, in seconds.
        left: i64,
    },
    /// A token that nobody could carry.
    #[error(
        "the token would have {length} characters, over the limit of {limit}: ask for fewer tags or audiences"
    )]
    TokenTooLong {
        /// How long it would be.
        length: usize,
        /// The most.
        limit: usize,
    },
    /// Keys that were renewed too often.
    #[error(
        "{count} retired identity keys are still published, the limit: each is until the last token it signed has ended"
    )]
    IdentityKeysMany {
        /// How many there are.
        count: usize,
    },
}

impl FederationError {
    /// What it means, and its stable code.
    pub(crate) fn classify(&self) -> (Kind, &'static str) {
        use FederationError as E;
        match self {
            E::Provider(_) => (Kind::Invalid, "provider_invalid"),
            E::ProviderUnknown { .. } => (Kind::NotFound, "provider_unknown"),
            E::ProviderKindNeeded => (Kind::Invalid, "provider_kind_needed"),
            E::ProviderOfOtherKind { .. } => (Kind::Invalid, "provider_of_other_kind"),
            E::EntityOther { .. } => (Kind::Invalid, "provider_entity_other"),
            E::TrustOfEverybody { .. } => (Kind::Invalid, "trust_policy_any_identity"),
            E::KeySourceTwice => (Kind::Invalid, "provider_key_source_twice"),
            E::ProvidersMany { .. } => (Kind::Limit, "providers_many"),
            E::IssuerUnknown { .. } => (Kind::Unauthenticated, "identity_issuer_unknown"),
            E::PrincipalUnknown { .. } => (Kind::Unauthenticated, "saml_provider_unknown"),
            E::Token(refusal) => match refusal {
                TokenRefusal::Expired { .. } => (Kind::Unauthenticated, "identity_token_expired"),
                TokenRefusal::SessionClaim { .. } => (Kind::Denied, "identity_token_rejected"),
                _ => (Kind::Unauthenticated, "identity_token_invalid"),
            },
            E::Assertion(refusal) => match refusal {
                AssertionRefusal::Expired { .. } => {
                    (Kind::Unauthenticated, "saml_assertion_expired")
                }
                AssertionRefusal::Status { .. } | AssertionRefusal::Attribute { .. } => {
                    (Kind::Denied, "saml_assertion_rejected")
                }
                AssertionRefusal::RoleNotNamed { .. } => (Kind::Denied, "saml_role_not_named"),
                _ => (Kind::Unauthenticated, "saml_assertion_invalid"),
            },
            E::AssertionUsed { .. } => (Kind::Denied, "saml_assertion_used"),
            E::KeysUnavailable { .. } => (Kind::Unavailable, "identity_provider_unreachable"),
            E::ProviderIdGiven => (Kind::Invalid, "provider_id_given"),
            E::UrlMissing => (Kind::Denied, "identity_issuer_missing"),
            E::TokenParameter { .. } => (Kind::Invalid, "identity_token_parameter"),
            E::TokenOutlivesSession { .. } => (Kind::Denied, "identity_token_outlives_session"),
            E::TokenTooLong { .. } => (Kind::Invalid, "identity_token_too_long"),
            E::IdentityKeysMany { .. } => (Kind::Limit, "identity_keys_many"),
        }
    }

    /// The code an STS client expects, where the kind alone does not say it.
    pub(crate) fn sts_code(&self) -> Option<&'static str> {
        use FederationError as E;
        match self {
            E::Token(refusal) => Some(match refusal {
                TokenRefusal::Expired { .. } => "ExpiredTokenException",
                TokenRefusal::SessionClaim { .. } => "IDPRejectedClaim",
                TokenRefusal::Length { .. } => "ValidationError",
                _ => "InvalidIdentityToken",
            }),
            E::Assertion(refusal) => match refusal {
                AssertionRefusal::Expired { .. } => Some("ExpiredTokenException"),
                AssertionRefusal::Status { .. } | AssertionRefusal::Attribute { .. } => {
                    Some("IDPRejectedClaim")
                }
                AssertionRefusal::Length { .. } => Some("ValidationError"),
                AssertionRefusal::RoleNotNamed { .. } => None,
                _ => Some("InvalidIdentityToken"),
            },
            E::IssuerUnknown { .. } | E::PrincipalUnknown { .. } => Some("InvalidIdentityToken"),
            E::AssertionUsed { .. } => Some("IDPRejectedClaim"),
            E::KeysUnavailable { .. } => Some("IDPCommunicationError"),
            E::UrlMissing => Some("OutboundWebIdentityFederationDisabledException"),
            E::TokenOutlivesSession { .. } => Some("SessionDurationEscalationException"),
            E::TokenTooLong { .. } => Some("JWTPayloadSizeExceededException"),
            E::Provider(_)
            | E::ProviderUnknown { .. }
            | E::ProviderKindNeeded
            | E::ProviderOfOtherKind { .. }
            | E::EntityOther { .. }
            | E::TrustOfEverybody { .. }
            | E::KeySourceTwice
            | E::ProvidersMany { .. }
            | E::ProviderIdGiven
            | E::TokenParameter { .. }
            | E::IdentityKeysMany { .. } => None,
        }
    }
}

impl From<ProviderError> for super::Error {
    fn from(error: ProviderError) -> super::Error {
        FederationError::Provider(error).into()
    }
}

impl From<TokenRefusal> for super::Error {
    fn from(refusal: TokenRefusal) -> super::Error {
        FederationError::Token(refusal).into()
    }
}

impl From<AssertionRefusal> for super::Error {
    fn from(refusal: AssertionRefusal) -> super::Error {
        FederationError::Assertion(refusal).into()
    }
}
