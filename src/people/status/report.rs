//! What `status` says, as a value: from what the API answered and the time. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::ResourceExt;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    api::{
        ClusterRemediationPolicy, Mode, ObjectKey, ObjectRef, Pause, PauseScope, Phase, PolicyStatus, Reason,
        Remediation, RemediationPolicy,
    },
    people::cluster::Listed,
    policy::ACCEPTED,
};

/// So far back ended records are counted.
const A_DAY: SignedDuration = SignedDuration::from_hours(24);

/// What the API answered.
pub struct Facts {
    /// Where Paramedic is.
    pub own_namespace: String,
    /// The only namespace that was asked about.
    pub namespace: Option<String>,
    /// The Lease, where it is there.
    pub lease: Option<Held>,
    /// Paramedic's own, or why they are not known.
    pub pods: Result<Vec<Pod>, String>,
    /// The records.
    pub records: Listed<Remediation>,
    /// The pauses, those of Paramedic's own namespace too.
    pub pauses: Listed<Pause>,
    /// The policies of namespaces.
    pub policies: Listed<RemediationPolicy>,
    /// The cluster policies.
    pub cluster_policies: Listed<ClusterRemediationPolicy>,
}

/// The Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who holds it; nobody, where it was given back.
    pub holder: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// For how many seconds after a renewal.
    pub duration: u64,
    /// Whether it is renewed.
    pub is_renewed: bool,
}

impl Held {
    /// Of a Lease; `is_renewed` by this machine's clock, so that `false` need not be true.
    pub fn of(lease: &Lease, now: Timestamp) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let duration = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(15);
        let age = spec.renew_time.map(|renewed| now.duration_since(renewed.0));
        let lasts = SignedDuration::from_secs(i64::try_from(duration).unwrap_or(i64::MAX));
        let is_renewed = age.is_some_and(|age| age >= SignedDuration::from_secs(-1) && age <= lasts);
        let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
        Self { holder, since: spec.acquire_time.map(|time| time.0), duration, is_renewed }
    }
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// When that was.
    pub at: Timestamp,
    /// Where Paramedic is installed.
    pub paramedic_namespace: String,
    /// The only namespace that was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Why a person is needed; empty where none is.
    pub problems: Vec<String>,
    /// Who acts.
    pub leader: Leader,
    /// Its pods, where they may be read and there are any.
    pub replicas: Vec<Replica>,
    /// The pauses in force.
    pub pauses: Vec<PauseRow>,
    /// The policies that are custom resources; those from files are not in the API.
    pub policies: Policies,
    /// The records that have not ended, the oldest first.
    pub open: Vec<RecordRow>,
    /// Those that ended last, the newest first.
    pub ended: Vec<RecordRow>,
    /// How many ended in the last 24 hours, by phase.
    pub ended_last_day: BTreeMap<Phase, usize>,
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Leader {
    /// Its name in the Lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Since when, by its own clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Whether it renews the Lease: then it is up.
    pub leads: bool,
}

/// One of its pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// The pod.
    pub pod: String,
    /// Whether it takes alerts.
    pub ready: bool,
    /// How often its container was started again.
    pub restarts: i32,
}

/// A pause in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PauseRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How far it reaches.
    pub scope: PauseScope,
    /// Why.
    pub reason: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Until when; absent where it stays until somebody deletes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// The policies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policies {
    /// How many are in force, by mode.
    pub in_force: BTreeMap<Mode, usize>,
    /// Those that are not.
    pub not_accepted: Vec<PolicyRow>,
}

/// A policy that is not in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRow {
    /// `namespace/name`, or the name of a cluster policy.
    pub policy: String,
    /// What stands against it.
    pub message: String,
    /// Since when, where somebody has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// A record, in short.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its policy.
    pub policy: String,
    /// The alert's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// Who sent the alert.
    pub source: String,
    /// What is, was or would be acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<ObjectRef>,
    /// The phase.
    pub phase: Phase,
    /// Why it is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Since when it is in that phase; of one that has ended, when it ended.
    pub since: Timestamp,
    /// When a wait ends by itself, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How many actions were begun.
    pub actions: usize,
}

