//! `bowline sandbox`: runs a command in a throw-away home with a server, gone at exit whatever happens.
//!
//! [`document`] is what to make in the home, [`janitor`] what makes sure that nothing stays.

mod document;
mod janitor;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bowline_server::{Config, Running};
use bowline_service::{
    CreateSession, ListAssumableRoles, Service, SessionCredentials, ShowSettings, UpdateProfile,
    session_request,
};
use bowline_store_sled::SledOptions;
use clap::Args;

use crate::Environment;
use crate::aws_files::{AwsFile, Sections};
use crate::caller::{Connection, Local, choose, session_ask};
use crate::child;
use crate::commands::serve;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::home::Home;
use crate::pair::PairFiles;
use document::{Certificate, Document, SESSION_SECONDS};
pub(crate) use janitor::SandboxJanitor;
use janitor::Watch;

/// Run a command in a throw-away home with a server on free ports
///
/// Makes a home, a role and a certificate, serves them, trades the certificate, and runs the command with everything that
/// AWS's tools look for in its environment: credentials, region, the endpoint of STS and the roots to believe it by. When
/// the command ends, or this program is killed, nothing is left. The command's exit code is this program's.
///
/// Without --apply there is one role that may do everything, `sandbox`, and one certificate for it. With --apply a TOML
/// file says what there is; the credentials in the environment are those of its first certificate. Each
/// certificate is also a profile: name it with --profile, because AWS_PROFILE does not win over credentials in the
/// environment.
#[derive(Debug, Args)]
#[command(after_help = "\
The command finds:
  AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN   credentials for up to 12 h
  AWS_REGION AWS_DEFAULT_REGION AWS_CA_BUNDLE                 the region, and the roots of the sandbox
  AWS_ENDPOINT_URL_STS AWS_ENDPOINT_URL_ROLESANYWHERE         the sandbox's server
  AWS_CONFIG_FILE                                             a profile for each certificate
  BOWLINE_HOME BOWLINE_SANDBOX                                the home; the directory with the certificates and their keys
  BOWLINE_SANDBOX_HTTPS BOWLINE_SANDBOX_HTTP                  the server's URLs
  BOWLINE_TRUST_ANCHOR_ARN BOWLINE_PROFILE_ARN BOWLINE_ROLE_ARN   for clients of IAM Roles Anywhere
Examples:
  bowline sandbox -- aws sts get-caller-identity
  bowline sandbox --apply ci.toml -- pytest
In ci.toml:
  [[role]]
  name = \"reader\"
  allow = [\"s3:GetObject\"]
  on = [\"arn:aws:s3:::data/*\"]
  [[certificate]]
  name = \"web-1\"
  roles = [\"reader\"]")]
pub(crate) struct Sandbox {
    /// What to make in the home, a TOML file: tables `role`, `profile` and `certificate`
    #[arg(long, value_name = "FILE")]
    apply: Option<PathBuf>,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Sandbox {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let document = match &self.apply {
            Some(file) => Document::read(file, &context.read_text(file)?)?,
            None => Document::usual(),
        };
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(Error::Usage("a command is needed behind --".into()));
        };
        // 1. A place that goes away: when dropped, and by the janitor if this process never gets so far.
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir()
            .map_err(|error| Error::file("create a directory in", &std::env::temp_dir(), error))?;
        let mut watch = Watch::over(directory.path())?;

        // 2. A home with what was asked for, and its server.
        let sandbox = Place::new(context, directory.path());
        let certificates = sandbox.furnish(context, document, self.apply.as_deref())?;
        let (service, running) = sandbox.serve()?;

        // 3. The command, in an environment where that is what is found.
        let variables = sandbox.variables(context, service, &running, &certificates)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(&variables)
            .current_dir(context.directory());
        let ended = child::run(context, &mut command, &mut |pid| watch.runs(pid));

        // 4. The end of it.
        running.stop();
        let removed = directory.close();
        watch.dismiss();
        removed
            .map_err(|error| Error::file("remove the directory of", Path::new(PREFIX), error))?;
        Ok(ended)
    }
}

