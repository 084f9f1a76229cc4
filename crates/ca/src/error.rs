//! Why something is not certified: refusals of a profile, and of signing.

use bowline_x509::{GeneralNameError, SignError, Time};
use chrono::SecondsFormat;

use crate::profile::NAMES_MAX;

/// The rule of a profile, or of the authority's own certificate, that a wish breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No profile has this name.
    #[error("there is no certificate profile {name:?}: known are {known}")]
    UnknownProfile {
        /// What was asked for, shortened.
        name: String,
        /// The names there are.
        known: String,
    },
    /// An end entity's certificate was asked of an authority's profile.
    #[error("certificate profile {profile} makes authorities, not end-entity certificates")]
    AuthorityProfile {
        /// The profile.
        profile: String,
    },
    /// An authority's certificate was asked of an end entity's profile.
    #[error("certificate profile {profile} makes end-entity certificates, not authorities")]
    EndEntityProfile {
        /// The profile.
        profile: String,
    },
    /// A common name that is empty, too long or not plain text.
    #[error("common name {given:?} is not accepted: {rule}")]
    CommonName {
        /// The name, shortened.
        given: String,
        /// What a common name is.
        rule: &'static str,
    },
    /// A subject without any attribute where there must be one.
    #[error("the subject is empty: {rule}")]
    EmptySubject {
        /// Why it must not be.
        rule: &'static str,
    },
    /// The subject cannot be written as a distinguished name.
    #[error("subject {given:?} cannot be written as a distinguished name: {reason}")]
    SubjectSyntax {
        /// The subject.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A subject that brings an organizational unit of its own; units are roles.
    #[error("the subject has the organizational unit {unit:?}, which only a role may put there")]
    UnitInSubject {
        /// The unit.
        unit: String,
    },
    /// A profile without roles.
    #[error("certificate profile {profile} carries no roles, and {roles:?} was asked for")]
    RolesNotAllowed {
        /// The profile.
        profile: String,
        /// The roles, joined.
        roles: String,
    },
    /// A role whose name would not survive in an organizational unit.
    #[error(
        "role name {role:?} is not accepted: it has 1 to 64 letters, digits or any of + = . @ - _"
    )]
    RoleName {
        /// The role, shortened.
        role: String,
    },
    /// More or longer roles than fit one organizational unit.
    #[error(
        "the roles {joined:?} have {length} characters together, over the {allowed} of an organizational unit"
    )]
    RolesTooLong {
        /// The roles, joined.
        joined: String,
        /// How long that is.
        length: usize,
        /// How long it may be (RFC 5280, ub-organizational-unit-name).
        allowed: usize,
    },
    /// A kind of name that the profile does not give.
    #[error(
        "certificate profile {profile} does not allow the name {name}: it allows the kinds {allowed}"
    )]
    NameKind {
        /// The profile.
        profile: String,
        /// The name.
        name: String,
        /// The kinds it allows.
        allowed: String,
    },
    /// A name that is not well formed.
    #[error(transparent)]
    NameSyntax(#[from] GeneralNameError),
    /// A wildcard outside a profile that says so.
    #[error("certificate profile {profile} does not allow wildcards, and {name} is one")]
    Wildcard {
        /// The profile.
        profile: String,
        /// The name.
        name: String,
    },
    /// A name that matches none of the profile's patterns.
    #[error(
        "certificate profile {profile} does not allow the name {name}: it must match one of {permitted}"
    )]
    NameNotPermitted {
        /// The profile.
        profile: String,
        /// The name.
        name: String,
        /// The patterns.
        permitted: String,
    },
    /// A pattern that is none.
    #[error(
        "{pattern:?} is not a name pattern: write the kind, a colon and the pattern, as in {}",
        EXAMPLE_PATTERN
    )]
    NamePatternSyntax {
        /// The text, shortened.
        pattern: String,
    },
    /// Too many subject alternative names.
    #[error("{count} subject alternative names are over the {NAMES_MAX} a certificate may have")]
    TooManyNames {
        /// How many there are.
        count: usize,
    },
    /// A kind of key that the profile does not take.
    #[error("certificate profile {profile} does not accept {given} keys: it accepts {allowed}")]
    KeyKind {
        /// The profile.
        profile: String,
        /// The kind of key.
        given: &'static str,
        /// The kinds it takes.
        allowed: String,
    },
    /// A serial number that no certificate of ours may have.
    #[error("serial number {serial} is not positive with at most 20 octets")]
    Serial {
        /// The number, hexadecimal.
        serial: String,
    },
    /// Lasts longer than the profile lets it.
    #[error("validity of {asked} s is over the {allowed} s of certificate profile {profile}")]
    ValidityTooLong {
        /// The profile.
        profile: String,
        /// Seconds asked for, both ends included.
        asked: i64,
        /// Seconds allowed, both ends included.
        allowed: i64,
    },
    /// Ends before it begins.
    #[error("validity ends at {} before it begins at {}", utc(.not_after), utc(.not_before))]
    ValidityEmpty {
        /// Where it would begin.
        not_before: Time,
        /// Where it would end.
        not_after: Time,
    },
    /// Would be expired at once.
    #[error("validity ends at {}, and now is {}", utc(.not_after), utc(.now))]
    ValidityPast {
        /// Where it would end.
        not_after: Time,
        /// Now.
        now: Time,
    },
    /// Begins earlier than the profile backdates.
    #[error("validity begins at {}, before {}, the earliest that certificate profile {profile} allows now", utc(.asked), utc(.earliest))]
    BeginsTooEarly {
        /// The profile.
        profile: String,
        /// The begin asked for.
        asked: Time,
        /// The earliest allowed.
        earliest: Time,
    },
    /// Begins before its issuer does.
    #[error("validity begins at {}, before the issuer's certificate does, at {}", utc(.asked), utc(.issuer))]
    BeginsBeforeIssuer {
        /// The begin asked for.
        asked: Time,
        /// The issuer's begin.
        issuer: Time,
    },
    /// Ends after its issuer does.
    #[error("validity ends at {}, after the issuer's certificate does, at {}", utc(.asked), utc(.issuer))]
    EndsAfterIssuer {
        /// The end asked for.
        asked: Time,
        /// The issuer's end.
        issuer: Time,
    },
    /// The issuer's own certificate is over.
    #[error("the issuer's certificate expired at {}, and now is {}", utc(.not_after), utc(.now))]
    IssuerExpired {
        /// The issuer's end.
        not_after: Time,
        /// Now.
        now: Time,
    },
    /// The issuer's own certificate has not begun.
    #[error("the issuer's certificate begins at {}, and now is {}", utc(.not_before), utc(.now))]
    IssuerNotYetValid {
        /// The issuer's begin.
        not_before: Time,
        /// Now.
        now: Time,
    },
    /// A time that certificates cannot hold.
    #[error("the time {time} is outside the years 1970 to 9999, which certificates can hold")]
    TimeNotEncodable {
        /// The time.
        time: String,
    },
    /// An authority deeper than its issuer allows.
    #[error(
        "an authority with path length {asked} cannot be issued under path length {issuer}: it must be less"
    )]
    PathLength {
        /// The issuer's.
        issuer: u32,
        /// The new authority's, or "any".
        asked: String,
    },
    /// A request whose common name is not the one the certificate is for.
    #[error("the request's common name is {requested:?}, and the certificate is for {given:?}")]
    RequestedCommonName {
        /// In the request.
        requested: String,
        /// What the caller named.
        given: String,
    },
    /// A request that asks for an organizational unit, and so for a role.
    #[error(
        "the request asks for the organizational unit {unit:?}, and no request can ask for a role"
    )]
    RequestedUnit {
        /// The unit.
        unit: String,
    },
    /// A request with other subject attributes.
    #[error(
        "the request asks for {attribute} in the subject, and certificate profile {profile} gives only a common name"
    )]
    RequestedAttribute {
        /// The profile.
        profile: String,
        /// The attribute, as `O=…`.
        attribute: String,
    },
    /// A request to become an authority.
    #[error("the request asks for CA:TRUE, and certificate profile {profile} gives CA:FALSE")]
    RequestedAuthority {
        /// The profile.
        profile: String,
    },
    /// A request for a key usage that the profile does not give to such a key.
    #[error(
        "the request asks for key usage {usage}, and certificate profile {profile} gives {given}"
    )]
    RequestedKeyUsage {
        /// The profile.
        profile: String,
        /// What the request asks for.
        usage: &'static str,
        /// What the profile gives.
        given: String,
    },
    /// A request for an extended key usage that the profile does not give.
    #[error(
        "the request asks for extended key usage {purpose}, and certificate profile {profile} gives {given}"
    )]
    RequestedKeyPurpose {
        /// The profile.
        profile: String,
        /// What the request asks for: a name or an object identifier.
        purpose: String,
        /// What the profile gives.
        given: String,
    },
    /// A request for an extension that no profile takes from requests.
    #[error(
        "the request asks for the extension {extension}, and certificate profile {profile} takes only subject alternative names from a request"
    )]
    RequestedExtension {
        /// The profile.
        profile: String,
        /// The extension's name or object identifier.
        extension: String,
    },
    /// An authority's certificate given for renewal.
    #[error(
        "{subject} is an authority, and authorities are not renewed like end-entity certificates"
    )]
    RenewsAuthority {
        /// Its subject.
        subject: String,
    },
    /// A certificate that can no longer speak for itself.
    #[error("the certificate expired at {}, and now is {}: issue a new one instead of renewing it", utc(.not_after), utc(.now))]
    RenewsExpired {
        /// Its end.
        not_after: Time,
        /// Now.
        now: Time,
    },
    /// A certificate whose time has not come: renewing it would make it good before anyone meant it to be.
    #[error("the certificate is not valid before {}, and now is {}: it is renewed once it is valid", utc(.not_before), utc(.now))]
    RenewsNotYetValid {
        /// Its beginning.
        not_before: Time,
        /// Now.
        now: Time,
    },
    /// A renewal under a profile with other usages.
    #[error(
        "the certificate's extended key usage is {old}, and certificate profile {profile} gives {given}"
    )]
    RenewsOtherPurpose {
        /// The profile.
        profile: String,
        /// What the old certificate has.
        old: String,
        /// What the profile gives.
        given: String,
    },
}

