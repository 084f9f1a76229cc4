//! The end that all ways to credentials have in common: the decision, the credentials, and the event that tells of them.

use bowline_policy::{NamedPolicy, Policy, PolicyKind};
use bowline_store::Commit;
use bowline_trust::{
    Asker, Claims, Draw, Grant, Role, RoleId, SessionRequest, TemporaryCredentials, authorize,
};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::audit::{Event, SessionVia};
use crate::caller::Caller;
use crate::environment::draw;
use crate::error::{Error, StsError};
use crate::pending::Pending;
use crate::service::Service;
use crate::sessions::Secret;

/// What is asked for, by somebody who has proved who they are.
pub(crate) struct GrantAsk<'a> {
    /// Who asks, and for which role.
    pub(crate) asker: Asker<'a>,
    /// The role as it was asked for; empty where none is.
    pub(crate) role_arn: &'a str,
    /// By which call.
    pub(crate) via: SessionVia,
    /// Who called.
    pub(crate) caller: &'a Caller,
    /// How long the session shall last.
    pub(crate) duration_seconds: Option<u32>,
    /// What the session shall be called.
    pub(crate) role_session_name: Option<&'a str>,
    /// What narrows the session.
    pub(crate) session_policies: &'a [NamedPolicy],
    /// How long the token shall be at least.
    pub(crate) minimum_session_token_size: Option<u32>,
    /// What is written with the session: that a code was used.
    pub(crate) commit: Commit,
    /// The time.
    pub(crate) now: Time,
}

/// A session that began.
pub(crate) struct Granted {
    pub(crate) grant: Grant,
    pub(crate) credentials: TemporaryCredentials,
}

/// Temporary credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StsCredentials {
    /// Names the credentials in every request signed with them.
    pub access_key_id: String,
    /// Signs.
    pub secret_access_key: Secret,
    /// Goes with every request.
    pub session_token: Secret,
    /// When they stop being accepted.
    pub expiration: Time,
}

/// A role that was assumed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AssumedRole {
    /// What the caller acts with from now on.
    pub credentials: StsCredentials,
    /// `arn:aws:sts::…:assumed-role/ROLE/SESSION`.
    pub assumed_role_arn: String,
    /// `AROA…:SESSION`.
    pub assumed_role_id: String,
    /// The token's share of the largest token, in percent.
    pub packed_policy_size: u32,
    /// The bytes of the token.
    pub session_token_size: u32,
    /// Who is behind the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
}

impl Granted {
    pub(crate) fn claims(&self) -> &Claims {
        self.grant.claims()
    }

    /// The bytes of the token.
    pub(crate) fn session_token_size(&self) -> u32 {
        u32::try_from(self.credentials.session_token.len()).unwrap_or(u32::MAX)
    }

    /// The credentials, for whoever gets them.
    pub(crate) fn sts_credentials(&self) -> StsCredentials {
        let credentials = &self.credentials;
        StsCredentials {
            access_key_id: credentials.access_key_id.to_string(),
            secret_access_key: Secret::from(credentials.secret_access_key.clone()),
            session_token: Secret::from(credentials.session_token.clone()),
            expiration: credentials.expiration,
        }
    }

    /// The answer of every call that assumes a role.
    pub(crate) fn assumed_role(&self) -> AssumedRole {
        AssumedRole {
            credentials: self.sts_credentials(),
            assumed_role_arn: self.claims().principal_arn(),
            assumed_role_id: self.claims().user_id(),
            packed_policy_size: self.credentials.packed_policy_size.into(),
            session_token_size: self.session_token_size(),
            source_identity: self.claims().source_identity.clone(),
        }
    }
}

impl Service {
    /// Decides, seals, and tells before anything is given. A refusal is told too.
    pub(crate) fn grant_session(&self, ask: GrantAsk<'_>) -> Result<Granted, Error> {
        self.finish(self.prepare_session(ask)?)
    }

