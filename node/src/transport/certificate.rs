//! The node's own TLS certificate: made on the first run, or the operator's own files.
//!
//! A made certificate is signed by itself and never expires in practice: clients pin it byte by byte
//! ([`super::pin`]), so a new one means that each of them has to join again.
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::{fmt, io, str};
use weightproof_prover::atomic_file::{Access, write_atomic};

/// The name that every made certificate carries, and that pinning clients ask for, whatever the node's address is.
pub const NODE_NAME: &str = "weightproof.node";
/// The made certificate, in the data folder.
pub const CERTIFICATE_FILE: &str = "tls-cert.pem";
/// Its key, in the data folder, readable by the owner alone.
pub const KEY_FILE: &str = "tls-key.pem";

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or written.
    #[error("expected to {action} {}, found: {source}; check the path, its permissions and free space", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{}: expected {expected} in PEM form, found {found}; give the file that your authority issued", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is the matter.
        found: String,
    },
    /// The certificate is there and its key is not.
    #[error(
        "expected {KEY_FILE} beside {}, found none; restore it from a backup, or remove the certificate as well to make \
         a new pair (every client then has to join again)", certificate.display()
    )]
    KeyMissing {
        /// The certificate.
        certificate: PathBuf,
    },
    /// The key belongs to another certificate.
    #[error(
        "expected the key of {}, found another one in {} ({reason}); give the two files that were made together",
        certificate.display(), key.display()
    )]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// The library's reason.
        reason: String,
    },
    /// A name cannot stand in a certificate.
    #[error("expected DNS names or IP addresses in tls.names, found \"{found}\"; correct or remove it")]
    Name {
        /// The name.
        found: String,
    },
    /// The machinery failed.
    #[error("expected to make a certificate, found: {0}; report this")]
    Made(#[from] rcgen::Error),
}

/// SHA-256 of a certificate's DER bytes: what people compare, shown as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER form.
    pub fn of(certificate_der: &[u8]) -> Self {
        Self(Sha256::digest(certificate_der).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl str::FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("expected sha256: and 64 hexadecimal digits, found \"{text}\"");
        let digits = text.strip_prefix("sha256:").ok_or_else(refused)?.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return Err(refused());
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = str::from_utf8(pair).map_err(|_| refused())?;
            // `from_str_radix` alone would take a sign.
            if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(refused());
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| refused())?;
        }
        Ok(Self(bytes))
    }
}

/// A certificate with its key, ready to serve with.
pub struct ServerIdentity {
    /// The certificate first, then those between it and its authority. Never empty.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first certificate; [`load`] and [`load_or_create`] have checked that they belong together.
    pub key: PrivateKeyDer<'static>,
    /// Whether this call made it.
    pub created: bool,
}

impl fmt::Debug for ServerIdentity {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerIdentity")
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

impl ServerIdentity {
    /// What clients pin.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.chain.first().map_or(&[], |certificate| certificate.as_ref()))
    }
}

/// The certificate in `data_folder`, made now if there is none. `names` are added to those that it always has; they
/// matter only to clients that check names (pinning clients do not), so changing them later makes no new certificate.
///
/// # Errors
/// [`CertificateError`]; an existing pair is never overwritten.
pub fn load_or_create(data_folder: &Path, names: &[String]) -> Result<ServerIdentity, CertificateError> {
    let (certificate, key) = (data_folder.join(CERTIFICATE_FILE), data_folder.join(KEY_FILE));
    match (certificate.exists(), key.exists()) {
        (true, true) => load(&certificate, &key),
        (true, false) => Err(CertificateError::KeyMissing { certificate }),
        // A crash between the two files below leaves a key that nobody has seen a certificate of: it is taken up.
        (false, true) => create(&certificate, &key, &KeyPair::from_pem(&read_text(&key)?)?, names),
        (false, false) => {
            let pair = KeyPair::generate()?;
            write(&key, &zeroize::Zeroizing::new(pair.serialize_pem()), Access::Owner)?;
            create(&certificate, &key, &pair, names)
        }
    }
}

fn create(
    certificate: &Path,
    key: &Path,
    pair: &KeyPair,
    names: &[String],
) -> Result<ServerIdentity, CertificateError> {
    write(certificate, &self_signed(pair, names)?.pem(), Access::Shared)?;
    Ok(ServerIdentity { created: true, ..load(certificate, key)? })
}

