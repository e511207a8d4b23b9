//! Makes what triage decides durable: creates records, and writes what an alert's notices say into those there are.
//!
//! Runs on every replica. It answers only for what the API server has confirmed.

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tracing::{debug, info, warn};

use super::{RecordCache, RecordIndex};
use crate::{
    action::is_denied,
    alert::{Alert, AlertState, BodyError, Fingerprint, Notification},
    api::{AlertPhase, AlertStatus, GROUP, ObjectKey, Remediation, VERSION},
    audit::{Audit, Event, What},
    clock::Clock,
    policy::PolicyStore,
    protections::{Protection, Protections},
    server::{
        health::{CACHES, RUNNING, Readiness},
        intake::{AlertOutcome, Intake, NotReady, Outcome, Report},
        sources::Source,
    },
    telemetry::{
        Metrics, TraceContext, Traces, chain,
        metrics::ApiErrorReason,
        traces::{SpanKind, SpanStatus},
    },
    triage::{Decision, Delivery, KnownRecords, Match, Newest, PolicyKey, Rules, SourceScope, triage, unseen},
};

/// So many requests to the API are under way for one notification at a time.
const PARALLEL: usize = 16;

/// So many alerts of a notification have a span of their own; a notification may have ten thousand.
const MOST_TRIAGED: usize = 100;

/// Writes `status.alert`, and nothing else.
const FIELD_MANAGER: &str = "paramedic-intake";

/// Takes in notifications, and what polls find. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    /// A client that does not retry by itself: the sender does.
    pub client: Client,
    /// The policies in force.
    pub policies: Arc<PolicyStore>,
    /// What is on record.
    pub records: Arc<RecordCache>,
    /// Whether that is known, and whether this process goes on.
    pub readiness: Readiness,
    /// The time.
    pub clock: Clock,
    /// Counts what the API refuses.
    pub metrics: Arc<Metrics>,
    /// Is told of each record.
    pub audit: Audit,
    /// Where spans are told of.
    pub traces: Traces,
    /// Paramedic's own namespace.
    pub own_namespace: String,
    /// How many open records a policy may have.
    pub open_per_policy: usize,
    /// What guards against doing harm.
    pub protections: Protections,
    /// Told when a sender says that it left alerts out.
    pub lost: watch::Sender<()>,
}

/// What one match asks for.
enum Step {
    Nothing(Written),
    Create(Box<Remediation>),
    Alert(ObjectKey, Outcome, Notice),
    /// It may be on record, though nothing here says so.
    LookUp(ObjectKey, Notice),
}

/// What a notice says about a record's alert.
#[derive(Clone)]
struct Notice {
    status: AlertStatus,
    /// When what it says fires or has ended began.
    starts_at: Timestamp,
}

/// What one match came to.
struct Written {
    outcome: Outcome,
    detail: Option<String>,
    key: Option<ObjectKey>,
}

impl Recorder {
    /// What is to be written for an alert; mostly nothing.
    fn decide(
        &self,
        source: &Source,
        alert: &Alert,
        known: &mut WithThisBody<'_>,
        delivery: Delivery,
        now: Timestamp,
    ) -> Vec<Step> {
        let Some(ends_at) = alert.ends_at.filter(|_| alert.state == AlertState::Resolved) else {
            return self.firing(source, alert, known, delivery, now);
        };
        let over = AlertStatus { state: AlertPhase::Resolved, last_seen: alert.starts_at, ends_at: Some(ends_at) };
        let notice = Notice { status: over, starts_at: alert.starts_at };
        let open = self.records.index().resolved_by(&source.name, alert.fingerprint, ends_at).into_iter();
        let open = open.map(|open| Step::Alert(open.key, Outcome::Resolved, notice.clone()));
        // The record may have been made by another replica a moment ago. One name a policy is asked for.
        let scope = SourceScope { name: &source.name, namespaces: &source.namespaces };
        let unseen = unseen(alert, scope, &self.policies.current(), known, &self.own_namespace, now).into_iter();
        open.chain(unseen.map(|key| Step::LookUp(key, notice.clone()))).collect()
    }

