//! The certificate of the server and its key, which are read again when their files change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring::default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

/// Pause between two looks at the files.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The largest file that is read, in bytes.
const MAX_FILE_SIZE: u64 = 1024 * 1024;

/// The protocols over TLS, in the order of preference (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [H2, b"http/1.1"];

/// The name of HTTP/2 over TLS.
pub(super) const H2: &[u8] = b"h2";

/// The files of a certificate, in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate of the server, followed by those of its issuers.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("could not read {path}: {error}", path = .0.display(), error = .1)]
    Read(PathBuf, io::Error),
    /// The file of the certificate has none.
    #[error("{path} has no certificate in PEM: {error}", path = .0.display(), error = .1)]
    Certificate(PathBuf, pem::Error),
    /// The file of the key has none.
    #[error("{path} has no private key in PEM: {error}", path = .0.display(), error = .1)]
    Key(PathBuf, pem::Error),
    /// The two do not belong together, or are of an unsupported kind.
    #[error("{certificate} and {key} cannot be used together: {error}", certificate = .0.display(), key = .1.display(), error = .2)]
    Pair(PathBuf, PathBuf, rustls::Error),
    /// The configuration of TLS is impossible: a defect.
    #[error("could not set up TLS: {0}")]
    Setup(rustls::Error),
}

/// The certificate that new connections get.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: TlsFiles,
    current: RwLock<Arc<CertifiedKey>>,
}

/// The content of both files.
#[derive(PartialEq, Eq)]
struct Texts {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// If one cannot be read, or they are no certificate and its key.
    pub(crate) fn open(files: TlsFiles) -> Result<Arc<Self>, CertificateError> {
        let current = parse(&files, &read(&files)?)?;
        Ok(Arc::new(Self {
            files,
            current: RwLock::new(Arc::new(current)),
        }))
    }

    /// Builds what accepts connections with TLS.
    ///
    /// # Errors
    ///
    /// If the cryptography lacks what TLS needs.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, CertificateError> {
        let certificates: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files again when they change, until the process ends. A pair that cannot be used is
    /// logged once, and the one before stays.
    pub(crate) async fn reload_loop(self: Arc<Self>) {
        // What the process has begun with may have changed since; that is found in the first round.
        let mut last = None;
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let certificates = Arc::clone(&self);
            let looked =
                tokio::task::spawn_blocking(move || certificates.look(last.as_ref())).await;
            let Ok(seen) = looked else {
                return;
            };
            last = Some(seen);
        }
    }

    /// Compares the files with those of the last look, and takes them if they changed.
    fn look(&self, last: Option<&Look>) -> Look {
        let texts = match read(&self.files) {
            Ok(texts) => texts,
            Err(error) => {
                if !matches!(last, Some(Look::Unreadable)) {
                    warn(&error);
                }
                return Look::Unreadable;
            }
        };
        if let Some(Look::Read(last)) = last
            && *last == texts
        {
            return Look::Read(texts);
        }
        match parse(&self.files, &texts) {
            Ok(new) => self.take(new),
            Err(error) => warn(&error),
        }
        Look::Read(texts)
    }

    fn take(&self, new: CertifiedKey) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.cert != new.cert {
            let certificate = self.files.certificate.display();
            tracing::info!(%certificate, "certificate reloaded");
        }
        *current = Arc::new(new);
    }
}

/// The outcome of a look at the files.
enum Look {
    Unreadable,
    Read(Texts),
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read();
        Some(Arc::clone(&current.unwrap_or_else(PoisonError::into_inner)))
    }
}

fn warn(error: &CertificateError) {
    tracing::error!(%error, "the certificate was not reloaded; the one before stays in use");
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn read(files: &TlsFiles) -> Result<Texts, CertificateError> {
    Ok(Texts {
        certificate: read_file(&files.certificate)?,
        key: read_file(&files.key)?,
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let failed = |error| CertificateError::Read(path.to_owned(), error);
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > MAX_FILE_SIZE {
        return Err(failed(io::Error::other("the file is too large")));
    }
    fs::read(path).map_err(failed)
}

fn parse(files: &TlsFiles, texts: &Texts) -> Result<CertifiedKey, CertificateError> {
    let refuse = |error| CertificateError::Certificate(files.certificate.clone(), error);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&texts.certificate).collect();
    let chain = chain.map_err(refuse)?;
    if chain.is_empty() {
        return Err(refuse(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(&texts.key)
        .map_err(|error| CertificateError::Key(files.key.clone(), error))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
        CertificateError::Pair(files.certificate.clone(), files.key.clone(), error)
    })
}
