//! What tests are told with: policies, records, worlds and ledgers that read as sentences. Only compiled for tests.
//!
//! The usual story: in namespace `shop` the Deployment `cart` has three ready pods, `cart-1` to `cart-3`; the alert
//! `MemoryLeak` names `cart-1`; a policy in `Enforce` restarts the pod, and then the whole rollout. Times are seconds
//! after [`at`]`(0)`, at which the alert arrived.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::{
    Access, Consent, Consents, Crowd, Effect, Evidence, Ledger, Mark, Next, Observed, PauseUnknown, PolicyNow,
    QueryNow, Recovery, Scene, Seen, SiblingNow, Workloads, World,
    machine::{self},
};
use crate::{
    action::{self, Right},
    alert::{Fingerprint, Labels},
    api::{
        ActionOutcome, AlertPhase, AlertRecord, AlertStatus, Approval, Bounds, CountOrPercent, Decision, JournalEntry,
        Limits, Mode, ObjectKey, ObjectRef, Phase, PolicyLimits, PositiveDuration, Rate, Reason, Remediation,
        RemediationPolicy, RemediationPolicySpec, RemediationSpec, RemediationStatus, RestartMethod, RestartPod,
        RolloutRestart, Schedule, Sibling, Step, TargetKind, TargetSpec, Verify,
    },
    policy::Policy,
    target::{Health, Pods, Resolved, Rollout, Unresolved, Workload, WorkloadState},
    triage::PolicyKey,
};

pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// So many seconds after the alert arrived.
pub(crate) fn at(seconds: i64) -> Timestamp {
    let arrival: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    arrival.checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

/// The labels of the usual alert, about that pod.
pub(crate) fn leak_of(pod: &str) -> Labels {
    labels(&[("alertname", "MemoryLeak"), ("namespace", "shop"), ("pod", pod)])
}

pub(crate) fn seconds(seconds: i64) -> PositiveDuration {
    PositiveDuration::from_secs(u64::try_from(seconds).unwrap())
}

pub(crate) fn rate(actions: u32, per: i64) -> Rate {
    Rate { actions, per: seconds(per) }
}

// ---- steps

/// A restart of the pod by eviction; verified within 5 m, of which 1 m unbroken.
pub(crate) fn restart_pod() -> Step {
    Step { restart_pod: Some(RestartPod::default()), rollout_restart: None, verify: Verify::default() }
}

pub(crate) fn delete_pod() -> Step {
    let restart = RestartPod { method: RestartMethod::Delete, grace_period: None };
    Step { restart_pod: Some(restart), ..restart_pod() }
}

/// A restart of the subject's rollout; verified as [`restart_pod`].
pub(crate) fn rollout_restart() -> Step {
    Step { restart_pod: None, rollout_restart: Some(RolloutRestart {}), verify: Verify::default() }
}

// ---- objects

/// A living pod; its UID is its name behind `uid-`.
pub(crate) fn pod(name: &str) -> ObjectRef {
    object("v1", "Pod", name)
}

pub(crate) fn deployment(name: &str) -> ObjectRef {
    object("apps/v1", "Deployment", name)
}

fn object(api_version: &str, kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
    }
}

pub(crate) fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "shop".to_owned(), name: name.to_owned() }
}

/// A pod of a Deployment of three, all of them ready.
pub(crate) fn resolved(pod_name: &str) -> Resolved {
    let workload = pod_name.rsplit_once('-').map_or(pod_name, |(workload, _)| workload);
    let names: Vec<String> = (1..=3).map(|number| format!("{workload}-{number}")).collect();
    Resolved {
        target: pod(pod_name),
        target_ready: true,
        subject: Workload {
            object: deployment(workload),
            state: WorkloadState {
                desired: 3,
                ready: 3,
                updated: Some(3),
                observed: true,
                total: Some(3),
                rollout: Rollout::Surging,
                unavailable: 0,
                selector: k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector::default(),
            },
            resource_version: Some("1".to_owned()),
            opted_out: false,
            resumed_at: None,
        },
        pods: Pods { ready: names.iter().map(|name| format!("uid-{name}")).collect(), names, ending: Vec::new() },
        opted_out: None,
    }
}

