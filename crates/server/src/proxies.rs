//! Deciding for a proxy: nginx's `auth_request` and Envoy's `ext_authz` over HTTP. The status is the answer.
//!
//! `…/proxy/s3` has the request itself say what of S3 it asks for; `…/proxy/named` takes action and resource from
//! headers that the proxy's own configuration sets. Which of the two holds stands in the path, where a client of the
//! proxy cannot write: a header of a client's must never choose the question. `…/proxy` alone is `…/proxy/s3`.
//!
//! Without more behind it, a path is asked as nginx asks: the method and raw target of the original request stand in
//! headers. With more, as Envoy asks: method, target and headers are the original ones, the target behind our path.
//!
//! A proxy asks from this machine: the `Authorization` header is its client's, so it has nowhere to sign.

use bowline_service::{
    Authorization, Authorize, Caller, DoorError, Error, Kind, Operation, Service, SignedPayload,
    WireRequest,
};

use crate::message::{Held, Response, Via, answer, log_fault, with_header};
use crate::pool::Share;
use crate::router::{Router, note_refusal};

/// Where proxies ask.
pub(crate) const PATH: &str = "/v1/authorize/proxy";

/// Whether a path is served here, by whatever method.
pub(crate) fn serves(path: &str) -> bool {
    question(path).is_some()
}

/// What is asked, and what stands behind it of the path.
fn question(path: &str) -> Option<(Mapping, &str)> {
    let rest = path.strip_prefix(PATH)?;
    let (mapping, rest) = if rest.is_empty() {
        (Mapping::S3, rest)
    } else if let Some(rest) = rest.strip_prefix("/s3") {
        (Mapping::S3, rest)
    } else {
        (Mapping::Named, rest.strip_prefix("/named")?)
    };
    (rest.is_empty() || rest.starts_with('/')).then_some((mapping, rest))
}

/// Who says what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mapping {
    /// The request itself, which is one of S3.
    S3,
    /// The proxy.
    Named,
}

/// Answers a proxy.
pub(crate) async fn serve(router: &Router, held: Held, via: &Via, request_id: &str) -> Response {
    let Held { request, memory } = held;
    let ask = match original(request) {
        Ok(ask) => ask,
        Err(error) => {
            note_refusal(&router.service, via, &error);
            return refuse(&error, request_id);
        }
    };
    let caller = Caller::Nobody {
        source: via.source(),
    };
    let run = move |service: &Service| {
        let decided = ask.perform(service, &caller);
        drop(memory);
        decided
    };
    match router.run(via, Share::Read, run).await {
        Ok(decided) => render(&decided, request_id),
        Err(error) => refuse(&error, request_id),
    }
}

/// The status, and what the service behind the proxy may want to know.
fn render(decided: &Authorization, request_id: &str) -> Response {
    let reason = match &decided.code {
        Some(code) => code,
        None => &decided.decision,
    };
    let mut response = answer(decided.http_status, TEXT, format!("{}\n", decided.reason));
    response = with_header(response, "x-auth-decision-id", request_id);
    response = with_header(response, "x-auth-reason", &reason.replace('_', "-"));
    if !decided.allowed() {
        // Who was refused is the log's business; a proxy must not pass a name on by mistake.
        return response;
    }
    if let Some(who) = &decided.who {
        response = with_header(response, "x-auth-principal", &printable(&who.principal_arn));
        response = with_header(response, "x-auth-session", &who.session_id);
        let identity = printable(&who.source_identity);
        response = with_header(response, "x-auth-source-identity", &identity);
    }
    let payload = match &decided.payload {
        Some(SignedPayload::Verified) => "verified",
        Some(SignedPayload::Declared(_)) => "declared",
        Some(SignedPayload::Unsigned) => "unsigned",
        Some(SignedPayload::Streaming) => "streaming",
        None => return response,
    };
    with_header(response, "x-auth-payload", payload)
}

/// Renders what kept the question from being decided.
pub(crate) fn refuse(error: &Error, request_id: &str) -> Response {
    log_fault(error, request_id);
    let status = match error.kind() {
        Kind::Invalid | Kind::Conflict | Kind::NotFound => 400,
        Kind::Unauthenticated => 401,
        Kind::Denied => 403,
        Kind::Limit => 429,
        Kind::Internal => 500,
        Kind::Unavailable => 503,
    };
    let public = error.public();
    let body = format!("{} [{}]\n", public.message, public.code);
    let response = with_header(answer(status, TEXT, body), "x-auth-decision-id", request_id);
    with_header(response, "x-auth-reason", &public.code.replace('_', "-"))
}

