//! AssumeRoleWithWebIdentity: credentials of a role for whom a token issuer vouches for.

use bowline_store::Commit;
use bowline_trust::{
    Asker, FederatedAsker, FederatedIdentity, IdentityProvider, OidcProvider, PresentedToken,
};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::audit::SessionVia;
use crate::caller::Caller;
use crate::error::{Error, FederationError};
use crate::operation::Operation;
use crate::service::Service;
use crate::sessions::Secret;
use crate::settings::Settings;
use crate::sts::grant_session::{AssumedRole, GrantAsk};
use crate::sts::validation::Validation;

/// Trades a token of an OpenID Connect provider for temporary credentials of a role. The token is the authorization:
/// whoever brings it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssumeRoleWithWebIdentity {
    /// The role, by its ARN.
    pub role_arn: String,
    /// What the session shall be called.
    pub role_session_name: String,
    /// The token.
    pub web_identity_token: Secret,
    /// For access tokens of two providers that are not served: refused where it is given.
    #[serde(default)]
    pub provider_id: Option<String>,
    /// A policy that narrows the session.
    #[serde(default)]
    pub policy: Option<String>,
    /// Managed policies that narrow the session, by their ARNs.
    #[serde(default)]
    pub policy_arns: Vec<String>,
    /// How long the session shall last, in seconds; 3,600 if not given.
    #[serde(default)]
    pub duration_seconds: Option<u32>,
    /// How long the session token shall be at least, in bytes.
    #[serde(default)]
    pub minimum_session_token_size: Option<u32>,
}

/// A role that was assumed by the word of a token issuer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FederatedRole {
    /// The credentials, and whose they are.
    pub assumed: AssumedRole,
    /// Who it is, as the token says.
    pub subject: String,
    /// Who says so.
    pub provider: String,
    /// For whom the token was.
    pub audience: String,
}

impl Operation for AssumeRoleWithWebIdentity {
    const NAME: &'static str = "assume-role-with-web-identity";
    type Answer = FederatedRole;

    fn run(self, service: &Service, caller: &Caller) -> Result<FederatedRole, Error> {
        let answer = self.exchange(service, caller);
        service.count_stranger(caller, answer)
    }
}

impl AssumeRoleWithWebIdentity {
    fn exchange(self, service: &Service, caller: &Caller) -> Result<FederatedRole, Error> {
        let now = service.now();
        // 1. Whom the token speaks of.
        let identity = self.identity(service, now)?;

        // 2. The one decision of the system, and credentials.
        let session_policies =
            service.session_policies(self.policy.as_deref(), &self.policy_arns)?;
        let role = service.role_to_assume(&self.role_arn, now)?;
        let granted = service.grant_session(GrantAsk {
            asker: Asker::Federated(FederatedAsker {
                identity: &identity,
                role: &role,
            }),
            role_arn: &self.role_arn,
            via: SessionVia::WebIdentity,
            caller,
            duration_seconds: self.duration_seconds,
            role_session_name: Some(&self.role_session_name),
            session_policies: &session_policies,
            minimum_session_token_size: self.minimum_session_token_size,
            commit: Commit::new(),
            now,
        })?;
        Ok(FederatedRole {
            assumed: granted.assumed_role(),
            subject: identity.subject,
            provider: identity.issuer,
            audience: identity.audience,
        })
    }

    fn identity(&self, service: &Service, now: Time) -> Result<FederatedIdentity, Error> {
        Validation::default()
            .role_arn(&self.role_arn)
            .role_session_name(&self.role_session_name)
            .session(
                self.policy.as_deref(),
                &self.policy_arns,
                self.duration_seconds,
                self.minimum_session_token_size,
            )
            .finish()?;
        if self.provider_id.is_some() {
            return Err(FederationError::ProviderIdGiven.into());
        }
        let settings = service.settings()?;
        let token = PresentedToken::parse(self.web_identity_token.reveal())?;
        service.with_issuer(token.issuer(), |provider| {
            service.believed(&token, provider, &settings, now)
        })
    }
}

impl Service {
    /// Counts what somebody was refused who comes with a statement of another's. A denied session is told in an event
    /// of its own, for then the statement was believed.
    pub(super) fn count_stranger<T>(
        &self,
        caller: &Caller,
        answer: Result<T, Error>,
    ) -> Result<T, Error> {
        answer.inspect_err(|refusal| {
            if !matches!(refusal, Error::SessionDenied { .. }) {
                self.note_refused(caller.source(), refusal);
            }
        })
    }

    /// Runs something with the provider of an issuer.
    fn with_issuer<T>(
        &self,
        issuer: &str,
        run: impl FnOnce(&OidcProvider) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let unknown = || FederationError::IssuerUnknown {
            issuer: issuer.chars().take(ISSUER_CHARACTERS_MAX).collect(),
        };
        // No provider has an issuer that none can have, and no key of the store is as long.
        if issuer.is_empty() || issuer.len() > ISSUER_CHARACTERS_MAX {
            return Err(unknown().into());
        }
        match self
            .provider_of_issuer(issuer)?
            .as_deref()
            .map(|kept| &**kept)
        {
            Some(IdentityProvider::Oidc(provider)) => run(provider),
            Some(IdentityProvider::Saml(_)) | None => Err(unknown().into()),
        }
    }

    /// Whom a token speaks of, once a key of its issuer vouches for it.
    fn believed(
        &self,
        token: &PresentedToken<'_>,
        provider: &OidcProvider,
        settings: &Settings,
        now: Time,
    ) -> Result<FederatedIdentity, Error> {
        // What fails without any key is not worth fetching one for.
        token.check(provider, now)?;
        let keys = self
            .key_sets
            .keys(provider, self.outbound.as_deref(), now, |keys| {
                token.fits(keys)
            })?;
        Ok(token.verify(provider, &settings.partition, &keys, now)?)
    }
}

/// The longest issuer a provider can have.
const ISSUER_CHARACTERS_MAX: usize = 255;
