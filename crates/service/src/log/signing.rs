//! Signing what the log says: a name and a key of its own, tiles, and checkpoints over them.
//!
//! Commits never touch the tree: they append events, which the store numbers. The tree is made of those afterwards, when
//! a checkpoint is signed, so writers share no counter and wait for no hash.

use std::sync::PoisonError;

use bowline_store::{Commit, Key, StoreError, Value};
use bowline_x509::{Signer, Time};
use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::note::{VerifierKey, sign};
use super::tile::{Edge, TILE_WIDTH, Tile, hashes, hashes_at};
use super::tree::{Hash, leaf_hash};
use crate::audit::Event;
use crate::environment::draw;
use crate::error::Error;
use crate::keys::{KeySpec, PrivateKey};
use crate::keyspace;
use crate::record::Record;
use crate::sealing::Sealer;
use crate::service::{SealedSecret, Service};
use crate::settings::Settings;

/// The log of a home: what it is called, and the key that signs for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogRecord {
    /// Its name, the first line of its checkpoints.
    pub(crate) origin: String,
    /// Its key, as whoever verifies needs it.
    pub(crate) vkey: String,
    /// Since when.
    pub(crate) created: Time,
    /// Whether it signs no more: the home was restored, and another log goes on.
    #[serde(default)]
    pub(crate) ended: bool,
}

impl Record for LogRecord {
    const WHAT: &'static str = "log";
}

/// A checkpoint that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCheckpoint {
    /// The name of the log.
    pub origin: String,
    /// How many events it is over.
    pub size: u64,
    /// The root over them in hex.
    pub root: String,
    /// When it was signed.
    pub at: Time,
    /// The signed note (C2SP tlog-checkpoint).
    pub note: String,
}

impl Record for LogCheckpoint {
    const WHAT: &'static str = "log checkpoint";
}

