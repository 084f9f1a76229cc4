//! Listening: TLS, plain HTTP and the control socket; limits on connections; a stop that lets requests finish.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline_service::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::admission::{Admission, Admitted, FILES_MIN, connections_that_fit, files_missing};
use crate::commits::Commits;
use crate::connection::{self, Version};
use crate::limits::Limits;
use crate::message::Via;
use crate::pool::Pool;
use crate::router::Router;
use crate::tls::{self, OwnCertificate};
use crate::upkeep::{Ticker, keep_certificate_fresh};

/// Where to listen, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The address for TLS. Port 0 picks a free one.
    pub tls: Option<SocketAddr>,
    /// The address for plain HTTP. Port 0 picks a free one.
    pub plain: Option<SocketAddr>,
    /// The control socket's path.
    pub control_socket: Option<PathBuf>,
    /// The DNS names and addresses in the server's certificate.
    pub names: Vec<String>,
    /// Whether the entries of the event log are published too. They name subjects and addresses.
    pub publish_events: bool,
}

/// A server that runs until it is told to stop.
pub struct Running {
    /// Where TLS is answered.
    pub tls: Option<SocketAddr>,
    /// Where plain HTTP is answered.
    pub plain: Option<SocketAddr>,
    runtime: Option<tokio::runtime::Runtime>,
    /// SIGTERM and SIGINT.
    signals: Option<(Signal, Signal)>,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    control_socket: Option<PathBuf>,
    ticker: Ticker,
    leave_time: Duration,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address or path cannot be listened on.
    #[error("cannot listen on {at}: {reason}")]
    Listen {
        /// The address or path.
        at: String,
        /// What the system said.
        reason: String,
    },
    /// The server's own certificate could not be issued.
    #[error("no certificate for the server: {reason}")]
    Certificate {
        /// Why.
        reason: String,
    },
    /// This user may not have enough files open.
    #[error(
        "only {allowed} files may be open at once, and a server needs {needed}: raise the limit (`ulimit -n`, LimitNOFILE=)"
    )]
    TooFewFiles {
        /// How many may be open.
        allowed: usize,
        /// How many it takes at least.
        needed: usize,
    },
    /// The threads could not be started.
    #[error("the server's threads did not start: {reason}")]
    Runtime {
        /// What the system said.
        reason: String,
    },
}

/// Starts to serve within the usual limits. Every listener is open when this returns.
pub fn serve(service: Arc<Service>, config: Config) -> Result<Running, ServeError> {
    serve_within(service, config, Limits::default())
}

/// Starts to serve within limits of the caller's. Every listener is open when this returns.
pub fn serve_within(
    service: Arc<Service>,
    config: Config,
    limits: Limits,
) -> Result<Running, ServeError> {
    if let Some(allowed) = files_missing() {
        return Err(ServeError::TooFewFiles {
            allowed,
            needed: FILES_MIN,
        });
    }
    let pool = Pool::new(&limits);
    let commits = Arc::<Commits>::default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(pool.threads() + OWN_THREADS)
        .thread_name("bowline")
        .build()
        .map_err(|error| ServeError::Runtime {
            reason: error.to_string(),
        })?;
    let (stop, stopped) = watch::channel(false);
    let shared = Shared {
        admission: Admission::new(
            connections_that_fit(limits.connections),
            limits.connections_per_source,
        ),
        router: Router::new(
            service.clone(),
            pool,
            limits.clone(),
            config.publish_events,
            commits.clone(),
            stopped.clone(),
        ),
        turned_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
        stopped,
    };
    let mut running = Running {
        tls: None,
        plain: None,
        runtime: None,
        signals: None,
        stop,
        tasks: Vec::new(),
        control_socket: None,
        ticker: Ticker::new(service.clone(), commits),
        leave_time: limits.leave_time,
    };
    let inside = runtime.enter();
    let ticker = running.ticker.clone();
    let ticking = ticker.run(limits.tick, shared.stopped.clone());
    running.tasks.push(runtime.spawn(ticking));

    if let Some(address) = config.tls {
        let certificate = Arc::new(OwnCertificate::new(config.names));
        certificate
            .refresh(&service)
            .map_err(|reason| ServeError::Certificate { reason })?;
        let tls = tls::server_config(certificate.clone())
            .map_err(|reason| ServeError::Certificate { reason })?;
        let listener = runtime.block_on(bind(address))?;
        running.tls = listener.local_addr().ok();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let accepting = shared.clone().accept_tls(listener, acceptor);
        running.tasks.push(runtime.spawn(accepting));
        running.tasks.push(runtime.spawn(keep_certificate_fresh(
            certificate,
            service,
            limits.renewal_check,
            shared.stopped.clone(),
        )));
    }
    if let Some(address) = config.plain {
        let listener = runtime.block_on(bind(address))?;
        running.plain = listener.local_addr().ok();
        let accepting = shared.clone().accept_plain(listener);
        running.tasks.push(runtime.spawn(accepting));
    }
    if let Some(path) = config.control_socket {
        let listener = bind_control_socket(&path)?;
        running.control_socket = Some(path);
        running
            .tasks
            .push(runtime.spawn(shared.accept_control(listener)));
    }
    drop(inside);
    running.runtime = Some(runtime);
    Ok(running)
}

