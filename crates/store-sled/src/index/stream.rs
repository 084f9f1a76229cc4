//! The index from one end to the other: made from a sorted stream, and held against one.

use bowline_store::checkpoint::Entry;
use bowline_store::{Key, Value};

use super::tree::{APPLIED, NUMBER, RECORD, SledIndex, encode, name, seal, unseal};
use super::{Damage, Found};
use crate::journal::Position;

/// What of the index is not as the truth has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) kind: DifferenceKind,
    /// The name in the tree.
    name: Vec<u8>,
}

/// How an entry of the index differs from the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DifferenceKind {
    /// It is not there.
    Missing,
    /// It is there, with something else in it.
    Wrong,
    /// It is there, and should not be.
    Unknown,
}

impl Difference {
    /// Whether the entry is a last number, and the key of that or of the record; none if it is neither.
    pub(crate) fn key(&self) -> Option<(bool, &[u8])> {
        match self.name.split_first()? {
            (&RECORD, key) => Some((false, key)),
            (&NUMBER, key) => Some((true, key)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name.split_first() {
            Some((&RECORD, key)) => write!(f, "record {}", key.escape_ascii()),
            Some((&NUMBER, key)) => write!(f, "the last number under {}", key.escape_ascii()),
            _ => write!(f, "entry {}", self.name.escape_ascii()),
        }?;
        f.write_str(match self.kind {
            DifferenceKind::Missing => " is missing",
            DifferenceKind::Wrong => " is not what was written",
            DifferenceKind::Unknown => " was never written, or was deleted",
        })
    }
}

/// A batch of entries on their way into an index that is being made.
#[derive(Default)]
pub(crate) struct Load(sled::Batch);

impl Load {
    pub(crate) fn push(&mut self, entry: &Entry) {
        let (name, value) = sealed(entry);
        self.0.insert(name, value);
    }
}

impl SledIndex {
    /// Takes entries that came in order; with the last of them, what was applied of the journal.
    pub(crate) fn load(&self, mut load: Load, applied: Option<&Position>) -> Found<()> {
        if let Some(position) = applied {
            let name = name(APPLIED, &[]);
            let sealed = seal(&name, &encode(position));
            load.0.insert(name, sealed);
        }
        let tree = self.tree()?;
        self.guarded(|| tree.apply_batch(load.0))
    }

    /// Waits until sled has handed over to the system what it was given.
    pub(crate) fn flush(&self) -> Found<()> {
        let tree = self.tree()?;
        self.guarded(|| tree.flush().map(drop))
    }

    /// Goes through everything in here beside the truth, and shows every difference to `differ`.
    ///
    /// A checksum tells that a value is wrong, but not that one is gone: after a flipped bit sled may open
    /// with fewer records, or older ones, and say nothing.
    pub(crate) fn compare<E: From<Damage>>(
        &self,
        truth: &mut dyn FnMut() -> Result<Option<Entry>, E>,
        differ: &mut dyn FnMut(Difference) -> Result<(), E>,
    ) -> Result<(), E> {
        use DifferenceKind::{Missing, Unknown, Wrong};
        let tree = self.tree()?;
        let from = name(RECORD, &[]);
        let mut entries = self.guarded(|| Ok(tree.range(from..)))?;
        let mut next = || self.guarded(|| entries.next().transpose());
        let mut found = next()?;
        while let Some(entry) = truth()? {
            let (kind, key) = kind_and_key(&entry);
            let expected = name(kind, key.as_bytes());
            while let Some((name, _)) = found.as_ref().filter(|(name, _)| **name < expected[..]) {
                let name = name.to_vec();
                differ(Difference {
                    kind: Unknown,
                    name,
                })?;
                found = next()?;
            }
            let Some((name, bytes)) = found.as_ref().filter(|(name, _)| **name == expected[..])
            else {
                differ(Difference {
                    kind: Missing,
                    name: expected,
                })?;
                continue;
            };
            let holds = match (&entry, unseal(name, bytes)) {
                (Entry::Record(_, value), Some(bytes)) => bytes == value.as_bytes(),
                (Entry::Number(_, number), Some(bytes)) => bytes == number.to_be_bytes(),
                (_, None) => false,
            };
            if !holds {
                differ(Difference {
                    kind: Wrong,
                    name: expected,
                })?;
            }
            found = next()?;
        }
        while let Some((name, _)) = found {
            let name = name.to_vec();
            differ(Difference {
                kind: Unknown,
                name,
            })?;
            found = next()?;
        }
        Ok(())
    }
}

fn kind_and_key(entry: &Entry) -> (u8, &Key) {
    match entry {
        Entry::Record(key, _) => (RECORD, key),
        Entry::Number(prefix, _) => (NUMBER, prefix),
    }
}

fn sealed(entry: &Entry) -> (Vec<u8>, Vec<u8>) {
    let (kind, key) = kind_and_key(entry);
    let name = name(kind, key.as_bytes());
    let sealed = match entry {
        Entry::Record(_, value) => seal(&name, Value::as_bytes(value)),
        Entry::Number(_, number) => seal(&name, &number.to_be_bytes()),
    };
    (name, sealed)
}
