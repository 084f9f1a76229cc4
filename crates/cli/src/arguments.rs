//! The command line: the options every command has, and the list of commands. Help texts are the reference.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    anchor, audit, aws_config, backup, ca, cert, conformance, credential_process, credentials,
    doctor, exec, host, init, issue, mfa, policy, presign, profile, provider, quickstart, restore,
    role, sandbox, serve, session, settings, subject, verify,
};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::home::variable;

/// A private certificate authority, trust anchors and profiles, and temporary credentials in one program.
///
/// A workload holds a short-lived X.509 certificate, and trades it for temporary credentials of a role, over
/// the wire of AWS IAM Roles Anywhere. The credentials expire by themselves, and end at once when the
/// certificate is revoked.
#[derive(Debug, Parser)]
#[command(name = "bowline", version, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Arguments {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
First steps:
  bowline quickstart                    the whole story on a throw-away home
  bowline init
  bowline role create s3-reader --allow s3:GetObject --on 'arn:aws:s3:::data/*'
  bowline issue web-1 --role s3-reader
  bowline credentials web-1

Exit codes: 0 done, 2 the command line does not read, 3 invalid,
4 certificate or signature not accepted, 5 not allowed, 6 not found,
7 exists or changed meanwhile, 8 a limit, 70 our fault, 75 try again later;
`doctor` and `cert needs-renewal` have their own.
Nothing is ever asked, and nothing is printed in colour.";

/// What every command takes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Where the home is, and how to answer")]
pub(crate) struct Global {
    /// The home's directory [env: BOWLINE_HOME] [default: /var/lib/bowline if it is there, else $XDG_DATA_HOME/bowline]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,

    /// A file with the passphrase of a home made with one [env: BOWLINE_KEY_PASSWORD_FILE; a systemd credential
    /// bowline-key-password is found by itself]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_password_file: Option<PathBuf>,

    /// Ask this server instead of a home on this machine [env: BOWLINE_SERVER]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,

    /// The root certificates to believe the server by [env: BOWLINE_ROOT]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        conflicts_with = "fingerprint"
    )]
    pub(crate) root: Option<PathBuf>,

    /// The SHA-256 fingerprint of the server's root, which is then fetched from the server [env: BOWLINE_FINGERPRINT]
    #[arg(long, global = true, value_name = "HASH")]
    pub(crate) fingerprint: Option<String>,

    /// Your operator certificate, its key beside it (CERT with the end .key); traded for credentials before the
    /// server is asked [env: BOWLINE_AS]
    #[arg(long = "as", global = true, value_name = "CERT")]
    pub(crate) as_certificate: Option<PathBuf>,

    /// The role to trade the operator certificate for, if it can have several [env: BOWLINE_AS_ROLE]
    #[arg(long, global = true, value_name = "ROLE")]
    pub(crate) as_role: Option<String>,

    /// How to print results: text for people; json for programs, one document, or one a line for lists
    /// [env: BOWLINE_OUTPUT] [default: text]
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub(crate) output: Option<OutputFormat>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Global {
    /// How results are printed; a wrong word in the environment is told later.
    pub(crate) fn output_format(&self, variables: &BTreeMap<OsString, OsString>) -> OutputFormat {
        let told = || {
            variable(variables, "BOWLINE_OUTPUT")
                .and_then(|word| OutputFormat::from_str(word.to_str()?, true).ok())
        };
        self.output.or_else(told).unwrap_or(OutputFormat::Text)
    }

    /// Takes from the environment what the command line leaves out.
    pub(crate) fn with_environment(
        mut self,
        variables: &BTreeMap<OsString, OsString>,
    ) -> Result<Global, Error> {
        let path = |name: &str| variable(variables, name).map(PathBuf::from);
        let text = |name: &'static str| match variable(variables, name) {
            Some(value) => match value.to_str() {
                Some(value) => Ok(Some(value.to_owned())),
                None => Err(Error::Usage(format!("{name} is not UTF-8"))),
            },
            None => Ok(None),
        };
        if let Some(word) = text("BOWLINE_OUTPUT")?
            && OutputFormat::from_str(&word, true).is_err()
        {
            return Err(Error::Usage(format!(
                "BOWLINE_OUTPUT is {word:?}: it is text or json"
            )));
        }
        // BOWLINE_HOME is read where homes are looked for, so that the error can name it.
        self.key_password_file = self
            .key_password_file
            .or_else(|| path("BOWLINE_KEY_PASSWORD_FILE"));
        // A home on the command line is meant more than a server in the environment.
        if self.home.is_none() {
            self.server = self.server.or(text("BOWLINE_SERVER")?);
        }
        if self.root.is_none() && self.fingerprint.is_none() {
            self.root = path("BOWLINE_ROOT");
            self.fingerprint = text("BOWLINE_FINGERPRINT")?.filter(|_| self.root.is_none());
        }
        self.as_certificate = self.as_certificate.or_else(|| path("BOWLINE_AS"));
        self.as_role = self.as_role.or(text("BOWLINE_AS_ROLE")?);
        Ok(self)
    }
}

macro_rules! commands {
    ($($(#[$about:meta])* $name:ident($arguments:ty)),* $(,)?) => {
        /// What to do.
        #[derive(Debug, Subcommand)]
        pub(crate) enum Command {
            $($(#[$about])* $name($arguments),)*
        }

        impl Command {
            /// Does it.
            pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
                match self {
                    $(Command::$name(command) => command.run(context),)*
                }
            }
        }
    };
}

commands! {
    Quickstart(quickstart::Quickstart),
    Init(init::Init),
    Role(role::Role),
    Issue(issue::Issue),
    Credentials(credentials::Credentials),
    Exec(exec::Exec),
    Serve(serve::Serve),
    Ca(ca::Ca),
    Cert(cert::Cert),
    Anchor(anchor::Anchor),
    Profile(profile::Profile),
    Provider(provider::Provider),
    Policy(policy::Policy),
    Session(session::Session),
    Subject(subject::Subject),
    Mfa(mfa::Mfa),
    Settings(settings::Settings),
    Verify(verify::Verify),
    Audit(audit::Audit),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Doctor(doctor::Doctor),
    Sandbox(sandbox::Sandbox),
    /// Remove what a sandbox leaves that was killed
    #[command(hide = true)]
    SandboxJanitor(sandbox::SandboxJanitor),
    AwsConfig(aws_config::AwsConfig),
    Presign(presign::Presign),
    CredentialProcess(credential_process::CredentialProcess),
    Host(host::Host),
    Conformance(conformance::Conformance),
}

/// Reads a command line.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(arguments)
}
