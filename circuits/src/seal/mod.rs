//! Seals: what makes an argument zero-knowledge (specs/protocol/sigma.md).

pub mod equation;
pub mod sigma;
