//! Everything in a home held against everything else in it, while it is used.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use bowline_store::{Finding, Progress, Severity, StoreError};

use crate::OpenError;
use crate::checkpoints;
use crate::index::{Damage, Difference, DifferenceKind, Index, IndexError, SledIndex};
use crate::journal::{self, Position};
use crate::merge::{MergeError, Pace, Workshop};
use crate::open::DISCARDED_DIRECTORY;
use crate::store::{Shared, store_error};
use crate::tail::{WatchGuard, Watched};
use crate::truth::{Truth, header_damaged};

/// How many findings of a kind are told one by one.
const TOLD_MAX: u64 = 20;

/// How long the index may take to have what the journal has: a group takes milliseconds.
const APPLY_PATIENCE: Duration = Duration::from_secs(10);

const RESTORE: &str = "put a whole copy of this file back, or restore a backup into a new home";
const RESTART: &str =
    "start what uses the home again: it answers nothing any more, and makes its index anew then";
const PASS_OVER: &str =
    "nothing for now, a checkpoint holds what is in it; look at the disk, and make a backup";

/// Why a comparison did not come to its end.
enum CompareError {
    Truth(MergeError),
    Index(Damage),
}

impl From<Damage> for CompareError {
    fn from(damage: Damage) -> CompareError {
        CompareError::Index(damage)
    }
}

