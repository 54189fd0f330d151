//! What Weightproof proves, and the only place where it is written down in code.
//!
//! The crate knows no files, threads, floats or clocks. `program` names the training program, `exact` is its
//! meaning in integers, `statement` is what a proof is about, `argument` holds the verifier's equations, written
//! once over an `algebra`, and `seal` makes them zero-knowledge.
#![forbid(unsafe_code)]

pub mod accumulate;
pub mod algebra;
pub mod argument;
pub mod batches;
pub mod curve;
pub mod decimal;
mod draws;
pub mod encoding;
pub mod error;
pub mod exact;
pub mod field;
pub mod layout;
pub mod merkle;
pub mod multilinear;
pub mod parameters;
pub mod pasta;
pub mod poseidon;
pub mod program;
mod rates;
pub mod seal;
pub mod soundness;
pub mod statement;
pub mod transcript;

/// Property tests draw the same cases on every run.
#[cfg(test)]
pub(crate) fn seeded_cases(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases,
        rng_seed: proptest::test_runner::RngSeed::Fixed(0x5eed),
        failure_persistence: None,
        ..Default::default()
    }
}
