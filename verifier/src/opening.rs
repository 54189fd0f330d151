//! The opening: committed rows combine to one row, and a zero-knowledge inner-product argument shows its value
//! (specs/protocol/opening.md; Hyrax, Wahby et al. 2018; Bulletproofs, Bünz et al. 2018).
//!
//! 1. `C* = c_w·Σ eq(r*_rows, i)·C_i + c_D·Σ eq(r*_kb, kb)·C_kb + c_M·C_M` (the last under the halo2 seal) commits to a vector `v`; `Y` is the sealed commitment of
//!    the opened value on the value generator `V`, and `Y' = Y − s·V` takes off the public polynomials' share `s`.
//! 2. Draw `μ`. With `b = eq(r*_columns, ·)`, `P = C* + μ·Y'` must be `⟨v, G⟩ + μ·⟨v, b⟩·V + ρ·H`.
//! 3. Each round: the prover sends `L = ⟨v_lo, G_hi⟩ + μ·⟨v_lo, b_hi⟩·V + l·H` and `R = ⟨v_hi, G_lo⟩ + μ·⟨v_hi, b_lo⟩·V + r·H`;
//!    draw `u ≠ 0`; `v ← v_lo + u⁻¹·v_hi`, `G ← G_lo + u·G_hi`, `b ← b_lo + u·b_hi`, `P ← P + u·L + u⁻¹·R`.
//! 4. The prover sends `A = m·(G_f + μ·b_f·V) + m_ρ·H`; draw `c`; it sends `z = m + c·v_f` and `z_ρ = m_ρ + c·ρ_f`.
//! 5. `z·G_f + μ·z·b_f·V + z_ρ·H = A + c·P_f`, one multi-exponentiation over everything above.

use ark_ff::{AdditiveGroup, Field};
use weightproof_circuits::algebra::Powers;
use weightproof_circuits::curve::Point;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::multilinear::eq_table;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_circuits::seal::equation::GroupEquation;
use weightproof_circuits::transcript::Transcript;

use crate::public;

/// The opening's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningProof {
    /// `L`, `R` of each round.
    pub rounds: Vec<(Point, Point)>,
    /// `A`.
    pub mask: Point,
    /// `z`.
    pub response: F,
    /// `z_ρ`.
    pub blinding: F,
}

/// What an opening speaks of.
#[derive(Clone, Copy, Debug)]
pub struct OpeningStatement<'a> {
    /// Shapes.
    pub layout: &'a Layout,
    /// `r*`.
    pub point: &'a [F],
    /// `E_w(r*)`.
    pub witness_coefficient: F,
    /// `E_D(r*)`.
    pub data_coefficient: F,
    /// `E_M(r*)`; zero where there is no mask.
    pub mask_coefficient: F,
    /// The public polynomials' share `s`.
    pub public_share: F,
}

impl<'a> OpeningStatement<'a> {
    /// What a claim of the argument asks to be shown: the public polynomials' share is evaluated here. `value` is `y` where
    /// it is public, and zero where it is sealed.
    pub fn new(
        layout: &'a Layout,
        program: &Program,
        [base, update]: [&Parameters; 2],
        point: &'a [F],
        coefficients: &[F; 6],
        value: F,
    ) -> Self {
        let [witness_coefficient, data_coefficient, .., mask_coefficient] = *coefficients;
        let share = public::share(layout, program, base, update, point, coefficients);
        let public_share = share - value;
        Self { layout, point, witness_coefficient, data_coefficient, mask_coefficient, public_share }
    }

    /// `r*_columns`.
    pub fn columns(&self) -> &[F] {
        &self.point[self.point.len() - self.layout.column_variables..]
    }

    /// `c_w·eq(r*_rows, i)` for every row of the witness matrix.
    pub fn witness_weights(&self) -> Vec<F> {
        let end = self.point.len() - self.layout.column_variables;
        let rows = &self.point[end - self.layout.matrix_row_variables()..end];
        eq_table(rows).into_iter().map(|w| w * self.witness_coefficient).collect()
    }

    /// `c_D·Σ eq(r*_kb, kb)` for every distinct dataset row; `places` names the row of each (step, example) in order.
    pub fn data_weights(&self, places: &[usize], distinct: usize) -> Vec<F> {
        let end = self.point.len() - self.layout.column_variables;
        let rows = eq_table(&self.point[end - self.layout.row_variables()..end]);
        let mut weights = vec![F::ZERO; distinct];
        for (position, place) in places.iter().enumerate() {
            let (step, example) = (position / self.layout.batch, position % self.layout.batch);
            let index = (step << self.layout.example_variables) | example;
            if let (Some(weight), Some(row)) = (weights.get_mut(*place), rows.get(index)) {
                *weight += self.data_coefficient * row;
            }
        }
        weights
    }
}