    fn firing(
        &self,
        source: &Source,
        alert: &Alert,
        known: &mut WithThisBody<'_>,
        delivery: Delivery,
        now: Timestamp,
    ) -> Vec<Step> {
        let policies = self.policies.current();
        let scope = SourceScope { name: &source.name, namespaces: &source.namespaces };
        let rules = Rules { own_namespace: &self.own_namespace, open_per_policy: self.open_per_policy, delivery };
        let nothing = |outcome, detail| Step::Nothing(Written { outcome, detail, key: None });
        let Decision::Matches(matches) = triage(alert, scope, &policies, known, rules, now) else {
            return vec![nothing(Outcome::OwnAlert, None)];
        };
        let steps = matches.into_iter().map(|matched| match matched {
            Match::Create(mut record) => {
                if !known.dedupe {
                    record.metadata.name = Some(format!("{}-{:08x}", record.spec.policy.name, fastrand::u32(..)));
                }
                *known.created.entry(PolicyKey::from(&record.spec.policy)).or_default() += 1;
                Step::Create(record)
            }
            Match::Known { key, refresh: false } => {
                Step::Nothing(Written { outcome: Outcome::Known, detail: None, key: Some(key) })
            }
            Match::Known { key, refresh: true } => {
                let seen = AlertStatus { state: AlertPhase::Firing, last_seen: now, ends_at: None };
                Step::Alert(key, Outcome::Known, Notice { status: seen, starts_at: alert.starts_at })
            }
            Match::OverCap(policy) => {
                debug!(%policy, alert = alert.labels.alertname(), "the policy has as many open records as it may");
                let detail = format!("policy {policy} has {} open records, as many as it may", self.open_per_policy);
                nothing(Outcome::OverCap, Some(detail))
            }
            Match::NotPermitted(policy) => {
                let detail = format!("source {} may not touch any namespace of policy {policy}", source.name);
                nothing(Outcome::Refused, Some(detail))
            }
        });
        steps.collect()
    }

    async fn write(&self, step: Step, within: Option<TraceContext>, deadline: Instant) -> Written {
        match step {
            Step::Nothing(written) => written,
            Step::Create(record) => self.create_traced(*record, within, deadline).await,
            Step::Alert(key, outcome, notice) => self.write_alert(key, outcome, &notice, deadline).await,
            Step::LookUp(key, notice) => self.look_up(key, &notice, deadline).await,
        }
    }

    /// What the sender is told: what is so.
    fn as_told(&self, written: Written) -> Written {
        if written.outcome == Outcome::NotDurable && !self.protections.hold(Protection::DurableAnswer) {
            return Written { outcome: Outcome::Created, ..written };
        }
        written
    }

    /// Creates a record that says in which trace that was.
    async fn create_traced(&self, mut record: Remediation, within: Option<TraceContext>, deadline: Instant) -> Written {
        let Some(begun) = self.traces.below(within) else { return self.create(record, deadline).await };
        record.spec.traceparent = Some(begun.context.to_string());
        let policy = record.spec.policy.to_string();
        let written = self.create(record, deadline).await;
        let key = written.key.as_ref();
        let span = self.traces.end(begun, "create Remediation").of_kind(SpanKind::Client);
        let span = span
            .with("paramedic.policy", &policy)
            .with("paramedic.remediation.namespace", key.map(|key| key.namespace.as_str()))
            .with("paramedic.remediation.name", key.map(|key| key.name.as_str()))
            .with("paramedic.outcome", written.outcome.as_str());
        let status = match written.outcome {
            Outcome::NotDurable | Outcome::Refused => SpanStatus::badly(written.detail.as_deref().unwrap_or_default()),
            _ => SpanStatus::Unset,
        };
        self.traces.tell(span.ending(status));
        written
    }

