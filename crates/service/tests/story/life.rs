//! What ends sessions before their time, on every process that shares the store; which sessions there are; and the keys.

mod chains;
mod keys;
mod lists;
mod requests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bowline_service::{
    ActivateSessionKey, AssumeRole, Caller, Channel, Clock, CreateRole, Error, ListSessionKeys,
    ListSessions, Moment, Operation, Progress, PublishSessionKey, RetireSessionKey,
    RevocationReason, RevokeCertificate, RevokeSessions, SessionCredentials, SessionState,
    SessionView, ShowSession, Transfer, UpdateProfile, UpdateTrustAnchor, WireRequest,
    sign_request,
};
use bowline_store::{Commit, Committed, Key, MemoryStore, Store, StoreError, Value};

use crate::OPERATOR;
use crate::log::{Taken, events_of, fill, key_of};
use crate::world::{Holder, World};

/// Whether credentials are accepted; the code of the refusal, if not.
fn accepted(world: &World, credentials: &SessionCredentials) -> Result<(), String> {
    accepted_over(world, credentials, &Channel::default())
}

fn accepted_over(
    world: &World,
    credentials: &SessionCredentials,
    channel: &Channel,
) -> Result<(), String> {
    let request = world.signed_call(credentials);
    let caller = world.service.identify(&request, channel);
    caller.map(drop).map_err(code)
}

fn code(error: Error) -> String {
    error.code().into_owned()
}

fn refused(code: &str) -> Result<(), String> {
    Err(code.into())
}

fn revoke(world: &World, ask: RevokeSessions) -> Result<Vec<String>, String> {
    let ask = RevokeSessions {
        reason: "test".into(),
        ..ask
    };
    let answer = ask.run(&world.service, &OPERATOR);
    answer.map(|answer| answer.ids).map_err(code)
}

fn list(world: &World, ask: ListSessions) -> Vec<SessionView> {
    let mut taken = Taken::default();
    let listed = ask.run(&world.service, &OPERATOR, &mut taken).unwrap();
    let sessions: Vec<SessionView> = taken
        .bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(listed.listed, sessions.len() as u64);
    sessions
}

/// The session that credentials belong to, as it is shown.
fn show(world: &World, credentials: &SessionCredentials) -> SessionView {
    let show = ShowSession {
        session: credentials.access_key_id.clone(),
    };
    show.run(&world.service, &OPERATOR).unwrap()
}

fn reader(world: &World) -> (Holder, SessionCredentials) {
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    let credentials = world.exchange(&holder, "reader").unwrap();
    (holder, credentials)
}

/// Ends sessions in one process, and finds them ended in another that had let them in before.
fn check_ends(what: impl Fn(&Holder, &SessionCredentials, &World) -> RevokeSessions, by: &str) {
    let world = World::new();
    let replica = world.on(world.store.clone());
    let (holder, credentials) = reader(&world);
    accepted(&world, &credentials).unwrap();
    accepted(&replica, &credentials).unwrap();
    assert_eq!(show(&world, &credentials).state, SessionState::Live);

    revoke(&world, what(&holder, &credentials, &world)).unwrap();
    let expected = match by {
        "anchor" => "session_ended_by_anchor",
        _ => "session_revoked",
    };
    assert_eq!(accepted(&world, &credentials), refused(expected), "{by}");
    assert_eq!(accepted(&replica, &credentials), refused(expected), "{by}");
    let shown = show(&replica, &credentials);
    assert_eq!(
        (shown.state, shown.ended_by.as_deref()),
        (SessionState::Revoked, Some(by))
    );

    // What begins later is let in.
    world.pass(1);
    let later = world.exchange(&holder, "reader").unwrap();
    accepted(&world, &later).unwrap();
    accepted(&replica, &later).unwrap();
    assert_eq!(show(&replica, &later).state, SessionState::Live);
    assert_eq!(accepted(&world, &credentials), refused(expected), "{by}");
    assert_eq!(events_of(&world, "sessions_ended").len(), 1);
}

#[test]
fn a_session_ends_by_its_id_and_by_its_access_key() {
    let by_id = |_: &Holder, credentials: &SessionCredentials, world: &World| RevokeSessions {
        sessions: vec![show(world, credentials).session],
        ..RevokeSessions::default()
    };
    check_ends(by_id, "session");
    let by_key = |_: &Holder, credentials: &SessionCredentials, _: &World| RevokeSessions {
        sessions: vec![credentials.access_key_id.clone()],
        ..RevokeSessions::default()
    };
    check_ends(by_key, "session");
}