impl Service {
    /// Signs a checkpoint over every event there is, and gives the one in memory of the store where nothing is new.
    ///
    /// Signing is the one use of a key that writes no event: that event would wait to be signed itself, and signing would
    /// never end. The checkpoint is its own record.
    ///
    /// Holds a bounded part of the log, whatever is new. Interrupted anywhere it goes on from the last checkpoint: the
    /// tiles written before say the same again. Of two that sign at once, one finds the other's and begins again.
    pub fn sign_log_checkpoint(&self) -> Result<LogCheckpoint, Error> {
        let _signing = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.sign_log_once() {
                Err(Error::Store(StoreError::Conflict { .. })) if attempts < ATTEMPTS_MAX => {}
                signed => return signed,
            }
        }
    }

    fn sign_log_once(&self) -> Result<LogCheckpoint, Error> {
        // 1. What was signed last, as far as its signature says so.
        let log = self.log_or_begin()?;
        let latest_key = keyspace::log_checkpoint_latest();
        let (stored, signed) = self.last_signed(&log)?;
        let size = signed.as_ref().map_or(0, |signed| signed.latest.size);
        if let Some(signed) = &signed
            && self.store.get(&keyspace::event(size + 1)?)?.is_none()
        {
            return Ok(signed.latest.clone());
        }

        // 2. The tree as it was then. A checkpoint that does not follow from the last one is never signed.
        let mut edge = self.log_edge(size)?;
        if let Some(signed) = &signed
            && edge.root() != signed.root
        {
            return Err(Error::LogDamaged {
                reason: format!("its tiles are not those that were signed at size {size}"),
            });
        }

        // 3. What is new, page by page; full tiles are committed as they come.
        let unchanged = |commit: Commit| match &stored {
            Some(value) => commit.expect_equals(latest_key.clone(), value.clone()),
            None => commit.expect_absent(latest_key.clone()),
        };
        let mut full: Vec<(Key, Value)> = Vec::new();
        loop {
            let page = self.signable_events(edge.size())?;
            for entry in &page {
                let mut failed = None;
                edge.push(
                    leaf_hash(entry),
                    &mut |tile, hashes| match tile_record(tile, hashes) {
                        Ok(record) => full.push(record),
                        Err(error) => failed = Some(error),
                    },
                );
                if let Some(error) = failed {
                    return Err(error);
                }
            }
            let end = page.len() < EVENTS_PAGE;
            if !full.is_empty() && (end || full.len() >= TILES_A_COMMIT) {
                for tiles in full.chunks(TILES_A_COMMIT) {
                    let commit = tiles
                        .iter()
                        .fold(unchanged(Commit::new()), |commit, (key, value)| {
                            commit.put(key.clone(), value.clone())
                        });
                    self.store.commit(commit)?;
                }
                full.clear();
            }
            if end {
                break;
            }
        }

        // 4. The tiles that are not full, and the checkpoint over all, in one commit.
        let now = self.now();
        let checkpoint = Checkpoint {
            origin: log.origin.clone(),
            size: edge.size(),
            root: edge.root(),
        };
        let own = self.log_private_key()?;
        let signed = LogCheckpoint {
            origin: log.origin,
            size: checkpoint.size,
            root: hex::encode(checkpoint.root),
            at: now,
            note: sign(&checkpoint.text(), &checkpoint.origin, &own.key)?,
        };
        let mut commit = unchanged(Commit::new());
        for (tile, hashes) in edge.tiles() {
            // Higher tiles rarely change: they are not written again each time.
            if Tile::of_size(tile.level, tile.index, size) != Some(tile) {
                let (key, value) = tile_record(tile, hashes)?;
                commit = commit.put(key, value);
            }
        }
        if !own.has_signed {
            commit = self.seal_as_signed(commit, &own)?;
        }
        let record = signed.encode()?;
        self.store.commit(
            commit
                .put(keyspace::log_checkpoint(signed.size)?, record.clone())
                .put(latest_key, record),
        )?;
        Ok(signed)
    }

    /// The entries of the events after one, without a gap, at most a page.
    fn signable_events(&self, after: u64) -> Result<Vec<Vec<u8>>, Error> {
        let start = keyspace::event(after)?;
        let page = self
            .store
            .scan(&keyspace::events(), Some(&start), EVENTS_PAGE)?;
        let mut entries = Vec::with_capacity(page.len());
        for (key, value) in page {
            let number = after + 1 + entries.len() as u64;
            let value = if key == keyspace::event(number)? {
                value
            } else {
                // A scan is not a snapshot, and may see an event before the one that was committed with it.
                let missing = self.store.get(&keyspace::event(number)?)?;
                entries.push(entry_of(
                    number,
                    &missing.ok_or_else(|| missing_event(number))?,
                )?);
                return Ok(entries);
            };
            entries.push(entry_of(number, &value)?);
        }
        Ok(entries)
    }

    /// The right edge of the tree of `size` events, from the stored tiles.
    fn log_edge(&self, size: u64) -> Result<Edge, Error> {
        let mut levels = Vec::new();
        let mut level = 0;
        while hashes_at(level, size) > 0 {
            let index = hashes_at(level, size) / TILE_WIDTH;
            levels.push(match Tile::of_size(level, index, size) {
                Some(tile) => self.tile_hashes(tile)?,
                None => Vec::new(),
            });
            level += 1;
        }
        Edge::from_levels(size, levels)
            .ok_or_else(|| Error::internal("the tiles at the edge of the log do not fit its size"))
    }

    /// The hashes of a tile, of which the store has at least so many.
    pub(super) fn tile_hashes(&self, tile: Tile) -> Result<Vec<Hash>, Error> {
        let bytes = self.tile_bytes(tile)?;
        Ok(hashes(&bytes))
    }

    /// The bytes of a tile, as wide as it is asked for.
    pub(super) fn tile_bytes(&self, tile: Tile) -> Result<Vec<u8>, Error> {
        let key = keyspace::log_tile(tile.level, tile.index)?;
        let value = self.store.get(&key)?;
        value
            .as_ref()
            .and_then(|value| value.as_bytes().get(1..=tile.bytes()))
            .map(<[u8]>::to_vec)
            .ok_or_else(|| Error::LogDamaged {
                reason: format!("tile {} is missing or too short", tile.path()),
            })
    }

    /// The log of this home that signs now, if it has begun.
    pub(super) fn log_record(&self) -> Result<Option<LogRecord>, Error> {
        self.settings()?;
        let log = self.load::<LogRecord>(&keyspace::log())?;
        Ok(log
            .filter(|log| !log.ended)
            .map(|log| LogRecord::clone(&log)))
    }

    /// The log of this home. Homes that were made before there was one, and restored ones, begin it here.
    pub(super) fn log_or_begin(&self) -> Result<LogRecord, Error> {
        if let Some(log) = self.log_record()? {
            return Ok(log);
        }
        let settings = self.settings()?;
        let now = self.now();
        let stored = self.store.get(&keyspace::log())?;
        let commit = match &stored {
            Some(value) => Commit::new().expect_equals(keyspace::log(), value.clone()),
            None => Commit::new().expect_absent(keyspace::log()),
        };
        let (follows, commit) = match self.followed(stored.as_ref(), commit) {
            // Reads are no snapshot: somebody may have begun it between them.
            Err(_) if self.store.get(&keyspace::log())? != stored => return self.log_or_begin(),
            followed => followed?,
        };
        let (log, commit, event) = begin(commit, &settings, self.sealer()?, follows, self, now)?;
        self.commit_own(commit, now, vec![event])?;
        Ok(log)
    }

    /// What the log that begins says of one that ended, whose last checkpoint a commit takes away.
    fn followed(&self, ended: Option<&Value>, commit: Commit) -> Result<(Followed, Commit), Error> {
        let Some(ended) = ended else {
            self.never_signed()?;
            return Ok((Followed::default(), commit));
        };
        let ended = LogRecord::decode(&keyspace::log(), ended)?;
        let latest_key = keyspace::log_checkpoint_latest();
        let vkey = Some(ended.vkey.clone()).filter(|vkey| !vkey.is_empty());
        if self.store.get(&latest_key)?.is_none() {
            let follows = Followed { vkey, last: None };
            return Ok((follows, commit));
        }
        // When it ended the keys may have been closed.
        let (stored, signed) = self.last_signed(&ended)?;
        let commit = match stored {
            Some(value) => commit
                .expect_equals(latest_key.clone(), value)
                .delete(latest_key),
            None => commit,
        };
        let last = signed.map(|signed| signed.latest);
        Ok((Followed { vkey, last }, commit))
    }
}

