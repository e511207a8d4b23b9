//! What limits remember outlives leaders and records, told over whole replicas on the simulated cluster, under a clock that
//! stands still unless all wait. Each story has a twin in which what is remembered is lost, and which acts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what does not go as it should fails the story")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Namespace, Pod},
    },
    apimachinery::pkg::apis::meta::v1::DeleteOptions,
};
use kube::{Client, client::ClientBuilder};
use paramedic::{
    api::{Phase, PositiveDuration, Reason, Remediation, RemediationPolicy},
    audit::Audit,
    clock::Clock,
    config::Config,
    policy::PolicyStore,
    protections::Protections,
    remediation::LEDGER,
    replica::{self, Clients, Parts, Tasks},
    server::{self, health::Readiness, sources::Sources},
    sim::{
        Cluster, Kind, Settings,
        controllers::{Controllers, Played, Program},
    },
    telemetry::{Metrics, Traces},
};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

const NAMESPACE: &str = "shop";
const OWN: &str = "paramedic";
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// A cluster with one workload whose pods need longer to be ready than the policy gives them: what is done to it fails, and
/// after one failure it is left to people.
struct House {
    cluster: Cluster,
    clock: Clock,
    retention: Duration,
    /// The replica that runs, and how many ran.
    replica: Option<(Router, Tasks)>,
    replicas: u32,
    alerts: u32,
    _controllers: DropGuard,
}

impl House {
    async fn new(retention: Duration) -> Self {
        let clock = Clock::driven("2026-01-01T00:00:00Z".parse().unwrap());
        let cluster = Cluster::new(Settings { managed_fields: false, ..Settings::new(clock.clone()) });
        let controllers = CancellationToken::new();
        let (running, stop) = (cluster.clone(), controllers.clone());
        tokio::spawn(async move {
            let program = Program::serves().ready_after(Duration::from_secs(10));
            running.run_with(Controllers::new().without_events(), Played::new(program), stop).await;
        });
        let mut house = Self {
            cluster,
            clock,
            retention,
            replica: None,
            replicas: 0,
            alerts: 0,
            _controllers: controllers.drop_guard(),
        };
        house.furnish();
        sleep(MINUTE).await;
        house.another_leader().await;
        house
    }

    fn furnish(&self) {
        let labels = json!({ "app": "db" });
        let template =
            json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "app", "image": "app" }] } });
        for namespace in [NAMESPACE, OWN] {
            self.create::<Namespace>(json!({ "metadata": { "name": namespace } }));
        }
        self.create::<StatefulSet>(json!({
            "metadata": { "name": "db", "namespace": NAMESPACE, "labels": labels },
            "spec": { "replicas": 3, "serviceName": "db", "selector": { "matchLabels": labels }, "template": template },
        }));
        self.create::<RemediationPolicy>(json!({
            "apiVersion": "paramedic.dev/v1alpha1", "kind": "RemediationPolicy",
            "metadata": { "name": "restart", "namespace": NAMESPACE },
            "spec": {
                "mode": "Enforce", "match": ["alertname=\"Hopeless\""], "target": { "kind": "Pod" },
                "steps": [{ "restartPod": {}, "verify": { "within": "5s", "stableFor": "2s" } }],
                "limits": { "cooldown": "1s", "giveUp": { "failures": 1, "per": "12h" } },
            },
        }));
    }

    fn create<K: Kind>(&self, object: Value) {
        let object: K = serde_json::from_value(object).unwrap();
        if let Err(status) = self.cluster.with(|state| state.create(&object)) {
            panic!("{}", status.message);
        }
    }

    /// The replica that runs gives its lease back and ends, and another one leads.
    async fn another_leader(&mut self) {
        if let Some((_, tasks)) = self.replica.take() {
            assert!(tasks.drain(MINUTE).await, "it ends when it is told to");
        }
        self.replicas += 1;
        let mut config =
            Config { namespace: OWN.to_owned(), identity: format!("r{}", self.replicas), ..Config::default() };
        config.engine.retention = PositiveDuration::from_secs(self.retention.as_secs());
        let patient = ClientBuilder::new(self.cluster.service(), OWN).with_layer(&replica::patience()).build();
        let parts = Parts {
            config: Arc::new(config),
            clock: self.clock.clone(),
            clients: Clients { patient, once: Client::new(self.cluster.service(), OWN) },
            monitors: Arc::new(BTreeMap::new()),
            policies: Arc::new(PolicyStore::default()),
            metrics: Arc::new(Metrics::new()),
            audit: Audit::default(),
            traces: Traces::default(),
            readiness: Readiness::default(),
            protections: Protections::default(),
        };
        let mut tasks = Tasks::new(CancellationToken::new());
        let recorder = replica::start(&parts, &mut tasks);
        let router = server::intake_router(
            recorder,
            &parts.config,
            Arc::new(Sources::load(&[]).unwrap()),
            Arc::default(),
            parts.readiness.clone(),
            Arc::clone(&parts.metrics),
            parts.audit.clone(),
        );
        self.replica = Some((router, tasks));
        sleep(MINUTE).await;
        parts.readiness.check(server::health::CACHES).expect("the caches are synced");
    }

    /// An alert of its own fires about a pod; gives its record's name.
    async fn fires(&mut self, pod: &str) -> String {
        self.alerts += 1;
        let known: Vec<String> = self.records().into_iter().filter_map(|record| record.metadata.name).collect();
        let labels = json!({
            "alertname": "Hopeless", "namespace": NAMESPACE, "pod": pod, "number": self.alerts.to_string(),
        });
        let alert = json!({ "status": "firing", "labels": labels, "startsAt": self.clock.now() });
        let body = json!({ "receiver": "paramedic", "alerts": [alert] }).to_string();
        let request = Request::post("/webhook").header("content-type", "application/json");
        let (router, _) = self.replica.as_ref().unwrap();
        let answer = router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let names = self.records().into_iter().filter_map(|record| record.metadata.name);
        names.into_iter().find(|name| !known.contains(name)).expect("there is a record")
    }

    /// The usual beginning: one remediation has failed.
    async fn fails_once(&mut self) -> String {
        let record = self.fires("db-0").await;
        sleep(MINUTE).await;
        assert_eq!(self.state(&record), (Phase::Failed, Some(Reason::NotHelped)));
        record
    }

    /// What becomes of the next alert about the workload.
    async fn next(&mut self) -> (Phase, Option<Reason>) {
        let record = self.fires("db-1").await;
        sleep(MINUTE).await;
        self.state(&record)
    }

    fn records(&self) -> Vec<Remediation> {
        self.cluster.with(|state| state.list(None))
    }

    fn state(&self, record: &str) -> (Phase, Option<Reason>) {
        let record = self.cluster.with(|state| state.get::<Remediation>(NAMESPACE, record)).expect("it is there");
        let status = record.status.unwrap_or_default();
        (status.phase, status.reason)
    }

    fn delete<K: Kind>(&self, namespace: &str, name: &str) {
        self.cluster.with(|state| state.delete::<K>(namespace, name, &DeleteOptions::default())).unwrap();
    }

    /// What is kept of records that are gone, in lines.
    fn kept(&self) -> Option<Vec<Value>> {
        let map = self.cluster.with(|state| state.get::<ConfigMap>(OWN, LEDGER))?;
        let text = map.data.unwrap_or_default().remove("gone").unwrap_or_default();
        Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    fn started_at(&self, pod: &str) -> Option<Timestamp> {
        let pod = self.cluster.with(|state| state.get::<Pod>(NAMESPACE, pod))?;
        pod.metadata.creation_timestamp.map(|time| time.0)
    }
}

