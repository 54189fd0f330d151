//! prover
pub mod atomic_file;
pub mod data;
pub mod progress;
