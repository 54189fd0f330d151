//! Small programs of every shape, with deterministic data, for the tests of the argument.
#![allow(dead_code)]

use weightproof_circuits::exact::{Trace, exp_table, run};
use weightproof_circuits::layout::Layout;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::{Loss, Program};
use weightproof_prover::argument::{Prover, Witness};
use weightproof_prover::cpu;

/// A witness whose tensors the CPU holds.
pub fn on_cpu<'a>(witness: &'a Witness<'a>) -> Prover<'a> {
    Prover::new(witness, cpu()).expect("the CPU takes every witness")
}

/// A deterministic stream of integers.
pub struct Draw(pub u64);

impl Draw {
    pub fn next(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 20) % bound as u64) as i64
    }
}

pub fn program(
    layers: &str,
    activation: &str,
    loss: &str,
    steps: usize,
    batch: usize,
    momentum: &str,
) -> Program {
    Program::parse(&format!(
        "[model]\nlayers = {layers}\nactivation = \"{activation}\"\nloss = \"{loss}\"\n\
         [optimizer]\nlearning_rate = 0.125\nmomentum = {momentum}\n[contribution]\nsteps = {steps}\nbatch = {batch}\n"
    ))
    .expect("test programs are valid")
}

/// Every combination that changes the argument's shape.
pub fn programs() -> Vec<Program> {
    vec![
        program("[3, 5, 2]", "relu", "softmax-cross-entropy", 2, 3, "0.0"),
        program("[6, 4]", "relu", "softmax-cross-entropy", 1, 1, "0.0"),
        program("[5, 4, 7, 3]", "relu", "softmax-cross-entropy", 3, 5, "0.5"),
        program("[4, 6, 3]", "identity", "softmax-cross-entropy", 4, 4, "0.0"),
        program("[3, 4, 1]", "relu", "squared-error", 5, 2, "0.9"),
        program("[7, 3]", "identity", "squared-error", 2, 6, "0.0"),
        program("[2, 9, 4, 2]", "identity", "squared-error", 2, 2, "0.25"),
    ]
}

/// Inputs and labels of all batches.
pub fn batches(program: &Program, seed: u64) -> (Vec<i16>, Vec<i16>) {
    let mut draw = Draw(seed);
    let rows = program.steps() * program.batch();
    let scale = 1i64 << program.activation_bits();
    let x = (0..rows * program.inputs()).map(|_| (draw.next(4 * scale) - 2 * scale) as i16).collect();
    let mut y = Vec::new();
    for _ in 0..rows {
        let class = draw.next(program.outputs() as i64) as usize;
        for c in 0..program.outputs() {
            y.push(match program.loss() {
                Loss::SoftmaxCrossEntropy => i16::from(c == class),
                Loss::SquaredError => (draw.next(2 * scale) - scale) as i16,
            });
        }
    }
    (x, y)
}

/// A program with everything that its reference run yields.
pub struct Instance {
    pub program: Program,
    pub layout: Layout,
    pub base: Parameters,
    pub trace: Trace,
    pub update: Parameters,
    pub exponential: Vec<u16>,
}

pub fn instance(program: Program, seed: u64) -> Instance {
    let base = Parameters::initial(&program, [seed as u8; 32]);
    let (x, y) = batches(&program, seed);
    let (trace, update) = run(&program, &base, &x, &y).expect("test data stays in range");
    let exponential = exp_table(program.activation_bits());
    Instance { layout: Layout::new(&program), program, base, trace, update, exponential }
}
