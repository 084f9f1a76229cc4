//! The endpoint's listener: connections, their limits, and the way of a request from its head to its answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_service::{Clock, Entropy, Secret};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::imds::Asked;
use super::tokens::Tokens;
use super::{CredentialSource, MetadataConfig, Provided, container, door, imds};
use crate::listen::ServeError;

/// An endpoint that serves until it is told to stop, or dropped.
pub struct RunningMetadata {
    /// Where it is served.
    pub address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
    /// SIGTERM and SIGINT.
    signals: Option<(Signal, Signal)>,
    stop: watch::Sender<bool>,
    accepting: Option<tokio::task::JoinHandle<()>>,
}

/// What every request is answered with.
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) region: Option<String>,
    source: Arc<dyn CredentialSource>,
    imds: bool,
    container: Option<(String, Secret)>,
    names: Vec<String>,
    hop_limit: u8,
    tokens: Mutex<Tokens>,
}

/// An answer, whole.
pub(super) type Answer = Response<Full<Bytes>>;

pub(super) fn start(
    config: MetadataConfig,
    source: Arc<dyn CredentialSource>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<RunningMetadata, ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Requests take microseconds; whatever takes longer is done by the threads for blocking work.
        .worker_threads(1)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .thread_name("metadata")
        .build()
        .map_err(|error| ServeError::Runtime {
            reason: error.to_string(),
        })?;
    let refuse = |error: io::Error| ServeError::Listen {
        at: config.listen.to_string(),
        reason: error.to_string(),
    };
    let listener = runtime
        .block_on(TcpListener::bind(config.listen))
        .map_err(refuse)?;
    let address = listener.local_addr().map_err(refuse)?;
    limit_hops(&listener, address.ip(), config.hop_limit).map_err(refuse)?;
    let shared = Arc::new(Shared {
        clock,
        entropy,
        region: config.region,
        source,
        imds: config.imds,
        container: config
            .container_token
            .map(|token| (config.container_path, token)),
        names: config.names,
        hop_limit: config.hop_limit,
        tokens: Mutex::default(),
    });
    let (stop, stopped) = watch::channel(false);
    let accepting = runtime.spawn(accept(listener, shared, stopped));
    Ok(RunningMetadata {
        address,
        runtime: Some(runtime),
        signals: None,
        stop,
        accepting: Some(accepting),
    })
}

impl RunningMetadata {
    /// From here on SIGTERM and SIGINT do not end the process but [`RunningMetadata::run_until_signal`]. To be called
    /// before anybody is told that it serves.
    pub fn take_signals(&mut self) -> Result<(), ServeError> {
        let Some(runtime) = &self.runtime else {
            return Ok(());
        };
        let _inside = runtime.enter();
        let listen = |kind| {
            signal(kind).map_err(|error| ServeError::Runtime {
                reason: error.to_string(),
            })
        };
        self.signals = Some((
            listen(SignalKind::terminate())?,
            listen(SignalKind::interrupt())?,
        ));
        Ok(())
    }

    /// Blocks until a signal that was taken comes, or has come; then stops. Stops at once where none was taken.
    pub fn run_until_signal(mut self) {
        if let (Some(runtime), Some((terminate, interrupt))) = (&self.runtime, &mut self.signals) {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
        }
        self.stop();
    }

    /// Stops accepting, lets requests in flight finish for a bounded time, and returns.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        let _ = self.stop.send(true);
        if let Some(runtime) = self.runtime.take() {
            if let Some(accepting) = self.accepting.take() {
                let _ = runtime.block_on(accepting);
            }
            // A trade that hangs must not keep the process.
            runtime.shutdown_background();
        }
    }
}

