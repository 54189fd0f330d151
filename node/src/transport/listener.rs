//! The server's side of connections: an accept loop that nothing ends, caps, TLS, and a guard around each connection.
//!
//! tonic's own loop has no caps, does its handshakes without a deadline and once ended at an error of the socket
//! (RUSTSEC-2024-0376). Here the loop is a task of its own; what comes out of it are connections that have done TLS.
//! Nobody can hold a place for long without speaking the protocol: a handshake has its deadline, a silent connection
//! is closed, and so is one that does not read.
use super::certificate::{Fingerprint, ServerIdentity};
use super::limits::Limits;
use super::pin::ALPN;
use super::quota::PeerKey;
use super::unread::Unread;
use crate::observe::metrics::{self, RefusedConnection};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::Connected;

/// Pause after an error of the listening socket: out of files or memory, others need the time to give some back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Time between two log lines of one kind that strangers can cause.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Connections that have done TLS and wait for the server to take them.
const READY: usize = 64;
/// How often in an idle time a connection is looked at for answers that lie there.
const UNREAD_LOOKS: u32 = 4;
/// Time over which `minimum_read_rate` is an average.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// Why a node cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// The address cannot be bound.
    #[error("expected to listen on {address}, found: {source}; choose another address, or stop what uses it")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The certificate cannot be served.
    #[error("expected a certificate that can be served, found: {0}; give another one")]
    Certificate(rustls::Error),
    /// The clients' authority cannot be used.
    #[error(
        "expected certificates of an authority in tls.client_ca, found: {0}; give the authority's own certificate"
    )]
    ClientAuthority(String),
}

/// Which clients may connect. Who may *do* something is a matter of signatures; this only closes the door further.
#[derive(Clone, Debug, Default)]
pub enum Clients {
    /// Anybody, without a certificate.
    #[default]
    Anybody,
    /// Anybody; who shows a certificate must have one of these authorities'.
    Known(Vec<CertificateDer<'static>>),
    /// Only those with a certificate of these authorities.
    Required(Vec<CertificateDer<'static>>),
}

/// The TLS side of a listener.
#[derive(Clone)]
pub struct ServerTls(TlsAcceptor);

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ServerTls")
    }
}

