//! Random histories with restarts, compared with a plain map; a failing one is shrunk.

use std::collections::BTreeMap;

use bowline_store::checkpoint::{Entry, Reader};
use bowline_store::{Commit, Key, MemoryStore, Store, Value};
use bowline_store_sled::{SledOptions, SledStore};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Operation>),
    Reopen { in_memory: bool },
    LoseIndex,
}

#[derive(Clone, Debug)]
enum Operation {
    ExpectAbsent(u8),
    ExpectEquals(u8, u8),
    Put(u8, u8),
    Delete(u8),
    Append(u8),
}

fn operation() -> impl Strategy<Value = Operation> {
    let name = 0u8..5;
    let text = 0u8..3;
    prop_oneof![
        1 => name.clone().prop_map(Operation::ExpectAbsent),
        1 => (name.clone(), text.clone()).prop_map(|(n, t)| Operation::ExpectEquals(n, t)),
        4 => (name.clone(), text).prop_map(|(n, t)| Operation::Put(n, t)),
        2 => name.prop_map(Operation::Delete),
        2 => (0u8..2).prop_map(Operation::Append),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => prop::collection::vec(operation(), 0..6).prop_map(Step::Commit),
        2 => any::<bool>().prop_map(|in_memory| Step::Reopen { in_memory }),
        1 => Just(Step::LoseIndex),
    ]
}

fn key(name: u8) -> Key {
    Key::new(format!("k{name}")).unwrap()
}

fn value(text: u8) -> Value {
    Value::new(vec![text; usize::from(text) * 100]).unwrap()
}

fn commit(operations: &[Operation]) -> Commit {
    operations
        .iter()
        .fold(Commit::new(), |commit, operation| match *operation {
            Operation::ExpectAbsent(name) => commit.expect_absent(key(name)),
            Operation::ExpectEquals(name, text) => commit.expect_equals(key(name), value(text)),
            Operation::Put(name, text) => commit.put(key(name), value(text)),
            Operation::Delete(name) => commit.delete(key(name)),
            Operation::Append(prefix) => commit.append(Key::new([b'e', prefix]).unwrap(), value(1)),
        })
}

/// Makes a checkpoint whenever something was committed since the last.
fn server() -> SledOptions {
    SledOptions {
        checkpoint_bytes: 1,
        ..SledOptions::server()
    }
}

fn everything(store: &dyn Store) -> BTreeMap<Key, Value> {
    store
        .scan(&Key::empty(), None, 1_000)
        .unwrap()
        .into_iter()
        .collect()
}

/// What a checkpoint says, and how many commits are in it.
fn checkpoint(store: &dyn Store) -> (u64, Vec<Entry>) {
    let mut bytes = Vec::new();
    let summary = store.checkpoint(&mut bytes, &mut |_| {}).unwrap();
    let mut reader = Reader::open(&bytes[..]).unwrap();
    let entries = std::iter::from_fn(|| reader.next().unwrap()).collect();
    (summary.header.sequence, entries)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_answers_as_a_map_does(steps in prop::collection::vec(step(), 1..40)) {
        let home = tempfile::tempdir().unwrap();
        let open = |options: &SledOptions| SledStore::open(home.path(), options).unwrap();
        let model = MemoryStore::new();
        let mut store = Some(open(&SledOptions::one_shot()));
        for step in steps {
            match step {
                Step::Commit(operations) => {
                    let store = store.as_ref().unwrap();
                    let commit = commit(&operations);
                    prop_assert_eq!(store.commit(commit.clone()), model.commit(commit));
                }
                Step::Reopen { in_memory } => {
                    drop(store.take());
                    let options = match in_memory {
                        true => SledOptions::one_shot(),
                        false => server(),
                    };
                    store = Some(open(&options));
                }
                Step::LoseIndex => {
                    drop(store.take());
                    std::fs::remove_dir_all(home.path().join("index")).ok();
                    store = Some(open(&server()));
                }
            }
            let store = store.as_ref().unwrap();
            prop_assert_eq!(everything(store), everything(&model));
            prop_assert_eq!(checkpoint(store), checkpoint(&model));
        }
    }
}
