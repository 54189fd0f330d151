//! The lookup's tree of fractions. Leaves are computed from the stack whenever they are needed; every other layer is kept
//! until its sumcheck is done.

use weightproof_circuits::argument::lookup::LookupChallenges;
use weightproof_circuits::field::F;
use weightproof_circuits::layout::{Leaf, Table};

use super::array::{Array, limbs};
use super::runtime::{Launch, Runtime};
use super::session::DeviceSession;
use super::sums::{self, BUSY};
use super::weights::Prefixes;
use crate::kernels::{KernelError, LookupTree};

/// How a block's leaves are formed, as `cuda/lookup.cu` numbers it.
const LEAF_SINGLE: u64 = 0;
const LEAF_PAIR: u64 = 1;
const LEAF_NEUTRAL: u64 = 2;
const LEAF_TABLE: u64 = 3;

/// Which second member a table's entries have, as `cuda/lookup.cu` numbers it.
fn second(table: Table) -> u64 {
    match table {
        Table::Relu => 1,
        Table::Exponential => 2,
        Table::Zero | Table::Signed16 | Table::Bits(_) => 0,
    }
}

/// Numerators and denominators of one layer.
struct Layer<R: Runtime> {
    numerators: Array<R, F>,
    denominators: Array<R, F>,
}

impl<R: Runtime> Layer<R> {
    fn zeros(runtime: &R, length: usize) -> Result<Self, KernelError> {
        Ok(Self { numerators: Array::zeros(runtime, length)?, denominators: Array::zeros(runtime, length)? })
    }

    fn append<'a>(&'a self, launch: Launch<'a, R::Buffer>) -> Launch<'a, R::Buffer> {
        launch.array(&self.numerators).array(&self.denominators)
    }

    /// `[p₀, p₁, q₀, q₁]` of a layer of two nodes.
    fn children(&self, session: &DeviceSession<'_, R>) -> Result<[F; 4], KernelError> {
        let numerators = self.numerators.download(session.runtime)?;
        let denominators = self.denominators.download(session.runtime)?;
        match (&numerators[..], &denominators[..]) {
            ([p0, p1], [q0, q1]) => Ok([*p0, *p1, *q0, *q1]),
            _ => session.refuse(format!(
                "expected two nodes, found {}; bind every coordinate first",
                numerators.len()
            )),
        }
    }
}

/// What leaves are made of, besides the stack.
struct Leaves<R: Runtime> {
    alpha: F,
    gamma: F,
    /// Descriptions of the blocks, by offset: the words of `LeafBlock`.
    blocks: Array<R, u64>,
    block_count: usize,
    /// Denominators of all tables' entries.
    entries: Array<R, F>,
}

/// Checks what the kernels rely on to stay inside the stack and the tables: blocks follow one another from 0, inside the
/// stack, and a block of multiplicities is as large as its table.
fn check_layout<R: Runtime>(session: &DeviceSession<'_, R>) -> Result<(), KernelError> {
    let layout = session.tensors.layout;
    let mut end = 0usize;
    for block in &layout.blocks {
        let size = 1usize.checked_shl(block.variables as u32).unwrap_or(usize::MAX);
        let fits = block.offset == end && size <= session.stack.len() - end;
        let suits = match block.leaf {
            Leaf::Table(table) => table.variables() == block.variables,
            _ => true,
        };
        if !fits || !suits || block.unit_variables > block.variables {
            return session
                .refuse(format!("expected a block of the stack after position {end}, found {block:?}"));
        }
        end += size;
    }
    if layout.example_variables > layout.variables {
        let (found, most) = (layout.example_variables, layout.variables);
        return session.refuse(format!("expected at most {most} example variables, found {found}"));
    }
    Ok(())
}

