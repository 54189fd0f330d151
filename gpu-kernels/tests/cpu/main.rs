//! The CPU's lookup, gates and sums: each against its definition, over random layouts and sizes on both sides of every
//! threshold, with the processor's widest instructions and with the portable ones.
#![allow(clippy::unwrap_used)]

#[path = "../shared/fractions.rs"]
mod fractions;
mod gates;
#[path = "../shared/instance.rs"]
mod instance;
mod lookup;
#[path = "../shared/products.rs"]
mod products;
#[path = "../shared/statement.rs"]
mod statement;
mod sums;
mod support;
