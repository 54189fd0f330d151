//! The whole way as users type it: train, prove, verify, interrupt, go on, and what must be refused on the way.
// The lint exempts `#[test]` functions alone; the helpers here are as much tests as those.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const PROGRAM: &str = r#"
[model]
layers = [30, 4, 2]
activation = "relu"
loss = "softmax-cross-entropy"
[optimizer]
learning_rate = 0.125
momentum = 0.5
[contribution]
steps = 3
batch = 5
"#;

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        std::fs::write(place.path("program.toml"), PROGRAM).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weightproof"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("HOME", self.path("home"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn train(&self, more: &[&str]) -> Output {
        let data = data();
        let arguments = ["train", &data, "--label", "diagnosis", "--model", "program.toml", "--json"];
        self.run(&[&arguments[..], more].concat())
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

fn data() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/breast_cancer.csv").display().to_string()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn envelope(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

#[test]
fn trains_proves_verifies_and_goes_on() {
    let place = Place::new();
    let beacon = "ab".repeat(32);
    let output = place.train(&["--contributions", "1", "--beacon", &beacon]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stderr(&output);
    for topic in [
        "data ",
        "model ",
        "estimate ",
        "leaves ",
        "mode ",
        "commit ",
        "beacon ",
        "train ",
        "prove ",
        "verify ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(topic)), "{topic} is missing in {text}");
    }
    assert!(text.contains("given with --beacon"));
    let first = envelope(&output);
    let contribution = &first["contributions"][0];
    for key in ["train_seconds", "prove_seconds", "verify_seconds", "proof_bytes", "loss"] {
        assert!(contribution[key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert!(contribution["stages"]["lookups"].as_f64().unwrap() > 0.0);
    for key in ["test_accuracy", "float_test_accuracy"] {
        assert!((0.0..=1.0).contains(&first[key].as_f64().unwrap()), "{key}");
    }
    assert_eq!(first["program_digest"].as_str().unwrap().len(), 64);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let secret = std::fs::metadata(place.path("weightproof-run/dataset.secret")).unwrap();
        assert_eq!(secret.permissions().mode() & 0o777, 0o600);
    }

    // The same command with more contributions goes on and keeps what is there.
    let proof = place.bytes("weightproof-run/contribution-0001.wpf");
    let output = place.train(&["--contributions", "2"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(place.bytes("weightproof-run/contribution-0001.wpf"), proof);
    let second = envelope(&output);
    assert_eq!(second["contributions"][0], *contribution);
    assert_eq!(second["contributions"].as_array().unwrap().len(), 2);
    // An uninterrupted run from the same beacon by the same contributor differs in blindings alone, but its key is
    // ephemeral; what must be equal here is the model that a rerun finds and reports.
    let output = place.train(&["--contributions", "2"]);
    assert_eq!(envelope(&output)["test_accuracy"], second["test_accuracy"]);

    // Another run in the same directory is refused, by name of what differs.
    for (more, what) in [(["--seed", "1"], "seed"), (["--beacon", &"cd".repeat(32)], "beacon")] {
        let output = place.train(&more);
        assert_eq!(code(&output), 2);
        assert!(
            stderr(&output).contains("error[E008]") && stderr(&output).contains(what),
            "{}",
            stderr(&output)
        );
    }

    chain(&place);
    tampered(&place);
    resumed_after_damage(&place);
}

/// `verify` accepts the chain in order and nothing else.
fn chain(place: &Place) {
    let (first, second) = ("weightproof-run/contribution-0001.wpf", "weightproof-run/contribution-0002.wpf");
    let base = ["--base", "weightproof-run/model-0000.safetensors", "--json"];
    let verify = |proofs: &[&str], base: &[&str]| place.run(&[&["verify"], proofs, base].concat());
    let output = verify(&[first, second], &base);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let reports = envelope(&output);
    for (index, file) in [first, second].into_iter().enumerate() {
        let report = &reports[index];
        assert_eq!((&report["file"], &report["verdict"]), (&file.into(), &"valid".into()));
        assert!(report["code"].is_null() && report["seconds"].as_f64().unwrap() > 0.0);
        assert_eq!(report["statement"]["model_version"], index);
        assert_eq!(report["statement"]["mode"], "open");
        assert_eq!(report["statement"]["space"], "00".repeat(32));
        assert_eq!(report["statement"]["payout"], "");
    }
    assert_ne!(reports[0]["statement"]["beacon"], reports[1]["statement"]["beacon"]);
    let later = ["--base", "weightproof-run/model-0001.safetensors", "--json"];
    assert_eq!(code(&verify(&[second], &later)), 0);
    for (proofs, base) in
        [(&[second][..], &base), (&[first], &later), (&[second, first], &base), (&[first, first], &base)]
    {
        let output = verify(proofs, base);
        assert_eq!(code(&output), 10, "{proofs:?}");
        let reports = envelope(&output);
        let stale = reports.as_array().unwrap().iter().find(|report| report["verdict"] == "invalid").unwrap();
        assert_eq!(stale["code"], "E203", "{proofs:?}");
        assert!(stale["statement"].is_object());
    }
}

/// A run goes on under the other seal, and `verify` judges the mixed chain.
#[test]
fn a_chain_may_mix_the_seals() {
    let place = Place::new();
    let output = place.train(&["--contributions", "1", "--seal", "halo2"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("seal halo2"), "{}", stderr(&output));
    let compact = envelope(&output)["contributions"][0]["proof_bytes"].as_u64().unwrap();
    let output = place.train(&["--contributions", "2"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let sigma = envelope(&output)["contributions"][1]["proof_bytes"].as_u64().unwrap();
    assert!(compact < sigma, "{compact} and {sigma} bytes");
    let (first, second) = ("weightproof-run/contribution-0001.wpf", "weightproof-run/contribution-0002.wpf");
    let base = ["--base", "weightproof-run/model-0000.safetensors", "--json"];
    let output = place.run(&[&["verify", first, second], &base[..]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let reports = envelope(&output);
    for (index, seal) in ["halo2", "sigma"].into_iter().enumerate() {
        assert_eq!(reports[index]["verdict"], "valid");
        assert_eq!(reports[index]["statement"]["seal"], seal);
    }
    assert_ne!(reports[0]["statement"]["seal_key_digest"], "00".repeat(32));
    // The last byte belongs to the opening; 2,000 bytes before the end is the halo2 proof, more than 3,000 bytes long and
    // followed by the opening's few hundred.
    let bytes = place.bytes(first);
    for (position, code) in [(bytes.len() - 1, "E305"), (bytes.len() - 2000, "E307")] {
        let mut altered = bytes.clone();
        altered[position] ^= 1;
        std::fs::write(place.path("altered.wpf"), &altered).unwrap();
        let output = place.run(&[&["verify", "altered.wpf"], &base[..]].concat());
        assert_eq!(self::code(&output), 10, "{}", stderr(&output));
        let found = envelope(&output)[0]["code"].as_str().unwrap().to_owned();
        assert!(found == code || found == "E101", "{found} where {code} was expected");
    }
    // The estimate foretells the compact proof too.
    let arguments =
        ["estimate", &data(), "--label", "diagnosis", "--model", "program.toml", "--seal", "halo2", "--json"];
    let output = place.run(&arguments);
    let estimated = envelope(&output)["proof_bytes"].as_u64().unwrap();
    assert!(estimated.abs_diff(compact) <= compact / 20, "{estimated} and {compact}");
}

/// Altered files are invalid; another version is said to be newer.
fn tampered(place: &Place) {
    let bytes = place.bytes("weightproof-run/contribution-0001.wpf");
    let verify = |bytes: &[u8]| {
        std::fs::write(place.path("altered.wpf"), bytes).unwrap();
        place.run(&["verify", "altered.wpf", "--base", "weightproof-run/model-0000.safetensors", "--json"])
    };
    assert_eq!(code(&verify(&bytes)), 0);
    for position in [4, 60, 200, bytes.len() / 2, bytes.len() - 1] {
        let mut altered = bytes.clone();
        altered[position] ^= 1;
        let output = verify(&altered);
        assert_eq!(code(&output), 10, "byte {position}");
        assert!(envelope(&output)[0]["code"].as_str().unwrap().starts_with('E'));
    }
    assert_eq!(code(&verify(&bytes[..bytes.len() - 1])), 10);
    let mut newer = bytes.clone();
    newer[3] = b'2';
    let output = verify(&newer);
    assert_eq!(code(&output), 11);
    assert_eq!(envelope(&output)[0]["code"], "E105");
    let output = place.run(&["inspect", "weightproof-run/contribution-0001.wpf"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for topic in ["proved ", "signed ", "not shown ", "mode ", "network "] {
        assert!(text.lines().any(|line| line.starts_with(topic)), "{topic} is missing in {text}");
    }
}

/// A run whose state is behind its files redoes the last contribution; one whose files are damaged is refused.
fn resumed_after_damage(place: &Place) {
    let state = place.path("weightproof-run/run.json");
    let complete = std::fs::read_to_string(&state).unwrap();
    // As if killed between writing the second contribution and the state.
    let mut behind: Value = serde_json::from_str(&complete).unwrap();
    behind["finished"].as_array_mut().unwrap().pop();
    let reports = place.run(&[
        "verify",
        "weightproof-run/contribution-0001.wpf",
        "weightproof-run/contribution-0002.wpf",
        "--base",
        "weightproof-run/model-0000.safetensors",
        "--json",
    ]);
    behind["model_digest"] = envelope(&reports)[1]["statement"]["model_digest"].clone();
    std::fs::write(&state, behind.to_string()).unwrap();
    let model = place.bytes("weightproof-run/model-0002.safetensors");
    let output = place.train(&["--contributions", "2"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(place.bytes("weightproof-run/model-0002.safetensors"), model, "the same update again");

    for name in ["weightproof-run/model-0002.safetensors", "weightproof-run/dataset.secret"] {
        let good = place.bytes(name);
        let mut damaged = good.clone();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        std::fs::write(place.path(name), damaged).unwrap();
        let output = place.train(&["--contributions", "3"]);
        assert_eq!(code(&output), 2, "{name}");
        assert!(stderr(&output).contains("error[E008]"), "{name}: {}", stderr(&output));
        std::fs::write(place.path(name), good).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_loses_nothing_finished() {
    let place = Place::new();
    let data = data();
    let arguments = [
        "train",
        &data,
        "--label",
        "diagnosis",
        "--model",
        "program.toml",
        "--contributions",
        "500",
        "--out",
        "run",
    ];
    let child = place.command(&arguments).spawn().unwrap();
    let first = place.path("run/model-0001.safetensors");
    let start = std::time::Instant::now();
    while !first.exists() {
        assert!(start.elapsed().as_secs() < 300, "the first contribution takes too long");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 130, "{}", stderr(&output));
    assert!(stderr(&output).contains("error[E011]"));
    let state: Value = serde_json::from_slice(&place.bytes("run/run.json")).unwrap();
    let finished = state["finished"].as_array().unwrap().len();
    assert!(finished < 500);
    let names: Vec<String> = std::fs::read_dir(place.path("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.iter().any(|name| name.ends_with(".partial")), "{names:?}");
    let next = (finished + 1).to_string();
    let output = place.train(&["--contributions", &next, "--out", "run"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(envelope(&output)["contributions"].as_array().unwrap().len(), finished + 1);
}

#[test]
fn a_run_goes_on_from_another_runs_model_with_the_key_of_init() {
    let place = Place::new();
    let output = place.command(&["init"]).env("WEIGHTPROOF_PASSPHRASE", "correct horse").output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let public = std::fs::read_to_string(place.path("home/.config/weightproof/key.pub")).unwrap();
    assert_eq!(code(&place.train(&["--out", "one"])), 0);
    let from = "one/model-0001.safetensors";
    let output = place.train(&["--out", "two", "--from", from]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let output = place.run(&[
        "verify",
        "one/contribution-0001.wpf",
        "two/contribution-0001.wpf",
        "--base",
        "one/model-0000.safetensors",
        "--json",
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let reports = envelope(&output);
    assert_eq!(reports[1]["statement"]["model_version"], 1);
    for report in reports.as_array().unwrap() {
        assert_eq!(report["statement"]["contributor"], public.trim_end());
    }
    // The salts differ between two commitments to the same rows.
    assert_ne!(reports[0]["statement"]["dataset_root"], reports[1]["statement"]["dataset_root"]);
}

#[test]
fn leaving_the_exact_range_exits_with_5_and_writes_no_proof() {
    let place = Place::new();
    let text =
        PROGRAM.replace("learning_rate = 0.125", "learning_rate = 4000.0").replace("steps = 3", "steps = 8");
    std::fs::write(place.path("program.toml"), text).unwrap();
    let output = place.train(&[]);
    assert_eq!(code(&output), 5, "{}", stderr(&output));
    let text = stderr(&output);
    assert!(text.contains("error[E004]") && text.contains("layer") && text.contains("step"), "{text}");
    assert!(!place.path("weightproof-run/contribution-0001.wpf").exists());
}

#[test]
fn the_estimate_bounds_memory_and_foretells_the_proof() {
    let place = Place::new();
    let output =
        place.run(&["estimate", &data(), "--label", "diagnosis", "--model", "program.toml", "--json"]);
    let foretold = envelope(&output);
    let trained = envelope(&place.train(&[]));
    let size = trained["contributions"][0]["proof_bytes"].as_f64().unwrap();
    assert!((foretold["proof_bytes"].as_f64().unwrap() / size - 1.0).abs() < 0.02, "{foretold} {size}");
    if let Some(peak) = trained["peak_memory_bytes"].as_u64() {
        let bound = foretold["memory_bytes"].as_u64().unwrap();
        assert!(peak <= bound && bound <= 4 * peak, "{bound} for {peak}");
    }
}
