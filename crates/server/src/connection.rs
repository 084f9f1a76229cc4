//! One connection, from its first byte to its last: limits, idleness, and an end that does not cut answers off.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Request;
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use crate::limits::{HEADER_BYTES_MAX, HEADERS_MAX, Limits};
use crate::message::Via;
use crate::router::Router;

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.1: what TLS agreed on, or nothing was.
    One,
    /// HTTP/2, as TLS agreed.
    Two,
    /// Whichever the first bytes say: plain HTTP, where HTTP/2 comes with prior knowledge.
    FirstBytes,
}

/// Serves one connection until it ends, is idle for too long, or the server stops.
pub(crate) async fn serve<S>(
    stream: S,
    version: Version,
    router: Router,
    via: Via,
    mut stopped: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = router.limits.clone();
    let activity = Arc::new(Activity::new());
    let stream = Watched {
        stream,
        activity: activity.clone(),
        stopped: stopped.clone(),
        linger: None,
        discarded: 0,
    };
    let builder = builder(version, &limits);
    let answering = activity.clone();
    let answer = service_fn(move |request: Request<Incoming>| {
        let (router, via) = (router.clone(), via.clone());
        let request_in_flight = InFlight::new(answering.clone());
        async move {
            let response = router.handle(request, via).await;
            match response.body() {
                Either::Left(_) => drop(request_in_flight),
                Either::Right(frames) => frames.hold(request_in_flight),
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);

    // 1. Until it ends by itself, or has to.
    tokio::select! {
        ended = connection.as_mut() => return note(ended),
        () = activity.idle(&limits) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    // 2. What is in flight may finish. Who does not read his answer is cut off.
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = timeout(limits.drain_time, connection).await {
        note(ended);
    }
}

fn builder(version: Version, limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    match version {
        Version::One => builder.http1_only(),
        Version::Two => builder.http2_only(),
        Version::FirstBytes => builder,
    }
}

/// What goes wrong on one connection is its client's to notice.
fn note(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        // Quoted: what a stranger sent must not be able to write lines of its own.
        tracing::debug!(error = ?error.to_string(), "connection ended");
    }
}

/// What happens on a connection.
struct Activity {
    in_flight: AtomicUsize,
    asked: AtomicBool,
    last: Mutex<Instant>,
}

impl Activity {
    fn new() -> Activity {
        Activity {
            in_flight: AtomicUsize::new(0),
            asked: AtomicBool::new(false),
            last: Mutex::new(Instant::now()),
        }
    }

    fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns once nothing was in flight, and no answer got on, for as long as a connection may stand so.
    async fn idle(&self, limits: &Limits) {
        loop {
            let patience = if self.asked.load(Ordering::Relaxed) {
                limits.idle_time
            } else {
                limits.header_time
            };
            let since = if self.in_flight.load(Ordering::Relaxed) > 0 {
                Instant::now()
            } else {
                *self.last.lock().unwrap_or_else(PoisonError::into_inner)
            };
            if since.elapsed() >= patience {
                return;
            }
            sleep_until(since + patience).await;
        }
    }
}

/// A request that is being answered.
pub(crate) struct InFlight(Arc<Activity>);

impl InFlight {
    fn new(activity: Arc<Activity>) -> InFlight {
        activity.asked.store(true, Ordering::Relaxed);
        activity.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(activity)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // Before the count falls, or the time before the request would count as idle.
        self.0.touch();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that notes progress, and that reads on for a moment after its end was written.
///
/// A socket that is closed with bytes unread answers with a reset, and a reset can overtake the answer just
/// written: the client would see a broken connection instead of "the body is over the limit".
struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    stopped: watch::Receiver<bool>,
    linger: Option<Pin<Box<Sleep>>>,
    discarded: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.activity.touch();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, parts))?;
        self.activity.touch();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.linger = Some(Box::pin(sleep(LINGER_TIME)));
        }
        let hurry = *self.stopped.borrow();
        let mut scratch = [0; 4096];
        while !hurry && self.discarded < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.discarded += buffer.filled().len();
                }
                // The client's end, orderly or not.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => match &mut self.linger {
                    Some(linger) => {
                        ready!(linger.as_mut().poll(cx));
                        return Poll::Ready(Ok(()));
                    }
                    None => return Poll::Ready(Ok(())),
                },
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Concurrent requests on one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;
/// Bytes of a body that HTTP/2 may send ahead on one stream: all of a data-plane body.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Bytes of bodies that HTTP/2 may send ahead on one connection.
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// How long bytes are still read, and thrown away, after the end of our answers was written.
const LINGER_TIME: Duration = Duration::from_secs(1);
/// The most bytes that are thrown away so: what a client may have sent of a body that is too long.
const LINGER_BYTES: usize = 4 * 1024 * 1024;
