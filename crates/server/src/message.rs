//! Requests in and answers out, independent of any dialect.

use std::net::IpAddr;
use std::time::Duration;

use bowline_service::{Error, WireRequest};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};

/// An answer with its whole body.
pub(crate) type Response = http::Response<Full<Bytes>>;

/// How the request reached us.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Via {
    /// The control socket, from a peer that owns the home.
    ControlSocket,
    /// TLS.
    Tls(IpAddr),
    /// Plain HTTP.
    Plain(IpAddr),
}

impl Via {
    pub(crate) fn source(self) -> Option<IpAddr> {
        match self {
            Via::ControlSocket => None,
            Via::Tls(address) | Via::Plain(address) => Some(address),
        }
    }

    /// Whether everything may be served this way. Plain HTTP beyond loopback carries only what is signed in itself.
    pub(crate) fn carries_everything(self) -> bool {
        match self {
            Via::ControlSocket | Via::Tls(_) => true,
            Via::Plain(address) => address.to_canonical().is_loopback(),
        }
    }
}

/// Reads a request whole, up to `body_max` bytes of body.
pub(crate) async fn read<B>(parts: Parts, body: B, body_max: usize) -> Result<WireRequest, Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, body_max).collect())
        .await
        .map_err(|_| Error::RequestBodySlow {
            seconds: BODY_TIMEOUT.as_secs(),
        })?;
    let body = collected
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                Error::RequestBodyTooLong { limit: body_max }
            } else {
                Error::RequestBodyBroken
            }
        })?
        .to_bytes();
    Ok(wire_request(&parts, body.to_vec()))
}

/// The request as its signature sees it. HTTP/2 has `:authority` where HTTP/1 has `host`.
fn wire_request(parts: &Parts, body: Vec<u8>) -> WireRequest {
    let mut headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), latin1(value.as_bytes())))
        .collect();
    if let Some(authority) = parts.uri.authority()
        && !parts.headers.contains_key(http::header::HOST)
    {
        headers.push(("host".into(), authority.as_str().into()));
    }
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    WireRequest {
        method: parts.method.as_str().into(),
        target: target.into(),
        headers,
        body,
    }
}

/// Header bytes as text, one character a byte, so that signatures see every byte.
fn latin1(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// An answer with a body of a type.
pub(crate) fn answer(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    // Cannot fail: every status in this crate is a literal between 200 and 599.
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Adds a header whose value we made ourselves.
pub(crate) fn with_header(mut response: Response, name: &'static str, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
    }
    response
}

/// How long a client may take to send its body. Longer, and slow clients would hold every slot.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of a body on the data plane and STS: a CreateSession is under 2 KiB, a session policy 2 KiB.
pub(crate) const DATA_BODY_MAX: usize = 64 * 1024;
/// The most bytes of a body on the control plane: policies, bundles, CSRs in bulk.
pub(crate) const CONTROL_BODY_MAX: usize = 1024 * 1024;
