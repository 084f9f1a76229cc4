use bowline_policy::{Policy, PolicyKind};

use super::*;
use crate::fixture::{CN, Leaf, Story, allow, authority, now, trust_policy};
use crate::{AnchorSource, Boundary, ManagedPolicy, Profile, Role, RolePolicy, TrustAnchor, Uuid};

fn bundle(certificates: Vec<bowline_x509::Certificate>) -> Result<(), RecordError> {
    let source = AnchorSource::CertificateBundle(certificates);
    TrustAnchor::new(
        Uuid::from_random([1; 16]),
        "123456789012".parse().unwrap(),
        "site",
        source,
        now(),
    )
    .validate()
}

fn profile(change: impl FnOnce(&mut Profile)) -> Result<(), RecordError> {
    let mut profile = Story::new().profile;
    change(&mut profile);
    profile.validate()
}

fn role(change: impl FnOnce(&mut Role)) -> Result<(), RecordError> {
    let mut role = Story::new().role;
    change(&mut role);
    role.validate()
}

/// An Allow statement of exactly so many characters besides white space.
fn policy_of(characters: usize, kind: PolicyKind) -> Policy {
    let frame = r#"{"Statement":{"Effect":"Allow","Action":"s3:","Resource":"*"}}"#.len();
    let action = "a".repeat(characters - frame);
    let text = format!(
        "{{\n  \"Statement\": {{\"Effect\": \"Allow\", \"Action\": \"s3:{action}\", \"Resource\": \"*\"}}\n}}"
    );
    Policy::parse(&text, kind).unwrap()
}

#[test]
fn a_bundle_is_one_or_two_certificates_of_authorities() {
    let root = authority().0.clone();
    assert_eq!(bundle(vec![root.clone()]), Ok(()));
    assert_eq!(
        bundle(vec![]),
        Err(RecordError::Empty {
            field: "certificate bundle"
        })
    );
    assert!(matches!(
        bundle(vec![root.clone(), root.clone()]),
        Err(RecordError::Repeated { .. })
    ));
    assert!(matches!(
        bundle(vec![root.clone(), root.clone(), root]),
        Err(RecordError::TooMany {
            count: 3,
            limit: 2,
            ..
        })
    ));
    let leaf = bundle(vec![Leaf::new(&[(CN, "x")]).issue()]).unwrap_err();
    assert_eq!(
        leaf.to_string(),
        "Incorrect basic constraints for CA certificate: `CN=x` lacks CA:TRUE"
    );
}

#[test]
fn an_authority_beside_us_needs_an_id() {
    let anchor = |id: &str| {
        let source = AnchorSource::Authority(id.to_owned());
        TrustAnchor::new(
            Uuid::from_random([1; 16]),
            "123456789012".parse().unwrap(),
            "site",
            source,
            now(),
        )
        .validate()
    };
    assert_eq!(anchor("default"), Ok(()));
    assert_eq!(anchor(""), Err(RecordError::Empty { field: "authority" }));
}

#[test]
fn names_keep_to_their_patterns() {
    for (name, resource, role_name) in [
        ("web", true, true),
        ("web 1", true, false),
        ("web_1-a", true, true),
        ("web.1", false, true),
        ("a+b=c,d@e", false, true),
        ("", false, false),
        ("büro", false, false),
        ("a\nb", false, false),
        ("a/b", false, false),
        ("*", false, false),
    ] {
        assert_eq!(
            profile(|profile| profile.name = name.to_owned()).is_ok(),
            resource,
            "{name:?}"
        );
        assert_eq!(
            role(|role| role.name = name.to_owned()).is_ok(),
            role_name,
            "{name:?}"
        );
    }
    assert!(profile(|profile| profile.name = "x".repeat(255)).is_ok());
    assert!(profile(|profile| profile.name = "x".repeat(256)).is_err());
    assert!(role(|role| role.name = "x".repeat(64)).is_ok());
    assert!(role(|role| role.name = "x".repeat(65)).is_err());
}

#[test]
fn a_refusal_names_the_field_the_value_and_the_rule() {
    let error = role(|role| role.name = "a b".to_owned()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "role name `a b` is not allowed: it takes 1 to 64 of letters, digits and _+=,.@-"
    );
    let error = profile(|profile| profile.duration_seconds = 60).unwrap_err();
    assert_eq!(
        error.to_string(),
        "durationSeconds of 60 is outside 900 to 43200"
    );
}

#[test]
fn paths_stand_between_slashes() {
    for (path, fits) in [
        ("/", true),
        ("/app/", true),
        ("/app/web/", true),
        ("app/", false),
        ("/app", false),
        ("", false),
        ("/a b/", false),
        ("/ä/", false),
    ] {
        assert_eq!(
            role(|role| role.path = path.to_owned()).is_ok(),
            fits,
            "{path}"
        );
    }
    assert!(role(|role| role.path = format!("/{}/", "x".repeat(510))).is_ok());
    assert!(role(|role| role.path = format!("/{}/", "x".repeat(511))).is_err());
}

