//! What can be done with objects. Each is a function of the state and a request's parts; nothing here waits.

mod create;
mod delete;
mod event;
mod eviction;
mod list;
mod namespace;
mod options;
mod patch;
mod read;
mod scale;
mod update;

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    kinds::{self, KindInfo},
    patch as patching,
    state::State,
    status::Status,
};

pub(crate) use create::create;
pub(crate) use delete::{delete, delete_collection};
pub(crate) use event::from_storage;
pub(crate) use eviction::evict;
pub(crate) use list::{Page, Selection, get, list};
pub(crate) use options::{delete_options, deletion_warnings, refuse_unknown, write_options};
pub(crate) use patch::patch;
pub(crate) use read::read_body;
pub(crate) use scale::{read_scale, write_scale};
pub(crate) use update::update;

/// The object that is meant; its name is empty where a POST is to say it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub kind: &'static KindInfo,
    pub namespace: &'a str,
    pub name: &'a str,
    pub subresource: Option<&'a str>,
}

/// What is done about fields that are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unknown {
    #[default]
    Ignored,
    Warned,
    Refused,
}

/// How a write is done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Write {
    /// Whether only the answer is wanted.
    pub dry: bool,
    /// Who writes.
    pub manager: String,
    /// What is done about fields that are not known.
    pub unknown: Unknown,
    /// The fields that the body has twice.
    pub twice: Vec<String>,
    /// Whether an apply takes what others own.
    pub force: bool,
}

impl Write {
    /// A plain write by somebody.
    pub fn by(manager: &str) -> Self {
        Self { manager: manager.to_owned(), ..Self::default() }
    }
}

/// What a write left.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub object: Arc<Value>,
    pub created: bool,
    pub warnings: Vec<String>,
}

/// Text at a path of an object; empty where there is none.
pub(crate) fn word<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    path.iter().try_fold(object, |value, name| value.get(name)).and_then(Value::as_str).unwrap_or_default()
}

/// A text of the metadata.
pub(crate) fn meta<'a>(object: &'a Value, name: &str) -> &'a str {
    word(object, &["metadata", name])
}

/// What every cluster has: its first namespaces, and the definitions of our own kinds.
pub(crate) fn furnish(state: &mut State) {
    state.go_on_at(1000);
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        if let Some(kind) = kinds::of_kind("", "Namespace") {
            let target = Target { kind, namespace: "", name, subresource: None };
            drop(create(state, &target, json!({"metadata": {"name": name}}), &Write::by("kube-apiserver")));
        }
        if let Some(kind) = kinds::of_kind("", "ServiceAccount") {
            let target = Target { kind, namespace: name, name: "default", subresource: None };
            drop(create(
                state,
                &target,
                json!({"metadata": {"name": "default"}}),
                &Write::by("kube-controller-manager"),
            ));
        }
    }
    let Some(kind) = kinds::of_kind("apiextensions.k8s.io", "CustomResourceDefinition") else { return };
    for definition in kinds::all().iter().filter_map(|kind| kind.definition.as_ref()) {
        if let Some(object) = established(state, definition) {
            state.put(kind, object);
        }
    }
    // Nobody can have seen the time before.
    state.compact();
}

/// A definition as it is after the API server has taken it.
fn established<T: serde::Serialize>(state: &mut State, definition: &T) -> Option<Value> {
    let mut object = serde_json::to_value(definition).ok()?;
    let now = state.now_text();
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    metadata.insert("uid".to_owned(), json!(state.new_uid()));
    metadata.insert("creationTimestamp".to_owned(), json!(now));
    metadata.insert("generation".to_owned(), json!(1));
    object["spec"]["conversion"] = json!({"strategy": "None"});
    let names = object["spec"]["names"].clone();
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
    let versions: Vec<Value> =
        object["spec"]["versions"].as_array()?.iter().map(|version| version["name"].clone()).collect();
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

/// Notes in an object's managedFields who writes what of it.
fn note_manager(state: &State, target: &Target<'_>, object: &mut Value, old: Option<&Value>, write: &Write) {
    let kept = match old {
        Some(old) => old["metadata"].get("managedFields").is_some(),
        None => state.keeps_managed_fields,
    };
    if kept {
        let by = patching::Write {
            group: &target.kind.group,
            version: &target.kind.version,
            kind: &target.kind.kind,
            manager: &write.manager,
            subresource: target.subresource,
            now: state.now(),
        };
        patching::managed(&by, old, object);
    }
}

/// Refuses or warns of fields that are not known, or that are there twice.
pub(super) fn unknown_fields(kind: &KindInfo, unknown: Vec<String>, write: &Write) -> Result<Vec<String>, Status> {
    let unknown = unknown.into_iter().map(|field| format!("unknown field {field:?}"));
    let all: Vec<String> =
        unknown.chain(write.twice.iter().map(|field| format!("duplicate field {field:?}"))).collect();
    match write.unknown {
        Unknown::Refused if !all.is_empty() => Err(Status::bad_request(format!(
            "{0} in version {1:?} cannot be handled as a {0}: strict decoding error: {2}",
            kind.kind,
            kind.version,
            all.join(", ")
        ))),
        Unknown::Warned => Ok(all),
        _ => Ok(Vec::new()),
    }
}
