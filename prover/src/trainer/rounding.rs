//! The only rounding there is: `⌊(x + 2^(s−1)) / 2^s⌋`, with its remainder.
use rayon::prelude::*;

use super::weights::Sums;

/// Fewest sums that are handed to a thread at once.
const SHARED: usize = 1 << 13;

/// The first sum, in row-major order, whose rounded value leaves the signed 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfRange {
    /// Row-major index of the sum.
    pub index: usize,
    /// The rounded value.
    pub value: i128,
}

/// Rounds `sums + constants[column]` by `bits` into `quotients` and `remainders`, all row-major with
/// `constants.len()` columns.
///
/// Sums that are floats must stay exact with `constants[column] + 2^(bits−1)`: the product was asked for with that
/// bound.
pub(super) fn round(
    sums: &Sums,
    constants: &[i128],
    bits: u32,
    quotients: &mut [i16],
    remainders: &mut [u64],
) -> Result<(), OutOfRange> {
    let half = 1_i128 << (bits - 1);
    let found = match sums {
        Sums::Float(values) => {
            let values = values.as_slice().expect("a product is in row-major order");
            let added: Vec<i64> = constants.iter().map(|constant| (constant + half) as i64).collect();
            let mask = (1_i64 << bits) - 1;
            blocks(values, &added, quotients, remainders, |sum, added| {
                let sum = *sum as i64 + added;
                (sum >> bits, (sum & mask) as u64)
            })
        }
        Sums::Wide(values) => {
            let added: Vec<i128> = constants.iter().map(|constant| constant + half).collect();
            let mask = (1_i128 << bits) - 1;
            blocks(values, &added, quotients, remainders, |sum, added| {
                let sum = sum + added;
                (sum >> bits, (sum & mask) as u64)
            })
        }
    };
    found.map_or(Ok(()), Err)
}

/// Sums and the places of their quotients and remainders.
type Block<'a, T> = ((&'a [T], &'a mut [i16]), &'a mut [u64]);

fn blocks<T: Sync, C: Copy + Sync, Q: Copy + Into<i128> + TryInto<i16>>(
    sums: &[T],
    added: &[C],
    quotients: &mut [i16],
    remainders: &mut [u64],
    divide: impl Fn(&T, C) -> (Q, u64) + Sync,
) -> Option<OutOfRange> {
    let columns = added.len();
    let rows = SHARED.div_ceil(columns);
    let block = |(number, ((sums, quotients), remainders)): (usize, Block<'_, T>)| {
        let cells_of_rows =
            sums.chunks(columns).zip(quotients.chunks_mut(columns)).zip(remainders.chunks_mut(columns));
        for (row, ((sums, quotients), remainders)) in cells_of_rows.enumerate() {
            let cells = sums.iter().zip(added).zip(quotients.iter_mut().zip(remainders));
            for (column, ((sum, added), (quotient, remainder))) in cells.enumerate() {
                let (value, rest) = divide(sum, *added);
                *remainder = rest;
                match value.try_into() {
                    Ok(value) => *quotient = value,
                    Err(_) => {
                        let index = (number * rows + row) * columns + column;
                        return Some(OutOfRange { index, value: value.into() });
                    }
                }
            }
        }
        None
    };
    let length = rows * columns;
    sums.par_chunks(length)
        .zip(quotients.par_chunks_mut(length))
        .zip(remainders.par_chunks_mut(length))
        .enumerate()
        .filter_map(block)
        .min_by_key(|found| found.index)
}
