//! The stacked witness and everything else the argument evaluates.

use std::borrow::Cow;

use rayon::prelude::*;
use weightproof_circuits::exact::Trace;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::{Block, Layout, Leaf, Table, Tensor};
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_gpu_kernels::kernels::Tensors;
use zeroize::Zeroize;

use super::ProveError;

/// The prover's inputs to the argument.
pub struct Witness<'a> {
    /// The program.
    pub program: &'a Program,
    /// Its layout.
    pub layout: &'a Layout,
    /// The stack `w`: one small integer a position.
    pub stack: Vec<i32>,
    /// Chosen dataset rows, `[step][example][position]`, padded.
    pub data: Vec<i32>,
    /// Base model.
    pub base: &'a Parameters,
    /// Update.
    pub update: &'a Parameters,
    /// Second column of the exponential table.
    pub exponential: Cow<'a, [u16]>,
    /// The mask of the halo2 seal, one row; empty under the sigma seal.
    pub mask: Vec<F>,
}

/// What one block's values look up.
struct Counted {
    /// By entry of the block's table.
    entries: Vec<i32>,
    /// Padded positions.
    padding: i32,
    /// Position and value of the first that is in no table.
    outside: Option<(usize, i32)>,
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        self.mask.zeroize();
    }
}

impl<'a> Witness<'a> {
    /// Lays a trace out. Multiplicities are counted from the blocks, so they must be counted again after a change.
    pub fn new(
        program: &'a Program,
        layout: &'a Layout,
        trace: &Trace,
        base: &'a Parameters,
        update: &'a Parameters,
        exponential: &'a [u16],
    ) -> Self {
        let mut witness = Self {
            program,
            layout,
            stack: vec![0; 1 << layout.variables],
            data: data_rows(layout, trace),
            base,
            update,
            exponential: Cow::Borrowed(exponential),
            mask: Vec::new(),
        };
        // Blocks follow each other without gaps.
        let mut rest = witness.stack.as_mut_slice();
        let mut parts = Vec::with_capacity(layout.blocks.len());
        for block in &layout.blocks {
            let (part, after) = rest.split_at_mut(1 << block.variables);
            parts.push((block, part));
            rest = after;
        }
        parts.into_par_iter().filter(|(block, _)| block.is_tensor()).for_each(|(block, part)| {
            fill(layout, trace, block, part);
        });
        witness
    }

    /// The entries of a tensor's block.
    pub fn tensor(&self, tensor: Tensor) -> &[i32] {
        match self.layout.block(tensor) {
            Some(block) => &self.stack[block.range()],
            None => &[],
        }
    }

    /// Counts how often each table entry is looked up. Values outside their tables are refused by name.
    pub fn count_multiplicities(&mut self) -> Result<(), ProveError> {
        let outside = self.count_multiplicities_within();
        match outside {
            None => Ok(()),
            Some((tensor, position, value)) => Err(ProveError::OutsideTable {
                block: format!("{tensor:?}"),
                position,
                value: i64::from(value),
            }),
        }
    }

    /// Counts the entries that are in their tables; returns the first that is not.
    pub fn count_multiplicities_within(&mut self) -> Option<(Tensor, usize, i32)> {
        let layout = self.layout;
        let mut outside = None;
        let mut counts: Vec<Vec<i32>> = layout.tables.iter().map(|t| vec![0; 1 << t.variables()]).collect();
        let slot = |table: Table| layout.tables.iter().position(|t| *t == table);
        // Every layout has the table of padding.
        let zero = slot(Table::Zero).unwrap_or(0);
        // The tail of the stack is padding.
        let used: usize = layout.blocks.iter().map(|b| 1usize << b.variables).sum();
        for (position, value) in self.stack.iter().enumerate().skip(used) {
            if *value == 0 {
                counts[zero][0] += 1;
            } else if outside.is_none() {
                outside = Some((Tensor::Multiplicity(Table::Zero), position, *value));
            }
        }
        let counted: Vec<Option<(usize, Counted)>> = layout
            .blocks
            .par_iter()
            .map(|block| {
                let (table, partner) = match block.leaf {
                    Leaf::Single(table) => (table, None),
                    Leaf::Pair(table, partner) => (table, Some(self.tensor(partner))),
                    Leaf::Neutral | Leaf::Table(_) => return None,
                };
                Some((slot(table)?, self.count_block(block, table, partner)))
            })
            .collect();
        for (block, counted) in layout.blocks.iter().zip(counted) {
            let Some((slot, counted)) = counted else { continue };
            for (sum, count) in counts[slot].iter_mut().zip(&counted.entries) {
                *sum += count;
            }
            counts[zero][0] += counted.padding;
            if let (None, Some((position, value))) = (outside, counted.outside) {
                outside = Some((block.tensor, position, value));
            }
        }
        for (table, counts) in layout.tables.iter().zip(&counts) {
            if let Some(block) = layout.block(Tensor::Multiplicity(*table)) {
                self.stack[block.range()].copy_from_slice(counts);
            }
        }
        outside
    }

