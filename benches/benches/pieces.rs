//! Criterion benches of whole contributions and of the pieces that dominate them, on the bench programs (a) and (b).
//!
//! `cargo bench -p weightproof-benches`. The larger programs, memory and overhead are measured by
//! `cargo run --release -p weightproof-benches --example results`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use weightproof_benches::{Fixture, cases};
use weightproof_circuits::curve::{Domain, generator};
use weightproof_prover::progress::Silent;
use weightproof_prover::{Committer, contribute};
use weightproof_verifier::verify_with;

fn contributions(c: &mut Criterion) {
    let mut group = c.benchmark_group("contribution");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    for case in cases().into_iter().filter(|case| matches!(case.name, "a" | "b")) {
        let program = &case.program;
        let fixture = Fixture::new(&case);
        let committer = Committer::new(&fixture.generators);
        let job = fixture.job(program);
        group.bench_function(format!("prove {}", case.name), |b| {
            b.iter(|| black_box(contribute(&job, &committer, &Silent).expect("bench programs prove")));
        });
        let made = contribute(&job, &committer, &Silent).expect("bench programs prove");
        group.bench_function(format!("verify {}", case.name), |b| {
            b.iter(|| {
                black_box(
                    verify_with(&made.bytes, &fixture.base, &fixture.generators)
                        .expect("honest proofs verify"),
                )
            });
        });
    }
    group.finish();
}

fn commitments(c: &mut Criterion) {
    let bases: Vec<_> = (0..4096).map(|i| generator(Domain::Row, i)).collect();
    let mut group = c.benchmark_group("commit a row of 4096");
    for bits in [1u32, 8, 13, 16, 26] {
        let mut state = 1u64;
        let values: Vec<i32> = bases
            .iter()
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 33) & ((1 << bits) - 1)) as i32
            })
            .collect();
        let mut workspace = weightproof_gpu_kernels::cpu::commit::Workspace::default();
        group.bench_function(format!("{bits} bits"), |b| {
            b.iter(|| {
                black_box(weightproof_gpu_kernels::cpu::commit::commit_row(&bases, &values, &mut workspace))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, contributions, commitments);
criterion_main!(benches);
