//! `bowline exec`: runs a program that finds credentials, which stay good for as long as it runs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bowline_server::metadata::{self, MetadataConfig, serve_metadata};
use bowline_server::system_roots;
use bowline_service::{Entropy, Secret, pem_of};
use clap::Args;

use crate::aws_files::{AwsFile, Sections};
use crate::child;
use crate::commands::credentials::Whose;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::home::variable;
use crate::keeper::Named;
use crate::times;

/// Run a command with credentials that refresh by themselves
///
/// The command and whatever it starts find credentials of the certificate's role where AWS's SDKs look for them in a
/// container: at an endpoint on loopback, with a token that only they have. The endpoint trades the certificate again
/// ahead of the end of each session, and ends with the command. Credentials and profiles that would win over it are taken
/// out of the command's environment.
///
/// Signals are passed on, and the command's exit code is this program's: 128 and the number for one that a signal ended,
/// 127 for a command that is not found, 126 for one that cannot be run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline exec web-1 -- aws s3 ls
  bowline exec web-1 --role s3-reader --duration 15m -- ./nightly.sh
  bowline exec web-1 --server https://ca.example:8443 --root roots.pem -- aws sts get-caller-identity")]
pub(crate) struct Exec {
    #[command(flatten)]
    whose: Whose,

    /// How long each session shall last [default: as the profile says, 1h]
    #[arg(long, value_name = "DURATION", value_parser = times::seconds)]
    duration: Option<u32>,

    /// Leave the command's STS as it is. Otherwise, where --server is asked, the command's STS is that server
    /// (AWS_ENDPOINT_URL_STS), and its root is believed beside the roots of this system (AWS_CA_BUNDLE)
    #[arg(long)]
    no_sts: bool,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Exec {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        warn_on_standard_error();
        // 1. Credentials, before anything is started that would do without.
        let named = Named {
            whose: self.whose,
            duration: self.duration,
        };
        let keeper = named.keeper(context)?;
        let traded = keeper.first()?;

        // 2. The endpoint.
        let token = draw_token(&*context.entropy());
        let config = MetadataConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            imds: false,
            container_token: Some(Secret::from(token.clone())),
            container_path: metadata::CONTAINER_PATH.into(),
            // Nothing leaves this machine.
            hop_limit: 1,
            region: None,
            names: Vec::new(),
        };
        let endpoint =
            serve_metadata(config, Arc::new(keeper), context.clock(), context.entropy())?;

        // 3. The command, in an environment where that endpoint is what is found.
        let url = format!("http://{}{}", endpoint.address, metadata::CONTAINER_PATH);
        let mut variables = context.environment().variables.clone();
        point_at(&mut variables, &url, &token);
        hide_files(&mut variables, context.directory());
        set_region(&mut variables, context.directory(), &traded.region);
        let bundle = match self.no_sts {
            true => None,
            false => point_sts(&mut variables, context)?,
        };
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(Error::Usage("a command is needed behind --".into()));
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(&variables)
            .current_dir(context.directory());
        let ended = child::run(context, &mut command, &mut |_| {});
        endpoint.stop();
        drop(bundle);
        Ok(ended)
    }
}

/// A refresh that fails is told on standard error; nothing else is.
fn warn_on_standard_error() {
    let log = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_target(false)
        .with_writer(io::stderr)
        .with_ansi(false)
        .log_internal_errors(false);
    // Fails where a log is set up already, which then is the one to use.
    let _ = log.try_init();
}

fn draw_token(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; TOKEN_BYTES];
    entropy.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes out what SDKs would rather believe, and names the endpoint.
fn point_at(variables: &mut BTreeMap<OsString, OsString>, url: &str, token: &str) {
    child::hide_credentials(variables);
    for (name, value) in [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", token),
        // Without credentials the command shall fail, and not become the machine it runs on.
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ] {
        variables.insert(name.into(), value.into());
    }
}