impl ProfileError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            ProfileError::UnknownProfile { .. } => "unknown_certificate_profile",
            ProfileError::AuthorityProfile { .. } => "profile_is_for_authorities",
            ProfileError::EndEntityProfile { .. } => "profile_is_for_end_entities",
            ProfileError::CommonName { .. } => "common_name_not_accepted",
            ProfileError::EmptySubject { .. } => "empty_subject",
            ProfileError::SubjectSyntax { .. } => "malformed_subject",
            ProfileError::UnitInSubject { .. } => "unit_not_from_role",
            ProfileError::RolesNotAllowed { .. } => "roles_not_allowed",
            ProfileError::RoleName { .. } => "role_name_not_accepted",
            ProfileError::RolesTooLong { .. } => "roles_too_long",
            ProfileError::NameKind { .. } => "name_kind_not_allowed",
            ProfileError::NameSyntax(_) => "malformed_name",
            ProfileError::Wildcard { .. } => "wildcard_not_allowed",
            ProfileError::NameNotPermitted { .. } => "name_not_permitted",
            ProfileError::NamePatternSyntax { .. } => "malformed_name_pattern",
            ProfileError::TooManyNames { .. } => "too_many_names",
            ProfileError::KeyKind { .. } => "key_kind_not_allowed",
            ProfileError::Serial { .. } => "serial_not_allowed",
            ProfileError::ValidityTooLong { .. } => "validity_too_long",
            ProfileError::ValidityEmpty { .. } => "validity_empty",
            ProfileError::ValidityPast { .. } => "validity_in_the_past",
            ProfileError::BeginsTooEarly { .. } => "not_before_too_early",
            ProfileError::BeginsBeforeIssuer { .. } => "not_before_precedes_issuer",
            ProfileError::EndsAfterIssuer { .. } => "not_after_exceeds_issuer",
            ProfileError::IssuerExpired { .. } => "issuer_expired",
            ProfileError::IssuerNotYetValid { .. } => "issuer_not_yet_valid",
            ProfileError::TimeNotEncodable { .. } => "time_not_encodable",
            ProfileError::PathLength { .. } => "path_length_exceeded",
            ProfileError::RequestedCommonName { .. } => "request_common_name_differs",
            ProfileError::RequestedUnit { .. } => "request_asks_for_role",
            ProfileError::RequestedAttribute { .. } => "request_subject_attribute_not_allowed",
            ProfileError::RequestedAuthority { .. } => "request_asks_for_authority",
            ProfileError::RequestedKeyUsage { .. } => "request_key_usage_not_allowed",
            ProfileError::RequestedKeyPurpose { .. } => "request_extended_key_usage_not_allowed",
            ProfileError::RequestedExtension { .. } => "request_extension_not_allowed",
            ProfileError::RenewsAuthority { .. } => "renewal_of_authority",
            ProfileError::RenewsExpired { .. } => "renewal_of_expired_certificate",
            ProfileError::RenewsNotYetValid { .. } => "renewal_of_certificate_not_yet_valid",
            ProfileError::RenewsOtherPurpose { .. } => "renewal_changes_purpose",
        }
    }
}

