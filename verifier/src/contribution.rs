//! The contribution file, to the byte (specs/encoding.md).
//!
//! `"WPF1" ‖ program ‖ update ‖ statement ‖ proof`, the first three as byte strings (varint length, then the bytes), the
//! proof to the end. The proof's lists carry no lengths where the program fixes them.

use std::ops::RangeInclusive;

use weightproof_circuits::argument::outline;
use weightproof_circuits::batches::MAXIMUM_ROWS;
use weightproof_circuits::curve::{Point, point_from_bytes, point_to_bytes};
use weightproof_circuits::encoding::{DecodeError, Reader, Writer};
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::field::{F, from_bytes, to_bytes};
use weightproof_circuits::layout::Layout;
use weightproof_circuits::merkle::{self, MultiProof};
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::{Program, ProgramDecodeError};
use weightproof_circuits::seal::halo2::{Exposed, key};
use weightproof_circuits::seal::sigma::SigmaProof;
use weightproof_circuits::statement::{SEAL_HALO2, Statement};

use crate::opening::OpeningProof;
use crate::threads;

/// First bytes of every contribution file.
pub const MAGIC: [u8; 4] = *b"WPF1";
/// Longest program encoding.
pub const MAXIMUM_PROGRAM: usize = 1 << 16;
/// Longest update encoding; fits 32-bit targets.
pub const MAXIMUM_UPDATE: usize = u32::MAX as usize;
/// Longest statement encoding.
pub const MAXIMUM_STATEMENT: usize = 1 << 10;

/// A decoded contribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// The program.
    pub program: Program,
    /// The update `U`.
    pub update: Parameters,
    /// What the proof is about.
    pub statement: Statement,
    /// The proof, still encoded: its shape depends on the chosen rows.
    pub proof: Vec<u8>,
}

/// A decoded proof under the sigma seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Rows of the witness matrix.
    pub witness_rows: Vec<Point>,
    /// Dataset rows in use, by ascending index.
    pub dataset_rows: Vec<Point>,
    /// That they are in the dataset.
    pub membership: MultiProof,
    /// Commitments of the sealed messages, in order.
    pub messages: Vec<Point>,
    /// The Σ-protocol.
    pub seal: SigmaProof,
    /// The opening.
    pub opening: OpeningProof,
}

/// A decoded proof under the halo2 seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactProof {
    /// Rows of the witness matrix.
    pub witness_rows: Vec<Point>,
    /// The mask.
    pub mask: Point,
    /// Dataset rows in use, by ascending index.
    pub dataset_rows: Vec<Point>,
    /// That they are in the dataset.
    pub membership: MultiProof,
    /// What the circuit shows of the argument.
    pub exposed: Exposed,
    /// The halo2 proof.
    pub seal: Vec<u8>,
    /// The opening.
    pub opening: OpeningProof,
}

impl Contribution {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let update = self.update.encode();
        let mut writer = Writer::with_capacity(update.len() + self.proof.len() + 4096);
        writer.raw(&MAGIC);
        writer.bytes(&self.program.encode());
        writer.bytes(&update);
        writer.bytes(&self.statement.encode());
        writer.raw(&self.proof);
        writer.into_bytes()
    }

    /// Reads a contribution; the proof stays encoded.
    ///
    /// # Errors
    /// `E101` … `E106`, and `E105` for another file version.
    pub fn decode(bytes: &[u8]) -> Result<Self, ContributionError> {
        let mut reader = Reader::new(bytes);
        let magic: [u8; 4] = reader.array("file header")?;
        if magic != MAGIC {
            let code = if magic[..3] == MAGIC[..3] { ErrorCode::E105 } else { ErrorCode::E101 };
            let expected = "WPF1".to_string();
            return Err(reader
                .error(code, "file header", expected, format!("\"{}\"", magic.escape_ascii()))
                .into());
        }
        let program_bytes = reader.bytes("program", MAXIMUM_PROGRAM)?;
        let program = Program::decode(program_bytes)?;
        let update = reader.bytes("update", MAXIMUM_UPDATE)?;
        let statement = reader.bytes("statement", MAXIMUM_STATEMENT)?;
        let statement = Statement::decode(statement)?;
        let proof = reader.raw("proof", reader.remaining())?.to_vec();
        reader.finish()?;
        let update = Parameters::decode(update, &program)?;
        Ok(Self { program, update, statement, proof })
    }
}

