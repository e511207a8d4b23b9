//! What `explain` says, as a value. Pure.

use std::cmp::Reverse;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    alert::{Alert, AlertState, Fingerprint, Labels},
    api::{Limits, Mode, ObjectKey, Phase, PolicyRef, Reason, RemediationStatus, Step},
    policy::{Origin, Policy},
    remediation::{Check, Effect, Explained, turns},
    target::named,
    triage::{MatcherVerdict, verdicts},
};

/// One alert against all policies.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Its labels.
    pub labels: Labels,
    /// Their hash.
    pub fingerprint: Fingerprint,
    /// Whether it fires.
    pub firing: bool,
    /// When it began.
    pub starts_at: Timestamp,
    /// Who is taken to have sent it.
    pub source: String,
    /// The policies that match, the highest priority first.
    pub matching: Vec<Matching>,
    /// Those that do not, the nearest first.
    pub not_matching: Vec<NotMatching>,
}

/// A policy that matches.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Matching {
    /// The policy.
    pub policy: PolicyRef,
    /// Whether it comes from a file.
    pub from_file: bool,
    /// Its mode.
    pub mode: Mode,
    /// Its priority; of those that match, the highest acts first.
    pub priority: i32,
    /// Its ladder, defaults filled in.
    pub steps: Vec<Step>,
    /// Its limits, defaults filled in.
    pub limits: Limits,
    /// What the alert's labels name, or why they name nothing.
    pub names: String,
    /// What the engine would do with the alert.
    pub answer: Answer,
}

/// What the engine would do.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Answer {
    /// Nothing: the alert or the policy is not one that records are made for, and why.
    #[serde(rename_all = "camelCase")]
    Nothing {
        /// Why.
        why: String,
    },
    /// A record would be made; no cluster was looked at.
    #[serde(rename_all = "camelCase")]
    Record {
        /// Its name.
        record: String,
    },
    /// A record would be made, or is there and open, and this would follow.
    #[serde(rename_all = "camelCase")]
    Decide {
        /// The record.
        record: String,
        /// Whether it is there already.
        is_there: bool,
        /// Every check, in order.
        checks: Vec<CheckRow>,
        /// What would follow.
        then: Then,
    },
    /// A record speaks for the alert already, and is past its decision.
    #[serde(rename_all = "camelCase")]
    Known {
        /// The record.
        record: String,
        /// Its phase.
        phase: Phase,
    },
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckRow {
    /// Its name.
    pub name: String,
    /// Whether it lets the action pass.
    pub passes: bool,
    /// What it looked at.
    pub figures: String,
    /// Why it refuses, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What would turn its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turned_by: Option<&'static str>,
}

/// What would follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Then {
    /// The phase.
    pub phase: Phase,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When a wait ends by itself, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Whether something would be done to the cluster.
    pub acts: bool,
}

/// A policy that does not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotMatching {
    /// The policy.
    pub policy: PolicyRef,
    /// What each of its matchers says.
    pub matchers: Vec<MatcherVerdict>,
}

impl NotMatching {
    /// How many matchers say no; alertname counts most, as it is what a policy is about.
    fn distance(&self) -> usize {
        let far = |verdict: &&MatcherVerdict| !verdict.matches;
        let weight = |verdict: &MatcherVerdict| match (verdict.matcher.starts_with("alertname"), &verdict.nearest) {
            (true, None) => 100,
            (true, Some(_)) => 10,
            (false, None) => 2,
            (false, Some(_)) => 1,
        };
        self.matchers.iter().filter(far).map(weight).sum()
    }

    /// Whether it is about this alert, or nearly: then a person who wonders wants to see it.
    pub fn is_near(&self) -> bool {
        self.distance() < 100
    }
}

impl Report {
    /// Of an alert and the policies in force; `answer` says what the engine would do under one that matches.
    pub fn of<'a>(
        alert: &Alert,
        source: &str,
        policies: impl Iterator<Item = &'a Policy>,
        mut answer: impl FnMut(&Policy) -> Answer,
    ) -> Self {
        let (mut matching, mut not_matching) = (Vec::new(), Vec::new());
        for policy in policies {
            if policy.matches(&alert.labels) {
                matching.push(Matching::of(policy, alert, answer(policy)));
            } else {
                let matchers = verdicts(policy, &alert.labels);
                not_matching.push(NotMatching { policy: policy.reference.clone(), matchers });
            }
        }
        matching.sort_by_key(|matching: &Matching| Reverse(matching.priority));
        not_matching.sort_by_key(NotMatching::distance);
        Self {
            labels: alert.labels.clone(),
            fingerprint: alert.fingerprint,
            firing: alert.state == AlertState::Firing,
            starts_at: alert.starts_at,
            source: source.to_owned(),
            matching,
            not_matching,
        }
    }
}

impl Matching {
    fn of(policy: &Policy, alert: &Alert, answer: Answer) -> Self {
        let kind = policy.spec.target.kind;
        let names = match named(&alert.labels, kind) {
            Ok(named) => format!("{kind} {}/{}", named.namespace, named.name),
            Err(why) => format!("nothing: {why}"),
        };
        Self {
            policy: policy.reference.clone(),
            from_file: policy.origin == Origin::File,
            mode: policy.spec.mode,
            priority: policy.spec.priority,
            steps: policy.spec.steps.clone(),
            limits: policy.limits.clone(),
            names,
            answer,
        }
    }
}

impl Answer {
    /// What the state machine says of a record.
    pub fn decided(key: &ObjectKey, is_there: bool, before: &RemediationStatus, explained: Explained) -> Self {
        let Explained { next, checks } = explained;
        let acts = matches!(next.effect, Effect::Act);
        let after = next.status;
        // A wait that goes on says what it said when it began: what stands in the way now is what the checks say.
        let goes_on = (after.phase, &after.message) == (before.phase, &before.message);
        let refusal = checks.iter().find_map(|check| check.refusal.as_ref()).filter(|_| goes_on);
        let then = match refusal {
            Some(refusal) => Then {
                phase: refusal.phase,
                reason: Some(refusal.reason),
                message: Some(refusal.message.clone()),
                until: refusal.until,
                acts,
            },
            None => Then { phase: after.phase, reason: after.reason, message: after.message, until: after.until, acts },
        };
        let checks = checks.iter().map(CheckRow::of).collect();
        Self::Decide { record: key.to_string(), is_there, checks, then }
    }
}

impl CheckRow {
    fn of(check: &Check) -> Self {
        let passes = check.refusal.is_none();
        let turns = turns(check.name);
        Self {
            name: check.name.to_owned(),
            passes,
            figures: check.refusal.as_ref().map_or_else(|| check.figures.clone(), |refusal| refusal.message.clone()),
            reason: check.refusal.as_ref().map(|refusal| refusal.reason),
            turned_by: turns.map(|turns| if passes { turns.to_refuse } else { turns.to_pass }),
        }
    }
}
