//! The sigma seal: every message travels as a Pedersen commitment, and one Σ-protocol proves all checks
//! (specs/protocol/sigma.md).
//!
//! With `x` all hidden values and `C_j = ⟨x_j, M⟩ + ρ_j·H` (the opening value: `y·V + ρ·H`), the checks are linear forms
//! `Lᵢ(x) = 0` and quadratic forms `Qᵢ(x) = 0` with public coefficients.
//!
//! 1. All `C_j` are absorbed as they are received; draw `τ`. `L = Σ τⁱ·Lᵢ`, `Q = Σ τⁱ·Qᵢ`.
//! 2. The prover sends masks `S_j = ⟨s_j, M⟩ + σ_j·H`, cross terms `T₀`, `T₁` (committed on `M₀`), and `t = L̇(s)`, where
//!    `L̇` is `L` without its constant.
//! 3. Draw `e`; the prover sends `z = s + e·x`, `ζ_j = σ_j + e·ρ_j`, and the cross terms' blinding `ϑ = ϑ₀ + e·ϑ₁`.
//! 4. `⟨z_j, M⟩ + ζ_j·H = S_j + e·C_j` for every `j`.
//! 5. `L̇(z) + e·L(0) = t`.
//! 6. With every form `f` homogenised as `f̂ = ḟ(z) + e·f(0)`: `Σ τⁱ·(Σ â·b̂ + e·ĉ)` opens `T₀ + e·T₁` with `ϑ`.

use ark_ff::{AdditiveGroup, Field};

use crate::algebra::{Algebra, ArgumentError, Check, OPENING_VALUE, Powers};
use crate::curve::Point;
use crate::field::F;
use crate::seal::equation::GroupEquation;
use crate::transcript::Transcript;

/// `constant + Σ coefficient·x[index]` over the hidden values; an index may occur more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinearForm {
    /// Terms.
    pub terms: Vec<(usize, F)>,
    /// Constant.
    pub constant: F,
}

impl LinearForm {
    /// The value without the constant.
    pub fn linear_part(&self, values: &[F]) -> F {
        self.terms
            .iter()
            .map(|(index, coefficient)| values.get(*index).copied().unwrap_or(F::ZERO) * coefficient)
            .sum()
    }

    /// The value at `(values, scale)` of the homogenised form.
    pub fn homogenised(&self, values: &[F], scale: &F) -> F {
        self.linear_part(values) + self.constant * scale
    }
}

/// A check `Σ a·b + linear = 0` over hidden values.
#[derive(Clone, Debug)]
pub struct QuadraticCheck {
    /// Which check of the argument it is.
    pub check: Check,
    /// Products.
    pub products: Vec<(LinearForm, LinearForm)>,
    /// Linear rest.
    pub linear: LinearForm,
}

/// Which generators a message is committed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// The message generators.
    Message,
    /// The value generator: the opened value.
    Value,
}

/// One committed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedMessage {
    /// Index of its first value among all hidden values.
    pub offset: usize,
    /// Number of values.
    pub length: usize,
    /// Generators.
    pub kind: MessageKind,
}

/// What a run of the argument leaves for the Σ-protocol: messages and checks.
#[derive(Clone, Debug, Default)]
pub struct System {
    /// Messages in order.
    pub messages: Vec<CommittedMessage>,
    /// Number of hidden values.
    pub values: usize,
    /// Linear checks in order.
    pub linear: Vec<(Check, LinearForm)>,
    /// Quadratic checks in order.
    pub quadratic: Vec<QuadraticCheck>,
}

impl System {
    /// The first check that `values` do not satisfy: the prover's self-check before it seals.
    pub fn violated(&self, values: &[F]) -> Option<Check> {
        let linear = self.linear.iter().find(|(_, form)| form.homogenised(values, &F::ONE) != F::ZERO);
        let quadratic = self.quadratic.iter().find(|check| {
            let products: F = check
                .products
                .iter()
                .map(|(a, b)| a.homogenised(values, &F::ONE) * b.homogenised(values, &F::ONE))
                .sum();
            products + check.linear.homogenised(values, &F::ONE) != F::ZERO
        });
        linear.map(|(check, _)| *check).or(quadratic.map(|q| q.check))
    }
}

