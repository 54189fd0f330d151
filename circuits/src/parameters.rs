//! A model's integers, and updates, which have the same shape.
//!
//! # Digest
//!
//! SHA-256 over the domain `weightproof parameters`, `weight_bits` as `u32`, the number of widths as `u32`, each width
//! as `u32`, and then for each layer its weights (row-major) and its biases, each as `i64`; all little-endian.
//!
//! # Encoding
//!
//! For each layer its weights and then its biases; each of the two as one byte `w` and its integers in `w`-byte
//! little-endian two's complement, where `w` is the smallest of `1..=8` that holds all of them. The shape is the
//! program's and is not written.
use std::num::NonZeroU64;

use sha2::Digest;

use crate::draws::Draws;
use crate::encoding::{DecodeError, Reader, Writer, tagged_hash};
use crate::error::ErrorCode;
use crate::program::{Activation, Program};

/// One layer's weights (`inputs × outputs`, row-major: index `i·outputs + o`) and biases, at scale `2^weight_bits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerParameters {
    /// Inputs.
    pub inputs: usize,
    /// Outputs.
    pub outputs: usize,
    /// `inputs·outputs` integers.
    pub weights: Vec<i64>,
    /// `outputs` integers.
    pub biases: Vec<i64>,
}

/// A model `W⁰` or an update `U`: one entry a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Layers, first to last.
    pub layers: Vec<LayerParameters>,
}

/// A model or update has not the shape that its program declares.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("E201: expected parameters of shape {expected:?}, found {found}")]
pub struct ShapeError {
    /// The program's widths.
    pub expected: Vec<usize>,
    /// What is there instead.
    pub found: String,
}

/// Why an update cannot be added to a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The two have different shapes.
    #[error("E201: expected an update of the model's shape, found another (layer {layer})")]
    Shape {
        /// The first layer that differs, from 0.
        layer: usize,
    },
    /// A sum leaves 64 bits.
    #[error(
        "E306: expected sums within 64 bits, found {base} + {change} in layer {layer}; the update is far too large"
    )]
    Overflow {
        /// The layer, from 0.
        layer: usize,
        /// The model's integer.
        base: i64,
        /// The update's integer.
        change: i64,
    },
}

impl LayerParameters {
    fn zeros(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, weights: vec![0; inputs * outputs], biases: vec![0; outputs] }
    }

    /// Whether the lengths are the declared ones.
    fn consistent(&self) -> bool {
        self.inputs.checked_mul(self.outputs) == Some(self.weights.len()) && self.biases.len() == self.outputs
    }
}

impl Parameters {
    /// All-zero parameters of the program's shape.
    pub fn zeros(program: &Program) -> Self {
        Self {
            layers: shapes(program)
                .map(|(inputs, outputs)| LayerParameters::zeros(inputs, outputs))
                .collect(),
        }
    }

    /// A starting model that depends on nothing but the program and the seed, on every platform.
    ///
    /// Weights are uniform over the integers of `[−b, b]`. Hidden ReLU layers have `b = ⌊2^fw·√(6/inputs)⌋` (He), others
    /// `b = ⌊2^fw·√(6/(inputs + outputs))⌋` (Glorot), by integer square root. Layer `l` draws row-major from stream `l` of
    /// the key SHA-256(domain `weightproof initial parameters` ‖ seed ‖ program digest). Biases are zero.
    pub fn initial(program: &Program, seed: [u8; 32]) -> Self {
        let key: [u8; 32] = tagged_hash("weightproof initial parameters")
            .chain_update(seed)
            .chain_update(program.digest())
            .finalize()
            .into();
        let mut model = Self::zeros(program);
        let depth = program.depth();
        for (index, layer) in model.layers.iter_mut().enumerate() {
            let rectified = index + 1 < depth && program.activation() == Activation::Relu;
            let spread = if rectified { layer.inputs } else { layer.inputs + layer.outputs };
            let bound = initial_bound(program.weight_bits(), spread);
            // 2b + 1 is at least one: b is at most 2^42.
            let values = NonZeroU64::MIN.saturating_add(2 * bound);
            let mut draws = Draws::new(&key, index as u64);
            for weight in &mut layer.weights {
                *weight = draws.below(values) as i64 - bound as i64;
            }
        }
        model
    }