    async fn create(&self, record: Remediation, deadline: Instant) -> Written {
        let key = ObjectKey::of(&record);
        let api: Api<Remediation> = Api::namespaced(self.client.clone(), &key.namespace);
        match timeout_at(deadline, api.create(&PostParams::default(), &record)).await {
            Ok(Ok(created)) => {
                info!(remediation = %key, policy = %record.spec.policy, alert = record.spec.alert.labels.alertname(),
                    trace = record.spec.trace_id(), "recorded");
                if self.audit.is_on() {
                    self.audit.note(Event::Recorded {
                        what: What::of(&created),
                        source: created.spec.source.clone(),
                        fingerprint: created.spec.alert.fingerprint.to_string(),
                        episode: created.spec.episode,
                    });
                }
                self.records.put(created);
                if !self.records.index().contains(&key) {
                    return not_durable(key, "the record was deleted as soon as it was made");
                }
                Written { outcome: Outcome::Created, detail: None, key: Some(key) }
            }
            // Another replica was first, an earlier answer was lost, or the cache here lags behind.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 && status.reason == "AlreadyExists" => {
                self.existing(api, key, deadline).await
            }
            Ok(Err(error)) if is_final(&error) => {
                self.metrics.api_error("create", ApiErrorReason::of(&error));
                warn!(remediation = %key, %error, "the API refuses the record for good");
                Written { outcome: Outcome::Refused, detail: Some(error.to_string()), key: Some(key) }
            }
            Ok(Err(error)) => {
                self.metrics.api_error("create", ApiErrorReason::of(&error));
                not_durable(key, &chain(&error))
            }
            Err(_) => {
                self.metrics.api_error("create", ApiErrorReason::NoAnswer);
                not_durable(key, "the API did not answer in time")
            }
        }
    }

    /// A record of that name is there. An open one speaks for the alert; one that has ended says that the cache here was
    /// behind: it is caught up, and the sender comes again to be decided about anew.
    async fn existing(&self, api: Api<Remediation>, key: ObjectKey, deadline: Instant) -> Written {
        match timeout_at(deadline, api.get_opt(&key.name)).await {
            Ok(Ok(Some(record))) => {
                let ended = record.status.as_ref().is_some_and(|status| status.phase.is_terminal());
                self.records.put(record);
                if ended {
                    return not_durable(key, "a record of that name has ended already; what is known here was behind");
                }
                if !self.records.index().contains(&key) {
                    return not_durable(key, "the record was there, and is gone");
                }
                Written { outcome: Outcome::Known, detail: None, key: Some(key) }
            }
            Ok(Ok(None)) => not_durable(key, "the record was there, and is gone"),
            Ok(Err(error)) => {
                self.metrics.api_error("get", ApiErrorReason::of(&error));
                not_durable(key, &chain(&error))
            }
            Err(_) => not_durable(key, "the API did not answer in time"),
        }
    }

    /// Writes that an alert is over into a record that only the API may know of. Where it knows of none, nothing is to be
    /// closed; what it knows to have ended shows how far behind the cache here is.
    async fn look_up(&self, key: ObjectKey, notice: &Notice, deadline: Instant) -> Written {
        let api: Api<Remediation> = Api::namespaced(self.client.clone(), &key.namespace);
        match timeout_at(deadline, api.get_opt(&key.name)).await {
            Ok(Ok(None)) => Written { outcome: Outcome::Resolved, detail: None, key: None },
            Ok(Ok(Some(record))) => {
                let ended = record.status.as_ref().is_some_and(|status| status.phase.is_terminal());
                let closes = notice.status.ends_at.is_some_and(|ends_at| record.spec.alert.starts_at <= ends_at);
                self.records.put(record);
                if ended {
                    return not_durable(key, "a record of that name has ended already; what is known here was behind");
                }
                if !closes {
                    return Written { outcome: Outcome::Resolved, detail: None, key: None };
                }
                self.write_alert(key, Outcome::Resolved, notice, deadline).await
            }
            Ok(Err(error)) => {
                self.metrics.api_error("get", ApiErrorReason::of(&error));
                not_durable(key, &chain(&error))
            }
            Err(_) => {
                self.metrics.api_error("get", ApiErrorReason::NoAnswer);
                not_durable(key, "the API did not answer in time")
            }
        }
    }

    /// Writes what the alert's sender says now. `lastSeen` and `endsAt` only grow; the record's resourceVersion goes
    /// along, so that what a newer notice said is not written over.
    async fn write_alert(&self, key: ObjectKey, outcome: Outcome, notice: &Notice, deadline: Instant) -> Written {
        let api: Api<Remediation> = Api::namespaced(self.client.clone(), &key.namespace);
        let (mut version, mut known) = self.records.index().alert(&key);
        for _ in 0..5 {
            let Some(alert) = merged(known.as_ref(), notice) else {
                return Written { outcome, detail: None, key: Some(key) };
            };
            let patch = Patch::Apply(json!({
                "apiVersion": format!("{GROUP}/{VERSION}"),
                "kind": "Remediation",
                "metadata": { "name": key.name, "namespace": key.namespace, "resourceVersion": version },
                "status": { "alert": alert },
            }));
            let params = PatchParams::apply(FIELD_MANAGER).force();
            let error = match timeout_at(deadline, api.patch_status(&key.name, &params, &patch)).await {
                Err(_) => return not_durable(key, "the API did not answer in time"),
                Ok(Ok(written)) => {
                    self.records.put(written);
                    return Written { outcome, detail: None, key: Some(key) };
                }
                Ok(Err(error)) => error,
            };
            let conflict = matches!(&error, kube::Error::Api(status) if status.code == 409);
            self.metrics.api_error("patch", ApiErrorReason::of(&error));
            if !conflict {
                return match error {
                    kube::Error::Api(status) if is_missing(&status, &key) => self.without_record(key, outcome, notice),
                    kube::Error::Api(status) if status.code == 404 => not_durable(key, &status.message),
                    error if is_final(&error) => {
                        Written { outcome: Outcome::Refused, detail: Some(error.to_string()), key: Some(key) }
                    }
                    error => not_durable(key, &chain(&error)),
                };
            }
            match timeout_at(deadline, api.get_opt(&key.name)).await {
                Err(_) => return not_durable(key, "the API did not answer in time"),
                Ok(Err(error)) => return not_durable(key, &error.to_string()),
                Ok(Ok(None)) => return self.without_record(key, outcome, notice),
                Ok(Ok(Some(current))) => {
                    version.clone_from(&current.metadata.resource_version);
                    known = current.status.as_ref().and_then(|status| status.alert.clone());
                    let ended = current.status.as_ref().is_some_and(|status| status.phase.is_terminal());
                    self.records.put(current);
                    // What fires now may be another episode than the one that has ended.
                    if ended && notice.status.state == AlertPhase::Firing {
                        return not_durable(key, "the record has ended meanwhile; what is known here was behind");
                    }
                    if ended {
                        return Written { outcome, detail: None, key: Some(key) };
                    }
                }
            }
        }
        not_durable(key, "the record changed too often to be written")
    }

    /// The record was deleted. There is nothing left to close; but what fires needs another one, for which its sender
    /// comes again.
    fn without_record(&self, key: ObjectKey, outcome: Outcome, notice: &Notice) -> Written {
        self.records.is_gone(&key);
        match notice.status.state {
            AlertPhase::Firing => not_durable(key, "its record was deleted"),
            AlertPhase::Resolved => Written { outcome, detail: None, key: Some(key) },
        }
    }
}

