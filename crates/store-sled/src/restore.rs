//! Filling an empty home with a checkpoint from elsewhere.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bowline_store::Progress;
use bowline_store::checkpoint::{ReadError, Reader, Summary, Writer};

use crate::checkpoints;
use crate::journal::{self, Disk, SystemDisk};
use crate::lock::{HomeLock, LOCK_FILE};
use crate::merge::{CHUNK_BYTES, MergeError, Pace, Workshop};
use crate::{OpenError, SledOptions};

/// What an empty home may hold: the key to what is sealed in it, which no backup has.
const UNSEAL_KEY_FILE: &str = "unseal.key";

/// Why a home was not filled. Nothing was left in it.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is not empty, and nothing in it is ever overwritten.
    #[error("home {} is not empty, it holds {found}: restore into an empty directory", home.display())]
    NotEmpty {
        /// The home.
        home: PathBuf,
        /// The first name in it that may not be there.
        found: String,
    },

    /// It could not be taken, or written to.
    #[error(transparent)]
    Home(#[from] OpenError),

    /// What it was to be filled with does not read.
    #[error("the checkpoint is not restored: {0}")]
    Checkpoint(#[from] ReadError),

    /// It ends with the last number that a commit can have, so nothing could follow it.
    #[error(
        "the checkpoint ends with commit {}, which nothing can follow",
        u64::MAX
    )]
    Exhausted,
}

/// Fills a home, which must exist and be empty but for `unseal.key`, with everything in a checkpoint.
///
/// The checkpoint is verified while it is written: if it does not hold to its end, the home is left as empty
/// as it was. The index is made when the home is opened.
pub fn restore(
    home: &Path,
    checkpoint: &mut Reader<impl Read>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, RestoreError> {
    // 1. An empty home, and ours.
    let lock_path = home.join(LOCK_FILE);
    let locked_before = lock_path.exists();
    let (mut lock, _) = HomeLock::take(home)?;
    if let Err(error) = check_empty(home) {
        if !locked_before {
            let _ = fs::remove_file(lock_path);
        }
        return Err(error);
    }
    let header = checkpoint.header().clone();
    if header.sequence == u64::MAX {
        let _ = fs::remove_file(lock_path);
        return Err(RestoreError::Exhausted);
    }

    // 2. The journal that goes on behind it, first: a checkpoint without one is not believed. Then the
    //    checkpoint, under its name only once all of it was read and is durable.
    let directory = checkpoints::directory(home);
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let workshop = Workshop {
        directory: directory.clone(),
        disk: Arc::clone(&disk),
        reserve_bytes: SledOptions::server().reserve_bytes,
        chunk_bytes: CHUNK_BYTES,
    };
    let mut unread = None;
    // How long it is, the one who opened it may know.
    let mut pace = Pace::new("restoring", 0);
    let mut tick = |told| {
        progress(told);
        Ok(())
    };
    let begun = journal::begin_behind(home, header.sequence, header.link, disk);
    let written = begun.map_err(MergeError::from);
    let mut fill = |writer: &mut Writer<&mut dyn io::Write>| {
        loop {
            match checkpoint.next() {
                Ok(Some(entry)) => writer.push(&entry).map_err(MergeError::Output)?,
                Ok(None) => return Ok(()),
                Err(error) => {
                    unread = Some(error);
                    return Err(MergeError::Stopped);
                }
            }
            pace.reach(checkpoint.offset(), &mut tick)?;
        }
    };
    let written = written.and_then(|()| checkpoints::write(&workshop, &header, &mut fill));

    // 3. All or nothing.
    let noted = written.and_then(|summary| {
        let noted = lock.set_acknowledged(header.sequence);
        noted.map_err(|source| OpenError::io("write", lock.path(), source))?;
        Ok(summary)
    });
    noted.map_err(|error| {
        // What stays in spite of this is in the way of nobody but the next attempt, which says so.
        let _ = fs::remove_file(checkpoints::path(&directory, header.sequence));
        let _ = fs::remove_dir(&directory);
        let _ = journal::remove_without_records(home);
        let _ = fs::remove_file(&lock_path);
        match unread {
            Some(error) => RestoreError::Checkpoint(error),
            None => error.into_open(home).into(),
        }
    })
}

/// A restore that was killed leaves its lock, a journal without a record and an unfinished file, which mean
/// nothing.
fn check_empty(home: &Path) -> Result<(), RestoreError> {
    let failed = |source| OpenError::io("list", home, source);
    let mut begun = false;
    for entry in fs::read_dir(home).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let unfinished = || -> Result<bool, OpenError> {
            let directory = checkpoints::directory(home);
            let listing = checkpoints::list(&directory)?;
            let files = match fs::read_dir(&directory) {
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(false),
                files => files.map_err(failed)?.count(),
            };
            checkpoints::remove_leftovers(&listing)?;
            Ok(files == listing.leftovers.len())
        };
        let harmless = match name.to_str() {
            Some(UNSEAL_KEY_FILE | LOCK_FILE) => true,
            Some(checkpoints::CHECKPOINT_DIRECTORY) => unfinished()?,
            Some(journal::JOURNAL_DIRECTORY) => {
                begun = true;
                true
            }
            _ => false,
        };
        if !harmless {
            return Err(not_empty(home, &name));
        }
    }
    // Only once nothing else is there: beside a whole checkpoint, even an empty segment is needed.
    match begun && !journal::remove_without_records(home)? {
        true => Err(not_empty(home, journal::JOURNAL_DIRECTORY.as_ref())),
        false => Ok(()),
    }
}

fn not_empty(home: &Path, found: &OsStr) -> RestoreError {
    RestoreError::NotEmpty {
        home: home.to_owned(),
        found: found.to_string_lossy().into_owned(),
    }
}