/// Where a sandbox is.
struct Place {
    directory: PathBuf,
    local: Local,
}

impl Place {
    fn new(context: &Context<'_>, directory: &Path) -> Place {
        let local = Local {
            home: Home::at(directory.join("home")),
            clock: context.clock(),
            entropy: context.entropy(),
            password_file: None,
            variables: BTreeMap::new(),
        };
        Place {
            directory: directory.to_owned(),
            local,
        }
    }

    /// The home in another process's hands.
    fn local(&self) -> Local {
        Local {
            home: self.local.home.clone(),
            clock: self.local.clock.clone(),
            entropy: self.local.entropy.clone(),
            password_file: None,
            variables: BTreeMap::new(),
        }
    }

    /// Makes the home and everything in it, which a file says if there is one. Gives the certificates.
    fn furnish(
        &self,
        context: &Context<'_>,
        mut document: Document,
        file: Option<&Path>,
    ) -> Result<Vec<Certificate>, Error> {
        self.command(context, &["init", "--name", "sandbox"])?;
        {
            let options = SledOptions::one_shot();
            let (connection, _) = Connection::local(self.local(), &options, &mut |_| {})?;
            connection.call(UpdateProfile {
                profile: "default".into(),
                duration_seconds: Some(SESSION_SECONDS),
                ..UpdateProfile::default()
            })?;
            document.apply(&connection)?;
        }
        for Certificate { name, roles, names } in document.certificates() {
            let mut line = vec!["issue", name];
            for role in roles {
                line.extend(["--role", role]);
            }
            for name in names {
                line.extend(["--san", name]);
            }
            self.command(context, &line)
                .map_err(|error| match (error, file) {
                    // What the file asks for is the fault of who wrote it.
                    (Error::Story { what, .. }, Some(file)) => Error::Usage(format!(
                        "{}: certificate {name:?} cannot be issued: {}",
                        file.display(),
                        what.trim_start_matches("bowline: ")
                    )),
                    (error, _) => error,
                })?;
        }
        let bundle = self.command(context, &["ca", "bundle"])?;
        files::write(&self.roots(), bundle.as_bytes())?;
        Ok(document.certificates().to_vec())
    }

    fn roots(&self) -> PathBuf {
        self.directory.join("roots.pem")
    }

    /// Runs one of this program's commands in the sandbox, which must succeed. Gives what it printed.
    fn command(&self, context: &Context<'_>, line: &[&str]) -> Result<String, Error> {
        let (mut output, mut messages) = (Vec::new(), Vec::new());
        let environment = Environment {
            clock: context.clock(),
            entropy: context.entropy(),
            input: &mut std::io::empty(),
            output: &mut output,
            messages: &mut messages,
            messages_are_terminal: false,
            variables: BTreeMap::from([(
                "BOWLINE_HOME".into(),
                self.local.home.path().as_os_str().to_owned(),
            )]),
            directory: self.directory.clone(),
        };
        let exit = crate::run(["bowline"].iter().chain(line), environment);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        match exit == Exit::SUCCESS {
            true => Ok(text(output)),
            false => Err(Error::Story {
                step: format!("bowline {}", line.join(" ")),
                what: text(messages).trim().into(),
            }),
        }
    }

    fn serve(&self) -> Result<(Arc<Service>, Running), Error> {
        let (service, _) = serve::open(&self.local(), &mut |_| {})?;
        let loopback = Some(([127, 0, 0, 1], 0).into());
        let running = bowline_server::serve(
            service.clone(),
            Config {
                tls: loopback,
                plain: loopback,
                control_socket: Some(self.local.home.control_socket()),
                names: serve::server_names(&service, &[], [loopback, None]),
                ..Config::default()
            },
        )?;
        Ok((service, running))
    }

