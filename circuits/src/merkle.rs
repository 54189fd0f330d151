//! Merkle trees over a dataset's rows, and proofs for many leaves at once.
//!
//! The tree is that of RFC 6962 with SHA-256 and a domain in the leaves:
//!
//! ```text
//! leaf(bytes)       = SHA-256(0x00 ‖ "weightproof merkle leaf" ‖ bytes)
//! node(left, right) = SHA-256(0x01 ‖ left ‖ right)
//! head of n > 1 leaves = node(head of the first k, head of the rest), k the largest power of two below n
//! root              = SHA-256(0x02 ‖ "weightproof merkle root" ‖ n as u64 LE ‖ head)
//! ```
//!
//! The root commits to the number of leaves. Without that, a subtree that holds no opened leaf would stand for any number of
//! them, and a contributor could choose `N`, and with it the shuffle, after seeing the beacon.
//!
//! A multiproof for a set of leaves holds the roots of the largest subtrees without a leaf of the set, from left to
//! right: exactly what is needed, each once, so there is one proof for a set.
use sha2::{Digest, Sha256};

use crate::encoding::{DecodeError, Reader, Writer};

/// A node of the tree.
pub type Hash = [u8; 32];

/// Domain of the leaves.
const LEAF_DOMAIN: &[u8] = b"weightproof merkle leaf";

/// The hash of a leaf's bytes.
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    Sha256::new().chain_update([0u8]).chain_update(LEAF_DOMAIN).chain_update(bytes).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1u8]).chain_update(left).chain_update(right).finalize().into()
}

/// Domain of the root.
const ROOT_DOMAIN: &[u8] = b"weightproof merkle root";

/// Binds a tree's head to its number of leaves.
fn root_hash(leaves: u64, head: &Hash) -> Hash {
    Sha256::new()
        .chain_update([2u8])
        .chain_update(ROOT_DOMAIN)
        .chain_update(leaves.to_le_bytes())
        .chain_update(head)
        .finalize()
        .into()
}

/// Why a tree, a set of leaves or a proof is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// No leaves are asked for, or the tree has none.
    #[error("expected at least one leaf, found none")]
    Empty,
    /// Leaves are not strictly ascending.
    #[error("expected leaf positions in ascending order without repetition, found {found} after {before}")]
    Order {
        /// A position.
        before: u64,
        /// The one that follows it.
        found: u64,
    },
    /// A leaf lies beyond the tree.
    #[error("expected a leaf position below {leaves}, found {found}")]
    Position {
        /// Leaves of the tree.
        leaves: u64,
        /// The position.
        found: u64,
    },
    /// The proof holds too few or too many hashes.
    #[error("expected a proof of {expected} hashes, found {found}")]
    Length {
        /// Hashes that these leaves need.
        expected: usize,
        /// Hashes that are there.
        found: usize,
    },
    /// The leaves are not those of the root.
    #[error("expected leaves of the registered dataset, found leaves of another root")]
    Root,
}

/// The hashes that lead from a set of leaves to the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultiProof {
    /// Roots of the subtrees without a leaf of the set, from left to right.
    pub hashes: Vec<Hash>,
}

impl MultiProof {
    /// Appends the number of hashes and the hashes.
    pub fn write(&self, writer: &mut Writer) {
        writer.varint(self.hashes.len() as u64);
        for hash in &self.hashes {
            writer.raw(hash);
        }
    }

    /// Reads a proof of at most `maximum` hashes.
    ///
    /// # Errors
    /// `E103` for more, and as for [`Reader::count`].
    pub fn read(reader: &mut Reader<'_>, maximum: usize) -> Result<Self, DecodeError> {
        let count = reader.count("Merkle proof", maximum, 32)?;
        let hashes = (0..count).map(|_| reader.array("Merkle hash")).collect::<Result<_, _>>()?;
        Ok(Self { hashes })
    }
}

/// A tree that was built, with all its nodes.
#[derive(Clone, Debug)]
pub struct MerkleTree {
    /// `levels[h][i]` is the root of the leaves `i·2^h .. min((i+1)·2^h, n)`; the last level is the root.
    levels: Vec<Vec<Hash>>,
}