/// Everything that an action could need is allowed.
pub(crate) fn all_allowed() -> BTreeMap<Right, Access> {
    let steps = [restart_pod(), delete_pod(), rollout_restart()];
    let kinds = ["Deployment", "StatefulSet", "DaemonSet"];
    let of_step = |step: &Step| kinds.map(|kind| action::rights(step.action().unwrap(), kind)).concat();
    steps.iter().flat_map(of_step).map(|right| (right, Access::Allowed)).collect()
}

// ---- policies

/// A policy of the API that enforces the usual ladder.
pub(crate) fn a_policy(name: &str) -> PolicyFixture {
    let spec = RemediationPolicySpec {
        mode: Mode::Enforce,
        matchers: vec!["alertname=\"MemoryLeak\"".parse().unwrap()],
        target: TargetSpec { kind: TargetKind::Pod, allow_scrape_target: false },
        service_account_name: None,
        steps: vec![restart_pod(), rollout_restart()],
        limits: PolicyLimits::default(),
        schedule: Schedule::default(),
        approval: Approval::default(),
        priority: 0,
        on_failure: None,
    };
    PolicyFixture { name: name.to_owned(), namespace: "shop".to_owned(), spec }
}

#[derive(Clone, Debug)]
pub(crate) struct PolicyFixture {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) spec: RemediationPolicySpec,
}

impl PolicyFixture {
    pub(crate) fn in_namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    pub(crate) fn mode(mut self, mode: Mode) -> Self {
        self.spec.mode = mode;
        self
    }

    pub(crate) fn matching(mut self, matchers: &[&str]) -> Self {
        self.spec.matchers = matchers.iter().map(|matcher| matcher.parse().unwrap()).collect();
        self
    }

    pub(crate) fn targeting(mut self, kind: TargetKind) -> Self {
        self.spec.target.kind = kind;
        self
    }

    pub(crate) fn steps(mut self, steps: Vec<Step>) -> Self {
        self.spec.steps = steps;
        self
    }

    pub(crate) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = self.spec.limits.or(&PolicyLimits::default());
        change(&mut limits);
        self.spec.limits = limits.into();
        self
    }

    /// Its limits, our defaults filled in.
    pub(crate) fn all_limits(&self) -> Limits {
        self.spec.limits.or(&PolicyLimits::default())
    }

    pub(crate) fn schedule(mut self, yaml: &str) -> Self {
        self.spec.schedule = serde_saphyr::from_str(yaml).unwrap();
        self
    }

    pub(crate) fn priority(mut self, priority: i32) -> Self {
        self.spec.priority = priority;
        self
    }

    fn object(self) -> RemediationPolicy {
        let metadata = ObjectMeta {
            uid: Some(format!("uid-{}-{}", self.namespace, self.name)),
            name: Some(self.name),
            namespace: Some(self.namespace),
            generation: Some(1),
            ..ObjectMeta::default()
        };
        RemediationPolicy { metadata, spec: self.spec, status: None }
    }

    /// As a custom resource.
    pub(crate) fn build(self) -> Policy {
        Policy::from_resource(self.object()).unwrap()
    }

    /// As a file.
    pub(crate) fn build_as_file(self) -> Policy {
        Policy::from_file(self.object()).unwrap()
    }
}

// ---- records

/// A record that has just arrived: Pending, about `cart-1`.
pub(crate) fn a_record() -> RecordFixture {
    a_record_of(&a_policy("restart-cart").build())
}

pub(crate) fn a_record_of(policy: &Policy) -> RecordFixture {
    let spec = RemediationSpec {
        alert: AlertRecord {
            fingerprint: Fingerprint::of(&leak_of("cart-1")),
            labels: leak_of("cart-1"),
            starts_at: at(-MINUTE),
            received_at: at(0),
            generator_url: None,
        },
        episode: 1,
        source: "prometheus".to_owned(),
        policy: policy.reference.clone(),
        mode: policy.spec.mode,
        matchers: policy.spec.matchers.clone(),
        target: policy.spec.target,
        service_account_name: policy.spec.service_account_name.clone(),
        namespaces: policy.namespaces.clone(),
        steps: policy.spec.steps.clone(),
        limits: policy.limits.clone(),
        schedule: policy.spec.schedule.clone(),
        approval: policy.spec.approval,
        priority: policy.spec.priority,
        outranked_by: Vec::new(),
        on_failure: None,
        traceparent: None,
    };
    RecordFixture { key: key("rem-1"), spec, status: RemediationStatus::default(), version: 1 }
}

