//! The training program: what a TOML file names, validated into one type whose digest is its identity.
//!
//! ```toml
//! [model]
//! layers = [30, 32, 2]                 # inputs, hidden…, outputs
//! activation = "relu"                  # or "identity"
//! loss = "softmax-cross-entropy"       # or "squared-error"
//! [arithmetic]                         # fraction bits; may be left out, as a whole or in part
//! activation_bits = 8
//! error_bits = 10
//! weight_bits = 26                     # derived from the rates when left out
//! [optimizer]
//! learning_rate = 0.125
//! momentum = 0.0                       # may be left out
//! [contribution]
//! steps = 16
//! batch = 32
//! weight = 1.0                         # averaging weight, may be left out
//! ```
//!
//! # Coefficients (specs/protocol/program.md)
//!
//! With `s = fw − fa − fe`, heavy-ball momentum is a matrix of integers on the grid `B·2^−s`:
//!
//! ```text
//! C[k][j] = ⌊ v(k−j) + 1/2 ⌋  for j < k     v(n) = η/B · 2^s · (1 + μ + … + μ^(n−1))
//! out[j]  = ⌊ C[K][j]·weight + 1/2 ⌋
//! ```
//!
//! in exact rational arithmetic. `weight_bits` suits the rates when each `v(n)` is an integer or at least
//! [`LEAST_GRID_UNITS`], and likewise each `out` entry before rounding, so that rounding changes no rate by more than
//! 1.6 %. Left out, it is the smallest of [`WEIGHT_BITS`] that suits.
use std::fmt;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use num_bigint::BigInt;
use sha2::Digest;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::batches::MAXIMUM_EXAMPLES;
use crate::decimal::Decimal;
use crate::encoding::{DecodeError, Reader, Writer, tagged_hash};
use crate::error::ErrorCode;
use crate::rates::Rates;

/// Allowed number of widths, inputs and outputs included.
pub const WIDTH_COUNT: RangeInclusive<usize> = 2..=64;
/// Allowed width of a layer.
pub const WIDTHS: RangeInclusive<usize> = 1..=65_536;
/// Allowed number of classes of softmax cross-entropy.
pub const CLASSES: RangeInclusive<usize> = 2..=4_096;
/// Allowed number of steps in a contribution.
pub const STEPS: RangeInclusive<usize> = 1..=4_096;
/// Allowed number of examples in a step.
pub const BATCH: RangeInclusive<usize> = 1..=65_536;
/// Allowed fraction bits of activations.
pub const ACTIVATION_BITS: RangeInclusive<u32> = 4..=12;
/// Allowed fraction bits of errors.
pub const ERROR_BITS: RangeInclusive<u32> = 4..=14;
/// Allowed fraction bits of weights.
pub const WEIGHT_BITS: RangeInclusive<u32> = 20..=40;
/// Fraction bits of activations when none are given.
pub const DEFAULT_ACTIVATION_BITS: u32 = 8;
/// Fraction bits of errors when none are given.
pub const DEFAULT_ERROR_BITS: u32 = 10;
/// An inexact coefficient is at least this many grid units.
pub const LEAST_GRID_UNITS: u32 = 32;
/// Coefficients stay below `2^COEFFICIENT_BITS`.
pub const COEFFICIENT_BITS: u32 = 40;
/// Most decimal places of the momentum: its powers up to the number of steps are computed exactly.
pub const MOMENTUM_PLACES: i16 = 9;
/// Entries of one activation tensor, each axis rounded up to a power of two, are at most `2^TENSOR_BITS`.
pub const TENSOR_BITS: u32 = 30;
/// Weights of all layers, each axis rounded up to a power of two, are at most `2^PARAMETER_BITS`.
pub const PARAMETER_BITS: u32 = 28;
/// Longest program text that is read, in bytes.
pub const MAXIMUM_TEXT: usize = 65_536;

/// Version of the canonical encoding.
const ENCODING_VERSION: u16 = 1;

/// Activation of the hidden layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `max(Q, 0)`.
    Relu,
    /// No activation: a linear layer.
    Identity,
}

/// Loss at the last layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Softmax and cross-entropy over one-hot labels.
    SoftmaxCrossEntropy,
    /// Squared error: regression targets, or one-hot labels at scale `2^activation_bits`.
    SquaredError,
}

impl Activation {
    /// All of them, in the order of their encoding.
    pub const ALL: [Self; 2] = [Self::Relu, Self::Identity];

    /// The name in a program file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Identity => "identity",
        }
    }
}

impl Loss {
    /// All of them, in the order of their encoding.
    pub const ALL: [Self; 2] = [Self::SoftmaxCrossEntropy, Self::SquaredError];

    /// The name in a program file.
    pub fn name(self) -> &'static str {
        match self {
            Self::SoftmaxCrossEntropy => "softmax-cross-entropy",
            Self::SquaredError => "squared-error",
        }
    }
}

/// The linear optimizer as public integers (specs/protocol/program.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coefficients {
    /// `⌊v(n) + 1/2⌋` for `n = 1 … K`, at `n − 1`. `C[k][j]` depends on `k − j` alone, so these are all of its entries.
    pub rates: Vec<i64>,
    /// `K`: `U = −Σ_j out[j]·G_j`.
    pub out: Vec<i64>,
}

impl Coefficients {
    /// `C[k][j]`: `W⁽ᵏ⁾ = W⁰ − Σ_{j<k} C[k][j]·G_j`; zero for `j ≥ k`.
    pub fn step(&self, k: usize, j: usize) -> i64 {
        k.checked_sub(j).and_then(|n| n.checked_sub(1)).and_then(|n| self.rates.get(n)).copied().unwrap_or(0)
    }

    /// `C[k][0], …, C[k][k−1]`: what row `k ≤ K` holds before its zeros.
    pub fn row(&self, k: usize) -> impl DoubleEndedIterator<Item = i64> + Clone + '_ {
        self.rates.iter().take(k).rev().copied()
    }
}

