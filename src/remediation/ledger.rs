//! The ledger of limits: who holds which subject, and what was done when. Pure.
//!
//! It is built from the records of a LIST and grows from then on by the leader's own decisions, never by what a watch
//! brings, as a watch can lag. Only what a limit can still ask for is kept: nothing older than [`MEMORY`].

mod kept;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::{
    kept::{Kept, MOST_KEPT, Unreadable},
    verdicts::Verdict,
};

use crate::{
    api::{ActionOutcome, Limits, ObjectKey, Phase, Rate, Remediation},
    triage::PolicyKey,
};

/// The longest window of a limit (see `api::Limits`).
pub const MEMORY: SignedDuration = SignedDuration::from_hours(24);

/// When trouble comes back so soon after the last step, the next remediation begins at the step after it.
pub const LADDER_WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// How long a pod that was ended by us may still be listed as ready.
pub const STILL_LISTED: SignedDuration = SignedDuration::from_mins(2);

/// One action that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// When it was written down.
    pub at: Timestamp,
    /// Under which policy.
    pub policy: PolicyKey,
    /// In which namespace.
    pub namespace: String,
    /// On which subject, by UID.
    pub subject: String,
    /// On which target, by UID.
    pub target: String,
    /// Which step of the ladder, from 0.
    pub step: u32,
    /// For which record.
    pub record: ObjectKey,
}

/// Whose rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The policy's.
    Policy,
    /// The namespace's, of all policies.
    Namespace,
    /// That of everything.
    All,
}

/// Which limit stands against acting, and until when, where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Another remediation runs on the subject.
    Locked {
        /// Which.
        by: ObjectKey,
    },
    /// The subject was acted on a short while ago.
    Cooldown {
        /// When it ends.
        until: Timestamp,
        /// For which record it was acted on.
        by: ObjectKey,
    },
    /// The policy has acted as often as it may.
    Rate {
        /// When a slot is free again.
        until: Timestamp,
        /// Which rate.
        rate: Rate,
        /// Whose.
        whose: Whose,
    },
    /// What the policy did to the subject failed so many times in a row.
    Failing {
        /// When it may try again.
        until: Timestamp,
        /// How many times.
        failures: usize,
    },
    /// What the policy did to the subject did not help for long, so many times.
    Recurring {
        /// When it may try again.
        until: Timestamp,
        /// How many times.
        times: usize,
    },
    /// Too much of what the policy does fails.
    Broken {
        /// When it may try again.
        until: Timestamp,
        /// How many failed.
        failed: usize,
        /// Of how many.
        ended: usize,
    },
    /// As many of the policy's remediations run as may.
    PolicyConcurrency {
        /// How many.
        running: usize,
    },
    /// As many remediations run as may in all.
    TotalConcurrency {
        /// How many.
        running: usize,
    },
}

/// Which of the two ledgers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What was done, or may have been.
    Real,
    /// What a `DryRun` would have done.
    Simulated,
}

impl Side {
    fn counts(self, outcome: ActionOutcome) -> bool {
        match self {
            Self::Real => outcome.counts(),
            Self::Simulated => outcome == ActionOutcome::DryRun,
        }
    }
}

#[derive(Clone, Debug)]
struct Run {
    record: ObjectKey,
    policy: PolicyKey,
    target: String,
}

/// The ledger. `DryRun` remediations have one of their own, so that they neither spend nor see real slots.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By the subject's UID.
    running: BTreeMap<String, Run>,
    /// In order of time.
    marks: VecDeque<Mark>,
    /// In order of time. `DryRun` has none: nobody knows what would have come of it.
    verdicts: VecDeque<Verdict>,
}

