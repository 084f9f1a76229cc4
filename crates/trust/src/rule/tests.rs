//! The rules for those who have a session already, or whom a provider vouches for. Those for certificates are tested
//! where the decision is.

mod chain;
mod others;

use bowline_policy::{Effect, Layer, NamedPolicy, Policy, PolicyKind};
use bowline_x509::Time;
use chrono::TimeDelta;

use crate::fixture::{Story, allow, now};
use crate::{Boundary, Denial, Explanation, FederationKind, Origin, Rule, explain};
use chain::{Chain, OTHER_ACCOUNT, OWN_ACCOUNT, THE_ROLE, THE_SESSION, role, tag, trusts};
use others::{federated, identity, trusts_provider};

#[test]
fn a_session_assumes_a_role_and_keeps_what_stays_with_it() {
    let chain = Chain::with(|chain| {
        chain.tags = vec![tag("team", "a"), tag("cost", "7")];
        chain.transitive = vec!["Team".to_owned()];
    });
    let claims = chain.claims();
    assert_eq!(
        claims.principal_arn(),
        "arn:aws:sts::123456789012:assumed-role/deploy/deploy-7"
    );
    assert_eq!(claims.source_identity.as_deref(), Some("CN=web-1"));
    assert!(matches!(claims.origin, Origin::Certificate(_)));
    let [link] = claims.chain.as_slice() else {
        panic!("{:?}", claims.chain)
    };
    assert_eq!(link.role.as_ref().unwrap().name, "web");
    assert_eq!(
        claims.tags, chain.tags,
        "the certificate's tags do not stay"
    );
    assert_eq!(claims.expires_at, now() + TimeDelta::hours(1));

    let further = chain.then(|next| next.name = "third");
    let claims = further.claims();
    assert_eq!(claims.tags, [tag("team", "a")], "the transitive one stays");
    assert_eq!(claims.transitive_tag_keys, ["Team"]);
    assert_eq!(claims.chain.len(), 2);
    assert_eq!(claims.source_identity.as_deref(), Some("CN=web-1"));
}

/// What the caller's policies allow, what else narrows the caller, whom the role trusts: may the caller have it, and if
/// not, which layer says so.
#[test]
fn both_sides_decide() {
    use Layer::{Identity, Trust};
    let session = |name: &str| Layer::Session(name.into());
    let boundary = |chain: &mut Chain| {
        chain.own_role.boundary = Some(Boundary {
            name: "edge".to_owned(),
            policy: allow("s3:*", PolicyKind::Boundary),
        });
    };
    let narrowed = |chain: &mut Chain| {
        chain.own.profile.session_policy = Some(allow("s3:*", PolicyKind::Session));
    };
    let nothing = |_: &mut Chain| {};
    type Change<'a> = &'a dyn Fn(&mut Chain);
    let cases: [(bool, Change<'_>, &str, &str, Option<Layer>); 14] = [
        // The same account: naming the account leaves it to the caller's policies.
        (true, &nothing, OWN_ACCOUNT, OWN_ACCOUNT, None),
        (false, &nothing, OWN_ACCOUNT, OWN_ACCOUNT, Some(Identity)),
        // Naming the role suffices, within boundary and session policies.
        (false, &nothing, OWN_ACCOUNT, THE_ROLE, None),
        (false, &boundary, OWN_ACCOUNT, THE_ROLE, Some(Identity)),
        (
            true,
            &boundary,
            OWN_ACCOUNT,
            THE_ROLE,
            Some(Layer::Boundary),
        ),
        (
            true,
            &narrowed,
            OWN_ACCOUNT,
            THE_ROLE,
            Some(session("profile")),
        ),
        (
            true,
            &boundary,
            OWN_ACCOUNT,
            OWN_ACCOUNT,
            Some(Layer::Boundary),
        ),
        // Naming the very session is past what they leave out.
        (false, &boundary, OWN_ACCOUNT, THE_SESSION, None),
        // Trusted by nobody that the caller is.
        (true, &nothing, OWN_ACCOUNT, OTHER_ACCOUNT, Some(Trust)),
        (
            true,
            &nothing,
            OWN_ACCOUNT,
            "arn:aws:iam::123456789012:role/web",
            Some(Trust),
        ),
        // Another account: both sides must allow, whomever the role names.
        (true, &nothing, OTHER_ACCOUNT, OWN_ACCOUNT, None),
        (true, &nothing, OTHER_ACCOUNT, THE_ROLE, None),
        (false, &nothing, OTHER_ACCOUNT, THE_ROLE, Some(Identity)),
        (true, &nothing, OTHER_ACCOUNT, OTHER_ACCOUNT, Some(Trust)),
    ];
    for (allowed, change, account, trusted, refused_by) in cases {
        let chain = Chain::with(|chain| {
            if !allowed {
                chain.own_role.identity_policies.clear();
            }
            change(chain);
            chain.role = role(account, &trusts(trusted, "sts:*", ""));
        });
        let layer = match chain.decide() {
            Ok(_) => None,
            Err(Denial::NotAuthorized {
                decision, action, ..
            }) => {
                assert_eq!(action, "sts:AssumeRole");
                Some(decision.layer)
            }
            Err(other) => panic!("{other}"),
        };
        assert_eq!(layer, refused_by, "{allowed} {account} {trusted}");
    }
}

#[test]
fn a_refusal_does_not_tell_whether_the_role_trusts_the_caller_or_is_there() {
    let denied = |trust: &str| {
        Chain::with(|chain| {
            chain.own_role.identity_policies.clear();
            chain.role = role(OTHER_ACCOUNT, trust);
        })
        .denial()
        .to_string()
    };
    let nobody = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"nobody.invalid"},"Action":"sts:AssumeRole"}]}"#;
    let explicit = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"123456789012"},"Action":"sts:*"}]}"#;
    let expected = "User: arn:aws:sts::123456789012:assumed-role/web/1f71c5 is not authorized to perform: \
                    sts:AssumeRole on resource: arn:aws:iam::222222222222:role/deploy because no identity-based policy \
                    allows the sts:AssumeRole action";
    assert_eq!(denied(&trusts(OWN_ACCOUNT, "sts:*", "")), expected);
    assert_eq!(denied(nobody), expected);
    assert_eq!(denied(explicit), expected);
    let explicit = Chain::with(|chain| chain.role = role(OTHER_ACCOUNT, explicit)).denial();
    let Denial::NotAuthorized { decision, .. } = &explicit else {
        panic!("{explicit}")
    };
    assert_eq!(decision.effect, Effect::ImplicitDeny);
    // What the record says besides is for those who may take the role.
    assert_eq!(
        Chain::code(|chain| {
            chain.role = role(OTHER_ACCOUNT, nobody);
            chain.role.enabled = false;
            chain.duration_seconds = Some(3_600);
        }),
        "assume_role_not_authorized"
    );
}

