//! Every way a store can fail, by what the caller should do next.

use crate::{
    COMMIT_BYTES_MAX, COMMIT_OPERATIONS_MAX, KEY_BYTES_MAX, Key, NUMBER_BYTES, SCAN_RECORDS_MAX,
    VALUE_BYTES_MAX,
};

/// Why a read or a commit failed. The variants differ in what is known about the write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// An expectation does not hold. Nothing was written: read again, decide again.
    #[error("record {key} is not as expected")]
    Conflict {
        /// The first record that differed.
        key: Key,
    },

    /// The store cannot serve now, or not any more. Nothing was written: safe to repeat.
    #[error("store is unavailable: {reason}")]
    Unavailable {
        /// What stands in the way.
        reason: String,
    },

    /// The answer was lost: the commit may have been applied or not. Read again before deciding; a read that
    /// fails so asks for a record that the engine itself cannot tell of until it is opened again.
    #[error("outcome of the commit is unknown: {reason}")]
    Unknown {
        /// What went wrong on the way.
        reason: String,
    },

    /// More was asked than a store takes. Nothing was written: it will never succeed.
    #[error(transparent)]
    Limit(#[from] LimitError),

    /// What was read is not what was written. The store is closed: it would rather say nothing than lie.
    #[error("store is damaged: {reason}")]
    Corrupt {
        /// What was found, and where.
        reason: String,
    },
}

/// Why a checkpoint was not written whole.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The store could not give it.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// What it was written to did not take it.
    #[error("cannot write the checkpoint: {0}")]
    Output(#[source] std::io::Error),
}

/// A limit of the store that a key, a value, a commit or a scan is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// A key is too long.
    #[error("key of {bytes} bytes is over the store's {KEY_BYTES_MAX}")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },

    /// The prefix of an append leaves no room for the number.
    #[error(
        "append prefix of {bytes} bytes is over the store's {}",
        KEY_BYTES_MAX - NUMBER_BYTES
    )]
    PrefixTooLong {
        /// Its length.
        bytes: usize,
    },

    /// A commit names the empty key, which is the prefix of everything and no record.
    #[error("key of 0 bytes names no record; a key has at least 1")]
    KeyEmpty,

    /// A value is too long.
    #[error("value of {bytes} bytes is over the store's {VALUE_BYTES_MAX}")]
    ValueTooLong {
        /// Its length.
        bytes: usize,
    },

    /// A commit holds too many expectations and writes.
    #[error("commit of {operations} operations is over the store's {COMMIT_OPERATIONS_MAX}")]
    TooManyOperations {
        /// How many.
        operations: usize,
    },

    /// A commit's keys and values are too long together.
    #[error("commit of {bytes} bytes is over the store's {COMMIT_BYTES_MAX}")]
    CommitTooLong {
        /// Their length.
        bytes: usize,
    },

    /// A commit writes the same record twice, or expects two things of it.
    #[error("commit names record {key} twice; one expectation and one write a record are taken")]
    DuplicateKey {
        /// The record.
        key: Key,
    },

    /// A scan asks for too many records.
    #[error("scan of {records} records is over the store's {SCAN_RECORDS_MAX}")]
    ScanTooLong {
        /// How many.
        records: usize,
    },

    /// Every number of an append prefix is taken.
    #[error("append prefix {prefix} has used its last number, {}", u64::MAX)]
    NumbersExhausted {
        /// The prefix.
        prefix: Key,
    },
}
