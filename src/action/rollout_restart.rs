//! Restarts every pod of a workload by a new revision of its template, as `kubectl rollout restart` does.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{Order, Outcome, failed};
use crate::{api::ActionOutcome, target::Resolved};

/// On a template: when it was restarted; kubectl writes and shows the same.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// On a template: for which record and step, so that it can be told later whether it was done.
const RESTARTED_FOR: &str = "paramedic.dev/restarted-for";

pub(super) fn plan(resolved: &Resolved) -> String {
    format!("restart the rollout of {}", resolved.subject.object)
}

pub(super) async fn execute(client: Client, order: &Order<'_>) -> Outcome {
    match order.entry.target.kind.as_str() {
        "Deployment" => restart::<Deployment>(client, order).await,
        "StatefulSet" => restart::<StatefulSet>(client, order).await,
        "DaemonSet" => restart::<DaemonSet>(client, order).await,
        kind => Outcome::new(ActionOutcome::Refused, format!("a {kind} cannot be restarted by rollout")),
    }
}

pub(super) async fn observe(client: Client, order: &Order<'_>) -> Outcome {
    match order.entry.target.kind.as_str() {
        "Deployment" => look::<Deployment>(client, order).await,
        "StatefulSet" => look::<StatefulSet>(client, order).await,
        "DaemonSet" => look::<DaemonSet>(client, order).await,
        kind => Outcome::new(ActionOutcome::NotDone, format!("a {kind} cannot be restarted by rollout")),
    }
}

trait Workload:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + std::fmt::Debug
{
}
impl Workload for Deployment {}
impl Workload for StatefulSet {}
impl Workload for DaemonSet {}

/// The resourceVersion goes along, so that a change that was not seen, and a new object of the same name, are not met.
async fn restart<K: Workload>(client: Client, order: &Order<'_>) -> Outcome {
    let target = &order.entry.target;
    let api: Api<K> = Api::namespaced(client, &target.namespace);
    let found = match api.get(&target.name).await {
        Ok(found) => found,
        // Nothing was sent yet that could have had an effect.
        Err(kube::Error::Api(status)) if status.code == 404 => {
            return Outcome::new(ActionOutcome::Conflict, format!("{target} is gone"));
        }
        Err(error) => return Outcome::new(ActionOutcome::NotDone, error.to_string()),
    };
    if found.uid().as_deref() != Some(target.uid.as_str()) {
        return Outcome::new(ActionOutcome::Conflict, format!("another object has the name of {target}"));
    }
    if token(&found) == Some(order.token()) {
        return Outcome::done();
    }
    let patch = json!({
        "metadata": { "uid": target.uid, "resourceVersion": found.resource_version() },
        "spec": { "template": { "metadata": { "annotations": {
            RESTARTED_AT: order.entry.started_at.to_string(),
            RESTARTED_FOR: order.token(),
        } } } },
    });
    match api.patch(&target.name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Outcome::done(),
        Err(error) => failed(&error),
    }
}

async fn look<K: Workload>(client: Client, order: &Order<'_>) -> Outcome {
    let target = &order.entry.target;
    let api: Api<K> = Api::namespaced(client, &target.namespace);
    match api.get_opt(&target.name).await {
        Err(error) => Outcome::new(ActionOutcome::Unknown, error.to_string()),
        Ok(None) => Outcome::new(ActionOutcome::NotDone, format!("{target} is gone")),
        Ok(Some(found)) if token(&found) == Some(order.token()) => {
            Outcome::new(ActionOutcome::Done, "its template carries the mark of this step")
        }
        Ok(Some(_)) => Outcome::new(ActionOutcome::NotDone, "its template does not carry the mark of this step"),
    }
}

/// The mark on the template, wherever the kind keeps its template: all three at `spec.template`.
fn token<K: Workload>(object: &K) -> Option<String> {
    let object = serde_json::to_value(object).ok()?;
    let annotations = object.pointer("/spec/template/metadata/annotations")?;
    annotations.get(RESTARTED_FOR)?.as_str().map(str::to_owned)
}