#[test]
fn a_trust_policy_can_test_what_the_call_says() {
    type Case = (&'static str, fn(&mut Chain), bool);
    let cases: [Case; 15] = [
        (
            r#"{"StringEquals":{"sts:ExternalId":"k-7"}}"#,
            |c| c.external_id = Some("k-7"),
            true,
        ),
        (
            r#"{"StringEquals":{"sts:ExternalId":"k-7"}}"#,
            |c| c.external_id = Some("k-8"),
            false,
        ),
        (
            r#"{"StringEquals":{"sts:ExternalId":"k-7"}}"#,
            |_| {},
            false,
        ),
        (
            r#"{"StringLike":{"sts:RoleSessionName":"deploy-*"}}"#,
            |_| {},
            true,
        ),
        (
            r#"{"StringEquals":{"aws:RequestTag/team":"a"}}"#,
            |c| c.tags = vec![tag("team", "a")],
            true,
        ),
        (
            r#"{"StringEquals":{"aws:RequestTag/team":"a"}}"#,
            |_| {},
            false,
        ),
        (
            r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}"#,
            |c| c.tags = vec![tag("cost", "1")],
            false,
        ),
        (
            r#"{"ForAnyValue:StringEquals":{"sts:TransitiveTagKeys":"team"}}"#,
            |c| {
                c.tags = vec![tag("team", "a")];
                c.transitive = vec!["team".to_owned()];
            },
            true,
        ),
        (
            r#"{"StringLike":{"sts:SourceIdentity":"CN=web-*"}}"#,
            |_| {},
            true,
        ),
        (
            r#"{"StringEquals":{"aws:PrincipalTag/x509Subject/OU":"web"}}"#,
            |_| {},
            true,
        ),
        (
            r#"{"StringEquals":{"aws:SourceIdentity":"CN=web-1"}}"#,
            |_| {},
            true,
        ),
        (
            r#"{"Bool":{"aws:MultiFactorAuthPresent":"true"}}"#,
            |_| {},
            false,
        ),
        (
            r#"{"Bool":{"aws:MultiFactorAuthPresent":"true"}}"#,
            |c| c.mfa_at = Some(now()),
            true,
        ),
        (
            r#"{"NumericLessThan":{"aws:MultiFactorAuthAge":"10"}}"#,
            |c| c.mfa_at = Some(now()),
            true,
        ),
        (
            r#"{"NumericLessThanEquals":{"sts:DurationSeconds":"900"}}"#,
            |c| c.duration_seconds = Some(901),
            false,
        ),
    ];
    for (condition, change, allowed) in cases {
        let chain = Chain::with(|chain| {
            chain.role = role(OWN_ACCOUNT, &trusts(OWN_ACCOUNT, "sts:*", condition));
            change(chain);
        });
        assert_eq!(chain.decide().is_ok(), allowed, "{condition}");
    }
}

