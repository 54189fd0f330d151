//! One contribution from base model and committed rows to proof bytes.

use std::ops::ControlFlow;
use std::time::Instant;

use rayon::prelude::*;
use weightproof_circuits::algebra::Check;
use weightproof_circuits::argument::{self, OpeningClaim};
use weightproof_circuits::batches::{BatchError, indices};
use weightproof_circuits::curve::Generators;
use weightproof_circuits::exact::exp_table;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::merkle::MerkleError;
use weightproof_circuits::parameters::{Parameters, ShapeError};
use weightproof_circuits::program::Program;
use weightproof_circuits::seal::sigma::Committed;
use weightproof_circuits::statement::{MODE_OPEN, PROTOCOL_VERSION, SEAL_SIGMA, Statement};
use weightproof_verifier::binding::{distinct_rows, transcript};
use weightproof_verifier::contribution::{Contribution, Proof};
use weightproof_verifier::generator_counts;
use weightproof_verifier::opening::OpeningStatement;

use crate::argument::{ProveError, StageTimes, Witness, prove};
use crate::commitments::Committer;
use crate::dataset::CommittedDataset;
use crate::entropy::{Entropy, EntropyError};
use crate::opening;
use crate::progress::Progress;
use crate::seal::{self, SealedChannel};
use crate::trainer::{StepReport, TrainError, train};

/// What a contribution is to be about.
pub struct Job<'a> {
    /// The program.
    pub program: &'a Program,
    /// The model that training starts from.
    pub base: &'a Parameters,
    /// Its version.
    pub model_version: u64,
    /// The data.
    pub dataset: &'a CommittedDataset,
    /// The learning task; zero in a local run.
    pub space: [u8; 32],
    /// The round; zero in a local run.
    pub round: u64,
    /// Randomness drawn after the dataset was committed.
    pub beacon: [u8; 32],
    /// Public key of the contributor.
    pub contributor: [u8; 32],
    /// Account to reward.
    pub payout: Vec<u8>,
    /// Hedges the system's randomness; may be empty.
    pub secret: &'a [u8],
}

/// A finished contribution.
pub struct Made {
    /// The contribution file.
    pub bytes: Vec<u8>,
    /// The update.
    pub update: Parameters,
    /// The statement.
    pub statement: Statement,
    /// Bytes of statement and proof, without the update.
    pub proof_bytes: usize,
    /// Loss and accuracy of each step.
    pub steps: Vec<StepReport>,
    /// Seconds of exact training.
    pub train_seconds: f64,
    /// Seconds of proving, training excluded.
    pub prove_seconds: f64,
    /// Seconds of each proving stage.
    pub stages: StageTimes,
}

/// Why a contribution was not made. Nothing is lost: the caller still has model and data.
#[derive(Debug, thiserror::Error)]
pub enum ContributeError {
    /// Training left its range or was interrupted.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The batches cannot be drawn.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The base model does not fit the program.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Row indices are not of the dataset.
    #[error(transparent)]
    Membership(#[from] MerkleError),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The argument could not be finished.
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// The self-check before sealing found a false check; this is a defect of the prover, not of the data.
    #[error(
        "the prover's self-check failed at {0:?}: expected every check to hold before sealing; please report this with the program file"
    )]
    SelfCheck(Check),
    /// Fewer generators than the program needs.
    #[error(
        "expected at least {rows} row and {messages} message generators for this program, found fewer; derive them again"
    )]
    Generators {
        /// Rows needed.
        rows: usize,
        /// Messages needed.
        messages: usize,
    },
}

/// Derives generators in parallel.
pub fn derive_generators(rows: usize, messages: usize) -> Generators {
    use weightproof_circuits::curve::{Domain, generator};
    let derive = |domain, count: usize| {
        (0..count).into_par_iter().with_min_len(16).map(|i| generator(domain, i as u64)).collect()
    };
    Generators::from_parts(derive(Domain::Row, rows), derive(Domain::Message, messages))
}

