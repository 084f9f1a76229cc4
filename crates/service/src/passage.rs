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

/// The latest time noted, in seconds since 1970; not read yet where it is the least number.
pub(crate) struct Passage(AtomicI64);

impl Default for Passage {
    fn default() -> Passage {
        Passage(AtomicI64::new(i64::MIN))
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

    /// Adds to a commit that the home has come to `now`, once a minute.
    pub(crate) fn note_time(&self, commit: Commit, now: Time) -> Result<Commit, Error> {
        match now < self.latest_time()? + NOTE_INTERVAL {
            true => Ok(commit),
            // Blind: of several that note at once, each notes about the same.
            false => Ok(commit.put(keyspace::passage(), PassageRecord { at: now }.encode()?)),
        }
    }

    /// Remembers what was noted.
    pub(crate) fn time_noted(&self, now: Time) {
        self.passage.0.fetch_max(now.timestamp(), Ordering::Relaxed);
    }

    fn latest_time(&self) -> Result<Time, Error> {
        let mut seconds = self.passage.0.load(Ordering::Relaxed);
        if seconds == i64::MIN {
            let key = keyspace::passage();
            let noted = match self.store.get(&key)? {
                Some(value) => PassageRecord::decode(&key, &value)?.at.timestamp(),
                None => EARLIEST,
            };
            seconds = noted.max(EARLIEST);
            self.passage.0.fetch_max(seconds, Ordering::Relaxed);
        }
        // Cannot fail: both come from times.
        Ok(DateTime::from_timestamp(seconds, 0).unwrap_or_default())
    }
}

/// Goes by the clock as it is now, although it was ahead before. Only for the operator on the machine.
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
        let record = Event::ClockAccepted { was }
            .record(caller, now, &*service.entropy)
            .encode()?;
        // Past the note of the time, which only goes forward.
        service
            .store
            .commit(commit.append(keyspace::events(), record))?;
        service.passage.0.store(now.timestamp(), Ordering::Relaxed);
        Ok(AcceptedClock { was, now })
    }
}

/// How far the clock may be behind: as far as two good machines' clocks may differ.
const SLACK: TimeDelta = TimeDelta::minutes(5);
/// How far apart times are noted: each is a write.
const NOTE_INTERVAL: TimeDelta = TimeDelta::minutes(1);
/// No clock that is right is before the first of these programs: 2026-01-01.
const EARLIEST: i64 = 1_767_225_600;
