//! The tree in tiles of 256 hashes, as C2SP tlog-tiles serves it.
//!
//! The tile `index` of `level` holds the roots of the whole subtrees of 256^level entries from `index * 256` on. A tile
//! that is not full yet has a width; it is never hashed into the level above.

use super::tree::{HASH_BYTES, Hash, node_hash, root_of_peaks};

/// Hashes of the tree that are stored, served and exported together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Its height in steps of 256: 0 holds the hashes of entries.
    pub level: u8,
    /// Its place from the left.
    pub index: u64,
    /// How many hashes it has: 1 to 256.
    pub width: usize,
}

impl Tile {
    /// Reads a path: `0/x001/x234/067`, or `1/000.p/8` for a tile with 8 hashes. No tile has two paths.
    pub fn parse(path: &str) -> Option<Tile> {
        let (level, rest) = path.split_once('/')?;
        let (index, width) = parse_index(rest)?;
        let level = parse_number(level).filter(|&level| level <= LEVEL_MAX)?;
        Some(Tile {
            level: u8::try_from(level).ok()?,
            index,
            width,
        })
    }

    /// What [`Tile::parse`] reads.
    pub fn path(&self) -> String {
        format!("{}/{}", self.level, index_path(self.index, self.width))
    }

    /// The tile of a level and an index, as wide as it is in a tree of `size` entries; nothing where there is none.
    pub fn of_size(level: u8, index: u64, size: u64) -> Option<Tile> {
        let hashes = hashes_at(level, size);
        let width = hashes.checked_sub(index.checked_mul(TILE_WIDTH)?)?;
        // Cannot fail: at most 256.
        let width = usize::try_from(width.min(TILE_WIDTH)).ok()?;
        (width > 0).then_some(Tile {
            level,
            index,
            width,
        })
    }

    /// The bytes of its hashes.
    pub fn bytes(&self) -> usize {
        self.width * HASH_BYTES
    }
}

/// Entries that are served together: those whose hashes are one tile of level 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryBundle {
    /// Its place from the left.
    pub index: u64,
    /// How many entries it has: 1 to 256.
    pub width: usize,
}

impl EntryBundle {
    /// Reads a path: `x001/x234/067`, or `000.p/8`.
    pub fn parse(path: &str) -> Option<EntryBundle> {
        parse_index(path).map(|(index, width)| EntryBundle { index, width })
    }

    /// What [`EntryBundle::parse`] reads.
    pub fn path(&self) -> String {
        index_path(self.index, self.width)
    }

    /// The entries in the bytes of a bundle, if they are nothing else.
    pub fn entries(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk::<2>()?;
            let (entry, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
            entries.push(entry);
            bytes = rest;
        }
        Some(entries)
    }
}

/// Adds an entry to the bytes of a bundle, behind its length. Says no where it is too long for one.
#[must_use]
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else {
        return false;
    };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    true
}

/// How many hashes a level has in a tree of `size` entries.
pub fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

/// The hashes in the bytes of a tile.
pub fn hashes(bytes: &[u8]) -> Vec<Hash> {
    let (hashes, _) = bytes.as_chunks::<HASH_BYTES>();
    hashes.to_vec()
}

/// The root over hashes whose number is a power of two.
pub fn perfect_root(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node_hash(left, right),
                // Does not happen for a power of two, and nothing is lost if it does.
                rest => rest[0],
            })
            .collect();
    }
    row.first().copied().unwrap_or_else(super::tree::empty_root)
}

