//! `verify`: cheap checks first, group work last.

use std::collections::BTreeMap;
use std::sync::Arc;

use ark_ff::AdditiveGroup;
use sha2::Digest;
use weightproof_circuits::algebra::{ArgumentError, Powers};
use weightproof_circuits::argument::{self, OpeningClaim};
use weightproof_circuits::batches::{BatchError, MAXIMUM_ROWS, indices};
use weightproof_circuits::curve::{Generators, Point, point_to_bytes};
use weightproof_circuits::encoding::{DecodeError, tagged_hash};
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::field::{F, to_bytes};
use weightproof_circuits::layout::Layout;
use weightproof_circuits::merkle::{self, MerkleError, MultiProof};
use weightproof_circuits::parameters::{ApplyError, Parameters, ShapeError};
use weightproof_circuits::pasta::digest_limbs;
use weightproof_circuits::program::Program;
use weightproof_circuits::seal::equation::GroupEquation;
use weightproof_circuits::seal::halo2::key::{self, KeyError};
use weightproof_circuits::seal::halo2::verify::{PendingHalo2, Sum};
use weightproof_circuits::seal::halo2::{self, Exposed};
use weightproof_circuits::seal::sigma::{self, Committed};
use weightproof_circuits::statement::{SEAL_HALO2, Statement, Unsupported};
use weightproof_circuits::transcript::Transcript;

use crate::contribution::{
    CompactProof, CompactShape, Contribution, ContributionError, Proof, ProofShape, check_length,
};
use crate::keys::{Keys, SealKey};
use crate::opening::{self, Commitments, OpeningProof, OpeningStatement, PendingOpening};
use crate::{binding, threads};

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
    /// The halo2 seal's key is not at hand.
    #[error(
        "E308: expected the halo2 seal's key of program {program}, found none; build it from the program"
    )]
    KeyMissing {
        /// Digest of the program, hexadecimal.
        program: String,
    },
    /// The statement names another key than the program has.
    #[error("E308: expected the statement to name the program's halo2 key {expected}, found {found}")]
    KeyMismatch {
        /// Digest of the key built from the program, hexadecimal.
        expected: String,
        /// Digest in the statement, hexadecimal.
        found: String,
    },
    /// The halo2 seal's key cannot be built.
    #[error("{0}")]
    Key(#[from] KeyError),
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
            Self::Key(KeyError::Size(_)) => ErrorCode::E207,
            Self::KeyMissing { .. } | Self::KeyMismatch { .. } | Self::Key(_) | Self::Generators { .. } => {
                ErrorCode::E308
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Verifies a contribution against the model it started from, deriving everything that it needs: seconds for large
/// programs, and for the halo2 seal up to a minute, since halo2's parameters are derived too.
///
/// # Errors
/// See [`VerifyError`]; every refusal has a code.
pub fn verify(bytes: &[u8], base: &Parameters) -> Result<Verified<Statement>, VerifyError> {
    let key;
    let pending = match Prepared::new(bytes, base)?.check(base, None) {
        // Everything that needs no key has been checked.
        Err(VerifyError::KeyMissing { .. }) => {
            let prepared = Prepared::new(bytes, base)?;
            let program = &prepared.contribution.program;
            let (_, size) = key::shape(program).map_err(KeyError::from)?;
            key = SealKey::new(program, Arc::new(key::Parameters::new(size.k)))?;
            prepared.check(base, Some(&key))?
        }
        checked => checked?,
    };
    let (rows, messages) = pending.generators;
    pending.finish(&Generators::derive(rows, messages))
}

/// Verifies a contribution with generators and keys that the caller derived or cached. A cache that somebody else could
/// write must be checked first: see [`Generators::are_pinned`] and
/// [`read_parameters`](weightproof_circuits::seal::halo2::key::read_parameters).
///
/// # Errors
/// See [`VerifyError`]; every refusal has a code. [`VerifyError::Generators`] and [`VerifyError::KeyMissing`] say what to
/// derive, after everything cheap has been checked.
pub fn verify_with<'a>(
    bytes: &[u8],
    base: &Parameters,
    keys: impl Into<Keys<'a>>,
) -> Result<Verified<Statement>, VerifyError> {
    let keys = keys.into();
    let prepared = Prepared::new(bytes, base)?;
    let key = keys.find(&prepared.contribution.statement.program_digest);
    prepared.check(base, key)?.finish(keys.generators)
}

/// Verifies many contributions, each against its own base model, in one multi-exponentiation for each size of circuit.
/// Their verdicts come in order, each as [`verify_with`] gives it: when the sum is not zero they are told apart.
///
/// The equations are added under weights hashed from all proofs, so no proof can be made to cancel another.
pub fn verify_batch<'a>(
    items: &[(&[u8], &Parameters)],
    keys: impl Into<Keys<'a>>,
) -> Vec<Result<Verified<Statement>, VerifyError>> {
    let keys = keys.into();
    let checked = threads::map_few(items, |(bytes, base)| {
        let prepared = Prepared::new(bytes, base)?;
        let key = keys.find(&prepared.contribution.statement.program_digest);
        let pending = prepared.check(base, key)?;
        pending.check_generators(keys.generators)?;
        Ok(pending)
    });
    let hold = batch_holds(checked.iter().flatten(), keys.generators);
    let finish =
        |pending: Pending<'_>| if hold { Ok(pending.accept()) } else { pending.finish(keys.generators) };
    checked.into_iter().map(|pending| pending.and_then(finish)).collect()
}

