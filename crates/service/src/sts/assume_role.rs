//! AssumeRole: credentials of a further role, from those of a session.

use bowline_policy::Tag;
use bowline_sigv4::SignatureError;
use bowline_store::Commit;
use bowline_trust::{Asker, SessionAsker, is_certificate_tag};
use serde::{Deserialize, Serialize};

use super::grant_session::{AssumedRole, GrantAsk};
use super::validation::{Validation, is_name_character};
use crate::audit::SessionVia;
use crate::caller::Caller;
use crate::error::{Error, StsError};
use crate::operation::Operation;
use crate::service::Service;

/// Assumes a role with the credentials of a session.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AssumeRole {
    /// The role, by its ARN.
    pub role_arn: String,
    /// What the session shall be called.
    pub role_session_name: String,
    /// A policy that narrows the session.
    pub policy: Option<String>,
    /// Managed policies that narrow the session, by their ARNs.
    pub policy_arns: Vec<String>,
    /// How long the session shall last, in seconds; 3,600 if not given.
    pub duration_seconds: Option<u32>,
    /// Session tags, as key and value.
    pub tags: Vec<(String, String)>,
    /// The keys of those tags that stay with every session assumed further.
    pub transitive_tag_keys: Vec<String>,
    /// What the owner of the role agreed on with the caller.
    pub external_id: Option<String>,
    /// The caller's MFA device.
    pub serial_number: Option<String>,
    /// The code that the device shows.
    pub token_code: Option<String>,
    /// Who is behind the session.
    pub source_identity: Option<String>,
    /// How long the session token shall be at least, in bytes.
    pub minimum_session_token_size: Option<u32>,
}

impl Operation for AssumeRole {
    const NAME: &'static str = "assume-role";
    type Answer = AssumedRole;

    /// The policies of caller and role are the authorization: the decision holds both against the call.
    fn run(self, service: &Service, caller: &Caller) -> Result<AssumedRole, Error> {
        let session = match caller {
            Caller::Session { session, .. } => session,
            Caller::Nobody { .. } => {
                return Err(Error::Signature(SignatureError::MissingAuthentication));
            }
            Caller::Operator | Caller::Certificate { .. } => {
                return Err(StsError::SessionNeeded {
                    action: "AssumeRole",
                }
                .into());
            }
        };
        self.validate()?;
        let now = service.now();
        // A policy that tests one of those asks what a certificate says.
        if let Some((key, _)) = self.tags.iter().find(|(key, _)| is_certificate_tag(key)) {
            return Err(StsError::TagOfCertificate { key: key.clone() }.into());
        }
        let tags: Vec<Tag> = self
            .tags
            .iter()
            .map(|(key, value)| Tag::new(key, value))
            .collect::<Result<_, _>>()
            .map_err(|error| StsError::TagInvalid { error })?;
        let session_policies =
            service.session_policies(self.policy.as_deref(), &self.policy_arns)?;
        let layers = service.session_layers(session)?;
        let role = service.role_to_assume(&self.role_arn, now)?;
        let mfa = service.verify_mfa_of(
            session.claims(),
            self.serial_number.as_deref(),
            self.token_code.as_deref(),
            now,
        )?;
        let mfa_at = mfa.as_ref().map(|proof| proof.at);
        let commit = match mfa {
            Some(proof) => proof.add_to(Commit::new()),
            None => Commit::new(),
        };
        let granted = service.grant_session(GrantAsk {
            asker: Asker::Session(SessionAsker {
                session,
                layers: &layers,
                role: &role,
                tags: &tags,
                transitive_tag_keys: &self.transitive_tag_keys,
                external_id: self.external_id.as_deref(),
                source_identity: self.source_identity.as_deref(),
                mfa_at,
            }),
            role_arn: &self.role_arn,
            via: SessionVia::AssumeRole,
            caller,
            duration_seconds: self.duration_seconds,
            role_session_name: Some(&self.role_session_name),
            session_policies: &session_policies,
            minimum_session_token_size: self.minimum_session_token_size,
            commit,
            now,
        })?;
        Ok(granted.assumed_role())
    }
}

impl AssumeRole {
    /// The limits of STS, all of them, before anything is looked up.
    fn validate(&self) -> Result<(), StsError> {
        let mut validation = Validation::default();
        validation
            .role_arn(&self.role_arn)
            .role_session_name(&self.role_session_name)
            .session(
                self.policy.as_deref(),
                &self.policy_arns,
                self.duration_seconds,
                self.minimum_session_token_size,
            )
            .tags(&self.tags)
            .count("transitiveTagKeys", self.transitive_tag_keys.len(), 50);
        if let Some(id) = &self.external_id {
            let allowed = |c| is_name_character(c) || c == ':' || c == '/';
            validation.length("externalId", id, 2, 1_224).pattern(
                "externalId",
                id,
                r"[\w+=,.@:\/-]*",
                allowed,
            );
        }
        if let Some(identity) = &self.source_identity {
            validation
                .length("sourceIdentity", identity, 2, 64)
                .pattern(
                    "sourceIdentity",
                    identity,
                    r"[\w+=,.@-]*",
                    is_name_character,
                );
        }
        if let Some(serial) = &self.serial_number {
            validation.length("serialNumber", serial, 9, 256);
        }
        if let Some(code) = &self.token_code {
            validation
                .length("tokenCode", code, 6, 6)
                .pattern("tokenCode", code, r"[\d]*", |c| c.is_ascii_digit());
        }
        validation.finish()
    }
}
