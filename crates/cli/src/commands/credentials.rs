//! `bowline credentials`: trades a certificate for temporary credentials.

use std::path::PathBuf;
use std::sync::Arc;

use bowline_service::{
    CreateSession, IssueCertificate, KeySpec, ListAssumableRoles, Moment, PrivateKey,
    SessionCredentials, certification_request, format_time, session_request,
};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::caller::{Connection, choose, session_ask};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::pair::{Pair, PairFiles};
use crate::render::shell_word;
use crate::times;

/// Trade a certificate for temporary credentials
///
/// Takes ./NAME.crt and ./NAME.key (or DIR/NAME), and signs a real Roles Anywhere request with them; needs no
/// running server. The role is the one the certificate can have; where it can have several they are listed
/// (exit 3), and --role chooses.
///
/// The JSON is what `credential_process` expects. `credentials operator` makes a 24 h operator certificate in
/// memory, for the home's owner.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline credentials web-1
  eval \"$(bowline credentials web-1 --format env)\"
  bowline credentials web-1 --server https://ca.example:8443 --root roots.pem
  in ~/.aws/config:  credential_process = bowline credentials /etc/web/web-1")]
pub(crate) struct Credentials {
    #[command(flatten)]
    whose: Whose,

    /// How long they shall last [default: as the profile says, 1h]
    #[arg(long, value_name = "DURATION", value_parser = times::seconds)]
    duration: Option<u32>,

    /// json for credential_process, env for a shell
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    format: CredentialsFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CredentialsFormat {
    /// One JSON document.
    Json,
    /// `export` lines.
    Env,
}

/// Whose certificate is traded, and for what.
#[derive(Clone, Debug, Args)]
pub(crate) struct Whose {
    /// The certificate: NAME for ./NAME.crt and ./NAME.key, or DIR/NAME
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// The role, by name or ARN
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,

    /// A file with the password of an encrypted key file
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// A name for the session, where the profile accepts one
    #[arg(long, value_name = "NAME")]
    pub(crate) session_name: Option<String>,
}

impl Credentials {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        let asked_at = context.now();
        let traded = self.whose.trade(context, self.duration)?;
        let credentials = traded.credentials;
        if let Some(seconds) = self.duration {
            let lasts = (credentials.expiration - asked_at).num_seconds();
            if lasts + CLOCKS_DIFFER < i64::from(seconds) {
                let until = format_time(credentials.expiration);
                context.hint(format_args!(
                    "they end at {until}, before the {seconds} s asked for: sessions last no longer than the profile says, nor than the certificate"
                ));
            }
        }
        print(context, &credentials, self.format)
    }
}

/// What a trade gave, and where.
pub(crate) struct Traded {
    /// The credentials.
    pub(crate) credentials: SessionCredentials,
    /// The region of the home that gave them.
    pub(crate) region: String,
}

impl Whose {
    /// Reads the certificate and its key, and finds where to trade them.
    pub(crate) fn open(&self, context: &mut Context<'_>) -> Result<(Arc<Pair>, Connection), Error> {
        let files = PairFiles::of(&self.name, context.directory());
        if files.certificate.exists() {
            let password = context.password(self.password_file.as_deref())?;
            let password = password.as_ref().map(|password| password.as_slice());
            let pair = Arc::new(files.load(password)?);
            let connection = context.connect_as(&pair)?;
            return Ok((pair, connection));
        }
        if self.name == "operator" {
            let connection = context.connect()?;
            return Ok((Arc::new(operator(&connection)?), connection));
        }
        Err(Error::PairMissing {
            name: self.name.clone(),
            path: files.certificate,
        })
    }

    /// Trades the certificate for credentials of the one role it can have, or of the one that was named.
    pub(crate) fn trade(
        &self,
        context: &mut Context<'_>,
        duration: Option<u32>,
    ) -> Result<Traded, Error> {
        let (pair, connection) = self.open(context)?;
        let offered = connection.call(ListAssumableRoles {
            certificate: pair.leaf().to_vec(),
            chain: pair.chain().to_vec(),
        })?;
        let because = offered.nearest_refusal.as_ref();
        let role = choose(&self.name, self.role.as_deref(), &offered.roles, because)?;
        let ask = session_ask(role, duration, self.session_name.clone());
        let server = connection.server();
        let host = server
            .as_ref()
            .map_or_else(|| "localhost".into(), |server| server.authority());
        let request = session_request(
            &ask,
            &host,
            &pair.certificates,
            &pair.key,
            &offered.region,
            context.now(),
        )?;
        let credentials = match server {
            Some(server) => server.create_session(&request)?,
            None => connection.call(CreateSession { request })?,
        };
        Ok(Traded {
            credentials,
            region: offered.region,
        })
    }
}

/// An operator's certificate that never touches a disk.
fn operator(connection: &Connection) -> Result<Pair, Error> {
    let key = PrivateKey::generate(KeySpec::P256)?;
    let issued = connection.call(IssueCertificate {
        name: "operator".into(),
        names: Vec::new(),
        roles: vec!["administrator".into()],
        not_before: None,
        not_after: Some(Moment::from(OPERATOR_LIFE)),
        certificate_profile: "operator".into(),
        csr: certification_request(&key)?,
    })?;
    let mut certificates = vec![issued.certificate];
    certificates.extend(issued.chain);
    Ok(Pair {
        name: "operator".into(),
        certificates,
        key: key.into(),
    })
}

/// What `credential_process` expects, member for member.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProcessCredentials<'a> {
    version: u32,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    session_token: &'a str,
    expiration: String,
}

/// Prints credentials. This is the one place where a secret leaves, to whoever asked for it.
pub(crate) fn print(
    context: &mut Context<'_>,
    credentials: &SessionCredentials,
    format: CredentialsFormat,
) -> Result<Exit, Error> {
    let (key, secret) = (
        &credentials.access_key_id,
        credentials.secret_access_key.reveal(),
    );
    let (token, expiration) = (
        credentials.session_token.reveal(),
        format_time(credentials.expiration),
    );
    match format {
        CredentialsFormat::Json => {
            let document = ProcessCredentials {
                version: 1,
                access_key_id: key,
                secret_access_key: secret,
                session_token: token,
                expiration,
            };
            let text = serde_json::to_string(&document).map_err(|error| {
                bowline_service::Error::internal(format!(
                    "credentials could not be encoded: {error}"
                ))
            })?;
            context.write(format_args!("{text}\n"))?;
        }
        CredentialsFormat::Env => {
            let lines = [
                ("AWS_ACCESS_KEY_ID", key.as_str()),
                ("AWS_SECRET_ACCESS_KEY", secret),
                ("AWS_SESSION_TOKEN", token),
                ("AWS_CREDENTIAL_EXPIRATION", expiration.as_str()),
            ];
            for (name, value) in lines {
                context.write(format_args!("export {name}={}\n", shell_word(value)))?;
            }
        }
    }
    Ok(Exit::SUCCESS)
}

/// How far apart, in seconds, two clocks may be before a session counts as cut short.
const CLOCKS_DIFFER: i64 = 60;
/// How long an operator's certificate lasts that was made for one use.
const OPERATOR_LIFE: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
