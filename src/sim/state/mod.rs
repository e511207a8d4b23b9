//! The objects, the one revision counter, and the log of what changed.
//!
//! An object is held as the API shows it, behind an [`Arc`]: who reads gets the same one, who writes makes a new one.

mod names;
mod typed;

pub use self::typed::Kind;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::Value;

use super::kinds::{self, KindInfo};
use crate::clock::Clock;

/// Everything that the simulated cluster knows.
#[derive(Debug)]
pub struct State {
    clock: Clock,
    random: fastrand::Rng,
    revision: u64,
    objects: Vec<BTreeMap<String, Arc<Value>>>,
    log: VecDeque<Change>,
    history: usize,
    compacted: u64,
    pub(super) keeps_managed_fields: bool,
}

/// One write.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its number; no other write has the same.
    pub revision: u64,
    /// Where the object is held.
    pub(crate) storage: usize,
    key: String,
    /// The object after the write; the last state of one that was deleted, with the version of its deletion.
    pub object: Arc<Value>,
    /// The object before it; `None` where it was created.
    pub previous: Option<Arc<Value>>,
    /// Whether the object is gone.
    pub deleted: bool,
}

/// Namespace and name, in the order in which lists have them.
pub(crate) fn key(namespace: &str, name: &str) -> String {
    let mut key = String::with_capacity(namespace.len() + name.len() + 1);
    key.push_str(namespace);
    key.push('/');
    key.push_str(name);
    key
}

impl State {
    /// An empty one; `history` is how many writes watches can go back.
    pub(crate) fn new(clock: Clock, seed: u64, history: usize, keeps_managed_fields: bool) -> Self {
        Self {
            clock,
            random: fastrand::Rng::with_seed(seed),
            revision: 0,
            objects: vec![BTreeMap::new(); kinds::storages()],
            log: VecDeque::new(),
            history,
            compacted: 0,
            keeps_managed_fields,
        }
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The same as objects say it: in seconds.
    pub(crate) fn now_text(&self) -> String {
        self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// The number of the last write.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The version up to which what happened is forgotten.
    pub const fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Goes on with that number, as on a cluster that has lived for a while.
    pub(crate) const fn go_on_at(&mut self, revision: u64) {
        self.revision = revision;
    }

    /// Forgets what happened so far, as compaction does: watches and pages from before are 410.
    pub fn compact(&mut self) {
        self.log.clear();
        self.compacted = self.revision;
    }

    /// An object as it is held.
    pub fn object(&self, kind: &KindInfo, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.objects.get(kind.storage)?.get(&key(namespace, name))
    }

    /// All objects of a kind, or those of one namespace, in the order of lists.
    pub fn objects<'a>(&'a self, kind: &KindInfo, namespace: Option<&str>) -> impl Iterator<Item = &'a Arc<Value>> {
        self.keyed(kind.storage, namespace).map(|(_, object)| object)
    }

    pub(crate) fn keyed<'a>(
        &'a self,
        storage: usize,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = (&'a String, &'a Arc<Value>)> {
        let prefix = namespace.map(|namespace| key(namespace, "")).unwrap_or_default();
        let all = self.objects.get(storage).into_iter();
        all.flat_map(move |all| {
            let prefix = prefix.clone();
            all.range(prefix.clone()..).take_while(move |(key, _)| key.starts_with(&prefix))
        })
    }

    /// What was written after that revision, oldest first. Before [`Self::compacted`] there may be more.
    pub fn changes_since(&self, revision: u64) -> impl Iterator<Item = &Change> {
        let first = self.log.partition_point(|change| change.revision <= revision);
        self.log.range(first..)
    }

    /// The objects as they were at a revision that is not forgotten.
    pub(crate) fn at(&self, revision: u64, storage: usize) -> BTreeMap<String, Arc<Value>> {
        let mut objects = self.objects.get(storage).cloned().unwrap_or_default();
        let first = self.log.partition_point(|change| change.revision <= revision);
        for change in self.log.range(first..).rev().filter(|change| change.storage == storage) {
            match &change.previous {
                Some(previous) => drop(objects.insert(change.key.clone(), previous.clone())),
                None => drop(objects.remove(&change.key)),
            }
        }
        objects
    }

