use std::ops::ControlFlow;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use weightproof_circuits::exact;
use weightproof_circuits::parameters::{LayerParameters, Parameters};
use weightproof_circuits::program::{Activation, Loss, Program, ProgramSpec};

use super::operand::Operand;
use super::weights::{Side, Sums, Weights};
use super::*;

/// A small deterministic generator (SplitMix64): tests need spread, not secrecy.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Uniform in `−bound..=bound`.
    fn signed(&mut self, bound: i64) -> i64 {
        (i128::from(self.next()) % (2 * i128::from(bound) + 1) - i128::from(bound)) as i64
    }
}

fn seeded(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(0x5eed), failure_persistence: None, ..Config::default() }
}

/// How the base weights of a case are drawn.
#[derive(Clone, Copy, Debug)]
enum Scheme {
    /// About one over the width: values stay in range.
    Usual,
    /// All zero: every logit ties.
    Zero,
    /// Odd multiples of one half and of one sixteenth: sums tie at the rounding.
    Halves,
    /// Anything up to four: values leave their ranges often.
    Wild,
    /// Pairs of huge weights that cancel on equal inputs: sums beyond `2^53`, quotients in range.
    Cancelling,
}

#[derive(Clone, Copy, Debug)]
enum Inputs {
    Usual,
    Extreme,
    /// Neighbouring columns are equal.
    Paired,
}

#[derive(Clone, Debug)]
struct Case {
    program: Program,
    base: Parameters,
    x: Vec<i16>,
    y: Vec<i16>,
}

fn parameters(program: &Program, scheme: Scheme, draw: &mut Draw) -> Parameters {
    let one = 1_i64 << program.weight_bits();
    let layers = program
        .layers()
        .windows(2)
        .enumerate()
        .map(|(index, widths)| {
            let (inputs, outputs) = (widths[0], widths[1]);
            let usual = one / (inputs as i64) + 1;
            let mut weights: Vec<i64> = (0..inputs * outputs)
                .map(|_| match scheme {
                    Scheme::Usual | Scheme::Cancelling => draw.signed(usual),
                    Scheme::Zero => 0,
                    Scheme::Halves => {
                        (2 * draw.signed(2) + 1) * (if draw.below(2) == 0 { one / 2 } else { one / 16 })
                    }
                    Scheme::Wild => draw.signed(4 * one),
                })
                .collect();
            if matches!(scheme, Scheme::Cancelling) && index == 0 {
                for pair in 0..inputs / 2 {
                    for output in 0..outputs {
                        // Beyond 2^53 in sum, at times in one entry, at times near the end of 64 bits.
                        let bits = 46 + draw.below(17);
                        let huge = draw.signed(1 << bits);
                        weights[2 * pair * outputs + output] = huge;
                        weights[(2 * pair + 1) * outputs + output] = draw.signed(usual) - huge;
                    }
                }
            }
            let biases = (0..outputs)
                .map(|_| match scheme {
                    Scheme::Zero => 0,
                    Scheme::Wild => draw.signed(4 * one),
                    _ => draw.signed(one / 2),
                })
                .collect();
            LayerParameters { inputs, outputs, weights, biases }
        })
        .collect();
    Parameters { layers }
}

fn inputs(program: &Program, kind: Inputs, draw: &mut Draw) -> Vec<i16> {
    let width = program.layers()[0];
    let one = 1_i64 << program.activation_bits();
    let mut x: Vec<i16> = (0..program.steps() * program.batch() * width)
        .map(|_| match kind {
            Inputs::Usual | Inputs::Paired => draw.signed(2 * one) as i16,
            Inputs::Extreme => [i16::MIN, i16::MAX, 0, -1, 1][draw.below(5) as usize],
        })
        .collect();
    if matches!(kind, Inputs::Paired) {
        for row in x.chunks_exact_mut(width) {
            for pair in row.chunks_exact_mut(2) {
                pair[1] = pair[0];
            }
        }
    }
    x
}

