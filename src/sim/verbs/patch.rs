//! PATCH, by its type.

use std::sync::Arc;

use serde_json::Value;

use super::{Target, Write, Written, event, scale, unknown_fields, update};
use crate::sim::{state::State, status::Status};

/// The types of patches.
const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Patches an object, its status or its scale.
///
/// Refuses: a patch that is none (400), what is not there (404), a type that the kind does not take (415), a patch that
/// cannot be made (422), and what an update refuses.
pub(crate) fn patch(
    state: &mut State,
    target: &Target<'_>,
    content_type: Option<&str>,
    body: &[u8],
    write: &Write,
) -> Result<Written, Status> {
    let kind = content_type.and_then(|kind| kind.split(';').next()).map_or("", str::trim);
    if target.subresource == Some("scale") {
        let object = scale::patch_scale(state, target, write, |current| patched(target, kind, current, body))?;
        return Ok(Written { object: Arc::new(object), created: false, warnings: Vec::new() });
    }
    let Some(old) = state.object(target.kind, target.namespace, target.name).cloned() else {
        return Err(Status::not_found(target.kind.resource(), target.name));
    };
    let shown = event::from_storage(target.kind, &old);
    let object = patched(target, kind, &shown, body)?;
    let (object, unknown) = target.kind.read(object)?;
    let warnings = unknown_fields(target.kind, unknown, write)?;
    update::name_fits(target, &object)?;
    let object = update::replace(state, target, object, &old, write)?;
    Ok(Written { object, created: false, warnings })
}

fn patched(target: &Target<'_>, kind: &str, current: &Value, body: &[u8]) -> Result<Value, Status> {
    match kind {
        MERGE => {
            let patch: Value = serde_json::from_slice(body)
                .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
            let mut object = current.clone();
            merge(&mut object, patch);
            Ok(object)
        }
        JSON | APPLY | STRATEGIC => Err(Status::not_implemented(kind)),
        _ if target.kind.is_custom() => Err(Status::unsupported_media_type(&[JSON, MERGE, APPLY].join(", "))),
        _ => Err(Status::unsupported_media_type(&[JSON, MERGE, STRATEGIC, APPLY].join(", "))),
    }
}

/// RFC 7386.
fn merge(object: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *object = patch;
        return;
    };
    if !object.is_object() {
        *object = Value::Object(serde_json::Map::new());
    }
    if let Some(fields) = object.as_object_mut() {
        for (name, value) in patch {
            if value.is_null() {
                fields.remove(&name);
            } else {
                merge(fields.entry(name).or_insert(Value::Null), value);
            }
        }
    }
}