/// The chosen rows of every batch, gathered: inputs and labels.
pub fn gather(dataset: &CommittedDataset, chosen: &[u32]) -> (Vec<i16>, Vec<i16>) {
    let examples = dataset.examples();
    let pick = |values: &[i16], width: usize| -> Vec<i16> {
        chosen
            .iter()
            .flat_map(|i| values[*i as usize * width..(*i as usize + 1) * width].iter().copied())
            .collect()
    };
    (pick(&examples.features, examples.inputs), pick(&examples.labels, examples.outputs))
}

/// Trains on the rows that the beacon chooses and proves it.
///
/// # Errors
/// See [`ContributeError`].
pub fn contribute(
    job: &Job<'_>,
    committer: &Committer<'_>,
    progress: &dyn Progress,
) -> Result<Made, ContributeError> {
    let program = job.program;
    let layout = Layout::new(program);
    let (rows, messages) = generator_counts(&layout, program);
    let generators = committer.generators;
    if generators.rows().len() < rows || generators.messages().len() < messages {
        return Err(ContributeError::Generators { rows, messages });
    }
    let mut statement = Statement {
        protocol_version: PROTOCOL_VERSION,
        seal: SEAL_SIGMA,
        seal_key_digest: [0; 32],
        mode: MODE_OPEN,
        space: job.space,
        round: job.round,
        beacon: job.beacon,
        program_digest: program.digest(),
        dataset_root: job.dataset.root(),
        dataset_rows: job.dataset.rows() as u64,
        model_version: job.model_version,
        model_digest: job.base.digest(program)?,
        update_digest: [0; 32],
        contributor: job.contributor,
        payout: job.payout.clone(),
    };
    let chosen = indices(&statement.batch_seed(), statement.dataset_rows, program.steps(), program.batch())?;

    let clock = Instant::now();
    progress.begin("train", program.steps() as u64);
    let (x, y) = gather(job.dataset, &chosen);
    let training = train(program, job.base, &x, &y, &mut |_| {
        progress.advance(1);
        if progress.cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let train_seconds = clock.elapsed().as_secs_f64();
    statement.update_digest = training.update.digest(program)?;

    let clock = Instant::now();
    let mut stages: StageTimes = Vec::new();
    let mut stage_clock = clock;
    let exponential = exp_table(program.activation_bits());
    let mut witness =
        Witness::new(program, &layout, &training.trace, job.base, &training.update, &exponential);
    drop(training.trace);
    witness.count_multiplicities()?;
    lap("witness", &mut stage_clock, &mut stages);
    let mut entropy = Entropy::new(job.secret, &statement.digest())?;
    let sealing = Sealing {
        statement: &statement,
        dataset: job.dataset,
        chosen: &chosen,
        committer,
        progress,
        self_check: true,
    };
    let proof = prove_witness(&witness, &sealing, &mut entropy, &mut stages)?;
    let proof = proof.encode();
    let proof_bytes = statement.encode().len() + proof.len();
    drop(witness);
    let contribution = Contribution { program: program.clone(), update: training.update, statement, proof };
    let bytes = contribution.encode();
    Ok(Made {
        bytes,
        update: contribution.update,
        statement: contribution.statement,
        proof_bytes,
        steps: training.steps,
        train_seconds,
        prove_seconds: clock.elapsed().as_secs_f64(),
        stages,
    })
}

/// Notes the time since the last stage ended.
fn lap(stage: &'static str, clock: &mut Instant, stages: &mut StageTimes) {
    stages.push((stage, clock.elapsed().as_secs_f64()));
    *clock = Instant::now();
}

/// Everything around a witness that its proof is bound to.
#[derive(Clone, Copy)]
pub struct Sealing<'a> {
    /// What the proof is about.
    pub statement: &'a Statement,
    /// The data.
    pub dataset: &'a CommittedDataset,
    /// The row of each (step, example), in order.
    pub chosen: &'a [u32],
    /// Generators and tables.
    pub committer: &'a Committer<'a>,
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// Whether a false check stops the prover before it seals. Without it a cheating witness is sealed like an honest one,
    /// and it is the verifier that refuses.
    pub self_check: bool,
}

/// Commits a witness, proves the argument under the seal, and opens it. `entropy` must never be used again.
///
/// # Errors
/// See [`ContributeError`].
pub fn prove_witness(
    witness: &Witness<'_>,
    sealing: &Sealing<'_>,
    entropy: &mut Entropy,
    stages: &mut StageTimes,
) -> Result<Proof, ContributeError> {
    let Sealing { statement, dataset, chosen, committer, progress, self_check } = *sealing;
    let (layout, program) = (witness.layout, witness.program);
    let mut clock = Instant::now();
    // Step 1: commit the stack, row by row.
    let width = 1usize << layout.column_variables;
    let witness_blindings = entropy.scalars(1 << layout.matrix_row_variables());
    progress.begin("commit", witness_blindings.len() as u64);
    let witness_rows =
        committer.rows(&witness.stack, width, &witness_blindings, progress).ok_or(ProveError::Cancelled)?;
    let (distinct, places) = distinct_rows(chosen);
    let opened: Vec<_> = distinct.iter().filter_map(|i| dataset.row(*i)).collect();
    let dataset_rows: Vec<_> = opened.iter().map(|(point, _)| *point).collect();
    let membership = dataset.membership(&distinct)?;
    lap("commit", &mut clock, stages);

    // Steps 2–7 under the seal.
    let bound = transcript(statement, &witness_rows, &dataset_rows);
    let mut channel = SealedChannel::new(bound.clone(), committer, entropy);
    let opening = prove(witness, &mut channel, progress, stages)?;
    let (values, blindings, commitments) = (
        std::mem::take(&mut channel.values),
        std::mem::take(&mut channel.blindings),
        std::mem::take(&mut channel.commitments),
    );
    drop(channel);
    // The argument's pieces have noted their own times.
    clock = Instant::now();

    // The verifier's own run over the commitments yields the checks to seal.
    progress.begin("seal", 1);
    let mut bound = bound;
    let mut algebra = Committed::new(&mut bound, &commitments);
    let OpeningClaim { point, coefficients, .. } = argument::check(&mut algebra, layout, program)
        .map_err(|_| ContributeError::SelfCheck(Check::OpeningValue))?;
    let system = algebra.finish().map_err(|_| ContributeError::SelfCheck(Check::OpeningValue))?;
    if self_check && let Some(check) = system.violated(&values) {
        return Err(ContributeError::SelfCheck(check));
    }
    let seal = seal::prove(&mut bound, &system, &values, &blindings, committer, entropy);
    lap("seal", &mut clock, stages);

    // The opening.
    progress.begin("open", 1);
    let [witness_coefficient, data_coefficient, ..] = coefficients;
    let public_share = weightproof_verifier::public::share(
        layout,
        program,
        witness.base,
        witness.update,
        &point,
        &coefficients,
    );
    let opening_statement = OpeningStatement {
        layout,
        point: &opening.point,
        witness_coefficient,
        data_coefficient,
        public_share,
    };
    let row_weights = opening_statement.witness_weights();
    let data_weights = opening_statement.data_weights(&places, distinct.len());
    let data_width = 1usize << layout.data_variables;
    let data_rows = distinct_data(witness, &places, distinct.len(), data_width);
    let combined = opening::combine(
        width,
        &[(&witness.stack, width, &row_weights), (&data_rows, data_width, &data_weights)],
        row_weights
            .iter()
            .copied()
            .zip(witness_blindings.iter().copied())
            .chain(data_weights.iter().copied().zip(opened.iter().map(|(_, blinding)| *blinding))),
    );
    let value_blinding = blindings.last().copied().unwrap_or_default();
    let opening = opening::prove(
        &mut bound,
        opening_statement,
        combined,
        value_blinding,
        committer.generators,
        committer,
        entropy,
    )?;
    lap("open", &mut clock, stages);
    progress.advance(1);
    Ok(Proof { witness_rows, dataset_rows, membership, messages: commitments, seal, opening })
}

/// One padded row for each distinct dataset row, as the dataset committed it.
fn distinct_data(witness: &Witness<'_>, places: &[usize], distinct: usize, width: usize) -> Vec<i32> {
    let layout = witness.layout;
    let mut rows = vec![0i32; distinct * width];
    for (position, place) in places.iter().enumerate() {
        let (step, example) = (position / layout.batch, position % layout.batch);
        let source = ((step << layout.example_variables) | example) * width;
        rows[place * width..(place + 1) * width].copy_from_slice(&witness.data[source..source + width]);
    }
    rows
}
