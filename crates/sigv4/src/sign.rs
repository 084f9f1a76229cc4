//! Signing requests: with a shared secret (header and query form) and with a certificate's key.

use crate::canonical::{self, SignedHeaders, Spelling, canonical_request, string_to_sign};
use crate::error::SignatureError;
use crate::hmac::{self, Form};
use crate::key::{Credentials, signing_key};
use crate::payload::{self, sha256};
use crate::request::{Body, SignedRequest, View};
use crate::rules::{PRESIGNED_SECONDS_MAX, Rules, is_s3_style};
use crate::scope::{Scope, Timestamp};
use crate::uri::{self, EqualsSign};
use crate::x509::{self, CHAIN_HEADER, CHAIN_MAX, Family, LEAF_HEADER, SERVICE};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_x509::{Certificate, Signer, Time};
use chrono::TimeDelta;
use std::borrow::Cow;

/// Headers that are left unsigned because a proxy or the HTTP client sets or changes them on the way.
const UNSIGNED: [&str; 14] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
];

/// Signs in header form. Returns the headers to add to the request, `Authorization` last.
///
/// The request must have its `Host` and must not have a date, a token or an `Authorization` header yet.
/// For S3-style services the body's hash is declared; a body that is unknown there stays unsigned.
pub fn sign_hmac(
    request: &SignedRequest<'_>,
    credentials: &Credentials<'_>,
    region: &str,
    service: &str,
    now: Time,
) -> Result<Vec<(String, String)>, SignatureError> {
    let timestamp = timestamp(now)?;
    let scope = scope(&timestamp, region, service);
    let mut added = vec![("x-amz-date".to_owned(), timestamp.text().to_owned())];
    if let Some(token) = credentials.session_token {
        added.push(("x-amz-security-token".to_owned(), token.to_owned()));
    }
    if is_s3_style(service) && !has_header(request, "x-amz-content-sha256") {
        let mode = match request.body {
            Body::Unknown => payload::unsigned(true)?,
            body => payload::of_body(body)?,
        };
        // Cannot fail: hexadecimal digits, or the name of a mode.
        let text = String::from_utf8_lossy(mode.text.as_bytes()).into_owned();
        added.push(("x-amz-content-sha256".to_owned(), text));
    }
    let whole = with_headers(request, &added);
    let (signed, text) = hmac_text(&whole, Form::Header, &timestamp, &scope)?;
    let key = signing_key(credentials.secret, &scope.date, region, service);
    let authorization = authorization(
        hmac::ALGORITHM,
        credentials.access_key_id,
        &scope,
        &signed,
        &hex::encode(key.sign(&text)),
    );
    added.push(("authorization".to_owned(), authorization));
    Ok(added)
}

/// Signs in query form. Returns the request target to use instead: a presigned URL, if the target was absolute.
///
/// Every header of the request must then be sent as it is. `expires` is cut to whole seconds, of which there
/// may be [`PRESIGNED_SECONDS_MAX`].
pub fn presign(
    request: &SignedRequest<'_>,
    credentials: &Credentials<'_>,
    region: &str,
    service: &str,
    expires: TimeDelta,
    now: Time,
) -> Result<String, SignatureError> {
    let seconds = expires.num_seconds();
    if !(1..=PRESIGNED_SECONDS_MAX).contains(&seconds) {
        return Err(SignatureError::MalformedExpires {
            value: seconds.to_string(),
            limit: PRESIGNED_SECONDS_MAX,
        });
    }
    let timestamp = timestamp(now)?;
    let scope = scope(&timestamp, region, service);
    let mut credential = credentials.access_key_id.as_bytes().to_vec();
    credential.push(b'/');
    scope.write(&mut credential);
    let names = signable_names(request);
    let mut target = request.target.to_owned();
    let mut parameter = |name: &str, value: &[u8]| {
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(name);
        target.push('=');
        // Cannot lose anything: an encoded value is ASCII.
        target.push_str(&String::from_utf8_lossy(&uri::encode(value)));
    };
    parameter("X-Amz-Algorithm", hmac::ALGORITHM.as_bytes());
    parameter("X-Amz-Credential", &credential);
    parameter("X-Amz-Date", timestamp.text().as_bytes());
    parameter("X-Amz-Expires", seconds.to_string().as_bytes());
    if let Some(token) = credentials.session_token {
        parameter("X-Amz-Security-Token", token.as_bytes());
    }
    parameter("X-Amz-SignedHeaders", names.as_bytes());
    let whole = SignedRequest {
        target: &target,
        ..request.clone()
    };
    let (_, text) = hmac_text(&whole, Form::Query, &timestamp, &scope)?;
    let key = signing_key(credentials.secret, &scope.date, region, service);
    let signature = hex::encode(key.sign(&text));
    Ok(format!("{target}&X-Amz-Signature={signature}"))
}

