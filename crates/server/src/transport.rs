//! The client's end of every dialect: one request, one answer, over TLS, plain HTTP or the control socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bowline_service::{PublicError, WireRequest};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::lines::Lines;
use crate::tls;

/// A server to talk to.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// The control socket of a home on this machine.
    ControlSocket(PathBuf),
    /// Plain HTTP, for loopback.
    Plain {
        /// `host` or `host:port`, as in the URL.
        authority: String,
    },
    /// TLS.
    Tls {
        /// `host` or `host:port`, as in the URL.
        authority: String,
        /// Whose certificates are believed.
        trust: Trust,
    },
}

/// Whose certificates a client believes.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Chains to one of these certificates (DER).
    Roots(Vec<Vec<u8>>),
    /// Chains to the root with this SHA-256 fingerprint, which is then fetched from the server itself.
    Fingerprint([u8; 32]),
}

/// Puts a signature on a request.
pub trait Signing {
    /// Adds the headers that prove who asks.
    fn sign(&self, request: &mut WireRequest) -> Result<(), TransportError>;
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The URL names no server.
    #[error("{url:?} is not a server's URL: write https://host[:port]")]
    Url {
        /// What was given.
        url: String,
    },
    /// No connection.
    #[error("cannot reach {authority}: {reason}")]
    Connect {
        /// The server.
        authority: String,
        /// What the system said.
        reason: String,
    },
    /// The connection ended, or took too long, before the answer did.
    #[error("{authority} did not answer: {reason}")]
    Broken {
        /// The server.
        authority: String,
        /// What happened.
        reason: String,
    },
    /// The root with the fingerprint is not among those the server has.
    #[error(
        "{authority} has no root with fingerprint {fingerprint}: it is another server, or the fingerprint is of another certificate"
    )]
    Fingerprint {
        /// The server.
        authority: String,
        /// The fingerprint asked for, in hex.
        fingerprint: String,
    },
    /// The answer is not one of ours.
    #[error("the answer does not read: {reason}")]
    Answer {
        /// What is wrong with it.
        reason: String,
    },
    /// The request could not be signed.
    #[error("the request could not be signed: {reason}")]
    Signing {
        /// Why.
        reason: String,
    },
    /// The server refused, and said why.
    #[error("{}", .0.message)]
    Refused(PublicError),
    /// What a transfer's bytes were to go to does not take them.
    #[error(transparent)]
    Sink(bowline_service::Error),
}

impl TransportError {
    /// What to tell of an answer that is no frames.
    pub(crate) fn without_form(status: u16, body: &[u8]) -> TransportError {
        TransportError::Answer {
            reason: format!("{}; is this a Bowline server?", without_form(status, body)),
        }
    }
}

/// An answer with its whole body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// What to tell of it where it has no form of ours.
    pub(crate) fn without_form(&self) -> String {
        without_form(self.status, &self.body)
    }
}

/// An answer in no form of ours: its status and how it begins, quoted.
fn without_form(status: u16, body: &[u8]) -> String {
    let start = &body[..body.len().min(EXCERPT_BYTES)];
    let text = String::from_utf8_lossy(start);
    match text.trim() {
        "" => format!("status {status} without a message"),
        text => format!("status {status}: {text:?}"),
    }
}

impl Endpoint {
    /// Reads a URL. Without roots or a fingerprint, TLS believes nobody.
    pub fn parse(url: &str, trust: Option<Trust>) -> Result<Endpoint, TransportError> {
        let refuse = || TransportError::Url { url: url.into() };
        let (scheme, rest) = url.split_once("://").ok_or_else(refuse)?;
        let authority = rest.trim_end_matches('/');
        if authority.contains(['/', '?', '#', '@'])
            || authority.parse::<http::uri::Authority>().is_err()
            || split(authority).is_none()
        {
            return Err(refuse());
        }
        // RFC 3986 §3.1: a scheme in capitals is the same scheme.
        match scheme.to_ascii_lowercase().as_str() {
            "https" => Ok(Endpoint::Tls {
                authority: authority.into(),
                trust: trust.unwrap_or(Trust::Roots(Vec::new())),
            }),
            "http" => Ok(Endpoint::Plain {
                authority: authority.into(),
            }),
            _ => Err(refuse()),
        }
    }