fn labels(program: &Program, draw: &mut Draw) -> Vec<i16> {
    let classes = program.layers()[program.depth()];
    let mut y = vec![0; program.steps() * program.batch() * classes];
    for row in y.chunks_exact_mut(classes) {
        match program.loss() {
            Loss::SoftmaxCrossEntropy => row[draw.below(classes as u64) as usize] = 1,
            Loss::SquaredError => {
                row.iter_mut().for_each(|value| *value = draw.signed(1 << program.activation_bits()) as i16);
            }
        }
    }
    y
}

prop_compose! {
    fn programs()(
        inner in prop::collection::vec(1_usize..9, 1..4),
        outputs in 2_usize..6,
        relu in any::<bool>(),
        softmax in any::<bool>(),
        activation_bits in 4_u32..9,
        error_bits in 8_u32..13,
        weight_bits in prop::option::of(20_u32..=40),
        rate in prop::sample::select(vec!["0.125", "0.1", "0.03", "0.5", "1"]),
        momentum in prop::sample::select(vec!["0", "0", "0.5", "0.9", "0.37"]),
        weight in prop::sample::select(vec!["1", "1", "0.5", "0.3"]),
        steps in 1_usize..6,
        batch in 1_usize..8,
    ) -> Program {
        let mut layers = inner;
        layers.push(if softmax { outputs } else { outputs - 1 });
        let spec = |weight_bits| ProgramSpec {
            layers: layers.clone(),
            activation: if relu { Activation::Relu } else { Activation::Identity },
            loss: if softmax { Loss::SoftmaxCrossEntropy } else { Loss::SquaredError },
            activation_bits,
            error_bits,
            weight_bits,
            learning_rate: rate.parse().unwrap(),
            momentum: momentum.parse().unwrap(),
            steps,
            batch,
            weight: weight.parse().unwrap(),
        };
        // A drawn width that is too small for the rates is replaced by the derived one.
        Program::validate(spec(weight_bits)).or_else(|_| Program::validate(spec(None))).unwrap()
    }
}

prop_compose! {
    fn cases()(
        program in programs(),
        scheme in prop::sample::select(vec![
            Scheme::Usual, Scheme::Usual, Scheme::Zero, Scheme::Halves, Scheme::Wild, Scheme::Cancelling,
        ]),
        kind in prop::sample::select(vec![Inputs::Usual, Inputs::Extreme, Inputs::Paired]),
        seed in any::<u64>(),
    ) -> Case {
        let mut draw = Draw(seed);
        let kind = if matches!(scheme, Scheme::Cancelling) { Inputs::Paired } else { kind };
        let base = parameters(&program, scheme, &mut draw);
        let x = inputs(&program, kind, &mut draw);
        let y = labels(&program, &mut draw);
        Case { program, base, x, y }
    }
}

fn run(case: &Case) -> Result<Training, TrainError> {
    train(&case.program, &case.base, &case.x, &case.y, &mut |_| ControlFlow::Continue(()))
}

fn reference_run(case: &Case) -> Result<(Trace, Parameters), RangeError> {
    exact::run(&case.program, &case.base, &case.x, &case.y)
}

/// Both give the same integers, or both stop at the same place for the same reason.
fn assert_same(case: &Case) -> bool {
    match (run(case), reference_run(case)) {
        (Ok(training), Ok((trace, update))) => {
            assert_eq!(training.update, update);
            assert_eq!(training.trace, trace);
            assert_eq!(training.steps.len(), case.program.steps());
            true
        }
        (Err(TrainError::Range(found)), Err(expected)) => {
            assert_eq!(found, expected);
            false
        }
        (found, expected) => panic!("trainer {:?}, reference {:?}", found.map(|_| ()), expected.map(|_| ())),
    }
}

