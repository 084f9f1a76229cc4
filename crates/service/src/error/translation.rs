//! What an error means outside: a kind, a stable code, and the words that a dialect's users search for.
//!
//! The rim translates [`Kind`] into a status or an exit code, once, in a `match` without a default arm.

use std::borrow::Cow;

use bowline_store::StoreError;
use bowline_trust::{DenialKind, TokenError};
use bowline_x509::path::PathError;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::log::LogError;

/// What a failure means to the caller. A number of kinds, each with one HTTP status and one exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Malformed, or outside a certificate profile.
    Invalid,
    /// The certificate or the signature is not accepted.
    Unauthenticated,
    /// Known, and not allowed.
    Denied,
    /// No such resource.
    NotFound,
    /// Exists already, or changed meanwhile.
    Conflict,
    /// A stated limit was reached.
    Limit,
    /// Our fault; the detail goes to the log only.
    Internal,
    /// Try again later; safe to repeat.
    Unavailable,
}

/// An error as it crosses a wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicError {
    /// What it means.
    pub kind: Kind,
    /// The stable code.
    pub code: Cow<'static, str>,
    /// One sentence: the rule, the value, the fix.
    pub message: String,
}

/// What a refused exchange is called by AWS; its clients' users search for these words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The leaf is not what an end entity certificate must be.
    InsufficientCertificate,
    /// No path to the anchor.
    UntrustedSigner,
    /// The signature, or what it covers.
    InvalidSignature,
    /// The certificate is revoked.
    Revoked,
    /// A rule of anchor, profile, role or trust policy, in AWS's words where it has some.
    NotAssumable(String),
}

impl Error {
    /// Something that cannot happen, happened.
    pub fn internal(detail: impl Into<String>) -> Error {
        Error::Internal {
            detail: detail.into(),
        }
    }

    /// What it means to the caller.
    pub fn kind(&self) -> Kind {
        self.classify().0
    }

