//! What the circuit computes, as a list: sponge blocks and arithmetic gates (specs/protocol/halo2.md, steps 3 and 4).
//!
//! [`Wire`] is the public and the hidden value of the circuit algebra alike: a polynomial of degree at most two in nodes,
//! kept unevaluated until it is multiplied, compared or exposed. One gate then takes one product, the linear terms of its
//! factors, one more term and a constant, so additions and scalings by constants cost nothing. Equal values are computed
//! once. Nothing here depends on the values that nodes hold: the same program gives the same plan.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Add, Mul, Neg, Sub};
use std::rc::Rc;

use ark_ff::{AdditiveGroup, Field};

use crate::algebra::Check;
use crate::field::{F, Scalar};
use crate::poseidon::{self, Permutation, RATE, State};

/// A value of the circuit, by its number.
pub type Node = u32;

/// Where a node's value comes from, and so where its first cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Absorbed by a sponge block, in this place of the rate.
    Message {
        /// The block.
        block: usize,
        /// The place.
        slot: usize,
    },
    /// Squeezed from the state after a sponge block.
    Challenge {
        /// The block.
        block: usize,
        /// The place.
        slot: usize,
    },
    /// The result of a gate.
    Gate(usize),
}

/// `product·a·b + left·a + right·b + third·c + constant = d`, or `= 0` where there is no `d`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// `a`, `b` and `c`; absent operands are zero.
    pub operands: [Option<Node>; 3],
    /// `product`.
    pub product: F,
    /// `left`, `right`, `third`.
    pub linear: [F; 3],
    /// `constant`.
    pub constant: F,
    /// `d`.
    pub result: Option<Node>,
}

impl Gate {
    /// What the gate computes from its operands' values.
    fn value(&self, [a, b, c]: [F; 3]) -> F {
        self.product * a * b + self.linear[0] * a + self.linear[1] * b + self.linear[2] * c + self.constant
    }
}

/// One permutation of the sponge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// What is added to the rate before it; absent values are zero.
    pub message: Vec<Node>,
}

/// How much of the plan a piece of the argument takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceSize {
    /// The piece's name.
    pub piece: &'static str,
    /// Sponge blocks.
    pub blocks: usize,
    /// Arithmetic gates.
    pub gates: usize,
}

/// The list.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Source of each node.
    pub sources: Vec<Source>,
    /// Value of each node; meaningless in a plan for a key.
    pub values: Vec<F>,
    /// Arithmetic gates, in order.
    pub gates: Vec<Gate>,
    /// Sponge blocks, in order.
    pub blocks: Vec<Block>,
    /// The state before each block's message is added, and after the last block.
    pub states: Vec<State>,
    /// Public values, in the order of the instance column.
    pub exposed: Vec<Node>,
    /// The check that a gate without a result decides.
    pub checks: BTreeMap<usize, Check>,
    /// Where each piece starts: its name, blocks and gates before it.
    pieces: Vec<(&'static str, usize, usize)>,
    memo: BTreeMap<Form, Node>,
}

impl Plan {
    /// An empty plan.
    pub fn new() -> Self {
        Self { states: vec![poseidon::initial_state()], ..Self::default() }
    }

    fn push(&mut self, source: Source, value: F) -> Node {
        self.sources.push(source);
        self.values.push(value);
        (self.sources.len() - 1) as Node
    }

    fn value(&self, node: Node) -> F {
        self.values[node as usize]
    }

    /// A message element, which the next [`Permutation::permute`] that names it absorbs.
    ///
    /// Its place is set then: a node that is never absorbed has no cell, and laying out a plan with one is a programmer's mistake.
    pub fn message(&mut self, value: F) -> Node {
        self.push(Source::Message { block: usize::MAX, slot: 0 }, value)
    }

    /// Starts a piece of the argument.
    pub fn begin(&mut self, piece: &'static str) {
        self.pieces.push((piece, self.blocks.len(), self.gates.len()));
    }

