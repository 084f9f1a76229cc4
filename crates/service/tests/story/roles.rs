//! Roles and settings that change: what was allowed a moment ago is not any more.

use bowline_service::{
    Caller, Channel, CreateProfile, CreateRole, DeleteRole, KeySpec, Moment, Operation, PrivateKey,
    RevokeOlderSessions, SessionCredentials, ShowProfile, ShowRole, ShowSettings, UpdateRole,
    UpdateSettings,
};

use crate::log::events_of;
use crate::world::{Holder, World};
use crate::{OPERATOR, authorize};

const OBJECT: &str = "arn:aws:s3:::data/report.csv";

fn document(effect: &str, action: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"{action}","Resource":"*"}}}}"#
    )
}

fn update(world: &World, update: UpdateRole) {
    update.run(&world.service, &OPERATOR).unwrap();
}

fn reader() -> UpdateRole {
    UpdateRole {
        role: "reader".into(),
        ..UpdateRole::default()
    }
}

fn may(world: &World, credentials: &SessionCredentials, action: &str) -> (u16, Option<String>) {
    let answer = authorize(world, credentials, action, OBJECT);
    (answer.http_status, answer.code)
}

fn allowed() -> (u16, Option<String>) {
    (200, None)
}

fn denied() -> (u16, Option<String>) {
    (403, None)
}

fn session() -> (World, SessionCredentials) {
    let world = World::new();
    world.role("reader");
    let credentials = world
        .exchange(&world.issue("web-1", &["reader"]), "reader")
        .unwrap();
    assert_eq!(may(&world, &credentials, "s3:GetObject"), allowed());
    (world, credentials)
}

#[test]
fn a_policy_that_a_role_gets_or_loses_holds_for_living_sessions() {
    let (world, credentials) = session();
    let put = |effect: &str| UpdateRole {
        put_policies: vec![("more".into(), document(effect, "s3:*"))],
        ..reader()
    };
    update(&world, put("Allow"));
    assert_eq!(may(&world, &credentials, "s3:PutObject"), allowed());
    // The same name again is another policy in its place.
    update(&world, put("Deny"));
    assert_eq!(may(&world, &credentials, "s3:GetObject"), denied());
    let delete = UpdateRole {
        delete_policies: vec!["more".into()],
        ..reader()
    };
    update(&world, delete.clone());
    assert_eq!(may(&world, &credentials, "s3:GetObject"), allowed());
    assert_eq!(may(&world, &credentials, "s3:PutObject"), denied());
    let refused = delete.run(&world.service, &OPERATOR).unwrap_err();
    assert_eq!(&*refused.code(), "role_policy_unknown");

    let told = events_of(&world, "role_changed");
    assert_eq!(told.len(), 3);
    assert_eq!(told[1]["policies_put"][0][0], "more");
    assert_eq!(told[2]["policies_deleted"][0], "more");
}

#[test]
fn a_boundary_bounds_and_can_be_taken_away() {
    let (world, credentials) = session();
    let bound = |text: String| UpdateRole {
        boundary: Some(text),
        ..reader()
    };
    update(&world, bound(document("Allow", "s3:ListBucket")));
    assert_eq!(may(&world, &credentials, "s3:GetObject"), denied());
    update(&world, bound(String::new()));
    assert_eq!(may(&world, &credentials, "s3:GetObject"), allowed());

    let create = CreateRole {
        name: "bounded".into(),
        policy: Some(document("Allow", "*")),
        boundary: Some(document("Allow", "s3:GetObject")),
        ..CreateRole::default()
    };
    create.run(&world.service, &OPERATOR).unwrap();
    let credentials = world
        .exchange(&world.issue("web-2", &["bounded"]), "bounded")
        .unwrap();
    assert_eq!(may(&world, &credentials, "s3:GetObject"), allowed());
    assert_eq!(may(&world, &credentials, "s3:PutObject"), denied());
}

#[test]
fn a_disabled_role_is_neither_taken_nor_used() {
    let (world, credentials) = session();
    let enabled = |enabled| UpdateRole {
        enabled: Some(enabled),
        ..reader()
    };
    update(&world, enabled(false));
    let ended = may(&world, &credentials, "s3:GetObject");
    assert_eq!(ended, (401, Some("role_disabled".into())));
    let holder = world.issue("web-2", &["reader"]);
    let refused = world.exchange(&holder, "reader").unwrap_err();
    assert_eq!(refused.kind(), bowline_service::Kind::Denied, "{refused}");
    update(&world, enabled(true));
    assert_eq!(may(&world, &credentials, "s3:GetObject"), allowed());
    world.exchange(&holder, "reader").unwrap();
}

