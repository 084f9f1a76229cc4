//! IAM Roles Anywhere on the wire: `POST /sessions`, rest-json, camelCase.

use std::borrow::Cow;
use std::sync::Arc;

use bowline_service::{
    Caller, CreateSession, Error, Kind, PublicError, Refusal, SESSIONS_PATH, Service,
    SessionCredentials, WireRequest,
};
use serde::{Deserialize, Serialize};

use crate::message::{Held, Response, Via, answer, log_fault, with_header};
use crate::pool::Answer;
use crate::router::{Router, note_refusal};
use crate::transport::{Endpoint, TransportError};

/// Where sessions are created.
pub const PATH: &str = SESSIONS_PATH;

/// Answers a CreateSession request.
pub(crate) async fn serve(router: &Router, held: Held, via: &Via, request_id: &str) -> Response {
    let Held { request, memory } = held;
    let caller = Caller::Nobody {
        source: via.source(),
    };
    let (replays, asked_via) = (router.replays.clone(), via.clone());
    let begin = move |service: &Arc<Service>, answer: Answer<SessionCredentials>| {
        let turn = replays.map(|replays| replays.begin(&request)).transpose();
        let turn = match turn {
            Ok(turn) => turn,
            Err(refusal) => {
                note_refusal(service, &asked_via, &refusal);
                return answer.give(Err(refusal));
            }
        };
        let pending = match (CreateSession { request }).begin(service, &caller) {
            Ok(pending) => pending,
            Err(refusal) => {
                // A client that is refused may try again at once.
                drop(turn);
                return answer.give(Err(refusal));
            }
        };
        service.submit(pending, move |result| {
            if let (Some(turn), Ok(_)) = (turn, &result) {
                turn.keep();
            }
            drop(memory);
            answer.give(result);
        });
    };
    match router.begin(via, begin).await {
        Ok(credentials) => match serde_json::to_vec(&Body::from(credentials)) {
            // Teleport insists on exactly 201.
            Ok(body) => answer(201, JSON, body),
            Err(error) => {
                let error = Error::internal(format!("a session could not be encoded: {error}"));
                refuse(&error, request_id)
            }
        },
        Err(error) => refuse(&error, request_id),
    }
}

/// Renders a refusal as any rest-json service does: the type in a header, the message in the body.
pub(crate) fn refuse(error: &Error, request_id: &str) -> Response {
    log_fault(error, request_id);
    let (status, kind) = match error.kind() {
        Kind::Invalid | Kind::Conflict => (400, "ValidationException"),
        Kind::Unauthenticated | Kind::Denied => (403, "AccessDeniedException"),
        Kind::NotFound => (404, "ResourceNotFoundException"),
        Kind::Limit => (429, "ThrottlingException"),
        Kind::Internal => (500, "InternalServerException"),
        Kind::Unavailable => (503, "ServiceUnavailableException"),
    };
    let public = error.public();
    let message = match error.refusal() {
        // AWS's own words come first: people search for them.
        Some(Refusal::NotAssumable(words)) => format!("{words} [{}]", public.code),
        Some(Refusal::InsufficientCertificate) => {
            told("Untrusted certificate. Insufficient certificate", &public)
        }
        Some(Refusal::UntrustedSigner) => told("Untrusted signing certificate", &public),
        Some(Refusal::InvalidSignature) => told("Invalid signature", &public),
        Some(Refusal::Revoked) => told("Certificate revoked", &public),
        None => format!("{} [{}]", public.message, public.code),
    };
    let failure = Failure {
        message,
        error: Some(Reason {
            kind: public.kind,
            code: public.code,
        }),
    };
    // Cannot fail: texts only.
    let body = serde_json::to_vec(&failure).unwrap_or_default();
    with_header(answer(status, JSON, body), "x-amzn-errortype", kind)
}

fn told(words: &str, public: &PublicError) -> String {
    format!("{words}: {} [{}]", public.message, public.code)
}

/// Asks an endpoint for credentials with an already signed request.
pub fn create_session(
    endpoint: &Endpoint,
    request: &WireRequest,
) -> Result<SessionCredentials, TransportError> {
    let response = endpoint.send(request)?;
    if response.status == 201 {
        let body: Body =
            serde_json::from_slice(&response.body).map_err(|error| TransportError::Answer {
                reason: error.to_string(),
            })?;
        return body.try_into();
    }
    let by_status = match response.status {
        400 => Kind::Invalid,
        404 => Kind::NotFound,
        429 => Kind::Limit,
        401 | 403 => Kind::Denied,
        500 => Kind::Internal,
        _ => Kind::Unavailable,
    };
    let failure = serde_json::from_slice::<Failure>(&response.body).unwrap_or_else(|_| Failure {
        message: response.without_form(),
        error: None,
    });
    // Another maker's server says no reason of ours; its status says the kind.
    let reason = failure.error.unwrap_or(Reason {
        kind: by_status,
        code: "session_refused".into(),
    });
    Err(TransportError::Refused(PublicError {
        kind: reason.kind,
        code: reason.code,
        message: failure.message,
    }))
}

/// A refusal. AWS's clients read `message`; ours tells by the rest what a local refusal would have been.
#[derive(Serialize, Deserialize)]
struct Failure {
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Reason>,
}

#[derive(Serialize, Deserialize)]
struct Reason {
    kind: Kind,
    code: Cow<'static, str>,
}

/// The answer of CreateSession, field by field as the clients read it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    credential_set: Vec<CredentialSet>,
    subject_arn: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CredentialSet {
    assumed_role_user: AssumedRoleUser,
    credentials: Credentials,
    packed_policy_size: u32,
    role_arn: String,
    source_identity: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssumedRoleUser {
    arn: String,
    assumed_role_id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

impl From<SessionCredentials> for Body {
    fn from(session: SessionCredentials) -> Body {
        Body {
            credential_set: vec![CredentialSet {
                assumed_role_user: AssumedRoleUser {
                    arn: session.assumed_role_arn,
                    assumed_role_id: session.assumed_role_id,
                },
                credentials: Credentials {
                    access_key_id: session.access_key_id,
                    secret_access_key: session.secret_access_key.reveal().to_owned(),
                    session_token: session.session_token.reveal().to_owned(),
                    // RFC 3339, whole seconds, `Z`: Envoy's parser takes nothing else.
                    expiration: bowline_service::format_time(session.expiration),
                },
                packed_policy_size: session.packed_policy_size,
                role_arn: session.role_arn,
                source_identity: session.source_identity,
            }],
            subject_arn: session.subject_arn,
        }
    }
}

impl TryFrom<Body> for SessionCredentials {
    type Error = TransportError;

    fn try_from(body: Body) -> Result<SessionCredentials, TransportError> {
        let broken = |reason: &str| TransportError::Answer {
            reason: reason.into(),
        };
        let set = body
            .credential_set
            .into_iter()
            .next()
            .ok_or_else(|| broken("the credential set is empty"))?;
        let expiration = bowline_service::parse_time(&set.credentials.expiration)
            .ok_or_else(|| broken("the expiration is not an RFC 3339 time"))?;
        Ok(SessionCredentials {
            access_key_id: set.credentials.access_key_id,
            secret_access_key: set.credentials.secret_access_key.into(),
            session_token: set.credentials.session_token.into(),
            expiration,
            assumed_role_arn: set.assumed_role_user.arn,
            assumed_role_id: set.assumed_role_user.assumed_role_id,
            role_arn: set.role_arn,
            source_identity: set.source_identity,
            subject_arn: body.subject_arn,
            packed_policy_size: set.packed_policy_size,
        })
    }
}

const JSON: &str = "application/json";
