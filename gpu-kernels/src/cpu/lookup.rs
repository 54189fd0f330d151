//! The lookup's tree of fractions (specs/protocol/lookup.md): leaves from tables, computed when they are needed.

use core::ops::Range;

use ark_ff::{AdditiveGroup, Field};
use rayon::prelude::*;
use weightproof_circuits::argument::lookup::LookupChallenges;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::{Block, Leaf, Table};
use weightproof_circuits::multilinear::eq_table;

use super::lanes::{Kernel, Lanes, One, TERMS, bind, binding, flatten};
use super::weights::RoundWeights;
use crate::kernels::{KernelError, LookupTree, Tensors};

/// Groups of four children that a task handles at a time where it computes leaves: they and their blocks stay in the
/// second-level cache.
const LEAF_GROUPS: usize = 16;
/// Groups of a task at most.
const TASK_GROUPS: usize = 256;
/// Parts that each thread's share of the tasks can be split into.
const SPLITS: usize = 8;
/// Arrays of at most so many elements are taken apart, and go on one element at a time.
const NARROW: usize = 512;

/// Computes leaves from the stack.
struct Leaves<'a> {
    tensors: Tensors<'a>,
    challenges: LookupChallenges<F>,
    enter: fn(F) -> F,
    /// For each table, `α − β·id − entry` by entry index, entered.
    tables: Vec<(Table, Vec<F>)>,
    /// `1` and `α`, entered.
    one: F,
    alpha: F,
}

impl<'a> Leaves<'a> {
    fn new(tensors: Tensors<'a>, challenges: LookupChallenges<F>, enter: fn(F) -> F) -> Self {
        let tables = tensors
            .layout
            .tables
            .iter()
            .map(|table| {
                let start = challenges.alpha - challenges.beta * F::from(table.identifier());
                let entries = (0..1usize << table.variables())
                    .into_par_iter()
                    .map(|index| {
                        let second = match table {
                            Table::Relu => u64::from(table.entry(index) >= 0),
                            Table::Exponential => u64::from(tensors.exponential[index]),
                            _ => 0,
                        };
                        enter(start - F::from(table.entry(index)) - challenges.gamma * F::from(second))
                    })
                    .collect();
                (*table, entries)
            })
            .collect();
        let (one, alpha) = (enter(F::ONE), enter(challenges.alpha));
        Self { tensors, challenges, enter, tables, one, alpha }
    }

    /// Blocks of leaves.
    fn blocks<L: Lanes>(&self) -> usize {
        self.tensors.stack.len() / L::LANES
    }

    /// The blocks, of `blocks` in all, outside which every lane's numerator is 1: the numerators of multiplicities and
    /// neutral leaves are not.
    fn mixed(&self, blocks: usize) -> Range<usize> {
        let other = |block: &&Block| matches!(block.leaf, Leaf::Neutral | Leaf::Table(_));
        let mut mixed = blocks..0;
        for range in self.tensors.layout.blocks.iter().filter(other).map(Block::range) {
            let (first, last) = (range.start % blocks, (range.end - 1) % blocks);
            if range.start / blocks == (range.end - 1) / blocks {
                mixed = mixed.start.min(first)..mixed.end.max(last + 1);
            } else {
                return 0..blocks;
            }
        }
        mixed
    }

    /// Writes the leaves of positions `start..start + numerators.len()`.
    fn fill(&self, start: usize, numerators: &mut [F], denominators: &mut [F]) {
        let layout = self.tensors.layout;
        let end = start + numerators.len();
        let mut position = start;
        let mut index = layout.blocks.partition_point(|b| b.range().end <= start);
        while position < end {
            let slot = position - start;
            let Some(block) = layout.blocks.get(index) else {
                for (i, (n, d)) in numerators[slot..].iter_mut().zip(&mut denominators[slot..]).enumerate() {
                    *n = self.one;
                    *d = self.padding(self.tensors.stack[position + i], 0);
                }
                return;
            };
            let stop = block.range().end.min(end);
            self.fill_block(
                block,
                position - block.offset,
                &mut numerators[slot..stop - start],
                &mut denominators[slot..stop - start],
            );
            position = stop;
            index += 1;
        }
    }

    /// `α − value − γ·second`: a position outside its tensor's shape.
    fn padding(&self, value: i32, second: i32) -> F {
        if value == 0 && second == 0 { self.alpha } else { self.alone(0, value, second) }
    }

