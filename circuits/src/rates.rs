//! From a program's rates to the optimizer's integers, exactly and cheaply (specs/protocol/program.md).
//!
//! `v(n) = v(1)·(1 + μ + … + μ^(n−1))` has a denominator of up to 30 bits a step, and a stranger chooses the program: `n`
//! exact fractions of up to 2^17 bits are too dear. So a lower bound `L` of `v(n)` is carried in [`Fixed`] numbers,
//!
//! ```text
//! L(1) = ⌊v(1)⌋     L(n+1) = L(1) + ⌊μ·L(n)⌋     L(n) ≤ v(n) < L(n) + 2n units of the last place,
//! ```
//!
//! since each step adds less than two units and `μ < 1` shrinks what was there. `v(n)` also stays below its limit
//! `v(1)/(1 − μ)`. Where both bounds round to one integer, that integer is the exact one; elsewhere `v(n)` is taken as a
//! fraction. The limit settles all steps at which `v(n)` crowds below it. Any other half is crossed once, and then `v(n)`
//! differs from it by a few units at one step at most; the halves that are met exactly lie within the first hundred
//! or so steps, before the powers of two and five in `v(1)` are used up. So there are few fractions to take, and
//! those are mostly small.
use num_bigint::BigInt;

use crate::decimal::Decimal;
use crate::program::{COEFFICIENT_BITS, Coefficients, LEAST_GRID_UNITS, ProgramSpec};

/// The optimizer's rates as exact fractions, independent of `weight_bits`.
pub(crate) struct Rates {
    /// `η`.
    rate: (BigInt, BigInt),
    /// `μ = m/q < 1`, at most nine decimal places.
    momentum: (u32, u32),
    /// `0 < ω ≤ 1`.
    weight: (u64, u64),
    batch: usize,
    steps: usize,
    /// `fa + fe`.
    lost_bits: u32,
}

impl Rates {
    /// The rates of values that are within their limits.
    pub(crate) fn new(spec: &ProgramSpec) -> Self {
        let (momentum, momentum_denominator) = at_most_one(&spec.momentum);
        Self {
            rate: spec.learning_rate.fraction(),
            // Both are at most 10^9.
            momentum: (momentum as u32, momentum_denominator as u32),
            weight: at_most_one(&spec.weight),
            batch: spec.batch,
            steps: spec.steps,
            lost_bits: spec.activation_bits + spec.error_bits,
        }
    }

    /// `v(1)` on the grid of `weight_bits`.
    fn first(&self, weight_bits: u32) -> (BigInt, BigInt) {
        let numerator = &self.rate.0 << weight_bits.saturating_sub(self.lost_bits);
        let denominator = (&self.rate.1 * self.batch) << self.lost_bits.saturating_sub(weight_bits);
        (numerator, denominator)
    }

    /// Whether each coefficient is exact or large enough on the grid of `weight_bits`. More bits suit whatever fewer
    /// bits suit.
    ///
    /// Rates never shrink, so the first large one ends the search. Before it, published rates are integers below
    /// [`LEAST_GRID_UNITS`]; momentum makes each larger than the last, so there are no more of them than that.
    pub(crate) fn suit(&self, weight_bits: u32) -> bool {
        let (weight, weight_denominator) = self.weight;
        let (momentum, momentum_denominator) = self.momentum;
        let zero = BigInt::from(0u32);
        let (mut numerator, mut denominator) = self.first(weight_bits);
        let mut power = numerator.clone();
        // v(n) = numerator / denominator with denominator = d·q^(n−1), and power = c·q^(n−1).
        for _ in 0..self.steps {
            let published = (&numerator * weight, &denominator * weight_denominator);
            // A published rate is never above its step rate, so a large one settles both.
            if published.0 >= &published.1 * LEAST_GRID_UNITS {
                return true;
            }
            if &numerator % &denominator != zero || &published.0 % &published.1 != zero {
                return false;
            }
            if momentum == 0 {
                return true;
            }
            power *= momentum_denominator;
            numerator = &power + numerator * momentum;
            denominator *= momentum_denominator;
        }
        true
    }