/// Hides the files that SDKs look into first, where they hold credentials or say where to get some.
fn hide_files(variables: &mut BTreeMap<OsString, OsString>, directory: &Path) {
    // Whatever is in it are credentials.
    variables.insert("AWS_SHARED_CREDENTIALS_FILE".into(), EMPTY_FILE.into());
    hide_boto_file(variables, directory);
    let Some(config) = config_file(variables, directory) else {
        return;
    };
    // A file that does not read is no help to the command either; it will be told so by its SDK.
    let Ok(sections) = AwsFile::read(&config) else {
        return;
    };
    let wins = SETTINGS_THAT_WIN
        .iter()
        .any(|setting| of_default_profile(&sections, setting).is_some());
    if wins {
        variables.insert("AWS_CONFIG_FILE".into(), EMPTY_FILE.into());
    }
}

/// A setting of the default profile, which a config file may call by either name.
fn of_default_profile<'s>(sections: &'s Sections, setting: &str) -> Option<&'s str> {
    let names = ["profile default", "default"];
    names.iter().find_map(|name| sections.value(name, setting))
}

/// Hides the file of boto's first version, which boto3 still reads before it asks the endpoint; other programs have
/// settings there, so only where it holds a key.
fn hide_boto_file(variables: &mut BTreeMap<OsString, OsString>, directory: &Path) {
    let files = match variable(variables, BOTO_FILE) {
        Some(file) => vec![directory.join(file)],
        None => {
            let home = variable(variables, "HOME").map(|home| Path::new(home).join(".boto"));
            home.into_iter().chain([BOTO_FILE_OF_ALL.into()]).collect()
        }
    };
    let holds_key = |file: &PathBuf| {
        let sections = AwsFile::read(file);
        sections.is_ok_and(|it| it.value("Credentials", "aws_access_key_id").is_some())
    };
    if files.iter().any(holds_key) {
        variables.insert(BOTO_FILE.into(), EMPTY_FILE.into());
    }
}

/// The region the command has, or else the home's.
fn set_region(variables: &mut BTreeMap<OsString, OsString>, directory: &Path, region: &str) {
    let told = ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .iter()
        .find_map(|name| variable(variables, name))
        .map(OsString::from);
    let in_file = || {
        let config = AwsFile::read(&config_file(variables, directory)?).ok()?;
        of_default_profile(&config, "region").map(OsString::from)
    };
    let region = told.or_else(in_file).unwrap_or_else(|| region.into());
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        if variable(variables, name).is_none() {
            variables.insert(name.into(), region.clone());
        }
    }
}

fn config_file(variables: &BTreeMap<OsString, OsString>, directory: &Path) -> Option<PathBuf> {
    AwsFile::Config.path(variables, directory).ok()
}

/// Makes the server the command's STS, and its root one that the command believes. The file with the roots lasts until
/// it is dropped.
fn point_sts(
    variables: &mut BTreeMap<OsString, OsString>,
    context: &mut Context<'_>,
) -> Result<Option<tempfile::NamedTempFile>, Error> {
    let Some(server) = context.global().server.clone() else {
        return Ok(None);
    };
    let chosen = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"];
    if chosen
        .iter()
        .any(|name| variable(variables, name).is_some())
    {
        return Ok(None);
    }
    let Some(root) = context.global().root.clone() else {
        // By its fingerprint only we believe the server; an SDK needs a file.
        if context.global().fingerprint.is_none() {
            variables.insert("AWS_ENDPOINT_URL_STS".into(), server.into());
        }
        return Ok(None);
    };
    variables.insert("AWS_ENDPOINT_URL_STS".into(), server.into());
    // An SDK believes this file and nothing else, so those it believed before are in it too.
    let mut bundle = files::read(&context.path(&root))?;
    bundle.push(b'\n');
    let before = match variable(variables, "AWS_CA_BUNDLE") {
        Some(chosen) => files::read(&context.path(Path::new(chosen)))?,
        None => pem_of(&system_roots()).into_bytes(),
    };
    bundle.extend(before);
    let failed = |error| Error::file("write", &std::env::temp_dir(), error);
    let mut file = tempfile::Builder::new()
        .prefix("bowline-roots-")
        .suffix(".pem")
        .tempfile()
        .map_err(failed)?;
    io::Write::write_all(&mut file, &bundle).map_err(failed)?;
    variables.insert("AWS_CA_BUNDLE".into(), file.path().into());
    Ok(Some(file))
}

