//! Which rows are held out to measure a model on rows it never saw.
use sha2::{Digest, Sha256};

/// One row in five is held out.
pub const HELD_OUT_SHARE: usize = 5;
/// Fewest rows that give both parts at least one row and the training part some variety.
pub const MINIMUM_ROWS: usize = 5;

/// Row numbers of the two parts, each in file order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Rows to train on.
    pub training: Vec<usize>,
    /// Rows to measure on.
    pub held_out: Vec<usize>,
}

/// Splits `rows` rows by `seed`, the same on every platform: row `i` gets the key
/// `SHA-256("weightproof split v1" ‖ seed as u64 LE ‖ i as u64 LE)`, and the `⌊rows/5⌋` rows with the smallest keys
/// are held out.
pub fn split(rows: usize, seed: u64) -> Split {
    let mut order: Vec<([u8; 32], usize)> = (0..rows).map(|row| (key(seed, row), row)).collect();
    order.sort_unstable();
    let (held_out, training) = order.split_at(rows / HELD_OUT_SHARE);
    let in_file_order = |part: &[([u8; 32], usize)]| {
        let mut rows: Vec<usize> = part.iter().map(|&(_, row)| row).collect();
        rows.sort_unstable();
        rows
    };
    Split { training: in_file_order(training), held_out: in_file_order(held_out) }
}

fn key(seed: u64, row: usize) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"weightproof split v1");
    hash.update(seed.to_le_bytes());
    hash.update((row as u64).to_le_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_partition_with_one_in_five_held_out() {
        for rows in [5, 9, 10, 569, 1797] {
            let parts = split(rows, 7);
            assert_eq!(parts.held_out.len(), rows / 5);
            let mut all = [parts.training.clone(), parts.held_out.clone()].concat();
            all.sort_unstable();
            assert_eq!(all, (0..rows).collect::<Vec<_>>());
            assert!(parts.training.is_sorted() && parts.held_out.is_sorted());
        }
    }

    #[test]
    fn depends_on_the_seed_and_on_nothing_else() {
        assert_eq!(split(100, 1), split(100, 1));
        assert_ne!(split(100, 1), split(100, 2));
        // Computed once by a separate script: hashlib.sha256(b"weightproof split v1" + seed + index), sorted.
        assert_eq!(split(10, 0).held_out, EXPECTED_TEN_ROWS_SEED_ZERO);
    }

    const EXPECTED_TEN_ROWS_SEED_ZERO: [usize; 2] = [3, 4];
}
