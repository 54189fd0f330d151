//! The tree of RFC 6962, section 2.1:
//!
//! ```text
//! leaf(bytes)       = SHA-256(0x00 ‖ bytes)
//! node(left, right) = SHA-256(0x01 ‖ left ‖ right)
//! root of no leaf   = SHA-256("")
//! root of one leaf  = its hash
//! root of n leaves  = node(root of the first k, root of the rest), k the largest power of two below n
//! ```
//!
//! The last split makes every subtree on the left complete, so its hash never changes once it is there. [`Tree`] keeps
//! those, level by level; whatever else a root or a proof needs is folded from at most one of them a level.
use sha2::{Digest, Sha256};

use super::LogError;

/// A node of the tree.
pub type Hash = [u8; 32];

/// The hash of an entry's bytes.
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    Sha256::new().chain_update([0u8]).chain_update(bytes).finalize().into()
}

/// The root of a log without entries.
pub fn empty_root() -> Hash {
    Sha256::new().finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1u8]).chain_update(left).chain_update(right).finalize().into()
}

/// A node put to the left of what lies right of it, if anything does.
fn join(left: &Hash, right: Option<Hash>) -> Hash {
    right.map_or(*left, |right| node_hash(left, &right))
}

/// A log's tree: append hashes of entries, ask for roots and proofs at any size it ever had.
///
/// Two hashes of memory an entry; appending costs two hashes on average, everything else at most some 64 a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Entries, which is the length of `levels[0]`.
    size: u64,
    /// `levels[k][i]` is the root of the leaves from `i·2^k` up to `(i+1)·2^k`. `levels[k]` holds `⌊size / 2^k⌋` of them,
    /// and there are no empty levels. Every request below relies on it.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// A tree without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the [`leaf_hash`] of an entry and gives the entry's index.
    pub fn append(&mut self, leaf_hash: Hash) -> u64 {
        let index = self.size;
        self.size += 1;
        let mut node = leaf_hash;
        for level in &mut self.levels {
            level.push(node);
            match level.as_slice() {
                [.., left, right] if level.len().is_multiple_of(2) => node = node_hash(left, right),
                _ => return index,
            }
        }
        self.levels.push(vec![node]);
        index
    }

    /// Entries.
    pub fn len(&self) -> u64 {
        self.size
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The hash of an entry, if there is one.
    pub fn leaf(&self, index: u64) -> Option<Hash> {
        self.node(0, index).ok()
    }

    /// The root over all entries.
    pub fn root(&self) -> Hash {
        let peaks = self
            .levels
            .iter()
            .filter(|level| !level.len().is_multiple_of(2))
            .filter_map(|level| level.last());
        peaks.fold(None, |right, left| Some(join(left, right))).unwrap_or_else(empty_root)
    }

    /// The root when there were `size` entries.
    ///
    /// # Errors
    /// [`LogError::Size`] for more entries than there are.
    pub fn root_at(&self, size: u64) -> Result<Hash, LogError> {
        self.holds(size)?;
        match size.checked_sub(1) {
            None => Ok(empty_root()),
            Some(last) => self.subtree(u64::BITS - last.leading_zeros(), 0, size),
        }
    }

    /// The hashes that lead from entry `index` to the root at `size` entries, from the leaf upward.
    ///
    /// # Errors
    /// [`LogError::Size`] for more entries than there are, [`LogError::Index`] for an entry beyond them.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        self.holds(size)?;
        if index >= size {
            return Err(LogError::Index { size, index });
        }
        self.path(0, index, size)
    }

    /// The hashes that show the log of `new` entries to begin with the log of `old` entries. None where that needs no
    /// proof: from the empty log, and from a log to itself.
    ///
    /// # Errors
    /// [`LogError::Size`] for more entries than there are, [`LogError::Shorter`] for `new < old`.
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, LogError> {
        self.holds(new)?;
        if old > new {
            return Err(LogError::Shorter { old, new });
        }
        if old == 0 || old == new {
            return Ok(Vec::new());
        }
        // The last complete subtree of the old log is a node of both; from it the path leads up. Where it is all of the
        // old log, the verifier has it.
        let level = old.trailing_zeros();
        let index = (old >> level) - 1;
        let mut proof = Vec::new();
        if index > 0 {
            proof.push(self.node(level, index)?);
        }
        proof.extend(self.path(level, index, new)?);
        Ok(proof)
    }

    fn holds(&self, size: u64) -> Result<(), LogError> {
        if size > self.size { Err(LogError::Size { held: self.size, asked: size }) } else { Ok(()) }
    }

    /// A complete subtree.
    fn node(&self, level: u32, index: u64) -> Result<Hash, LogError> {
        let found = usize::try_from(level).ok().and_then(|level| self.levels.get(level));
        let found = usize::try_from(index).ok().and_then(|index| found?.get(index));
        found.copied().ok_or(LogError::Hole { level, index })
    }

    /// The root of the leaves from `index·2^level` up to `(index+1)·2^level`, or up to `size` where that comes first.
    fn subtree(&self, level: u32, index: u64, size: u64) -> Result<Hash, LogError> {
        if index < size.checked_shr(level).unwrap_or(0) {
            return self.node(level, index);
        }
        // The binary digits of `size` below `level` are the complete subtrees that fill it, the smallest rightmost.
        let mut root = None;
        for below in (0..level).filter(|below| (size >> below) & 1 == 1) {
            root = Some(join(&self.node(below, (size >> below) - 1)?, root));
        }
        root.ok_or(LogError::Hole { level, index })
    }

    /// The siblings on the way from a node to the root at `size` entries. A node that is last of its level and has no
    /// sibling moves up as it is.
    fn path(&self, mut level: u32, mut index: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        let mut last = size.saturating_sub(1) >> level;
        let mut path = Vec::new();
        while last > 0 {
            let sibling = index ^ 1;
            if sibling <= last {
                path.push(self.subtree(level, sibling, size)?);
            }
            (level, index, last) = (level + 1, index >> 1, last >> 1);
        }
        Ok(path)
    }
}

