//! `train`: data file in; contributions, models and their verification out. All local, resumable, nothing half-written.
use super::estimate::{describe, estimate_line};
use super::plan::{Plan, Sources};
use crate::bars::Bars;
use crate::cli::Train;
use crate::engine::{self, Dataset, Proving, Quality, Request, Verifying};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::keys;
use crate::locations;
use crate::output::{Output, duration, hex, parse_hex32, short, size};
use crate::run_state::{Finished, Identity, RunDirectory, RunState};
use serde::Serialize;
use sha2::{Digest, Sha256};
use weightproof_prover::atomic_file::{Access, write_atomic};
use weightproof_prover::model_file::ModelFile;
use weightproof_prover::progress::Progress;

/// The envelope of `train --json`.
#[derive(Serialize)]
struct Envelope<'a> {
    contributions: &'a [Finished],
    test_accuracy: Option<f64>,
    float_test_accuracy: Option<f64>,
    peak_memory_bytes: Option<u64>,
    program_digest: String,
}

/// Trains, proves and verifies the contributions that the run still lacks.
pub fn run(arguments: &Train, output: &Output) -> Result<Exit, Failure> {
    if arguments.submit {
        return super::contribute::once(arguments, output);
    }
    let plan = Plan::make(Sources {
        data: &arguments.data,
        label: &arguments.label,
        program: arguments.model.as_deref(),
        from: arguments.from.as_deref(),
        seed: arguments.seed,
    })?;
    announce(arguments, &plan, output);
    let program = &plan.base.program;
    let cost = engine::estimate(program, plan.data.training.examples.rows(), arguments.seal)?;
    output.line("estimate", estimate_line(program, &cost));
    if let Some(limit) = arguments.memory_limit.filter(|&limit| cost.memory_bytes > limit) {
        return Err(Failure::Memory { needed: cost.memory_bytes, limit });
    }
    leaves(output);

    let bars = Bars::new();
    let directory = RunDirectory::open(&arguments.out)?;
    let proving = Proving::open(program, arguments.seal, arguments.device, &bars)?;
    let mut session = Session::begin(arguments, &plan, &directory, &proving, &bars, output)?;
    let mut model = session.current_model()?;
    while session.state.finished.len() < arguments.contributions as usize {
        if bars.cancelled() {
            return Err(Failure::Interrupted);
        }
        model = session.contribute(model)?;
    }
    session.finish(arguments.contributions as usize, &model)?;
    Ok(Exit::Success)
}

/// What is about to be trained on what.
fn announce(arguments: &Train, plan: &Plan, output: &Output) {
    let data = &plan.data;
    let (training, held_out) = (data.training.examples.rows(), data.held_out.examples.rows());
    output.line(
        "data",
        format!(
            "{} rows x {} columns  ok   {training} to train on, {held_out} held out   quantization: max error {:.4}, {} saturated",
            training + held_out,
            plan.columns,
            data.quantization.maximum_error,
            data.quantization.saturated
        ),
    );
    output.line("model", describe(&plan.base.program));
    if let Some(from) = &arguments.from {
        output.line("from", format!("{}   version {}", from.display(), plan.base.model_version));
    }
}

/// What leaves the machine: nothing yet, and what its files would give away.
fn leaves(output: &Output) {
    output.line(
        "leaves",
        "nothing (local run).  In contribution files: update, proof, commitments.  In model files: weights, column names, categories, means and deviations.  In neither: rows, labels, salts.",
    );
    output.line(
        "mode",
        "open: the update is public to whoever gets the file, and leaks something about the data whatever the proof hides",
    );
}

/// A run under way: everything that its contributions share.
struct Session<'a> {
    plan: &'a Plan,
    directory: &'a RunDirectory,
    proving: &'a Proving,
    verifying: Verifying<'a>,
    bars: &'a Bars,
    output: &'a Output,
    dataset: Dataset,
    beacon: [u8; 32],
    contributor: [u8; 32],
    state: RunState,
}

