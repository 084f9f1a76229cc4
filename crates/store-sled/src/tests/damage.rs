//! Damage in a part of the journal that a newer checkpoint holds.

use std::fs;
use std::path::{Path, PathBuf};

use bowline_store::{Severity, Store};

use super::checkpoints::{
    checkpointed, checkpoints, copy, first_of, flip, lose_index, present, segmented, segments,
    write,
};
use super::reopen;
use super::restores::backup;
use crate::{Action, OpenError, SledOptions, SledStore};

/// Segments of [`checkpointed`] that only the checkpoint of commit 40 needs: all before the one with commit 80.
fn history(home: &Path) -> Vec<PathBuf> {
    let segments = segments(home);
    let holding = segments.iter().rposition(|path| first_of(path) <= 81);
    segments[..holding.unwrap()].to_vec()
}

fn flip_at(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn damage_before_the_newest_checkpoint_is_passed_over_and_said() {
    // In the header, and in a record.
    for at in [50, 100] {
        for which in [0, 1] {
            let home = tempfile::tempdir().unwrap();
            drop(checkpointed(home.path()));
            let damaged = history(home.path())[which].clone();
            flip_at(&damaged, at);
            for _ in 0..2 {
                let store = reopen(home.path());
                let actions = &store.opening().actions;
                assert!(
                    matches!(
                        &actions[..],
                        [Action::DamagedHistory { file, checkpoint: 80, .. }] if *file == damaged
                    ),
                    "{at} {which}: {actions:?}"
                );
                present(&store, 0..120);
                let findings = store.examine(&mut |_| {}).unwrap();
                assert_eq!(findings.len(), 1, "{findings:?}");
                assert_eq!(findings[0].code, "journal_damaged");
                assert_eq!(findings[0].severity, Severity::Warning);
                assert_eq!(backup(&store).1.header.sequence, 120);
            }
            let one_shot = SledStore::open(home.path(), &SledOptions::one_shot()).unwrap();
            present(&one_shot, 0..120);
            drop(one_shot);
            lose_index(home.path());
            let store = reopen(home.path());
            present(&store, 0..120);
            // The next two checkpoints make it superfluous.
            store.keep().unwrap();
            assert!(!damaged.exists());
            assert_eq!(store.examine(&mut |_| {}), Ok(vec![]));
        }
    }
}

#[test]
fn damage_before_the_newest_checkpoint_is_refused_if_that_is_damaged_too() {
    let home = tempfile::tempdir().unwrap();
    drop(checkpointed(home.path()));
    let damaged = history(home.path())[1].clone();
    flip_at(&damaged, 100);
    flip(&checkpoints(home.path())[1]);
    let error = SledStore::open(home.path(), &SledOptions::server()).unwrap_err();
    assert!(
        matches!(&error, OpenError::Damaged { file, .. } if *file == damaged),
        "{error}"
    );
}

#[test]
fn damage_behind_the_newest_checkpoint_is_refused_and_critical() {
    let home = tempfile::tempdir().unwrap();
    let store = checkpointed(home.path());
    let needed = segments(home.path());
    let needed: Vec<_> = needed.iter().filter(|path| first_of(path) > 81).collect();
    // Not the last, of which a part might be a write that was cut off.
    flip_at(needed[0], 100);
    let findings = store.examine(&mut |_| {}).unwrap();
    assert_eq!(findings[0].code, "journal_damaged", "{findings:?}");
    assert_eq!(findings[0].severity, Severity::Critical);
    drop(store);
    for options in [SledOptions::server(), SledOptions::one_shot()] {
        let error = SledStore::open(home.path(), &options).unwrap_err();
        assert!(
            matches!(&error, OpenError::Damaged { file, .. } if file == needed[0]),
            "{error}"
        );
    }
}

#[test]
fn an_index_that_ends_before_the_damage_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    let store = segmented(home.path());
    write(&store, 0..40);
    store.keep().unwrap();
    write(&store, 40..50);
    drop(store);
    let old = tempfile::tempdir().unwrap();
    copy(&home.path().join("index"), old.path());
    let store = segmented(home.path());
    write(&store, 50..80);
    store.keep().unwrap();
    write(&store, 80..120);
    drop(store);
    lose_index(home.path());
    copy(old.path(), &home.path().join("index"));
    let history = history(home.path());
    flip_at(history.last().unwrap(), 100);
    let store = reopen(home.path());
    let actions = &store.opening().actions;
    assert!(
        matches!(
            &actions[..],
            [
                Action::DamagedHistory { checkpoint: 80, .. },
                Action::RebuiltIndex {
                    checkpoint: Some(80),
                    ..
                }
            ]
        ),
        "{actions:?}"
    );
    present(&store, 0..120);
}