    /// The first check that the values do not satisfy: the prover's self-check before it seals.
    pub fn violated(&self) -> Option<Check> {
        let value = |operand: Option<Node>| operand.map_or(F::ZERO, |node| self.value(node));
        let fails = |index: usize| {
            self.gates.get(index).is_some_and(|gate| gate.value(gate.operands.map(value)) != F::ZERO)
        };
        self.checks.iter().find(|(index, _)| fails(**index)).map(|(_, check)| *check)
    }

    /// The size of every piece, in order.
    pub fn piece_sizes(&self) -> Vec<PieceSize> {
        let ends = self.pieces.iter().skip(1).map(|(_, blocks, gates)| (*blocks, *gates));
        let ends = ends.chain([(self.blocks.len(), self.gates.len())]);
        self.pieces
            .iter()
            .zip(ends)
            .map(|((piece, blocks, gates), (blocks_end, gates_end))| PieceSize {
                piece,
                blocks: blocks_end - blocks,
                gates: gates_end - gates,
            })
            .collect()
    }

    fn gate(&mut self, gate: Gate, check: Option<Check>) -> Option<Node> {
        let index = self.gates.len();
        let value = |operand: Option<Node>| operand.map_or(F::ZERO, |node| self.value(node));
        let result = gate.value(gate.operands.map(value));
        let result = match check {
            None => Some(self.push(Source::Gate(index), result)),
            Some(check) => {
                self.checks.insert(index, check);
                None
            }
        };
        self.gates.push(Gate { result, ..gate });
        result
    }

    /// Emits the gates of a form; the last one decides `check` if there is one and otherwise yields the form's node.
    fn emit(&mut self, form: &Form, check: Option<Check>) -> Option<Node> {
        let mut linear: BTreeMap<Node, F> = form.linear.iter().copied().collect();
        let mut gates: Vec<Gate> = form
            .quadratic
            .iter()
            .map(|((a, b), product)| {
                let left = linear.remove(a).unwrap_or(F::ZERO);
                let right = linear.remove(b).unwrap_or(F::ZERO);
                Gate {
                    operands: [Some(*a), Some(*b), None],
                    product: *product,
                    linear: [left, right, F::ZERO],
                    constant: F::ZERO,
                    result: None,
                }
            })
            .collect();
        let mut rest = linear.into_iter();
        let mut next = || rest.next().map_or((None, F::ZERO), |(node, by)| (Some(node), by));
        // Every gate but the first takes the sum so far as its third operand.
        if let Some(first) = gates.first_mut() {
            (first.operands[2], first.linear[2]) = next();
        }
        loop {
            let (left, left_by) = next();
            if left.is_none() && !gates.is_empty() {
                break;
            }
            let (right, right_by) = next();
            let (third, third_by) = if gates.is_empty() { next() } else { (None, F::ZERO) };
            gates.push(Gate {
                operands: [left, right, third],
                product: F::ZERO,
                linear: [left_by, right_by, third_by],
                constant: F::ZERO,
                result: None,
            });
        }
        let last = gates.len() - 1;
        let mut sum = None;
        for (index, mut gate) in gates.into_iter().enumerate() {
            if index > 0 {
                (gate.operands[2], gate.linear[2]) = (sum, F::ONE);
            }
            if index == last {
                gate.constant = form.constant;
                return self.gate(gate, check);
            }
            sum = self.gate(gate, None);
        }
        None
    }

    /// The node that holds a form's value.
    fn node(&mut self, form: &Form) -> Node {
        if let Some(node) = form.single() {
            return node;
        }
        if let Some(node) = self.memo.get(form) {
            return *node;
        }
        let node = self.emit(form, None).expect("a gate that decides no check has a result");
        self.memo.insert(form.clone(), node);
        node
    }
}

