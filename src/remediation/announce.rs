//! Tells the cluster what was decided and done: Events on the target, and on the record.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client, Resource,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::sync::mpsc;
use tracing::warn;

use crate::api::{Phase, Remediation, RemediationStatus};

/// So many Events wait to be written; more are dropped, with a line in the log. An Event is news, not the record.
const QUEUE: usize = 256;

/// Says what was decided. Cheap to clone; never waits.
#[derive(Clone)]
pub struct Announcer {
    queue: mpsc::Sender<(Event, ObjectReference)>,
}

/// Writes what was announced.
pub struct Publisher {
    recorder: Arc<Recorder>,
    queue: mpsc::Receiver<(Event, ObjectReference)>,
}

/// The two ends; `instance` is who reports.
pub fn announcer(client: Client, instance: &str) -> (Announcer, Publisher) {
    let reporter = Reporter { controller: "paramedic".to_owned(), instance: Some(instance.to_owned()) };
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Announcer { queue: sender }, Publisher { recorder: Arc::new(Recorder::new(client, reporter)), queue: receiver })
}

impl Announcer {
    /// Announces a transition: on the target where there is one, with the record beside it.
    pub fn announce(&self, record: &Remediation, before: &RemediationStatus, after: &RemediationStatus) {
        let Some(event) = event(record, before, after) else { return };
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
        if self.queue.try_send((event, regarding)).is_err() {
            warn!("an Event was dropped: too many wait to be written");
        }
    }
}

impl Publisher {
    /// Writes Events until nobody can announce any more.
    pub async fn run(mut self) {
        while let Some((event, regarding)) = self.queue.recv().await {
            let write = self.recorder.publish(&event, &regarding);
            match tokio::time::timeout(std::time::Duration::from_secs(5), write).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "an Event was not written"),
                Err(_) => warn!("an Event was not written in time"),
            }
        }
    }
}

/// What a transition is told as; looks and repeats are not.
fn event(record: &Remediation, before: &RemediationStatus, after: &RemediationStatus) -> Option<Event> {
    let type_ = match after.phase {
        Phase::Failed => EventType::Warning,
        Phase::Pending if before.phase != Phase::Verifying => return None,
        _ => EventType::Normal,
    };
    let reason = match (after.phase, after.reason) {
        (Phase::Acting, _) => "Remediating".to_owned(),
        (Phase::Verifying, _) => "Remediated".to_owned(),
        (Phase::Observing, _) => "WouldRemediate".to_owned(),
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
    Some(Event {
        type_,
        reason,
        note: Some(note.chars().take(1000).collect()),
        action: after.journal.last().map_or_else(|| "Decide".to_owned(), |entry| entry.action.clone()),
        secondary: Some(record.object_ref(&())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Reason;

    #[test]
    fn reasons_fit_into_an_event() {
        let longest = format!("{}{}", Phase::Superseded.as_str(), Reason::PolicyUnavailable.as_str());
        assert!(longest.len() <= 128, "{longest}");
    }
}
