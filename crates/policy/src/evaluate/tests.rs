use super::*;
use crate::context::Context;
use crate::document::Policy;
use crate::principal::Principal;
use crate::request::SessionLayer;

const ACCOUNT: &str = "123456789012";
const OTHER: &str = "999999999999";
const ROLE: &str = "arn:aws:iam::123456789012:role/team/web";
const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/web/s1";

fn policy(kind: PolicyKind, statements: &str) -> NamedPolicy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    NamedPolicy::new("p", Policy::parse(&text, kind).unwrap())
}

fn allow(kind: PolicyKind, action: &str) -> NamedPolicy {
    let text = format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"*"}}"#);
    policy(kind, &text)
}

fn deny(kind: PolicyKind) -> NamedPolicy {
    policy(
        kind,
        r#"{"Sid":"No","Effect":"Deny","Action":"s3:*","Resource":"*"}"#,
    )
}

fn bucket(effect: &str, principal: &str) -> NamedPolicy {
    let text = format!(
        r#"{{"Effect":"{effect}","Principal":{principal},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"}}"#
    );
    policy(PolicyKind::Resource, &text)
}

fn aws(name: &str) -> String {
    format!(r#"{{"AWS":"{name}"}}"#)
}

fn session_layer(name: &str, policies: Vec<NamedPolicy>) -> SessionLayer {
    SessionLayer::new(name, policies)
}

fn request() -> Request {
    Request {
        principal: Principal::assumed_role(ROLE.parse().unwrap(), "s1").unwrap(),
        action: "s3:GetObject".into(),
        resource: "arn:aws:s3:::b/k".into(),
        account: ACCOUNT.parse().unwrap(),
        context: Context::new(),
    }
}

/// `allow`, or the kind of denial with the layer: `implicit_deny identity`.
fn outcome(layers: &Layers, request: &Request) -> String {
    let decision = evaluate(layers, request);
    let (traced, trace) = evaluate_traced(layers, request);
    assert_eq!(decision, traced);
    assert_eq!(trace.decision, decision.effect);
    format!("{} {}", decision.effect, decision.layer)
}

fn base() -> Layers {
    Layers {
        identity: vec![allow(PolicyKind::Identity, "s3:*")],
        ..Layers::default()
    }
}

#[test]
fn an_absent_layer_is_not_an_empty_layer() {
    assert_eq!(outcome(&base(), &request()), "allow identity");
    let guardrail = Layers {
        guardrail: Some(vec![]),
        ..base()
    };
    assert_eq!(outcome(&guardrail, &request()), "implicit_deny guardrail");
    let boundary = Layers {
        boundary: Some(vec![]),
        ..base()
    };
    assert_eq!(outcome(&boundary, &request()), "implicit_deny boundary");
    let sessions = Layers {
        sessions: vec![session_layer("profile", vec![])],
        ..base()
    };
    assert_eq!(
        outcome(&sessions, &request()),
        "implicit_deny session/profile"
    );
    let empty = policy(PolicyKind::Session, "");
    let sessions = Layers {
        sessions: vec![session_layer("profile", vec![empty])],
        ..base()
    };
    assert_eq!(
        outcome(&sessions, &request()),
        "implicit_deny session/profile"
    );
    assert_eq!(
        outcome(&Layers::default(), &request()),
        "implicit_deny identity"
    );
}

#[test]
fn inside_a_session_layer_one_allow_suffices_across_layers_all_must() {
    let yes = || allow(PolicyKind::Session, "s3:Get*");
    let no = || allow(PolicyKind::Session, "s3:Put*");
    let layers = Layers {
        sessions: vec![session_layer("profile", vec![no(), yes()])],
        ..base()
    };
    assert_eq!(outcome(&layers, &request()), "allow identity");
    let layers = Layers {
        sessions: vec![
            session_layer("profile", vec![yes()]),
            session_layer("request", vec![no()]),
        ],
        ..base()
    };
    assert_eq!(
        outcome(&layers, &request()),
        "implicit_deny session/request"
    );
}

#[test]
fn session_policies_never_grant() {
    let layers = Layers {
        sessions: vec![session_layer(
            "profile",
            vec![allow(PolicyKind::Session, "*")],
        )],
        ..Layers::default()
    };
    assert_eq!(outcome(&layers, &request()), "implicit_deny identity");
}

#[test]
fn a_resource_policy_of_the_account_grants_by_how_it_names_the_principal() {
    let with = |resource| Layers {
        resource: Some(resource),
        ..Layers::default()
    };
    let narrowed = |resource| Layers {
        boundary: Some(vec![allow(PolicyKind::Boundary, "ec2:*")]),
        sessions: vec![session_layer("profile", vec![])],
        ..with(resource)
    };
    for (principal, alone, inside_limits) in [
        (aws(SESSION), "allow resource", "allow resource"),
        (aws(ROLE), "allow resource", "implicit_deny boundary"),
        ("\"*\"".into(), "allow resource", "implicit_deny boundary"),
        (
            aws(ACCOUNT),
            "implicit_deny identity",
            "implicit_deny identity",
        ),
        (
            aws(OTHER),
            "implicit_deny identity",
            "implicit_deny identity",
        ),
    ] {
        let resource = bucket("Allow", &principal);
        assert_eq!(
            outcome(&with(resource.clone()), &request()),
            alone,
            "{principal}"
        );
        assert_eq!(
            outcome(&narrowed(resource), &request()),
            inside_limits,
            "{principal}"
        );
    }
    let both = Layers {
        resource: Some(bucket("Allow", &aws(ACCOUNT))),
        ..base()
    };
    assert_eq!(outcome(&both, &request()), "allow identity");
}

#[test]
fn a_user_the_resource_names_is_past_the_boundary_but_not_past_session_policies() {
    let user = "arn:aws:iam::123456789012:user/alice";
    let principal = Principal::Named(user.parse().unwrap());
    let request = Request {
        principal,
        ..request()
    };
    let layers = Layers {
        boundary: Some(vec![]),
        resource: Some(bucket("Allow", &aws(user))),
        ..Layers::default()
    };
    assert_eq!(outcome(&layers, &request), "allow resource");
    let layers = Layers {
        sessions: vec![session_layer("x", vec![])],
        ..layers
    };
    assert_eq!(outcome(&layers, &request), "implicit_deny session/x");
}

#[test]
fn the_closest_naming_counts_in_whatever_order() {
    let statement = |principal: &str| {
        format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"s3:*","Resource":"*"}}"#)
    };
    let (close, far) = (statement(&aws(SESSION)), statement(&aws(ACCOUNT)));
    for statements in [format!("{close},{far}"), format!("{far},{close}")] {
        let layers = Layers {
            resource: Some(policy(PolicyKind::Resource, &statements)),
            ..Layers::default()
        };
        assert_eq!(outcome(&layers, &request()), "allow resource");
    }
    let both = format!(r#"{{"AWS":["{ACCOUNT}","{SESSION}"]}}"#);
    let layers = Layers {
        resource: Some(bucket("Allow", &both)),
        ..Layers::default()
    };
    assert_eq!(outcome(&layers, &request()), "allow resource");
}

