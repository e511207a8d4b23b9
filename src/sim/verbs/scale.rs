//! The scale of what has replicas.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Target, Write, meta, update, word};
use crate::sim::{
    state::State,
    status::{Cause, Of, Status},
};

const SCALE: Of<'_> = Of { group: "autoscaling", name: "Scale" };

/// The scale of an object.
///
/// Refuses what is not there with 404.
pub(crate) fn read_scale(state: &State, target: &Target<'_>) -> Result<Value, Status> {
    let found = state.object(target.kind, target.namespace, target.name);
    found.map(|object| of(object)).ok_or_else(|| Status::not_found(target.kind.resource(), target.name))
}

fn of(object: &Value) -> Value {
    let fields = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"].into_iter();
    let metadata: Map<String, Value> = fields.map(|name| (name.to_owned(), object["metadata"][name].clone())).collect();
    let mut spec = Map::new();
    if let Some(replicas) = object["spec"]["replicas"].as_i64().filter(|replicas| *replicas != 0) {
        spec.insert("replicas".to_owned(), json!(replicas));
    }
    let mut status = json!({"replicas": object["status"]["replicas"].as_i64().unwrap_or_default()});
    let selector = text(&object["spec"]["selector"]);
    if !selector.is_empty() {
        status["selector"] = json!(selector);
    }
    json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": spec, "status": status})
}

/// A selector as a query says it.
fn text(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut all: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let (key, operator) = (word(expression, &["key"]), word(expression, &["operator"]));
        let values = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut values: Vec<&str> = values.collect();
        values.sort_unstable();
        let values = values.join(",");
        all.push(match operator {
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            operator => format!("{key} {} ({values})", operator.to_lowercase()),
        });
    }
    all.sort();
    all.join(",")
}

/// Writes a scale; where it is bound, its UID is a precondition.
///
/// Refuses: another name than the path's and another kind (400), what is not there (404), an older version or another UID
/// (409), replicas below zero (422).
pub(crate) fn write_scale(
    state: &mut State,
    target: &Target<'_>,
    scale: &Value,
    bound: bool,
    write: &Write,
) -> Result<Value, Status> {
    let Some(old) = state.object(target.kind, target.namespace, target.name).cloned() else {
        return Err(Status::not_found(target.kind.resource(), target.name));
    };
    if !matches!(word(scale, &["kind"]), "" | "Scale") || !matches!(word(scale, &["apiVersion"]), "" | "autoscaling/v1")
    {
        return Err(Status::bad_request("the object provided is unrecognized (must be of type Scale)"));
    }
    update::name_fits(target, scale)?;
    if bound {
        update::uid_fits(target.kind, scale, &old)?;
    }
    let replicas = match scale["spec"].get("replicas") {
        None | Some(Value::Null) => 0,
        Some(replicas) => replicas.as_i64().ok_or_else(|| {
            Status::bad_request("Scale in version \"v1\" cannot be handled as a Scale: spec.replicas")
        })?,
    };
    if replicas < 0 {
        let why = "must be greater than or equal to 0";
        return Err(Status::invalid(SCALE, target.name, vec![Cause::invalid("spec.replicas", &json!(replicas), why)]));
    }
    let version = meta(scale, "resourceVersion");
    if !version.is_empty() && version != meta(&old, "resourceVersion") {
        return Err(Status::modified(target.kind.resource(), target.name));
    }
    let mut object = Value::clone(&old);
    object["spec"]["replicas"] = json!(replicas);
    let written: Arc<Value> = update::replace(state, target, object, &old, write)?;
    Ok(of(&written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_said_as_in_a_query() {
        let selector = json!({"matchLabels": {"b": "1", "a": "2"}, "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["y", "x"]}, {"key": "d", "operator": "DoesNotExist"},
        ]});
        assert_eq!(text(&selector), "!d,a=2,b=1,c in (x,y)");
    }
}