    /// A denominator that no table's entry is.
    #[cold]
    fn alone(&self, identifier: u64, value: i32, second: i32) -> F {
        let LookupChallenges { gamma, beta, alpha } = self.challenges;
        (self.enter)(alpha - beta * F::from(identifier) - F::from(value) - gamma * F::from(second))
    }

    fn fill_block(&self, block: &Block, first: usize, numerators: &mut [F], denominators: &mut [F]) {
        let Tensors { layout, stack, .. } = self.tensors;
        let count = numerators.len();
        let values = &stack[block.range()][first..first + count];
        let table_of = |table: Table| {
            self.tables.iter().find(|(t, _)| *t == table).map_or(&[][..], |(_, e)| e.as_slice())
        };
        match block.leaf {
            Leaf::Neutral => {
                numerators.fill(F::ZERO);
                denominators.fill(self.one);
            }
            Leaf::Table(table) => {
                for (n, value) in numerators.iter_mut().zip(values) {
                    *n = (self.enter)(-F::from(*value));
                }
                denominators.copy_from_slice(&table_of(table)[first..first + count]);
            }
            Leaf::Single(table) | Leaf::Pair(table, _) => {
                numerators.fill(self.one);
                let partner = match block.leaf {
                    Leaf::Pair(_, partner) => {
                        let range = layout.block(partner).map_or(0..0, Block::range);
                        Some(&stack[range][first..first + count])
                    }
                    _ => None,
                };
                let entries = table_of(table);
                let base = table.entry(0) as i32;
                let units = 1usize << block.unit_variables;
                // Runs of positions inside one row's declared units, or outside.
                let mut at = 0;
                while at < count {
                    let position = first + at;
                    let unit = position & (units - 1);
                    let real = unit < block.units && layout.row_is_real(position >> block.unit_variables);
                    let bound = if unit < block.units { block.units } else { units };
                    let stop = (at + bound - unit).min(count);
                    let out = &mut denominators[at..stop];
                    match (real, partner) {
                        (false, _) => {
                            for (i, d) in out.iter_mut().enumerate() {
                                *d = self.padding(values[at + i], partner.map_or(0, |p| p[at + i]));
                            }
                        }
                        (true, None) => {
                            for (d, value) in out.iter_mut().zip(&values[at..stop]) {
                                *d = match entries.get(value.wrapping_sub(base) as u32 as usize) {
                                    Some(entry) => *entry,
                                    None => self.alone(table.identifier(), *value, 0),
                                };
                            }
                        }
                        (true, Some(partner)) => {
                            for ((d, value), second) in
                                out.iter_mut().zip(&values[at..stop]).zip(&partner[at..stop])
                            {
                                *d = match entries.get(value.wrapping_sub(base) as u32 as usize) {
                                    Some(entry) if self.pairs(table, *value, *second) => *entry,
                                    _ => self.alone(table.identifier(), *value, *second),
                                };
                            }
                        }
                    }
                    at = stop;
                }
            }
        }
    }

    fn pairs(&self, table: Table, value: i32, second: i32) -> bool {
        match table {
            Table::Relu => second == i32::from(value >= 0),
            Table::Exponential => {
                usize::try_from(value)
                    .ok()
                    .and_then(|v| self.tensors.exponential.get(v))
                    .map(|e| i32::from(*e))
                    == Some(second)
            }
            _ => true,
        }
    }
}

/// Numerators and denominators; node `i` has the children `2i` and `2i + 1`.
struct Layer<L: Lanes> {
    /// Numerators of the blocks in `mixed`; those of all other blocks are 1. Most leaves are of the form `1/d`, and binding
    /// a variable of constant numerators leaves them as they are.
    numerators: L::Storage,
    mixed: Range<usize>,
    denominators: L::Storage,
    /// Blocks in use: storage that has served a larger layer keeps its length.
    blocks: usize,
}

impl<L: Lanes> Layer<L> {
    fn empty() -> Self {
        Self { numerators: L::zeros(0), mixed: 0..0, denominators: L::zeros(0), blocks: 0 }
    }

    fn elements(&self) -> usize {
        self.blocks * L::LANES
    }

    /// Gives the arrays their sizes; their content is to be overwritten. Storage that suffices is kept, so that pages are
    /// not asked for again.
    fn resize(&mut self, blocks: usize, mixed: Range<usize>) {
        for (array, blocks) in [(&mut self.numerators, mixed.len()), (&mut self.denominators, blocks)] {
            if array.len() < blocks {
                // Given back before more is asked for.
                *array = L::zeros(0);
                *array = L::zeros(blocks);
            }
        }
        (self.blocks, self.mixed) = (blocks, mixed);
    }

