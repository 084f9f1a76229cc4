//! The bytes of a journal segment: one header, then one record for each group of commits.
//!
//! All numbers are big-endian. Each record carries the checksum of the one before, also across segments, so
//! that a record can neither be lost, repeated nor moved without notice.

use bowline_store::{Effect, Key, Value};
use sha2::{Digest, Sha256};

/// A SHA-256 over a header or a record; a record's is the link its successor repeats.
pub(crate) type Checksum = [u8; 32];

/// The link of the first record of all.
pub(crate) const FIRST_LINK: Checksum = [0; 32];

/// The format this code writes, and the newest it reads. Segments of format 1 have the same bytes, and all of
/// them are there; beside one of format 2, the oldest may have given way to a checkpoint.
pub(crate) const FORMAT: u32 = 2;

const SEGMENT_MAGIC: &[u8; 8] = b"BOWLJRNL";
/// magic, format, first sequence, previous checksum, own checksum.
pub(crate) const HEADER_BYTES: usize = 8 + 4 + 8 + 32 + 32;

/// Marks where a record begins, so that whole records can be found behind a damaged one.
pub(crate) const RECORD_MARK: &[u8; 4] = b"GRP\x01";
/// mark, payload length, first sequence, commits, written at, previous checksum.
const HEAD_BYTES: usize = 4 + 4 + 8 + 4 + 8 + 32;
const CHECKSUM_BYTES: usize = 32;

/// The longest payload believed: over twice what the largest group takes.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The longest record, and so the longest that a cut-off write can be.
pub(crate) const RECORD_BYTES_MAX: usize = HEAD_BYTES + PAYLOAD_BYTES_MAX + CHECKSUM_BYTES;

const DELETED: u8 = 0;
const WRITTEN: u8 = 1;

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) format: u32,
    /// The first commit in this segment.
    pub(crate) first: u64,
    /// The checksum of the last record before it.
    pub(crate) previous: Checksum,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(SEGMENT_MAGIC);
        bytes.extend_from_slice(&self.format.to_be_bytes());
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.previous);
        let checksum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// None unless the bytes begin with a whole header whose checksum holds. Headers are the same in all
    /// formats, so that a flipped bit is never taken for a newer one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Header> {
        let mut reader = Reader(bytes);
        if reader.take(8)? != SEGMENT_MAGIC {
            return None;
        }
        let format = reader.u32()?;
        let first = reader.u64()?;
        let previous = reader.checksum()?;
        let covered = &bytes[..HEADER_BYTES - CHECKSUM_BYTES];
        let holds = reader.checksum()? == *Sha256::digest(covered);
        holds.then_some(Header {
            format,
            first,
            previous,
        })
    }
}

/// A record being written: the commits of one group.
#[derive(Debug, Default)]
pub(crate) struct RecordBuilder {
    bytes: Vec<u8>,
    commits: u32,
}

impl RecordBuilder {
    /// Begins a new group, keeping the memory of the last.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEAD_BYTES, 0);
        self.commits = 0;
    }

    /// Adds a commit's changes.
    pub(crate) fn push(&mut self, effect: &Effect) {
        // The casts hold: a commit has at most 64 operations, keys 512 bytes, values 64 KiB.
        let bytes = &mut self.bytes;
        bytes.extend_from_slice(&(effect.records.len() as u16).to_be_bytes());
        for (key, value) in &effect.records {
            match value {
                None => {
                    bytes.push(DELETED);
                    push_key(bytes, key);
                }
                Some(value) => {
                    bytes.push(WRITTEN);
                    push_key(bytes, key);
                    bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
                    bytes.extend_from_slice(value.as_bytes());
                }
            }
        }
        bytes.extend_from_slice(&(effect.numbers.len() as u16).to_be_bytes());
        for (prefix, number) in &effect.numbers {
            push_key(bytes, prefix);
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        self.commits += 1;
    }

    /// How many commits were added.
    pub(crate) fn commits(&self) -> u32 {
        self.commits
    }

    /// The whole record and its checksum.
    pub(crate) fn finish(
        &mut self,
        first: u64,
        written_at: u64,
        previous: &Checksum,
    ) -> (&[u8], Checksum) {
        let payload = (self.bytes.len() - HEAD_BYTES) as u32;
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend_from_slice(RECORD_MARK);
        head.extend_from_slice(&payload.to_be_bytes());
        head.extend_from_slice(&first.to_be_bytes());
        head.extend_from_slice(&self.commits.to_be_bytes());
        head.extend_from_slice(&written_at.to_be_bytes());
        head.extend_from_slice(previous);
        self.bytes[..HEAD_BYTES].copy_from_slice(&head);
        let checksum: Checksum = Sha256::digest(&self.bytes).into();
        self.bytes.extend_from_slice(&checksum);
        (&self.bytes, checksum)
    }
}

fn push_key(bytes: &mut Vec<u8>, key: &Key) {
    bytes.extend_from_slice(&(key.len() as u16).to_be_bytes());
    bytes.extend_from_slice(key.as_bytes());
}

