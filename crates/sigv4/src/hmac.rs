//! AWS4-HMAC-SHA256: verifying requests that were signed with a shared secret, in header or query form.
//!
//! Verifying has two steps, so that the caller looks the secret up in between: [`Presented::parse`] says
//! which access key the request claims, [`Presented::verify`] says whether it is true.
//!
//! S3-style paths are proved byte for byte. Other paths are proved as far as signers agree about them: `/a/../b`,
//! `//b` and `/b` may have one signature, so whoever decides by path decides by the normalised one.

use crate::canonical::{self, SignedHeaders, Spelling, string_to_sign};
use crate::error::{SignatureError, quoted};
use crate::key::{SigningKey, signing_key};
use crate::payload::{self, Payload, PayloadLine};
use crate::request::{SignedRequest, View};
use crate::rules::{PRESIGNED_SECONDS_MAX, Rules, Window, is_s3_style};
use crate::scope::{Authorization, Credential, Scope, Timestamp, split_credential, split_scheme};
use crate::uri::{self, EqualsSign};
use bowline_x509::Time;
use chrono::TimeDelta;
use std::borrow::Cow;
use std::fmt;

/// The label of this algorithm.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Query parameters any of which makes a request a presigned one.
const QUERY_FORM: [&str; 4] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
];

/// Query parameters that every presigned request has, in the order in which missing ones are told.
const QUERY_FORM_NEEDED: [&str; 6] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "X-Amz-Date",
    "X-Amz-Expires",
];

/// Query parameters that belong to the query form and would be ambiguous beside an `Authorization` header.
const QUERY_FORM_ONLY: [&str; 3] = ["X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token"];

/// Where a request carries its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In the `Authorization` header.
    Header,
    /// In the query: a presigned URL.
    Query,
}

/// What a request claims. Nothing in it is proved before [`Presented::verify`].
#[derive(Clone)]
pub struct Presented {
    claim: Claim,
    signature: [u8; 32],
    /// Of the canonical request, in the spellings that differ.
    hashes: [Option<[u8; 32]>; 2],
    timestamp: Timestamp,
    window: Window,
}

/// A request whose signature was right for the key and whose date was inside the window.
///
/// Only [`Presented::verify`] makes one, so whoever is handed it need not ask again.
pub struct Verified {
    claim: Claim,
}

#[derive(Clone)]
struct Claim {
    access_key_id: String,
    session_token: Option<String>,
    scope: Scope,
    form: Form,
    signed_headers: SignedHeaders,
    signed_at: Time,
    payload: Payload,
}

/// The parts of an authentication, wherever they stood.
struct Fields<'a> {
    form: Form,
    credential: Cow<'a, str>,
    signed_headers: Cow<'a, str>,
    signature: Cow<'a, str>,
    date: Date<'a>,
    expires: Option<Cow<'a, str>>,
    session_token: Option<String>,
}

/// When a request says it was signed.
enum Date<'a> {
    /// `X-Amz-Date`, in the header or the query.
    Amazon(Cow<'a, str>),
    /// The `Date` header, where there is no other.
    Http(&'a str),
}

impl Date<'_> {
    fn read(&self) -> Result<Timestamp, SignatureError> {
        match self {
            Date::Amazon(text) => Timestamp::parse(text),
            Date::Http(text) => Timestamp::parse_date_header(text),
        }
    }
}

impl Presented {
    /// Reads the authentication of a request and checks everything that needs no key and no clock.
    pub fn parse(request: &SignedRequest<'_>, rules: &Rules) -> Result<Presented, SignatureError> {
        Presented::read(request, rules, None)
    }

    /// Like [`Presented::parse`], and looks at the date where AWS does: after the parts of the authentication, before
    /// the credential scope. [`Presented::verify`] looks again.
    pub fn parse_at(
        request: &SignedRequest<'_>,
        rules: &Rules,
        now: Time,
    ) -> Result<Presented, SignatureError> {
        Presented::read(request, rules, Some(now))
    }

