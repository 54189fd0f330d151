//! The proving half of `circuits::argument::reduction`.
//!
//! The polynomials are long and their entries small, so no round touches them one by one. A claim at a point `(u, v)`, `v`
//! its last coordinates, has the weight `eq(u, ·)·eq(v, ·)`. One pass sums the entries under `eq(u, ·)`; the first rounds
//! then run over the vectors `eq(v, ·)` and these sums, a few hundred elements for each claim. Another pass binds the
//! entries to all those rounds' challenges at once, and the rest runs over what is left.

use ark_ff::{AdditiveGroup, Field};
use rayon::prelude::*;
use weightproof_circuits::accumulate::ProductSum;
use weightproof_circuits::algebra::Powers;
use weightproof_circuits::argument::reduction::{Opened, place};
use weightproof_circuits::argument::sumcheck::as_point;
use weightproof_circuits::field::{F, inverse_power_of_two, one_half};
use weightproof_circuits::multilinear::eq_table;
use weightproof_gpu_kernels::cpu::weights::SplitTable;
use weightproof_gpu_kernels::kernels::Source;

use super::channel::Channel;
use super::polynomial::{PARALLEL, bind};
use super::prover::Prover;
use super::sumcheck::{self, Instance, complete_quadratic};
use super::{ProveError, ProvedClaim};

/// Rounds that run over sums: their vectors stay small, and what the other rounds run over is shorter by `2^9`.
const LOW_VARIABLES: usize = 9;

/// What is left to open: `r*` and `E_f(r*)` for the two committed polynomials.
#[derive(Clone, Debug)]
pub struct Opening {
    /// `r*`, most significant coordinate first.
    pub point: Vec<F>,
    /// `E_w(r*)`.
    pub witness_coefficient: F,
    /// `E_D(r*)`, zero-extension included.
    pub data_coefficient: F,
    /// `y`, the public polynomials' share included.
    pub value: F,
}

/// A claim while the low variables are bound.
struct Term {
    /// `ηⁱ·eq(v, ·)`.
    low: Vec<F>,
    /// `Σ eq(u, row)·f(row, ·)`.
    sums: Vec<F>,
    /// `u`.
    high: Vec<F>,
    /// The first row of the claim's block.
    row: usize,
}

/// The arrays of an instance.
enum Phase {
    /// Low variables: each claim for itself.
    Low(Vec<Term>),
    /// The others: `E_f` and `f`.
    High { weight: Vec<F>, values: Vec<F> },
}

/// What a round does to an instance.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Binds a variable of the arrays.
    Own,
    /// Both factors are extended by zero.
    Extension,
    /// Constant.
    Idle,
}

/// One polynomial `f` with the weight `E_f` of its claims.
struct Reduced<'a> {
    prover: &'a Prover<'a>,
    opened: Opened,
    phase: Phase,
    /// Low variables in all, and the challenges that have bound some of them.
    low_variables: usize,
    low_challenges: Vec<F>,
    /// Variables of `f` in all.
    variables: usize,
    roles: Vec<Role>,
    round: usize,
    /// Variables that no round has bound yet, the extension's included: sums are scaled by `2^-left`.
    left: usize,
    /// `∏ (1 − r)` over the extension's variables: what zero-extension multiplies each of `E_f` and `f` by.
    extension: F,
}

/// `array += coefficient·eq(point, ·)`.
fn add_eq(array: &mut [F], point: &[F], coefficient: &F) {
    let table = SplitTable::new(point);
    array.par_chunks_mut(table.low.len()).with_min_len(16).zip(&table.high).for_each(|(row, high)| {
        let high = *high * coefficient;
        for (out, low) in row.iter_mut().zip(&table.low) {
            *out += high * low;
        }
    });
}

