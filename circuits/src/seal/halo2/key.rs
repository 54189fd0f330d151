//! Parameters and keys: both public, both derived, both recognised by a digest (specs/protocol/halo2.md, step 5).
//!
//! Parameters of size `k` are generators that halo2 hashes to the curve, and their Lagrange form; a stored copy is
//! recognised by its pinned digest. A verifying key is rebuilt from the program. Neither is ever trusted as found.

use halo2_proofs::plonk::{VerifyingKey, keygen_vk};
use halo2_proofs::poly::commitment::Params;
use pasta_curves::EqAffine;
use sha2::Digest;

use super::algebra::{Input, plan};
use super::circuit::SealCircuit;
use super::plan::PieceSize;
use super::table::{self, Table};
use crate::encoding::tagged_hash;
use crate::layout::Layout;
use crate::program::Program;

/// halo2's public parameters over Vesta.
pub type Parameters = Params<EqAffine>;

/// Rows that halo2 keeps for blinding.
const RESERVED_ROWS: usize = 6;
/// The smallest circuit; the smallest programs need as much, for their lookup tree.
pub const MINIMUM_K: u32 = 12;
/// The largest circuit: beyond it verification and memory cost more than the sigma seal's size is worth.
pub const MAXIMUM_K: u32 = 15;
/// Programs with more steps are refused before a plan is begun: their coefficients alone fill the largest circuit.
pub const MAXIMUM_STEPS: usize = 256;

/// SHA-256 digests of [`Parameters`] as halo2 writes them, for `k` from [`MINIMUM_K`].
const PINNED: [[u8; 32]; 4] = include!("pinned_parameters.rs");

/// The pinned digest of the parameters of size `k`.
pub fn pinned_digest(k: u32) -> Option<[u8; 32]> {
    PINNED.get(k.checked_sub(MINIMUM_K)? as usize).copied()
}

/// The digest under which parameters are pinned, of their bytes.
pub fn parameters_digest(bytes: &[u8]) -> [u8; 32] {
    tagged_hash("weightproof halo2 parameters").chain_update(bytes).finalize().into()
}

/// Reads parameters of size `k`; `None` for any bytes but the pinned ones.
pub fn read_parameters(k: u32, bytes: &[u8]) -> Option<Parameters> {
    if pinned_digest(k)? != parameters_digest(bytes) {
        return None;
    }
    Parameters::read(&mut &bytes[..]).ok()
}

/// Bytes of a halo2 proof of size `k`: every commitment, evaluation and round is 32 bytes, and their number follows from
/// the circuit's columns and constraints alone.
pub fn proof_length(k: u32) -> usize {
    32 * (PROOF_ELEMENTS + 2 * k as usize)
}

/// Commitments, evaluations and scalars of a halo2 proof beside the rounds of its inner-product argument; a test compares
/// it with a proof.
const PROOF_ELEMENTS: usize = 79;

/// A program that the halo2 seal does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Too many steps.
    #[error(
        "E207: the halo2 seal takes programs of at most {MAXIMUM_STEPS} steps, found {0}; use the sigma seal or fewer steps"
    )]
    Steps(usize),
    /// Too many rows.
    #[error(
        "E207: the halo2 seal takes circuits of at most 2^{MAXIMUM_K} rows, this program needs {0}; use the sigma seal or a smaller program"
    )]
    Rows(usize),
}

/// The size of a program's circuit.
#[derive(Clone, Debug)]
pub struct CircuitSize {
    /// `log2` of its rows.
    pub k: u32,
    /// Rows in use.
    pub rows: usize,
    /// Rows by piece.
    pub pieces: Vec<PieceSize>,
}

/// Lays out a program's circuit without values.
///
/// # Errors
/// [`SizeError`].
pub fn shape(program: &Program) -> Result<(Table, CircuitSize), SizeError> {
    if program.steps() > MAXIMUM_STEPS {
        return Err(SizeError::Steps(program.steps()));
    }
    let layout = Layout::new(program).masked();
    // The shape of an argument's own run cannot be wrong.
    let plan = plan(&layout, program, Input::Shape).map_err(|_| SizeError::Rows(usize::MAX))?;
    let rows = table::rows(&plan);
    let k = (rows + RESERVED_ROWS).next_power_of_two().trailing_zeros().max(MINIMUM_K);
    if k > MAXIMUM_K {
        return Err(SizeError::Rows(rows));
    }
    Ok((Table::new(&plan), CircuitSize { k, rows, pieces: plan.piece_sizes() }))
}

/// The verifying key of one program.
#[derive(Clone, Debug)]
pub struct Key {
    /// halo2's key.
    pub verifying: VerifyingKey<EqAffine>,
    /// Its digest, which the statement carries.
    pub digest: [u8; 32],
    /// The circuit's size.
    pub size: CircuitSize,
    /// Digest of the program that it was built from.
    pub program_digest: [u8; 32],
}

/// Why a key cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The program is too large.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// The parameters are of another size.
    #[error("E308: expected halo2 parameters of size k = {expected} for this program, found k = {found}")]
    Parameters {
        /// What the program needs.
        expected: u32,
        /// What was given.
        found: u32,
    },
    /// halo2 refused the circuit: a defect of the layout.
    #[error(
        "E308: expected a circuit that halo2 accepts, found: {0}; please report this with the program file"
    )]
    Circuit(String),
}

impl Key {
    /// Builds the key of a program.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new(program: &Program, parameters: &Parameters) -> Result<Self, KeyError> {
        Self::with_table(program, parameters).map(|(key, _)| key)
    }

    /// The key with the table that it was built from, which a proving key is built from as well.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn with_table(program: &Program, parameters: &Parameters) -> Result<(Self, Table), KeyError> {
        let (table, size) = shape(program)?;
        if parameters.k() != size.k {
            return Err(KeyError::Parameters { expected: size.k, found: parameters.k() });
        }
        let verifying = keygen_vk(parameters, &SealCircuit::shape(&table))
            .map_err(|error| KeyError::Circuit(error.to_string()))?;
        let digest = key_digest(&verifying, size.k);
        Ok((Self { verifying, digest, size, program_digest: program.digest() }, table))
    }
}

/// SHA-256 of `k` and of the key's pinned form: everything that halo2 says identifies a key.
fn key_digest(key: &VerifyingKey<EqAffine>, k: u32) -> [u8; 32] {
    let pinned = format!("{:?}", key.pinned());
    tagged_hash("weightproof halo2 key").chain_update(k.to_le_bytes()).chain_update(pinned).finalize().into()
}
