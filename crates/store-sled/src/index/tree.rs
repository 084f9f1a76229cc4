//! The index on disk, in one sled tree.
//!
//! sled 0.34.7 syncs nothing it writes, may panic over a flipped bit, and may leave a half-written snapshot
//! that bars every later start. So: each value carries a checksum, every call is guarded against panics,
//! and whatever is doubtful is made again from the journal.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bowline_store::{Key, Value};

use super::pending::record_bytes;
use super::{Changes, Damage, Found};
use crate::journal::Position;

/// The first byte of a key in the tree: what the rest names.
pub(super) const APPLIED: u8 = 0;
pub(super) const RECORD: u8 = 1;
pub(super) const NUMBER: u8 = 2;

/// How often sled hands what it wrote to the system. Its space is only reclaimed by the same thread.
const FLUSH_EVERY_MS: u64 = 500;

/// How long sled's own lock is waited for: after a killed process the system may hold it for an instant.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// How often the files are synced anew when one of them is gone before its turn.
const SYNC_ATTEMPTS: u32 = 3;

/// How often it is told how far writing has come: a group's size.
const PROGRESS_BYTES: usize = 128 * 1024;

const CHECKSUM_BYTES: usize = 4;

/// The index on disk.
pub(crate) struct SledIndex {
    path: PathBuf,
    /// None once closed.
    database: Option<sled::Db>,
    /// Whether a call of sled has failed, after which nothing more is asked of it.
    failed: AtomicBool,
}

/// Why the index did not open.
#[derive(Debug)]
pub(crate) enum IndexError {
    /// It is not whole: make it again.
    Damaged(String),
    /// The system refuses something, which a new index would meet as well.
    System(io::Error),
    /// sled's lock is held by someone who does not hold the home's.
    Busy,
}

