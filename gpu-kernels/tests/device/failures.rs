//! A device that fails, at every place where it can.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ark_ff::{AdditiveGroup, Field};
use weightproof_circuits::argument::lookup::LookupChallenges;
use weightproof_circuits::curve::{Domain, Point, generator};
use weightproof_circuits::field::F;
use weightproof_circuits::layout::{Block, Leaf, Table, Tensor};
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_gpu_kernels::device::Device;
use weightproof_gpu_kernels::device::host::{Host, HostBuffer};
use weightproof_gpu_kernels::device::runtime::{Launch, Product, Runtime};
use weightproof_gpu_kernels::kernels::{GateLayer, KernelError, Kernels, Source, TrainingInput};

use crate::support::{Draw, Instance};

/// A host device whose operation number `fails` fails, once.
struct Flaky {
    host: Host,
    done: AtomicUsize,
    fails: usize,
}

impl Flaky {
    fn attempt(&self, what: &str) -> Result<(), KernelError> {
        if self.done.fetch_add(1, Ordering::Relaxed) == self.fails {
            return Err(KernelError::Device { device: self.name(), reason: format!("{what} failed") });
        }
        Ok(())
    }
}

impl Runtime for Flaky {
    type Buffer = HostBuffer;

    fn name(&self) -> String {
        "flaky".into()
    }
    fn allocate(&self, bytes: usize) -> Result<HostBuffer, KernelError> {
        self.attempt("allocate")?;
        self.host.allocate(bytes)
    }
    fn write(&self, buffer: &mut HostBuffer, bytes: &[u8]) -> Result<(), KernelError> {
        self.attempt("write")?;
        self.host.write(buffer, bytes)
    }
    fn read(&self, buffer: &HostBuffer, offset: usize, bytes: &mut [u8]) -> Result<(), KernelError> {
        self.attempt("read")?;
        self.host.read(buffer, offset, bytes)
    }
    fn launch(&self, launch: &Launch<'_, HostBuffer>) -> Result<(), KernelError> {
        self.attempt(launch.kernel())?;
        self.host.launch(launch)
    }
    fn multiply(&self, product: &Product<'_, HostBuffer>) -> Result<(), KernelError> {
        self.attempt("multiply")?;
        self.host.multiply(product)
    }
}

/// Something of every operation.
fn everything(device: &dyn Kernels, instance: &Instance, bases: &[Point]) -> Result<(), KernelError> {
    let session = device.open(instance.tensors())?;
    let weights = vec![F::ONE; 16];
    session.combine_rows(&Source::Stack(0..64), 4, 2, &weights)?;
    session.contract_rows(&Source::Gated { signs: 0..32, values: 32..64 }, &weights)?;
    session.contract_rows(
        &Source::Difference { left: 0..32, left_shift: 1, right: 32..64, right_shift: 2 },
        &weights,
    )?;
    session.commit_rows(bases, 16, &|| true)?;
    let one = F::ONE;
    let mut tree =
        session.lookup(&LookupChallenges { gamma: one, beta: one.double(), alpha: F::from(1u64 << 40) })?;
    for level in 1..6 {
        tree.descend(&vec![one.double(); level], &one)?;
        for _ in 0..level {
            tree.round()?;
            tree.bind(&one.double())?;
        }
        tree.children()?;
    }
    let layer = GateLayer {
        signs: 0..4,
        pre_activations: 4..8,
        back_sums: 8..12,
        activation_weight: vec![(one, vec![one; 2])],
        error_weight: vec![(one, vec![one; 2])],
    };
    let mut gates = session.gates(&layer)?;
    for _ in 0..2 {
        gates.round()?;
        gates.bind(&one)?;
    }
    let mut spec = Program::default_for(2, 2).expect("two inputs and two classes").spec();
    (spec.layers, spec.steps, spec.batch, spec.weight_bits) = (vec![2, 2, 2], 2, 2, None);
    let program = Program::validate(spec).expect("a small program");
    let base = Parameters::zeros(&program);
    let input = TrainingInput { program: &program, base: &base, x: &[1; 8], y: &[0, 1, 0, 1, 0, 1, 1, 0] };
    assert!(device.train(input, &mut |_| true)?.is_some());
    Ok(())
}

#[test]
fn each_failure_comes_back_as_an_error() {
    let mut draw = Draw(17);
    let mut instance = Instance::new(6, 3, &mut draw);
    // A layout of two small blocks and their table, so that the tree is small too.
    let block = |tensor, leaf, variables, offset| Block {
        tensor,
        leaf,
        variables,
        unit_variables: 2,
        units: 3,
        offset,
    };
    instance.layout.tables = vec![Table::Bits(2)];
    instance.layout.blocks = vec![
        block(Tensor::PreActivation(1), Leaf::Pair(Table::Bits(2), Tensor::Sign(1)), 4, 0),
        block(Tensor::Sign(1), Leaf::Neutral, 4, 16),
        block(Tensor::Multiplicity(Table::Bits(2)), Leaf::Table(Table::Bits(2)), 2, 32),
    ];
    let bases: Vec<Point> = (0..16).map(|index| generator(Domain::Row, index)).collect();
    let mut failures = 0;
    for fails in 0.. {
        let device = Device::new(Arc::new(Flaky { host: Host::new(2), done: AtomicUsize::new(0), fails }));
        match everything(&device, &instance, &bases) {
            Ok(()) => {
                assert!(fails > 400, "{fails} places where a device can fail");
                assert_eq!(failures, fails);
                break;
            }
            Err(KernelError::Device { device, reason }) => {
                assert_eq!(device, "flaky");
                assert!(reason.ends_with(" failed"), "{reason}");
                failures += 1;
            }
            Err(KernelError::Cancelled) => panic!("nobody asked to stop"),
        }
    }
}
