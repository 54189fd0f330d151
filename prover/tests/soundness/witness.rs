//! Attacks on the witness: each breaks one relation and keeps every other.

use weightproof_circuits::algebra::Check;
use weightproof_circuits::layout::{Leaf, Table, Tensor};
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;

use crate::forge::{Optimizer, Site, Source, data_rows, faithful};
use crate::harness::{
    Case, Cheat, Opening, judge, linear, long, opened_value, probe, prove_split, relu, shapes, tied, verify,
};

/// An attack by name, with the checks that stop it.
pub struct Registered {
    pub name: &'static str,
    pub checks: &'static [Check],
    /// What the prover commits to.
    pub material: fn() -> Cheat,
}

macro_rules! attacks {
    ($($name:ident: [$($check:ident),*] => $material:expr;)*) => {
        /// Every attack on the witness alone.
        pub const ATTACKS: &[Registered] = &[
            $(Registered { name: stringify!($name), checks: &[$(Check::$check),*], material: || $material },)*
        ];
        $(
            #[test]
            fn $name() {
                let cheat: Cheat = $material;
                judge(stringify!($name), &cheat, &cheat.prove(), &[$(Check::$check),*], Opening::True);
            }
        )*
    };
}

attacks! {
    // What is learned.
    wrong_label: [DatasetLink] => with_labels(relu(), |y| y[..3].rotate_left(1));
    wrong_target: [DatasetLink] => with_labels(linear(), |y| y[4] += 1);
    altered_input: [DatasetLink] => with_inputs(relu(), |x| x[7] += 1);
    swapped_rows: [DatasetLink] => swapped(relu());
    swapped_rows_of_targets: [DatasetLink] => swapped(linear());
    repeated_row: [DatasetLink] => repeated(relu());
    two_labels: [LabelSum] => with_dataset_labels(|y| y[..3].copy_from_slice(&[1, 0, 1]));
    no_label: [LabelSum] => with_dataset_labels(|y| y[..3].fill(0));
    label_not_a_bit: [LookupRoot] => with_dataset_labels(|y| y[..3].copy_from_slice(&[2, -1, 0]));
    input_out_of_range: [LookupRoot] => large_input();
    target_out_of_range: [LookupRoot] => large_target();
    hidden_feature_before_the_labels: [DatasetLink] => with_data(3, 9);
    hidden_feature_after_the_labels: [DatasetLink] => with_data(7, 9);
    hidden_feature_in_a_padded_example: [DatasetLink] => with_data(3 * 8 + 1, 9);
    hidden_feature_in_a_padded_step: [DatasetLink] => with_data((3 * 4) * 8 + 4, 9);

    // What it is learned from.
    stale_weights: [MatrixProducts] => with_base(|base| *base = Parameters::initial(&relu().program, [99; 32]));
    altered_weight: [MatrixProducts] => with_base(|base| base.layers[1].weights[4] += 1 << 20);
    altered_bias: [MatrixProducts] => with_base(|base| base.layers[0].biases[2] += 1 << 20);

    // How it is learned.
    other_learning_rate: [VirtualWeights] => with_program(relu(), "0.25", "0.5");
    other_learning_rate_squared_error: [VirtualWeights] => with_program(linear(), "0.25", "0.5");
    other_momentum: [VirtualWeights] => with_program(relu(), "0.125", "0.25");
    other_rate_between_steps: [MatrixProducts] => with_coefficients(|c| c.step[1][0] *= 2);
    wrong_momentum_coefficient: [MatrixProducts] => with_coefficients(|c| c.step[2][0] += 1);
    step_not_applied: [MatrixProducts] => with_coefficients(|c| c.step[2][1] = 0);
    step_left_out_of_the_update: [VirtualWeights] => with_coefficients(|c| c.out[1] = 0);
    zero_update: [VirtualWeights] => with_update(relu(), |u| *u = Parameters::zeros(&relu().program));
    scaled_update: [VirtualWeights] => with_update(relu(), |u| {
        for layer in &mut u.layers {
            layer.weights.iter_mut().chain(&mut layer.biases).for_each(|v| *v *= 2);
        }
    });
    layer_left_out_of_the_update: [VirtualWeights] => with_update(relu(), |u| {
        u.layers[1].weights.fill(0);
        u.layers[1].biases.fill(0);
    });
    altered_update_weight: [VirtualWeights] => with_update(linear(), |u| u.layers[0].weights[14] += 1);
    altered_update_bias: [VirtualWeights] => with_update(relu(), |u| u.layers[0].biases[4] -= 1);
    bias_not_updated: [VirtualWeights] => with_update(linear(), |u| u.layers[1].biases.fill(0));

    // Forward rounding.
    rounded_up: [LookupRoot] => shifted(relu(), any(relu(), Tensor::PreActivation(1)), 1);
    rounded_down: [LookupRoot] => shifted(relu(), any(relu(), Tensor::PreActivation(2)), -1);
    rounded_up_linear: [LookupRoot] => shifted(linear(), any(linear(), Tensor::PreActivation(2)), 1);
    rounded_up_remainder_kept: [MatrixProducts] => kept(relu(), Tensor::PreActivation(1));
    rounded_up_remainder_kept_linear: [MatrixProducts] => kept(linear(), Tensor::PreActivation(1));
    forward_limb_too_large: [LookupRoot] => carried(relu(), |i| Tensor::ForwardRemainder(1, i), 1);
    forward_limb_negative: [LookupRoot] => carried(relu(), |i| Tensor::ForwardRemainder(2, i), -1);
    forward_limb_too_large_linear: [LookupRoot] => carried(linear(), |i| Tensor::ForwardRemainder(1, i), 1);
    high_forward_limb_altered: [MatrixProducts] =>
        shifted(relu(), relu().find(Tensor::ForwardRemainder(2, 1), |_, v| v > 0), -1);
    remainder_far_out_of_range: [LookupRoot] => far(relu());
    skipped_layer: [MatrixProducts] => second_layer_zero();

    // Gates.
    sign_opened: [LookupRoot] => sign(|q| q < 0, 1);
    sign_closed: [LookupRoot] => sign(|q| q > 0, 0);
    sign_not_a_bit: [LookupRoot] => sign(|q| q > 0, 2);
    sign_negative: [LookupRoot] => sign(|q| q < 0, -1);

    // Backward rounding.
    backward_rounded_up: [LookupRoot] => shifted(relu(), any(relu(), Tensor::BackSum(1)), 1);
    backward_rounded_down: [LookupRoot] => shifted(linear(), any(linear(), Tensor::BackSum(1)), -1);
    backward_rounded_up_remainder_kept: [MatrixProducts] => kept(relu(), Tensor::BackSum(1));
    backward_rounded_up_remainder_kept_linear: [MatrixProducts] => kept(linear(), Tensor::BackSum(1));
    backward_limb_too_large: [LookupRoot] => carried(relu(), |i| Tensor::BackwardRemainder(1, i), 1);
    backward_limb_negative: [LookupRoot] => carried(linear(), |i| Tensor::BackwardRemainder(1, i), -1);
    high_backward_limb_altered: [MatrixProducts] =>
        shifted(relu(), relu().find(Tensor::BackwardRemainder(1, 1), |_, v| v > 0), -1);
    errors_of_a_step_zeroed: [MatrixProducts] => errors_zeroed();

    // The loss.
    maximum_too_large: [Gates] => shifted(relu(), Site::new(Tensor::Maximum, 2, 0), 1);
    maximum_too_large_and_not_attained: [HotSum] => maximum_not_attained();
    maximum_too_small: [LookupRoot] => second_largest();
    hot_elsewhere: [Gates] => hot(0, 1);
    hot_twice: [HotSum, Gates] => hot(1, 1);
    hot_not_a_bit: [Gates, LookupRoot] => hot(2, -1);
    distance_altered: [MaximumDistance] => shifted(relu(), relu().find(Tensor::Distance, |_, d| d > 0), 1);
    exponential_altered: [LookupRoot] => shifted(relu(), any(relu(), Tensor::Exponential), 1);
    exponential_zero: [LookupRoot] => replaced(relu(), any(relu(), Tensor::Exponential), 0);
    probability_too_large: [LookupRoot] => shifted(relu(), any(relu(), Tensor::Probability), 1);
    probability_too_small: [LookupRoot] => shifted(relu(), any(relu(), Tensor::Probability), -1);
    probability_too_small_complement_kept: [DivisionComplement] => complement_kept();
    probability_altered_remainder_kept: [Gates] => probability_kept();
    division_limb_too_large: [LookupRoot] => carried(relu(), Tensor::DivisionRemainder, 1);
    division_limb_negative: [LookupRoot] => carried(relu(), Tensor::DivisionRemainder, -1);
    complement_limb_too_large: [LookupRoot] => carried(relu(), Tensor::DivisionComplement, 1);
    complement_altered: [DivisionComplement] =>
        shifted(relu(), relu().find(Tensor::DivisionComplement(0), |_, v| v > 0), -1);

    // Multiplicities and the end of the stack.
    multiplicity_too_large: [LookupRoot] => multiplicity(Table::Signed16, 1, 0);
    multiplicity_moved: [LookupRoot] => multiplicity(Table::Signed16, 1, -1);
    multiplicity_of_padding: [LookupRoot] => multiplicity(Table::Zero, 1, 0);
    multiplicity_of_signs: [LookupRoot] => multiplicity(Table::Relu, -1, 1);
    multiplicity_of_exponentials: [LookupRoot] => multiplicity(Table::Exponential, 1, -1);
    multiplicity_of_bits: [LookupRoot] => multiplicity(Table::Bits(1), 1, -1);
    end_of_the_stack: [LookupRoot] => stack_end(relu());
    end_of_the_linear_stack: [LookupRoot] => stack_end(linear());
}

