//! What of an answer is compared: one line a field.
//!
//! Of an object everything but spec, status and managedFields, and of these what the case asks for; of a Status what
//! programs decide by. Messages are compared where they are the API machinery's own, or where the case asks for it.

use serde_json::{Map, Value};

use crate::symbols::Symbols;

/// What a case wants to see.
#[derive(Clone, Default)]
pub struct View {
    /// Paths that are shown beside the usual ones, with what is below them.
    pub also: Vec<String>,
    /// Whether messages are shown.
    pub messages: bool,
}

/// Kinds that a controller of a real cluster writes to as it likes.
const CONTROLLED: [&str; 7] =
    ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "PodDisruptionBudget", "Scale", "Namespace"];
/// Reasons whose messages the API machinery makes of names alone.
const STABLE: [&str; 3] = ["NotFound", "AlreadyExists", "MethodNotAllowed"];

/// The lines of an answer's body.
pub fn lines(body: &Value, view: &View, symbols: &Symbols) -> Vec<String> {
    let mut lines = Vec::new();
    let kind = kind(body);
    if kind == "Status" {
        status(body, view, &mut lines);
    } else if kind == "Table" {
        table(body, symbols, &mut lines);
    } else if let Some(items) = body.get("items").and_then(Value::as_array) {
        list(body, items, view, symbols, &mut lines);
    } else {
        object("", body, view, &mut lines);
    }
    lines.iter().map(|line| symbols.line(line)).collect()
}

/// An object's kind, or nothing.
pub fn kind(body: &Value) -> &str {
    body.get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// Takes note of the versions of the object, or of the list's items.
pub fn learn(body: &Value, symbols: &mut Symbols) {
    symbols.learn(body);
    match body.get("items").and_then(Value::as_array) {
        Some(items) => items.iter().for_each(|item| symbols.learn_version(version(item))),
        None if kind(body) == "Table" => {}
        None => symbols.learn_version(version(body)),
    }
}

/// The object's resourceVersion.
pub fn version(object: &Value) -> Option<&str> {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str)
}

/// Whether its resourceVersion says nothing about the case.
pub fn controlled(object: &Value) -> bool {
    CONTROLLED.contains(&kind(object))
}

fn status(body: &Value, view: &View, lines: &mut Vec<String>) {
    let mut shown = Map::new();
    for name in ["code", "status", "reason", "details"] {
        if let Some(value) = body.get(name) {
            shown.insert(name.to_owned(), value.clone());
        }
    }
    let reason = body.get("reason").and_then(Value::as_str).unwrap_or_default();
    if view.messages || STABLE.contains(&reason) {
        shown.insert("message".to_owned(), body.get("message").cloned().unwrap_or_default());
    }
    if let Some(causes) = shown.get_mut("details").and_then(|details| details.get_mut("causes")) {
        let causes = causes.as_array_mut().expect("causes are a list");
        if !view.messages {
            for cause in causes.iter_mut().filter_map(Value::as_object_mut) {
                cause.remove("message");
            }
        }
        causes.sort_by_key(ToString::to_string);
    }
    flatten("", &Value::Object(shown), lines);
}

fn object(prefix: &str, object: &Value, view: &View, lines: &mut Vec<String>) {
    let mut object = object.clone();
    let hidden = controlled(&object);
    if hidden && let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove("deployment.kubernetes.io/revision");
        if annotations.is_empty() {
            object["metadata"].as_object_mut().expect("it has annotations").remove("annotations");
        }
    }
    if let Some(Value::String(version)) = object.pointer_mut("/metadata/resourceVersion") {
        *version = if hidden { "rv".to_owned() } else { Symbols::version(version) };
    }
    let mut all = Vec::new();
    flatten("", &object, &mut all);
    let below = |line: &str, path: &str| {
        line.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[', ' ']) || path.is_empty())
    };
    let usual = |line: &str| !["spec", "status", "metadata.managedFields"].iter().any(|path| below(line, path));
    let wanted = |line: &String| usual(line) || view.also.iter().any(|path| below(line, path));
    lines.extend(all.into_iter().filter(wanted).map(|line| format!("{prefix}{line}")));
}

fn list(body: &Value, items: &[Value], view: &View, symbols: &Symbols, lines: &mut Vec<String>) {
    for name in ["apiVersion", "kind"] {
        flatten(name, body.get(name).unwrap_or(&Value::Null), lines);
    }
    list_meta(body, symbols, lines);
    if items.is_empty() {
        lines.push("items = []".to_owned());
    }
    for (index, item) in items.iter().enumerate() {
        object(&format!("items[{index}]."), item, view, lines);
    }
}

fn list_meta(body: &Value, symbols: &Symbols, lines: &mut Vec<String>) {
    let mut metadata = body.get("metadata").cloned().unwrap_or_default();
    if let Some(Value::String(version)) = metadata.get_mut("resourceVersion") {
        *version = symbols.moment(version).to_owned();
    }
    if let Some(Value::String(token)) = metadata.get_mut("continue").filter(|token| *token != "") {
        "token".clone_into(token);
    }
    flatten("metadata", &metadata, lines);
}

fn table(body: &Value, symbols: &Symbols, lines: &mut Vec<String>) {
    flatten("apiVersion", &body["apiVersion"], lines);
    flatten("kind", &body["kind"], lines);
    list_meta(body, symbols, lines);
    for column in body["columnDefinitions"].as_array().into_iter().flatten() {
        let word = |name: &str| column[name].as_str().unwrap_or_default().to_owned();
        lines.push(format!(
            "column {:?} {} {:?} priority {}",
            word("name"),
            word("type"),
            word("format"),
            column["priority"]
        ));
    }
    for row in body["rows"].as_array().into_iter().flatten() {
        let cells: Vec<String> =
            row["cells"].as_array().into_iter().flatten().map(|cell| age(cell).to_string()).collect();
        let of = |name: &str| row["object"][name].as_str().unwrap_or("-").to_owned();
        lines.push(format!("row {}", cells.join(" | ")));
        lines.push(format!(
            "  of {} {} {}",
            of("apiVersion"),
            of("kind"),
            row["object"]["metadata"]["name"].as_str().unwrap_or("-")
        ));
    }
}

/// A cell that is an age is some seconds.
fn age(cell: &Value) -> Value {
    let seconds = cell.as_str().and_then(|text| text.strip_suffix('s')).and_then(|number| number.parse::<u8>().ok());
    seconds.map_or_else(|| cell.clone(), |_| Value::from("age"))
}

/// One line a scalar, the keys in order.
fn flatten(path: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            for name in names {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&below, &fields[name], lines);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), item, lines);
            }
        }
        _ => lines.push(format!("{path} = {value}")),
    }
}
