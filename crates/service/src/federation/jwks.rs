//! The keys of token issuers, fetched when they are needed and kept for a while.
//!
//! A fetch waits for somebody else's server, on a thread that writers need too. So it is bounded four ways: each fetch
//! ends within seconds ([`Outbound`]); one caller fetches for all who want the same keys; at most [`HELD_MAX`] callers
//! of all providers together fetch or wait for a fetch, and the next is told to try again; and after an attempt that
//! brought nothing new the next is a while off. Nothing is locked in the store meanwhile, and no commit waits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_trust::{JwkSet, KeySource, OidcProvider};
use bowline_x509::Time;
use chrono::TimeDelta;

use super::outbound::{Fetch, Outbound};
use crate::error::{Error, FederationError};

/// The key sets of all issuers, in memory only: another process fetches its own.
#[derive(Default)]
pub(crate) struct KeySets {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    held: AtomicUsize,
}

/// What is known of one issuer.
#[derive(Default)]
struct Slot {
    known: Mutex<Known>,
    fetched: Condvar,
}

#[derive(Default)]
struct Known {
    /// The provider's record that all this belongs to.
    of: Option<Origin>,
    keys: Option<(Arc<JwkSet>, Time)>,
    /// The last attempt, and why it failed if it did.
    attempt: Option<(Time, Option<String>)>,
    fetching: bool,
}

/// What tells a provider's record from an earlier one of the issuer, also where that was deleted meanwhile.
#[derive(PartialEq, Eq)]
struct Origin {
    revision: u64,
    created_at: Time,
    keys: KeySource,
    roots: Option<String>,
}

impl Origin {
    fn of(provider: &OidcProvider) -> Origin {
        Origin {
            revision: provider.revision,
            created_at: provider.created_at,
            keys: provider.keys.clone(),
            roots: provider.roots.clone(),
        }
    }
}

impl KeySets {
    /// The keys of a provider, among which `fits` is sought: those that are kept, if they are young and it is among
    /// them, else newer ones. Where none can be had, those that are not too old; the token then says itself that its key
    /// is not there.
    pub(crate) fn keys(
        &self,
        provider: &OidcProvider,
        outbound: Option<&dyn Outbound>,
        now: Time,
        fits: impl Fn(&JwkSet) -> bool,
    ) -> Result<Arc<JwkSet>, Error> {
        if let KeySource::Document(document) = &provider.keys {
            let keys = JwkSet::parse(document.as_bytes())
                .map_err(|error| unavailable(provider, error.to_string()))?;
            return Ok(Arc::new(keys));
        }
        let slot = self.slot(&provider.issuer);
        let mut known = slot.known.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = Some(Origin::of(provider));
        if known.of != origin {
            // Whoever changed the provider wants none of what was kept before, nor does who deleted it and made another. A
            // fetch under way is for the old record: its outcome is thrown away.
            *known = Known {
                of: origin,
                ..Known::default()
            };
        }
        let mut place = None;
        loop {
            let kept = known.kept(now, FRESH_FOR);
            if let Some(keys) = kept.filter(|keys| fits(keys)) {
                return Ok(keys);
            }
            let usable = known.kept(now, FRESH_FOR + STALE_FOR);
            if let Some(failure) = known.too_soon(now) {
                return usable.ok_or_else(|| unavailable(provider, failure));
            }
            if known.fetching && usable.as_ref().is_some_and(|keys| fits(keys)) {
                return usable.ok_or_else(|| unavailable(provider, String::new()));
            }
            if place.is_none() {
                place = Some(self.hold().ok_or_else(|| {
                    unavailable(provider, "many are being fetched: try again".into())
                })?);
            }
            if known.fetching {
                let (guard, waited) = slot
                    .fetched
                    .wait_timeout(known, WAIT_MAX)
                    .unwrap_or_else(PoisonError::into_inner);
                known = guard;
                if waited.timed_out() {
                    return Err(unavailable(provider, "it takes too long".into()));
                }
                continue;
            }
            let Some(outbound) = outbound else {
                let why = "this process fetches nothing; a server does, `bowline serve`".into();
                return Err(unavailable(provider, why));
            };
            known.fetching = true;
            drop(known);
            known = slot.fetch(provider, outbound, now);
        }
    }

    fn slot(&self, issuer: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= SLOTS_MAX && !slots.contains_key(issuer) {
            slots.clear();
        }
        slots.entry(issuer.to_owned()).or_default().clone()
    }