/// Whether the weighted sum of all proofs' equations is zero.
fn batch_holds<'p, 'a: 'p>(
    pending: impl Iterator<Item = &'p Pending<'a>> + Clone,
    generators: &Generators,
) -> bool {
    let mut seeds = tagged_hash("weightproof batch");
    for proof in pending.clone() {
        seeds.update(to_bytes(&proof.challenge));
    }
    let mut transcript = Transcript::new("weightproof batch v1", &seeds.finalize().into());
    let mut equation = GroupEquation::new(0, 0);
    let mut sums: BTreeMap<u32, Sum<'a>> = BTreeMap::new();
    for proof in pending {
        equation.add_scaled(&transcript.challenge("opening"), &proof.equation);
        if let Some((parameters, halo2)) = &proof.halo2 {
            let sum = sums.entry(parameters.k()).or_insert_with(|| Sum::new(parameters));
            sum.add(&transcript.challenge("halo2"), halo2);
        }
    }
    match sums.pop_first() {
        None => holds(&equation, generators),
        Some((_, mut sum)) => {
            sum.add_equation(&equation, generators);
            sum.is_zero() && sums.into_values().all(Sum::is_zero)
        }
    }
}

/// A contribution whose statement is about what travels with it, and about the model at hand.
struct Prepared {
    contribution: Contribution,
    layout: Layout,
    /// Lengths of the sealed messages; none under the halo2 seal.
    messages: Vec<usize>,
    distinct: Vec<u64>,
    places: Vec<usize>,
    membership: usize,
}

impl Prepared {
    fn new(bytes: &[u8], base: &Parameters) -> Result<Self, VerifyError> {
        let contribution = Contribution::decode(bytes)?;
        let Contribution { program, update, statement, proof } = &contribution;
        statement.check_supported()?;
        if program.digest() != statement.program_digest {
            return Err(VerifyError::Mismatch { field: "program" });
        }

        // What a proof of this program can measure comes before everything that costs time: a few hundred bytes may name
        // a program of 2^20 examples.
        let mut layout = Layout::new(program);
        if statement.seal == SEAL_HALO2 {
            layout = layout.masked();
        }
        let messages = check_proof_length(&layout, program, statement, proof)?;

        let (base_digest, update_digest) = threads::join(|| base.digest(program), || update.digest(program));
        if update_digest? != statement.update_digest {
            return Err(VerifyError::Mismatch { field: "update" });
        }
        let base_digest = base_digest?;
        if base_digest != statement.model_digest {
            return Err(VerifyError::Base {
                expected: hex(&statement.model_digest),
                found: hex(&base_digest),
            });
        }

        // The shape of the proof follows from the program, the seal and the rows that the beacon chose.
        let chosen =
            indices(&statement.batch_seed(), statement.dataset_rows, program.steps(), program.batch())?;
        let (distinct, places) = binding::distinct_rows(&chosen);
        let membership =
            merkle::proof_length(statement.dataset_rows, &distinct).map_err(VerifyError::Membership)?;
        Ok(Self { contribution, layout, messages, distinct, places, membership })
    }

    /// Whether the rows in use are those of the dataset.
    fn check_membership(&self, rows: &[Point], membership: &MultiProof) -> Result<(), VerifyError> {
        let statement = &self.contribution.statement;
        let encodings: Vec<[u8; 32]> = rows.iter().map(point_to_bytes).collect();
        let opened: Vec<(u64, &[u8])> =
            self.distinct.iter().zip(&encodings).map(|(index, bytes)| (*index, bytes.as_slice())).collect();
        merkle::verify(&statement.dataset_root, statement.dataset_rows, &opened, membership)
            .map_err(VerifyError::Membership)
    }

