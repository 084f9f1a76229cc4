//! A guard before a `tower` service of `http` requests.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bowline_service::{Authorize, SignedPayload};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body, Bytes};
use tower::{Layer, Service};

use crate::body::{self, GuardedBody, Verdict};
use crate::chunked::{ChunkKey, Decoder};
use crate::guard::{Answer, Guard, GuardRequest};
use crate::refused::Refused;

/// What the rim of a server knows of a request, put into its extensions. Without it a request came from nowhere, in
/// the clear.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The address of the client.
    pub address: Option<IpAddr>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// SHA-256, in hex, of the certificate whose key the client proved over TLS.
    pub certificate_sha256: Option<String>,
}

/// Says which action on which resource a request is. `None` refuses it.
type Asks = dyn Fn(&Parts) -> Option<(String, String)> + Send + Sync;

/// Puts a [`Guard`] before a service.
///
/// What is allowed goes on with [`crate::Allowed`] in its extensions, and with a body that is held to the signature. What is
/// not is answered here, as S3 does or, for other services, as JSON.
#[derive(Clone)]
pub struct GuardLayer {
    rules: Arc<Rules>,
}

#[derive(Clone)]
struct Rules {
    guard: Arc<Guard>,
    kind: Kind,
    unsigned_bodies: bool,
}

#[derive(Clone)]
enum Kind {
    S3 { hosts: Vec<String> },
    Named(Arc<Asks>),
}

impl GuardLayer {
    /// Before a server of S3. `hosts` are the names that the service answers under: `bucket.NAME` in the `Host` header
    /// names a bucket.
    ///
    /// The service behind gets the request without its signature, and a streamed body without its chunks.
    pub fn s3(guard: Arc<Guard>, hosts: Vec<String>) -> GuardLayer {
        GuardLayer::of(guard, Kind::S3 { hosts })
    }

    /// Before any other service; `asks` says the action and the resource of a request.
    pub fn named(
        guard: Arc<Guard>,
        asks: impl Fn(&Parts) -> Option<(String, String)> + Send + Sync + 'static,
    ) -> GuardLayer {
        GuardLayer::of(guard, Kind::Named(Arc::new(asks)))
    }

    fn of(guard: Arc<Guard>, kind: Kind) -> GuardLayer {
        GuardLayer {
            rules: Arc::new(Rules {
                guard,
                kind,
                unsigned_bodies: false,
            }),
        }
    }

    /// Accepts bodies that no signature covers even where they came in the clear. Over TLS they always are.
    #[must_use]
    pub fn with_unsigned_bodies(mut self) -> GuardLayer {
        Arc::make_mut(&mut self.rules).unsigned_bodies = true;
        self
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = GuardService<S>;

    fn layer(&self, inner: S) -> GuardService<S> {
        GuardService {
            inner,
            rules: self.rules.clone(),
        }
    }
}

/// A service behind a guard.
#[derive(Clone)]
pub struct GuardService<S> {
    inner: S,
    rules: Arc<Rules>,
}

impl<S, B, R> Service<Request<B>> for GuardService<S>
where
    S: Service<Request<GuardedBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: Send + 'static,
{
    type Response = Response<Either<R, Full<Bytes>>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone stays, the one that was asked whether it is ready goes to work.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let rules = self.rules.clone();
        Box::pin(async move {
            let resource = request.uri().path().to_owned();
            let head = request.method() == http::Method::HEAD;
            match rules.admit(request).await {
                Ok((request, verdict)) => {
                    let answer = inner.call(request).await;
                    // Whatever the service made of a body that broke off: this is why it did.
                    match verdict.get() {
                        Some(refused) => Ok(rules.render(refused, &resource, head)),
                        // HTTP/2 would send what a service writes to the asker of a head.
                        None if head => answer.map(|response| response.map(|_| nothing())),
                        None => answer.map(|response| response.map(Either::Left)),
                    }
                }
                Err(refused) => Ok(rules.render(&refused, &resource, head)),
            }
        })
    }
}

