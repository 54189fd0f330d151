//! The gRPC services of a node, and the generated messages that clients share.

pub mod context;
pub mod gate;
mod guard;
mod latency;
pub mod serve;
mod services;
pub mod status;
mod uploads;
mod verdicts;

/// Messages, clients and servers generated from `specs/proto/weightproof/v1`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("weightproof.v1");
}

/// The compiled `.proto` files, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