/// Why a contribution file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContributionError {
    /// The bytes are not a canonical encoding.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The program is not valid.
    #[error(transparent)]
    Program(#[from] ProgramDecodeError),
}

impl ContributionError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Decode(error) => error.code,
            Self::Program(error) => error.code(),
        }
    }
}

/// The most bytes of a valid contribution of a program under a seal, whatever was trained on out of `dataset_rows` rows:
/// what is longer can be refused before it is read. An unknown seal is taken for the sigma seal.
pub fn longest_contribution(program: &Program, dataset_rows: u64, seal: u8) -> u64 {
    let layout = Layout::new(program);
    let proof = match seal {
        SEAL_HALO2 => *CompactShape::lengths(&layout, dataset_rows).end(),
        _ => {
            let messages = outline(&layout, program).unwrap_or_default();
            *ProofShape::lengths(&layout, &messages, dataset_rows).end()
        }
    };
    // A width byte before each tensor of the update, weights and biases.
    let update = 8 * program.parameter_count() as u64 + 2 * program.depth() as u64;
    let byte_string = |length: u64| {
        let mut prefix = Writer::new();
        prefix.varint(length);
        prefix.len() as u64 + length
    };
    let parts = [program.encode().len() as u64, update, Statement::LONGEST as u64];
    MAGIC.len() as u64 + parts.into_iter().map(byte_string).sum::<u64>() + proof as u64
}

/// Distinct rows that a contribution opens out of `rows`, and the most hashes that show them to be in the dataset.
///
/// The examples are permutations of the rows one after the other, so no row comes twice before all have come once.
fn chosen_rows(layout: &Layout, rows: u64) -> (usize, usize) {
    let rows = rows.clamp(1, MAXIMUM_ROWS);
    // Both factors are bounded by the program, and their product by 2^20.
    let distinct = rows.min((layout.steps * layout.batch) as u64);
    let hashes = merkle::longest_proof(rows, distinct);
    (distinct as usize, usize::try_from(hashes).unwrap_or(usize::MAX))
}

/// Counts that a proof's encoding follows.
#[derive(Clone, Debug)]
pub struct ProofShape {
    /// Rows of the witness matrix.
    pub witness_rows: usize,
    /// Distinct dataset rows.
    pub dataset_rows: usize,
    /// Hashes of the multiproof.
    pub membership: usize,
    /// Length of every message.
    pub messages: Vec<usize>,
    /// Rounds of the opening.
    pub rounds: usize,
}

impl ProofShape {
    /// The shape for a program and the rows that the beacon chose.
    pub fn new(layout: &Layout, program: &Program, dataset_rows: usize, membership: usize) -> Self {
        let messages = outline(layout, program).unwrap_or_default();
        Self::with_messages(layout, messages, dataset_rows, membership)
    }

    /// The shape for messages of these lengths, which are the program's [`outline`].
    pub fn with_messages(
        layout: &Layout,
        messages: Vec<usize>,
        dataset_rows: usize,
        membership: usize,
    ) -> Self {
        let (witness_rows, rounds) = (1 << layout.matrix_row_variables(), layout.column_variables);
        Self { witness_rows, dataset_rows, membership, messages, rounds }
    }

    /// The fewest and the most bytes of a proof with these messages, whichever rows are chosen out of `rows`.
    pub fn lengths(layout: &Layout, messages: &[usize], rows: u64) -> RangeInclusive<usize> {
        let (distinct, hashes) = chosen_rows(layout, rows);
        let mut shape = Self::with_messages(layout, messages.to_vec(), distinct, 0);
        let least = shape.bytes();
        shape.membership = hashes;
        least..=shape.bytes()
    }

    /// Bytes of a proof.
    pub fn bytes(&self) -> usize {
        let values: usize = self.messages.iter().sum();
        let points =
            self.witness_rows + self.dataset_rows + 2 * self.messages.len() + 2 + 2 * self.rounds + 1;
        let scalars = 1 + values + self.messages.len() + 1 + 2;
        let mut length = Writer::new();
        length.varint(self.membership as u64);
        32 * (points + scalars + self.membership) + length.len()
    }
}

fn write_points(writer: &mut Writer, points: &[Point]) {
    points.iter().for_each(|point| writer.raw(&point_to_bytes(point)));
}

fn write_scalars(writer: &mut Writer, scalars: &[F]) {
    scalars.iter().for_each(|scalar| writer.raw(&to_bytes(scalar)));
}

