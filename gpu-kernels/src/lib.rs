//! The prover's inner loops behind one trait: a CPU implementation and a CUDA one.

pub mod cpu;
pub mod device;
pub mod kernels;
mod stack;
