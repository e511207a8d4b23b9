//! Events are held as those of the core group; `events.k8s.io` has other names for the same fields.

use std::sync::Arc;

use serde_json::Value;

use crate::sim::kinds::KindInfo;

/// What a field is called in `events.k8s.io`, and in the core group.
const NAMES: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];
const NEW: &str = "events.k8s.io/v1";

/// An object as it is held.
pub(crate) fn to_storage(kind: &KindInfo, object: Value) -> Value {
    if kind.group == "events.k8s.io" { renamed(object, |(new, core)| (new, core), "v1") } else { object }
}

/// An object as that kind shows it.
pub(crate) fn from_storage(kind: &KindInfo, object: &Arc<Value>) -> Arc<Value> {
    if kind.group == "events.k8s.io" {
        Arc::new(renamed(Value::clone(object), |(new, core)| (core, new), NEW))
    } else {
        object.clone()
    }
}

fn renamed<'a>(mut object: Value, from_to: impl Fn((&'a str, &'a str)) -> (&'a str, &'a str), version: &str) -> Value {
    if let Some(fields) = object.as_object_mut() {
        for (from, to) in NAMES.iter().map(|names| from_to(*names)) {
            if let Some(value) = fields.remove(from) {
                fields.insert(to.to_owned(), value);
            }
        }
        // Where nobody reports, the older group says so, and the newer one nothing.
        if version == NEW {
            fields.retain(|name, value| !name.starts_with("reporting") || value.as_str() != Some(""));
        }
        fields.insert("apiVersion".to_owned(), Value::from(version));
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sim::kinds;

    #[test]
    fn an_event_is_the_same_in_both_groups() {
        let kind = kinds::of_kind("events.k8s.io", "Event").unwrap();
        let event = json!({"apiVersion": NEW, "kind": "Event", "regarding": {"name": "a"}, "note": "n", "action": "x"});
        let held = to_storage(kind, event.clone());
        assert_eq!(
            held,
            json!({"apiVersion": "v1", "kind": "Event", "involvedObject": {"name": "a"}, "message": "n", "action": "x"})
        );
        assert_eq!(*from_storage(kind, &Arc::new(held)), event);
    }
}
