//! A simulated cluster with a workload, a policy and one replica of the real server; and this program's own commands on it.

use std::{
    fs::{self, File},
    process::{Child, ChildStdin, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use paramedic::{
    api::{Phase, Remediation, RemediationPolicy},
    clock::Clock,
    sim::{
        Cluster, Settings,
        controllers::{Controllers, Played, Program},
        http::{self, Server},
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const NEVER: Duration = Duration::from_secs(30);

pub struct Stage {
    pub runtime: Runtime,
    pub cluster: Cluster,
    pub dir: TempDir,
    server: Server,
    replica: Option<(Child, ChildStdin)>,
    stop: CancellationToken,
}

/// What a command answered.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

pub fn parse<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

/// A policy of namespace `shop` that enforces.
pub fn policy(name: &str, change: &Value) -> Value {
    let mut spec = json!({
        "mode": "Enforce",
        "match": ["alertname=\"MemoryLeak\""],
        "target": { "kind": "Pod" },
        "steps": [{ "restartPod": {}, "verify": { "within": "2m", "stableFor": "1m" } }],
    });
    for (field, value) in change.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let metadata = json!({ "name": name, "namespace": "shop" });
    json!({ "apiVersion": "paramedic.dev/v1alpha1", "kind": "RemediationPolicy", "metadata": metadata, "spec": spec })
}

impl Stage {
    /// Three pods of the Deployment `cart` in namespace `shop`, all of them ready, and nothing of Paramedic yet.
    pub fn empty() -> Self {
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
        let server = runtime.block_on(async {
            let listener = http::listen(None).await.unwrap();
            http::serve_to(cluster.service(), cluster.people(), listener, stop.clone()).unwrap()
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
        });
        let stage = Self { runtime, cluster, dir, server, replica: None, stop };
        stage.until("three ready pods", |stage| {
            let deployment: Option<Deployment> = stage.cluster.with(|state| state.get("shop", "cart"));
            deployment.and_then(|found| found.status?.ready_replicas) == Some(3)
        });
        stage
    }

    /// The same with a policy, and a replica that leads.
    pub fn at_work() -> Self {
        let mut stage = Self::empty();
        stage.applies(policy("restart-cart", &json!({})));
        stage.starts_a_replica();
        stage
    }

    pub fn applies(&self, policy: Value) {
        self.cluster.with(|state| state.create::<RemediationPolicy>(&parse(policy)).unwrap());
    }

    /// Starts `serve`, and waits until it leads and has judged every policy.
    pub fn starts_a_replica(&mut self) {
        let config = json!({
            "listen": "127.0.0.1:0", "metricsListen": "127.0.0.1:0", "api": { "listen": "127.0.0.1:0" },
            "leader": { "leaseDuration": "2s", "renewEvery": "500ms", "actionTimeout": "1s" },
            "namespace": "paramedic", "identity": "paramedic-0",
        });
        let file = self.dir.path().join("paramedic.json");
        fs::write(&file, config.to_string()).unwrap();
        let log = File::create(self.log()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_paramedic"))
            .args(["serve", "--until-stdin-closes", "--config"])
            .arg(&file)
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let leash = child.stdin.take().unwrap();
        self.replica = Some((child, leash));
        self.until("a leader that works", |stage| fs::read_to_string(stage.log()).unwrap().contains("the work begins"));
        self.until("policies that are judged", |stage| {
            let policies: Vec<RemediationPolicy> = stage.cluster.with(|state| state.list(None));
            policies.iter().all(|policy| policy.status.is_some())
        });
    }

    /// Ends the replica at once, without a chance to give the lease back.
    pub fn kills_the_replica(&mut self) {
        let (mut child, _) = self.replica.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The API server does not listen any more.
    pub fn takes_the_api_away(&self) {
        self.runtime.block_on(self.server.pause(http::Down::Refused)).unwrap();
    }

    /// Where the replica listens that has said so in its log after these words.
    pub fn address_after(&self, words: &str) -> String {
        let log = fs::read_to_string(self.log()).unwrap();
        log.split_once(words).unwrap().1.split(['"', ',', ' ', '\n']).next().unwrap().to_owned()
    }

    /// What the replica has logged.
    pub fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap()
    }

    fn log(&self) -> std::path::PathBuf {
        self.dir.path().join("log")
    }

    pub fn kubeconfig(&self) -> std::path::PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// The names of the Deployment's pods.
    pub fn pods(&self) -> Vec<String> {
        let pods: Vec<k8s_openapi::api::core::v1::Pod> = self.cluster.with(|state| state.list(Some("shop")));
        pods.into_iter().filter_map(|pod| pod.metadata.name).collect()
    }

    /// A notification of the alert about that pod, as Alertmanager sends it.
    pub fn notification(pod: &str) -> Value {
        json!({ "receiver": "paramedic", "alerts": [{
            "status": "firing", "startsAt": Clock::system().now(), "endsAt": "0001-01-01T00:00:00Z",
            "labels": { "alertname": "MemoryLeak", "namespace": "shop", "pod": pod, "severity": "critical" } }] })
    }

    /// Tells the replica that the alert fires.
    pub fn tells_of(&self, pod: &str) {
        let webhook = self.address_after("webhook on ");
        let sent = self.runtime.block_on(async {
            reqwest::Client::new().post(webhook).json(&Self::notification(pod)).send().await.unwrap().status()
        });
        assert_eq!(sent, 200, "{}", fs::read_to_string(self.log()).unwrap());
    }

    /// The only record.
    pub fn record(&self) -> Option<Remediation> {
        self.cluster.with(|state| state.list(None)).pop()
    }

    pub fn is(&self, phase: Phase) {
        self.until(phase.as_str(), |stage| {
            stage.record().and_then(|record| record.status).is_some_and(|status| status.phase == phase)
        });
    }

    pub fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let give_up = Instant::now() + NEVER;
        while !is(self) {
            let log = || fs::read_to_string(self.log()).unwrap_or_default();
            assert!(Instant::now() < give_up, "in vain for {what}: {:?}\n{}", self.record(), log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Runs this program on the cluster.
    pub fn run(&self, line: &str) -> Said {
        self.run_with(line, "")
    }

    /// The same with something on standard input.
    pub fn run_with(&self, line: &str, input: &str) -> Said {
        let mut child = Command::new(env!("CARGO_BIN_EXE_paramedic"))
            .args(words(line))
            .env_clear()
            .env("HOME", self.dir.path())
            .env("KUBECONFIG", self.kubeconfig())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs it, and wants that exit code and all of these words.
    pub fn says(&self, code: i32, line: &str, wanted: &[&str]) -> String {
        self.says_of(code, line, "", wanted)
    }

    /// The same with something on standard input.
    pub fn says_of(&self, code: i32, line: &str, input: &str, wanted: &[&str]) -> String {
        let Said { code: ended, out, err } = self.run_with(line, input);
        let said = format!("{out}{err}");
        assert_eq!(ended, Some(code), "paramedic {line}:\n{said}");
        for part in wanted {
            assert!(said.contains(part), "paramedic {line}: no {part:?} in\n{said}");
        }
        out
    }

    /// Runs it with `-o json`, and reads the answer.
    pub fn json(&self, line: &str) -> Value {
        let said = self.run(&format!("{line} -o json"));
        serde_json::from_str(&said.out)
            .unwrap_or_else(|error| panic!("paramedic {line}: {error}: {}{}", said.out, said.err))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some((mut child, leash)) = self.replica.take() {
            drop(leash);
            let _ = child.kill();
            let _ = child.wait();
        }
        self.stop.cancel();
    }
}

/// The words of a line; quotes hold some together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in line.split('\'').enumerate() {
        if number % 2 == 0 {
            words.extend(part.split_whitespace().map(str::to_owned));
        } else {
            words.push(part.to_owned());
        }
    }
    words
}
