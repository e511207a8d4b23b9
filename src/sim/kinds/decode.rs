//! Reads an object as the API server does: through its type, which refuses what does not fit, drops what it does not know,
//! and leaves out what is empty.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{KindInfo, defaults};
use crate::sim::{path::Path, quantity::Quantity, status::Status};

/// Reads an object through its type.
pub(crate) type Codec = fn(&Value) -> Result<Value, String>;

/// Through that type.
pub(super) fn through<K: Serialize + DeserializeOwned>(object: &Value) -> Result<Value, String> {
    let typed = K::deserialize(object).map_err(|error| error.to_string())?;
    serde_json::to_value(&typed).map_err(|error| error.to_string())
}

/// As it is: our own kinds are read by their schema.
#[expect(clippy::unnecessary_wraps, reason = "it stands where others refuse")]
pub(super) fn as_it_is(object: &Value) -> Result<Value, String> {
    Ok(object.clone())
}

/// Objects that are maps from names to values: empty ones are left out, and what is in them is left alone.
const MAPS: &[&str] = &[
    "labels",
    "annotations",
    "matchLabels",
    "nodeSelector",
    "limits",
    "requests",
    "data",
    "binaryData",
    "stringData",
    "capacity",
    "allocatable",
    "overhead",
    "disruptedPods",
];
/// Texts that are left out when they are empty.
const TEXTS: &[&str] = &[
    "namespace",
    "generateName",
    "uid",
    "resourceVersion",
    "selfLink",
    "nodeName",
    "hostname",
    "subdomain",
    "serviceAccountName",
    "serviceAccount",
    "podIP",
    "hostIP",
    "priorityClassName",
    "schedulerName",
    "dnsPolicy",
    "restartPolicy",
    "qosClass",
    "phase",
    "imagePullPolicy",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "lastTransitionTime",
    "nominatedNodeName",
    "fieldPath",
];

pub(super) fn read(kind: &KindInfo, object: Value) -> Result<(Value, Vec<String>), Status> {
    // To a built-in kind nothing is an empty object.
    let object = if object.is_null() && !kind.is_custom() { Value::Object(Map::new()) } else { object };
    let Value::Object(mut object) = object else {
        return Err(Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {})",
            kind.kind
        )));
    };
    named(kind, &mut object)?;
    if let Some(schema) = &kind.schema {
        let mut unknown = Vec::new();
        if let Some(given) = object.get("metadata").cloned() {
            let read = through::<ObjectMeta>(&given).map_err(|why| refused(kind, &why))?;
            differences(Path::Field(&Path::Root, "metadata"), &given, &read, &mut unknown);
            object.insert("metadata".to_owned(), read);
        }
        let mut object = Value::Object(object);
        schema.prune(&mut object, &mut unknown);
        schema.complete(&mut object);
        if let Some(metadata) = object.get_mut("metadata") {
            tidy(metadata);
        }
        return Ok((object, unknown));
    }
    let given = Value::Object(object);
    let mut read = (kind.codec)(&given).map_err(|why| refused(kind, &why))?;
    let mut unknown = Vec::new();
    differences(Path::Root, &given, &read, &mut unknown);
    micro_times(kind, &given).map_err(|why| refused(kind, &why))?;
    tidy(&mut read);
    keep_absent(&given, &mut read);
    quantities(&mut read).map_err(|why| refused(kind, &why))?;
    defaults::complete(kind, &mut read);
    Ok((read, unknown))
}

fn refused(kind: &KindInfo, why: &str) -> Status {
    Status::bad_request(format!("{0} in version {1:?} cannot be handled as a {0}: {why}", kind.kind, kind.version))
}

/// Sees to it that the object says which kind it is. Built-in kinds need not, but must not say another one.
fn named(kind: &KindInfo, object: &mut Map<String, Value>) -> Result<(), Status> {
    let word = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let (said_kind, said_version) = (word("kind"), word("apiVersion"));
    if kind.is_custom() {
        for (name, said) in [("Kind", said_kind), ("apiVersion", said_version)] {
            if said.is_empty() {
                let all = Value::Object(object.clone());
                return Err(Status::bad_request(format!(
                    "the object provided is unrecognized (must be of type {}): Object '{name}' is missing in '{all}'",
                    kind.kind
                )));
            }
        }
    }
    let version = kind.api_version();
    if !said_version.is_empty() && said_version != version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({said_version}) does not match the expected API version ({version})"
        )));
    }
    if !said_kind.is_empty() && said_kind != kind.kind {
        return Err(Status::bad_request(format!(
            "{said_kind} in version {:?} cannot be handled as a {}: the kinds differ",
            kind.version, kind.kind
        )));
    }
    object.insert("kind".to_owned(), Value::from(kind.kind.as_str()));
    object.insert("apiVersion".to_owned(), Value::from(version));
    Ok(())
}