/// Step 2's challenge.
pub fn draw_value_challenge(transcript: &mut Transcript, public_share: &F) -> F {
    transcript.absorb_scalars("public share", core::slice::from_ref(public_share));
    transcript.challenge("value")
}

/// Step 3's challenge.
pub fn draw_round_challenge(transcript: &mut Transcript, left: &Point, right: &Point) -> F {
    transcript.absorb_points("round", &[*left, *right]);
    transcript.challenge("round")
}

/// Step 4's challenge.
pub fn draw_mask_challenge(transcript: &mut Transcript, mask: &Point) -> F {
    transcript.absorb_points("mask", core::slice::from_ref(mask));
    transcript.challenge("mask")
}

/// Step 4's responses.
pub fn absorb_response(transcript: &mut Transcript, response: &F, blinding: &F) {
    transcript.absorb_scalars("response", &[*response, *blinding]);
}

/// An opening whose group equation waits for its weight.
#[derive(Clone, Debug)]
pub struct PendingOpening<'a> {
    statement: OpeningStatement<'a>,
    proof: &'a OpeningProof,
    value_challenge: F,
    rounds: Vec<(F, F)>,
    mask_challenge: F,
}

/// Steps 2–4. `None` when the number of rounds is wrong or a challenge is zero.
pub fn verify<'a>(
    transcript: &mut Transcript,
    statement: OpeningStatement<'a>,
    proof: &'a OpeningProof,
) -> Option<PendingOpening<'a>> {
    if proof.rounds.len() != statement.layout.column_variables {
        return None;
    }
    let value_challenge = draw_value_challenge(transcript, &statement.public_share);
    let mut rounds = Vec::with_capacity(proof.rounds.len());
    for (left, right) in &proof.rounds {
        let challenge = draw_round_challenge(transcript, left, right);
        rounds.push((challenge, challenge.inverse()?));
    }
    let mask_challenge = draw_mask_challenge(transcript, &proof.mask);
    absorb_response(transcript, &proof.response, &proof.blinding);
    Some(PendingOpening { statement, proof, value_challenge, rounds, mask_challenge })
}

/// The commitments that an opening combines.
#[derive(Clone, Copy, Debug)]
pub struct Commitments<'a> {
    /// Rows of the witness matrix.
    pub witness: &'a [Point],
    /// Distinct dataset rows.
    pub data: &'a [Point],
    /// The distinct row of each (step, example).
    pub places: &'a [usize],
    /// The mask's row, under the halo2 seal.
    pub mask: Option<Point>,
    /// `Y`.
    pub value: Point,
}

impl PendingOpening<'_> {
    /// Step 5, under the next weight. `None` when the equation lacks a row generator for some column, or the rows are
    /// not those of the statement: what has no generator or no weight would be bound by nothing.
    #[must_use]
    pub fn add_to(
        &self,
        equation: &mut GroupEquation,
        commitments: Commitments<'_>,
        weights: &mut Powers<F>,
    ) -> Option<()> {
        let weight = weights.draw();
        let response = weight * self.proof.response;
        // G_f has coefficient ∏ u over the set bits of the index, the first round being the top bit.
        let mut folded = vec![response];
        let mut value = F::ONE;
        for ((challenge, _), column) in self.rounds.iter().zip(self.statement.columns()) {
            folded = folded.iter().flat_map(|f| [*f, *f * challenge]).collect();
            value *= F::ONE - column + *challenge * column;
        }
        for (coefficient, f) in equation.rows.get_mut(..folded.len())?.iter_mut().zip(&folded) {
            *coefficient += f;
        }
        equation.value += response * value * self.value_challenge;
        equation.blinding += weight * self.proof.blinding;
        equation.add(-weight, self.proof.mask);
        let right_side = -weight * self.mask_challenge;
        let witness = self.statement.witness_weights();
        if witness.len() != commitments.witness.len() {
            return None;
        }
        for (row, coefficient) in commitments.witness.iter().zip(witness) {
            equation.add(right_side * coefficient, *row);
        }
        let data = self.statement.data_weights(commitments.places, commitments.data.len());
        for (row, coefficient) in commitments.data.iter().zip(data) {
            equation.add(right_side * coefficient, *row);
        }
        if let Some(mask) = commitments.mask {
            equation.add(right_side * self.statement.mask_coefficient, mask);
        }
        equation.add(right_side * self.value_challenge, commitments.value);
        equation.value -= right_side * self.value_challenge * self.statement.public_share;
        for ((left, right), (challenge, inverse)) in self.proof.rounds.iter().zip(&self.rounds) {
            equation.add(right_side * challenge, *left);
            equation.add(right_side * inverse, *right);
        }
        Some(())
    }
}