impl SledIndex {
    /// Opens the index, or begins one; with what it has applied of the journal, and the names of
    /// half-written snapshots that were removed.
    pub(crate) fn open(
        path: &Path,
        cache_bytes: u64,
    ) -> Result<(SledIndex, Position, Vec<PathBuf>), IndexError> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(IndexError::System(error));
            }
            _ => {}
        }
        let removed = remove_unfinished_snapshots(path).map_err(system_or_damage)?;
        let started = Instant::now();
        let database = loop {
            match start(path, cache_bytes) {
                Err(IndexError::Busy) if started.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(LOCK_INTERVAL);
                }
                decided => break decided?,
            }
        };
        let index = SledIndex {
            path: path.to_owned(),
            database: Some(database),
            failed: AtomicBool::new(false),
        };
        let applied = index.applied()?;
        Ok((index, applied, removed))
    }

    pub(super) fn tree(&self) -> Found<&sled::Tree> {
        match &self.database {
            Some(database) => Ok(database),
            None => Err(Damage::Wrong("the index is closed".to_owned())),
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Found<Option<Value>> {
        let tree = self.tree()?;
        let name = name(RECORD, key.as_bytes());
        let Some(bytes) = self.guarded(|| tree.get(&name))? else {
            return Ok(None);
        };
        Ok(Some(self.value(key, unseal(&name, &bytes))?))
    }

    pub(crate) fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Found<Vec<(Key, Value)>> {
        let tree = self.tree()?;
        let within = name(RECORD, prefix.as_bytes());
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(name(RECORD, after.as_bytes())),
            _ => Bound::Included(within.clone()),
        };
        let mut found = Vec::new();
        let mut records = self.guarded(|| Ok(tree.range((start, Bound::Unbounded))))?;
        while found.len() < limit {
            let Some((name, bytes)) = self.guarded(|| records.next().transpose())? else {
                break;
            };
            if !name.starts_with(&within) {
                break;
            }
            let key = Key::new(&name[1..])
                .map_err(|error| self.damage(format!("a record's name: {error}")))?;
            let value = self.value(&key, unseal(&name, &bytes))?;
            found.push((key, value));
        }
        Ok(found)
    }

    pub(crate) fn last_number(&self, prefix: &Key) -> Found<u64> {
        let tree = self.tree()?;
        let name = name(NUMBER, prefix.as_bytes());
        let Some(bytes) = self.guarded(|| tree.get(&name))? else {
            return Ok(0);
        };
        let number = unseal(&name, &bytes).and_then(|bytes| bytes.try_into().ok());
        number
            .map(u64::from_be_bytes)
            .ok_or_else(|| self.damage(format!("the last number under {prefix}")))
    }

    /// Applies all changes, and then that the journal was applied up to `position`.
    ///
    /// One by one, not as one of sled's batches: during those every read waits, and they have no order. Stopped
    /// half-way, the index does not say that it has the changes, and takes them all once more. `progress` is told
    /// of the bytes written since it was told last.
    pub(crate) fn apply(
        &self,
        changes: &Changes,
        position: &Position,
        progress: &dyn Fn(usize),
    ) -> Found<()> {
        let tree = self.tree()?;
        let put = |name: &[u8], value: &[u8]| tree.insert(name, seal(name, value)).map(drop);
        let mut bytes = 0;
        self.guarded(|| {
            for (key, value) in &changes.records {
                bytes += record_bytes(key, value.as_ref());
                if bytes >= PROGRESS_BYTES {
                    progress(std::mem::take(&mut bytes));
                }
                let name = name(RECORD, key.as_bytes());
                match value {
                    Some(value) => put(&name, value.as_bytes())?,
                    None => tree.remove(&name).map(drop)?,
                }
            }
            for (prefix, number) in &changes.numbers {
                put(&name(NUMBER, prefix.as_bytes()), &number.to_be_bytes())?;
            }
            put(&name(APPLIED, &[]), &encode(position))
        })
    }

    /// What of the journal is in here; the start of the journal in an index that was just begun.
    pub(crate) fn applied(&self) -> Result<Position, IndexError> {
        let damaged = |damage: Damage| IndexError::Damaged(damage.reason().to_owned());
        let tree = self.tree().map_err(damaged)?;
        let name = name(APPLIED, &[]);
        match self.guarded(|| tree.get(&name)).map_err(damaged)? {
            Some(bytes) => unseal(&name, &bytes)
                .and_then(decode)
                .ok_or_else(|| damaged(self.damage("how far the journal was applied".to_owned()))),
            None if self.guarded(|| tree.first()).map_err(damaged)?.is_none() => {
                Ok(Position::START)
            }
            None => Err(damaged(self.damage(
                "it does not say how far the journal was applied".to_owned(),
            ))),
        }
    }

    fn value(&self, key: &Key, bytes: Option<&[u8]>) -> Found<Value> {
        bytes
            .and_then(|bytes| Value::new(bytes).ok())
            .ok_or_else(|| self.damage(format!("the checksum of record {key} does not hold")))
    }

    fn damage(&self, what: String) -> Damage {
        Damage::Wrong(format!("index {}: {what}", self.path.display()))
    }

    /// Closes sled and syncs its files: an index that survives power loss, unless this fails.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        if self.database.is_none() && !self.has_failed() {
            return Ok(());
        }
        self.stop()?;
        // A thread of sled may still take away a file that it has replaced.
        for _ in 1..SYNC_ATTEMPTS {
            match sync_tree(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                decided => return decided,
            }
        }
        sync_tree(&self.path)
    }

    /// Whether a call of sled has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Stops sled in good order; or, once it has failed, leaves it where it is: it would wait in its own
    /// drop for writes that never come. Its files are made again before anyone opens them.
    fn stop(&mut self) -> io::Result<()> {
        let Some(database) = self.database.take() else {
            return Ok(());
        };
        let flushed = match self.has_failed() {
            true => Err(Damage::Wrong("index: sled had failed before".to_owned())),
            false => self.guarded(|| database.flush().map(|_| ())),
        };
        if let Err(damage) = flushed {
            std::mem::forget(database);
            return Err(io::Error::other(damage.reason().to_owned()));
        }
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(database)));
        dropped.map_err(|_| {
            self.failed.store(true, Ordering::Relaxed);
            io::Error::other("sled panicked while closing")
        })
    }

    /// Calls sled, which may panic where it should return.
    pub(super) fn guarded<T>(&self, call: impl FnOnce() -> sled::Result<T>) -> Found<T> {
        let damage = match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(sled::Error::Io(error))) if is_full(&error) => {
                Damage::DiskFull(format!("the disk is full, free some: index: {error}"))
            }
            Ok(Err(error)) => Damage::Wrong(format!("index: {error}")),
            Err(panic) => Damage::Wrong(format!("index: sled panicked: {}", message(&*panic))),
        };
        self.failed.store(true, Ordering::Relaxed);
        Err(damage)
    }
}

impl Drop for SledIndex {
    fn drop(&mut self) {
        // What it could not write is in the journal.
        let _ = self.stop();
    }
}

/// Whether there is no room, on the disk or for this user.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), QuotaExceeded | StorageFull)
}

