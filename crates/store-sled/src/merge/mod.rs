//! The one way to the truth: a checkpoint and the journal behind it, merged into one sorted stream.
//!
//! Checkpoints, backups and the index are all made from this stream, and the index is held against it, so
//! that nothing which was only in the index can ever pass for the truth. Memory is bounded: of the journal one
//! chunk is sorted at a time, and where there are several, all but the last lie on disk as runs.

mod overlay;
mod run;

use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;

use bowline_store::checkpoint::{Entry, ReadError, Reader};
use bowline_store::{Key, Progress, Value};

use crate::OpenError;
use crate::index::Changes;
pub(crate) use overlay::{CHUNK_BYTES, Overlay, Workshop};
use run::RunReader;

/// Told how far the work has come; what it returns as an error ends the work.
pub(crate) type Tick<'a> = &'a mut dyn FnMut(Progress) -> Result<(), MergeError>;

/// Why a merge ended before its end.
#[derive(Debug)]
pub(crate) enum MergeError {
    /// The checkpoint it began with is not what was written; an older one may do.
    Checkpoint {
        file: PathBuf,
        offset: u64,
        why: String,
    },
    /// Something else in the home.
    Home(OpenError),
    /// What it was written to did not take it.
    Output(io::Error),
    /// Whoever asked for it wants it no more.
    Stopped,
}

impl From<OpenError> for MergeError {
    fn from(error: OpenError) -> MergeError {
        MergeError::Home(error)
    }
}

/// What became of one name: the latest word wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A record's value, or none if it was deleted.
    Record(Key, Option<Value>),
    /// The last number that an append prefix has used.
    Number(Key, u64),
}

impl Line {
    /// What lines are ordered by: as in a checkpoint.
    fn place(&self) -> (u8, &Key) {
        match self {
            Line::Record(key, _) => (0, key),
            Line::Number(prefix, _) => (1, prefix),
        }
    }

    fn bytes(&self) -> u64 {
        let value = match self {
            Line::Record(_, value) => 4 + value.as_ref().map_or(0, Value::len),
            Line::Number(..) => 8,
        };
        (3 + self.place().1.len() + value) as u64
    }
}

/// Where lines come from, in order and each place once.
pub(crate) enum Source {
    Checkpoint(PathBuf, Box<Reader<BufReader<File>>>),
    Run(RunReader),
    Memory(Box<dyn Iterator<Item = Line>>),
}

impl Source {
    fn memory(changes: Changes) -> Source {
        let records = changes.records.into_iter();
        let numbers = changes.numbers.into_iter();
        Source::Memory(Box::new(
            records
                .map(|(key, value)| Line::Record(key, value))
                .chain(numbers.map(|(prefix, number)| Line::Number(prefix, number))),
        ))
    }

    fn next(&mut self) -> Result<Option<Line>, MergeError> {
        match self {
            Source::Checkpoint(path, reader) => match reader.next() {
                Ok(Some(Entry::Record(key, value))) => Ok(Some(Line::Record(key, Some(value)))),
                Ok(Some(Entry::Number(prefix, number))) => Ok(Some(Line::Number(prefix, number))),
                Ok(None) => Ok(None),
                Err(error) => Err(read_error(path.clone(), error)),
            },
            Source::Run(reader) => reader.next(),
            Source::Memory(lines) => Ok(lines.next()),
        }
    }
}

/// Sorts out what is wrong with a checkpoint: a sector that does not read is damage like a flipped bit.
pub(crate) fn read_error(file: PathBuf, error: ReadError) -> MergeError {
    match error {
        ReadError::Damaged { offset, why } => MergeError::Checkpoint {
            file,
            offset,
            why: why.to_owned(),
        },
        ReadError::Io { offset, source }
            if source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) =>
        {
            MergeError::Checkpoint {
                file,
                offset,
                why: source.to_string(),
            }
        }
        ReadError::Io { source, .. } => OpenError::io("read", &file, source).into(),
        ReadError::NewerFormat { found } => OpenError::NewerFormat {
            file,
            found,
            known: bowline_store::checkpoint::FORMAT,
        }
        .into(),
    }
}