fn write_opening(writer: &mut Writer, opening: &OpeningProof) {
    for (left, right) in &opening.rounds {
        write_points(writer, &[*left, *right]);
    }
    write_points(writer, &[opening.mask]);
    write_scalars(writer, &[opening.response, opening.blinding]);
}

fn read_opening(reader: &mut Reader<'_>, rounds: usize) -> Result<OpeningProof, DecodeError> {
    let halves = points(reader, "opening round", 2 * rounds)?;
    let rounds = halves.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let mask = point(reader, "opening mask")?;
    let response = scalar(reader, "opening response")?;
    let blinding = scalar(reader, "opening blinding")?;
    Ok(OpeningProof { rounds, mask, response, blinding })
}

/// A reader of `bytes`, whose length is checked before anything is decoded or allocated.
fn sized_reader(bytes: &[u8], expected: usize) -> Result<Reader<'_>, DecodeError> {
    check_length(bytes, &(expected..=expected))?;
    Ok(Reader::new(bytes))
}

/// Refuses a proof of another length.
pub(crate) fn check_length(bytes: &[u8], lengths: &RangeInclusive<usize>) -> Result<(), DecodeError> {
    let (least, most) = (lengths.start(), lengths.end());
    let code = match bytes.len() {
        found if found > *most => ErrorCode::E102,
        found if found < *least => ErrorCode::E106,
        _ => return Ok(()),
    };
    let expected = match (*least, *most) {
        (least, most) if least == most => least.to_string(),
        (least, usize::MAX) => format!("at least {least}"),
        (least, most) => format!("{least} to {most}"),
    };
    let expected = format!("{expected} bytes for this program");
    Err(Reader::new(bytes).error(code, "proof", expected, bytes.len().to_string()))
}

impl Proof {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        write_points(&mut writer, &self.witness_rows);
        write_points(&mut writer, &self.dataset_rows);
        self.membership.write(&mut writer);
        write_points(&mut writer, &self.messages);
        write_points(&mut writer, &self.seal.masks);
        write_points(&mut writer, &self.seal.cross_terms);
        write_scalars(&mut writer, &[self.seal.linear_mask]);
        write_scalars(&mut writer, &self.seal.responses);
        write_scalars(&mut writer, &self.seal.blindings);
        write_scalars(&mut writer, &[self.seal.cross_blinding]);
        write_opening(&mut writer, &self.opening);
        writer.into_bytes()
    }

    /// Reads a proof of the given shape. Its length is checked before anything is decoded or allocated.
    ///
    /// # Errors
    /// `E102` or `E106` for a wrong length, `E101` for a scalar that is not reduced, `E104` for a bad point.
    pub fn decode(bytes: &[u8], shape: &ProofShape) -> Result<Self, DecodeError> {
        let mut reader = sized_reader(bytes, shape.bytes())?;
        let witness_rows = points(&mut reader, "witness row", shape.witness_rows)?;
        let dataset_rows = points(&mut reader, "dataset row", shape.dataset_rows)?;
        let membership = MultiProof::read(&mut reader, shape.membership)?;
        let count = shape.messages.len();
        let messages = points(&mut reader, "message", count)?;
        let masks = points(&mut reader, "mask", count)?;
        let cross_terms = [point(&mut reader, "cross term")?, point(&mut reader, "cross term")?];
        let linear_mask = scalar(&mut reader, "linear mask")?;
        let values = shape.messages.iter().sum();
        let responses = scalars(&mut reader, "response", values)?;
        let blindings = scalars(&mut reader, "blinding", count)?;
        let cross_blinding = scalar(&mut reader, "cross blinding")?;
        let seal = SigmaProof { masks, cross_terms, linear_mask, responses, blindings, cross_blinding };
        let opening = read_opening(&mut reader, shape.rounds)?;
        reader.finish()?;
        Ok(Self { witness_rows, dataset_rows, membership, messages, seal, opening })
    }
}

/// Counts that the encoding of a proof under the halo2 seal follows.
#[derive(Clone, Copy, Debug)]
pub struct CompactShape<'a> {
    /// Shapes.
    pub layout: &'a Layout,
    /// `log2` of the circuit's rows.
    pub k: u32,
    /// Distinct dataset rows.
    pub dataset_rows: usize,
    /// Hashes of the multiproof.
    pub membership: usize,
}

