//! The CPU as a device.

use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;
use weightproof_circuits::argument::lookup::LookupChallenges;
use weightproof_circuits::curve::{Point, Projective};
use weightproof_circuits::exact::Trace;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::Parameters;

use super::commit::{Workspace, commit_row};
#[cfg(target_arch = "x86_64")]
use super::eight::Eight;
use super::gates::Gates;
use super::integers::{Integers, combine, contract};
use super::lanes::One;
use super::lookup::Tree;
use crate::kernels::{
    GateLayer, GateSum, KernelError, Kernels, LookupTree, Session, Source, Tensors, TrainingInput,
};
use crate::stack::{WRONG_SHAPE, stack};

/// Shows that the processor has the instructions for eight lanes.
#[cfg(target_arch = "x86_64")]
type Wide = super::ifma::Ifma;
/// No other kind of processor has them.
#[cfg(not(target_arch = "x86_64"))]
type Wide = core::convert::Infallible;

/// The processor that the program runs on.
#[derive(Clone, Copy)]
pub struct Cpu {
    wide: Option<Wide>,
}

impl Cpu {
    /// With the widest instructions that the processor has.
    pub fn new() -> Self {
        #[cfg(target_arch = "x86_64")]
        let wide = super::ifma::Ifma::new();
        #[cfg(not(target_arch = "x86_64"))]
        let wide = None;
        Self { wide }
    }

    /// Whether it works on eight lanes.
    pub fn is_wide(&self) -> bool {
        self.wide.is_some()
    }

    /// With the instructions that every processor has, for comparison.
    pub fn portable() -> Self {
        Self { wide: None }
    }
}

/// The processor, with the widest instructions that it has.
pub fn cpu() -> &'static Cpu {
    static CPU: OnceLock<Cpu> = OnceLock::new();
    CPU.get_or_init(Cpu::new)
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

impl Kernels for Cpu {
    fn device(&self) -> String {
        let threads = rayon::current_num_threads();
        let instructions = if self.wide.is_some() { "AVX-512 IFMA" } else { "portable" };
        format!("cpu ({threads} threads, {instructions})")
    }

    /// The general trainer is the CPU's own.
    fn train(
        &self,
        _input: TrainingInput<'_>,
        _observer: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<(Trace, Parameters)>, KernelError> {
        Ok(None)
    }

    fn open<'a>(&'a self, tensors: Tensors<'a>) -> Result<Box<dyn Session + 'a>, KernelError> {
        let stacked = |parameters| {
            Stacked::new(tensors.layout, parameters)
                .ok_or_else(|| KernelError::Device { device: self.device(), reason: WRONG_SHAPE.to_owned() })
        };
        Ok(Box::new(CpuSession {
            wide: self.wide,
            tensors,
            base: stacked(tensors.base)?,
            update: stacked(tensors.update)?,
            exponential: tensors.exponential.iter().map(|e| i32::from(*e)).collect(),
        }))
    }
}

/// A model's integers, stacked and padded as `layout.parameters` says.
enum Stacked {
    /// They fit 32 bits.
    Small(Vec<i32>),
    /// They do not.
    Large(Vec<i64>),
}

impl Stacked {
    fn new(layout: &Layout, parameters: &Parameters) -> Option<Self> {
        let fits = |values: &[i64]| values.par_iter().all(|value| i32::try_from(*value).is_ok());
        if parameters.layers.iter().all(|layer| fits(&layer.weights) && fits(&layer.biases)) {
            stack(layout, parameters, |value| value as i32).map(Self::Small)
        } else {
            stack(layout, parameters, |value| value).map(Self::Large)
        }
    }

    fn integers(&self, range: Range<usize>) -> Integers<'_> {
        match self {
            Self::Small(values) => Integers::Small(&values[range]),
            Self::Large(values) => Integers::Large(&values[range]),
        }
    }
}

