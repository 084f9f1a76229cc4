//! Who gets a connection: a bound on all, a bound on each source, and never more than there are file descriptors.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections by source.
type Counts = Mutex<HashMap<IpAddr, usize>>;

/// Counts the connections there are.
#[derive(Clone)]
pub(crate) struct Admission {
    all: Arc<Semaphore>,
    sources: Arc<Counts>,
    per_source: usize,
}

/// A place among the connections, given back when dropped.
pub(crate) struct Admitted {
    _place: OwnedSemaphorePermit,
    source: Option<(IpAddr, Arc<Counts>)>,
}

impl Admission {
    pub(crate) fn new(all: usize, per_source: usize) -> Admission {
        Admission {
            all: Arc::new(Semaphore::new(all)),
            sources: Arc::default(),
            per_source,
        }
    }

    /// A place for a connection from `address`, if there is one.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Admitted> {
        let place = self.all.clone().try_acquire_owned().ok()?;
        // A proxy on this machine speaks for many.
        if address.is_loopback() {
            return Some(Admitted {
                _place: place,
                source: None,
            });
        }
        let source = neighbourhood(address);
        let mut sources = lock(&self.sources);
        let count = sources.entry(source).or_default();
        // An entry of 0 cannot stay behind: a bound is at least 1.
        if *count >= self.per_source {
            return None;
        }
        *count += 1;
        drop(sources);
        Some(Admitted {
            _place: place,
            source: Some((source, self.sources.clone())),
        })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let Some((source, sources)) = self.source.take() else {
            return;
        };
        let mut sources = lock(&sources);
        if let Some(count) = sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&source);
            }
        }
    }
}

fn lock(sources: &Counts) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
    sources.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one stranger commands: an IPv4 address, or the /64 that an IPv6 host draws its addresses from.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// How many of the connections asked for fit under the process's limit on open files, which is raised as far as
/// it may be. Some stay reserved: a store that cannot open its journal loses more than a refused connection.
pub(crate) fn connections_that_fit(wanted: usize) -> usize {
    let Some(granted) = raise_files(wanted + FILES_RESERVED) else {
        return wanted;
    };
    wanted.min(
        granted
            .saturating_sub(FILES_RESERVED)
            .max(granted / 4)
            .max(1),
    )
}

/// How many files this process may have open, if that is fewer than a server needs at least.
pub(crate) fn files_missing() -> Option<usize> {
    raise_files(FILES_MIN).filter(|granted| *granted < FILES_MIN)
}

/// Raises the limit on open files as far as it may be and is asked for. What it is then; none if there is no limit.
fn raise_files(asked: usize) -> Option<usize> {
    let asked = u64::try_from(asked).unwrap_or(u64::MAX);
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current?;
    let mut granted = current;
    if current < asked {
        let raised = limit.maximum.map_or(asked, |maximum| asked.min(maximum));
        let raise = Rlimit {
            current: Some(raised),
            maximum: limit.maximum,
        };
        if raised > current && setrlimit(Resource::Nofile, raise).is_ok() {
            granted = raised;
        }
    }
    Some(usize::try_from(granted).unwrap_or(usize::MAX))
}

/// The store, the runtime, the listeners, and a handful of connections.
pub(crate) const FILES_MIN: usize = 64;
/// Files that are no connections: the store's segments, listeners, the runtime's own, standard streams.
const FILES_RESERVED: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_source_does_not_take_every_place() {
        let admission = Admission::new(4, 2);
        let held = [
            admission.admit(address("192.0.2.1")),
            admission.admit(address("192.0.2.1")),
        ];
        assert!(held.iter().all(Option::is_some));
        assert!(admission.admit(address("192.0.2.1")).is_none());
        assert!(admission.admit(address("192.0.2.2")).is_some());
        drop(held);
        assert!(admission.admit(address("192.0.2.1")).is_some());
        assert!(
            lock(&admission.sources).is_empty(),
            "sources without connections are forgotten"
        );
    }

    #[test]
    fn an_ipv6_host_counts_as_its_subnet() {
        let admission = Admission::new(4, 1);
        let _held = admission.admit(address("2001:db8::1")).unwrap();
        assert!(admission.admit(address("2001:db8::ffff:2")).is_none());
        assert!(admission.admit(address("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn all_places_taken_refuses_everybody_until_one_is_given_back() {
        let admission = Admission::new(1, 8);
        let held = admission.admit(address("127.0.0.1")).unwrap();
        assert!(admission.admit(address("127.0.0.1")).is_none());
        drop(held);
        assert!(admission.admit(address("192.0.2.1")).is_some());
    }

    #[test]
    fn connections_leave_files_for_the_store() {
        let open = getrlimit(Resource::Nofile).maximum;
        let fit = connections_that_fit(usize::MAX / 4);
        if let Some(open) = open {
            assert!(u64::try_from(fit).unwrap() < open, "{fit} of {open}");
        }
        assert_eq!(connections_that_fit(1), 1);
    }
}
