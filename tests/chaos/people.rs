//! What people do meanwhile: delete pods, records and the lease, pause and opt out, change policies and sizes.

use std::time::Duration;

use fastrand::Rng;
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        coordination::v1::Lease,
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::DeleteOptions,
};
use kube::ResourceExt;
use paramedic::{
    api::{
        ApprovalPolicy, CANCEL_ANNOTATION, ClusterRemediationPolicy, DISABLED_ANNOTATION, Decision, Pause, Phase,
        Remediation, RemediationApproval, RemediationApprovalSpec, RemediationPolicy,
    },
    sim::{Kind, State},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    plan::{NAMESPACES, OWN, PolicyPlan, spec},
    stage::Stage,
};

/// Puts the policies there.
pub fn policies(stage: &Stage) {
    stage.cluster.with(|state| {
        for policy in &stage.plan.policies {
            put(state, policy, &policy.spec);
        }
    });
}

fn put(state: &mut State, policy: &PolicyPlan, spec: &Value) {
    let meta = json!({ "name": policy.name, "namespace": policy.namespace });
    if let Some(namespace) = policy.namespace {
        let object = json!({
            "apiVersion": "paramedic.dev/v1alpha1", "kind": "RemediationPolicy", "metadata": meta, "spec": spec,
        });
        put_as::<RemediationPolicy>(state, namespace, &policy.name, object);
    } else {
        let object = json!({
            "apiVersion": "paramedic.dev/v1alpha1", "kind": "ClusterRemediationPolicy",
            "metadata": { "name": policy.name }, "spec": spec,
        });
        put_as::<ClusterRemediationPolicy>(state, "", &policy.name, object);
    }
}

fn put_as<K: Kind>(state: &mut State, namespace: &str, name: &str, object: Value) {
    let mut object: K = serde_json::from_value(object).expect("a policy of the schedule can be read");
    match state.get::<K>(namespace, name) {
        None => put_well(state.create(&object)),
        Some(there) => {
            object.meta_mut().resource_version.clone_from(&there.meta().resource_version);
            put_well(state.update(&object));
        }
    }
}

fn put_well<K>(put: Result<K, paramedic::sim::Status>) {
    if let Err(status) = put {
        panic!("a policy of the schedule is refused: {}", status.message);
    }
}

fn pick<T>(rng: &mut Rng, mut of: Vec<T>) -> Option<T> {
    if of.is_empty() { None } else { Some(of.swap_remove(rng.usize(..of.len()))) }
}

/// Until faults are over.
pub async fn meddle(stage: Stage) {
    let mut rng = stage.plan.rng(5);
    let most = u64::try_from(stage.plan.people_every.as_millis()).unwrap_or(u64::MAX) * 2;
    let mut pauses = 0;
    loop {
        sleep(Duration::from_millis(rng.u64(1_000..most.max(2_000)))).await;
        if stage.is_quiet() {
            return;
        }
        // What a compaction forgets has been judged.
        stage.look();
        let did = stage.cluster.with(|state| one(&stage, state, &mut rng, &mut pauses));
        if let Some(did) = did {
            stage.count("people", did.0);
            stage.trace(|| format!("people: {} {}", did.0, did.1));
            stage.look();
        }
    }
}

fn one(stage: &Stage, state: &mut State, rng: &mut Rng, pauses: &mut u32) -> Option<(&'static str, String)> {
    let gone = DeleteOptions::default();
    match rng.u32(0..24) {
        0..=6 => {
            let apps = |pod: &Pod| NAMESPACES.contains(&pod.namespace().unwrap_or_default().as_str());
            let pods: Vec<Pod> = state.list(None).into_iter().filter(apps).collect();
            // People look after the same pods as Paramedic does.
            let acted_on: Vec<Pod> = pods.iter().filter(|pod| is_acted_on(state, pod)).cloned().collect();
            let pod = pick(rng, if acted_on.is_empty() { pods } else { acted_on })?;
            let (namespace, name) = (pod.namespace()?, pod.name_any());
            let now = DeleteOptions { grace_period_seconds: (rng.u32(0..4) > 0).then_some(0), ..gone };
            state.delete::<Pod>(&namespace, &name, &now).ok()?;
            Some(("deleted a pod", name))
        }
        7 => {
            let record = pick(rng, state.list::<Remediation>(None))?;
            let (namespace, name) = (record.namespace()?, record.name_any());
            state.delete::<Remediation>(&namespace, &name, &gone).ok()?;
            Some(("deleted a record", name))
        }
        8 => {
            state.delete::<Lease>(OWN, "paramedic", &gone).ok()?;
            Some(("deleted the lease", String::new()))
        }
        9..=11 => {
            *pauses += 1;
            let cluster = rng.u32(0..3) == 0;
            let namespace = if cluster { OWN } else { NAMESPACES[rng.usize(..NAMESPACES.len())] };
            let name = format!("pause{pauses}");
            let pause = json!({
                "apiVersion": "paramedic.dev/v1alpha1", "kind": "Pause",
                "metadata": { "name": name, "namespace": namespace },
                "spec": { "scope": if cluster { "Cluster" } else { "Namespace" }, "reason": "a release" },
            });
            let pause: Pause = serde_json::from_value(pause).expect("a Pause of the schedule can be read");
            state.create(&pause).ok()?;
            Some(("paused", format!("{namespace}/{name}")))
        }
        12..=14 => {
            let pause = pick(rng, state.list::<Pause>(None))?;
            let (namespace, name) = (pause.namespace()?, pause.name_any());
            state.delete::<Pause>(&namespace, &name, &gone).ok()?;
            Some(("ended a pause", format!("{namespace}/{name}")))
        }
        15 | 16 => {
            let plan = pick(rng, stage.plan.workloads.iter().collect())?;
            let out = rng.bool();
            let did = if plan.stateful {
                opt_out::<StatefulSet>(state, plan.namespace, &plan.name, out)
            } else {
                opt_out::<Deployment>(state, plan.namespace, &plan.name, out)
            };
            did.then(|| (if out { "opted a workload out" } else { "opted a workload in" }, plan.name.clone()))
        }
        17 | 18 => {
            let policy = pick(rng, stage.plan.policies.iter().collect())?;
            let mut spec = spec(rng, policy.alertname, policy.namespace.is_none());
            if rng.u32(0..5) == 0 {
                spec["mode"] = json!("Disabled");
            }
            put(state, policy, &spec);
            Some(("changed a policy", policy.name.clone()))
        }
        19 => {
            let policy = pick(rng, stage.plan.policies.iter().collect())?;
            match policy.namespace {
                Some(namespace) => state.delete::<RemediationPolicy>(namespace, &policy.name, &gone).ok()?,
                None => state.delete::<ClusterRemediationPolicy>("", &policy.name, &gone).ok()?,
            }
            Some(("deleted a policy", policy.name.clone()))
        }
        20 => {
            let record = pick(rng, state.list::<Remediation>(None))?;
            let mut record = record;
            record.annotations_mut().insert(CANCEL_ANNOTATION.to_owned(), "somebody".to_owned());
            state.update(&record).ok()?;
            Some(("cancelled a record", record.name_any()))
        }
        21 | 22 => {
            let plan = pick(rng, stage.plan.workloads.iter().collect())?;
            let replicas = rng.i32(1..=4);
            if plan.stateful {
                let mut set = state.get::<StatefulSet>(plan.namespace, &plan.name)?;
                set.spec.as_mut()?.replicas = Some(replicas);
                state.update(&set).ok()?;
            } else {
                let mut set = state.get::<Deployment>(plan.namespace, &plan.name)?;
                set.spec.as_mut()?.replicas = Some(replicas);
                state.update(&set).ok()?;
            }
            Some(("scaled a workload", format!("{} to {replicas}", plan.name)))
        }
        _ => {
            state.compact();
            Some(("compacted", String::new()))
        }
    }
}

