//! What a contribution will cost, before anything is begun.

use weightproof_circuits::batches::indices;
use weightproof_circuits::layout::{Layout, Leaf};
use weightproof_circuits::merkle::proof_length;
use weightproof_circuits::program::Program;
use weightproof_circuits::seal::halo2::key::CircuitSize;
use weightproof_circuits::statement::{MODE_OPEN, PROTOCOL_VERSION, SEAL_SIGMA, Statement};
use weightproof_gpu_kernels::cpu::session::cpu;
use weightproof_verifier::binding::distinct_rows;
use weightproof_verifier::contribution::{CompactShape, ProofShape};

/// Bytes that any process of the command takes: code, tables, generators.
const BASE_BYTES: u64 = 36 << 20;
/// Bytes at the peak for each position of the padded parameters.
const PARAMETER_BYTES: u64 = 8;
/// How a processor proves: what an element takes in the lookup's tree and how many it works on at once, and how fast it is.
/// Fitted to the bench programs, which benches/RESULTS.md lists with what was measured.
struct Pace {
    /// Bytes of a field element.
    element: u64,
    /// Elements at once.
    lanes: u64,
    /// Processor seconds for each position of the padded stack: commitment, lookups, gates.
    stack: f64,
    /// Processor seconds for each position of the padded parameters: passes of products and reduction.
    parameter: f64,
    /// Processor seconds for each column of the witness matrix: the inner-product argument folds one generator for each.
    column: f64,
    /// Processor seconds of every proof.
    proof: f64,
}

/// With AVX-512 IFMA.
const WIDE: Pace =
    Pace { element: 40, lanes: 8, stack: 0.27e-6, parameter: 0.03e-6, column: 1e-5, proof: 0.2 };
/// Without; the columns as they were before the opening worked on lanes.
const PORTABLE: Pace =
    Pace { element: 32, lanes: 1, stack: 0.85e-6, parameter: 0.03e-6, column: 9e-5, proof: 0.25 };

/// Processor seconds of one multiplication and addition in an exact product.
const PRODUCT_SECONDS: f64 = 1e-10;

/// Bytes at the peak for each row of the halo2 seal's circuit: its columns on the extended domain, eight times as long.
const CIRCUIT_BYTES: u64 = 18_000;
/// Processor seconds for each row of the halo2 seal's circuit.
const CIRCUIT_SECONDS: f64 = 5.6e-4;

/// What one contribution is expected to cost on the CPU, otherwise idle: within a quarter for time and a tenth for memory on
/// the bench programs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Peak memory in bytes.
    pub memory_bytes: u64,
    /// Seconds of training and proving on the cores given.
    pub seconds: f64,
    /// Bytes of statement and proof, without the update; exact but for the Merkle paths of the rows drawn.
    pub proof_bytes: u64,
}

/// Estimates one contribution of `program` on `rows` committed rows with `cores` cores, under the halo2 seal where a
/// circuit is given and under the sigma seal otherwise. The halo2 seal's keys, made once a run, are not counted.
pub fn estimate(program: &Program, rows: usize, cores: usize, circuit: Option<&CircuitSize>) -> Estimate {
    let layout = Layout::new(program);
    let circuit_rows = circuit.map_or(0, |size| 1u64 << size.k);
    let examples = program.steps() * program.batch();
    // Examples are held as committed, quantised and before rounding; a commitment and a blinding are 96 bytes.
    let data = rows as u64 * (96 + 16 * (program.inputs() + program.outputs()) as u64);
    let pace = if cpu().is_wide() { WIDE } else { PORTABLE };
    let memory_bytes = BASE_BYTES
        + stack_bytes(&layout, &pace)
        + (PARAMETER_BYTES << layout.parameter_variables)
        + CIRCUIT_BYTES * circuit_rows
        + data;
    // Forward, backward and update: three products a step.
    let products = 3.0 * program.parameter_count() as f64 * examples as f64;
    let processor_seconds = pace.stack * (1u64 << layout.variables) as f64
        + pace.parameter * (1u64 << layout.parameter_variables) as f64
        + pace.column * (1u64 << layout.column_variables) as f64
        + pace.proof
        + CIRCUIT_SECONDS * circuit_rows as f64
        + PRODUCT_SECONDS * products;
    let seconds = processor_seconds / cores.max(1) as f64;
    Estimate { memory_bytes, seconds, proof_bytes: proof_bytes(program, layout, rows, circuit) }
}

/// The lookup's tree at its largest: bound denominators of the leaves, half as many as positions, beside storage of the
/// layers above, three quarters as many. Numerators that are not all 1, those of tables in any lane, take as much as
/// denominators.
fn stack_bytes(layout: &Layout, pace: &Pace) -> u64 {
    let positions = 1u64 << layout.variables;
    let tables: u64 = layout
        .blocks
        .iter()
        .filter(|block| matches!(block.leaf, Leaf::Neutral | Leaf::Table(_)))
        .map(|block| 1u64 << block.variables)
        .sum();
    let mixed = (pace.lanes * tables).min(positions);
    pace.element * (positions * 5 / 4 + mixed / 2)
}

fn proof_bytes(program: &Program, layout: Layout, rows: usize, circuit: Option<&CircuitSize>) -> u64 {
    // Any beacon draws as many distinct rows; how their Merkle paths share hashes varies a little.
    let statement = Statement {
        protocol_version: PROTOCOL_VERSION,
        seal: SEAL_SIGMA,
        seal_key_digest: [0; 32],
        mode: MODE_OPEN,
        space: [0; 32],
        round: 0,
        beacon: [0; 32],
        program_digest: program.digest(),
        dataset_root: [0; 32],
        dataset_rows: rows as u64,
        model_version: 0,
        model_digest: [0; 32],
        update_digest: [0; 32],
        contributor: [0; 32],
        payout: Vec::new(),
    };
    let chosen =
        indices(&statement.batch_seed(), rows as u64, program.steps(), program.batch()).unwrap_or_default();
    let (distinct, _) = distinct_rows(&chosen);
    let membership = proof_length(rows as u64, &distinct).unwrap_or(0);
    let proof = match circuit {
        None => ProofShape::new(&layout, program, distinct.len(), membership).bytes(),
        Some(size) => {
            let layout = &layout.masked();
            CompactShape { layout, k: size.k, dataset_rows: distinct.len(), membership }.bytes()
        }
    };
    (statement.encode().len() + proof) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_work_costs_more() {
        let small = Program::default_for(30, 2).unwrap();
        let large = Program::default_for(3000, 10).unwrap();
        let (a, b) = (estimate(&small, 456, 2, None), estimate(&large, 456, 2, None));
        assert!(a.memory_bytes < b.memory_bytes && a.seconds < b.seconds && a.proof_bytes < b.proof_bytes);
        assert!(estimate(&small, 456, 1, None).seconds > a.seconds);
        assert!(estimate(&small, 100_000, 2, None).memory_bytes > a.memory_bytes);
        // More rows than a contribution draws: longer Merkle paths, as many commitments.
        assert!(
            estimate(&small, 1 << 20, 2, None).proof_bytes > estimate(&small, 1 << 10, 2, None).proof_bytes
        );
    }
}
