//! Why a home does not open.

use std::io;
use std::path::{Path, PathBuf};

/// Why a home does not open. Nothing was changed in it that loses anything.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another part of this one, has it open.
    #[error("home {} is in use by {}", home.display(), Process(*pid))]
    Locked {
        /// The home.
        home: PathBuf,
        /// The process, unless it has not written itself down yet.
        pid: Option<u32>,
    },

    /// The system refused something.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A file of the journal, or a checkpoint that is needed, is not what was written. It is the only copy, so
    /// nothing is guessed and nothing is cut.
    #[error("{} is damaged at offset {offset}: {why}; put a whole copy of this file back, or restore a backup into a new home", file.display())]
    Damaged {
        /// The segment, or the checkpoint.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What does not fit.
        why: String,
    },

    /// A file was written by a newer program.
    #[error("{} has format {found}, newer than the {known} this program knows; use the program that wrote it", file.display())]
    NewerFormat {
        /// The segment, or the checkpoint.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The newest this program reads.
        known: u32,
    },

    /// Something that does not hold the home's lock has the index open.
    #[error("index {} is in use by a program that ignores the home's lock", path.display())]
    IndexBusy {
        /// The index.
        path: PathBuf,
    },

    /// The index cannot be opened, even after it was made again.
    #[error("index {} cannot be made: {why}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
}

impl OpenError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> OpenError {
        OpenError::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn damaged(file: &Path, offset: u64, why: String) -> OpenError {
        OpenError::Damaged {
            file: file.to_owned(),
            offset,
            why,
        }
    }
}

struct Process(Option<u32>);

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => write!(f, "another process"),
        }
    }
}
