//! Namespaces: whether they take something new, and how they end.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;
use serde_json::{Value, json};

use super::{Target, delete, meta, word};
use crate::sim::{
    kinds::{self, KindInfo},
    state::State,
    status::{Cause, Status},
};

fn kind() -> Result<&'static KindInfo, Status> {
    kinds::of_kind("", "Namespace").ok_or_else(Status::no_such_resource)
}

/// Whether something may be created in a namespace.
///
/// Refuses one that is not there (404), and one that goes (403).
pub(super) fn admit(state: &State, of: &KindInfo, namespace: &str, name: &str) -> Result<(), Status> {
    let kind = kind()?;
    let Some(found) = state.object(kind, "", namespace) else {
        return Err(Status::not_found(kind.resource(), namespace));
    };
    if word(found, &["status", "phase"]) != "Terminating" {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut status = Status::forbidden(of.resource(), name, &why);
    if let Some(details) = &mut status.details {
        details.causes.push(Cause {
            reason: Cow::Borrowed("NamespaceTerminating"),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        });
    }
    Err(status)
}

/// Marks a namespace as going; gives what it is then.
pub(super) fn terminate(state: &mut State, name: &str, dry: bool) -> Result<Option<Value>, Status> {
    let kind = kind()?;
    let Some(found) = state.object(kind, "", name) else { return Ok(None) };
    if !meta(found, "deletionTimestamp").is_empty() {
        return Ok(None);
    }
    let mut object = Value::clone(found);
    object["metadata"]["deletionTimestamp"] = json!(state.now_text());
    object["status"]["phase"] = json!("Terminating");
    if dry {
        return Ok(Some(object));
    }
    let object = state.put(kind, object);
    settle(state, name);
    Ok(Some(Value::clone(&object)))
}

/// Empties a namespace that goes, as far as finalizers and graces let it, and removes it once it is empty.
pub(super) fn settle(state: &mut State, name: &str) {
    let Ok(kind) = kind() else { return };
    let going = state.object(kind, "", name).is_some_and(|found| !meta(found, "deletionTimestamp").is_empty());
    if !going {
        return;
    }
    let mut empty = true;
    for of in kinds::all().iter().filter(|kind| kind.namespaced) {
        let there: Vec<(String, bool)> = state
            .objects(of, Some(name))
            .map(|object| (meta(object, "name").to_owned(), !meta(object, "deletionTimestamp").is_empty()))
            .collect();
        for (object, goes) in there {
            let target = Target { kind: of, namespace: name, name: &object, subresource: None };
            let gone = !goes && delete::one(state, &target, DeleteOptions::default(), false).is_ok();
            empty &= gone && state.object(of, name, &object).is_none();
        }
    }
    if empty {
        state.remove(kind, "", name);
    }
}
