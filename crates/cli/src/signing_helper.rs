//! This program under the name `aws_signing_helper`: that program's command line, exit codes and errors.
//!
//! Scripts and `credential_process` lines written for it run unchanged over a link of that name. The commands are those
//! of `bowline host` and `bowline credential-process`; only what is around them differs: no option of a home, 1 for
//! whatever goes wrong, and errors with the time before them.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use bowline_service::Time;
use clap::{Parser, Subcommand};

use crate::arguments::{Arguments, Command, Global};
use crate::commands::credential_process::CredentialProcess;
use crate::commands::host::{Host, HostCommand};
use crate::error::Error;

/// Vends temporary credentials for a certificate, from IAM Roles Anywhere or a Bowline server
///
/// This is Bowline under the name of AWS's credential helper, with its commands and flags.
#[derive(Debug, Parser)]
#[command(name = NAME, max_term_width = 110)]
struct SigningHelper {
    #[command(subcommand)]
    command: SigningHelperCommand,
}

#[derive(Debug, Subcommand)]
enum SigningHelperCommand {
    CredentialProcess(CredentialProcess),
    #[command(flatten)]
    Host(HostCommand),
}

/// Whether the program was called by that name. With `.exe` too: scripts for Windows name it so.
pub(crate) fn is_meant(arguments: &[OsString]) -> bool {
    let called = arguments.first().map(Path::new).and_then(Path::file_name);
    called.is_some_and(|name| name == NAME || name == "aws_signing_helper.exe")
}

/// Reads that program's command line.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Arguments, clap::Error> {
    let parsed = SigningHelper::try_parse_from(arguments)?;
    let command = match parsed.command {
        SigningHelperCommand::CredentialProcess(command) => Command::CredentialProcess(command),
        SigningHelperCommand::Host(command) => Command::Host(Host { command }),
    };
    Ok(Arguments {
        global: Global::default(),
        command,
    })
}

/// Says what went wrong as that program does: the time, then the sentence.
pub(crate) fn report(error: &Error, now: Time, messages: &mut dyn Write) {
    let at = now.format("%Y/%m/%d %H:%M:%S");
    let code = format!(" [{}]", error.code());
    let message = error.to_string();
    let message = message.strip_suffix(&code).unwrap_or(&message);
    // Nothing is left to be told when standard error is closed.
    let _ = writeln!(messages, "{at} {message}{code}");
}

const NAME: &str = "aws_signing_helper";

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn parsed(line: &str) -> Result<Arguments, clap::Error> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        assert!(is_meant(&arguments), "{line}");
        parse(&arguments)
    }

    #[test]
    fn the_last_part_of_the_path_decides() {
        for (name, meant) in [
            ("/usr/local/bin/aws_signing_helper", true),
            ("./aws_signing_helper", true),
            ("aws_signing_helper.exe", true),
            ("bowline", false),
            ("/opt/aws_signing_helper/bowline", false),
        ] {
            assert_eq!(is_meant(&[name.into()]), meant, "{name}");
        }
        assert!(!is_meant(&[]));
    }

    #[test]
    fn a_line_of_the_other_program_reads() {
        let arns = "--trust-anchor-arn a --profile-arn p --role-arn r";
        for line in [
            format!(
                "aws_signing_helper credential-process --certificate c --private-key k {arns} --endpoint http://h --region r --session-duration 900 --debug --with-proxy=false --no-verify-ssl=false"
            ),
            "aws_signing_helper sign-string --private-key k --format bin --digest SHA512".into(),
            "aws_signing_helper sign-string --private-key k --pkcs8-password p".into(),
            "aws_signing_helper read-certificate-data --certificate pkcs11: --pkcs11-lib l".into(),
            format!(
                "aws_signing_helper serve --certificate c --private-key k {arns} --port 9911 --hop-limit 64"
            ),
            format!(
                "aws_signing_helper update --certificate c --private-key k {arns} --profile p --once"
            ),
            "aws_signing_helper version".into(),
        ] {
            assert!(parsed(&line).is_ok(), "{line}: {:?}", parsed(&line).err());
        }
    }

    #[test]
    fn what_excludes_each_other_there_does_so_here() {
        for line in [
            "aws_signing_helper sign-string --private-key k --cert-selector s",
            "aws_signing_helper sign-string --certificate c --cert-selector s",
            "aws_signing_helper sign-string --certificate c --system-store-name MY",
            "aws_signing_helper sign-string --cert-selector s --intermediates i",
            "aws_signing_helper sign-string --cert-selector s --reuse-pin",
            "aws_signing_helper sign-string --tpm-key-password p --cert-selector s",
            "aws_signing_helper sign-string --tpm-key-password p --no-tpm-key-password",
            "aws_signing_helper sign-string --pkcs8-password p --tpm-key-password q",
            "aws_signing_helper sign-string --use-latest-expiring-certificate --private-key k",
        ] {
            let kind = parsed(line).map(|_| ()).map_err(|error| error.kind());
            assert_eq!(kind, Err(ErrorKind::ArgumentConflict), "{line}");
        }
    }
}