/// The tiles at the right end of a tree: on every level the hashes since the last full tile. All that growing needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// The edge of an empty tree.
    pub fn new() -> Edge {
        Edge::default()
    }

    /// The edge of a tree of `size` entries, from the hashes of its tiles that are not full. Nothing where their number is wrong.
    pub fn from_levels(size: u64, levels: Vec<Vec<Hash>>) -> Option<Edge> {
        let right = |(level, hashes): (usize, &Vec<Hash>)| {
            let level = u8::try_from(level).unwrap_or(u8::MAX);
            hashes.len() as u64 == hashes_at(level, size) % TILE_WIDTH
        };
        let next = u8::try_from(levels.len()).ok()?;
        (hashes_at(next, size) == 0 && levels.iter().enumerate().all(right))
            .then_some(Edge { size, levels })
    }

    /// Adds an entry's hash; gives every tile that is full now, lowest first.
    pub fn push(&mut self, leaf: Hash, full: &mut dyn FnMut(Tile, &[Hash])) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0..=LEVEL_MAX {
            let level = level as u8;
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Vec::with_capacity(TILE_HASHES));
            }
            let hashes = &mut self.levels[usize::from(level)];
            hashes.push(hash);
            if hashes.len() < TILE_HASHES {
                return;
            }
            let tile = Tile {
                level,
                index: hashes_at(level, self.size) / TILE_WIDTH - 1,
                width: TILE_HASHES,
            };
            full(tile, hashes);
            hash = perfect_root(hashes);
            hashes.clear();
        }
    }

    /// How many entries the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The tiles that are not full, lowest first.
    pub fn tiles(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        self.levels
            .iter()
            .enumerate()
            .filter(|(_, hashes)| !hashes.is_empty())
            .map(|(level, hashes)| {
                let level = level as u8;
                let tile = Tile {
                    level,
                    index: hashes_at(level, self.size) / TILE_WIDTH,
                    width: hashes.len(),
                };
                (tile, hashes.as_slice())
            })
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let mut peaks = Vec::new();
        for hashes in self.levels.iter().rev() {
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                let (whole, after) = rest.split_at(1 << rest.len().ilog2());
                peaks.push(perfect_root(whole));
                rest = after;
            }
        }
        root_of_peaks(&peaks)
    }
}

/// Digits in groups of three, each but the last behind an `x`; then the width, where the tile is not full.
fn index_path(index: u64, width: usize) -> String {
    let mut path = format!("{:03}", index % 1_000);
    let mut rest = index / 1_000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1_000);
        rest /= 1_000;
    }
    if width < TILE_HASHES {
        path = format!("{path}.p/{width}");
    }
    path
}

fn parse_index(path: &str) -> Option<(u64, usize)> {
    let (digits, width) = match path.split_once(".p/") {
        Some((digits, width)) => {
            let width = usize::try_from(parse_number(width)?).ok()?;
            if !(1..TILE_HASHES).contains(&width) {
                return None;
            }
            (digits, width)
        }
        None => (path, TILE_HASHES),
    };
    let mut index: u64 = 0;
    let mut groups = digits.split('/').peekable();
    let mut first = true;
    while let Some(group) = groups.next() {
        let group = match groups.peek() {
            Some(_) => group.strip_prefix('x')?,
            None => group,
        };
        if group.len() != 3 || !group.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: u64 = group.parse().ok()?;
        // A leading group of zeros would be a second path of the same tile.
        if first && number == 0 && groups.peek().is_some() {
            return None;
        }
        first = false;
        index = index.checked_mul(1_000)?.checked_add(number)?;
    }
    Some((index, width))
}

/// A decimal number without leading zeros.
pub(crate) fn parse_number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    plain.then(|| digits.parse().ok()).flatten()
}

