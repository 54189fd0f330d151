#![allow(missing_docs)]
use std::alloc::{GlobalAlloc, Layout as A, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;
use weightproof_circuits::argument::outline;
use weightproof_circuits::batches::{BatchSeed, indices};
use weightproof_circuits::layout::Layout;
use weightproof_circuits::program::*;
use weightproof_circuits::seal::halo2::key;
struct C;
static TOTAL: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
unsafe impl GlobalAlloc for C {
    unsafe fn alloc(&self, l: A) -> *mut u8 {
        TOTAL.fetch_add(l.size(), Relaxed);
        let live = LIVE.fetch_add(l.size(), Relaxed) + l.size();
        PEAK.fetch_max(live, Relaxed);
        unsafe { System.alloc(l) }
    }
    unsafe fn dealloc(&self, p: *mut u8, l: A) {
        LIVE.fetch_sub(l.size(), Relaxed);
        unsafe { System.dealloc(p, l) }
    }
}
#[global_allocator]
static G: C = C;
fn cost<T>(what: &str, f: impl Fn() -> T) -> T {
    let mut best = f64::MAX;
    let (mut total, mut peak) = (0, 0);
    let mut out = None;
    for _ in 0..3 {
        let t0 = TOTAL.load(Relaxed);
        let live = LIVE.load(Relaxed);
        PEAK.store(live, Relaxed);
        let c = Instant::now();
        let r = f();
        best = best.min(c.elapsed().as_secs_f64());
        total = TOTAL.load(Relaxed) - t0;
        peak = PEAK.load(Relaxed) - live;
        out = Some(r);
        if best > 2.0 {
            break;
        }
    }
    println!("{what}: {:.3} ms, {total} B allocated, {peak} B peak", best * 1e3);
    out.unwrap()
}
fn spec(
    steps: usize,
    batch: usize,
    layers: Vec<usize>,
    rate: &str,
    momentum: &str,
    weight: &str,
    bits: Option<u32>,
) -> ProgramSpec {
    ProgramSpec {
        layers,
        activation: Activation::Relu,
        loss: Loss::SoftmaxCrossEntropy,
        activation_bits: 8,
        error_bits: 10,
        weight_bits: bits,
        learning_rate: rate.parse().unwrap(),
        momentum: momentum.parse().unwrap(),
        steps,
        batch,
        weight: weight.parse().unwrap(),
    }
}
fn main() {
    println!("block {} bytes", std::mem::size_of::<weightproof_circuits::layout::Block>());
    let cases: Vec<(&str, ProgramSpec)> = vec![
        ("mu 0", spec(4096, 1, vec![1, 2], "1", "0", "1", Some(40))),
        ("mu .999999999", spec(4096, 1, vec![1, 2], "1", "0.999999999", "1", Some(40))),
        (
            "mu .999999999 long weight derived",
            spec(4096, 1, vec![1, 2], "1.23456789012345678", "0.999999999", "0.123456789012345678", None),
        ),
        (
            "mu .98 limit near tie",
            spec(4096, 1, vec![1, 2], "0.123456789012345678", "0.98", "0.123456789012345678", Some(40)),
        ),
        ("mu .5 limit is tie", spec(4096, 256, vec![1, 2], "0.00000762939453125", "0.5", "1", Some(40))),
        (
            "mu .999999999 refused: too large",
            spec(4096, 1, vec![1, 2], "1000000000000000000", "0.999999999", "1", None),
        ),
        (
            "mu .999999999 refused: too large late",
            spec(4096, 1, vec![1, 2], "100", "0.999999999", "1", Some(40)),
        ),
        (
            "mu .999999999 refused: no bits suit",
            spec(4096, 1, vec![1, 2], "0.000000000000000001", "0.999999999", "1", None),
        ),
        (
            "mu 0 refused: no bits suit",
            spec(4096, 65536 / 256, vec![1, 2], "0.000000000000000001", "0", "1", None),
        ),
    ];
    for (what, s) in cases {
        let r = cost(&format!("validate {what}"), || Program::validate(s.clone()));
        if let Ok(p) = &r {
            let bytes = p.encode();
            cost(&format!("  decode ({} bytes)", bytes.len()), || Program::decode(&bytes).is_ok());
        } else {
            println!("  refused {:?}", r.as_ref().unwrap_err().problems[0].key);
        }
    }
    for (what, s) in [
        ("K 4096", spec(4096, 1, vec![1, 2], "1", "0.9", "1", Some(40))),
        ("K 4096 B 256", spec(4096, 256, vec![1, 2], "256", "0.9", "1", Some(40))),
        ("64 widths", spec(1, 1, vec![2; 64], "1", "0.9", "1", Some(40))),
        ("64 widths, K 4096 B 256", spec(4096, 256, vec![2; 64], "256", "0.9", "1", Some(40))),
        ("64 widths, K 256", spec(256, 1, vec![2; 64], "1", "0.9", "1", Some(40))),
        ("64 widths, K 256 B 4096", spec(256, 4096, vec![2; 64], "4096", "0.9", "1", Some(40))),
    ] {
        let p = Program::validate(s).unwrap();
        let l = cost(&format!("layout {what}"), || Layout::new(&p));
        println!("  rows {} columns {}", 1 << l.matrix_row_variables(), l.column_variables);
        let o = cost(&format!("outline {what}"), || outline(&l, &p).unwrap());
        println!("  {} messages, {} values", o.len(), o.iter().sum::<usize>());
        if p.steps() <= 256 {
            let r = cost(&format!("halo2 shape {what}"), || key::shape(&p).map(|s| s.1.rows));
            println!("  {r:?}");
        }
    }
    for (what, s) in [
        ("K 4096", spec(4096, 1, vec![1, 2], "1", "0.9", "1", Some(40))),
        ("K 4095", spec(4095, 1, vec![1, 2], "1", "0.9", "1", Some(40))),
        ("K 4096 B 256", spec(4096, 256, vec![1, 2], "256", "0.9", "1", Some(40))),
        ("64 widths, K 1", spec(1, 1, vec![2; 64], "1", "0.9", "1", Some(40))),
        ("64 widths, K 4096 B 256", spec(4096, 256, vec![2; 64], "256", "0.9", "1", Some(40))),
    ] {
        for rows in [1, 2] {
            for cut in [0, 1, usize::MAX] {
                use weightproof_circuits::{merkle, parameters::Parameters, statement::*};
                let p = Program::validate(s.clone()).unwrap();
                let zeros = Parameters::zeros(&p);
                let digest = zeros.digest(&p).unwrap();
                let root = merkle::root(std::iter::repeat_n(&[0u8; 32][..], rows)).unwrap();
                let statement = Statement {
                    protocol_version: 1,
                    seal: 1,
                    seal_key_digest: [0; 32],
                    mode: 1,
                    space: [0; 32],
                    round: 0,
                    beacon: [0; 32],
                    program_digest: p.digest(),
                    dataset_root: root,
                    dataset_rows: rows as u64,
                    model_version: 0,
                    model_digest: digest,
                    update_digest: digest,
                    contributor: [0; 32],
                    payout: vec![],
                };
                let l = Layout::new(&p);
                let n = weightproof_verifier::contribution::ProofShape::new(&l, &p, rows, 0).bytes();
                let proof = vec![0; n.saturating_sub(cut)];
                let bytes = weightproof_verifier::Contribution {
                    program: p.clone(),
                    update: zeros.clone(),
                    statement,
                    proof,
                }
                .encode();
                let few = weightproof_circuits::curve::Generators::derive(1, 1);
                let r = cost(
                    &format!("file of {} bytes, {what}, {rows} rows, {cut} bytes short", bytes.len()),
                    || weightproof_verifier::verify_with(&bytes, &zeros, &few).map(drop),
                );
                println!("  {}", r.unwrap_err().to_string().chars().take(100).collect::<String>());
            }
        }
    }
    let text = format!("a = [{}]", "1,".repeat(32_000));
    cost("parse of a long list", || Program::parse(&text).is_err());
    let text = (0..8_000).map(|i| format!("k{i}=1\n")).collect::<String>();
    cost("parse of many keys", || Program::parse(&text).is_err());
    let seed = BatchSeed {
        beacon: [1; 32],
        model_digest: [2; 32],
        dataset_root: [3; 32],
        contributor: [4; 32],
        round: 1,
    };
    for rows in [1u64, 2, 3, 16, 100, 1 << 20, 1 << 32] {
        let drawn = cost(&format!("indices of {rows} rows"), || indices(&seed, rows, 4096, 256).unwrap());
        cost("  distinct", || weightproof_verifier::binding::distinct_rows(&drawn));
    }
}