impl<R: Runtime> Leaves<R> {
    fn new(session: &DeviceSession<'_, R>, challenges: &LookupChallenges<F>) -> Result<Self, KernelError> {
        let (runtime, layout) = (session.runtime, session.tensors.layout);
        check_layout(session)?;
        let total = layout.tables.iter().map(|table| 1usize << table.variables()).sum();
        let entries = Array::<R, F>::zeros(runtime, total)?;
        let mut starts = Vec::with_capacity(layout.tables.len());
        let mut start = 0usize;
        for table in &layout.tables {
            let count = 1usize << table.variables();
            if *table == Table::Exponential && session.exponential.len() != count {
                let found = session.exponential.len();
                return session
                    .refuse(format!("expected {count} entries of the exponential table, found {found}"));
            }
            let launch = Launch::new("table_entries")
                .element(&(challenges.alpha - challenges.beta * F::from(table.identifier())))
                .element(&challenges.gamma)
                .array(&session.exponential)
                .slice(&entries, start)
                .size(count)
                .word(table.entry(0) as u64)
                .word(second(*table));
            runtime.launch(&launch.threads(count))?;
            starts.push((*table, start));
            start += count;
        }

        let mut words = Vec::with_capacity(13 * layout.blocks.len());
        for block in &layout.blocks {
            let (leaf, table, partner) = match block.leaf {
                Leaf::Single(table) => (LEAF_SINGLE, Some(table), None),
                Leaf::Pair(table, partner) => (LEAF_PAIR, Some(table), Some(partner)),
                Leaf::Neutral => (LEAF_NEUTRAL, None, None),
                Leaf::Table(table) => (LEAF_TABLE, Some(table), None),
            };
            let partner = match partner.map(|tensor| layout.block(tensor)) {
                None => 0,
                Some(Some(partner)) if partner.variables == block.variables => partner.offset,
                Some(_) => {
                    return session.refuse(format!("expected a partner as large as {:?}", block.tensor));
                }
            };
            let start = match table.map(|table| starts.iter().find(|(own, _)| *own == table)) {
                None => 0,
                Some(Some((_, start))) => *start,
                Some(None) => {
                    return session.refuse(format!("expected the table of {:?} in the layout", block.tensor));
                }
            };
            let identifier = table.map_or(0, Table::identifier);
            words.extend(limbs(&(challenges.beta * F::from(identifier))));
            words.extend([
                block.offset as u64,
                block.range().end as u64,
                leaf,
                table.map_or(0, second),
                block.unit_variables as u64,
                block.units as u64,
                partner as u64,
                start as u64,
                table.map_or(0, |table| 1 << table.variables()),
                table.map_or(0, |table| table.entry(0) as u64),
            ]);
        }
        Ok(Self {
            alpha: challenges.alpha,
            gamma: challenges.gamma,
            blocks: Array::upload(runtime, &words)?,
            block_count: layout.blocks.len(),
            entries,
        })
    }

    /// Appends `LeafSource`.
    fn append<'a>(
        &'a self,
        launch: Launch<'a, R::Buffer>,
        session: &'a DeviceSession<'_, R>,
    ) -> Launch<'a, R::Buffer> {
        let layout = session.tensors.layout;
        launch
            .element(&self.alpha)
            .element(&self.gamma)
            .array(&session.stack)
            .array(&self.blocks)
            .array(&self.entries)
            .array(&session.exponential)
            .size(self.block_count)
            .size(layout.steps)
            .size(layout.batch)
            .size(layout.example_variables)
    }
}

/// A layer's sumcheck under way.
struct Descent<R: Runtime> {
    lambda: F,
    prefixes: Prefixes,
    /// The tables of `prefixes` on the device.
    tables: Array<R, F>,
    /// Coordinates that are free.
    free: usize,
    /// The children; `None` stands for the leaves.
    children: Option<Layer<R>>,
}

pub(super) struct Tree<'a, R: Runtime> {
    session: &'a DeviceSession<'a, R>,
    leaves: Leaves<R>,
    root: [F; 4],
    /// Layers that are still to come, the one above the leaves first; `layers[i]` has `2^(variables − 1 − i)` nodes.
    layers: Vec<Layer<R>>,
    /// Coordinates of the last point that was descended to.
    level: usize,
    descent: Option<Descent<R>>,
}