    /// The same up to what is told: it is to be committed before anything is given.
    pub(crate) fn prepare_session(&self, ask: GrantAsk<'_>) -> Result<Pending<Granted>, Error> {
        let settings = self.settings()?;
        // 1. The one decision of the system.
        let request = SessionRequest {
            asker: ask.asker,
            partition: &settings.partition,
            region: &settings.region,
            duration_seconds: ask.duration_seconds,
            role_session_name: ask.role_session_name,
            session_policies: ask.session_policies,
            token_bytes_min: usize::try_from(ask.minimum_session_token_size.unwrap_or(0))
                .unwrap_or(usize::MAX),
            now: ask.now,
            source_ip: ask.caller.source(),
            settings: settings.session_settings(),
        };
        let grant = match authorize(&request) {
            Ok(grant) => grant,
            Err(denial) => {
                let refusal = Error::SessionDenied {
                    denial: Box::new(denial),
                    role: ask.role_arn.into(),
                };
                let refusal = self.tell_denied_session(&ask, refusal);
                return Err(self.veiled(ask.caller, refusal, ask.now));
            }
        };

        // 2. Credentials, which a wrong clock would give too long a life.
        self.check_clock(ask.now)?;
        let credentials = self
            .key_ring()?
            .seal(&grant, &Draw::from(draw::<37>(&*self.entropy)));

        // 3. Told before they are given.
        let event = created(&ask, &grant, &credentials);
        let (commit, sighting) = match leaf(&ask.asker) {
            Some(leaf) => self.see(ask.commit, leaf, false, ask.now)?,
            None => (ask.commit, None),
        };
        let pending = self.prepare(commit, ask.caller, ask.now, event)?;
        pending
            .with_sighting(sighting)
            .try_map(|()| Ok(Granted { grant, credentials }))
    }

    /// The role with an ARN, to be assumed. Where there is none, one that nobody may take: whoever asks for it is refused
    /// as for a role that does not trust them, and learns no more.
    pub(crate) fn role_to_assume(&self, arn: &str, now: Time) -> Result<Role, Error> {
        let invalid = || StsError::RoleArnInvalid {
            arn: arn.chars().take(ARN_SHOWN_MAX).collect(),
        };
        let parsed: bowline_policy::Arn = arn.parse().map_err(|_| invalid())?;
        let settings = self.settings()?;
        let resource = parsed.resource().strip_prefix("role/");
        let (Some(resource), Some(account), "iam", true) = (
            resource,
            parsed.account_id(),
            parsed.service(),
            parsed.partition() == settings.partition,
        ) else {
            return Err(invalid().into());
        };
        let found = match self.find_role(arn) {
            // No role has a name that no role can have.
            Err(Error::NameEmpty | Error::NameTooLong { .. }) => None,
            found => found?,
        };
        if let Some(role) = found {
            return Ok(Role::clone(&role));
        }
        let (path, name) = match resource.rsplit_once('/') {
            Some((path, name)) => (format!("/{path}/"), name),
            None => ("/".to_owned(), resource),
        };
        let nobody = Policy::parse(TRUSTS_NOBODY, PolicyKind::Trust)
            .map_err(|error| Error::internal(format!("a fixed policy does not read: {error}")))?;
        let mut role = Role::new(RoleId::from_random([0; 10]), account, name, nobody, now);
        role.path = path;
        role.enabled = false;
        Ok(role)
    }

    /// What narrows a session that is asked for: a document, and managed policies by their ARNs.
    pub(crate) fn session_policies(
        &self,
        policy: Option<&str>,
        policy_arns: &[String],
    ) -> Result<Vec<NamedPolicy>, Error> {
        let mut policies = Vec::with_capacity(policy_arns.len() + 1);
        if let Some(text) = policy {
            let policy = Policy::parse(text, PolicyKind::Session)
                .map_err(|error| StsError::SessionPolicyMalformed { error })?;
            policies.push(NamedPolicy::new("request/policy", policy));
        }
        policies.extend(self.session_policies_by_arn(policy_arns)?);
        Ok(policies)
    }

