//! Why a path was refused: which certificate, which rule, and both values.

use std::fmt;

use crate::path::profile::ProfileRule;
use crate::{RevocationReason, Time};

/// Where a certificate stands on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Position {
    /// The end entity, whose path is asked for.
    Leaf,
    /// A CA between the leaf and the anchor.
    Intermediate,
    /// The CA that is trusted without further proof.
    Anchor,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Position::Leaf => "certificate",
            Position::Intermediate => "intermediate certificate",
            Position::Anchor => "trust anchor",
        })
    }
}

/// A refused path. `subject` and `issuer` are names in the text form of RFC 4514.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing is trusted, so nothing can be.
    #[error("no trust anchors were given: name at least one CA certificate to trust")]
    NoAnchors,
    /// More intermediates than are searched.
    #[error(
        "{given} intermediate certificates were given, at most {allowed} are searched: send only those of the path"
    )]
    TooManyCertificates {
        /// How many were given.
        given: usize,
        /// How many are searched.
        allowed: usize,
    },
    /// The certificates given can be arranged in more ways than are tried.
    #[error(
        "no path for {subject} was found within the limit of {limit}: send only the certificates of one path"
    )]
    SearchLimit {
        /// The leaf.
        subject: String,
        /// Which effort has a limit.
        limit: &'static str,
    },
    /// No CA of this name is at hand, trusted or sent.
    #[error("{position} {subject} {}", issuer_unknown(.subject, .issuer))]
    UntrustedIssuer {
        /// Where the last certificate reached stands.
        position: Position,
        /// The last certificate reached.
        subject: String,
        /// The CA that signed it, by its own word.
        issuer: String,
    },
    /// The issuer's key did not make this signature.
    #[error(
        "the signature on {position} {subject} was not made with the key of {issuer}: another CA of that name, or an altered certificate"
    )]
    SignatureInvalid {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
        /// The CA at hand that bears the issuer's name.
        issuer: String,
    },
    /// An extension that matters does not hold what it should.
    #[error("{position} {subject}: {reason}")]
    MalformedExtension {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
        /// Which extension, and what is wrong with it.
        reason: String,
    },
    /// Not a certificate of X.509 version 3, so without extensions.
    #[error("{position} {subject} is of X.509 version {version}, and version 3 is required")]
    UnsupportedVersion {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
        /// Its version, counted from 1.
        version: u64,
    },
    /// The two places that name the signature's algorithm differ (RFC 5280 §4.1.1.2).
    #[error(
        "{position} {subject} names one signature algorithm inside the signed part and another outside"
    )]
    AlgorithmsDiffer {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
    },
    /// Signed with an algorithm that no longer proves anything, or that is not known here.
    #[error(
        "{position} {subject} is signed with {algorithm}, which is not accepted: reissue it with SHA-256 or stronger"
    )]
    WeakSignatureAlgorithm {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
        /// The algorithm, by name or dotted object identifier.
        algorithm: String,
    },
    /// The key is too small, or of a kind not accepted here.
    #[error("the key of {position} {subject} is not accepted: {reason}")]
    WeakKey {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
        /// The rule of keys that it breaks, with both values.
        reason: String,
    },
    /// The period has ended.
    #[error("{position} {subject} expired at {}; it is now {}", utc(.not_after), utc(.now))]
    Expired {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
        /// Its last second.
        not_after: Time,
        /// The moment asked about.
        now: Time,
    },
    /// The period has not begun.
    #[error("{position} {subject} is not valid before {}; it is now {}", utc(.not_before), utc(.now))]
    NotYetValid {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
        /// Its first second.
        not_before: Time,
        /// The moment asked about.
        now: Time,
    },
    /// A CA stands where an end entity belongs.
    #[error(
        "certificate {subject} is a CA certificate (basicConstraints cA is true) and cannot stand for a workload"
    )]
    LeafIsCa {
        /// The certificate.
        subject: String,
    },
    /// An end entity stands where a CA belongs.
    #[error(
        "{position} {subject} is not a CA certificate (basicConstraints cA is not true) and cannot issue others"
    )]
    NotACa {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
    },
    /// A CA whose key usage does not include signing certificates.
    #[error("{position} {subject} lacks the key usage keyCertSign: {}", usage_found(*.present))]
    MissingKeyCertSign {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
        /// Whether it has a key usage extension at all.
        present: bool,
    },
    /// A leaf whose key usage does not include signing messages.
    #[error("certificate {subject} lacks the key usage digitalSignature: {}", usage_found(*.present))]
    MissingDigitalSignature {
        /// The certificate.
        subject: String,
        /// Whether it has a key usage extension at all.
        present: bool,
    },
    /// The leaf names nobody.
    #[error(
        "the certificate with serial number {serial} of {issuer} has an empty subject, and a subject is required"
    )]
    SubjectEmpty {
        /// The certificate's serial number, in hexadecimal.
        serial: String,
        /// Its issuer.
        issuer: String,
    },
    /// The extended key usage names other purposes.
    #[error("{position} {subject} is for {}, not for {wanted}", list(.present))]
    WrongPurpose {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
        /// The purpose asked for.
        wanted: &'static str,
        /// The purposes it has.
        present: Vec<String>,
    },
    /// An extension that must be understood, and is not.
    #[error(
        "{position} {subject} has the critical extension {extension}, which is not enforced here"
    )]
    UnknownCriticalExtension {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
        /// The extension, by name or dotted object identifier.
        extension: String,
    },
    /// A CA allows fewer CAs below it than there are.
    #[error(
        "{position} {subject} allows {allowed} CA certificates below it, and there are {found}"
    )]
    PathLengthExceeded {
        /// Where the constraining CA stands.
        position: Position,
        /// The constraining CA.
        subject: String,
        /// Its pathLenConstraint.
        allowed: usize,
        /// How many CAs stand between it and the leaf.
        found: usize,
    },
    /// More intermediates on the path than the caller allows.
    #[error(
        "the path of {subject} needs {found} intermediate certificates, at most {allowed} are allowed"
    )]
    ChainTooLong {
        /// The leaf.
        subject: String,
        /// How many are needed.
        found: usize,
        /// How many are allowed.
        allowed: usize,
    },
    /// A name lies outside what a CA may certify.
    #[error(
        "{position} {subject} bears the name {name}, and {constrained_by} may not certify it: {constraint}"
    )]
    NameConstraint {
        /// Where the certificate with the name stands.
        position: Position,
        /// That certificate.
        subject: String,
        /// The CA above it that is constrained.
        constrained_by: String,
        /// The name.
        name: String,
        /// What is permitted or excluded.
        constraint: String,
    },
    /// A CA is constrained in a kind of name whose constraints are not processed, and that kind is present.
    #[error(
        "{position} {subject} bears the name {name}, and the constraints of {constrained_by} on names of that kind are not understood here"
    )]
    NameConstraintUnsupported {
        /// Where the certificate with the name stands.
        position: Position,
        /// That certificate.
        subject: String,
        /// The CA above it that is constrained.
        constrained_by: String,
        /// The name.
        name: String,
    },
    /// The leaf does not bear a name asked for.
    #[error("certificate {subject} is not for {wanted}; its names are {}", list(.present))]
    NameMismatch {
        /// The leaf.
        subject: String,
        /// The name asked for.
        wanted: String,
        /// Its subject alternative names.
        present: Vec<String>,
    },
    /// On a CRL of its issuer.
    #[error("{position} {subject} with serial number {serial} was revoked at {} ({reason})", utc(.revoked_at))]
    Revoked {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
        /// Its serial number, in hexadecimal.
        serial: String,
        /// Since when.
        revoked_at: Time,
        /// Why.
        reason: RevocationReason,
    },
    /// A CRL is demanded and none speaks of this certificate.
    #[error(
        "no usable CRL of {issuer} covers {position} {subject}, and one is required: import a CRL of that CA"
    )]
    CrlMissing {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
        /// Its issuer.
        issuer: String,
    },
    /// The CRL is older than its issuer promised to let it become.
    #[error("the CRL of {issuer} was to be replaced by {}; it is now {}: import a newer one", utc(.next_update), utc(.now))]
    CrlExpired {
        /// The CA.
        issuer: String,
        /// When the next CRL was due.
        next_update: Time,
        /// The moment asked about.
        now: Time,
    },
    /// The CRL claims to be from the future.
    #[error("the CRL of {issuer} is dated {}; it is now {}", utc(.this_update), utc(.now))]
    CrlNotYetValid {
        /// The CA.
        issuer: String,
        /// When it says it was issued.
        this_update: Time,
        /// The moment asked about.
        now: Time,
    },
    /// The CRL bears the CA's name, and not its signature.
    #[error(
        "the signature on the CRL of {issuer} was not made with that CA's key: an altered CRL, or another CA of that name"
    )]
    CrlSignatureInvalid {
        /// The CA.
        issuer: String,
    },
    /// The CA's certificate does not let it sign CRLs.
    #[error("the CRL of {issuer} is signed by a CA whose key usage lacks cRLSign")]
    CrlSignerNotAllowed {
        /// The CA.
        issuer: String,
    },
    /// Outside the profile of RFC 5280, which strict rules demand.
    #[error("{position} {subject} is outside RFC 5280 {}: {}, found {found}", .rule.section(), .rule.text())]
    Profile {
        /// Where the certificate stands.
        position: Position,
        /// The certificate.
        subject: String,
        /// The rule.
        rule: ProfileRule,
        /// What was found instead.
        found: String,
    },
    /// A CRL outside the profile of RFC 5280, which strict rules demand.
    #[error("the CRL of {issuer} is outside RFC 5280 {}: {}, found {found}", .rule.section(), .rule.text())]
    CrlProfile {
        /// The CA.
        issuer: String,
        /// The rule.
        rule: ProfileRule,
        /// What was found instead.
        found: String,
    },
    /// Refused by the path validator for a reason no check here can retell.
    #[error("no path for certificate {subject} was accepted: {reason}")]
    NotAccepted {
        /// The leaf.
        subject: String,
        /// The validator's word for it.
        reason: String,
    },
}

