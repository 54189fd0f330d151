//! A model's integers, and updates, which have the same shape.

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
