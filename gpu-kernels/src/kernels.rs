//! The operations that a proof spends its time in, behind one trait.
//!
//! They are coarse, so that a device keeps its data between them: what crosses the border is a challenge going in and a
//! few field elements coming out. Every implementation returns the same field elements and points, bit for bit after
//! normalisation, so a proof does not depend on where it was made.

use core::ops::Range;

use weightproof_circuits::argument::lookup::LookupChallenges;
use weightproof_circuits::curve::{Point, Projective};
use weightproof_circuits::exact::Trace;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;

/// Why an operation did not finish. Nothing is lost: its inputs are the caller's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// The caller asked to stop.
    #[error("interrupted; nothing was written")]
    Cancelled,
    /// The device failed or lacks memory; the CPU implementation can take over.
    #[error("{device}: {reason}")]
    Device {
        /// The device, as [`Kernels::device`] names it.
        device: String,
        /// What it reported.
        reason: String,
    },
}

/// Integers that an operation reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Positions of the stack.
    Stack(Range<usize>),
    /// Products of the values at two ranges of the stack: `g·Q`, `g·P`.
    Gated {
        /// Sign bits.
        signs: Range<usize>,
        /// What they gate.
        values: Range<usize>,
    },
    /// `2^left_shift·left − 2^right_shift·right` of two ranges of the stack: the errors of the last layer.
    Difference {
        /// Outputs or probabilities.
        left: Range<usize>,
        /// Their shift.
        left_shift: u32,
        /// Labels.
        right: Range<usize>,
        /// Their shift.
        right_shift: u32,
    },
    /// The chosen dataset rows, `[step][example][position]`.
    Data,
    /// Positions of the stacked base model, padded as `layout.parameters` says.
    Base(Range<usize>),
    /// Positions of the stacked update.
    Update(Range<usize>),
    /// The second column of the exponential table.
    Exponential,
}

/// What one proof works on, in the caller's memory.
#[derive(Clone, Copy)]
pub struct Tensors<'a> {
    /// Layout of the stack.
    pub layout: &'a Layout,
    /// The stacked witness, `2^layout.variables` integers.
    pub stack: &'a [i32],
    /// The chosen dataset rows, padded.
    pub data: &'a [i32],
    /// Base model.
    pub base: &'a Parameters,
    /// Update.
    pub update: &'a Parameters,
    /// Second column of the exponential table.
    pub exponential: &'a [u16],
}

/// Inputs of an exact training run (specs/protocol/arithmetic.md).
#[derive(Clone, Copy)]
pub struct TrainingInput<'a> {
    /// The program.
    pub program: &'a Program,
    /// The model to start from.
    pub base: &'a Parameters,
    /// Inputs, `[K][B][n_0]`.
    pub x: &'a [i16],
    /// Labels, `[K][B][C]`.
    pub y: &'a [i16],
}

/// A device that proofs are made on.
pub trait Kernels: Send + Sync {
    /// The device, as people are told it.
    fn device(&self) -> String;

