//! The CPU as a device.

use std::borrow::Cow;
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
        Ok(Box::new(CpuSession {
            wide: self.wide,
            tensors,
            base: Stacked::new(tensors.layout, tensors.base),
            update: Stacked::new(tensors.layout, tensors.update),
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
    fn new(layout: &Layout, parameters: &Parameters) -> Self {
        let fits = |values: &[i64]| values.par_iter().all(|value| i32::try_from(*value).is_ok());
        if parameters.layers.iter().all(|layer| fits(&layer.weights) && fits(&layer.biases)) {
            Self::Small(stack(layout, parameters, |value| value as i32))
        } else {
            Self::Large(stack(layout, parameters, |value| value))
        }
    }

    fn integers(&self, range: Range<usize>) -> Integers<'_> {
        match self {
            Self::Small(values) => Integers::Small(&values[range]),
            Self::Large(values) => Integers::Large(&values[range]),
        }
    }
}

fn stack<T: Copy + Default + Send>(
    layout: &Layout,
    parameters: &Parameters,
    convert: impl Fn(i64) -> T + Sync,
) -> Vec<T> {
    let mut stack = vec![T::default(); 1 << layout.parameter_variables];
    for block in &layout.parameters {
        let layer = &parameters.layers[block.layer - 1];
        let values = if block.is_bias { &layer.biases } else { &layer.weights };
        let padded = 1usize << block.output_variables;
        stack[block.offset..]
            .par_chunks_mut(padded)
            .zip(values.par_chunks(layer.outputs))
            .with_min_len((1 << 14) / padded + 1)
            .for_each(|(out, row)| {
                for (out, value) in out.iter_mut().zip(row) {
                    *out = convert(*value);
                }
            });
    }
    stack
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
        let pairs = |left: &Range<usize>,
                     right: &Range<usize>,
                     join: fn(i32, i32, u32, u32) -> i32,
                     shifts: (u32, u32)| {
            let (left, right) = (&stack[left.clone()], &stack[right.clone()]);
            let join = |(l, r): (&i32, &i32)| join(*l, *r, shifts.0, shifts.1);
            Cow::Owned(left.par_iter().zip(right).with_min_len(1 << 14).map(join).collect::<Vec<i32>>())
        };
        let small: Cow<'_, [i32]> = match source {
            Source::Base(range) => return act(self.base.integers(range.clone())),
            Source::Update(range) => return act(self.update.integers(range.clone())),
            Source::Stack(range) => Cow::Borrowed(&stack[range.clone()]),
            Source::Data => Cow::Borrowed(self.tensors.data),
            Source::Exponential => Cow::Borrowed(&self.exponential),
            Source::Gated { signs, values } => pairs(signs, values, |g, v, _, _| g * v, (0, 0)),
            Source::Difference { left, left_shift, right, right_shift } => {
                pairs(left, right, |l, r, a, b| (l << a) - (r << b), (*left_shift, *right_shift))
            }
        };
        act(Integers::Small(&small))
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
            let mut out = Vec::with_capacity(groups * width);
            for (group, weights) in weights.chunks(rows).enumerate() {
                let range = group * rows * width..(group + 1) * rows * width;
                let part = match integers {
                    Integers::Small(values) => Integers::Small(&values[range]),
                    Integers::Large(values) => Integers::Large(&values[range]),
                };
                out.extend(combine(self.wide.is_some(), part, width, weights));
            }
            out
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