#[test]
fn the_sessions_of_a_role_end_together() {
    let role = |_: &Holder, _: &SessionCredentials, _: &World| RevokeSessions {
        role: Some("reader".into()),
        ..RevokeSessions::default()
    };
    check_ends(role, "role");
}

#[test]
fn the_sessions_of_a_profile_end_together() {
    let profile = |_: &Holder, _: &SessionCredentials, world: &World| RevokeSessions {
        profile: Some(world.made.profile.clone()),
        ..RevokeSessions::default()
    };
    check_ends(profile, "profile");
}

#[test]
fn the_sessions_of_a_trust_anchor_end_together() {
    let anchor = |_: &Holder, _: &SessionCredentials, _: &World| RevokeSessions {
        trust_anchor: Some("default".into()),
        ..RevokeSessions::default()
    };
    check_ends(anchor, "anchor");
}

#[test]
fn the_sessions_of_a_subject_end_together() {
    let by_name = |_: &Holder, _: &SessionCredentials, _: &World| RevokeSessions {
        subject: Some("CN=web-1,OU=reader".into()),
        ..RevokeSessions::default()
    };
    check_ends(by_name, "subject");
    let by_arn = |_: &Holder, credentials: &SessionCredentials, _: &World| RevokeSessions {
        subject: Some(credentials.subject_arn.clone()),
        ..RevokeSessions::default()
    };
    check_ends(by_arn, "subject");
}

#[test]
fn the_sessions_of_a_certificate_end_together() {
    let by_serial = |holder: &Holder, _: &SessionCredentials, _: &World| RevokeSessions {
        certificate: Some(format!("0x{}", holder.issued.serial)),
        ..RevokeSessions::default()
    };
    check_ends(by_serial, "certificate");
    let by_name = |_: &Holder, _: &SessionCredentials, _: &World| RevokeSessions {
        certificate: Some("web-1".into()),
        ..RevokeSessions::default()
    };
    check_ends(by_name, "certificate");
    let by_fingerprint = |holder: &Holder, _: &SessionCredentials, _: &World| RevokeSessions {
        certificate: Some(fingerprint(holder)),
        ..RevokeSessions::default()
    };
    check_ends(by_fingerprint, "certificate");
}

fn fingerprint(holder: &Holder) -> String {
    let sha256 = &aws_lc_rs::digest::SHA256;
    hex::encode(aws_lc_rs::digest::digest(
        sha256,
        &holder.issued.certificate,
    ))
}

#[test]
fn all_sessions_end_together() {
    let all = |_: &Holder, _: &SessionCredentials, _: &World| RevokeSessions {
        all: true,
        ..RevokeSessions::default()
    };
    check_ends(all, "all");
}

#[test]
fn sessions_that_began_after_a_time_are_spared() {
    let world = World::new();
    let (holder, old) = reader(&world);
    world.pass(100);
    let middle = world.exchange(&holder, "reader").unwrap();
    let end = world.clock.now();
    world.pass(1);
    let young = world.exchange(&holder, "reader").unwrap();
    let ask = |until| RevokeSessions {
        role: Some("reader".into()),
        older_than: Some(Moment::At(until)),
        ..RevokeSessions::default()
    };
    revoke(&world, ask(end)).unwrap();
    assert_eq!(accepted(&world, &old), refused("session_revoked"));
    // Whole seconds: one of the same second may have begun before.
    assert_eq!(accepted(&world, &middle), refused("session_revoked"));
    accepted(&world, &young).unwrap();
    // A later mark of an earlier time gives nobody back.
    revoke(&world, ask(end - chrono::TimeDelta::seconds(50))).unwrap();
    assert_eq!(accepted(&world, &middle), refused("session_revoked"));
}

#[test]
fn sessions_of_a_clock_that_was_ahead_end_too() {
    let by_role = |world: &World| {
        let ask = RevokeSessions {
            role: Some("reader".into()),
            ..RevokeSessions::default()
        };
        revoke(world, ask).unwrap();
    };
    let by_anchor = |world: &World| {
        for enabled in [false, true] {
            let update = UpdateTrustAnchor {
                trust_anchor: "default".into(),
                bundle: None,
                enabled: Some(enabled),
            };
            update.run(&world.service, &OPERATOR).unwrap();
        }
    };
    type End = fn(&World);
    let ends: [(End, &str); 2] = [
        (by_role, "session_revoked"),
        (by_anchor, "session_ended_by_anchor"),
    ];
    for (end, expected) in ends {
        let world = World::new();
        let (_, credentials) = reader(&world);
        // The clock is set right, by less than makes it doubtful.
        world.pass(-30);
        end(&world);
        assert_eq!(accepted(&world, &credentials), refused(expected));
    }
}

