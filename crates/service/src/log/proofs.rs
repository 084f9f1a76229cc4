//! Operations on the log as a tree: its key, a checkpoint, and proofs that need nobody's word.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::signing::LogCheckpoint;
use super::tile::{TILE_WIDTH, Tile, perfect_root};
use super::tree::{Hash, consistency, inclusion};
use crate::caller::Caller;
use crate::error::Error;
use crate::keyspace;
use crate::operation::Operation;
use crate::record::Record;
use crate::service::Service;

/// Shows what the log is called and the key that verifies it. Needs no permission: the key is public.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowLogKey {}

/// The log of a home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogKey {
    /// What it is called, the first line of its checkpoints.
    pub origin: String,
    /// Its key: `NAME+HASH+KEY` (C2SP signed-note).
    pub vkey: String,
}

impl Operation for ShowLogKey {
    const NAME: &'static str = "show-log-key";
    type Answer = LogKey;

    fn run(self, service: &Service, _caller: &Caller) -> Result<LogKey, Error> {
        let log = service.log_record()?.ok_or(Error::LogNotBegun)?;
        Ok(LogKey {
            origin: log.origin,
            vkey: log.vkey,
        })
    }
}

/// Signs a checkpoint, if there are events that the last one is not over. The log begins with its first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignLogCheckpoint {}

impl Operation for SignLogCheckpoint {
    const NAME: &'static str = "sign-log-checkpoint";
    type Answer = LogCheckpoint;

    fn run(self, service: &Service, caller: &Caller) -> Result<LogCheckpoint, Error> {
        service.authorize(caller, "bowline:SignLogCheckpoint", "*")?;
        service.sign_log_checkpoint()
    }
}

/// Proves that an event is in the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProveEvent {
    /// Its number.
    pub number: u64,
    /// The size of the checkpoint to prove it under, one that was signed. If not given, that of the last one; a new one
    /// is signed where the event came after it.
    #[serde(default)]
    pub size: Option<u64>,
}

/// An event, and the proof that it is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventProof {
    /// Its number. Its index in the tree is one less.
    pub number: u64,
    /// Its exact text: the entry whose hash the proof is about.
    pub entry: String,
    /// The size of the tree.
    pub size: u64,
    /// The hashes from the entry's sibling up to the root's child, base64.
    pub hashes: Vec<String>,
    /// The signed checkpoint.
    pub checkpoint: String,
    /// All of it but the entry in one text (C2SP tlog-proof).
    pub proof: String,
}

impl Operation for ProveEvent {
    const NAME: &'static str = "prove-event";
    type Answer = EventProof;

    fn run(self, service: &Service, caller: &Caller) -> Result<EventProof, Error> {
        service.authorize(caller, "bowline:ReadLog", "*")?;
        let unknown = || Error::EventUnknown {
            number: self.number,
        };
        let index = self.number.checked_sub(1).ok_or_else(unknown)?;
        let there = service.store.get(&keyspace::event(self.number)?)?;
        let entry = super::signing::entry_of(self.number, &there.ok_or_else(unknown)?)?;
        let entry = String::from_utf8(entry).map_err(|_| Error::LogDamaged {
            reason: format!("event {} is no text", self.number),
        })?;
        let checkpoint = match self.size {
            Some(size) => {
                let checkpoint = service.checkpoint_of_size(size)?;
                if checkpoint.size < self.number {
                    return Err(Error::EventAfterCheckpoint {
                        number: self.number,
                        size,
                    });
                }
                checkpoint
            }
            None => match service.latest_checkpoint()? {
                Some(latest) if latest.size >= self.number => LogCheckpoint::clone(&latest),
                Some(_) | None => service.sign_log_checkpoint()?,
            },
        };
        let mut subtree = |height, index| service.log_subtree(height, index);
        let hashes = texts(&inclusion(index, checkpoint.size, &mut subtree)?);
        let mut proof = format!("c2sp.org/tlog-proof@v1\nindex {index}\n");
        for hash in &hashes {
            proof.push_str(hash);
            proof.push('\n');
        }
        proof.push('\n');
        proof.push_str(&checkpoint.note);
        Ok(EventProof {
            number: self.number,
            entry,
            size: checkpoint.size,
            hashes,
            checkpoint: checkpoint.note,
            proof,
        })
    }
}

/// Proves that the log as it was is the beginning of the log as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProveConsistency {
    /// The size it had: 1 or more.
    pub from: u64,
    /// The size of the later checkpoint, one that was signed; the last one if not given.
    #[serde(default)]
    pub to: Option<u64>,
}

/// The proof that one log is the beginning of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyProof {
    /// The smaller size.
    pub from: u64,
    /// The larger size.
    pub to: u64,
    /// The hashes of the proof, base64 (RFC 6962 §2.1.2).
    pub hashes: Vec<String>,
    /// The checkpoint of the smaller size, where one was signed at it.
    pub from_checkpoint: Option<String>,
    /// The checkpoint of the larger size.
    pub to_checkpoint: String,
}

impl Operation for ProveConsistency {
    const NAME: &'static str = "prove-consistency";
    type Answer = ConsistencyProof;

    /// Needs no permission: whoever has the tiles, and they are public, can make this proof himself.
    fn run(self, service: &Service, _caller: &Caller) -> Result<ConsistencyProof, Error> {
        let to = match self.to {
            Some(size) => service.checkpoint_of_size(size)?,
            None => LogCheckpoint::clone(&*service.latest_checkpoint()?.ok_or(Error::LogNotBegun)?),
        };
        if self.from == 0 || self.from > to.size {
            return Err(Error::LogSizesInvalid {
                from: self.from,
                to: to.size,
            });
        }
        let mut subtree = |height, index| service.log_subtree(height, index);
        let hashes = consistency(self.from, to.size, &mut subtree)?;
        let from_checkpoint = match service.checkpoint_of_size(self.from) {
            Ok(checkpoint) => Some(checkpoint.note),
            Err(Error::LogCheckpointUnknown { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(ConsistencyProof {
            from: self.from,
            to: to.size,
            hashes: texts(&hashes),
            from_checkpoint,
            to_checkpoint: to.note,
        })
    }
}

impl Service {
    /// The checkpoint that was signed at a size.
    fn checkpoint_of_size(&self, size: u64) -> Result<LogCheckpoint, Error> {
        let latest = self.latest_checkpoint()?.ok_or(Error::LogNotBegun)?;
        let key = keyspace::log_checkpoint(size)?;
        let found = match self.store.get(&key)? {
            Some(value) => Some(LogCheckpoint::decode(&key, &value)?),
            None => None,
        };
        // A log that ended in this home may have signed at sizes that the present one has not reached.
        found
            .filter(|found| found.origin == latest.origin && found.size <= latest.size)
            .ok_or(Error::LogCheckpointUnknown {
                size,
                latest: latest.size,
            })
    }

    /// The root of a whole subtree of the signed tree, from the tile it lies in.
    fn log_subtree(&self, height: u32, index: u64) -> Result<Hash, Error> {
        let beyond = || Error::internal("a subtree beyond the log");
        let level = u8::try_from(height / 8).map_err(|_| beyond())?;
        let count = 1_usize << (height % 8);
        let first = index.checked_mul(count as u64).ok_or_else(beyond)?;
        // Cannot fail: under 256.
        let start = usize::try_from(first % TILE_WIDTH).map_err(|_| beyond())?;
        let tile = Tile {
            level,
            index: first / TILE_WIDTH,
            width: start + count,
        };
        Ok(perfect_root(&self.tile_hashes(tile)?[start..]))
    }
}

fn texts(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| STANDARD.encode(hash)).collect()
}