/// The values of a program before validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramSpec {
    /// Widths `[inputs, hidden…, outputs]`.
    pub layers: Vec<usize>,
    /// Activation of the hidden layers.
    pub activation: Activation,
    /// Loss at the last layer.
    pub loss: Loss,
    /// Fraction bits of inputs and activations.
    pub activation_bits: u32,
    /// Fraction bits of errors.
    pub error_bits: u32,
    /// Fraction bits of weights; derived from the rates when `None`.
    pub weight_bits: Option<u32>,
    /// Learning rate.
    pub learning_rate: Decimal,
    /// Heavy-ball momentum.
    pub momentum: Decimal,
    /// Optimizer steps in a contribution.
    pub steps: usize,
    /// Examples in a step.
    pub batch: usize,
    /// Averaging weight of a contribution.
    pub weight: Decimal,
}

/// One thing that is wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, such as `optimizer.learning_rate`.
    pub key: String,
    /// What was expected there.
    pub expected: String,
    /// What was found there.
    pub found: String,
}

/// Everything that is wrong with a program, at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramError {
    /// At least one problem, in the order of the file's sections.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ProgramError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(formatter, "the program has {count} problem{}", if count == 1 { "" } else { "s" })?;
        for problem in &self.problems {
            write!(formatter, "\n  {}: expected {}, found {}", problem.key, problem.expected, problem.found)?;
        }
        Ok(())
    }
}

impl std::error::Error for ProgramError {}

/// Why encoded bytes are no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramDecodeError {
    /// The bytes are not a canonical encoding.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// The bytes name a program that is not valid.
    #[error("E207: {0}")]
    Program(#[from] ProgramError),
}

impl ProgramDecodeError {
    /// The stable code: the encoding's own, or `E207`.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Encoding(error) => error.code,
            Self::Program(_) => ErrorCode::E207,
        }
    }
}

/// The rates that the integers realise, as exact decimal numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveRates {
    /// What multiplies a mean gradient in the step that follows it: `C[1][0]`, the learning rate.
    pub first: String,
    /// What multiplies the first mean gradient at the contribution's end: `C[K][0]`; with momentum up to `η/(1−μ)`.
    pub last: String,
    /// What multiplies the first mean gradient in the update: `out[0]`.
    pub out_first: String,
    /// What multiplies the last mean gradient in the update: `out[K−1]`.
    pub out_last: String,
}

/// A validated program. All fields are in range and consistent; `weight_bits` suits the rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    layers: Vec<usize>,
    activation: Activation,
    loss: Loss,
    activation_bits: u32,
    error_bits: u32,
    weight_bits: u32,
    learning_rate: Decimal,
    momentum: Decimal,
    steps: usize,
    batch: usize,
    weight: Decimal,
    coefficients: Coefficients,
}

impl Program {
    /// Widths `[inputs, hidden…, outputs]`.
    pub fn layers(&self) -> &[usize] {
        &self.layers
    }
    /// Number of matrix products in the forward pass.
    pub fn depth(&self) -> usize {
        self.layers.len() - 1
    }
    /// Activation of the hidden layers.
    pub fn activation(&self) -> Activation {
        self.activation
    }
    /// Loss at the last layer.
    pub fn loss(&self) -> Loss {
        self.loss
    }
    /// Fraction bits `fa` of inputs and activations.
    pub fn activation_bits(&self) -> u32 {
        self.activation_bits
    }
    /// Fraction bits `fe` of errors.
    pub fn error_bits(&self) -> u32 {
        self.error_bits
    }
    /// Fraction bits `fw` of weights.
    pub fn weight_bits(&self) -> u32 {
        self.weight_bits
    }
    /// Declared learning rate.
    pub fn learning_rate(&self) -> &Decimal {
        &self.learning_rate
    }
    /// Declared heavy-ball momentum.
    pub fn momentum(&self) -> &Decimal {
        &self.momentum
    }
    /// Optimizer steps `K` in a contribution.
    pub fn steps(&self) -> usize {
        self.steps
    }
    /// Examples `B` in a step.
    pub fn batch(&self) -> usize {
        self.batch
    }
    /// Averaging weight of a contribution.
    pub fn weight(&self) -> &Decimal {
        &self.weight
    }
    /// The optimizer's integers.
    pub fn coefficients(&self) -> &Coefficients {
        &self.coefficients
    }

    /// `fw − fa − fe`: the grid of the coefficients is `B·2^−shift`. May be negative.
    pub fn coefficient_shift(&self) -> i32 {
        shift(self.weight_bits, self.activation_bits, self.error_bits)
    }

    /// Outputs `C`: classes, or regression targets.
    pub fn outputs(&self) -> usize {
        self.layers.last().copied().unwrap_or_default()
    }

    /// Inputs.
    pub fn inputs(&self) -> usize {
        self.layers.first().copied().unwrap_or_default()
    }

    /// Number of weights and biases.
    pub fn parameter_count(&self) -> usize {
        self.layers
            .windows(2)
            .map(|pair| pair.iter().product::<usize>() + pair.last().copied().unwrap_or(0))
            .sum()
    }

    /// The program that is used when none is given. Two outputs: one hidden layer of 32, 16 steps of 32 examples,
    /// learning rate 1/8. More classes take more steps to tell apart: a hidden layer of 128, 64 steps of 32 examples,
    /// learning rate 1/4, and 6 activation bits, whose range of ±512 leaves room for columns that are nearly always
    /// zero and stand out by tens of deviations when they are not.
    ///
    /// # Errors
    /// When `inputs` or `outputs` are outside the limits.
    pub fn default_for(inputs: usize, outputs: usize) -> Result<Self, ProgramError> {
        let (hidden, activation_bits, rate_thousandths, steps) =
            if outputs > 2 { (128, 6, 250, 64) } else { (32, DEFAULT_ACTIVATION_BITS, 125, 16) };
        Self::validate(ProgramSpec {
            layers: vec![inputs, hidden, outputs],
            activation: Activation::Relu,
            loss: Loss::SoftmaxCrossEntropy,
            activation_bits,
            error_bits: DEFAULT_ERROR_BITS,
            weight_bits: None,
            learning_rate: Decimal::new(false, rate_thousandths, -3).unwrap_or(Decimal::ONE),
            momentum: Decimal::ZERO,
            steps,
            batch: 32,
            weight: Decimal::ONE,
        })
    }

    /// The values that make this program, `weight_bits` included.
    pub fn spec(&self) -> ProgramSpec {
        ProgramSpec {
            layers: self.layers.clone(),
            activation: self.activation,
            loss: self.loss,
            activation_bits: self.activation_bits,
            error_bits: self.error_bits,
            weight_bits: Some(self.weight_bits),
            learning_rate: self.learning_rate,
            momentum: self.momentum,
            steps: self.steps,
            batch: self.batch,
            weight: self.weight,
        }
    }