    /// Checks that the shape is the program's.
    ///
    /// # Errors
    /// [`ShapeError`] when it is not.
    pub fn check_shape(&self, program: &Program) -> Result<(), ShapeError> {
        let matches = self.layers.len() == program.depth()
            && self.layers.iter().zip(shapes(program)).all(|(layer, (inputs, outputs))| {
                (layer.inputs, layer.outputs) == (inputs, outputs) && layer.consistent()
            });
        if matches {
            return Ok(());
        }
        let found: Vec<String> = self
            .layers
            .iter()
            .take(program.depth() + 1)
            .map(|layer| {
                let (weights, biases) = (layer.weights.len(), layer.biases.len());
                format!("{}×{} ({weights} weights, {biases} biases)", layer.inputs, layer.outputs)
            })
            .collect();
        let found = format!("{} layers: {}", self.layers.len(), found.join(", "));
        Err(ShapeError { expected: program.layers().to_vec(), found })
    }

    /// The digest described in the [module documentation](self).
    ///
    /// # Errors
    /// [`ShapeError`] when the shape is not the program's.
    pub fn digest(&self, program: &Program) -> Result<[u8; 32], ShapeError> {
        self.check_shape(program)?;
        let mut hash = tagged_hash("weightproof parameters");
        hash.update(program.weight_bits().to_le_bytes());
        // Widths and their number are bounded by the program.
        hash.update((program.layers().len() as u32).to_le_bytes());
        for width in program.layers() {
            hash.update((*width as u32).to_le_bytes());
        }
        // Models hold millions of weights: they pass through one buffer, a block at a time.
        let mut buffer = [0u8; 8 * 1024];
        for tensor in self.tensors() {
            for block in tensor.chunks(1024) {
                for (bytes, value) in buffer.chunks_exact_mut(8).zip(block) {
                    bytes.copy_from_slice(&value.to_le_bytes());
                }
                hash.update(&buffer[..8 * block.len()]);
            }
        }
        Ok(hash.finalize().into())
    }

    /// `self + update`, exactly.
    ///
    /// # Errors
    /// [`ApplyError`] when the shapes differ or a sum leaves 64 bits; `self` is untouched either way.
    pub fn checked_add(&self, update: &Self) -> Result<Self, ApplyError> {
        if self.layers.len() != update.layers.len() {
            return Err(ApplyError::Shape { layer: self.layers.len().min(update.layers.len()) });
        }
        let mut layers = Vec::with_capacity(self.layers.len());
        for (layer, (base, change)) in self.layers.iter().zip(&update.layers).enumerate() {
            let same = base.inputs == change.inputs && base.outputs == change.outputs;
            if !same || !base.consistent() || !change.consistent() {
                return Err(ApplyError::Shape { layer });
            }
            let add = |base: &[i64], change: &[i64]| -> Result<Vec<i64>, ApplyError> {
                base.iter()
                    .zip(change)
                    .map(|(&base, &change)| {
                        base.checked_add(change).ok_or(ApplyError::Overflow { layer, base, change })
                    })
                    .collect()
            };
            layers.push(LayerParameters {
                inputs: base.inputs,
                outputs: base.outputs,
                weights: add(&base.weights, &change.weights)?,
                biases: add(&base.biases, &change.biases)?,
            });
        }
        Ok(Self { layers })
    }

    /// The largest magnitude of any integer.
    pub fn largest(&self) -> u64 {
        self.tensors().flatten().map(|value| value.unsigned_abs()).max().unwrap_or(0)
    }

    /// Appends the encoding described in the [module documentation](self).
    pub fn write(&self, writer: &mut Writer) {
        for tensor in self.tensors() {
            let width = byte_width(tensor);
            // Between 1 and 8.
            writer.u8(width as u8);
            for value in tensor {
                writer.raw(&value.to_le_bytes()[..width]);
            }
        }
    }

    /// The encoding described in the [module documentation](self).
    pub fn encode(&self) -> Vec<u8> {
        let size: usize = self.tensors().map(|tensor| 1 + tensor.len() * byte_width(tensor)).sum();
        let mut writer = Writer::with_capacity(size);
        self.write(&mut writer);
        writer.into_bytes()
    }

