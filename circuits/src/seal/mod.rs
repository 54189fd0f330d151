//! Seals: what makes an argument zero-knowledge (protocol.md §3.4).

pub mod equation;
pub mod sigma;
