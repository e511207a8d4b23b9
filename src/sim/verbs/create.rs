//! POST of an object.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Target, Write, Written, event, meta, namespace, note_manager, unknown_fields};
use crate::sim::{kinds::KindInfo, state::State, status::Status};

/// How often another name is tried when a generated one is taken.
const TRIES: usize = 8;

/// Creates an object.
///
/// Refuses: what is not of its kind (400), a namespace that is not there (404) or goes (403), what makes no sense (422), a
/// name that is taken (409).
pub(crate) fn create(state: &mut State, target: &Target<'_>, body: Value, write: &Write) -> Result<Written, Status> {
    let (object, unknown) = target.kind.read(body)?;
    let warnings = unknown_fields(target.kind, unknown, write)?;
    let object = new(state, target, object, write, false)?;
    Ok(Written { object, created: true, warnings })
}

/// The same for an object that was read; where it comes from an apply, it says already who owns what.
pub(super) fn new(
    state: &mut State,
    target: &Target<'_>,
    mut object: Value,
    write: &Write,
    applied: bool,
) -> Result<Arc<Value>, Status> {
    let kind = target.kind;
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let said = meta(&object, "namespace");
    if kind.namespaced && !said.is_empty() && said != target.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for name in ["uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            metadata.remove(name);
        }
        if !applied {
            metadata.remove("managedFields");
        }
        metadata.insert("creationTimestamp".to_owned(), json!(state.now_text()));
        if kind.namespaced {
            metadata.insert("namespace".to_owned(), json!(target.namespace));
        }
    }
    let named = meta(&object, "name").to_owned();
    let prefix = meta(&object, "generateName").to_owned();
    let generated = named.is_empty() && !prefix.is_empty();
    if kind.namespaced {
        let name = if named.is_empty() { "" } else { &named };
        namespace::admit(state, kind, target.namespace, name)?;
    }
    admit(state, target, &object)?;
    let version = meta(&object, "resourceVersion");
    let versioned = !version.is_empty() && version != "0";
    object["metadata"]["uid"] = json!(state.new_uid());
    if generated {
        let mut name = state.new_name(&prefix);
        let mut tries = 1;
        while tries < TRIES && state.object(kind, target.namespace, &name).is_some() {
            name = state.new_name(&prefix);
            tries += 1;
        }
        object["metadata"]["name"] = json!(name);
    }
    if !applied {
        // What only the server writes is nobody's.
        let status =
            if kind.has("status") { object.as_object_mut().and_then(|fields| fields.remove("status")) } else { None };
        note_manager(state, target, &mut object, None, write);
        if let Some(status) = status {
            object["status"] = status;
        }
    }
    kind.prepare_new(&mut object);
    let name = meta(&object, "name").to_owned();
    let causes = kind.check_new(&object);
    if !causes.is_empty() {
        return Err(Status::invalid(kind.named(), &name, causes));
    }
    if versioned {
        return Err(Status::unexplained("resourceVersion should not be set on objects to be created"));
    }
    if let Some(there) = state.object(kind, target.namespace, &name) {
        return Err(taken(kind, &name, there, generated));
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    let object = event::to_storage(kind, object);
    Ok(if write.dry { Arc::new(object) } else { state.put(kind, object) })
}

fn taken(kind: &KindInfo, name: &str, there: &Value, generated: bool) -> Status {
    let mut status = Status::already_exists(kind.resource(), name);
    if generated {
        status.message.push_str(", the server was not able to generate a unique name for the object");
        if let Some(details) = &mut status.details {
            details.retry_after_seconds = 1;
        }
    } else if !meta(there, "deletionTimestamp").is_empty() {
        status.message = format!("object is being deleted: {}", status.message);
    }
    status
}

/// A pod needs its service account.
fn admit(state: &State, target: &Target<'_>, object: &Value) -> Result<(), Status> {
    if target.kind.kind != "Pod" {
        return Ok(());
    }
    let account = match super::word(object, &["spec", "serviceAccountName"]) {
        "" => "default",
        name => name,
    };
    let accounts = crate::sim::kinds::of_kind("", "ServiceAccount");
    if accounts.is_some_and(|accounts| state.object(accounts, target.namespace, account).is_some()) {
        return Ok(());
    }
    let why = format!(
        "error looking up service account {}/{account}: serviceaccount {account:?} not found",
        target.namespace
    );
    Err(Status::forbidden(target.kind.resource(), meta(object, "name"), &why))
}
