//! The event log as a transparency log (C2SP tlog-tiles, tlog-checkpoint and signed-note; RFC 6962 hashes).
//!
//! Event `n` of the store is entry `n - 1` of a tree. [`tree`], [`tile`], [`note`] and [`checkpoint`] know the standards and
//! nothing of a home; [`signing`] makes tiles and checkpoints of a home's events, [`reading`] and [`proofs`] give them
//! out; [`past`] is what was signed before, as far as it is believed; [`export`] writes the whole log to a file, and [`verify`] tells from such a file alone whether it is whole.
//! [`listing`] is for people who look for something, and [`refusals`] writes down what was refused.

mod changes;
mod checkpoint;
mod export;
mod filter;
mod lines;
mod listing;
mod note;
mod past;
mod proofs;
mod reading;
mod refusals;
mod signing;
#[cfg(test)]
mod tampering;
mod tile;
mod tree;
mod verdict;
mod verify;

pub use changes::Change;
pub use checkpoint::{Checkpoint, CheckpointError};
pub use export::{ExportLog, ExportedLog};
pub use listing::{ListEvents, ListedEvents, Outcome};
pub use note::{NoteError, SignedNote, VerifierKey};
pub use proofs::{
    ConsistencyProof, EventProof, LogKey, ProveConsistency, ProveEvent, ShowLogKey,
    SignLogCheckpoint,
};
pub use signing::LogCheckpoint;
pub use tile::{EntryBundle, Tile};
pub use tree::{Hash, leaf_hash, verify_consistency, verify_inclusion};
pub use verdict::{LogError, Tampering, VerifiedLog};
pub use verify::verify_log;

pub(crate) use filter::{is_role, is_subject};
pub(crate) use past::Signed;
pub(crate) use refusals::Refusals;
pub(crate) use signing::{Followed, LogRecord, begin};
pub(crate) use tree::Frontier;
