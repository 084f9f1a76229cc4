//! Whether an exported log is the one that was signed: offline, with nothing but the log's key.
//!
//! What is trusted is the signature alone. Under it stands the root, under the root the tiles, under the tiles the
//! events; so whatever was changed differs from what stands above it, and the place where it first differs is its name.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use bowline_store::Progress;
use serde::Deserialize;

use super::changes::{Change, Changes, Found};
use super::checkpoint::{Checkpoint, CheckpointError};
use super::lines::{FORMAT, Header, Line, Lines};
use super::note::{SignedNote, VerifierKey};
use super::tile::{Edge, TILE_HASHES, TILE_WIDTH, Tile, hashes_at, perfect_root};
use super::tree::{Hash, leaf_hash, root_of_peaks};
use super::verdict::{LogError, Tampering, VerifiedLog};

/// Verifies an exported log under the key that `key` names (`NAME+HASH+KEY`), and against an earlier checkpoint of the
/// same log if there is one: without it, whoever holds the log's key could have rewritten all of it. A log that was begun
/// in a restored home tells which one it follows; checkpoints of that one are as good.
///
/// Reads the input once and holds a bounded part of it. Progress counts bytes; how many there are only the caller knows.
pub fn verify_log(
    input: &mut dyn BufRead,
    key: &str,
    since: Option<&str>,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifiedLog, LogError> {
    let key = VerifierKey::parse(key).map_err(LogError::Key)?;
    let since = since.map(|note| Since::read(note, &key)).transpose()?;
    let mut lines = Lines::new(input);
    let Some(Line::Header(header)) = lines.next()? else {
        return Err(LogError::NotALog);
    };
    if header.format != FORMAT {
        return Err(LogError::NewerFormat {
            found: header.format,
        });
    }
    let reading = Reading {
        lines,
        next: None,
        tree: Edge::new(),
        since,
        since_root: None,
        last: String::new(),
        carried: Vec::new(),
        claimed: BTreeMap::new(),
        above: BTreeMap::new(),
        changes: Changes::default(),
        progress,
    };
    reading.verify(&header, &key)
}

/// The earlier checkpoint that a log is held against.
struct Since {
    checkpoint: Checkpoint,
    /// Where the log's own key did not sign it: the note, and why it is not accepted, until the log itself tells that it
    /// follows a log whose key did.
    open: Option<(String, CheckpointError)>,
}

impl Since {
    fn read(note: &str, key: &VerifierKey) -> Result<Since, LogError> {
        let (checkpoint, open) = match Checkpoint::open(note, key) {
            Ok(checkpoint) => (Some(checkpoint), None),
            Err(error) => {
                let read = SignedNote::parse(note).ok();
                let said = read.and_then(|note| Checkpoint::parse(note.unverified_text()));
                // In the log's own name nobody else signs.
                match said.filter(|said| said.origin != key.name()) {
                    Some(said) => (Some(said), Some((note.to_owned(), error))),
                    None => return Err(LogError::Since(error)),
                }
            }
        };
        // Cannot fail: both arms that come here have one.
        let checkpoint = checkpoint.ok_or(LogError::Since(CheckpointError::Text))?;
        Ok(Since { checkpoint, open })
    }

    /// Reads whether an event tells that the log follows the one that signed the note.
    fn follow(&mut self, entry: &str) {
        #[derive(Deserialize)]
        struct Created {
            event: String,
            follows: String,
        }
        let Some((note, _)) = &self.open else { return };
        // Most events are not read as JSON for this.
        if !entry.contains(LOG_KEY_CREATED) {
            return;
        }
        let followed = serde_json::from_str::<Created>(entry)
            .ok()
            .filter(|created| created.event == LOG_KEY_CREATED)
            .and_then(|created| VerifierKey::parse(&created.follows).ok());
        if followed.is_some_and(|key| Checkpoint::open(note, &key).is_ok()) {
            self.open = None;
        }
    }
}

/// A line, kept until it is known whose it is.
enum Next {
    Tile(Tile, Vec<Hash>),
    Event(Found),
    Checkpoint(String),
    Unreadable,
    End,
}

/// How the file ends.
enum Ending {
    /// With this note.
    Checkpoint(String),
    /// With a line that does not read, which must be what became of the checkpoint.
    Broken(u64),
    /// With neither.
    Cut,
}

/// A tile that lies over what is read now.
#[derive(Clone)]
struct Above {
    tile: Tile,
    hashes: Vec<Hash>,
}

struct Reading<'a> {
    lines: Lines<'a>,
    next: Option<Next>,
    /// The tree over the events as they are in the file.
    tree: Edge,
    since: Option<Since>,
    since_root: Option<Hash>,
    /// The text of the last event.
    last: String,
    /// Events that were read and belong to the next tile.
    carried: Vec<Found>,
    /// By level, the tiles that lie over what is read now, as the file has them.
    claimed: BTreeMap<u8, Above>,
    /// By level, those of them that agree with the ones above.
    above: BTreeMap<u8, Above>,
    changes: Changes,
    progress: &'a mut dyn FnMut(Progress),
}

