//! A malicious prover beside the honest one: every attack is refused by the check that is named for it,
//! and goes through once that check alone is passed over.
//!
//! - [`forge`]: a trainer in which every assignment of a witness value can be overridden; what follows from the value
//!   follows from the forged one.
//! - [`harness`]: cases, the tampering channel, the probe that measures every check, and the judge.
//! - The attacks: on the witness, on the messages in flight, on the stored transcript.
//! - The manifest: no block, message, check or statement field is without an attack.
//!
//! The default run samples the largest sweeps; `WEIGHTPROOF_LONG_TESTS=1` runs them whole.

#[path = "../common/mod.rs"]
mod common;
mod differential;
mod forge;
mod harness;
mod manifest;
mod messages;
mod transcript;
mod witness;
