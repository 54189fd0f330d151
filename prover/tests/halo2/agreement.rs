//! probe
use crate::harness::*;
use std::time::Instant;
#[test]
fn probe() {
    for case in [tiny(), case("[3, 1]", "identity", "squared-error", 1, 2, "0.0"), case("[2, 3, 2]", "relu", "softmax-cross-entropy", 2, 2, "0.5"), case("[3, 2, 1]", "relu", "squared-error", 2, 1, "0.5")] {
        let t = Instant::now();
        let sent = honest(&case, 1);
        println!("prove {:?}", t.elapsed());
        let t = Instant::now();
        let plan = sent.plan(&case);
        println!("plan {:?} gates {} blocks {}", t.elapsed(), plan.gates.len(), plan.blocks.len());
        let t = Instant::now();
        let table = weightproof_circuits::seal::halo2::table::Table::new(&plan);
        println!("table {:?} rows {}", t.elapsed(), table.rows);
        let t = Instant::now();
        println!("{:?}", violations(&table));
        println!("violations {:?}", t.elapsed());
        let t = Instant::now();
        println!("{:?}", native(&case, &sent).0);
        println!("native {:?}", t.elapsed());
        let t = Instant::now();
        println!("{:?}", mock(&table));
        println!("mock {:?}", t.elapsed());
        let t = Instant::now();
        let f = forge_sponge(&case, 1, initial(), &faithful);
        println!("forge {:?} {}", t.elapsed(), f.table.advice == table.advice);
    }
}
