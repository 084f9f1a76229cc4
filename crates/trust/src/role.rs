//! Roles: who may take them, and what they allow.

use std::ops::RangeInclusive;

use bowline_policy::{AccountId, NamedPolicy, Policy, PolicyKind};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use crate::arns;
use crate::ids::{RoleId, excerpt};
use crate::profile::DURATION_SECONDS_DEFAULT;
use crate::record::{
    POLICY_NAME, ROLE_NAME, RecordError, check_count, check_distinct, check_quota, check_range,
    policy_text,
};

/// A set of permissions, and the trust policy that says who gets them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Role {
    /// The id, never used again for another role.
    pub id: RoleId,
    /// The account it belongs to.
    pub account: AccountId,
    /// The name, part of the ARN.
    pub name: String,
    /// The path, `/` or `/…/`, part of the ARN but not of the session's.
    pub path: String,
    /// Who may take the role.
    #[serde(
        serialize_with = "policy_text::serialize",
        deserialize_with = "policy_text::trust"
    )]
    pub trust_policy: Policy,
    /// What the role allows.
    #[serde(default)]
    pub identity_policies: Vec<RolePolicy>,
    /// What the role allows at most, if there is such a bound.
    #[serde(default)]
    pub boundary: Option<Boundary>,
    /// The longest session, in seconds.
    pub max_session_duration: u32,
    /// Whether it may be taken, and its sessions live, at present.
    pub enabled: bool,
    /// Grows with every change, so that the record's bytes never repeat.
    pub revision: u64,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// One of a role's own policies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RolePolicy {
    /// Its name within the role.
    pub name: String,
    /// The policy.
    #[serde(
        serialize_with = "policy_text::serialize",
        deserialize_with = "policy_text::identity"
    )]
    pub policy: Policy,
}

/// A permissions boundary: what is not allowed by it is not allowed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Boundary {
    /// Its name or ARN, by which traces name it.
    pub name: String,
    /// The policy.
    #[serde(
        serialize_with = "policy_text::serialize",
        deserialize_with = "policy_text::boundary"
    )]
    pub policy: Policy,
}

impl Role {
    /// An enabled role that allows nothing yet, with the defaults; see [`Role::validate`].
    pub fn new(
        id: RoleId,
        account: AccountId,
        name: impl Into<String>,
        trust_policy: Policy,
        now: Time,
    ) -> Role {
        Role {
            id,
            account,
            name: name.into(),
            path: "/".to_owned(),
            trust_policy,
            identity_policies: Vec::new(),
            boundary: None,
            max_session_duration: DURATION_SECONDS_DEFAULT,
            enabled: true,
            revision: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether the record keeps the limits. Call it before storing a new or changed record.
    pub fn validate(&self) -> Result<(), RecordError> {
        ROLE_NAME.check("role name", &self.name)?;
        check_path(&self.path)?;
        check_range(
            "max session duration in seconds",
            self.max_session_duration,
            MAX_SESSION_DURATION,
        )?;
        check_quota("trust policy", PolicyKind::Trust, [&self.trust_policy])?;

        check_count(
            "role policies",
            "policies",
            self.identity_policies.len(),
            POLICIES_MAX,
        )?;
        check_distinct(
            "role policies",
            self.identity_policies
                .iter()
                .map(|policy| policy.name.as_str()),
        )?;
        for policy in &self.identity_policies {
            POLICY_NAME.check("policy name", &policy.name)?;
        }
        check_quota(
            "role policies",
            PolicyKind::Identity,
            self.identity_policies.iter().map(|policy| &policy.policy),
        )?;
        check_quota(
            "permissions boundary",
            PolicyKind::Boundary,
            self.boundary.iter().map(|boundary| &boundary.policy),
        )
    }

    /// The ARN, with the path.
    pub fn arn(&self, partition: &str) -> String {
        arns::role_arn(partition, &self.account, &self.path, &self.name)
    }

    /// The role's own policies as the identity layer of an evaluation.
    pub fn identity_layer(&self) -> Vec<NamedPolicy> {
        self.identity_policies
            .iter()
            .map(|policy| {
                NamedPolicy::new(
                    format!("role/{}/{}", self.name, policy.name),
                    policy.policy.clone(),
                )
            })
            .collect()
    }

    /// The boundary layer of an evaluation; absent if the role has none.
    pub fn boundary_layer(&self) -> Option<Vec<NamedPolicy>> {
        let boundary = self.boundary.as_ref()?;
        Some(vec![NamedPolicy::new(
            format!("boundary/{}", boundary.name),
            boundary.policy.clone(),
        )])
    }
}

fn check_path(path: &str) -> Result<(), RecordError> {
    let fits = path.starts_with('/')
        && path.ends_with('/')
        && path.len() <= PATH_MAX
        && path.chars().all(|c| ('!'..='\u{7e}').contains(&c));
    if fits {
        return Ok(());
    }
    Err(RecordError::Pattern {
        field: "role path",
        value: excerpt(path),
        rule: "/ or a text between slashes, up to 512 printable ASCII characters without space",
    })
}

/// The range in seconds of the longest session a role may allow (IAM).
const MAX_SESSION_DURATION: RangeInclusive<u32> = 3_600..=43_200;

/// Policies of a role. A bound on the work of one decision; the characters run out long before.
const POLICIES_MAX: usize = 50;

/// Characters of a role's path (IAM).
const PATH_MAX: usize = 512;
