//! The latest time that the home went by. A clock far behind it is wrong, and what is signed by it would be too:
//! certificates that end too early, revocation lists that are out of date when they come.

use std::sync::atomic::{AtomicI64, Ordering};

use bowline_store::Commit;
use bowline_x509::Time;
use chrono::{DateTime, TimeDelta};
use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::caller::Caller;
use crate::error::Error;
use crate::keyspace;
use crate::operation::Operation;
use crate::record::Record;
use crate::service::Service;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PassageRecord {
    at: Time,
}

impl Record for PassageRecord {
    const WHAT: &'static str = "record of the latest time";
}

/// Times in seconds since 1970; not read yet where they are the least number.
pub(crate) struct Passage {
    /// The latest that anything was committed at.
    latest: AtomicI64,
    /// The latest that is written down: less than a minute behind.
    noted: AtomicI64,
}

impl Default for Passage {
    fn default() -> Passage {
        Passage {
            latest: AtomicI64::new(i64::MIN),
            noted: AtomicI64::new(i64::MIN),
        }
    }
}

impl Service {
    /// Refuses to sign by a clock that is behind the home.
    pub(crate) fn check_clock(&self, now: Time) -> Result<(), Error> {
        let latest = self.latest_time()?;
        match now + SLACK < latest {
            true => Err(Error::ClockBehind { now, latest }),
            false => Ok(()),
        }
    }

    /// The last second in which anything may have begun so far: the clock may have been set back since, by less than
    /// makes it doubtful.
    pub(crate) fn last_begun(&self, now: Time) -> Result<Time, Error> {
        Ok(self.latest_time()?.min(now + SLACK).max(now))
    }

    /// Adds to a commit that the home has come to `now`, unless less than a minute passed since that was noted. Says
    /// whether it did.
    pub(crate) fn note_time(&self, commit: Commit, now: Time) -> Result<(Commit, bool), Error> {
        self.latest_time()?;
        let noted = time_of(self.passage.noted.load(Ordering::Relaxed));
        if now < noted + NOTE_INTERVAL {
            return Ok((commit, false));
        }
        // Blind: of several that note at once, each notes about the same.
        let commit = commit.put(keyspace::passage(), PassageRecord { at: now }.encode()?);
        Ok((commit, true))
    }

    /// Remembers that something was committed at `now`, and whether that was noted with it.
    pub(crate) fn time_passed(&self, now: Time, noted: bool) {
        let now = now.timestamp();
        self.passage.latest.fetch_max(now, Ordering::Relaxed);
        if noted {
            self.passage.noted.fetch_max(now, Ordering::Relaxed);
        }
    }

    fn latest_time(&self) -> Result<Time, Error> {
        let mut seconds = self.passage.latest.load(Ordering::Acquire);
        if seconds == i64::MIN {
            let key = keyspace::passage();
            let noted = match self.store.get(&key)? {
                Some(value) => PassageRecord::decode(&key, &value)?.at.timestamp(),
                None => EARLIEST,
            };
            seconds = noted.max(EARLIEST);
            // In this order: whoever finds the second finds the first.
            self.passage.noted.fetch_max(seconds, Ordering::Relaxed);
            self.passage.latest.fetch_max(seconds, Ordering::Release);
        }
        Ok(time_of(seconds))
    }
}

fn time_of(seconds: i64) -> Time {
    // Cannot fail: all come from times.
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

/// Goes by the clock as it is now, although it was ahead before. Every session ends. Only for the operator on the machine.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptClock {}

/// What the clock was accepted against.
#[derive(Debug, Serialize, Deserialize)]
pub struct AcceptedClock {
    /// The latest time that the home went by before.
    pub was: Time,
    /// The time it goes by now.
    pub now: Time,
}

impl Operation for AcceptClock {
    const NAME: &'static str = "accept-clock";
    type Answer = AcceptedClock;

    fn run(self, service: &Service, caller: &Caller) -> Result<AcceptedClock, Error> {
        if !matches!(caller, Caller::Operator) {
            return Err(Error::OperatorOnly {
                operation: Self::NAME,
            });
        }
        service.settings()?;
        let (was, now) = (service.latest_time()?, service.now());
        if now.timestamp() < EARLIEST {
            return Err(Error::ClockBehind { now, latest: was });
        }
        let commit = Commit::new().put(keyspace::passage(), PassageRecord { at: now }.encode()?);
        // What was sealed while the clock was ahead says that it begins later, when no mark of today ends it.
        let commit = service.renew_session_keys(commit, now)?;
        let record = Event::ClockAccepted { was }
            .record(caller, now, &*service.entropy)
            .encode()?;
        // Past the note of the time, which only goes forward.
        service
            .store
            .commit(commit.append(keyspace::events(), record))?;
        for time in [&service.passage.noted, &service.passage.latest] {
            time.store(now.timestamp(), Ordering::Relaxed);
        }
        Ok(AcceptedClock { was, now })
    }
}

/// How far the clock may be behind: as far as two good machines' clocks may differ.
const SLACK: TimeDelta = TimeDelta::minutes(5);
/// How far apart times are noted: each is a write.
const NOTE_INTERVAL: TimeDelta = TimeDelta::minutes(1);
/// No clock that is right is before the first of these programs: 2026-01-01.
const EARLIEST: i64 = 1_767_225_600;