    /// Writes an object, new or not, and gives it its version.
    pub(crate) fn put(&mut self, kind: &KindInfo, mut object: Value) -> Arc<Value> {
        self.stamp(&mut object);
        let key = key_of(&object);
        let object = Arc::new(object);
        let previous = self.objects[kind.storage].insert(key.clone(), object.clone());
        self.note(Change {
            revision: self.revision,
            storage: kind.storage,
            key,
            object: object.clone(),
            previous,
            deleted: false,
        });
        object
    }

    /// Takes in an object that was always there.
    pub(crate) fn adopt(&mut self, kind: &KindInfo, object: Arc<Value>) {
        self.objects[kind.storage].insert(key_of(&object), object);
    }

    /// Removes an object; gives its last state, with the version of the deletion.
    pub(crate) fn remove(&mut self, kind: &KindInfo, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let key = key(namespace, name);
        let previous = self.objects[kind.storage].remove(&key)?;
        let mut object = Value::clone(&previous);
        self.stamp(&mut object);
        let object = Arc::new(object);
        self.note(Change {
            revision: self.revision,
            storage: kind.storage,
            key,
            object: object.clone(),
            previous: Some(previous),
            deleted: true,
        });
        Some(object)
    }

    fn stamp(&mut self, object: &mut Value) {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = Value::from(self.revision.to_string());
    }

    fn note(&mut self, change: Change) {
        self.log.push_back(change);
        while self.log.len() > self.history {
            if let Some(gone) = self.log.pop_front() {
                self.compacted = gone.revision;
            }
        }
    }
}

fn key_of(object: &Value) -> String {
    let word = |name: &str| object["metadata"].get(name).and_then(Value::as_str).unwrap_or_default();
    key(word("namespace"), word("name"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(history: usize) -> State {
        State::new(Clock::system(), 1, history, true)
    }

    fn map(namespace: &str, name: &str, value: i32) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name}, "value": value})
    }

    #[test]
    fn the_past_can_be_seen_as_it_was() {
        let mut state = state(10);
        let kind = kinds::of_kind("", "ConfigMap").unwrap();
        state.put(kind, map("n", "a", 1));
        state.put(kind, map("n", "b", 1));
        state.put(kind, map("n", "a", 2));
        state.remove(kind, "n", "b");
        let values = |revision| -> Vec<(String, i64)> {
            let objects = state.at(revision, kind.storage);
            objects.into_iter().map(|(key, object)| (key, object["value"].as_i64().unwrap())).collect()
        };
        assert_eq!(values(1), [("n/a".to_owned(), 1)]);
        assert_eq!(values(2), [("n/a".to_owned(), 1), ("n/b".to_owned(), 1)]);
        assert_eq!(values(4), [("n/a".to_owned(), 2)]);
        assert_eq!(state.changes_since(2).count(), 2);
    }

    #[test]
    fn what_is_too_long_ago_is_forgotten() {
        let mut state = state(2);
        let kind = kinds::of_kind("", "ConfigMap").unwrap();
        for number in 0..5 {
            state.put(kind, map("n", "a", number));
        }
        assert_eq!((state.revision(), state.compacted()), (5, 3));
        assert_eq!(state.changes_since(3).count(), 2);
    }

    #[test]
    fn a_namespace_has_only_its_own_objects() {
        let mut state = state(10);
        let kind = kinds::of_kind("", "ConfigMap").unwrap();
        for (namespace, name) in [("a", "x"), ("a-b", "x"), ("a", "y"), ("b", "x")] {
            state.put(kind, map(namespace, name, 0));
        }
        assert_eq!(state.objects(kind, Some("a")).count(), 2);
        assert_eq!(state.objects(kind, None).count(), 4);
    }
}
