//! A Prometheus that evaluates two rules, and two Alertmanagers that tell of what it finds: they group, repeat, come
//! again after a 503, tell the same twice, move the begin of an alert, forget all when they are started again, and lose
//! what they had to say about an end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, header},
};
use fastrand::Rng;
use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use paramedic::{
    alert::Labels,
    clients::{Cause, InProcess},
};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use crate::{replicas::Replicas, stage::Stage, workloads::Health};

/// How often rules are evaluated, and alerts sent on.
const EVALUATE: Duration = Duration::from_secs(5);
/// How often a group is looked at.
const GROUP_INTERVAL: Duration = Duration::from_secs(10);
/// How long a peer that was started again may not know all yet.
pub const RESEND_INTERVAL: Duration = Duration::from_secs(15);
/// How long a peer waits for an answer.
const POST_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
struct Alert {
    labels: Labels,
    starts_at: Timestamp,
    /// Over, since then.
    ends_at: Option<Timestamp>,
}

/// One peer.
struct Peer {
    started_at: Timestamp,
    /// `None`: it is up.
    down_until: Option<Timestamp>,
    alerts: BTreeMap<Labels, Alert>,
    groups: BTreeMap<String, Group>,
}

#[derive(Default)]
struct Group {
    /// What was told last, and when: the labels of what fired.
    told: Option<(Timestamp, BTreeSet<Labels>)>,
    posting: bool,
}

