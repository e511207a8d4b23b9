//! The checks right before acting: a list of named stages, in the order in which they are made. Pure.

pub mod figures;
mod memory;
mod priority;
mod schedule;
mod storm;

use jiff::Timestamp;

use super::{
    crowd::Crowd,
    ledger::{Limited, Whose},
    world::{Access, Evidence, InForce, PauseUnknown, Scene, World},
};
use crate::{
    action,
    api::{Action, Bounds, CheckMade, ChecksMade, Mode, ObjectKey, Phase, Reason, RemediationSpec, RemediationStatus},
    policy::covers,
    protections::Protection,
    target::{Resolved, Rollout, Unresolved},
    triage::PolicyKey,
};

/// Why a record does not act now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where that leads.
    pub phase: Phase,
    /// Why.
    pub reason: Reason,
    /// The same for people.
    pub message: String,
    /// When it ends by itself, where that is known.
    pub until: Option<Timestamp>,
}

impl Refusal {
    fn wait(reason: Reason, message: impl Into<String>) -> Self {
        Self { phase: Phase::Waiting, reason, message: message.into(), until: None }
    }

    fn end(phase: Phase, reason: Reason, message: impl Into<String>) -> Self {
        Self { phase, reason, message: message.into(), until: None }
    }

    fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }
}

/// What the stages look at.
pub struct Candidate<'a> {
    /// The record.
    pub spec: &'a RemediationSpec,
    /// The world.
    pub world: &'a World<'a>,
    /// The stricter of the policy then and now.
    pub in_force: &'a InForce,
    /// The step it is at, from 0; `None` where the ledger says where a first step begins.
    pub step: Option<u32>,
    /// What was asked of the API.
    pub scene: &'a Scene,
    /// The time.
    pub now: Timestamp,
}

/// A candidate that passed.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted<'a> {
    /// The target, found and allowed.
    pub resolved: &'a Resolved,
    /// The step to take.
    pub step: u32,
}

type Stage = for<'a> fn(&Candidate<'a>, &Resolved) -> Result<(), Refusal>;

/// The stages that need the target, in order. `rate` is last, so that nothing else can refuse after a slot is taken.
const STAGES: [(&str, Stage); 15] = [
    ("opted out", opted_out),
    ("permitted", permitted),
    ("possible", possible),
    ("same target", same_target),
    ("priority", priority::outranked),
    ("subject lock", subject_lock),
    ("cooldown", cooldown),
    ("given up", memory::given_up),
    ("breaker", memory::breaker),
    ("storm", storm::storm),
    ("concurrency", concurrency),
    ("availability", availability),
    ("rollout", rollout),
    ("access", access),
    ("rate", rate),
];

/// A check that needs no target.
type First = fn(&Candidate<'_>) -> Result<(), Refusal>;

/// The checks that come before the target is needed, in order; the target's own follows them.
const FIRST: [(&str, First); 4] =
    [("pause", pause), ("audit", audit), ("schedule", schedule::schedule), ("evidence", evidence)];

/// The name of the check that the target was found.
const TARGET: &str = "target";

/// One check, as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Why it refuses, if it does.
    pub refusal: Option<Refusal>,
    /// What it looked at, in words and figures.
    pub figures: String,
}

/// Makes every check in order, those behind one that refuses too; the first of the refusals is what [`admit`] says. The
/// checks that need the target are made where it was found.
pub fn made(candidate: &Candidate<'_>) -> Vec<Check> {
    let target = candidate.scene.target.as_ref();
    let first = FIRST.iter().map(|(name, check)| (*name, check(candidate).err()));
    let found = std::iter::once((TARGET, target.err().map(unresolved)));
    let stages = target
        .ok()
        .into_iter()
        .flat_map(|resolved| STAGES.iter().map(move |(name, stage)| (*name, stage(candidate, resolved).err())));
    let made = first.chain(found).chain(stages);
    made.map(|(name, refusal)| Check { name, refusal, figures: figures::of(name, candidate) }).collect()
}

