//! Opening a home: whatever the last process left, either all that was acknowledged is there, or it is refused.

mod opening;
mod replay;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bowline_store::Progress;

use crate::checkpoints;
use crate::index::{Damage, Index, IndexError, MemoryIndex, SledIndex};
use crate::journal::{self, Disk, Ending, Journal, Position};
use crate::lock::{Boot, HomeLock, IndexState, Notes};
use crate::merge::{CHUNK_BYTES, MergeError, Workshop};
use crate::truth::{Gathered, Truth, header_damaged};
use crate::{OpenError, SledOptions};
pub use opening::{Action, Opening};
pub(crate) use replay::OPENING_SHARE;
use replay::{Replay, Room, load};

/// The directory's name inside the home.
const INDEX_DIRECTORY: &str = "index";

/// Where an index goes that is not used any more, until it is removed.
pub(crate) const DISCARDED_DIRECTORY: &str = "index.discarded";

/// A home of fewer bytes is compared with its whole index even after it was closed in good order, in about
/// 0.1 s. A larger one only after it was not: until then its index was only written by a process that lived.
const COMPARE_BYTES: u64 = 16 * 1024 * 1024;

/// A home that is whole and held.
pub(crate) struct Opened {
    pub(crate) lock: HomeLock,
    pub(crate) journal: Journal,
    pub(crate) index: Index,
    pub(crate) opening: Opening,
    /// Behind the last commit.
    pub(crate) position: Position,
    /// How much of the journal no checkpoint holds yet, and how long the last one is.
    pub(crate) behind_checkpoint: u64,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) workshop: Workshop,
}

pub(crate) fn open(
    home: &Path,
    options: &SledOptions,
    disk: Arc<dyn Disk>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Opened, OpenError> {
    // 1. The lock, before anything is read, removed or moved.
    let (mut lock, notes) = HomeLock::take(home)?;
    let acknowledged = notes.as_ref().map_or(0, |notes| notes.acknowledged);

    // 2. The truth, and an index that has applied all of it.
    let directory = journal::create_directory(home)?;
    let workshop = Workshop {
        directory: checkpoints::directory(home),
        disk: Arc::clone(&disk),
        reserve_bytes: options.reserve_bytes / OPENING_SHARE,
        chunk_bytes: CHUNK_BYTES,
    };
    let listing = checkpoints::list(&workshop.directory)?;
    let mut actions = Vec::new();
    match checkpoints::remove_leftovers(&listing)? {
        0 => {}
        files => actions.push(Action::RemovedUnfinishedCheckpoint { files }),
    }
    let truth = Truth::find(home, listing, acknowledged)?;
    let acknowledged = truth.acknowledged;
    let mut home = Home {
        index_path: home.join(INDEX_DIRECTORY),
        discarded_path: home.join(DISCARDED_DIRECTORY),
        path: home,
        truth,
        options,
        workshop,
        opening: Opening {
            actions,
            ..Opening::default()
        },
        progress,
    };
    if home.truth.bases()?.is_empty() {
        return Err(home.truth.nowhere_to_begin());
    }
    let (index, ending) = match home.truth.bytes() < options.memory_journal_bytes {
        true => home.open_in_memory()?,
        false => home.open_on_disk(&mut lock, notes)?,
    };

    // 3. What is damaged was not needed, and is not read again.
    for damaged in std::mem::take(&mut home.truth.damaged) {
        let file = checkpoints::set_aside(&damaged)?;
        home.opening.actions.push(Action::DamagedCheckpoint {
            file,
            offset: damaged.offset,
            why: damaged.why,
        });
    }
    let newest = home.truth.checkpoints.first();
    let mut opening = home.opening;

    // 4. The end of the journal, ready for more, and durable as far as it was read.
    opening.last_commit = ending.position.sequence;
    let written_at = newest.map(|file| file.header.written_at);
    opening.last_written_at = ending
        .written_at
        .or(written_at.filter(|written_at| *written_at > 0));
    if let Some(torn) = ending.torn.clone() {
        opening.actions.push(Action::CutTornTail {
            file: torn.path,
            offset: torn.offset,
            bytes: torn.bytes,
        });
    }
    let journal = Journal::open(directory, &ending, acknowledged, disk)?;
    lock.set_acknowledged(ending.position.sequence)
        .map_err(|source| OpenError::io("write", lock.path(), source))?;
    Ok(Opened {
        lock,
        journal,
        index,
        opening,
        behind_checkpoint: home.truth.bytes_behind_checkpoint(),
        checkpoint_bytes: newest.map_or(0, |file| file.bytes),
        position: ending.position,
        workshop: Workshop {
            reserve_bytes: options.reserve_bytes,
            ..home.workshop
        },
    })
}

/// A home being opened.
struct Home<'a> {
    path: &'a Path,
    index_path: PathBuf,
    discarded_path: PathBuf,
    truth: Truth,
    options: &'a SledOptions,
    workshop: Workshop,
    opening: Opening,
    progress: &'a mut dyn FnMut(Progress),
}

