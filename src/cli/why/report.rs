//! What `why` says, as a value: the record's own inputs, put through the same functions again. Pure.

use jiff::Timestamp;
use serde::Serialize;

use super::reasons;
use crate::{
    alert::Labels,
    api::{ActionOutcome, JournalEntry, Mode, ObjectKey, ObjectRef, Phase, Reason, Remediation, RemediationSpec},
    clock::to_the_second,
    remediation::turns,
    target::named,
};

/// A record, explained.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The record.
    pub remediation: String,
    /// When it was looked at.
    pub at: Timestamp,
    /// Where it stands.
    pub phase: Phase,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// What would have led somewhere else, where no check decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turned_by: Option<&'static str>,
    /// How it began.
    pub alert: AlertPart,
    /// Under what.
    pub policy: PolicyPart,
    /// The checks that stand behind the last decision about acting; empty where none were made.
    pub checks: Vec<CheckPart>,
    /// When they were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<Timestamp>,
    /// What was done.
    pub journal: Vec<JournalEntry>,
    /// What comes next, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    #[serde(skip)]
    pub(super) subject: Option<ObjectRef>,
}

/// The alert.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertPart {
    /// Its labels.
    pub labels: Labels,
    /// Who sent it.
    pub source: String,
    /// When it began.
    pub starts_at: Timestamp,
    /// When it reached Paramedic.
    pub received_at: Timestamp,
    /// When it was last said to fire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// When it ended, as its sender says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// What its labels name, or why they name nothing.
    pub names: String,
}

/// The policy, as it was when the alert came.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyPart {
    /// Its name.
    pub name: String,
    /// Its generation; 0 for one from a file.
    pub generation: i64,
    /// Its mode.
    pub mode: Mode,
    /// Its matchers, and the label that each looked at.
    pub matched: Vec<String>,
    /// Its steps in words.
    pub steps: Vec<String>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckPart {
    /// Its name.
    pub name: String,
    /// Whether it let the action pass.
    pub passed: bool,
    /// Whether it is the one that decided: the first that did not.
    pub decided: bool,
    /// What it looked at.
    pub figures: String,
    /// The input that would have changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turned_by: Option<&'static str>,
}

impl Report {
    /// Of a record at that time.
    pub fn of(record: &Remediation, now: Timestamp) -> Self {
        let (spec, status) = (&record.spec, record.status.clone().unwrap_or_default());
        let checks = status.checks.as_ref();
        let first = checks.and_then(|checks| checks.made.iter().position(|check| !check.passed));
        let made = checks.iter().flat_map(|checks| checks.made.iter().enumerate());
        let checks_made = made.map(|(index, check)| CheckPart {
            name: check.name.clone(),
            passed: check.passed,
            decided: first == Some(index),
            figures: check.figures.clone(),
            turned_by: turns(&check.name).map(|turns| if check.passed { turns.to_refuse } else { turns.to_pass }),
        });
        Self {
            remediation: ObjectKey::of(record).to_string(),
            at: now,
            phase: status.phase,
            reason: status.reason,
            message: status.message.clone(),
            since: status.ended_at.or(status.since).unwrap_or(spec.alert.received_at),
            turned_by: status.reason.and_then(reasons::turned_by),
            alert: alert(record),
            policy: policy(spec),
            checks: checks_made.collect(),
            checked_at: checks.map(|checks| checks.at),
            next: next(record, now),
            journal: status.journal,
            subject: status.subject,
        }
    }
}

fn alert(record: &Remediation) -> AlertPart {
    let (spec, told) = (&record.spec, record.status.as_ref().and_then(|status| status.alert.as_ref()));
    let names = match named(&spec.alert.labels, spec.target.kind) {
        Ok(named) => format!("{} {}/{}", spec.target.kind, named.namespace, named.name),
        Err(why) => format!("nothing: {why}"),
    };
    AlertPart {
        labels: spec.alert.labels.clone(),
        source: spec.source.clone(),
        starts_at: spec.alert.starts_at,
        received_at: spec.alert.received_at,
        last_seen: told.map(|told| told.last_seen),
        ends_at: told.and_then(|told| told.ends_at),
        names,
    }
}

/// The matchers are asked again, about the same labels.
fn policy(spec: &RemediationSpec) -> PolicyPart {
    let labels = &spec.alert.labels;
    let matched = spec.matchers.iter().map(|matcher| {
        let says = if matcher.matches(labels) { "matches" } else { "does not match" };
        let actual = labels.get(&matcher.name).map_or_else(|| "no such label".to_owned(), |value| format!("{value:?}"));
        format!("{matcher} {says} {actual}")
    });
    PolicyPart {
        name: spec.policy.to_string(),
        generation: spec.policy.generation,
        mode: spec.mode,
        matched: matched.collect(),
        steps: spec.steps.iter().map(crate::cli::explain::step).collect(),
    }
}

/// What the record waits for.
fn next(record: &Remediation, now: Timestamp) -> Option<String> {
    let status = record.status.clone().unwrap_or_default();
    let in_future = |at: Timestamp| at > now;
    match status.phase {
        Phase::Pending => Some("the leader decides about it; `paramedic status` says whether anybody leads".to_owned()),
        Phase::Waiting => Some(match status.until.filter(|until| in_future(*until)) {
            Some(until) => {
                format!("it is looked at again at {}, from nothing; it ends when the alert does", to_the_second(until))
            }
            None => "it is looked at again within half a minute, from nothing; it ends when the alert does".to_owned(),
        }),
        Phase::Acting => Some("the outcome of the last action is written".to_owned()),
        Phase::Verifying => {
            let acted = status.journal.iter().rev().find(|entry| entry.outcome == ActionOutcome::Done)?;
            let step = record.spec.steps.get(usize::try_from(acted.step).ok()?)?;
            let deadline = to_the_second(acted.ended_at?.checked_add(step.verify.within.signed()).ok()?);
            let further = record.spec.steps.len() > usize::try_from(acted.step).ok()?.saturating_add(1);
            let otherwise = if further { "the next step begins" } else { "it has failed" };
            Some(format!(
                "healthy and quiet for {} unbroken is a success; by {deadline}, or else {otherwise}",
                step.verify.stable_for
            ))
        }
        Phase::Observing => Some("in DryRun: it is watched whether the alert clears by itself, for an hour".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
