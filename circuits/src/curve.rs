//! Vesta points: canonical encoding and the generators of every Pedersen commitment (specs/protocol/opening.md).
//!
//! Encoding: 32 bytes, the little-endian `x` coordinate with the parity of `y` in the top bit; the identity is 32
//! zero bytes (no point of Vesta has `x = 0`: `5` is not a square in its base field, which a test asserts).

use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInteger, Field, PrimeField, Zero};

use crate::field::F;
use crate::pasta::square_root;

/// A point of Vesta in affine coordinates.
pub type Point = ark_vesta::Affine;
/// A point of Vesta in projective coordinates.
pub type Projective = ark_vesta::Projective;
/// The base field of Vesta.
pub type Base = ark_vesta::Fq;

/// Bytes of an encoded point.
pub const POINT_BYTES: usize = 32;

/// Canonical compressed encoding.
pub fn point_to_bytes(point: &Point) -> [u8; POINT_BYTES] {
    let mut bytes = [0u8; POINT_BYTES];
    if let Some((x, y)) = point.xy() {
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(x.into_bigint().0) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        if y.into_bigint().is_odd() {
            bytes[31] |= 0x80;
        }
    }
    bytes
}

/// Decodes a canonical encoding; `None` for a coordinate that is not reduced, or not on the curve.
pub fn point_from_bytes(bytes: &[u8; POINT_BYTES]) -> Option<Point> {
    if bytes == &[0u8; POINT_BYTES] {
        return Some(Point::identity());
    }
    let odd = bytes[31] & 0x80 != 0;
    let mut limbs = [0u64; 4];
    for (i, limb) in limbs.iter_mut().enumerate() {
        let mut word = [0u8; 8];
        word.copy_from_slice(bytes.get(8 * i..8 * i + 8)?);
        *limb = u64::from_le_bytes(word);
    }
    limbs[3] &= u64::MAX >> 1;
    let x = Base::from_bigint(ark_ff::BigInt(limbs))?;
    let y = square_root_of_curve(x)?;
    let y = if y.into_bigint().is_odd() == odd { y } else { -y };
    Some(Point::new_unchecked(x, y))
}

/// One of the two `y` with `y² = x³ + 5`. The root is taken by `pasta_curves`, which has tables for it.
fn square_root_of_curve(x: Base) -> Option<Base> {
    square_root(&(x.square() * x + Base::from(5u64)))
}

/// Which commitment a generator belongs to. Domains are separate: a value that could move between them would let any
/// false claim pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Entries of a row: witness rows and dataset rows.
    Row,
    /// Entries of a sealed message.
    Message,
    /// The value of the inner-product argument.
    Value,
    /// The blinding of every commitment.
    Blinding,
}

impl Domain {
    fn name(self) -> &'static [u8] {
        match self {
            Domain::Row => b"row",
            Domain::Message => b"message",
            Domain::Value => b"value",
            Domain::Blinding => b"blinding",
        }
    }
}

/// The `index`-th generator of a domain, by hashing to the curve with counted attempts.
///
/// Attempt `a` hashes `"Weightproof generator v1" ‖ len ‖ domain ‖ index ‖ a` with Blake2b-512; the low 511 bits reduce
/// to `x` and the top bit picks `y`; the first attempt with `x` on the curve is the generator. Nobody knows a
/// discrete-log relation between outputs of a random oracle.
pub fn generator(domain: Domain, index: u64) -> Point {
    let mut attempt = 0u64;
    loop {
        let mut state = blake2b_simd::Params::new().hash_length(64).personal(b"WeightproofGenv1").to_state();
        state.update(&(domain.name().len() as u64).to_le_bytes());
        state.update(domain.name());
        state.update(&index.to_le_bytes());
        state.update(&attempt.to_le_bytes());
        let mut bytes = *state.finalize().as_array();
        let odd = bytes[63] & 0x80 != 0;
        bytes[63] &= 0x7f;
        let x = Base::from_le_bytes_mod_order(&bytes);
        if let Some(y) = square_root_of_curve(x) {
            let y = if y.into_bigint().is_odd() == odd { y } else { -y };
            return Point::new_unchecked(x, y);
        }
        attempt += 1;
    }
}

/// The generators of one program: `rows` for witness and dataset rows, `messages` for the sigma seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generators {
    rows: Vec<Point>,
    messages: Vec<Point>,
    value: Point,
    blinding: Point,
}

impl Generators {
    /// Derives `rows` row generators (a power of two) and `messages` message generators.
    pub fn derive(rows: usize, messages: usize) -> Self {
        Self::from_parts(
            (0..rows as u64).map(|i| generator(Domain::Row, i)).collect(),
            (0..messages as u64).map(|i| generator(Domain::Message, i)).collect(),
        )
    }

    /// Joins points that a caller derived (say, in parallel) with the value and blinding generators.
    ///
    /// The points must be [`generator`]`(domain, 0..)`: whoever supplies others chooses them for every proof checked
    /// with this value. [`Generators::are_pinned`] recognises the right ones.
    pub fn from_parts(rows: Vec<Point>, messages: Vec<Point>) -> Self {
        Self { rows, messages, value: generator(Domain::Value, 0), blinding: generator(Domain::Blinding, 0) }
    }

    /// Whether these are the generators, by the digests in [`pinned`]: as good as deriving them, and far faster.
    /// Only power-of-two counts that are pinned can be recognised.
    pub fn are_pinned(&self) -> bool {
        pinned::digest(Domain::Row, self.rows.len()) == Some(pinned::of(&self.rows))
            && pinned::digest(Domain::Message, self.messages.len()) == Some(pinned::of(&self.messages))
    }