/// The name in the tree: what kind of thing, and its own name.
pub(super) fn name(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(1 + rest.len());
    name.push(kind);
    name.extend_from_slice(rest);
    name
}

/// A value behind its checksum, which covers the name too: a value under another's name is as wrong.
pub(super) fn seal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CHECKSUM_BYTES + value.len());
    bytes.extend_from_slice(&checksum(name, value).to_be_bytes());
    bytes.extend_from_slice(value);
    bytes
}

pub(super) fn unseal<'a>(name: &[u8], bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, value) = bytes.split_first_chunk::<CHECKSUM_BYTES>()?;
    (u32::from_be_bytes(*sum) == checksum(name, value)).then_some(value)
}

fn checksum(name: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(name.len() as u32).to_be_bytes());
    hasher.update(name);
    hasher.update(value);
    hasher.finalize()
}

pub(super) fn encode(position: &Position) -> Vec<u8> {
    let numbers = [position.sequence, position.segment, position.offset];
    let mut bytes: Vec<u8> = numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect();
    bytes.extend_from_slice(&position.link);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Position> {
    let (numbers, link) = bytes.split_at_checked(24)?;
    let mut numbers = numbers
        .chunks_exact(8)
        .filter_map(|number| number.try_into().ok().map(u64::from_be_bytes));
    Some(Position {
        sequence: numbers.next()?,
        segment: numbers.next()?,
        offset: numbers.next()?,
        link: link.try_into().ok()?,
    })
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").to_owned()
}

fn start(path: &Path, cache_bytes: u64) -> Result<sled::Db, IndexError> {
    let config = sled::Config::new()
        .path(path)
        .mode(sled::Mode::HighThroughput)
        .cache_capacity(cache_bytes)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(sled::Error::Io(error))) => Err(system_or_damage(error)),
        Ok(Err(error)) => Err(IndexError::Damaged(error.to_string())),
        Err(panic) => Err(IndexError::Damaged(format!(
            "sled panicked: {}",
            message(&*panic)
        ))),
    }
}

/// Tells what the system refuses, which says nothing about the index, from what is wrong inside it.
fn system_or_damage(error: io::Error) -> IndexError {
    use io::ErrorKind::{
        OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    // sled turns its lock's error into text.
    if error.to_string().starts_with("could not acquire lock") {
        return IndexError::Busy;
    }
    let refused = matches!(
        error.kind(),
        OutOfMemory | PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull
    );
    let exhausted = [
        rustix::io::Errno::MFILE,
        rustix::io::Errno::NFILE,
        rustix::io::Errno::IO,
    ]
    .iter()
    .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
    match refused || exhausted {
        true => IndexError::System(error),
        false => IndexError::Damaged(error.to_string()),
    }
}

/// A process killed while sled wrote a snapshot leaves it half-written, and sled will not start over it.
/// Without it, sled reads its log instead.
fn remove_unfinished_snapshots(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let unfinished = name
            .to_str()
            .is_some_and(|name| name.starts_with("snap.") && name.ends_with(".generating"));
        if unfinished {
            fs::remove_file(entry.path())?;
            removed.push(entry.path());
        }
    }
    Ok(removed)
}

/// Syncs every file below a directory, and the directory itself.
fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_tree(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether sled keeps its files open: it locks the one that holds the log, and its threads let that go
    /// a little after the last handle is dropped.
    fn stays_open(path: &Path, patience: Duration) -> bool {
        let started = Instant::now();
        let locked = || {
            let log = File::open(path.join("db")).unwrap();
            log.try_lock_shared().is_err()
        };
        while locked() {
            if started.elapsed() > patience {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    #[test]
    fn sled_is_not_dropped_once_it_has_failed() {
        for failing in [false, true] {
            for closing in [false, true] {
                let home = tempfile::tempdir().unwrap();
                let (mut index, ..) = SledIndex::open(home.path(), 1 << 20).unwrap();
                if failing {
                    let full = io::Error::from(io::ErrorKind::StorageFull);
                    let failed = index.guarded::<()>(|| Err(sled::Error::Io(full)));
                    assert!(
                        matches!(&failed, Err(Damage::DiskFull(reason)) if reason.contains("disk is full")),
                        "{failed:?}"
                    );
                }
                if closing {
                    assert_eq!(index.close().is_err(), failing);
                }
                drop(index);
                let patience = match failing {
                    true => Duration::from_millis(200),
                    false => Duration::from_secs(10),
                };
                assert_eq!(stays_open(home.path(), patience), failing);
            }
        }
    }
}
