//! A small cluster for the stories: its time goes on only when a story says so.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{Event, Namespace, Pod},
};
use kube::Resource;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Controllers, Played, objects::is_deleting, replicas};
use crate::{
    clock::Clock,
    sim::{Cluster, Settings},
};

pub(super) const NAMESPACE: &str = "shop";

pub(super) struct Rig {
    pub(super) cluster: Cluster,
    pub(super) controllers: Controllers,
    pub(super) played: Played,
    next: Option<Timestamp>,
}

impl Rig {
    pub(super) fn new(played: Played) -> Self {
        Self::with(Controllers::new(), played)
    }

    pub(super) fn with(controllers: Controllers, played: Played) -> Self {
        Self::remembering(10_000, controllers, played)
    }

    /// In a cluster that remembers so many writes.
    pub(super) fn remembering(history: usize, controllers: Controllers, played: Played) -> Self {
        let clock = Clock::driven("2026-01-01T00:00:00Z".parse().unwrap());
        let cluster = Cluster::new(Settings { history, ..Settings::new(clock) });
        let mut rig = Self { cluster, controllers, played, next: None };
        rig.create::<Namespace>(json!({"metadata": {"name": NAMESPACE}}));
        rig
    }

    pub(super) fn now(&self) -> Timestamp {
        self.cluster.with(|state| state.now())
    }

    pub(super) fn settle(&mut self) {
        let (controllers, played) = (&mut self.controllers, &mut self.played);
        self.next = self.cluster.with(|state| {
            let now = state.now();
            controllers.step(state, played, now)
        });
    }

    /// Lets so many seconds pass.
    pub(super) async fn pass(&mut self, seconds: i64) {
        self.pass_millis(seconds * 1000).await;
    }

    pub(super) async fn pass_millis(&mut self, millis: i64) {
        let end = self.now().saturating_add(SignedDuration::from_millis(millis)).unwrap();
        self.settle();
        loop {
            let now = self.now();
            let until = self.next.map_or(end, |next| next.min(end));
            let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
            tokio::time::advance(left.max(Duration::from_millis(u64::from(until < end)))).await;
            self.settle();
            if self.now() >= end {
                return;
            }
        }
    }

    pub(super) fn create<K>(&mut self, object: Value) -> K
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        let mut object = object;
        if object["metadata"].get("namespace").is_none() && !matches!(&*K::kind(&()), "Namespace" | "Node") {
            object["metadata"]["namespace"] = json!(NAMESPACE);
        }
        let object: K = serde_json::from_value(object).unwrap();
        let made = self.cluster.with(|state| state.create(&object)).unwrap();
        self.settle();
        made
    }

    pub(super) fn get<K>(&self, name: &str) -> Option<K>
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        self.cluster.with(|state| state.get(NAMESPACE, name))
    }

    pub(super) fn all<K>(&self) -> Vec<K>
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        self.cluster.with(|state| state.list(Some(NAMESPACE)))
    }

    /// Changes an object as a client that reads and writes it.
    pub(super) fn change<K>(&mut self, name: &str, change: impl FnOnce(&mut K))
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        let mut object: K = self.get(name).unwrap();
        change(&mut object);
        self.cluster.with(|state| state.update(&object)).unwrap();
        self.settle();
    }

    pub(super) fn delete<K>(&mut self, name: &str, options: Value)
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        let options = serde_json::from_value(options).unwrap();
        self.cluster.with(|state| state.delete::<K>(NAMESPACE, name, &options)).unwrap();
        self.settle();
    }

    /// The pods that are not on their way out.
    pub(super) fn living(&self) -> Vec<Pod> {
        self.all::<Pod>().into_iter().filter(|pod| !is_deleting(&pod.metadata)).collect()
    }

    pub(super) fn ready(&self) -> usize {
        self.all::<Pod>().iter().filter(|pod| replicas::is_ready(pod)).count()
    }

    /// Replicas, updated, ready and available pods, as the Deployment says.
    pub(super) fn counts(&self, name: &str) -> [i32; 4] {
        let status = self.get::<Deployment>(name).unwrap().status.unwrap_or_default();
        [status.replicas, status.updated_replicas, status.ready_replicas, status.available_replicas]
            .map(Option::unwrap_or_default)
    }

    /// The sizes of the ReplicaSets, the oldest first.
    pub(super) fn sizes(&self) -> Vec<i32> {
        let mut sets = self.all::<ReplicaSet>();
        let number = |set: &ReplicaSet| -> u32 {
            set.metadata.annotations.as_ref().unwrap()["deployment.kubernetes.io/revision"].parse().unwrap()
        };
        sets.sort_by_key(number);
        sets.into_iter().map(|set| set.spec.unwrap().replicas.unwrap()).collect()
    }

    /// The reasons and messages of the Events about an object, in the order in which they were written.
    pub(super) fn said(&self, kind: &str) -> Vec<String> {
        let mut events = self.all::<Event>();
        events.sort_by_key(|event| event.metadata.resource_version.as_ref().unwrap().parse::<u64>().unwrap());
        let about = events.into_iter().filter(|event| event.involved_object.kind.as_deref() == Some(kind));
        about.map(|event| format!("{}: {}", event.reason.unwrap(), event.message.unwrap())).collect()
    }
}

/// A Deployment of that many pods, with what else its spec says.
pub(super) fn deployment(name: &str, replicas: i32, rest: &Value) -> Value {
    let mut spec = json!({
        "replicas": replicas,
        "selector": {"matchLabels": {"app": name}},
        "template": template(name),
    });
    for (key, value) in rest.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"metadata": {"name": name}, "spec": spec})
}

/// A template of pods with one container.
pub(super) fn template(name: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}], "terminationGracePeriodSeconds": 30},
    })
}