/// The committed algebra: hidden values are linear forms in committed messages.
pub struct Committed<'a> {
    transcript: &'a mut Transcript,
    commitments: core::slice::Iter<'a, Point>,
    system: System,
}

impl<'a> Committed<'a> {
    /// Reads commitments in order under a transcript that is bound to the statement.
    pub fn new(transcript: &'a mut Transcript, commitments: &'a [Point]) -> Self {
        Self { transcript, commitments: commitments.iter(), system: System::default() }
    }

    /// Refuses commitments that nothing has read; returns the system to prove.
    pub fn finish(self) -> Result<System, ArgumentError> {
        match self.commitments.len() {
            0 => Ok(self.system),
            found => Err(ArgumentError::Shape { label: "end", expected: 0, found }),
        }
    }

    fn receive_on(
        &mut self,
        label: &'static str,
        length: usize,
        kind: MessageKind,
    ) -> Result<Vec<LinearForm>, ArgumentError> {
        let commitment =
            self.commitments.next().ok_or(ArgumentError::Shape { label, expected: length, found: 0 })?;
        self.transcript.absorb_points(label, core::slice::from_ref(commitment));
        let offset = self.system.values;
        self.system.messages.push(CommittedMessage { offset, length, kind });
        self.system.values += length;
        Ok((offset..offset + length)
            .map(|index| LinearForm { terms: vec![(index, F::ONE)], constant: F::ZERO })
            .collect())
    }
}

impl Algebra for Committed<'_> {
    type Public = F;
    type Hidden = LinearForm;

    fn receive(&mut self, label: &'static str, length: usize) -> Result<Vec<LinearForm>, ArgumentError> {
        self.receive_on(label, length, MessageKind::Message)
    }

    fn receive_opening_value(&mut self) -> Result<LinearForm, ArgumentError> {
        let mut forms = self.receive_on(OPENING_VALUE, 1, MessageKind::Value)?;
        Ok(forms.pop().unwrap_or_default())
    }

    fn challenge(&mut self, label: &'static str) -> F {
        self.transcript.challenge(label)
    }

    fn publish(&self, value: F) -> LinearForm {
        LinearForm { terms: Vec::new(), constant: value }
    }

    fn add(&self, mut a: LinearForm, b: &LinearForm) -> LinearForm {
        a.terms.extend_from_slice(&b.terms);
        a.constant += b.constant;
        a
    }

    fn scale(&self, a: &LinearForm, c: &F) -> LinearForm {
        LinearForm {
            terms: a.terms.iter().map(|(index, coefficient)| (*index, *coefficient * c)).collect(),
            constant: a.constant * c,
        }
    }

    fn check_zero(
        &mut self,
        check: Check,
        products: &[(LinearForm, LinearForm)],
        linear: &LinearForm,
    ) -> Result<(), ArgumentError> {
        if products.is_empty() {
            self.system.linear.push((check, linear.clone()));
        } else {
            self.system.quadratic.push(QuadraticCheck {
                check,
                products: products.to_vec(),
                linear: linear.clone(),
            });
        }
        Ok(())
    }
}

/// The Σ-protocol's messages after the commitments; lengths follow from the [`System`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigmaProof {
    /// `S_j`.
    pub masks: Vec<Point>,
    /// `T₀`, `T₁`.
    pub cross_terms: [Point; 2],
    /// `t`.
    pub linear_mask: F,
    /// `z`, all messages one after another.
    pub responses: Vec<F>,
    /// `ζ_j`.
    pub blindings: Vec<F>,
    /// `ϑ`.
    pub cross_blinding: F,
}

/// Step 1: the batching challenge.
pub fn draw_batching(transcript: &mut Transcript) -> F {
    transcript.challenge("tau")
}

/// Steps 2 and 3: absorbs the first message and draws `e`.
pub fn draw_challenge(
    transcript: &mut Transcript,
    masks: &[Point],
    cross_terms: &[Point; 2],
    linear_mask: &F,
) -> F {
    transcript.absorb_points("masks", masks);
    transcript.absorb_points("cross terms", cross_terms);
    transcript.absorb_scalars("linear mask", core::slice::from_ref(linear_mask));
    transcript.challenge("e")
}

