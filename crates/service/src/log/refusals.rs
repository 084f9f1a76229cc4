//! Refusals in the log. Those of known callers are events of their own; those of strangers are counted, and written as
//! one event a source and minute, so that nobody can fill the disk by being refused.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use bowline_store::Commit;
use bowline_x509::{Certificate, Time};
use chrono::TimeDelta;

use crate::audit::{Event, EventRecord};
use crate::caller::Caller;
use crate::error::{Error, Kind, StsError};
use crate::keyspace;
use crate::operation::{Operation, READ_OPERATIONS, TRANSFERS};
use crate::record::Record;
use crate::service::Service;
use crate::{
    AssumeRoleWithSaml, AssumeRoleWithWebIdentity, CreateSession, GetCallerIdentity,
    GetSessionToken, ProveEvent, RenewCertificate,
};

/// How often each code was the answer.
type Codes = BTreeMap<&'static str, u64>;

/// Refusals that are not written yet, of a bounded number of sources and minutes.
#[derive(Default)]
pub(crate) struct Refusals {
    held: Mutex<VecDeque<Minute>>,
    known: Mutex<Known>,
}

/// How often certificates and sessions that are known were refused in a minute.
#[derive(Default)]
struct Known {
    minute: i64,
    counts: HashMap<String, u32>,
}

/// The refusals of a minute.
#[derive(Debug, Default, PartialEq, Eq)]
struct Minute {
    /// Its number since 1970.
    number: i64,
    sources: BTreeMap<Option<IpAddr>, Codes>,
    /// What came from sources for which there was no room.
    others: Codes,
}

impl Minute {
    fn note(&mut self, source: Option<IpAddr>, code: &'static str, count: u64) {
        let room = self.sources.len() < SOURCES_MAX;
        let codes = match self.sources.get_mut(&source) {
            Some(codes) => codes,
            None if room => self.sources.entry(source).or_default(),
            None => &mut self.others,
        };
        let counted = codes.entry(code).or_default();
        *counted = counted.saturating_add(count);
    }

    /// Takes in the minute after this one.
    fn merge(&mut self, later: Minute) {
        for (source, codes) in later.sources {
            for (code, count) in codes {
                self.note(source, code, count);
            }
        }
        for (code, count) in later.others {
            let counted = self.others.entry(code).or_default();
            *counted = counted.saturating_add(count);
        }
    }

    fn events(&self) -> Vec<(Option<IpAddr>, Event)> {
        let Some(minute) = self
            .number
            .checked_mul(60)
            .and_then(|seconds| Time::from_timestamp(seconds, 0))
        else {
            return Vec::new();
        };
        let event = |codes: &Codes, others| Event::RequestsRefused {
            minute,
            others,
            codes: codes
                .iter()
                .map(|(code, count)| ((*code).to_owned(), *count))
                .collect(),
        };
        let mut events: Vec<_> = self
            .sources
            .iter()
            .map(|(source, codes)| (*source, event(codes, false)))
            .collect();
        if !self.others.is_empty() {
            events.push((None, event(&self.others, true)));
        }
        events
    }
}

