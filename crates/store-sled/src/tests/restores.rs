//! Homes that are filled from a backup.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bowline_store::Store;
use bowline_store::checkpoint::{Reader, Summary};

use super::checkpoints::{checkpointed, files, first_of, lose_index, present, segments, write};
use super::disk::TestDisk;
use super::reopen;
use crate::{SledOptions, SledStore};

/// A backup as bytes.
pub(super) fn backup(store: &SledStore) -> (Vec<u8>, Summary) {
    let mut bytes = Vec::new();
    let summary = store.checkpoint(&mut bytes, &mut |_| {}).unwrap();
    (bytes, summary)
}

#[test]
fn a_restored_home_goes_on_where_the_backup_ended() {
    let from = tempfile::tempdir().unwrap();
    let store = checkpointed(from.path());
    let (bytes, summary) = backup(&store);
    assert_eq!(summary.header.sequence, 120);
    drop(store);
    let in_memory = SledStore::open(from.path(), &SledOptions::one_shot()).unwrap();
    assert!(in_memory.opening().in_memory);
    assert_eq!(backup(&in_memory).0, bytes, "from memory it is the same");

    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("unseal.key"), "k").unwrap();
    let mut reader = Reader::open(&bytes[..]).unwrap();
    let restored = crate::restore(home.path(), &mut reader, &mut |_| {}).unwrap();
    assert_eq!(restored, summary);
    for options in [
        SledOptions::one_shot(),
        SledOptions::server(),
        SledOptions::server(),
    ] {
        let store = SledStore::open(home.path(), &options).unwrap();
        assert_eq!(store.opening().last_commit, 120);
        assert!(store.opening().last_written_at.is_some());
        present(&store, 0..120);
        assert_eq!(backup(&store).0, bytes);
        assert_eq!(store.examine(&mut |_| {}), Ok(vec![]));
    }
    let again = crate::restore(
        home.path(),
        &mut Reader::open(&bytes[..]).unwrap(),
        &mut |_| {},
    );
    assert!(
        matches!(again, Err(crate::RestoreError::NotEmpty { .. })),
        "{again:?}"
    );
    let store = reopen(home.path());
    assert_eq!(store.opening().actions, []);
    write(&store, 120..130);
    drop(store);
    assert_eq!(first_of(&segments(home.path())[0]), 121);
    present(&reopen(home.path()), 0..130);
    lose_index(home.path());
    let store = reopen(home.path());
    present(&store, 0..130);
    store.keep().unwrap();
    write(&store, 130..135);
    store.keep().unwrap();
    drop(store);
    lose_index(home.path());
    present(&reopen(home.path()), 0..135);
}

/// The journal and the notes are what else would tell of commits behind the checkpoint.
#[test]
fn a_checkpoint_without_any_journal_is_not_believed() {
    let home = tempfile::tempdir().unwrap();
    let store = checkpointed(home.path());
    write(&store, 120..125);
    drop(store);
    fs::write(home.path().join("lock"), "").unwrap();
    for segment in segments(home.path()) {
        fs::remove_file(segment).unwrap();
    }
    lose_index(home.path());
    for options in [SledOptions::server(), SledOptions::one_shot()] {
        let error = SledStore::open(home.path(), &options).unwrap_err();
        assert!(error.to_string().contains("no segment"), "{error}");
    }
}

#[test]
fn a_restored_journal_that_is_begun_again_stays_whole() {
    let from = tempfile::tempdir().unwrap();
    let (bytes, _) = backup(&checkpointed(from.path()));
    let home = tempfile::tempdir().unwrap();
    let mut reader = Reader::open(&bytes[..]).unwrap();
    crate::restore(home.path(), &mut reader, &mut |_| {}).unwrap();
    let segment = segments(home.path()).remove(0);
    let header = fs::read(&segment).unwrap();
    assert_eq!(header.len(), 84);
    let disk = TestDisk::default();
    let store = super::open_on(home.path(), &disk);
    let (seen, path) = (Arc::new(Mutex::new(Vec::new())), segment.clone());
    disk.watch(Box::new({
        let seen = Arc::clone(&seen);
        move || seen.lock().unwrap().push(fs::read(&path).unwrap())
    }));
    write(&store, 120..121);
    disk.watch(Box::new(|| {}));
    let seen = seen.lock().unwrap();
    assert!(seen.len() > 2, "{}", seen.len());
    assert!(seen.iter().all(|bytes| bytes.starts_with(&header)));
}

#[test]
fn a_restore_that_was_killed_is_begun_again_and_a_home_is_never_overwritten() {
    let from = tempfile::tempdir().unwrap();
    let (bytes, _) = backup(&checkpointed(from.path()));
    let restore = |home: &Path| {
        let mut reader = Reader::open(&bytes[..]).unwrap();
        crate::restore(home, &mut reader, &mut |_| {})
    };
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("lock"), "").unwrap();
    let directory = home.path().join("checkpoint");
    fs::create_dir(&directory).unwrap();
    let journal = home.path().join("journal");
    fs::create_dir(&journal).unwrap();
    fs::write(journal.join("00000000000000000121.journal"), [0; 84]).unwrap();
    let unfinished = directory.join("00000000000000000120.checkpoint.new");
    fs::write(&unfinished, &bytes[..1_000]).unwrap();
    restore(home.path()).unwrap();
    assert!(!unfinished.exists());
    present(&reopen(home.path()), 0..120);
    let before = files(from.path());
    for occupied in [home.path(), from.path()] {
        let error = restore(occupied).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
    }
    assert_eq!(files(from.path()), before);
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("notes.txt"), "").unwrap();
    let error = restore(other.path()).unwrap_err();
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(files(other.path()).len(), 1);
    let store = reopen(from.path());
    let error = restore(from.path()).unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    present(&store, 0..120);
}

#[test]
fn what_does_not_read_is_not_restored_and_leaves_nothing() {
    let from = tempfile::tempdir().unwrap();
    let (bytes, _) = backup(&checkpointed(from.path()));
    for damage in 0..20 {
        let mut damaged = bytes.clone();
        match damage % 2 {
            0 => damaged.truncate(200 + damage * bytes.len() / 30),
            _ => damaged[200 + damage * bytes.len() / 30] ^= 1,
        }
        let home = tempfile::tempdir().unwrap();
        let mut reader = Reader::open(&damaged[..]).unwrap();
        let refused = crate::restore(home.path(), &mut reader, &mut |_| {}).unwrap_err();
        assert!(
            matches!(refused, crate::RestoreError::Checkpoint(_)),
            "{refused}"
        );
        assert_eq!(files(home.path()), [] as [PathBuf; 0]);
    }
}
