//! A simulated cluster over HTTP, replicas of the real server on it, and a collector on loopback that takes what they tell.

use std::{
    fmt::Write,
    fs::{self, File},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread::sleep,
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, http::HeaderMap, routing::post};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod},
};
use paramedic::{
    api::{Phase, Remediation, RemediationPolicy},
    clients::collector::otlp::{ExportTraceServiceRequest, Span, Value as Otlp},
    clock::Clock,
    sim::{
        Cluster, Settings,
        controllers::{Controllers, Played, Program},
        http::{self, Server},
    },
};
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_util::sync::CancellationToken;

const NEVER: Duration = Duration::from_secs(30);

/// A span, and who told of it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub instance: String,
    pub span: Span,
}

impl Seen {
    pub fn id(&self) -> String {
        hexadecimal(&self.span.span_id)
    }

    pub fn parent(&self) -> String {
        hexadecimal(&self.span.parent_span_id)
    }

    pub fn trace(&self) -> String {
        hexadecimal(&self.span.trace_id)
    }

    /// An attribute as text.
    pub fn says(&self, name: &str) -> Option<String> {
        let found = self.span.attributes.iter().find(|pair| pair.key == name)?;
        match found.value.as_ref()?.value.as_ref()? {
            Otlp::String(text) => Some(text.clone()),
            Otlp::Int(number) => Some(number.to_string()),
            Otlp::Bool(flag) => Some(flag.to_string()),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A collector, and what it has got.
pub struct Collector {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    async fn listen() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keys = Arc::new(Mutex::new(Vec::new()));
        let (kept, kept_keys) = (Arc::clone(&seen), Arc::clone(&keys));
        let take = move |headers: HeaderMap, body: Bytes| async move {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            kept_keys.lock().unwrap().extend(headers.get("x-key").map(|key| key.to_str().unwrap().to_owned()));
            for process in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
                let attributes = process.resource.unwrap().attributes;
                let name = |name: &str| {
                    let found = attributes.iter().find(|pair| pair.key == name).unwrap().value.clone().unwrap();
                    let Some(Otlp::String(text)) = found.value else { panic!("{found:?}") };
                    text
                };
                assert_eq!(name("service.name"), "repairs");
                let spans = process.scope_spans.into_iter().flat_map(|scope| scope.spans);
                let seen = spans.map(|span| Seen { instance: name("service.instance.id"), span });
                kept.lock().unwrap().extend(seen);
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, seen, keys }
    }

    /// What it was told so far; what it was told twice is in it once.
    pub fn seen(&self) -> Vec<Seen> {
        let mut seen = self.seen.lock().unwrap().clone();
        seen.sort_by_key(|seen| (seen.trace(), seen.span.start_time_unix_nano, seen.id()));
        seen.dedup_by_key(|seen| (seen.trace(), seen.id()));
        seen
    }

    /// The keys that requests had.
    pub fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap().clone()
    }
}

/// One replica. It ends when it goes.
pub struct Replica {
    child: Child,
    leash: Option<ChildStdin>,
    name: String,
    log: std::path::PathBuf,
}

impl Replica {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The address after these words in the log.
    fn address(&self, words: &str) -> String {
        self.log().split_once(words).unwrap().1.split(['"', ',', ' ', '\n']).next().unwrap().to_owned()
    }

