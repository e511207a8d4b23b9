//! The simulated cluster through the real kubectl: what people do with it, and that it answers as they expect.
//!
//! Needs a kubectl in `KUBECTL` or PATH; says so and passes where there is none.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Node, Pod},
    policy::v1::PodDisruptionBudget,
};
use paramedic::{
    clock::Clock,
    sim::{Cluster, Settings, http},
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
        assert!(!err.to_lowercase().contains("warning"), "kubectl {line}: {err}");
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

fn furnish(cluster: &Cluster) {
    cluster.with(|state| {
        let node = json!({"metadata": {"name": "sim"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        state.create::<Node>(&parse(node)).unwrap();
        let labels = json!({"app": "web"});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}});
        let mut deployment: Deployment = parse(json!({"metadata": {"name": "web", "namespace": "default"},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}}));
        deployment = state.create(&deployment).unwrap();
        deployment.status = Some(parse(json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2,
            "readyReplicas": 2, "availableReplicas": 2, "conditions": [{"type": "Available", "status": "True"}]})));
        state.update_status(&deployment).unwrap();
        for name in ["web-1", "web-2"] {
            let mut pod: Pod = parse(json!({"metadata": {"name": name, "namespace": "default", "labels": labels},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]}}));
            pod = state.create(&pod).unwrap();
            pod.status = Some(parse(json!({"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "web", "ready": true, "restartCount": 1, "image": "web:1", "imageID": "",
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:00:00Z"}}}]})));
            state.update_status(&pod).unwrap();
        }
        let budget = json!({"metadata": {"name": "web", "namespace": "default"},
            "spec": {"minAvailable": 2, "selector": {"matchLabels": labels}}});
        let mut budget: PodDisruptionBudget = state.create(&parse(budget)).unwrap();
        budget.status = Some(parse(json!({"observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 2,
            "disruptionsAllowed": 0})));
        state.update_status(&budget).unwrap();
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
  - restartPod: {{}}
    verify: {{within: {within}}}
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
        desk.says("get --raw /version", &["gitVersion"]);
        desk.says("api-resources", &["remediationpolicies", "deploy", "paramedic.dev/v1alpha1"]);
        desk.says("api-versions", &["apps/v1", "paramedic.dev/v1alpha1"]);
        let pods = desk.says("get pods -A", &["NAMESPACE", "web-1", "1/1", "Running", "1 ("]);
        assert!(!pods.contains("NODE"), "{pods}");
        desk.says("get pods -o wide", &["NODE", "10.0.0.1"]);
        desk.says("get pods -o yaml", &["kind: List", "OOMKilled"]);
        desk.says("get pod web-1 -o jsonpath={.status.phase}", &["Running"]);
        desk.says("get pods -o custom-columns=N:.metadata.name", &["web-2"]);
        desk.says("get pods -l app=web --field-selector status.phase=Running --no-headers", &["web-1", "web-2"]);
        desk.says("get all", &["pod/web-1", "deployment.apps/web", "2/2"]);
        desk.says(
            "get deploy,pdb,nodes,ns -A",
            &["deployment.apps/web", "poddisruptionbudget.policy/web", "node/sim", "namespace/default"],
        );
        desk.says("describe pod web-1", &["OOMKilled", "Containers:", "Events:"]);
        desk.says("describe deployment web", &["RollingUpdate", "2 desired"]);
        desk.says("describe node sim", &["Name:", "sim"]);
        desk.says("describe pdb web", &["Min available"]);
        desk.says("explain pod.spec.containers", &["FIELDS", "image"]);
        desk.says("explain deployment.spec.replicas", &["FIELD: replicas <integer>"]);
        desk.says("explain remediationpolicy", &["GROUP:      paramedic.dev", "spec"]);
        desk.says("explain remediationpolicy.spec", &["FIELDS", "-required-"]);
        desk.says("explain remediationpolicy.spec --recursive", &["restartPod"]);
        desk.says("auth can-i delete pods", &["yes"]);
        desk.says("get events", &["No resources found"]);
        desk.says("events", &["No events found"]);
        desk.fails("get pod missing", &["NotFound"]);
        desk.fails("get cats", &["doesn't have a resource type"]);
        desk.fails("top pods", &["Metrics API not available"]);
        desk.fails("exec web-1 -- ls", &["simulated"]);
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
async fn working_with_workloads() {
    with_desk(|desk, cluster| {
        desk.says("create ns shop", &["namespace/shop created"]);
        desk.says("create deployment api --image=api:1 -n shop", &["deployment.apps/api created"]);
        desk.says("create configmap c --from-literal=a=b -n shop", &["created"]);
        desk.says("get cm,deploy -n shop", &["configmap/c", "deployment.apps/api"]);
        desk.says("scale deployment web --replicas=3", &["scaled"]);
        desk.says("set image deployment/web web=web:2", &["image updated"]);
        desk.says("rollout restart deployment/web", &["restarted"]);
        desk.says("rollout history deployment/web", &["REVISION"]);
        let web: Deployment = cluster.with(|state| state.get("default", "web")).unwrap();
        let generation = web.metadata.generation;
        assert_eq!(web.spec.as_ref().unwrap().replicas, Some(3));
        cluster.with(|state| {
            let mut web = web;
            web.status.as_mut().unwrap().observed_generation = generation;
            let status = web.status.as_mut().unwrap();
            status.replicas = Some(3);
            (status.updated_replicas, status.available_replicas) = (Some(3), Some(3));
            state.update_status(&web).unwrap();
        });
        desk.says("rollout status deployment/web --timeout=10s", &["successfully rolled out"]);
        desk.says("wait --for=condition=Available deployment/web --timeout=10s", &["condition met"]);
        desk.says("wait --for=condition=Ready pod/web-1 --timeout=10s", &["condition met"]);
        desk.says("cordon sim", &["cordoned"]);
        desk.says("uncordon sim", &["uncordoned"]);
        let edited = desk.says("get deploy web -o yaml", &[]).replace("replicas: 3", "replicas: 4");
        desk.says_of("replace -f -", &edited, &["replaced"]);
        desk.says("delete pod web-2 --grace-period=0 --force=false --wait=false", &["deleted"]);
        desk.says("delete ns shop --wait=false", &["deleted"]);
        let eviction =
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web-1"}}).to_string();
        let refused = desk.run("create --raw /api/v1/namespaces/default/pods/web-1/eviction -f -", &eviction);
        assert!(!refused.ok && refused.err.contains("disruption budget"), "{}", refused.err);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watching() {
    with_desk(|desk, cluster| {
        let child = desk.command("get pods -w").spawn().unwrap();
        let id = child.id();
        std::thread::sleep(Duration::from_secs(2));
        let pod = json!({"metadata": {"name": "late", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "x"}]}});
        cluster.with(|state| state.create::<Pod>(&parse(pod)).unwrap());
        std::thread::sleep(Duration::from_secs(1));
        assert!(Command::new("kill").arg(id.to_string()).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert_eq!(out.matches("NAME").count(), 1, "{out}");
        assert!(out.contains("late") && out.contains("0/1"), "{out}");
    })
    .await;
}