    /// Whatever is wrong with a request, the first fault in the order of AWS is told.
    fn read(
        request: &SignedRequest<'_>,
        rules: &Rules,
        now: Option<Time>,
    ) -> Result<Presented, SignatureError> {
        // 1. Target, query, headers: well formed, nothing said twice.
        let view = View::new(request)?;
        // 2. One authentication, with all its parts.
        let fields = Fields::read(&view)?;
        // 3. The host is signed.
        canonical::check_host_is_signed(&fields.signed_headers)?;
        // 4. The date, its form and then its distance from ours.
        let timestamp = fields.date.read()?;
        let expires = fields.expires.as_deref().map(read_expires).transpose()?;
        let credential = split_credential(&fields.credential);
        let window = Window {
            skew: rules.skew_of(credential.as_ref().map_or("", |parts| parts.service)),
            expires,
        };
        if let Some(now) = now {
            window.check(timestamp.time, now)?;
        }
        // 5. The credential and its scope.
        let credential: Credential<'_> = credential?;
        let scope = credential.scope(
            &timestamp,
            rules.check_region(credential.region),
            rules.check_service(credential.service),
        )?;
        // 6. Where we are stricter: what is signed, and of what form the signature is.
        let signed_headers = SignedHeaders::parse(&fields.signed_headers, &view)?;
        if matches!(fields.date, Date::Http(_)) && !signed_headers.holds("date") {
            return Err(SignatureError::UnsignedHeader {
                name: "date".to_owned(),
            });
        }
        let signature = payload::read_hash(fields.signature.as_bytes()).ok_or(
            SignatureError::MalformedSignature {
                reason: "it is not 64 lower-case hexadecimal digits",
            },
        )?;
        // 7. Body.
        let line = payload_line(&view, fields.form, &scope.service, rules)?;
        // 8. What the signature must cover.
        let hashes = hashes(&view, &fields, &scope.service, &signed_headers, &line)?;
        Ok(Presented {
            window,
            claim: Claim {
                access_key_id: credential.id.to_owned(),
                scope,
                form: fields.form,
                signed_headers,
                signed_at: timestamp.time,
                payload: line.payload,
                session_token: fields.session_token,
            },
            signature,
            hashes,
            timestamp,
        })
    }

    /// The access key id the request claims.
    pub fn access_key_id(&self) -> &str {
        &self.claim.access_key_id
    }

    /// The session token the request brings.
    pub fn session_token(&self) -> Option<&str> {
        self.claim.session_token.as_deref()
    }

    /// The day, region and service the signature is for.
    pub fn scope(&self) -> &Scope {
        &self.claim.scope
    }

    /// Where the signature stood.
    pub fn form(&self) -> Form {
        self.claim.form
    }

    /// The names of the signed headers, lower case and sorted.
    pub fn signed_headers(&self) -> impl Iterator<Item = &str> {
        self.claim.signed_headers.names()
    }

    /// The date of the request.
    pub fn signed_at(&self) -> Time {
        self.claim.signed_at
    }

    /// The key that a secret gives for the scope of this request.
    pub fn signing_key(&self, secret: &str) -> SigningKey {
        let scope = &self.claim.scope;
        signing_key(secret, &scope.date, &scope.region, &scope.service)
    }

    /// Checks the date, then the signature, under a secret.
    pub fn verify(self, secret: &str, now: Time) -> Result<Verified, SignatureError> {
        let key = self.signing_key(secret);
        self.verify_with_key(&key, now)
    }

    /// Checks the date, then the signature, under a key kept from an earlier [`Presented::signing_key`].
    /// The key must be of this request's access key and scope.
    pub fn verify_with_key(self, key: &SigningKey, now: Time) -> Result<Verified, SignatureError> {
        self.window.check(self.claim.signed_at, now)?;
        let matches = self.hashes.iter().flatten().any(|hash| {
            let text = string_to_sign(ALGORITHM, &self.timestamp, &self.claim.scope, hash);
            key.is_signature_of(&text, &self.signature)
        });
        if !matches {
            return Err(SignatureError::SignatureMismatch);
        }
        Ok(Verified { claim: self.claim })
    }
}

impl Verified {
    /// The access key id whose secret signed.
    pub fn access_key_id(&self) -> &str {
        &self.claim.access_key_id
    }

    /// The session token, covered by the signature. Whether it opens and fits the access key is another question.
    pub fn session_token(&self) -> Option<&str> {
        self.claim.session_token.as_deref()
    }

