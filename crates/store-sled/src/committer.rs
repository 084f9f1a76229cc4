//! The one thread that writes: many commits, one sync, then the answers.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{SystemTime, UNIX_EPOCH};

use bowline_store::{Answered, Commit, Committed, StoreError, decide};

use crate::index::{Changes, Damage, GroupView, Index};
use crate::journal::{AppendError, Journal, disk_is_full};
use crate::open::OPENING_SHARE;
use crate::store::Shared;

/// The most commits in a group: a bound on what the first of them waits for.
const GROUP_COMMITS_MAX: usize = 256;

/// No commit joins a group that has reached this: a bound on one write.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How often what waits for the index is counted where room is needed: sled moves older records while it writes.
const WAITING_SHARE: u64 = 2;

/// The share of the reserve that commits which take away leave free, as the divisor: what opening the index needs, so
/// that the home opens afterwards and what they took is known.
const LAST_SHARE: u64 = OPENING_SHARE;

pub(crate) type Answer = Result<Committed, StoreError>;

/// A commit, and who hears its answer.
pub(crate) struct Request {
    pub(crate) commit: Commit,
    pub(crate) answer: Answered,
}

/// Writes what arrives until no one is left who could send more.
pub(crate) fn run(
    requests: &Receiver<Request>,
    journal: Journal,
    shared: Arc<Shared>,
    reserve_bytes: u64,
) {
    let mut committer = Committer {
        journal,
        shared,
        reserve_bytes,
        stopped: None,
    };
    while let Ok(first) = requests.recv() {
        // Whoever comes while the index is behind joins the group.
        committer.shared.pending.wait_for_room();
        let group = gather(first, requests);
        committer.commit(group);
    }
}

/// Whoever is waiting already shares the sync; nobody is waited for.
fn gather(first: Request, requests: &Receiver<Request>) -> Vec<Request> {
    let mut bytes = first.commit.bytes();
    let mut group = vec![first];
    while group.len() < GROUP_COMMITS_MAX && bytes < GROUP_BYTES_MAX {
        let Ok(request) = requests.try_recv() else {
            break;
        };
        bytes += request.commit.bytes();
        group.push(request);
    }
    group
}

struct Committer {
    journal: Journal,
    shared: Arc<Shared>,
    /// Below so many free bytes only what takes away is written.
    reserve_bytes: u64,
    /// Why nothing is written any more.
    stopped: Option<String>,
}

/// Whether the disk has room for a group, looked up where something is to be written.
#[derive(Default)]
struct Room {
    for_any: Option<Result<(), StoreError>>,
    for_taking_away: Option<Result<(), StoreError>>,
}

impl Committer {
    fn commit(&mut self, group: Vec<Request>) {
        let mut answers = Vec::with_capacity(group.len());
        let mut waiting = Vec::with_capacity(group.len());
        let mut changes = Changes::default();

        // 1. Decide each against the index and the commits before it.
        self.journal.begin();
        let mut room = Room::default();
        let mut alone = 0;
        for Request { commit, answer } in group {
            if changes.is_empty() {
                alone = answers.len() + 1;
            }
            answers.push(self.decide(commit, &mut changes, &mut room));
            waiting.push(answer);
        }

        // 2. Keep what was decided. If that fails, it fails for all: the later may rely on the earlier.
        if !changes.is_empty()
            && let Err(error) = self.keep(changes)
        {
            for (index, answer) in answers.iter_mut().enumerate() {
                match answer {
                    Ok(_) => *answer = Err(error.clone()),
                    // Refused over what an earlier commit of the group wrote, which is not there now.
                    Err(StoreError::Conflict { .. } | StoreError::Limit(_)) if index >= alone => {
                        *answer = Err(StoreError::Unavailable {
                            reason: format!("the commits before it failed: {error}"),
                        });
                    }
                    Err(_) => {}
                }
            }
        }

        // 3. Answer.
        for (waiting, answer) in waiting.into_iter().zip(answers) {
            waiting(answer);
        }
    }

    fn decide(&mut self, commit: Commit, changes: &mut Changes, room: &mut Room) -> Answer {
        self.shared.check_open()?;
        if let Some(reason) = &self.stopped {
            return Err(StoreError::Unavailable {
                reason: reason.clone(),
            });
        }
        let takes_away = commit.is_from_reserve();
        let view = GroupView {
            layered: self.shared.layered(),
            changes,
        };
        let mut effect = decide(commit, &view).map_err(|error| match error {
            StoreError::Corrupt { reason } => self.shared.close(Damage::Wrong(reason)),
            // The view has no other reason than a full disk.
            StoreError::Unavailable { reason } => self.shared.close(Damage::DiskFull(reason)),
            error => error,
        })?;
        if !effect.is_empty() {
            // Room for it, also in the index: that must not be what a full disk meets first.
            self.check_room(takes_away, room)?;
            self.journal.push(&effect);
        }
        let committed = std::mem::take(&mut effect.committed);
        changes.add(effect);
        Ok(committed)
    }

    fn keep(&mut self, changes: Changes) -> Result<(), StoreError> {
        // 1. The journal: from here on the group survives.
        let position = match self.journal.append(now()) {
            Ok(position) => position,
            Err(AppendError::NotWritten(error)) => {
                return Err(StoreError::Unavailable {
                    reason: format!("the journal could not be written: {error}"),
                });
            }
            Err(AppendError::Stopped(error)) => {
                let reason = self.stop(&error);
                return Err(StoreError::Unavailable { reason });
            }
            Err(AppendError::Unknown(error)) => {
                let reason = self.stop(&error);
                self.shared.leave_unknown(reason.clone(), changes);
                return Err(StoreError::Unknown { reason });
            }
        };
        self.shared.acknowledge(position.sequence);
        self.shared.tail.appended(position, &changes);

        // 2. From here on the group is seen. What becomes of the index does not matter to who is answered.
        match &self.shared.index {
            Index::Sled(_) => self.shared.pending.add(changes, position),
            Index::Memory(index) => {
                index.apply(changes);
                self.shared.tail.applied(position.sequence);
            }
        }
        Ok(())
    }

    /// Whether the disk has room for a commit that writes something.
    fn check_room(&self, takes_away: bool, room: &mut Room) -> Result<(), StoreError> {
        let any = room
            .for_any
            .get_or_insert_with(|| self.check_free(self.reserve_bytes));
        if !takes_away || any.is_ok() {
            return any.clone();
        }
        room.for_taking_away
            .get_or_insert_with(|| self.check_free(self.reserve_bytes / LAST_SHARE))
            .clone()
    }

    /// Whether so much of the disk is free beside what is on its way into the index.
    fn check_free(&self, least: u64) -> Result<(), StoreError> {
        let pending = &self.shared.pending;
        let needed = least.saturating_add(WAITING_SHARE * pending.bytes());
        if self.journal.free().is_none_or(|free| free >= needed) {
            return Ok(());
        }
        // Where it is scarce, the index gets there first.
        pending.wait_until_applied();
        self.shared.check_open()?;
        match self.journal.free() {
            Some(free) if free < least => Err(StoreError::Unavailable {
                reason: disk_is_full(free, least),
            }),
            _ => Ok(()),
        }
    }

    /// Writes nothing any more.
    fn stop(&mut self, error: &io::Error) -> String {
        let reason = format!("the journal could not be synced: {error}");
        self.stopped = Some(format!("writing has stopped, start again: {reason}"));
        reason
    }
}

/// Seconds since 1970, for the journal's records; a clock before that is as wrong as one at it.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