    /// Reads parameters of the program's shape.
    ///
    /// # Errors
    /// `E101` for a width that is not the smallest, `E103` for one above 8, `E106` when cut short.
    pub fn read(reader: &mut Reader<'_>, program: &Program) -> Result<Self, DecodeError> {
        let mut layers = Vec::with_capacity(program.depth());
        for (inputs, outputs) in shapes(program) {
            let weights = read_tensor(reader, "weights", inputs * outputs)?;
            let biases = read_tensor(reader, "biases", outputs)?;
            layers.push(LayerParameters { inputs, outputs, weights, biases });
        }
        Ok(Self { layers })
    }

    /// Reads parameters of the program's shape that fill `bytes`.
    ///
    /// # Errors
    /// As for [`Parameters::read`], and `E102` when bytes are left over.
    pub fn decode(bytes: &[u8], program: &Program) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let parameters = Self::read(&mut reader, program)?;
        reader.finish()?;
        Ok(parameters)
    }

    /// Weights and biases in the order of the digest and the encoding.
    fn tensors(&self) -> impl Iterator<Item = &[i64]> {
        self.layers.iter().flat_map(|layer| [layer.weights.as_slice(), layer.biases.as_slice()])
    }
}

/// Inputs and outputs of each layer.
fn shapes(program: &Program) -> impl Iterator<Item = (usize, usize)> + '_ {
    program.layers().iter().copied().zip(program.layers().iter().skip(1).copied())
}

/// `⌊2^fw·√(6/spread)⌋ = ⌊√⌊6·2^(2fw)/spread⌋⌋`.
fn initial_bound(weight_bits: u32, spread: usize) -> u64 {
    // At most √6·2^40 for the largest weight_bits.
    (((6u128 << (2 * weight_bits)) / spread.max(1) as u128).isqrt()) as u64
}

/// The fewest bytes of two's complement that hold every value.
fn byte_width(tensor: &[i64]) -> usize {
    width_of(tensor.iter().fold(0, |magnitudes, value| magnitudes | (value ^ (value >> 63))))
}

/// Bytes for values `v` whose `v ^ (v >> 63)` have these bits among them; one more bit holds the sign.
fn width_of(magnitudes: i64) -> usize {
    (64 - magnitudes.leading_zeros() as usize + 1).div_ceil(8)
}

fn read_tensor(reader: &mut Reader<'_>, what: &'static str, length: usize) -> Result<Vec<i64>, DecodeError> {
    let start = reader.clone();
    let width = usize::from(reader.u8(what)?);
    if !(1..=8).contains(&width) {
        return Err(start.error(ErrorCode::E103, what, "a width of 1 to 8 bytes", width.to_string()));
    }
    // The program bounds the length far below 2^61, and the bytes must be there before room is made.
    let bytes = reader.raw(what, length * width)?;
    // A constant width lets each loop be compiled for itself.
    let (values, least) = match width {
        1 => widen::<1>(bytes),
        2 => widen::<2>(bytes),
        3 => widen::<3>(bytes),
        4 => widen::<4>(bytes),
        5 => widen::<5>(bytes),
        6 => widen::<6>(bytes),
        7 => widen::<7>(bytes),
        _ => widen::<8>(bytes),
    };
    if least != width {
        let expected = format!("the smallest width, {least} bytes");
        return Err(start.error(ErrorCode::E101, what, expected, width.to_string()));
    }
    Ok(values)
}

