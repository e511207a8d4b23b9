//! Tells the cluster what was decided and done: Events on the target, and on the record.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use tokio::sync::mpsc;
use tracing::warn;

use super::approval;
use crate::{
    api::{Phase, Reason, Remediation, RemediationStatus},
    clock::Clock,
};

/// So many Events wait to be written; more are dropped, with a line in the log. An Event is news, not the record.
const QUEUE: usize = 256;
/// What is said again so soon after the last time is counted on the same Event.
const SERIES: SignedDuration = SignedDuration::from_mins(6);
/// So much a note may say; the API takes 1 kB.
const NOTE: usize = 1000;
/// How long the API has for one.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Says what was decided. Cheap to clone; never waits.
#[derive(Clone)]
pub struct Announcer {
    queue: mpsc::Sender<News>,
}

/// Writes what was announced. Not kube's recorder, which asks the machine for the time.
pub struct Publisher {
    client: Client,
    instance: String,
    clock: Clock,
    queue: mpsc::Receiver<News>,
    /// What was said lately, each with the Event that says it.
    said: BTreeMap<Said, Event>,
}

/// What is to be told.
struct News {
    type_: &'static str,
    reason: String,
    action: String,
    note: String,
    regarding: ObjectReference,
    related: ObjectReference,
}

/// What makes two Events one series: type, reason, action, and the UIDs of the two objects.
type Said = (&'static str, String, String, Option<String>, Option<String>);

/// The two ends; `instance` is who reports.
pub fn announcer(client: Client, instance: &str, clock: Clock) -> (Announcer, Publisher) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let publisher = Publisher { client, instance: instance.to_owned(), clock, queue, said: BTreeMap::new() };
    (Announcer { queue: sender }, publisher)
}

impl Announcer {
    /// Announces a transition: on the target where there is one, with the record beside it.
    pub fn announce(&self, record: &Remediation, before: &RemediationStatus, after: &RemediationStatus) {
        let Some(news) = news(record, before, after) else { return };
        if self.queue.try_send(news).is_err() {
            warn!("an Event was dropped: too many wait to be written");
        }
    }
}

impl Publisher {
    /// Writes Events until nobody can announce any more.
    pub async fn run(mut self) {
        while let Some(news) = self.queue.recv().await {
            match tokio::time::timeout(WRITE_TIMEOUT, self.publish(news)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "an Event was not written"),
                Err(_) => warn!("an Event was not written in time"),
            }
        }
    }

    async fn publish(&mut self, news: News) -> kube::Result<()> {
        let now = self.clock.now();
        self.said.retain(|_, event| now.duration_since(last_said(event)) < SERIES);
        let api: Api<Event> =
            Api::namespaced(self.client.clone(), news.regarding.namespace.as_deref().unwrap_or("default"));
        let key = news.key();
        let event = if let Some(known) = self.said.get(&key) {
            let count = known.series.as_ref().map_or(1, |series| series.count).saturating_add(1);
            let series = EventSeries { count, last_observed_time: MicroTime(now) };
            let event = Event { series: Some(series), ..known.clone() };
            api.patch(&event.name_any(), &PatchParams::default(), &Patch::Merge(&event)).await?;
            event
        } else {
            let event = news.event(&self.instance, now);
            api.create(&PostParams::default(), &event).await?;
            event
        };
        self.said.insert(key, event);
        Ok(())
    }
}

fn last_said(event: &Event) -> Timestamp {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    series.or(event.event_time.as_ref().map(|time| time.0)).unwrap_or(Timestamp::MIN)
}

impl News {
    fn key(&self) -> Said {
        let (regarding, related) = (self.regarding.uid.clone(), self.related.uid.clone());
        (self.type_, self.reason.clone(), self.action.clone(), regarding, related)
    }

    fn event(self, instance: &str, now: Timestamp) -> Event {
        let name = self.regarding.name.as_deref().unwrap_or("paramedic");
        Event {
            metadata: ObjectMeta {
                // As client-go names them. Chance tells two of the same moment apart.
                name: Some(format!("{name}.{:x}{:04x}", now.as_microsecond(), fastrand::u16(..))),
                namespace: self.regarding.namespace.clone(),
                ..ObjectMeta::default()
            },
            action: Some(self.action),
            event_time: Some(MicroTime(now)),
            note: Some(self.note),
            reason: Some(self.reason),
            regarding: Some(self.regarding),
            related: Some(self.related),
            reporting_controller: Some("paramedic".to_owned()),
            reporting_instance: Some(instance.to_owned()),
            type_: Some(self.type_.to_owned()),
            ..Event::default()
        }
    }
}

/// What a transition is told as; looks and repeats are not.
fn news(record: &Remediation, before: &RemediationStatus, after: &RemediationStatus) -> Option<News> {
    let type_ = match after.phase {
        Phase::Failed => "Warning",
        // The next step, and somebody's consent, are news; another look is none.
        Phase::Pending if before.phase != Phase::Verifying && after.reason != Some(Reason::Approved) => return None,
        _ => "Normal",
    };
    let reason = match (after.phase, after.reason) {
        (Phase::Acting, _) => "Remediating".to_owned(),
        (Phase::Verifying, _) => "Remediated".to_owned(),
        (Phase::Observing, _) => "WouldRemediate".to_owned(),
        (Phase::AwaitingApproval, _) => "AwaitingApproval".to_owned(),
        (phase, None) => phase.as_str().to_owned(),
        (phase, Some(reason)) => format!("{}{}", phase.as_str(), reason.as_str()),
    };
    let alert = record.spec.alert.labels.alertname().unwrap_or("an alert");
    let what = match after.phase {
        Phase::Acting | Phase::Verifying => after.plan.clone(),
        _ => after.message.clone(),
    };
    let note = format!(
        "{}: {} (policy {}, alert {alert})",
        after.phase.as_str(),
        what.unwrap_or_default(),
        record.spec.policy
    );
    let note = match (after.phase, approval::command(record)) {
        (Phase::AwaitingApproval, Some(command)) => how_to_approve(&note, &command),
        _ => note,
    };
    let own = record.object_ref(&());
    let regarding = after.target.as_ref().map_or_else(
        || own.clone(),
        |target| ObjectReference {
            api_version: Some(target.api_version.clone()),
            kind: Some(target.kind.clone()),
            namespace: Some(target.namespace.clone()),
            name: Some(target.name.clone()),
            uid: Some(target.uid.clone()),
            ..ObjectReference::default()
        },
    );
    Some(News {
        type_,
        reason,
        note: note.chars().take(NOTE).collect(),
        action: after.journal.last().map_or_else(|| "Decide".to_owned(), |entry| entry.action.clone()),
        regarding,
        related: own,
    })
}

/// What an Event says about a plan, with a command to be pasted. Half a command is worse than none.
fn how_to_approve(note: &str, command: &str) -> String {
    let whole = format!("{note}; to approve: {command}");
    if whole.len() <= NOTE {
        return whole;
    }
    format!("{note}; how to approve is in docs/operations.md: its names are too long for an Event")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_into_an_event() {
        let longest = format!("{}{}", Phase::Superseded.as_str(), Reason::PolicyUnavailable.as_str());
        assert!(longest.len() <= 128, "{longest}");
    }
}
