//! The log's tree against the definitions of RFC 6962, its published vectors, and every flipped bit.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use sha2::{Digest, Sha256};
use weightproof_circuits::error::ErrorCode;
use weightproof_ledger::log::{
    Hash, LogError, Tree, empty_root, leaf_hash, verify_consistency, verify_inclusion,
};

fn seeded(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(0x5eed), failure_persistence: None, ..Config::default() }
}

/// The definitions of RFC 6962, sections 2.1 to 2.1.2, word for word and as slow as they are.
mod definition {
    use super::*;

    pub fn node(left: Hash, right: Hash) -> Hash {
        Sha256::digest([&[1][..], &left, &right].concat()).into()
    }

    /// The largest power of two below `n`, which is at least 2.
    pub fn split(n: u64) -> u64 {
        1 << (63 - (n - 1).leading_zeros())
    }

    fn halves(leaves: &[Hash]) -> (&[Hash], &[Hash]) {
        leaves.split_at(split(leaves.len() as u64) as usize)
    }

    /// `MTH(D[n])`
    pub fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = halves(leaves);
                node(root(left), root(right))
            }
        }
    }

    /// `PATH(m, D[n])`
    pub fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = halves(leaves);
        let (mut path, sibling) = match m.checked_sub(left.len()) {
            None => (path(m, left), root(right)),
            Some(m) => (path(m, right), root(left)),
        };
        path.push(sibling);
        path
    }

    /// `SUBPROOF(m, D[n], b)`
    pub fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if whole { Vec::new() } else { vec![root(leaves)] };
        }
        let (left, right) = halves(leaves);
        let (mut proof, sibling) = if m <= left.len() {
            (subproof(m, left, whole), root(right))
        } else {
            (subproof(m - left.len(), right, false), root(left))
        };
        proof.push(sibling);
        proof
    }

    /// The root to which `PATH(m, D[n])` leads, undone from its end.
    pub fn root_by_path(leaf: Hash, m: u64, n: u64, path: &[Hash]) -> Option<Hash> {
        if m >= n {
            return None;
        }
        if n == 1 {
            return path.is_empty().then_some(leaf);
        }
        let (sibling, path) = path.split_last()?;
        let k = split(n);
        Some(match m.checked_sub(k) {
            None => node(root_by_path(leaf, m, k, path)?, *sibling),
            Some(m) => node(*sibling, root_by_path(leaf, m, n - k, path)?),
        })
    }

    /// The old and the new root to which `SUBPROOF(m, D[n], b)` leads, undone from its end.
    fn roots_by_proof(old_root: Hash, m: u64, n: u64, whole: bool, proof: &[Hash]) -> Option<(Hash, Hash)> {
        if m == n {
            return match proof {
                [] if whole => Some((old_root, old_root)),
                [same] if !whole => Some((*same, *same)),
                _ => None,
            };
        }
        let (sibling, proof) = proof.split_last()?;
        let k = split(n);
        Some(if m <= k {
            let (old, new) = roots_by_proof(old_root, m, k, whole, proof)?;
            (old, node(new, *sibling))
        } else {
            let (old, new) = roots_by_proof(old_root, m - k, n - k, false, proof)?;
            (node(*sibling, old), node(*sibling, new))
        })
    }

    pub fn includes(leaf: Hash, m: u64, n: u64, path: &[Hash], root: Hash) -> bool {
        root_by_path(leaf, m, n, path) == Some(root)
    }

    pub fn continues(m: u64, old: Hash, n: u64, new: Hash, proof: &[Hash]) -> bool {
        let empty = root(&[]);
        match m {
            0 => old == empty && proof.is_empty() && (n > 0 || new == empty),
            _ => m <= n && roots_by_proof(old, m, n, true, proof) == Some((old, new)),
        }
    }
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count as u64).map(|index| leaf_hash(&index.to_le_bytes())).collect()
}

fn hash(digits: &str) -> Hash {
    bytes(digits).try_into().unwrap()
}

