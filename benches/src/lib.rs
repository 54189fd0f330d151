//! The bench programs, and one measured contribution of each.
//!
//! `cargo run --release -p weightproof-benches --example results` prints the results page's tables; the criterion benches
//! time single pieces.

use std::time::Instant;

use weightproof_circuits::batches::indices;
use weightproof_circuits::curve::Generators;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::merkle::proof_length;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::pasta::digest_limbs;
use weightproof_circuits::program::Program;
use weightproof_circuits::seal::halo2::key;
use weightproof_circuits::seal::halo2::verify::verify as halo2_verify;
use weightproof_gpu_kernels::cpu::session::Cpu;
use weightproof_prover::contribute::gather;
use weightproof_prover::data::Examples;
use weightproof_prover::estimate::{Estimate, estimate};
use weightproof_prover::float::{self, FloatModel};
use weightproof_prover::progress::Silent;
use weightproof_prover::{
    CommittedDataset, Committer, Job, Made, Seal, SealProver, contribute, cpu, derive_generators,
    seal_parameters,
};
use weightproof_verifier::contribution::CompactShape;
use weightproof_verifier::opening::OpeningStatement;
use weightproof_verifier::{CompactProof, Contribution, Keys, binding, generator_counts, verify_with};

/// A bench program with the number of its dataset's rows.
pub struct Case {
    /// Letter of the results page.
    pub name: &'static str,
    /// What it is.
    pub description: &'static str,
    /// The program.
    pub program: Program,
    /// Rows of the dataset.
    pub rows: usize,
}

fn case(
    name: &'static str,
    description: &'static str,
    layers: &[usize],
    rate: &str,
    batch: usize,
    steps: usize,
    rows: usize,
) -> Case {
    let text = format!(
        "[model]\nlayers = {layers:?}\nactivation = \"relu\"\nloss = \"softmax-cross-entropy\"\n[arithmetic]\n\
         activation_bits = 8\nerror_bits = 10\n[optimizer]\nlearning_rate = {rate}\n[contribution]\nsteps = {steps}\nbatch = {batch}\n"
    );
    match Program::parse(&text) {
        Ok(program) => Case { name, description, program, rows },
        Err(error) => panic!("bench program {name} is not valid: {error}"),
    }
}

/// The programs (a)–(e) of the results page, (d) also with twice the steps; the peers' small network; and two more for the
/// scaling table.
pub fn cases() -> Vec<Case> {
    let deep: Vec<usize> = [3072].into_iter().chain([1024; 8]).chain([10]).collect();
    vec![
        case("a", "breast cancer 30-32-2, B 32, K 16", &[30, 32, 2], "0.125", 32, 16, 455),
        case("b", "digits 64-128-10, B 64, K 16", &[64, 128, 10], "0.25", 64, 16, 1438),
        case("c", "784-512-512-10, B 64, K 16", &[784, 512, 512, 10], "0.25", 64, 16, 2048),
        case("d", "3072-1024×8-10, B 64, K 8", &deep, "0.25", 64, 8, 2048),
        case("d16", "3072-1024×8-10, B 64, K 16", &deep, "0.25", 64, 16, 2048),
        case("e", "4096-4096-4096-10, B 64, K 16", &[4096, 4096, 4096, 10], "0.25", 64, 16, 2048),
        case("peer1", "30-16-2, B 8, K 1", &[30, 16, 2], "0.125", 8, 1, 455),
        case("peer16", "30-16-2, B 8, K 16", &[30, 16, 2], "0.125", 8, 16, 455),
        case("narrow", "256-256×4-10, B 64, K 8", &[256, 256, 256, 256, 256, 10], "0.125", 64, 8, 1024),
        case("wide", "256-512×4-10, B 32, K 8", &[256, 512, 512, 512, 512, 10], "0.125", 32, 8, 1024),
    ]
}

/// Seeded random rows: features within ±0.25, so that no value leaves its range, and random classes.
pub fn random_examples(program: &Program, rows: usize) -> Examples {
    let mut state = 0x5eed_u64;
    let mut draw = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let span = 1u64 << (program.activation_bits() - 1);
    let features = (0..rows * program.inputs()).map(|_| draw(span) as i16 - (span / 2) as i16).collect();
    let mut labels = vec![0i16; rows * program.outputs()];
    for row in labels.chunks_mut(program.outputs()) {
        row[draw(program.outputs() as u64) as usize] = 1;
    }
    Examples { inputs: program.inputs(), outputs: program.outputs(), features, labels }
}

