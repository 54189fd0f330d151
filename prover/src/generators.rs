//! Generators as bytes for a cache: uncompressed, because taking square roots again would cost half of deriving them.

use ark_ec::AffineRepr;
use ark_ff::{BigInt, PrimeField};
use weightproof_circuits::curve::{Base, Generators, Point};

/// Bytes of one point: `x`, then `y`, each little-endian.
const POINT: usize = 64;
/// Message generators that a cache holds at least; a power of two.
const MESSAGES: usize = 256;

/// The counts to derive for a cache, so that it can be recognised by a pinned digest when it is read.
pub fn cached_counts(rows: usize, messages: usize) -> (usize, usize) {
    (rows.next_power_of_two(), messages.next_power_of_two().max(MESSAGES))
}

/// Number of row generators (u64), number of message generators (u64), then their points.
pub fn to_bytes(generators: &Generators) -> Vec<u8> {
    let (rows, messages) = (generators.rows(), generators.messages());
    let mut bytes = Vec::with_capacity(16 + POINT * (rows.len() + messages.len()));
    bytes.extend((rows.len() as u64).to_le_bytes());
    bytes.extend((messages.len() as u64).to_le_bytes());
    for point in rows.iter().chain(messages) {
        // A generator is never the identity; zeros would be refused when read.
        let (x, y) = point.xy().unwrap_or_default();
        for coordinate in [x, y] {
            bytes.extend(coordinate.into_bigint().0.iter().flat_map(|limb| limb.to_le_bytes()));
        }
    }
    bytes
}

/// Reads what [`to_bytes`] wrote; `None` for anything else, and for every point that is not what the derivation gives:
/// the digests of the right ones are part of the program, so whoever can write the cache gains nothing by it.
pub fn from_bytes(bytes: &[u8]) -> Option<Generators> {
    let (rows, rest) = bytes.split_first_chunk::<8>()?;
    let (messages, rest) = rest.split_first_chunk::<8>()?;
    let rows = usize::try_from(u64::from_le_bytes(*rows)).ok()?;
    let messages = usize::try_from(u64::from_le_bytes(*messages)).ok()?;
    let (points, left_over) = rest.as_chunks::<POINT>();
    if !left_over.is_empty() || rows.checked_add(messages)? != points.len() {
        return None;
    }
    let mut points = points.iter().map(point).collect::<Option<Vec<Point>>>()?;
    let messages = points.split_off(rows);
    let generators = Generators::from_parts(points, messages);
    generators.are_pinned().then_some(generators)
}

fn point(bytes: &[u8; POINT]) -> Option<Point> {
    let (x, y) = bytes.split_at(POINT / 2);
    let point = Point::new_unchecked(coordinate(x)?, coordinate(y)?);
    point.is_on_curve().then_some(point)
}

fn coordinate(bytes: &[u8]) -> Option<Base> {
    let (words, _) = bytes.as_chunks::<8>();
    let mut limbs = [0; 4];
    limbs.iter_mut().zip(words).for_each(|(limb, word)| *limb = u64::from_le_bytes(*word));
    // Refuses a coordinate that is not reduced.
    Base::from_bigint(BigInt(limbs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive_generators;

    #[test]
    fn round_trips_and_equals_the_derivation() {
        let generators = Generators::derive(8, 4);
        assert_eq!(derive_generators(8, 4), generators);
        assert_eq!(from_bytes(&to_bytes(&generators)), Some(generators));
    }

    #[test]
    fn damaged_and_foreign_points_are_refused() {
        let bytes = to_bytes(&Generators::derive(4, 2));
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1;
            assert!(from_bytes(&flipped).is_none(), "byte {position}");
            assert!(from_bytes(&bytes[..position]).is_none(), "{position} bytes");
        }
        // Two points swapped are on the curve and still not the generators.
        let mut swapped = bytes.clone();
        swapped[16..16 + 2 * POINT].rotate_left(POINT);
        assert!(from_bytes(&swapped).is_none());
        assert!(from_bytes(&[bytes, vec![0; POINT]].concat()).is_none());
    }
}
