//! Why a request was not accepted, or could not be signed.

use bowline_x509::Time;
use std::fmt;
use thiserror::Error;

/// The rule a request broke, with what was found and what is allowed.
///
/// No variant carries a secret, a session token or an expected signature.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SignatureError {
    /// Neither an `Authorization` header nor `X-Amz-*` query parameters.
    #[error(
        "the request is not signed: it has neither an Authorization header nor X-Amz-Signature in the query"
    )]
    MissingAuthentication,
    /// Header form and query form in one request: two identities could be meant.
    #[error(
        "the request is signed twice: with an Authorization header and with query parameter {parameter}"
    )]
    AmbiguousAuthentication {
        /// The query parameter that stands beside the header.
        parameter: String,
    },
    /// Signature Version 2, as an old aws-cli makes it for presigned URLs.
    #[error(
        "signature version 2 is not accepted, only version 4; fix: aws configure set default.s3.signature_version s3v4"
    )]
    SignatureVersion2,
    /// An algorithm label that this kind of request does not have.
    #[error("algorithm {algorithm} is not accepted here, only {allowed}")]
    UnsupportedAlgorithm {
        /// The label as sent.
        algorithm: String,
        /// What would be accepted.
        allowed: &'static str,
    },
    /// `AWS4-X509-MLDSA`: the label is known, the key type is not supported.
    #[error(
        "algorithm AWS4-X509-MLDSA is not supported: leaf keys must be RSA or EC (P-256, P-384, P-521)"
    )]
    MlDsaUnsupported,
    /// The `Authorization` header does not follow its grammar.
    #[error("malformed Authorization header: {reason}")]
    MalformedAuthorization {
        /// What does not fit.
        reason: &'static str,
    },
    /// Parts of the authentication are not there.
    #[error("missing from the authentication of the request: {}", names.join(", "))]
    MissingParameter {
        /// The names of the fields, headers or query parameters.
        names: Vec<&'static str>,
    },
    /// A header that may stand only once stands more often.
    #[error("header {name} is repeated")]
    RepeatedHeader {
        /// The header in lower case.
        name: String,
    },
    /// An `X-Amz-*` query parameter that may stand only once stands more often.
    #[error("query parameter {name} is repeated")]
    RepeatedParameter {
        /// The parameter as sent.
        name: String,
    },
    /// A header name or value that HTTP does not allow (RFC 9110 §5.5).
    #[error("malformed header {name}: {reason}")]
    MalformedHeader {
        /// The header as sent.
        name: String,
        /// What does not fit.
        reason: &'static str,
    },
    /// The request target is not a path with a well-formed query (RFC 3986 §3.3, §3.4).
    #[error("malformed request target: {reason}")]
    MalformedTarget {
        /// What does not fit.
        reason: &'static str,
    },
    /// The method is not a token (RFC 9110 §9.1).
    #[error("malformed method {method:?}")]
    MalformedMethod {
        /// The method as sent.
        method: String,
    },
    /// The authority of an absolute target and the `Host` header disagree.
    #[error("the request names two hosts: {authority} in its target and {host} in its Host header")]
    HostConflict {
        /// From the target.
        authority: String,
        /// From the header.
        host: String,
    },
    /// More headers than anyone signs.
    #[error("{count} headers are over the limit of {limit}")]
    TooManyHeaders {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The headers together are too large.
    #[error("{bytes} bytes of headers are over the limit of {limit}")]
    HeadersTooLarge {
        /// Names and values together.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The request target is too long.
    #[error("a request target of {bytes} bytes is over the limit of {limit}")]
    TargetTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// More query parameters than anyone signs.
    #[error("{count} query parameters are over the limit of {limit}")]
    TooManyParameters {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// `SignedHeaders` is not a sorted list of distinct lower-case names.
    #[error("malformed SignedHeaders: {reason}")]
    MalformedSignedHeaders {
        /// What does not fit.
        reason: &'static str,
    },
    /// A header that must be signed is not.
    #[error("header {name} must be signed: it is not listed in SignedHeaders")]
    UnsignedHeader {
        /// The header in lower case.
        name: String,
    },
    /// `SignedHeaders` lists a header that did not arrive.
    #[error("header {name} is listed in SignedHeaders but absent from the request")]
    SignedHeaderAbsent {
        /// The header in lower case.
        name: String,
    },
    /// The date is not `YYYYMMDDTHHMMSSZ`.
    #[error("date {value:?} is not of the form YYYYMMDDTHHMMSSZ")]
    MalformedDate {
        /// The date as sent.
        value: String,
    },
    /// `Credential` has not the five parts of a credential scope.
    #[error("credential {credential:?} is not of the form ID/YYYYMMDD/REGION/SERVICE/aws4_request")]
    MalformedScope {
        /// `Credential` as sent.
        credential: String,
    },
    /// The scope does not end as every scope does.
    #[error("the credential scope ends in {found:?}, not in aws4_request")]
    ScopeTerminator {
        /// Its last part.
        found: String,
    },
    /// More than one part of the scope is wrong.
    #[error("{}", joined(faults))]
    ScopeFaults {
        /// What is wrong with each.
        faults: Vec<SignatureError>,
    },
    /// The day of the scope is not the day of the request.
    #[error("the credential scope is for {scope} but the request is dated {date}")]
    ScopeDateMismatch {
        /// The day in the scope.
        scope: String,
        /// The day of the request.
        date: String,
    },
    /// The region is not on the list.
    #[error("region {region} is not accepted, only {allowed}")]
    RegionNotAllowed {
        /// The region in the scope.
        region: String,
        /// The accepted ones, joined by commas.
        allowed: String,
    },
    /// The service is not on the list.
    #[error("service {service} is not accepted, only {allowed}")]
    ServiceNotAllowed {
        /// The service in the scope.
        service: String,
        /// The accepted ones, joined by commas.
        allowed: String,
    },
    /// The request is older than the window.
    #[error(
        "the request of {} is too old at {}: the window is {allowed_seconds} s",
        zulu(signed_at),
        zulu(now)
    )]
    RequestExpired {
        /// The date of the request.
        signed_at: Time,
        /// The date here.
        now: Time,
        /// How old it may be.
        allowed_seconds: i64,
    },
    /// The request is dated further ahead than clocks may differ.
    #[error(
        "the request of {} is not yet valid at {}: clocks may differ by {allowed_seconds} s",
        zulu(signed_at),
        zulu(now)
    )]
    RequestNotYetValid {
        /// The date of the request.
        signed_at: Time,
        /// The date here.
        now: Time,
        /// How far ahead it may be.
        allowed_seconds: i64,
    },
    /// The presigned URL has run out.
    #[error(
        "the presigned URL of {} ended {expires_seconds} s later, before {}",
        zulu(signed_at),
        zulu(now)
    )]
    PresignedUrlExpired {
        /// The date of the URL.
        signed_at: Time,
        /// The date here.
        now: Time,
        /// Its `X-Amz-Expires`.
        expires_seconds: i64,
    },
    /// `X-Amz-Expires` is not a number of seconds from 1 to 604800.
    #[error("X-Amz-Expires {value:?} is not a number of seconds from 1 to {limit}")]
    MalformedExpires {
        /// The parameter as sent.
        value: String,
        /// A week.
        limit: i64,
    },
    /// `x-amz-content-sha256` is neither a hash nor a known mode.
    #[error(
        "x-amz-content-sha256 {value:?} is neither a SHA-256 in lower-case hex nor a known payload mode"
    )]
    UnknownPayloadMode {
        /// The value as sent.
        value: String,
    },
    /// The body is not the one that was signed.
    #[error("the body has SHA-256 {actual} but the request was signed for {declared}")]
    PayloadHashMismatch {
        /// Lower-case hex, from the request.
        declared: String,
        /// Lower-case hex, of the body that arrived.
        actual: String,
    },
    /// The signature covers the body, and the body's hash is not known here.
    #[error(
        "the signature covers the body, whose SHA-256 was not given: send the body or its hash"
    )]
    PayloadHashRequired,
    /// The body is not covered by the signature and the rules want it to be.
    #[error("payload mode {mode} leaves the body unsigned, which is not accepted here")]
    UnsignedPayload {
        /// The mode as sent.
        mode: &'static str,
    },
    /// The signature is not of its form (64 lower-case hex digits for HMAC).
    #[error("malformed signature: {reason}")]
    MalformedSignature {
        /// What does not fit.
        reason: &'static str,
    },
    /// The signature does not belong to this request and key.
    #[error("the signature does not match the request")]
    SignatureMismatch,
    /// A certificate header does not hold exactly one DER certificate per entry.
    #[error("malformed certificate in {header}: {reason}")]
    MalformedCertificate {
        /// The header.
        header: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// More certificates than a chain may have.
    #[error("a chain of {count} certificates is over the limit of {limit}")]
    ChainTooLong {
        /// How many there are, the leaf and repeats not counted.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The serial number in `Credential` is not the leaf's.
    #[error("the credential names serial {credential} but the certificate has {certificate}")]
    SerialMismatch {
        /// From `Credential`.
        credential: String,
        /// The leaf's, in decimal.
        certificate: String,
    },
    /// The label is of another key family than the leaf's key.
    #[error("algorithm {algorithm} does not fit the certificate's {key} key")]
    AlgorithmKeyMismatch {
        /// The label as sent.
        algorithm: String,
        /// The key's family.
        key: &'static str,
    },
    /// An Ed25519 leaf: AWS4-X509 has no algorithm for it.
    #[error(
        "AWS4-X509 has no algorithm for Ed25519 keys: use a certificate with an RSA or EC (P-256, P-384, P-521) key"
    )]
    Ed25519Unsupported,
    /// The leaf's key is refused: too weak, off its curve, or of an unknown kind.
    #[error("the certificate's key is not accepted: {reason}")]
    KeyNotAccepted {
        /// What the key lacks.
        reason: String,
    },
    /// The key did not sign.
    #[error("signing failed: {reason}")]
    SigningFailed {
        /// What the signer said.
        reason: String,
    },
}

