//! What the controllers know of the cluster: the objects of the kinds that they look at, each read once a change, with
//! who owns them; and which work each change makes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::{CronJob, Job},
        core::v1::{Namespace, Node, PersistentVolumeClaim, Pod},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    graph::Graph,
    objects::{Key, controller_of, key_of, matches, uid},
    queue::{Queue, Task},
};
use crate::sim::{Change, State, kinds};

/// The objects of one kind.
#[derive(Debug)]
pub(super) struct Store<K> {
    storage: Option<usize>,
    objects: BTreeMap<Key, Arc<K>>,
    by_controller: BTreeMap<String, BTreeSet<Key>>,
    orphans: BTreeSet<Key>,
}

impl<K: Resource<DynamicType = ()> + DeserializeOwned> Store<K> {
    fn new() -> Self {
        let storage = kinds::of::<K>().map(|kind| kind.storage);
        Self { storage, objects: BTreeMap::new(), by_controller: BTreeMap::new(), orphans: BTreeSet::new() }
    }

    /// One object.
    pub(super) fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.objects.get(key).cloned()
    }

    /// All objects of a namespace, in the order of their names.
    pub(super) fn within<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a Arc<K>)> {
        let first = (namespace.to_owned(), String::new());
        self.objects.range(first..).take_while(move |((found, _), _)| found == namespace)
    }

    /// All objects.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Key, &Arc<K>)> {
        self.objects.iter()
    }

    /// What the object with that UID controls.
    pub(super) fn controlled<'a>(&'a self, uid: &str) -> impl Iterator<Item = &'a Arc<K>> + use<'a, K> {
        self.by_controller.get(uid).into_iter().flatten().filter_map(|key| self.objects.get(key))
    }

    /// What nobody controls in a namespace.
    pub(super) fn orphans<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<K>> {
        let first = (namespace.to_owned(), String::new());
        let keys = self.orphans.range(first..).take_while(move |(found, _)| found == namespace);
        keys.filter_map(|key| self.objects.get(key))
    }

    /// Takes a change in: gives the object as it is now, or was last if it is gone, and as it was before.
    fn take(&mut self, object: &Value, deleted: bool) -> Option<Seen<K>> {
        let now = Arc::new(K::deserialize(object).ok()?);
        let key = key_of(now.meta());
        let before = self.objects.remove(&key);
        if let Some(before) = &before {
            self.index(before.meta(), &key, false);
        }
        if !deleted {
            self.index(now.meta(), &key, true);
            self.objects.insert(key.clone(), now.clone());
        }
        Some(Seen { key, now, before })
    }

    fn index(&mut self, meta: &ObjectMeta, key: &Key, add: bool) {
        match (controller_of(meta), add) {
            (Some(owner), true) => drop(self.by_controller.entry(owner.uid.clone()).or_default().insert(key.clone())),
            (Some(owner), false) => {
                if let Some(keys) = self.by_controller.get_mut(&owner.uid) {
                    keys.remove(key);
                    if keys.is_empty() {
                        self.by_controller.remove(&owner.uid);
                    }
                }
            }
            (None, true) => drop(self.orphans.insert(key.clone())),
            (None, false) => drop(self.orphans.remove(key)),
        }
    }
}

/// A change that was taken in.
struct Seen<K> {
    key: Key,
    /// The object after it, or its last state.
    now: Arc<K>,
    before: Option<Arc<K>>,
}

/// All that the controllers know.
#[derive(Debug)]
pub(super) struct View {
    seen: u64,
    pub(super) pods: Store<Pod>,
    pub(super) nodes: Store<Node>,
    pub(super) namespaces: Store<Namespace>,
    pub(super) claims: Store<PersistentVolumeClaim>,
    pub(super) deployments: Store<Deployment>,
    pub(super) replica_sets: Store<ReplicaSet>,
    pub(super) stateful_sets: Store<StatefulSet>,
    pub(super) daemon_sets: Store<DaemonSet>,
    pub(super) revisions: Store<ControllerRevision>,
    pub(super) jobs: Store<Job>,
    pub(super) cron_jobs: Store<CronJob>,
    pub(super) budgets: Store<PodDisruptionBudget>,
    pub(super) graph: Graph,
}