    /// Checks every value, derives what was left out and computes the coefficients.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn validate(spec: ProgramSpec) -> Result<Self, ProgramError> {
        let mut problems = Problems::default();
        problems.check_values(&spec);
        problems.finish()?;

        let rates = Rates::new(&spec);
        // More bits suit whatever fewer suit, so a given value is tried before the search.
        let least = match spec.weight_bits {
            Some(given) if rates.suit(given) => Some(given),
            _ => WEIGHT_BITS.into_iter().find(|&bits| rates.suit(bits)),
        };
        let units = format!("every coefficient exact or at least {LEAST_GRID_UNITS} units of the grid");
        let weight_bits = match (spec.weight_bits, least) {
            (Some(given), Some(least)) if given >= least => given,
            (None, Some(least)) => least,
            (Some(given), Some(least)) => {
                problems.add(
                    "arithmetic.weight_bits",
                    format!(
                        "at least {least}, the fewest that leave {units} (the learning rate, momentum and weight are \
                         divided into steps of batch·2^-(weight_bits - activation_bits - error_bits))"
                    ),
                    format!("{given}, which rounds a rate by more than 1.6 %; leave the key out to have it derived"),
                );
                given
            }
            (given, None) => {
                problems.add(
                    "arithmetic.weight_bits",
                    format!(
                        "a value up to {} that leaves {units}; use a larger learning rate or weight, a smaller \
                         batch, or fewer activation or error bits",
                        WEIGHT_BITS.end()
                    ),
                    given.map_or("none that suits the rates".to_owned(), |bits| bits.to_string()),
                );
                *WEIGHT_BITS.end()
            }
        };
        problems.finish()?;
        let Some(coefficients) = rates.coefficients(weight_bits) else {
            problems.add(
                "optimizer.learning_rate",
                format!(
                    "coefficients below 2^{COEFFICIENT_BITS}: a smaller rate or momentum, or fewer weight_bits than \
                     {weight_bits}"
                ),
                spec.learning_rate.to_string(),
            );
            return Err(ProgramError { problems: problems.list });
        };
        Ok(Self {
            layers: spec.layers,
            activation: spec.activation,
            loss: spec.loss,
            activation_bits: spec.activation_bits,
            error_bits: spec.error_bits,
            weight_bits,
            learning_rate: spec.learning_rate,
            momentum: spec.momentum,
            steps: spec.steps,
            batch: spec.batch,
            weight: spec.weight,
            coefficients,
        })
    }

    /// Reads a program file.
    ///
    /// # Errors
    /// Every problem at once: unknown keys, missing keys, values of the wrong kind and, where all values could be
    /// read, values outside their limits.
    pub fn parse(text: &str) -> Result<Self, ProgramError> {
        let mut problems = Problems::default();
        if text.len() > MAXIMUM_TEXT {
            problems.add("file", format!("at most {MAXIMUM_TEXT} bytes"), text.len().to_string());
            return Err(ProgramError { problems: problems.list });
        }
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let place = error.span().map_or_else(String::new, |span| {
                    let before = text.get(..span.start).unwrap_or_default();
                    format!("line {}: ", before.matches('\n').count() + 1)
                });
                problems.add("file", "TOML", format!("{place}{}", error.message()));
                return Err(ProgramError { problems: problems.list });
            }
        };
        Sections { table: &table, problems }.read()
    }

    /// The program as a file, with every value written out; parsing it gives the same program.
    pub fn to_toml(&self) -> String {
        let number = |value: &Decimal| {
            let text = value.to_string();
            if text.contains('.') { text } else { format!("{text}.0") }
        };
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "[model]\nlayers = {:?}\nactivation = \"{}\"\nloss = \"{}\"\n\
             [arithmetic]\nactivation_bits = {}\nerror_bits = {}\nweight_bits = {}\n\
             [optimizer]\nlearning_rate = {}\nmomentum = {}\n\
             [contribution]\nsteps = {}\nbatch = {}\nweight = {}\n",
            self.layers,
            self.activation.name(),
            self.loss.name(),
            self.activation_bits,
            self.error_bits,
            self.weight_bits,
            number(&self.learning_rate),
            number(&self.momentum),
            self.steps,
            self.batch,
            number(&self.weight),
        );
        text
    }

    /// Canonical bytes: version `u16`; number of widths `u8` and each width `u32`; activation, loss, `fa`, `fe`, `fw`
    /// one byte each; learning rate and momentum as decimals; steps, batch `u32`; weight as a decimal. A decimal is
    /// sign (one byte), digits `u64` and the two's complement exponent in one byte.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let decimal = |writer: &mut Writer, value: &Decimal| {
            writer.flag(value.is_negative());
            writer.u64(value.digits());
            // Exponents are within ±18.
            writer.u8(value.exponent() as i8 as u8);
        };
        writer.u16(ENCODING_VERSION);
        // Validation bounds every value by the width it is written in.
        writer.u8(self.layers.len() as u8);
        for width in &self.layers {
            writer.u32(*width as u32);
        }
        writer.u8(self.activation as u8);
        writer.u8(self.loss as u8);
        writer.u8(self.activation_bits as u8);
        writer.u8(self.error_bits as u8);
        writer.u8(self.weight_bits as u8);
        decimal(&mut writer, &self.learning_rate);
        decimal(&mut writer, &self.momentum);
        writer.u32(self.steps as u32);
        writer.u32(self.batch as u32);
        decimal(&mut writer, &self.weight);
        writer.into_bytes()
    }

    /// Reads canonical bytes and validates the program that they name.
    ///
    /// # Errors
    /// `E101` to `E106` for the bytes, `E207` for a program that is not valid.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProgramDecodeError> {
        let mut reader = Reader::new(bytes);
        let start = reader.clone();
        let version = reader.u16("program version")?;
        if version != ENCODING_VERSION {
            return Err(start
                .error(ErrorCode::E105, "program version", ENCODING_VERSION.to_string(), version.to_string())
                .into());
        }
        let start = reader.clone();
        let count = usize::from(reader.u8("number of widths")?);
        if !WIDTH_COUNT.contains(&count) {
            return Err(start
                .error(ErrorCode::E103, "number of widths", shown(&WIDTH_COUNT), count.to_string())
                .into());
        }
        let mut layers = Vec::with_capacity(count);
        for _ in 0..count {
            layers.push(reader.u32("width")? as usize);
        }
        let spec = ProgramSpec {
            layers,
            activation: choice(&mut reader, "activation", &Activation::ALL)?,
            loss: choice(&mut reader, "loss", &Loss::ALL)?,
            activation_bits: u32::from(reader.u8("activation bits")?),
            error_bits: u32::from(reader.u8("error bits")?),
            weight_bits: Some(u32::from(reader.u8("weight bits")?)),
            learning_rate: decimal(&mut reader, "learning rate")?,
            momentum: decimal(&mut reader, "momentum")?,
            steps: reader.u32("steps")? as usize,
            batch: reader.u32("batch")? as usize,
            weight: decimal(&mut reader, "weight")?,
        };
        reader.finish()?;
        Ok(Self::validate(spec)?)
    }

    /// The program's identity: SHA-256 of its canonical bytes under its own domain.
    pub fn digest(&self) -> [u8; 32] {
        tagged_hash("weightproof program").chain_update(self.encode()).finalize().into()
    }

    /// The rates that the integers realise.
    pub fn effective_rates(&self) -> EffectiveRates {
        let shown = |coefficient: Option<i64>| {
            let grid = BigInt::from(coefficient.unwrap_or_default()) * BigInt::from(self.batch);
            dyadic(grid, -self.coefficient_shift())
        };
        EffectiveRates {
            first: shown(self.coefficients.rates.first().copied()),
            last: shown(self.coefficients.rates.last().copied()),
            out_first: shown(self.coefficients.out.first().copied()),
            out_last: shown(self.coefficients.out.last().copied()),
        }
    }
}

