//! What every replica remembers of the records, fed by a watch: enough to tell a new episode from a known one, and to
//! find the open records of an alert. Synchronous and in memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

use crate::{
    alert::Fingerprint,
    api::{AlertPhase, AlertStatus, ObjectKey, Phase, Reason, Remediation},
    triage::{KnownRecords, Newest, PolicyKey},
};

/// One record, in short.
#[derive(Clone, Debug)]
struct Entry {
    policy: PolicyKey,
    source: String,
    fingerprint: Fingerprint,
    episode: u32,
    starts_at: Timestamp,
    ended_at: Option<Timestamp>,
    refused_under: Option<String>,
    cancelled_under: Option<String>,
    received_at: Timestamp,
    alert: Option<AlertStatus>,
    resource_version: Option<String>,
}

impl Entry {
    fn resolved_at(&self) -> Option<Timestamp> {
        self.alert.as_ref().filter(|alert| alert.state == AlertPhase::Resolved).and_then(|alert| alert.ends_at)
    }

    fn last_seen(&self) -> Timestamp {
        self.alert.as_ref().map_or(self.received_at, |alert| alert.last_seen)
    }
}

#[derive(Debug, Default)]
struct Records {
    entries: BTreeMap<ObjectKey, Entry>,
    by_alert: HashMap<Fingerprint, BTreeSet<ObjectKey>>,
    open: BTreeMap<PolicyKey, usize>,
    /// The last resourceVersion of the records that were deleted last.
    buried: HashMap<ObjectKey, String>,
    /// They, the first one first.
    burials: VecDeque<ObjectKey>,
}

/// So many deletions are remembered: longer than a request takes, even where many records are deleted at once.
const BURIED: usize = 1_000;

/// The index.
#[derive(Debug, Default)]
pub struct RecordIndex {
    records: Mutex<Records>,
}

/// An open record whose alert was resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRecord {
    /// Its key.
    pub key: ObjectKey,
    /// The resourceVersion it was last seen with.
    pub resource_version: Option<String>,
}

impl RecordIndex {
    /// Takes in a record as it was read, created or written. `false`: a newer version of it is known already, or it was
    /// deleted since.
    pub fn put(&self, record: &Remediation) -> bool {
        let status = record.status.as_ref();
        let refused =
            status.filter(|status| status.phase == Phase::Skipped && status.reason.is_some_and(Reason::lasts));
        let cancelled =
            status.filter(|status| status.phase == Phase::Cancelled && status.reason == Some(Reason::PolicyChanged));
        let ended_at = status
            .filter(|status| status.phase.is_terminal())
            .map(|status| status.ended_at.or(status.since).unwrap_or(record.spec.alert.received_at));
        let entry = Entry {
            policy: PolicyKey::from(&record.spec.policy),
            source: record.spec.source.clone(),
            fingerprint: record.spec.alert.fingerprint,
            episode: record.spec.episode,
            starts_at: record.spec.alert.starts_at,
            ended_at,
            refused_under: refused.map(|_| record.spec.policy.hash.clone()),
            cancelled_under: cancelled.map(|_| record.spec.policy.hash.clone()),
            received_at: record.spec.alert.received_at,
            alert: status.and_then(|status| status.alert.clone()),
            resource_version: record.metadata.resource_version.clone(),
        };
        let key = ObjectKey::of(record);
        let mut records = self.lock();
        let known = records.entries.get(&key).and_then(|known| known.resource_version.as_deref());
        let buried = records.buried.get(&key).map(String::as_str);
        let version = entry.resource_version.as_deref();
        if is_older(version, known) || is_older(version, buried) || (buried.is_some() && version == buried) {
            return false;
        }
        records.put(key, entry);
        true
    }

    /// Forgets a record that was deleted, and takes in none of its versions any more: an answer to a request may come
    /// after the news of the deletion. `resource_version` is the deletion's, where it is known. `false`: another one of
    /// that name is known, which was created after it.
    pub fn remove(&self, key: &ObjectKey, resource_version: Option<&str>) -> bool {
        let mut records = self.lock();
        let known = records.entries.get(key).and_then(|entry| entry.resource_version.clone());
        if is_older(resource_version, known.as_deref()) {
            return false;
        }
        records.remove(key);
        let known = known.as_deref();
        let last = if is_older(known, resource_version) || known.is_none() { resource_version } else { known };
        if let Some(last) = last.map(str::to_owned) {
            records.bury(key.clone(), last);
        }
        true
    }