impl ServerTls {
    /// Serves with `identity`, to `clients`.
    ///
    /// # Errors
    /// [`ListenerError::Certificate`], [`ListenerError::ClientAuthority`].
    pub fn new(identity: ServerIdentity, clients: Clients) -> Result<Self, ListenerError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (authorities, required) = match clients {
            Clients::Anybody => (None, false),
            Clients::Known(authorities) => (Some(authorities), false),
            Clients::Required(authorities) => (Some(authorities), true),
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(ListenerError::Certificate)?;
        let builder = match authorities {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    roots
                        .add(authority)
                        .map_err(|error| ListenerError::ClientAuthority(error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
                let verifier =
                    verifier.build().map_err(|error| ListenerError::ClientAuthority(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config =
            builder.with_single_cert(identity.chain, identity.key).map_err(ListenerError::Certificate)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: ServerTls,
    limits: Limits,
}

impl Listener {
    /// Binds `address`.
    ///
    /// # Errors
    /// [`ListenerError::Bind`].
    pub async fn bind(address: SocketAddr, tls: ServerTls, limits: Limits) -> Result<Self, ListenerError> {
        let socket =
            TcpListener::bind(address).await.map_err(|source| ListenerError::Bind { address, source })?;
        if let Some(found) =
            crate::observe::process::open_files_limit().filter(|&found| found < limits.open_files())
        {
            let expected = limits.open_files();
            tracing::warn!(expected, found, "too few open files for limits.max_connections; raise ulimit -n");
        }
        Ok(Self { socket, tls, limits })
    }

    /// Where it listens; with port 0 in the configuration, this has the port that the system chose.
    ///
    /// # Errors
    /// The system's.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Starts to accept, for `Server::serve_with_incoming_shutdown`. To be called within a runtime.
    pub fn incoming(self) -> Incoming {
        incoming(self.socket, self.tls, self.limits)
    }
}

fn incoming(source: impl Accept, tls: ServerTls, limits: Limits) -> Incoming {
    let (sender, ready) = mpsc::channel(READY);
    let places = Arc::new(Places::new(&limits));
    let task = tokio::spawn(accept_loop(source, tls, limits, sender, Arc::clone(&places)));
    Incoming { ready, task, places }
}

/// Where connections come from; tests put errors of the system in.
trait Accept: Send + 'static {
    fn accept(&mut self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    fn accept(&mut self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        TcpListener::accept(self)
    }
}

/// The connections that have done TLS. Dropping it closes the listening socket and every handshake under way; the
/// connections that were taken from it go on.
#[derive(Debug)]
pub struct Incoming {
    ready: mpsc::Receiver<Guarded>,
    task: JoinHandle<()>,
    places: Arc<Places>,
}

impl Incoming {
    /// Connections open now, those in their handshake included.
    pub fn open(&self) -> usize {
        self.places.state().open
    }
}

impl Stream for Incoming {
    type Item = Result<Guarded, io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(context).map(|next| next.map(Ok))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts until the receiver is gone. No error of the socket and nothing a peer does ends it.
async fn accept_loop(
    mut source: impl Accept,
    tls: ServerTls,
    limits: Limits,
    ready: mpsc::Sender<Guarded>,
    places: Arc<Places>,
) {
    let limits = Arc::new(limits);
    let mut handshakes = JoinSet::new();
    let (mut errors, mut full) = (Rarely::default(), Rarely::default());
    while !ready.is_closed() {
        let accepted = tokio::select! {
            accepted = source.accept() => accepted,
            // Finished handshakes are taken away here, so that their set stays as small as what is under way.
            Some(_) = handshakes.join_next() => continue,
        };
        match accepted {
            Ok((tcp, address)) => match Places::take(&places, PeerKey::of(address.ip())) {
                Ok(place) => {
                    handshakes.spawn(begin(
                        tcp,
                        address,
                        place,
                        tls.clone(),
                        Arc::clone(&limits),
                        ready.clone(),
                    ));
                }
                Err(reason) => {
                    metrics::connection_refused(reason);
                    if let Some(suppressed) = full.line() {
                        tracing::warn!(
                            reason = reason.as_str(),
                            suppressed,
                            "E401: a connection was closed at once"
                        );
                    }
                }
            },
            Err(error) => {
                metrics::connection_refused(RefusedConnection::Accept);
                if let Some(suppressed) = errors.line() {
                    tracing::warn!(%error, suppressed, "expected to accept a connection; going on");
                }
                // An error of one connection is over with it; any other would come back at once.
                if !is_of_one_connection(&error) {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Does TLS and hands the connection on, or closes it.
async fn begin(
    tcp: TcpStream,
    address: SocketAddr,
    place: Place,
    tls: ServerTls,
    limits: Arc<Limits>,
    ready: mpsc::Sender<Guarded>,
) {
    // Small answers must not wait for a full segment; a socket that refuses this works all the same.
    let _ = tcp.set_nodelay(true);
    let handshake = async {
        // The peer's own share first: who waits for that must not keep others from the common places.
        let _own = place.handshakes.acquire().await;
        let _common = place.places.handshakes.acquire().await;
        tls.0.accept(tcp).await
    };
    let stream = match tokio::time::timeout(limits.handshake_timeout, handshake).await {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(ALPN) => stream,
        Ok(Ok(_)) => return refuse(address, "no HTTP/2", RefusedConnection::Handshake),
        Ok(Err(error)) => return refuse(address, &error.to_string(), RefusedConnection::Handshake),
        Err(_) => return refuse(address, "deadline", RefusedConnection::Timeout),
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = certificate.map(|der| Fingerprint::of(der));
    let info = PeerInfo { address, certificate, unread: Unread::default() };
    // Fails only once the server has stopped.
    let _ = ready.send(Guarded::new(stream, info, &limits, place)).await;
}

fn refuse(address: SocketAddr, reason: &str, kind: RefusedConnection) {
    metrics::connection_refused(kind);
    tracing::debug!(%address, reason, "a connection did not get through its handshake");
}

/// Who is at the other end; in the extensions of every request.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The peer's address.
    pub address: SocketAddr,
    /// The fingerprint of its certificate, checked against the authorities, if it showed one.
    pub certificate: Option<Fingerprint>,
    /// The connection's answers that the peer lets wait; it is closed when one of them waits for too long.
    pub unread: Unread,
}

impl PeerInfo {
    /// The peer of a request that came over a [`Listener`].
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }
}

/// Counts connections and gives the places out.
#[derive(Debug)]
struct Places {
    max: usize,
    max_per_peer: usize,
    handshakes_per_peer: usize,
    handshakes: Semaphore,
    state: Mutex<PlacesState>,
}

#[derive(Debug, Default)]
struct PlacesState {
    open: usize,
    /// Only peers with an open connection, so no more than `max`.
    peers: BTreeMap<PeerKey, PeerPlaces>,
}

#[derive(Debug)]
struct PeerPlaces {
    open: usize,
    handshakes: Arc<Semaphore>,
}

impl Places {
    fn new(limits: &Limits) -> Self {
        Self {
            max: limits.max_connections,
            max_per_peer: limits.max_connections_per_peer,
            handshakes_per_peer: limits.handshakes_per_peer(),
            handshakes: Semaphore::new(limits.max_handshakes),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, PlacesState> {
        // Nothing panics while it is held, and the counts are whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(places: &Arc<Self>, peer: PeerKey) -> Result<Place, RefusedConnection> {
        let mut state = places.state();
        if state.open >= places.max {
            return Err(RefusedConnection::Full);
        }
        let entry = state.peers.entry(peer).or_insert_with(|| PeerPlaces {
            open: 0,
            handshakes: Arc::new(Semaphore::new(places.handshakes_per_peer)),
        });
        if entry.open >= places.max_per_peer {
            return Err(RefusedConnection::PeerFull);
        }
        entry.open += 1;
        let handshakes = Arc::clone(&entry.handshakes);
        state.open += 1;
        metrics::connections(state.open);
        Ok(Place { places: Arc::clone(places), peer, handshakes })
    }
}

/// One connection's place; dropping it gives it back.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    peer: PeerKey,
    handshakes: Arc<Semaphore>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.state();
        state.open = state.open.saturating_sub(1);
        if let Some(peer) = state.peers.get_mut(&self.peer) {
            peer.open = peer.open.saturating_sub(1);
            if peer.open == 0 {
                state.peers.remove(&self.peer);
            }
        }
        metrics::connections(state.open);
    }
}

/// A connection that holds its place and closes itself when the peer is silent or does not read.
#[derive(Debug)]
pub struct Guarded<S = TlsStream<TcpStream>> {
    stream: S,
    info: PeerInfo,
    silence: Silence,
    /// Runs while the peer takes nothing of what is sent.
    stalled: Option<Pin<Box<Sleep>>>,
    idle_timeout: Duration,
    _place: Place,
}

impl<S> Guarded<S> {
    fn new(stream: S, info: PeerInfo, limits: &Limits, place: Place) -> Self {
        let idle_timeout = limits.idle_timeout;
        let silence = Silence::new(idle_timeout, limits.minimum_read_rate, info.unread.clone());
        Self { stream, info, silence, stalled: None, idle_timeout, _place: place }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> PeerInfo {
        self.info.clone()
    }

    /// Passes `outcome` of a write on, unless writing has been pending for too long.
    fn written<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let idle_timeout = self.idle_timeout;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle_timeout)));
        ready!(timer.as_mut().poll(context));
        // Left in place: an elapsed timer stays elapsed, so the next write fails at once too.
        Poll::Ready(Err(timed_out("the peer takes nothing")))
    }
}

impl<S> Connected for Guarded<S> {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.info.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(outcome) => {
                self.silence.heard(buffer.filled().len().saturating_sub(before));
                Poll::Ready(outcome.and_then(|()| self.silence.check(Instant::now())))
            }
            Poll::Pending => self.silence.poll(context),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.written(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.written(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.written(context, outcome)
    }
}

/// How long nothing was read, and how much over the last window.
#[derive(Debug)]
struct Silence {
    limit: Duration,
    /// Bytes for each window; 0 for no such rule.
    expected: u64,
    last: Instant,
    window: Instant,
    heard: u64,
    unread: Unread,
    timer: Pin<Box<Sleep>>,
}

impl Silence {
    fn new(limit: Duration, bytes_per_second: u64, unread: Unread) -> Self {
        let now = Instant::now();
        let expected = bytes_per_second.saturating_mul(RATE_WINDOW.as_secs());
        let timer = Box::pin(tokio::time::sleep(limit));
        Self { limit, expected, last: now, window: now, heard: 0, unread, timer }
    }

    fn heard(&mut self, bytes: usize) {
        if bytes > 0 {
            self.last = Instant::now();
            self.heard = self.heard.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
    }

    fn check(&mut self, now: Instant) -> io::Result<()> {
        if now.duration_since(self.last) >= self.limit {
            return Err(timed_out("the peer is silent"));
        }
        if self.expected > 0 && now.duration_since(self.window) >= RATE_WINDOW {
            if self.heard < self.expected {
                return Err(timed_out("the peer is too slow"));
            }
            (self.window, self.heard) = (now, 0);
        }
        Ok(())
    }

    /// Pending until a rule is broken. The timer is set anew only when it fires and not at each read, which is dear.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            let now = Instant::now();
            self.check(now)?;
            // Looked at here alone, some times in each limit: at each read it would be dear.
            if self.unread.since().is_some_and(|since| now.duration_since(since) >= self.limit) {
                return Poll::Ready(Err(timed_out("the peer does not take an answer")));
            }
            let mut next = (self.last + self.limit).min(now + self.limit / UNREAD_LOOKS);
            if self.expected > 0 {
                next = next.min(self.window + RATE_WINDOW);
            }
            self.timer.as_mut().reset(next);
        }
    }
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// Lets one log line through in a while and counts the others.
#[derive(Debug, Default)]
struct Rarely {
    last: Option<Instant>,
    suppressed: u64,
}

impl Rarely {
    /// The number of lines left out since the last one, if a line is due.
    fn line(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < LOG_INTERVAL) {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::pin::{self, fetch_certificate};
    use crate::transport::testing::{Authority, healthy, made, pin as pin_of, quick, serve};
    use std::collections::VecDeque;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_stream::StreamExt;

    async fn closed_within(stream: &mut TcpStream, limit: Duration) -> bool {
        let mut buffer = [0; 4096];
        tokio::time::timeout(limit, async {
            while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        })
        .await
        .is_ok()
    }

    /// A TLS connection that speaks HTTP/2 by name and then does what the test wants.
    async fn tls(address: SocketAddr) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        #[derive(Debug)]
        struct Any(rustls::crypto::WebPkiSupportedAlgorithms);
        impl rustls::client::danger::ServerCertVerifier for Any {
            fn verify_server_cert(
                &self,
                _: &CertificateDer<'_>,
                _: &[CertificateDer<'_>],
                _: &rustls::pki_types::ServerName<'_>,
                _: &[u8],
                _: rustls::pki_types::UnixTime,
            ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
                Ok(rustls::client::danger::ServerCertVerified::assertion())
            }
            fn verify_tls12_signature(
                &self,
                _: &[u8],
                _: &CertificateDer<'_>,
                _: &rustls::DigitallySignedStruct,
            ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
                Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
            }
            fn verify_tls13_signature(
                &self,
                _: &[u8],
                _: &CertificateDer<'_>,
                _: &rustls::DigitallySignedStruct,
            ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
                Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
            }
            fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
                self.0.supported_schemes()
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let any = Any(provider.signature_verification_algorithms);
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(any))
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        let name = rustls::pki_types::ServerName::try_from("weightproof.node").unwrap();
        let tcp = TcpStream::connect(address).await?;
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }

    /// Errors of the system first, then the real socket.
    struct Failing(VecDeque<io::Error>, TcpListener);

    impl Accept for Failing {
        async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
            match self.0.pop_front() {
                Some(error) => Err(error),
                None => self.1.accept().await,
            }
        }
    }

    #[tokio::test]
    async fn no_error_of_the_socket_ends_the_loop() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        // EMFILE, ENFILE, ECONNABORTED, ENOBUFS, ENOMEM, EPERM, EPROTO.
        let errors = [24, 23, 103, 105, 12, 1, 71].map(io::Error::from_raw_os_error).into();
        let identity = made();
        let expected = identity.fingerprint();
        let tls = ServerTls::new(identity, Clients::Anybody).unwrap();
        let started = Instant::now();
        let mut incoming = incoming(Failing(errors, socket), tls, quick());
        let client = tokio::spawn(async move { fetch_certificate(&address, Duration::from_secs(5)).await });
        let guarded = incoming.next().await.unwrap().unwrap();
        assert_eq!(guarded.peer().certificate, None);
        assert_eq!(pin::fingerprint(&client.await.unwrap().unwrap()), expected);
        // It paused for all but the aborted connection, so that it cannot spin.
        assert!(started.elapsed() >= ACCEPT_PAUSE * 6);
    }

    #[tokio::test]
    async fn garbage_and_silence_leave_the_server_alive() {
        let identity = made();
        let trust = pin_of(&identity);
        let address = serve(identity, Clients::Anybody, &quick()).await;
        let mut silent = Vec::new();
        for index in 0..40u8 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            match index % 4 {
                0 => stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap(),
                1 => stream.write_all(&[0x16, 3, 1, 0xff, 0xff, index]).await.unwrap(),
                2 => drop(stream.shutdown().await),
                _ => {}
            }
            silent.push(stream);
        }
        let channel = pin::channel(&address.to_string(), &trust, None, &quick()).await.unwrap();
        healthy(&channel).await.unwrap();
        for stream in &mut silent {
            assert!(closed_within(stream, Duration::from_secs(3)).await);
        }
        healthy(&channel).await.unwrap();
    }

    #[tokio::test]
    async fn a_flood_meets_the_caps_and_leaves_no_place_taken() {
        let limits = Limits { max_connections: 8, max_connections_per_peer: 4, ..quick() };
        let identity = made();
        let trust = pin_of(&identity);
        let tls = ServerTls::new(identity, Clients::Anybody).unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), tls, limits.clone()).await.unwrap();
        let address = listener.local_address().unwrap();
        let incoming = listener.incoming();
        let places = Arc::clone(&incoming.places);
        let (_, health) = tonic_health::server::health_reporter();
        let router = super::super::limits::server(&limits).add_service(health);
        tokio::spawn(async move { router.serve_with_incoming(incoming).await });
        let mut flood = Vec::new();
        for _ in 0..100 {
            flood.push(TcpStream::connect(address).await.unwrap());
        }
        // All but the first four are closed at once, long before the handshake's deadline.
        for stream in &mut flood[4..] {
            assert!(closed_within(stream, Duration::from_millis(500)).await);
        }
        assert_eq!(places.state().open, 4);
        drop(flood);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let channel = pin::channel(&address.to_string(), &trust, None, &limits).await.unwrap();
        healthy(&channel).await.unwrap();
        drop(channel);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let state = places.state();
        assert_eq!((state.open, state.peers.len()), (0, 0));
    }

    #[test]
    fn caps_hold_for_all_and_for_each_peer() {
        let limits = Limits { max_connections: 5, max_connections_per_peer: 3, ..Limits::default() };
        let places = Arc::new(Places::new(&limits));
        let peer = |text: &str| PeerKey::of(text.parse().unwrap());
        let take = |text| Places::take(&places, peer(text));
        let mut held: Vec<_> = (0..3).map(|_| take("192.0.2.1").unwrap()).collect();
        assert_eq!(take("192.0.2.1").unwrap_err(), RefusedConnection::PeerFull);
        held.push(take("192.0.2.2").unwrap());
        held.push(take("2001:db8::1").unwrap());
        assert_eq!(take("192.0.2.3").unwrap_err(), RefusedConnection::Full);
        held.remove(0);
        held.push(take("2001:db8::2").unwrap());
        drop(held);
        assert!(places.state().peers.is_empty());
    }

    #[tokio::test]
    async fn one_peers_slow_handshakes_leave_places_for_others() {
        let limits = Limits { max_handshakes: 16, ..Limits::default() };
        assert_eq!(limits.handshakes_per_peer(), 2);
        let places = Arc::new(Places::new(&limits));
        let slow = Places::take(&places, PeerKey::of("192.0.2.1".parse().unwrap())).unwrap();
        let _held = (slow.handshakes.try_acquire().unwrap(), slow.handshakes.try_acquire().unwrap());
        assert!(slow.handshakes.try_acquire().is_err());
        let other = Places::take(&places, PeerKey::of("192.0.2.2".parse().unwrap())).unwrap();
        assert!(other.handshakes.try_acquire().is_ok());
    }

    #[tokio::test]
    async fn a_crowd_from_one_address_waits_its_turn() {
        let limits = Limits { max_handshakes: 16, ..Limits::default() };
        let identity = made();
        let trust = pin_of(&identity);
        let address = serve(identity, Clients::Anybody, &limits).await.to_string();
        let mut crowd = JoinSet::new();
        for _ in 0..200 {
            let (address, trust) = (address.clone(), trust.clone());
            crowd.spawn(async move {
                let channel = pin::channel(&address, &trust, None, &Limits::default()).await.unwrap();
                healthy(&channel).await.unwrap();
                channel
            });
        }
        let channels = crowd.join_all().await;
        assert_eq!(channels.len(), 200);
        for channel in &channels {
            healthy(channel).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_silent_connection_is_closed_and_a_quiet_channel_stays() {
        let identity = made();
        let trust = pin_of(&identity);
        let address = serve(identity, Clients::Anybody, &quick()).await;
        let channel = pin::channel(&address.to_string(), &trust, None, &quick()).await.unwrap();
        let mut silent = tls(address).await.unwrap();
        let started = Instant::now();
        let mut buffer = [0; 1024];
        while silent.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        // The channel was as quiet for longer than the idle time, and has answered the server's pings.
        tokio::time::sleep(quick().idle_timeout).await;
        healthy(&channel).await.unwrap();
    }

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// Sends HTTP/2 frames to a server until it closes the connection; an honest channel must stay alive meanwhile.
    async fn closed_by(limits: &Limits, attack: impl Fn(u32) -> Vec<u8>) -> bool {
        let identity = made();
        let trust = pin_of(&identity);
        let address = serve(identity, Clients::Anybody, limits).await;
        let channel = pin::channel(&address.to_string(), &trust, None, &quick()).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(tls(address).await.unwrap());
        writer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        writer.write_all(&frame(4, 0, 0, &[])).await.unwrap();
        let reading = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while reader.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        });
        let mut closed = false;
        for round in 0..2000 {
            let burst: Vec<u8> = (0..16).flat_map(|index| attack(round * 16 + index)).collect();
            closed = writer.write_all(&burst).await.is_err()
                || writer.flush().await.is_err()
                || reading.is_finished();
            if closed {
                break;
            }
        }
        healthy(&channel).await.unwrap();
        closed
    }

    #[tokio::test]
    async fn rapid_resets_close_their_connection_alone() {
        // A request by three entries of the static table, reset at once.
        let reset = |index: u32| {
            let stream = index * 2 + 1;
            [frame(1, 4 | 1, stream, &[0x83, 0x87, 0x84]), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
        };
        assert!(closed_by(&quick(), reset).await);
        // The attack lives: without its limit it goes through.
        assert!(!closed_by(&Limits { max_pending_resets: 1_000_000, ..quick() }, reset).await);
    }

    #[tokio::test]
    async fn a_flood_of_continuations_closes_its_connection_alone() {
        // Header fields without end: each frame holds one literal of a kilobyte.
        let value = [&[0x00, 0x01, b'x', 0x7f, 0xe9, 0x06][..], &[b'v'; 1000]].concat();
        let flood = move |index: u32| match index {
            0 => frame(1, 0, 1, &[0x83, 0x87, 0x84]),
            _ => frame(9, 0, 1, &value),
        };
        assert!(closed_by(&quick(), &flood).await);
        // The attack lives: without its limit it goes through.
        assert!(!closed_by(&Limits { max_header_list: 1 << 30, ..quick() }, &flood).await);
    }

    fn guarded(limits: &Limits) -> (Guarded<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(64);
        let address: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let place = Places::take(&Arc::new(Places::new(limits)), PeerKey::of(address.ip())).unwrap();
        (
            Guarded::new(
                near,
                PeerInfo { address, certificate: None, unread: Unread::default() },
                limits,
                place,
            ),
            far,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_last_byte() {
        let limits = Limits::default();
        let (mut near, mut far) = guarded(&limits);
        let started = Instant::now();
        let writer = tokio::spawn(async move {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                far.write_all(&[1]).await.unwrap();
            }
            far
        });
        let mut read = Vec::new();
        let error = near.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(read.len(), 3);
        assert_eq!(started.elapsed().as_secs(), 150 + 60);
        drop(writer);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_is_too_slow_where_there_is_a_rate() {
        let limits = Limits { minimum_read_rate: 10, ..Limits::default() };
        let (mut near, mut far) = guarded(&limits);
        let started = Instant::now();
        tokio::spawn(async move {
            // Enough in the first minute, a drip in the second.
            far.write_all(&[1; 600]).await.unwrap();
            while far.write_all(&[1]).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        });
        let error = near.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 120);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_closed() {
        let (mut near, mut far) = guarded(&Limits::default());
        let started = Instant::now();
        let error = near.write_all(&[1; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 60);
        // And stays so.
        assert!(near.write_all(&[1; 100]).await.is_err());
        // A reader that takes its time is another matter.
        let (mut near, mut slow) = guarded(&Limits::default());
        let writing = tokio::spawn(async move { near.write_all(&[1; 640]).await });
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(50)).await;
            slow.read_exact(&mut [0; 64]).await.unwrap();
        }
        writing.await.unwrap().unwrap();
        let _ = far.read(&mut [0; 1]).await;
    }

    #[tokio::test]
    async fn a_shown_client_certificate_is_in_the_connection() {
        let authority = Authority::new();
        let identity = made();
        let trust = pin_of(&identity);
        let tls = ServerTls::new(identity, Clients::Known(vec![authority.der.clone()])).unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), tls, quick()).await.unwrap();
        let address = listener.local_address().unwrap().to_string();
        let mut incoming = listener.incoming();
        let known = authority.client();
        for client in [None, Some(known)] {
            let shown = client.is_some();
            let (address, trust) = (address.clone(), trust.clone());
            tokio::spawn(async move { pin::channel(&address, &trust, client.as_ref(), &quick()).await });
            let connection = incoming.next().await.unwrap().unwrap();
            assert_eq!(connection.connect_info().certificate.is_some(), shown);
        }
    }

    #[tokio::test]
    async fn stopping_closes_the_socket_and_what_is_in_its_handshake() {
        let tls = ServerTls::new(made(), Clients::Anybody).unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), tls, Limits::default()).await.unwrap();
        let address = listener.local_address().unwrap();
        let incoming = listener.incoming();
        let mut silent = TcpStream::connect(address).await.unwrap();
        while incoming.open() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(incoming);
        assert!(closed_within(&mut silent, Duration::from_secs(1)).await);
        assert!(TcpStream::connect(address).await.is_err());
        let _again = TcpListener::bind(address).await.unwrap();
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let tls = ServerTls::new(made(), Clients::Anybody).unwrap();
        let first = Listener::bind("127.0.0.1:0".parse().unwrap(), tls.clone(), quick()).await.unwrap();
        let second = Listener::bind(first.local_address().unwrap(), tls, quick()).await;
        assert!(matches!(second, Err(ListenerError::Bind { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn log_lines_of_strangers_are_rare() {
        let mut rarely = Rarely::default();
        let lines: Vec<_> = (0..1_000_000).filter_map(|_| rarely.line()).collect();
        assert_eq!(lines, [0]);
        tokio::time::sleep(LOG_INTERVAL).await;
        assert_eq!(rarely.line(), Some(999_999));
    }
}
