//! Tells people, through their own Alertmanager, that a remediation failed: `onFailure.alert` of a policy.
//!
//! What is to be told is found in the records alone, so that the next leader goes on where the last one stopped. The leader
//! sends each alert again and again; one that nobody sends any more is over by itself after [`ENDS_AFTER`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Evidence, Looker, RecordCache};
use crate::{
    alert::{RAISED_BY_LABEL, RAISED_BY_PARAMEDIC},
    api::{ObjectKey, Phase, Remediation},
    clients::RaisedAlert,
    telemetry::{Metrics, Outage},
    triage::{KnownRecords, Newest, PolicyKey},
};

/// The alert's name.
const ALERTNAME: &str = "ParamedicRemediationFailed";
/// For so long after its end a remediation is told of.
const TOLD_FOR: SignedDuration = SignedDuration::from_hours(24);
/// How often an alert is sent again.
const SEND_EVERY: Duration = Duration::from_secs(30);
/// How long an alert holds that is not sent again: a hand-over to the next leader takes a minute.
const ENDS_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// So many alerts are asked about at a time.
const PARALLEL: usize = 8;
/// Of a record's message so much is told, in characters.
const MOST_TEXT: usize = 1_000;

/// Whether people may have to be told of this record.
pub(super) fn concerns(record: &Remediation, now: Timestamp) -> bool {
    let status = record.status.as_ref().filter(|status| status.phase == Phase::Failed);
    let ended_at = status.and_then(|status| status.ended_at);
    record.spec.on_failure.is_some() && ended_at.is_some_and(|ended_at| now.duration_since(ended_at) < TOLD_FOR)
}

/// Whether it is over: nobody needs to look at what the record left any more. What cannot be told is not over.
fn is_over(record: &Remediation, newest: Option<&Newest>, evidence: &Evidence, now: Timestamp) -> bool {
    if !concerns(record, now) {
        return true;
    }
    match newest {
        // It was deleted.
        None => true,
        // The next episode has ended. If that failed too, it speaks for itself.
        Some(newest) if newest.key != ObjectKey::of(record) => newest.ended_at.is_some(),
        Some(_) => matches!(evidence, Evidence::Clear { .. }),
    }
}

/// The alert that tells of a record. Every episode of one trouble has the same labels, so that people are told once.
fn raised(record: &Remediation, now: Timestamp) -> Option<RaisedAlert> {
    let (spec, status) = (&record.spec, record.status.as_ref()?);
    let on_failure = spec.on_failure.as_ref()?;
    let about = status.target.as_ref().map(|target| target.namespace.clone());
    let named = || spec.alert.labels.get("namespace").map(str::to_owned);
    let failed_alert = spec.alert.labels.alertname().unwrap_or_default();
    let mut labels = on_failure.alert.labels.clone();
    labels.extend([
        ("alertname".to_owned(), ALERTNAME.to_owned()),
        (RAISED_BY_LABEL.to_owned(), RAISED_BY_PARAMEDIC.to_owned()),
        ("severity".to_owned(), on_failure.alert.severity.clone()),
        ("policy".to_owned(), spec.policy.to_string()),
        ("failed_alert".to_owned(), failed_alert.to_owned()),
        ("failed_fingerprint".to_owned(), spec.alert.fingerprint.to_string()),
    ]);
    labels.extend(about.or_else(named).map(|namespace| ("namespace".to_owned(), namespace)));
    // An empty label is none, and Alertmanager says so.
    labels.retain(|_, value| !value.is_empty());
    let key = ObjectKey::of(record);
    let reason = status.reason.map_or("Failed", crate::api::Reason::as_str);
    let message: String = status.message.clone().unwrap_or_default().chars().take(MOST_TEXT).collect();
    let target = status.subject.as_ref().or(status.target.as_ref()).map(|object| format!(" of {object}"));
    let annotations = BTreeMap::from([
        ("summary".to_owned(), format!("{failed_alert}{} was not remedied: {reason}", target.unwrap_or_default())),
        ("description".to_owned(), message),
        ("remediation".to_owned(), key.to_string()),
        ("runbook".to_owned(), format!("kubectl -n {} get remediation {} -o yaml", key.namespace, key.name)),
    ]);
    Some(RaisedAlert {
        labels,
        annotations,
        starts_at: status.ended_at?,
        ends_at: now.saturating_add(ENDS_AFTER).unwrap_or(now),
    })
}

/// The failed remediations that the leader knows of; none while this replica does not lead. Cheap to clone.
#[derive(Clone, Default)]
pub struct Escalations(Arc<Known>);

type Records = BTreeMap<ObjectKey, Arc<Remediation>>;

#[derive(Default)]
struct Known {
    records: Mutex<Option<Records>>,
    changed: Notify,
}

