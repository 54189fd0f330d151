//! `estimate`: what a program will cost, before anything is begun.
use super::plan::{Plan, Sources, read_program};
use crate::cli::Estimate;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, duration, hex, size};
use serde::Serialize;
use weightproof_circuits::program::Program;

/// The envelope of `estimate --json`.
#[derive(Serialize)]
struct Envelope {
    program_digest: String,
    rows: u64,
    seal: &'static str,
    memory_bytes: u64,
    seconds: f64,
    proof_bytes: u64,
}

/// Estimates one contribution.
pub fn run(arguments: &Estimate, output: &Output) -> Result<Exit, Failure> {
    let (program, rows) = match (&arguments.data, &arguments.label, &arguments.model, arguments.rows) {
        (Some(data), Some(label), program, _) => {
            let sources = Sources { data, label, program: program.as_deref(), from: None, seed: 0 };
            let plan = Plan::make(sources)?;
            let rows = plan.data.training.examples.rows();
            (plan.base.program, rows)
        }
        (None, _, Some(program), Some(rows)) => (read_program(program)?, rows as usize),
        _ => {
            let text = "expected DATA with --label, or --model with --rows, found neither; see --help";
            return Err(Failure::Usage(text.to_owned()));
        }
    };
    let cost = engine::estimate(&program, rows, arguments.seal)?;
    output.line("model", describe(&program));
    output.line("estimate", estimate_line(&program, &cost));
    if output.json() {
        output.envelope(&Envelope {
            program_digest: hex(&program.digest()),
            rows: rows as u64,
            seal: arguments.seal.name(),
            memory_bytes: cost.memory_bytes,
            seconds: cost.seconds,
            proof_bytes: cost.proof_bytes,
        })?;
    }
    Ok(Exit::Success)
}

/// `mlp 30-32-2, 1,058 weights   program 9c41…   2^-8 activations, 2^-26 weights   rate 0.125`.
pub fn describe(program: &Program) -> String {
    let widths: Vec<String> = program.layers().iter().map(usize::to_string).collect();
    let rates = program.effective_rates();
    format!(
        "mlp {}, {} weights   program {}   2^-{} activations, 2^-{} weights   effective rate {}{}",
        widths.join("-"),
        crate::output::grouped(program.parameter_count()),
        crate::output::short(&program.digest()),
        program.activation_bits(),
        program.weight_bits(),
        rates.first,
        if program.momentum().is_zero() {
            String::new()
        } else {
            format!(", with momentum up to {}", rates.last)
        }
    )
}

/// `16 steps x 32 rows: 0.2 GiB memory, ~2 s on 2 cores, proof 90 KiB`.
pub fn estimate_line(program: &Program, cost: &engine::Estimate) -> String {
    let cores = engine::cores();
    format!(
        "{} steps x {} rows: {} memory, ~{} on {cores} core{}, proof {}",
        program.steps(),
        program.batch(),
        size(cost.memory_bytes),
        duration(cost.seconds),
        if cores == 1 { "" } else { "s" },
        size(cost.proof_bytes)
    )
}