    /// The integers, or nothing when one reaches `2^COEFFICIENT_BITS`.
    pub(crate) fn coefficients(&self, weight_bits: u32) -> Option<Coefficients> {
        let first = self.first(weight_bits);
        let rates = self.rounded(&first, |n| self.exact(&first, n))?;
        let (weight, denominator) = (u128::from(self.weight.0), u128::from(self.weight.1));
        // A rate is below 2^40, a weight at most one with terms of at most 10^18.
        let published = |rate: &i64| {
            ((2 * rate.unsigned_abs() as u128 * weight + denominator) / (2 * denominator)) as i64
        };
        let out = rates.iter().rev().map(published).collect();
        Some(Coefficients { rates, out })
    }

    /// `⌊v(n) + 1/2⌋` for `n = 1..=K`; `exact` is asked where the bounds leave two integers.
    fn rounded(
        &self,
        (numerator, denominator): &(BigInt, BigInt),
        mut exact: impl FnMut(u32) -> BigInt,
    ) -> Option<Vec<i64>> {
        let small = |value: i64| Some(value).filter(|value| *value < 1 << COEFFICIENT_BITS);
        // Rates never shrink: from here on every one that is looked at is below 2^41, its part before the point too.
        let first = small(i64::try_from(half_up(numerator, denominator)).ok()?)?;
        let (momentum, momentum_denominator) = self.momentum;
        if momentum == 0 {
            return Some(vec![first; self.steps]);
        }
        // The largest integer that a number below the limit x rounds to: ⌈x + 1/2⌉ − 1.
        let limit = numerator * momentum_denominator;
        let limit_denominator = denominator * (momentum_denominator - momentum);
        let most = ((limit << 1u32) + &limit_denominator - 1u32) / (limit_denominator << 1u32);
        let most = i64::try_from(most).unwrap_or(i64::MAX);

        let start = Fixed::floor(numerator, denominator);
        let mut low = start;
        let mut rates = Vec::with_capacity(self.steps);
        // Validation bounds the steps by 2^12.
        for n in 1..=self.steps as u32 {
            let least = low.half_up();
            let value = if least == low.plus(&Fixed::units(2 * n)).half_up().min(most) {
                least
            } else {
                i64::try_from(exact(n)).ok()?
            };
            rates.push(small(value)?);
            low = low.scaled(momentum, momentum_denominator).plus(&start);
        }
        Some(rates)
    }

    /// `⌊v(n) + 1/2⌋` as a fraction: `v(n) = v(1)·(q^n − m^n) / ((q − m)·q^(n−1))`.
    fn exact(&self, (numerator, denominator): &(BigInt, BigInt), n: u32) -> BigInt {
        let (momentum, momentum_denominator) = self.momentum;
        let below = BigInt::from(momentum_denominator).pow(n - 1);
        let sum = &below * momentum_denominator - BigInt::from(momentum).pow(n);
        half_up(&(numerator * sum), &(denominator * (momentum_denominator - momentum) * below))
    }
}

/// The terms of a decimal from 0 to 1: its canonical exponent is not above zero.
fn at_most_one(value: &Decimal) -> (u64, u64) {
    (value.digits(), 10u64.saturating_pow(u32::from(value.exponent().unsigned_abs())))
}

/// `⌊n/d + 1/2⌋` for `n ≥ 0`, `d > 0`.
pub(crate) fn half_up(numerator: &BigInt, denominator: &BigInt) -> BigInt {
    ((numerator << 1u32) + denominator) / (denominator << 1u32)
}

/// Digits of a [`Fixed`] number before the point.
const WHOLE: usize = 2;
/// Digits after it: 192 bits. A limit differs from a half that it does not meet by 2^-113 at least.
const FRACTION: usize = 6;

/// A number below `2^64` in digits of 32 bits, the highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fixed([u32; WHOLE + FRACTION]);

