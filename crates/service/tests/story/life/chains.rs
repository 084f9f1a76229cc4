//! Sessions that were assumed from others.

use super::*;

use bowline_service::{DeleteRole, GetCallerIdentity, UpdateRole};

/// Takes role `writer` with a session of role `reader`, and role `deleter` with that one.
fn chain(world: &World) -> [SessionCredentials; 3] {
    let arn = |name: &str| format!("arn:aws:iam::000000000000:role/{name}");
    let role = |name: &str, trusts: Option<&str>, takes: &str| {
        let trust_policy = trusts.map(|other| {
            format!(
                r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{}"}},"Action":["sts:AssumeRole","sts:SetSourceIdentity","sts:TagSession"]}}}}"#,
                arn(other)
            )
        });
        let create = CreateRole {
            name: name.into(),
            allow: ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"]
                .map(str::to_owned)
                .to_vec(),
            on: vec![arn(takes)],
            trust_policy,
            ..CreateRole::default()
        };
        create.run(&world.service, &OPERATOR).unwrap();
    };
    role("reader", None, "writer");
    role("writer", Some("reader"), "deleter");
    role("deleter", Some("writer"), "nothing");
    let first = world
        .exchange(&world.issue("web-1", &["reader"]), "reader")
        .unwrap();
    let second = assume(world, &first, &arn("writer"));
    let third = assume(world, &second, &arn("deleter"));
    [first, second, third]
}

fn assume(world: &World, credentials: &SessionCredentials, role: &str) -> SessionCredentials {
    let mut request = WireRequest {
        method: "POST".into(),
        target: "/".into(),
        headers: vec![("host".into(), "sts.test".into())],
        body: Vec::new(),
    };
    let now = world.clock.now();
    sign_request(&mut request, credentials, "us-east-1", "sts", now).unwrap();
    let channel = Channel::default();
    let caller = world.service.identify_for_sts(&request, &channel).unwrap();
    let assume = AssumeRole {
        role_arn: role.into(),
        role_session_name: "further".into(),
        ..AssumeRole::default()
    };
    let assumed = assume.run(&world.service, &caller).unwrap().credentials;
    SessionCredentials {
        access_key_id: assumed.access_key_id,
        secret_access_key: assumed.secret_access_key,
        session_token: assumed.session_token,
        expiration: assumed.expiration,
        ..credentials.clone()
    }
}

#[test]
fn what_was_assumed_from_a_session_ends_with_it() {
    let role = |name: &str| RevokeSessions {
        role: Some(name.into()),
        ..RevokeSessions::default()
    };
    // What is revoked, and which of the three end.
    let session = |at: usize| {
        move |all: &[SessionCredentials; 3]| RevokeSessions {
            sessions: vec![all[at].access_key_id.clone()],
            ..RevokeSessions::default()
        }
    };
    type Ask = Box<dyn Fn(&[SessionCredentials; 3]) -> RevokeSessions>;
    let cases: Vec<(Ask, [bool; 3])> = vec![
        (Box::new(session(0)), [true, true, true]),
        (Box::new(session(1)), [false, true, true]),
        (Box::new(session(2)), [false, false, true]),
        (Box::new(move |_| role("reader")), [true, true, true]),
        (Box::new(move |_| role("writer")), [false, true, true]),
        (
            Box::new(|_| RevokeSessions {
                profile: Some("default".into()),
                ..RevokeSessions::default()
            }),
            [true, true, true],
        ),
        (
            Box::new(|_| RevokeSessions {
                certificate: Some("web-1".into()),
                ..RevokeSessions::default()
            }),
            [true, true, true],
        ),
        (
            Box::new(|_| RevokeSessions {
                subject: Some("CN=web-1,OU=reader".into()),
                ..RevokeSessions::default()
            }),
            [true, true, true],
        ),
    ];
    for (at, (ask, ends)) in cases.into_iter().enumerate() {
        let world = World::new();
        let replica = world.on(world.store.clone());
        let all = chain(&world);
        for credentials in &all {
            accepted(&replica, credentials).unwrap();
        }
        world.pass(1);
        revoke(&world, ask(&all)).unwrap();
        for (credentials, ends) in all.iter().zip(ends) {
            let expected = if ends {
                refused("session_revoked")
            } else {
                Ok(())
            };
            assert_eq!(accepted(&replica, credentials), expected, "case {at}");
            let state = show(&replica, credentials).state;
            assert_eq!(state == SessionState::Revoked, ends, "case {at}");
        }
    }
}

