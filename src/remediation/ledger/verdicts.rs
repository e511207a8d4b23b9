//! How remediations ended, and what follows for the next ones: a subject is left to people, a policy stops. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Ledger, Limited, Mark, after};
use crate::{
    api::{ActionOutcome, Breaker, GiveUp, ObjectKey, Phase, Remediation, RemediationStatus},
    triage::PolicyKey,
};

/// How a remediation ended that had tried something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// When it ended.
    pub at: Timestamp,
    /// Under which policy.
    pub policy: PolicyKey,
    /// On which subject, by UID.
    pub subject: String,
    /// Which record.
    pub record: ObjectKey,
    /// Whether it succeeded.
    pub helped: bool,
}

impl Ledger {
    /// Writes down how a record ended, if it has, and if it had tried something: what was only refused by a budget, or
    /// was not done, says nothing about the policy.
    pub fn judge(&mut self, record: &Remediation, status: &RemediationStatus) {
        let Some(verdict) = verdict(record, status) else { return };
        self.verdicts.retain(|known| known.record != verdict.record);
        self.conclude(verdict);
    }

    pub(super) fn conclude(&mut self, verdict: Verdict) {
        let place = self.verdicts.partition_point(|known| known.at <= verdict.at);
        self.verdicts.insert(place, verdict);
    }

    /// How often in a row the policy failed on the subject, and for how many remediations it acted there within the
    /// window, beside the asker.
    pub fn record_of(
        &self,
        policy: &PolicyKey,
        subject: &str,
        limit: GiveUp,
        asker: &ObjectKey,
        now: Timestamp,
    ) -> (usize, usize) {
        let verdicts = self.verdicts.iter().rev();
        let of_both = verdicts.filter(|verdict| verdict.policy == *policy && verdict.subject == subject);
        let failures = of_both.take_while(|verdict| !verdict.helped).count();
        let lately = |mark: &&Mark| {
            let same = mark.policy == *policy && mark.subject == subject && mark.record != *asker;
            same && after(mark.at, limit.per.signed()) > now
        };
        let records: BTreeSet<&ObjectKey> = self.marks.iter().filter(lately).map(|mark| &mark.record).collect();
        (failures, records.len())
    }

    /// How many of the policy's remediations failed, and of how many, in the window that ends with the last one.
    pub fn ended_in(&self, policy: &PolicyKey, limit: Breaker) -> (usize, usize) {
        let of_policy = || self.verdicts.iter().rev().filter(|verdict| verdict.policy == *policy);
        let Some(last) = of_policy().next().map(|verdict| verdict.at) else { return (0, 0) };
        let in_window = || of_policy().take_while(|verdict| after(verdict.at, limit.per.signed()) > last);
        (in_window().filter(|verdict| !verdict.helped).count(), in_window().count())
    }

    /// Whether what the policy does to the subject helps, and for long enough to be worth doing again. What was before
    /// `resumed` does not count, and neither does what the asker itself did.
    pub fn gives_up(
        &self,
        policy: &PolicyKey,
        subject: &str,
        limit: GiveUp,
        resumed: Option<Timestamp>,
        asker: &ObjectKey,
        now: Timestamp,
    ) -> Result<(), Limited> {
        let counts = |at: Timestamp| resumed.is_none_or(|resumed| at > resumed);
        let per = limit.per.signed();
        let most = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let verdicts = self.verdicts.iter().rev();
        let of_both = verdicts.filter(|verdict| verdict.policy == *policy && verdict.subject == subject);
        let in_a_row: Vec<&Verdict> =
            of_both.take_while(|verdict| !verdict.helped).filter(|verdict| counts(verdict.at)).collect();
        if let Some(last) = in_a_row.first().filter(|_| in_a_row.len() >= most(limit.failures)) {
            let until = after(last.at, per);
            if now < until {
                return Err(Limited::Failing { until, failures: in_a_row.len() });
            }
        }
        // Each remediation counts once, from when it first acted.
        let mut first: BTreeMap<&ObjectKey, Timestamp> = BTreeMap::new();
        let marks = self.marks.iter().filter(|mark| mark.policy == *policy && mark.subject == subject);
        for mark in marks.filter(|mark| mark.record != *asker) {
            first.entry(&mark.record).or_insert(mark.at);
        }
        let mut lately: Vec<Timestamp> =
            first.into_values().filter(|at| counts(*at) && after(*at, per) > now).collect();
        lately.sort_unstable();
        match lately.len().checked_sub(most(limit.recurrences)).and_then(|over| lately.get(over)) {
            Some(at) => Err(Limited::Recurring { until: after(*at, per), times: lately.len() }),
            None => Ok(()),
        }
    }

    /// Whether too much of what the policy does fails: in the window that ends with its last remediation. What was before
    /// `resumed` does not count.
    pub fn breaker(
        &self,
        policy: &PolicyKey,
        limit: Breaker,
        resumed: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), Limited> {
        let per = limit.per.signed();
        let counts = |at: Timestamp| resumed.is_none_or(|resumed| at > resumed);
        let of_policy = || self.verdicts.iter().rev().filter(|verdict| verdict.policy == *policy && counts(verdict.at));
        let Some(last) = of_policy().next().map(|verdict| verdict.at) else { return Ok(()) };
        let in_window = || of_policy().take_while(|verdict| after(verdict.at, per) > last);
        let (ended, failed) = (in_window().count(), in_window().filter(|verdict| !verdict.helped).count());
        let (of, number) = (u32::try_from(ended).unwrap_or(u32::MAX), u32::try_from(failed).unwrap_or(u32::MAX));
        let until = after(last, per);
        if of >= limit.least && failed > 0 && number >= limit.failed.of(of) && now < until {
            return Err(Limited::Broken { until, failed, ended });
        }
        Ok(())
    }
}

/// How a record ended that had tried something.
fn verdict(record: &Remediation, status: &RemediationStatus) -> Option<Verdict> {
    let helped = match status.phase {
        Phase::Succeeded => true,
        Phase::Failed => false,
        _ => return None,
    };
    let tried = |outcome: ActionOutcome| outcome.counts() || outcome == ActionOutcome::Refused;
    status.journal.iter().any(|entry| tried(entry.outcome)).then_some(())?;
    Some(Verdict {
        at: status.ended_at.or(status.since)?,
        policy: PolicyKey::from(&record.spec.policy),
        subject: status.subject.as_ref()?.uid.clone(),
        record: ObjectKey::of(record),
        helped,
    })
}