impl<'a> Session<'a> {
    /// Goes on with the run in the directory, or begins one: commitment first, beacon after it.
    fn begin(
        arguments: &Train,
        plan: &'a Plan,
        directory: &'a RunDirectory,
        proving: &'a Proving,
        bars: &'a Bars,
        output: &'a Output,
    ) -> Result<Session<'a>, Failure> {
        let identity = Identity {
            data_digest: hex(&plan.data_digest),
            label: arguments.label.clone(),
            program_digest: hex(&plan.base.program.digest()),
            seed: arguments.seed,
            base_digest: hex(&plan.base.digest()?),
        };
        let given = arguments.beacon.as_ref().map(|beacon| hex(beacon));
        let (dataset, state) = match directory.load(&identity, given.as_deref())? {
            Some(state) => (restore(directory, proving, &state)?, state),
            None => {
                let dataset = proving.commit(&plan.data.training.examples, bars)?;
                let path = directory.secret();
                write_atomic(&path, &dataset.secret_bytes(), Access::Owner).map_err(Failure::write(&path))?;
                plan.base.write(&directory.model(0))?;
                // Only now may the beacon exist: a commitment made in its knowledge could choose its batches.
                let beacon = match arguments.beacon {
                    Some(beacon) => beacon,
                    None => *keys::random()?,
                };
                let contributor = match locations::configuration().ok() {
                    Some(home) => keys::public(&home)?,
                    None => None,
                };
                let contributor = match contributor {
                    Some(public) => public,
                    None => keys::ephemeral()?,
                };
                let root = hex(&dataset.root());
                let drawn_here = arguments.beacon.is_none();
                let state = RunState::new(identity, root, hex(&beacon), drawn_here, hex(&contributor));
                directory.save(&state)?;
                (dataset, state)
            }
        };
        bars.clear();
        let path = directory.secret();
        output.line(
            "commit",
            format!(
                "{} (salted)   rows and salts stay in {} (mode 0600)",
                short(&dataset.root()),
                path.display()
            ),
        );
        let origin = if state.beacon_drawn_here {
            "drawn by this command itself, after the commitment"
        } else {
            "given with --beacon"
        };
        output.line("beacon", format!("{}   {origin}", state.beacon));
        if !state.finished.is_empty() {
            output.line("resume", format!("{} contributions are finished", state.finished.len()));
        }
        let damaged = |_| {
            Failure::Run("run.json: expected hexadecimal digests, found other text; restore it".to_owned())
        };
        let beacon = parse_hex32(&state.beacon).map_err(damaged)?;
        let contributor = parse_hex32(&state.contributor).map_err(damaged)?;
        let verifying = Verifying::beside(proving, bars);
        Ok(Session { plan, directory, proving, verifying, bars, output, dataset, beacon, contributor, state })
    }

    /// The model after the last finished contribution, checked against the state.
    fn current_model(&self) -> Result<ModelFile, Failure> {
        let path = self.directory.model(self.state.finished.len());
        let model = Failure::read_model(&path)?;
        let digest = model.digest()?;
        match parse_hex32(&self.state.model_digest) {
            Ok(expected) if expected == digest => Ok(model),
            Ok(expected) => Err(self.directory.damaged(&path, &expected, &digest)),
            Err(_) => Err(self.directory.damaged(&path, &[], &digest)),
        }
    }

    /// Trains, proves and verifies one contribution, and only then writes it, its model and the state, in this order:
    /// whatever an interrupt leaves, the state never names more than is there.
    fn contribute(&mut self, model: ModelFile) -> Result<ModelFile, Failure> {
        let number = self.state.finished.len() + 1;
        let request = Request {
            program: &self.plan.base.program,
            base: &model.parameters,
            model_version: model.model_version,
            dataset: &self.dataset,
            beacon: own_beacon(&self.beacon, number),
            contributor: self.contributor,
            slot: engine::Slot::default(),
        };
        let made = self.proving.contribute(&request, self.bars)?;
        self.bars.begin("verify", 0);
        let weight_bits = model.program.weight_bits();
        let checked = self
            .verifying
            .verify(&made.bytes, &model.parameters, model.model_version, weight_bits)
            .map_err(|refusal| {
                Failure::Proof(format!(
                    "expected the proof just made to be valid, found {}: {}; please report this, nothing was written",
                    refusal.code, refusal.message
                ))
            })?;
        // From here on the contribution counts: an interrupt is looked at again once it is on the disk.
        let next = ModelFile {
            parameters: checked.next,
            program: model.program,
            model_version: model.model_version + 1,
            schema: model.schema,
        };
        let quality = self.quality(&next)?;
        let (proof_path, model_path) = (self.directory.contribution(number), self.directory.model(number));
        write_atomic(&proof_path, &made.bytes, Access::Shared).map_err(Failure::write(&proof_path))?;
        next.write(&model_path)?;
        self.state.model_digest = hex(&next.digest()?);
        self.state.finished.push(Finished {
            train_seconds: made.train_seconds,
            prove_seconds: made.prove_seconds,
            verify_seconds: checked.seconds,
            proof_bytes: checked.proof_bytes,
            loss: made.last_loss,
            stages: made.stages,
            device: made.device.clone(),
        });
        self.directory.save(&self.state)?;
        self.bars.clear();
        self.output.line(
            "train",
            format!(
                "contribution {number}   {} steps in {}   loss {:.4} -> {:.4}   held-out {}",
                next.program.steps(),
                duration(made.train_seconds),
                made.first_loss,
                made.last_loss,
                super::evaluate::describe(&quality)
            ),
        );
        self.output.line(
            "prove",
            format!(
                "in {}   proof {}   seal {}   on {}",
                duration(made.prove_seconds),
                size(checked.proof_bytes),
                checked.statement.seal,
                made.device
            ),
        );
        let name =
            |path: &std::path::Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.output.line(
            "verify",
            format!(
                "ok in {}   wrote {}, {}",
                duration(checked.seconds),
                name(&proof_path),
                name(&model_path)
            ),
        );
        Ok(next)
    }

    /// How good a model is on the rows it never saw.
    fn quality(&self, model: &ModelFile) -> Result<Quality, Failure> {
        let examples = &self.plan.data.held_out.examples;
        engine::evaluate(&model.program, &model.parameters, &examples.features, &examples.labels)
    }

    /// The run's result, beside the same training in `f32`.
    fn finish(&self, asked: usize, model: &ModelFile) -> Result<(), Failure> {
        let finished = self.state.finished.len();
        if finished > asked {
            self.output.line(
                "resume",
                format!("the run already has {finished} contributions; all of them count below"),
            );
        }
        let quality = self.quality(model)?;
        let twin = self.twin()?;
        self.bars.clear();
        self.output.line(
            "result",
            format!(
                "held-out {}   the same training in float32: {}",
                super::evaluate::describe(&quality),
                super::evaluate::describe(&twin)
            ),
        );
        let peak = peak_memory();
        if let Some(bytes) = peak {
            self.output.line("memory", format!("peak {}", size(bytes)));
        }
        if self.output.json() {
            self.output.envelope(&Envelope {
                contributions: &self.state.finished,
                test_accuracy: quality.accuracy(),
                float_test_accuracy: twin.accuracy(),
                peak_memory_bytes: peak,
                program_digest: hex(&self.plan.base.program.digest()),
            })?;
        }
        Ok(())
    }

    /// The same training in `f32`: same initial weights, same batches (which follow from the exact models' digests),
    /// same momentum rule.
    fn twin(&self) -> Result<Quality, Failure> {
        let finished = self.state.finished.len();
        self.bars.begin("float32 twin", finished as u64);
        let data = &self.plan.data;
        let mut twin =
            engine::Twin::new(&self.plan.base.program, &self.plan.base.parameters, &data.training)?;
        for number in 1..=finished {
            let base = if number == 1 {
                self.plan.base.parameters.clone()
            } else {
                Failure::read_model(&self.directory.model(number - 1))?.parameters
            };
            let batches = engine::Batches {
                beacon: own_beacon(&self.beacon, number),
                dataset_root: self.dataset.root(),
                contributor: self.contributor,
            };
            twin.contribute(&base, &batches)?;
            self.bars.advance(1);
            if self.bars.cancelled() {
                return Err(Failure::Interrupted);
            }
        }
        twin.quality(&data.held_out)
    }
}

