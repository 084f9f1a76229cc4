//! The checks that take more than a comparison.

use bowline_policy::{
    Arn, Decision, Effect, Layer, Layers, Request, SESSION_TAGS_MAX, Tag, Trace, evaluate,
    evaluate_traced,
};

use super::require;
use crate::anchor::AnchorSource;
use crate::claims::SessionPrincipal;
use crate::denial::Denial;
use crate::facts::{Facts, Question};
use crate::ids::excerpt;
use crate::profile::{CHAINED_DURATION_SECONDS_MAX, DURATION_SECONDS, ITSELF_DURATION_SECONDS};
use crate::record::SESSION_NAME;
use crate::request::Asker;

pub(super) fn one_account(facts: &Facts<'_>) -> Result<(), Denial> {
    let role = facts.claims.account;
    match &facts.request.asker {
        Asker::Certificate(asker) => {
            let (anchor, profile) = (asker.trust_anchor.account, asker.profile.account);
            require(anchor == role && profile == role, || {
                Denial::DifferentAccounts {
                    trust_anchor: anchor.to_string(),
                    profile: profile.to_string(),
                    role: role.to_string(),
                    role_arn: facts.role_arn.clone(),
                }
            })
        }
        Asker::Federated(asker) => {
            let arn = &asker.identity.provider_arn;
            let account = arn.parse::<Arn>().ok().and_then(|arn| arn.account_id());
            require(account == Some(role), || Denial::ProviderOfOtherAccount {
                provider: arn.clone(),
                role_arn: facts.role_arn.clone(),
            })
        }
        Asker::Itself(_) | Asker::Session(_) => Ok(()),
    }
}

