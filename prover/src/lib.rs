//! prover
pub mod atomic_file;
pub mod argument;
pub mod data;
pub mod float;
pub mod model_file;
pub mod progress;
pub mod trainer;
