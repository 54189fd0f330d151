//! Where every witness value lives: the stacked witness polynomial `w`, to the bit (specs/protocol/layout.md).
//!
//! All tensors are *blocks* of one multilinear polynomial. A block has a declared shape and a [`Leaf`], which says how
//! the lookup constrains it; a block without one cannot be written down. Blocks are sorted by size, largest first
//! (declaration order among equals), so each is aligned to its own size and there are no gaps before the tail.
//! Inside a block the index is `(step, example, unit)`, most significant first, each axis padded to a power of two.

use crate::field::{F, Scalar, power_of_two};
use crate::multilinear::{index_value, less_than};
use crate::program::{Activation, Loss, Program};

/// A tensor of the witness. Layers count from 1, as in the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tensor {
    /// Inputs `X = A_0`.
    Input,
    /// Labels `Y`.
    Label,
    /// Rounded pre-activations `Q_l`.
    PreActivation(usize),
    /// Limb of the forward remainder `R_l`, low first.
    ForwardRemainder(usize, usize),
    /// Sign bits `g_l = [Q_l ≥ 0]` of a hidden ReLU layer.
    Sign(usize),
    /// Rounded back-propagated sums `P_l` of a hidden layer.
    BackSum(usize),
    /// Limb of the backward remainder `S_l`, low first.
    BackwardRemainder(usize, usize),
    /// Largest logit `m`, one a row.
    Maximum,
    /// One-hot choice `h` of the largest logit.
    Hot,
    /// Distances `d = m − Q_L`.
    Distance,
    /// Exponentials `e = EXP[d]`.
    Exponential,
    /// Probabilities `p`.
    Probability,
    /// Limb of the division remainder `ρ`.
    DivisionRemainder(usize),
    /// Limb of `2T − 1 − ρ`.
    DivisionComplement(usize),
    /// How often each entry of a table is looked up.
    Multiplicity(Table),
}

/// A lookup table; every size is an exact power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// `{0}`: padding.
    Zero,
    /// `−2^15 … 2^15 − 1`.
    Signed16,
    /// `(q, [q ≥ 0])` for `q` in signed 16 bits.
    Relu,
    /// `(d, EXP[d])` for `0 ≤ d < 2^16`.
    Exponential,
    /// `0 … 2^bits − 1`.
    Bits(u32),
}

impl Table {
    /// `log2` of the number of entries.
    pub fn variables(self) -> usize {
        match self {
            Table::Zero => 0,
            Table::Signed16 | Table::Relu | Table::Exponential => 16,
            Table::Bits(bits) => bits as usize,
        }
    }

    /// The number that tells tables apart in a leaf. Padding is 0, so that gaps and padded positions need no term.
    pub fn identifier(self) -> u64 {
        match self {
            Table::Zero => 0,
            Table::Signed16 => 1,
            Table::Relu => 2,
            Table::Exponential => 3,
            Table::Bits(bits) => 16 + u64::from(bits),
        }
    }

    /// First member of the entry at `index`.
    pub fn entry(self, index: usize) -> i64 {
        match self {
            Table::Signed16 | Table::Relu => index as i64 - (1 << 15),
            _ => index as i64,
        }
    }

    /// Index of the entry whose first member is `value`.
    pub fn index_of(self, value: i64) -> Option<usize> {
        let index = value.checked_sub(self.entry(0))?;
        (0..1i64 << self.variables()).contains(&index).then_some(index as usize)
    }

    /// The extension of the first member, at a point of [`Table::variables`] coordinates.
    pub fn first_extension<S: Scalar>(self, point: &[S]) -> S {
        index_value(point) + S::constant(F::from(self.entry(0)))
    }
}

/// How the lookup constrains a block's positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// Each value is an entry of the table.
    Single(Table),
    /// Each value and the partner's at the same position are an entry of the table.
    Pair(Table, Tensor),
    /// Leaf `0/1`: constrained at its partner's positions only.
    Neutral,
    /// The values are a table's multiplicities; the leaf is `−m / (α − entry)`.
    Table(Table),
}

