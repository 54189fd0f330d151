//! prover
pub mod float;
pub mod trainer;
