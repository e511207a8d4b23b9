//! A server with a fake intake, one source with a token file, and short limits.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use paramedic::{
    alert::Notification,
    audit::Audit,
    clock::Clock,
    config::{AuditTo, Config},
    server::{
        Bound, Handle,
        health::Readiness,
        intake::{AlertOutcome, Intake, NotReady, Outcome, Report},
        intake_router, metrics_router,
        sources::{Source, Sources},
    },
    telemetry::{Metrics, TraceContext},
};
use reqwest::{Client, Response};
use tokio::{io::AsyncReadExt, net::TcpStream, sync::Mutex, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// A notification of one alert that the source may send.
pub const FIRING: &str = r#"{"receiver":"team","alerts":[{"status":"firing","labels":{"alertname":"Leak"},
    "startsAt":"2026-01-01T00:00:00Z","endsAt":"0001-01-01T00:00:00Z"}]}"#;

/// How the fake intake behaves, and how long it takes.
#[derive(Clone, Copy, Default)]
pub struct Plan {
    pub mood: Mood,
    pub takes: Duration,
    /// Without any source.
    pub open: bool,
    /// With an audit log in a folder of its own.
    pub audited: bool,
}

/// What it does with a notification.
#[derive(Clone, Copy, Default, PartialEq)]
pub enum Mood {
    #[default]
    Accepts,
    NotReady,
    NotDurable,
    Panics,
}

impl Intake for Plan {
    fn ready(&self) -> Result<(), NotReady> {
        if self.mood == Mood::NotReady { Err(NotReady::CachesNotSynced) } else { Ok(()) }
    }

    async fn accept(
        &self,
        _: &Source,
        notification: Notification,
        _: Option<TraceContext>,
        _: tokio::time::Instant,
    ) -> Report {
        assert!(self.mood != Mood::Panics, "as planned");
        tokio::time::sleep(self.takes).await;
        let outcome = if self.mood == Mood::NotDurable { Outcome::NotDurable } else { Outcome::Created };
        let alerts = notification.alerts.iter().enumerate();
        let outcomes = alerts.map(|(index, alert)| AlertOutcome {
            index,
            fingerprint: alert.as_ref().ok().map(|alert| alert.fingerprint),
            outcome,
            detail: None,
            remediations: vec!["paramedic/one".to_owned()],
        });
        Report { outcomes: outcomes.collect() }
    }
}

/// The running server. Its files go when it goes.
pub struct House {
    directory: PathBuf,
    config: Config,
    address: SocketAddr,
    metrics_address: SocketAddr,
    client: Client,
    readiness: Readiness,
    handle: Handle<SocketAddr>,
    servers: Mutex<JoinSet<()>>,
    stop: CancellationToken,
}

impl House {
    /// Starts one; the story names its files.
    pub async fn build(story: &str, plan: Plan) -> Self {
        // Where the clients of other stories did it already, that is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let directory = std::env::temp_dir().join(format!("paramedic-server-{story}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("token"), "alpha\n").unwrap();
        fs::write(directory.join("secret"), "gamma\n").unwrap();
        let mut config: Config = serde_json::from_value(serde_json::json!({
            "listen": "127.0.0.1:0",
            "metricsListen": "127.0.0.1:0",
            "bodyLimit": "64Ki",
            "requestDeadline": "1s",
            "sources": [
                { "name": "prod", "tokenFile": directory.join("token"), "receivers": ["team"] },
                { "name": "grafana", "hmac": { "secretFile": directory.join("secret"), "timestampHeader": "X-Time" } },
            ],
        }))
        .unwrap();

        if plan.open {
            config.sources.clear();
        }
        let (metrics, readiness, stop) = (Arc::new(Metrics::new()), Readiness::default(), CancellationToken::new());
        let audit = if plan.audited {
            fs::create_dir(directory.join("audit")).unwrap();
            let to = AuditTo::File(directory.join("audit/log"));
            Audit::open(&to, "house", Clock::system(), Arc::clone(&metrics)).unwrap()
        } else {
            Audit::default()
        };
        let sources = Arc::new(Sources::load(&config.sources).unwrap());
        let port = Bound::intake(&config).await.unwrap();
        let metrics_port = Bound::metrics(&config).await.unwrap();
        let (address, metrics_address) = (port.address(), metrics_port.address());
        let router = intake_router(
            plan,
            &config,
            Arc::clone(&sources),
            Arc::default(),
            readiness.clone(),
            Arc::clone(&metrics),
            audit,
        );
        let handle = Handle::new();
        let mut servers = JoinSet::new();
        let serving = port.serve(router, handle.clone(), None);
        servers.spawn(async move { serving.await.unwrap() });
        let serving = metrics_port.serve(metrics_router(Arc::clone(&metrics), readiness.clone()), handle.clone(), None);
        servers.spawn(async move { serving.await.unwrap() });
        servers.spawn(sources.watch(metrics, stop.clone()));
        let (client, servers) = (Client::new(), Mutex::new(servers));
        Self { directory, config, address, metrics_address, client, readiness, handle, servers, stop }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub async fn post(&self, token: Option<&str>, body: &str) -> Response {
        let request = self.client.post(format!("http://{}/webhook", self.address)).body(body.to_owned());
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap()
    }

    /// As Grafana does.
    pub async fn post_signed(&self, signature: &str, time: &str, body: &str) -> Response {
        let request = self.client.post(format!("http://{}/webhook", self.address)).body(body.to_owned());
        request.header("X-Grafana-Alerting-Signature", signature).header("X-Time", time).send().await.unwrap()
    }

    /// As a page in a browser would.
    pub async fn post_as_browser(&self, body: &str) -> Response {
        let request = self.client.post(format!("http://{}/webhook", self.address)).body(body.to_owned());
        request.header("origin", "https://example.com").send().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(format!("http://{}{path}", self.address)).send().await.unwrap()
    }

    pub async fn metrics(&self) -> String {
        let response = self.client.get(format!("http://{}/metrics", self.metrics_address)).send().await.unwrap();
        response.text().await.unwrap()
    }

    /// The audit log, and what it says so far.
    pub fn audit_log(&self) -> (PathBuf, String) {
        let path = self.directory.join("audit/log");
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    }

    /// Takes the folder of the audit log away, or gives it back.
    pub fn audit_folder(&self, is_there: bool) {
        let (folder, elsewhere) = (self.directory.join("audit"), self.directory.join("elsewhere"));
        if is_there { fs::rename(elsewhere, folder).unwrap() } else { fs::rename(folder, elsewhere).unwrap() }
    }

    pub fn write_token(&self, token: &str) {
        fs::write(self.directory.join("token"), token).unwrap();
    }

    pub fn remove_token(&self) {
        fs::remove_file(self.directory.join("token")).unwrap();
    }

    /// Ends the server as `serve` does; gives how long that took.
    pub async fn stop(&self, deadline: Duration) -> Duration {
        let began = Instant::now();
        self.readiness.shut_down();
        self.stop.cancel();
        self.handle.graceful_shutdown(Some(deadline));
        let mut servers = self.servers.lock().await;
        while let Some(ended) = servers.join_next().await {
            ended.unwrap();
        }
        began.elapsed()
    }

    /// Why the same port cannot be had twice.
    pub async fn bind_again(&self) -> String {
        let config = Config { listen: self.address, ..self.config.clone() };
        Bound::intake(&config).await.unwrap_err().to_string()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The head and the first of the body of the next answer.
pub async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&answer).contains("\r\n\r\n{") || !answer.ends_with(b"}") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
        }
    }
    String::from_utf8(answer).unwrap()
}