/// Why a comparison did not come to its end.
enum CompareError {
    Truth(MergeError),
    Index(Damage),
    /// The first difference, which is enough.
    Different(String),
}

impl From<Damage> for CompareError {
    fn from(damage: Damage) -> CompareError {
        CompareError::Index(damage)
    }
}

/// Why the journal was not read to its end.
enum ReplayError {
    /// It does not read.
    Journal(OpenError),
    /// The index has what the journal has not.
    Ahead(OpenError),
}

/// Where the journal ends and how many of its commits the index lacked; or what is wrong with the index.
type ReplayResult = Result<Result<(Ending, u64), String>, ReplayError>;

impl From<OpenError> for ReplayError {
    fn from(error: OpenError) -> ReplayError {
        ReplayError::Journal(error)
    }
}

impl From<ReplayError> for OpenError {
    fn from(error: ReplayError) -> OpenError {
        match error {
            ReplayError::Journal(error) | ReplayError::Ahead(error) => error,
        }
    }
}

impl Home<'_> {
    fn open_in_memory(&mut self) -> Result<(Index, Ending), OpenError> {
        let workshop = self.workshop.clone();
        let progress = &mut *self.progress;
        let mut tick = |told| {
            progress(told);
            Ok(())
        };
        let read = self.truth.attempt(&mut |truth, base| {
            let gathered = truth.gather(base, &workshop, &mut tick)?;
            let ending = gathered.ending.clone();
            let changes = gathered.changes(&mut tick)?;
            Ok((changes, ending))
        });
        let (changes, ending) = read.map_err(|error| error.into_open(self.path))?;
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
                let unclean = notes
                    .as_ref()
                    .is_some_and(|notes| matches!(notes.index, IndexState::Open(_)));
                match self.catch_up(unclean) {
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
        let fresh = !self.index_path.exists() && self.truth.is_empty();
        let gathered = self.gather()?;
        self.room().check(self.options.reserve_bytes)?;
        if lock.index() != &IndexState::Damaged {
            self.note(lock, IndexState::Damaged)?;
        }
        self.discard_index()?;
        let rebuilt = Action::RebuiltIndex {
            because,
            checkpoint: gathered.base.sequence(),
            commits: gathered.overlay.commits,
        };
        let (index, ending) = self.rebuild(gathered)?;
        self.note(lock, IndexState::Open(boot))?;
        if !fresh {
            self.opening.actions.push(rebuilt);
        }
        Ok((index, ending))
    }

    /// Why the index's files are not believed even if sled opens them.
    fn reason_to_doubt(&self, notes: Option<&Notes>, boot: &Boot) -> Option<String> {
        let exists = self.index_path.exists();
        let restored = !self.truth.checkpoints.is_empty();
        let reason = match notes.map(|notes| &notes.index) {
            Some(IndexState::Unused) if !exists && !restored => return None,
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
    fn catch_up(&mut self, unclean: bool) -> Result<Result<(Index, Ending), String>, OpenError> {
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
        if let Some(reason) = self.out_of_reach(&applied) {
            return Ok(Err(reason));
        }
        let index = Index::Sled(index);
        let start = self.verification_start(&applied);
        let replayed = start.and_then(|start| self.replay(&index, start, &applied));
        let replayed = match replayed {
            Err(ReplayError::Journal(damage @ OpenError::Damaged { .. })) => {
                self.replay_behind_damage(&index, &applied, damage)?
            }
            replayed => replayed.map_err(OpenError::from)?,
        };
        let ending = match replayed {
            Ok((ending, 0)) => ending,
            Ok((ending, commits)) => {
                self.opening.actions.push(Action::Replayed { commits });
                ending
            }
            Err(reason) => return Ok(Err(reason)),
        };
        let small = self.truth.bytes() < COMPARE_BYTES.min(self.options.verify_bytes);
        if (unclean || small)
            && let Index::Sled(index) = &index
            && let Some(different) = self.compare(index)?
        {
            return Ok(Err(different));
        }
        Ok(Ok((index, ending)))
    }

    /// Reads the journal from a place on, and applies what the index lacks of it. The end and how many commits
    /// that were; or what is wrong with the index.
    fn replay(&self, index: &Index, start: Position, applied: &Position) -> ReplayResult {
        let mut replay = Replay::new(index, self.room());
        // A place at the end of a segment is also the one before the next.
        let same =
            |place: &Position| (place.sequence, place.link) == (applied.sequence, applied.link);
        let ahead = |found: &Position| ReplayError::Ahead(self.ahead(applied, found));
        let mut reached = same(&start);
        let ending = self.truth.read(start, &mut |replayed| {
            if replayed.record_end.sequence > applied.sequence {
                match reached {
                    true => replay.add(replayed)?,
                    false => return Err(ahead(replayed.record_end)),
                }
            } else {
                reached |= same(replayed.record_end);
            }
            Ok(())
        })?;
        if !reached {
            return Err(ahead(&ending.position));
        }
        let replayed = replay.finish()?;
        Ok(replayed.map(|commits| (ending, commits)))
    }

    /// Goes on where the journal is damaged before the newest whole checkpoint, which holds what is damaged:
    /// from that one. Nothing else holds what is behind it, so damage there is refused.
    fn replay_behind_damage(
        &mut self,
        index: &Index,
        applied: &Position,
        damage: OpenError,
    ) -> Result<Result<(Ending, u64), String>, OpenError> {
        let progress = &mut *self.progress;
        let mut tick = |told| {
            progress(told);
            Ok(())
        };
        let whole = self.truth.attempt(&mut |_, base| {
            base.verify(&mut tick)?;
            Ok(base.clone())
        });
        let Some((base, checkpoint)) = whole.ok().and_then(|base| {
            let sequence = base.sequence()?;
            Some((base, sequence))
        }) else {
            return Err(damage);
        };
        let read = self.truth.check_behind(&base);
        read.map_err(|error| error.into_open(self.path))?;
        let OpenError::Damaged { file, offset, why } = damage else {
            return Err(damage);
        };
        self.opening.actions.push(Action::DamagedHistory {
            file,
            offset,
            why,
            checkpoint,
        });
        if applied.sequence < base.start.sequence {
            return Ok(Err(format!(
                "it has commits up to {}, and the journal is damaged behind that",
                applied.sequence
            )));
        }
        Ok(self.replay(index, base.start, applied)?)
    }

    /// Why the journal and the checkpoints cannot bring the index up to date: it is too far behind.
    fn out_of_reach(&self, applied: &Position) -> Option<String> {
        let newest = self.truth.checkpoints.first();
        let begins = match self.truth.needed_segments().first() {
            Some(oldest) => oldest.first,
            None => newest.map_or(1, |file| file.header.sequence.saturating_add(1)),
        };
        (applied.sequence.saturating_add(1) < begins).then(|| {
            format!(
                "it has commits up to {}, and the journal begins with {begins}",
                applied.sequence
            )
        })
    }

    /// Where reading begins so that the newest segments are verified as far as they are to be, at the latest
    /// at `applied`.
    fn verification_start(&self, applied: &Position) -> Result<Position, ReplayError> {
        let mut start = applied.clone();
        let mut bytes = 0u64;
        for (age, segment) in self.truth.needed_segments().iter().rev().enumerate() {
            bytes = bytes.saturating_add(segment.bytes);
            if bytes > self.options.verify_bytes {
                break;
            }
            // The very beginning needs no header to be trusted.
            let candidate = match segment.first {
                1 => Some(Position::START),
                _ => journal::start_of(segment)?,
            };
            match candidate {
                Some(candidate) if candidate.sequence < applied.sequence => start = candidate,
                // Only the last may never have got its header, which reading it tells.
                None if age > 0 => return Err(header_damaged(segment).into()),
                _ => {}
            }
        }
        Ok(start)
    }

    /// The index has applied a commit that the journal does not have, or not in this form.
    fn ahead(&self, applied: &Position, found: &Position) -> OpenError {
        let file = journal::segment_path(&self.truth.journal, found.segment);
        let why = format!(
            "the index has applied commit {}, but the journal has another history there or ends before",
            applied.sequence
        );
        OpenError::damaged(&file, found.offset, why)
    }

    /// Reads all that an index is made from, and verifies it, before the old one is given up.
    fn gather(&mut self) -> Result<Gathered, OpenError> {
        let workshop = self.workshop.clone();
        let progress = &mut *self.progress;
        let mut tick = |told| {
            progress(told);
            Ok(())
        };
        let gathered = self.truth.attempt(&mut |truth, base| {
            base.verify(&mut tick)?;
            truth.gather(base, &workshop, &mut tick)
        });
        gathered.map_err(|error| error.into_open(self.path))
    }

    /// Holds the whole index against the truth. The first difference, if there is one.
    fn compare(&mut self, index: &SledIndex) -> Result<Option<String>, OpenError> {
        let workshop = self.workshop.clone();
        let progress = &mut *self.progress;
        let mut tick = |told| {
            progress(told);
            Ok(())
        };
        let compared = self.truth.attempt(&mut |truth, base| {
            let gathered = truth.gather(base, &workshop, &mut tick)?;
            let mut merge = gathered.merge("comparing the index")?;
            let compared = index.compare(
                &mut || merge.next_entry(&mut tick).map_err(CompareError::Truth),
                &mut |difference| Err(CompareError::Different(difference.to_string())),
            );
            match compared {
                Ok(()) => Ok(None),
                Err(CompareError::Truth(error)) => Err(error),
                Err(CompareError::Index(damage)) => Ok(Some(damage.reason().to_owned())),
                Err(CompareError::Different(what)) => Ok(Some(what)),
            }
        });
        compared.map_err(|error| error.into_open(self.path))
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

    fn rebuild(&mut self, gathered: Gathered) -> Result<(Index, Ending), OpenError> {
        let (index, _, _) = SledIndex::open(&self.index_path, self.options.cache_bytes)
            .map_err(|error| self.refused(error))?;
        let (ending, position) = (gathered.ending.clone(), gathered.position.clone());
        let room = Room {
            disk: &*self.workshop.disk,
            path: self.path,
            reserve_bytes: self.options.reserve_bytes,
        };
        let progress = &mut *self.progress;
        let mut tick = |told| {
            progress(told);
            Ok(())
        };
        let loaded = gathered
            .merge("rebuilding the index")
            .and_then(|mut merge| load(&index, &room, &mut merge, &position, &mut tick));
        loaded
            .map_err(|error| error.into_open(self.path))?
            .map_err(|why| self.refused(IndexError::Damaged(why)))?;
        Ok((Index::Sled(index), ending))
    }

    fn room(&self) -> Room<'_> {
        Room {
            disk: &*self.workshop.disk,
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