/// Whether a 404 speaks of the record, and not of its kind.
fn is_missing(status: &kube::core::Status, key: &ObjectKey) -> bool {
    status.code == 404 && status.details.as_ref().is_some_and(|details| details.name == key.name)
}

/// What is written where that is known; `None` where it says all that the notice does.
///
/// Notices come late and twice. One that says what began before the end that is known fires, or that it ended no later
/// than that, is such a duplicate, whenever it arrives; so a later end stays on record when the alert fires anew.
fn merged(known: Option<&AlertStatus>, notice: &Notice) -> Option<AlertStatus> {
    let new = &notice.status;
    let Some(known) = known else { return Some(new.clone()) };
    let speaks_of = match new.state {
        AlertPhase::Firing => Some(notice.starts_at),
        AlertPhase::Resolved => new.ends_at,
    };
    let duplicate = speaks_of.zip(known.ends_at).is_some_and(|(at, end)| at <= end);
    let merged = AlertStatus {
        state: new.state,
        last_seen: known.last_seen.max(new.last_seen),
        ends_at: known.ends_at.max(new.ends_at),
    };
    (!duplicate && merged != *known).then_some(merged)
}

/// Whether an answer will be the same at the next try: the record is invalid, its namespace is missing or being deleted,
/// a quota is full, admission denies it.
///
/// Not every 403 and 404 is: see [`is_denied`], and a kind whose definition is being replaced is not known.
fn is_final(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let details = status.details.as_ref();
    match status.code {
        400 | 413 | 415 | 422 => true,
        403 => is_denied(status),
        404 => details.is_some_and(|details| details.kind == "namespaces"),
        _ => false,
    }
}

fn not_durable(key: ObjectKey, why: &str) -> Written {
    warn!(remediation = %key, why, "not durable yet; the sender is told to come again");
    Written { outcome: Outcome::NotDurable, detail: Some(why.to_owned()), key: Some(key) }
}

impl Intake for Recorder {
    fn ready(&self) -> Result<(), NotReady> {
        self.readiness.check(RUNNING).map_err(|_| NotReady::ShuttingDown)?;
        self.readiness.check(CACHES).map_err(|_| NotReady::CachesNotSynced)
    }

    fn traces(&self) -> Traces {
        self.traces.clone()
    }