    fn count_block(&self, block: &Block, table: Table, partner: Option<&[i32]>) -> Counted {
        let layout = self.layout;
        let base = table.entry(0);
        let size = 1usize << table.variables();
        let units = 1usize << block.unit_variables;
        let mut counted = Counted { entries: vec![0; size], padding: 0, outside: None };
        for (row, values) in self.stack[block.range()].chunks(units).enumerate() {
            let real = if layout.row_is_real(row) { block.units } else { 0 };
            for (unit, value) in values.iter().enumerate() {
                let second = partner.map_or(0, |p| p[row * units + unit]);
                let fits = if unit < real {
                    let index = usize::try_from(i64::from(*value) - base).unwrap_or(size);
                    let expected = match table {
                        Table::Relu => i32::from(*value >= 0),
                        Table::Exponential => self.exponential.get(index).map_or(0, |e| i32::from(*e)),
                        _ => 0,
                    };
                    match counted.entries.get_mut(index) {
                        Some(count) if second == expected => {
                            *count += 1;
                            true
                        }
                        _ => false,
                    }
                } else {
                    counted.padding += 1;
                    *value == 0 && second == 0
                };
                if !fits && counted.outside.is_none() {
                    counted.outside = Some((row * units + unit, *value));
                }
            }
        }
        counted
    }

    /// What a device takes.
    pub fn tensors(&self) -> Tensors<'_> {
        Tensors {
            layout: self.layout,
            stack: &self.stack,
            data: &self.data,
            base: self.base,
            update: self.update,
            exponential: &self.exponential,
        }
    }
}

/// Copies `[row][unit]` values into a padded block.
fn scatter<T: Copy>(
    layout: &Layout,
    block: &Block,
    values: &[T],
    out: &mut [i32],
    convert: impl Fn(T) -> i32,
) {
    let padded = 1usize << block.unit_variables;
    for (index, row) in values.chunks(block.units).enumerate() {
        let (step, example) = (index / layout.batch, index % layout.batch);
        let start = ((step << layout.example_variables) | example) * padded;
        for (out, value) in out[start..].iter_mut().zip(row) {
            *out = convert(*value);
        }
    }
}

fn fill(layout: &Layout, trace: &Trace, block: &Block, out: &mut [i32]) {
    let limb = |limbs: &[u32], index: usize| {
        let shift: u32 = limbs[..index].iter().sum();
        let mask = (1u64 << limbs[index]) - 1;
        move |value: u64| ((value >> shift) & mask) as i32
    };
    let layer = |l: usize| trace.layers.get(l - 1);
    let softmax = trace.softmax.as_ref();
    match block.tensor {
        Tensor::Input => scatter(layout, block, &trace.x, out, i32::from),
        Tensor::Label => scatter(layout, block, &trace.y, out, i32::from),
        Tensor::PreActivation(l) => {
            if let Some(t) = layer(l) {
                scatter(layout, block, &t.q, out, i32::from);
            }
        }
        Tensor::ForwardRemainder(l, index) => {
            if let Some(t) = layer(l) {
                scatter(layout, block, &t.r, out, limb(&layout.remainder_limbs, index));
            }
        }
        Tensor::Sign(l) => {
            if let Some(t) = layer(l) {
                scatter(layout, block, &t.q, out, |q| i32::from(q >= 0));
            }
        }
        Tensor::BackSum(l) => {
            if let Some(t) = layer(l) {
                scatter(layout, block, &t.p, out, i32::from);
            }
        }
        Tensor::BackwardRemainder(l, index) => {
            if let Some(t) = layer(l) {
                scatter(layout, block, &t.s, out, limb(&layout.remainder_limbs, index));
            }
        }
        Tensor::Multiplicity(_) => {}
        loss => {
            let Some(t) = softmax else { return };
            match loss {
                Tensor::Maximum => scatter(layout, block, &t.max, out, i32::from),
                Tensor::Hot => scatter(layout, block, &t.hot, out, i32::from),
                Tensor::Distance => scatter(layout, block, &t.d, out, i32::from),
                Tensor::Exponential => scatter(layout, block, &t.e, out, i32::from),
                Tensor::Probability => scatter(layout, block, &t.p, out, i32::from),
                Tensor::DivisionRemainder(index) => {
                    scatter(layout, block, &t.rho, out, limb(&layout.division_limbs, index));
                }
                Tensor::DivisionComplement(index) => {
                    scatter(layout, block, &t.rho_complement, out, limb(&layout.division_limbs, index));
                }
                _ => {}
            }
        }
    }
}

/// The chosen dataset rows as they are committed: features from 0, labels from the label offset.
fn data_rows(layout: &Layout, trace: &Trace) -> Vec<i32> {
    let width = 1usize << layout.data_variables;
    let mut rows = vec![0i32; width << layout.row_variables()];
    let (inputs, outputs) = (layout.widths[0], layout.widths[layout.depth()]);
    for (index, (x, y)) in trace.x.chunks(inputs).zip(trace.y.chunks(outputs)).enumerate() {
        let (step, example) = (index / layout.batch, index % layout.batch);
        let start = ((step << layout.example_variables) | example) * width;
        for (out, value) in rows[start..].iter_mut().zip(x) {
            *out = i32::from(*value);
        }
        for (out, value) in rows[start + layout.label_offset..].iter_mut().zip(y) {
            *out = i32::from(*value);
        }
    }
    rows
}