impl Ledger {
    /// The ledgers that these records give: the real one, and that of `DryRun`.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Remediation>, now: Timestamp) -> (Self, Self) {
        let (mut real, mut dry) = (Self::default(), Self::default());
        for record in records {
            real.reconcile(record, Side::Real);
            dry.reconcile(record, Side::Simulated);
        }
        real.forget(now);
        dry.forget(now);
        (real, dry)
    }

    /// Makes what is known of one record what the record itself says: its actions that count, and whether it runs. For
    /// whoever has read the record and cannot be sure what of its own was written.
    pub fn reconcile(&mut self, record: &Remediation, side: Side) {
        let key = ObjectKey::of(record);
        self.marks.retain(|mark| mark.record != key);
        self.verdicts.retain(|verdict| verdict.record != key);
        self.running.retain(|_, run| run.record != key);
        let Some(status) = &record.status else { return };
        let Some(subject) = status.subject.as_ref().map(|subject| subject.uid.clone()) else { return };
        let policy = PolicyKey::from(&record.spec.policy);
        for entry in status.journal.iter().filter(|entry| side.counts(entry.outcome)) {
            self.note(Mark {
                at: entry.started_at,
                policy: policy.clone(),
                namespace: entry.target.namespace.clone(),
                subject: subject.clone(),
                target: entry.target.uid.clone(),
                step: entry.step,
                record: key.clone(),
            });
        }
        if side == Side::Real {
            self.judge(record, status);
        }
        if side == Side::Real && status.phase.is_running() {
            let target = status.target.as_ref().map(|target| target.uid.clone()).unwrap_or_default();
            self.running.insert(subject, Run { record: key, policy, target });
        }
    }

    /// Whether a limit may still ask for what this record did.
    pub fn remembers(&self, record: &ObjectKey) -> bool {
        self.marks.iter().any(|mark| mark.record == *record)
            || self.verdicts.iter().any(|verdict| verdict.record == *record)
    }

    /// Takes what a record that runs has taken, if that is not known yet. For what a watch brings, which may only ever add
    /// to what is taken: it can lag. But what has ended stays as it is, however late that is seen.
    pub fn adopt(&mut self, record: &Remediation) {
        if record.status.as_ref().is_some_and(|status| status.phase.is_terminal()) {
            return self.reconcile(record, Side::Real);
        }
        let Some(status) = record.status.as_ref().filter(|status| status.phase.is_running()) else { return };
        let Some(subject) = &status.subject else { return };
        if !self.running.contains_key(&subject.uid) {
            self.reconcile(record, Side::Real);
        }
    }

    /// A record was deleted: what it did still counts, but is nobody's own any more. A new record of its name is another
    /// one. Gives whether a subject became free.
    pub fn disown(&mut self, record: &ObjectKey) -> bool {
        let nobody = self.nobody(record);
        for mark in self.marks.iter_mut().filter(|mark| mark.record == *record) {
            mark.record = nobody.clone();
        }
        for verdict in self.verdicts.iter_mut().filter(|verdict| verdict.record == *record) {
            verdict.record = nobody.clone();
        }
        self.follow(record, Phase::Cancelled)
    }

    /// Drops what no limit can ask for any more.
    pub fn forget(&mut self, now: Timestamp) {
        while self.marks.front().is_some_and(|mark| now.duration_since(mark.at) > MEMORY) {
            self.marks.pop_front();
        }
        while self.verdicts.front().is_some_and(|verdict| now.duration_since(verdict.at) > MEMORY) {
            self.verdicts.pop_front();
        }
    }

    /// Who holds the subject, other than the asker.
    pub fn lock(&self, subject: &str, asker: &ObjectKey) -> Result<(), Limited> {
        match self.running.get(subject) {
            Some(run) if run.record != *asker => Err(Limited::Locked { by: run.record.clone() }),
            _ => Ok(()),
        }
    }

    /// The running remediation of the same policy for the same target, other than the asker.
    pub fn same_target(&self, policy: &PolicyKey, target: &str, asker: &ObjectKey) -> Option<&ObjectKey> {
        let mut runs = self.running.values();
        let same = |run: &&Run| run.policy == *policy && run.target == target && run.record != *asker;
        runs.find(same).map(|run| &run.record)
    }

    /// Whether the subject's cooldown is over. The asker's own earlier steps do not count: a ladder goes on at once.
    pub fn cooldown(&self, subject: &str, limits: &Limits, asker: &ObjectKey, now: Timestamp) -> Result<(), Limited> {
        let Some(last) = self.last_on(subject, asker) else { return Ok(()) };
        let until = after(last.at, limits.cooldown.signed());
        if now < until { Err(Limited::Cooldown { until, by: last.record.clone() }) } else { Ok(()) }
    }

    /// The last action on a subject that is not the asker's own, for whoever explains a cooldown.
    pub fn last_on(&self, subject: &str, asker: &ObjectKey) -> Option<&Mark> {
        self.marks.iter().rev().find(|mark| mark.subject == subject && mark.record != *asker)
    }

    /// How many remediations run that are not the asker: those of the policy, and all.
    pub fn running_beside(&self, policy: &PolicyKey, asker: &ObjectKey) -> (usize, usize) {
        let others = || self.running.values().filter(|run| run.record != *asker);
        (others().filter(|run| run.policy == *policy).count(), others().count())
    }

    /// How many actions of the policy are in the window.
    pub fn used(&self, policy: &PolicyKey, rate: Rate, now: Timestamp) -> usize {
        let per = rate.per.signed();
        self.marks.iter().filter(|mark| mark.policy == *policy && after(mark.at, per) > now).count()
    }

    /// How many actions of all policies are in the window: in a namespace, or in all.
    pub fn used_of_all(&self, namespace: Option<&str>, rate: Rate, now: Timestamp) -> usize {
        let per = rate.per.signed();
        let there = |mark: &&Mark| namespace.is_none_or(|namespace| mark.namespace == namespace);
        self.marks.iter().filter(there).filter(|mark| after(mark.at, per) > now).count()
    }

    /// Whether fewer of the policy's remediations run than may, and fewer in all.
    pub fn concurrency(
        &self,
        policy: &PolicyKey,
        limits: &Limits,
        max_total: usize,
        asker: &ObjectKey,
    ) -> Result<(), Limited> {
        let (of_policy, all) = self.running_beside(policy, asker);
        if of_policy >= usize::try_from(limits.concurrency).unwrap_or(usize::MAX) {
            return Err(Limited::PolicyConcurrency { running: of_policy });
        }
        if all >= max_total {
            return Err(Limited::TotalConcurrency { running: all });
        }
        Ok(())
    }

    /// Whether the policy has a slot left in its window.
    pub fn rate(&self, policy: &PolicyKey, rate: Rate, now: Timestamp) -> Result<(), Limited> {
        self.slot(|mark| mark.policy == *policy, rate, Whose::Policy, now)
    }

    /// Whether a namespace has a slot left in its window.
    pub fn rate_in(&self, namespace: &str, rate: Rate, now: Timestamp) -> Result<(), Limited> {
        self.slot(|mark| mark.namespace == namespace, rate, Whose::Namespace, now)
    }

    /// Whether there is a slot left in the window of everything.
    pub fn rate_in_all(&self, rate: Rate, now: Timestamp) -> Result<(), Limited> {
        self.slot(|_| true, rate, Whose::All, now)
    }

    fn slot(&self, counts: impl Fn(&Mark) -> bool, rate: Rate, whose: Whose, now: Timestamp) -> Result<(), Limited> {
        let per = rate.per.signed();
        let actions = usize::try_from(rate.actions).unwrap_or(usize::MAX);
        let in_window: Vec<Timestamp> =
            self.marks.iter().filter(|mark| after(mark.at, per) > now && counts(mark)).map(|mark| mark.at).collect();
        match in_window.len().checked_sub(actions) {
            None => Ok(()),
            // The slot that is free first is that of the oldest action after whose end fewer than the limit are left.
            Some(over) => {
                Err(Limited::Rate { until: in_window.get(over).map_or(now, |at| after(*at, per)), rate, whose })
            }
        }
    }

    /// The step at which a new remediation of this policy on this subject begins: the one after the last that was tried
    /// within [`LADDER_WINDOW`], at most the top.
    pub fn first_step(&self, policy: &PolicyKey, subject: &str, steps: usize, now: Timestamp) -> u32 {
        let top = u32::try_from(steps.saturating_sub(1)).unwrap_or(u32::MAX);
        let recent = |mark: &&Mark| {
            mark.policy == *policy && mark.subject == subject && now.duration_since(mark.at) <= LADDER_WINDOW
        };
        self.marks.iter().rev().find(recent).map_or(0, |mark| mark.step.saturating_add(1)).min(top)
    }

    /// The UIDs of pods that were ended by us a short while ago; a list may still show them ready.
    pub fn ended_lately(&self, now: Timestamp) -> BTreeSet<&str> {
        let lately = |mark: &&Mark| now.duration_since(mark.at) <= STILL_LISTED;
        self.marks.iter().rev().take_while(lately).map(|mark| mark.target.as_str()).collect()
    }

    /// Takes the subject and a slot. Called with the decision, before it is written.
    pub fn take(&mut self, mark: Mark) {
        let run = Run { record: mark.record.clone(), policy: mark.policy.clone(), target: mark.target.clone() };
        self.running.insert(mark.subject.clone(), run);
        self.note(mark);
    }

    /// Writes an action down; nothing is held.
    pub fn note(&mut self, mark: Mark) {
        // Nearly always the end. A clock that was set back must not hide what was written before.
        let place = self.marks.partition_point(|known| known.at <= mark.at);
        self.marks.insert(place, mark);
    }

    /// Gives the newest slot of a record back: its action had no effect.
    pub fn give_back(&mut self, record: &ObjectKey) {
        if let Some(at) = self.marks.iter().rposition(|mark| mark.record == *record) {
            self.marks.remove(at);
        }
    }

    /// Follows a record's phase: a subject is held while its remediation runs, and by no other.
    pub fn follow(&mut self, record: &ObjectKey, phase: Phase) -> bool {
        if phase.is_running() {
            return false;
        }
        let held = self.running.len();
        self.running.retain(|_, run| run.record != *record);
        self.running.len() < held
    }

    /// How many subjects are held.
    pub fn running(&self) -> usize {
        self.running.len()
    }
}

/// A sum that stays in range: limits are at most a day, times come from records.
pub(crate) fn after(at: Timestamp, duration: SignedDuration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