/// One block of the stacked witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What it holds.
    pub tensor: Tensor,
    /// How the lookup constrains it.
    pub leaf: Leaf,
    /// `log2` of its padded size.
    pub variables: usize,
    /// `log2` of the padded width of its unit axis (0 for one value a row).
    pub unit_variables: usize,
    /// Declared width of its unit axis.
    pub units: usize,
    /// First position in the stack, a multiple of its size.
    pub offset: usize,
}

impl Block {
    /// Whether the block is a tensor over (step, example, unit), not a table's multiplicities.
    pub fn is_tensor(&self) -> bool {
        !matches!(self.leaf, Leaf::Table(_))
    }
    /// The positions of the stack that it fills.
    pub fn range(&self) -> core::ops::Range<usize> {
        self.offset..self.offset + (1 << self.variables)
    }
}

/// `⌈log2 n⌉`.
pub fn log2_ceil(n: usize) -> usize {
    n.next_power_of_two().trailing_zeros() as usize
}

/// The limbs of a remainder of `bits` bits, low first: as few as fit 16 bits each, split evenly, the larger first.
pub fn limb_bits(bits: u32) -> Vec<u32> {
    let count = bits.div_ceil(16).max(1);
    (0..count).map(|i| bits / count + u32::from(i < bits % count)).collect()
}

/// Where a parameter tensor stands in the stacked `W⁰` and `U`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterBlock {
    /// Layer, from 1.
    pub layer: usize,
    /// Bias or weight matrix.
    pub is_bias: bool,
    /// `log2` of the padded input width (0 for a bias).
    pub input_variables: usize,
    /// `log2` of the padded output width.
    pub output_variables: usize,
    /// First position.
    pub offset: usize,
}

/// The layout of one program: shapes, blocks, offsets. Everything in it follows from the program.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Declared steps `K`.
    pub steps: usize,
    /// Declared batch `B`.
    pub batch: usize,
    /// Declared widths.
    pub widths: Vec<usize>,
    /// `log2` of the padded `K`.
    pub step_variables: usize,
    /// `log2` of the padded `B`.
    pub example_variables: usize,
    /// `log2` of each padded width.
    pub unit_variables: Vec<usize>,
    /// `log2` of the widest width.
    pub widest: usize,
    /// Activation of hidden layers.
    pub activation: Activation,
    /// Loss.
    pub loss: Loss,
    /// Limb sizes of the rounding remainders.
    pub remainder_limbs: Vec<u32>,
    /// Limb sizes of the division remainder.
    pub division_limbs: Vec<u32>,
    /// Blocks by offset.
    pub blocks: Vec<Block>,
    /// Tables in use, by identifier.
    pub tables: Vec<Table>,
    /// `log2` of the padded stack.
    pub variables: usize,
    /// `log2` of a row of the witness matrix.
    pub column_variables: usize,
    /// `log2` of a padded dataset row.
    pub data_variables: usize,
    /// Where labels start in a dataset row.
    pub label_offset: usize,
    /// Parameter blocks by offset.
    pub parameters: Vec<ParameterBlock>,
    /// `log2` of the padded stack of parameters.
    pub parameter_variables: usize,
    /// Variables of the opening reduction.
    pub opening_variables: usize,
    /// Whether a row of random entries is opened with everything else: the halo2 seal shows the opened value.
    pub is_masked: bool,
}