/// Signs with a certificate's key, as CreateSession wants it. Returns the headers to add, `Authorization` last.
///
/// `chain` holds the intermediates, at most [`CHAIN_MAX`]. The request must have its `Host`.
/// ECDSA signs over SHA-256 whatever the curve.
pub fn sign_x509(
    request: &SignedRequest<'_>,
    leaf: &Certificate,
    chain: &[Certificate],
    signer: &dyn Signer,
    region: &str,
    now: Time,
) -> Result<Vec<(String, String)>, SignatureError> {
    if chain.len() > CHAIN_MAX {
        return Err(SignatureError::ChainTooLong {
            count: chain.len(),
            limit: CHAIN_MAX,
        });
    }
    let key = x509::key_of(leaf)?;
    if key.spki_der() != signer.public_key().spki_der() {
        return Err(SignatureError::SigningFailed {
            reason: "the private key does not belong to the certificate".to_owned(),
        });
    }
    let family = Family::of_key(key)?;
    let timestamp = timestamp(now)?;
    let scope = scope(&timestamp, region, SERVICE);
    let mut added = vec![
        ("x-amz-date".to_owned(), timestamp.text().to_owned()),
        (LEAF_HEADER.to_owned(), STANDARD.encode(leaf.der())),
    ];
    if !chain.is_empty() {
        let texts: Vec<String> = chain.iter().map(|c| STANDARD.encode(c.der())).collect();
        added.push((CHAIN_HEADER.to_owned(), texts.join(",")));
    }
    let whole = with_headers(request, &added);
    let view = View::new(&whole)?;
    let signed = SignedHeaders::parse(&signable_names(&whole), &view)?;
    let line = payload::of_body(view.body)?;
    let path = generic_path(&view)?;
    let canonical = canonical_request(
        &view,
        &spelling(&view, &path),
        &signed,
        line.text.as_bytes(),
    );
    let text = string_to_sign(family.label(), &timestamp, &scope, &sha256(&canonical));
    let signature =
        signer
            .sign(family.algorithm(), &text)
            .map_err(|error| SignatureError::SigningFailed {
                reason: error.to_string(),
            })?;
    let authorization = authorization(
        family.label(),
        &leaf.serial().to_decimal(),
        &scope,
        &signed,
        &hex::encode(signature),
    );
    added.push(("authorization".to_owned(), authorization));
    Ok(added)
}

/// The string to sign of a request that is whole but for its signature.
fn hmac_text(
    request: &SignedRequest<'_>,
    form: Form,
    timestamp: &Timestamp,
    scope: &Scope,
) -> Result<(SignedHeaders, Vec<u8>), SignatureError> {
    let view = View::new(request)?;
    let signed = SignedHeaders::parse(&signable_names(request), &view)?;
    let line = hmac::payload_line(&view, form, &scope.service, &Rules::for_relying_services())?;
    let path = if is_s3_style(&scope.service) {
        uri::s3_path(view.path)?
    } else {
        generic_path(&view)?
    };
    let hash = canonical::hash(
        &view,
        &spelling(&view, &path),
        &signed,
        line.text.as_bytes(),
    );
    let text = string_to_sign(hmac::ALGORITHM, timestamp, scope, &hash);
    Ok((signed, text))
}

fn spelling<'a>(view: &View<'a>, path: &'a [u8]) -> Spelling<'a> {
    Spelling {
        path,
        equals: EqualsSign::Once,
        without: None,
        // SignedHeaders::parse made sure that there is a host.
        host: view.host.unwrap_or_default(),
    }
}

/// Normalised, then encoded once more, as AWS wants it of every service but S3.
fn generic_path<'a>(view: &View<'a>) -> Result<Cow<'a, [u8]>, SignatureError> {
    match uri::normalised(view.path)? {
        Some(path) => Ok(Cow::Owned(uri::encoded_again(&path)?.into_owned())),
        None => uri::encoded_again(view.path),
    }
}

fn timestamp(now: Time) -> Result<Timestamp, SignatureError> {
    Timestamp::from_time(now).ok_or_else(|| SignatureError::MalformedDate {
        value: now.to_string(),
    })
}

fn scope(timestamp: &Timestamp, region: &str, service: &str) -> Scope {
    Scope {
        date: timestamp.day().to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
    }
}

fn has_header(request: &SignedRequest<'_>, name: &str) -> bool {
    request
        .headers
        .iter()
        .any(|(n, _)| n.eq_ignore_ascii_case(name))
}

fn with_headers<'a>(
    request: &SignedRequest<'a>,
    added: &'a [(String, String)],
) -> SignedRequest<'a> {
    let mut whole = request.clone();
    whole
        .headers
        .extend(added.iter().map(|(n, v)| (n.as_str(), v.as_bytes())));
    whole
}

/// `host` and all headers but those that change on the way: sorted, lower case, joined by `;`.
fn signable_names(request: &SignedRequest<'_>) -> String {
    let mut names: Vec<String> = request
        .headers
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .filter(|name| !UNSIGNED.contains(&name.as_str()))
        .chain(["host".to_owned()])
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(";")
}

fn authorization(
    algorithm: &str,
    id: &str,
    scope: &Scope,
    signed: &SignedHeaders,
    signature: &str,
) -> String {
    let Scope {
        date,
        region,
        service,
    } = scope;
    let terminator = crate::scope::TERMINATOR;
    format!(
        "{algorithm} Credential={id}/{date}/{region}/{service}/{terminator}, SignedHeaders={}, Signature={signature}",
        signed.text
    )
}
