//! Fiat–Shamir over Blake2b: every message is absorbed under a label and a length, and a challenge depends on all of them.
//!
//! A transcript cannot be built without the statement digest (specs/protocol/statement.md).

use crate::curve::{Point, point_to_bytes};
use crate::field::{F, from_wide_bytes, to_bytes};

const PERSONALIZATION: &[u8; 16] = b"WeightproofTrsv1";

/// A Blake2b-512 transcript.
#[derive(Clone)]
pub struct Transcript {
    state: blake2b_simd::State,
}

fn fresh() -> blake2b_simd::State {
    blake2b_simd::Params::new().hash_length(64).personal(PERSONALIZATION).to_state()
}

impl Transcript {
    /// Starts a transcript bound to a protocol name and the digest of everything that is public.
    pub fn new(protocol: &'static str, statement_digest: &[u8; 32]) -> Self {
        let mut transcript = Self { state: fresh() };
        transcript.absorb_bytes("protocol", protocol.as_bytes());
        transcript.absorb_bytes("statement", statement_digest);
        transcript
    }

    /// Absorbs bytes under a label; lengths are part of what is hashed.
    pub fn absorb_bytes(&mut self, label: &'static str, bytes: &[u8]) {
        self.state.update(&[0x01]);
        self.state.update(&(label.len() as u64).to_le_bytes());
        self.state.update(label.as_bytes());
        self.state.update(&(bytes.len() as u64).to_le_bytes());
        self.state.update(bytes);
    }

    /// Absorbs field elements.
    pub fn absorb_scalars(&mut self, label: &'static str, values: &[F]) {
        let mut bytes = Vec::with_capacity(32 * values.len());
        for value in values {
            bytes.extend_from_slice(&to_bytes(value));
        }
        self.absorb_bytes(label, &bytes);
    }

    /// Absorbs points by their compressed encodings.
    pub fn absorb_points(&mut self, label: &'static str, points: &[Point]) {
        let mut bytes = Vec::with_capacity(32 * points.len());
        for point in points {
            bytes.extend_from_slice(&point_to_bytes(point));
        }
        self.absorb_bytes(label, &bytes);
    }

    /// The digest of everything absorbed so far; the transcript goes on unchanged.
    pub fn digest(&self) -> [u8; 32] {
        let mut state = self.state.clone();
        state.update(&[0x05]);
        let mut digest = [0u8; 32];
        digest.copy_from_slice(&state.finalize().as_array()[..32]);
        digest
    }

    /// Draws a challenge and chains it into the state.
    pub fn challenge(&mut self, label: &'static str) -> F {
        self.state.update(&[0x02]);
        self.state.update(&(label.len() as u64).to_le_bytes());
        self.state.update(label.as_bytes());
        let digest = *self.state.finalize().as_array();
        let mut next = fresh();
        next.update(&[0x03]);
        next.update(&digest);
        self.state = next;
        // The chained state starts with the digest under another tag; the challenge is a separate hash of it, so
        // that publishing a challenge says nothing beyond it.
        let mut output = fresh();
        output.update(&[0x04]);
        output.update(&digest);
        from_wide_bytes(output.finalize().as_array())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_depend_on_every_byte_and_boundary() {
        let run = |parts: &[(&'static str, &[u8])]| {
            let mut t = Transcript::new("test", &[0; 32]);
            for (label, bytes) in parts {
                t.absorb_bytes(label, bytes);
            }
            t.challenge("c")
        };
        let all = [
            run(&[]),
            run(&[("a", b"")]),
            run(&[("a", b"xy")]),
            run(&[("a", b"x"), ("a", b"y")]),
            run(&[("ax", b"y")]),
            run(&[("b", b"xy")]),
        ];
        for (i, x) in all.iter().enumerate() {
            for y in &all[i + 1..] {
                assert_ne!(x, y);
            }
        }
        let mut t = Transcript::new("test", &[0; 32]);
        assert_ne!(t.challenge("c"), t.challenge("c"));
        assert_ne!(Transcript::new("test", &[1; 32]).challenge("c"), all[0]);
        assert_ne!(Transcript::new("tesu", &[0; 32]).challenge("c"), all[0]);
    }
}
