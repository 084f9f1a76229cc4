//! The tree over the log: hashes, roots and proofs (RFC 6962 §2.1; verification as in RFC 9162 §2.1).
//!
//! Nothing here reads a store. Who makes a proof gives the hashes of whole subtrees by their place.

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256 hash: of an entry, or of two hashes below it.
pub type Hash = [u8; HASH_BYTES];

/// The hash of an entry. The leading 0 keeps an entry from passing for two hashes.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    hash(&[&[0], entry])
}

/// The hash of two subtrees. The leading 1 keeps two hashes from passing for an entry.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[1], left, right])
}

/// The root of a tree without entries.
pub fn empty_root() -> Hash {
    hash(&[])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; HASH_BYTES];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// The root over peaks: the roots of ever smaller whole subtrees, from left to right.
pub fn root_of_peaks(peaks: &[Hash]) -> Hash {
    let Some((last, rest)) = peaks.split_last() else {
        return empty_root();
    };
    rest.iter()
        .rev()
        .fold(*last, |root, peak| node_hash(peak, &root))
}

/// A tree that grows leaf by leaf, without tiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// A tree without leaves.
    pub fn new() -> Frontier {
        Frontier::default()
    }

    /// Adds a leaf at the right end.
    pub fn push(&mut self, leaf: Hash) {
        let mut subtree = leaf;
        let mut size = self.size;
        while size & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            subtree = node_hash(&left, &subtree);
            size >>= 1;
        }
        self.peaks.push(subtree);
        self.size += 1;
    }

    /// Its root.
    pub fn root(&self) -> Hash {
        root_of_peaks(&self.peaks)
    }
}