    fn arrays(&mut self) -> (&mut [L::Block], &mut [L::Block]) {
        (&mut self.numerators[..self.mixed.len()], &mut self.denominators[..self.blocks])
    }

    /// Element by element. Numerators of even children hold `p + λ·q` where `lambda` is given.
    fn narrow(&self, lambda: Option<&F>) -> Layer<One> {
        let blocks = self.blocks;
        let denominators = flatten::<L>(&self.denominators[..blocks]);
        let mut numerators: Vec<F> = denominators
            .iter()
            .enumerate()
            .map(|(i, q)| match lambda {
                Some(lambda) if i.is_multiple_of(2) => F::ONE + *lambda * q,
                _ => F::ONE,
            })
            .collect();
        for (b, block) in self.mixed.clone().zip(self.numerators.iter()) {
            for (lane, element) in L::elements(block).enumerate() {
                numerators[lane * blocks + b] = element;
            }
        }
        let elements = numerators.len();
        Layer { numerators, mixed: 0..elements, denominators, blocks: elements }
    }
}

/// Where a kernel reads children from.
trait Children<L: Lanes>: Sync {
    /// The numerator of the child in block `index`; `combined` is `λ` where even children hold `p + λ·q`.
    fn numerator(&self, token: L::Token, index: usize, combined: Option<L>) -> L;
    /// Its denominator.
    fn denominator(&self, token: L::Token, index: usize) -> L;
}

impl<L: Lanes> Children<L> for Layer<L> {
    #[inline(always)]
    fn numerator(&self, token: L::Token, index: usize, combined: Option<L>) -> L {
        if self.mixed.contains(&index) {
            return L::load(token, &self.numerators[index - self.mixed.start]);
        }
        let one = L::spread(token, &L::constant(&F::ONE));
        match combined {
            Some(lambda) if index.is_multiple_of(2) => one.add(lambda.mul(self.denominator(token, index))),
            _ => one,
        }
    }

    #[inline(always)]
    fn denominator(&self, token: L::Token, index: usize) -> L {
        L::load(token, &self.denominators[index])
    }
}

/// Leaves of some blocks, lane after lane.
#[derive(Default)]
struct Computed {
    numerators: Vec<F>,
    denominators: Vec<F>,
    first: usize,
    /// Elements of a lane.
    blocks: usize,
}

impl Computed {
    fn fill<L: Lanes>(&mut self, leaves: &Leaves<'_>, first: usize, blocks: usize) {
        (self.first, self.blocks) = (first, blocks);
        for array in [&mut self.numerators, &mut self.denominators] {
            array.resize(blocks * L::LANES, F::ZERO);
        }
        let stride = leaves.blocks::<L>();
        for (lane, (numerators, denominators)) in self
            .numerators
            .chunks_exact_mut(blocks)
            .zip(self.denominators.chunks_exact_mut(blocks))
            .enumerate()
        {
            leaves.fill(lane * stride + first, numerators, denominators);
        }
    }
}

impl<L: Lanes> Children<L> for Computed {
    #[inline(always)]
    fn numerator(&self, token: L::Token, index: usize, _combined: Option<L>) -> L {
        L::gather(token, &self.numerators, index - self.first, self.blocks)
    }

    #[inline(always)]
    fn denominator(&self, token: L::Token, index: usize) -> L {
        L::gather(token, &self.denominators, index - self.first, self.blocks)
    }
}

/// Parents of leaves of some blocks.
struct Chunk<L: Lanes> {
    numerators: L::Storage,
    denominators: L::Storage,
    first: usize,
}

/// What one thread computes nodes in. It is kept from task to task: asking the system for such memory anew takes longer
/// than the arithmetic.
struct Scratch<L: Lanes> {
    leaves: Computed,
    parents: Chunk<L>,
}

impl<L: Lanes> Scratch<L> {
    fn new() -> Self {
        let parents = Chunk { numerators: L::zeros(0), denominators: L::zeros(0), first: 0 };
        Self { leaves: Computed::default(), parents }
    }

    /// The leaves in some blocks.
    fn leaves(&mut self, leaves: &Leaves<'_>, first: usize, blocks: usize) -> &Computed {
        self.leaves.fill::<L>(leaves, first, blocks);
        &self.leaves
    }

    /// Their parents in some blocks.
    fn parents(&mut self, token: L::Token, leaves: &Leaves<'_>, first: usize, blocks: usize) -> &Chunk<L> {
        self.leaves.fill::<L>(leaves, 2 * first, 2 * blocks);
        let Chunk { numerators, denominators, first: own } = &mut self.parents;
        *own = first;
        for array in [&mut *numerators, &mut *denominators] {
            if array.len() < blocks {
                *array = L::zeros(blocks);
            }
        }
        let (numerators, denominators) = (&mut numerators[..blocks], &mut denominators[..blocks]);
        L::vectorize(token, Parents { children: &self.leaves, first, numerators, denominators });
        &self.parents
    }
}