/// An uploaded bundle is held against the path again, so that a path verified for one anchor never serves another.
/// The certificates of an authority beside us are not known here.
pub(super) fn anchor(facts: &Facts<'_>) -> Result<(), Denial> {
    let Some((path, anchor)) = facts.request.asker.certificate() else {
        return Ok(());
    };
    let end = path.anchor();
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
pub(super) fn in_time(facts: &Facts<'_>) -> Result<(), Denial> {
    let Some((path, _)) = facts.request.asker.certificate() else {
        return Ok(());
    };
    let now = facts.request.now;
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

pub(super) fn serial_number(facts: &Facts<'_>) -> Result<(), Denial> {
    match facts
        .subject
        .as_ref()
        .map(|subject| &subject.certificate.serial)
    {
        Some(serial) if !serial.is_conforming() => Err(Denial::SerialNumber {
            serial: excerpt(&serial.to_hex()),
        }),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn session_name(facts: &Facts<'_>) -> Result<(), Denial> {
    let name = facts.claims.session_name();
    if let (Some(profile), Some(_)) = (
        facts.request.asker.profile(),
        facts.request.role_session_name,
    ) {
        require(profile.accept_role_session_name, || {
            Denial::SessionNameNotAccepted {
                name: excerpt(name),
                profile: profile.name.clone(),
            }
        })?;
    }
    require(SESSION_NAME.fits(name), || Denial::SessionNameInvalid {
        name: excerpt(name),
    })
}

pub(super) fn duration(facts: &Facts<'_>) -> Result<(), Denial> {
    let range = match &facts.request.asker {
        Asker::Itself(_) => ITSELF_DURATION_SECONDS,
        Asker::Certificate(_) | Asker::Session(_) | Asker::Federated(_) => DURATION_SECONDS,
    };
    match facts.request.duration_seconds {
        Some(asked) if !range.contains(&asked) => Err(Denial::DurationOutOfRange {
            asked,
            least: *range.start(),
            most: *range.end(),
        }),
        _ => Ok(()),
    }
}

/// A certificate as itself is nobody's role, so that a role assumed from it is not chained.
pub(super) fn role_chaining(facts: &Facts<'_>) -> Result<(), Denial> {
    let Asker::Session(asker) = &facts.request.asker else {
        return Ok(());
    };
    let chained = matches!(asker.session.claims().principal, SessionPrincipal::Role(_));
    let limit = CHAINED_DURATION_SECONDS_MAX;
    require(!chained || facts.duration <= limit, || {
        Denial::RoleChainingTooLong {
            asked: facts.duration,
            limit,
        }
    })
}

pub(super) fn tags(facts: &Facts<'_>) -> Result<(), Denial> {
    let tags = &facts.claims.tags;
    require(tags.len() <= SESSION_TAGS_MAX, || Denial::TooManyTags {
        tags: tags.len(),
        limit: SESSION_TAGS_MAX,
    })?;
    match &facts.request.asker {
        // A certificate's tags are made here, each once.
        Asker::Certificate(_) | Asker::Itself(_) => Ok(()),
        Asker::Session(asker) => distinct(asker.tags),
        Asker::Federated(asker) => distinct(&asker.identity.tags),
    }
}

fn distinct(tags: &[Tag]) -> Result<(), Denial> {
    let twice = (1..).zip(tags).find(|(next, tag)| {
        tags.iter()
            .skip(*next)
            .any(|other| other.key().eq_ignore_ascii_case(tag.key()))
    });
    match twice {
        Some((_, tag)) => Err(Denial::TagTwice {
            key: tag.key().to_owned(),
        }),
        None => Ok(()),
    }
}

pub(super) fn transitive_tags(facts: &Facts<'_>) -> Result<(), Denial> {
    let (tags, keys) = match &facts.request.asker {
        Asker::Certificate(_) | Asker::Itself(_) => return Ok(()),
        Asker::Session(asker) => (asker.tags, asker.transitive_tag_keys),
        Asker::Federated(asker) => (
            asker.identity.tags.as_slice(),
            asker.identity.transitive_tag_keys.as_slice(),
        ),
    };
    let passed = |key: &String| tags.iter().any(|tag| tag.key().eq_ignore_ascii_case(key));
    if let Some(key) = keys.iter().find(|key| !passed(key)) {
        return Err(Denial::TransitiveTagMissing { key: excerpt(key) });
    }
    let Asker::Session(asker) = &facts.request.asker else {
        return Ok(());
    };
    let own = asker.session.claims();
    match tags.iter().find(|tag| own.is_transitive(tag.key())) {
        Some(tag) => Err(Denial::TagInherited {
            key: tag.key().to_owned(),
        }),
        None => Ok(()),
    }
}

pub(super) fn source_identity(facts: &Facts<'_>) -> Result<(), Denial> {
    if let Asker::Session(asker) = &facts.request.asker
        && let (Some(set), Some(asked)) = (
            asker.session.claims().source_identity.as_deref(),
            asker.source_identity,
        )
        && set != asked
    {
        return Err(Denial::SourceIdentityFixed {
            set: set.to_owned(),
            asked: excerpt(asked),
        });
    }
    match facts.claims.source_identity.as_deref() {
        Some(identity) if !SESSION_NAME.fits(identity) || identity.starts_with("aws:") => {
            Err(Denial::SourceIdentityInvalid {
                value: excerpt(identity),
            })
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether tags go with the session. Of a certificate it is always asked, so that no attribute mapping changes what a
/// trust policy must allow.
pub(super) fn is_tagged(facts: &Facts<'_>) -> bool {
    match &facts.request.asker {
        Asker::Certificate(_) => true,
        Asker::Itself(_) | Asker::Session(_) | Asker::Federated(_) => !facts.claims.tags.is_empty(),
    }
}

/// Puts an action to the trust policy, and to the asker's own policies where it has some.
pub(super) fn policies(
    action: &'static str,
    facts: &mut Facts<'_>,
    trace: Option<&mut Option<Trace>>,
) -> Result<(), Denial> {
    let Some(question) = &mut facts.question else {
        return Ok(());
    };
    // One question for all actions, so that they cannot differ in anything else.
    question.request.action = action.to_owned();
    let decision = match trace {
        None => evaluate(&question.layers, &question.request),
        Some(place) => {
            let (decision, trace) = evaluate_traced(&question.layers, &question.request);
            *place = Some(trace);
            decision
        }
    };
    if decision.is_allowed() {
        return Ok(());
    }
    let role_arn = facts.role_arn.clone();
    Err(match &facts.request.asker {
        Asker::Certificate(_) | Asker::Itself(_) => Denial::TrustPolicy {
            role_arn,
            action,
            subject: facts
                .subject
                .as_ref()
                .map_or_else(String::new, |subject| subject.name.to_string()),
            decision: Box::new(decision),
        },
        Asker::Session(asker) => Denial::NotAuthorized {
            principal: asker.session.claims().principal_arn(),
            role_arn,
            action,
            decision: Box::new(told(question, decision)),
        },
        Asker::Federated(asker) => Denial::FederatedNotAuthorized {
            provider: asker.identity.provider_arn.clone(),
            role_arn,
            action,
            decision: Box::new(told(question, decision)),
        },
    })
}

/// What the asker is told of a refusal: what their own policies lack, if they lack something, and else that the trust
/// policy does not allow it. What it says besides, and whether there is a role at all, is for its owner to know.
fn told(question: &Question, decision: Decision) -> Decision {
    let request = Request {
        account: question
            .request
            .principal
            .account()
            .unwrap_or(question.request.account),
        ..question.request.clone()
    };
    let own = Layers {
        resource: None,
        ..question.layers.clone()
    };
    match evaluate(&own, &request) {
        own if question.request.principal.account().is_some() && !own.is_allowed() => own,
        _ => Decision {
            effect: Effect::ImplicitDeny,
            layer: Layer::Trust,
            matched: Vec::new(),
            ..decision
        },
    }
}

pub(super) fn session_end(facts: &Facts<'_>) -> Result<(), Denial> {
    let Some(by) = facts.end_by else {
        return Ok(());
    };
    let remaining = (facts.claims.expires_at - facts.request.now).num_seconds();
    require(remaining >= SESSION_SECONDS_MIN, || {
        match &facts.request.asker {
            Asker::Certificate(_) | Asker::Itself(_) | Asker::Session(_) => {
                Denial::CertificateEndsSoon {
                    not_after: by,
                    remaining,
                    least: SESSION_SECONDS_MIN,
                }
            }
            Asker::Federated(_) => Denial::IdentityEndsSoon {
                not_after: by,
                remaining,
                least: SESSION_SECONDS_MIN,
            },
        }
    })
}

/// The shortest session in seconds that is worth the trade: less would end before a client has used it.
const SESSION_SECONDS_MIN: i64 = 60;
