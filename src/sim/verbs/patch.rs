//! PATCH, by its type.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Target, Unknown, Write, Written, create, event, meta, read::read_json, scale, update, word};
use crate::sim::{
    patch::{self, Refused},
    state::State,
    status::{Cause, Of, Status},
};

/// The types of patches.
const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::BadRequest(why) => Self::bad_request(why),
            Refused::Unprocessable(why) => Self::unprocessable(why),
            Refused::TooLarge(why) => {
                Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: {why}"))
            }
            Refused::Internal(why) => Self { code: 500, reason: "".into(), message: why, details: None },
            Refused::ApplyConflict { message, causes } => {
                let cause = |(message, field)| Cause { reason: "FieldManagerConflict".into(), message, field };
                Self::apply_conflict(causes.into_iter().map(cause).collect(), message)
            }
        }
    }
}

/// Refuses a type of patch that the kind does not take with 415.
pub(crate) fn patch_type<'a>(target: &Target<'_>, content_type: Option<&'a str>) -> Result<&'a str, Status> {
    let kind = content_type.and_then(|kind| kind.split(';').next()).map_or("", str::trim);
    match kind {
        JSON | MERGE | APPLY => Ok(kind),
        STRATEGIC if !target.kind.is_custom() => Ok(kind),
        _ if target.kind.is_custom() => {
            Err(Status { details: None, ..Status::unsupported_media_type(&[JSON, MERGE, APPLY].join(", ")) })
        }
        _ => Err(Status::unsupported_media_type(&[JSON, MERGE, STRATEGIC, APPLY].join(", "))),
    }
}

/// Patches an object, its status or its scale.
///
/// Refuses: a patch that is none (400), what is not there (404), a type that the kind does not take (415), a patch that
/// cannot be made (422), what others own (409), and what an update refuses.
pub(crate) fn patch(
    state: &mut State,
    target: &Target<'_>,
    content_type: Option<&str>,
    body: &[u8],
    write: &Write,
) -> Result<Written, Status> {
    let kind = patch_type(target, content_type)?;
    if kind == APPLY {
        return apply(state, target, body, write);
    }
    let (group, name) = (target.kind.group.as_str(), target.kind.kind.as_str());
    if target.subresource == Some("scale") {
        let scale = scale::read_scale(state, target)?;
        let (scale, _) = patched(("autoscaling", "Scale"), kind, &scale, body)?;
        let object = scale::write_scale(state, target, &scale, false, write)?;
        return Ok(Written { object: Arc::new(object), created: false, warnings: Vec::new() });
    }
    let Some(old) = state.object(target.kind, target.namespace, target.name).cloned() else {
        return Err(Status::not_found(target.kind.resource(), target.name));
    };
    let shown = event::from_storage(target.kind, &old);
    let (object, twice) = patched((group, name), kind, &shown, body)?;
    let (object, warnings) = read(target, object, &twice, write)?;
    update::name_fits(target, &object)?;
    let object = update::replace(state, target, object, &old, write)?;
    Ok(Written { object, created: false, warnings })
}

/// The object that a patch makes, and the fields that the patch has twice.
fn patched(of: (&str, &str), kind: &str, current: &Value, body: &[u8]) -> Result<(Value, Vec<String>), Status> {
    if kind == JSON {
        return Ok((patch::json(current, body)?, Vec::new()));
    }
    let (patch, twice) =
        read_json(body).map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
    if !patch.is_object() {
        return Err(Status::bad_request("error decoding patch: json: cannot unmarshal into a map"));
    }
    let object = match kind {
        MERGE => patch::merge(current, &patch),
        _ => patch::strategic(of.0, of.1, current, &patch)?,
    };
    Ok((object, twice))
}

/// Reads what a patch made. What a create or an update refuses with 400 is 422 here, as the patch is to blame.
fn read(target: &Target<'_>, object: Value, twice: &[String], write: &Write) -> Result<(Value, Vec<String>), Status> {
    let refused = |why: &str, object: &Value| {
        let cause = Cause::invalid("patch", &json!(object.to_string()), why);
        Status::invalid(Of { group: "", name: "" }, "", vec![cause])
    };
    let (object, unknown) = target.kind.read(object).map_err(|status| refused(&status.message, &Value::Null))?;
    let unknown = unknown.into_iter().map(|field| format!("unknown field {field:?}"));
    let all: Vec<String> = twice.iter().map(|field| format!("duplicate field {field:?}")).chain(unknown).collect();
    match write.unknown {
        Unknown::Refused if !all.is_empty() => {
            Err(refused(&format!("strict decoding error: {}", all.join(", ")), &object))
        }
        Unknown::Warned => Ok((object, all)),
        _ => Ok((object, Vec::new())),
    }
}

/// Applies a configuration, server-side; creates what is not there.
fn apply(state: &mut State, target: &Target<'_>, body: &[u8], write: &Write) -> Result<Written, Status> {
    // Most send JSON, which is YAML, but read much faster as what it is.
    let config: Value = serde_json::from_slice(body)
        .or_else(|_| serde_saphyr::from_slice(body))
        .map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))?;
    if !config.is_object() {
        return Err(Status::bad_request("error decoding YAML: not an object"));
    }
    if config["metadata"].get("managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    for name in ["kind", "apiVersion"] {
        if word(&config, &[name]).is_empty() {
            return Err(Status::bad_request(format!("Object '{name}' is missing in '{config}'")));
        }
    }
    if target.subresource == Some("scale") {
        return Err(Status::not_implemented("server-side apply of a scale"));
    }
    if word(&config, &["kind"]) != target.kind.kind {
        return Err(Status::bad_request(format!("the kind of the object is not {}", target.kind.kind)));
    }
    let old = state.object(target.kind, target.namespace, target.name).cloned();
    if old.is_none() && target.subresource.is_some() {
        return Err(Status::not_found(target.kind.resource(), target.name));
    }
    let shown = old.as_ref().map(|old| event::from_storage(target.kind, old));
    let known = target.kind.read(config.clone());
    let unknown = known.map(|(_, unknown)| unknown).unwrap_or_default();
    let warnings = match (target.kind.is_custom(), unknown.as_slice()) {
        (_, []) => Vec::new(),
        (true, _) => super::unknown_fields(target.kind, unknown, write)?,
        (false, unknown) => {
            let fields: Vec<String> =
                unknown.iter().map(|field| format!(".{field}: field not declared in schema")).collect();
            let why = format!("failed to create typed patch object: {}", fields.join(", "));
            return Err(Status { code: 500, reason: "".into(), message: why, details: None });
        }
    };
    let by = super::authorship(state, target, write);
    let object = patch::apply(&by, shown.as_deref(), &config, write.force)?;
    let (mut object, _) = target.kind.read(object)?;
    update::name_fits(target, &object)?;
    let Some(old) = old else {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        let object = create::new(state, target, object, write, true)?;
        return Ok(Written { object, created: true, warnings });
    };
    if meta(&object, "resourceVersion").is_empty() {
        object["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
    }
    let object = update::put(state, target, object, &old, write, true)?;
    Ok(Written { object, created: false, warnings })
}
