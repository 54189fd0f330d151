//! The thin verifier of Weightproof contributions: bytes and a base model in, a verified statement or a reason out.
//!
//! Use it wherever a contribution must be trusted: in the node, offline, or in a browser. [`verify`] is the whole of it;
//! [`verify_with`] takes cached generators. The checks themselves are `weightproof_circuits::argument`, which exist
//! once; this crate reads bytes, evaluates the public polynomials, and checks the group equations.
//!
//! It knows no prover, clock, file, thread (without the feature `parallel`) or source of randomness, and it never
//! panics, whatever the bytes.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod binding;
pub mod contribution;
mod keys;
pub mod opening;
pub mod public;
mod threads;
mod verify;

pub use contribution::{CompactProof, Contribution, Proof, longest_contribution};
pub use keys::{Keys, SealKey};
pub use verify::{Verified, VerifyError, verify, verify_batch, verify_with};

use weightproof_circuits::argument::outline;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::program::Program;

/// How many generators a program's proofs use: `(rows, messages)`.
pub fn generator_counts(layout: &Layout, program: &Program) -> (usize, usize) {
    let longest = outline(layout, program).ok().and_then(|lengths| lengths.into_iter().max()).unwrap_or(0);
    (1 << layout.column_variables, longest)
}
