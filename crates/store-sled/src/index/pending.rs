//! What the journal has and the index on disk has not yet: committed, durable, and read from here meanwhile.
//!
//! Two layers over the index. New groups are added to the upper one; the applier takes it down whole, writes it
//! to sled in key order, and lets it go. So no caller waits for sled, and what is changed again and again while
//! it waits is written once.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use bowline_store::{Key, Value};

use super::{Changes, Found, Index};
use crate::journal::Position;

/// How many bytes may be on their way before writers wait for the applier: as much as the largest group. One
/// group may come on top; and as much as both is in memory beside it, which is let go only when all is applied.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a record counts beside its bytes. It takes some 100 bytes of memory; but sled takes as long for a short
/// record as for one of 500 bytes, and room has to come about as evenly as time goes.
const RECORD_OVERHEAD_BYTES: usize = 500;

/// Groups of commits on their way from the journal into the index.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    layers: RwLock<Layers>,
    signal: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Layers {
    upper: Changes,
    /// What is being applied; readers find it here until all of it is in the index.
    lower: Arc<Changes>,
    /// What the journal holds once the upper layer is applied.
    position: Option<Position>,
}

#[derive(Debug, Default)]
struct Signal {
    /// How many bytes the upper layer has, about; 0 only when it has none.
    waiting: usize,
    /// How many of the lower one are not in the index yet.
    applying: usize,
    /// Whether there is a lower layer.
    busy: bool,
    /// No more is coming.
    ended: bool,
    /// Nothing is applied any more.
    stopped: bool,
}

/// What the committer does.
impl Pending {
    /// Adds a group that is durable: from here on it is seen.
    pub(crate) fn add(&self, changes: Changes, position: &Position) {
        let bytes = bytes(&changes);
        // Always taken in this order, so that what is counted is there.
        let mut signal = self.signal();
        let mut layers = self.write();
        layers.upper.records.extend(changes.records);
        layers.upper.numbers.extend(changes.numbers);
        layers.position = Some(position.clone());
        drop(layers);
        signal.waiting += bytes;
        drop(signal);
        self.changed.notify_all();
    }

    /// Waits until there is room for another group. Returns at once when nothing is applied any more.
    pub(crate) fn wait_for_room(&self) {
        let full = |signal: &Signal| signal.waiting + signal.applying >= WAITING_BYTES_MAX;
        drop(self.wait_while(|signal| full(signal) && !signal.stopped));
    }

    /// Waits until everything added before is in the index, or nothing is applied any more.
    pub(crate) fn wait_until_applied(&self) {
        let behind = |signal: &Signal| signal.waiting > 0 || signal.busy;
        drop(self.wait_while(|signal| behind(signal) && !signal.stopped));
    }

    /// How many bytes are not in the index yet, about.
    pub(crate) fn bytes(&self) -> u64 {
        let signal = self.signal();
        (signal.waiting + signal.applying) as u64
    }

    /// No more is coming; the applier ends once it has applied what waits.
    pub(crate) fn end(&self) {
        self.signal().ended = true;
        self.changed.notify_all();
    }
}

/// What the applier does.
impl Pending {
    /// All that waits, after waiting for some; none once no more is coming.
    pub(crate) fn take(&self) -> Option<(Arc<Changes>, Position)> {
        let mut signal = self.wait_while(|signal| signal.waiting == 0 && !signal.ended);
        if signal.waiting == 0 {
            return None;
        }
        let mut layers = self.write();
        // Something waits, so there is one.
        let position = layers.position.clone()?;
        let taken = Arc::new(std::mem::take(&mut layers.upper));
        layers.lower = Arc::clone(&taken);
        drop(layers);
        signal.applying = std::mem::take(&mut signal.waiting);
        signal.busy = true;
        drop(signal);
        self.changed.notify_all();
        Some((taken, position))
    }

    /// So many bytes of what was taken are in the index: there is room for as many.
    pub(crate) fn progressed(&self, bytes: usize) {
        let mut signal = self.signal();
        signal.applying = signal.applying.saturating_sub(bytes);
        drop(signal);
        self.changed.notify_all();
    }

    /// What was taken is in the index: readers find it there.
    pub(crate) fn applied(&self) {
        self.write().lower = Arc::default();
        let mut signal = self.signal();
        (signal.applying, signal.busy) = (0, false);
        drop(signal);
        self.changed.notify_all();
    }

