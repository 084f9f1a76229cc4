//! What needs a look inside: a disk that fails, groups, short segments, another boot.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use bowline_store::{Commit, Key, Store, StoreError, Value};

use crate::committer::Answer;
use crate::index::Index;
use crate::journal::{Disk, SystemDisk};
use crate::lock::{Boot, HomeLock, IndexState};
use crate::open::open;
use crate::{Action, OpenError, SledOptions, SledStore};

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn value(text: &str) -> Value {
    Value::new(text).unwrap()
}

fn put(name: &str, text: &str) -> Commit {
    Commit::new().put(key(name), value(text))
}

/// A disk that can be told to fail, and to hold a sync until it is let go.
#[derive(Clone)]
struct TestDisk(Arc<TestDiskState>);

struct TestDiskState {
    fail_writes: AtomicBool,
    free: AtomicU64,
    /// How often the free bytes are asked for before there are none.
    free_answers: AtomicUsize,
    /// Syncs are counted from 1; this one and all later fail.
    fail_from_sync: AtomicUsize,
    syncs: AtomicUsize,
    held: Mutex<bool>,
    released: Condvar,
}

impl Default for TestDisk {
    fn default() -> TestDisk {
        TestDisk(Arc::new(TestDiskState {
            fail_writes: AtomicBool::new(false),
            free: AtomicU64::new(u64::MAX),
            free_answers: AtomicUsize::new(usize::MAX),
            fail_from_sync: AtomicUsize::new(usize::MAX),
            syncs: AtomicUsize::new(0),
            held: Mutex::new(false),
            released: Condvar::new(),
        }))
    }
}

impl Disk for TestDisk {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.0.fail_writes.load(Ordering::SeqCst) {
            // As a full disk does: part of it arrives.
            file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        SystemDisk.write(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let number = self.0.syncs.fetch_add(1, Ordering::SeqCst) + 1;
        let mut held = self.0.held.lock().unwrap();
        while *held {
            held = self.0.released.wait(held).unwrap();
        }
        drop(held);
        match number >= self.0.fail_from_sync.load(Ordering::SeqCst) {
            true => Err(io::Error::other("the cable came loose")),
            false => SystemDisk.sync(file),
        }
    }

    fn sync_directory(&self, directory: &File) -> io::Result<()> {
        self.sync(directory)
    }

    fn free(&self, _: &Path) -> Option<u64> {
        let left = self.0.free_answers.load(Ordering::SeqCst);
        let next = left.saturating_sub(1);
        self.0.free_answers.store(next, Ordering::SeqCst);
        match left {
            0 => Some(0),
            _ => Some(self.0.free.load(Ordering::SeqCst)),
        }
    }
}

impl TestDisk {
    fn hold(&self) {
        *self.0.held.lock().unwrap() = true;
    }

    fn release(&self) {
        *self.0.held.lock().unwrap() = false;
        self.0.released.notify_all();
    }

    fn syncs(&self) -> usize {
        self.0.syncs.load(Ordering::SeqCst)
    }

