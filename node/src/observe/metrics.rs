//! The node's metrics: every name with its meaning, and one function for each thing that is counted.
//!
//! Labels take their values from enumerations and from text in this program, never from a request: the number of
//! series is bounded whatever strangers send.
use super::ObserveError;
use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::time::Duration;
use weightproof_circuits::error::ErrorCode;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size.
    Histogram,
}

macro_rules! names {
    ($($constant:ident = $name:literal, $kind:ident, $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// Every metric of the node: name, kind and meaning.
        pub const ALL: &[(&str, Kind, &str)] = &[$(($name, Kind::$kind, $help),)*];
    };
}

names! {
    BUILD = "weightproof_build_info", Gauge, "Always 1; the label says which version runs.";
    SUBMISSIONS = "weightproof_submissions_total", Counter, "Submissions judged, by verdict: accepted or an error code.";
    VERIFY_SECONDS = "weightproof_verify_seconds", Histogram, "Seconds that verifying one submission took.";
    COMMIT_SECONDS = "weightproof_commit_seconds", Histogram, "Seconds that storing one change took.";
    REQUESTS = "weightproof_requests_total", Counter, "Requests answered, by method and gRPC code.";
    REQUEST_SECONDS = "weightproof_request_seconds", Histogram, "Seconds until an answer began, by method.";
    RATE_LIMITED = "weightproof_rate_limited_total", Counter, "Requests refused with E404, by whose rate was used up.";
    CONNECTIONS = "weightproof_connections", Gauge, "Connections open, handshakes included.";
    CONNECTIONS_REFUSED = "weightproof_connections_refused_total", Counter, "Connections closed before they were served, by reason.";
    WATCHERS = "weightproof_watchers", Gauge, "Clients that watch the log.";
    WATCHERS_DROPPED = "weightproof_watchers_dropped_total", Counter, "Watchers disconnected because they read too slowly.";
    LOG_SIZE = "weightproof_log_size", Gauge, "Entries in the log.";
    QUEUE_DEPTH = "weightproof_queue_depth", Gauge, "Submissions that wait to be verified.";
    UPLOADS = "weightproof_uploads", Gauge, "Uploads under way.";
    UPLOAD_BYTES = "weightproof_upload_bytes_total", Counter, "Bytes of submissions received.";
    ROUNDS_CLOSED = "weightproof_rounds_closed_total", Counter, "Rounds closed.";
    REWARDS = "weightproof_rewards_total", Counter, "Tokens rewarded since the start of this process.";
    STORAGE_ERRORS = "weightproof_storage_errors_total", Counter, "Failures of the store (E505, E506); any is a reason to look.";
    RESIDENT = "weightproof_process_resident_bytes", Gauge, "Memory of this process.";
    RESIDENT_PEAK = "weightproof_process_resident_peak_bytes", Gauge, "Most memory that this process had.";
    OPEN_FILES = "weightproof_process_open_files", Gauge, "Files and connections that this process has open.";
    THREADS = "weightproof_process_threads", Gauge, "Threads of this process.";
}

/// Buckets in seconds, from a cheap refusal to a large proof on a small machine.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Receives this process's metrics from now on; the handle renders them.
///
/// # Errors
/// [`ObserveError::Installed`] if it was called before.
pub fn install() -> Result<PrometheusHandle, ObserveError> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    ::metrics::set_global_recorder(recorder).map_err(|_| ObserveError::Installed("metrics"))?;
    describe();
    Ok(handle)
}

/// A recorder that is not installed, for tests with `metrics::with_local_recorder`.
///
/// # Errors
/// [`ObserveError::Buckets`].
pub fn recorder() -> Result<PrometheusRecorder, ObserveError> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .map_err(|error| ObserveError::Buckets(error.to_string()))?;
    Ok(builder.build_recorder())
}

/// Tells the receiver what each metric means, and which version runs.
pub fn describe() {
    for &(name, kind, help) in ALL {
        match kind {
            Kind::Counter => describe_counter!(name, help),
            Kind::Gauge => describe_gauge!(name, help),
            Kind::Histogram => describe_histogram!(name, Unit::Seconds, help),
        }
    }
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// A submission was accepted, or refused with a code.
pub fn submission(refused: Option<ErrorCode>) {
    let verdict = refused.map_or("accepted", ErrorCode::as_str);
    counter!(SUBMISSIONS, "verdict" => verdict).increment(1);
}

/// A submission was verified, whatever the verdict.
pub fn verified(took: Duration) {
    histogram!(VERIFY_SECONDS).record(took.as_secs_f64());
}

/// A change was stored.
pub fn committed(took: Duration) {
    histogram!(COMMIT_SECONDS).record(took.as_secs_f64());
}

/// A request was answered. `method` is the name in this program, never the path of the request.
pub fn request(method: &'static str, code: tonic::Code, took: Duration) {
    counter!(REQUESTS, "method" => method, "code" => code_name(code)).increment(1);
    histogram!(REQUEST_SECONDS, "method" => method).record(took.as_secs_f64());
}

/// Whose rate was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateOf {
    /// The peer's address.
    Peer,
    /// The account.
    Account,
}