/// How many hashes a full tile has.
pub const TILE_HASHES: usize = 256;
/// [`TILE_HASHES`], where sizes of trees are counted.
pub const TILE_WIDTH: u64 = 256;
/// The highest level a path may name (C2SP tlog-tiles). Trees end at level 7: there are not more entries than `u64` counts.
const LEVEL_MAX: u64 = 63;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tree::{Frontier, leaf_hash};
    use proptest::prelude::*;

    fn tile(level: u8, index: u64, width: usize) -> Tile {
        Tile {
            level,
            index,
            width,
        }
    }

    #[test]
    fn a_path_is_what_the_standard_writes() {
        assert_eq!(tile(0, 1_234_067, 256).path(), "0/x001/x234/067");
        assert_eq!(tile(2, 0, 1).path(), "2/000.p/1");
        assert_eq!(tile(0, 273, 112).path(), "0/273.p/112");
        assert_eq!(
            EntryBundle {
                index: 5,
                width: 256
            }
            .path(),
            "005"
        );
        assert_eq!(
            tile(63, u64::MAX, 255).path(),
            "63/x018/x446/x744/x073/x709/x551/615.p/255"
        );
    }

    #[test]
    fn a_second_spelling_of_a_path_is_none() {
        for path in [
            "",
            "0",
            "0/",
            "/000",
            "00/000",
            "64/000",
            "0/0",
            "0/00",
            "0/0000",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/08",
            "0/000.p/",
            "0/000.p",
            "0/000/001",
            "0/x000/001",
            "0/x001",
            "0/x001/x002",
            "0/001/",
            "-1/000",
            "0/+01",
            "0/ 01",
            "0/000.p/1/2",
            "0/000.p/1.p/2",
            "0/x018/x446/x744/x073/x709/x551/616",
            "0/x999/x999/x999/x999/x999/x999/x999/999",
            "a/000",
        ] {
            assert_eq!(Tile::parse(path), None, "{path}");
        }
    }

    #[test]
    fn widths_are_those_of_the_standards_example() {
        assert_eq!(Tile::of_size(0, 272, 70_000), Some(tile(0, 272, 256)));
        assert_eq!(Tile::of_size(0, 273, 70_000), Some(tile(0, 273, 112)));
        assert_eq!(Tile::of_size(0, 274, 70_000), None);
        assert_eq!(Tile::of_size(1, 0, 70_000), Some(tile(1, 0, 256)));
        assert_eq!(Tile::of_size(1, 1, 70_000), Some(tile(1, 1, 17)));
        assert_eq!(Tile::of_size(2, 0, 70_000), Some(tile(2, 0, 1)));
        assert_eq!(Tile::of_size(3, 0, 70_000), None);
        assert_eq!(Tile::of_size(1, 0, 256), Some(tile(1, 0, 1)));
        assert_eq!(Tile::of_size(0, 1, 256), None);
        assert_eq!(Tile::of_size(63, 0, u64::MAX), None);
        assert_eq!(Tile::of_size(0, u64::MAX, u64::MAX), None);
        assert_eq!(Tile::of_size(7, 0, u64::MAX), Some(tile(7, 0, 255)));
    }

    #[test]
    fn an_edge_has_the_root_of_its_leaves_and_gives_every_full_tile() {
        let (mut edge, mut tree) = (Edge::new(), Frontier::new());
        let mut full = Vec::new();
        for n in 0..66_000_u64 {
            let leaf = leaf_hash(&n.to_be_bytes());
            tree.push(leaf);
            edge.push(leaf, &mut |tile, hashes| {
                assert_eq!(hashes.len(), 256);
                full.push((tile.level, tile.index));
            });
            if n % 97 == 0 || n % 256 == 255 {
                assert_eq!(edge.root(), tree.root(), "{n}");
                let levels: Vec<_> = edge.levels.clone();
                assert_eq!(Edge::from_levels(n + 1, levels).as_ref(), Some(&edge));
            }
        }
        assert_eq!(edge.root(), tree.root());
        assert_eq!(full.iter().filter(|(level, _)| *level == 0).count(), 257);
        assert_eq!(full.iter().filter(|(level, _)| *level == 1).count(), 1);
        for (tile, _) in edge.tiles() {
            assert_eq!(Tile::of_size(tile.level, tile.index, 66_000), Some(tile));
        }
        assert_eq!(edge.tiles().count(), 3);
        assert_eq!(Edge::from_levels(66_001, edge.levels.clone()), None);
        assert_eq!(Edge::from_levels(66_000, edge.levels[..2].to_vec()), None);
    }

    #[test]
    fn a_bundle_gives_back_its_entries() {
        let mut bundle = Vec::new();
        let longest = vec![7; 65_535];
        assert!(push_entry(&mut bundle, b""));
        assert!(push_entry(&mut bundle, b"one"));
        assert!(push_entry(&mut bundle, &longest));
        assert!(!push_entry(&mut bundle, &[7; 65_536]));
        assert_eq!(
            EntryBundle::entries(&bundle),
            Some(vec![&b""[..], b"one", &longest])
        );
        assert_eq!(&bundle[..7], b"\0\0\0\x03one");
        assert_eq!(EntryBundle::entries(&bundle[..bundle.len() - 1]), None);
        assert_eq!(EntryBundle::entries(&[0]), None);
    }

    proptest! {
        #[test]
        fn every_path_names_one_tile(level in 0..=63_u8, index: u64, width in 1..=256_usize) {
            let tile = tile(level, index, width);
            prop_assert_eq!(Tile::parse(&tile.path()), Some(tile));
        }

        #[test]
        fn whatever_reads_as_a_path_is_written_the_same(path in "[0-9]{1,2}/(x[0-9]{3}/){0,3}[0-9]{3}(\\.p/[0-9]{1,3})?") {
            if let Some(tile) = Tile::parse(&path) {
                prop_assert_eq!(tile.path(), path);
            }
        }
    }
}
