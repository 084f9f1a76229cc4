//! What a home may look like when it is opened, and what comes of it.

use std::fs;
use std::path::{Path, PathBuf};

use bowline_store::{Commit, Key, Store, StoreError, Value};
use bowline_store_sled::{Action, Holder, OpenError, SledOptions, SledStore, holder};
use tempfile::TempDir;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn value(text: &str) -> Value {
    Value::new(text).unwrap()
}

fn open(home: &Path) -> Result<SledStore, OpenError> {
    SledStore::open(home, &SledOptions::server())
}

/// Commits k1, k2, … in order, each with an event.
fn write(store: &SledStore, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let commit = Commit::new()
            .put(key(&format!("k{number}")), value(&number.to_string()))
            .append(key("e/"), value(&number.to_string()));
        store.commit(commit).unwrap();
    }
}

/// How many of k1, k2, … are there, after checking that they are the first ones, with their events.
fn present(store: &SledStore) -> u64 {
    let records = store.scan(&key("k"), None, 1_000).unwrap();
    let events = store.scan(&key("e/"), None, 1_000).unwrap();
    assert_eq!(records.len(), events.len());
    for number in 1..=records.len() as u64 {
        let text = value(&number.to_string());
        assert_eq!(
            store.get(&key(&format!("k{number}"))),
            Ok(Some(text.clone()))
        );
        let at = key("e/").numbered(number).unwrap();
        assert_eq!(store.get(&at), Ok(Some(text)));
    }
    records.len() as u64
}

fn home_with(commits: u64) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    write(&open(home.path()).unwrap(), 1..=commits);
    home
}

fn segment(home: &Path) -> PathBuf {
    home.join("journal/00000000000000000001.journal")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }
}

/// Notes of a process that was killed right after acknowledging this commit, as far as opening cares: none.
fn forget_notes(home: &Path) {
    fs::write(home.join("lock"), "").unwrap();
}

#[test]
fn a_second_opener_is_told_the_pid_of_the_first() {
    let home = home_with(1);
    assert_eq!(holder(home.path()).unwrap(), None);
    let store = open(home.path()).unwrap();
    let pid = Some(std::process::id());
    assert_eq!(holder(home.path()).unwrap(), Some(Holder { pid }));
    for options in [SledOptions::server(), SledOptions::one_shot()] {
        let error = SledStore::open(home.path(), &options).unwrap_err();
        let expected = format!(
            "home {} is in use by process {}",
            home.path().display(),
            std::process::id()
        );
        assert_eq!(error.to_string(), expected);
    }
    drop(store);
    assert_eq!(present(&open(home.path()).unwrap()), 1);
}

#[test]
fn a_home_that_is_missing_is_not_made() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("missing");
    let error = open(&missing).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    assert!(!missing.exists());
}

#[test]
fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = home_with(1);
    let mode = |name: &str| {
        fs::metadata(home.path().join(name))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("lock") & 0o777, 0o600);
    assert_eq!(mode("journal") & 0o777, 0o700);
    assert_eq!(mode("index") & 0o777, 0o700);
    assert_eq!(mode("journal/00000000000000000001.journal") & 0o777, 0o600);
}

#[test]
fn after_a_clean_shutdown_nothing_has_to_be_done() {
    let home = home_with(10);
    let store = open(home.path()).unwrap();
    assert_eq!(store.opening().actions, []);
    assert_eq!(store.opening().last_commit, 10);
    assert!(store.opening().last_written_at.is_some());
    assert_eq!(present(&store), 10);
}

#[test]
fn a_deleted_index_is_made_again() {
    let home = home_with(10);
    fs::remove_dir_all(home.path().join("index")).unwrap();
    let store = open(home.path()).unwrap();
    let because = "it is missing".to_owned();
    let expected = Action::RebuiltIndex {
        because,
        checkpoint: None,
        commits: 10,
    };
    assert_eq!(store.opening().actions, [expected]);
    assert_eq!(present(&store), 10);
    write(&store, 11..=12);
    assert_eq!(present(&store), 12);
}

