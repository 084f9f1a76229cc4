//! A long mixed history, compared step by step with a plain map.

use std::collections::BTreeMap;

use super::{everything, key, value};
use crate::{Commit, Expectation, Key, Store, StoreError, Value};

const STEPS: u64 = 600;

/// Few keys, so that commits meet each other's records.
const NAMES: u64 = 12;

pub(super) type Records = BTreeMap<Key, Value>;

/// Runs the history.
pub(super) fn run(store: &dyn Store) {
    let mut model = Model::default();
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for step in 0..STEPS {
        model.step(store, &mut dice, step);
        if step % 100 == 99 {
            assert_eq!(
                everything(store),
                Vec::from_iter(model.records.clone()),
                "step {step}"
            );
        }
    }
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) records: Records,
    appended: u64,
}

impl Model {
    /// One commit, half of them with an expectation that may be wrong.
    pub(super) fn step(&mut self, store: &dyn Store, dice: &mut Dice, step: u64) {
        let mut commit = Commit::new();
        let mut holds = true;
        if dice.roll(2) == 0 {
            let name = key(&format!("k{}", dice.roll(NAMES)));
            let present = self.records.get(&name).cloned();
            let expectation = match (present, dice.roll(4)) {
                (Some(present), 0..=2) => Expectation::Equals(name, present),
                (Some(_), _) => {
                    holds = false;
                    Expectation::Absent(name)
                }
                (None, 0..=2) => Expectation::Absent(name),
                (None, _) => {
                    holds = false;
                    Expectation::Equals(name, value("never"))
                }
            };
            commit = commit.expect(expectation);
        }
        let mut records = self.records.clone();
        let first = dice.roll(NAMES);
        for offset in 0..dice.roll(4) {
            let name = key(&format!("k{}", (first + offset) % NAMES));
            if dice.roll(3) == 0 {
                records.remove(&name);
                commit = commit.delete(name);
            } else {
                let text = value(&format!("step {step}"));
                records.insert(name.clone(), text.clone());
                commit = commit.put(name, text);
            }
        }
        let appends = dice.roll(3);
        for offset in 1..=appends {
            let text = value(&format!("event of step {step}"));
            let at = key("e/")
                .numbered(self.appended + offset)
                .expect("a short key");
            records.insert(at, text.clone());
            commit = commit.append(key("e/"), text);
        }
        match store.commit(commit) {
            Ok(committed) => {
                assert!(
                    holds,
                    "step {step}: an expectation that fails is a conflict"
                );
                let numbers: Vec<u64> = committed.appended.iter().map(|a| a.number).collect();
                let dense: Vec<u64> = (1..=appends).map(|n| self.appended + n).collect();
                assert_eq!(numbers, dense, "step {step}");
                self.records = records;
                self.appended += appends;
            }
            Err(StoreError::Conflict { .. }) => {
                assert!(
                    !holds,
                    "step {step}: expectations that hold are no conflict"
                );
            }
            Err(error) => panic!("step {step}: {error}"),
        }
    }
}

/// Numbers that look random and are the same in every run (xorshift64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}
