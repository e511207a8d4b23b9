//! Whom an endpoint believes, how it logs in, and what it does when its files change. Against real servers on loopback.

use std::net::SocketAddr;

use axum::{Router, http::HeaderMap as Headers, routing::get};
use axum_server::tls_rustls::RustlsConfig;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::{RootCertStore, ServerConfig, pki_types::PrivateKeyDer, server::WebPkiClientVerifier};
use tempfile::TempDir;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Answers with how it was logged in to.
fn echo() -> Router {
    let said = |headers: Headers| async move {
        headers.get(AUTHORIZATION).map_or("nobody".to_owned(), |value| value.to_str().unwrap().to_owned())
    };
    Router::new().route("/who", get(said)).route("/no", get(async || StatusCode::FORBIDDEN))
}

async fn plain() -> String {
    provider();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, echo()).await.unwrap() });
    url
}

fn provider() {
    // Where another test did it already, that is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for 127.0.0.1, and its key.
    fn issue(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A server with a certificate of this authority; it may ask for one of `clients`.
    fn serve(&self, clients: Option<&Self>) -> String {
        provider();
        let (certificate, key) = self.issue();
        let builder = match clients {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = RustlsConfig::from_config(Arc::new(
            builder.with_single_cert(vec![certificate.der().clone()], key).unwrap(),
        ));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let server = axum_server::from_tcp_rustls(listener, config).unwrap();
        tokio::spawn(async move { server.serve(echo().into_make_service()).await.unwrap() });
        format!("https://{address}")
    }
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

async fn said(endpoint: &Endpoint) -> Result<String, String> {
    let (status, body) = endpoint.get("/who", &[]).await.map_err(|error| error.to_string())?;
    assert_eq!(status, StatusCode::OK);
    Ok(String::from_utf8(body).unwrap())
}

fn basic(pair: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}

#[tokio::test]
async fn a_password_that_changes_is_used_at_once_and_the_last_good_one_holds() {
    let (url, folder) = (plain().await, Folder::new());
    let password_file = folder.write("password", "old: \n");
    let basic_auth = Some(BasicAuth { username: "paramedic".to_owned(), password_file });
    let endpoint = Endpoint::new(&url, SECOND, Access { basic_auth, ..Access::default() }).unwrap();
    assert_eq!(said(&endpoint).await, Ok(basic("paramedic:old: ")), "only the newline is not the password's");
    folder.write("password", "new");
    assert_eq!(said(&endpoint).await, Ok(basic("paramedic:new")));
    folder.write("password", "");
    assert_eq!(said(&endpoint).await, Ok(basic("paramedic:new")), "an empty file is no password");
    std::fs::remove_file(folder.0.path().join("password")).unwrap();
    assert_eq!(said(&endpoint).await, Ok(basic("paramedic:new")), "nor is none");
    folder.write("password", "newer");
    assert_eq!(said(&endpoint).await, Ok(basic("paramedic:newer")));
}

#[tokio::test]
async fn a_token_is_sent_as_one_and_without_any_nothing_is() {
    let (url, folder) = (plain().await, Folder::new());
    let token_file = Some(folder.write("token", "alpha\n"));
    let endpoint = Endpoint::new(&format!("{url}/"), SECOND, Access { token_file, ..Access::default() }).unwrap();
    assert_eq!(said(&endpoint).await, Ok("Bearer alpha".to_owned()));
    let endpoint = Endpoint::new(&url, SECOND, Access::default()).unwrap();
    assert_eq!(said(&endpoint).await, Ok("nobody".to_owned()));
}

#[tokio::test]
async fn only_a_certificate_of_the_named_authority_is_believed() {
    let (ours, theirs, folder) = (Authority::new(), Authority::new(), Folder::new());
    let url = ours.serve(None);
    let ca_file = Some(folder.write("ca.pem", &theirs.pem()));
    let endpoint = Endpoint::new(&url, SECOND, Access { ca_file, ..Access::default() }).unwrap();
    let refused = said(&endpoint).await.unwrap_err();
    assert!(refused.starts_with(&format!("{url} did not answer: ")) && refused.contains("certificate"), "{refused}");

    folder.write("ca.pem", &(theirs.pem() + &ours.pem()));
    assert_eq!(said(&endpoint).await, Ok("nobody".to_owned()), "an authority that is added is believed at once");
    folder.write("ca.pem", "no certificate at all");
    assert_eq!(said(&endpoint).await, Ok("nobody".to_owned()), "the last good ones hold");
    folder.write("ca.pem", &theirs.pem());
    assert!(said(&endpoint).await.is_err(), "and one that is taken away is not believed any more");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_takes_consent_in_so_many_words() {
    let url = Authority::new().serve(None);
    let ask = async |access| said(&Endpoint::new(&url, SECOND, access).unwrap()).await;
    assert!(ask(Access::default()).await.is_err());
    let consent = Access { insecure_skip_verify: true, ..Access::default() };
    assert_eq!(ask(consent).await, Ok("nobody".to_owned()));
}

#[tokio::test]
async fn where_a_client_certificate_is_asked_for_ours_is_shown() {
    let (authority, clients, folder) = (Authority::new(), Authority::new(), Folder::new());
    let url = authority.serve(Some(&clients));
    let without = Access { ca_file: Some(folder.write("ca.pem", &authority.pem())), ..Access::default() };
    assert!(said(&Endpoint::new(&url, SECOND, without.clone()).unwrap()).await.is_err());

    let write = |(certificate, key): (rcgen::Certificate, KeyPair)| ClientCertificate {
        cert_file: folder.write("tls.crt", &certificate.pem()),
        key_file: folder.write("tls.key", &key.serialize_pem()),
    };
    // Of the wrong authority first: the right one is used as soon as it is there.
    let client_certificate = Some(write(authority.issue()));
    let endpoint = Endpoint::new(&url, SECOND, Access { client_certificate, ..without }).unwrap();
    assert!(said(&endpoint).await.is_err());
    write(clients.issue());
    assert_eq!(said(&endpoint).await, Ok("nobody".to_owned()));
}

#[test]
fn a_file_that_is_not_there_or_says_nothing_stops_the_start_and_is_named() {
    provider();
    let folder = Folder::new();
    let refused = |access| match Endpoint::new("http://alertmanager", SECOND, access) {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    };
    let missing = refused(Access { ca_file: Some("/nowhere/ca.pem".into()), ..Access::default() });
    assert!(missing.starts_with("http://alertmanager: /nowhere/ca.pem cannot be read: "), "{missing}");
    let empty = refused(Access { token_file: Some(folder.write("token", " \n")), ..Access::default() });
    assert!(empty.ends_with("token cannot be read: it is empty"), "{empty}");
    let no_header =
        refused(Access { headers_file: Some(folder.write("headers", "X-Key opensesame")), ..Access::default() });
    assert!(no_header.contains("headersFile: line 1 is not NAME: VALUE"), "{no_header}");
    assert!(!no_header.contains("opensesame"), "{no_header}");
    let nonsense = refused(Access { ca_file: Some(folder.write("ca.pem", "nonsense")), ..Access::default() });
    assert!(nonsense.contains("caFile holds no certificate"), "{nonsense}");
}

#[tokio::test]
async fn a_status_that_says_no_is_told() {
    let url = plain().await;
    let endpoint = Endpoint::new(&url, SECOND, Access::default()).unwrap();
    let refused = endpoint.json::<serde_json::Value>("/no", &[]).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("{url} answered 403 Forbidden"));
}