impl<L: Lanes> Children<L> for Chunk<L> {
    #[inline(always)]
    fn numerator(&self, token: L::Token, index: usize, _combined: Option<L>) -> L {
        L::load(token, &self.numerators[index - self.first])
    }

    #[inline(always)]
    fn denominator(&self, token: L::Token, index: usize) -> L {
        L::load(token, &self.denominators[index - self.first])
    }
}

/// Writes parents: `(p₀·q₁ + p₁·q₀, q₀·q₁)`.
struct Parents<'a, L: Lanes, C> {
    children: &'a C,
    /// The first parent's block.
    first: usize,
    numerators: &'a mut [L::Block],
    denominators: &'a mut [L::Block],
}

impl<L: Lanes, C: Children<L>> Kernel<L> for Parents<'_, L, C> {
    type Output = ();
    #[inline(always)]
    fn run(self, token: L::Token) {
        for (i, (n, d)) in self.numerators.iter_mut().zip(self.denominators).enumerate() {
            let child = 2 * (self.first + i);
            // Children are below 2p, so parents are below (2·2 + 2·2)/64 + 1 < 1.2.
            let (p0, p1) = (
                self.children.numerator(token, child, None),
                self.children.numerator(token, child + 1, None),
            );
            let (q0, q1) =
                (self.children.denominator(token, child), self.children.denominator(token, child + 1));
            *n = L::mul_add([p0, p1], [q1, q0]).store();
            *d = q0.mul(q1).store();
        }
    }
}

/// What a round does to the children that it reads.
#[derive(Clone, Copy)]
struct Step<'a, L: Lanes> {
    /// Binds a variable first, and writes.
    bound: Option<&'a [L::Constant; 2]>,
    /// `λ`.
    lambda: &'a L::Constant,
    /// Whether numerators of even children hold `p₀ + λ·q₀`, which turns `p₀·q₁ + p₁·q₀ + λ·q₀·q₁` into two products.
    combined: bool,
    /// Weights of the lanes.
    lanes: &'a [F],
    /// Groups with numerators other than 1.
    mixed: &'a Range<usize>,
}

/// `Σ` over groups of four children, of an even and an odd node: `t(0)` and the leading coefficient.
struct Sums<'a, L: Lanes, C> {
    children: &'a C,
    step: Step<'a, L>,
    /// The groups, with their weights.
    first: usize,
    weights: &'a [L::Constant],
    /// Where bound children are written: numerators of the mixed groups among these, denominators of all.
    numerators: &'a mut [L::Block],
    denominators: &'a mut [L::Block],
}

/// What groups add up to: `λ` multiplies the second of each.
struct Totals {
    zero: [F; 2],
    leading: [F; 2],
}

