//! Watches the cluster's own history, and says what must never be in it. It asks nothing of what it judges.
//!
//! Every write is seen in its order: `look` takes in what changed, `carried_out` what a replica's request did. Times are
//! true ones, but where two entries of journals are compared: those are as their writers' clocks had them.

mod effects;
mod records;
mod world;

use std::{collections::BTreeMap, fmt, sync::Arc};

use axum::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use paramedic::{remediation::LEDGER, sim::State};

pub use self::effects::Met;
use self::{
    effects::Effect,
    records::Record,
    world::{Policies, Switch, Workload},
};
use crate::{plan::Plan, stats::Stats};

/// What was seen that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// A request of a replica.
#[derive(Clone, Debug)]
pub struct Sent {
    pub replica: usize,
    pub at: Timestamp,
    pub method: String,
    pub target: String,
    pub body: Bytes,
}

impl Sent {
    /// The path's words, without the query.
    pub fn words(&self) -> Vec<&str> {
        self.target.split('?').next().unwrap_or_default().trim_start_matches('/').split('/').collect()
    }
}

/// How old what a decision was made on may be, with all its time-outs: what was said earlier than that counts.
const LOOK: SignedDuration = SignedDuration::from_secs(8);

pub struct Judge {
    plan: Arc<Plan>,
    seen: u64,
    /// By UID; also those that are gone.
    records: BTreeMap<String, Record>,
    effects: Vec<Effect>,
    /// Of records that are gone, by target and time, in which term the ledger's `ConfigMap` first said it.
    kept: BTreeMap<(String, Timestamp), u64>,
    policies: Policies,
    /// Pauses by namespace and name.
    pauses: BTreeMap<(String, String), Vec<Switch>>,
    /// Opt-outs by UID.
    opt_outs: BTreeMap<String, Vec<Switch>>,
    workloads: BTreeMap<(String, String), Workload>,
    /// Who holds the lease, as it was written, and since when.
    holder: (String, String),
    /// How many terms there were.
    term: u64,
    lines: Vec<String>,
    pub violation: Option<Violation>,
}

impl Judge {
    pub fn new(plan: Arc<Plan>) -> Self {
        Self {
            plan,
            seen: 0,
            records: BTreeMap::new(),
            effects: Vec::new(),
            kept: BTreeMap::new(),
            policies: Policies::default(),
            pauses: BTreeMap::new(),
            opt_outs: BTreeMap::new(),
            workloads: BTreeMap::new(),
            holder: Default::default(),
            term: 0,
            lines: Vec::new(),
            violation: None,
        }
    }

    /// Takes in what was written since, by whomever but a replica.
    pub fn look(&mut self, state: &State, now: Timestamp) {
        self.take(state, now, None, &mut Stats::default());
    }

    /// Takes in what a replica's request did, and judges it.
    pub fn carried_out(&mut self, sent: &Sent, met: &Met, code: u16, state: &State, now: Timestamp, stats: &mut Stats) {
        count_guards(sent, met, code, stats);
        self.take(state, now, Some(sent), stats);
        self.effect(sent, met, code, stats);
    }

    fn take(&mut self, state: &State, now: Timestamp, sent: Option<&Sent>, stats: &mut Stats) {
        assert!(self.seen == 0 || self.seen >= state.compacted(), "nothing was forgotten before it was judged");
        let changes: Vec<_> = state.changes_since(self.seen).cloned().collect();
        self.seen = state.revision();
        for change in changes {
            let before = change.previous.as_deref();
            let after = (!change.deleted).then_some(&*change.object);
            match change.object["kind"].as_str().unwrap_or_default() {
                "Remediation" => self.record_changed(before, after, now, sent, stats),
                "RemediationPolicy" | "ClusterRemediationPolicy" => {
                    self.policies.changed(&change.object, after.is_none(), now);
                }
                "Pause" => self.pause_changed(&change.object, after.is_some(), now),
                "Pod" => {
                    // What happened to other pods since the last look was not the request's doing.
                    let name = change.object["metadata"]["name"].as_str().unwrap_or_default();
                    let by_request = sent.is_some_and(|sent| sent.words().contains(&name));
                    self.pod_changed(before, after, now, by_request);
                }
                "Deployment" | "StatefulSet" => self.workload_changed(before, after, now),
                "Namespace" => self.opt_out_changed(&change.object, after.is_some(), now),
                "Lease" => self.lease_changed(after, stats),
                "ConfigMap" if change.object["metadata"]["name"] == LEDGER => self.ledger_changed(after, stats),
                _ => {}
            }
        }
    }

