//! Records: what may become of one, and what must be so when it begins to act.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use paramedic::{
    alert::{Fingerprint, Labels},
    api::{ActionOutcome, JournalEntry, ObjectKey, Phase, Reason, Remediation, RemediationSpec, RemediationStatus},
    triage::{PolicyKey, STILL_FIRING},
};
use serde_json::Value;

use super::{Judge, LOOK, Sent};
use crate::stats::Stats;

/// How late a replica may be about policies, with lagging watches and pauses between two of them.
pub const POLICY_LAG: SignedDuration = SignedDuration::from_secs(150);

pub struct Record {
    pub key: ObjectKey,
    pub uid: String,
    pub spec: RemediationSpec,
    pub status: RemediationStatus,
    /// When its end was written.
    pub ended: Option<Timestamp>,
    /// When it was deleted.
    pub gone: Option<Timestamp>,
    /// When each entry's write was sent, and by whom.
    pub sent: Vec<(Timestamp, Option<usize>)>,
}

impl Record {
    pub fn is_open(&self) -> bool {
        self.gone.is_none() && !self.status.phase.is_terminal()
    }

    pub fn runs(&self) -> bool {
        self.gone.is_none() && self.status.phase.is_running()
    }

    pub fn policy(&self) -> PolicyKey {
        PolicyKey::from(&self.spec.policy)
    }

    /// Whether it helped, of one that ended and had tried something.
    fn helped(&self) -> Option<bool> {
        let tried = |entry: &JournalEntry| entry.outcome.counts() || entry.outcome == ActionOutcome::Refused;
        self.status.journal.iter().any(tried).then_some(())?;
        match self.status.phase {
            Phase::Succeeded => Some(true),
            Phase::Failed => Some(false),
            _ => None,
        }
    }

    pub fn subject(&self) -> &str {
        self.status.subject.as_ref().map(|subject| subject.uid.as_str()).unwrap_or_default()
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, status, .. } = self;
        let reason = status.reason.map(Reason::as_str).unwrap_or_default();
        write!(f, "{key} {}/{reason} ({})", status.phase.as_str(), status.message.as_deref().unwrap_or_default())
    }
}

impl Judge {
    pub(super) fn record_changed(
        &mut self,
        before: Option<&Value>,
        after: Option<&Value>,
        now: Timestamp,
        sent: Option<&Sent>,
        stats: &mut Stats,
    ) {
        let Some(object) = after.or(before) else { return };
        let record: Remediation = match serde_json::from_value(object.clone()) {
            Ok(record) => record,
            Err(error) => return self.violated("records can be read", error.to_string()),
        };
        let uid = record.metadata.uid.clone().unwrap_or_default();
        let key = ObjectKey::of(&record);
        if after.is_none() {
            if let Some(known) = self.records.get_mut(&uid) {
                known.gone = Some(now);
            }
            return self.note(format!("record {key} is gone"));
        }
        let status = record.status.unwrap_or_default();
        let Some(known) = self.records.get(&uid) else {
            return self.record_created(Record {
                key,
                uid,
                spec: record.spec,
                status,
                ended: None,
                gone: None,
                sent: Vec::new(),
            });
        };
        if known.spec != record.spec {
            self.violated("a record's spec never changes", key.to_string());
        }
        self.status_changed(&uid, status, now, sent, stats);
    }

    fn record_created(&mut self, record: Record) {
        let same = |other: &&Record| {
            other.policy() == record.policy() && other.spec.alert.fingerprint == record.spec.alert.fingerprint
        };
        let other = self
            .records
            .values()
            .filter(same)
            .find(|other| other.is_open() || (other.gone.is_none() && other.spec.episode == record.spec.episode));
        if let Some(other) = other {
            let what = format!("{} beside {other}", record.key);
            self.violated("one episode has one record", what);
        }
        let alert = &record.spec.alert;
        self.note(format!("record {} for {} since {}", record.key, show(&alert.labels), alert.starts_at));
        self.records.insert(record.uid.clone(), record);
    }

