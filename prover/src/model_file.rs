//! A model on disk: safetensors with the exact integers and everything needed to use them.
//!
//! Layout (format 1): `layers.1.weight` (`[inputs, outputs]`, I64), `layers.1.bias` (`[outputs]`, I64), … in layer
//! order, at scale `2^weight_bits`. Metadata keys: `weightproof.format`, `weightproof.model_version`,
//! `weightproof.weight_bits`, `weightproof.program` (the program as TOML), `weightproof.schema` (columns, classes and
//! standardisation as JSON). Equal models are equal bytes.
//!
//! [`ModelFile::export_float`] writes the other file: plain `f32` for other tools, see there.
use crate::atomic_file::{Access, write_atomic};
use crate::data::Schema;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use weightproof_circuits::parameters::{LayerParameters, Parameters};
use weightproof_circuits::program::Program;

/// The layout that this version writes and reads.
const FORMAT: &str = "1";
const FORMAT_KEY: &str = "weightproof.format";
const VERSION_KEY: &str = "weightproof.model_version";
const WEIGHT_BITS_KEY: &str = "weightproof.weight_bits";
const PROGRAM_KEY: &str = "weightproof.program";
const SCHEMA_KEY: &str = "weightproof.schema";

/// A model, what it was trained by, and what its columns mean.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFile {
    /// The exact integers, at scale `2^weight_bits` of `program`.
    pub parameters: Parameters,
    /// The training program.
    pub program: Program,
    /// 0 for an initial model, one more with each contribution.
    pub model_version: u64,
    /// Columns, classes and standardisation.
    pub schema: Schema,
}

/// Why a model file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// The file system says no.
    #[error("expected to read or write the model file {}, found: {source}; check the path and its permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Not a safetensors file, or a damaged one.
    #[error("expected a safetensors file, found: {0}; get an undamaged copy")]
    NotSafetensors(String),
    /// The layout is of another version.
    #[error(
        "expected model file format {FORMAT}, found {found}; read it with the version of weightproof that wrote it"
    )]
    Format {
        /// The format named in the file.
        found: String,
    },
    /// A metadata key is missing.
    #[error(
        "expected the metadata key `{key}`, found none; only models written by `weightproof train` hold it"
    )]
    MissingMetadata {
        /// The key.
        key: &'static str,
    },
    /// A metadata value has no meaning.
    #[error("expected a valid value of the metadata key `{key}`, found: {message}; get an undamaged copy")]
    Metadata {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// Tensors are missing or there are others.
    #[error("expected exactly the tensors of the model's program, found {found}; get an undamaged copy")]
    Tensors {
        /// What differs.
        found: String,
    },
    /// A tensor has another type or shape than the program says.
    #[error("expected tensor `{name}` as {expected}, found {found}; get an undamaged copy")]
    Tensor {
        /// The tensor.
        name: String,
        /// Type and shape by the program.
        expected: String,
        /// Type and shape in the file.
        found: String,
    },
    /// Two parts of the model contradict each other.
    #[error("expected {what} {expected}, found {found}; get an undamaged copy")]
    Mismatch {
        /// Which number.
        what: &'static str,
        /// By the program.
        expected: u64,
        /// In the other part.
        found: u64,
    },
}

