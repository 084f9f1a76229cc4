//! `bowline mfa`: authenticators of subjects.

use std::path::PathBuf;

use bowline_service::{ConfirmMfa, DisableMfa, EnableMfa, ListMfa, MfaDevice};
use clap::{ArgGroup, Args, Subcommand};

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::{Facts, table, yes_no};

/// MFA: authenticators whose codes go with a request for credentials
#[derive(Debug, Args)]
pub(crate) struct Mfa {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Enable(Enable),
    Confirm(Confirm),
    Disable(Disable),
    List(List),
}

impl Mfa {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        match self.action {
            Action::Enable(enable) => enable.run(context),
            Action::Confirm(confirm) => confirm.run(context),
            Action::Disable(disable) => disable.run(context),
            Action::List(list) => list.run(context),
        }
    }
}

/// Give a subject an authenticator; its secret is printed now and never again
///
/// The first line is what an authenticator reads, as a link or as a QR code (`| head -1 | qrencode -t UTF8`). It counts
/// once `mfa confirm` was given two of its codes.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("whose").required(true).args(["subject", "certificate"]),
    after_help = "Example:\n  bowline mfa enable CN=alice"
)]
struct Enable {
    /// The subject: its id, ARN or name, as `bowline subject list` has them
    #[arg(value_name = "SUBJECT")]
    subject: Option<String>,

    /// A certificate of the subject, if it has not traded one yet; - is standard input
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

impl Enable {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let certificate = match &self.certificate {
            // The first is its own, as everywhere.
            Some(file) => context.read_certificates(file)?.swap_remove(0),
            None => Vec::new(),
        };
        let enable = EnableMfa {
            subject: self.subject,
            certificate,
        };
        let made = context.connect()?.call(enable)?;
        let facts = Facts::new()
            .fact("serial number", &made.device.serial_number)
            .fact("subject", &made.device.subject)
            .fact("secret", made.secret.reveal());
        let text = format!("{}\n{facts}", made.uri.reveal());
        context.hint(format_args!(
            "It does not count yet: `bowline mfa confirm {} CODE1 CODE2` with two codes after one another.",
            made.device.subject_id
        ));
        context.print(&made, text)
    }
}

/// Have an authenticator count, by two of its codes after one another
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bowline mfa confirm CN=alice 123456 654321")]
struct Confirm {
    /// The subject: its id, ARN or name; or the authenticator's serial number
    #[arg(value_name = "SUBJECT")]
    subject: String,

    /// A code
    #[arg(value_name = "CODE1")]
    first: String,

    /// The code that was shown after it
    #[arg(value_name = "CODE2")]
    second: String,
}

impl Confirm {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let confirm = ConfirmMfa {
            subject: self.subject,
            codes: [self.first, self.second],
        };
        let device = context.connect()?.call(confirm)?;
        print(context, &device)
    }
}

/// Take an authenticator away
#[derive(Debug, Args)]
struct Disable {
    /// The subject: its id, ARN or name; or the authenticator's serial number
    #[arg(value_name = "SUBJECT")]
    subject: String,
}

impl Disable {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let disable = DisableMfa {
            subject: self.subject,
        };
        let device = context.connect()?.call(disable)?;
        let text = format!("{} has no authenticator any more.\n", device.subject);
        context.print(&device, text)
    }
}

/// List the authenticators
#[derive(Debug, Args)]
struct List {}

impl List {
    fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let devices = context.connect()?.call(ListMfa {})?;
        let rows = devices.iter().map(|device| {
            vec![
                device.subject.clone(),
                yes_no(device.confirmed).into(),
                device.serial_number.clone(),
            ]
        });
        let text = table(&["subject", "confirmed", "serial number"], rows);
        context.print_list(&devices, text)
    }
}

fn print(context: &mut Context<'_>, device: &MfaDevice) -> Result<Exit, Error> {
    let facts = Facts::new()
        .fact("serial number", &device.serial_number)
        .fact("subject", &device.subject)
        .fact("confirmed", yes_no(device.confirmed))
        .time("created", device.created);
    context.print(device, facts)
}