impl<L: Lanes, C: Children<L>> Kernel<L> for Sums<'_, L, C> {
    type Output = Totals;
    #[inline(always)]
    fn run(self, token: L::Token) -> Totals {
        let Step { bound, lambda, combined, lanes, mixed } = self.step;
        let mut numerators = self.numerators.chunks_exact_mut(4);
        // Bounds: leaves are below p, parents and whatever is bound below 1.2p, and 1 + λ·q below 2.1p.
        let mut zero = [L::empty_sum(token); 2];
        let mut leading = [L::empty_sum(token); 2];
        let factors = match bound {
            Some([even, odd]) => Some([L::spread(token, even), L::spread(token, odd)]),
            None => None,
        };
        let lambda = L::spread(token, lambda);
        let read = if combined { Some(lambda) } else { None };
        for (i, weight) in self.weights.iter().enumerate() {
            let group = self.first + i;
            let weight = L::spread(token, weight);
            let [q0, q1, q2, q3] = match factors {
                None => [
                    self.children.denominator(token, 4 * group),
                    self.children.denominator(token, 4 * group + 1),
                    self.children.denominator(token, 4 * group + 2),
                    self.children.denominator(token, 4 * group + 3),
                ],
                Some(factors) => {
                    let nodes = [
                        bind_denominator(token, self.children, factors, 8 * group),
                        bind_denominator(token, self.children, factors, 8 * group + 1),
                        bind_denominator(token, self.children, factors, 8 * group + 4),
                        bind_denominator(token, self.children, factors, 8 * group + 5),
                    ];
                    for (slot, node) in self.denominators[4 * i..4 * i + 4].iter_mut().zip(nodes) {
                        *slot = node.store();
                    }
                    nodes
                }
            };
            // Differences are below 5.2p.
            let (dq0, dq1) = (q2.sub(q0), q3.sub(q1));
            if !mixed.contains(&group) {
                // All four numerators are 1: q₁ + q₀ + λ·q₀·q₁, whose leading coefficient has the product alone.
                L::sum_add(&mut zero[0], q0.add(q1), weight);
                L::sum_add(&mut zero[1], q0.mul(q1), weight);
                L::sum_add(&mut leading[1], dq0.mul(dq1), weight);
            } else {
                let [mut p0, p1, p2, p3] = match factors {
                    None => [
                        self.children.numerator(token, 4 * group, read),
                        self.children.numerator(token, 4 * group + 1, read),
                        self.children.numerator(token, 4 * group + 2, read),
                        self.children.numerator(token, 4 * group + 3, read),
                    ],
                    Some(factors) => {
                        // Numerators that are not combined yet are combined as they are bound.
                        let add = if combined { None } else { Some(lambda) };
                        let nodes = [
                            bind_numerator(token, self.children, factors, read, add, 8 * group),
                            bind_numerator(token, self.children, factors, read, None, 8 * group + 1),
                            bind_numerator(token, self.children, factors, read, add, 8 * group + 4),
                            bind_numerator(token, self.children, factors, read, None, 8 * group + 5),
                        ];
                        if let Some(out) = numerators.next() {
                            for (slot, node) in out.iter_mut().zip(nodes) {
                                *slot = node.store();
                            }
                        }
                        nodes
                    }
                };
                let (mut dp0, dp1) = (p2.sub(p0), p3.sub(p1));
                if factors.is_none() && !combined {
                    // Below 2.1 + 1.1 and 6.1 + 1.2.
                    p0 = p0.add(lambda.mul(q0));
                    dp0 = dp0.add(lambda.mul(dq0));
                }
                // Below (3.2·2 + 2·2)/64 + 1 and (7.3·6.1 + 6.1·6.1)/64 + 1.
                L::sum_add(&mut zero[0], L::mul_add([p0, p1], [q1, q0]), weight);
                L::sum_add(&mut leading[0], L::mul_add([dp0, dp1], [dq1, dq0]), weight);
            }
            if i % TERMS == TERMS - 1 {
                for sum in [&mut zero, &mut leading] {
                    L::carry(&mut sum[0]);
                    L::carry(&mut sum[1]);
                }
            }
        }
        for sum in [&mut zero, &mut leading] {
            L::carry(&mut sum[0]);
            L::carry(&mut sum[1]);
        }
        Totals {
            zero: [L::total(zero[0], lanes), L::total(zero[1], lanes)],
            leading: [L::total(leading[0], lanes), L::total(leading[1], lanes)],
        }
    }
}

/// Binds the denominators in blocks `even` and `even + 2`.
#[inline(always)]
fn bind_denominator<L: Lanes>(
    token: L::Token,
    children: &impl Children<L>,
    factors: [L; 2],
    even: usize,
) -> L {
    bind(factors, children.denominator(token, even), children.denominator(token, even + 2))
}

/// Binds the numerators in blocks `even` and `even + 2`, and adds `λ·q` of block `even` where `add` is given: below `1.2p`.
#[inline(always)]
fn bind_numerator<L: Lanes>(
    token: L::Token,
    children: &impl Children<L>,
    factors: [L; 2],
    combined: Option<L>,
    add: Option<L>,
    even: usize,
) -> L {
    let (p, p2) = (children.numerator(token, even, combined), children.numerator(token, even + 2, combined));
    match add {
        // Below (2.1 + 2.1 + 1.2)/64 + 1.
        Some(lambda) => {
            let q = bind_denominator(token, children, factors, even);
            L::mul_add([p, p2, q], [factors[0], factors[1], lambda])
        }
        None => bind(factors, p, p2),
    }
}

/// The `eq` factors of a layer, in the form that lanes take.
struct Factors {
    rounds: RoundWeights,
    lanes: Vec<F>,
}

impl Factors {
    fn new<L: Lanes>(point: &[F]) -> Self {
        let lane_variables = L::LANES.trailing_zeros() as usize;
        let (lanes, rest) = point.split_at(lane_variables);
        Self { rounds: RoundWeights::new(rest), lanes: eq_table(lanes) }
    }

