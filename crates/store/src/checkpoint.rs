//! A checkpoint: every record of a store in one sorted, checksummed stream, whatever the engine.
//!
//! Backups are checkpoints, and an engine may begin from one. [`Writer`] and [`Reader`] hold one block in
//! memory, so that a store of any size can be written and read. All numbers are big-endian:
//!
//! ```text
//! header   "BOWLCKPT", format u32, sequence u64, link [32], written at u64, SHA-256 of these; so in every format
//! block    "BLK\x01", payload length u32, entries u32, payload, SHA-256 of the checksum before and these
//! end      "END\x01", records u64, numbers u64, SHA-256 of the checksum before and these
//! entry    1, key length u16, key, value length u32, value     a record
//!          2, key length u16, key, last number u64             an append prefix
//! ```
//!
//! Each checksum covers the one before, so that a block can neither be lost, repeated nor moved.

mod format;
mod reader;
mod writer;

use std::io;

use crate::{Key, Value};

pub use reader::Reader;
pub use writer::Writer;

/// The format this code writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// A SHA-256.
pub type Checksum = [u8; 32];

/// Which state of a store a checkpoint holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of the last commit in it; 0 for an empty store.
    pub sequence: u64,
    /// What the engine that wrote it calls its history up to there; what follows must build on the same.
    pub link: Checksum,
    /// When that commit was written, in seconds since 1970 by its writer's clock; 0 if that is not known.
    pub written_at: u64,
}

/// One line of a checkpoint. Records come first, in the order of their keys, then append prefixes in theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A record.
    Record(Key, Value),
    /// The last number that an append prefix has used.
    Number(Key, u64),
}

impl Entry {
    /// What entries are ordered by.
    pub fn place(&self) -> (u8, &Key) {
        match self {
            Entry::Record(key, _) => (format::RECORD, key),
            Entry::Number(prefix, _) => (format::NUMBER, prefix),
        }
    }
}

/// What a whole checkpoint holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its header.
    pub header: Header,
    /// How many records.
    pub records: u64,
    /// How many append prefixes.
    pub numbers: u64,
    /// Its length.
    pub bytes: u64,
}

/// Why a checkpoint cannot be read. What was returned before is as it was written.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source refused.
    #[error("cannot read at offset {offset}: {source}")]
    Io {
        /// How far it was read.
        offset: u64,
        /// What it said.
        source: io::Error,
    },

    /// It is not what was written.
    #[error("damaged at offset {offset}: {why}")]
    Damaged {
        /// Where the part begins that does not fit.
        offset: u64,
        /// What does not fit.
        why: &'static str,
    },

    /// It was written by a newer program.
    #[error("format {found} is newer than the {FORMAT} this program knows")]
    NewerFormat {
        /// Its format.
        found: u32,
    },
}

#[cfg(test)]
mod tests;
