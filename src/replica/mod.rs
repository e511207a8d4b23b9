//! One replica: what every process of Paramedic runs, apart from its ports.
//!
//! The watches, the election, the leader's work, and what takes alerts in. It asks nobody but the parts that it is given:
//! `serve` gives it the cluster and the machine's clock, the simulation one of its own making. So what is tried there is
//! what runs here. Nothing in it depends on the order of a hash map or on chance, but for the pauses that are drawn from
//! the thread's generator.

mod audit;
mod lead;
mod report;
mod tasks;

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use futures::StreamExt;
use kube::{
    Api, Client,
    core::DeserializeGuard,
    runtime::{WatchStreamExt, watcher},
};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tower::timeout::TimeoutLayer;
use tower_http::timeout::ResponseBodyTimeoutLayer;

pub use self::tasks::{Ended, TaskError, Tasks};
use crate::{
    api::{ClusterRemediationPolicy, ObjectKey, Remediation, RemediationApproval, RemediationPolicy},
    audit::Audit,
    clients::Monitors,
    clock::Clock,
    config::Config,
    leader::{Election, ElectionSettings, Leadership},
    policy::{PolicyResources, PolicyStore},
    protections::Protections,
    remediation::{
        Driver, DriverSettings, Escalations, Escalator, Looker, Polled, Poller, Publisher, RecordCache, Recorder,
        Reviewer, announcer,
    },
    server::{
        health::{CACHES, Readiness, WATCHES},
        sources::Source,
    },
    target::Census,
    telemetry::{Metrics, Traces, Watched, chain},
};

/// The Lease's name, in Paramedic's namespace.
pub const LEASE: &str = "paramedic";

/// How long the API server may take to begin an answer to a read: a list of everything there is takes a while.
const BEGINS_WITHIN: Duration = Duration::from_mins(1);
/// How long an answer may go on without a word. A watch is ended by the server after 290 s, which kube asks it to do.
const SILENT_FOR: Duration = Duration::from_mins(5);

/// What a client for watches needs below it: a server, or a way to it, that is gone without a sign would otherwise be
/// waited for without an end, and what the watch brings would stay as old as it is.
pub fn patience() -> (TimeoutLayer, ResponseBodyTimeoutLayer) {
    (TimeoutLayer::new(BEGINS_WITHIN), ResponseBodyTimeoutLayer::new(SILENT_FOR))
}

/// Two clients of one API server.
#[derive(Clone)]
pub struct Clients {
    /// For watches, with [`patience`]: repeats what the server was too busy for.
    pub patient: Client,
    /// For intake and for actions, which have a deadline and must know what came of the one call they made: repeats
    /// nothing. (A PodDisruptionBudget's 429 would otherwise be repeated for minutes.)
    pub once: Client,
}

/// What a replica works with.
#[derive(Clone)]
pub struct Parts {
    /// The configuration.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Clock,
    /// The way to the API.
    pub clients: Clients,
    /// Who is asked whether an alert fires, by the source that they stand for.
    pub monitors: Arc<BTreeMap<String, Monitors>>,
    /// The policies in force: those from files, to which the watches add the API's.
    pub policies: Arc<PolicyStore>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The audit log.
    pub audit: Audit,
    /// Where spans are told of.
    pub traces: Traces,
    /// Says whether it can do its work.
    pub readiness: Readiness,
    /// What guards against doing harm: all of it, but in a test that shows what each is for.
    pub protections: Protections,
}