    /// What goes into the `Host` header.
    pub fn authority(&self) -> String {
        match self {
            Endpoint::ControlSocket(_) => "localhost".into(),
            Endpoint::Plain { authority } | Endpoint::Tls { authority, .. } => authority.clone(),
        }
    }

    /// Sends one request and waits for the whole answer. Blocks.
    pub(crate) fn send(&self, request: &WireRequest) -> Result<Answer, TransportError> {
        self.runtime()?
            .block_on(self.in_time(self.exchange(request)))
    }

    /// Sends one request and hands over the answer line by line, with its status, until one of them is the answer
    /// proper. An answer may take as long as it likes, if it is not silent for too long. Blocks.
    pub(crate) fn send_for_lines<T>(
        &self,
        request: &WireRequest,
        mut take: impl FnMut(u16, &[u8]) -> Result<Option<T>, TransportError>,
    ) -> Result<T, TransportError> {
        self.runtime()?.block_on(async {
            let mut response = self.in_time(self.open(request)).await?;
            let status = response.status().as_u16();
            let mut lines = Lines::up_to(ANSWER_MAX);
            loop {
                let frame = self
                    .in_time(async { Ok(response.body_mut().frame().await) })
                    .await?;
                let ended = frame.is_none();
                let frame = frame
                    .transpose()
                    .map_err(|error| self.broken(&error.to_string()))?;
                if let Some(data) = frame.and_then(|frame| frame.into_data().ok()) {
                    lines
                        .add(&data)
                        .map_err(|reason| TransportError::Answer { reason })?;
                }
                while let Some(line) = lines.next(ended) {
                    if let Some(answer) = take(status, &line)? {
                        return Ok(answer);
                    }
                }
                if ended {
                    return Err(self.broken("the answer ended before its result"));
                }
            }
        })
    }

    fn runtime(&self) -> Result<tokio::runtime::Runtime, TransportError> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| self.connect_error(&error.to_string()))
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        let done = tokio::time::timeout(TIMEOUT, work).await;
        done.unwrap_or_else(|_| {
            Err(self.broken(&format!("no answer within {} s", TIMEOUT.as_secs())))
        })
    }

    async fn exchange(&self, request: &WireRequest) -> Result<Answer, TransportError> {
        let response = self.open(request).await?;
        self.collect(response).await
    }

    async fn collect(&self, response: http::Response<Incoming>) -> Result<Answer, TransportError> {
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_MAX)
            .collect()
            .await
            .map_err(|error| self.broken(&error.to_string()))?
            .to_bytes()
            .to_vec();
        Ok(Answer { status, body })
    }

    /// Sends one request and waits for the head of its answer.
    async fn open(
        &self,
        request: &WireRequest,
    ) -> Result<http::Response<Incoming>, TransportError> {
        match self {
            Endpoint::ControlSocket(path) => {
                let stream = UnixStream::connect(path)
                    .await
                    .map_err(|error| self.connect_error(&error.to_string()))?;
                self.over(stream, request).await
            }
            Endpoint::Plain { authority } => {
                self.over(self.tcp(authority, 80).await?, request).await
            }
            Endpoint::Tls { authority, trust } => {
                let roots = match trust {
                    Trust::Roots(roots) => roots.clone(),
                    Trust::Fingerprint(fingerprint) => {
                        vec![self.fetch_root(authority, fingerprint).await?]
                    }
                };
                let config =
                    tls::client_config(&roots).map_err(|reason| self.connect_error(&reason))?;
                self.over_tls(authority, config, request).await
            }
        }
    }

    /// Fetches the roots over a connection that believes anybody, and believes only the one with the fingerprint.
    async fn fetch_root(
        &self,
        authority: &str,
        fingerprint: &[u8; 32],
    ) -> Result<Vec<u8>, TransportError> {
        let request = WireRequest {
            method: "GET".into(),
            target: "/roots.pem".into(),
            headers: vec![("host".into(), authority.into())],
            body: Vec::new(),
        };
        let config =
            tls::client_config_for_bootstrap().map_err(|reason| self.connect_error(&reason))?;
        let response = self.over_tls(authority, config, &request).await?;
        let answer = self.collect(response).await?;
        bowline_service::certificate_with_fingerprint(&answer.body, fingerprint).ok_or_else(|| {
            TransportError::Fingerprint {
                authority: authority.into(),
                fingerprint: fingerprint
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect(),
            }
        })
    }

    async fn over_tls(
        &self,
        authority: &str,
        config: rustls::ClientConfig,
        request: &WireRequest,
    ) -> Result<http::Response<Incoming>, TransportError> {
        let (host, _) = split_or_refuse(authority)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TransportError::Url {
            url: authority.into(),
        })?;
        let tcp = self.tcp(authority, 443).await?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = connector
            .connect(name, tcp)
            .await
            .map_err(|error| self.connect_error(&error.to_string()))?;
        self.over(stream, request).await
    }

    async fn tcp(&self, authority: &str, default_port: u16) -> Result<TcpStream, TransportError> {
        let (host, port) = split_or_refuse(authority)?;
        let port = port.unwrap_or(default_port);
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(|error| self.connect_error(&error.to_string()))?;
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    async fn over<S>(
        &self,
        stream: S,
        request: &WireRequest,
    ) -> Result<http::Response<Incoming>, TransportError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(&error.to_string()))?;
        // Ends with the connection, or with the runtime, which serves one request.
        tokio::spawn(connection);
        let mut builder = http::Request::builder()
            .method(request.method.as_str())
            .uri(&request.target);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let message = builder
            .body(Full::new(Bytes::from(request.body.clone())))
            .map_err(|error| TransportError::Answer {
                reason: error.to_string(),
            })?;
        sender
            .send_request(message)
            .await
            .map_err(|error| self.broken(&error.to_string()))
    }

    fn connect_error(&self, reason: &str) -> TransportError {
        TransportError::Connect {
            authority: self.display(),
            reason: reason.into(),
        }
    }

    fn broken(&self, reason: &str) -> TransportError {
        TransportError::Broken {
            authority: self.display(),
            reason: reason.into(),
        }
    }

    fn display(&self) -> String {
        match self {
            Endpoint::ControlSocket(path) => path.display().to_string(),
            Endpoint::Plain { authority } | Endpoint::Tls { authority, .. } => authority.clone(),
        }
    }
}

