//! The embedded engine: an append-only journal that is the truth, and a sled index over it.
//!
//! A home holds four things of ours:
//!
//! - `lock`, taken before anything else, with a few notes for the next holder;
//! - `journal/`, the commits in order, checksummed, chained and synced before their callers are answered;
//! - `checkpoint/`, everything up to some commit, sorted and checksummed; the journal may begin behind the
//!   older of the two newest;
//! - `index/`, the same records where they can be looked up, in sled. It is never the only copy: when it is
//!   missing, damaged or merely doubtful, it is made again from a checkpoint and the journal behind it.
//!
//! One committer thread drains the queue of commits into groups, so that many callers share one sync.
//! Another brings the index up to them, and until it has, they are read from memory.
//! A third makes checkpoints, from the last one and the journal, never from the index.
//! [`SledStore::open`] takes a home; [`holder`] tells who has it; [`Opening`] what opening had to do;
//! [`restore`] fills an empty home.

mod applier;
mod checkpoints;
mod committer;
mod error;
mod examination;
mod index;
mod journal;
mod keeper;
mod lock;
mod merge;
mod open;
mod options;
mod restore;
mod store;
mod tail;
mod truth;

pub use bowline_store::checkpoint;
pub use error::OpenError;
pub use lock::{Holder, holder};
pub use open::{Action, Opening};
pub use options::SledOptions;
pub use restore::{RestoreError, restore};
pub use store::{CheckpointWatch, HomeClosed, SledStore};

#[cfg(test)]
mod tests;