#[test]
fn naming_the_session_does_not_lift_a_guardrail() {
    let layers = Layers {
        guardrail: Some(vec![allow(PolicyKind::Guardrail, "ec2:*")]),
        resource: Some(bucket("Allow", &aws(SESSION))),
        ..Layers::default()
    };
    assert_eq!(outcome(&layers, &request()), "implicit_deny guardrail");
}

#[test]
fn across_accounts_both_sides_must_allow() {
    let mut request = request();
    request.account = OTHER.parse().unwrap();
    assert_eq!(outcome(&base(), &request), "implicit_deny resource");
    for principal in [aws(SESSION), aws(ROLE), aws(ACCOUNT), "\"*\"".into()] {
        let resource = Some(bucket("Allow", &principal));
        let alone = Layers {
            resource: resource.clone(),
            ..Layers::default()
        };
        assert_eq!(
            outcome(&alone, &request),
            "implicit_deny identity",
            "{principal}"
        );
        let both = Layers {
            resource: resource.clone(),
            ..base()
        };
        assert_eq!(outcome(&both, &request), "allow identity", "{principal}");
        let narrowed = Layers {
            sessions: vec![session_layer("x", vec![])],
            ..both
        };
        assert_eq!(
            outcome(&narrowed, &request),
            "implicit_deny session/x",
            "{principal}"
        );
    }
}