pub(crate) fn examine(
    home: &Path,
    shared: &Shared,
    workshop: &Workshop,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Finding>, StoreError> {
    shared.check_open()?;
    let mut findings = Findings::default();
    let mut tick = |told| {
        progress(told);
        Ok(())
    };

    // 1. From here on nothing is removed, and what changes is remembered.
    let _reading = shared.files.read().unwrap_or_else(PoisonError::into_inner);
    let watched = match &shared.index {
        Index::Sled(index) => {
            let watched = shared.tail.watch(APPLY_PATIENCE);
            let busy = || StoreError::Unavailable {
                reason: "it is being examined already, or the index takes too long".to_owned(),
            };
            let (end, guard) = watched.ok_or_else(busy)?;
            Some((index, end, guard))
        }
        Index::Memory(_) => None,
    };
    let end = match &watched {
        Some((_, end, _)) => end.clone(),
        None => shared.tail.end().0,
    };
    let mut truth = Truth::until(home, &end).map_err(store_error)?;

    // 2. Every file by itself.
    examine_checkpoints(&mut truth, &mut findings, &mut tick).map_err(store_error)?;
    let whole = examine_journal(&truth, &mut findings, &mut tick).map_err(store_error)?;
    examine_leftovers(home, workshop, &mut findings).map_err(store_error)?;
    let failure = shared.checkpoint_failure.lock();
    if let Some(why) = &*failure.unwrap_or_else(PoisonError::into_inner) {
        findings.add(
            Severity::Warning,
            "checkpoint_failed",
            format!("the last checkpoint was not made, and the journal grows: {why}"),
            "see to what it says; it is tried again every minute",
        );
    }

    // 3. The index against all of them.
    if truth.bases().is_ok_and(|bases| bases.is_empty()) {
        let nothing = truth.nowhere_to_begin().to_string();
        findings.add(Severity::Critical, "journal_damaged", nothing, RESTORE);
    } else if let Some((index, end, guard)) = watched.filter(|_| whole) {
        let work = Comparison {
            shared,
            index,
            guard: &guard,
            workshop: workshop.for_reading(),
        };
        let compared = work.run(&mut truth, &end, &mut findings, &mut tick);
        match compared {
            Ok(()) => {}
            // What was found so far is told all the same.
            Err(CompareError::Truth(error)) => findings.add(
                Severity::Warning,
                "index_not_compared",
                format!("the index was not compared: {}", error.into_open(home)),
                "see to what it says, and examine it once more",
            ),
            Err(CompareError::Index(damage)) => {
                let what = damage.reason().to_owned();
                findings.add(Severity::Critical, "index_unreadable", what, RESTART);
                // Nothing more is asked of it after that.
                shared.close(damage);
            }
        }
    }
    Ok(findings.told())
}

/// Reads every checkpoint whole, and takes the damaged ones out of the truth.
fn examine_checkpoints(
    truth: &mut Truth,
    findings: &mut Findings,
    tick: crate::merge::Tick<'_>,
) -> Result<(), OpenError> {
    let bases = match truth.bases() {
        // That is told of the segment, where the journal is examined.
        Err(OpenError::Damaged { .. }) => Vec::new(),
        bases => bases?,
    };
    for base in bases {
        match base.verify(tick) {
            Ok(_) => {}
            Err(MergeError::Checkpoint { file, offset, why }) => {
                truth.checkpoints.retain(|other| other.path != file);
                let damaged = checkpoints::DamagedCheckpoint { file, offset, why };
                truth.damaged.push(damaged);
            }
            Err(error) => return Err(error.into_open(&truth.journal)),
        }
    }
    let needed = truth.bases().map_or(true, |bases| bases.is_empty());
    for damaged in &truth.damaged {
        let what = format!(
            "checkpoint {} is damaged at offset {}: {}",
            damaged.file.display(),
            damaged.offset,
            damaged.why
        );
        match needed {
            true => findings.add(Severity::Critical, "checkpoint_damaged", what, RESTORE),
            false => findings.add(
                Severity::Warning,
                "checkpoint_damaged",
                what,
                "nothing for now, the journal holds what is in it; look at the disk, and make a backup",
            ),
        }
    }
    Ok(())
}

/// Reads every segment, going on behind a damaged one. Whether all is whole that no checkpoint holds.
fn examine_journal(
    truth: &Truth,
    findings: &mut Findings,
    tick: crate::merge::Tick<'_>,
) -> Result<bool, OpenError> {
    let mut pace = Pace::new("verifying the journal", truth.journal_bytes());
    let mut damages = Vec::new();
    let mut rest = truth.needed_segments();
    while let Some(first) = rest.first() {
        let start = match first.first {
            1 => Some(Position::START),
            _ => journal::start_of(first)?,
        };
        let read = match start {
            Some(start) => {
                let mut at = (0, 0);
                let visited = |end: &Position, pace: &mut Pace| {
                    let before = match at.0 == end.segment {
                        true => at.1,
                        false => 0,
                    };
                    at = (end.segment, end.offset);
                    pace.add(end.offset - before, tick)
                };
                let mut visited = visited;
                journal::read(
                    &truth.journal,
                    rest,
                    start,
                    truth.acknowledged,
                    &mut |replayed| visited(replayed.record_end, &mut pace),
                )
            }
            None => Err(header_damaged(first).into()),
        };
        match read {
            Ok(_) => break,
            Err(MergeError::Home(OpenError::Damaged { file, offset, why })) => {
                let what = format!("{} is damaged at offset {offset}: {why}", file.display());
                damages.push(what);
                let at = rest.iter().position(|segment| segment.path == file);
                rest = &rest[at.map_or(rest.len(), |at| at + 1)..];
            }
            Err(error) => return Err(error.into_open(&truth.journal)),
        }
    }
    // Damage is before the newest whole checkpoint if all behind that reads.
    let newest = truth
        .bases()
        .ok()
        .and_then(|bases| bases.into_iter().next());
    let passed_over = newest
        .filter(|base| !damages.is_empty() && base.sequence().is_some())
        .is_some_and(|base| truth.check_behind(&base).is_ok());
    let whole = damages.is_empty() || passed_over;
    let (severity, fix) = match passed_over {
        true => (Severity::Warning, PASS_OVER),
        false => (Severity::Critical, RESTORE),
    };
    for what in damages {
        findings.add(severity, "journal_damaged", what, fix);
    }
    Ok(whole)
}

/// Files that no one reads any more.
fn examine_leftovers(
    home: &Path,
    workshop: &Workshop,
    findings: &mut Findings,
) -> Result<(), OpenError> {
    let discarded = home.join(DISCARDED_DIRECTORY);
    let listing = checkpoints::list(&workshop.directory)?;
    let discarded = fs::exists(&discarded)
        .is_ok_and(|found| found)
        .then_some(discarded);
    for path in listing.set_aside.into_iter().chain(discarded) {
        findings.add(
            Severity::Info,
            "leftover_files",
            format!("{} is not used any more", path.display()),
            "remove it once nobody wants to look at it",
        );
    }
    Ok(())
}

/// The index beside the truth.
struct Comparison<'a> {
    shared: &'a Shared,
    index: &'a SledIndex,
    guard: &'a WatchGuard<'a>,
    workshop: Workshop,
}

