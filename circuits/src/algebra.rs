//! Two kinds of values, and what a verifier may do with them (specs/protocol/README.md).
//!
//! *Public* values come from challenges and the statement. *Hidden* values are sent by the prover. Public values form
//! a ring; hidden values form a module over it; a product of two hidden values appears only inside a check `= 0`.
//! The checks of [`crate::argument`] are written once over [`Algebra`]; [`Clear`] evaluates them on field elements,
//! and [`crate::seal::sigma`] turns them into one Σ-protocol over commitments.

use core::fmt;

use ark_ff::AdditiveGroup;

use crate::error::ErrorCode;
use crate::field::{F, Scalar, Unvalued};
use crate::transcript::Transcript;

/// Names every check of the argument, so that a failing one can say which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// `d = m − Q_L` (relations step 4).
    MaximumDistance,
    /// `Σ h = 1` (relations step 4).
    HotSum,
    /// `Σ y = 1` (relations step 4).
    LabelSum,
    /// `ρ + ρ' = 2T − 1` (relations step 4).
    DivisionComplement,
    /// Dataset rows are inputs and labels, and nothing else (relations step 5).
    DatasetLink,
    /// Final product of the matrix-product sumcheck (products step 3).
    MatrixProducts,
    /// Final product of the virtual-weight sumcheck (weights step 3).
    VirtualWeights,
    /// Final product of the gate and loss sumcheck (gates step 3).
    Gates,
    /// Root of the fraction tree is zero (lookup step 2).
    LookupRoot,
    /// One layer of the fraction tree (lookup step 3).
    LookupLayer(usize),
    /// Numerators of the leaves (lookup step 5).
    LeafNumerator,
    /// Denominators of the leaves (lookup step 5).
    LeafDenominator,
    /// The reduced claim is what the opening proves (reduction step 3).
    OpeningValue,
}

impl Check {
    /// The error code under which a failing check is reported by the clear verifier.
    pub fn code(self) -> ErrorCode {
        match self {
            Check::MatrixProducts | Check::VirtualWeights | Check::Gates => ErrorCode::E302,
            Check::MaximumDistance
            | Check::HotSum
            | Check::LabelSum
            | Check::DivisionComplement
            | Check::DatasetLink => ErrorCode::E303,
            Check::LookupRoot | Check::LookupLayer(_) | Check::LeafNumerator | Check::LeafDenominator => {
                ErrorCode::E304
            }
            Check::OpeningValue => ErrorCode::E305,
        }
    }
}

/// Why an argument was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentError {
    /// A message is missing, superfluous or of the wrong length.
    Shape {
        /// The message.
        label: &'static str,
        /// Elements that the program's shape demands.
        expected: usize,
        /// Elements found.
        found: usize,
    },
    /// A check does not hold.
    Check(Check),
}

impl ArgumentError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            ArgumentError::Shape { .. } => ErrorCode::E301,
            ArgumentError::Check(check) => check.code(),
        }
    }
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArgumentError::Shape { label, expected, found } => {
                write!(f, "message `{label}` has {found} elements where the program demands {expected}")
            }
            ArgumentError::Check(check) => write!(f, "check {check:?} does not hold"),
        }
    }
}

impl core::error::Error for ArgumentError {}

/// What the verifier's equations are written over.
pub trait Algebra {
    /// A value the verifier knows.
    type Public: Scalar;
    /// A value the prover sent.
    type Hidden: Clone;