fn bytes(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// Every hash that differs from this one in one bit.
fn flips(hash: Hash) -> impl Iterator<Item = Hash> {
    (0..256).map(move |bit| {
        let mut flipped = hash;
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

/// Every proof that differs from this one in one bit, or in one hash more or less.
fn changed_proofs(proof: &[Hash]) -> impl Iterator<Item = Vec<Hash>> {
    let flipped = (0..proof.len()).flat_map(move |at| {
        flips(proof[at]).map(move |hash| {
            let mut proof = proof.to_vec();
            proof[at] = hash;
            proof
        })
    });
    flipped.chain(changed_lengths(proof))
}

fn changed_lengths(proof: &[Hash]) -> impl Iterator<Item = Vec<Hash>> {
    let shorter = (0..proof.len()).map(move |at| [&proof[..at], &proof[at + 1..]].concat());
    let longer = (0..=proof.len()).map(move |at| [&proof[..at], &[[7; 32]], &proof[at..]].concat());
    shorter.chain(longer)
}

const SIZES: usize = 64;

#[test]
fn every_size_agrees_with_the_definition() {
    let leaves = leaves(SIZES);
    let tree: Tree = leaves.iter().copied().collect();
    let mut growing = Tree::new();
    for new in 0..=SIZES {
        let root = definition::root(&leaves[..new]);
        assert_eq!((growing.len(), growing.is_empty(), growing.root()), (new as u64, new == 0, root));
        assert_eq!(tree.root_at(new as u64), Ok(root));
        for index in 0..new {
            let proof = tree.inclusion_proof(index as u64, new as u64).unwrap();
            assert_eq!(proof, definition::path(index, &leaves[..new]));
            assert_eq!(proof, growing.inclusion_proof(index as u64, new as u64).unwrap());
            assert_eq!(verify_inclusion(&leaves[index], index as u64, new as u64, &proof, &root), Ok(()));
        }
        for old in 0..=new {
            let proof = tree.consistency_proof(old as u64, new as u64).unwrap();
            let expected =
                if old == 0 { Vec::new() } else { definition::subproof(old, &leaves[..new], true) };
            assert_eq!(proof, expected);
            assert_eq!(proof, growing.consistency_proof(old as u64, new as u64).unwrap());
            let old_root = definition::root(&leaves[..old]);
            assert_eq!(verify_consistency(old as u64, &old_root, new as u64, &root, &proof), Ok(()));
        }
        if let Some(leaf) = leaves.get(new) {
            assert_eq!(growing.append(*leaf), new as u64);
            assert_eq!(growing.leaf(new as u64), Some(*leaf));
            assert_eq!(growing.leaf(new as u64 + 1), None);
        }
    }
    assert_eq!(growing, tree);
}

#[test]
fn every_bit_of_an_inclusion_counts() {
    let leaves = leaves(SIZES);
    let tree: Tree = leaves.iter().copied().collect();
    for size in 1..=SIZES as u64 {
        let root = tree.root_at(size).unwrap();
        for index in 0..size {
            let leaf = tree.leaf(index).unwrap();
            let proof = tree.inclusion_proof(index, size).unwrap();
            let refuses = |leaf: &Hash, index, size, proof: &[Hash], root: &Hash| {
                assert!(verify_inclusion(leaf, index, size, proof, root).is_err(), "{index} of {size}");
            };
            flips(leaf).for_each(|leaf| refuses(&leaf, index, size, &proof, &root));
            flips(root).for_each(|root| refuses(&leaf, index, size, &proof, &root));
            changed_proofs(&proof).for_each(|proof| refuses(&leaf, index, size, &proof, &root));
            for bit in 0..64 {
                refuses(&leaf, index ^ (1 << bit), size, &proof, &root);
                // Not every other size is refused: the way to the root may be the same. The definition says which.
                let size = size ^ (1 << bit);
                let found = verify_inclusion(&leaf, index, size, &proof, &root).is_ok();
                assert_eq!(found, definition::includes(leaf, index, size, &proof, root), "{index} of {size}");
            }
        }
    }
}

#[test]
fn every_bit_of_a_consistency_counts() {
    let leaves = leaves(SIZES);
    let tree: Tree = leaves.iter().copied().collect();
    for new in 0..=SIZES as u64 {
        let new_root = tree.root_at(new).unwrap();
        for old in 0..=new {
            let old_root = tree.root_at(old).unwrap();
            let proof = tree.consistency_proof(old, new).unwrap();
            let refuses = |old, old_root: &Hash, new, new_root: &Hash, proof: &[Hash]| {
                assert!(verify_consistency(old, old_root, new, new_root, proof).is_err(), "{old} to {new}");
            };
            flips(old_root).for_each(|old_root| refuses(old, &old_root, new, &new_root, &proof));
            // Any log continues the empty one.
            if old > 0 || new == 0 {
                flips(new_root).for_each(|new_root| refuses(old, &old_root, new, &new_root, &proof));
            }
            changed_proofs(&proof).for_each(|proof| refuses(old, &old_root, new, &new_root, &proof));
            for bit in 0..64 {
                let other = old ^ (1 << bit);
                for (old, new) in [(other, new), (old, new ^ (1 << bit))] {
                    let found = verify_consistency(old, &old_root, new, &new_root, &proof).is_ok();
                    assert_eq!(
                        found,
                        definition::continues(old, old_root, new, new_root, &proof),
                        "{old} to {new}"
                    );
                }
                // The old size is bound: the way from the root to the last subtree of the old log is its own.
                let found = verify_consistency(other, &old_root, new, &new_root, &proof).is_ok();
                assert!(!found, "{other} in place of {old} to {new}");
            }
        }
    }
}

#[test]
fn a_rewritten_history_is_seen() {
    let honest: Tree = leaves(40).into_iter().collect();
    for changed in 0..20 {
        let mut other = leaves(40);
        other[changed] = leaf_hash(b"another past");
        let other: Tree = other.into_iter().collect();
        let proof = other.consistency_proof(20, 40).unwrap();
        let error =
            verify_consistency(20, &honest.root_at(20).unwrap(), 40, &other.root(), &proof).unwrap_err();
        assert!(matches!(error, LogError::ConsistencyRoot { size: 20, .. }));
        assert_eq!(error.code(), ErrorCode::E504);
    }
}

#[test]
fn refusals_say_what_was_expected_and_found() {
    let tree: Tree = leaves(8).into_iter().collect();
    let (root, leaf) = (tree.root(), tree.leaf(3).unwrap());
    let proof = tree.inclusion_proof(3, 8).unwrap();
    let shown = |result: Result<(), LogError>| {
        let error = result.unwrap_err();
        format!("{}: {error}", error.code())
    };
    assert_eq!(
        shown(verify_inclusion(&leaf, 3, 8, &proof[1..], &root)),
        "E506: expected 3 hashes that prove entry 3 of 8, found 2"
    );
    assert_eq!(
        shown(verify_inclusion(&leaf, 8, 8, &proof, &root)),
        "E103: expected the index of an entry below 8, found 8"
    );
    let found = shown(verify_inclusion(&leaf, 2, 8, &proof, &root));
    assert!(found.starts_with("E506: entry 2 of 8: expected the root "), "{found}");
    assert_eq!(
        shown(verify_consistency(8, &root, 7, &root, &[])),
        "E504: expected a log of at least the 8 entries seen before, found 7"
    );
    assert_eq!(
        shown(verify_consistency(6, &root, 8, &root, &proof[..2])),
        "E504: expected 3 hashes that prove a log of 8 to continue one of 6, found 2"
    );
    assert_eq!(
        shown(tree.root_at(9).map(drop)),
        "E103: expected a size of at most the 8 entries held, found 9"
    );
    assert!(matches!(tree.inclusion_proof(8, 8), Err(LogError::Index { size: 8, index: 8 })));
    assert!(matches!(tree.inclusion_proof(0, 0), Err(LogError::Index { size: 0, index: 0 })));
    assert!(matches!(tree.consistency_proof(5, 4), Err(LogError::Shorter { old: 5, new: 4 })));
    assert!(matches!(tree.consistency_proof(5, u64::MAX), Err(LogError::Size { held: 8, .. })));
}

/// The expected number of hashes that refusals name is the number that proofs have.
#[test]
fn the_length_that_a_refusal_names_is_right() {
    let tree: Tree = leaves(SIZES).into_iter().collect();
    let long = vec![[0; 32]; 80];
    for new in 1..=SIZES as u64 {
        for old in 0..new {
            let found = verify_inclusion(&[0; 32], old, new, &long, &[0; 32]);
            let length = tree.inclusion_proof(old, new).unwrap().len();
            assert!(
                matches!(found, Err(LogError::InclusionLength { expected, .. }) if expected as usize == length)
            );
            let found = verify_consistency(old, &[0; 32], new, &[0; 32], &long);
            let length = tree.consistency_proof(old, new).unwrap().len();
            assert!(
                matches!(found, Err(LogError::ConsistencyLength { expected, .. }) if expected as usize == length)
            );
        }
    }
}

// The reference tree of google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc (kInputs, kSHA256EmptyTreeHash,
// kSHA256Roots, kSHA256Paths, kSHA256Proofs), also in transparency-dev/merkle, testonly/constants.go. The paths' leaves
// are counted from 1 there and from 0 here.
const INPUTS: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
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
const PATHS: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];
const PROOFS: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

#[test]
fn the_published_vectors_come_out() {
    let tree: Tree = INPUTS.iter().map(|input| leaf_hash(&bytes(input))).collect();
    assert_eq!(empty_root(), hash(EMPTY));
    assert_eq!(tree.root_at(0), Ok(hash(EMPTY)));
    for (root, size) in ROOTS.iter().zip(1..) {
        assert_eq!(tree.root_at(size), Ok(hash(root)), "{size}");
    }
    let root = |size: u64| hash(ROOTS[size as usize - 1]);
    for (index, size, path) in PATHS {
        let path: Vec<Hash> = path.iter().map(|digits| hash(digits)).collect();
        assert_eq!(tree.inclusion_proof(index, size).unwrap(), path);
        let leaf = leaf_hash(&bytes(INPUTS[index as usize]));
        assert_eq!(verify_inclusion(&leaf, index, size, &path, &root(size)), Ok(()));
    }
    for (old, new, proof) in PROOFS {
        let proof: Vec<Hash> = proof.iter().map(|digits| hash(digits)).collect();
        assert_eq!(tree.consistency_proof(old, new).unwrap(), proof);
        assert_eq!(verify_consistency(old, &root(old), new, &root(new), &proof), Ok(()));
    }
}

/// Sizes of every magnitude, with the edges often.
fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0u64..70,
        (0u32..64, -1i64..2).prop_map(|(shift, by)| (1u64 << shift).wrapping_add_signed(by)),
        Just(u64::MAX),
    ]
}

/// Hashes of few kinds, so that equal ones meet.
fn few_hashes() -> impl Strategy<Value = Vec<Hash>> {
    proptest::collection::vec((0u8..3).prop_map(|byte| [byte; 32]), 0..70)
}

proptest! {
    #![proptest_config(seeded(200))]

    #[test]
    fn larger_trees_agree_with_the_definition(count in 1usize..3000, at in any::<(u16, u16)>()) {
        let leaves = leaves(count);
        let tree: Tree = leaves.iter().copied().collect();
        let new = usize::from(at.0) % count + 1;
        let index = usize::from(at.1) % new;
        let (m, n) = (index as u64, new as u64);
        let root = tree.root_at(n).unwrap();
        prop_assert_eq!(root, definition::root(&leaves[..new]));
        let path = tree.inclusion_proof(m, n).unwrap();
        prop_assert_eq!(&path, &definition::path(index, &leaves[..new]));
        prop_assert_eq!(verify_inclusion(&leaves[index], m, n, &path, &root), Ok(()));
        let proof = tree.consistency_proof(m + 1, n).unwrap();
        prop_assert_eq!(&proof, &definition::subproof(index + 1, &leaves[..new], true));
        prop_assert_eq!(verify_consistency(m + 1, &tree.root_at(m + 1).unwrap(), n, &root, &proof), Ok(()));
    }
}

proptest! {
    #![proptest_config(seeded(20_000))]

    #[test]
    fn hostile_proofs_are_judged_as_the_definition_judges_them(m in size(), n in size(), proof in few_hashes()) {
        // Roots to which the proof does lead, where it leads anywhere: accepted and refused cases are both common.
        let leaf = [1; 32];
        let root = definition::root_by_path(leaf, m, n, &proof).unwrap_or(leaf);
        prop_assert_eq!(
            verify_inclusion(&leaf, m, n, &proof, &root).is_ok(),
            definition::includes(leaf, m, n, &proof, root)
        );
        prop_assert_eq!(
            verify_consistency(m, &leaf, n, &root, &proof).is_ok(),
            definition::continues(m, leaf, n, root, &proof)
        );
    }

}

proptest! {
    #![proptest_config(seeded(2_000))]

    #[test]
    fn proofs_in_logs_too_large_to_hold_verify(n in size(), m in size(), seed in any::<u8>()) {
        let n = n.max(1);
        let m = m % n;
        let leaf = [seed; 32];
        // The one length at which the definition accepts.
        let proof: Vec<Hash> = (0..=64u8).map(|byte| [byte; 32]).collect();
        let accepted: Vec<usize> =
            (0..=64).filter(|&length| definition::root_by_path(leaf, m, n, &proof[..length]).is_some()).collect();
        prop_assert_eq!(accepted.len(), 1);
        for length in 0..=64 {
            let found = match definition::root_by_path(leaf, m, n, &proof[..length]) {
                Some(root) => verify_inclusion(&leaf, m, n, &proof[..length], &root).is_ok(),
                None => !matches!(
                    verify_inclusion(&leaf, m, n, &proof[..length], &leaf),
                    Err(LogError::InclusionLength { expected, .. }) if expected as usize == accepted[0]
                ),
            };
            prop_assert_eq!(found, length == accepted[0]);
        }
    }
}
