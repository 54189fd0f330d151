//! The proving half of `weightproof_circuits::argument`: the same pieces, in the same order, under the same names.

pub mod channel;
pub mod gates;
pub mod lookup;
pub mod polynomial;
pub mod products;
pub mod reduction;
pub mod relations;
pub mod sumcheck;
pub mod weights;
pub mod witness;

use std::time::Instant;

use weightproof_circuits::argument::claims::{Query, Target};
use weightproof_circuits::field::F;

pub use channel::{Channel, ClearChannel};
pub use reduction::Opening;
pub use witness::Witness;

/// Why an argument could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// A round challenge is zero: probability 2^-254; proving again draws others.
    #[error("a challenge is zero, which happens once in 2^254 runs; prove again")]
    ZeroChallenge,
    /// A value is not an entry of the table that its block declares.
    #[error("witness block {block} holds {value} at position {position}, which its table does not contain")]
    OutsideTable {
        /// The block.
        block: String,
        /// Position inside the block.
        position: usize,
        /// The value.
        value: i64,
    },
    /// The caller asked to stop.
    #[error("interrupted; nothing was written")]
    Cancelled,
}

/// A claim and its value.
#[derive(Clone, Debug)]
pub struct ProvedClaim {
    /// What is claimed.
    pub query: Query<F>,
    /// The value.
    pub value: F,
}

/// Seconds a stage took.
pub type StageTimes = Vec<(&'static str, f64)>;

/// Runs the argument over a witness whose commitments the channel's transcript is already bound to.
pub fn prove(
    witness: &Witness<'_>,
    channel: &mut dyn Channel,
    progress: &dyn crate::progress::Progress,
    times: &mut StageTimes,
) -> Result<Opening, ProveError> {
    let mut claims = Vec::new();
    let mut clock = Instant::now();
    let mut lap = |name: &'static str| {
        times.push((name, clock.elapsed().as_secs_f64()));
        clock = Instant::now();
        if progress.cancelled() { Err(ProveError::Cancelled) } else { Ok(()) }
    };
    progress.begin("products", 4);
    let relation = relations::prove(witness, channel, &mut claims);
    lap("relations")?;
    progress.advance(1);
    let product = products::prove(witness, channel, &relation, &mut claims)?;
    lap("products")?;
    progress.advance(1);
    weights::prove(witness, channel, &relation, &product, &mut claims)?;
    lap("weights")?;
    progress.advance(1);
    gates::prove(witness, channel, &relation, &mut claims)?;
    lap("gates")?;
    progress.advance(1);
    lookup::prove(witness, channel, &mut claims, progress)?;
    lap("lookups")?;
    progress.begin("reduction", 1);
    let opening = reduction::prove(witness, channel, &claims)?;
    lap("reduction")?;
    progress.advance(1);
    Ok(opening)
}

/// Evaluates queries and records them as claims; returns the values in order.
fn answer(witness: &Witness<'_>, queries: Vec<Query<F>>, claims: &mut Vec<ProvedClaim>) -> Vec<F> {
    queries
        .into_iter()
        .map(|query| {
            let value = witness.evaluate(&query);
            claims.push(ProvedClaim { query, value });
            value
        })
        .collect()
}

/// Whether a claim is left to the gates.
fn is_gated(claim: &ProvedClaim) -> bool {
    matches!(claim.query.target, Target::GatedActivation(_) | Target::GatedError(_))
}