/// The same for the record.
pub fn recorded(candidate: &Candidate<'_>) -> ChecksMade {
    let made = made(candidate).into_iter().map(|check| CheckMade {
        name: check.name.to_owned(),
        passed: check.refusal.is_none(),
        figures: check.figures.chars().take(crate::api::FIGURES_LENGTH).collect(),
    });
    ChecksMade { at: candidate.now, made: made.collect() }
}

/// Makes every check; the first that refuses speaks.
pub fn admit<'a>(candidate: &'a Candidate<'a>) -> Result<Admitted<'a>, Refusal> {
    for (_, check) in FIRST {
        check(candidate)?;
    }
    let resolved = candidate.scene.target.as_ref().map_err(unresolved)?;
    for (_, stage) in STAGES {
        stage(candidate, resolved)?;
    }
    Ok(Admitted { resolved, step: candidate.step(resolved) })
}

impl<'a> Candidate<'a> {
    /// A record that may act. One that has a journal is at the step that its status says.
    pub fn of(
        spec: &'a RemediationSpec,
        status: &RemediationStatus,
        world: &'a World<'a>,
        in_force: &'a InForce,
        scene: &'a Scene,
        now: Timestamp,
    ) -> Self {
        let step = (!status.journal.is_empty()).then_some(status.step);
        Self { spec, world, in_force, step, scene, now }
    }
}

impl Candidate<'_> {
    fn policy(&self) -> PolicyKey {
        PolicyKey::from(&self.spec.policy)
    }

    fn ledger(&self) -> &super::Ledger {
        if self.in_force.mode == Mode::DryRun { self.world.shadow } else { self.world.ledger }
    }

    /// The step it would take.
    pub fn step(&self, resolved: &Resolved) -> u32 {
        let first =
            || self.ledger().first_step(&self.policy(), &resolved.subject.object.uid, self.spec.steps.len(), self.now);
        self.step.unwrap_or_else(first)
    }

    fn action(&self, resolved: &Resolved) -> Option<Action<'_>> {
        let index = usize::try_from(self.step(resolved)).unwrap_or(usize::MAX);
        self.spec.steps.get(index).and_then(crate::api::Step::action)
    }
}

fn pause(candidate: &Candidate<'_>) -> Result<(), Refusal> {
    if !candidate.world.protections.hold(Protection::Pause) {
        return Ok(());
    }
    match &candidate.scene.pause {
        Ok(None) => Ok(()),
        Ok(Some(reason)) => Err(Refusal::wait(Reason::Paused, reason)),
        Err(PauseUnknown { forbidden, why }) => {
            let reason = if *forbidden { Reason::Forbidden } else { Reason::ApiUnavailable };
            Err(Refusal::wait(reason, format!("whether a Pause is in force cannot be told: {why}")))
        }
    }
}

/// What cannot be told afterwards is not done. A dry run does nothing.
fn audit(candidate: &Candidate<'_>) -> Result<(), Refusal> {
    match candidate.world.audit {
        Some(why) if candidate.in_force.mode != Mode::DryRun => Err(Refusal::wait(Reason::AuditUnavailable, why)),
        _ => Ok(()),
    }
}

fn evidence(candidate: &Candidate<'_>) -> Result<(), Refusal> {
    match candidate.world.evidence {
        Evidence::Firing => Ok(()),
        Evidence::Clear { .. } => Err(Refusal::end(Phase::Skipped, Reason::AlertCleared, "the alert is over")),
        Evidence::Suppressed(by) => Err(Refusal::wait(Reason::AlertSuppressed, by)),
        Evidence::Unknown(why) => Err(Refusal::wait(Reason::EvidenceUnknown, why)),
        Evidence::Unasked => Err(Refusal::wait(Reason::EvidenceUnknown, "nobody can be asked whether the alert fires")),
    }
}