fn any(case: &'static Case, tensor: Tensor) -> Site {
    // Not at the edge of its range, and away from the first entries, which zero padding could imitate.
    case.find(tensor, |site, value| site.row > 0 && value != 0 && value != -1 && value.abs() < 32_000)
}

fn shifted(case: &'static Case, site: Site, by: i64) -> Cheat {
    case.forged(&|s, value| if s == site { value + by } else { value })
}

fn replaced(case: &'static Case, site: Site, by: i64) -> Cheat {
    case.forged(&|s, value| if s == site { by } else { value })
}

fn with_labels(case: &'static Case, alter: impl Fn(&mut [i16])) -> Cheat {
    let mut y = case.y.clone();
    alter(&mut y);
    case.forged_from(&Source { y: &y, ..case.source() }, &faithful)
}

fn with_inputs(case: &'static Case, alter: impl Fn(&mut [i16])) -> Cheat {
    let mut x = case.x.clone();
    alter(&mut x);
    case.forged_from(&Source { x: &x, ..case.source() }, &faithful)
}

/// A dataset that holds the bad labels itself.
fn with_dataset_labels(alter: impl Fn(&mut [i16])) -> Cheat {
    let case = relu();
    let mut y = case.y.clone();
    alter(&mut y);
    let mut cheat = case.forged_from(&Source { y: &y, ..case.source() }, &faithful);
    cheat.data = data_rows(&case.layout, &case.x, &y);
    cheat
}

