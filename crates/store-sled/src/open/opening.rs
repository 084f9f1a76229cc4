//! What opening a home had to do, in words.

use std::fmt;
use std::path::PathBuf;

/// What opening a home had to do and found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// What was done beyond opening files, in order. Empty after a clean shutdown.
    pub actions: Vec<Action>,
    /// The number of the last commit.
    pub last_commit: u64,
    /// When the last commit was written, in seconds since 1970 by its writer's clock; none if the end of the
    /// journal did not have to be read.
    pub last_written_at: Option<u64>,
    /// Whether the index is in memory, and the one on disk left alone.
    pub in_memory: bool,
}

/// One thing that opening a home did to make it whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The index lacked commits that the journal has.
    Replayed {
        /// How many.
        commits: u64,
    },
    /// The index was made again from the journal and, where there is one, a checkpoint.
    RebuiltIndex {
        /// What was wrong with the old one.
        because: String,
        /// The last commit of the checkpoint it was made from; none if the journal alone holds everything.
        checkpoint: Option<u64>,
        /// How many commits of the journal went into the new one.
        commits: u64,
    },
    /// A checkpoint is not what was written. It was not needed, and has another name now.
    DamagedCheckpoint {
        /// Its new name.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What does not fit.
        why: String,
    },
    /// A part of the journal is not what was written. A checkpoint holds everything in it, so it was not needed,
    /// and is left as it is until the next two checkpoints have made it superfluous.
    DamagedHistory {
        /// The segment.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What does not fit.
        why: String,
        /// The last commit of the checkpoint that makes up for it.
        checkpoint: u64,
    },
    /// A checkpoint was interrupted while it was made; the next one begins anew.
    RemovedUnfinishedCheckpoint {
        /// How many files it had left.
        files: u64,
    },
    /// The last write was cut off by a crash; no one was told that it succeeded.
    CutTornTail {
        /// The segment.
        file: PathBuf,
        /// Where it ends now.
        offset: u64,
        /// What was removed behind.
        bytes: u64,
    },
    /// sled was interrupted while it wrote a snapshot, which it can do without.
    RemovedUnfinishedSnapshot {
        /// The snapshot.
        file: PathBuf,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Replayed { commits } => {
                write!(f, "replayed {commits} commits from the journal")
            }
            Action::RebuiltIndex {
                because,
                checkpoint: None,
                commits,
            } => write!(
                f,
                "rebuilt the index from {commits} commits because {because}"
            ),
            Action::RebuiltIndex {
                because,
                checkpoint: Some(last),
                commits,
            } => write!(
                f,
                "rebuilt the index from the checkpoint of commit {last} and {commits} commits because {because}"
            ),
            Action::DamagedCheckpoint { file, offset, why } => write!(
                f,
                "set a damaged checkpoint aside as {}, damaged at offset {offset}: {why}; nothing in it was needed",
                file.display()
            ),
            Action::DamagedHistory {
                file,
                offset,
                why,
                checkpoint,
            } => write!(
                f,
                "passed over {}, damaged at offset {offset}: {why}; nothing is lost, the checkpoint of commit {checkpoint} holds what is in it: make a backup, and look at the disk",
                file.display()
            ),
            Action::RemovedUnfinishedCheckpoint { files } => {
                write!(f, "removed {files} files of an unfinished checkpoint")
            }
            Action::CutTornTail {
                file,
                offset,
                bytes,
            } => write!(
                f,
                "cut a torn tail of {bytes} bytes from {} at offset {offset}",
                file.display()
            ),
            Action::RemovedUnfinishedSnapshot { file } => {
                write!(f, "removed the unfinished snapshot {}", file.display())
            }
        }
    }
}