    /// Tells it to end, and waits for that; gives how long it took.
    pub fn ends(mut self) -> Duration {
        let began = Instant::now();
        drop(self.leash.take());
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{}: {ended}\n{}", self.name, self.log());
        began.elapsed()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct House {
    pub runtime: Runtime,
    pub cluster: Cluster,
    pub collector: Collector,
    pub dir: TempDir,
    _server: Server,
    stop: CancellationToken,
}

impl House {
    /// Three pods of the Deployment `cart` in namespace `shop`, all of them ready, and a policy.
    pub fn new() -> Self {
        // One of all stories in this process is enough.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let cluster = Cluster::new(Settings::new(Clock::system()));
        let stop = CancellationToken::new();
        let (running, stopped) = (cluster.clone(), stop.clone());
        runtime.spawn(async move {
            let played = Played::new(Program::serves());
            running.run_with(Controllers::new().with_nodes(1), played, stopped).await;
        });
        let (server, collector) = runtime.block_on(async {
            let server = http::serve(cluster.service(), http::listen(None).await.unwrap(), stop.clone()).unwrap();
            (server, Collector::listen().await)
        });
        let dir = tempfile::tempdir().unwrap();
        http::write_kubeconfig(&dir.path().join("kubeconfig"), &server.kubeconfig()).unwrap();
        cluster.with(|state| {
            for name in ["paramedic", "shop"] {
                state.create::<Namespace>(&parse(json!({ "metadata": { "name": name } }))).unwrap();
            }
            let labels = json!({ "app": "cart" });
            let template = json!({ "metadata": { "labels": labels }, "spec": {
                "containers": [{ "name": "cart", "image": "cart:1" }] } });
            let deployment = json!({ "metadata": { "name": "cart", "namespace": "shop" },
                "spec": { "replicas": 3, "selector": { "matchLabels": labels }, "template": template } });
            state.create::<Deployment>(&parse(deployment)).unwrap();
            let policy = json!({
                "apiVersion": "paramedic.dev/v1alpha1", "kind": "RemediationPolicy",
                "metadata": { "name": "restart-cart", "namespace": "shop" },
                "spec": {
                    "mode": "Enforce", "match": ["alertname=\"MemoryLeak\""], "target": { "kind": "Pod" },
                    "steps": [{ "restartPod": {}, "verify": { "within": "2m", "stableFor": "1s" } }],
                },
            });
            state.create::<RemediationPolicy>(&parse(policy)).unwrap();
        });
        let house = Self { runtime, cluster, collector, dir, _server: server, stop };
        house.until("three ready pods", || {
            let deployment: Option<Deployment> = house.cluster.with(|state| state.get("shop", "cart"));
            deployment.and_then(|found| found.status?.ready_replicas) == Some(3)
        });
        house
    }

    /// Starts `serve`, and waits until it says this.
    pub fn starts(&self, name: &str, traces: &Value, until: &str) -> Replica {
        let config = json!({
            "listen": "127.0.0.1:0", "metricsListen": "127.0.0.1:0", "traces": traces,
            "leader": { "leaseDuration": "3s", "renewEvery": "500ms", "actionTimeout": "2s" },
            "namespace": "paramedic", "identity": name,
        });
        let file = self.dir.path().join(format!("{name}.json"));
        fs::write(&file, config.to_string()).unwrap();
        let log = self.dir.path().join(format!("{name}.log"));
        let to = File::create(&log).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_paramedic"))
            .args(["serve", "--until-stdin-closes", "--config"])
            .arg(&file)
            .arg("--kubeconfig")
            .arg(self.dir.path().join("kubeconfig"))
            .env("OTEL_SERVICE_NAME", "repairs")
            .stdin(Stdio::piped())
            .stdout(to.try_clone().unwrap())
            .stderr(to)
            .spawn()
            .unwrap();
        let leash = child.stdin.take();
        let replica = Replica { child, leash, name: name.to_owned(), log };
        self.until(until, || replica.log().contains(until));
        replica
    }

    /// The setting for the collector here, with a header from a file.
    pub fn traced(&self) -> Value {
        let headers = self.dir.path().join("headers");
        fs::write(&headers, "# for the tenant\nX-Key: opensesame\n").unwrap();
        json!({ "endpoint": format!("http://{}", self.collector.address), "headersFile": headers })
    }

    /// The names of the Deployment's pods.
    pub fn pods(&self) -> Vec<String> {
        let pods: Vec<Pod> = self.cluster.with(|state| state.list(Some("shop")));
        pods.into_iter().filter_map(|pod| pod.metadata.name).collect()
    }

    /// Tells a replica of the alert about that pod.
    pub fn tells(&self, replica: &Replica, status: &str, pod: &str, traceparent: Option<&str>) {
        let webhook = replica.address("webhook on ");
        let now = Clock::system().now();
        let ends_at = if status == "resolved" { now.to_string() } else { "0001-01-01T00:00:00Z".to_owned() };
        let body = json!({ "receiver": "paramedic", "alerts": [{
            "status": status, "startsAt": "2026-01-01T00:00:00Z", "endsAt": ends_at,
            "labels": { "alertname": "MemoryLeak", "namespace": "shop", "pod": pod },
            "annotations": { "summary": "a-secret-that-is-nobodys-business" } }] });
        let sent = self.runtime.block_on(async {
            let request = reqwest::Client::new().post(webhook).json(&body);
            let request = match traceparent {
                Some(traceparent) => request.header("traceparent", traceparent),
                None => request,
            };
            request.send().await.unwrap().status()
        });
        assert_eq!(sent, 200, "{}", replica.log());
    }

    /// What a replica counts.
    pub fn metrics(&self, replica: &Replica) -> String {
        let url = format!("http://{}/metrics", replica.address("metrics on "));
        self.runtime.block_on(async { reqwest::get(url).await.unwrap().text().await.unwrap() })
    }

    /// The record about that pod.
    pub fn record(&self, pod: &str) -> Option<Remediation> {
        let records: Vec<Remediation> = self.cluster.with(|state| state.list(None));
        records.into_iter().find(|record| record.spec.alert.labels.get("pod") == Some(pod))
    }

    pub fn is(&self, pod: &str, phase: Phase) {
        self.until(phase.as_str(), || {
            self.record(pod).and_then(|record| record.status).is_some_and(|status| status.phase == phase)
        });
    }

    pub fn until(&self, what: &str, is: impl Fn() -> bool) {
        let give_up = Instant::now() + NEVER;
        while !is() {
            let logs = || {
                let files = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
                let logs = files.filter(|file| file.extension().is_some_and(|ending| ending == "log"));
                logs.map(|log| fs::read_to_string(log).unwrap()).collect::<Vec<_>>().join("\n")
            };
            assert!(Instant::now() < give_up, "in vain for {what}: {}", logs());
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn parse<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}
