//! Unbiased bounded draws from a ChaCha20 key stream.
//!
//! The stream is IETF ChaCha20 (RFC 8439) under a 32-byte key, with block counter 0 and the nonce `n as u64 LE ‖ 0⁴`. It
//! is read eight bytes at a time as little-endian `u64`. A draw below `m` takes the next word `x` with
//! `x < ⌊2^64/m⌋·m` (others are skipped) and is `x mod m`.
use std::num::NonZeroU64;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

const BUFFER: usize = 1024;
/// One block of the cipher: what is read first, since of a permutation of few rows no more is taken. Then always twice
/// as much, up to the buffer.
const BLOCK: usize = 64;

/// A key stream, read as bounded draws. A stream holds 2^35 words, far above what any caller takes.
pub(crate) struct Draws {
    cipher: ChaCha20,
    buffer: [u8; BUFFER],
    /// Bytes of the buffer that hold the stream.
    filled: usize,
    used: usize,
}

impl Draws {
    pub(crate) fn new(key: &[u8; 32], number: u64) -> Self {
        let mut nonce = [0u8; 12];
        nonce[..8].copy_from_slice(&number.to_le_bytes());
        Self { cipher: ChaCha20::new(&(*key).into(), &nonce.into()), buffer: [0; BUFFER], filled: 0, used: 0 }
    }

    fn word(&mut self) -> u64 {
        if self.used == self.filled {
            self.filled = (2 * self.filled).clamp(BLOCK, BUFFER);
            let buffer = &mut self.buffer[..self.filled];
            buffer.fill(0);
            self.cipher.apply_keystream(buffer);
            self.used = 0;
        }
        let mut word = [0u8; 8];
        word.copy_from_slice(&self.buffer[self.used..self.used + 8]);
        self.used += 8;
        u64::from_le_bytes(word)
    }

    /// A number below `bound`, each equally likely.
    pub(crate) fn below(&mut self, bound: NonZeroU64) -> u64 {
        // 2^64 mod m, so that words up to 2^64 − 1 − excess are a whole number of rounds of m.
        let excess = bound.get().wrapping_neg() % bound;
        loop {
            let word = self.word();
            if word <= u64::MAX - excess {
                return word % bound;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_rfc_8439() {
        // Appendix A.1, test vector 1: the all-zero key and nonce, block counter 0.
        let mut draws = Draws::new(&[0; 32], 0);
        let bound = NonZeroU64::new(u64::MAX).unwrap();
        assert_eq!(draws.below(bound).to_le_bytes(), [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
        assert_eq!(draws.below(bound).to_le_bytes(), [0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28]);
    }

    #[test]
    fn words_beyond_the_last_whole_round_are_skipped() {
        // With m = 2^63 + 1 nearly half of all words lie beyond the one whole round.
        let bound = NonZeroU64::new((1 << 63) + 1).unwrap();
        let mut plain = Draws::new(&[7; 32], 3);
        let mut bounded = Draws::new(&[7; 32], 3);
        let (mut kept, mut skipped) = (0, 0);
        for _ in 0..1_000 {
            let word = plain.word();
            if word < bound.get() {
                assert_eq!(bounded.below(bound), word);
                kept += 1;
            } else {
                skipped += 1;
            }
        }
        assert!(kept > 400 && skipped > 400, "{kept} {skipped}");
        // A power of two divides 2^64: nothing is skipped.
        let mut plain = Draws::new(&[7; 32], 4);
        let mut bounded = Draws::new(&[7; 32], 4);
        for _ in 0..1_000 {
            assert_eq!(bounded.below(NonZeroU64::new(16).unwrap()), plain.word() % 16);
        }
        assert_eq!(bounded.below(NonZeroU64::MIN), 0);
    }

    #[test]
    fn streams_differ_by_key_and_number() {
        let first = |key: [u8; 32], number| Draws::new(&key, number).word();
        assert_ne!(first([1; 32], 0), first([2; 32], 0));
        assert_ne!(first([1; 32], 0), first([1; 32], 1));
        assert_ne!(first([1; 32], 1), first([1; 32], 1 << 32));
    }
}
