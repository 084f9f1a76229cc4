//! `bowline settings`: what holds for the whole home.

use bowline_service::{Settings as Values, ShowSettings, UpdateSettings};
use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::Facts;

/// Settings: what holds for the whole home
#[derive(Debug, Args)]
pub(crate) struct Settings {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Show(Show),
    Set(Set),
}

impl Settings {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        match self.action {
            Action::Show(show) => show.run(context),
            Action::Set(set) => set.run(context),
        }
    }
}

/// Show the settings
#[derive(Debug, Args)]
struct Show {}

impl Show {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let settings = context.connect()?.call(ShowSettings {})?;
        print(context, &settings)
    }
}

/// Change a setting
///
///   credentials-end-with-certificate   true: credentials end with the certificate at the latest;
///                                      false: they may outlive it, as with AWS
///   enforce-region                     true: signatures may name the region of the home only
///   url                                where CRLs and CA certificates are fetched; certificates issued from now on
///                                      say so, and '' has them say nothing
///   name                               what the home is called; the names in certificates that exist stay
///
/// The account, the partition and the region are in the ARNs that policies and hosts name, and stay.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Example:\n  bowline settings set credentials-end-with-certificate false"
)]
struct Set {
    /// Which setting
    #[arg(value_name = "SETTING")]
    setting: String,

    /// What it shall be
    #[arg(value_name = "VALUE")]
    value: String,
}

impl Set {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let update = UpdateSettings {
            setting: self.setting,
            value: self.value,
        };
        let settings = context.connect()?.call(update)?;
        print(context, &settings)
    }
}

fn print(context: &mut Context<'_>, settings: &Values) -> Result<Exit, Error> {
    let facts = Facts::new()
        .fact("name", &settings.name)
        .fact("account", &settings.account)
        .fact("partition", &settings.partition)
        .fact("region", &settings.region)
        .fact("enforce-region", settings.enforce_region)
        .maybe("url", settings.url.as_ref())
        .fact(
            "credentials-end-with-certificate",
            settings.credentials_end_with_certificate,
        )
        .time("created", settings.created);
    context.print(settings, facts)
}
