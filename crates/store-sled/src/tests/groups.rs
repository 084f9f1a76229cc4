//! Groups of commits, and what a failing disk or index does to them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bowline_store::{Commit, Store, StoreError};

use super::disk::TestDisk;
use super::{key, open_on, put, reopen, value};
use crate::committer::Answer;
use crate::index::Index;
use crate::journal::SystemDisk;
use crate::lock::{Boot, HomeLock, IndexState};
use crate::open::open;
use crate::{Action, SledOptions, SledStore};

/// Holds the sync of one commit until the others wait behind it, so that they are the next group, in order.
fn in_one_group(
    store: &SledStore,
    disk: &TestDisk,
    before_release: &dyn Fn(),
    commits: Vec<Commit>,
) -> Vec<Answer> {
    let before = disk.syncs();
    disk.hold();
    let first = store.queue(put("first", "1")).unwrap();
    disk.wait_for_sync(before);
    let submitted = commits.into_iter().map(|commit| store.queue(commit));
    let group: Vec<_> = submitted.map(Result::unwrap).collect();
    before_release();
    disk.release();
    first.recv().unwrap().unwrap();
    group
        .into_iter()
        .map(|answered| answered.recv().unwrap())
        .collect()
}

#[test]
fn many_callers_share_one_sync_and_see_each_other() {
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let store = open_on(home.path(), &disk);
    store.commit(put("warm", "up")).unwrap();
    let before = disk.syncs();
    let create = |text: &str| put("a", text).expect_absent(key("a"));
    let answers = in_one_group(
        &store,
        &disk,
        &|| {},
        vec![
            create("winner").append(key("e/"), value("1")),
            create("late").append(key("e/"), value("2")),
            put("b", "1").expect_equals(key("a"), value("winner")),
            Commit::new().append(key("e/"), value("3")),
        ],
    );
    assert_eq!(
        disk.syncs() - before,
        2,
        "one for the first, one for the group"
    );
    assert_eq!(answers[0].as_ref().unwrap().appended[0].number, 1);
    assert_eq!(answers[1], Err(StoreError::Conflict { key: key("a") }));
    assert!(answers[2].is_ok(), "{:?}", answers[2]);
    let third = answers[3].as_ref().unwrap().appended[0].number;
    assert_eq!(third, 2, "a conflict takes no number");
}

#[test]
fn a_failed_sync_is_unknown_to_the_whole_group_and_stops_writing() {
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let store = open_on(home.path(), &disk);
    store.commit(put("kept", "1")).unwrap();
    // The held commit's sync is the next and succeeds; the group's is the one after.
    let fail = || {
        let next = disk.syncs() + 1;
        disk.0.fail_from_sync.store(next, Ordering::SeqCst);
    };
    let commits = ["a", "b", "c"].map(|name| put(name, "1")).into();
    let answers = in_one_group(&store, &disk, &fail, commits);
    for answer in answers {
        assert!(
            matches!(answer, Err(StoreError::Unknown { .. })),
            "{answer:?}"
        );
    }
    disk.0.fail_from_sync.store(usize::MAX, Ordering::SeqCst);
    let later = store.commit(put("d", "1"));
    assert!(
        matches!(later, Err(StoreError::Unavailable { .. })),
        "{later:?}"
    );
    assert_eq!(store.get(&key("kept")), Ok(Some(value("1"))), "reads go on");
    let unknown = |found: Result<(), StoreError>| {
        assert!(
            matches!(found, Err(StoreError::Unknown { .. })),
            "{found:?}"
        );
    };
    unknown(store.get(&key("b")).map(drop));
    unknown(store.scan(&key(""), None, 1_000).map(drop));
    unknown(store.scan(&key("b"), None, 1).map(drop));
    unknown(store.scan(&key(""), Some(&key("b")), 2).map(drop));
    let behind = store.scan(&key(""), Some(&key("c")), 1_000).unwrap();
    assert_eq!(behind.len(), 2, "{behind:?}");
    drop(store);
    let store = reopen(home.path());
    assert_eq!(store.get(&key("kept")), Ok(Some(value("1"))));
    assert_eq!(store.get(&key("first")), Ok(Some(value("1"))));
    assert_eq!(store.get(&key("d")), Ok(None));
    let group = ["a", "b", "c"].map(|name| store.get(&key(name)).unwrap().is_some());
    assert!(
        group == [true; 3] || group == [false; 3],
        "whole or not at all"
    );
}

#[test]
fn a_full_disk_writes_nothing_and_goes_on_when_there_is_room() {
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let store = open_on(home.path(), &disk);
    store.commit(put("a", "1")).unwrap();
    disk.0.fail_writes.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let full = store.commit(put("b", "1"));
        assert!(
            matches!(full, Err(StoreError::Unavailable { .. })),
            "{full:?}"
        );
    }
    disk.0.fail_writes.store(false, Ordering::SeqCst);
    store.commit(put("c", "1")).unwrap();
    drop(store);
    let store = reopen(home.path());
    assert_eq!(store.opening().actions, [], "nothing was left to repair");
    let found = ["a", "b", "c"].map(|name| store.get(&key(name)).unwrap().is_some());
    assert_eq!(found, [true, false, true]);
}

