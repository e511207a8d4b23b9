//! What is known about an alert, from what its Alertmanagers, its rules' evaluations and its notices say. Pure.

mod rules;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub use rules::{Evaluated, RulesAnswer};
pub(super) use rules::{after_acting, before_acting, evaluated, query_now, quiet_for, rule_about_subject, same_labels};

use super::world::Evidence;
use crate::{
    alert::{Fingerprint, Labels},
    api::{AlertPhase, RemediationSpec, RemediationStatus},
    clients::{PeerAlert, PeerState},
    target::named,
};

/// What one Alertmanager answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAnswer {
    /// Its URL, for messages.
    pub url: String,
    /// The alerts it knows, or why it did not answer.
    pub alerts: Result<Vec<PeerAlert>, String>,
    /// When it was started; only then is what it does not know over.
    pub started_at: Option<Timestamp>,
    /// How long after its start it has been told all that fires.
    pub resend_interval: Duration,
}

/// Whether the alerts that `counts` picks fire, by what every peer says.
///
/// One peer that knows such an alert is enough to know that it fires. That it does not, takes all of them, each of them
/// up for long enough to have been told.
pub fn asked(peers: &[PeerAnswer], counts: impl Fn(&PeerAlert) -> bool, now: Timestamp) -> Evidence {
    if peers.is_empty() {
        return Evidence::Unasked;
    }
    let known = || peers.iter().filter_map(|peer| peer.alerts.as_ref().ok()).flatten().filter(|alert| counts(alert));
    if known().any(|alert| alert.state == PeerState::Active) {
        return Evidence::Firing;
    }
    for alert in known() {
        if let PeerState::Suppressed(by) = &alert.state {
            return Evidence::Suppressed(format!("the alert is {by}"));
        }
    }
    for peer in peers {
        if let Err(error) = &peer.alerts {
            return Evidence::Unknown(error.clone());
        }
        let resend = SignedDuration::try_from(peer.resend_interval).unwrap_or(SignedDuration::MAX);
        let up = peer.started_at.map(|started_at| now.duration_since(started_at));
        if up.is_none_or(|up| up < resend) {
            let url = &peer.url;
            return Evidence::Unknown(format!(
                "{url} does not know the alert, but has not been up for its resendInterval of {}s yet",
                resend.as_secs()
            ));
        }
    }
    Evidence::Clear { confirmed: true }
}

/// What the notices alone say, where nobody can be asked: the resolved one, or a firing one that is young enough.
pub fn told(spec: &RemediationSpec, status: &RemediationStatus, max_age: Duration, now: Timestamp) -> Evidence {
    let alert = status.alert.as_ref();
    if alert.is_some_and(|alert| alert.state == AlertPhase::Resolved) {
        return Evidence::Clear { confirmed: false };
    }
    let last_seen = alert.map_or(spec.alert.received_at, |alert| alert.last_seen);
    let age = now.duration_since(last_seen);
    if age <= SignedDuration::try_from(max_age).unwrap_or(SignedDuration::MAX) {
        return Evidence::Firing;
    }
    // Not how long ago that is: what a wait says is written anew where it differs.
    let at = last_seen.round(jiff::Unit::Second).unwrap_or(last_seen);
    Evidence::Unknown(format!(
        "the alert was last heard of at {at}, longer ago than evidenceMaxAge, and nobody can be asked"
    ))
}

/// What the notices alone say after an action. A firing one counts where it came after the action and names an object
/// that lives; where nothing was said, nobody can be asked.
pub fn told_after(
    spec: &RemediationSpec,
    status: &RemediationStatus,
    subject: &LivingSubject,
    acted_at: Timestamp,
) -> Evidence {
    match &status.alert {
        Some(alert) if alert.state == AlertPhase::Resolved => Evidence::Clear { confirmed: false },
        Some(alert) if alert.last_seen > acted_at && subject.is_named_by(spec, &spec.alert.labels) => Evidence::Firing,
        _ => Evidence::Unasked,
    }
}

/// Picks the alert of a record, for [`asked`].
pub fn same_alert(fingerprint: Fingerprint) -> impl Fn(&PeerAlert) -> bool {
    move |alert| alert.fingerprint == fingerprint
}

/// Picks, for [`asked`], the alerts of a record's policy that name a living object of its subject, and are the record's
/// own or began after its action. Older alerts of siblings have records of their own; series of pods that are gone say
/// nothing about those that live.
pub fn about_subject<'a>(
    spec: &'a RemediationSpec,
    subject: &'a LivingSubject,
    acted_at: Timestamp,
) -> impl Fn(&PeerAlert) -> bool + 'a {
    move |alert| {
        let own = alert.fingerprint == spec.alert.fingerprint;
        let of_policy = || spec.matchers.iter().all(|matcher| matcher.matches(&alert.labels));
        (own || (alert.starts_at > acted_at && of_policy())) && subject.is_named_by(spec, &alert.labels)
    }
}

/// The living objects of a subject, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivingSubject {
    /// The namespace.
    pub namespace: String,
    /// The subject's own name.
    pub name: String,
    /// The names of its pods.
    pub pods: Vec<String>,
}

impl LivingSubject {
    /// Whether an alert names one of them, by the labels of the policy's target.
    pub fn is_named_by(&self, spec: &RemediationSpec, labels: &Labels) -> bool {
        let Ok(named) = named(labels, spec.target.kind) else { return false };
        let is_pod = spec.target.kind == crate::api::TargetKind::Pod;
        let living = if is_pod { self.pods.contains(&named.name) } else { self.name == named.name };
        named.namespace == self.namespace && living
    }
}

#[cfg(test)]
mod tests;
