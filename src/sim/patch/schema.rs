//! How the lists and objects of a kind are merged: the one table behind strategic merge patch and server-side apply.
//!
//! Only what differs from the rule is in it. The rule is: objects are merged field by field, lists are replaced.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};
use serde_json::{Map, Value};

use crate::api;

/// The fields of a type that are not merged by the rule, or that lead to such.
#[derive(Debug, Default)]
pub(super) struct Type {
    /// By name.
    fields: BTreeMap<String, Field>,
    /// Whether the API server holds the type as a struct, in which some objects are there even when nobody gave them.
    pub built_in: bool,
}

/// How one field is merged.
#[derive(Debug, Default)]
pub(super) struct Field {
    /// How server-side apply takes it.
    pub shape: Shape,
    /// How strategic merge patch takes it.
    pub strategy: Strategy,
    /// The type of it, or of its elements, when that is in the table.
    pub of: Option<Arc<Type>>,
}

/// What is owned of a field.
#[derive(Debug, Default)]
pub(super) enum Shape {
    /// Each field of an object; a list as a whole.
    #[default]
    Plain,
    /// All of it, objects too.
    Atomic,
    /// Each value of the list.
    Set,
    /// Each element of the list, known by these fields.
    Keyed(Vec<Key>),
}

/// A field that tells an element of a list from the others.
#[derive(Debug)]
pub(super) struct Key {
    /// Its name.
    pub name: String,
    /// What it is when it is not given.
    pub default: Option<Value>,
}

/// How a strategic merge patch changes a field.
#[derive(Debug, Default, PartialEq)]
pub(super) enum Strategy {
    /// Objects are merged, lists are replaced.
    #[default]
    Plain,
    /// Objects too are replaced.
    Replace,
    /// A list of values that is added to.
    Values,
    /// A list of objects, each merged into the one that has the same in this field.
    By(String),
}

/// What a field is when the table does not say.
pub(super) static PLAIN: Field = Field { shape: Shape::Plain, strategy: Strategy::Plain, of: None };

impl Type {
    /// How the field of that name is merged.
    pub fn field(&self, name: &str) -> &Field {
        self.fields.get(name).unwrap_or(&PLAIN)
    }
}

impl Field {
    /// How a field within this one, or within its elements, is merged.
    pub fn within(&self, name: &str) -> &Field {
        self.of.as_ref().map_or(&PLAIN, |of| of.field(name))
    }

    /// What an element of this list is called in a set of fields; nothing for lists that are owned as a whole, and for
    /// elements that lack their keys.
    pub fn element(&self, item: &Value) -> Option<String> {
        match &self.shape {
            Shape::Set if !item.is_object() && !item.is_array() && !item.is_null() => Some(format!("v:{item}")),
            Shape::Keyed(keys) => {
                let item = item.as_object()?;
                let found: Map<String, Value> = keys
                    .iter()
                    .filter_map(|key| {
                        let value = item.get(&key.name).or(key.default.as_ref())?;
                        Some((key.name.clone(), value.clone()))
                    })
                    .collect();
                (!found.is_empty()).then(|| format!("k:{}", Value::Object(found)))
            }
            _ => None,
        }
    }
}

