//! `bowline role update`, `delete`, `policy` and what else changes a role.

use std::path::{Path, PathBuf};

use bowline_service::{DeleteRole, RevokeOlderSessions, ShowRole, UpdateRole};
use clap::{ArgGroup, Args, Subcommand};

use super::{show, split};
use crate::context::Context;
use crate::error::{Error, policy_in};
use crate::exit::Exit;
use crate::render::{pretty, table};
use crate::times;

/// Change a role; what is not named stays, and what is changed holds for living sessions too
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline role update deploy --for 'CN=ci-*' --max-duration 2h
  bowline role update deploy --trust-policy-file trust.json
  bowline role policy put deploy logs --allow logs:PutLogEvents --on '*'      its policies have a command of their own")]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args([
    "trust_policy_file", "subjects", "trust_anchor", "max_duration", "boundary_file", "no_boundary",
]))]
pub(super) struct Update {
    /// Its name or ARN
    #[arg(value_name = "ROLE")]
    role: String,

    /// Who may take it, as a trust policy document; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["subjects", "trust_anchor"])]
    trust_policy_file: Option<PathBuf>,

    /// Who may take it: a test of the certificate's subject, as in CN=web-* or x509SAN/DNS=*.example; all must hold
    #[arg(long = "for", value_name = "FIELD=PATTERN")]
    subjects: Vec<String>,

    /// The trust anchor whose certificates may take it; without --for those whose OU names the role
    #[arg(long, value_name = "ANCHOR")]
    trust_anchor: Option<String>,

    /// Accept a trust policy document that leaves open which anchor or which certificate
    #[arg(long, requires = "trust_policy_file")]
    any_certificate: bool,

    /// Accept a trust policy document that leaves open who of those that a token issuer vouches for
    #[arg(long, requires = "trust_policy_file")]
    any_identity: bool,

    /// The longest its sessions may last, 1h to 12h
    #[arg(long, value_name = "DURATION", value_parser = times::seconds)]
    max_duration: Option<u32>,

    /// What it allows at most, as a policy document: a permissions boundary; - is standard input
    #[arg(long, value_name = "FILE")]
    boundary_file: Option<PathBuf>,

    /// Take the permissions boundary away
    #[arg(long, conflicts_with = "boundary_file")]
    no_boundary: bool,
}

impl Update {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let trust_policy = read(context, self.trust_policy_file.as_deref())?;
        let mut boundary = read(context, self.boundary_file.as_deref())?;
        if self.no_boundary {
            boundary = Some(String::new());
        }
        // Of two documents the refusal does not say which.
        let only = match (self.trust_policy_file, self.boundary_file) {
            (Some(file), None) | (None, Some(file)) => Some(file),
            (Some(_), Some(_)) | (None, None) => None,
        };
        let update = UpdateRole {
            role: self.role,
            trust_policy,
            subjects: self.subjects,
            trust_anchor: self.trust_anchor,
            any_certificate: self.any_certificate,
            any_identity: self.any_identity,
            max_duration_seconds: self.max_duration,
            boundary,
            ..UpdateRole::default()
        };
        let answer = context.connect()?.call(update);
        show(context, &answer.map_err(policy_in(only.as_deref()))?)
    }
}

/// Reads a policy. Never an empty text: that takes the policy away, and who names a file means one.
pub(super) fn read(
    context: &mut Context<'_>,
    file: Option<&Path>,
) -> Result<Option<String>, Error> {
    let Some(file) = file else { return Ok(None) };
    let text = context.read_text(file)?;
    Ok(Some(if text.is_empty() { "\n".into() } else { text }))
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Its name or ARN
    #[arg(value_name = "ROLE")]
    role: String,
}

impl Named {
    /// Lets the role be taken, or no longer.
    pub(super) fn set(self, context: &mut Context<'_>, enabled: bool) -> Result<Exit, Error> {
        let update = UpdateRole {
            role: self.role,
            enabled: Some(enabled),
            ..UpdateRole::default()
        };
        let role = context.connect()?.call(update)?;
        show(context, &role)
    }

    /// Ends the sessions that the role has now.
    pub(super) fn revoke_older_sessions(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let revoke = RevokeOlderSessions { role: self.role };
        let role = context.connect()?.call(revoke)?;
        show(context, &role)
    }
}