/// `fw − fa − fe`; all are small.
fn shift(weight_bits: u32, activation_bits: u32, error_bits: u32) -> i32 {
    weight_bits as i32 - activation_bits as i32 - error_bits as i32
}

/// `value·2^power` (`value ≥ 0`) as a decimal number, exactly.
fn dyadic(value: BigInt, power: i32) -> String {
    if power >= 0 {
        return (value << power.unsigned_abs()).to_string();
    }
    // x/2^n = x·5^n / 10^n.
    let places = power.unsigned_abs() as usize;
    let digits = (value * BigInt::from(5u32).pow(power.unsigned_abs())).to_string();
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, part) = padded.split_at(padded.len() - places);
    let part = part.trim_end_matches('0');
    if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
}

/// One of a list, by its place in it.
fn choice<T: Copy>(reader: &mut Reader<'_>, what: &'static str, all: &[T]) -> Result<T, DecodeError> {
    let start = reader.clone();
    let index = reader.u8(what)?;
    all.get(usize::from(index))
        .copied()
        .ok_or_else(|| start.error(ErrorCode::E105, what, format!("below {}", all.len()), index.to_string()))
}

/// A decimal in its canonical form.
fn decimal(reader: &mut Reader<'_>, what: &'static str) -> Result<Decimal, DecodeError> {
    let start = reader.clone();
    let negative = reader.flag(what)?;
    let digits = reader.u64(what)?;
    let exponent = reader.u8(what)? as i8;
    let refused = |found: String| start.error(ErrorCode::E101, what, "a canonical decimal", found);
    let value =
        Decimal::new(negative, digits, i32::from(exponent)).map_err(|error| refused(error.to_string()))?;
    let same = value.is_negative() == negative
        && value.digits() == digits
        && value.exponent() == i16::from(exponent);
    if same { Ok(value) } else { Err(refused(format!("another form of {value}"))) }
}

/// `a to b`.
fn shown<T: fmt::Display>(range: &RangeInclusive<T>) -> String {
    format!("{} to {}", range.start(), range.end())
}

/// Problems as they are found.
#[derive(Default)]
struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    fn add(&mut self, key: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) {
        self.list.push(Problem { key: key.into(), expected: expected.into(), found: found.into() });
    }

    /// Ends with an error when there are problems.
    fn finish(&mut self) -> Result<(), ProgramError> {
        if self.list.is_empty() {
            return Ok(());
        }
        Err(ProgramError { problems: std::mem::take(&mut self.list) })
    }

    fn within<T: PartialOrd + fmt::Display>(
        &mut self,
        key: &str,
        range: &RangeInclusive<T>,
        found: T,
    ) -> bool {
        let inside = range.contains(&found);
        if !inside {
            self.add(key, shown(range), found.to_string());
        }
        inside
    }

    /// Every limit that does not need the coefficients.
    fn check_values(&mut self, spec: &ProgramSpec) {
        self.check_shape(spec);
        self.check_bits(spec);
        self.check_rates(spec);
    }

    fn check_shape(&mut self, spec: &ProgramSpec) {
        let mut sound = true;
        if !WIDTH_COUNT.contains(&spec.layers.len()) {
            self.add(
                "model.layers",
                format!("{} widths", shown(&WIDTH_COUNT)),
                spec.layers.len().to_string(),
            );
            sound = false;
        }
        for (index, width) in spec.layers.iter().enumerate() {
            sound &= self.within(&format!("model.layers[{index}]"), &WIDTHS, *width);
        }
        if let (Loss::SoftmaxCrossEntropy, Some(outputs)) = (spec.loss, spec.layers.last())
            && !CLASSES.contains(outputs)
        {
            let name = spec.loss.name();
            self.add("model.layers", format!("{} outputs for {name}", shown(&CLASSES)), outputs.to_string());
        }
        sound &= self.within("contribution.steps", &STEPS, spec.steps);
        sound &= self.within("contribution.batch", &BATCH, spec.batch);
        if !sound {
            return;
        }
        if spec.steps * spec.batch > MAXIMUM_EXAMPLES {
            self.add(
                "contribution",
                format!("at most {MAXIMUM_EXAMPLES} examples, steps × batch; use more contributions"),
                format!("{} × {}", spec.steps, spec.batch),
            );
        }
        // Every factor is at most 2^16, so three of them fit.
        let padded = |size: usize| size.next_power_of_two() as u64;
        for width in &spec.layers {
            let entries = padded(spec.steps) * padded(spec.batch) * padded(*width);
            if entries > 1 << TENSOR_BITS {
                self.add(
                    "contribution",
                    format!(
                        "steps × batch × width, each rounded up to a power of two, of at most 2^{TENSOR_BITS}; use \
                         fewer steps or a smaller batch"
                    ),
                    format!("{} × {} × {width}", spec.steps, spec.batch),
                );
                break;
            }
        }
        let weights: u64 =
            spec.layers.windows(2).map(|pair| pair.iter().map(|&width| padded(width)).product::<u64>()).sum();
        if weights > 1 << PARAMETER_BITS {
            self.add(
                "model.layers",
                format!("at most 2^{PARAMETER_BITS} weights, each width rounded up to a power of two"),
                weights.to_string(),
            );
        }
    }

    fn check_bits(&mut self, spec: &ProgramSpec) {
        let activation = self.within("arithmetic.activation_bits", &ACTIVATION_BITS, spec.activation_bits);
        let error = self.within("arithmetic.error_bits", &ERROR_BITS, spec.error_bits);
        if let Some(bits) = spec.weight_bits {
            self.within("arithmetic.weight_bits", &WEIGHT_BITS, bits);
        }
        if activation && error && spec.loss == Loss::SquaredError && spec.error_bits < spec.activation_bits {
            self.add(
                "arithmetic.error_bits",
                format!("at least activation_bits ({}) for {}", spec.activation_bits, spec.loss.name()),
                spec.error_bits.to_string(),
            );
        }
    }

    fn check_rates(&mut self, spec: &ProgramSpec) {
        if spec.learning_rate <= Decimal::ZERO {
            self.add("optimizer.learning_rate", "a number above 0", spec.learning_rate.to_string());
        }
        if spec.momentum < Decimal::ZERO || spec.momentum >= Decimal::ONE {
            self.add("optimizer.momentum", "at least 0 and below 1", spec.momentum.to_string());
        } else if spec.momentum.exponent() < -MOMENTUM_PLACES {
            let expected = format!("at most {MOMENTUM_PLACES} decimal places");
            self.add("optimizer.momentum", expected, spec.momentum.to_string());
        }
        if spec.weight <= Decimal::ZERO || spec.weight > Decimal::ONE {
            self.add("contribution.weight", "above 0 and at most 1", spec.weight.to_string());
        }
    }
}

