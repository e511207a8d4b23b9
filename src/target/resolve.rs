//! Asks the API for the object that an alert names, its subject, and the subject's pods.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
        core::v1::{Namespace, Pod},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::ListParams,
    core::{NamespaceResourceScope, Selector},
};
use serde::de::DeserializeOwned;

use super::{Named, Unnamed, WorkloadState, named};
use crate::{
    alert::Labels,
    api::{DISABLED_ANNOTATION, ObjectRef, TargetKind, TargetSpec, resumed_at},
    policy::covers,
};

/// What a remediation may touch.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// The alert's labels.
    pub labels: &'a Labels,
    /// What the policy acts on.
    pub target: TargetSpec,
    /// The namespaces that the policy and the source allow.
    pub namespaces: &'a [String],
    /// The namespaces that nobody may touch.
    pub protected: &'a [String],
}

/// A subject as the API shows it now.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Which object it is.
    pub object: ObjectRef,
    /// What it says of itself.
    pub state: WorkloadState,
    /// Its resourceVersion, for writes that must not meet a change.
    pub resource_version: Option<String>,
    /// Whether it is opted out.
    pub opted_out: bool,
    /// When somebody said that what failed on it does not count any more.
    pub resumed_at: Option<Timestamp>,
}

/// The pods of a subject that are not finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// The UIDs of those that are ready and not on their way out.
    pub ready: Vec<String>,
    /// The names of all that live.
    pub names: Vec<String>,
    /// The UIDs of those that are on their way out or have finished.
    pub ending: Vec<String>,
}

/// A target that was found, and all that has to be known of it before acting.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The object.
    pub target: ObjectRef,
    /// Whether the target, a pod, is ready; `true` for workloads.
    pub target_ready: bool,
    /// The target's root controller, or the target itself.
    pub subject: Workload,
    /// The subject's pods.
    pub pods: Pods,
    /// What is opted out, if anything: the target, its subject or its namespace.
    pub opted_out: Option<String>,
}

/// Why there is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// The labels name none.
    #[error(transparent)]
    Unnamed(#[from] Unnamed),
    /// The namespace is not for this policy and source.
    #[error("namespace {0} is not among those that this policy and this source may touch")]
    NotPermitted(String),
    /// The namespace is protected.
    #[error("namespace {0} is protected")]
    Protected(String),
    /// It does not exist.
    #[error("there is no {kind} {namespace}/{name}")]
    Missing {
        /// The kind.
        kind: &'static str,
        /// The namespace.
        namespace: String,
        /// The name.
        name: String,
    },
    /// It is on its way out already.
    #[error("{0} is going already: it is being deleted, so there is nothing left to end")]
    Terminating(String),
    /// It has run to its end.
    #[error("{0} is gone already: it has finished, so there is nothing left to end")]
    Finished(String),
    /// It is the pod that the alert's metrics were scraped from, or not the one that its other labels speak of.
    #[error("{0}")]
    Exporter(String),
    /// Nothing would start it again.
    #[error("{0}")]
    NoController(String),
    /// What the API says does not lead to one subject: a selector that is not valid or selects every pod, an owner
    /// of another UID.
    #[error("{0}")]
    Ambiguous(String),
    /// Paramedic may not ask.
    #[error("Paramedic's service account may not read {what}: {why}")]
    Forbidden {
        /// What was asked for.
        what: String,
        /// What the API said.
        why: String,
    },
    /// The API did not say.
    #[error("the API did not answer: {0}")]
    Api(String),
}

/// Asks the API.
#[derive(Clone)]
pub struct Resolver {
    client: Client,
}

