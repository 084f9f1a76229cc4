//! A store that does what the test wants to see survived.

use std::io::Write;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use bowline_store::checkpoint::Summary;
use bowline_store::{
    Answered, CheckpointError, Commit, Committed, Finding, Key, MemoryStore, Progress, Store,
    StoreError, Value,
};

/// A store in memory that panics, holds its readers or its writers, or is copied in strange ways, when told to.
#[derive(Default)]
pub struct Stage {
    store: MemoryStore,
    act: Mutex<Act>,
    changed: Condvar,
}

#[derive(Default)]
struct Act {
    reads_panic: bool,
    readers_held: bool,
    readers_waiting: usize,
    writers_fail: bool,
    disk_full: bool,
    writers_held: bool,
    writers_waiting: usize,
    /// Those among them whom no thread waits for.
    submitted: Vec<(Commit, Answered)>,
    copying: Copying,
    copies: usize,
}

/// What becomes of a checkpoint.
#[derive(Clone, Copy, Default)]
pub enum Copying {
    #[default]
    Whole,
    /// It comes in two halves, with so long a silence between them.
    Slow(Duration),
    /// It never ends by itself.
    Endless,
    /// There is none.
    Refused,
    /// The store is found damaged after so many bytes.
    Damaged(usize),
    /// It panics after so many bytes.
    Panics(usize),
}

impl Stage {
    pub fn reads_panic(&self, panic: bool) {
        self.act.lock().unwrap().reads_panic = panic;
    }

    pub fn copying(&self, copying: Copying) {
        self.act.lock().unwrap().copying = copying;
    }

    pub fn hold_readers(&self) {
        self.act.lock().unwrap().readers_held = true;
    }

    pub fn release_readers(&self) {
        self.act.lock().unwrap().readers_held = false;
        self.changed.notify_all();
    }

    pub fn writers_fail(&self, fail: bool) {
        self.act.lock().unwrap().writers_fail = fail;
    }

    /// Takes what may use the reserve, and nothing else.
    pub fn disk_full(&self, full: bool) {
        self.act.lock().unwrap().disk_full = full;
    }

    pub fn hold_writers(&self) {
        self.act.lock().unwrap().writers_held = true;
    }

    pub fn release_writers(&self) {
        let mut act = self.act.lock().unwrap();
        act.writers_held = false;
        let submitted = std::mem::take(&mut act.submitted);
        act.writers_waiting -= submitted.len();
        drop(act);
        self.changed.notify_all();
        for (commit, answered) in submitted {
            answered(self.commit(commit));
        }
    }

    /// Returns once `count` writers are held.
    pub fn wait_for_writers(&self, count: usize) {
        self.wait_until("the writers did not come", |act| {
            act.writers_waiting >= count
        });
    }

    /// Returns once `count` readers are held.
    pub fn wait_for_readers(&self, count: usize) {
        self.wait_until("the readers did not come", |act| {
            act.readers_waiting >= count
        });
    }

    /// Returns once exactly `count` checkpoints are being written.
    pub fn wait_for_copies(&self, count: usize) {
        self.wait_until("the copies do not begin or end", |act| act.copies == count);
    }

    fn wait_until(&self, otherwise: &str, there: impl Fn(&Act) -> bool) {
        let act = self.act.lock().unwrap();
        let (_act, waited) = self
            .changed
            .wait_timeout_while(act, Duration::from_secs(10), |act| !there(act))
            .unwrap();
        assert!(!waited.timed_out(), "{otherwise}");
    }

    fn copies(&self, more: bool) {
        let mut act = self.act.lock().unwrap_or_else(PoisonError::into_inner);
        act.copies = if more { act.copies + 1 } else { act.copies - 1 };
        self.changed.notify_all();
    }
}

/// Counts a checkpoint for as long as it is written, whatever its end.
struct Copy<'a>(&'a Stage);

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        self.0.copies(false);
    }
}

fn write(output: &mut dyn Write, bytes: usize) -> Result<(), CheckpointError> {
    output
        .write_all(&vec![7; bytes])
        .map_err(CheckpointError::Output)
}

impl Store for Stage {
    fn get(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        let mut act = self.act.lock().unwrap();
        act.readers_waiting += 1;
        self.changed.notify_all();
        let mut act = self
            .changed
            .wait_while(act, |act| act.readers_held)
            .unwrap();
        act.readers_waiting -= 1;
        let panic = act.reads_panic;
        drop(act);
        assert!(!panic, "the test wants a panic");
        self.store.get(key)
    }

    fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        self.store.scan(prefix, after, limit)
    }

    fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let mut act = self.act.lock().unwrap();
        act.writers_waiting += 1;
        self.changed.notify_all();
        let mut act = self
            .changed
            .wait_while(act, |act| act.writers_held)
            .unwrap();
        act.writers_waiting -= 1;
        let fail = act.writers_fail || act.disk_full && !commit.is_from_reserve();
        drop(act);
        if fail {
            let reason = "the test wants no commit".into();
            return Err(StoreError::Unavailable { reason });
        }
        self.store.commit(commit)
    }

    /// Takes no thread of the caller's while the writers are held, as no engine does.
    fn submit(&self, commit: Commit, answered: Answered) {
        let mut act = self.act.lock().unwrap();
        if act.writers_held {
            act.writers_waiting += 1;
            act.submitted.push((commit, answered));
            drop(act);
            self.changed.notify_all();
            return;
        }
        drop(act);
        answered(self.commit(commit));
    }

    fn checkpoint(
        &self,
        output: &mut dyn Write,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Summary, CheckpointError> {
        let copying = self.act.lock().unwrap().copying;
        self.copies(true);
        let _copy = Copy(self);
        match copying {
            Copying::Whole => self.store.checkpoint(output, progress),
            Copying::Slow(silence) => {
                let mut whole = Vec::new();
                let summary = self.store.checkpoint(&mut whole, progress)?;
                let (first, second) = whole.split_at(whole.len() / 2);
                output.write_all(first).map_err(CheckpointError::Output)?;
                progress(Progress {
                    step: "the first half is there",
                    done: 1,
                    total: 1,
                });
                std::thread::sleep(silence);
                output.write_all(second).map_err(CheckpointError::Output)?;
                Ok(summary)
            }
            Copying::Endless => loop {
                write(output, 64 * 1024)?;
            },
            Copying::Refused => Err(StoreError::Unavailable {
                reason: "the test wants no copy".into(),
            }
            .into()),
            Copying::Damaged(bytes) => {
                write(output, bytes)?;
                Err(StoreError::Corrupt {
                    reason: "the test wants damage".into(),
                }
                .into())
            }
            Copying::Panics(bytes) => {
                write(output, bytes)?;
                panic!("the test wants a panic");
            }
        }
    }

    fn examine(&self, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Finding>, StoreError> {
        self.store.examine(progress)
    }
}