    /// Row generators.
    pub fn rows(&self) -> &[Point] {
        &self.rows
    }
    /// Message generators.
    pub fn messages(&self) -> &[Point] {
        &self.messages
    }
    /// The value generator of the inner-product argument.
    pub fn value(&self) -> Point {
        self.value
    }
    /// The blinding generator.
    pub fn blinding(&self) -> Point {
        self.blinding
    }
}

/// SHA-256 digests of the first `2^k` generators of a domain, so that a stored copy can be recognised without deriving it.
pub mod pinned {
    use sha2::{Digest, Sha256};

    use super::{Domain, Point, point_to_bytes};

    include!("pinned_generators.rs");

    /// The digest of the first `count` generators of a domain, when it is pinned.
    pub fn digest(domain: Domain, count: usize) -> Option<[u8; 32]> {
        if !count.is_power_of_two() {
            return None;
        }
        let digests: &[[u8; 32]] = match domain {
            Domain::Row => &ROWS,
            Domain::Message => &MESSAGES,
            Domain::Value | Domain::Blinding => &[],
        };
        digests.get(count.trailing_zeros() as usize).copied()
    }

    /// SHA-256 of the points' compressed encodings.
    pub fn of(points: &[Point]) -> [u8; 32] {
        let mut hash = Sha256::new();
        points.iter().for_each(|point| hash.update(point_to_bytes(point)));
        hash.finalize().into()
    }
}

/// `Σ scalars[i]·bases[i]` over the shorter of the two.
pub fn multi_exponentiation(bases: &[Point], scalars: &[F]) -> Projective {
    let count = bases.len().min(scalars.len());
    <Projective as ark_ec::VariableBaseMSM>::msm_unchecked(&bases[..count], &scalars[..count])
}

/// Normalises many points with one inversion.
pub fn normalize(points: &[Projective]) -> Vec<Point> {
    Projective::normalize_batch(points)
}

/// The identity.
pub fn identity() -> Projective {
    Projective::zero()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::LegendreSymbol;

    #[test]
    fn no_point_has_x_zero() {
        assert_eq!(Base::from(5u64).legendre(), LegendreSymbol::QuadraticNonResidue);
    }

    #[test]
    fn encoding_is_canonical() {
        for index in 0..32 {
            let point = generator(Domain::Row, index);
            assert!(point.is_on_curve());
            for point in [point, -point] {
                assert_eq!(point_from_bytes(&point_to_bytes(&point)), Some(point));
            }
        }
        assert_eq!(point_from_bytes(&[0; 32]), Some(Point::identity()));
        let mut sign_only = [0; 32];
        sign_only[31] = 0x80;
        assert_eq!(point_from_bytes(&sign_only), None, "a second encoding of the identity");
        let mut modulus = [0u8; 32];
        for (chunk, limb) in modulus.chunks_exact_mut(8).zip(Base::MODULUS.0) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        assert_eq!(point_from_bytes(&modulus), None, "x = p is not reduced");
    }

    #[test]
    fn domains_and_indices_differ() {
        let g = Generators::derive(4, 4);
        let mut all: Vec<Point> = g.rows().iter().chain(g.messages()).copied().collect();
        all.extend([g.value(), g.blinding()]);
        for (i, a) in all.iter().enumerate() {
            assert!(!a.is_zero());
            for b in &all[i + 1..] {
                assert_ne!(a, b);
            }
        }
    }

    /// The digests that the derivation gives, up to `2^largest` generators.
    fn derived(domain: Domain, largest: u32) -> Vec<[u8; 32]> {
        let points: Vec<Point> = (0..1u64 << largest).map(|i| generator(domain, i)).collect();
        (0..=largest).map(|k| pinned::of(&points[..1 << k])).collect()
    }

    #[test]
    fn pinned_digests_are_those_of_the_derivation() {
        for domain in [Domain::Row, Domain::Message] {
            for (k, digest) in derived(domain, 9).into_iter().enumerate() {
                assert_eq!(pinned::digest(domain, 1 << k), Some(digest), "{domain:?}, 2^{k}");
            }
        }
        let mut generators = Generators::derive(8, 4);
        assert!(generators.are_pinned());
        generators.rows.swap(0, 1);
        assert!(!generators.are_pinned());
        assert!(!Generators::derive(7, 4).are_pinned(), "no digest is pinned for seven");
    }

    /// Prints `pinned_generators.rs`; compares it with the file.
    #[test]
    #[ignore = "derives 2^17 points"]
    fn all_pinned_digests_are_those_of_the_derivation() {
        let print = |name: &str, digests: &[[u8; 32]]| {
            let lines: Vec<String> = digests.iter().map(|d| format!("    {d:?},")).collect();
            format!("const {name}: [[u8; 32]; {}] = [\n{}\n];\n", digests.len(), lines.join("\n"))
        };
        let text =
            print("ROWS", &derived(Domain::Row, 17)) + &print("MESSAGES", &derived(Domain::Message, 11));
        if let Ok(path) = std::env::var("WEIGHTPROOF_WRITE_PINNED") {
            std::fs::write(path, &text).unwrap();
        }
        let digits = |s: &str| {
            s.split(|c: char| !c.is_ascii_digit())
                .filter(|w| !w.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(digits(&text), digits(include_str!("pinned_generators.rs")));
    }
}