#[test]
fn durations_keep_to_their_ranges() {
    for (seconds, in_profile, in_role) in [
        (899, false, false),
        (900, true, false),
        (3599, true, false),
        (3600, true, true),
        (43_200, true, true),
        (43_201, false, false),
    ] {
        assert_eq!(
            profile(|profile| profile.duration_seconds = seconds).is_ok(),
            in_profile,
            "{seconds}"
        );
        assert_eq!(
            role(|role| role.max_session_duration = seconds).is_ok(),
            in_role,
            "{seconds}"
        );
    }
}

#[test]
fn a_profile_lists_up_to_250_different_role_arns() {
    let roles = |count: usize| {
        (0..count)
            .map(|n| format!("arn:aws:iam::123456789012:role/r{n}"))
            .collect::<Vec<_>>()
    };
    assert!(profile(|profile| profile.role_arns = Vec::new()).is_ok());
    assert!(profile(|profile| profile.role_arns = roles(250)).is_ok());
    assert!(profile(|profile| profile.role_arns = roles(251)).is_err());
    assert!(profile(|profile| profile.role_arns = [roles(1), roles(1)].concat()).is_err());
    for bad in [
        "web",
        "arn:aws:iam::123456789012:user/web",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:s3::123456789012:role/web",
        "arn:aws:sts::123456789012:assumed-role/web/x",
    ] {
        assert!(
            profile(|profile| profile.role_arns = vec![bad.to_owned()]).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn policies_keep_to_the_sizes_that_iam_and_sts_have() {
    let session = |n| policy_of(n, PolicyKind::Session);
    assert!(profile(|profile| profile.session_policy = Some(session(2048))).is_ok());
    assert!(profile(|profile| profile.session_policy = Some(session(2049))).is_err());
    let managed = |n| ManagedPolicy {
        arn: "arn:aws:iam::aws:policy/A".to_owned(),
        policy: session(n),
    };
    let both = |inline, other| {
        profile(|profile| {
            profile.session_policy = Some(session(inline));
            profile.managed_policies = vec![managed(other)];
        })
    };
    assert!(both(1024, 1024).is_ok());
    assert!(both(1024, 1025).is_err());

    let own = |name: &str, n| RolePolicy {
        name: name.to_owned(),
        policy: policy_of(n, PolicyKind::Identity),
    };
    assert!(role(|role| role.identity_policies = vec![own("a", 5000), own("b", 5240)]).is_ok());
    assert!(role(|role| role.identity_policies = vec![own("a", 5000), own("b", 5241)]).is_err());
    assert!(role(|role| role.identity_policies = vec![own("a", 500), own("a", 500)]).is_err());
    assert!(role(|role| role.identity_policies = vec![own("a b", 500)]).is_err());
    let boundary = |n| Boundary {
        name: "edge".to_owned(),
        policy: policy_of(n, PolicyKind::Boundary),
    };
    assert!(role(|role| role.boundary = Some(boundary(6144))).is_ok());
    assert!(role(|role| role.boundary = Some(boundary(6145))).is_err());
    let wide = format!(
        r#"{{"StringEquals":{{"sts:SourceIdentity":"{}"}}}}"#,
        "x".repeat(4096)
    );
    assert!(role(|role| role.trust_policy = trust_policy(r#""sts:*""#, &wide)).is_err());
}

#[test]
fn records_are_stored_as_text_and_read_back_whole() {
    let mut story = Story::new();
    story.profile.session_policy = Some(allow("s3:*", PolicyKind::Session));
    story.profile.managed_policies.push(ManagedPolicy {
        arn: "a".to_owned(),
        policy: allow("s3:*", PolicyKind::Session),
    });
    story.role.boundary = Some(Boundary {
        name: "edge".to_owned(),
        policy: allow("s3:*", PolicyKind::Boundary),
    });
    let (trust_anchor, profile, role) = (
        serde_json::to_value(&story.trust_anchor).unwrap(),
        serde_json::to_value(&story.profile).unwrap(),
        serde_json::to_value(&story.role).unwrap(),
    );
    assert_eq!(
        profile["session_policy"],
        story.profile.session_policy.as_ref().unwrap().text()
    );
    assert_eq!(role["trust_policy"], story.role.trust_policy.text());
    let read_anchor: TrustAnchor = serde_json::from_value(trust_anchor.clone()).unwrap();
    let read_profile: Profile = serde_json::from_value(profile.clone()).unwrap();
    let read_role: Role = serde_json::from_value(role.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read_anchor).unwrap(), trust_anchor);
    assert_eq!(serde_json::to_value(&read_profile).unwrap(), profile);
    assert_eq!(serde_json::to_value(&read_role).unwrap(), role);
    (story.trust_anchor, story.profile, story.role) = (read_anchor, read_profile, read_role);
    assert!(story.decide().is_ok());
}

#[test]
fn a_stored_policy_of_the_wrong_kind_is_not_read() {
    let mut role = serde_json::to_value(Story::new().role).unwrap();
    role["trust_policy"] = allow("s3:*", PolicyKind::Identity).text().into();
    assert!(serde_json::from_value::<Role>(role).is_err());
}
