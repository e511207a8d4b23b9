//! Which remediations an alert leads to. Pure.
//!
//! Takes an alert, the source that delivered it, the policies in force and what is known of earlier records; gives the
//! records to create, those that are already there, and the reasons where there is none.

mod mismatch;

use std::{cmp::Reverse, collections::BTreeMap};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

pub use self::mismatch::{MatcherVerdict, verdicts};
use crate::{
    alert::{Alert, Fingerprint, Labels, RAISED_BY_LABEL, RAISED_BY_PARAMEDIC},
    api::{
        AlertRecord, FINGERPRINT_LABEL, Mode, ObjectKey, POLICY_LABEL, PolicyKind, PolicyRef, Remediation,
        RemediationSpec, Sibling,
    },
    policy::{ALL_NAMESPACES, Policy, PolicySet, covers, digest},
};

/// An alert that still fires so long after its record ended begins a new one.
pub const STILL_FIRING: SignedDuration = SignedDuration::from_mins(10);

/// The same where the record was skipped for a reason that only people can take away, and its policy is what it was: as
/// long again as the alert has fired, up to this. Nobody is told the same every ten minutes, and what people mend is
/// acted on within the hour.
pub const STILL_REFUSED: SignedDuration = SignedDuration::from_hours(1);

/// How far a sender's clock may be ahead, so that an alert that began at a time that is still to come began at all.
pub const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(1);

/// How old `lastSeen` of an open record may be before a repeat of its alert is written down.
pub const REFRESH: SignedDuration = SignedDuration::from_mins(1);

/// What a credential's alerts may lead to.
#[derive(Clone, Copy, Debug)]
pub struct SourceScope<'a> {
    /// The source's name.
    pub name: &'a str,
    /// The namespaces that its alerts may lead to.
    pub namespaces: &'a [String],
}

/// What identifies a policy across its deletion and return: the name of a record is made of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PolicyKey {
    /// Its kind.
    pub kind: PolicyKind,
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl From<&PolicyRef> for PolicyKey {
    fn from(reference: &PolicyRef) -> Self {
        Self { kind: reference.kind, namespace: reference.namespace.clone(), name: reference.name.clone() }
    }
}

/// The newest record of a policy and an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its key.
    pub key: ObjectKey,
    /// Its episode.
    pub episode: u32,
    /// When the alert had begun that it was made for.
    pub starts_at: Timestamp,
    /// When it ended; `None` while it is open.
    pub ended_at: Option<Timestamp>,
    /// When its alert was said to have ended.
    pub resolved_at: Option<Timestamp>,
    /// When its alert was last said to fire, as far as that is on record.
    pub last_seen: Timestamp,
    /// The hash of the policy under which it was skipped for a reason that only people can take away; see
    /// [`Reason::lasts`](crate::api::Reason::lasts).
    pub refused_under: Option<String>,
    /// The hash of the policy under which it was cancelled because that policy changed.
    pub cancelled_under: Option<String>,
}

/// What is known of earlier records: a cache that may lag. A lagging one computes the name of a record that is there,
/// which the API then refuses.
pub trait KnownRecords {
    /// The newest record of this policy and this source's alert.
    fn newest(&self, policy: &PolicyKey, source: &str, fingerprint: Fingerprint) -> Option<Newest>;
    /// How many records of this policy are open.
    fn open(&self, policy: &PolicyKey) -> usize;
}

/// What becomes of one firing alert under one policy.
#[derive(Clone, Debug, PartialEq)]
pub enum Match {
    /// A record is to be created.
    Create(Box<Remediation>),
    /// It is on record already. `refresh`: `lastSeen` is to be written.
    Known {
        /// The record.
        key: ObjectKey,
        /// Whether `status.alert` is to be written.
        refresh: bool,
    },
    /// The policy has as many open records as it may.
    OverCap(PolicyRef),
    /// The source may not touch any namespace of the policy.
    NotPermitted(PolicyRef),
}

/// What becomes of one firing alert.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Paramedic raised it itself.
    OwnAlert,
    /// One entry a policy that matches; empty where none does.
    Matches(Vec<Match>),
}

/// Settings of triage.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The namespace of records of cluster policies and of policies from files.
    pub own_namespace: &'a str,
    /// How many open records a policy may have.
    pub open_per_policy: usize,
    /// How the alert came.
    pub delivery: Delivery,
}

/// How an alert came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Its sender told of it, and does so again as long as it fires.
    Webhook,
    /// It was read from Alertmanager, which says that it fires, but not that anybody is to be told again. It begins what no
    /// record speaks for, and repeats nothing.
    Poll,
}

