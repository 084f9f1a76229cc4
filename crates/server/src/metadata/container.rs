//! The container credentials endpoint: one path, and a token in `Authorization` as it stands in the client's
//! `AWS_CONTAINER_AUTHORIZATION_TOKEN`.

use bowline_service::{Secret, format_time};
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;

use super::Provided;
use super::imds::not_allowed;
use super::listen::{Answer, json};
use super::tokens::same;

/// Refuses what comes without the token, or asks by another method.
pub(super) fn refusal(token: &Secret, method: &Method, headers: &HeaderMap) -> Option<Answer> {
    let mut shown = headers.get_all(http::header::AUTHORIZATION).iter();
    let accepted = match (shown.next(), shown.next()) {
        (Some(shown), None) => shown
            .to_str()
            .is_ok_and(|shown| same(token.reveal(), shown)),
        _ => false,
    };
    if !accepted {
        return Some(failure(
            StatusCode::UNAUTHORIZED,
            "AccessDenied",
            "Authorization with the endpoint's token is needed",
        ));
    }
    (method != Method::GET).then(|| not_allowed("GET"))
}

/// The answer to a request with the token.
pub(super) fn credentials(provided: Result<Provided, String>) -> Answer {
    match provided {
        Ok(provided) => {
            let document = ContainerCredentials {
                access_key_id: &provided.access_key_id,
                secret_access_key: provided.secret_access_key.reveal(),
                token: provided.session_token.reveal(),
                expiration: format_time(provided.expiration),
            };
            json(StatusCode::OK, &document, JSON)
        }
        Err(why) => failure(
            StatusCode::SERVICE_UNAVAILABLE,
            "CredentialsUnavailable",
            &why,
        ),
    }
}

/// A refusal as SDKs read it.
fn failure(status: StatusCode, code: &str, message: &str) -> Answer {
    json(status, &Failure { code, message }, JSON)
}

/// Credentials, member for member as SDKs read them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerCredentials<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    expiration: String,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: &'a str,
    message: &'a str,
}

const JSON: &str = "application/json";
