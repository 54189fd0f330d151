//! A witness on the device that proves it.

use weightproof_circuits::accumulate::inner_product;
use weightproof_circuits::argument::claims::{Query, Target, Virtual};
use weightproof_circuits::field::F;
use weightproof_circuits::layout::Tensor;
use weightproof_circuits::multilinear::eq_table;
use weightproof_gpu_kernels::kernels::{Kernels, Session, Source};

use super::witness::Witness;
use super::{ProveError, ProvedClaim};

/// `log2` of the columns that an evaluation contracts first, at least.
const COLUMN_VARIABLES: usize = 10;

/// A witness with its tensors on a device.
pub struct Prover<'a> {
    /// The witness.
    pub witness: &'a Witness<'a>,
    session: Box<dyn Session + 'a>,
}

impl<'a> Prover<'a> {
    /// Hands the witness's tensors to a device.
    ///
    /// # Errors
    /// [`ProveError::Device`] when it does not take them.
    pub fn new(witness: &'a Witness<'a>, kernels: &'a dyn Kernels) -> Result<Self, ProveError> {
        Ok(Self { witness, session: kernels.open(witness.tensors())? })
    }

    /// The device's operations.
    pub fn session(&self) -> &(dyn Session + 'a) {
        &*self.session
    }

    /// A virtual polynomial's integers, padded like their block.
    pub fn source(&self, polynomial: Virtual) -> Source {
        self.witness.source(polynomial)
    }

    /// For rows of units: `Σ_u eq(point, u)·source[row][u]` by row.
    pub fn contract_units(&self, polynomial: Virtual, point: &[F]) -> Result<Vec<F>, ProveError> {
        Ok(self.session.contract_rows(&self.source(polynomial), &eq_table(point))?)
    }

    /// The value of a source at a point of as many variables.
    fn evaluate_source(&self, source: &Source, point: &[F]) -> Result<F, ProveError> {
        // Short rows cost their sums, long ones a table as long; of a long source, its square root.
        let columns = COLUMN_VARIABLES.max(point.len() / 2);
        let (high, low) = point.split_at(point.len().saturating_sub(columns));
        let rows = self.session.contract_rows(source, &eq_table(low))?;
        Ok(inner_product(&rows, &eq_table(high)))
    }

    /// The value of a query.
    pub fn evaluate(&self, query: &Query<F>) -> Result<F, ProveError> {
        let witness = self.witness;
        let source = match query.target {
            Target::Tensor(tensor) => Source::Stack(witness.range(tensor)),
            Target::Stack => Source::Stack(0..witness.stack.len()),
            Target::Data => Source::Data,
            Target::Weights { layer, is_bias } => Source::Base(witness.parameter_range(layer, is_bias)),
            Target::Update { layer, is_bias } => Source::Update(witness.parameter_range(layer, is_bias)),
            Target::ExponentialTable => Source::Exponential,
            Target::Mask => return Ok(inner_product(&witness.mask, &eq_table(&query.point))),
            Target::GatedActivation(layer) => self.source(Virtual::Activation(layer)),
            Target::GatedError(layer) => self.source(Virtual::Error(layer)),
        };
        self.evaluate_source(&source, &query.point)
    }

    /// Evaluates queries and records them as claims; returns the values in order.
    pub(super) fn answer(
        &self,
        queries: Vec<Query<F>>,
        claims: &mut Vec<ProvedClaim>,
    ) -> Result<Vec<F>, ProveError> {
        let mut values = Vec::with_capacity(queries.len());
        for query in queries {
            let value = self.evaluate(&query)?;
            claims.push(ProvedClaim { query, value });
            values.push(value);
        }
        Ok(values)
    }
}

impl Witness<'_> {
    /// The positions of a tensor's block; none when the layout has no such block.
    pub(super) fn range(&self, tensor: Tensor) -> core::ops::Range<usize> {
        self.layout.block(tensor).map_or(0..0, |block| block.range())
    }

    /// The positions of a layer's weights or biases in the stacked parameters.
    pub(super) fn parameter_range(&self, layer: usize, is_bias: bool) -> core::ops::Range<usize> {
        self.layout.parameter_block(layer, is_bias).map_or(0..0, |block| {
            block.offset..block.offset + (1 << (block.input_variables + block.output_variables))
        })
    }

    /// `A_l` or `Δ_l` as integers.
    fn source(&self, polynomial: Virtual) -> Source {
        let layout = self.layout;
        let gated = |tensor, layer| match layout.has_signs() {
            true => Source::Gated { signs: self.range(Tensor::Sign(layer)), values: self.range(tensor) },
            false => Source::Stack(self.range(tensor)),
        };
        match polynomial {
            Virtual::Activation(0) => Source::Stack(self.range(Tensor::Input)),
            Virtual::Activation(layer) => gated(Tensor::PreActivation(layer), layer),
            Virtual::Error(layer) if layer < layout.depth() => gated(Tensor::BackSum(layer), layer),
            Virtual::Error(layer) => {
                let (left, left_shift, right_shift) = if layout.is_softmax() {
                    (Tensor::Probability, 0, self.program.error_bits())
                } else {
                    let shift = self.program.error_bits().saturating_sub(self.program.activation_bits());
                    (Tensor::PreActivation(layer), shift, shift)
                };
                let (left, right) = (self.range(left), self.range(Tensor::Label));
                Source::Difference { left, left_shift, right, right_shift }
            }
        }
    }
}
