//! How many alerts a second the webhook takes: wrk on loopback, bodies of several sizes, policies of several numbers.

use std::{
    fmt::Write,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use serde_json::json;

use crate::{
    cluster::PODS,
    server::{Paramedic, Process, Scratch},
};

/// How many alerts the bodies have.
pub const SIZES: [usize; 4] = [1, 10, 100, 1000];
/// Each rate is the middle one of as many measurements.
const MEASUREMENTS: usize = 3;
/// Of wrk. The threads share the machine's cores with the server.
const THREADS: usize = 2;
const CONNECTIONS: usize = 16;

/// How many policies are in force: of those that fix alertname, and of those that do not and so are tried on every alert.
#[derive(Clone, Copy)]
pub struct PolicySet {
    named: usize,
    unindexed: usize,
}

/// What is measured.
pub const POLICY_SETS: [(&str, PolicySet); 4] = [
    ("1 policy", PolicySet { named: 1, unindexed: 0 }),
    ("1,000 policies", PolicySet { named: 1000, unindexed: 0 }),
    ("10,000 policies", PolicySet { named: 10_000, unindexed: 0 }),
    ("1,000 policies and 100 that do not fix alertname", PolicySet { named: 1000, unindexed: 100 }),
];

/// A webhook's body in a file.
pub struct Body {
    alerts: usize,
    /// Its length.
    pub bytes: usize,
    file: PathBuf,
}

/// What wrk counted while it measured one body.
pub struct Rate {
    /// Alerts a second.
    pub alerts: f64,
    /// Alerts in all the requests that were answered, the warming up not counted.
    answered: f64,
}

/// Writes the bodies: alerts as kube-prometheus's rules make them, each of another pod, which no policy here answers.
pub fn bodies(scratch: &Scratch) -> anyhow::Result<Vec<Body>> {
    SIZES.iter().map(|&alerts| body(scratch, alerts)).collect()
}

fn body(scratch: &Scratch, alerts: usize) -> anyhow::Result<Body> {
    let list: Vec<_> = (0..alerts).map(alert).collect();
    let text = json!({
        "version": "4",
        "groupKey": "{}/{severity=\"warning\"}:{alertname=\"BenchUnanswered\"}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "paramedic",
        "groupLabels": {"alertname": "BenchUnanswered"},
        "commonLabels": {"alertname": "BenchUnanswered", "severity": "warning"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.monitoring:9093",
        "alerts": list,
    })
    .to_string();
    Ok(Body { alerts, bytes: text.len(), file: scratch.write(&format!("body-{alerts}.json"), &text)? })
}

fn alert(number: usize) -> serde_json::Value {
    let pod = format!("checkout-7d9c5b8f6-{number:05}");
    json!({
        "status": "firing",
        "labels": {
            "alertname": "BenchUnanswered",
            "container": "checkout",
            "instance": "10.244.1.17:8443",
            "job": "kube-state-metrics",
            "namespace": "shop",
            "pod": pod,
            "prometheus": "monitoring/k8s",
            "severity": "warning",
        },
        "annotations": {
            "description": format!("Pod shop/{pod} (checkout) is in waiting state (reason: \"CrashLoopBackOff\")."),
            "runbook_url": "https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubepodcrashlooping",
            "summary": "Pod is crash looping.",
        },
        "startsAt": "2026-11-21T08:00:00.123Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.monitoring:9090/graph?g0.expr=bench&g0.tab=1",
        "fingerprint": format!("{number:016x}"),
    })
}

/// Writes a folder of policies, a file each.
pub fn write_policies(scratch: &Scratch, set: PolicySet) -> anyhow::Result<PathBuf> {
    let folder = scratch.folder(&format!("policies-{}-{}", set.named, set.unindexed))?;
    let named = (0..set.named).map(|number| (format!("named-{number:04}"), format!("alertname=\"Bench{number:04}\"")));
    let unindexed = (0..set.unindexed).map(|number| (format!("any-{number:04}"), format!("team=\"team-{number:04}\"")));
    for (name, matcher) in named.chain(unindexed) {
        let policy = format!(
            "apiVersion: paramedic.dev/v1alpha1\nkind: RemediationPolicy\nmetadata: {{name: {name}, namespace: {PODS}}}\n\
             spec:\n  mode: DryRun\n  match: ['{matcher}', 'severity=~\"critical|warning\"']\n  target: {{kind: Pod}}\n  \
             steps: [{{restartPod: {{}}}}]\n"
        );
        std::fs::write(folder.join(format!("{name}.yaml")), policy)?;
    }
    Ok(folder)
}

/// The rate of each body. Fails on any answer that is not a success.
pub async fn rates(webhook: &str, bodies: &[Body], seconds: u64, scratch: &Scratch) -> anyhow::Result<Vec<Rate>> {
    let mut rates = Vec::new();
    for body in bodies {
        let script = script(scratch, &body.file)?;
        wrk(webhook, &script, 1).await?;
        let mut measured = Vec::new();
        let mut requests = 0.0;
        for _ in 0..MEASUREMENTS {
            let run = wrk(webhook, &script, seconds).await?;
            requests += run.requests;
            measured.push(run.requests / run.seconds);
        }
        measured.sort_by(f64::total_cmp);
        let alerts = count(body.alerts);
        let middle = measured.get(MEASUREMENTS / 2).copied().unwrap_or_default();
        let rate = Rate { alerts: middle * alerts, answered: requests * alerts };
        eprintln!("{webhook}: {} alerts a body: {:.0} alerts/s", body.alerts, rate.alerts);
        rates.push(rate);
    }
    Ok(rates)
}

/// Asks the server itself what it answered: 200 and nothing else, and that no policy matched any alert.
pub async fn confirm(paramedic: &Paramedic, bodies: &[Body], rates: &[Rate]) -> anyhow::Result<()> {
    if bodies.is_empty() {
        return Ok(());
    }
    let answers = paramedic.metric("paramedic_webhook_requests_total").await?;
    ensure!(answers.keys().eq([r#"{code="200"}"#]), "not every answer was 200: {answers:?}");
    let alerts = paramedic.metric("paramedic_alerts_received_total").await?;
    let unmatched = alerts.iter().all(|(labels, _)| labels.contains(r#"outcome="NoMatch""#));
    ensure!(unmatched, "not every alert matched nothing: {alerts:?}");
    let received: f64 = alerts.values().sum();
    let answered: f64 = rates.iter().map(|rate| rate.answered).sum();
    ensure!(received >= answered, "wrk counts {answered} alerts, and Paramedic {received}, of {} bodies", bodies.len());
    Ok(())
}

fn script(scratch: &Scratch, body: &Path) -> anyhow::Result<PathBuf> {
    let mut text = String::new();
    writeln!(text, "local file = assert(io.open({:?}, 'rb'))", body.display().to_string())?;
    text.push_str(
        "wrk.method = 'POST'\n\
         wrk.headers['Content-Type'] = 'application/json'\n\
         wrk.body = file:read('*a')\n\
         file:close()\n\
         function done(summary)\n\
         \x20 local e = summary.errors\n\
         \x20 print('counted', summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout)\n\
         end\n",
    );
    scratch.write("wrk.lua", &text)
}

struct Run {
    requests: f64,
    seconds: f64,
}

async fn wrk(webhook: &str, script: &Path, seconds: u64) -> anyhow::Result<Run> {
    let mut command = Command::new("wrk");
    command.arg(format!("-t{THREADS}")).arg(format!("-c{CONNECTIONS}")).arg(format!("-d{seconds}s"));
    command.arg("--timeout").arg("10s").arg("-s").arg(script).arg(webhook).stdout(Stdio::piped());
    let mut process = Process::spawn(&mut command)?;
    let output = process.output();
    ensure!(process.end().await?, "wrk failed");
    let mut text = String::new();
    output.context("wrk has no output")?.read_to_string(&mut text)?;
    let counted = text.lines().find_map(|line| line.strip_prefix("counted")).context("wrk did not count")?;
    let numbers: Vec<f64> = counted.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let &[requests, microseconds, refused, broken] = numbers.as_slice() else {
        anyhow::bail!("wrk counted otherwise: {counted}");
    };
    ensure!(refused == 0.0 && broken == 0.0, "{refused} answers were no success, {broken} requests had none");
    ensure!(requests > 0.0, "nothing was answered");
    Ok(Run { requests, seconds: microseconds / 1e6 })
}

/// Exact for every number there is here.
fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
