//! `bowline serve`: the server of a home.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_server::{Config, HttpOutbound, Limits, RateLimit};
use bowline_service::{Caller, Operation, Progress, Service, ShowSettings};
use bowline_store_sled::{CheckpointWatch, SledOptions};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::caller::{Local, repairs};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::files;
use crate::home::Opened;

/// Serve the home: IAM Roles Anywhere, STS, operations, CRLs and CA certificates
///
/// TLS comes from the home's own CA. Plain HTTP serves everything to this machine, and to others only what is
/// signed in itself (CRLs, CA certificates). While it runs, other commands on this machine go through its control
/// socket without further ado. SIGTERM and SIGINT end it in good order (exit 0).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bowline serve
  bowline serve --listen 0.0.0.0:8443 --name ca.example --plain-listen 0.0.0.0:8080
  bowline serve --listen 127.0.0.1:0 --plain-listen none --ready-file ready.json")]
pub(crate) struct Serve {
    /// The address for TLS; port 0 picks a free one; none leaves it out
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443", value_parser = listen)]
    listen: Listen,

    /// The address for plain HTTP; port 0 picks a free one; none leaves it out
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = listen)]
    plain_listen: Listen,

    /// A DNS name or address for the server's certificate, beside localhost and the addresses listened on
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,

    /// Write the URLs to this file, as JSON, once they are served
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,

    /// Serve the events of the log too, for mirrors and witnesses; without it only their hashes are served. Events
    /// name subjects and the addresses that asked
    #[arg(long)]
    publish_events: bool,

    /// Requests a second from one address (IPv6: one /64) that no access key was proved for, from this machine too;
    /// none for no bound. Without this, 1000/s from every address but this machine's
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate_per_address: Option<Rate>,

    /// Requests a second of one access key, from this machine too; none for no bound. Without this, 1000/s from every
    /// address but this machine's
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate_per_key: Option<Rate>,

    /// Answer a signed exchange, and a call of STS that is signed in its header, once only, for the ten minutes in
    /// which it could be sent again. A client that repeats one after a lost answer must sign it anew
    #[arg(long)]
    refuse_replays: bool,

    /// How to log to standard error: text or json
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    log_format: LogFormat,
}

/// An address to listen on, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listen(Option<SocketAddr>);

fn listen(text: &str) -> Result<Listen, String> {
    if text == "none" {
        return Ok(Listen(None));
    }
    let address = text.parse().map_err(|_| {
        format!("{text:?} is not an address and port, as in 127.0.0.1:8443, nor none")
    })?;
    Ok(Listen(Some(address)))
}

/// A bound on requests a second, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate(Option<NonZeroU32>);

fn rate(text: &str) -> Result<Rate, String> {
    if text == "none" {
        return Ok(Rate(None));
    }
    let number = text.strip_suffix("/s").unwrap_or(text);
    let number = number.parse().map_err(|_| {
        format!("{text:?} is not a number of requests a second from 1, as in 200/s, nor none")
    })?;
    Ok(Rate(Some(number)))
}

