//! One contribution from base model and committed rows to proof bytes.

use std::ops::ControlFlow;
use std::time::Instant;

use ark_ff::AdditiveGroup;
use rayon::prelude::*;
use weightproof_circuits::algebra::Check;
use weightproof_circuits::argument::{self, OpeningClaim};
use weightproof_circuits::batches::{BatchError, indices};
use weightproof_circuits::curve::{Generators, Point};
use weightproof_circuits::exact::exp_table;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::merkle::{MerkleError, MultiProof};
use weightproof_circuits::parameters::{Parameters, ShapeError};
use weightproof_circuits::pasta::digest_limbs;
use weightproof_circuits::program::Program;
use weightproof_circuits::seal::halo2::algebra::Input;
use weightproof_circuits::seal::sigma;
use weightproof_circuits::statement::{MODE_OPEN, PROTOCOL_VERSION, SEAL_HALO2, SEAL_SIGMA, Statement};
use weightproof_circuits::transcript::Transcript;
use weightproof_gpu_kernels::cpu::integers::{Integers, combine, has_vectors};
use weightproof_gpu_kernels::cpu::session::cpu;
use weightproof_gpu_kernels::kernels::{KernelError, Kernels, Source, TrainingInput};
use weightproof_verifier::binding::{absorb_seal, compact_transcript, distinct_rows, transcript};
use weightproof_verifier::contribution::{CompactProof, Contribution, Proof};
use weightproof_verifier::generator_counts;
use weightproof_verifier::opening::{OpeningProof, OpeningStatement};
use zeroize::{Zeroize, Zeroizing};

use crate::argument::{ProveError, Prover, StageTimes, Witness, prove};
use crate::commitments::Committer;
use crate::dataset::CommittedDataset;
use crate::entropy::{Entropy, EntropyError};
use crate::halo2::{PoseidonChannel, SealProver};
use crate::opening::{self, CombinedRow};
use crate::progress::Progress;
use crate::seal::{self, SealedChannel};
use crate::trainer::{StepReport, TrainError, Training, reports, train};

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
    /// What makes the proof zero-knowledge.
    pub seal: Seal<'a>,
    /// Where to train and prove. Should the device fail, the CPU takes over; the proof is the same but for its randomness.
    pub kernels: &'a dyn Kernels,
}

/// The seal of a contribution.
#[derive(Clone, Copy)]
pub enum Seal<'a> {
    /// One Σ-protocol: fast to make.
    Sigma,
    /// A halo2 proof, under the program's key: compact.
    Halo2(&'a SealProver),
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
    /// The device that made the proof.
    pub device: String,
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
    /// halo2 refused the circuit or its witness; this is a defect of the prover, not of the data.
    #[error("expected halo2 to prove the circuit, found: {0}; please report this with the program file")]
    Halo2(String),
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
    let (seal, seal_key_digest) = match job.seal {
        Seal::Sigma => (SEAL_SIGMA, [0; 32]),
        Seal::Halo2(key) => (SEAL_HALO2, key.seal_key().key.digest),
    };
    let layout = match job.seal {
        Seal::Sigma => Layout::new(program),
        Seal::Halo2(_) => Layout::new(program).masked(),
    };
    let (rows, messages) = generator_counts(&layout, program);
    let generators = committer.generators;
    if generators.rows().len() < rows || generators.messages().len() < messages {
        return Err(ContributeError::Generators { rows, messages });
    }
    let mut statement = Statement {
        protocol_version: PROTOCOL_VERSION,
        seal,
        seal_key_digest,
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
    let training = train_on(job, &x, &y, progress)?;
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
    let sealing = Sealing {
        statement: &statement,
        dataset: job.dataset,
        chosen: &chosen,
        committer,
        kernels: job.kernels,
        progress,
        self_check: true,
    };
    let mut seal_on = |kernels: &dyn Kernels, stages: &mut StageTimes| -> Result<Vec<u8>, ContributeError> {
        let sealing = Sealing { kernels, ..sealing };
        // Randomness is never used twice: every attempt has its own.
        let mut entropy = Entropy::new(job.secret, &statement.digest())?;
        Ok(match job.seal {
            Seal::Sigma => prove_witness(&witness, &sealing, &mut entropy, stages)?.encode(),
            Seal::Halo2(key) => prove_compact(&mut witness, &sealing, key, &mut entropy, stages)?.encode(),
        })
    };
    let before = stages.len();
    let mut device = job.kernels;
    let proof = match seal_on(device, &mut stages) {
        Err(ContributeError::Prove(ProveError::Device { device: name, reason })) => {
            progress.note(&fallback(&name, &reason));
            stages.truncate(before);
            device = cpu();
            seal_on(device, &mut stages)?
        }
        result => result?,
    };
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
        device: device.device(),
    })
}

/// What people are told when a device fails.
fn fallback(device: &str, reason: &str) -> String {
    format!("{device} failed ({reason}); the CPU goes on, nothing is lost")
}

