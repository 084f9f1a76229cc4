//! The trace that the interposer writes, and the disks that a power cut at some point of it can leave: all that
//! was synced, and any part of the rest. (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014.)
//!
//! An `fsync` of a file makes its bytes durable, and by the least that POSIX promises not its name: that takes an
//! `fsync` of the directory (see [`Names`] for what else is tried). `sync_file_range` makes nothing durable.

use crate::dice::Dice;
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Component, Path, PathBuf};

/// One change, in the order of all changes.
#[derive(Debug)]
pub enum Step {
    Create(PathBuf),
    Write {
        path: PathBuf,
        offset: u64,
        data: Vec<u8>,
    },
    Truncate {
        path: PathBuf,
        length: u64,
    },
    SyncBegin {
        path: PathBuf,
        name: u64,
    },
    SyncEnd {
        name: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove(PathBuf),
    Mkdir(PathBuf),
    /// Something the test itself wrote down.
    Mark(u64),
}

/// As in `interpose.c`.
const MAGIC: u32 = 0x6266_6c74;
const MARK: u16 = 100;
const HEADER_BYTES: usize = 24;

/// Writes a mark behind everything that was traced before.
pub fn mark(trace: &Path, number: u64) {
    let mut record = Vec::with_capacity(HEADER_BYTES);
    record.extend_from_slice(&MAGIC.to_ne_bytes());
    record.extend_from_slice(&MARK.to_ne_bytes());
    record.extend_from_slice(&[0; 10]);
    record.extend_from_slice(&number.to_ne_bytes());
    let file = OpenOptions::new().append(true).create(true).open(trace);
    let written = file.and_then(|mut file| file.write_all(&record));
    written.expect("the trace is writable");
}

/// Reads the whole trace.
pub fn read(trace: &Path) -> Vec<Step> {
    let bytes = std::fs::read(trace).expect("the trace is there");
    let mut rest = bytes.as_slice();
    let mut steps = Vec::new();
    while !rest.is_empty() {
        steps.push(read_step(&mut rest));
    }
    steps
}

fn read_step(rest: &mut &[u8]) -> Step {
    let mut take = |length: usize| {
        let (taken, left) = rest.split_at(length);
        *rest = left;
        taken
    };
    let header = take(HEADER_BYTES);
    // Cannot fail below: the header is as long as its parts.
    let short = |at: usize| u16::from_ne_bytes(header[at..at + 2].try_into().expect("two bytes"));
    let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().expect("four bytes"));
    assert_eq!(
        word(0),
        MAGIC,
        "the trace is not what the interposer writes"
    );
    let number = u64::from_ne_bytes(header[16..].try_into().expect("eight bytes"));
    let mut path = |length: usize| {
        let text = std::str::from_utf8(take(length)).expect("our paths are text");
        // `./name` is the same as `name`.
        Path::new(text)
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect()
    };
    let first: PathBuf = path(usize::from(short(6)));
    let second: PathBuf = path(word(8) as usize);
    let data = take(word(12) as usize).to_vec();
    match short(4) {
        1 => Step::Create(first),
        2 => Step::Write {
            path: first,
            offset: number,
            data,
        },
        3 => Step::Truncate {
            path: first,
            length: number,
        },
        4 => Step::SyncBegin {
            path: first,
            name: number,
        },
        5 => Step::SyncEnd { name: number },
        6 => Step::Rename {
            from: first,
            to: second,
        },
        7 => Step::Remove(first),
        8 => Step::Mkdir(first),
        MARK => Step::Mark(number),
        other => panic!("a trace of another interposer: {other}"),
    }
}

/// Of the writes that were not synced and yet reached the disk, so many are torn.
const TORN_PERCENT: u64 = 20;

/// Of the writes that did not, so many made their file longer all the same.
const GROWN_PERCENT: u64 = 10;

/// What a disk writes whole.
const SECTOR_BYTES: usize = 512;

type Node = usize;

/// A change of a file's bytes.
#[derive(Clone, Copy)]
enum Change<'a> {
    Write { offset: u64, data: &'a [u8] },
    Truncate(u64),
}

