//! Commits on their way into an index, within what the disk has room for.

use std::io;
use std::path::Path;

use bowline_store::Value;
use bowline_store::checkpoint::Entry;

use crate::OpenError;
use crate::index::{Changes, Index, Load, SledIndex};
use crate::journal::{Disk, Position, Replayed, disk_is_full};
use crate::merge::{Merge, MergeError, Tick};

/// How many records and bytes are gathered for one batch.
const BATCH_RECORDS: usize = 2_000;
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// The same where an index is made: sled holds a batch in memory several times over.
const LOAD_RECORDS: usize = 200;
const LOAD_BYTES: usize = 1024 * 1024;

/// How much may wait to be written while an index is made. sled itself sets no bound: where the disk was slow,
/// a gigabyte came together.
const UNWRITTEN_BYTES: usize = 4 * 1024 * 1024;

/// The share of the reserve that must be free to open the index, or beyond a run of a backup, as the divisor:
/// what stopped commits must stop neither, and reading through sled's log needs less than writing it.
pub(crate) const OPENING_SHARE: u64 = 4;

/// What the home's file system has left: sled does not survive a full one.
pub(super) struct Room<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) path: &'a Path,
    pub(super) reserve_bytes: u64,
}

impl Room<'_> {
    pub(super) fn check(&self, needed: u64) -> Result<(), OpenError> {
        match self.disk.free(self.path) {
            Some(free) if free < needed => {
                let why = disk_is_full(free, needed);
                let source = io::Error::new(io::ErrorKind::StorageFull, why);
                Err(OpenError::io("write to", self.path, source))
            }
            _ => Ok(()),
        }
    }

    /// Room for a batch of these bytes, twice: sled moves older records while it writes.
    fn check_batch(&self, bytes: usize) -> Result<(), OpenError> {
        self.check(self.reserve_bytes / OPENING_SHARE + 2 * bytes as u64)
    }
}

/// Commits on their way from the journal into an index, many in one batch.
pub(super) struct Replay<'a> {
    index: &'a Index,
    room: Room<'a>,
    changes: Changes,
    bytes: usize,
    commits: u64,
    /// Behind the last record added: where a record ends, which the end of the journal need not be.
    end: Option<Position>,
    failed: Option<String>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(index: &'a Index, room: Room<'a>) -> Replay<'a> {
        Replay {
            index,
            room,
            changes: Changes::default(),
            bytes: 0,
            commits: 0,
            end: None,
            failed: None,
        }
    }

    pub(super) fn add(&mut self, replayed: Replayed<'_>) -> Result<(), OpenError> {
        let values = replayed.effect.records.iter();
        self.bytes += values
            .map(|(key, value)| key.len() + value.as_ref().map_or(0, Value::len))
            .sum::<usize>();
        self.changes.add(replayed.effect);
        self.commits += 1;
        let full = self.changes.records.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES;
        self.end = Some(replayed.record_end.clone());
        match full && replayed.ends_record {
            true => self.apply(),
            false => Ok(()),
        }
    }

    fn apply(&mut self) -> Result<(), OpenError> {
        self.room.check_batch(self.bytes)?;
        let changes = std::mem::take(&mut self.changes);
        self.bytes = 0;
        if let (None, Some(end)) = (&self.failed, &self.end) {
            let applied = self.index.apply(changes, end);
            self.failed = applied.err().map(|damage| damage.reason().to_owned());
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Result<u64, String>, OpenError> {
        if !self.changes.is_empty() {
            self.apply()?;
        }
        Ok(match self.failed {
            Some(reason) => Err(reason),
            None => Ok(self.commits),
        })
    }
}

/// Makes an index from everything a merge gives; or says what sled did not take.
pub(super) fn load(
    index: &SledIndex,
    room: &Room<'_>,
    merge: &mut Merge,
    position: &Position,
    tick: Tick<'_>,
) -> Result<Result<(), String>, MergeError> {
    let mut batch = Load::default();
    let (mut records, mut bytes, mut unwritten) = (0, 0, 0);
    loop {
        let entry = merge.next_entry(tick)?;
        if let Some(entry) = &entry {
            records += 1;
            bytes += match entry {
                Entry::Record(key, value) => key.len() + value.len(),
                Entry::Number(prefix, _) => prefix.len(),
            };
            batch.push(entry);
        }
        if entry.is_none() || records >= LOAD_RECORDS || bytes >= LOAD_BYTES {
            room.check_batch(bytes)?;
            // An index that is empty because nothing was ever committed says nothing.
            let applied = entry.is_none() && position.sequence > 0;
            let loaded = index.load(std::mem::take(&mut batch), applied.then_some(position));
            unwritten += bytes;
            let flushed = loaded.and_then(|()| match unwritten < UNWRITTEN_BYTES {
                true => Ok(()),
                false => {
                    unwritten = 0;
                    index.flush()
                }
            });
            if let Err(damage) = flushed {
                return Ok(Err(damage.reason().to_owned()));
            }
            (records, bytes) = (0, 0);
        }
        if entry.is_none() {
            return Ok(Ok(()));
        }
    }
}
