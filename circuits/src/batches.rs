//! Which rows of a dataset a contribution trains on (specs/protocol/data.md).
//!
//! A stream of permutations of the `N` rows; example `b` of step `k` is element `k·B + b` of the stream. The stream starts
//! afresh in each contribution, and the next permutation follows where one is used up.
//!
//! # To the byte
//!
//! The key is SHA-256 of: the byte 19 and the 19 ASCII bytes of the domain `weightproof batches`, beacon (32), model digest (32), dataset root (32), contributor (32), round (`u64` LE).
//!
//! Permutation `n` = 0, 1, … reads the key stream of IETF ChaCha20 (RFC 8439) under that key, with block counter 0 and
//! the nonce `n` (`u64` LE) ‖ 0⁴, as little-endian `u64` words. A draw below `m` takes the next word `x` with
//! `x < ⌊2^64/m⌋·m`, skipping others, and is `x mod m`.
//!
//! The shuffle is Fisher–Yates from the front: start from `0, 1, …, N−1`; for `i = 0, 1, …, N−1` draw `j` below `N − i`
//! (for `i = N−1` the bound is one; the word is drawn all the same) and swap elements `i` and `i + j`. Element `i` is
//! final after its own draw, so a batch costs as many draws as it has examples, however large the dataset.
use std::collections::BTreeMap;
use std::num::NonZeroU64;

use sha2::Digest;

use crate::draws::Draws;
use crate::encoding::tagged_hash;

/// Most rows of a dataset: an index is a `u32`.
pub const MAXIMUM_ROWS: u64 = 1 << 32;
/// Most examples of a contribution.
pub const MAXIMUM_EXAMPLES: usize = 1 << 20;
/// Up to here a permutation is a plain vector; beyond, only the elements that moved are kept.
const DENSE_ROWS: u64 = 1 << 20;

/// Everything that decides the batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSeed {
    /// The round's beacon, drawn after the dataset was registered.
    pub beacon: [u8; 32],
    /// Digest of the base model.
    pub model_digest: [u8; 32],
    /// Merkle root of the dataset.
    pub dataset_root: [u8; 32],
    /// Public key of the contributor.
    pub contributor: [u8; 32],
    /// Round.
    pub round: u64,
}

/// Why there are no batches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The dataset is empty or too large.
    #[error("E204: expected a dataset of 1 to {MAXIMUM_ROWS} rows, found {0}")]
    Rows(u64),
    /// More examples than any program has.
    #[error("E204: expected at most {MAXIMUM_EXAMPLES} examples, found {steps} steps of {batch}")]
    Examples {
        /// Steps.
        steps: usize,
        /// Examples in a step.
        batch: usize,
    },
}

impl BatchSeed {
    /// The ChaCha20 key, as the [module documentation](self) says.
    pub fn key(&self) -> [u8; 32] {
        tagged_hash("weightproof batches")
            .chain_update(self.beacon)
            .chain_update(self.model_digest)
            .chain_update(self.dataset_root)
            .chain_update(self.contributor)
            .chain_update(self.round.to_le_bytes())
            .finalize()
            .into()
    }
}

/// The rows of a contribution's `steps·batch` examples, step by step, out of `rows`.
///
/// Time and memory are bounded by the number of examples and a constant, whatever `rows` is.
///
/// # Errors
/// When there are no rows, too many rows or too many examples.
pub fn indices(seed: &BatchSeed, rows: u64, steps: usize, batch: usize) -> Result<Vec<u32>, BatchError> {
    if !(1..=MAXIMUM_ROWS).contains(&rows) {
        return Err(BatchError::Rows(rows));
    }
    let total = steps
        .checked_mul(batch)
        .filter(|total| *total <= MAXIMUM_EXAMPLES)
        .ok_or(BatchError::Examples { steps, batch })?;
    if rows == 1 {
        // There is one permutation, whatever is drawn.
        return Ok(vec![0; total]);
    }
    let key = seed.key();
    let mut chosen = Vec::with_capacity(total);
    for number in 0u64.. {
        let missing = (total - chosen.len()) as u64;
        if missing == 0 {
            break;
        }
        let draws = Draws::new(&key, number);
        if rows <= DENSE_ROWS {
            shuffle(draws, rows, missing.min(rows), &mut chosen, (0..rows).collect::<Vec<u64>>());
        } else {
            shuffle(draws, rows, missing.min(rows), &mut chosen, BTreeMap::new());
        }
    }
    Ok(chosen)
}

/// A permutation in the making.
trait Elements {
    /// Swaps elements `i ≤ k` and returns what `i` then holds; `i` is never touched again.
    fn settle(&mut self, i: u64, k: u64) -> u64;
}

impl Elements for Vec<u64> {
    fn settle(&mut self, i: u64, k: u64) -> u64 {
        // Both are below the number of rows, at most DENSE_ROWS.
        self.swap(i as usize, k as usize);
        self[i as usize]
    }
}

/// Elements that are not where they started; any other holds its own place.
impl Elements for BTreeMap<u64, u64> {
    fn settle(&mut self, i: u64, k: u64) -> u64 {
        let own = self.remove(&i).unwrap_or(i);
        if i == k { own } else { self.insert(k, own).unwrap_or(k) }
    }
}