impl View {
    pub(super) fn new() -> Self {
        Self {
            seen: 0,
            pods: Store::new(),
            nodes: Store::new(),
            namespaces: Store::new(),
            claims: Store::new(),
            deployments: Store::new(),
            replica_sets: Store::new(),
            stateful_sets: Store::new(),
            daemon_sets: Store::new(),
            revisions: Store::new(),
            jobs: Store::new(),
            cron_jobs: Store::new(),
            budgets: Store::new(),
            graph: Graph::new(),
        }
    }

    /// Takes in what was written since it was called last, and puts the work that this makes into the queue.
    pub(super) fn follow(&mut self, state: &State, queue: &mut Queue) {
        if state.revision() == self.seen {
            return;
        }
        if self.seen < state.compacted() {
            self.begin_anew(state, queue);
        } else {
            for change in state.changes_since(self.seen) {
                self.take(change, queue);
            }
        }
        self.seen = state.revision();
    }

    /// What happened is forgotten, so all there is counts as new. What was known and is no more, counts as deleted.
    fn begin_anew(&mut self, state: &State, queue: &mut Queue) {
        let before = std::mem::replace(self, Self::new());
        for kind in kinds::all() {
            for object in state.objects(kind, None) {
                self.take_object(kind.storage, object, false, queue);
            }
        }
        let gone = before
            .pods
            .all()
            .filter(|(key, pod)| self.pods.objects.get(*key).is_none_or(|now| now.metadata.uid != pod.metadata.uid));
        for (_, pod) in gone {
            queue.add(Task::Forget(uid(&pod.metadata).to_owned()));
        }
        queue.add(Task::Nodes);
    }

    fn take(&mut self, change: &Change, queue: &mut Queue) {
        self.take_object(change.storage, &change.object, change.deleted, queue);
    }

    fn take_object(&mut self, storage: usize, object: &Value, deleted: bool, queue: &mut Queue) {
        self.graph.take(storage, object, deleted, queue);
        let here = Some(storage);
        if here == self.pods.storage {
            self.pod(object, deleted, queue);
        } else if here == self.replica_sets.storage {
            if let Some(seen) = self.replica_sets.take(object, deleted) {
                queue.add(Task::ReplicaSet(seen.key.clone()));
                controllers(&seen, queue);
                if !deleted && controller_of(&seen.now.metadata).is_none() {
                    let labels = seen.now.metadata.labels.as_ref();
                    for (key, deployment) in self.deployments.within(&seen.key.0) {
                        if deployment.spec.as_ref().is_some_and(|spec| matches(&spec.selector, labels)) {
                            queue.add(Task::Deployment(key.clone()));
                        }
                    }
                }
            }
        } else if here == self.deployments.storage {
            let seen = self.deployments.take(object, deleted);
            queue.extend(seen.map(|seen| Task::Deployment(seen.key)));
        } else if here == self.stateful_sets.storage {
            let seen = self.stateful_sets.take(object, deleted);
            queue.extend(seen.map(|seen| Task::StatefulSet(seen.key)));
        } else if here == self.daemon_sets.storage {
            let seen = self.daemon_sets.take(object, deleted);
            queue.extend(seen.map(|seen| Task::DaemonSet(seen.key)));
        } else if here == self.revisions.storage {
            if let Some(seen) = self.revisions.take(object, deleted) {
                controllers(&seen, queue);
            }
        } else if here == self.jobs.storage {
            if let Some(seen) = self.jobs.take(object, deleted) {
                queue.add(Task::Job(seen.key.clone()));
                controllers(&seen, queue);
            }
        } else if here == self.cron_jobs.storage {
            let seen = self.cron_jobs.take(object, deleted);
            queue.extend(seen.map(|seen| Task::CronJob(seen.key)));
        } else if here == self.budgets.storage {
            let seen = self.budgets.take(object, deleted);
            queue.extend(seen.map(|seen| Task::Budget(seen.key)));
        } else if here == self.claims.storage {
            let seen = self.claims.take(object, deleted);
            queue.extend(seen.map(|seen| Task::Claim(seen.key)));
        } else if here == self.namespaces.storage {
            let seen = self.namespaces.take(object, deleted);
            queue.extend(seen.map(|seen| Task::Namespace(seen.key.1)));
        } else if here == self.nodes.storage && self.nodes.take(object, deleted).is_some() {
            queue.add(Task::Nodes);
            queue.extend(self.daemon_sets.all().map(|(key, _)| Task::DaemonSet(key.clone())));
        }
    }

