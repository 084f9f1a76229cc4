//! The session keys as a home keeps them: which seals new sessions, which only open old ones, and since when.
//!
//! A key is published first, so that everybody who reads the store has it; then it is made active and seals every new
//! session; the one before it is on its way out from then on: it opens what it sealed, until nothing of that can be
//! alive. All of it is one sealed record, so that there is never a moment with two active keys, or with none.

use std::sync::{Arc, PoisonError, RwLock};

use bowline_store::Value;
use bowline_trust::{KeyRing, ROOT_LEN};
use bowline_x509::Time;
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{MARGIN, SESSION_LIFE_MAX};
use crate::error::{Error, LifeError};
use crate::keyspace;
use crate::record::Record;
use crate::service::{SealedSecret, Service};

/// What a session key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It is known to everybody who reads the store, and seals nothing yet.
    Published,
    /// It seals new sessions.
    Active,
    /// It opens the sessions it sealed, and seals no more.
    Retiring,
}

impl KeyState {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyState::Published => "published",
            KeyState::Active => "active",
            KeyState::Retiring => "retiring",
        }
    }
}

/// One session key.
pub(crate) struct SessionKey {
    pub(crate) id: u8,
    pub(crate) state: KeyState,
    /// Since when there is this key; unknown of the first key of a home from before keys were changed.
    pub(crate) published: Option<Time>,
    pub(crate) activated: Option<Time>,
    pub(crate) retiring: Option<Time>,
    root: Root,
}

type Root = Zeroizing<[u8; ROOT_LEN]>;

impl SessionKey {
    /// Until when sessions that it sealed may live; none while it seals, or if it has sealed nothing.
    pub(crate) fn sessions_until(&self) -> Option<Time> {
        // Another replica may have sealed its last one a moment later, by another clock.
        Some(self.retiring? + SESSION_LIFE_MAX + MARGIN)
    }
}

/// The session keys of a home.
pub(crate) struct SessionKeys {
    /// The id given out last.
    last: u8,
    keys: Vec<SessionKey>,
}

impl SessionKeys {
    /// The keys of a new home: one, which is active.
    pub(crate) fn first(root: Root, now: Time) -> SessionKeys {
        SessionKeys {
            last: FIRST_KEY_ID,
            keys: vec![SessionKey {
                id: FIRST_KEY_ID,
                state: KeyState::Active,
                published: Some(now),
                activated: Some(now),
                retiring: None,
                root,
            }],
        }
    }

    /// The keys, in the order in which they came.
    pub(crate) fn keys(&self) -> &[SessionKey] {
        &self.keys
    }

    /// The key with an id.
    pub(crate) fn key(&self, id: u8) -> Result<&SessionKey, LifeError> {
        let found = self.keys.iter().find(|key| key.id == id);
        found.ok_or_else(|| self.unknown(id))
    }

    /// Adds a key that seals nothing yet.
    pub(crate) fn publish(&mut self, root: Root, now: Time) -> Result<u8, LifeError> {
        if self.keys.len() >= KEYS_MAX {
            return Err(LifeError::TooManyKeys { limit: KEYS_MAX });
        }
        // Not the lowest free one: an id is not used again before all others were.
        let mut id = self.last.wrapping_add(1);
        while self.keys.iter().any(|key| key.id == id) {
            id = id.wrapping_add(1);
        }
        self.last = id;
        self.keys.push(SessionKey {
            id,
            state: KeyState::Published,
            published: Some(now),
            activated: None,
            retiring: None,
            root,
        });
        Ok(id)
    }

    /// The published key that waits longest.
    pub(crate) fn waiting(&self) -> Result<u8, LifeError> {
        let waiting = |key: &&SessionKey| key.state == KeyState::Published;
        let found = self.keys.iter().find(waiting);
        found.map(|key| key.id).ok_or(LifeError::NoKeyPublished)
    }

    /// Makes a published key the one that seals. Gives the one that did so far.
    pub(crate) fn activate(&mut self, id: u8, now: Time) -> Result<u8, LifeError> {
        let state = self.key(id)?.state;
        if state != KeyState::Published {
            return Err(LifeError::KeyNotPublished { key: id, state });
        }
        let mut before = id;
        for key in &mut self.keys {
            if key.state == KeyState::Active {
                key.state = KeyState::Retiring;
                key.retiring = Some(now);
                before = key.id;
            }
            if key.id == id {
                key.state = KeyState::Active;
                key.activated = Some(now);
            }
        }
        Ok(before)
    }