    /// Runs all steps exactly and returns every integer and the update; `observer(step)` is asked after each step
    /// whether to go on.
    ///
    /// `None` when the device has no exact way for these magnitudes or a value leaves its range: the general trainer
    /// then runs, and names what went wrong.
    ///
    /// # Errors
    /// See [`KernelError`].
    fn train(
        &self,
        input: TrainingInput<'_>,
        observer: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<(Trace, Parameters)>, KernelError>;

    /// Takes one proof's tensors.
    ///
    /// # Errors
    /// [`KernelError::Device`], for one when they do not fit.
    fn open<'a>(&'a self, tensors: Tensors<'a>) -> Result<Box<dyn Session + 'a>, KernelError>;
}

/// One proof's tensors on a device.
pub trait Session: Sync {
    /// `Σ values·bases` of each row of `width` entries of the stack, without blinding. `watch` hears of each finished
    /// row and says whether to go on.
    ///
    /// # Errors
    /// See [`KernelError`].
    fn commit_rows(
        &self,
        bases: &[Point],
        width: usize,
        watch: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Projective>, KernelError>;

    /// `[group][column]`: `Σ_row weights[row]·source[row][column]` over the rows of each group. The source has
    /// `weights.len()` rows of `width` entries; groups divide the rows evenly.
    ///
    /// # Errors
    /// [`KernelError::Device`].
    fn combine_rows(
        &self,
        source: &Source,
        width: usize,
        groups: usize,
        weights: &[F],
    ) -> Result<Vec<F>, KernelError>;

    /// `[row]`: `Σ_column weights[column]·source[row][column]`; a row has `weights.len()` entries.
    ///
    /// # Errors
    /// [`KernelError::Device`].
    fn contract_rows(&self, source: &Source, weights: &[F]) -> Result<Vec<F>, KernelError>;

    /// Builds the lookup's tree of fractions over the stack (specs/protocol/lookup.md).
    ///
    /// # Errors
    /// [`KernelError::Device`].
    fn lookup(&self, challenges: &LookupChallenges<F>) -> Result<Box<dyn LookupTree + '_>, KernelError>;

    /// The sum of one layer's gates (specs/protocol/gates.md).
    ///
    /// # Errors
    /// [`KernelError::Device`].
    fn gates(&self, layer: &GateLayer) -> Result<Box<dyn GateSum + '_>, KernelError>;
}

/// The tree of fractions, from its root's children down to the leaves: one sumcheck a layer.
pub trait LookupTree {
    /// `[p₀, p₁, q₀, q₁]`: numerators and denominators of the root's children.
    fn root(&self) -> [F; 4];

    /// Goes one layer down and begins its sumcheck `Σ_y eq(point, y)·(p₀·q₁ + p₁·q₀ + λ·q₀·q₁)(y)`, where `p₀, q₀` are a
    /// node's even and `p₁, q₁` its odd child. `point` is given most significant coordinate first.
    ///
    /// # Errors
    /// [`KernelError::Device`].
    fn descend(&mut self, point: &[F], lambda: &F) -> Result<(), KernelError>;

    /// `(t(0), leading coefficient)` of the round that binds the least significant free coordinate, weighted by the
    /// `eq` of the coordinates above it.
    ///
    /// # Errors
    /// [`KernelError::Device`].
    fn round(&mut self) -> Result<(F, F), KernelError>;

    /// Binds that coordinate.
    ///
    /// # Errors
    /// [`KernelError::Device`].
    fn bind(&mut self, challenge: &F) -> Result<(), KernelError>;

    /// `[p₀, p₁, q₀, q₁]` at the point that all rounds have bound.
    ///
    /// # Errors
    /// [`KernelError::Device`].
    fn children(&self) -> Result<[F; 4], KernelError>;
}

/// `Σ_i coefficient_i·eq(point_i, ·)`.
pub type EqSum = Vec<(F, Vec<F>)>;

/// One layer of gates: `Σ_x g(x)·(E_A(x)·Q(x) + E_Δ(x)·P(x))`.
#[derive(Clone, Debug)]
pub struct GateLayer {
    /// Sign bits `g` in the stack.
    pub signs: Range<usize>,
    /// `Q` in the stack.
    pub pre_activations: Range<usize>,
    /// `P` in the stack.
    pub back_sums: Range<usize>,
    /// `E_A`.
    pub activation_weight: EqSum,
    /// `E_Δ`.
    pub error_weight: EqSum,
}

/// A sumcheck over one layer's gates.
pub trait GateSum {
    /// `[t(0), t(−1), leading coefficient]` of the cubic in the least significant free coordinate, summed over the others.
    ///
    /// # Errors
    /// [`KernelError::Device`].
    fn round(&mut self) -> Result<[F; 3], KernelError>;

    /// Binds that coordinate.
    ///
    /// # Errors
    /// [`KernelError::Device`].
    fn bind(&mut self, challenge: &F) -> Result<(), KernelError>;
}
