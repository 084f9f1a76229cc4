//! Checkpoints in the background: what they make, what they remove, and what a home may look like after.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bowline_store::{Severity, Store, StoreError};

use super::disk::TestDisk;
use super::{key, open_on, put, reopen, value};
use crate::journal::SystemDisk;
use crate::open::open;
use crate::{Action, HomeClosed, OpenError, SledOptions, SledStore};

/// A store with short segments, over whatever is there.
pub(super) fn segmented(home: &Path) -> SledStore {
    let options = SledOptions::server();
    let mut opened = open(home, &options, Arc::new(SystemDisk), &mut |_| {}).unwrap();
    opened.journal.rotate_at(1_000);
    SledStore::start(home, &options, opened).unwrap()
}

pub(super) fn write(store: &SledStore, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let commit = put(&format!("k{n}"), &n.to_string().repeat(40));
        let commit = commit.append(key("e/"), value("x"));
        store.commit(commit).unwrap();
    }
}

pub(super) fn present(store: &SledStore, numbers: std::ops::Range<u64>) {
    for n in numbers.clone() {
        let found = store.get(&key(&format!("k{n}")));
        assert_eq!(found, Ok(Some(value(&n.to_string().repeat(40)))), "k{n}");
    }
    let records = store.scan(&key("k"), None, 1_000).unwrap();
    assert_eq!(records.len() as u64, numbers.end, "and no more");
    let events = store.scan(&key("e/"), None, 1_000).unwrap();
    assert_eq!(events.len() as u64, numbers.end);
}

pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

pub(super) fn checkpoints(home: &Path) -> Vec<PathBuf> {
    files(&home.join("checkpoint"))
}

pub(super) fn segments(home: &Path) -> Vec<PathBuf> {
    files(&home.join("journal"))
}

pub(super) fn first_of(segment: &Path) -> u64 {
    segment
        .file_stem()
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap()
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in files(from) {
        let name = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &name),
            // sled may take a file away while it is copied.
            false => drop(fs::copy(&path, &name)),
        }
    }
}

/// Checkpoints of 40 and 80 commits, and 120 in all; the journal begins behind commit 1.
pub(super) fn checkpointed(home: &Path) -> SledStore {
    let store = segmented(home);
    write(&store, 0..40);
    assert_eq!(store.keep().unwrap().header.sequence, 40);
    write(&store, 40..80);
    assert_eq!(store.keep().unwrap().header.sequence, 80);
    write(&store, 80..120);
    store
}

pub(super) fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(path, bytes).unwrap();
}

pub(super) fn lose_index(home: &Path) {
    fs::remove_dir_all(home.join("index")).unwrap();
}

#[test]
fn segments_that_both_checkpoints_hold_are_removed_and_nothing_is_lost() {
    let home = tempfile::tempdir().unwrap();
    let store = segmented(home.path());
    write(&store, 0..40);
    let before = segments(home.path());
    store.keep().unwrap();
    assert_eq!(segments(home.path()), before, "the first removes nothing");
    write(&store, 40..80);
    store.keep().unwrap();
    let left = segments(home.path());
    assert!(left.len() < before.len() + 2, "{left:?}");
    let first = first_of(&left[0]);
    assert!(
        (2..=41).contains(&first),
        "it reaches back to commit 40: {first}"
    );
    write(&store, 80..120);
    store.keep().unwrap();
    assert_eq!(checkpoints(home.path()).len(), 2);
    assert!(first_of(&segments(home.path())[0]) > 41);
    drop(store);
    let store = reopen(home.path());
    assert_eq!(store.opening().actions, []);
    present(&store, 0..120);
    drop(store);
    lose_index(home.path());
    let store = reopen(home.path());
    let rebuilt = Action::RebuiltIndex {
        because: "it is missing".to_owned(),
        checkpoint: Some(120),
        commits: 0,
    };
    assert_eq!(store.opening().actions, [rebuilt]);
    present(&store, 0..120);
    write(&store, 120..130);
    drop(store);
    present(&reopen(home.path()), 0..130);
}

