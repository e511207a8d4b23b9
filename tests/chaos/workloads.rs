//! Workloads whose pods fall ill, and the runtime under them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{Namespace, Pod},
    policy::v1::PodDisruptionBudget,
};
use kube::ResourceExt;
use paramedic::sim::{
    State,
    controllers::{Controllers, Played, Program},
};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    plan::{NAMESPACES, OWN, WorkloadPlan},
    stage::Stage,
};

/// When each pod falls ill, and with what.
#[derive(Clone)]
pub struct Health {
    stage: Stage,
    pods: Arc<Mutex<BTreeMap<String, Ill>>>,
}

#[derive(Clone, Copy, Debug)]
struct Ill {
    from: Timestamp,
    leaks: bool,
    unready: bool,
    told: bool,
}

impl Health {
    /// What Prometheus says of a pod.
    pub fn alerts(&self, pod: &Pod) -> Vec<&'static str> {
        if self.stage.is_quiet() || pod.metadata.deletion_timestamp.is_some() {
            return Vec::new();
        }
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ill) = pod.uid().and_then(|uid| pods.get(&uid).copied()) else { return Vec::new() };
        if self.stage.now() < ill.from {
            return Vec::new();
        }
        if ill.leaks { vec!["Leak"] } else { vec!["Sick"] }
    }

    fn draw(&self, plan: &WorkloadPlan, rng: &mut Rng, pod: &Pod) {
        let most = u64::try_from(plan.sickens_after.as_millis()).unwrap_or(u64::MAX) * 2;
        let after = if rng.u32(0..100) < plan.relapses { rng.u64(500..3_000) } else { rng.u64(5_000..most.max(6_000)) };
        let from = self.stage.now() + SignedDuration::from_millis(i64::try_from(after).unwrap_or(i64::MAX));
        let ill = Ill { from, leaks: rng.bool(), unready: rng.u32(0..100) < plan.unready, told: false };
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.insert(pod.uid().unwrap_or_default(), ill);
    }

    /// Those who fell ill since, and are not ready for it.
    fn fallen(&self) -> Vec<String> {
        let now = self.stage.now();
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let fallen = pods.iter_mut().filter(|(_, ill)| ill.unready && !ill.told && ill.from <= now);
        fallen
            .map(|(uid, ill)| {
                ill.told = true;
                uid.clone()
            })
            .collect()
    }

    fn cured(&self) -> Vec<String> {
        let pods = std::mem::take(&mut *self.pods.lock().unwrap_or_else(PoisonError::into_inner));
        pods.into_iter().filter(|(_, ill)| ill.told).map(|(uid, _)| uid).collect()
    }
}

/// Makes the workloads, and lets the controllers run until the run is over.
pub fn start(stage: &Stage) -> Health {
    stage.cluster.with(|state| {
        for name in NAMESPACES.into_iter().chain([OWN]) {
            create::<Namespace>(state, json!({ "metadata": { "name": name } }));
        }
        for plan in &stage.plan.workloads {
            make(state, plan);
        }
    });
    let health = Health { stage: stage.clone(), pods: Arc::default() };
    let (ills, plans) = (health.clone(), stage.plan.workloads.clone());
    let mut rng = stage.plan.rng(4);
    let played = Played::default().by(move |pod| {
        let app = pod.labels().get("app").cloned().unwrap_or_default();
        let plan = plans.iter().find(|plan| plan.name == app)?;
        ills.draw(plan, &mut rng, pod);
        let mut program = Program::serves().ready_after(Duration::from_millis(rng.u64(200..4_000)));
        if rng.u32(0..3) == 0 {
            program = program.ends_after(Duration::from_millis(rng.u64(0..20_000)));
        }
        Some(program)
    });
    tokio::spawn(fall(stage.clone(), health.clone(), played.clone()));
    let cluster = stage.cluster.clone();
    let controllers = Controllers::new().without_events();
    tokio::spawn(async move { cluster.run_with(controllers, played, CancellationToken::new()).await });
    health
}

async fn fall(stage: Stage, health: Health, played: Played) {
    let mut cured = false;
    loop {
        sleep(Duration::from_millis(500)).await;
        let now = stage.now();
        if stage.is_quiet() && !cured {
            cured = true;
            for uid in health.cured() {
                played.set_ready(&uid, true, now);
            }
            touch(&stage);
        }
        if !stage.is_quiet() {
            let fallen = health.fallen();
            for uid in &fallen {
                stage.trace(|| format!("pod {uid} is not ready any more"));
                played.set_ready(uid, false, now);
            }
            if !fallen.is_empty() {
                touch(&stage);
            }
        }
    }
}

/// A write that means nothing: after one the controllers look at what the runtime says.
fn touch(stage: &Stage) {
    let now = stage.now().to_string();
    stage.cluster.with(|state| {
        if let Some(mut namespace) = state.get::<Namespace>("", "default") {
            namespace.annotations_mut().insert("touched".to_owned(), now);
            let _ = state.update(&namespace);
        }
    });
}

fn create<K: paramedic::sim::Kind>(state: &mut State, object: Value) {
    let object: K = serde_json::from_value(object).expect("what the schedule makes can be read");
    if let Err(status) = state.create(&object) {
        panic!("what the schedule makes is refused: {}", status.message);
    }
}

fn make(state: &mut State, plan: &WorkloadPlan) {
    let labels = json!({ "app": plan.name });
    let meta = json!({ "name": plan.name, "namespace": plan.namespace, "labels": labels });
    let template = json!({
        "metadata": { "labels": labels },
        "spec": {
            "containers": [{ "name": "app", "image": "app", "readinessProbe": { "tcpSocket": { "port": 80 } } }],
            "terminationGracePeriodSeconds": 15,
        },
    });
    let spec = json!({ "replicas": plan.replicas, "selector": { "matchLabels": labels }, "template": template });
    if plan.stateful {
        let mut spec = spec;
        spec["serviceName"] = json!(plan.name);
        create::<StatefulSet>(state, json!({ "metadata": meta, "spec": spec }));
    } else {
        create::<Deployment>(state, json!({ "metadata": meta, "spec": spec }));
    }
    if let Some(least) = plan.budget {
        let spec = json!({ "minAvailable": least, "selector": { "matchLabels": labels } });
        create::<PodDisruptionBudget>(state, json!({ "metadata": meta, "spec": spec }));
    }
}