/// What a log goes on from that begins in a restored home.
#[derive(Default)]
pub(crate) struct Followed {
    /// The key of the one that ended.
    vkey: Option<String>,
    /// What that one signed last.
    last: Option<LogCheckpoint>,
}

/// Adds a new log to a commit: its record, its sealed key, and what to tell of it.
pub(crate) fn begin(
    commit: Commit,
    settings: &Settings,
    sealer: &Sealer,
    follows: Followed,
    service: &Service,
    now: Time,
) -> Result<(LogRecord, Commit, Event), Error> {
    let key = PrivateKey::generate(KeySpec::Ed25519)?;
    let origin = format!(
        "{}/{}",
        slug(&settings.name),
        hex::encode(draw::<4>(&*service.entropy))
    );
    let bits = key
        .public_key()
        .key_bits()
        .try_into()
        .map_err(|_| Error::internal("an Ed25519 key of another length"))?;
    let vkey = VerifierKey::new(&origin, bits)
        .map_err(|error| Error::internal(error.to_string()))?
        .to_string();
    let log = LogRecord {
        origin: origin.clone(),
        vkey: vkey.clone(),
        created: now,
        ended: false,
    };
    let place = keyspace::log_key();
    let sealed = SealedSecret {
        sealed: sealer.seal(place.as_bytes(), key.pkcs8(), &*service.entropy),
    };
    let commit = commit
        .put(keyspace::log(), log.encode()?)
        .put(place, sealed.encode()?);
    let (follows_size, follows_note) = match follows.last {
        Some(last) => (Some(last.size), Some(last.note)),
        None => (None, None),
    };
    let event = Event::LogKeyCreated {
        origin,
        vkey,
        follows: follows.vkey,
        follows_size,
        follows_note,
    };
    Ok((log, commit, event))
}