    /// The day, region and service the signature is for.
    pub fn scope(&self) -> &Scope {
        &self.claim.scope
    }

    /// Where the signature stood.
    pub fn form(&self) -> Form {
        self.claim.form
    }

    /// The names of the signed headers, lower case and sorted.
    pub fn signed_headers(&self) -> impl Iterator<Item = &str> {
        self.claim.signed_headers.names()
    }

    /// The date of the request.
    pub fn signed_at(&self) -> Time {
        self.claim.signed_at
    }

    /// What the signature says about the body.
    pub fn payload(&self) -> Payload {
        self.claim.payload
    }
}

/// Leaves out the session token and the signature.
impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("access_key_id", &self.access_key_id)
            .field("scope", &self.scope)
            .field("form", &self.form)
            .field("signed_headers", &self.signed_headers.text)
            .field("signed_at", &self.signed_at)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Presented").field(&self.claim).finish()
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verified").field(&self.claim).finish()
    }
}

impl<'a> Fields<'a> {
    fn read(view: &View<'a>) -> Result<Fields<'a>, SignatureError> {
        let parameter = QUERY_FORM.into_iter().find(|name| view.query.has(name));
        match (view.header_text("authorization")?, parameter) {
            (None, None) if is_version_2(view) => Err(SignatureError::SignatureVersion2),
            (None, None) => Err(SignatureError::MissingAuthentication),
            (None, Some(_)) => Fields::from_query(view),
            (Some(value), None) => {
                if let Some(name) = QUERY_FORM_ONLY.into_iter().find(|n| view.query.has(n)) {
                    return Err(ambiguous(name));
                }
                Fields::from_header(view, value)
            }
            (Some(_), Some(name)) => Err(ambiguous(name)),
        }
    }

    fn from_header(view: &View<'a>, value: &'a str) -> Result<Fields<'a>, SignatureError> {
        let (scheme, rest) = split_scheme(value);
        check_algorithm(scheme)?;
        // AWS reads `Date` only where there is no `x-amz-date`.
        let date = match (view.header_text("x-amz-date")?, view.header_text("date")?) {
            (Some(date), _) => Some(Date::Amazon(Cow::Borrowed(date))),
            (None, Some(date)) => Some(Date::Http(date)),
            (None, None) => None,
        };
        let authorization = Authorization::parse(rest, date.is_none().then_some("x-amz-date"))?;
        // Cannot fail: the line above refused what has none.
        let date = date.unwrap_or(Date::Http(""));
        Ok(Fields {
            form: Form::Header,
            credential: Cow::Borrowed(authorization.credential),
            signed_headers: Cow::Borrowed(authorization.signed_headers),
            signature: Cow::Borrowed(authorization.signature),
            date,
            expires: None,
            session_token: view.header_text("x-amz-security-token")?.map(str::to_owned),
        })
    }