impl Refusals {
    /// Whether another refusal of somebody known is written by itself this minute.
    fn admits(&self, who: &str, now: Time) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = minute_of(now);
        if known.minute != minute {
            known.minute = minute;
            known.counts.clear();
        }
        let room = known.counts.len() < KNOWN_MAX;
        let count = match known.counts.get_mut(who) {
            Some(count) => count,
            None if room => known.counts.entry(who.to_owned()).or_default(),
            None => return false,
        };
        *count = count.saturating_add(1);
        *count <= TOLD_A_MINUTE
    }

    fn note(&self, now: Time, source: Option<IpAddr>, code: &'static str) {
        let number = minute_of(now);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.back().is_none_or(|minute| minute.number != number) {
            held.push_back(Minute {
                number,
                ..Minute::default()
            });
        }
        if let Some(minute) = held.back_mut() {
            minute.note(source.map(network), code, 1);
        }
        // Where nothing could be written for long, the oldest minutes become one.
        while held.len() > MINUTES_MAX
            && let Some(oldest) = held.pop_front()
        {
            let mut oldest = oldest;
            if let Some(next) = held.pop_front() {
                oldest.merge(next);
            }
            held.push_front(oldest);
        }
    }

    /// The oldest minute, if it is over, or any if all are wanted.
    fn take(&self, now: Time, all: bool) -> Option<Minute> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let over = held
            .front()
            .is_some_and(|minute| all || minute.number != minute_of(now));
        over.then(|| held.pop_front()).flatten()
    }

    fn give_back(&self, mut minute: Minute) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // Its minute may go on, where all were wanted.
        match held.front_mut() {
            Some(front) if front.number == minute.number => {
                minute.merge(std::mem::take(front));
                *front = minute;
            }
            Some(_) | None => held.push_front(minute),
        }
    }
}

impl Service {
    /// Counts a refusal of somebody who proved nothing: for one summary a source and minute, which [`Service::tick`]
    /// writes. Takes a bounded amount of memory, whoever comes how often.
    pub fn note_refusal(&self, source: Option<IpAddr>, code: &'static str) {
        self.refusals.note(self.now(), source, code);
    }

    /// Like [`Service::note_refusal`], if an error is a refusal at all.
    pub(crate) fn note_refused(&self, source: Option<IpAddr>, error: &Error) {
        if is_refusal(error)
            && let Cow::Borrowed(code) = error.code()
        {
            self.note_refusal(source, code);
        }
    }

    /// Does what time asks for: writes the refusals of past minutes, and once a minute signs a checkpoint of the log if
    /// there are new events and the keys can be opened. To be called every few seconds, and before a process that did
    /// something ends.
    pub fn tick(&self) -> Result<(), Error> {
        self.keep_log(false)
    }

    /// Like [`Service::tick`] for the last time: the refusals of the minute that is not over are written too.
    pub fn settle(&self) -> Result<(), Error> {
        self.keep_log(true)
    }

    fn keep_log(&self, all: bool) -> Result<(), Error> {
        if self.store.get(&keyspace::settings())?.is_none() {
            return Ok(());
        }
        self.write_refusals(all)?;
        if self.unseal.is_some() && self.is_signing_due()? {
            self.sign_log_checkpoint()?;
        }
        Ok(())
    }

    /// Whether the last checkpoint is old enough for another, or signed by a clock that was ahead.
    fn is_signing_due(&self) -> Result<bool, Error> {
        let now = self.now();
        let latest = self.latest_checkpoint()?;
        Ok(latest.is_none_or(|latest| latest.at > now || now - latest.at >= SIGNING_INTERVAL))
    }

    fn write_refusals(&self, all: bool) -> Result<(), Error> {
        let now = self.now();
        while let Some(minute) = self.refusals.take(now, all) {
            if let Err(error) = self.write_minute(&minute, now) {
                self.refusals.give_back(minute);
                return Err(error);
            }
        }
        Ok(())
    }

    fn write_minute(&self, minute: &Minute, now: Time) -> Result<(), Error> {
        let mut commit = Commit::new();
        for (source, event) in minute.events() {
            let record = EventRecord {
                at: now,
                caller: Caller::Nobody { source }.describe(),
                source,
                nonce: crate::audit::nonce(&*self.entropy),
                event,
            };
            commit = commit.append(keyspace::events(), record.encode()?);
        }
        self.store.commit(commit)?;
        Ok(())
    }

