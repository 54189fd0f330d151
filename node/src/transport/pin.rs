//! The client's side of TLS: exactly the certificate that was pinned on joining, or a named authority.
//!
//! A pin replaces the checks of names and dates, not the handshake: the server still proves that it holds the
//! certificate's key. Nothing is ever sent over the connection that fetches a certificate to pin.
use super::certificate::{Fingerprint, NODE_NAME};
use super::limits::Limits;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// The port of a node, where an address names none.
pub const DEFAULT_PORT: u16 = 7443;
/// HTTP/2, the only protocol spoken.
pub(crate) const ALPN: &[u8] = b"h2";

/// Why there is no connection to a node.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The address is none.
    #[error("expected host:port, such as verifier.example:7443, found \"{found}\" ({reason})")]
    Address {
        /// What was given.
        found: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nobody answers.
    #[error(
        "expected a node at {address}, found: {reason}; check the address, the network and that the node runs"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// The system's reason.
        reason: String,
    },
    /// Somebody answers who speaks something else.
    #[error("expected TLS with HTTP/2 at {address}, found: {reason}; check that this is the node's own port")]
    Handshake {
        /// Where.
        address: String,
        /// What the handshake ended with.
        reason: String,
    },
    /// The certificate is not the pinned one.
    #[error("at {address}: {changed}")]
    Changed {
        /// Where.
        address: String,
        /// Both fingerprints.
        changed: Changed,
    },
    /// The certificate was not issued by the authority, or for another name.
    #[error(
        "expected a certificate for {domain} from the given authority at {address}, found: {reason}; check the \
         authority file, the domain and the node's certificate"
    )]
    Authority {
        /// Where.
        address: String,
        /// The name it should be for.
        domain: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The client's own certificate or the authority's file cannot be used.
    #[error("expected PEM files of {what}, found: {reason}; give the files as they were issued")]
    Files {
        /// Which.
        what: &'static str,
        /// The library's reason.
        reason: String,
    },
}

/// A server showed another certificate than the pinned one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the certificate {expected}, found {found}; if the operator announced this one, join again with --pin to accept it, \
     else somebody stands between you and the node: send nothing"
)]
pub struct Changed {
    /// The pinned one.
    pub expected: Fingerprint,
    /// The one shown.
    pub found: Fingerprint,
}

/// A node's certificate, as it was on joining.
#[derive(Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Its DER bytes.
    pub certificate_der: Vec<u8>,
}

impl Pinned {
    /// Its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.certificate_der)
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Pinned").field(&self.fingerprint()).finish()
    }
}

/// How a client knows its node.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Exactly this certificate, whatever the address is.
    Pinned(Pinned),
    /// Any certificate that this authority issued for this domain.
    Authority {
        /// The authority's certificates.
        ca_pem: String,
        /// The name that the node's certificate must carry.
        domain: String,
    },
}

/// The client's own certificate, where a node asks for one.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The certificate and its chain.
    pub certificate_pem: String,
    /// Its key.
    pub key_pem: zeroize::Zeroizing<String>,
}

impl fmt::Debug for ClientIdentity {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientIdentity").finish_non_exhaustive()
    }
}

/// The fingerprint that people compare.
pub fn fingerprint(certificate_der: &[u8]) -> Fingerprint {
    Fingerprint::of(certificate_der)
}

/// `host:port` in one form, with [`DEFAULT_PORT`] if there is none; IPv6 addresses stand in brackets.
///
/// # Errors
/// [`PinError::Address`].
pub fn address(text: &str) -> Result<String, PinError> {
    let refused = |reason| PinError::Address { found: text.chars().take(200).collect(), reason };
    if text.contains("://") {
        return Err(refused("leave out the scheme"));
    }
    if text.contains('/') || text.contains('@') {
        return Err(refused("leave out everything but host and port"));
    }
    let authority: http::uri::Authority = text.parse().map_err(|_| refused("not a host and port"))?;
    let (host, after) = (authority.host(), authority.as_str().strip_prefix(authority.host()));
    if host.is_empty() {
        return Err(refused("the host is missing"));
    }
    match (authority.port_u16(), after) {
        (Some(0), _) => Err(refused("the port cannot be 0")),
        (Some(port), _) => Ok(format!("{host}:{port}")),
        (None, Some("")) => Ok(format!("{host}:{DEFAULT_PORT}")),
        (None, _) => Err(refused("the port must be a number up to 65535")),
    }
}

