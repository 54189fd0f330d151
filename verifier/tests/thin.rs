//! The verifier stays thin: what it must not know is not there.

use std::path::Path;
use std::process::Command;

/// Lines of `cargo tree` over normal dependencies with default features.
fn tree(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "-p",
            "weightproof-verifier",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--offline",
            "--locked",
        ])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("crate names are text")
}

/// Threads, arrays, networks, randomness, provers and float formats.
const ABSENT: [&str; 15] = [
    "rayon",
    "rayon-core",
    "ndarray",
    "tokio",
    "getrandom",
    "rand_os",
    "prost",
    "tonic",
    "serde",
    "csv",
    "num-cpus",
    "weightproof-prover",
    "weightproof-gpu-kernels",
    "weightproof-node",
    "matrixmultiply",
];

fn names(tree: &str) -> Vec<&str> {
    tree.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn the_dependency_tree_holds_no_threads_randomness_or_prover() {
    let tree = tree(&[]);
    let names = names(&tree);
    assert!(names.contains(&"weightproof-circuits"), "the tree is of the verifier:\n{tree}");
    for absent in ABSENT {
        assert!(!names.contains(&absent), "{absent} is in the verifier's tree");
    }
    // `ark-std` brings `rand` for its traits and its seeded generators: without these features (and without the crate
    // `getrandom`) it has nowhere to draw a seed from.
    let features = self::tree(&["--format", "{p} [{f}]"]);
    for line in features.lines().filter(|line| line.starts_with("rand ") || line.starts_with("rand_core ")) {
        let enabled = line.rsplit_once('[').map_or("", |(_, features)| features.trim_end_matches(']'));
        for source in ["std", "thread_rng", "getrandom", "os_rng"] {
            assert!(!enabled.split(',').any(|feature| feature == source), "{line}");
        }
    }
}

#[test]
fn the_feature_parallel_brings_rayon() {
    // The control: the same look finds it where it is.
    let tree = tree(&["--features", "parallel"]);
    assert!(names(&tree).contains(&"rayon"));
}

#[test]
fn the_source_names_no_clock_file_or_unsafe_code() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = 0;
    for entry in std::fs::read_dir(source).expect("the source is there") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("source is text");
        for absent in [
            "std::time",
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "HashMap",
            "HashSet",
            "unsafe {",
            "unsafe fn",
        ] {
            assert!(!text.contains(absent), "{} names {absent}", path.display());
        }
        files += 1;
    }
    assert!(files >= 7, "all files were read: {files}");
    let root =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("lib.rs");
    assert!(root.contains("#![forbid(unsafe_code)]"));
}
