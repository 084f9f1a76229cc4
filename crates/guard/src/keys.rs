//! Derived keys, kept for at most a minute: what a relying service needs to verify and decide by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use bowline_service::{Bound, DerivedKey, Error, Time};
use bowline_sigv4::{Scope, SigningKey};

/// The key of one session, day, region and service, with what binds the session.
pub(crate) struct KeptKey {
    pub(crate) derived: DerivedKey,
    pub(crate) key: SigningKey,
    pub(crate) bound: Bound,
    until: Time,
}

impl KeptKey {
    /// Reads an answer that came at `now`. It is kept for as long as both sides say.
    pub(crate) fn of(derived: DerivedKey, now: Time, longest: Duration) -> Result<KeptKey, Error> {
        let key = derived
            .key()
            .ok_or_else(|| Error::internal("a derived key is not one of 32 bytes"))?;
        let kept = Duration::from_secs(u64::from(derived.cache_seconds)).min(longest);
        Ok(KeptKey {
            key: SigningKey::from_bytes(*key),
            bound: derived.bound()?,
            derived,
            until: now + kept,
        })
    }
}

/// The keys that are kept. Bounded: when it is full, the one that would go first goes.
pub(crate) struct Keys {
    kept: Mutex<HashMap<[u8; 32], Arc<KeptKey>>>,
    pub(crate) longest: Duration,
}

impl Keys {
    pub(crate) fn new(longest: Duration) -> Keys {
        Keys {
            kept: Mutex::new(HashMap::new()),
            longest,
        }
    }

    pub(crate) fn get(&self, name: &[u8; 32], now: Time) -> Option<Arc<KeptKey>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(name).filter(|key| now < key.until).cloned()
    }

    pub(crate) fn keep(&self, name: [u8; 32], key: Arc<KeptKey>, now: Time) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEYS_MAX {
            kept.retain(|_, key| now < key.until);
        }
        if kept.len() >= KEYS_MAX
            && let Some(first) = kept.iter().min_by_key(|(_, key)| key.until)
        {
            let first = *first.0;
            kept.remove(&first);
        }
        kept.insert(name, key);
    }
}

/// The name of a key: everything that the server looked at when it gave it.
pub(crate) fn name(
    access_key_id: &str,
    token: &str,
    scope: &Scope,
    shown: Option<&str>,
) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [
        access_key_id,
        token,
        &scope.date,
        &scope.region,
        &scope.service,
        shown.unwrap_or_default(),
    ] {
        // No part holds a NUL, so no two names run together.
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    let mut name = [0; 32];
    name.copy_from_slice(context.finish().as_ref());
    name
}

/// The most keys that are kept: with the policies that bind their sessions about 40 MB.
const KEYS_MAX: usize = 10_000;
