//! Hedged randomness for blindings: a bad system generator alone does not reveal them.
//!
//! The key is Blake2b of fresh operating-system randomness, the caller's secret and the context (the statement, a
//! counter); scalars are Blake2b of the key and a counter. A value is used once: every attempt makes a new [`Entropy`].

use weightproof_circuits::field::{F, from_wide_bytes};
use zeroize::Zeroize;

/// The system gave no randomness.
#[derive(Clone, Debug, thiserror::Error)]
#[error("expected randomness from the operating system, found an error: {0}; nothing was proved or written")]
pub struct EntropyError(String);

/// A stream of uniform scalars.
pub struct Entropy {
    key: [u8; 64],
    counter: u64,
}

impl Drop for Entropy {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Entropy {
    /// A fresh stream; `secret` and `context` hedge it.
    ///
    /// # Errors
    /// When the operating system gives no randomness, or two draws from it agree.
    pub fn new(secret: &[u8], context: &[u8]) -> Result<Self, EntropyError> {
        let mut fresh = [0u8; 64];
        getrandom::fill(&mut fresh).map_err(|error| EntropyError(error.to_string()))?;
        let repeated = fresh[..32] == fresh[32..];
        let stream = Self::from_parts(&fresh, secret, context);
        fresh.zeroize();
        if repeated {
            return Err(EntropyError("two draws are equal".to_owned()));
        }
        Ok(stream)
    }

    fn from_parts(fresh: &[u8; 64], secret: &[u8], context: &[u8]) -> Self {
        let mut state = blake2b_simd::Params::new().hash_length(64).personal(b"WeightproofRand1").to_state();
        state.update(fresh);
        state.update(&(secret.len() as u64).to_le_bytes());
        state.update(secret);
        state.update(&(context.len() as u64).to_le_bytes());
        state.update(context);
        Self { key: *state.finalize().as_array(), counter: 0 }
    }

    /// A stream that a test can repeat.
    #[cfg(any(test, feature = "attack"))]
    pub fn from_seed(seed: u64) -> Self {
        let mut fresh = [0u8; 64];
        fresh[..8].copy_from_slice(&seed.to_le_bytes());
        Self::from_parts(&fresh, &[], b"test")
    }

    /// The next 64 bytes under a purpose's name.
    fn block(&mut self, purpose: &[u8; 16]) -> [u8; 64] {
        let block = blake2b_simd::Params::new()
            .hash_length(64)
            .key(&self.key)
            .personal(purpose)
            .hash(&self.counter.to_le_bytes());
        self.counter += 1;
        *block.as_array()
    }

    /// The next scalar.
    pub fn scalar(&mut self) -> F {
        from_wide_bytes(&self.block(b"WeightproofScal1"))
    }

    /// The next scalars.
    pub fn scalars(&mut self, count: usize) -> Vec<F> {
        (0..count).map(|_| self.scalar()).collect()
    }
}

/// Bytes for halo2's blindings: the same key under another name.
impl rand_core::TryRng for Entropy {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(64) {
            chunk.copy_from_slice(&self.block(b"WeightproofByte1")[..chunk.len()]);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Entropy {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_every_input_and_never_repeat() {
        let first = |fresh: u8, secret: &[u8], context: &[u8]| {
            Entropy::from_parts(&[fresh; 64], secret, context).scalar()
        };
        let all = [
            first(0, b"", b""),
            first(1, b"", b""),
            first(0, b"a", b""),
            first(0, b"", b"a"),
            first(0, b"aa", b""),
        ];
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(a, b);
            }
        }
        let mut stream = Entropy::from_seed(1);
        assert_ne!(stream.scalar(), stream.scalar());
        let (mut a, mut b) = (Entropy::new(b"s", b"c").unwrap(), Entropy::new(b"s", b"c").unwrap());
        assert_ne!(a.scalar(), b.scalar(), "the same secret and context still give fresh randomness");
    }
}