    /// Weights by row and within a row, for `groups` groups.
    fn tables<L: Lanes>(&self, groups: usize) -> (&[F], Vec<L::Constant>) {
        let (high, low) = self.rounds.tables(groups.trailing_zeros() as usize);
        (high, low.iter().map(L::constant).collect())
    }
}

/// A round's challenges and weights.
struct Round<'a> {
    /// The challenge to bind first.
    bound: Option<&'a F>,
    lambda: &'a F,
    combined: bool,
    factors: &'a Factors,
}

/// Nodes that are computed when they are read, which is cheaper than to keep them: together they would be three quarters of
/// the tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Derived {
    /// The leaves.
    Leaves,
    /// Their parents.
    Parents,
}

/// What a round reads.
enum Input<'a, L: Lanes> {
    Derived(&'a Leaves<'a>, Derived),
    Stored(&'a Layer<L>),
}

/// One round over children; binds first where a challenge is given, into `out`.
fn round<L: Lanes>(token: L::Token, input: &Input<'_, L>, out: &mut Layer<L>, round: &Round<'_>) -> (F, F) {
    let Round { bound, lambda, combined, factors } = *round;
    let blocks_of_group = if bound.is_some() { 8 } else { 4 };
    let (blocks, mixed) = match input {
        Input::Derived(leaves, Derived::Leaves) => (leaves.blocks::<L>(), leaves.mixed(leaves.blocks::<L>())),
        Input::Derived(leaves, Derived::Parents) => (leaves.blocks::<L>() / 2, 0..leaves.blocks::<L>() / 2),
        Input::Stored(layer) => (layer.blocks, layer.mixed.clone()),
    };
    let groups = blocks / blocks_of_group;
    let mixed = mixed.start / blocks_of_group..mixed.end.div_ceil(blocks_of_group);
    let (high, low) = factors.tables::<L>(groups);
    let constants = bound.map(binding::<L>);
    let constant = L::constant(lambda);
    let step =
        Step { bound: constants.as_ref(), lambda: &constant, combined, lanes: &factors.lanes, mixed: &mixed };
    if bound.is_some() {
        out.resize(4 * groups, 4 * mixed.start..4 * mixed.end);
    }
    // Each task has some groups of one row, and its part of the arrays.
    let chunk = TASK_GROUPS.min(low.len());
    let (mut numerators, mut denominators) = out.arrays();
    let mut tasks = Vec::with_capacity(groups / chunk);
    for first in (0..groups).step_by(chunk) {
        let (mut own, mut all) = (0, 0);
        if bound.is_some() {
            own = 4 * overlap(first..first + chunk, &mixed);
            all = 4 * chunk;
        }
        let (n, d);
        (n, numerators) = numerators.split_at_mut(own);
        (d, denominators) = denominators.split_at_mut(all);
        tasks.push((first, n, d));
    }
    type Task<'a, L> = (usize, &'a mut [<L as Lanes>::Block], &'a mut [<L as Lanes>::Block]);
    let run = |scratch: &mut Scratch<L>, (first, numerators, denominators): Task<'_, L>| {
        let weights = &low[first % low.len()..][..chunk];
        let (zero, leading) = match input {
            Input::Stored(children) => {
                let children = *children;
                let totals =
                    L::vectorize(token, Sums { children, step, first, weights, numerators, denominators });
                totals.join(lambda)
            }
            Input::Derived(leaves, derived) => {
                let (mut n, mut d) = (numerators, denominators);
                let mut sums = (F::ZERO, F::ZERO);
                for (i, weights) in weights.chunks(LEAF_GROUPS).enumerate() {
                    let first = first + i * LEAF_GROUPS;
                    let (mut own, mut all) = (0, 0);
                    if bound.is_some() {
                        own = 4 * overlap(first..first + weights.len(), &mixed);
                        all = 4 * weights.len();
                    }
                    let (numerators, denominators);
                    (numerators, n) = n.split_at_mut(own);
                    (denominators, d) = d.split_at_mut(all);
                    let (start, blocks) = (blocks_of_group * first, blocks_of_group * weights.len());
                    let totals = match derived {
                        Derived::Leaves => {
                            let children = scratch.leaves(leaves, start, blocks);
                            let sums = Sums { children, step, first, weights, numerators, denominators };
                            L::vectorize(token, sums)
                        }
                        Derived::Parents => {
                            let children = scratch.parents(token, leaves, start, blocks);
                            let sums = Sums { children, step, first, weights, numerators, denominators };
                            L::vectorize(token, sums)
                        }
                    };
                    sums = add(sums, totals.join(lambda));
                }
                sums
            }
        };
        let weight = &high[first / low.len()];
        (zero * weight, leading * weight)
    };
    // Few splits, each with a scratch of its own.
    let share = tasks.len().div_ceil(SPLITS * rayon::current_num_threads());
    tasks.into_par_iter().with_min_len(share).map_init(Scratch::new, run).reduce(|| (F::ZERO, F::ZERO), add)
}