/// Starts every task of a replica; gives what takes alerts in.
pub fn start(parts: &Parts, tasks: &mut Tasks) -> Recorder {
    let config = &parts.config;
    let records = Arc::new(RecordCache::default());
    let resources = Arc::new(PolicyResources::new(Arc::clone(&parts.policies), Arc::clone(&parts.metrics)));
    let (leadership, led) = watch::channel(Leadership::Follower);
    let (drain, drained) = oneshot::channel();

    follow_records(&parts.clients.patient, &records, tasks);
    follow_policies(&parts.clients.patient, &resources, tasks);
    follow_approvals(&parts.clients.patient, &records, tasks);
    tasks.spawn("caches", caches(Arc::clone(&records), Arc::clone(&resources), parts.readiness.clone(), tasks.stop()));
    tasks.spawn("watches", watches(Arc::clone(&records), Arc::clone(&resources), parts.clone(), tasks.stop()));

    if parts.audit.is_on() {
        tasks.spawn("audit log", audit::watch(parts.audit.clone(), parts.readiness.clone(), tasks.stop()));
        let policies = audit::policies(parts.audit.clone(), Arc::clone(&parts.policies), tasks.stop());
        tasks.spawn("audit of policies", policies);
    }
    let election = Election::new(parts.clients.once.clone(), election(config), parts.clock.clone());
    tasks.spawn("election", election.run(leadership, tasks.stop(), drained));
    let (driver, publisher) = driver(parts, &records);
    let escalator = Escalator {
        escalations: driver.escalations.clone(),
        looker: driver.looker.clone(),
        records: Arc::clone(&records),
        metrics: Arc::clone(&parts.metrics),
    };
    tasks.spawn("telling people", escalator.run(tasks.stop()));
    tasks.spawn("events", publisher.run());
    tasks.spawn("leader", lead::lead(driver, led.clone(), parts.readiness.clone(), tasks.stop(), drain));
    let reporter = report::report(parts.clients.once.clone(), resources, led, parts.clock.clone());
    let stop = tasks.stop();
    tasks.spawn("policy statuses", async move {
        stop.run_until_cancelled(reporter).await;
    });

    let (lost, hears) = watch::channel(());
    let recorder = Recorder {
        client: parts.clients.once.clone(),
        policies: Arc::clone(&parts.policies),
        records,
        readiness: parts.readiness.clone(),
        clock: parts.clock.clone(),
        metrics: Arc::clone(&parts.metrics),
        audit: parts.audit.clone(),
        traces: parts.traces.clone(),
        own_namespace: config.namespace.clone(),
        open_per_policy: config.engine.open_per_policy,
        protections: parts.protections,
        lost,
    };
    tasks.spawn("polls", poller(parts, recorder.clone(), hears).run(tasks.stop()));
    recorder
}

/// Polls every Alertmanager that is to be polled.
fn poller(parts: &Parts, recorder: Recorder, lost: watch::Receiver<()>) -> Poller {
    let config = &parts.config;
    let polled = |(name, monitors): (&String, &Monitors)| {
        let source = Arc::new(Source::configured(&config.sources, name)?);
        let polled = monitors.alertmanagers.iter().filter_map(move |alertmanager| {
            let (polling, source) = (alertmanager.polling()?.clone(), Arc::clone(&source));
            Some(Polled { alertmanager: alertmanager.clone(), polling, source })
        });
        Some(polled.collect::<Vec<_>>())
    };
    let polled = parts.monitors.iter().filter_map(polled).flatten().collect();
    let (deadline, metrics) = (config.request_deadline.get(), Arc::clone(&parts.metrics));
    Poller { recorder, lost, polled, deadline, metrics }
}

/// How long a broken watch waits before it is begun anew. kube's own default waits up to 30 s, and so long after an outage a
/// replica would not know a policy that was made meanwhile, and take an alert for one that nothing matches. Three watches
/// a replica are no burden.
fn watch_backoff() -> watcher::ExponentialBackoff {
    let delays = backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(4))
        .with_jitter()
        .without_max_times();
    delays.into()
}

fn follow_records(client: &Client, records: &Arc<RecordCache>, tasks: &mut Tasks) {
    let api: Api<DeserializeGuard<Remediation>> = Api::all(client.clone());
    let (records, stop) = (Arc::clone(records), tasks.stop());
    tasks.spawn("watch on Remediations", async move {
        let stream = watcher(api, watcher::Config::default()).backoff(watch_backoff());
        stop.run_until_cancelled(records.follow(stream)).await;
    });
}