impl Extend<Hash> for Tree {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaf_hashes: I) {
        for leaf_hash in leaf_hashes {
            self.append(leaf_hash);
        }
    }
}

impl FromIterator<Hash> for Tree {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaf_hashes: I) -> Self {
        let mut tree = Self::new();
        tree.extend(leaf_hashes);
        tree
    }
}

/// How many siblings a node has on its way to the root, when `last` is the last position of its level.
fn siblings(index: u64, last: u64) -> u32 {
    // Below the level where its way meets that of the last node it has a sibling on every level; above, only on the left.
    let met = u64::BITS - (index ^ last).leading_zeros();
    met + index.checked_shr(met).unwrap_or(0).count_ones()
}

/// Checks that the entry with this [`leaf_hash`] is entry `index` of the log with this size and root.
///
/// The steps are those of RFC 9162, section 2.1.3.2. Size and root must come from one signed checkpoint: the proof alone
/// does not bind the size.
///
/// # Errors
/// [`LogError::Index`] for an entry beyond the log, [`LogError::InclusionLength`] for a hash too few or too many,
/// [`LogError::InclusionRoot`] where the proof leads to another root.
pub fn verify_inclusion(
    leaf_hash: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), LogError> {
    // 1. The leaf lies in the tree.
    if index >= size {
        return Err(LogError::Index { size, index });
    }
    let wrong_length =
        || LogError::InclusionLength { index, size, expected: siblings(index, size - 1), found: proof.len() };
    // 2. and 3. Positions on a level: of the node whose hash is known, and of the last one.
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf_hash;
    // 4. Each hash is the sibling on the next level where there is one.
    for sibling in proof {
        if last == 0 {
            return Err(wrong_length());
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    // 5. The proof reaches the root, and it is this one.
    if last != 0 {
        return Err(wrong_length());
    }
    if hash != *root {
        return Err(LogError::InclusionRoot { index, size, expected: *root, found: hash });
    }
    Ok(())
}

/// Checks that the log with the new size and root begins with all of the log with the old size and root.
///
/// The steps are those of RFC 9162, section 2.1.4.2. Every log continues the empty one, and itself; both need an empty
/// proof. Sizes and roots must come from signed checkpoints: the proof alone does not bind the sizes.
///
/// # Errors
/// [`LogError::Shorter`] for a new size below the old one, [`LogError::ConsistencyLength`] for a hash too few or too many,
/// [`LogError::ConsistencyRoot`] where the proof leads to another root than the old or the new one.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), LogError> {
    let (old, new) = (old_size, new_size);
    if old > new {
        return Err(LogError::Shorter { old, new });
    }
    let wrong_length = |expected| LogError::ConsistencyLength { old, new, expected, found: proof.len() };
    let same = |size, expected: &Hash, found: &Hash| {
        if expected == found {
            Ok(())
        } else {
            Err(LogError::ConsistencyRoot { size, expected: *expected, found: *found })
        }
    };
    // Cases that RFC 9162 leaves to the caller.
    if old == 0 || old == new {
        if !proof.is_empty() {
            return Err(wrong_length(0));
        }
        if old == 0 {
            same(0, old_root, &empty_root())?;
        }
        return if old == new { same(new, new_root, old_root) } else { Ok(()) };
    }
    // 2. to 4. The last complete subtree of the old log. Where it is all of the old log, its hash is the old root.
    let level = old.trailing_zeros();
    let (mut node, mut last) = ((old - 1) >> level, (new - 1) >> level);
    let whole = node == 0;
    let expected = siblings(node, last) + u32::from(!whole);
    // 1. and 5.
    let (first, rest) = match proof.split_first() {
        Some((first, rest)) if !whole => (first, rest),
        Some(_) => (old_root, proof),
        None => return Err(wrong_length(expected)),
    };
    let (mut old_hash, mut new_hash) = (*first, *first);
    // 6. Siblings on the left belong to both logs, those on the right to the new one.
    for sibling in rest {
        if last == 0 {
            return Err(wrong_length(expected));
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    // 7.
    if last != 0 {
        return Err(wrong_length(expected));
    }
    same(old, old_root, &old_hash)?;
    same(new, new_root, &new_hash)
}