#[test]
fn older_sessions_are_revoked_and_newer_ones_live() {
    let (world, older) = session();
    let holder = world.issue("web-2", &["reader"]);
    let revoke = RevokeOlderSessions {
        role: "reader".into(),
    };
    let role = revoke.clone().run(&world.service, &OPERATOR).unwrap();
    let (name, policy) = &role.policies[1];
    assert_eq!(name, "AWSRevokeOlderSessions");
    assert!(policy.contains("aws:TokenIssueTime"), "{policy}");
    // It began in the very second of the revocation, so it may be an older one.
    assert_eq!(may(&world, &older, "s3:GetObject"), denied());

    world.pass(1);
    let newer = world.exchange(&holder, "reader").unwrap();
    assert_eq!(may(&world, &newer, "s3:GetObject"), allowed());
    assert_eq!(may(&world, &older, "s3:GetObject"), denied());
    // A second time it moves on, and stays one policy.
    world.pass(10);
    let role = revoke.run(&world.service, &OPERATOR).unwrap();
    assert_eq!(role.policies.len(), 2);
    assert_eq!(may(&world, &newer, "s3:GetObject"), denied());
    let lift = UpdateRole {
        delete_policies: vec!["AWSRevokeOlderSessions".into()],
        ..reader()
    };
    update(&world, lift);
    assert_eq!(may(&world, &older, "s3:GetObject"), allowed());
}