/// The next line of a source; a higher age is a later word.
struct Head {
    line: Line,
    age: usize,
}

impl Ord for Head {
    /// The heap gives the greatest first, which is to be the smallest place, and of that the latest word.
    fn cmp(&self, other: &Head) -> std::cmp::Ordering {
        let places = other.line.place().cmp(&self.line.place());
        places.then(self.age.cmp(&other.age))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Head) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

/// Several sorted sources as one, later words winning.
pub(crate) struct Merge {
    sources: Vec<Source>,
    heads: BinaryHeap<Head>,
    pace: Pace,
}

impl Merge {
    /// The sources, oldest first; `total` is about how many bytes they have.
    pub(crate) fn new(
        sources: Vec<Source>,
        step: &'static str,
        total: u64,
    ) -> Result<Merge, MergeError> {
        let mut merge = Merge {
            heads: BinaryHeap::with_capacity(sources.len()),
            sources,
            pace: Pace::new(step, total),
        };
        for age in 0..merge.sources.len() {
            merge.advance(age)?;
        }
        Ok(merge)
    }

    fn advance(&mut self, age: usize) -> Result<(), MergeError> {
        if let Some(line) = self.sources[age].next()? {
            self.heads.push(Head { line, age });
        }
        Ok(())
    }

    /// The latest word on the next name, deletions included.
    pub(crate) fn next_line(&mut self, tick: Tick<'_>) -> Result<Option<Line>, MergeError> {
        let Some(Head { line, age }) = self.heads.pop() else {
            return Ok(None);
        };
        self.pace.add(line.bytes(), tick)?;
        self.advance(age)?;
        while let Some(older) = self
            .heads
            .peek()
            .filter(|head| head.line.place() == line.place())
        {
            let (age, bytes) = (older.age, older.line.bytes());
            self.heads.pop();
            self.pace.add(bytes, tick)?;
            self.advance(age)?;
        }
        Ok(Some(line))
    }

    /// The next record or number that is there in the end.
    pub(crate) fn next_entry(&mut self, tick: Tick<'_>) -> Result<Option<Entry>, MergeError> {
        loop {
            match self.next_line(tick)? {
                Some(Line::Record(key, Some(value))) => return Ok(Some(Entry::Record(key, value))),
                Some(Line::Record(_, None)) => {}
                Some(Line::Number(prefix, number)) => {
                    return Ok(Some(Entry::Number(prefix, number)));
                }
                None => return Ok(None),
            }
        }
    }
}

/// How much work lies between two words about it.
const TICK_BYTES: u64 = 1024 * 1024;

/// Counts the bytes of some work and tells of it now and then.
pub(crate) struct Pace {
    step: &'static str,
    done: u64,
    total: u64,
    told: u64,
}

impl Pace {
    pub(crate) fn new(step: &'static str, total: u64) -> Pace {
        Pace {
            step,
            done: 0,
            total,
            told: 0,
        }
    }

    pub(crate) fn add(&mut self, bytes: u64, tick: Tick<'_>) -> Result<(), MergeError> {
        self.done += bytes;
        match self.done - self.told < TICK_BYTES {
            true => Ok(()),
            false => self.tell(tick),
        }
    }

    /// Up to here it is done.
    pub(crate) fn reach(&mut self, done: u64, tick: Tick<'_>) -> Result<(), MergeError> {
        self.add(done.saturating_sub(self.done), tick)
    }

    fn tell(&mut self, tick: Tick<'_>) -> Result<(), MergeError> {
        self.told = self.done;
        tick(Progress {
            step: self.step,
            done: self.done,
            total: self.total.max(self.done),
        })
    }
}

#[cfg(test)]
mod tests;
