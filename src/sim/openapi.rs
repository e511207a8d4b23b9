//! The schemas that kubectl explains fields from, and the parameters that it looks up before it writes.

use std::collections::BTreeMap;

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
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    discovery::{Page, RELEASE},
    kinds::KindInfo,
};

/// The answer to a GET below `/openapi/v3`; `None` for what is not served.
pub fn page(kinds: &[KindInfo], path: &[&str]) -> Option<Page> {
    match path {
        [] => Some(Page::json(&index(kinds))),
        ["api", version] => document(kinds, "", version),
        ["apis", group, version] => document(kinds, group, version),
        _ => None,
    }
}

fn prefix(kind: &KindInfo) -> String {
    match kind.group.as_str() {
        "" => format!("api/{}", kind.version),
        group => format!("apis/{group}/{}", kind.version),
    }
}

fn index(kinds: &[KindInfo]) -> Value {
    // The schemas are those of this build, so its version is hash enough for a client's cache.
    let entry = |path: &str| json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={}", crate::VERSION)});
    let paths: BTreeMap<String, Value> = kinds.iter().map(prefix).map(|path| (path.clone(), entry(&path))).collect();
    json!({"paths": paths})
}

fn document(kinds: &[KindInfo], group: &str, version: &str) -> Option<Page> {
    let kinds: Vec<&KindInfo> = kinds.iter().filter(|kind| kind.group == group && kind.version == version).collect();
    if kinds.is_empty() {
        return None;
    }
    let mut paths = Map::new();
    for kind in &kinds {
        paths.extend(operations(kind));
    }
    let document = json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes, simulated", "version": RELEASE},
        "paths": paths,
        "components": {"schemas": schemas(&kinds)},
    });
    Some(Page::json(&document))
}

/// The paths of a resource, as far as kubectl looks at them: which kind each method is about, and what a write takes.
fn operations(kind: &KindInfo) -> Map<String, Value> {
    let named = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let query =
        |name: &str, of: &str| json!({"name": name, "in": "query", "schema": {"type": of, "uniqueItems": true}});
    let parameters =
        || vec![query("dryRun", "string"), query("fieldManager", "string"), query("fieldValidation", "string")];
    let operation = |action: &str| {
        let mut operation = json!({
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": named,
            "responses": {"200": {"description": "OK"}},
        });
        if matches!(action, "post" | "put" | "patch") {
            operation["parameters"] = json!(parameters());
        }
        if action == "patch" {
            operation["parameters"] = json!([parameters(), vec![query("force", "boolean")]].concat());
            // Strategic merge patch is not told of: the schemas here do not say by what lists are merged, and kubectl has
            // its own for the kinds that know such a patch.
            operation["requestBody"] =
                json!({"content": {"application/merge-patch+json": {"schema": {"type": "object"}}}});
        }
        operation
    };
    let all = if kind.namespaced {
        format!("/{}/namespaces/{{namespace}}/{}", prefix(kind), kind.plural)
    } else {
        format!("/{}/{}", prefix(kind), kind.plural)
    };
    let mut paths = Map::new();
    paths.insert(format!("{all}/{{name}}"), json!({
        "get": operation("get"), "put": operation("put"), "patch": operation("patch"), "delete": operation("delete"),
    }));
    let mut collection = json!({"get": operation("list"), "post": operation("post"), "parameters": []});
    if kind.namespaced {
        collection["parameters"] =
            json!([{"name": "namespace", "in": "path", "required": true, "schema": {"type": "string"}}]);
    }
    if kind.verbs.contains(&"deletecollection") {
        collection["delete"] = operation("deletecollection");
    }
    paths.insert(all, collection);
    paths
}

fn schemas(kinds: &[&KindInfo]) -> Map<String, Value> {
    let mut generator = SchemaSettings::openapi3().into_generator();
    // Every kind has it, and those of ours refer to it.
    generator.subschema_for::<ObjectMeta>();
    let roots: Vec<(String, &KindInfo)> =
        kinds.iter().filter_map(|kind| Some((built_in(&mut generator, kind)?, *kind))).collect();
    let mut schemas = generator.take_definitions(true);
    for (name, kind) in roots {
        if let Some(schema) = schemas.get_mut(&name).and_then(Value::as_object_mut) {
            name_kind(schema, kind);
        }
    }
    for kind in kinds {
        if let Some((name, schema)) = own(kind) {
            schemas.insert(name, schema);
        }
    }
    schemas
}

/// Says which kind the schema is of.
fn name_kind(schema: &mut Map<String, Value>, kind: &KindInfo) {
    let named = json!([{"group": kind.group, "version": kind.version, "kind": kind.kind}]);
    schema.insert("x-kubernetes-group-version-kind".to_owned(), named);
}