impl Report {
    /// The report at that time, with so many of the records that ended.
    pub fn of(facts: &Facts, last: usize, now: Timestamp) -> Self {
        let rows = || facts.records.objects.iter().map(RecordRow::of);
        let mut open: Vec<_> = rows().filter(|row| !row.phase.is_terminal()).collect();
        open.sort_by(|a, b| (a.since, &a.name).cmp(&(b.since, &b.name)));
        let mut ended: Vec<_> = rows().filter(|row| row.phase.is_terminal()).collect();
        ended.sort_by(|a, b| (b.since, &a.name).cmp(&(a.since, &b.name)));
        let mut ended_last_day = BTreeMap::new();
        for row in ended.iter().filter(|row| now.duration_since(row.since) <= A_DAY) {
            *ended_last_day.entry(row.phase).or_default() += 1;
        }
        ended.truncate(last);
        let (leader, replicas, policies) = (leader(facts.lease.as_ref()), replicas(facts), policies(facts));
        Self {
            at: now,
            paramedic_namespace: facts.own_namespace.clone(),
            namespace: facts.namespace.clone(),
            problems: problems(facts, &leader, &replicas, &policies),
            leader,
            replicas,
            pauses: pauses(facts, now),
            policies,
            open,
            ended,
            ended_last_day,
        }
    }
}

impl RecordRow {
    /// Of a record.
    pub fn of(record: &Remediation) -> Self {
        let (spec, status) = (&record.spec, record.status.clone().unwrap_or_default());
        let began = status.since.unwrap_or(spec.alert.received_at);
        Self {
            namespace: record.namespace().unwrap_or_default(),
            name: record.name_any(),
            policy: spec.policy.to_string(),
            alert: spec.alert.labels.alertname().map(str::to_owned),
            source: spec.source.clone(),
            target: status.target,
            phase: status.phase,
            reason: status.reason,
            message: status.message,
            since: if status.phase.is_terminal() { status.ended_at.unwrap_or(began) } else { began },
            until: status.until,
            actions: status.journal.len(),
        }
    }
}

fn leader(lease: Option<&Held>) -> Leader {
    let identity = lease.and_then(|held| held.holder.clone());
    let leads = identity.is_some() && lease.is_some_and(|held| held.is_renewed);
    Leader { since: lease.and_then(|held| held.since).filter(|_| identity.is_some()), identity, leads }
}

fn replicas(facts: &Facts) -> Vec<Replica> {
    let replica = |pod: &Pod| {
        let status = pod.status.clone().unwrap_or_default();
        let ready = |condition: &&k8s_openapi::api::core::v1::PodCondition| condition.type_ == "Ready";
        let containers = status.container_statuses.unwrap_or_default();
        Replica {
            pod: pod.name_any(),
            ready: status.conditions.unwrap_or_default().iter().find(ready).is_some_and(|found| found.status == "True"),
            restarts: containers.iter().map(|container| container.restart_count).sum(),
        }
    };
    facts.pods.iter().flatten().map(replica).collect()
}

fn pauses(facts: &Facts, now: Timestamp) -> Vec<PauseRow> {
    let own = |pause: &Pause| pause.namespace().as_deref() == Some(facts.own_namespace.as_str());
    // Anywhere but in Paramedic's own namespace the scope is the namespace, whatever it says; and where one namespace is
    // asked about, what holds only Paramedic's own does not concern it.
    let scope = |pause: &Pause| if own(pause) { pause.spec.scope } else { PauseScope::Namespace };
    let concerns = |pause: &&Pause| {
        let asked = facts.namespace.as_deref().is_none_or(|asked| pause.namespace().as_deref() == Some(asked));
        asked || scope(pause) == PauseScope::Cluster
    };
    let in_force = |pause: &&Pause| pause.spec.expires_at.is_none_or(|at| at > now);
    let row = |pause: &Pause| PauseRow {
        namespace: pause.namespace().unwrap_or_default(),
        name: pause.name_any(),
        scope: scope(pause),
        reason: pause.spec.reason.clone(),
        since: pause.metadata.creation_timestamp.as_ref().map(|time| time.0),
        expires_at: pause.spec.expires_at,
    };
    facts.pauses.objects.iter().filter(in_force).filter(concerns).map(row).collect()
}

