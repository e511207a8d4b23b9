//! How long after its alert a pod is evicted, beside a bare deletion by the same kind of client.
//!
//! Both are seen on one watch: the time ends when the pod's `deletionTimestamp` or its end arrives there. One pod is
//! ended at a time, by turns in one way and another, and only when every Deployment is whole again, so that what is
//! timed is the way and not the cluster's other work.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use futures::StreamExt;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, EvictParams, ListParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use paramedic::{
    api::{Phase, Remediation},
    clock::Clock,
};
use serde_json::json;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    calls,
    cluster::{OWN, PODS},
    server::{Paramedic, Scratch},
};

/// So many Deployments are there, of two pods each. A remediation locks its Deployment until it is verified, which is when
/// `VERIFY_WITHIN` has passed, as nobody can be asked whether the alert is over. Before it is a Deployment's turn again, at
/// over a second a turn, that must have come: the next turn's deletion would be taken for its failure.
const DEPLOYMENTS: usize = 15;
/// So many Deployments are in trouble at once, and so often.
pub const BURST: usize = 50;
const BURSTS: usize = 3;
const REPLICAS: usize = 2;
const VERIFY_WITHIN: &str = "8s";
/// The same of a burst, which takes longer to be whole again.
const BURST_WITHIN: &str = "40s";
const BURST_VERIFIED_AFTER: Duration = Duration::from_secs(45);
/// The label by which a pod's Deployment is known.
const LABEL: &str = "bench";
/// The alerts about one Deployment, and about all of them.
const ONE: &str = "BenchEviction";
const ALL: &str = "BenchBurst";
/// How long the cluster is left alone once every pod is ready.
const QUIET: Duration = Duration::from_millis(200);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// What is not counted: connections are opened, caches filled.
const WARM_UP: usize = 3;

/// The times of each way.
#[derive(Default)]
pub struct Latencies {
    /// From the POST to its answer, which says that the alert is on record.
    pub answered: Vec<Duration>,
    /// From the POST to the eviction.
    pub evicted: Vec<Duration>,
    /// From the first of the calls that this takes, made by a client that does nothing else, to the eviction.
    pub by_calls: Vec<Duration>,
    /// From a bare call of DELETE to the deletion.
    pub deleted: Vec<Duration>,
    /// From the POST of one body with an alert for each of `BURST` Deployments to the last eviction.
    pub burst_evicted: Vec<Duration>,
    /// From as many bare evictions at once to the last of them.
    pub burst_bare: Vec<Duration>,
}

/// Writes the policy; its limits never bind, as each would be what is measured.
pub fn write_policy(scratch: &Scratch) -> anyhow::Result<PathBuf> {
    let policy = |name: &str, alertname: &str, within: &str| {
        format!(
            "---\napiVersion: paramedic.dev/v1alpha1\nkind: RemediationPolicy\nmetadata: {{name: {name}, namespace: {PODS}}}\nspec:\n  \
             mode: Enforce\n  match: ['alertname=\"{alertname}\"', 'severity=~\"critical|warning\"']\n  target: {{kind: Pod}}\n  \
             steps:\n    - restartPod: {{}}\n      verify: {{within: {within}, stableFor: 1s}}\n  limits:\n    cooldown: 1s\n    \
             rate: {{actions: 10000, per: 24h}}\n    concurrency: 1000\n    \
             giveUp: {{failures: 1000, recurrences: 10000, per: 1s}}\n    breaker: {{failed: 100%, least: 10000, per: 1s}}\n"
        )
    };
    let one = policy("bench", ONE, VERIFY_WITHIN);
    scratch.write("eviction.yaml", &(one + &policy("bench-burst", ALL, BURST_WITHIN)))
}

/// Measures as many of each.
pub async fn latencies(client: &Client, paramedic: &Paramedic, image: &str, count: usize) -> anyhow::Result<Latencies> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), PODS);
    for number in 0..DEPLOYMENTS {
        deployments.create(&PostParams::default(), &deployment(number, image)?).await?;
    }
    calls::served(client).await?;
    let mut pods = Watched::new(client, DEPLOYMENTS);
    let api: Api<Pod> = Api::namespaced(client.clone(), PODS);
    let http = reqwest::Client::new();
    let mut latencies = Latencies::default();
    for turn in 0..WARM_UP + count {
        let deployment = turn % DEPLOYMENTS;
        let name = pods.next(deployment).await?;
        latencies.deleted.push(delete(&api, &mut pods, &name).await?);
        let name = pods.next(deployment).await?;
        latencies.by_calls.push(by_calls(client, &mut pods, &name, &deployment_name(deployment)).await?);
        let name = pods.next(deployment).await?;
        let (answered, evicted) = post(&http, &paramedic.webhook, &mut pods, &name).await?;
        latencies.answered.push(answered);
        latencies.evicted.push(evicted);
        if (turn + 1) % 20 == 0 {
            eprintln!("{} of {} evictions", turn + 1, WARM_UP + count);
        }
    }
    let all = [&mut latencies.answered, &mut latencies.evicted, &mut latencies.by_calls, &mut latencies.deleted];
    for times in all {
        times.drain(..WARM_UP);
    }
    verified(client, WARM_UP + count).await?;
    for number in DEPLOYMENTS..BURST {
        deployments.create(&PostParams::default(), &deployment(number, image)?).await?;
    }
    pods.deployments = BURST;
    for _ in 0..BURSTS {
        let names = pods.one_each().await?;
        latencies.burst_bare.push(evict_all(&api, &mut pods, &names).await?);
        let names = pods.one_each().await?;
        latencies.burst_evicted.push(post_all(&http, &paramedic.webhook, &mut pods, &names).await?);
        // Before a Deployment's turn comes again, its remediation must have been verified.
        tokio::time::sleep(BURST_VERIFIED_AFTER).await;
    }
    verified(client, WARM_UP + count + BURSTS * BURST).await?;
    Ok(latencies)
}