/// Host and port of `host[:port]`, an IPv6 address without its brackets. Nothing where it is not that.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => match authority.find(':') {
            Some(colon) => authority.split_at(colon),
            None => (authority, ""),
        },
    };
    let port = match port.strip_prefix(':') {
        Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
        None if port.is_empty() => None,
        None => return None,
    };
    (!host.is_empty()).then_some((host, port))
}

/// The same for an authority that did not come through [`Endpoint::parse`].
fn split_or_refuse(authority: &str) -> Result<(&str, Option<u16>), TransportError> {
    split(authority).ok_or_else(|| TransportError::Url {
        url: authority.into(),
    })
}

/// How long an answer may take, and a transfer be silent. A slow disk slows writers; a minute tells slow from dead.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest answer, or line of a transfer, that is read: a page of an inventory is far under it.
const ANSWER_MAX: usize = 64 * 1024 * 1024;
/// How much of an answer that is none of ours is told.
const EXCERPT_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_stands_before_the_port() {
        for (authority, parts) in [
            ("a.test:8443", Some(("a.test", Some(8443)))),
            ("a.test", Some(("a.test", None))),
            ("[::1]:8443", Some(("::1", Some(8443)))),
            ("[::1]", Some(("::1", None))),
            ("a.test:", None),
            ("a.test:0", None),
            ("a.test:65536", None),
            ("a.test:1:2", None),
            (":1", None),
            ("", None),
            ("[::1", None),
            ("[::1]8443", None),
            ("[a.test]", None),
        ] {
            assert_eq!(split(authority), parts, "{authority}");
        }
    }

    #[test]
    fn a_url_is_a_scheme_and_an_authority() {
        assert!(
            matches!(Endpoint::parse("https://ca.test:8443/", None), Ok(Endpoint::Tls { authority, .. }) if authority == "ca.test:8443")
        );
        assert!(matches!(
            Endpoint::parse("http://127.0.0.1:1", None),
            Ok(Endpoint::Plain { .. })
        ));
        for url in [
            "ca.test",
            "ftp://ca.test",
            "https://",
            "https://ca.test/path",
            "https://a@b",
            "https://a:99999",
            "https://a b",
            "https://a\r\nx: y",
        ] {
            assert!(
                matches!(Endpoint::parse(url, None), Err(TransportError::Url { .. })),
                "{url}"
            );
        }
    }
}
