//! Reading a journal back: every record is checked against the one before, and what does not fit is either
//! the torn tail of the last write, which nobody was told about, or damage.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bowline_store::Effect;

use super::format::{FORMAT, HEADER_BYTES, Header, RECORD_BYTES_MAX, RECORD_MARK, Record};
use super::{Position, SEGMENT_BYTES, segment_path};
use crate::OpenError;

/// The longest that a segment grows: a record is begun while it is shorter than [`SEGMENT_BYTES`]. Longer files
/// are refused unread, whatever their length says.
const SEGMENT_BYTES_MAX: u64 = SEGMENT_BYTES + RECORD_BYTES_MAX as u64;

/// How many bytes of records that may be whole are checked behind a damaged one, about 0.1 s of hashing: values
/// can be made to look like the beginnings of a million records.
const SEARCH_BYTES: usize = 4 * RECORD_BYTES_MAX;

/// A segment's file.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// The first commit in it, from its name.
    pub(crate) first: u64,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// The journal's segments, oldest first. Files of other names are not ours and left alone.
pub(crate) fn segments(directory: &Path) -> Result<Vec<Segment>, OpenError> {
    let failed = |source| OpenError::io("list", directory, source);
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(first) = name.to_str().and_then(super::segment_of_name) else {
            continue;
        };
        segments.push(Segment {
            first,
            path: entry.path(),
            bytes: entry.metadata().map_err(failed)?.len(),
        });
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

/// What reading found at the end.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// Behind the last whole record.
    pub(crate) position: Position,
    /// Where the last record begins, if one was read.
    pub(crate) last_record: Option<u64>,
    /// When the last record was written, in seconds since 1970 by the writer's clock.
    pub(crate) written_at: Option<u64>,
    /// What has to be cut off before writing goes on.
    pub(crate) torn: Option<TornTail>,
}

/// Bytes behind the last whole record: a write that was cut off before anyone was told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TornTail {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// One commit read back.
pub(crate) struct Replayed<'a> {
    pub(crate) effect: Effect,
    /// Behind the record that holds it; its own number may be lower than the position's.
    pub(crate) record_end: &'a Position,
    /// Whether it is the last commit of its record.
    pub(crate) ends_record: bool,
}

/// Where a segment's records begin, trusting what its header says of the segments before; none if the header
/// cannot be trusted itself.
pub(crate) fn start_of(segment: &Segment) -> Result<Option<Position>, OpenError> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    File::open(&segment.path)
        .and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut bytes))
        .map_err(|source| OpenError::io("read", &segment.path, source))?;
    let header = Header::decode(&bytes).filter(|header| header.first == segment.first);
    Ok(header.map(|header| Position {
        sequence: segment.first - 1,
        segment: segment.first,
        offset: 0,
        link: header.previous,
    }))
}

