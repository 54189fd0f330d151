//! The sumcheck over one layer's gates (specs/protocol/gates.md).

use ark_ff::{AdditiveGroup, Field};
use rayon::prelude::*;
use weightproof_circuits::field::F;
use weightproof_circuits::multilinear::eq_table;

use super::lanes::{Kernel, Lanes, One, TERMS, bind, binding, flatten};
use super::weights::SplitTable;
use crate::kernels::{EqSum, GateLayer, GateSum, KernelError};

/// Pairs of a task at most.
const TASK: usize = 512;
/// Arrays of at most so many elements go on one element at a time.
const NARROW: usize = 512;

/// `E_A, E_Δ, g, Q, P`, one block of each side by side.
type Gate<L> = [<L as Lanes>::Block; 5];

/// The arrays, below `3p`, gate after gate.
struct Arrays<L: Lanes> {
    storage: L::Storage,
    /// Gates in use: storage that has served more keeps its length.
    count: usize,
}

impl<L: Lanes> Arrays<L> {
    fn zeros(count: usize) -> Self {
        Self { storage: L::zeros(5 * count), count }
    }

    /// Makes room for `count` gates, whose content is to be overwritten.
    fn resize(&mut self, count: usize) {
        if self.storage.len() < 5 * count {
            *self = Self::zeros(count);
        }
        self.count = count;
    }

    fn gates(&self) -> &[Gate<L>] {
        self.storage[..5 * self.count].as_chunks().0
    }

    fn gates_mut(&mut self) -> &mut [Gate<L>] {
        self.storage[..5 * self.count].as_chunks_mut().0
    }

    fn narrow(&self) -> Arrays<One> {
        let gates = self.gates();
        let mut narrow = Arrays::<One>::zeros(gates.len() * L::LANES);
        for array in 0..5 {
            let blocks: Vec<L::Block> = gates.iter().map(|gate| gate[array]).collect();
            for (gate, element) in narrow.gates_mut().iter_mut().zip(flatten::<L>(&blocks)) {
                gate[array] = element;
            }
        }
        narrow
    }
}

/// The arrays that are left.
enum Left<L: Lanes> {
    Wide(Arrays<L>),
    Narrow(Arrays<One>),
}

/// One layer's gates on the CPU.
pub struct Gates<L: Lanes> {
    token: L::Token,
    left: Left<L>,
    /// Storage to bind into.
    spare: Arrays<L>,
    pending: Option<F>,
}

/// A claim's `coefficient·eq(point, ·)` by lane, and split over the blocks.
struct SplitClaim<L: Lanes> {
    lanes: Vec<F>,
    high: Vec<F>,
    low: Vec<L::Constant>,
}

impl<L: Lanes> SplitClaim<L> {
    fn all(sum: &EqSum) -> Vec<Self> {
        let split = |(coefficient, point): &(F, Vec<F>)| {
            let (lanes, rest) = point.split_at(L::LANES.trailing_zeros() as usize);
            let SplitTable { high, low } = SplitTable::new(rest);
            Self {
                lanes: eq_table(lanes).iter().map(|lane| *coefficient * lane).collect(),
                high,
                low: low.iter().map(L::constant).collect(),
            }
        };
        sum.iter().map(split).collect()
    }

    /// The lanes of row `row`, entered.
    fn row(&self, row: usize) -> Vec<F> {
        self.lanes.iter().map(|lane| L::enter(*lane * self.high[row])).collect()
    }
}

/// A claim in one row: its lanes, entered, and its factors within the row.
type RowClaim<'a, L> = (Vec<F>, &'a [<L as Lanes>::Constant]);

