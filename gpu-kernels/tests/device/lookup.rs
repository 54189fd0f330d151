//! The lookup's tree, from the definition of its leaves (specs/protocol/lookup.md).

use ark_ff::{AdditiveGroup, Field};
use weightproof_circuits::argument::lookup::LookupChallenges;
use weightproof_circuits::exact::exp_table;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::{Layout, Leaf, Table, Tensor};
use weightproof_circuits::multilinear::eq_table;
use weightproof_circuits::program::Program;
use weightproof_gpu_kernels::kernels::{KernelError, Tensors};

use crate::fractions::{leaves, parents};
use crate::support::{Draw, Instance, bind, devices};

/// A program with every kind of leaf, padding on each axis and a tail, and a stack of which most values are in their
/// tables but some are not.
fn instance(draw: &mut Draw) -> Instance {
    let mut spec = Program::default_for(3, 3).unwrap().spec();
    (spec.layers, spec.steps, spec.batch, spec.weight_bits) = (vec![3, 5, 3], 3, 3, None);
    let program = Program::validate(spec).unwrap();
    let layout = Layout::new(&program);
    let exponential = exp_table(program.activation_bits());
    let mut stack: Vec<i32> = vec![0; 1 << layout.variables];
    for block in layout.blocks.iter().filter(|block| block.is_tensor()) {
        for position in block.range() {
            let place = position - block.offset;
            let (row, unit) = (place >> block.unit_variables, place & ((1 << block.unit_variables) - 1));
            let is_real = unit < block.units && row / 4 < 3 && row % 4 < 3;
            stack[position] = match block.leaf {
                _ if draw.word().is_multiple_of(29) => draw.word() as i32,
                _ if !is_real => 0,
                Leaf::Single(table) | Leaf::Pair(table, _) => {
                    let index = draw.word() as usize % (1 << table.variables());
                    table.entry(index) as i32
                }
                _ => 0,
            };
        }
    }
    for block in &layout.blocks {
        match block.leaf {
            // Second members that match, mostly.
            Leaf::Pair(table, partner) => {
                let start = layout.block(partner).unwrap().offset;
                for place in 0..1 << block.variables {
                    let value = stack[block.offset + place];
                    if value != 0 && !draw.word().is_multiple_of(17) {
                        stack[start + place] = match table {
                            Table::Relu => i32::from(value >= 0),
                            _ => usize::try_from(value)
                                .ok()
                                .and_then(|value| exponential.get(value))
                                .map_or(5, |e| i32::from(*e)),
                        };
                    }
                }
            }
            Leaf::Table(_) => {
                block.range().step_by(37).for_each(|position| stack[position] = draw.signed(1000) as i32);
            }
            _ => {}
        }
    }
    // The tail.
    let end = layout.blocks.last().unwrap().range().end;
    stack[end + 3] = -4;
    Instance { layout, stack, exponential, ..Instance::new(4, 8, draw) }
}

/// `Σ weight·(p₀q₁ + p₁q₀ + λ·q₀q₁)` with the free coordinate at `x`.
fn value_at(layer: &[Vec<F>; 2], weights: &[F], lambda: F, x: F) -> F {
    let [p, q] = layer.each_ref().map(|array| bind(array, x, 2));
    let nodes = p.chunks(2).zip(q.chunks(2)).zip(weights);
    nodes.map(|((p, q), weight)| *weight * (p[0] * q[1] + p[1] * q[0] + lambda * q[0] * q[1])).sum()
}

#[test]
fn the_tree_and_its_rounds_are_those_of_the_leaves() {
    let mut draw = Draw(12);
    let instance = instance(&mut draw);
    let challenges = LookupChallenges { gamma: draw.element(), beta: draw.element(), alpha: draw.element() };
    let mut layers = vec![leaves(&instance, &challenges)];
    while layers[layers.len() - 1][0].len() > 2 {
        layers.push(parents(&layers[layers.len() - 1]));
    }
    let variables = instance.layout.variables;
    let point = draw.elements(variables);
    let lambda = draw.element();
    // All rounds of some layers; the others are only passed.
    let full = [1, 2, 5, variables - 2, variables - 1];
    instance.on_devices(|session| {
        let mut tree = session.lookup(&challenges).unwrap();
        let root = &layers[variables - 1];
        assert_eq!(tree.root(), [root[0][0], root[0][1], root[1][0], root[1][1]]);
        assert!(matches!(tree.round(), Err(KernelError::Device { .. })), "no layer was entered");
        for level in 1..variables {
            assert!(matches!(tree.descend(&point[..level - 1], &lambda), Err(KernelError::Device { .. })));
            tree.descend(&point[..level], &lambda).unwrap();
            if !full.contains(&level) {
                continue;
            }
            let mut layer = layers[variables - 1 - level].clone();
            for free in (0..level).rev() {
                let weights = eq_table(&point[..free]);
                let (zero, leading) = tree.round().unwrap();
                let at = |x: u64| value_at(&layer, &weights, lambda, F::from(x));
                assert_eq!(zero, at(0), "level {level}, {free} free");
                // The second difference of a quadratic is twice its leading coefficient.
                assert_eq!(leading.double(), at(2) - at(1).double() + at(0), "level {level}, {free} free");
                let challenge = point[free] + F::from(level as u64);
                tree.bind(&challenge).unwrap();
                layer = layer.map(|array| bind(&array, challenge, 2));
            }
            assert_eq!(tree.children().unwrap(), [layer[0][0], layer[0][1], layer[1][0], layer[1][1]]);
            assert!(matches!(tree.round(), Err(KernelError::Device { .. })), "no coordinate is left");
            assert!(matches!(tree.bind(&lambda), Err(KernelError::Device { .. })));
        }
        assert!(matches!(tree.descend(&point, &lambda), Err(KernelError::Device { .. })), "below the leaves");
    });
}

#[test]
fn layouts_that_lead_out_of_the_stack_are_refused() {
    let mut draw = Draw(18);
    let instance = instance(&mut draw);
    let challenges = LookupChallenges { gamma: F::ONE, beta: F::ONE, alpha: F::ONE };
    type Change = fn(&mut Layout);
    let changes: [Change; 8] = [
        |layout| layout.blocks[0].offset = 1,
        |layout| layout.blocks.swap(0, 3),
        |layout| layout.blocks[2].variables = 40,
        |layout| layout.blocks[2].variables = 64,
        |layout| layout.blocks[4].unit_variables = 50,
        |layout| layout.example_variables = 64,
        |layout| layout.tables.retain(|table| *table != Table::Signed16),
        // A pair whose partner is not there.
        |layout| {
            layout
                .blocks
                .pop()
                .into_iter()
                .for_each(|_| layout.blocks.retain(|b| b.tensor != Tensor::Sign(1)))
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut layout = instance.layout.clone();
        change(&mut layout);
        let changed = Tensors { layout: &layout, ..instance.tensors() };
        for device in devices() {
            let session = device.open(changed).unwrap();
            let refused = session.lookup(&challenges).err();
            assert!(matches!(refused, Some(KernelError::Device { .. })), "change {index}: {refused:?}");
        }
    }
    let short = Tensors { exponential: &instance.exponential[1..], ..instance.tensors() };
    for device in devices() {
        let session = device.open(short).unwrap();
        assert!(matches!(session.lookup(&challenges), Err(KernelError::Device { .. })));
    }
}
