use bowline_policy::{NamedPolicy, PolicyKind};
use bowline_x509::Time;
use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::fixture::{CN, Leaf, OU, Story, THREE_ACTIONS, allow, authority, now, trust_policy};
use crate::{AnchorSource, ManagedPolicy};

/// The code of the denial that a change to a good story gives.
fn code(change: impl FnOnce(&mut Story)) -> &'static str {
    let mut story = Story::new();
    change(&mut story);
    denial(&story).code()
}

fn denial(story: &Story) -> Denial {
    let denial = story.decide().unwrap_err();
    assert_eq!(
        explain(&story.request()).decision.unwrap_err(),
        denial,
        "explained otherwise"
    );
    assert!(!denial.fix().is_empty());
    assert!(denial.aws_message().len() > 10);
    denial
}

fn at(text: &str) -> Time {
    text.parse().unwrap()
}

#[test]
fn a_good_request_is_granted_with_everything_that_was_verified() {
    let grant = Story::new().decide().unwrap();
    let claims = grant.claims();
    assert_eq!(
        claims.role_arn().as_deref(),
        Some("arn:aws:iam::123456789012:role/app/web")
    );
    assert_eq!(
        claims.principal_arn(),
        "arn:aws:sts::123456789012:assumed-role/web/1f71c5"
    );
    assert_eq!(claims.user_id(), "AROAAMBQGAYDAMBQGAYD:1f71c5");
    assert_eq!(claims.source_identity.as_deref(), Some("CN=web-1"));
    let origin = claims.certificate().unwrap();
    assert_eq!(origin.certificate.serial.to_hex(), "1f71c5");
    assert_eq!(
        origin.certificate.issuer_key_id,
        authority().0.public_key().unwrap().key_id()
    );
    assert_eq!(
        (claims.issued_at, claims.expires_at),
        (now(), at("2026-06-01T13:00:00Z"))
    );
    assert!(claims.layers.is_empty());
    let certificate = grant.certificate().unwrap();
    let id = certificate.subject.id;
    assert_eq!(
        certificate.subject_arn,
        format!("arn:aws:rolesanywhere:us-east-1:123456789012:subject/{id}")
    );
    assert_eq!(
        certificate.trust_anchor_arn,
        "arn:aws:rolesanywhere:us-east-1:123456789012:trust-anchor/01010101-0101-4101-8101-010101010101"
    );
    assert_eq!(
        certificate.profile_arn.as_deref(),
        Some(
            "arn:aws:rolesanywhere:us-east-1:123456789012:profile/02020202-0202-4202-8202-020202020202"
        )
    );
}

#[test]
fn what_is_disabled_grants_nothing() {
    assert_eq!(
        code(|story| story.trust_anchor.enabled = false),
        "trust_anchor_disabled"
    );
    assert_eq!(
        code(|story| story.profile.enabled = false),
        "profile_disabled"
    );
    assert_eq!(code(|story| story.role.enabled = false), "role_disabled");
}

#[test]
fn anchor_profile_and_role_are_of_one_account() {
    let other = "999999999999".parse().unwrap();
    assert_eq!(
        code(|story| story.trust_anchor.account = other),
        "different_accounts"
    );
    assert_eq!(
        code(|story| story.profile.account = other),
        "different_accounts"
    );
    assert_eq!(
        code(|story| story.role.account = other),
        "different_accounts"
    );
}

#[test]
fn a_path_serves_only_the_anchor_it_was_verified_against() {
    let stranger = Leaf::new(&[(CN, "other")]).issue();
    assert_eq!(
        code(|story| story.trust_anchor.source = AnchorSource::CertificateBundle(vec![stranger])),
        "other_trust_anchor"
    );
    let mut story = Story::new();
    story.trust_anchor.source = AnchorSource::Authority("site".to_owned());
    assert!(story.decide().is_ok());
}

#[test]
fn a_path_verified_earlier_is_held_against_the_clock_of_now() {
    assert_eq!(
        code(|story| story.now = at("2026-06-02T12:00:01Z")),
        "certificate_out_of_time"
    );
    assert_eq!(
        code(|story| story.now = at("2026-05-31T23:59:59Z")),
        "certificate_out_of_time"
    );
    let beyond_the_root = Leaf {
        not_after: "370101000000Z",
        ..Leaf::new(&[(CN, "x")])
    };
    let mut story = Story::of(&beyond_the_root);
    story.now = at("2036-06-01T00:00:00Z");
    assert_eq!(denial(&story).code(), "path_out_of_time");
}

