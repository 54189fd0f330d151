//! Derives halo2's public parameters and writes them and their digests: `cargo run --release -p weightproof-circuits
//! --features parallel --example halo2_parameters -- DIRECTORY`. `circuits/parameters/` and `pinned_parameters.rs` come
//! from here; nothing in them is chosen.

use std::path::Path;
use std::time::Instant;

use weightproof_circuits::seal::halo2::key::{
    MAXIMUM_K, MINIMUM_K, Parameters, parameters_digest, pinned_digest,
};

fn main() -> std::io::Result<()> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    for k in MINIMUM_K..=MAXIMUM_K {
        let clock = Instant::now();
        let parameters = Parameters::new(k);
        let seconds = clock.elapsed().as_secs_f64();
        let mut bytes = Vec::new();
        parameters.write(&mut bytes)?;
        let digest = parameters_digest(&bytes);
        let pinned = if pinned_digest(k) == Some(digest) { "pinned" } else { "NOT the pinned digest" };
        let clock = Instant::now();
        Parameters::read(&mut &bytes[..])?;
        println!(
            "// k = {k}: {} bytes, derived in {seconds:.1} s, read in {:.2} s, {pinned}\n{digest:?},",
            bytes.len(),
            clock.elapsed().as_secs_f64()
        );
        std::fs::write(Path::new(&directory).join(format!("vesta-{k}.bin")), bytes)?;
    }
    Ok(())
}
