//! Every limit of the transport in one place, with its reason, and a tonic server that has all of them set.
//!
//! tonic's own limits are nearly all off by default. Compression is never turned on: proofs do not shrink, and a small
//! message must not become a large one after the limit was checked.
use super::units::{duration_text, show_duration, show_size, size_text};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::Status;
use tower::{Layer, Service};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Part of all handshake places that one peer may hold: to keep everybody else out takes this many networks.
const HANDSHAKE_SHARES: usize = 8;

/// What one connection, one peer and all together may use. The `[limits]` section of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections in total; more are closed at once, since each costs memory and an open file.
    pub max_connections: usize,
    /// Connections from one IPv4 address or IPv6 /64: about half, so that no single peer takes every place, and yet
    /// a whole institution behind one address fits.
    pub max_connections_per_peer: usize,
    /// TLS handshakes under way; the rest wait. One peer gets an eighth of the places, or slow ones would hold all.
    pub max_handshakes: usize,
    /// Time for waiting, TCP and TLS until a connection can be used: slow beginnings must not hold places.
    #[serde(with = "duration_text")]
    pub handshake_timeout: Duration,
    /// A connection from which no byte comes for so long is closed. Watchers stay, since they answer keepalive pings.
    #[serde(with = "duration_text")]
    pub idle_timeout: Duration,
    /// Bytes a second that must arrive on average over each minute, 0 for no such rule: watchers send next to nothing.
    pub minimum_read_rate: u64,
    /// Time for one request until its answer begins: what takes longer has hung.
    #[serde(with = "duration_text")]
    pub request_deadline: Duration,
    /// The same for an upload, which has to come over the contributor's line.
    #[serde(with = "duration_text")]
    pub upload_deadline: Duration,
    /// Requests at once on one connection: honest clients use a few, and each holds buffers.
    pub max_streams: u32,
    /// Longest message in either direction: it is held in memory before anything about it is known.
    #[serde(with = "size_text")]
    pub max_message: u64,
    /// Longest chunk of an upload or download; small ones share a connection fairly.
    #[serde(with = "size_text")]
    pub max_chunk: u64,
    /// Time between the server's pings: this tells quiet clients from gone ones and keeps address translation alive.
    #[serde(with = "duration_text")]
    pub keepalive_interval: Duration,
    /// Time for the answer to a ping; after that the connection is closed.
    #[serde(with = "duration_text")]
    pub keepalive_timeout: Duration,
    /// Longest list of headers: it bounds floods of continuation frames.
    #[serde(with = "size_text")]
    pub max_header_list: u64,
    /// Streams that the peer may reset before they are taken up: it bounds "rapid reset" floods.
    pub max_pending_resets: usize,
    /// Streams that the server may have to reset on one connection before it closes it: errors cost the server too.
    pub max_error_resets: usize,
    /// Bytes that may be under way in one request before they are read.
    #[serde(with = "size_text")]
    pub stream_window: u64,
    /// The same for a whole connection. All connections together must stay below `memory`.
    #[serde(with = "size_text")]
    pub connection_window: u64,
    /// Memory that the receiving side may ever hold: `max_connections` times `connection_window`.
    #[serde(with = "size_text")]
    pub memory: u64,
    /// Requests a minute of one peer; a tenth of them may come at once.
    pub peer_requests_per_minute: u32,
    /// Requests a minute of one account; a tenth of them may come at once.
    pub account_requests_per_minute: u32,
    /// Peers and accounts that are counted at the same time: it bounds memory against invented ones.
    pub quota_entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 2048,
            max_connections_per_peer: 1100,
            max_handshakes: 512,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            minimum_read_rate: 0,
            request_deadline: Duration::from_secs(30),
            upload_deadline: Duration::from_secs(600),
            max_streams: 64,
            max_message: MIB,
            max_chunk: 256 * KIB,
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            max_header_list: 16 * KIB,
            max_pending_resets: 20,
            max_error_resets: 64,
            stream_window: 256 * KIB,
            connection_window: 512 * KIB,
            memory: 1024 * MIB,
            peer_requests_per_minute: 6000,
            account_requests_per_minute: 1200,
            quota_entries: 10_000,
        }
    }
}

