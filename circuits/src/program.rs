//! The training program: what a TOML file names, validated into one type whose digest is its identity.
use crate::decimal::Decimal;

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

/// The linear optimizer as public integers (protocol.md §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coefficients {
    /// `(K+1) × K`: `W⁽ᵏ⁾ = W⁰ − Σ_{j<k} step[k][j]·G_j`; entries with `j ≥ k` are zero.
    pub step: Vec<Vec<i64>>,
    /// `K`: `U = −Σ_j out[j]·G_j`.
    pub out: Vec<i64>,
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
}