/// What one measured contribution took.
pub struct Measured {
    /// Seconds to derive the generators.
    pub generators_seconds: f64,
    /// Seconds to commit the dataset.
    pub dataset_seconds: f64,
    /// Seconds of exact training.
    pub train_seconds: f64,
    /// Seconds of float32 training of the same steps.
    pub float_seconds: f64,
    /// Seconds of proving.
    pub prove_seconds: f64,
    /// Seconds of each stage.
    pub stages: Vec<(&'static str, f64)>,
    /// Seconds of verification, the best of three.
    pub verify_seconds: f64,
    /// Seconds of it in which the file is read and the digests of base model and update are taken.
    pub read_seconds: f64,
    /// Seconds of it in which the public polynomials `W⁰` and `U` are evaluated.
    pub public_seconds: f64,
    /// The halo2 seal by itself, where the proof has one.
    pub seal: Option<SealAlone>,
    /// Seconds to build the halo2 seal's keys, parameters included.
    pub key_seconds: f64,
    /// Bytes of statement and proof.
    pub proof_bytes: usize,
    /// Peak resident memory of the process when the contribution was made, when the system tells.
    pub peak_bytes: Option<u64>,
    /// What was to be expected.
    pub estimate: Estimate,
}

/// Peak resident memory of this process.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Everything that a contribution of a bench program starts from.
pub struct Fixture {
    /// Generators of the program.
    pub generators: Generators,
    /// The base model.
    pub base: Parameters,
    /// Committed random rows.
    pub dataset: CommittedDataset,
    /// Seconds to derive the generators.
    pub generators_seconds: f64,
    /// Seconds to commit the rows.
    pub dataset_seconds: f64,
}

impl Fixture {
    /// Derives, draws and commits.
    pub fn new(case: &Case) -> Self {
        let program = &case.program;
        let layout = Layout::new(program);
        let clock = Instant::now();
        let (rows, messages) = generator_counts(&layout, program);
        let generators = derive_generators(rows, messages);
        let generators_seconds = clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        let committer = Committer::new(&generators);
        let examples = random_examples(program, case.rows);
        let dataset = CommittedDataset::commit(examples, &layout, &committer, b"", &Silent)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let dataset_seconds = clock.elapsed().as_secs_f64();
        let base = Parameters::initial(program, [1; 32]);
        Self { generators, base, dataset, generators_seconds, dataset_seconds }
    }

    /// The job of its first contribution.
    pub fn job<'a>(&'a self, program: &'a Program) -> Job<'a> {
        Job {
            program,
            base: &self.base,
            model_version: 0,
            dataset: &self.dataset,
            space: [0; 32],
            round: 0,
            beacon: [2; 32],
            contributor: [3; 32],
            payout: Vec::new(),
            secret: b"",
            seal: Seal::Sigma,
            kernels: cpu(),
        }
    }
}

/// The halo2 keys of a program.
pub fn seal_prover(case: &Case) -> SealProver {
    let refused = |error: &dyn std::fmt::Display| -> ! { panic!("{}: {error}", case.name) };
    let (_, size) = key::shape(&case.program).unwrap_or_else(|error| refused(&error));
    let parameters = seal_parameters::shipped(size.k).unwrap_or_else(|| seal_parameters::derive(size.k));
    SealProver::new(&case.program, parameters.into()).unwrap_or_else(|error| refused(&error))
}

/// Seconds to verify the halo2 proof alone, and the bytes of it and of what it exposes.
fn seal_alone(case: &Case, made: &Made, prover: &SealProver) -> SealAlone {
    let program = &case.program;
    let layout = Layout::new(program).masked();
    let refused = |error: &dyn std::fmt::Display| -> ! { panic!("{}: {error}", case.name) };
    let file = Contribution::decode(&made.bytes).unwrap_or_else(|error| refused(&error));
    let seed = file.statement.batch_seed();
    let chosen = indices(&seed, case.rows as u64, program.steps(), program.batch())
        .unwrap_or_else(|error| refused(&error));
    let (distinct, _) = binding::distinct_rows(&chosen);
    let membership = proof_length(case.rows as u64, &distinct).unwrap_or_else(|error| refused(&error));
    let key = prover.seal_key();
    let shape = CompactShape { layout: &layout, k: key.key.size.k, dataset_rows: distinct.len(), membership };
    let proof = CompactProof::decode(&file.proof, &shape).unwrap_or_else(|error| refused(&error));
    let bound =
        binding::compact_transcript(&file.statement, &proof.witness_rows, &proof.mask, &proof.dataset_rows);
    let digest = digest_limbs(&bound.digest());
    let clock = Instant::now();
    let pending = halo2_verify(&key.key, &key.parameters, &digest, &proof.exposed, &proof.seal);
    assert!(pending.is_some_and(|pending| pending.is_zero()), "{}: an honest seal holds", case.name);
    SealAlone {
        verify_seconds: clock.elapsed().as_secs_f64(),
        proof_bytes: proof.seal.len(),
        exposed_bytes: 32 * proof.exposed.values().len(),
    }
}

/// The halo2 seal of a proof, by itself.
pub struct SealAlone {
    /// Seconds to verify it.
    pub verify_seconds: f64,
    /// Bytes of the halo2 proof.
    pub proof_bytes: usize,
    /// Bytes of the values that the circuit exposes.
    pub exposed_bytes: usize,
}

fn best_of_three(mut act: impl FnMut()) -> f64 {
    let mut time = || {
        let clock = Instant::now();
        act();
        clock.elapsed().as_secs_f64()
    };
    time().min(time()).min(time())
}

/// How a contribution is measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// Under the halo2 seal.
    pub halo2: bool,
    /// Without the processor's widest instructions.
    pub portable: bool,
}

