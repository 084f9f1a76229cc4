//! The bytes of headers, blocks and entries.

use sha2::{Digest, Sha256};

use super::{Checksum, Entry, FORMAT, Header};
use crate::{Key, VALUE_BYTES_MAX, Value};

pub(super) const MAGIC: &[u8; 8] = b"BOWLCKPT";
pub(super) const BLOCK_MARK: &[u8; 4] = b"BLK\x01";
pub(super) const END_MARK: &[u8; 4] = b"END\x01";

/// magic, format, sequence, link, written at, checksum.
pub(super) const HEADER_BYTES: usize = 8 + 4 + 8 + 32 + 8 + CHECKSUM_BYTES;
/// mark, payload length, entries.
pub(super) const BLOCK_HEAD_BYTES: usize = 4 + 4 + 4;
/// records, numbers; behind the mark.
pub(super) const END_BYTES: usize = 8 + 8;
pub(super) const CHECKSUM_BYTES: usize = 32;

/// A block is closed once its payload has this length: long enough to hash and write at full speed, short
/// enough that damage is told within it.
pub(super) const BLOCK_BYTES: usize = 128 * 1024;

/// The longest payload: an entry of the largest size added to one that was not closed yet.
pub(super) const BLOCK_BYTES_MAX: usize =
    BLOCK_BYTES + 1 + 2 + crate::KEY_BYTES_MAX + 4 + VALUE_BYTES_MAX;

pub(super) const RECORD: u8 = 1;
pub(super) const NUMBER: u8 = 2;

pub(super) fn encode_header(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_be_bytes());
    bytes.extend_from_slice(&header.sequence.to_be_bytes());
    bytes.extend_from_slice(&header.link);
    bytes.extend_from_slice(&header.written_at.to_be_bytes());
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

pub(super) fn push_entry(bytes: &mut Vec<u8>, entry: &Entry) {
    let (kind, key) = entry.place();
    bytes.push(kind);
    // The casts hold: keys have at most 512 bytes, values 64 KiB.
    bytes.extend_from_slice(&(key.len() as u16).to_be_bytes());
    bytes.extend_from_slice(key.as_bytes());
    match entry {
        Entry::Record(_, value) => {
            bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
            bytes.extend_from_slice(value.as_bytes());
        }
        Entry::Number(_, number) => bytes.extend_from_slice(&number.to_be_bytes()),
    }
}

/// Takes an entry off the front of a block whose checksum holds; none where it does not read.
pub(super) fn take_entry(bytes: &mut &[u8]) -> Option<Entry> {
    let (kind, length) = (take::<1>(bytes)?[0], u16::from_be_bytes(take(bytes)?));
    let key = Key::new(take_slice(bytes, length.into())?).ok()?;
    match kind {
        RECORD => {
            let length = u32::from_be_bytes(take(bytes)?);
            let value = take_slice(bytes, length as usize)?;
            Some(Entry::Record(key, Value::new(value).ok()?))
        }
        NUMBER => Some(Entry::Number(key, u64::from_be_bytes(take(bytes)?))),
        _ => None,
    }
}

pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    take_slice(bytes, N)?.try_into().ok()
}

fn take_slice<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// The checksum of a part: it covers the one before.
pub(super) fn checksum(previous: &Checksum, parts: &[&[u8]]) -> Checksum {
    let mut hasher = Sha256::new_with_prefix(previous);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
