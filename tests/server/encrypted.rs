//! Stories of encryption: who is let in with which certificate, and what a renewed one changes.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use paramedic::{
    audit::Audit,
    config::Config,
    server::{Bound, Handle, health::Readiness, intake_router, sources::Sources, tls::Tls},
    telemetry::Metrics,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::{Certificate, Client, Identity, StatusCode};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::house::{FIRING, Plan};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for 127.0.0.1 and its key, in PEM.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A client that believes this authority alone, and shows what `shown` issued to it.
    pub fn client(&self, shown: Option<&Self>) -> Client {
        let believed = Certificate::from_pem(self.0.pem().as_bytes()).unwrap();
        // Each request has a connection of its own, so that it sees what is shown now.
        let client = Client::builder().tls_certs_only([believed]).pool_max_idle_per_host(0);
        let Some(shown) = shown else { return client.build().unwrap() };
        let (certificate, key) = shown.issue();
        client.identity(Identity::from_pem(format!("{key}\n{certificate}").as_bytes()).unwrap()).build().unwrap()
    }
}

/// A server with TLS.
struct Fort {
    folder: TempDir,
    url: String,
    metrics: Arc<Metrics>,
    _servers: JoinSet<()>,
}

impl Fort {
    async fn build(own: &Authority, clients: Option<&Authority>) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("token"), "alpha").unwrap();
        let mut tls = serde_json::json!({ "certFile": path("cert"), "keyFile": path("key") });
        if let Some(clients) = clients {
            fs::write(path("clients"), clients.0.pem()).unwrap();
            tls["clientCaFile"] = path("clients").to_str().unwrap().into();
        }
        let config: Config = serde_json::from_value(serde_json::json!({
            "listen": "127.0.0.1:0",
            "tls": tls,
            "sources": [{ "name": "prod", "tokenFile": path("token") }],
        }))
        .unwrap();
        show(&path("cert"), &path("key"), own);
        let (metrics, stop) = (Arc::new(Metrics::new()), CancellationToken::new());
        let sources = Arc::new(Sources::load(&config.sources).unwrap());
        let tls = Arc::new(Tls::load(config.tls.as_ref().unwrap()).unwrap());
        let port = Bound::intake(&config).await.unwrap();
        let url = format!("https://{}", port.address());
        let intake = Plan::default();
        let (readiness, audit) = (Readiness::default(), Audit::default());
        let router = intake_router(intake, &config, sources, Arc::default(), readiness, Arc::clone(&metrics), audit);
        let mut servers = JoinSet::new();
        servers.spawn(Arc::clone(&tls).watch(Arc::clone(&metrics), stop));
        servers.spawn(async move { port.serve(router, Handle::new(), Some(tls)).await.unwrap() });
        Self { folder, url, metrics, _servers: servers }
    }

    async fn post(&self, client: &Client) -> Result<StatusCode, reqwest::Error> {
        let request = client.post(format!("{}/webhook", self.url)).bearer_auth("alpha").body(FIRING);
        Ok(request.send().await?.status())
    }

    fn files(&self) -> (PathBuf, PathBuf) {
        (self.folder.path().join("cert"), self.folder.path().join("key"))
    }
}

pub fn show(certificate: &PathBuf, key: &PathBuf, authority: &Authority) {
    let issued = authority.issue();
    fs::write(certificate, issued.0).unwrap();
    fs::write(key, issued.1).unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_one_that_cannot_be_read_is_not() {
    let (old, new) = (Authority::new(), Authority::new());
    let fort = Fort::build(&old, None).await;
    let (believes_old, believes_new) = (old.client(None), new.client(None));
    assert_eq!(fort.post(&believes_old).await.unwrap(), StatusCode::OK);
    assert!(fort.post(&believes_new).await.is_err());
    let clear = believes_old.post(fort.url.replace("https", "http") + "/webhook").bearer_auth("alpha").body(FIRING);
    assert!(clear.send().await.is_err(), "nothing is served in the clear");

    let (certificate, key) = fort.files();
    fs::write(&certificate, "half a certifi").unwrap();
    let end = Instant::now() + Duration::from_secs(15);
    while fort.metrics.render().unwrap().contains("paramedic_tls_reload_failures_total 0") {
        assert!(Instant::now() < end, "the failure was not counted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(fort.post(&believes_old).await.unwrap(), StatusCode::OK, "the last good one is shown");

    show(&certificate, &key, &new);
    while fort.post(&believes_new).await.is_err() {
        assert!(Instant::now() < end, "the new certificate is not shown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn where_senders_must_show_a_certificate_a_credential_alone_does_not_open_and_health_needs_none() {
    let (own, clients) = (Authority::new(), Authority::new());
    let fort = Fort::build(&own, Some(&clients)).await;
    assert_eq!(fort.post(&own.client(Some(&clients))).await.unwrap(), StatusCode::OK);
    let without = own.client(None);
    assert_eq!(fort.post(&without).await.unwrap(), StatusCode::UNAUTHORIZED);
    assert!(fort.post(&own.client(Some(&own))).await.is_err(), "of an authority that is not believed");
    let health = without.get(format!("{}/healthz", fort.url)).send().await.unwrap();
    assert_eq!(health.status(), StatusCode::OK, "as the kubelet asks");
    let certificate_alone = own.client(Some(&clients)).post(format!("{}/webhook", fort.url)).body(FIRING);
    assert_eq!(certificate_alone.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}
