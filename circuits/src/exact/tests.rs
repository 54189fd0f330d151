use super::*;
use crate::exact::{Quantity, RangeError, labels_are_valid, run};
use crate::program::{Activation, ProgramSpec};
use proptest::prelude::*;

/// A small program with odd sizes, momentum and several layers.
fn spec() -> ProgramSpec {
    let mut spec = Program::default_for(3, 2).unwrap().spec();
    spec.layers = vec![3, 5, 4, 3];
    spec.momentum = "0.5".parse().unwrap();
    spec.steps = 3;
    spec.batch = 3;
    spec.weight = "0.75".parse().unwrap();
    spec.weight_bits = None;
    spec
}

/// Small numbers that are the same on every run and in every implementation.
fn mixed(index: usize, spread: i64) -> i64 {
    let word = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    (word % (2 * spread as u64 + 1)) as i64 - spread
}

/// A model, inputs and labels from [`mixed`].
fn instance(program: &Program) -> (Parameters, Vec<i16>, Vec<i16>) {
    let mut base = Parameters::zeros(program);
    let mut index = 0;
    for layer in &mut base.layers {
        for value in layer.weights.iter_mut().chain(&mut layer.biases) {
            *value = mixed(index, 1 << program.weight_bits());
            index += 1;
        }
    }
    let rows = program.steps() * program.batch();
    let scale = 1i64 << program.activation_bits();
    let x = (0..rows * program.inputs()).map(|i| mixed(i + 10_000, 2 * scale) as i16).collect();
    let y = (0..rows * program.outputs()).map(|i| {
        let (row, class) = (i / program.outputs(), i % program.outputs());
        match program.loss() {
            Loss::SoftmaxCrossEntropy => {
                i16::from(mixed(row + 20_000, 1_000).unsigned_abs() as usize % program.outputs() == class)
            }
            Loss::SquaredError => mixed(i + 20_000, scale) as i16,
        }
    });
    (base, x, y.collect())
}

/// The four kinds of program.
fn programs() -> Vec<Program> {
    let mut all = Vec::new();
    for activation in Activation::ALL {
        for loss in Loss::ALL {
            let mut spec = spec();
            (spec.activation, spec.loss) = (activation, loss);
            all.push(Program::validate(spec).unwrap());
        }
    }
    all
}

type Change = fn(&mut Trace, &mut Parameters, usize);

fn violation(program: &Program, change: impl FnOnce(&mut Trace, &mut Parameters)) -> Result<(), Equation> {
    let (base, x, y) = instance(program);
    let (mut trace, mut update) = run(program, &base, &x, &y).unwrap();
    change(&mut trace, &mut update);
    check(program, &base, &x, &y, &trace, &update).map_err(|violation| violation.equation)
}

#[test]
fn a_run_satisfies_the_relation() {
    for program in programs() {
        assert_eq!(violation(&program, |_, _| {}), Ok(()));
    }
}

#[test]
fn a_second_implementation_agrees() {
    // Digests of the update, of every Q and of every P, from an implementation apart from this code.
    let expected = [
        ["5d10f59997092012", "98cb4e8a33c699e5", "9551fbd65e658428"],
        ["31ecca6262024f2d", "32ed508b824823bb", "711a5fa4e573da72"],
        ["f69bca4288e8232b", "6720d883cc42edfd", "0b914280727d8566"],
        ["0e0d9c58cdcb1a66", "030e34978e4f6865", "7ec057bf40ebe492"],
    ];
    for (program, expected) in programs().iter().zip(expected) {
        let (base, x, y) = instance(program);
        let (trace, update) = run(program, &base, &x, &y).unwrap();
        let hash = |values: Vec<i64>| -> String {
            use sha2::{Digest, Sha256};
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            Sha256::digest(bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let all = |pick: fn(&LayerTrace) -> &Vec<i16>| {
            hash(
                trace
                    .layers
                    .iter()
                    .flat_map(|layer| pick(layer).iter().map(|value| i64::from(*value)))
                    .collect(),
            )
        };
        let changes =
            update.layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.biases).copied());
        let found = [hash(changes.collect()), all(|layer| &layer.q), all(|layer| &layer.p)];
        assert_eq!(found, expected.map(str::to_owned));
        assert!(trace.layers.iter().all(|layer| layer.q.iter().any(|q| *q < 0)), "both sides of zero occur");
        assert!(update.largest() > 0);
    }
}

