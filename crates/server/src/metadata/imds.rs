//! The instance metadata service, version 2: a session token by PUT, then everything by GET with it.
//!
//! What is served is what AWS's SDKs read: the role's name, its credentials, and the region. Version 1, without
//! tokens, is not.

use bowline_service::format_time;
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;

use super::Provided;
use super::listen::{Answer, Shared, json, text};

/// What a request to the instance form asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked<'p> {
    /// A session token.
    Token,
    /// The role's name.
    RoleName,
    /// The credentials of the role of this name.
    Credentials(&'p str),
    /// The region.
    Region,
    /// The availability zone, which SDKs cut the region from.
    Zone,
    /// The identity document, which other SDKs read the region in.
    Document,
    /// Something that is not here.
    Nothing,
}

impl Asked<'_> {
    /// Reads a path; one slash at its end does not count.
    pub(super) fn of(path: &str) -> Asked<'_> {
        let path = path.strip_suffix('/').unwrap_or(path);
        match path.strip_prefix("/latest/") {
            Some("api/token") => Asked::Token,
            Some("meta-data/iam/security-credentials") => Asked::RoleName,
            Some("meta-data/placement/region") => Asked::Region,
            Some("meta-data/placement/availability-zone") => Asked::Zone,
            Some("dynamic/instance-identity/document") => Asked::Document,
            Some(rest) => match rest.strip_prefix("meta-data/iam/security-credentials/") {
                Some(role) if !role.contains('/') => Asked::Credentials(role),
                Some(_) | None => Asked::Nothing,
            },
            None => Asked::Nothing,
        }
    }
}

/// Gives a session token.
pub(super) fn grant_token(shared: &Shared, method: &Method, headers: &HeaderMap) -> Answer {
    if method != Method::PUT {
        return not_allowed("PUT");
    }
    // A proxy that passes on what strangers send: AWS's rule, so that one in front of it gives nothing away.
    if headers.contains_key("x-forwarded-for") || headers.contains_key(http::header::FORWARDED) {
        return text(
            StatusCode::BAD_REQUEST,
            "a forwarded request gets no token (X-Forwarded-For)",
        );
    }
    let seconds = match headers.get(TTL_HEADER) {
        None => Some(TTL_SECONDS_MAX),
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|seconds| (1..=TTL_SECONDS_MAX).contains(seconds)),
    };
    let Some(seconds) = seconds else {
        return text(
            StatusCode::BAD_REQUEST,
            &format!("{TTL_HEADER} is a number of seconds from 1 to {TTL_SECONDS_MAX}"),
        );
    };
    let token = shared
        .tokens()
        .grant(seconds, shared.clock.now(), &*shared.entropy);
    let mut answer = text(StatusCode::OK, token.reveal());
    answer.headers_mut().insert(TTL_HEADER, seconds.into());
    answer
}

/// Refuses what comes without a good token, or asks by another method.
pub(super) fn refusal(shared: &Shared, method: &Method, headers: &HeaderMap) -> Option<Answer> {
    if method != Method::GET {
        return Some(not_allowed("GET"));
    }
    let token = headers
        .get(TOKEN_HEADER)
        .and_then(|token| token.to_str().ok());
    let accepted = token.is_some_and(|token| shared.tokens().accepts(token, shared.clock.now()));
    (!accepted).then(|| {
        text(
            StatusCode::UNAUTHORIZED,
            &format!("{TOKEN_HEADER} with a token that PUT /latest/api/token gave is needed"),
        )
    })
}

/// The answer to a request with a good token, but for those about credentials.
pub(super) fn facts(shared: &Shared, asked: &Asked<'_>) -> Answer {
    let Some(region) = &shared.region else {
        return nothing();
    };
    match asked {
        Asked::Region => text(StatusCode::OK, region),
        Asked::Zone => text(StatusCode::OK, &format!("{region}a")),
        Asked::Document => {
            let document = Document {
                region,
                availability_zone: format!("{region}a"),
                version: "2017-09-30",
            };
            json(StatusCode::OK, &document, TEXT)
        }
        Asked::Token | Asked::RoleName | Asked::Credentials(_) | Asked::Nothing => nothing(),
    }
}

/// The answer about credentials.
pub(super) fn credentials(asked: &Asked<'_>, provided: Result<Provided, String>) -> Answer {
    let provided = match provided {
        Ok(provided) => provided,
        Err(why) => return text(StatusCode::SERVICE_UNAVAILABLE, &why),
    };
    match asked {
        Asked::RoleName => text(StatusCode::OK, &provided.role_name),
        Asked::Credentials(role) if *role == provided.role_name => {
            let document = InstanceCredentials {
                code: "Success",
                last_updated: format_time(provided.obtained_at),
                kind: "AWS-HMAC",
                access_key_id: &provided.access_key_id,
                secret_access_key: provided.secret_access_key.reveal(),
                token: provided.session_token.reveal(),
                expiration: format_time(provided.expiration),
            };
            json(StatusCode::OK, &document, TEXT)
        }
        Asked::Credentials(_)
        | Asked::Token
        | Asked::Region
        | Asked::Zone
        | Asked::Document
        | Asked::Nothing => nothing(),
    }
}

/// The answer where there is nothing.
pub(super) fn nothing() -> Answer {
    text(StatusCode::NOT_FOUND, "there is nothing here")
}

/// The answer to another method than the one there is.
pub(super) fn not_allowed(method: &'static str) -> Answer {
    let mut answer = text(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("only {method} is answered here"),
    );
    answer
        .headers_mut()
        .insert(http::header::ALLOW, http::HeaderValue::from_static(method));
    answer
}

/// Credentials, member for member as SDKs read them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceCredentials<'a> {
    code: &'static str,
    last_updated: String,
    #[serde(rename = "Type")]
    kind: &'static str,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    expiration: String,
}

/// The part of the identity document that SDKs read.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    region: &'a str,
    availability_zone: String,
    version: &'static str,
}

const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// Six hours, the most that AWS gives; also what a request gets that asks for nothing, as AWS's helper gives it.
const TTL_SECONDS_MAX: u32 = 21_600;
/// AWS serves its JSON as text here.
const TEXT: &str = "text/plain";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_does_not_count() {
        for (path, asked) in [
            ("/latest/api/token", Asked::Token),
            ("/latest/api/token/", Asked::Token),
            (
                "/latest/meta-data/iam/security-credentials",
                Asked::RoleName,
            ),
            (
                "/latest/meta-data/iam/security-credentials/",
                Asked::RoleName,
            ),
            (
                "/latest/meta-data/iam/security-credentials/web",
                Asked::Credentials("web"),
            ),
            (
                "/latest/meta-data/iam/security-credentials/web/",
                Asked::Credentials("web"),
            ),
            (
                "/latest/meta-data/iam/security-credentials/a/b",
                Asked::Nothing,
            ),
            ("/latest/meta-data/placement/region", Asked::Region),
            ("/latest//api/token", Asked::Nothing),
            ("/", Asked::Nothing),
        ] {
            assert_eq!(Asked::of(path), asked, "{path}");
        }
    }
}
