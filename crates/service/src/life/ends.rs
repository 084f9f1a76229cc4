//! What ended sessions before their time: marks that say "sessions of this role that began by then are over".
//!
//! A mark is one small record. All of them are kept in memory, as long as one more record, their generation, stays as
//! it is: whoever writes a mark writes the next generation in the same commit. So a request costs one read of the store
//! however many marks there are, and a mark counts for every process on the store from the moment it was written.
//!
//! Times are whole seconds, so a session of the mark's own second ends too: it may have begun before. A session that
//! was assumed from others ends with each of them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use bowline_store::{Commit, Key, Value};
use bowline_trust::{RoleId, Session, Uuid};
use bowline_x509::Time;
use serde::{Deserialize, Serialize};

use super::{MARGIN, SESSION_LIFE_MAX};
use crate::error::{Error, LifeError};
use crate::keyspace;
use crate::record::Record;
use crate::service::Service;

/// Which sessions a mark is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// All of the home.
    All,
    /// One, and whatever was assumed from it.
    Session([u8; 16]),
    /// Those of a role, and whatever was assumed from them.
    Role(RoleId),
    /// Those that a profile allowed.
    Profile(Uuid),
    /// Those whose certificate a trust anchor vouched for.
    TrustAnchor(Uuid),
    /// Those of a subject.
    Subject(Uuid),
    /// Those that a certificate was traded for, by its SHA-256.
    Certificate([u8; 32]),
    /// Those that an identity provider vouched for, by the SHA-256 of its ARN.
    Provider([u8; 32]),
}

impl Scope {
    /// The scope of an identity provider, by its ARN.
    pub(crate) fn provider(arn: &str) -> Scope {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, arn.as_bytes()).as_ref());
        Scope::Provider(hash)
    }

    /// What kind it is, in keys and events.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Scope::All => "all",
            Scope::Session(_) => "session",
            Scope::Role(_) => "role",
            Scope::Profile(_) => "profile",
            Scope::TrustAnchor(_) => "anchor",
            Scope::Subject(_) => "subject",
            Scope::Certificate(_) => "certificate",
            Scope::Provider(_) => "provider",
        }
    }

    /// Which one of its kind.
    pub(crate) fn id(&self) -> String {
        match self {
            Scope::All => "sessions".into(),
            Scope::Session(id) => hex::encode(id),
            Scope::Role(id) => id.to_string(),
            Scope::Profile(id) | Scope::TrustAnchor(id) | Scope::Subject(id) => id.to_string(),
            Scope::Certificate(hash) | Scope::Provider(hash) => hex::encode(hash),
        }
    }

    /// Whether it is of a kind that there may be any number of.
    fn is_one_of_many(&self) -> bool {
        match self {
            Scope::Session(_) | Scope::Subject(_) | Scope::Certificate(_) => true,
            Scope::All
            | Scope::Role(_)
            | Scope::Profile(_)
            | Scope::TrustAnchor(_)
            | Scope::Provider(_) => false,
        }
    }

    fn key(&self) -> Result<Key, Error> {
        keyspace::session_end(self.kind(), &self.id())
    }

    /// The scope of a key that [`Scope::key`] made.
    fn of_key(key: &Key) -> Option<Scope> {
        let (kind, id) = keyspace::parts_of_session_end(key)?;
        let bytes = || hex::decode(id).ok();
        Some(match kind {
            "all" => Scope::All,
            "session" => Scope::Session(bytes()?.try_into().ok()?),
            "role" => Scope::Role(id.parse().ok()?),
            "profile" => Scope::Profile(id.parse().ok()?),
            "anchor" => Scope::TrustAnchor(id.parse().ok()?),
            "subject" => Scope::Subject(id.parse().ok()?),
            "certificate" => Scope::Certificate(bytes()?.try_into().ok()?),
            "provider" => Scope::Provider(bytes()?.try_into().ok()?),
            _ => return None,
        })
    }
}

/// What is to end.
pub(crate) struct Ended {
    pub(crate) scope: Scope,
    /// The serial number in hex, of a certificate where it is known.
    pub(crate) serial: Option<String>,
}

