//! Random numbers, and tensors made of them.

use ark_ff::Field;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::{LayerParameters, Parameters};
use weightproof_circuits::program::Program;
use weightproof_gpu_kernels::kernels::Tensors;

/// A small deterministic generator (SplitMix64): tests need spread, not secrecy.
pub struct Draw(pub u64);

impl Draw {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// Uniform in `−bound..=bound`.
    pub fn signed(&mut self, bound: i64) -> i64 {
        (i128::from(self.word()) % (2 * i128::from(bound) + 1) - i128::from(bound)) as i64
    }

    pub fn element(&mut self) -> F {
        (0..4).fold(F::from(self.word()), |sum, _| sum * F::from(1u128 << 64) + F::from(self.word()))
    }

    pub fn elements(&mut self, count: usize) -> Vec<F> {
        (0..count).map(|_| self.element()).collect()
    }
}

/// Tensors of a proof, owned.
pub struct Instance {
    pub layout: Layout,
    pub stack: Vec<i32>,
    pub data: Vec<i32>,
    pub base: Parameters,
    pub update: Parameters,
    pub exponential: Vec<u16>,
}

impl Instance {
    /// A stack of `2^variables` integers below `2^bits`, with the other tensors small and odd-sized.
    pub fn new(variables: usize, bits: u32, draw: &mut Draw) -> Self {
        let mut spec = Program::default_for(3, 2).unwrap().spec();
        spec.layers = vec![3, 5, 2];
        let program = Program::validate(spec).unwrap();
        let layout = Layout { variables, ..Layout::new(&program) };
        let layer = |draw: &mut Draw, inputs: usize, outputs: usize| LayerParameters {
            inputs,
            outputs,
            weights: (0..inputs * outputs).map(|_| draw.word() as i64).collect(),
            biases: (0..outputs)
                .map(|index| match index {
                    0 => i64::MIN,
                    1 => i64::MAX,
                    _ => draw.signed(1 << 40),
                })
                .collect(),
        };
        Self {
            layout,
            stack: (0..1 << variables).map(|_| draw.signed((1 << bits) - 1) as i32).collect(),
            data: (0..15 * 7).map(|_| draw.signed(1 << 15) as i32).collect(),
            base: Parameters { layers: vec![layer(draw, 3, 5), layer(draw, 5, 2)] },
            update: Parameters { layers: vec![layer(draw, 3, 5), layer(draw, 5, 2)] },
            exponential: (0..48u16).map(|index| index * 1365).collect(),
        }
    }

    pub fn tensors(&self) -> Tensors<'_> {
        Tensors {
            layout: &self.layout,
            stack: &self.stack,
            data: &self.data,
            base: &self.base,
            update: &self.update,
            exponential: &self.exponential,
        }
    }
}

/// `array[y] + challenge·(array[y + stride] − array[y])`, the pairs being `stride` apart inside blocks of twice that.
pub fn bind(array: &[F], challenge: F, stride: usize) -> Vec<F> {
    array
        .chunks(2 * stride)
        .flat_map(|block| {
            (0..stride)
                .map(|i| block[i] * (F::ONE - challenge) + block[i + stride] * challenge)
                .collect::<Vec<F>>()
        })
        .collect()
}