/// Both peers, and what Prometheus knows.
#[derive(Clone)]
pub struct Alerts {
    stage: Stage,
    peers: Arc<[Mutex<Peer>; 2]>,
    rng: Arc<Mutex<Rng>>,
    firing: Arc<Mutex<BTreeMap<Labels, Timestamp>>>,
    /// All that ever fired.
    fired: Arc<Mutex<BTreeSet<Labels>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Alerts {
    pub fn new(stage: &Stage) -> Self {
        let peer = || {
            let started_at = stage.now() - SignedDuration::from_hours(1);
            Mutex::new(Peer { started_at, down_until: None, alerts: BTreeMap::new(), groups: BTreeMap::new() })
        };
        Self {
            stage: stage.clone(),
            peers: Arc::new([peer(), peer()]),
            rng: Arc::new(Mutex::new(stage.plan.rng(2))),
            firing: Arc::default(),
            fired: Arc::default(),
        }
    }

    /// The address of a peer, for the product's client.
    pub fn peer(&self, number: usize) -> Arc<dyn InProcess> {
        Arc::new(Address { alerts: self.clone(), number })
    }

    fn chance(&self, of_a_thousand: u32) -> bool {
        !self.stage.is_quiet() && lock(&self.rng).u32(0..1000) < of_a_thousand
    }

    /// Whether nothing fires, and all that was told of was told to be over.
    pub fn is_calm(&self) -> bool {
        lock(&self.firing).is_empty()
    }

    /// Where nobody can be asked, a lost end is lost for a day: it is told at last.
    pub fn tell_all_ends(&self) {
        if self.stage.plan.asked {
            return;
        }
        let now = self.stage.now();
        let fired = lock(&self.fired).clone();
        let mut peer = lock(&self.peers[0]);
        for labels in fired {
            let group = peer.groups.entry(group_of(&labels)).or_default();
            group.told.get_or_insert_with(|| (now, BTreeSet::new())).1.insert(labels.clone());
            let alert = Alert { labels: labels.clone(), starts_at: now, ends_at: Some(now) };
            peer.alerts.entry(labels).or_insert(alert).ends_at = Some(now);
        }
    }

    /// Evaluates and notifies until the run is over.
    pub async fn run(self, health: Health, replicas: Replicas) {
        let mut evaluated = Duration::ZERO;
        let mut now = Duration::ZERO;
        let tick = Duration::from_secs(1);
        loop {
            if now >= evaluated {
                evaluated = now + EVALUATE;
                self.evaluate(&health);
            }
            for number in 0..2 {
                self.peer_tick(number, now, &replicas);
            }
            sleep(tick).await;
            now += tick;
        }
    }

    /// What fires now: told to both peers, unless a peer does not hear of it.
    fn evaluate(&self, health: &Health) {
        let now = self.stage.now();
        let pods: Vec<Pod> = self.stage.cluster.with(|state| state.list(None));
        let mut firing = BTreeMap::new();
        for pod in pods {
            for alertname in health.alerts(&pod) {
                let labels: Labels = [
                    ("alertname", alertname),
                    ("namespace", &pod.namespace().unwrap_or_default()),
                    ("pod", &pod.name_any()),
                    ("severity", "page"),
                ]
                .into_iter()
                .collect();
                let since = lock(&self.firing).get(&labels).copied().unwrap_or(now);
                lock(&self.fired).insert(labels.clone());
                firing.insert(labels, since);
            }
        }
        let before = std::mem::replace(&mut *lock(&self.firing), firing.clone());
        for peer in 0..2 {
            if self.chance(30) {
                continue;
            }
            let merges = self.chance(20);
            let earlier = SignedDuration::from_secs(lock(&self.rng).i64(1..30));
            let mut peer = lock(&self.peers[peer]);
            if peer.down_until.is_some() {
                continue;
            }
            for (labels, since) in &firing {
                let starts_at = if merges { *since - earlier } else { *since };
                if merges {
                    self.stage.count("alerts", "begin moved");
                }
                let alert = Alert { labels: labels.clone(), starts_at, ends_at: None };
                let known = peer.alerts.entry(labels.clone()).or_insert_with(|| alert.clone());
                if known.ends_at.is_some() {
                    *known = alert;
                } else {
                    known.starts_at = known.starts_at.min(starts_at);
                }
            }
            for labels in before.keys().filter(|labels| !firing.contains_key(*labels)) {
                if let Some(alert) = peer.alerts.get_mut(labels).filter(|alert| alert.ends_at.is_none()) {
                    alert.ends_at = Some(now);
                }
            }
            // What nobody says any more is over after a while.
            for alert in peer.alerts.values_mut() {
                if !firing.contains_key(&alert.labels) && alert.ends_at.is_none() {
                    alert.ends_at = Some(now);
                }
            }
        }
    }

    fn peer_tick(&self, number: usize, since: Duration, replicas: &Replicas) {
        let now = self.stage.now();
        let dies = self.chance(3);
        let mut peer = lock(&self.peers[number]);
        if dies && peer.down_until.is_none() {
            self.stage.count("alerts", "Alertmanager started again");
            self.stage.trace(|| format!("am{number} is started again"));
            peer.down_until = Some(now + SignedDuration::from_secs(lock(&self.rng).i64(1..20)));
            peer.alerts.clear();
            // What was told is on its disk; what is over is not known any more.
            for group in peer.groups.values_mut() {
                group.posting = false;
            }
        }
        if let Some(until) = peer.down_until {
            if now < until {
                return;
            }
            peer.down_until = None;
            peer.started_at = now;
        }
        if !since.as_secs().is_multiple_of(GROUP_INTERVAL.as_secs()) {
            return;
        }
        // The second peer waits for the first one to tell; where they do not hear of each other, both tell.
        let split = self.chance(100);
        let names: BTreeSet<String> = peer.alerts.keys().map(group_of).collect();
        for name in names {
            let all: Vec<Alert> =
                peer.alerts.values().filter(|alert| group_of(&alert.labels) == name).cloned().collect();
            let firing: BTreeSet<Labels> =
                all.iter().filter(|alert| alert.ends_at.is_none()).map(|alert| alert.labels.clone()).collect();
            let repeat = SignedDuration::try_from(self.stage.plan.repeat_interval).unwrap_or_default();
            let group = peer.groups.entry(name.clone()).or_default();
            let news = match &group.told {
                None => !firing.is_empty(),
                Some((at, told)) => *told != firing || (!firing.is_empty() && now.duration_since(*at) >= repeat),
            };
            if group.posting || !news {
                continue;
            }
            if number == 1 && !split && lock(&self.peers[0]).down_until.is_none() {
                // Told by the other one.
                group.told = Some((now, firing));
                peer.alerts.retain(|labels, alert| group_of(labels) != name || alert.ends_at.is_none());
                continue;
            }
            if number == 1 {
                self.stage.count("alerts", "told by both");
            }
            group.posting = true;
            let sender = self.clone();
            tokio::spawn(sender.post(number, name, all, firing, replicas.clone()));
        }
    }

    /// Tells a replica, and again until one takes it or the group is looked at anew.
    async fn post(self, number: usize, name: String, all: Vec<Alert>, firing: BTreeSet<Labels>, replicas: Replicas) {
        let loses_ends = self.stage.plan.asked && self.chance(150);
        let told: Vec<&Alert> = all.iter().filter(|alert| alert.ends_at.is_none() || !loses_ends).collect();
        if told.len() < all.len() {
            self.stage.count("alerts", "end lost");
        }
        let body = notification(&told).to_string();
        let mut pause = Duration::from_secs(1);
        let mut taken = false;
        for _ in 0..3 {
            let sent = self.stage.now();
            let Some((replica, router, dead)) = replicas.any(&mut lock(&self.rng)) else {
                sleep(pause).await;
                continue;
            };
            let mut request = Request::post("/webhook");
            if let Some(headers) = request.headers_mut() {
                headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
            }
            let Ok(request) = request.body(Body::from(body.clone())) else { return };
            let answer = tokio::select! {
                biased;
                () = dead.cancelled() => None,
                answer = timeout(POST_TIMEOUT, router.oneshot(request)) => answer.ok().and_then(Result::ok),
            };
            let Some(answer) = answer.filter(|_| !dead.is_cancelled()) else {
                self.stage.count("webhooks", "no answer");
                self.stage.trace(|| format!("am{number} -> r{replica}: no answer"));
                sleep(pause).await;
                pause *= 2;
                continue;
            };
            let code = answer.status().as_u16();
            let text = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap_or_default();
            self.stage.count("webhooks", &code.to_string());
            if code == 503 {
                self.stage.count("protections", "DurableAnswer");
            }
            self.stage.trace(|| {
                let text = String::from_utf8_lossy(&text);
                format!("am{number} -> r{replica}: {} alerts, {code} {text}", told.len())
            });
            if (200..300).contains(&code) {
                let now = self.stage.now();
                self.stage.look();
                let mut shared = self.stage.shared();
                for alert in told.iter().filter(|alert| alert.ends_at.is_none()) {
                    shared.judge.acknowledged(&alert.labels, alert.starts_at, sent, now);
                }
            }
            // Every 4xx is final for a sender, so nobody may say that of what is good.
            if (400..500).contains(&code) {
                self.stage.shared().judge.violated("a good webhook is never refused for good", format!("{code}"));
            }
            if code < 500 {
                taken = true;
                break;
            }
            sleep(pause).await;
            pause *= 2;
        }
        let mut peer = lock(&self.peers[number]);
        let over: BTreeSet<&Labels> =
            all.iter().filter(|alert| alert.ends_at.is_some()).map(|alert| &alert.labels).collect();
        let now = self.stage.now();
        if taken {
            peer.alerts.retain(|labels, alert| alert.ends_at.is_none() || !over.contains(labels));
        }
        if let Some(group) = peer.groups.get_mut(&name) {
            group.posting = false;
            if taken {
                group.told = Some((now, firing));
            }
        }
    }
}

fn group_of(labels: &Labels) -> String {
    format!("{}/{}", labels.alertname().unwrap_or_default(), labels.get("namespace").unwrap_or_default())
}

fn notification(alerts: &[&Alert]) -> Value {
    let alert = |alert: &&Alert| {
        json!({
            "status": if alert.ends_at.is_some() { "resolved" } else { "firing" },
            "labels": alert.labels,
            "annotations": {},
            "startsAt": alert.starts_at.to_string(),
            "endsAt": alert.ends_at.map_or("0001-01-01T00:00:00Z".to_owned(), |at| at.to_string()),
            "generatorURL": "",
        })
    };
    json!({
        "version": "4", "groupKey": "{}", "truncatedAlerts": 0, "status": "firing", "receiver": "paramedic",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager",
        "alerts": alerts.iter().map(alert).collect::<Vec<_>>(),
    })
}

/// A peer as the product asks it.
struct Address {
    alerts: Alerts,
    number: usize,
}

impl InProcess for Address {
    fn get(&self, url: Url) -> BoxFuture<'_, Result<Vec<u8>, Cause>> {
        async move {
            let (errs, hangs) = (self.alerts.chance(20), self.alerts.chance(20));
            let pause = lock(&self.alerts.rng).u64(0..20);
            sleep(Duration::from_millis(pause)).await;
            if hangs {
                self.alerts.stage.count("faults", "Alertmanager does not answer");
                std::future::pending::<()>().await;
            }
            let peer = lock(&self.alerts.peers[self.number]);
            if errs || peer.down_until.is_some() {
                self.alerts.stage.count("faults", "Alertmanager refuses");
                return Err("connection refused".into());
            }
            let answer = if url.path().ends_with("/status") {
                json!({ "uptime": peer.started_at.to_string() })
            } else {
                let firing = peer.alerts.values().filter(|alert| alert.ends_at.is_none());
                let shown = |alert: &Alert| {
                    json!({
                        "labels": alert.labels,
                        "startsAt": alert.starts_at.to_string(),
                        "status": { "state": "active", "silencedBy": [], "inhibitedBy": [] },
                    })
                };
                Value::Array(firing.map(shown).collect())
            };
            Ok(answer.to_string().into_bytes())
        }
        .boxed()
    }
}
