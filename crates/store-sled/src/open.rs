//! Opening a home: whatever the last process left, either all that was acknowledged is there, or it is refused.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bowline_store::Value;

use crate::index::{Changes, Index, IndexError, MemoryIndex, SledIndex};
use crate::journal::{self, Disk, Ending, Journal, Position, Replayed, Segment, disk_is_full};
use crate::lock::{Boot, HomeLock, IndexState, Notes};
use crate::{OpenError, SledOptions};

/// The directory's name inside the home.
const INDEX_DIRECTORY: &str = "index";

/// Where an index goes that is not used any more, until it is removed.
const DISCARDED_DIRECTORY: &str = "index.discarded";

/// How many records and bytes are gathered for one batch while the index is made from the journal.
const REPLAY_RECORDS: usize = 2_000;
const REPLAY_BYTES: usize = 8 * 1024 * 1024;

/// The share of the reserve that must be free to open the index, as the divisor: what stopped commits must not
/// stop the next start, and reading through sled's log needs less than writing it.
const OPENING_SHARE: u64 = 4;

/// A journal shorter than this is held in memory for a moment and compared with the whole index, in about
/// 0.1 s. Of a longer one only what the index lacks is taken, and its records are not missed.
const COMPARE_BYTES: u64 = 16 * 1024 * 1024;

/// What opening a home had to do and found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// What was done beyond opening files, in order. Empty after a clean shutdown.
    pub actions: Vec<Action>,
    /// The number of the last commit.
    pub last_commit: u64,
    /// When the last commit was written, in seconds since 1970 by its writer's clock; none if the end of the
    /// journal did not have to be read.
    pub last_written_at: Option<u64>,
    /// Whether the index is in memory, and the one on disk left alone.
    pub in_memory: bool,
}

/// One thing that opening a home did to make it whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The index lacked commits that the journal has.
    Replayed {
        /// How many.
        commits: u64,
    },
    /// The index was made again from the journal.
    RebuiltIndex {
        /// What was wrong with the old one.
        because: String,
        /// How many commits went into the new one.
        commits: u64,
    },
    /// The last write was cut off by a crash; no one was told that it succeeded.
    CutTornTail {
        /// The segment.
        file: PathBuf,
        /// Where it ends now.
        offset: u64,
        /// What was removed behind.
        bytes: u64,
    },
    /// sled was interrupted while it wrote a snapshot, which it can do without.
    RemovedUnfinishedSnapshot {
        /// The snapshot.
        file: PathBuf,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Replayed { commits } => {
                write!(f, "replayed {commits} commits from the journal")
            }
            Action::RebuiltIndex { because, commits } => {
                write!(
                    f,
                    "rebuilt the index from {commits} commits because {because}"
                )
            }
            Action::CutTornTail {
                file,
                offset,
                bytes,
            } => write!(
                f,
                "cut a torn tail of {bytes} bytes from {} at offset {offset}",
                file.display()
            ),
            Action::RemovedUnfinishedSnapshot { file } => {
                write!(f, "removed the unfinished snapshot {}", file.display())
            }
        }
    }
}

/// A home that is whole and held.
pub(crate) struct Opened {
    pub(crate) lock: HomeLock,
    pub(crate) journal: Journal,
    pub(crate) index: Index,
    pub(crate) opening: Opening,
}

pub(crate) fn open(
    home: &Path,
    options: &SledOptions,
    disk: Box<dyn Disk>,
) -> Result<Opened, OpenError> {
    // 1. The lock, before anything is read, removed or moved.
    let (mut lock, notes) = HomeLock::take(home)?;
    let acknowledged = notes.as_ref().map_or(0, |notes| notes.acknowledged);

    // 2. The journal, and an index that has applied all of it.
    let directory = journal::create_directory(home)?;
    let segments = journal::segments(&directory)?;
    let mut home = Home {
        index_path: home.join(INDEX_DIRECTORY),
        discarded_path: home.join(DISCARDED_DIRECTORY),
        path: home,
        journal: Source {
            directory: &directory,
            segments,
            acknowledged,
        },
        options,
        disk: &*disk,
        opening: Opening::default(),
    };
    let (index, ending) = match home.journal.bytes() < options.memory_journal_bytes {
        true => home.open_in_memory()?,
        false => home.open_on_disk(&mut lock, notes)?,
    };
    let mut opening = home.opening;

    // 3. The end of the journal, ready for more, and durable as far as it was read.
    opening.last_commit = ending.position.sequence;
    opening.last_written_at = ending.written_at;
    if let Some(torn) = ending.torn.clone() {
        opening.actions.push(Action::CutTornTail {
            file: torn.path,
            offset: torn.offset,
            bytes: torn.bytes,
        });
    }
    let journal = Journal::open(directory.clone(), &ending, acknowledged, disk)?;
    lock.set_acknowledged(ending.position.sequence)
        .map_err(|source| OpenError::io("write", lock.path(), source))?;
    Ok(Opened {
        lock,
        journal,
        index,
        opening,
    })
}