impl Fixed {
    /// `⌊n/d⌋` in units of the last place.
    fn floor(numerator: &BigInt, denominator: &BigInt) -> Self {
        let units = (numerator << (32 * FRACTION)) / denominator;
        let mut digits = [0; WHOLE + FRACTION];
        for (digit, value) in digits.iter_mut().rev().zip(units.iter_u32_digits()) {
            *digit = value;
        }
        Self(digits)
    }

    /// Units of the last place.
    fn units(units: u32) -> Self {
        let mut digits = [0; WHOLE + FRACTION];
        digits[WHOLE + FRACTION - 1] = units;
        Self(digits)
    }

    /// The sum; it must be below `2^64`.
    fn plus(&self, other: &Self) -> Self {
        let mut digits = [0; WHOLE + FRACTION];
        let mut carry = 0;
        for ((digit, a), b) in digits.iter_mut().zip(&self.0).zip(&other.0).rev() {
            let wide = u64::from(*a) + u64::from(*b) + carry;
            // The low half is the digit.
            *digit = wide as u32;
            carry = wide >> 32;
        }
        Self(digits)
    }

    /// `⌊self·m/q⌋` in units of the last place, for `m < q`.
    fn scaled(&self, m: u32, q: u32) -> Self {
        let mut product = self.0;
        let mut carry = 0;
        for digit in product.iter_mut().rev() {
            let wide = u64::from(*digit) * u64::from(m) + carry;
            *digit = wide as u32;
            carry = wide >> 32;
        }
        // What is carried out is below m, so the quotient has no digit there.
        let mut rest = carry;
        for digit in &mut product {
            let wide = rest << 32 | u64::from(*digit);
            *digit = (wide / u64::from(q)) as u32;
            rest = wide % u64::from(q);
        }
        Self(product)
    }

    /// `⌊self + 1/2⌋`, for numbers below `2^62`.
    fn half_up(&self) -> i64 {
        let [high, low, tenths, ..] = self.0;
        (i64::from(high) << 32 | i64::from(low)) + i64::from(tenths >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Activation, Loss, WEIGHT_BITS};
    use proptest::prelude::*;

    /// Every `v(n)` as a fraction, one after the other: the slow way, and what the integers mean.
    fn on_grid(rates: &Rates, weight_bits: u32) -> impl Iterator<Item = (BigInt, BigInt)> + '_ {
        let (mut power, divisor) = rates.first(weight_bits);
        let (momentum, momentum_denominator) = rates.momentum;
        let first = (power.clone(), divisor);
        std::iter::successors(Some(first), move |(numerator, denominator)| {
            power *= momentum_denominator;
            Some((&power + numerator * momentum, denominator * momentum_denominator))
        })
        .take(rates.steps)
    }

    fn slow_suit(rates: &Rates, weight_bits: u32) -> bool {
        let (weight, weight_denominator) = rates.weight;
        let zero = BigInt::from(0u32);
        let large = |numerator: &BigInt, denominator: &BigInt| numerator >= &(denominator * LEAST_GRID_UNITS);
        on_grid(rates, weight_bits).all(|(numerator, denominator)| {
            let published = (&numerator * weight, &denominator * weight_denominator);
            large(&published.0, &published.1)
                || (&numerator % &denominator == zero && &published.0 % &published.1 == zero)
        })
    }

    fn slow_coefficients(rates: &Rates, weight_bits: u32) -> Option<Coefficients> {
        let (weight, weight_denominator) = (BigInt::from(rates.weight.0), BigInt::from(rates.weight.1));
        let small = |value: BigInt| i64::try_from(value).ok().filter(|value| *value < 1 << COEFFICIENT_BITS);
        let integers: Vec<i64> = on_grid(rates, weight_bits)
            .map(|(numerator, denominator)| small(half_up(&numerator, &denominator)))
            .collect::<Option<_>>()?;
        let out = integers
            .iter()
            .rev()
            .map(|&rate| small(half_up(&(BigInt::from(rate) * &weight), &weight_denominator)))
            .collect::<Option<_>>()?;
        Some(Coefficients { rates: integers, out })
    }