impl Totals {
    fn join(&self, lambda: &F) -> (F, F) {
        (self.zero[0] + *lambda * self.zero[1], self.leading[0] + *lambda * self.leading[1])
    }
}

fn add(a: (F, F), b: (F, F)) -> (F, F) {
    (a.0 + b.0, a.1 + b.1)
}

/// How many groups of a task are mixed.
fn overlap(groups: Range<usize>, mixed: &Range<usize>) -> usize {
    groups.end.min(mixed.end).saturating_sub(groups.start.max(mixed.start))
}

/// The children of the layer whose sumcheck is under way.
enum Nodes<L: Lanes> {
    Derived(Derived),
    Wide(Layer<L>),
    Narrow(Layer<One>),
}

/// A sumcheck under way.
struct Rounds<L: Lanes> {
    nodes: Nodes<L>,
    wide: Option<Factors>,
    narrow: Factors,
    lambda: F,
    /// A challenge that is still to be bound.
    pending: Option<F>,
    /// Whether numerators of even children hold `p₀ + λ·q₀` by now.
    combined: bool,
}

/// The tree on the CPU.
pub struct Tree<'a, L: Lanes> {
    token: L::Token,
    leaves: Leaves<'a>,
    /// Layers below the root's children that are still to be descended to, the next one last.
    layers: Vec<Nodes<L>>,
    root: [F; 4],
    rounds: Option<Rounds<L>>,
    /// Storage of layers that are done, for the arrays that a sumcheck binds into.
    spare: Vec<Layer<L>>,
}

impl<'a, L: Lanes> Tree<'a, L> {
    /// Builds all layers above the leaves.
    pub fn new(token: L::Token, tensors: Tensors<'a>, challenges: &LookupChallenges<F>) -> Self {
        let leaves = Leaves::new(tensors, challenges.clone(), L::enter);
        let mut layers: Vec<Nodes<L>> = Vec::new();
        let size = tensors.stack.len();
        let mut current = if size > 8 * NARROW {
            layers.extend([Nodes::Derived(Derived::Leaves), Nodes::Derived(Derived::Parents)]);
            let blocks = leaves.blocks::<L>() / 4;
            let mut first = Layer::<L>::empty();
            first.resize(blocks, 0..blocks);
            let chunk = LEAF_GROUPS.min(blocks);
            let (numerators, denominators) = first.arrays();
            numerators
                .par_chunks_mut(chunk)
                .zip(denominators.par_chunks_mut(chunk))
                .enumerate()
                .with_min_len((blocks / chunk).div_ceil(SPLITS * rayon::current_num_threads()))
                .for_each_init(Scratch::<L>::new, |scratch, (index, (numerators, denominators))| {
                    let first = index * chunk;
                    let children = scratch.parents(token, &leaves, 2 * first, 2 * numerators.len());
                    L::vectorize(token, Parents { children, first, numerators, denominators });
                });
            let mut current = first;
            while current.elements() > NARROW {
                let next = parents(token, &current);
                layers.push(Nodes::Wide(core::mem::replace(&mut current, next)));
            }
            current.narrow(None)
        } else {
            // A stack of a few thousand positions: no program has one, its tables alone are larger.
            let mut all = Layer::<One>::empty();
            all.resize(size, 0..size);
            let plain = Leaves::new(tensors, challenges.clone(), One::enter);
            let (numerators, denominators) = all.arrays();
            plain.fill(0, numerators, denominators);
            let above = parents((), &all);
            layers.push(Nodes::Narrow(all));
            above
        };
        while current.elements() > 2 {
            let next = parents((), &current);
            layers.push(Nodes::Narrow(core::mem::replace(&mut current, next)));
        }
        let at = |values: &[F], i: usize| values.get(i).copied().unwrap_or_default();
        let root = [
            at(&current.numerators, 0),
            at(&current.numerators, 1),
            at(&current.denominators, 0),
            at(&current.denominators, 1),
        ];
        Self { token, leaves, layers, root, rounds: None, spare: Vec::new() }
    }
}