#[test]
fn a_disk_that_is_full_from_the_start_is_unavailable() {
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let store = open_on(home.path(), &disk);
    disk.0.fail_writes.store(true, Ordering::SeqCst);
    let full = store.commit(put("a", "1"));
    assert!(
        matches!(full, Err(StoreError::Unavailable { .. })),
        "{full:?}"
    );
    disk.0.fail_writes.store(false, Ordering::SeqCst);
    store.commit(put("a", "2")).unwrap();
    drop(store);
    assert_eq!(reopen(home.path()).get(&key("a")), Ok(Some(value("2"))));
}

#[test]
fn over_the_queues_bound_a_commit_is_unavailable() {
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let options = SledOptions {
        queue_commits: 2,
        ..SledOptions::server()
    };
    let store = SledStore::open_with(home.path(), &options, Arc::new(disk.clone())).unwrap();
    store.commit(put("warm", "up")).unwrap();
    let before = disk.syncs();
    disk.hold();
    let first = store.queue(put("first", "1")).unwrap();
    disk.wait_for_sync(before);
    let waiting = ["a", "b"].map(|name| store.queue(put(name, "1")).unwrap());
    let over = store.commit(put("over", "1"));
    assert!(
        matches!(over, Err(StoreError::Unavailable { .. })),
        "{over:?}"
    );
    assert_eq!(
        store.get(&key("warm")),
        Ok(Some(value("up"))),
        "readers go on"
    );
    disk.release();
    for answered in [first].into_iter().chain(waiting) {
        answered.recv().unwrap().unwrap();
    }
    store.commit(put("over", "1")).unwrap();
}

#[test]
fn a_failed_apply_closes_the_store_for_reads_too() {
    let home = tempfile::tempdir().unwrap();
    let options = SledOptions::server();
    let mut opened = open(home.path(), &options, Arc::new(SystemDisk), &mut |_| {}).unwrap();
    let Index::Sled(index) = &mut opened.index else {
        panic!("a server uses sled");
    };
    index.close().unwrap();
    let store = SledStore::start(home.path(), &options, opened).unwrap();
    store.commit(put("a", "1")).unwrap();
    store.pending().wait_until_applied();
    let read = store.get(&key("a"));
    assert!(
        matches!(read, Err(StoreError::Unavailable { .. })),
        "{read:?}"
    );
    let write = store.commit(put("b", "1"));
    assert!(
        matches!(write, Err(StoreError::Unavailable { .. })),
        "{write:?}"
    );
    drop(store);
    let store = reopen(home.path());
    assert_eq!(
        store.get(&key("a")),
        Ok(Some(value("1"))),
        "the journal has it"
    );
    assert_eq!(store.get(&key("b")), Ok(None));
}

#[test]
fn an_index_in_use_when_the_machine_stopped_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    let store = reopen(home.path());
    store.commit(put("a", "1")).unwrap();
    drop(store);
    let (mut lock, _) = HomeLock::take(home.path()).unwrap();
    lock.set_index(IndexState::Open(Boot::named("another")))
        .unwrap();
    drop(lock);
    let store = reopen(home.path());
    let actions = &store.opening().actions;
    assert!(
        matches!(&actions[..], [Action::RebuiltIndex { commits: 1, because, .. }] if because.contains("machine stopped")),
        "{actions:?}"
    );
    assert_eq!(store.get(&key("a")), Ok(Some(value("1"))));
    drop(store);
    assert_eq!(reopen(home.path()).opening().actions, [], "once");
}

#[test]
fn an_index_in_use_when_only_the_process_stopped_is_believed() {
    let home = tempfile::tempdir().unwrap();
    let store = reopen(home.path());
    store.commit(put("a", "1")).unwrap();
    drop(store);
    let (mut lock, _) = HomeLock::take(home.path()).unwrap();
    lock.set_index(IndexState::Open(Boot::current())).unwrap();
    drop(lock);
    assert_eq!(reopen(home.path()).opening().actions, []);
}

#[test]
fn a_conflict_with_a_commit_that_failed_is_unavailable() {
    for failing_sync in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let disk = TestDisk::default();
        let store = open_on(home.path(), &disk);
        store.commit(put("warm", "up")).unwrap();
        let fail = || match failing_sync {
            true => disk
                .0
                .fail_from_sync
                .store(disk.syncs() + 1, Ordering::SeqCst),
            false => disk.0.fail_writes.store(true, Ordering::SeqCst),
        };
        let create = |name: &str| put(name, "1").expect_absent(key(name));
        let commits = vec![create("warm"), create("a"), create("a")];
        let answers = in_one_group(&store, &disk, &fail, commits);
        let known = Err(StoreError::Conflict { key: key("warm") });
        assert_eq!(answers[0], known, "decided against what is there");
        assert!(answers[1].is_err(), "{:?}", answers[1]);
        assert!(
            matches!(answers[2], Err(StoreError::Unavailable { .. })),
            "{:?}",
            answers[2]
        );
    }
}
