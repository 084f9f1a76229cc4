//! The engine itself: reads from the index, commits through the queue.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::thread::{Builder, JoinHandle};

use bowline_store::checkpoint::{Summary, Writer};
use bowline_store::{
    Answered, CheckpointError, Commit, Committed, Finding, Key, LimitError, Progress,
    SCAN_RECORDS_MAX, Store, StoreError, Value,
};

use crate::applier::{self, Apply};
use crate::committer::{self, Answer, Request};
use crate::examination;
use crate::index::{Changes, Damage, Found, Index, Layered, Pending, SledIndex};
#[cfg(test)]
use crate::journal::Disk;
use crate::journal::SystemDisk;
use crate::keeper::{Keeper, due_after};
use crate::lock::{HomeLock, IndexState};
use crate::merge::{MergeError, Workshop};
use crate::open::{Opened, open};
use crate::tail::Tail;
use crate::truth::{Truth, pour};
use crate::{OpenError, Opening, SledOptions};

/// A home that is open. Dropping it finishes the commits under way, closes the index and lets the home go.
pub struct SledStore {
    /// None once dropping has begun, so that the committer sees the end.
    requests: Option<SyncSender<Request>>,
    committer: Option<JoinHandle<()>>,
    applier: Option<JoinHandle<()>>,
    keeper: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    opening: Opening,
    home: PathBuf,
    workshop: Workshop,
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore")
            .field("opening", &self.opening)
            .finish_non_exhaustive()
    }
}

impl SledStore {
    /// Takes the home, which must exist, and makes it whole; in an empty one, begins a store.
    ///
    /// Blocks for as long as making the index takes, if that is what it needs.
    pub fn open(home: &Path, options: &SledOptions) -> Result<SledStore, OpenError> {
        SledStore::open_watched(home, options, &mut |_| {})
    }

    /// Like [`SledStore::open`], and tells how far it has come where that takes long.
    pub fn open_watched(
        home: &Path,
        options: &SledOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<SledStore, OpenError> {
        let opened = open(home, options, Arc::new(SystemDisk), progress)?;
        SledStore::start(home, options, opened)
    }

    /// Like [`SledStore::open`], with the writes of the journal and of checkpoints going through `disk`.
    #[cfg(test)]
    pub(crate) fn open_with(
        home: &Path,
        options: &SledOptions,
        disk: Arc<dyn Disk>,
    ) -> Result<SledStore, OpenError> {
        let opened = open(home, options, disk, &mut |_| {})?;
        SledStore::start(home, options, opened)
    }

    pub(crate) fn start(
        home: &Path,
        options: &SledOptions,
        opened: Opened,
    ) -> Result<SledStore, OpenError> {
        let apply: Apply = Box::new(SledIndex::apply);
        SledStore::start_with(home, options, opened, apply)
    }

    /// Like [`SledStore::start`], with the writes of the index going through `apply`.
    pub(crate) fn start_with(
        home: &Path,
        options: &SledOptions,
        opened: Opened,
        apply: Apply,
    ) -> Result<SledStore, OpenError> {
        let least = options.checkpoint_bytes;
        let due_after = due_after(least, opened.checkpoint_bytes);
        let shared = Arc::new(Shared {
            index: opened.index,
            pending: Pending::default(),
            lock: Mutex::new(opened.lock),
            closed: OnceLock::new(),
            unknown: OnceLock::new(),
            tail: Tail::new(opened.position, opened.behind_checkpoint, due_after),
            files: RwLock::new(()),
            checkpoint_failure: Arc::default(),
        });
        let failed = |source| OpenError::io("start a thread for", home, source);
        let (requests, received) = sync_channel(options.queue_commits);
        let journal = opened.journal;
        let reserve_bytes = options.reserve_bytes;
        let committer = Builder::new()
            .name("store-committer".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || committer::run(&received, journal, shared, reserve_bytes)
            })
            .map_err(failed)?;
        let mut store = SledStore {
            requests: Some(requests),
            committer: Some(committer),
            applier: None,
            keeper: None,
            shared,
            opening: opened.opening,
            home: home.to_owned(),
            workshop: opened.workshop,
        };
        if matches!(store.shared.index, Index::Sled(_)) {
            let shared = Arc::clone(&store.shared);
            let thread = Builder::new().name("store-applier".to_owned());
            let running = thread.spawn(move || applier::run(&shared, &apply));
            store.applier = Some(running.map_err(failed)?);
        }
        if least < u64::MAX {
            let keeper = Keeper {
                home: home.to_owned(),
                shared: Arc::clone(&store.shared),
                workshop: store.workshop.clone(),
                least,
            };
            let thread = Builder::new().name("store-keeper".to_owned());
            store.keeper = Some(thread.spawn(move || keeper.run()).map_err(failed)?);
        }
        Ok(store)
    }

