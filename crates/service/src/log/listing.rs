//! Listing events: what happened, narrowed to what somebody wants to know.

use std::net::IpAddr;

use bowline_store::{Key, Progress, Value};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::signing::EVENTS_PAGE;
use crate::caller::Caller;
use crate::error::Error;
use crate::keyspace;
use crate::operation::{Sink, Transfer};
use crate::service::Service;

/// Lists events as lines of JSON: `number`, then the event's own members as they lie in the log. Filters narrow each
/// other.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListEvents {
    /// Only events at this time or later.
    pub from: Option<Time>,
    /// Only events before this time.
    pub to: Option<Time>,
    /// Only events about this subject: the whole subject as the events have it, the value of one of its attributes, or an
    /// alternative name. `*` stands for any characters, case does not count: `web-1` finds `CN=web-1` and not `CN=web-10`,
    /// `web-1*` finds both.
    pub subject: Option<String>,
    /// Only events about the certificate with this serial number, `0x…` or with colons.
    pub certificate: Option<String>,
    /// Only events about this role, by its name or ARN: what was done to it, for it, and under it.
    pub role: Option<String>,
    /// Only what was done, or only what was refused.
    pub outcome: Option<Outcome>,
    /// Only events of this kind: `certificate_issued`.
    pub event: Option<String>,
    /// Only what was asked from this address.
    pub source: Option<IpAddr>,
    /// Only events with a greater number.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: Option<u64>,
    /// Whether the last comes first.
    pub newest_first: bool,
}

/// What became of what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Succeeded,
    /// It was refused.
    Refused,
}

/// What was listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedEvents {
    /// How many events were given.
    pub listed: u64,
    /// How many were looked at.
    pub examined: u64,
}

impl Transfer for ListEvents {
    const NAME: &'static str = "list-events";
    type Answer = ListedEvents;

    fn permit(&self, service: &Service, caller: &Caller) -> Result<(), Error> {
        service.authorize(caller, "bowline:ReadLog", "*")
    }

    fn run(
        self,
        service: &Service,
        caller: &Caller,
        sink: &mut dyn Sink,
    ) -> Result<ListedEvents, Error> {
        self.permit(service, caller)?;
        service.settings()?;
        let filter = Filter::new(&self)?;
        let last = service.last_event()?;
        let after = self.after.unwrap_or(0).min(last);
        let mut listing = Listing {
            filter,
            left: self.limit.unwrap_or(u64::MAX),
            listed: ListedEvents {
                listed: 0,
                examined: 0,
            },
            lines: Vec::new(),
        };
        let (mut low, mut high) = (after, last);
        let mut bytes = 0_u64;
        while low < high && listing.left > 0 {
            // 1. A page, from the end that is wanted first.
            let (start, end) = if self.newest_first {
                (high.saturating_sub(EVENTS_PAGE as u64).max(low), high)
            } else {
                (low, high.min(low + EVENTS_PAGE as u64))
            };
            let mut page = service.events_between(start, end)?;
            if self.newest_first {
                page.reverse();
            }
            // 2. What of it is wanted.
            for (key, value) in &page {
                bytes += value.len() as u64;
                listing.take(key, value);
            }
            if !listing.lines.is_empty() {
                sink.bytes(&listing.lines)?;
                listing.lines.clear();
            }
            if self.newest_first {
                high = start;
            } else {
                low = end;
            }
            let looked = (last - after) - (high - low);
            let total = u128::from(bytes) * u128::from(last - after) / u128::from(looked.max(1));
            sink.progress(Progress {
                step: "reading the log",
                done: bytes,
                total: u64::try_from(total).unwrap_or(u64::MAX).max(bytes),
            })?;
        }
        Ok(listing.listed)
    }
}

struct Listing {
    filter: Filter,
    left: u64,
    listed: ListedEvents,
    lines: Vec<u8>,
}

impl Listing {
    fn take(&mut self, key: &Key, value: &Value) {
        let (Some(number), Some(entry)) = (keyspace::event_number(key), value.as_bytes().get(1..))
        else {
            return;
        };
        if self.left == 0 {
            return;
        }
        self.listed.examined += 1;
        if !self.filter.takes(entry) {
            return;
        }
        self.left -= 1;
        self.listed.listed += 1;
        // The number goes in front of the event's own members, whose text stays as it is.
        self.lines
            .extend_from_slice(format!("{{\"number\":{number}").as_bytes());
        match entry.strip_prefix(b"{") {
            Some(rest) if rest != b"}" => {
                self.lines.push(b',');
                match find(rest, CRL_NUMBER_OLD) {
                    Some(at) => {
                        self.lines.extend_from_slice(&rest[..at]);
                        self.lines.extend_from_slice(CRL_NUMBER);
                        self.lines
                            .extend_from_slice(&rest[at + CRL_NUMBER_OLD.len()..]);
                    }
                    None => self.lines.extend_from_slice(rest),
                }
            }
            _ => self.lines.push(b'}'),
        }
        self.lines.push(b'\n');
    }
}

impl Service {
    /// The events after one number up to another, as far as they are there.
    pub(crate) fn events_between(&self, after: u64, last: u64) -> Result<Vec<(Key, Value)>, Error> {
        let start = keyspace::event(after)?;
        // Cannot fail: a page at most.
        let count = usize::try_from(last - after).unwrap_or(EVENTS_PAGE);
        let mut page = self.store.scan(&keyspace::events(), Some(&start), count)?;
        page.retain(|(key, _)| keyspace::event_number(key).is_some_and(|number| number <= last));
        Ok(page)
    }

    /// The number of the last event. Numbers have no gaps, so a few reads find it.
    pub(crate) fn last_event(&self) -> Result<u64, Error> {
        let there = |number: u64| -> Result<bool, Error> {
            Ok(self.store.get(&keyspace::event(number)?)?.is_some())
        };
        let mut low = self.latest_checkpoint()?.map_or(0, |latest| latest.size);
        let mut step = 1_u64;
        while let Some(next) = low.checked_add(step)
            && there(next)?
        {
            low = next;
            step = step.saturating_mul(2);
        }
        let mut high = low.saturating_add(step);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if there(middle)? {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

/// Where some bytes stand in others.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// How events of early homes call a CRL's number: a line would have two numbers. In a text the quotes are escaped, so
/// nothing else reads like it.
const CRL_NUMBER_OLD: &[u8] = b",\"number\":";
/// How it is called now.
const CRL_NUMBER: &[u8] = b",\"crl_number\":";
