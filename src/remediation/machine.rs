//! The state machine: a pure, total function from a record, the world and the time to the record's next status and what
//! is to be done about it.
//!
//! It never asks, waits or writes. What it says is to be done is done only after the status that says so was written:
//! an action's journal entry is in the returned status, with the outcome `Running`.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{
    approval::{self, Answer},
    checks::{self, Admitted, Candidate, Refusal},
    ledger::after,
    world::{Evidence, InForce, Observed, PolicyNow, QueryNow, Recovery, Scene, Seen, World},
};
use crate::{
    action,
    api::{
        ActionOutcome, JournalEntry, Mode, ObjectRef, Phase, Reason, RemediationSpec, RemediationStatus, Step,
        TOTAL_TIMEOUT, Verify,
    },
    clock::to_the_second,
    policy::Policy,
    target::Health,
};

/// How long a target may be missing before the record ends.
pub const UNRESOLVED_TIMEOUT: SignedDuration = SignedDuration::from_hours(1);

/// How long anything may wait, so that every record ends.
pub const WAITING_TIMEOUT: SignedDuration = SignedDuration::from_hours(24);

/// How often what a wait says may be written anew.
pub const RENEW_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// How often a subject is looked at while it is verified.
pub const VERIFY_INTERVAL: SignedDuration = SignedDuration::from_secs(1);

/// How often an alert is looked at while a `DryRun` watches it.
pub const OBSERVE_INTERVAL: SignedDuration = SignedDuration::from_secs(15);

/// Entries that a journal may have; the record fails before it would grow beyond.
pub const JOURNAL_LENGTH: usize = 64;

/// What is to be done once the status is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing, ever: the record is at its end.
    End,
    /// Look again then.
    LookAgain(Timestamp),
    /// Do what the journal's last entry announces.
    Act,
    /// Find out whether what the journal's last entry announces was done.
    Observe,
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    /// The record's status.
    pub status: RemediationStatus,
    /// What is to be done once it is written.
    pub effect: Effect,
}

/// Decides what follows for a record.
pub fn next(spec: &RemediationSpec, status: &RemediationStatus, world: &World<'_>, now: Timestamp) -> Next {
    let record = Record { spec, status, world, now };
    if status.phase.is_terminal() {
        return Next { status: status.clone(), effect: Effect::End };
    }
    // Whatever else happens, an action that was begun gets its outcome written first.
    if status.phase == Phase::Acting {
        return record.acting();
    }
    if let Some(by) = world.cancel {
        return record.end(Phase::Cancelled, Reason::CancelRequested, format!("cancelled: {by}"));
    }
    if status.phase.counts_towards_timeout() && record.active() > TOTAL_TIMEOUT && status.phase != Phase::Observing {
        return record.end(Phase::Failed, Reason::TimedOut, "it took longer than an hour in all".to_owned());
    }
    match status.phase {
        Phase::Verifying => record.verifying(),
        Phase::Observing => record.observing(),
        Phase::AwaitingApproval => record.awaiting(),
        _ => record.pending(),
    }
}

struct Record<'a> {
    spec: &'a RemediationSpec,
    status: &'a RemediationStatus,
    world: &'a World<'a>,
    now: Timestamp,
}

