//! AssumeRoleWithSAML: credentials of a role for whom a SAML identity provider vouches for.

use aws_lc_rs::digest::{Context, SHA256};
use bowline_store::{Commit, StoreError};
use bowline_trust::{
    AcceptedEndpoints, Asker, FederatedAsker, IdentityProvider, SAML_AUDIENCE, SAML_RECIPIENT,
    SamlIdentity, verify_saml_assertion,
};
use bowline_x509::Time;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::audit::SessionVia;
use crate::caller::Caller;
use crate::error::{Error, FederationError};
use crate::keyspace;
use crate::operation::Operation;
use crate::record::Record;
use crate::service::Service;
use crate::sessions::Secret;
use crate::settings::Settings;
use crate::sts::grant_session::{AssumedRole, GrantAsk};
use crate::sts::validation::Validation;

/// Trades an assertion of a SAML identity provider for temporary credentials of a role. The assertion is the
/// authorization: whoever brings it, once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssumeRoleWithSaml {
    /// The role, by its ARN.
    pub role_arn: String,
    /// The provider, by its ARN.
    pub principal_arn: String,
    /// The response with the assertion, base64.
    pub saml_assertion: Secret,
    /// A policy that narrows the session.
    #[serde(default)]
    pub policy: Option<String>,
    /// Managed policies that narrow the session, by their ARNs.
    #[serde(default)]
    pub policy_arns: Vec<String>,
    /// How long the session shall last, in seconds; what the assertion says, or 3,600, if not given.
    #[serde(default)]
    pub duration_seconds: Option<u32>,
    /// How long the session token shall be at least, in bytes.
    #[serde(default)]
    pub minimum_session_token_size: Option<u32>,
}

/// A role that was assumed by the word of a SAML identity provider.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SamlRole {
    /// The credentials, and whose they are.
    pub assumed: AssumedRole,
    /// Who it is, as the assertion says.
    pub subject: String,
    /// Of what kind the name is.
    pub subject_type: String,
    /// Who says so.
    pub issuer: String,
    /// Where the assertion was to be delivered.
    pub audience: String,
    /// Names the subject together with its issuer, account and provider.
    pub name_qualifier: String,
}

/// An assertion that was traded, until it is over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsedAssertion {
    until: Time,
}

impl Record for UsedAssertion {
    const WHAT: &'static str = "used assertion";
}

impl Operation for AssumeRoleWithSaml {
    const NAME: &'static str = "assume-role-with-saml";
    type Answer = SamlRole;

    fn run(self, service: &Service, caller: &Caller) -> Result<SamlRole, Error> {
        let answer = self.exchange(service, caller);
        service.count_stranger(caller, answer)
    }
}

impl AssumeRoleWithSaml {
    fn exchange(self, service: &Service, caller: &Caller) -> Result<SamlRole, Error> {
        let now = service.now();
        // 1. Whom the assertion speaks of, and that it comes for the first time.
        let (believed, used) = self.identity(service, now)?;

        // 2. The one decision of the system, and credentials.
        let session_policies =
            service.session_policies(self.policy.as_deref(), &self.policy_arns)?;
        let role = service.role_to_assume(&self.role_arn, now)?;
        let until = believed.assertion_end;
        let commit = service
            .forget_assertions(now)?
            .expect_absent(keyspace::saml_assertion(&used))
            .put(
                keyspace::saml_assertion(&used),
                UsedAssertion { until }.encode()?,
            )
            .put(
                keyspace::saml_assertion_end(until, &used),
                UsedAssertion { until }.encode()?,
            );
        let granted = service
            .grant_session(GrantAsk {
                asker: Asker::Federated(FederatedAsker {
                    identity: &believed.identity,
                    role: &role,
                }),
                role_arn: &self.role_arn,
                via: SessionVia::Saml,
                caller,
                duration_seconds: shorter(self.duration_seconds, believed.session_duration),
                role_session_name: Some(&believed.role_session_name),
                session_policies: &session_policies,
                minimum_session_token_size: self.minimum_session_token_size,
                commit,
                now,
            })
            .map_err(|error| match error {
                // Somebody was faster with the same assertion.
                Error::Store(StoreError::Conflict { key })
                    if key == keyspace::saml_assertion(&used) =>
                {
                    was_used(&believed)
                }
                error => error,
            })?;
        Ok(SamlRole {
            assumed: granted.assumed_role(),
            subject: believed.identity.subject,
            subject_type: believed.subject_type,
            issuer: believed.identity.issuer,
            audience: believed.identity.audience,
            name_qualifier: believed.name_qualifier,
        })
    }