#[derive(Clone, Debug)]
pub(crate) struct RecordFixture {
    pub(crate) key: ObjectKey,
    pub(crate) spec: RemediationSpec,
    pub(crate) status: RemediationStatus,
    pub(crate) version: u64,
}

impl RecordFixture {
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.key = key(name);
        self
    }

    pub(crate) fn about(mut self, pod_name: &str) -> Self {
        self.spec.alert.labels = leak_of(pod_name);
        self.spec.alert.fingerprint = Fingerprint::of(&self.spec.alert.labels);
        self
    }

    pub(crate) fn episode(mut self, episode: u32) -> Self {
        self.spec.episode = episode;
        self
    }

    pub(crate) fn alert_began(mut self, seconds: i64) -> Self {
        self.spec.alert.starts_at = at(seconds);
        self
    }

    pub(crate) fn with_steps(mut self, steps: Vec<Step>) -> Self {
        self.spec.steps = steps;
        self
    }

    pub(crate) fn mode(mut self, mode: Mode) -> Self {
        self.spec.mode = mode;
        self
    }

    /// A record of a policy of priority 10 comes before it.
    pub(crate) fn outranked_by(mut self, name: &str) -> Self {
        self.spec.outranked_by.push(Sibling {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            policy: "shop/first".to_owned(),
            priority: 10,
        });
        self
    }

    pub(crate) fn version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    pub(crate) fn in_phase(mut self, phase: Phase, since: i64) -> Self {
        self.status.phase = phase;
        self.status.since = Some(at(since));
        if phase.is_terminal() {
            self.status.ended_at = Some(at(since));
        }
        self
    }

    pub(crate) fn because(mut self, reason: Reason) -> Self {
        self.status.reason = Some(reason);
        self
    }

    pub(crate) fn waiting(mut self, reason: Reason, since: i64) -> Self {
        self = self.in_phase(Phase::Waiting, since);
        self.status.reason = Some(reason);
        self.status.message = Some("the reason of the wait".to_owned());
        self
    }

    /// Its action is under way: the journal's last entry runs.
    pub(crate) fn acting(self, since: i64) -> Self {
        self.journal(ActionOutcome::Running, since).in_phase(Phase::Acting, since)
    }

    /// Somebody is asked to approve the eviction of its pod, for an hour.
    pub(crate) fn awaiting(mut self, since: i64) -> Self {
        self.spec.mode = Mode::RequireApproval;
        let asked = a_world().next(&self, since);
        assert_eq!(asked.status.phase, Phase::AwaitingApproval, "{:?}", asked.status);
        self.status = asked.status;
        self
    }

    /// Its action was done, and its subject is watched.
    pub(crate) fn verifying(self, since: i64) -> Self {
        self.journal(ActionOutcome::Done, since).in_phase(Phase::Verifying, since)
    }

    /// One more entry of its journal, on the usual target.
    pub(crate) fn journal(mut self, outcome: ActionOutcome, started: i64) -> Self {
        let target = pod(self.spec.alert.labels.get("pod").unwrap());
        let workload = target.name.rsplit_once('-').unwrap().0;
        let step = self.spec.steps.get(usize::try_from(self.status.step).unwrap()).and_then(Step::action).unwrap();
        self.status.target = Some(target.clone());
        self.status.subject = Some(deployment(workload));
        self.status.plan = Some(format!("evict {target} (uid {})", target.uid));
        self.status.journal.push(JournalEntry {
            step: self.status.step,
            action: step.name().to_owned(),
            target,
            started_at: at(started),
            ended_at: (outcome != ActionOutcome::Running).then(|| at(started)),
            outcome,
            message: None,
            approved_by: None,
        });
        self
    }

    pub(crate) fn at_step(mut self, step: u32) -> Self {
        self.status.step = step;
        self
    }

    pub(crate) fn active_for(mut self, seconds: i64) -> Self {
        self.status.active_seconds = seconds;
        self
    }

    pub(crate) fn last_seen(mut self, seconds: i64) -> Self {
        self.status.alert = Some(AlertStatus { state: AlertPhase::Firing, last_seen: at(seconds), ends_at: None });
        self
    }

    pub(crate) fn resolved_at(mut self, seconds: i64) -> Self {
        self.status.alert =
            Some(AlertStatus { state: AlertPhase::Resolved, last_seen: at(0), ends_at: Some(at(seconds)) });
        self
    }

    pub(crate) fn policy(&self) -> PolicyKey {
        PolicyKey::from(&self.spec.policy)
    }

    /// As the API has it.
    pub(crate) fn object(&self) -> Remediation {
        let metadata = ObjectMeta {
            name: Some(self.key.name.clone()),
            namespace: Some(self.key.namespace.clone()),
            creation_timestamp: Some(Time(self.spec.alert.received_at)),
            resource_version: Some(self.version.to_string()),
            ..ObjectMeta::default()
        };
        let status = (self.status != RemediationStatus::default()).then(|| self.status.clone());
        Remediation { metadata, spec: self.spec.clone(), status }
    }
}

