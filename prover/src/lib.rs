//! Trains exactly and proves it: data in, contributions out.
//!
//! [`data`] reads and quantises rows, [`dataset`] commits them, [`trainer`] computes the exact integers, [`argument`]
//! proves them piece by piece under the names of `weightproof_circuits::argument`, [`seal`] or
//! [`mod@halo2`] and [`opening`] make the
//! proof zero-knowledge, and [`mod@contribute`] is the whole way. Rows, labels and blindings never leave this crate's caller.
#![deny(unsafe_code)]

pub mod argument;
pub mod atomic_file;
pub mod commitments;
pub mod contribute;
pub mod data;
pub mod dataset;
pub mod entropy;
pub mod estimate;
pub mod float;
pub mod generators;
pub mod halo2;
pub mod model_file;
pub mod opening;
pub mod progress;
pub mod seal;
pub mod seal_parameters;
pub mod trainer;

pub use commitments::Committer;
pub use contribute::{ContributeError, Job, Made, Seal, contribute, derive_generators};
pub use dataset::{CommittedDataset, DatasetError};
pub use halo2::SealProver;
pub use weightproof_gpu_kernels::cpu::session::cpu;
pub use weightproof_gpu_kernels::kernels::Kernels;