/// The question a proxy asks: the original request, without what is no part of it.
fn original(request: WireRequest) -> Result<Authorize, Error> {
    let WireRequest {
        method,
        target,
        headers,
        body,
    } = request;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    // Cannot fail: the router looked at the same path.
    let (mapping, rest) = question(path).unwrap_or((Mapping::S3, ""));
    let told = Told::new(&headers);
    let (method, target, partial) = if rest.is_empty() {
        let method = told.needed(
            "x-original-method",
            "the method of the request it asks about",
        )?;
        let target = told.needed(
            "x-original-uri",
            "the raw target of the request it asks about",
        )?;
        (method, target, true)
    } else {
        let target = match target.contains('?') {
            true => format!("{rest}?{query}"),
            false => rest.to_owned(),
        };
        let partial = told.optional("x-envoy-auth-partial-body")?;
        (method, target, partial.is_some_and(|it| it != "false"))
    };
    let length = told.optional("x-original-content-length")?;
    // What is known of the body: all of it, that there is none, or nothing.
    let chunked = told.optional("x-original-transfer-encoding")?.is_some();
    let bodiless = matches!(method.as_str(), "GET" | "HEAD") && length.is_none();
    let empty = !chunked && (bodiless || length == Some("0"));
    let body = match (partial || body.is_empty(), empty) {
        (false, _) => Some(body),
        (true, true) => Some(Vec::new()),
        (true, false) => None,
    };
    let length = length.map(str::to_owned);
    let length = length.or_else(|| {
        body.as_ref()
            .filter(|body| !body.is_empty())
            .map(|body| length_of(body))
    });
    let (action, resource, service) = match mapping {
        Mapping::Named => (
            Some(told.needed("x-bowline-action", "its own configuration")?),
            Some(told.needed("x-bowline-resource", "its own configuration")?),
            told.optional("x-bowline-service")?.map(str::to_owned),
        ),
        Mapping::S3 => {
            for header in [
                "x-bowline-action",
                "x-bowline-resource",
                "x-bowline-service",
            ] {
                if told.optional(header)?.is_some() {
                    let reason = "it belongs to /v1/authorize/proxy/named, and a client must not choose the question";
                    return Err(DoorError::ProxyHeaderMalformed { header, reason }.into());
                }
            }
            (None, None, None)
        }
    };
    let source_ip = told.optional("x-original-remote-addr")?;
    let source_ip =
        source_ip
            .map(str::parse)
            .transpose()
            .map_err(|_| DoorError::ProxyHeaderMalformed {
                header: "x-original-remote-addr",
                reason: "it is an IPv4 or IPv6 address",
            })?;
    let tls = told.optional("x-original-scheme")? == Some("https");
    if headers.iter().any(|(name, _)| is_lookalike(name)) {
        let reason = "an x-amz- or x-auth- header with an underscore in its name is one with a hyphen to some servers behind";
        let header = "with an underscore";
        return Err(DoorError::ProxyHeaderMalformed { header, reason }.into());
    }
    let mut kept: Vec<(String, String)> = headers
        .iter()
        .filter(|(name, _)| !is_between(name))
        .cloned()
        .collect();
    kept.extend(length.map(|length| ("content-length".to_owned(), length)));
    Ok(Authorize {
        method,
        target,
        headers: kept,
        body,
        action,
        resource,
        service,
        source_ip,
        tls,
        ..Authorize::default()
    })
}

fn length_of(body: &[u8]) -> String {
    body.len().to_string()
}

/// Whether a header belongs to the way between proxy and server, not to the original request.
fn is_between(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["x-original-", "x-auth-", "x-bowline-", "x-envoy-"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || matches!(name.as_str(), "content-length" | "connection")
}

/// Whether a server that makes variables of headers (RFC 3875 §4.1.18) takes a header for one that the signature has to
/// cover, or for one that tells it who was let in.
fn is_lookalike(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let hyphened = name.replace('_', "-");
    name != hyphened
        && ["x-amz-", "x-auth-"]
            .iter()
            .any(|it| hyphened.starts_with(it))
}

/// What the proxy tells in headers.
struct Told<'a>(&'a [(String, String)]);

impl<'a> Told<'a> {
    fn new(headers: &'a [(String, String)]) -> Told<'a> {
        Told(headers)
    }

    /// A header that may be missing or empty. Twice, one of them would be the client's.
    fn optional(&self, header: &'static str) -> Result<Option<&'a str>, Error> {
        let mut values = self
            .0
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(header))
            .map(|(_, value)| value.trim());
        let first = values.next();
        if values.next().is_some() {
            let reason = "it stands more than once: the proxy sets it, and lets none of its client's through";
            return Err(DoorError::ProxyHeaderMalformed { header, reason }.into());
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    fn needed(&self, header: &'static str, from: &'static str) -> Result<String, Error> {
        let value = self.optional(header)?;
        let missing = DoorError::ProxyHeaderMissing { header, from };
        value.map(str::to_owned).ok_or_else(|| missing.into())
    }
}

/// A text as a header can carry it: what is not printable ASCII is percent-encoded, and the percent sign with it.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..b' ' | 0x7f.. => out.push_str(&format!("%{byte:02X}")),
            byte => out.push(char::from(byte)),
        }
    }
    out
}

