//! The service: a store, a clock, a source of randomness, and what opens the sealed keys.

use std::sync::{Arc, Mutex, OnceLock};

use bowline_store::{Commit, Expectation, Key, Store, StoreError, Value};
use bowline_x509::Time;

use crate::audit::Event;
use crate::cache::{Cache, Loaded};
use crate::caller::Caller;
use crate::environment::{Clock, Entropy};
use crate::error::Error;
use crate::federation::{KeySets, Outbound};
use crate::keys::PrivateKey;
use crate::keyspace;
use crate::life::{EndsCache, KeyRingCache};
use crate::log::Refusals;
use crate::passage::Passage;
use crate::record::Record;
use crate::revocation_lists::RevocationLists;
use crate::sealing::{SealedMaster, Sealer, UnsealKey};
use crate::settings::Settings;
use crate::subjects::Sightings;

/// What every operation runs on. One a process; shared between threads.
pub struct Service {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) unseal: Option<UnsealKey>,
    pub(crate) cache: Cache,
    pub(crate) revocation_lists: RevocationLists,
    pub(crate) passage: Passage,
    pub(crate) refusals: Refusals,
    pub(crate) sightings: Sightings,
    /// Held while a checkpoint of the log is signed: one at a time in a process.
    pub(crate) log: Mutex<()>,
    pub(crate) key_sets: KeySets,
    pub(crate) outbound: Option<Arc<dyn Outbound>>,
    sealer: OnceLock<Sealer>,
    pub(crate) key_ring: KeyRingCache,
    pub(crate) ends: EndsCache,
    opening: Mutex<()>,
}

