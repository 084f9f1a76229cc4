//! Reads through the layers beside a plain map, and who waits for whom.

use std::cell::RefCell;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::index::MemoryIndex;

#[derive(Clone, Debug)]
enum Step {
    /// A group of records, put or deleted, and a last number.
    Add(Vec<(u8, Option<u8>)>, u64),
    /// What the applier does next.
    Apply(Pace),
}

/// How far the applier comes.
#[derive(Clone, Copy, Debug)]
enum Pace {
    Take,
    /// So many records of what it took.
    Some(usize),
    /// All of it, and lets it go.
    Rest,
}

fn pace() -> impl Strategy<Value = Pace> {
    prop_oneof![
        2 => Just(Pace::Take),
        2 => (0usize..6).prop_map(Pace::Some),
        1 => Just(Pace::Rest),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let record = (0u8..12, prop::option::weighted(0.5, any::<u8>()));
    prop_oneof![
        (prop::collection::vec(record, 1..8), 0u64..9).prop_map(|(group, n)| Step::Add(group, n)),
        pace().prop_map(Step::Apply),
    ]
}

/// Keys under three prefixes, one of which is the end of another.
fn key(name: u8) -> Key {
    Key::new(format!(
        "{}{:x}",
        ["a", "ab", "b"][usize::from(name) % 3],
        name
    ))
    .unwrap()
}

fn value(text: u8) -> Value {
    Value::new(vec![text]).unwrap()
}

fn position(sequence: u64) -> Position {
    Position {
        sequence,
        ..Position::START
    }
}

/// An applier that stops wherever it is told to.
struct Applier {
    index: Index,
    taken: Option<(Changes, usize)>,
}

impl Applier {
    fn go(&mut self, pending: &Pending, pace: Pace) {
        if self.taken.is_none() && pending.bytes() > 0 {
            let (changes, _) = pending.take().unwrap();
            let changes = Changes {
                records: changes.records.clone(),
                numbers: changes.numbers.clone(),
            };
            self.taken = Some((changes, 0));
        }
        let Some((changes, done)) = &mut self.taken else {
            return;
        };
        let until = match pace {
            Pace::Take => return,
            Pace::Some(records) => *done + records,
            Pace::Rest => usize::MAX,
        };
        let mut part = Changes::default();
        let records = changes.records.iter().take(until).skip(*done);
        part.records = records
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if until == usize::MAX {
            part.numbers = changes.numbers.clone();
        }
        self.index.apply(part, &Position::START).unwrap();
        *done = until;
        if until == usize::MAX {
            pending.applied();
            self.taken = None;
        }
    }
}

#[derive(Default)]
struct Model {
    records: BTreeMap<Key, Value>,
    number: Option<u64>,
}

impl Model {
    fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> Vec<(Key, Value)> {
        let records = self.records.iter();
        let asked = records
            .filter(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| after.is_none_or(|after| *key > after));
        asked
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Also while the applier goes on between the two halves of a scan.
    #[test]
    fn however_far_the_applier_has_come_reads_answer_as_a_map_does(
        steps in prop::collection::vec(step(), 1..30),
        meanwhile in prop::collection::vec(pace(), 1..4),
        limit in 0usize..8,
    ) {
        let pending = Pending::default();
        let applier = RefCell::new(Applier {
            index: Index::Memory(MemoryIndex::default()),
            taken: None,
        });
        let mut model = Model::default();
        let number = Key::new("n").unwrap();
        for (count, step) in steps.into_iter().enumerate() {
            match step {
                Step::Add(group, last) => {
                    let mut changes = Changes::default();
                    for (name, text) in group {
                        let text = text.map(value);
                        match &text {
                            Some(text) => drop(model.records.insert(key(name), text.clone())),
                            None => drop(model.records.remove(&key(name))),
                        }
                        changes.records.insert(key(name), text);
                    }
                    changes.numbers.insert(number.clone(), last);
                    model.number = Some(last);
                    pending.add(changes, &position(count as u64));
                }
                Step::Apply(pace) => applier.borrow_mut().go(&pending, pace),
            }
            let check = |applier: &Applier| {
                let layered = Layered { index: &applier.index, pending: &pending };
                for name in 0..12 {
                    prop_assert_eq!(layered.get(&key(name)).unwrap(), model.records.get(&key(name)).cloned());
                }
                prop_assert_eq!(layered.last_number(&number).unwrap(), model.number.unwrap_or(0));
                Ok(())
            };
            check(&applier.borrow())?;
            let meanwhile = RefCell::new(meanwhile.iter().cycle());
            for prefix in ["", "a", "ab", "b", "c"].map(|text| Key::new(text).unwrap()) {
                for after in [None, Some(Key::empty()), Some(key(1)), Some(key(6)), Some(key(11))] {
                    let below = |after: Option<&Key>| {
                        let mut applier = applier.borrow_mut();
                        applier.go(&pending, *meanwhile.borrow_mut().next().unwrap());
                        applier.index.scan(&prefix, after, limit)
                    };
                    let found = scan(&pending, &prefix, after.as_ref(), limit, below).unwrap();
                    prop_assert_eq!(found, model.scan(&prefix, after.as_ref(), limit), "{} {:?}", prefix, after);
                }
            }
            check(&applier.borrow())?;
        }
    }
}

fn group(bytes: usize) -> Changes {
    let mut changes = Changes::default();
    for (name, _) in (0..=u8::MAX).zip((0..bytes).step_by(1024)) {
        let value = Value::new(vec![name; 1024]).unwrap();
        changes
            .records
            .insert(Key::new([name]).unwrap(), Some(value));
    }
    changes
}

#[test]
fn writers_wait_for_a_slow_applier_and_go_on_as_it_does() {
    let pending = Pending::default();
    let groups = WAITING_BYTES_MAX / (128 * 1024) + 1;
    for _ in 0..groups {
        pending.add(group(128 * 1024), &position(1));
    }
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| pending.wait_for_room());
        let (_, taken) = pending.take().unwrap();
        assert_eq!(taken, position(1));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!writer.is_finished(), "taking alone makes no room");
        pending.progressed(256 * 1024 + groups * 128 * RECORD_OVERHEAD_BYTES);
        writer.join().unwrap();
        pending.applied();
        pending.wait_until_applied();
        assert_eq!(pending.bytes(), 0);
    });
}

#[test]
fn nobody_waits_for_an_applier_that_has_stopped() {
    let pending = Pending::default();
    pending.add(group(256 * 1024), &position(1));
    while pending.bytes() < WAITING_BYTES_MAX as u64 {
        pending.add(group(256 * 1024), &position(1));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| pending.wait_for_room());
        scope.spawn(|| pending.wait_until_applied());
        std::thread::sleep(Duration::from_millis(20));
        pending.stop();
    });
    let index = Index::Memory(MemoryIndex::default());
    let layered = Layered {
        index: &index,
        pending: &pending,
    };
    let found = layered.get(&Key::new([7]).unwrap()).unwrap();
    assert!(found.is_some(), "what waits can still be read");
}

#[test]
fn the_last_of_it_is_taken_after_no_more_is_coming() {
    let pending = Pending::default();
    pending.add(group(1024), &position(1));
    pending.end();
    assert!(pending.take().is_some());
    pending.applied();
    assert!(pending.take().is_none());
}
