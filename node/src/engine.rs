//! The one door to trainer, prover and verifier: the rest of the command knows nothing of their types.
use crate::bars::Bars;
use crate::cache::Cache;
use crate::cli::SealName;
use crate::device::DeviceName;
use crate::failure::Failure;
use crate::locations;
use crate::output::hex;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use weightproof_circuits::batches::{BatchSeed, indices};
use weightproof_circuits::curve::Generators;
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_circuits::seal::halo2::key::{self, KeyError};
use weightproof_circuits::statement::{MODE_OPEN, MODE_PRIVATE, SEAL_HALO2, SEAL_SIGMA, Statement};
use weightproof_gpu_kernels::kernels::Kernels;
use weightproof_prover::argument::ProveError;
use weightproof_prover::data::{Examples, Share};
use weightproof_prover::float::{self, FloatError, FloatModel};
use weightproof_prover::progress::Progress;
use weightproof_prover::trainer::{self, TrainError};
use weightproof_prover::{
    CommittedDataset, Committer, ContributeError, DatasetError, Job, Seal, SealProver, contribute,
    derive_generators, generators, seal_parameters,
};
use weightproof_verifier::{Contribution, Keys, SealKey, VerifyError, generator_counts, verify_with};
use zeroize::Zeroizing;

pub use weightproof_prover::estimate::Estimate;
pub use weightproof_prover::trainer::Quality;

/// Estimates a contribution of `program` under a seal on a data set of `rows` rows, on this machine's cores.
///
/// # Errors
/// [`Failure::Program`] when the program is too large for the halo2 seal.
pub fn estimate(program: &Program, rows: usize, seal: SealName) -> Result<Estimate, Failure> {
    let circuit = match seal {
        SealName::Sigma => None,
        SealName::Halo2 => Some(key::shape(program).map_err(|error| Failure::Program(error.to_string()))?.1),
    };
    Ok(weightproof_prover::estimate::estimate(program, rows, cores(), circuit.as_ref()))
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes of memory that the machine has, where the system says so.
pub fn physical_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// The exact outputs of a model on rows of features, at scale `2^activation_bits`.
///
/// # Errors
/// [`Failure::Range`] when a value leaves its range.
pub fn predict(program: &Program, parameters: &Parameters, features: &[i16]) -> Result<Vec<i16>, Failure> {
    trainer::predict(program, parameters, features).map_err(training)
}

/// How good a model is, by the exact forward pass.
///
/// # Errors
/// As for [`predict`].
pub fn evaluate(
    program: &Program,
    parameters: &Parameters,
    features: &[i16],
    labels: &[i16],
) -> Result<Quality, Failure> {
    trainer::evaluate(program, parameters, features, labels).map_err(training)
}

fn training(error: TrainError) -> Failure {
    match error {
        TrainError::Range(_) | TrainError::WeightOverflow { .. } | TrainError::EvaluationRange { .. } => {
            Failure::Range(error.to_string())
        }
        TrainError::Interrupted { .. } => Failure::Interrupted,
        // A plan and a model file have consistent shapes: reaching these is a fault of ours, to be reported.
        TrainError::Model(_) | TrainError::Shape { .. } | TrainError::Labels { .. } => {
            Failure::Proof(error.to_string())
        }
    }
}

/// Training rows under commitment, with their secrets.
#[derive(Debug)]
pub struct Dataset {
    committed: CommittedDataset,
    hedge: Zeroizing<[u8; 32]>,
}

impl Dataset {
    fn new(committed: CommittedDataset) -> Dataset {
        // Blindings drawn later stay secret even if the system's randomness fails, as long as this file's do.
        let secret = committed.to_secret_bytes();
        let digest = Sha256::new().chain_update(b"weightproof hedge v1").chain_update(&*secret).finalize();
        Dataset { committed, hedge: Zeroizing::new(digest.into()) }
    }

    /// The public commitment.
    pub fn root(&self) -> [u8; 32] {
        self.committed.root()
    }

    /// How many rows are committed.
    pub fn rows(&self) -> u64 {
        self.committed.rows() as u64
    }

    /// Rows, labels and blindings: for one file that its owner alone may read.
    pub fn secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.committed.to_secret_bytes()
    }
}

/// What a contribution is made for on a node; all of it is empty in a local run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The learning task.
    pub space: [u8; 32],
    /// Its round.
    pub round: u64,
    /// Account to reward; the contributor's own when empty.
    pub payout: Vec<u8>,
}

