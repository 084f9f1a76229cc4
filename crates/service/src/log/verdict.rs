//! What comes of verifying a log: what a whole one says of itself, and what was done to another.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use super::changes::Change;
use super::checkpoint::CheckpointError;
use super::lines::FORMAT;
use super::note::NoteError;

/// What a log that is whole says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedLog {
    /// The name of the log.
    pub origin: String,
    /// How many events it has, every one of which was signed.
    pub size: u64,
    /// The root over them in hex.
    pub root: String,
    /// The time of the last event.
    pub until: Option<String>,
    /// How many events it had at the earlier checkpoint it was held against.
    pub since: Option<u64>,
}

/// What was done to a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tampering {
    /// Every change, in the order of the log.
    pub changes: Vec<Change>,
    /// How many more there are than are listed.
    pub more: u64,
}

impl fmt::Display for Tampering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, change) in self.changes.iter().take(TOLD_MAX).enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{change}")?;
        }
        let untold = self.changes.len().saturating_sub(TOLD_MAX) as u64 + self.more;
        if untold > 0 {
            write!(f, "; and {untold} changes more")?;
        }
        Ok(())
    }
}

/// Why a log is not verified.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be read.
    #[error("the log cannot be read: {0}")]
    Input(#[from] io::Error),
    /// Another file.
    #[error(
        "line 1 is not the header of an exported log: give a file that `bowline audit export` wrote"
    )]
    NotALog,
    /// A newer form.
    #[error(
        "the log is written in format {found} and this program knows {FORMAT}: use a newer one"
    )]
    NewerFormat {
        /// The number of its format.
        found: u8,
    },
    /// A key that does not read.
    #[error(transparent)]
    Key(NoteError),
    /// An earlier checkpoint that proves nothing.
    #[error("the earlier checkpoint is not accepted: {0}")]
    Since(CheckpointError),
    /// The log was changed.
    #[error("the log was changed: {0}")]
    Tampered(Tampering),
    /// A backup with another past than the one that was signed.
    #[error(
        "the log in the backup is not the one that was signed: {reason}; somebody changed the backup, or the home before \
         it: restore another one, or, where there is none, this one with --accept-rewritten-log, which the log tells of"
    )]
    RewrittenInBackup {
        /// What differs.
        reason: String,
    },
}

impl LogError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            LogError::Input(_) => "log_input_failed",
            LogError::NotALog => "log_malformed",
            LogError::NewerFormat { .. } => "log_format_unknown",
            LogError::Key(_) => "log_key_malformed",
            LogError::Since(_) => "log_checkpoint_refused",
            LogError::Tampered(_) => "log_tampered",
            LogError::RewrittenInBackup { .. } => "log_rewritten_in_backup",
        }
    }
}

/// How many changes a message names; all are in [`Tampering`].
const TOLD_MAX: usize = 5;