    /// Notes that a piece of the argument begins; only a circuit's table of sizes asks.
    fn begin(&mut self, _piece: &'static str) {}

    /// Receives the next message and binds it into the transcript in one call.
    fn receive(&mut self, label: &'static str, length: usize) -> Result<Vec<Self::Hidden>, ArgumentError>;

    /// Receives the value that the opening proves; sealed on its own generator.
    fn receive_opening_value(&mut self) -> Result<Self::Hidden, ArgumentError>;

    /// Draws a challenge.
    fn challenge(&mut self, label: &'static str) -> Self::Public;

    /// A hidden view of a public value.
    fn publish(&self, value: Self::Public) -> Self::Hidden;

    /// `a + b`.
    fn add(&self, a: Self::Hidden, b: &Self::Hidden) -> Self::Hidden;

    /// `c·a`.
    fn scale(&self, a: &Self::Hidden, c: &Self::Public) -> Self::Hidden;

    /// Checks `Σ aᵢ·bᵢ + linear = 0`.
    fn check_zero(
        &mut self,
        check: Check,
        products: &[(Self::Hidden, Self::Hidden)],
        linear: &Self::Hidden,
    ) -> Result<(), ArgumentError>;

    /// `Σ cᵢ·aᵢ + constant`.
    fn combine(&self, terms: &[(Self::Public, &Self::Hidden)], constant: Self::Public) -> Self::Hidden {
        let mut sum = self.publish(constant);
        for (c, a) in terms {
            sum = self.add(sum, &self.scale(a, c));
        }
        sum
    }

    /// Draws `count` challenges under one label.
    fn challenges(&mut self, label: &'static str, count: usize) -> Vec<Self::Public> {
        (0..count).map(|_| self.challenge(label)).collect()
    }
}

/// Successive powers `1, x, x², …` of a batching challenge.
pub struct Powers<S> {
    base: S,
    next: S,
}

impl<S: Scalar> Powers<S> {
    /// Powers of `base`.
    pub fn new(base: S) -> Self {
        Self { base, next: S::one() }
    }
    /// The next power.
    pub fn draw(&mut self) -> S {
        let power = self.next.clone();
        self.next = power.clone() * self.base.clone();
        power
    }
}

/// The clear algebra: hidden values are field elements, challenges hash the messages themselves.
///
/// It leaks everything; it serves tests, the prover's self-check and benches.
pub struct Clear<'a> {
    transcript: Transcript,
    messages: core::slice::Iter<'a, Vec<F>>,
    /// Checks that are passed over: a soundness test's control that the attack works when its one defence is off.
    #[cfg(any(test, feature = "attack"))]
    pub skipped: Vec<Check>,
}

impl<'a> Clear<'a> {
    /// Reads `messages` in order under a transcript that is bound to the statement.
    pub fn new(transcript: Transcript, messages: &'a [Vec<F>]) -> Self {
        Self {
            transcript,
            messages: messages.iter(),
            #[cfg(any(test, feature = "attack"))]
            skipped: Vec::new(),
        }
    }

    /// Refuses messages that nothing has read.
    pub fn finish(self) -> Result<(), ArgumentError> {
        match self.messages.len() {
            0 => Ok(()),
            found => Err(ArgumentError::Shape { label: "end", expected: 0, found }),
        }
    }
}

impl Algebra for Clear<'_> {
    type Public = F;
    type Hidden = F;

    fn receive(&mut self, label: &'static str, length: usize) -> Result<Vec<F>, ArgumentError> {
        let message = self.messages.next().map(Vec::as_slice).unwrap_or_default();
        if message.len() != length {
            return Err(ArgumentError::Shape { label, expected: length, found: message.len() });
        }
        self.transcript.absorb_scalars(label, message);
        Ok(message.to_vec())
    }

    fn receive_opening_value(&mut self) -> Result<F, ArgumentError> {
        let message = self.receive(OPENING_VALUE, 1)?;
        Ok(message.first().copied().unwrap_or(F::ZERO))
    }

    fn challenge(&mut self, label: &'static str) -> F {
        self.transcript.challenge(label)
    }

    fn publish(&self, value: F) -> F {
        value
    }

    fn add(&self, a: F, b: &F) -> F {
        a + b
    }

    fn scale(&self, a: &F, c: &F) -> F {
        *a * c
    }

    fn check_zero(&mut self, check: Check, products: &[(F, F)], linear: &F) -> Result<(), ArgumentError> {
        let sum = products.iter().fold(*linear, |sum, (a, b)| sum + *a * b);
        #[cfg(any(test, feature = "attack"))]
        if self.skipped.contains(&check) {
            return Ok(());
        }
        if sum == F::ZERO { Ok(()) } else { Err(ArgumentError::Check(check)) }
    }
}

/// Label of the message that carries the opened value.
pub const OPENING_VALUE: &str = "opening value";

/// An algebra without values, hidden or public: it records the length of every message, so that sizes follow from the
/// program alone, and computes nothing.
#[derive(Debug, Default)]
pub struct Outline {
    /// Length of each message, in order.
    pub lengths: Vec<usize>,
}

impl Algebra for Outline {
    type Public = Unvalued;
    type Hidden = ();

    fn receive(&mut self, _label: &'static str, length: usize) -> Result<Vec<()>, ArgumentError> {
        self.lengths.push(length);
        Ok(vec![(); length])
    }
    fn receive_opening_value(&mut self) -> Result<(), ArgumentError> {
        self.lengths.push(1);
        Ok(())
    }
    fn challenge(&mut self, _label: &'static str) -> Unvalued {
        Unvalued
    }
    fn publish(&self, _value: Unvalued) {}
    fn add(&self, _a: (), _b: &()) {}
    fn scale(&self, _a: &(), _c: &Unvalued) {}
    fn check_zero(
        &mut self,
        _check: Check,
        _products: &[((), ())],
        _linear: &(),
    ) -> Result<(), ArgumentError> {
        Ok(())
    }
}
