//! A cluster with one workload, one replica of Paramedic, two Alertmanagers and, where it is wanted, a Prometheus. One alert
//! may fire: about a pod, for as long as that lives; or about the workload, for ever.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, header},
};
use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod},
};
use kube::{Client, ResourceExt, client::ClientBuilder};
use paramedic::{
    api::{Phase, Remediation, RemediationPolicy},
    audit::Audit,
    clients::{Alertmanager, Cause, Endpoint, InProcess, Monitors, Polling, Prometheus},
    clock::Clock,
    config::Config,
    policy::PolicyStore,
    protections::Protections,
    replica::{self, Clients, Parts, Tasks},
    server::{self, health::Readiness, sources::Sources},
    sim::{
        Cluster, Kind, Settings,
        controllers::{Controllers, Played, Program},
    },
    telemetry::{Metrics, Traces},
};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

const NAMESPACE: &str = "shop";
const OWN: &str = "paramedic";
const TOKEN: &str = "a-token-of-the-source-prod";

/// What is told, and how; the usual is what leads to a success.
pub struct Told {
    /// The Alertmanagers' version.
    pub version: &'static str,
    /// The receiver of the alert's route.
    pub receiver: &'static str,
    /// The alert's state.
    pub state: &'static str,
    /// Whether a time interval mutes it.
    pub muted: bool,
    /// More labels of it.
    pub labels: Vec<(String, String)>,
    /// It is about the workload, and nothing ends it.
    pub incurable: bool,
    pub poll_interval: Duration,
    pub resend_interval: Duration,
    pub has_prometheus: bool,
    pub rule_health: &'static str,
    /// The rule's `for`, in seconds.
    pub pending_for: u64,
    /// The step's query.
    pub query: Option<String>,
    /// The values that it gives; `None` is no answer.
    pub query_gives: Option<Vec<&'static str>>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            version: "0.28.0",
            receiver: "paramedic",
            state: "active",
            muted: false,
            labels: Vec::new(),
            incurable: false,
            poll_interval: Duration::from_mins(1),
            resend_interval: Duration::from_secs(90),
            has_prometheus: false,
            rule_health: "ok",
            pending_for: 0,
            query: None,
            query_gives: None,
        }
    }
}

struct World {
    told: Told,
    cluster: Cluster,
    clock: Clock,
    /// The pod that fell ill, and when.
    ill: Option<(String, Timestamp)>,
    peers: [Peer; 2],
    prometheus_started_at: Timestamp,
    asked: String,
}

#[derive(Clone, Copy)]
struct Peer {
    started_at: Timestamp,
    down: bool,
    forgot: bool,
}

impl World {
    /// The alert's labels and since when it has fired, while it does.
    fn fires(&self) -> Option<(BTreeMap<String, String>, Timestamp)> {
        let (pod, since) = self.ill.as_ref()?;
        let alive = self.cluster.with(|state| state.get::<Pod>(NAMESPACE, pod));
        let alive = alive.is_some_and(|pod| pod.metadata.deletion_timestamp.is_none());
        let about = if self.told.incurable { ("deployment", "web") } else { ("pod", pod.as_str()) };
        let labels = [("alertname", "Leak"), ("namespace", NAMESPACE), about];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter();
        (alive || self.told.incurable).then(|| (labels.chain(self.told.labels.clone()).collect(), *since))
    }

    fn alert(&self) -> Option<Value> {
        let (labels, since) = self.fires()?;
        let muted_by: &[&str] = if self.told.muted { &["night"] } else { &[] };
        Some(json!({
            "labels": labels, "annotations": {}, "startsAt": since, "generatorURL": "",
            "status": { "state": self.told.state, "silencedBy": [], "inhibitedBy": [], "mutedBy": muted_by },
        }))
    }

    fn peer(&self, number: usize, url: &Url) -> Result<Value, Cause> {
        let peer = self.peers[number];
        if peer.down {
            return Err("connection refused".into());
        }
        let alerts: Vec<Value> = self.alert().filter(|_| !peer.forgot).into_iter().collect();
        Ok(match url.path() {
            "/api/v2/status" => json!({ "uptime": peer.started_at, "versionInfo": { "version": self.told.version } }),
            // Like Alertmanager's own, but that it leaves the alert's state to whoever asks.
            "/api/v2/alerts/groups" => {
                json!([{ "labels": {}, "receiver": { "name": self.told.receiver }, "alerts": alerts }])
            }
            "/api/v2/alerts" => json!(alerts),
            other => return Err(format!("nobody plays {other}").into()),
        })
    }

