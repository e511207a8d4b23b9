//! What was done to the world: which entry of which journal announced it, and whether a limit allowed it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use paramedic::{
    api::{ActionOutcome, Mode, Phase},
    sim::State,
    triage::PolicyKey,
};
use serde_json::Value;

use super::{
    Judge, Sent,
    records::Record,
    world::{is_ready, is_terminating, workload_of},
};
use crate::stats::Stats;

/// An action that had an effect.
pub struct Effect {
    pub action: &'static str,
    pub replica: usize,
    /// Of what was acted on.
    pub uid: String,
    pub subject: String,
    pub policy: PolicyKey,
    record: String,
    step: u32,
    /// As the journal has it.
    started_at: Timestamp,
    /// In which leader's term it came.
    term: u64,
}

/// What a request met when it was carried out.
pub enum Met {
    /// Nothing that it would change.
    Nothing,
    /// A pod that it ends.
    Pod { uid: String, asked: Option<String>, ready: bool, workload: (String, String) },
    /// A workload whose template it changes.
    Workload { uid: String },
}

impl Met {
    /// What the request is about, as it is right before.
    pub fn by(sent: &Sent, state: &State) -> Self {
        let words = sent.words();
        let body = || serde_json::from_slice::<Value>(&sent.body).unwrap_or_default();
        match (sent.method.as_str(), &words[..]) {
            ("POST", ["api", "v1", "namespaces", namespace, "pods", name, "eviction"]) => {
                Self::pod(state, namespace, name, &body()["deleteOptions"])
            }
            ("DELETE", ["api", "v1", "namespaces", namespace, "pods", name]) => {
                Self::pod(state, namespace, name, &body())
            }
            ("PATCH", ["apis", "apps", "v1", "namespaces", namespace, plural, name]) => {
                let kind = if *plural == "deployments" { "Deployment" } else { "StatefulSet" };
                let Some(object) = object(state, "apps", kind, namespace, name) else { return Self::Nothing };
                let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                Self::Workload { uid }
            }
            _ => Self::Nothing,
        }
    }

    fn pod(state: &State, namespace: &str, name: &str, options: &Value) -> Self {
        let Some(pod) = object(state, "", "Pod", namespace, name) else { return Self::Nothing };
        Self::Pod {
            uid: pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            asked: options["preconditions"]["uid"].as_str().map(str::to_owned),
            ready: is_ready(pod) && !is_terminating(pod),
            workload: workload_of(pod),
        }
    }

    /// Whether it met another pod than it meant.
    pub fn is_another(&self) -> bool {
        matches!(self, Self::Pod { uid, asked: Some(asked), .. } if uid != asked)
    }
}

fn object<'a>(state: &'a State, group: &str, kind: &str, namespace: &str, name: &str) -> Option<&'a Value> {
    let kind = paramedic::sim::kinds::of_kind(group, kind)?;
    state.object(kind, namespace, name).map(|object| &**object)
}