impl PathError {
    /// The stable name of this refusal, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            PathError::NoAnchors => "no_anchors",
            PathError::TooManyCertificates { .. } => "too_many_certificates",
            PathError::SearchLimit { .. } => "search_limit_reached",
            PathError::UntrustedIssuer { .. } => "untrusted_issuer",
            PathError::SignatureInvalid { .. } => "signature_invalid",
            PathError::MalformedExtension { .. } => "malformed_extension",
            PathError::UnsupportedVersion { .. } => "unsupported_version",
            PathError::AlgorithmsDiffer { .. } => "signature_algorithms_differ",
            PathError::WeakSignatureAlgorithm { .. } => "weak_signature_algorithm",
            PathError::WeakKey { .. } => "weak_key",
            PathError::Expired { position, .. } => match position {
                Position::Leaf => "leaf_expired",
                Position::Intermediate => "intermediate_expired",
                Position::Anchor => "anchor_expired",
            },
            PathError::NotYetValid { position, .. } => match position {
                Position::Leaf => "leaf_not_yet_valid",
                Position::Intermediate => "intermediate_not_yet_valid",
                Position::Anchor => "anchor_not_yet_valid",
            },
            PathError::LeafIsCa { .. } => "leaf_is_ca",
            PathError::NotACa {
                position: Position::Anchor,
                ..
            } => "anchor_not_ca",
            PathError::NotACa { .. } => "intermediate_not_ca",
            PathError::MissingKeyCertSign { .. } => "missing_key_cert_sign",
            PathError::MissingDigitalSignature { .. } => "missing_digital_signature",
            PathError::SubjectEmpty { .. } => "subject_empty",
            PathError::WrongPurpose { .. } => "wrong_purpose",
            PathError::UnknownCriticalExtension { .. } => "unknown_critical_extension",
            PathError::PathLengthExceeded { .. } => "path_length_exceeded",
            PathError::ChainTooLong { .. } => "chain_too_long",
            PathError::NameConstraint { .. } => "name_constraint",
            PathError::NameConstraintUnsupported { .. } => "name_constraint_unsupported",
            PathError::NameMismatch { .. } => "name_mismatch",
            PathError::Revoked { .. } => "revoked",
            PathError::CrlMissing { .. } => "crl_missing",
            PathError::CrlExpired { .. } => "crl_expired",
            PathError::CrlNotYetValid { .. } => "crl_not_yet_valid",
            PathError::CrlSignatureInvalid { .. } => "crl_signature_invalid",
            PathError::CrlSignerNotAllowed { .. } => "crl_signer_not_allowed",
            PathError::Profile { rule, .. } | PathError::CrlProfile { rule, .. } => rule.code(),
            PathError::NotAccepted { .. } => "path_not_accepted",
        }
    }
}

fn issuer_unknown(subject: &str, issuer: &str) -> String {
    if subject == issuer {
        "is signed by itself and is not a trust anchor".to_owned()
    } else {
        format!(
            "was issued by {issuer}, which is neither a trust anchor nor among the certificates sent: send that intermediate, or trust its CA"
        )
    }
}

fn usage_found(present: bool) -> &'static str {
    if present {
        "its key usage names other uses only"
    } else {
        "it has no key usage extension"
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let shown = names
        .iter()
        .take(NAMES_SHOWN_MAX)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let rest = names.len().saturating_sub(NAMES_SHOWN_MAX);
    if rest == 0 {
        shown
    } else {
        format!("{shown} and {rest} more")
    }
}

fn utc(time: &Time) -> impl fmt::Display {
    time.format("%Y-%m-%dT%H:%M:%SZ")
}

/// How many names one message lists. A certificate may bear thousands, and a message is read by a person.
const NAMES_SHOWN_MAX: usize = 8;
