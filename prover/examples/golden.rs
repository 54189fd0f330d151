//! Writes the golden proofs of `specs/vectors`: `cargo run -p weightproof-prover --release --example golden -- DIR`.
//!
//! Everything is drawn from fixed seeds, so the files come out the same on every machine. Never prove real data so.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/sealing/mod.rs"]
mod sealing;

use std::path::PathBuf;

use sealing::Case;
use weightproof_circuits::seal::halo2::key;
use weightproof_circuits::statement::SEAL_HALO2;
use weightproof_prover::argument::Witness;
use weightproof_prover::contribute::{Sealing, prove_compact};
use weightproof_prover::entropy::Entropy;
use weightproof_prover::progress::Silent;
use weightproof_prover::{Committer, SealProver, cpu, seal_parameters};
use weightproof_verifier::{Contribution, Keys, verify_with};

fn case(layers: &str, activation: &str, loss: &str, momentum: &str, rows: usize, seed: u64) -> Case {
    let program = common::program(layers, activation, loss, 2, 2, momentum);
    // As many rows as `batches` draws for a program of `rows` steps of one example.
    let wide = common::program(layers, activation, loss, rows, 1, momentum);
    let (features, labels) = common::batches(&wide, seed);
    Case::new(program, features, labels, seed)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err("expected a directory to write to: golden DIR".into());
    };
    std::fs::create_dir_all(&directory)?;
    let softmax = case("[3, 4, 2]", "relu", "softmax-cross-entropy", "0.0", 9, 21);
    let squared = case("[2, 1]", "identity", "squared-error", "0.5", 6, 22);
    // Two beacons whose Merkle proofs and updates have the same lengths, so that parts of one file fit the other.
    let first = write(&directory, "softmax-relu", &softmax, 1, None)?;
    for beacon in 2..=u8::MAX {
        if write(&directory, "softmax-relu-second", &softmax, beacon, Some(first))? == first {
            break;
        }
    }
    write(&directory, "squared-momentum", &squared, 1, None)?;
    write_compact(&directory, "softmax-relu-halo2", &softmax, 1)?;
    std::fs::write(directory.join("softmax-relu.bin"), softmax.base.encode())?;
    std::fs::write(directory.join("squared-momentum.bin"), squared.base.encode())?;
    Ok(())
}

/// Proves under a beacon and writes the file, unless its lengths, of the membership proof and of the whole, are others than
/// wanted; returns them.
fn write(
    directory: &std::path::Path,
    name: &str,
    case: &Case,
    beacon: u8,
    wanted: Option<(usize, usize)>,
) -> Result<(usize, usize), Box<dyn std::error::Error>> {
    let run = case.run(case.statement(beacon));
    let (distinct, _) = weightproof_verifier::binding::distinct_rows(&run.chosen);
    let membership = case.dataset.membership(&distinct)?.hashes.len();
    let proof = case.seal(&case.witness(&run), &run.statement, &run.chosen, u64::from(beacon));
    let bytes = case.file(&run.statement, &run.update, &proof);
    let lengths = (membership, bytes.len());
    if wanted.is_some_and(|wanted| wanted != lengths) {
        return Ok(lengths);
    }
    case.verify(&bytes)?;
    std::fs::write(directory.join(format!("{name}.wpf")), &bytes)?;
    let digest: String = run.statement.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{name}.wpf {} bytes, statement {digest}, {membership} Merkle hashes", bytes.len());
    Ok(lengths)
}

/// Proves the first file's run under the halo2 seal and writes it.
fn write_compact(
    directory: &std::path::Path,
    name: &str,
    case: &Case,
    beacon: u8,
) -> Result<(), Box<dyn std::error::Error>> {
    let (_, size) = key::shape(&case.program)?;
    let parameters = seal_parameters::shipped(size.k).ok_or("the program is small")?;
    let prover = SealProver::new(&case.program, parameters.into())?;
    let mut statement = case.statement(beacon);
    statement.seal = SEAL_HALO2;
    statement.seal_key_digest = prover.seal_key().key.digest;
    let run = case.run(statement);
    let layout = case.layout.clone().masked();
    let mut witness =
        Witness::new(&case.program, &layout, &run.trace, &case.base, &run.update, &case.exponential);
    witness.count_multiplicities()?;
    let committer = Committer::new(&case.generators);
    let sealing = Sealing {
        statement: &run.statement,
        dataset: &case.dataset,
        chosen: &run.chosen,
        committer: &committer,
        kernels: cpu(),
        progress: &Silent,
        self_check: true,
    };
    let mut entropy = Entropy::from_seed(77);
    let proof = prove_compact(&mut witness, &sealing, &prover, &mut entropy, &mut Vec::new())?;
    let bytes = Contribution {
        program: case.program.clone(),
        update: run.update.clone(),
        statement: run.statement.clone(),
        proof: proof.encode(),
    }
    .encode();
    let keys = Keys { generators: &case.generators, halo2: std::slice::from_ref(prover.seal_key()) };
    verify_with(&bytes, &case.base, keys)?;
    std::fs::write(directory.join(format!("{name}.wpf")), &bytes)?;
    let hexadecimal =
        |digest: [u8; 32]| -> String { digest.iter().map(|byte| format!("{byte:02x}")).collect() };
    println!(
        "{name}.wpf {} bytes, statement {}, key {}",
        bytes.len(),
        hexadecimal(run.statement.digest()),
        hexadecimal(run.statement.seal_key_digest)
    );
    Ok(())
}
