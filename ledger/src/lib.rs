//! The rules of a node as one pure function: who may do what, what it changes, and the log that proves it.
//!
//! [`step::step`] takes a state, an event and a time, and gives the effects and the next state, or a [`Refusal`] and no
//! change. Everything that it is given is in the log ([`event::Entry`]), so whoever has the log arrives at the same
//! balances and model digests ([`replay`]). Times are unix seconds, tokens are whole, all arithmetic is checked.
//!
//! Absent on purpose: clocks, randomness, files, networks, threads, and the integers of a model (their digests stand for
//! them; who holds the integers adds them up, and an auditor does it again).
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod action;
pub mod canonical;
pub mod event;
pub mod log;
pub mod policy;
mod refusal;
pub mod replay;
pub mod signed;
pub mod state;
pub mod step;

pub use refusal::Refusal;

/// A public key, an account, a space or a digest: 32 bytes.
pub type Id = [u8; 32];
