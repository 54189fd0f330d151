//! The proving half of `circuits::argument::lookup`: the tree of fractions, leaves computed on the fly.

use ark_ff::{AdditiveGroup, Field};
use rayon::prelude::*;
use weightproof_circuits::accumulate::ProductSum;
use weightproof_circuits::argument::lookup::{LookupChallenges, queries};
use weightproof_circuits::argument::sumcheck::as_point;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::{Block, Layout, Leaf, Table};

use super::channel::Channel;
use super::polynomial::RoundWeights;
use super::sumcheck::complete_quadratic;
use super::witness::{Witness, row_is_real};
use super::{ProveError, ProvedClaim, answer};
use crate::progress::Progress;

/// Leaves that a task computes at a time; a power of two.
const LEAVES: usize = 1 << 12;

/// Numerators and denominators of one layer, or of a part of it.
#[derive(Default, Clone)]
struct Fractions {
    numerators: Vec<F>,
    denominators: Vec<F>,
}

/// Computes leaves from the stack.
struct Leaves<'a> {
    witness: &'a Witness<'a>,
    challenges: LookupChallenges<F>,
    /// For each block, `α − β·id − entry` by entry index; shared between blocks of a table.
    tables: Vec<(Table, Vec<F>)>,
}

impl<'a> Leaves<'a> {
    fn new(witness: &'a Witness<'a>, challenges: LookupChallenges<F>) -> Self {
        let tables = witness
            .layout
            .tables
            .iter()
            .map(|table| {
                let start = challenges.alpha - challenges.beta * F::from(table.identifier());
                let entries = (0..1usize << table.variables())
                    .map(|index| {
                        let second = match table {
                            Table::Relu => u64::from(table.entry(index) >= 0),
                            Table::Exponential => u64::from(witness.exponential[index]),
                            _ => 0,
                        };
                        start - F::from(table.entry(index)) - challenges.gamma * F::from(second)
                    })
                    .collect();
                (*table, entries)
            })
            .collect();
        Self { witness, challenges, tables }
    }