/// The sponge over nodes.
impl Permutation for Plan {
    type Value = Node;
    fn permute(&mut self, message: Vec<Node>) -> [Node; RATE] {
        let block = self.blocks.len();
        let mut state = self.states.last().copied().unwrap_or_else(poseidon::initial_state);
        for (slot, node) in message.iter().enumerate() {
            self.sources[*node as usize] = Source::Message { block, slot };
            state[slot] += self.value(*node);
        }
        poseidon::permute(&mut state);
        self.states.push(state);
        self.blocks.push(Block { message });
        [0, 1].map(|slot| self.push(Source::Challenge { block, slot }, state[slot]))
    }
}

/// `constant + Σ linear + Σ quadratic` over nodes, terms sorted and without zeros, so that equal forms are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    constant: F,
    linear: Vec<(Node, F)>,
    quadratic: Vec<((Node, Node), F)>,
}

/// Merges two sorted lists of terms.
fn merge<K: Ord + Copy>(a: &[(K, F)], b: &[(K, F)]) -> Vec<(K, F)> {
    let mut merged = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let (key, by) = match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) if x.0 == y.0 => {
                (i, j) = (i + 1, j + 1);
                (x.0, x.1 + y.1)
            }
            (Some(x), Some(y)) if x.0 < y.0 => {
                i += 1;
                *x
            }
            (Some(x), None) => {
                i += 1;
                *x
            }
            (_, Some(y)) => {
                j += 1;
                *y
            }
            (None, None) => break,
        };
        if by != F::ZERO {
            merged.push((key, by));
        }
    }
    merged
}

impl Form {
    fn constant(constant: F) -> Self {
        Self { constant, ..Self::default() }
    }

    fn of(node: Node) -> Self {
        Self { linear: vec![(node, F::ONE)], ..Self::default() }
    }

    fn is_constant(&self) -> bool {
        self.linear.is_empty() && self.quadratic.is_empty()
    }

    /// The node that the form is, if it is nothing more.
    fn single(&self) -> Option<Node> {
        match (self.linear.as_slice(), self.quadratic.is_empty(), self.constant == F::ZERO) {
            ([(node, by)], true, true) if *by == F::ONE => Some(*node),
            _ => None,
        }
    }

    fn scaled(&self, by: F) -> Self {
        if by == F::ZERO {
            return Self::default();
        }
        Self {
            constant: self.constant * by,
            linear: self.linear.iter().map(|(node, c)| (*node, *c * by)).collect(),
            quadratic: self.quadratic.iter().map(|(pair, c)| (*pair, *c * by)).collect(),
        }
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            constant: self.constant + other.constant,
            linear: merge(&self.linear, &other.linear),
            quadratic: merge(&self.quadratic, &other.quadratic),
        }
    }
}

/// The plan under construction, shared by its wires.
pub type Shared = Rc<RefCell<Plan>>;

/// A value of the circuit. A constant belongs to no plan.
#[derive(Clone, Debug)]
pub struct Wire {
    plan: Option<Shared>,
    form: Form,
}

impl Wire {
    /// The wire of a node.
    pub fn node(plan: &Shared, node: Node) -> Self {
        Self { plan: Some(Rc::clone(plan)), form: Form::of(node) }
    }

    /// The node that holds the wire's value; a constant gets one in `plan`.
    pub fn to_node(&self, plan: &Shared) -> Node {
        plan.borrow_mut().node(&self.form)
    }

    /// Decides that the wire is zero.
    pub fn check_zero(&self, plan: &Shared, check: Check) {
        plan.borrow_mut().emit(&self.form, Some(check));
    }

    /// As `by·node + constant`.
    fn affine(&self, plan: &Shared) -> (Node, F, F) {
        match self.form.linear.as_slice() {
            [(node, by)] if self.form.quadratic.is_empty() => (*node, *by, self.form.constant),
            _ => (self.to_node(plan), F::ONE, F::ZERO),
        }
    }
}

impl Add for Wire {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { form: self.form.plus(&other.form), plan: self.plan.or(other.plan) }
    }
}

impl Neg for Wire {
    type Output = Self;
    fn neg(self) -> Self {
        Self { form: self.form.scaled(-F::ONE), plan: self.plan }
    }
}

