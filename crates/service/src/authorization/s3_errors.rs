//! The errors of S3: what clients of a storage service expect to read where a request is refused.

use bowline_sigv4::SignatureError;
use bowline_trust::TokenError;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};

/// An error as S3 puts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceError {
    /// `AccessDenied`.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
}

impl ServiceError {
    /// An error of a code, with its sentence.
    pub fn new(code: &str, message: impl Into<String>, status: u16) -> ServiceError {
        ServiceError {
            code: code.into(),
            message: message.into(),
            status,
        }
    }
}

impl Error {
    /// The error that S3 gives for it. Its texts are S3's own where it has some, because clients look at them.
    pub fn s3_error(&self) -> ServiceError {
        let (code, message, status) = match self {
            Error::Signature(error) => return of_signature(error),
            Error::Token(TokenError::AccessKeyId(_) | TokenError::UnknownKey { .. })
            | Error::SessionTokenMissing => (
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.".to_owned(),
                403,
            ),
            Error::Token(TokenError::Expired { .. }) => (
                "ExpiredToken",
                "The provided token has expired.".to_owned(),
                400,
            ),
            Error::Token(_) => (
                "InvalidToken",
                "The provided token is malformed or otherwise invalid.".to_owned(),
                400,
            ),
            Error::Relying(crate::RelyingError::S3(error)) => {
                let (code, status) = error.s3_code();
                (code, error.to_string(), status)
            }
            // Only who signed rightly learns that the session was ended.
            _ if self.sts_code() == Some("ExpiredToken") => {
                ("ExpiredToken", self.public().message, 400)
            }
            _ => match self.kind() {
                Kind::Invalid => ("InvalidRequest", self.public().message, 400),
                Kind::Unauthenticated | Kind::Denied | Kind::NotFound | Kind::Conflict => {
                    ("AccessDenied", self.public().message, 403)
                }
                Kind::Limit | Kind::Unavailable => (
                    "SlowDown",
                    "Please reduce your request rate.".to_owned(),
                    503,
                ),
                Kind::Internal => (
                    "InternalError",
                    "We encountered an internal error. Please try again.".to_owned(),
                    500,
                ),
            },
        };
        ServiceError::new(code, message, status)
    }
}

fn of_signature(error: &SignatureError) -> ServiceError {
    let (code, message, status) = match error {
        SignatureError::MissingAuthentication => ("AccessDenied", "Access Denied".to_owned(), 403),
        SignatureError::PresignedUrlExpired { .. } => {
            ("AccessDenied", "Request has expired".to_owned(), 403)
        }
        SignatureError::RequestExpired { .. } | SignatureError::RequestNotYetValid { .. } => (
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.".to_owned(),
            403,
        ),
        SignatureError::SignatureMismatch => (
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. \
             Check your key and signing method."
                .to_owned(),
            403,
        ),
        SignatureError::SignatureVersion2
        | SignatureError::UnsupportedAlgorithm { .. }
        | SignatureError::MlDsaUnsupported => (
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. \
             Please use AWS4-HMAC-SHA256."
                .to_owned(),
            400,
        ),
        SignatureError::UnsignedHeader { .. } => (
            "AccessDenied",
            "There were headers present in the request which were not signed".to_owned(),
            403,
        ),
        SignatureError::PayloadHashMismatch { .. } => (
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed."
                .to_owned(),
            400,
        ),
        SignatureError::MalformedExpires { .. } | SignatureError::MissingParameter { .. } => {
            ("AuthorizationQueryParametersError", error.to_string(), 400)
        }
        SignatureError::MalformedAuthorization { .. }
        | SignatureError::MalformedScope { .. }
        | SignatureError::MalformedSignature { .. }
        | SignatureError::MalformedSignedHeaders { .. }
        | SignatureError::ScopeDateMismatch { .. }
        | SignatureError::RegionNotAllowed { .. }
        | SignatureError::ServiceNotAllowed { .. } => (
            "AuthorizationHeaderMalformed",
            format!("The authorization header is malformed; {error}"),
            400,
        ),
        _ => ("InvalidRequest", error.to_string(), 400),
    };
    ServiceError::new(code, message, status)
}
