//! One proof's tensors on a device.

use core::ops::Range;

use weightproof_circuits::argument::lookup::LookupChallenges;
use weightproof_circuits::curve::{Point, Projective};
use weightproof_circuits::field::F;
use weightproof_circuits::parameters::Parameters;

use super::array::Array;
use super::runtime::{Launch, Runtime, failure};
use super::sums::{self, Integers};
use super::{commit, gates, lookup};
use crate::kernels::{GateLayer, GateSum, KernelError, LookupTree, Session, Source, Tensors};
use crate::stack::{WRONG_SHAPE, stack};

/// A session on a device.
pub(super) struct DeviceSession<'a, R: Runtime> {
    pub runtime: &'a R,
    pub tensors: Tensors<'a>,
    pub stack: Array<R, i32>,
    data: Array<R, i32>,
    pub exponential: Array<R, i32>,
    base: Array<R, i64>,
    update: Array<R, i64>,
}

/// A source on the device.
enum Located<'a, R: Runtime> {
    Held(Integers<'a, R>, usize),
    Made(Array<R, i64>),
}

impl<R: Runtime> Located<'_, R> {
    fn len(&self) -> usize {
        match self {
            Self::Held(_, length) => *length,
            Self::Made(array) => array.len(),
        }
    }

    fn integers(&self) -> Integers<'_, R> {
        match self {
            Self::Held(Integers::Narrow(array, start), _) => Integers::Narrow(array, *start),
            Self::Held(Integers::Wide(array, start), _) => Integers::Wide(array, *start),
            Self::Made(array) => Integers::Wide(array, 0),
        }
    }
}

impl<'a, R: Runtime> DeviceSession<'a, R> {
    pub fn new(runtime: &'a R, tensors: Tensors<'a>) -> Result<Self, KernelError> {
        let expected = 1usize << tensors.layout.variables;
        if tensors.stack.len() != expected {
            let found = tensors.stack.len();
            return Err(failure(
                runtime.name(),
                format!("expected a stack of {expected} integers, found {found}"),
            ));
        }
        let exponential: Vec<i32> = tensors.exponential.iter().map(|e| i32::from(*e)).collect();
        let parameters = |model: &Parameters| match stack(tensors.layout, model, |value| value) {
            Some(stack) => Array::upload(runtime, &stack),
            None => Err(failure(runtime.name(), WRONG_SHAPE)),
        };
        Ok(Self {
            runtime,
            tensors,
            stack: Array::upload(runtime, tensors.stack)?,
            data: Array::upload(runtime, tensors.data)?,
            exponential: Array::upload(runtime, &exponential)?,
            base: parameters(tensors.base)?,
            update: parameters(tensors.update)?,
        })
    }

    /// The error of a request that the tensors do not answer.
    pub fn refuse<T>(&self, reason: String) -> Result<T, KernelError> {
        Err(failure(self.runtime.name(), reason))
    }

    /// Checks that a range lies in the stack.
    pub fn check_range(&self, range: &Range<usize>) -> Result<(), KernelError> {
        self.check_positions(range, self.stack.len())
    }

    fn check_positions(&self, range: &Range<usize>, positions: usize) -> Result<(), KernelError> {
        if range.start > range.end || range.end > positions {
            return self.refuse(format!("expected a range of {positions} positions, found {range:?}"));
        }
        Ok(())
    }

    fn locate(&self, source: &Source) -> Result<Located<'_, R>, KernelError> {
        let narrow = |array, range: &Range<usize>| {
            self.check_positions(range, Array::len(array))?;
            Ok(Located::Held(Integers::Narrow(array, range.start), range.len()))
        };
        let wide = |array, range: &Range<usize>| {
            self.check_positions(range, Array::len(array))?;
            Ok(Located::Held(Integers::Wide(array, range.start), range.len()))
        };
        match source {
            Source::Stack(range) => narrow(&self.stack, range),
            Source::Data => narrow(&self.data, &(0..self.data.len())),
            Source::Exponential => narrow(&self.exponential, &(0..self.exponential.len())),
            Source::Base(range) => wide(&self.base, range),
            Source::Update(range) => wide(&self.update, range),
            Source::Gated { signs, values } => {
                self.make(signs, values, "gated_integers", &[]).map(Located::Made)
            }
            Source::Difference { left, left_shift, right, right_shift } => {
                if *left_shift.max(right_shift) > 31 {
                    return self.refuse(format!(
                        "expected shifts of at most 31, found {left_shift} and {right_shift}"
                    ));
                }
                let shifts = [u64::from(*left_shift), u64::from(*right_shift)];
                self.make(left, right, "difference_integers", &shifts).map(Located::Made)
            }
        }
    }

    /// Integers that a kernel makes of two ranges of the stack.
    fn make(
        &self,
        left: &Range<usize>,
        right: &Range<usize>,
        kernel: &'static str,
        words: &[u64],
    ) -> Result<Array<R, i64>, KernelError> {
        self.check_range(left)?;
        self.check_range(right)?;
        if left.len() != right.len() {
            return self.refuse(format!("expected ranges of one length, found {left:?} and {right:?}"));
        }
        let out = Array::zeros(self.runtime, left.len())?;
        let launch = Launch::new(kernel)
            .slice(&self.stack, left.start)
            .slice(&self.stack, right.start)
            .array(&out)
            .words(words)
            .size(left.len())
            .threads(left.len());
        self.runtime.launch(&launch)?;
        Ok(out)
    }
}

impl<R: Runtime> Session for DeviceSession<'_, R> {
    fn commit_rows(
        &self,
        bases: &[Point],
        width: usize,
        watch: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Projective>, KernelError> {
        commit::commit_rows(self, bases, width, watch)
    }

    fn combine_rows(
        &self,
        source: &Source,
        width: usize,
        groups: usize,
        weights: &[F],
    ) -> Result<Vec<F>, KernelError> {
        let source = self.locate(source)?;
        if groups == 0
            || !weights.len().is_multiple_of(groups)
            || weights.len().checked_mul(width) != Some(source.len())
        {
            return self.refuse(format!(
                "expected {} rows of {width} in {groups} equal groups, found {} integers",
                weights.len(),
                source.len()
            ));
        }
        sums::combine_rows(self.runtime, &source.integers(), width, groups, weights)
    }

    fn contract_rows(&self, source: &Source, weights: &[F]) -> Result<Vec<F>, KernelError> {
        let source = self.locate(source)?;
        if weights.is_empty() || !source.len().is_multiple_of(weights.len()) {
            return self.refuse(format!(
                "expected rows of {}, found {} integers",
                weights.len(),
                source.len()
            ));
        }
        sums::contract_rows(self.runtime, &source.integers(), source.len() / weights.len(), weights)
    }

    fn lookup(&self, challenges: &LookupChallenges<F>) -> Result<Box<dyn LookupTree + '_>, KernelError> {
        Ok(Box::new(lookup::Tree::new(self, challenges)?))
    }

    fn gates(&self, layer: &GateLayer) -> Result<Box<dyn GateSum + '_>, KernelError> {
        Ok(Box::new(gates::Gates::new(self, layer)?))
    }
}