/// The keys of each section, in the order of the file.
const KEYS: [(&str, &[&str]); 4] = [
    ("model", &["layers", "activation", "loss"]),
    ("arithmetic", &["activation_bits", "error_bits", "weight_bits"]),
    ("optimizer", &["learning_rate", "momentum"]),
    ("contribution", &["steps", "batch", "weight"]),
];

/// Reads a parsed file, collecting problems.
struct Sections<'t, 'i> {
    table: &'t DeTable<'i>,
    problems: Problems,
}

impl<'t, 'i> Sections<'t, 'i> {
    fn read(mut self) -> Result<Program, ProgramError> {
        self.refuse_unknown();
        let layers = self.widths();
        let activation = self.name("activation", &Activation::ALL.map(|choice| (choice.name(), choice)));
        let loss = self.name("loss", &Loss::ALL.map(|choice| (choice.name(), choice)));
        let bits = |given: Option<usize>| given.map(|bits| u32::try_from(bits).unwrap_or(u32::MAX));
        let activation_bits = bits(self.integer("arithmetic", "activation_bits", false));
        let error_bits = bits(self.integer("arithmetic", "error_bits", false));
        let weight_bits = bits(self.integer("arithmetic", "weight_bits", false));
        let learning_rate = self.decimal("optimizer", "learning_rate", true);
        let momentum = self.decimal("optimizer", "momentum", false);
        let steps = self.integer("contribution", "steps", true);
        let batch = self.integer("contribution", "batch", true);
        let weight = self.decimal("contribution", "weight", false);

        // Values that could not be read are already listed; stand-ins that break no rule let the others be checked in
        // the same pass.
        let classes =
            layers.as_ref().is_none_or(|widths| widths.last().is_some_and(|last| CLASSES.contains(last)));
        let stand_in = if classes { Loss::SoftmaxCrossEntropy } else { Loss::SquaredError };
        let spec = ProgramSpec {
            layers: layers.unwrap_or_else(|| vec![2, 2]),
            activation: activation.unwrap_or(Activation::Relu),
            loss: loss.unwrap_or(stand_in),
            activation_bits: activation_bits.unwrap_or(DEFAULT_ACTIVATION_BITS),
            error_bits: error_bits.unwrap_or(DEFAULT_ERROR_BITS),
            weight_bits,
            learning_rate: learning_rate.unwrap_or(Decimal::ONE),
            momentum: momentum.unwrap_or(Decimal::ZERO),
            steps: steps.unwrap_or(1),
            batch: batch.unwrap_or(1),
            weight: weight.unwrap_or(Decimal::ONE),
        };
        if self.problems.list.is_empty() {
            return Program::validate(spec);
        }
        self.problems.check_values(&spec);
        Err(ProgramError { problems: self.problems.list })
    }