impl Rate {
    /// What was asked for counts for this machine too.
    fn limit(self) -> Option<RateLimit> {
        self.0.map(|per_second| RateLimit {
            per_second,
            on_loopback: true,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs, one document a line.
    Json,
}

/// Where it is served.
#[derive(Serialize)]
struct Urls {
    #[serde(skip_serializing_if = "Option::is_none")]
    https: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<String>,
}

impl Serve {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Exit, Error> {
        if context.global().server.is_some() {
            return Err(Error::Usage(
                "serve serves a home on this machine: leave --server (BOWLINE_SERVER) out".into(),
            ));
        }
        if self.listen.0.is_none() && self.plain_listen.0.is_none() {
            return Err(Error::Usage(
                "nothing to listen on: --listen and --plain-listen are both none".into(),
            ));
        }
        start_log(self.log_format);
        let local = context.local(context.home()?);
        let (service, notes) = open(&local, &mut tell())?;
        for note in notes {
            tracing::warn!("the home was repaired: {note}");
        }
        let names = server_names(&service, &self.names, [self.listen.0, self.plain_listen.0]);
        let config = Config {
            tls: self.listen.0,
            plain: self.plain_listen.0,
            control_socket: Some(local.home.control_socket()),
            names,
            publish_events: self.publish_events,
        };
        let mut limits = Limits {
            refuse_replays: self.refuse_replays,
            ..Limits::default()
        };
        if let Some(rate) = self.rate_per_address {
            limits.rate_per_address = rate.limit();
        }
        if let Some(rate) = self.rate_per_key {
            limits.rate_per_key = rate.limit();
        }
        let mut running = bowline_server::serve_within(service, config, limits)?;
        running.take_signals()?;
        let urls = Urls {
            https: running.tls.map(|address| format!("https://{address}")),
            http: running.plain.map(|address| format!("http://{address}")),
        };
        let ready_file = self.ready_file.map(|file| context.path(&file));
        announce(context, &urls, ready_file.as_ref())?;
        tracing::info!(https = urls.https, http = urls.http, "serving");
        running.run_until_signal();
        tracing::info!("stopped");
        if let Some(file) = ready_file {
            files::remove(&file)?;
        }
        Ok(Exit::SUCCESS)
    }
}

/// Tells where it is served, once it is.
fn announce(
    context: &mut Context<'_>,
    urls: &Urls,
    ready_file: Option<&PathBuf>,
) -> Result<(), Error> {
    let text: String = [&urls.https, &urls.http]
        .into_iter()
        .flatten()
        .map(|url| format!("serving {url}\n"))
        .collect();
    context.print(urls, text)?;
    context
        .environment()
        .output
        .flush()
        .map_err(Error::output)?;
    if let Some(file) = ready_file {
        // Cannot fail: two texts.
        let document = serde_json::to_string(urls).unwrap_or_default() + "\n";
        files::write(file, document.as_bytes())?;
    }
    Ok(())
}

/// Opens a home for long, with everything it takes to answer.
pub(crate) fn open(
    local: &Local,
    watch: &mut dyn FnMut(Progress),
) -> Result<(Arc<Service>, Vec<String>), Error> {
    let store = match local.home.open(&SledOptions::server(), watch)? {
        Opened::Here(store) => store,
        Opened::Served(_) => {
            // Whose process it is, the lock's notes say.
            let pid = bowline_store_sled::holder(local.home.path())
                .ok()
                .flatten()
                .and_then(|holder| holder.pid);
            return Err(Error::Served {
                home: local.home.path().to_owned(),
                pid,
            });
        }
    };
    let notes = repairs(&store.opening().actions);
    tell_failed_checkpoints(store.checkpoint_watch());
    let service = local.service(store)?;
    let service = Arc::new(service.with_outbound(Arc::new(HttpOutbound::default())));
    // A home whose secrets do not open says so now, not to its first client.
    service.ready()?;
    Ok((service, notes))
}

/// Tells the log of checkpoints that are not made, and that they are again: the journal grows meanwhile.
fn tell_failed_checkpoints(checkpoints: CheckpointWatch) {
    let watch = move || {
        let mut told: Option<String> = None;
        while let Ok(failure) = checkpoints.failure() {
            match &failure {
                Some(why) if told != failure => {
                    tracing::warn!("no checkpoint was made, the journal grows: {why}");
                }
                None if told.is_some() => tracing::info!("checkpoints are made again"),
                Some(_) | None => {}
            }
            told = failure;
            std::thread::sleep(CHECKPOINTS_LOOKED_AT_EVERY);
        }
    };
    let thread = std::thread::Builder::new().name("checkpoint-watch".into());
    // Without it the doctor tells.
    let _ = thread.spawn(watch);
}

/// Tells the log how far opening is: each step once, and then from time to time.
fn tell() -> impl FnMut(Progress) {
    let mut told: Option<(&'static str, Instant)> = None;
    move |Progress { step, done, total }| {
        if told.is_none_or(|(last, at)| last != step || at.elapsed() >= TOLD_EVERY) {
            tracing::info!(done, total, "opening the home: {step}");
            told = Some((step, Instant::now()));
        }
    }
}

/// What clients may call the server: the names given, this machine, what is listened on, and what the home's
/// certificates say it is.
pub(crate) fn server_names(
    service: &Service,
    given: &[String],
    addresses: [Option<SocketAddr>; 2],
) -> Vec<String> {
    let mut names: Vec<String> = given.to_vec();
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    let addresses = addresses.into_iter().flatten().map(|address| address.ip());
    names.extend(
        addresses
            .filter(|address| !address.is_unspecified())
            .map(|address| address.to_string()),
    );
    let settings = (ShowSettings {}).run(service, &Caller::Operator).ok();
    names.extend(
        settings
            .and_then(|settings| settings.url)
            .as_deref()
            .and_then(host_of),
    );
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// The host of a URL.
fn host_of(url: &str) -> Option<String> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    if let Some(address) = authority.strip_prefix('[') {
        return Some(address.split_once(']')?.0.to_owned());
    }
    Some(authority.split(':').next()?.to_owned()).filter(|host| !host.is_empty())
}

pub(crate) fn start_log(format: LogFormat) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::new("info");
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // A full disk under standard error is no reason to end.
        .log_internal_errors(false);
    // Fails where a log is set up already, which then is the one to use.
    let _ = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

/// A checkpoint that failed is tried again every minute.
const CHECKPOINTS_LOOKED_AT_EVERY: Duration = Duration::from_secs(20);
/// How often the log hears of an opening that takes long.
const TOLD_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_its_port() {
        assert_eq!(
            listen("127.0.0.1:0"),
            Ok(Listen(Some(([127, 0, 0, 1], 0).into())))
        );
        assert_eq!(listen("none"), Ok(Listen(None)));
        for text in ["127.0.0.1", "localhost:8443", ""] {
            assert!(listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_host_of_a_url_has_no_port_and_no_path() {
        let hosts = [
            "http://ca.test",
            "http://ca.test:8080/pki",
            "https://[::1]:8443",
        ]
        .map(|url| host_of(url).unwrap());
        assert_eq!(hosts, ["ca.test", "ca.test", "::1"]);
    }
}
