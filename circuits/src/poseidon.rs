//! Poseidon over `F` (Grassi et al. 2021, instance P128Pow5T3): the transcript of the halo2 seal, natively
//! (specs/protocol/halo2.md, step 2). The circuit lays out the same permutation and runs the same [`Duplex`] schedule.

use std::collections::VecDeque;
use std::sync::OnceLock;

use ark_ff::{AdditiveGroup, Field};
use halo2_poseidon::{P128Pow5T3, Spec};
use pasta_curves::Fp;

use crate::field::{F, from_wide_bytes};
use crate::pasta::from_pasta;

/// Field elements of the state.
pub const WIDTH: usize = 3;
/// Field elements absorbed or squeezed by one permutation.
pub const RATE: usize = 2;
/// Rounds that apply the S-box to the whole state, before the partial rounds and again after them.
pub const HALF_FULL_ROUNDS: usize = 4;
/// Rounds that apply it to the first element alone.
pub const PARTIAL_ROUNDS: usize = 56;
/// All rounds.
pub const ROUNDS: usize = 2 * HALF_FULL_ROUNDS + PARTIAL_ROUNDS;

/// A state.
pub type State = [F; WIDTH];

/// Round constants and the MDS matrix.
#[derive(Debug)]
pub struct Constants {
    /// One state of constants a round.
    pub rounds: Vec<State>,
    /// The matrix.
    pub mds: [State; WIDTH],
    /// Its inverse.
    pub inverse: [State; WIDTH],
}

/// The constants of P128Pow5T3, as `halo2_poseidon` has them.
pub fn constants() -> &'static Constants {
    static CONSTANTS: OnceLock<Constants> = OnceLock::new();
    CONSTANTS.get_or_init(|| {
        let (rounds, mds, inverse) = <P128Pow5T3 as Spec<Fp, WIDTH, RATE>>::constants();
        let row = |row: &[Fp; WIDTH]| [from_pasta(&row[0]), from_pasta(&row[1]), from_pasta(&row[2])];
        Constants {
            rounds: rounds.iter().map(row).collect(),
            mds: [row(&mds[0]), row(&mds[1]), row(&mds[2])],
            inverse: [row(&inverse[0]), row(&inverse[1]), row(&inverse[2])],
        }
    })
}

/// `matrix · vector`.
pub fn multiply(matrix: &[State; WIDTH], vector: &State) -> State {
    matrix.map(|row| row[0] * vector[0] + row[1] * vector[1] + row[2] * vector[2])
}

/// `x^5`.
pub fn quintic(x: F) -> F {
    x.square().square() * x
}

/// Whether a round applies the S-box to the first element alone.
pub fn is_partial(round: usize) -> bool {
    (HALF_FULL_ROUNDS..HALF_FULL_ROUNDS + PARTIAL_ROUNDS).contains(&round)
}

/// One round.
pub fn apply_round(state: &mut State, round: usize) {
    let constants = constants();
    for (word, constant) in state.iter_mut().zip(&constants.rounds[round]) {
        *word += constant;
    }
    let boxed = if is_partial(round) { 1 } else { WIDTH };
    for word in &mut state[..boxed] {
        *word = quintic(*word);
    }
    *state = multiply(&constants.mds, state);
}

/// The permutation.
pub fn permute(state: &mut State) {
    for round in 0..ROUNDS {
        apply_round(state, round);
    }
}

/// The state before anything is absorbed: the protocol's name in the capacity.
pub fn initial_state() -> State {
    let digest = blake2b_simd::Params::new()
        .hash_length(64)
        .personal(b"WeightproofPosv1")
        .hash(b"weightproof halo2 v1");
    [F::ZERO, F::ZERO, from_wide_bytes(digest.as_array())]
}

/// One permutation of a duplex sponge, over field elements or over the cells that hold them.
pub trait Permutation {
    /// What is absorbed and squeezed.
    type Value: Clone;
    /// Adds up to [`RATE`] values to the state and permutes it; returns its first [`RATE`] elements.
    fn permute(&mut self, message: Vec<Self::Value>) -> [Self::Value; RATE];
}

/// The schedule of the sponge: which values share a permutation. Native and circuit transcript run this one.
///
/// The pattern of messages and challenges is fixed by the program, whose digest is absorbed first, so blocks need no
/// padding (SAFE, Aumasson et al. 2023, section 2).
#[derive(Clone, Debug)]
pub struct Duplex<V> {
    pending: Vec<V>,
    ready: VecDeque<V>,
}

impl<V> Default for Duplex<V> {
    fn default() -> Self {
        Self { pending: Vec::new(), ready: VecDeque::new() }
    }
}

impl<V: Clone> Duplex<V> {
    /// Absorbs one value. What was squeezed before and not yet used is dropped.
    pub fn absorb(&mut self, permutation: &mut impl Permutation<Value = V>, value: V) {
        self.ready.clear();
        if self.pending.len() == RATE {
            permutation.permute(core::mem::take(&mut self.pending));
        }
        self.pending.push(value);
    }

