//! `bowline role`: what workloads become.

mod change;

use std::path::PathBuf;

use bowline_service::{CreateRole, ListRoles, RoleView, ShowRole, format_time};
use clap::{ArgGroup, Args, Subcommand};

use crate::context::Context;
use crate::error::{Error, policy_in};
use crate::exit::Exit;
use crate::render::{Facts, pretty, table, yes_no};
use crate::times;

/// Roles: what a workload may become, and what it may then do
#[derive(Debug, Args)]
pub(crate) struct Role {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Box<Create>),
    List(List),
    Show(Show),
    Update(change::Update),
    /// Let a role be taken again
    Enable(change::Named),
    /// Let a role be taken no longer: its sessions may do nothing until it is enabled again
    Disable(change::Named),
    Delete(change::Delete),
    Policy(change::Policies),
    /// Deny everything to the sessions that a role has now; whoever trades a certificate again is let in
    ///
    /// Puts the policy AWSRevokeOlderSessions, as the console of AWS does. `role policy delete` takes it away again.
    RevokeOlderSessions(change::Named),
}

impl Role {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        match self.action {
            Action::Create(create) => create.run(context),
            Action::List(list) => list.run(context),
            Action::Show(show) => show.run(context),
            Action::Update(update) => update.run(context),
            Action::Enable(named) => named.set(context, true),
            Action::Disable(named) => named.set(context, false),
            Action::Delete(delete) => delete.run(context),
            Action::Policy(policies) => policies.run(context),
            Action::RevokeOlderSessions(named) => named.revoke_older_sessions(context),
        }
    }
}

/// Create a role, and list it in a profile
///
/// What it allows is a policy document, or a list of actions on a list of resources. Who may take it is a trust
/// policy document, or tests of the certificate's subject; without either, certificates of trust anchor `default`
/// whose OU names the role, which is what `bowline issue --role` writes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline role create s3-reader --allow s3:GetObject,s3:ListBucket --on 'arn:aws:s3:::data' --on 'arn:aws:s3:::data/*'
  bowline role create deploy --policy-file deploy.json --for 'CN=ci-*' --max-duration 4h")]
#[command(group = ArgGroup::new("permissions").required(true).args(["policy_file", "allow"]))]
struct Create {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,

    /// What it allows, as a policy document; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "on")]
    policy_file: Option<PathBuf>,

    /// Actions it allows, separated by commas
    #[arg(long, value_name = "ACTIONS", value_delimiter = ',', requires = "on")]
    allow: Vec<String>,

    /// The resources it allows them on: ARNs, separated by commas
    #[arg(long, value_name = "RESOURCES", requires = "allow")]
    on: Vec<String>,

    /// Who may take it, as a trust policy document
    #[arg(long, value_name = "FILE", conflicts_with_all = ["subjects", "trust_anchor"])]
    trust_policy_file: Option<PathBuf>,

    /// Who may take it: a test of the certificate's subject, as in CN=web-* or x509SAN/DNS=*.example; all must hold
    #[arg(long = "for", value_name = "FIELD=PATTERN")]
    subjects: Vec<String>,

    /// The trust anchor whose certificates may take it [default: default]
    #[arg(long, value_name = "ANCHOR")]
    trust_anchor: Option<String>,

    /// Accept a trust policy document that leaves open which anchor or which certificate
    #[arg(long, requires = "trust_policy_file")]
    any_certificate: bool,

    /// Accept a trust policy document that leaves open who of those that a token issuer vouches for
    #[arg(long, requires = "trust_policy_file")]
    any_identity: bool,

    /// What it allows at most, as a policy document: a permissions boundary
    #[arg(long, value_name = "FILE")]
    boundary_file: Option<PathBuf>,

    /// The longest its sessions may last, 1h to 12h [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = times::seconds)]
    max_duration: Option<u32>,

    /// The profile to list it in [default: default]
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,

    /// The account it belongs to, if not the home's: roles of other accounts are in no profile, and are assumed from
    /// sessions of other roles
    #[arg(
        long,
        value_name = "ACCOUNT",
        requires = "trust_policy_file",
        conflicts_with = "profile"
    )]
    account: Option<String>,

    /// Be content with a role of that name as it is
    #[arg(long)]
    if_missing: bool,
}

