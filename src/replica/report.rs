//! What policies are told about themselves, in their statuses.

use std::{sync::Arc, time::Duration};

use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::sync::watch;

use crate::{
    api::{ClusterRemediationPolicy, GROUP, ObjectKey, PolicyKind, RemediationPolicy, VERSION},
    clock::Clock,
    leader::Leadership,
    policy::{PolicyResources, Written},
};

/// Writes policies' statuses.
const FIELD_MANAGER: &str = "paramedic-policies";

/// As leader, writes into each policy's status whether it is in force.
pub(super) async fn report(
    client: Client,
    resources: Arc<PolicyResources>,
    leadership: watch::Receiver<Leadership>,
    clock: Clock,
) {
    loop {
        resources.judge();
        let is_leader = matches!(*leadership.borrow(), Leadership::Leader(_));
        if is_leader && resources.is_synced() {
            for (kind, key, verdict) in resources.to_report() {
                let said = verdict.to_write(clock.now());
                let write = write_verdict(&client, kind, &key, &said);
                match tokio::time::timeout(Duration::from_secs(5), write).await {
                    Ok(Ok(())) => resources.reported(kind, &key, said),
                    Ok(Err(error)) => tracing::warn!(policy = %key, %error, "its status was not written"),
                    Err(_) => tracing::warn!(policy = %key, "its status was not written: no answer in time"),
                }
            }
        }
        tokio::select! {
            biased;
            () = resources.changed() => tokio::time::sleep(Duration::from_millis(200)).await,
            () = tokio::time::sleep(Duration::from_secs(10)) => {}
        }
    }
}

async fn write_verdict(client: &Client, kind: PolicyKind, key: &ObjectKey, said: &Written) -> kube::Result<()> {
    let generation = said.conditions.first().and_then(|condition| condition.observed_generation);
    let mut status = json!({ "observedGeneration": generation, "conditions": said.conditions });
    // What is not said any more is taken away by its absence.
    if let Some(limits) = &said.limits {
        status["effectiveLimits"] = json!(limits);
    }
    let patch = Patch::Apply(json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": kind.as_str(),
        "metadata": { "name": key.name },
        "status": status,
    }));
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match kind {
        PolicyKind::RemediationPolicy => {
            let api: Api<kube::core::PartialObjectMeta<RemediationPolicy>> =
                Api::namespaced(client.clone(), &key.namespace);
            api.patch_status(&key.name, &params, &patch).await.map(|_| ())
        }
        PolicyKind::ClusterRemediationPolicy => {
            let api: Api<kube::core::PartialObjectMeta<ClusterRemediationPolicy>> = Api::all(client.clone());
            api.patch_status(&key.name, &params, &patch).await.map(|_| ())
        }
    }
}
