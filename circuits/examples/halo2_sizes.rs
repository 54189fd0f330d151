//! Rows of the halo2 seal's circuit by piece, for program files: `cargo run --release -p weightproof-circuits --example
//! halo2_sizes -- examples/bench-*.toml`. The table in `specs/protocol/halo2.md` comes from here.

use weightproof_circuits::program::Program;
use weightproof_circuits::seal::halo2::key;
use weightproof_circuits::seal::halo2::rows::BLOCK_ROWS;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let program = Program::parse(&std::fs::read_to_string(&path)?)?;
        let clock = std::time::Instant::now();
        let (_, size) = key::shape(&program)?;
        println!(
            "{path}   k = {}, {} rows   laid out in {:.3} s",
            size.k,
            size.rows,
            clock.elapsed().as_secs_f64()
        );
        println!("| piece | permutations | sponge rows | gates |\n|---|---|---|---|");
        let (mut blocks, mut gates) = (0, 0);
        for piece in &size.pieces {
            println!(
                "| {} | {} | {} | {} |",
                piece.piece,
                piece.blocks,
                piece.blocks * BLOCK_ROWS,
                piece.gates
            );
            blocks += piece.blocks;
            gates += piece.gates;
        }
        println!("| all | {blocks} | {} | {gates} |\n", blocks * BLOCK_ROWS);
    }
    Ok(())
}