impl Reading<'_> {
    fn verify(mut self, header: &Header, key: &VerifierKey) -> Result<VerifiedLog, LogError> {
        self.grown();
        // 1. Tiles and events, 256 at a time.
        let groups = header.size.div_ceil(TILE_WIDTH);
        let (mut cut, mut absent) = (None, 0);
        for group in 0..groups {
            let line = self.lines.number();
            cut = self.group(group, header.size)?;
            absent = if self.lines.number() == line {
                absent + 1
            } else {
                0
            };
            // A header may promise more events than can ever be looked for one group after the other.
            if absent > ABSENT_GROUPS_MAX {
                cut = Some(self.tree.size());
            }
            if cut.is_some() {
                break;
            }
        }

        // 2. Whatever stands before the checkpoint and belongs nowhere.
        let ending = self.rest(header.size)?;
        if cut.is_some() || matches!(ending, Ending::Cut) {
            let after = cut.unwrap_or_else(|| self.tree.size().min(header.size));
            self.changes.certain(Change::Truncated { after });
        }

        // 3. The signature, and what it is over.
        let checkpoint = match ending {
            Ending::Checkpoint(note) => Checkpoint::open(&note, key)
                .map_err(|error| error.to_string())
                .map(Some),
            Ending::Broken(line) => Err(format!("line {line} does not read")),
            Ending::Cut => Ok(None),
        };
        let checkpoint = checkpoint.unwrap_or_else(|reason| {
            self.changes.certain(Change::Checkpoint { reason });
            None
        });
        self.check_header(header, key, checkpoint.as_ref());
        let mut since = self.since.take();
        let refused = since.as_mut().and_then(|since| since.open.take());
        let since = since.map(|since| since.checkpoint);
        // Proves nothing as long as nobody known has signed it.
        let since = since.as_ref().filter(|_| refused.is_none());
        let whole = checkpoint.as_ref().is_some_and(|checkpoint| {
            checkpoint.size == self.tree.size() && checkpoint.root == self.tree.root()
        });
        self.check_edge();
        if let Some(checkpoint) = &checkpoint
            && !whole
        {
            self.check_root(checkpoint, header.size, since);
        }
        if let (Some(since), Some(checkpoint)) = (since, &checkpoint) {
            self.check_since(since, checkpoint);
        }

        // 4. What it all amounts to.
        match (checkpoint, refused) {
            (Some(_), Some((_, error))) if whole && self.changes.is_empty() => {
                Err(LogError::Since(error))
            }
            (Some(checkpoint), None) if whole && self.changes.is_empty() => Ok(VerifiedLog {
                origin: checkpoint.origin,
                size: checkpoint.size,
                root: hex::encode(checkpoint.root),
                until: header.until.clone(),
                since: since.map(|since| since.size),
            }),
            _ => {
                if self.changes.is_empty() {
                    // The root alone says so: nothing below it can be named.
                    self.changes.range(1..header.size.saturating_add(1));
                }
                let (changes, more) = self.changes.decide(whole);
                Err(LogError::Tampered(Tampering { changes, more }))
            }
        }
    }

    /// Reads the tiles before a group of 256 events, and the events. Where the log ends in it: the last event there is.
    fn group(&mut self, group: u64, size: u64) -> io::Result<Option<u64>> {
        let first = group * TILE_WIDTH + 1;
        let mut top = 0;
        while hashes_at(top + 1, size) > 0 {
            top += 1;
        }
        for level in (1..=top).rev() {
            let beneath = 1_u64 << (8 * u32::from(level));
            if !group.is_multiple_of(beneath) {
                continue;
            }
            let index = group / beneath;
            self.above.remove(&level);
            self.claimed.remove(&level);
            let Some(tile) = Tile::of_size(level, index, size) else {
                continue;
            };
            let Some(hashes) = self.expect(tile)? else {
                continue;
            };
            let said = self.said_above(&tile);
            let claimed = Above { tile, hashes };
            if said.is_some_and(|said| said != perfect_root(&claimed.hashes)) {
                self.changes.disputed(&tile.path());
            } else {
                self.above.insert(level, claimed.clone());
            }
            self.claimed.insert(level, claimed);
        }
        let Some(tile) = Tile::of_size(0, group, size) else {
            return Ok(None);
        };
        let hashes = self.expect(tile)?;
        let mut found = self.events(&tile)?;
        self.carry(&tile, hashes.as_deref(), &mut found, size)?;
        let ends = self.carried.is_empty()
            && matches!(self.next, Some(Next::Checkpoint(_) | Next::End))
            && (found.len() < tile.width || first + (tile.width as u64) <= size);
        let last = self.compare(tile, hashes, &found, ends);
        Ok((ends && last < size).then_some(last))
    }

    /// Holds a group against its tile, and both against what is above. Gives the last event of it that is there.
    fn compare(
        &mut self,
        tile: Tile,
        hashes: Option<Vec<Hash>>,
        found: &[Found],
        ends: bool,
    ) -> u64 {
        let first = tile.index * TILE_WIDTH + 1;
        let events = first..first + tile.width as u64;
        let leaves: Option<Vec<Hash>> = found.iter().map(|found| found.hash).collect();
        let leaves = leaves.filter(|leaves| leaves.len() == tile.width);
        let above = self.said_above(&tile);
        let agrees = |hashes: &[Hash]| above.is_none_or(|above| above == perfect_root(hashes));
        let whole = leaves
            .as_deref()
            .map(|leaves| above.is_some() && agrees(leaves));
        match hashes {
            Some(hashes) if agrees(&hashes) => {
                let last = self
                    .changes
                    .compare(&tile.path(), first, &hashes, found, ends);
                if tile.width < TILE_HASHES {
                    self.above.insert(0, Above { tile, hashes });
                }
                last
            }
            // The events are what stands above, so it is the tile that was changed.
            Some(_) if whole == Some(true) => {
                self.changes.disputed(&tile.path());
                self.changes.differs(&tile.path());
                events.end - 1
            }
            Some(hashes) => {
                if leaves.is_some_and(|leaves| leaves != hashes) {
                    self.changes.differs(&tile.path());
                }
                self.changes.range(events);
                (first + found.len() as u64).saturating_sub(1)
            }
            // Without its tile a group stands or falls whole, and one that is not full with the root.
            None => {
                if whole == Some(false) || whole.is_none() && !ends {
                    self.changes.range(events);
                }
                (first + found.len() as u64).saturating_sub(1)
            }
        }
    }

    /// What the tile above says of a full tile.
    fn said_above(&self, tile: &Tile) -> Option<Hash> {
        let above = self.above.get(&(tile.level + 1))?;
        let place = usize::try_from(tile.index % TILE_WIDTH).ok()?;
        if tile.width < TILE_HASHES || above.tile.index != tile.index / TILE_WIDTH {
            return None;
        }
        above.hashes.get(place).copied()
    }

    /// The hashes of the tile that must come now.
    fn expect(&mut self, tile: Tile) -> io::Result<Option<Vec<Hash>>> {
        loop {
            match self.peek()? {
                Next::Tile(found, _) if (found.level, found.index) == (tile.level, tile.index) => {
                    let fits = found.width == tile.width;
                    let Some(Next::Tile(_, hashes)) = self.next.take() else {
                        return Ok(None);
                    };
                    if !fits {
                        self.changes.certain(Change::Tile { tile: tile.path() });
                    }
                    return Ok(fits.then_some(hashes));
                }
                Next::Tile(found, _) if order(found) < order(&tile) => {
                    let line = self.lines.number();
                    self.changes.certain(Change::Line { line });
                    self.next = None;
                }
                Next::Unreadable => {
                    let line = self.lines.number();
                    self.next = None;
                    let next = self.peek()?;
                    let there = matches!(next, Next::Tile(next, _) if order(next) == order(&tile));
                    if there {
                        self.changes.certain(Change::Line { line });
                        continue;
                    }
                    // It must be what became of the tile.
                    self.changes.certain(Change::Tile { tile: tile.path() });
                    return Ok(None);
                }
                Next::End => return Ok(None),
                Next::Tile(_, _) | Next::Event(_) | Next::Checkpoint(_) => {
                    self.changes.certain(Change::Tile { tile: tile.path() });
                    return Ok(None);
                }
            }
        }
    }

    /// The events up to the next tile or the checkpoint. Of those that are too many for any honest log only a few are held.
    fn events(&mut self, tile: &Tile) -> io::Result<Vec<Found>> {
        let width = tile.width;
        let mut found = std::mem::take(&mut self.carried);
        loop {
            match self.peek()? {
                Next::Event(_) => {}
                // One that came before, once more.
                Next::Tile(again, _) if order(again) <= order(tile) => {
                    let line = self.lines.number();
                    self.changes.certain(Change::Line { line });
                    self.next = None;
                }
                // After as many events as there must be, a broken line is the tile that follows.
                Next::Unreadable if found.len() < width => {
                    self.next = Some(Next::Event(Found {
                        number: 0,
                        hash: None,
                        line: self.lines.number(),
                    }));
                }
                _ => return Ok(found),
            }
            if let Some(Next::Event(event)) = self.next.take() {
                self.grow(&event);
                if found.len() < 2 * TILE_HASHES {
                    found.push(event);
                } else {
                    let last = tile.index * TILE_WIDTH + width as u64;
                    self.changes.surplus(&event, last);
                }
            }
        }
    }

    /// Where the next tile is not there, its events stand behind those of this one: they are kept for it.
    fn carry(
        &mut self,
        tile: &Tile,
        hashes: Option<&[Hash]>,
        found: &mut Vec<Found>,
        size: u64,
    ) -> io::Result<()> {
        let end = (tile.index + 1) * TILE_WIDTH;
        let passed = match self.peek()? {
            Next::Tile(next, _) => order(next).0 > end,
            Next::Checkpoint(_) | Next::End => true,
            Next::Event(_) | Next::Unreadable => false,
        };
        let whole = match (found.get(..tile.width), hashes) {
            (Some(first), Some(hashes)) => first
                .iter()
                .zip(hashes)
                .all(|(found, hash)| found.hash == Some(*hash)),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if passed && whole && end < size {
            self.carried = found.split_off(tile.width);
        }
        Ok(())
    }

    /// Reads to the end. Gives the checkpoint; nothing where the log was cut off before it.
    fn rest(&mut self, size: u64) -> io::Result<Ending> {
        let mut ending = Ending::Cut;
        loop {
            self.peek()?;
            let line = self.lines.number();
            let next = self.next.take();
            if let (
                Ending::Broken(line),
                Some(Next::Tile(..) | Next::Event(_) | Next::Checkpoint(_) | Next::Unreadable),
            ) = (&ending, &next)
            {
                self.changes.certain(Change::Line { line: *line });
                ending = Ending::Cut;
            }
            match next {
                Some(Next::Checkpoint(note)) => {
                    self.nothing_more()?;
                    return Ok(Ending::Checkpoint(note));
                }
                Some(Next::Unreadable) if matches!(ending, Ending::Cut) => {
                    ending = Ending::Broken(line);
                }
                Some(Next::Event(event)) => {
                    self.grow(&event);
                    self.changes.surplus(&event, size);
                }
                Some(Next::End) | None => return Ok(ending),
                Some(Next::Tile(_, _) | Next::Unreadable) => {
                    self.changes.certain(Change::Line { line });
                }
            }
        }
    }

    /// Whatever stands behind the checkpoint was put there, be it a line or not.
    fn nothing_more(&mut self) -> io::Result<()> {
        while self.lines.next()?.is_some() {
            let line = self.lines.number();
            self.changes.certain(Change::Line { line });
        }
        if self.lines.torn() {
            let line = self.lines.number() + 1;
            self.changes.certain(Change::Line { line });
        }
        self.report();
        Ok(())
    }

    fn report(&mut self) {
        (self.progress)(Progress {
            step: "verifying the log",
            done: self.lines.bytes(),
            total: self.lines.bytes(),
        });
    }

    fn peek(&mut self) -> io::Result<&Next> {
        if self.next.is_none() {
            let line = self.lines.number() + 1;
            let next = match self.lines.next()? {
                Some(Line::Tile(tile, hashes)) => Next::Tile(tile, hashes),
                Some(Line::Event(number, entry)) => {
                    self.last.clear();
                    self.last.push_str(entry);
                    if let Some(since) = &mut self.since {
                        since.follow(entry);
                    }
                    Next::Event(Found {
                        number,
                        hash: Some(leaf_hash(entry.as_bytes())),
                        line,
                    })
                }
                Some(Line::Checkpoint(note)) => Next::Checkpoint(note),
                Some(Line::Header(_) | Line::Unreadable) => Next::Unreadable,
                None => Next::End,
            };
            if line.is_multiple_of(PROGRESS_LINES) || matches!(next, Next::End) {
                self.report();
            }
            self.next = Some(next);
        }
        Ok(self.next.as_ref().unwrap_or(&Next::End))
    }

    /// Adds an event to the tree, and holds the tiles that are full with it against those of the file.
    fn grow(&mut self, event: &Found) {
        let Some(hash) = event.hash else { return };
        let (claimed, changes) = (&self.claimed, &mut self.changes);
        self.tree.push(hash, &mut |tile, hashes| {
            if let Some(claim) = claimed.get(&tile.level)
                && claim.tile.index == tile.index
                && claim.hashes != hashes
            {
                changes.differs(&claim.tile.path());
            }
        });
        self.grown();
    }

    /// Holds the tiles that are not full against those of the file.
    fn check_edge(&mut self) {
        for (tile, hashes) in self.tree.tiles() {
            if let Some(claim) = self.claimed.get(&tile.level)
                && claim.tile.index == tile.index
                && claim.hashes != hashes
            {
                self.changes.differs(&claim.tile.path());
            }
        }
    }

    /// Notes the root where the tree has the size of the earlier checkpoint.
    fn grown(&mut self) {
        let size = self.since.as_ref().map(|since| since.checkpoint.size);
        if size == Some(self.tree.size()) {
            self.since_root = Some(self.tree.root());
        }
    }

    fn check_header(
        &mut self,
        header: &Header,
        key: &VerifierKey,
        checkpoint: Option<&Checkpoint>,
    ) {
        let mut differs = |member: &str| {
            self.changes.certain(Change::Header {
                member: member.into(),
            });
        };
        if header.vkey != key.to_string() {
            differs("vkey");
        }
        if header.origin != key.name() {
            differs("origin");
        }
        if checkpoint.is_some_and(|checkpoint| checkpoint.size != header.size) {
            differs("size");
        }
        // Where events are missing, the last one is not there to ask.
        if self.tree.size() == header.size && header.until != time_of(&self.last) {
            differs("until");
        }
    }

    /// The events are not those that were signed. If the tiles are, what differs from them was named; else they too were
    /// made anew, and all that the earlier checkpoint leaves open can be changed.
    fn check_root(&mut self, checkpoint: &Checkpoint, size: u64, since: Option<&Checkpoint>) {
        if checkpoint.size != size || self.root_of_tiles(size) == Some(checkpoint.root) {
            return;
        }
        let proved = since
            .filter(|since| Some(since.root) == self.since_root)
            .map_or(0, |since| since.size);
        if proved < size {
            self.changes.range(proved + 1..size.saturating_add(1));
        }
    }

    /// The root as the tiles at the right end have it.
    fn root_of_tiles(&self, size: u64) -> Option<Hash> {
        let mut peaks = Vec::new();
        for level in (0..8).rev() {
            let count = hashes_at(level, size);
            let width = usize::try_from(count % TILE_WIDTH).ok()?;
            if width == 0 {
                continue;
            }
            let edge = self.above.get(&level)?;
            if edge.tile.index != count / TILE_WIDTH {
                return None;
            }
            let mut rest = edge.hashes.get(..width)?;
            while !rest.is_empty() {
                let (whole, after) = rest.split_at(1 << rest.len().ilog2());
                peaks.push(perfect_root(whole));
                rest = after;
            }
        }
        Some(root_of_peaks(&peaks))
    }

    fn check_since(&mut self, since: &Checkpoint, checkpoint: &Checkpoint) {
        if since.size > checkpoint.size {
            self.changes.certain(Change::Older {
                size: checkpoint.size,
                since: since.size,
            });
        } else if self.since_root != Some(since.root) && !self.changes.touches(since.size) {
            self.changes.certain(Change::Rewritten { size: since.size });
        }
    }
}

/// Where a tile stands in an export: before its first event, the higher before the lower.
fn order(tile: &Tile) -> (u64, u8) {
    let events = 1_u64
        .checked_shl(8 * (u32::from(tile.level) + 1))
        .unwrap_or(u64::MAX);
    (tile.index.saturating_mul(events), u8::MAX - tile.level)
}

/// The time an event has in its text.
fn time_of(entry: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Timed {
        at: String,
    }
    serde_json::from_str::<Timed>(entry)
        .ok()
        .map(|timed| timed.at)
}

/// The event that tells of a log's key, and of the log it follows.
const LOG_KEY_CREATED: &str = "log_key_created";
/// How many groups of events after each other may be missing before the log counts as cut off there.
const ABSENT_GROUPS_MAX: u64 = 1_024;
/// How many lines are read between two reports of progress.
const PROGRESS_LINES: u64 = 4_096;
