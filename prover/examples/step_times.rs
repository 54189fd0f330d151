//! Times the exact trainer and its float32 twin on one network, in milliseconds a step.
//!
//! `cargo run --release -p weightproof-prover --example step_times [LAYERS [BATCH [STEPS [MOMENTUM [RATE]]]]]`,
//! with layers such as `3072,1024,1024,10`. Inputs and labels are drawn from a fixed generator: only time is looked at.
use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use weightproof_circuits::parameters::Parameters;
use weightproof_circuits::program::Program;
use weightproof_prover::{float, trainer};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let eight_layers = "3072,1024,1024,1024,1024,1024,1024,1024,1024,10";
    let layers = arguments.next().unwrap_or_else(|| eight_layers.to_owned());
    let batch = arguments.next().unwrap_or_else(|| "64".to_owned());
    let steps = arguments.next().unwrap_or_else(|| "8".to_owned());
    let momentum = arguments.next().unwrap_or_else(|| "0.0".to_owned());
    let rate = arguments.next().unwrap_or_else(|| "0.0625".to_owned());
    let program = Program::parse(&format!(
        "[model]\nlayers = [{layers}]\nactivation = \"relu\"\nloss = \"softmax-cross-entropy\"\n\
         [optimizer]\nlearning_rate = {rate}\nmomentum = {momentum}\n[contribution]\nsteps = {steps}\nbatch = {batch}\n"
    ))?;
    let base = Parameters::initial(&program, [1; 32]);
    let (rows, classes) = (program.steps() * program.batch(), program.outputs());
    let mut state = 1_u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as i64
    };
    let x: Vec<i16> = (0..rows * program.inputs()).map(|_| ((draw() & 511) - 256) as i16).collect();
    let mut y = vec![0_i16; rows * classes];
    y.chunks_exact_mut(classes).for_each(|row| row[draw() as usize % classes] = 1);

    println!("threads {}, weight bits {}", rayon::current_num_threads(), program.weight_bits());
    let float_base = float::FloatModel::from_parameters(&program, &base)?;
    let (float_x, float_y) = (float::dequantize(&program, &x), float::targets(&program, &y));
    for round in 0..3 {
        let start = Instant::now();
        let mut last = start;
        let mut times = Vec::new();
        let training = trainer::train(&program, &base, &x, &y, &mut |_| {
            times.push(last.elapsed().as_secs_f64() * 1e3);
            last = Instant::now();
            ControlFlow::Continue(())
        })?;
        let finish = last.elapsed().as_secs_f64() * 1e3;
        let exact = start.elapsed().as_secs_f64() * 1e3 / program.steps() as f64;
        let start = Instant::now();
        let model = float::train(&program, &float_base, &float_x, &float_y)?;
        let single = start.elapsed().as_secs_f64() * 1e3 / program.steps() as f64;
        let shown: Vec<String> = times.iter().map(|time| format!("{time:.0}")).collect();
        println!(
            "round {round}: exact {exact:.1} ms a step (steps {}, update {finish:.0}), float32 {single:.1} ms, ratio {:.2}; \
             loss {:.4} -> {:.4}, checks {} {}",
            shown.join(" "),
            exact / single,
            training.steps.first().map_or(0.0, |step| step.loss),
            training.steps.last().map_or(0.0, |step| step.loss),
            training.update.layers[0].weights[0],
            model.layers[0].weights[[0, 0]],
        );
    }
    Ok(())
}