/// Power that fails while segments are removed may bring any of them back.
#[test]
fn a_removed_segment_that_came_back_is_in_nobodys_way() {
    let home = tempfile::tempdir().unwrap();
    let store = segmented(home.path());
    write(&store, 0..40);
    store.keep().unwrap();
    let old: Vec<_> = segments(home.path());
    let old: Vec<_> = old
        .iter()
        .map(|path| (path, fs::read(path).unwrap()))
        .collect();
    write(&store, 40..80);
    store.keep().unwrap();
    write(&store, 80..90);
    let left = segments(home.path());
    for back in [0, 2] {
        fs::write(old[back].0, &old[back].1).unwrap();
        assert!(!left.contains(old[back].0) && !left.contains(old[back + 1].0));
    }
    assert_eq!(store.examine(&mut |_| {}), Ok(vec![]));
    drop(store);
    for options in [SledOptions::server(), SledOptions::one_shot()] {
        let store = SledStore::open(home.path(), &options).unwrap();
        assert_eq!(store.opening().actions, []);
        present(&store, 0..90);
        assert_eq!(super::restores::backup(&store).1.header.sequence, 90);
    }
    lose_index(home.path());
    let store = reopen(home.path());
    present(&store, 0..90);
    store.keep().unwrap();
    assert!(
        first_of(&segments(home.path())[0]) > 40,
        "the next removes them"
    );
}

#[test]
fn a_checkpoint_of_another_history_is_not_built_upon() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(checkpointed(home.path()));
    let store = segmented(other.path());
    store.commit(put("other", "")).unwrap();
    write(&store, 1..80);
    store.keep().unwrap();
    drop(store);
    lose_index(home.path());
    let foreign = checkpoints(other.path()).remove(0);
    fs::copy(foreign, &checkpoints(home.path())[1]).unwrap();
    let error = SledStore::open(home.path(), &SledOptions::server()).unwrap_err();
    assert!(error.to_string().contains("commit 80"), "{error}");
}

#[test]
fn the_last_segment_stays_whatever_checkpoints_hold() {
    let home = tempfile::tempdir().unwrap();
    let store = reopen(home.path());
    write(&store, 0..3);
    for _ in 0..4 {
        store.keep().unwrap();
        store.commit(put("k0", &"0".repeat(40))).unwrap();
    }
    assert_eq!(segments(home.path()).len(), 1);
    let kept = checkpoints(home.path());
    assert_eq!(kept.len(), 2);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&kept[0]), 0o600);
    assert_eq!(mode(&home.path().join("checkpoint")), 0o700);
}

#[test]
fn a_checkpoint_comes_by_itself_once_the_journal_has_grown() {
    let home = tempfile::tempdir().unwrap();
    let options = SledOptions {
        checkpoint_bytes: 20_000,
        ..SledOptions::server()
    };
    let store = SledStore::open(home.path(), &options).unwrap();
    write(&store, 0..5);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(checkpoints(home.path()), [] as [PathBuf; 0]);
    let started = Instant::now();
    let mut n = 5;
    while checkpoints(home.path()).len() < 2 {
        assert!(started.elapsed() < Duration::from_secs(20));
        write(&store, n..n + 1);
        n += 1;
    }
    assert_eq!(store.checkpoint_failure(), None);
    drop(store);
    present(
        &SledStore::open(home.path(), &SledOptions::one_shot()).unwrap(),
        0..n,
    );
}

#[test]
fn a_damaged_newest_checkpoint_is_set_aside_and_the_older_one_used() {
    for in_memory in [false, true] {
        let home = tempfile::tempdir().unwrap();
        drop(checkpointed(home.path()));
        let newest = checkpoints(home.path())[1].clone();
        flip(&newest);
        lose_index(home.path());
        let options = match in_memory {
            true => SledOptions::one_shot(),
            false => SledOptions::server(),
        };
        let store = SledStore::open(home.path(), &options).unwrap();
        let aside = newest.with_extension("checkpoint.damaged");
        let actions = &store.opening().actions;
        assert!(
            actions.iter().any(
                |action| matches!(action, Action::DamagedCheckpoint { file, .. } if *file == aside)
            ),
            "{actions:?}"
        );
        if !in_memory {
            let older = Action::RebuiltIndex {
                because: "it is missing".to_owned(),
                checkpoint: Some(40),
                commits: 80,
            };
            assert!(actions.contains(&older), "{actions:?}");
        }
        present(&store, 0..120);
        assert!(aside.exists() && !newest.exists());
        write(&store, 120..125);
        drop(store);
        let store = reopen(home.path());
        let said = |action: &Action| matches!(action, Action::DamagedCheckpoint { .. });
        assert!(!store.opening().actions.iter().any(said), "once");
        present(&store, 0..125);
        // The next checkpoint comes from the older one, and takes the damaged one's remains away.
        assert_eq!(store.keep().unwrap().header.sequence, 125);
        assert!(!aside.exists());
        assert_eq!(checkpoints(home.path()).len(), 2);
    }
}