fn parents<L: Lanes>(token: L::Token, children: &Layer<L>) -> Layer<L> {
    let mut out = Layer::<L>::empty();
    let blocks = children.blocks / 2;
    out.resize(blocks, 0..blocks);
    let chunk = TASK_GROUPS.min(blocks);
    out.numerators.par_chunks_mut(chunk).zip(out.denominators.par_chunks_mut(chunk)).enumerate().for_each(
        |(index, (numerators, denominators))| {
            L::vectorize(token, Parents { children, first: index * chunk, numerators, denominators });
        },
    );
    out
}

impl<L: Lanes> LookupTree for Tree<'_, L> {
    fn root(&self) -> [F; 4] {
        self.root
    }

    fn descend(&mut self, point: &[F], lambda: &F) -> Result<(), KernelError> {
        let Some(nodes) = self.layers.pop() else { return Ok(()) };
        let wide = match nodes {
            Nodes::Narrow(_) => None,
            _ => Some(Factors::new::<L>(point)),
        };
        let narrow = Factors::new::<One>(point);
        self.rounds = Some(Rounds { nodes, wide, narrow, lambda: *lambda, pending: None, combined: false });
        Ok(())
    }

    fn round(&mut self) -> Result<(F, F), KernelError> {
        let Self { token, leaves, rounds: Some(rounds), spare, .. } = self else {
            return Ok((F::ZERO, F::ZERO));
        };
        let pending = rounds.pending.take();
        let is_bound = pending.is_some();
        if let Nodes::Wide(layer) = &rounds.nodes
            && layer.elements() <= NARROW
        {
            let narrow = layer.narrow(rounds.combined.then_some(&rounds.lambda));
            if let Nodes::Wide(done) = core::mem::replace(&mut rounds.nodes, Nodes::Narrow(narrow)) {
                keep(spare, done);
            }
        }
        let parameters = |factors| Round {
            bound: pending.as_ref(),
            lambda: &rounds.lambda,
            combined: rounds.combined,
            factors,
        };
        let sums = match (&mut rounds.nodes, &rounds.wide) {
            (Nodes::Narrow(layer), _) => {
                let mut out = Layer::empty();
                let sums = round::<One>((), &Input::Stored(layer), &mut out, &parameters(&rounds.narrow));
                if is_bound {
                    *layer = out;
                }
                sums
            }
            (nodes, Some(factors)) => {
                let mut out = if is_bound { take_largest(spare) } else { Layer::empty() };
                let input = match nodes {
                    Nodes::Wide(layer) => Input::Stored(layer),
                    Nodes::Derived(derived) => Input::Derived(leaves, *derived),
                    Nodes::Narrow(_) => return Ok((F::ZERO, F::ZERO)),
                };
                let sums = round::<L>(*token, &input, &mut out, &parameters(factors));
                if is_bound && let Nodes::Wide(done) = core::mem::replace(nodes, Nodes::Wide(out)) {
                    keep(spare, done);
                }
                sums
            }
            _ => (F::ZERO, F::ZERO),
        };
        rounds.combined |= is_bound;
        Ok(sums)
    }

    fn bind(&mut self, challenge: &F) -> Result<(), KernelError> {
        if let Some(rounds) = &mut self.rounds {
            rounds.pending = Some(*challenge);
        }
        Ok(())
    }

    fn children(&self) -> Result<[F; 4], KernelError> {
        let Some(Rounds { nodes: Nodes::Narrow(layer), pending: Some(challenge), lambda, combined, .. }) =
            &self.rounds
        else {
            return Ok([F::ZERO; 4]);
        };
        let at = |values: &[F], i: usize| {
            let (even, odd) = (values[i], values[i + 2]);
            even + *challenge * (odd - even)
        };
        let (q0, q1) = (at(&layer.denominators, 0), at(&layer.denominators, 1));
        let (mut p0, p1) = (at(&layer.numerators, 0), at(&layer.numerators, 1));
        if *combined {
            p0 -= *lambda * q0;
        }
        Ok([p0, p1, q0, q1])
    }
}

/// The largest storage that is left, or none.
fn take_largest<L: Lanes>(spare: &mut Vec<Layer<L>>) -> Layer<L> {
    let largest = (0..spare.len()).max_by_key(|i| spare[*i].denominators.len());
    largest.map_or(Layer::empty(), |index| spare.swap_remove(index))
}

/// Keeps the two largest storages: a sumcheck reads one and writes the other.
fn keep<L: Lanes>(spare: &mut Vec<Layer<L>>, done: Layer<L>) {
    spare.push(done);
    if spare.len() > 2 {
        spare.sort_unstable_by_key(|layer| core::cmp::Reverse(layer.denominators.len()));
        spare.truncate(2);
    }
}