    async fn accept(
        &self,
        source: &Source,
        notification: Notification,
        within: Option<TraceContext>,
        deadline: Instant,
    ) -> Report {
        if notification.truncated > 0 {
            self.lost.send_replace(());
        }
        let report = self.take(source, &notification.alerts, Delivery::Webhook, within, deadline).await;
        let over = report.outcomes.iter().filter(|alert| alert.outcome == Outcome::OverCap).count();
        if over > 0 {
            warn!(
                alerts = over,
                source = source.name,
                "not recorded: their policies have as many open records as they may"
            );
        }
        report
    }
}

impl Recorder {
    /// Takes in what polls of an Alertmanager that stands for this source have found to fire, until the deadline. What is
    /// not durable by then is found again.
    pub async fn take_polled(&self, source: &Source, alerts: Vec<Alert>, deadline: Instant) -> Report {
        let alerts: Vec<_> = alerts.into_iter().map(Ok).collect();
        let poll = if alerts.is_empty() { None } else { self.traces.begin_alone() };
        let report = self.take(source, &alerts, Delivery::Poll, poll.map(|begun| begun.context), deadline).await;
        if let Some(begun) = poll {
            let span = self.traces.end(begun, "poll").with("paramedic.source", &source.name);
            self.traces.tell(span.with("paramedic.alerts", alerts.len()));
        }
        report
    }

    async fn take(
        &self,
        source: &Source,
        alerts: &[Result<Alert, BodyError>],
        delivery: Delivery,
        within: Option<TraceContext>,
        deadline: Instant,
    ) -> Report {
        let now = self.clock.now();
        let dedupe = self.protections.hold(Protection::Dedupe);
        let mut known = WithThisBody { index: self.records.index(), created: HashMap::new(), dedupe };
        let mut outcomes = Vec::with_capacity(alerts.len());
        let (mut steps, mut triaged) = (Vec::new(), Vec::new());
        for (index, alert) in alerts.iter().enumerate() {
            let (fingerprint, outcome, detail) = match alert {
                Err(error) => (None, Outcome::Invalid, Some(error.to_string())),
                Ok(alert) => {
                    let begun = if triaged.len() < MOST_TRIAGED { self.traces.below(within) } else { None };
                    let decided = self.decide(source, alert, &mut known, delivery, now);
                    let below = begun.map_or(within, |begun| Some(begun.context));
                    triaged.extend(begun.map(|begun| (index, alert, self.traces.end(begun, "triage"))));
                    steps.extend(decided.into_iter().map(|step| (index, step, below)));
                    let nothing = if alert.state == AlertState::Firing { Outcome::NoMatch } else { Outcome::Resolved };
                    (Some(alert.fingerprint), nothing, None)
                }
            };
            outcomes.push(AlertOutcome { index, fingerprint, outcome, detail, remediations: Vec::new() });
        }
        let mut written = stream::iter(steps)
            .map(|(index, step, within)| async move { (index, self.write(step, within, deadline).await) })
            .buffered(PARALLEL);
        while let Some((index, written)) = written.next().await {
            let written = self.as_told(written);
            if let Some(outcome) = outcomes.get_mut(index) {
                add(outcome, written);
            }
        }
        for (index, alert, span) in triaged {
            let outcome = outcomes.get(index).map(|outcome| outcome.outcome.as_str());
            self.traces.tell(
                span.with("paramedic.alert.name", alert.labels.alertname())
                    .with("paramedic.alert.fingerprint", &alert.fingerprint.to_string())
                    .with("paramedic.outcome", outcome),
            );
        }
        Report { outcomes }
    }
}

/// What is on record, and what this body adds to it: its records are counted before they are created.
struct WithThisBody<'a> {
    index: &'a RecordIndex,
    created: HashMap<PolicyKey, usize>,
    /// Whether what is known counts.
    dedupe: bool,
}

impl KnownRecords for WithThisBody<'_> {
    fn newest(&self, policy: &PolicyKey, source: &str, fingerprint: Fingerprint) -> Option<Newest> {
        self.index.newest(policy, source, fingerprint).filter(|_| self.dedupe)
    }

    fn open(&self, policy: &PolicyKey) -> usize {
        self.index.open(policy) + self.created.get(policy).copied().unwrap_or_default()
    }
}

/// Of several matches the one speaks that asks most of the sender; every record is named.
fn add(alert: &mut AlertOutcome, written: Written) {
    if alert.remediations.is_empty() && alert.detail.is_none() || written.outcome > alert.outcome {
        alert.outcome = written.outcome;
        alert.detail = written.detail;
    }
    alert.remediations.extend(written.key.map(|key| key.to_string()));
}

#[cfg(test)]
mod tests;