#[test]
fn each_field_is_bound_by_its_equation() {
    let shared: [(Equation, Change); 7] = [
        (Equation::Input, |t, _, i| nudge(&mut t.x, i)),
        (Equation::Label, |t, _, i| nudge(&mut t.y, i)),
        (Equation::ForwardRounding, |t, _, i| nudge(&mut t.layers[i % 3].q, i)),
        (Equation::BackwardRounding, |t, _, i| nudge(&mut t.layers[i % 2].p, i)),
        (Equation::UpdateWeights, |_, u, i| {
            let weights = &mut u.layers[i % 3].weights;
            let place = i % weights.len();
            weights[place] += 1;
        }),
        (Equation::UpdateBiases, |_, u, i| {
            let biases = &mut u.layers[i % 3].biases;
            let place = i % biases.len();
            biases[place] -= 1;
        }),
        (Equation::Shape, |t, _, i| {
            t.layers[i % 3].r.pop();
        }),
    ];
    for program in programs() {
        for (equation, change) in shared {
            for index in 0..40 {
                let found = violation(&program, |trace, update| change(trace, update, index));
                assert_eq!(found, Err(equation), "{:?} {index}", program.loss());
            }
        }
        for index in 0..40 {
            let found = violation(&program, |trace, _| {
                let r = &mut trace.layers[index % 3].r;
                let place = index % r.len();
                r[place] ^= 1;
            });
            assert_eq!(found, Err(Equation::ForwardRounding));
            let found = violation(&program, |trace, _| {
                let s = &mut trace.layers[index % 2].s;
                let place = index % s.len();
                s[place] ^= 1;
            });
            assert_eq!(found, Err(Equation::BackwardRounding));
        }
    }
}

fn nudge(values: &mut [i16], index: usize) {
    let place = index % values.len();
    values[place] = values[place].wrapping_add(1);
}

#[test]
fn remainders_out_of_range_are_named() {
    // One down in the quotient and a whole unit more in the remainder keeps the sum: only the range refuses it.
    for program in programs() {
        let unit = 1u64 << program.weight_bits();
        for layer in 0..3 {
            let found = violation(&program, |trace, _| {
                trace.layers[layer].q[1] -= 1;
                trace.layers[layer].r[1] += unit;
            });
            assert_eq!(found, Err(Equation::ForwardRemainder));
        }
        for layer in 0..2 {
            let found = violation(&program, |trace, _| {
                trace.layers[layer].p[1] -= 1;
                trace.layers[layer].s[1] += unit;
            });
            assert_eq!(found, Err(Equation::BackwardRemainder));
        }
    }
}

#[test]
fn each_field_of_the_loss_is_bound_by_its_equation() {
    type LossChange = fn(&mut SoftmaxTrace, usize);
    let changes: [(Equation, LossChange); 10] = [
        (Equation::MaximumDifference, |w, i| w.max[i % 9] += 1),
        (Equation::MaximumDifference, |w, i| w.d[i] += 1),
        (Equation::HotBit, |w, i| w.hot[i] = 2),
        (Equation::HotSum, |w, i| w.hot[i] ^= 1),
        // The one moved to the next class, whose logit is smaller.
        (Equation::HotMaximum, |w, i| w.hot[i / 3 * 3..][..3].rotate_right(1)),
        (Equation::Exponential, |w, i| w.e[i] ^= 1),
        (Equation::Quotient, |w, i| w.p[i] += 1),
        (Equation::Quotient, |w, i| w.rho[i] += 1),
        (Equation::QuotientComplement, |w, i| w.rho_complement[i] += 1),
        // A smaller quotient with a remainder that is a whole divisor larger.
        (Equation::QuotientComplement, |w, i| {
            let total: u64 = w.e[i / 3 * 3..][..3].iter().map(|e| u64::from(*e)).sum();
            w.p[i] -= 1;
            w.rho[i] += 2 * total;
        }),
    ];
    for program in programs().into_iter().filter(|program| program.loss() == Loss::SoftmaxCrossEntropy) {
        for (number, (equation, change)) in changes.into_iter().enumerate() {
            for index in 0..27 {
                let found = violation(&program, |trace, _| change(trace.softmax.as_mut().unwrap(), index));
                assert_eq!(found, Err(equation), "change {number} at {index}");
            }
        }
        // Raising a whole row's maximum together with its differences is caught by the one-hot choice.
        let found = violation(&program, |trace, _| {
            let witness = trace.softmax.as_mut().unwrap();
            witness.max[2] += 1;
            witness.d[6..9].iter_mut().for_each(|d| *d += 1);
        });
        assert_eq!(found, Err(Equation::HotMaximum));
        assert_eq!(violation(&program, |trace, _| trace.softmax = None), Err(Equation::Shape));
    }
}

