//! Bits flip in the index of a home that was killed and is too large to be compared after every start:
//! every record that is missing then is noticed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bowline_store::{Commit, Key, Store, Value};
use bowline_store_sled::{Action, SledOptions, SledStore};

const FLIPS: usize = 80;

/// With 60 kB each, more than a home may have that is compared after it was closed in good order.
const LARGE: u64 = 300;
const SMALL: u64 = 3_000;

fn key(kind: &str, number: u64) -> Key {
    Key::new(format!("{kind}/{number:05}")).unwrap()
}

fn large(number: u64) -> Value {
    Value::new(number.to_be_bytes().repeat(60_000 / 8)).unwrap()
}

fn small(number: u64) -> Value {
    Value::new(number.to_string()).unwrap()
}

fn fill(store: &SledStore) {
    for number in 0..LARGE {
        let mut commit = Commit::new().put(key("large", number), large(number));
        for each in 0..SMALL / LARGE {
            let number = number * (SMALL / LARGE) + each;
            commit = commit.put(key("small", number), small(number));
        }
        store.commit(commit).unwrap();
    }
}

fn check(store: &SledStore, what: &str) {
    for number in 0..LARGE {
        let found = store.get(&key("large", number)).unwrap();
        assert!(found == Some(large(number)), "{what}: large {number}");
    }
    for number in 0..SMALL {
        let found = store.get(&key("small", number)).unwrap();
        assert!(found == Some(small(number)), "{what}: small {number}");
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let name = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(name.parent().unwrap()).unwrap();
        fs::copy(path, name).unwrap();
    }
}

#[test]
fn every_record_missing_after_a_flipped_bit_and_a_kill_is_noticed() {
    // 1. A home as a killed server leaves it.
    let home = tempfile::tempdir().unwrap();
    let options = SledOptions {
        checkpoint_bytes: 8 * 1024 * 1024,
        ..SledOptions::server()
    };
    let store = SledStore::open(home.path(), &options).unwrap();
    fill(&store);
    // Until sled has handed over what it has, and no checkpoint is under way.
    std::thread::sleep(Duration::from_secs(2));
    let killed = tempfile::tempdir().unwrap();
    copy(home.path(), killed.path());
    drop(store);

    // 2. Bits that say something: what was never written does not.
    let index = files(&killed.path().join("index"));
    let mut places = Vec::new();
    for file in &index {
        let bytes = fs::read(file).unwrap();
        let written = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        places.extend((0..written).step_by(61).map(|at| (file.clone(), at)));
    }
    let step = places.len() / FLIPS;
    let places: Vec<_> = places.into_iter().step_by(step).take(FLIPS).collect();
    assert_eq!(places.len(), FLIPS);

    // 3. Each of them in a home of its own.
    let (next, rebuilt) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((file, at)) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let flipped = tempfile::tempdir().unwrap();
                    copy(killed.path(), flipped.path());
                    let file = file.strip_prefix(killed.path()).unwrap();
                    let mut bytes = fs::read(flipped.path().join(file)).unwrap();
                    bytes[*at] ^= 1 << (at % 8);
                    fs::write(flipped.path().join(file), bytes).unwrap();
                    let store = SledStore::open(flipped.path(), &options).unwrap();
                    let actions = &store.opening().actions;
                    let made = |action: &Action| matches!(action, Action::RebuiltIndex { .. });
                    rebuilt.fetch_add(
                        actions.iter().filter(|a| made(a)).count(),
                        Ordering::Relaxed,
                    );
                    check(&store, &format!("{} at {at}", file.display()));
                }
            });
        }
    });
    let rebuilt = rebuilt.into_inner();
    println!("{FLIPS} bits flipped, 0 records missing; the index was made again {rebuilt} times");
    assert!(rebuilt > FLIPS / 4, "{rebuilt}: the flips were felt");
}
