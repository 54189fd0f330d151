//! Multiples of a fixed base by table, for blindings and short messages.

use ark_ec::CurveGroup;
use ark_ff::{AdditiveGroup, PrimeField};
use weightproof_circuits::curve::{Point, Projective, normalize};
use weightproof_circuits::field::F;

const WINDOW: usize = 5;
const WINDOWS: usize = 256usize.div_ceil(WINDOW);

/// `d·2^(5w)·base` for every window `w` and digit `d`.
#[derive(Clone, Debug)]
pub struct FixedBase {
    table: Vec<Point>,
}

impl FixedBase {
    /// Builds the table of `base`.
    pub fn new(base: &Point) -> Self {
        let per_window = (1 << WINDOW) - 1;
        let mut table = Vec::with_capacity(WINDOWS * per_window);
        let mut start: Projective = (*base).into();
        for _ in 0..WINDOWS {
            let step = start.into_affine();
            let mut multiple = start;
            for _ in 0..per_window {
                table.push(multiple);
                multiple += step;
            }
            start = multiple;
        }
        Self { table: normalize(&table) }
    }

    /// `scalar·base`.
    pub fn multiply(&self, scalar: &F) -> Projective {
        let limbs = scalar.into_bigint().0;
        let per_window = (1 << WINDOW) - 1;
        let mut sum = Projective::ZERO;
        for (window, row) in self.table.chunks_exact(per_window).enumerate() {
            let bit = window * WINDOW;
            let (limb, shift) = (bit / 64, bit % 64);
            let mut digit = limbs[limb] >> shift;
            if shift + WINDOW > 64 && limb + 1 < 4 {
                digit |= limbs[limb + 1] << (64 - shift);
            }
            let digit = (digit & per_window as u64) as usize;
            if digit != 0 {
                sum += row[digit - 1];
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::Field;
    use weightproof_circuits::curve::{Domain, generator};

    #[test]
    fn agrees_with_double_and_add() {
        let base = generator(Domain::Blinding, 0);
        let table = FixedBase::new(&base);
        let mut scalar = F::from(5u64);
        for _ in 0..20 {
            assert_eq!(table.multiply(&scalar), base * scalar);
            scalar = scalar.square() - F::ONE;
        }
        assert_eq!(table.multiply(&-F::ONE), -Projective::from(base));
        assert_eq!(table.multiply(&F::ZERO), Projective::ZERO);
    }
}
