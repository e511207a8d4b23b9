//! Objects as the rows of a table, which is what kubectl asks for to print them.

mod builtin;
mod pod;
mod words;

use jiff::Timestamp;
use jsonpath_rust::JsonPath;
use serde_json::{Value, json};

use super::kinds::KindInfo;

/// One column.
struct Column {
    name: &'static str,
    of: &'static str,
    wide: bool,
}

/// What comes with each row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    Nothing,
    /// The metadata of the row's object.
    #[default]
    Metadata,
    /// The row's object.
    Object,
}

impl Include {
    /// From the request's `includeObject`; `None` for what is none of them.
    pub fn parse(given: Option<&str>) -> Option<Self> {
        match given {
            None | Some("" | "Metadata") => Some(Self::Metadata),
            Some("None") => Some(Self::Nothing),
            Some("Object") => Some(Self::Object),
            Some(_) => None,
        }
    }
}

/// Whether the client would rather have a table than anything else.
pub fn asked(accept: &str) -> bool {
    let first = accept.split(',').next().unwrap_or_default();
    let mut parts = first.split(';').map(str::trim);
    parts.next() == Some("application/json") && {
        let parameters: Vec<&str> = parts.collect();
        parameters.contains(&"as=Table")
            && parameters.contains(&"g=meta.k8s.io")
            && (parameters.contains(&"v=v1") || parameters.contains(&"v=v1beta1"))
    }
}

/// The table of these objects, which are all of that kind. `metadata` is that of the list, or of a single object. A table
/// in a watch has its header only in the first event.
pub fn table<'a>(
    kind: &KindInfo,
    objects: impl IntoIterator<Item = &'a Value>,
    metadata: &Value,
    include: Include,
    header: bool,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> = objects.into_iter().map(|object| row(kind, object, include, now)).collect();
    let mut shown = json!({});
    for name in ["resourceVersion", "continue", "remainingItemCount"] {
        if let Some(value) = metadata.get(name).filter(|value| value.as_str() != Some("")) {
            shown[name] = value.clone();
        }
    }
    let columns = if header { columns(kind) } else { Value::Null };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": shown, "columnDefinitions": columns, "rows": rows,
    })
}

fn columns(kind: &KindInfo) -> Value {
    let name = json!({"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0});
    if kind.is_custom() {
        let own = kind.printer_columns().into_iter().map(|column| {
            json!({
                "name": column["name"], "type": column["type"], "format": column["format"].as_str().unwrap_or_default(),
                "description": column["description"].as_str().unwrap_or_default(),
                "priority": column["priority"].as_i64().unwrap_or_default(),
            })
        });
        return std::iter::once(name).chain(own).collect();
    }
    let columns = builtin::columns(&kind.group, &kind.kind).iter().map(|column| {
        json!({
            "name": column.name, "type": column.of, "format": if column.name == "Name" { "name" } else { "" },
            "description": "", "priority": i32::from(column.wide),
        })
    });
    columns.collect()
}

fn row(kind: &KindInfo, object: &Value, include: Include, now: Timestamp) -> Value {
    let cells = if kind.is_custom() { custom(kind, object, now) } else { builtin::cells(kind, object, now) };
    let mut row = json!({"cells": cells});
    if let Some(conditions) = builtin::conditions(kind, object) {
        row["conditions"] = conditions;
    }
    row["object"] = match include {
        Include::Nothing => Value::Null,
        Include::Object => object.clone(),
        Include::Metadata => json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
        }),
    };
    row
}

/// The cells of one of our own kinds, as its definition says.
fn custom(kind: &KindInfo, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![object["metadata"]["name"].clone()];
    for column in kind.printer_columns() {
        let path = column["jsonPath"].as_str().unwrap_or_default();
        let found = object.query(&format!("${path}")).ok().and_then(|found| found.first().copied().cloned());
        cells.push(found.map_or(Value::Null, |value| cell(column["type"].as_str().unwrap_or_default(), &value, now)));
    }
    cells
}

fn cell(of: &str, value: &Value, now: Timestamp) -> Value {
    match (of, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(_)) | ("boolean", Value::Bool(_)) | ("number", Value::Number(_)) => value.clone(),
        ("string", other) => Value::from(other.to_string()),
        ("integer", number) if number.is_i64() => number.clone(),
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(time) => Value::from(words::age(time, now)),
            Err(_) => Value::from("<invalid>"),
        },
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests;
