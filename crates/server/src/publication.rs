//! What everybody may fetch, over plain HTTP too, because it is signed in itself: roots, CA
//! certificates, CRLs. And the health of the server.

use bowline_service::{
    Caller, Error, Kind, Operation, Service, ShowAuthority, ShowBundle, ShowRevocationList,
};
use http::request::Parts;

use crate::message::{Response, answer, with_header};
use crate::pool::Share;
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
pub(crate) async fn serve(router: &Router, parts: &Parts) -> Response {
    let head = parts.method == http::Method::HEAD;
    let response = match target(parts.uri.path()) {
        Some(Target::Alive) => answer(200, TEXT, "ok\n"),
        Some(Target::Ready) => match router.run(Share::Read, Service::ready).await {
            Ok(()) => answer(200, TEXT, "ready\n"),
            Err(error) => refuse(&error),
        },
        Some(Target::Roots) => {
            let run = |service: &Service| ShowBundle {}.run(service, &NOBODY);
            match router.run(Share::Read, run).await {
                Ok(bundle) => with_header(
                    answer(200, "application/x-pem-file", bundle.pem),
                    "cache-control",
                    "max-age=3600",
                ),
                Err(error) => refuse(&error),
            }
        }
        Some(Target::AuthorityCertificate(id)) => {
            let id = id.to_owned();
            let run =
                move |service: &Service| ShowAuthority { authority: id }.run(service, &NOBODY);
            match router.run(Share::Read, run).await {
                Ok(authority) => with_header(
                    answer(200, "application/pkix-cert", authority.certificate),
                    "cache-control",
                    "max-age=3600",
                ),
                Err(error) => refuse(&error),
            }
        }
        Some(Target::RevocationList(id)) => revocation_list(router, id).await,
        None => not_found(parts.uri.path()),
    };
    if head {
        response.map(|_| http_body_util::Full::default())
    } else {
        response
    }
}

/// A list that is fresh in memory is answered at once; only a new signature goes through the pool.
async fn revocation_list(router: &Router, id: &str) -> Response {
    let list = match router.service.fresh_revocation_list(id) {
        Some(list) => Ok(list),
        None => {
            let id = id.to_owned();
            let run = move |service: &Service| {
                ShowRevocationList {
                    authority: id,
                    fresh: false,
                }
                .run(service, &NOBODY)
            };
            router.run(Share::Write, run).await.map(std::sync::Arc::new)
        }
    };
    match list {
        Ok(list) => {
            // A revocation shows within seconds; so caches must ask again soon.
            with_header(
                answer(200, "application/pkix-crl", list.der.clone()),
                "cache-control",
                "max-age=1",
            )
        }
        Err(error) => refuse(&error),
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

fn refuse(error: &Error) -> Response {
    let status = match error.kind() {
        Kind::Invalid => 400,
        Kind::Unauthenticated | Kind::Denied => 403,
        Kind::NotFound => 404,
        Kind::Conflict => 409,
        Kind::Limit => 429,
        Kind::Internal => 500,
        Kind::Unavailable => 503,
    };
    let public = error.public();
    answer(
        status,
        TEXT,
        format!("{} [{}]\n", public.message, public.code),
    )
}

const NOBODY: Caller = Caller::Nobody { source: None };
const TEXT: &str = "text/plain; charset=utf-8";