/// Limits that contradict each other: the key, what was expected, what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limits.{key}: expected {expected}, found {found}")]
pub struct Contradiction {
    /// Name of the limit.
    pub key: &'static str,
    /// What would do.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl Limits {
    /// Everything about these limits that cannot work, so that a node refuses to start and not to serve.
    pub fn contradictions(&self) -> Vec<Contradiction> {
        let mut all = Vec::new();
        let mut check = |holds: bool, key: &'static str, expected: String, found: String| {
            if !holds {
                all.push(Contradiction { key, expected, found });
            }
        };
        let counts = [
            ("max_connections", self.max_connections),
            ("max_handshakes", self.max_handshakes),
            ("max_connections_per_peer", self.max_connections_per_peer),
            ("max_streams", usize::try_from(self.max_streams).unwrap_or(usize::MAX)),
            ("quota_entries", self.quota_entries),
        ];
        for (key, count) in counts {
            check((1..=1_000_000).contains(&count), key, "from 1 to 1000000".to_owned(), count.to_string());
        }
        check(
            self.max_connections_per_peer <= self.max_connections,
            "max_connections_per_peer",
            format!("at most max_connections, {}", self.max_connections),
            self.max_connections_per_peer.to_string(),
        );
        let silence = self.keepalive_interval.saturating_add(self.keepalive_timeout);
        check(
            silence < self.idle_timeout,
            "idle_timeout",
            format!("more than keepalive_interval + keepalive_timeout, {}", show_duration(silence)),
            show_duration(self.idle_timeout),
        );
        let second = Duration::from_secs(1);
        for (key, duration) in [
            ("handshake_timeout", self.handshake_timeout),
            ("request_deadline", self.request_deadline),
            ("keepalive_interval", self.keepalive_interval),
            ("keepalive_timeout", self.keepalive_timeout),
        ] {
            check(duration >= second, key, "at least 1 s".to_owned(), show_duration(duration));
        }
        check(
            self.upload_deadline >= self.request_deadline,
            "upload_deadline",
            format!("at least request_deadline, {}", show_duration(self.request_deadline)),
            show_duration(self.upload_deadline),
        );
        check(
            (KIB..=16 * MIB).contains(&self.max_message),
            "max_message",
            "from 1 KiB to 16 MiB".to_owned(),
            show_size(self.max_message),
        );
        check(
            (KIB..=self.max_message.saturating_sub(KIB).max(KIB)).contains(&self.max_chunk),
            "max_chunk",
            format!("from 1 KiB to 1 KiB less than max_message, {}", show_size(self.max_message)),
            show_size(self.max_chunk),
        );
        check(
            (KIB..=MIB).contains(&self.max_header_list),
            "max_header_list",
            "from 1 KiB to 1 MiB".to_owned(),
            show_size(self.max_header_list),
        );
        check(
            (64 * KIB..=16 * MIB).contains(&self.stream_window),
            "stream_window",
            "from 64 KiB to 16 MiB".to_owned(),
            show_size(self.stream_window),
        );
        check(
            (self.stream_window..=64 * MIB).contains(&self.connection_window),
            "connection_window",
            format!("from stream_window, {}, to 64 MiB", show_size(self.stream_window)),
            show_size(self.connection_window),
        );
        let windows = self.connection_window.saturating_mul(as_u64(self.max_connections));
        check(
            windows <= self.memory,
            "memory",
            format!("at least max_connections x connection_window, {}", show_size(windows)),
            show_size(self.memory),
        );
        all
    }

    /// Handshakes under way that one peer may have.
    pub fn handshakes_per_peer(&self) -> usize {
        (self.max_handshakes / HANDSHAKE_SHARES).max(1)
    }

    /// Open files that a node with these limits needs: one for each connection and some for the store and the logs.
    pub fn open_files(&self) -> u64 {
        as_u64(self.max_connections).saturating_add(256)
    }

    /// `max_message` as generated services take it (`max_decoding_message_size`, `max_encoding_message_size`).
    pub fn message_size(&self) -> usize {
        usize::try_from(self.max_message).unwrap_or(usize::MAX)
    }

    /// `max_chunk` as a length in memory.
    pub fn chunk_size(&self) -> usize {
        usize::try_from(self.max_chunk).unwrap_or(usize::MAX)
    }

    /// The quotas that go with these limits.
    pub fn quotas(&self) -> super::quota::Quotas {
        let rate = |per_minute: u32| super::quota::Rate::per_minute(per_minute, per_minute.div_ceil(10));
        super::quota::Quotas::new(
            rate(self.peer_requests_per_minute),
            rate(self.account_requests_per_minute),
            self.quota_entries,
        )
    }
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn as_u32(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// A server with every limit set, for the connections of a [`super::listener::Listener`] (which has done TLS already).
///
/// Three limits live elsewhere: those of the connections in the listener, `request_deadline` in a [`DeadlineLayer`]
/// (the server itself only knows `upload_deadline`, the longest of all), and the message size on each generated
/// service ([`Limits::message_size`]).
pub fn server(limits: &Limits) -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .timeout(limits.upload_deadline)
        .concurrency_limit_per_connection(usize::try_from(limits.max_streams).unwrap_or(usize::MAX))
        .load_shed(true)
        .max_concurrent_streams(limits.max_streams)
        .initial_stream_window_size(as_u32(limits.stream_window))
        .initial_connection_window_size(as_u32(limits.connection_window))
        .http2_adaptive_window(Some(false))
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        .http2_max_header_list_size(as_u32(limits.max_header_list))
        .http2_max_pending_accept_reset_streams(Some(limits.max_pending_resets))
        .http2_max_local_error_reset_streams(Some(limits.max_error_resets))
        .accept_http1(false)
}