/// Step 3: absorbs the responses.
pub fn absorb_responses(transcript: &mut Transcript, responses: &[F], blindings: &[F], cross: &F) {
    transcript.absorb_scalars("responses", responses);
    transcript.absorb_scalars("blindings", blindings);
    transcript.absorb_scalars("cross blinding", core::slice::from_ref(cross));
}

/// Why a seal was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// A list has the wrong length.
    Shape,
    /// The linear checks do not hold.
    Linear,
}

/// The seal's group equations, waiting for their weights.
#[derive(Clone, Debug)]
pub struct PendingSeal<'a> {
    system: &'a System,
    commitments: &'a [Point],
    proof: &'a SigmaProof,
    challenge: F,
    quadratic: F,
}

/// Steps 1–3 and 5, and the field side of 6. The group equations of 4 and 6 remain pending.
pub fn verify<'a>(
    transcript: &mut Transcript,
    system: &'a System,
    commitments: &'a [Point],
    proof: &'a SigmaProof,
) -> Result<PendingSeal<'a>, SealError> {
    let count = system.messages.len();
    if commitments.len() != count
        || proof.masks.len() != count
        || proof.blindings.len() != count
        || proof.responses.len() != system.values
    {
        return Err(SealError::Shape);
    }
    let batching = draw_batching(transcript);
    let challenge = draw_challenge(transcript, &proof.masks, &proof.cross_terms, &proof.linear_mask);
    absorb_responses(transcript, &proof.responses, &proof.blindings, &proof.cross_blinding);
    let z = &proof.responses;
    let mut powers = Powers::new(batching);
    let linear: F =
        system.linear.iter().map(|(_, form)| powers.draw() * form.homogenised(z, &challenge)).sum();
    if linear != proof.linear_mask {
        return Err(SealError::Linear);
    }
    let quadratic = quadratic_value(system, batching, z, &challenge);
    Ok(PendingSeal { system, commitments, proof, challenge, quadratic })
}

/// `Σ τⁱ·(Σ â·b̂ + e·ĉ)` at `(values, scale)`.
pub fn quadratic_value(system: &System, batching: F, values: &[F], scale: &F) -> F {
    let mut powers = Powers::new(batching);
    system
        .quadratic
        .iter()
        .map(|check| {
            let products: F = check
                .products
                .iter()
                .map(|(a, b)| a.homogenised(values, scale) * b.homogenised(values, scale))
                .sum();
            powers.draw() * (products + check.linear.homogenised(values, scale) * scale)
        })
        .sum()
}

impl PendingSeal<'_> {
    /// Adds the equations of steps 4 and 6, each under a power of a challenge drawn after the whole proof.
    ///
    /// # Errors
    /// [`SealError::Shape`] when the equation holds fewer message generators than the longest message: a response
    /// without a generator would be bound by nothing.
    pub fn add_to(&self, equation: &mut GroupEquation, weights: &mut Powers<F>) -> Result<(), SealError> {
        let lists = self.proof.masks.iter().zip(self.commitments).zip(&self.proof.blindings);
        for (message, ((mask, commitment), blinding)) in self.system.messages.iter().zip(lists) {
            let weight = weights.draw();
            let responses = self
                .proof
                .responses
                .get(message.offset..message.offset + message.length)
                .ok_or(SealError::Shape)?;
            match message.kind {
                MessageKind::Message => {
                    let generators = equation.messages.get_mut(..message.length).ok_or(SealError::Shape)?;
                    for (coefficient, z) in generators.iter_mut().zip(responses) {
                        *coefficient += weight * z;
                    }
                }
                MessageKind::Value => match responses {
                    [z] => equation.value += weight * z,
                    _ => return Err(SealError::Shape),
                },
            }
            equation.blinding += weight * blinding;
            equation.add(-weight, *mask);
            equation.add(-weight * self.challenge, *commitment);
        }
        let weight = weights.draw();
        *equation.messages.first_mut().ok_or(SealError::Shape)? += weight * self.quadratic;
        equation.blinding += weight * self.proof.cross_blinding;
        let [first, second] = self.proof.cross_terms;
        equation.add(-weight, first);
        equation.add(-weight * self.challenge, second);
        Ok(())
    }
}