impl Resolver {
    /// With this client; its requests must have a time-out of their own.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Finds the target, its subject and the subject's pods.
    pub async fn resolve(&self, lookup: Lookup<'_>) -> Result<Resolved, Unresolved> {
        let named = named(lookup.labels, lookup.target.kind)?;
        let namespace = named.namespace.as_str();
        permitted(namespace, lookup.namespaces, lookup.protected)?;
        let (namespace_object, found) = tokio::join!(self.namespace(namespace), self.find(&named, lookup));
        let namespace_object = namespace_object?;
        let Found { target, target_ready, target_opted_out, subject } = found?;
        let pods = self.pods(&subject).await?;
        let opted_out = if target_opted_out {
            Some(target.to_string())
        } else if subject.opted_out {
            Some(subject.object.to_string())
        } else {
            disabled(&namespace_object.metadata).then(|| format!("namespace {namespace}"))
        };
        Ok(Resolved { target, target_ready, subject, pods, opted_out })
    }

    /// A subject that an earlier step acted on, as the target itself.
    pub async fn resolve_subject(
        &self,
        subject: &ObjectRef,
        allowed: &[String],
        protected: &[String],
    ) -> Result<Resolved, Unresolved> {
        let namespace = subject.namespace.as_str();
        permitted(namespace, allowed, protected)?;
        let (namespace_object, found) =
            tokio::join!(self.namespace(namespace), self.workload(&subject.kind, namespace, &subject.name));
        let (namespace_object, workload) = (namespace_object?, found?);
        if workload.object.uid != subject.uid {
            return Err(Unresolved::Missing {
                kind: "subject of that UID",
                namespace: namespace.to_owned(),
                name: subject.name.clone(),
            });
        }
        let pods = self.pods(&workload).await?;
        let opted_out = if workload.opted_out {
            Some(workload.object.to_string())
        } else {
            disabled(&namespace_object.metadata).then(|| format!("namespace {namespace}"))
        };
        Ok(Resolved { target: workload.object.clone(), target_ready: true, subject: workload, pods, opted_out })
    }