#[test]
fn a_serial_number_that_cannot_name_a_certificate_is_refused() {
    for serial in [vec![0], vec![0xff], vec![1; 21]] {
        let leaf = Leaf {
            serial,
            ..Leaf::new(&[(CN, "x")])
        };
        assert_eq!(
            denial(&Story::of(&leaf)).code(),
            "serial_number_not_conforming"
        );
    }
}

#[test]
fn the_profile_lists_the_role_by_its_whole_arn() {
    assert_eq!(
        code(|story| story.profile.role_arns.clear()),
        "role_not_in_profile"
    );
    assert_eq!(
        code(
            |story| story.profile.role_arns = vec!["arn:aws:iam::123456789012:role/web".to_owned()]
        ),
        "role_not_in_profile"
    );
    assert_eq!(
        code(|story| story.profile.role_arns =
            vec!["arn:aws:iam::123456789012:role/app/*".to_owned()]),
        "role_not_in_profile"
    );
}

#[test]
fn sessions_are_named_by_the_caller_only_where_the_profile_accepts_it() {
    let named = |name: &str, accept: bool| {
        let mut story = Story::new();
        story.role_session_name = Some(name.to_owned());
        story.profile.accept_role_session_name = accept;
        story
            .decide()
            .map(|grant| grant.claims().session_name().to_owned())
            .map_err(|denial| denial.code())
    };
    assert_eq!(named("deploy", true), Ok("deploy".to_owned()));
    assert_eq!(named("deploy", false), Err("session_name_not_accepted"));
    assert_eq!(named("1f71c5", false), Err("session_name_not_accepted"));
    for bad in [
        "",
        "x",
        "a b",
        "a/b",
        "../web/admin",
        "a:b",
        "ä1",
        &"x".repeat(65),
    ] {
        assert_eq!(named(bad, true), Err("session_name_invalid"), "{bad}");
    }
    assert!(named(&"x".repeat(64), true).is_ok());
}

#[test]
fn a_session_lasts_as_asked_within_profile_role_and_certificate() {
    const HOUR: u32 = 3600;
    // Asked, profile, role's maximum, seconds left of the certificate, ends with it: seconds, or the rule.
    for (asked, profile, role, left, with_certificate, expected) in [
        (None, HOUR, HOUR, 86_400, true, Ok(3600)),
        (Some(900), HOUR, HOUR, 86_400, true, Ok(900)),
        (Some(2 * HOUR), HOUR, HOUR, 86_400, true, Ok(3600)),
        (
            Some(12 * HOUR),
            12 * HOUR,
            12 * HOUR,
            86_400,
            true,
            Ok(43_200),
        ),
        (
            None,
            2 * HOUR,
            HOUR,
            86_400,
            true,
            Err("duration_over_role_maximum"),
        ),
        (
            Some(HOUR + 1),
            2 * HOUR,
            HOUR,
            86_400,
            true,
            Err("duration_over_role_maximum"),
        ),
        (Some(HOUR), 2 * HOUR, HOUR, 86_400, true, Ok(3600)),
        (
            Some(899),
            HOUR,
            HOUR,
            86_400,
            true,
            Err("duration_out_of_range"),
        ),
        (
            Some(43_201),
            HOUR,
            HOUR,
            86_400,
            true,
            Err("duration_out_of_range"),
        ),
        (
            Some(0),
            HOUR,
            HOUR,
            86_400,
            true,
            Err("duration_out_of_range"),
        ),
        (
            Some(u32::MAX),
            HOUR,
            HOUR,
            86_400,
            true,
            Err("duration_out_of_range"),
        ),
        (None, HOUR, HOUR, 1800, true, Ok(1800)),
        (None, HOUR, HOUR, 3600, true, Ok(3600)),
        (None, HOUR, HOUR, 60, true, Ok(60)),
        (None, HOUR, HOUR, 59, true, Err("certificate_ends_soon")),
        (None, HOUR, HOUR, 0, true, Err("certificate_ends_soon")),
        (None, HOUR, HOUR, 59, false, Ok(3600)),
        (None, HOUR, HOUR, -1, false, Err("certificate_out_of_time")),
    ] {
        let mut story = Story::new();
        story.duration_seconds = asked;
        story.profile.duration_seconds = profile;
        story.role.max_session_duration = role;
        story.now = at("2026-06-02T12:00:00Z") - TimeDelta::seconds(left);
        story.settings.credentials_end_with_certificate = with_certificate;
        let decided = story.decide();
        let lasted = decided
            .map(|grant| (grant.expires_at() - story.now).num_seconds())
            .map_err(|denial| denial.code());
        assert_eq!(
            lasted, expected,
            "{asked:?} {profile} {role} {left} {with_certificate}"
        );
    }
}

