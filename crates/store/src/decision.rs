//! What a commit does to the records it meets: the one meaning that all engines share.

use std::collections::HashSet;

use crate::{Appended, Commit, Committed, Expectation, Key, LimitError, StoreError, Value, Write};

/// The records a commit is decided against: the engine's, with the commits decided before this one.
pub trait View {
    /// The value under `key`.
    fn get(&self, key: &Key) -> Result<Option<Value>, StoreError>;

    /// The number the prefix's last append got; 0 before the first. Deleting records does not lower it.
    fn last_number(&self, prefix: &Key) -> Result<u64, StoreError>;
}

/// What a commit that holds changes. Applying it cannot fail for any reason but the engine's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Each record once: its new value, or none if it is deleted.
    pub records: Vec<(Key, Option<Value>)>,
    /// Each append prefix once: the last number it has used.
    pub numbers: Vec<(Key, u64)>,
    /// What the caller is answered once the effect is durable.
    pub committed: Committed,
}

impl Effect {
    /// Whether there is nothing to keep: the commit only asked whether its expectations hold.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// Checks the limits and every expectation, then numbers the appends. Changes nothing.
pub fn decide(commit: Commit, view: &dyn View) -> Result<Effect, StoreError> {
    // 1. A commit no store would take.
    commit.check()?;
    let (expectations, writes) = commit.into_parts();

    // 2. What it relies on.
    for expectation in &expectations {
        let found = view.get(expectation.key())?;
        let holds = match expectation {
            Expectation::Absent(_) => found.is_none(),
            Expectation::Equals(_, value) => found.as_ref() == Some(value),
        };
        if !holds {
            return Err(conflict(expectation.key()));
        }
    }

    // 3. What it writes.
    let mut effect = Effect::default();
    let mut put = HashSet::new();
    for write in &writes {
        if let Write::Put(key, _) | Write::Delete(key) = write {
            put.insert(key.clone());
        }
    }
    for write in writes {
        match write {
            Write::Put(key, value) => effect.records.push((key, Some(value))),
            Write::Delete(key) => effect.records.push((key, None)),
            Write::Append(prefix, value) => {
                let number = next_number(&mut effect.numbers, prefix.clone(), view)?;
                let key = prefix.numbered(number)?;
                // An append never overwrites, neither an older record nor one of this commit.
                if !put.insert(key.clone()) || view.get(&key)?.is_some() {
                    return Err(conflict(&key));
                }
                effect.records.push((key.clone(), Some(value)));
                effect.committed.appended.push(Appended { key, number });
            }
        }
    }
    Ok(effect)
}

fn conflict(key: &Key) -> StoreError {
    StoreError::Conflict { key: key.clone() }
}

/// Counts up within the commit: several appends to one prefix get several numbers.
fn next_number(
    numbers: &mut Vec<(Key, u64)>,
    prefix: Key,
    view: &dyn View,
) -> Result<u64, StoreError> {
    let known = numbers.iter().position(|(known, _)| *known == prefix);
    let last = match known {
        Some(index) => numbers[index].1,
        None => view.last_number(&prefix)?,
    };
    let Some(next) = last.checked_add(1) else {
        return Err(LimitError::NumbersExhausted { prefix }.into());
    };
    match known {
        Some(index) => numbers[index].1 = next,
        None => numbers.push((prefix, next)),
    }
    Ok(next)
}