    /// Writes down that somebody known was refused a session.
    fn tell_denied_session(&self, ask: &GrantAsk<'_>, refusal: Error) -> Error {
        match self.write_denied_session(ask, &refusal) {
            Ok(()) => refusal,
            // A log that cannot be written is the bigger trouble.
            Err(error) => error,
        }
    }

    fn write_denied_session(&self, ask: &GrantAsk<'_>, refusal: &Error) -> Result<(), Error> {
        let public = refusal.public();
        let (who, serial, subject, provider) = match &ask.asker {
            Asker::Certificate(_) | Asker::Itself(_) => match leaf(&ask.asker) {
                Some(leaf) => (
                    hex::encode(leaf.fingerprint()),
                    Some(leaf.serial().to_hex()),
                    Some(leaf.subject().to_string()),
                    None,
                ),
                None => (String::new(), None, None, None),
            },
            Asker::Session(_) => (ask.caller.describe(), None, None, None),
            Asker::Federated(asker) => (
                // Not each subject by itself: whoever is a customer of a public issuer can be any number of them.
                asker.identity.provider_arn.clone(),
                None,
                Some(asker.identity.subject.clone()),
                Some(asker.identity.provider_arn.clone()),
            ),
        };
        let event = Event::SessionDenied {
            code: public.code.into_owned(),
            reason: public.message,
            role: ask.role_arn.into(),
            via: ask.via,
            serial,
            subject,
            provider,
        };
        match leaf(&ask.asker) {
            Some(leaf) => {
                let (commit, sighting) = self.see(Commit::new(), leaf, true, ask.now)?;
                self.commit_refusal(&who, commit, ask.caller, ask.now, event, refusal)?;
                self.keep_sighting(sighting, ask.now);
                Ok(())
            }
            None => self.commit_refusal(&who, Commit::new(), ask.caller, ask.now, event, refusal),
        }
    }
}

/// The certificate that asks, if one does.
fn leaf<'a>(asker: &Asker<'a>) -> Option<&'a bowline_x509::Certificate> {
    match asker {
        Asker::Certificate(asker) => Some(asker.path.leaf()),
        Asker::Itself(asker) => Some(asker.path.leaf()),
        Asker::Session(_) | Asker::Federated(_) => None,
    }
}

fn created(ask: &GrantAsk<'_>, grant: &Grant, credentials: &TemporaryCredentials) -> Event {
    let claims = grant.claims();
    let certificate = grant.certificate();
    Event::SessionCreated {
        session: hex::encode(credentials.session_id),
        access_key_id: credentials.access_key_id.to_string(),
        role: claims.role_arn().unwrap_or_else(|| claims.principal_arn()),
        via: ask.via,
        parent: claims.chain.last().map(|link| hex::encode(link.session_id)),
        provider: claims.federated().map(|origin| origin.provider_arn.clone()),
        trust_anchor: certificate.map(|certificate| certificate.trust_anchor_arn.clone()),
        profile: certificate.and_then(|certificate| certificate.profile_arn.clone()),
        serial: claims
            .certificate()
            .map(|origin| origin.certificate.serial.to_hex()),
        subject: match (certificate, claims.federated()) {
            (Some(certificate), _) => Some(certificate.subject.name.to_string()),
            (None, Some(origin)) => Some(origin.subject.clone()),
            (None, None) => None,
        },
        source_identity: claims.source_identity.clone(),
        expires: credentials.expiration,
    }
}

/// The trust policy of a role that is not there: it reads, and it allows nobody.
const TRUSTS_NOBODY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"nobody.invalid"},"Action":"sts:AssumeRole"}]}"#;

/// How much of an ARN that is none is repeated: enough to know it again.
const ARN_SHOWN_MAX: usize = 256;
