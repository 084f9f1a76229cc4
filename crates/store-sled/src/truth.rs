//! What a home knows for sure, where it lies: checkpoints, and the journal behind them.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use bowline_store::checkpoint::{Entry, Header, Reader, Summary, Writer};

use crate::OpenError;
use crate::checkpoints::{self, CheckpointFile, DamagedCheckpoint, KEPT, Listing};
use crate::index::Changes;
use crate::journal::{self, Ending, Position, Replayed, Segment};
use crate::merge::{Merge, MergeError, Overlay, Pace, Source, Tick, Workshop, read_error};

/// The blocks of a checkpoint are about this long.
const READ_BYTES: usize = 128 * 1024;

/// The checkpoints and the journal of a home.
pub(crate) struct Truth {
    /// Whose headers read, newest first.
    pub(crate) checkpoints: Vec<CheckpointFile>,
    /// What was found damaged so far.
    pub(crate) damaged: Vec<DamagedCheckpoint>,
    pub(crate) journal: PathBuf,
    pub(crate) segments: Vec<Segment>,
    /// A commit known to have been durable: the journal must reach it.
    pub(crate) acknowledged: u64,
}

/// Where reading may begin: with a checkpoint, or with the first commit of all.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) checkpoint: Option<CheckpointFile>,
    /// Where the journal is read from, at the latest behind the checkpoint.
    pub(crate) start: Position,
}

/// The header of a segment cannot be trusted.
pub(crate) fn header_damaged(segment: &Segment) -> OpenError {
    let why = "the header's checksum does not hold".to_owned();
    OpenError::damaged(&segment.path, 0, why)
}

/// What of the journal is behind a checkpoint.
enum Behind {
    /// It is read from here.
    Begins(Position),
    /// The segment it begins in cannot be trusted.
    Damaged(Segment),
    /// It does not reach back so far.
    Missing,
}

/// A base that was read whole, and everything behind it.
pub(crate) struct Gathered {
    pub(crate) base: Base,
    pub(crate) overlay: Overlay,
    pub(crate) ending: Ending,
    /// Behind the last record, which the end of the journal need not be.
    pub(crate) position: Position,
}

impl Truth {
    /// All of a home that nobody writes to. `acknowledged` is from the notes.
    pub(crate) fn find(
        home: &Path,
        listing: Listing,
        acknowledged: u64,
    ) -> Result<Truth, OpenError> {
        let journal = home.join(journal::JOURNAL_DIRECTORY);
        let segments = journal::segments(&journal)?;
        let newest = listing.checkpoints.first();
        // A checkpoint was made of records that were durable.
        let acknowledged = acknowledged.max(newest.map_or(0, |file| file.header.sequence));
        Ok(Truth {
            checkpoints: listing.checkpoints,
            damaged: listing.damaged,
            journal,
            segments,
            acknowledged,
        })
    }

    /// The truth up to a place that is durable, while more is written behind it.
    pub(crate) fn until(home: &Path, end: &Position) -> Result<Truth, OpenError> {
        let listing = checkpoints::list(&checkpoints::directory(home))?;
        let mut truth = Truth::find(home, listing, 0)?;
        truth.acknowledged = end.sequence;
        let covered = |file: &CheckpointFile| file.header.sequence <= end.sequence;
        truth.checkpoints.retain(covered);
        // The one that the end is in may have no record yet, as in a home just restored.
        truth
            .segments
            .retain(|segment| segment.first <= end.sequence || segment.first == end.segment);
        if let Some(last) = truth.segments.last_mut()
            && last.first == end.segment
        {
            last.bytes = end.offset;
        }
        Ok(truth)
    }

    /// How much room a checkpoint of all this takes: the last one once more, and what is behind that twice, as
    /// it is put aside in runs first.
    pub(crate) fn room_for_checkpoint(&self) -> u64 {
        let newest = self.checkpoints.first().map_or(0, |file| file.bytes);
        newest.saturating_add(self.bytes_behind_checkpoint().saturating_mul(2))
    }