/// Trains, proves and verifies one contribution, and trains the float twin on the same batches.
pub fn measure(case: &Case, way: Way) -> Measured {
    let program = &case.program;
    let fixture = Fixture::new(case);
    let Fixture { generators, base, dataset, .. } = &fixture;
    let committer = Committer::new(generators);
    let mut job = fixture.job(program);
    let clock = Instant::now();
    let prover = way.halo2.then(|| seal_prover(case));
    let key_seconds = clock.elapsed().as_secs_f64();
    let portable = Cpu::portable();
    if way.portable {
        job.kernels = &portable;
    }
    if let Some(prover) = &prover {
        job.seal = Seal::Halo2(prover);
    }
    let made = contribute(&job, &committer, &Silent).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let peak_bytes = peak_memory();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let circuit = prover.as_ref().map(|prover| &prover.seal_key().key.size);
    let estimate = estimate(program, case.rows, cores, circuit);

    let chosen = indices(&made.statement.batch_seed(), case.rows as u64, program.steps(), program.batch())
        .unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let (x, y) = gather(dataset, &chosen);
    let (x, y) = (float::dequantize(program, &x), float::targets(program, &y));
    let start =
        FloatModel::from_parameters(program, base).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    // Fast steps are repeated until the clock can tell them apart.
    let mut repeats = 0u32;
    let clock = Instant::now();
    while repeats < 3 || clock.elapsed().as_secs_f64() < 0.2 {
        let model =
            float::train(program, &start, &x, &y).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        std::hint::black_box(&model);
        repeats += 1;
    }
    let float_seconds = clock.elapsed().as_secs_f64() / f64::from(repeats);

    let known = prover.as_ref().map(|prover| prover.seal_key().clone());
    let keys = Keys { generators, halo2: known.as_slice() };
    let verify_seconds = best_of_three(|| {
        if let Err(error) = verify_with(&made.bytes, base, keys) {
            panic!("{}: an honest proof was refused: {error}", case.name);
        }
    });
    let read_seconds = best_of_three(|| {
        let file = Contribution::decode(&made.bytes).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        std::thread::scope(|scope| {
            for model in [base, &file.update] {
                scope.spawn(|| std::hint::black_box(model.digest(program).is_ok()));
            }
        });
    });
    let layout = Layout::new(program);
    let mut coordinate = F::from(3u64);
    let point: Vec<F> = (0..layout.opening_variables)
        .map(|_| {
            coordinate = coordinate * coordinate + F::from(7u64);
            coordinate
        })
        .collect();
    let public_seconds = best_of_three(|| {
        let parameters = [base, &made.update];
        let statement =
            OpeningStatement::new(&layout, program, parameters, &point, &[coordinate; 6], F::from(0u64));
        std::hint::black_box(&statement);
    });
    let seal = prover.as_ref().map(|prover| seal_alone(case, &made, prover));
    Measured {
        generators_seconds: fixture.generators_seconds,
        dataset_seconds: fixture.dataset_seconds,
        train_seconds: made.train_seconds,
        float_seconds,
        prove_seconds: made.prove_seconds,
        stages: made.stages,
        verify_seconds,
        read_seconds,
        public_seconds,
        seal,
        key_seconds,
        proof_bytes: made.proof_bytes,
        peak_bytes,
        estimate,
    }
}