impl<'a> CompactShape<'a> {
    /// The fewest and the most bytes of a proof, whichever rows are chosen out of `rows` and whatever the circuit's size.
    pub fn lengths(layout: &'a Layout, rows: u64) -> RangeInclusive<usize> {
        let (distinct, hashes) = chosen_rows(layout, rows);
        let least = Self { layout, k: key::MINIMUM_K, dataset_rows: distinct, membership: 0 };
        let most = Self { k: key::MAXIMUM_K, membership: hashes, ..least };
        least.bytes()..=most.bytes()
    }

    fn witness_rows(&self) -> usize {
        1 << self.layout.matrix_row_variables()
    }

    /// Bytes of a proof.
    pub fn bytes(&self) -> usize {
        let opening = 2 * self.layout.column_variables + 3;
        let elements = self.witness_rows()
            + 1
            + self.dataset_rows
            + self.membership
            + Exposed::length(self.layout)
            + opening;
        let mut length = Writer::new();
        length.varint(self.membership as u64);
        32 * elements + length.len() + key::proof_length(self.k)
    }
}

impl CompactProof {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        write_points(&mut writer, &self.witness_rows);
        write_points(&mut writer, &[self.mask]);
        write_points(&mut writer, &self.dataset_rows);
        self.membership.write(&mut writer);
        write_scalars(&mut writer, &self.exposed.values());
        writer.raw(&self.seal);
        write_opening(&mut writer, &self.opening);
        writer.into_bytes()
    }

    /// Reads a proof of the given shape. Its length is checked before anything is decoded or allocated; the halo2 proof
    /// inside is left to halo2's own reader, which is as strict.
    ///
    /// # Errors
    /// As for [`Proof::decode`].
    pub fn decode(bytes: &[u8], shape: &CompactShape<'_>) -> Result<Self, DecodeError> {
        let mut reader = sized_reader(bytes, shape.bytes())?;
        let witness_rows = points(&mut reader, "witness row", shape.witness_rows())?;
        let mask = point(&mut reader, "mask row")?;
        let dataset_rows = points(&mut reader, "dataset row", shape.dataset_rows)?;
        let membership = MultiProof::read(&mut reader, shape.membership)?;
        let values = scalars(&mut reader, "exposed value", Exposed::length(shape.layout))?;
        let exposed = Exposed::from_values(shape.layout, &values).ok_or_else(|| {
            reader.error(
                ErrorCode::E106,
                "exposed value",
                "a point, coefficients and a value",
                "fewer values",
            )
        })?;
        let seal = reader.raw("halo2 proof", key::proof_length(shape.k))?.to_vec();
        let opening = read_opening(&mut reader, shape.layout.column_variables)?;
        reader.finish()?;
        Ok(Self { witness_rows, mask, dataset_rows, membership, exposed, seal, opening })
    }
}

fn bad_point(reader: &Reader<'_>, what: &'static str) -> DecodeError {
    reader.error(
        ErrorCode::E104,
        what,
        "the canonical encoding of a point of Vesta".to_string(),
        "other bytes".to_string(),
    )
}

fn points(reader: &mut Reader<'_>, what: &'static str, count: usize) -> Result<Vec<Point>, DecodeError> {
    let bytes = reader.raw(what, 32 * count)?;
    let encodings: Vec<[u8; 32]> = bytes
        .chunks_exact(32)
        .map(|chunk| {
            let mut encoding = [0u8; 32];
            encoding.copy_from_slice(chunk);
            encoding
        })
        .collect();
    let decoded: Option<Vec<Point>> = threads::map(&encodings, point_from_bytes).into_iter().collect();
    decoded.ok_or_else(|| bad_point(reader, what))
}

fn point(reader: &mut Reader<'_>, what: &'static str) -> Result<Point, DecodeError> {
    let bytes: [u8; 32] = reader.array(what)?;
    point_from_bytes(&bytes).ok_or_else(|| bad_point(reader, what))
}

fn scalar(reader: &mut Reader<'_>, what: &'static str) -> Result<F, DecodeError> {
    let bytes: [u8; 32] = reader.array(what)?;
    from_bytes(&bytes).ok_or_else(|| {
        reader.error(
            ErrorCode::E101,
            what,
            "an integer below the field's modulus".to_string(),
            "a larger one".to_string(),
        )
    })
}

fn scalars(reader: &mut Reader<'_>, what: &'static str, count: usize) -> Result<Vec<F>, DecodeError> {
    (0..count).map(|_| scalar(reader, what)).collect()
}
