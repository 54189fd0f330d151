//! What the tests of the transport share: certificates, and a real server on the loopback.
use super::certificate::{self, ServerIdentity};
use super::limits::{self, Limits};
use super::listener::{Clients, Listener, ServerTls};
use super::pin::{ClientIdentity, Pinned, Trust};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::time::Duration;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

/// A certificate as a node makes it.
pub(crate) fn made() -> ServerIdentity {
    let folder = tempfile::tempdir().unwrap();
    certificate::load_or_create(folder.path(), &[]).unwrap()
}

/// The pin of a certificate.
pub(crate) fn pin(identity: &ServerIdentity) -> Trust {
    Trust::Pinned(Pinned { certificate_der: identity.chain[0].to_vec() })
}

/// Limits that tests do not have to wait for.
pub(crate) fn quick() -> Limits {
    Limits {
        handshake_timeout: Duration::from_secs(1),
        idle_timeout: Duration::from_millis(1500),
        keepalive_interval: Duration::from_millis(400),
        keepalive_timeout: Duration::from_millis(400),
        ..Limits::default()
    }
}

/// An authority that issues for servers and clients.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    pub der: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = parameters.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(parameters, key) }
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.extended_key_usages = vec![usage];
        (parameters.signed_by(&key, &self.issuer).unwrap(), key)
    }

    pub(crate) fn server(&self, name: &str) -> ServerIdentity {
        let (certificate, key) = self.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        ServerIdentity { chain: vec![certificate.der().clone()], key, created: false }
    }

    pub(crate) fn client(&self) -> ClientIdentity {
        let (certificate, key) = self.issue("client.example", ExtendedKeyUsagePurpose::ClientAuth);
        ClientIdentity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem().into() }
    }
}

/// Starts a server with the health service alone; it stops with the runtime of the test.
pub(crate) async fn serve(identity: ServerIdentity, clients: Clients, limits: &Limits) -> SocketAddr {
    let tls = ServerTls::new(identity, clients).unwrap();
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), tls, limits.clone()).await.unwrap();
    let address = listener.local_address().unwrap();
    let (_, health) = tonic_health::server::health_reporter();
    let router = limits::server(limits).layer(limits::DeadlineLayer::new(limits, &[])).add_service(health);
    let incoming = listener.incoming();
    tokio::spawn(async move { router.serve_with_incoming_shutdown(incoming, std::future::pending()).await });
    address
}

/// Whether a request over `channel` is answered.
pub(crate) async fn healthy(channel: &Channel) -> Result<(), tonic::Status> {
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel.clone()).check(request).await?;
    assert_eq!(answer.into_inner().status, i32::from(ServingStatus::Serving));
    Ok(())
}
