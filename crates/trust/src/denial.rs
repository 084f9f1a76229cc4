//! Why somebody gets no credentials: every rule that can fail, with the values that broke it.

use bowline_policy::Decision;
use bowline_x509::Time;

use crate::keyring::stamp;

/// The first rule that a request for credentials broke.
///
/// The message says the rule and the values; [`Denial::fix`] says what to do about it; [`Denial::aws_message`] is what
/// a client of IAM Roles Anywhere should read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Denial {
    /// The trust anchor is switched off.
    #[error("trust anchor {name} is disabled")]
    TrustAnchorDisabled {
        /// Its name.
        name: String,
    },
    /// The profile is switched off.
    #[error("profile {name} is disabled")]
    ProfileDisabled {
        /// Its name.
        name: String,
    },
    /// The role is switched off.
    #[error("role {role_arn} is disabled")]
    RoleDisabled {
        /// Its ARN.
        role_arn: String,
    },
    /// Anchor, profile and role are not of one account.
    #[error(
        "trust anchor, profile and role belong to different accounts: {trust_anchor}, {profile}, {role}"
    )]
    DifferentAccounts {
        /// The anchor's account.
        trust_anchor: String,
        /// The profile's account.
        profile: String,
        /// The role's account.
        role: String,
        /// The ARN of the role.
        role_arn: String,
    },
    /// The path was verified against certificates that are not the anchor's.
    #[error(
        "the certificate was verified up to `{verified}`, which is not a certificate of trust anchor {name}"
    )]
    OtherTrustAnchor {
        /// The subject of the certificate at the end of the path.
        verified: String,
        /// The anchor's name.
        name: String,
    },
    /// The identity provider is not of the role's account.
    #[error("identity provider {provider} does not belong to the account of role {role_arn}")]
    ProviderOfOtherAccount {
        /// The provider's ARN.
        provider: String,
        /// The ARN of the role.
        role_arn: String,
    },
    /// The certificate is not in its time now.
    #[error("the certificate is good from {} to {} and it is {}", stamp(.not_before), stamp(.not_after), stamp(.now))]
    CertificateOutOfTime {
        /// Its first second.
        not_before: Time,
        /// Its last second.
        not_after: Time,
        /// The time of the request.
        now: Time,
    },
    /// The path was verified, but what it rested on has ended since: a certificate above, or a revocation list.
    #[error("the certificate's path was good until {} and it is {}", stamp(.good_until), stamp(.now))]
    PathOutOfTime {
        /// When the first of its parts ended.
        good_until: Time,
        /// The time of the request.
        now: Time,
    },
    /// The serial number cannot name the certificate.
    #[error(
        "the certificate's serial number {serial} is not a positive number of at most 20 octets"
    )]
    SerialNumber {
        /// The serial number in hex.
        serial: String,
    },
    /// The profile does not list the role.
    #[error("profile {profile} does not list role {role_arn}")]
    RoleNotInProfile {
        /// The profile's name.
        profile: String,
        /// The role's ARN.
        role_arn: String,
    },
    /// The session was named and the profile does not accept that.
    #[error(
        "the request names the session `{name}` and profile {profile} does not accept session names"
    )]
    SessionNameNotAccepted {
        /// The name asked for.
        name: String,
        /// The profile's name.
        profile: String,
    },
    /// The session's name is not one.
    #[error("session name `{name}` is not 2 to 64 of letters, digits and _+=,.@-")]
    SessionNameInvalid {
        /// The name asked for.
        name: String,
    },
    /// The duration asked for is outside what is possible at all.
    #[error("duration of {asked} s is outside {least} to {most} s")]
    DurationOutOfRange {
        /// What was asked for, in seconds.
        asked: u32,
        /// The least, in seconds.
        least: u32,
        /// The most, in seconds.
        most: u32,
    },
    /// The session would be longer than the role allows.
    #[error("a session of {duration} s is over the {limit} s that role {role_arn} allows")]
    DurationOverRoleMaximum {
        /// How long the session would be, in seconds.
        duration: u32,
        /// What the role allows, in seconds.
        limit: u32,
        /// The role's ARN.
        role_arn: String,
    },
    /// A session of a role assumed from a role would be longer than such may be.
    #[error(
        "a session of {asked} s is over the {limit} s of a role that is assumed from a role's session"
    )]
    RoleChainingTooLong {
        /// How long the session would be, in seconds.
        asked: u32,
        /// How long it may be, in seconds.
        limit: u32,
    },
    /// The session would rest on too many others.
    #[error("the session would rest on {sessions} others and at most {limit} are allowed")]
    ChainTooLong {
        /// On how many it would rest.
        sessions: usize,
        /// On how many it may.
        limit: usize,
    },
    /// The session policies of the request are too long.
    #[error(
        "the session policies of the request have {characters} characters without white space and at most {limit} are allowed"
    )]
    RequestPoliciesTooLong {
        /// How many they have.
        characters: usize,
        /// How many they may have.
        limit: usize,
    },
    /// There are more tags than a session may carry.
    #[error("the session would carry {tags} tags and at most {limit} are allowed")]
    TooManyTags {
        /// How many it would carry.
        tags: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A tag is passed twice.
    #[error("tag key `{key}` is passed twice; tag keys compare without regard to case")]
    TagTwice {
        /// Its key.
        key: String,
    },
    /// A tag that is not passed shall stay with further sessions.
    #[error("transitive tag key `{key}` is not the key of a tag that is passed")]
    TransitiveTagMissing {
        /// The key.
        key: String,
    },
    /// A tag is passed that the asking session passes on itself.
    #[error("tag `{key}` is transitive in the calling session and cannot be passed again")]
    TagInherited {
        /// Its key.
        key: String,
    },
    /// The source identity is not one.
    #[error(
        "source identity `{value}` is not 2 to 64 of letters, digits and _+=,.@-, or begins with aws:"
    )]
    SourceIdentityInvalid {
        /// What it was.
        value: String,
    },
    /// A source identity was set already, and shall be another.
    #[error(
        "the calling session has source identity `{set}`, which cannot be changed to `{asked}`"
    )]
    SourceIdentityFixed {
        /// The one there is.
        set: String,
        /// The one asked for.
        asked: String,
    },
    /// The policies do not allow a session one of the three actions.
    #[error("User: {principal} is not authorized to perform: {action} on resource: {role_arn} {}", .decision.reason(.action))]
    NotAuthorized {
        /// The session's ARN.
        principal: String,
        /// The role's ARN.
        role_arn: String,
        /// The action that is not allowed.
        action: &'static str,
        /// What the policies say.
        decision: Box<Decision>,
    },
    /// The role's trust policy does not allow somebody whom an identity provider vouches for one of the three actions.
    #[error("Not authorized to perform {action} on resource: {role_arn} as one of {provider} {}", .decision.reason(.action))]
    FederatedNotAuthorized {
        /// The provider's ARN.
        provider: String,
        /// The role's ARN.
        role_arn: String,
        /// The action that is not allowed.
        action: &'static str,
        /// What the policy says.
        decision: Box<Decision>,
    },
    /// The role's trust policy does not allow one of the three actions.
    #[error("the trust policy of role {role_arn} does not allow {action} for subject `{subject}`: denied {}", .decision.reason(.action))]
    TrustPolicy {
        /// The role's ARN.
        role_arn: String,
        /// The action that is not allowed.
        action: &'static str,
        /// The subject of the certificate.
        subject: String,
        /// What the policy says.
        decision: Box<Decision>,
    },
    /// Too little of the certificate's life is left for a session.
    #[error("the certificate ends at {}, in {remaining} s, and a session takes at least {least} s", stamp(.not_after))]
    CertificateEndsSoon {
        /// Its last second.
        not_after: Time,
        /// What is left of it, in seconds.
        remaining: i64,
        /// The shortest session, in seconds.
        least: i64,
    },
    /// What an identity provider said ends too soon for a session.
    #[error("what the identity provider says is good until {}, for {remaining} s more, and a session takes at least {least} s", stamp(.not_after))]
    IdentityEndsSoon {
        /// When it ends.
        not_after: Time,
        /// What is left, in seconds.
        remaining: i64,
        /// The shortest session, in seconds.
        least: i64,
    },
    /// Tags and session policies do not fit into a token.
    #[error("the session token would take {bytes} bytes and at most {limit} are allowed")]
    PackedPolicyTooLarge {
        /// How many it would take.
        bytes: usize,
        /// How many it may take.
        limit: usize,
    },
}

