//! Full CRLs: signed when asked for, kept in memory while they are fresh, not stored. Their numbers are, before
//! a list with that number leaves; and the one list of an authority whose key is kept outside.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bowline_ca::{Authority, Revocation, sign_crl};
use bowline_store::Commit;
use bowline_x509::Time;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::authorities::KeyLocation;
use crate::caller::Caller;
use crate::error::Error;
use crate::keys::PrivateKey;
use crate::keyspace;
use crate::operation::Operation;
use crate::record::Record;
use crate::revocation::RevocationRecord;
use crate::service::Service;
use crate::wire::base64_bytes;

/// A signed CRL.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RevocationList {
    /// The authority that signed it.
    pub authority: String,
    /// Its number; grows from list to list.
    pub number: u64,
    /// When it was signed.
    pub this_update: Time,
    /// When the next one is out at the latest.
    pub next_update: Time,
    /// How many certificates it lists.
    pub entries: usize,
    /// The list, DER.
    #[serde(with = "base64_bytes")]
    pub der: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberRecord {
    number: u64,
}

impl Record for NumberRecord {
    const WHAT: &'static str = "CRL number";
}

/// The lists in memory, and how often each authority's revocations changed.
#[derive(Default)]
pub(crate) struct RevocationLists {
    held: Mutex<HashMap<String, Held>>,
    signing: Mutex<()>,
}

#[derive(Default)]
struct Held {
    changes: u64,
    list: Option<(u64, Arc<RevocationList>)>,
}

impl RevocationLists {
    /// A certificate of the authority was revoked: the list held no longer tells all.
    pub(crate) fn changed(&self, authority: &str) {
        self.held().entry(authority.into()).or_default().changes += 1;
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changes(&self, authority: &str) -> u64 {
        self.held().get(authority).map_or(0, |held| held.changes)
    }

    /// The list in memory, if it tells all and is not half way to its end.
    fn fresh(&self, authority: &str, now: Time) -> Option<Arc<RevocationList>> {
        let held = self.held();
        let held = held.get(authority)?;
        let (changes, list) = held.list.as_ref()?;
        let half = list.this_update + (list.next_update - list.this_update) / 2;
        (*changes == held.changes && list.this_update <= now && now < half).then(|| list.clone())
    }

    fn keep(&self, authority: &str, changes: u64, list: Arc<RevocationList>) {
        self.held().entry(authority.into()).or_default().list = Some((changes, list));
    }
}

/// Gives the CRL of an authority.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowRevocationList {
    /// The authority's id.
    pub authority: String,
    /// Whether a new one is signed even where the one in memory would do.
    #[serde(default)]
    pub fresh: bool,
}

impl Operation for ShowRevocationList {
    const NAME: &'static str = "show-revocation-list";
    type Answer = RevocationList;

    /// Needs no permission: CRLs are public. Asking for a new signature each time takes one.
    fn run(self, service: &Service, caller: &Caller) -> Result<RevocationList, Error> {
        if self.fresh {
            let arn = service.settings()?.authority_arn(&self.authority);
            service.authorize(caller, "bowline:SignRevocationList", &arn)?;
        } else if let Some(list) = service.fresh_revocation_list(&self.authority) {
            return Ok(RevocationList::clone(&list));
        }
        // One at a time: whoever waited finds the list that was signed meanwhile.
        let _signing = service
            .revocation_lists
            .signing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !self.fresh
            && let Some(list) = service.fresh_revocation_list(&self.authority)
        {
            return Ok(RevocationList::clone(&list));
        }
        service.sign_revocation_list(&self.authority, caller)
    }
}

impl Service {
    /// The CRL in memory, if it is fresh. Never blocks on the store.
    pub fn fresh_revocation_list(&self, authority: &str) -> Option<Arc<RevocationList>> {
        self.revocation_lists.fresh(authority, self.now())
    }

