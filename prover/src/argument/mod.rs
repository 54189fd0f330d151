//! The proving half of `weightproof_circuits::argument`: the same pieces, in the same order, under the same names.

pub mod channel;
pub mod gates;
pub mod lookup;
pub mod polynomial;
pub mod products;
pub mod prover;
pub mod reduction;
pub mod relations;
pub mod sumcheck;
pub mod weights;
pub mod witness;

use std::time::Instant;

use weightproof_circuits::argument::claims::{Query, Target};
use weightproof_circuits::field::F;
use weightproof_gpu_kernels::kernels::KernelError;

pub use channel::{Channel, ClearChannel};
pub use prover::Prover;
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
    /// The device that was to prove failed; another can prove the same contribution.
    #[error("{device}: {reason}")]
    Device {
        /// The device.
        device: String,
        /// What it reported.
        reason: String,
    },
}

impl From<KernelError> for ProveError {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Cancelled => Self::Cancelled,
            KernelError::Device { device, reason } => Self::Device { device, reason },
        }
    }
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
    prover: &Prover<'_>,
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
    let relation = relations::prove(prover, channel, &mut claims)?;
    lap("relations")?;
    progress.advance(1);
    let product = products::prove(prover, channel, &relation, &mut claims)?;
    lap("products")?;
    progress.advance(1);
    weights::prove(prover, channel, &relation, &product, &mut claims)?;
    lap("weights")?;
    progress.advance(1);
    gates::prove(prover, channel, &relation, &mut claims)?;
    lap("gates")?;
    progress.advance(1);
    lookup::prove(prover, channel, &mut claims, progress)?;
    lap("lookups")?;
    progress.begin("reduction", 1);
    let opening = reduction::prove(prover, channel, &claims)?;
    lap("reduction")?;
    progress.advance(1);
    Ok(opening)
}

/// Whether a claim is left to the gates.
fn is_gated(claim: &ProvedClaim) -> bool {
    matches!(claim.query.target, Target::GatedActivation(_) | Target::GatedError(_))
}