/// One contribution to be made.
#[derive(Debug)]
pub struct Request<'a> {
    /// The program.
    pub program: &'a Program,
    /// The model that it starts from.
    pub base: &'a Parameters,
    /// That model's version.
    pub model_version: u64,
    /// The rows.
    pub dataset: &'a Dataset,
    /// This contribution's own beacon.
    pub beacon: [u8; 32],
    /// Public key named in the statement; on a node: the account.
    pub contributor: [u8; 32],
    /// What it is made for.
    pub slot: Slot,
}

/// A contribution that the prover made and nobody has verified yet.
#[derive(Debug)]
pub struct Made {
    /// The contribution file.
    pub bytes: Vec<u8>,
    /// Mean loss over the first step's batch.
    pub first_loss: f64,
    /// Mean loss over the last step's batch.
    pub last_loss: f64,
    /// Seconds of exact training.
    pub train_seconds: f64,
    /// Seconds of proving.
    pub prove_seconds: f64,
    /// Seconds of each proving stage.
    pub stages: BTreeMap<String, f64>,
    /// The device that made the proof.
    pub device: String,
}

/// The name of the generators in the cache; another derivation needs another name.
const CACHED_GENERATORS: &str = "generators-v1";

/// At least `rows` row and `messages` message generators, from the cache or derived and then cached.
pub(crate) fn shared_generators(rows: usize, messages: usize, bars: &Bars) -> Arc<Generators> {
    bars.begin("generators", 0);
    let cache = Cache::new(locations::cache());
    let cached = cache.load(CACHED_GENERATORS).and_then(|bytes| generators::from_bytes(&bytes));
    let (found_rows, found_messages) =
        cached.as_ref().map_or((0, 0), |found| (found.rows().len(), found.messages().len()));
    if let Some(found) = cached.filter(|_| found_rows >= rows && found_messages >= messages) {
        return Arc::new(found);
    }
    // The larger of both sizes: programs that alternate do not displace each other's.
    let (rows, messages) = generators::cached_counts(rows.max(found_rows), messages.max(found_messages));
    let derived = derive_generators(rows, messages);
    cache.store(CACHED_GENERATORS, &generators::to_bytes(&derived));
    Arc::new(derived)
}

/// halo2's parameters of size `k`: shipped with the command, from the cache, or derived and then cached. Whatever is read
/// is recognised by its pinned digest.
fn parameters_of_size(k: u32, bars: &Bars) -> key::Parameters {
    if let Some(shipped) = seal_parameters::shipped(k) {
        return shipped;
    }
    bars.begin("halo2 parameters", 0);
    let cache = Cache::new(locations::cache());
    let name = format!("halo2-parameters-{k}");
    if let Some(found) = cache.load(&name).and_then(|bytes| key::read_parameters(k, &bytes)) {
        return found;
    }
    let derived = seal_parameters::derive(k);
    cache.store(&name, &seal_parameters::to_bytes(&derived));
    derived
}

/// halo2's parameters of a program's circuit.
fn seal_parameters_of(program: &Program, bars: &Bars) -> Result<Arc<key::Parameters>, KeyError> {
    let (_, size) = key::shape(program)?;
    Ok(Arc::new(parameters_of_size(size.k, bars)))
}

/// The verifying key of a program under the halo2 seal.
///
/// # Errors
/// [`Failure::Program`] when the program is too large for it.
pub(crate) fn seal_key(program: &Program, bars: &Bars) -> Result<SealKey, Failure> {
    let refused = |error: KeyError| Failure::Program(error.to_string());
    let parameters = seal_parameters_of(program, bars).map_err(refused)?;
    SealKey::new(program, parameters).map_err(refused)
}

/// The prover with its generators, and with its keys under the halo2 seal.
pub struct Proving {
    generators: Arc<Generators>,
    layout: Layout,
    seal: Option<SealProver>,
    kernels: Box<dyn Kernels>,
}