impl Record<'_> {
    /// Pending and Waiting: every check from nothing.
    fn pending(&self) -> Next {
        let policy = match self.world.policy {
            PolicyNow::InForce(policy) => policy,
            PolicyNow::Gone => return self.policy_changed("the policy is gone"),
            PolicyNow::Unseen if self.overdue() => return self.waited_too_long(),
            PolicyNow::Unseen => {
                let why = "the policy cannot be seen at the moment; it does not act until it can";
                return self.wait(Reason::PolicyUnavailable, why.to_owned(), None);
            }
        };
        let in_force = match self.still(policy) {
            Ok(in_force) => in_force,
            Err(why) => return self.policy_changed(why),
        };
        if let Evidence::Clear { .. } = self.world.evidence {
            return self.cleared();
        }
        if self.overdue() {
            return self.waited_too_long();
        }
        let Observed::Scene(scene) = &self.world.observed else {
            return self.unchanged(Effect::LookAgain(self.now));
        };
        let candidate = Candidate::of(self.spec, self.status, self.world, &in_force, scene, self.now);
        let admitted = match checks::admit(&candidate) {
            Ok(admitted) => admitted,
            Err(refusal) => return self.with_checks(&candidate, self.refused(refusal, scene)),
        };
        // Only an attempt can tell whether a budget gives way, and each is an entry of the journal.
        if self.status.phase == Phase::Waiting
            && self.status.reason == Some(Reason::Disruption)
            && let Some(until) = self.status.until.filter(|until| self.now < *until)
        {
            return self.unchanged(Effect::LookAgain(until));
        }
        if self.status.journal.len() >= JOURNAL_LENGTH {
            return self.end(Phase::Failed, Reason::NotHelped, self.journal_full());
        }
        let Some(plan) = self.plan(&candidate, &admitted) else {
            return self.end(Phase::Failed, Reason::ActionFailed, format!("the record has no step {}", admitted.step));
        };
        let mut approved_by = None;
        if in_force.mode == Mode::RequireApproval {
            match self.answer(&plan, &in_force, scene) {
                Answer::Approved(consent) => approved_by = Some(consent.approved_by()),
                Answer::Denied(consent) => return self.denied(&consent.said()),
                Answer::None => return self.ask(plan, &in_force),
                Answer::Unknown { forbidden, why } => {
                    let reason = if forbidden { Reason::Forbidden } else { Reason::ApiUnavailable };
                    return self.wait(reason, format!("whether the plan is approved cannot be told: {why}"), None);
                }
            }
        }
        let dry_run = in_force.mode == Mode::DryRun;
        let mut status = if dry_run {
            self.entering(Phase::Observing, None, format!("would {}", plan.words))
        } else {
            self.entering(Phase::Acting, Reason::InProgress, plan.words.clone())
        };
        status.journal.push(JournalEntry {
            step: plan.step,
            action: plan.action.to_owned(),
            target: plan.target.clone(),
            started_at: self.now,
            ended_at: dry_run.then_some(self.now),
            outcome: if dry_run { ActionOutcome::DryRun } else { ActionOutcome::Running },
            message: None,
            approved_by,
        });
        plan.enter(&mut status, in_force.mode);
        let effect = if dry_run { Effect::LookAgain(after(self.now, OBSERVE_INTERVAL)) } else { Effect::Act };
        self.with_checks(&candidate, Next { status, effect })
    }

    /// What stands behind a decision goes on record with it, and is no reason to write one.
    fn with_checks(&self, candidate: &Candidate<'_>, mut next: Next) -> Next {
        if next.status != *self.status {
            next.status.checks = Some(checks::recorded(candidate));
        }
        next
    }

    /// What would be done; `None` where the record has no such step.
    fn plan(&self, candidate: &Candidate<'_>, admitted: &Admitted<'_>) -> Option<Plan> {
        let Admitted { resolved, step } = *admitted;
        let action = self.step(step)?.action()?;
        let target = action::acted_on(action, resolved).clone();
        Some(Plan {
            step,
            action: action.name(),
            words: checks::plan(candidate, resolved),
            hash: approval::plan_hash(self.world.key, self.spec, step, action, &target),
            subject: resolved.subject.object.clone(),
            target,
        })
    }

    /// What of the policy is in force for the record; an error where the record cannot follow what the policy says now.
    fn still(&self, policy: &Policy) -> Result<InForce, &'static str> {
        if let Some(changed) = changed(self.spec, policy) {
            return Err(changed);
        }
        let in_force = InForce::of(self.spec, policy, self.world.bounds);
        if in_force.mode == Mode::Disabled { Err("the policy is disabled") } else { Ok(in_force) }
    }

    /// Whether it has waited for longer than anything may, whatever for. Each reason begins the phase anew, so it is what
    /// is left of the record's age without the time that counts for the other time-out.
    fn overdue(&self) -> bool {
        let age = self.now.duration_since(self.spec.alert.received_at);
        matches!(self.status.phase, Phase::Waiting | Phase::AwaitingApproval)
            && age.saturating_sub(self.active()) > WAITING_TIMEOUT
    }

    fn waited_too_long(&self) -> Next {
        self.end(Phase::Failed, Reason::TimedOut, self.waited("it waited for more than a day"))
    }

    fn journal_full(&self) -> String {
        let last = self.status.journal.last().map(|entry| {
            let said = entry.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
            format!("; the last one, {} of {}, came to {}{said}", entry.action, entry.target, entry.outcome.as_str())
        });
        format!("its journal has {JOURNAL_LENGTH} actions, as many as it may{}", last.unwrap_or_default())
    }

    fn refused(&self, refusal: Refusal, scene: &Scene) -> Next {
        let Refusal { phase, reason, message, until } = refusal;
        if phase == Phase::Waiting {
            let unresolved_since = self.status.reason == Some(Reason::TargetUnresolved);
            if reason == Reason::TargetUnresolved && unresolved_since && self.in_phase() >= UNRESOLVED_TIMEOUT {
                return self.end(Phase::Skipped, Reason::TargetUnresolved, message);
            }
            // An API that does not answer says nothing new about a target that was not there.
            let mut next = if unresolved_since && reason == Reason::ApiUnavailable {
                let message = format!("it was not found, and whether it is there now cannot be told: {message}");
                self.wait(Reason::TargetUnresolved, message, until)
            } else {
                self.wait(reason, message, until)
            };
            if let Ok(resolved) = &scene.target {
                next.status.target = Some(resolved.target.clone());
                next.status.subject = Some(resolved.subject.object.clone());
            }
            return next;
        }
        let mut next = self.end(phase, reason, message);
        if let Ok(resolved) = &scene.target {
            next.status.target = Some(resolved.target.clone());
            next.status.subject = Some(resolved.subject.object.clone());
        }
        next
    }

    /// The alert is over before anything (more) was done.
    fn cleared(&self) -> Next {
        if self.acted() {
            let message = "no step helped in time; the alert is over now".to_owned();
            return self.end(Phase::Failed, Reason::NotHelped, message);
        }
        self.end(Phase::Skipped, Reason::AlertCleared, self.waited("the alert is over; nothing was done"))
    }

    /// Adds what it last waited for to a message.
    fn waited(&self, message: &str) -> String {
        match (&self.status.phase, self.status.reason, &self.status.message) {
            (Phase::Waiting, Some(reason), Some(why)) => format!("{message} (waited: {}: {why})", reason.as_str()),
            _ => message.to_owned(),
        }
    }

    fn policy_changed(&self, why: &str) -> Next {
        if self.acted() {
            return self.end(Phase::Failed, Reason::NotHelped, format!("{why}, so no further step is taken"));
        }
        self.end(Phase::Cancelled, Reason::PolicyChanged, why.to_owned())
    }

    fn acting(&self) -> Next {
        let Observed::Outcome { outcome, message } = &self.world.observed else {
            return self.unchanged(Effect::Observe);
        };
        let mut status = self.status.clone();
        if let Some(entry) = status.journal.last_mut() {
            entry.outcome = *outcome;
            entry.ended_at = Some(self.now);
            entry.message.clone_from(message);
        }
        let record = Record { status: &status, ..*self };
        let why = message.clone().unwrap_or_default();
        match outcome {
            ActionOutcome::Running => self.unchanged(Effect::Observe),
            ActionOutcome::Done | ActionOutcome::DryRun => {
                let verify = record.verify();
                let until = to_the_second(after(self.now, verify.within.signed()));
                let message = format!("done; verified until {until}");
                let status = record.entering(Phase::Verifying, Reason::InProgress, message);
                Next { status, effect: Effect::LookAgain(after(self.now, VERIFY_INTERVAL)) }
            }
            ActionOutcome::Disrupted => {
                let until = after(self.now, record.until_the_budget_is_asked_again());
                record.wait(Reason::Disruption, why, Some(until))
            }
            ActionOutcome::Conflict => {
                record.again_later(Reason::TargetChanged, format!("the target had changed: {why}"))
            }
            ActionOutcome::NotDone => {
                record.again_later(Reason::OutcomeUnknown, format!("it was not done, and is decided anew: {why}"))
            }
            ActionOutcome::Refused => record.next_step(Reason::ActionFailed, &format!("the API refused it: {why}")),
            ActionOutcome::Unknown => record.end(
                Phase::Failed,
                Reason::OutcomeUnknown,
                format!("whether it was done cannot be told, so nothing more is done: {why}"),
            ),
        }
    }

    fn verifying(&self) -> Next {
        let Observed::Recovery(recovery) = &self.world.observed else {
            return self.unchanged(Effect::LookAgain(self.now));
        };
        let verify = self.verify();
        let acted_at = self.status.journal.last().and_then(|entry| entry.ended_at).unwrap_or(self.now);
        let deadline = after(acted_at, verify.within.signed());
        // A rule that fires again does so within its `for` and two evaluations.
        let lasts =
            recovery.seen.quiet_for.map_or(verify.stable_for.signed(), |quiet| quiet.max(verify.stable_for.signed()));
        let since = recovery.good_since.filter(|_| recovery.seen.is_good());
        let stable = since.is_some_and(|since| self.now >= after(since, lasts));
        if stable && let Evidence::Clear { confirmed } = recovery.seen.evidence {
            let took = self.now.duration_since(self.spec.alert.received_at);
            let query = if recovery.seen.query.is_some() { ", and verify.query holds" } else { "" };
            let message = format!("healthy, and the alert is over{query}, {}s after it arrived", took.as_secs());
            return self.succeeded(confirmed, message);
        }
        if self.now < deadline {
            let again = after(self.now, VERIFY_INTERVAL).min(deadline);
            return self.unchanged(Effect::LookAgain(again));
        }
        self.deadline(recovery, stable)
    }

    fn deadline(&self, recovery: &Recovery, stable: bool) -> Next {
        let Seen { health, evidence, query, .. } = &recovery.seen;
        match (health, evidence) {
            (Health::Unhealthy(why), _) => self.next_step(Reason::NotHelped, &format!("not healthy in time: {why}")),
            (Health::Healthy, Evidence::Firing) => self.next_step(Reason::NotHelped, "the alert still fires"),
            (Health::Healthy, Evidence::Suppressed(by)) => {
                self.next_step(Reason::NotHelped, &format!("the alert still fires, held back: {by}"))
            }
            (Health::Healthy, Evidence::Clear { .. } | Evidence::Unasked) if let Some(QueryNow::No(why)) = query => {
                self.next_step(Reason::NotHelped, &format!("verify.query does not hold: {why}"))
            }
            (Health::Healthy, Evidence::Clear { .. } | Evidence::Unasked)
                if let Some(QueryNow::Unknown(why)) = query =>
            {
                let message = format!("whether it helped cannot be told: verify.query: {why}");
                self.end(Phase::Failed, Reason::Unverified, message)
            }
            (Health::Healthy, Evidence::Unasked) if stable => {
                self.succeeded(false, "healthy; nobody can be asked whether the alert is over".to_owned())
            }
            // Good at the very end, but not for long enough yet: a relapse cannot be told from a cure, and a new leader has
            // only begun to look. It is watched until it has lasted or has broken; either comes within `stableFor`.
            (Health::Healthy, Evidence::Clear { .. } | Evidence::Unasked) => {
                self.unchanged(Effect::LookAgain(after(self.now, VERIFY_INTERVAL)))
            }
            (Health::Healthy, Evidence::Unknown(why)) | (Health::Unknown(why), _) => {
                self.end(Phase::Failed, Reason::Unverified, format!("whether it helped cannot be told: {why}"))
            }
        }
    }

    fn succeeded(&self, confirmed: bool, message: String) -> Next {
        let mut next = self.end(Phase::Succeeded, Reason::Verified, message);
        let (value, reason, text) = if confirmed {
            ("True", "AlertGone", "the alert's source was asked, and it does not fire any more")
        } else {
            ("False", "NobodyToAsk", "the subject is healthy; no source could be asked whether the alert is over")
        };
        next.status.conditions.retain(|condition| condition.type_ != "Confirmed");
        next.status.conditions.push(Condition {
            type_: "Confirmed".to_owned(),
            status: value.to_owned(),
            reason: reason.to_owned(),
            message: text.to_owned(),
            last_transition_time: Time(self.now),
            observed_generation: None,
        });
        next
    }

    fn observing(&self) -> Next {
        match self.world.policy {
            PolicyNow::Gone => return self.policy_changed("the policy is gone"),
            PolicyNow::InForce(policy) if policy.reference.hash != self.spec.policy.hash => match policy.spec.mode {
                Mode::DryRun => {}
                Mode::Disabled => return self.policy_changed("the policy is disabled"),
                // The next notice begins a record that may act.
                Mode::RequireApproval | Mode::Enforce => {
                    return self.policy_changed("the policy is no dry run any more");
                }
            },
            PolicyNow::InForce(_) | PolicyNow::Unseen => {}
        }
        let cleared = matches!(self.world.evidence, Evidence::Clear { .. });
        if !cleared && self.active() <= TOTAL_TIMEOUT {
            return self.unchanged(Effect::LookAgain(after(self.now, OBSERVE_INTERVAL)));
        }
        let plan = self.status.plan.as_deref().unwrap_or("act");
        let watched = self.in_phase().as_secs();
        let message = if cleared {
            format!("would {plan}; the alert cleared by itself {watched}s later")
        } else {
            format!("would {plan}; the alert still fired an hour later")
        };
        let mut next = self.end(Phase::DryRun, Reason::AlertCleared, message);
        if cleared {
            next.status.cleared_after = Some(format!("{watched}s"));
        } else {
            next.status.reason = Some(Reason::TimedOut);
        }
        next
    }

    /// The next rung, with a fresh target; the end where there is none.
    fn next_step(&self, reason: Reason, message: &str) -> Next {
        let following = self.status.step.saturating_add(1);
        match self.world.policy {
            PolicyNow::Gone => {
                return self.end(
                    Phase::Failed,
                    reason,
                    format!("{message}; its policy is gone, so nothing more is done"),
                );
            }
            PolicyNow::InForce(_) | PolicyNow::Unseen => {}
        }
        if self.step(following).is_none() {
            return self.end(Phase::Failed, reason, format!("{message}; there is no further step"));
        }
        let mut next = self.again(reason, format!("step {}: {message}", self.status.step));
        next.status.step = following;
        next
    }

    fn again(&self, reason: Reason, message: String) -> Next {
        Next { status: self.entering(Phase::Pending, reason, message), effect: Effect::LookAgain(self.now) }
    }

    /// Twice as long after every refusal in a row, up to half an hour: a budget that gives way soon is noticed soon, and
    /// one that does not is not asked so often within [`WAITING_TIMEOUT`] that the journal is full.
    fn until_the_budget_is_asked_again(&self) -> SignedDuration {
        let refusal = |entry: &&JournalEntry| entry.outcome == ActionOutcome::Disrupted;
        let refusals = self.status.journal.iter().rev().take_while(refusal).count();
        SignedDuration::from_secs(1 << refusals.min(11)).min(SignedDuration::from_mins(30))
    }

    /// Like [`Self::again`], but later with every entry of the journal, so that nothing is tried in a tight circle.
    fn again_later(&self, reason: Reason, message: String) -> Next {
        let tries = i64::try_from(self.status.journal.len()).unwrap_or(i64::MAX);
        let pause = SignedDuration::from_secs(tries.saturating_sub(1).min(30));
        let effect = Effect::LookAgain(after(self.now, pause));
        Next { effect, ..self.again(reason, message) }
    }

    /// A wait is written once, and again where there is something else to say about the same reason, at most once a
    /// minute; `since` stays. Otherwise nothing changes but the time of the next look.
    fn wait(&self, reason: Reason, message: String, until: Option<Timestamp>) -> Next {
        let waits_already = self.status.phase == Phase::Waiting && self.status.reason == Some(reason);
        if !waits_already {
            let mut status = self.entering(Phase::Waiting, reason, message);
            status.until = until;
            return Next { status, effect: Effect::LookAgain(self.next_try(reason, SignedDuration::ZERO, until)) };
        }
        let again = self.next_try(reason, self.in_phase(), until);
        if self.status.message.as_deref() == Some(message.as_str()) && self.status.until == until {
            return self.unchanged(Effect::LookAgain(again));
        }
        let written_at = self.status.renewed_at.or(self.status.since).unwrap_or(self.spec.alert.received_at);
        let renewable_at = after(written_at, RENEW_INTERVAL);
        if self.now < renewable_at {
            return self.unchanged(Effect::LookAgain(again.min(renewable_at)));
        }
        let status =
            RemediationStatus { message: Some(message), until, renewed_at: Some(self.now), ..self.status.clone() };
        Next { status, effect: Effect::LookAgain(again) }
    }

    fn next_try(&self, reason: Reason, waited: SignedDuration, until: Option<Timestamp>) -> Timestamp {
        match until {
            Some(until) if until > self.now && people_may_end(reason) => until.min(after(self.now, LOOKED_AFTER)),
            Some(until) if until > self.now => until,
            _ => after(self.now, retry_after(reason, waited)),
        }
    }

    fn end(&self, phase: Phase, reason: Reason, message: String) -> Next {
        let mut status = self.entering(phase, reason, message);
        status.ended_at = Some(self.now);
        Next { status, effect: Effect::End }
    }

    fn unchanged(&self, effect: Effect) -> Next {
        Next { status: self.status.clone(), effect }
    }

    fn entering(&self, phase: Phase, reason: impl Into<Option<Reason>>, message: String) -> RemediationStatus {
        RemediationStatus {
            phase,
            reason: reason.into(),
            message: Some(message),
            until: None,
            since: Some(self.now),
            renewed_at: None,
            active_seconds: self.active().as_secs(),
            ..self.status.clone()
        }
    }

    /// Time that counts towards [`TOTAL_TIMEOUT`].
    fn active(&self) -> SignedDuration {
        let earlier = SignedDuration::from_secs(self.status.active_seconds);
        if self.status.phase.counts_towards_timeout() { earlier.saturating_add(self.in_phase()) } else { earlier }
    }

    fn in_phase(&self) -> SignedDuration {
        let since = self.status.since.unwrap_or(self.spec.alert.received_at);
        self.now.duration_since(since).max(SignedDuration::ZERO)
    }

    fn acted(&self) -> bool {
        self.status.journal.iter().any(|entry| entry.outcome.counts())
    }

    fn step(&self, index: u32) -> Option<&Step> {
        self.spec.steps.get(usize::try_from(index).ok()?)
    }

    fn verify(&self) -> Verify {
        self.step(self.status.step).map(|step| step.verify.clone()).unwrap_or_default()
    }
}

