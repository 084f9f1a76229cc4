//! What the journal says beyond a checkpoint: sorted chunk by chunk, in bounded memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bowline_store::{Effect, Value};

use super::run::Run;
use super::{Merge, MergeError, Source};
use crate::OpenError;
use crate::index::Changes;
use crate::journal::{Disk, disk_is_full};
use crate::open::OPENING_SHARE;

/// How much of the journal is sorted in memory at a time, with what keeping it takes.
pub(crate) const CHUNK_BYTES: usize = 16 * 1024 * 1024;

/// What a changed record costs in memory beyond its bytes: two allocations and its place in a tree.
const RECORD_OVERHEAD_BYTES: usize = 120;

/// More runs than this are merged into one first: each takes a file descriptor and a block.
const RUNS_MAX: usize = 64;

/// Tells runs of one process apart.
static RUN_NUMBER: AtomicU64 = AtomicU64::new(1);

/// Where runs are put, and how large a chunk is.
#[derive(Clone)]
pub(crate) struct Workshop {
    /// The directory, which exists once it is needed.
    pub(crate) directory: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    /// What the disk must have left beyond a run.
    pub(crate) reserve_bytes: u64,
    pub(crate) chunk_bytes: usize,
}

impl Workshop {
    fn run_path(&self) -> PathBuf {
        let number = RUN_NUMBER.fetch_add(1, Ordering::Relaxed);
        self.directory.join(format!("{number:020}.run"))
    }

    /// The same for whoever only reads: what stops commits must not stop a backup.
    pub(crate) fn for_reading(&self) -> Workshop {
        Workshop {
            reserve_bytes: self.reserve_bytes / OPENING_SHARE,
            ..self.clone()
        }
    }

    /// Whether there is room for so many bytes more.
    pub(crate) fn check_room(&self, bytes: u64) -> Result<(), OpenError> {
        let needed = self.reserve_bytes.saturating_add(bytes);
        match self.disk.free(&self.directory) {
            Some(free) if free < needed => {
                let source = std::io::Error::new(
                    std::io::ErrorKind::StorageFull,
                    disk_is_full(free, needed),
                );
                Err(OpenError::io("write to", &self.directory, source))
            }
            _ => Ok(()),
        }
    }
}

/// Changes that were read from the journal in order.
pub(crate) struct Overlay {
    workshop: Workshop,
    runs: Vec<Run>,
    last: Changes,
    last_bytes: usize,
    /// All that was added, for progress.
    pub(crate) bytes: u64,
    /// How many commits were added.
    pub(crate) commits: u64,
}

impl Overlay {
    pub(crate) fn new(workshop: Workshop) -> Overlay {
        Overlay {
            workshop,
            runs: Vec::new(),
            last: Changes::default(),
            last_bytes: 0,
            bytes: 0,
            commits: 0,
        }
    }

    /// Adds what a later commit changes.
    pub(crate) fn add(&mut self, effect: Effect) -> Result<(), MergeError> {
        let records = effect.records.iter();
        let bytes: usize = records
            .map(|(key, value)| key.len() + value.as_ref().map_or(0, Value::len))
            .sum();
        let lines = effect.records.len() + effect.numbers.len();
        self.bytes += bytes as u64;
        self.commits += 1;
        self.last_bytes += bytes + lines * RECORD_OVERHEAD_BYTES;
        self.last.add(effect);
        match self.last_bytes < self.workshop.chunk_bytes {
            true => Ok(()),
            false => self.put_aside(),
        }
    }

    fn put_aside(&mut self) -> Result<(), MergeError> {
        self.workshop.check_room(self.last_bytes as u64)?;
        crate::checkpoints::create_directory(&self.workshop.directory)?;
        self.last_bytes = 0;
        let mut source = Source::memory(std::mem::take(&mut self.last));
        let path = self.workshop.run_path();
        let run = Run::write(path, &*self.workshop.disk, &mut || source.next())?;
        self.runs.push(run);
        match self.runs.len() < RUNS_MAX {
            true => Ok(()),
            false => self.merge_runs(),
        }
    }

    /// Makes one of the runs, keeping deletions: what they delete lies below.
    fn merge_runs(&mut self) -> Result<(), MergeError> {
        let bytes = self.runs.iter().map(|run| run.bytes).sum();
        self.workshop.check_room(bytes)?;
        let sources = opened(std::mem::take(&mut self.runs))?;
        let mut merge = Merge::new(sources, "sorting the journal", bytes)?;
        let path = self.workshop.run_path();
        let run = Run::write(path, &*self.workshop.disk, &mut || {
            merge.next_line(&mut |_| Ok(()))
        })?;
        self.runs.push(run);
        Ok(())
    }

    /// Everything together, behind what is in `base`.
    pub(crate) fn over(
        self,
        base: Option<(Source, u64)>,
        step: &'static str,
    ) -> Result<Merge, MergeError> {
        let total = self.bytes + base.as_ref().map_or(0, |(_, bytes)| *bytes);
        let mut sources: Vec<Source> = base.into_iter().map(|(source, _)| source).collect();
        sources.extend(opened(self.runs)?);
        sources.push(Source::memory(self.last));
        Merge::new(sources, step, total)
    }

    /// Whether all of it fitted into memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.runs.is_empty()
    }

    /// What is in memory.
    pub(crate) fn into_changes(self) -> Changes {
        self.last
    }

    /// How many chunks did not fit into memory.
    #[cfg(test)]
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }
}

fn opened(runs: Vec<Run>) -> Result<Vec<Source>, MergeError> {
    runs.into_iter()
        .map(|run| Ok(Source::Run(run.open()?)))
        .collect()
}
