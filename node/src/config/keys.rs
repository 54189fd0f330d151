//! Every key of the configuration: its kind, its default and its meaning, in the order in which they are shown.
use crate::transport::units::{parse_duration, parse_size};
use toml::Value;

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `address:port`.
    Address,
    /// An account: 64 hexadecimal digits.
    Account,
    /// A path; relative ones start at the folder of the file that names them.
    Path,
    /// `true` or `false`.
    Flag,
    /// A whole number, not negative.
    Number,
    /// A whole number and a unit of time.
    Duration,
    /// A whole number and a unit of size.
    Size,
    /// A list of texts or paths.
    List,
    /// Amounts by account.
    Allocations,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Such as `node.listen`.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// Its default as TOML; empty for a value that may be absent, `limits` for one of `Limits::default`.
    pub default: &'static str,
    /// Its meaning.
    pub help: &'static str,
}

const fn key(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
    Key { name, kind, default, help }
}

/// Marks a default that stands in `Limits::default`, its one place.
pub const OF_LIMITS: &str = "limits";

const fn limit(name: &'static str, kind: Kind, help: &'static str) -> Key {
    key(name, kind, OF_LIMITS, help)
}

/// All of them.
pub const KEYS: &[Key] = &[
    key("spaces", Kind::List, "[]", "files that describe the spaces served"),
    key(
        "node.origin",
        Kind::Text,
        "\"weightproof.node/log\"",
        "first line of the log's checkpoints; your domain",
    ),
    key(
        "node.data",
        Kind::Path,
        "\"weightproof-data\"",
        "folder of the store, the log's key and the certificate",
    ),
    key("node.listen", Kind::Address, "\"0.0.0.0:7443\"", "address of gRPC"),
    key(
        "node.metrics",
        Kind::Address,
        "\"127.0.0.1:9443\"",
        "address of the metrics; keep it from the public",
    ),
    key("node.operator", Kind::Account, "", "account that may change policies"),
    key("tls.certificate", Kind::Path, "", "own certificate and chain, PEM; one is made if absent"),
    key("tls.key", Kind::Path, "", "key of the own certificate, PEM"),
    key("tls.client_ca", Kind::Path, "", "authorities of client certificates, PEM"),
    key("tls.require_client", Kind::Flag, "false", "refuse clients without a certificate of client_ca"),
    key("tls.names", Kind::List, "[]", "further names in the certificate that is made"),
    key("log.format", Kind::Word(&["text", "json"]), "\"text\"", "form of log lines"),
    key("log.level", Kind::Text, "\"info\"", "least level of log lines, or directives"),
    key(
        "log.traces",
        Kind::Text,
        "",
        "OpenTelemetry collector that gets traces, such as http://127.0.0.1:4317",
    ),
    limit("limits.max_connections", Kind::Number, "connections in total"),
    limit("limits.max_connections_per_peer", Kind::Number, "connections from one address (IPv6: /64)"),
    limit("limits.max_handshakes", Kind::Number, "TLS handshakes at once; an eighth for one peer"),
    limit("limits.handshake_timeout", Kind::Duration, "time for a handshake"),
    limit("limits.idle_timeout", Kind::Duration, "silence after which a connection is closed"),
    limit("limits.minimum_read_rate", Kind::Number, "bytes a second on average over a minute; 0: no rule"),
    limit("limits.request_deadline", Kind::Duration, "time until an answer begins"),
    limit("limits.upload_deadline", Kind::Duration, "time for an upload"),
    limit("limits.max_streams", Kind::Number, "requests at once on a connection"),
    limit("limits.max_message", Kind::Size, "longest message"),
    limit("limits.max_chunk", Kind::Size, "longest chunk of an upload or download"),
    limit("limits.keepalive_interval", Kind::Duration, "time between pings"),
    limit("limits.keepalive_timeout", Kind::Duration, "time for the answer to a ping"),
    limit("limits.max_header_list", Kind::Size, "longest list of headers"),
    limit("limits.max_pending_resets", Kind::Number, "resets in waiting on a connection"),
    limit("limits.max_error_resets", Kind::Number, "errors of a peer before its connection is closed"),
    limit("limits.stream_window", Kind::Size, "bytes under way in a request"),
    limit("limits.connection_window", Kind::Size, "bytes under way on a connection"),
    limit("limits.memory", Kind::Size, "memory for bytes under way, all connections together"),
    limit("limits.peer_requests_per_minute", Kind::Number, "requests of one peer"),
    limit("limits.account_requests_per_minute", Kind::Number, "requests of one account"),
    limit("limits.quota_entries", Kind::Number, "peers and accounts counted at once"),
    key("genesis.allocations", Kind::Allocations, "{}", "tokens by account at the first start"),
];

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The 32 bytes of an account, from exactly 64 hexadecimal digits.
pub fn account(text: &str) -> Option<[u8; 32]> {
    crate::output::parse_hex32(text).ok()
}