impl Escalations {
    /// Begins with what the records say.
    pub(super) fn begin<'a>(&self, records: impl IntoIterator<Item = &'a Remediation>, now: Timestamp) {
        let records = records.into_iter().filter(|record| concerns(record, now));
        *self.records() = Some(records.map(|record| (ObjectKey::of(record), Arc::new(record.clone()))).collect());
        self.0.changed.notify_one();
    }

    /// A record has ended.
    pub(super) fn ended(&self, record: &Remediation, now: Timestamp) {
        let mut records = self.records();
        if concerns(record, now)
            && let Some(records) = records.as_mut()
        {
            records.insert(ObjectKey::of(record), Arc::new(record.clone()));
            self.0.changed.notify_one();
        }
    }

    /// Another replica leads, and tells.
    pub(super) fn leave(&self) {
        *self.records() = None;
    }

    fn records(&self) -> MutexGuard<'_, Option<Records>> {
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the alerts.
pub struct Escalator {
    /// What is to be told.
    pub escalations: Escalations,
    /// Asks whether the trouble is over; its Alertmanagers are those that are told.
    pub looker: Looker,
    /// Which records there are.
    pub records: Arc<RecordCache>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// What was sent, by source and labels.
type Sent = BTreeMap<(String, BTreeMap<String, String>), RaisedAlert>;

impl Escalator {
    /// Tells until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let outage = Outage::of("telling people through Alertmanager that a remediation failed");
        let telling = async {
            let mut sent = Sent::new();
            loop {
                sent = self.round(sent, &outage).await;
                tokio::select! {
                    biased;
                    () = self.escalations.0.changed.notified() => {}
                    () = tokio::time::sleep(SEND_EVERY) => {}
                }
            }
        };
        stop.run_until_cancelled(telling).await;
    }

    /// Sends what is to be told, and once more what is over; gives what was sent.
    async fn round(&self, before: Sent, outage: &Outage) -> Sent {
        let known = self.escalations.records().as_ref().map(|records| records.values().cloned().collect::<Vec<_>>());
        let Some(known) = known else {
            // Another replica goes on with what this one told; that this one does not is no end of it.
            self.metrics.escalations(0);
            return Sent::new();
        };
        let asked = stream::iter(known).map(async |record| (self.is_over(&record).await, record));
        let judged: Vec<_> = asked.buffered(PARALLEL).collect().await;
        let now = self.looker.clock.now();
        let mut active = Sent::new();
        for (over, record) in judged {
            if over {
                if let Some(records) = self.escalations.records().as_mut() {
                    records.remove(&ObjectKey::of(record.as_ref()));
                }
            } else if let Some(alert) = raised(&record, now) {
                active.insert((record.spec.source.clone(), alert.labels.clone()), alert);
            }
        }
        self.metrics.escalations(active.len());
        let over = before.into_iter().filter(|(key, _)| !active.contains_key(key));
        let over: Sent = over.map(|(key, alert)| (key, RaisedAlert { ends_at: now, ..alert })).collect();
        self.send(active.iter().chain(&over), outage).await;
        active
    }

    async fn is_over(&self, record: &Remediation) -> bool {
        let (spec, status) = (&record.spec, record.status.clone().unwrap_or_default());
        let policy = PolicyKey::from(&spec.policy);
        let newest = self.records.index().newest(&policy, &spec.source, spec.alert.fingerprint);
        let evidence = self.looker.alert(spec, &status).await;
        is_over(record, newest.as_ref(), &evidence, self.looker.clock.now())
    }

    async fn send<'a>(
        &self,
        alerts: impl Iterator<Item = (&'a (String, BTreeMap<String, String>), &'a RaisedAlert)>,
        outage: &Outage,
    ) {
        let mut by_source: BTreeMap<&str, Vec<RaisedAlert>> = BTreeMap::new();
        for ((source, _), alert) in alerts {
            by_source.entry(source).or_default().push(alert.clone());
        }
        let mut problems = BTreeSet::new();
        for (source, alerts) in by_source {
            let peers = self.looker.monitors.get(source).map_or(&[][..], |monitors| &monitors.alertmanagers);
            if peers.is_empty() {
                problems.insert(format!("no Alertmanager is configured for source {source}"));
            }
            // Each of a cluster of peers is told: they do not tell each other of alerts.
            let told = futures::future::join_all(peers.iter().map(|peer| peer.raise(&alerts))).await;
            problems.extend(told.into_iter().filter_map(Result::err).map(|error| error.to_string()));
        }
        if problems.is_empty() {
            outage.works();
        } else {
            self.metrics.escalation_failure();
            outage.failed(&problems.into_iter().collect::<Vec<_>>().join("; "));
        }
    }
}

#[cfg(test)]
mod tests;
