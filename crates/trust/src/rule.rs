//! The rules of the decision, in their order. Each is one check with the facts it looks at.

use bowline_policy::{
    Decision, NamedPolicy, PolicyKind, SESSION_TAGS_MAX, Trace, evaluate_trust,
    evaluate_trust_traced,
};

use crate::anchor::AnchorSource;
use crate::denial::Denial;
use crate::grant::{Facts, SERVICE};
use crate::ids::excerpt;
use crate::keyring::{TOKEN_BYTES_MAX, stamp, token_bytes};
use crate::profile::DURATION_SECONDS;
use crate::record::SESSION_NAME;

/// One rule of the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The trust anchor is enabled.
    TrustAnchorEnabled,
    /// The profile is enabled.
    ProfileEnabled,
    /// The role is enabled.
    RoleEnabled,
    /// Anchor, profile and role belong to one account.
    OneAccount,
    /// The certificate was verified against the anchor it names.
    TrustAnchor,
    /// The certificate and all it rests on are in their time.
    InTime,
    /// The serial number can name the certificate.
    SerialNumber,
    /// The profile lists the role.
    RoleInProfile,
    /// The session's name is one, and may be chosen if it was.
    SessionName,
    /// The duration asked for is possible.
    DurationRange,
    /// The session is no longer than the role allows.
    RoleMaximum,
    /// The session policies of the request are short enough.
    RequestPolicies,
    /// The certificate gives no more tags than a session can carry.
    Tags,
    /// The trust policy allows `sts:AssumeRole`.
    AssumeRole,
    /// The trust policy allows `sts:TagSession`.
    TagSession,
    /// The trust policy allows `sts:SetSourceIdentity`.
    SetSourceIdentity,
    /// Enough of the certificate's life is left.
    SessionEnd,
    /// The session fits into a token.
    TokenSize,
}

impl Rule {
    /// Every rule, in the order of the decision: what costs nothing first, the trust policy's answer late, so that it
    /// is given only to those who may ask.
    pub const ALL: [Rule; 18] = [
        Rule::TrustAnchorEnabled,
        Rule::ProfileEnabled,
        Rule::RoleEnabled,
        Rule::OneAccount,
        Rule::TrustAnchor,
        Rule::InTime,
        Rule::SerialNumber,
        Rule::RoleInProfile,
        Rule::SessionName,
        Rule::DurationRange,
        Rule::RoleMaximum,
        Rule::RequestPolicies,
        Rule::Tags,
        Rule::AssumeRole,
        Rule::TagSession,
        Rule::SetSourceIdentity,
        Rule::SessionEnd,
        Rule::TokenSize,
    ];