    /// Takes a key out that opens nothing alive.
    pub(crate) fn retire(&mut self, id: u8, now: Time) -> Result<(), LifeError> {
        let key = self.key(id)?;
        match key.sessions_until() {
            _ if key.state == KeyState::Active => return Err(LifeError::KeyActive { key: id }),
            Some(until) if now <= until => return Err(LifeError::KeyInUse { key: id, until }),
            Some(_) | None => {}
        }
        self.keys.retain(|key| key.id != id);
        Ok(())
    }

    /// Takes a key out whatever it sealed. Where it was the active one, `root` is a new one that is active at once;
    /// gives that one's id.
    pub(crate) fn drop_now(
        &mut self,
        id: u8,
        root: Root,
        now: Time,
    ) -> Result<Option<u8>, LifeError> {
        let was_active = self.key(id)?.state == KeyState::Active;
        self.keys.retain(|key| key.id != id);
        if !was_active {
            return Ok(None);
        }
        let fresh = self.publish(root, now)?;
        self.activate(fresh, now)?;
        Ok(Some(fresh))
    }

    /// Takes every key out, whatever they sealed, for one that is active at once.
    pub(crate) fn renew(&mut self, root: Root, now: Time) -> Result<(), LifeError> {
        self.keys.clear();
        let fresh = self.publish(root, now)?;
        self.activate(fresh, now).map(drop)
    }

    fn unknown(&self, key: u8) -> LifeError {
        LifeError::KeyUnknown {
            key,
            known: self.keys.iter().map(|key| key.id).collect(),
        }
    }

    /// What seals and opens sessions.
    pub(crate) fn ring(&self) -> Result<KeyRing, Error> {
        let active = self.keys.iter().find(|key| key.state == KeyState::Active);
        let active = active.ok_or_else(broken)?;
        let roots = self.keys.iter().map(|key| (key.id, &*key.root));
        KeyRing::new(active.id, roots).map_err(|_| broken())
    }

    /// The form that is sealed.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Not to grow: what a reallocation gives back is not wiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 + self.keys.len() * KEY_LEN));
        bytes.extend([FORM, self.last]);
        for key in &self.keys {
            let state = match key.state {
                KeyState::Published => 0,
                KeyState::Active => 1,
                KeyState::Retiring => 2,
            };
            bytes.extend([key.id, state]);
            for time in [key.published, key.activated, key.retiring] {
                let seconds = time.map_or(NEVER, |time| time.timestamp());
                bytes.extend_from_slice(&seconds.to_be_bytes());
            }
            bytes.extend_from_slice(&*key.root);
        }
        bytes
    }

    /// Reads what [`SessionKeys::encode`] wrote, or the programs before it: the active id, which was always the first,
    /// then ids with their keys.
    pub(crate) fn decode(bytes: &[u8]) -> Result<SessionKeys, Error> {
        match bytes {
            [FORM, last, keys @ ..] if keys.len() % KEY_LEN == 0 => {
                let keys = keys.chunks_exact(KEY_LEN).map(read_key);
                Ok(SessionKeys {
                    last: *last,
                    keys: keys.collect::<Result<_, _>>()?,
                })
            }
            [FIRST_KEY_ID, id, root @ ..] if root.len() == ROOT_LEN => Ok(SessionKeys {
                last: *id,
                keys: vec![SessionKey {
                    id: *id,
                    state: KeyState::Active,
                    published: None,
                    activated: None,
                    retiring: None,
                    root: read_root(root)?,
                }],
            }),
            _ => Err(broken()),
        }
    }
}

