//! Training, against the reference in big integers.

use weightproof_circuits::exact;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::{Activation, Loss, Program, ProgramSpec};
use weightproof_gpu_kernels::kernels::{KernelError, TrainingInput};

use crate::support::{Draw, devices};

fn spec(layers: &[usize], momentum: &str, steps: usize, batch: usize) -> ProgramSpec {
    let mut spec = Program::default_for(3, 2).unwrap().spec();
    spec.layers = layers.to_vec();
    spec.momentum = momentum.parse().unwrap();
    (spec.steps, spec.batch, spec.weight_bits) = (steps, batch, None);
    spec
}

/// A model with weights up to about one over the width, inputs and labels.
fn instance(program: &Program, draw: &mut Draw) -> (Parameters, Vec<i16>, Vec<i16>) {
    let mut base = Parameters::zeros(program);
    for layer in &mut base.layers {
        let largest = (1 << program.weight_bits()) / layer.inputs as i64;
        for value in layer.weights.iter_mut().chain(&mut layer.biases) {
            *value = draw.signed(largest);
        }
    }
    let rows = program.steps() * program.batch();
    let scale = 1i64 << program.activation_bits();
    let x = (0..rows * program.inputs()).map(|_| draw.signed(2 * scale) as i16).collect();
    let mut y = Vec::new();
    for _ in 0..rows {
        let label = draw.word() as usize % program.outputs();
        y.extend((0..program.outputs()).map(|class| match program.loss() {
            Loss::SoftmaxCrossEntropy => i16::from(class == label),
            Loss::SquaredError => draw.signed(scale) as i16,
        }));
    }
    (base, x, y)
}

/// What the devices make of an input; all make the same.
fn train(input: TrainingInput<'_>) -> Option<(exact::Trace, Parameters)> {
    let mut results = devices().into_iter().map(|device| {
        let mut heard = Vec::new();
        let result = device.train(input, &mut |step| {
            heard.push(step);
            true
        });
        let result = result.unwrap();
        if result.is_some() {
            assert_eq!(heard, (0..input.program.steps()).collect::<Vec<_>>());
        }
        result
    });
    let first = results.next().unwrap();
    assert!(results.all(|other| other == first));
    first
}

#[test]
fn every_kind_of_program_is_trained_exactly() {
    let mut draw = Draw(13);
    let shapes: [(&[usize], &str, usize, usize); 6] = [
        (&[3, 5, 4, 3], "0.5", 3, 3),
        (&[3, 5, 4, 3], "0", 4, 2),
        (&[7, 2], "0.9", 5, 3),
        (&[1, 1, 2], "0", 1, 1),
        (&[4, 70, 3], "0.5", 2, 5),
        // More rows than one update product takes.
        (&[2, 3, 2], "0.5", 3, 3000),
    ];
    for (layers, momentum, steps, batch) in shapes {
        for activation in Activation::ALL {
            for loss in Loss::ALL {
                let mut spec = spec(layers, momentum, steps, batch);
                (spec.activation, spec.loss) = (activation, loss);
                let program = Program::validate(spec).unwrap();
                let (base, x, y) = instance(&program, &mut draw);
                let expected = exact::run(&program, &base, &x, &y).unwrap();
                let found = train(TrainingInput { program: &program, base: &base, x: &x, y: &y });
                assert!(found == Some(expected), "{layers:?}, momentum {momentum}, {activation:?}, {loss:?}");
            }
        }
    }
}

#[test]
fn ties_and_extremes_are_exact() {
    let program = Program::validate(spec(&[3, 4, 3], "0.5", 3, 4)).unwrap();
    let (base, mut x, y) = instance(&program, &mut Draw(14));
    // All logits tie where all weights are zero.
    let zeros = Parameters::zeros(&program);
    let expected = exact::run(&program, &zeros, &x, &y).unwrap();
    assert!(train(TrainingInput { program: &program, base: &zeros, x: &x, y: &y }) == Some(expected));
    // Sums that are halves round up.
    let mut halves = base;
    for layer in &mut halves.layers {
        layer
            .weights
            .iter_mut()
            .zip(0..)
            .for_each(|(w, i)| *w = (2 * (i % 3) - 1) << (program.weight_bits() - 1));
    }
    x.iter_mut().zip(0..).for_each(|(x, i)| *x = [i16::MIN / 16, i16::MAX / 16, 0, 1, -1][i % 5]);
    let expected = exact::run(&program, &halves, &x, &y).unwrap();
    assert!(train(TrainingInput { program: &program, base: &halves, x: &x, y: &y }) == Some(expected));
}

#[test]
fn what_leaves_its_range_is_left_to_the_general_trainer() {
    let mut draw = Draw(15);
    let program = Program::validate(spec(&[3, 4, 2], "0", 2, 3)).unwrap();
    let (base, x, y) = instance(&program, &mut draw);
    let input = TrainingInput { program: &program, base: &base, x: &x, y: &y };
    assert!(train(input).is_some());

    // A pre-activation beyond 16 bits.
    let mut large = base.clone();
    large.layers[1].biases[0] = 1 << (program.weight_bits() + 16);
    assert!(exact::run(&program, &large, &x, &y).is_err());
    assert!(train(TrainingInput { base: &large, ..input }).is_none());
    // Weights, and sums with them, that f64 might not hold, although the run is possible.
    for (weight, bias) in
        [(1i64 << 53, 0), (-(1i64 << 53), 0), (1 << 52, 0), (0, 1 << 51), (i64::MIN, i64::MIN)]
    {
        let mut wide = base.clone();
        wide.layers[0].weights[1] = weight;
        wide.layers[0].biases[2] = bias;
        let mut quiet = x.clone();
        quiet.chunks_mut(3).for_each(|row| row[0] = 0);
        assert!(train(TrainingInput { base: &wide, x: &quiet, ..input }).is_none(), "{weight} {bias}");
    }
    // Inputs that are no run at all.
    assert!(train(TrainingInput { x: &x[1..], ..input }).is_none());
    assert!(train(TrainingInput { y: &y[1..], ..input }).is_none());
    let unlabelled = vec![0; y.len()];
    assert!(train(TrainingInput { y: &unlabelled, ..input }).is_none());
    let mut short = base.clone();
    short.layers.pop();
    assert!(train(TrainingInput { base: &short, ..input }).is_none());
}

#[test]
fn an_observer_stops_the_run() {
    let program = Program::validate(spec(&[3, 4, 2], "0", 3, 2)).unwrap();
    let (base, x, y) = instance(&program, &mut Draw(16));
    for device in devices() {
        let mut heard = 0;
        let result =
            device.train(TrainingInput { program: &program, base: &base, x: &x, y: &y }, &mut |step| {
                heard += 1;
                step < 1
            });
        assert_eq!(result, Err(KernelError::Cancelled));
        assert_eq!(heard, 2);
    }
}
