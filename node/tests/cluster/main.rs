//! Nodes as processes: what members may do, what strangers may not, and what survives.
// The lint exempts `#[test]` functions alone; the helpers here are as much tests as those.
#![allow(clippy::unwrap_used)]

mod attacks;
mod crash;
mod digits;
mod harness;
mod journey;
mod load;
mod reflection;
mod traces;