    async fn namespace(&self, name: &str) -> Result<Namespace, Unresolved> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces.get_opt(name).await.map_err(|error| no_answer(&format!("Namespace {name}"), error))?;
        found.ok_or_else(|| missing("Namespace", name, name))
    }

    async fn find(&self, named: &Named, lookup: Lookup<'_>) -> Result<Found, Unresolved> {
        let Named { namespace, name, .. } = named;
        if lookup.target.kind == TargetKind::Pod {
            let pod: Pod = self.get("Pod", namespace, name).await?;
            return self.found_pod(&pod, named, lookup).await;
        }
        let subject = self.workload(lookup.target.kind.as_str(), namespace, name).await?;
        Ok(Found { target: subject.object.clone(), target_ready: true, target_opted_out: subject.opted_out, subject })
    }

    async fn found_pod(&self, pod: &Pod, named: &Named, lookup: Lookup<'_>) -> Result<Found, Unresolved> {
        let target = reference::<Pod>(&pod.metadata);
        if pod.metadata.deletion_timestamp.is_some() {
            return Err(Unresolved::Terminating(target.to_string()));
        }
        if finished(pod) {
            return Err(Unresolved::Finished(target.to_string()));
        }
        let (chain, subject) = self.root(&pod.metadata).await?;
        if !named.exported && !lookup.target.allow_scrape_target {
            scraped_from(pod, &subject.object, lookup.labels)?;
        }
        speaks_of_another(pod, &chain, lookup.labels)?;
        Ok(Found { target, target_ready: is_ready(pod), target_opted_out: disabled(&pod.metadata), subject })
    }

    /// Follows the controllers upwards; gives all of them, and the root as a workload.
    async fn root(&self, pod: &ObjectMeta) -> Result<(Vec<(String, String)>, Workload), Unresolved> {
        let namespace = pod.namespace.clone().unwrap_or_default();
        let pod_name = pod.name.clone().unwrap_or_default();
        let owner = controller(pod).ok_or_else(|| {
            Unresolved::NoController(format!("Pod {namespace}/{pod_name} has no controller that would start it again"))
        })?;
        let unsupported = |owner: &OwnerReference| {
            Unresolved::NoController(format!(
                "Pod {namespace}/{pod_name} belongs to {} {}, a kind whose health cannot be read",
                owner.kind, owner.name
            ))
        };
        if !owner.api_version.starts_with("apps/") {
            return Err(unsupported(&owner));
        }
        let mut chain = vec![(owner.kind.clone(), owner.name.clone())];
        if owner.kind == "ReplicaSet" {
            let set: ReplicaSet = self.get("ReplicaSet", &namespace, &owner.name).await?;
            same_uid(&set.metadata, &owner)?;
            let Some(parent) = controller(&set.metadata) else {
                return Ok((chain, workload(&set, WorkloadState::of_replica_set(&set))?));
            };
            if parent.kind != "Deployment" || !parent.api_version.starts_with("apps/") {
                return Err(unsupported(&parent));
            }
            chain.push((parent.kind.clone(), parent.name.clone()));
            let root = self.workload("Deployment", &namespace, &parent.name).await?;
            return matches_uid(&root, &parent).map(|()| (chain, root));
        }
        let root = match owner.kind.as_str() {
            "StatefulSet" | "DaemonSet" => self.workload(&owner.kind, &namespace, &owner.name).await?,
            _ => return Err(unsupported(&owner)),
        };
        matches_uid(&root, &owner).map(|()| (chain, root))
    }

    /// One workload of a kind that is known, as it is now.
    pub async fn workload(&self, kind: &str, namespace: &str, name: &str) -> Result<Workload, Unresolved> {
        match kind {
            "Deployment" => {
                let found: Deployment = self.get("Deployment", namespace, name).await?;
                workload(&found, WorkloadState::of_deployment(&found))
            }
            "StatefulSet" => {
                let found: StatefulSet = self.get("StatefulSet", namespace, name).await?;
                workload(&found, WorkloadState::of_stateful_set(&found))
            }
            "DaemonSet" => {
                let found: DaemonSet = self.get("DaemonSet", namespace, name).await?;
                workload(&found, WorkloadState::of_daemon_set(&found))
            }
            "ReplicaSet" => {
                let found: ReplicaSet = self.get("ReplicaSet", namespace, name).await?;
                workload(&found, WorkloadState::of_replica_set(&found))
            }
            other => Err(Unresolved::NoController(format!("{other} {namespace}/{name} is of an unknown kind"))),
        }
    }

    /// The pods that a workload's selector selects, but for those that have finished.
    pub async fn pods(&self, workload: &Workload) -> Result<Pods, Unresolved> {
        let selector = label_selector(workload)?;
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &workload.object.namespace);
        let params = ListParams::default().labels_from(&selector);
        let what = || format!("the Pods of {}", workload.object);
        let list = api.list(&params).await.map_err(|error| no_answer(&what(), error))?;
        let lives = |pod: &&Pod| !finished(pod) && pod.metadata.deletion_timestamp.is_none();
        let living = || list.items.iter().filter(lives);
        Ok(Pods {
            ending: list.items.iter().filter(|pod| !lives(pod)).filter_map(ResourceExt::uid).collect(),
            ready: living().filter(|pod| is_ready(pod)).filter_map(ResourceExt::uid).collect(),
            names: living().map(ResourceExt::name_any).collect(),
        })
    }

    async fn get<K>(&self, kind: &'static str, namespace: &str, name: &str) -> Result<K, Unresolved>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let what = || format!("{kind} {namespace}/{name}");
        let found = api.get_opt(name).await.map_err(|error| no_answer(&what(), error))?;
        found.ok_or_else(|| missing(kind, namespace, name))
    }
}

struct Found {
    target: ObjectRef,
    target_ready: bool,
    target_opted_out: bool,
    subject: Workload,
}

fn permitted(namespace: &str, allowed: &[String], protected: &[String]) -> Result<(), Unresolved> {
    if !covers(allowed, namespace) {
        return Err(Unresolved::NotPermitted(namespace.to_owned()));
    }
    if protected.iter().any(|protected| protected == namespace) {
        return Err(Unresolved::Protected(namespace.to_owned()));
    }
    Ok(())
}

