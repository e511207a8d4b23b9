//! Ends one pod, by eviction or by deletion, so that its controller starts another.

use k8s_openapi::{
    api::{core::v1::Pod, policy::v1::Eviction},
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions},
};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};

use super::{Order, Outcome, failed};
use crate::{
    api::{ActionOutcome, RestartMethod, RestartPod},
    target::Resolved,
};

pub(super) fn plan(restart: RestartPod, resolved: &Resolved) -> String {
    let verb = match restart.method {
        RestartMethod::Evict => "evict",
        RestartMethod::Delete => "delete",
    };
    format!("{verb} {} (uid {})", resolved.target, resolved.target.uid)
}

/// The UID goes along as a precondition, so that a new pod of the same name is never meant.
pub(super) async fn execute(client: Client, restart: RestartPod, order: &Order<'_>) -> Outcome {
    let target = &order.entry.target;
    let pods: Api<Pod> = Api::namespaced(client, &target.namespace);
    let grace = restart.grace_period.map(crate::api::PositiveDuration::as_secs);
    let result = match restart.method {
        RestartMethod::Evict => evict(&pods, order, grace).await,
        RestartMethod::Delete => {
            let params = DeleteParams {
                grace_period_seconds: grace.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
                preconditions: Some(kube::api::Preconditions { uid: order.required_uid(), resource_version: None }),
                ..DeleteParams::default()
            };
            pods.delete(&target.name, &params).await.map(|_| ())
        }
    };
    match result {
        Ok(()) => Outcome::done(),
        Err(error) => failed(&error),
    }
}

/// Not `Api::evict`, whose delete options go by a name that the API server does not read (kube 5.0.0).
async fn evict(pods: &Api<Pod>, order: &Order<'_>, grace_period_seconds: Option<i64>) -> kube::Result<()> {
    let target = &order.entry.target;
    let eviction = Eviction {
        metadata: ObjectMeta {
            name: Some(target.name.clone()),
            namespace: Some(target.namespace.clone()),
            ..ObjectMeta::default()
        },
        delete_options: Some(DeleteOptions {
            grace_period_seconds,
            preconditions: Some(Preconditions { uid: order.required_uid(), resource_version: None }),
            ..DeleteOptions::default()
        }),
    };
    let _: serde_json::Value =
        pods.create_subresource("eviction", &target.name, &PostParams::default(), &eviction).await?;
    Ok(())
}

/// A pod that is gone, replaced or on its way out was ended, by whomever.
pub(super) async fn observe(client: Client, order: &Order<'_>) -> Outcome {
    let target = &order.entry.target;
    let pods: Api<Pod> = Api::namespaced(client, &target.namespace);
    match pods.get_opt(&target.name).await {
        Err(error) => Outcome::new(ActionOutcome::Unknown, error.to_string()),
        Ok(None) => Outcome::new(ActionOutcome::Done, "the pod is gone"),
        Ok(Some(pod)) if pod.metadata.uid.as_deref() != Some(target.uid.as_str()) => {
            Outcome::new(ActionOutcome::Done, "another pod has its name")
        }
        Ok(Some(pod)) if pod.metadata.deletion_timestamp.is_some() => {
            Outcome::new(ActionOutcome::Done, "the pod is being deleted")
        }
        Ok(Some(_)) => Outcome::new(ActionOutcome::NotDone, "the pod is still there"),
    }
}