/// A record whose checksum holds.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// The first of its commits.
    pub(crate) first: u64,
    /// How many commits it has, at least one.
    pub(crate) commits: u32,
    /// Seconds since 1970 by the writer's clock.
    pub(crate) written_at: u64,
    /// The checksum of the record before.
    pub(crate) previous: Checksum,
    /// Its own.
    pub(crate) checksum: Checksum,
    /// Its length in the file.
    pub(crate) bytes: usize,
    payload: &'a [u8],
}

impl Record<'_> {
    /// None unless the bytes begin with a whole record whose checksum holds.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Record<'_>> {
        let mut reader = Reader(bytes);
        if reader.take(4)? != RECORD_MARK {
            return None;
        }
        let length = reader.u32()? as usize;
        let first = reader.u64()?;
        let commits = reader.u32()?;
        let written_at = reader.u64()?;
        let previous = reader.checksum()?;
        if length > PAYLOAD_BYTES_MAX || commits == 0 || first == 0 {
            return None;
        }
        let payload = reader.take(length)?;
        let checksum = reader.checksum()?;
        if checksum != *Sha256::digest(&bytes[..HEAD_BYTES + length]) {
            return None;
        }
        Some(Record {
            first,
            commits,
            written_at,
            previous,
            checksum,
            bytes: HEAD_BYTES + length + CHECKSUM_BYTES,
            payload,
        })
    }

    /// How long the record says that it is, if the bytes begin like one.
    pub(crate) fn claimed_bytes(bytes: &[u8]) -> Option<usize> {
        let mut reader = Reader(bytes);
        if reader.take(4)? != RECORD_MARK {
            return None;
        }
        let length = reader.u32()? as usize;
        (length <= PAYLOAD_BYTES_MAX).then_some(HEAD_BYTES + length + CHECKSUM_BYTES)
    }

    /// The number of its last commit; none if the numbers run out.
    pub(crate) fn last(&self) -> Option<u64> {
        self.first.checked_add(u64::from(self.commits) - 1)
    }

    /// What its commits changed, in order; none if the payload says something else than its length.
    pub(crate) fn effects(&self) -> Option<Vec<Effect>> {
        let mut reader = Reader(self.payload);
        let mut effects = Vec::new();
        for _ in 0..self.commits {
            effects.push(reader.effect()?);
        }
        reader.0.is_empty().then_some(effects)
    }
}

/// Takes bytes off the front, or nothing where there are too few.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn checksum(&mut self) -> Option<Checksum> {
        self.array()
    }

    fn key(&mut self) -> Option<Key> {
        let length = self.u16()?.into();
        Key::new(self.take(length)?).ok()
    }

    fn value(&mut self) -> Option<Value> {
        let length = self.u32()? as usize;
        Value::new(self.take(length)?).ok()
    }

    fn effect(&mut self) -> Option<Effect> {
        let mut effect = Effect::default();
        for _ in 0..self.u16()? {
            let kind = self.take(1)?[0];
            let key = self.key()?;
            let value = match kind {
                DELETED => None,
                WRITTEN => Some(self.value()?),
                _ => return None,
            };
            effect.records.push((key, value));
        }
        for _ in 0..self.u16()? {
            effect.numbers.push((self.key()?, self.u64()?));
        }
        Some(effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(name: &str) -> Effect {
        let key = |text: &str| Key::new(text).unwrap();
        Effect {
            records: vec![
                (key(name), Some(Value::new(vec![7; 300]).unwrap())),
                (key("gone"), None),
                (key("empty"), Some(Value::new("").unwrap())),
            ],
            numbers: vec![(key("event/"), u64::MAX)],
            ..Effect::default()
        }
    }

    fn record() -> Vec<u8> {
        let mut builder = RecordBuilder::default();
        builder.clear();
        builder.push(&effect("a"));
        builder.push(&effect("b"));
        builder.finish(41, 1_700_000_000, &[9; 32]).0.to_vec()
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let bytes = record();
        let record = Record::decode(&bytes).unwrap();
        assert_eq!((record.first, record.last()), (41, Some(42)));
        assert_eq!(record.written_at, 1_700_000_000);
        assert_eq!(record.previous, [9; 32]);
        assert_eq!(record.bytes, bytes.len());
        assert_eq!(record.effects().unwrap(), [effect("a"), effect("b")]);
    }

    #[test]
    fn a_record_with_a_flipped_bit_or_a_missing_end_is_none() {
        let whole = record();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(&flipped).is_none(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(Record::decode(&whole[..length]).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn a_header_comes_back_and_a_flipped_bit_is_noticed() {
        let header = Header {
            format: FORMAT,
            first: 41,
            previous: [9; 32],
        };
        let whole = header.encode();
        assert_eq!(whole.len(), HEADER_BYTES);
        assert_eq!(Header::decode(&whole), Some(header));
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped), None, "bit {bit}");
        }
    }
}
