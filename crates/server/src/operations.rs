//! `POST /v1/<operation>`: JSON in, frames out. The control socket speaks the same.
//!
//! An answer is lines of JSON: any number of `progress` frames, then one `result` or one `error`.

use bowline_service::{
    Error, Kind, Operation, PublicError, READ_OPERATIONS, Service, WireRequest, dispatch,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::message::{Held, Response, Via, answer, log_fault};
use crate::pool::Share;
use crate::router::{Router, caller};
use crate::transport::{Endpoint, Signing, TransportError};

/// What comes before an operation's name.
pub const PREFIX: &str = "/v1/";

/// One line of an answer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Frame<'a> {
    /// The operation succeeded; the last frame.
    #[serde(borrow)]
    Result(&'a RawValue),
    /// The operation was refused; the last frame.
    Error(PublicError),
}

/// Runs the operation a request names.
pub(crate) async fn serve(
    router: &Router,
    name: &str,
    held: Held,
    via: Via,
    request_id: &str,
) -> Response {
    let Held { request, memory } = held;
    let share = if READ_OPERATIONS.contains(&name) {
        Share::Read
    } else {
        Share::Write
    };
    let name = name.to_owned();
    let run = move |service: &Service| {
        let caller = caller(service, &request, via)?;
        let result = dispatch(&name, &request.body, service, &caller);
        drop(memory);
        result
    };
    match router.run(via, share, run).await {
        Ok(result) => {
            let mut line = Vec::with_capacity(result.len() + 12);
            line.extend_from_slice(b"{\"result\":");
            line.extend_from_slice(&result);
            line.extend_from_slice(b"}\n");
            answer(200, FRAMES, line)
        }
        Err(error) => refuse(&error, request_id),
    }
}

/// Renders a refusal as the only frame, under the status of its kind.
pub(crate) fn refuse(error: &Error, request_id: &str) -> Response {
    log_fault(error, request_id);
    let status = match error.kind() {
        Kind::Invalid => 400,
        Kind::Unauthenticated => 401,
        Kind::Denied => 403,
        Kind::NotFound => 404,
        Kind::Conflict => 409,
        Kind::Limit => 429,
        Kind::Internal => 500,
        Kind::Unavailable => 503,
    };
    // Cannot fail: texts only.
    let mut line = serde_json::to_vec(&Frame::Error(error.public())).unwrap_or_default();
    line.push(b'\n');
    answer(status, FRAMES, line)
}

/// Runs an operation at an endpoint.
pub fn call<O: Operation>(
    endpoint: &Endpoint,
    signing: Option<&dyn Signing>,
    operation: &O,
) -> Result<O::Answer, TransportError> {
    let body = serde_json::to_vec(operation).map_err(|error| TransportError::Answer {
        reason: error.to_string(),
    })?;
    let mut request = WireRequest {
        method: "POST".into(),
        target: format!("{PREFIX}{}", O::NAME),
        headers: vec![
            ("host".into(), endpoint.authority()),
            ("content-type".into(), "application/json".into()),
        ],
        body,
    };
    if let Some(signing) = signing {
        signing.sign(&mut request)?;
    }
    let response = endpoint.send(&request)?;
    let line = response
        .body
        .split(|&byte| byte == b'\n')
        .rfind(|line| !line.is_empty())
        .unwrap_or_default();
    match serde_json::from_slice::<Frame<'_>>(line) {
        Ok(Frame::Result(result)) => {
            serde_json::from_str(result.get()).map_err(|error| TransportError::Answer {
                reason: error.to_string(),
            })
        }
        Ok(Frame::Error(error)) => Err(TransportError::Refused(error)),
        Err(_) => Err(TransportError::Answer {
            reason: format!("{}; is this a Bowline server?", response.without_form()),
        }),
    }
}

const FRAMES: &str = "application/x-ndjson";