/// What would be done.
struct Plan {
    step: u32,
    action: &'static str,
    /// In words.
    words: String,
    hash: String,
    target: ObjectRef,
    subject: ObjectRef,
}

impl Plan {
    /// Writes down what is planned. The hash only where somebody is asked about it.
    fn enter(self, status: &mut RemediationStatus, mode: Mode) {
        status.step = self.step;
        status.target = Some(self.target);
        status.subject = Some(self.subject);
        status.plan = Some(self.words);
        status.plan_hash = (mode == Mode::RequireApproval).then_some(self.hash);
    }
}

/// How a policy differs from what a record was compiled with, in what a record cannot follow.
fn changed(spec: &RemediationSpec, policy: &Policy) -> Option<&'static str> {
    if spec.policy.hash == policy.reference.hash {
        return None;
    }
    if spec.steps != policy.spec.steps {
        return Some("the policy's steps changed");
    }
    if spec.target != policy.spec.target {
        return Some("the policy's target changed");
    }
    if spec.service_account_name != policy.spec.service_account_name {
        return Some("the policy's service account changed");
    }
    (!policy.matches(&spec.alert.labels)).then_some("the policy does not match the alert any more")
}

/// How often it is looked whether people have ended a wait before its time.
const LOOKED_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// Whether people can end what it waits for before its time: by an annotation, or by another schedule.
const fn people_may_end(reason: Reason) -> bool {
    matches!(reason, Reason::GivenUp | Reason::BreakerOpen | Reason::OutsideSchedule | Reason::Frozen)
}

/// How long until something that stands in the way is looked at again: a quarter of the time it has stood there.
fn retry_after(reason: Reason, waited: SignedDuration) -> SignedDuration {
    let (least, most) = match reason {
        Reason::ApiUnavailable | Reason::PolicyUnavailable | Reason::AuditUnavailable => (1, 10),
        Reason::SubjectLocked | Reason::Concurrency | Reason::Outranked => (1, 15),
        Reason::Paused | Reason::Disruption | Reason::EvidenceUnknown | Reason::AlertSuppressed => (2, 15),
        _ => (2, 30),
    };
    SignedDuration::from_secs((waited.as_secs() / 4).clamp(least, most))
}

mod awaiting;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