#[test]
fn tags_and_source_identity_take_their_own_permission() {
    let only = |actions: &str, change: fn(&mut Chain)| {
        let trust = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{OWN_ACCOUNT}"}},"Action":[{actions}]}}]}}"#
        );
        let chain = Chain::with(|chain| {
            chain.role = role(OWN_ACCOUNT, &trust);
            change(chain);
        });
        match chain.decide() {
            Ok(_) => None,
            Err(Denial::NotAuthorized { action, .. }) => Some(action),
            Err(other) => panic!("{other}"),
        }
    };
    let (assume, tagging, identity) = (
        r#""sts:AssumeRole""#,
        r#""sts:AssumeRole","sts:TagSession""#,
        r#""sts:AssumeRole","sts:SetSourceIdentity""#,
    );
    let tagged = |chain: &mut Chain| chain.tags = vec![tag("team", "a")];
    // The session has a source identity, and passes it on.
    assert_eq!(only(assume, |_| {}), Some("sts:SetSourceIdentity"));
    assert_eq!(only(identity, |_| {}), None);
    assert_eq!(only(identity, tagged), Some("sts:TagSession"));
    assert_eq!(only(tagging, tagged), Some("sts:SetSourceIdentity"));
    // Tags that stay are tags of the new session too.
    let mut inherited = Chain::with(tagged);
    inherited.transitive = vec!["team".to_owned()];
    let next = inherited.then(|next| {
        let trust = trusts(OWN_ACCOUNT, "sts:AssumeRole", "");
        next.role = role(OWN_ACCOUNT, &trust);
    });
    assert!(matches!(
        next.denial(),
        Denial::NotAuthorized {
            action: "sts:TagSession",
            ..
        }
    ));
}

#[test]
fn what_stays_with_a_session_cannot_be_changed() {
    let first = || {
        Chain::with(|chain| {
            chain.tags = vec![tag("team", "a")];
            chain.transitive = vec!["team".to_owned()];
        })
    };
    assert_eq!(
        first()
            .then(|next| next.tags = vec![tag("TEAM", "b")])
            .denial(),
        Denial::TagInherited {
            key: "TEAM".to_owned()
        }
    );
    assert_eq!(
        first()
            .then(|next| next.tags = vec![tag("other", "b")])
            .claims()
            .tags,
        [tag("team", "a"), tag("other", "b")]
    );
    assert_eq!(
        Chain::code(|chain| chain.transitive = vec!["team".to_owned()]),
        "transitive_tag_missing"
    );
    assert_eq!(
        Chain::code(|chain| chain.tags = vec![tag("team", "a"), tag("Team", "b")]),
        "tag_twice"
    );
    assert_eq!(
        Chain::code(|chain| chain.tags = (0..51).map(|n| tag(&format!("t{n}"), "")).collect()),
        "too_many_tags"
    );
    assert_eq!(
        Chain::code(|chain| chain.source_identity = Some("somebody-else")),
        "source_identity_fixed"
    );
    let same = Chain::with(|chain| chain.source_identity = Some("CN=web-1"));
    assert!(same.decide().is_ok());
}

