//! A disk with too little room.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bowline_store::{Commit, Store, StoreError};

use super::disk::TestDisk;
use super::{key, open_on, put, reopen, value};
use crate::committer::Answer;
use crate::lock::{HomeLock, IndexState};
use crate::{Action, SledOptions, SledStore};

#[test]
fn a_disk_with_little_room_refuses_commits_and_goes_on_reading() {
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let store = open_on(home.path(), &disk);
    store.commit(put("a", "1")).unwrap();
    let reserve = SledOptions::server().reserve_bytes;
    disk.0.free.store(reserve - 1, Ordering::SeqCst);
    let answers = in_one_group_without_sync(&store, ["b", "b"].map(|name| put(name, "1")));
    for full in answers {
        assert!(
            matches!(&full, Err(StoreError::Unavailable { reason }) if reason.contains("disk is full")),
            "{full:?}"
        );
    }
    assert_eq!(store.get(&key("a")), Ok(Some(value("1"))));
    assert_eq!(store.get(&key("b")), Ok(None));
    drop(store);
    let store = open_on(home.path(), &disk);
    assert_eq!(store.opening().actions, [], "it opens all the same");
    disk.0.free.store(reserve, Ordering::SeqCst);
    store.commit(put("b", "2")).unwrap();
}

#[test]
fn what_takes_away_uses_the_reserve_and_what_comes_with_it_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let store = open_on(home.path(), &disk);
    let reserve = SledOptions::server().reserve_bytes;
    disk.0.free.store(reserve - 1, Ordering::SeqCst);
    let on_first = |commit: Commit| commit.expect_equals(key("first"), value("1"));
    // All in one group: it is held until the last of them has come.
    let before = disk.syncs();
    disk.hold();
    let held = store.queue(put("held", "1").from_reserve()).unwrap();
    disk.wait_for_sync(before);
    let answers = [
        put("first", "1"),
        put("taken", "1").from_reserve(),
        put("first", "2"),
        on_first(put("rests", "1")).from_reserve(),
    ]
    .map(|commit| store.queue(commit).unwrap());
    disk.release();
    held.recv().unwrap().unwrap();
    let [first, taken, again, rests] = answers.map(|answered| answered.recv().unwrap());
    for full in [first, again] {
        assert!(
            matches!(&full, Err(StoreError::Unavailable { reason }) if reason.contains("disk is full")),
            "{full:?}"
        );
    }
    taken.unwrap();
    assert_eq!(rests, Err(StoreError::Conflict { key: key("first") }));
    drop(store);
    // What was refused is not in the journal either, and what was taken is.
    disk.0.free.store(reserve / 4, Ordering::SeqCst);
    let store = open_on(home.path(), &disk);
    assert_eq!(store.get(&key("first")), Ok(None));
    assert_eq!(store.get(&key("taken")), Ok(Some(value("1"))));
}

#[test]
fn what_takes_away_leaves_a_quarter_of_the_reserve() {
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let store = open_on(home.path(), &disk);
    let last = SledOptions::server().reserve_bytes / 4;
    disk.0.free.store(last - 1, Ordering::SeqCst);
    let full = store.commit(put("a", "1").from_reserve());
    assert!(
        matches!(&full, Err(StoreError::Unavailable { reason }) if reason.contains(&last.to_string())),
        "{full:?}"
    );
    disk.0.free.store(last, Ordering::SeqCst);
    // The index has what was committed so far, so that nothing beside it is counted.
    store.pending().wait_until_applied();
    store.commit(put("a", "1").from_reserve()).unwrap();
}

fn in_one_group_without_sync<const N: usize>(
    store: &SledStore,
    commits: [Commit; N],
) -> [Answer; N] {
    let submitted = commits.map(|commit| store.queue(commit).unwrap());
    submitted.map(|answered| answered.recv().unwrap())
}

#[test]
fn a_small_reserve_can_be_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    disk.0.free.store(1_000_000, Ordering::SeqCst);
    let options = SledOptions {
        reserve_bytes: 1_000_000,
        ..SledOptions::server()
    };
    let store = SledStore::open_with(home.path(), &options, Arc::new(disk)).unwrap();
    store.commit(put("a", "1")).unwrap();
}

#[test]
fn a_full_disk_keeps_the_old_index_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    drop(reopen(home.path()));
    let disk = TestDisk::default();
    disk.0.free.store(0, Ordering::SeqCst);
    std::fs::write(home.path().join("lock"), "").unwrap();
    for _ in 0..2 {
        let disk = Arc::new(disk.clone());
        let error = SledStore::open_with(home.path(), &SledOptions::server(), disk).unwrap_err();
        assert!(error.to_string().contains("disk is full"), "{error}");
        assert!(home.path().join("index/db").exists());
    }
}

/// Fills the disk after each number of questions for its room, which all lie before sled writes.
#[test]
fn an_index_half_made_when_the_disk_was_full_is_not_believed() {
    let home = tempfile::tempdir().unwrap();
    let store = reopen(home.path());
    let text = "x".repeat(60_000);
    for n in 0..200 {
        store.commit(put(&format!("k{n}"), &text)).unwrap();
    }
    drop(store);
    std::fs::remove_dir_all(home.path().join("index")).unwrap();
    let mut refused = 0;
    let store = loop {
        let disk = TestDisk::default();
        disk.0.free_answers.store(refused, Ordering::SeqCst);
        match SledStore::open_with(home.path(), &SledOptions::server(), Arc::new(disk)) {
            Ok(store) => break store,
            Err(error) => assert!(error.to_string().contains("disk is full"), "{error}"),
        }
        if refused > 0 {
            let (lock, _) = HomeLock::take(home.path()).unwrap();
            assert_eq!(lock.index(), &IndexState::Damaged, "{refused}");
        }
        refused += 1;
    };
    assert!(
        refused > 2,
        "{refused}: before it was begun, and twice within"
    );
    let actions = &store.opening().actions;
    assert!(
        matches!(&actions[..], [Action::RebuiltIndex { commits: 200, .. }]),
        "{actions:?}"
    );
    assert!(store.get(&key("k199")).unwrap().is_some());
    drop(store);
    assert_eq!(reopen(home.path()).opening().actions, [], "once");
}

#[test]
fn a_disk_too_full_for_commits_takes_a_backup_and_an_examination() {
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let store = open_on(home.path(), &disk);
    let text = "x".repeat(60_000);
    // More than is sorted in memory.
    for n in 0..320 {
        store.commit(put(&format!("k{n}"), &text)).unwrap();
    }
    let reserve = SledOptions::server().reserve_bytes;
    disk.0.free.store(reserve - 1, Ordering::SeqCst);
    assert!(store.commit(put("a", "1")).is_err());
    let backup = store.checkpoint(&mut std::io::sink(), &mut |_| {});
    assert_eq!(backup.unwrap().records, 320);
    assert_eq!(store.examine(&mut |_| {}), Ok(vec![]));
    // Fuller still, the rest is examined and told.
    disk.0.free.store(0, Ordering::SeqCst);
    let findings = store.examine(&mut |_| {}).unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].code, "index_not_compared");
    assert!(findings[0].what.contains("disk is full"), "{findings:?}");
}