    /// The stable code, listed in `docs/errors.md`.
    pub fn code(&self) -> Cow<'static, str> {
        self.classify().1
    }

    /// What crosses a wire. Of our own faults it tells nothing but that they are ours.
    pub fn public(&self) -> PublicError {
        let (kind, code) = self.classify();
        let message = match kind {
            Kind::Internal => "internal error; the log of the server tells more".into(),
            _ => self.to_string(),
        };
        PublicError {
            kind,
            code,
            message,
        }
    }

    /// Whether it is about who asks, rather than about what is asked.
    pub(crate) fn is_authentication(&self) -> bool {
        self.kind() == Kind::Unauthenticated || matches!(self, Error::Signature(_) | Error::Role(_))
    }

    /// What AWS calls a refused exchange, if this is one.
    pub fn refusal(&self) -> Option<Refusal> {
        Some(match self {
            Error::Signature(_) => Refusal::InvalidSignature,
            Error::Path(error) => match error {
                PathError::LeafIsCa { .. }
                | PathError::MissingDigitalSignature { .. }
                | PathError::SubjectEmpty { .. }
                | PathError::UnsupportedVersion { .. }
                | PathError::WeakKey { .. }
                | PathError::WeakSignatureAlgorithm { .. }
                | PathError::MalformedExtension { .. } => Refusal::InsufficientCertificate,
                _ => Refusal::UntrustedSigner,
            },
            Error::CertificateIsRevoked { .. } => Refusal::Revoked,
            Error::CertificateNotOurs { .. } => Refusal::UntrustedSigner,
            Error::SessionDenied { denial, .. } => Refusal::NotAssumable(denial.aws_message()),
            Error::SessionRoleUnknown { role } => {
                Refusal::NotAssumable(format!("Unable to assume role for {role}"))
            }
            _ => return None,
        })
    }

    /// The code an STS client expects, where the kind alone does not say it.
    pub fn sts_code(&self) -> Option<&'static str> {
        match self {
            Error::Signature(error) => Some(error.aws_code()),
            Error::Token(TokenError::Expired { .. })
            | Error::SessionEndedByRevocation { .. }
            | Error::SessionEndedByAnchor { .. }
            | Error::Role(_) => Some("ExpiredToken"),
            Error::Token(_) | Error::SessionTokenMissing => Some("InvalidClientTokenId"),
            Error::Door(error) => error.sts_code(),
            // A client certificate that was shown, and is not believed.
            Error::Path(_)
            | Error::CertificateIsRevoked { .. }
            | Error::CertificateNotOurs { .. } => Some("AccessDenied"),
            Error::SessionDenied { denial, .. } => Some(denial.sts_code()),
            Error::Sts(error) => error.sts_code(),
            Error::Federation(error) => error.sts_code(),
            Error::Life(error) => error.sts_code(),
            Error::Relying(error) => error.sts_code(),
            _ => None,
        }
    }

    /// What AWS says where a signature or a token is refused: people search for these words.
    pub fn aws_words(&self) -> Option<Cow<'static, str>> {
        if let Error::Signature(error) = self {
            return error.aws_words();
        }
        if let Error::SessionDenied { denial, .. } = self {
            return denial.sts_words().map(Cow::Borrowed);
        }
        match self.sts_code()? {
            "ExpiredToken" => Some("The security token included in the request is expired".into()),
            "InvalidClientTokenId" => {
                Some("The security token included in the request is invalid".into())
            }
            _ => None,
        }
    }

    fn classify(&self) -> (Kind, Cow<'static, str>) {
        use Kind::{
            Conflict, Denied, Internal, Invalid, Limit, NotFound, Unauthenticated, Unavailable,
        };
        let (kind, code) = match self {
            Error::Profile(error) => (Invalid, error.code()),
            Error::Authority(error) => (Invalid, error.code()),
            Error::Issue(error) => (Internal, error.code()),
            Error::TrustPolicy(error) | Error::Policy(error) => (Invalid, error.code()),
            Error::Account(_) => (Invalid, "account_invalid"),
            Error::Signature(error) => (Unauthenticated, error.code()),
            Error::Path(error) => (Unauthenticated, error.code()),
            Error::Certificate(_) => (Invalid, "certificate_malformed"),
            Error::Request(_) => (Invalid, "certification_request_refused"),
            Error::Pem(_) => (Invalid, "pem_malformed"),
            Error::Key(_) => (Invalid, "public_key_refused"),
            Error::Name(_) => (Invalid, "name_invalid"),
            Error::GeneralName(_) => (Invalid, "alternative_name_invalid"),
            Error::Serial(_) => (Invalid, "serial_number_invalid"),
            Error::Store(error) => match error {
                StoreError::Conflict { .. } => (Conflict, "changed_meanwhile"),
                StoreError::Unavailable { .. } => (Unavailable, "store_unavailable"),
                StoreError::Unknown { .. } => (Unavailable, "outcome_unknown"),
                StoreError::Limit(_) => (Limit, "store_limit"),
                StoreError::Corrupt { .. } => (Internal, "store_damaged"),
            },
            Error::Record(error) => (Invalid, error.code()),
            Error::Token(error) => (Unauthenticated, error.code()),
            Error::Role(error) => (Unauthenticated, error.code()),
            Error::Id(_) => (Invalid, "id_invalid"),
            Error::Sign(_) => (Internal, "signing_failed"),
            Error::SessionDenied { denial, .. } => {
                let kind = match denial.kind() {
                    DenialKind::Invalid => Invalid,
                    DenialKind::Unauthenticated => Unauthenticated,
                    DenialKind::Denied => Denied,
                };
                (kind, denial.code())
            }
            Error::SessionRoleUnknown { .. } => (Denied, "session_role_unknown"),
            Error::SessionTrustAnchorUnknown { .. } => (NotFound, "session_trust_anchor_unknown"),
            Error::SessionProfileUnknown { .. } => (NotFound, "session_profile_unknown"),
            Error::CertificateNotOurs { .. } => (Unauthenticated, "certificate_not_ours"),
            Error::SessionParameterMissing { .. } => (Invalid, "session_parameter_missing"),
            Error::SessionParameterTwice { .. } => (Invalid, "session_parameter_twice"),
            Error::SessionBody { .. } => (Invalid, "session_body_malformed"),
            Error::CertificateIsRevoked { .. } => (Unauthenticated, "certificate_revoked"),
            Error::SessionEndedByRevocation { .. } => {
                (Unauthenticated, "session_ended_by_revocation")
            }
            Error::SessionEndedByAnchor { .. } => (Unauthenticated, "session_ended_by_anchor"),
            Error::SessionTokenMissing => (Unauthenticated, "session_token_missing"),
            Error::ActionInvalid { .. } => (Invalid, "action_invalid"),
            Error::ResourceInvalid { .. } => (Invalid, "resource_invalid"),
            Error::ContextKeyReserved { .. } => (Invalid, "context_key_reserved"),
            Error::PayloadHashInvalid { .. } => (Invalid, "payload_hash_invalid"),
            Error::NotAuthorized { .. } => (Denied, "not_authorized"),
            Error::CredentialsNeeded { .. } => (Denied, "credentials_needed"),
            Error::OperatorOnly { .. } => (Denied, "operator_only"),
            Error::AlreadyInitialized => (Conflict, "already_initialized"),
            Error::NotInitialized => (NotFound, "not_initialized"),
            Error::Locked => (Invalid, "locked"),
            Error::UnsealKeyLength { .. } => (Invalid, "unseal_key_length"),
            Error::UnsealKeyWrong => (Unauthenticated, "unseal_key_wrong"),
            Error::PassphraseWrong => (Unauthenticated, "passphrase_wrong"),
            Error::PassphraseNeeded => (Invalid, "passphrase_needed"),
            Error::PassphraseNotUsed => (Invalid, "passphrase_not_used"),
            Error::PassphraseTooShort { .. } => (Invalid, "passphrase_too_short"),
            Error::AuthorityKeyOffline { .. } => (Invalid, "authority_key_offline"),
            Error::NoPrivateKeyInPem => (Invalid, "private_key_missing"),
            Error::PrivateKeyUnreadable => (Invalid, "private_key_unreadable"),
            Error::PrivateKeyEncrypted => (Invalid, "private_key_encrypted"),
            Error::PrivateKeyPasswordWrong => (Unauthenticated, "private_key_password_wrong"),
            Error::NameEmpty => (Invalid, "name_empty"),
            Error::NameTooLong { .. } => (Invalid, "name_too_long"),
            Error::HomeNameTooLong { .. } => (Invalid, "home_name_too_long"),
            Error::RegionInvalid { .. } => (Invalid, "region_invalid"),
            Error::UrlInvalid { .. } => (Invalid, "url_invalid"),
            Error::MomentOutOfRange => (Invalid, "time_out_of_range"),
            Error::TooManyNames { .. } => (Limit, "too_many_names"),
            Error::ChainTooLong { .. } => (Limit, "chain_too_long"),
            Error::RenewalDate { .. } => (Unauthenticated, "renewal_date"),
            Error::RenewsOperator => (Denied, "renews_operator"),
            Error::ReasonNotARevocation => (Invalid, "reason_not_a_revocation"),
            Error::NameReadsAsId { .. } => (Invalid, "name_reads_as_id"),
            Error::RenewalProof { .. } => (Unauthenticated, "renewal_proof_invalid"),
            Error::Crl(_) => (Invalid, "crl_malformed"),
            Error::NoCertificate => (Invalid, "certificate_missing"),
            Error::NoCrl => (Invalid, "crl_missing_in_file"),
            Error::NoCertificationRequest => (Invalid, "certification_request_missing"),
            Error::CertificateUnknown { .. } => (NotFound, "certificate_unknown"),
            Error::AuthorityUnknown { .. } => (NotFound, "authority_unknown"),
            Error::TrustAnchorUnknown { .. } => (NotFound, "trust_anchor_unknown"),
            Error::ProfileUnknown { .. } => (NotFound, "profile_unknown"),
            Error::RoleUnknown { .. } => (NotFound, "role_unknown"),
            Error::Exists { .. } => (Conflict, "exists"),
            Error::PageUnknown => (Invalid, "page_unknown"),
            Error::RolePermissionsNeeded => (Invalid, "role_permissions_needed"),
            Error::RoleTrustTwice => (Invalid, "role_trust_twice"),
            Error::TrustPolicyOpen { .. } => (Invalid, "trust_policy_open"),
            Error::SubjectTestInvalid { .. } => (Invalid, "subject_test_invalid"),
            Error::AnchorSourceNeeded => (Invalid, "anchor_source_needed"),
            Error::AnchorIsOwn { .. } => (Invalid, "anchor_is_own"),
            Error::AnchorKey { .. } => (Invalid, "anchor_key_refused"),
            Error::AnchorSignatureAlgorithm { .. } => (Invalid, "anchor_signature_algorithm"),
            Error::AnchorExpired { .. } => (Invalid, "anchor_expired"),
            Error::RecordFormat { .. } => (Unavailable, "record_format_unknown"),
            Error::RecordTooLong { .. } => (Limit, "record_too_long"),
            Error::UnknownOperation { .. } => (NotFound, "operation_unknown"),
            Error::OperationInput { .. } => (Invalid, "operation_input_malformed"),
            Error::Door(error) => error.classify(),
            Error::Sts(error) => error.classify(),
            Error::Change(error) => error.classify(),
            Error::Federation(error) => error.classify(),
            Error::Life(error) => error.classify(),
            Error::Relying(error) => error.classify(),
            Error::Busy => (Unavailable, "busy"),
            Error::ClockBehind { .. } => (Unavailable, "clock_behind"),
            Error::RevocationListNotOurs { .. } => (Invalid, "crl_not_ours"),
            Error::ReceiverGone { .. } => (Unavailable, "receiver_gone"),
            Error::LogNotBegun => (NotFound, "log_not_begun"),
            Error::EventUnknown { .. } => (NotFound, "event_unknown"),
            Error::EventAfterCheckpoint { .. } => (Invalid, "event_after_checkpoint"),
            Error::LogCheckpointUnknown { .. } => (NotFound, "log_checkpoint_unknown"),
            Error::LogSizesInvalid { .. } => (Invalid, "log_sizes_invalid"),
            Error::LogDamaged { .. } => (Internal, "log_damaged"),
            Error::Log(error) => {
                let kind = match error {
                    LogError::Tampered(_)
                    | LogError::Since(_)
                    | LogError::RewrittenInBackup { .. } => Unauthenticated,
                    LogError::NotALog | LogError::NewerFormat { .. } | LogError::Key(_) => Invalid,
                    LogError::Input(_) => Unavailable,
                };
                (kind, error.code())
            }
            Error::SubjectUnknown { .. } => (NotFound, "subject_unknown"),
            Error::Remote(error) => return (error.kind, error.code.clone()),
            Error::Internal { .. } => (Internal, "internal"),
        };
        (kind, Cow::Borrowed(code))
    }
}