const GIVEN_UP: (Phase, Option<Reason>) = (Phase::Waiting, Some(Reason::GivenUp));
/// It acted, for nothing.
const ACTED: (Phase, Option<Reason>) = (Phase::Failed, Some(Reason::NotHelped));

#[tokio::test(start_paused = true)]
async fn who_leads_next_knows_what_failed() {
    let mut house = House::new(HOUR * 24).await;
    house.fails_once().await;
    house.another_leader().await;
    assert_eq!(house.next().await, GIVEN_UP);
    assert_eq!(house.kept(), None, "there is nothing to keep that no record says");
}

#[tokio::test(start_paused = true)]
async fn what_a_deleted_record_did_counts_for_the_next_leader() {
    for forgotten in [false, true] {
        let mut house = House::new(HOUR * 24).await;
        let record = house.fails_once().await;
        house.delete::<Remediation>(NAMESPACE, &record);
        sleep(MINUTE).await;
        let kept = house.kept().expect("it is kept");
        assert_eq!(kept.len(), 2, "an action and an end: {kept:?}");
        if forgotten {
            house.delete::<ConfigMap>(OWN, LEDGER);
        }
        house.another_leader().await;
        assert_eq!(house.next().await, if forgotten { ACTED } else { GIVEN_UP });
    }
}

#[tokio::test(start_paused = true)]
async fn retention_keeps_what_limits_count_and_then_removes_the_record() {
    for forgotten in [false, true] {
        let mut house = House::new(HOUR).await;
        house.fails_once().await;
        sleep(HOUR + MINUTE * 3).await;
        assert_eq!(house.records().len(), 0, "its retention is over");
        assert_eq!(house.kept().expect("it is kept").len(), 2);
        if forgotten {
            house.delete::<ConfigMap>(OWN, LEDGER);
        }
        house.another_leader().await;
        assert_eq!(house.next().await, if forgotten { ACTED } else { GIVEN_UP });
    }
}

#[tokio::test(start_paused = true)]
async fn no_record_is_removed_before_what_it_did_is_kept() {
    let mut house = House::new(HOUR).await;
    let metadata = json!({ "name": LEDGER, "namespace": OWN });
    house.create::<ConfigMap>(json!({ "metadata": metadata, "immutable": true }));
    let record = house.fails_once().await;
    sleep(HOUR * 3).await;
    assert_eq!(house.state(&record), ACTED, "it is still there");
    house.delete::<ConfigMap>(OWN, LEDGER);
    sleep(MINUTE * 5).await;
    assert_eq!(house.records().len(), 0);
    assert_eq!(house.kept().expect("it is kept").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_where_what_is_kept_cannot_be_read() {
    let mut house = House::new(HOUR * 24).await;
    let metadata = json!({ "name": LEDGER, "namespace": OWN });
    house.create::<ConfigMap>(json!({ "metadata": metadata, "data": { "gone": "nonsense" } }));
    let before = house.started_at("db-0");
    house.another_leader().await;
    let record = house.fires("db-0").await;
    sleep(MINUTE * 3).await;
    assert_eq!(house.state(&record).0, Phase::Pending);
    assert_eq!(house.started_at("db-0"), before);
    house.delete::<ConfigMap>(OWN, LEDGER);
    sleep(MINUTE * 2).await;
    assert_eq!(house.state(&record), ACTED);
    assert_ne!(house.started_at("db-0"), before);
}
