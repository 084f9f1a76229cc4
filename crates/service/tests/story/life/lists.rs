//! Which sessions there are.

use bowline_service::DeleteRole;

use super::*;

#[test]
fn sessions_are_listed_by_what_they_rest_on() {
    let world = World::new();
    let (holder, first) = reader(&world);
    world.role("writer");
    let other = world.issue("web-2", &["writer"]);
    let second = world.exchange(&other, "writer").unwrap();
    let keys = |ask: ListSessions| -> Vec<String> {
        let sessions = list(&world, ask).into_iter();
        sessions.map(|session| session.access_key_id).collect()
    };
    let (first_key, second_key) = (&first.access_key_id, &second.access_key_id);
    let ask = ListSessions::default;
    assert_eq!(keys(ask()), [first_key.clone(), second_key.clone()]);
    for (ask, expected) in [
        (
            ListSessions {
                role: Some("reader".into()),
                ..ask()
            },
            vec![first_key],
        ),
        (
            ListSessions {
                role: Some(second.role_arn.clone()),
                ..ask()
            },
            vec![second_key],
        ),
        (
            ListSessions {
                subject: Some("web-2".into()),
                ..ask()
            },
            vec![second_key],
        ),
        (
            ListSessions {
                subject: Some("web-*".into()),
                ..ask()
            },
            vec![first_key, second_key],
        ),
        (
            ListSessions {
                certificate: Some(format!("0x{}", holder.issued.serial)),
                ..ask()
            },
            vec![first_key],
        ),
        (
            ListSessions {
                source_identity: Some(second.source_identity.clone()),
                ..ask()
            },
            vec![second_key],
        ),
        (
            ListSessions {
                via: Some("create-session".into()),
                ..ask()
            },
            vec![first_key, second_key],
        ),
        (
            ListSessions {
                via: Some("saml".into()),
                ..ask()
            },
            vec![],
        ),
        (
            ListSessions {
                profile: Some("default".into()),
                ..ask()
            },
            vec![first_key, second_key],
        ),
        (
            ListSessions {
                profile: Some("operators".into()),
                ..ask()
            },
            vec![],
        ),
        (
            ListSessions {
                trust_anchor: Some("operators".into()),
                ..ask()
            },
            vec![],
        ),
        (
            ListSessions {
                limit: Some(1),
                ..ask()
            },
            vec![first_key],
        ),
    ] {
        let text = format!("{ask:?}");
        let expected: Vec<String> = expected.into_iter().cloned().collect();
        assert_eq!(keys(ask), expected, "{text}");
    }
}

#[test]
fn what_is_not_there_is_an_error_and_what_was_deleted_goes_by_its_arn() {
    let world = World::new();
    let (holder, first) = reader(&world);
    let ask = ListSessions::default;
    let role = |role: &str| ListSessions {
        role: Some(role.into()),
        ..ask()
    };
    let provider = |provider: &str| ListSessions {
        provider: Some(provider.into()),
        ..ask()
    };
    let certificate = |certificate: &str| ListSessions {
        certificate: Some(certificate.into()),
        ..ask()
    };
    for (ask, code) in [
        (role("nosuch"), "role_unknown"),
        (provider("nosuch"), "provider_unknown"),
        (certificate("nosuch"), "certificate_unknown"),
        (certificate(&"ab".repeat(32)), "certificate_unknown"),
    ] {
        let text = format!("{ask:?}");
        let error = ask
            .run(&world.service, &OPERATOR, &mut Taken::default())
            .unwrap_err();
        assert_eq!(error.code(), code, "{text}");
        if code != "certificate_unknown" {
            assert!(error.to_string().contains("go by its ARN, arn:"), "{error}");
        }
    }
    let revoke = RevokeSessions {
        provider: Some("nosuch".into()),
        reason: "a test".into(),
        ..RevokeSessions::default()
    };
    let error = revoke.run(&world.service, &OPERATOR).unwrap_err();
    assert!(error.to_string().contains("go by its ARN, arn:"), "{error}");

    for name in ["web-1".into(), fingerprint(&holder)] {
        let listed = list(&world, certificate(&name));
        assert_eq!(listed.len(), 1, "{name}");
        assert_eq!(listed[0].access_key_id, first.access_key_id);
    }
    // A deleted role has no name any more; its sessions ended with it, and are still told of.
    DeleteRole {
        role: "reader".into(),
        force: true,
    }
    .run(&world.service, &OPERATOR)
    .unwrap();
    let gone = ListSessions {
        all: true,
        ..role(&first.role_arn)
    };
    assert_eq!(list(&world, gone).len(), 1);
    let error = role("reader").run(&world.service, &OPERATOR, &mut Taken::default());
    assert_eq!(error.unwrap_err().code(), "role_unknown");
    let arn = "arn:aws:iam::000000000000:oidc-provider/ci.example";
    assert!(list(&world, provider(arn)).is_empty());
}

#[test]
fn what_is_over_is_listed_on_demand_and_says_why() {
    let world = World::new();
    let (holder, ended) = reader(&world);
    world.pass(3_601);
    let revoked = world.exchange(&holder, "reader").unwrap();
    let by_key = RevokeSessions {
        sessions: vec![revoked.access_key_id.clone()],
        ..RevokeSessions::default()
    };
    revoke(&world, by_key).unwrap();
    let live = world.exchange(&holder, "reader").unwrap();
    let keys: Vec<String> = list(&world, ListSessions::default())
        .into_iter()
        .map(|session| session.access_key_id)
        .collect();
    assert_eq!(keys, [live.access_key_id]);
    let all = ListSessions {
        all: true,
        ..ListSessions::default()
    };
    let states: Vec<_> = list(&world, all)
        .into_iter()
        .map(|session| (session.access_key_id, session.state.as_str()))
        .collect();
    assert_eq!(states[0], (ended.access_key_id, "ended"));
    assert_eq!(states[1], (revoked.access_key_id, "revoked"));
    assert_eq!(states[2].1, "live");
}

#[test]
fn a_list_reads_no_more_of_the_log_than_sessions_can_be_alive_from() {
    let world = World::new();
    // Events of 2026-10-01, ten days after the home began.
    let (_, old) = reader(&world);
    fill(&*world.store, 3_000);
    world.pass(15 * 24 * 3_600);
    let holder = world.issue("web-9", &["reader"]);
    world.exchange(&holder, "reader").unwrap();
    let mut taken = Taken::default();
    let listed = ListSessions::default()
        .run(&world.service, &OPERATOR, &mut taken)
        .unwrap();
    assert_eq!(listed.listed, 1);
    assert!(listed.examined < 10, "{}", listed.examined);
    let show = ShowSession {
        session: old.access_key_id,
    };
    let error = show.run(&world.service, &OPERATOR).unwrap_err();
    assert_eq!(code(error), "session_unknown");
}
