//! What becomes of the resident memory in hours of storms: `make soak`.
//!
//! Records are made until as many are stored as a large cluster keeps. From then on storms come: one POST a few seconds of a
//! thousand alerts that fire, most of which are on record or answered by nobody, and some of which are new; then the notice
//! that those are over. Everything is a dry run about pods that stay as they are, so that nothing but Paramedic changes.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::ensure;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use paramedic::{api::Remediation, clock::Clock};
use serde_json::{Value, json};

use crate::{
    cluster::{OWN, PODS},
    server::{Paramedic, Scratch},
};

/// So many records are stored.
const STORED: usize = 10_000;
/// So many alerts are new in each POST until then, and afterwards.
const FILLING: usize = 500;
const NEW: usize = 20;
/// So many alerts are in each POST of a storm.
const STORM: usize = 1_000;
/// The time between two storms.
const PAUSE: Duration = Duration::from_secs(5);
/// How long an alert fires before it is over.
const FIRES: Duration = Duration::from_secs(2);
/// How long the records of one POST may take to end.
const PATIENCE: Duration = Duration::from_mins(2);

/// What was seen.
pub struct Soak {
    /// How long the storms lasted.
    pub storms_for: Duration,
    /// How many there were.
    pub storms: usize,
    /// How many records there are at the end.
    pub stored: usize,
    /// Resident memory in bytes when it was idle, and once the records were stored.
    pub idle: u64,
    /// Resident memory in bytes after each storm.
    pub samples: Vec<u64>,
}

impl Soak {
    /// The most of the first and of the last quarter of the storms.
    pub fn first_and_last_quarter(&self) -> (u64, u64) {
        let quarter = self.samples.len().div_ceil(4);
        let most = |samples: &[u64]| samples.iter().max().copied().unwrap_or_default();
        let last = self.samples.len().saturating_sub(quarter);
        (most(self.samples.get(..quarter).unwrap_or_default()), most(self.samples.get(last..).unwrap_or_default()))
    }
}

/// Writes the policy.
pub fn write_policy(scratch: &Scratch) -> anyhow::Result<PathBuf> {
    let text = format!(
        "apiVersion: paramedic.dev/v1alpha1\nkind: RemediationPolicy\nmetadata: {{name: soak, namespace: {PODS}}}\nspec:\n  \
         mode: DryRun\n  match: ['alertname=\"Soak\"']\n  target: {{kind: Deployment}}\n  steps: [{{rolloutRestart: {{}}}}]\n  \
         limits: {{cooldown: 1s, rate: {{actions: 10000, per: 1h}}, concurrency: 1000}}\n"
    );
    scratch.write("soak.yaml", &text)
}

/// Storms for so long.
pub async fn soak(client: &Client, paramedic: &Paramedic, image: &str, lasts: Duration) -> anyhow::Result<Soak> {
    let deployments = Api::namespaced(client.clone(), PODS);
    deployments.create(&PostParams::default(), &crate::eviction::deployment(0, image)?).await?;
    let http = reqwest::Client::new();
    let idle = paramedic.resident()?;
    let mut number = 0;
    while number < STORED {
        episode(paramedic, &http, number..number + FILLING, 0).await?;
        number += FILLING;
        eprintln!("{number} records; resident {} MiB", paramedic.resident()? >> 20);
    }
    let (began, mut samples) = (Instant::now(), Vec::new());
    while began.elapsed() < lasts {
        episode(paramedic, &http, number..number + NEW, STORM - NEW).await?;
        number += NEW;
        samples.push(paramedic.resident()?);
        if samples.len().is_multiple_of(20) {
            eprintln!("{} storms; resident {} MiB", samples.len(), samples.last().copied().unwrap_or_default() >> 20);
        }
        tokio::time::sleep(PAUSE).await;
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), PODS);
    ensure!(!pods.list(&ListParams::default()).await?.items.is_empty(), "the pods are gone, in a dry run");
    Ok(Soak { storms_for: began.elapsed(), storms: samples.len(), stored: stored(client).await?, idle, samples })
}

/// These alerts fire, beside others that are known or that nobody answers, and are over again.
async fn episode(
    paramedic: &Paramedic,
    http: &reqwest::Client,
    new: std::ops::Range<usize>,
    others: usize,
) -> anyhow::Result<()> {
    let known = new.start.saturating_sub(others / 2)..new.start;
    let unanswered = others - known.len();
    let mut alerts: Vec<Value> = new.clone().map(|number| alert("Soak", number, "firing")).collect();
    // Their records have ended: they are late notices of what is over.
    alerts.extend(known.map(|number| alert("Soak", number, "resolved")));
    alerts.extend((0..unanswered).map(|number| alert("Unanswered", number, "firing")));
    post(http, &paramedic.webhook, &alerts).await?;
    tokio::time::sleep(FIRES).await;
    let over: Vec<Value> = new.clone().map(|number| alert("Soak", number, "resolved")).collect();
    post(http, &paramedic.webhook, &over).await?;
    let end = Instant::now() + PATIENCE;
    while paramedic.metric("paramedic_remediations").await?.values().sum::<f64>() > 0.0 {
        ensure!(Instant::now() < end, "the records of alerts {new:?} do not end");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

fn alert(name: &str, number: usize, status: &str) -> Value {
    let now = Clock::system().now();
    let ends_at = if status == "firing" { json!("0001-01-01T00:00:00Z") } else { json!(now) };
    let labels = json!({
        "alertname": name, "namespace": PODS, "deployment": "bench-00", "number": format!("{number:06}"),
        "severity": "warning", "prometheus": "monitoring/k8s", "job": "kube-state-metrics",
    });
    let annotations = json!({"summary": "It is measured how much memory this takes."});
    // The same each time it is told of.
    let starts_at = "2026-01-01T00:00:00Z";
    json!({"status": status, "labels": labels, "annotations": annotations, "startsAt": starts_at, "endsAt": ends_at})
}

async fn post(http: &reqwest::Client, webhook: &str, alerts: &[Value]) -> anyhow::Result<()> {
    let body = json!({"version": "4", "status": "firing", "receiver": "paramedic", "alerts": alerts});
    // As Alertmanager does: 503 says that it is to come again.
    for _ in 0..10 {
        let answer = http.post(webhook).json(&body).send().await?;
        let status = answer.status().as_u16();
        if status == 200 {
            return Ok(());
        }
        ensure!(status == 503, "the webhook answered {status}: {}", answer.text().await?);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    anyhow::bail!("the webhook does not take {} alerts", alerts.len())
}

async fn stored(client: &Client) -> anyhow::Result<usize> {
    let api: Api<Remediation> = Api::namespaced(client.clone(), OWN);
    let list = api.list_metadata(&ListParams::default()).await?;
    Ok(list.items.len())
}
