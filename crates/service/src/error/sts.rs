//! What the calls of STS can be refused for.

use bowline_policy::{PolicyError, TagError};
use bowline_trust::MessageError;

use super::{Kind, listed};

/// Why a call of STS is refused.
#[derive(Debug, thiserror::Error)]
pub enum StsError {
    /// A call without a parameter.
    #[error("the parameter {parameter} is missing")]
    ParameterMissing {
        /// Its name.
        parameter: &'static str,
    },
    /// A call that is not served.
    #[error("the action {action:?} is not served here")]
    ActionUnknown {
        /// The action.
        action: String,
    },
    /// Another STS.
    #[error("the version {version:?} is not served here: 2011-06-15 is")]
    VersionUnknown {
        /// The version.
        version: String,
    },
    /// A call that tells of temporary credentials, or goes on from them, without any.
    #[error("{action} takes temporary credentials: sign the request with some")]
    SessionNeeded {
        /// The action.
        action: &'static str,
    },
    /// A role that the policies do not give to a session, and the session may not know why.
    #[error(
        "User: {principal} is not authorized to perform: {action} on resource: {role_arn}. {message}"
    )]
    AssumeRoleRefused {
        /// The session's ARN.
        principal: String,
        /// The action that is not allowed.
        action: &'static str,
        /// The role's ARN.
        role_arn: String,
        /// What somebody who may know can decode.
        message: String,
    },
    /// GetSessionToken by somebody who has a session already.
    #[error("Cannot call GetSessionToken with session credentials: show a certificate over TLS")]
    SessionTokenOfSession,
    /// GetSessionToken by somebody who showed no certificate.
    #[error("GetSessionToken takes a client certificate, shown over TLS, and no signature")]
    CertificateNeeded,
    /// A certificate that no trust anchor could vouch for.
    #[error("there is no enabled trust anchor to vouch for the certificate {subject}")]
    AnchorMissing {
        /// Its subject, RFC 4514.
        subject: String,
    },
    /// A certificate that several trust anchors vouch for, so that it has no one name.
    #[error(
        "the certificate {subject} is believed by the trust anchors {}: which user it is must be one anchor's word", .anchors.join(", ")
    )]
    AnchorAmbiguous {
        /// Its subject, RFC 4514.
        subject: String,
        /// The names of the anchors.
        anchors: Vec<String>,
    },
    /// A message that does not open.
    #[error(transparent)]
    Message(MessageError),
    /// An access key id that nobody here has.
    #[error("the access key id {access_key_id:?} was not given out here, or its key is gone")]
    AccessKeyUnknown {
        /// The id.
        access_key_id: String,
    },
    /// Values outside their limits, as AWS words it.
    #[error("{} validation {} detected: {}", .failures.len(), if .failures.len() == 1 { "error" } else { "errors" }, .failures.join("; "))]
    Validation {
        /// What is wrong, each with its parameter.
        failures: Vec<String>,
    },
    /// What is to be assumed is not a role's ARN.
    #[error("{arn} is not the ARN of a role")]
    RoleArnInvalid {
        /// What was given, cut to a readable length.
        arn: String,
    },
    /// A session tag that is none.
    #[error("a session tag is not one: {error}")]
    TagInvalid {
        /// What is wrong with it.
        error: TagError,
    },
    /// A session tag that certificates give.
    #[error("the tag {key} says what a certificate says, and no caller may: pass another key")]
    TagOfCertificate {
        /// Its key.
        key: String,
    },
    /// A session policy that does not read.
    #[error("the session policy is malformed: {error}")]
    SessionPolicyMalformed {
        /// What is wrong, and where.
        error: PolicyError,
    },
    /// A managed policy that is not here, to narrow a session by.
    #[error("PolicyArns names {arn}, which is not here: {}", if *.of_aws { "the policies of AWS are not known, make one with `bowline policy create`" } else { "make it with `bowline policy create`" })]
    SessionPolicyUnknown {
        /// Its ARN.
        arn: String,
        /// Whether it is one that AWS keeps.
        of_aws: bool,
    },
    /// A managed policy that is not here.
    #[error("there is no policy {policy:?}: there are {}", listed(.known))]
    PolicyUnknown {
        /// What was asked for.
        policy: String,
        /// The names of those there are.
        known: Vec<String>,
    },
    /// A name that no managed policy can have.
    #[error("policy name {name:?} is not 1 to 128 of letters, digits and _+=,.@-")]
    PolicyNameInvalid {
        /// What was asked for.
        name: String,
    },
    /// A managed policy that is too long.
    #[error(
        "the policy has {characters} characters without white space and at most {limit} are allowed"
    )]
    PolicyTooLong {
        /// How many it has.
        characters: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A role of another account, to be had as one of the home's own.
    #[error(
        "a role of account {account} takes a trust policy document and is listed by no profile: give the one, leave out the other"
    )]
    RoleOfOtherAccount {
        /// The account.
        account: String,
    },
}

