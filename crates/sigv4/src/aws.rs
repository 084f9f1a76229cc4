//! What AWS calls each refusal: its code, and its words, which people search for.
//!
//! Codes as in "Common errors" of the API references; words as AWS's own verifier says them.

use crate::error::SignatureError;
use bowline_x509::Time;
use std::borrow::Cow;

impl SignatureError {
    /// The code that a client of AWS knows.
    pub fn aws_code(&self) -> &'static str {
        match self {
            SignatureError::MissingAuthentication => "MissingAuthenticationToken",
            SignatureError::MalformedTarget { .. }
            | SignatureError::TargetTooLong { .. }
            | SignatureError::TooManyParameters { .. } => "MalformedQueryString",
            SignatureError::MalformedExpires { .. } => "AuthorizationQueryParametersError",
            SignatureError::SignatureVersion2
            | SignatureError::UnsupportedAlgorithm { .. }
            | SignatureError::MlDsaUnsupported
            | SignatureError::MalformedAuthorization { .. }
            | SignatureError::MissingParameter { .. }
            | SignatureError::RepeatedHeader { .. }
            | SignatureError::RepeatedParameter { .. }
            | SignatureError::MalformedHeader { .. }
            | SignatureError::MalformedMethod { .. }
            | SignatureError::TooManyHeaders { .. }
            | SignatureError::HeadersTooLarge { .. }
            | SignatureError::MalformedDate { .. }
            | SignatureError::MalformedScope { .. } => "IncompleteSignature",
            SignatureError::AmbiguousAuthentication { .. }
            | SignatureError::HostConflict { .. }
            | SignatureError::MalformedSignedHeaders { .. }
            | SignatureError::UnsignedHeader { .. }
            | SignatureError::SignedHeaderAbsent { .. }
            | SignatureError::ScopeTerminator { .. }
            | SignatureError::ScopeFaults { .. }
            | SignatureError::ScopeDateMismatch { .. }
            | SignatureError::RegionNotAllowed { .. }
            | SignatureError::ServiceNotAllowed { .. }
            | SignatureError::RequestExpired { .. }
            | SignatureError::RequestNotYetValid { .. }
            | SignatureError::PresignedUrlExpired { .. }
            | SignatureError::UnknownPayloadMode { .. }
            | SignatureError::PayloadHashMismatch { .. }
            | SignatureError::PayloadHashRequired
            | SignatureError::UnsignedPayload { .. }
            | SignatureError::MalformedSignature { .. }
            | SignatureError::SignatureMismatch
            | SignatureError::MalformedCertificate { .. }
            | SignatureError::ChainTooLong { .. }
            | SignatureError::SerialMismatch { .. }
            | SignatureError::AlgorithmKeyMismatch { .. }
            | SignatureError::Ed25519Unsupported
            | SignatureError::KeyNotAccepted { .. }
            | SignatureError::SigningFailed { .. } => "SignatureDoesNotMatch",
        }
    }

    /// AWS's own sentence, where it has one.
    pub fn aws_words(&self) -> Option<Cow<'static, str>> {
        let words = match self {
            SignatureError::MissingAuthentication => {
                "Request is missing Authentication Token".into()
            }
            SignatureError::UnsupportedAlgorithm { algorithm, .. } => {
                format!("Unsupported AWS 'algorithm': '{algorithm}'.").into()
            }
            SignatureError::MissingParameter { names } => {
                let each = names.iter().map(|name| missing(name));
                each.collect::<Vec<_>>().join(" ").into()
            }
            SignatureError::UnsignedHeader { name } if name == "host" => {
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".into()
            }
            SignatureError::MalformedDate { value } => format!(
                "Date must be in ISO-8601 'basic format'. Got '{value}'. See http://en.wikipedia.org/wiki/ISO_8601"
            )
            .into(),
            SignatureError::RequestExpired {
                signed_at,
                now,
                allowed_seconds,
            } => format!(
                "Signature expired: {} is now earlier than {} ({} - {} min.)",
                basic(signed_at),
                basic(&(*now - chrono::TimeDelta::seconds(*allowed_seconds))),
                basic(now),
                allowed_seconds / 60
            )
            .into(),
            SignatureError::RequestNotYetValid {
                signed_at,
                now,
                allowed_seconds,
            } => format!(
                "Signature not yet current: {} is still later than {} ({} + {} min.)",
                basic(signed_at),
                basic(&(*now + chrono::TimeDelta::seconds(*allowed_seconds))),
                basic(now),
                allowed_seconds / 60
            )
            .into(),
            SignatureError::PresignedUrlExpired { .. } => "Request has expired".into(),
            SignatureError::MalformedScope { credential } => format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
            )
            .into(),
            SignatureError::RegionNotAllowed { .. } => {
                "Credential should be scoped to a valid region.".into()
            }
            SignatureError::ServiceNotAllowed { allowed, .. } => {
                format!("Credential should be scoped to correct service: '{allowed}'.").into()
            }
            SignatureError::ScopeTerminator { found } => format!(
                "Credential should be scoped with a valid terminator: 'aws4_request', not '{found}'."
            )
            .into(),
            SignatureError::ScopeDateMismatch { scope, date } => format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope}' != '{date}'."
            )
            .into(),
            SignatureError::ScopeFaults { faults } => {
                let each = faults.iter().filter_map(SignatureError::aws_words);
                each.collect::<Vec<_>>().join(" ").into()
            }
            SignatureError::MalformedExpires { value, .. } => expires(value).into(),
            SignatureError::SignatureMismatch | SignatureError::MalformedSignature { .. } => {
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method. Consult the service documentation for details."
                    .into()
            }
            _ => return None,
        };
        Some(words)
    }
}