    /// Nothing is applied any more, and nobody waits for it. What waits can still be read, and is in the journal.
    pub(crate) fn stop(&self) {
        self.signal().stopped = true;
        self.changed.notify_all();
    }
}

impl Pending {
    fn read(&self) -> RwLockReadGuard<'_, Layers> {
        // Nothing that could panic runs under the locks, so even a poisoned one guards whole groups.
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Layers> {
        self.layers.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self) -> MutexGuard<'_, Signal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, waits: impl Fn(&Signal) -> bool) -> MutexGuard<'_, Signal> {
        let signal = self.signal();
        let waited = self.changed.wait_while(signal, |signal| waits(signal));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// The first so many records under a prefix that the layers say anything of.
    fn range(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> BTreeMap<Key, Option<Value>> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let layers = self.read();
        let mut found = BTreeMap::new();
        // The upper one last, so that it wins.
        for layer in [&*layers.lower, &layers.upper] {
            let range = layer.records.range((start, Bound::Unbounded));
            let within = range.take_while(|(key, _)| key.starts_with(prefix));
            let first = within.take(limit);
            found.extend(first.map(|(key, value)| (key.clone(), value.clone())));
        }
        while found.len() > limit {
            found.pop_last();
        }
        found
    }
}

fn bytes(changes: &Changes) -> usize {
    let records = changes.records.iter();
    let records = records.map(|(key, value)| record_bytes(key, value.as_ref()));
    let numbers = changes
        .numbers
        .keys()
        .map(|prefix| record_bytes(prefix, None));
    records.chain(numbers).sum()
}

/// What a record takes while it waits, about.
pub(super) fn record_bytes(key: &Key, value: Option<&Value>) -> usize {
    key.len() + value.map_or(0, Value::len) + RECORD_OVERHEAD_BYTES
}

/// The index as callers see it, with what is on its way into it.
///
/// The layers are always asked first: what has left them meanwhile is in the index already.
#[derive(Clone, Copy)]
pub(crate) struct Layered<'a> {
    pub(crate) index: &'a Index,
    pub(crate) pending: &'a Pending,
}

impl Layered<'_> {
    pub(crate) fn get(&self, key: &Key) -> Found<Option<Value>> {
        let layers = self.pending.read();
        let found = layers.upper.records.get(key);
        if let Some(value) = found.or_else(|| layers.lower.records.get(key)) {
            return Ok(value.clone());
        }
        drop(layers);
        self.index.get(key)
    }

    pub(crate) fn last_number(&self, prefix: &Key) -> Found<u64> {
        let layers = self.pending.read();
        let found = layers.upper.numbers.get(prefix);
        if let Some(number) = found.or_else(|| layers.lower.numbers.get(prefix)) {
            return Ok(*number);
        }
        drop(layers);
        self.index.last_number(prefix)
    }

    pub(crate) fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Found<Vec<(Key, Value)>> {
        let below = |after: Option<&Key>| self.index.scan(prefix, after, limit);
        scan(self.pending, prefix, after, limit, below)
    }
}

/// A scan of the layers over what `below` tells of the index, after a key.
fn scan(
    pending: &Pending,
    prefix: &Key,
    after: Option<&Key>,
    limit: usize,
    below: impl Fn(Option<&Key>) -> Found<Vec<(Key, Value)>>,
) -> Found<Vec<(Key, Value)>> {
    let mut found = Vec::new();
    let mut after = after.cloned();
    // Where much was deleted that is still in the index, it takes more than one round.
    while found.len() < limit {
        // 1. The first of both.
        let mut over = pending.range(prefix, after.as_ref(), limit);
        let under = below(after.as_ref())?;
        if over.is_empty() && found.is_empty() {
            return Ok(under);
        }

        // 2. They are known up to where the shorter of them was cut off.
        let last_over = over.last_key_value().map(|(key, _)| key);
        let last_under = under.last().map(|(key, _)| key);
        let ends = [
            last_over.filter(|_| over.len() == limit),
            last_under.filter(|_| under.len() == limit),
        ];
        let horizon = ends.into_iter().flatten().min().cloned();
        for (key, value) in under {
            over.entry(key).or_insert(Some(value));
        }
        let known = |key: &Key| horizon.as_ref().is_none_or(|horizon| key <= horizon);
        let known = over.into_iter().take_while(|(key, _)| known(key));
        found.extend(known.filter_map(|(key, value)| Some((key, value?))));
        if horizon.is_none() {
            break;
        }
        after = horizon;
    }
    found.truncate(limit);
    Ok(found)
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
