//! One proof's tensors on a device.

use core::ops::Range;

use weightproof_circuits::argument::lookup::LookupChallenges;
use weightproof_circuits::curve::{Point, Projective};
use weightproof_circuits::field::F;

use super::array::Array;
use super::runtime::{Launch, Runtime, failure};
use super::sums::{self, Integers};
use super::{commit, gates, lookup};
use crate::kernels::{GateLayer, GateSum, KernelError, LookupTree, Session, Source, Tensors};

/// One layer's integers: weights and biases of the base model, then of the update.
struct Layer<R: Runtime> {
    base: [Array<R, i64>; 2],
    update: [Array<R, i64>; 2],
}

/// A session on a device.
pub(super) struct DeviceSession<'a, R: Runtime> {
    pub runtime: &'a R,
    pub tensors: Tensors<'a>,
    pub stack: Array<R, i32>,
    data: Array<R, i32>,
    pub exponential: Array<R, i32>,
    layers: Vec<Layer<R>>,
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
            Self::Held(Integers::Wide(array), _) => Integers::Wide(array),
            Self::Made(array) => Integers::Wide(array),
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
        let layers = tensors.base.layers.iter().zip(&tensors.update.layers);
        let layers = layers
            .map(|(base, update)| {
                Ok(Layer {
                    base: [Array::upload(runtime, &base.weights)?, Array::upload(runtime, &base.biases)?],
                    update: [
                        Array::upload(runtime, &update.weights)?,
                        Array::upload(runtime, &update.biases)?,
                    ],
                })
            })
            .collect::<Result<_, KernelError>>()?;
        Ok(Self {
            runtime,
            tensors,
            stack: Array::upload(runtime, tensors.stack)?,
            data: Array::upload(runtime, tensors.data)?,
            exponential: Array::upload(runtime, &exponential)?,
            layers,
        })
    }

    /// The error of a request that the tensors do not answer.
    pub fn refuse<T>(&self, reason: String) -> Result<T, KernelError> {
        Err(failure(self.runtime.name(), reason))
    }

    /// Checks that a range lies in the stack.
    pub fn check_range(&self, range: &Range<usize>) -> Result<(), KernelError> {
        if range.start > range.end || range.end > self.stack.len() {
            return self
                .refuse(format!("expected a range of {} positions, found {range:?}", self.stack.len()));
        }
        Ok(())
    }

    fn locate(&self, source: &Source) -> Result<Located<'_, R>, KernelError> {
        let narrow =
            |array, range: Range<usize>| Located::Held(Integers::Narrow(array, range.start), range.len());
        let parameter = |layer: usize, of: fn(&Layer<R>) -> &[Array<R, i64>; 2], is_bias: bool| match layer
            .checked_sub(1)
            .and_then(|index| self.layers.get(index))
        {
            Some(layer) => {
                let array = &of(layer)[usize::from(is_bias)];
                Ok(Located::Held(Integers::Wide(array), array.len()))
            }
            None => self.refuse(format!("expected a layer from 1 to {}, found {layer}", self.layers.len())),
        };
        match source {
            Source::Stack(range) => {
                self.check_range(range)?;
                Ok(narrow(&self.stack, range.clone()))
            }
            Source::Data => Ok(narrow(&self.data, 0..self.data.len())),
            Source::Exponential => Ok(narrow(&self.exponential, 0..self.exponential.len())),
            Source::Base { layer, is_bias } => parameter(*layer, |layer| &layer.base, *is_bias),
            Source::Update { layer, is_bias } => parameter(*layer, |layer| &layer.update, *is_bias),
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