/// Fills one row of the arrays.
struct Fill<'a, L: Lanes> {
    out: &'a mut [Gate<L>],
    /// For `E_A` and `E_Δ`.
    claims: [Vec<RowClaim<'a, L>>; 2],
    /// `g, Q, P`.
    integers: [&'a [i32]; 3],
    first: usize,
    stride: usize,
}

impl<L: Lanes> Kernel<L> for Fill<'_, L> {
    type Output = ();
    #[inline(always)]
    fn run(self, token: L::Token) {
        // A sum below 2p and a product below 1.1p are reduced below 2p.
        // Written before anything is read: reading memory that is not there yet costs a page fault of its own.
        for (i, gate) in self.out.iter_mut().enumerate() {
            for (slot, integers) in gate[2..].iter_mut().zip(self.integers) {
                *slot = L::integers(token, integers, self.first + i, self.stride).store();
            }
        }
        for (weight, claims) in self.claims.iter().enumerate() {
            for (lanes, low) in claims {
                let lanes = L::gather(token, lanes, 0, 1);
                for (gate, low) in self.out.iter_mut().zip(*low) {
                    let sum = L::load(token, &gate[weight]).add(lanes.mul(L::spread(token, low)));
                    gate[weight] = sum.reduce().store();
                }
            }
        }
    }
}

/// The five values of a block.
#[inline(always)]
fn load_gate<L: Lanes>(token: L::Token, gate: &Gate<L>) -> [L; 5] {
    let [a, b, c, d, e] = gate;
    [L::load(token, a), L::load(token, b), L::load(token, c), L::load(token, d), L::load(token, e)]
}

/// Binds the first two blocks.
#[inline(always)]
fn bind_gates<L: Lanes>(token: L::Token, factors: [L; 2], gates: &[Gate<L>]) -> [L; 5] {
    let (mut even, odd) = (load_gate::<L>(token, &gates[0]), load_gate::<L>(token, &gates[1]));
    for (even, odd) in even.iter_mut().zip(odd) {
        *even = bind(factors, *even, odd);
    }
    even
}

/// Adds `g·(E_A·Q + E_Δ·P)`.
#[inline(always)]
fn add_gate<L: Lanes>(sum: &mut L::Sum, gate: [L; 5]) {
    let [activation, error, sign, pre_activation, back_sum] = gate;
    L::sum_add(sum, L::mul_add([activation, error], [pre_activation, back_sum]), sign)
}

/// Binds where factors are given, and sums the cubic at 0, −1 and its leading coefficient.
struct Sums<'a, L: Lanes> {
    gates: &'a [Gate<L>],
    bound: Option<&'a [L::Constant; 2]>,
    out: &'a mut [Gate<L>],
    groups: usize,
}

impl<L: Lanes> Kernel<L> for Sums<'_, L> {
    type Output = [F; 3];
    #[inline(always)]
    fn run(self, token: L::Token) -> [F; 3] {
        // Values are below 3p, so differences are below 7p and values at −1 below 10p; two products of these are below
        // (10·10 + 10·10)/64 + 1 < 4.2.
        let factors = match self.bound {
            Some([even, odd]) => Some([L::spread(token, even), L::spread(token, odd)]),
            None => None,
        };
        let mut sums = [L::empty_sum(token); 3];
        for group in 0..self.groups {
            let ends = match factors {
                None => [
                    load_gate::<L>(token, &self.gates[2 * group]),
                    load_gate(token, &self.gates[2 * group + 1]),
                ],
                Some(factors) => {
                    let ends = [
                        bind_gates::<L>(token, factors, &self.gates[4 * group..]),
                        bind_gates(token, factors, &self.gates[4 * group + 2..]),
                    ];
                    for (end, gate) in ends.iter().enumerate() {
                        for (slot, value) in self.out[2 * group + end].iter_mut().zip(gate) {
                            *slot = value.store();
                        }
                    }
                    ends
                }
            };
            let [even, odd] = ends;
            let (mut negative, mut difference) = (even, even);
            for array in 0..5 {
                difference[array] = odd[array].sub(even[array]);
                negative[array] = even[array].add(even[array].sub(odd[array]));
            }
            add_gate(&mut sums[0], even);
            add_gate(&mut sums[1], negative);
            add_gate(&mut sums[2], difference);
            if group % TERMS == TERMS - 1 {
                for sum in &mut sums {
                    L::carry(sum);
                }
            }
        }
        let ones = [F::ONE; 8];
        let mut out = [F::ZERO; 3];
        for (out, sum) in out.iter_mut().zip(&mut sums) {
            L::carry(sum);
            *out = L::total(*sum, &ones[..L::LANES]);
        }
        out
    }
}