impl Ended {
    pub(crate) fn new(scope: Scope) -> Ended {
        Ended {
            scope,
            serial: None,
        }
    }
}

/// That sessions are over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndRecord {
    /// Those that began at this second or before.
    pub(crate) until: Time,
    /// When that was said.
    pub(crate) at: Time,
    /// The serial number in hex, of a certificate: the log knows certificates by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) serial: Option<String>,
}

impl EndRecord {
    /// Whether no session can be alive that this ends: what is assumed from others lives no longer than any.
    fn is_over(&self, now: Time) -> bool {
        self.at + SESSION_LIFE_MAX + MARGIN < now
    }
}

impl Record for EndRecord {
    const WHAT: &'static str = "end of sessions";
}

/// What earlier programs wrote of an anchor's sessions.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorEndRecord {
    until: Time,
}

impl Record for AnchorEndRecord {
    const WHAT: &'static str = "end of a trust anchor's sessions";
}

/// Changes with every mark.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenerationRecord {
    generation: u64,
}

impl Record for GenerationRecord {
    const WHAT: &'static str = "generation of ends of sessions";
}

/// Every mark of the home.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    marks: HashMap<Scope, EndRecord>,
}

impl Ends {
    /// The marks.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (&Scope, &EndRecord)> {
        self.marks.iter()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// The mark of a scope, if it ends what began then.
    pub(crate) fn ends(&self, scope: Scope, began: Time) -> Option<Scope> {
        let mark = self.marks.get(&scope)?;
        // That one session ended is no question of time: it has one beginning.
        (matches!(scope, Scope::Session(_)) || began <= mark.until).then_some(scope)
    }

    /// What ends a session: a mark on itself, on a session it was assumed from, or on what the first of them rests on.
    pub(crate) fn ending(&self, session: &Session) -> Option<Scope> {
        if self.is_empty() {
            return None;
        }
        let claims = session.claims();
        let own = claims.role().map(|role| role.id);
        let links = claims.chain.iter().map(|link| {
            let role = link.role.as_ref().map(|role| role.id);
            (link.session_id, role, link.issued_at)
        });
        let mut first = claims.issued_at;
        for (id, role, began) in links.chain([(*session.id(), own, claims.issued_at)]) {
            first = first.min(began);
            let ended = self
                .ends(Scope::Session(id), began)
                .or_else(|| self.ends(Scope::All, began))
                .or_else(|| self.ends(Scope::Role(role?), began));
            if ended.is_some() {
                return ended;
            }
        }
        if let Some(origin) = claims.federated() {
            return self.ends(Scope::provider(&origin.provider_arn), first);
        }
        let origin = claims.certificate()?;
        [
            Some(Scope::TrustAnchor(origin.trust_anchor)),
            origin.profile.map(Scope::Profile),
            Some(Scope::Subject(origin.subject)),
            Some(Scope::Certificate(origin.certificate.fingerprint)),
        ]
        .into_iter()
        .flatten()
        .find_map(|scope| self.ends(scope, first))
    }
}

/// The marks as they were last read, with the generation they were read at.
#[derive(Default)]
pub(crate) struct EndsCache(RwLock<Option<(Option<Value>, Arc<Ends>)>>);

impl Service {
    /// Every mark, as the store has them now.
    pub(crate) fn session_ends(&self) -> Result<Arc<Ends>, Error> {
        Ok(self.ends_at_generation()?.1)
    }

    fn ends_at_generation(&self) -> Result<(Option<Value>, Arc<Ends>), Error> {
        let key = keyspace::session_ends_generation();
        let generation = self.store.get(&key)?;
        let known = self
            .ends
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .filter(|(known, _)| *known == generation)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let read = (generation, Arc::new(self.read_ends()?));
        // Marks that came while these were read may be among them or not: then this is not what the generation had. It is
        // enough for the request at hand, which began before.
        if self.store.get(&key)? == read.0 {
            *self.ends.0.write().unwrap_or_else(PoisonError::into_inner) = Some(read.clone());
        }
        Ok(read)
    }