fn follow_policies(client: &Client, resources: &Arc<PolicyResources>, tasks: &mut Tasks) {
    let namespaced: Api<DeserializeGuard<RemediationPolicy>> = Api::all(client.clone());
    let (into, stop) = (Arc::clone(resources), tasks.stop());
    tasks.spawn("watch on RemediationPolicies", async move {
        let stream = watcher(namespaced, watcher::Config::default()).backoff(watch_backoff());
        stop.run_until_cancelled(into.follow(stream)).await;
    });
    let cluster: Api<DeserializeGuard<ClusterRemediationPolicy>> = Api::all(client.clone());
    let (into, stop) = (Arc::clone(resources), tasks.stop());
    tasks.spawn("watch on ClusterRemediationPolicies", async move {
        let stream = watcher(cluster, watcher::Config::default()).backoff(watch_backoff());
        stop.run_until_cancelled(into.follow(stream)).await;
    });
}

/// Wakes the records that people say something about. What they say is read again right before it counts, so nothing
/// depends on this watch but how soon it is seen.
fn follow_approvals(client: &Client, records: &Arc<RecordCache>, tasks: &mut Tasks) {
    let api: Api<DeserializeGuard<RemediationApproval>> = Api::all(client.clone());
    let (records, stop) = (Arc::clone(records), tasks.stop());
    tasks.spawn("watch on RemediationApprovals", async move {
        let watched = Watched::new("RemediationApproval", "the watch on RemediationApprovals");
        let mut stream = pin!(watcher(api, watcher::Config::default()).backoff(watch_backoff()));
        let followed = async {
            while let Some(event) = stream.next().await {
                match event {
                    Ok(watcher::Event::Apply(DeserializeGuard(Ok(approval)))) => {
                        let namespace = approval.metadata.namespace.unwrap_or_default();
                        records.wake(ObjectKey { namespace, name: approval.spec.remediation });
                        watched.works();
                    }
                    // Whoever begins to lead looks at every record anyway.
                    Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
                    Ok(_) => watched.works(),
                    Err(error) => watched.failed(&chain(&error)),
                }
            }
        };
        stop.run_until_cancelled(followed).await;
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

/// Says whether a watch has been broken for long: see [`WATCHES`].
async fn watches(records: Arc<RecordCache>, policies: Arc<PolicyResources>, parts: Parts, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_broken = false;
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        let mut broken = Vec::new();
        for watched in std::iter::once(records.watched()).chain(policies.watched()) {
            let broken_for = watched.broken_for();
            parts.metrics.watch_broken(watched.kind(), broken_for.is_some());
            broken.extend(broken_for.map(|time| format!("{} has failed for {} s", watched.what(), time.as_secs())));
        }
        let is_broken = !broken.is_empty();
        if is_broken {
            let broken = broken.join("; ");
            if !was_broken {
                tracing::error!("{broken}; not ready until it works again");
            }
            parts.readiness.fail(WATCHES, broken);
        } else {
            if was_broken {
                tracing::info!("every watch works again");
            }
            parts.readiness.pass(WATCHES);
        }
        was_broken = is_broken;
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

fn driver(parts: &Parts, records: &Arc<RecordCache>) -> (Driver, Publisher) {
    let config = &parts.config;
    let (announcer, publisher) = announcer(parts.clients.once.clone(), &config.identity, parts.clock.clone());
    let looker = Looker {
        reviewer: Reviewer::new(parts.clients.once.clone()),
        client: parts.clients.once.clone(),
        monitors: Arc::clone(&parts.monitors),
        census: Census::new(parts.clients.once.clone()),
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
        escalations: Escalations::default(),
        metrics: Arc::clone(&parts.metrics),
        audit: parts.audit.clone(),
        traces: parts.traces.clone(),
        clock: parts.clock.clone(),
        settings: DriverSettings {
            lease_duration: config.leader.lease_duration.get(),
            action_timeout: config.leader.action_timeout.get(),
            max_concurrent: config.engine.max_concurrent,
            bounds: config.limits.clone(),
            retention: config.engine.retention.get(),
        },
        protections: parts.protections,
    };
    (driver, publisher)
}