fn unresolved(why: &Unresolved) -> Refusal {
    let message = why.to_string();
    match why {
        Unresolved::Protected(_) => Refusal::end(Phase::Skipped, Reason::Protected, message),
        Unresolved::NotPermitted(_) => Refusal::end(Phase::Skipped, Reason::NotPermitted, message),
        Unresolved::Exporter(_) | Unresolved::Unnamed(crate::target::Unnamed::Exporter) => {
            Refusal::end(Phase::Skipped, Reason::TargetIsExporter, message)
        }
        Unresolved::NoController(_) => Refusal::end(Phase::Skipped, Reason::NoController, message),
        Unresolved::Api(_) => Refusal::wait(Reason::ApiUnavailable, message),
        Unresolved::Forbidden { .. } => Refusal::wait(Reason::Forbidden, message),
        Unresolved::Ambiguous(_) => Refusal::wait(Reason::TargetAmbiguous, message),
        Unresolved::Unnamed(_) | Unresolved::Missing { .. } | Unresolved::Terminating(_) | Unresolved::Finished(_) => {
            Refusal::wait(Reason::TargetUnresolved, message)
        }
    }
}

fn opted_out(_: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    match &resolved.opted_out {
        None => Ok(()),
        Some(object) => Err(Refusal::end(
            Phase::Skipped,
            Reason::OptedOut,
            format!("{object} has the annotation {}", crate::api::DISABLED_ANNOTATION),
        )),
    }
}

/// The record's own namespaces were looked at when its target was; the policy may have been narrowed since.
fn permitted(candidate: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    let namespace = &resolved.target.namespace;
    if covers(&candidate.in_force.namespaces, namespace) {
        return Ok(());
    }
    let message = format!("policy {} may not touch namespace {namespace} any more", candidate.spec.policy);
    Err(Refusal::end(Phase::Skipped, Reason::NotPermitted, message))
}

/// What the action can never do to this subject.
fn possible(candidate: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    let subject = &resolved.subject;
    match candidate.action(resolved) {
        None => Err(Refusal::end(
            Phase::Failed,
            Reason::ActionFailed,
            format!("the record has no step {}", candidate.step(resolved)),
        )),
        Some(Action::RolloutRestart(_)) if subject.state.rollout == Rollout::Never => Err(Refusal::end(
            Phase::Skipped,
            Reason::NotPermitted,
            format!("{} does not roll by itself: it is paused, updates on deletion only, or cannot", subject.object),
        )),
        Some(_) => Ok(()),
    }
}

fn same_target(candidate: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    let other = candidate.ledger().same_target(&candidate.policy(), &resolved.target.uid, candidate.world.key);
    match other {
        None => Ok(()),
        Some(other) => Err(Refusal::end(
            Phase::Superseded,
            Reason::SameTarget,
            format!("Remediation {other} of the same policy is about {} already", resolved.target),
        )),
    }
}

fn subject_lock(candidate: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    if !candidate.world.protections.hold(Protection::SubjectLock) {
        return Ok(());
    }
    let subject = &resolved.subject.object;
    candidate.ledger().lock(&subject.uid, candidate.world.key).map_err(|limited| refusal(&limited, candidate, resolved))
}

fn cooldown(candidate: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    let subject = &resolved.subject.object.uid;
    candidate
        .ledger()
        .cooldown(subject, &candidate.in_force.limits, candidate.world.key, candidate.now)
        .map_err(|limited| refusal(&limited, candidate, resolved))
}

fn concurrency(candidate: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    let (world, limits) = (candidate.world, &candidate.in_force.limits);
    candidate
        .ledger()
        .concurrency(&candidate.policy(), limits, world.max_concurrent, world.key)
        .map_err(|limited| refusal(&limited, candidate, resolved))
}

fn rate(candidate: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    for rate in &candidate.in_force.rates {
        let taken = candidate.ledger().rate(&candidate.policy(), *rate, candidate.now);
        taken.map_err(|limited| refusal(&limited, candidate, resolved))?;
    }
    let (bounds, namespace) = (candidate.world.bounds, &resolved.target.namespace);
    let of_namespace = bounds.rate_per_namespace.map(|rate| candidate.ledger().rate_in(namespace, rate, candidate.now));
    let of_all = bounds.rate.map(|rate| candidate.ledger().rate_in_all(rate, candidate.now));
    for taken in [of_namespace, of_all].into_iter().flatten() {
        taken.map_err(|limited| refusal(&limited, candidate, resolved))?;
    }
    Ok(())
}

