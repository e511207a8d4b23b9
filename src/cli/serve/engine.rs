//! Starts the engine: the watches, the election, the leader's work.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::DeserializeGuard,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{Parts, tasks::Tasks};
use crate::{
    api::{ClusterRemediationPolicy, GROUP, ObjectKey, PolicyKind, Remediation, RemediationPolicy, VERSION},
    clients::{Alertmanager, AlertmanagerError},
    clock::Clock,
    config::Config,
    leader::{Election, ElectionSettings, Leadership},
    policy::PolicyResources,
    remediation::{Driver, DriverSettings, Looker, RecordCache, Recorder, announcer},
    server::health::{CACHES, Readiness},
};

/// The Lease's name, in Paramedic's namespace.
const LEASE: &str = "paramedic";
/// How long a leader waits before it tries again to read what it must know.
const LEAD_AGAIN: Duration = Duration::from_secs(1);
/// Writes policies' statuses.
const FIELD_MANAGER: &str = "paramedic-policies";

/// Starts every task of the engine; gives what takes alerts in.
pub(super) fn start(parts: &Parts, tasks: &mut Tasks) -> Result<Recorder, AlertmanagerError> {
    let config = &parts.config;
    let records = Arc::new(RecordCache::default());
    let resources = Arc::new(PolicyResources::new(Arc::clone(&parts.policies), Arc::clone(&parts.metrics)));
    let (leadership, led) = watch::channel(Leadership::Follower);
    let (drain, drained) = oneshot::channel();

    follow_records(&parts.clients.patient, &records, tasks);
    follow_policies(&parts.clients.patient, &resources, tasks);
    tasks.spawn("caches", caches(Arc::clone(&records), Arc::clone(&resources), parts.readiness.clone(), tasks.stop()));

    let election = Election::new(parts.clients.once.clone(), election(config), parts.clock.clone());
    tasks.spawn("election", election.run(leadership, tasks.stop(), drained));
    let (driver, publisher) = driver(parts, &records)?;
    tasks.spawn("events", publisher.run());
    tasks.spawn("leader", lead(driver, led.clone(), parts.readiness.clone(), tasks.stop(), drain));
    let reporter = report(parts.clients.once.clone(), resources, led, parts.clock.clone());
    let stop = tasks.stop();
    tasks.spawn("policy statuses", async move {
        stop.run_until_cancelled(reporter).await;
    });

    Ok(Recorder {
        client: parts.clients.once.clone(),
        policies: Arc::clone(&parts.policies),
        records,
        readiness: parts.readiness.clone(),
        clock: parts.clock.clone(),
        metrics: Arc::clone(&parts.metrics),
        own_namespace: config.namespace.clone(),
        open_per_policy: config.engine.open_per_policy,
    })
}

fn follow_records(client: &Client, records: &Arc<RecordCache>, tasks: &mut Tasks) {
    let api: Api<DeserializeGuard<Remediation>> = Api::all(client.clone());
    let (records, stop) = (Arc::clone(records), tasks.stop());
    tasks.spawn("watch on Remediations", async move {
        let stream = watcher(api, watcher::Config::default()).default_backoff();
        stop.run_until_cancelled(records.follow(stream)).await;
    });
}

fn follow_policies(client: &Client, resources: &Arc<PolicyResources>, tasks: &mut Tasks) {
    let namespaced: Api<DeserializeGuard<RemediationPolicy>> = Api::all(client.clone());
    let (into, stop) = (Arc::clone(resources), tasks.stop());
    tasks.spawn("watch on RemediationPolicies", async move {
        let stream = watcher(namespaced, watcher::Config::default()).default_backoff();
        stop.run_until_cancelled(into.follow(stream)).await;
    });
    let cluster: Api<DeserializeGuard<ClusterRemediationPolicy>> = Api::all(client.clone());
    let (into, stop) = (Arc::clone(resources), tasks.stop());
    tasks.spawn("watch on ClusterRemediationPolicies", async move {
        let stream = watcher(cluster, watcher::Config::default()).default_backoff();
        stop.run_until_cancelled(into.follow(stream)).await;
    });
}

