//! Log lines on stderr, in UTC, as text or as JSON.
use super::ObserveError;
use super::traces::Traces;
use serde::{Deserialize, Serialize};
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Reads a level such as `info`, or several directives such as `info,weightproof_node=debug`.
///
/// # Errors
/// [`ObserveError::Level`].
pub fn filter(level: &str) -> Result<EnvFilter, ObserveError> {
    let refused = |reason: String| ObserveError::Level { found: super::clip(level), reason };
    if level.trim().is_empty() {
        return Err(refused("empty".to_owned()));
    }
    // A misspelt level alone would be taken for the name of a module, and the log would be silent.
    let words = ["trace", "debug", "info", "warn", "error", "off"];
    let directives: Vec<&str> = level.split(',').map(str::trim).collect();
    for directive in &directives {
        let known = words.iter().any(|word| directive.eq_ignore_ascii_case(word));
        if !known && !directive.contains('=') {
            return Err(refused(format!("\"{}\" is none of {}", super::clip(directive), words.join(", "))));
        }
    }
    EnvFilter::try_new(directives.join(",")).map_err(|error| refused(error.to_string()))
}

/// Sends this process's log lines to stderr from now on, and its spans to `traces` if there is one.
///
/// # Errors
/// [`ObserveError::Level`]; [`ObserveError::Installed`] if it was called before.
pub fn install(format: Format, level: &str, traces: Option<&Traces>) -> Result<(), ObserveError> {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter(level)?)
        .with(lines)
        .with(traces.map(Traces::layer))
        .try_init()
        .map_err(|_| ObserveError::Installed("log lines"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_checked_before_the_log_is_silent() {
        for level in ["info", "WARN", "off", "info,weightproof_node=debug", "warn, h2=info"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        for level in ["", "verbose", "info,loud", "weightproof_node=loud"] {
            assert!(filter(level).is_err(), "{level}");
        }
    }

    #[test]
    fn the_log_is_installed_once() {
        // Another test of this process may have been first; the second call is refused in either case.
        let _ = install(Format::Text, "off", None);
        assert!(matches!(install(Format::Json, "off", None), Err(ObserveError::Installed(_))));
    }
}
