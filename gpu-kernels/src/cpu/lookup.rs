//! The lookup's tree of fractions (specs/protocol/lookup.md): leaves from tables, computed when they are needed.

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
/// first-level cache.
const LEAF_GROUPS: usize = 16;
/// Groups of a task at least.
const TASK_GROUPS: usize = 256;
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
    numerators: Vec<L::Block>,
    denominators: Vec<L::Block>,
}

impl<L: Lanes> Layer<L> {
    const fn empty() -> Self {
        Self { numerators: Vec::new(), denominators: Vec::new() }
    }

    fn elements(&self) -> usize {
        self.numerators.len() * L::LANES
    }

    /// Gives both arrays `blocks` blocks, whose content is to be overwritten. Memory is kept, so that pages are not
    /// asked for again.
    fn resize(&mut self, blocks: usize) {
        for array in [&mut self.numerators, &mut self.denominators] {
            if array.capacity() < blocks {
                *array = Vec::with_capacity(blocks);
            }
            array.resize(blocks, L::zero());
        }
    }

    fn narrow(&self) -> Layer<One> {
        Layer { numerators: flatten::<L>(&self.numerators), denominators: flatten::<L>(&self.denominators) }
    }
}

/// Where a kernel reads children from.
trait Children<L: Lanes>: Sync {
    /// Numerator and denominator of the child in block `index`.
    ///
    /// # Safety
    /// As for [`Lanes`].
    unsafe fn child(&self, index: usize) -> (L, L);
}

/// Children in memory.
struct Stored<'a, L: Lanes> {
    numerators: &'a [L::Block],
    denominators: &'a [L::Block],
}

impl<L: Lanes> Children<L> for Stored<'_, L> {
    #[inline(always)]
    unsafe fn child(&self, index: usize) -> (L, L) {
        // SAFETY: the caller's.
        unsafe { (L::load(&self.numerators[index]), L::load(&self.denominators[index])) }
    }
}

/// Leaves of some blocks, lane after lane.
struct Computed {
    numerators: Vec<F>,
    denominators: Vec<F>,
    /// Elements of a lane.
    blocks: usize,
}

impl Computed {
    fn new<L: Lanes>(leaves: &Leaves<'_>, first: usize, blocks: usize) -> Self {
        let mut computed = Self {
            numerators: vec![F::ZERO; blocks * L::LANES],
            denominators: vec![F::ZERO; blocks * L::LANES],
            blocks,
        };
        let stride = leaves.tensors.stack.len() / L::LANES;
        for (lane, (numerators, denominators)) in computed
            .numerators
            .chunks_exact_mut(blocks)
            .zip(computed.denominators.chunks_exact_mut(blocks))
            .enumerate()
        {
            leaves.fill(lane * stride + first, numerators, denominators);
        }
        computed
    }
}

impl<L: Lanes> Children<L> for Computed {
    #[inline(always)]
    unsafe fn child(&self, index: usize) -> (L, L) {
        // SAFETY: the caller's.
        unsafe {
            (
                L::gather(&self.numerators, index, self.blocks),
                L::gather(&self.denominators, index, self.blocks),
            )
        }
    }
}

/// Writes parents: `(p₀·q₁ + p₁·q₀, q₀·q₁)`.
struct Parents<'a, L: Lanes, C> {
    children: C,
    numerators: &'a mut [L::Block],
    denominators: &'a mut [L::Block],
}

impl<L: Lanes, C: Children<L>> Kernel<L> for Parents<'_, L, C> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        for (i, (n, d)) in self.numerators.iter_mut().zip(self.denominators).enumerate() {
            // SAFETY: this is a kernel. Children are below 2p, so sums of two products are below 3p and products below 2p.
            unsafe {
                let ((p0, q0), (p1, q1)) = (self.children.child(2 * i), self.children.child(2 * i + 1));
                *n = L::mul_add([p0, p1], [q1, q0]).reduce().store();
                *d = q0.mul(q1).store();
            }
        }
    }
}

/// What a round does to the children that it reads.
#[derive(Clone, Copy)]
struct Step<'a, L: Lanes> {
    /// Binds a variable first, and writes.
    bound: Option<&'a [L::Constant; 2]>,
    /// Adds `λ·q₀` to `p₀`, which turns `p₀·q₁ + p₁·q₀ + λ·q₀·q₁` into two products.
    lambda: Option<&'a L::Constant>,
    /// Weights of the groups.
    weights: &'a [L::Constant],
    /// Weights of the lanes.
    lanes: &'a [F],
}

