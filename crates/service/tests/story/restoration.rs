//! Going on from a backup: what was revoked since is revoked again, and no number comes twice.

use std::sync::Arc;

use bowline_service::{
    Caller, Channel, Error, ExportLog, FinishRestore, LogError, Operation, RestoredHome,
    RevocationList, RevocationReason, RevokeCertificate, SessionCredentials, ShowRevocationList,
    Store, Transfer, verify_log,
};
use bowline_store::checkpoint::{Entry, Reader};
use bowline_store::{Commit, MemoryStore, Value};

use crate::log::{Taken, events_of, fill, key_of, story};
use crate::world::World;

/// The bytes of a backup.
fn backup(world: &World) -> Vec<u8> {
    let mut bytes = Vec::new();
    world.store.checkpoint(&mut bytes, &mut |_| {}).unwrap();
    bytes
}

/// A home made from a backup, under the same key.
fn restored(world: &World, backup: &[u8]) -> World {
    let store = Arc::new(MemoryStore::new());
    let mut reader = Reader::open(backup).unwrap();
    while let Some(entry) = reader.next().unwrap() {
        if let Entry::Record(key, value) = entry {
            // Events come in their order, and are numbered as they were.
            let commit = match key.as_bytes().starts_with(b"event/") {
                true => Commit::new().append(key_of("event/"), value),
                false => Commit::new().put(key, value),
            };
            store.commit(commit).unwrap();
        }
    }
    world.on(store)
}

fn list(world: &World) -> RevocationList {
    ShowRevocationList {
        authority: "issuing".into(),
        fresh: true,
    }
    .run(&world.service, &Caller::Operator)
    .unwrap()
}

fn revoke(world: &World, name: &str) {
    RevokeCertificate {
        certificate: name.into(),
        reason: RevocationReason::KeyCompromise,
    }
    .run(&world.service, &Caller::Operator)
    .unwrap();
}

fn finish(world: &World, lists: &[&RevocationList]) -> Result<RestoredHome, Error> {
    FinishRestore {
        last_written_at: None,
        revocation_lists: lists.iter().map(|list| list.der.clone()).collect(),
        accept_rewritten_log: false,
    }
    .run(&world.service, &Caller::Operator)
}