    /// A stable name for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::TrustAnchorEnabled => "trust_anchor_enabled",
            Rule::ProfileEnabled => "profile_enabled",
            Rule::RoleEnabled => "role_enabled",
            Rule::OneAccount => "one_account",
            Rule::TrustAnchor => "trust_anchor",
            Rule::InTime => "in_time",
            Rule::SerialNumber => "serial_number",
            Rule::RoleInProfile => "role_in_profile",
            Rule::SessionName => "session_name",
            Rule::DurationRange => "duration_range",
            Rule::RoleMaximum => "role_maximum",
            Rule::RequestPolicies => "request_policies",
            Rule::Tags => "tags",
            Rule::AssumeRole => "assume_role",
            Rule::TagSession => "tag_session",
            Rule::SetSourceIdentity => "set_source_identity",
            Rule::SessionEnd => "session_end",
            Rule::TokenSize => "token_size",
        }
    }

    /// What it asks, as a sentence without its stop.
    pub fn title(self) -> &'static str {
        match self {
            Rule::TrustAnchorEnabled => "the trust anchor is enabled",
            Rule::ProfileEnabled => "the profile is enabled",
            Rule::RoleEnabled => "the role is enabled",
            Rule::OneAccount => "trust anchor, profile and role belong to one account",
            Rule::TrustAnchor => "the certificate leads to the trust anchor",
            Rule::InTime => "the certificate is in its time",
            Rule::SerialNumber => "the serial number is a usable one",
            Rule::RoleInProfile => "the profile lists the role",
            Rule::SessionName => "the session's name is allowed",
            Rule::DurationRange => "the duration asked for is possible",
            Rule::RoleMaximum => "the role allows a session that long",
            Rule::RequestPolicies => "the request's session policies are short enough",
            Rule::Tags => "the session can carry the certificate's tags",
            Rule::AssumeRole => "the trust policy allows sts:AssumeRole",
            Rule::TagSession => "the trust policy allows sts:TagSession",
            Rule::SetSourceIdentity => "the trust policy allows sts:SetSourceIdentity",
            Rule::SessionEnd => "the certificate lasts long enough for a session",
            Rule::TokenSize => "the session fits into a token",
        }
    }

    /// Whether the request keeps the rule. With a place for it, a policy's trace is left there; nothing else differs.
    pub(crate) fn check(
        self,
        facts: &mut Facts<'_>,
        trace: Option<&mut Option<Trace>>,
    ) -> Result<(), Denial> {
        let request = facts.request;
        let (trust_anchor, profile, role) = (request.trust_anchor, request.profile, request.role);
        match self {
            Rule::TrustAnchorEnabled => {
                require(trust_anchor.enabled, || Denial::TrustAnchorDisabled {
                    name: trust_anchor.name.clone(),
                })
            }
            Rule::ProfileEnabled => require(profile.enabled, || Denial::ProfileDisabled {
                name: profile.name.clone(),
            }),
            Rule::RoleEnabled => require(role.enabled, || Denial::RoleDisabled {
                role_arn: facts.role_arn.clone(),
            }),
            Rule::OneAccount => {
                let one = trust_anchor.account == role.account && profile.account == role.account;
                require(one, || Denial::DifferentAccounts {
                    trust_anchor: trust_anchor.account.to_string(),
                    profile: profile.account.to_string(),
                    role: role.account.to_string(),
                    role_arn: facts.role_arn.clone(),
                })
            }
            Rule::TrustAnchor => check_anchor(facts),
            Rule::InTime => check_time(facts),
            Rule::SerialNumber => {
                let serial = &facts.subject.certificate.serial;
                require(serial.is_conforming(), || Denial::SerialNumber {
                    serial: excerpt(&serial.to_hex()),
                })
            }
            Rule::RoleInProfile => require(profile.role_arns.contains(&facts.role_arn), || {
                Denial::RoleNotInProfile {
                    profile: profile.name.clone(),
                    role_arn: facts.role_arn.clone(),
                }
            }),
            Rule::SessionName => check_session_name(facts),
            Rule::DurationRange => {
                let possible = |asked: u32| DURATION_SECONDS.contains(&asked);
                match request.duration_seconds {
                    Some(asked) if !possible(asked) => Err(Denial::DurationOutOfRange {
                        asked,
                        least: *DURATION_SECONDS.start(),
                        most: *DURATION_SECONDS.end(),
                    }),
                    _ => Ok(()),
                }
            }
            Rule::RoleMaximum => require(facts.duration <= role.max_session_duration, || {
                Denial::DurationOverRoleMaximum {
                    duration: facts.duration,
                    limit: role.max_session_duration,
                    role_arn: facts.role_arn.clone(),
                }
            }),
            Rule::RequestPolicies => {
                let characters = request_policy_characters(facts);
                let limit = PolicyKind::Session.quota_characters();
                require(characters <= limit, || Denial::RequestPoliciesTooLong {
                    characters,
                    limit,
                })
            }
            Rule::Tags => {
                let tags = facts.subject.tags.len();
                require(tags <= SESSION_TAGS_MAX, || Denial::TooManyTags {
                    tags,
                    limit: SESSION_TAGS_MAX,
                })
            }
            Rule::AssumeRole => check_trust_policy("sts:AssumeRole", facts, trace),
            Rule::TagSession => check_trust_policy("sts:TagSession", facts, trace),
            Rule::SetSourceIdentity => check_trust_policy("sts:SetSourceIdentity", facts, trace),
            Rule::SessionEnd => {
                let remaining = (facts.claims.expires_at - request.now).num_seconds();
                require(remaining >= SESSION_SECONDS_MIN, || {
                    Denial::CertificateEndsSoon {
                        not_after: request.path.leaf().validity().not_after,
                        remaining,
                        least: SESSION_SECONDS_MIN,
                    }
                })
            }
            Rule::TokenSize => {
                let bytes = token_bytes(&facts.claims);
                let limit = TOKEN_BYTES_MAX;
                require(bytes <= limit, || Denial::PackedPolicyTooLarge {
                    bytes,
                    limit,
                })
            }
        }
    }

    /// What the rule looks at, for people.
    pub(crate) fn facts(self, facts: &Facts<'_>) -> Vec<(&'static str, String)> {
        let request = facts.request;
        let (trust_anchor, profile, role) = (request.trust_anchor, request.profile, request.role);
        let leaf = request.path.leaf();
        match self {
            Rule::TrustAnchorEnabled => vec![("trust anchor", trust_anchor.name.clone())],
            Rule::ProfileEnabled => vec![("profile", profile.name.clone())],
            Rule::RoleEnabled => vec![("role", facts.role_arn.clone())],
            Rule::OneAccount => vec![
                ("trust anchor", trust_anchor.account.to_string()),
                ("profile", profile.account.to_string()),
                ("role", role.account.to_string()),
            ],
            Rule::TrustAnchor => request
                .path
                .certificates()
                .iter()
                .map(|one| ("certificate", one.subject().to_string()))
                .collect(),
            Rule::InTime => vec![
                ("now", stamp(&request.now)),
                ("not before", stamp(&leaf.validity().not_before)),
                ("not after", stamp(&leaf.validity().not_after)),
                ("path good until", stamp(&request.path.good_until())),
            ],
            Rule::SerialNumber => vec![("serial number", leaf.serial().to_hex())],
            Rule::RoleInProfile => {
                let listed = profile.role_arns.iter().map(|arn| ("listed", arn.clone()));
                std::iter::once(("role", facts.role_arn.clone()))
                    .chain(listed)
                    .collect()
            }
            Rule::SessionName => vec![
                ("session name", excerpt(&facts.claims.session_name)),
                (
                    "chosen by",
                    if request.role_session_name.is_some() {
                        "the request"
                    } else {
                        "the serial number"
                    }
                    .to_owned(),
                ),
            ],
            Rule::DurationRange => {
                let asked = request
                    .duration_seconds
                    .map_or_else(|| "nothing".to_owned(), |asked| format!("{asked} s"));
                vec![
                    ("asked", asked),
                    ("profile", format!("{} s", profile.duration_seconds)),
                ]
            }
            Rule::RoleMaximum => vec![
                ("session", format!("{} s", facts.duration)),
                ("role's maximum", format!("{} s", role.max_session_duration)),
            ],
            Rule::RequestPolicies => vec![
                ("characters", request_policy_characters(facts).to_string()),
                ("limit", PolicyKind::Session.quota_characters().to_string()),
            ],
            Rule::Tags => {
                let kept = facts
                    .subject
                    .tags
                    .iter()
                    .map(|tag| ("tag", format!("{}={}", tag.key(), tag.value())));
                let dropped = facts.subject.dropped.iter();
                kept.chain(dropped.map(|tag| ("dropped", format!("{}: {}", tag.key, tag.why))))
                    .collect()
            }
            Rule::AssumeRole | Rule::TagSession => vec![("principal", SERVICE.to_owned())],
            Rule::SetSourceIdentity => vec![
                ("principal", SERVICE.to_owned()),
                ("source identity", facts.subject.source_identity.clone()),
                ("made from", facts.subject.source_identity_from.to_string()),
            ],
            Rule::SessionEnd => vec![
                ("session ends", stamp(&facts.claims.expires_at)),
                ("certificate ends", stamp(&leaf.validity().not_after)),
            ],
            Rule::TokenSize => {
                vec![
                    ("bytes", token_bytes(&facts.claims).to_string()),
                    ("limit", TOKEN_BYTES_MAX.to_string()),
                ]
            }
        }
    }
}

