//! Requests in and answers out, independent of any dialect.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bowline_service::{Channel, DoorError, Error, Kind, WireRequest};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Bytes};
use tokio::sync::OwnedSemaphorePermit;

use crate::limits::HEADERS_MAX;
use crate::memory::Memory;
use crate::stream::Frames;

/// An answer, with its whole body or with one that is still being made.
pub(crate) type Response = http::Response<Either<Full<Bytes>, Frames>>;

/// How the request reached us.
#[derive(Clone, Debug)]
pub(crate) enum Via {
    /// The control socket, from a peer that owns the home.
    ControlSocket,
    /// TLS, with the certificates that the client showed on this very connection, DER, its own first.
    Tls(IpAddr, Arc<[Vec<u8>]>),
    /// Plain HTTP.
    Plain(IpAddr),
}

impl Via {
    pub(crate) fn source(&self) -> Option<IpAddr> {
        match self {
            Via::ControlSocket => None,
            Via::Tls(address, _) | Via::Plain(address) => Some(*address),
        }
    }

    /// What the service is told of the connection.
    pub(crate) fn channel(&self) -> Channel {
        Channel {
            source: self.source(),
            client_certificates: match self {
                Via::ControlSocket | Via::Plain(_) => Vec::new(),
                Via::Tls(_, shown) => shown.to_vec(),
            },
        }
    }

    /// Whether everything may be served this way. Plain HTTP beyond loopback carries only what is signed in itself.
    pub(crate) fn carries_everything(&self) -> bool {
        match self {
            Via::ControlSocket | Via::Tls(..) => true,
            Via::Plain(address) => address.to_canonical().is_loopback(),
        }
    }
}

/// A request that was read whole, with the memory it takes.
pub(crate) struct Held {
    pub(crate) request: WireRequest,
    pub(crate) memory: OwnedSemaphorePermit,
}

/// What makes a request one that two readers could read differently, or that is over a limit before it is read.
///
/// A proxy in front may see another request where these hold; so they are refused before anything is decided.
/// A length beside a coding never gets here: the parser drops the length and ends the connection after the
/// answer (RFC 9112 §6.3), so that nothing hidden behind is read as a request.
pub(crate) fn malformed(parts: &Parts) -> Option<(u16, &'static str)> {
    let count = |name: HeaderName| parts.headers.get_all(name).iter().count();
    let hosts = count(http::header::HOST);
    let lengths = count(http::header::CONTENT_LENGTH);
    let mut codings = parts
        .headers
        .get_all(http::header::TRANSFER_ENCODING)
        .iter();
    let authority = parts.uri.authority();
    let host = parts.headers.get(http::header::HOST);
    if parts.headers.len() > HEADERS_MAX {
        return Some((431, "a request has at most 128 headers"));
    }
    // Left out below, it would be a header outside the signature that a server behind a proxy still reads.
    let unread = |(name, value): (&HeaderName, &HeaderValue)| {
        name.as_str().starts_with("x-amz-") && std::str::from_utf8(value.as_bytes()).is_err()
    };
    if parts.headers.iter().any(unread) {
        return Some((400, "the value of an x-amz- header is UTF-8"));
    }
    let text = match (codings.next(), codings.next()) {
        (Some(coding), None) if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            "the only transfer-encoding understood here is chunked"
        }
        (Some(_), Some(_)) => "a request has one transfer-encoding",
        _ if lengths > 1 => "a request has one content-length",
        _ if hosts > 1 => "a request has one host",
        // RFC 9112 §3.2.
        _ if hosts == 0 && authority.is_none() && parts.version == http::Version::HTTP_11 => {
            "a request has a host"
        }
        _ => match (authority, host) {
            (Some(authority), Some(host))
                if !authority
                    .as_str()
                    .as_bytes()
                    .eq_ignore_ascii_case(host.as_bytes()) =>
            {
                "the request's target and its host name different servers"
            }
            _ => return None,
        },
    };
    Some((400, text))
}

/// Reads a request whole, up to `body_max` bytes of body and `body_time` of waiting.
pub(crate) async fn read<B>(
    parts: Parts,
    body: B,
    body_max: usize,
    body_time: Duration,
    memory: &Memory,
) -> Result<Held, Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut held = memory.take(header_bytes(&parts))?;
    let reading = read_body(body, body_max, memory, &mut held);
    let body = tokio::time::timeout(body_time, reading)
        .await
        .map_err(|_| DoorError::BodySlow {
            seconds: body_time.as_secs(),
        })??;
    Ok(Held {
        request: wire_request(&parts, body),
        memory: held,
    })
}

/// Takes memory for what has arrived, never for what was announced: an announcement costs nothing to make.
async fn read_body<B>(
    body: B,
    body_max: usize,
    memory: &Memory,
    held: &mut OwnedSemaphorePermit,
) -> Result<Vec<u8>, Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_long = || Error::from(DoorError::BodyTooLong { limit: body_max });
    // What is announced to be too long is refused before it is waited for.
    if body.size_hint().lower() > body_max as u64 {
        return Err(too_long());
    }
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| DoorError::BodyBroken)?;
        // Trailers are not part of any signature; they are let go.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > body_max {
            return Err(too_long());
        }
        held.merge(memory.take(data.len())?);
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn header_bytes(parts: &Parts) -> usize {
    let headers = parts.headers.iter();
    let target = parts
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    target
        + headers
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum::<usize>()
}