fn with_rows(case: &'static Case, from: [usize; 2]) -> Cheat {
    let (inputs, outputs) = (case.program.inputs(), case.program.outputs());
    let (mut x, mut y) = (case.x.clone(), case.y.clone());
    for (row, other) in from.into_iter().enumerate() {
        x[row * inputs..][..inputs].copy_from_slice(&case.x[other * inputs..][..inputs]);
        y[row * outputs..][..outputs].copy_from_slice(&case.y[other * outputs..][..outputs]);
    }
    case.forged_from(&Source { x: &x, y: &y, ..case.source() }, &faithful)
}

fn swapped(case: &'static Case) -> Cheat {
    with_rows(case, [1, 0])
}

fn repeated(case: &'static Case) -> Cheat {
    with_rows(case, [0, 0])
}

fn large_input() -> Cheat {
    let case = relu();
    let mut cheat = replaced(case, Site::new(Tensor::Input, 0, 1), 32_768);
    cheat.data[1] = 32_768;
    cheat
}

fn large_target() -> Cheat {
    let case = linear();
    let mut cheat = replaced(case, Site::new(Tensor::Label, 0, 1), -32_769);
    cheat.data[case.layout.label_offset + 1] = -32_769;
    cheat
}

fn with_data(position: usize, value: i32) -> Cheat {
    let case = relu();
    let mut cheat = case.honest();
    assert_eq!(cheat.data[position], 0, "the position is padding");
    cheat.data[position] = value;
    cheat
}