#[test]
fn a_changed_trust_policy_decides_who_trades_next() {
    let (world, credentials) = session();
    let holder = world.issue("web-2", &["reader"]);
    let only = |pattern: &str| UpdateRole {
        subjects: vec![pattern.into()],
        ..reader()
    };
    update(&world, only("CN=ci-*"));
    assert!(world.exchange(&holder, "reader").is_err());
    // Who was let in stays in: trust is asked at the door.
    assert_eq!(may(&world, &credentials, "s3:GetObject"), allowed());
    update(&world, only("CN=web-*"));
    world.exchange(&holder, "reader").unwrap();

    let open = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow",
        "Principal":{"Service":"rolesanywhere.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;
    let wide = |any_certificate| UpdateRole {
        trust_policy: Some(open.into()),
        any_certificate,
        ..reader()
    };
    let refused = wide(false).run(&world.service, &OPERATOR).unwrap_err();
    assert_eq!(&*refused.code(), "trust_policy_open");
    update(&world, wide(true));
    let twice = UpdateRole {
        subjects: vec!["CN=web-*".into()],
        ..wide(true)
    };
    let refused = twice.run(&world.service, &OPERATOR).unwrap_err();
    assert_eq!(&*refused.code(), "role_trust_twice");
}

#[test]
fn a_refused_change_leaves_the_role_as_it_was() {
    let (world, credentials) = session();
    let before = ShowRole {
        role: "reader".into(),
    };
    let before = serde_json::to_value(before.run(&world.service, &OPERATOR).unwrap()).unwrap();
    let long = document("Allow", &format!("s3:{}", "s".repeat(11_000)));
    for (change, code) in [
        (reader(), "nothing_to_change"),
        (
            UpdateRole {
                max_duration_seconds: Some(60),
                enabled: Some(false),
                ..reader()
            },
            "out_of_range",
        ),
        (
            UpdateRole {
                put_policies: vec![
                    ("good".into(), document("Allow", "s3:*")),
                    ("too long".into(), document("Allow", "s3:*")),
                ],
                ..reader()
            },
            "invalid_text",
        ),
        (
            UpdateRole {
                put_policies: vec![("long".into(), long)],
                ..reader()
            },
            "over_limit",
        ),
        (
            UpdateRole {
                role: "ghost".into(),
                enabled: Some(false),
                ..UpdateRole::default()
            },
            "role_unknown",
        ),
    ] {
        let refused = change.run(&world.service, &OPERATOR).unwrap_err();
        assert_eq!(&*refused.code(), code, "{refused}");
    }
    let after = ShowRole {
        role: "reader".into(),
    };
    let after = serde_json::to_value(after.run(&world.service, &OPERATOR).unwrap()).unwrap();
    assert_eq!(after, before);
    assert_eq!(may(&world, &credentials, "s3:GetObject"), allowed());
}

#[test]
fn a_role_that_is_listed_goes_only_by_force_and_its_sessions_go_with_it() {
    let (world, credentials) = session();
    let other = CreateProfile {
        name: "other".into(),
        roles: vec!["reader".into()],
        ..CreateProfile::default()
    };
    other.run(&world.service, &OPERATOR).unwrap();
    let delete = |force| DeleteRole {
        role: "reader".into(),
        force,
    };
    let refused = delete(false).run(&world.service, &OPERATOR).unwrap_err();
    assert_eq!(&*refused.code(), "role_listed");
    assert!(refused.to_string().contains("default, other"), "{refused}");
    assert_eq!(may(&world, &credentials, "s3:GetObject"), allowed());

    let gone = delete(true).run(&world.service, &OPERATOR).unwrap();
    assert_eq!(gone.profiles.len(), 2);
    for profile in ["default", "other"] {
        let show = ShowProfile {
            profile: profile.into(),
        };
        let roles = show.run(&world.service, &OPERATOR).unwrap().roles;
        assert!(roles.iter().all(|role| !role.ends_with("/reader")));
    }
    let ended = may(&world, &credentials, "s3:GetObject");
    assert_eq!(ended, (401, Some("session_role_gone".into())));
    // One of the same name is another role: no session of the old one comes back.
    world.role("reader");
    let ended = may(&world, &credentials, "s3:GetObject");
    assert_eq!(ended, (401, Some("role_recreated".into())));
    assert_eq!(events_of(&world, "role_deleted").len(), 1);
}

#[test]
fn every_change_of_a_role_takes_its_own_right() {
    let world = World::new();
    world.role("reader");
    let changes = [
        (
            "iam:UpdateAssumeRolePolicy",
            UpdateRole {
                subjects: vec!["CN=web-*".into()],
                ..reader()
            },
        ),
        (
            "iam:UpdateRole",
            UpdateRole {
                max_duration_seconds: Some(7_200),
                ..reader()
            },
        ),
        (
            "iam:PutRolePolicy",
            UpdateRole {
                put_policies: vec![("more".into(), document("Allow", "s3:*"))],
                ..reader()
            },
        ),
        (
            "iam:DeleteRolePolicy",
            UpdateRole {
                delete_policies: vec!["more".into()],
                ..reader()
            },
        ),
        (
            "iam:PutRolePermissionsBoundary",
            UpdateRole {
                boundary: Some(document("Allow", "s3:*")),
                ..reader()
            },
        ),
        (
            "iam:DeleteRolePermissionsBoundary",
            UpdateRole {
                boundary: Some(String::new()),
                ..reader()
            },
        ),
    ];
    let mut holders = Vec::new();
    for (place, (action, _)) in changes.iter().enumerate() {
        let name = format!("changer-{place}");
        let role = CreateRole {
            name: name.clone(),
            policy: Some(document("Allow", action)),
            ..CreateRole::default()
        };
        role.run(&world.service, &OPERATOR).unwrap();
        let credentials = world
            .exchange(&world.issue(&name, &[&name]), &name)
            .unwrap();
        let request = world.signed_call(&credentials);
        let caller = world
            .service
            .identify(&request, &Channel::default())
            .unwrap();
        holders.push((*action, caller));
    }
    for (needed, change) in changes {
        for (held, caller) in &holders {
            let answer = change.clone().run(&world.service, caller);
            assert_eq!(answer.is_ok(), needed == *held, "{needed} with {held}");
        }
    }
    let delete = DeleteRole {
        role: "reader".into(),
        force: true,
    };
    for (_, caller) in &holders {
        let refused = delete.clone().run(&world.service, caller).unwrap_err();
        assert_eq!(&*refused.code(), "not_authorized");
    }
}

#[test]
fn credentials_outlive_their_certificate_only_if_the_home_is_told_so() {
    let world = World::new();
    world.role("reader");
    let key = PrivateKey::generate(KeySpec::P256).unwrap();
    let mut ask = world.ask_for("web-1", &["reader"], &key);
    ask.not_after = Some(Moment::In(1_200));
    let issued = ask.run(&world.service, &OPERATOR).unwrap();
    let holder = Holder { key, issued };
    let until = |world: &World| world.exchange(&holder, "reader").unwrap().expiration;
    assert_eq!(until(&world), holder.issued.not_after);

    let set = |setting: &str, value: &str| UpdateSettings {
        setting: setting.into(),
        value: value.into(),
    };
    let told = set("credentials-end-with-certificate", "false")
        .run(&world.service, &OPERATOR)
        .unwrap();
    assert!(!told.credentials_end_with_certificate);
    assert_eq!(
        ShowSettings {}.run(&world.service, &OPERATOR).unwrap(),
        told
    );
    assert!(until(&world) > holder.issued.not_after);
    // What is so already is no change.
    set("credentials-end-with-certificate", "false")
        .run(&world.service, &OPERATOR)
        .unwrap();
    let event = events_of(&world, "setting_changed");
    assert_eq!(event.len(), 1);
    assert_eq!(
        (&event[0]["was"], &event[0]["is"]),
        (&"true".into(), &"false".into())
    );

    let refused = set("account", "111111111111")
        .run(&world.service, &OPERATOR)
        .unwrap_err();
    assert_eq!(&*refused.code(), "setting_fixed");
    let nobody = Caller::Nobody { source: None };
    assert!(set("name", "Other").run(&world.service, &nobody).is_err());
}