/// Decides about one firing alert.
pub fn triage(
    alert: &Alert,
    source: SourceScope<'_>,
    policies: &PolicySet,
    known: &impl KnownRecords,
    rules: Rules<'_>,
    now: Timestamp,
) -> Decision {
    if alert.labels.get(RAISED_BY_LABEL) == Some(RAISED_BY_PARAMEDIC) {
        return Decision::OwnAlert;
    }
    let matching = answering(policies, &alert.labels);
    let mut decided = Vec::with_capacity(matching.len());
    let mut siblings: Vec<(&Policy, Sibling)> = Vec::new();
    for policy in matching {
        let mut matched = one(alert, source, policy, known, rules, now);
        let key = match &mut matched {
            Match::Create(record) => {
                record.spec.outranked_by = outranking(policy, &siblings);
                Some(ObjectKey::of(record.as_ref()))
            }
            Match::Known { key, .. } => Some(key.clone()),
            Match::OverCap(_) | Match::NotPermitted(_) => None,
        };
        let key = key.filter(|_| may_concern(policy, &alert.labels));
        siblings.extend(key.map(|key| (policy, sibling(policy, key))));
        decided.push(matched);
    }
    Decision::Matches(decided)
}

/// The policies that answer an alert, in the order in which [`triage`] decides about them: the highest priority first.
pub fn answering<'a>(policies: &'a PolicySet, labels: &'a Labels) -> Vec<&'a Policy> {
    let matching = policies.matching(labels).filter(|policy| policy.spec.mode != Mode::Disabled);
    let mut matching: Vec<&Policy> = matching.map(AsRef::as_ref).collect();
    // A stable order: those of one priority stay as they were.
    matching.sort_by_key(|policy| Reverse(policy.spec.priority));
    matching
}

/// How many records that outrank it a record may name.
const MOST_SIBLINGS: usize = 100;

/// Whether a policy may touch what an alert names: one that may not has no say in what others do about it, whatever its
/// priority. Where no namespace is named nobody can tell.
fn may_concern(policy: &Policy, labels: &Labels) -> bool {
    let mut named = ["exported_namespace", "namespace"].into_iter().filter_map(|label| labels.get(label)).peekable();
    named.peek().is_none() || named.any(|namespace| covers(&policy.namespaces, namespace))
}

/// Those of a higher priority, the highest first. What only says what it would do comes before nothing that acts.
fn outranking(policy: &Policy, siblings: &[(&Policy, Sibling)]) -> Vec<Sibling> {
    let acts = policy.spec.mode != Mode::DryRun;
    let higher = siblings
        .iter()
        .filter(|(other, _)| other.spec.priority > policy.spec.priority && !(acts && other.spec.mode == Mode::DryRun));
    higher.map(|(_, sibling)| sibling.clone()).take(MOST_SIBLINGS).collect()
}

fn sibling(policy: &Policy, key: ObjectKey) -> Sibling {
    Sibling {
        namespace: key.namespace,
        name: key.name,
        policy: policy.reference.to_string(),
        priority: policy.spec.priority,
    }
}

fn one(
    alert: &Alert,
    source: SourceScope<'_>,
    policy: &Policy,
    known: &impl KnownRecords,
    rules: Rules<'_>,
    now: Timestamp,
) -> Match {
    let namespaces = common(&policy.namespaces, source.namespaces);
    if namespaces.is_empty() {
        return Match::NotPermitted(policy.reference.clone());
    }
    let policy_key = PolicyKey::from(&policy.reference);
    let episode = match known.newest(&policy_key, source.name, alert.fingerprint) {
        None => 1,
        Some(newest) => {
            let Some(episode) = next_episode(&newest, alert, &policy.reference, rules.delivery, now) else {
                let refresh = rules.delivery == Delivery::Webhook && needs_refresh(&newest, alert, now);
                return Match::Known { refresh, key: newest.key };
            };
            episode
        }
    };
    if known.open(&policy_key) >= rules.open_per_policy {
        return Match::OverCap(policy.reference.clone());
    }
    Match::Create(Box::new(record(alert, source, policy, namespaces, episode, rules, now)))
}

/// The records that a resolved notice may be about although they are not known here: those that this alert, if it fired,
/// would begin. At most one a policy that matches, and none where the newest one that is known still speaks for it.
pub fn unseen(
    alert: &Alert,
    source: SourceScope<'_>,
    policies: &PolicySet,
    known: &impl KnownRecords,
    own_namespace: &str,
    now: Timestamp,
) -> Vec<ObjectKey> {
    let rules = Rules { own_namespace, open_per_policy: usize::MAX, delivery: Delivery::Webhook };
    let Decision::Matches(matches) = triage(alert, source, policies, known, rules, now) else { return Vec::new() };
    let begun = matches.into_iter().filter_map(|matched| match matched {
        Match::Create(record) => Some(ObjectKey::of(record.as_ref())),
        Match::Known { .. } | Match::OverCap(_) | Match::NotPermitted(_) => None,
    });
    begun.collect()
}

