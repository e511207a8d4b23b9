//! What every cluster has from its beginning: its first namespaces, and the definitions of our own kinds.

use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use super::{Target, Write, create};
use crate::sim::{kinds, state::State};

/// The number of the first write that anybody can see: of a cluster that has lived for a while.
const BEGINNING: u64 = 1000;

/// The definitions as they were at that time. They are large, and thousands of clusters may begin at the same time.
static DEFINITIONS: Mutex<(String, Vec<Arc<Value>>)> = Mutex::new((String::new(), Vec::new()));

/// Fills an empty cluster.
pub(crate) fn furnish(state: &mut State) {
    state.go_on_at(BEGINNING);
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        if let Some(kind) = kinds::of_kind("", "Namespace") {
            let target = Target { kind, namespace: "", name, subresource: None };
            drop(create(state, &target, json!({"metadata": {"name": name}}), &Write::by("kube-apiserver")));
        }
        if let Some(kind) = kinds::of_kind("", "ServiceAccount") {
            let target = Target { kind, namespace: name, name: "default", subresource: None };
            let account = json!({"metadata": {"name": "default"}});
            drop(create(state, &target, account, &Write::by("kube-controller-manager")));
        }
    }
    if let Some(kind) = kinds::of_kind("apiextensions.k8s.io", "CustomResourceDefinition") {
        for definition in definitions(&state.now_text()) {
            state.adopt(kind, definition);
        }
    }
    // Nobody can have seen the time before.
    state.compact();
}

fn definitions(now: &str) -> Vec<Arc<Value>> {
    let mut cached = DEFINITIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if cached.0 != now {
        let all = kinds::all().iter().filter_map(|kind| kind.definition.as_ref()).zip(1..);
        let made = all.filter_map(|(definition, number)| established(definition, number, now));
        *cached = (now.to_owned(), made.map(Arc::new).collect());
    }
    cached.1.clone()
}

/// A definition as it is after the API server has taken it.
fn established(definition: &CustomResourceDefinition, number: u64, now: &str) -> Option<Value> {
    let mut object = serde_json::to_value(definition).ok()?;
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    metadata.insert("uid".to_owned(), json!(format!("00000000-0000-4000-8000-{number:012}")));
    metadata.insert("creationTimestamp".to_owned(), json!(now));
    metadata.insert("generation".to_owned(), json!(1));
    metadata.insert("resourceVersion".to_owned(), json!((BEGINNING - number).to_string()));
    object["spec"]["conversion"] = json!({"strategy": "None"});
    let names = object["spec"]["names"].clone();
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
    let versions = object["spec"]["versions"].as_array()?.iter();
    let versions: Vec<Value> = versions.map(|version| version["name"].clone()).collect();
    object["status"] = json!({
        "acceptedNames": names,
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "storedVersions": versions,
    });
    Some(object)
}