#[test]
fn a_checkpoint_goes_round_a_damaged_one() {
    let home = tempfile::tempdir().unwrap();
    let store = checkpointed(home.path());
    flip(&checkpoints(home.path())[1]);
    let oldest = first_of(&segments(home.path())[0]);
    assert_eq!(store.keep().unwrap().header.sequence, 120);
    let names = checkpoints(home.path());
    assert!(
        names[1].to_str().unwrap().ends_with(".damaged"),
        "{names:?}"
    );
    assert_eq!(
        first_of(&segments(home.path())[0]),
        oldest,
        "all that the one of commit 40 needs"
    );
    drop(store);
    lose_index(home.path());
    present(&reopen(home.path()), 0..120);
}

#[test]
fn a_home_whose_checkpoints_are_all_damaged_is_refused_and_left_alone() {
    for options in [SledOptions::server(), SledOptions::one_shot()] {
        let home = tempfile::tempdir().unwrap();
        drop(checkpointed(home.path()));
        let damaged = checkpoints(home.path());
        damaged.iter().for_each(|path| flip(path));
        lose_index(home.path());
        let error = SledStore::open(home.path(), &options).unwrap_err();
        assert!(
            matches!(&error, OpenError::Damaged { file, .. } if damaged.contains(file)),
            "{error}"
        );
        assert!(error.to_string().contains("restore a backup"), "{error}");
        assert_eq!(checkpoints(home.path()), damaged);
        // With one of them back, it opens.
        flip(&damaged[0]);
        present(&SledStore::open(home.path(), &options).unwrap(), 0..120);
    }
}

#[test]
fn a_damaged_header_of_a_checkpoint_that_is_not_needed_does_not_bar_the_start() {
    let home = tempfile::tempdir().unwrap();
    drop(checkpointed(home.path()));
    let newest = &checkpoints(home.path())[1];
    let mut bytes = fs::read(newest).unwrap();
    bytes[30] ^= 1;
    fs::write(newest, bytes).unwrap();
    let store = reopen(home.path());
    let actions = &store.opening().actions;
    assert!(
        matches!(&actions[..], [Action::DamagedCheckpoint { .. }]),
        "{actions:?}"
    );
    present(&store, 0..120);
}

#[test]
fn a_segment_that_no_checkpoint_makes_up_for_is_missed() {
    let home = tempfile::tempdir().unwrap();
    drop(checkpointed(home.path()));
    for options in [SledOptions::server(), SledOptions::one_shot()] {
        for (path, first) in segments(home.path())
            .iter()
            .map(|path| (path, first_of(path)))
        {
            let copied = tempfile::tempdir().unwrap();
            copy(home.path(), copied.path());
            lose_index(copied.path());
            let segment = copied
                .path()
                .join("journal")
                .join(path.file_name().unwrap());
            fs::remove_file(segment).unwrap();
            let opened = SledStore::open(copied.path(), &options);
            // The newest checkpoint holds commit 80.
            match (opened, first) {
                (Ok(store), ..=78) => present(&store, 0..120),
                (Err(OpenError::Damaged { .. }), 77..) => {}
                (opened, _) => panic!("{first}: {opened:?}"),
            }
        }
    }
}

#[test]
fn an_index_too_far_behind_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    let store = segmented(home.path());
    write(&store, 0..10);
    drop(store);
    let old = tempfile::tempdir().unwrap();
    copy(&home.path().join("index"), old.path());
    drop(checkpointed_from(home.path(), 10));
    lose_index(home.path());
    copy(old.path(), &home.path().join("index"));
    let store = reopen(home.path());
    let actions = &store.opening().actions;
    assert!(
        matches!(&actions[..], [Action::RebuiltIndex { because, checkpoint: Some(80), .. }] if because.contains("commits up to 10")),
        "{actions:?}"
    );
    present(&store, 0..120);
}

pub(super) fn checkpointed_from(home: &Path, from: u64) -> SledStore {
    let store = segmented(home);
    write(&store, from..40);
    store.keep().unwrap();
    write(&store, 40..80);
    store.keep().unwrap();
    write(&store, 80..120);
    store
}