    /// Writes down that an operation which would have changed something was refused, if who asked is known and it is not
    /// told already; counts any that was refused to a stranger.
    pub(crate) fn tell_refusal(
        &self,
        operation: &'static str,
        caller: &Caller,
        error: &Error,
    ) -> Result<(), Error> {
        // These tell their own, for they know more of who asked.
        let elsewhere = [
            AssumeRoleWithSaml::NAME,
            AssumeRoleWithWebIdentity::NAME,
            CreateSession::NAME,
            GetCallerIdentity::NAME,
            RenewCertificate::NAME,
        ];
        let of_certificate =
            operation == GetSessionToken::NAME && matches!(caller, Caller::Certificate { .. });
        // What does not even read never comes so far.
        let tells = (elsewhere.contains(&operation) || of_certificate)
            && !matches!(error, Error::OperationInput { .. });
        if tells || !is_refusal(error) {
            return Ok(());
        }
        let reads = READ_OPERATIONS.contains(&operation)
            || TRANSFERS.contains(&operation)
            || operation == ProveEvent::NAME;
        match caller {
            Caller::Certificate { source, .. } | Caller::Nobody { source } => {
                self.note_refused(*source, error);
                Ok(())
            }
            Caller::Operator | Caller::Session { .. } if reads => Ok(()),
            // What the policies of a session do not allow was written where it was decided.
            Caller::Session { .. }
                if matches!(
                    error,
                    Error::NotAuthorized { .. }
                        | Error::SessionDenied { .. }
                        | Error::Sts(StsError::AssumeRoleRefused { .. })
                ) =>
            {
                Ok(())
            }
            Caller::Operator | Caller::Session { .. } => {
                if self.store.get(&keyspace::settings())?.is_none() {
                    return Ok(());
                }
                let event = Event::OperationRefused {
                    operation: operation.into(),
                    code: error.code().into_owned(),
                    reason: told(error),
                };
                match caller {
                    Caller::Session { .. } => {
                        let (who, now) = (caller.describe(), self.now());
                        self.commit_refusal(&who, Commit::new(), caller, now, event, error)
                    }
                    _ => self.commit(Commit::new(), caller, self.now(), event),
                }
            }
        }
    }
}

impl Service {
    /// Writes down that somebody known was refused. Whoever is refused all the time is counted instead, past some times a
    /// minute: one revoked certificate must not fill the disk.
    pub(crate) fn commit_refusal(
        &self,
        who: &str,
        commit: Commit,
        caller: &Caller,
        now: Time,
        event: Event,
        error: &Error,
    ) -> Result<(), Error> {
        let written = match self.refusals.admits(who, now) {
            true => self.commit(commit, caller, now, event),
            false => {
                self.note_refused(caller.source(), error);
                Ok(())
            }
        };
        // What cannot be written now is counted, and written once the disk takes it.
        written.inspect_err(|_| self.note_refused(caller.source(), error))
    }

    /// Writes down that a certificate of ours was not renewed, if it proved its key; counts it if not.
    pub(crate) fn tell_renewal_refusal(
        &self,
        proved: Option<&Certificate>,
        caller: &Caller,
        error: &Error,
    ) -> Result<(), Error> {
        match proved {
            Some(_) if !is_refusal(error) => Ok(()),
            Some(certificate) => {
                let event = Event::RenewalRefused {
                    code: error.code().into_owned(),
                    reason: told(error),
                    serial: certificate.serial().to_hex(),
                    subject: certificate.subject().to_string(),
                };
                let who = hex::encode(certificate.fingerprint());
                self.commit_refusal(&who, Commit::new(), caller, self.now(), event, error)
            }
            None => {
                self.note_refused(caller.source(), error);
                Ok(())
            }
        }
    }
}

/// Whether an error says no to who asked. Our own faults, and being busy, say nothing about him.
fn is_refusal(error: &Error) -> bool {
    if matches!(error, Error::Store(_) | Error::Remote(_)) {
        return false;
    }
    match error.kind() {
        Kind::Invalid
        | Kind::Unauthenticated
        | Kind::Denied
        | Kind::NotFound
        | Kind::Conflict
        | Kind::Limit => true,
        Kind::Internal | Kind::Unavailable => false,
    }
}

/// The reason of a refusal as the log has it. What a parser says may quote anything, a secret in the wrong place too.
fn told(error: &Error) -> String {
    if matches!(
        error,
        Error::OperationInput { .. } | Error::Policy(_) | Error::TrustPolicy(_)
    ) {
        return String::new();
    }
    crate::audit::brief(error.public().message)
}

