//! The index of a short-lived process: starting sled costs more than reading a short journal.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use bowline_store::{Key, Value};

use super::Changes;

/// Everything the journal says, in memory. What is on disk stays as it is, and catches up another time.
#[derive(Debug, Default)]
pub(crate) struct MemoryIndex(RwLock<Records>);

#[derive(Debug, Default)]
struct Records {
    values: BTreeMap<Key, Value>,
    numbers: BTreeMap<Key, u64>,
}

impl MemoryIndex {
    pub(crate) fn get(&self, key: &Key) -> Option<Value> {
        self.read().values.get(key).cloned()
    }

    pub(crate) fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Vec<(Key, Value)> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let records = self.read();
        let range = records.values.range((start, Bound::Unbounded));
        let found = range
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit);
        found
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    pub(crate) fn last_number(&self, prefix: &Key) -> u64 {
        self.read().numbers.get(prefix).copied().unwrap_or(0)
    }

    pub(crate) fn apply(&self, changes: Changes) {
        let mut records = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in changes.records {
            match value {
                Some(value) => records.values.insert(key, value),
                None => records.values.remove(&key),
            };
        }
        records.numbers.extend(changes.numbers);
    }

    fn read(&self) -> RwLockReadGuard<'_, Records> {
        // Nothing that could panic runs under the lock, so even a poisoned one guards whole groups.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Changes> for MemoryIndex {
    fn from(changes: Changes) -> MemoryIndex {
        let present = changes.records.into_iter();
        MemoryIndex(RwLock::new(Records {
            values: present
                .filter_map(|(key, value)| Some((key, value?)))
                .collect(),
            numbers: changes.numbers,
        }))
    }
}
