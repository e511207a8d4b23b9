//! The simulated cluster through the real kubectl: what people do with it, and that it answers as they expect.
//!
//! Needs a kubectl in `KUBECTL` or PATH; says so and passes where there is none.

#![allow(clippy::unwrap_used, reason = "what does not go as it should fails the story")]

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client,
    api::{WatchEvent, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use paramedic::{
    clock::Clock,
    sim::{
        Cluster, Settings,
        controllers::{ContainerId, ContainerState, Controllers, Played, Program, Runtime},
        http,
    },
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

fn kubectl() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("KUBECTL") {
        return Some(given.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("kubectl")).find(|file| file.is_file())
}

/// A cluster that is served, and kubectl.
struct Desk {
    kubectl: PathBuf,
    home: PathBuf,
}

struct Answer {
    ok: bool,
    out: String,
    err: String,
}

impl Desk {
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .args(words(line))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("KUBECONFIG", self.home.join("config"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, line: &str, input: &str) -> Answer {
        let mut child = self.command(line).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        Answer {
            ok: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs it, and wants it to succeed, without a warning, and to say all of this.
    fn says(&self, line: &str, wanted: &[&str]) -> String {
        self.says_of(line, "", wanted)
    }

    fn says_of(&self, line: &str, input: &str, wanted: &[&str]) -> String {
        let Answer { ok, out, err } = self.run(line, input);
        assert!(ok, "kubectl {line}: {err}\n{out}");
        // Any kubectl will do that is on the machine; that it is older or newer is its own remark.
        let of_ours = |remark: &str| remark.to_lowercase().contains("warning") && !remark.contains("version skew");
        assert!(!err.lines().any(of_ours), "kubectl {line}: {err}");
        let said = format!("{out}{err}");
        for part in wanted {
            assert!(said.contains(part), "kubectl {line}: no {part:?} in\n{said}");
        }
        out
    }

    /// Runs it, and wants it to fail and to say all of this.
    fn fails(&self, line: &str, wanted: &[&str]) {
        let Answer { ok, out, err } = self.run(line, "");
        assert!(!ok, "kubectl {line} succeeded: {out}");
        for part in wanted {
            assert!(err.contains(part), "kubectl {line}: no {part:?} in\n{err}");
        }
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

fn parse<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

/// Played containers that say something.
struct Talking(Played);

impl Runtime for Talking {
    fn start(&mut self, pod: &Pod, container: &str, now: Timestamp) -> Result<(), String> {
        self.0.start(pod, container, now)
    }

    fn state(&mut self, id: &ContainerId, now: Timestamp) -> ContainerState {
        self.0.state(id, now)
    }

    fn stop(&mut self, id: &ContainerId, grace: Duration, now: Timestamp) {
        self.0.stop(id, grace, now);
    }

    fn forget(&mut self, pod: &str) {
        self.0.forget(pod);
    }

    fn changed(&mut self, now: Timestamp) -> Vec<String> {
        self.0.changed(now)
    }

    fn next(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.0.next(now)
    }

    fn log(&mut self, id: &ContainerId, _previous: bool) -> Option<String> {
        Some(format!("starting\nthis is {}\n", id.container))
    }
}

/// Two pods of a Deployment, which are Ready, under a budget that lets none of them go.
fn furnish(cluster: &Cluster) {
    cluster.with(|state| {
        let labels = json!({"app": "web"});
        let probe = json!({"httpGet": {"path": "/", "port": 80}});
        let container = json!({"name": "web", "image": "web:1", "readinessProbe": probe});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
        let deployment = json!({"metadata": {"name": "web", "namespace": "default"},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}});
        state.create::<Deployment>(&parse(deployment)).unwrap();
        let pod = json!({"metadata": {"name": "alone", "namespace": "default", "labels": labels},
            "spec": {"containers": [{"name": "web", "image": "web:1"}]}});
        state.create::<Pod>(&parse(pod)).unwrap();
        let budget = json!({"metadata": {"name": "web", "namespace": "default"},
            "spec": {"minAvailable": 2, "selector": {"matchLabels": labels}}});
        state.create::<PodDisruptionBudget>(&parse(budget)).unwrap();
    });
}

fn policy(within: &str) -> String {
    format!(
        r#"apiVersion: paramedic.dev/v1alpha1
kind: RemediationPolicy
metadata: {{name: leak, namespace: default}}
spec:
  match: ['alertname="MemoryLeak"']
  target: {{kind: Pod}}
  steps:
  # With what would be added: kubectl compares lists as a whole.
  - restartPod: {{method: Evict}}
    verify: {{within: {within}, stableFor: 1m}}
"#
    )
}

/// Serves a furnished cluster; whatever is done with it runs on another thread.
async fn with_desk(story: impl FnOnce(&Desk, &Cluster) + Send + 'static) {
    let Some(kubectl) = kubectl() else {
        eprintln!("skipped: no kubectl in KUBECTL or PATH");
        return;
    };
    let cluster = Cluster::new(Settings::new(Clock::system()));
    furnish(&cluster);
    let stop = CancellationToken::new();
    let (running, stopped) = (cluster.clone(), stop.clone());
    let controllers = Controllers::new().with_nodes(1);
    tokio::spawn(async move { running.run_with(controllers, Talking(Played::new(Program::serves())), stopped).await });
    let server = http::serve(cluster.service(), http::listen(None).await.unwrap(), stop.clone()).unwrap();
    let name = format!("paramedic-sim-{}-{:016x}", std::process::id(), fastrand::u64(..));
    let home = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&home).unwrap();
    http::write_kubeconfig(&home.join("config"), &server.kubeconfig()).unwrap();
    let desk = Desk { kubectl, home };
    let done = tokio::task::spawn_blocking(move || {
        story(&desk, &cluster);
        desk
    })
    .await;
    stop.cancel();
    server.stopped().await;
    let desk = done.unwrap();
    std::fs::remove_dir_all(&desk.home).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_around() {
    with_desk(|desk, _| {
        desk.says("version", &["Server Version: v1.34"]);
        desk.says("cluster-info", &["control plane is running at https://127.0.0.1"]);
        desk.says("get --raw /version", &["gitVersion"]);
        desk.says("api-resources", &["remediationpolicies", "deploy", "paramedic.dev/v1alpha1"]);
        desk.says("api-versions", &["apps/v1", "paramedic.dev/v1alpha1"]);
        desk.says("wait --for=condition=Available deployment/web --timeout=20s", &["condition met"]);
        desk.says("wait --for=condition=Ready pod/alone --timeout=20s", &["condition met"]);
        let pods = desk.says("get pods -A", &["NAMESPACE", "alone", "web-", "1/1", "Running"]);
        assert!(!pods.contains("NODE"), "{pods}");
        desk.says("get pods -o wide", &["NODE", "node-1", "READINESS GATES"]);
        desk.says("get pods -o yaml", &["kind: List", "podIP:"]);
        desk.says("get pod alone -o jsonpath={.status.phase}", &["Running"]);
        desk.says("get pods -o custom-columns=N:.metadata.name", &["alone"]);
        desk.says("get pods --sort-by=.metadata.name --show-labels", &["app=web", "LABELS"]);
        desk.says("get pods -l app=web --field-selector status.phase=Running --no-headers", &["alone", "web-"]);
        desk.says("get all", &["pod/alone", "deployment.apps/web", "2/2", "replicaset.apps/web-"]);
        desk.says("get pdb,nodes,ns -A", &["poddisruptionbudget.policy/web", "node/node-1", "namespace/default"]);
        desk.says(
            "get cm,secrets,svc,sa,pvc,leases,jobs,cj,sts,ds,rs,controllerrevisions,crds -A",
            &["replicaset.apps/web-"],
        );
        desk.says("describe pod alone", &["Containers:", "Ready:", "Events:"]);
        desk.says("describe deployment web", &["RollingUpdate", "2 desired", "NewReplicaSet:"]);
        desk.says("describe node node-1", &["Name:", "alone"]);
        desk.says("describe pdb web", &["Min available"]);
        desk.says("explain pod.spec.containers", &["FIELDS", "image"]);
        desk.says("explain deployment.spec.replicas", &["FIELD: replicas <integer>"]);
        desk.says("explain remediationpolicy", &["GROUP:      paramedic.dev", "spec"]);
        let spec = desk.says("explain remediationpolicy.spec", &["FIELDS", "-required-"]);
        assert!(!spec.contains("<no description>"), "{spec}");
        desk.says("explain remediationpolicy.spec --recursive", &["restartPod"]);
        desk.says("auth can-i delete pods", &["yes"]);
        desk.says("get events", &["LAST SEEN", "Started", "deployment/web"]);
        desk.says("events", &["ScalingReplicaSet"]);
        assert_eq!(desk.says("logs alone", &[]), "starting\nthis is web\n");
        assert_eq!(desk.says("logs deployment/web --tail=1", &[]), "this is web\n");
        assert_eq!(desk.says("logs -l app=web --tail=1 --prefix", &["[pod/alone/web] this is web"]).lines().count(), 3);
        desk.fails("logs alone -c other", &["container other is not valid for pod alone"]);
        desk.fails("logs alone --previous", &["previous terminated container"]);
        desk.fails("get pod missing", &["NotFound"]);
        desk.fails("get cats", &["doesn't have a resource type"]);
        desk.fails("top pods", &["Metrics API not available"]);
        desk.fails("exec alone -- ls", &["the simulated cluster has no pods/exec"]);
        desk.fails("create ingress x --rule=a/=b:80", &["simulated cluster"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_a_policy() {
    with_desk(|desk, _| {
        desk.says_of("apply -f -", &policy("5m"), &["remediationpolicy.paramedic.dev/leak created"]);
        desk.says_of("apply -f -", &policy("5m"), &["unchanged"]);
        desk.says_of("diff -f -", &policy("5m"), &[]);
        desk.says_of("apply -f -", &policy("6m"), &["configured"]);
        desk.says("get remediationpolicies,remediations,clusterremediationpolicies,pauses -A", &["leak"]);
        desk.says("get remediationpolicy leak -o wide", &["MODE", "AGE"]);
        desk.says("describe remediationpolicy leak", &["Within:", "6m"]);
        desk.says_of("apply --server-side --force-conflicts -f -", &policy("7m"), &["serverside-applied"]);
        desk.says("get remediationpolicy leak -o yaml --show-managed-fields", &["operation: Apply", "7m"]);
        desk.says("get paramedic", &["leak"]);
        desk.says(r#"patch remediationpolicy leak --type merge -p '{"spec":{"mode":"DryRun"}}'"#, &["patched"]);
        desk.says("label remediationpolicy leak team=web", &["labeled"]);
        desk.says("annotate remediationpolicy leak why=because", &["annotated"]);
        let unknown = desk.run("apply -f -", &policy("5m").replace("steps:", "stepz: 1\n  steps:"));
        assert!(!unknown.ok && unknown.err.contains("unknown field \"spec.stepz\""), "{}", unknown.err);
        let wrong = desk.run("apply -f -", &policy("5m").replace("kind: Pod", "kind: Cat"));
        assert!(!wrong.ok && wrong.err.contains("Unsupported value"), "{}", wrong.err);
        desk.says("delete remediationpolicy leak", &["deleted"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_a_record() {
    with_desk(|desk, _| {
        let record = json!({
            "apiVersion": "paramedic.dev/v1alpha1", "kind": "Remediation", "metadata": {"name": "leak-1"},
            "spec": {
                "alert": {
                    "fingerprint": "0123456789abcdef", "labels": {"alertname": "MemoryLeak", "pod": "web-1"},
                    "startsAt": "2026-01-01T00:00:00Z", "receivedAt": "2026-01-01T00:00:01Z",
                },
                "episode": 1, "source": "alertmanager", "mode": "DryRun", "match": ["alertname=\"MemoryLeak\""],
                "policy": {
                    "kind": "RemediationPolicy", "namespace": "default", "name": "leak", "uid": "u", "generation": 1, "hash": "h",
                },
                "target": {"kind": "Pod"}, "namespaces": ["default"],
                "steps": [{"restartPod": {"method": "Evict"}, "verify": {"within": "5m", "stableFor": "1m"}}],
                "limits": {},
            },
        });
        desk.says_of("create -f -", &record.to_string(), &["remediation.paramedic.dev/leak-1 created"]);
        let conditions = json!([{"type": "Confirmed", "status": "True", "reason": "R", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
        let status = json!({"status": {"phase": "Pending", "message": "to be looked at", "conditions": conditions}});
        desk.says(&format!("patch rem leak-1 --subresource=status --type=merge -p '{status}'"), &["patched"]);
        let short = desk.says("get rem", &["POLICY", "leak", "MemoryLeak", "Pending", "True"]);
        assert!(!short.contains("MESSAGE"), "{short}");
        desk.says("get remediations -A -o wide", &["MESSAGE", "to be looked at"]);
        desk.says("describe remediation leak-1", &["Fingerprint:", "0123456789abcdef", "Phase:"]);
        desk.says("wait --for=condition=Confirmed rem/leak-1 --timeout=10s", &["condition met"]);
        desk.says("explain remediation.status.phase", &["ENUM", "Verifying"]);
        let changed = desk.run("patch rem leak-1 --type=merge -p '{\"spec\":{\"episode\":2}}'", "");
        assert!(changed.err.contains("a Remediation's spec cannot be changed"), "{}", changed.err);
    })
    .await;
}

/// Needs no kubectl: what the kubeconfig says is enough for any client.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_reaches_it_by_the_kubeconfig_and_again_after_it_was_away() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cluster = Cluster::new(Settings::new(Clock::system()));
    let stop = CancellationToken::new();
    let server = http::serve(cluster.service(), http::listen(None).await.unwrap(), stop.clone()).unwrap();
    let kubeconfig = Kubeconfig::from_yaml(&server.kubeconfig()).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    let namespaces: Api<Namespace> = Api::all(Client::try_from(config).unwrap());
    assert!(namespaces.get_opt("default").await.unwrap().is_some());

    let mut watch = namespaces.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Added(_)))));
    server.pause(http::Down::Refused).await.unwrap();
    while let Some(event) = watch.next().await {
        if event.is_err() {
            break;
        }
    }
    assert!(namespaces.get("default").await.is_err());
    server.pause(http::Down::Unavailable).await.unwrap();
    let error = namespaces.get("default").await.unwrap_err();
    assert!(matches!(&error, kube::Error::Api(status) if status.code == 503), "{error}");
    server.resume().await.unwrap();
    assert_eq!(namespaces.get("default").await.unwrap().metadata.name.as_deref(), Some("default"));
    stop.cancel();
    server.stopped().await;
    assert!(namespaces.get("default").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn working_with_workloads() {
    with_desk(|desk, _| {
        let done = "rollout status deployment/web --timeout=30s";
        desk.says(done, &["successfully rolled out"]);
        desk.says("create ns shop", &["namespace/shop created"]);
        desk.says("create deployment api --image=api:1 --port 80 -n shop", &["deployment.apps/api created"]);
        desk.says("create job once --image=x -n shop", &["job.batch/once created"]);
        desk.says("create configmap c --from-literal=a=b -n shop", &["created"]);
        desk.says("run one --image=x -n shop", &["pod/one created"]);
        desk.says("get cm,deploy -n shop", &["configmap/c", "deployment.apps/api"]);
        desk.says("scale deployment web --replicas=3", &["scaled"]);
        desk.says(done, &["successfully rolled out"]);
        desk.says("set image deployment/web web=web:2", &["image updated"]);
        desk.says(done, &["successfully rolled out"]);
        desk.says("rollout restart deployment/web", &["restarted"]);
        desk.says(done, &["successfully rolled out"]);
        desk.says("rollout history deployment/web", &["REVISION", "3"]);
        desk.says("rollout undo deployment/web", &["rolled back"]);
        desk.says(done, &["successfully rolled out"]);
        let edited = desk.says("get deploy web -o yaml", &["replicas: 3"]).replace("replicas: 3", "replicas: 2");
        desk.says_of("replace -f -", &edited, &["replaced"]);
        desk.says(done, &["successfully rolled out"]);
        desk.says(
            "patch pdb web --type json -p '[{\"op\": \"replace\", \"path\": \"/spec/minAvailable\", \"value\": 3}]'",
            &["patched"],
        );
        let eviction =
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "alone"}}).to_string();
        let refused = desk.run("create --raw /api/v1/namespaces/default/pods/alone/eviction -f -", &eviction);
        assert!(!refused.ok && refused.err.contains("disruption budget"), "{}", refused.err);
        desk.says("delete pdb web", &["deleted"]);
        // That warns of the pod that nobody makes anew.
        let drained = desk.run("drain node-1 --force --timeout=30s", "");
        assert!(drained.ok && drained.out.contains("node/node-1 drained"), "{}{}", drained.out, drained.err);
        desk.says("get nodes", &["Ready,SchedulingDisabled"]);
        desk.says("uncordon node-1", &["uncordoned"]);
        desk.says(done, &["successfully rolled out"]);
        desk.says("taint node node-1 a=b:PreferNoSchedule", &["tainted"]);
        let pods = desk.says("get pods -l app=web -o name", &["pod/web-"]);
        let pod = pods.lines().next().unwrap();
        desk.says(&format!("delete {pod} --timeout=20s"), &["deleted"]);
        desk.says(done, &["successfully rolled out"]);
        desk.says("delete deployment web --timeout=20s", &["deleted"]);
        desk.says("delete ns shop --timeout=30s", &["deleted"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watching() {
    with_desk(|desk, cluster| {
        desk.says("wait --for=condition=Ready pod/alone --timeout=20s", &["condition met"]);
        let log = desk.command("logs -f alone").spawn().unwrap();
        let child = desk.command("get pods -w").spawn().unwrap();
        let id = child.id();
        std::thread::sleep(Duration::from_secs(2));
        let pod = json!({"metadata": {"name": "late", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "x"}]}});
        cluster.with(|state| state.create::<Pod>(&parse(pod)).unwrap());
        std::thread::sleep(Duration::from_secs(2));
        assert!(Command::new("kill").arg(id.to_string()).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert_eq!(out.matches("NAME").count(), 1, "{out}");
        let late: Vec<&str> = out.lines().filter(|line| line.starts_with("late")).collect();
        assert!(late.first().is_some_and(|line| line.contains("0/1")), "{out}");
        assert!(late.last().is_some_and(|line| line.contains("1/1")), "{out}");
        // A log ends with its container.
        desk.says("delete pod alone", &["deleted"]);
        let output = log.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "starting\nthis is web\n");
    })
    .await;
}