/// Ends a request whose answer has not begun at its deadline, with `E402`. An answer that has begun (a watcher's
/// stream) may go on.
#[derive(Clone, Debug)]
pub struct DeadlineLayer {
    request: Duration,
    upload: Duration,
    uploads: &'static [&'static str],
}

impl DeadlineLayer {
    /// `uploads` are the paths of the methods with a stream from the client, such as `/weightproof.v1.Node/Upload`.
    pub fn new(limits: &Limits, uploads: &'static [&'static str]) -> Self {
        Self { request: limits.request_deadline, upload: limits.upload_deadline, uploads }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner, layer: self.clone() }
    }
}

/// The service of a [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct Deadline<S> {
    inner: S,
    layer: DeadlineLayer,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<S, B> Service<http::Request<B>> for Deadline<S>
where
    S: Service<http::Request<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let upload = self.layer.uploads.contains(&request.uri().path());
        let limit = if upload { self.layer.upload } else { self.layer.request };
        let answer = self.inner.call(request);
        Box::pin(async move {
            match tokio::time::timeout(limit, answer).await {
                Ok(answer) => answer.map_err(Into::into),
                // tonic turns a status that comes as an error into the answer.
                Err(_) => Err(deadline_passed(limit).into()),
            }
        })
    }
}

fn deadline_passed(limit: Duration) -> Status {
    let limit = show_duration(limit);
    Status::deadline_exceeded(format!("E402: expected an answer within {limit}, found none; try again later"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_agree_with_each_other() {
        assert_eq!(Limits::default().contradictions(), []);
    }

    #[test]
    fn contradictions_are_all_named() {
        let limits = Limits {
            max_connections: 0,
            idle_timeout: Duration::from_secs(5),
            max_chunk: 2 * MIB,
            upload_deadline: Duration::ZERO,
            ..Limits::default()
        };
        let keys: Vec<_> = limits.contradictions().iter().map(|contradiction| contradiction.key).collect();
        let expected =
            ["max_connections", "max_connections_per_peer", "idle_timeout", "upload_deadline", "max_chunk"];
        assert_eq!(keys, expected);
        let more = Limits { max_connections: 4096, ..Limits::default() };
        let text = more.contradictions().first().map(ToString::to_string).unwrap_or_default();
        assert_eq!(
            text,
            "limits.memory: expected at least max_connections x connection_window, 2 GiB, found 1 GiB"
        );
    }

    #[test]
    fn limits_are_read_from_text_and_shown_the_same() {
        let limits: Limits = toml::from_str("idle_timeout = \"2 min\"\nmax_message = \"2 MiB\"").unwrap();
        assert_eq!(limits.idle_timeout, Duration::from_secs(120));
        assert_eq!(limits.max_message, 2 * MIB);
        assert_eq!(limits.max_streams, 64);
        let text = toml::to_string(&limits).unwrap();
        assert_eq!(toml::from_str::<Limits>(&text).unwrap(), limits);
        assert!(toml::from_str::<Limits>("idle_timeout = 120").is_err());
        assert!(toml::from_str::<Limits>("idle_time = \"2 min\"").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_an_answer_ends_at_its_own_deadline() {
        let layer = DeadlineLayer::new(&Limits::default(), &["/upload"]);
        let hanging = tower::service_fn(|_: http::Request<()>| async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok::<_, std::convert::Infallible>(())
        });
        let mut service = layer.layer(hanging);
        let ask = |path: &str| http::Request::builder().uri(path).body(()).unwrap();
        let error = service.call(ask("/other")).await.unwrap_err();
        let status = error.downcast_ref::<Status>().unwrap();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        assert!(status.message().starts_with("E402"));
        service.call(ask("/upload")).await.unwrap();
    }
}
