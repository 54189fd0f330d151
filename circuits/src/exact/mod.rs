//! The exact arithmetic: what one contribution's integers are (protocol.md §2).
//!
//! Tensors are unpadded, row-major `[step][example][unit]`, flattened.

/// One layer's committed integers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerTrace {
    /// Rounded pre-activations `Q`, `K·B·n_l`.
    pub q: Vec<i16>,
    /// Remainders `R` of the forward rounding, `0 ≤ R < 2^fw`.
    pub r: Vec<u64>,
    /// Rounded back-propagated sums `P` (hidden layers only, else empty), `K·B·n_l`.
    pub p: Vec<i16>,
    /// Remainders `S` of the backward rounding (hidden layers only).
    pub s: Vec<u64>,
}

/// The softmax cross-entropy witness; `kb` index = `step·B + example`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SoftmaxTrace {
    /// Maximum logit a row, `K·B`.
    pub max: Vec<i16>,
    /// One-hot choice of the maximum (the first of equal ones), `K·B·C`.
    pub hot: Vec<u8>,
    /// `d = max − Q`, `K·B·C`.
    pub d: Vec<u16>,
    /// `e = EXP[d]`, `K·B·C`.
    pub e: Vec<u16>,
    /// `p`, `K·B·C`.
    pub p: Vec<i16>,
    /// Division remainder `ρ = 2^(fe+1)·e + T − 2T·p`, `K·B·C`.
    pub rho: Vec<u64>,
    /// `2T − 1 − ρ`, `K·B·C`.
    pub rho_complement: Vec<u64>,
}

/// Everything a contribution's integer run computes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Inputs `X`, `K·B·n_0`.
    pub x: Vec<i16>,
    /// Labels `Y`, `K·B·C`: bits (softmax) or values at scale `2^fa` (squared error).
    pub y: Vec<i16>,
    /// Layers `1..=L` at index `l − 1`.
    pub layers: Vec<LayerTrace>,
    /// Present for softmax cross-entropy.
    pub softmax: Option<SoftmaxTrace>,
}