impl Sub for Wire {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Wire {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        if self.form.is_constant() {
            return Self { form: other.form.scaled(self.form.constant), plan: other.plan };
        }
        if other.form.is_constant() {
            return Self { form: self.form.scaled(other.form.constant), plan: self.plan };
        }
        let Some(plan) = self.plan.clone().or_else(|| other.plan.clone()) else {
            // Only constants belong to no plan, and those are dealt with above.
            return Self::constant(F::ZERO);
        };
        let (a, a_by, a_constant) = self.affine(&plan);
        let (b, b_by, b_constant) = other.affine(&plan);
        let product = Form { quadratic: vec![((a.min(b), a.max(b)), a_by * b_by)], ..Form::default() };
        let left = Form::of(a).scaled(a_by * b_constant);
        let right = Form::of(b).scaled(a_constant * b_by);
        let rest = Form::constant(a_constant * b_constant);
        Self { form: product.plus(&left).plus(&right).plus(&rest), plan: Some(plan) }
    }
}

impl Scalar for Wire {
    fn constant(value: F) -> Self {
        Self { plan: None, form: Form::constant(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan with three message nodes of the given values, and their wires.
    fn inputs(values: [u64; 3]) -> (Shared, [Wire; 3]) {
        let plan = Rc::new(RefCell::new(Plan::new()));
        let wires = values.map(|value| {
            let node = plan.borrow_mut().message(F::from(value));
            Wire::node(&plan, node)
        });
        (plan, wires)
    }

    fn value(plan: &Shared, wire: &Wire) -> F {
        let node = wire.to_node(plan);
        plan.borrow().value(node)
    }

    fn c(value: u64) -> Wire {
        Wire::constant(F::from(value))
    }

    #[test]
    fn wires_compute_what_field_elements_do() {
        let (plan, [x, y, z]) = inputs([3, 5, 7]);
        let wire = (x.clone() + c(2)) * (y.clone() - c(1)) + z.clone() * c(10) - c(4);
        assert_eq!(value(&plan, &wire), F::from(5 * 4 + 70 - 4u64));
        assert_eq!(plan.borrow().gates.len(), 1, "a product of affine factors and one more term is one gate");
        let wire = (wire.clone() * wire.clone() - x.clone() * y.clone()) * z.clone();
        assert_eq!(value(&plan, &wire), F::from((86 * 86 - 15) * 7u64));
        assert_eq!(value(&plan, &(c(6) * c(7))), F::from(42u64));
        let many = [&x, &y, &z].into_iter().cycle().take(10).cloned().reduce(|a, b| a + b).unwrap();
        assert_eq!(value(&plan, &many), F::from(3 * 15 + 3u64));
        assert_eq!(value(&plan, &(many.clone() - many)), F::ZERO);
    }

    #[test]
    fn equal_values_are_computed_once() {
        let (plan, [x, y, z]) = inputs([3, 5, 7]);
        let first = (x.clone() * y.clone() * z.clone()).to_node(&plan);
        let gates = plan.borrow().gates.len();
        assert_eq!((y * x * z).to_node(&plan), first);
        assert_eq!(plan.borrow().gates.len(), gates);
    }

    #[test]
    fn long_sums_chain_through_the_third_operand() {
        let (plan, [x, y, z]) = inputs([3, 5, 7]);
        let sum =
            x.clone() * y.clone() + y.clone() * z.clone() + z.clone() * z.clone() + x.clone() + y + z + c(9);
        assert_eq!(value(&plan, &sum), F::from(15 + 35 + 49 + 15 + 9u64));
        assert_eq!(plan.borrow().gates.len(), 3);
        let check = sum - c(123);
        check.check_zero(&plan, Check::Gates);
        let plan = plan.borrow();
        assert_eq!(plan.gates.len(), 6);
        assert_eq!(plan.gates[5].result, None);
        assert_eq!(plan.checks.get(&5), Some(&Check::Gates));
    }
}