const TEXT: &str = "text/plain; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(target: &str, headers: &[(&str, &str)], body: &str) -> Result<Authorize, String> {
        let headers = headers.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        let request = WireRequest {
            method: "PUT".into(),
            target: target.into(),
            headers: headers.collect(),
            body: body.into(),
        };
        original(request).map_err(|error| error.code().into_owned())
    }

    const NGINX: [(&str, &str); 5] = [
        ("host", "s3.example"),
        ("x-original-method", "GET"),
        ("x-original-uri", "/data/a%20b?x=1"),
        ("authorization", "AWS4-HMAC-SHA256 …"),
        ("x-auth-principal", "forged"),
    ];

    fn names(ask: &Authorize) -> Vec<&str> {
        ask.headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn paths_say_who_chooses_the_question() {
        for (path, found) in [
            ("/v1/authorize/proxy", Some((Mapping::S3, ""))),
            ("/v1/authorize/proxy/s3", Some((Mapping::S3, ""))),
            ("/v1/authorize/proxy/s3/", Some((Mapping::S3, "/"))),
            (
                "/v1/authorize/proxy/s3/a/../b",
                Some((Mapping::S3, "/a/../b")),
            ),
            ("/v1/authorize/proxy/named/x", Some((Mapping::Named, "/x"))),
            ("/v1/authorize/proxy/", None),
            ("/v1/authorize/proxy/s3x", None),
            ("/v1/authorize/proxys3", None),
            ("/v1/authorize", None),
        ] {
            assert_eq!(question(path), found, "{path}");
        }
    }

    #[test]
    fn nginx_tells_the_original_in_headers() {
        let asked = ask(PATH, &NGINX, "").unwrap();
        assert_eq!(asked.method, "GET");
        assert_eq!(asked.target, "/data/a%20b?x=1");
        assert_eq!(names(&asked), ["host", "authorization"]);
        assert_eq!(asked.body, Some(Vec::new()));
        assert!(!asked.tls && asked.source_ip.is_none() && asked.action.is_none());
        assert_eq!(
            ask(PATH, &NGINX[..2], "").err().as_deref(),
            Some("proxy_header_missing")
        );
    }

    #[test]
    fn the_length_is_the_original_one_and_an_unseen_body_is_unknown() {
        let mut headers = NGINX.to_vec();
        headers[1] = ("x-original-method", "PUT");
        headers.push(("content-length", "0"));
        let asked = ask(PATH, &headers, "").unwrap();
        assert_eq!((names(&asked).len(), &asked.body), (2, &None));
        headers.push(("x-original-content-length", "12"));
        let asked = ask(PATH, &headers, "").unwrap();
        let length = ("content-length".to_owned(), "12".to_owned());
        assert_eq!((asked.headers.last(), &asked.body), (Some(&length), &None));
        headers.pop();
        headers.push(("x-original-content-length", "0"));
        assert_eq!(ask(PATH, &headers, "").unwrap().body, Some(Vec::new()));
        headers.push(("x-original-transfer-encoding", "chunked"));
        assert_eq!(ask(PATH, &headers, "").unwrap().body, None);
    }

    #[test]
    fn envoy_tells_the_original_behind_our_path() {
        let target = "/v1/authorize/proxy/s3/data/key?partNumber=1";
        let headers = [("host", "s3.example"), ("x-original-uri", "/forged")];
        let asked = ask(target, &headers, "").unwrap();
        assert_eq!(
            (asked.method.as_str(), asked.target.as_str()),
            ("PUT", "/data/key?partNumber=1")
        );
        assert_eq!(asked.body, None);
        let asked = ask(target, &headers, "whole").unwrap();
        assert_eq!(asked.body.as_deref(), Some(&b"whole"[..]));
        assert_eq!(asked.headers.last().unwrap().1, "5");
        let cut = [headers[0], ("x-envoy-auth-partial-body", "true")];
        assert_eq!(ask(target, &cut, "who").unwrap().body, None);
    }

    #[test]
    fn no_header_of_a_client_chooses_the_question() {
        let mut headers = NGINX.to_vec();
        headers.push(("X-Bowline-Action", "s3:ListBucket"));
        let refused = ask(PATH, &headers, "").err();
        assert_eq!(refused.as_deref(), Some("proxy_header_malformed"));
        let named = "/v1/authorize/proxy/named";
        assert_eq!(
            ask(named, &headers, "").err().as_deref(),
            Some("proxy_header_missing")
        );
        headers.push(("x-bowline-resource", "arn:aws:s3:::data"));
        let asked = ask(named, &headers, "").unwrap();
        assert_eq!(asked.action.as_deref(), Some("s3:ListBucket"));
        assert_eq!(asked.resource.as_deref(), Some("arn:aws:s3:::data"));
        headers.push(("x-bowline-resource", "arn:aws:s3:::other"));
        assert_eq!(
            ask(named, &headers, "").err().as_deref(),
            Some("proxy_header_malformed")
        );
    }

    #[test]
    fn names_travel_in_headers_whatever_they_hold() {
        assert_eq!(printable("CN=web-1"), "CN=web-1");
        assert_eq!(printable("é\r\nx: 1%"), "%C3%A9%0D%0Ax: 1%25");
    }
}
