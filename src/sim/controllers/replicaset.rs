//! ReplicaSets: as many pods as they should have, and their status.
//!
//! A pod on its way out does not count, so its replacement is made at once.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus},
    core::v1::Pod,
};

use super::{
    Context, Done,
    objects::{Key, controller_of, count, earlier, is_deleting, name, owned_by, time, uid},
    replicas::{available_at, better_deleted, claim, from_template, is_active, is_namespace_going, is_ready, node_of},
};
use crate::sim::Status;

const NAME: &str = "replicaset-controller";

/// How many pods are created or deleted at a time.
const BURST: usize = 500;

pub(super) fn reconcile(context: &mut Context<'_>, key: &Key) -> Done {
    let Some(set) = context.view.replica_sets.get(key) else { return Ok(None) };
    let Some(spec) = set.spec.as_ref() else { return Ok(None) };
    let pods = claim(context, |view| &view.pods, &*set, &spec.selector, is_active)?;
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or_default();
    let mut refused = None;
    if !is_deleting(&set.metadata) && pods.len() != wanted {
        match scale(context, &set, &pods, wanted) {
            // What was written comes back as news, and the status follows from that.
            Ok(true) => return Ok(None),
            Ok(false) => {}
            Err(status) => refused = Some(status),
        }
    }
    let (status, again) = status(&set, &pods, refused.as_ref(), context.now);
    if set.status.as_ref() != Some(&status) {
        let mut changed = ReplicaSet::clone(&set);
        changed.status = Some(status);
        context.state.update_status(&changed)?;
    }
    match refused {
        Some(status) => Err(status),
        None => Ok(again),
    }
}

/// Creates or deletes pods; whether any. As many as go well, though the last one did not.
fn scale(context: &mut Context<'_>, set: &ReplicaSet, pods: &[Arc<Pod>], wanted: usize) -> Result<bool, Status> {
    let mut done = false;
    if pods.len() < wanted {
        let Some(template) = set.spec.as_ref().and_then(|spec| spec.template.as_ref()) else { return Ok(false) };
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let mut pod = from_template(template, owned_by(set), namespace);
        pod.metadata.generate_name = Some(format!("{}-", name(&set.metadata)));
        for _ in 0..(wanted - pods.len()).min(BURST) {
            match context.create_pod(set, &pod, NAME) {
                Ok(_) => done = true,
                Err(status) if is_namespace_going(&status) => return Ok(done),
                Err(status) => return Err(status),
            }
        }
        return Ok(done);
    }
    let related = related(context, set);
    let neighbours = |pod: &Pod| {
        let node = node_of(pod);
        related.iter().filter(|other| !node.is_empty() && other.as_str() == node).count()
    };
    let mut pods = pods.to_vec();
    pods.sort_by(|one, other| better_deleted(one, other, neighbours, context.now));
    for pod in pods.iter().take((pods.len() - wanted).min(BURST)) {
        context.delete_pod(set, pod, NAME)?;
        done = true;
    }
    Ok(done)
}

/// The nodes of the ready pods of this ReplicaSet, and of those beside it under the same controller.
fn related(context: &Context<'_>, set: &ReplicaSet) -> Vec<String> {
    let sets: Vec<String> = match controller_of(&set.metadata) {
        Some(owner) => {
            let beside = context.view.replica_sets.controlled(&owner.uid);
            beside.map(|set| uid(&set.metadata).to_owned()).collect()
        }
        None => vec![uid(&set.metadata).to_owned()],
    };
    let pods = sets.iter().flat_map(|set| context.view.pods.controlled(set));
    pods.filter(|pod| is_active(pod) && is_ready(pod)).map(|pod| node_of(pod).to_owned()).collect()
}

/// Its status now, and when that will change by itself.
fn status(
    set: &ReplicaSet,
    pods: &[Arc<Pod>],
    refused: Option<&Status>,
    now: Timestamp,
) -> (ReplicaSetStatus, Option<Timestamp>) {
    let spec = set.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.min_ready_seconds).unwrap_or_default();
    let template = spec.and_then(|spec| spec.template.as_ref()).and_then(|template| template.metadata.as_ref());
    let labels = template.and_then(|meta| meta.labels.clone()).unwrap_or_default();
    let labeled = |pod: &Pod| {
        labels.iter().all(|(key, value)| pod.metadata.labels.as_ref().and_then(|all| all.get(key)) == Some(value))
    };
    let (mut full, mut ready, mut available, mut again) = (0, 0, 0, None);
    for pod in pods {
        full += i32::from(labeled(pod));
        if let Some(at) = available_at(pod, seconds) {
            ready += 1;
            if at <= now {
                available += 1;
            } else {
                again = earlier(again, Some(at));
            }
        }
    }
    let some = |number: i32| Some(number).filter(|number| *number > 0);
    let before = set.status.clone().unwrap_or_default();
    let failure = before.conditions.iter().flatten().find(|condition| condition.type_ == "ReplicaFailure").cloned();
    let failure = refused.map(|refused| {
        let fewer = pods.len() < usize::try_from(spec.and_then(|spec| spec.replicas).unwrap_or(1)).unwrap_or_default();
        failure.unwrap_or_else(|| ReplicaSetCondition {
            type_: "ReplicaFailure".to_owned(),
            status: "True".to_owned(),
            reason: Some(if fewer { "FailedCreate" } else { "FailedDelete" }.to_owned()),
            message: Some(refused.message.clone()),
            last_transition_time: Some(time(now)),
        })
    });
    let status = ReplicaSetStatus {
        replicas: count(pods.len()),
        fully_labeled_replicas: some(full),
        ready_replicas: some(ready),
        available_replicas: some(available),
        observed_generation: set.metadata.generation,
        conditions: failure.map(|failure| vec![failure]),
        terminating_replicas: None,
    };
    (status, again)
}
