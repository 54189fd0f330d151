//! Crowds and floods: what many watchers get, what slow, oversized, forged and endless requests cost, and that whoever is
//! honest goes on meanwhile. `WEIGHTPROOF_LONG_TESTS=1` makes them large; all traffic stays on the loopback, where each
//! address is a peer of its own.
mod figures;
mod floods;
mod malformed;
mod readers;
mod strangers;
mod watchers;

/// A small number in ordinary runs, a large one on demand.
fn scaled(small: usize, large: usize) -> usize {
    if std::env::var_os("WEIGHTPROOF_LONG_TESTS").is_some_and(|value| value == "1") { large } else { small }
}

/// What the process may hold in all of these tests: its program and generators, and far from the gigabyte of
/// `limits.memory`.
const MEMORY: u64 = 400 << 20;