impl SignatureError {
    /// The stable name of the rule, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            SignatureError::MissingAuthentication => "missing_authentication",
            SignatureError::AmbiguousAuthentication { .. } => "ambiguous_authentication",
            SignatureError::SignatureVersion2 => "signature_version_2",
            SignatureError::UnsupportedAlgorithm { .. } => "unsupported_algorithm",
            SignatureError::MlDsaUnsupported => "ml_dsa_unsupported",
            SignatureError::MalformedAuthorization { .. } => "malformed_authorization",
            SignatureError::MissingParameter { .. } => "missing_parameter",
            SignatureError::RepeatedHeader { .. } => "repeated_header",
            SignatureError::RepeatedParameter { .. } => "repeated_parameter",
            SignatureError::MalformedHeader { .. } => "malformed_header",
            SignatureError::MalformedTarget { .. } => "malformed_target",
            SignatureError::MalformedMethod { .. } => "malformed_method",
            SignatureError::HostConflict { .. } => "host_conflict",
            SignatureError::TooManyHeaders { .. } => "too_many_headers",
            SignatureError::HeadersTooLarge { .. } => "headers_too_large",
            SignatureError::TargetTooLong { .. } => "target_too_long",
            SignatureError::TooManyParameters { .. } => "too_many_parameters",
            SignatureError::MalformedSignedHeaders { .. } => "malformed_signed_headers",
            SignatureError::UnsignedHeader { .. } => "unsigned_header",
            SignatureError::SignedHeaderAbsent { .. } => "signed_header_absent",
            SignatureError::MalformedDate { .. } => "malformed_date",
            SignatureError::MalformedScope { .. } => "malformed_scope",
            SignatureError::ScopeTerminator { .. } => "scope_terminator",
            SignatureError::ScopeFaults { .. } => "scope_faults",
            SignatureError::ScopeDateMismatch { .. } => "scope_date_mismatch",
            SignatureError::RegionNotAllowed { .. } => "region_not_allowed",
            SignatureError::ServiceNotAllowed { .. } => "service_not_allowed",
            SignatureError::RequestExpired { .. } => "request_expired",
            SignatureError::RequestNotYetValid { .. } => "request_not_yet_valid",
            SignatureError::PresignedUrlExpired { .. } => "presigned_url_expired",
            SignatureError::MalformedExpires { .. } => "malformed_expires",
            SignatureError::UnknownPayloadMode { .. } => "unknown_payload_mode",
            SignatureError::PayloadHashMismatch { .. } => "payload_hash_mismatch",
            SignatureError::PayloadHashRequired => "payload_hash_required",
            SignatureError::UnsignedPayload { .. } => "unsigned_payload",
            SignatureError::MalformedSignature { .. } => "malformed_signature",
            SignatureError::SignatureMismatch => "signature_mismatch",
            SignatureError::MalformedCertificate { .. } => "malformed_certificate",
            SignatureError::ChainTooLong { .. } => "chain_too_long",
            SignatureError::SerialMismatch { .. } => "serial_mismatch",
            SignatureError::AlgorithmKeyMismatch { .. } => "algorithm_key_mismatch",
            SignatureError::Ed25519Unsupported => "ed25519_unsupported",
            SignatureError::KeyNotAccepted { .. } => "key_not_accepted",
            SignatureError::SigningFailed { .. } => "signing_failed",
        }
    }
}