    /// How long the journal and the newest checkpoint are.
    pub(crate) fn bytes(&self) -> u64 {
        let newest = self.checkpoints.first().map_or(0, |file| file.bytes);
        newest + self.journal_bytes()
    }

    pub(crate) fn journal_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// How much of the journal lies behind the newest checkpoint, to the segment.
    pub(crate) fn bytes_behind_checkpoint(&self) -> u64 {
        let newest = self.checkpoints.first();
        let sequence = newest.map_or(0, |file| file.header.sequence);
        let behind = self
            .segments
            .iter()
            .filter(|segment| segment.first > sequence);
        behind.map(|segment| segment.bytes).sum()
    }

    /// The segments that have to be there, without a gap. Removing those before them may have been interrupted,
    /// and power failing may have brought any of them back.
    pub(crate) fn needed_segments(&self) -> &[Segment] {
        let Some(oldest) = self.checkpoints.get(KEPT - 1) else {
            return &self.segments;
        };
        let behind = |segment: &Segment| segment.first <= oldest.header.sequence + 1;
        let holding = self.segments.iter().rposition(behind);
        &self.segments[holding.unwrap_or(0)..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.checkpoints.is_empty() && self.damaged.is_empty()
    }

    /// Where reading may begin, the shortest way first. A checkpoint behind which the journal does not begin to
    /// read is passed over: another may do.
    pub(crate) fn bases(&self) -> Result<Vec<Base>, OpenError> {
        let mut bases = Vec::new();
        let mut unreadable = None;
        for file in &self.checkpoints {
            match self.start_behind(&file.header)? {
                Behind::Begins(start) => bases.push(Base {
                    checkpoint: Some(file.clone()),
                    start,
                }),
                Behind::Damaged(segment) => unreadable = unreadable.or(Some(segment)),
                Behind::Missing => {}
            }
        }
        let whole = match self.segments.first() {
            Some(oldest) => oldest.first == 1,
            None => self.checkpoints.is_empty() && self.damaged.is_empty(),
        };
        if whole {
            bases.push(Base {
                checkpoint: None,
                start: Position::START,
            });
        }
        match unreadable.filter(|_| bases.is_empty()) {
            Some(segment) => Err(header_damaged(&segment)),
            None => Ok(bases),
        }
    }

    /// Where the journal is read from to go on behind a checkpoint.
    fn start_behind(&self, header: &Header) -> Result<Behind, OpenError> {
        let next = header.sequence + 1;
        let behind = Position {
            sequence: header.sequence,
            segment: next,
            offset: 0,
            link: header.link,
        };
        // Also where there is no segment at all: the last one always stays, so it was lost, and with it
        // whatever was committed behind the checkpoint.
        let holding = self.segments.iter().rfind(|segment| segment.first <= next);
        Ok(match holding {
            None => Behind::Missing,
            Some(segment) if segment.first == next => Behind::Begins(behind),
            Some(segment) if segment.first == 1 => Behind::Begins(Position::START),
            Some(segment) => match journal::start_of(segment)? {
                Some(start) => Behind::Begins(start),
                None => Behind::Damaged(segment.clone()),
            },
        })
    }

    /// Does something with the first base that turns out to be whole. What turns out to be damaged is noted.
    pub(crate) fn attempt<T>(
        &mut self,
        work: &mut dyn FnMut(&Truth, &Base) -> Result<T, MergeError>,
    ) -> Result<T, MergeError> {
        for base in self.bases()? {
            match work(self, &base) {
                Err(MergeError::Checkpoint { file, offset, why }) => {
                    self.checkpoints.retain(|other| other.path != file);
                    self.damaged.push(DamagedCheckpoint { file, offset, why });
                }
                done => return done,
            }
        }
        Err(self.nowhere_to_begin().into())
    }

    /// Why nothing can be read: which file it takes.
    pub(crate) fn nowhere_to_begin(&self) -> OpenError {
        let missing = match self.segments.first() {
            Some(oldest) if oldest.first > 1 => format!(
                "the commits before {} are in no other checkpoint and not in the journal",
                oldest.first
            ),
            _ => "what is in it is nowhere else".to_owned(),
        };
        match (self.damaged.first(), self.segments.first()) {
            (Some(damaged), _) => {
                let why = format!("{}, and {missing}", damaged.why);
                OpenError::damaged(&damaged.file, damaged.offset, why)
            }
            (None, Some(oldest)) => {
                let why = format!(
                    "it is the oldest segment and begins with commit {}, so the ones before are missing, and no checkpoint holds them",
                    oldest.first
                );
                OpenError::damaged(&oldest.path, 0, why)
            }
            (None, None) => {
                let why =
                    "it has no segment, and what was committed behind the checkpoints was in one";
                OpenError::damaged(&self.journal, 0, why.to_owned())
            }
        }
    }

    /// Goes through the journal from a place on.
    pub(crate) fn read<E: From<OpenError>>(
        &self,
        start: Position,
        visit: &mut dyn FnMut(Replayed<'_>) -> Result<(), E>,
    ) -> Result<Ending, E> {
        journal::read(
            &self.journal,
            &self.segments,
            start,
            self.acknowledged,
            visit,
        )
    }

    /// Whether everything behind a base reads.
    pub(crate) fn check_behind(&self, base: &Base) -> Result<(), MergeError> {
        self.read_behind(base, &mut |_| Ok(())).map(drop)
    }

    /// Goes through the journal behind a base, after checking that it follows it.
    fn read_behind(
        &self,
        base: &Base,
        visit: &mut dyn FnMut(Replayed<'_>) -> Result<(), MergeError>,
    ) -> Result<(Ending, Position), MergeError> {
        let (sequence, link) = match &base.checkpoint {
            Some(file) => (file.header.sequence, file.header.link),
            None => (0, Position::START.link),
        };
        let differs = |found: &Position| {
            let file = journal::segment_path(&self.journal, found.segment);
            let why = format!("commit {sequence} in it is not the last one that {base} holds");
            OpenError::damaged(&file, found.offset, why)
        };
        let mut position = base.start.clone();
        let mut reached = position.sequence == sequence;
        let ending = self.read(base.start.clone(), &mut |replayed| {
            if *replayed.record_end != position {
                position = replayed.record_end.clone();
            }
            if position.sequence > sequence {
                return match reached {
                    true => visit(replayed),
                    false => Err(differs(&position).into()),
                };
            }
            reached |= position.sequence == sequence && position.link == link;
            Ok(())
        })?;
        match reached {
            true => Ok((ending, position)),
            false => Err(differs(&position).into()),
        }
    }

    /// Reads the journal behind a base into memory and, as far as that does not take it, into runs.
    pub(crate) fn gather(
        &self,
        base: &Base,
        workshop: &Workshop,
        tick: Tick<'_>,
    ) -> Result<Gathered, MergeError> {
        let mut overlay = Overlay::new(workshop.clone());
        let mut pace = Pace::new("reading the journal", self.bytes_from(&base.start));
        let (mut done, mut last) = (0, base.start.clone());
        let (ending, position) = self.read_behind(base, &mut |replayed| {
            let end = replayed.record_end;
            if *end != last {
                done += match end.segment == last.segment {
                    true => end.offset - last.offset,
                    false => end.offset,
                };
                last = end.clone();
                pace.reach(done, tick)?;
            }
            overlay.add(replayed.effect)
        })?;
        Ok(Gathered {
            base: base.clone(),
            overlay,
            ending,
            position,
        })
    }

    fn bytes_from(&self, start: &Position) -> u64 {
        let rest = self.segments.iter();
        let rest = rest.filter(|segment| segment.first >= start.segment);
        let bytes: u64 = rest.map(|segment| segment.bytes).sum();
        bytes.saturating_sub(start.offset)
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.checkpoint {
            Some(file) => write!(f, "{}", file.path.display()),
            None => f.write_str("the beginning"),
        }
    }
}

impl Base {
    /// The last commit in the checkpoint; none without one.
    pub(crate) fn sequence(&self) -> Option<u64> {
        let file = self.checkpoint.as_ref()?;
        Some(file.header.sequence)
    }

    /// Reads the checkpoint once, so that it is known to be whole before anything is made from it.
    pub(crate) fn verify(&self, tick: Tick<'_>) -> Result<Option<Summary>, MergeError> {
        let Some(file) = &self.checkpoint else {
            return Ok(None);
        };
        let failed = |error| read_error(file.path.clone(), error);
        let mut reader = self.reader(file)?;
        let mut pace = Pace::new("verifying the checkpoint", file.bytes);
        while reader.next().map_err(failed)?.is_some() {
            pace.reach(reader.offset(), tick)?;
        }
        Ok(Some(reader.summary().map_err(failed)?))
    }

    fn reader(&self, file: &CheckpointFile) -> Result<Reader<BufReader<File>>, MergeError> {
        let input =
            File::open(&file.path).map_err(|source| OpenError::io("open", &file.path, source))?;
        let reader = Reader::open(BufReader::with_capacity(READ_BYTES, input))
            .map_err(|error| read_error(file.path.clone(), error))?;
        Ok(reader)
    }
}

impl Gathered {
    /// What a checkpoint of all this says of itself.
    pub(crate) fn header(&self) -> Header {
        let base = self.base.checkpoint.as_ref();
        let before = base.map_or(0, |file| file.header.written_at);
        Header {
            sequence: self.position.sequence,
            link: self.position.link,
            written_at: self.ending.written_at.unwrap_or(before),
        }
    }

    /// All of it, in memory: for a home that is known to be small.
    pub(crate) fn changes(self, tick: Tick<'_>) -> Result<Changes, MergeError> {
        let overlay = match (&self.base.checkpoint, self.overlay) {
            // Nothing to merge with, and a command that does one thing waits for it.
            (None, overlay) if overlay.is_in_memory() => return Ok(overlay.into_changes()),
            (_, overlay) => overlay,
        };
        let mut merge = Gathered { overlay, ..self }.merge("reading the records")?;
        let mut changes = Changes::default();
        while let Some(entry) = merge.next_entry(tick)? {
            changes.insert(entry);
        }
        Ok(changes)
    }

    /// All of it, in order.
    pub(crate) fn merge(self, step: &'static str) -> Result<Merge, MergeError> {
        let base = match &self.base.checkpoint {
            Some(file) => {
                let reader = Box::new(self.base.reader(file)?);
                let source = Source::Checkpoint(file.path.clone(), reader);
                Some((source, file.bytes))
            }
            None => None,
        };
        self.overlay.over(base, step)
    }
}

/// Writes everything a merge gives.
pub(crate) fn pour(
    merge: &mut Merge,
    writer: &mut Writer<&mut dyn std::io::Write>,
    tick: Tick<'_>,
) -> Result<(), MergeError> {
    while let Some(entry) = merge.next_entry(tick)? {
        let entry: &Entry = &entry;
        writer.push(entry).map_err(MergeError::Output)?;
    }
    Ok(())
}

impl MergeError {
    /// As a reason why a home does not open.
    pub(crate) fn into_open(self, path: &Path) -> OpenError {
        match self {
            MergeError::Checkpoint { file, offset, why } => OpenError::damaged(&file, offset, why),
            MergeError::Home(error) => error,
            MergeError::Output(source) => OpenError::io("write to", path, source),
            MergeError::Stopped => {
                OpenError::io("finish", path, std::io::ErrorKind::Interrupted.into())
            }
        }
    }
}
