//! The proving half of `circuits::seal::sigma`.

use rayon::prelude::*;
use weightproof_circuits::algebra::OPENING_VALUE;
use weightproof_circuits::curve::{Point, Projective, normalize};
use weightproof_circuits::field::F;
use weightproof_circuits::seal::sigma::{
    MessageKind, SigmaProof, System, absorb_responses, draw_batching, draw_challenge, quadratic_value,
};
use weightproof_circuits::transcript::Transcript;
use zeroize::Zeroize;

use ark_ec::CurveGroup;
use ark_ff::{AdditiveGroup, Field};

use crate::argument::Channel;
use crate::commitments::Committer;
use crate::entropy::Entropy;
use weightproof_circuits::algebra::Powers;

/// Sends every message as a hiding commitment; keeps the messages for the Σ-protocol.
pub struct SealedChannel<'a> {
    transcript: Transcript,
    committer: &'a Committer<'a>,
    entropy: &'a mut Entropy,
    /// All hidden values, one message after another.
    pub values: Vec<F>,
    /// A blinding a message.
    pub blindings: Vec<F>,
    /// A commitment a message.
    pub commitments: Vec<Point>,
}

impl<'a> SealedChannel<'a> {
    /// Sends under a transcript that is bound to the statement and the commitments.
    pub fn new(transcript: Transcript, committer: &'a Committer<'a>, entropy: &'a mut Entropy) -> Self {
        Self {
            transcript,
            committer,
            entropy,
            values: Vec::new(),
            blindings: Vec::new(),
            commitments: Vec::new(),
        }
    }

    fn push(&mut self, label: &'static str, values: &[F], blinding: F, commitment: Projective) {
        let commitment = commitment.into_affine();
        self.transcript.absorb_points(label, &[commitment]);
        self.values.extend_from_slice(values);
        self.blindings.push(blinding);
        self.commitments.push(commitment);
    }
}

impl Drop for SealedChannel<'_> {
    fn drop(&mut self) {
        self.values.zeroize();
        self.blindings.zeroize();
    }
}

impl Channel for SealedChannel<'_> {
    fn send(&mut self, label: &'static str, mut values: Vec<F>) {
        let blinding = self.entropy.scalar();
        let commitment = self.committer.message(&values, &blinding);
        self.push(label, &values, blinding, commitment);
        values.zeroize();
    }

    fn send_opening_value(&mut self, value: F) {
        let blinding = self.entropy.scalar();
        let commitment = self.committer.value(&value, &blinding);
        self.push(OPENING_VALUE, &[value], blinding, commitment);
    }

    fn challenge(&mut self, label: &'static str) -> F {
        self.transcript.challenge(label)
    }
}

/// Steps 2 and 3 of the seal, over a transcript that has absorbed all commitments.
pub fn prove(
    transcript: &mut Transcript,
    system: &System,
    values: &[F],
    blindings: &[F],
    committer: &Committer<'_>,
    entropy: &mut Entropy,
) -> SigmaProof {
    let batching = draw_batching(transcript);
    let mut masks = entropy.scalars(system.values);
    let mut mask_blindings = entropy.scalars(system.messages.len());
    let commitments: Vec<Projective> = system
        .messages
        .par_iter()
        .with_min_len(8)
        .zip(&mask_blindings)
        .map(|(message, blinding)| {
            let own = &masks[message.offset..message.offset + message.length];
            match message.kind {
                MessageKind::Message => committer.message(own, blinding),
                MessageKind::Value => committer.value(&own[0], blinding),
            }
        })
        .collect();
    let mask_points = normalize(&commitments);

    // Q̂(s + e·x, e) = T₀ + e·T₁ + e²·0: T₀ is its value at e = 0, T₁ follows from the value at e = 1.
    let shifted: Vec<F> = masks.iter().zip(values).map(|(s, x)| *s + x).collect();
    let at_zero = quadratic_value(system, batching, &masks, &F::ZERO);
    let at_one = quadratic_value(system, batching, &shifted, &F::ONE);
    let cross = [at_zero, at_one - at_zero];
    let cross_blindings = entropy.scalars(2);
    let cross_terms = [0, 1].map(|i| committer.message(&cross[i..=i], &cross_blindings[i]).into_affine());
    let mut powers = Powers::new(batching);
    let linear_mask: F = system.linear.iter().map(|(_, form)| powers.draw() * form.linear_part(&masks)).sum();

    let challenge = draw_challenge(transcript, &mask_points, &cross_terms, &linear_mask);
    let responses: Vec<F> = masks.iter().zip(values).map(|(s, x)| *s + challenge * x).collect();
    let response_blindings: Vec<F> =
        mask_blindings.iter().zip(blindings).map(|(s, r)| *s + challenge * r).collect();
    let cross_blinding = cross_blindings[0] + challenge * cross_blindings[1];
    absorb_responses(transcript, &responses, &response_blindings, &cross_blinding);
    masks.zeroize();
    mask_blindings.zeroize();
    SigmaProof {
        masks: mask_points,
        cross_terms,
        linear_mask,
        responses,
        blindings: response_blindings,
        cross_blinding,
    }
}
