//! Listening: TLS, plain HTTP and the control socket; limits on connections; a stop that lets requests finish.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bowline_service::Service;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::message::Via;
use crate::pool::Pool;
use crate::router::Router;
use crate::tls::{self, OwnCertificate};

/// Where to listen, and as whom.
pub struct Config {
    /// The address for TLS. Port 0 picks a free one.
    pub tls: Option<SocketAddr>,
    /// The address for plain HTTP. Port 0 picks a free one.
    pub plain: Option<SocketAddr>,
    /// The control socket's path.
    pub control_socket: Option<PathBuf>,
    /// The DNS names and addresses in the server's certificate.
    pub names: Vec<String>,
}

/// A server that runs until it is told to stop.
pub struct Running {
    /// Where TLS is answered.
    pub tls: Option<SocketAddr>,
    /// Where plain HTTP is answered.
    pub plain: Option<SocketAddr>,
    runtime: Option<tokio::runtime::Runtime>,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    control_socket: Option<PathBuf>,
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
    /// The threads could not be started.
    #[error("the server's threads did not start: {reason}")]
    Runtime {
        /// What the system said.
        reason: String,
    },
}

/// Starts to serve. Every listener is open when this returns.
pub fn serve(service: Arc<Service>, config: Config) -> Result<Running, ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(Pool::THREADS)
        .thread_name("bowline")
        .build()
        .map_err(|error| ServeError::Runtime {
            reason: error.to_string(),
        })?;
    let (stop, stopped) = watch::channel(false);
    let shared = Shared {
        router: Router {
            service: service.clone(),
            pool: Pool::new(),
        },
        connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        stopped,
    };
    let mut running = Running {
        tls: None,
        plain: None,
        runtime: None,
        stop,
        tasks: Vec::new(),
        control_socket: config.control_socket.clone(),
    };
    let _inside = runtime.enter();

    if let Some(address) = config.tls {
        let certificate = Arc::new(OwnCertificate::new(config.names));
        certificate
            .refresh(&service)
            .map_err(|reason| ServeError::Certificate { reason })?;
        let tls = tls::server_config(certificate.clone())
            .map_err(|reason| ServeError::Certificate { reason })?;
        let listener = runtime.block_on(bind(address))?;
        running.tls = listener.local_addr().ok();
        running.tasks.push(
            runtime.spawn(
                shared
                    .clone()
                    .accept_tls(listener, TlsAcceptor::from(Arc::new(tls))),
            ),
        );
        running.tasks.push(runtime.spawn(keep_certificate_fresh(
            certificate,
            service,
            shared.stopped.clone(),
        )));
    }
    if let Some(address) = config.plain {
        let listener = runtime.block_on(bind(address))?;
        running.plain = listener.local_addr().ok();
        running
            .tasks
            .push(runtime.spawn(shared.clone().accept_plain(listener)));
    }
    if let Some(path) = config.control_socket {
        let listener = bind_control_socket(&path)?;
        running
            .tasks
            .push(runtime.spawn(shared.accept_control(listener)));
    }
    drop(_inside);
    running.runtime = Some(runtime);
    Ok(running)
}

