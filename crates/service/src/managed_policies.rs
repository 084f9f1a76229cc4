//! Managed policies: policies with an ARN, by which sessions are narrowed when a role is assumed.

use bowline_policy::{NamedPolicy, Policy, PolicyKind};
use bowline_store::Commit;
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::cache::Loaded;
use crate::caller::Caller;
use crate::error::{Error, StsError};
use crate::keyspace;
use crate::operation::Operation;
use crate::record::Record;
use crate::service::Service;
use crate::settings::Settings;

/// A managed policy as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ManagedPolicyRecord {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// The document as its author wrote it.
    pub(crate) document: String,
    /// Grows with every change, so that the record's bytes never repeat.
    pub(crate) revision: u64,
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
}

impl Record for ManagedPolicyRecord {
    const WHAT: &'static str = "managed policy";
}

/// A managed policy as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The document.
    pub document: String,
    /// When it was made.
    pub created: Time,
    /// When it was last changed.
    pub updated: Time,
}

impl PolicyView {
    fn of(record: &ManagedPolicyRecord, settings: &Settings) -> PolicyView {
        PolicyView {
            name: record.name.clone(),
            arn: settings.managed_policy_arn(&record.name),
            description: record.description.clone(),
            document: record.document.clone(),
            created: record.created_at,
            updated: record.updated_at,
        }
    }
}

impl Settings {
    /// The ARN of a managed policy.
    pub(crate) fn managed_policy_arn(&self, name: &str) -> String {
        format!("arn:{}:iam::{}:policy/{name}", self.partition, self.account)
    }
}

impl Service {
    /// The managed policy with a name or ARN, if there is one.
    fn find_managed_policy(
        &self,
        reference: &str,
    ) -> Result<Option<Loaded<ManagedPolicyRecord>>, Error> {
        let name = match reference.starts_with("arn:") {
            true => match reference.rsplit_once('/') {
                Some((_, name)) => name,
                None => return Ok(None),
            },
            false => reference,
        };
        let settings = self.settings()?;
        let found = self.load::<ManagedPolicyRecord>(&keyspace::managed_policy(name)?)?;
        Ok(found.filter(|_| name == reference || settings.managed_policy_arn(name) == reference))
    }

    /// The managed policy with a name or ARN, for a caller who may take an action on it.
    fn managed_policy_for(
        &self,
        caller: &Caller,
        action: &str,
        reference: &str,
    ) -> Result<Loaded<ManagedPolicyRecord>, Error> {
        let settings = self.settings()?;
        let found = self.find_managed_policy(reference)?;
        let arn = found
            .as_ref()
            .map(|policy| settings.managed_policy_arn(&policy.name));
        self.authorize_found(caller, action, arn)?;
        match found {
            Some(found) => Ok(found),
            None => {
                let known = self.load_all::<ManagedPolicyRecord>(&keyspace::managed_policies())?;
                Err(StsError::PolicyUnknown {
                    policy: reference.into(),
                    known: known.into_iter().map(|policy| policy.name).collect(),
                }
                .into())
            }
        }
    }

    /// The managed policies with these ARNs, to narrow a session by. They bind it as they are now, whatever becomes of
    /// them.
    pub(crate) fn session_policies_by_arn(
        &self,
        arns: &[String],
    ) -> Result<Vec<NamedPolicy>, Error> {
        arns.iter()
            .map(|arn| {
                let found = match arn.starts_with("arn:") {
                    true => match self.find_managed_policy(arn) {
                        // No policy has a name that none can have.
                        Err(Error::NameEmpty | Error::NameTooLong { .. }) => None,
                        found => found?,
                    },
                    false => None,
                };
                let Some(found) = found else {
                    let of_aws = arn.split(':').nth(4) == Some("aws");
                    return Err(StsError::SessionPolicyUnknown {
                        arn: arn.clone(),
                        of_aws,
                    }
                    .into());
                };
                let policy = Policy::parse(&found.document, PolicyKind::Session)?;
                Ok(NamedPolicy::new(arn.as_str(), policy))
            })
            .collect()
    }
}

/// Creates a managed policy.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreatePolicy {
    /// Its name.
    pub name: String,
    /// The document.
    pub document: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether a policy of that name is answered as it is.
    pub if_missing: bool,
}

impl Operation for CreatePolicy {
    const NAME: &'static str = "create-policy";
    type Answer = PolicyView;

