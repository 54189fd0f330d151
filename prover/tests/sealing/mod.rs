//! Seals tiny contributions from chosen randomness, honestly or not: for attack tests and golden proofs.
#![allow(dead_code)]

use weightproof_circuits::batches::indices;
use weightproof_circuits::curve::Generators;
use weightproof_circuits::exact::{Trace, exp_table, run};
use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_circuits::statement::{MODE_OPEN, PROTOCOL_VERSION, SEAL_SIGMA, Statement};
use weightproof_prover::argument::Witness;
use weightproof_prover::contribute::{Sealing, gather, prove_witness};
use weightproof_prover::data::Examples;
use weightproof_prover::entropy::Entropy;
use weightproof_prover::progress::Silent;
use weightproof_prover::{CommittedDataset, Committer, cpu, derive_generators};
use weightproof_verifier::contribution::{Contribution, Proof};
use weightproof_verifier::{Verified, VerifyError, generator_counts, verify_with};

/// A program with a base model and a committed dataset.
pub struct Case {
    pub program: Program,
    pub layout: Layout,
    pub generators: Generators,
    pub base: Parameters,
    pub dataset: CommittedDataset,
    pub exponential: Vec<u16>,
}

/// One honest run of a case.
pub struct Run {
    pub statement: Statement,
    pub chosen: Vec<u32>,
    pub x: Vec<i16>,
    pub y: Vec<i16>,
    pub trace: Trace,
    pub update: Parameters,
}

impl Case {
    /// `features` and `labels` are one row after another.
    pub fn new(program: Program, features: Vec<i16>, labels: Vec<i16>, seed: u64) -> Self {
        let layout = Layout::new(&program);
        let (rows, messages) = generator_counts(&layout, &program);
        let generators = derive_generators(rows, messages);
        let examples = Examples { inputs: program.inputs(), outputs: program.outputs(), features, labels };
        let dataset = CommittedDataset::commit_with(
            examples,
            &layout,
            &Committer::new(&generators),
            &mut Entropy::from_seed(seed),
            &Silent,
        )
        .expect("test data fit the program");
        let base = Parameters::initial(&program, [seed as u8; 32]);
        let exponential = exp_table(program.activation_bits());
        Self { program, layout, generators, base, dataset, exponential }
    }

    /// A statement under a beacon, without its update.
    pub fn statement(&self, beacon: u8) -> Statement {
        Statement {
            protocol_version: PROTOCOL_VERSION,
            seal: SEAL_SIGMA,
            seal_key_digest: [0; 32],
            mode: MODE_OPEN,
            space: [0; 32],
            round: 0,
            beacon: [beacon; 32],
            program_digest: self.program.digest(),
            dataset_root: self.dataset.root(),
            dataset_rows: self.dataset.rows() as u64,
            model_version: 3,
            model_digest: self.base.digest(&self.program).expect("the model fits its program"),
            update_digest: [0; 32],
            contributor: [7; 32],
            payout: b"account".to_vec(),
        }
    }

    /// The batches that a statement's beacon chooses.
    pub fn chosen(&self, statement: &Statement) -> Vec<u32> {
        let (steps, batch) = (self.program.steps(), self.program.batch());
        indices(&statement.batch_seed(), statement.dataset_rows, steps, batch).expect("test shapes are small")
    }

    /// Trains on given rows from a given model and names the update in the statement.
    pub fn run_on(
        &self,
        mut statement: Statement,
        chosen: Vec<u32>,
        base: &Parameters,
        x: Vec<i16>,
        y: Vec<i16>,
    ) -> Run {
        let (trace, update) = run(&self.program, base, &x, &y).expect("test data stay in range");
        statement.update_digest = update.digest(&self.program).expect("the update fits its program");
        Run { statement, chosen, x, y, trace, update }
    }

    /// The honest run.
    pub fn run(&self, statement: Statement) -> Run {
        let chosen = self.chosen(&statement);
        let (x, y) = gather(&self.dataset, &chosen);
        self.run_on(statement, chosen, &self.base, x, y)
    }

    /// The witness of a run.
    pub fn witness<'a>(&'a self, run: &'a Run) -> Witness<'a> {
        let mut witness =
            Witness::new(&self.program, &self.layout, &run.trace, &self.base, &run.update, &self.exponential);
        witness.count_multiplicities().expect("an honest witness is in its tables");
        witness
    }

    /// Seals whatever the witness holds, without the prover's self-check.
    pub fn seal(&self, witness: &Witness<'_>, statement: &Statement, chosen: &[u32], seed: u64) -> Proof {
        let committer = Committer::new(&self.generators);
        let sealing = Sealing {
            statement,
            dataset: &self.dataset,
            chosen,
            committer: &committer,
            kernels: cpu(),
            progress: &Silent,
            self_check: false,
        };
        prove_witness(witness, &sealing, &mut Entropy::from_seed(seed), &mut Vec::new())
            .expect("sealing refuses nothing without the self-check")
    }

    /// Statement, update and proof as a file.
    pub fn file(&self, statement: &Statement, update: &Parameters, proof: &Proof) -> Vec<u8> {
        Contribution {
            program: self.program.clone(),
            update: update.clone(),
            statement: statement.clone(),
            proof: proof.encode(),
        }
        .encode()
    }

    /// The real verifier's verdict.
    pub fn verify(&self, bytes: &[u8]) -> Result<Verified<Statement>, VerifyError> {
        verify_with(bytes, &self.base, &self.generators)
    }
}