/// The home's name as a part of a URL has it: the log's name has neither spaces nor a plus.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    match slug.trim_end_matches('-') {
        "" => "bowline".into(),
        slug => slug.into(),
    }
}

/// A tile as the store keeps it.
pub(super) fn tile_record(tile: Tile, hashes: &[Hash]) -> Result<(Key, Value), Error> {
    let mut bytes = Vec::with_capacity(1 + tile.bytes());
    bytes.push(TILE_FORMAT);
    bytes.extend(hashes.iter().flatten());
    let value = Value::new(bytes).map_err(|limit| Error::RecordTooLong {
        what: "tile",
        limit,
    })?;
    Ok((keyspace::log_tile(tile.level, tile.index)?, value))
}

/// What is hashed of an event: the stored text, without the byte that names the record's format.
pub(super) fn entry_of(number: u64, value: &Value) -> Result<Vec<u8>, Error> {
    match value.as_bytes().split_first() {
        Some((_, entry)) => Ok(entry.to_vec()),
        None => Err(Error::LogDamaged {
            reason: format!("event {number} is empty"),
        }),
    }
}

pub(super) fn missing_event(number: u64) -> Error {
    Error::LogDamaged {
        reason: format!("event {number} is missing, and later ones are there"),
    }
}

/// The first byte of a stored tile.
const TILE_FORMAT: u8 = 1;
/// How many events are read at a time: at 64 KiB each at the very most 16 MiB.
pub(super) const EVENTS_PAGE: usize = 256;
/// How many full tiles go into a commit, 8 KiB each: under the store's 64 operations and 1 MiB.
const TILES_A_COMMIT: usize = 32;
/// How often signing begins again because somebody else signed meanwhile.
const ATTEMPTS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Caller, Initialize, Operation, SystemClock, SystemEntropy, UnsealKey};
    use bowline_store::{MemoryStore, Store};
    use std::sync::Arc;

    #[test]
    fn every_home_name_makes_a_name_for_a_log() {
        assert_eq!(slug("Example Corp."), "example-corp");
        assert_eq!(slug("  a + b  "), "a-b");
        assert_eq!(slug("Ünï"), "n");
        assert_eq!(slug("日本"), "bowline");
    }

    #[test]
    fn a_home_that_goes_on_from_a_backup_begins_a_log_of_another_name_and_key() {
        let store = Arc::new(MemoryStore::new());
        let unseal = UnsealKey::generate(&SystemEntropy).0;
        let service = Service::new(
            store.clone(),
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
            Some(unseal),
        );
        let begin = |service: &Service| service.begin_log_again(Commit::new(), false).unwrap();
        assert_eq!(begin(&service), Commit::new());
        let home = Initialize {
            name: "Test".into(),
            url: None,
            account: "000000000000".into(),
            region: "us-east-1".into(),
            issuing_p384: false,
            offline_root: None,
        };
        home.run(&service, &Caller::Operator).unwrap();
        let old = service.log_key().unwrap().unwrap();
        let signed = service.sign_log_checkpoint().unwrap();

        store.commit(begin(&service)).unwrap();
        assert_eq!(service.log_key().unwrap(), None);
        assert_eq!(service.log_checkpoint().unwrap(), None);
        assert_eq!(service.log_tile("0/000.p/2").unwrap(), None);

        let again = service.sign_log_checkpoint().unwrap();
        let new = service.log_key().unwrap().unwrap();
        assert_ne!((&again.origin, &new), (&signed.origin, &old));
        assert_eq!(again.size, 3);
        let begun = store.get(&keyspace::event(3).unwrap()).unwrap().unwrap();
        let text = String::from_utf8_lossy(begun.as_bytes()).into_owned();
        assert!(text.contains(&format!("\"follows\":\"{old}\"")), "{text}");
        // What the old log signed proves nothing of the new one, at the same size either.
        let key = VerifierKey::parse(&new).unwrap();
        assert!(Checkpoint::open(&again.note, &key).is_ok());
        assert!(Checkpoint::open(&signed.note, &key).is_err());
        let ask = crate::ProveConsistency { from: 2, to: None };
        let proof = ask.run(&service, &Caller::Operator).unwrap();
        assert_eq!(proof.from_checkpoint, None);
    }
}