/// The journal as it lies there.
struct Source<'a> {
    directory: &'a Path,
    segments: Vec<Segment>,
    acknowledged: u64,
}

impl Source<'_> {
    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn read(
        &self,
        start: Position,
        visit: &mut dyn FnMut(Replayed<'_>) -> Result<(), OpenError>,
    ) -> Result<Ending, OpenError> {
        journal::read(
            self.directory,
            &self.segments,
            start,
            self.acknowledged,
            visit,
        )
    }

    /// Where reading begins so that what is left of the budget is verified, at the latest at `applied`.
    fn verification_start(&self, applied: &Position, budget: u64) -> Result<Position, OpenError> {
        let mut start = applied.clone();
        let mut bytes = 0u64;
        for segment in self.segments.iter().rev() {
            bytes = bytes.saturating_add(segment.bytes);
            if bytes > budget {
                break;
            }
            if let Some(candidate) = journal::start_of(segment)?
                && candidate.sequence < applied.sequence
            {
                start = candidate;
            }
        }
        // The very beginning needs no header to be trusted.
        match bytes <= budget {
            true => Ok(Position::START),
            false => Ok(start),
        }
    }
}

/// A home being opened.
struct Home<'a> {
    path: &'a Path,
    index_path: PathBuf,
    discarded_path: PathBuf,
    journal: Source<'a>,
    options: &'a SledOptions,
    disk: &'a dyn Disk,
    opening: Opening,
}

impl<'a> Home<'a> {
    fn open_in_memory(&mut self) -> Result<(Index, Ending), OpenError> {
        let mut changes = Changes::default();
        let ending = self.journal.read(Position::START, &mut |replayed| {
            changes.add(replayed.effect);
            Ok(())
        })?;
        self.opening.in_memory = true;
        Ok((Index::Memory(MemoryIndex::from(changes)), ending))
    }

    fn open_on_disk(
        &mut self,
        lock: &mut HomeLock,
        notes: Option<Notes>,
    ) -> Result<(Index, Ending), OpenError> {
        let boot = Boot::current();
        // 1. An index that may be believed is opened and caught up.
        let because = match self.reason_to_doubt(notes.as_ref(), &boot) {
            Some(reason) => reason,
            None => {
                self.room()
                    .check(self.options.reserve_bytes / OPENING_SHARE)?;
                self.note_open(lock, notes.as_ref(), &boot)?;
                match self.catch_up() {
                    Ok(Ok(opened)) => return Ok(opened),
                    Ok(Err(reason)) => reason,
                    Err(error) => {
                        // What sled had begun to write when the system refused more is nobody's guess.
                        if matches!(error, OpenError::Io { .. }) {
                            self.note(lock, IndexState::Damaged)?;
                        }
                        return Err(error);
                    }
                }
            }
        };
        // 2. Any other is made again. The notes keep the doubt until the new one is whole: a half-made one
        //    must not be believed.
        if lock_says_open(lock, &boot) {
            self.note(lock, IndexState::Damaged)?;
        }
        let fresh = !self.index_path.exists() && self.journal.segments.is_empty();
        self.journal.read(Position::START, &mut |_| Ok(()))?;
        self.room().check(self.options.reserve_bytes)?;
        if lock.index() != &IndexState::Damaged {
            self.note(lock, IndexState::Damaged)?;
        }
        self.discard_index()?;
        let (index, ending, commits) = self.rebuild()?;
        self.note(lock, IndexState::Open(boot))?;
        if !fresh {
            self.opening
                .actions
                .push(Action::RebuiltIndex { because, commits });
        }
        Ok((index, ending))
    }

    /// Why the index's files are not believed even if sled opens them.
    fn reason_to_doubt(&self, notes: Option<&Notes>, boot: &Boot) -> Option<String> {
        let exists = self.index_path.exists();
        let reason = match notes.map(|notes| &notes.index) {
            Some(IndexState::Unused) if !exists => return None,
            _ if !exists => "it is missing",
            None => "the notes of the last process cannot be read",
            Some(IndexState::Unused) => "the last process did not know of it",
            Some(IndexState::Damaged) => "a read from it was wrong, or it was not finished",
            Some(IndexState::Open(used)) if !used.same_as(boot) => {
                "the machine stopped while it was in use, and it does not survive power loss"
            }
            Some(IndexState::Open(_) | IndexState::Clean) => return None,
        };
        Some(reason.to_owned())
    }

    /// Notes that the index is in use, durably if power loss could bring back a note that it is clean.
    fn note_open(
        &self,
        lock: &mut HomeLock,
        notes: Option<&Notes>,
        boot: &Boot,
    ) -> Result<(), OpenError> {
        let open = IndexState::Open(boot.clone());
        match notes.is_some_and(|notes| notes.index == open) {
            true => Ok(()),
            false => self.note(lock, open),
        }
    }

    fn note(&self, lock: &mut HomeLock, state: IndexState) -> Result<(), OpenError> {
        lock.set_index(state)
            .map_err(|source| OpenError::io("write", lock.path(), source))
    }

