//! How it stands: who leads, what is paused, what is being repaired, what was. Reads only, and asks the Kubernetes API
//! alone.

mod report;

use std::time::Duration;

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{Api, api::ListParams};

pub use self::report::{Facts, Held, Leader, PauseRow, Policies, PolicyRow, RecordRow, Replica, Report};
use super::{Cluster, OperatorError, asking};
use crate::{
    api::{ClusterRemediationPolicy, Pause, Remediation, RemediationPolicy},
    clock::Clock,
    replica::LEASE,
};

/// What Paramedic's own pods are labelled with in `k8s/base`.
const OWN_PODS: &str = "app.kubernetes.io/name=paramedic";

/// What to make of a Lease that looks old by this machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhereOld {
    /// Wait for as long as it is held for, and look whether somebody has renewed it: the clocks may differ.
    LookAgain,
    /// Say so: this machine's clock is the one that Paramedic runs by.
    BelieveIt,
}

/// What the API says: about one namespace, or all.
pub async fn facts(
    cluster: &Cluster,
    namespace: Option<&str>,
    clock: &Clock,
    where_old: WhereOld,
) -> Result<Facts, OperatorError> {
    let own = cluster.own_namespace.as_str();
    let lease = lease(cluster, clock, where_old).await?;
    let params = ListParams::default().labels(OWN_PODS);
    let pods: Api<Pod> = cluster.api(Some(own));
    // To read pods is a right of its own, and nobody needs it for the rest.
    let pods = pods.list(&params).await.map(|list| list.items).map_err(|error| error.to_string());
    let records = cluster.list::<Remediation>(namespace).await?;
    let mut pauses = cluster.list::<Pause>(namespace).await?;
    if namespace.is_some_and(|namespace| namespace != own) {
        // One for the whole cluster lies there.
        let theirs = cluster.list::<Pause>(Some(own)).await?;
        pauses.objects.extend(theirs.objects);
        pauses.unreadable.extend(theirs.unreadable);
    }
    Ok(Facts {
        own_namespace: own.to_owned(),
        namespace: namespace.map(str::to_owned),
        lease,
        pods,
        records,
        pauses,
        policies: cluster.list::<RemediationPolicy>(namespace).await?,
        cluster_policies: cluster.list_cluster::<ClusterRemediationPolicy>().await?,
    })
}

/// The Lease, and whether its holder renews it.
///
/// When that was is in the holder's time, and this machine's may be another. So where it looks old, or to come, the
/// Lease is read once more after the time that it is held for: one that somebody renews has changed by then.
async fn lease(cluster: &Cluster, clock: &Clock, where_old: WhereOld) -> Result<Option<Held>, OperatorError> {
    let api: Api<Lease> = cluster.api(Some(&cluster.own_namespace));
    let what = || asking(format!("get lease {LEASE} in {}", cluster.own_namespace));
    let Some(lease) = api.get_opt(LEASE).await.map_err(what())? else { return Ok(None) };
    let held = Held::of(&lease, clock.now());
    if held.is_renewed || held.holder.is_none() || where_old == WhereOld::BelieveIt {
        return Ok(Some(held));
    }
    tokio::time::sleep(Duration::from_secs(held.duration.clamp(1, 15))).await;
    let Some(again) = api.get_opt(LEASE).await.map_err(what())? else { return Ok(None) };
    let is_renewed = again.metadata.resource_version != lease.metadata.resource_version;
    Ok(Some(Held { is_renewed, ..Held::of(&again, clock.now()) }))
}
