//! What everybody may fetch, over plain HTTP too, because it is signed in itself: roots, CA
//! certificates, CRLs. And the health of the server.

use bowline_service::{
    Caller, Error, Kind, Operation, Service, ShowAuthority, ShowBundle, ShowRevocationList,
};
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::request::Parts;

use crate::message::{Response, answer, log_fault, with_header};
use crate::router::Router;

/// Whether a path is served here.
pub(crate) fn serves(path: &str) -> bool {
    target(path).is_some()
}

enum Target<'a> {
    Roots,
    AuthorityCertificate(&'a str),
    RevocationList(&'a str),
    Alive,
    Ready,
}

fn target(path: &str) -> Option<Target<'_>> {
    match path {
        "/roots.pem" => return Some(Target::Roots),
        "/healthz" => return Some(Target::Alive),
        "/readyz" => return Some(Target::Ready),
        _ => {}
    }
    let id = |prefix: &str, suffix: &str| {
        path.strip_prefix(prefix)?
            .strip_suffix(suffix)
            .filter(|id| !id.is_empty() && !id.contains('/'))
    };
    id("/ca/", ".crt")
        .map(Target::AuthorityCertificate)
        .or_else(|| id("/crl/", ".crl").map(Target::RevocationList))
}

/// Answers a fetch.
pub(crate) async fn serve(router: &Router, parts: &Parts, request_id: &str) -> Response {
    let response = match target(parts.uri.path()) {
        Some(target) => match fetch(router, target).await {
            Ok(response) => response,
            Err(error) => refuse(&error, request_id),
        },
        None => not_found(parts.uri.path()),
    };
    if parts.method == http::Method::HEAD {
        without_body(response)
    } else {
        response
    }
}

async fn fetch(router: &Router, target: Target<'_>) -> Result<Response, Error> {
    Ok(match target {
        Target::Alive => answer(200, TEXT, "ok\n"),
        Target::Ready => match router.publish(Service::ready).await {
            Ok(()) => answer(200, TEXT, "ready\n"),
            // Whatever is missing, who balances load is told one thing: not now.
            Err(error) => answer(503, TEXT, line(&error)),
        },
        Target::Roots => {
            let run = |service: &Service| ShowBundle {}.run(service, &NOBODY);
            let bundle = router.publish(run).await?;
            kept_for(HOUR, answer(200, "application/x-pem-file", bundle.pem))
        }
        Target::AuthorityCertificate(id) => {
            let id = id.to_owned();
            let run =
                move |service: &Service| ShowAuthority { authority: id }.run(service, &NOBODY);
            let authority = router.publish(run).await?;
            kept_for(
                HOUR,
                answer(200, "application/pkix-cert", authority.certificate),
            )
        }
        Target::RevocationList(id) => {
            let der = revocation_list(router, id).await?;
            // A revocation shows within seconds; so caches must ask again soon.
            kept_for(SECOND, answer(200, "application/pkix-crl", der))
        }
    })
}

/// A list that is fresh in memory is answered at once; only a new signature goes through the pool. Strangers
/// cannot make us sign at will: between two revocations one signature is good for half the life of a list.
async fn revocation_list(router: &Router, id: &str) -> Result<Vec<u8>, Error> {
    if let Some(list) = router.service.fresh_revocation_list(id) {
        return Ok(list.der.clone());
    }
    let ask = ShowRevocationList {
        authority: id.to_owned(),
        fresh: false,
    };
    let run = move |service: &Service| ask.run(service, &NOBODY);
    Ok(router.publish(run).await?.der)
}

/// The same headers, the length of the body among them, and no body (RFC 9110 §9.3.2).
fn without_body(response: Response) -> Response {
    use hyper::body::Body;
    let length = response.body().size_hint().exact().unwrap_or_default();
    let mut response = response.map(|_| http_body_util::Full::default());
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn kept_for(cache: &'static str, response: Response) -> Response {
    with_header(response, "cache-control", cache)
}

/// The answer for a request that two readers could read differently. What follows it on the connection is
/// anybody's guess, so nothing may.
pub(crate) fn malformed(status: u16, text: &str, version: http::Version) -> Response {
    let response = answer(status, TEXT, format!("{text}\n"));
    if version < http::Version::HTTP_2 {
        with_header(response, "connection", "close")
    } else {
        response
    }
}

/// The answer for a path nobody serves.
pub(crate) fn not_found(path: &str) -> Response {
    answer(
        404,
        TEXT,
        format!("nothing is served at {path} by this method\n"),
    )
}

/// The answer for what plain HTTP beyond loopback does not carry.
pub(crate) fn needs_tls(path: &str) -> Response {
    answer(
        403,
        TEXT,
        format!("{path} is served over TLS, and over plain HTTP on loopback only\n"),
    )
}

fn refuse(error: &Error, request_id: &str) -> Response {
    log_fault(error, request_id);
    let status = match error.kind() {
        Kind::Invalid => 400,
        Kind::Unauthenticated | Kind::Denied => 403,
        Kind::NotFound => 404,
        Kind::Conflict => 409,
        Kind::Limit => 429,
        Kind::Internal => 500,
        Kind::Unavailable => 503,
    };
    answer(status, TEXT, line(error))
}

fn line(error: &Error) -> String {
    let public = error.public();
    format!("{} [{}]\n", public.message, public.code)
}

const NOBODY: Caller = Caller::Nobody { source: None };
const TEXT: &str = "text/plain; charset=utf-8";
/// Certificates of authorities change with a rollover, which is announced longer ahead.
const HOUR: &str = "max-age=3600";
const SECOND: &str = "max-age=1";
