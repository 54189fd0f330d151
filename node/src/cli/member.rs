//! Arguments of the commands that talk to a node.
use super::SealName;
use crate::device::DeviceName;
use crate::output::{parse_hex32, parse_size};
use crate::transport::certificate::Fingerprint;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Which joined node.
#[derive(Clone, Debug, Default, Args)]
pub struct AtNode {
    /// The joined node, as `join` named it [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
}

/// Which space of it.
#[derive(Clone, Debug, Default, Args)]
pub struct InSpace {
    /// The space, by name or identity [default: the one that was joined last]
    #[arg(long, value_name = "NAME")]
    pub space: Option<String>,
}

/// Where the key's passphrase is.
#[derive(Clone, Debug, Default, Args)]
pub struct Unlock {
    /// Read the passphrase from this file's first line (else WEIGHTPROOF_PASSPHRASE, else the terminal)
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// Arguments of `join`.
#[derive(Debug, Args)]
pub struct Join {
    /// The node's address; the port is 7443 when left out
    #[arg(value_name = "HOST:PORT")]
    pub address: String,
    /// The space to become a member of; left out: the node is only remembered, to watch and pull from
    #[arg(long, value_name = "NAME")]
    pub space: Option<String>,
    /// The certificate's fingerprint, as the operator published it
    #[arg(long, value_name = "sha256:HEX", conflicts_with = "ca")]
    pub pin: Option<Fingerprint>,
    /// Trust certificates of this authority instead of one certificate
    #[arg(long, value_name = "CA.pem")]
    pub ca: Option<PathBuf>,
    /// The name that the authority's certificate must carry [default: the host]
    #[arg(long, value_name = "NAME", requires = "ca")]
    pub domain: Option<String>,
    /// A certificate of one's own, where the node asks for one
    #[arg(long, value_name = "CERT.pem", requires = "client_key")]
    pub client_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "KEY.pem", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
    /// Tokens to stake [default: as many as the space asks for]
    #[arg(long, value_name = "N", requires = "space")]
    pub stake: Option<u64>,
    /// What this machine calls the node [default: its host]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The key's passphrase.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `register`.
#[derive(Debug, Args)]
pub struct Register {
    /// CSV file with the space's columns
    pub data: PathBuf,
    /// The label column, if the file calls it otherwise than the space
    #[arg(long, value_name = "COL")]
    pub label: Option<String>,
    /// Node.
    #[command(flatten)]
    pub at: AtNode,
    /// Space.
    #[command(flatten)]
    pub space: InSpace,
    /// The key's passphrase.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `contribute`.
#[derive(Debug, Args)]
pub struct Contribute {
    /// CSV file with the space's columns
    pub data: PathBuf,
    /// The label column, if the file calls it otherwise than the space
    #[arg(long, value_name = "COL")]
    pub label: Option<String>,
    /// Go on with every round, waiting for the node when it is away; else one contribution
    #[arg(long)]
    pub every_round: bool,
    /// Stop after this many accepted contributions
    #[arg(long, value_name = "N", requires = "every_round", value_parser = clap::value_parser!(u64).range(1..))]
    pub rounds: Option<u64>,
    /// What makes each proof zero-knowledge
    #[arg(long, value_enum, default_value_t)]
    pub seal: SealName,
    /// Where to train and prove: the first GPU or the CPU (auto), cpu, or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub device: DeviceName,
    /// Refuse before starting if the estimate is larger, e.g. 8GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub memory_limit: Option<u64>,
    /// Account to reward [default: the own one]
    #[arg(long, value_name = "HEX", value_parser = parse_hex32)]
    pub payout: Option<[u8; 32]>,
    /// Node.
    #[command(flatten)]
    pub at: AtNode,
    /// Space.
    #[command(flatten)]
    pub space: InSpace,
    /// The key's passphrase.
    #[command(flatten)]
    pub unlock: Unlock,
    /// End with one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `submit`.
#[derive(Debug, Args)]
pub struct Submit {
    /// A contribution made for a round of the node
    #[arg(value_name = "PROOF")]
    pub file: PathBuf,
    /// Node.
    #[command(flatten)]
    pub at: AtNode,
    /// The key's passphrase.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub struct Watch {
    /// Node.
    #[command(flatten)]
    pub at: AtNode,
    /// Only this space [default: all]
    #[arg(long, value_name = "NAME")]
    pub space: Option<String>,
    /// Print one JSON object a verdict, each on its own line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Node.
    #[command(flatten)]
    pub at: AtNode,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `spaces`.
#[derive(Debug, Args)]
pub struct Spaces {
    /// A node that was not joined; its certificate is trusted for this once
    #[arg(value_name = "HOST:PORT", conflicts_with = "node")]
    pub address: Option<String>,
    /// Node.
    #[command(flatten)]
    pub at: AtNode,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `stake` and `unstake`.
#[derive(Debug, Args)]
pub struct Amount {
    /// Tokens
    #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub amount: u64,
    /// Node.
    #[command(flatten)]
    pub at: AtNode,
    /// Space.
    #[command(flatten)]
    pub space: InSpace,
    /// The key's passphrase.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `transfer`.
#[derive(Debug, Args)]
pub struct Transfer {
    /// The account that gets them, 64 hexadecimal digits
    #[arg(value_name = "ACCOUNT", value_parser = parse_hex32)]
    pub to: [u8; 32],
    /// Tokens
    #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub amount: u64,
    /// Node.
    #[command(flatten)]
    pub at: AtNode,
    /// The key's passphrase.
    #[command(flatten)]
    pub unlock: Unlock,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `balance`.
#[derive(Debug, Args)]
pub struct Balance {
    /// Another account, 64 hexadecimal digits [default: the own one]
    #[arg(value_name = "ACCOUNT", value_parser = parse_hex32)]
    pub account: Option<[u8; 32]>,
    /// Also list what moved its tokens, newest first
    #[arg(long)]
    pub history: bool,
    /// How many movements to list
    #[arg(long, value_name = "N", default_value_t = 100, requires = "history", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
    /// Node.
    #[command(flatten)]
    pub at: AtNode,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `models`.
#[derive(Debug, Args)]
pub struct Models {
    /// Only what this version was made from, back to the first
    #[arg(long, value_name = "N")]
    pub version: Option<u64>,
    /// Node.
    #[command(flatten)]
    pub at: AtNode,
    /// Space.
    #[command(flatten)]
    pub space: InSpace,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `pull`.
#[derive(Debug, Args)]
pub struct Pull {
    /// A version of the model [default: the present one]
    #[arg(long, value_name = "N")]
    pub version: Option<u64>,
    /// The file to write [default: SPACE-vN.safetensors, or SPACE-vN.wpbundle]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The model with everything that proves it, for `audit verify`
    #[arg(long)]
    pub bundle: bool,
    /// Node.
    #[command(flatten)]
    pub at: AtNode,
    /// Space.
    #[command(flatten)]
    pub space: InSpace,
    /// Print one JSON envelope on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `keys`.
#[derive(Debug, Args)]
pub struct Keys {
    /// What to do.
    #[command(subcommand)]
    pub action: KeysAction,
}

/// What `keys` does.
#[derive(Debug, Subcommand)]
pub enum KeysAction {
    /// Show account, key and fingerprint; needs no passphrase
    Show {
        /// Print one JSON envelope on standard output
        #[arg(long)]
        json: bool,
    },
    /// Write keys, joined nodes, and the salts of registered datasets to one encrypted file
    Backup {
        /// The file to write
        file: PathBuf,
        /// Read the backup's own passphrase from this file's first line (else WEIGHTPROOF_PASSPHRASE, else the terminal)
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Bring back what a backup holds; nothing is overwritten
    Restore {
        /// A file of `keys backup`
        file: PathBuf,
        /// Read the backup's own passphrase from this file's first line (else WEIGHTPROOF_PASSPHRASE, else the terminal)
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Sign with a new key from now on; the account stays. Run again after an interrupt
    Rotate {
        /// Tell this node alone; the others go on with the old key [default: all joined nodes]
        #[arg(long, value_name = "NAME")]
        node: Option<String>,
        /// The key's passphrase, which the new key gets too.
        #[command(flatten)]
        unlock: Unlock,
    },
    /// End the account's right to sign on a node, for ever: for a stolen key
    Revoke {
        /// The node
        #[arg(long, value_name = "NAME")]
        node: String,
        /// Yes, for ever
        #[arg(long, required = true)]
        yes: bool,
        /// The key's passphrase.
        #[command(flatten)]
        unlock: Unlock,
    },
}

/// Arguments of `space`.
#[derive(Debug, Args)]
pub struct Space {
    /// What to do.
    #[command(subcommand)]
    pub action: SpaceAction,
}

/// What `space` does.
#[derive(Debug, Subcommand)]
pub enum SpaceAction {
    /// Write a space file for a node's configuration, with columns learned from a sample
    Init(SpaceInit),
}

/// Rules that a space file begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PolicyName {
    /// No tokens: contributions are verified, applied and logged
    #[default]
    Open,
    /// Stakes and rewards, with moderate figures to adapt
    Tokens,
}

/// Arguments of `space init`.
#[derive(Debug, Args)]
pub struct SpaceInit {
    /// CSV file like the members' data: a sample that may be public
    pub data: PathBuf,
    /// The column to predict
    #[arg(long, value_name = "COL")]
    pub label: String,
    /// The space's name
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// The training program; a small network that suits the data when left out
    #[arg(long, value_name = "PROGRAM.toml")]
    pub model: Option<PathBuf>,
    /// The rules to begin with
    #[arg(long, value_enum, default_value_t)]
    pub policy: PolicyName,
    /// Chooses the initial weights, 64 hexadecimal digits; drawn here when left out
    #[arg(long, value_name = "HEX", value_parser = parse_hex32)]
    pub seed: Option<[u8; 32]>,
    /// Labelled rows that the operator keeps: contributions are measured on them, and the space names their digest
    #[arg(long, value_name = "FILE")]
    pub validation: Option<PathBuf>,
    /// The file to write [default: NAME.space.toml]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use crate::cli::{Arguments, Command};
    use clap::{CommandFactory, Parser};

    fn parsed(line: &str) -> Result<Command, clap::Error> {
        Arguments::try_parse_from(line.split(' ')).map(|arguments| arguments.command)
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_people_type_is_understood() {
        let good = [
            "weightproof join verifier.example:7443 --space sepsis",
            "weightproof train patients.csv --label outcome --submit",
            "weightproof contribute patients.csv --every-round --rounds 3 --passphrase-file p",
            "weightproof watch",
            "weightproof spaces verifier.example",
            "weightproof balance --history --limit 5",
            "weightproof keys rotate --node a",
            "weightproof keys revoke --node a --yes",
            "weightproof space init patients.csv --label outcome --name sepsis --policy tokens",
        ];
        for line in good {
            assert!(parsed(line).is_ok(), "{line}: {:?}", parsed(line));
        }
        let bad = [
            // What only a local run has.
            "weightproof train patients.csv --label outcome --submit --seed 1",
            "weightproof train patients.csv --label outcome --node a",
            "weightproof contribute patients.csv --rounds 3",
            "weightproof join a --pin sha256:00",
            "weightproof join a --domain b",
            "weightproof keys revoke --node a",
            "weightproof stake 0",
            "weightproof transfer abc 5",
        ];
        for line in bad {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