impl Proving {
    /// Gets the generators that `program` needs, from the cache on disk or by deriving them (seconds, once), and builds
    /// its keys where the seal has any.
    ///
    /// # Errors
    /// [`Failure::Program`] when the program is too large for the halo2 seal, [`Failure::Usage`] when the device cannot be
    /// used.
    pub fn open(
        program: &Program,
        seal: SealName,
        device: DeviceName,
        bars: &Bars,
    ) -> Result<Proving, Failure> {
        let kernels = device.open(bars)?;
        let layout = Layout::new(program);
        // The mask is one more value of one message.
        let (rows, messages) = generator_counts(&layout.clone().masked(), program);
        let generators = shared_generators(rows, messages, bars);
        let seal = match seal {
            SealName::Sigma => None,
            SealName::Halo2 => {
                let refused = |error: KeyError| Failure::Program(error.to_string());
                let parameters = seal_parameters_of(program, bars).map_err(refused)?;
                bars.begin("halo2 keys", 0);
                Some(SealProver::new(program, parameters).map_err(refused)?)
            }
        };
        Ok(Proving { generators, layout, seal, kernels })
    }

    /// Commits to the training rows.
    ///
    /// # Errors
    /// [`Failure::Interrupted`], [`Failure::Proof`].
    pub fn commit(&self, examples: &Examples, bars: &Bars) -> Result<Dataset, Failure> {
        let committer = Committer::new(&self.generators);
        match CommittedDataset::commit(examples.clone(), &self.layout, &committer, &[], bars) {
            Ok(committed) => Ok(Dataset::new(committed)),
            Err(DatasetError::Cancelled) => Err(Failure::Interrupted),
            Err(error) => Err(Failure::Proof(error.to_string())),
        }
    }

    /// Reads what [`Dataset::secret_bytes`] gave.
    ///
    /// # Errors
    /// [`DatasetError`].
    pub fn restore(&self, secret: &[u8]) -> Result<Dataset, DatasetError> {
        CommittedDataset::from_secret_bytes(secret).map(Dataset::new)
    }

    /// Trains and proves.
    ///
    /// # Errors
    /// [`Failure::Range`] when training leaves its range, [`Failure::Interrupted`], [`Failure::Proof`].
    pub fn contribute(&self, request: &Request<'_>, bars: &Bars) -> Result<Made, Failure> {
        let job = Job {
            program: request.program,
            base: request.base,
            model_version: request.model_version,
            dataset: &request.dataset.committed,
            space: request.slot.space,
            round: request.slot.round,
            beacon: request.beacon,
            contributor: request.contributor,
            payout: request.slot.payout.clone(),
            secret: &*request.dataset.hedge,
            seal: self.seal.as_ref().map_or(Seal::Sigma, Seal::Halo2),
            kernels: &*self.kernels,
        };
        let made =
            contribute(&job, &Committer::new(&self.generators), bars).map_err(|error| match error {
                ContributeError::Train(error) => training(error),
                ContributeError::Prove(ProveError::Cancelled) => Failure::Interrupted,
                error => Failure::Proof(error.to_string()),
            })?;
        let mut stages = BTreeMap::new();
        for (stage, seconds) in &made.stages {
            *stages.entry((*stage).to_owned()).or_insert(0.0) += seconds;
        }
        Ok(Made {
            bytes: made.bytes,
            first_loss: made.steps.first().map_or(0.0, |step| step.loss),
            last_loss: made.steps.last().map_or(0.0, |step| step.loss),
            train_seconds: made.train_seconds,
            prove_seconds: made.prove_seconds,
            stages,
            device: made.device,
        })
    }
}

/// A statement as JSON shows it, field by field; digests, keys and accounts are hexadecimal.
#[derive(Clone, Debug, Serialize)]
pub struct StatementView {
    /// Protocol version.
    pub protocol_version: u16,
    /// `sigma` or `halo2`.
    pub seal: String,
    /// Digest of the seal's key; zero for the sigma seal.
    pub seal_key_digest: String,
    /// `open` or `private`.
    pub mode: String,
    /// The learning task.
    pub space: String,
    /// Its round.
    pub round: u64,
    /// What chose the batches.
    pub beacon: String,
    /// Program digest.
    pub program_digest: String,
    /// Root of the committed rows.
    pub dataset_root: String,
    /// How many rows are committed.
    pub dataset_rows: u64,
    /// Version of the base model.
    pub model_version: u64,
    /// Its digest.
    pub model_digest: String,
    /// Digest of the update.
    pub update_digest: String,
    /// Who made it.
    pub contributor: String,
    /// Where a reward would go.
    pub payout: String,
}