impl Layout {
    /// Lays out a program.
    pub fn new(program: &Program) -> Self {
        let widths = program.layers().to_vec();
        let unit_variables: Vec<usize> = widths.iter().map(|w| log2_ceil(*w)).collect();
        let step_variables = log2_ceil(program.steps());
        let example_variables = log2_ceil(program.batch());
        let remainder_limbs = limb_bits(program.weight_bits());
        let depth = program.depth();
        let classes = widths[depth];
        // ρ < 2T ≤ 2·C·2^15.
        let division_limbs = limb_bits(16 + log2_ceil(classes) as u32);

        // A few bytes of program name hundreds of blocks: room for all is made once, with that for tables among them.
        let most = 20 + depth * (3 + 2 * remainder_limbs.len()) + 2 * division_limbs.len();
        let mut blocks: Vec<Block> = Vec::with_capacity(most);
        let rows = step_variables + example_variables;
        // Until they are sorted, offsets are places in the order of declaration.
        let mut declare = |tensor, leaf, layer: usize| {
            let (unit_variables, units) = (unit_variables[layer], widths[layer]);
            let (variables, offset) = (rows + unit_variables, blocks.len());
            blocks.push(Block { tensor, leaf, variables, unit_variables, units, offset });
        };
        declare(Tensor::Input, Leaf::Single(Table::Signed16), 0);
        let softmax = program.loss() == Loss::SoftmaxCrossEntropy;
        let relu = program.activation() == Activation::Relu;
        let label_table = if softmax { Table::Bits(1) } else { Table::Signed16 };
        declare(Tensor::Label, Leaf::Single(label_table), depth);
        for layer in 1..=depth {
            let hidden = layer < depth;
            let q = if hidden && relu {
                Leaf::Pair(Table::Relu, Tensor::Sign(layer))
            } else {
                Leaf::Single(Table::Signed16)
            };
            declare(Tensor::PreActivation(layer), q, layer);
            for (limb, bits) in remainder_limbs.iter().enumerate() {
                declare(Tensor::ForwardRemainder(layer, limb), Leaf::Single(Table::Bits(*bits)), layer);
            }
            if hidden {
                if relu {
                    declare(Tensor::Sign(layer), Leaf::Single(Table::Bits(1)), layer);
                }
                declare(Tensor::BackSum(layer), Leaf::Single(Table::Signed16), layer);
                for (limb, bits) in remainder_limbs.iter().enumerate() {
                    declare(Tensor::BackwardRemainder(layer, limb), Leaf::Single(Table::Bits(*bits)), layer);
                }
            }
        }
        if softmax {
            declare(Tensor::Hot, Leaf::Single(Table::Bits(1)), depth);
            declare(Tensor::Distance, Leaf::Pair(Table::Exponential, Tensor::Exponential), depth);
            declare(Tensor::Exponential, Leaf::Neutral, depth);
            declare(Tensor::Probability, Leaf::Single(Table::Signed16), depth);
            for (limb, bits) in division_limbs.iter().enumerate() {
                declare(Tensor::DivisionRemainder(limb), Leaf::Single(Table::Bits(*bits)), depth);
            }
            for (limb, bits) in division_limbs.iter().enumerate() {
                declare(Tensor::DivisionComplement(limb), Leaf::Single(Table::Bits(*bits)), depth);
            }
        }
        if softmax {
            blocks.push(Block {
                tensor: Tensor::Maximum,
                leaf: Leaf::Single(Table::Signed16),
                variables: rows,
                unit_variables: 0,
                units: 1,
                offset: blocks.len(),
            });
        }
        let mut tables: Vec<Table> = vec![Table::Zero];
        for block in &blocks {
            match block.leaf {
                Leaf::Single(table) | Leaf::Pair(table, _) if !tables.contains(&table) => tables.push(table),
                _ => {}
            }
        }
        tables.sort_unstable_by_key(|t| t.identifier());
        for table in &tables {
            blocks.push(Block {
                tensor: Tensor::Multiplicity(*table),
                leaf: Leaf::Table(*table),
                variables: table.variables(),
                unit_variables: table.variables(),
                units: 1 << table.variables(),
                offset: blocks.len(),
            });
        }
        blocks.sort_unstable_by_key(|b| (core::cmp::Reverse(b.variables), b.offset));
        let mut offset = 0usize;
        for block in &mut blocks {
            block.offset = offset;
            offset += 1 << block.variables;
        }

        let label_variables = unit_variables[depth];
        let label_offset = widths[0].next_multiple_of(1 << label_variables);
        let data_variables = log2_ceil(label_offset + (1 << label_variables));
        let variables = log2_ceil(offset).max(data_variables);
        let column_variables = data_variables.max((variables + 3).div_ceil(2));

        let mut parameters = Vec::with_capacity(2 * depth);
        for layer in 1..=depth {
            for is_bias in [false, true] {
                parameters.push(ParameterBlock {
                    layer,
                    is_bias,
                    input_variables: if is_bias { 0 } else { unit_variables[layer - 1] },
                    output_variables: unit_variables[layer],
                    offset: 0,
                });
            }
        }
        parameters.sort_by_key(|b| core::cmp::Reverse(b.input_variables + b.output_variables));
        let mut offset = 0usize;
        for block in &mut parameters {
            block.offset = offset;
            offset += 1 << (block.input_variables + block.output_variables);
        }
        let parameter_variables = log2_ceil(offset);
        let opening_variables = variables
            .max(parameter_variables)
            .max(rows + column_variables)
            .max(Table::Exponential.variables());
        Self {
            steps: program.steps(),
            batch: program.batch(),
            widest: unit_variables.iter().copied().max().unwrap_or(0),
            widths,
            step_variables,
            example_variables,
            unit_variables,
            activation: program.activation(),
            loss: program.loss(),
            remainder_limbs,
            division_limbs,
            blocks,
            tables,
            variables,
            column_variables,
            data_variables,
            label_offset,
            parameters,
            parameter_variables,
            opening_variables,
            is_masked: false,
        }
    }