impl Running {
    /// From here on SIGTERM and SIGINT do not end the process but [`Running::run_until_signal`]. To be called before
    /// anybody is told that it serves, and so may ask it to stop.
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

    /// Stops accepting, lets requests in flight finish for a bounded time, writes the last of the log, and returns.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        let _ = self.stop.send(true);
        if let Some(runtime) = self.runtime.take() {
            let tasks = std::mem::take(&mut self.tasks);
            let ticker = self.ticker.clone();
            let left = runtime.block_on(async {
                for task in tasks {
                    let _ = task.await;
                }
                // When nobody is answered any more: what was refused and done until then is in it.
                let begun = Instant::now();
                let _ = tokio::time::timeout(self.leave_time, ticker.last()).await;
                self.leave_time.saturating_sub(begun.elapsed())
            });
            runtime.shutdown_timeout(left);
        }
        if let Some(path) = self.control_socket.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shut_down();
    }
}

#[derive(Clone)]
struct Shared {
    router: Router,
    admission: Admission,
    /// Places of those who are told that there is no place.
    turned_away: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
}

impl Shared {
    async fn accept_tls(mut self, listener: TcpListener, acceptor: TlsAcceptor) {
        let mut connections = JoinSet::new();
        while let Some((stream, peer, place)) =
            self.accept(&listener, &mut connections, false).await
        {
            let (acceptor, mut shared) = (acceptor.clone(), self.clone());
            connections.spawn(async move {
                let patience = shared.router.limits.header_time;
                let handshake = tokio::time::timeout(patience, acceptor.accept(stream));
                // A stranger who opens a connection and says nothing costs one place for as long as headers
                // may take, and never holds up the stop.
                let stream = tokio::select! {
                    stream = handshake => stream,
                    _ = shared.stopped.wait_for(|stopped| *stopped) => return,
                };
                let Ok(Ok(stream)) = stream else {
                    return;
                };
                // What was agreed on is what is spoken (RFC 9113 §3.2).
                let version = match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Version::Two,
                    Some(_) | None => Version::One,
                };
                let via = Via::Tls(peer, shown(stream.get_ref().1));
                let (router, stopped) = (shared.router, shared.stopped);
                connection::serve(stream, version, router, via, stopped).await;
                drop(place);
            });
        }
        // The door first: a connection that waits behind it would never be answered.
        drop(listener);
        self.finish(connections).await;
    }

    async fn accept_plain(mut self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        while let Some((stream, peer, place)) = self.accept(&listener, &mut connections, true).await
        {
            let (router, stopped) = (self.router.clone(), self.stopped.clone());
            connections.spawn(async move {
                let version = Version::FirstBytes;
                connection::serve(stream, version, router, Via::Plain(peer), stopped).await;
                drop(place);
            });
        }
        // The door first: a connection that waits behind it would never be answered.
        drop(listener);
        self.finish(connections).await;
    }

    async fn accept_control(mut self, listener: UnixListener) {
        let mut connections = JoinSet::new();
        let owner = rustix::process::geteuid().as_raw();
        // A count of its own: strangers who take every other place do not lock the operator out.
        let places = Arc::new(Semaphore::new(CONTROL_CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                _ = self.stopped.wait_for(|stopped| *stopped) => break,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            // The socket's mode keeps others out already; the kernel's word on the peer is the proof.
            let peer = stream.peer_cred().map(|peer| peer.uid());
            if !peer.is_ok_and(|uid| uid == owner || uid == 0) {
                continue;
            }
            let Ok(place) = places.clone().try_acquire_owned() else {
                continue;
            };
            let (router, stopped) = (self.router.clone(), self.stopped.clone());
            connections.spawn(async move {
                let version = Version::FirstBytes;
                connection::serve(stream, version, router, Via::ControlSocket, stopped).await;
                drop(place);
            });
        }
        // The door first: a connection that waits behind it would never be answered.
        drop(listener);
        self.finish(connections).await;
    }

    /// The next connection there is a place for, or nothing once the server stops. Others are told to come back, where
    /// that costs no handshake.
    async fn accept(
        &mut self,
        listener: &TcpListener,
        connections: &mut JoinSet<()>,
        plain: bool,
    ) -> Option<(TcpStream, IpAddr, Admitted)> {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                // Ended ones are let go of, panicked ones too.
                Some(_) = connections.join_next() => continue,
                _ = self.stopped.wait_for(|stopped| *stopped) => return None,
            };
            let Ok((stream, peer)) = accepted else {
                // Out of file descriptors: wait for some to be closed rather than spin.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            // A listener on `::` sees IPv4 peers as IPv6; policies and records know them as IPv4.
            let peer = peer.ip().to_canonical();
            let Some(place) = self.admission.admit(peer) else {
                if plain && let Ok(place) = self.turned_away.clone().try_acquire_owned() {
                    connections.spawn(async move {
                        let _ = tokio::time::timeout(TURN_AWAY_TIME, turn_away(stream)).await;
                        drop(place);
                    });
                }
                continue;
            };
            let _ = stream.set_nodelay(true);
            return Some((stream, peer, place));
        }
    }

    /// Lets every connection come to its end for as long as the drain may take, then ends it.
    async fn finish(&self, mut connections: JoinSet<()>) {
        let all_ended = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(self.router.limits.drain_time, all_ended).await;
        connections.shutdown().await;
    }
}