fn missing(kind: &'static str, namespace: &str, name: &str) -> Unresolved {
    Unresolved::Missing { kind, namespace: namespace.to_owned(), name: name.to_owned() }
}

fn no_answer(what: &str, error: kube::Error) -> Unresolved {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            Unresolved::Forbidden { what: what.to_owned(), why: status.message.clone() }
        }
        error => Unresolved::Api(error.to_string()),
    }
}

fn workload<K: Resource<DynamicType = ()>>(object: &K, state: Option<WorkloadState>) -> Result<Workload, Unresolved> {
    let reference = reference::<K>(object.meta());
    let state = state.ok_or_else(|| Unresolved::Api(format!("{reference} came without spec or status")))?;
    Ok(Workload {
        object: reference,
        state,
        resource_version: object.meta().resource_version.clone(),
        opted_out: disabled(object.meta()),
        resumed_at: resumed_at(object.meta()),
    })
}

fn reference<K: Resource<DynamicType = ()>>(metadata: &ObjectMeta) -> ObjectRef {
    ObjectRef {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
    }
}

fn controller(metadata: &ObjectMeta) -> Option<OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true)).cloned()
}

fn same_uid(metadata: &ObjectMeta, owner: &OwnerReference) -> Result<(), Unresolved> {
    if metadata.uid.as_deref() == Some(owner.uid.as_str()) {
        return Ok(());
    }
    Err(Unresolved::Ambiguous(format!("{} {} is not the one that its pod belongs to", owner.kind, owner.name)))
}

fn matches_uid(root: &Workload, owner: &OwnerReference) -> Result<(), Unresolved> {
    if root.object.uid == owner.uid {
        return Ok(());
    }
    Err(Unresolved::Ambiguous(format!("{} is not the one that its pod belongs to", root.object)))
}

/// Whether an object carries the opt-out annotation. Any value but `false` counts: whoever wrote it meant it.
fn disabled(metadata: &ObjectMeta) -> bool {
    let annotations = metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(DISABLED_ANNOTATION)).is_some_and(|value| value != "false")
}

fn finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn label_selector(workload: &Workload) -> Result<Selector, Unresolved> {
    let object = &workload.object;
    let parsed: Selector = (workload.state.selector.clone().try_into())
        .map_err(|error| Unresolved::Ambiguous(format!("the selector of {object} is not valid: {error}")))?;
    if parsed.selects_all() {
        let message = format!("the selector of {object} selects every pod, so that its own cannot be told from others");
        return Err(Unresolved::Ambiguous(message));
    }
    Ok(parsed)
}

/// Refuses the pod that the alert's metrics were scraped from: what they speak of is another object.
///
/// It is that pod where `instance` is its address (with one of its own ports, where it shares the node's address), or
/// where `job` is the name that the pod, or its controller, goes by.
fn scraped_from(pod: &Pod, subject: &ObjectRef, labels: &Labels) -> Result<(), Unresolved> {
    let name = pod.name_any();
    let refuse = |why: String| {
        Err(Unresolved::Exporter(format!(
            "Pod {name} is the one that the alert's metrics were scraped from ({why}); set target.allowScrapeTarget \
             where the alert is about that pod itself"
        )))
    };
    if let Some((host, port)) = labels.get("instance").and_then(|instance| instance.rsplit_once(':')) {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten());
        let has_address = addresses.into_iter().any(|address| address.ip == host)
            || pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()) == Some(host);
        let shares_the_nodes = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or_default();
        if has_address && (!shares_the_nodes || listens_on(pod, port)) {
            return refuse(format!("instance=\"{host}:{port}\" is its address"));
        }
    }
    if let Some(job) = labels.get("job") {
        let job_name = job.rsplit('/').next().unwrap_or(job);
        let known_as = ["app.kubernetes.io/name", "app", "k8s-app"];
        let goes_by = known_as.iter().any(|label| pod.labels().get(*label).is_some_and(|value| value == job_name));
        if goes_by || subject.name == job_name {
            return refuse(format!("job=\"{job}\" is its own"));
        }
    }
    Ok(())
}

