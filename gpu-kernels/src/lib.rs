//! Coarse operations that the prover spends its time in. The CPU implementation is plain Rust; callers bring the threads.
//!
//! The crate knows nothing of statements or proofs: it adds points and multiplies field elements.

pub mod cpu;