#[test]
fn an_index_that_is_behind_is_caught_up() {
    let home = home_with(5);
    let old = home.path().join("old");
    copy(&home.path().join("index"), &old);
    write(&open(home.path()).unwrap(), 6..=12);
    fs::remove_dir_all(home.path().join("index")).unwrap();
    fs::rename(old, home.path().join("index")).unwrap();
    let store = open(home.path()).unwrap();
    assert_eq!(store.opening().actions, [Action::Replayed { commits: 7 }]);
    assert_eq!(present(&store), 12);
}

#[test]
fn a_command_in_memory_leaves_the_index_behind_and_a_server_catches_it_up() {
    let home = home_with(5);
    let store = SledStore::open(home.path(), &SledOptions::one_shot()).unwrap();
    assert!(store.opening().in_memory);
    assert_eq!(present(&store), 5);
    write(&store, 6..=8);
    assert_eq!(present(&store), 8);
    drop(store);
    let store = open(home.path()).unwrap();
    assert_eq!(store.opening().actions, [Action::Replayed { commits: 3 }]);
    assert_eq!(present(&store), 8);
}

#[test]
fn an_index_ahead_of_the_journal_is_refused() {
    let home = home_with(5);
    let old = fs::read(segment(home.path())).unwrap();
    write(&open(home.path()).unwrap(), 6..=8);
    fs::write(segment(home.path()), old).unwrap();
    let refused = |home: &Path| {
        let error = open(home).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("commit 8"), "{error}");
    };
    // The notes know that commit 8 was acknowledged; so does the index.
    refused(home.path());
    let error = SledStore::open(home.path(), &SledOptions::one_shot()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    refused(home.path());
}