impl Running {
    /// Blocks until SIGTERM or SIGINT, then stops.
    pub fn run_until_signal(self) {
        if let Some(runtime) = &self.runtime {
            runtime.block_on(async {
                use tokio::signal::unix::{SignalKind, signal};
                let (Ok(mut terminate), Ok(mut interrupt)) = (
                    signal(SignalKind::terminate()),
                    signal(SignalKind::interrupt()),
                ) else {
                    // Without handlers the signals end the process, which the journal survives.
                    return std::future::pending().await;
                };
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
            let tasks = std::mem::take(&mut self.tasks);
            runtime.block_on(async {
                for task in tasks {
                    let _ = task.await;
                }
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
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
    connections: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
}

impl Shared {
    async fn accept_tls(mut self, listener: TcpListener, acceptor: TlsAcceptor) {
        let graceful = GracefulShutdown::new();
        while let Some((stream, peer, permit)) = self.accept(&listener).await {
            let (acceptor, router, watcher) =
                (acceptor.clone(), self.router.clone(), graceful.watcher());
            tokio::spawn(async move {
                // A stranger who opens a connection and says nothing costs one slot for ten seconds.
                let Ok(Ok(stream)) =
                    tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await
                else {
                    return;
                };
                serve_connection(stream, router, Via::Tls(peer.ip()), watcher, permit).await;
            });
        }
        finish(graceful).await;
    }

    async fn accept_plain(mut self, listener: TcpListener) {
        let graceful = GracefulShutdown::new();
        while let Some((stream, peer, permit)) = self.accept(&listener).await {
            let connection = serve_connection(
                stream,
                self.router.clone(),
                Via::Plain(peer.ip()),
                graceful.watcher(),
                permit,
            );
            tokio::spawn(connection);
        }
        finish(graceful).await;
    }

    async fn accept_control(mut self, listener: UnixListener) {
        let graceful = GracefulShutdown::new();
        let owner = rustix::process::geteuid().as_raw();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
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
            let Ok(permit) = self.connections.clone().try_acquire_owned() else {
                continue;
            };
            tokio::spawn(serve_connection(
                stream,
                self.router.clone(),
                Via::ControlSocket,
                graceful.watcher(),
                permit,
            ));
        }
        finish(graceful).await;
    }

    /// The next connection there is room for, or nothing once the server stops.
    async fn accept(
        &mut self,
        listener: &TcpListener,
    ) -> Option<(tokio::net::TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = self.stopped.wait_for(|stopped| *stopped) => return None,
            };
            let Ok((stream, peer)) = accepted else {
                // Out of file descriptors: wait for some to be closed rather than spin.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Ok(permit) = self.connections.clone().try_acquire_owned() else {
                continue;
            };
            let _ = stream.set_nodelay(true);
            return Some((stream, peer, permit));
        }
    }
}

async fn serve_connection<S>(
    stream: S,
    router: Router,
    via: Via,
    watcher: hyper_util::server::graceful::Watcher,
    _permit: OwnedSemaphorePermit,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .max_concurrent_streams(STREAMS_MAX);
    let answer = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move { Ok::<_, std::convert::Infallible>(router.handle(request, via).await) }
    });
    let connection = builder
        .serve_connection(TokioIo::new(stream), answer)
        .into_owned();
    // What goes wrong on one connection is its client's to notice.
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended");
    }
}

async fn finish(graceful: GracefulShutdown) {
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| listen_error(&address.to_string(), &error))
}

/// Binds the control socket so that it never exists with a wider mode: inside the home, which is 0700.
/// Whoever calls this holds the home's lock, so a socket already there is a left-over.
fn bind_control_socket(path: &Path) -> Result<UnixListener, ServeError> {
    let refuse = |error: io::Error| listen_error(&path.display().to_string(), &error);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refuse(error)),
        Ok(()) | Err(_) => {}
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

async fn keep_certificate_fresh(
    certificate: Arc<OwnCertificate>,
    service: Arc<Service>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RENEWAL_CHECK) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        let (certificate, service) = (certificate.clone(), service.clone());
        let refreshed = tokio::task::spawn_blocking(move || certificate.refresh(&service)).await;
        if let Ok(Err(reason)) = refreshed {
            tracing::error!(%reason, "the server's certificate could not be renewed; the old one goes on until it ends");
        }
    }
}

/// Connections at once. Each holds a buffer; past this the next ones are closed at once.
const CONNECTIONS_MAX: usize = 4_096;
/// Concurrent requests on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// The most bytes of a request's headers: a chain of ML-DSA certificates passes 50 KB.
const HEADER_BYTES_MAX: usize = 128 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 128;
/// How long the headers may take to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests in flight may go on after the signal to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the age of the server's certificate is looked at.
const RENEWAL_CHECK: Duration = Duration::from_secs(60);
/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