impl From<&Statement> for StatementView {
    fn from(statement: &Statement) -> StatementView {
        let named = |value: u8, names: [(u8, &str); 2]| {
            let known = names.into_iter().find(|(number, _)| *number == value);
            known.map_or_else(|| format!("unknown ({value})"), |(_, name)| name.to_owned())
        };
        StatementView {
            protocol_version: statement.protocol_version,
            seal: named(statement.seal, [(SEAL_SIGMA, "sigma"), (SEAL_HALO2, "halo2")]),
            seal_key_digest: hex(&statement.seal_key_digest),
            mode: named(statement.mode, [(MODE_OPEN, "open"), (MODE_PRIVATE, "private")]),
            space: hex(&statement.space),
            round: statement.round,
            beacon: hex(&statement.beacon),
            program_digest: hex(&statement.program_digest),
            dataset_root: hex(&statement.dataset_root),
            dataset_rows: statement.dataset_rows,
            model_version: statement.model_version,
            model_digest: hex(&statement.model_digest),
            update_digest: hex(&statement.update_digest),
            contributor: hex(&statement.contributor),
            payout: hex(&statement.payout),
        }
    }
}

/// A contribution that the verifier accepted.
#[derive(Debug)]
pub struct Checked {
    /// What is proved.
    pub statement: StatementView,
    /// The base model with the update applied.
    pub next: Parameters,
    /// The proof without the update.
    pub proof_bytes: u64,
    /// Seconds of verification alone.
    pub seconds: f64,
}

/// A contribution that the verifier refused.
#[derive(Debug)]
pub struct Refusal {
    /// The stable code.
    pub code: String,
    /// What was expected and found.
    pub message: String,
    /// A newer version might accept it.
    pub newer: bool,
    /// What it claims, as far as it can be read.
    pub statement: Option<StatementView>,
}

/// Keys of the halo2 seal that a verifier keeps: a chain has few programs.
const KEPT_KEYS: usize = 8;

/// The separate verifier with its generators and keys.
pub struct Verifying<'a> {
    bars: &'a Bars,
    generators: Arc<Generators>,
    keys: Vec<SealKey>,
}