    /// Writes the leaves of positions `start..start + out.len()`.
    fn fill(&self, start: usize, numerators: &mut [F], denominators: &mut [F]) {
        let layout: &Layout = self.witness.layout;
        let end = start + numerators.len();
        let mut position = start;
        let mut index = layout.blocks.partition_point(|b| b.range().end <= start);
        while position < end {
            let slot = position - start;
            let Some(block) = layout.blocks.get(index) else {
                for (i, (n, d)) in numerators[slot..].iter_mut().zip(&mut denominators[slot..]).enumerate() {
                    *n = F::ONE;
                    *d = self.challenges.alpha - F::from(self.witness.stack[position + i]);
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

    fn fill_block(&self, block: &Block, first: usize, numerators: &mut [F], denominators: &mut [F]) {
        let layout = self.witness.layout;
        let values = &self.witness.stack[block.range()][first..first + numerators.len()];
        let table_of = |table: Table| {
            self.tables.iter().find(|(t, _)| *t == table).map_or(&[][..], |(_, e)| e.as_slice())
        };
        match block.leaf {
            Leaf::Neutral => {
                numerators.fill(F::ZERO);
                denominators.fill(F::ONE);
            }
            Leaf::Table(table) => {
                let entries = &table_of(table)[first..];
                for ((n, d), (value, entry)) in
                    numerators.iter_mut().zip(denominators.iter_mut()).zip(values.iter().zip(entries))
                {
                    *n = -F::from(*value);
                    *d = *entry;
                }
            }
            Leaf::Single(table) | Leaf::Pair(table, _) => {
                numerators.fill(F::ONE);
                let partner = match block.leaf {
                    Leaf::Pair(_, partner) => Some(&self.witness.tensor(partner)[first..]),
                    _ => None,
                };
                let entries = table_of(table);
                let base = table.entry(0) as i32;
                let units = 1usize << block.unit_variables;
                let identifier = self.challenges.beta * F::from(table.identifier());
                for (i, (d, value)) in denominators.iter_mut().zip(values).enumerate() {
                    let position = first + i;
                    let real = position & (units - 1) < block.units
                        && row_is_real(layout, position >> block.unit_variables);
                    let second = partner.map_or(0, |p| p[i]);
                    *d = if real {
                        let entry = entries.get(value.wrapping_sub(base) as u32 as usize);
                        match entry {
                            Some(entry) if self.pairs(table, *value, second) => *entry,
                            // A value outside its table has its own denominator, which no table entry cancels.
                            _ => {
                                self.challenges.alpha
                                    - identifier
                                    - F::from(*value)
                                    - self.challenges.gamma * F::from(second)
                            }
                        }
                    } else if *value == 0 && second == 0 {
                        self.challenges.alpha
                    } else {
                        self.challenges.alpha - F::from(*value) - self.challenges.gamma * F::from(second)
                    };
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
                    .and_then(|v| self.witness.exponential.get(v))
                    .map(|e| i32::from(*e))
                    == Some(second)
            }
            _ => true,
        }
    }
}

/// `(p₀·q₁ + p₁·q₀, q₀·q₁)` for consecutive pairs.
fn parents(children: &Fractions) -> Fractions {
    let (numerators, denominators) = children
        .numerators
        .par_chunks_exact(2)
        .with_min_len(LEAVES)
        .zip(children.denominators.par_chunks_exact(2))
        .map(|(p, q)| (F::sum_of_products(&[p[0], p[1]], &[q[1], q[0]]), q[0] * q[1]))
        .unzip();
    Fractions { numerators, denominators }
}

/// Sums of one round: `t(0)` and the leading coefficient, each as `Σ(p₀q₁ + p₁q₀)` and `Σ q₀q₁`.
#[derive(Clone, Copy, Default)]
struct RoundSums {
    zero: ProductSum,
    leading: ProductSum,
}

/// One pair of nodes: children of an even and an odd node.
#[inline(always)]
fn round_terms(p: &[F], q: &[F], lambda: &F) -> (F, F) {
    let zero = F::sum_of_products(&[p[0] + *lambda * q[0], p[1]], &[q[1], q[0]]);
    let (p0, p1, q0, q1) = (p[2] - p[0], p[3] - p[1], q[2] - q[0], q[3] - q[1]);
    let leading = F::sum_of_products(&[p0 + *lambda * q0, p1], &[q1, q0]);
    (zero, leading)
}

fn sums_over(
    tables: (&[F], &[F]),
    visit: impl Fn(usize, &mut dyn FnMut(usize, &[F], &[F])) + Sync,
    lambda: &F,
) -> (F, F) {
    // `visit(row, f)` calls `f(position, p, q)` for consecutive groups of nodes of one row of the weight table.
    let (high, low) = tables;
    let add = |a: (F, F), b: (F, F)| (a.0 + b.0, a.1 + b.1);
    (0..high.len())
        .into_par_iter()
        .with_min_len((LEAVES / low.len() / 4).max(1))
        .map(|row| {
            let mut sums = RoundSums::default();
            visit(row, &mut |first, p, q| {
                for (i, (p, q)) in p.chunks_exact(4).zip(q.chunks_exact(4)).enumerate() {
                    let (zero, leading) = round_terms(p, q, lambda);
                    sums.zero.add(&zero, &low[first + i]);
                    sums.leading.add(&leading, &low[first + i]);
                }
            });
            (sums.zero.value() * high[row], sums.leading.value() * high[row])
        })
        .reduce(|| (F::ZERO, F::ZERO), add)
}

/// Binds the variable that tells even from odd nodes: four children become two.
fn bind_children(p: &[F], challenge: &F, out: &mut [F]) {
    for (out, p) in out.chunks_exact_mut(2).zip(p.chunks_exact(4)) {
        out[0] = p[0] + *challenge * (p[2] - p[0]);
        out[1] = p[1] + *challenge * (p[3] - p[1]);
    }
}

fn bind_all(array: &[F], challenge: &F) -> Vec<F> {
    let mut out = vec![F::ZERO; array.len() / 2];
    out.par_chunks_mut(LEAVES).zip(array.par_chunks(2 * LEAVES)).for_each(|(out, p)| {
        bind_children(p, challenge, out);
    });
    out
}

/// Steps 1–4.
pub fn prove(
    witness: &Witness<'_>,
    channel: &mut dyn Channel,
    claims: &mut Vec<ProvedClaim>,
    progress: &dyn Progress,
) -> Result<(), ProveError> {
    let layout = witness.layout;
    let variables = layout.variables;
    progress.begin("lookups", variables as u64 + 4);
    let gamma = channel.challenge("gamma");
    let beta = channel.challenge("beta");
    let alpha = channel.challenge("alpha");
    let leaves = Leaves::new(witness, LookupChallenges { gamma, beta, alpha });

    // The tree from the layer above the leaves to the root's children; `layers[i]` has 2^(i + 1) nodes.
    let mut first = Fractions {
        numerators: vec![F::ZERO; 1 << (variables - 1)],
        denominators: vec![F::ZERO; 1 << (variables - 1)],
    };
    let nodes = LEAVES.min(1 << (variables - 1));
    first
        .numerators
        .par_chunks_mut(nodes)
        .zip(first.denominators.par_chunks_mut(nodes))
        .enumerate()
        .for_each(|(index, (numerators, denominators))| {
            let mut p = vec![F::ZERO; 2 * nodes];
            let mut q = vec![F::ZERO; 2 * nodes];
            leaves.fill(index * 2 * nodes, &mut p, &mut q);
            for (((n, d), p), q) in numerators
                .iter_mut()
                .zip(denominators.iter_mut())
                .zip(p.chunks_exact(2))
                .zip(q.chunks_exact(2))
            {
                *n = F::sum_of_products(&[p[0], p[1]], &[q[1], q[0]]);
                *d = q[0] * q[1];
            }
        });
    let mut layers = vec![first];
    while layers[layers.len() - 1].numerators.len() > 2 {
        let next = parents(&layers[layers.len() - 1]);
        layers.push(next);
    }
    progress.advance(4);

    let Some(root) = layers.pop() else { return Ok(()) };
    let mut children = [root.numerators[0], root.numerators[1], root.denominators[0], root.denominators[1]];
    channel.send("fractions", children.to_vec());
    let mut point: Vec<F> = Vec::new();
    loop {
        let low = channel.challenge("nu");
        let between = |a: F, b: F| a + low * (b - a);
        let numerator = between(children[0], children[1]);
        let denominator = between(children[2], children[3]);
        point.push(low);
        progress.advance(1);
        if progress.cancelled() {
            return Err(ProveError::Cancelled);
        }
        if point.len() == variables {
            break;
        }
        let lambda = channel.challenge("lambda");
        let claim = numerator + lambda * denominator;
        let layer = layers.pop();
        let (rounds, end) = prove_layer(channel, &leaves, layer, &point, claim, &lambda)?;
        point = as_point(&rounds);
        children = end;
        channel.send("fractions", children.to_vec());
    }
    let message = answer(witness, queries(layout, &point), claims);
    channel.send("leaves", message);
    Ok(())
}

/// The sumcheck of one layer; `layer` holds its children, `None` stands for the leaves.
fn prove_layer(
    channel: &mut dyn Channel,
    leaves: &Leaves<'_>,
    layer: Option<Fractions>,
    point: &[F],
    claim: F,
    lambda: &F,
) -> Result<(Vec<F>, [F; 4]), ProveError> {
    let weights = RoundWeights::new(point);
    let mut claim = claim;
    let mut challenges = Vec::with_capacity(point.len());
    let mut arrays = layer;
    for remaining in (0..point.len()).rev() {
        let tables = weights.tables(remaining);
        let block = tables.1.len();
        let (zero, leading) = match &arrays {
            Some(fractions) => sums_over(
                tables,
                |row, f| {
                    let range = 4 * row * block..4 * (row + 1) * block;
                    f(0, &fractions.numerators[range.clone()], &fractions.denominators[range]);
                },
                lambda,
            ),
            None => sums_over(
                tables,
                |row, f| {
                    let step = (4 * block).min(LEAVES);
                    let mut p = vec![F::ZERO; step];
                    let mut q = vec![F::ZERO; step];
                    for first in (0..4 * block).step_by(step) {
                        leaves.fill(4 * row * block + first, &mut p, &mut q);
                        f(first / 4, &p, &q);
                    }
                },
                lambda,
            ),
        };
        let weight = point[remaining];
        let inverse = weight.inverse().ok_or(ProveError::ZeroChallenge)?;
        let message = complete_quadratic(&claim, &inverse, zero, leading);
        channel.send("fraction rounds", message.clone());
        let challenge = channel.challenge("fraction rounds");
        claim += message[0] * (challenge - weight) + message[1] * (challenge.square() - weight);
        challenges.push(challenge);
        arrays = Some(match arrays {
            Some(fractions) => Fractions {
                numerators: bind_all(&fractions.numerators, &challenge),
                denominators: bind_all(&fractions.denominators, &challenge),
            },
            None => {
                let size = 1usize << (point.len());
                let mut out =
                    Fractions { numerators: vec![F::ZERO; size], denominators: vec![F::ZERO; size] };
                let nodes = LEAVES.min(size);
                out.numerators
                    .par_chunks_mut(nodes)
                    .zip(out.denominators.par_chunks_mut(nodes))
                    .enumerate()
                    .for_each(|(index, (numerators, denominators))| {
                        let mut p = vec![F::ZERO; 2 * nodes];
                        let mut q = vec![F::ZERO; 2 * nodes];
                        leaves.fill(index * 2 * nodes, &mut p, &mut q);
                        bind_children(&p, &challenge, numerators);
                        bind_children(&q, &challenge, denominators);
                    });
                out
            }
        });
    }
    let Some(end) = arrays else { return Err(ProveError::ZeroChallenge) };
    let children = [end.numerators[0], end.numerators[1], end.denominators[0], end.denominators[1]];
    Ok((challenges, children))
}
