//! `bowline profile`: profiles of IAM Roles Anywhere.

use std::path::{Path, PathBuf};

use bowline_service::{CreateProfile, ListProfiles, ProfileView, ShowProfile, UpdateProfile};
use clap::{ArgGroup, Args, Subcommand};

use crate::context::Context;
use crate::error::{Error, policy_in};
use crate::exit::Exit;
use crate::render::{Facts, pretty, table, yes_no};
use crate::times;

/// Profiles: which roles can be asked for, for how long, narrowed by which session policy
#[derive(Debug, Args)]
pub(crate) struct Profile {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Create),
    List(List),
    Show(Show),
    Update(Box<Update>),
    /// Let a profile be used again
    Enable(Named),
    /// Let a profile be used no longer
    Disable(Named),
}

impl Profile {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        match self.action {
            Action::Create(create) => create.run(context),
            Action::List(list) => list.run(context),
            Action::Show(show) => show.run(context),
            Action::Update(update) => update.run(context),
            Action::Enable(named) => named.set(context, true),
            Action::Disable(named) => named.set(context, false),
        }
    }
}

/// Create a profile
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bowline profile create batch --role nightly --duration 4h")]
struct Create {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,

    /// A role it lists, by name or ARN
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,

    /// The longest its sessions last, 15m to 12h [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = times::seconds)]
    duration: Option<u32>,

    /// A session policy: what it does not allow is taken away from every session; - is standard input
    #[arg(long, value_name = "FILE")]
    session_policy_file: Option<PathBuf>,

    /// Let the caller name the session
    #[arg(long)]
    accept_role_session_name: bool,

    /// Have its sessions count only over TLS with their certificate, so that stolen credentials are worth nothing
    #[arg(long)]
    sender_constrained: bool,

    /// Do not let it be used yet
    #[arg(long)]
    disabled: bool,

    /// Be content with a profile of that name as it is
    #[arg(long)]
    if_missing: bool,
}

impl Create {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let file = self.session_policy_file;
        let session_policy = session_policy(context, file.as_deref())?;
        let create = CreateProfile {
            name: self.name,
            roles: self.roles,
            duration_seconds: self.duration,
            session_policy,
            accept_role_session_name: self.accept_role_session_name,
            sender_constrained: self.sender_constrained,
            disabled: self.disabled,
            if_missing: self.if_missing,
        };
        let answer = context.connect()?.call(create);
        let profile = answer.map_err(policy_in(file.as_deref()))?;
        print(context, &profile)
    }
}

/// List the profiles
#[derive(Debug, Args)]
struct List {}

impl List {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let profiles = context.connect()?.call(ListProfiles {})?;
        let rows = profiles.iter().map(|profile| {
            let ProfileView {
                name, enabled, arn, ..
            } = profile;
            vec![
                name.clone(),
                yes_no(*enabled).into(),
                roles(profile).join(", "),
                arn.clone(),
            ]
        });
        let text = table(&["name", "enabled", "roles", "arn"], rows);
        context.print_list(&profiles, text)
    }
}

/// The names of the roles it lists.
fn roles(profile: &ProfileView) -> Vec<&str> {
    profile
        .roles
        .iter()
        .map(|arn| arn.rsplit('/').next().unwrap_or(arn))
        .collect()
}

/// Show a profile
#[derive(Debug, Args)]
struct Show {
    /// Its name, id or ARN
    #[arg(value_name = "PROFILE")]
    profile: String,
}

impl Show {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let profile = context.connect()?.call(ShowProfile {
            profile: self.profile,
        })?;
        print(context, &profile)
    }
}

/// Change a profile; what is not named stays
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline profile update default --session-policy-file narrow.json
  bowline profile update default --add-role deploy --duration 2h")]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args([
    "add_roles", "remove_roles", "duration", "session_policy_file", "no_session_policy", "accept_role_session_name",
    "sender_constrained",
]))]
struct Update {
    /// Its name, id or ARN
    #[arg(value_name = "PROFILE")]
    profile: String,

    /// A role to list in addition
    #[arg(long = "add-role", value_name = "ROLE")]
    add_roles: Vec<String>,

    /// A role to list no longer
    #[arg(long = "remove-role", value_name = "ROLE")]
    remove_roles: Vec<String>,

    /// The longest its sessions last, 15m to 12h
    #[arg(long, value_name = "DURATION", value_parser = times::seconds)]
    duration: Option<u32>,

    /// A session policy for the sessions from now on; - is standard input
    #[arg(long, value_name = "FILE")]
    session_policy_file: Option<PathBuf>,

    /// Take the session policy away
    #[arg(long, conflicts_with = "session_policy_file")]
    no_session_policy: bool,

    /// Whether the caller may name the session
    #[arg(long, value_name = "true|false", hide_possible_values = true)]
    accept_role_session_name: Option<bool>,

    /// Whether its sessions from now on count only over TLS with their certificate
    #[arg(long, value_name = "true|false", hide_possible_values = true)]
    sender_constrained: Option<bool>,
}

impl Update {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let file = self.session_policy_file;
        let mut session_policy = session_policy(context, file.as_deref())?;
        if self.no_session_policy {
            session_policy = Some(String::new());
        }
        let update = UpdateProfile {
            profile: self.profile,
            add_roles: self.add_roles,
            remove_roles: self.remove_roles,
            duration_seconds: self.duration,
            session_policy,
            accept_role_session_name: self.accept_role_session_name,
            sender_constrained: self.sender_constrained,
            enabled: None,
        };
        let answer = context.connect()?.call(update);
        let profile = answer.map_err(policy_in(file.as_deref()))?;
        print(context, &profile)
    }
}

/// Reads a session policy. Never an empty text: that takes the policy away, and who names a file means one.
fn session_policy(context: &mut Context<'_>, file: Option<&Path>) -> Result<Option<String>, Error> {
    let Some(file) = file else { return Ok(None) };
    let text = context.read_text(file)?;
    Ok(Some(if text.is_empty() { "\n".into() } else { text }))
}

#[derive(Debug, Args)]
struct Named {
    /// Its name, id or ARN
    #[arg(value_name = "PROFILE")]
    profile: String,
}

impl Named {
    fn set(self, context: &mut Context<'_>, enabled: bool) -> Result<Exit, Error> {
        let update = UpdateProfile {
            profile: self.profile,
            enabled: Some(enabled),
            ..UpdateProfile::default()
        };
        let profile = context.connect()?.call(update)?;
        print(context, &profile)
    }
}

fn print(context: &mut Context<'_>, profile: &ProfileView) -> Result<Exit, Error> {
    let facts = Facts::new()
        .fact("name", &profile.name)
        .fact("arn", &profile.arn)
        .fact("enabled", yes_no(profile.enabled))
        .each("role", roles(profile))
        .fact(
            "longest session",
            format_args!("{} s", profile.duration_seconds),
        )
        .fact(
            "caller names session",
            yes_no(profile.accept_role_session_name),
        )
        .fact("sender-constrained", yes_no(profile.sender_constrained))
        .maybe(
            "session policy",
            profile.session_policy.as_deref().map(pretty),
        )
        .time("created", profile.created)
        .time("updated", profile.updated);
    context.print(profile, facts)
}
