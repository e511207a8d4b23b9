//! Policies from the API: a watch on each kind, whose objects are validated as files are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use kube::{
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::watcher,
};
use tokio::sync::Notify;

use super::{Origin, Policy, PolicyStore, Problem};
use crate::{
    api::{ClusterRemediationPolicy, EffectiveLimits, ObjectKey, PolicyKind, PolicyStatus, RemediationPolicy},
    telemetry::{Metrics, Watched, chain},
};

/// What is to be said about a policy of the API.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The generation it is about.
    pub generation: i64,
    /// Why it is not in force, if it is not.
    pub problem: Option<String>,
    /// What it asks for and does not get; of an object that cannot be read it is not known.
    pub above: Option<Vec<String>>,
    /// The limits that hold for it.
    pub limits: Option<EffectiveLimits>,
    /// What its status says now; of an object that cannot be read, what was last written into it by this process.
    pub written: Written,
}

/// What of a policy's status is ours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// `Accepted` and `Permitted`, in this order.
    pub conditions: Vec<Condition>,
    /// The limits that hold.
    pub limits: Option<EffectiveLimits>,
}

/// The policies of the API as the watches have brought them.
pub struct PolicyResources {
    store: Arc<PolicyStore>,
    metrics: Arc<Metrics>,
    entries: Mutex<BTreeMap<(PolicyKind, ObjectKey), Entry>>,
    synced: AtomicU8,
    /// By [`watch_of`].
    watched: [Watched; 2],
    changed: Notify,
}

/// Where a kind's watch is in a list of both.
const fn watch_of(kind: PolicyKind) -> usize {
    match kind {
        PolicyKind::RemediationPolicy => 0,
        PolicyKind::ClusterRemediationPolicy => 1,
    }
}