    fn refuse_unknown(&mut self) {
        for (section, value) in self.table {
            let Some((_, keys)) = KEYS.iter().find(|(name, _)| name == section.get_ref()) else {
                let sections = KEYS.map(|(name, _)| name).join(", ");
                self.problems.add(brief(section.get_ref()), format!("one of {sections}"), "an unknown key");
                continue;
            };
            let Some(table) = value.get_ref().as_table() else {
                self.problems.add(brief(section.get_ref()), "a table", value.get_ref().type_str());
                continue;
            };
            for key in table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref())) {
                self.problems.add(
                    format!("{}.{}", section.get_ref(), brief(key.get_ref())),
                    format!("one of {}", keys.join(", ")),
                    "an unknown key",
                );
            }
        }
    }

    /// The value of a key; a missing one is a problem when it is required.
    fn value(&mut self, section: &str, key: &str, required: bool, expected: &str) -> Option<&'t DeValue<'i>> {
        let table = self.table.get(section).and_then(|value| value.get_ref().as_table());
        let value = table.and_then(|table| table.get(key)).map(|value| value.get_ref());
        if value.is_none() && required {
            self.problems.add(format!("{section}.{key}"), expected, "nothing");
        }
        value
    }

    fn integer(&mut self, section: &str, key: &str, required: bool) -> Option<usize> {
        let expected = "a whole number";
        let value = self.value(section, key, required, expected)?;
        let parsed = value.as_integer().and_then(whole);
        if parsed.is_none() {
            self.problems.add(format!("{section}.{key}"), expected, describe(value));
        }
        parsed
    }

    fn decimal(&mut self, section: &str, key: &str, required: bool) -> Option<Decimal> {
        let expected = "a number";
        let value = self.value(section, key, required, expected)?;
        // Both keep the text as it stands in the file, without underscores: no float is ever made of it.
        let text = match value {
            DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str()),
            DeValue::Float(float) => Some(float.as_str()),
            _ => None,
        };
        match text.map(str::parse::<Decimal>) {
            Some(Ok(value)) => Some(value),
            Some(Err(error)) => {
                self.problems.add(format!("{section}.{key}"), expected, error.to_string());
                None
            }
            None => {
                self.problems.add(format!("{section}.{key}"), expected, describe(value));
                None
            }
        }
    }

    fn name<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let expected = names.join(" or ");
        let value = self.value("model", key, true, &expected)?;
        let found = choices.iter().find(|(name, _)| value.as_str() == Some(name)).map(|(_, choice)| *choice);
        if found.is_none() {
            self.problems.add(format!("model.{key}"), expected, describe(value));
        }
        found
    }

    fn widths(&mut self) -> Option<Vec<usize>> {
        let expected = "a list of widths such as [30, 32, 2]";
        let value = self.value("model", "layers", true, expected)?;
        let Some(array) = value.as_array() else {
            self.problems.add("model.layers", expected, describe(value));
            return None;
        };
        let mut widths = Vec::new();
        let mut sound = true;
        for (index, entry) in array.iter().enumerate() {
            match entry.get_ref().as_integer().and_then(whole) {
                Some(width) => widths.push(width),
                None => {
                    let found = describe(entry.get_ref());
                    self.problems.add(format!("model.layers[{index}]"), "a whole number", found);
                    sound = false;
                }
            }
        }
        sound.then_some(widths)
    }
}

/// A whole number that fits; what is too large for `usize` is far outside every limit.
fn whole(integer: &DeInteger<'_>) -> Option<usize> {
    usize::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A value as an error message shows it.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{}\"", brief(text)),
        DeValue::Integer(integer) => brief(integer.as_str()),
        DeValue::Float(float) => brief(float.as_str()),
        DeValue::Boolean(value) => value.to_string(),
        other => format!("a value of type {}", other.type_str()),
    }
}

