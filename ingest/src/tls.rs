//! TLS for DIMSE, on the side that is called and on the side that calls.
//!
//! TLS 1.3 and 1.2 alone, with the cipher suites of rustls, all of which have forward secrecy and authenticated
//! encryption.
//!
//! Source: DICOM PS3.15, annex B (the BCP 195 profiles); RFC 9325.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// What is spoken; nothing older.
const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Why certificates and keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is no PEM of what it should hold.
    #[error("{path} cannot be read as PEM")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: pem::Error,
    },
    /// A file holds no certificate.
    #[error("{0} holds no certificate")]
    NoCertificate(PathBuf),
    /// Certificate and key do not fit, or one of them is of a kind that is not taken.
    #[error("the certificate or its key cannot be used")]
    Unfit(#[from] rustls::Error),
    /// The authorities of clients cannot be used.
    #[error("the certificate authorities cannot be used")]
    Authorities(#[from] VerifierBuilderError),
    /// A peer's host is neither a DNS name nor an address, so no certificate can be for it.
    #[error("the host is neither a DNS name nor an address")]
    Host,
}

/// Our certificate with its private key, in PEM files.
#[derive(Debug, Clone, Copy)]
pub struct OwnCertificate<'p> {
    /// The certificate, then those that lead to its authority.
    pub chain: &'p Path,
    /// Its private key.
    pub key: &'p Path,
}

impl OwnCertificate<'_> {
    fn read(self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let key = PrivateKeyDer::from_pem_file(self.key)
            .map_err(|error| TlsError::File { path: self.key.to_owned(), error })?;
        Ok((certificates(self.chain)?, key))
    }
}

/// The side that is called; cheap to clone.
#[derive(Clone)]
pub struct TlsServer(TlsAcceptor);

impl TlsServer {
    /// Shows this certificate. With `client_authorities`, a PEM file, only clients whose certificate leads to one of
    /// them get through (mutual TLS).
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file that cannot be used.
    pub fn new(own: OwnCertificate<'_>, client_authorities: Option<&Path>) -> Result<Self, TlsError> {
        let (chain, key) = own.read()?;
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS)?;
        let builder = match client_authorities {
            Some(path) => {
                let authorities = Arc::new(authorities(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(authorities, provider());
                builder.with_client_cert_verifier(verifier.build()?)
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Self(TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key)?))))
    }

    /// Greets a client.
    pub(crate) async fn accept(&self, tcp: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.0.accept(tcp).await.map(TlsStream::from)
    }
}

/// The side that calls; cheap to clone.
#[derive(Clone)]
pub struct TlsClient(TlsConnector);

impl TlsClient {
    /// Trusts servers whose certificate is for the host that is called and leads to one of `authorities`, a PEM file;
    /// shows `own` where it is asked for.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file that cannot be used.
    pub fn new(authorities_of_peers: &Path, own: Option<OwnCertificate<'_>>) -> Result<Self, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS)?;
        let builder = builder.with_root_certificates(authorities(authorities_of_peers)?);
        let config = match own {
            Some(own) => {
                let (chain, key) = own.read()?;
                builder.with_client_auth_cert(chain, key)?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Greets the server `host` over `tcp`.
    ///
    /// # Errors
    ///
    /// Among others: its certificate is not for the host, or not of an authority that is trusted.
    pub(crate) async fn connect(&self, host: &str, tcp: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| std::io::Error::other(TlsError::Host))?;
        self.0.connect(name, tcp).await.map(TlsStream::from)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error| TlsError::File { path: path.to_owned(), error };
    let found = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(unreadable)?;
    if found.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(found) }
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate)?;
    }
    Ok(store)
}