/// `Σ E(2y)·f(2y)` and `Σ (E(2y+1) − E(2y))·(f(2y+1) − f(2y))`.
fn sums(weight: &[F], values: &[F]) -> (F, F) {
    weight
        .par_chunks(2 * PARALLEL)
        .zip(values.par_chunks(2 * PARALLEL))
        .map(|(weights, values)| {
            let mut zero = ProductSum::default();
            let mut leading = ProductSum::default();
            for (e, v) in weights.chunks_exact(2).zip(values.chunks_exact(2)) {
                zero.add(&e[0], &v[0]);
                leading.add(&(e[1] - e[0]), &(v[1] - v[0]));
            }
            (zero.value(), leading.value())
        })
        .reduce(|| (F::ZERO, F::ZERO), |a, b| (a.0 + b.0, a.1 + b.1))
}

impl<'a> Reduced<'a> {
    fn new(prover: &'a Prover<'a>, opened: Opened, phase: Phase, roles: Vec<Role>) -> Self {
        let variables = roles.iter().filter(|role| **role == Role::Own).count();
        let left = roles.iter().filter(|role| **role != Role::Idle).count();
        Self {
            prover,
            opened,
            phase,
            low_variables: LOW_VARIABLES.min(variables),
            low_challenges: Vec::new(),
            variables,
            roles,
            round: 0,
            left,
            extension: F::ONE,
        }
    }

    /// The instance's integers at some positions.
    fn source(opened: Opened, range: core::ops::Range<usize>) -> Source {
        match opened {
            Opened::Data => Source::Data,
            Opened::Weights => Source::Base(range),
            Opened::Update => Source::Update(range),
            Opened::Exponential => Source::Exponential,
            // The mask has no integers and starts in the high phase.
            Opened::Witness | Opened::Mask => Source::Stack(range),
        }
    }

    /// One pass for one claim, on the block of size `2^point.len()` at `start`.
    fn term(
        prover: &Prover<'_>,
        opened: Opened,
        low_variables: usize,
        start: usize,
        point: &[F],
        coefficient: &F,
    ) -> Result<Term, ProveError> {
        let width = 1usize << low_variables;
        let row = start >> low_variables;
        let scaled = |point: &[F]| eq_table(point).iter().map(|e| *coefficient * e).collect::<Vec<F>>();
        let (low, high, rows) = if point.len() >= low_variables {
            let (high, low) = point.split_at(point.len() - low_variables);
            (scaled(low), high.to_vec(), 1usize << high.len())
        } else {
            // A block within one row: no coordinate chooses the row.
            let mut low = vec![F::ZERO; width];
            let first = start % width;
            low[first..first + (1 << point.len())].copy_from_slice(&scaled(point));
            (low, Vec::new(), 1)
        };
        let source = Self::source(opened, row * width..(row + rows) * width);
        let sums = prover.session().combine_rows(&source, width, 1, &eq_table(&high))?;
        Ok(Term { low, sums, high, row })
    }

    /// The pass that binds `f` to the challenges of the low rounds.
    fn rise(&mut self) -> Result<(), ProveError> {
        let Phase::Low(terms) = &self.phase else { return Ok(()) };
        let mut weight = vec![F::ZERO; 1 << (self.variables - self.low_variables)];
        for term in terms {
            let rows = term.row..term.row + (1 << term.high.len());
            add_eq(&mut weight[rows], &term.high, &term.low[0]);
        }
        let source = Self::source(self.opened, 0..1 << self.variables);
        let low = eq_table(&as_point(&self.low_challenges));
        let values = self.prover.session().contract_rows(&source, &low)?;
        self.phase = Phase::High { weight, values };
        Ok(())
    }

    /// `E(r*)` and `f(r*)` once all rounds are done.
    fn end(&self) -> (F, F) {
        match &self.phase {
            Phase::High { weight, values } => (weight[0] * self.extension, values[0] * self.extension),
            Phase::Low(_) => (F::ZERO, F::ZERO),
        }
    }
}

