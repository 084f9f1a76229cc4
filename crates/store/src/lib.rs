//! The storage seam: ordered keys, byte values, one atomic conditional commit.
//!
//! [`Store`] is the promise, [`Commit`] what is asked of it, [`StoreError`] every way it can fail.
//! [`MemoryStore`] keeps the promise without a disk; [`conformance`] runs the promise against any engine.
//! [`checkpoint`] is the form in which a store is copied, kept and moved to another engine.
//! An engine decides a commit with [`decide`], so that all engines agree on what conflicts and which
//! number an append gets; what is left to it is keeping bytes.

pub mod checkpoint;
mod commit;
pub mod conformance;
mod decision;
mod error;
mod examination;
mod key;
mod memory;

use std::io;

pub use commit::{Appended, Commit, Committed, Expectation, Write};
pub use decision::{Effect, View, decide};
pub use error::{CheckpointError, LimitError, StoreError};
pub use examination::{Finding, Progress, Severity};
pub use key::{Key, Value};
pub use memory::MemoryStore;

/// The most bytes a key may have. CockroachDB, etcd and FoundationDB all take keys of this length.
pub const KEY_BYTES_MAX: usize = 512;

/// The most bytes a value may have: under FoundationDB's 100 kB. Larger documents are split by their owner.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The most operations a commit may hold, expectations included: under etcd's default of 128.
pub const COMMIT_OPERATIONS_MAX: usize = 64;

/// The most bytes of keys and values a commit may hold: under etcd's default request of 1.5 MiB.
pub const COMMIT_BYTES_MAX: usize = 1024 * 1024;

/// The most records one scan returns, so that no single read holds an engine up or fills memory.
pub const SCAN_RECORDS_MAX: usize = 1_000;

/// The bytes an append adds to its prefix: the number, as a big-endian `u64`, so that keys sort as numbers do.
pub const NUMBER_BYTES: usize = 8;

/// Who hears the answer to a commit that nobody waits for.
pub type Answered = Box<dyn FnOnce(Result<Committed, StoreError>) + Send>;

/// An ordered map from byte keys to byte values with one atomic, conditional, durable write.
///
/// Keys are ordered bytewise. Reads see every commit that returned before they began. A scan is not a
/// snapshot: name what you relied on in the commit's expectations instead.
///
/// Limits, the same for every engine and refused with [`StoreError::Limit`]: keys of 512 bytes, values of
/// 64 KiB, 64 operations and 1 MiB in a commit, 1,000 records in a scan.
pub trait Store: Send + Sync {
    /// The value under `key`.
    fn get(&self, key: &Key) -> Result<Option<Value>, StoreError>;

    /// Up to `limit` records whose keys start with `prefix` and sort after `after`, in key order.
    ///
    /// The empty prefix means every record. Fewer than `limit` records mean that there are no more;
    /// else continue `after` the last key returned. `after` need not exist, nor start with `prefix`.
    fn scan(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, StoreError>;

    /// All expectations hold: every write is applied and survives power loss before this returns.
    /// Else nothing is written.
    ///
    /// Commits take effect one after the other. Each append gets the next number of its prefix in that
    /// order: 1, 2, 3 …, without a gap and never twice, whatever is deleted or restarted in between.
    /// After [`StoreError::Unknown`] the commit may have been applied or not: read again before deciding.
    /// An engine that cannot tell either takes no commit from then on, and answers reads of the records in
    /// question with [`StoreError::Unknown`] or nothing at all, until it is opened again.
    fn commit(&self, commit: Commit) -> Result<Committed, StoreError>;

    /// Like [`Store::commit`], for a caller who does not wait. `answered` hears the answer on a thread of the engine, or
    /// on this one before this returns; it must be quick, and must not use the store. It is dropped unheard only if
    /// the engine fails in a way it cannot tell of, which is [`StoreError::Unknown`].
    fn submit(&self, commit: Commit, answered: Answered) {
        answered(self.commit(commit));
    }

    /// Writes a [checkpoint] of everything, as it is after some commit not older than the last one that
    /// returned before this call. Commits and reads go on meanwhile.
    ///
    /// The stream comes from what the engine holds to be the truth, and is checked while it is read: damage
    /// is [`StoreError::Corrupt`], never a checkpoint that lacks something.
    fn checkpoint(
        &self,
        output: &mut dyn io::Write,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<checkpoint::Summary, CheckpointError>;

    /// Holds everything the engine keeps against everything else it keeps, and changes nothing. No findings
    /// mean that all of it was read and agrees. Commits and reads go on meanwhile.
    fn examine(&self, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Finding>, StoreError>;
}