#[test]
fn an_index_of_another_history_is_refused() {
    let home = home_with(5);
    let other = home_with(5);
    write(&open(other.path()).unwrap(), 6..=6);
    let index = home.path().join("index");
    fs::remove_dir_all(&index).unwrap();
    copy(&other.path().join("index"), &index);
    let error = open(home.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[test]
fn a_last_record_torn_at_any_byte_is_cut_and_said() {
    let home = home_with(4);
    let before = fs::metadata(segment(home.path())).unwrap().len() as usize;
    let base = tempfile::tempdir().unwrap();
    copy(home.path(), base.path());
    write(&open(home.path()).unwrap(), 5..=5);
    let whole = fs::read(segment(home.path())).unwrap();
    for length in before..whole.len() {
        for garbage in [false, true] {
            let torn = tempfile::tempdir().unwrap();
            copy(base.path(), torn.path());
            let mut bytes = whole[..length].to_vec();
            if garbage {
                // The file's length arrived, its last bytes did not.
                bytes.resize(whole.len(), 0);
            }
            fs::write(segment(torn.path()), &bytes).unwrap();
            let store = SledStore::open(torn.path(), &SledOptions::one_shot()).unwrap();
            let cut = bytes.len() - before;
            let expected = Action::CutTornTail {
                file: segment(torn.path()),
                offset: before as u64,
                bytes: cut as u64,
            };
            match cut {
                0 => assert_eq!(store.opening().actions, []),
                _ => assert_eq!(store.opening().actions, [expected]),
            }
            assert_eq!(present(&store), 4);
            write(&store, 5..=6);
            drop(store);
            let store = SledStore::open(torn.path(), &SledOptions::one_shot()).unwrap();
            assert_eq!(present(&store), 6, "cut at {length}");
        }
    }
    // With sled, a few of them.
    for length in (before..whole.len()).step_by(41) {
        let torn = tempfile::tempdir().unwrap();
        copy(base.path(), torn.path());
        fs::write(segment(torn.path()), &whole[..length]).unwrap();
        let store = open(torn.path()).unwrap();
        assert_eq!(present(&store), 4);
        write(&store, 5..=5);
        drop(store);
        assert_eq!(present(&open(torn.path()).unwrap()), 5);
    }
}

#[test]
fn a_last_record_that_was_acknowledged_is_never_cut() {
    let home = home_with(4);
    let whole = fs::read(segment(home.path())).unwrap();
    for length in (84..whole.len()).step_by(7) {
        fs::write(segment(home.path()), &whole[..length]).unwrap();
        for options in [SledOptions::server(), SledOptions::one_shot()] {
            let error = SledStore::open(home.path(), &options).unwrap_err();
            assert!(
                matches!(error, OpenError::Damaged { .. }),
                "{length}: {error}"
            );
        }
        assert_eq!(
            fs::metadata(segment(home.path())).unwrap().len(),
            length as u64
        );
    }
    fs::write(segment(home.path()), &whole).unwrap();
    assert_eq!(present(&open(home.path()).unwrap()), 4);
}

#[test]
fn a_flipped_bit_anywhere_in_the_journal_is_refused_with_file_and_offset() {
    let home = home_with(6);
    let whole = fs::read(segment(home.path())).unwrap();
    let mut refused = 0;
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(segment(home.path()), &bytes).unwrap();
        let server = at % 5 == 0;
        let options = match server {
            true => SledOptions::server(),
            false => SledOptions::one_shot(),
        };
        match SledStore::open(home.path(), &options).unwrap_err() {
            OpenError::Damaged { file, offset, .. } => {
                assert_eq!(file, segment(home.path()));
                assert!(offset <= at as u64, "{offset} is at or before {at}");
            }
            error => panic!("byte {at}: {error}"),
        }
        let found = fs::read(segment(home.path())).unwrap();
        assert_eq!(found, bytes, "a refusal changes nothing");
        refused += 1;
    }
    assert!(refused > 200);
    fs::write(segment(home.path()), &whole).unwrap();
    assert_eq!(present(&open(home.path()).unwrap()), 6);
}

#[test]
fn a_flipped_bit_in_the_middle_is_refused_even_without_notes_and_index() {
    let home = home_with(6);
    let whole = fs::read(segment(home.path())).unwrap();
    let record = (whole.len() - 84) / 6;
    for at in (0..whole.len() - record).step_by(11) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(segment(home.path()), &bytes).unwrap();
        forget_notes(home.path());
        let error = SledStore::open(home.path(), &SledOptions::one_shot()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{at}: {error}");
    }
}

#[test]
fn a_damaged_journal_keeps_its_index_even_if_that_has_to_go() {
    let home = home_with(6);
    let mut bytes = fs::read(segment(home.path())).unwrap();
    bytes[200] ^= 1;
    fs::write(segment(home.path()), &bytes).unwrap();
    forget_notes(home.path());
    let error = open(home.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(home.path().join("index/db").exists());
}

#[test]
fn unreadable_notes_cost_a_rebuild_and_nothing_else() {
    let home = home_with(6);
    for notes in ["", "x", "bowline home lock 1\n"] {
        fs::write(home.path().join("lock"), notes).unwrap();
        let store = open(home.path()).unwrap();
        let actions = &store.opening().actions;
        assert!(
            matches!(&actions[..], [Action::RebuiltIndex { commits: 6, .. }]),
            "{actions:?}"
        );
        assert_eq!(present(&store), 6);
    }
}

#[test]
fn an_unfinished_snapshot_does_not_bar_the_start() {
    let home = home_with(6);
    let file = home.path().join("index/snap.00000000000000FF.generating");
    fs::write(&file, "half a snaps").unwrap();
    let store = open(home.path()).unwrap();
    let expected = Action::RemovedUnfinishedSnapshot { file: file.clone() };
    assert_eq!(store.opening().actions, [expected]);
    assert!(!file.exists());
    assert_eq!(present(&store), 6);
}

#[test]
fn an_index_that_sled_cannot_open_is_made_again() {
    let home = home_with(6);
    let index = home.path().join("index");
    let garbled = |name: &str| {
        let path = index.join(name);
        let length = fs::metadata(&path).unwrap().len() as usize;
        fs::write(path, vec![0x5a; length]).unwrap();
    };
    for round in 0..3 {
        match round {
            0 => garbled("conf"),
            1 => {
                // sled writes its snapshot when it starts over an existing log.
                drop(open(home.path()).unwrap());
                let names = fs::read_dir(&index).unwrap();
                let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
                let snapshots: Vec<_> = names.filter(|name| name.starts_with("snap.")).collect();
                assert_eq!(snapshots.len(), 1);
                garbled(&snapshots[0]);
            }
            _ => {
                fs::remove_dir_all(&index).unwrap();
                fs::write(&index, "a file").unwrap();
            }
        }
        let store = open(home.path()).unwrap();
        let actions = &store.opening().actions;
        assert!(
            matches!(&actions[..], [Action::RebuiltIndex { commits: 6, .. }]),
            "{round}: {actions:?}"
        );
        assert_eq!(present(&store), 6);
    }
}

#[test]
fn a_record_that_the_index_lost_without_a_word_is_noticed() {
    let home = home_with(6);
    let database = sled::open(home.path().join("index")).unwrap();
    let names = database.iter().keys().map(Result::unwrap);
    let name = names
        .into_iter()
        .find(|name| name.ends_with(b"k3"))
        .unwrap();
    database.remove(name).unwrap();
    drop(database);
    let store = open(home.path()).unwrap();
    let actions = &store.opening().actions;
    assert!(
        matches!(&actions[..], [Action::RebuiltIndex { because, .. }] if because.contains("k3")),
        "{actions:?}"
    );
    assert_eq!(present(&store), 6);
}

#[test]
fn a_flipped_bit_anywhere_in_the_index_changes_no_answer() {
    let home = home_with(40);
    let files = ["db", "conf"].map(|name| format!("index/{name}"));
    let mut flips = 0;
    for file in files {
        let whole = fs::read(home.path().join(&file)).unwrap();
        // The log is preallocated in part; what was never written says nothing.
        let written = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        for at in (0..written).step_by((written / 40).max(1)) {
            let flipped = tempfile::tempdir().unwrap();
            copy(home.path(), flipped.path());
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(flipped.path().join(&file), bytes).unwrap();
            let store = open(flipped.path()).unwrap();
            assert_eq!(present(&store), 40, "{file} at {at}");
            flips += 1;
        }
    }
    assert!(flips >= 80, "{flips}");
}

#[test]
fn a_wrong_value_in_the_index_closes_the_store_and_is_made_again() {
    let home = home_with(6);
    let database = sled::open(home.path().join("index")).unwrap();
    let (name, mut bytes) = database
        .iter()
        .map(Result::unwrap)
        .find(|(name, _)| name.ends_with(b"k3"))
        .unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    database.insert(name, bytes).unwrap();
    drop(database);

    // With a budget of nothing, opening believes the index.
    let options = SledOptions {
        verify_bytes: 0,
        ..SledOptions::server()
    };
    let store = SledStore::open(home.path(), &options).unwrap();
    assert_eq!(store.get(&key("k2")), Ok(Some(value("2"))));
    let error = store.get(&key("k3")).unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt { reason } if reason.contains("k3")),
        "{error}"
    );
    let after = store.get(&key("k2"));
    assert!(
        matches!(after, Err(StoreError::Unavailable { .. })),
        "{after:?}"
    );
    let commit = store.commit(Commit::new().put(key("x"), value("")));
    assert!(
        matches!(commit, Err(StoreError::Unavailable { .. })),
        "{commit:?}"
    );
    drop(store);

    let store = open(home.path()).unwrap();
    let actions = &store.opening().actions;
    assert!(
        matches!(&actions[..], [Action::RebuiltIndex { commits: 6, .. }]),
        "{actions:?}"
    );
    assert_eq!(present(&store), 6);
}