fn require(kept: bool, denial: impl FnOnce() -> Denial) -> Result<(), Denial> {
    if kept { Ok(()) } else { Err(denial()) }
}

/// An uploaded bundle is held against the path again, so that a path verified for one anchor never serves another.
/// The certificates of an authority beside us are not known here.
fn check_anchor(facts: &Facts<'_>) -> Result<(), Denial> {
    let (anchor, end) = (facts.request.trust_anchor, facts.request.path.anchor());
    let known = match &anchor.source {
        AnchorSource::CertificateBundle(bundle) => bundle.iter().any(|one| one.der() == end.der()),
        AnchorSource::Authority(_) => true,
    };
    require(known, || Denial::OtherTrustAnchor {
        verified: end.subject().to_string(),
        name: anchor.name.clone(),
    })
}

/// The path was verified at some time, perhaps not now.
fn check_time(facts: &Facts<'_>) -> Result<(), Denial> {
    let (path, now) = (facts.request.path, facts.request.now);
    let validity = path.leaf().validity();
    require(validity.contains(now), || Denial::CertificateOutOfTime {
        not_before: validity.not_before,
        not_after: validity.not_after,
        now,
    })?;
    require(now <= path.good_until(), || Denial::PathOutOfTime {
        good_until: path.good_until(),
        now,
    })
}

fn check_session_name(facts: &Facts<'_>) -> Result<(), Denial> {
    let profile = facts.request.profile;
    let name = &facts.claims.session_name;
    let chosen = facts.request.role_session_name.is_some();
    require(!chosen || profile.accept_role_session_name, || {
        Denial::SessionNameNotAccepted {
            name: excerpt(name),
            profile: profile.name.clone(),
        }
    })?;
    require(SESSION_NAME.fits(name), || Denial::SessionNameInvalid {
        name: excerpt(name),
    })
}

fn request_policy_characters(facts: &Facts<'_>) -> usize {
    facts
        .request
        .session_policies
        .iter()
        .map(|named| named.policy.quota_characters())
        .sum()
}

fn check_trust_policy(
    action: &'static str,
    facts: &mut Facts<'_>,
    trace: Option<&mut Option<Trace>>,
) -> Result<(), Denial> {
    let role = facts.request.role;
    let policy = NamedPolicy::new(
        format!("role/{}/trust", role.name),
        role.trust_policy.clone(),
    );
    // One request for the three actions, so that they cannot differ in anything else.
    facts.trust_request.action = action.to_owned();
    let request = &facts.trust_request;
    let decision: Decision = match trace {
        None => evaluate_trust(&policy, request),
        Some(place) => {
            let (decision, trace) = evaluate_trust_traced(&policy, request);
            *place = Some(trace);
            decision
        }
    };
    if decision.is_allowed() {
        return Ok(());
    }
    Err(Denial::TrustPolicy {
        role_arn: facts.role_arn.clone(),
        action,
        subject: facts.subject.name.to_string(),
        decision: Box::new(decision),
    })
}

/// The shortest session in seconds that is worth the trade: less would end before a client has used it.
const SESSION_SECONDS_MIN: i64 = 60;
