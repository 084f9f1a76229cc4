use bowline_policy::{Effect, PolicyKind, Request, evaluate};
use chrono::TimeDelta;

use super::*;
use crate::fixture::{Story, allow, now};
use crate::{Draw, KeyRing, RoleId, RolePolicy};

fn session(story: &Story) -> Session {
    let ring = KeyRing::new(0, [(0, &[1; 32])]).unwrap();
    let credentials = ring.seal(&story.decide().unwrap(), &Draw::from([5; 37]));
    ring.open(
        credentials.access_key_id.as_str(),
        &credentials.session_token,
        story.now,
    )
    .unwrap()
}

#[test]
fn a_session_answers_the_keys_that_policies_test() {
    let context = session(&Story::new()).context_keys(now() + TimeDelta::seconds(90));
    for (key, value) in [
        ("aws:PrincipalArn", "arn:aws:iam::123456789012:role/app/web"),
        ("aws:PrincipalAccount", "123456789012"),
        ("aws:PrincipalType", "AssumedRole"),
        ("aws:userid", "AROAAMBQGAYDAMBQGAYD:1f71c5"),
        ("aws:SourceIdentity", "CN=web-1"),
        ("aws:TokenIssueTime", "2026-06-01T12:00:00Z"),
        ("aws:CurrentTime", "2026-06-01T12:01:30Z"),
        ("aws:EpochTime", "1780315290"),
        ("aws:ViaAWSService", "false"),
        ("aws:PrincipalTag/x509Subject/CN", "web-1"),
        ("aws:principaltag/x509issuer/o", "Example"),
    ] {
        assert_eq!(context.get(key), Some(&[value.to_owned()][..]), "{key}");
    }
    assert_eq!(context.get("aws:username"), None);
}

#[test]
fn a_session_is_the_role_and_itself() {
    let session = session(&Story::new());
    assert_eq!(
        session.principal().to_string(),
        "arn:aws:sts::123456789012:assumed-role/web/1f71c5"
    );
    let Principal::AssumedRole { role_arn, .. } = session.principal() else {
        panic!("not a role session")
    };
    assert_eq!(role_arn.as_str(), "arn:aws:iam::123456789012:role/app/web");
}

#[test]
fn layers_are_the_roles_policies_of_now_and_the_sessions_of_then() {
    let mut story = Story::new();
    story.profile.session_policy = Some(allow("s3:Get*", PolicyKind::Session));
    let session = session(&story);
    let effect = |story: &Story, action: &str| {
        let request = Request {
            principal: session.principal().clone(),
            action: action.to_owned(),
            resource: "arn:aws:s3:::data/x".to_owned(),
            account: session.claims().account,
            context: session.context_keys(now()),
        };
        evaluate(&session.layers(Some(&story.role), None).unwrap(), &request).effect
    };
    assert_eq!(effect(&story, "s3:GetObject"), Effect::Allow);
    assert_eq!(effect(&story, "s3:PutObject"), Effect::ImplicitDeny);

    story.role.identity_policies = vec![RolePolicy {
        name: "all".to_owned(),
        policy: allow("s3:*", PolicyKind::Identity),
    }];
    story.profile.session_policy = None;
    assert_eq!(
        effect(&story, "s3:PutObject"),
        Effect::ImplicitDeny,
        "the session keeps its narrowing"
    );
    story.role.identity_policies.clear();
    assert_eq!(
        effect(&story, "s3:GetObject"),
        Effect::ImplicitDeny,
        "the role's change acts at once"
    );
}

#[test]
fn a_boundary_and_a_guardrail_bind_the_session() {
    let mut story = Story::new();
    story.role.boundary = Some(crate::Boundary {
        name: "edge".to_owned(),
        policy: allow("s3:*", PolicyKind::Boundary),
    });
    let layers = session(&story)
        .layers(Some(&story.role), Some(Vec::new()))
        .unwrap();
    assert_eq!(layers.boundary.unwrap()[0].name.as_ref(), "boundary/edge");
    assert!(layers.guardrail.unwrap().is_empty());
    assert_eq!(layers.identity[0].name.as_ref(), "role/web/read");
    assert!(
        layers.sessions.is_empty(),
        "no session policies is no layer, not an empty one"
    );
}

#[test]
fn a_session_dies_with_its_role() {
    let mut story = Story::new();
    let session = session(&story);
    story.role.enabled = false;
    assert_eq!(
        session.layers(Some(&story.role), None).unwrap_err().code(),
        "role_disabled"
    );
    story.role.enabled = true;
    assert_eq!(
        session.layers(None, None).unwrap_err().code(),
        "session_role_gone"
    );
    story.role.id = RoleId::from_random([4; 10]);
    let gone = session.layers(Some(&story.role), None).unwrap_err();
    assert_eq!(gone.code(), "role_recreated");
    assert!(gone.to_string().contains("AROAAMBQGAYDAMBQGAYD"), "{gone}");
}

#[test]
fn a_watermark_ends_what_began_in_its_second_or_before() {
    let session = session(&Story::new());
    for (seconds, ended) in [(-1, false), (0, true), (1, true)] {
        let watermark = Watermark {
            not_before: now() + TimeDelta::seconds(seconds),
        };
        assert_eq!(session.ended_by(&watermark), ended, "{seconds} s");
    }
}
