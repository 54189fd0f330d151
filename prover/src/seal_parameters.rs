//! halo2's public parameters, so that a first run does not wait: small sizes come with the crate.
//!
//! They are generators that halo2 hashes to the curve, and their Lagrange form. Nothing in them is secret or chosen, and
//! [`read_parameters`] accepts only bytes whose digest the verifier pins.

use weightproof_circuits::seal::halo2::key::{Parameters, read_parameters};

/// The parameters of size `k`, if they come with the crate: those of small programs, the default ones among them.
pub fn shipped(k: u32) -> Option<Parameters> {
    let bytes: &[u8] = match k {
        12 => include_bytes!("../parameters/vesta-12.bin"),
        13 => include_bytes!("../parameters/vesta-13.bin"),
        _ => return None,
    };
    read_parameters(k, bytes)
}

/// Derives the parameters of size `k`: seconds, doubling with every step of `k`.
pub fn derive(k: u32) -> Parameters {
    Parameters::new(k)
}

/// The bytes of parameters, for a cache that [`read_parameters`] reads back.
pub fn to_bytes(parameters: &Parameters) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory cannot fail; were it to, the bytes would not have the pinned digest.
    let _ = parameters.write(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_parameters_are_the_pinned_ones_and_those_of_the_derivation() {
        for k in 12..=13 {
            let parameters = shipped(k).expect("they are pinned");
            assert_eq!(parameters.k(), k);
        }
        assert_eq!(to_bytes(&derive(12)), include_bytes!("../parameters/vesta-12.bin"));
        assert!(shipped(11).is_none() && shipped(14).is_none());
    }

    #[test]
    fn any_changed_byte_is_refused() {
        let bytes = include_bytes!("../parameters/vesta-12.bin");
        assert!(read_parameters(12, bytes).is_some());
        assert!(read_parameters(13, bytes).is_none(), "another size");
        for position in (0..bytes.len()).step_by(997) {
            let mut flipped = bytes.to_vec();
            flipped[position] ^= 1;
            assert!(read_parameters(12, &flipped).is_none(), "byte {position}");
        }
        assert!(read_parameters(12, &bytes[..bytes.len() - 1]).is_none());
    }
}
