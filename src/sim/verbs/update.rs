//! PUT of an object or of its status, and what every change of an object goes through.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Target, Write, Written, create, event, meta, namespace, note_manager, unknown_fields};
use crate::sim::{
    kinds::KindInfo,
    state::State,
    status::{Cause, Status},
};

/// Replaces an object, or its status.
///
/// Refuses: another name or namespace than the path's (400), what is not there (404), another UID or an older version
/// (409), what makes no sense (422).
pub(crate) fn update(state: &mut State, target: &Target<'_>, body: Value, write: &Write) -> Result<Written, Status> {
    let kind = target.kind;
    let (mut object, unknown) = kind.read(body)?;
    let warnings = unknown_fields(kind, unknown, write)?;
    name_fits(target, &object)?;
    let Some(old) = state.object(kind, target.namespace, target.name).cloned() else {
        if kind.create_on_update && target.subresource.is_none() {
            uid_fits(kind, &object, &json!({"metadata": {"name": target.name}}))?;
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("resourceVersion");
            }
            let object = create::new(state, target, object, write, false)?;
            return Ok(Written { object, created: true, warnings });
        }
        return Err(Status::not_found(kind.resource(), target.name));
    };
    uid_fits(kind, &object, &old)?;
    let object = replace(state, target, object, &old, write)?;
    Ok(Written { object, created: false, warnings })
}

/// Refuses an object of another name or namespace than the path's.
pub(super) fn name_fits(target: &Target<'_>, object: &Value) -> Result<(), Status> {
    let (name, namespace) = (meta(object, "name"), meta(object, "namespace"));
    if name.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            target.name
        )));
    }
    if name != target.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        )));
    }
    if target.kind.namespaced && !namespace.is_empty() && namespace != target.namespace {
        return Err(Status::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the request ({})",
            target.namespace
        )));
    }
    Ok(())
}

/// Refuses a change that was made for another object of that name.
pub(super) fn uid_fits(kind: &KindInfo, object: &Value, old: &Value) -> Result<(), Status> {
    let (uid, there) = (meta(object, "uid"), meta(old, "uid"));
    if uid.is_empty() || uid == there {
        return Ok(());
    }
    let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {there}");
    Err(Status::conflict(kind.resource(), meta(old, "name"), &why))
}

/// Puts an object that was read in the place of another one.
pub(super) fn replace(
    state: &mut State,
    target: &Target<'_>,
    object: Value,
    old: &Arc<Value>,
    write: &Write,
) -> Result<Arc<Value>, Status> {
    put(state, target, object, old, write, false)
}

/// The same; where it comes from an apply, the object says already who owns what.
pub(super) fn put(
    state: &mut State,
    target: &Target<'_>,
    mut object: Value,
    old: &Arc<Value>,
    write: &Write,
    applied: bool,
) -> Result<Arc<Value>, Status> {
    let kind = target.kind;
    let shown = event::from_storage(kind, old);
    if !applied {
        keep_managers(&mut object, &shown);
    }
    version_fits(target, &object, &shown)?;
    change(target, &mut object, &shown)?;
    if object == *shown {
        return Ok(old.clone());
    }
    if !applied {
        note_manager(state, target, &mut object, Some(&shown), write);
    }
    let object = event::to_storage(kind, object);
    if goes(kind, &object, old) {
        if !write.dry {
            state.remove(kind, target.namespace, target.name);
            namespace::settle(state, target.namespace);
        }
        return Ok(Arc::new(object));
    }
    if write.dry {
        return Ok(Arc::new(object));
    }
    Ok(state.put(kind, object))
}

/// Who owned what is not for the client to say.
fn keep_managers(object: &mut Value, old: &Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        match old["metadata"].get("managedFields") {
            Some(fields) => drop(metadata.insert("managedFields".to_owned(), fields.clone())),
            None => drop(metadata.remove("managedFields")),
        }
    }
}

fn version_fits(target: &Target<'_>, object: &Value, old: &Value) -> Result<(), Status> {
    let kind = target.kind;
    let said = match meta(object, "resourceVersion") {
        "" => 0,
        text => text
            .parse::<u64>()
            .map_err(|_| Status::unexplained(format!("strconv.ParseUint: parsing {text:?}: invalid syntax")))?,
    };
    if said == 0 {
        if kind.unconditional_update {
            return Ok(());
        }
        let cause = Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
        return Err(Status::invalid(kind.resource(), target.name, vec![cause]));
    }
    if said.to_string() == meta(old, "resourceVersion") {
        return Ok(());
    }
    Err(Status::modified(kind.resource(), target.name))
}

/// Makes of what the client sent what is to be held, and looks whether that makes sense. It has the old version still.
fn change(target: &Target<'_>, object: &mut Value, old: &Value) -> Result<(), Status> {
    let kind = target.kind;
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    kind.prepare_changed(object, old, target.subresource);
    let was = &old["metadata"];
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("selfLink");
        for name in ["name", "resourceVersion", "creationTimestamp"] {
            metadata.insert(name.to_owned(), was[name].clone());
        }
        if kind.namespaced {
            metadata.insert("namespace".to_owned(), was["namespace"].clone());
        } else {
            metadata.remove("namespace");
        }
        if !metadata.contains_key("uid") {
            metadata.insert("uid".to_owned(), was["uid"].clone());
        }
        if let Some(time) = was.get("deletionTimestamp") {
            metadata.insert("deletionTimestamp".to_owned(), time.clone());
        }
        if let Some(grace) = was.get("deletionGracePeriodSeconds") {
            metadata.entry("deletionGracePeriodSeconds").or_insert_with(|| grace.clone());
        }
    }
    let causes = kind.check_changed(object, old, target.subresource);
    if causes.is_empty() { Ok(()) } else { Err(Status::invalid(kind.named(), target.name, causes)) }
}

/// Whether an object that is being deleted goes with this change, as nothing holds it any longer.
fn goes(kind: &KindInfo, object: &Value, old: &Value) -> bool {
    let held = |object: &Value, path: &str| {
        object.pointer(path).and_then(Value::as_array).is_some_and(|names| !names.is_empty())
    };
    let grace = old["metadata"].get("deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or_default();
    let namespace_held = kind.kind == "Namespace" && held(object, "/spec/finalizers");
    !held(object, "/metadata/finalizers") && !meta(old, "deletionTimestamp").is_empty() && grace == 0 && !namespace_held
}