/// The certificates that a client showed. Nothing is ever resumed, so the key was proved on this connection.
fn shown(connection: &rustls::ServerConnection) -> Arc<[Vec<u8>]> {
    let shown = connection.peer_certificates().unwrap_or_default();
    shown.iter().map(|der| der.to_vec()).collect()
}

/// Tells a client of plain HTTP to come back, and reads on until it hangs up: a socket closed with bytes unread could
/// take the answer back.
async fn turn_away(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(COME_BACK).await?;
    stream.shutdown().await?;
    let mut scratch = [0; 4096];
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| listen_error(&address.to_string(), &error))
}

/// Binds the control socket. Whoever calls this holds the home's lock, so a socket already there is a left-over;
/// anything else there is not ours to remove. Until its mode is set, the home's own (0700) keeps others out.
fn bind_control_socket(path: &Path) -> Result<UnixListener, ServeError> {
    let refuse = |error: io::Error| listen_error(&path.display().to_string(), &error);
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            std::fs::remove_file(path).map_err(refuse)?;
        }
        // Binding says what is wrong with anything else.
        Ok(_) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(refuse)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .map_err(refuse)?;
    Ok(listener)
}

fn listen_error(at: &str, error: &io::Error) -> ServeError {
    ServeError::Listen {
        at: at.into(),
        reason: error.to_string(),
    }
}

/// What a connection over the bound is told.
const COME_BACK: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 47\r\nretry-after: 1\r\nconnection: close\r\n\r\ntoo many connections are open: try again in 1 s";
/// How long a connection over the bound is kept to be told so.
const TURN_AWAY_TIME: Duration = Duration::from_millis(500);
/// Connections over the bound that are told so at once. The others are closed.
const TURNED_AWAY_MAX: usize = 64;
/// Connections to the control socket at once.
const CONTROL_CONNECTIONS_MAX: usize = 256;
/// Threads for blocking work of the server itself: renewing its certificate and ticking, which wait for no place.
const OWN_THREADS: usize = 2;
/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
