//! Where a proof is made changes nothing about it: the same bytes from every device, and from the CPU when one fails.

mod common;
mod sealing;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sealing::Case;
use weightproof_circuits::argument::lookup::LookupChallenges;
use weightproof_circuits::curve::{Point, Projective};
use weightproof_circuits::exact::Trace;
use weightproof_circuits::field::F;
use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_gpu_kernels::cpu::session::Cpu;
use weightproof_gpu_kernels::device::Device;
use weightproof_gpu_kernels::device::host::Host;
use weightproof_gpu_kernels::kernels::{
    GateLayer, GateSum, KernelError, Kernels, LookupTree, Session, Source, Tensors, TrainingInput,
};
use weightproof_prover::contribute::{Sealing, prove_witness};
use weightproof_prover::entropy::Entropy;
use weightproof_prover::progress::{Progress, Silent};
use weightproof_prover::{Committer, Job, Seal, contribute, cpu};

/// All shapes of the argument's tests, and one whose arrays are long enough for every way to run over them.
fn programs() -> Vec<Program> {
    let mut programs = common::programs();
    programs.push(common::program("[20, 40, 24, 3]", "relu", "softmax-cross-entropy", 4, 12, "0.5"));
    programs
}

fn case(program: Program, seed: u64) -> Case {
    let (features, labels) = common::batches(&program, seed);
    Case::new(program, features, labels, seed)
}

#[test]
fn every_device_makes_the_same_proof() {
    // The device's kernels, compiled for the host: the same sources and the same driver as on a GPU.
    let host = Device::new(Arc::new(Host::new(64)));
    let devices: [&dyn Kernels; 3] = [&Cpu::portable(), cpu(), &host];
    for (index, program) in programs().into_iter().enumerate() {
        let case = case(program, 40 + index as u64);
        let run = case.run(case.statement(9));
        let witness = case.witness(&run);
        let proofs = devices.map(|kernels| {
            let committer = Committer::new(&case.generators);
            let sealing = Sealing {
                statement: &run.statement,
                dataset: &case.dataset,
                chosen: &run.chosen,
                committer: &committer,
                kernels,
                progress: &Silent,
                self_check: true,
            };
            prove_witness(&witness, &sealing, &mut Entropy::from_seed(5), &mut Vec::new())
                .unwrap_or_else(|error| panic!("program {index} on {}: {error}", kernels.device()))
        });
        for (proof, kernels) in proofs.iter().zip(devices) {
            assert!(proof.encode() == proofs[0].encode(), "program {index} on {}", kernels.device());
        }
        case.verify(&case.file(&run.statement, &run.update, &proofs[0]))
            .unwrap_or_else(|error| panic!("program {index}: {error}"));
    }
}

/// The CPU, until it has worked for a while.
struct Failing {
    left: AtomicUsize,
    has_failed: AtomicBool,
}

impl Failing {
    fn after(operations: usize) -> Self {
        Self { left: AtomicUsize::new(operations), has_failed: AtomicBool::new(false) }
    }

    fn work(&self) -> Result<(), KernelError> {
        let spent = |left: usize| left.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spent) {
            Ok(_) => Ok(()),
            Err(_) => {
                self.has_failed.store(true, Ordering::SeqCst);
                Err(KernelError::Device { device: "test device".into(), reason: "unplugged".into() })
            }
        }
    }

    fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::SeqCst)
    }
}

struct FailingPart<'a, T> {
    device: &'a Failing,
    inner: T,
}

