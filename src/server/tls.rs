//! TLS on a port: a certificate, and, where whoever asks must show one too, whose are believed. The files are
//! read again when they change.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use axum::{Extension, middleware::AddExtension};
use axum_server::{
    accept::Accept,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use crate::{
    config::TlsConfig,
    telemetry::{Metrics, Outage},
};

/// How often the files are read again. Mounts of Secrets swap symbolic links, which watches of a file miss.
const RELOAD_EVERY: Duration = Duration::from_secs(2);
/// How long a connection may take to agree on keys.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no TLS. Nothing is served in the clear instead.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("tls: {} cannot be read: {why}; is the Secret mounted there?", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// What a file holds is not what it should.
    #[error("tls: {}: {why}", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Certificate and key do not work together, or not at all.
    #[error("tls: {} with {}: {why}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's.
        key: PathBuf,
        /// What is wrong.
        why: rustls::Error,
    },
}

/// Whether a sender showed a certificate of the authority that is believed. In each request's extensions, where one has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownCertificate(pub bool);

/// The settings and what the files said last.
pub struct Tls {
    /// What reading it again is called in a line of the log.
    of: &'static str,
    settings: TlsConfig,
    served: RustlsConfig,
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authority: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the files of the webhook's. One that is missing, or that does not hold what it should, is an error.
    pub fn load(settings: &TlsConfig) -> Result<Self, TlsError> {
        Self::load_of("reading the certificate of the webhook again", settings)
    }

    /// The same of another port; `of` is what reading it again is called in a line of the log.
    pub fn load_of(of: &'static str, settings: &TlsConfig) -> Result<Self, TlsError> {
        let config = Files::read(settings)?.config(settings)?;
        Ok(Self { of, settings: settings.clone(), served: RustlsConfig::from_config(Arc::new(config)) })
    }

    /// What accepts connections.
    pub(super) fn acceptor(&self) -> Acceptor {
        Acceptor(RustlsAcceptor::new(self.served.clone()).handshake_timeout(HANDSHAKE_TIMEOUT))
    }

    /// Keeps reading the files until `stop`; new connections get what they say. What cannot be used leaves the last good
    /// ones, is counted each time, and logged when it begins.
    pub async fn watch(self: Arc<Self>, metrics: Arc<Metrics>, stop: CancellationToken) {
        let of = self.of;
        let outage = Outage::of(of);
        let mut seen = None;
        while stop.run_until_cancelled(tokio::time::sleep(RELOAD_EVERY)).await.is_some() {
            let settings = self.settings.clone();
            let reading = tokio::task::spawn_blocking(move || {
                let files = Files::read(&settings)?;
                let digest = files.digest();
                Ok::<_, TlsError>((digest, (Some(digest) != seen).then(|| files.config(&settings)).transpose()?))
            });
            match reading.await {
                Err(error) => outage.failed(&error.to_string()),
                Ok(Err(error)) => {
                    metrics.tls_reload_failure();
                    outage.failed(&format!("{error}; the last good one is shown"));
                }
                Ok(Ok((digest, config))) => {
                    outage.works();
                    if let Some(config) = config {
                        self.served.reload_from_config(Arc::new(config));
                        if seen.replace(digest).is_some() {
                            tracing::info!("{of}: there is another one");
                        }
                    }
                }
            }
        }
    }
}

impl Files {
    fn read(settings: &TlsConfig) -> Result<Self, TlsError> {
        let read = |file: &Path| std::fs::read(file).map_err(|why| TlsError::File { file: file.to_owned(), why });
        Ok(Self {
            certificate: read(&settings.cert_file)?,
            key: read(&settings.key_file)?,
            authority: settings.client_ca_file.as_deref().map(read).transpose()?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for file in [Some(&self.certificate), Some(&self.key), self.authority.as_ref()] {
            let file = file.map_or(&[][..], Vec::as_slice);
            digest.update(file.len().to_be_bytes());
            digest.update(file);
        }
        digest.finalize().into()
    }

    fn config(&self, settings: &TlsConfig) -> Result<ServerConfig, TlsError> {
        let TlsConfig { cert_file, key_file, client_ca_file } = settings;
        let chain = certificates(&self.certificate, cert_file)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| content(key_file, &format!("it holds no private key in PEM: {error}")))?;
        let builder = ServerConfig::builder();
        let builder = match (&self.authority, client_ca_file) {
            (Some(authority), Some(file)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(authority, file)? {
                    roots.add(certificate).map_err(|error| content(file, &error.to_string()))?;
                }
                // The kubelet, which asks for health on this port, has no certificate to show: the webhook asks for it.
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| content(file, &error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|why| TlsError::Pair {
            certificate: cert_file.clone(),
            key: key_file.clone(),
            why,
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn certificates(pem: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(|error| content(file, &error.to_string()))?;
    if certificates.is_empty() {
        return Err(content(file, "it holds no certificate in PEM"));
    }
    Ok(certificates)
}

fn content(file: &Path, why: &str) -> TlsError {
    TlsError::Content { file: file.to_owned(), why: why.to_owned() }
}

/// Agrees on keys, and says whether a certificate was shown.
#[derive(Clone)]
pub(super) struct Acceptor(RustlsAcceptor);

type Encrypted<S> = <RustlsAcceptor as Accept<TcpStream, S>>::Stream;

impl<S> Accept<TcpStream, S> for Acceptor
where
    S: Send + 'static,
{
    type Stream = Encrypted<S>;
    type Service = AddExtension<S, ShownCertificate>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepting = self.0.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            let shown = stream.get_ref().1.peer_certificates().is_some_and(|shown| !shown.is_empty());
            Ok((stream, Extension(ShownCertificate(shown)).layer(service)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path) -> TlsConfig {
        TlsConfig { cert_file: folder.join("cert"), key_file: folder.join("key"), client_ca_file: None }
    }

    fn refused(settings: &TlsConfig) -> String {
        Tls::load(settings).err().unwrap().to_string()
    }

    #[test]
    fn what_cannot_be_served_is_named_with_its_file() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        assert!(refused(&settings).contains("/cert cannot be read"), "{}", refused(&settings));
        std::fs::write(&settings.cert_file, "").unwrap();
        std::fs::write(&settings.key_file, "nothing").unwrap();
        assert!(refused(&settings).contains("no certificate in PEM"), "{}", refused(&settings));
        std::fs::write(&settings.cert_file, own.cert.pem()).unwrap();
        assert!(refused(&settings).contains("no private key in PEM"), "{}", refused(&settings));
        std::fs::write(&settings.key_file, other.signing_key.serialize_pem()).unwrap();
        assert!(refused(&settings).contains("/cert with "), "{}", refused(&settings));
        std::fs::write(&settings.key_file, own.signing_key.serialize_pem()).unwrap();
        Tls::load(&settings).unwrap();
        let with_authority = TlsConfig { client_ca_file: Some(settings.key_file.clone()), ..settings };
        assert!(refused(&with_authority).contains("/key: it holds no certificate"), "{}", refused(&with_authority));
    }
}