    fn run(self, service: &Service, caller: &Caller) -> Result<PolicyView, Error> {
        let (settings, now) = (service.settings()?, service.now());
        let arn = settings.managed_policy_arn(&self.name);
        service.authorize(caller, "iam:CreatePolicy", &arn)?;
        check_name(&self.name)?;
        check_document(&self.document)?;
        let key = keyspace::managed_policy(&self.name)?;
        if let Some(existing) = service.load::<ManagedPolicyRecord>(&key)? {
            if self.if_missing {
                return Ok(PolicyView::of(&existing, &settings));
            }
            return Err(Error::Exists {
                what: "policy",
                name: self.name,
            });
        }
        let record = ManagedPolicyRecord {
            name: self.name,
            description: self.description,
            document: self.document,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        let commit = Commit::new()
            .expect_absent(key.clone())
            .put(key, record.encode()?);
        let event = Event::PolicyWritten {
            policy: arn,
            created: true,
            document: record.document.clone(),
        };
        service.commit(commit, caller, now, event)?;
        Ok(PolicyView::of(&record, &settings))
    }
}

/// Changes what a managed policy says. Sessions that it narrows already stay as they are.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdatePolicy {
    /// Its name or ARN.
    pub policy: String,
    /// The document.
    pub document: String,
}

impl Operation for UpdatePolicy {
    const NAME: &'static str = "update-policy";
    type Answer = PolicyView;

    fn run(self, service: &Service, caller: &Caller) -> Result<PolicyView, Error> {
        let old = service.managed_policy_for(caller, "iam:CreatePolicyVersion", &self.policy)?;
        let (settings, now) = (service.settings()?, service.now());
        check_document(&self.document)?;
        let record = ManagedPolicyRecord {
            document: self.document,
            revision: old.revision + 1,
            updated_at: now,
            ..ManagedPolicyRecord::clone(&old)
        };
        let key = keyspace::managed_policy(&record.name)?;
        let commit = old
            .expect_unchanged(Commit::new(), key.clone())
            .put(key, record.encode()?);
        let event = Event::PolicyWritten {
            policy: settings.managed_policy_arn(&record.name),
            created: false,
            document: record.document.clone(),
        };
        service.commit(commit, caller, now, event)?;
        Ok(PolicyView::of(&record, &settings))
    }
}

/// Deletes a managed policy. Sessions that it narrows stay as they are.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeletePolicy {
    /// Its name or ARN.
    pub policy: String,
}

impl Operation for DeletePolicy {
    const NAME: &'static str = "delete-policy";
    type Answer = PolicyView;

    fn run(self, service: &Service, caller: &Caller) -> Result<PolicyView, Error> {
        let old = service.managed_policy_for(caller, "iam:DeletePolicy", &self.policy)?;
        let (settings, now) = (service.settings()?, service.now());
        let key = keyspace::managed_policy(&old.name)?;
        let commit = old.expect_unchanged(Commit::new(), key.clone()).delete(key);
        let event = Event::PolicyDeleted {
            policy: settings.managed_policy_arn(&old.name),
        };
        service.commit(commit, caller, now, event)?;
        Ok(PolicyView::of(&old, &settings))
    }
}

/// Lists the managed policies.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListPolicies {}

impl Operation for ListPolicies {
    const NAME: &'static str = "list-policies";
    type Answer = Vec<PolicyView>;

    fn run(self, service: &Service, caller: &Caller) -> Result<Vec<PolicyView>, Error> {
        service.authorize(caller, "iam:ListPolicies", "*")?;
        let settings = service.settings()?;
        let policies = service.load_all::<ManagedPolicyRecord>(&keyspace::managed_policies())?;
        Ok(policies
            .iter()
            .map(|policy| PolicyView::of(policy, &settings))
            .collect())
    }
}

/// Shows one managed policy.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowPolicy {
    /// Its name or ARN.
    pub policy: String,
}

impl Operation for ShowPolicy {
    const NAME: &'static str = "show-policy";
    type Answer = PolicyView;

    fn run(self, service: &Service, caller: &Caller) -> Result<PolicyView, Error> {
        let policy = service.managed_policy_for(caller, "iam:GetPolicy", &self.policy)?;
        Ok(PolicyView::of(&policy, &*service.settings()?))
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let length = name.chars().count();
    if (1..=NAME_CHARACTERS_MAX).contains(&length) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(StsError::PolicyNameInvalid { name: name.into() }.into())
}

/// Whether a document is one that can narrow a session, and is short enough.
fn check_document(document: &str) -> Result<(), Error> {
    let policy = Policy::parse(document, PolicyKind::Session)?;
    let characters = policy.quota_characters();
    if characters > DOCUMENT_CHARACTERS_MAX {
        return Err(StsError::PolicyTooLong {
            characters,
            limit: DOCUMENT_CHARACTERS_MAX,
        }
        .into());
    }
    Ok(())
}

/// Characters of a managed policy's name (IAM).
const NAME_CHARACTERS_MAX: usize = 128;

/// Characters of a managed policy without its white space (IAM).
const DOCUMENT_CHARACTERS_MAX: usize = 6_144;