#[test]
fn a_chained_session_lasts_an_hour_at_most_and_ends_with_the_certificate() {
    let lasts = |asked: Option<u32>, maximum: u32, left: i64, with_certificate: bool| {
        let chain = Chain::with(|chain| {
            chain.duration_seconds = asked;
            chain.role.max_session_duration = maximum;
            chain.settings.credentials_end_with_certificate = with_certificate;
            let end: Time = "2026-06-02T12:00:00Z".parse().unwrap();
            chain.now = end - TimeDelta::seconds(left);
            chain.own.now = chain.now;
            // The session itself may be younger than what is left of the certificate.
            chain.own.settings.credentials_end_with_certificate = false;
        });
        chain
            .decide()
            .map(|grant| (grant.expires_at() - chain.now).num_seconds())
            .map_err(|denial| denial.code())
    };
    for (asked, maximum, left, with_certificate, expected) in [
        (None, 3_600, 80_000, true, Ok(3_600)),
        (Some(900), 3_600, 80_000, true, Ok(900)),
        (Some(3_600), 43_200, 80_000, true, Ok(3_600)),
        (
            Some(3_601),
            43_200,
            80_000,
            true,
            Err("role_chaining_too_long"),
        ),
        (Some(899), 3_600, 80_000, true, Err("duration_out_of_range")),
        (
            Some(43_201),
            43_200,
            80_000,
            true,
            Err("duration_out_of_range"),
        ),
        (None, 3_600, 1_800, true, Ok(1_800)),
        (None, 3_600, 59, true, Err("certificate_ends_soon")),
        (None, 3_600, 59, false, Ok(3_600)),
    ] {
        assert_eq!(
            lasts(asked, maximum, left, with_certificate),
            expected,
            "{asked:?} {maximum} {left} {with_certificate}"
        );
    }
    let chained = Chain::with(|chain| chain.duration_seconds = Some(7_200)).denial();
    assert_eq!(
        chained.sts_words(),
        Some(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        )
    );
    assert_eq!(chained.sts_code(), "ValidationError");
}

#[test]
fn a_chain_has_an_end() {
    let mut chain = Chain::new();
    for link in 0..crate::CHAIN_MAX {
        assert!(chain.decide().is_ok(), "{link}");
        chain = chain.then(|_| {});
    }
    assert_eq!(
        chain.denial(),
        Denial::ChainTooLong {
            sessions: 9,
            limit: 8
        }
    );
}

#[test]
fn a_sender_constrained_session_stays_so_through_the_chain() {
    let chain = Chain::with(|chain| chain.own.profile.sender_constrained = true);
    let leaf = chain.own.path.leaf().fingerprint();
    assert_eq!(chain.claims().confirmation, Some(leaf));
    assert_eq!(chain.then(|_| {}).claims().confirmation, Some(leaf));
    assert_eq!(Chain::new().claims().confirmation, None);
}

#[test]
fn names_durations_and_sizes_are_held_against_their_limits() {
    let long = |characters: usize| {
        let text = format!(
            r#"{{"Statement":{{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::{}"}}}}"#,
            "b".repeat(characters)
        );
        Policy::parse(&text, PolicyKind::Session).unwrap()
    };
    assert_eq!(
        Chain::code(|chain| chain.name = "a b"),
        "session_name_invalid"
    );
    assert_eq!(
        Chain::code(|chain| {
            chain.session_policies = vec![NamedPolicy::new("request/policy", long(2_048))];
        }),
        "request_policies_too_long"
    );
    // Of managed policies the ARN is counted, and what they say goes into the token.
    let managed = Chain::with(|chain| {
        let policy = NamedPolicy::new("arn:aws:iam::123456789012:policy/p", long(4_000));
        chain.session_policies = vec![policy];
    });
    assert!(managed.decide().unwrap().token_bytes() < 1_500);
    assert_eq!(
        Chain::code(|chain| chain.role.enabled = false),
        "role_disabled"
    );
    let padded = Chain::with(|chain| chain.token_bytes_min = 4_096);
    assert_eq!(padded.decide().unwrap().token_bytes(), 4_096);
    let padded = Chain::with(|chain| chain.token_bytes_min = 4_097);
    assert_eq!(padded.denial().sts_code(), "PackedPolicyTooLarge");
}

#[test]
fn every_rule_concerns_somebody_and_has_a_name_of_its_own() {
    let mut names: Vec<&str> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Rule::ALL.len());
    let told = |asker: fn() -> Explanation| -> Vec<Rule> {
        asker().checks.iter().map(|check| check.rule).collect()
    };
    let chained = told(|| Chain::new().ask(explain));
    let certificate = told(|| explain(&Story::new().request()));
    let vouched = told(|| {
        let trust = trusts_provider("sts:AssumeRoleWithWebIdentity", "{}");
        federated(&trust, &identity(FederationKind::WebIdentity), |_| {}).1
    });
    for rule in Rule::ALL {
        assert!(
            chained.contains(&rule) || certificate.contains(&rule) || vouched.contains(&rule),
            "{rule:?}"
        );
    }
    for rule in [Rule::AssumeRole, Rule::RoleEnabled, Rule::TokenSize] {
        assert!(chained.contains(&rule) && certificate.contains(&rule) && vouched.contains(&rule));
    }
}