// ---- ledgers

/// An action on `cart-1` of `cart` by the usual policy, for record `earlier`.
pub(crate) fn a_mark(started: i64) -> Mark {
    Mark {
        at: at(started),
        policy: PolicyKey::from(&a_policy("restart-cart").build().reference),
        namespace: "shop".to_owned(),
        subject: "uid-cart".to_owned(),
        target: "uid-cart-1".to_owned(),
        step: 0,
        record: key("earlier"),
    }
}

impl Mark {
    pub(crate) fn by(mut self, record: &str) -> Self {
        self.record = key(record);
        self
    }

    pub(crate) fn of(mut self, policy: &str) -> Self {
        self.policy = PolicyKey::from(&a_policy(policy).build().reference);
        self
    }

    pub(crate) fn on(mut self, subject: &str, target: &str) -> Self {
        self.subject = format!("uid-{subject}");
        self.target = format!("uid-{target}");
        self
    }

    pub(crate) fn at_step(mut self, step: u32) -> Self {
        self.step = step;
        self
    }
}

/// A ledger of actions that are over.
pub(crate) fn a_ledger(marks: impl IntoIterator<Item = Mark>) -> Ledger {
    let mut ledger = Ledger::default();
    for mark in marks {
        let record = mark.record.clone();
        ledger.take(mark);
        ledger.follow(&record, Phase::Succeeded);
    }
    ledger
}

// ---- worlds

/// A world in which everything speaks for acting: the usual policy is in force, the alert fires, nothing is limited.
pub(crate) fn a_world() -> WorldFixture {
    WorldFixture {
        policy: PolicyNow::InForce(Arc::new(a_policy("restart-cart").build())),
        evidence: Evidence::Firing,
        pause: Ok(None),
        target: Ok(resolved("cart-1")),
        access: all_allowed(),
        consents: Consents::Said(Vec::new()),
        observed: None,
        cancel: None,
        ledger: Ledger::default(),
        shadow: Ledger::default(),
        max_concurrent: 10,
        audit: None,
        siblings: Vec::new(),
        workloads: None,
        bounds: Bounds::default(),
        crowd: Crowd::default(),
    }
}

#[derive(Clone, Debug)]
pub(crate) struct WorldFixture {
    pub(crate) policy: PolicyNow,
    pub(crate) evidence: Evidence,
    pub(crate) pause: Result<Option<String>, PauseUnknown>,
    pub(crate) target: Result<Resolved, Unresolved>,
    pub(crate) access: BTreeMap<Right, Access>,
    pub(crate) consents: Consents,
    pub(crate) observed: Option<Observed>,
    pub(crate) cancel: Option<String>,
    pub(crate) ledger: Ledger,
    pub(crate) shadow: Ledger,
    pub(crate) max_concurrent: usize,
    pub(crate) audit: Option<String>,
    pub(crate) siblings: Vec<SiblingNow>,
    pub(crate) workloads: Option<Workloads>,
    pub(crate) bounds: Bounds,
    pub(crate) crowd: Crowd,
}