fn read_key(bytes: &[u8]) -> Result<SessionKey, Error> {
    let (head, root) = bytes
        .split_at_checked(KEY_LEN - ROOT_LEN)
        .ok_or_else(broken)?;
    let [id, state, times @ ..] = head else {
        return Err(broken());
    };
    let state = match state {
        0 => KeyState::Published,
        1 => KeyState::Active,
        2 => KeyState::Retiring,
        _ => return Err(broken()),
    };
    let mut read = times.chunks_exact(8).map(|bytes| {
        let seconds = i64::from_be_bytes(bytes.try_into().unwrap_or([0; 8]));
        (seconds != NEVER)
            .then(|| DateTime::from_timestamp(seconds, 0))
            .flatten()
    });
    let mut time = || read.next().flatten();
    Ok(SessionKey {
        id: *id,
        state,
        published: time(),
        activated: time(),
        retiring: time(),
        root: read_root(root)?,
    })
}

fn read_root(bytes: &[u8]) -> Result<Root, Error> {
    let root: &[u8; ROOT_LEN] = bytes.try_into().map_err(|_| broken())?;
    Ok(Zeroizing::new(*root))
}

fn broken() -> Error {
    Error::internal("the session key ring does not read")
}

/// The ring as it was last read, with the very bytes it was read from.
#[derive(Default)]
pub(crate) struct KeyRingCache(RwLock<Option<(Value, Arc<KeyRing>)>>);

impl Service {
    /// The keys that make and open temporary credentials, as the store has them now: a key that was published, made
    /// active or dropped by another replica counts from that moment on.
    pub(crate) fn key_ring(&self) -> Result<Arc<KeyRing>, Error> {
        let value = self.key_ring_value()?;
        let known = self
            .key_ring
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .filter(|(bytes, _)| *bytes == value)
            .map(|(_, ring)| ring.clone());
        if let Some(ring) = known {
            return Ok(ring);
        }
        let ring = Arc::new(self.open_session_keys(&value)?.ring()?);
        *self
            .key_ring
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some((value, ring.clone()));
        Ok(ring)
    }

    /// The session keys, and the value they were read from.
    pub(crate) fn session_keys(&self) -> Result<(SessionKeys, Value), Error> {
        let value = self.key_ring_value()?;
        Ok((self.open_session_keys(&value)?, value))
    }

    /// The record of the session keys, sealed.
    pub(crate) fn sealed_session_keys(&self, keys: &SessionKeys) -> Result<Value, Error> {
        let place = keyspace::key_ring();
        SealedSecret {
            sealed: self
                .sealer()?
                .seal(place.as_bytes(), &keys.encode(), &*self.entropy),
        }
        .encode()
    }

    fn key_ring_value(&self) -> Result<Value, Error> {
        let value = self.store.get(&keyspace::key_ring())?;
        value.ok_or(Error::NotInitialized)
    }

    fn open_session_keys(&self, value: &Value) -> Result<SessionKeys, Error> {
        let place = keyspace::key_ring();
        let sealed = SealedSecret::decode(&place, value)?;
        let bytes = self.sealer()?.open(place.as_bytes(), &sealed.sealed)?;
        SessionKeys::decode(&bytes)
    }
}

/// The most keys at once. Who changes the key every day has three; past this, keys are made and none is retired.
pub(crate) const KEYS_MAX: usize = 8;