/// One round; binds first where a challenge is given, into `out`.
fn round<L: Lanes>(token: L::Token, arrays: &Arrays<L>, out: &mut Arrays<L>, pending: Option<&F>) -> [F; 3] {
    let gates = arrays.gates();
    let bound = pending.map(binding::<L>);
    let bound = bound.as_ref();
    let add = |a: [F; 3], b: [F; 3]| core::array::from_fn(|i| a[i] + b[i]);
    let zero = || [F::ZERO; 3];
    if bound.is_none() {
        return gates
            .par_chunks(2 * TASK)
            .map(|gates| L::vectorize(token, Sums { gates, bound, out: &mut [], groups: gates.len() / 2 }))
            .reduce(zero, add);
    }
    out.resize(gates.len() / 2);
    gates
        .par_chunks(4 * TASK)
        .zip(out.gates_mut().par_chunks_mut(2 * TASK))
        .map(|(gates, out)| L::vectorize(token, Sums { gates, bound, out, groups: gates.len() / 4 }))
        .reduce(zero, add)
}

impl<L: Lanes> Gates<L> {
    /// Takes a layer's arrays from the stack.
    pub fn new(token: L::Token, stack: &[i32], layer: &GateLayer) -> Self {
        let integers =
            [&layer.signs, &layer.pre_activations, &layer.back_sums].map(|range| &stack[range.clone()]);
        let left = if layer.signs.len() <= NARROW {
            Left::Narrow(fill((), layer, integers))
        } else {
            Left::Wide(fill(token, layer, integers))
        };
        Self { token, left, spare: Arrays::zeros(0), pending: None }
    }
}

fn fill<L: Lanes>(token: L::Token, layer: &GateLayer, integers: [&[i32]; 3]) -> Arrays<L> {
    let blocks = integers[0].len() / L::LANES;
    let claims = [SplitClaim::<L>::all(&layer.activation_weight), SplitClaim::all(&layer.error_weight)];
    // Claims on one layer have points of one length, and are split alike.
    let width = claims.iter().flatten().map(|claim| claim.low.len()).next().unwrap_or(blocks);
    let mut arrays = Arrays::zeros(blocks);
    arrays.gates_mut().par_chunks_mut(width).enumerate().for_each(|(row, out)| {
        let claims = claims
            .each_ref()
            .map(|claims| claims.iter().map(|claim| (claim.row(row), claim.low.as_slice())).collect());
        L::vectorize(token, Fill { out, claims, integers, first: row * width, stride: blocks });
    });
    arrays
}

impl<L: Lanes> GateSum for Gates<L> {
    fn round(&mut self) -> Result<[F; 3], KernelError> {
        let pending = self.pending.take();
        if let Left::Wide(arrays) = &self.left
            && arrays.count * L::LANES <= NARROW
        {
            self.left = Left::Narrow(arrays.narrow());
            self.spare = Arrays::zeros(0);
        }
        let pending = pending.as_ref();
        Ok(match &mut self.left {
            Left::Wide(arrays) => {
                let sums = round(self.token, arrays, &mut self.spare, pending);
                if pending.is_some() {
                    core::mem::swap(arrays, &mut self.spare);
                }
                sums
            }
            Left::Narrow(arrays) => {
                let mut out = Arrays::zeros(0);
                let sums = round((), arrays, &mut out, pending);
                if pending.is_some() {
                    *arrays = out;
                }
                sums
            }
        })
    }

    fn bind(&mut self, challenge: &F) -> Result<(), KernelError> {
        self.pending = Some(*challenge);
        Ok(())
    }
}