impl Judge {
    pub(super) fn effect(&mut self, sent: &Sent, met: &Met, code: u16, stats: &mut Stats) {
        if !(200..300).contains(&code) {
            if code == 429 && matches!(met, Met::Pod { .. }) {
                stats.count("actions", "refused by a budget");
            }
            return;
        }
        let (uid, action) = match met {
            Met::Nothing => return,
            Met::Pod { uid, .. } => (uid.clone(), if sent.method == "POST" { "evict" } else { "delete" }),
            Met::Workload { uid } => (uid.clone(), "rollout"),
        };
        self.note(format!("effect: r{} {action} {uid}, sent at {}", sent.replica, sent.at));
        let skews = self.skews();
        let announced = self.records.values().find(|record| {
            let acting = record.status.phase == Phase::Acting;
            record.gone.is_none()
                && record.status.journal.last().is_some_and(|entry| {
                    let running = acting && entry.outcome == ActionOutcome::Running;
                    // Sent while it was, it may be carried out once somebody else has ended the object, and that was seen.
                    let was = entry.outcome == ActionOutcome::Done
                        && entry.ended_at.is_some_and(|ended_at| sent.at <= ended_at + skews);
                    entry.target.uid == uid && (running || was)
                })
        });
        let Some(record) = announced else {
            let about: Vec<String> =
                self.records.values().filter(|record| names(record, &uid)).map(Record::to_string).collect();
            // A record that somebody deleted under the leader's hands took its journal with it.
            if self.records.values().any(|record| record.gone.is_some() && names(record, &uid)) {
                return;
            }
            let what = format!("{action} {uid} without an entry; records about it: {}", about.join("; "));
            return self.violated("nothing is done without its journal's entry", what);
        };
        if let Some((at, Some(writer))) = record.sent.last()
            && *writer == sent.replica
            && *at <= sent.at
        {
            stats.count("protections", "JournalFirst");
        }
        let Some(entry) = record.status.journal.last() else { return };
        if record.spec.mode == Mode::RequireApproval && entry.approved_by.is_none() {
            let what = format!("{action} {uid} for {record}");
            return self.violated("nothing is done without somebody's consent where that is asked for", what);
        }
        let effect = Effect {
            action,
            replica: sent.replica,
            uid: uid.clone(),
            subject: record.subject().to_owned(),
            policy: record.policy(),
            record: record.uid.clone(),
            step: entry.step,
            started_at: entry.started_at,
            term: self.term,
        };
        self.twice(&effect);
        self.cooldown(&effect);
        self.rate(&effect);
        self.rate_in_all(&effect);
        self.recurrences(&effect);
        if let Met::Pod { ready: true, workload, .. } = met {
            self.availability(&effect, workload);
        }
        self.effects.push(effect);
    }

    fn twice(&mut self, effect: &Effect) {
        let same = |other: &&Effect| {
            other.uid == effect.uid
                && (effect.action != "rollout" || (&other.record, other.step) == (&effect.record, effect.step))
        };
        if self.effects.iter().any(|other| same(&other)) {
            let what = format!("{} {}", effect.action, effect.uid);
            self.violated("nothing is done twice to one object", what);
        }
    }

    /// Whether what a record did still counts: the memory of one that was deleted goes with the leader's term, unless it
    /// was kept before the later term began.
    fn counts(&self, effect: &Effect, later: &Effect) -> bool {
        let kept = self.kept.get(&(effect.uid.clone(), effect.started_at));
        (effect.term, effect.replica) == (later.term, later.replica)
            || self.records.get(&effect.record).is_some_and(|record| record.gone.is_none())
            || kept.is_some_and(|term| *term < later.term)
    }