/// The committed rows of a run that goes on.
fn restore(directory: &RunDirectory, proving: &Proving, state: &RunState) -> Result<Dataset, Failure> {
    let path = directory.secret();
    let bytes = zeroize::Zeroizing::new(std::fs::read(&path).map_err(Failure::read(&path))?);
    let dataset = proving.restore(&bytes).map_err(|message| {
        let advice = "restore the file or choose another --out";
        Failure::Run(format!(
            "{}: expected this run's rows and salts, found: {message}; {advice}",
            path.display()
        ))
    })?;
    let root = dataset.root();
    match parse_hex32(&state.dataset_root) {
        Ok(expected) if expected == root => Ok(dataset),
        Ok(expected) => Err(directory.damaged(&path, &expected, &root)),
        Err(_) => Err(directory.damaged(&path, &[], &root)),
    }
}

/// Contribution `number`'s own beacon in a local run, counted from 1:
/// `SHA-256("weightproof local beacon v1" ‖ beacon ‖ number as u64 LE)`.
fn own_beacon(beacon: &[u8; 32], number: usize) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"weightproof local beacon v1");
    hash.update(beacon);
    hash.update((number as u64).to_le_bytes());
    hash.finalize().into()
}

/// The process's largest resident size so far, where the system tells (Linux).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contributions_have_their_own_beacons() {
        // python: hashlib.sha256(b"weightproof local beacon v1" + bytes(32) + (1).to_bytes(8, "little")).hexdigest()
        assert_eq!(
            hex(&own_beacon(&[0; 32], 1)),
            "282ee0e7c11b291312a3251154ac0dc0f09a131177f6ca489b27649f885a311d"
        );
        assert_ne!(own_beacon(&[0; 32], 1), own_beacon(&[0; 32], 2));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_memory_is_known_on_linux() {
        assert!(peak_memory().unwrap() > 1 << 20);
    }
}
