//! `bowline session`: why an exchange works, or does not; which sessions there are; how they end, and the keys behind
//! them.

mod key;
mod list;
mod revoke;

use bowline_service::{ExplainSession, ShowCertificate};
use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::pair::{PairFiles, read_certificates};
use crate::times;

/// Sessions: why a certificate gets credentials, which credentials live, and how they end before their time
#[derive(Debug, Args)]
pub(crate) struct Session {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(list::List),
    Show(list::Show),
    Revoke(revoke::Revoke),
    Explain(Explain),
    Key(key::Key),
}

impl Session {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        match self.action {
            Action::List(list) => list.run(context),
            Action::Show(show) => show.run(context),
            Action::Revoke(revoke) => revoke.run(context),
            Action::Explain(explain) => explain.run(context),
            Action::Key(key) => key.run(context),
        }
    }
}

/// Explain, rule by rule, whether a certificate would get credentials of a role
///
/// The same code decides that decides the exchange. Exits 0 if it would, 5 if it would not.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bowline session explain web-1 --role s3-reader")]
struct Explain {
    /// The certificate: NAME for ./NAME.crt, a file, or the name or serial number of one that was issued here
    #[arg(value_name = "CERTIFICATE")]
    certificate: String,

    /// The role, by name or ARN
    #[arg(long, value_name = "ROLE")]
    role: String,

    /// The profile, by name, id or ARN [default: default]
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,

    /// The trust anchor, by name, id or ARN [default: default]
    #[arg(long, value_name = "ANCHOR")]
    anchor: Option<String>,

    /// The duration that would be asked for
    #[arg(long, value_name = "DURATION", value_parser = times::seconds)]
    duration: Option<u32>,

    /// The session name that would be asked for
    #[arg(long, value_name = "NAME")]
    session_name: Option<String>,
}

impl Explain {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let connection = context.connect()?;
        let named = PairFiles::of(&self.certificate, context.directory()).certificate;
        let file = [named, context.directory().join(&self.certificate)]
            .into_iter()
            .find(|file| file.is_file());
        let mut certificates = match file {
            Some(file) => read_certificates(&file)?,
            None => vec![
                connection
                    .call(ShowCertificate {
                        certificate: self.certificate,
                    })?
                    .certificate,
            ],
        };
        let chain = certificates.split_off(1);
        let explanation = connection.call(ExplainSession {
            certificate: certificates.swap_remove(0),
            chain,
            role: self.role,
            profile: self.profile,
            trust_anchor: self.anchor,
            duration_seconds: self.duration,
            role_session_name: self.session_name,
        })?;
        context.print(&explanation, &explanation.text)?;
        Ok(match explanation.allowed {
            true => Exit::SUCCESS,
            false => Exit::from(bowline_service::Kind::Denied),
        })
    }
}
