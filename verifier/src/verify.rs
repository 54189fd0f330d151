//! `verify`: cheap checks first, group work last.

use std::borrow::Cow;

use weightproof_circuits::algebra::{ArgumentError, Powers};
use weightproof_circuits::argument::{self, OpeningClaim};
use weightproof_circuits::batches::{BatchError, MAXIMUM_ROWS, indices};
use weightproof_circuits::curve::{Generators, POINT_BYTES, point_to_bytes};
use weightproof_circuits::encoding::DecodeError;
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::merkle::{self, MerkleError};
use weightproof_circuits::parameters::{ApplyError, Parameters, ShapeError};
use weightproof_circuits::program::Program;
use weightproof_circuits::seal::equation::GroupEquation;
use weightproof_circuits::seal::sigma::{self, Committed};
use weightproof_circuits::statement::{Statement, Unsupported};

use crate::binding;
use crate::contribution::{Contribution, ContributionError, Proof, ProofShape};
use crate::opening::{self, Commitments, OpeningStatement};
use crate::{public, threads};

/// A value that a proof vouches for. Only [`verify`] makes one.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    value: T,
    program: Program,
    update: Parameters,
    proof_bytes: usize,
}

impl<T> Verified<T> {
    /// The verified value.
    pub fn get(&self) -> &T {
        &self.value
    }
    /// The program that ran.
    pub fn program(&self) -> &Program {
        &self.program
    }
    /// The update that it yields.
    pub fn update(&self) -> &Parameters {
        &self.update
    }
    /// Bytes of statement and proof; the update travels beside them.
    pub fn proof_bytes(&self) -> usize {
        self.proof_bytes
    }
    /// The base model with the update applied.
    ///
    /// # Errors
    /// When a weight leaves 64 bits.
    pub fn apply(&self, base: &Parameters) -> Result<Parameters, ApplyError> {
        base.checked_add(&self.update)
    }
}

/// Why a contribution is refused. Nothing in it reveals a secret: the verifier has none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The file cannot be read.
    #[error("{0}")]
    Contribution(#[from] ContributionError),
    /// The proof's bytes cannot be read.
    #[error("{0}")]
    Proof(#[from] DecodeError),
    /// Another version, mode or seal.
    #[error("{0}")]
    Unsupported(#[from] Unsupported),
    /// A digest of the statement is not that of what travels with it.
    #[error(
        "E201: expected the statement's {field} to be the digest of the {field} in the file, found another"
    )]
    Mismatch {
        /// The field.
        field: &'static str,
    },
    /// The base model is not the one that the statement names.
    #[error(
        "E203: expected the base model {expected}, found {found}; pass the model that the contribution started from"
    )]
    Base {
        /// Digest in the statement, hexadecimal.
        expected: String,
        /// Digest of the model given, hexadecimal.
        found: String,
    },
    /// The base model does not fit the program.
    #[error("E203: {0}")]
    Shape(#[from] ShapeError),
    /// The batches cannot be drawn.
    #[error("E204: {0}")]
    Batch(#[from] BatchError),
    /// The rows in use are not those of the dataset.
    #[error("E206: dataset rows are not under the registered root: {0}")]
    Membership(MerkleError),
    /// The argument's shape is wrong.
    #[error("{code}: {0}", code = .0.code())]
    Argument(ArgumentError),
    /// The seal does not hold: some check of the argument is false, or a message was altered.
    #[error(
        "E307: the seal does not hold: expected every check of the program to be satisfied by the committed run, found one that is not"
    )]
    Seal,
    /// The opening does not hold.
    #[error(
        "E305: the opening does not hold: expected the committed rows to take the sealed value, found another"
    )]
    Opening,
    /// Fewer generators than the program needs.
    #[error(
        "E308: expected at least {expected_rows} row and {expected_messages} message generators, found {rows} and {messages}; derive them for this program"
    )]
    Generators {
        /// Rows needed.
        expected_rows: usize,
        /// Messages needed.
        expected_messages: usize,
        /// Rows given.
        rows: usize,
        /// Messages given.
        messages: usize,
    },
}

impl VerifyError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Contribution(error) => error.code(),
            Self::Proof(error) => error.code,
            Self::Unsupported(error) => error.code(),
            Self::Mismatch { .. } => ErrorCode::E201,
            Self::Base { .. } | Self::Shape(_) => ErrorCode::E203,
            Self::Batch(_) => ErrorCode::E204,
            Self::Membership(_) => ErrorCode::E206,
            Self::Argument(error) => error.code(),
            Self::Seal => ErrorCode::E307,
            Self::Opening => ErrorCode::E305,
            Self::Generators { .. } => ErrorCode::E308,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Verifies a contribution against the model it started from, deriving the generators (seconds for large programs).
///
/// # Errors
/// See [`VerifyError`]; every refusal has a code.
pub fn verify(bytes: &[u8], base: &Parameters) -> Result<Verified<Statement>, VerifyError> {
    verify_contribution(Contribution::decode(bytes)?, base, |rows, messages| {
        Cow::Owned(Generators::derive(rows, messages))
    })
}

/// Verifies a contribution with generators that the caller derived or cached. A cache that somebody else could write
/// must be checked first: see [`Generators::are_pinned`].
///
/// # Errors
/// See [`VerifyError`]; every refusal has a code.
pub fn verify_with(
    bytes: &[u8],
    base: &Parameters,
    generators: &Generators,
) -> Result<Verified<Statement>, VerifyError> {
    verify_contribution(Contribution::decode(bytes)?, base, |_, _| Cow::Borrowed(generators))
}