/// The hashes that lead from a leaf to the root of a tree of `size` leaves (RFC 6962 §2.1.1), the leaf's sibling first.
///
/// `subtree` gives the root of the whole subtree of a height and an index: the leaves from `index << height` on.
pub fn inclusion<E>(
    index: u64,
    size: u64,
    subtree: &mut dyn FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range(middle, end, subtree)?);
            end = middle;
        } else {
            path.push(range(start, middle, subtree)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The hashes that show a tree of `from` leaves to be the beginning of one of `to` (RFC 6962 §2.1.2). None are needed
/// where either is empty or both are the same.
pub fn consistency<E>(
    from: u64,
    to: u64,
    subtree: &mut dyn FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let mut path = Vec::new();
    if from == 0 || from >= to {
        return Ok(path);
    }
    let (mut start, mut end) = (0, to);
    // While the older tree's root is itself a subtree on the way, whoever verifies knows it.
    let mut known = true;
    while from != end {
        let middle = start + split(end - start);
        if from <= middle {
            path.push(range(middle, end, subtree)?);
            end = middle;
        } else {
            path.push(range(start, middle, subtree)?);
            start = middle;
            known = false;
        }
    }
    if !known {
        path.push(range(start, end, subtree)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether `proof` leads from the leaf at `index` to the root of a tree of `size` leaves.
pub fn verify_inclusion(index: u64, leaf: &Hash, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last) = (index, size - 1);
    let mut subtree = *leaf;
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            subtree = node_hash(sibling, &subtree);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            subtree = node_hash(&subtree, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && subtree == *root
}

/// Whether `proof` shows that the tree of `from` leaves is the beginning of the one of `to`.
pub fn verify_consistency(
    from: u64,
    from_root: &Hash,
    to: u64,
    to_root: &Hash,
    proof: &[Hash],
) -> bool {
    if from == to {
        return proof.is_empty() && from_root == to_root;
    }
    if from == 0 {
        return proof.is_empty() && *from_root == empty_root();
    }
    if from > to {
        return false;
    }
    let (first, rest) = if from.is_power_of_two() {
        (from_root, proof)
    } else {
        match proof.split_first() {
            Some(split) => split,
            None => return false,
        }
    };
    let (mut place, mut last) = (from - 1, to - 1);
    while place & 1 == 1 {
        place >>= 1;
        last >>= 1;
    }
    let (mut older, mut newer) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            older = node_hash(sibling, &older);
            newer = node_hash(sibling, &newer);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            newer = node_hash(&newer, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && older == *from_root && newer == *to_root
}

/// The root over the leaves from `start` to before `end`. Left halves are whole, so only the right edge descends.
fn range<E>(
    start: u64,
    end: u64,
    subtree: &mut dyn FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let mut peaks = Vec::new();
    let mut start = start;
    while start < end {
        let height = (end - start).ilog2();
        peaks.push(subtree(height, start >> height)?);
        start += 1 << height;
    }
    Ok(root_of_peaks(&peaks))
}

/// The largest power of two below `leaves`, of which there are two or more.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// The bytes of a hash.
pub const HASH_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// The entries of the tree that implementations of RFC 6962 are tested with since the first one.
    const ENTRIES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];

    /// Its roots at sizes 1 to 8.
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn leaves() -> Vec<Hash> {
        ENTRIES
            .iter()
            .map(|entry| leaf_hash(&hex::decode(entry).unwrap()))
            .collect()
    }

    fn root(leaves: &[Hash]) -> Hash {
        let mut tree = Frontier::new();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        tree.root()
    }

    fn many(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    fn whole(leaves: &[Hash], height: u32, index: u64) -> Result<Hash, Infallible> {
        let start = (index << height) as usize;
        Ok(root(&leaves[start..start + (1 << height)]))
    }

    fn hexed(path: &[Hash]) -> Vec<String> {
        path.iter().map(hex::encode).collect()
    }

    /// RFC 6962 §2.1 as it is written, without regard to cost.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                node_hash(&defined(left), &defined(right))
            }
        }
    }

    #[test]
    fn the_roots_are_the_published_ones() {
        assert_eq!(
            hex::encode(empty_root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let leaves = leaves();
        for size in 1..=8 {
            assert_eq!(hex::encode(root(&leaves[..size])), ROOTS[size - 1]);
        }
    }

    #[test]
    fn the_inclusion_proofs_are_the_published_ones() {
        let leaves = leaves();
        let path = |index, size: u64| {
            let all = &leaves[..size as usize];
            hexed(&inclusion(index, size, &mut |height, at| whole(all, height, at)).unwrap())
        };
        assert_eq!(path(0, 1), Vec::<String>::new());
        assert_eq!(
            path(0, 8),
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ]
        );
        assert_eq!(
            path(5, 8),
            [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
        assert_eq!(
            path(2, 3),
            ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]
        );
        assert_eq!(
            path(1, 5),
            [
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ]
        );
    }

    #[test]
    fn the_consistency_proofs_are_the_published_ones() {
        let leaves = leaves();
        let path = |from, to: u64| {
            let all = &leaves[..to as usize];
            hexed(&consistency(from, to, &mut |height, at| whole(all, height, at)).unwrap())
        };
        assert_eq!(path(1, 1), Vec::<String>::new());
        assert_eq!(
            path(1, 8),
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ]
        );
        assert_eq!(
            path(6, 8),
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
        assert_eq!(
            path(2, 5),
            [
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ]
        );
    }

    #[test]
    fn every_root_is_the_defined_one() {
        let leaves = many(300);
        for size in 0..=leaves.len() {
            assert_eq!(root(&leaves[..size]), defined(&leaves[..size]), "{size}");
        }
    }

    #[test]
    fn every_inclusion_proof_proves_its_leaf_and_no_other() {
        let leaves = many(70);
        for size in 1..=leaves.len() as u64 {
            let all = &leaves[..size as usize];
            let root = root(all);
            for index in 0..size {
                let path =
                    inclusion(index, size, &mut |height, at| whole(all, height, at)).unwrap();
                let leaf = &all[index as usize];
                assert!(verify_inclusion(index, leaf, size, &root, &path));
                let other = leaf_hash(b"other");
                assert!(!verify_inclusion(index, &other, size, &root, &path));
                assert!(!verify_inclusion(index, leaf, size, &other, &path));
                if size > 1 {
                    assert!(!verify_inclusion(
                        (index + 1) % size,
                        leaf,
                        size,
                        &root,
                        &path
                    ));
                    assert!(!verify_inclusion(index, leaf, size, &root, &path[1..]));
                }
                let longer = [path.clone(), vec![other]].concat();
                assert!(!verify_inclusion(index, leaf, size, &root, &longer));
                assert!(!verify_inclusion(size, leaf, size, &root, &path));
            }
        }
    }

    #[test]
    fn every_consistency_proof_proves_its_pair_and_no_other() {
        let leaves = many(70);
        for to in 1..=leaves.len() as u64 {
            let all = &leaves[..to as usize];
            let newer = root(all);
            for from in 1..=to {
                let older = root(&all[..from as usize]);
                let path = consistency(from, to, &mut |height, at| whole(all, height, at)).unwrap();
                assert!(
                    verify_consistency(from, &older, to, &newer, &path),
                    "{from} {to}"
                );
                let other = leaf_hash(b"other");
                assert!(!verify_consistency(from, &other, to, &newer, &path));
                assert!(!verify_consistency(from, &older, to, &other, &path));
                let longer = [path.clone(), vec![other]].concat();
                assert!(!verify_consistency(from, &older, to, &newer, &longer));
                for index in 0..path.len() {
                    let mut bent = path.clone();
                    bent[index][0] ^= 1;
                    assert!(!verify_consistency(from, &older, to, &newer, &bent));
                }
            }
            assert!(verify_consistency(0, &empty_root(), to, &newer, &[]));
            assert!(!verify_consistency(0, &newer, to, &newer, &[]));
            assert!(!verify_consistency(to + 1, &newer, to, &newer, &[]));
        }
    }

    #[test]
    fn the_largest_sizes_do_not_overflow() {
        let mut same = |_: u32, _: u64| Ok::<Hash, Infallible>([7; 32]);
        assert_eq!(inclusion(0, u64::MAX, &mut same).unwrap().len(), 64);
        assert!(!consistency(3, u64::MAX, &mut same).unwrap().is_empty());
        assert!(!verify_inclusion(
            0,
            &[7; 32],
            u64::MAX,
            &[7; 32],
            &[[7; 32]; 64]
        ));
        assert!(!verify_consistency(
            3,
            &[7; 32],
            u64::MAX,
            &[7; 32],
            &[[7; 32]; 65]
        ));
    }
}
