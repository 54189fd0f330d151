//! What an operator sees of a running node: log lines on stderr, metrics on a listener of
//! their own and, if wanted, traces.
//!
//! Strangers must not be able to fill a disk or a database through either: labels come from fixed sets (never an
//! account or a peer), texts of theirs are [`clip`]ped, and what they can cause at will is logged rarely.
pub mod exporter;
pub mod logs;
pub mod metrics;
pub mod process;
pub mod traces;

/// Why a node cannot be observed.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The level is not understood.
    #[error(
        "expected a log level such as \"info\" or \"info,weightproof_node=debug\", found \"{found}\" ({reason})"
    )]
    Level {
        /// What was given.
        found: String,
        /// The library's reason.
        reason: String,
    },
    /// Something else already receives logs or metrics of this process.
    #[error("expected to be the first to receive this process's {0}, found another receiver; start it once")]
    Installed(&'static str),
    /// The metrics' address cannot be bound.
    #[error(
        "expected to serve metrics on {address}, found: {source}; choose another address, or stop what uses it"
    )]
    Bind {
        /// The address.
        address: std::net::SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The collector of traces cannot be used.
    #[error("expected to send traces to {endpoint}, found: {reason}; check log.traces")]
    Traces {
        /// Where they should go.
        endpoint: String,
        /// The library's reason.
        reason: String,
    },
    /// The metrics' buckets are not valid.
    #[error("expected buckets for the histograms, found: {0}; report this")]
    Buckets(String),
}

/// Longest text of a stranger in a log line.
const CLIP: usize = 200;

/// At most 200 characters of a text that a stranger chose, with control characters and line ends escaped.
pub fn clip(text: &str) -> String {
    let mut clipped: String = text.chars().take(CLIP).flat_map(char::escape_debug).collect();
    if text.chars().nth(CLIP).is_some() {
        clipped.push('…');
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_is_one_short_line() {
        assert_eq!(clip("plain"), "plain");
        assert_eq!(clip("a\nERROR forged\u{1b}[31m"), "a\\nERROR forged\\u{1b}[31m");
        assert!(clip(&"\u{0}".repeat(1_000_000)).chars().count() < 200 * 10);
    }
}
