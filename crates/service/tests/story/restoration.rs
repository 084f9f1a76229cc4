//! Going on from a backup: what was revoked since is revoked again, and no number comes twice.

use std::sync::Arc;

use bowline_service::{
    Caller, Error, FinishRestore, Operation, RestoredHome, RevocationList, RevocationReason,
    RevokeCertificate, ShowRevocationList, Store,
};
use bowline_store::checkpoint::{Entry, Reader};
use bowline_store::{Commit, MemoryStore};

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
        if let Entry::Record(key, value) = entry
            && !key.as_bytes().starts_with(b"event/")
        {
            store.commit(Commit::new().put(key, value)).unwrap();
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
fn only_the_operator_on_the_machine_finishes_a_restore() {
    let world = World::new();
    let ask = FinishRestore {
        last_written_at: None,
        revocation_lists: Vec::new(),
    };
    let refused = ask.run(&world.service, &Caller::Nobody { source: None });
    assert!(matches!(refused, Err(Error::OperatorOnly { .. })));
}