fn policies(facts: &Facts) -> Policies {
    let mut policies = Policies::default();
    let namespaced = facts.policies.objects.iter();
    let named = namespaced.map(|policy| {
        let name = format!("{}/{}", policy.namespace().unwrap_or_default(), policy.name_any());
        (name, policy.metadata.generation, policy.spec.mode, policy.status.as_ref())
    });
    let cluster = facts
        .cluster_policies
        .objects
        .iter()
        .map(|policy| (policy.name_any(), policy.metadata.generation, policy.spec.mode, policy.status.as_ref()));
    for (policy, generation, mode, status) in named.chain(cluster) {
        match refusal(policy, generation, status) {
            None => *policies.in_force.entry(mode).or_default() += 1,
            Some(row) => policies.not_accepted.push(row),
        }
    }
    let unreadable = facts.policies.unreadable.iter().chain(&facts.cluster_policies.unreadable);
    policies.not_accepted.extend(unreadable.map(|(key, why)| PolicyRow {
        policy: if key.namespace.is_empty() { key.name.clone() } else { key.to_string() },
        message: format!("it cannot be read: {why}"),
        since: None,
    }));
    policies.not_accepted.sort_by(|a, b| a.policy.cmp(&b.policy));
    policies
}

/// What its condition says against a policy. One that nobody has judged is not known to be in force.
fn refusal(policy: String, generation: Option<i64>, status: Option<&PolicyStatus>) -> Option<PolicyRow> {
    let conditions = || status.iter().flat_map(|status| &status.conditions);
    let Some(accepted) = conditions().find(|condition| condition.type_ == ACCEPTED) else {
        let message = "no leader has judged it yet".to_owned();
        return Some(PolicyRow { policy, message, since: None });
    };
    if accepted.observed_generation.is_some() && accepted.observed_generation != generation {
        let message = "it was changed, and no leader has judged the change yet".to_owned();
        return Some(PolicyRow { policy, message, since: None });
    }
    let since = Some(accepted.last_transition_time.0);
    (accepted.status != "True").then(|| PolicyRow { policy, message: accepted.message.clone(), since })
}

fn problems(facts: &Facts, leader: &Leader, replicas: &[Replica], policies: &Policies) -> Vec<String> {
    let mut problems = Vec::new();
    let own = &facts.own_namespace;
    match (&leader.identity, leader.leads) {
        (_, true) => {}
        (Some(identity), false) => problems.push(format!(
            "nobody leads: {identity} does not renew the lease any more; nothing is repaired until another replica has it"
        )),
        (None, false) if facts.lease.is_none() => problems.push(format!(
            "nobody leads: there is no lease in namespace {own}; is Paramedic installed there (--paramedic-namespace), and \
             is it up?"
        )),
        (None, false) => problems.push("nobody leads: the lease was given back, and nobody has taken it".to_owned()),
    }
    let not_ready = replicas.iter().filter(|replica| !replica.ready).map(|replica| replica.pod.as_str());
    problems.extend(not_ready.map(|pod| format!("pod {pod} is not ready: kubectl -n {own} logs {pod}")));
    problems.extend(
        policies.not_accepted.iter().map(|row| format!("policy {} is not in force: {}", row.policy, row.message)),
    );
    let unreadable = |kind: &str, list: &[(ObjectKey, String)]| {
        list.iter().map(|(key, why)| format!("{kind} {key} cannot be read: {why}")).collect::<Vec<_>>()
    };
    problems.extend(unreadable("Pause", &facts.pauses.unreadable));
    problems.extend(unreadable("Remediation", &facts.records.unreadable));
    problems
}
