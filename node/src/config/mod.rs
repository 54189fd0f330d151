//! The configuration of a node: defaults, then `node.toml`, then `WEIGHTPROOF_…` variables, then flags.
//!
//! Every value keeps where it came from, for `weightproof config show`, and everything that is wrong is reported at
//! once. [`keys`] lists the keys, `layers` puts the sources over each other, this file gives the result its types and
//! checks what only the whole can tell.
//!
//! ```toml
//! spaces = ["digits.toml"]
//!
//! [node]
//! origin = "weightproof.example/log"
//! listen = "0.0.0.0:7443"
//!
//! [genesis]
//! allocations = { "8f1c…64 hexadecimal digits" = 1000000 }
//! ```
pub mod keys;
mod layers;

use crate::observe::logs;
use crate::transport::certificate::is_name;
use crate::transport::limits::Limits;
use layers::Layers;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use layers::{Origin, Problem};

/// Where a configuration comes from; a caller gives what there is.
#[derive(Debug, Default)]
pub struct Sources {
    /// The file of `--config`.
    pub file: Option<PathBuf>,
    /// The process's environment (`std::env::vars_os`, with what is not UTF-8 left out). Only names such as
    /// `WEIGHTPROOF_NODE__LISTEN`, with a double underscore between section and key, are looked at.
    pub environment: Vec<(String, String)>,
    /// Keys and values of flags, such as `("node.listen", "0.0.0.0:7443")`.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The file and this process's environment, without flags.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { file, environment, flags: Vec::new() }
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(formatter, "the configuration has {count} problem{}", if count == 1 { "" } else { "s" })?;
        self.problems.iter().try_for_each(|problem| write!(formatter, "\n  {problem}"))
    }
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// `[node]`.
    pub node: NodeSection,
    /// `[tls]`.
    pub tls: TlsSection,
    /// `[limits]`.
    pub limits: Limits,
    /// `[log]`.
    pub log: LogSection,
    /// Tokens at the beginning, by account; their sum is a `u64`. Read at the first start alone.
    pub genesis: BTreeMap<[u8; 32], u64>,
    /// The files that describe the spaces served.
    pub spaces: Vec<PathBuf>,
    entries: Vec<Entry>,
}

/// `[node]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSection {
    /// First line of the log's checkpoints.
    pub origin: String,
    /// Folder of the store, the log's key and the made certificate.
    pub data: PathBuf,
    /// Address of gRPC.
    pub listen: SocketAddr,
    /// Address of the metrics.
    pub metrics: SocketAddr,
    /// The account that may change policies, if any.
    pub operator: Option<[u8; 32]>,
}

/// `[tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSection {
    /// The operator's own certificate and key; a pair in the data folder is made if absent.
    pub files: Option<(PathBuf, PathBuf)>,
    /// The authorities of client certificates.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is refused.
    pub require_client: bool,
    /// Further names for the made certificate.
    pub names: Vec<String>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSection {
    /// Text or JSON.
    pub format: logs::Format,
    /// Least level, or directives.
    pub level: String,
    /// Where traces go (OTLP over gRPC); none are made without it.
    pub traces: Option<String>,
}

/// One value, as `config show` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Such as `node.listen`.
    pub key: String,
    /// The value as TOML, empty if there is none.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// The merged values as serde reads them; each has been checked against its kind already.
#[derive(Deserialize)]
struct Raw {
    node: RawNode,
    tls: RawTls,
    limits: Limits,
    log: RawLog,
    genesis: RawGenesis,
    spaces: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct RawNode {
    origin: String,
    data: PathBuf,
    listen: SocketAddr,
    metrics: SocketAddr,
    operator: Option<String>,
}

#[derive(Deserialize)]
struct RawTls {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    require_client: bool,
    names: Vec<String>,
}

#[derive(Deserialize)]
struct RawLog {
    format: logs::Format,
    level: String,
    traces: Option<String>,
}

#[derive(Deserialize)]
struct RawGenesis {
    allocations: BTreeMap<String, u64>,
}

impl NodeConfig {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong: unknown keys, values of the wrong kind and, if all values could
    /// be read, what does not fit together.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let (layers, problems) = Layers::read(sources);
        // What fits together can only be told of values that could be read; the limits' own rules come with the rest.
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        let raw: Raw = layers.table().try_into().map_err(|error: toml::de::Error| ConfigError {
            problems: vec![Problem::whole("values of the documented kinds", error.message())],
        })?;
        let mut lint = Lint { layers: &layers, problems: Vec::new() };
        let config = lint.config(raw);
        let problems = lint.problems;
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }

    /// Every value with its origin, in the order of [`keys::KEYS`].
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The text of `config show`: TOML that could be saved and loaded, each line with its origin.
    pub fn show(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for entry in &self.entries {
            let (of, key) = entry.key.split_once('.').unwrap_or(("", &entry.key));
            if of != section {
                text.push_str(&format!("\n[{of}]\n"));
                section = of;
            }
            let line = if entry.value.is_empty() {
                format!("# {key} is not set")
            } else {
                format!("{key} = {}  # {}", entry.value, entry.origin)
            };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// Checks what only the whole configuration can tell, and gives it its types.
struct Lint<'a> {
    layers: &'a Layers,
    problems: Vec<Problem>,
}

impl Lint<'_> {
    fn config(&mut self, raw: Raw) -> NodeConfig {
        // Port 0 lets the system choose, and it never chooses one twice.
        if raw.node.listen == raw.node.metrics && raw.node.listen.port() != 0 {
            let expected = "another address than node.listen";
            self.problem("node.metrics", expected, &raw.node.metrics.to_string());
        }
        self.origin(&raw.node.origin);
        let data = self.layers.resolve("node.data", &raw.node.data);
        if data.exists() && !data.is_dir() {
            self.problem("node.data", "a folder, or nothing yet", &format!("a file at {}", data.display()));
        }
        let files = match (&raw.tls.certificate, &raw.tls.key) {
            (Some(certificate), Some(key)) => {
                Some((self.file("tls.certificate", certificate), self.file("tls.key", key)))
            }
            (None, None) => None,
            (Some(_), None) => self.half("tls.key", "tls.certificate"),
            (None, Some(_)) => self.half("tls.certificate", "tls.key"),
        };
        let client_ca = raw.tls.client_ca.as_ref().map(|path| self.file("tls.client_ca", path));
        if raw.tls.require_client && client_ca.is_none() {
            self.problem("tls.client_ca", "a file, since tls.require_client is true", "none");
        }
        for name in raw.tls.names.iter().filter(|name| !is_name(name)) {
            self.problem(
                "tls.names",
                "DNS names or IP addresses",
                &format!("\"{}\"", crate::observe::clip(name)),
            );
        }
        if let Err(error) = logs::filter(&raw.log.level) {
            self.problem("log.level", "info, or info,weightproof_node=debug", &error.to_string());
        }
        if let Some(found) = raw.log.traces.as_ref().filter(|url| !url.starts_with("http://")) {
            self.problem(
                "log.traces",
                "a URL that begins with http://",
                &format!("\"{}\"", crate::observe::clip(found)),
            );
        }
        for contradiction in raw.limits.contradictions() {
            let key = format!("limits.{}", contradiction.key);
            self.problem(&key, &contradiction.expected, &contradiction.found);
        }
        let genesis = self.genesis(&raw.genesis.allocations);
        let spaces = raw.spaces.iter().map(|path| self.file("spaces", path)).collect();
        NodeConfig {
            node: NodeSection {
                origin: raw.node.origin,
                data,
                listen: raw.node.listen,
                metrics: raw.node.metrics,
                operator: raw.node.operator.as_deref().and_then(keys::account),
            },
            tls: TlsSection {
                files,
                client_ca,
                require_client: raw.tls.require_client,
                names: raw.tls.names,
            },
            limits: raw.limits,
            log: LogSection { format: raw.log.format, level: raw.log.level, traces: raw.log.traces },
            genesis,
            spaces,
            entries: self.layers.entries(),
        }
    }

    /// A checkpoint's first line may hold neither a plus sign nor white space (C2SP signed notes).
    fn origin(&mut self, origin: &str) {
        let fits = !origin.is_empty()
            && origin.len() <= 200
            && !origin.contains('+')
            && !origin.chars().any(|character| character.is_whitespace() || character.is_control());
        if !fits {
            let expected = "1 to 200 characters without spaces and +, such as weightproof.example/log";
            self.problem("node.origin", expected, &format!("\"{}\"", crate::observe::clip(origin)));
        }
    }

    /// Accounts written twice (in capitals and not) are one account; a sum beyond a `u64` cannot be supplied.
    fn genesis(&mut self, allocations: &BTreeMap<String, u64>) -> BTreeMap<[u8; 32], u64> {
        let mut genesis = BTreeMap::new();
        let mut sum = 0u64;
        for (account, &amount) in allocations {
            let Some(bytes) = keys::account(account) else { continue };
            if weightproof_ledger::signed::usable_key(&bytes).is_err() {
                let expected = "accounts, as `weightproof keys show` prints them (a fingerprint is none)";
                self.problem("genesis.allocations", expected, account);
                continue;
            }
            if genesis.insert(bytes, amount).is_some() {
                self.problem("genesis.allocations", "each account once", &format!("{account} twice"));
            }
            match sum.checked_add(amount) {
                Some(next) => sum = next,
                None => {
                    self.problem("genesis.allocations", "a sum of at most 18446744073709551615", "more");
                    break;
                }
            }
        }
        genesis
    }

    fn half<T>(&mut self, missing: &str, given: &str) -> Option<T> {
        self.problem(missing, &format!("a file, since {given} is given"), "none");
        None
    }

    /// The path as the process sees it; a problem if no file is there.
    fn file(&mut self, key: &str, path: &Path) -> PathBuf {
        let path = self.layers.resolve(key, path);
        if !path.is_file() {
            self.problem(key, "a file that exists", &path.display().to_string());
        }
        path
    }

    fn problem(&mut self, key: &str, expected: &str, found: &str) {
        self.problems.push(Problem {
            key: key.to_owned(),
            origin: self.layers.origin(key),
            expected: expected.to_owned(),
            found: found.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests;