/// Trains on the job's device, and on the CPU where that has no exact way or fails.
fn train_on(
    job: &Job<'_>,
    x: &[i16],
    y: &[i16],
    progress: &dyn Progress,
) -> Result<Training, ContributeError> {
    let Job { program, base, kernels, .. } = *job;
    let mut completed = 0;
    let mut go_on = |step: usize| {
        completed = step + 1;
        progress.advance(1);
        !progress.cancelled()
    };
    match kernels.train(TrainingInput { program, base, x, y }, &mut go_on) {
        Ok(Some((trace, update))) => {
            let steps = reports(program, &trace);
            return Ok(Training { trace, update, steps });
        }
        Ok(None) => {}
        Err(KernelError::Cancelled) => return Err(TrainError::Interrupted { completed }.into()),
        Err(KernelError::Device { device, reason }) => progress.note(&fallback(&device, &reason)),
    }
    // From the first step again.
    progress.begin("train", program.steps() as u64);
    Ok(train(program, base, x, y, &mut |report| {
        if go_on(report.step) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?)
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
    /// Where the proof is made.
    pub kernels: &'a dyn Kernels,
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// Whether a false check stops the prover before it seals. Without it a cheating witness is sealed like an honest one,
    /// and it is the verifier that refuses.
    pub self_check: bool,
}

/// The committed rows of a contribution, with what opens them.
struct Committed<'a> {
    /// Rows of the witness matrix.
    rows: Vec<Point>,
    blindings: Vec<F>,
    /// Dataset rows in use, by ascending index, with their blindings.
    dataset: Vec<(Point, F)>,
    /// The dataset row of each (step, example).
    places: Vec<usize>,
    membership: MultiProof,
    width: usize,
    sealing: &'a Sealing<'a>,
}

impl<'a> Committed<'a> {
    /// Commits the stack, row by row, and takes the chosen dataset rows' commitments.
    fn new(
        prover: &Prover<'_>,
        sealing: &'a Sealing<'a>,
        entropy: &mut Entropy,
    ) -> Result<Self, ContributeError> {
        let Sealing { dataset, chosen, committer, progress, .. } = *sealing;
        let witness = prover.witness;
        let width = 1usize << witness.layout.column_variables;
        let blindings = entropy.scalars(1 << witness.layout.matrix_row_variables());
        progress.begin("commit", blindings.len() as u64);
        let rows = committer.stack(prover.session(), width, &blindings, progress)?;
        let (distinct, places) = distinct_rows(chosen);
        let opened = distinct.iter().filter_map(|i| dataset.row(*i)).collect();
        let membership = dataset.membership(&distinct)?;
        Ok(Self { rows, blindings, dataset: opened, places, membership, width, sealing })
    }

    fn dataset_rows(&self) -> Vec<Point> {
        self.dataset.iter().map(|(point, _)| *point).collect()
    }

    /// Opens the committed rows at `point`. `value` is the opened value where it is public, and zero where it is sealed
    /// under `value_blinding`; `mask_blinding` opens the mask's row.
    fn open(
        &self,
        prover: &Prover<'_>,
        transcript: &mut Transcript,
        claim: &Claim<'_>,
        entropy: &mut Entropy,
    ) -> Result<OpeningProof, ContributeError> {
        let witness = prover.witness;
        let layout = witness.layout;
        let Claim { point, coefficients, value, value_blinding, mask_blinding } = *claim;
        let parameters = [witness.base, witness.update];
        let statement =
            OpeningStatement::new(layout, witness.program, parameters, point, coefficients, value);
        let row_weights = statement.witness_weights();
        let data_weights = statement.data_weights(&self.places, self.dataset.len());
        let data_width = 1usize << layout.data_variables;
        let data_rows = distinct_data(witness, &self.places, self.dataset.len(), data_width);
        let blindings = row_weights
            .iter()
            .copied()
            .zip(self.blindings.iter().copied())
            .chain(data_weights.iter().copied().zip(self.dataset.iter().map(|(_, blinding)| *blinding)))
            .chain([(coefficients[5], mask_blinding)]);
        let stack = Source::Stack(0..witness.stack.len());
        let mut values =
            prover.session().combine_rows(&stack, self.width, 1, &row_weights).map_err(ProveError::from)?;
        let data = combine(has_vectors(), Integers::Small(&data_rows), data_width, &data_weights);
        for (sum, entry) in values.iter_mut().zip(&data) {
            *sum += entry;
        }
        for (sum, entry) in values.iter_mut().zip(&witness.mask) {
            *sum += coefficients[5] * entry;
        }
        let blinding = blindings.map(|(weight, blinding)| weight * blinding).sum();
        let combined = CombinedRow { values, blinding };
        let committer = self.sealing.committer;
        let generators = committer.generators;
        let proof =
            opening::prove(transcript, statement, combined, value_blinding, generators, committer, entropy)?;
        Ok(proof)
    }
}

/// What an opening shows.
#[derive(Clone, Copy)]
struct Claim<'a> {
    point: &'a [F],
    coefficients: &'a [F; 6],
    value: F,
    value_blinding: F,
    mask_blinding: F,
}

