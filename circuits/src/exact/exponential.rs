//! The exponential table, in integers.
//!
//! `EXP[d] = ⌊2^15·exp(−d/2^fa) + 1/2⌋` for `d = 0..65536`.
//!
//! # Why every entry is right
//!
//! Numbers below one are kept as multiples of `2^−128` (one *unit*). `q = exp(−2^−fa)` comes from its Taylor series,
//! whose terms `1/(n!·2^(fa·n))` are each too small by less than two units; at most 32 terms count for `fa ≥ 4`, and
//! what is left out is below one unit, so `q` less [`SERIES_ERROR`] units is a lower bound within `2·SERIES_ERROR`.
//! `x_d = ⌊x_{d−1}·q⌋` is then a lower bound of `exp(−d/2^fa)` that loses at most `2·SERIES_ERROR + 1` units in each of
//! at most 65,535 steps (`x` and `q` are below one), less than [`TABLE_ERROR`] in all. An entry could be wrong only where
//! adding that error changes its rounding; a test shows that no entry of any allowed `fa` does.

/// Entries: one for each `d` of 16 bits.
pub const EXPONENTIAL_ENTRIES: usize = 1 << 16;
/// Fraction bits of the entries.
pub const EXPONENTIAL_BITS: u32 = 15;

/// Bound on the error of the series, in units of `2^−128`.
const SERIES_ERROR: u128 = 70;
/// Bound on the error of any power, in units of `2^−128`.
#[cfg(test)]
const TABLE_ERROR: u128 = (2 * SERIES_ERROR + 1) << 16;

/// The table for `fa` = `activation_bits`, 65,536 entries.
///
/// Right for `fa` of a [`Program`](crate::program::Program), 4 to 12.
pub fn exp_table(activation_bits: u32) -> Vec<u16> {
    powers(activation_bits).map(rounded).collect()
}

/// `⌊x·2^15 + 1/2⌋`; `None` stands for one.
fn rounded(power: Option<u128>) -> u16 {
    const DROPPED: u32 = 128 - EXPONENTIAL_BITS;
    match power {
        None => 1 << EXPONENTIAL_BITS,
        // Shifting first keeps the carry in range; the quotient is at most 2^15.
        Some(power) => (((power >> (DROPPED - 1)) + 1) >> 1) as u16,
    }
}

/// `exp(−d/2^fa)` from below, in units of `2^−128`; one, which does not fit, is `None`.
fn powers(activation_bits: u32) -> impl Iterator<Item = Option<u128>> {
    let factor = factor(activation_bits);
    let first: Option<u128> = None;
    std::iter::successors(Some(first), move |power| {
        Some(Some(power.map_or(factor, |power| high_product(power, factor))))
    })
    .take(EXPONENTIAL_ENTRIES)
}

/// `exp(−2^−fa)` from below.
fn factor(activation_bits: u32) -> u128 {
    // The first two terms, 1 − 2^−fa, are exact; 2^128 itself does not fit.
    let mut term = 1u128 << (128 - activation_bits);
    let mut sum = term.wrapping_neg();
    for n in 2u32.. {
        term = (term >> activation_bits) / u128::from(n);
        if term == 0 {
            break;
        }
        sum = if n % 2 == 0 { sum + term } else { sum - term };
    }
    sum - SERIES_ERROR
}

/// `⌊a·b / 2^128⌋`.
fn high_product(a: u128, b: u128) -> u128 {
    const LOW: u128 = u64::MAX as u128;
    let (a_high, a_low, b_high, b_low) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let low = a_low * b_low;
    let first = a_high * b_low + (low >> 64);
    let second = a_low * b_high + (first & LOW);
    a_high * b_high + (first >> 64) + (second >> 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::ACTIVATION_BITS;
    use num_bigint::BigUint;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    /// SHA-256 of the table's entries as little-endian `u16`, for `fa` = 4, 5, …, 12; computed apart from this code.
    const DIGESTS: [&str; 9] = [
        "76284ec7dd691cdbbdc78372fd3822e7547f5a717250f440423634ed46031765",
        "b186d574e2a9b929ad7ce76ed90183ebd42fffdaf64fa2b029d4a399f9a3bb3c",
        "61837ce18221b54d72c243b142e4ecd9736727d0f99b5ab4f051443b40d3dae2",
        "116a5c76eb41fdc113ba6b3a70fa6e22dd002935500f1484c42940d1863de788",
        "39e48dd1c354e3a1bfc0ed0cdd70c7f0de2fbc1a2ca5d7273f5d1317e29515f8",
        "da6a29d84f55f26bc6fefe461fc411940904262f928fdf16b8b994cc4d26cf0f",
        "c546bbb94518845c854d4b6eb05af95ca85397b9593d500ba51add78cbf2856c",
        "75fe9bc05fe65619dccc7dd506bed03edfe2de4acfdd99d9cb31289fbeab5b2f",
        "78a93927bd288ce82e2ea58b3b75e62346a778f94226641733eae4ffed734561",
    ];

    #[test]
    fn the_tables_are_pinned() {
        for (bits, expected) in ACTIVATION_BITS.zip(DIGESTS) {
            let bytes: Vec<u8> = exp_table(bits).iter().flat_map(|entry| entry.to_le_bytes()).collect();
            assert_eq!(bytes.len(), 2 * EXPONENTIAL_ENTRIES);
            let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected, "fa = {bits}");
        }
    }

    #[test]
    fn no_entry_is_within_the_error_of_a_tie() {
        for bits in ACTIVATION_BITS {
            for (d, power) in powers(bits).enumerate() {
                let upper = power.map(|power| power.checked_add(TABLE_ERROR).expect("far below one"));
                assert_eq!(rounded(power), rounded(upper), "fa = {bits}, d = {d}");
            }
        }
    }

    #[test]
    fn the_factor_is_a_lower_bound_within_its_error() {
        // Again with 256 more fraction bits: bounds from a series cut after an odd and an even number of terms.
        const PLACES: u32 = 384;
        for bits in ACTIVATION_BITS {
            let mut term = BigUint::from(1u32) << PLACES;
            let mut sum = term.clone();
            for n in 1u32..100 {
                term = (term >> bits) / n;
                sum = if n % 2 == 0 { sum + &term } else { sum - &term };
            }
            let exact = sum >> (PLACES - 128);
            let found = BigUint::from(factor(bits));
            assert!(found <= exact && exact < found + BigUint::from(2 * SERIES_ERROR), "fa = {bits}");
        }
    }

    #[test]
    fn known_entries() {
        let table = exp_table(8);
        // 32768·e^0, e^-1, e^-2, e^-10.
        assert_eq!((table[0], table[256], table[512], table[2560]), (32_768, 12_055, 4_435, 1));
        // The last entry above one half: 2^15·exp(−d/256) ≥ 1/2 while d ≤ 256·16·ln 2 = 2839.2….
        assert_eq!((table[2839], table[2840], table[65_535]), (1, 0, 0));
        for bits in ACTIVATION_BITS {
            let table = exp_table(bits);
            assert!(table.windows(2).all(|pair| pair[0] >= pair[1]), "never grows");
        }
    }

    proptest! {
        #![proptest_config(crate::seeded_cases(512))]
        #[test]
        fn products_are_exact(a in any::<u128>(), b in any::<u128>()) {
            let exact: BigUint = (BigUint::from(a) * BigUint::from(b)) >> 128u32;
            prop_assert_eq!(BigUint::from(high_product(a, b)), exact);
            prop_assert_eq!(high_product(u128::MAX, u128::MAX), u128::MAX - 1);
        }
    }
}
