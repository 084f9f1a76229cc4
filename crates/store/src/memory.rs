//! The engine without a disk: for tests, throw-away homes and as the model of the others.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::checkpoint::{Entry, Header, Summary, Writer};
use crate::{
    CheckpointError, Commit, Committed, Finding, Key, LimitError, Progress, SCAN_RECORDS_MAX,
    Store, StoreError, Value, View, decide,
};

/// Keeps every promise of [`Store`] except outliving its process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    records: RwLock<Records>,
}

#[derive(Debug, Default)]
struct Records {
    values: BTreeMap<Key, Value>,
    numbers: BTreeMap<Key, u64>,
    /// How many commits have written something.
    commits: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn read(&self) -> RwLockReadGuard<'_, Records> {
        // Nothing that could panic runs while writing has begun, so a poisoned lock still guards whole commits.
        self.records.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        Ok(self.read().values.get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        if limit > SCAN_RECORDS_MAX {
            return Err(LimitError::ScanTooLong { records: limit }.into());
        }
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let records = self.read();
        let found = records
            .values
            .range((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()));
        Ok(found.collect())
    }

    fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        let effect = decide(commit, &*records)?;
        let changed = !effect.is_empty();
        for (key, value) in effect.records {
            match value {
                Some(value) => records.values.insert(key, value),
                None => records.values.remove(&key),
            };
        }
        records.numbers.extend(effect.numbers);
        records.commits += u64::from(changed);
        Ok(effect.committed)
    }

    fn checkpoint(
        &self,
        output: &mut dyn Write,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Summary, CheckpointError> {
        // A copy, so that commits go on while a slow output is written to.
        let (values, numbers, header) = {
            let records = self.read();
            let header = Header {
                sequence: records.commits,
                link: [0; 32],
                written_at: 0,
            };
            (records.values.clone(), records.numbers.clone(), header)
        };
        let records = values
            .into_iter()
            .map(|(key, value)| Entry::Record(key, value));
        let numbers = numbers
            .into_iter()
            .map(|(prefix, number)| Entry::Number(prefix, number));
        let mut writer = Writer::begin(output, &header).map_err(CheckpointError::Output)?;
        for entry in records.chain(numbers) {
            writer.push(&entry).map_err(CheckpointError::Output)?;
        }
        let (_, summary) = writer.finish().map_err(CheckpointError::Output)?;
        progress(Progress {
            step: "writing the checkpoint",
            done: summary.bytes,
            total: summary.bytes,
        });
        Ok(summary)
    }

    fn examine(&self, _progress: &mut dyn FnMut(Progress)) -> Result<Vec<Finding>, StoreError> {
        // There is one copy, and nothing to hold it against.
        Ok(Vec::new())
    }
}

impl View for Records {
    fn get(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        Ok(self.values.get(key).cloned())
    }

    fn last_number(&self, prefix: &Key) -> Result<u64, StoreError> {
        Ok(self.numbers.get(prefix).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn the_memory_engine_keeps_the_promise() {
        conformance::run(&|| Box::new(MemoryStore::new()));
    }

    #[test]
    fn the_last_number_is_the_end_of_a_prefix() {
        let prefix = Key::new("e/").unwrap();
        let store = MemoryStore::new();
        let full = (prefix.clone(), u64::MAX - 1);
        store.records.write().unwrap().numbers.extend([full]);
        let append = || Commit::new().append(prefix.clone(), Value::new("x").unwrap());
        assert_eq!(store.commit(append()).unwrap().appended[0].number, u64::MAX);
        let exhausted = LimitError::NumbersExhausted {
            prefix: prefix.clone(),
        };
        assert_eq!(store.commit(append()), Err(StoreError::Limit(exhausted)));
    }
}