/// Copies the home whenever something is about to be written or synced: what a kill at that moment leaves.
#[test]
fn a_home_stopped_at_any_step_of_a_checkpoint_is_whole() {
    let home = tempfile::tempdir().unwrap();
    drop(checkpointed(home.path()));
    let copies = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let options = SledOptions::server();
    let mut opened = open(home.path(), &options, Arc::new(disk.clone()), &mut |_| {}).unwrap();
    opened.workshop.chunk_bytes = 3_000;
    let store = SledStore::start(home.path(), &options, opened).unwrap();
    let (from, to) = (home.path().to_owned(), copies.path().to_owned());
    let step = std::sync::atomic::AtomicUsize::new(0);
    disk.watch(Box::new(move || {
        let number = step.fetch_add(1, Ordering::SeqCst);
        copy(&from, &to.join(number.to_string()));
    }));
    store.keep().unwrap();
    disk.watch(Box::new(|| {}));
    let states = files(copies.path());
    assert!(states.len() > 8, "{}", states.len());
    let mut unfinished = 0;
    for state in states {
        for options in [SledOptions::one_shot(), SledOptions::server()] {
            let store = SledStore::open(&state, &options).unwrap();
            for action in &store.opening().actions {
                let fine = matches!(action, Action::RemovedUnfinishedCheckpoint { .. });
                unfinished += usize::from(fine);
                assert!(
                    fine || matches!(action, Action::Replayed { .. }),
                    "{action}"
                );
            }
            present(&store, 0..120);
            for path in checkpoints(&state) {
                assert_eq!(path.extension().unwrap(), "checkpoint", "{path:?}");
            }
        }
        lose_index(&state);
        present(&reopen(&state), 0..120);
    }
    assert!(unfinished > 4, "{unfinished}");
}

#[test]
fn a_checkpoint_that_cannot_be_written_harms_no_commit() {
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let options = SledOptions {
        checkpoint_bytes: 2_000,
        ..SledOptions::server()
    };
    let store = SledStore::open_with(home.path(), &options, Arc::new(disk.clone())).unwrap();
    disk.0.fail_checkpoints.store(true, Ordering::SeqCst);
    write(&store, 0..60);
    let started = Instant::now();
    while store.checkpoint_failure().is_none() {
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    let failure = store.checkpoint_failure().unwrap();
    let watch = store.checkpoint_watch();
    assert_eq!(watch.failure(), Ok(Some(failure.clone())));
    assert!(failure.contains("checkpoint"), "{failure}");
    assert_eq!(
        checkpoints(home.path()),
        [] as [PathBuf; 0],
        "nothing is left of it"
    );
    write(&store, 60..70);
    present(&store, 0..70);
    let findings = store.examine(&mut |_| {}).unwrap();
    assert_eq!(findings[0].code, "checkpoint_failed");
    disk.0.fail_checkpoints.store(false, Ordering::SeqCst);
    let closing = Instant::now();
    drop(store);
    assert!(
        closing.elapsed() < Duration::from_secs(10),
        "it does not wait for its turn"
    );
    assert_eq!(watch.failure(), Err(HomeClosed));
    present(&reopen(home.path()), 0..70);
}

#[test]
fn a_checkpoint_is_not_begun_without_room_for_it() {
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let store = open_on(home.path(), &disk);
    let text = "x".repeat(60_000);
    for n in 0..150 {
        store.commit(put(&format!("k{n}"), &text)).unwrap();
    }
    // More than is asked for at any one write, less than all of it.
    let reserve = SledOptions::server().reserve_bytes;
    disk.0.free.store(reserve + 8_500_000, Ordering::SeqCst);
    let refused = store.keep().unwrap_err().into_open(home.path());
    assert!(refused.to_string().contains("disk is full"), "{refused}");
    assert_eq!(checkpoints(home.path()), [] as [PathBuf; 0]);
    store.commit(put("next", "1")).unwrap();
    disk.0.free.store(u64::MAX, Ordering::SeqCst);
    store.keep().unwrap();
}

#[test]
fn a_checkpoint_asks_for_the_room_it_takes() {
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    let store = open_on(home.path(), &disk);
    let text = "x".repeat(60_000);
    let fill = || {
        for n in 0..200 {
            store.commit(put(&format!("k{n}"), &text)).unwrap();
        }
    };
    for _ in 0..2 {
        fill();
        store.keep().unwrap();
    }
    fill();
    // 12 MB once more, and at most twice as much of the journal; but not all 48 MB that there are.
    let reserve = SledOptions::server().reserve_bytes;
    disk.0.free.store(reserve + 36_500_000, Ordering::SeqCst);
    store.keep().unwrap();
}

/// Power that fails once segments are removed must not take the only checkpoints with it.
#[test]
fn the_name_of_the_directory_is_durable_before_a_segment_is_removed() {
    let home = tempfile::tempdir().unwrap();
    let disk = TestDisk::default();
    // As a process leaves it that was killed right after it made it.
    fs::create_dir(home.path().join("checkpoint")).unwrap();
    let store = segmented(home.path());
    write(&store, 0..40);
    store.keep().unwrap();
    drop(store);
    let store = open_on(home.path(), &disk);
    write(&store, 40..80);
    let before = segments(home.path());
    assert!(!disk.has_synced(home.path()), "no segment was begun");
    store.keep().unwrap();
    assert_ne!(segments(home.path()), before);
    assert!(disk.has_synced(home.path()));
}

/// An output that takes nothing until many checkpoints were made.
struct Slow<'a>(&'a SledStore, bool);