struct Entry {
    uid: Option<String>,
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
        let watched = [
            Watched::new(PolicyKind::RemediationPolicy.as_str(), "the watch on RemediationPolicies"),
            Watched::new(PolicyKind::ClusterRemediationPolicy.as_str(), "the watch on ClusterRemediationPolicies"),
        ];
        Self { store, metrics, entries: Mutex::default(), synced: AtomicU8::new(0), watched, changed: Notify::new() }
    }

    /// Whether the first list of both kinds is whole.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire) == 0b11
    }

    /// Whether the watches go on.
    pub fn watched(&self) -> &[Watched] {
        &self.watched
    }

    /// Follows the watch on one kind; ends only with it.
    pub async fn follow<K, S>(&self, watch: S)
    where
        K: PolicyResource + kube::Resource<DynamicType = ()>,
        S: Stream<Item = watcher::Result<watcher::Event<DeserializeGuard<K>>>>,
    {
        let mut watch = std::pin::pin!(watch);
        let mut listing: Option<BTreeSet<ObjectKey>> = None;
        let watched = &self.watched[watch_of(K::KIND)];
        while let Some(event) = watch.next().await {
            match event {
                Err(error) => {
                    watched.failed(&chain(&error));
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
                    self.synced.fetch_or(1 << watch_of(K::KIND), Ordering::AcqRel);
                }
                Ok(watcher::Event::Apply(object)) => {
                    self.put(object);
                }
                Ok(watcher::Event::Delete(object)) => {
                    let key = key(metadata(&object.0));
                    self.entries().remove(&(K::KIND, key));
                }
            }
            watched.works();
            self.publish();
        }
    }

    fn put<K: PolicyResource + kube::Resource<DynamicType = ()>>(&self, object: DeserializeGuard<K>) -> ObjectKey {
        let metadata = metadata(&object.0).clone();
        let key = key(&metadata);
        let mut entries = self.entries();
        let (written, policy) = match object.0 {
            Ok(policy) => {
                let status = policy.status().cloned().unwrap_or_default();
                let ours = [ACCEPTED, PERMITTED].into_iter();
                let ours = ours.filter_map(|name| status.conditions.iter().find(|known| known.type_ == name).cloned());
                (Written { conditions: ours.collect(), limits: status.effective_limits }, policy.compile())
            }
            // Its status does not come with it. Taken for unwritten, it would be written again for every change, and
            // each write is a change.
            Err(invalid) => {
                let known = entries.get(&(K::KIND, key.clone())).filter(|known| known.uid == metadata.uid);
                let written = known.map(|known| known.verdict.written.clone()).unwrap_or_default();
                (written, Err(Problem::Unreadable(invalid.error)))
            }
        };
        let problem = policy.as_ref().err().map(ToString::to_string);
        let bounds = self.store.bounds();
        let asked = policy.as_ref().ok().map(|policy| &policy.spec.limits);
        let verdict = Verdict {
            generation: metadata.generation.unwrap_or_default(),
            problem,
            above: asked.map(|asked| bounds.above(asked).iter().map(ToString::to_string).collect()),
            limits: asked.map(|asked| EffectiveLimits::of(&bounds.limits(asked), &bounds.ceilings)),
            written,
        };
        entries.insert((K::KIND, key.clone()), Entry { uid: metadata.uid, policy, verdict });
        key
    }

    /// Puts what is valid in force.
    fn publish(&self) {
        let valid: Vec<Policy> =
            self.entries().values().filter_map(|entry| entry.policy.as_ref().ok()).cloned().collect();
        self.store.set_resources(valid);
        self.judge();
        self.changed.notify_one();
    }

    /// Finds out anew which are in force. That can change without any of them: where files leave or take the room that
    /// there is for policies without alertname.
    pub fn judge(&self) {
        let rejected = self.store.rejected();
        let mut entries = self.entries();
        for entry in entries.values_mut() {
            let Ok(policy) = &entry.policy else { continue };
            let refusal = rejected.iter().find(|rejected| rejected.reference == policy.reference);
            entry.verdict.problem = refusal.map(|rejected| rejected.problem.to_string());
        }
        let refused = entries.values().filter(|entry| entry.verdict.problem.is_some()).count();
        self.metrics.policies(Origin::Resource, entries.len() - refused, refused);
    }

    /// The policies whose status does not say what it should.
    pub fn to_report(&self) -> Vec<(PolicyKind, ObjectKey, Verdict)> {
        let entries = self.entries();
        let unsaid = entries.iter().filter(|(_, entry)| !entry.verdict.is_written());
        unsaid.map(|((kind, key), entry)| (*kind, key.clone(), entry.verdict.clone())).collect()
    }

    /// That was written into a policy's status.
    pub fn reported(&self, kind: PolicyKind, key: &ObjectKey, written: Written) {
        if let Some(entry) = self.entries().get_mut(&(kind, key.clone())) {
            entry.verdict.written = written;
        }
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
/// The condition that says whether a policy gets what it asks for.
pub const PERMITTED: &str = "Permitted";

impl Verdict {
    /// Type, status, reason and message of each condition.
    fn said(&self) -> Vec<(&'static str, &'static str, &'static str, String)> {
        let accepted = match &self.problem {
            None => (ACCEPTED, "True", "InForce", "the policy is in force".to_owned()),
            Some(problem) => (ACCEPTED, "False", "Invalid", problem.clone()),
        };
        let permitted = match &self.above {
            None => (PERMITTED, "Unknown", "Invalid", "it cannot be told what the policy asks for".to_owned()),
            Some(above) if above.is_empty() => {
                (PERMITTED, "True", "WithinCeilings", "the policy gets what it asks for".to_owned())
            }
            Some(above) => (PERMITTED, "False", "AboveCeilings", format!("{}; the ceiling holds", above.join("; "))),
        };
        vec![accepted, permitted]
    }

    /// What to write. The time of a condition stays while its status does.
    pub fn to_write(&self, now: Timestamp) -> Written {
        let conditions = self.said().into_iter().map(|(type_, status, reason, message)| {
            let known = self.written.conditions.iter().find(|known| known.type_ == type_);
            let since = known.filter(|known| known.status == status).map(|known| known.last_transition_time.clone());
            Condition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: reason.to_owned(),
                message,
                last_transition_time: since.unwrap_or(Time(now)),
                observed_generation: Some(self.generation),
            }
        });
        Written { conditions: conditions.collect(), limits: self.limits.clone() }
    }

    fn is_written(&self) -> bool {
        let says = |type_: &str, status: &str, message: &str| {
            self.written.conditions.iter().any(|written| {
                written.type_ == type_
                    && written.status == status
                    && written.message == message
                    && written.observed_generation == Some(self.generation)
            })
        };
        self.written.limits == self.limits
            && self.said().iter().all(|(type_, status, _, message)| says(type_, status, message))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::stream;
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;

    type Guarded = DeserializeGuard<RemediationPolicy>;

    /// A policy as the API gives it; one whose `cooldown` is two days cannot be read.
    fn policy(uid: &str, generation: i64, cooldown: &str) -> Guarded {
        serde_json::from_value(json!({
            "apiVersion": "paramedic.dev/v1alpha1",
            "kind": "RemediationPolicy",
            "metadata": { "name": "restart", "namespace": "shop", "uid": uid, "generation": generation },
            "spec": {
                "match": ["alertname=\"MemoryLeak\""],
                "target": { "kind": "Pod" },
                "steps": [{ "restartPod": {} }],
                "limits": { "cooldown": cooldown },
            },
        }))
        .unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// What a leader would write, once it was written.
    fn write_all(resources: &PolicyResources, now: Timestamp) -> Vec<Condition> {
        let unsaid = resources.to_report();
        let write = |(kind, key, verdict): (PolicyKind, ObjectKey, Verdict)| {
            let written = verdict.to_write(now);
            resources.reported(kind, &key, written.clone());
            written.conditions.into_iter().find(|condition| condition.type_ == ACCEPTED).unwrap()
        };
        unsaid.into_iter().map(write).collect()
    }

    /// As many policies from files as there is room for without an alertname; the resource comes after them by name.
    fn files_that_take_all_the_room(number: usize) -> Vec<Policy> {
        let file = |number: usize| {
            let policy = json!({
                "apiVersion": "paramedic.dev/v1alpha1",
                "kind": "RemediationPolicy",
                "metadata": { "name": format!("a-{number}"), "namespace": "shop" },
                "spec": { "match": ["team=\"red\""], "target": { "kind": "Pod" }, "steps": [{ "restartPod": {} }] },
            });
            Policy::from_file(serde_json::from_value(policy).unwrap()).unwrap()
        };
        (0..number).map(file).collect()
    }

    #[test]
    fn a_verdict_follows_the_files_where_only_they_change() {
        let store = Arc::new(PolicyStore::default());
        let resources = PolicyResources::new(Arc::clone(&store), Arc::new(Metrics::default()));
        let mut unnamed = policy("a", 1, "1h");
        unnamed.0.as_mut().unwrap().spec.matchers = vec!["team=\"red\"".parse().unwrap()];
        resources.put(unnamed);
        resources.publish();
        assert_eq!(write_all(&resources, at(0))[0].status, "True");

        assert_eq!(store.set_files(files_that_take_all_the_room(100)), [], "the files themselves are in force");
        resources.judge();
        let crowded_out = write_all(&resources, at(1));
        assert_eq!(crowded_out[0].status, "False");
        assert!(crowded_out[0].message.contains("alertname"), "{}", crowded_out[0].message);

        store.set_files(files_that_take_all_the_room(99));
        resources.judge();
        assert_eq!(write_all(&resources, at(2))[0].status, "True");
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_reported_once_and_again_only_where_there_is_something_new_to_say() {
        let resources = Arc::new(PolicyResources::new(Arc::default(), Arc::new(Metrics::default())));
        let (brought, mut to_bring) = mpsc::unbounded_channel::<watcher::Event<Guarded>>();
        let events = stream::poll_fn(move |context| to_bring.poll_recv(context)).map(Ok);
        let following = Arc::clone(&resources);
        tokio::spawn(async move { following.follow(events).await });
        let bring = async |event| {
            brought.send(event).unwrap();
            tokio::time::timeout(Duration::from_secs(5), resources.changed()).await.unwrap();
        };

        bring(watcher::Event::Apply(policy("a", 1, "48h"))).await;
        let first = write_all(&resources, at(0));
        let [condition] = &first[..] else { panic!("{first:?}") };
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "Invalid"));
        assert!(condition.message.contains("longer than the 24h"), "{}", condition.message);

        // The write itself comes back as a change, and the object is listed again now and then.
        bring(watcher::Event::Apply(policy("a", 1, "48h"))).await;
        assert_eq!(write_all(&resources, at(1)), []);

        bring(watcher::Event::Apply(policy("a", 2, "72h"))).await;
        let second = write_all(&resources, at(2));
        let [changed] = &second[..] else { panic!("{second:?}") };
        assert_eq!((changed.observed_generation, changed.last_transition_time.0), (Some(2), at(0)), "false since then");
        bring(watcher::Event::Apply(policy("a", 2, "72h"))).await;
        assert_eq!(write_all(&resources, at(3)), []);

        bring(watcher::Event::Apply(policy("a", 3, "1h"))).await;
        assert_eq!(write_all(&resources, at(4)).len(), 1, "it is in force now");

        bring(watcher::Event::Apply(policy("b", 1, "48h"))).await;
        assert_eq!(write_all(&resources, at(5)).len(), 1, "another object of that name knows nothing of this");
    }
}
