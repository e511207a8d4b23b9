//! The records as a watch brings them: the index that every replica needs, and the open records for the leader.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{Stream, StreamExt};
use kube::{core::DeserializeGuard, runtime::watcher};
use tokio::sync::Notify;
use tracing::warn;

use super::RecordIndex;
use crate::{
    api::{ObjectKey, Remediation},
    telemetry::{Watched, chain},
};

/// What the watch has brought. Shared.
#[derive(Debug)]
pub struct RecordCache {
    index: RecordIndex,
    open: Mutex<Open>,
    changed: Notify,
    synced: AtomicBool,
    watched: Watched,
}

impl Default for RecordCache {
    fn default() -> Self {
        Self {
            index: RecordIndex::default(),
            open: Mutex::default(),
            changed: Notify::default(),
            synced: AtomicBool::default(),
            watched: Watched::new("Remediation", "the watch on Remediations"),
        }
    }
}

#[derive(Debug, Default)]
struct Open {
    records: BTreeMap<ObjectKey, Arc<Remediation>>,
    /// What changed since the leader last looked. A set, so that it cannot grow beyond what there is.
    changed: BTreeSet<ObjectKey>,
    /// Of which open records something else changed that they wait for.
    woken: BTreeSet<ObjectKey>,
    /// While the watch lists: what it has brought so far.
    listing: Option<BTreeSet<ObjectKey>>,
}

/// What became of an open record.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is new, or another version of it was seen.
    Seen(Arc<Remediation>),
    /// It was deleted.
    Deleted(ObjectKey),
    /// It is as it was, but what it may be waiting for is not.
    Woken(ObjectKey),
}

impl RecordCache {
    /// The index.
    pub fn index(&self) -> &RecordIndex {
        &self.index
    }

    /// Whether the first list is whole.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// Whether the watch goes on.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Follows the watch; ends only with it.
    pub async fn follow<S>(&self, watch: S)
    where
        S: Stream<Item = watcher::Result<watcher::Event<DeserializeGuard<Remediation>>>>,
    {
        let mut watch = std::pin::pin!(watch);
        while let Some(event) = watch.next().await {
            match event {
                // A list that is not whole has not worked yet.
                Ok(event @ (watcher::Event::Init | watcher::Event::InitApply(_))) => self.apply(event),
                Ok(event) => {
                    self.watched.works();
                    self.apply(event);
                }
                Err(error) => self.watched.failed(&chain(&error)),
            }
        }
    }

    fn apply(&self, event: watcher::Event<DeserializeGuard<Remediation>>) {
        match event {
            watcher::Event::Apply(DeserializeGuard(Ok(record))) => self.put(record),
            watcher::Event::InitApply(DeserializeGuard(Ok(record))) => {
                if let Some(listing) = &mut self.lock().listing {
                    listing.insert(ObjectKey::of(&record));
                }
                self.put(record);
            }
            // A record that a newer version wrote: it is left to that version.
            watcher::Event::Apply(DeserializeGuard(Err(invalid)))
            | watcher::Event::InitApply(DeserializeGuard(Err(invalid))) => {
                warn!(name = invalid.metadata.name, error = invalid.error, "a Remediation cannot be read");
            }
            watcher::Event::Delete(DeserializeGuard(record)) => {
                let metadata = match &record {
                    Ok(record) => &record.metadata,
                    Err(invalid) => &invalid.metadata,
                };
                let key = ObjectKey {
                    namespace: metadata.namespace.clone().unwrap_or_default(),
                    name: metadata.name.clone().unwrap_or_default(),
                };
                let version = match &record {
                    Ok(record) => record.metadata.resource_version.as_deref(),
                    Err(invalid) => invalid.metadata.resource_version.as_deref(),
                };
                self.remove(&key, version);
            }
            watcher::Event::Init => self.lock().listing = Some(BTreeSet::new()),
            watcher::Event::InitDone => {
                let listed = self.lock().listing.take().unwrap_or_default();
                for key in self.index.keys() {
                    if !listed.contains(&key) {
                        self.remove(&key, None);
                    }
                }
                self.synced.store(true, Ordering::Release);
            }
        }
        self.changed.notify_one();
    }

    /// Takes in a record as it was read or written.
    pub fn put(&self, record: Remediation) {
        let key = ObjectKey::of(&record);
        if !self.index.put(&record) {
            return;
        }
        let open = record.status.as_ref().is_none_or(|status| !status.phase.is_terminal());
        let mut held = self.lock();
        // A list that is being read may be from before its creation.
        if let Some(listing) = &mut held.listing {
            listing.insert(key.clone());
        }
        if open {
            held.records.insert(key.clone(), Arc::new(record));
        } else {
            held.records.remove(&key);
        }
        held.changed.insert(key);
        drop(held);
        self.changed.notify_one();
    }

    /// Something changed that this record may be waiting for; it is to be looked at.
    pub fn wake(&self, key: ObjectKey) {
        let mut held = self.lock();
        if held.records.contains_key(&key) {
            held.woken.insert(key);
            drop(held);
            self.changed.notify_one();
        }
    }

    /// Forgets a record that the API server does not know, whatever the watch brought.
    pub fn is_gone(&self, key: &ObjectKey) {
        self.remove(key, None);
        self.changed.notify_one();
    }

    fn remove(&self, key: &ObjectKey, resource_version: Option<&str>) {
        if !self.index.remove(key, resource_version) {
            return;
        }
        let mut held = self.lock();
        held.records.remove(key);
        held.changed.insert(key.clone());
    }

    /// Waits until something changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What changed since the last call. A record that has ended, and was not ended by the asker, shows as deleted.
    pub fn take_changes(&self) -> Vec<Change> {
        let mut held = self.lock();
        let changed = std::mem::take(&mut held.changed);
        let woken = std::mem::take(&mut held.woken);
        let changed = changed.into_iter().map(|key| match held.records.get(&key) {
            Some(record) => Change::Seen(Arc::clone(record)),
            None => Change::Deleted(key),
        });
        changed.chain(woken.into_iter().map(Change::Woken)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
