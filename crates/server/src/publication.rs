//! What everybody may fetch, over plain HTTP too, because it is signed in itself, or hashed into what is: roots, CA
//! certificates, CRLs, the event log. And the health of the server.

use std::sync::Arc;
use std::time::Duration;

use bowline_service::{
    Caller, Error, Kind, Operation, RevocationList, Service, ShowAuthority, ShowBundle, ShowJwks,
    ShowOpenIdConfiguration, ShowRevocationList,
};
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::request::Parts;
use http_body_util::{Either, Full};
use hyper::body::Bytes;

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
    LogCheckpoint,
    LogKey,
    LogTile(&'a str),
    LogEntries(&'a str),
    OpenIdConfiguration,
    Jwks,
    Alive,
    Ready,
}

fn target(path: &str) -> Option<Target<'_>> {
    match path {
        "/roots.pem" => return Some(Target::Roots),
        "/healthz" => return Some(Target::Alive),
        "/readyz" => return Some(Target::Ready),
        "/log/checkpoint" => return Some(Target::LogCheckpoint),
        "/log/key" => return Some(Target::LogKey),
        // OpenID Connect Discovery 1.0 §4.
        "/.well-known/openid-configuration" => return Some(Target::OpenIdConfiguration),
        "/.well-known/jwks.json" => return Some(Target::Jwks),
        _ => {}
    }
    // Which tiles there are, and how their paths are written, the log itself knows (C2SP tlog-tiles).
    if let Some(tile) = path.strip_prefix("/log/tile/") {
        return Some(match tile.strip_prefix("entries/") {
            Some(bundle) => Target::LogEntries(bundle),
            None => Target::LogTile(tile),
        });
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
            Ok(Some(response)) => response,
            Ok(None) => not_found(parts.uri.path()),
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

async fn fetch(router: &Router, target: Target<'_>) -> Result<Option<Response>, Error> {
    let answer_held = |content_type, bytes: Vec<u8>| {
        let bytes = router.hold(bytes)?;
        Ok::<_, Error>(answer(200, content_type, bytes))
    };
    Ok(Some(match target {
        Target::Alive => answer(200, TEXT, "ok\n"),
        Target::Ready => match router.publish(Service::ready).await {
            Ok(()) => match router.commits.refused() {
                None => answer(200, TEXT, "ready\n"),
                // The reason may speak of this machine: it is in the log.
                Some(code) => answer(503, TEXT, format!("commits are refused [{code}]\n")),
            },
            // Whatever is missing, who balances load is told one thing: not now.
            Err(error) => answer(503, TEXT, line(&error)),
        },
        Target::Roots => {
            let run = |service: &Service| ShowBundle {}.run(service, &NOBODY);
            let bundle = router.publish(run).await?;
            kept_for(
                HOUR,
                answer_held("application/x-pem-file", bundle.pem.into())?,
            )
        }
        Target::AuthorityCertificate(id) => {
            let id = id.to_owned();
            let run =
                move |service: &Service| ShowAuthority { authority: id }.run(service, &NOBODY);
            let authority = router.publish(run).await?;
            kept_for(
                HOUR,
                answer_held("application/pkix-cert", authority.certificate)?,
            )
        }
        Target::RevocationList(id) => {
            let der = revocation_list(router, id).await?;
            // A revocation shows within seconds; so caches must ask again soon.
            kept_for(SECOND, answer(200, "application/pkix-crl", der))
        }
        Target::OpenIdConfiguration => {
            let run = |service: &Service| ShowOpenIdConfiguration {}.run(service, &NOBODY);
            let document = router.publish(run).await?;
            // Read by programs of any origin, in browsers too; there is nothing in it to keep from them.
            let answer = answer_held(JSON, document.to_string().into())?;
            with_header(kept_for(MINUTE, answer), "access-control-allow-origin", "*")
        }
        Target::Jwks => {
            let run = |service: &Service| ShowJwks {}.run(service, &NOBODY);
            let keys = router.publish(run).await?;
            let answer = answer_held(JWK_SET, keys.to_string().into())?;
            with_header(kept_for(MINUTE, answer), "access-control-allow-origin", "*")
        }
        Target::LogCheckpoint => {
            let Some(note) = router.publish(Service::log_checkpoint).await? else {
                return Ok(None);
            };
            kept_for(SECOND, answer_held(TEXT, note.into())?)
        }
        Target::LogKey => {
            let Some(key) = router.publish(Service::log_key).await? else {
                return Ok(None);
            };
            kept_for(HOUR, answer_held(TEXT, format!("{key}\n").into())?)
        }
        Target::LogTile(path) => {
            let path = path.to_owned();
            let tile = move |service: &Service| service.log_tile(&path);
            let Some(hashes) = router.publish(tile).await? else {
                return Ok(None);
            };
            kept_for(WEEK, answer_held(BYTES, hashes)?)
        }
        Target::LogEntries(_) if !router.publish_events => return Ok(None),
        Target::LogEntries(path) => {
            let path = path.to_owned();
            let bundle = move |service: &Service| service.log_entries(&path);
            let Some(entries) = router.publish(bundle).await? else {
                return Ok(None);
            };
            kept_for(WEEK, answer_held(BYTES, entries)?)
        }
    }))
}

/// A list that is fresh in memory is answered at once; only a new signature goes through the pool. Strangers
/// cannot make us sign at will: between two revocations one signature is good for half the life of a list.
async fn revocation_list(router: &Router, id: &str) -> Result<Bytes, Error> {
    if let Some(list) = router.service.fresh_revocation_list(id) {
        return Ok(Bytes::from_owner(Shared(list)));
    }
    // One at a time, and those who wait take no thread: on a slow disk fetches of one stale list would take every
    // place from the other things everybody may fetch.
    let turn = tokio::time::timeout(TURN_TIME, router.signing.clone().lock_owned());
    let turn = turn.await.map_err(|_| Error::Busy)?;
    if let Some(list) = router.service.fresh_revocation_list(id) {
        return Ok(Bytes::from_owner(Shared(list)));
    }
    let ask = ShowRevocationList {
        authority: id.to_owned(),
        fresh: false,
    };
    let run = move |service: &Service| {
        let list = ask.run(service, &NOBODY);
        // Given back by the work, not by who asked for it: a client that goes away does not begin a second one.
        drop(turn);
        list
    };
    router.hold(router.publish(run).await?.der)
}

/// A list in memory, as the body of any number of answers: it may be megabytes, and strangers may read slowly.
struct Shared(Arc<RevocationList>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.der
    }
}

/// The same headers, the length of the body among them, and no body (RFC 9110 §9.3.2).
fn without_body(response: Response) -> Response {
    use hyper::body::Body;
    let length = response.body().size_hint().exact().unwrap_or_default();
    let mut response = response.map(|_| Either::Left(Full::default()));
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
const BYTES: &str = "application/octet-stream";
const JSON: &str = "application/json";
/// RFC 7517 §8.5.1.
const JWK_SET: &str = "application/jwk-set+json";
/// Who meets a key he does not know asks again; a cache between must not keep the old set for long then.
const MINUTE: &str = "public, max-age=60";
/// Certificates of authorities change with a rollover, which is announced longer ahead.
const HOUR: &str = "max-age=3600";
const SECOND: &str = "max-age=1";
/// Tiles never change (C2SP tlog-tiles). Not kept for longer, because a home that was restored begins another log at
/// the same paths.
const WEEK: &str = "public, max-age=604800, immutable";
/// How long a fetch waits for its turn to have a CRL signed: a few syncs of a slow disk.
const TURN_TIME: Duration = Duration::from_secs(5);