/// What stands for a source: of IPv6 the /64, for whoever has one address of it has all.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

fn minute_of(time: Time) -> i64 {
    time.timestamp().div_euclid(60)
}

/// How many sources a minute are told apart: with them and `others`, a stranger has at most 33 events a minute written,
/// some 15 MB a day. All of a minute fit one commit.
const SOURCES_MAX: usize = 32;
/// How many minutes are kept while nothing can be written.
const MINUTES_MAX: usize = 10;
/// How many refusals of one certificate or session are written in a minute. The rest is counted with the strangers'.
const TOLD_A_MINUTE: u32 = 30;
/// How many certificates and sessions are told apart a minute for that.
const KNOWN_MAX: usize = 4_096;
/// How far apart checkpoints are that nobody asked for: each is a record that stays.
const SIGNING_INTERVAL: TimeDelta = TimeDelta::minutes(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(seconds, 0).unwrap()
    }

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(n.into()))
    }

    #[test]
    fn a_minute_is_given_once_it_is_over() {
        let refusals = Refusals::default();
        refusals.note(at(0), address(1), "a");
        refusals.note(at(59), address(1), "a");
        refusals.note(at(59), address(1), "b");
        refusals.note(at(60), address(2), "a");
        assert_eq!(refusals.take(at(30), false), None);
        let minute = refusals.take(at(60), false).unwrap();
        assert_eq!(minute.number, 0);
        assert_eq!(
            minute.sources[&address(1)],
            Codes::from([("a", 2), ("b", 1)])
        );
        assert_eq!(refusals.take(at(60), false), None);
        assert_eq!(refusals.take(at(60), true).unwrap().number, 1);
        assert_eq!(refusals.take(at(60), true), None);
    }

    #[test]
    fn more_sources_than_are_told_apart_are_others_and_none_is_lost() {
        let refusals = Refusals::default();
        for n in 0..1_000 {
            refusals.note(at(0), address(n), "a");
        }
        refusals.note(at(0), address(0), "a");
        let minute = refusals.take(at(60), false).unwrap();
        assert_eq!(minute.sources.len(), SOURCES_MAX);
        assert_eq!(minute.others["a"], 1_000 - SOURCES_MAX as u64);
        assert_eq!(minute.sources[&address(0)]["a"], 2);
        assert_eq!(minute.events().len(), SOURCES_MAX + 1);
    }

    #[test]
    fn minutes_that_cannot_be_written_are_merged_and_none_is_lost() {
        let refusals = Refusals::default();
        for n in 0..1_000 {
            refusals.note(at(60 * i64::from(n)), address(n), "a");
        }
        let mut count = 0;
        let mut minutes = 0;
        while let Some(minute) = refusals.take(at(0), true) {
            minutes += 1;
            let sources = minute.sources.values().chain([&minute.others]);
            count += sources.flat_map(Codes::values).sum::<u64>();
        }
        assert_eq!((minutes, count), (MINUTES_MAX, 1_000));
    }

    #[test]
    fn what_was_not_written_is_given_back() {
        let refusals = Refusals::default();
        refusals.note(at(0), address(1), "a");
        let minute = refusals.take(at(0), true).unwrap();
        refusals.note(at(1), address(1), "a");
        refusals.give_back(minute);
        let minute = refusals.take(at(0), true).unwrap();
        assert_eq!(minute.sources[&address(1)]["a"], 2);
        assert_eq!(refusals.take(at(0), true), None);
    }

    #[test]
    fn addresses_of_one_network_are_one_source() {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            network(parse("2001:db8::1")),
            network(parse("2001:db8::ffff:1"))
        );
        assert_ne!(
            network(parse("2001:db8::1")),
            network(parse("2001:db8:0:1::1"))
        );
        assert_eq!(network(parse("::ffff:192.0.2.1")), parse("192.0.2.1"));
    }
}
