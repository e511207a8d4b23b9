//! The replicas: each the very thing that `serve` starts, on a network that is not to be trusted, in a process that is
//! killed, told to go, and started again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::Router;
use fastrand::Rng;
use jiff::SignedDuration;
use kube::{Client, client::ClientBuilder};
use paramedic::{
    api::PositiveDuration,
    audit::Audit,
    clients::{Alertmanager, Monitors},
    clock::Clock,
    config::{Config, UNAUTHENTICATED},
    policy::PolicyStore,
    remediation::RecordCache,
    replica::{self, Clients, Parts, Tasks},
    server::{self, health::Readiness, sources::Sources},
    telemetry::{Metrics, Traces},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    alerts::{Alerts, RESEND_INTERVAL},
    faults::{Faulty, Link, When},
    plan::OWN,
    stage::Stage,
};

/// All of them. Cheap to clone.
#[derive(Clone)]
pub struct Replicas {
    stage: Stage,
    slots: Arc<Vec<Mutex<Option<Up>>>>,
}

/// A replica that is up.
#[derive(Clone)]
struct Up {
    link: Link,
    router: Router,
    clock: Clock,
    records: Arc<RecordCache>,
    metrics: Arc<Metrics>,
    leave: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Replicas {
    pub fn new(stage: &Stage) -> Self {
        let slots = (0..stage.plan.replicas).map(|_| Mutex::default()).collect();
        Self { stage: stage.clone(), slots: Arc::new(slots) }
    }

    /// Starts each, and again when it has died, until the run is over.
    pub fn start(&self, alerts: &Alerts) {
        for number in 0..self.slots.len() {
            tokio::spawn(self.clone().keep(number, alerts.clone()));
        }
    }

    async fn keep(self, number: usize, alerts: Alerts) {
        let mut rng = self.stage.plan.rng(100 + number as u64);
        for start in 0.. {
            sleep(Duration::from_millis(rng.u64(0..3_000))).await;
            let link = Link::new(&self.stage, number, rng.fork());
            self.stage.trace(|| format!("r{number} starts"));
            let skew = self.stage.plan.skew.as_millis() as i64;
            let clock = Clock::driven(self.stage.now());
            clock.set_skew(SignedDuration::from_millis(if skew > 0 { rng.i64(-skew..=skew) } else { 0 }));
            let mut tasks = Tasks::new(CancellationToken::new());
            let (up, readiness) = self.begin(number, start, &link, clock, &alerts, &mut tasks);
            let leave = up.leave.clone();
            *lock(&self.slots[number]) = Some(up);
            let ended = tokio::select! {
                biased;
                () = link.dead().cancelled() => None,
                () = leave.cancelled() => {
                    self.stage.count("blows", "told to go");
                    readiness.shut_down();
                    tokio::select! {
                        biased;
                        () = link.dead().cancelled() => {}
                        _ = tasks.drain(Duration::from_secs(25)) => {}
                    }
                    *lock(&self.slots[number]) = None;
                    link.dead().cancel();
                    continue;
                }
                ended = tasks.first_end() => Some(ended),
            };
            self.stage.trace(|| format!("r{number} is dead"));
            *lock(&self.slots[number]) = None;
            link.dead().cancel();
            if let Some(ended) = ended {
                self.stage.shared().judge.violated("no task ends by itself", ended.to_string());
            }
        }
    }

    fn begin(
        &self,
        number: usize,
        start: u32,
        link: &Link,
        clock: Clock,
        alerts: &Alerts,
        tasks: &mut Tasks,
    ) -> (Up, Readiness) {
        let plan = &self.stage.plan;
        let mut config =
            Config { namespace: OWN.to_owned(), identity: format!("r{number}-{start}"), ..Config::default() };
        config.engine.max_concurrent = plan.max_concurrent;
        config.limits.rate = Some(plan.rate);
        config.engine.retention = PositiveDuration::from_secs(plan.retention.as_secs());
        let way = || Faulty::new(self.stage.cluster.service(), link.clone());
        let patient = ClientBuilder::new(way(), OWN).with_layer(&replica::patience()).build();
        let peer = |peer: usize| {
            let url = format!("http://am{peer}");
            Alertmanager::in_process(&url, alerts.peer(peer), Duration::from_secs(2), RESEND_INTERVAL)
        };
        let peers = || Monitors { alertmanagers: vec![peer(0), peer(1)], ..Monitors::default() };
        let asked = plan.asked.then(|| (UNAUTHENTICATED.to_owned(), peers()));
        let parts = Parts {
            config: Arc::new(config),
            clock: clock.clone(),
            clients: Clients { patient, once: Client::new(way(), OWN) },
            monitors: Arc::new(BTreeMap::from_iter(asked)),
            policies: Arc::new(PolicyStore::default()),
            metrics: Arc::new(Metrics::new()),
            audit: Audit::default(),
            traces: Traces::default(),
            readiness: Readiness::default(),
            protections: plan.protections,
        };
        let recorder = replica::start(&parts, tasks);
        let records = Arc::clone(&recorder.records);
        let sources = Arc::new(Sources::load(&[]).expect("no sources is a configuration"));
        let router = server::intake_router(
            recorder,
            &parts.config,
            sources,
            Arc::default(),
            parts.readiness.clone(),
            Arc::clone(&parts.metrics),
            parts.audit.clone(),
        );
        let up = Up {
            link: link.clone(),
            router,
            clock,
            records,
            metrics: Arc::clone(&parts.metrics),
            leave: CancellationToken::new(),
        };
        (up, parts.readiness)
    }

    fn ups(&self) -> Vec<(usize, Up)> {
        let ups = self.slots.iter().enumerate();
        ups.filter_map(|(number, slot)| Some((number, lock(slot).clone()?))).collect()
    }

    /// Any that is up, as a Service of Kubernetes would choose it.
    pub fn any(&self, rng: &mut Rng) -> Option<(usize, Router, CancellationToken)> {
        let ups = self.ups();
        let (number, up) = ups.get(rng.usize(..ups.len().max(1)))?;
        Some((*number, up.router.clone(), up.link.dead().clone()))
    }

    /// Strikes at them until faults are over.
    pub async fn strike(self) {
        let mut rng = self.stage.plan.rng(3);
        loop {
            let most = u64::try_from(self.stage.plan.blows_every.as_millis()).unwrap_or(u64::MAX) * 2;
            sleep(Duration::from_millis(rng.u64(1_000..most.max(2_000)))).await;
            if self.stage.is_quiet() {
                return;
            }
            let ups = self.ups();
            let Some((number, up)) = ups.get(rng.usize(..ups.len().max(1))) else { continue };
            match rng.u32(0..12) {
                0..=2 => up.link.die_at(rng.u32(0..20), if rng.bool() { When::Before } else { When::After }),
                3 => {
                    self.stage.count("faults", "killed");
                    self.stage.trace(|| format!("r{number} is killed"));
                    up.link.dead().cancel();
                }
                4..=5 => {
                    self.stage.trace(|| format!("r{number} is told to go"));
                    up.leave.cancel();
                }
                6..=8 => {
                    let how_long = Duration::from_millis(rng.u64(500..40_000));
                    self.stage.trace(|| format!("r{number} is cut off for {} ms", how_long.as_millis()));
                    up.link.cut(how_long);
                }
                9..=10 => up.link.die_acting(),
                _ => {
                    let skew = self.stage.plan.skew.as_millis() as i64;
                    if skew > 0 {
                        self.stage.count("faults", "clock moved");
                        let skew = SignedDuration::from_millis(rng.i64(-skew..=skew));
                        self.stage.trace(|| format!("r{number}'s clock is off by {skew:#}"));
                        up.clock.set_skew(skew);
                    }
                }
            }
        }
    }

    /// No more faults.
    pub fn heal(&self) {
        for (_, up) in self.ups() {
            up.link.heal();
        }
    }

    /// What each remembers, against what there is.
    pub fn judge_memory(&self) {
        let there = self.stage.shared().judge.records();
        for (number, up) in self.ups() {
            let known = up.records.index().len();
            if known != there {
                let what = format!("r{number} knows {known} records; there are {there}");
                self.stage.shared().judge.violated("memory is what there is", what);
            }
            let metrics = up.metrics.render().unwrap_or_default();
            let held =
                metrics.lines().find(|line| line.starts_with("paramedic_remediations{") && !line.ends_with(" 0"));
            if let Some(line) = held {
                self.stage.shared().judge.violated("memory is what there is", format!("r{number} says {line}"));
            }
        }
    }
}