impl std::io::Write for Slow<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !std::mem::replace(&mut self.1, true) {
            for n in 6..12 {
                write(self.0, n * 20..n * 20 + 20);
                self.0.keep().unwrap();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_slow_reader_of_a_backup_does_not_keep_old_files() {
    let home = tempfile::tempdir().unwrap();
    let store = checkpointed(home.path());
    let made = store.checkpoint(&mut Slow(&store, false), &mut |_| {});
    assert_eq!(made.unwrap().header.sequence, 120, "it is whole");
    assert_eq!(checkpoints(home.path()).len(), 2);
    assert!(first_of(&segments(home.path())[0]) > 160);
    present(&store, 0..240);
}

#[test]
fn what_was_read_while_it_became_superfluous_is_removed_soon_after() {
    let home = tempfile::tempdir().unwrap();
    let options = SledOptions {
        checkpoint_bytes: 20_000,
        ..SledOptions::server()
    };
    let store = SledStore::open(home.path(), &options).unwrap();
    let text = "x".repeat(60_000);
    for n in 0..40 {
        store.commit(put(&format!("l{n}"), &text)).unwrap();
    }
    let started = Instant::now();
    let patient = || {
        std::thread::sleep(Duration::from_millis(20));
        assert!(started.elapsed() < Duration::from_secs(60));
    };
    let mut n = 0;
    store
        .examine(&mut |_| {
            while checkpoints(home.path()).len() < 4 {
                store.commit(put(&format!("l{n}"), &text)).unwrap();
                n += 1;
                patient();
            }
        })
        .unwrap();
    assert!(n > 0);
    while checkpoints(home.path()).len() > 2 {
        patient();
    }
}

#[test]
fn a_journal_that_ends_before_a_checkpoint_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let store = checkpointed(home.path());
    store.keep().unwrap();
    drop(store);
    lose_index(home.path());
    fs::write(home.path().join("lock"), "").unwrap();
    let last = segments(home.path()).pop().unwrap();
    let length = fs::metadata(&last).unwrap().len();
    let file = fs::File::options().write(true).open(&last).unwrap();
    file.set_len(length - 10).unwrap();
    let newest = &checkpoints(home.path())[1];
    for (options, damage) in [
        (SledOptions::server(), false),
        (SledOptions::one_shot(), false),
        // Its header tells what was durable even when the rest does not read.
        (SledOptions::server(), true),
        (SledOptions::one_shot(), false),
    ] {
        if damage {
            flip(newest);
        }
        let error = SledStore::open(home.path(), &options).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert_eq!(
            fs::metadata(&last).unwrap().len(),
            length - 10,
            "nothing is cut"
        );
    }
}

#[test]
fn a_backup_is_refused_rather_than_made_from_a_damaged_journal() {
    let home = tempfile::tempdir().unwrap();
    let store = checkpointed(home.path());
    let last = segments(home.path()).pop().unwrap();
    flip(&last);
    let mut bytes = Vec::new();
    let refused = store.checkpoint(&mut bytes, &mut |_| {});
    assert!(
        matches!(
            &refused,
            Err(bowline_store::CheckpointError::Store(StoreError::Corrupt { reason })) if reason.contains("journal")
        ),
        "{refused:?}"
    );
    assert!(bytes.is_empty());
    let findings = store.examine(&mut |_| {}).unwrap();
    assert_eq!(findings[0].code, "journal_damaged", "{findings:?}");
    assert_eq!(findings[0].severity, Severity::Critical);
    assert!(store.keep().is_err());
    assert_eq!(checkpoints(home.path()).len(), 2);
}