/// What kind of refusal a denial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenialKind {
    /// The request asks for something that nobody could get.
    Invalid,
    /// The certificate is not accepted.
    Unauthenticated,
    /// The caller is known, and not allowed.
    Denied,
}

impl Denial {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Denial::TrustAnchorDisabled { .. } => "trust_anchor_disabled",
            Denial::ProfileDisabled { .. } => "profile_disabled",
            Denial::RoleDisabled { .. } => "role_disabled",
            Denial::DifferentAccounts { .. } => "different_accounts",
            Denial::OtherTrustAnchor { .. } => "other_trust_anchor",
            Denial::CertificateOutOfTime { .. } => "certificate_out_of_time",
            Denial::PathOutOfTime { .. } => "path_out_of_time",
            Denial::SerialNumber { .. } => "serial_number_not_conforming",
            Denial::RoleNotInProfile { .. } => "role_not_in_profile",
            Denial::SessionNameNotAccepted { .. } => "session_name_not_accepted",
            Denial::SessionNameInvalid { .. } => "session_name_invalid",
            Denial::DurationOutOfRange { .. } => "duration_out_of_range",
            Denial::DurationOverRoleMaximum { .. } => "duration_over_role_maximum",
            Denial::RequestPoliciesTooLong { .. } => "request_policies_too_long",
            Denial::TooManyTags { .. } => "too_many_tags",
            Denial::TrustPolicy { .. } => "trust_policy",
            Denial::ProviderOfOtherAccount { .. } => "provider_of_other_account",
            Denial::RoleChainingTooLong { .. } => "role_chaining_too_long",
            Denial::ChainTooLong { .. } => "session_chain_too_long",
            Denial::TagTwice { .. } => "tag_twice",
            Denial::TransitiveTagMissing { .. } => "transitive_tag_missing",
            Denial::TagInherited { .. } => "tag_inherited",
            Denial::SourceIdentityInvalid { .. } => "source_identity_invalid",
            Denial::SourceIdentityFixed { .. } => "source_identity_fixed",
            Denial::NotAuthorized { .. } => "assume_role_not_authorized",
            Denial::FederatedNotAuthorized { .. } => "federated_not_authorized",
            Denial::IdentityEndsSoon { .. } => "identity_ends_soon",
            Denial::CertificateEndsSoon { .. } => "certificate_ends_soon",
            Denial::PackedPolicyTooLarge { .. } => "packed_policy_too_large",
        }
    }

    /// What kind of refusal it is.
    pub fn kind(&self) -> DenialKind {
        match self {
            Denial::SessionNameInvalid { .. }
            | Denial::DurationOutOfRange { .. }
            | Denial::RequestPoliciesTooLong { .. }
            | Denial::RoleChainingTooLong { .. }
            | Denial::TagTwice { .. }
            | Denial::TransitiveTagMissing { .. }
            | Denial::TagInherited { .. }
            | Denial::SourceIdentityInvalid { .. }
            | Denial::PackedPolicyTooLarge { .. } => DenialKind::Invalid,
            Denial::OtherTrustAnchor { .. }
            | Denial::CertificateOutOfTime { .. }
            | Denial::PathOutOfTime { .. }
            | Denial::SerialNumber { .. }
            | Denial::IdentityEndsSoon { .. }
            | Denial::CertificateEndsSoon { .. } => DenialKind::Unauthenticated,
            Denial::TrustAnchorDisabled { .. }
            | Denial::ProfileDisabled { .. }
            | Denial::RoleDisabled { .. }
            | Denial::DifferentAccounts { .. }
            | Denial::RoleNotInProfile { .. }
            | Denial::SessionNameNotAccepted { .. }
            | Denial::DurationOverRoleMaximum { .. }
            | Denial::TooManyTags { .. }
            | Denial::ProviderOfOtherAccount { .. }
            | Denial::ChainTooLong { .. }
            | Denial::SourceIdentityFixed { .. }
            | Denial::NotAuthorized { .. }
            | Denial::FederatedNotAuthorized { .. }
            | Denial::TrustPolicy { .. } => DenialKind::Denied,
        }
    }

    /// The code that a client of STS expects.
    pub fn sts_code(&self) -> &'static str {
        match self {
            Denial::RequestPoliciesTooLong { .. } | Denial::PackedPolicyTooLarge { .. } => {
                "PackedPolicyTooLarge"
            }
            // Refused to somebody known, and yet AWS calls them wrong questions.
            Denial::DurationOverRoleMaximum { .. } | Denial::TooManyTags { .. } => {
                "ValidationError"
            }
            Denial::IdentityEndsSoon { .. } => "ExpiredTokenException",
            _ => match self.kind() {
                DenialKind::Invalid => "ValidationError",
                DenialKind::Unauthenticated | DenialKind::Denied => "AccessDenied",
            },
        }
    }

    /// What AWS says in STS, where programs look for the words.
    pub fn sts_words(&self) -> Option<&'static str> {
        match self {
            Denial::DurationOverRoleMaximum { .. } => Some(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            ),
            Denial::RoleChainingTooLong { .. } => Some(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
            ),
            _ => None,
        }
    }

    /// What would help.
    pub fn fix(&self) -> String {
        match self {
            Denial::TrustAnchorDisabled { name } => format!("enable it: bowline anchor enable '{name}'"),
            Denial::ProfileDisabled { name } => format!("enable it: bowline profile enable '{name}'"),
            Denial::RoleDisabled { role_arn } => format!("enable it: bowline role enable {role_arn}"),
            Denial::DifferentAccounts { .. } => "use a trust anchor and a profile of the role's account".to_owned(),
            Denial::OtherTrustAnchor { .. } => "name the trust anchor that the certificate's issuer belongs to".to_owned(),
            Denial::CertificateOutOfTime { not_before, now, .. } if now < not_before => {
                "wait, or set the clock right".to_owned()
            }
            Denial::CertificateOutOfTime { .. } | Denial::CertificateEndsSoon { .. } => {
                "renew the certificate: bowline cert renew CRT KEY".to_owned()
            }
            Denial::PathOutOfTime { .. } => {
                "renew the issuing certificates, or import a fresh revocation list: bowline anchor crl import".to_owned()
            }
            Denial::SerialNumber { .. } => {
                "issue the certificate again with a serial number as RFC 5280 §4.1.2.2 asks for".to_owned()
            }
            Denial::RoleNotInProfile { profile, role_arn } => {
                format!("list {role_arn} among the roles of profile {profile}, or name a profile that does")
            }
            Denial::SessionNameNotAccepted { .. } => {
                "leave the session name out, or let the profile accept session names".to_owned()
            }
            Denial::SessionNameInvalid { .. } => "choose another session name, or leave it out".to_owned(),
            Denial::DurationOutOfRange { least, most, .. } => format!("ask for {least} to {most} seconds"),
            Denial::DurationOverRoleMaximum { limit, .. } => {
                format!("ask for at most {limit} seconds, or raise the role's maximum")
            }
            Denial::RequestPoliciesTooLong { .. } => "shorten the session policies".to_owned(),
            Denial::TooManyTags { .. } => "pass fewer tags, or let the profile's attribute mapping take fewer attributes".to_owned(),
            Denial::ProviderOfOtherAccount { .. } => "register the provider in the account of the role".to_owned(),
            Denial::RoleChainingTooLong { limit, .. } => format!("ask for at most {limit} seconds"),
            Denial::ChainTooLong { .. } => "assume the role from a session nearer to the certificate".to_owned(),
            Denial::TagTwice { .. } => "pass each tag once".to_owned(),
            Denial::TransitiveTagMissing { .. } => "pass the tag, or leave its key out".to_owned(),
            Denial::TagInherited { .. } => "leave the tag out: the new session has it already".to_owned(),
            Denial::SourceIdentityInvalid { .. } => "choose another source identity".to_owned(),
            Denial::SourceIdentityFixed { set, .. } => format!("leave the source identity out, or pass {set}"),
            Denial::NotAuthorized { role_arn, action, .. } => format!(
                "let the trust policy of {role_arn} name the caller, and where it names only the caller's account or \
                 belongs to another account, let the caller's own policies allow {action} too"
            ),
            Denial::FederatedNotAuthorized { role_arn, action, provider, .. } => format!(
                "let the trust policy of {role_arn} allow {action} to the federated principal {provider}"
            ),
            Denial::IdentityEndsSoon { .. } => "get a fresh token or assertion".to_owned(),
            Denial::TrustPolicy { action, .. } => format!(
                "see which condition failed with bowline session explain; the trust policy must allow {action}, with \
                 the other two of sts:AssumeRole, sts:TagSession and sts:SetSourceIdentity, to rolesanywhere.amazonaws.com"
            ),
            Denial::PackedPolicyTooLarge { .. } => {
                "shorten the session policies, or let the profile's attribute mapping take fewer attributes".to_owned()
            }
        }
    }

    /// The message for clients of IAM Roles Anywhere: the text AWS begins with, then the reason.
    ///
    /// People and programs search for the beginnings, so they stay word for word. What a trust policy asks for is not
    /// told to those who fail it.
    pub fn aws_message(&self) -> String {
        match self {
            Denial::RoleNotInProfile { role_arn, .. }
            | Denial::RoleDisabled { role_arn }
            | Denial::DifferentAccounts { role_arn, .. } => {
                format!("Unable to assume role for {role_arn}. {}.", self.sentence())
            }
            Denial::TrustPolicy {
                role_arn, action, ..
            } => {
                format!(
                    "Unable to assume role for {role_arn}. Its trust policy does not allow {action} for this certificate."
                )
            }
            Denial::DurationOverRoleMaximum {
                role_arn,
                duration,
                limit,
            } => format!(
                "Unable to assume role for {role_arn}. The requested DurationSeconds exceeds the MaxSessionDuration set \
                 for this role. The session would last {duration} seconds and the role allows {limit}."
            ),
            Denial::OtherTrustAnchor { .. } => {
                format!("Untrusted signing certificate. {}.", self.sentence())
            }
            Denial::CertificateOutOfTime { .. }
            | Denial::PathOutOfTime { .. }
            | Denial::SerialNumber { .. }
            | Denial::CertificateEndsSoon { .. } => {
                format!("Untrusted certificate. {}.", self.sentence())
            }
            Denial::SessionNameInvalid { name } => format!(
                "1 validation error detected: Value '{name}' at 'roleSessionName' failed to satisfy constraint: Member \
                 must satisfy regular expression pattern: [\\w+=,.@-]{{2,64}}"
            ),
            Denial::DurationOutOfRange { asked, least, .. } if asked < least => {
                duration_constraint(*asked, "greater", *least)
            }
            Denial::DurationOutOfRange { asked, most, .. } => {
                duration_constraint(*asked, "less", *most)
            }
            Denial::TrustAnchorDisabled { .. }
            | Denial::ProfileDisabled { .. }
            | Denial::SessionNameNotAccepted { .. }
            | Denial::TooManyTags { .. } => format!("Access denied. {}.", self.sentence()),
            Denial::RequestPoliciesTooLong { .. } | Denial::PackedPolicyTooLarge { .. } => {
                format!("Packed policy too large. {}.", self.sentence())
            }
            // Never of a certificate, so never in this dialect.
            Denial::ProviderOfOtherAccount { .. }
            | Denial::RoleChainingTooLong { .. }
            | Denial::ChainTooLong { .. }
            | Denial::TagTwice { .. }
            | Denial::TransitiveTagMissing { .. }
            | Denial::TagInherited { .. }
            | Denial::SourceIdentityInvalid { .. }
            | Denial::SourceIdentityFixed { .. }
            | Denial::NotAuthorized { .. }
            | Denial::FederatedNotAuthorized { .. }
            | Denial::IdentityEndsSoon { .. } => self.sentence(),
        }
    }

    /// The message with a capital letter.
    fn sentence(&self) -> String {
        let message = self.to_string();
        let mut letters = message.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_uppercase().chain(letters).collect()
        })
    }
}

fn duration_constraint(asked: u32, than: &str, bound: u32) -> String {
    format!(
        "1 validation error detected: Value '{asked}' at 'durationSeconds' failed to satisfy constraint: Member must \
         have value {than} than or equal to {bound}"
    )
}