/// Every fault of a scope, in one sentence.
fn joined(faults: &[SignatureError]) -> String {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    faults.join("; ")
}

/// A time as everything here prints it: UTC with Z.
fn zulu(time: &Time) -> impl fmt::Display {
    time.format("%Y-%m-%dT%H:%M:%SZ")
}

/// How much of a value that somebody else chose is repeated in an error, in characters.
const QUOTED_CHARS_MAX: usize = 80;

/// What was sent, for an error message: printable, and no longer than needed to recognise it.
pub(crate) fn quoted(value: impl AsRef<[u8]>) -> String {
    let value = value.as_ref();
    // A character has at most four bytes, so this prefix holds all that is shown.
    let head = &value[..value.len().min(QUOTED_CHARS_MAX * 4)];
    let text = String::from_utf8_lossy(head);
    let mut shown: String = text
        .chars()
        .take(QUOTED_CHARS_MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if head.len() < value.len() || text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_strangers_are_shortened_and_printable() {
        assert_eq!(quoted("short"), "short");
        assert_eq!(quoted(b"a\nb\xff"), "a\u{fffd}b\u{fffd}");
        let long = quoted("é".repeat(10_000));
        assert_eq!(long.chars().count(), QUOTED_CHARS_MAX + 1);
    }
}