impl Kind {
    /// A value from the text of a variable or a flag: a text as it stands, everything else as TOML.
    pub(super) fn read(self, text: &str) -> Value {
        let plain = || Value::String(text.to_owned());
        match self {
            Self::Flag | Self::Number | Self::List | Self::Allocations => {
                parse_value(text).unwrap_or_else(plain)
            }
            _ => plain(),
        }
    }

    /// What was expected, if `value` is not of this kind.
    pub(super) fn refuse(self, value: &Value) -> Option<String> {
        let text = value.as_str();
        let (fits, expected) = match self {
            Self::Text => (text.is_some(), "a text in quotation marks".to_owned()),
            Self::Path => (text.is_some_and(|text| !text.is_empty()), "a path in quotation marks".to_owned()),
            Self::Word(words) => (
                text.is_some_and(|text| words.contains(&text)),
                format!("one of \"{}\"", words.join("\", \"")),
            ),
            Self::Address => {
                let fits = text.is_some_and(|text| text.parse::<std::net::SocketAddr>().is_ok());
                (fits, "an IP address and port, such as \"0.0.0.0:7443\"".to_owned())
            }
            Self::Account => {
                (text.and_then(account).is_some(), "an account, 64 hexadecimal digits".to_owned())
            }
            Self::Flag => (value.is_bool(), "true or false".to_owned()),
            Self::Number => {
                // What fits here fits in every number of the configuration, so that serde cannot refuse it later.
                let fits = value.as_integer().is_some_and(|number| u32::try_from(number).is_ok());
                (fits, "a whole number from 0 to 4294967295".to_owned())
            }
            Self::Duration => match text.map(parse_duration) {
                Some(Ok(_)) => return None,
                Some(Err(expected)) => (false, expected),
                None => (false, "a duration in quotation marks, such as \"60 s\"".to_owned()),
            },
            Self::Size => match text.map(parse_size) {
                Some(Ok(_)) => return None,
                Some(Err(expected)) => (false, expected),
                None => (false, "a size in quotation marks, such as \"1 MiB\"".to_owned()),
            },
            Self::List => {
                let fits = value.as_array().is_some_and(|list| list.iter().all(Value::is_str));
                (fits, "a list of texts, such as [\"one\", \"two\"]".to_owned())
            }
            Self::Allocations => {
                let entry = |(name, amount): (&String, &Value)| {
                    account(name).is_some() && amount.as_integer().is_some_and(|amount| amount >= 0)
                };
                let fits = value.as_table().is_some_and(|table| table.iter().all(entry));
                (
                    fits,
                    "a table of accounts (64 hexadecimal digits) and amounts, { \"8f1c…\" = 1000 }"
                        .to_owned(),
                )
            }
        };
        (!fits).then_some(expected)
    }
}

/// One TOML value.
pub(super) fn parse_value(text: &str) -> Option<Value> {
    let mut table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
    // More than one key means that the text went on in another line.
    if table.len() == 1 { table.remove("value") } else { None }
}