/// `Σ values·bases` of each row of `width` values, in parallel.
///
/// # Errors
/// [`KernelError::Cancelled`].
pub fn commit_rows(
    bases: &[Point],
    values: &[i32],
    width: usize,
    watch: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Projective>, KernelError> {
    commit_rows_in(Workspace::default, bases, values, width, watch)
}

fn commit_rows_in(
    workspace: fn() -> Workspace,
    bases: &[Point],
    values: &[i32],
    width: usize,
    watch: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Projective>, KernelError> {
    values
        .par_chunks(width)
        .map_init(workspace, |workspace, row| {
            let sum = commit_row(bases, row, workspace);
            if watch() { Ok(sum) } else { Err(KernelError::Cancelled) }
        })
        .collect()
}

struct CpuSession<'a> {
    wide: Option<Wide>,
    tensors: Tensors<'a>,
    base: Stacked,
    update: Stacked,
    exponential: Vec<i32>,
}

impl CpuSession<'_> {
    /// Calls `act` with the source's integers.
    fn with<R>(&self, source: &Source, act: impl FnOnce(Integers<'_>) -> R) -> R {
        let stack = self.tensors.stack;
        let small = match source {
            Source::Base(range) => return act(self.base.integers(range.clone())),
            Source::Update(range) => return act(self.update.integers(range.clone())),
            Source::Stack(range) => &stack[range.clone()],
            Source::Data => self.tensors.data,
            Source::Exponential => &self.exponential,
            Source::Gated { signs, values } => {
                return join(&stack[signs.clone()], &stack[values.clone()], |sign, value| sign * value, act);
            }
            Source::Difference { left, left_shift, right, right_shift } => {
                let difference = |l: i64, r: i64| (l << left_shift) - (r << right_shift);
                return join(&stack[left.clone()], &stack[right.clone()], difference, act);
            }
        };
        act(Integers::Small(small))
    }
}

/// Calls `act` with `pair(left, right)` for every position: 32 bits of it where they suffice, as in every honest stack.
fn join<R>(
    left: &[i32],
    right: &[i32],
    pair: impl Fn(i64, i64) -> i64 + Sync,
    act: impl FnOnce(Integers<'_>) -> R,
) -> R {
    let pair = |(left, right): (&i32, &i32)| pair(i64::from(*left), i64::from(*right));
    let pairs = || left.par_iter().zip(right).with_min_len(1 << 14).map(pair);
    let small: Option<Vec<i32>> = pairs().map(|value| i32::try_from(value).ok()).collect();
    match small {
        Some(small) => act(Integers::Small(&small)),
        None => act(Integers::Large(&pairs().collect::<Vec<i64>>())),
    }
}

impl Session for CpuSession<'_> {
    fn commit_rows(
        &self,
        bases: &[Point],
        width: usize,
        watch: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Projective>, KernelError> {
        let workspace = if self.wide.is_some() { Workspace::default } else { Workspace::portable };
        commit_rows_in(workspace, bases, self.tensors.stack, width, watch)
    }

    fn combine_rows(
        &self,
        source: &Source,
        width: usize,
        groups: usize,
        weights: &[F],
    ) -> Result<Vec<F>, KernelError> {
        Ok(self.with(source, |integers| {
            let rows = weights.len() / groups;
            let group = |(group, weights): (usize, &[F])| {
                let range = group * rows * width..(group + 1) * rows * width;
                combine(self.wide.is_some(), integers.part(range), width, weights)
            };
            weights.par_chunks(rows).enumerate().flat_map_iter(group).collect()
        }))
    }

    fn contract_rows(&self, source: &Source, weights: &[F]) -> Result<Vec<F>, KernelError> {
        Ok(self.with(source, |integers| contract(self.wide.is_some(), integers, weights)))
    }

    fn lookup(&self, challenges: &LookupChallenges<F>) -> Result<Box<dyn LookupTree + '_>, KernelError> {
        #[cfg(target_arch = "x86_64")]
        if let Some(ifma) = self.wide {
            return Ok(Box::new(Tree::<Eight>::new(ifma, self.tensors, challenges)));
        }
        Ok(Box::new(Tree::<One>::new((), self.tensors, challenges)))
    }

    fn gates(&self, layer: &GateLayer) -> Result<Box<dyn GateSum + '_>, KernelError> {
        #[cfg(target_arch = "x86_64")]
        if let Some(ifma) = self.wide {
            return Ok(Box::new(Gates::<Eight>::new(ifma, self.tensors.stack, layer)));
        }
        Ok(Box::new(Gates::<One>::new((), self.tensors.stack, layer)))
    }
}