/// Reads from `start` to the end and shows every commit to `visit`.
///
/// `acknowledged` is a commit known to have been durable: the journal must reach it.
pub(crate) fn read<E: From<OpenError>>(
    directory: &Path,
    segments: &[Segment],
    start: Position,
    acknowledged: u64,
    visit: &mut dyn FnMut(Replayed<'_>) -> Result<(), E>,
) -> Result<Ending, E> {
    let mut ending = Ending {
        position: start,
        last_record: None,
        written_at: None,
        torn: None,
    };
    let rest = segments
        .iter()
        .filter(|segment| segment.first >= ending.position.segment);
    let rest: Vec<&Segment> = rest.collect();
    // A place before the header of a segment is one where that may not have been begun yet.
    if rest.first().map(|segment| segment.first) != Some(ending.position.segment)
        && ending.position.offset > 0
    {
        let path = segment_path(directory, ending.position.segment);
        let why = format!(
            "the segment is missing, and the index has applied up to commit {} from it",
            ending.position.sequence
        );
        return Err(OpenError::damaged(&path, ending.position.offset, why).into());
    }
    for (index, segment) in rest.iter().enumerate() {
        let last = index + 1 == rest.len();
        read_segment(segment, last, acknowledged, &mut ending, visit)?;
    }
    if ending.position.sequence < acknowledged {
        let path = segment_path(directory, ending.position.segment);
        let why = format!(
            "the journal ends with commit {}, but commit {acknowledged} was acknowledged",
            ending.position.sequence
        );
        return Err(OpenError::damaged(&path, ending.position.offset, why).into());
    }
    Ok(ending)
}

/// Goes through one segment from `ending.position`, which lies in it or at the end of the one before.
fn read_segment<E: From<OpenError>>(
    segment: &Segment,
    last: bool,
    acknowledged: u64,
    ending: &mut Ending,
    visit: &mut dyn FnMut(Replayed<'_>) -> Result<(), E>,
) -> Result<(), E> {
    // 1. The bytes from the position on, with the link right before it.
    let from = match ending.position.segment == segment.first {
        true => ending.position.offset,
        false => 0,
    };
    let damaged =
        |offset: u64, why: &str| Err(OpenError::damaged(&segment.path, offset, why.into()).into());
    if segment.bytes > SEGMENT_BYTES_MAX {
        let why = format!(
            "the segment has {} bytes, more than the {SEGMENT_BYTES_MAX} that one can have",
            segment.bytes
        );
        return damaged(from, &why);
    }
    let bytes = read_from(segment, from.saturating_sub(32))?;
    let base = from.saturating_sub(32);

    // 2. The header, or the link that the position remembers.
    let mut offset = from;
    if from == 0 {
        let header = Header::decode(&bytes);
        if let Some(newer) = header.as_ref().filter(|header| header.format > FORMAT) {
            return Err(OpenError::NewerFormat {
                file: segment.path.clone(),
                found: newer.format,
                known: FORMAT,
            }
            .into());
        }
        let expected = (ending.position.sequence + 1, ending.position.link);
        match header {
            Some(header)
                if (header.first, header.previous) == expected && segment.first == expected.0 => {}
            Some(_) => return damaged(0, "the header does not follow the segment before"),
            // A header is durable before a record is written behind it, so a short file has held none.
            None if last && bytes.len() <= HEADER_BYTES && acknowledged < segment.first => {
                ending.torn = Some(TornTail {
                    path: segment.path.clone(),
                    offset: 0,
                    bytes: segment.bytes,
                });
                return Ok(());
            }
            None => return damaged(0, "the header's checksum does not hold"),
        }
        offset = HEADER_BYTES as u64;
        ending.position.segment = segment.first;
        ending.position.offset = offset;
        ending.last_record = None;
    } else if bytes.get(..32) != Some(&ending.position.link[..]) {
        let why = format!(
            "the record of commit {} is not the one the index has applied",
            ending.position.sequence
        );
        return damaged(from, &why);
    }

    // 3. The records.
    let end = base + bytes.len() as u64;
    while offset < end {
        // Cannot be out of range: the offset is between the base and the end.
        let rest = &bytes[(offset - base) as usize..];
        let record = Record::decode(rest);
        let follows = record.as_ref().is_some_and(|record| {
            record.first == ending.position.sequence + 1 && record.previous == ending.position.link
        });
        let Some(record) = record.filter(|_| follows) else {
            return Ok(end_at(segment, last, acknowledged, ending, offset, rest)?);
        };
        let (Some(sequence), Some(effects)) = (record.last(), record.effects()) else {
            return damaged(offset, "the record's checksum holds, but not its content");
        };
        ending.last_record = Some(offset);
        ending.written_at = Some(record.written_at);
        offset += record.bytes as u64;
        ending.position = Position {
            sequence,
            segment: segment.first,
            offset,
            link: record.checksum,
        };
        let count = effects.len();
        for (index, effect) in effects.into_iter().enumerate() {
            visit(Replayed {
                effect,
                record_end: &ending.position,
                ends_record: index + 1 == count,
            })?;
        }
    }
    Ok(())
}

/// Tells a torn tail from damage: only the last write can be torn, it was not acknowledged, and it has
/// nothing whole behind it.
fn end_at(
    segment: &Segment,
    last: bool,
    acknowledged: u64,
    ending: &mut Ending,
    offset: u64,
    rest: &[u8],
) -> Result<(), OpenError> {
    let next = ending.position.sequence + 1;
    let why = if !last {
        "the record's checksum does not hold, and another segment follows".to_owned()
    } else if next <= acknowledged {
        format!("the record's checksum does not hold, and commit {next} in it was acknowledged")
    } else if rest.len() > RECORD_BYTES_MAX {
        format!(
            "the record's checksum does not hold, and {} bytes follow, more than the {RECORD_BYTES_MAX} of one write",
            rest.len()
        )
    } else {
        match whole_record_behind(rest, SEARCH_BYTES) {
            Behind::Whole(behind) => format!(
                "the record's checksum does not hold, and a whole one follows at offset {}",
                offset + behind
            ),
            Behind::TooMany => {
                "the record's checksum does not hold, and too much behind it looks like a whole one"
                    .to_owned()
            }
            Behind::Nothing => {
                ending.torn = Some(TornTail {
                    path: segment.path.clone(),
                    offset,
                    bytes: rest.len() as u64,
                });
                return Ok(());
            }
        }
    };
    Err(OpenError::damaged(&segment.path, offset, why))
}

/// What is behind a damaged record.
#[derive(Debug, PartialEq, Eq)]
enum Behind {
    /// No whole record.
    Nothing,
    /// A whole record, so many bytes behind the damaged one's beginning.
    Whole(u64),
    /// More that looks like a record than is checked.
    TooMany,
}

/// Where the next whole record begins, seeking byte by byte: the damaged one's length cannot be trusted.
/// No more than `budget` bytes of candidates are checked.
fn whole_record_behind(rest: &[u8], budget: usize) -> Behind {
    let mut left = budget;
    let candidates = rest.windows(RECORD_MARK.len()).enumerate().skip(1);
    for (at, _) in candidates.filter(|(_, window)| *window == RECORD_MARK) {
        let candidate = &rest[at..];
        let Some(bytes) =
            Record::claimed_bytes(candidate).filter(|bytes| *bytes <= candidate.len())
        else {
            continue;
        };
        if bytes > left {
            return Behind::TooMany;
        }
        left -= bytes;
        if Record::decode(candidate).is_some() {
            return Behind::Whole(at as u64);
        }
    }
    Behind::Nothing
}

fn read_from(segment: &Segment, offset: u64) -> Result<Vec<u8>, OpenError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(&segment.path)?;
        file.seek(SeekFrom::Start(offset))?;
        // No more than the length that was checked; the file is ours and does not grow meanwhile.
        let length = segment.bytes.saturating_sub(offset);
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| OpenError::io("read", &segment.path, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::format::RecordBuilder;

    /// Bytes that look like so many records, each of which says that it has `length` bytes of payload.
    fn lookalikes(count: usize, length: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        for _ in 0..count {
            bytes.extend_from_slice(RECORD_MARK);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&[1; 52]);
        }
        bytes.resize(bytes.len() + length as usize + 32, 1);
        bytes
    }

    #[test]
    fn a_whole_record_is_found_behind_what_only_looks_like_one() {
        let mut bytes = lookalikes(3, 100);
        let at = bytes.len() as u64;
        let mut record = RecordBuilder::default();
        record.clear();
        record.push(&Effect::default());
        bytes.extend_from_slice(record.finish(1, 0, &[0; 32]).0);
        assert_eq!(whole_record_behind(&bytes, 10_000), Behind::Whole(at));
        bytes.pop();
        assert_eq!(whole_record_behind(&bytes, 10_000), Behind::Nothing);
    }

    #[test]
    fn the_search_ends_with_its_budget() {
        let bytes = lookalikes(50, 10_000);
        assert_eq!(whole_record_behind(&bytes, 1_000_000), Behind::Nothing);
        assert_eq!(whole_record_behind(&bytes, 100_000), Behind::TooMany);
    }
}
