//! The lines of an exported log: what they are, how they are written, and how they are read with bounded memory.
//!
//! An export is lines of JSON: a header; before every 256 events the tiles over them, highest first; the events with
//! their exact text; and at the end the signed checkpoint that all of it stands under.

use std::io::{self, BufRead};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::tile::{TILE_HASHES, Tile, hashes};
use super::tree::{HASH_BYTES, Hash};

/// What an export says of itself before it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// The form of the lines.
    pub(crate) format: u8,
    /// The name of the log.
    pub(crate) origin: String,
    /// Its key.
    pub(crate) vkey: String,
    /// How many events it has.
    pub(crate) size: u64,
    /// The time of the last event, as that event has it.
    pub(crate) until: Option<String>,
}

/// A line of an export.
#[derive(Debug)]
pub(crate) enum Line<'a> {
    /// The header.
    Header(Header),
    /// A tile with its hashes.
    Tile(Tile, Vec<Hash>),
    /// An event: its number and its exact text.
    Event(u64, &'a str),
    /// The signed checkpoint.
    Checkpoint(String),
    /// Something else, or something broken.
    Unreadable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form<'a> {
    log: Option<Header>,
    number: Option<u64>,
    #[serde(borrow)]
    entry: Option<&'a RawValue>,
    tile: Option<TileForm>,
    checkpoint: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TileForm {
    level: u8,
    index: u64,
    hashes: String,
}

impl<'a> Line<'a> {
    /// Reads a line without its end.
    pub(crate) fn parse(line: &'a [u8]) -> Line<'a> {
        // To JSON it is a space; others see two lines.
        if line.contains(&b'\r') {
            return Line::Unreadable;
        }
        let Ok(form) = serde_json::from_slice::<Form<'_>>(line) else {
            return Line::Unreadable;
        };
        match form {
            Form {
                log: Some(header),
                number: None,
                entry: None,
                tile: None,
                checkpoint: None,
            } => Line::Header(header),
            Form {
                log: None,
                number: Some(number),
                entry: Some(entry),
                tile: None,
                checkpoint: None,
            } => Line::Event(number, entry.get()),
            Form {
                log: None,
                number: None,
                entry: None,
                tile: Some(tile),
                checkpoint: None,
            } => tile.read().unwrap_or(Line::Unreadable),
            Form {
                log: None,
                number: None,
                entry: None,
                tile: None,
                checkpoint: Some(checkpoint),
            } => Line::Checkpoint(checkpoint),
            _ => Line::Unreadable,
        }
    }
}

impl TileForm {
    fn read(&self) -> Option<Line<'static>> {
        let bytes = STANDARD.decode(&self.hashes).ok()?;
        let width = bytes.len() / HASH_BYTES;
        if bytes.len() % HASH_BYTES != 0 || !(1..=TILE_HASHES).contains(&width) {
            return None;
        }
        let tile = Tile {
            level: self.level,
            index: self.index,
            width,
        };
        Some(Line::Tile(tile, hashes(&bytes)))
    }
}

/// Writes the header.
pub(crate) fn push_header(output: &mut Vec<u8>, header: &Header) -> serde_json::Result<()> {
    #[derive(Serialize)]
    struct Form<'a> {
        log: &'a Header,
    }
    push(output, &Form { log: header })
}

/// Writes a tile.
pub(crate) fn push_tile(output: &mut Vec<u8>, tile: Tile, bytes: &[u8]) -> serde_json::Result<()> {
    #[derive(Serialize)]
    struct Form {
        tile: TileForm,
    }
    let tile = TileForm {
        level: tile.level,
        index: tile.index,
        hashes: STANDARD.encode(bytes),
    };
    push(output, &Form { tile })
}

/// Writes an event with its exact text, which is JSON on one line.
pub(crate) fn push_event(output: &mut Vec<u8>, number: u64, entry: &str) {
    output.extend_from_slice(format!("{{\"number\":{number},\"entry\":").as_bytes());
    output.extend_from_slice(entry.as_bytes());
    output.extend_from_slice(b"}\n");
}

/// Writes the checkpoint.
pub(crate) fn push_checkpoint(output: &mut Vec<u8>, note: &str) -> serde_json::Result<()> {
    #[derive(Serialize)]
    struct Form<'a> {
        checkpoint: &'a str,
    }
    push(output, &Form { checkpoint: note })
}

fn push(output: &mut Vec<u8>, form: &impl Serialize) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *output, form)?;
    output.push(b'\n');
    Ok(())
}