impl Rules {
    /// Lets a request in: verified, allowed, its body under guard.
    async fn admit<B>(
        &self,
        request: Request<B>,
    ) -> Result<(Request<GuardedBody<B>>, Verdict), Refused>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (mut parts, mut body) = request.into_parts();
        // 1. The question.
        let mut question = self.question(&parts)?;
        let read = if self.needs_body(&parts) {
            let bytes = read_whole(&mut body).await?;
            question.body = Some(bytes.to_vec());
            Some(bytes)
        } else {
            None
        };
        // 2. The answer.
        let question = Arc::new(question);
        let answer = self.guard.answer_async(question.clone()).await?;
        // 3. The body.
        let guarded = self.guard_body(&mut parts, body, read, &question, &answer)?;
        if let Kind::S3 { .. } = self.kind {
            strip(&mut parts)?;
        }
        parts.extensions.insert(answer.allowed);
        let verdict = guarded.verdict();
        Ok((Request::from_parts(parts, guarded), verdict))
    }

    fn question(&self, parts: &Parts) -> Result<GuardRequest, Refused> {
        let mut headers = Vec::with_capacity(parts.headers.len());
        for (name, value) in &parts.headers {
            let value = value
                .to_str()
                .or_else(|_| std::str::from_utf8(value.as_bytes()).map_err(|_| ()))
                .map_err(|()| bad_request("A header is no UTF-8."))?;
            headers.push((name.as_str().to_owned(), value.to_owned()));
        }
        // Whole, with the host that HTTP/2 has in its target: one beside another host is refused by the verifier.
        let target = parts.uri.to_string();
        let peer = parts.extensions.get::<Peer>().cloned().unwrap_or_default();
        let mut question = Authorize {
            source_ip: peer.address,
            tls: peer.tls,
            client_certificate_sha256: peer.certificate_sha256,
            ..Authorize::s3(parts.method.as_str(), &target, headers)
        };
        match &self.kind {
            Kind::S3 { hosts } => question.virtual_hosts.clone_from(hosts),
            Kind::Named(asks) => {
                let (action, resource) = asks(parts).ok_or_else(|| {
                    Refused::new(
                        "AccessDenied",
                        "The request is none that is known here.",
                        403,
                    )
                })?;
                question.action = Some(action);
                question.resource = Some(resource);
            }
        }
        Ok(question)
    }

    /// Whether the decision needs the body: where the keys to delete stand in it, or what an object shall have, and
    /// where a signature covers it without naming its hash.
    fn needs_body(&self, parts: &Parts) -> bool {
        match self.kind {
            Kind::S3 { .. } => {
                let asks = |names: &[&str]| {
                    let query = parts.uri.query().unwrap_or_default();
                    query
                        .split('&')
                        .any(|part| names.contains(&part.split('=').next().unwrap_or_default()))
                };
                match parts.method {
                    http::Method::POST => asks(&["delete"]),
                    http::Method::PUT => asks(&["tagging", "retention", "legal-hold"]),
                    _ => false,
                }
            }
            Kind::Named(_) => !parts.headers.contains_key(CONTENT_SHA256),
        }
    }

    fn guard_body<B>(
        &self,
        parts: &mut Parts,
        inner: B,
        read: Option<Bytes>,
        question: &GuardRequest,
        answer: &Answer,
    ) -> Result<GuardedBody<B>, Refused>
    where
        B: Body<Data = Bytes>,
    {
        let length = content_length(&parts.headers)?;
        let empty = inner.is_end_stream();
        match (&answer.allowed.payload, read) {
            // Hashed by the verifier.
            (SignedPayload::Verified, Some(bytes)) => Ok(GuardedBody::whole(inner, bytes)),
            (SignedPayload::Verified, None) => {
                // It was verified over a hash that nobody held against the body.
                Err(Refused::unavailable("the body was not read"))
            }
            (SignedPayload::Declared(hash), _) => {
                // Nobody reads a body of no bytes.
                if (empty || length == Some(0)) && !hash.eq_ignore_ascii_case(EMPTY_SHA256) {
                    return Err(body::hash_mismatch());
                }
                Ok(GuardedBody::of_hash(inner, hash, length))
            }
            (SignedPayload::Unsigned, read) => {
                let nothing = empty || length == Some(0);
                if !nothing && !question.tls && !self.unsigned_bodies {
                    return Err(in_the_clear());
                }
                Ok(match read {
                    Some(bytes) => GuardedBody::whole(inner, bytes),
                    None => GuardedBody::unchecked(inner, length),
                })
            }
            (SignedPayload::Streaming, Some(_)) => Err(bad_request(
                "A body that says what is asked for is not sent in chunks.",
            )),
            (SignedPayload::Streaming, None) => self.guard_chunks(parts, inner, question, answer),
        }
    }

    /// A body in chunks.
    fn guard_chunks<B>(
        &self,
        parts: &mut Parts,
        inner: B,
        question: &GuardRequest,
        answer: &Answer,
    ) -> Result<GuardedBody<B>, Refused> {
        let mode = text(&parts.headers, CONTENT_SHA256)?.unwrap_or_default();
        let signed = match mode {
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" | "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => {
                true
            }
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => false,
            // A presigned URL names its mode in the query, and nothing there signs chunks.
            _ => {
                return Err(bad_request(
                    "A body in chunks has its mode in the header x-amz-content-sha256.",
                ));
            }
        };
        let trailers: Vec<String> = match text(&parts.headers, "x-amz-trailer")? {
            Some(names) => names
                .split(',')
                .map(|name| name.trim().to_ascii_lowercase())
                .collect(),
            None => Vec::new(),
        };
        if mode.ends_with("-TRAILER") == trailers.is_empty() {
            return Err(bad_request(
                "x-amz-trailer stands beside a payload mode that ends in -TRAILER, and only there.",
            ));
        }
        let decoded = text(&parts.headers, "x-amz-decoded-content-length")?
            .and_then(|length| length.parse::<u64>().ok())
            .ok_or_else(|| {
                Refused::new(
                    "MissingContentLength",
                    "You must provide the Content-Length HTTP header.",
                    411,
                )
            })?;
        if !signed && !question.tls && !self.unsigned_bodies {
            return Err(in_the_clear());
        }
        let signing = if signed {
            Some(self.chunk_signing(question, answer, &parts.headers)?)
        } else {
            None
        };
        let decoder = Decoder::new(signing, &trailers, decoded)
            .map_err(|error| Refused::new("NotImplemented", &error.to_string(), 501))?;
        // What goes on is the decoded body.
        for name in ["x-amz-decoded-content-length", "x-amz-trailer"] {
            parts.headers.remove(name);
        }
        parts
            .headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(decoded));
        parts.headers.remove(header::TRANSFER_ENCODING);
        if let Some(codings) = text(&parts.headers, header::CONTENT_ENCODING.as_str())? {
            let left: Vec<&str> = codings
                .split(',')
                .map(str::trim)
                .filter(|coding| !coding.eq_ignore_ascii_case("aws-chunked"))
                .collect();
            if left.is_empty() {
                parts.headers.remove(header::CONTENT_ENCODING);
            } else if let Ok(value) = HeaderValue::from_str(&left.join(", ")) {
                parts.headers.insert(header::CONTENT_ENCODING, value);
            }
        }
        Ok(GuardedBody::of_chunks(inner, decoder, decoded))
    }

    /// The chunks of a stream rest on the signature of its request, which was verified.
    fn chunk_signing(
        &self,
        question: &GuardRequest,
        answer: &Answer,
        headers: &HeaderMap,
    ) -> Result<ChunkKey, Refused> {
        let field = |authorization: &str, name: &str| {
            authorization
                .split([',', ' '])
                .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
                .map(str::to_owned)
        };
        let authorization = text(headers, header::AUTHORIZATION.as_str())?;
        let read = authorization.and_then(|authorization| {
            let credential = field(authorization, "Credential")?;
            let (_, scope) = credential.split_once('/')?;
            Some((scope.to_owned(), field(authorization, "Signature")?))
        });
        let date = text(headers, "x-amz-date")?;
        let (Some((scope, seed)), Some(date)) = (read, date) else {
            return Err(Refused::new(
                "NotImplemented",
                "Streams of signed chunks are taken with a signature in the headers, dated by x-amz-date.",
                501,
            ));
        };
        Ok(ChunkKey {
            key: self.guard.chunk_key(question, answer)?,
            date: date.to_owned(),
            scope,
            seed,
        })
    }

    fn render<R>(
        &self,
        refused: &Refused,
        resource: &str,
        head: bool,
    ) -> Response<Either<R, Full<Bytes>>> {
        let (kind, text) = match self.kind {
            Kind::S3 { .. } => ("application/xml", refused.xml(resource)),
            Kind::Named(_) => ("application/x-amz-json-1.0", refused.json()),
        };
        // An answer to HEAD has no body.
        let text = if head { String::new() } else { text };
        let mut response = Response::new(Either::Right(Full::from(text)));
        *response.status_mut() =
            StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::FORBIDDEN);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

