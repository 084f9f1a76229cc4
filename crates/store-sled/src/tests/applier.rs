//! An index that is written slowly, or not at all, behind commits that were answered.

use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bowline_store::{Commit, Store, StoreError};

use super::disk::TestDisk;
use super::{key, put, reopen, value};
use crate::applier::Apply;
use crate::index::{Changes, Damage, Found, SledIndex};
use crate::lock::{HomeLock, IndexState};
use crate::open::open;
use crate::{Action, SledOptions, SledStore};

fn open_applying(home: &Path, disk: &TestDisk, apply: Apply) -> SledStore {
    let options = SledOptions::server();
    let opened = open(home, &options, Arc::new(disk.clone()), &mut |_| {}).unwrap();
    SledStore::start_with(home, &options, opened, apply).unwrap()
}

/// A home whose index takes a group for each token that is sent; and everything once there is no sender.
fn open_slowly(home: &Path, disk: &TestDisk) -> (SledStore, Sender<()>) {
    let (allow, allowed) = channel();
    let allowed = Mutex::new(allowed);
    let apply: Apply = Box::new(move |index, changes, position, progress| {
        let _ = allowed.lock().unwrap().recv();
        SledIndex::apply(index, changes, position, progress)
    });
    (open_applying(home, disk, apply), allow)
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_commit_is_answered_and_seen_before_the_index_has_it() {
    let home = tempfile::tempdir().unwrap();
    let (store, allow) = open_slowly(home.path(), &TestDisk::default());
    for n in 0..9 {
        let name = format!("k{n}");
        let commit = put(&name, "1").append(key("e/"), value("x"));
        let commit = commit.expect_absent(key(&name));
        let answer = store.commit(commit.clone()).unwrap();
        assert_eq!(answer.appended[0].number, n + 1);
        assert_eq!(store.get(&key(&name)), Ok(Some(value("1"))));
        let again = store.commit(commit);
        assert_eq!(again, Err(StoreError::Conflict { key: key(&name) }));
    }
    store.commit(Commit::new().delete(key("k3"))).unwrap();
    assert_eq!(store.get(&key("k3")), Ok(None));
    let names = |from: &str, limit| {
        let found = store.scan(&key("k"), Some(&key(from)), limit).unwrap();
        let names: Vec<_> = found.into_iter().map(|(name, _)| name).collect();
        names
    };
    assert_eq!(names("k1", 2), [key("k2"), key("k4")]);
    drop(allow);
    store.pending().wait_until_applied();
    assert_eq!(names("k1", 2), [key("k2"), key("k4")]);
}

#[test]
fn dropping_a_store_applies_what_waits() {
    let home = tempfile::tempdir().unwrap();
    let (store, allow) = open_slowly(home.path(), &TestDisk::default());
    for n in 0..5 {
        store.commit(put(&format!("k{n}"), "1")).unwrap();
    }
    let closing = std::thread::spawn(move || drop(store));
    std::thread::sleep(Duration::from_millis(20));
    assert!(!closing.is_finished());
    drop(allow);
    closing.join().unwrap();
    let (lock, _) = HomeLock::take(home.path()).unwrap();
    assert_eq!(lock.index(), &IndexState::Clean);
    drop(lock);
    let store = reopen(home.path());
    assert_eq!(store.opening().actions, [], "nothing was left to do");
    assert_eq!(store.get(&key("k4")), Ok(Some(value("1"))));
}

/// Whatever ends the applier: what was answered stays, nobody hangs, and nothing is answered any more.
#[test]
fn an_index_that_cannot_be_written_closes_the_store_and_takes_nothing_back() {
    let failures: [fn() -> Found<()>; 3] = [
        || Err(Damage::Wrong("index: not what was written".to_owned())),
        || Err(Damage::DiskFull("index: the disk is full".to_owned())),
        || panic!("a fault of ours"),
    ];
    for fail in failures {
        let home = tempfile::tempdir().unwrap();
        let (allow, allowed) = channel::<()>();
        let allowed = Mutex::new(allowed);
        let apply: Apply = Box::new(move |_, _, _, _| {
            let _ = allowed.lock().unwrap().recv();
            fail()
        });
        let store = open_applying(home.path(), &TestDisk::default(), apply);
        for n in 0..5 {
            store.commit(put(&format!("k{n}"), "1")).unwrap();
            assert!(store.get(&key(&format!("k{n}"))).unwrap().is_some());
        }
        // Writers fill what may wait, and are let go when nothing is applied any more.
        let long = "x".repeat(60_000);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (store, long) = (&store, &long);
                scope.spawn(move || {
                    for n in 0.. {
                        match store.commit(put(&format!("w{writer}.{n:05}"), long)) {
                            Ok(_) => {}
                            Err(StoreError::Unavailable { .. }) => break,
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(100));
            drop(allow);
        });
        let read = store.get(&key("k0"));
        assert!(
            matches!(read, Err(StoreError::Unavailable { .. })),
            "{read:?}"
        );
        drop(store);
        let (lock, _) = HomeLock::take(home.path()).unwrap();
        assert_eq!(lock.index(), &IndexState::Damaged);
        drop(lock);
        let store = reopen(home.path());
        let actions = &store.opening().actions;
        assert!(
            matches!(&actions[..], [Action::RebuiltIndex { .. }]),
            "{actions:?}"
        );
        for n in 0..5 {
            let found = store.get(&key(&format!("k{n}")));
            assert_eq!(found, Ok(Some(value("1"))), "the journal has it");
        }
    }
}

#[test]
fn an_index_written_half_way_takes_all_of_it_once_more() {
    let home = tempfile::tempdir().unwrap();
    let store = reopen(home.path());
    store.commit(put("a", "1")).unwrap();
    store.commit(put("b", "1")).unwrap();
    drop(store);

    // 1. Two commits that the index does not have.
    let one_shot = SledStore::open(home.path(), &SledOptions::one_shot()).unwrap();
    let both = put("c", "1").delete(key("a")).append(key("e/"), value("x"));
    one_shot.commit(both).unwrap();
    one_shot
        .commit(put("c", "2").put(key("b"), value("2")))
        .unwrap();
    drop(one_shot);

    // 2. A part of what they changed together, as when the process was killed over it.
    let (mut index, applied, _) = SledIndex::open(&home.path().join("index"), 1 << 20).unwrap();
    assert_eq!(applied.sequence, 2);
    let mut part = Changes::default();
    part.records.insert(key("a"), None);
    part.records.insert(key("b"), Some(value("2")));
    index.apply(&part, &applied, &|_| {}).unwrap();
    index.close().unwrap();
    drop(index);

    let store = reopen(home.path());
    let replayed = Action::Replayed { commits: 2 };
    assert_eq!(store.opening().actions, [replayed]);
    let expected = [None, Some(value("2")), Some(value("2"))];
    assert_eq!(
        ["a", "b", "c"].map(|name| store.get(&key(name)).unwrap()),
        expected
    );
    assert_eq!(store.examine(&mut |_| {}), Ok(vec![]));
}

#[test]
fn what_waits_for_the_index_has_room_beside_the_reserve() {
    use std::sync::atomic::Ordering;
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let (store, allow) = open_slowly(home.path(), &disk);
    let reserve = SledOptions::server().reserve_bytes;
    store.commit(put("a", &"x".repeat(60_000))).unwrap();
    disk.0.free.store(reserve + 60_000, Ordering::SeqCst);
    let waiting = store.queue(put("b", "1")).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(waiting.try_recv().is_err(), "the index gets there first");
    allow.send(()).unwrap();
    waiting.recv().unwrap().unwrap();
    drop(allow);
}

#[test]
fn an_examination_waits_for_the_index() {
    let home = tempfile::tempdir().unwrap();
    let (store, allow) = open_slowly(home.path(), &TestDisk::default());
    for n in 0..20 {
        store.commit(put(&format!("k{n}"), "1")).unwrap();
    }
    std::thread::scope(|scope| {
        let examining = scope.spawn(|| store.examine(&mut |_| {}));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!examining.is_finished());
        drop(allow);
        assert_eq!(examining.join().unwrap(), Ok(vec![]));
    });
    until("applied", || store.pending().bytes() == 0);
}

/// The records go from layer to layer and into the index all the while.
#[test]
fn a_commit_that_returned_is_seen_whatever_layer_it_is_in() {
    let home = tempfile::tempdir().unwrap();
    let store = reopen(home.path());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let prefix = key(&format!("w{writer}/"));
                let name = |n: u32| key(&format!("w{writer}/{n:04}"));
                for n in 0..300 {
                    let commit = Commit::new().put(name(n), value(&"x".repeat(600)));
                    // Of each three one stays.
                    let commit = match n % 3 {
                        2 => commit.delete(name(n - 1)).delete(name(n - 2)),
                        _ => commit,
                    };
                    store.commit(commit).unwrap();
                    assert!(store.get(&name(n)).unwrap().is_some());
                    let found = store.scan(&prefix, None, 1_000).unwrap();
                    let names = found.into_iter().map(|(name, _)| name);
                    let stay = (0..=n).filter(|m| m % 3 == 2 || m / 3 == n / 3 && n % 3 != 2);
                    let expected: Vec<_> = stay.map(name).collect();
                    assert_eq!(names.collect::<Vec<_>>(), expected);
                    let from = n.saturating_sub(9);
                    let few = store.scan(&prefix, Some(&name(from)), 2).unwrap();
                    let behind = expected.iter().filter(|at| **at > name(from)).take(2);
                    assert!(few.iter().map(|(name, _)| name).eq(behind));
                }
            });
        }
    });
    assert_eq!(store.examine(&mut |_| {}), Ok(vec![]));
}