#[test]
fn a_mark_between_a_session_and_what_was_assumed_from_it_ends_both() {
    let world = World::new();
    let [first, ..] = chain(&world);
    let end = world.clock.now();
    world.pass(10);
    let later = assume(&world, &first, "arn:aws:iam::000000000000:role/writer");
    let profile = RevokeSessions {
        profile: Some("default".into()),
        older_than: Some(Moment::At(end)),
        ..RevokeSessions::default()
    };
    revoke(&world, profile).unwrap();
    assert_eq!(accepted(&world, &first), refused("session_revoked"));
    assert_eq!(accepted(&world, &later), refused("session_revoked"));
    assert_eq!(show(&world, &later).ended_by.as_deref(), Some("parent"));
}

#[test]
fn a_chain_ends_with_its_certificate() {
    let world = World::new();
    let [.., last] = chain(&world);
    let shown = show(&world, &last);
    assert_eq!(
        (shown.via.as_str(), shown.parent.is_some()),
        ("assume-role", true)
    );
    let revoke = RevokeCertificate {
        certificate: "web-1".into(),
        reason: RevocationReason::KeyCompromise,
    };
    revoke.run(&world.service, &OPERATOR).unwrap();
    assert_eq!(
        accepted(&world, &last),
        refused("session_ended_by_revocation")
    );
}

#[test]
fn what_was_assumed_from_a_role_that_is_gone_or_disabled_is_over() {
    type Change = fn(&World);
    let cases: [(Change, &str); 3] = [
        (|world| enable(world, false), "role_disabled"),
        (delete, "session_role_gone"),
        (
            |world| {
                delete(world);
                world.role("reader");
            },
            "role_recreated",
        ),
    ];
    for (change, expected) in cases {
        let world = World::new();
        let replica = world.on(world.store.clone());
        let [_, second, third] = chain(&world);
        accepted(&replica, &third).unwrap();
        world.pass(1);
        change(&world);
        for credentials in [&second, &third] {
            assert_eq!(accepted(&world, credentials), refused(expected));
            assert_eq!(accepted(&replica, credentials), refused(expected));
            assert_eq!(show(&world, credentials).state, SessionState::Revoked);
        }
    }
    // As with the role's own sessions, disabling is not for good.
    let world = World::new();
    let [_, second, _] = chain(&world);
    enable(&world, false);
    enable(&world, true);
    accepted(&world, &second).unwrap();
}

fn enable(world: &World, enabled: bool) {
    let update = UpdateRole {
        role: "reader".into(),
        enabled: Some(enabled),
        ..UpdateRole::default()
    };
    update.run(&world.service, &OPERATOR).unwrap();
}

fn delete(world: &World) {
    let delete = DeleteRole {
        role: "reader".into(),
        force: true,
    };
    delete.run(&world.service, &OPERATOR).unwrap();
}

#[test]
fn the_identity_of_a_disabled_role_is_told_to_nobody() {
    let world = World::new();
    let (_, credentials) = reader(&world);
    let caller = world
        .service
        .identify(&world.signed_call(&credentials), &Channel::default())
        .unwrap();
    GetCallerIdentity {}.run(&world.service, &caller).unwrap();
    enable(&world, false);
    let refusal = GetCallerIdentity {}.run(&world.service, &caller);
    assert_eq!(code(refusal.unwrap_err()), "role_disabled");
}