impl Comparison<'_> {
    fn run(
        &self,
        truth: &mut Truth,
        end: &Position,
        findings: &mut Findings,
        tick: crate::merge::Tick<'_>,
    ) -> Result<(), CompareError> {
        let applied = self.index.applied().map_err(|error| {
            let reason = match error {
                IndexError::Damaged(reason) => reason,
                IndexError::System(error) => error.to_string(),
                IndexError::Busy => "it is in use".to_owned(),
            };
            Damage::Wrong(reason)
        })?;
        if applied.sequence < end.sequence {
            let what = format!(
                "the index has commits up to {}, the journal up to {}",
                applied.sequence, end.sequence
            );
            self.close(&what);
            findings.add(Severity::Critical, "index_behind", what, RESTART);
        }
        let mut unsure = 0u64;
        let compared = truth.attempt(&mut |truth, base| {
            let gathered = truth.gather(base, &self.workshop, tick)?;
            let mut merge = gathered.merge("comparing the index")?;
            let compared: Result<(), CompareError> = self.index.compare(
                &mut || merge.next_entry(tick).map_err(CompareError::Truth),
                &mut |difference| {
                    match self.is_news(&difference) {
                        Watched::Changed => {}
                        Watched::Unchanged => {
                            self.close(&format!("the index was examined: {difference}"));
                            findings.differ(&difference);
                        }
                        Watched::Unknown => unsure += 1,
                    }
                    Ok(())
                },
            );
            match compared {
                Err(CompareError::Truth(error)) => Err(error),
                Err(CompareError::Index(damage)) => Ok(Err(damage)),
                Ok(()) => Ok(Ok(())),
            }
        });
        compared.map_err(CompareError::Truth)??;
        if unsure > 0 {
            findings.add(
                Severity::Info,
                "index_changing",
                format!("{unsure} entries of the index changed too fast to be compared"),
                "examine it once more while less is committed",
            );
        }
        Ok(())
    }

    /// What is known to answer wrongly answers nothing any more; only the comparison goes on.
    fn close(&self, what: &str) {
        if self.shared.check_open().is_ok() {
            self.shared.close(Damage::Wrong(what.to_owned()));
        }
    }

    /// Whether a commit after the place of comparison explains it.
    fn is_news(&self, difference: &Difference) -> Watched {
        match difference.key() {
            Some((is_number, key)) => self.guard.seen(is_number, key),
            None => Watched::Unchanged,
        }
    }
}

/// What was found so far, the first few of each kind and how many there are.
#[derive(Default)]
struct Findings {
    told: Vec<Finding>,
    counts: BTreeMap<&'static str, (u64, Severity, &'static str)>,
}

impl Findings {
    fn add(&mut self, severity: Severity, code: &'static str, what: String, fix: &'static str) {
        let (count, ..) = self.counts.entry(code).or_insert((0, severity, fix));
        *count += 1;
        if *count <= TOLD_MAX {
            self.told.push(Finding {
                severity,
                code,
                what,
                fix: fix.to_owned(),
            });
        }
    }

    fn differ(&mut self, difference: &Difference) {
        let code = match difference.kind {
            DifferenceKind::Missing => "index_record_missing",
            DifferenceKind::Wrong => "index_record_wrong",
            DifferenceKind::Unknown => "index_record_unknown",
        };
        let what = format!("index: {difference}");
        self.add(Severity::Critical, code, what, RESTART);
    }

    fn told(mut self) -> Vec<Finding> {
        for (code, (count, severity, fix)) in self.counts {
            if let Some(more) = count.checked_sub(TOLD_MAX).filter(|more| *more > 0) {
                self.told.push(Finding {
                    severity,
                    code,
                    what: format!("{more} more like this"),
                    fix: fix.to_owned(),
                });
            }
        }
        self.told
    }
}