impl<'a> Verifying<'a> {
    /// A verifier that gets its generators and keys when a proof needs them.
    pub fn new(bars: &'a Bars) -> Verifying<'a> {
        let generators = Arc::new(Generators::from_parts(Vec::new(), Vec::new()));
        Verifying { bars, generators, keys: Vec::new() }
    }

    /// A verifier that shares the prover's generators and verifying key, which are public constants.
    pub fn beside(proving: &Proving, bars: &'a Bars) -> Verifying<'a> {
        let keys = proving.seal.iter().map(|seal| seal.seal_key().clone()).collect();
        Verifying { bars, generators: Arc::clone(&proving.generators), keys }
    }

    /// Derives what a proof turned out to need. Everything cheap has been checked by then, so nobody is made to derive
    /// for nothing. `None` for any other refusal.
    fn derive(&mut self, bytes: &[u8], error: &VerifyError) -> Option<Result<(), VerifyError>> {
        match error {
            VerifyError::Generators { expected_rows, expected_messages, .. } => {
                self.generators = shared_generators(*expected_rows, *expected_messages, self.bars);
                Some(Ok(()))
            }
            VerifyError::KeyMissing { .. } => {
                let program = Contribution::decode(bytes).ok()?.program;
                let parameters = match seal_parameters_of(&program, self.bars) {
                    Ok(parameters) => parameters,
                    Err(error) => return Some(Err(error.into())),
                };
                self.bars.begin("halo2 key", 0);
                let key = SealKey::new(&program, parameters).map(|key| {
                    if self.keys.len() >= KEPT_KEYS {
                        self.keys.remove(0);
                    }
                    self.keys.insert(0, key);
                });
                Some(key.map_err(VerifyError::from))
            }
            _ => None,
        }
    }

    /// Verifies a contribution file against the model that it must start from: its integers, its version, and the
    /// `weight_bits` that its integers are scaled by.
    ///
    /// # Errors
    /// [`Refusal`] with a stable code.
    pub fn verify(
        &mut self,
        bytes: &[u8],
        base: &Parameters,
        version: u64,
        weight_bits: u32,
    ) -> Result<Checked, Box<Refusal>> {
        let refused = |code: ErrorCode, message: String| {
            let statement = Contribution::decode(bytes).ok().map(|read| StatementView::from(&read.statement));
            Box::new(refusal(code, &message, statement))
        };
        let attempt = |this: &Self| {
            let clock = Instant::now();
            let keys = Keys { generators: &this.generators, halo2: &this.keys };
            (verify_with(bytes, base, keys), clock)
        };
        let (mut verified, mut clock) = attempt(self);
        // At most one of each kind is missing.
        for _ in 0..2 {
            let Err(error) = &verified else { break };
            match self.derive(bytes, error) {
                None => break,
                Some(Err(error)) => verified = Err(error),
                Some(Ok(())) => {
                    self.bars.begin("verify", 0);
                    (verified, clock) = attempt(self);
                }
            }
        }
        let seconds = clock.elapsed().as_secs_f64();
        let verified = verified.map_err(|error| refused(error.code(), error.to_string()))?;
        let (statement, program) = (verified.get(), verified.program());
        // Keys that have served go to the end, and the first is dropped: files that only ask for keys displace each other.
        if let Some(place) =
            self.keys.iter().position(|known| known.key.program_digest == statement.program_digest)
        {
            self.keys[place..].rotate_left(1);
        }
        if statement.model_version != version {
            let found = statement.model_version;
            let text =
                format!("expected a contribution to model version {version}, found one to version {found}");
            return Err(refused(ErrorCode::E203, text));
        }
        if program.weight_bits() != weight_bits {
            let found = program.weight_bits();
            let text =
                format!("expected a program with the model's weight_bits {weight_bits}, found {found}");
            return Err(refused(ErrorCode::E201, text));
        }
        let next = verified.apply(base).map_err(|error| refused(ErrorCode::E201, error.to_string()))?;
        let proof_bytes = verified.proof_bytes() as u64;
        Ok(Checked { statement: StatementView::from(statement), next, proof_bytes, seconds })
    }
}

/// A contribution's parts, read but not verified.
#[derive(Debug)]
pub struct Inspected {
    /// What it claims.
    pub statement: StatementView,
    /// The program that it carries.
    pub program: Program,
    /// The proof without the update.
    pub proof_bytes: u64,
    /// The update beside it.
    pub update_bytes: u64,
}

/// Reads a contribution file without verifying it.
///
/// # Errors
/// [`Refusal`] when it cannot be decoded or is of another version.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, Box<Refusal>> {
    let read = Contribution::decode(bytes)
        .map_err(|error| Box::new(refusal(error.code(), &error.to_string(), None)))?;
    let statement = StatementView::from(&read.statement);
    Ok(Inspected {
        statement,
        proof_bytes: (read.statement.encode().len() + read.proof.len()) as u64,
        update_bytes: read.update.encode().len() as u64,
        program: read.program,
    })
}

/// The statement of a contribution file, read but not verified: what its contributor signs.
///
/// # Errors
/// As for [`inspect`].
pub fn statement(bytes: &[u8]) -> Result<Statement, Box<Refusal>> {
    let read = Contribution::decode(bytes);
    read.map(|read| read.statement).map_err(|error| Box::new(refusal(error.code(), &error.to_string(), None)))
}

/// A code is shown once: messages of the verifier begin with theirs.
fn refusal(code: ErrorCode, message: &str, statement: Option<StatementView>) -> Refusal {
    let message =
        message.strip_prefix(code.as_str()).map_or(message, |rest| rest.trim_start_matches([':', ' ']));
    let newer = code == ErrorCode::E105;
    Refusal { code: code.as_str().to_owned(), message: message.to_owned(), newer, statement }
}

/// What decides a local contribution's batches, beside its base model and program.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// The contribution's own beacon.
    pub beacon: [u8; 32],
    /// Root of the committed rows.
    pub dataset_root: [u8; 32],
    /// Public key named in the statement.
    pub contributor: [u8; 32],
}

impl Batches {
    /// The rows of all steps, element `k·B + b` for example `b` of step `k`, each below `rows`.
    fn rows(&self, program: &Program, base: &Parameters, rows: usize) -> Result<Vec<usize>, Failure> {
        let internal = |message: String| Failure::Proof(message);
        let seed = BatchSeed {
            beacon: self.beacon,
            model_digest: base.digest(program).map_err(|error| internal(error.to_string()))?,
            dataset_root: self.dataset_root,
            contributor: self.contributor,
            round: 0,
        };
        let chosen = indices(&seed, rows as u64, program.steps(), program.batch());
        Ok(chosen.map_err(|error| internal(error.to_string()))?.into_iter().map(|row| row as usize).collect())
    }
}

/// The same training in `f32`, contribution by contribution.
#[derive(Debug)]
pub struct Twin<'a> {
    program: &'a Program,
    model: FloatModel,
    training: &'a Share,
}

