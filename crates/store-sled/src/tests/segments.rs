//! A journal of several segments, whole and not.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bowline_store::{Store, StoreError};
use sha2::Digest;

use super::disk::TestDisk;
use super::{key, put, reopen, value};
use crate::journal::SystemDisk;
use crate::open::open;
use crate::{Action, OpenError, SledOptions, SledStore};

/// A home whose journal has many short segments.
fn segmented(home: &Path) -> Vec<std::path::PathBuf> {
    let options = SledOptions::server();
    let mut opened = open(home, &options, Arc::new(SystemDisk), &mut |_| {}).unwrap();
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

/// Killed after the first segment's name was durable, and before the journal's own was.
#[test]
fn the_name_of_the_journal_is_durable_before_a_commit_is_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let from = tempfile::tempdir().unwrap();
    let store = reopen(from.path());
    store.commit(put("other", "1")).unwrap();
    let segment = crate::journal::segment_path(&from.path().join("journal"), 1);
    let header = std::fs::read(segment).unwrap()[..84].to_vec();
    let journal = home.path().join("journal");
    std::fs::create_dir(&journal).unwrap();
    std::fs::write(crate::journal::segment_path(&journal, 1), header).unwrap();
    let disk = TestDisk::default();
    let store = super::open_on(home.path(), &disk);
    assert!(!disk.has_synced(home.path()));
    store.commit(put("a", "1")).unwrap();
    assert!(disk.has_synced(home.path()));
}

/// Segments of format 1 say so and are the same otherwise.
#[test]
fn a_journal_that_began_with_format_1_goes_on_with_format_2() {
    let home = tempfile::tempdir().unwrap();
    let segments = segmented(home.path());
    for path in &segments[..2] {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let mut header = [0; 84];
        file.read_exact_at(&mut header, 0).unwrap();
        assert_eq!(header[8..12], [0, 0, 0, 2]);
        header[11] = 1;
        let checksum: [u8; 32] = sha2::Sha256::digest(&header[..52]).into();
        header[52..].copy_from_slice(&checksum);
        file.write_all_at(&header, 0).unwrap();
    }
    std::fs::remove_dir_all(home.path().join("index")).unwrap();
    for options in [SledOptions::one_shot(), SledOptions::server()] {
        let store = SledStore::open(home.path(), &options).unwrap();
        assert_eq!(store.opening().last_commit, 50);
    }
}

#[test]
fn a_segment_of_a_newer_format_is_refused_with_both_numbers() {
    let home = tempfile::tempdir().unwrap();
    let segments = segmented(home.path());
    let mut header = std::fs::read(&segments[0]).unwrap()[..84].to_vec();
    header[8..12].copy_from_slice(&7u32.to_be_bytes());
    let checksum = sha2::Sha256::digest(&header[..52]);
    header[52..].copy_from_slice(&checksum);
    let file = File::options().write(true).open(&segments[0]).unwrap();
    file.write_all_at(&header, 0).unwrap();
    let error = SledStore::open(home.path(), &SledOptions::server()).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::NewerFormat {
                found: 7,
                known: 2,
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
    let mut opened = open(home, &options, Arc::new(SystemDisk), &mut |_| {}).unwrap();
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
fn a_failed_sync_of_a_new_segment_stops_writing() {
    // The header's, the directory's.
    for failing in 1..=2 {
        let home = tempfile::tempdir().unwrap();
        let disk = TestDisk::default();
        let options = SledOptions::server();
        let mut opened = open(home.path(), &options, Arc::new(disk.clone()), &mut |_| {}).unwrap();
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
