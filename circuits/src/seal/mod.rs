//! Seals: what makes an argument zero-knowledge (specs/protocol/sigma.md, specs/protocol/halo2.md).

pub mod equation;
pub mod halo2;
pub mod sigma;
