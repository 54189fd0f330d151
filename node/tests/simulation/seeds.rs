//! Many seeds, and what they came across.
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::play;

/// Lines of a failing seed's trace that are shown.
const SHOWN: usize = 60;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}: expected a number, found {text}")))
}

#[test]
fn seeds() {
    if let Some(seed) = number("WEIGHTPROOF_SEED") {
        let (checked, report) = play(seed, None);
        report.trace.iter().for_each(|line| println!("{line}"));
        return checked.unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    }
    let asked = number("WEIGHTPROOF_SEEDS");
    let count = asked.unwrap_or(200);
    let clock = Instant::now();
    // Many are asked for on purpose: they may have the whole machine.
    let threads = asked.map_or(1, |_| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let next = AtomicU64::new(0);
    let totals: Mutex<(BTreeMap<String, u64>, Vec<String>)> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count {
                        break;
                    }
                    let (checked, report) = play(seed, None);
                    let mut totals = totals.lock().unwrap();
                    for (what, count) in report.counts {
                        *totals.0.entry(what).or_default() += count;
                    }
                    *totals.0.entry("entries".to_owned()).or_default() += report.entries;
                    *totals.0.entry("virtual seconds".to_owned()).or_default() += report.seconds;
                    if let Err(violation) = checked {
                        let from = report.trace.len().saturating_sub(SHOWN);
                        println!("seed {seed}: {violation}");
                        if totals.1.len() < 3 {
                            report.trace[from..].iter().for_each(|line| println!("  {line}"));
                        }
                        totals.1.push(format!("WEIGHTPROOF_SEED={seed}: {violation}"));
                    }
                }
            });
        }
    });
    let (counts, failed) = totals.into_inner().unwrap();
    println!("{count} seeds in {:.1} s on {threads} threads", clock.elapsed().as_secs_f64());
    counts.iter().for_each(|(what, count)| println!("{count:>9} {what}"));
    assert!(failed.is_empty(), "{} of {count} seeds failed:\n{}", failed.len(), failed.join("\n"));
    // A simulation in which nothing goes wrong shows nothing.
    if count >= 200 {
        for what in [
            "crash",
            "disk failure",
            "partition",
            "revert",
            "logged contribution",
            "logged before",
            "E203",
            "E502",
            "E505",
        ] {
            assert!(counts.contains_key(what), "no seed came across {what}");
        }
        for attack in 0..crate::hostile::ATTACKS {
            assert!(
                counts.contains_key(&format!("attack {attack:02}")),
                "no seed came across attack {attack}"
            );
        }
    }
}

#[test]
fn a_seed_plays_the_same_way_again() {
    for seed in [3, 4] {
        let ((one, first), (two, second)) = (play(seed, None), play(seed, None));
        assert_eq!(one, two);
        assert!(first.trace.len() > 100);
        assert_eq!(first.trace, second.trace);
        assert_eq!(first.disk.entries, second.disk.entries);
        assert_eq!(first.disk.checkpoint, second.disk.checkpoint);
    }
    assert_ne!(play(3, None).1.trace, play(4, None).1.trace);
}