/// The first `count` elements of a permutation of `rows`.
fn shuffle(mut draws: Draws, rows: u64, count: u64, chosen: &mut Vec<u32>, mut elements: impl Elements) {
    for i in 0..count {
        // `i` is below `count`, which is at most `rows`: the bound is at least one.
        let bound = NonZeroU64::new(rows - i).unwrap_or(NonZeroU64::MIN);
        let element = elements.settle(i, i + draws.below(bound));
        // Elements are below MAXIMUM_ROWS.
        chosen.push(element as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(round: u64) -> BatchSeed {
        BatchSeed {
            beacon: [1; 32],
            model_digest: [2; 32],
            dataset_root: [3; 32],
            contributor: [4; 32],
            round,
        }
    }

    #[test]
    fn the_batches_are_pinned() {
        // From an implementation of the module's documentation apart from this code.
        assert_eq!(
            indices(&seed(7), 10, 5, 5).unwrap(),
            [8, 4, 6, 0, 7, 5, 9, 3, 1, 2, 9, 2, 0, 3, 8, 6, 1, 5, 7, 4, 9, 5, 3, 2, 6]
        );
        assert_eq!(
            indices(&seed(7), 1 << 32, 2, 3).unwrap(),
            [865_215_092, 2_673_329_230, 153_258_314, 3_810_687_190, 4_099_138_549, 1_742_242_501]
        );
    }

    #[test]
    fn every_permutation_is_complete() {
        for rows in [1u64, 2, 3, 7, 64, 569] {
            let permutations = 4;
            let chosen = indices(&seed(rows), rows, permutations, rows as usize).unwrap();
            let mut seen = Vec::new();
            for permutation in chosen.chunks(rows as usize) {
                let mut sorted = permutation.to_vec();
                sorted.sort_unstable();
                assert!(sorted.iter().copied().eq(0..rows as u32), "{rows}");
                seen.push(permutation);
            }
            if rows > 5 {
                seen.dedup();
                assert_eq!(seen.len(), permutations, "permutations differ");
            }
        }
    }

    #[test]
    fn a_batch_does_not_depend_on_how_the_stream_is_cut() {
        let whole = indices(&seed(0), 100, 1, 350).unwrap();
        assert_eq!(indices(&seed(0), 100, 350, 1).unwrap(), whole);
        assert_eq!(indices(&seed(0), 100, 7, 10).unwrap(), whole[..70]);
        assert_eq!(indices(&seed(0), 100, 0, 10).unwrap(), []);
    }

    #[test]
    fn both_ways_to_keep_a_permutation_agree() {
        for rows in [1u64, 2, 5, 1_000] {
            for count in [1, rows / 2, rows] {
                let (mut dense, mut sparse) = (Vec::new(), Vec::new());
                let draws = || Draws::new(&[9; 32], 1);
                shuffle(draws(), rows, count, &mut dense, (0..rows).collect::<Vec<_>>());
                shuffle(draws(), rows, count, &mut sparse, BTreeMap::new());
                assert_eq!(dense, sparse);
            }
        }
        // Around the switch the stream is still a permutation's beginning.
        for rows in [DENSE_ROWS, DENSE_ROWS + 1] {
            let mut chosen = indices(&seed(1), rows, 100, 100).unwrap();
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), 10_000, "no row twice");
        }
    }

    #[test]
    fn each_part_of_the_seed_matters() {
        let first = indices(&seed(0), 1_000, 4, 8).unwrap();
        let changes: [fn(&mut BatchSeed); 5] = [
            |seed| seed.beacon[31] ^= 1,
            |seed| seed.model_digest[0] ^= 1,
            |seed| seed.dataset_root[5] ^= 1,
            |seed| seed.contributor[9] ^= 128,
            |seed| seed.round ^= 1 << 63,
        ];
        for change in changes {
            let mut changed = seed(0);
            change(&mut changed);
            assert_ne!(indices(&changed, 1_000, 4, 8).unwrap(), first);
        }
    }

    #[test]
    fn impossible_requests_are_refused() {
        assert_eq!(indices(&seed(0), 0, 1, 1), Err(BatchError::Rows(0)));
        assert_eq!(indices(&seed(0), (1 << 32) + 1, 1, 1), Err(BatchError::Rows((1 << 32) + 1)));
        let many = BatchError::Examples { steps: usize::MAX, batch: 2 };
        assert_eq!(indices(&seed(0), 5, usize::MAX, 2), Err(many));
        assert!(indices(&seed(0), 5, MAXIMUM_EXAMPLES, 2).is_err());
    }

    #[test]
    fn each_row_is_as_likely_in_each_place() {
        // 6,000 permutations of 6 rows: a table of place × row with 25 degrees of freedom.
        let mut counts = [[0f64; 6]; 6];
        let mut orders = BTreeMap::new();
        for permutation in indices(&seed(3), 6, 6_000, 6).unwrap().chunks(6) {
            permutation.iter().enumerate().for_each(|(place, row)| counts[place][*row as usize] += 1.0);
            *orders.entry(permutation.to_vec()).or_insert(0f64) += 1.0;
        }
        let square: f64 = counts.iter().flatten().map(|count| (count - 1_000.0f64).powi(2) / 1_000.0).sum();
        // The 99.99 % point of χ² with 25 degrees is 60.1; too even is as suspicious.
        assert!((7.0..60.1).contains(&square), "{square}");
        // All 720 orders, 8.33 expected each; the 99.99 % point of χ² with 719 degrees is about 869.
        let expected = 6_000.0 / 720.0;
        let present: f64 = orders.values().map(|count| (count - expected).powi(2) / expected).sum();
        let square = present + (720 - orders.len()) as f64 * expected;
        assert!((590.0..869.0).contains(&square), "{square}");
    }
}