    /// A place among those who fetch or wait, if there is one.
    fn hold(&self) -> Option<Held<'_>> {
        let held = Held(&self.held);
        (self.held.fetch_add(1, Ordering::SeqCst) < HELD_MAX).then_some(held)
        // A `Held` that is not given out takes its count back as it is dropped.
    }
}

struct Held<'a>(&'a AtomicUsize);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Slot {
    /// Fetches, and wakes whoever waited for it, also where fetching panics.
    fn fetch(
        &self,
        provider: &OidcProvider,
        outbound: &dyn Outbound,
        now: Time,
    ) -> MutexGuard<'_, Known> {
        let mut fetching = Fetching {
            slot: self,
            provider,
            now,
            outcome: None,
        };
        fetching.outcome = Some(fetch(provider, outbound));
        drop(fetching);
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fetch under way.
struct Fetching<'a> {
    slot: &'a Slot,
    provider: &'a OidcProvider,
    now: Time,
    outcome: Option<Result<JwkSet, String>>,
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        let known = self.slot.known.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        // Under one lock: whoever saw the fetch over and not its outcome would fetch again.
        if known.of == Some(Origin::of(self.provider)) {
            known.fetching = false;
            if let Some(outcome) = self.outcome.take() {
                known.attempt = Some((self.now, outcome.as_ref().err().cloned()));
                if let Ok(keys) = outcome {
                    known.keys = Some((Arc::new(keys), self.now));
                }
            }
        }
        self.slot.fetched.notify_all();
    }
}

impl Known {
    /// The keys that are kept, if they are no older than that. A clock that went back makes them old.
    fn kept(&self, now: Time, age_max: TimeDelta) -> Option<Arc<JwkSet>> {
        let (keys, at) = self.keys.as_ref()?;
        (*at <= now && now < *at + age_max).then(|| keys.clone())
    }

    /// Why it is too soon to ask again, if it is.
    fn too_soon(&self, now: Time) -> Option<String> {
        let (at, failure) = self.attempt.as_ref()?;
        let pause = match failure {
            Some(_) => PAUSE_AFTER_FAILURE,
            None => PAUSE_AFTER_SUCCESS,
        };
        let soon = *at <= now && now < *at + pause;
        soon.then(|| failure.clone().unwrap_or_default())
    }
}

/// Fetches the keys of a provider: two documents where it is asked where they are.
fn fetch(provider: &OidcProvider, outbound: &dyn Outbound) -> Result<JwkSet, String> {
    let get = |url: &str| {
        let fetch = Fetch {
            url: url.to_owned(),
            roots_pem: provider.roots.clone(),
            bytes_max: DOCUMENT_BYTES_MAX,
        };
        outbound.get(&fetch).map_err(|error| error.to_string())
    };
    let address = match &provider.keys {
        KeySource::Url(address) => address.clone(),
        KeySource::Document(_) | KeySource::Discovery => {
            let url = provider.discovery_url();
            let document = get(&url)?;
            provider.keys_address(&document).ok_or_else(|| {
                format!(
                    "{url} does not tell of issuer {} and of a jwks_uri over https",
                    provider.issuer
                )
            })?
        }
    };
    JwkSet::parse(&get(&address)?).map_err(|error| format!("{address}: {error}"))
}

fn unavailable(provider: &OidcProvider, reason: String) -> Error {
    FederationError::KeysUnavailable {
        provider: provider.name.clone(),
        reason,
    }
    .into()
}

/// How long fetched keys are used without asking again: as long a key that its issuer took away is still believed.
const FRESH_FOR: TimeDelta = TimeDelta::minutes(10);
/// How much longer they are used while the issuer does not answer: an outage of it shorter than this is not ours.
const STALE_FOR: TimeDelta = TimeDelta::minutes(50);
/// How long after new keys the next are fetched for a key that was not among them: whoever makes up key ids shall not
/// have us knock on the issuer's door all day.
const PAUSE_AFTER_SUCCESS: TimeDelta = TimeDelta::seconds(60);
/// How long after a failure nobody tries again.
const PAUSE_AFTER_FAILURE: TimeDelta = TimeDelta::seconds(10);
/// The most callers that fetch or wait for a fetch, of all providers: an eighth of the places that writers have.
const HELD_MAX: usize = 16;
/// How long somebody waits for another's fetch: two documents, each within five seconds, and some to spare.
const WAIT_MAX: Duration = Duration::from_secs(15);
/// The longest document that is taken. The largest issuers publish about 20 KiB.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// How many issuers are kept; more were deleted since.
const SLOTS_MAX: usize = 1_024;

#[cfg(test)]
#[path = "jwks/tests.rs"]
mod tests;