impl WorldFixture {
    pub(crate) fn evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = evidence;
        self
    }

    /// Somebody who was asked says that the alert is over.
    pub(crate) fn clear(self) -> Self {
        self.evidence(Evidence::Clear { confirmed: true })
    }

    pub(crate) fn unknown(self) -> Self {
        self.evidence(Evidence::Unknown("Alertmanager does not answer".to_owned()))
    }

    pub(crate) fn policy(mut self, policy: PolicyFixture) -> Self {
        self.policy = PolicyNow::InForce(Arc::new(policy.build()));
        self
    }

    pub(crate) fn compiled(mut self, policy: &Policy) -> Self {
        self.policy = PolicyNow::InForce(Arc::new(policy.clone()));
        self
    }

    pub(crate) fn policy_gone(mut self) -> Self {
        self.policy = PolicyNow::Gone;
        self
    }

    pub(crate) fn policy_unseen(mut self) -> Self {
        self.policy = PolicyNow::Unseen;
        self
    }

    pub(crate) fn cancelled(mut self, by: &str) -> Self {
        self.cancel = Some(by.to_owned());
        self
    }

    pub(crate) fn paused(mut self, pause: Result<&str, &str>) -> Self {
        self.pause = pause.map(|reason| Some(reason.to_owned())).map_err(|why| why.to_owned().into());
        self
    }

    /// The audit log cannot be written.
    pub(crate) fn unaudited(mut self, why: &str) -> Self {
        self.audit = Some(why.to_owned());
        self
    }

    /// That pod is the target.
    pub(crate) fn target(mut self, pod_name: &str) -> Self {
        self.target = Ok(resolved(pod_name));
        self
    }

    pub(crate) fn unresolved(mut self, why: Unresolved) -> Self {
        self.target = Err(why);
        self
    }

    /// Changes what was found.
    pub(crate) fn found(mut self, change: impl FnOnce(&mut Resolved)) -> Self {
        change(self.target.as_mut().unwrap());
        self
    }

    pub(crate) fn ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = ledger;
        self
    }

    pub(crate) fn shadow(mut self, shadow: Ledger) -> Self {
        self.shadow = shadow;
        self
    }

    pub(crate) fn at_most(mut self, max_concurrent: usize) -> Self {
        self.max_concurrent = max_concurrent;
        self
    }

    /// Somebody says that to the plan that the record awaits an answer to, so many seconds after the alert arrived.
    pub(crate) fn says(mut self, decision: Decision, record: &RecordFixture, seconds: i64) -> Self {
        let consent = Consent {
            name: format!("{}-abcde", record.key.name),
            remediation: record.key.name.clone(),
            policy: record.policy(),
            plan_hash: record.status.plan_hash.clone().unwrap(),
            target_uid: record.status.target.clone().unwrap().uid,
            decision,
            approver: "kim".to_owned(),
            comment: None,
            at: at(seconds),
        };
        match &mut self.consents {
            Consents::Said(said) => said.push(consent),
            other => *other = Consents::Said(vec![consent]),
        }
        self
    }

    /// One more of those that outrank the record, of priority 10.
    pub(crate) fn sibling(self, phase: Phase) -> Self {
        self.sibling_now(SiblingNow::There { priority: 10, dry_run: false, phase })
    }

    pub(crate) fn sibling_now(mut self, now: SiblingNow) -> Self {
        self.siblings.push(now);
        self
    }

    /// What an administrator says.
    pub(crate) fn bounds(mut self, change: impl FnOnce(&mut Bounds)) -> Self {
        change(&mut self.bounds);
        self
    }

    /// These records are open as well.
    pub(crate) fn among<'a>(mut self, records: impl IntoIterator<Item = &'a RecordFixture>) -> Self {
        let objects: Vec<Remediation> = records.into_iter().map(RecordFixture::object).collect();
        self.crowd = Crowd::of(&objects);
        self
    }

    /// So many workloads there are, in the namespace and in all.
    pub(crate) fn workloads(mut self, in_namespace: Result<usize, &str>, in_all: Result<usize, &str>) -> Self {
        let said = |number: Result<usize, &str>| number.map_err(str::to_owned);
        self.workloads = Some(Workloads { in_namespace: said(in_namespace), in_all: said(in_all) });
        self
    }

    /// The API server says that to every right.
    pub(crate) fn access(mut self, answer: &Access) -> Self {
        self.access.values_mut().for_each(|access| *access = answer.clone());
        self
    }

    /// Nothing was looked at yet.
    pub(crate) fn unseen(mut self) -> Self {
        self.observed = Some(Observed::Nothing);
        self
    }

    /// That is what came of the action.
    pub(crate) fn outcome(mut self, outcome: ActionOutcome, message: &str) -> Self {
        self.observed = Some(Observed::Outcome { outcome, message: Some(message.to_owned()) });
        self
    }

    /// That is how the subject is, and has been since.
    pub(crate) fn recovery(mut self, health: Health, evidence: Evidence, good_since: Option<i64>) -> Self {
        let seen = a_look(health, evidence);
        self.observed = Some(Observed::Recovery(Recovery { seen, good_since: good_since.map(at) }));
        self
    }

    /// The step's query is found so.
    pub(crate) fn query(self, query: QueryNow) -> Self {
        self.seen_too(|seen| seen.query = Some(query))
    }

    /// The alert's rule asks for so much quiet.
    pub(crate) fn quiet_for(self, quiet: i64) -> Self {
        self.seen_too(|seen| seen.quiet_for = Some(SignedDuration::from_secs(quiet)))
    }

    fn seen_too(mut self, change: impl FnOnce(&mut Seen)) -> Self {
        match &mut self.observed {
            Some(Observed::Recovery(recovery)) => change(&mut recovery.seen),
            other => panic!("no recovery was seen, but {other:?}"),
        }
        self
    }

    /// Healthy, and the alert's source says that it is over.
    pub(crate) fn well_since(self, good_since: i64) -> Self {
        self.recovery(Health::Healthy, Evidence::Clear { confirmed: true }, Some(good_since))
    }

    /// Gives the world as the machine takes it.
    pub(crate) fn with<T>(&self, key: &ObjectKey, then: impl FnOnce(&World<'_>) -> T) -> T {
        let scene = || {
            let (siblings, pause, target) = (self.siblings.clone(), self.pause.clone(), self.target.clone());
            let (access, consents, workloads) = (self.access.clone(), self.consents.clone(), self.workloads.clone());
            Observed::Scene(Box::new(Scene { siblings, pause, target, access, consents, workloads }))
        };
        let world = World {
            key,
            cancel: self.cancel.as_deref(),
            policy: &self.policy,
            evidence: &self.evidence,
            observed: self.observed.clone().unwrap_or_else(scene),
            ledger: &self.ledger,
            shadow: &self.shadow,
            max_concurrent: self.max_concurrent,
            bounds: &self.bounds,
            crowd: &self.crowd,
            audit: self.audit.as_deref(),
            protections: crate::protections::Protections::default(),
        };
        then(&world)
    }

    /// What follows for a record, so many seconds after its alert arrived.
    pub(crate) fn next(&self, record: &RecordFixture, seconds: i64) -> Next {
        self.with(&record.key, |world| machine::next(&record.spec, &record.status, world, at(seconds)))
    }
}

/// A look at a subject whose step has no query, and whose rule nobody knows.
pub(crate) fn a_look(health: Health, evidence: Evidence) -> Seen {
    Seen { health, evidence, query: None, quiet_for: None }
}

// ---- what came of it

impl Next {
    /// The state and why.
    pub(crate) fn state(&self) -> (Phase, Option<Reason>) {
        (self.status.phase, self.status.reason)
    }

    pub(crate) fn message(&self) -> &str {
        self.status.message.as_deref().unwrap_or_default()
    }

    /// When it is looked at again, in seconds after the alert arrived.
    pub(crate) fn again_at(&self) -> i64 {
        match self.effect {
            Effect::LookAgain(then) => then.duration_since(at(0)).as_secs(),
            other => panic!("it is not looked at again, but {other:?}"),
        }
    }

    pub(crate) fn outcomes(&self) -> Vec<ActionOutcome> {
        self.status.journal.iter().map(|entry| entry.outcome).collect()
    }
}

pub(crate) fn percent(share: u32) -> CountOrPercent {
    CountOrPercent::Percent(share)
}

pub(crate) fn count(pods: u32) -> CountOrPercent {
    CountOrPercent::Count(pods)
}