/// The number of a new episode; `None` where the newest record still speaks for the alert.
fn next_episode(newest: &Newest, alert: &Alert, policy: &PolicyRef, delivery: Delivery, now: Timestamp) -> Option<u32> {
    let ended_at = newest.ended_at?;
    let resolution = newest.resolved_at.unwrap_or(ended_at);
    // A sender whose clock is ahead would begin an episode with every notice.
    let began_anew = alert.starts_at > resolution && alert.starts_at.duration_since(now) <= CLOCKS_DIFFER;
    // What was cancelled because its policy changed is for the policy as it is now to answer.
    let changed = newest.cancelled_under.as_ref().is_some_and(|hash| *hash != policy.hash);
    let pause = if newest.refused_under.as_ref() == Some(&policy.hash) {
        ended_at.duration_since(alert.starts_at).clamp(STILL_FIRING, STILL_REFUSED)
    } else {
        STILL_FIRING
    };
    let still_fires = delivery == Delivery::Webhook && now.duration_since(ended_at) >= pause;
    (began_anew || changed || still_fires).then(|| newest.episode.saturating_add(1))
}

/// An open record's `lastSeen` is refreshed now and then. A firing notice of a time before the resolved one is a late
/// duplicate and says nothing. An alert that began after the one on record may be another episode, and the record may have
/// ended unseen: the write finds that out, as no cache can.
fn needs_refresh(newest: &Newest, alert: &Alert, now: Timestamp) -> bool {
    let open = newest.ended_at.is_none();
    match newest.resolved_at {
        Some(resolved_at) => open && alert.starts_at > resolved_at,
        None => open && (alert.starts_at > newest.starts_at || now.duration_since(newest.last_seen) >= REFRESH),
    }
}

/// The namespaces that both lists allow.
fn common(policy: &[String], source: &[String]) -> Vec<String> {
    if source.iter().any(|namespace| namespace == ALL_NAMESPACES) {
        return policy.to_vec();
    }
    if policy.iter().any(|namespace| namespace == ALL_NAMESPACES) {
        return source.to_vec();
    }
    policy.iter().filter(|namespace| covers(source, namespace)).cloned().collect()
}

fn record(
    alert: &Alert,
    source: SourceScope<'_>,
    policy: &Policy,
    namespaces: Vec<String>,
    episode: u32,
    rules: Rules<'_>,
    now: Timestamp,
) -> Remediation {
    let reference = &policy.reference;
    let spec = RemediationSpec {
        alert: AlertRecord {
            fingerprint: alert.fingerprint,
            labels: alert.labels.clone(),
            starts_at: alert.starts_at,
            received_at: now,
            generator_url: alert.generator_url.clone(),
        },
        episode,
        source: source.name.to_owned(),
        policy: reference.clone(),
        mode: policy.spec.mode,
        matchers: policy.spec.matchers.clone(),
        target: policy.spec.target,
        service_account_name: policy.spec.service_account_name.clone(),
        namespaces,
        steps: policy.spec.steps.clone(),
        limits: policy.limits.clone(),
        schedule: policy.spec.schedule.clone(),
        on_failure: policy.spec.on_failure.clone(),
        approval: policy.spec.approval,
        priority: policy.spec.priority,
        outranked_by: Vec::new(),
        traceparent: None,
    };
    let labels = BTreeMap::from([
        (POLICY_LABEL.to_owned(), label_value(&reference.name)),
        (FINGERPRINT_LABEL.to_owned(), alert.fingerprint.to_string()),
    ]);
    let metadata = ObjectMeta {
        name: Some(record_name(&PolicyKey::from(reference), source.name, alert.fingerprint, episode)),
        namespace: Some(record_namespace(policy, rules.own_namespace).to_owned()),
        labels: Some(labels),
        ..ObjectMeta::default()
    };
    Remediation { metadata, spec, status: None }
}

/// Records lie beside their policy; those of cluster policies and of files in Paramedic's own namespace.
fn record_namespace<'a>(policy: &'a Policy, own: &'a str) -> &'a str {
    match (policy.origin, &policy.reference.namespace) {
        (crate::policy::Origin::Resource, Some(namespace)) => namespace,
        _ => own,
    }
}

/// The policy's name, for people, and a hash of all that the record is about. startsAt is no part of it: Alertmanager
/// moves it when it merges, and two Prometheus servers start one episode twice. The source is: what one may not do, or
/// cannot be asked about, must not stand in for what another says.
pub fn record_name(policy: &PolicyKey, source: &str, fingerprint: Fingerprint, episode: u32) -> String {
    let hash = digest([
        policy.kind.as_str(),
        policy.namespace.as_deref().unwrap_or_default(),
        &policy.name,
        source,
        &fingerprint.to_string(),
        &episode.to_string(),
    ]);
    format!("{}-{hash}", shortened(&policy.name, 46))
}

/// A label's value has at most 63 characters and ends in a letter or digit.
fn label_value(name: &str) -> String {
    shortened(name, 63).to_owned()
}

fn shortened(name: &str, length: usize) -> &str {
    let end = name.char_indices().map(|(at, _)| at).chain([name.len()]).take_while(|at| *at <= length).last();
    name[..end.unwrap_or_default()].trim_end_matches(|c: char| !c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests;