impl Instance for Reduced<'_> {
    fn round(&mut self, claim: &F, _weight: &F, inverse_weight: &F) -> Result<Option<Vec<F>>, ProveError> {
        Ok(match self.roles[self.round] {
            Role::Idle => None,
            // t(X) = S·(1 − X)² with t(0) + t(1) = 2·claim.
            Role::Extension => Some(vec![-claim.double().double(), claim.double()]),
            Role::Own => {
                let (zero, leading) = match &self.phase {
                    Phase::Low(terms) => terms
                        .par_iter()
                        .map(|term| sums(&term.low, &term.sums))
                        .reduce(|| (F::ZERO, F::ZERO), |a, b| (a.0 + b.0, a.1 + b.1)),
                    Phase::High { weight, values } => sums(weight, values),
                };
                let scale = self.extension.square() * inverse_power_of_two(self.left - 1);
                Some(complete_quadratic(claim, inverse_weight, zero * scale, leading * scale))
            }
        })
    }

    fn bind(&mut self, challenge: &F) -> Result<(), ProveError> {
        match self.roles[self.round] {
            Role::Idle => {}
            Role::Extension => {
                self.extension *= F::ONE - challenge;
                self.left -= 1;
            }
            Role::Own => {
                self.left -= 1;
                match &mut self.phase {
                    Phase::Low(terms) => {
                        terms.par_iter_mut().for_each(|term| {
                            bind(&mut term.low, challenge);
                            bind(&mut term.sums, challenge);
                        });
                        self.low_challenges.push(*challenge);
                        if self.low_challenges.len() == self.low_variables {
                            self.rise()?;
                        }
                    }
                    Phase::High { weight, values } => {
                        bind(weight, challenge);
                        bind(values, challenge);
                    }
                }
            }
        }
        self.round += 1;
        Ok(())
    }
}

/// Steps 1–3.
pub fn prove(
    prover: &Prover<'_>,
    channel: &mut dyn Channel,
    claims: &[ProvedClaim],
) -> Result<Opening, ProveError> {
    let layout = prover.witness.layout;
    let mut powers = Powers::new(channel.challenge("eta"));
    let coefficients: Vec<F> = claims.iter().map(|_| powers.draw()).collect();
    let rounds = layout.opening_variables;

    let mut instances: Vec<(F, Reduced<'_>)> = Vec::new();
    for opened in Opened::ALL {
        let own = opened.variables(layout);
        // Dataset rows are held without their zero-extension.
        let extension = match opened {
            Opened::Data => layout.data_variables..layout.column_variables,
            _ => 0..0,
        };
        let variables = own - extension.len();
        // The mask's entries are not small.
        let mut mask_weight = vec![F::ZERO; if opened == Opened::Mask { 1 << variables } else { 0 }];
        let mut terms = Vec::new();
        let mut claim = F::ZERO;
        let mut used = false;
        for (proved, coefficient) in claims.iter().zip(&coefficients) {
            let Some((polynomial, index, block_variables)) = place(layout, proved.query.target) else {
                continue;
            };
            if polynomial != opened {
                continue;
            }
            used = true;
            claim += proved.value * coefficient;
            let point = &proved.query.point;
            if opened == Opened::Mask {
                add_eq(&mut mask_weight, point, coefficient);
            } else {
                let low_variables = LOW_VARIABLES.min(variables);
                let start = index << block_variables;
                terms.push(Reduced::term(prover, opened, low_variables, start, point, coefficient)?);
            }
        }
        if !used {
            continue;
        }
        let phase = match opened {
            Opened::Mask => Phase::High { weight: mask_weight, values: prover.witness.mask.clone() },
            _ => Phase::Low(terms),
        };
        let roles = (0..rounds)
            .map(|round| match round {
                _ if round >= own => Role::Idle,
                _ if extension.contains(&round) => Role::Extension,
                _ => Role::Own,
            })
            .collect();
        instances.push((claim * inverse_power_of_two(own), Reduced::new(prover, opened, phase, roles)));
    }
    let weights = vec![one_half(); rounds];
    let challenges = sumcheck::prove(channel, "reduction", &weights, 2, &mut instances)?;
    let ends: Vec<(F, F)> = instances.iter().map(|(_, instance)| instance.end()).collect();
    let value = ends.iter().map(|(weight, value)| *weight * value).sum();
    channel.send_opening_value(value);
    // Every program has claims on the witness and on the dataset rows.
    let (witness_coefficient, data_coefficient) = (ends[0].0, ends[1].0);
    Ok(Opening { point: as_point(&challenges), witness_coefficient, data_coefficient, value })
}
