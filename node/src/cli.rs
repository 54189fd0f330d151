//! The command line.
mod member;

use crate::device::DeviceName;
use crate::exit;
use crate::output::{parse_hex32, parse_size};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

pub use member::*;

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
    /// Check offline, from one file, how a version of a model came to be
    #[command(subcommand)]
    Audit(Audit),
    /// Play a node's log again, from a bundle or from its data folder
    #[command(subcommand)]
    Log(Log),
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
    /// Remember a node, and become a member of a space
    Join(Join),
    /// Commit to a dataset and register the commitment; rows and salts stay here
    Register(Register),
    /// Train, prove and submit for the rounds of a node
    Contribute(Contribute),
    /// Submit a contribution that is made
    Submit(Submit),
    /// Print every verdict of a node: time, owner, round, verdict, ms, reward, reason
    Watch(Watch),
    /// Show a node, its log, and the own account on it
    Status(Status),
    /// List the spaces of a node
    Spaces(Spaces),
    /// Move tokens from the balance to the stake
    Stake(Amount),
    /// Begin to move tokens from the stake to the balance
    Unstake(Amount),
    /// Move tokens to another account
    Transfer(Transfer),
    /// Show the tokens of an account
    Balance(Balance),
    /// List the versions of a space's model and what they were made from
    Models(Models),
    /// Download a version of a space's model, checked against the log
    Pull(Pull),
    /// Show, back up, restore, rotate and revoke the key
    Keys(Keys),
    /// Make a space file, for operators
    Space(Space),
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
            Command::Audit(Audit::Verify(arguments)) => arguments.json,
            Command::Log(Log::Replay(arguments) | Log::Verify(arguments)) => arguments.json,
            Command::Audit(Audit::Page(_) | Audit::Export(_) | Audit::Bundle(_)) => false,
            Command::Node(_)
            | Command::Config(_)
            | Command::Doctor(_)
            | Command::Backup(_)
            | Command::Revert(_) => false,
            Command::Join(arguments) => arguments.json,
            Command::Register(arguments) => arguments.json,
            Command::Contribute(arguments) => arguments.json,
            Command::Submit(arguments) => arguments.json,
            Command::Watch(arguments) => arguments.json,
            Command::Status(arguments) => arguments.json,
            Command::Spaces(arguments) => arguments.json,
            Command::Stake(arguments) | Command::Unstake(arguments) => arguments.json,
            Command::Transfer(arguments) => arguments.json,
            Command::Balance(arguments) => arguments.json,
            Command::Models(arguments) => arguments.json,
            Command::Pull(arguments) => arguments.json,
            Command::Keys(arguments) => matches!(arguments.action, KeysAction::Show { json: true }),
            Command::Space(_) => false,
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
    /// Where to train and prove: the first GPU or the CPU (auto), cpu, or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: DeviceName,
    /// Refuse before starting if the estimate is larger, e.g. 8GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub memory_limit: Option<u64>,
    /// Train on the model of a joined node's round, on all rows, and submit one contribution
    #[arg(long, conflicts_with_all = ["model", "from", "beacon", "contributions", "out", "seed"])]
    pub submit: bool,
    /// With --submit: the joined node [default: the only one]
    #[arg(long, value_name = "NAME", requires = "submit")]
    pub node: Option<String>,
    /// With --submit: the space [default: the one that was joined last]
    #[arg(long, value_name = "NAME", requires = "submit")]
    pub space: Option<String>,
    /// With --submit: read the passphrase from this file's first line (else WEIGHTPROOF_PASSPHRASE, else the terminal)
    #[arg(long, value_name = "FILE", requires = "submit")]
    pub passphrase_file: Option<PathBuf>,
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
    let (key, value) = text.split_once('=').ok_or_else(|| format!("expected KEY=VALUE, found `{text}`"))?;
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

/// The ways of auditing.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Verify every signature, proof, model and reward again
    Verify(AuditVerify),
    /// Verify, and write what was found as one HTML file
    Page(AuditPage),
    /// Verify, and write evidence for other tools
    Export(AuditExport),
    /// Make a bundle from a node's data folder, which is only read
    Bundle(AuditBundle),
}

/// Arguments of `audit verify`.
#[derive(Debug, Args)]
pub struct AuditVerify {
    /// The bundle
    #[arg(value_name = "FILE.wpbundle")]
    pub file: PathBuf,
    /// The node's public key, from elsewhere: 64 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = parse_hex32)]
    pub key: Option<[u8; 32]>,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `audit page`.
#[derive(Debug, Args)]
pub struct AuditPage {
    /// The bundle
    #[arg(value_name = "FILE.wpbundle")]
    pub file: PathBuf,
    /// The node's public key, from elsewhere: 64 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = parse_hex32)]
    pub key: Option<[u8; 32]>,
    /// The HTML file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// A format of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum ExportFormat {
    /// An in-toto statement, version 1
    InToto,
    /// A model card in Markdown
    ModelCard,
    /// A CycloneDX 1.6 bill of materials
    Cyclonedx,
}

/// Arguments of `audit export`.
#[derive(Debug, Args)]
pub struct AuditExport {
    /// The bundle
    #[arg(value_name = "FILE.wpbundle")]
    pub file: PathBuf,
    /// The node's public key, from elsewhere: 64 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = parse_hex32)]
    pub key: Option<[u8; 32]>,
    /// Which evidence, separated by commas
    #[arg(long = "as", value_name = "FORMATS", value_enum, value_delimiter = ',', required = true)]
    pub formats: Vec<ExportFormat>,
    /// The directory to write into
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Arguments of `audit bundle`.
#[derive(Debug, Args)]
pub struct AuditBundle {
    /// The node's data folder
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The space's name
    #[arg(long, value_name = "NAME")]
    pub space: String,
    /// The version [default: the present one]
    #[arg(long, value_name = "N")]
    pub version: Option<u64>,
    /// The bundle to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// What to do with a log.
#[derive(Debug, Subcommand)]
pub enum Log {
    /// Show balances, models and tokens that follow from the log
    Replay(LogSource),
    /// Say only whether the log holds and is the signed one
    Verify(LogSource),
}

/// Arguments of `log replay` and `log verify`.
#[derive(Debug, Args)]
pub struct LogSource {
    /// A bundle, or a node's data folder
    #[arg(value_name = "FILE|DIR")]
    pub path: PathBuf,
    /// The node's public key, from elsewhere: 64 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = parse_hex32)]
    pub key: Option<[u8; 32]>,
    /// A checkpoint that was kept earlier: the log must continue it
    #[arg(long, value_name = "CHECKPOINT")]
    pub since: Option<PathBuf>,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}
