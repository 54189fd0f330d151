//! The command as users type it: usage errors, exit codes, refusals. Nothing here proves anything.
// The lint exempts `#[test]` functions alone; the helpers here are as much tests as those.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use weightproof_circuits::parameters::{LayerParameters, Parameters};
use weightproof_circuits::program::Program;
use weightproof_prover::data::{Column, ColumnKind, Label, Schema, Target};
use weightproof_prover::model_file::ModelFile;

/// A place of its own for each test: home, configuration and output.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, &[])
    }

    fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_weightproof"))
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("HOME", self.path("home"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .envs(variables.iter().copied())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    }
}

fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(name).display().to_string()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const PROGRAM: &str = r#"
[model]
layers = [30, 8, 2]
activation = "relu"
loss = "softmax-cross-entropy"
[optimizer]
learning_rate = 0.125
momentum = 0.0
[contribution]
steps = 2
batch = 8
"#;

#[test]
fn help_lists_commands_and_exit_codes() {
    let output = Place::new().run(&["--help"]);
    assert_eq!(code(&output), 0);
    let text = stdout(&output);
    for word in [
        "init",
        "train",
        "verify",
        "inspect",
        "estimate",
        "export",
        "predict",
        "evaluate",
        "Exit codes",
        "130",
    ] {
        assert!(text.contains(word), "{word} is missing in {text}");
    }
}