    fn identity(&self, service: &Service, now: Time) -> Result<(SamlIdentity, [u8; 32]), Error> {
        Validation::default()
            .role_arn(&self.role_arn)
            .length("principalArn", &self.principal_arn, 20, 2_048)
            .session(
                self.policy.as_deref(),
                &self.policy_arns,
                self.duration_seconds,
                self.minimum_session_token_size,
            )
            .finish()?;
        let settings = service.settings()?;
        let found = match self.principal_arn.contains(":saml-provider/") {
            true => match service.find_provider(&settings, &self.principal_arn) {
                // No provider has a name that none can have.
                Err(Error::NameEmpty | Error::NameTooLong { .. }) => None,
                found => found?,
            },
            false => None,
        };
        let Some(IdentityProvider::Saml(provider)) = found.as_deref().map(|kept| &**kept) else {
            return Err(FederationError::PrincipalUnknown {
                arn: self.principal_arn.chars().take(ARN_SHOWN_MAX).collect(),
            }
            .into());
        };
        let believed = verify_saml_assertion(
            self.saml_assertion.reveal(),
            provider,
            &settings.partition,
            &self.role_arn,
            &settings.saml_endpoints(),
            now,
        )?;
        let used = digest_of(&believed);
        if service
            .store
            .get(&keyspace::saml_assertion(&used))?
            .is_some()
        {
            return Err(was_used(&believed));
        }
        Ok((believed, used))
    }
}

impl Settings {
    /// For whom an assertion may be, and where it may be delivered: as the presets of identity providers have it, and
    /// this home.
    fn saml_endpoints(&self) -> AcceptedEndpoints {
        let mut accepted = AcceptedEndpoints {
            audiences: vec![SAML_AUDIENCE.into()],
            recipients: vec![SAML_RECIPIENT.into()],
        };
        if let Some(url) = self.url.as_deref().map(|url| url.trim_end_matches('/')) {
            accepted.audiences.push(url.to_owned());
            accepted
                .recipients
                .extend([url.to_owned(), format!("{url}/"), format!("{url}/saml")]);
        }
        accepted
    }
}

impl Service {
    /// Forgets some of the assertions that nobody could bring again, because they are over.
    fn forget_assertions(&self, now: Time) -> Result<Commit, Error> {
        // An end is the first second after. Other processes on the store, or this one after its clock was set back, may not
        // be there yet.
        let over = keyspace::saml_assertion_end(now - CLOCKS_APART_MAX, &[0xff; 32]);
        let oldest = self
            .store
            .scan(&keyspace::saml_assertion_ends(), None, FORGOTTEN_AT_ONCE)?;
        let mut commit = Commit::new();
        for (end, _) in oldest.into_iter().filter(|(key, _)| *key <= over) {
            if let Some(digest) = keyspace::digest_of_assertion_end(&end) {
                commit = commit.delete(keyspace::saml_assertion(&digest));
            }
            commit = commit.delete(end);
        }
        Ok(commit)
    }
}

/// What an assertion is remembered by: whichever provider of its issuer it is brought for, it is one.
fn digest_of(believed: &SamlIdentity) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    // No XML has a NUL, so that the issuer ends where it ends.
    hash.update(believed.identity.issuer.as_bytes());
    hash.update(&[0]);
    hash.update(believed.assertion_id.as_bytes());
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.finish().as_ref());
    digest
}

fn was_used(believed: &SamlIdentity) -> Error {
    let id = believed.assertion_id.chars().take(ID_SHOWN_MAX).collect();
    FederationError::AssertionUsed { id }.into()
}

/// The lesser of what is asked for and what the assertion allows.
fn shorter(asked: Option<u32>, allowed: Option<u32>) -> Option<u32> {
    asked.into_iter().chain(allowed).min()
}

/// How far the clocks of two processes on a store may be apart, or one be set back: more than is taken from either.
const CLOCKS_APART_MAX: TimeDelta = TimeDelta::minutes(15);
/// How many assertions that are over one session takes away: more than one, so that they do not pile up.
const FORGOTTEN_AT_ONCE: usize = 16;
/// How much of an ARN that names no provider is repeated: enough to know it again.
const ARN_SHOWN_MAX: usize = 256;
/// How much of an assertion's id is told.
const ID_SHOWN_MAX: usize = 64;