/// Says when every first list is whole.
async fn caches(
    records: Arc<RecordCache>,
    policies: Arc<PolicyResources>,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let synced = async {
        while !(records.is_synced() && policies.is_synced()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if stop.run_until_cancelled(synced).await.is_some() {
        tracing::info!(remediations = records.index().len(), "the caches are synced");
        readiness.pass(CACHES);
        stop.cancelled().await;
    }
}

fn election(config: &Config) -> ElectionSettings {
    ElectionSettings {
        namespace: config.namespace.clone(),
        name: LEASE.to_owned(),
        // A restarted container keeps its pod's name; it must not take its predecessor's lease for its own.
        identity: format!("{}_{:08x}", config.identity, fastrand::u32(..)),
        lease_duration: config.leader.lease_duration.get(),
        renew_every: config.leader.renew_every.get(),
    }
}

fn driver(
    parts: &Parts,
    records: &Arc<RecordCache>,
) -> Result<(Driver, crate::remediation::Publisher), AlertmanagerError> {
    let config = &parts.config;
    let (announcer, publisher) = announcer(parts.clients.once.clone(), &config.identity);
    let looker = Looker {
        client: parts.clients.once.clone(),
        alertmanagers: Arc::new(alertmanagers(config)?),
        own_namespace: config.namespace.clone(),
        protected: Arc::new(config.protected_namespaces.iter().cloned().collect()),
        evidence_max_age: config.evidence_max_age.get(),
        clock: parts.clock.clone(),
    };
    let driver = Driver {
        client: parts.clients.once.clone(),
        looker,
        records: Arc::clone(records),
        policies: Arc::clone(&parts.policies),
        announcer,
        metrics: Arc::clone(&parts.metrics),
        clock: parts.clock.clone(),
        settings: DriverSettings {
            lease_duration: config.leader.lease_duration.get(),
            action_timeout: config.leader.action_timeout.get(),
            max_concurrent: config.engine.max_concurrent,
            retention: config.engine.retention.get(),
        },
    };
    Ok((driver, publisher))
}

/// The Alertmanagers, by the source that each stands for.
fn alertmanagers(config: &Config) -> Result<BTreeMap<String, Vec<Alertmanager>>, AlertmanagerError> {
    let mut by_source: BTreeMap<String, Vec<Alertmanager>> = BTreeMap::new();
    for settings in &config.alertmanagers {
        let basic_auth = settings.basic_auth.as_ref().map(|auth| (auth.username.clone(), auth.password_file.clone()));
        let peer = Alertmanager::new(
            &settings.url,
            settings.timeout.get(),
            settings.resend_interval.get(),
            basic_auth,
            settings.ca_file.clone(),
        )?;
        by_source.entry(settings.source.clone()).or_default().push(peer);
    }
    Ok(by_source)
}

/// Works as leader whenever this process is it, and says when nothing is under way any more.
async fn lead(
    driver: Driver,
    mut leadership: watch::Receiver<Leadership>,
    readiness: Readiness,
    stop: CancellationToken,
    drain: oneshot::Sender<bool>,
) {
    // A term that was not worked through leaves what its predecessor left.
    let mut clean = false;
    // What a policy says must be known before anything is decided by it.
    let synced = async {
        while readiness.check(CACHES).is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    stop.run_until_cancelled(synced).await;
    while !stop.is_cancelled() {
        let now = leadership.borrow_and_update().clone();
        let Leadership::Leader(term) = now else {
            driver.metrics.leader(false);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = leadership.changed() => if changed.is_err() { break },
            }
            continue;
        };
        driver.metrics.leader(true);
        clean = driver.wait_out(&term, &stop).await;
        while clean && !term.ended().is_cancelled() && !stop.is_cancelled() {
            match driver.lead(Arc::clone(&term), stop.clone()).await {
                Ok(nothing_under_way) => {
                    clean = nothing_under_way;
                    break;
                }
                Err(error) => tracing::error!(%error, "the leader's work did not begin; it is tried again"),
            }
            stop.run_until_cancelled(tokio::time::sleep(LEAD_AGAIN)).await;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = term.ended().cancelled() => {}
        }
    }
    driver.metrics.leader(false);
    // Where nobody listens any more, the term ended by itself.
    let _ = drain.send(clean);
    // Other tasks of the engine end by themselves; this one must not end before it was told to.
    stop.cancelled().await;
}

/// As leader, writes into each policy's status whether it is in force.
async fn report(
    client: Client,
    resources: Arc<PolicyResources>,
    leadership: watch::Receiver<Leadership>,
    clock: Clock,
) {
    loop {
        let is_leader = matches!(*leadership.borrow(), Leadership::Leader(_));
        if is_leader && resources.is_synced() {
            for (kind, key, verdict) in resources.to_report() {
                let condition = verdict.to_write(clock.now());
                let write = write_verdict(&client, kind, &key, &condition);
                match tokio::time::timeout(Duration::from_secs(5), write).await {
                    Ok(Ok(())) => resources.reported(kind, &key, condition),
                    Ok(Err(error)) => tracing::warn!(policy = %key, %error, "its status was not written"),
                    Err(_) => tracing::warn!(policy = %key, "its status was not written: no answer in time"),
                }
            }
        }
        tokio::select! {
            () = resources.changed() => tokio::time::sleep(Duration::from_millis(200)).await,
            () = tokio::time::sleep(Duration::from_secs(10)) => {}
        }
    }
}

async fn write_verdict(client: &Client, kind: PolicyKind, key: &ObjectKey, condition: &Condition) -> kube::Result<()> {
    let patch = Patch::Apply(json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": kind.as_str(),
        "metadata": { "name": key.name },
        "status": { "observedGeneration": condition.observed_generation, "conditions": [condition] },
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
