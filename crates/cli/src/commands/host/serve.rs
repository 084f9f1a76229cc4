//! `bowline host serve`: credentials for the programs of a host, as instances and containers of AWS get them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bowline_server::metadata::{CONTAINER_PATH, MetadataConfig, serve_metadata};
use bowline_service::{Entropy, Secret};
use clap::Args;
use serde::Serialize;

use crate::commands::serve::{LogFormat, start_log};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::keeper::Source;

/// Serve credentials to the programs of this host, as AWS's instances and containers get them
///
/// Two forms, each found by AWS's SDKs by themselves: the instance metadata service, version 2 (IMDSv2), for programs
/// with AWS_EC2_METADATA_SERVICE_ENDPOINT, on loopback only; and with --container-token-file the container endpoint, for
/// programs with AWS_CONTAINER_CREDENTIALS_FULL_URI and the token. Elsewhere than on loopback only the second is served.
///
/// Credentials are traded ahead of their end, and at once when the certificate is replaced. A trade that fails is told on
/// standard error and tried again; those there are go on until they expire, and expired ones are never served.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline host serve /etc/web/web-1 --server https://ca.example:8443 --root /etc/web/roots.pem
  AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9911/ aws s3 ls")]
pub(crate) struct Serve {
    #[command(flatten)]
    source: Source,

    /// The port on loopback; 0 picks a free one
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 9911,
        help_heading = "Endpoint"
    )]
    port: u16,

    /// The address instead, with its port
    #[arg(
        long,
        value_name = "ADDRESS",
        conflicts_with = "port",
        help_heading = "Endpoint"
    )]
    listen: Option<SocketAddr>,

    /// How many routers answers may pass (the IP time-to-live); 1 keeps them on this machine
    #[arg(long, value_name = "HOPS", default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..), help_heading = "Endpoint")]
    hop_limit: u8,

    /// Serve the container form too: to who shows the token in this file, which is made if it is not there
    #[arg(long, value_name = "FILE", help_heading = "Endpoint")]
    container_token_file: Option<PathBuf>,

    /// The path of the container form
    #[arg(long, value_name = "PATH", default_value = CONTAINER_PATH, value_parser = path, help_heading = "Endpoint")]
    container_path: String,

    /// Do not serve the instance form
    #[arg(long, requires = "container_token_file", help_heading = "Endpoint")]
    no_imds: bool,

    /// A name or address that clients have for this host, beside localhost and the addresses listened on
    #[arg(long = "name-of-host", value_name = "NAME", help_heading = "Endpoint")]
    names: Vec<String>,

    /// Write the URL to this file, as JSON, once it is served
    #[arg(long, value_name = "FILE", help_heading = "Endpoint")]
    ready_file: Option<PathBuf>,

    /// How to log to standard error: text or json
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true,
        help_heading = "Endpoint"
    )]
    log_format: LogFormat,
}

/// Where it is served.
#[derive(Serialize)]
struct Urls {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
}

fn path(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    match text.starts_with('/') && text.bytes().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is not a path, as in /credentials")),
    }
}

impl Serve {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        start_log(self.log_format);
        let listen = self
            .listen
            .unwrap_or_else(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port));
        if !listen.ip().is_loopback() && self.container_token_file.is_none() {
            return Err(Error::Usage(format!(
                "--listen {listen}: elsewhere than on loopback credentials are served only to who shows a token: give --container-token-file FILE"
            )));
        }
        let container_token = match &self.container_token_file {
            Some(file) => Some(token_in(&context.path(file), &*context.entropy())?),
            None => None,
        };
        let keeper = self.source.keeper(context)?;
        let region = keeper.first_if_reachable()?.map(|traded| traded.region);
        let has_container = container_token.is_some();
        let config = MetadataConfig {
            listen,
            imds: !self.no_imds && listen.ip().is_loopback(),
            container_token,
            container_path: self.container_path.clone(),
            hop_limit: self.hop_limit,
            region: region.or_else(|| Some(context.region())),
            names: self.names,
        };
        let mut running =
            serve_metadata(config, Arc::new(keeper), context.clock(), context.entropy())?;
        running.take_signals()?;
        let urls = Urls {
            url: format!("http://{}/", running.address),
            container: has_container
                .then(|| format!("http://{}{}", running.address, self.container_path)),
        };
        let text = format!("serving {}\n", urls.url);
        context.print(&urls, text)?;
        context
            .environment()
            .output
            .flush()
            .map_err(Error::output)?;
        let ready_file = self.ready_file.map(|file| context.path(&file));
        if let Some(file) = &ready_file {
            // Cannot fail: two texts.
            let document = serde_json::to_string(&urls).unwrap_or_default() + "\n";
            files::write(file, document.as_bytes())?;
        }
        tracing::info!(url = urls.url, "serving credentials");
        running.run_until_signal();
        tracing::info!("stopped");
        if let Some(file) = ready_file {
            files::remove(&file)?;
        }
        Ok(Exit::SUCCESS)
    }
}

/// The token in a file; a new one in a new file if there is none.
fn token_in(file: &Path, entropy: &dyn Entropy) -> Result<Secret, Error> {
    if !file.exists() {
        let mut bytes = [0; TOKEN_BYTES];
        entropy.fill(&mut bytes);
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        files::create_secret(file, token.as_bytes())?;
    }
    let mode = std::fs::metadata(file).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o007 != 0) {
        tracing::warn!(
            "everybody on this host may read the token in {}: `chmod o= {}`",
            file.display(),
            file.display()
        );
    }
    let invalid = |reason: String| {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
        Error::file("use", file, source)
    };
    let bytes = zeroize::Zeroizing::new(files::read(file)?);
    let line = files::first_line(&bytes);
    let plain = line.iter().all(u8::is_ascii_graphic);
    let token = std::str::from_utf8(&line).ok().filter(|_| plain);
    let token = token.ok_or_else(|| {
        invalid("a token is one line of letters, digits and signs, without spaces".into())
    })?;
    if token.len() < TOKEN_CHARACTERS_MIN {
        return Err(invalid(format!(
            "its token has {} characters, and at least {TOKEN_CHARACTERS_MIN} are needed: remove it, and a new one is made",
            token.len()
        )));
    }
    Ok(Secret::from(token.to_owned()))
}

/// Nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;
/// The shortest token accepted: 128 bits in hexadecimal digits would be 32 characters, and 22 in base64.
const TOKEN_CHARACTERS_MIN: usize = 22;

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_service::SystemEntropy;

    #[test]
    fn a_token_is_made_once_and_is_its_owners() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let token = token_in(&file, &SystemEntropy).unwrap();
        assert_eq!(token.reveal().len(), 64);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = token_in(&file, &SystemEntropy).unwrap();
        assert_eq!(again.reveal(), token.reveal());
    }

    #[test]
    fn a_token_that_is_short_or_no_line_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        for text in [
            "",
            "short\n",
            "a token with spaces in it, though long",
            "\u{fc}ber die zweiundzwanzig",
        ] {
            std::fs::write(&file, text).unwrap();
            assert!(token_in(&file, &SystemEntropy).is_err(), "{text:?}");
        }
        std::fs::write(&file, "0123456789abcdef0123456789abcdef\r\n").unwrap();
        let token = token_in(&file, &SystemEntropy).unwrap();
        assert_eq!(token.reveal().len(), 32);
    }

    #[test]
    fn a_path_begins_with_a_slash() {
        assert!(path("/credentials").is_ok() && path("/v1/web-1").is_ok());
        for text in ["", "credentials", "/a b", "/a?b", "/a\n"] {
            assert!(path(text).is_err(), "{text:?}");
        }
    }
}
