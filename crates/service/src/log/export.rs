//! The whole log in a file that verifies without the home: see [`super::lines`] for what stands in it.

use serde::{Deserialize, Serialize};

use super::lines::{FORMAT, Header, push_checkpoint, push_event, push_header, push_tile};
use super::signing::{LogCheckpoint, LogRecord};
use super::tile::{TILE_WIDTH, Tile, hashes_at};
use crate::audit::Event;
use crate::caller::Caller;
use crate::error::Error;
use crate::keyspace;
use crate::operation::{Sink, Transfer};
use crate::service::Service;
use bowline_store::Progress;

/// Gives every event with its exact text, the hashes over them, and the checkpoint they are signed under. What happened
/// since the last checkpoint is signed first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportLog {}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedLog {
    /// What the log is called.
    pub origin: String,
    /// The key that verifies it.
    pub vkey: String,
    /// How many events it has.
    pub size: u64,
    /// The root over them in hex.
    pub root: String,
}

impl Transfer for ExportLog {
    const NAME: &'static str = "export-log";
    type Answer = ExportedLog;

    fn permit(&self, service: &Service, caller: &Caller) -> Result<(), Error> {
        service.authorize(caller, "bowline:ReadLog", "*")
    }

    fn run(
        self,
        service: &Service,
        caller: &Caller,
        sink: &mut dyn Sink,
    ) -> Result<ExportedLog, Error> {
        self.permit(service, caller)?;
        service.tell_copy(caller, Event::LogExported {})?;
        // A home whose keys are sealed exports what it signed while they were not.
        let open = service.unseal.is_some();
        let checkpoint = match open.then(|| service.sign_log_checkpoint()) {
            // The operator gets what was signed before, where the disk takes no more.
            Some(Err(Error::Store(_))) if matches!(caller, Caller::Operator) => None,
            signed => signed.transpose()?,
        };
        let checkpoint = match checkpoint {
            Some(checkpoint) => checkpoint,
            None => LogCheckpoint::clone(&*service.latest_checkpoint()?.ok_or(Error::LogNotBegun)?),
        };
        let log = service.log_record()?.ok_or(Error::LogNotBegun)?;
        Exporting {
            service,
            sink,
            checkpoint: &checkpoint,
            buffer: Vec::new(),
            given: 0,
        }
        .export(&log)?;
        Ok(ExportedLog {
            origin: log.origin,
            vkey: log.vkey,
            size: checkpoint.size,
            root: checkpoint.root,
        })
    }
}

struct Exporting<'a> {
    service: &'a Service,
    sink: &'a mut dyn Sink,
    checkpoint: &'a LogCheckpoint,
    buffer: Vec<u8>,
    given: u64,
}

impl Exporting<'_> {
    fn export(mut self, log: &LogRecord) -> Result<(), Error> {
        let size = self.checkpoint.size;
        let header = Header {
            format: FORMAT,
            origin: log.origin.clone(),
            vkey: log.vkey.clone(),
            size,
            until: self.until(size)?,
        };
        push_header(&mut self.buffer, &header).map_err(unwritten)?;
        for group in 0..size.div_ceil(TILE_WIDTH) {
            self.tiles(group, size)?;
            self.events(group, size)?;
            self.give(((group + 1) * TILE_WIDTH).min(size), size)?;
        }
        push_checkpoint(&mut self.buffer, &self.checkpoint.note).map_err(unwritten)?;
        self.sink.bytes(&self.buffer)
    }

    /// The tiles that begin with a group of 256 events, the highest first.
    fn tiles(&mut self, group: u64, size: u64) -> Result<(), Error> {
        let mut tiles = Vec::new();
        for level in 0..8_u8 {
            let beneath = 1_u64 << (8 * u32::from(level));
            if !group.is_multiple_of(beneath) || hashes_at(level, size) == 0 {
                break;
            }
            tiles.extend(Tile::of_size(level, group / beneath, size));
        }
        for tile in tiles.into_iter().rev() {
            let bytes = self.service.tile_bytes(tile)?;
            push_tile(&mut self.buffer, tile, &bytes).map_err(unwritten)?;
        }
        Ok(())
    }

    /// The events of a group as they are. What is missing or broken is not hidden, and no reason to stop: whoever verifies
    /// is told of it.
    fn events(&mut self, group: u64, size: u64) -> Result<(), Error> {
        let after = group * TILE_WIDTH;
        let start = keyspace::event(after)?;
        let last = (after + TILE_WIDTH).min(size);
        // Cannot fail: at most 256.
        let count = usize::try_from(last - after).unwrap_or(1);
        let page = self
            .service
            .store
            .scan(&keyspace::events(), Some(&start), count)?;
        for (key, value) in page {
            let number = keyspace::event_number(&key).unwrap_or(0);
            if number > last {
                break;
            }
            let entry = value.as_bytes().get(1..).unwrap_or_default();
            let text = String::from_utf8_lossy(entry).replace(['\n', '\r'], " ");
            push_event(&mut self.buffer, number, &text);
            if self.buffer.len() >= CHUNK_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn give(&mut self, events: u64, size: u64) -> Result<(), Error> {
        self.flush()?;
        // Events are of one kind and length, more or less.
        let total = u128::from(self.given) * u128::from(size) / u128::from(events.max(1));
        self.sink.progress(Progress {
            step: "exporting the log",
            done: self.given,
            total: u64::try_from(total).unwrap_or(u64::MAX).max(self.given),
        })
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.sink.bytes(&self.buffer)?;
        self.given += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// The time in the last event.
    fn until(&self, size: u64) -> Result<Option<String>, Error> {
        let value = self.service.store.get(&keyspace::event(size)?)?;
        let entry = value.and_then(|value| {
            let entry = value.as_bytes().get(1..)?.to_vec();
            serde_json::from_slice::<serde_json::Value>(&entry).ok()
        });
        Ok(entry.and_then(|entry| Some(entry.get("at")?.as_str()?.to_owned())))
    }
}

fn unwritten(error: serde_json::Error) -> Error {
    Error::internal(format!("a line of the log could not be written: {error}"))
}

/// How many bytes are given at a time.
const CHUNK_BYTES: usize = 256 * 1024;