/// A request was refused with `E404`.
pub fn rate_limited(by: RateOf) {
    let by = match by {
        RateOf::Peer => "peer",
        RateOf::Account => "account",
    };
    counter!(RATE_LIMITED, "by" => by).increment(1);
}

/// Why a connection was closed before it was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedConnection {
    /// Every place is taken.
    Full,
    /// The peer has all the places that it may have.
    PeerFull,
    /// TLS failed.
    Handshake,
    /// The handshake took too long.
    Timeout,
    /// The socket itself failed.
    Accept,
}

impl RefusedConnection {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::PeerFull => "peer_full",
            Self::Handshake => "handshake",
            Self::Timeout => "timeout",
            Self::Accept => "accept",
        }
    }
}

/// A connection was closed before it was served.
pub fn connection_refused(reason: RefusedConnection) {
    counter!(CONNECTIONS_REFUSED, "reason" => reason.as_str()).increment(1);
}

/// So many connections are open now.
pub fn connections(open: usize) {
    gauge!(CONNECTIONS).set(number(open));
}

/// So many clients watch now.
pub fn watchers(now: usize) {
    gauge!(WATCHERS).set(number(now));
}

/// A watcher was disconnected because it read too slowly.
pub fn watcher_dropped() {
    counter!(WATCHERS_DROPPED).increment(1);
}

/// So many entries are in the log.
pub fn log_size(entries: u64) {
    // Exact up to 2^53, which no log reaches.
    #[allow(clippy::cast_precision_loss)]
    gauge!(LOG_SIZE).set(entries as f64);
}

/// So many submissions wait.
pub fn queue_depth(waiting: usize) {
    gauge!(QUEUE_DEPTH).set(number(waiting));
}

/// So many uploads are under way.
pub fn uploads(now: usize) {
    gauge!(UPLOADS).set(number(now));
}

/// A part of a submission was received.
pub fn upload_bytes(bytes: usize) {
    counter!(UPLOAD_BYTES).increment(u64::try_from(bytes).unwrap_or(u64::MAX));
}

/// A round was closed.
pub fn round_closed() {
    counter!(ROUNDS_CLOSED).increment(1);
}

/// So many tokens were rewarded.
pub fn rewarded(tokens: u64) {
    counter!(REWARDS).increment(tokens);
}

/// The store failed.
pub fn storage_error() {
    counter!(STORAGE_ERRORS).increment(1);
}

/// Takes this process's own figures; the exporter calls it before it renders.
pub fn sample_process() {
    let figures = super::process::figures();
    let set = |name: &'static str, value: Option<u64>| {
        if let Some(value) = value {
            #[allow(clippy::cast_precision_loss)]
            gauge!(name).set(value as f64);
        }
    };
    set(RESIDENT, figures.resident);
    set(RESIDENT_PEAK, figures.resident_peak);
    set(OPEN_FILES, figures.open_files);
    set(THREADS, figures.threads);
}

#[allow(clippy::cast_precision_loss)]
fn number(count: usize) -> f64 {
    count as f64
}

/// The names of the gRPC specification; the library's own are sentences.
fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_named_and_explained() {
        let recorder = recorder().unwrap();
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, || {
            describe();
            submission(None);
            submission(Some(ErrorCode::E306));
            verified(Duration::from_millis(40));
            committed(Duration::from_millis(4));
            request("Submit", tonic::Code::ResourceExhausted, Duration::from_millis(4));
            rate_limited(RateOf::Peer);
            rate_limited(RateOf::Account);
            connection_refused(RefusedConnection::Timeout);
            connections(3);
            watchers(2);
            watcher_dropped();
            log_size(7);
            queue_depth(1);
            uploads(1);
            upload_bytes(256);
            round_closed();
            rewarded(50);
            storage_error();
            sample_process();
        });
        let text = handle.render();
        for (name, _, help) in ALL {
            assert!(name.starts_with("weightproof_"));
            let optional = name.contains("process") && !cfg!(target_os = "linux");
            assert!(optional || text.contains(&format!("# HELP {name} {help}")), "{name}\n{text}");
        }
        assert!(text.contains("weightproof_submissions_total{verdict=\"E306\"} 1"), "{text}");
        assert!(text.contains("weightproof_verify_seconds_bucket{le=\"0.05\"} 1"), "{text}");
        assert!(text.contains("weightproof_connections 3"), "{text}");
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let recorder = recorder().unwrap();
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, || {
            for round in 0..10_000_usize {
                submission(ErrorCode::ALL.get(round % ErrorCode::ALL.len()).copied());
                connections(round);
            }
        });
        assert_eq!(handle.render().matches("\nweightproof_submissions_total{").count(), ErrorCode::ALL.len());
    }
}