impl Drop for RunningMetadata {
    fn drop(&mut self) {
        self.shut_down();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors: wait for some to be closed rather than spin.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            continue;
        };
        let (shared, stopped) = (shared.clone(), stopped.clone());
        connections.spawn(async move {
            serve(stream, shared, stopped).await;
            drop(place);
        });
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(DRAIN_TIME, all_ended).await;
    connections.shutdown().await;
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let Ok(own) = stream.local_addr().map(|address| address.ip()) else {
        return;
    };
    // The listener's limit is inherited on Linux only.
    if limit_hops(&stream, own, shared.hop_limit).is_err() {
        return;
    }
    let _ = stream.set_nodelay(true);
    let answer = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, std::convert::Infallible>(shared.answer(request, own).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    // What goes wrong on one connection is its client's to notice.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = tokio::time::sleep(CONNECTION_TIME) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(DRAIN_TIME, connection).await;
}

impl Shared {
    pub(super) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self: Arc<Shared>, request: Request<Incoming>, own: IpAddr) -> Answer {
        // The body is not looked at: nothing here has one, and it is not read.
        let (head, _) = request.into_parts();
        let (path, headers) = (head.uri.path(), &head.headers);
        // 1. Who may ask at all.
        if let Some(why) = door::refusal(headers, own, &self.names) {
            return text(StatusCode::FORBIDDEN, why);
        }
        // 2. The container form.
        if let Some((at, token)) = &self.container
            && path == at
        {
            return match container::refusal(token, &head.method, headers) {
                Some(refused) => refused,
                None => container::credentials(self.current().await),
            };
        }
        // 3. The instance form.
        if !self.imds {
            return imds::nothing();
        }
        let asked = Asked::of(path);
        if asked == Asked::Token {
            return imds::grant_token(&self, &head.method, headers);
        }
        if let Some(refused) = imds::refusal(&self, &head.method, headers) {
            return refused;
        }
        match asked {
            Asked::RoleName | Asked::Credentials(_) => {
                imds::credentials(&asked, self.current().await)
            }
            Asked::Token | Asked::Region | Asked::Zone | Asked::Document | Asked::Nothing => {
                imds::facts(&self, &asked)
            }
        }
    }

    /// Credentials that are good now, whatever their source says.
    async fn current(&self) -> Result<Provided, String> {
        let source = self.source.clone();
        let asked = tokio::task::spawn_blocking(move || source.current());
        let provided = asked.await.map_err(|_| {
            "the credentials could not be got: a fault of this program".to_owned()
        })??;
        if provided.expiration <= self.clock.now() {
            return Err("the credentials have expired".into());
        }
        Ok(provided)
    }
}

/// An answer in plain text.
pub(super) fn text(status: StatusCode, text: &str) -> Answer {
    finish(status, text.as_bytes().to_vec(), "text/plain")
}

/// An answer in JSON.
pub(super) fn json(
    status: StatusCode,
    document: &impl Serialize,
    media_type: &'static str,
) -> Answer {
    // Cannot fail: texts only.
    let body = serde_json::to_vec(document).unwrap_or_default();
    finish(status, body, media_type)
}

fn finish(status: StatusCode, body: Vec<u8>, media_type: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static(media_type),
    );
    headers.insert(
        http::header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    // A refusal may leave a body unread; what comes behind it must not be taken for a request.
    if !status.is_success() {
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Sets how far packets of this socket go.
fn limit_hops(socket: &impl AsFd, own: IpAddr, hops: u8) -> io::Result<()> {
    match own {
        IpAddr::V4(_) => sockopt::set_ip_ttl(socket, hops.into())?,
        IpAddr::V6(_) => sockopt::set_ipv6_unicast_hops(socket, Some(hops))?,
    }
    Ok(())
}

/// Connections at once. SDKs close theirs after a request or two.
const CONNECTIONS_MAX: usize = 256;
/// Threads that may wait for credentials at once; further requests wait for one of them.
const BLOCKING_THREADS: usize = 8;
/// How long the headers of a request may take.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// How long a connection may stand, so that idle ones do not take all places.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// How long requests in flight may go on after the end was asked for.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The most bytes of a request's headers: those of SDKs are under 1 KB.
const HEADER_BYTES: usize = 16 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hop_limit_is_the_sockets() {
        let four = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        limit_hops(&four, IpAddr::from([127, 0, 0, 1]), 7).unwrap();
        assert_eq!(sockopt::ip_ttl(&four).unwrap(), 7);
        // A machine may have no IPv6.
        if let Ok(six) = std::net::TcpListener::bind("[::1]:0") {
            limit_hops(&six, std::net::Ipv6Addr::LOCALHOST.into(), 7).unwrap();
            assert_eq!(sockopt::ipv6_unicast_hops(&six).unwrap(), 7);
        }
    }
}