/// The id of a home's first session key.
const FIRST_KEY_ID: u8 = 1;
/// The first byte of the form. Before it, that was the id of the active key, which was [`FIRST_KEY_ID`] in every home.
const FORM: u8 = 2;
/// Bytes of a key: its id, its state, three times, its root.
const KEY_LEN: usize = 2 + 3 * 8 + ROOT_LEN;
/// Stands for a time that is not known, or has not come.
const NEVER: i64 = i64::MIN;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
    }

    fn root(byte: u8) -> Root {
        Zeroizing::new([byte; ROOT_LEN])
    }

    fn states(keys: &SessionKeys) -> Vec<(u8, &'static str)> {
        let states = keys.keys().iter().map(|key| (key.id, key.state.as_str()));
        states.collect()
    }

    fn code(error: LifeError) -> &'static str {
        error.classify().1
    }

    #[test]
    fn a_key_goes_from_published_to_gone() {
        let mut keys = SessionKeys::first(root(1), at(0));
        assert_eq!(keys.publish(root(2), at(10)).unwrap(), 2);
        assert_eq!(states(&keys), [(1, "active"), (2, "published")]);
        assert_eq!(keys.activate(2, at(20)).unwrap(), 1);
        assert_eq!(states(&keys), [(1, "retiring"), (2, "active")]);
        let until = keys.key(1).unwrap().sessions_until().unwrap();
        assert_eq!(until, at(20) + SESSION_LIFE_MAX + MARGIN);
        assert_eq!(
            code(keys.retire(1, until).unwrap_err()),
            "session_key_in_use"
        );
        keys.retire(1, until + MARGIN).unwrap();
        assert_eq!(states(&keys), [(2, "active")]);
    }

    #[test]
    fn there_is_always_one_active_key() {
        let mut keys = SessionKeys::first(root(1), at(0));
        assert_eq!(
            code(keys.retire(1, at(1)).unwrap_err()),
            "session_key_active"
        );
        assert_eq!(
            code(keys.activate(1, at(1)).unwrap_err()),
            "session_key_not_published"
        );
        assert_eq!(
            code(keys.activate(9, at(1)).unwrap_err()),
            "session_key_unknown"
        );
        assert_eq!(
            code(keys.waiting().unwrap_err()),
            "no_session_key_published"
        );
        assert_eq!(keys.drop_now(1, root(2), at(2)).unwrap(), Some(2));
        assert_eq!(states(&keys), [(2, "active")]);
        assert_eq!(keys.ring().unwrap().current(), 2);
    }

    #[test]
    fn a_published_key_goes_at_once() {
        let mut keys = SessionKeys::first(root(1), at(0));
        keys.publish(root(2), at(1)).unwrap();
        keys.retire(2, at(2)).unwrap();
        assert_eq!(states(&keys), [(1, "active")]);
    }

    #[test]
    fn ids_go_round_and_past_those_in_use() {
        let mut keys = SessionKeys::first(root(1), at(0));
        keys.last = 254;
        assert_eq!(keys.publish(root(2), at(1)).unwrap(), 255);
        assert_eq!(keys.publish(root(3), at(1)).unwrap(), 0);
        // 1 is in use.
        assert_eq!(keys.publish(root(4), at(1)).unwrap(), 2);
        // A dropped id is not the next one again.
        keys.drop_now(2, root(5), at(1)).unwrap();
        assert_eq!(keys.publish(root(5), at(1)).unwrap(), 3);
    }

    #[test]
    fn the_number_of_keys_is_limited_and_a_dropped_active_key_is_replaced_all_the_same() {
        let mut keys = SessionKeys::first(root(0), at(0));
        for byte in 1..KEYS_MAX {
            keys.publish(root(u8::try_from(byte).unwrap()), at(0))
                .unwrap();
        }
        assert_eq!(
            code(keys.publish(root(9), at(0)).unwrap_err()),
            "session_keys_limit"
        );
        assert!(keys.drop_now(1, root(9), at(0)).unwrap().is_some());
    }

    #[test]
    fn what_is_written_reads_again() {
        let mut keys = SessionKeys::first(root(1), at(0));
        keys.publish(root(2), at(5)).unwrap();
        keys.activate(2, at(6)).unwrap();
        let again = SessionKeys::decode(&keys.encode()).unwrap();
        assert_eq!(states(&again), states(&keys));
        assert_eq!(again.encode(), keys.encode());
        let first = again.key(1).unwrap();
        assert_eq!(
            (first.published, first.activated, first.retiring),
            (Some(at(0)), Some(at(0)), Some(at(6)))
        );
    }

    #[test]
    fn the_key_of_a_home_from_before_is_active_and_of_unknown_age() {
        let mut bytes = vec![1, 1];
        bytes.extend([7; ROOT_LEN]);
        let keys = SessionKeys::decode(&bytes).unwrap();
        assert_eq!(states(&keys), [(1, "active")]);
        assert_eq!(keys.keys()[0].published, None);
    }

    #[test]
    fn what_does_not_read_is_an_error() {
        let good = SessionKeys::first(root(1), at(0)).encode().to_vec();
        for length in 0..good.len() {
            let keys = SessionKeys::decode(&good[..length]);
            assert!(keys.and_then(|keys| keys.ring()).is_err(), "{length}");
        }
        let mut state = good.clone();
        state[3] = 9;
        assert!(SessionKeys::decode(&state).is_err());
    }
}