fn listens_on(pod: &Pod, port: &str) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports.any(|declared| declared.container_port.to_string() == port)
}

/// Refuses a pod where the alert also names an object that the pod has nothing to do with: then that object is what the
/// alert is about, and the pod is the exporter that reported it.
fn speaks_of_another(pod: &Pod, chain: &[(String, String)], labels: &Labels) -> Result<(), Unresolved> {
    let owners: BTreeMap<&str, &str> = chain.iter().map(|(kind, name)| (kind.as_str(), name.as_str())).collect();
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let claims: Vec<&str> =
        volumes.filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.as_str())).collect();
    let refuse = |label: &str, value: &str| {
        Err(Unresolved::Exporter(format!(
            "the alert names {label}=\"{value}\", which Pod {} does not belong to: the pod is its exporter",
            pod.name_any()
        )))
    };
    let of_kind = [
        ("deployment", "Deployment"),
        ("replicaset", "ReplicaSet"),
        ("statefulset", "StatefulSet"),
        ("daemonset", "DaemonSet"),
        ("job_name", "Job"),
        ("cronjob", "CronJob"),
    ];
    for (label, kind) in of_kind {
        if let Some(value) = labels.get(label).filter(|value| owners.get(kind) != Some(value)) {
            return refuse(label, value);
        }
    }
    if let Some(claim) = labels.get("persistentvolumeclaim").filter(|claim| !claims.contains(claim)) {
        return refuse("persistentvolumeclaim", claim);
    }
    for label in ["horizontalpodautoscaler", "poddisruptionbudget"] {
        if let Some(value) = labels.get(label) {
            return refuse(label, value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod unanswered {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
    use serde_json::json;

    use super::*;

    fn cart(selector: &LabelSelector) -> Workload {
        let set: ReplicaSet = serde_json::from_value(json!({
            "metadata": { "namespace": "shop", "name": "cart", "uid": "1" },
            "spec": { "selector": selector },
        }))
        .unwrap();
        workload(&set, WorkloadState::of_replica_set(&set)).unwrap()
    }

    #[test]
    fn what_leads_to_no_one_subject_is_not_taken_for_an_api_that_does_not_answer() {
        let everything = label_selector(&cart(&LabelSelector::default())).unwrap_err();
        assert!(matches!(everything, Unresolved::Ambiguous(_)), "{everything:?}");
        assert!(everything.to_string().contains("ReplicaSet shop/cart selects every pod"), "{everything}");
        let invalid = json!({ "matchExpressions": [{ "key": "app", "operator": "Sometimes" }] });
        let invalid = label_selector(&cart(&serde_json::from_value(invalid).unwrap())).unwrap_err();
        assert!(matches!(invalid, Unresolved::Ambiguous(_)), "{invalid:?}");

        let some = json!({ "matchLabels": { "app": "cart" } });
        assert!(label_selector(&cart(&serde_json::from_value(some).unwrap())).is_ok());

        let owner = OwnerReference { kind: "ReplicaSet".to_owned(), uid: "2".to_owned(), ..OwnerReference::default() };
        let another = matches_uid(&cart(&LabelSelector::default()), &owner).unwrap_err();
        assert!(matches!(another, Unresolved::Ambiguous(_)), "{another:?}");
    }

    #[test]
    fn what_may_not_be_asked_says_so() {
        let error = |code: u16| -> kube::Error {
            let status = json!({ "code": code, "message": "pods is forbidden", "reason": "Forbidden" });
            kube::Error::Api(serde_json::from_value(status).unwrap())
        };
        let forbidden = no_answer("Pod shop/cart-1", error(403));
        let text = "Paramedic's service account may not read Pod shop/cart-1: pods is forbidden";
        assert_eq!(forbidden.to_string(), text);
        assert!(matches!(no_answer("Pod shop/cart-1", error(500)), Unresolved::Api(_)));
    }
}
