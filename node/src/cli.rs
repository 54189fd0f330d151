//! The command line.
use crate::exit;
use crate::output::{parse_hex32, parse_size};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Trains a model on data that stays here, and proves in zero knowledge that the update came from it.
#[derive(Debug, Parser)]
#[command(name = "weightproof", version, after_help = exit::TABLE)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a signing key, encrypted at rest, and print its fingerprint
    Init(Init),
    /// Train, prove and verify, all on this machine; run again to go on after an interrupt
    Train(Train),
    /// Verify contributions offline, as a chain from a base model
    Verify(Verify),
    /// Show what a contribution or model file holds, and what is proved, signed and not shown
    Inspect(Inspect),
    /// Estimate memory, time and proof size of a program
    Estimate(Estimate),
    /// Write a model as plain float32 safetensors for PyTorch and candle
    Export(Export),
    /// Predict rows of raw data with a model
    Predict(Predict),
    /// Measure a model on labelled raw data
    Evaluate(Evaluate),
    /// Run a node: verify contributions, apply them, reward them
    Node(Node),
    /// Show a node's configuration, each value with where it comes from
    Config(Config),
    /// Look for what would keep a node from running well
    Doctor(NodeSource),
    /// Copy a node's data folder while the node runs
    Backup(Backup),
    /// Take a space's model back to an earlier version, as a new version; the node must not run
    Revert(Revert),
    /// Print a completion script for a shell
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

impl Command {
    /// Whether `--json` was given.
    pub fn json(&self) -> bool {
        match self {
            Command::Train(arguments) => arguments.json,
            Command::Verify(arguments) => arguments.json,
            Command::Inspect(arguments) => arguments.json,
            Command::Estimate(arguments) => arguments.json,
            Command::Predict(arguments) => arguments.json,
            Command::Evaluate(arguments) => arguments.json,
            Command::Node(_) | Command::Config(_) | Command::Doctor(_) | Command::Backup(_) | Command::Revert(_) => false,
            Command::Init(_) | Command::Export(_) | Command::Completions { .. } | Command::Man => false,
        }
    }
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Read the passphrase from this file's first line (else WEIGHTPROOF_PASSPHRASE, else the terminal)
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// Contributions of a run when `--contributions` is left out: with the default program, enough for the data in `data/`.
pub const DEFAULT_CONTRIBUTIONS: u32 = 4;

/// What makes a proof zero-knowledge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SealName {
    /// Fast to make
    #[default]
    Sigma,
    /// Compact: a few KiB instead of tens, some seconds more to make
    Halo2,
}

impl SealName {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            SealName::Sigma => "sigma",
            SealName::Halo2 => "halo2",
        }
    }
}

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct Train {
    /// CSV file with a header line
    pub data: PathBuf,
    /// The column to predict
    #[arg(long, value_name = "COL")]
    pub label: String,
    /// The training program; a small network that suits the data when left out
    #[arg(long, value_name = "PROGRAM.toml")]
    pub model: Option<PathBuf>,
    /// How many contributions the run has in the end
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONTRIBUTIONS, value_parser = clap::value_parser!(u32).range(1..=9999))]
    pub contributions: u32,
    /// Go on from this model instead of random weights
    #[arg(long, value_name = "MODEL")]
    pub from: Option<PathBuf>,
    /// Where contributions, models and secrets are written
    #[arg(long, value_name = "DIR", default_value = "weightproof-run")]
    pub out: PathBuf,
    /// Chooses the held-out rows and the initial weights
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Public randomness that chooses the batches, 64 hexadecimal digits; drawn here when left out
    #[arg(long, value_name = "HEX", value_parser = parse_hex32)]
    pub beacon: Option<[u8; 32]>,
    /// What makes each proof zero-knowledge; a chain may mix them
    #[arg(long, value_enum, default_value_t)]
    pub seal: SealName,
    /// Refuse before starting if the estimate is larger, e.g. 8GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub memory_limit: Option<u64>,
    /// End with one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Contribution files, in order
    #[arg(required = true, value_name = "PROOF")]
    pub proofs: Vec<PathBuf>,
    /// The model that the first contribution starts from
    #[arg(long, value_name = "MODEL")]
    pub base: PathBuf,
    /// Print one JSON array on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A contribution (.wpf) or a model (.safetensors)
    pub file: PathBuf,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `estimate`.
#[derive(Debug, Args)]
pub struct Estimate {
    /// CSV file, to count rows and to suit the default program to; or give --model and --rows
    #[arg(requires = "label", required_unless_present = "rows")]
    pub data: Option<PathBuf>,
    /// The column to predict
    #[arg(long, value_name = "COL", requires = "data")]
    pub label: Option<String>,
    /// The training program
    #[arg(long, value_name = "PROGRAM.toml")]
    pub model: Option<PathBuf>,
    /// Rows of the data set, when there is no file to count them in
    #[arg(long, value_name = "N", conflicts_with = "data", requires = "model", value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    pub rows: Option<u64>,
    /// The seal that the contribution is to have
    #[arg(long, value_enum, default_value_t)]
    pub seal: SealName,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The model to convert to float32
    #[arg(long = "float", value_name = "MODEL", required = true)]
    pub model: PathBuf,
    /// The file to write [default: MODEL with -float before its ending]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub struct Predict {
    /// A model of `train`
    pub model: PathBuf,
    /// CSV file with the model's columns, raw
    pub data: PathBuf,
    /// Print one JSON envelope instead of CSV on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
pub struct Evaluate {
    /// A model of `train`
    pub model: PathBuf,
    /// CSV file with the model's columns, raw, and the label
    pub data: PathBuf,
    /// The column with the truth
    #[arg(long, value_name = "COL")]
    pub label: String,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Where a node's configuration comes from: defaults, then the file, then `WEIGHTPROOF_…` variables, then flags.
#[derive(Debug, Args)]
pub struct NodeSource {
    /// The configuration file, TOML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data folder [node.data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Address to serve on [node.listen]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Address of the metrics [node.metrics]
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<String>,
    /// Any other key, such as --set limits.max_connections=500; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub set: Vec<(String, String)>,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| format!("expected KEY=VALUE, found `{text}`"))?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Arguments of `node`.
#[derive(Debug, Args)]
pub struct Node {
    /// Its configuration.
    #[command(flatten)]
    pub source: NodeSource,
}

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct Config {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What `config` does.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every value and its origin, as TOML
    Show(NodeSource),
}

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// The node's data folder
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// A new folder for the copy; a node can be started on it
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Arguments of `revert`.
#[derive(Debug, Args)]
pub struct Revert {
    /// Its configuration.
    #[command(flatten)]
    pub source: NodeSource,
    /// Name of the space
    #[arg(long, value_name = "NAME")]
    pub space: String,
    /// The version to take the model back to
    #[arg(long = "to", value_name = "N")]
    pub version: u64,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}
