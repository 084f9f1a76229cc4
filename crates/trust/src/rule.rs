//! The rules of the decision, in their order. Each is one check with the facts it looks at.

mod checks;

use bowline_policy::{PolicyKind, Trace};
use bowline_x509::path::VerifiedPath;

use crate::claims::CHAIN_MAX;
use crate::denial::Denial;
use crate::facts::Facts;
use crate::federated::FederationKind;
use crate::ids::excerpt;
use crate::keyring::{TOKEN_BYTES_MAX, stamp, token_bytes};
use crate::request::{Asker, SessionRequest};

/// One rule of the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The trust anchor is enabled.
    TrustAnchorEnabled,
    /// The profile is enabled.
    ProfileEnabled,
    /// Anchor, profile or provider belong to the account of the role.
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
    /// A session of a role assumed from a role lasts no longer than such may.
    RoleChaining,
    /// The session rests on no more sessions than one may.
    ChainLength,
    /// The session policies of the request are short enough.
    RequestPolicies,
    /// There are no more tags than a session can carry, and each is there once.
    Tags,
    /// What is said to stay with further sessions is there, and is not what stays already.
    TransitiveTags,
    /// The source identity is one, and the one there is already.
    SourceIdentity,
    /// The policies allow to assume the role.
    AssumeRole,
    /// The policies allow `sts:TagSession`.
    TagSession,
    /// The policies allow `sts:SetSourceIdentity`.
    SetSourceIdentity,
    /// The role is enabled.
    RoleEnabled,
    /// The session is no longer than the role allows.
    RoleMaximum,
    /// Enough is left of the life of what the session must end with.
    SessionEnd,
    /// The session fits into a token.
    TokenSize,
}

impl Rule {
    /// Every rule, in the order of the decision: what is wrong with the request itself first; then the policies' answer;
    /// and what the role's record says besides only to those who may take the role.
    pub const ALL: [Rule; 22] = [
        Rule::TrustAnchorEnabled,
        Rule::ProfileEnabled,
        Rule::OneAccount,
        Rule::TrustAnchor,
        Rule::InTime,
        Rule::SerialNumber,
        Rule::RoleInProfile,
        Rule::SessionName,
        Rule::DurationRange,
        Rule::RoleChaining,
        Rule::ChainLength,
        Rule::RequestPolicies,
        Rule::Tags,
        Rule::TransitiveTags,
        Rule::SourceIdentity,
        Rule::AssumeRole,
        Rule::TagSession,
        Rule::SetSourceIdentity,
        Rule::RoleEnabled,
        Rule::RoleMaximum,
        Rule::SessionEnd,
        Rule::TokenSize,
    ];

