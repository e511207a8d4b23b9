//! `paramedic status`: what an on-call person wants to know first. Reads only, and asks the Kubernetes API alone.

mod report;
mod text;

use std::time::Duration;

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{Api, api::ListParams};

use self::report::{Facts, Report};
use super::{
    connect::{Cluster, ClusterArgs},
    exit::{self, OK, OperatorError, PROBLEMS, asking},
    output::OutputArgs,
};
use crate::{
    api::{ClusterRemediationPolicy, Pause, Remediation, RemediationPolicy},
    clock::Clock,
    replica::LEASE,
};

/// What Paramedic's own pods are labelled with in `k8s/base`.
const OWN_PODS: &str = "app.kubernetes.io/name=paramedic";

/// Options of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the records, pauses and policies of this namespace. Default: of all.
    #[arg(short, long, value_name = "NAMESPACE", conflicts_with = "all_namespaces", help_heading = "Cluster")]
    namespace: Option<String>,
    /// Of all namespaces, which is the default.
    #[arg(short = 'A', long, help_heading = "Cluster")]
    all_namespaces: bool,
    /// How many of those that ended last are shown.
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    last: usize,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs the subcommand; the exit code is 1 where nobody leads, or something that is there is not in force.
pub fn run(args: &Args) -> u8 {
    exit::run("status", status(args))
}

async fn status(args: &Args) -> Result<u8, OperatorError> {
    let cluster = args.cluster.connect().await?;
    let clock = Clock::system();
    let facts = facts(&cluster, args.namespace.as_deref(), &clock).await?;
    let report = Report::of(&facts, args.last, clock.now());
    args.output.print(&report, |wide| text::of(&report, wide))?;
    Ok(if report.problems.is_empty() { OK } else { PROBLEMS })
}

async fn facts(cluster: &Cluster, namespace: Option<&str>, clock: &Clock) -> Result<Facts, OperatorError> {
    let own = cluster.own_namespace.as_str();
    let lease = lease(cluster, clock).await?;
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
async fn lease(cluster: &Cluster, clock: &Clock) -> Result<Option<report::Held>, OperatorError> {
    let api: Api<Lease> = cluster.api(Some(&cluster.own_namespace));
    let what = || asking(format!("get lease {LEASE} in {}", cluster.own_namespace));
    let Some(lease) = api.get_opt(LEASE).await.map_err(what())? else { return Ok(None) };
    let held = report::Held::of(&lease, clock.now());
    if held.is_renewed || held.holder.is_none() {
        return Ok(Some(held));
    }
    tokio::time::sleep(Duration::from_secs(held.duration.clamp(1, 15))).await;
    let Some(again) = api.get_opt(LEASE).await.map_err(what())? else { return Ok(None) };
    let is_renewed = again.metadata.resource_version != lease.metadata.resource_version;
    Ok(Some(report::Held { is_renewed, ..report::Held::of(&again, clock.now()) }))
}
