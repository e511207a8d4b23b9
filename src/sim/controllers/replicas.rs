//! What controllers of pods have in common: whose a pod is, how it fares, and how one is made. Mostly pure.

use std::{cmp::Ordering, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Pod, PodCondition, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, LabelSelector, ObjectMeta, OwnerReference, Preconditions},
};
use kube::Resource;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Context,
    events::Note,
    objects::{after, created, is_deleting, matches, name, owned_by, uid},
    view::Store,
};
use crate::sim::Status;

pub(super) fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

pub(super) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|ready| ready.status == "True")?;
    ready.last_transition_time.as_ref().map(|time| time.0)
}

/// When a pod counts as available: once it was ready for so many seconds. `None` while it is not ready.
pub(super) fn available_at(pod: &Pod, min_ready_seconds: i32) -> Option<Timestamp> {
    let since = ready_since(pod)?;
    Some(if min_ready_seconds == 0 { since } else { after(since, i64::from(min_ready_seconds)) })
}

pub(super) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

pub(super) fn is_over(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether it counts: neither over nor on its way out.
pub(super) fn is_active(pod: &Pod) -> bool {
    !is_over(pod) && !is_deleting(&pod.metadata)
}

pub(super) fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

fn restarts(pod: &Pod) -> i32 {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    containers.into_iter().flatten().map(|container| container.restart_count).max().unwrap_or_default()
}

/// Which of two pods of a ReplicaSet is better deleted: the lesser one. `neighbours` says how many ready pods of the same
/// Deployment are on a pod's node.
pub(super) fn better_deleted(one: &Pod, other: &Pod, neighbours: impl Fn(&Pod) -> usize, now: Timestamp) -> Ordering {
    let cost = |pod: &Pod| -> i32 {
        let annotations = pod.metadata.annotations.as_ref();
        let cost = annotations.and_then(|all| all.get("controller.kubernetes.io/pod-deletion-cost"));
        cost.and_then(|cost| cost.parse().ok()).unwrap_or_default()
    };
    let stage = |pod: &Pod| match phase(pod) {
        "Pending" => 0,
        "Running" => 2,
        _ => 1,
    };
    // Ages count on a logarithmic scale; pods of about one age are taken in the order of their UIDs.
    let age = |at: Option<Timestamp>| at.map(|at| now.duration_since(at).as_secs().max(1).ilog2());
    let by_age = |one_at: Option<Timestamp>, other_at: Option<Timestamp>| {
        if one_at == other_at {
            return Ordering::Equal;
        }
        age(one_at).cmp(&age(other_at)).then_with(|| uid(&one.metadata).cmp(uid(&other.metadata)))
    };
    (!node_of(one).is_empty())
        .cmp(&!node_of(other).is_empty())
        .then_with(|| stage(one).cmp(&stage(other)))
        .then_with(|| is_ready(one).cmp(&is_ready(other)))
        .then_with(|| cost(one).cmp(&cost(other)))
        .then_with(|| neighbours(other).cmp(&neighbours(one)))
        .then_with(|| by_age(ready_since(one), ready_since(other)))
        .then_with(|| restarts(other).cmp(&restarts(one)))
        .then_with(|| by_age(created(&one.metadata), created(&other.metadata)))
}

/// A pod as a template wants it, of that owner.
pub(super) fn from_template(template: &PodTemplateSpec, owner: OwnerReference, namespace: &str) -> Pod {
    let from = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            labels: from.labels,
            annotations: from.annotations,
            finalizers: from.finalizers,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

impl Context<'_> {
    /// Creates a pod for its controller, and says so in an Event.
    ///
    /// Refuses what the API refuses.
    pub(super) fn create_pod<K: Resource<DynamicType = ()>>(
        &mut self,
        owner: &K,
        pod: &Pod,
        from: &str,
    ) -> Result<Pod, Status> {
        match self.state.create(pod) {
            Ok(pod) => {
                let message = format!("Created pod: {}", name(&pod.metadata));
                self.note(owner, Note::normal(from, "SuccessfulCreate", message));
                Ok(pod)
            }
            Err(status) => {
                if !is_namespace_going(&status) {
                    let message = format!("Error creating: {}", status.message);
                    self.note(owner, Note::warning(from, "FailedCreate", message));
                }
                Err(status)
            }
        }
    }

    /// Deletes a pod for its controller, and says so in an Event; one that is gone already is no error.
    ///
    /// Refuses what the API refuses.
    pub(super) fn delete_pod<K: Resource<DynamicType = ()>>(
        &mut self,
        owner: &K,
        pod: &Pod,
        from: &str,
    ) -> Result<(), Status> {
        let (namespace, name) = super::objects::key_of(&pod.metadata);
        let options = DeleteOptions {
            preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
            ..DeleteOptions::default()
        };
        match self.state.delete::<Pod>(&namespace, &name, &options) {
            Ok(()) => {
                self.note(owner, Note::normal(from, "SuccessfulDelete", format!("Deleted pod: {name}")));
                Ok(())
            }
            Err(status) if status.is_not_found() => Ok(()),
            Err(status) => {
                let message = format!("Error deleting: {}", status.message);
                self.note(owner, Note::warning(from, "FailedDelete", message));
                Err(status)
            }
        }
    }
}

/// Whether something was refused because its namespace is on its way out, about which nothing can be done.
pub(super) fn is_namespace_going(status: &Status) -> bool {
    let causes = status.details.as_ref().map(|details| &details.causes);
    causes.into_iter().flatten().any(|cause| cause.reason == "NamespaceTerminating")
}

/// What an owner controls of a kind: its own; orphans that its selector means are adopted, and those of its own that the
/// selector does not mean any more are let go. `counts` says which are looked at at all.
///
/// Refuses what the API refuses.
pub(super) fn claim<O, K>(
    context: &mut Context<'_>,
    store: impl Fn(&super::view::View) -> &Store<K>,
    owner: &O,
    selector: &LabelSelector,
    counts: impl Fn(&K) -> bool,
) -> Result<Vec<Arc<K>>, Status>
where
    O: Resource<DynamicType = ()>,
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned,
{
    let view = context.view;
    let store = store(view);
    let meta = owner.meta();
    let mut claimed = Vec::new();
    for object in store.controlled(uid(meta)).filter(|object| counts(object)) {
        if matches(selector, object.meta().labels.as_ref()) {
            claimed.push(object.clone());
        } else if !is_deleting(meta) {
            let mut object = K::clone(object);
            let owners = object.meta_mut().owner_references.get_or_insert_default();
            owners.retain(|owner| owner.uid != uid(meta));
            ignore_gone(context.state.update(&object))?;
        }
    }
    if !is_deleting(meta) {
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let fits = |object: &Arc<K>| {
            counts(object) && !is_deleting(object.meta()) && matches(selector, object.meta().labels.as_ref())
        };
        for object in store.orphans(namespace).filter(|object| fits(object)) {
            let mut object = K::clone(object);
            object.meta_mut().owner_references.get_or_insert_default().push(owned_by(owner));
            if let Some(adopted) = ignore_gone(context.state.update(&object))? {
                claimed.push(Arc::new(adopted));
            }
        }
    }
    Ok(claimed)
}

/// What is gone needs nothing any more.
fn ignore_gone<K>(result: Result<K, Status>) -> Result<Option<K>, Status> {
    match result {
        Ok(object) => Ok(Some(object)),
        Err(status) if status.is_not_found() => Ok(None),
        Err(status) => Err(status),
    }
}
