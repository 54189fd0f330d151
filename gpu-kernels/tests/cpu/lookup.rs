//! The lookup's tree over random layouts: every layer's sumcheck ends in the sums of fractions that the leaves'
//! definition gives.

use ark_ff::Field;
use weightproof_circuits::argument::lookup::LookupChallenges;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::{Block, Layout, Leaf, Table, Tensor};
use weightproof_circuits::multilinear::eq_table;
use weightproof_gpu_kernels::kernels::LookupTree;

use crate::fractions::{leaves, parents};
use crate::instance::{Draw, Instance};

/// Which leaves have numerators other than 1: those positions are kept as one range of blocks of lanes.
#[derive(Clone, Copy, Debug)]
enum Numerators {
    /// None.
    Ones,
    /// Those of two tiny blocks: the range begins and ends inside a group of nodes.
    Few,
    /// Those of a block within one lane, and of a tiny one.
    Part,
    /// Those of a block that spans lanes: the range is all.
    Spanning,
    /// Whatever is drawn.
    Any,
}

/// Every kind.
const KINDS: [Numerators; 5] =
    [Numerators::Ones, Numerators::Few, Numerators::Part, Numerators::Spanning, Numerators::Any];

/// Blocks of a layout in the making.
struct Blocks {
    blocks: Vec<Block>,
    /// Positions that are left.
    free: usize,
    /// Tables of pairs: they have 2^16 entries, most of a small tree's time.
    pairs: &'static [Table],
}

impl Blocks {
    /// Adds tensors of one shape if there is room.
    fn add(&mut self, tensors: &[(Tensor, Leaf)], variables: usize, draw: &mut Draw) {
        let size = tensors.len() << variables;
        if size > self.free {
            return;
        }
        self.free -= size;
        let unit_variables = draw.below(variables + 1);
        let units = 1 + draw.below(1 << unit_variables);
        self.blocks.extend(tensors.iter().map(|&(tensor, leaf)| Block {
            tensor,
            leaf,
            variables,
            unit_variables,
            units,
            offset: 0,
        }));
    }

    fn add_single(&mut self, variables: usize, draw: &mut Draw) {
        let tables = [Table::Zero, Table::Bits(1), Table::Bits(4), Table::Bits(7), Table::Bits(9)];
        let leaf = Leaf::Single(tables[draw.below(tables.len())]);
        self.add(&[(Tensor::Input, leaf)], variables, draw);
    }

    /// Adds a pair whose second member has the given leaf.
    fn add_pair(&mut self, second: Leaf, variables: usize, draw: &mut Draw) {
        let Some(table) = self.pairs.get(draw.below(self.pairs.len().max(1))) else { return };
        let partner = Tensor::Sign(self.blocks.len());
        let first = (Tensor::PreActivation(self.blocks.len()), Leaf::Pair(*table, partner));
        self.add(&[first, (partner, second)], variables, draw);
    }

    /// Adds second members alone: their leaves do not depend on the first ones, which would take as much room again.
    fn add_neutral(&mut self, variables: usize, draw: &mut Draw) {
        self.add(&[(Tensor::Exponential, Leaf::Neutral)], variables, draw);
    }

    fn add_multiplicities(&mut self, table: Table, draw: &mut Draw) {
        self.add(&[(Tensor::Multiplicity(table), Leaf::Table(table))], table.variables(), draw);
    }
}

fn layout(variables: usize, numerators: Numerators, base: Layout, draw: &mut Draw) -> Layout {
    // Most small trees do without the large tables.
    let pairs: &[Table] = match numerators {
        Numerators::Any => &[Table::Relu, Table::Exponential],
        Numerators::Spanning if variables > 11 => &[Table::Exponential],
        Numerators::Ones if variables > 11 => &[Table::Relu],
        _ => &[],
    };
    let mut blocks = Blocks { blocks: Vec::new(), free: 1 << variables, pairs };
    match numerators {
        Numerators::Ones => {}
        Numerators::Few => {
            // Four and two positions before them: where nothing smaller is drawn, they are the last two of an eight and the
            // first of the next.
            blocks.add_single(2, draw);
            blocks.add_single(1, draw);
            blocks.add_multiplicities(Table::Bits(1), draw);
            blocks.add_neutral(0, draw);
        }
        Numerators::Part => {
            blocks.add_neutral(draw.below(variables.saturating_sub(3).max(1)), draw);
            blocks.add_multiplicities(Table::Bits(1), draw);
        }
        Numerators::Spanning => blocks.add_neutral(variables - 2, draw),
        Numerators::Any => blocks.add_multiplicities(Table::Bits(draw.below(variables) as u32), draw),
    }
    for _ in 0..20 {
        let size = draw.below(variables);
        match draw.below(6) {
            0 => blocks.add_pair(Leaf::Single(Table::Bits(1)), size, draw),
            1 if matches!(numerators, Numerators::Any) => blocks.add_pair(Leaf::Neutral, size, draw),
            2 if matches!(numerators, Numerators::Any) => {
                blocks.add_multiplicities(Table::Bits(size as u32), draw);
            }
            _ => blocks.add_single(size, draw),
        }
    }
    let Blocks { mut blocks, .. } = blocks;
    // The largest first, so that each is aligned to its size.
    blocks.sort_by_key(|block| core::cmp::Reverse(block.variables));
    let mut tables = vec![Table::Zero];
    let mut offset = 0;
    for block in &mut blocks {
        block.offset = offset;
        offset = block.range().end;
        if let Leaf::Single(table) | Leaf::Pair(table, _) | Leaf::Table(table) = block.leaf
            && !tables.contains(&table)
        {
            tables.push(table);
        }
    }
    let (step_variables, example_variables) = (draw.below(4), draw.below(4));
    Layout {
        steps: 1 + draw.below(1 << step_variables),
        batch: 1 + draw.below(1 << example_variables),
        step_variables,
        example_variables,
        blocks,
        tables,
        variables,
        ..base
    }
}