    fn rates(rate: &str, momentum: &str, weight: &str, batch: usize, steps: usize) -> Rates {
        Rates::new(&ProgramSpec {
            layers: vec![1, 2],
            activation: Activation::Relu,
            loss: Loss::SoftmaxCrossEntropy,
            activation_bits: 8,
            error_bits: 10,
            weight_bits: None,
            learning_rate: rate.parse().unwrap(),
            momentum: momentum.parse().unwrap(),
            steps,
            batch,
            weight: weight.parse().unwrap(),
        })
    }

    /// The two ways agree; returns the steps that were taken as fractions.
    fn agree(rates: &Rates, weight_bits: u32, what: &str) -> Vec<u32> {
        assert_eq!(rates.suit(weight_bits), slow_suit(rates, weight_bits), "{what} at {weight_bits} bits");
        let found = rates.coefficients(weight_bits);
        assert_eq!(found, slow_coefficients(rates, weight_bits), "{what} at {weight_bits} bits");
        let first = rates.first(weight_bits);
        let mut asked = Vec::new();
        rates.rounded(&first, |n| {
            asked.push(n);
            rates.exact(&first, n)
        });
        asked
    }

    #[test]
    fn fixed_numbers_are_what_they_stand_for() {
        let value = |fixed: &Fixed| {
            fixed.0.iter().fold(BigInt::from(0u32), |sum, digit| (sum << 32u32) + BigInt::from(*digit))
        };
        let (n, d) = (BigInt::from(0xffff_ffff_ffff_u64), BigInt::from(7u32));
        let fixed = Fixed::floor(&n, &d);
        assert_eq!(value(&fixed), (&n << 192u32) / &d);
        for (m, q) in [(1u32, 2u32), (999_999_999, 1_000_000_000), (1, 1_000_000_000), (0, 1)] {
            assert_eq!(value(&fixed.scaled(m, q)), value(&fixed) * m / q, "{m}/{q}");
        }
        assert_eq!(value(&fixed.plus(&fixed)), value(&fixed) * 2u32);
        assert_eq!(value(&Fixed::units(8192)), BigInt::from(8192u32));
        let largest = Fixed([0, u32::MAX, u32::MAX, u32::MAX, u32::MAX, u32::MAX, u32::MAX, u32::MAX]);
        assert_eq!(largest.plus(&Fixed::units(1)), Fixed([1, 0, 0, 0, 0, 0, 0, 0]), "a carry runs through");
        assert_eq!((largest.half_up(), fixed.half_up()), (1 << 32, i64::try_from(half_up(&n, &d)).unwrap()));
    }

    #[test]
    fn the_cheap_integers_are_the_exact_ones() {
        // Rates of many digits, powers of two and five that keep v(n) exact for long, and limits that are a half, an
        // integer, or a hair beside one.
        let learning_rates = [
            "1",
            "0.5",
            "0.3",
            "1.23456789012345678",
            "0.000000000000000001",
            "1000000000000000000",
            "65536",
            "3814697265625",
            "0.000000000000262144",
            "0.000030517578125",
            "0.999999999999999999",
            "12.5",
            "0.3125",
        ];
        let momenta = [
            "0",
            "0.5",
            "0.25",
            "0.75",
            "0.001953125",
            "0.998046875",
            "0.2",
            "0.8",
            "0.04",
            "0.9",
            "0.99",
            "0.98",
            "0.000000001",
            "0.999999999",
            "0.333333333",
        ];
        let mut taken = 0;
        for rate in learning_rates {
            for momentum in momenta {
                for (weight, batch) in [("1", 1), ("0.123456789012345678", 3), ("0.5", 32)] {
                    let what = format!("{rate}, {momentum}, {weight}, {batch}");
                    let rates = rates(rate, momentum, weight, batch, 200);
                    for bits in [20, 27, 40] {
                        let asked = agree(&rates, bits, &what);
                        assert!(asked.len() <= 2, "{what}: {asked:?}");
                        taken += asked.len();
                    }
                }
            }
        }
        assert!(taken > 0, "some halves are undecided by bounds");
    }

