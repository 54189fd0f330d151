//! Fields and curve, operation by operation.

use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{AdditiveGroup, BigInt, Field, PrimeField, Zero};
use weightproof_circuits::curve::{Base, Domain, Point, Projective, generator};
use weightproof_circuits::field::F;
use weightproof_gpu_kernels::device::probe::{self, Operation};

use crate::support::{Draw, probing};

/// Elements whose limbs are extreme, as values and as the raw limbs of the Montgomery form.
macro_rules! edges {
    ($field:ty, $draw:expr) => {{
        let one = <$field>::ONE;
        let mut all = vec![<$field>::ZERO, one, -one, one.double(), -one.double()];
        let modulus = <$field as PrimeField>::MODULUS.0;
        // Raw limbs p − 1, p − 2, and others next to a carry.
        for low in [modulus[0] - 1, 0] {
            all.push(<$field>::new_unchecked(BigInt([low, modulus[1], modulus[2], modulus[3]])));
        }
        for limbs in [
            [u64::MAX, u64::MAX, u64::MAX, modulus[3] - 1],
            [u64::MAX, 0, 0, 0],
            [0, u64::MAX, 0, 0],
            [0, 0, u64::MAX, 0],
            [0, 0, 0, modulus[3]],
            [1, 0, 0, 0],
            [u64::from(u32::MAX), 0, 0, 0],
            [1 << 32, 0, 0, 0],
            [u64::MAX << 32, u64::MAX, 0, u64::MAX >> 3],
            [modulus[0] - 1, modulus[1] - 1, u64::MAX, modulus[3] - 1],
        ] {
            all.push(<$field>::new_unchecked(BigInt(limbs)));
        }
        for _ in 0..24 {
            let mut limbs = [0; 4];
            limbs.iter_mut().for_each(|limb| *limb = $draw.word());
            limbs[3] >>= 2;
            all.push(<$field>::new_unchecked(BigInt(limbs)));
        }
        all
    }};
}

macro_rules! check_field {
    ($field:ty, $probe:path) => {{
        let mut draw = Draw(1);
        let elements: Vec<$field> = edges!($field, draw);
        let left: Vec<$field> = elements.iter().flat_map(|a| elements.iter().map(move |_| *a)).collect();
        let right: Vec<$field> = elements.iter().flat_map(|_| elements.iter().copied()).collect();
        type Meaning = fn($field, $field) -> $field;
        let cases: [(Operation, Meaning); 5] = [
            (Operation::Add, |a, b| a + b),
            (Operation::Subtract, |a, b| a - b),
            (Operation::Multiply, |a, b| a * b),
            (Operation::Negate, |a, _| -a),
            (Operation::DoubleProduct, |a, b| a * b + b * b),
        ];
        for (operation, meaning) in cases {
            let found = probing!(runtime => $probe(runtime, operation, &left, &right)).unwrap();
            for ((a, b), found) in left.iter().zip(&right).zip(found) {
                // Raw limbs: an unreduced result is a fault too.
                assert_eq!(found.0.0, meaning(*a, *b).0.0, "{operation:?} of {:?} and {:?}", a.0.0, b.0.0);
            }
        }
    }};
}

#[test]
fn scalar_field_operations_are_those_of_arkworks() {
    check_field!(F, probe::scalars);
}

#[test]
fn base_field_operations_are_those_of_arkworks() {
    check_field!(Base, probe::bases);
}

#[test]
fn integers_become_elements_and_sum() {
    let mut draw = Draw(2);
    let mut integers =
        vec![0, 1, -1, i64::MAX, i64::MIN, i64::from(i32::MIN), 1 << 32, -(1 << 32), u32::MAX.into()];
    integers.extend((0..200).map(|i| (draw.word() as i64) >> (i % 64)));
    let mut weights = edges!(F, draw);
    weights.resize_with(integers.len(), || -F::ONE);
    for integers in
        [integers.clone(), vec![i64::MIN; integers.len()], vec![i64::MAX; integers.len()], vec![-1; 3]]
    {
        let (found, sum) = probing!(runtime => probe::integers(runtime, &integers, &weights)).unwrap();
        for (found, integer) in found.iter().zip(&integers) {
            assert_eq!(found.0.0, F::from(*integer).0.0, "{integer}");
        }
        let expected: F = integers.iter().zip(&weights).map(|(i, w)| F::from(*i) * w).sum();
        assert_eq!(sum, [expected]);
    }
}

/// Some XYZZ form of a point.
fn xyzz(point: Projective, scale: Base) -> [Base; 4] {
    let Some((x, y)) = point.into_affine().xy() else { return [Base::ONE, scale, Base::ZERO, Base::ZERO] };
    let (zz, zzz) = (scale.square(), scale.square() * scale);
    [x * zz, y * zzz, zz, zzz]
}

fn from_xyzz([x, y, zz, zzz]: [Base; 4]) -> Projective {
    match (zz.inverse(), zzz.inverse()) {
        (Some(zz), Some(zzz)) => Point::new_unchecked(x * zz, y * zzz).into(),
        _ => Projective::zero(),
    }
}

#[test]
fn points_are_added_completely() {
    let g: Projective = generator(Domain::Row, 0).into();
    let h: Projective = generator(Domain::Row, 1).into();
    let some = [Projective::zero(), g, -g, g.double(), h, g + h, -h.double()];
    let left: Vec<Projective> = some.iter().flat_map(|a| some.iter().map(move |_| *a)).collect();
    let right: Vec<Projective> = some.iter().flat_map(|_| some.iter().copied()).collect();
    let scaled: Vec<[Base; 4]> =
        left.iter().zip(2u64..).map(|(point, scale)| xyzz(*point, Base::from(scale))).collect();
    let affine: Vec<Point> = right.iter().map(|point| point.into_affine()).collect();
    for factor in [None, Some(0), Some(1), Some(2), Some(3), Some(5), Some(127), Some(128)] {
        let found = probing!(runtime => probe::points(runtime, &scaled, &affine, factor)).unwrap();
        for ((left, right), found) in left.iter().zip(&right).zip(found) {
            let expected = *left + *right * F::from(factor.unwrap_or(1));
            assert_eq!(from_xyzz(found), expected, "{factor:?}");
            assert_eq!(found[2].square() * found[2], found[3].square(), "ZZ³ = ZZZ²");
        }
    }
}