    /// Everything but the group equations.
    fn check<'a>(self, base: &Parameters, key: Option<&'a SealKey>) -> Result<Pending<'a>, VerifyError> {
        match self.contribution.statement.seal {
            SEAL_HALO2 => self.check_halo2(base, key),
            _ => self.check_sigma(base),
        }
    }

    fn check_sigma<'a>(self, base: &Parameters) -> Result<Pending<'a>, VerifyError> {
        let (layout, program) = (&self.layout, &self.contribution.program);
        let messages = self.messages.clone();
        let shape = ProofShape::with_messages(layout, messages, self.distinct.len(), self.membership);
        let proof = Proof::decode(&self.contribution.proof, &shape)?;
        self.check_membership(&proof.dataset_rows, &proof.membership)?;

        // The argument over committed messages; its checks wait for the seal.
        let mut transcript =
            binding::transcript(&self.contribution.statement, &proof.witness_rows, &proof.dataset_rows);
        let mut algebra = Committed::new(&mut transcript, &proof.messages);
        let OpeningClaim { point, coefficients, .. } =
            argument::check(&mut algebra, layout, program).map_err(VerifyError::Argument)?;
        let system = algebra.finish().map_err(VerifyError::Argument)?;
        let seal = sigma::verify(&mut transcript, &system, &proof.messages, &proof.seal)
            .map_err(|_| VerifyError::Seal)?;
        let claim = Opened { point: &point, coefficients: &coefficients, value: F::ZERO };
        let opening = self.check_opening(base, &mut transcript, claim, &proof.opening)?;

        // All group equations under powers of one last challenge.
        let generators =
            (1usize << layout.column_variables, shape.messages.iter().max().copied().unwrap_or(0));
        let challenge = transcript.challenge("equations");
        let mut powers = Powers::new(challenge);
        let mut equation = GroupEquation::new(generators.0, generators.1);
        seal.add_to(&mut equation, &mut powers).map_err(|_| VerifyError::Seal)?;
        let seal = equation.clone();
        let commitments = Commitments {
            witness: &proof.witness_rows,
            data: &proof.dataset_rows,
            places: &self.places,
            mask: None,
            value: proof.messages.last().copied().ok_or(VerifyError::Seal)?,
        };
        opening.add_to(&mut equation, commitments, &mut powers).ok_or(VerifyError::Opening)?;
        Ok(Pending { contribution: self.contribution, generators, seal, equation, halo2: None, challenge })
    }

    fn check_halo2<'a>(
        self,
        base: &Parameters,
        key: Option<&'a SealKey>,
    ) -> Result<Pending<'a>, VerifyError> {
        let (layout, statement) = (&self.layout, &self.contribution.statement);
        let k = match key {
            Some(SealKey { key, .. }) => {
                if key.program_digest != statement.program_digest || key.digest != statement.seal_key_digest {
                    let (expected, found) = (hex(&key.digest), hex(&statement.seal_key_digest));
                    return Err(VerifyError::KeyMismatch { expected, found });
                }
                key.size.k
            }
            // Laying out the circuit is dear: until the rest has been checked, the size that the proof claims will do.
            None => self.claimed_size(),
        };
        let shape =
            CompactShape { layout, k, dataset_rows: self.distinct.len(), membership: self.membership };
        let proof = CompactProof::decode(&self.contribution.proof, &shape)?;
        self.check_membership(&proof.dataset_rows, &proof.membership)?;
        // A missing key is the dearest thing to ask for, so it comes last.
        let Some(SealKey { parameters, key }) = key else {
            let k = key::shape(&self.contribution.program).map_err(KeyError::from)?.1.k;
            let length = CompactShape { k, ..shape }.bytes();
            check_length(&self.contribution.proof, &(length..=length))?;
            return Err(VerifyError::KeyMissing { program: hex(&statement.program_digest) });
        };

        // The circuit ran the checks; what it shows of them is bound to the commitments by the digest.
        let mut transcript =
            binding::compact_transcript(statement, &proof.witness_rows, &proof.mask, &proof.dataset_rows);
        let digest = digest_limbs(&transcript.digest());
        let halo2 = halo2::verify::verify(key, parameters, &digest, &proof.exposed, &proof.seal)
            .ok_or(VerifyError::Seal)?;
        binding::absorb_seal(&mut transcript, &proof.exposed, &proof.seal);
        let Exposed { point, coefficients, value } = &proof.exposed;
        let claim = Opened { point, coefficients, value: *value };
        let opening = self.check_opening(base, &mut transcript, claim, &proof.opening)?;
        let generators = (1usize << layout.column_variables, 0);
        let challenge = transcript.challenge("equations");
        let mut equation = GroupEquation::new(generators.0, 0);
        let commitments = Commitments {
            witness: &proof.witness_rows,
            data: &proof.dataset_rows,
            places: &self.places,
            mask: Some(proof.mask),
            // The value is public, and taken off with the public polynomials' share.
            value: Point::identity(),
        };
        opening
            .add_to(&mut equation, commitments, &mut Powers::new(challenge))
            .ok_or(VerifyError::Opening)?;
        Ok(Pending {
            contribution: self.contribution,
            generators,
            seal: GroupEquation::new(0, 0),
            equation,
            halo2: Some((parameters, halo2)),
            challenge,
        })
    }

    /// The size of circuit whose proofs are as long as this one; the smallest when there is none.
    fn claimed_size(&self) -> u32 {
        let (layout, membership) = (&self.layout, self.membership);
        let length = |k| CompactShape { layout, k, dataset_rows: self.distinct.len(), membership }.bytes();
        let found = self.contribution.proof.len();
        (key::MINIMUM_K..=key::MAXIMUM_K).find(|k| length(*k) == found).unwrap_or(key::MINIMUM_K)
    }

    /// The field side of the opening.
    fn check_opening<'p>(
        &'p self,
        base: &Parameters,
        transcript: &mut Transcript,
        claim: Opened<'p>,
        proof: &'p OpeningProof,
    ) -> Result<PendingOpening<'p>, VerifyError> {
        let (layout, contribution) = (&self.layout, &self.contribution);
        let Opened { point, coefficients, value } = claim;
        let parameters = [base, &contribution.update];
        let statement =
            OpeningStatement::new(layout, &contribution.program, parameters, point, coefficients, value);
        opening::verify(transcript, statement, proof).ok_or(VerifyError::Opening)
    }
}