    /// Takes in which actions of records that are gone the ledger keeps.
    pub(super) fn ledger_changed(&mut self, after: Option<&Value>, stats: &mut Stats) {
        let Some(text) = after.and_then(|map| map["data"]["gone"].as_str()) else { return };
        stats.count("ledger", "kept what records did that are gone");
        if text.len() > 1 << 20 {
            self.violated("the ledger fits into an object", format!("{} bytes", text.len()));
        }
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            let at = line["acted"]["at"].as_str().and_then(|at| at.parse().ok());
            if let (Some(target), Some(at)) = (line["acted"]["target"].as_str(), at) {
                self.kept.entry((target.to_owned(), at)).or_insert(self.term);
            }
        }
    }

    fn cooldown(&mut self, effect: &Effect) {
        let Some(record) = self.records.get(&effect.record) else { return };
        let (key, cooldown) = (record.key.clone(), record.spec.limits.cooldown.signed());
        let earlier = self.effects.iter().filter(|other| {
            other.subject == effect.subject && other.record != effect.record && self.counts(other, effect)
        });
        let too_soon = earlier
            .map(|other| effect.started_at.duration_since(other.started_at))
            .find(|gap| *gap < cooldown - self.skews());
        if let Some(gap) = too_soon {
            let what = format!("{key} acted {gap:#} after another; its cooldown is {cooldown:#}");
            self.violated("cooldowns are kept", what);
        }
    }

    fn rate(&mut self, effect: &Effect) {
        let Some(record) = self.records.get(&effect.record) else { return };
        let (key, rate) = (record.key.clone(), record.spec.limits.rate);
        let from = effect.started_at - (rate.per.signed() - self.skews());
        let in_window = self
            .effects
            .iter()
            .filter(|other| other.policy == effect.policy && other.started_at > from && self.counts(other, effect));
        let count = in_window.count() + 1;
        if count > usize::try_from(rate.actions).unwrap_or(usize::MAX) {
            let what = format!("{key} was action {count} in {}; {} are allowed", rate.per, rate.actions);
            self.violated("rates are kept", what);
        }
    }

    fn rate_in_all(&mut self, effect: &Effect) {
        let Some(record) = self.records.get(&effect.record) else { return };
        let (key, rate) = (record.key.clone(), self.plan.rate);
        let from = effect.started_at - (rate.per.signed() - self.skews());
        let in_window = self.effects.iter().filter(|other| other.started_at > from && self.counts(other, effect));
        let count = in_window.count() + 1;
        if count > usize::try_from(rate.actions).unwrap_or(usize::MAX) {
            let what = format!("{key} was action {count} of all in {}; {} are allowed", rate.per, rate.actions);
            self.violated("rates are kept", what);
        }
    }

    /// A policy leaves a subject to people on which it acted for too many records.
    fn recurrences(&mut self, effect: &Effect) {
        let Some(record) = self.records.get(&effect.record) else { return };
        let (key, limit) = (record.key.clone(), record.spec.limits.give_up);
        let from = effect.started_at - (limit.per.signed() - self.skews());
        let same = |other: &&Effect| {
            other.policy == effect.policy && other.subject == effect.subject && other.record != effect.record
        };
        // Each counts from when it first acted.
        let mut first: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for other in self.effects.iter().filter(same).filter(|other| self.counts(other, effect)) {
            let at = first.entry(&other.record).or_insert(other.started_at);
            *at = other.started_at.min(*at);
        }
        let count = first.values().filter(|at| **at > from).count();
        if count >= usize::try_from(limit.recurrences).unwrap_or(usize::MAX) {
            let what = format!("{key} acted after {count} others in {}; {} may", limit.per, limit.recurrences);
            self.violated("a subject is left to people", what);
        }
    }

    /// As many ready pods are left as the policy asks for, unless somebody else took some after the look.
    fn availability(&mut self, effect: &Effect, workload: &(String, String)) {
        let Some(record) = self.records.get(&effect.record) else { return };
        let Some((sent, _)) = record.sent.last() else { return };
        let Some(workload) = self.workloads.get(workload) else { return };
        let looked = *sent - super::LOOK;
        let won = workload.pods.get(&effect.uid).is_none_or(|pod| pod.won > looked);
        if workload.disturbed > looked || won {
            return;
        }
        // The judge saw the pod end already: it is not among the ready ones any more.
        let left = workload.pods.iter().filter(|(uid, pod)| pod.ready && **uid != effect.uid).count();
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        let limits = &record.spec.limits;
        let key = record.key.clone();
        if workload.desired <= 1 {
            if !limits.allow_single_replica {
                self.violated("enough pods stay available", format!("{key} ended the only replica"));
            }
            return;
        }
        let needed = limits.min_available.of(workload.desired);
        if left < needed {
            let looked_at = record.status.checks.iter().flat_map(|checks| &checks.made);
            let figures = looked_at.filter(|check| check.name == "availability").map(|check| check.figures.as_str());
            let figures: Vec<&str> = figures.collect();
            let what = format!(
                "{key} left {left} ready pods of {}; {needed} are needed; it saw: {}",
                workload.desired,
                figures.join("; ")
            );
            self.violated("enough pods stay available", what);
        }
    }
}

fn names(record: &Record, uid: &str) -> bool {
    record.status.journal.iter().any(|entry| entry.target.uid == uid)
}