fn with_base(alter: impl Fn(&mut Parameters)) -> Cheat {
    let case = relu();
    let mut base = case.base.clone();
    alter(&mut base);
    case.forged_from(&Source { base: &base, ..case.source() }, &faithful)
}

/// The same program with other rates, at the same scales.
fn with_rates(program: &Program, learning_rate: &str, momentum: &str) -> Program {
    let text = format!(
        "[model]\nlayers = {:?}\nactivation = \"{}\"\nloss = \"{}\"\n[arithmetic]\nweight_bits = {}\n[optimizer]\n\
         learning_rate = {learning_rate}\nmomentum = {momentum}\n[contribution]\nsteps = {}\nbatch = {}\n",
        program.layers(),
        program.activation().name(),
        program.loss().name(),
        program.weight_bits(),
        program.steps(),
        program.batch(),
    );
    Program::parse(&text).expect("the rates suit the scales")
}

/// Trains and proves with other rates.
fn with_program(case: &'static Case, learning_rate: &str, momentum: &str) -> Cheat {
    let other = with_rates(&case.program, learning_rate, momentum);
    assert_ne!(other.coefficients(), case.program.coefficients());
    let optimizer = Optimizer::of(&other);
    let source = Source { optimizer: &optimizer, ..case.source() };
    let mut cheat = case.forged_from(&source, &faithful);
    cheat.prover_program = other;
    cheat
}

/// Trains with other coefficients and proves with the program's own.
fn with_coefficients(alter: impl Fn(&mut Optimizer)) -> Cheat {
    let case = relu();
    let mut optimizer = case.optimizer.clone();
    alter(&mut optimizer);
    assert_ne!(optimizer, case.optimizer);
    case.forged_from(&Source { optimizer: &optimizer, ..case.source() }, &faithful)
}

fn with_update(case: &'static Case, alter: impl Fn(&mut Parameters)) -> Cheat {
    let mut cheat = case.honest();
    alter(&mut cheat.update);
    assert_ne!(cheat.update, case.update);
    cheat
}

/// One more, while the remainder stays what it was.
fn kept(case: &'static Case, tensor: Tensor) -> Cheat {
    let site = case.find(tensor, |_, value| value != -1 && value.abs() < 32_000);
    case.forged(&|s, value| match s.tensor {
        _ if s == site => value + 1,
        Tensor::ForwardRemainder(layer, _)
            if tensor == Tensor::PreActivation(layer) && (s.row, s.unit) == (site.row, site.unit) =>
        {
            case.at(s)
        }
        Tensor::BackwardRemainder(layer, _)
            if tensor == Tensor::BackSum(layer) && (s.row, s.unit) == (site.row, site.unit) =>
        {
            case.at(s)
        }
        _ => value,
    })
}

/// Moves one unit of the high limb into the low one, or back: the same remainder, another decomposition.
fn carried(case: &'static Case, limb: impl Fn(usize) -> Tensor, direction: i64) -> Cheat {
    let (low, high) = (limb(0), limb(1));
    let bits = |tensor| match case.layout.block(tensor).expect("two limbs").leaf {
        Leaf::Single(Table::Bits(bits)) => bits,
        other => panic!("a limb is looked up in its bits, not by {other:?}"),
    };
    let room = 0..1i64 << bits(high);
    let site = case.find(high, |_, value| room.contains(&(value - direction)));
    let radix = 1i64 << bits(low);
    case.forged(&|s, value| match s {
        _ if s == site => value - direction,
        Site { tensor, row, unit } if tensor == low && (row, unit) == (site.row, site.unit) => {
            value + direction * radix
        }
        _ => value,
    })
}

/// A quotient far from the truth, with whatever remainder makes up for it.
fn far(case: &'static Case) -> Cheat {
    let site = any(case, Tensor::PreActivation(2));
    let by = -3;
    case.forged(&|s, value| if s == site { value + by } else { value })
}

