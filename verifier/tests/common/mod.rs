//! The golden proofs, and where each part of a proof's bytes lies.
#![allow(dead_code)]

use std::ops::Range;
use std::path::PathBuf;

use weightproof_circuits::batches::indices;
use weightproof_circuits::curve::Generators;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::merkle::proof_length;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::statement::Statement;
use weightproof_verifier::binding::distinct_rows;
use weightproof_verifier::contribution::ProofShape;
use weightproof_verifier::{
    Contribution, Verified, VerifyError, generator_counts, longest_contribution, verify_with,
};

/// File, base model and statement digest of each golden proof.
pub const GOLDEN: [(&str, &str, &str); 3] = [
    ("softmax-relu", "softmax-relu", "8495c6a7c8bc9bc1b94fe460088187e4cb545653e03131fcdbcfaff41a2a9db1"),
    (
        "softmax-relu-second",
        "softmax-relu",
        "626a31d573579d45998942aa7a4e908a1147e58381bdf708404a476e09c5a2dd",
    ),
    (
        "squared-momentum",
        "squared-momentum",
        "83361c0529e2e6110944f5c2f7995bd1eb3c5de103397e16ac12669f3d9660a3",
    ),
];

/// A deterministic stream of integers.
pub struct Draw(pub u64);

impl Draw {
    /// The next integer below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 24) % bound as u64) as usize
    }
}

/// A golden proof ready to verify.
pub struct Golden {
    pub bytes: Vec<u8>,
    pub base: Parameters,
    pub contribution: Contribution,
    pub generators: Generators,
    pub shape: ProofShape,
}

/// The bytes of a vector.
pub fn vector(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../specs/vectors").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Golden {
    pub fn load(file: &str, base: &str) -> Self {
        let bytes = vector(&format!("{file}.wpf"));
        let contribution = Contribution::decode(&bytes).expect("golden files decode");
        let program = &contribution.program;
        let base =
            Parameters::decode(&vector(&format!("{base}.bin")), program).expect("golden models decode");
        let layout = Layout::new(program);
        let (rows, messages) = generator_counts(&layout, program);
        let shape = shape(&contribution);
        Self { bytes, base, generators: Generators::derive(rows, messages), shape, contribution }
    }

    pub fn verify(&self, bytes: &[u8]) -> Result<Verified<Statement>, VerifyError> {
        verify_with(bytes, &self.base, &self.generators)
    }

    /// Where the parts of the file lie, the proof's sections among them.
    pub fn sections(&self) -> Vec<Section> {
        let mut sections = Vec::new();
        let mut position = 0;
        let mut push = |name, kind, length: usize| {
            sections.push(Section { name, kind, range: position..position + length });
            position += length;
        };
        push("header", Kind::Bytes, 4);
        // Lengths below 128 take one byte, below 2^14 two.
        let prefix = |length: usize| if length < 128 { 1 } else { 2 };
        for (name, length) in [
            ("program", self.contribution.program.encode().len()),
            ("update", self.contribution.update.encode().len()),
            ("statement", self.contribution.statement.encode().len()),
        ] {
            push(name, Kind::Bytes, prefix(length) + length);
        }
        let shape = &self.shape;
        let (messages, values) = (shape.messages.len(), shape.messages.iter().sum::<usize>());
        push("witness rows", Kind::Points, 32 * shape.witness_rows);
        push("dataset rows", Kind::Points, 32 * shape.dataset_rows);
        push("membership", Kind::Bytes, 1 + 32 * shape.membership);
        push("messages", Kind::Points, 32 * messages);
        push("masks", Kind::Points, 32 * messages);
        push("cross terms", Kind::Points, 64);
        push("linear mask", Kind::Scalars, 32);
        push("responses", Kind::Scalars, 32 * values);
        push("blindings", Kind::Scalars, 32 * messages);
        push("cross blinding", Kind::Scalars, 32);
        push("opening rounds", Kind::Points, 64 * shape.rounds);
        push("opening mask", Kind::Points, 32);
        push("opening response", Kind::Scalars, 32);
        push("opening blinding", Kind::Scalars, 32);
        assert_eq!(position, self.bytes.len(), "sections cover the file");
        sections
    }
}

/// A file is below the longest of its program, and not far below but for the update, whose integers may be short.
pub fn assert_longest(bytes: &[u8], contribution: &Contribution) {
    let (program, statement) = (&contribution.program, &contribution.statement);
    let longest = longest_contribution(program, statement.dataset_rows, statement.seal) as usize;
    assert!(bytes.len() <= longest, "{} of {longest}", bytes.len());
    let widest = 8 * program.parameter_count() + 2 * program.depth();
    let slack = widest - contribution.update.encode().len();
    assert!(
        2 * longest <= 3 * bytes.len() + 2 * slack,
        "{} of {longest}, {slack} in the update",
        bytes.len()
    );
}

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bytes,
    Points,
    Scalars,
}

/// A part of a contribution file.
#[derive(Clone, Debug)]
pub struct Section {
    pub name: &'static str,
    pub kind: Kind,
    pub range: Range<usize>,
}

fn shape(contribution: &Contribution) -> ProofShape {
    let (program, statement) = (&contribution.program, &contribution.statement);
    let chosen = indices(&statement.batch_seed(), statement.dataset_rows, program.steps(), program.batch())
        .expect("golden batches");
    let (distinct, _) = distinct_rows(&chosen);
    let membership = proof_length(statement.dataset_rows, &distinct).expect("golden rows");
    ProofShape::new(&Layout::new(program), program, distinct.len(), membership)
}