impl Service {
    /// Runs on `store`. Without `unseal`, everything that needs a secret is refused.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        unseal: Option<UnsealKey>,
    ) -> Service {
        Service {
            store,
            clock,
            entropy,
            unseal,
            cache: Cache::new(),
            revocation_lists: RevocationLists::default(),
            passage: Passage::default(),
            refusals: Refusals::default(),
            sightings: Sightings::default(),
            log: Mutex::new(()),
            key_sets: KeySets::default(),
            outbound: None,
            sealer: OnceLock::new(),
            key_ring: KeyRingCache::default(),
            ends: EndsCache::default(),
            opening: Mutex::new(()),
        }
    }

    /// Lets the service fetch what identity providers publish. Without it nothing is fetched.
    #[must_use]
    pub fn with_outbound(self, outbound: Arc<dyn Outbound>) -> Service {
        Service {
            outbound: Some(outbound),
            ..self
        }
    }

    /// Whether the home can answer: the store reads, the home is initialized, its secrets open.
    pub fn ready(&self) -> Result<(), Error> {
        self.settings()?;
        self.key_ring()?;
        Ok(())
    }

    /// The time this service goes by.
    pub fn time(&self) -> Time {
        self.clock.now()
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// The settings; an error that says `init` where there are none.
    pub(crate) fn settings(&self) -> Result<Loaded<Settings>, Error> {
        self.load(&keyspace::settings())?
            .ok_or(Error::NotInitialized)
    }

    /// Reads a record. Unchanged bytes are decoded once.
    pub(crate) fn load<R: Record + Send + Sync + 'static>(
        &self,
        key: &Key,
    ) -> Result<Option<Loaded<R>>, Error> {
        match self.store.get(key)? {
            Some(value) => self.cache.decoded(key, value).map(Some),
            None => Ok(None),
        }
    }

    /// Every record under a prefix, in key order, read page by page.
    pub(crate) fn load_all<R: Record>(&self, prefix: &Key) -> Result<Vec<R>, Error> {
        let mut records = Vec::new();
        self.pages(prefix, |page| {
            for (key, value) in page {
                records.push(R::decode(key, value)?);
            }
            Ok(())
        })?;
        Ok(records)
    }

    /// Shows everything under a prefix to `look`, in key order, page by page.
    pub(crate) fn pages(
        &self,
        prefix: &Key,
        mut look: impl FnMut(&[(Key, Value)]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut after: Option<Key> = None;
        loop {
            let page = self.store.scan(prefix, after.as_ref(), SCAN_PAGE)?;
            look(&page)?;
            if page.len() < SCAN_PAGE {
                return Ok(());
            }
            after = page.into_iter().next_back().map(|(key, _)| key);
        }
    }

    /// Commits an effect together with the event that tells of it.
    pub(crate) fn commit(
        &self,
        commit: Commit,
        caller: &Caller,
        now: Time,
        event: Event,
    ) -> Result<(), Error> {
        self.finish(self.prepare(commit, caller, now, event)?)
    }

    /// Commits what the home does of itself, with the events that tell of it.
    pub(crate) fn commit_own(
        &self,
        mut commit: Commit,
        now: Time,
        events: Vec<Event>,
    ) -> Result<(), Error> {
        for event in events {
            commit = commit.append(keyspace::events(), event.own(now, &*self.entropy).encode()?);
        }
        self.store.commit(commit)?;
        Ok(())
    }

    /// Commits a new resource; says that its name is taken where another has it.
    pub(crate) fn commit_new(
        &self,
        what: &'static str,
        name: &str,
        commit: Commit,
        caller: &Caller,
        now: Time,
        event: Event,
    ) -> Result<(), Error> {
        let taken: Vec<Key> = commit
            .expectations()
            .iter()
            .filter(|expectation| matches!(expectation, Expectation::Absent(_)))
            .map(|expectation| expectation.key().clone())
            .collect();
        self.commit(commit, caller, now, event)
            .map_err(|error| match error {
                Error::Store(StoreError::Conflict { key }) if taken.contains(&key) => {
                    Error::Exists {
                        what,
                        name: name.into(),
                    }
                }
                error => error,
            })
    }

    /// What seals and opens the secrets of this home.
    pub(crate) fn sealer(&self) -> Result<&Sealer, Error> {
        if let Some(sealer) = self.sealer.get() {
            return Ok(sealer);
        }
        // One at a time: stretching a passphrase takes memory that concurrent callers would multiply.
        let _opening = self
            .opening
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.sealer.get().is_none() {
            let master = self
                .load::<SealedMaster>(&keyspace::master())?
                .ok_or(Error::NotInitialized)?;
            let unseal = self.unseal.as_ref().ok_or_else(|| master.without_key())?;
            let _ = self.sealer.set(Sealer::open_master(&master, unseal)?);
        }
        // Cannot fail: set just above, under the lock.
        Ok(self.sealer.get().expect("the sealer was opened"))
    }

    /// Remembers the sealer that `init` just made, so that the passphrase is stretched once.
    pub(crate) fn adopt_sealer(&self, sealer: Sealer) {
        let _ = self.sealer.set(sealer);
    }

    /// The private key of an authority.
    pub(crate) fn authority_key(&self, authority: &str) -> Result<Arc<PrivateKey>, Error> {
        let key = keyspace::authority_key(authority)?;
        if let Some(signer) = self.cache.signer(authority) {
            return Ok(signer);
        }
        let sealed =
            self.load::<SealedSecret>(&key)?
                .ok_or_else(|| Error::AuthorityKeyOffline {
                    authority: authority.into(),
                })?;
        let pkcs8 = self.sealer()?.open(key.as_bytes(), &sealed.sealed)?;
        let signer = Arc::new(PrivateKey::from_der(&pkcs8)?);
        self.cache.keep_signer(authority, signer.clone());
        Ok(signer)
    }
}

/// A secret under the home's master key, bound to the key it is stored at.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealedSecret {
    #[serde(with = "crate::wire::base64_bytes")]
    pub(crate) sealed: Vec<u8>,
}

impl Record for SealedSecret {
    const WHAT: &'static str = "sealed secret";
}

impl Record for SealedMaster {
    const WHAT: &'static str = "sealed master key";
}

/// How many records one read of a longer scan takes: the store's most.
const SCAN_PAGE: usize = bowline_store::SCAN_RECORDS_MAX;
