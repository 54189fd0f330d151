//! The argument: what the verifier checks of a contribution's arithmetic, written once over an algebra.
//!
//! The pieces run in this order; each has a page of the same name in `specs/protocol/` and a proving half of the same
//! name in the prover: [`relations`], [`products`], [`weights`], [`gates`], [`lookup`], [`reduction`].

pub mod claims;
pub mod gates;
pub mod lookup;
pub mod products;
pub mod reduction;
pub mod relations;
pub mod sumcheck;
pub mod weights;

use crate::algebra::{Algebra, ArgumentError};
use crate::layout::Layout;
use crate::program::Program;

pub use reduction::{Opened, OpeningClaim};

/// Runs all checks and returns what is left for the opening to prove.
///
/// The algebra's transcript must already be bound to the statement and to every commitment (specs/protocol/statement.md).
pub fn check<A: Algebra>(
    algebra: &mut A,
    layout: &Layout,
    program: &Program,
) -> Result<OpeningClaim<A>, ArgumentError> {
    let mut claims = Vec::new();
    algebra.begin("relations");
    let (relation, loss) = relations::check(algebra, layout, program, &mut claims)?;
    algebra.begin("products");
    let product = products::check(algebra, layout, program, &relation, &mut claims)?;
    algebra.begin("weights");
    weights::check(algebra, layout, program, &relation, &product, &mut claims)?;
    algebra.begin("gates");
    gates::check(algebra, layout, &relation.point, loss, &mut claims)?;
    algebra.begin("lookup");
    lookup::check(algebra, layout, &mut claims)?;
    algebra.begin("reduction");
    reduction::check(algebra, layout, claims)
}

/// The length of every message of a program's argument, in order.
pub fn outline(layout: &Layout, program: &Program) -> Result<Vec<usize>, ArgumentError> {
    let mut outline = crate::algebra::Outline::default();
    check(&mut outline, layout, program)?;
    Ok(outline.lengths)
}