#[test]
fn labels_must_be_one_hot() {
    let program = &programs()[0];
    let (base, x, y) = instance(program);
    let (trace, update) = run(program, &base, &x, &y).unwrap();
    let with = |labels: [i16; 3]| {
        let (mut y, mut trace) = (y.clone(), trace.clone());
        y[..3].copy_from_slice(&labels);
        trace.y.clone_from(&y);
        assert_eq!(
            labels_are_valid(program, &y),
            labels == [1, 0, 0] || labels == [0, 1, 0] || labels == [0, 0, 1]
        );
        check(program, &base, &x, &y, &trace, &update).unwrap_err().equation
    };
    assert_eq!(with([2, -1, 0]), Equation::LabelBit);
    assert_eq!(with([0, 0, 0]), Equation::LabelSum);
    assert_eq!(with([1, 1, 0]), Equation::LabelSum);
}

#[test]
fn another_program_model_or_batch_is_not_satisfied() {
    let program = &programs()[0];
    let (base, x, y) = instance(program);
    let (trace, update) = run(program, &base, &x, &y).unwrap();
    let refused = |program: &Program, base: &Parameters, x: &[i16], y: &[i16]| {
        check(program, base, x, y, &trace, &update).unwrap_err().equation
    };
    let mut stale = base.clone();
    stale.layers[2].biases[0] += 1 << program.weight_bits();
    assert_eq!(refused(program, &stale, &x, &y), Equation::ForwardRounding);
    let mut faster = program.spec();
    faster.learning_rate = "0.25".parse().unwrap();
    assert_eq!(refused(&Program::validate(faster).unwrap(), &base, &x, &y), Equation::ForwardRounding);
    let mut heavier = program.spec();
    heavier.weight = "1".parse().unwrap();
    assert_eq!(refused(&Program::validate(heavier).unwrap(), &base, &x, &y), Equation::UpdateWeights);
    let mut swapped = x.clone();
    swapped[..6].rotate_left(3);
    assert_eq!(refused(program, &base, &swapped, &y), Equation::Input);
    let mut longer = x;
    longer.push(0);
    assert_eq!(refused(program, &base, &longer, &y), Equation::Shape);
    let mut relabelled = y;
    relabelled[..3].rotate_left(1);
    assert_eq!(refused(program, &base, &longer[..longer.len() - 1], &relabelled), Equation::Label);
}

/// One input, one output, squared error, one step, one example: `Z = x·w + 2^fa·β`.
fn single(weight: i64, bias: i64, x: i16, y: i16) -> Result<(Trace, Parameters), RangeError> {
    let mut spec = spec();
    (spec.layers, spec.loss) = (vec![1, 1], Loss::SquaredError);
    (spec.steps, spec.batch, spec.weight_bits) = (1, 1, Some(26));
    spec.momentum = crate::decimal::Decimal::ZERO;
    spec.weight = crate::decimal::Decimal::ONE;
    let program = Program::validate(spec).unwrap();
    let mut base = Parameters::zeros(&program);
    base.layers[0].weights[0] = weight;
    base.layers[0].biases[0] = bias;
    let result = run(&program, &base, &[x], &[y])?;
    check(&program, &base, &[x], &[y], &result.0, &result.1).unwrap();
    Ok(result)
}

#[test]
fn ties_go_up_and_neighbours_do_not() {
    // x = ±1 and w an odd number of halves of 2^26.
    for (weight, x, expected) in [
        (1i64 << 25, 1i16, 1i16),
        ((1 << 25) - 1, 1, 0),
        (1 << 25, -1, 0),
        ((1 << 25) + 1, -1, -1),
        (3 << 25, 1, 2),
        (3 << 25, -1, -1),
        ((3 << 25) + 1, -1, -2),
    ] {
        let (trace, _) = single(weight, 0, x, 0).unwrap();
        assert_eq!(trace.layers[0].q, [expected], "{weight} {x}");
    }
}

#[test]
fn one_step_of_regression_by_hand() {
    // Q = round(3·2 + 0.5·256) = 134, Δ = 4·(134 − 100) = 136, c = 0.125·2^8 = 32.
    let (trace, update) = single(2 << 26, 1 << 25, 3, 100).unwrap();
    assert_eq!((trace.layers[0].q[0], trace.layers[0].r[0]), (134, 1 << 25));
    assert_eq!(update.layers[0].weights, [-32 * 3 * 136]);
    assert_eq!(update.layers[0].biases, [-32 * 256 * 136]);
}

