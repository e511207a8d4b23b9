//! Reads the records, and waits for what they should say.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Api, ResourceExt, api::ListParams};
use paramedic::api::{ActionOutcome, Phase, Reason, Remediation, RemediationStatus};

use crate::{
    alerts::Alert,
    policies::Policy,
    story::Story,
    wait::{PATIENCE, until},
    world::PARAMEDIC,
};

/// The record of an alert under a policy, whether it exists yet or not.
#[derive(Clone)]
pub struct Record {
    story: Story,
    alert: Option<Alert>,
    policy: Policy,
    patience: Duration,
}

impl Story {
    /// The record of that alert under that policy.
    pub fn record(&self, alert: &Alert, policy: &Policy) -> Record {
        Record { story: self.clone(), alert: Some(alert.clone()), policy: policy.clone(), patience: PATIENCE }
    }

    /// The record of whatever alert the policy was the answer to: for alerts that Prometheus fires.
    pub fn record_under(&self, policy: &Policy) -> Record {
        Record { story: self.clone(), alert: None, policy: policy.clone(), patience: PATIENCE }
    }
}

impl Record {
    /// It may take longer than usual.
    pub fn patiently(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// All records of the alert under the policy, the oldest first.
    pub async fn all(&self) -> Result<Vec<Remediation>, String> {
        let namespace = if self.policy.cluster { PARAMEDIC } else { self.story.namespace.as_str() };
        let api: Api<Remediation> = self.story.world.api(namespace);
        let mut records = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        records.retain(|record| {
            let same = |alert: &Alert| record.spec.alert.labels.0 == alert.labels;
            record.spec.policy.name == self.policy.name && self.alert.as_ref().is_none_or(same)
        });
        records.sort_by_key(|record| record.spec.episode);
        Ok(records)
    }

    async fn newest(&self) -> Result<Remediation, String> {
        self.all().await?.pop().ok_or_else(|| "there is no record".to_owned())
    }

    /// Waits for the record.
    pub async fn written(&self) -> Remediation {
        until(self.patience, &format!("a record under {}", self.policy.name), || self.newest()).await
    }

    /// Waits until its status satisfies the condition; a record that ends otherwise is not waited for any longer.
    pub async fn comes_to(&self, what: &str, condition: impl Fn(&RemediationStatus) -> bool) -> Remediation {
        let what = format!("the record under {} {what}", self.policy.name);
        let found = until(self.patience, &what, || async {
            let record = self.newest().await?;
            let status = record.status.clone().unwrap_or_default();
            let good = condition(&status);
            if good || status.phase.is_terminal() { Ok((record, good)) } else { Err(say(&status)) }
        })
        .await;
        assert!(found.1, "{what}: it has ended otherwise: {}", say(&found.0.status.unwrap_or_default()));
        found.0
    }

    async fn is(&self, phase: Phase, reason: impl Into<Option<Reason>>) -> Remediation {
        let reason = reason.into();
        let because = reason.map(|reason| format!(" for {}", reason.as_str())).unwrap_or_default();
        let what = format!("is {}{because}", phase.as_str());
        self.comes_to(&what, |status| status.phase == phase && (reason.is_none() || status.reason == reason)).await
    }

    /// It waits, and says why.
    pub async fn waits_for(&self, reason: Reason) -> Remediation {
        explained(self.is(Phase::Waiting, reason).await)
    }

    /// It has ended without an action, and says why.
    pub async fn is_skipped_for(&self, reason: Reason) -> Remediation {
        explained(self.is(Phase::Skipped, reason).await)
    }

    /// It has a plan that somebody has to approve, and says which.
    pub async fn awaits_approval(&self) -> Remediation {
        explained(self.is(Phase::AwaitingApproval, Reason::ApprovalRequired).await)
    }

    /// It was stopped, and says by whom.
    pub async fn is_cancelled_for(&self, reason: Reason) -> Remediation {
        explained(self.is(Phase::Cancelled, reason).await)
    }

    /// It would have acted.
    pub async fn observes(&self) -> Remediation {
        self.is(Phase::Observing, None).await
    }

    /// It has done something: its journal says so.
    pub async fn acts(&self) -> Remediation {
        self.comes_to("acts", |status| status.journal.iter().any(|entry| entry.outcome == ActionOutcome::Done)).await
    }

    /// It has done so many things.
    pub async fn acts_times(&self, times: usize) -> Remediation {
        let done = |status: &RemediationStatus| {
            status.journal.iter().filter(|entry| entry.outcome == ActionOutcome::Done).count()
        };
        self.comes_to(&format!("acts {times} times"), |status| done(status) >= times).await
    }

    /// It has helped.
    pub async fn succeeds(&self) -> Remediation {
        self.is(Phase::Succeeded, None).await
    }

    /// It has failed, and says why.
    pub async fn fails_for(&self, reason: Reason) -> Remediation {
        explained(self.is(Phase::Failed, reason).await)
    }

    /// It has ended as a dry run.
    pub async fn ends_as_dry_run(&self) -> Remediation {
        self.is(Phase::DryRun, None).await
    }

    /// Its end, whatever it is.
    pub async fn ends(&self) -> Remediation {
        self.comes_to("ends", |status| status.phase.is_terminal()).await
    }
}

fn explained(record: Remediation) -> Remediation {
    let status = record.status.as_ref().expect("a record with a phase has a status");
    assert!(status.message.as_ref().is_some_and(|message| message.len() > 10), "no message: {}", say(status));
    record
}

/// A status in a line.
pub fn say(status: &RemediationStatus) -> String {
    let reason = status.reason.map(Reason::as_str).unwrap_or_default();
    let journal: Vec<String> =
        status.journal.iter().map(|entry| format!("{} {}", entry.action, entry.outcome.as_str())).collect();
    let message = status.message.as_deref().unwrap_or_default();
    format!("{} {reason} [{}] {message}", status.phase.as_str(), journal.join(", "))
}

/// The value of a record's condition Confirmed.
pub fn confirmed(record: &Remediation) -> Option<&str> {
    let conditions = &record.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == "Confirmed").map(|condition| condition.status.as_str())
}

/// Milliseconds from the alert's arrival to the record's first action: by the audit log where there is one, else by the
/// journal.
pub fn alert_to_action(story: &Story, record: &Remediation) -> Option<i128> {
    let journal = &record.status.as_ref()?.journal;
    let asked = story.world.audit.as_ref().and_then(|audit| Some(audit.pods_ended(&story.namespace).first()?.at));
    let acted: Timestamp = asked.or_else(|| journal.first().map(|entry| entry.started_at))?;
    Some(acted.duration_since(record.spec.alert.received_at).as_millis())
}

/// A record's name, for messages.
pub fn name(record: &Remediation) -> String {
    format!("{}/{}", record.namespace().unwrap_or_default(), record.name_any())
}
