//! Profiles: which roles a certificate may be traded for, for how long, and how much of them a session gets.

use std::ops::RangeInclusive;

use bowline_policy::{AccountId, Arn, NamedPolicy, Policy, PolicyKind, SessionLayer};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::arns;
use crate::ids::Uuid;
use crate::mapping::AttributeMappings;
use crate::record::{
    Pattern, RESOURCE_NAME, RecordError, check_count, check_distinct, check_quota, check_range,
    policy_text,
};

/// The roles that may be asked for, and the bounds of every session made through it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Profile {
    /// The id, part of the ARN.
    pub id: Uuid,
    /// The account it belongs to.
    pub account: AccountId,
    /// A name for people.
    pub name: String,
    /// The ARNs of the roles that sessions may be of.
    pub role_arns: Vec<String>,
    /// A policy that narrows every session.
    #[serde(default, with = "policy_text::optional_session")]
    pub session_policy: Option<Policy>,
    /// Further policies that narrow every session; together with `session_policy` they are one layer, inside which any
    /// may allow.
    #[serde(default)]
    pub managed_policies: Vec<ManagedPolicy>,
    /// How long a session lasts unless less is asked for, in seconds.
    pub duration_seconds: u32,
    /// Whether callers may name their sessions.
    pub accept_role_session_name: bool,
    /// Whether it serves at present.
    pub enabled: bool,
    /// Whether its sessions are good only for who shows their certificate over TLS beside every request.
    #[serde(default)]
    pub sender_constrained: bool,
    /// Which attributes of a certificate become session tags.
    #[serde(default)]
    pub attribute_mappings: AttributeMappings,
    /// Grows with every change, so that the record's bytes never repeat.
    pub revision: u64,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// A managed policy that a profile uses, with the text it had when it was listed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ManagedPolicy {
    /// Its ARN, by which traces name it.
    pub arn: String,
    /// The policy.
    #[serde(
        serialize_with = "policy_text::serialize",
        deserialize_with = "policy_text::session"
    )]
    pub policy: Policy,
}

impl Profile {
    /// An enabled profile without roles, with the defaults; see [`Profile::validate`].
    pub fn new(id: Uuid, account: AccountId, name: impl Into<String>, now: Time) -> Profile {
        Profile {
            id,
            account,
            name: name.into(),
            role_arns: Vec::new(),
            session_policy: None,
            managed_policies: Vec::new(),
            duration_seconds: DURATION_SECONDS_DEFAULT,
            accept_role_session_name: false,
            enabled: true,
            sender_constrained: false,
            attribute_mappings: AttributeMappings::default(),
            revision: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether the record keeps the limits. Call it before storing a new or changed record.
    pub fn validate(&self) -> Result<(), RecordError> {
        RESOURCE_NAME.check("profile name", &self.name)?;
        check_range("durationSeconds", self.duration_seconds, DURATION_SECONDS)?;

        check_count("roleArns", "roles", self.role_arns.len(), ROLES_MAX)?;
        check_distinct("roleArns", self.role_arns.iter().map(String::as_str))?;
        for arn in &self.role_arns {
            check_role_arn(arn)?;
        }

        check_count(
            "managedPolicyArns",
            "policies",
            self.managed_policies.len(),
            MANAGED_POLICIES_MAX,
        )?;
        check_distinct(
            "managedPolicyArns",
            self.managed_policies
                .iter()
                .map(|managed| managed.arn.as_str()),
        )?;
        for managed in &self.managed_policies {
            MANAGED_POLICY_ARN.check("managedPolicyArns", &managed.arn)?;
        }
        let policies = self
            .session_policy
            .iter()
            .chain(self.managed_policies.iter().map(|managed| &managed.policy));
        // Inline and managed together, as STS counts them.
        check_quota("session policies", PolicyKind::Session, policies)
    }

    /// The ARN.
    pub fn arn(&self, partition: &str, region: &str) -> String {
        arns::profile_arn(partition, region, &self.account, self.id)
    }

    /// The layer of session policies that this profile lays on every session; none if it has no policies.
    pub fn session_layer(&self) -> Option<SessionLayer> {
        let inline = self.session_policy.iter().map(|policy| {
            NamedPolicy::new(format!("profile/{}/session", self.name), policy.clone())
        });
        let managed = self
            .managed_policies
            .iter()
            .map(|managed| NamedPolicy::new(managed.arn.as_str(), managed.policy.clone()));
        let policies: Vec<NamedPolicy> = inline.chain(managed).collect();
        (!policies.is_empty()).then(|| SessionLayer::new(PROFILE_LAYER, policies))
    }
}

fn check_role_arn(text: &str) -> Result<(), RecordError> {
    let fits = text.len() <= ROLE_ARN_MAX
        && text.parse::<Arn>().is_ok()
        && text.split(':').nth(2) == Some("iam")
        && text
            .splitn(6, ':')
            .nth(5)
            .is_some_and(|resource| resource.starts_with("role/") && resource.len() > 5);
    if fits {
        return Ok(());
    }
    Err(RecordError::Pattern {
        field: "roleArns",
        value: crate::ids::excerpt(text),
        rule: "the ARN of a role, such as arn:aws:iam::123456789012:role/web",
    })
}

/// The name of the layer that holds a profile's session policies; traces show it as `session/profile`.
pub const PROFILE_LAYER: &str = "profile";

/// The name of the layer that holds what the caller asked to be narrowed by; traces show it as `session/request`.
pub const REQUEST_LAYER: &str = "request";

/// The range in seconds of a session's length, asked for or set in a profile.
pub const DURATION_SECONDS: RangeInclusive<u32> = 900..=43_200;

/// A session's length in seconds when nobody says otherwise.
pub const DURATION_SECONDS_DEFAULT: u32 = 3_600;

/// The range in seconds of a session of a certificate as itself (STS: GetSessionToken).
pub const ITSELF_DURATION_SECONDS: RangeInclusive<u32> = 900..=129_600;

/// The length in seconds of a session of a certificate as itself when nobody says otherwise (STS).
pub const ITSELF_DURATION_SECONDS_DEFAULT: u32 = 43_200;

/// The longest session in seconds of a role assumed from a session of another role (STS).
pub const CHAINED_DURATION_SECONDS_MAX: u32 = 3_600;

/// Roles in one profile (IAM Roles Anywhere).
const ROLES_MAX: usize = 250;

/// Managed session policies (STS; the control plane's own limit of 50 is more than a session can take).
const MANAGED_POLICIES_MAX: usize = 10;

/// Characters of a role's ARN (STS).
const ROLE_ARN_MAX: usize = 2_048;

const MANAGED_POLICY_ARN: Pattern = Pattern {
    allowed: |c| c.is_ascii_graphic(),
    least: 1,
    most: 200,
    rule: "1 to 200 printable ASCII characters",
};