/// The schema of one of our own kinds, which its definition holds.
fn own(kind: &KindInfo) -> Option<(String, Value)> {
    let version = kind.definition.as_ref()?.spec.versions.first()?;
    let mut schema = serde_json::to_value(version.schema.as_ref()?.open_api_v3_schema.as_ref()?).ok()?;
    name_kind(schema.as_object_mut()?, kind);
    let properties = schema.get_mut("properties")?.as_object_mut()?;
    let text = |what: &str| json!({"type": "string", "description": what});
    properties.insert("apiVersion".to_owned(), text("Group and version of the kind."));
    properties.insert("kind".to_owned(), text("The kind."));
    let metadata = json!({
        "description": "The object's metadata.",
        "allOf": [{"$ref": format!("#/components/schemas/{}", ObjectMeta::schema_name())}],
    });
    properties.insert("metadata".to_owned(), metadata);
    let group: Vec<&str> = kind.group.rsplit('.').collect();
    Some((format!("{}.{}.{}", group.join("."), kind.version, kind.kind), schema))
}

/// Adds the schema of a built-in kind, and gives its name.
fn built_in(generator: &mut SchemaGenerator, kind: &KindInfo) -> Option<String> {
    fn add<K: JsonSchema>(generator: &mut SchemaGenerator) -> String {
        generator.subschema_for::<K>();
        K::schema_name().into_owned()
    }
    Some(match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "ConfigMap") => add::<ConfigMap>(generator),
        ("", "Event") => add::<Event>(generator),
        ("", "Namespace") => add::<Namespace>(generator),
        ("", "Node") => add::<Node>(generator),
        ("", "PersistentVolumeClaim") => add::<PersistentVolumeClaim>(generator),
        ("", "Pod") => add::<Pod>(generator),
        ("", "Secret") => add::<Secret>(generator),
        ("", "Service") => add::<Service>(generator),
        ("", "ServiceAccount") => add::<ServiceAccount>(generator),
        ("apps", "ControllerRevision") => add::<ControllerRevision>(generator),
        ("apps", "DaemonSet") => add::<DaemonSet>(generator),
        ("apps", "Deployment") => add::<Deployment>(generator),
        ("apps", "ReplicaSet") => add::<ReplicaSet>(generator),
        ("apps", "StatefulSet") => add::<StatefulSet>(generator),
        ("batch", "CronJob") => add::<CronJob>(generator),
        ("batch", "Job") => add::<Job>(generator),
        ("coordination.k8s.io", "Lease") => add::<Lease>(generator),
        ("events.k8s.io", "Event") => add::<NewEvent>(generator),
        ("policy", "PodDisruptionBudget") => add::<PodDisruptionBudget>(generator),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => add::<CustomResourceDefinition>(generator),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::kinds, *};

    fn get(path: &[&str]) -> Value {
        serde_json::from_slice(&page(kinds::all(), path).unwrap().body).unwrap()
    }

    #[test]
    fn every_kind_has_a_schema_and_a_patch_that_validates_fields() {
        let index = get(&[]);
        for path in index["paths"].as_object().unwrap().keys() {
            let document = get(&path.split('/').collect::<Vec<_>>());
            let named: Vec<&Value> = document["components"]["schemas"]
                .as_object()
                .unwrap()
                .values()
                .filter_map(|schema| schema.get("x-kubernetes-group-version-kind"))
                .collect();
            for operations in document["paths"].as_object().unwrap().values() {
                let Some(patch) = operations.get("patch") else { continue };
                let kind = &patch["x-kubernetes-group-version-kind"];
                assert!(named.iter().any(|named| named[0] == *kind), "{kind} has no schema");
                assert!(
                    patch["parameters"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .any(|parameter| parameter["name"] == "fieldValidation")
                );
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn check(value: &Value, schemas: &Map<String, Value>) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        let name = reference.strip_prefix("#/components/schemas/").unwrap();
                        assert!(schemas.contains_key(name), "{name}");
                    }
                    fields.values().for_each(|value| check(value, schemas));
                }
                Value::Array(items) => items.iter().for_each(|value| check(value, schemas)),
                _ => {}
            }
        }
        for path in [&["api", "v1"][..], &["apis", "apps", "v1"], &["apis", "paramedic.dev", "v1alpha1"]] {
            let document = get(path);
            check(&document, document["components"]["schemas"].as_object().unwrap());
        }
    }

    #[test]
    fn every_field_of_a_policy_is_described() {
        fn check(path: &str, schema: &Value) {
            for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let path = format!("{path}.{name}");
                assert!(field.get("description").is_some(), "{path} has no description");
                check(&path, field);
                check(&path, &field["items"]);
            }
        }
        let document = get(&["apis", "paramedic.dev", "v1alpha1"]);
        let schema = &document["components"]["schemas"]["dev.paramedic.v1alpha1.RemediationPolicy"];
        check("remediationpolicy", schema);
    }
}
