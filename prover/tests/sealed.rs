//! Whole contributions: made by the prover, read and checked by the separate verifier.

mod common;

use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::Parameters;
use weightproof_prover::data::Examples;
use weightproof_prover::progress::Silent;
use weightproof_prover::{CommittedDataset, Committer, Job, contribute, derive_generators};
use weightproof_verifier::{generator_counts, verify_with};

#[test]
fn honest_contributions_verify_and_chain() {
    for (index, program) in common::programs().into_iter().enumerate() {
        let layout = Layout::new(&program);
        let (rows, messages) = generator_counts(&layout, &program);
        let generators = derive_generators(rows, messages);
        let committer = Committer::new(&generators);
        let (features, labels) = common::batches(&program, 11 + index as u64);
        let examples = Examples { inputs: program.inputs(), outputs: program.outputs(), features, labels };
        let dataset = CommittedDataset::commit(examples, &layout, &committer, b"", &Silent).unwrap();
        let restored = CommittedDataset::from_secret_bytes(&dataset.to_secret_bytes()).unwrap();
        assert_eq!(restored.root(), dataset.root());
        let mut base = Parameters::initial(&program, [index as u8; 32]);
        for version in 0..2u64 {
            let job = Job {
                program: &program,
                base: &base,
                model_version: version,
                dataset: &dataset,
                space: [0; 32],
                round: 0,
                beacon: [version as u8; 32],
                contributor: [7; 32],
                payout: Vec::new(),
                secret: b"",
            };
            let made = contribute(&job, &committer, &Silent).unwrap();
            let verified = verify_with(&made.bytes, &base, &generators)
                .unwrap_or_else(|error| panic!("program {index}, version {version}: {error}"));
            assert_eq!(verified.get(), &made.statement);
            assert_eq!(verified.proof_bytes(), made.proof_bytes);
            base = verified.apply(&base).unwrap();
        }
    }
}