impl<'a> Twin<'a> {
    /// Starts from the exact initial weights.
    ///
    /// # Errors
    /// [`Failure::Proof`] when shapes differ, which a plan excludes.
    pub fn new(program: &'a Program, base: &Parameters, training: &'a Share) -> Result<Twin<'a>, Failure> {
        let model = FloatModel::from_parameters(program, base).map_err(twin)?;
        Ok(Twin { program, model, training })
    }

    /// Trains on the batches of the exact contribution that started from `base`.
    ///
    /// # Errors
    /// As for [`Twin::new`].
    pub fn contribute(&mut self, base: &Parameters, batches: &Batches) -> Result<(), Failure> {
        let rows = batches.rows(self.program, base, self.training.examples.rows())?;
        let gather = |values: &[f32], width: usize| -> Vec<f32> {
            rows.iter().flat_map(|&row| values[row * width..(row + 1) * width].iter().copied()).collect()
        };
        let x = gather(&self.training.float_features, self.training.examples.inputs);
        let y = gather(&self.training.float_labels, self.training.examples.outputs);
        self.model = float::train(self.program, &self.model, &x, &y).map_err(twin)?;
        Ok(())
    }

    /// How good the twin is.
    ///
    /// # Errors
    /// As for [`Twin::new`].
    pub fn quality(&self, share: &Share) -> Result<Quality, Failure> {
        float::accuracy(self.program, &self.model, &share.float_features, &share.float_labels).map_err(twin)
    }
}

fn twin(error: FloatError) -> Failure {
    Failure::Proof(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::DEFAULT_CONTRIBUTIONS;
    use std::ops::ControlFlow;
    use std::path::Path;
    use weightproof_circuits::program::Loss;
    use weightproof_prover::data::{Schema, Table, TargetKind, prepare, split};

    /// Held-out accuracy of a run of `train` without options, and of its float twin.
    fn accuracies(file: &str, label: &str, seed: u64) -> (f64, f64) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(file);
        let table = Table::read(&path).unwrap();
        let parts = split(table.rows(), seed);
        let mut schema = Schema::fit(&table, label, TargetKind::Classes, &parts.training, 0).unwrap();
        let program = Program::default_for(schema.inputs(), schema.outputs()).unwrap();
        schema.activation_bits = program.activation_bits();
        let data = prepare(&table, &schema, Loss::SoftmaxCrossEntropy, &parts).unwrap();
        let mut wide_seed = [0; 32];
        wide_seed[..8].copy_from_slice(&seed.to_le_bytes());
        let mut model = Parameters::initial(&program, wide_seed);
        let mut twin = Twin::new(&program, &model, &data.training).unwrap();
        let examples = &data.training.examples;
        for number in 1..=DEFAULT_CONTRIBUTIONS as u8 {
            let batches = Batches { beacon: [number; 32], dataset_root: [7; 32], contributor: [8; 32] };
            let rows = batches.rows(&program, &model, examples.rows()).unwrap();
            let gather = |values: &[i16], width: usize| -> Vec<i16> {
                rows.iter().flat_map(|&row| values[row * width..(row + 1) * width].to_vec()).collect()
            };
            let (x, y) =
                (gather(&examples.features, examples.inputs), gather(&examples.labels, examples.outputs));
            let made = trainer::train(&program, &model, &x, &y, &mut |_| ControlFlow::Continue(())).unwrap();
            twin.contribute(&model, &batches).unwrap();
            model = model.checked_add(&made.update).unwrap();
        }
        let held_out = &data.held_out.examples;
        let exact = evaluate(&program, &model, &held_out.features, &held_out.labels).unwrap();
        (exact.accuracy().unwrap(), twin.quality(&data.held_out).unwrap().accuracy().unwrap())
    }

    /// Means over five seeds.
    fn means(file: &str, label: &str) -> (f64, f64) {
        let runs: Vec<(f64, f64)> = (1..=5).map(|seed| accuracies(file, label, seed)).collect();
        (runs.iter().map(|run| run.0).sum::<f64>() / 5.0, runs.iter().map(|run| run.1).sum::<f64>() / 5.0)
    }

    #[test]
    fn exact_training_is_as_accurate_as_float_training() {
        for (file, label) in [("breast_cancer.csv", "diagnosis"), ("digits.csv", "digit")] {
            let (exact, float) = means(file, label);
            assert!(exact >= 0.95, "{file}: {exact}");
            assert!((exact - float).abs() <= 0.01, "{file}: {exact} and {float}");
        }
    }
}
