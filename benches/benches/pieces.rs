//! Criterion benches of whole contributions and of the pieces that dominate them, on the bench programs (a) and (b).
//!
//! `cargo bench -p weightproof-benches`. The larger programs, memory and overhead are measured by
//! `cargo run --release -p weightproof-benches --example results`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weightproof_benches::{Fixture, cases};
use weightproof_circuits::curve::{Domain, generator};
use weightproof_circuits::field::F;
use weightproof_gpu_kernels::cpu::commit::{Workspace, commit_row, multi_exponentiation};
use weightproof_gpu_kernels::cpu::fold::Folding;
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

/// A generator of numbers that needs no crate.
fn draws() -> impl FnMut() -> u32 {
    let mut state = 1u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    }
}

fn commitments(c: &mut Criterion) {
    const WIDTH: usize = 1 << 15;
    let bases: Vec<_> = (0..WIDTH as u64).map(|i| generator(Domain::Row, i)).collect();
    let mut draw = draws();
    let mut row = |f: &dyn Fn(&mut dyn FnMut() -> u32) -> i32| -> Vec<i32> {
        (0..WIDTH).map(|_| f(&mut draw)).collect()
    };
    // The sum of twelve uniform numbers is close to normal, with a deviation of their range.
    let normal = |deviation: i32| {
        move |draw: &mut dyn FnMut() -> u32| {
            let sum: i64 = (0..12).map(|_| i64::from(draw() & 0xffff)).sum();
            ((sum - 6 * 0xffff) * i64::from(deviation) / 0xffff) as i32
        }
    };
    let rows = [
        ("bits", row(&|draw| (draw() & 1) as i32)),
        ("8 bits", row(&|draw| (draw() & 0xff) as i32 - 0x80)),
        ("13 bits", row(&|draw| (draw() & 0x1fff) as i32)),
        ("16 bits, deviation 300", row(&normal(300))),
        ("16 bits, deviation 3000", row(&normal(3000))),
        ("16 bits, uniform", row(&|draw| (draw() & 0xffff) as i32 - 0x8000)),
        ("26 bits", row(&|draw| (draw() & 0x3ff_ffff) as i32)),
    ];
    let mut group = c.benchmark_group("commit a row of 2^15");
    group.throughput(Throughput::Elements(WIDTH as u64)).sample_size(20);
    for (processor, mut workspace) in [("", Workspace::default()), (", portable", Workspace::portable())] {
        for (name, values) in &rows {
            group.bench_function(format!("{name}{processor}"), |b| {
                b.iter(|| black_box(commit_row(&bases, values, &mut workspace)));
            });
        }
    }
    group.finish();
}

fn openings(c: &mut Criterion) {
    const COUNT: usize = 1 << 11;
    let bases: Vec<_> = (0..2 * COUNT as u64).map(|i| generator(Domain::Row, i)).collect();
    let mut scalar = F::from(3u64);
    let scalars: Vec<F> = (0..COUNT)
        .map(|_| {
            scalar = scalar * scalar + F::from(1u64);
            scalar
        })
        .collect();
    let mut group = c.benchmark_group("opening");
    group.throughput(Throughput::Elements(COUNT as u64)).sample_size(20);
    group.bench_function("fold 2^12 bases", |b| {
        b.iter(|| black_box(Folding::new(&scalar).fold(&bases[..COUNT], &bases[COUNT..])));
    });
    group.bench_function("multiply 2^11 bases by full-size scalars", |b| {
        b.iter(|| black_box(multi_exponentiation(&bases, &scalars)));
    });
    group.finish();
}

criterion_group!(benches, contributions, commitments, openings);
criterion_main!(benches);