/// Collects the fields that were given and that reading dropped.
fn differences(path: Path<'_>, given: &Value, read: &Value, unknown: &mut Vec<String>) {
    match (given, read) {
        (Value::Object(given), Value::Object(read)) => {
            for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
                let below = Path::Field(&path, name);
                match read.get(name) {
                    Some(read) => differences(below, value, read, unknown),
                    None => unknown.push(below.to_string()),
                }
            }
        }
        (Value::Array(given), Value::Array(read)) => {
            for (index, (given, read)) in given.iter().zip(read).enumerate() {
                differences(Path::Item(&path, index), given, read, unknown);
            }
        }
        _ => {}
    }
}

/// Leaves out what the API server leaves out.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| match value {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(below) => !below.is_empty() || !MAPS.contains(&name.as_str()),
                Value::String(text) => !text.is_empty() || !TEXTS.contains(&name.as_str()),
                _ => true,
            });
            for (_, below) in
                fields.iter_mut().filter(|(name, _)| !MAPS.contains(&name.as_str()) && *name != "fieldsV1")
            {
                tidy(below);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Refuses times that should have microseconds, all six digits of them, and have not.
fn micro_times(kind: &KindInfo, given: &Value) -> Result<(), String> {
    let paths: &[&str] = match kind.kind.as_str() {
        "Lease" => &["/spec/renewTime", "/spec/acquireTime"],
        "Event" => &["/eventTime", "/series/lastObservedTime"],
        _ => &[],
    };
    for time in paths.iter().filter_map(|path| given.pointer(path)).filter_map(Value::as_str) {
        let digits = time.split_once('.').map_or(0, |(_, rest)| rest.chars().take_while(char::is_ascii_digit).count());
        if digits != 6 {
            return Err(format!("parsing time {time:?} as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse"));
        }
    }
    Ok(())
}

/// Types fill in a selector that must be there; whether it was has to be seen later.
fn keep_absent(given: &Value, read: &mut Value) {
    if given.pointer("/spec/selector").is_none_or(Value::is_null)
        && let Some(spec) = read.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.remove("selector");
    }
}

/// Fields whose values are quantities.
const AMOUNTS: &[&str] = &["limits", "requests", "capacity", "allocatable", "overhead"];

/// Writes quantities as the API server does. Refuses what is none.
fn quantities(value: &mut Value) -> Result<(), String> {
    match value {
        Value::Object(fields) => {
            for (name, below) in fields.iter_mut() {
                let Some(amounts) = below.as_object_mut().filter(|_| AMOUNTS.contains(&name.as_str())) else {
                    quantities(below)?;
                    continue;
                };
                for amount in amounts.values_mut() {
                    let quantity = Quantity::of(amount).ok_or_else(|| format!("{amount} is no quantity"))?;
                    *amount = Value::from(quantity.canonical());
                }
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(quantities),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::of_kind;

    #[test]
    fn what_a_type_does_not_know_is_dropped_and_named() {
        let kind = of_kind("", "ConfigMap").unwrap();
        let given = json!({"metadata": {"name": "a", "labels": {}, "odd": 1}, "data": {"x": ""}, "nonsense": {"a": 1}});
        let (read, unknown) = kind.read(given).unwrap();
        let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": ""}});
        assert_eq!(read, expected);
        assert_eq!(unknown, ["metadata.odd", "nonsense"]);
    }

    #[test]
    fn a_body_of_another_kind_or_type_is_refused() {
        let kind = of_kind("apps", "Deployment").unwrap();
        for body in
            [json!({"kind": "Pod"}), json!({"apiVersion": "v1"}), json!({"spec": {"replicas": "many"}}), json!(1)]
        {
            assert_eq!(kind.read(body.clone()).unwrap_err().code, 400, "{body}");
        }
    }
}