#[test]
fn the_trainer_computes_the_integers_of_the_reference() {
    let (mut finished, mut stopped) = (0, 0);
    let mut runner = proptest::test_runner::TestRunner::new(seeded(600));
    let counts = std::cell::RefCell::new((&mut finished, &mut stopped));
    runner
        .run(&cases(), |case| {
            let mut counts = counts.borrow_mut();
            *(if assert_same(&case) { &mut *counts.0 } else { &mut *counts.1 }) += 1;
            Ok(())
        })
        .unwrap();
    // Both outcomes are really compared.
    assert!(finished > 200, "{finished} cases ran to the end");
    assert!(stopped > 30, "{stopped} cases left a range");
}

/// A case that is large enough for products to be cut among threads.
fn threaded_case(momentum: &str) -> Case {
    let program = Program::validate(ProgramSpec {
        layers: vec![203, 131, 67, 10],
        activation: Activation::Relu,
        loss: Loss::SoftmaxCrossEntropy,
        activation_bits: 8,
        error_bits: 10,
        weight_bits: None,
        learning_rate: "0.125".parse().unwrap(),
        momentum: momentum.parse().unwrap(),
        steps: 3,
        batch: 21,
        weight: "1".parse().unwrap(),
    })
    .unwrap();
    let mut draw = Draw(11);
    let base = parameters(&program, Scheme::Usual, &mut draw);
    let x = inputs(&program, Inputs::Usual, &mut draw);
    let y = labels(&program, &mut draw);
    Case { program, base, x, y }
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn one_thread_and_four_give_the_same_bits() {
    for momentum in ["0", "0.9"] {
        let case = threaded_case(momentum);
        let alone = on_threads(1, || run(&case)).unwrap();
        let together = on_threads(4, || run(&case)).unwrap();
        assert_eq!(alone, together);
        let (trace, update) = reference_run(&case).unwrap();
        assert_eq!((alone.trace, alone.update), (trace, update));
    }
}

#[test]
fn every_number_of_steps_is_stacked_alike() {
    // 5 steps of 300 examples: the momentum terms fill two stacks.
    let program = Program::validate(ProgramSpec {
        layers: vec![3, 4, 2],
        activation: Activation::Relu,
        loss: Loss::SoftmaxCrossEntropy,
        activation_bits: 6,
        error_bits: 10,
        weight_bits: None,
        learning_rate: "0.125".parse().unwrap(),
        momentum: "0.9".parse().unwrap(),
        steps: 5,
        batch: 300,
        weight: "0.3".parse().unwrap(),
    })
    .unwrap();
    assert!(program.steps() * program.batch() > STACKED_ROWS);
    let mut draw = Draw(5);
    let base = parameters(&program, Scheme::Usual, &mut draw);
    let x = inputs(&program, Inputs::Usual, &mut draw);
    let y = labels(&program, &mut draw);
    assert!(assert_same(&Case { program, base, x, y }));
}

/// One linear neuron: the numbers can be followed by hand.
fn neuron(steps: usize) -> Program {
    Program::validate(ProgramSpec {
        layers: vec![1, 1],
        activation: Activation::Identity,
        loss: Loss::SquaredError,
        activation_bits: 8,
        error_bits: 8,
        weight_bits: Some(24),
        learning_rate: "0.125".parse().unwrap(),
        momentum: "0".parse().unwrap(),
        steps,
        batch: 1,
        weight: "1".parse().unwrap(),
    })
    .unwrap()
}

fn one_weight(weight: i64, bias: i64) -> Parameters {
    Parameters {
        layers: vec![LayerParameters { inputs: 1, outputs: 1, weights: vec![weight], biases: vec![bias] }],
    }
}

#[test]
fn a_step_followed_by_hand() {
    // w = 1, b = 0, x = 2, y = 1: output 2, error 1, so w falls by 1/8·2 and b by 1/8; the loss is 1/2.
    let program = neuron(1);
    let mut heard = Vec::new();
    let training = train(&program, &one_weight(1 << 24, 0), &[512], &[256], &mut |report| {
        heard.push(*report);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(training.trace.layers[0].q, [512]);
    assert_eq!(training.trace.layers[0].r, [1 << 23]);
    assert_eq!(training.update, one_weight(-(1 << 22), -(1 << 21)));
    assert_eq!(heard, [StepReport { step: 0, loss: 0.5, correct: None }]);
    assert_eq!(training.steps, heard);
}

#[test]
fn a_value_beyond_16_bits_stops_the_run_and_says_where() {
    // Step 0 has no error, 200·130 = 26000, so nothing changes; step 1 multiplies 127 by 130.
    let program = neuron(2);
    let case = Case { program, base: one_weight(130 << 24, 0), x: vec![200, 32_512], y: vec![26_000, 0] };
    let Err(TrainError::Range(error)) = run(&case) else { panic!("the run must stop") };
    assert_eq!(error, reference_run(&case).unwrap_err());
    let text = TrainError::Range(error).to_string();
    assert!(text.contains("layer 1") && text.contains("step 1"), "{text}");
}

#[test]
fn the_largest_and_smallest_quotients_are_in_range() {
    let program = neuron(1);
    for (x, fits) in [(i16::MAX, true), (i16::MIN, true)] {
        let case = Case { program: program.clone(), base: one_weight(1 << 24, 0), x: vec![x], y: vec![x] };
        assert_eq!(run(&case).is_ok(), fits);
        assert!(assert_same(&case));
    }
    // One half more rounds up and out; just less than one half more stays.
    for (bias, fits) in [(1 << 15, false), ((1 << 15) - 1, true)] {
        let case = Case {
            program: program.clone(),
            base: one_weight(1 << 24, bias),
            x: vec![i16::MAX],
            y: vec![i16::MAX],
        };
        assert_eq!(run(&case).is_ok(), fits);
        assert_eq!(assert_same(&case), fits);
    }
}

#[test]
fn an_observer_that_breaks_stops_between_steps() {
    let program = neuron(3);
    let mut heard = 0;
    let result = train(&program, &one_weight(0, 0), &[1, 2, 3], &[0; 3], &mut |_| {
        heard += 1;
        if heard == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(result.unwrap_err(), TrainError::Interrupted { completed: 2 });
    assert_eq!(heard, 2);
}

#[test]
fn tensors_of_another_shape_are_refused() {
    let program = neuron(2);
    let go = |base: &Parameters, x: &[i16], y: &[i16]| {
        train(&program, base, x, y, &mut |_| ControlFlow::Continue(())).unwrap_err()
    };
    let base = one_weight(0, 0);
    assert_eq!(go(&base, &[1], &[1, 2]), TrainError::Shape { what: "inputs", expected: 2, found: 1 });
    assert_eq!(go(&base, &[1, 2], &[1]), TrainError::Shape { what: "labels", expected: 2, found: 1 });
    let mut case = threaded_case("0");
    case.y[3] = 2;
    assert_eq!(run(&case).unwrap_err(), TrainError::Labels { classes: 10 });
    let mut wrong = base.clone();
    wrong.layers[0].weights.push(1);
    assert!(matches!(go(&wrong, &[1, 2], &[1, 2]), TrainError::Model(_)));
    assert!(matches!(go(&Parameters { layers: vec![] }, &[1, 2], &[1, 2]), TrainError::Model(_)));
    assert!(matches!(
        evaluate(&program, &base, &[1, 2], &[1]),
        Err(TrainError::Shape { what: "labels", .. })
    ));
}

#[test]
fn prediction_is_the_forward_pass_of_the_first_step() {
    let case = threaded_case("0");
    let (trace, _) = reference_run(&case).unwrap();
    let classes = 10;
    let first = case.program.batch() * classes;
    let width = case.program.layers()[0];
    let rows = &case.x[..case.program.batch() * width];
    let outputs = predict(&case.program, &case.base, rows).unwrap();
    assert_eq!(outputs, trace.layers[2].q[..first]);

    // Labels made from the outputs are all right; turned by one class, all are wrong.
    let label = |turn: usize| {
        let mut y = vec![0; first];
        for (labels, outputs) in y.chunks_exact_mut(classes).zip(outputs.chunks_exact(classes)) {
            let largest = outputs.iter().max().unwrap();
            let place = outputs.iter().position(|value| value == largest).unwrap();
            labels[(place + turn) % classes] = 1;
        }
        y
    };
    let rows_in_batch = case.program.batch();
    let quality = |y: &[i16]| evaluate(&case.program, &case.base, rows, y).unwrap();
    assert_eq!(quality(&label(0)), Quality::Accuracy { correct: rows_in_batch, rows: rows_in_batch });
    assert_eq!(quality(&label(1)), Quality::Accuracy { correct: 0, rows: rows_in_batch });
    assert_eq!(quality(&label(0)).accuracy(), Some(1.0));
}

#[test]
fn regression_is_judged_in_units_of_the_target() {
    let program = neuron(1);
    // Outputs 1 and 3 against targets 0 and 1: the mean of 1 and 4.
    let quality = evaluate(&program, &one_weight(1 << 24, 0), &[256, 768], &[0, 256]).unwrap();
    assert_eq!(quality, Quality::MeanSquaredError(2.5));
    let row = evaluate(&program, &one_weight(2 << 24, 0), &[256, i16::MAX], &[0, 0]).unwrap_err();
    assert_eq!(row, TrainError::EvaluationRange { row: 1, layer: 1, unit: 0, value: 65_534 });
}

/// Which way a product went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Float,
    Wide,
}

fn naive_product(
    operand: &[i64],
    rows: usize,
    weights: &[i64],
    shape: (usize, usize),
    side: Side,
) -> Vec<i128> {
    let (inputs, outputs) = shape;
    let weight = |i: usize, o: usize| i128::from(weights[i * outputs + o]);
    let (length, columns) = if side == Side::Inputs { (inputs, outputs) } else { (outputs, inputs) };
    let mut sums = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            let term = |at: usize| {
                let weight = if side == Side::Inputs { weight(at, column) } else { weight(column, at) };
                i128::from(operand[row * length + at]) * weight
            };
            sums.push((0..length).map(term).sum());
        }
    }
    sums
}

#[test]
fn products_are_exact_on_every_path() {
    let (inputs, outputs, rows) = (7, 5, 3);
    let mut draw = Draw(3);
    for side in [Side::Inputs, Side::Outputs] {
        let length = if side == Side::Inputs { inputs } else { outputs };
        for magnitude in 1..63 {
            for operand_bits in [0, 8, 15, 29] {
                let weights: Vec<i64> = (0..inputs * outputs).map(|_| draw.signed(1 << magnitude)).collect();
                let cells: Vec<i64> = (0..rows * length).map(|_| draw.signed(1 << operand_bits)).collect();
                let operand = Operand::new(rows, length, |cell| cells[cell]);
                let mut layer = Weights::new(inputs, outputs, &weights);
                let expected = naive_product(&cells, rows, &weights, (inputs, outputs), side);
                let (found, way) = match layer.product(&operand, side, 1) {
                    Sums::Float(sums) => (sums.iter().map(|sum| *sum as i128).collect(), Way::Float),
                    Sums::Wide(sums) => (sums, Way::Wide),
                };
                assert_eq!(found, expected, "weights 2^{magnitude}, operand 2^{operand_bits}, {side:?}");
                // Well below 2^53 the fast way is taken, above it never.
                if magnitude + operand_bits + 3 < 52 {
                    assert_eq!(way, Way::Float);
                }
                if expected.iter().any(|sum| sum.unsigned_abs() >= 1 << 53) {
                    assert_eq!(way, Way::Wide);
                }
            }
        }
    }
}

#[test]
fn a_bound_is_the_sum_of_magnitudes_not_of_values() {
    // The values cancel, and the running sum passes 2^53 before they do; the constant alone may tip the bound.
    let operand = Operand::new(1, 2, |_| 1 << 14);
    let mut cancelling = Weights::new(2, 1, &[(1 << 39) + 1, -(1 << 39)]);
    let Sums::Wide(sums) = cancelling.product(&operand, Side::Inputs, 0) else {
        panic!("2^54 in magnitudes")
    };
    assert_eq!(sums, [1 << 14]);
    let mut edge = Weights::new(1, 1, &[(1 << 39) - 1]);
    let operand = Operand::new(1, 1, |_| 1 << 14);
    assert!(matches!(edge.product(&operand, Side::Inputs, (1 << 14) - 1), Sums::Float(_)));
    assert!(matches!(edge.product(&operand, Side::Inputs, 1 << 14), Sums::Wide(_)));
    assert!(matches!(edge.product(&operand, Side::Inputs, u64::MAX), Sums::Wide(_)));
}

#[test]
fn updates_are_exact_on_every_path_and_overflow_is_named() {
    let (inputs, outputs, rows) = (6, 4, 3);
    let mut draw = Draw(9);
    for magnitude in [20, 50, 52, 53, 58, 61] {
        for coefficient in [1, -3, (1 << 33) + 1, -(1 << 40)] {
            for error_bits in [4, 15, 36] {
                let start: Vec<i64> = (0..inputs * outputs).map(|_| draw.signed(1 << magnitude)).collect();
                let a: Vec<i64> = (0..2 * rows * inputs).map(|_| draw.signed(1 << 15)).collect();
                let d: Vec<i64> = (0..2 * rows * outputs).map(|_| draw.signed(1 << error_bits)).collect();
                let part = |values: &[i64], half: usize, width: usize| {
                    let values = values[half * rows * width..(half + 1) * rows * width].to_vec();
                    Operand::new(rows, width, move |cell| values[cell])
                };
                let operands = [0, 1].map(|half| (part(&a, half, inputs), part(&d, half, outputs)));
                let terms = [
                    (coefficient, &operands[0].0, &operands[0].1),
                    (2 - coefficient, &operands[1].0, &operands[1].1),
                ];
                let mut layer = Weights::new(inputs, outputs, &start);
                let result = layer.subtract(&terms).and_then(|()| layer.try_map(|_, weight| Ok(weight)));
                let mut expected = Vec::new();
                for i in 0..inputs {
                    for o in 0..outputs {
                        let mut value = i128::from(start[i * outputs + o]);
                        for b in 0..2 * rows {
                            let factor = i128::from(if b < rows { coefficient } else { 2 - coefficient });
                            value -= factor * i128::from(a[b * inputs + i]) * i128::from(d[b * outputs + o]);
                        }
                        expected.push(value);
                    }
                }
                match expected.iter().find(|value| i64::try_from(**value).is_err()) {
                    None => assert!(result.unwrap().iter().map(|w| i128::from(*w)).eq(expected)),
                    Some(value) => assert_eq!(result.unwrap_err().value, *value),
                }
            }
        }
    }
}

#[test]
fn a_weight_beyond_64_bits_is_a_typed_error() {
    let mut weights = Weights::new(1, 1, &[i64::MIN + 1]);
    let one = Operand::new(1, 1, |_| 1);
    assert!(weights.subtract(&[(1, &one, &one)]).is_ok());
    assert!(weights.subtract(&[(1, &one, &one)]).is_err());
}

/// Two equal inputs whose weights sum to one, both near the end of 64 bits.
fn towering_case(rate: &str, weight: &str) -> Case {
    let program = Program::validate(ProgramSpec {
        layers: vec![2, 1],
        activation: Activation::Identity,
        loss: Loss::SquaredError,
        activation_bits: 8,
        error_bits: 8,
        weight_bits: Some(40),
        learning_rate: rate.parse().unwrap(),
        momentum: Decimal::ZERO,
        steps: 1,
        batch: 1,
        weight: weight.parse().unwrap(),
    })
    .unwrap();
    let layer = LayerParameters {
        inputs: 2,
        outputs: 1,
        weights: vec![i64::MAX, (1 << 40) - i64::MAX],
        biases: vec![0],
    };
    Case { program, base: Parameters { layers: vec![layer] }, x: vec![512, 512], y: vec![1024] }
}

#[test]
fn an_update_fits_although_the_weights_after_it_do_not() {
    // The error is negative, so the first weight rises past 2^63; no step uses it.
    let case = towering_case("0.125", "1");
    assert!(assert_same(&case));
    assert!(run(&case).unwrap().update.layers[0].weights[0] > 0);
}

#[test]
fn a_step_that_needs_a_weight_beyond_64_bits_stops() {
    let mut case = towering_case("0.125", "1");
    let mut spec = case.program.spec();
    spec.steps = 2;
    case.program = Program::validate(spec).unwrap();
    case.x = [case.x.clone(), case.x].concat();
    case.y = [case.y.clone(), case.y].concat();
    let error = run(&case).unwrap_err();
    assert!(
        matches!(error, TrainError::WeightOverflow { layer: 1, what: "weight", value } if value > 1 << 63)
    );
}

#[test]
fn bounds_grow_with_every_update() {
    // The weights start at zero, where every bound is zero: only the updates can say how large they have become.
    let (inputs, outputs) = (40, 24);
    let mut draw = Draw(21);
    for side in [Side::Inputs, Side::Outputs] {
        let mut layer = Weights::zeros(inputs, outputs);
        let mut integers = vec![0_i64; inputs * outputs];
        let mut wide = 0;
        for _ in 0..40 {
            let a: Vec<i64> = (0..inputs).map(|_| draw.signed(1 << 14) | 1).collect();
            let d: Vec<i64> = (0..outputs).map(|_| draw.signed(1 << 14) | 1).collect();
            let coefficient = (1 << 23) + 1;
            for (cell, weight) in integers.iter_mut().enumerate() {
                *weight -= coefficient * a[cell / outputs] * d[cell % outputs];
            }
            let activations = Operand::new(1, inputs, |cell| a[cell]);
            let errors = Operand::new(1, outputs, |cell| d[cell]);
            layer.subtract(&[(coefficient, &activations, &errors)]).unwrap();
            let length = if side == Side::Inputs { inputs } else { outputs };
            // One small odd value a row: the sums pass 2^53 by their number and by their growth.
            let cells: Vec<i64> = (0..2 * length).map(|_| draw.signed(4) | 1).collect();
            let operand = Operand::new(2, length, |cell| cells[cell]);
            let found: Vec<i128> = match layer.product(&operand, side, 0) {
                Sums::Float(sums) => sums.iter().map(|sum| *sum as i128).collect(),
                Sums::Wide(sums) => {
                    wide += 1;
                    sums
                }
            };
            assert_eq!(found, naive_product(&cells, 2, &integers, (inputs, outputs), side));
        }
        assert!(wide > 0);
        assert_eq!(layer.try_map(|_, weight| Ok(weight)).unwrap(), integers);
    }
}

#[test]
fn entries_that_grow_past_53_bits_stay_exact() {
    let mut layer = Weights::zeros(1, 1);
    let (activation, error) = (Operand::new(1, 1, |_| 32_767), Operand::new(1, 1, |_| -32_767));
    let coefficient = (1_i64 << 21) + 1;
    for count in 1..=40 {
        layer.subtract(&[(coefficient, &activation, &error)]).unwrap();
        let expected = count * coefficient * 32_767 * 32_767;
        assert_eq!(layer.try_map(|_, weight| Ok(weight)).unwrap(), [expected]);
    }
}

#[test]
fn the_first_of_several_values_out_of_range_is_named() {
    // Far apart, so that different threads meet them.
    let mut spec = neuron(1).spec();
    (spec.batch, spec.weight_bits) = (40_000, None);
    let program = Program::validate(spec).unwrap();
    let mut x = vec![0; 40_000];
    for (example, value) in [(9_001, 20_000), (23_456, -20_000), (39_999, 32_767)] {
        x[example] = value;
    }
    let case = Case { base: one_weight(2 << program.weight_bits(), 0), program, x, y: vec![0; 40_000] };
    assert!(!on_threads(4, || assert_same(&case)));
    let Err(TrainError::Range(error)) = on_threads(4, || run(&case)) else { panic!("the run must stop") };
    assert_eq!((error.example, error.magnitude), (9_001, 40_000));
}
