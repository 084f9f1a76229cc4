//! `bowline host`: what a host does with its certificate, as `aws_signing_helper` does it.

mod read_certificate_data;
mod serve;
mod sign_string;
mod update;

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

pub(crate) use self::read_certificate_data::ReadCertificateData;
pub(crate) use self::serve::Serve;
pub(crate) use self::sign_string::SignString;
pub(crate) use self::update::Update;

/// Use a certificate on its host, with the flags of aws_signing_helper
///
/// Keys are read from files and from PKCS#11 tokens. Called by the name aws_signing_helper, through a link, this
/// program takes that program's command line as it is.
#[derive(Debug, Args)]
pub(crate) struct Host {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: HostCommand,
}

/// What a host does with its certificate. Each is a command of aws_signing_helper too.
#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
    Serve(Box<Serve>),
    Update(Box<Update>),
    SignString(SignString),
    ReadCertificateData(ReadCertificateData),
    /// Print the version alone
    Version,
}

impl Host {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        match self.command {
            HostCommand::Serve(command) => command.run(context),
            HostCommand::Update(command) => command.run(context),
            HostCommand::SignString(command) => command.run(context),
            HostCommand::ReadCertificateData(command) => command.run(context),
            HostCommand::Version => {
                context.write(concat!(env!("CARGO_PKG_VERSION"), "\n"))?;
                Ok(Exit::SUCCESS)
            }
        }
    }
}
