//! The proving half of `verifier::opening`.

use ark_ec::CurveGroup;
use ark_ff::Field;
use rayon::prelude::*;
use weightproof_circuits::accumulate::inner_product;
use weightproof_circuits::curve::{Generators, Point};
use weightproof_circuits::field::F;
use weightproof_circuits::multilinear::eq_table;
use weightproof_circuits::transcript::Transcript;
use weightproof_gpu_kernels::cpu::commit::multi_exponentiation;
use weightproof_gpu_kernels::cpu::fold::Folding;
use weightproof_verifier::opening::{
    OpeningProof, OpeningStatement, absorb_response, draw_mask_challenge, draw_round_challenge,
    draw_value_challenge,
};

use crate::argument::ProveError;
use crate::commitments::Committer;
use crate::entropy::Entropy;

/// Step 1: the combined row `v` and its blinding.
pub struct CombinedRow {
    /// `v`.
    pub values: Vec<F>,
    /// `ρ*`.
    pub blinding: F,
}

/// Points that a thread folds at once: an inversion a step is little beside them, and their multiples stay in its cache.
const FOLDED: usize = 2048;

/// `G_lo + u·G_hi`.
fn fold_bases(bases: &[Point], challenge: &F) -> Vec<Point> {
    let (low, high) = bases.split_at(bases.len() / 2);
    let folding = Folding::new(challenge);
    let block = low.len().div_ceil(rayon::current_num_threads()).clamp(1, FOLDED);
    let blocks: Vec<Vec<Point>> = low
        .par_chunks(block)
        .zip(high.par_chunks(block))
        .map(|(low, high)| folding.fold(low, high))
        .collect();
    blocks.concat()
}

/// Steps 2–4. `value_blinding` opens the sealed commitment `Y`.
pub fn prove(
    transcript: &mut Transcript,
    statement: OpeningStatement<'_>,
    row: CombinedRow,
    value_blinding: F,
    generators: &Generators,
    committer: &Committer<'_>,
    entropy: &mut Entropy,
) -> Result<OpeningProof, ProveError> {
    let mut weights = eq_table(statement.columns());
    let mut vector = row.values;
    let mut bases = generators.rows()[..vector.len()].to_vec();
    let value_challenge = draw_value_challenge(transcript, &statement.public_share);
    let mut blinding = row.blinding + value_challenge * value_blinding;
    let mut rounds = Vec::new();
    while vector.len() > 1 {
        let half = vector.len() / 2;
        let (left_blinding, right_blinding) = (entropy.scalar(), entropy.scalar());
        let cross = |values: &[F], bases: &[Point], weights: &[F], blinding: &F| {
            let value = inner_product(values, weights) * value_challenge;
            (multi_exponentiation(bases, values) + committer.value(&value, blinding)).into_affine()
        };
        let left = cross(&vector[..half], &bases[half..], &weights[half..], &left_blinding);
        let right = cross(&vector[half..], &bases[..half], &weights[..half], &right_blinding);
        let challenge = draw_round_challenge(transcript, &left, &right);
        let inverse = challenge.inverse().ok_or(ProveError::ZeroChallenge)?;
        let fold = |array: &[F], factor: &F| -> Vec<F> {
            let (low, high) = array.split_at(half);
            low.iter().zip(high).map(|(l, h)| *l + *factor * h).collect()
        };
        vector = fold(&vector, &inverse);
        weights = fold(&weights, &challenge);
        bases = fold_bases(&bases, &challenge);
        blinding += challenge * left_blinding + inverse * right_blinding;
        rounds.push((left, right));
    }
    let (mask, mask_blinding) = (entropy.scalar(), entropy.scalar());
    let mask_point = (bases[0] * mask
        + committer.value(&(mask * weights[0] * value_challenge), &mask_blinding))
    .into_affine();
    let challenge = draw_mask_challenge(transcript, &mask_point);
    let response = mask + challenge * vector[0];
    let response_blinding = mask_blinding + challenge * blinding;
    absorb_response(transcript, &response, &response_blinding);
    Ok(OpeningProof { rounds, mask: mask_point, response, blinding: response_blinding })
}
