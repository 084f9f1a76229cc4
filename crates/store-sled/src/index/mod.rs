//! The index: what the journal says, in an order that can be looked up. It can always be made again.

mod memory;
mod pending;
mod stream;
mod tree;

use std::collections::BTreeMap;

use bowline_store::checkpoint::Entry;
use bowline_store::{Effect, Key, StoreError, Value, View};

pub(crate) use memory::MemoryIndex;
pub(crate) use pending::{Layered, Pending};
pub(crate) use stream::{Difference, DifferenceKind, Load};
pub(crate) use tree::{IndexError, SledIndex};

use crate::journal::Position;

/// What a read found: a record, none, or something that was never written.
pub(crate) type Found<T> = Result<T, Damage>;

/// Why the index cannot be used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// What was read is not what was written.
    Wrong(String),
    /// There was no room for what had to be written.
    DiskFull(String),
}

impl Damage {
    /// What happened, in words.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Damage::Wrong(reason) | Damage::DiskFull(reason) => reason,
        }
    }
}

/// Changes not yet in the index, each record once and in key order.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) records: BTreeMap<Key, Option<Value>>,
    pub(crate) numbers: BTreeMap<Key, u64>,
}

impl Changes {
    /// Adds what a later commit changes.
    pub(crate) fn add(&mut self, effect: Effect) {
        self.records.extend(effect.records);
        self.numbers.extend(effect.numbers);
    }

    /// Adds what there is in the end.
    pub(crate) fn insert(&mut self, entry: Entry) {
        match entry {
            Entry::Record(key, value) => drop(self.records.insert(key, Some(value))),
            Entry::Number(prefix, number) => drop(self.numbers.insert(prefix, number)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.numbers.is_empty()
    }
}

/// Answers reads, and takes the journal's changes in its order.
pub(crate) enum Index {
    /// On disk, for a home of any size.
    Sled(SledIndex),
    /// Made from a short journal, for a process that does little.
    Memory(MemoryIndex),
}

impl Index {
    pub(crate) fn get(&self, key: &Key) -> Found<Option<Value>> {
        match self {
            Index::Sled(index) => index.get(key),
            Index::Memory(index) => Ok(index.get(key)),
        }
    }

    pub(crate) fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Found<Vec<(Key, Value)>> {
        match self {
            Index::Sled(index) => index.scan(prefix, after, limit),
            Index::Memory(index) => Ok(index.scan(prefix, after, limit)),
        }
    }

    pub(crate) fn last_number(&self, prefix: &Key) -> Found<u64> {
        match self {
            Index::Sled(index) => index.last_number(prefix),
            Index::Memory(index) => Ok(index.last_number(prefix)),
        }
    }

    /// Applies all changes, and then that the journal was applied up to `position`.
    pub(crate) fn apply(&self, changes: Changes, position: &Position) -> Found<()> {
        match self {
            Index::Sled(index) => index.apply(&changes, position, &|_| {}),
            Index::Memory(index) => {
                index.apply(changes);
                Ok(())
            }
        }
    }
}

/// The index with the changes of a group that is being decided.
pub(crate) struct GroupView<'a> {
    pub(crate) layered: Layered<'a>,
    pub(crate) changes: &'a Changes,
}

impl View for GroupView<'_> {
    fn get(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        match self.changes.records.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.layered.get(key).map_err(StoreError::from),
        }
    }

    fn last_number(&self, prefix: &Key) -> Result<u64, StoreError> {
        match self.changes.numbers.get(prefix) {
            Some(number) => Ok(*number),
            None => self.layered.last_number(prefix).map_err(StoreError::from),
        }
    }
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> StoreError {
        match damage {
            Damage::Wrong(reason) => StoreError::Corrupt { reason },
            Damage::DiskFull(reason) => StoreError::Unavailable { reason },
        }
    }
}
