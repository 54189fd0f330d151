//! The circuit algebra: public and hidden values are wires of one [`Plan`], challenges are squeezed from its sponge
//! (specs/protocol/halo2.md, steps 2 and 3).

use std::cell::RefCell;
use std::rc::Rc;

use ark_ff::AdditiveGroup;

use super::plan::{Node, Plan, Shared, Wire};
use crate::algebra::{Algebra, ArgumentError, Check, OPENING_VALUE};
use crate::argument::{self, OpeningClaim};
use crate::field::F;
use crate::layout::Layout;
use crate::poseidon::Duplex;
use crate::program::Program;

/// What a plan is made from: values for a proof, or none for a key.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Every value is zero: only the plan's structure is wanted.
    Shape,
    /// A run of the argument.
    Run {
        /// The digest of everything public, as two limbs.
        digest: [F; 2],
        /// The secret salt.
        salt: F,
        /// The argument's messages, in order.
        messages: &'a [Vec<F>],
    },
}

/// Records a run of the checks as a plan.
struct Recorder<'a> {
    plan: Shared,
    duplex: Duplex<Node>,
    messages: Option<core::slice::Iter<'a, Vec<F>>>,
}

impl Recorder<'_> {
    fn absorb(&mut self, value: F) -> Node {
        let mut plan = self.plan.borrow_mut();
        let node = plan.message(value);
        self.duplex.absorb(&mut *plan, node);
        node
    }
}

impl Algebra for Recorder<'_> {
    type Public = Wire;
    type Hidden = Wire;

    fn begin(&mut self, piece: &'static str) {
        self.plan.borrow_mut().begin(piece);
    }

    fn receive(&mut self, label: &'static str, length: usize) -> Result<Vec<Wire>, ArgumentError> {
        let given = self.messages.as_mut().map(|messages| messages.next().map_or(&[][..], Vec::as_slice));
        let found = given.map_or(length, <[F]>::len);
        if found != length {
            return Err(ArgumentError::Shape { label, expected: length, found });
        }
        let value = |index: usize| given.and_then(|message| message.get(index)).copied().unwrap_or(F::ZERO);
        let nodes: Vec<Node> = (0..length).map(|index| self.absorb(value(index))).collect();
        Ok(nodes.into_iter().map(|node| Wire::node(&self.plan, node)).collect())
    }

    fn receive_opening_value(&mut self) -> Result<Wire, ArgumentError> {
        let found = || ArgumentError::Shape { label: OPENING_VALUE, expected: 1, found: 0 };
        self.receive(OPENING_VALUE, 1)?.pop().ok_or_else(found)
    }

    fn challenge(&mut self, _label: &'static str) -> Wire {
        let node = self.duplex.squeeze(&mut *self.plan.borrow_mut());
        Wire::node(&self.plan, node)
    }

    fn publish(&self, value: Wire) -> Wire {
        value
    }

    fn add(&self, a: Wire, b: &Wire) -> Wire {
        a + b.clone()
    }

    fn scale(&self, a: &Wire, c: &Wire) -> Wire {
        a.clone() * c.clone()
    }

    fn check_zero(
        &mut self,
        check: Check,
        products: &[(Wire, Wire)],
        linear: &Wire,
    ) -> Result<(), ArgumentError> {
        let sum = products.iter().fold(linear.clone(), |sum, (a, b)| sum + a.clone() * b.clone());
        sum.check_zero(&self.plan, check);
        Ok(())
    }
}

/// Runs the checks of a masked layout and lists what the circuit computes. The public values are the digest's limbs,
/// then the opening claim: `r*`, the coefficients, `y`.
///
/// # Errors
/// [`ArgumentError::Shape`] for messages that are not a run of this program's argument.
pub fn plan(layout: &Layout, program: &Program, input: Input<'_>) -> Result<Plan, ArgumentError> {
    let plan: Shared = Rc::new(RefCell::new(Plan::new()));
    let (digest, salt, messages) = match input {
        Input::Shape => ([F::ZERO; 2], F::ZERO, None),
        Input::Run { digest, salt, messages } => (digest, salt, Some(messages.iter())),
    };
    let mut recorder = Recorder { plan: Rc::clone(&plan), duplex: Duplex::default(), messages };
    recorder.begin("binding");
    let mut exposed: Vec<Node> = digest.iter().map(|limb| recorder.absorb(*limb)).collect();
    recorder.absorb(salt);
    let OpeningClaim { point, coefficients, value } = argument::check(&mut recorder, layout, program)?;
    if let Some(found) = recorder.messages.as_ref().map(|left| left.len()).filter(|left| *left > 0) {
        return Err(ArgumentError::Shape { label: "end", expected: 0, found });
    }
    recorder.begin("exposed");
    exposed.extend(point.iter().chain(&coefficients).chain([&value]).map(|wire| wire.to_node(&plan)));
    recorder.settle();
    drop((recorder, point, coefficients, value));
    let mut plan = Rc::unwrap_or_clone(plan).into_inner();
    plan.exposed = exposed;
    Ok(plan)
}

impl Recorder<'_> {
    /// Absorbs what is pending: the last message has no challenge after it, and its cell is in the sponge.
    fn settle(&mut self) {
        let mut plan = self.plan.borrow_mut();
        self.duplex.squeeze(&mut *plan);
    }
}
