//! What the state machine is told about the world. Plain values; nothing here asks anybody.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{Consents, Crowd, Ledger};
use crate::{
    action::Right,
    api::{
        ActionOutcome, Approval, Bounds, Breaker, CountOrPercent, EffectiveLimits, Limits, Mode, ObjectKey, Phase,
        Rate, RemediationSpec, Schedule,
    },
    policy::Policy,
    protections::Protections,
    target::{Health, Resolved, Unresolved},
};

/// What is known about the alert now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It fires.
    Firing,
    /// It is over. `confirmed`: by somebody who was asked, not by a notice alone.
    Clear {
        /// Whether it was asked for.
        confirmed: bool,
    },
    /// It fires, but people have silenced it, or another alert inhibits it.
    Suppressed(String),
    /// Nobody can tell, and why.
    Unknown(String),
    /// There is nobody to ask: neither an Alertmanager nor a Prometheus is configured for the alert's source, and no notice
    /// says anything.
    Unasked,
}

/// The policy of a record as it is now.
#[derive(Clone, Debug)]
pub enum PolicyNow {
    /// In force.
    InForce(Arc<Policy>),
    /// Not to be seen, but not long enough to count as gone.
    Unseen,
    /// Gone.
    Gone,
}

/// Why it cannot be told whether a pause is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseUnknown {
    /// Paramedic may not ask, which will not pass by itself.
    pub forbidden: bool,
    /// What was said, with the right that is missing.
    pub why: String,
}

impl From<String> for PauseUnknown {
    fn from(why: String) -> Self {
        Self { forbidden: false, why }
    }
}

/// How a remediation of the same alert under a policy of a higher priority stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiblingNow {
    /// It is there.
    There {
        /// Its policy's priority, as its own record has it.
        priority: i32,
        /// Whether it only says what it would do.
        dry_run: bool,
        /// Its phase.
        phase: Phase,
    },
    /// There is none of that name: it is not created yet, never was, or was deleted.
    Absent,
    /// That could not be asked, and why.
    Unknown(String),
}

/// What stands against acting beside the limits: asked of the API right before.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// One for each of the record's `outrankedBy`, in its order.
    pub siblings: Vec<SiblingNow>,
    /// The reason of a pause in force; an `Err` where that could not be asked.
    pub pause: Result<Option<String>, PauseUnknown>,
    /// The target.
    pub target: Result<Resolved, Unresolved>,
    /// Whether the API server would let the actions be done, by the rights that they need.
    pub access: BTreeMap<Right, Access>,
    /// What people said to the record's plans, where its policy asks for that.
    pub consents: Consents,
    /// How many workloads there are; `None` where nothing asked for it.
    pub workloads: Option<Workloads>,
}

/// How many workloads there are, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workloads {
    /// In the subject's namespace.
    pub in_namespace: Result<usize, String>,
    /// In the cluster.
    pub in_all: Result<usize, String>,
}

/// Whether the API server would let something be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// It would be let through.
    Allowed,
    /// It would be refused, and what to do about it.
    Refused(String),
    /// Nobody can tell.
    Unknown {
        /// Paramedic may not ask, which will not pass by itself.
        forbidden: bool,
        /// What was said instead.
        why: String,
    },
}

/// What a look at a subject shows after an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether the subject is well.
    pub health: Health,
    /// Whether an alert of the policy that names a living object of the subject fires.
    pub evidence: Evidence,
    /// Whether the step's query holds; `None` where it has none.
    pub query: Option<QueryNow>,
    /// How long all of that must last for the alert's rule; `None` where that is not known.
    pub quiet_for: Option<SignedDuration>,
}

/// Whether a step's query holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryNow {
    /// It does.
    Holds,
    /// It does not, and what it gave.
    No(String),
    /// Nobody can tell, and why.
    Unknown(String),
}

/// What is known of a subject's recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The last look.
    pub seen: Seen,
    /// Since when every look has been good without a break; `None` while they are not.
    pub good_since: Option<Timestamp>,
}