    /// Opens the index and applies what it lacks; or says what is wrong with it.
    fn catch_up(&mut self) -> Result<Result<(Index, Ending), String>, OpenError> {
        let opened = SledIndex::open(&self.index_path, self.options.cache_bytes);
        let (index, applied, removed) = match opened {
            Ok(opened) => opened,
            Err(IndexError::Damaged(reason)) => return Ok(Err(reason)),
            Err(error) => return Err(self.refused(error)),
        };
        let removed = removed.into_iter();
        self.opening
            .actions
            .extend(removed.map(|file| Action::RemovedUnfinishedSnapshot { file }));
        let index = Index::Sled(index);
        let start = self
            .journal
            .verification_start(&applied, self.options.verify_bytes)?;
        let mut replay = Replay::new(&index, self.room());
        let mut reached = start == applied;
        let whole = start == Position::START && self.journal.bytes() < COMPARE_BYTES;
        let mut expected = Changes::default();
        let ending = self.journal.read(start, &mut |replayed| {
            if whole {
                expected.add(replayed.effect.clone());
            }
            if replayed.record_end.sequence > applied.sequence {
                match reached {
                    true => replay.add(replayed)?,
                    false => return Err(self.ahead(&applied, replayed.record_end)),
                }
            } else {
                reached |= *replayed.record_end == applied;
            }
            Ok(())
        })?;
        if !reached {
            return Err(self.ahead(&applied, &ending.position));
        }
        match replay.finish()? {
            Ok(0) => {}
            Ok(commits) => self.opening.actions.push(Action::Replayed { commits }),
            Err(reason) => return Ok(Err(reason)),
        }
        if whole
            && let Index::Sled(index) = &index
            && let Err(damage) = index.compare(&expected)
        {
            return Ok(Err(damage.reason().to_owned()));
        }
        Ok(Ok((index, ending)))
    }

    /// The index has applied a commit that the journal does not have, or not in this form.
    fn ahead(&self, applied: &Position, found: &Position) -> OpenError {
        let file = journal::segment_path(self.journal.directory, found.segment);
        let why = format!(
            "the index has applied commit {}, but the journal has another history there or ends before",
            applied.sequence
        );
        OpenError::damaged(&file, found.offset, why)
    }

    /// Takes the index away in one step, so that no half of it is ever found.
    fn discard_index(&self) -> Result<(), OpenError> {
        let remove = |path: &Path| {
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(path),
                false => fs::remove_file(path),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(OpenError::io("remove", path, error))
                }
                _ => Ok(()),
            }
        };
        remove(&self.discarded_path)?;
        match fs::rename(&self.index_path, &self.discarded_path) {
            Ok(()) => journal::sync_directory(self.path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(OpenError::io("rename", &self.index_path, error)),
        }
        remove(&self.discarded_path)
    }

    fn rebuild(&mut self) -> Result<(Index, Ending, u64), OpenError> {
        let (index, _, _) = SledIndex::open(&self.index_path, self.options.cache_bytes)
            .map_err(|error| self.refused(error))?;
        let index = Index::Sled(index);
        let mut replay = Replay::new(&index, self.room());
        let ending = self
            .journal
            .read(Position::START, &mut |replayed| replay.add(replayed))?;
        let commits = replay
            .finish()?
            .map_err(|why| self.refused(IndexError::Damaged(why)))?;
        Ok((index, ending, commits))
    }

    fn room(&self) -> Room<'a> {
        Room {
            disk: self.disk,
            path: self.path,
            reserve_bytes: self.options.reserve_bytes,
        }
    }

    fn refused(&self, error: IndexError) -> OpenError {
        let path = self.index_path.clone();
        match error {
            IndexError::Busy => OpenError::IndexBusy { path },
            IndexError::Damaged(why) => OpenError::Index { path, why },
            IndexError::System(source) => OpenError::io("open", &path, source),
        }
    }
}

fn lock_says_open(lock: &HomeLock, boot: &Boot) -> bool {
    lock.index() == &IndexState::Open(boot.clone())
}

/// What the home's file system has left: sled does not survive a full one.
struct Room<'a> {
    disk: &'a dyn Disk,
    path: &'a Path,
    reserve_bytes: u64,
}

impl Room<'_> {
    fn check(&self, needed: u64) -> Result<(), OpenError> {
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
struct Replay<'a> {
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
    fn new(index: &'a Index, room: Room<'a>) -> Replay<'a> {
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

    fn add(&mut self, replayed: Replayed<'_>) -> Result<(), OpenError> {
        let values = replayed.effect.records.iter();
        self.bytes += values
            .map(|(key, value)| key.len() + value.as_ref().map_or(0, Value::len))
            .sum::<usize>();
        self.changes.add(replayed.effect);
        self.commits += 1;
        let full = self.changes.records.len() >= REPLAY_RECORDS || self.bytes >= REPLAY_BYTES;
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

    fn finish(mut self) -> Result<Result<u64, String>, OpenError> {
        if !self.changes.is_empty() {
            self.apply()?;
        }
        Ok(match self.failed {
            Some(reason) => Err(reason),
            None => Ok(self.commits),
        })
    }
}
