//! How far the journal has come, for those who read it while the committer writes.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bowline_store::Key;

use crate::index::Changes;
use crate::journal::Position;

/// How many changed names are remembered while the index is compared: 8 bytes each, twice that in the set.
const WATCHED_MAX: usize = 4_000_000;

/// Told by the committer and the applier, asked by whoever makes checkpoints or compares.
pub(crate) struct Tail {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Behind the last record that is durable.
    end: Position,
    /// The last commit that is in the index too.
    applied: u64,
    /// All bytes of the journal that a checkpoint may have to be made of, since the home was opened.
    written: u64,
    /// How many of them the last checkpoint holds.
    held: u64,
    /// How many more are one too many.
    due_after: u64,
    watch: Option<Watch>,
    ending: bool,
}

/// The names that commits change while someone compares.
struct Watch {
    hasher: RandomState,
    names: HashSet<u64>,
    overflowed: bool,
}

/// Which names are numbers, not records.
const NUMBER: bool = true;

/// What is known of a name that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// A commit since has changed it.
    Changed,
    /// None has.
    Unchanged,
    /// More commits came than are remembered.
    Unknown,
}

impl Tail {
    /// `behind` bytes of the journal are in no checkpoint.
    pub(crate) fn new(end: Position, behind: u64, due_after: u64) -> Tail {
        Tail {
            state: Mutex::new(State {
                applied: end.sequence,
                end,
                written: behind,
                held: 0,
                due_after,
                watch: None,
                ending: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// A group is durable, and not in the index yet.
    pub(crate) fn appended(&self, end: &Position, changes: &Changes) {
        let mut state = self.state();
        let grown = match end.segment == state.end.segment {
            true => end.offset - state.end.offset,
            false => end.offset,
        };
        state.written += grown;
        state.end = end.clone();
        if let Some(watch) = &mut state.watch {
            watch.add(changes);
        }
        if state.is_due() {
            self.changed.notify_all();
        }
    }

    /// All commits up to this one are in the index.
    pub(crate) fn applied(&self, sequence: u64) {
        let mut state = self.state();
        state.applied = sequence;
        if state.watch.is_some() {
            self.changed.notify_all();
        }
    }

    /// Behind the last record that is durable, and how many bytes were written up to there.
    pub(crate) fn end(&self) -> (Position, u64) {
        let state = self.state();
        (state.end.clone(), state.written)
    }

    /// Waits until a checkpoint is due; or not any more, because the home is being closed.
    pub(crate) fn wait_until_due(&self) -> bool {
        let state = self.state();
        let state = self
            .changed
            .wait_while(state, |state| !state.ending && !state.is_due());
        !state.unwrap_or_else(PoisonError::into_inner).ending
    }

    /// Whether a checkpoint is due.
    pub(crate) fn is_due(&self) -> bool {
        self.state().is_due()
    }

    /// Waits for so long; or less, because the home is being closed.
    pub(crate) fn wait(&self, interval: Duration) -> bool {
        let state = self.state();
        let waited = self
            .changed
            .wait_timeout_while(state, interval, |state| !state.ending);
        !waited.unwrap_or_else(PoisonError::into_inner).0.ending
    }

    /// Whether the home is being closed.
    pub(crate) fn is_ending(&self) -> bool {
        self.state().ending
    }

    /// The home is being closed.
    pub(crate) fn set_ending(&self) {
        self.state().ending = true;
        self.changed.notify_all();
    }

    /// A checkpoint holds what was written up to there; the next is due after so many bytes more.
    pub(crate) fn set_held(&self, written: u64, due_after: u64) {
        let mut state = self.state();
        (state.held, state.due_after) = (written, due_after);
    }

    /// Begins to remember which names change. The place from where on they are remembered, once all before it
    /// is in the index; none if that does not happen in time, or someone else is comparing.
    pub(crate) fn watch(&self, patience: Duration) -> Option<(Position, WatchGuard<'_>)> {
        let started = Instant::now();
        let mut state = self.state();
        if state.watch.is_some() {
            return None;
        }
        state.watch = Some(Watch {
            hasher: RandomState::new(),
            names: HashSet::new(),
            overflowed: false,
        });
        let guard = WatchGuard(self);
        let end = state.end.clone();
        while state.applied < end.sequence {
            let left = patience.saturating_sub(started.elapsed());
            if left.is_zero() {
                // The guard takes the lock too.
                drop(state);
                return None;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        Some((end, guard))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic runs while something is half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_due(&self) -> bool {
        let behind = self.written - self.held;
        behind > 0 && behind >= self.due_after
    }
}

/// Remembers names until it is dropped.
pub(crate) struct WatchGuard<'a>(&'a Tail);

impl WatchGuard<'_> {
    /// Whether a commit has changed this record, or this number, since watching began.
    pub(crate) fn seen(&self, is_number: bool, key: &[u8]) -> Watched {
        let state = self.0.state();
        let Some(watch) = &state.watch else {
            return Watched::Unknown;
        };
        match watch
            .names
            .contains(&watch.hasher.hash_one((is_number, key)))
        {
            true => Watched::Changed,
            false if watch.overflowed => Watched::Unknown,
            false => Watched::Unchanged,
        }
    }
}

impl Drop for WatchGuard<'_> {
    fn drop(&mut self) {
        self.0.state().watch = None;
    }
}

impl Watch {
    fn add(&mut self, changes: &Changes) {
        let records = changes.records.keys().map(|key| (!NUMBER, key));
        let numbers = changes.numbers.keys().map(|prefix| (NUMBER, prefix));
        for (is_number, key) in records.chain(numbers) {
            if self.names.len() >= WATCHED_MAX {
                self.overflowed = true;
                return;
            }
            self.names.insert(self.hash(is_number, key));
        }
    }

    fn hash(&self, is_number: bool, key: &Key) -> u64 {
        self.hasher.hash_one((is_number, key.as_bytes()))
    }
}