fn nothing<R>() -> Either<R, Full<Bytes>> {
    Either::Right(Full::default())
}

fn bad_request(message: &str) -> Refused {
    Refused::new("InvalidRequest", message, 400)
}

fn in_the_clear() -> Refused {
    bad_request(
        "The body is not signed and did not come over TLS: sign the payload, or use the HTTPS endpoint.",
    )
}

/// The one value of a header.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Refused> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(bad_request("A header stands more than once."));
    }
    first
        .map(|value| value.to_str().map(str::trim))
        .transpose()
        .map_err(|_| bad_request("A header is not ASCII."))
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    match text(headers, header::CONTENT_LENGTH.as_str())? {
        Some(length) => length
            .parse()
            .map(Some)
            .map_err(|_| bad_request("Content-Length is no number.")),
        None => Ok(None),
    }
}

async fn read_whole<B>(body: &mut B) -> Result<Bytes, Refused>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, WHOLE_BYTES_MAX).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Refused::new(
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed size.",
            400,
        )),
        Err(error) => Err(bad_request(&format!(
            "The body did not come whole: {error}"
        ))),
    }
}

/// Takes the signature off a request: the service behind shall neither verify it again, which it cannot, nor keep it.
fn strip(parts: &mut Parts) -> Result<(), Refused> {
    for name in [
        header::AUTHORIZATION.as_str(),
        CONTENT_SHA256,
        "x-amz-date",
        "x-amz-security-token",
    ] {
        parts.headers.remove(name);
    }
    let Some(query) = parts.uri.query() else {
        return Ok(());
    };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|part| !is_of_signature(part.split('=').next().unwrap_or_default()))
        .collect();
    let path = parts.uri.path();
    let target = if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", kept.join("&"))
    };
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    let target = target
        .parse()
        .map_err(|_| bad_request("The target does not read."))?;
    uri.path_and_query = Some(target);
    parts.uri = http::Uri::from_parts(uri).map_err(|_| bad_request("The target does not read."))?;
    Ok(())
}

/// Whether a parameter belongs to the signature. One that is spelled with escapes stays, and the service behind then
/// finds a signature that it cannot verify.
fn is_of_signature(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "x-amz-algorithm",
        "x-amz-content-sha256",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-signedheaders",
    ]
    .contains(&name.as_str())
}

const CONTENT_SHA256: &str = "x-amz-content-sha256";

/// SHA-256 of nothing.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The longest body that is read before the decision: a list of a thousand keys.
const WHOLE_BYTES_MAX: usize = 2 * 1024 * 1024;