/// The certificate that the server at `node` shows now, in DER form. Whose it is only a person can say, by comparing
/// its fingerprint with what the operator published; this is what `join` shows and pins.
///
/// # Errors
/// [`PinError::Address`], [`PinError::Unreachable`], [`PinError::Handshake`].
pub async fn fetch_certificate(node: &str, timeout: Duration) -> Result<Vec<u8>, PinError> {
    let address = address(node)?;
    let name = ServerName::try_from(NODE_NAME)
        .map_err(|error| PinError::Handshake { address: address.clone(), reason: error.to_string() })?;
    let handshake = async {
        let tcp = TcpStream::connect(&address)
            .await
            .map_err(|error| PinError::Unreachable { address: address.clone(), reason: error.to_string() })?;
        let handshake = |reason: String| PinError::Handshake { address: address.clone(), reason };
        let provider = provider();
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| handshake(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PinVerifier { expected: None, provider }))
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, tcp).await.map_err(|error| handshake(error.to_string()))?;
        let session = stream.get_ref().1;
        if session.alpn_protocol() != Some(ALPN) {
            return Err(handshake("a server that does not speak HTTP/2".to_owned()));
        }
        let shown = session.peer_certificates().and_then(<[_]>::first);
        shown.map(|der| der.to_vec()).ok_or_else(|| handshake("no certificate".to_owned()))
    };
    tokio::time::timeout(timeout, handshake).await.unwrap_or_else(|_| {
        let reason = format!("no answer within {}", super::units::show_duration(timeout));
        Err(PinError::Unreachable { address: address.clone(), reason })
    })
}

/// A channel to the node at `node`, connected. It connects again by itself under the same trust; a request that then
/// meets another certificate fails with a status in which [`changed`] finds it.
///
/// Every request is bounded by `limits.upload_deadline`; for others than uploads set a shorter one with
/// `tonic::Request::set_timeout(limits.request_deadline)`.
///
/// # Errors
/// [`PinError`]. A node that wants a client certificate and gets none may say so only at the first request.
pub async fn channel(
    node: &str,
    trust: &Trust,
    identity: Option<&ClientIdentity>,
    limits: &Limits,
) -> Result<Channel, PinError> {
    let address = address(node)?;
    let unreachable = |reason: String| PinError::Unreachable { address: address.clone(), reason };
    let endpoint = Endpoint::from_shared(format!("https://{address}"))
        .map_err(|_| PinError::Address { found: address.clone(), reason: "not a host and port" })?
        .connect_timeout(limits.handshake_timeout)
        .timeout(limits.upload_deadline)
        .http2_keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout)
        .keep_alive_while_idle(true)
        .http2_max_header_list_size(u32::try_from(limits.max_header_list).unwrap_or(u32::MAX));
    let mut tls = ClientTlsConfig::new().timeout(limits.handshake_timeout);
    if let Some(identity) = identity {
        tls = tls.identity(Identity::from_pem(&identity.certificate_pem, identity.key_pem.as_bytes()));
    }
    let endpoint = match trust {
        Trust::Pinned(pinned) => {
            let verifier = PinVerifier { expected: Some(pinned.clone()), provider: provider() };
            endpoint.tls_config_with_verifier(tls.domain_name(NODE_NAME), Arc::new(verifier))
        }
        Trust::Authority { ca_pem, domain } => {
            endpoint.tls_config(tls.domain_name(domain).ca_certificate(Certificate::from_pem(ca_pem)))
        }
    }
    .map_err(|error| PinError::Files {
        what: "an authority or a client certificate",
        reason: deepest(&error),
    })?;
    // `connect_timeout` bounds each attempt's parts; this bounds their sum, name resolution included.
    match tokio::time::timeout(limits.handshake_timeout.saturating_mul(2), endpoint.connect()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(explain(address.clone(), trust, &error)),
        Err(_) => Err(unreachable(format!(
            "no answer within {}",
            super::units::show_duration(limits.handshake_timeout)
        ))),
    }
}