impl<'a, R: Runtime> Tree<'a, R> {
    pub fn new(
        session: &'a DeviceSession<'a, R>,
        challenges: &LookupChallenges<F>,
    ) -> Result<Self, KernelError> {
        let (runtime, variables) = (session.runtime, session.tensors.layout.variables);
        if variables < 2 {
            return session.refuse(format!("expected a stack of two variables or more, found {variables}"));
        }
        let leaves = Leaves::new(session, challenges)?;
        let mut length = 1usize << (variables - 1);
        let first = Layer::zeros(runtime, length)?;
        let launch = first.append(leaves.append(Launch::new("leaf_parents"), session));
        runtime.launch(&launch.size(length).threads(length))?;
        let mut layers = vec![first];
        while length > 2 {
            length /= 2;
            let next = Layer::zeros(runtime, length)?;
            let launch = layers[layers.len() - 1].append(Launch::new("node_parents"));
            runtime.launch(&next.append(launch).size(length).threads(length))?;
            layers.push(next);
        }
        let root = match layers.pop() {
            Some(root) => root.children(session)?,
            None => return session.refuse("expected a layer, found none".into()),
        };
        Ok(Self { session, leaves, root, layers, level: 0, descent: None })
    }

    fn descent(&self) -> Result<&Descent<R>, KernelError> {
        match &self.descent {
            Some(descent) => Ok(descent),
            None => self.session.refuse("expected a layer to have been entered, found none".into()),
        }
    }
}

impl<R: Runtime> LookupTree for Tree<'_, R> {
    fn root(&self) -> [F; 4] {
        self.root
    }

    fn descend(&mut self, point: &[F], lambda: &F) -> Result<(), KernelError> {
        let (level, variables) = (self.level + 1, self.session.tensors.layout.variables);
        if point.len() != level || level == variables {
            let found = point.len();
            return self.session.refuse(format!(
                "expected a point of {level} coordinates, at most {}, found {found}",
                variables - 1
            ));
        }
        let prefixes = Prefixes::new(point);
        let tables = Array::upload(self.session.runtime, &prefixes.entries)?;
        let children = self.layers.pop();
        self.descent = Some(Descent { lambda: *lambda, prefixes, tables, free: level, children });
        self.level = level;
        Ok(())
    }

    fn round(&mut self) -> Result<(F, F), KernelError> {
        let (session, runtime) = (self.session, self.session.runtime);
        let descent = self.descent()?;
        let Some(remaining) = descent.free.checked_sub(1) else {
            return session.refuse("expected a coordinate that is free, found none".into());
        };
        let pairs = 1usize << remaining;
        let split = descent.prefixes.split(remaining);
        // A worker stays within one entry of the high table; sizes are powers of two.
        let chunk = (pairs / BUSY).clamp(1, split.low_size);
        let workers = pairs / chunk;
        let out = Array::<R, F>::zeros(runtime, 2 * workers)?;
        let kernel = if descent.children.is_some() { "node_round" } else { "leaf_round" };
        let mut launch = Launch::new(kernel)
            .element(&descent.lambda)
            .slice(&descent.tables, split.high)
            .slice(&descent.tables, split.low)
            .array(&out)
            .size(pairs)
            .size(split.low_size)
            .size(chunk);
        launch = match &descent.children {
            Some(layer) => layer.append(launch),
            None => self.leaves.append(launch, session),
        };
        runtime.launch(&launch.threads(workers))?;
        let sums = sums::sum(runtime, out, workers, 2)?.download(runtime)?;
        match sums[..] {
            [zero, leading] => Ok((zero, leading)),
            _ => session.refuse(format!("expected two sums, found {}", sums.len())),
        }
    }

    fn bind(&mut self, challenge: &F) -> Result<(), KernelError> {
        let (session, runtime) = (self.session, self.session.runtime);
        let descent = self.descent()?;
        if descent.free == 0 {
            return session.refuse("expected a coordinate that is free, found none".into());
        }
        let length = 1usize << descent.free;
        let out = Layer::zeros(runtime, length)?;
        let launch = match &descent.children {
            Some(layer) => layer.append(Launch::new("node_bind").element(challenge)),
            None => self.leaves.append(Launch::new("leaf_bind").element(challenge), session),
        };
        runtime.launch(&out.append(launch).size(length).threads(length))?;
        if let Some(descent) = &mut self.descent {
            descent.children = Some(out);
            descent.free -= 1;
        }
        Ok(())
    }

    fn children(&self) -> Result<[F; 4], KernelError> {
        match &self.descent()?.children {
            Some(layer) => layer.children(self.session),
            None => self.session.refuse("expected every coordinate to be bound, found the leaves".into()),
        }
    }
}