/// `W`-byte little-endian two's complement, sign-extended, and the fewest bytes that hold every value.
fn widen<const W: usize>(bytes: &[u8]) -> (Vec<i64>, usize) {
    let mut magnitudes = 0i64;
    let mut extend = |word: [u8; 8]| {
        // The value is in the low W bytes.
        let value = (i64::from_le_bytes(word) << (8 * (8 - W))) >> (8 * (8 - W));
        magnitudes |= value ^ (value >> 63);
        value
    };
    let mut values = Vec::with_capacity(bytes.len() / W);
    // Whole words are read while they fit: that is faster than assembling each value from its bytes.
    values.extend(bytes.windows(8).step_by(W).map(|window| {
        let mut word = [0u8; 8];
        word.copy_from_slice(window);
        extend(word)
    }));
    let done = values.len() * W;
    values.extend(bytes[done..].chunks_exact(W).map(|chunk| {
        let mut word = [0u8; 8];
        word[..W].copy_from_slice(chunk);
        extend(word)
    }));
    (values, width_of(magnitudes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn program() -> Program {
        Program::default_for(3, 2).unwrap()
    }

    fn hex(bytes: [u8; 32]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_digest_is_pinned() {
        // SHA-256 of the documented bytes, computed apart from this code: every integer is its place in the order.
        let mut model = Parameters::zeros(&program());
        let mut place = 0i64;
        for layer in &mut model.layers {
            for value in layer.weights.iter_mut().chain(&mut layer.biases) {
                *value = if place % 2 == 0 { place } else { -place };
                place += 1;
            }
        }
        assert_eq!(
            hex(model.digest(&program()).unwrap()),
            "d97f55dfbe127a64988ed05f06685dd3c04b7067f7709a69d1cf309e2d7dee03"
        );
    }

    #[test]
    fn each_integer_and_the_scale_change_the_digest() {
        let model = Parameters::initial(&program(), [1; 32]);
        let digest = model.digest(&program()).unwrap();
        for layer in 0..2 {
            for index in 0..model.layers[layer].weights.len() {
                let mut changed = model.clone();
                changed.layers[layer].weights[index] += 1;
                assert_ne!(changed.digest(&program()).unwrap(), digest);
            }
            let mut changed = model.clone();
            changed.layers[layer].biases[1] -= 1;
            assert_ne!(changed.digest(&program()).unwrap(), digest);
        }
        let mut finer = program().spec();
        finer.weight_bits = Some(30);
        assert_ne!(model.digest(&Program::validate(finer).unwrap()).unwrap(), digest);
    }

    #[test]
    fn another_shape_is_refused() {
        let model = Parameters::zeros(&program());
        assert_eq!(model.check_shape(&program()), Ok(()));
        let mut cases = vec![model.clone(); 5];
        cases[0].layers.pop();
        cases[1].layers[0].weights.pop();
        cases[2].layers[1].biases.push(0);
        // The same number of weights, transposed.
        (cases[3].layers[0].inputs, cases[3].layers[0].outputs) = (32, 3);
        (cases[4].layers[0].inputs, cases[4].layers[0].outputs) = (usize::MAX, usize::MAX);
        for case in cases {
            assert!(case.check_shape(&program()).is_err());
            assert!(case.digest(&program()).is_err());
            assert!(matches!(model.checked_add(&case), Err(ApplyError::Shape { .. })), "{case:?}");
        }
    }

    #[test]
    fn sums_are_exact_or_refused() {
        let mut base = Parameters::zeros(&program());
        let mut update = base.clone();
        base.layers[1].weights[3] = i64::MAX - 5;
        update.layers[1].weights[3] = 5;
        update.layers[0].biases[31] = -7;
        let sum = base.checked_add(&update).unwrap();
        assert_eq!((sum.layers[1].weights[3], sum.layers[0].biases[31]), (i64::MAX, -7));
        assert_eq!(sum.largest(), i64::MAX as u64);
        update.layers[1].weights[3] = 6;
        let error = base.checked_add(&update).unwrap_err();
        assert_eq!(error, ApplyError::Overflow { layer: 1, base: i64::MAX - 5, change: 6 });
    }

    #[test]
    fn the_encoding_is_the_documented_one() {
        let mut spec = program().spec();
        spec.layers = vec![1, 2];
        let program = Program::validate(spec).unwrap();
        let layer =
            LayerParameters { inputs: 1, outputs: 2, weights: vec![127, -128], biases: vec![128, -1] };
        let model = Parameters { layers: vec![layer] };
        let bytes = model.encode();
        assert_eq!(bytes, [1, 127, 128, 2, 128, 0, 255, 255]);
        assert_eq!(Parameters::decode(&bytes, &program), Ok(model));
        let refused = |bytes: &[u8]| Parameters::decode(bytes, &program).unwrap_err().code;
        assert_eq!(refused(&[2, 127, 0, 128, 255, 2, 128, 0, 255, 255]), ErrorCode::E101);
        assert_eq!(refused(&[0, 1, 0, 0]), ErrorCode::E103);
        assert_eq!(refused(&[9, 127, 128, 2, 128, 0, 255, 255]), ErrorCode::E103);
        assert_eq!(refused(&[1, 127, 128, 2, 128, 0, 255, 255, 0]), ErrorCode::E102);
        for end in 0..bytes.len() {
            assert_eq!(refused(&bytes[..end]), ErrorCode::E106, "{end}");
        }
    }

    #[test]
    fn widths_are_minimal_at_every_boundary() {
        for width in 1..=8usize {
            let high = (1i128 << (8 * width - 1)) - 1;
            let (high, low) = (high as i64, (-high - 1) as i64);
            assert_eq!(byte_width(&[0, high]), width);
            assert_eq!(byte_width(&[low, 0]), width);
            if width < 8 {
                assert_eq!(byte_width(&[high + 1]), width + 1);
                assert_eq!(byte_width(&[low - 1]), width + 1);
            }
        }
        assert_eq!(byte_width(&[0, 0]), 1);
    }

    #[test]
    fn initial_weights_are_pinned_uniform_and_bounded() {
        // The pinned digest comes from a second implementation of the documented draws.
        let program = Program::default_for(30, 2).unwrap();
        let model = Parameters::initial(&program, [5; 32]);
        assert_eq!(model, Parameters::initial(&program, [5; 32]));
        assert_ne!(model, Parameters::initial(&program, [6; 32]));
        assert!(model.layers.iter().all(|layer| layer.biases.iter().all(|bias| *bias == 0)));
        // ⌊√(6/30)·2^26⌋ and ⌊√(6/34)·2^26⌋.
        for (layer, bound) in model.layers.iter().zip([30_011_996i64, 28_191_361]) {
            let largest = layer.weights.iter().map(|weight| weight.abs()).max().unwrap();
            assert!(largest <= bound && largest > bound * 9 / 10, "{largest} {bound}");
            assert_eq!(initial_bound(26, if layer.inputs == 30 { 30 } else { 34 }) as i64, bound);
        }
        let weights = &model.layers[0].weights;
        let mean = weights.iter().sum::<i64>() / weights.len() as i64;
        assert!(mean.abs() < 30_011_996 / 10, "{mean}");
        assert_eq!(
            hex(model.digest(&program).unwrap()),
            "bd3b5c8440085cc9a47f9f4f3ab56ee0e645d9e8c81b4c2a9328b0eb0db46719"
        );
    }

    #[test]
    fn bounds_are_integer_roots() {
        for bits in [20, 26, 40] {
            for spread in [1usize, 2, 6, 30, 64, 65_536, 131_072] {
                let bound = u128::from(initial_bound(bits, spread));
                let square = 6u128 << (2 * bits);
                assert!(bound * bound * spread as u128 <= square);
                assert!((bound + 1) * (bound + 1) * spread as u128 > square);
            }
        }
    }

    proptest! {
        #![proptest_config(crate::seeded_cases(128))]
        #[test]
        fn encodings_round_trip(
            values in proptest::collection::vec(any::<i64>(), 3 * 32 + 32 + 64 + 2), shift in 0u32..64,
        ) {
            let mut model = Parameters::zeros(&program());
            let mut source = values.iter().map(|value| value >> shift);
            for layer in &mut model.layers {
                layer.weights.iter_mut().chain(&mut layer.biases).for_each(|value| *value = source.next().unwrap());
            }
            let bytes = model.encode();
            prop_assert_eq!(Parameters::decode(&bytes, &program()), Ok(model));
        }

        #[test]
        fn what_decodes_is_canonical(mut bytes in proptest::collection::vec(any::<u8>(), 0..16), width in 0u8..9) {
            let mut spec = program().spec();
            spec.layers = vec![1, 2];
            let program = Program::validate(spec).unwrap();
            if let Some(first) = bytes.first_mut() {
                *first = width;
            }
            if let Ok(model) = Parameters::decode(&bytes, &program) {
                prop_assert_eq!(model.encode(), bytes);
            }
        }
    }
}