    /// Squeezes one value, which depends on everything absorbed so far.
    pub fn squeeze(&mut self, permutation: &mut impl Permutation<Value = V>) -> V {
        if let Some(value) = self.ready.pop_front() {
            return value;
        }
        let [first, second] = permutation.permute(core::mem::take(&mut self.pending));
        self.ready.push_back(second);
        first
    }
}

/// The permutation on field elements.
#[derive(Clone, Debug)]
pub struct NativePermutation {
    state: State,
}

impl Default for NativePermutation {
    fn default() -> Self {
        Self { state: initial_state() }
    }
}

impl Permutation for NativePermutation {
    type Value = F;
    fn permute(&mut self, message: Vec<F>) -> [F; RATE] {
        for (word, value) in self.state.iter_mut().zip(&message) {
            *word += value;
        }
        permute(&mut self.state);
        [self.state[0], self.state[1]]
    }
}

/// The halo2 seal's transcript on field elements.
#[derive(Clone, Debug)]
pub struct Transcript {
    permutation: NativePermutation,
    duplex: Duplex<F>,
}

impl Transcript {
    /// Starts a transcript bound to the digest of everything that is public, and to a salt that nobody else knows: no
    /// challenge can be computed from a guess of the messages.
    pub fn new(digest: &[F; 2], salt: &F) -> Self {
        let mut transcript = Self { permutation: NativePermutation::default(), duplex: Duplex::default() };
        transcript.absorb(digest);
        transcript.absorb(core::slice::from_ref(salt));
        transcript
    }

    /// Absorbs field elements.
    pub fn absorb(&mut self, values: &[F]) {
        for value in values {
            self.duplex.absorb(&mut self.permutation, *value);
        }
    }

    /// Draws a challenge.
    pub fn challenge(&mut self) -> F {
        self.duplex.squeeze(&mut self.permutation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use halo2_poseidon::{ConstantLength, Hash};

    use crate::pasta::to_pasta;

    #[test]
    fn the_permutation_is_that_of_halo2_poseidon() {
        // A hash of two elements is one permutation of (a, b, 2^65), the capacity that the library's padding sets.
        for seed in 0u64..8 {
            let (a, b) = (F::from(seed).pow([5]) - F::from(3u64), F::from(11 * seed + 1));
            let theirs = Hash::<Fp, P128Pow5T3, ConstantLength<2>, WIDTH, RATE>::init()
                .hash([to_pasta(&a), to_pasta(&b)]);
            let mut state = [a, b, F::from(1u128 << 65)];
            permute(&mut state);
            assert_eq!(state[0], from_pasta(&theirs));
        }
    }

    #[test]
    fn the_matrix_and_its_inverse_agree() {
        let constants = constants();
        assert_eq!(constants.rounds.len(), ROUNDS);
        let vector = [F::from(3u64), F::from(5u64), F::from(7u64)];
        assert_eq!(multiply(&constants.inverse, &multiply(&constants.mds, &vector)), vector);
    }

    #[test]
    fn challenges_depend_on_salt_digest_and_every_message() {
        let one = F::ONE;
        let run = |digest: [F; 2], salt: F, messages: &[&[F]]| {
            let mut transcript = Transcript::new(&digest, &salt);
            messages.iter().for_each(|message| transcript.absorb(message));
            transcript.challenge()
        };
        let all = [
            run([one, one], one, &[]),
            run([-one, one], one, &[]),
            run([one, -one], one, &[]),
            run([one, one], -one, &[]),
            run([one, one], one, &[&[one, one]]),
            run([one, one], one, &[&[one, -one]]),
            run([one, one], one, &[&[-one, one]]),
        ];
        for (i, x) in all.iter().enumerate() {
            for y in &all[i + 1..] {
                assert_ne!(x, y);
            }
        }
        let mut transcript = Transcript::new(&[one, one], &one);
        let drawn: Vec<F> = (0..5).map(|_| transcript.challenge()).collect();
        for (i, x) in drawn.iter().enumerate() {
            for y in &drawn[i + 1..] {
                assert_ne!(x, y);
            }
        }
    }

    /// Two challenges share a permutation; a message after the first of them drops the second.
    #[test]
    fn a_message_is_absorbed_before_any_later_challenge() {
        let mut a = Transcript::new(&[F::ONE, F::ONE], &F::ONE);
        let mut b = a.clone();
        assert_eq!(a.challenge(), b.challenge());
        let unused = a.clone().challenge();
        a.absorb(&[F::from(4u64)]);
        b.absorb(&[F::from(5u64)]);
        let (a, b) = (a.challenge(), b.challenge());
        assert!(a != b && a != unused && b != unused);
    }
}
