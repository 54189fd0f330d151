//! The rules under attack (specs/ledger.md): every refusal, every escape that was thought of, random histories, encodings,
//! signatures and what can be earned.
#![allow(clippy::unwrap_used)]

mod attacks;
mod economics;
mod encodings;
mod harness;
mod histories;
mod refusals;
mod signatures;