impl StsError {
    /// What it means, and its stable code.
    pub(crate) fn classify(&self) -> (Kind, &'static str) {
        match self {
            StsError::ParameterMissing { .. } => (Kind::Invalid, "sts_parameter_missing"),
            StsError::ActionUnknown { .. } => (Kind::Invalid, "sts_action_unknown"),
            StsError::VersionUnknown { .. } => (Kind::Invalid, "sts_version_unknown"),
            StsError::SessionNeeded { .. } => (Kind::Unauthenticated, "sts_session_needed"),
            StsError::AssumeRoleRefused { .. } => (Kind::Denied, "assume_role_not_authorized"),
            StsError::SessionTokenOfSession => (Kind::Denied, "sts_session_token_of_session"),
            StsError::CertificateNeeded => (Kind::Unauthenticated, "sts_certificate_needed"),
            StsError::AnchorMissing { .. } => (Kind::Unauthenticated, "sts_anchor_missing"),
            StsError::AnchorAmbiguous { .. } => (Kind::Denied, "sts_anchor_ambiguous"),
            StsError::Message(_) => (Kind::Invalid, "sts_message_invalid"),
            StsError::AccessKeyUnknown { .. } => (Kind::Invalid, "sts_access_key_unknown"),
            StsError::Validation { .. } => (Kind::Invalid, "sts_validation"),
            StsError::RoleArnInvalid { .. } => (Kind::Invalid, "sts_role_arn_invalid"),
            StsError::TagInvalid { .. } => (Kind::Invalid, "sts_tag_invalid"),
            StsError::TagOfCertificate { .. } => (Kind::Invalid, "sts_tag_of_certificate"),
            StsError::SessionPolicyMalformed { .. } => (Kind::Invalid, "session_policy_malformed"),
            StsError::SessionPolicyUnknown { .. } => (Kind::Invalid, "session_policy_unknown"),
            StsError::PolicyUnknown { .. } => (Kind::NotFound, "managed_policy_unknown"),
            StsError::PolicyNameInvalid { .. } => (Kind::Invalid, "managed_policy_name_invalid"),
            StsError::PolicyTooLong { .. } => (Kind::Limit, "managed_policy_too_long"),
            StsError::RoleOfOtherAccount { .. } => (Kind::Invalid, "role_of_other_account"),
        }
    }

    /// The code an STS client expects, where the kind alone does not say it.
    pub(crate) fn sts_code(&self) -> Option<&'static str> {
        match self {
            StsError::ParameterMissing {
                parameter: "Action",
            } => Some("MissingAction"),
            StsError::ParameterMissing { .. } => None,
            StsError::ActionUnknown { .. } | StsError::VersionUnknown { .. } => {
                Some("InvalidAction")
            }
            StsError::SessionNeeded { .. } | StsError::CertificateNeeded => {
                Some("MissingAuthenticationToken")
            }
            StsError::AnchorMissing { .. } => Some("AccessDenied"),
            StsError::Validation { .. }
            | StsError::RoleArnInvalid { .. }
            | StsError::TagInvalid { .. }
            | StsError::TagOfCertificate { .. }
            | StsError::SessionPolicyUnknown { .. } => Some("ValidationError"),
            StsError::SessionPolicyMalformed { .. } => Some("MalformedPolicyDocument"),
            StsError::Message(_) => Some("InvalidAuthorizationMessageException"),
            StsError::AssumeRoleRefused { .. }
            | StsError::SessionTokenOfSession
            | StsError::AnchorAmbiguous { .. }
            | StsError::PolicyUnknown { .. }
            | StsError::PolicyNameInvalid { .. }
            | StsError::PolicyTooLong { .. }
            | StsError::RoleOfOtherAccount { .. }
            | StsError::AccessKeyUnknown { .. } => None,
        }
    }
}
