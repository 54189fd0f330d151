//! The committed dataset: one hiding Pedersen commitment an example, their Merkle root, and the secrets that open them.

use weightproof_circuits::curve::{POINT_BYTES, Point, point_from_bytes, point_to_bytes};
use weightproof_circuits::encoding::{DecodeError, Reader, Writer, tagged_hash};
use weightproof_circuits::error::ErrorCode;
use weightproof_circuits::field::{F, from_bytes, to_bytes};
use weightproof_circuits::layout::Layout;
use weightproof_circuits::merkle::{MerkleError, MerkleTree, MultiProof, leaf_hash};
use zeroize::{Zeroize, Zeroizing};

use crate::commitments::Committer;
use crate::data::Examples;
use crate::entropy::{Entropy, EntropyError};
use crate::progress::Progress;

const MAGIC: [u8; 4] = *b"WPD1";

/// Why a dataset cannot be committed or restored.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// No rows.
    #[error("expected at least one row, found none: {0}")]
    Empty(#[from] MerkleError),
    /// The caller asked to stop.
    #[error("interrupted; nothing was written")]
    Cancelled,
    /// The rows are not those that the program expects.
    #[error(
        "expected rows of {expected_inputs} features and {expected_outputs} labels for the program, found {inputs} and {outputs}"
    )]
    Shape {
        /// Features the program takes.
        expected_inputs: usize,
        /// Labels the program takes.
        expected_outputs: usize,
        /// Features found.
        inputs: usize,
        /// Labels found.
        outputs: usize,
    },
    /// A secret file is damaged.
    #[error("the dataset's secret file is damaged: {0}; restore it from a backup, or commit the data again")]
    Damaged(#[from] DecodeError),
}

/// Rows with their commitments and blindings. Whoever holds it can open every row; it never leaves the machine.
pub struct CommittedDataset {
    examples: Examples,
    commitments: Vec<Point>,
    blindings: Vec<F>,
    tree: MerkleTree,
}

impl Drop for CommittedDataset {
    fn drop(&mut self) {
        self.blindings.zeroize();
        self.examples.features.zeroize();
        self.examples.labels.zeroize();
    }
}

impl core::fmt::Debug for CommittedDataset {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Rows and blindings are secret.
        f.debug_struct("CommittedDataset")
            .field("rows", &self.rows())
            .field("root", &self.root())
            .finish_non_exhaustive()
    }
}

impl CommittedDataset {
    /// Commits every example as a padded row: features from 0, labels from the layout's label offset.
    ///
    /// # Errors
    /// See [`DatasetError`].
    pub fn commit(
        examples: Examples,
        layout: &Layout,
        committer: &Committer<'_>,
        secret: &[u8],
        progress: &dyn Progress,
    ) -> Result<Self, DatasetError> {
        let mut entropy = Entropy::new(secret, b"dataset rows")?;
        Self::commit_with(examples, layout, committer, &mut entropy, progress)
    }

    /// As [`CommittedDataset::commit`], with blindings from `entropy`.
    ///
    /// # Errors
    /// See [`DatasetError`].
    pub fn commit_with(
        examples: Examples,
        layout: &Layout,
        committer: &Committer<'_>,
        entropy: &mut Entropy,
        progress: &dyn Progress,
    ) -> Result<Self, DatasetError> {
        let (expected_inputs, expected_outputs) = (layout.widths[0], layout.widths[layout.depth()]);
        if (examples.inputs, examples.outputs) != (expected_inputs, expected_outputs) {
            return Err(DatasetError::Shape {
                expected_inputs,
                expected_outputs,
                inputs: examples.inputs,
                outputs: examples.outputs,
            });
        }
        let rows = examples.rows();
        let width = 1usize << layout.data_variables;
        let mut values = Zeroizing::new(vec![0i32; rows * width]);
        for (row, out) in values.chunks_mut(width).enumerate() {
            let features = &examples.features[row * expected_inputs..(row + 1) * expected_inputs];
            let labels = &examples.labels[row * expected_outputs..(row + 1) * expected_outputs];
            out.iter_mut().zip(features).for_each(|(out, x)| *out = i32::from(*x));
            out[layout.label_offset..].iter_mut().zip(labels).for_each(|(out, y)| *out = i32::from(*y));
        }
        let blindings = entropy.scalars(rows);
        progress.begin("commit data", rows as u64);
        let commitments =
            committer.rows(&values, width, &blindings, progress).ok_or(DatasetError::Cancelled)?;
        Self::assemble(examples, commitments, blindings)
    }

