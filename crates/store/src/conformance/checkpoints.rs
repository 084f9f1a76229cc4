//! A checkpoint holds everything that was committed before it was asked for, whole, and in order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Reopen, done, everything, get, key, value};
use crate::checkpoint::{Entry, Reader, Summary};
use crate::{CheckpointError, Commit, Key, Store, Value};

pub(super) fn run(fresh: &dyn Fn() -> Box<dyn Store>) {
    an_empty_store_has_an_empty_checkpoint(&*fresh());
    a_checkpoint_holds_what_is_there(&*fresh());
    a_checkpoint_counts_commits_up(&*fresh());
    commits_go_on_while_a_checkpoint_is_written(&*fresh());
    an_output_that_refuses_is_told_from_the_store(&*fresh());
    a_whole_store_has_no_findings(&*fresh());
}

pub(super) fn run_durable(fresh: &dyn Fn() -> Box<dyn Store>, reopen: Reopen<'_>) {
    a_checkpoint_is_the_same_after_a_restart(fresh(), reopen);
}

/// So many commits meet an examination in each of its parts.
const COMMITS_EXAMINED: u64 = 500;

/// Ends the other thread also when a promise is found broken, which would else wait for it.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a checkpoint says.
struct Taken {
    records: BTreeMap<Key, Value>,
    numbers: BTreeMap<Key, u64>,
    summary: Summary,
}

fn take(store: &dyn Store) -> Taken {
    let mut bytes = Vec::new();
    let mut told = 0;
    let summary = store
        .checkpoint(&mut bytes, &mut |progress| {
            assert!(progress.done <= progress.total, "{progress:?}");
            told += 1;
        })
        .unwrap_or_else(|error| panic!("a checkpoint is written: {error}"));
    assert_eq!(summary.bytes, bytes.len() as u64);
    let mut reader =
        Reader::open(&bytes[..]).unwrap_or_else(|error| panic!("a checkpoint reads: {error}"));
    let (mut records, mut numbers) = (BTreeMap::new(), BTreeMap::new());
    while let Some(entry) = reader
        .next()
        .unwrap_or_else(|error| panic!("a checkpoint reads to its end: {error}"))
    {
        match entry {
            Entry::Record(key, value) => drop(records.insert(key, value)),
            Entry::Number(prefix, number) => drop(numbers.insert(prefix, number)),
        }
    }
    let read = reader.summary();
    assert_eq!(read.ok().as_ref(), Some(&summary), "both ends count alike");
    Taken {
        records,
        numbers,
        summary,
    }
}

fn an_empty_store_has_an_empty_checkpoint(store: &dyn Store) {
    let taken = take(store);
    assert_eq!(taken.summary.header.sequence, 0);
    assert!(taken.records.is_empty() && taken.numbers.is_empty());
}

fn a_checkpoint_holds_what_is_there(store: &dyn Store) {
    for number in 0..40 {
        let name = key(&format!("k{number}"));
        let text = value(&"x".repeat(number * 1_000));
        done(
            store,
            Commit::new().put(name, text).append(key("e/"), value("")),
        );
    }
    done(
        store,
        Commit::new()
            .delete(key("k7"))
            .put(key("k8"), value("changed"))
            .append(key("f/"), value("1")),
    );
    // The highest number's record goes, the number stays.
    let last = key("e/").numbered(40).expect("a short key");
    done(store, Commit::new().delete(last));
    let taken = take(store);
    assert_eq!(Vec::from_iter(taken.records), everything(store));
    let numbers = [(key("e/"), 40), (key("f/"), 1)];
    assert_eq!(Vec::from_iter(taken.numbers), numbers);
}

fn a_checkpoint_counts_commits_up(store: &dyn Store) {
    let mut last = 0;
    for text in ["1", "2", "3"] {
        done(store, Commit::new().put(key("a"), value(text)));
        let sequence = take(store).summary.header.sequence;
        assert!(sequence > last, "{sequence} comes after {last}");
        last = sequence;
    }
    let again = take(store).summary.header.sequence;
    assert_eq!(again, last, "nothing was committed in between");
}

fn commits_go_on_while_a_checkpoint_is_written(store: &dyn Store) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&stop);
        scope.spawn(|| {
            let mut number = 0u64;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let text = value(&number.to_string());
                done(
                    store,
                    Commit::new()
                        .put(key("left"), text.clone())
                        .append(key("e/"), text.clone())
                        .put(key("right"), text),
                );
            }
        });
        for _ in 0..20 {
            let before = get(store, &key("right"));
            let taken = take(store);
            let number = |name: &str| -> u64 {
                let text = taken.records.get(&key(name));
                text.map_or(0, |text| {
                    let text = String::from_utf8_lossy(text.as_bytes()).into_owned();
                    text.parse().expect("a number was written")
                })
            };
            let left = number("left");
            assert_eq!(
                left,
                number("right"),
                "commits are in it whole or not at all"
            );
            let events = taken.records.keys().filter(|at| at.starts_with(&key("e/")));
            assert_eq!(events.count() as u64, left);
            assert_eq!(taken.numbers.get(&key("e/")).copied().unwrap_or(0), left);
            if let Some(before) = before {
                let before = String::from_utf8_lossy(before.as_bytes()).into_owned();
                let before: u64 = before.parse().expect("a number was written");
                assert!(left >= before, "what was read before is in it");
            }
        }
    });
}

fn an_output_that_refuses_is_told_from_the_store(store: &dyn Store) {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    done(store, Commit::new().put(key("a"), value("1")));
    let refused = store.checkpoint(&mut Full, &mut |_| {});
    assert!(
        matches!(refused, Err(CheckpointError::Output(_))),
        "{refused:?}"
    );
    done(store, Commit::new().put(key("a"), value("2")));
    assert_eq!(take(store).records.len(), 1, "the next one is whole");
}

fn a_whole_store_has_no_findings(store: &dyn Store) {
    let examine = || store.examine(&mut |_| {});
    assert_eq!(examine(), Ok(Vec::new()), "empty");
    for number in 0..50 {
        let name = key(&format!("k{number}"));
        done(
            store,
            Commit::new()
                .put(name, value(""))
                .append(key("e/"), value("x")),
        );
    }
    assert_eq!(examine(), Ok(Vec::new()));
    let (stop, committed) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _ends = Ends(&stop);
        scope.spawn(|| {
            for number in 0u64.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let name = key(&format!("k{}", number % 60));
                let commit = match number % 3 {
                    0 => Commit::new().delete(name),
                    _ => Commit::new().put(name, value(&number.to_string())),
                };
                done(store, commit.append(key("e/"), value("y")));
                committed.store(number, Ordering::Relaxed);
            }
        });
        while committed.load(Ordering::Relaxed) < COMMITS_EXAMINED {
            assert_eq!(examine(), Ok(Vec::new()), "commits are no findings");
        }
    });
}

fn a_checkpoint_is_the_same_after_a_restart(store: Box<dyn Store>, reopen: Reopen<'_>) {
    for number in 0..20 {
        let name = key(&format!("k{}", number % 7));
        let text = value(&number.to_string());
        done(
            &*store,
            Commit::new().put(name, text).append(key("e/"), value("x")),
        );
    }
    let before = take(&*store);
    let store = reopen(store);
    let after = take(&*store);
    assert_eq!(after.summary, before.summary);
    assert_eq!(after.records, before.records);
    assert_eq!(after.numbers, before.numbers);
    assert_eq!(store.examine(&mut |_| {}), Ok(Vec::new()));
}