    fn prometheus(&mut self, url: &Url) -> Result<Value, Cause> {
        let data = match url.path() {
            "/api/v1/rules" => {
                let found = self.fires().map(|(labels, since)| {
                    json!({ "labels": labels, "state": "firing", "activeAt": since, "annotations": {}, "value": "1" })
                });
                let alerts: Vec<Value> = found.into_iter().collect();
                json!({ "groups": [{ "interval": 15, "rules": [{
                    "name": "Leak", "type": "alerting", "labels": {}, "duration": self.told.pending_for,
                    "health": self.told.rule_health, "lastError": "as planned", "lastEvaluation": self.clock.now(),
                    "alerts": alerts,
                }] }] })
            }
            "/api/v1/status/runtimeinfo" => json!({ "startTime": self.prometheus_started_at }),
            "/api/v1/query" => {
                self.asked = url.query_pairs().find(|(name, _)| name == "query").unwrap().1.into_owned();
                let values = self.told.query_gives.as_ref().ok_or("as planned")?;
                let series: Vec<Value> =
                    values.iter().map(|value| json!({ "metric": {}, "value": [1.0, value] })).collect();
                json!({ "resultType": "vector", "result": series })
            }
            other => return Err(format!("nobody plays {other}").into()),
        };
        Ok(json!({ "status": "success", "data": data }))
    }
}

/// One of those who are asked.
enum Address {
    Alertmanager(Arc<Mutex<World>>, usize),
    Prometheus(Arc<Mutex<World>>),
}

impl InProcess for Address {
    fn get(&self, url: Url) -> BoxFuture<'_, Result<Vec<u8>, Cause>> {
        let said = match self {
            Self::Alertmanager(world, number) => lock(world).peer(*number, &url),
            Self::Prometheus(world) => lock(world).prometheus(&url),
        };
        async move { Ok(said?.to_string().into_bytes()) }.boxed()
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All of it, running.
pub struct House {
    world: Arc<Mutex<World>>,
    cluster: Cluster,
    router: Router,
    pods: Vec<String>,
    // What runs ends with it.
    _tasks: Tasks,
    _controllers: DropGuard,
    _token: tempfile::NamedTempFile,
}

impl House {
    /// Everybody is up for a day, and a leader leads.
    pub async fn new(change: impl FnOnce(&mut Told)) -> Self {
        let mut told = Told::default();
        change(&mut told);
        let clock = Clock::driven("2026-01-01T00:00:00Z".parse().unwrap());
        let cluster = Cluster::new(Settings { managed_fields: false, ..Settings::new(clock.clone()) });
        furnish(&cluster, &told);
        let controllers = CancellationToken::new();
        let (running, stop) = (cluster.clone(), controllers.clone());
        tokio::spawn(async move {
            running.run_with(Controllers::new().without_events(), Played::new(Program::serves()), stop).await;
        });
        let yesterday = clock.now() - SignedDuration::from_hours(24);
        let peer = Peer { started_at: yesterday, down: false, forgot: false };
        let world = World {
            told,
            cluster: cluster.clone(),
            clock: clock.clone(),
            ill: None,
            peers: [peer; 2],
            prometheus_started_at: yesterday,
            asked: String::new(),
        };
        let world = Arc::new(Mutex::new(world));
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), TOKEN).unwrap();
        let config = Config {
            namespace: OWN.to_owned(),
            identity: "r0".to_owned(),
            sources: serde_json::from_value(json!([{ "name": "prod", "tokenFile": token.path() }])).unwrap(),
            ..Config::default()
        };
        let mut tasks = Tasks::new(CancellationToken::new());
        let (router, readiness) = start(config, &clock, &cluster, &world, &mut tasks);
        let mut house = Self {
            world,
            cluster,
            router,
            pods: Vec::new(),
            _tasks: tasks,
            _controllers: controllers.drop_guard(),
            _token: token,
        };
        // Until a leader has waited out a predecessor, of which there was none.
        sleep(Duration::from_secs(35)).await;
        readiness.check(server::health::CACHES).expect("the caches are synced");
        house.pods = house.living();
        assert_eq!(house.pods.len(), 3);
        house
    }

    /// The alert fires from now on; gives the pod that it is about.
    pub fn falls_ill(&self) -> String {
        let mut world = lock(&self.world);
        let (pod, now) = (self.pods[0].clone(), world.clock.now());
        world.ill = Some((pod.clone(), now));
        pod
    }

    pub fn stops_a_peer(&self) {
        lock(&self.world).peers[1].down = true;
    }

    /// It forgets what it knew.
    pub fn restarts_a_peer(&self) {
        let mut world = lock(&self.world);
        world.peers[1] = Peer { started_at: world.clock.now(), down: false, forgot: true };
    }

    pub async fn passes(&self, time: Duration) {
        sleep(time).await;
    }

    /// The only record, once it is in that phase.
    pub async fn one_record_in(&self, phase: Phase, within: Duration) -> Remediation {
        let found = async {
            loop {
                let mut records = self.records();
                assert!(records.len() <= 1, "{records:#?}");
                if let Some(record) = records.pop().filter(|record| phase_of(record) == phase) {
                    return record;
                }
                sleep(Duration::from_secs(1)).await;
            }
        };
        let found = timeout(within, found).await;
        found.unwrap_or_else(|_| panic!("no record is {} yet: {:#?}", phase.as_str(), self.records()))
    }

    /// The phase of the only record.
    pub fn phase(&self) -> Phase {
        let records = self.records();
        assert_eq!(records.len(), 1, "{records:#?}");
        phase_of(&records[0])
    }

    pub fn records(&self) -> Vec<Remediation> {
        self.cluster.with(|state| state.list(None))
    }

    /// The pods that were there at the beginning and are not any more.
    pub fn ended(&self) -> Vec<String> {
        let living = self.living();
        self.pods.iter().filter(|pod| !living.contains(pod)).cloned().collect()
    }

    fn living(&self) -> Vec<String> {
        let pods: Vec<Pod> = self.cluster.with(|state| state.list(Some(NAMESPACE)));
        pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).map(ResourceExt::name_any).collect()
    }

    /// What Prometheus was asked last.
    pub fn asked(&self) -> String {
        lock(&self.world).asked.clone()
    }

    /// Posts a body as the source `prod`.
    pub async fn webhook(&self, body: &Value) {
        let request = Request::post("/webhook").header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
        let answer = self.router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// Posts the alert that fires.
    pub async fn webhook_of_what_fires(&self) {
        let (labels, since) = lock(&self.world).fires().expect("it fires");
        let alert = json!({ "status": "firing", "labels": labels, "startsAt": since });
        self.webhook(&json!({ "receiver": "paramedic", "alerts": [alert] })).await;
    }
}

