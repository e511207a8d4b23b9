//! Policies from the API: a watch on each kind, whose objects are validated as files are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::{
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::watcher,
};
use tokio::sync::Notify;

use super::{Origin, Policy, PolicyStore, Problem};
use crate::{
    api::{ClusterRemediationPolicy, ObjectKey, PolicyKind, PolicyStatus, RemediationPolicy},
    telemetry::{Metrics, Outage, chain},
};

/// What is to be said about a policy of the API.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The generation it is about.
    pub generation: i64,
    /// Why it is not in force, if it is not.
    pub problem: Option<String>,
    /// What its status says now.
    pub written: Option<Condition>,
}

/// The policies of the API as the watches have brought them.
pub struct PolicyResources {
    store: Arc<PolicyStore>,
    metrics: Arc<Metrics>,
    entries: Mutex<BTreeMap<(PolicyKind, ObjectKey), Entry>>,
    synced: AtomicU8,
    changed: Notify,
}

struct Entry {
    policy: Result<Policy, Problem>,
    verdict: Verdict,
}

/// A kind of policy, as its watch brings it.
pub trait PolicyResource: Sized {
    /// Which.
    const KIND: PolicyKind;
    /// The status, if somebody has written one.
    fn status(&self) -> Option<&PolicyStatus>;
    /// Validates it.
    fn compile(self) -> Result<Policy, Problem>;
}

impl PolicyResource for RemediationPolicy {
    const KIND: PolicyKind = PolicyKind::RemediationPolicy;

    fn status(&self) -> Option<&PolicyStatus> {
        self.status.as_ref()
    }

    fn compile(self) -> Result<Policy, Problem> {
        Policy::from_resource(self)
    }
}

impl PolicyResource for ClusterRemediationPolicy {
    const KIND: PolicyKind = PolicyKind::ClusterRemediationPolicy;

    fn status(&self) -> Option<&PolicyStatus> {
        self.status.as_ref()
    }

    fn compile(self) -> Result<Policy, Problem> {
        Policy::from_cluster_resource(self)
    }
}

impl PolicyResources {
    /// Puts what the watches bring into this store.
    pub fn new(store: Arc<PolicyStore>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics, entries: Mutex::default(), synced: AtomicU8::new(0), changed: Notify::new() }
    }

    /// Whether the first list of both kinds is whole.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire) == 0b11
    }

    /// Follows the watch on one kind; ends only with it.
    pub async fn follow<K, S>(&self, watch: S)
    where
        K: PolicyResource + kube::Resource<DynamicType = ()>,
        S: Stream<Item = watcher::Result<watcher::Event<DeserializeGuard<K>>>>,
    {
        let mut watch = std::pin::pin!(watch);
        let mut listing: Option<BTreeSet<ObjectKey>> = None;
        let outage = Outage::of("the watch on policies");
        while let Some(event) = watch.next().await {
            match event {
                Err(error) => {
                    outage.failed(&format!("{}: {}", K::KIND.as_str(), chain(&error)));
                    continue;
                }
                Ok(watcher::Event::Init) => {
                    listing = Some(BTreeSet::new());
                    continue;
                }
                Ok(watcher::Event::InitApply(object)) => {
                    let key = self.put(object);
                    listing.get_or_insert_default().insert(key);
                    continue;
                }
                Ok(watcher::Event::InitDone) => {
                    let listed = listing.take().unwrap_or_default();
                    self.entries().retain(|(kind, key), _| *kind != K::KIND || listed.contains(key));
                    let bit = if K::KIND == PolicyKind::RemediationPolicy { 0b01 } else { 0b10 };
                    self.synced.fetch_or(bit, Ordering::AcqRel);
                }
                Ok(watcher::Event::Apply(object)) => {
                    self.put(object);
                }
                Ok(watcher::Event::Delete(object)) => {
                    let key = key(metadata(&object.0));
                    self.entries().remove(&(K::KIND, key));
                }
            }
            outage.works();
            self.publish();
        }
    }

    fn put<K: PolicyResource + kube::Resource<DynamicType = ()>>(&self, object: DeserializeGuard<K>) -> ObjectKey {
        let metadata = metadata(&object.0).clone();
        let (written, policy) = match object.0 {
            Ok(policy) => {
                let conditions = policy.status().map(|status| status.conditions.clone()).unwrap_or_default();
                (conditions.into_iter().find(|condition| condition.type_ == ACCEPTED), policy.compile())
            }
            Err(invalid) => (None, Err(Problem::Unreadable(invalid.error))),
        };
        let problem = policy.as_ref().err().map(ToString::to_string);
        let verdict = Verdict { generation: metadata.generation.unwrap_or_default(), problem, written };
        let key = key(&metadata);
        self.entries().insert((K::KIND, key.clone()), Entry { policy, verdict });
        key
    }

    /// Puts what is valid in force.
    fn publish(&self) {
        let mut entries = self.entries();
        let valid: Vec<Policy> = entries.values().filter_map(|entry| entry.policy.as_ref().ok()).cloned().collect();
        let rejected = self.store.set_resources(valid);
        for entry in entries.values_mut() {
            let Ok(policy) = &entry.policy else { continue };
            let refusal = rejected.iter().find(|rejected| rejected.reference == policy.reference);
            entry.verdict.problem = refusal.map(|rejected| rejected.problem.to_string());
        }
        let refused = entries.values().filter(|entry| entry.verdict.problem.is_some()).count();
        self.metrics.policies(Origin::Resource, entries.len() - refused, refused);
        drop(entries);
        self.changed.notify_one();
    }

    /// The policies whose status does not say what it should.
    pub fn to_report(&self) -> Vec<(PolicyKind, ObjectKey, Verdict)> {
        let entries = self.entries();
        let unsaid = entries.iter().filter(|(_, entry)| !entry.verdict.is_written());
        unsaid.map(|((kind, key), entry)| (*kind, key.clone(), entry.verdict.clone())).collect()
    }

    /// Waits until something changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<(PolicyKind, ObjectKey), Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The condition that says whether a policy is in force.
pub const ACCEPTED: &str = "Accepted";

impl Verdict {
    /// `True` or `False`, the reason and the message, as a condition has them.
    pub fn condition(&self) -> (&'static str, &'static str, String) {
        match &self.problem {
            None => ("True", "InForce", "the policy is in force".to_owned()),
            Some(problem) => ("False", "Invalid", problem.clone()),
        }
    }

    fn is_written(&self) -> bool {
        let (status, _, message) = self.condition();
        self.written.as_ref().is_some_and(|written| {
            written.status == status
                && written.message == message
                && written.observed_generation == Some(self.generation)
        })
    }
}

fn metadata<K: kube::Resource<DynamicType = ()>>(object: &Result<K, InvalidObject>) -> &ObjectMeta {
    match object {
        Ok(object) => object.meta(),
        Err(invalid) => &invalid.metadata,
    }
}

fn key(metadata: &ObjectMeta) -> ObjectKey {
    ObjectKey {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}