impl ModelFile {
    /// The canonical bytes.
    ///
    /// # Errors
    /// [`ModelFileError::Mismatch`] or [`ModelFileError::Tensor`] when the parts contradict each other.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelFileError> {
        self.check()?;
        let mut file = TensorFile::default();
        for (index, layer) in self.parameters.layers.iter().enumerate() {
            let bytes =
                |integers: &[i64]| integers.iter().flat_map(|integer| integer.to_le_bytes()).collect();
            file.add(weight_name(index), "I64", &[layer.inputs, layer.outputs], bytes(&layer.weights));
            file.add(bias_name(index), "I64", &[layer.outputs], bytes(&layer.biases));
        }
        file.finish(self.metadata()?)
    }

    /// Reads a model. Other spellings of it are read too (a padded header, further metadata): what names a model is the
    /// digest of its integers, and not that of its file.
    ///
    /// # Errors
    /// All of [`ModelFileError`] but `File`.
    pub fn from_bytes(bytes: &[u8]) -> Result<ModelFile, ModelFileError> {
        let not_safetensors =
            |error: safetensors::SafeTensorError| ModelFileError::NotSafetensors(error.to_string());
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(not_safetensors)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(not_safetensors)?;
        let value = |key: &'static str| {
            let found = header.metadata().as_ref().and_then(|metadata| metadata.get(key));
            found.map(String::as_str).ok_or(ModelFileError::MissingMetadata { key })
        };
        match value(FORMAT_KEY)? {
            FORMAT => {}
            found => return Err(ModelFileError::Format { found: found.chars().take(20).collect() }),
        }
        let model_version = number(VERSION_KEY, value(VERSION_KEY)?)?;
        let weight_bits = number(WEIGHT_BITS_KEY, value(WEIGHT_BITS_KEY)?)?;
        let program = Program::parse(value(PROGRAM_KEY)?)
            .map_err(|error| ModelFileError::Metadata { key: PROGRAM_KEY, message: error.to_string() })?;
        let schema = serde_json::from_str(value(SCHEMA_KEY)?)
            .map_err(|error| ModelFileError::Metadata { key: SCHEMA_KEY, message: error.to_string() })?;
        same("weight_bits", u64::from(program.weight_bits()), weight_bits)?;
        if tensors.len() != 2 * program.depth() {
            let found = format!("{} tensors where {} belong", tensors.len(), 2 * program.depth());
            return Err(ModelFileError::Tensors { found });
        }
        let mut layers = Vec::with_capacity(program.depth());
        for (index, widths) in program.layers().windows(2).enumerate() {
            let (inputs, outputs) = (widths[0], widths[1]);
            let weights = integers(&tensors, weight_name(index), &[inputs, outputs])?;
            let biases = integers(&tensors, bias_name(index), &[outputs])?;
            layers.push(LayerParameters { inputs, outputs, weights, biases });
        }
        let model = ModelFile { parameters: Parameters { layers }, program, model_version, schema };
        model.check()?;
        Ok(model)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// All of [`ModelFileError`].
    pub fn read(path: &Path) -> Result<ModelFile, ModelFileError> {
        let bytes =
            std::fs::read(path).map_err(|source| ModelFileError::File { path: path.to_owned(), source })?;
        ModelFile::from_bytes(&bytes)
    }

    /// Writes a file atomically.
    ///
    /// # Errors
    /// [`ModelFileError::File`] and those of [`ModelFile::to_bytes`].
    pub fn write(&self, path: &Path) -> Result<(), ModelFileError> {
        write(path, &self.to_bytes()?)
    }

    /// The model in `f32` under PyTorch's conventions: `layers.0.weight` (`[out, in]`), `layers.0.bias` (`[out]`), …,
    /// the state of a module whose `layers` is a `ModuleList` of `Linear`; candle loads the same names. Values are the
    /// integers over `2^weight_bits`, rounded once to `f32`. Metadata: `format = "pt"` and the schema.
    ///
    /// # Errors
    /// As for [`ModelFile::to_bytes`].
    pub fn export_float(&self) -> Result<Vec<u8>, ModelFileError> {
        self.check()?;
        // A power of two: multiplying by it is exact.
        let scale = (-f64::from(self.program.weight_bits())).exp2();
        let bytes = |integers: &mut dyn Iterator<Item = i64>| -> Vec<u8> {
            integers.flat_map(|integer| real(integer, scale).to_le_bytes()).collect()
        };
        let mut file = TensorFile::default();
        for (index, layer) in self.parameters.layers.iter().enumerate() {
            let (inputs, outputs) = (layer.inputs, layer.outputs);
            let mut transposed = (0..inputs * outputs)
                .map(|position| layer.weights[position % inputs * outputs + position / inputs]);
            let weights = bytes(&mut transposed);
            file.add(format!("layers.{index}.weight"), "F32", &[outputs, inputs], weights);
            let biases = bytes(&mut layer.biases.iter().copied());
            file.add(format!("layers.{index}.bias"), "F32", &[outputs], biases);
        }
        file.finish(BTreeMap::from([("format", "pt".to_owned()), (SCHEMA_KEY, self.schema_json()?)]))
    }

    /// Writes [`ModelFile::export_float`] atomically.
    ///
    /// # Errors
    /// [`ModelFileError::File`] and those of [`ModelFile::to_bytes`].
    pub fn write_float(&self, path: &Path) -> Result<(), ModelFileError> {
        write(path, &self.export_float()?)
    }

    /// The model's identity, as statements name it.
    ///
    /// # Errors
    /// [`ModelFileError::Tensors`] when the parameters have not the program's shape.
    pub fn digest(&self) -> Result<[u8; 32], ModelFileError> {
        self.parameters
            .digest(&self.program)
            .map_err(|error| ModelFileError::Tensors { found: error.to_string() })
    }

    fn metadata(&self) -> Result<BTreeMap<&'static str, String>, ModelFileError> {
        Ok(BTreeMap::from([
            (FORMAT_KEY, FORMAT.to_owned()),
            (VERSION_KEY, self.model_version.to_string()),
            (WEIGHT_BITS_KEY, self.program.weight_bits().to_string()),
            (PROGRAM_KEY, self.program.to_toml()),
            (SCHEMA_KEY, self.schema_json()?),
        ]))
    }

    fn schema_json(&self) -> Result<String, ModelFileError> {
        serde_json::to_string(&self.schema)
            .map_err(|error| ModelFileError::Metadata { key: SCHEMA_KEY, message: error.to_string() })
    }

    /// Program, parameters and schema agree.
    fn check(&self) -> Result<(), ModelFileError> {
        let widths = self.program.layers();
        same("number of layers", self.program.depth() as u64, self.parameters.layers.len() as u64)?;
        for (widths, layer) in widths.windows(2).zip(&self.parameters.layers) {
            same("inputs of a layer", widths[0] as u64, layer.inputs as u64)?;
            same("outputs of a layer", widths[1] as u64, layer.outputs as u64)?;
            same("weights of a layer", (widths[0] * widths[1]) as u64, layer.weights.len() as u64)?;
            same("biases of a layer", widths[1] as u64, layer.biases.len() as u64)?;
        }
        same("inputs by the data's columns", widths[0] as u64, self.schema.inputs() as u64)?;
        same("outputs by the label", widths[widths.len() - 1] as u64, self.schema.outputs() as u64)?;
        let bits = u64::from(self.program.activation_bits());
        same("activation_bits", bits, u64::from(self.schema.activation_bits))
    }
}