    #[test]
    fn the_longest_programs_agree_too() {
        for (rate, momentum, weight, batch, bits) in [
            ("1.23456789012345678", "0.999999999", "0.123456789012345678", 1, 40),
            // The limit is a half, and the last thousands of steps crowd below it.
            ("0.3125", "0.5", "1", 1, 20),
            ("0.003125", "0.98", "1", 1, 22),
            // An odd batch makes the sum of powers matter.
            ("0.3", "0.98", "0.7", 3, 40),
            ("0.000030517578125", "0.998046875", "1", 1, 40),
        ] {
            let what = format!("{rate}, {momentum}");
            let asked = agree(&rates(rate, momentum, weight, batch, 4096), bits, &what);
            assert!(asked.len() <= 2, "{what}: {asked:?}");
        }
    }

    #[test]
    fn steps_below_a_half_that_is_never_reached_are_settled_by_the_limit() {
        let rates = rates("0.3125", "0.5", "1", 1, 4096);
        let first = rates.first(20);
        assert_eq!(&first.0 * 4u32, &first.1 * 5u32, "v(1) = 5/4, so that the limit is 5/2");
        let integers = rates.coefficients(20).unwrap().rates;
        assert_eq!(integers[0], 1);
        assert!(integers[1..].iter().all(|rate| *rate == 2), "2 for ever, never 3");
        assert_eq!(agree(&rates, 20, "a half as limit"), Vec::<u32>::new());
    }

    #[test]
    fn few_rates_decide_whether_bits_suit() {
        // With momentum at most 32 published rates are small and exact: the search ends long before the last step.
        let powers = rates("1", "0.5", "0.000003814697265625", 1, 4096);
        for bits in WEIGHT_BITS {
            assert_eq!(powers.suit(bits), slow_suit(&powers, bits), "{bits}");
        }
    }

    proptest! {
        #![proptest_config(crate::seeded_cases(256))]
        #[test]
        fn random_rates_agree(
            digits in 1u64..1_000_000_000_000_000_000, places in -6i32..18, momentum in 0u64..1_000_000_000,
            momentum_places in 1i32..=9, weight in 1u64..1_000_000, batch in 1usize..70, steps in 1usize..80,
            bits in 20u32..=40, shrink in 0u32..60,
        ) {
            let spec = |momentum: u64| ProgramSpec {
                layers: vec![1, 2],
                activation: Activation::Relu,
                loss: Loss::SoftmaxCrossEntropy,
                activation_bits: 8,
                error_bits: 10,
                weight_bits: None,
                learning_rate: Decimal::new(false, (digits >> shrink).max(1), -places).unwrap(),
                momentum: Decimal::new(false, momentum, -momentum_places).unwrap(),
                steps,
                batch,
                weight: Decimal::new(false, weight, -6).unwrap(),
            };
            let rates = Rates::new(&spec(momentum % 10u64.pow(momentum_places as u32)));
            agree(&rates, bits, "random");
        }

        #[test]
        fn halves_agree(
            // v(1) = (odd + 1/2)·2^-e or so, μ with few binary places: v(n) meets halves exactly.
            odd in 0u64..1 << 30, power in 0u32..24, momentum in 1u64..512, steps in 1usize..120, batch in 1usize..8,
        ) {
            let rates = Rates {
                rate: (BigInt::from(2 * odd + 1), BigInt::from(1u64 << power)),
                momentum: (momentum as u32, 512),
                weight: (1, 1),
                batch,
                steps,
                lost_bits: 18,
            };
            for bits in [20, 30] {
                let asked = agree(&rates, bits, "halves");
                prop_assert!(asked.len() <= 1, "{:?}", asked);
            }
        }
    }
}