fn self_signed(pair: &KeyPair, names: &[String]) -> Result<rcgen::Certificate, CertificateError> {
    let mut all: Vec<String> = [NODE_NAME, "localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    for name in names {
        if !is_name(name) {
            return Err(CertificateError::Name { found: name.clone() });
        }
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    let mut parameters = CertificateParams::new(all)?;
    parameters.distinguished_name.push(DnType::CommonName, NODE_NAME);
    // Not an authority: whoever adds it to a trust store by hand trusts this node and nothing that it could sign.
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(parameters.self_signed(pair)?)
}

/// Whether `name` is a DNS name or an IP address, as a certificate may carry it.
pub fn is_name(name: &str) -> bool {
    rustls::pki_types::ServerName::try_from(name).is_ok()
}

/// The operator's own certificate (with its chain) and key, both PEM.
///
/// # Errors
/// [`CertificateError`] if a file cannot be read, holds something else, or the two do not belong together.
pub fn load(certificate: &Path, key: &Path) -> Result<ServerIdentity, CertificateError> {
    let chain = certificates(certificate)?;
    let text = read_text(key)?;
    let private =
        PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| CertificateError::Content {
            path: key.to_owned(),
            expected: "a private key",
            found: error.to_string(),
        })?;
    let provider = rustls::crypto::ring::default_provider();
    rustls::sign::CertifiedKey::from_der(chain.clone(), private.clone_key(), &provider).map_err(|error| {
        CertificateError::Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            reason: error.to_string(),
        }
    })?;
    warn_if_readable_by_others(key);
    Ok(ServerIdentity { chain, key: private, created: false })
}

/// The certificates of a PEM file; at least one.
///
/// # Errors
/// [`CertificateError::File`], [`CertificateError::Content`].
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let content =
        |found: String| CertificateError::Content { path: path.to_owned(), expected: "a certificate", found };
    let text = read_text(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| content(error.to_string()))?;
    if found.is_empty() { Err(content("none".to_owned())) } else { Ok(found) }
}

fn read_text(path: &Path) -> Result<zeroize::Zeroizing<String>, CertificateError> {
    std::fs::read_to_string(path).map(zeroize::Zeroizing::new).map_err(|source| CertificateError::File {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, text: &str, access: Access) -> Result<(), CertificateError> {
    write_atomic(path, text.as_bytes(), access).map_err(|source| CertificateError::File {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

/// A warning only: secrets that a cluster mounts are often readable by others inside a container of one user.
fn warn_if_readable_by_others(key: &Path) {
    #[cfg(unix)]
    if let Ok(metadata) = std::fs::metadata(key) {
        use std::os::unix::fs::PermissionsExt;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            tracing::warn!(key = %key.display(), mode = format!("{mode:o}"), "expected a TLS key of mode 600; run chmod 600");
        }
    }
    #[cfg(not(unix))]
    let _ = key;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_run_makes_a_pair_and_the_next_ones_keep_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = load_or_create(folder.path(), &["node.example".to_owned()]).unwrap();
        assert!(first.created);
        let again = load_or_create(folder.path(), &[]).unwrap();
        assert!(!again.created);
        assert_eq!(first.fingerprint(), again.fingerprint());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(folder.path().join(KEY_FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn half_a_pair_is_completed_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        load_or_create(folder.path(), &[]).unwrap();
        let (certificate, key) = (folder.path().join(CERTIFICATE_FILE), folder.path().join(KEY_FILE));
        std::fs::remove_file(&certificate).unwrap();
        assert!(load_or_create(folder.path(), &[]).unwrap().created);
        std::fs::remove_file(&key).unwrap();
        assert!(matches!(load_or_create(folder.path(), &[]), Err(CertificateError::KeyMissing { .. })));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        load_or_create(one.path(), &[]).unwrap();
        load_or_create(other.path(), &[]).unwrap();
        let mixed = load(&one.path().join(CERTIFICATE_FILE), &other.path().join(KEY_FILE));
        assert!(matches!(mixed, Err(CertificateError::Pair { .. })), "{mixed:?}");
        let swapped = load(&one.path().join(KEY_FILE), &one.path().join(CERTIFICATE_FILE));
        assert!(matches!(swapped, Err(CertificateError::Content { .. })), "{swapped:?}");
    }

    #[test]
    fn names_that_a_certificate_cannot_carry_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = load_or_create(folder.path(), &["not a name".to_owned()]);
        assert!(matches!(refused, Err(CertificateError::Name { .. })));
    }

    #[test]
    fn fingerprints_are_read_back() {
        let fingerprint = Fingerprint::of(b"certificate");
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        for wrong in ["", "sha256:", "sha1:00", "sha256:zz", &fingerprint.to_string()[7..]] {
            assert!(wrong.parse::<Fingerprint>().is_err());
        }
        let signed = format!("sha256:{}", "+1".repeat(32));
        assert!(signed.parse::<Fingerprint>().is_err());
    }

    #[test]
    fn the_debug_text_has_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let identity = load_or_create(folder.path(), &[]).unwrap();
        let text = format!("{identity:?}");
        assert!(text.contains("sha256:") && !text.to_lowercase().contains("key"), "{text}");
    }
}