    fn status_changed(
        &mut self,
        uid: &str,
        after: RemediationStatus,
        now: Timestamp,
        sent: Option<&Sent>,
        stats: &mut Stats,
    ) {
        let Some(record) = self.records.get(uid) else { return };
        let (key, before) = (record.key.clone(), record.status.clone());
        if before.phase.is_terminal() && (before.phase, &before.journal) != (after.phase, &after.journal) {
            let what = format!("{key} went from {} to {}", before.phase.as_str(), after.phase.as_str());
            self.violated("what has ended stays as it is", what);
        }
        self.alert_grows(&key, &before, &after);
        self.journal_grows(&key, &before, &after);
        if (before.phase, before.reason) != (after.phase, after.reason) {
            let reason = after.reason.map(Reason::as_str).unwrap_or_default();
            let message = after.message.as_deref().unwrap_or_default();
            self.note(format!("record {key}: {}/{reason}: {message}", after.phase.as_str()));
            self.count_guards(uid, &after, sent, stats);
        }
        let begins = after.journal.len() > before.journal.len()
            && after.journal.last().is_some_and(|entry| entry.outcome == ActionOutcome::Running);
        let at = sent.map_or(now, |sent| sent.at);
        if begins {
            self.begins(uid, &after, at);
        }
        if let Some(record) = self.records.get_mut(uid) {
            while record.sent.len() < after.journal.len() {
                record.sent.push((at, sent.map(|sent| sent.replica)));
            }
            if after.phase.is_terminal() && record.ended.is_none() {
                record.ended = Some(now);
            }
            record.status = after;
        }
    }

    fn alert_grows(&mut self, key: &ObjectKey, before: &RemediationStatus, after: &RemediationStatus) {
        let Some(known) = &before.alert else { return };
        let shrunk = match &after.alert {
            None => true,
            Some(alert) => alert.last_seen < known.last_seen || alert.ends_at < known.ends_at,
        };
        if shrunk {
            let what = format!("{key}: {known:?} became {:?}", after.alert);
            self.violated("what is known of an alert only grows", what);
        }
    }

    fn journal_grows(&mut self, key: &ObjectKey, before: &RemediationStatus, after: &RemediationStatus) {
        let announced =
            |entry: &JournalEntry| (entry.step, entry.action.clone(), entry.target.clone(), entry.started_at);
        for (number, entry) in before.journal.iter().enumerate() {
            let Some(now) = after.journal.get(number) else {
                return self.violated("a journal only grows", format!("{key} lost entry {number}"));
            };
            let settled = entry.outcome != ActionOutcome::Running && entry != now;
            if announced(entry) != announced(now) || settled {
                return self
                    .violated("a journal only grows", format!("{key}: entry {number} was {entry:?}, is {now:?}"));
            }
        }
    }

    fn count_guards(&self, uid: &str, after: &RemediationStatus, sent: Option<&Sent>, stats: &mut Stats) {
        let guard = match (after.phase, after.reason) {
            (Phase::Waiting, Some(Reason::SubjectLocked)) => "SubjectLock",
            (Phase::Waiting, Some(Reason::Availability | Reason::SingleReplica)) => "Availability",
            (Phase::Waiting, Some(Reason::Paused)) => "Pause",
            (Phase::Waiting, Some(Reason::Cooldown | Reason::RateLimited)) => {
                let subject = after.subject.as_ref().map(|subject| subject.uid.as_str()).unwrap_or_default();
                let policy = self.records.get(uid).map(Record::policy);
                let concerns =
                    |effect: &&super::Effect| effect.subject == subject || Some(&effect.policy) == policy.as_ref();
                let last = self.effects.iter().rev().find(concerns);
                match (last, sent) {
                    (Some(last), Some(sent)) if last.replica != sent.replica => "LedgerFromList",
                    _ => return,
                }
            }
            _ => return,
        };
        stats.count("protections", guard);
    }

    /// A record begins to act: nothing may stand against it.
    fn begins(&mut self, uid: &str, after: &RemediationStatus, sent: Timestamp) {
        let Some(record) = self.records.get(uid) else { return };
        let (Some(subject), Some(entry)) = (&after.subject, after.journal.last()) else { return };
        let (key, policy, limits) = (record.key.clone(), record.policy(), record.spec.limits.clone());
        let others = || self.records.values().filter(|other| other.uid != uid && other.runs());
        if let Some(other) = others().find(|other| other.subject() == subject.uid) {
            let what = format!("{key} began on {subject} beside {other}");
            return self.violated("one subject has one running remediation", what);
        }
        let of_policy = others().filter(|other| other.policy() == policy).count();
        if of_policy >= usize::try_from(limits.concurrency).unwrap_or(usize::MAX) {
            let what = format!("{key} began beside {of_policy} others of its policy; {} may run", limits.concurrency);
            return self.violated("concurrency is kept", what);
        }
        let all = others().count();
        if all >= self.plan.max_concurrent {
            let what = format!("{key} began beside {all} others; {} may run", self.plan.max_concurrent);
            return self.violated("concurrency is kept", what);
        }
        self.left_alone(uid, &subject.uid, entry.started_at, sent);
        let namespace = entry.target.namespace.clone();
        if let Some(why) = self.forbidden(&namespace, &[&entry.target.uid, &subject.uid], sent) {
            return self.violated("nothing begins where it is forbidden", format!("{key} began although {why}"));
        }
        let own = policy.namespace.clone().unwrap_or_default();
        if !self.policies.may_act(policy.kind.as_str(), &own, &policy.name, sent, POLICY_LAG) {
            let what = format!("{key} began although its policy has not been in force for a while");
            self.violated("nothing begins where it is forbidden", what);
        }
    }