/// Reads lines one at a time, and of no line more than the longest that an export can have.
pub(crate) struct Lines<'a> {
    input: &'a mut dyn BufRead,
    line: Vec<u8>,
    number: u64,
    bytes: u64,
    torn: bool,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(input: &'a mut dyn BufRead) -> Lines<'a> {
        Lines {
            input,
            line: Vec::new(),
            number: 0,
            bytes: 0,
            torn: false,
        }
    }

    /// The next line, if there is one with an end. What follows the last line end is no line: see [`Lines::torn`].
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut too_long = false;
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                return Ok(None);
            }
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let taken = end.unwrap_or(buffer.len());
            if self.line.len() + taken > LINE_BYTES_MAX {
                too_long = true;
            } else {
                self.line.extend_from_slice(&buffer[..taken]);
            }
            let consumed = taken + usize::from(end.is_some());
            self.input.consume(consumed);
            self.bytes += consumed as u64;
            self.torn = end.is_none();
            if end.is_some() {
                break;
            }
        }
        self.number += 1;
        Ok(Some(match too_long {
            true => Line::Unreadable,
            false => Line::parse(&self.line),
        }))
    }

    /// Whether there is something behind the last line end, once there is no next line: the rest of what was cut off, or
    /// something that was put there.
    pub(crate) fn torn(&self) -> bool {
        self.torn
    }

    /// The number of the line that was read last, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// How many bytes were read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The form that is written and read.
pub(crate) const FORMAT: u8 = 1;
/// The longest line: an entry has at most 64 KiB and goes out as it is; a tile and a checkpoint are shorter.
const LINE_BYTES_MAX: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_reads_as_it_was_written() {
        let header = Header {
            format: FORMAT,
            origin: "test/1".into(),
            vkey: "k".into(),
            size: 2,
            until: None,
        };
        let tile = Tile {
            level: 0,
            index: 7,
            width: 2,
        };
        let entry = r#"{"at":"now","text":"a\nb"}"#;
        let mut written = Vec::new();
        push_header(&mut written, &header).unwrap();
        push_tile(&mut written, tile, &[9; 64]).unwrap();
        push_event(&mut written, 3, entry);
        push_checkpoint(&mut written, "a\nb\n").unwrap();
        let length = written.len() as u64;
        let mut input = written.as_slice();
        let mut lines = Lines::new(&mut input);
        assert!(matches!(lines.next().unwrap(), Some(Line::Header(read)) if read == header));
        assert!(
            matches!(lines.next().unwrap(), Some(Line::Tile(read, hashes)) if read == tile && hashes == [[9; 32]; 2])
        );
        assert!(matches!(lines.next().unwrap(), Some(Line::Event(3, read)) if read == entry));
        assert!(matches!(lines.next().unwrap(), Some(Line::Checkpoint(note)) if note == "a\nb\n"));
        assert!(lines.next().unwrap().is_none());
        assert!(!lines.torn());
        assert_eq!((lines.number(), lines.bytes()), (4, length));
    }

    #[test]
    fn a_line_without_its_end_is_none_and_one_of_every_length_is_bounded() {
        let mut input = &b"{\"checkpoint\":\"x\"}"[..];
        let mut lines = Lines::new(&mut input);
        assert!(lines.next().unwrap().is_none());
        assert!(lines.torn());
        let long = [
            vec![b'a'; 3 * LINE_BYTES_MAX],
            b"\n{\"checkpoint\":\"x\"}\n".to_vec(),
        ]
        .concat();
        let mut input = io::BufReader::with_capacity(1_000, long.as_slice());
        let mut lines = Lines::new(&mut input);
        assert!(matches!(lines.next().unwrap(), Some(Line::Unreadable)));
        assert!(lines.line.capacity() <= 2 * LINE_BYTES_MAX);
        assert!(matches!(lines.next().unwrap(), Some(Line::Checkpoint(_))));
    }

    #[test]
    fn what_is_two_things_or_none_does_not_read() {
        for line in [
            "",
            "{}",
            "null",
            r#"{"number":1}"#,
            r#"{"entry":{}}"#,
            r#"{"number":1,"entry":{},"checkpoint":"x"}"#,
            r#"{"number":1,"number":2,"entry":{}}"#,
            r#"{"number":-1,"entry":{}}"#,
            r#"{"number":1,"entry":{}} x"#,
            "{\"number\":1,\r\"entry\":{}}",
            "{\"number\":1,\"entry\":{}}\r",
            r#"{"number":1,"entry":{},"more":1}"#,
            r#"{"tile":{"level":0,"index":0,"hashes":""}}"#,
            r#"{"tile":{"level":0,"index":0,"hashes":"AAAA"}}"#,
            r#"{"tile":{"level":0,"index":0}}"#,
        ] {
            assert!(
                matches!(Line::parse(line.as_bytes()), Line::Unreadable),
                "{line}"
            );
        }
    }
}