/// At most sixty characters of a text, control characters escaped: error messages stay short whatever a file holds.
fn brief(text: &str) -> String {
    let short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = r#"
        [model]
        layers = [30, 32, 2]                 # inputs, hidden…, outputs
        activation = "relu"                  # or "identity"
        loss = "softmax-cross-entropy"       # or "squared-error"
        [arithmetic]                         # fraction bits
        activation_bits = 8
        error_bits = 10
        weight_bits = 26
        [optimizer]
        learning_rate = 0.125
        momentum = 0.0
        [contribution]
        steps = 16
        batch = 32
        weight = 1.0
    "#;

    fn spec() -> ProgramSpec {
        Program::default_for(30, 2).unwrap().spec()
    }

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn keys(error: &ProgramError) -> Vec<&str> {
        error.problems.iter().map(|problem| problem.key.as_str()).collect()
    }

    #[test]
    fn the_published_example_is_the_default_program() {
        let program = Program::parse(EXAMPLE).unwrap();
        assert_eq!(program, Program::default_for(30, 2).unwrap());
        assert_eq!(program.weight_bits(), 26, "derived bits agree with the example's");
        assert_eq!(program.parameter_count(), 1_058);
        // η/B·2^(fw−fa−fe) = 2^-3·2^-5·2^8 = 1.
        assert_eq!(program.coefficients().out, vec![1; 16]);
        assert_eq!(program.coefficients().rates, vec![1; 16]);
        for k in 0..=16 {
            let row: Vec<i64> = (0..16).map(|j| program.coefficients().step(k, j)).collect();
            let expected: Vec<i64> = (0..16).map(|j| i64::from(j < k)).collect();
            assert_eq!(row, expected);
            assert!(program.coefficients().row(k).eq(expected[..k].iter().copied()));
        }
        let rates = program.effective_rates();
        assert_eq!((rates.first.as_str(), rates.last.as_str()), ("0.125", "0.125"));
        assert_eq!((rates.out_first.as_str(), rates.out_last.as_str()), ("0.125", "0.125"));
    }

    #[test]
    fn everything_optional_may_be_left_out() {
        let short = "model = {layers=[30,32,2], activation='relu', loss='softmax-cross-entropy'}\n\
                     optimizer = {learning_rate=125e-3}\ncontribution = {steps=0x10, batch=3_2}";
        assert_eq!(Program::parse(short), Program::parse(EXAMPLE));
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let error = Program::parse(
            "extra = 1\nmodel = {layers=[1,'a',-2], activation='tanh', depth=3}\n\
             arithmetic = {activation_bits=8.5, error_bits=99}\noptimizer = {momentum=inf, learning_rate='fast'}\n\
             contribution = {steps=0, weight=1.5}",
        )
        .unwrap_err();
        let mut found = keys(&error);
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "arithmetic.activation_bits",
                "arithmetic.error_bits",
                "contribution.batch",
                "contribution.steps",
                "contribution.weight",
                "extra",
                "model.activation",
                "model.depth",
                "model.layers[1]",
                "model.layers[2]",
                "model.loss",
                "optimizer.learning_rate",
                "optimizer.momentum",
            ]
        );
        let text = error.to_string();
        assert!(text.starts_with("the program has 13 problems\n"), "{text}");
        assert!(
            text.contains("model.activation: expected \"relu\" or \"identity\", found \"tanh\""),
            "{text}"
        );
        assert!(text.contains("contribution.weight: expected above 0 and at most 1, found 1.5"), "{text}");
    }

    #[test]
    fn what_is_missing_hides_no_other_problem_and_invents_none() {
        let error = Program::parse("[contribution]\nsteps = 4\nbatch = 65536").unwrap_err();
        let mut found = keys(&error);
        found.sort_unstable();
        assert_eq!(found, ["model.activation", "model.layers", "model.loss", "optimizer.learning_rate"]);
        let error = Program::parse("[model]\nlayers = [4, 1]\nactivation = 'relu'").unwrap_err();
        assert!(!keys(&error).contains(&"arithmetic.weight_bits"));
        assert_eq!(keys(&error).iter().filter(|key| **key == "model.layers").count(), 0, "{error}");
    }

    #[test]
    fn text_that_is_no_toml_names_its_line() {
        let error = Program::parse("[model]\nlayers = [1,\n\n[oops").unwrap_err();
        assert_eq!(keys(&error), ["file"]);
        assert!(error.problems[0].found.starts_with("line "), "{error}");
        assert!(Program::parse(&"#".repeat(MAXIMUM_TEXT + 1)).is_err());
        assert!(Program::parse(&format!("a = {}", "[".repeat(60_000))).is_err(), "deep nesting is refused");
        let twice = format!("{EXAMPLE}\n[model]\nlayers=[1,2]");
        assert!(Program::parse(&twice).is_err(), "a section may stand once");
    }

    #[test]
    fn limits_hold_on_both_sides() {
        type Change = fn(&mut ProgramSpec);
        let refused: [(&str, Change); 22] = [
            ("model.layers", |s| s.layers = vec![3]),
            ("model.layers", |s| s.layers = vec![2; 65]),
            ("model.layers[1]", |s| s.layers = vec![2, 0, 2]),
            ("model.layers[0]", |s| s.layers = vec![65_537, 2]),
            ("model.layers", |s| s.layers = vec![2, 1]),
            ("model.layers", |s| s.layers = vec![2, 4_097]),
            ("model.layers", |s| s.layers = vec![65_536, 8_192, 2]),
            ("contribution", |s| (s.steps, s.batch, s.layers) = (64, 4_096, vec![4_097, 2])),
            ("contribution", |s| (s.steps, s.batch) = (1_024, 1_025)),
            ("contribution.steps", |s| s.steps = 4_097),
            ("contribution.steps", |s| s.steps = 0),
            ("contribution.batch", |s| s.batch = 65_537),
            ("arithmetic.activation_bits", |s| s.activation_bits = 3),
            ("arithmetic.activation_bits", |s| s.activation_bits = 13),
            ("arithmetic.error_bits", |s| s.error_bits = 15),
            ("arithmetic.weight_bits", |s| s.weight_bits = Some(19)),
            ("arithmetic.weight_bits", |s| s.weight_bits = Some(41)),
            ("optimizer.learning_rate", |s| s.learning_rate = Decimal::ZERO),
            ("optimizer.learning_rate", |s| s.learning_rate = Decimal::new(false, 1, 13).unwrap()),
            ("optimizer.momentum", |s| s.momentum = Decimal::ONE),
            ("optimizer.momentum", |s| s.momentum = Decimal::new(false, 1, -10).unwrap()),
            ("contribution.weight", |s| s.weight = Decimal::ZERO),
        ];
        for (index, (key, change)) in refused.into_iter().enumerate() {
            let mut changed = spec();
            change(&mut changed);
            let error = Program::validate(changed).unwrap_err();
            assert_eq!(keys(&error), [key], "case {index}: {error}");
        }
        let accepted: [Change; 7] = [
            |s| s.layers = vec![2; 64],
            |s| s.layers = vec![1, 4_096],
            |s| (s.layers, s.weight_bits) = (vec![65_536, 2], None),
            |s| (s.layers, s.loss) = (vec![1, 1], Loss::SquaredError),
            |s| (s.steps, s.batch, s.weight_bits) = (4_096, 1, None),
            |s| (s.steps, s.batch, s.weight_bits) = (1, 65_536, None),
            |s| (s.activation_bits, s.error_bits, s.weight_bits) = (12, 14, None),
        ];
        for (index, change) in accepted.into_iter().enumerate() {
            let mut changed = spec();
            change(&mut changed);
            assert!(Program::validate(changed.clone()).is_ok(), "case {index}: {changed:?}");
        }
    }

    #[test]
    fn squared_error_needs_error_bits_for_its_activations() {
        let mut changed = spec();
        (changed.loss, changed.activation_bits, changed.error_bits) = (Loss::SquaredError, 10, 9);
        assert_eq!(keys(&Program::validate(changed.clone()).unwrap_err()), ["arithmetic.error_bits"]);
        changed.error_bits = 10;
        changed.weight_bits = None;
        assert!(Program::validate(changed).is_ok());
    }

    #[test]
    fn weight_bits_too_small_are_refused_with_the_value_needed() {
        let mut changed = spec();
        changed.weight_bits = Some(25);
        let error = Program::validate(changed.clone()).unwrap_err();
        assert_eq!(keys(&error), ["arithmetic.weight_bits"]);
        assert!(error.problems[0].expected.starts_with("at least 26,"), "{error}");
        assert!(error.problems[0].found.starts_with("25"), "{error}");
        // 0.1/32·2^(fw−18) ≥ 32 first at fw = 32: 51.2.
        changed.learning_rate = decimal("0.1");
        changed.weight_bits = None;
        let derived = Program::validate(changed.clone()).unwrap();
        assert_eq!(derived.weight_bits(), 32);
        assert_eq!(derived.coefficients().out[0], 51);
        assert_eq!(derived.effective_rates().first, "0.099609375");
        // A third of it in the update needs one bit more: 102.4/3 = 34.1.
        changed.weight = decimal("0.333333");
        let shared = Program::validate(changed).unwrap();
        assert_eq!((shared.weight_bits(), shared.coefficients().out[0]), (33, 34));
    }

    #[test]
    fn no_weight_bits_suit_a_tiny_rate() {
        let mut changed = spec();
        changed.weight_bits = None;
        changed.learning_rate = decimal("0.000000001");
        let error = Program::validate(changed).unwrap_err();
        assert_eq!(keys(&error), ["arithmetic.weight_bits"]);
    }

    #[test]
    fn coefficients_are_the_velocity_recursion() {
        // v ← μ·v + g, W ← W − η·v, with unit gradients one at a time, in exact integers scaled by q^K.
        for (text, steps) in [("0.9", 6usize), ("0.5", 8), ("0.875", 5), ("0", 4), ("0.999999999", 3)] {
            let mut changed = spec();
            changed.momentum = decimal(text);
            changed.steps = steps;
            changed.weight_bits = None;
            changed.weight = decimal("0.75");
            let program = Program::validate(changed).unwrap();
            let (momentum, q) = program.momentum().fraction();
            let scale = q.pow(steps as u32);
            for j in 0..steps {
                let (mut velocity, mut moved) = (BigInt::from(0), BigInt::from(0));
                for k in 0..=steps {
                    // `moved` is now what gradient j contributes to −W⁽ᵏ⁾/η, times `scale`.
                    let up = program.coefficient_shift().unsigned_abs();
                    let numerator = (&moved * BigInt::from(125)) << up;
                    let denominator = &scale * BigInt::from(32_000);
                    let rounded = crate::rates::half_up(&numerator, &denominator);
                    assert_eq!(BigInt::from(program.coefficients().step(k, j)), rounded, "{text} {k} {j}");
                    velocity = &velocity * &momentum / &q;
                    if k == j {
                        velocity += &scale;
                    }
                    moved += &velocity;
                }
                let last = program.coefficients().step(steps, j);
                assert_eq!(program.coefficients().out[j], (last * 3 + 2) / 4, "half up of {last}·0.75");
            }
        }
    }

    #[test]
    fn rates_add_up_with_momentum() {
        let mut changed = spec();
        changed.momentum = decimal("0.5");
        changed.steps = 3;
        changed.weight_bits = None;
        let program = Program::validate(changed).unwrap();
        // 1, 1 + 1/2, 1 + 1/2 + 1/4 of the rate: two more bits make all of them exact.
        assert_eq!(program.weight_bits(), 28);
        assert_eq!(program.coefficients().rates, [4, 6, 7]);
        assert!(program.coefficients().row(3).eq([7, 6, 4]));
        assert!((0..3).map(|j| program.coefficients().step(2, j)).eq([6, 4, 0]));
        let rates = program.effective_rates();
        assert_eq!((rates.first.as_str(), rates.last.as_str()), ("0.125", "0.21875"));
    }

    #[test]
    fn a_grid_coarser_than_one_is_handled() {
        let mut changed = spec();
        (changed.activation_bits, changed.error_bits, changed.weight_bits) = (12, 14, Some(20));
        changed.learning_rate = decimal("2048");
        let program = Program::validate(changed).unwrap();
        assert_eq!(program.coefficient_shift(), -6);
        assert_eq!(program.coefficients().out[0], 1);
        assert_eq!(program.effective_rates().first, "2048");
    }

    #[test]
    fn encoding_is_canonical_and_strict() {
        let mut changed = spec();
        changed.momentum = decimal("0.9");
        changed.weight_bits = None;
        let program = Program::validate(changed).unwrap();
        let bytes = program.encode();
        assert_eq!(Program::decode(&bytes), Ok(program.clone()));
        assert_eq!(Program::parse(&program.to_toml()), Ok(program.clone()));
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Program::decode(&longer).unwrap_err().code(), ErrorCode::E102);
        for end in 0..bytes.len() {
            assert_eq!(Program::decode(&bytes[..end]).unwrap_err().code(), ErrorCode::E106, "{end}");
        }
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[position] ^= 1 << bit;
                if let Ok(other) = Program::decode(&flipped) {
                    assert_ne!(other, program);
                    assert_eq!(other.encode(), flipped, "what decodes is canonical");
                    assert_ne!(other.digest(), program.digest());
                }
            }
        }
        let mut newer = bytes.clone();
        newer[0] = 2;
        assert_eq!(Program::decode(&newer).unwrap_err().code(), ErrorCode::E105);
        let mut shallow = bytes.clone();
        shallow[2] = 200;
        assert_eq!(Program::decode(&shallow).unwrap_err().code(), ErrorCode::E103);
        // 0.125 as 1250·10^-4.
        let rate = 2 + 1 + 3 * 4 + 5;
        assert_eq!(&bytes[rate..rate + 10], &[0, 125, 0, 0, 0, 0, 0, 0, 0, 253]);
        let mut longwinded = bytes.clone();
        longwinded[rate + 1..rate + 3].copy_from_slice(&1250u16.to_le_bytes());
        longwinded[rate + 9] = 252;
        assert_eq!(Program::decode(&longwinded).unwrap_err().code(), ErrorCode::E101);
        let mut invalid = bytes;
        invalid[3] = 0;
        assert_eq!(Program::decode(&invalid).unwrap_err().code(), ErrorCode::E207);
    }

    #[test]
    fn the_digest_is_pinned() {
        // SHA-256 of the documented bytes, computed apart from this code.
        let digest = Program::default_for(30, 2).unwrap().digest();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "2f3756842ac55df18b324c9f75eb0f057a5c021a0e523c263881ea92113abace");
    }

    proptest! {
        #![proptest_config(crate::seeded_cases(64))]
        #[test]
        fn derived_bits_are_the_smallest_that_suit(
            rate in 1u64..10_000, places in 0i32..6, momentum in 0u64..1000, batch in 1usize..200, steps in 1usize..12,
            weight in 1u64..=100,
        ) {
            let mut changed = spec();
            changed.learning_rate = Decimal::new(false, rate, -places).unwrap();
            changed.momentum = Decimal::new(false, momentum, -3).unwrap();
            changed.weight = Decimal::new(false, weight, -2).unwrap();
            (changed.batch, changed.steps, changed.weight_bits) = (batch, steps, None);
            if let Ok(program) = Program::validate(changed.clone()) {
                for bits in WEIGHT_BITS {
                    changed.weight_bits = Some(bits);
                    let given = Program::validate(changed.clone());
                    if bits < program.weight_bits() {
                        prop_assert!(given.is_err());
                    } else if let Ok(given) = given {
                        prop_assert_eq!(Program::parse(&given.to_toml()), Ok(given.clone()));
                        prop_assert_eq!(Program::decode(&given.encode()), Ok(given));
                    }
                }
                // No rate moved by more than 1/64 of itself, plus the update's own rounding.
                let exact = |n: usize| {
                    let mu = momentum as f64 / 1000.0;
                    let sum: f64 = (0..n).map(|i| mu.powi(i as i32)).sum();
                    rate as f64 / 10f64.powi(places) / batch as f64 * sum
                        * 2f64.powi(program.coefficient_shift())
                };
                for j in 0..steps {
                    let value = exact(steps - j);
                    let found = program.coefficients().step(steps, j) as f64;
                    prop_assert!((found - value).abs() <= value / 63.9, "{} {}", found, value);
                    let published = value * weight as f64 / 100.0;
                    let found = program.coefficients().out[j] as f64;
                    prop_assert!((found - published).abs() <= published / 31.9, "{} {}", found, published);
                }
            }
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,200}") {
            prop_assert!(Program::parse(&text).is_err());
        }
    }
}