    fn from_query(view: &View<'a>) -> Result<Fields<'a>, SignatureError> {
        if let Some(algorithm) = parameter_text(view, "X-Amz-Algorithm")? {
            check_algorithm(&algorithm)?;
        }
        let names: Vec<&'static str> = QUERY_FORM_NEEDED
            .into_iter()
            .filter(|name| !view.query.has(name))
            .collect();
        if !names.is_empty() {
            return Err(SignatureError::MissingParameter { names });
        }
        // Cannot fail: every one of them is there.
        let needed = |name| Ok(parameter_text(view, name)?.unwrap_or_default());
        // A header token that differs from the query's must itself be signed, and would be a second one.
        let token = parameter_text(view, "X-Amz-Security-Token")?;
        let header_token = view.header_text("x-amz-security-token")?;
        let session_token = match (token, header_token) {
            (Some(token), Some(other)) if token != other => {
                return Err(ambiguous("X-Amz-Security-Token"));
            }
            (Some(token), _) => Some(token.into_owned()),
            (None, header) => header.map(str::to_owned),
        };
        Ok(Fields {
            form: Form::Query,
            credential: needed("X-Amz-Credential")?,
            signed_headers: needed("X-Amz-SignedHeaders")?,
            signature: needed("X-Amz-Signature")?,
            date: Date::Amazon(needed("X-Amz-Date")?),
            expires: Some(needed("X-Amz-Expires")?),
            session_token,
        })
    }
}

fn ambiguous(parameter: &str) -> SignatureError {
    SignatureError::AmbiguousAuthentication {
        parameter: parameter.to_owned(),
    }
}

/// `AWSAccessKeyId`, `Signature` and `Expires` in the query: what an old aws-cli makes for S3.
fn is_version_2(view: &View<'_>) -> bool {
    view.query.has("AWSAccessKeyId") && view.query.has("Signature")
}

fn check_algorithm(label: &str) -> Result<(), SignatureError> {
    match label {
        ALGORITHM => Ok(()),
        // `Authorization: AWS AKIA…:signature`.
        "AWS" => Err(SignatureError::SignatureVersion2),
        other => Err(SignatureError::UnsupportedAlgorithm {
            algorithm: quoted(other),
            allowed: ALGORITHM,
        }),
    }
}

fn parameter_text<'a>(
    view: &View<'a>,
    name: &'static str,
) -> Result<Option<Cow<'a, str>>, SignatureError> {
    let not_ascii = || SignatureError::MalformedTarget {
        reason: "an X-Amz-* parameter of its authentication is not ASCII",
    };
    let Some(value) = view.query.value(name) else {
        return Ok(None);
    };
    if !value.is_ascii() {
        return Err(not_ascii());
    }
    Ok(Some(match value {
        Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).map_err(|_| not_ascii())?),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).map_err(|_| not_ascii())?),
    }))
}

/// Over a week is refused, as AWS does, not cut to a week: the signer believes in another end.
fn read_expires(text: &str) -> Result<TimeDelta, SignatureError> {
    text.parse::<i64>()
        .ok()
        .filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
        .filter(|seconds| (1..=PRESIGNED_SECONDS_MAX).contains(seconds))
        .map(TimeDelta::seconds)
        .ok_or_else(|| SignatureError::MalformedExpires {
            value: quoted(text),
            limit: PRESIGNED_SECONDS_MAX,
        })
}

/// Finds the payload mode: declared in the header, or (by some presigning clients) in the query, else by
/// custom: a presigned S3 URL leaves the body out, everything else covers it.
pub(crate) fn payload_line(
    view: &View<'_>,
    form: Form,
    service: &str,
    rules: &Rules,
) -> Result<PayloadLine, SignatureError> {
    let header = view.header("x-amz-content-sha256");
    let parameter = match form {
        Form::Query => view.query.value("X-Amz-Content-Sha256"),
        Form::Header => None,
    };
    match (header, parameter) {
        (Some(header), Some(parameter)) if *parameter != *header => {
            Err(ambiguous("X-Amz-Content-Sha256"))
        }
        (Some(value), _) => payload::declared(value, view.body, rules.unsigned_payload),
        (None, Some(value)) => payload::declared(&value, view.body, rules.unsigned_payload),
        (None, None) if form == Form::Query && is_s3_style(service) => {
            payload::unsigned(rules.unsigned_payload)
        }
        (None, None) => payload::of_body(view.body),
    }
}

fn hashes(
    view: &View<'_>,
    fields: &Fields<'_>,
    service: &str,
    signed: &SignedHeaders,
    line: &PayloadLine,
) -> Result<[Option<[u8; 32]>; 2], SignatureError> {
    let without = match fields.form {
        Form::Header => None,
        Form::Query => Some("X-Amz-Signature"),
    };
    // SignedHeaders::parse made sure that there is a host.
    let host = view.host.unwrap_or_default();
    let hash = |path: &[u8]| {
        let spelling = Spelling {
            path,
            equals: EqualsSign::Once,
            without,
            host,
        };
        canonical::hash(view, &spelling, signed, line.text.as_bytes())
    };
    if is_s3_style(service) {
        return Ok([Some(hash(&uri::s3_path(view.path)?)), None]);
    }
    // Signers differ in whether they normalise a path before they encode it.
    let raw = hash(&uri::encoded_again(view.path)?);
    let normalised = match uri::normalised(view.path)? {
        Some(path) => Some(hash(&uri::encoded_again(&path)?)),
        None => None,
    };
    Ok([Some(raw), normalised])
}

#[cfg(test)]
mod tests;