/// A change of names, all of it or nothing: each says what a name in a directory means from now on.
struct Naming {
    meanings: Vec<(Node, PathBuf, Option<Node>)>,
    /// By each kind of file system, in the order of [`Names`].
    durable: [bool; 2],
}

/// When a name is durable.
#[derive(Clone, Copy, Debug)]
pub enum Names {
    /// When its directory was synced, which is all that POSIX promises.
    WithDirectory,
    /// When anything at all was synced after it, as on ext4 and XFS, whose journals keep the order.
    InOrder,
}

/// A file, or a directory.
struct Contents<'a> {
    directory: bool,
    changes: Vec<Change<'a>>,
    /// So many of the changes are durable, from the first on.
    durable: usize,
}

/// What had happened up to some point, and what of it was durable.
pub struct Disk<'a> {
    nodes: Vec<Contents<'a>>,
    namings: Vec<Naming>,
    /// What every path means while the machine runs.
    paths: BTreeMap<PathBuf, Node>,
    /// Syncs that have begun: the node, its changes and all namings until then.
    syncing: HashMap<u64, (Node, usize, usize)>,
    root: Node,
}

impl<'a> Disk<'a> {
    /// A directory with empty directories in it, all durable.
    pub fn new(root: &Path, inside: &[&Path]) -> Disk<'a> {
        let mut disk = Disk {
            nodes: Vec::new(),
            namings: Vec::new(),
            paths: BTreeMap::new(),
            syncing: HashMap::new(),
            root: 0,
        };
        disk.make(root, true);
        for directory in inside {
            disk.make(directory, true);
        }
        for naming in &mut disk.namings {
            naming.durable = [true; 2];
        }
        disk
    }

    fn make(&mut self, path: &Path, directory: bool) {
        let node = self.nodes.len();
        self.nodes.push(Contents {
            directory,
            changes: Vec::new(),
            durable: 0,
        });
        self.name(&[(path, Some(node))]);
        self.paths.insert(path.to_owned(), node);
    }

    /// Does one step.
    pub fn step(&mut self, step: &'a Step) {
        match step {
            Step::Create(path) => self.make(path, false),
            Step::Mkdir(path) => self.make(path, true),
            Step::Write { path, offset, data } => {
                self.change(
                    path,
                    Change::Write {
                        offset: *offset,
                        data,
                    },
                );
            }
            Step::Truncate { path, length } => self.change(path, Change::Truncate(*length)),
            Step::Rename { from, to } => {
                let node = self.paths.get(from).copied();
                self.name(&[(from, None), (to, node)]);
                // A directory takes everything below it along.
                let moved: Vec<PathBuf> = self
                    .paths
                    .keys()
                    .filter(|path| path.starts_with(from))
                    .cloned()
                    .collect();
                for path in moved {
                    let rest = path.strip_prefix(from).expect("it starts so").to_owned();
                    let target = match rest.as_os_str().is_empty() {
                        true => to.clone(),
                        false => to.join(rest),
                    };
                    if let Some(node) = self.paths.remove(&path) {
                        self.paths.insert(target, node);
                    }
                }
            }
            Step::Remove(path) => {
                if self.paths.remove(path).is_some() {
                    self.name(&[(path, None)]);
                }
            }
            Step::SyncBegin { path, name } => {
                if let Some(node) = self.paths.get(path) {
                    let begun = (*node, self.nodes[*node].changes.len(), self.namings.len());
                    self.syncing.insert(*name, begun);
                }
            }
            Step::SyncEnd { name } => {
                if let Some((node, changes, namings)) = self.syncing.remove(name) {
                    let contents = &mut self.nodes[node];
                    contents.durable = contents.durable.max(changes);
                    for naming in &mut self.namings[..namings] {
                        // A move between directories is durable with the one it goes to.
                        let last = naming.meanings.last();
                        naming.durable[Names::WithDirectory as usize] |=
                            last.is_some_and(|(directory, ..)| *directory == node);
                        naming.durable[Names::InOrder as usize] = true;
                    }
                }
            }
            Step::Mark(_) => {}
        }
    }

    fn change(&mut self, path: &Path, change: Change<'a>) {
        // Files that were there before the trace, or have no name any more, are nothing we compare.
        if let Some(node) = self.paths.get(path) {
            self.nodes[*node].changes.push(change);
        }
    }

    fn name(&mut self, meanings: &[(&Path, Option<Node>)]) {
        let meanings = meanings.iter().filter_map(|(path, node)| {
            let directory = self.paths.get(path.parent()?)?;
            Some((*directory, PathBuf::from(path.file_name()?), *node))
        });
        let meanings: Vec<_> = meanings.collect();
        self.namings.push(Naming {
            meanings,
            durable: [false; 2],
        });
    }

    /// How many changes and namings a power cut could take away now.
    pub fn at_stake(&self) -> usize {
        let changes = self
            .nodes
            .iter()
            .map(|node| node.changes.len() - node.durable);
        changes.sum::<usize>()
            + self
                .namings
                .iter()
                .filter(|naming| naming.durable.contains(&false))
                .count()
    }

    /// Writes one disk that a power cut now could leave. Of what was not synced, each change is kept with so
    /// many percent; some writes are torn.
    pub fn cut(&self, target: &Path, dice: &mut Dice, keep: u64, on: Names) {
        let mut names: BTreeMap<(Node, &Path), Option<Node>> = BTreeMap::new();
        for naming in &self.namings {
            if naming.durable[on as usize] || dice.percent(keep) {
                for (directory, name, node) in &naming.meanings {
                    names.insert((*directory, name), *node);
                }
            }
        }
        self.write_directory(self.root, target, &names, dice, keep);
    }

    fn write_directory(
        &self,
        directory: Node,
        target: &Path,
        names: &BTreeMap<(Node, &Path), Option<Node>>,
        dice: &mut Dice,
        keep: u64,
    ) {
        for ((_, name), node) in
            names.range((directory, Path::new(""))..(directory + 1, Path::new("")))
        {
            let Some(node) = node else { continue };
            let path = target.join(name);
            if self.nodes[*node].directory {
                make_directory(&path);
                self.write_directory(*node, &path, names, dice, keep);
            } else {
                let bytes = self.bytes(*node, dice, keep);
                write_file(&path, &bytes);
            }
        }
    }

    fn bytes(&self, node: Node, dice: &mut Dice, keep: u64) -> Vec<u8> {
        let contents = &self.nodes[node];
        let mut bytes = Vec::new();
        for (at, change) in contents.changes.iter().enumerate() {
            let durable = at < contents.durable;
            let kept = durable || dice.percent(keep);
            match *change {
                Change::Truncate(length) if kept => {
                    bytes.resize(usize::try_from(length).expect("a small file"), 0);
                }
                Change::Truncate(_) => {}
                Change::Write { offset, data } => {
                    let start = usize::try_from(offset).expect("a small file");
                    let end = start + data.len();
                    // A file may have grown by bytes that were never written.
                    if bytes.len() < end && (kept || dice.percent(GROWN_PERCENT)) {
                        bytes.resize(end, 0);
                    }
                    if durable || (kept && !dice.percent(TORN_PERCENT)) {
                        bytes[start..end].copy_from_slice(data);
                    } else if kept {
                        tear(&mut bytes[start..end], start, data, dice);
                    }
                }
            }
        }
        bytes
    }
}

/// Writes a part: up to some byte, or some of the sectors.
fn tear(place: &mut [u8], start: usize, data: &[u8], dice: &mut Dice) {
    if dice.percent(50) {
        let length = dice.index(data.len() + 1);
        place[..length].copy_from_slice(&data[..length]);
        return;
    }
    let mut at = 0;
    while at < data.len() {
        let next = (at + SECTOR_BYTES - (start + at) % SECTOR_BYTES).min(data.len());
        if dice.percent(50) {
            place[at..next].copy_from_slice(&data[at..next]);
        }
        at = next;
    }
}

fn make_directory(path: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(path);
    made.expect("a directory of ours is writable");
}

fn write_file(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(bytes));
    written.expect("a directory of ours is writable");
}