impl Create {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let policy = self
            .policy_file
            .as_deref()
            .map(|file| context.read_text(file))
            .transpose()?;
        let trust_policy = self
            .trust_policy_file
            .map(|file| context.read_text(&file))
            .transpose()?;
        let boundary = change::read(context, self.boundary_file.as_deref())?;
        let create = CreateRole {
            name: self.name,
            policy,
            allow: self.allow,
            on: split(&self.on),
            trust_policy,
            subjects: self.subjects,
            trust_anchor: self.trust_anchor,
            any_certificate: self.any_certificate,
            any_identity: self.any_identity,
            boundary,
            max_duration_seconds: self.max_duration,
            profile: self.profile,
            account: self.account,
            if_missing: self.if_missing,
        };
        // Of two documents the refusal does not say which.
        let only = self
            .policy_file
            .as_deref()
            .filter(|_| create.trust_policy.is_none() && create.boundary.is_none());
        let role = context.connect()?.call(create).map_err(policy_in(only))?;
        let facts = Facts::new()
            .fact("role", &role.name)
            .fact("arn", &role.arn)
            .each("in profile", &role.profiles);
        context.print(&role, facts)
    }
}

/// Lists of resources, each separated by commas, as one.
fn split(lists: &[String]) -> Vec<String> {
    lists.iter().flat_map(|list| resources(list)).collect()
}

/// Resources separated by commas. A comma inside an ARN is part of it: a new resource begins with `arn:` or is `*`.
fn resources(list: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for piece in list.split(',') {
        match found.last_mut() {
            Some(last) if !(piece.starts_with("arn:") || piece == "*") => {
                last.push(',');
                last.push_str(piece);
            }
            Some(_) | None => found.push(piece.into()),
        }
    }
    found
}

/// List the roles
#[derive(Debug, Args)]
struct List {}

impl List {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let roles = context.connect()?.call(ListRoles {})?;
        let rows = roles.iter().map(|role| {
            vec![
                role.name.clone(),
                role.profiles.join(", "),
                role.arn.clone(),
            ]
        });
        let text = table(&["name", "profiles", "arn"], rows);
        context.print_list(&roles, text)
    }
}

/// Show a role with its policies
#[derive(Debug, Args)]
struct Show {
    /// Its name or ARN
    #[arg(value_name = "ROLE")]
    role: String,
}

impl Show {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let role = context.connect()?.call(ShowRole { role: self.role })?;
        show(context, &role)
    }
}

fn show(context: &mut Context<'_>, role: &RoleView) -> Result<Exit, Error> {
    let text = facts(role);
    context.print(role, text)
}

fn facts(role: &RoleView) -> Facts {
    let mut facts = Facts::new()
        .fact("name", &role.name)
        .fact("arn", &role.arn)
        .fact("id", &role.id)
        .each("in profile", &role.profiles)
        .fact(
            "longest session",
            format_args!("{} s", role.max_session_duration),
        )
        .fact("enabled", yes_no(role.enabled))
        .time("created", role.created)
        .maybe("updated", role.updated.map(format_time))
        .fact("trust policy", pretty(&role.trust_policy))
        .maybe("boundary", role.boundary.as_deref().map(pretty));
    for (name, policy) in &role.policies {
        facts = facts.fact("policy", format_args!("{name}\n{}", pretty(policy)));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_inside_an_arn_is_part_of_it() {
        assert_eq!(
            resources("arn:aws:s3:::a/*,arn:aws:s3:::b/*"),
            ["arn:aws:s3:::a/*", "arn:aws:s3:::b/*"]
        );
        assert_eq!(resources("arn:aws:s3:::a/x,y"), ["arn:aws:s3:::a/x,y"]);
        assert_eq!(resources("*"), ["*"]);
        assert_eq!(resources("arn:aws:s3:::a,*"), ["arn:aws:s3:::a", "*"]);
    }
}
