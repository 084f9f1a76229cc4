//! `bowline policy`: managed policies, by which sessions are narrowed.

use std::path::PathBuf;

use bowline_service::{
    CreatePolicy, DeletePolicy, ListPolicies, PolicyView, ShowPolicy, UpdatePolicy,
};
use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::{Error, policy_in};
use crate::exit::Exit;
use crate::render::{Facts, pretty, table};

/// Managed policies: policies with an ARN, by which a session is narrowed when a role is assumed
#[derive(Debug, Args)]
pub(crate) struct Policy {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Create),
    List(List),
    Show(Show),
    Update(Update),
    Delete(Delete),
}

impl Policy {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        match self.action {
            Action::Create(create) => create.run(context),
            Action::List(list) => list.run(context),
            Action::Show(show) => show.run(context),
            Action::Update(update) => update.run(context),
            Action::Delete(delete) => delete.run(context),
        }
    }
}

/// Create a managed policy
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  bowline policy create reports-only --policy-file reports.json
  aws sts assume-role --policy-arns arn=arn:aws:iam::000000000000:policy/reports-only …")]
struct Create {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,

    /// The policy document; - is standard input
    #[arg(long, value_name = "FILE")]
    policy_file: PathBuf,

    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Be content with a policy of that name as it is
    #[arg(long)]
    if_missing: bool,
}

impl Create {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let create = CreatePolicy {
            name: self.name,
            document: context.read_text(&self.policy_file)?,
            description: self.description,
            if_missing: self.if_missing,
        };
        let answer = context.connect()?.call(create);
        let policy = answer.map_err(policy_in(Some(&self.policy_file)))?;
        print(context, &policy)
    }
}

/// List the managed policies
#[derive(Debug, Args)]
struct List {}

impl List {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let policies = context.connect()?.call(ListPolicies {})?;
        let rows = policies.iter().map(|policy| {
            vec![
                policy.name.clone(),
                policy.description.clone().unwrap_or_default(),
                policy.arn.clone(),
            ]
        });
        let text = table(&["name", "description", "arn"], rows);
        context.print_list(&policies, text)
    }
}

/// Show a managed policy
#[derive(Debug, Args)]
struct Show {
    /// Its name or ARN
    #[arg(value_name = "POLICY")]
    policy: String,
}

impl Show {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let policy = context.connect()?.call(ShowPolicy {
            policy: self.policy,
        })?;
        print(context, &policy)
    }
}

/// Change what a managed policy says; sessions that it narrows already stay as they are
#[derive(Debug, Args)]
struct Update {
    /// Its name or ARN
    #[arg(value_name = "POLICY")]
    policy: String,

    /// The policy document; - is standard input
    #[arg(long, value_name = "FILE")]
    policy_file: PathBuf,
}

impl Update {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let update = UpdatePolicy {
            policy: self.policy,
            document: context.read_text(&self.policy_file)?,
        };
        let answer = context.connect()?.call(update);
        let policy = answer.map_err(policy_in(Some(&self.policy_file)))?;
        print(context, &policy)
    }
}

/// Delete a managed policy; sessions that it narrows stay as they are
#[derive(Debug, Args)]
struct Delete {
    /// Its name or ARN
    #[arg(value_name = "POLICY")]
    policy: String,
}

impl Delete {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let policy = context.connect()?.call(DeletePolicy {
            policy: self.policy,
        })?;
        let facts = Facts::new().fact("deleted", &policy.arn);
        context.print(&policy, facts)
    }
}

fn print(context: &mut Context<'_>, policy: &PolicyView) -> Result<Exit, Error> {
    let facts = Facts::new()
        .fact("name", &policy.name)
        .fact("arn", &policy.arn)
        .maybe("description", policy.description.as_deref())
        .time("created", policy.created)
        .time("updated", policy.updated)
        .fact("document", pretty(&policy.document));
    context.print(policy, facts)
}
