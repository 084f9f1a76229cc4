//! What need not be worked out twice: decoded records, opened keys.
//!
//! Nothing here can be stale. A decoded record is used only while the store still holds the very
//! bytes it was decoded from.

use std::any::Any;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use bowline_store::{Commit, Key, Value};
use bowline_trust::Session;
use bowline_x509::Time;
use bowline_x509::path::VerifiedPath;

use crate::error::Error;
use crate::keys::PrivateKey;
use crate::record::Record;

/// A decoded record together with the very bytes it was decoded from.
pub(crate) struct Kept<R> {
    record: R,
    value: Value,
}

/// A record as [`crate::Service`] loads it.
pub(crate) type Loaded<R> = Arc<Kept<R>>;

impl<R> Deref for Kept<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.record
    }
}

impl<R> Kept<R> {
    /// Makes a commit expect that the record at `key` still is this one.
    pub(crate) fn expect_unchanged(&self, commit: Commit, key: Key) -> Commit {
        commit.expect_equals(key, self.value.clone())
    }
}

type Decoded = (Value, Arc<dyn Any + Send + Sync>);

/// The caches of one service.
pub(crate) struct Cache {
    records: RwLock<HashMap<Key, Decoded>>,
    signers: RwLock<HashMap<String, Arc<PrivateKey>>>,
    paths: RwLock<HashMap<[u8; 32], Walked>>,
    sessions: RwLock<Bounded<Unsealed>>,
}

/// What is kept by a text, until it is too much: then it starts again.
struct Bounded<V> {
    kept: HashMap<String, V>,
    /// How much is kept, as whoever keeps it weighs it.
    bytes: usize,
}

impl<V> Default for Bounded<V> {
    fn default() -> Bounded<V> {
        Bounded {
            kept: HashMap::new(),
            bytes: 0,
        }
    }
}

impl<V> Bounded<V> {
    fn keep(&mut self, name: &str, value: V, bytes: usize) {
        if self.kept.len() >= SESSIONS_MAX || self.bytes + bytes > SESSIONS_BYTES_MAX {
            self.kept.clear();
            self.bytes = 0;
        }
        if self.kept.insert(name.into(), value).is_none() {
            self.bytes += bytes;
        }
    }
}

/// A token that was opened, and the access key id it opened under.
#[derive(Clone)]
struct Unsealed {
    access_key_id: String,
    session: Arc<Session>,
}

/// A path that was found good, and when.
#[derive(Clone)]
struct Walked {
    path: Arc<VerifiedPath>,
    at: Time,
}

impl Cache {
    pub(crate) fn new() -> Cache {
        Cache {
            records: RwLock::default(),
            signers: RwLock::default(),
            paths: RwLock::default(),
            sessions: RwLock::default(),
        }
    }

    /// Decodes `value`, unless it is the value that was decoded last time.
    pub(crate) fn decoded<R: Record + Send + Sync + 'static>(
        &self,
        key: &Key,
        value: Value,
    ) -> Result<Loaded<R>, Error> {
        let known = self
            .records
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned();
        if let Some((_, decoded)) = known.filter(|(bytes, _)| *bytes == value)
            && let Ok(record) = decoded.downcast::<Kept<R>>()
        {
            return Ok(record);
        }
        let record = R::decode(key, &value)?;
        let kept = Arc::new(Kept {
            record,
            value: value.clone(),
        });
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= DECODED_MAX {
            records.clear();
        }
        records.insert(key.clone(), (value, kept.clone()));
        Ok(kept)
    }

    /// The path found for the same certificates earlier, if it is good now too.
    pub(crate) fn path(&self, question: &[u8; 32], now: Time) -> Option<Arc<VerifiedPath>> {
        let walked = self
            .paths
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(question)
            .cloned()?;
        (walked.at <= now && now <= walked.path.good_until()).then_some(walked.path)
    }

    pub(crate) fn keep_path(&self, question: [u8; 32], path: Arc<VerifiedPath>, now: Time) {
        let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        if paths.len() >= PATHS_MAX {
            paths.clear();
        }
        paths.insert(question, Walked { path, at: now });
    }

    /// The session that a token opened to earlier, under the same access key id.
    pub(crate) fn session(&self, access_key_id: &str, token: &str) -> Option<Arc<Session>> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        let unsealed = sessions.kept.get(token)?;
        (unsealed.access_key_id == access_key_id).then(|| unsealed.session.clone())
    }

    pub(crate) fn keep_session(&self, access_key_id: &str, token: &str, session: Arc<Session>) {
        let mut sessions = self
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // The policies of a session are far longer than the token they are deflated in.
        let policies = session.claims().layers.iter();
        let texts = policies.flat_map(|layer| &layer.policies);
        let bytes = texts.map(|named| named.policy.text().len()).sum::<usize>();
        let unsealed = Unsealed {
            access_key_id: access_key_id.into(),
            session,
        };
        sessions.keep(token, unsealed, token.len() + bytes);
    }

    pub(crate) fn signer(&self, authority: &str) -> Option<Arc<PrivateKey>> {
        self.signers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(authority)
            .cloned()
    }

    pub(crate) fn keep_signer(&self, authority: &str, signer: Arc<PrivateKey>) {
        self.signers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(authority.into(), signer);
    }
}

/// How many decoded records are kept. Anchors, profiles, roles and authorities number in the
/// hundreds; past this the cache starts again rather than grow with the certificates.
const DECODED_MAX: usize = 4_096;
/// How many verified paths are kept: a few kilobytes each, one for every certificate that trades often.
const PATHS_MAX: usize = 16_384;
/// How many opened sessions are kept, most of them a few kilobytes each. Whether a session still lives is asked every
/// time.
const SESSIONS_MAX: usize = 16_384;
/// How many bytes of tokens and policies may be among them: read policies take several times their text, and whoever
/// assumes a role writes some of up to 16 KiB into each session.
const SESSIONS_BYTES_MAX: usize = 32 * 1_024 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_in_number_and_in_bytes() {
        let mut few = Bounded::default();
        let part = SESSIONS_BYTES_MAX / 4;
        for name in ["a", "b", "c", "d", "d"] {
            few.keep(name, (), part);
        }
        // The same again is no more than it was.
        assert_eq!((few.kept.len(), few.bytes), (1, part));
        let mut many = Bounded::default();
        for number in 0..=SESSIONS_MAX {
            many.keep(&number.to_string(), (), 1);
        }
        assert_eq!((many.kept.len(), many.bytes), (1, 1));
    }
}
