//! The log: no number is left out, what was signed of it is what it says, and what it tells of is there.

use bowline_store::{Key, Value};
use bowline_x509::Time;
use chrono::TimeDelta;

use super::{Examiner, RESTORE, Severity};
use crate::audit::{Event, EventRecord};
use crate::authorities::AuthorityRecord;
use crate::error::Error;
use crate::format_time;
use crate::keyspace;
use crate::log::{Frontier, LogRecord, Signed, leaf_hash};
use crate::record::Record;

/// What was seen of the log so far.
struct Seen {
    /// The number of the last event.
    number: u64,
    /// The latest time in any.
    latest: Option<Time>,
    /// The tree of all of them.
    tree: Frontier,
    /// What was signed last, until the tree has its size.
    signed: Option<Signed>,
}

impl Examiner<'_> {
    pub(super) fn events(&mut self) -> Result<(), Error> {
        let signed = self.signed()?;
        let mut seen = Seen {
            number: 0,
            latest: None,
            tree: Frontier::new(),
            signed,
        };
        self.each(
            "reading the log",
            &keyspace::events(),
            &mut |examiner, key, value| examiner.event(&mut seen, key, value),
        )?;
        if let Some(signed) = &seen.signed
            && signed.latest.size > seen.number
        {
            let what = format!(
                "{} events were signed at {}, and the log has {}",
                signed.latest.size,
                format_time(signed.latest.at),
                seen.number
            );
            self.find(Severity::Critical, "log_cut_off", what, RESTORE);
        }
        if let Some(latest) = seen.latest
            && latest > self.now + CLOCK_SLACK
        {
            let what = format!(
                "the clock says {}, and the log has an event of {}",
                format_time(self.now),
                format_time(latest)
            );
            let fix =
                "set the clock; or if it is right now, accept it: `bowline doctor --accept-clock`";
            self.find(Severity::Critical, "clock_behind", what, fix);
        }
        Ok(())
    }

    /// What was signed last, as far as its signature says so.
    fn signed(&mut self) -> Result<Option<Signed>, Error> {
        let log = self.service.load::<LogRecord>(&keyspace::log())?;
        let signed = match log {
            // Another log begins, and holds this one against its key then.
            Some(log) if log.ended => Ok(None),
            Some(log) => self.service.last_signed(&log).map(|(_, signed)| signed),
            None => self.service.never_signed().map(|()| None),
        };
        match signed {
            Err(Error::LogDamaged { reason }) => {
                let what = format!("what was signed of the log is not to be believed: {reason}");
                self.find(Severity::Critical, "log_checkpoint_forged", what, FORGED);
                Ok(None)
            }
            Err(error) => {
                self.unreadable(&error);
                Ok(None)
            }
            signed => signed,
        }
    }

    fn event(&mut self, seen: &mut Seen, key: &Key, value: &Value) -> Result<(), Error> {
        // 1. The numbers are dense.
        let number = keyspace::event_number(key);
        if number != Some(seen.number + 1) {
            let what = format!("event {} is followed by {key}", seen.number);
            self.find(Severity::Critical, "log_gap", what, RESTORE);
        }
        seen.number = number.unwrap_or(seen.number + 1);
        // 2. It is what was signed.
        let entry = value.as_bytes().get(1..).unwrap_or_default();
        seen.tree.push(leaf_hash(entry));
        if let Some(signed) = seen
            .signed
            .take_if(|signed| signed.latest.size == seen.number)
            && seen.tree.root() != signed.root
        {
            let what = format!(
                "one of the events 1 to {} is not what was signed at {}",
                signed.latest.size,
                format_time(signed.latest.at)
            );
            let fix = "compare with an exported log: `bowline audit verify` names the event";
            self.find(Severity::Critical, "log_rewritten", what, fix);
        }
        // 3. It reads.
        let record = match EventRecord::decode(key, value) {
            Ok(record) => record,
            Err(error) => {
                self.unreadable(&error);
                return Ok(());
            }
        };
        seen.latest = match &record.event {
            // From there on the home goes by this clock, whatever it had seen.
            Event::ClockAccepted { .. } => Some(record.at),
            _ => seen.latest.max(Some(record.at)),
        };
        // 4. What it tells of was committed with it.
        let (serial, code) = match &record.event {
            Event::CertificateIssued { serial, .. } => (serial, "issued_certificate_missing"),
            Event::CertificateRevoked {
                serial, authority, ..
            } => {
                return self.revoked(seen.number, serial, authority);
            }
            _ => return Ok(()),
        };
        let there = match serial.parse() {
            Ok(serial) => self.is_there(&keyspace::certificate(&serial))?,
            Err(_) => false,
        };
        if !there {
            let what = format!(
                "event {} tells of certificate 0x{serial}, which is not there",
                seen.number
            );
            self.find(Severity::Critical, code, what, RESTORE);
        }
        Ok(())
    }

    fn revoked(&mut self, number: u64, serial: &str, authority: &str) -> Result<(), Error> {
        let key = keyspace::authority(authority)?;
        let Some(record) = self.service.load::<AuthorityRecord>(&key)? else {
            // Said where the certificates of the authority are looked at.
            return Ok(());
        };
        let issuer = record.authority()?.public_key().key_id();
        let there = match serial.parse() {
            Ok(serial) => self.is_there(&keyspace::revocation(&issuer, &serial))?,
            Err(_) => false,
        };
        if !there {
            let what =
                format!("event {number} tells of the revocation of 0x{serial}, which is not there");
            let fix = "revoke it again at once, then restore a backup";
            self.find(Severity::Critical, "revocation_missing", what, fix);
        }
        Ok(())
    }
}

/// What to do about checkpoints that nobody signed.
const FORGED: &str = "keep the home as it is; compare with exports and checkpoints you kept: `bowline audit verify \
                      --since`; then restore a backup from before";
/// How far a clock may be behind the log: two machines' clocks differ, and steps back happen.
const CLOCK_SLACK: TimeDelta = TimeDelta::minutes(5);