/// Pre-activations of the second layer as if its weights were zero: the layer is not run.
fn second_layer_zero() -> Cheat {
    let case = relu();
    let half = 1i64 << (case.program.weight_bits() - 1);
    let limbs = &case.layout.remainder_limbs;
    case.forged(&|s, value| match s.tensor {
        Tensor::PreActivation(2) => 0,
        Tensor::ForwardRemainder(2, index) => {
            let shift: u32 = limbs[..index].iter().sum();
            (half >> shift) & ((1 << limbs[index]) - 1)
        }
        _ => value,
    })
}

fn sign(suits: impl Fn(i64) -> bool, value: i64) -> Cheat {
    let case = relu();
    let site = case.find(Tensor::PreActivation(1), |_, q| suits(q));
    replaced(case, Site { tensor: Tensor::Sign(1), ..site }, value)
}

fn errors_zeroed() -> Cheat {
    let case = relu();
    let rows = case.layout.batch..2 * case.layout.batch;
    case.forged(&|s, value| match s.tensor {
        Tensor::BackSum(1) if rows.contains(&s.row) => 0,
        Tensor::BackwardRemainder(1, _) if rows.contains(&s.row) => case.at(s),
        _ => value,
    })
}

/// A row whose logits all differ, its largest class and its second.
fn ranked(case: &Case) -> (usize, usize, usize) {
    let classes = case.program.outputs();
    (1..case.layout.steps * case.layout.batch)
        .find_map(|row| {
            let mut order: Vec<(i64, usize)> =
                (0..classes).map(|c| (case.at(Site::new(Tensor::PreActivation(2), row, c)), c)).collect();
            order.sort_unstable();
            order.reverse();
            (order[0].0 > order[1].0).then_some((row, order[0].1, order[1].1))
        })
        .expect("a row without a tie")
}

fn maximum_not_attained() -> Cheat {
    let case = relu();
    let (row, largest, _) = ranked(case);
    case.forged(&|s, value| match s {
        _ if s == Site::new(Tensor::Maximum, row, 0) => value + 1,
        _ if s == Site::new(Tensor::Hot, row, largest) => 0,
        _ => value,
    })
}

/// The second largest logit passes for the largest, whose distance is then negative.
fn second_largest() -> Cheat {
    let case = relu();
    let (row, largest, second) = ranked(case);
    case.forged(&|s, value| match s {
        _ if s == Site::new(Tensor::Maximum, row, 0) => {
            case.at(Site::new(Tensor::PreActivation(2), row, second))
        }
        _ if s == Site::new(Tensor::Hot, row, largest) => 0,
        _ if s == Site::new(Tensor::Hot, row, second) => 1,
        _ => value,
    })
}

fn hot(first: i64, second: i64) -> Cheat {
    let case = relu();
    let (row, largest, other) = ranked(case);
    case.forged(&|s, value| match s {
        _ if s == Site::new(Tensor::Hot, row, largest) => first,
        _ if s == Site::new(Tensor::Hot, row, other) => second,
        _ => value,
    })
}

fn of_division(s: Site, site: Site) -> bool {
    (s.row, s.unit) == (site.row, site.unit)
}

/// A quotient one too small: the remainder fits its limbs, and the complement, which would be negative, stays.
fn complement_kept() -> Cheat {
    let case = relu();
    let classes = case.program.outputs();
    let limbs = &case.layout.division_limbs;
    let room = 1i64 << limbs.iter().sum::<u32>();
    let site = case.find(Tensor::Probability, |site, p| {
        let e = |c| case.at(Site::new(Tensor::Exponential, site.row, c));
        let total: i64 = (0..classes).map(e).sum();
        let rho = (e(site.unit) << (case.program.error_bits() + 1)) + total - 2 * total * p;
        p > 0 && rho + 2 * total < room
    });
    case.forged(&|s, value| match s.tensor {
        _ if s == site => value - 1,
        Tensor::DivisionComplement(_) if of_division(s, site) => case.at(s),
        _ => value,
    })
}

/// Another quotient beside the true one's remainders.
fn probability_kept() -> Cheat {
    let case = relu();
    let site = any(case, Tensor::Probability);
    case.forged(&|s, value| match s.tensor {
        _ if s == site => value + 1,
        Tensor::DivisionRemainder(_) | Tensor::DivisionComplement(_) if of_division(s, site) => case.at(s),
        _ => value,
    })
}