#[test]
fn what_was_revoked_after_the_backup_is_revoked_again() {
    let world = World::new();
    world.role("reader");
    let known = world.issue("web-1", &["reader"]);
    let kept = backup(&world);
    let unknown = world.issue("web-2", &["reader"]);
    revoke(&world, "web-1");
    revoke(&world, "web-2");
    let published = list(&world);

    let again = restored(&world, &kept);
    again.exchange(&known, "reader").unwrap();
    let finished = finish(&again, &[&published]).unwrap();
    assert_eq!(
        (finished.revocations_added, finished.revocations_known),
        (2, 0)
    );
    assert_eq!(finished.locked, None);
    // The backup does not know the second one at all, which is reason enough.
    for (holder, why) in [(&known, "revoked"), (&unknown, "not among those we issued")] {
        let refused = again.exchange(holder, "reader").unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
    // They are on the next list, which comes after every one that was published.
    let next = list(&again);
    assert_eq!(next.entries, 2);
    assert!(
        next.number > published.number + 1_000_000,
        "{}",
        next.number
    );
    // Once more changes nothing.
    let finished = finish(&again, &[&published]).unwrap();
    assert_eq!(
        (finished.revocations_added, finished.revocations_known),
        (0, 2)
    );
}

#[test]
fn no_list_number_comes_twice_however_often_a_backup_is_restored() {
    let world = World::new();
    let kept = backup(&world);
    let mut last = list(&world).number;
    for _ in 0..3 {
        world.pass(1);
        let again = restored(&world, &kept);
        finish(&again, &[]).unwrap();
        for _ in 0..5 {
            let next = list(&again).number;
            assert!(next > last, "{next} after {last}");
            last = next;
        }
    }
}

#[test]
fn a_list_of_somebody_else_revokes_nothing() {
    let world = World::new();
    world.issue("web-1", &[]);
    let kept = backup(&world);
    let mut foreign = list(&world);
    let last = foreign.der.len() - 1;
    foreign.der[last] ^= 1;
    let again = restored(&world, &kept);
    let refused = finish(&again, &[&foreign]).unwrap_err();
    assert!(
        matches!(&refused, Error::RevocationListNotOurs { known, .. } if known.len() == 3),
        "{refused}"
    );
}

#[test]
fn a_restored_home_signs_a_log_of_another_name() {
    let world = World::new();
    let before = world.service.sign_log_checkpoint().unwrap();
    let kept = backup(&world);
    let again = restored(&world, &kept);
    finish(&again, &[]).unwrap();
    let after = again.service.sign_log_checkpoint().unwrap();
    assert_ne!(before.origin, after.origin);
}

#[test]
fn a_backup_with_another_past_than_was_signed_is_refused_unless_it_is_accepted() {
    let world = story();
    fill(&*world.store, 600);
    let before = world.service.sign_log_checkpoint().unwrap();
    let event = |number| key_of("event/").numbered(number).unwrap();
    let refuse = |again: &World, why: &str| {
        let refused = finish(again, &[]).unwrap_err();
        assert_eq!(&*refused.code(), "log_rewritten_in_backup", "{refused}");
        assert!(refused.to_string().contains(why), "{refused}");
    };
    let put = |world: &World, key, value| {
        world.store.commit(Commit::new().put(key, value)).unwrap();
    };
    let delete = |world: &World, key| {
        world.store.commit(Commit::new().delete(key)).unwrap();
    };
    let kept = backup(&world);
    // The last event that was signed, one of the first, and none.
    for number in [before.size, 4] {
        let again = restored(&world, &kept);
        let value = again.store.get(&event(number)).unwrap().unwrap();
        let text = String::from_utf8(value.into_bytes()).unwrap();
        let edited = text.replacen("\"at\":\"20", "\"at\":\"19", 1);
        assert_ne!(text, edited);
        put(&again, event(number), Value::new(edited).unwrap());
        refuse(&again, &format!("one of the events 1 to {}", before.size));
        delete(&again, event(number));
        refuse(
            &again,
            if number == 4 {
                "event 4 is missing"
            } else {
                "there are"
            },
        );
        // What tells of the signature is gone with it.
        for record in ["log-checkpoint-latest", "log-key", "log"] {
            delete(&again, key_of(record));
            refuse(&again, "missing");
        }
    }

    // Accepted, it goes on, and says so for ever.
    let again = restored(&world, &kept);
    delete(&again, event(4));
    let ask = FinishRestore {
        last_written_at: None,
        revocation_lists: Vec::new(),
        accept_rewritten_log: true,
    };
    let accepted = ask.run(&again.service, &Caller::Operator).unwrap();
    let why = accepted.accepted_rewritten_log.unwrap();
    assert!(why.contains("event 4"), "{why}");
    let told = events_of(&again, "home_restored");
    assert_eq!(told[0]["accepted_rewritten_log"], why);

    // One without an end that was signed is restored as it is.
    let again = restored(&world, &kept);
    fill(&*again.store, 3);
    finish(&again, &[]).unwrap();
}

#[test]
fn a_restored_log_is_held_against_checkpoints_from_before() {
    let world = story();
    let earlier = world.service.sign_log_checkpoint().unwrap();
    fill(&*world.store, 300);
    let before = world.service.sign_log_checkpoint().unwrap();
    let kept = backup(&world);
    fill(&*world.store, 1);
    let after = world.service.sign_log_checkpoint().unwrap();

    // Twice, and never signed in between the second time.
    let once = restored(&world, &kept);
    finish(&once, &[]).unwrap();
    let between = once.service.sign_log_checkpoint().unwrap();
    let twice = restored(&once, &backup(&once));
    finish(&twice, &[]).unwrap();
    let again = restored(&twice, &backup(&twice));
    finish(&again, &[]).unwrap();
    let mut taken = Taken::default();
    ExportLog {}
        .run(&again.service, &Caller::Operator, &mut taken)
        .unwrap();
    let key = again.service.log_key().unwrap().unwrap();
    let verify = |note: &str| {
        let mut input = &taken.bytes[..];
        verify_log(&mut input, &key, Some(note), &mut |_| {})
    };
    for note in [&earlier, &before, &between] {
        assert_eq!(verify(&note.note).unwrap().since, Some(note.size));
    }
    // What was signed after the backup contradicts what happened instead.
    assert!(matches!(verify(&after.note), Err(LogError::Tampered(_))));
    let told = events_of(&again, "log_key_created");
    assert_eq!(told.len(), 3);
    assert_eq!(told[1]["follows"], told[0]["vkey"]);
    assert_eq!(told[1]["follows_note"], before.note);
    assert_eq!(told[2]["follows_size"], between.size);
}

#[test]
fn only_the_operator_on_the_machine_finishes_a_restore() {
    let world = World::new();
    let ask = FinishRestore {
        last_written_at: None,
        revocation_lists: Vec::new(),
        accept_rewritten_log: false,
    };
    let refused = ask.run(&world.service, &Caller::Nobody { source: None });
    assert!(matches!(refused, Err(Error::OperatorOnly { .. })));
}

#[test]
fn no_session_of_before_is_good_in_a_restored_home() {
    let world = World::new();
    world.role("reader");
    let holder = world.issue("web-1", &["reader"]);
    let before = world.exchange(&holder, "reader").unwrap();
    let backup = backup(&world);
    let restored = restored(&world, &backup);
    let identify = |credentials: &SessionCredentials| {
        let request = restored.signed_call(credentials);
        let caller = restored.service.identify(&request, &Channel::default());
        caller.map(drop).map_err(|error| error.code().into_owned())
    };
    assert_eq!(identify(&before), Ok(()), "until the home goes on");
    finish(&restored, &[]).unwrap();
    assert!(identify(&before).is_err());
    restored.pass(1);
    let after = restored.exchange(&holder, "reader").unwrap();
    assert_eq!(identify(&after), Ok(()));
}
