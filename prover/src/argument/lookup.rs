//! The proving half of `circuits::argument::lookup`: the rounds over the device's tree of fractions.

use ark_ff::Field;
use weightproof_circuits::argument::lookup::{LookupChallenges, queries};
use weightproof_circuits::argument::sumcheck::as_point;
use weightproof_circuits::field::F;
use weightproof_gpu_kernels::kernels::LookupTree;

use super::channel::Channel;
use super::prover::Prover;
use super::sumcheck::complete_quadratic;
use super::{ProveError, ProvedClaim};
use crate::progress::Progress;

/// Steps 1–4.
pub fn prove(
    prover: &Prover<'_>,
    channel: &mut dyn Channel,
    claims: &mut Vec<ProvedClaim>,
    progress: &dyn Progress,
) -> Result<(), ProveError> {
    let layout = prover.witness.layout;
    let variables = layout.variables;
    progress.begin("lookups", variables as u64 + 4);
    let gamma = channel.challenge("gamma");
    let beta = channel.challenge("beta");
    let alpha = channel.challenge("alpha");
    let mut tree = prover.session().lookup(&LookupChallenges { gamma, beta, alpha })?;
    progress.advance(4);

    let mut children = tree.root();
    channel.send("fractions", children.to_vec());
    let mut point: Vec<F> = Vec::new();
    loop {
        let low = channel.challenge("nu");
        let between = |a: F, b: F| a + low * (b - a);
        let numerator = between(children[0], children[1]);
        let denominator = between(children[2], children[3]);
        point.push(low);
        progress.advance(1);
        if progress.cancelled() {
            return Err(ProveError::Cancelled);
        }
        if point.len() == variables {
            break;
        }
        let lambda = channel.challenge("lambda");
        let claim = numerator + lambda * denominator;
        tree.descend(&point, &lambda)?;
        let rounds = prove_layer(channel, &mut *tree, &point, claim)?;
        point = as_point(&rounds);
        children = tree.children()?;
        channel.send("fractions", children.to_vec());
    }
    // The storage of the tree is not needed for what follows.
    drop(tree);
    let message = prover.answer(queries(layout, &point), claims)?;
    channel.send("leaves", message);
    Ok(())
}

/// The sumcheck of one layer; returns the challenges in round order.
fn prove_layer(
    channel: &mut dyn Channel,
    tree: &mut dyn LookupTree,
    point: &[F],
    mut claim: F,
) -> Result<Vec<F>, ProveError> {
    let mut challenges = Vec::with_capacity(point.len());
    for weight in point.iter().rev() {
        let (zero, leading) = tree.round()?;
        let inverse = weight.inverse().ok_or(ProveError::ZeroChallenge)?;
        let message = complete_quadratic(&claim, &inverse, zero, leading);
        channel.send("fraction rounds", message.clone());
        let challenge = channel.challenge("fraction rounds");
        claim += message[0] * (challenge - weight) + message[1] * (challenge.square() - weight);
        challenges.push(challenge);
        tree.bind(&challenge)?;
    }
    Ok(challenges)
}
