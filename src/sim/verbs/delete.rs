//! DELETE of an object or of a collection.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};
use serde_json::{Value, json};

use super::{Selection, Target, list, meta, namespace, options, word};
use crate::sim::{
    kinds::{Dependents, KindInfo},
    state::State,
    status::Status,
};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What a deletion left.
#[derive(Clone, Debug)]
pub(crate) struct Deleted {
    /// The object, as it was last or as it is held still.
    pub object: Arc<Value>,
    /// Whether it is gone.
    pub gone: bool,
}

/// Deletes an object, at once or with grace, unless finalizers hold it.
///
/// Refuses: what is not there (404), another UID or version than the preconditions want (409), options that make no sense
/// (422).
pub(crate) fn delete(
    state: &mut State,
    target: &Target<'_>,
    options: &DeleteOptions,
    dry: bool,
) -> Result<Deleted, Status> {
    let dry = options::check(options)? || dry;
    let deleted = one(state, target, options.clone(), dry)?;
    if !dry && target.kind.namespaced {
        namespace::settle(state, target.namespace);
    }
    Ok(deleted)
}

/// The same without a look at the namespace.
pub(super) fn one(
    state: &mut State,
    target: &Target<'_>,
    mut options: DeleteOptions,
    dry: bool,
) -> Result<Deleted, Status> {
    let kind = target.kind;
    let Some(old) = state.object(kind, target.namespace, target.name).cloned() else {
        return Err(Status::not_found(kind.resource(), target.name));
    };
    let of_namespace = kind.kind == "Namespace";
    preconditions(kind, options.preconditions.as_ref(), &old, of_namespace)?;
    if of_namespace && let Some(object) = namespace::terminate(state, target.name, dry)? {
        return Ok(Deleted { object: Arc::new(object), gone: false });
    }
    if of_namespace {
        // It goes already, and what holds it holds it.
        return Ok(Deleted { object: old, gone: false });
    }
    if options.grace_period_seconds.is_some_and(|grace| grace < 0) {
        options.grace_period_seconds = Some(1);
    }
    let mut object = Value::clone(&old);
    let now = state.now();
    let graceful = match grace(kind, &mut object, &options, now) {
        Grace::Pending => return Ok(Deleted { object: old, gone: false }),
        Grace::None => None,
        Grace::Seconds(seconds) => Some(seconds),
    };
    let finalizers = finalizers(kind, &object, &options);
    let held = !finalizers.is_empty();
    set_finalizers(&mut object, &finalizers);
    if graceful.is_none() && held {
        mark(&mut object, now);
    }
    if graceful.is_some() || held {
        object = changed(state, kind, object, &old, dry);
        if held || graceful.is_some_and(|seconds| seconds > 0) {
            return Ok(Deleted { object: Arc::new(object), gone: false });
        }
    }
    if dry {
        return Ok(Deleted { object: Arc::new(object), gone: true });
    }
    let object = state.remove(kind, target.namespace, target.name).unwrap_or(old);
    Ok(Deleted { object, gone: true })
}

/// Writes what a deletion changed, unless that is nothing.
fn changed(state: &mut State, kind: &KindInfo, object: Value, old: &Value, dry: bool) -> Value {
    if dry || object == *old { object } else { Value::clone(&state.put(kind, object)) }
}

pub(super) fn preconditions(
    kind: &KindInfo,
    wanted: Option<&Preconditions>,
    object: &Value,
    of_namespace: bool,
) -> Result<(), Status> {
    let Some(wanted) = wanted else { return Ok(()) };
    let of = if of_namespace { kind.resource() } else { kind.named() };
    for (what, wanted, there, end) in [
        ("UID", &wanted.uid, meta(object, "uid"), "deleted and then recreated"),
        ("ResourceVersion", &wanted.resource_version, meta(object, "resourceVersion"), "modified"),
    ] {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != there) {
            let why = if of_namespace {
                format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {there}")
            } else {
                format!(
                    "the {what} in the precondition ({wanted}) does not match the {what} in record ({there}). The object might \
                     have been {end}"
                )
            };
            return Err(Status::conflict(of, meta(object, "name"), &why));
        }
    }
    Ok(())
}

/// How a deletion goes on.
enum Grace {
    /// Without any.
    None,
    /// As it was begun before.
    Pending,
    /// With so many seconds; 0 ends it.
    Seconds(i64),
}

