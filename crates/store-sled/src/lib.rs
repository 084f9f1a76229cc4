//! The embedded engine: an append-only journal that is the truth, and a sled index over it.
//!
//! A home holds three things of ours:
//!
//! - `lock`, taken before anything else, with a few notes for the next holder;
//! - `journal/`, every commit in order, checksummed, chained and synced before its caller is answered;
//! - `index/`, the same records where they can be looked up, in sled. It is never the only copy: when it is
//!   missing, behind, damaged or merely doubtful, it is made again from the journal.
//!
//! One committer thread drains the queue of commits into groups, so that many callers share one sync.
//! [`SledStore::open`] takes a home; [`holder`] tells who has it; [`Opening`] what opening had to do.

mod committer;
mod error;
mod index;
mod journal;
mod lock;
mod open;
mod options;
mod store;

pub use error::OpenError;
pub use lock::{Holder, holder};
pub use open::{Action, Opening};
pub use options::SledOptions;
pub use store::SledStore;

#[cfg(test)]
mod tests;