/// A Deployment of two pods that do nothing.
pub fn deployment(number: usize, image: &str) -> anyhow::Result<Deployment> {
    let name = deployment_name(number);
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": {LABEL: name}},
            "template": {
                "metadata": {"labels": {LABEL: name}},
                "spec": {
                    "automountServiceAccountToken": false,
                    // `sleep` as the first process does not heed SIGTERM.
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "sleep", "image": image, "command": ["sleep", "86400"]}],
                },
            },
        },
    }))?)
}

fn deployment_name(number: usize) -> String {
    format!("bench-{number:02}")
}

async fn delete(api: &Api<Pod>, pods: &mut Watched, name: &str) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let params = DeleteParams::default();
    let (answer, ended) = tokio::join!(api.delete(name, &params), pods.end_of(name));
    answer.context("the deletion was refused")?;
    Ok(ended?.duration_since(began))
}

async fn by_calls(client: &Client, pods: &mut Watched, name: &str, deployment: &str) -> anyhow::Result<Duration> {
    let selector = format!("{LABEL}={deployment}");
    let (began, ended) = tokio::try_join!(calls::evict(client, name, deployment, &selector), pods.end_of(name))?;
    Ok(ended.duration_since(began))
}

/// Gives the time to the answer and the time to the eviction.
async fn post(
    http: &reqwest::Client,
    webhook: &str,
    pods: &mut Watched,
    name: &str,
) -> anyhow::Result<(Duration, Duration)> {
    let body = body(ONE, &[name.to_owned()]);
    let began = Instant::now();
    let (answered, ended) = tokio::join!(taken(http, webhook, &body, 1), pods.end_of(name));
    Ok((answered?, ended?.duration_since(began)))
}

/// A notification with an alert for each of these pods.
fn body(alertname: &str, pods: &[String]) -> serde_json::Value {
    let alert = |pod: &String| {
        json!({
            "status": "firing",
            "labels": {"alertname": alertname, "severity": "warning", "namespace": PODS, "pod": pod},
            "annotations": {"summary": "It is measured how long this takes."},
            "startsAt": Clock::system().now(),
            "endsAt": "0001-01-01T00:00:00Z",
        })
    };
    let alerts: Vec<_> = pods.iter().map(alert).collect();
    json!({"version": "4", "status": "firing", "receiver": "paramedic", "alerts": alerts})
}

/// Posts it, and gives the time to the answer, which says that so many records were made.
async fn taken(
    http: &reqwest::Client,
    webhook: &str,
    body: &serde_json::Value,
    records: usize,
) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let answer = http.post(webhook).json(body).send().await?;
    let answered = began.elapsed();
    let (status, text) = (answer.status(), answer.text().await?);
    let created = format!("\"Created\":{records}");
    ensure!(status == 200 && text.contains(&created), "the webhook answered {status}: {text}");
    Ok(answered)
}

/// Evicts all of them at once; gives the time to the last one's end.
async fn evict_all(api: &Api<Pod>, pods: &mut Watched, names: &[String]) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let params = EvictParams::default();
    let evicted = futures::future::try_join_all(names.iter().map(|name| api.evict(name, &params)));
    let (answers, last) = tokio::join!(evicted, pods.end_of_all(names));
    answers.context("an eviction was refused")?;
    Ok(last?.duration_since(began))
}

/// Posts one body with an alert for each of them; gives the time to the last one's end.
async fn post_all(
    http: &reqwest::Client,
    webhook: &str,
    pods: &mut Watched,
    names: &[String],
) -> anyhow::Result<Duration> {
    let body = body(ALL, names);
    let began = Instant::now();
    let (answered, last) = tokio::join!(taken(http, webhook, &body, names.len()), pods.end_of_all(names));
    answered?;
    Ok(last?.duration_since(began))
}