    fn pod(&mut self, object: &Value, deleted: bool, queue: &mut Queue) {
        let Some(seen) = self.pods.take(object, deleted) else { return };
        if deleted {
            queue.add(Task::Forget(uid(&seen.now.metadata).to_owned()));
        } else {
            queue.add(Task::Pod(seen.key.clone()));
        }
        controllers(&seen, queue);
        let namespace = &seen.key.0;
        let labels = seen.now.metadata.labels.as_ref();
        match controller_of(&seen.now.metadata) {
            // Recreate waits for the last of the old pods, so the Deployment above the ReplicaSet wants to know.
            Some(owner) if owner.kind == "ReplicaSet" => {
                let set = self.replica_sets.objects.get(&(namespace.clone(), owner.name.clone()));
                let above = set.and_then(|set| controller_of(&set.metadata));
                queue.extend(above.map(|owner| Task::Deployment((namespace.clone(), owner.name.clone()))));
            }
            Some(_) => {}
            None if deleted => {}
            None => {
                let fits = |selector| matches(selector, labels);
                for (key, set) in self.replica_sets.within(namespace) {
                    if set.spec.as_ref().is_some_and(|spec| fits(&spec.selector)) {
                        queue.add(Task::ReplicaSet(key.clone()));
                    }
                }
                for (key, set) in self.stateful_sets.within(namespace) {
                    if set.spec.as_ref().is_some_and(|spec| fits(&spec.selector)) {
                        queue.add(Task::StatefulSet(key.clone()));
                    }
                }
                for (key, set) in self.daemon_sets.within(namespace) {
                    if set.spec.as_ref().is_some_and(|spec| fits(&spec.selector)) {
                        queue.add(Task::DaemonSet(key.clone()));
                    }
                }
            }
        }
        for (key, budget) in self.budgets.within(namespace) {
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            let before = || seen.before.as_ref().and_then(|pod| pod.metadata.labels.as_ref());
            if selector.is_some_and(|selector| matches(selector, labels) || matches(selector, before())) {
                queue.add(Task::Budget(key.clone()));
            }
        }
    }
}

/// Whoever controls the object, or did before, has something to look at.
fn controllers<K: Resource<DynamicType = ()>>(seen: &Seen<K>, queue: &mut Queue) {
    let before = seen.before.as_ref().and_then(|before| controller_of(before.meta()));
    for owner in controller_of(seen.now.meta()).into_iter().chain(before) {
        let key = (seen.key.0.clone(), owner.name.clone());
        let task = match owner.kind.as_str() {
            "ReplicaSet" => Task::ReplicaSet(key),
            "Deployment" => Task::Deployment(key),
            "StatefulSet" => Task::StatefulSet(key),
            "DaemonSet" => Task::DaemonSet(key),
            "Job" => Task::Job(key),
            "CronJob" => Task::CronJob(key),
            _ => continue,
        };
        queue.add(task);
    }
}