    /// Waits until a sync is under way, so that what is committed now joins the next group.
    fn wait_for_sync(&self, before: usize) {
        while self.syncs() == before {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn open_on(home: &Path, disk: &TestDisk) -> SledStore {
    SledStore::open_with(home, &SledOptions::server(), Box::new(disk.clone())).unwrap()
}

fn reopen(home: &Path) -> SledStore {
    SledStore::open(home, &SledOptions::server()).unwrap()
}

/// Holds the sync of one commit until the others wait behind it, so that they are the next group, in order.
fn in_one_group(
    store: &SledStore,
    disk: &TestDisk,
    before_release: &dyn Fn(),
    commits: Vec<Commit>,
) -> Vec<Answer> {
    let before = disk.syncs();
    disk.hold();
    let first = store.submit(put("first", "1")).unwrap();
    disk.wait_for_sync(before);
    let submitted = commits.into_iter().map(|commit| store.submit(commit));
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
    let store = SledStore::open_with(home.path(), &options, Box::new(disk.clone())).unwrap();
    store.commit(put("warm", "up")).unwrap();
    let before = disk.syncs();
    disk.hold();
    let first = store.submit(put("first", "1")).unwrap();
    disk.wait_for_sync(before);
    let waiting = ["a", "b"].map(|name| store.submit(put(name, "1")).unwrap());
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
fn a_failed_apply_is_unknown_and_closes_the_store_for_reads_too() {
    let home = tempfile::tempdir().unwrap();
    let options = SledOptions::server();
    let mut opened = open(home.path(), &options, Box::new(SystemDisk)).unwrap();
    let Index::Sled(index) = &mut opened.index else {
        panic!("a server uses sled");
    };
    index.close().unwrap();
    let store = SledStore::start(home.path(), &options, opened).unwrap();
    let answer = store.commit(put("a", "1"));
    assert!(
        matches!(answer, Err(StoreError::Unknown { .. })),
        "{answer:?}"
    );
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
        matches!(&actions[..], [Action::RebuiltIndex { commits: 1, because }] if because.contains("machine stopped")),
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

/// A home whose journal has many short segments.
fn segmented(home: &Path) -> Vec<std::path::PathBuf> {
    let options = SledOptions::server();
    let mut opened = open(home, &options, Box::new(SystemDisk)).unwrap();
    opened.journal.rotate_at(1_000);
    let store = SledStore::start(home, &options, opened).unwrap();
    for n in 0..50 {
        store
            .commit(put(&format!("k{n}"), &"x".repeat(100)))
            .unwrap();
    }
    drop(store);
    let mut paths: Vec<_> = std::fs::read_dir(home.join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn a_journal_of_many_segments_is_read_back_whole() {
    let home = tempfile::tempdir().unwrap();
    assert!(segmented(home.path()).len() > 5);
    std::fs::remove_dir_all(home.path().join("index")).unwrap();
    for options in [SledOptions::one_shot(), SledOptions::server()] {
        let store = SledStore::open(home.path(), &options).unwrap();
        assert_eq!(store.opening().last_commit, 50);
        for n in 0..50 {
            assert!(store.get(&key(&format!("k{n}"))).unwrap().is_some(), "{n}");
        }
    }
}

#[test]
fn a_missing_or_shortened_segment_is_refused() {
    for missing in 0..3 {
        for shorten in [true, false] {
            let home = tempfile::tempdir().unwrap();
            let segments = segmented(home.path());
            let path = &segments[[0, 2, segments.len() - 1][missing]];
            match shorten {
                true => {
                    let file = File::options().write(true).open(path).unwrap();
                    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
                }
                false => std::fs::remove_file(path).unwrap(),
            }
            for options in [SledOptions::server(), SledOptions::one_shot()] {
                let error = SledStore::open(home.path(), &options).unwrap_err();
                assert!(
                    matches!(error, OpenError::Damaged { .. }),
                    "{missing}: {error}"
                );
            }
        }
    }
}

#[test]
fn a_segment_begun_but_never_written_to_is_begun_again() {
    let home = tempfile::tempdir().unwrap();
    let segments = segmented(home.path());
    let next = crate::journal::segment_path(&home.path().join("journal"), 51);
    assert!(!segments.contains(&next));
    for length in [0, 1, 40, 83] {
        std::fs::write(&next, &std::fs::read(&segments[0]).unwrap()[..length]).unwrap();
        let store = reopen(home.path());
        let actions = &store.opening().actions;
        assert!(
            matches!(&actions[..], [Action::CutTornTail { offset: 0, .. }]),
            "{actions:?}"
        );
        drop(store);
        assert!(!next.exists());
    }
    let store = reopen(home.path());
    store.commit(put("next", "1")).unwrap();
    drop(store);
    std::fs::remove_dir_all(home.path().join("index")).unwrap();
    assert_eq!(reopen(home.path()).get(&key("next")), Ok(Some(value("1"))));
}

#[test]
fn a_segment_of_a_newer_format_is_refused_with_both_numbers() {
    let home = tempfile::tempdir().unwrap();
    let segments = segmented(home.path());
    let file = File::options().write(true).open(&segments[0]).unwrap();
    file.write_all_at(&7u32.to_be_bytes(), 8).unwrap();
    let error = SledStore::open(home.path(), &SledOptions::server()).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::NewerFormat {
                found: 7,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}

/// Stops between the header of a new segment and the end of its first record, after `kept` bytes of that.
fn stopped_at_a_rotation(home: &Path, kept: usize) {
    segmented(home);
    let options = SledOptions::server();
    let mut opened = open(home, &options, Box::new(SystemDisk)).unwrap();
    opened.journal.rotate_at(1);
    let store = SledStore::start(home, &options, opened).unwrap();
    store.commit(put("next", "1")).unwrap();
    drop(store);
    let next = crate::journal::segment_path(&home.join("journal"), 51);
    let file = File::options().write(true).open(next).unwrap();
    file.set_len(84 + kept as u64).unwrap();
    std::fs::remove_dir_all(home.join("index")).unwrap();
    // Else the notes say that the commit was acknowledged.
    std::fs::write(home.join("lock"), "").unwrap();
}

#[test]
fn a_home_that_stopped_at_a_rotation_opens_again_and_again() {
    for kept in [0, 1, 50] {
        let home = tempfile::tempdir().unwrap();
        stopped_at_a_rotation(home.path(), kept);
        let unverified = SledOptions {
            verify_bytes: 0,
            ..SledOptions::server()
        };
        for options in [SledOptions::server(), SledOptions::server(), unverified] {
            let store = SledStore::open(home.path(), &options).unwrap();
            assert_eq!(store.opening().last_commit, 50, "{kept}");
            assert!(store.get(&key("k49")).unwrap().is_some(), "{kept}");
        }
        let store = reopen(home.path());
        store.commit(put("next", "2")).unwrap();
        drop(store);
        assert_eq!(reopen(home.path()).get(&key("next")), Ok(Some(value("2"))));
    }
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

fn in_one_group_without_sync<const N: usize>(
    store: &SledStore,
    commits: [Commit; N],
) -> [Answer; N] {
    let submitted = commits.map(|commit| store.submit(commit).unwrap());
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
    let store = SledStore::open_with(home.path(), &options, Box::new(disk)).unwrap();
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
        let disk = Box::new(disk.clone());
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
    for n in 0..300 {
        store.commit(put(&format!("k{n}"), &text)).unwrap();
    }
    drop(store);
    std::fs::remove_dir_all(home.path().join("index")).unwrap();
    let mut refused = 0;
    let store = loop {
        let disk = TestDisk::default();
        disk.0.free_answers.store(refused, Ordering::SeqCst);
        match SledStore::open_with(home.path(), &SledOptions::server(), Box::new(disk)) {
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
        matches!(&actions[..], [Action::RebuiltIndex { commits: 300, .. }]),
        "{actions:?}"
    );
    assert!(store.get(&key("k299")).unwrap().is_some());
    drop(store);
    assert_eq!(reopen(home.path()).opening().actions, [], "once");
}

#[test]
fn a_failed_sync_of_a_new_segment_stops_writing() {
    // The header's, the directory's.
    for failing in 1..=2 {
        let home = tempfile::tempdir().unwrap();
        let disk = TestDisk::default();
        let options = SledOptions::server();
        let mut opened = open(home.path(), &options, Box::new(disk.clone())).unwrap();
        opened.journal.rotate_at(1);
        let store = SledStore::start(home.path(), &options, opened).unwrap();
        store.commit(put("a", "1")).unwrap();
        let next = disk.syncs() + failing;
        disk.0.fail_from_sync.store(next, Ordering::SeqCst);
        let failed = store.commit(put("b", "1"));
        disk.0.fail_from_sync.store(usize::MAX, Ordering::SeqCst);
        for answer in [failed, store.commit(put("c", "1"))] {
            assert!(
                matches!(answer, Err(StoreError::Unavailable { .. })),
                "{answer:?}"
            );
        }
        assert_eq!(store.get(&key("b")), Ok(None), "nothing of it was written");
        drop(store);
        let store = reopen(home.path());
        store.commit(put("d", "1")).unwrap();
        let found = ["a", "b", "c", "d"].map(|name| store.get(&key(name)).unwrap().is_some());
        assert_eq!(found, [true, false, false, true]);
    }
}

#[test]
fn a_tail_longer_than_any_write_is_damage_and_is_not_read() {
    // The first is behind all that a segment can have, the second within.
    for length in [1 << 40, 20 << 20] {
        let home = tempfile::tempdir().unwrap();
        reopen(home.path()).commit(put("a", "1")).unwrap();
        let path = crate::journal::segment_path(&home.path().join("journal"), 1);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        let error = SledStore::open(home.path(), &SledOptions::server()).unwrap_err();
        assert!(
            matches!(&error, OpenError::Damaged { why, .. } if why.contains("more than the")),
            "{error}"
        );
        assert_eq!(file.metadata().unwrap().len(), length, "nothing is cut");
    }
}