/// Waits until every record has ended; fails unless each of them tells of a success.
async fn verified(client: &Client, count: usize) -> anyhow::Result<()> {
    let api: Api<Remediation> = Api::namespaced(client.clone(), OWN);
    let end = Instant::now() + PATIENCE;
    loop {
        let mut phases: BTreeMap<&str, usize> = BTreeMap::new();
        for record in api.list(&ListParams::default()).await? {
            let phase = record.status.map(|status| status.phase).unwrap_or_default();
            *phases.entry(phase.as_str()).or_default() += 1;
        }
        if phases.get(Phase::Succeeded.as_str()) == Some(&count) && phases.len() == 1 {
            return Ok(());
        }
        ensure!(Instant::now() < end, "not every remediation succeeded: {phases:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The pods as the watch shows them.
struct Watched {
    events: mpsc::UnboundedReceiver<(Instant, Seen)>,
    living: HashMap<String, Living>,
    ended: HashMap<String, Instant>,
    /// How many Deployments there are.
    deployments: usize,
    _watch: JoinSet<()>,
}

struct Living {
    deployment: String,
    ready: bool,
}

/// What an event says of a pod; its name is never used again.
enum Seen {
    Living(String, Living),
    Ending(String),
}

impl Watched {
    fn new(client: &Client, deployments: usize) -> Self {
        let api: Api<Pod> = Api::namespaced(client.clone(), PODS);
        let (into, events) = mpsc::unbounded_channel();
        let mut watch = JoinSet::new();
        watch.spawn(async move {
            let mut stream = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
            while let Some(event) = stream.next().await {
                let now = Instant::now();
                let seen = match event {
                    Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => seen(&pod),
                    Ok(watcher::Event::Delete(pod)) => Seen::Ending(pod.name_any()),
                    Ok(watcher::Event::Init | watcher::Event::InitDone) => continue,
                    Err(error) => {
                        eprintln!("the watch on pods was broken: {error}");
                        continue;
                    }
                };
                if into.send((now, seen)).is_err() {
                    return;
                }
            }
        });
        Self { events, living: HashMap::new(), ended: HashMap::new(), deployments, _watch: watch }
    }

    /// Waits until every Deployment is whole; gives a pod of this one.
    async fn next(&mut self, deployment: usize) -> anyhow::Result<String> {
        let name = deployment_name(deployment);
        self.whole().await?;
        let pod = self.living.iter().find(|(_, pod)| pod.deployment == name);
        pod.map(|(pod, _)| pod.clone()).with_context(|| format!("{name} has no pod"))
    }

    /// Waits until every Deployment is whole; gives a pod of each.
    async fn one_each(&mut self) -> anyhow::Result<Vec<String>> {
        self.whole().await?;
        let of_each: BTreeMap<&str, &String> =
            self.living.iter().map(|(pod, living)| (living.deployment.as_str(), pod)).collect();
        Ok(of_each.into_values().cloned().collect())
    }

    async fn whole(&mut self) -> anyhow::Result<()> {
        let whole = |this: &Self| {
            let pods = this.deployments * REPLICAS;
            let ready = this.living.values().filter(|pod| pod.ready).count();
            (ready == pods && this.living.len() == pods).then_some(())
        };
        self.until(whole).await.context("the Deployments do not get ready")?;
        tokio::time::sleep(QUIET).await;
        Ok(())
    }

    /// Waits until a pod ends; gives when that was seen.
    async fn end_of(&mut self, pod: &str) -> anyhow::Result<Instant> {
        self.until(|this| this.ended.get(pod).copied()).await.with_context(|| format!("{pod} was not ended"))
    }

    /// Waits until all of them end; gives when the last one was seen to.
    async fn end_of_all(&mut self, pods: &[String]) -> anyhow::Result<Instant> {
        let all = |this: &Self| pods.iter().map(|pod| this.ended.get(pod).copied()).collect::<Option<Vec<_>>>();
        let ended = self.until(all).await.context("not every pod was ended")?;
        ended.into_iter().max().context("there is no pod")
    }

    async fn until<T>(&mut self, found: impl Fn(&Self) -> Option<T>) -> anyhow::Result<T> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found(self) {
                return Ok(found);
            }
            match tokio::time::timeout_at(end, self.events.recv()).await {
                Ok(Some((at, seen))) => self.take_in(at, seen),
                Ok(None) => bail!("the watch ended"),
                Err(_) => bail!("not within {} s", PATIENCE.as_secs()),
            }
        }
    }

    fn take_in(&mut self, at: Instant, seen: Seen) {
        match seen {
            Seen::Living(name, pod) => {
                self.living.insert(name, pod);
            }
            Seen::Ending(name) => {
                self.living.remove(&name);
                self.ended.entry(name).or_insert(at);
            }
        }
    }
}

fn seen(pod: &Pod) -> Seen {
    if pod.metadata.deletion_timestamp.is_some() {
        return Seen::Ending(pod.name_any());
    }
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready =
        conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    Seen::Living(pod.name_any(), Living { deployment: pod.labels().get(LABEL).cloned().unwrap_or_default(), ready })
}