/// `integer·scale` in `f32`, rounded once: halfway cases that a detour over `f64` would round twice are decided by a
/// sticky bit below `f64`'s reach.
fn real(integer: i64, scale: f64) -> f32 {
    // Below 2^53 the conversion is exact, and the exponent of `scale` keeps the product a normal number.
    let magnitude = integer.unsigned_abs();
    let excess = (64 - magnitude.leading_zeros()).saturating_sub(53);
    let kept = (magnitude >> excess) | u64::from(excess > 0 && magnitude & ((1 << excess) - 1) != 0);
    let value = kept as f64 * f64::from(excess).exp2() * scale;
    (if integer < 0 { -value } else { value }) as f32
}

fn weight_name(index: usize) -> String {
    format!("layers.{}.weight", index + 1)
}

fn bias_name(index: usize) -> String {
    format!("layers.{}.bias", index + 1)
}

fn number(key: &'static str, text: &str) -> Result<u64, ModelFileError> {
    // One spelling a number: `+1` and `01` are refused.
    match text.parse::<u64>() {
        Ok(value) if value.to_string() == text => Ok(value),
        _ => Err(ModelFileError::Metadata { key, message: "not a whole number".to_owned() }),
    }
}

fn same(what: &'static str, expected: u64, found: u64) -> Result<(), ModelFileError> {
    if expected == found { Ok(()) } else { Err(ModelFileError::Mismatch { what, expected, found }) }
}

