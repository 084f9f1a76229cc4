//! The thread that makes a checkpoint whenever the journal has grown enough, and then shortens the journal.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bowline_store::checkpoint::Summary;

use crate::OpenError;
use crate::checkpoints;
use crate::journal::JOURNAL_DIRECTORY;
use crate::merge::{MergeError, Workshop};
use crate::store::Shared;
use crate::truth::{Truth, pour};

/// How long a checkpoint that failed is left alone: a full disk is not emptied in a second.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is looked whether a reader has finished, who kept old files from being removed.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);

/// The next checkpoint waits for the journal to grow by this share of the last one, as the divisor: a home of
/// any size is then written three times in all, and its start reads at most half as much again.
const GROWTH_SHARE: u64 = 2;

/// How much the journal grows before a checkpoint is due, after one of this length.
pub(crate) fn due_after(least: u64, last_bytes: u64) -> u64 {
    least.max(last_bytes / GROWTH_SHARE)
}

/// Makes checkpoints until the home is closed.
pub(crate) fn run(home: &Path, shared: &Shared, workshop: &Workshop, least: u64) {
    while shared.tail.wait_until_due() {
        let (_, written) = shared.tail.end();
        let made = keep(home, shared, workshop);
        let made = match made {
            Ok(kept) => {
                let due_after = due_after(least, kept.summary.bytes);
                shared.tail.set_held(written, due_after);
                kept.unpruned
                    .map_or(Ok(()), |aside| prune_later(home, shared, workshop, &aside))
            }
            Err(error) => Err(error),
        };
        let failure = match made {
            Ok(()) => None,
            Err(MergeError::Stopped) => return,
            Err(error) => Some(error.into_open(home).to_string()),
        };
        let failed = failure.is_some();
        *shared
            .checkpoint_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = failure;
        if failed && !shared.tail.wait(RETRY_INTERVAL) {
            return;
        }
    }
}

/// A checkpoint that was made.
pub(crate) struct Kept {
    pub(crate) summary: Summary,
    /// Where what it makes superfluous is still being read: the damaged checkpoints to be removed with it.
    pub(crate) unpruned: Option<Vec<PathBuf>>,
}

/// Makes one checkpoint and removes what it makes superfluous.
pub(crate) fn keep(home: &Path, shared: &Shared, workshop: &Workshop) -> Result<Kept, MergeError> {
    let mut tick = |_| match shared.tail.is_ending() {
        true => Err(MergeError::Stopped),
        false => Ok(()),
    };

    // 1. What there is, and room for it.
    let (end, _) = shared.tail.end();
    let mut truth = Truth::until(home, &end)?;
    let aside = checkpoints::list(&workshop.directory)?.set_aside;
    checkpoints::create_directory(&workshop.directory)?;
    workshop.check_room(truth.room_for_checkpoint())?;

    // 2. The checkpoint.
    let made = truth.attempt(&mut |truth, base| {
        let gathered = truth.gather(base, workshop, &mut tick)?;
        let header = gathered.header();
        let mut merge = gathered.merge("writing the checkpoint")?;
        checkpoints::write(workshop, &header, &mut |writer| {
            pour(&mut merge, writer, &mut tick)
        })
    });

    let summary = made?;

    // 3. One that turned out to be damaged is not needed now, and not counted among those kept.
    for damaged in &truth.damaged {
        checkpoints::set_aside(damaged)?;
    }

    // 4. What nobody needs any more.
    let pruned = prune(shared, workshop, &truth.journal, &aside)?;
    Ok(Kept {
        summary,
        unpruned: (!pruned).then_some(aside),
    })
}

/// Removes what nobody needs any more, unless someone reads it right now. Whether that was done.
fn prune(
    shared: &Shared,
    workshop: &Workshop,
    journal: &Path,
    aside: &[PathBuf],
) -> Result<bool, OpenError> {
    let Ok(_alone) = shared.files.try_write() else {
        return Ok(false);
    };
    checkpoints::prune(&workshop.directory, journal, aside, &*workshop.disk)?;
    Ok(true)
}

/// Prunes once nobody reads any more; or not, because a checkpoint is due, after which it is tried anyway, or
/// because the home is being closed.
fn prune_later(
    home: &Path,
    shared: &Shared,
    workshop: &Workshop,
    aside: &[PathBuf],
) -> Result<(), MergeError> {
    let journal = home.join(JOURNAL_DIRECTORY);
    while !shared.tail.is_due() {
        if !shared.tail.wait(PRUNE_INTERVAL) {
            return Err(MergeError::Stopped);
        }
        if prune(shared, workshop, &journal, aside)? {
            break;
        }
    }
    Ok(())
}

/// What the thread is given.
pub(crate) struct Keeper {
    pub(crate) home: PathBuf,
    pub(crate) shared: Arc<Shared>,
    pub(crate) workshop: Workshop,
    pub(crate) least: u64,
}

impl Keeper {
    pub(crate) fn run(self) {
        run(&self.home, &self.shared, &self.workshop, self.least);
    }
}