/// The two fingerprints, if a changed certificate is what `error` (a transport error or a status) comes from.
pub fn changed(error: &(dyn Error + 'static)) -> Option<Changed> {
    match tls_error(error)? {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.0.downcast_ref::<Changed>().copied()
        }
        _ => None,
    }
}

fn explain(address: String, trust: &Trust, error: &(dyn Error + 'static)) -> PinError {
    if let Some(changed) = changed(error) {
        return PinError::Changed { address, changed };
    }
    match (tls_error(error), trust) {
        (Some(rustls::Error::InvalidCertificate(reason)), Trust::Authority { domain, .. }) => {
            PinError::Authority { address, domain: domain.clone(), reason: reason.to_string() }
        }
        (Some(reason), _) => PinError::Handshake { address, reason: reason.to_string() },
        (None, _) => PinError::Unreachable { address, reason: deepest(error) },
    }
}

/// The error of rustls in the chain, if any. It travels inside an [`io::Error`], which leaves it out of the chain.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        let inner: Option<&'a (dyn Error + 'static)> = match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|inner| inner as &'a (dyn Error + 'static)),
            None => None,
        };
        next = inner.or_else(|| error.source());
    }
    None
}

/// The text of the cause at the end of the chain: "connection refused" says more than "transport error".
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Accepts the expected certificate alone, or any if none is expected yet.
#[derive(Debug)]
struct PinVerifier {
    expected: Option<Pinned>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.expected {
            Some(expected) if expected.certificate_der != end_entity.as_ref() => {
                let changed =
                    Changed { expected: expected.fingerprint(), found: Fingerprint::of(end_entity.as_ref()) };
                Err(CertificateError::Other(rustls::OtherError(Arc::new(changed))).into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    // The pin says which certificate; these say that the server holds its key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::listener::Clients;
    use crate::transport::testing::{Authority, healthy, made, pin, quick, serve};

    #[tokio::test]
    async fn the_pinned_certificate_is_accepted_and_fetched_before() {
        let identity = made();
        let (trust, expected) = (pin(&identity), identity.fingerprint());
        let address = serve(identity, Clients::Anybody, &quick()).await.to_string();
        let fetched = fetch_certificate(&address, Duration::from_secs(5)).await.unwrap();
        assert_eq!(fingerprint(&fetched), expected);
        let channel = channel(&address, &trust, None, &quick()).await.unwrap();
        healthy(&channel).await.unwrap();
    }

    #[tokio::test]
    async fn another_certificate_is_refused_with_both_fingerprints() {
        let (pinned, served) = (made(), made());
        let (expected, found) = (pinned.fingerprint(), served.fingerprint());
        let address = serve(served, Clients::Anybody, &quick()).await.to_string();
        match channel(&address, &pin(&pinned), None, &quick()).await {
            Err(PinError::Changed { changed, .. }) => assert_eq!(changed, Changed { expected, found }),
            other => panic!("{other:?}"),
        }
    }

    /// A thief has the certificate, which is public, and not its key.
    #[tokio::test]
    async fn the_pinned_certificate_without_its_key_is_refused() {
        let (mut thief, pinned) = (made(), made());
        let trust = pin(&pinned);
        thief.chain = pinned.chain.clone();
        // rustls refuses to serve such a pair, so the thief brings a resolver that does not look.
        let provider = rustls::crypto::ring::default_provider();
        let key = provider.key_provider.load_private_key(thief.key.clone_key()).unwrap();
        let certified = rustls::sign::CertifiedKey::new(thief.chain.clone(), key);
        let resolver = rustls::sign::SingleCertAndKey::from(certified);
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![ALPN.to_vec()];
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = socket.accept().await {
                let _ = acceptor.accept(tcp).await;
            }
        });
        let refused = channel(&address, &trust, None, &quick()).await;
        assert!(matches!(refused, Err(PinError::Handshake { .. })), "{refused:?}");
        let refused = fetch_certificate(&address, Duration::from_secs(5)).await;
        assert!(matches!(refused, Err(PinError::Handshake { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn an_authority_is_believed_for_its_domain_alone() {
        let (authority, other) = (Authority::new(), Authority::new());
        let address = serve(authority.server("node.example"), Clients::Anybody, &quick()).await.to_string();
        let trust = |authority: &Authority, domain: &str| Trust::Authority {
            ca_pem: authority.pem.clone(),
            domain: domain.to_owned(),
        };
        let good = channel(&address, &trust(&authority, "node.example"), None, &quick()).await.unwrap();
        healthy(&good).await.unwrap();
        for wrong in [trust(&authority, "other.example"), trust(&other, "node.example")] {
            let refused = channel(&address, &wrong, None, &quick()).await;
            assert!(matches!(refused, Err(PinError::Authority { .. })), "{refused:?}");
        }
        let broken = Trust::Authority { ca_pem: "no PEM".to_owned(), domain: "node.example".to_owned() };
        assert!(channel(&address, &broken, None, &quick()).await.is_err());
    }

    #[tokio::test]
    async fn a_client_certificate_is_shown_where_it_is_asked_for() {
        let (authority, identity) = (Authority::new(), made());
        let trust = pin(&identity);
        let clients = Clients::Required(vec![authority.der.clone()]);
        let address = serve(identity, clients, &quick()).await.to_string();
        let known = authority.client();
        let good = channel(&address, &trust, Some(&known), &quick()).await.unwrap();
        healthy(&good).await.unwrap();
        for stranger in [None, Some(Authority::new().client())] {
            // The refusal comes after the client's half of the handshake, so perhaps only at the first request.
            if let Ok(channel) = channel(&address, &trust, stranger.as_ref(), &quick()).await {
                assert!(healthy(&channel).await.is_err());
            }
        }
        assert!(!format!("{known:?}").contains("PRIVATE"));
    }

    #[tokio::test]
    async fn a_certificate_that_changes_later_is_told_from_other_failures() {
        let (first, second) = (made(), made());
        let (trust, expected, found) = (pin(&first), first.fingerprint(), second.fingerprint());
        // One port, the first connection to one server, the others to the second.
        let behind =
            [serve(first, Clients::Anybody, &quick()).await, serve(second, Clients::Anybody, &quick()).await];
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let (cut, mut cutting) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(async move {
            let (mut client, _) = socket.accept().await.unwrap();
            let mut server = TcpStream::connect(behind[0]).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                _ = &mut cutting => {}
            }
            drop((client, server));
            while let Ok((mut client, _)) = socket.accept().await {
                let mut server = TcpStream::connect(behind[1]).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
        let channel = channel(&address, &trust, None, &quick()).await.unwrap();
        healthy(&channel).await.unwrap();
        cut.send(()).unwrap();
        let mut seen = None;
        for _ in 0..20 {
            if let Err(status) = healthy(&channel).await {
                seen = seen.or(changed(&status));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(seen, Some(Changed { expected, found }));
    }

    #[tokio::test]
    async fn who_does_not_speak_tls_is_named() {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = socket.accept().await {
                let _ =
                    tokio::io::AsyncWriteExt::write_all(&mut tcp, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
        });
        let refused = fetch_certificate(&address, Duration::from_secs(5)).await;
        assert!(matches!(refused, Err(PinError::Handshake { .. })), "{refused:?}");
        let refused = channel(&address, &pin(&made()), None, &quick()).await;
        assert!(matches!(refused, Err(PinError::Handshake { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn silence_and_closed_ports_are_named() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let refused = fetch_certificate(&address, Duration::from_millis(200)).await;
        assert!(matches!(refused, Err(PinError::Unreachable { .. })), "{refused:?}");
        let refused = channel(&address, &pin(&made()), None, &quick()).await;
        assert!(matches!(refused, Err(PinError::Unreachable { .. })), "{refused:?}");
        drop(silent);
        let refused = channel(&address, &pin(&made()), None, &quick()).await.unwrap_err().to_string();
        assert!(refused.contains("refused"), "{refused}");
    }

    #[test]
    fn addresses_are_host_and_port() {
        for (text, expected) in [
            ("verifier.example:7443", "verifier.example:7443"),
            ("verifier.example", "verifier.example:7443"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:80", "[::1]:80"),
            ("[::1]", "[::1]:7443"),
        ] {
            assert_eq!(address(text).unwrap(), expected);
        }
        for text in ["", ":7443", "https://a:1", "a:1/x", "a:0", "a:65536", "a:x", "user@a:1", "a b:1", "a:"]
        {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