    /// Whether there is a record of this name.
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.lock().entries.contains_key(key)
    }

    /// The keys of all records.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.lock().entries.keys().cloned().collect()
    }

    /// The open records that a resolved notice of this source's alert closes: those whose alert began before it ended.
    pub fn resolved_by(&self, source: &str, fingerprint: Fingerprint, ends_at: Timestamp) -> Vec<OpenRecord> {
        let records = self.lock();
        let keys = records.by_alert.get(&fingerprint).into_iter().flatten();
        keys.filter_map(|key| {
            let entry = records.entries.get(key)?;
            let closes = entry.ended_at.is_none() && entry.starts_at <= ends_at && entry.source == source;
            let known = entry.alert.as_ref().and_then(|alert| alert.ends_at).is_some_and(|at| at >= ends_at);
            (closes && !known)
                .then(|| OpenRecord { key: key.clone(), resource_version: entry.resource_version.clone() })
        })
        .collect()
    }

    /// The resourceVersion that a record was last seen with.
    pub fn resource_version(&self, key: &ObjectKey) -> Option<String> {
        self.lock().entries.get(key)?.resource_version.clone()
    }

    /// What a record's alert was last known to be, with the resourceVersion that says so.
    pub fn alert(&self, key: &ObjectKey) -> (Option<String>, Option<AlertStatus>) {
        let records = self.lock();
        let entry = records.entries.get(key);
        let version = entry.and_then(|entry| entry.resource_version.clone());
        (version, entry.and_then(|entry| entry.alert.clone()))
    }

    /// The records that ended before that time, and whose alert was not heard of since; at most 100, the rest at the next
    /// call.
    pub fn ended_before(&self, time: Timestamp) -> Vec<ObjectKey> {
        let records = self.lock();
        let old = records
            .entries
            .iter()
            .filter(|(_, entry)| entry.ended_at.is_some_and(|ended_at| ended_at < time) && entry.last_seen() < time);
        old.map(|(key, _)| key.clone()).take(100).collect()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one resourceVersion of an object is older than another: they are numbers that grow (KEP-5504). What is no
/// number is never older.
pub(crate) fn is_older(one: Option<&str>, other: Option<&str>) -> bool {
    let number = |version: Option<&str>| version.and_then(|version| version.parse::<u64>().ok());
    matches!((number(one), number(other)), (Some(one), Some(other)) if one < other)
}

impl Records {
    fn put(&mut self, key: ObjectKey, entry: Entry) {
        self.remove(&key);
        self.by_alert.entry(entry.fingerprint).or_default().insert(key.clone());
        if entry.ended_at.is_none() {
            *self.open.entry(entry.policy.clone()).or_default() += 1;
        }
        self.entries.insert(key, entry);
    }

    fn bury(&mut self, key: ObjectKey, last: String) {
        if self.burials.len() >= BURIED
            && let Some(first) = self.burials.pop_front()
        {
            self.buried.remove(&first);
        }
        self.burials.push_back(key.clone());
        self.buried.insert(key, last);
    }

    fn remove(&mut self, key: &ObjectKey) {
        let Some(entry) = self.entries.remove(key) else { return };
        if let Some(keys) = self.by_alert.get_mut(&entry.fingerprint) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_alert.remove(&entry.fingerprint);
            }
        }
        if entry.ended_at.is_none()
            && let Some(open) = self.open.get_mut(&entry.policy)
        {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&entry.policy);
            }
        }
    }
}

impl KnownRecords for RecordIndex {
    fn newest(&self, policy: &PolicyKey, source: &str, fingerprint: Fingerprint) -> Option<Newest> {
        let records = self.lock();
        let keys = records.by_alert.get(&fingerprint)?;
        let of_policy = keys.iter().filter_map(|key| Some((key, records.entries.get(key)?)));
        let same = of_policy.filter(|(_, entry)| entry.policy == *policy && entry.source == source);
        let (key, entry) = same.max_by_key(|(_, entry)| entry.episode)?;
        Some(Newest {
            key: key.clone(),
            episode: entry.episode,
            starts_at: entry.starts_at,
            ended_at: entry.ended_at,
            resolved_at: entry.resolved_at(),
            last_seen: entry.last_seen(),
            refused_under: entry.refused_under.clone(),
            cancelled_under: entry.cancelled_under.clone(),
        })
    }

    fn open(&self, policy: &PolicyKey) -> usize {
        self.lock().open.get(policy).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