    /// Whom it concerns.
    pub fn concerns(self, asker: &Asker<'_>) -> bool {
        use Asker::{Certificate, Federated, Itself, Session};
        match self {
            Rule::TrustAnchorEnabled | Rule::TrustAnchor | Rule::InTime | Rule::SerialNumber => {
                matches!(asker, Certificate(_) | Itself(_))
            }
            Rule::ProfileEnabled | Rule::RoleInProfile => matches!(asker, Certificate(_)),
            Rule::OneAccount => matches!(asker, Certificate(_) | Federated(_)),
            Rule::RoleChaining | Rule::ChainLength => matches!(asker, Session(_)),
            Rule::TransitiveTags | Rule::SourceIdentity => {
                matches!(asker, Session(_) | Federated(_))
            }
            Rule::SessionName
            | Rule::RequestPolicies
            | Rule::AssumeRole
            | Rule::TagSession
            | Rule::SetSourceIdentity
            | Rule::RoleEnabled
            | Rule::RoleMaximum => !matches!(asker, Itself(_)),
            Rule::DurationRange | Rule::Tags | Rule::SessionEnd | Rule::TokenSize => true,
        }
    }

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
            Rule::RoleChaining => "role_chaining",
            Rule::ChainLength => "chain_length",
            Rule::RequestPolicies => "request_policies",
            Rule::Tags => "tags",
            Rule::TransitiveTags => "transitive_tags",
            Rule::SourceIdentity => "source_identity",
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
            Rule::OneAccount => "what vouches for the caller belongs to the role's account",
            Rule::TrustAnchor => "the certificate leads to the trust anchor",
            Rule::InTime => "the certificate is in its time",
            Rule::SerialNumber => "the serial number is a usable one",
            Rule::RoleInProfile => "the profile lists the role",
            Rule::SessionName => "the session's name is allowed",
            Rule::DurationRange => "the duration asked for is possible",
            Rule::RoleMaximum => "the role allows a session that long",
            Rule::RoleChaining => "a chained session lasts an hour at most",
            Rule::ChainLength => "the chain of sessions is not too long",
            Rule::RequestPolicies => "the request's session policies are short enough",
            Rule::Tags => "the session can carry its tags",
            Rule::TransitiveTags => "transitive tags are passed, and passed on as they are",
            Rule::SourceIdentity => "the source identity stays as it was set",
            Rule::AssumeRole => "the policies allow to assume the role",
            Rule::TagSession => "the policies allow sts:TagSession",
            Rule::SetSourceIdentity => "the policies allow sts:SetSourceIdentity",
            Rule::SessionEnd => "enough time is left for a session",
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
        match self {
            Rule::TrustAnchorEnabled => match request.asker.certificate() {
                Some((_, anchor)) if !anchor.enabled => Err(Denial::TrustAnchorDisabled {
                    name: anchor.name.clone(),
                }),
                Some(_) | None => Ok(()),
            },
            Rule::ProfileEnabled => match request.asker.profile() {
                Some(profile) if !profile.enabled => Err(Denial::ProfileDisabled {
                    name: profile.name.clone(),
                }),
                Some(_) | None => Ok(()),
            },
            Rule::OneAccount => checks::one_account(facts),
            Rule::TrustAnchor => checks::anchor(facts),
            Rule::InTime => checks::in_time(facts),
            Rule::SerialNumber => checks::serial_number(facts),
            Rule::RoleInProfile => match request.asker.profile() {
                Some(profile) if !profile.role_arns.contains(&facts.role_arn) => {
                    Err(Denial::RoleNotInProfile {
                        profile: profile.name.clone(),
                        role_arn: facts.role_arn.clone(),
                    })
                }
                Some(_) | None => Ok(()),
            },
            Rule::SessionName => checks::session_name(facts),
            Rule::DurationRange => checks::duration(facts),
            Rule::RoleChaining => checks::role_chaining(facts),
            Rule::ChainLength => {
                let sessions = facts.claims.chain.len();
                require(sessions <= CHAIN_MAX, || Denial::ChainTooLong {
                    sessions,
                    limit: CHAIN_MAX,
                })
            }
            Rule::RequestPolicies => {
                let characters = request_policy_characters(facts);
                let limit = PolicyKind::Session.quota_characters();
                require(characters <= limit, || Denial::RequestPoliciesTooLong {
                    characters,
                    limit,
                })
            }
            Rule::Tags => checks::tags(facts),
            Rule::TransitiveTags => checks::transitive_tags(facts),
            Rule::SourceIdentity => checks::source_identity(facts),
            Rule::AssumeRole => checks::policies(assume_action(&request.asker), facts, trace),
            Rule::TagSession if checks::is_tagged(facts) => {
                checks::policies("sts:TagSession", facts, trace)
            }
            Rule::SetSourceIdentity if facts.claims.source_identity.is_some() => {
                checks::policies("sts:SetSourceIdentity", facts, trace)
            }
            Rule::TagSession | Rule::SetSourceIdentity => Ok(()),
            Rule::RoleEnabled => match request.asker.role() {
                Some(role) if !role.enabled => Err(Denial::RoleDisabled {
                    role_arn: facts.role_arn.clone(),
                }),
                Some(_) | None => Ok(()),
            },
            Rule::RoleMaximum => match request.asker.role() {
                Some(role) if facts.duration > role.max_session_duration => {
                    Err(Denial::DurationOverRoleMaximum {
                        duration: facts.duration,
                        limit: role.max_session_duration,
                        role_arn: facts.role_arn.clone(),
                    })
                }
                Some(_) | None => Ok(()),
            },
            Rule::SessionEnd => checks::session_end(facts),
            Rule::TokenSize => {
                let bytes = token_bytes(facts.packed(), request.token_bytes_min);
                let limit = TOKEN_BYTES_MAX;
                require(bytes <= limit, || Denial::PackedPolicyTooLarge {
                    bytes,
                    limit,
                })
            }
        }
    }

    /// What the rule looks at, for people.
    pub(crate) fn facts(self, facts: &mut Facts<'_>) -> Vec<(&'static str, String)> {
        let request = facts.request;
        let seconds = |seconds: u32| format!("{seconds} s");
        match self {
            Rule::TrustAnchorEnabled => request
                .asker
                .certificate()
                .map(|(_, anchor)| ("trust anchor", anchor.name.clone()))
                .into_iter()
                .collect(),
            Rule::ProfileEnabled => request
                .asker
                .profile()
                .map(|profile| ("profile", profile.name.clone()))
                .into_iter()
                .collect(),
            Rule::RoleEnabled => vec![("role", facts.role_arn.clone())],
            Rule::OneAccount => {
                let role = facts.claims.account.to_string();
                match &request.asker {
                    Asker::Certificate(asker) => vec![
                        ("trust anchor", asker.trust_anchor.account.to_string()),
                        ("profile", asker.profile.account.to_string()),
                        ("role", role),
                    ],
                    Asker::Federated(asker) => vec![
                        ("provider", asker.identity.provider_arn.clone()),
                        ("role", role),
                    ],
                    Asker::Itself(_) | Asker::Session(_) => Vec::new(),
                }
            }
            Rule::TrustAnchor => path_of(request)
                .into_iter()
                .flat_map(VerifiedPath::certificates)
                .map(|one| ("certificate", one.subject().to_string()))
                .collect(),
            Rule::InTime => path_of(request).map_or_else(Vec::new, |path| {
                let validity = path.leaf().validity();
                vec![
                    ("now", stamp(&request.now)),
                    ("not before", stamp(&validity.not_before)),
                    ("not after", stamp(&validity.not_after)),
                    ("path good until", stamp(&path.good_until())),
                ]
            }),
            Rule::SerialNumber => path_of(request)
                .map(|path| ("serial number", path.leaf().serial().to_hex()))
                .into_iter()
                .collect(),
            Rule::RoleInProfile => {
                let profile = request.asker.profile().into_iter();
                let listed = profile.flat_map(|profile| profile.role_arns.iter());
                std::iter::once(("role", facts.role_arn.clone()))
                    .chain(listed.map(|arn| ("listed", arn.clone())))
                    .collect()
            }
            Rule::SessionName => vec![
                ("session name", excerpt(facts.claims.session_name())),
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
                    .map_or_else(|| "nothing".to_owned(), seconds);
                let profile = request.asker.profile();
                let profile = profile.map(|profile| ("profile", seconds(profile.duration_seconds)));
                std::iter::once(("asked", asked)).chain(profile).collect()
            }
            Rule::RoleChaining => vec![("session", seconds(facts.duration))],
            Rule::ChainLength => vec![
                ("sessions", facts.claims.chain.len().to_string()),
                ("limit", CHAIN_MAX.to_string()),
            ],
            Rule::RoleMaximum => {
                let role = request.asker.role();
                let maximum =
                    role.map(|role| ("role's maximum", seconds(role.max_session_duration)));
                std::iter::once(("session", seconds(facts.duration)))
                    .chain(maximum)
                    .collect()
            }
            Rule::RequestPolicies => vec![
                ("characters", request_policy_characters(facts).to_string()),
                ("limit", PolicyKind::Session.quota_characters().to_string()),
            ],
            Rule::Tags => {
                let tags = facts.claims.tags.iter();
                let kept = tags.map(|tag| ("tag", format!("{}={}", tag.key(), tag.value())));
                let dropped = facts.subject.iter().flat_map(|subject| &subject.dropped);
                kept.chain(dropped.map(|tag| ("dropped", format!("{}: {}", tag.key, tag.why))))
                    .collect()
            }
            Rule::TransitiveTags => {
                let keys = facts.claims.transitive_tag_keys.iter();
                keys.map(|key| ("transitive", key.clone())).collect()
            }
            Rule::SourceIdentity => source_identity_fact(facts).into_iter().collect(),
            Rule::AssumeRole | Rule::TagSession => vec![("principal", principal_of(facts))],
            Rule::SetSourceIdentity => {
                let made_from = facts
                    .subject
                    .as_ref()
                    .map(|subject| ("made from", subject.source_identity_from.to_string()));
                std::iter::once(("principal", principal_of(facts)))
                    .chain(source_identity_fact(facts))
                    .chain(made_from)
                    .collect()
            }
            Rule::SessionEnd => {
                let by = facts.end_by.map(|by| ("no later than", stamp(&by)));
                std::iter::once(("session ends", stamp(&facts.claims.expires_at)))
                    .chain(by)
                    .collect()
            }
            Rule::TokenSize => {
                let bytes = token_bytes(facts.packed(), request.token_bytes_min);
                vec![
                    ("bytes", bytes.to_string()),
                    ("limit", TOKEN_BYTES_MAX.to_string()),
                ]
            }
        }
    }
}