/// Somebody looks now and then at what awaits an answer, and mostly says yes: as long as there is anything, or a record
/// would wait for an hour.
pub async fn answer(stage: Stage) {
    let mut rng = stage.plan.rng(6);
    let mut answers = 0;
    loop {
        sleep(Duration::from_millis(rng.u64(2_000..20_000))).await;
        let did = stage.cluster.with(|state| one_answer(state, &mut rng, &mut answers));
        if let Some((did, name)) = did {
            stage.count("people", did);
            stage.trace(|| format!("people: {did} {name}"));
            stage.look();
        }
    }
}

fn one_answer(state: &mut State, rng: &mut Rng, answers: &mut u32) -> Option<(&'static str, String)> {
    let asked =
        |record: &Remediation| record.status.as_ref().is_some_and(|status| status.phase == Phase::AwaitingApproval);
    let record = pick(rng, state.list::<Remediation>(None).into_iter().filter(asked).collect())?;
    let (name, status) = (record.name_any(), record.status.as_ref()?);
    *answers += 1;
    let deny = rng.u32(0..8) == 0;
    let spec = RemediationApprovalSpec {
        remediation: name.clone(),
        policy: ApprovalPolicy::from(&record.spec.policy),
        plan_hash: status.plan_hash.clone()?,
        target_uid: status.target.as_ref()?.uid.clone(),
        decision: if deny { Decision::Deny } else { Decision::Approve },
        approver: "somebody".to_owned(),
        comment: None,
    };
    let mut approval = RemediationApproval::new(&format!("answer{answers}"), spec);
    approval.metadata.namespace = record.namespace();
    state.create(&approval).ok()?;
    Some((if deny { "denied a plan" } else { "approved a plan" }, name))
}

/// Somebody deletes the pod that a request is about, at once, before the request lands.
pub fn delete_under(stage: &Stage, request: &[&str]) {
    let ["api", "v1", "namespaces", namespace, "pods", name, ..] = request else { return };
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    if stage.cluster.with(|state| state.delete::<Pod>(namespace, name, &now)).is_ok() {
        stage.count("people", "deleted a pod under an action");
        stage.trace(|| format!("people: deleted {namespace}/{name}, which an action is about"));
        stage.look();
    }
}

fn is_acted_on(state: &State, pod: &Pod) -> bool {
    state.list::<Remediation>(None).iter().filter_map(|record| record.status.as_ref()).any(|status| {
        status.phase == Phase::Acting && status.target.as_ref().map(|target| &target.uid) == pod.metadata.uid.as_ref()
    })
}

fn opt_out<K: Kind>(state: &mut State, namespace: &str, name: &str, out: bool) -> bool {
    let Some(mut object) = state.get::<K>(namespace, name) else { return false };
    let annotations = object.meta_mut().annotations.get_or_insert_default();
    if out {
        annotations.insert(DISABLED_ANNOTATION.to_owned(), "true".to_owned());
    } else {
        annotations.remove(DISABLED_ANNOTATION);
    }
    state.update(&object).is_ok()
}

/// Everything that somebody holds back is let go.
pub fn calm_down(stage: &Stage) {
    stage.cluster.with(|state| {
        for pause in state.list::<Pause>(None) {
            let namespace = pause.namespace().unwrap_or_default();
            let _ = state.delete::<Pause>(&namespace, &pause.name_any(), &DeleteOptions::default());
        }
    });
    stage.look();
}