    fn read_ends(&self) -> Result<Ends, Error> {
        let mut ends = Ends::default();
        self.pages(&keyspace::session_ends(), |page| {
            for (key, value) in page {
                let scope = Scope::of_key(key).ok_or_else(|| unreadable_key(key))?;
                ends.marks.insert(scope, EndRecord::decode(key, value)?);
            }
            Ok(())
        })?;
        self.pages(&keyspace::anchors_sessions_ended(), |page| {
            for (key, value) in page {
                let id = keyspace::anchor_of_sessions_ended(key);
                let id = id.ok_or_else(|| unreadable_key(key))?;
                let until = AnchorEndRecord::decode(key, value)?.until;
                let mark = EndRecord {
                    until,
                    at: until,
                    serial: None,
                };
                let known = ends.marks.entry(Scope::TrustAnchor(id));
                known
                    .and_modify(|known| known.until = known.until.max(until))
                    .or_insert(mark);
            }
            Ok(())
        })?;
        Ok(ends)
    }

    /// Adds to a commit that the sessions of some scopes that began by `until` are over; all there are, if that is now.
    /// The commit then expects that nobody else ends sessions meanwhile.
    pub(crate) fn end_sessions(
        &self,
        commit: Commit,
        ended: &[Ended],
        until: Time,
        now: Time,
    ) -> Result<Commit, Error> {
        let key = keyspace::session_ends_generation();
        let until = match until < now {
            true => until,
            false => self.last_begun(now)?,
        };
        let (before, ends) = self.ends_at_generation()?;
        let number = match &before {
            Some(value) => GenerationRecord::decode(&key, value)?.generation,
            None => 0,
        };
        let generation = GenerationRecord {
            generation: number + 1,
        };
        let mut commit = match before {
            Some(value) => commit.expect_equals(key.clone(), value),
            None => commit.expect_absent(key.clone()),
        }
        .put(key, generation.encode()?);
        for Ended { scope, serial } in ended {
            let known = ends.marks.get(scope).map(|mark| mark.until);
            let mark = EndRecord {
                until: known.map_or(until, |known| known.max(until)),
                at: now,
                serial: serial.clone(),
            };
            commit = commit.put(scope.key()?, mark.encode()?);
        }
        // What no session can be alive under any more goes on the way.
        let over = ends.marks.iter().filter(|(scope, mark)| {
            mark.is_over(now) && !ended.iter().any(|ended| ended.scope == **scope)
        });
        for (scope, _) in over {
            if commit.operations() >= OPERATIONS_MAX {
                break;
            }
            commit = commit.delete(scope.key()?);
            if let Scope::TrustAnchor(id) = scope {
                commit = commit.delete(keyspace::anchor_sessions_ended(id));
            }
        }
        Ok(commit)
    }

    /// Refuses marks past what is kept in memory. There are few roles, profiles and trust anchors, and ending all of
    /// their sessions is the way out: marks on them are always taken.
    pub(crate) fn check_room_for_ends(&self, ended: &[Ended], now: Time) -> Result<(), Error> {
        let ends = self.session_ends()?;
        let fresh = ended
            .iter()
            .filter(|ended| ended.scope.is_one_of_many() && !ends.marks.contains_key(&ended.scope))
            .count();
        let kept = ends.marks.values().filter(|mark| !mark.is_over(now));
        if fresh > 0 && kept.count() + fresh > ENDS_MAX {
            return Err(LifeError::TooManyEnds { limit: ENDS_MAX }.into());
        }
        Ok(())
    }
}

/// Whether a mark reads.
pub(crate) fn check_end(key: &Key, value: &Value) -> Result<(), Error> {
    EndRecord::decode(key, value)?;
    Scope::of_key(key)
        .map(drop)
        .ok_or_else(|| unreadable_key(key))
}

fn unreadable_key(key: &Key) -> Error {
    Error::internal(format!("the key {key} does not say which sessions ended"))
}

/// The most marks. Each is read into memory by every process, and all of them again after every change.
pub(crate) const ENDS_MAX: usize = 10_000;
/// At how many operations of a commit no more old marks are taken away: a commit has 64, and those that go with it need
/// some.
const OPERATIONS_MAX: usize = 56;
