//! `bowline anchor`: trust anchors.

use std::path::{Path, PathBuf};

use bowline_service::{
    CreateTrustAnchor, ListTrustAnchors, ShowTrustAnchor, TrustAnchorView, UpdateTrustAnchor,
    pem_of,
};
use clap::{ArgGroup, Args, Subcommand};

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::{Facts, table, yes_no};

/// Trust anchors: whose certificates can be traded for credentials
#[derive(Debug, Args)]
pub(crate) struct Anchor {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Create),
    List(List),
    Show(Show),
    Update(Update),
    /// Believe a trust anchor again
    Enable(Named),
    /// Believe a trust anchor no longer: sessions it vouched for end at once
    Disable(Named),
}

impl Anchor {
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

/// Create a trust anchor from somebody's CA certificates, or from an authority of this home
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("source").required(true).args(["bundle", "authority"]),
    after_help = "Example:\n  bowline anchor create partner --bundle partner-ca.pem"
)]
struct Create {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,

    /// CA certificates, PEM or DER: one, or two during a rollover; - is standard input
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// The id of an authority of this home
    #[arg(long, value_name = "AUTHORITY")]
    authority: Option<String>,

    /// Do not believe it yet
    #[arg(long)]
    disabled: bool,

    /// Be content with an anchor of that name as it is
    #[arg(long)]
    if_missing: bool,
}

impl Create {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let bundle = self.bundle.map(|file| bundle(context, &file)).transpose()?;
        let anchor = context.connect()?.call(CreateTrustAnchor {
            name: self.name,
            bundle,
            authority: self.authority,
            disabled: self.disabled,
            if_missing: self.if_missing,
        })?;
        print(context, &anchor)
    }
}

/// List the trust anchors
#[derive(Debug, Args)]
struct List {}

impl List {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let anchors = context.connect()?.call(ListTrustAnchors {})?;
        let rows = anchors.iter().map(|anchor| {
            let TrustAnchorView {
                name, enabled, arn, ..
            } = anchor;
            vec![
                name.clone(),
                yes_no(*enabled).into(),
                source(anchor),
                arn.clone(),
            ]
        });
        let text = table(&["name", "enabled", "believes", "arn"], rows);
        context.print_list(&anchors, text)
    }
}

fn source(anchor: &TrustAnchorView) -> String {
    match &anchor.authority {
        Some(authority) => format!("authority {authority}"),
        None => anchor.certificates.join("; "),
    }
}

/// Show a trust anchor
#[derive(Debug, Args)]
struct Show {
    /// Its name, id or ARN
    #[arg(value_name = "ANCHOR")]
    anchor: String,
}

impl Show {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let anchor = context.connect()?.call(ShowTrustAnchor {
            trust_anchor: self.anchor,
        })?;
        print(context, &anchor)
    }
}

/// Replace the CA certificates of a trust anchor
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bowline anchor update partner --bundle both-roots.pem")]
struct Update {
    /// Its name, id or ARN
    #[arg(value_name = "ANCHOR")]
    anchor: String,

    /// CA certificates, PEM or DER: one, or two during a rollover; - is standard input
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
}

impl Update {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let bundle = Some(bundle(context, &self.bundle)?);
        let update = UpdateTrustAnchor {
            trust_anchor: self.anchor,
            bundle,
            enabled: None,
        };
        let anchor = context.connect()?.call(update)?;
        print(context, &anchor)
    }
}

#[derive(Debug, Args)]
struct Named {
    /// Its name, id or ARN
    #[arg(value_name = "ANCHOR")]
    anchor: String,
}

impl Named {
    fn set(self, context: &mut Context<'_>, enabled: bool) -> Result<Exit, Error> {
        let update = UpdateTrustAnchor {
            trust_anchor: self.anchor,
            bundle: None,
            enabled: Some(enabled),
        };
        let anchor = context.connect()?.call(update)?;
        print(context, &anchor)
    }
}

/// The certificates of a file as one PEM text.
fn bundle(context: &mut Context<'_>, file: &Path) -> Result<String, Error> {
    Ok(pem_of(&context.read_certificates(file)?))
}

fn print(context: &mut Context<'_>, anchor: &TrustAnchorView) -> Result<Exit, Error> {
    let facts = Facts::new()
        .fact("name", &anchor.name)
        .fact("arn", &anchor.arn)
        .fact("enabled", yes_no(anchor.enabled))
        .fact("believes", source(anchor))
        .time("created", anchor.created)
        .time("updated", anchor.updated);
    context.print(anchor, facts)
}