/// Why a draft or a list was not signed. What was built is thrown away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The draft was made for another authority.
    #[error("the certificate was drafted for the authority {drafted}, and {given} is to sign it")]
    OtherAuthority {
        /// The authority the draft is for, with its key identifier.
        drafted: String,
        /// The authority that is to sign, with its key identifier.
        given: String,
    },
    /// The signer's key is not the authority's.
    #[error(
        "the signing key has the identifier {signer}, and the certificate of {authority} has {certified}"
    )]
    WrongSigner {
        /// The authority's subject.
        authority: String,
        /// Identifier of the key in its certificate.
        certified: String,
        /// Identifier of the signer's key.
        signer: String,
    },
    /// The signer refused.
    #[error(transparent)]
    Signer(#[from] SignError),
    /// What was to be signed could not be encoded.
    #[error("{what} could not be encoded: {reason}")]
    Encoding {
        /// Which part.
        what: &'static str,
        /// The encoder's words.
        reason: String,
    },
    /// What was built differs from what was drafted.
    #[error(
        "the certificate built differs from its draft in {field}: drafted {drafted}, built {built}"
    )]
    DiffersFromDraft {
        /// Which field.
        field: &'static str,
        /// As drafted.
        drafted: String,
        /// As built.
        built: String,
    },
    /// The signature made does not verify.
    #[error("the signature just made does not verify under the key of {authority} ({by})")]
    SignatureWrong {
        /// The authority's subject.
        authority: String,
        /// Which implementation says so.
        by: &'static str,
    },
    /// An authority that may not sign lists.
    #[error(
        "the certificate of {authority} has no cRLSign in its key usage and cannot sign revocation lists"
    )]
    NoCrlSign {
        /// Its subject.
        authority: String,
    },
    /// A list that would be stale at once.
    #[error("the list's next update at {} is not after its this update at {}", utc(.next_update), utc(.this_update))]
    ListPeriod {
        /// When the list begins.
        this_update: Time,
        /// When the next one is due, or its signer ends.
        next_update: Time,
    },
    /// A reason that only delta lists know.
    #[error("certificate {serial} has the reason removeFromCRL, which only delta lists know")]
    ReasonOfDeltaList {
        /// The certificate's serial, hexadecimal.
        serial: String,
    },
}

impl IssueError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            IssueError::OtherAuthority { .. } => "drafted_for_other_authority",
            IssueError::WrongSigner { .. } => "signer_is_not_the_authority",
            IssueError::Signer(_) => "signer_refused",
            IssueError::Encoding { .. } => "not_encodable",
            IssueError::DiffersFromDraft { .. } => "differs_from_draft",
            IssueError::SignatureWrong { .. } => "own_signature_wrong",
            IssueError::NoCrlSign { .. } => "authority_may_not_sign_crls",
            IssueError::ListPeriod { .. } => "crl_period_empty",
            IssueError::ReasonOfDeltaList { .. } => "reason_of_delta_crl",
        }
    }
}

/// A time as messages print it.
pub(crate) fn utc(time: &Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// As much of a wrong value as a message repeats.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS_MAX).collect()
}

/// How much of a wrong value a message repeats: enough to recognize it, too little to fill a log with.
const SHOWN_CHARACTERS_MAX: usize = 80;

/// Shown to whoever wrote something that is no name pattern.
const EXAMPLE_PATTERN: &str = "DNS:*.web.example";