fn verify_contribution<'a>(
    contribution: Contribution,
    base: &Parameters,
    generators: impl FnOnce(usize, usize) -> Cow<'a, Generators>,
) -> Result<Verified<Statement>, VerifyError> {
    let Contribution { program, update, statement, proof: proof_bytes } = contribution;

    // The statement is about what travels with it, and about the model at hand.
    statement.check_supported()?;
    if program.digest() != statement.program_digest {
        return Err(VerifyError::Mismatch { field: "program" });
    }
    let (base_digest, update_digest) = threads::join(|| base.digest(&program), || update.digest(&program));
    if update_digest? != statement.update_digest {
        return Err(VerifyError::Mismatch { field: "update" });
    }
    let base_digest = base_digest?;
    if base_digest != statement.model_digest {
        return Err(VerifyError::Base { expected: hex(&statement.model_digest), found: hex(&base_digest) });
    }

    // The shape of the proof follows from the program and the rows that the beacon chose.
    let layout = Layout::new(&program);
    check_least_length(&layout, statement.dataset_rows, proof_bytes.len())?;
    let chosen = indices(&statement.batch_seed(), statement.dataset_rows, program.steps(), program.batch())?;
    let (distinct, places) = binding::distinct_rows(&chosen);
    let membership =
        merkle::proof_length(statement.dataset_rows, &distinct).map_err(VerifyError::Membership)?;
    let shape = ProofShape::new(&layout, &program, distinct.len(), membership);
    let proof = Proof::decode(&proof_bytes, &shape)?;
    let encodings: Vec<[u8; 32]> = proof.dataset_rows.iter().map(point_to_bytes).collect();
    let opened: Vec<(u64, &[u8])> =
        distinct.iter().zip(&encodings).map(|(index, bytes)| (*index, bytes.as_slice())).collect();
    merkle::verify(&statement.dataset_root, statement.dataset_rows, &opened, &proof.membership)
        .map_err(VerifyError::Membership)?;

    // The argument over committed messages; its checks wait for the seal.
    let mut transcript = binding::transcript(&statement, &proof.witness_rows, &proof.dataset_rows);
    let mut algebra = Committed::new(&mut transcript, &proof.messages);
    let OpeningClaim { point, coefficients, .. } =
        argument::check(&mut algebra, &layout, &program).map_err(VerifyError::Argument)?;
    let system = algebra.finish().map_err(VerifyError::Argument)?;
    let seal = sigma::verify(&mut transcript, &system, &proof.messages, &proof.seal)
        .map_err(|_| VerifyError::Seal)?;
    let public_share = public::share(&layout, &program, base, &update, &point, &coefficients);
    let [witness_coefficient, data_coefficient, ..] = coefficients;
    let opening_statement = OpeningStatement {
        layout: &layout,
        point: &point,
        witness_coefficient,
        data_coefficient,
        public_share,
    };
    let opening =
        opening::verify(&mut transcript, opening_statement, &proof.opening).ok_or(VerifyError::Opening)?;

    let (rows, messages) =
        (1usize << layout.column_variables, shape.messages.iter().max().copied().unwrap_or(0));
    let generators = generators(rows, messages);
    let generators = generators.as_ref();
    if generators.rows().len() < rows || generators.messages().len() < messages {
        return Err(VerifyError::Generators {
            expected_rows: rows,
            expected_messages: messages,
            rows: generators.rows().len(),
            messages: generators.messages().len(),
        });
    }

    // All group equations under powers of one last challenge. Only when their sum is not zero are they told apart.
    let value = proof.messages.last().copied().ok_or(VerifyError::Seal)?;
    let commitments =
        Commitments { witness: &proof.witness_rows, data: &proof.dataset_rows, places: &places, value };
    let batching = transcript.challenge("equations");
    let mut powers = Powers::new(batching);
    let mut equation = GroupEquation::new(rows, messages);
    seal.add_to(&mut equation, &mut powers).map_err(|_| VerifyError::Seal)?;
    let seal_equation = equation.clone();
    opening.add_to(&mut equation, commitments, &mut powers).ok_or(VerifyError::Opening)?;
    if !holds(&equation, generators) {
        return Err(if holds(&seal_equation, generators) { VerifyError::Opening } else { VerifyError::Seal });
    }
    let proof_bytes = statement.encode().len() + proof_bytes.len();
    Ok(Verified { value: statement, program, update, proof_bytes })
}

/// Refuses a proof that has no room for its rows before the batches are drawn and the messages counted: a few hundred
/// bytes may name a program of 2^20 examples. The examples are permutations of the rows, so as many rows as possible are
/// distinct.
fn check_least_length(layout: &Layout, dataset_rows: u64, found: usize) -> Result<(), VerifyError> {
    // Other numbers of rows are refused where the batches are drawn.
    if !(1..=MAXIMUM_ROWS).contains(&dataset_rows) {
        return Ok(());
    }
    let examples = layout.steps.saturating_mul(layout.batch);
    let distinct = usize::try_from(dataset_rows).unwrap_or(usize::MAX).min(examples);
    let least = POINT_BYTES.saturating_mul(distinct.saturating_add(1 << layout.matrix_row_variables()));
    if found < least {
        return Err(VerifyError::Proof(DecodeError {
            code: ErrorCode::E106,
            offset: found,
            what: "proof",
            expected: format!("at least {least} bytes for this program"),
            found: found.to_string(),
        }));
    }
    Ok(())
}

/// One multi-exponentiation, in two halves where threads are to be had.
fn holds(equation: &GroupEquation, generators: &Generators) -> bool {
    use ark_ff::Zero;
    use weightproof_circuits::curve::multi_exponentiation;
    let (bases, scalars) = equation.terms(generators);
    let middle = bases.len() / 2;
    let (low, high) = threads::join(
        || multi_exponentiation(&bases[..middle], &scalars[..middle]),
        || multi_exponentiation(&bases[middle..], &scalars[middle..]),
    );
    (low + high).is_zero()
}