    /// What the command finds in its environment.
    fn variables(
        &self,
        context: &mut Context<'_>,
        service: Arc<Service>,
        running: &Running,
        certificates: &[Certificate],
    ) -> Result<BTreeMap<OsString, OsString>, Error> {
        let mut variables = context.environment().variables.clone();
        child::hide_credentials(&mut variables);
        let https = running.tls.map(|at| format!("https://{at}"));
        let http = running.plain.map(|at| format!("http://{at}"));
        let (https, http) = (https.unwrap_or_default(), http.unwrap_or_default());
        let connection = Connection::here(service);
        let region = connection.call(ShowSettings {})?.region;
        let config = self.directory.join("aws-config");
        for (name, value) in [
            ("AWS_REGION", region.as_str()),
            ("AWS_DEFAULT_REGION", &region),
            ("AWS_ENDPOINT_URL_STS", &https),
            ("AWS_ENDPOINT_URL_ROLESANYWHERE", &https),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("BOWLINE_SANDBOX_HTTPS", &https),
            ("BOWLINE_SANDBOX_HTTP", &http),
        ] {
            variables.insert(name.into(), value.into());
        }
        for name in [
            "BOWLINE_SERVER",
            "BOWLINE_ROOT",
            "BOWLINE_FINGERPRINT",
            "BOWLINE_AS",
        ] {
            variables.remove(&OsString::from(name));
        }
        for (name, path) in [
            ("AWS_CA_BUNDLE", self.roots()),
            ("AWS_CONFIG_FILE", config.clone()),
            ("BOWLINE_HOME", self.local.home.path().to_owned()),
            ("BOWLINE_SANDBOX", self.directory.clone()),
        ] {
            variables.insert(name.into(), path.into());
        }
        if let Some(first) = certificates.first() {
            for (name, value) in self.credentials(&connection, first)? {
                variables.insert(name.into(), value.into());
            }
        }
        files::write(
            &config,
            self.profiles(&region, certificates)?.text().as_bytes(),
        )?;
        Ok(variables)
    }

    /// Trades a certificate for credentials of its first role.
    fn credentials(
        &self,
        connection: &Connection,
        certificate: &Certificate,
    ) -> Result<Vec<(&'static str, String)>, Error> {
        let name = &certificate.name;
        let pair = PairFiles::of(name, &self.directory).load(None)?;
        let offered = connection.call(ListAssumableRoles {
            certificate: pair.leaf().to_vec(),
            chain: pair.chain().to_vec(),
        })?;
        let because = offered.nearest_refusal.as_ref();
        let wanted = certificate.roles.first().map(String::as_str);
        let role = choose(name, wanted, &offered.roles, because)?;
        let request = session_request(
            &session_ask(role, None, None),
            "localhost",
            &pair.certificates,
            &pair.key,
            &offered.region,
            self.local.clock.now(),
        )?;
        let SessionCredentials {
            access_key_id,
            secret_access_key,
            session_token,
            ..
        } = connection.call(CreateSession { request })?;
        Ok(vec![
            ("AWS_ACCESS_KEY_ID", access_key_id),
            ("AWS_SECRET_ACCESS_KEY", secret_access_key.reveal().into()),
            ("AWS_SESSION_TOKEN", session_token.reveal().into()),
            ("BOWLINE_TRUST_ANCHOR_ARN", role.trust_anchor_arn.clone()),
            ("BOWLINE_PROFILE_ARN", role.profile_arn.clone()),
            ("BOWLINE_ROLE_ARN", role.role_arn.clone()),
        ])
    }

    /// A profile of AWS's tools for each certificate.
    fn profiles(&self, region: &str, certificates: &[Certificate]) -> Result<Sections, Error> {
        let program = std::env::current_exe()
            .map_err(|error| Error::file("find", Path::new("bowline"), error))?;
        let mut config = Sections::default();
        for Certificate { name, roles, .. } in certificates {
            let role = roles.first().map_or("", String::as_str);
            let process = format!(
                "credential_process = \"{}\" credential-process \"{}\" --no-cache --home \"{}\" --role \"{role}\"",
                program.display(),
                self.directory.join(name).display(),
                self.local.home.path().display(),
            );
            let lines = [format!("region = {region}"), process];
            config.put(&AwsFile::Config.section(name), &lines);
        }
        Ok(config)
    }
}

/// What the directory of every sandbox begins with.
const PREFIX: &str = "bowline-sandbox-";

#[cfg(test)]
mod tests;