fn integers(tensors: &SafeTensors<'_>, name: String, shape: &[usize]) -> Result<Vec<i64>, ModelFileError> {
    let tensor = tensors
        .tensor(&name)
        .map_err(|_| ModelFileError::Tensors { found: format!("no tensor `{name}`") })?;
    if tensor.dtype() != Dtype::I64 || tensor.shape() != shape {
        let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
        return Err(ModelFileError::Tensor { name, expected: format!("I64 {shape:?}"), found });
    }
    let (words, _) = tensor.data().as_chunks::<8>();
    Ok(words.iter().map(|word| i64::from_le_bytes(*word)).collect())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelFileError> {
    write_atomic(path, bytes, Access::Shared)
        .map_err(|source| ModelFileError::File { path: path.to_owned(), source })
}

/// A tensor's entry in the header.
#[derive(Serialize)]
struct Entry {
    dtype: &'static str,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// The safetensors layout, written here because the library orders metadata by a random hash.
#[derive(Default)]
struct TensorFile {
    entries: BTreeMap<String, Entry>,
    data: Vec<u8>,
}

impl TensorFile {
    fn add(&mut self, name: String, dtype: &'static str, shape: &[usize], bytes: Vec<u8>) {
        let start = self.data.len();
        self.data.extend(bytes);
        let data_offsets = [start, self.data.len()];
        self.entries.insert(name, Entry { dtype, shape: shape.to_vec(), data_offsets });
    }

    fn finish(self, metadata: BTreeMap<&'static str, String>) -> Result<Vec<u8>, ModelFileError> {
        #[derive(Serialize)]
        struct Header {
            #[serde(rename = "__metadata__")]
            metadata: BTreeMap<&'static str, String>,
            #[serde(flatten)]
            entries: BTreeMap<String, Entry>,
        }
        let header = Header { metadata, entries: self.entries };
        let mut json = serde_json::to_vec(&header)
            .map_err(|error| ModelFileError::Metadata { key: "__metadata__", message: error.to_string() })?;
        // The data begins at a multiple of eight bytes so that it can be mapped into memory.
        json.resize(json.len().next_multiple_of(8), b' ');
        let mut bytes = Vec::with_capacity(8 + json.len() + self.data.len());
        bytes.extend((json.len() as u64).to_le_bytes());
        bytes.extend(json);
        bytes.extend(self.data);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Column, ColumnKind, Label, Target};

    const PROGRAM: &str = r#"
[model]
layers = [3, 4, 2]
activation = "relu"
loss = "softmax-cross-entropy"
[arithmetic]
activation_bits = 8
error_bits = 10
weight_bits = 30
[optimizer]
learning_rate = 0.125
momentum = 0.5
[contribution]
steps = 2
batch = 4
"#;

    fn model() -> ModelFile {
        let layer = |inputs: usize, outputs: usize, start: i64| LayerParameters {
            inputs,
            outputs,
            weights: (0..(inputs * outputs) as i64).map(|i| start + (i << 28)).collect(),
            biases: (0..outputs as i64).map(|i| -i).collect(),
        };
        let numeric = |name: &str| Column {
            name: name.to_owned(),
            kind: ColumnKind::Numeric { mean: 0.1, deviation: 1.0 / 3.0 },
        };
        let target = Target::Classes { classes: vec!["a".to_owned(), "b".to_owned()] };
        let mut first = layer(3, 4, 5);
        (first.weights[0], first.weights[1]) = (i64::MIN, i64::MAX);
        ModelFile {
            parameters: Parameters { layers: vec![first, layer(4, 2, -7)] },
            program: Program::parse(PROGRAM).unwrap(),
            model_version: 3,
            schema: Schema {
                columns: vec![numeric("x"), numeric("y"), numeric("z")],
                label: Label { name: "label".to_owned(), target },
                activation_bits: 8,
            },
        }
    }

    /// Changes the header's text (padding it back to eight bytes) and the data as told.
    fn altered(from: &str, to: &str) -> Vec<u8> {
        let bytes = model().to_bytes().unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
        assert!(header.contains(from), "{from} is not in {header}");
        let header = header.replacen(from, to, 1);
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + length..]].concat()
    }

    #[test]
    fn round_trips_in_equal_bytes() {
        let bytes = model().to_bytes().unwrap();
        let read = ModelFile::from_bytes(&bytes).unwrap();
        assert_eq!(read, model());
        assert_eq!(read.to_bytes().unwrap(), bytes);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.safetensors");
        model().write(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(ModelFile::read(&path).unwrap(), model());
    }

    #[test]
    fn the_program_survives_its_toml() {
        let program = model().program;
        assert_eq!(Program::parse(&program.to_toml()).unwrap(), program);
    }

    #[test]
    fn every_altered_part_is_refused_by_its_own_error() {
        let error = |from: &str, to: &str| ModelFile::from_bytes(&altered(from, to)).unwrap_err();
        let format = error(r#""weightproof.format":"1""#, r#""weightproof.format":"2""#);
        assert!(matches!(format, ModelFileError::Format { found } if found == "2"));
        let missing = error("weightproof.schema", "weightproof.sch");
        assert!(matches!(missing, ModelFileError::MissingMetadata { key: SCHEMA_KEY }));
        let version = error(r#"model_version":"3""#, r#"model_version":"03""#);
        assert!(matches!(version, ModelFileError::Metadata { key: VERSION_KEY, .. }));
        let bits = error(r#"weight_bits":"30""#, r#"weight_bits":"31""#);
        assert!(matches!(bits, ModelFileError::Mismatch { what: "weight_bits", expected: 30, found: 31 }));
        let program = error("relu", "reli");
        assert!(matches!(program, ModelFileError::Metadata { key: PROGRAM_KEY, .. }));
        let schema = error("\\\"deviation", "\\\"deviatiom");
        assert!(matches!(schema, ModelFileError::Metadata { key: SCHEMA_KEY, .. }));
        let name = error("layers.2.bias", "layers.3.bias");
        assert!(matches!(name, ModelFileError::Tensors { .. }));
        let kind = error(r#"{"dtype":"I64""#, r#"{"dtype":"U64""#);
        assert!(matches!(kind, ModelFileError::Tensor { .. }));
        let shape = error("[4,2]", "[2,4]");
        assert!(matches!(shape, ModelFileError::Tensor { .. }));
        let widths = error("layers = [3, 4, 2]", "layers = [3, 4, 4, 2]");
        assert!(matches!(widths, ModelFileError::Tensors { .. }));
        let activation_bits = error("activation_bits = 8", "activation_bits = 7");
        assert!(matches!(activation_bits, ModelFileError::Mismatch { what: "activation_bits", .. }));
    }

    #[test]
    fn damaged_bytes_are_refused_without_a_panic() {
        let bytes = model().to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert!(ModelFile::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(ModelFile::from_bytes(&[&bytes[..], b"x"].concat()).is_err());
        let huge = [&u64::MAX.to_le_bytes()[..], &bytes[8..]].concat();
        assert!(matches!(ModelFile::from_bytes(&huge), Err(ModelFileError::NotSafetensors(_))));
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1;
            // Data and free text may change into another valid model, never into the same one.
            if let Ok(read) = ModelFile::from_bytes(&flipped) {
                assert_ne!(read, model(), "byte {position}");
            }
        }
        let missing = ModelFile::read(Path::new("no/such/model.safetensors"));
        assert!(matches!(missing, Err(ModelFileError::File { .. })));
    }

    #[test]
    fn a_contradicting_model_is_not_written() {
        let mut other = model();
        other.parameters.layers[0].weights.pop();
        assert!(matches!(other.to_bytes(), Err(ModelFileError::Mismatch { what: "weights of a layer", .. })));
        let mut other = model();
        other.schema.columns.pop();
        assert!(matches!(other.export_float(), Err(ModelFileError::Mismatch { .. })));
    }

    #[test]
    fn floats_are_transposed_and_scaled_for_other_tools() {
        let bytes = model().export_float().unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let mut names = tensors.names();
        names.sort_unstable();
        assert_eq!(names, ["layers.0.bias", "layers.0.weight", "layers.1.bias", "layers.1.weight"]);
        let weight = tensors.tensor("layers.1.weight").unwrap();
        assert_eq!((weight.dtype(), weight.shape()), (Dtype::F32, &[2usize, 4][..]));
        let values: Vec<f32> =
            weight.data().chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
        // Entry (input i, output o) is (−7 + (2i+o)·2^28)/2^30; a row of the file is one output.
        let expected: Vec<f32> = [0, 2, 4, 6, 1, 3, 5, 7]
            .iter()
            .map(|&position| ((-7.0 + f64::from(position) * 268_435_456.0) / 1_073_741_824.0) as f32)
            .collect();
        assert_eq!(values, expected);
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    }

    #[test]
    fn conversion_rounds_once() {
        assert_eq!(real(1 << 20, 1.0 / 1_048_576.0), 1.0);
        assert_eq!(real(i64::MIN, 1.0), -9_223_372_036_854_775_808.0);
        // 2^62 + 2^38 is halfway between two f32; one more unit tips it up, which f64 alone would lose.
        let halfway = (1i64 << 62) + (1 << 38);
        assert_eq!(real(halfway, 1.0), 4_611_686_018_427_387_904.0);
        assert_eq!(real(halfway + 1, 1.0), 4_611_686_568_183_201_792.0);
        assert_eq!(real(-halfway - 1, 1.0), -4_611_686_568_183_201_792.0);
    }
}