    /// Puts a commit into the queue; its answer comes later.
    pub(crate) fn queue(&self, commit: Commit) -> Result<Receiver<Answer>, StoreError> {
        let (answer, answered) = sync_channel(1);
        // A caller who has gone away does not mind.
        let tell = move |told| drop(answer.send(told));
        match self.enqueue(commit, Box::new(tell)) {
            Ok(()) => Ok(answered),
            Err((error, _)) => Err(error),
        }
    }

    /// Puts a commit into the queue, or gives back who should hear why not.
    fn enqueue(&self, commit: Commit, answer: Answered) -> Result<(), (StoreError, Answered)> {
        // Before it takes a place in the queue; the committer asks again, as every engine's decision does.
        if let Err(error) = commit.check() {
            return Err((error.into(), answer));
        }
        let unavailable = |reason: &str| StoreError::Unavailable {
            reason: reason.to_owned(),
        };
        let Some(requests) = &self.requests else {
            return Err((unavailable(ENDED), answer));
        };
        match requests.try_send(Request { commit, answer }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(request)) => Err((
                unavailable("as many commits are waiting as may"),
                request.answer,
            )),
            Err(TrySendError::Disconnected(request)) => Err((unavailable(ENDED), request.answer)),
        }
    }

    /// What opening the home had to do.
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Makes a checkpoint now, as the thread in the background does.
    #[cfg(test)]
    pub(crate) fn keep(&self) -> Result<Summary, MergeError> {
        crate::keeper::keep(&self.home, &self.shared, &self.workshop).map(|kept| kept.summary)
    }

    /// What is on its way into the index.
    #[cfg(test)]
    pub(crate) fn pending(&self) -> &Pending {
        &self.shared.pending
    }

    /// Changes the index alone, as a fault of sled might.
    #[cfg(test)]
    pub(crate) fn falsify(&self, changes: Changes) {
        self.shared.pending.wait_until_applied();
        let (end, _) = self.shared.tail.end();
        self.shared.index.apply(changes, &end).unwrap();
    }

    /// Why the last checkpoint in the background was not made; it is tried again every minute.
    pub fn checkpoint_failure(&self) -> Option<String> {
        let failure = self.shared.checkpoint_failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells of checkpoints in the background for as long as the home is open.
    pub fn checkpoint_watch(&self) -> CheckpointWatch {
        CheckpointWatch(Arc::downgrade(&self.shared.checkpoint_failure))
    }
}

/// Tells how the last checkpoint went, and does not keep the home open.
#[derive(Debug)]
pub struct CheckpointWatch(Weak<Mutex<Option<String>>>);

/// The home that was watched is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HomeClosed;

impl CheckpointWatch {
    /// Like [`SledStore::checkpoint_failure`].
    pub fn failure(&self) -> Result<Option<String>, HomeClosed> {
        let failure = self.0.upgrade().ok_or(HomeClosed)?;
        let failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(failure.clone())
    }
}

impl Store for SledStore {
    fn get(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        self.shared.check_known(key, |unknown| unknown == key)?;
        self.shared.read(|layered| layered.get(key))
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
        let found = self
            .shared
            .read(|layered| layered.scan(prefix, after, limit))?;
        // What is behind the last record of a full scan was not asked for yet.
        let last = found.last().filter(|_| found.len() == limit);
        let end = last.map(|(key, _)| key.clone());
        self.shared
            .check_known(after.unwrap_or(prefix), |unknown| {
                unknown.starts_with(prefix)
                    && after.is_none_or(|after| unknown > after)
                    && end.as_ref().is_none_or(|end| unknown <= end)
            })?;
        Ok(found)
    }

    fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let answered = self.queue(commit)?;
        answered.recv().unwrap_or_else(|_| {
            Err(StoreError::Unknown {
                reason: "the committer ended before it answered".to_owned(),
            })
        })
    }

    fn submit(&self, commit: Commit, answered: Answered) {
        if let Err((error, answered)) = self.enqueue(commit, answered) {
            answered(Err(error));
        }
    }

    fn checkpoint(
        &self,
        output: &mut dyn Write,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Summary, CheckpointError> {
        // Until all that it is made from is open, nothing is removed.
        let reading = self
            .shared
            .files
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let (end, _) = self.shared.tail.end();
        let mut tick = |told| {
            progress(told);
            Ok(())
        };
        let failed = |error: MergeError| match error {
            MergeError::Output(source) => CheckpointError::Output(source),
            error => store_error(error.into_open(&self.home)).into(),
        };
        let mut truth = Truth::until(&self.home, &end).map_err(store_error)?;
        let workshop = self.workshop.for_reading();
        // What is written to cannot be taken back, so the checkpoint it is made from is verified first.
        let gathered = truth.attempt(&mut |truth, base| {
            base.verify(&mut tick)?;
            truth.gather(base, &workshop, &mut tick)
        });
        let gathered = gathered.map_err(failed)?;
        let header = gathered.header();
        let mut merge = gathered.merge("writing the checkpoint").map_err(failed)?;
        // Files that are open read on after they were removed, and the output may be as slow as it likes.
        drop(reading);
        let mut writer = Writer::begin(output, &header).map_err(CheckpointError::Output)?;
        pour(&mut merge, &mut writer, &mut tick).map_err(failed)?;
        let (_, summary) = writer.finish().map_err(CheckpointError::Output)?;
        Ok(summary)
    }

    fn examine(&self, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Finding>, StoreError> {
        examination::examine(&self.home, &self.shared, &self.workshop, progress)
    }
}

/// Why a commit is not taken any more.
const ENDED: &str = "the committer has ended";

/// What a file of the home that does not read means to whoever uses the store.
pub(crate) fn store_error(error: OpenError) -> StoreError {
    let reason = error.to_string();
    match error {
        OpenError::Damaged { .. } => StoreError::Corrupt { reason },
        OpenError::Locked { .. }
        | OpenError::Io { .. }
        | OpenError::NewerFormat { .. }
        | OpenError::IndexBusy { .. }
        | OpenError::Index { .. } => StoreError::Unavailable { reason },
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.requests = None;
        self.shared.tail.set_ending();
        // Each ended by panicking at worst, which the committer's callers were told.
        let join = |thread: Option<JoinHandle<()>>| drop(thread.map(JoinHandle::join));
        join(self.committer.take());
        // Now that no more is coming, the applier ends once the index has it all.
        self.shared.pending.end();
        join(self.applier.take());
        join(self.keeper.take());
    }
}

/// What readers and the threads behind them share.
pub(crate) struct Shared {
    pub(crate) index: Index,
    /// What is committed and not in the index yet.
    pub(crate) pending: Pending,
    lock: Mutex<HomeLock>,
    /// Why nothing is answered any more.
    closed: OnceLock<String>,
    /// What a failed sync may have written or not, which only the next opening tells.
    unknown: OnceLock<(String, Changes)>,
    pub(crate) tail: Tail,
    /// Held by whoever reads checkpoints and old segments, so that none is removed meanwhile.
    pub(crate) files: RwLock<()>,
    /// Why the last checkpoint was not made.
    pub(crate) checkpoint_failure: Arc<Mutex<Option<String>>>,
}

impl Shared {
    fn read<T>(&self, read: impl FnOnce(Layered<'_>) -> Found<T>) -> Result<T, StoreError> {
        self.check_open()?;
        read(self.layered()).map_err(|damage| self.close(damage))
    }

    /// The index, and what is on its way into it.
    pub(crate) fn layered(&self) -> Layered<'_> {
        Layered {
            index: &self.index,
            pending: &self.pending,
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), StoreError> {
        match self.closed.get() {
            None => Ok(()),
            Some(reason) => Err(StoreError::Unavailable {
                reason: format!("it has closed itself, start again: {reason}"),
            }),
        }
    }

    /// Answers nothing any more, and leaves a note that the index must be made again.
    pub(crate) fn close(&self, damage: Damage) -> StoreError {
        self.closed.get_or_init(|| damage.reason().to_owned());
        if matches!(self.index, Index::Sled(_)) {
            // Without the note, the next opening finds the damage where this one did.
            let _ = self.lock().set_index(IndexState::Damaged);
        }
        damage.into()
    }

    /// Leaves records unanswered, of which nobody knows whether they were written.
    pub(crate) fn leave_unknown(&self, reason: String, changes: Changes) {
        // The first failed sync stops all writing, so there is no second.
        let _ = self.unknown.set((reason, changes));
    }

    /// Refuses to answer if an unknown record from `start` on is among those asked for.
    fn check_known(&self, start: &Key, asked: impl Fn(&Key) -> bool) -> Result<(), StoreError> {
        let Some((reason, changes)) = self.unknown.get() else {
            return Ok(());
        };
        match changes.records.range(start..).any(|(key, _)| asked(key)) {
            false => Ok(()),
            true => Err(StoreError::Unknown {
                reason: format!("start again to read it: {reason}"),
            }),
        }
    }

    pub(crate) fn acknowledge(&self, sequence: u64) {
        // The note only helps to tell a torn tail from damage later. Without it the commits are as durable.
        let _ = self.lock().set_acknowledged(sequence);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HomeLock> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let closed = self.closed.get().is_some();
        let Index::Sled(index) = &mut self.index else {
            return;
        };
        let stopped = index.close();
        let lock = self.lock.get_mut().unwrap_or_else(PoisonError::into_inner);
        match stopped {
            // A lost note costs a rebuild after the machine stops, nothing else.
            Ok(()) if !closed => drop(lock.set_index_unsynced(IndexState::Clean)),
            Ok(()) => {}
            // Without the note, the next opening finds what is missing where it looks.
            Err(_) if index.has_failed() => drop(lock.set_index(IndexState::Damaged)),
            // Only not synced: it survives anything but power loss, as the note says already.
            Err(_) => {}
        }
    }
}