/// A random layout, and a stack of which many values are in their tables.
fn instance(variables: usize, numerators: Numerators, draw: &mut Draw) -> Instance {
    let base = Instance::new(3, 8, draw);
    let layout = layout(variables, numerators, base.layout, draw);
    let exponential: Vec<u16> = (0..1 << 16).map(|_| draw.word() as u16).collect();
    let mut stack: Vec<i32> = (0..1 << variables).map(|_| draw.integer()).collect();
    for block in &layout.blocks {
        let Leaf::Pair(table, partner) = block.leaf else { continue };
        let seconds = layout.block(partner).unwrap().offset;
        for place in 0..1 << block.variables {
            let value = stack[block.offset + place];
            let second = match table {
                Table::Relu => Some(i32::from(value >= 0)),
                _ => usize::try_from(value).ok().and_then(|v| exponential.get(v)).map(|e| i32::from(*e)),
            };
            if let Some(second) = second
                && draw.below(9) != 0
            {
                stack[seconds + place] = second;
            }
        }
    }
    Instance { layout, stack, exponential, ..base }
}

/// A challenge: now and then 1, where every odd child alone counts.
fn challenge(draw: &mut Draw) -> F {
    if draw.below(16) == 0 { F::ONE } else { draw.element() }
}

/// `[p₀, p₁, q₀, q₁]` at a point.
fn children_at([numerators, denominators]: &[Vec<F>; 2], point: &[F]) -> [F; 4] {
    let weights = eq_table(point);
    let at = |values: &[F], child: usize| {
        weights.iter().zip(values.chunks(2)).map(|(weight, pair)| *weight * pair[child]).sum()
    };
    [at(numerators, 0), at(numerators, 1), at(denominators, 0), at(denominators, 1)]
}

/// Goes down the whole tree as a proof does: each layer's claim is the one above's, reduced to a point. `layers` are the
/// expected ones, leaves first. Returns what the tree said.
fn descend(tree: &mut dyn LookupTree, layers: &[[Vec<F>; 2]], draw: &mut Draw) -> Vec<F> {
    let mut said = Vec::new();
    let mut children = tree.root();
    let mut point: Vec<F> = Vec::new();
    for (depth, layer) in layers.iter().rev().enumerate() {
        if depth > 0 {
            let lambda = draw.element();
            let [p0, p1, q0, q1] = children;
            let low = challenge(draw);
            let mut claim = p0 + low * (p1 - p0) + lambda * (q0 + low * (q1 - q0));
            point.push(low);
            tree.descend(&point, &lambda).unwrap();
            let mut next = Vec::with_capacity(point.len());
            for weight in point.iter().rev() {
                let (zero, leading) = tree.round().unwrap();
                said.extend([zero, leading]);
                // The round's quadratic `t` is known by `(1 − weight)·t(0) + weight·t(1)`, which the claim is.
                let linear = (claim - zero) / weight - leading;
                let challenge = challenge(draw);
                claim = zero + challenge * (linear + challenge * leading);
                next.push(challenge);
                tree.bind(&challenge).unwrap();
            }
            next.reverse();
            point = next;
            children = tree.children().unwrap();
            let [p0, p1, q0, q1] = children;
            assert_eq!(claim, p0 * q1 + p1 * q0 + lambda * q0 * q1, "rounds, {depth} layers down");
        }
        assert_eq!(children, children_at(layer, &point), "children, {depth} layers down");
        said.extend(children);
    }
    said
}

#[test]
fn layers_are_those_of_the_leaves() {
    let mut draw = Draw(7);
    // Above 4,096 positions the two lowest layers are computed whenever they are read.
    for variables in 3..=14 {
        for numerators in KINDS {
            let instance = instance(variables, numerators, &mut draw);
            let challenges =
                LookupChallenges { gamma: draw.element(), beta: draw.element(), alpha: draw.element() };
            let mut layers = vec![leaves(&instance, &challenges)];
            while layers[layers.len() - 1][0].len() > 2 {
                layers.push(parents(&layers[layers.len() - 1]));
            }
            let seed = draw.word();
            // Shown where a check below fails.
            println!("2^{variables} positions, numerators: {numerators:?}");
            let size = 1 << variables;
            let others = layers[0][0].iter().filter(|numerator| **numerator != F::ONE).count();
            match numerators {
                Numerators::Ones => assert_eq!(others, 0),
                Numerators::Few | Numerators::Part => assert!(0 < others && others < size / 2),
                // A quarter of the positions: two lanes of eight.
                Numerators::Spanning => assert!(others >= size / 4),
                Numerators::Any => {}
            }
            let [wide, portable] = instance.on_both(|session| {
                descend(&mut *session.lookup(&challenges).unwrap(), &layers, &mut Draw(seed))
            });
            assert!(wide == portable, "wide and portable instructions differ");
        }
    }
}