#[test]
fn neighbours_live_on() {
    let world = World::new();
    let (_, ended) = reader(&world);
    world.role("writer");
    let other = world.issue("web-2", &["writer"]);
    let living = world.exchange(&other, "writer").unwrap();
    let by_role = RevokeSessions {
        role: Some("reader".into()),
        ..RevokeSessions::default()
    };
    revoke(&world, by_role).unwrap();
    let by_name = RevokeSessions {
        certificate: Some("web-1".into()),
        ..RevokeSessions::default()
    };
    revoke(&world, by_name).unwrap();
    assert!(accepted(&world, &ended).is_err());
    accepted(&world, &living).unwrap();
}

#[test]
fn what_names_nothing_or_two_things_ends_nothing() {
    let world = World::new();
    let (_, credentials) = reader(&world);
    let ahead = world.clock.now() + chrono::TimeDelta::seconds(1);
    let role = || RevokeSessions {
        role: Some("reader".into()),
        ..RevokeSessions::default()
    };
    for (ask, expected) in [
        (RevokeSessions::default(), "session_scopes_named"),
        (
            RevokeSessions {
                all: true,
                ..role()
            },
            "session_scopes_named",
        ),
        (
            RevokeSessions {
                older_than: Some(Moment::At(ahead)),
                ..role()
            },
            "session_end_ahead",
        ),
        (
            RevokeSessions {
                sessions: vec![credentials.access_key_id.clone()],
                older_than: Some(Moment::In(-1)),
                ..RevokeSessions::default()
            },
            "session_end_time",
        ),
        (
            RevokeSessions {
                sessions: vec!["ASIANOTHERE".into()],
                ..RevokeSessions::default()
            },
            "session_unknown",
        ),
        (
            RevokeSessions {
                sessions: vec![credentials.access_key_id.clone(); 25],
                ..RevokeSessions::default()
            },
            "session_names_limit",
        ),
        (
            RevokeSessions {
                role: Some("nobody".into()),
                ..RevokeSessions::default()
            },
            "role_unknown",
        ),
        (
            RevokeSessions {
                subject: Some("CN=nobody".into()),
                ..RevokeSessions::default()
            },
            "subject_unknown",
        ),
        (
            RevokeSessions {
                certificate: Some("nobody".into()),
                ..RevokeSessions::default()
            },
            "certificate_unknown",
        ),
    ] {
        let text = format!("{ask:?}");
        assert_eq!(revoke(&world, ask), Err(expected.into()), "{text}");
    }
    let silent = role().run(&world.service, &OPERATOR);
    assert_eq!(code(silent.unwrap_err()), "session_end_reason");
    accepted(&world, &credentials).unwrap();
}

#[test]
fn who_may_end_sessions_is_decided_by_policies() {
    let world = World::new();
    let (_, credentials) = reader(&world);
    let caller = world
        .service
        .identify(&world.signed_call(&credentials), &Channel::default())
        .unwrap();
    let stranger = Caller::Nobody { source: None };
    for (caller, expected) in [
        (&caller, "not_authorized"),
        (&stranger, "credentials_needed"),
    ] {
        // Nobody learns what exists.
        for role in ["reader", "nobody"] {
            let ask = RevokeSessions {
                role: Some(role.into()),
                reason: "test".into(),
                ..RevokeSessions::default()
            };
            assert_eq!(code(ask.run(&world.service, caller).unwrap_err()), expected);
        }
        let mut taken = Taken::default();
        let list = ListSessions::default().run(&world.service, caller, &mut taken);
        assert_eq!(code(list.unwrap_err()), expected);
        let keys = ListSessionKeys {}.run(&world.service, caller);
        assert_eq!(code(keys.unwrap_err()), expected);
    }
    accepted(&world, &credentials).unwrap();
}