fn refusal(limited: &Limited, candidate: &Candidate<'_>, resolved: &Resolved) -> Refusal {
    let subject = &resolved.subject.object;
    let limits = &candidate.in_force.limits;
    let policy = &candidate.spec.policy;
    let of = |record: &ObjectKey| record.to_string();
    match limited {
        Limited::Locked { by } => {
            Refusal::wait(Reason::SubjectLocked, format!("Remediation {} is running on {subject}", of(by)))
        }
        Limited::Cooldown { until, by } => Refusal::wait(
            Reason::Cooldown,
            format!("{subject} was acted on for {}; its cooldown of {} is not over", of(by), limits.cooldown),
        )
        .until(*until),
        Limited::Rate { until, rate, whose } => {
            let used = match whose {
                Whose::Policy => format!("policy {policy} has used its"),
                Whose::Namespace => {
                    format!("all policies together have used, in namespace {}, their", resolved.target.namespace)
                }
                Whose::All => "all policies together have used their".to_owned(),
            };
            let message = format!("{used} {} actions in {}", rate.actions, rate.per);
            Refusal::wait(Reason::RateLimited, message).until(*until)
        }
        Limited::Failing { until, failures } => Refusal::wait(
            Reason::GivenUp,
            format!(
                "policy {policy} failed {failures} times in a row on {subject}, which is left to people; {}",
                memory::may_go_on(&format!("{subject} or the policy"))
            ),
        )
        .until(*until),
        Limited::Recurring { until, times } => Refusal::wait(
            Reason::GivenUp,
            format!(
                "policy {policy} acted on {subject} {times} times in {}, and the trouble comes back, so it is left to \
                 people; {}",
                limits.give_up.per,
                memory::may_go_on(&format!("{subject} or the policy"))
            ),
        )
        .until(*until),
        Limited::Broken { until, failed, ended } => Refusal::wait(
            Reason::BreakerOpen,
            format!(
                "{failed} of the last {ended} remediations of policy {policy} failed, so it does nothing more; {}",
                memory::may_go_on("the policy")
            ),
        )
        .until(*until),
        Limited::PolicyConcurrency { running } => Refusal::wait(
            Reason::Concurrency,
            format!("{running} remediations of policy {policy} are running; it may have {}", limits.concurrency),
        ),
        Limited::TotalConcurrency { running } => Refusal::wait(
            Reason::Concurrency,
            format!("{running} remediations are running; there may be {}", candidate.world.max_concurrent),
        ),
    }
}

/// Ready pods that would be left, against those that must be.
///
/// A pod that is not ready takes nothing away when it is restarted, and neither does a rollout where none is; any other
/// rollout takes as many as its strategy lets go at once. A pod that we ended lately may still be listed as ready: it is
/// gone.
fn availability(candidate: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    if !candidate.world.protections.hold(Protection::Availability) {
        return Ok(());
    }
    let subject = &resolved.subject;
    let desired = subject.state.desired;
    let ready = &resolved.pods.ready;
    // How many ready pods the action takes away at once.
    let taken = match candidate.action(resolved) {
        Some(Action::RestartPod(_)) => u32::from(resolved.target_ready),
        // Which pods come first is the controller's choice, so that one of them is not ready does not help.
        Some(Action::RolloutRestart(_)) if ready.is_empty() && subject.state.rollout != Rollout::AllAtOnce => 0,
        Some(Action::RolloutRestart(_)) => match subject.state.rollout {
            Rollout::Surging => subject.state.unavailable,
            Rollout::OneByOne => subject.state.unavailable.max(1),
            Rollout::AllAtOnce | Rollout::Never => return all_at_once(candidate, resolved),
        },
        None => return Ok(()),
    };
    if taken == 0 {
        return Ok(());
    }
    if desired <= 1 {
        if candidate.in_force.limits.allow_single_replica {
            return Ok(());
        }
        return Err(Refusal::wait(
            Reason::SingleReplica,
            format!(
                "{} has one replica, so restarting it is an outage; limits.allowSingleReplica: true consents to it",
                subject.object
            ),
        ));
    }
    let gone = candidate.world.ledger.ended_lately(candidate.now);
    let ready = ready.iter().filter(|uid| !gone.contains(uid.as_str())).count();
    let left = u32::try_from(ready).unwrap_or(u32::MAX).saturating_sub(taken);
    let Some(share) = candidate.in_force.min_available.iter().find(|share| left < share.of(desired)) else {
        return Ok(());
    };
    let at_once = match candidate.action(resolved) {
        Some(Action::RolloutRestart(_)) => format!(" while it rolls, as its strategy lets {taken} go at once"),
        _ => String::new(),
    };
    Err(Refusal::wait(
        Reason::Availability,
        format!(
            "{} would have {left} ready pods left of {desired}{at_once}, and minAvailable {share} asks for {}",
            subject.object,
            share.of(desired)
        ),
    ))
}