fn phase_of(record: &Remediation) -> Phase {
    record.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

fn start(
    config: Config,
    clock: &Clock,
    cluster: &Cluster,
    world: &Arc<Mutex<World>>,
    tasks: &mut Tasks,
) -> (Router, Readiness) {
    let told = lock(world);
    let peer = |number: usize| {
        let (url, address) = (format!("http://am{number}"), Address::Alertmanager(Arc::clone(world), number));
        let polling = Polling { receivers: vec!["paramedic".to_owned()], every: told.told.poll_interval };
        let within = Duration::from_secs(2);
        Alertmanager::in_process(&url, Arc::new(address), within, told.told.resend_interval).polled(polling)
    };
    let address = Address::Prometheus(Arc::clone(world));
    let prometheus = Endpoint::in_process("http://prometheus", Arc::new(address), Duration::from_secs(2));
    let prometheus = told.told.has_prometheus.then(|| Prometheus::new(prometheus)).into_iter().collect();
    let monitors = Monitors { alertmanagers: vec![peer(0), peer(1)], prometheus };
    let sources = Arc::new(Sources::load(&config.sources).unwrap());
    let patient = ClientBuilder::new(cluster.service(), OWN).with_layer(&replica::patience()).build();
    let parts = Parts {
        config: Arc::new(config),
        clock: clock.clone(),
        clients: Clients { patient, once: Client::new(cluster.service(), OWN) },
        monitors: Arc::new(BTreeMap::from([("prod".to_owned(), monitors)])),
        policies: Arc::new(PolicyStore::default()),
        metrics: Arc::new(Metrics::new()),
        audit: Audit::default(),
        traces: Traces::default(),
        readiness: Readiness::default(),
        protections: Protections::default(),
    };
    let recorder = replica::start(&parts, tasks);
    let (readiness, metrics) = (parts.readiness.clone(), Arc::clone(&parts.metrics));
    let router = server::intake_router(
        recorder,
        &parts.config,
        sources,
        Arc::default(),
        readiness.clone(),
        metrics,
        Audit::default(),
    );
    (router, readiness)
}

/// Three pods, and a policy that restarts one, or all of them where the alert is about the workload.
fn furnish(cluster: &Cluster, told: &Told) {
    let labels = json!({ "app": "web" });
    let template =
        json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "app", "image": "app" }] } });
    let deployment = json!({
        "metadata": { "name": "web", "namespace": NAMESPACE, "labels": labels },
        "spec": { "replicas": 3, "selector": { "matchLabels": labels }, "template": template },
    });
    let mut verify = json!({ "within": "6m", "stableFor": "1m" });
    if let Some(query) = &told.query {
        verify["query"] = json!(query);
    }
    let (kind, action) = if told.incurable { ("Deployment", "rolloutRestart") } else { ("Pod", "restartPod") };
    let policy = json!({
        "apiVersion": "paramedic.dev/v1alpha1", "kind": "RemediationPolicy",
        "metadata": { "name": "restart", "namespace": NAMESPACE },
        "spec": {
            "mode": "Enforce", "match": ["alertname=\"Leak\""], "target": { "kind": kind },
            "steps": [{ action: {}, "verify": verify }],
        },
    });
    for namespace in [NAMESPACE, OWN] {
        create::<Namespace>(cluster, json!({ "metadata": { "name": namespace } }));
    }
    create::<Deployment>(cluster, deployment);
    create::<RemediationPolicy>(cluster, policy);
}

fn create<K: Kind>(cluster: &Cluster, object: Value) {
    let object: K = serde_json::from_value(object).unwrap();
    if let Err(status) = cluster.with(|state| state.create(&object)) {
        panic!("{}", status.message);
    }
}