impl Seen {
    /// Whether nothing is wrong: the subject is well, nobody says that its alert fires, and the query, if there is one, holds.
    pub fn is_good(&self) -> bool {
        self.health == Health::Healthy
            && matches!(self.evidence, Evidence::Clear { .. } | Evidence::Unasked)
            && matches!(self.query, None | Some(QueryNow::Holds))
    }
}

/// What has been found out for this call.
#[derive(Clone, Debug, PartialEq)]
pub enum Observed {
    /// Nothing yet.
    Nothing,
    /// For a record that wants to act.
    Scene(Box<Scene>),
    /// What came of the action that the journal's last entry announces.
    Outcome {
        /// The outcome.
        outcome: ActionOutcome,
        /// What the API said.
        message: Option<String>,
    },
    /// For a record whose action was done.
    Recovery(Recovery),
}

/// Everything that a decision is made of, beside the record and the time.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// The record's key.
    pub key: &'a ObjectKey,
    /// Who asked for the record's end, if somebody did.
    pub cancel: Option<&'a str>,
    /// The policy as it is now.
    pub policy: &'a PolicyNow,
    /// The alert.
    pub evidence: &'a Evidence,
    /// What was found out for this call.
    pub observed: Observed,
    /// The ledger.
    pub ledger: &'a Ledger,
    /// The ledger of `DryRun`.
    pub shadow: &'a Ledger,
    /// How many remediations may run at once in all.
    pub max_concurrent: usize,
    /// What bounds all policies together.
    pub bounds: &'a Bounds,
    /// How much is in trouble.
    pub crowd: &'a Crowd,
    /// Why nothing can be written to the audit log, where there is one and that is so.
    pub audit: Option<&'a str>,
    /// What guards against doing harm.
    pub protections: Protections,
}

/// The strictest of what a record was compiled with, what its policy says now, and what an administrator permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The mode.
    pub mode: Mode,
    /// For the mode `RequireApproval`.
    pub approval: Approval,
    /// The limits; `min_available`, `rate` and `breaker` are not merged: a count and a share have no order, and neither
    /// have five an hour and a hundred a day.
    pub limits: Limits,
    /// Every rate; each must hold.
    pub rates: Vec<Rate>,
    /// The namespaces that the policy may touch now.
    pub namespaces: Vec<String>,
    /// Every availability; each must hold.
    pub min_available: Vec<CountOrPercent>,
    /// Every breaker; each must hold.
    pub breakers: Vec<Breaker>,
    /// Both schedules; each must be open.
    pub schedules: [Schedule; 2],
    /// When somebody said that the policy may go on.
    pub resumed_at: Option<Timestamp>,
}

impl InForce {
    /// Of a record and its policy, under the administrator's ceilings.
    pub fn of(spec: &RemediationSpec, policy: &Policy, bounds: &Bounds) -> Self {
        let then = EffectiveLimits::of(&spec.limits, &bounds.ceilings);
        let now = EffectiveLimits::of(&policy.limits, &bounds.ceilings);
        Self {
            mode: spec.mode.min(policy.spec.mode),
            approval: spec.approval.stricter(policy.spec.approval),
            limits: Limits {
                cooldown: then.cooldown.max(now.cooldown),
                rate: spec.limits.rate,
                concurrency: then.concurrency.min(now.concurrency),
                min_available: spec.limits.min_available,
                allow_single_replica: then.allow_single_replica && now.allow_single_replica,
                give_up: then.give_up.stricter(now.give_up),
                breaker: spec.limits.breaker,
            },
            rates: then.rates.into_iter().chain(now.rates).collect(),
            namespaces: policy.namespaces.clone(),
            min_available: then.min_available.into_iter().chain(now.min_available).collect(),
            breakers: then.breakers.into_iter().chain(now.breakers).collect(),
            schedules: [spec.schedule.clone(), policy.spec.schedule.clone()],
            resumed_at: policy.resumed_at,
        }
    }
}