fn missing(name: &str) -> String {
    match name {
        "x-amz-date" => {
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
                .into()
        }
        "Credential" | "Signature" | "SignedHeaders" => {
            format!("Authorization header requires '{name}' parameter.")
        }
        name if name.starts_with("X-Amz-") => {
            format!("AWS query-string parameters must include '{name}'.")
        }
        name => format!("'{name}' is required."),
    }
}

fn expires(value: &str) -> &'static str {
    let (negative, digits) = match value.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        "X-Amz-Expires should be a number"
    } else if negative {
        "X-Amz-Expires must be non-negative"
    } else {
        "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 \
         seconds"
    }
}

/// A time as a signed request writes it.
fn basic(time: &Time) -> impl std::fmt::Display {
    time.format("%Y%m%dT%H%M%SZ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::noon;

    fn words(error: &SignatureError) -> String {
        error.aws_words().unwrap_or_default().into_owned()
    }

    #[test]
    fn dates_are_told_as_aws_tells_them() {
        let (now, minute) = (noon(), chrono::TimeDelta::seconds(60));
        let expired = SignatureError::RequestExpired {
            signed_at: now - minute * 6,
            now,
            allowed_seconds: 300,
        };
        assert_eq!(
            words(&expired),
            "Signature expired: 20260601T115400Z is now earlier than 20260601T115500Z (20260601T120000Z - 5 min.)"
        );
        let early = SignatureError::RequestNotYetValid {
            signed_at: now + minute * 6,
            now,
            allowed_seconds: 300,
        };
        assert_eq!(
            words(&early),
            "Signature not yet current: 20260601T120600Z is still later than 20260601T120500Z (20260601T120000Z + 5 min.)"
        );
    }

    #[test]
    fn the_life_of_a_url_is_told_as_aws_tells_it() {
        for (value, said) in [
            ("abc", "should be a number"),
            ("", "should be a number"),
            ("+60", "should be a number"),
            ("-1", "must be non-negative"),
            ("604801", "must be less than a week (in seconds)"),
            ("99999999999999999999", "must be less than a week"),
        ] {
            let error = SignatureError::MalformedExpires {
                value: value.to_owned(),
                limit: 604_800,
            };
            assert!(words(&error).contains(said), "{value}");
            assert_eq!(error.aws_code(), "AuthorizationQueryParametersError");
        }
    }

    #[test]
    fn what_is_missing_is_told_in_one_message() {
        let error = SignatureError::MissingParameter {
            names: vec!["Credential", "Signature", "SignedHeaders", "x-amz-date"],
        };
        assert_eq!(
            words(&error),
            "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. \
             Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either \
             a 'X-Amz-Date' or a 'Date' header."
        );
    }
}