/// What an opening is asked to show; `value` is zero where it is sealed.
struct Opened<'a> {
    point: &'a [F],
    coefficients: &'a [F; 6],
    value: F,
}

/// A contribution of which all but group equations has been checked.
struct Pending<'a> {
    contribution: Contribution,
    /// Row and message generators that the equations are over.
    generators: (usize, usize),
    /// The sigma seal's equations alone.
    seal: GroupEquation,
    /// All equations over our generators.
    equation: GroupEquation,
    /// The halo2 seal's, over its parameters.
    halo2: Option<(&'a halo2::key::Parameters, PendingHalo2<'a>)>,
    /// Depends on everything in the proof.
    challenge: F,
}

impl Pending<'_> {
    fn check_generators(&self, generators: &Generators) -> Result<(), VerifyError> {
        let (expected_rows, expected_messages) = self.generators;
        let (rows, messages) = (generators.rows().len(), generators.messages().len());
        if rows < expected_rows || messages < expected_messages {
            return Err(VerifyError::Generators { expected_rows, expected_messages, rows, messages });
        }
        Ok(())
    }

    /// Decides the equations. Only when one does not hold are seal and opening told apart.
    fn finish(self, generators: &Generators) -> Result<Verified<Statement>, VerifyError> {
        self.check_generators(generators)?;
        let (halo2, ours) = threads::join(
            || self.halo2.as_ref().is_none_or(|(_, halo2)| halo2.clone().is_zero()),
            || holds(&self.equation, generators),
        );
        if halo2 && ours {
            Ok(self.accept())
        } else if halo2 && holds(&self.seal, generators) {
            Err(VerifyError::Opening)
        } else {
            Err(VerifyError::Seal)
        }
    }

    /// The token, once every equation holds.
    fn accept(self) -> Verified<Statement> {
        let Contribution { program, update, statement, proof } = self.contribution;
        let proof_bytes = statement.encode().len() + proof.len();
        Verified { value: statement, program, update, proof_bytes }
    }
}

/// Refuses a proof that is too short or too long for its program, whichever rows the beacon chose, before rows are drawn,
/// models hashed or points read. Returns the lengths of the sealed messages.
fn check_proof_length(
    layout: &Layout,
    program: &Program,
    statement: &Statement,
    proof: &[u8],
) -> Result<Vec<usize>, VerifyError> {
    // Other numbers of rows have no batches.
    if !(1..=MAXIMUM_ROWS).contains(&statement.dataset_rows) {
        return Err(BatchError::Rows(statement.dataset_rows).into());
    }
    let rows = statement.dataset_rows;
    if statement.seal == SEAL_HALO2 {
        check_length(proof, &CompactShape::lengths(layout, rows))?;
        return Ok(Vec::new());
    }
    // Room for the rows and the opening is asked for before messages are counted.
    let least = *ProofShape::lengths(layout, &[], rows).start();
    check_length(proof, &(least..=usize::MAX))?;
    let messages = argument::outline(layout, program).map_err(VerifyError::Argument)?;
    check_length(proof, &ProofShape::lengths(layout, &messages, rows))?;
    Ok(messages)
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