/// The grace that an object gets, which it says then. Only pods have one.
fn grace(kind: &KindInfo, object: &mut Value, options: &DeleteOptions, now: Timestamp) -> Grace {
    if kind.kind != "Pod" {
        return Grace::None;
    }
    let metadata = &object["metadata"];
    if let Ok(end) = meta(object, "deletionTimestamp").parse::<Timestamp>() {
        let given = metadata.get("deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or_default();
        if given == 0 {
            return Grace::None;
        }
        // It can only be shortened.
        let Some(mut seconds) = options.grace_period_seconds.filter(|seconds| *seconds < given) else {
            return Grace::Pending;
        };
        let mut end = end.saturating_sub(SignedDuration::from_secs(given - seconds)).unwrap_or(end);
        if end < now {
            end = now;
            seconds = seconds.min(1);
        }
        set_deletion(object, end, seconds);
        return Grace::Seconds(seconds);
    }
    let spec = &object["spec"];
    let own = spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or_default();
    let over = matches!(word(object, &["status", "phase"]), "Failed" | "Succeeded");
    let seconds = match options.grace_period_seconds.unwrap_or(own) {
        _ if over || word(object, &["spec", "nodeName"]).is_empty() => 0,
        seconds if seconds < 0 => 1,
        seconds => seconds,
    };
    let end = now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
    set_deletion(object, end, seconds);
    grow(object);
    Grace::Seconds(seconds)
}

fn set_deletion(object: &mut Value, end: Timestamp, seconds: i64) {
    object["metadata"]["deletionTimestamp"] = json!(end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    object["metadata"]["deletionGracePeriodSeconds"] = json!(seconds);
}

fn grow(object: &mut Value) {
    if let Some(generation) = object["metadata"].get("generation").and_then(Value::as_i64).filter(|number| *number > 0)
    {
        object["metadata"]["generation"] = json!(generation + 1);
    }
}

/// Says of an object that finalizers hold that it is being deleted.
fn mark(object: &mut Value, now: Timestamp) {
    let going = meta(object, "deletionTimestamp").parse::<Timestamp>().ok();
    if going.is_none() {
        grow(object);
    }
    set_deletion(object, going.filter(|end| *end <= now).unwrap_or(now), 0);
}

/// The finalizers that an object has once its deletion was asked for in that way.
fn finalizers(kind: &KindInfo, object: &Value, options: &DeleteOptions) -> Vec<String> {
    let there = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    let mut all: Vec<String> = there.filter_map(Value::as_str).map(str::to_owned).collect();
    if kind.dependents == Dependents::None {
        all.retain(|name| name != ORPHAN && name != FOREGROUND);
        return all;
    }
    let has = |name: &str| all.iter().any(|there| there == name);
    let (orphan, foreground) = match (options.orphan_dependents, options.propagation_policy.as_deref()) {
        (Some(orphan), _) => (orphan, false),
        (None, Some("Orphan")) => (true, false),
        (None, Some("Foreground")) => (false, true),
        (None, Some(_)) => (false, false),
        (None, None) if has(ORPHAN) || has(FOREGROUND) => (has(ORPHAN), has(FOREGROUND)),
        (None, None) => (kind.dependents == Dependents::Orphaned, false),
    };
    let (was_orphan, was_foreground) = (has(ORPHAN), has(FOREGROUND));
    if (orphan, foreground) == (was_orphan, was_foreground) {
        return all;
    }
    all.retain(|name| name != ORPHAN && name != FOREGROUND);
    all.extend(orphan.then(|| ORPHAN.to_owned()));
    all.extend(foreground.then(|| FOREGROUND.to_owned()));
    all
}

fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        if finalizers.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".to_owned(), json!(finalizers));
        }
    }
}

/// Deletes what a selection takes; gives what was deleted, as it was.
pub(crate) fn delete_collection(
    state: &mut State,
    kind: &'static KindInfo,
    selection: &Selection,
    options: &DeleteOptions,
    dry: bool,
) -> Result<Vec<Arc<Value>>, Status> {
    let dry = options::check(options)? || dry;
    let taken = list::selected(state, kind, selection);
    let namespace = selection.namespace.clone().unwrap_or_default();
    for object in &taken {
        let target =
            Target { kind, namespace: meta(object, "namespace"), name: meta(object, "name"), subresource: None };
        match one(state, &target, options.clone(), dry) {
            Err(status) if !status.is_not_found() => return Err(status),
            _ => {}
        }
    }
    if !dry {
        namespace::settle(state, &namespace);
    }
    Ok(taken)
}
