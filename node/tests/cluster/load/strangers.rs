//! Clients that keep to no rule: from any address of the loopback, with raw HTTP/2.
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use prost_reflect::prost::bytes::Bytes;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// An address of the loopback: each is a peer of its own.
pub fn peer(network: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, network, number)
}

/// Takes any certificate: who attacks does not care.
#[derive(Debug)]
struct Any(rustls::crypto::WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

fn any() -> (Arc<rustls::crypto::CryptoProvider>, Arc<Any>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let any = Any(provider.signature_verification_algorithms);
    (provider, Arc::new(any))
}

/// A channel like an honest client's, from one address. It connects by itself again when it was closed.
pub async fn channel(address: &str, from: Ipv4Addr) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("https://{address}"))?
        .local_address(Some(from.into()))
        .connect_timeout(Duration::from_secs(20))
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_while_idle(true)
        .tls_config_with_verifier(ClientTlsConfig::new().domain_name("weightproof.node"), any().1)?
        .connect()
        .await
}

/// A bare connection from one address.
pub async fn tcp(address: &str, from: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(address.parse::<SocketAddr>().unwrap()).await
}

/// A connection that has done TLS.
pub async fn tls(address: &str, from: Ipv4Addr) -> std::io::Result<TlsStream<TcpStream>> {
    let (provider, any) = any();
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(any)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("weightproof.node").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp(address, from).await?).await
}

/// HTTP/2 without gRPC: what is in a message, and whether it ends, is up to the test.
pub struct Raw {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<()>,
}

/// A request whose body is not over.
pub struct Open {
    pub body: SendStream<Bytes>,
    answer: ResponseFuture,
}

/// What came back.
#[derive(Debug, Default)]
pub struct Answer {
    pub grpc: Option<Code>,
    pub code: String,
    pub message: String,
    pub bytes: usize,
}

impl Raw {
    /// Connects; `window` is how much of each answer may come before it is read.
    pub async fn connect(address: &str, from: Ipv4Addr, window: u32) -> Result<Raw, String> {
        let stream = tls(address, from).await.map_err(|error| error.to_string())?;
        let shaken = h2::client::Builder::new().initial_window_size(window).handshake(stream).await;
        let (requests, connection) = shaken.map_err(|error| error.to_string())?;
        let connection = tokio::spawn(async move {
            // Answers pings until it is closed.
            let _ = connection.await;
        });
        Ok(Raw { requests, connection })
    }

    /// Begins a request.
    pub async fn open(&self, path: &str, headers: &[(&str, &str)]) -> Result<Open, h2::Error> {
        let mut request = http::Request::post(format!("https://weightproof.node{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut requests = self.requests.clone().ready().await?;
        let (answer, body) = requests.send_request(request.body(()).unwrap(), false)?;
        Ok(Open { body, answer })
    }

    /// A whole request.
    pub async fn call(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, h2::Error> {
        let mut open = self.open(path, headers).await?;
        // The server may have answered already and want no body.
        let _ = open.body.send_data(body.into(), true);
        open.answer().await
    }

    /// Waits until the server closes the connection.
    pub async fn closed(self) {
        let _ = self.connection.await;
    }

    pub fn is_closed(&self) -> bool {
        self.connection.is_finished()
    }
}

impl Open {
    /// Reads the answer to its end.
    pub async fn answer(&mut self) -> Result<Answer, h2::Error> {
        let response = (&mut self.answer).await?;
        let (head, mut body) = response.into_parts();
        let mut answer = Answer::default();
        answer.take(&head.headers);
        answer.read(&mut body).await?;
        Ok(answer)
    }

    /// Its beginning alone: whatever follows stays where it is. `None` when nothing follows.
    pub async fn head(&mut self) -> Result<Option<RecvStream>, h2::Error> {
        let answer = (&mut self.answer).await?;
        Ok((!answer.headers().contains_key("grpc-status")).then(|| answer.into_body()))
    }
}

impl Answer {
    fn take(&mut self, headers: &http::HeaderMap) {
        let text = |name: &str| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        if let Some(code) = text("grpc-status") {
            self.grpc = Some(Code::from_i32(code.parse().unwrap()));
        }
        if let Some(message) = text("grpc-message") {
            self.message = message;
        }
        if let Some(code) = text("weightproof-code") {
            self.code = code;
        }
    }

    async fn read(&mut self, body: &mut RecvStream) -> Result<(), h2::Error> {
        while let Some(data) = body.data().await {
            let data = data?;
            self.bytes += data.len();
            body.flow_control().release_capacity(data.len())?;
        }
        if let Some(trailers) = body.trailers().await? {
            self.take(&trailers);
        }
        Ok(())
    }
}

/// A message as gRPC frames it.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}
