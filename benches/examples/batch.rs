//! Verifies 32 contributions of bench (a) under the halo2 seal one by one and in a batch: `batch [COUNT]`. Contributions
//! are by one holder, from one base model, under different beacons.

use std::time::Instant;

use weightproof_benches::{Fixture, cases, seal_prover};
use weightproof_circuits::parameters::Parameters;
use weightproof_prover::progress::Silent;
use weightproof_prover::{Committer, Seal, contribute};
use weightproof_verifier::{Keys, verify_batch, verify_with};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: u8 = std::env::args().nth(1).map_or(Ok(32), |count| count.parse())?;
    let case = cases().into_iter().find(|case| case.name == "a").ok_or("bench (a) is there")?;
    let fixture = Fixture::new(&case);
    let prover = seal_prover(&case);
    let committer = Committer::new(&fixture.generators);
    let mut files = Vec::new();
    for number in 0..count {
        let mut job = fixture.job(&case.program);
        job.seal = Seal::Halo2(&prover);
        job.beacon = [number; 32];
        files.push(contribute(&job, &committer, &Silent)?.bytes);
    }
    let keys = Keys { generators: &fixture.generators, halo2: std::slice::from_ref(prover.seal_key()) };
    let items: Vec<(&[u8], &Parameters)> = files.iter().map(|file| (&file[..], &fixture.base)).collect();
    for _ in 0..3 {
        let clock = Instant::now();
        for (bytes, base) in &items {
            verify_with(bytes, base, keys)?;
        }
        let singly = clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        for verdict in verify_batch(&items, keys) {
            verdict?;
        }
        let together = clock.elapsed().as_secs_f64();
        println!(
            "{count} proofs: one by one {singly:.3} s, together {together:.3} s, ratio {:.3}",
            together / singly
        );
    }
    Ok(())
}