#[test]
fn trust_and_key_policies_must_allow_in_their_own_account() {
    let other = policy(
        PolicyKind::Trust,
        r#"{"Effect":"Allow","Principal":{"AWS":"999999999999"},"Action":"sts:*"}"#,
    );
    let mut assume = request();
    assume.action = "sts:AssumeRole".into();
    assume.resource = "arn:aws:iam::123456789012:role/next".into();
    let identity = vec![allow(PolicyKind::Identity, "*")];
    let layers = Layers {
        resource: Some(other),
        identity: identity.clone(),
        ..Layers::default()
    };
    assert_eq!(outcome(&layers, &assume), "implicit_deny trust");

    let mut key = request();
    key.action = "kms:Decrypt".into();
    key.resource = "arn:aws:kms:us-east-1:123456789012:key/1".into();
    let layers = Layers {
        resource: Some(bucket("Allow", "\"*\"")),
        identity,
        ..Layers::default()
    };
    assert_eq!(outcome(&layers, &key), "implicit_deny resource");
}

#[test]
fn services_and_strangers_are_decided_by_the_resource_policy() {
    let service = r#"{"Service":"rolesanywhere.amazonaws.com"}"#;
    let trust = policy(
        PolicyKind::Trust,
        &format!(
            r#"{{"Effect":"Allow","Principal":{service},"Action":["sts:AssumeRole","sts:TagSession"],
            "Condition":{{"StringEquals":{{"aws:PrincipalTag/x509Subject/OU":"web"}}}}}}"#
        ),
    );
    let mut request = request();
    request.principal = Principal::Service("rolesanywhere.amazonaws.com".into());
    request.resource = ROLE.into();
    request
        .context
        .set("aws:PrincipalTag/x509Subject/OU", "web");
    for (action, allowed) in [
        ("sts:AssumeRole", true),
        ("sts:TagSession", true),
        ("sts:SetSourceIdentity", false),
    ] {
        request.action = action.into();
        assert_eq!(
            evaluate_trust(&trust, &request).is_allowed(),
            allowed,
            "{action}"
        );
    }
    assert_eq!(
        evaluate_trust(&trust, &request).reason(&request.action),
        "because no role trust policy allows the sts:SetSourceIdentity action"
    );
    request.action = "sts:AssumeRole".into();
    request.context.remove("aws:principaltag/x509subject/ou");
    let (decision, trace) = evaluate_trust_traced(&trust, &request);
    assert!(!decision.is_allowed());
    assert!(
        trace
            .missing_keys
            .contains("aws:PrincipalTag/x509Subject/OU")
    );
    request.principal = Principal::Service("ec2.amazonaws.com".into());
    assert!(!evaluate_trust(&trust, &request).is_allowed());

    request.principal = Principal::Anonymous;
    request.action = "s3:GetObject".into();
    request.resource = "arn:aws:s3:::b/k".into();
    let open = Layers {
        resource: Some(bucket("Allow", "\"*\"")),
        ..base()
    };
    assert_eq!(outcome(&open, &request), "allow resource");
    assert_eq!(outcome(&base(), &request), "implicit_deny resource");
}