#[test]
fn all_three_actions_must_be_trusted() {
    for (actions, missing) in [
        (
            r#"["sts:TagSession","sts:SetSourceIdentity"]"#,
            "sts:AssumeRole",
        ),
        (
            r#"["sts:AssumeRole","sts:SetSourceIdentity"]"#,
            "sts:TagSession",
        ),
        (
            r#"["sts:AssumeRole","sts:TagSession"]"#,
            "sts:SetSourceIdentity",
        ),
        (r#""sts:AssumeRoleWithWebIdentity""#, "sts:AssumeRole"),
    ] {
        let mut story = Story::new();
        story.role.trust_policy = trust_policy(actions, "");
        let Denial::TrustPolicy { action, .. } = denial(&story) else {
            panic!("{missing}")
        };
        assert_eq!(action, missing);
    }
    let mut story = Story::new();
    story.role.trust_policy = trust_policy(r#""sts:*""#, "");
    assert!(story.decide().is_ok());
}

#[test]
fn a_trust_policy_for_someone_else_allows_nothing() {
    let text = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:*"}]}"#;
    assert_eq!(
        code(|story| story.role.trust_policy =
            bowline_policy::Policy::parse(text, PolicyKind::Trust).unwrap()),
        "trust_policy"
    );
}

#[test]
fn a_trust_policy_can_test_what_the_certificate_and_the_request_say() {
    let anchor = "arn:aws:rolesanywhere:us-east-1:123456789012:trust-anchor/01010101-0101-4101-8101-010101010101";
    let arn = format!(r#"{{"ArnEquals":{{"aws:SourceArn":"{anchor}"}}}}"#);
    for (condition, allowed) in [
        (
            r#"{"StringEquals":{"aws:PrincipalTag/x509Subject/OU":"web"}}"#,
            true,
        ),
        (
            r#"{"StringEquals":{"aws:PrincipalTag/x509Subject/OU":"db"}}"#,
            false,
        ),
        (
            r#"{"StringEquals":{"aws:RequestTag/x509Subject/CN":"web-1"}}"#,
            true,
        ),
        (
            r#"{"StringEquals":{"aws:PrincipalTag/x509Issuer/CN":"Test Root"}}"#,
            true,
        ),
        (
            r#"{"StringEquals":{"aws:PrincipalTag/x509SAN/DNS":"web-1"}}"#,
            false,
        ),
        (
            r#"{"StringNotEquals":{"aws:PrincipalTag/x509SAN/DNS":"web-1"}}"#,
            true,
        ),
        (r#"{"StringLike":{"sts:SourceIdentity":"CN=web-*"}}"#, true),
        (r#"{"StringEquals":{"sts:RoleSessionName":"1f71c5"}}"#, true),
        (
            r#"{"StringEquals":{"aws:SourceAccount":"123456789012"}}"#,
            true,
        ),
        (
            r#"{"StringEquals":{"aws:SourceAccount":"210987654321"}}"#,
            false,
        ),
        (
            r#"{"StringEquals":{"aws:PrincipalServiceName":"rolesanywhere.amazonaws.com"}}"#,
            true,
        ),
        (r#"{"Bool":{"aws:PrincipalIsAWSService":"true"}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, true),
        (r#"{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, false),
        (
            r#"{"DateLessThan":{"aws:CurrentTime":"2026-06-01T12:00:01Z"}}"#,
            true,
        ),
        (
            r#"{"NumericGreaterThan":{"aws:EpochTime":"1780315200"}}"#,
            false,
        ),
        (
            r#"{"ForAllValues:StringLike":{"aws:TagKeys":"x509*"}}"#,
            true,
        ),
        (
            r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":"x509Subject/OU"}}"#,
            true,
        ),
        (&arn, true),
    ] {
        let mut story = Story::new();
        story.role.trust_policy = trust_policy(THREE_ACTIONS, condition);
        assert_eq!(story.decide().is_ok(), allowed, "{condition}");
    }
}

#[test]
fn a_tag_that_the_profile_does_not_map_cannot_be_tested() {
    let mut story = Story::new();
    story.role.trust_policy = trust_policy(
        THREE_ACTIONS,
        r#"{"StringEquals":{"aws:PrincipalTag/x509Subject/OU":"web"}}"#,
    );
    assert!(story.decide().is_ok());
    story
        .profile
        .attribute_mappings
        .delete(crate::CertificateField::Subject, &[])
        .unwrap();
    assert_eq!(denial(&story).code(), "trust_policy");
}

#[test]
fn a_certificate_with_too_many_attributes_is_refused_whole() {
    let kinds: Vec<String> = (0..48).map(|n| format!("1.3.6.1.4.1.99999.{n}")).collect();
    let story = |count: usize| {
        // Tests live as long as the process: so may their identifiers.
        let subject: Vec<(&'static str, &str)> = kinds[..count]
            .iter()
            .map(|kind| (&*kind.clone().leak(), "x"))
            .collect();
        Story::of(&Leaf::new(&subject))
    };
    assert!(story(47).decide().is_ok(), "47 and the issuer's 3");
    assert_eq!(
        denial(&story(48)),
        Denial::TooManyTags {
            tags: 51,
            limit: 50
        }
    );
}

#[test]
fn policies_of_profile_and_request_become_two_layers() {
    let mut story = Story::new();
    story.profile.managed_policies.push(ManagedPolicy {
        arn: "arn:aws:iam::aws:policy/Read".to_owned(),
        policy: allow("s3:Get*", PolicyKind::Session),
    });
    story.session_policies = vec![NamedPolicy::new(
        "asked",
        allow("s3:*", PolicyKind::Session),
    )];
    let layers = story.decide().unwrap().claims().layers.clone();
    let names: Vec<&str> = layers.iter().map(|layer| &*layer.name).collect();
    assert_eq!(names, ["profile", "request"]);
}

#[test]
fn session_policies_of_the_request_have_a_limit_of_their_own() {
    let mut story = Story::new();
    let long = |characters: usize| {
        let frame = r#"{"Statement":{"Effect":"Allow","Action":"s3:","Resource":"*"}}"#.len();
        allow_text(&format!("s3:{}", "a".repeat(characters - frame)))
    };
    story.session_policies = vec![NamedPolicy::new("asked", long(2048))];
    assert!(story.decide().is_ok());
    story.session_policies = vec![NamedPolicy::new("asked", long(2049))];
    assert_eq!(
        denial(&story),
        Denial::RequestPoliciesTooLong {
            characters: 2049,
            limit: 2048
        }
    );
}

fn allow_text(action: &str) -> bowline_policy::Policy {
    let text =
        format!(r#"{{"Statement": {{"Effect": "Allow", "Action": "{action}", "Resource": "*"}}}}"#);
    bowline_policy::Policy::parse(&text, PolicyKind::Session).unwrap()
}

#[test]
fn tags_and_policies_that_fit_no_token_are_refused_with_both_numbers() {
    // Texts that do not get shorter by deflating.
    let wide: Vec<String> = (0..20).map(|n| noise(n, 256)).collect();
    let kinds: Vec<&'static str> = (0..20)
        .map(|n| &*format!("1.3.6.1.4.1.99999.{n}").leak())
        .collect();
    let subject: Vec<(&'static str, &str)> = kinds
        .iter()
        .copied()
        .zip(wide.iter().map(String::as_str))
        .collect();
    let Denial::PackedPolicyTooLarge { bytes, limit } = denial(&Story::of(&Leaf::new(&subject)))
    else {
        panic!("fits")
    };
    assert!(
        bytes > limit && limit == crate::TOKEN_BYTES_MAX,
        "{bytes} {limit}"
    );
}

/// Letters and digits without a pattern.
fn noise(seed: u64, characters: usize) -> String {
    let mut state = seed + 1;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from_digit((state >> 33) as u32 % 36, 36).unwrap()
    })
    .take(characters)
    .collect()
}

#[test]
fn the_default_token_is_small() {
    let bytes = Story::new().decide().unwrap().token_bytes();
    assert!(bytes < 800, "{bytes} bytes");
}

#[test]
fn messages_begin_as_aws_begins_them() {
    let message = |change: fn(&mut Story)| {
        let mut story = Story::new();
        change(&mut story);
        denial(&story).aws_message()
    };
    let unable = "Unable to assume role for arn:aws:iam::123456789012:role/app/web. ";
    let message_of_trust =
        message(|story| story.role.trust_policy = trust_policy(r#""sts:AssumeRole""#, ""));
    assert_eq!(
        message_of_trust,
        format!("{unable}Its trust policy does not allow sts:TagSession for this certificate.")
    );
    assert_eq!(
        message(|story| story.profile.role_arns.clear()),
        format!(
            "{unable}Profile default does not list role arn:aws:iam::123456789012:role/app/web."
        )
    );
    assert!(
        message(|story| story.profile.duration_seconds = 7200).starts_with(&format!(
            "{unable}The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        ))
    );
    assert_eq!(
        message(|story| story.duration_seconds = Some(43_201)),
        "1 validation error detected: Value '43201' at 'durationSeconds' failed to satisfy constraint: Member must have \
         value less than or equal to 43200"
    );
    assert_eq!(
        message(|story| story.duration_seconds = Some(1)),
        "1 validation error detected: Value '1' at 'durationSeconds' failed to satisfy constraint: Member must have \
         value greater than or equal to 900"
    );
    assert!(
        message(|story| story.now = at("2027-01-01T00:00:00Z"))
            .starts_with("Untrusted certificate. ")
    );
    assert_eq!(
        message(|story| story.profile.enabled = false),
        "Access denied. Profile default is disabled."
    );
}

#[test]
fn the_explanation_numbers_the_rules_and_shows_the_policys_trace() {
    let mut story = Story::new();
    story.role.trust_policy = trust_policy(
        THREE_ACTIONS,
        r#"{"StringEquals":{"aws:PrincipalTag/x509Subject/OU":"db"}}"#,
    );
    story.profile.enabled = false;
    let explanation = explain(&story.request());
    assert_eq!(
        explanation.checks.len(),
        18,
        "those that concern a certificate"
    );
    assert_eq!(
        explanation.first_broken().unwrap().rule,
        Rule::ProfileEnabled
    );
    let broken: Vec<&str> = explanation
        .checks
        .iter()
        .filter(|check| check.outcome.is_err())
        .map(|check| check.rule.as_str())
        .collect();
    assert_eq!(
        broken,
        [
            "profile_enabled",
            "assume_role",
            "tag_session",
            "set_source_identity"
        ]
    );
    let text = explanation.to_string();
    assert!(text.starts_with("DENY profile_disabled\n"), "{text}");
    assert!(text.contains("x509Subject/OU"), "{text}");
    assert!(
        text.contains("fix     enable it: bowline profile enable 'default'"),
        "{text}"
    );

    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["decision"], "deny");
    assert_eq!(json["checks"][1]["outcome"], "fail");
    assert_eq!(json["checks"][11]["rule"], "assume_role");
    assert!(!json["checks"][11]["trace"].is_null());
}

#[test]
fn the_explanation_of_a_grant_names_the_session() {
    let explanation = explain(&Story::new().request());
    assert!(explanation.is_allowed() && explanation.first_broken().is_none());
    assert!(
        explanation
            .to_string()
            .starts_with("ALLOW arn:aws:sts::123456789012:assumed-role/web/1f71c5\n")
    );
}

#[test]
fn the_explanation_tells_which_tags_were_dropped() {
    let story = Story::of(&Leaf::new(&[(OU, "a*"), (CN, "Batch Server 1")]));
    let text = explain(&story.request()).to_string();
    assert!(text.contains("dropped: x509Subject/OU: "), "{text}");
    assert!(
        text.contains("made from: the serial number: the common name has characters"),
        "{text}"
    );
}

/// Changes that break rules, one bit each.
const CHANGES: [fn(&mut Story); 12] = [
    |story| story.trust_anchor.enabled = false,
    |story| story.profile.enabled = false,
    |story| story.role.enabled = false,
    |story| story.role.account = "999999999999".parse().unwrap(),
    |story| story.now = at("2027-01-01T00:00:00Z"),
    |story| story.profile.role_arns.clear(),
    |story| story.role_session_name = Some("deploy".to_owned()),
    |story| story.profile.accept_role_session_name = true,
    |story| story.duration_seconds = Some(10),
    |story| story.profile.duration_seconds = 7200,
    |story| story.role.trust_policy = trust_policy(r#""sts:AssumeRole""#, ""),
    |story| {
        story.session_policies = vec![NamedPolicy::new(
            "asked",
            allow("s3:*", PolicyKind::Session),
        )];
    },
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn explaining_decides_as_authorizing_does(bits in 0u32..1 << CHANGES.len()) {
        let mut story = Story::new();
        for (at, change) in CHANGES.iter().enumerate() {
            if bits >> at & 1 == 1 {
                change(&mut story);
            }
        }
        let (decided, explained) = (story.decide(), explain(&story.request()));
        match (decided, explained.decision) {
            (Ok(grant), Ok(told)) => {
                prop_assert_eq!(grant.claims().to_cbor(), told.claims().to_cbor());
            }
            (Err(denial), Err(told)) => prop_assert_eq!(denial, told),
            (decided, told) => prop_assert!(false, "{:?} but told {:?}", decided, told),
        }
    }
}
