//! Prints one row a bench program: `results [--halo2] [--portable] [NAME…]`; each program runs in a process of its own, for its peak
//! memory.

use weightproof_benches::{Way, cases, measure};

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |name: &str| arguments.iter().any(|argument| argument == name);
    let way = Way { halo2: asked("--halo2"), portable: asked("--portable") };
    arguments.retain(|argument| argument != "--halo2" && argument != "--portable");
    if let [flag, name] = arguments.as_slice()
        && flag == "--one"
    {
        let Some(case) = cases().into_iter().find(|case| case.name == *name) else {
            let names: Vec<&str> = cases().iter().map(|case| case.name).collect();
            eprintln!("expected one of {}, found {name}", names.join(", "));
            std::process::exit(2);
        };
        let m = measure(&case, way);
        let steps = case.program.steps() as f64;
        println!(
            "{} | {} | train {:.3} s | float32 {:.6} s | prove {:.3} s ({:.4} s a step) | overhead {:.0} | verify {:.3} s (reading {:.3} s, public polynomials {:.3} s) | proof {:.1} KiB | peak {:.2} GiB | generators {:.2} s | commit data {:.2} s",
            case.name,
            case.description,
            m.train_seconds,
            m.float_seconds,
            m.prove_seconds,
            m.prove_seconds / steps,
            m.prove_seconds / m.float_seconds,
            m.verify_seconds,
            m.read_seconds,
            m.public_seconds,
            m.proof_bytes as f64 / 1024.0,
            m.peak_bytes.unwrap_or(0) as f64 / (1u64 << 30) as f64,
            m.generators_seconds,
            m.dataset_seconds,
        );
        // Signs are of what was measured: +20 % is slower, or more, than expected.
        let off = |measured: f64, expected: f64| 100.0 * (measured / expected - 1.0);
        let (seconds, peak) = (m.train_seconds + m.prove_seconds, m.peak_bytes.unwrap_or(0) as f64);
        println!(
            "  estimate: {:.3} s, measured {:+.0} %; {:.2} GiB, measured {:+.0} %",
            m.estimate.seconds,
            off(seconds, m.estimate.seconds),
            m.estimate.memory_bytes as f64 / (1u64 << 30) as f64,
            off(peak, m.estimate.memory_bytes as f64),
        );
        if let Some(seal) = &m.seal {
            println!(
                "  halo2: keys {:.2} s, seal verified alone {:.3} s, proof {} bytes, exposed {} bytes",
                m.key_seconds, seal.verify_seconds, seal.proof_bytes, seal.exposed_bytes
            );
        }
        let stages: Vec<String> =
            m.stages.iter().map(|(name, seconds)| format!("{name} {seconds:.3}")).collect();
        println!("  stages: {}", stages.join(", "));
        return;
    }
    let names: Vec<String> = match arguments.is_empty() {
        true => cases().iter().map(|case| case.name.to_owned()).collect(),
        false => arguments,
    };
    let program = match std::env::current_exe() {
        Ok(path) => path,
        Err(error) => {
            eprintln!("expected to find this program's own path: {error}");
            std::process::exit(1);
        }
    };
    for name in names {
        match std::process::Command::new(&program)
            .args(["--one", &name])
            .args(way.halo2.then_some("--halo2"))
            .args(way.portable.then_some("--portable"))
            .status()
        {
            Ok(status) if status.success() => {}
            Ok(status) => std::process::exit(status.code().unwrap_or(1)),
            Err(error) => {
                eprintln!("expected to run {name}: {error}");
                std::process::exit(1);
            }
        }
    }
}