impl Kernels for Failing {
    fn device(&self) -> String {
        "test device".into()
    }
    fn train(
        &self,
        input: TrainingInput<'_>,
        observer: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<(Trace, Parameters)>, KernelError> {
        self.work()?;
        cpu().train(input, observer)
    }
    fn open<'a>(&'a self, tensors: Tensors<'a>) -> Result<Box<dyn Session + 'a>, KernelError> {
        self.work()?;
        Ok(Box::new(FailingPart { device: self, inner: cpu().open(tensors)? }))
    }
}

impl Session for FailingPart<'_, Box<dyn Session + '_>> {
    fn commit_rows(
        &self,
        bases: &[Point],
        width: usize,
        watch: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Projective>, KernelError> {
        self.device.work()?;
        self.inner.commit_rows(bases, width, watch)
    }
    fn combine_rows(
        &self,
        source: &Source,
        width: usize,
        groups: usize,
        weights: &[F],
    ) -> Result<Vec<F>, KernelError> {
        self.device.work()?;
        self.inner.combine_rows(source, width, groups, weights)
    }
    fn contract_rows(&self, source: &Source, weights: &[F]) -> Result<Vec<F>, KernelError> {
        self.device.work()?;
        self.inner.contract_rows(source, weights)
    }
    fn lookup(&self, challenges: &LookupChallenges<F>) -> Result<Box<dyn LookupTree + '_>, KernelError> {
        self.device.work()?;
        Ok(Box::new(FailingPart { device: self.device, inner: self.inner.lookup(challenges)? }))
    }
    fn gates(&self, layer: &GateLayer) -> Result<Box<dyn GateSum + '_>, KernelError> {
        self.device.work()?;
        Ok(Box::new(FailingPart { device: self.device, inner: self.inner.gates(layer)? }))
    }
}

impl LookupTree for FailingPart<'_, Box<dyn LookupTree + '_>> {
    fn root(&self) -> [F; 4] {
        self.inner.root()
    }
    fn descend(&mut self, point: &[F], lambda: &F) -> Result<(), KernelError> {
        self.device.work()?;
        self.inner.descend(point, lambda)
    }
    fn round(&mut self) -> Result<(F, F), KernelError> {
        self.device.work()?;
        self.inner.round()
    }
    fn bind(&mut self, challenge: &F) -> Result<(), KernelError> {
        self.device.work()?;
        self.inner.bind(challenge)
    }
    fn children(&self) -> Result<[F; 4], KernelError> {
        self.device.work()?;
        self.inner.children()
    }
}

impl GateSum for FailingPart<'_, Box<dyn GateSum + '_>> {
    fn round(&mut self) -> Result<[F; 3], KernelError> {
        self.device.work()?;
        self.inner.round()
    }
    fn bind(&mut self, challenge: &F) -> Result<(), KernelError> {
        self.device.work()?;
        self.inner.bind(challenge)
    }
}

/// Keeps what it is told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn begin(&self, _stage: &'static str, _total: u64) {}
    fn advance(&self, _amount: u64) {}
    fn note(&self, text: &str) {
        self.0.lock().expect("no panic holds it").push(text.to_owned());
    }
    fn cancelled(&self) -> bool {
        false
    }
}

#[test]
fn the_cpu_goes_on_where_a_device_fails() {
    let case = case(common::program("[3, 5, 2]", "relu", "softmax-cross-entropy", 2, 3, "0.0"), 77);
    let committer = Committer::new(&case.generators);
    // In training, at the upload, while committing, in every piece of the argument, and nowhere at last.
    let mut operations = 0;
    loop {
        let device = Failing::after(operations);
        let job = Job {
            program: &case.program,
            base: &case.base,
            model_version: 0,
            dataset: &case.dataset,
            space: [0; 32],
            round: 0,
            beacon: [1; 32],
            contributor: [7; 32],
            payout: Vec::new(),
            secret: b"",
            seal: Seal::Sigma,
            kernels: &device,
        };
        let notes = Notes::default();
        let made = contribute(&job, &committer, &notes)
            .unwrap_or_else(|error| panic!("after {operations} operations: {error}"));
        case.verify(&made.bytes).unwrap_or_else(|error| panic!("after {operations} operations: {error}"));
        let notes = notes.0.into_inner().expect("no panic holds it");
        if !device.has_failed() {
            assert_eq!((notes.len(), made.device.as_str()), (0, "test device"));
            break;
        }
        assert!(!notes.is_empty(), "after {operations} operations");
        for note in &notes {
            assert_eq!(note, "test device failed (unplugged); the CPU goes on, nothing is lost");
        }
        assert_eq!(made.device, cpu().device());
        operations = (operations + 1).max(operations * 3 / 2);
    }
    assert!(operations > 100, "the device was hardly asked for anything: {operations}");
}
