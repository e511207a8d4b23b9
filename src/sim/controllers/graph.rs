//! Who owns whom, over all kinds: what the garbage collector knows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    objects::Key,
    queue::{Queue, Task},
};
use crate::sim::{Dependents, kinds};

/// Where an object is held, and which one it is.
pub(super) type Place = (usize, Key);

/// The finalizer of an object whose dependents go first.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object whose dependents stay.
pub(super) const ORPHAN: &str = "orphan";

/// An object as the garbage collector sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) uid: String,
    pub(super) owners: Vec<Owner>,
    /// Whether it is being deleted.
    pub(super) going: bool,
    /// Whether it waits for its dependents to go.
    pub(super) foreground: bool,
    /// Whether it waits for its dependents to be let go.
    pub(super) orphans: bool,
}

/// An owner as its dependent names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: String,
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) name: String,
    /// Whether the owner waits for this dependent when it is deleted in the foreground.
    pub(super) blocks: bool,
}

/// All objects that can own or be owned.
#[derive(Debug)]
pub(super) struct Graph {
    /// Which storages do not count: what is in them never owns anything.
    ignored: Vec<bool>,
    items: BTreeMap<Place, Item>,
    by_uid: BTreeMap<String, Place>,
    dependents: BTreeMap<String, BTreeSet<Place>>,
}

impl Graph {
    pub(super) fn new() -> Self {
        let mut ignored = vec![false; kinds::storages()];
        for kind in kinds::all() {
            ignored[kind.storage] |= kind.dependents == Dependents::None;
        }
        Self { ignored, items: BTreeMap::new(), by_uid: BTreeMap::new(), dependents: BTreeMap::new() }
    }

    pub(super) fn item(&self, place: &Place) -> Option<&Item> {
        self.items.get(place)
    }

    /// Where the object with that UID is.
    pub(super) fn place(&self, uid: &str) -> Option<&Place> {
        self.by_uid.get(uid)
    }

    /// Everything that names the object with that UID as an owner.
    pub(super) fn dependents(&self, uid: &str) -> Vec<Place> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Takes a change in. An object that was deleted leaves its dependents to be looked at, and whoever waits for it.
    pub(super) fn take(&mut self, storage: usize, object: &Value, deleted: bool, queue: &mut Queue) {
        if self.ignored.get(storage).copied().unwrap_or(true) {
            return;
        }
        let meta = &object["metadata"];
        let word = |name: &str| meta.get(name).and_then(Value::as_str).unwrap_or_default();
        let place = (storage, (word("namespace").to_owned(), word("name").to_owned()));
        let before = self.items.remove(&place);
        if let Some(before) = &before {
            self.by_uid.remove(&before.uid);
            for owner in &before.owners {
                self.let_go(&owner.uid, &place);
            }
            if deleted {
                let waiting = before.owners.iter().filter_map(|owner| self.by_uid.get(&owner.uid));
                queue.extend(waiting.map(|(storage, key)| Task::Collect(*storage, key.clone())));
            }
        }
        if deleted {
            let left = self.dependents.get(word("uid")).into_iter().flatten();
            queue.extend(left.map(|(storage, key)| Task::Collect(*storage, key.clone())));
            return;
        }
        let item = item(meta);
        for owner in &item.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(place.clone());
        }
        // Owners change rarely; what did not change them, nor how it goes, is not looked at.
        let news = before.is_none_or(|before| before != item);
        if news && (!item.owners.is_empty() || item.foreground || item.orphans) {
            queue.add(Task::Collect(storage, place.1.clone()));
            let waiting = item.owners.iter().filter_map(|owner| self.by_uid.get(&owner.uid));
            let waiting = waiting.filter(|place| self.items.get(*place).is_some_and(|item| item.going));
            queue.extend(waiting.map(|(storage, key)| Task::Collect(*storage, key.clone())));
        }
        self.by_uid.insert(item.uid.clone(), place.clone());
        self.items.insert(place, item);
    }

    fn let_go(&mut self, owner: &str, place: &Place) {
        if let Some(places) = self.dependents.get_mut(owner) {
            places.remove(place);
            if places.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }
}

fn item(meta: &Value) -> Item {
    let word = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |name: &str| meta.get(name).and_then(Value::as_array).into_iter().flatten();
    let has = |name: &str| list("finalizers").any(|finalizer| finalizer.as_str() == Some(name));
    let owners = list("ownerReferences").map(|owner| Owner {
        uid: word(owner, "uid"),
        group: word(owner, "apiVersion").rsplit_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default(),
        kind: word(owner, "kind"),
        name: word(owner, "name"),
        blocks: owner.get("blockOwnerDeletion").and_then(Value::as_bool).unwrap_or_default(),
    });
    let going = meta.get("deletionTimestamp").is_some_and(|at| !at.is_null());
    Item {
        uid: word(meta, "uid"),
        owners: owners.collect(),
        going,
        foreground: going && has(FOREGROUND),
        orphans: going && has(ORPHAN),
    }
}