impl MerkleTree {
    /// Builds the tree over the given leaf hashes (see [`leaf_hash`]).
    ///
    /// # Errors
    /// [`MerkleError::Empty`] without leaves.
    pub fn new(leaves: Vec<Hash>) -> Result<Self, MerkleError> {
        if leaves.is_empty() {
            return Err(MerkleError::Empty);
        }
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            // A node without a sibling moves up as it is; that is RFC 6962's split, level by level.
            let above = level
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node_hash(left, right),
                    alone => alone.first().copied().unwrap_or_default(),
                })
                .collect();
            levels.push(above);
        }
        Ok(Self { levels })
    }

    /// Number of leaves.
    pub fn leaves(&self) -> u64 {
        self.levels.first().map_or(0, Vec::len) as u64
    }

    /// The root: head and number of leaves.
    pub fn root(&self) -> Hash {
        root_hash(self.leaves(), &self.head())
    }

    /// The top node, RFC 6962's tree head.
    fn head(&self) -> Hash {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_default()
    }

    /// The proof for strictly ascending positions.
    ///
    /// # Errors
    /// When the positions are none, not ascending or beyond the tree.
    pub fn prove(&self, positions: &[u64]) -> Result<MultiProof, MerkleError> {
        check_positions(self.leaves(), positions)?;
        let mut hashes = Vec::new();
        visit(0, self.leaves(), positions, &mut |start, size| {
            // A whole subtree starts at a multiple of its padded size and is one node of a level.
            let height = size.next_power_of_two().trailing_zeros();
            let place = usize::try_from(start >> height).unwrap_or(usize::MAX);
            if let Some(hash) = self.levels.get(height as usize).and_then(|level| level.get(place)) {
                hashes.push(*hash);
            }
        });
        Ok(MultiProof { hashes })
    }
}

/// Root of the tree over the given leaves' bytes.
///
/// # Errors
/// [`MerkleError::Empty`] without leaves.
pub fn root<'a>(leaves: impl IntoIterator<Item = &'a [u8]>) -> Result<Hash, MerkleError> {
    Ok(MerkleTree::new(leaves.into_iter().map(leaf_hash).collect())?.root())
}

/// How many hashes a proof for these positions holds.
///
/// # Errors
/// When the positions are none, not ascending or beyond the tree.
pub fn proof_length(leaves: u64, positions: &[u64]) -> Result<usize, MerkleError> {
    check_positions(leaves, positions)?;
    let mut length = 0;
    visit(0, leaves, positions, &mut |_, _| length += 1);
    Ok(length)
}

/// The most hashes that a proof for `opened` distinct positions can hold, wherever they lie.
///
/// With `V` inner nodes above the positions, `opened − 1` of them have both children above or at a position, and each other
/// one leaves one child to the proof. At distance `i` from the root there are at most `2^i` nodes and at most one for each
/// position.
pub fn longest_proof(leaves: u64, opened: u64) -> u64 {
    if opened == 0 || opened >= leaves {
        return 0;
    }
    let height = u64::BITS - (leaves - 1).leading_zeros();
    // Below the level that has room for all positions, every level adds one hash a position.
    let full = u64::BITS - (opened - 1).leading_zeros();
    let above = (1u128 << full.min(height)) - 1;
    let below = u128::from(opened) * u128::from(height.saturating_sub(full));
    let most = (above + below).saturating_sub(u128::from(opened - 1));
    // Every hash stands for a leaf at least.
    u64::try_from(most).unwrap_or(u64::MAX).min(leaves - opened)
}

/// Checks that the tree of `leaves` leaves with this root has these bytes at these strictly ascending positions.
///
/// # Errors
/// Everything of [`MerkleError`]; the shape is checked before anything is hashed.
pub fn verify(
    root: &Hash,
    leaves: u64,
    opened: &[(u64, &[u8])],
    proof: &MultiProof,
) -> Result<(), MerkleError> {
    let positions: Vec<u64> = opened.iter().map(|(position, _)| *position).collect();
    let expected = proof_length(leaves, &positions)?;
    if expected != proof.hashes.len() {
        return Err(MerkleError::Length { expected, found: proof.hashes.len() });
    }
    let mut hashes = proof.hashes.iter();
    let found = fold(0, leaves, opened, &mut hashes).map(|head| root_hash(leaves, &head));
    // The length was exact, so the hashes are used up; both are asked so that neither depends on the other.
    if found.as_ref() == Some(root) && hashes.next().is_none() { Ok(()) } else { Err(MerkleError::Root) }
}