/// A field of the table.
enum Rule {
    /// An object of that type.
    Of(&'static str),
    /// An object that is owned as a whole.
    Whole,
    /// The same, and a strategic merge patch replaces it.
    Replaced,
    /// A set of values.
    Set,
    /// A set of values, which a strategic merge patch replaces.
    Values,
    /// A list of that type by these fields; a strategic merge patch looks at the first of them only.
    Keyed(&'static [&'static str], &'static str),
    /// The same, which a strategic merge patch replaces.
    Listed(&'static [&'static str]),
    /// A list that is owned as a whole, and that a strategic merge patch merges by this field.
    Merged(&'static str),
}
use Rule::{Keyed, Listed, Merged, Of, Replaced, Set, Values, Whole};

/// No type of the table.
const NONE: &str = "";

/// Type, and its fields that are not merged by the rule. From the API's published schema.
#[rustfmt::skip]
const TABLE: &[(&str, &[(&str, Rule)])] = &[
    ("ObjectMeta", &[("finalizers", Set), ("ownerReferences", Keyed(&["uid"], NONE))]),
    ("Conditions", &[("conditions", Keyed(&["type"], NONE))]),
    // Pods.
    ("Pod", &[("metadata", Of("ObjectMeta")), ("spec", Of("PodSpec")), ("status", Of("PodStatus"))]),
    ("PodTemplateSpec", &[("metadata", Of("ObjectMeta")), ("spec", Of("PodSpec"))]),
    ("PodSpec", &[
        ("affinity", Of("Affinity")),
        ("containers", Keyed(&["name"], "Container")),
        ("ephemeralContainers", Keyed(&["name"], "Container")),
        ("hostAliases", Keyed(&["ip"], NONE)),
        ("imagePullSecrets", Keyed(&["name"], NONE)),
        ("initContainers", Keyed(&["name"], "Container")),
        ("nodeSelector", Whole),
        ("resourceClaims", Keyed(&["name"], NONE)),
        ("resources", Of("Resources")),
        ("schedulingGates", Keyed(&["name"], NONE)),
        ("topologySpreadConstraints", Keyed(&["topologyKey", "whenUnsatisfiable"], "TopologySpreadConstraint")),
        ("volumes", Keyed(&["name"], "Volume")),
    ]),
    ("Affinity", &[("nodeAffinity", Of("NodeAffinity"))]),
    ("NodeAffinity", &[("requiredDuringSchedulingIgnoredDuringExecution", Whole)]),
    ("TopologySpreadConstraint", &[("labelSelector", Whole)]),
    ("Container", &[
        ("env", Keyed(&["name"], "EnvVar")),
        ("ports", Keyed(&["containerPort", "protocol"], NONE)),
        ("resources", Of("Resources")),
        ("volumeDevices", Keyed(&["devicePath"], NONE)),
        ("volumeMounts", Keyed(&["mountPath"], NONE)),
    ]),
    ("EnvVar", &[("valueFrom", Of("EnvVarSource"))]),
    ("EnvVarSource", &[
        ("configMapKeyRef", Whole), ("fieldRef", Whole), ("fileKeyRef", Whole), ("resourceFieldRef", Whole),
        ("secretKeyRef", Whole),
    ]),
    ("Resources", &[("claims", Listed(&["name"]))]),
    ("Volume", &[
        ("cephfs", Of("SecretVolume")), ("cinder", Of("SecretVolume")), ("csi", Of("SecretVolume")),
        ("ephemeral", Of("EphemeralVolume")), ("flexVolume", Of("SecretVolume")), ("iscsi", Of("SecretVolume")),
        ("rbd", Of("SecretVolume")), ("scaleIO", Of("SecretVolume")), ("storageos", Of("SecretVolume")),
    ]),
    ("SecretVolume", &[
        ("secretRef", Whole), ("nodePublishSecretRef", Whole), ("controllerExpandSecretRef", Whole),
        ("controllerPublishSecretRef", Whole), ("nodeExpandSecretRef", Whole), ("nodeStageSecretRef", Whole),
    ]),
    ("EphemeralVolume", &[("volumeClaimTemplate", Of("PersistentVolumeClaim"))]),
    ("PodStatus", &[
        ("conditions", Keyed(&["type"], NONE)),
        ("hostIPs", Merged("ip")),
        ("podIPs", Keyed(&["ip"], NONE)),
        ("resourceClaimStatuses", Keyed(&["name"], NONE)),
    ]),
    // Workloads.
    ("Deployment", &[("metadata", Of("ObjectMeta")), ("spec", Of("WorkloadSpec")), ("status", Of("Conditions"))]),
    ("ReplicaSet", &[("metadata", Of("ObjectMeta")), ("spec", Of("WorkloadSpec")), ("status", Of("Conditions"))]),
    ("StatefulSet", &[("metadata", Of("ObjectMeta")), ("spec", Of("WorkloadSpec")), ("status", Of("Conditions"))]),
    ("DaemonSet", &[("metadata", Of("ObjectMeta")), ("spec", Of("WorkloadSpec")), ("status", Of("Conditions"))]),
    ("ReplicationController", &[
        ("metadata", Of("ObjectMeta")), ("spec", Of("WorkloadSpec")), ("status", Of("Conditions")),
    ]),
    ("WorkloadSpec", &[("selector", Whole), ("template", Of("PodTemplateSpec"))]),
    ("ControllerRevision", &[("metadata", Of("ObjectMeta"))]),
    ("Job", &[("metadata", Of("ObjectMeta")), ("spec", Of("WorkloadSpec")), ("status", Of("JobStatus"))]),
    ("JobStatus", &[("conditions", Merged("type")), ("uncountedTerminatedPods", Of("UncountedPods"))]),
    ("UncountedPods", &[("failed", Values), ("succeeded", Values)]),
    ("CronJob", &[("metadata", Of("ObjectMeta")), ("spec", Of("CronJobSpec"))]),
    ("CronJobSpec", &[("jobTemplate", Of("JobTemplateSpec"))]),
    ("JobTemplateSpec", &[("metadata", Of("ObjectMeta")), ("spec", Of("WorkloadSpec"))]),
    // The rest of the core.
    ("Node", &[("metadata", Of("ObjectMeta")), ("spec", Of("NodeSpec")), ("status", Of("NodeStatus"))]),
    ("NodeSpec", &[("podCIDRs", Set)]),
    ("NodeStatus", &[("addresses", Keyed(&["type"], NONE)), ("conditions", Keyed(&["type"], NONE))]),
    ("Namespace", &[("metadata", Of("ObjectMeta")), ("status", Of("Conditions"))]),
    ("Service", &[("metadata", Of("ObjectMeta")), ("spec", Of("ServiceSpec")), ("status", Of("Conditions"))]),
    ("ServiceSpec", &[("ports", Keyed(&["port", "protocol"], NONE)), ("selector", Whole)]),
    ("ServiceAccount", &[("metadata", Of("ObjectMeta")), ("secrets", Keyed(&["name"], NONE))]),
    ("ConfigMap", &[("metadata", Of("ObjectMeta"))]),
    ("Secret", &[("metadata", Of("ObjectMeta"))]),
    ("Endpoints", &[("metadata", Of("ObjectMeta"))]),
    ("Event", &[
        ("metadata", Of("ObjectMeta")), ("involvedObject", Whole), ("regarding", Whole), ("related", Whole),
    ]),
    ("PersistentVolumeClaim", &[
        ("metadata", Of("ObjectMeta")), ("spec", Of("PersistentVolumeClaimSpec")), ("status", Of("Conditions")),
    ]),
    ("PersistentVolumeClaimSpec", &[("dataSource", Whole), ("selector", Whole)]),
    // Others.
    ("PodDisruptionBudget", &[
        ("metadata", Of("ObjectMeta")), ("spec", Of("PodDisruptionBudgetSpec")), ("status", Of("Conditions")),
    ]),
    ("PodDisruptionBudgetSpec", &[("selector", Replaced)]),
    ("Lease", &[("metadata", Of("ObjectMeta"))]),
    ("Scale", &[("metadata", Of("ObjectMeta"))]),
    ("Eviction", &[("metadata", Of("ObjectMeta"))]),
];

static BUILT_IN: LazyLock<BTreeMap<&'static str, Arc<Type>>> =
    LazyLock::new(|| TABLE.iter().map(|(name, _)| (*name, Arc::new(built_in(name)))).collect());

static OURS: LazyLock<BTreeMap<String, Arc<Type>>> = LazyLock::new(|| {
    api::crds()
        .into_iter()
        .filter_map(|crd| {
            let version = crd.spec.versions.into_iter().next()?;
            let mut of = from_schema(&version.schema?.open_api_v3_schema?);
            let metadata = Field { of: BUILT_IN.get("ObjectMeta").cloned(), ..Field::default() };
            of.fields.insert("metadata".to_owned(), metadata);
            Some((crd.spec.names.kind, Arc::new(of)))
        })
        .collect()
});

/// How objects of that kind are merged: of a kind of ours if `group` is ours, else of a built-in one. Of a kind that the
/// table does not have, everything is merged by the rule.
pub(super) fn of_kind(group: &str, kind: &str) -> Arc<Type> {
    let found = if group == api::GROUP { OURS.get(kind) } else { BUILT_IN.get(kind) };
    found.cloned().unwrap_or_default()
}

fn built_in(name: &str) -> Type {
    let rules = TABLE.iter().find(|(known, _)| *known == name).map_or(&[] as &[_], |(_, rules)| rules);
    let fields = rules.iter().map(|(name, rule)| ((*name).to_owned(), field(rule))).collect();
    Type { fields, built_in: true }
}

fn field(rule: &Rule) -> Field {
    let of = |name: &str| (!name.is_empty()).then(|| Arc::new(built_in(name)));
    let keys = |names: &[&str]| names.iter().map(|name| key(name)).collect();
    match rule {
        Of(name) => Field { of: of(name), ..Field::default() },
        Whole => Field { shape: Shape::Atomic, ..Field::default() },
        Replaced => Field { shape: Shape::Atomic, strategy: Strategy::Replace, of: None },
        Set => Field { shape: Shape::Set, strategy: Strategy::Values, of: None },
        Values => Field { shape: Shape::Set, ..Field::default() },
        Keyed(names, element) => {
            let strategy = names.first().map_or(Strategy::Plain, |first| Strategy::By((*first).to_owned()));
            Field { shape: Shape::Keyed(keys(names)), strategy, of: of(element) }
        }
        Listed(names) => Field { shape: Shape::Keyed(keys(names)), ..Field::default() },
        Merged(by) => Field { strategy: Strategy::By((*by).to_owned()), ..Field::default() },
    }
}

/// `protocol` is the only key of a built-in list that has a default.
fn key(name: &str) -> Key {
    Key { name: name.to_owned(), default: (name == "protocol").then(|| Value::from("TCP")) }
}

/// The same from the schema of a custom resource.
fn from_schema(schema: &JSONSchemaProps) -> Type {
    let properties = schema.properties.iter().flatten();
    let fields = properties.filter_map(|(name, schema)| Some((name.clone(), custom(schema)?))).collect();
    Type { fields, built_in: false }
}

/// Nothing if the rule applies to the field and to all within it.
fn custom(schema: &JSONSchemaProps) -> Option<Field> {
    let items = match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(items.as_ref()),
        _ => None,
    };
    let shape = match (schema.x_kubernetes_list_type.as_deref(), schema.x_kubernetes_map_type.as_deref()) {
        (Some("set"), _) => Shape::Set,
        (Some("map"), _) => {
            let default = |name: &str| Some(items?.properties.as_ref()?.get(name)?.default.as_ref()?.0.clone());
            let keys = schema.x_kubernetes_list_map_keys.iter().flatten();
            Shape::Keyed(keys.map(|name| Key { name: name.clone(), default: default(name) }).collect())
        }
        (_, Some("atomic")) => Shape::Atomic,
        _ => Shape::Plain,
    };
    let of = from_schema(items.unwrap_or(schema));
    if matches!(shape, Shape::Plain) && (items.is_some() || of.fields.is_empty()) {
        return None;
    }
    Some(Field { shape, strategy: Strategy::Plain, of: Some(Arc::new(of)) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_that_the_table_names_is_in_it() {
        for (_, rules) in TABLE {
            for (_, rule) in *rules {
                if let Of(name) | Keyed(_, name) = rule {
                    assert!(name.is_empty() || BUILT_IN.contains_key(name), "{name}");
                }
            }
        }
    }

    #[test]
    fn a_port_without_a_protocol_is_one_of_tcp() {
        let pod = of_kind("", "Pod");
        let ports = pod.field("spec").within("containers").within("ports");
        let port = ports.element(&json!({"containerPort": 80})).unwrap();
        assert_eq!(port, r#"k:{"containerPort":80,"protocol":"TCP"}"#);
    }

    #[test]
    fn our_kinds_are_merged_as_their_schemas_say() {
        let remediation = of_kind(api::GROUP, "Remediation");
        assert!(!remediation.built_in);
        assert!(matches!(remediation.field("metadata").within("finalizers").shape, Shape::Set));
        assert!(matches!(remediation.field("status").within("conditions").shape, Shape::Keyed(_)));
    }
}