/// Binds the children in blocks `even` and `even + 2`, and adds `λ·q` to `p` where `λ` is given: below `4p`.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
unsafe fn bind_children<L: Lanes>(
    children: &impl Children<L>,
    factors: [L; 2],
    lambda: Option<L>,
    even: usize,
) -> (L, L) {
    // SAFETY: the caller's.
    unsafe {
        let ((p, q), (p2, q2)) = (children.child(even), children.child(even + 2));
        let q = bind(factors, q, q2);
        let p = match lambda {
            // Below (4 + 4 + 3)/4 + 1 < 4.
            Some(lambda) => L::mul_add([p, p2, q], [factors[0], factors[1], lambda]),
            None => bind(factors, p, p2),
        };
        (p, q)
    }
}

/// `Σ` over groups of four children, of an even and an odd node: `t(0)` and the leading coefficient.
struct Sums<'a, L: Lanes, C> {
    children: C,
    step: Step<'a, L>,
    numerators: &'a mut [L::Block],
    denominators: &'a mut [L::Block],
}

impl<L: Lanes, C: Children<L>> Kernel<L> for Sums<'_, L, C> {
    type Output = (F, F);
    #[inline(always)]
    unsafe fn run(self) -> (F, F) {
        let Step { bound, lambda, weights, lanes } = self.step;
        // SAFETY: this is a kernel. Bounds: children are stored below 4p.
        unsafe {
            let (mut zero, mut leading) = (L::empty_sum(), L::empty_sum());
            let factors = match bound {
                Some([even, odd]) => Some([L::spread(even), L::spread(odd)]),
                None => None,
            };
            let lambda = match lambda {
                Some(lambda) => Some(L::spread(lambda)),
                None => None,
            };
            for (group, weight) in weights.iter().enumerate() {
                // (p₀, q₀), (p₁, q₁) of the even node, then of the odd node.
                let nodes = match factors {
                    None => [
                        self.children.child(4 * group),
                        self.children.child(4 * group + 1),
                        self.children.child(4 * group + 2),
                        self.children.child(4 * group + 3),
                    ],
                    Some(factors) => {
                        let nodes = [
                            bind_children(&self.children, factors, lambda, 8 * group),
                            bind_children(&self.children, factors, None, 8 * group + 1),
                            bind_children(&self.children, factors, lambda, 8 * group + 4),
                            bind_children(&self.children, factors, None, 8 * group + 5),
                        ];
                        for (i, (p, q)) in nodes.iter().enumerate() {
                            self.numerators[4 * group + i] = p.store();
                            self.denominators[4 * group + i] = q.store();
                        }
                        nodes
                    }
                };
                let [(mut p0, q0), (p1, q1), (p2, q2), (p3, q3)] = nodes;
                // Differences are below 8p.
                let (mut dp0, dp1) = (p2.sub(p0), p3.sub(p1));
                let (dq0, dq1) = (q2.sub(q0), q3.sub(q1));
                if let (None, Some(lambda)) = (bound, lambda) {
                    // Below 4 + 2 and 8 + 3.
                    p0 = p0.add(lambda.mul(q0));
                    dp0 = dp0.add(lambda.mul(dq0));
                }
                let weight = L::spread(weight);
                // Below (6·4 + 4·4)/4 + 1 = 11 and (11·8 + 8·8)/4 + 1 = 39.
                L::sum_add(&mut zero, L::mul_add([p0, p1], [q1, q0]), weight);
                L::sum_add(&mut leading, L::mul_add([dp0, dp1], [dq1, dq0]), weight);
                if group % TERMS == TERMS - 1 {
                    L::carry(&mut zero);
                    L::carry(&mut leading);
                }
            }
            L::carry(&mut zero);
            L::carry(&mut leading);
            (L::total(zero, lanes), L::total(leading, lanes))
        }
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

fn add(a: (F, F), b: (F, F)) -> (F, F) {
    (a.0 + b.0, a.1 + b.1)
}

/// One round over stored children; binds first where `bound` is given, into `out`.
fn round_stored<L: Lanes>(
    children: &Layer<L>,
    out: &mut Layer<L>,
    bound: Option<&F>,
    lambda: Option<&F>,
    factors: &Factors,
) -> (F, F) {
    let factor = if bound.is_some() { 8 } else { 4 };
    let groups = children.numerators.len() / factor;
    let (high, low) = factors.tables::<L>(groups);
    let bound = bound.map(binding::<L>);
    let lambda = lambda.map(L::constant);
    let step = Step { bound: bound.as_ref(), lambda: lambda.as_ref(), weights: &low, lanes: &factors.lanes };
    let inputs = children
        .numerators
        .par_chunks(factor * low.len())
        .zip(children.denominators.par_chunks(factor * low.len()))
        .zip(high)
        .with_min_len(TASK_GROUPS.div_ceil(low.len()));
    let run = |numerators, denominators, weight: &F, out: (&mut [L::Block], &mut [L::Block])| {
        let children = Stored::<L> { numerators, denominators };
        let (zero, leading) = L::vectorize(Sums { children, step, numerators: out.0, denominators: out.1 });
        (zero * weight, leading * weight)
    };
    if bound.is_none() {
        return inputs
            .map(|((p, q), weight)| run(p, q, weight, (&mut [], &mut [])))
            .reduce(|| (F::ZERO, F::ZERO), add);
    }
    out.resize(children.numerators.len() / 2);
    inputs
        .zip(out.numerators.par_chunks_mut(4 * low.len()).zip(out.denominators.par_chunks_mut(4 * low.len())))
        .map(|(((p, q), weight), out)| run(p, q, weight, out))
        .reduce(|| (F::ZERO, F::ZERO), add)
}

/// The same over leaves.
fn round_leaves<L: Lanes>(
    leaves: &Leaves<'_>,
    out: &mut Layer<L>,
    bound: Option<&F>,
    lambda: Option<&F>,
    factors: &Factors,
) -> (F, F) {
    let factor = if bound.is_some() { 8 } else { 4 };
    let groups = leaves.tensors.stack.len() / L::LANES / factor;
    let (high, low) = factors.tables::<L>(groups);
    let bound = bound.map(binding::<L>);
    let lambda = lambda.map(L::constant);
    let chunk = LEAF_GROUPS.min(low.len());
    let run = |index: usize, out: (&mut [L::Block], &mut [L::Block])| {
        let first = index * chunk;
        let children = Computed::new::<L>(leaves, factor * first, factor * chunk);
        let weights = &low[first % low.len()..][..chunk];
        let step = Step { bound: bound.as_ref(), lambda: lambda.as_ref(), weights, lanes: &factors.lanes };
        let (zero, leading) = L::vectorize(Sums { children, step, numerators: out.0, denominators: out.1 });
        let weight = &high[first / low.len()];
        (zero * weight, leading * weight)
    };
    let tasks = groups / chunk;
    if bound.is_none() {
        return (0..tasks)
            .into_par_iter()
            .with_min_len(TASK_GROUPS / LEAF_GROUPS)
            .map(|index| run(index, (&mut [], &mut [])))
            .reduce(|| (F::ZERO, F::ZERO), add);
    }
    out.resize(4 * groups);
    out.numerators
        .par_chunks_mut(4 * chunk)
        .zip(out.denominators.par_chunks_mut(4 * chunk))
        .enumerate()
        .with_min_len(TASK_GROUPS / LEAF_GROUPS)
        .map(|(index, out)| run(index, out))
        .reduce(|| (F::ZERO, F::ZERO), add)
}

/// The children of the layer whose sumcheck is under way.
enum Nodes<L: Lanes> {
    Leaves,
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
    pub fn new(tensors: Tensors<'a>, challenges: &LookupChallenges<F>) -> Self {
        let leaves = Leaves::new(tensors, challenges.clone(), L::enter);
        let mut layers: Vec<Nodes<L>> = vec![Nodes::Leaves];
        let size = tensors.stack.len();
        let mut current = if size > 2 * NARROW {
            let blocks = size / L::LANES;
            let mut first = Layer::<L>::empty();
            first.resize(blocks / 2);
            let chunk = (2 * LEAF_GROUPS).min(blocks / 2);
            first
                .numerators
                .par_chunks_mut(chunk)
                .zip(first.denominators.par_chunks_mut(chunk))
                .enumerate()
                .with_min_len(TASK_GROUPS / LEAF_GROUPS)
                .for_each(|(index, (numerators, denominators))| {
                    let children = Computed::new::<L>(&leaves, 2 * chunk * index, 2 * chunk);
                    L::vectorize(Parents { children, numerators, denominators });
                });
            let mut current = first;
            while current.elements() > NARROW {
                let next = parents(&current);
                layers.push(Nodes::Wide(core::mem::replace(&mut current, next)));
            }
            current.narrow()
        } else {
            // A stack of a few hundred positions: no program has one, its tables alone are larger.
            let mut all = Layer::<One> { numerators: vec![F::ZERO; size], denominators: vec![F::ZERO; size] };
            let plain = Leaves::new(tensors, challenges.clone(), One::enter);
            plain.fill(0, &mut all.numerators, &mut all.denominators);
            layers[0] = Nodes::Narrow(Layer {
                numerators: all.numerators.clone(),
                denominators: all.denominators.clone(),
            });
            parents(&all)
        };
        while current.elements() > 2 {
            let next = parents(&current);
            layers.push(Nodes::Narrow(core::mem::replace(&mut current, next)));
        }
        let at = |values: &[F], i: usize| values.get(i).copied().unwrap_or_default();
        let root = [
            at(&current.numerators, 0),
            at(&current.numerators, 1),
            at(&current.denominators, 0),
            at(&current.denominators, 1),
        ];
        Self { leaves, layers, root, rounds: None, spare: Vec::new() }
    }
}

fn parents<L: Lanes>(children: &Layer<L>) -> Layer<L> {
    let mut out = Layer::<L>::empty();
    out.resize(children.numerators.len() / 2);
    let chunk = TASK_GROUPS.min(out.numerators.len());
    out.numerators
        .par_chunks_mut(chunk)
        .zip(out.denominators.par_chunks_mut(chunk))
        .zip(children.numerators.par_chunks(2 * chunk).zip(children.denominators.par_chunks(2 * chunk)))
        .for_each(|((numerators, denominators), (p, q))| {
            let children = Stored::<L> { numerators: p, denominators: q };
            L::vectorize(Parents { children, numerators, denominators });
        });
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
        let Self { leaves, rounds: Some(rounds), spare, .. } = self else { return Ok((F::ZERO, F::ZERO)) };
        let pending = rounds.pending.take();
        let lambda = (!rounds.combined).then_some(rounds.lambda);
        rounds.combined |= pending.is_some();
        let (bound, lambda) = (pending.as_ref(), lambda.as_ref());
        if let Nodes::Wide(layer) = &rounds.nodes
            && layer.elements() <= NARROW
        {
            let narrow = layer.narrow();
            if let Nodes::Wide(done) = core::mem::replace(&mut rounds.nodes, Nodes::Narrow(narrow)) {
                keep(spare, done);
            }
        }
        Ok(match (&mut rounds.nodes, &rounds.wide) {
            (Nodes::Leaves, Some(factors)) => {
                let mut out = if bound.is_some() { take_largest(spare) } else { Layer::empty() };
                let sums = round_leaves::<L>(leaves, &mut out, bound, lambda, factors);
                if bound.is_some() {
                    rounds.nodes = Nodes::Wide(out);
                }
                sums
            }
            (Nodes::Wide(layer), Some(factors)) => {
                let mut out = if bound.is_some() { take_largest(spare) } else { Layer::empty() };
                let sums = round_stored(layer, &mut out, bound, lambda, factors);
                if bound.is_some() {
                    keep(spare, core::mem::replace(layer, out));
                }
                sums
            }
            (Nodes::Narrow(layer), _) => {
                let mut out = Layer::empty();
                let sums = round_stored(layer, &mut out, bound, lambda, &rounds.narrow);
                if bound.is_some() {
                    *layer = out;
                }
                sums
            }
            _ => (F::ZERO, F::ZERO),
        })
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
    let largest = (0..spare.len()).max_by_key(|i| spare[*i].numerators.capacity());
    largest.map_or(Layer::empty(), |index| spare.swap_remove(index))
}

/// Keeps the two largest storages: a sumcheck reads one and writes the other.
fn keep<L: Lanes>(spare: &mut Vec<Layer<L>>, done: Layer<L>) {
    spare.push(done);
    if spare.len() > 2 {
        spare.sort_unstable_by_key(|layer| core::cmp::Reverse(layer.numerators.capacity()));
        spare.truncate(2);
    }
}