/// A rollout that ends every pod before it starts another one: one replica can be consented to, more cannot.
fn all_at_once(candidate: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    let subject = &resolved.subject;
    if subject.state.desired == 1 && candidate.in_force.limits.allow_single_replica {
        return Ok(());
    }
    let message = if subject.state.desired == 1 {
        format!(
            "{} ends its only pod before it starts another one; limits.allowSingleReplica: true consents to it",
            subject.object
        )
    } else {
        format!(
            "{} ends all its pods at once when it restarts, to which no limit consents \
             (allowSingleReplica is for one replica); change its strategy to RollingUpdate",
            subject.object
        )
    };
    Err(Refusal::wait(Reason::Availability, message))
}

/// A restart by rollout waits for a rollout that is under way.
fn rollout(candidate: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    let state = &resolved.subject.state;
    match candidate.action(resolved) {
        Some(Action::RolloutRestart(_)) if state.is_rolling() => {
            let so_far = match state.updated {
                Some(updated) if state.observed => {
                    format!("{updated} of {} pods are of the current template", state.desired)
                }
                _ => "its controller has not seen the last change yet".to_owned(),
            };
            let message = format!(
                "a rollout of {} is under way already ({so_far}); it is not restarted until that is through",
                resolved.subject.object
            );
            Err(Refusal::wait(Reason::Availability, message))
        }
        _ => Ok(()),
    }
}

/// Whether the API server would let it be done by whoever does it.
fn access(candidate: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    let Some(action) = candidate.action(resolved) else { return Ok(()) };
    for right in action::rights(action, &action::acted_on(action, resolved).kind) {
        match candidate.scene.access.get(&right) {
            Some(Access::Allowed) => {}
            Some(Access::Refused(why)) => return Err(Refusal::end(Phase::Skipped, Reason::NotPermitted, why)),
            Some(Access::Unknown { forbidden: true, why }) => return Err(Refusal::wait(Reason::Forbidden, why)),
            Some(Access::Unknown { forbidden: false, why }) => return Err(Refusal::wait(Reason::ApiUnavailable, why)),
            None => {
                let why = format!("whether it may {right} was not asked");
                return Err(Refusal::wait(Reason::ApiUnavailable, why));
            }
        }
    }
    Ok(())
}

/// Whether so much is in trouble that it matters how many workloads there are.
pub(super) fn may_be_a_storm(bounds: &Bounds, crowd: &Crowd, namespace: &str) -> bool {
    storm::may_be(bounds.storm, crowd.in_namespace(namespace)) || storm::may_be(bounds.storm, crowd.in_all())
}

/// What will be done, in words.
pub fn plan(candidate: &Candidate<'_>, resolved: &Resolved) -> String {
    let plan = candidate.action(resolved).map(|action| action::plan(action, resolved)).unwrap_or_default();
    match candidate.spec.account(&resolved.target.namespace) {
        Some(account) => format!("{plan}, as service account {account}"),
        None => plan,
    }
}

#[cfg(test)]
mod tests;
