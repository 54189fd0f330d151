//! Draws where the time of one contribution goes: `flame NAME FILE.svg` samples all threads and writes a flame graph.

use weightproof_benches::{Fixture, cases};
use weightproof_prover::progress::Silent;
use weightproof_prover::{Committer, contribute};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, file] = arguments.as_slice() else {
        return Err(
            "expected the name of a bench program and a file to write, as in: flame d flame.svg".into()
        );
    };
    let case = cases()
        .into_iter()
        .find(|case| case.name == *name)
        .ok_or_else(|| format!("expected the name of a bench program, found {name}"))?;
    let fixture = Fixture::new(&case);
    let committer = Committer::new(&fixture.generators);
    let job = fixture.job(&case.program);
    // Unwinding inside the loader can deadlock with a lock that the sampled thread holds.
    let guard = pprof::ProfilerGuardBuilder::default()
        .frequency(199)
        .blocklist(&["libc", "libgcc", "pthread", "vdso"])
        .build()?;
    let made = contribute(&job, &committer, &Silent)?;
    let mut options = pprof::flamegraph::Options::default();
    // Frames that nobody could see.
    options.min_width = 0.2;
    // A picture: it is looked at where scripts do not run.
    options.no_javascript = true;
    options.title = format!("Proving {}: {}", case.name, case.description);
    guard.report().build()?.flamegraph_with_options(std::fs::File::create(file)?, &mut options)?;
    println!("{name}: proved in {:.2} s; wrote {file}", made.prove_seconds);
    Ok(())
}
