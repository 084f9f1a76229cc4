//! `POST /v1/<operation>`: JSON in, frames out. The control socket speaks the same.
//!
//! An answer is lines of JSON, the last of which is one `result` or one `error`. Before it come the `progress` and
//! `bytes` of a [`transfer`].

use bowline_service::{
    Error, Kind, Operation, READ_OPERATIONS, Service, TRANSFERS, WireRequest, dispatch,
};
use serde::Serialize;

use crate::frame::{FRAMES, Frame, result_line};
use crate::limits::ANSWER_FREE;
use crate::message::{Held, Response, Via, answer, log_fault};
use crate::pool::Share;
use crate::router::{Router, caller, note_unread};
use crate::transfers;
use crate::transport::{Endpoint, Signing, TransportError};

pub use crate::transfers::transfer;

/// What comes before an operation's name.
pub const PREFIX: &str = "/v1/";

/// Runs the operation or the transfer a request names.
pub(crate) async fn serve(
    router: &Router,
    name: &str,
    held: Held,
    via: &Via,
    request_id: &str,
) -> Response {
    if TRANSFERS.contains(&name) {
        return transfers::serve(router, name, held, via, request_id).await;
    }
    let Held { request, memory } = held;
    let share = if READ_OPERATIONS.contains(&name) {
        Share::Read
    } else {
        Share::Write
    };
    let (name, asked_via) = (name.to_owned(), via.clone());
    let rates = router.rates.clone();
    let run = move |service: &Service| {
        let caller = caller(service, &rates, &request, &asked_via)?;
        let result = dispatch(&name, &request.body, service, &caller);
        note_unread(service, &asked_via, &caller, &result);
        drop(memory);
        result
    };
    let result = router.run(via, share, run).await.and_then(|result| {
        let line = result_line(&result);
        if line.len() > ANSWER_FREE {
            router.hold(line)
        } else {
            Ok(line.into())
        }
    });
    match result {
        Ok(line) => answer(200, FRAMES, line),
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
    answer(status, FRAMES, Frame::Error(error.public()).line())
}

/// Runs an operation at an endpoint.
pub fn call<O: Operation>(
    endpoint: &Endpoint,
    signing: Option<&dyn Signing>,
    operation: &O,
) -> Result<O::Answer, TransportError> {
    let request = request(endpoint, signing, O::NAME, operation)?;
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
        // Progress and bytes are no answer of an operation.
        Ok(Frame::Progress(_) | Frame::Bytes(_)) | Err(_) => Err(TransportError::without_form(
            response.status,
            &response.body,
        )),
    }
}

/// The request for an operation or a transfer, signed if there is something to sign with.
pub(crate) fn request(
    endpoint: &Endpoint,
    signing: Option<&dyn Signing>,
    name: &str,
    input: &impl Serialize,
) -> Result<WireRequest, TransportError> {
    let body = serde_json::to_vec(input).map_err(|error| TransportError::Answer {
        reason: error.to_string(),
    })?;
    let mut request = WireRequest {
        method: "POST".into(),
        target: format!("{PREFIX}{name}"),
        headers: vec![
            ("host".into(), endpoint.authority()),
            ("content-type".into(), "application/json".into()),
        ],
        body,
    };
    if let Some(signing) = signing {
        signing.sign(&mut request)?;
    }
    Ok(request)
}
