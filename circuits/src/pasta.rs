//! Conversions to the types of `pasta_curves`, which halo2 is written over: the same field and the same curve.

use ark_ec::AffineRepr;
use ark_ff::{BigInt, PrimeField};
use ff::{Field as _, PrimeField as _};
use pasta_curves::{EqAffine, Fp, Fq};

use crate::curve::{Base, Point};
use crate::field::F;

/// Little-endian 64-bit limbs of a canonical 32-byte encoding.
fn limbs(bytes: &[u8; 32]) -> BigInt<4> {
    let mut limbs = [0u64; 4];
    let (words, _) = bytes.as_chunks::<8>();
    limbs.iter_mut().zip(words).for_each(|(limb, word)| *limb = u64::from_le_bytes(*word));
    BigInt(limbs)
}

/// The same field element in `pasta_curves`.
pub fn to_pasta(value: &F) -> Fp {
    Fp::from_raw(value.into_bigint().0)
}

/// The same field element in arkworks.
pub fn from_pasta(value: &Fp) -> F {
    // `to_repr` is canonical, so the conversion cannot fail.
    F::from_bigint(limbs(&value.to_repr())).unwrap_or_default()
}

/// The same point of Vesta in `pasta_curves`, whose type for it is `EqAffine`. Every [`Point`] is on the curve; the
/// identity has no coordinates in either library.
pub fn point_to_pasta(point: &Point) -> EqAffine {
    let base = |value: Base| Fq::from_raw(value.into_bigint().0);
    point.xy().map_or_else(EqAffine::default, |(x, y)| EqAffine::from_xy_unchecked(base(x), base(y)))
}

/// A square root in Vesta's base field.
pub fn square_root(value: &Base) -> Option<Base> {
    let root: Option<Fq> = Fq::from_raw(value.into_bigint().0).sqrt().into();
    Base::from_bigint(limbs(&root?.to_repr()))
}

/// A digest as two integers below `2^128`, low half first: field elements that determine it.
pub fn digest_limbs(digest: &[u8; 32]) -> [F; 2] {
    let BigInt([a, b, c, d]) = limbs(digest);
    let half = |low: u64, high: u64| F::from(u128::from(low) | (u128::from(high) << 64));
    [half(a, b), half(c, d)]
}

#[cfg(test)]
mod tests {
    use ark_ff::{AdditiveGroup, Field};

    use super::*;
    use crate::curve::{Domain, generator, point_to_bytes};
    use group::GroupEncoding;

    #[test]
    fn field_elements_come_back_and_keep_their_arithmetic() {
        let values = [F::ZERO, F::ONE, -F::ONE, F::from(7u64).pow([123]), -F::from(5u64).pow([77])];
        for a in values {
            assert_eq!(from_pasta(&to_pasta(&a)), a);
            for b in values {
                assert_eq!(from_pasta(&(to_pasta(&a) * to_pasta(&b))), a * b);
                assert_eq!(from_pasta(&(to_pasta(&a) - to_pasta(&b))), a - b);
            }
        }
    }

    #[test]
    fn points_have_the_same_encoding_in_both_libraries() {
        for index in 0..8 {
            let point = generator(Domain::Row, index);
            assert_eq!(point_to_pasta(&point).to_bytes(), point_to_bytes(&point));
        }
        assert_eq!(point_to_pasta(&Point::identity()), EqAffine::default());
    }

    #[test]
    fn square_roots_agree_on_what_has_one() {
        for x in 0u64..64 {
            let value = Base::from(x * x * x + 5);
            match (square_root(&value), value.sqrt()) {
                (Some(ours), Some(theirs)) => assert!(ours == theirs || ours == -theirs),
                (ours, theirs) => assert_eq!(ours, theirs),
            }
        }
    }

    #[test]
    fn digest_limbs_hold_every_bit() {
        let mut digest = [0u8; 32];
        digest[0] = 3;
        digest[16] = 5;
        digest[31] = 0x80;
        let high = F::from(5u128 | (1u128 << 127));
        assert_eq!(digest_limbs(&digest), [F::from(3u64), high]);
    }
}