/// Delete a role; its sessions end with it
///
/// Certificates that name it stay good, and take a role of the same name that is created later.
#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Its name or ARN
    #[arg(value_name = "ROLE")]
    role: String,

    /// Take it off the profiles that list it, too
    #[arg(long)]
    force: bool,
}

impl Delete {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let delete = DeleteRole {
            role: self.role,
            force: self.force,
        };
        let role = context.connect()?.call(delete)?;
        let unlisted = match role.profiles.as_slice() {
            [] => String::new(),
            profiles => format!(", and took it off {}", profiles.join(", ")),
        };
        let text = format!("Deleted role {}{unlisted}.\n", role.name);
        context.print(&role, text)
    }
}

/// The policies of a role: what it allows
#[derive(Debug, Args)]
pub(super) struct Policies {
    #[command(subcommand)]
    action: PolicyAction,
}

#[derive(Debug, Subcommand)]
enum PolicyAction {
    List(ListPolicies),
    Put(PutPolicy),
    Delete(DeletePolicy),
}

impl Policies {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        match self.action {
            PolicyAction::List(list) => list.run(context),
            PolicyAction::Put(put) => put.run(context),
            PolicyAction::Delete(delete) => delete.run(context),
        }
    }
}

/// List the policies of a role
#[derive(Debug, Args)]
struct ListPolicies {
    /// The role's name or ARN
    #[arg(value_name = "ROLE")]
    role: String,
}

impl ListPolicies {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let role = context.connect()?.call(ShowRole { role: self.role })?;
        let rows = role
            .policies
            .iter()
            .map(|(name, policy)| vec![name.clone(), pretty(policy)]);
        let text = table(&["name", "policy"], rows);
        let policies: Vec<_> = role
            .policies
            .iter()
            .map(|(name, policy)| serde_json::json!({ "name": name, "policy": policy }))
            .collect();
        context.print_list(&policies, text)
    }
}

/// Give a role a policy, or another in place of the one of that name
///
/// `role create` calls the one it writes `inline`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("permissions").required(true).args(["policy_file", "allow"]),
    after_help = "Example:\n  bowline role policy put deploy logs --allow logs:PutLogEvents --on '*'"
)]
struct PutPolicy {
    /// The role's name or ARN
    #[arg(value_name = "ROLE")]
    role: String,

    /// The policy's name within the role
    #[arg(value_name = "POLICY")]
    policy: String,

    /// What it allows, as a policy document; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "on")]
    policy_file: Option<PathBuf>,

    /// Actions it allows, separated by commas
    #[arg(long, value_name = "ACTIONS", value_delimiter = ',', requires = "on")]
    allow: Vec<String>,

    /// The resources it allows them on: ARNs, separated by commas
    #[arg(long, value_name = "RESOURCES", requires = "allow")]
    on: Vec<String>,
}

impl PutPolicy {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let document = match read(context, self.policy_file.as_deref())? {
            Some(document) => document,
            None => allow(&self.allow, &split(&self.on)),
        };
        let update = UpdateRole {
            role: self.role,
            put_policies: vec![(self.policy, document)],
            ..UpdateRole::default()
        };
        let answer = context.connect()?.call(update);
        show(
            context,
            &answer.map_err(policy_in(self.policy_file.as_deref()))?,
        )
    }
}

/// The policy that allows actions on resources, as `role create` writes it.
fn allow(actions: &[String], resources: &[String]) -> String {
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{ "Sid": "Allowed", "Effect": "Allow", "Action": actions, "Resource": resources }],
    })
    .to_string()
}

/// Take a policy away from a role
#[derive(Debug, Args)]
struct DeletePolicy {
    /// The role's name or ARN
    #[arg(value_name = "ROLE")]
    role: String,

    /// The policy's name within the role
    #[arg(value_name = "POLICY")]
    policy: String,
}

impl DeletePolicy {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let update = UpdateRole {
            role: self.role,
            delete_policies: vec![self.policy],
            ..UpdateRole::default()
        };
        let role = context.connect()?.call(update)?;
        show(context, &role)
    }
}