/// Adds to the first counted entry of a table, and to the second.
fn multiplicity(table: Table, first: i32, second: i32) -> Cheat {
    let case = relu();
    let mut cheat = case.honest();
    let range = case.layout.block(Tensor::Multiplicity(table)).expect("the table is used").range();
    let counts = &mut cheat.stack[range];
    counts[0] += first;
    if second != 0 {
        counts[1] += second;
    }
    cheat
}

fn stack_end(case: &'static Case) -> Cheat {
    let mut cheat = case.honest();
    let used: usize = case.layout.blocks.iter().map(|b| 1usize << b.variables).sum();
    assert!(used < cheat.stack.len(), "the stack has an end to attack");
    *cheat.stack.last_mut().expect("a stack") = 1;
    cheat.counted()
}

/// The products use `A` and `Δ` of a forged sign; the committed sign is the true one.
fn split(name: &str, suits: impl Fn(i64) -> bool, value: i64) {
    let case = relu();
    let first = sign(suits, value);
    let mut second = first.clone();
    let range = case.layout.block(Tensor::Sign(1)).expect("signs").range();
    let pre_activations = case.layout.block(Tensor::PreActivation(1)).expect("pre-activations").range();
    for site in case.sites(Tensor::Sign(1)) {
        let position = site.position(&case.layout);
        let q = second.stack[pre_activations.start + position - range.start];
        second.stack[position] = i32::from(q >= 0);
    }
    let second = second.counted();
    assert_eq!(second.outside(), None, "the committed witness is in its tables");
    let sent = prove_split(&first, &second, &mut |_| {});
    judge(name, &second, &sent, &[Check::Gates], Opening::True);
}

#[test]
fn gate_off_between_pieces() {
    split("gate_off_between_pieces", |q| q < 0, 1);
}

#[test]
fn gate_closed_between_pieces() {
    split("gate_closed_between_pieces", |q| q > 0, 0);
}

/// The prover evaluates another base model throughout: nothing but the opening can tell, and it does.
#[test]
fn another_base_model_is_caught_by_the_opening() {
    let case = relu();
    let base = Parameters::initial(&case.program, [99; 32]);
    let mut cheat = case.forged_from(&Source { base: &base, ..case.source() }, &faithful);
    cheat.prover_base = base.clone();
    let sent = cheat.prove();
    judge("another_base_model", &cheat, &sent, &[], Opening::False);
    // The control: with the base model that was used, the opened value is true.
    let claim = verify(case, &sent.messages, &[]).expect("all checks hold");
    assert_eq!(opened_value(&cheat, &base, &case.exponential, &claim), claim.value);
}

/// The prover brings its own exponential table: nothing but the opening can tell, and it does.
#[test]
fn another_exponential_table_is_caught_by_the_opening() {
    let case = relu();
    let exponential: Vec<u16> = case.exponential.iter().map(|e| e / 2 + 1).collect();
    let source = Source { exponential: &exponential, ..case.source() };
    let mut cheat = case.forged_from(&source, &faithful);
    cheat.exponential = exponential.clone();
    let cheat = cheat.counted();
    assert_eq!(cheat.outside(), None, "its own table holds its values");
    let sent = cheat.prove();
    judge("another_exponential_table", &cheat, &sent, &[], Opening::False);
    let claim = verify(case, &sent.messages, &[]).expect("all checks hold");
    assert_eq!(opened_value(&cheat, &case.base, &exponential, &claim), claim.value);
}

