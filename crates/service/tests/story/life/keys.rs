//! The session keys, on every process that shares the store.

use super::*;

fn key_states(world: &World) -> Vec<(u8, &'static str)> {
    let list = ListSessionKeys {}.run(&world.service, &OPERATOR).unwrap();
    let keys = list.keys.iter().map(|key| (key.key, key.state.as_str()));
    keys.collect()
}

/// The id of the key that made credentials: the first eight of the bits behind `ASIA`.
fn sealed_by(credentials: &SessionCredentials) -> u8 {
    let digit = |at: usize| match credentials.access_key_id.as_bytes()[at] {
        letter @ b'A'..=b'Z' => letter - b'A',
        figure => figure - b'2' + 26,
    };
    digit(4) << 3 | digit(5) >> 2
}

#[test]
fn a_new_key_seals_and_the_old_one_opens_until_its_last_session_has_ended() {
    let world = World::new();
    let replica = world.on(world.store.clone());
    let (holder, old) = reader(&world);
    accepted(&replica, &old).unwrap();
    assert_eq!(key_states(&world), [(1, "active")]);

    let published = PublishSessionKey {}.run(&world.service, &OPERATOR).unwrap();
    assert_eq!(published.key, 2);
    let before = world.exchange(&holder, "reader").unwrap();
    assert_eq!(sealed_by(&before), 1, "not used yet");

    let activate = ActivateSessionKey::default();
    activate.run(&world.service, &OPERATOR).unwrap();
    assert_eq!(key_states(&replica), [(1, "retiring"), (2, "active")]);
    // The other process seals with the new key at once, and each opens both.
    let new = replica.exchange(&holder, "reader").unwrap();
    assert_eq!((sealed_by(&old), sealed_by(&new)), (1, 2));
    for (world, credentials) in [
        (&world, &new),
        (&replica, &new),
        (&world, &old),
        (&replica, &old),
    ] {
        accepted(world, credentials).unwrap();
    }

    let retire = || RetireSessionKey { key: 1, now: false };
    let refusal = retire().run(&world.service, &OPERATOR).unwrap_err();
    assert_eq!(code(refusal), "session_key_in_use");
    let active = RetireSessionKey { key: 2, now: false };
    let refusal = active.run(&world.service, &OPERATOR).unwrap_err();
    assert_eq!(code(refusal), "session_key_active");
    world.pass(37 * 3_600 + 1);
    retire().run(&world.service, &OPERATOR).unwrap();
    assert_eq!(key_states(&replica), [(2, "active")]);
    // One that had opened it before remembers its end; another does not know its key.
    assert_eq!(accepted(&replica, &old), refused("session_expired"));
    let fresh = world.on(world.store.clone());
    assert_eq!(accepted(&fresh, &old), refused("unknown_session_key"));
    for kind in [
        "session_key_published",
        "session_key_activated",
        "session_key_retired",
    ] {
        assert_eq!(events_of(&world, kind).len(), 1, "{kind}");
    }
}

#[test]
fn dropping_the_active_key_ends_every_session_at_once_and_another_seals() {
    let world = World::new();
    let replica = world.on(world.store.clone());
    let (holder, old) = reader(&world);
    accepted(&replica, &old).unwrap();
    let drop = RetireSessionKey { key: 1, now: true };
    let dropped = drop.run(&world.service, &OPERATOR).unwrap();
    assert_eq!(dropped.keys.len(), 1);
    assert_eq!(key_states(&replica), [(2, "active")]);
    assert_eq!(accepted(&replica, &old), refused("unknown_session_key"));
    assert_eq!(accepted(&world, &old), refused("unknown_session_key"));
    accepted(&world, &replica.exchange(&holder, "reader").unwrap()).unwrap();
    let shown = show(&world, &old);
    assert_eq!(
        (shown.state, shown.ended_by.as_deref()),
        (SessionState::Revoked, Some("key"))
    );
    let event = &events_of(&world, "session_key_dropped")[0];
    assert_eq!(
        (&event["key"], &event["replaced_by"]),
        (&1.into(), &2.into())
    );
}

#[test]
fn no_event_and_no_answer_holds_a_session_key() {
    let world = World::new();
    for answer in [
        serde_json::to_string(&PublishSessionKey {}.run(&world.service, &OPERATOR).unwrap()),
        serde_json::to_string(&ListSessionKeys {}.run(&world.service, &OPERATOR).unwrap()),
    ] {
        let answer = answer.unwrap();
        assert!(!answer.contains("root") && answer.len() < 400, "{answer}");
    }
}
