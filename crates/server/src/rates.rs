//! How many requests a second one address, or one access key, may send.
//!
//! Each has a bucket that fills at the rate and holds one second's worth (the generic cell rate algorithm: one number
//! a bucket). Who asks is not known when a request arrives, so it counts for its address; once credentials prove whose
//! it is, it counts for their key instead, and the address gets it back: a site behind one address is as many callers
//! as it has sessions, and forged requests from there slow it down alone.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bowline_service::{Caller, DoorError, Error};

use crate::admission::neighbourhood;
use crate::limits::{Limits, RateLimit};
use crate::message::Via;

/// The buckets of all addresses and keys.
pub(crate) struct Rates {
    begun: Instant,
    addresses: Option<Table<IpAddr>>,
    keys: Option<Table<[u8; 16]>>,
}

impl Rates {
    pub(crate) fn new(limits: &Limits) -> Rates {
        Rates {
            begun: Instant::now(),
            addresses: limits.rate_per_address.map(Table::new),
            keys: limits.rate_per_key.map(Table::new),
        }
    }

    /// Counts a request that has arrived for its address.
    pub(crate) fn arrived(&self, via: &Via) -> Result<(), Error> {
        let (Some(table), Some(address)) = (&self.addresses, via.source()) else {
            return Ok(());
        };
        if !table.limit.counts(address) {
            return Ok(());
        }
        let admitted = table.admit(neighbourhood(address), self.now());
        admitted.map_err(|wait| table.refusal("this address", wait))
    }

    /// Counts a request for the key that turned out to have signed it, and gives it back to the address. What no key
    /// signed stays with the address.
    pub(crate) fn identified(&self, via: &Via, caller: &Caller) -> Result<(), Error> {
        let (Caller::Session { session, .. }, Some(address)) = (caller, via.source()) else {
            return Ok(());
        };
        if let Some(table) = &self.addresses
            && table.limit.counts(address)
        {
            table.give_back(neighbourhood(address));
        }
        let Some(table) = &self.keys else {
            return Ok(());
        };
        if !table.limit.counts(address) {
            return Ok(());
        }
        let admitted = table.admit(*session.id(), self.now());
        admitted.map_err(|wait| table.refusal("this access key", wait))
    }

    /// Nanoseconds since the server began: enough for 584 years.
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The buckets of one kind.
struct Table<K> {
    limit: RateLimit,
    /// Nanoseconds in which one request's worth flows in.
    interval: u64,
    buckets: Mutex<Buckets<K>>,
}

/// For each bucket the time at which it is full again.
struct Buckets<K> {
    full_at: HashMap<K, u64>,
    /// One bucket for all that found no place: who comes under ever new addresses shares it with himself.
    others: u64,
    swept_at: u64,
}

impl<K: Eq + Hash> Table<K> {
    fn new(limit: RateLimit) -> Table<K> {
        Table {
            limit,
            interval: SECOND / u64::from(limit.per_second.get()),
            buckets: Mutex::new(Buckets {
                full_at: HashMap::new(),
                others: 0,
                swept_at: 0,
            }),
        }
    }

    /// Takes one request's worth. The nanoseconds to wait, if there is none.
    fn admit(&self, key: K, now: u64) -> Result<(), u64> {
        let mut buckets = self.lock();
        let Buckets {
            full_at,
            others,
            swept_at,
        } = &mut *buckets;
        if full_at.len() >= BUCKETS_MAX && now.saturating_sub(*swept_at) >= SECOND {
            // A full bucket and one that is not there are the same.
            full_at.retain(|_, full_at| *full_at > now);
            *swept_at = now;
        }
        let bucket = if full_at.len() < BUCKETS_MAX || full_at.contains_key(&key) {
            full_at.entry(key).or_default()
        } else {
            others
        };
        let from = now.max(*bucket);
        let ahead = from - now;
        let most = SECOND - self.interval;
        if ahead > most {
            return Err(ahead - most);
        }
        *bucket = from + self.interval;
        Ok(())
    }

    fn give_back(&self, key: K) {
        if let Some(full_at) = self.lock().full_at.get_mut(&key) {
            *full_at = full_at.saturating_sub(self.interval);
        }
    }

    fn refusal(&self, who: &'static str, wait: u64) -> Error {
        DoorError::RateExceeded {
            who,
            per_second: self.limit.per_second.get(),
            retry_after: wait.div_ceil(SECOND),
        }
        .into()
    }

    fn lock(&self) -> MutexGuard<'_, Buckets<K>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In nanoseconds. What a bucket holds at most flows in within it.
const SECOND: u64 = 1_000_000_000;
/// Buckets of one kind, under 4 MiB of memory.
const BUCKETS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn table(per_second: u32) -> Table<u64> {
        Table::new(RateLimit {
            per_second: NonZeroU32::new(per_second).unwrap(),
            on_loopback: true,
        })
    }

    #[test]
    fn a_second_s_worth_may_come_at_once_and_then_the_rate() {
        let table = table(10);
        let admitted =
            |now: u64, count: usize| (0..count).filter(|_| table.admit(1, now).is_ok()).count();
        assert_eq!(admitted(0, 100), 10);
        assert_eq!(admitted(SECOND / 2, 100), 5);
        assert_eq!(admitted(10 * SECOND, 100), 10);
        assert_eq!(table.admit(1, 10 * SECOND), Err(SECOND / 10));
        assert_eq!(table.admit(2, 10 * SECOND), Ok(()), "another has its own");
    }

    #[test]
    fn what_was_given_back_may_be_taken_again() {
        let table = table(1);
        assert_eq!(table.admit(1, 5), Ok(()));
        assert!(table.admit(1, 5).is_err());
        table.give_back(1);
        assert_eq!(table.admit(1, 5), Ok(()));
        table.give_back(2);
    }

    #[test]
    fn ever_new_addresses_take_a_bounded_memory_and_share_one_bucket() {
        let table = table(2);
        for key in 0..BUCKETS_MAX as u64 {
            assert_eq!(table.admit(key, 10 * SECOND), Ok(()));
        }
        let newcomers = (0..1_000).map(|key| table.admit(1 << 32 | key, 10 * SECOND));
        assert_eq!(newcomers.filter(Result::is_ok).count(), 2);
        assert_eq!(table.admit(7, 10 * SECOND), Ok(()), "the known ones go on");
        assert_eq!(table.lock().full_at.len(), BUCKETS_MAX);
        // Later those that came once are forgotten.
        assert_eq!(table.admit(1 << 33, 20 * SECOND), Ok(()));
        assert_eq!(table.lock().full_at.len(), 1);
    }

    #[test]
    fn loopback_counts_where_it_was_asked_for() {
        let limit = |on_loopback| RateLimit {
            per_second: NonZeroU32::MIN,
            on_loopback,
        };
        let address = |text: &str| text.parse().unwrap();
        assert!(!limit(false).counts(address("127.0.0.1")));
        assert!(!limit(false).counts(address("::ffff:127.0.0.1")));
        assert!(limit(false).counts(address("192.0.2.1")));
        assert!(limit(true).counts(address("::1")));
    }
}