    /// What failed so often on a subject is left to people, and a policy of which so much fails stops.
    fn left_alone(&mut self, uid: &str, subject: &str, started_at: Timestamp, sent: Timestamp) {
        let Some(record) = self.records.get(uid) else { return };
        let (key, policy, limits) = (record.key.clone(), record.policy(), &record.spec.limits);
        let ended = |other: &&Record| other.policy() == policy && other.uid != uid && other.ended.is_some();
        let others: Vec<&Record> = self.records.values().filter(ended).collect();
        // What is gone may be forgotten, and a success among it.
        if others.iter().any(|other| other.gone.is_some() || other.ended.is_none_or(|ended| ended >= sent - LOOK)) {
            return;
        }
        let mut ends: Vec<(Timestamp, bool, &str)> = others
            .iter()
            .filter_map(|other| Some((other.status.ended_at?, other.helped()?, other.subject())))
            .collect();
        // Of what ended at once a success counts as the later one.
        ends.sort_unstable();
        let still = |last: Timestamp, per: SignedDuration| started_at < last + per - self.skews();
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let here = ends.iter().rev().filter(|(_, _, other)| *other == subject);
        let row: Vec<Timestamp> = here.take_while(|(_, helped, _)| !helped).map(|(at, _, _)| *at).collect();
        if let Some(last) = row.first()
            && number(row.len()) >= limits.give_up.failures
            && still(*last, limits.give_up.per.signed())
        {
            let what = format!("{key} began after {} failures in a row, the last at {last}", row.len());
            return self.violated("a subject is left to people", what);
        }
        let (Some((last, _, _)), per) = (ends.last(), limits.breaker.per.signed()) else { return };
        let window: Vec<bool> =
            ends.iter().filter(|(at, _, _)| *at + per > *last).map(|(_, helped, _)| *helped).collect();
        let (of, failed) = (number(window.len()), number(window.iter().filter(|helped| !**helped).count()));
        let opens = of >= limits.breaker.least && failed > 0 && failed >= limits.breaker.failed.of(of);
        if opens && still(*last, per) {
            let what = format!("{key} began although {failed} of {of} had failed, the last at {last}");
            self.violated("a policy stops of which too much fails", what);
        }
    }

    /// A sender was told 200 for a firing alert: a record has to speak for it.
    pub fn acknowledged(&mut self, labels: &Labels, starts_at: Timestamp, sent: Timestamp, now: Timestamp) {
        let fingerprint = Fingerprint::of(labels);
        for policy in self.policies.answering(labels, sent, POLICY_LAG) {
            let mut records = self.records.values().filter(|record| {
                let own = record.policy();
                own.kind.as_str() == policy.kind
                    && own.namespace.as_deref().unwrap_or_default() == policy.namespace
                    && own.name == policy.name
                    && record.spec.alert.fingerprint == fingerprint
            });
            let skews = self.skews();
            let speaks = |record: &Record| {
                if record.gone.is_some() {
                    return true;
                }
                let Some(ended) = record.ended.filter(|ended| *ended < sent) else { return true };
                let resolved = record.status.alert.as_ref().and_then(|alert| alert.ends_at);
                let until = resolved.unwrap_or(ended).max(ended) + skews;
                starts_at <= until && now.duration_since(ended) < STILL_FIRING + skews
            };
            if !records.any(speaks) {
                let what = format!("{} since {starts_at}, under {}", show(labels), policy.name);
                self.violated("no acknowledged alert is lost", what);
            }
        }
    }
}

fn show(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(",")
}
