//! Full CRLs: signed when asked for, kept in memory while they are fresh, never stored. Only their
//! numbers are, and before a list with that number leaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bowline_ca::{Revocation, sign_crl};
use bowline_store::{Commit, Key};
use bowline_x509::{SerialNumber, Time};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::audit::Event;
use crate::caller::Caller;
use crate::error::Error;
use crate::keyspace;
use crate::operation::Operation;
use crate::record::Record;
use crate::revocation::RevocationRecord;
use crate::service::Service;
use crate::wire::base64_bytes;

/// A signed CRL.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
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
            service.authorize(caller, "bowline:SignRevocationList", &self.authority)?;
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
        let record = self.authority_record(id)?;
        let authority = record.authority()?;
        let signer = self.authority_key(id)?;
        // Noted before the scan: a revocation during it makes the list stale, not silent.
        let changes = self.revocation_lists.changes(id);
        let revocations = self.listed(authority.key_id(), now)?;

        // 1. The number is committed before any list with it leaves.
        let key = keyspace::crl_number(id)?;
        let stored = self.store.get(&key)?;
        let number = match &stored {
            Some(value) => NumberRecord::decode(&key, value)?.number + 1,
            None => 1,
        };
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
            commit.put(key, NumberRecord { number }.encode()?),
            caller,
            now,
            event,
        )?;

        // 2. Sign.
        let next_update = now + LIST_LIFE;
        let der = sign_crl(authority, &*signer, number, now, next_update, &revocations)?;
        let next_update = next_update.min(authority.certificate().validity().not_after);
        let list = RevocationList {
            authority: id.into(),
            number,
            this_update: now,
            next_update,
            entries: revocations.len(),
            der,
        };
        self.revocation_lists
            .keep(id, changes, Arc::new(list.clone()));
        Ok(list)
    }

    /// What the list must name: every revoked certificate of the issuer whose time is not over.
    fn listed(&self, issuer_key_id: &[u8], now: Time) -> Result<Vec<Revocation>, Error> {
        let prefix = keyspace::revocations(issuer_key_id);
        let mut listed = Vec::new();
        let mut after: Option<Key> = None;
        loop {
            let page = self
                .store
                .scan(&prefix, after.as_ref(), bowline_store::SCAN_RECORDS_MAX)?;
            for (key, value) in &page {
                let record = RevocationRecord::decode(key, value)?;
                // RFC 5280 §3.3: it must appear on one list issued after its end.
                if record.not_after + LIST_LIFE < now {
                    continue;
                }
                let serial = key.as_bytes()[prefix.len()..].to_vec();
                let serial = hex::decode(serial)
                    .ok()
                    .and_then(|bytes| SerialNumber::from_bytes(&bytes).ok())
                    .ok_or_else(|| {
                        Error::internal(format!("the revocation key {key} holds no serial number"))
                    })?;
                listed.push(Revocation {
                    serial,
                    revoked_at: record.at,
                    reason: record.reason,
                });
            }
            if page.len() < bowline_store::SCAN_RECORDS_MAX {
                return Ok(listed);
            }
            after = page.into_iter().next_back().map(|(key, _)| key);
        }
    }
}

/// How long a CRL is good for. It is signed again half way, or when something was revoked.
const LIST_LIFE: TimeDelta = TimeDelta::hours(24);