    /// The layout under the halo2 seal, which adds the mask (specs/protocol/halo2.md, step 1).
    #[must_use]
    pub fn masked(self) -> Self {
        Self { is_masked: true, ..self }
    }

    /// Number of layers `L`.
    pub fn depth(&self) -> usize {
        self.widths.len() - 1
    }
    /// `log2` of the padded number of (step, example) rows.
    pub fn row_variables(&self) -> usize {
        self.step_variables + self.example_variables
    }
    /// Padded classes, `log2`.
    pub fn label_variables(&self) -> usize {
        self.unit_variables[self.depth()]
    }
    /// `log2` of the number of rows of the witness matrix.
    pub fn matrix_row_variables(&self) -> usize {
        self.variables.saturating_sub(self.column_variables)
    }
    /// Whether hidden layers have sign bits.
    pub fn has_signs(&self) -> bool {
        self.activation == Activation::Relu
    }
    /// Whether the loss is softmax cross-entropy.
    pub fn is_softmax(&self) -> bool {
        self.loss == Loss::SoftmaxCrossEntropy
    }
    /// Coordinates of the unit axis in the point at which relations are checked.
    pub fn unit_point_variables(&self) -> usize {
        self.widest.max(self.data_variables)
    }
    /// Whether a padded (step, example) row is a declared one.
    pub fn row_is_real(&self, row: usize) -> bool {
        row >> self.example_variables < self.steps && row & ((1 << self.example_variables) - 1) < self.batch
    }
    /// The block of a tensor.
    pub fn block(&self, tensor: Tensor) -> Option<&Block> {
        self.blocks.iter().find(|b| b.tensor == tensor)
    }
    /// The parameter block of a layer.
    pub fn parameter_block(&self, layer: usize, is_bias: bool) -> Option<&ParameterBlock> {
        self.parameters.iter().find(|b| b.layer == layer && b.is_bias == is_bias)
    }
    /// The public indicator of real steps.
    pub fn steps_indicator<S: Scalar>(&self, step: &[S]) -> S {
        less_than(step, self.steps)
    }
    /// The public indicator of real (step, example) rows.
    pub fn rows_indicator<S: Scalar>(&self, rows: &[S]) -> S {
        let (step, example) = rows.split_at(self.step_variables);
        less_than(step, self.steps) * less_than(example, self.batch)
    }
    /// The public indicator of a tensor block's declared shape at a point of the block.
    pub fn block_indicator<S: Scalar>(&self, block: &Block, point: &[S]) -> S {
        let (rows, units) = point.split_at(self.row_variables());
        self.rows_indicator(rows) * less_than(units, block.units)
    }
    /// `Σ 2^shift·limb` coefficients of limbs, low first.
    pub fn limb_weights(limbs: &[u32]) -> Vec<F> {
        let mut shift = 0usize;
        limbs
            .iter()
            .map(|bits| {
                let weight = power_of_two(shift);
                shift += *bits as usize;
                weight
            })
            .collect()
    }
}