/// Commits a witness, proves the argument under the sigma seal, and opens it. `entropy` must never be used again.
///
/// # Errors
/// See [`ContributeError`].
pub fn prove_witness(
    witness: &Witness<'_>,
    sealing: &Sealing<'_>,
    entropy: &mut Entropy,
    stages: &mut StageTimes,
) -> Result<Proof, ContributeError> {
    let Sealing { statement, committer, kernels, progress, self_check, .. } = *sealing;
    let (layout, program) = (witness.layout, witness.program);
    let mut clock = Instant::now();
    let prover = Prover::new(witness, kernels)?;
    let committed = Committed::new(&prover, sealing, entropy)?;
    let dataset_rows = committed.dataset_rows();
    lap("commit", &mut clock, stages);

    // Steps 2–7 under the seal.
    let bound = transcript(statement, &committed.rows, &dataset_rows);
    let mut channel = SealedChannel::new(bound.clone(), committer, entropy);
    prove(&prover, &mut channel, progress, stages)?;
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
    let mut algebra = sigma::Committed::new(&mut bound, &commitments);
    let OpeningClaim { point, coefficients, .. } = argument::check(&mut algebra, layout, program)
        .map_err(|_| ContributeError::SelfCheck(Check::OpeningValue))?;
    let system = algebra.finish().map_err(|_| ContributeError::SelfCheck(Check::OpeningValue))?;
    if self_check && let Some(check) = system.violated(&values) {
        return Err(ContributeError::SelfCheck(check));
    }
    let seal = seal::prove(&mut bound, &system, &values, &blindings, committer, entropy);
    lap("seal", &mut clock, stages);

    progress.begin("open", 1);
    let claim = Claim {
        point: &point,
        coefficients: &coefficients,
        value: F::ZERO,
        value_blinding: blindings.last().copied().unwrap_or_default(),
        mask_blinding: F::ZERO,
    };
    let opening = committed.open(&prover, &mut bound, &claim, entropy)?;
    lap("open", &mut clock, stages);
    progress.advance(1);
    let Committed { rows: witness_rows, membership, .. } = committed;
    Ok(Proof { witness_rows, dataset_rows, membership, messages: commitments, seal, opening })
}

/// Commits a witness and a fresh mask, proves the argument under the halo2 seal, and opens it. The witness must be laid out
/// under the masked layout; `entropy` must never be used again.
///
/// # Errors
/// See [`ContributeError`].
pub fn prove_compact(
    witness: &mut Witness<'_>,
    sealing: &Sealing<'_>,
    key: &SealProver,
    entropy: &mut Entropy,
    stages: &mut StageTimes,
) -> Result<CompactProof, ContributeError> {
    let Sealing { statement, committer, kernels, progress, self_check, .. } = *sealing;
    let mut clock = Instant::now();
    // Mask and salt are fresh in every attempt.
    witness.mask.zeroize();
    witness.mask = entropy.scalars(1 << witness.layout.column_variables);
    let mask_blinding = entropy.scalar();
    let mask = committer.mask(&witness.mask, &mask_blinding);
    let witness = &*witness;
    let prover = Prover::new(witness, kernels)?;
    let committed = Committed::new(&prover, sealing, entropy)?;
    let dataset_rows = committed.dataset_rows();
    lap("commit", &mut clock, stages);

    let mut bound = compact_transcript(statement, &committed.rows, &mask, &dataset_rows);
    let digest = digest_limbs(&bound.digest());
    let salt = Zeroizing::new(entropy.scalar());
    let mut channel = PoseidonChannel::new(&digest, &salt);
    prove(&prover, &mut channel, progress, stages)?;
    clock = Instant::now();
    progress.begin("seal", 1);
    let run = Input::Run { digest, salt: *salt, messages: &channel.messages };
    let (exposed, seal) = key.prove(witness.layout, witness.program, run, self_check, entropy)?;
    drop(channel);
    // The mask hides the opened value only under a coefficient that is not zero; another attempt draws another.
    if exposed.coefficients[5] == F::ZERO {
        return Err(ProveError::ZeroChallenge.into());
    }
    lap("seal", &mut clock, stages);

    progress.begin("open", 1);
    absorb_seal(&mut bound, &exposed, &seal);
    let claim = Claim {
        point: &exposed.point,
        coefficients: &exposed.coefficients,
        value: exposed.value,
        value_blinding: F::ZERO,
        mask_blinding,
    };
    let opening = committed.open(&prover, &mut bound, &claim, entropy)?;
    lap("open", &mut clock, stages);
    progress.advance(1);
    let Committed { rows: witness_rows, membership, .. } = committed;
    Ok(CompactProof { witness_rows, mask, dataset_rows, membership, exposed, seal, opening })
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
