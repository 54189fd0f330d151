//! Arrays of field elements over which a sumcheck runs.

use rayon::prelude::*;
use weightproof_circuits::field::F;

/// Below this many entries a loop is not worth splitting between threads.
pub const PARALLEL: usize = 1 << 12;

/// `array[y] ← array[2y] + challenge·(array[2y + 1] − array[2y])`, halving the array.
pub fn bind(array: &mut Vec<F>, challenge: &F) {
    let half = array.len() / 2;
    if half < PARALLEL {
        for y in 0..half {
            array[y] = array[2 * y] + *challenge * (array[2 * y + 1] - array[2 * y]);
        }
        array.truncate(half);
    } else {
        *array = array
            .par_chunks_exact(2)
            .with_min_len(PARALLEL)
            .map(|pair| pair[0] + *challenge * (pair[1] - pair[0]))
            .collect();
    }
}