/// Settings of the default profile that SDKs follow before they ask the endpoint.
const SETTINGS_THAT_WIN: [&str; 9] = [
    "aws_access_key_id",
    "credential_process",
    "credential_source",
    "login_session",
    "role_arn",
    "source_profile",
    "sso_session",
    "sso_start_url",
    "web_identity_token_file",
];
/// A file that every SDK reads, and finds nothing in.
const EMPTY_FILE: &str = "/dev/null";
/// The variable with the file of boto's first version, and where that file is if nobody says it.
const BOTO_FILE: &str = "BOTO_CONFIG";
const BOTO_FILE_OF_ALL: &str = "/etc/boto.cfg";
/// Nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn value<'v>(variables: &'v BTreeMap<OsString, OsString>, name: &str) -> &'v str {
        variable(variables, name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn nothing_that_would_win_over_the_endpoint_is_left() {
        let mut found = variables(&[
            ("AWS_ACCESS_KEY_ID", "AKIA"),
            ("AWS_ACCESS_KEY", "AKIA"),
            ("AWS_SECRET_KEY", "secret"),
            ("AWS_PROFILE", "other"),
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/x"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "old"),
            ("PATH", "/bin"),
        ]);
        point_at(&mut found, "http://127.0.0.1:1/credentials", "token");
        let names: Vec<_> = found.keys().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "AWS_EC2_METADATA_DISABLED",
                "PATH",
            ]
        );
        assert_eq!(value(&found, "AWS_CONTAINER_AUTHORIZATION_TOKEN"), "token");
    }

    #[test]
    fn a_config_file_is_hidden_only_where_it_would_win() {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config");
        for (text, hidden) in [
            ("[default]\nregion = eu-west-1\n", false),
            ("[profile other]\nrole_arn = x\n", false),
            ("[default]\ncredential_process = x\n", true),
            ("[profile default]\ncredential_process = x\n", true),
            ("[default]\nlogin_session = x\n", true),
        ] {
            std::fs::write(&config, text).unwrap();
            let mut found = variables(&[("AWS_CONFIG_FILE", config.to_str().unwrap())]);
            hide_files(&mut found, directory.path());
            assert_eq!(
                value(&found, "AWS_CONFIG_FILE") == EMPTY_FILE,
                hidden,
                "{text}"
            );
            assert_eq!(value(&found, "AWS_SHARED_CREDENTIALS_FILE"), EMPTY_FILE);
        }
    }

    #[test]
    fn the_file_of_boto_is_hidden_only_where_it_holds_a_key() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().to_str().unwrap();
        let other = directory.path().join("other");
        std::fs::write(&other, "[GSUtil]\nparallel_thread_count = 1\n").unwrap();
        let key = "[Credentials]\naws_access_key_id = AKIA\n";
        std::fs::write(directory.path().join(".boto"), key).unwrap();
        for (name, place, hidden) in [("HOME", home, true), (BOTO_FILE, "other", false)] {
            let mut found = variables(&[(name, place)]);
            hide_files(&mut found, directory.path());
            assert_eq!(value(&found, BOTO_FILE) == EMPTY_FILE, hidden, "{name}");
        }
    }

    #[test]
    fn the_region_is_the_commands_own_or_else_the_homes() {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config");
        let file = config.to_str().unwrap();
        let check = |pairs: &[(&str, &str)], expected: [&str; 2]| {
            let mut found = variables(pairs);
            set_region(&mut found, directory.path(), "home");
            let regions = ["AWS_REGION", "AWS_DEFAULT_REGION"].map(|name| value(&found, name));
            assert_eq!(regions, expected, "{pairs:?}");
        };
        check(&[], ["home", "home"]);
        check(&[("AWS_REGION", "a")], ["a", "a"]);
        check(&[("AWS_DEFAULT_REGION", "b")], ["b", "b"]);
        check(
            &[("AWS_REGION", "a"), ("AWS_DEFAULT_REGION", "b")],
            ["a", "b"],
        );
        std::fs::write(&config, "[default]\nregion = c\n").unwrap();
        check(&[("AWS_CONFIG_FILE", file)], ["c", "c"]);
        std::fs::write(&config, "[profile default]\nregion = d\n").unwrap();
        check(&[("AWS_CONFIG_FILE", file)], ["d", "d"]);
    }
}