    fn sign_revocation_list(&self, id: &str, caller: &Caller) -> Result<RevocationList, Error> {
        let now = self.now();
        self.check_clock(now)?;
        let record = self.authority_record(id)?;
        if record.key == KeyLocation::Offline {
            let list = self.load::<RevocationList>(&keyspace::offline_revocation_list(id)?)?;
            return list
                .map(|list| RevocationList::clone(&list))
                .ok_or_else(|| Error::AuthorityKeyOffline {
                    authority: id.into(),
                });
        }
        let authority = record.authority()?;
        let signer = self.authority_key(id)?;
        // Noted before the scan: a revocation during it makes the list stale, not silent.
        let changes = self.revocation_lists.changes(id);
        let revocations = self.listed(&authority.public_key().key_id(), now)?;

        // 1. Sign under the next number. Nothing has left yet.
        let key = keyspace::crl_number(id)?;
        let stored = self.store.get(&key)?;
        let number = match &stored {
            Some(value) => NumberRecord::decode(&key, value)?.number + 1,
            None => 1,
        };
        let list = signed_list(id, authority, &signer, number, now, LIST_LIFE, &revocations)?;

        // 2. The number is committed before the list with it leaves.
        let commit = match stored {
            Some(value) => Commit::new().expect_equals(key.clone(), value),
            None => Commit::new().expect_absent(key.clone()),
        };
        let event = Event::RevocationListSigned {
            authority: id.into(),
            number,
            entries: revocations.len(),
        };
        self.commit(
            // A number, and others learn of what was revoked.
            commit
                .put(key, NumberRecord { number }.encode()?)
                .from_reserve(),
            caller,
            now,
            event,
        )?;
        self.revocation_lists
            .keep(id, changes, Arc::new(list.clone()));
        Ok(list)
    }

    /// Adds to a commit that an authority's next list has a number ahead of every one that can have been published,
    /// here or by a home that went on from the same state, also one restored from the same backup before: the number
    /// is made of the time.
    pub(crate) fn jump_revocation_list_number(
        &self,
        commit: Commit,
        id: &str,
        published: Option<u64>,
        now: Time,
    ) -> Result<(u64, Commit), Error> {
        let key = keyspace::crl_number(id)?;
        let stored = self.store.get(&key)?;
        let last = match &stored {
            Some(value) => NumberRecord::decode(&key, value)?.number,
            None => 0,
        };
        let by_now = u64::try_from(now.timestamp()).unwrap_or(0) << LISTS_A_SECOND_BITS;
        let number = last
            .max(published.unwrap_or(0))
            .saturating_add(1)
            .max(by_now);
        let commit = match stored {
            Some(value) => commit.expect_equals(key.clone(), value),
            None => commit.expect_absent(key.clone()),
        };
        Ok((number, commit.put(key, NumberRecord { number }.encode()?)))
    }

    /// What the list must name: every revoked certificate of the issuer whose time is not over.
    fn listed(&self, issuer_key_id: &[u8], now: Time) -> Result<Vec<Revocation>, Error> {
        let prefix = keyspace::revocations(issuer_key_id);
        let mut listed = Vec::new();
        self.pages(&prefix, |page| {
            for (key, value) in page {
                let record = RevocationRecord::decode(key, value)?;
                // RFC 5280 §3.3: it must appear on one list issued after its end.
                if record.not_after + LIST_LIFE < now {
                    continue;
                }
                let serial = keyspace::serial_after(&prefix, key)?;
                listed.push(Revocation {
                    serial,
                    revoked_at: record.at,
                    reason: record.reason,
                });
            }
            Ok(())
        })?;
        Ok(listed)
    }
}

/// A list signed by an authority.
fn signed_list(
    id: &str,
    authority: &Authority,
    signer: &PrivateKey,
    number: u64,
    now: Time,
    life: TimeDelta,
    revocations: &[Revocation],
) -> Result<RevocationList, Error> {
    let next_update = (now + life).min(authority.certificate().validity().not_after);
    let der = sign_crl(authority, signer, number, now, next_update, revocations)?;
    Ok(RevocationList {
        authority: id.into(),
        number,
        this_update: now,
        next_update,
        entries: revocations.len(),
        der,
    })
}

/// The one list of an authority whose key leaves after this: it lists nothing, and is good until the key comes back.
pub(crate) fn offline_list(
    id: &str,
    authority: &Authority,
    signer: &PrivateKey,
    now: Time,
) -> Result<RevocationList, Error> {
    signed_list(id, authority, signer, 1, now, OFFLINE_LIST_LIFE, &[])
}

impl Record for RevocationList {
    const WHAT: &'static str = "CRL";
}

/// How long the CRL of an authority is good for whose key is kept outside.
const OFFLINE_LIST_LIFE: TimeDelta = TimeDelta::days(366);
/// No home signs as many lists in a second as fit these bits; and no number reaches 64 bits before the year 8 million.
const LISTS_A_SECOND_BITS: u32 = 16;
/// How long a CRL is good for. It is signed again half way, or when something was revoked.
const LIST_LIFE: TimeDelta = TimeDelta::hours(24);