fn path_of<'a>(request: &SessionRequest<'a>) -> Option<&'a VerifiedPath> {
    request.asker.certificate().map(|(path, _)| path)
}

fn principal_of(facts: &Facts<'_>) -> String {
    facts
        .question
        .as_ref()
        .map_or_else(String::new, |question| {
            question.request.principal.to_string()
        })
}

fn source_identity_fact(facts: &Facts<'_>) -> Option<(&'static str, String)> {
    let identity = facts.claims.source_identity.clone()?;
    Some(("source identity", identity))
}

/// The action by which an asker takes a role.
pub(crate) fn assume_action(asker: &Asker<'_>) -> &'static str {
    match asker {
        Asker::Certificate(_) | Asker::Session(_) | Asker::Itself(_) => "sts:AssumeRole",
        Asker::Federated(asker) => match asker.identity.kind {
            FederationKind::WebIdentity => "sts:AssumeRoleWithWebIdentity",
            FederationKind::Saml => "sts:AssumeRoleWithSAML",
        },
    }
}

fn require(kept: bool, denial: impl FnOnce() -> Denial) -> Result<(), Denial> {
    if kept { Ok(()) } else { Err(denial()) }
}

/// Counted as STS counts: the texts of policies that are passed, and the ARNs of those that are only named.
fn request_policy_characters(facts: &Facts<'_>) -> usize {
    let policies = facts.request.session_policies.iter();
    policies
        .map(|named| {
            if named.name.starts_with("arn:") {
                named.name.chars().count()
            } else {
                named.policy.quota_characters()
            }
        })
        .sum()
}

#[cfg(test)]
mod tests;