fn check_positions(leaves: u64, positions: &[u64]) -> Result<(), MerkleError> {
    if positions.is_empty() || leaves == 0 {
        return Err(MerkleError::Empty);
    }
    for (before, found) in positions.iter().zip(positions.iter().skip(1)) {
        if before >= found {
            return Err(MerkleError::Order { before: *before, found: *found });
        }
    }
    match positions.last() {
        Some(&found) if found >= leaves => Err(MerkleError::Position { leaves, found }),
        _ => Ok(()),
    }
}

/// The largest power of two below `size`, for `size > 1`.
fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// Calls `missing(start, size)` for the largest subtrees without a position, from left to right.
///
/// The recursion is as deep as the tree, at most 64.
fn visit(start: u64, size: u64, positions: &[u64], missing: &mut impl FnMut(u64, u64)) {
    if positions.is_empty() {
        missing(start, size);
    } else if size > 1 {
        let left = split(size);
        let middle = positions.partition_point(|position| position - start < left);
        let (first, second) = positions.split_at(middle);
        visit(start, left, first, missing);
        visit(start + left, size - left, second, missing);
    }
}

/// Root of the subtree of `size` leaves from `start` that holds `opened`; nothing when hashes run out.
fn fold(
    start: u64,
    size: u64,
    opened: &[(u64, &[u8])],
    hashes: &mut std::slice::Iter<'_, Hash>,
) -> Option<Hash> {
    if opened.is_empty() {
        return hashes.next().copied();
    }
    if size <= 1 {
        return opened.first().map(|(_, bytes)| leaf_hash(bytes));
    }
    let left = split(size);
    let middle = opened.partition_point(|(position, _)| position - start < left);
    let (first, second) = opened.split_at(middle);
    let left_root = fold(start, left, first, hashes)?;
    let right_root = fold(start + left, size - left, second, hashes)?;
    Some(node_hash(&left_root, &right_root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaves(count: u64) -> Vec<Vec<u8>> {
        (0..count).map(|index| vec![index as u8; (index % 5) as usize + 1]).collect()
    }

    fn tree(leaves: &[Vec<u8>]) -> MerkleTree {
        MerkleTree::new(leaves.iter().map(|leaf| leaf_hash(leaf)).collect()).unwrap()
    }

    fn opened<'a>(leaves: &'a [Vec<u8>], positions: &[u64]) -> Vec<(u64, &'a [u8])> {
        positions.iter().map(|&position| (position, leaves[position as usize].as_slice())).collect()
    }

    fn subset(bits: u32) -> Vec<u64> {
        (0..32).filter(|position| bits >> position & 1 == 1).collect()
    }

    /// RFC 6962's definition, word for word.
    fn recursive_head(leaves: &[Hash]) -> Hash {
        if let [leaf] = leaves {
            return *leaf;
        }
        let mut k = 1;
        while 2 * k < leaves.len() {
            k *= 2;
        }
        node_hash(&recursive_head(&leaves[..k]), &recursive_head(&leaves[k..]))
    }

    #[test]
    fn the_root_is_pinned_and_recursive() {
        for count in 1..=70 {
            let leaves = leaves(count);
            let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
            let expected = root_hash(count, &recursive_head(&hashes));
            assert_eq!(tree(&leaves).root(), expected, "{count}");
            assert_eq!(root(leaves.iter().map(Vec::as_slice)), Ok(expected));
        }
        let hex: String = tree(&leaves(7)).root().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "37a2e22f55977ac92772101963de4a78c26b4e9a1cfe8e2796c0150661d9620c");
        assert_eq!(MerkleTree::new(Vec::new()).unwrap_err(), MerkleError::Empty);
    }

    #[test]
    fn a_root_opens_under_its_own_number_of_leaves_alone() {
        for count in 2..=9u64 {
            let leaves = leaves(count);
            let tree = tree(&leaves);
            for other in (1..=12).filter(|other| *other != count) {
                // The best that a cheat can do: hashes of the shape that the other number demands, true nodes among them.
                let proof = tree.prove(&[0]).unwrap();
                let length = proof_length(other, &[0]).unwrap();
                let mut hashes = proof.hashes.clone();
                while hashes.len() > length && hashes.len() >= 2 {
                    let right = hashes.pop().unwrap();
                    let left = hashes.pop().unwrap();
                    hashes.push(node_hash(&left, &right));
                }
                hashes.resize(length, [0; 32]);
                let forged = MultiProof { hashes };
                let opened = opened(&leaves, &[0]);
                assert_eq!(
                    verify(&tree.root(), other, &opened, &forged),
                    Err(MerkleError::Root),
                    "{count} as {other}"
                );
                // The control: bound to the other number the same nodes may pass, so the number is what stops them.
                let mut hashes = forged.hashes.iter();
                let head = fold(0, other, &opened, &mut hashes).unwrap();
                assert_eq!(verify(&root_hash(other, &head), other, &opened, &forged), Ok(()));
            }
        }
    }

    #[test]
    fn every_subset_of_small_trees_is_proved_and_nothing_else() {
        for count in 1..=9u64 {
            let leaves = leaves(count);
            let tree = tree(&leaves);
            let root = tree.root();
            for bits in 1..1u32 << count {
                let positions = subset(bits);
                let proof = tree.prove(&positions).unwrap();
                assert_eq!(proof_length(count, &positions), Ok(proof.hashes.len()));
                let opened = opened(&leaves, &positions);
                assert_eq!(verify(&root, count, &opened, &proof), Ok(()));

                assert!(proof.hashes.len() as u64 <= longest_proof(count, positions.len() as u64));

                // A hash changed, spare or missing.
                for index in 0..proof.hashes.len() {
                    let mut changed = proof.clone();
                    changed.hashes[index][31] ^= 1;
                    assert_eq!(verify(&root, count, &opened, &changed), Err(MerkleError::Root));
                    let mut shorter = proof.clone();
                    shorter.hashes.remove(index);
                    let expected = proof.hashes.len();
                    let error = MerkleError::Length { expected, found: expected - 1 };
                    assert_eq!(verify(&root, count, &opened, &shorter), Err(error));
                }
                let mut longer = proof.clone();
                longer.hashes.push([0; 32]);
                assert!(matches!(verify(&root, count, &opened, &longer), Err(MerkleError::Length { .. })));

                // A leaf changed, moved, left out or added.
                for index in 0..opened.len() {
                    let mut changed = opened.clone();
                    changed[index].1 = b"other";
                    assert_eq!(verify(&root, count, &changed, &proof), Err(MerkleError::Root));
                    let mut fewer = opened.clone();
                    fewer.remove(index);
                    assert!(verify(&root, count, &fewer, &proof).is_err());
                }
                for position in (0..count).filter(|position| bits >> position & 1 == 0) {
                    let mut more = opened.clone();
                    let place = more.partition_point(|(other, _)| *other < position);
                    more.insert(place, (position, b"invented"));
                    assert!(verify(&root, count, &more, &proof).is_err());
                    // The same bytes claimed for a neighbouring position.
                    let mut moved = opened.clone();
                    if place < moved.len() {
                        moved[place].0 = position;
                        assert!(verify(&root, count, &moved, &proof).is_err());
                    }
                }

                // Another root or another number of leaves.
                let mut other = root;
                other[0] ^= 1;
                assert_eq!(verify(&other, count, &opened, &proof), Err(MerkleError::Root));
                for wrong in [count - 1, count + 1, 2 * count, 64] {
                    let refused = verify(&root, wrong, &opened, &proof);
                    // A different count may still mean the same tree above the opened leaves only if no hash of the
                    // shape differs; these shapes all differ in a proof hash or in the path of some leaf.
                    if wrong != count && !same_shape(count, wrong, &positions) {
                        assert!(refused.is_err(), "{count} as {wrong}: {positions:?}");
                    }
                }
            }
        }
    }

    /// Whether the paths of these leaves are the same in trees of two sizes, so that one proof fits both.
    fn same_shape(one: u64, other: u64, positions: &[u64]) -> bool {
        fn path(start: u64, size: u64, positions: &[u64], out: &mut String) {
            if positions.is_empty() {
                out.push('#');
            } else if size <= 1 {
                out.push('L');
            } else {
                let left = split(size);
                let (a, b) = positions.split_at(positions.partition_point(|p| p - start < left));
                out.push('(');
                path(start, left, a, out);
                path(start + left, size - left, b, out);
                out.push(')');
            }
        }
        let shape = |size| {
            let mut out = String::new();
            path(0, size, positions, &mut out);
            out
        };
        positions.last().is_some_and(|last| *last < one.min(other)) && shape(one) == shape(other)
    }

    #[test]
    fn positions_are_checked_first() {
        let leaves = leaves(5);
        let tree = tree(&leaves);
        let proof = tree.prove(&[1, 3]).unwrap();
        let check = |opened: &[(u64, &[u8])]| verify(&tree.root(), 5, opened, &proof);
        let (one, three) = (leaves[1].as_slice(), leaves[3].as_slice());
        assert_eq!(check(&[(1, one), (3, three)]), Ok(()));
        assert_eq!(check(&[]), Err(MerkleError::Empty));
        assert_eq!(check(&[(3, three), (1, one)]), Err(MerkleError::Order { before: 3, found: 1 }));
        assert_eq!(check(&[(1, one), (1, one)]), Err(MerkleError::Order { before: 1, found: 1 }));
        assert_eq!(check(&[(1, one), (5, three)]), Err(MerkleError::Position { leaves: 5, found: 5 }));
        assert_eq!(verify(&tree.root(), 0, &[(0, one)], &proof), Err(MerkleError::Empty));
        assert_eq!(tree.prove(&[5]).unwrap_err(), MerkleError::Position { leaves: 5, found: 5 });
        assert_eq!(tree.prove(&[]).unwrap_err(), MerkleError::Empty);
    }

    #[test]
    fn a_node_is_no_leaf() {
        // The two children of the root, offered as the bytes of a single leaf.
        let leaves = leaves(2);
        let tree = tree(&leaves);
        let joined = [leaf_hash(&leaves[0]), leaf_hash(&leaves[1])].concat();
        let forged = verify(&tree.root(), 1, &[(0, &joined)], &MultiProof::default());
        assert_eq!(forged, Err(MerkleError::Root));
    }

    #[test]
    fn the_longest_proof_is_one_for_positions_far_apart() {
        for height in 0..9u32 {
            for power in 0..=height {
                let apart: Vec<u64> = (0..1 << power).map(|place: u64| place << (height - power)).collect();
                let length = proof_length(1 << height, &apart).unwrap() as u64;
                assert_eq!(length, longest_proof(1 << height, 1 << power));
            }
        }
        assert_eq!((longest_proof(u64::MAX, 1), longest_proof(1, 1), longest_proof(5, 0)), (64, 0, 0));
        assert_eq!(longest_proof(1 << 32, 1 << 20), 12 << 20);
    }

    #[test]
    fn the_largest_tree_is_walked_without_harm() {
        let proof = MultiProof { hashes: vec![[0; 32]; 63] };
        assert_eq!(proof_length(u64::MAX, &[0]), Ok(64));
        assert_eq!(proof_length(1 << 63, &[5]), Ok(63));
        assert_eq!(verify(&[0; 32], 1 << 63, &[(5, b"x")], &proof), Err(MerkleError::Root));
        assert_eq!(proof_length(u64::MAX, &[0, u64::MAX - 1]), Ok(125));
    }

    #[test]
    fn proofs_are_read_within_limits() {
        let proof = tree(&leaves(9)).prove(&[4]).unwrap();
        let mut writer = Writer::new();
        proof.write(&mut writer);
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        assert_eq!(MultiProof::read(&mut reader, 4), Ok(proof));
        assert_eq!(reader.finish(), Ok(()));
        let code =
            |bytes: &[u8], maximum| MultiProof::read(&mut Reader::new(bytes), maximum).unwrap_err().code;
        assert_eq!(code(&bytes, 3), crate::error::ErrorCode::E103);
        assert_eq!(code(&bytes[..bytes.len() - 1], 4), crate::error::ErrorCode::E106);
    }

    proptest! {
        #![proptest_config(crate::seeded_cases(64))]
        #[test]
        fn random_sets_of_larger_trees(count in 1u64..300, picks in proptest::collection::btree_set(0u64..300, 1..40)) {
            let leaves = leaves(count);
            let tree = tree(&leaves);
            let positions: Vec<u64> = picks.into_iter().filter(|position| *position < count).collect();
            prop_assume!(!positions.is_empty());
            let proof = tree.prove(&positions).unwrap();
            prop_assert_eq!(verify(&tree.root(), count, &opened(&leaves, &positions), &proof), Ok(()));
        }

        #[test]
        fn arbitrary_proofs_never_panic(
            count in any::<u64>(), shrink in 0u32..64, positions in proptest::collection::vec(any::<u64>(), 0..6),
            hashes in proptest::collection::vec(any::<[u8; 32]>(), 0..8),
        ) {
            let opened: Vec<(u64, &[u8])> = positions.iter().map(|p| (p >> shrink, &b"x"[..])).collect();
            let refused = verify(&[7; 32], count >> shrink, &opened, &MultiProof { hashes });
            prop_assert!(refused.is_err());
        }
    }
}