/// Every block, with a value in each kind of padding: no position is free to choose.
#[test]
fn padding_is_zero_in_every_block() {
    for case in [relu(), linear()] {
        let layout = &case.layout;
        let mut skipped = 0;
        for (index, block) in layout.blocks.iter().enumerate().filter(|(_, b)| b.is_tensor()) {
            let width = 1usize << block.unit_variables;
            let in_units = (block.units < width).then_some(block.units);
            // Example 3 of step 0 and step 3 are beyond the declared shape.
            let positions = [
                in_units,
                Some(layout.batch * width),
                Some((layout.steps << layout.example_variables) * width),
            ];
            let present: Vec<usize> = positions.into_iter().flatten().collect();
            for (axis, position) in present.iter().enumerate() {
                if !long() && axis != index % present.len() {
                    skipped += 1;
                    continue;
                }
                let mut cheat = case.honest();
                cheat.stack[block.offset + position] = 1;
                let cheat = cheat.counted();
                let sent = cheat.prove();
                let failing = probe(case, &sent.messages).failing();
                let name = format!("padding of {:?}, position {position}", block.tensor);
                assert!(failing.contains(&Check::LookupRoot), "{name}: {failing:?}");
                judge(&name, &cheat, &sent, &failing, Opening::True);
            }
        }
        assert!(long() || skipped > 0);
    }
}

/// Every declared block holds a value just outside its table: the lookup says so, whatever else does.
#[test]
fn every_block_is_held_to_its_table() {
    let others = if long() { shapes() } else { &shapes()[1..2] };
    for case in [relu(), linear()].into_iter().chain(others) {
        for block in case.layout.blocks.iter().filter(|b| b.is_tensor()) {
            let table = match block.leaf {
                Leaf::Single(table) | Leaf::Pair(table, _) => table,
                // A partner alone: no entry of a pair's table is as large.
                Leaf::Neutral => Table::Bits(16),
                Leaf::Table(_) => continue,
            };
            let last = table.entry((1 << table.variables()) - 1) as i32;
            let mut cheat = case.honest();
            // The least value outside, or one at the edge of the word where the prover does not multiply small integers.
            let values = [last + 1, i32::MAX, i32::MIN];
            let multiplied = matches!(
                block.tensor,
                Tensor::Sign(_)
                    | Tensor::PreActivation(_)
                    | Tensor::BackSum(_)
                    | Tensor::Probability
                    | Tensor::Label
            );
            let choice = if multiplied { 0 } else { (block.offset >> block.variables) % values.len() };
            cheat.stack[block.offset] = values[choice];
            let cheat = cheat.counted();
            assert_eq!(cheat.outside().map(|o| o.1), Some(0), "{:?}", block.tensor);
            let sent = cheat.prove();
            let failing = probe(case, &sent.messages).failing();
            assert!(failing.contains(&Check::LookupRoot), "{:?}: {failing:?}", block.tensor);
            judge(&format!("{:?} outside its table", block.tensor), &cheat, &sent, &failing, Opening::True);
        }
    }
}

/// A fresh copy of the honest material is accepted: the harness itself refuses nothing.
#[test]
fn the_honest_material_is_accepted() {
    for case in [relu(), linear(), tied()].into_iter().chain(shapes()) {
        let cheat = case.honest();
        assert_eq!(cheat.outside(), None);
        let sent = cheat.prove();
        assert_eq!(probe(case, &sent.messages).failing(), []);
        let claim = verify(case, &sent.messages, &[]).expect("honest messages are accepted");
        assert_eq!(opened_value(&cheat, &case.base, &case.exponential, &claim), claim.value);
        assert!(cheat.touched().is_empty());
    }
}

/// The judge notices when the named check is not the one that refuses.
#[test]
#[should_panic(expected = "the checks that fail")]
fn the_judge_refuses_the_wrong_check() {
    let cheat = with_labels(relu(), |y| y[..3].rotate_left(1));
    judge("wrong_label", &cheat, &cheat.prove(), &[Check::LookupRoot], Opening::True);
}

/// The judge notices an attack that nothing refuses.
#[test]
#[should_panic(expected = "SOUNDNESS: nothing refuses the attack")]
fn the_judge_refuses_what_is_accepted() {
    let cheat = relu().honest();
    judge("honest", &cheat, &cheat.prove(), &[], Opening::True);
}

/// The judge notices that the opening would have refused as well, so that no check was the only defence.
#[test]
#[should_panic(expected = "whether the opened value is true")]
fn the_judge_notices_a_second_defence() {
    let cheat = with_labels(relu(), |y| y[..3].rotate_left(1));
    let sent = cheat.prove();
    let mut other = cheat.clone();
    other.stack[0] += 1;
    judge("wrong_label", &other, &sent, &[Check::DatasetLink], Opening::True);
}
