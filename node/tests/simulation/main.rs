//! A node, honest and hostile clients, a bad network and a bad disk under virtual time: a seed decides everything.
//!
//! ```text
//! cargo test -p weightproof-node --test simulation                     # 200 seeds
//! WEIGHTPROOF_SEEDS=10000 cargo test … seeds                           # as many as asked for
//! WEIGHTPROOF_SEED=17 cargo test … seeds -- --nocapture                # one, with its trace
//! ```
//!
//! `scenario` draws who plays and how bad it gets, `world` holds clock, network, node and the checks after each step,
//! `clients` and `hostile` what they do, `disk` how writing fails, `auditor` a second opinion of every entry. The proofs are
//! stand-ins: what a verifier finds is written in the file, and what is true the auditor knows.
mod auditor;
mod clients;
mod controls;
mod corruption;
mod disk;
mod hostile;
mod random;
mod scenario;
mod seeds;
mod world;

use disk::Broken;
use world::{Report, World};

/// What must hold, or a sentence that says what does not.
pub type Checked<T = ()> = Result<T, String>;

/// A promise that is broken on purpose: the checks have to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The store breaks one.
    Store(Broken),
    /// The verifier lets proofs pass that fail.
    AcceptsFailingProofs,
    /// The verifier yields another update than the one that was proved.
    AppliesAnotherUpdate,
    /// A receipt is changed on its way.
    ChangesAReceipt,
}

/// Plays a seed to its end. A panic is a violation too.
pub fn play(seed: u64, sabotage: Option<Sabotage>) -> (Checked, Report) {
    let mut world = World::new(seed, sabotage);
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.play()));
    let checked = played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("a panic: {}", text.unwrap_or_default()))
    });
    (checked, world.report())
}