#[test]
fn everybody_but_a_few() {
    let spare = |principal: &str| {
        let text = format!(
            r#"{{"Effect":"Deny","NotPrincipal":{principal},"Action":"*","Resource":"*"}}"#
        );
        Layers {
            resource: Some(policy(PolicyKind::Resource, &text)),
            ..base()
        }
    };
    assert_eq!(outcome(&spare(&aws(ROLE)), &request()), "allow identity");
    assert_eq!(
        outcome(&spare(&aws(OTHER)), &request()),
        "explicit_deny resource"
    );
}

#[test]
fn resource_policies_may_leave_the_resource_out() {
    let text = format!(
        r#"{{"Effect":"Allow","Principal":{},"Action":"s3:*"}}"#,
        aws(ROLE)
    );
    let layers = Layers {
        resource: Some(policy(PolicyKind::Resource, &text)),
        ..Layers::default()
    };
    assert_eq!(outcome(&layers, &request()), "allow resource");
}

#[test]
fn a_missing_variable_matches_nothing() {
    let check = |elements: &str| {
        let text = format!(r#"{{"Effect":"Allow","Action":"*",{elements}}}"#);
        let layers = Layers {
            identity: vec![policy(PolicyKind::Identity, &text)],
            ..Layers::default()
        };
        evaluate(&layers, &request()).is_allowed()
    };
    assert!(!check(r#""Resource":"arn:aws:s3:::${aws:x}*""#));
    assert!(check(
        r#""Resource":["arn:aws:s3:::${aws:x}*","arn:aws:s3:::b/k"]"#
    ));
    assert!(check(r#""NotResource":"arn:aws:s3:::${aws:x}*""#));
    assert!(!check(
        r#""NotResource":["arn:aws:s3:::${aws:x}*","arn:aws:s3:::b/*"]"#
    ));
}

#[test]
fn a_star_does_not_cross_the_first_five_colons() {
    let check = |pattern: &str, resource: &str| {
        let text = format!(r#"{{"Effect":"Allow","Action":"*","Resource":"{pattern}"}}"#);
        let layers = Layers {
            identity: vec![policy(PolicyKind::Identity, &text)],
            ..Layers::default()
        };
        let request = Request {
            resource: resource.into(),
            ..request()
        };
        evaluate(&layers, &request).is_allowed()
    };
    assert!(!check(
        "arn:aws:sqs:*:q:r",
        "arn:aws:sqs:us-east-1:123456789012:q:r"
    ));
    assert!(!check("arn:*:q:q:q:q", "arn:aws:sqs:q:q:q:q"));
    assert!(check(
        "arn:aws:sqs:*:*:q*z",
        "arn:aws:sqs:us-east-1:123456789012:q:r:z"
    ));
    assert!(check("*", "*"));
    assert!(check("*", "anything"));
    assert!(!check("arn:aws:s3:::*", "*"));
    assert!(!check("arn:aws:s3:::B/K", "arn:aws:s3:::b/k"));
}

#[test]
fn decisions_name_their_statements() {
    let named = |name: &str, policy: NamedPolicy| NamedPolicy::new(name, policy.policy);
    let layers = Layers {
        identity: vec![
            named("role/web/a", allow(PolicyKind::Identity, "s3:*")),
            named("role/web/b", allow(PolicyKind::Identity, "*")),
        ],
        sessions: vec![session_layer(
            "profile",
            vec![named(
                "profile/default",
                allow(PolicyKind::Session, "s3:Get*"),
            )],
        )],
        ..Layers::default()
    };
    let names = |layers: &Layers| -> Vec<String> {
        let decision = evaluate(layers, &request());
        decision.matched.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        names(&layers),
        [
            "identity role/web/a#0 (1:38)",
            "identity role/web/b#0 (1:38)",
            "session/profile profile/default#0 (1:38)",
        ]
    );
    let denied = Layers {
        boundary: Some(vec![named("limits", deny(PolicyKind::Boundary))]),
        ..layers
    };
    assert_eq!(names(&denied), ["boundary limits#No (1:38)"]);
    assert_eq!(
        names(&Layers {
            boundary: Some(vec![]),
            ..denied
        }),
        [""; 0]
    );
}

#[test]
fn reasons_read_as_aws_words_them() {
    let reason = |layers: &Layers| evaluate(layers, &request()).message(&request());
    let narrowed = Layers {
        sessions: vec![session_layer("profile", vec![])],
        ..base()
    };
    assert_eq!(
        reason(&narrowed),
        "User: arn:aws:sts::123456789012:assumed-role/web/s1 is not authorized to perform: \
         s3:GetObject on resource: arn:aws:s3:::b/k because no session policy allows the \
         s3:GetObject action"
    );
    let denied = Layers {
        identity: vec![deny(PolicyKind::Identity)],
        ..Layers::default()
    };
    assert!(reason(&denied).ends_with("with an explicit deny in an identity-based policy"));
    let denied = Layers {
        sessions: vec![session_layer("", vec![deny(PolicyKind::Session)])],
        ..base()
    };
    assert!(reason(&denied).ends_with("with an explicit deny in a session policy"));
    assert!(reason(&base()).contains(" is authorized to perform: "));
}

#[test]
fn ten_thousand_statements_take_steps_in_proportion() {
    let steps = |count: usize| {
        let mut statements = Vec::new();
        for n in 0..count {
            statements.push(format!(
                r#"{{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::{}b{n}"}}"#,
                "*a".repeat(20)
            ));
        }
        let layers = Layers {
            identity: vec![policy(PolicyKind::Identity, &statements.join(","))],
            ..Layers::default()
        };
        assert_eq!(layers.identity[0].policy.statement_count(), count);
        let resource = format!("arn:aws:s3:::{}", "a".repeat(1000));
        let request = Request {
            resource,
            ..request()
        };
        (1..64)
            .map(|bits| 1_u64 << bits)
            .find(|limit| !run(&layers, &request, *limit, &mut Silent).limit_reached)
            .unwrap()
    };
    let (few, many) = (steps(100), steps(10_000));
    assert!(many <= few * 200, "{few} {many}");
    assert!(many <= STEPS_MAX, "{many}");
}

#[test]
fn a_policy_of_a_mebibyte_is_read_and_decided_within_the_limit() {
    let values: Vec<String> = (0..90_000).map(|n| format!("\"value{n:06}\"")).collect();
    let text = format!(
        r#"{{"Effect":"Allow","Action":"*","Resource":"*",
            "Condition":{{"StringEquals":{{"x:k":[{}]}}}}}}"#,
        values.join(",")
    );
    assert!(text.len() > 1024 * 1024);
    let layers = Layers {
        identity: vec![policy(PolicyKind::Identity, &text)],
        ..Layers::default()
    };
    let mut request = request();
    request.context.set("x:k", "value089999");
    assert_eq!(outcome(&layers, &request), "allow identity");
    request.context.set("x:k", "other");
    assert_eq!(outcome(&layers, &request), "implicit_deny identity");
}

#[test]
fn an_evaluation_without_end_denies_and_says_so() {
    let text = format!(
        r#"{{"Effect":"Allow","Action":"*","NotResource":"arn:aws:s3:::*{}b*"}}"#,
        "a?".repeat(5_000)
    );
    let layers = Layers {
        identity: vec![policy(PolicyKind::Identity, &text)],
        ..Layers::default()
    };
    let resource = format!("arn:aws:s3:::{}", "a".repeat(20_000));
    let request = Request {
        resource,
        ..request()
    };
    let decision = run(&layers, &request, 100_000, &mut Silent);
    assert!(decision.limit_reached && decision.effect == Effect::ImplicitDeny);
    assert!(decision.matched.is_empty());
    assert!(decision.reason("s3:GetObject").contains("steps"));
    let unlimited = run(&layers, &request, u64::MAX, &mut Silent);
    assert_eq!(unlimited.effect, Effect::Allow);
}

mod properties;