    /// Lines for the trace.
    pub fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    fn note(&mut self, line: String) {
        self.lines.push(line);
    }

    /// The first violation counts.
    pub fn violated(&mut self, invariant: &'static str, what: impl Into<String>) {
        if self.violation.is_none() {
            let violation = Violation { invariant, what: what.into() };
            self.lines.push(format!("VIOLATED {violation}"));
            self.violation = Some(violation);
        }
    }

    /// By how much two replicas' clocks may differ.
    fn skews(&self) -> SignedDuration {
        SignedDuration::try_from(self.plan.skew * 2).unwrap_or_default() + SignedDuration::from_secs(1)
    }

    fn lease_changed(&mut self, after: Option<&serde_json::Value>, stats: &mut Stats) {
        let field = |name: &str| after.and_then(|lease| lease["spec"][name].as_str()).unwrap_or_default().to_owned();
        let holder = (field("holderIdentity"), field("acquireTime"));
        if holder == self.holder {
            return;
        }
        self.term += 1;
        let before = std::mem::replace(&mut self.holder, holder);
        let (before, holder) = (before.0, &self.holder.0);
        if before == *holder {
            return;
        }
        match (before.is_empty(), holder.is_empty()) {
            (false, false) => {
                stats.count("protections", "LeadersWait");
                stats.count("leaders", "took an expired lease");
            }
            (true, false) => stats.count("leaders", "took a lease that was free"),
            (false, true) if after.is_some() => stats.count("leaders", "gave the lease back"),
            _ => stats.count("leaders", "lost the lease, as it was deleted"),
        }
        let line = format!("lease: {before} -> {holder}");
        self.note(line);
    }

    /// The invariants that hold once everything has settled.
    pub fn settled(&mut self) {
        let open: Vec<String> =
            self.records.values().filter(|record| record.is_open()).map(Record::to_string).collect();
        if !open.is_empty() {
            self.violated("every remediation ends", open.join("; "));
        }
    }

    /// Whether a record is open.
    pub fn is_any_open(&self) -> bool {
        self.records.values().any(Record::is_open)
    }

    /// How many records there are.
    pub fn records(&self) -> usize {
        self.records.values().filter(|record| record.gone.is_none()).count()
    }

    /// Records by phase, actions.
    pub fn sum_up(&self, stats: &mut Stats) {
        for record in self.records.values() {
            let phase = record.status.phase.as_str();
            let reason = record.status.reason.map(paramedic::api::Reason::as_str).unwrap_or_default();
            stats.count("records", &format!("{phase}{}{reason}", if reason.is_empty() { "" } else { "/" }));
        }
        for effect in &self.effects {
            stats.count("actions", effect.action);
        }
    }
}

/// Counts what guards were seen at work.
fn count_guards(sent: &Sent, met: &Met, code: u16, stats: &mut Stats) {
    let words = sent.words();
    if code == 409 && sent.method == "POST" && words.last() == Some(&"remediations") {
        stats.count("protections", "Dedupe");
    }
    if code == 409 && sent.method == "PUT" && words.last() == Some(&"status") && words.contains(&"remediations") {
        stats.count("protections", "CompareAndSwap");
    }
    if met.is_another() && code >= 400 {
        stats.count("protections", "Uid");
    }
}
