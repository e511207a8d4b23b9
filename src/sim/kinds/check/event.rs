//! Events of both groups: they are one object, but only the newer group is strict.

use serde_json::{Value, json};

use super::{Found, number, text};
use crate::sim::{kinds::meta, status::Cause};

/// The names that an event's fields have in its group; `FIELDS` has the names of refusals, which are the newer group's but
/// for the message.
fn field<'a>(group: &str, name: &'a str) -> &'a str {
    match (group, name) {
        ("", "reportingController") => "reportingComponent",
        ("", _) => name,
        (_, "involvedObject") => "regarding",
        (_, "message") => "note",
        (_, "count") => "deprecatedCount",
        (_, "firstTimestamp") => "deprecatedFirstTimestamp",
        (_, "lastTimestamp") => "deprecatedLastTimestamp",
        (_, "source") => "deprecatedSource",
        _ => name,
    }
}

pub(super) fn create(group: &str, event: &Value, found: &mut Found) {
    old_rules(group, event, found);
    if group.is_empty() {
        return;
    }
    series(event, found);
    if is_unset(event.get("eventTime")) {
        found.add(Cause::required("eventTime", ""));
    }
    let kind = text(event, "type");
    if !["Normal", "Warning"].contains(&kind) {
        found.add(Cause::invalid("type", &json!(""), &format!("has invalid value: {kind}")));
    }
    for name in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        if !is_unset(event.get(field(group, name))) {
            found.add(Cause::invalid(name, &json!(""), "needs to be unset"));
        }
    }
}

fn is_unset(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Number(number)) => number.as_i64() == Some(0),
        Some(Value::Object(fields)) => fields.values().all(|value| value.as_str() == Some("")),
        _ => false,
    }
}

/// What both groups ask for. With a time an event is one of the newer kind, and must say who reports it.
fn old_rules(group: &str, event: &Value, found: &mut Found) {
    let about = event.get(field(group, "involvedObject")).unwrap_or(&Value::Null);
    let (namespace, named) = (text(&event["metadata"], "namespace"), text(about, "namespace"));
    let new = !is_unset(event.get("eventTime"));
    let fits = match (new, named) {
        (false, "") => ["", "default"].contains(&namespace),
        (true, "") => ["default", "kube-system"].contains(&namespace),
        (false, named) => namespace == named,
        (true, _) => true,
    };
    if !fits {
        found.add(Cause::invalid("involvedObject.namespace", &json!(named), "does not match event.namespace"));
    }
    if !new {
        return;
    }
    let reporter = field(group, "reportingController");
    let by = text(event, reporter);
    if by.is_empty() {
        found.add(Cause::required(reporter, ""));
    }
    for why in meta::qualified_name(by) {
        found.add(Cause::invalid(reporter, &json!(by), &why));
    }
    for (name, most, needed) in
        [("reportingInstance", 128, true), ("action", 128, true), ("reason", 128, true), ("message", 1024, false)]
    {
        let value = text(event, field(group, name));
        if value.is_empty() && needed {
            found.add(Cause::required(name, ""));
        }
        if value.len() > most {
            found.add(Cause::invalid(name, &json!(""), &format!("can have at most {most} characters")));
        }
    }
}

fn series(event: &Value, found: &mut Found) {
    let Some(series) = event.get("series") else { return };
    if number(series, "count") < 2 {
        found.add(Cause::invalid("series.count", &json!(""), "should be at least 2"));
    }
    if is_unset(series.get("lastObservedTime")) {
        found.add(Cause::required("series.lastObservedTime", ""));
    }
}

pub(super) fn update(group: &str, event: &Value, old: &Value, found: &mut Found) {
    old_rules(group, event, found);
    if group.is_empty() {
        return;
    }
    if event.get("series") != old.get("series") {
        series(event, found);
    }
    // The reason is looked at twice.
    let fixed = [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "reason",
        "type",
        "eventTime",
        "action",
        "related",
        "reportingController",
        "reportingInstance",
    ];
    for name in fixed {
        let (value, was) = (event.get(field(group, name)), old.get(field(group, name)));
        if value != was {
            found.add(Cause::invalid(name, value.unwrap_or(&Value::Null), "field is immutable"));
        }
    }
}