#[test]
fn a_mark_of_an_earlier_program_still_holds() {
    let world = World::new();
    let (holder, credentials) = reader(&world);
    let id = world.made.trust_anchor.rsplit('/').next().unwrap();
    let now = bowline_service::format_time(world.clock.now());
    let mark = Value::new(format!("\x01{{\"until\":\"{now}\"}}")).unwrap();
    let commit = Commit::new().put(key_of(&format!("trust-anchor-ended/{id}")), mark);
    world.store.commit(commit).unwrap();
    // A program of today never writes it: it was there when the process began.
    let today = world.on(world.store.clone());
    assert_eq!(
        accepted(&today, &credentials),
        refused("session_ended_by_anchor")
    );
    world.pass(1);
    accepted(&today, &today.exchange(&holder, "reader").unwrap()).unwrap();
}

#[test]
fn disabling_an_anchor_ends_its_sessions_on_every_replica_and_for_good() {
    let world = World::new();
    let replica = world.on(world.store.clone());
    let (_, credentials) = reader(&world);
    accepted(&replica, &credentials).unwrap();
    for enabled in [false, true] {
        let update = UpdateTrustAnchor {
            trust_anchor: "default".into(),
            bundle: None,
            enabled: Some(enabled),
        };
        update.run(&world.service, &OPERATOR).unwrap();
        assert_eq!(
            accepted(&replica, &credentials),
            refused("session_ended_by_anchor")
        );
    }
}

#[test]
fn revoking_a_certificate_ends_its_sessions_on_every_replica() {
    let world = World::new();
    let replica = world.on(world.store.clone());
    let (_, credentials) = reader(&world);
    accepted(&replica, &credentials).unwrap();
    let revoke = RevokeCertificate {
        certificate: "web-1".into(),
        reason: RevocationReason::KeyCompromise,
    };
    revoke.run(&world.service, &OPERATOR).unwrap();
    assert_eq!(
        accepted(&replica, &credentials),
        refused("session_ended_by_revocation")
    );
    let shown = show(&replica, &credentials);
    assert_eq!(
        (shown.state, shown.ended_by.as_deref()),
        (SessionState::Revoked, Some("certificate"))
    );
}

fn marks(world: &World) -> Vec<Key> {
    let page = world
        .store
        .scan(&key_of("session-end/"), None, 1_000)
        .unwrap();
    page.into_iter().map(|(key, _)| key).collect()
}

#[test]
fn marks_go_when_no_session_can_be_alive_under_them() {
    let world = World::new();
    let (holder, credentials) = reader(&world);
    let session = |credentials: &SessionCredentials| RevokeSessions {
        sessions: vec![credentials.access_key_id.clone()],
        ..RevokeSessions::default()
    };
    revoke(&world, session(&credentials)).unwrap();
    let first = marks(&world);
    world.pass(36 * 3_600);
    let holder = match world.exchange(&holder, "reader") {
        Ok(_) => holder,
        Err(_) => world.issue("web-1", &["reader"]),
    };
    let second = world.exchange(&holder, "reader").unwrap();
    revoke(&world, session(&second)).unwrap();
    assert_eq!(marks(&world).len(), 2, "an hour of margin");
    world.pass(3_601);
    let holder = world.issue("web-2", &["reader"]);
    revoke(&world, session(&world.exchange(&holder, "reader").unwrap())).unwrap();
    let left = marks(&world);
    assert_eq!(left.len(), 2);
    assert!(!left.contains(&first[0]));
}

#[test]
fn the_number_of_marks_is_limited_and_a_role_still_ends() {
    let world = World::new();
    let (_, credentials) = reader(&world);
    let now = bowline_service::format_time(world.clock.now());
    let mark = Value::new(format!("\x01{{\"until\":\"{now}\",\"at\":\"{now}\"}}")).unwrap();
    for start in (0..10_000_u32).step_by(50) {
        let commit = (start..start + 50).fold(Commit::new(), |commit, n| {
            let key = key_of(&format!("session-end/session/{n:032x}"));
            commit.put(key, mark.clone())
        });
        world.store.commit(commit).unwrap();
    }
    let session = RevokeSessions {
        sessions: vec![credentials.access_key_id.clone()],
        ..RevokeSessions::default()
    };
    assert_eq!(
        revoke(&world, session.clone()),
        Err("session_ends_limit".into())
    );
    accepted(&world, &credentials).unwrap();
    let role = RevokeSessions {
        role: Some("reader".into()),
        ..RevokeSessions::default()
    };
    revoke(&world, role).unwrap();
    assert_eq!(accepted(&world, &credentials), refused("session_revoked"));
}
