//! Refusals as STS clients know them: the code, the status that belongs to it, and AWS's words where it has some.

use bowline_service::{Error, Kind};

use crate::message::{Response, answer, log_fault};

use super::{XML, xml};

/// Renders a refusal.
pub(crate) fn refuse(error: &Error, request_id: &str) -> Response {
    log_fault(error, request_id);
    let (by_kind, fallback) = match error.kind() {
        Kind::Invalid | Kind::Conflict => (400, "ValidationError"),
        Kind::Unauthenticated => (403, "SignatureDoesNotMatch"),
        Kind::Denied => (403, "AccessDenied"),
        Kind::NotFound => (404, "NoSuchEntity"),
        Kind::Limit => (429, "Throttling"),
        Kind::Internal => (500, "InternalFailure"),
        Kind::Unavailable => (503, "ServiceUnavailable"),
    };
    let (status, code) = match error.sts_code() {
        Some(code) => (status_of(code).unwrap_or(by_kind), code),
        None => (by_kind, fallback),
    };
    let fault = if status < 500 { "Sender" } else { "Receiver" };
    let public = error.public();
    let message = match error.aws_words() {
        // AWS's own words come first: people search for them.
        Some(words) => {
            let words = words.trim_end_matches('.');
            format!("{words}: {} [{}]", public.message, public.code)
        }
        None => format!("{} [{}]", public.message, public.code),
    };
    answer(status, XML, xml::error(fault, code, &message, request_id))
}

/// The status that AWS gives with a code: the model of the service, and the list of common errors.
fn status_of(code: &str) -> Option<u16> {
    Some(match code {
        "AuthorizationQueryParametersError"
        | "ExpiredTokenException"
        | "IDPCommunicationError"
        | "IncompleteSignature"
        | "InvalidAction"
        | "InvalidAuthorizationMessageException"
        | "InvalidIdentityToken"
        | "JWTPayloadSizeExceededException"
        | "MalformedPolicyDocument"
        | "MalformedQueryString"
        | "MissingAction"
        | "PackedPolicyTooLarge"
        | "ValidationError" => 400,
        "AccessDenied"
        | "ExpiredToken"
        | "IDPRejectedClaim"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "OutboundWebIdentityFederationDisabledException"
        | "RegionDisabledException"
        | "SessionDurationEscalationException"
        | "SignatureDoesNotMatch" => 403,
        "NoSuchEntity" => 404,
        "Throttling" => 429,
        _ => return None,
    })
}
