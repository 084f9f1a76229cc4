//! What everybody may read of the log: its key, its last checkpoint, the hashes below it; and the entries themselves.

use super::signing::{LogCheckpoint, entry_of, missing_event};
use super::tile::{EntryBundle, TILE_WIDTH, Tile, push_entry};
use crate::cache::Loaded;
use crate::error::Error;
use crate::keyspace;
use crate::service::Service;

impl Service {
    /// The log's key, `NAME+HASH+KEY`, if the log has begun. Public.
    pub fn log_key(&self) -> Result<Option<String>, Error> {
        Ok(self.log_record()?.map(|log| log.vkey))
    }

    /// The last checkpoint that was signed, a note. Public.
    pub fn log_checkpoint(&self) -> Result<Option<String>, Error> {
        Ok(self.latest_checkpoint()?.map(|latest| latest.note.clone()))
    }

    /// The hashes of a tile that is in the last checkpoint's tree, by its path: `0/x001/x234/067`, `1/000.p/8`. Public:
    /// an event has random bytes, so that its hash says nothing of it.
    pub fn log_tile(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(tile) = Tile::parse(path) else {
            return Ok(None);
        };
        let Some(latest) = self.latest_checkpoint()? else {
            return Ok(None);
        };
        match Tile::of_size(tile.level, tile.index, latest.size) {
            Some(whole) if tile.width <= whole.width => self.tile_bytes(tile).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    /// The entries of a bundle that is in the last checkpoint's tree, by its path: `x001/x234/067`, `000.p/8`. They tell
    /// subjects and addresses: for whom, the caller decides.
    pub fn log_entries(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(bundle) = EntryBundle::parse(path) else {
            return Ok(None);
        };
        let Some(latest) = self.latest_checkpoint()? else {
            return Ok(None);
        };
        match Tile::of_size(0, bundle.index, latest.size) {
            Some(whole) if bundle.width <= whole.width => {}
            Some(_) | None => return Ok(None),
        }
        let mut bytes = Vec::new();
        for (number, entry) in self.entries(bundle.index * TILE_WIDTH, bundle.width)? {
            if !push_entry(&mut bytes, &entry) {
                return Err(Error::LogDamaged {
                    reason: format!("event {number} is longer than an entry can be"),
                });
            }
        }
        Ok(Some(bytes))
    }

    /// The last checkpoint of the log that signs now.
    pub(super) fn latest_checkpoint(&self) -> Result<Option<Loaded<LogCheckpoint>>, Error> {
        let Some(log) = self.log_record()? else {
            return Ok(None);
        };
        let latest = self.load::<LogCheckpoint>(&keyspace::log_checkpoint_latest())?;
        Ok(latest.filter(|latest| latest.origin == log.origin))
    }

    /// The entries of exactly so many signed events after one, with their numbers.
    pub(super) fn entries(&self, after: u64, count: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let start = keyspace::event(after)?;
        let page = self.store.scan(&keyspace::events(), Some(&start), count)?;
        let mut entries = Vec::with_capacity(count);
        for (number, (key, value)) in (after + 1..).zip(&page) {
            if *key != keyspace::event(number)? {
                return Err(missing_event(number));
            }
            entries.push((number, entry_of(number, value)?));
        }
        if entries.len() < count {
            return Err(missing_event(after + 1 + entries.len() as u64));
        }
        Ok(entries)
    }
}
