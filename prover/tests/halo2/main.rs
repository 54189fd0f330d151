//! The halo2 seal under attack.
//!
//! - [`harness`]: cases, a dishonest sponge, an evaluator of the table that says which item fails, and the argument on
//!   field elements under the seal's own transcript, which knows nothing of plans and tables.
//! - [`deletion`]: every constraint, selector, constant, coefficient and copy is left out in turn, and a stored attack gets
//!   through; with the item in place the item alone refuses it, and so does halo2's own checker.
//! - [`agreement`]: circuit and clear verifier give the same verdict on mutated transcripts.
//! - [`proofs`]: whole contributions against the real verifier.
//! - [`zero_knowledge`]: salt, mask and blindings, each with what it hides when it is left out.
//!
//! The default run samples the largest sweep; `WEIGHTPROOF_LONG_TESTS=1` runs it whole.

mod agreement;
#[path = "../common/mod.rs"]
mod common;
mod deletion;
mod harness;
mod proofs;
#[path = "../sealing/mod.rs"]
mod sealing;
mod zero_knowledge;
