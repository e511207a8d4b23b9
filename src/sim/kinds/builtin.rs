//! The rows of the table.

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::{CronJob, Job},
        coordination::v1::Lease,
        core::v1::{ConfigMap, Event, Namespace, Node, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount},
        events::v1::Event as NewEvent,
        policy::v1::PodDisruptionBudget,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::Resource;
use serde::{Serialize, de::DeserializeOwned};

use super::{ALL_VERBS, Dependents, Generation, KindInfo, Schema, decode};
use crate::api;

/// A row with what most kinds have.
fn row<K>(short_names: &[&str]) -> KindInfo
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
{
    let kind = K::kind(&()).into_owned();
    KindInfo {
        group: K::group(&()).into_owned(),
        version: K::version(&()).into_owned(),
        singular: kind.to_lowercase(),
        kind,
        plural: K::plural(&()).into_owned(),
        short_names: short_names.iter().map(|name| (*name).to_owned()).collect(),
        categories: Vec::new(),
        namespaced: true,
        subresources: Vec::new(),
        verbs: ALL_VERBS,
        unconditional_update: true,
        create_on_update: false,
        generation: Generation::None,
        dependents: Dependents::Deleted,
        returns_deleted: false,
        schema: None,
        definition: None,
        storage: 0,
        codec: decode::through::<K>,
    }
}

impl KindInfo {
    fn with(mut self, subresources: &[&'static str]) -> Self {
        self.subresources = subresources.to_vec();
        self
    }

    fn in_all(mut self) -> Self {
        self.categories = vec!["all".to_owned()];
        self
    }

    fn of_cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    fn generation(mut self, generation: Generation) -> Self {
        self.generation = generation;
        self
    }

    fn returned(mut self) -> Self {
        self.returns_deleted = true;
        self
    }

    fn over_a_version(mut self) -> Self {
        self.unconditional_update = false;
        self
    }

    fn made_by_update(mut self) -> Self {
        self.create_on_update = true;
        self
    }

    fn dependents(mut self, dependents: Dependents) -> Self {
        self.dependents = dependents;
        self
    }

    fn verbs(mut self, verbs: &'static [&'static str]) -> Self {
        self.verbs = verbs;
        self
    }
}

/// The whole table.
pub(super) fn table() -> Vec<KindInfo> {
    use Generation::{Spec, SpecOrAnnotations};
    const NO_COLLECTION: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
    let mut rows = vec![
        row::<Namespace>(&["ns"]).of_cluster().with(&["status", "finalize"]).returned().verbs(NO_COLLECTION),
        row::<Node>(&["no"]).of_cluster().with(&["status"]),
        row::<Pod>(&["po"]).in_all().with(&["status", "eviction", "log"]).generation(Spec).returned(),
        row::<Event>(&["ev"]).made_by_update().dependents(Dependents::None),
        row::<ConfigMap>(&["cm"]),
        row::<Secret>(&[]),
        row::<Service>(&["svc"]).in_all().with(&["status"]).made_by_update().returned(),
        row::<ServiceAccount>(&["sa"]).returned(),
        row::<PersistentVolumeClaim>(&["pvc"]).with(&["status"]).returned(),
        row::<Deployment>(&["deploy"]).in_all().with(&["status", "scale"]).generation(SpecOrAnnotations),
        row::<ReplicaSet>(&["rs"]).in_all().with(&["status", "scale"]).generation(Spec),
        row::<StatefulSet>(&["sts"]).in_all().with(&["status", "scale"]).generation(Spec),
        row::<DaemonSet>(&["ds"]).in_all().with(&["status"]).generation(SpecOrAnnotations),
        row::<ControllerRevision>(&[]),
        row::<Job>(&[]).in_all().with(&["status"]).generation(Spec).dependents(Dependents::Orphaned),
        row::<CronJob>(&["cj"]).in_all().with(&["status"]).generation(Spec),
        row::<PodDisruptionBudget>(&["pdb"]).with(&["status"]).generation(Spec).over_a_version(),
        row::<Lease>(&[]).over_a_version().made_by_update(),
        row::<CustomResourceDefinition>(&["crd", "crds"])
            .of_cluster()
            .with(&["status"])
            .verbs(&["get", "list", "watch"])
            .over_a_version(),
    ];
    for (number, row) in rows.iter_mut().enumerate() {
        row.storage = number;
    }
    rows.extend(own(rows.len()));
    let core_events = rows.iter().find(|row| row.kind == "Event").map(|row| row.storage).unwrap_or_default();
    let mut events = row::<NewEvent>(&["ev"]).made_by_update().dependents(Dependents::None);
    events.storage = core_events;
    rows.push(events);
    rows
}

/// Those of a kind that comes from a definition, in the order in which discovery has them.
const CUSTOM_VERBS: &[&str] = &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// Our own kinds, from their definitions.
fn own(first: usize) -> Vec<KindInfo> {
    let definitions = api::crds().into_iter().enumerate();
    definitions.filter_map(|(number, definition)| custom(first + number, definition)).collect()
}

fn custom(storage: usize, definition: CustomResourceDefinition) -> Option<KindInfo> {
    let spec = definition.spec.clone();
    let version = spec.versions.into_iter().next()?;
    let subresources = version.subresources;
    let has_status = subresources.as_ref().is_some_and(|those| those.status.is_some());
    let schema = serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?;
    Some(KindInfo {
        group: spec.group,
        version: version.name,
        singular: spec.names.singular.unwrap_or_else(|| spec.names.kind.to_lowercase()),
        kind: spec.names.kind,
        plural: spec.names.plural,
        short_names: spec.names.short_names.unwrap_or_default(),
        categories: spec.names.categories.unwrap_or_default(),
        namespaced: spec.scope == "Namespaced",
        subresources: if has_status { vec!["status"] } else { Vec::new() },
        verbs: CUSTOM_VERBS,
        unconditional_update: false,
        create_on_update: false,
        generation: Generation::Custom,
        dependents: Dependents::Deleted,
        returns_deleted: false,
        schema: Some(Schema::new(&schema)),
        definition: Some(Box::new(definition)),
        storage,
        codec: decode::as_it_is,
    })
}
