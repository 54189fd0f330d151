//! Whole contributions: made by the prover, read and checked by the separate verifier.

mod common;

use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::seal::halo2::key;
use weightproof_prover::data::Examples;
use weightproof_prover::progress::Silent;
use weightproof_prover::{
    CommittedDataset, Committer, Job, Seal, SealProver, contribute, cpu, derive_generators, seal_parameters,
};
use weightproof_verifier::{Keys, generator_counts, verify_batch, verify_with};

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
        let (_, size) = key::shape(&program).unwrap();
        let parameters = seal_parameters::shipped(size.k).expect("test programs are small");
        let prover = SealProver::new(&program, parameters.into()).unwrap();
        let keys = Keys { generators: &generators, halo2: std::slice::from_ref(prover.seal_key()) };
        let mut base = Parameters::initial(&program, [index as u8; 32]);
        let mut chain = Vec::new();
        // A chain may mix the seals.
        for (version, seal) in [(0u64, Seal::Halo2(&prover)), (1, Seal::Sigma), (2, Seal::Halo2(&prover))] {
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
                seal,
                kernels: cpu(),
            };
            let made = contribute(&job, &committer, &Silent).unwrap();
            let verified = verify_with(&made.bytes, &base, keys)
                .unwrap_or_else(|error| panic!("program {index}, version {version}: {error}"));
            assert_eq!(verified.get(), &made.statement);
            assert_eq!(verified.proof_bytes(), made.proof_bytes);
            let next = verified.apply(&base).unwrap();
            chain.push((made.bytes, base));
            base = next;
        }
        let items: Vec<(&[u8], &Parameters)> = chain.iter().map(|(bytes, base)| (&bytes[..], base)).collect();
        for verdict in verify_batch(&items, keys) {
            verdict.unwrap_or_else(|error| panic!("program {index} in a batch: {error}"));
        }
    }
}