/// The request as its signature sees it. HTTP/2 has `:authority` where HTTP/1 has `host`.
///
/// Values are passed on as the UTF-8 they are, so a signature sees the very bytes. A value that is not UTF-8 is
/// left out: no dialect here reads one, and a signature over it then fails, as it must, for want of the header.
/// Those that a signature must cover were refused before.
fn wire_request(parts: &Parts, body: Vec<u8>) -> WireRequest {
    let mut headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .filter_map(|(name, value)| {
            let value = std::str::from_utf8(value.as_bytes()).ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        })
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

/// An answer with a body of a type.
pub(crate) fn answer(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    with_content(status, content_type, Either::Left(Full::new(body.into())))
}

/// An answer whose body comes frame by frame.
pub(crate) fn streamed(status: u16, content_type: &'static str, frames: Frames) -> Response {
    with_content(status, content_type, Either::Right(frames))
}

fn with_content(
    status: u16,
    content_type: &'static str,
    content: Either<Full<Bytes>, Frames>,
) -> Response {
    let mut response = Response::new(content);
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

/// What every answer carries: an id to find it by in the log, and no licence to keep or to guess at it.
pub(crate) fn finish(mut response: Response, request_id: &str) -> Response {
    let headers = response.headers_mut();
    headers
        .entry(http::header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        http::header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let come_back = matches!(
        response.status(),
        http::StatusCode::SERVICE_UNAVAILABLE | http::StatusCode::TOO_MANY_REQUESTS
    );
    if come_back && !response.headers().contains_key(http::header::RETRY_AFTER) {
        response = with_header(response, "retry-after", RETRY_AFTER);
    }
    with_header(response, "x-amzn-requestid", request_id)
}

/// Writes down what is our fault, under the id that the answer carries: outside, it says no more than that it is.
pub(crate) fn log_fault(error: &Error, request_id: &str) {
    if error.kind() == Kind::Internal {
        // Quoted: a detail may hold what a stranger sent, which must not write lines of its own.
        tracing::error!(%request_id, detail = ?error.to_string(), "a request failed");
    }
}

/// Seconds after which an overloaded server is worth another try.
const RETRY_AFTER: &str = "1";

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(target: &str, headers: &[(&str, &[u8])]) -> Parts {
        let mut request = http::Request::builder().method("POST").uri(target);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
        }
        request.body(()).unwrap().into_parts().0
    }

    fn refused(target: &str, headers: &[(&str, &[u8])]) -> Option<&'static str> {
        malformed(&parts(target, headers)).map(|(_, text)| text)
    }

    #[test]
    fn plain_http_carries_everything_on_loopback_only() {
        for (address, everything) in [
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.1", false),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
            ("::ffff:192.0.2.1", false),
            ("2001:db8::1", false),
            ("fe80::1", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(
                Via::Plain(address).carries_everything(),
                everything,
                "{address}"
            );
            assert!(Via::Tls(address, Arc::new([])).carries_everything());
        }
        assert!(Via::ControlSocket.carries_everything());
    }

    #[test]
    fn two_lengths_two_hosts_and_two_codings_are_refused() {
        let host: (&str, &[u8]) = ("host", b"a");
        assert_eq!(refused("/", &[host]), None);
        assert_eq!(
            refused("/", &[host, ("transfer-encoding", b"Chunked")]),
            None
        );
        for headers in [
            vec![],
            vec![host, host],
            vec![host, ("content-length", b"1"), ("content-length", b"1")],
            vec![host, ("x-amz-copy-source", b"/secret/key\xa0")],
            vec![host, ("transfer-encoding", b"gzip, chunked")],
            vec![
                host,
                ("transfer-encoding", b"chunked"),
                ("transfer-encoding", b"chunked"),
            ],
        ] {
            assert!(refused("/", &headers).is_some(), "{headers:?}");
        }
    }

    #[test]
    fn target_and_host_name_the_same_server() {
        assert_eq!(refused("http://a:1/", &[("host", b"A:1")]), None);
        assert_eq!(refused("http://a:1/", &[]), None);
        assert!(refused("http://a:1/", &[("host", b"b:1")]).is_some());
    }

    #[test]
    fn signatures_see_utf_8_bytes_and_never_a_guess_at_others() {
        let parts = parts("/", &[("x-a", "é".as_bytes()), ("x-b", b"\xe9")]);
        let request = wire_request(&parts, Vec::new());
        assert_eq!(request.headers, [("x-a".to_owned(), "é".to_owned())]);
    }

    #[test]
    fn the_authority_stands_for_the_host_where_there_is_none() {
        let request = wire_request(&parts("https://a:1/sessions?x=%2F", &[]), Vec::new());
        assert_eq!(request.headers, [("host".to_owned(), "a:1".to_owned())]);
        assert_eq!(request.target, "/sessions?x=%2F");
    }
}