#[test]
fn the_edges_of_sixteen_bits() {
    let unit = 1i64 << 26;
    assert_eq!(single(unit, 0, i16::MAX, i16::MIN).unwrap().0.layers[0].q, [i16::MAX]);
    assert_eq!(single(unit, 0, i16::MIN, i16::MAX).unwrap().0.layers[0].q, [i16::MIN]);
    let error = single(-unit, 0, i16::MIN, 0).unwrap_err();
    let expected = RangeError {
        what: Quantity::PreActivation,
        layer: 1,
        step: 0,
        example: 0,
        magnitude: 32_768,
        limit: 32_767,
    };
    assert_eq!(error, expected);
    // The half that rounds 32,767.5 up is the first to leave the range.
    assert_eq!(single(unit, (1 << 17) - 1, i16::MAX, 0).unwrap().0.layers[0].q, [i16::MAX]);
    assert_eq!(single(unit, 1 << 17, i16::MAX, 0).unwrap_err().magnitude, 32_768);
    assert_eq!(single(i64::MAX, i64::MAX, i16::MAX, 0).unwrap_err().what, Quantity::PreActivation);
}

#[test]
fn a_back_propagated_sum_out_of_range_is_named() {
    let mut spec = spec();
    (spec.layers, spec.steps, spec.batch, spec.weight_bits) = (vec![1, 2, 2], 1, 2, None);
    let program = Program::validate(spec).unwrap();
    let mut base = Parameters::zeros(&program);
    // Logits stay zero, so p = 1/2 and Δ = ±512; a weight of 64 makes 64·512 = 32,768.
    base.layers[1].weights[2] = 64 << program.weight_bits();
    let y = [0, 1, 1, 0];
    let error = run(&program, &base, &[0, 0], &y).unwrap_err();
    let expected = RangeError {
        what: Quantity::BackPropagated,
        layer: 1,
        step: 0,
        example: 0,
        magnitude: 32_768,
        limit: 32_767,
    };
    assert_eq!(error, expected);
    // The other label gives −32,768, which fits.
    let (trace, _) = run(&program, &base, &[0, 0], &[1, 0, 1, 0]).unwrap();
    assert_eq!(trace.layers[0].p, [0, -32_768, 0, -32_768]);
}

#[test]
fn equal_logits_choose_the_first_and_share_evenly() {
    let mut spec = spec();
    (spec.layers, spec.steps, spec.batch, spec.weight_bits) = (vec![1, 3], 1, 1, None);
    let program = Program::validate(spec).unwrap();
    let base = Parameters::zeros(&program);
    let (mut trace, update) = run(&program, &base, &[5], &[0, 1, 0]).unwrap();
    let witness = trace.softmax.as_mut().unwrap();
    assert_eq!((witness.hot.as_slice(), witness.p.as_slice()), (&[1, 0, 0][..], &[341, 341, 341][..]));
    // The choice among equals is free, as the module says.
    witness.hot.rotate_right(1);
    assert_eq!(check(&program, &base, &[5], &[0, 1, 0], &trace, &update), Ok(()));
}

#[test]
#[should_panic(expected = "labels suit the loss")]
fn labels_that_do_not_suit_are_the_callers_mistake() {
    let program = &programs()[0];
    let (base, x, mut y) = instance(program);
    y[0] = 7;
    let _ = run(program, &base, &x, &y);
}

proptest! {
    #![proptest_config(crate::seeded_cases(48))]
    #[test]
    fn random_runs_satisfy_the_relation_and_random_changes_do_not(
        widths in proptest::collection::vec(1usize..6, 2..5), kind in 0usize..4, steps in 1usize..4, batch in 1usize..4,
        momentum in 0u64..10, seed in any::<[u8; 32]>(), noise in any::<u64>(),
    ) {
        let mut spec = programs()[kind].spec();
        spec.layers = widths;
        if spec.loss == Loss::SoftmaxCrossEntropy {
            *spec.layers.last_mut().unwrap() += 1;
        }
        (spec.steps, spec.batch, spec.weight_bits) = (steps, batch, None);
        spec.momentum = crate::decimal::Decimal::new(false, momentum, -1).unwrap();
        let program = Program::validate(spec).unwrap();
        let (_, x, y) = instance(&program);
        let base = Parameters::initial(&program, seed);
        let (trace, update) = run(&program, &base, &x, &y).unwrap();
        prop_assert_eq!(check(&program, &base, &x, &y, &trace, &update), Ok(()));

        let mut changed = trace.clone();
        let layer = noise as usize % changed.layers.len();
        let q = &mut changed.layers[layer].q;
        let place = (noise >> 8) as usize % q.len();
        q[place] ^= 1 << ((noise >> 40) % 16);
        let found = check(&program, &base, &x, &y, &changed, &update).unwrap_err();
        prop_assert_eq!(found.equation, Equation::ForwardRounding);
        prop_assert_eq!((found.layer, found.step * batch + found.example), (layer + 1, place / program.layers()[layer + 1]));
    }
}
