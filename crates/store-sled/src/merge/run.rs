//! A sorted run: a part of the journal that did not fit into memory, put aside while a merge goes on.
//!
//! Only the process that wrote it reads it; its checksums are there so that a disk that forgets cannot put
//! anything into a checkpoint. It is removed when it is dropped, or when the home is opened next.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bowline_store::{Key, Value};

use super::{Line, MergeError};
use crate::OpenError;
use crate::journal::Disk;

/// A block is closed once it has this length.
const BLOCK_BYTES: usize = 128 * 1024;

/// The longest block: an entry of the largest size added to one that was not closed yet.
const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + 7 + 512 + 64 * 1024;

const DELETED: u8 = 0;
const WRITTEN: u8 = 1;
const NUMBER: u8 = 2;

/// A run's file.
pub(crate) struct Run {
    path: PathBuf,
    /// How long it is.
    pub(crate) bytes: u64,
}

impl Drop for Run {
    fn drop(&mut self) {
        // One that stays is removed when the home is opened next.
        let _ = fs::remove_file(&self.path);
    }
}

impl Run {
    /// Writes lines that come in order.
    pub(crate) fn write(
        path: PathBuf,
        disk: &dyn Disk,
        next: &mut dyn FnMut() -> Result<Option<Line>, MergeError>,
    ) -> Result<Run, MergeError> {
        let failed = |path: &Path, source| OpenError::io("write", path, source);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| failed(&path, source))?;
        let mut run = Run { path, bytes: 0 };
        let mut block = Vec::with_capacity(2 * BLOCK_BYTES);
        loop {
            let line = next()?;
            let ended = line.is_none();
            if let Some(line) = line {
                push(&mut block, &line);
            }
            if block.len() >= BLOCK_BYTES || ended {
                // An empty block is the end.
                let last = ended && !block.is_empty();
                for payload in [Some(&block[..]), last.then_some(&[][..])]
                    .into_iter()
                    .flatten()
                {
                    let bytes = framed(payload);
                    disk.write(&file, &bytes, run.bytes)
                        .map_err(|source| failed(&run.path, source))?;
                    run.bytes += bytes.len() as u64;
                }
                block.clear();
            }
            if ended {
                return Ok(run);
            }
        }
    }

    /// Reads it from the beginning.
    pub(crate) fn open(self) -> Result<RunReader, MergeError> {
        let file =
            File::open(&self.path).map_err(|source| OpenError::io("open", &self.path, source))?;
        Ok(RunReader {
            run: self,
            input: BufReader::with_capacity(BLOCK_BYTES, file),
            block: Vec::new(),
            used: 0,
            ended: false,
        })
    }
}

/// Gives a run's lines, in order.
pub(crate) struct RunReader {
    run: Run,
    input: BufReader<File>,
    block: Vec<u8>,
    used: usize,
    ended: bool,
}

impl RunReader {
    pub(crate) fn next(&mut self) -> Result<Option<Line>, MergeError> {
        if self.used == self.block.len() && !self.ended {
            self.read_block()
                .map_err(|source| OpenError::io("read back", &self.run.path, source))?;
        }
        if self.ended {
            return Ok(None);
        }
        let mut rest = &self.block[self.used..];
        let left = rest.len();
        let line = take_line(&mut rest).ok_or_else(|| {
            let source = std::io::Error::other("a line does not read");
            OpenError::io("read back", &self.run.path, source)
        })?;
        self.used += left - rest.len();
        Ok(Some(line))
    }

    fn read_block(&mut self) -> std::io::Result<()> {
        let mut head = [0; 8];
        self.input.read_exact(&mut head)?;
        let [a, b, c, d, checksum @ ..] = head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > BLOCK_BYTES_MAX {
            return Err(std::io::Error::other("a block is too long"));
        }
        self.block.resize(length, 0);
        self.input.read_exact(&mut self.block)?;
        self.used = 0;
        self.ended = length == 0;
        match crc32fast::hash(&self.block) == u32::from_be_bytes(checksum) {
            true => Ok(()),
            false => Err(std::io::Error::other("a block's checksum does not hold")),
        }
    }
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + payload.len());
    // The cast holds: a block ends within one entry of 128 KiB.
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(payload).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn push(bytes: &mut Vec<u8>, line: &Line) {
    let (kind, key) = match line {
        Line::Record(key, None) => (DELETED, key),
        Line::Record(key, Some(_)) => (WRITTEN, key),
        Line::Number(key, _) => (NUMBER, key),
    };
    bytes.push(kind);
    // The casts hold: keys have at most 512 bytes, values 64 KiB.
    bytes.extend_from_slice(&(key.len() as u16).to_be_bytes());
    bytes.extend_from_slice(key.as_bytes());
    match line {
        Line::Record(_, None) => {}
        Line::Record(_, Some(value)) => {
            bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
            bytes.extend_from_slice(value.as_bytes());
        }
        Line::Number(_, number) => bytes.extend_from_slice(&number.to_be_bytes()),
    }
}

fn take_line(bytes: &mut &[u8]) -> Option<Line> {
    let [kind] = take(bytes)?;
    let length = u16::from_be_bytes(take(bytes)?).into();
    let key = Key::new(take_slice(bytes, length)?).ok()?;
    match kind {
        DELETED => Some(Line::Record(key, None)),
        WRITTEN => {
            let length = u32::from_be_bytes(take(bytes)?) as usize;
            let value = Value::new(take_slice(bytes, length)?).ok()?;
            Some(Line::Record(key, Some(value)))
        }
        NUMBER => Some(Line::Number(key, u64::from_be_bytes(take(bytes)?))),
        _ => None,
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    take_slice(bytes, N)?.try_into().ok()
}

fn take_slice<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}
