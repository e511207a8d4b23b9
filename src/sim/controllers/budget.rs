//! PodDisruptionBudgets: how many of their pods may be evicted.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        core::v1::Pod,
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus},
    },
    apimachinery::pkg::{
        apis::meta::v1::{Condition, OwnerReference},
        util::intstr::IntOrString,
    },
};

use super::{
    Context, Done,
    events::Note,
    objects::{Key, after, controller_of, count, earlier, is_deleting, matches, name, scaled, time},
    replicas::is_ready,
    view::View,
};

const NAME: &str = "controllermanager";

/// For how long a pod whose eviction was granted counts as gone though it is not.
const DELETION: i64 = 2 * 60;

pub(super) fn reconcile(context: &mut Context<'_>, key: &Key) -> Done {
    let Some(budget) = context.view.budgets.get(key) else { return Ok(None) };
    let Some(spec) = &budget.spec else { return Ok(None) };
    let view = context.view;
    let selected =
        |pod: &Pod| spec.selector.as_ref().is_some_and(|selector| matches(selector, pod.metadata.labels.as_ref()));
    let pods: Vec<Arc<Pod>> =
        view.pods.within(&key.0).map(|(_, pod)| pod).filter(|pod| selected(pod)).cloned().collect();
    if pods.is_empty() {
        context.note(&*budget, Note::normal(NAME, "NoPods", "No matching pods found".to_owned()));
    }
    let before = budget.status.clone().unwrap_or_default();
    let (status, again) = match expected(view, spec, &pods) {
        Ok((expected, desired)) => {
            let (disrupted, again) = disrupted(&before, &pods, context.now);
            let healthy = pods.iter().filter(|pod| {
                !is_deleting(&pod.metadata) && !disrupted.contains_key(name(&pod.metadata)) && is_ready(pod)
            });
            let healthy = count(healthy.count());
            let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
            let (state, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
            let status = PodDisruptionBudgetStatus {
                current_healthy: healthy,
                desired_healthy: desired,
                expected_pods: expected,
                disruptions_allowed: allowed,
                disrupted_pods: Some(disrupted).filter(|disrupted| !disrupted.is_empty()),
                observed_generation: budget.metadata.generation,
                conditions: Some(conditions(&budget, &before, state, reason, "", context.now)),
            };
            (status, again)
        }
        Err(message) => {
            let text = format!("Failed to calculate the number of expected pods: {message}");
            context.note(&*budget, Note::warning(NAME, "CalculateExpectedPodCountFailed", text));
            let conditions = Some(conditions(&budget, &before, "False", "SyncFailed", &message, context.now));
            (PodDisruptionBudgetStatus { disruptions_allowed: 0, conditions, ..before.clone() }, None)
        }
    };
    if status != before {
        let mut changed = PodDisruptionBudget::clone(&budget);
        changed.status = Some(status);
        context.state.update_status(&changed)?;
    }
    Ok(again)
}

fn conditions(
    budget: &PodDisruptionBudget,
    before: &PodDisruptionBudgetStatus,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Vec<Condition> {
    let before = before.conditions.iter().flatten().find(|condition| condition.type_ == "DisruptionAllowed");
    let since = before.filter(|before| before.status == status).map(|before| before.last_transition_time.clone());
    vec![Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: budget.metadata.generation,
        last_transition_time: since.unwrap_or_else(|| time(now)),
    }]
}

/// How many pods there should be, and how many of them healthy.
fn expected(view: &View, spec: &PodDisruptionBudgetSpec, pods: &[Arc<Pod>]) -> Result<(i32, i32), String> {
    if let Some(most) = &spec.max_unavailable {
        let expected = scale(view, pods)?;
        return Ok((expected, (expected - scaled(most, expected, true)?).max(0)));
    }
    match &spec.min_available {
        Some(IntOrString::Int(least)) => Ok((count(pods.len()), *least)),
        Some(share) => {
            let expected = scale(view, pods)?;
            Ok((expected, scaled(share, expected, true)?))
        }
        None => Ok((0, 0)),
    }
}

/// How many pods the controllers of these pods should have in sum. Pods without one do not count.
fn scale(view: &View, pods: &[Arc<Pod>]) -> Result<i32, String> {
    let mut sizes: BTreeMap<String, i32> = BTreeMap::new();
    for pod in pods {
        let Some(owner) = controller_of(&pod.metadata) else { continue };
        if !sizes.contains_key(&owner.uid) {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let (uid, size) = size(view, namespace, owner)
                .ok_or_else(|| format!("found no controllers for pod {:?}", name(&pod.metadata)))?;
            sizes.insert(uid, size);
        }
    }
    Ok(sizes.values().sum())
}

/// The controller that has a size, and its size: the Deployment of a ReplicaSet.
fn size(view: &View, namespace: &str, owner: &OwnerReference) -> Option<(String, i32)> {
    let key = (namespace.to_owned(), owner.name.clone());
    let same = |uid: &Option<String>| uid.as_deref() == Some(owner.uid.as_str());
    match owner.kind.as_str() {
        "ReplicaSet" => {
            let set = view.replica_sets.get(&key).filter(|set| same(&set.metadata.uid))?;
            if let Some(above) = controller_of(&set.metadata).filter(|above| above.kind == "Deployment") {
                let deployment = view.deployments.get(&(namespace.to_owned(), above.name.clone()))?;
                let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                return (deployment.metadata.uid.as_deref() == Some(above.uid.as_str()))
                    .then(|| (above.uid.clone(), replicas));
            }
            Some((owner.uid.clone(), set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)))
        }
        "StatefulSet" => {
            let set = view.stateful_sets.get(&key).filter(|set| same(&set.metadata.uid))?;
            Some((owner.uid.clone(), set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)))
        }
        _ => None,
    }
}

/// The pods whose eviction was granted and that are still there, and when the first of them counts again.
fn disrupted(
    before: &PodDisruptionBudgetStatus,
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> (BTreeMap<String, k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>, Option<Timestamp>) {
    let mut kept = BTreeMap::new();
    let mut again = None;
    for pod in pods.iter().filter(|pod| !is_deleting(&pod.metadata)) {
        let name = name(&pod.metadata);
        let Some(since) = before.disrupted_pods.as_ref().and_then(|pods| pods.get(name)) else { continue };
        let end = after(since.0, DELETION);
        if end > now {
            kept.insert(name.to_owned(), since.clone());
            again = earlier(again, Some(end));
        }
    }
    (kept, again)
}