#[test]
fn usage_errors_exit_with_2() {
    let place = Place::new();
    let breast_cancer = data("breast_cancer.csv");
    let proof = place.write("proof.wpf", "x");
    let proof = proof.to_str().unwrap();
    for arguments in [
        &["fly"][..],
        &["train"],
        &["train", &breast_cancer],
        &["train", &breast_cancer, "--label", "diagnosis", "--beacon", "abc"],
        &["train", &breast_cancer, "--label", "diagnosis", "--contributions", "0"],
        &["train", &breast_cancer, "--label", "diagnosis", "--memory-limit", "much"],
        &["train", &breast_cancer, "--label", "diagnosis", "--from", "missing.safetensors"],
        &["verify", "--base", "m.safetensors"],
        &["verify", proof],
        &["verify", proof, "--base", "missing.safetensors"],
        &["estimate"],
        &["estimate", &breast_cancer],
        &["estimate", "--rows", "10"],
        &["export", "model.safetensors"],
        &["export", "--float", proof],
        &["predict", proof, &breast_cancer],
        &["completions", "tcl"],
    ] {
        let output = place.run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("error"), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn data_errors_exit_with_3_and_name_row_and_column() {
    let place = Place::new();
    let missing = place.write("missing.csv", "a,b,y\n1,2,u\n1,,v\n1,2,u\n1,2,v\n1,2,u\n");
    let output = place.run(&["train", missing.to_str().unwrap(), "--label", "y"]);
    assert_eq!(code(&output), 3);
    let text = stderr(&output);
    assert!(text.contains("error[E002]") && text.contains("row 2 (line 3) column `b`"), "{text}");
    assert!(!place.path("weightproof-run").exists(), "nothing is written before the data is good");

    let ragged = place.write("ragged.csv", "a,y\n1,u\n1\n");
    assert_eq!(code(&place.run(&["train", ragged.to_str().unwrap(), "--label", "y"])), 3);
    assert_eq!(code(&place.run(&["train", "no-such-file.csv", "--label", "y"])), 3);

    let output = place.run(&["train", &data("breast_cancer.csv"), "--label", "diagnose", "--json"]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("`diagnose`"));
    let envelope: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(envelope["error"]["code"], "E002");
    assert_eq!(envelope["error"]["exit"], 3);
}

#[test]
fn program_errors_exit_with_4_and_list_everything() {
    let place = Place::new();
    let text = PROGRAM.replace("relu", "swish").replace("batch = 8", "batch = 0");
    let path = place.write("bad.toml", &text);
    let breast_cancer = data("breast_cancer.csv");
    let train = |program: &Path| {
        place.run(&["train", &breast_cancer, "--label", "diagnosis", "--model", program.to_str().unwrap()])
    };
    let output = train(&path);
    assert_eq!(code(&output), 4);
    let text = stderr(&output);
    assert!(text.contains("error[E003]") && text.contains("activation") && text.contains("batch"), "{text}");

    let narrow = place.write("narrow.toml", &PROGRAM.replace("[30, 8, 2]", "[29, 8, 2]"));
    let output = train(&narrow);
    assert_eq!(code(&output), 4);
    assert!(stderr(&output).contains("30 inputs"), "{}", stderr(&output));
}

#[test]
fn training_past_the_memory_limit_is_refused_before_it_begins() {
    let place = Place::new();
    let output =
        place.run(&["train", &data("digits.csv"), "--label", "digit", "--memory-limit", "1KiB", "--json"]);
    assert_eq!(code(&output), 6);
    let text = stderr(&output);
    assert!(text.contains("error[E005]") && text.contains("1.0 KiB"), "{text}");
    // What is known before the refusal is told.
    for topic in ["data ", "model ", "estimate "] {
        assert!(text.lines().any(|line| line.starts_with(topic)), "{topic} is missing in {text}");
    }
    assert!(text.contains("1797 rows x 64 columns"), "{text}");
    let envelope: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(envelope["error"]["exit"], 6);
    assert!(!place.path("weightproof-run").exists());
}

#[test]
fn estimates_come_as_a_line_and_as_an_envelope() {
    let place = Place::new();
    let program = place.write("program.toml", PROGRAM);
    let program = program.to_str().unwrap();
    let output = place.run(&["estimate", "--model", program, "--rows", "456", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let by_rows: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(by_rows["memory_bytes"].as_u64().unwrap() > 0);
    assert!(by_rows["proof_bytes"].as_u64().unwrap() > 0);
    assert_eq!(by_rows["program_digest"].as_str().unwrap().len(), 64);
    // 569 rows leave 456 to train on: the same estimate as from the file.
    let output = place.run(&[
        "estimate",
        &data("breast_cancer.csv"),
        "--label",
        "diagnosis",
        "--model",
        program,
        "--json",
    ]);
    let by_file: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(by_file["rows"], 456);
    assert_eq!(by_file["memory_bytes"], by_rows["memory_bytes"]);
    let output = place.run(&["estimate", "--model", program, "--rows", "456"]);
    assert!(stdout(&output).contains("estimate  2 steps x 8 rows: "), "{}", stdout(&output));
    assert!(stdout(&output).contains("mlp 30-8-2, 266 weights"), "{}", stdout(&output));
}

#[test]
fn keys_are_encrypted_private_and_never_overwritten() {
    let place = Place::new();
    let output = place.run(&["init"]);
    assert_eq!(code(&output), 2, "no terminal and no passphrase: {}", stderr(&output));
    let output = place.run_with(&["init"], &[("WEIGHTPROOF_PASSPHRASE", "")]);
    assert_eq!(code(&output), 2);
    let output = place.run_with(&["init"], &[("WEIGHTPROOF_PASSPHRASE", "correct horse")]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("SHA256:"));
    let secret = place.path("home/.config/weightproof/key.age");
    let bytes = std::fs::read(&secret).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let file = place.write("passphrase", "another\n");
    let output = place.run(&["init", "--passphrase-file", file.to_str().unwrap()]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("error[E009]"));
    assert_eq!(std::fs::read(&secret).unwrap(), bytes);
}

#[test]
fn what_is_no_contribution_is_refused_by_inspect() {
    let place = Place::new();
    let noise = place.write("noise.wpf", "not a contribution");
    let output = place.run(&["inspect", noise.to_str().unwrap()]);
    assert_eq!(code(&output), 10);
    assert!(stdout(&output).contains("[E1"), "{}", stdout(&output));
    assert_eq!(code(&place.run(&["inspect", "missing.wpf"])), 1);
}

#[test]
fn completions_and_manual_are_generated() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let output = place.run(&["completions", shell]);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("memory-limit"));
    }
    let output = place.run(&["man"]);
    assert!(stdout(&output).contains(".TH") && stdout(&output).contains("memory\\-limit"));
}

/// A linear model by hand: with `z = (x − 10)/2`, the outputs are `[z, −z]`, so class `yes` wins above 10.
fn linear_model(place: &Place) -> String {
    let program = Program::parse(&PROGRAM.replace("[30, 8, 2]", "[1, 2]")).unwrap();
    let one = 1i64 << program.weight_bits();
    let layer = LayerParameters { inputs: 1, outputs: 2, weights: vec![one, -one], biases: vec![0, 0] };
    let schema = Schema {
        columns: vec![Column {
            name: "x".to_owned(),
            kind: ColumnKind::Numeric { mean: 10.0, deviation: 2.0 },
        }],
        label: Label {
            name: "answer".to_owned(),
            target: Target::Classes { classes: vec!["yes".to_owned(), "no, never".to_owned()] },
        },
        activation_bits: program.activation_bits(),
    };
    let parameters = Parameters { layers: vec![layer] };
    let path = place.path("model-0007.safetensors");
    ModelFile { parameters, program, model_version: 7, schema }.write(&path).unwrap();
    path.display().to_string()
}

#[test]
fn raw_columns_are_standardised_by_the_model_itself() {
    let place = Place::new();
    let model = linear_model(&place);
    let rows = place.write("rows.csv", "x\n12\n8\n10\n");
    let output = place.run(&["predict", &model, rows.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    // Logits ±1: 1/(1 + e^−2) = 0.8808. A tie goes to the first class.
    let expected = "row,prediction,probability\n1,yes,0.8808\n2,\"no, never\",0.8808\n3,yes,0.5000\n";
    assert_eq!(stdout(&output), expected);
    let output = place.run(&["predict", &model, rows.to_str().unwrap(), "--json"]);
    let envelope: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(envelope[1]["prediction"], "no, never");

    let labelled = place.write("labelled.csv", "truth,x\nyes,12\nyes,8\n\"no, never\",9\nyes,11\n");
    let arguments = ["evaluate", &model, labelled.to_str().unwrap(), "--label", "truth", "--json"];
    let output = place.run(&arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let envelope: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(envelope, serde_json::json!({ "rows": 4, "correct": 3, "accuracy": 0.75 }));
    assert!(stderr(&output).contains("accuracy 0.7500 (3 of 4 rows)"));

    let other = place.write("other.csv", "y\n1\n");
    let output = place.run(&["predict", &model, other.to_str().unwrap()]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("missing in the data: x"), "{}", stderr(&output));
    // z = 2^15/2^8 = 128 saturates at 32767: minus it still fits, so the model answers; the data is at its edge.
    let far = place.write("far.csv", "x\n1e9\n");
    assert_eq!(code(&place.run(&["predict", &model, far.to_str().unwrap()])), 0);
}

#[test]
fn a_model_is_shown_and_exported() {
    let place = Place::new();
    let model = linear_model(&place);
    let output = place.run(&["inspect", &model, "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let envelope: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&envelope["kind"], &envelope["model_version"]), (&"model".into(), &7.into()));
    assert!(stderr(&output).contains("classes yes, no, never"));

    let output = place.run(&["export", "--float", &model]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let bytes = std::fs::read(place.path("model-0007-float.safetensors")).unwrap();
    // The data is at the end: weight [out, in] = [1, −1], bias [0, 0], in the order they were written.
    let floats: Vec<f32> = bytes[bytes.len() - 16..]
        .chunks(4)
        .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
        .collect();
    assert_eq!(floats, [1.0, -1.0, 0.0, 0.0]);
    let output = place.run(&["export", "--float", &model, "--out", &model]);
    assert_eq!(code(&output), 2);
}

#[test]
fn noise_is_an_invalid_proof_and_json_says_so() {
    let place = Place::new();
    let model = linear_model(&place);
    let noise = place.write("noise.wpf", "not a contribution");
    let noise = noise.to_str().unwrap();
    let output = place.run(&["verify", noise, noise, "--base", &model, "--json"]);
    assert_eq!(code(&output), 10, "{}", stderr(&output));
    let envelope: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(envelope.as_array().unwrap().len(), 2);
    assert_eq!((&envelope[0]["verdict"], &envelope[0]["file"]), (&"invalid".into(), &noise.into()));
    assert!(envelope[0]["code"].as_str().unwrap().starts_with("E1"));
    assert!(envelope[0]["statement"].is_null());
}

#[test]
fn a_model_goes_on_only_under_a_program_that_reads_its_integers() {
    let place = Place::new();
    let model = linear_model(&place);
    let rows = place.write("rows.csv", "x,answer\n1,yes\n2,yes\n3,yes\n4,yes\n5,yes\n6,yes\n");
    let program = place.write("program.toml", &PROGRAM.replace("[30, 8, 2]", "[1, 3, 2]"));
    let arguments = ["train", rows.to_str().unwrap(), "--label", "answer", "--from", &model, "--model"];
    let output = place.run(&[&arguments[..], &[program.to_str().unwrap()]].concat());
    assert_eq!(code(&output), 4);
    assert!(stderr(&output).contains("model's layers [1, 2]"), "{}", stderr(&output));
}

#[test]
fn the_example_programs_are_valid_and_two_are_the_defaults() {
    let place = Place::new();
    let digest = |arguments: &[&str]| {
        let output = place.run(&[&["estimate", "--json"], arguments].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        serde_json::from_str::<serde_json::Value>(&stdout(&output)).unwrap()["program_digest"].clone()
    };
    let example = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name).display().to_string()
    };
    for name in ["bench-a.toml", "bench-b.toml", "bench-c.toml", "bench-d.toml", "regression.toml"] {
        digest(&["--model", &example(name), "--rows", "2048"]);
    }
    for (file, label, name) in
        [("breast_cancer.csv", "diagnosis", "breast-cancer.toml"), ("digits.csv", "digit", "digits.toml")]
    {
        assert_eq!(
            digest(&[&data(file), "--label", label]),
            digest(&["--model", &example(name), "--rows", "1000"])
        );
    }
}