    fn assemble(
        examples: Examples,
        commitments: Vec<Point>,
        blindings: Vec<F>,
    ) -> Result<Self, DatasetError> {
        let leaves = commitments.iter().map(|c| leaf_hash(&point_to_bytes(c))).collect();
        Ok(Self { examples, commitments, blindings, tree: MerkleTree::new(leaves)? })
    }

    /// The public commitment to the whole dataset.
    pub fn root(&self) -> [u8; 32] {
        self.tree.root()
    }
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.commitments.len()
    }
    /// The examples.
    pub fn examples(&self) -> &Examples {
        &self.examples
    }
    /// Commitment and blinding of a row.
    pub fn row(&self, index: u64) -> Option<(Point, F)> {
        let index = usize::try_from(index).ok()?;
        Some((*self.commitments.get(index)?, *self.blindings.get(index)?))
    }
    /// Proof that rows, ascending and distinct, are under the root.
    ///
    /// # Errors
    /// When an index is not of this dataset.
    pub fn membership(&self, rows: &[u64]) -> Result<MultiProof, MerkleError> {
        self.tree.prove(rows)
    }

    /// Everything, for one file that its owner alone may read; ends with a checksum.
    pub fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer::new();
        writer.raw(&MAGIC);
        writer.u64(self.rows() as u64);
        writer.u64(self.examples.inputs as u64);
        writer.u64(self.examples.outputs as u64);
        for value in self.examples.features.iter().chain(&self.examples.labels) {
            writer.raw(&value.to_le_bytes());
        }
        self.blindings.iter().for_each(|b| writer.raw(&to_bytes(b)));
        self.commitments.iter().for_each(|c| writer.raw(&point_to_bytes(c)));
        let mut bytes = Zeroizing::new(writer.into_bytes());
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// Reads what [`CommittedDataset::to_secret_bytes`] wrote.
    ///
    /// # Errors
    /// [`DatasetError::Damaged`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, DatasetError> {
        let Some(end) = bytes.len().checked_sub(32) else {
            return Err(damaged(bytes, "a checksum", "too few bytes").into());
        };
        let (content, found) = bytes.split_at(end);
        if checksum(content) != found {
            return Err(damaged(bytes, "the checksum of the content", "another").into());
        }
        let mut reader = Reader::new(content);
        let magic: [u8; 4] = reader.array("dataset header")?;
        if magic != MAGIC {
            return Err(damaged(bytes, "a dataset file", "another file").into());
        }
        let mut size = |what| -> Result<usize, DecodeError> {
            let value = reader.u64(what)?;
            usize::try_from(value)
                .ok()
                .filter(|v| *v <= content.len())
                .ok_or_else(|| damaged(bytes, "a size that fits the file", "a larger one"))
        };
        let (rows, inputs, outputs) = (size("rows")?, size("inputs")?, size("outputs")?);
        let mut integers = |what, count: Option<usize>| -> Result<Vec<i16>, DecodeError> {
            let length = count
                .and_then(|c| c.checked_mul(2))
                .ok_or_else(|| damaged(bytes, "a size that fits the file", "a larger one"))?;
            let raw = reader.raw(what, length)?;
            Ok(raw.chunks_exact(2).map(|c| i16::from_le_bytes([c[0], c[1]])).collect())
        };
        let features = integers("features", rows.checked_mul(inputs))?;
        let labels = integers("labels", rows.checked_mul(outputs))?;
        let examples = Examples { inputs, outputs, features, labels };
        let mut blindings = Vec::new();
        for _ in 0..rows {
            let encoding: [u8; 32] = reader.array("blinding")?;
            blindings.push(
                from_bytes(&encoding).ok_or_else(|| damaged(bytes, "a reduced scalar", "a larger one"))?,
            );
        }
        let mut commitments = Vec::new();
        for _ in 0..rows {
            let encoding: [u8; POINT_BYTES] = reader.array("commitment")?;
            commitments
                .push(point_from_bytes(&encoding).ok_or_else(|| damaged(bytes, "a point", "other bytes"))?);
        }
        reader.finish()?;
        Self::assemble(examples, commitments, blindings)
    }
}

fn checksum(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    tagged_hash("weightproof dataset checksum v1").chain_update(bytes).finalize().into()
}

fn damaged(bytes: &[u8], expected: &str, found: &str) -> DecodeError {
    Reader::new(bytes).error(ErrorCode::E101, "dataset file", expected.to_owned(), found.to_owned())
}
