//! What is wrong with an object's metadata.

use serde_json::{Value, json};

use super::KindInfo;
use crate::sim::status::Cause;

/// Annotations may be this large together.
const ANNOTATIONS: usize = 256 * 1024;
const IMMUTABLE: &str = "field is immutable";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
                         start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
                     with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SERVICE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                       character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
                       validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                         alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
                           start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used \
                           for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Whether it is a label of the DNS, but for its length.
fn is_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

fn length(name: &str, most: usize) -> Option<String> {
    (name.len() > most).then(|| format!("must be no more than {most} bytes"))
}

/// What is wrong with the name of most objects.
pub(super) fn subdomain(name: &str) -> Vec<String> {
    let shape = (!name.split('.').all(is_label)).then(|| SUBDOMAIN.to_owned());
    length(name, 253).into_iter().chain(shape).collect()
}

/// What is wrong with the name of a namespace or a container.
pub(super) fn dns_label(name: &str) -> Vec<String> {
    let shape = (!is_label(name)).then(|| LABEL.to_owned());
    length(name, 63).into_iter().chain(shape).collect()
}

fn service_label(name: &str) -> Vec<String> {
    let good = is_label(name) && !name.starts_with(|c: char| c.is_ascii_digit());
    length(name, 63).into_iter().chain((!good).then(|| SERVICE.to_owned())).collect()
}

/// Alphanumeric at both ends, with `-`, `_` and `.` between.
fn is_word(name: &str) -> bool {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    end(name.chars().next()) && end(name.chars().last()) && name.chars().all(inner)
}

/// What is wrong with the key of a label, an annotation, or a finalizer.
pub(crate) fn qualified_name(key: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let parts: Vec<&str> = key.split('/').collect();
    let name = match parts.as_slice() {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                problems.push("prefix part must be non-empty".to_owned());
            } else {
                problems.extend(subdomain(prefix).into_iter().map(|problem| format!("prefix part {problem}")));
            }
            name
        }
        _ => {
            let why = "a qualified name must consist of alphanumeric characters, '-', '_' or '.', with an optional DNS subdomain \
                       prefix and '/' (e.g. 'example.com/MyName')";
            return vec![why.to_owned()];
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        problems.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_word(name) {
        problems.push(QUALIFIED.to_owned());
    }
    problems
}

/// What is wrong with the value of a label.
pub(crate) fn label_value(value: &str) -> Vec<String> {
    let shape = (!value.is_empty() && !is_word(value)).then(|| LABEL_VALUE.to_owned());
    length(value, 63).into_iter().chain(shape).collect()
}

/// What is wrong with labels at that path.
pub(super) fn labels(path: &str, labels: Option<&Value>, causes: &mut Vec<Cause>) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        causes.extend(qualified_name(key).iter().map(|why| Cause::invalid(path, &json!(key), why)));
        let text = value.as_str().unwrap_or_default();
        causes.extend(label_value(text).iter().map(|why| Cause::invalid(path, value, why)));
    }
}

/// Finalizers that need no domain.
const STANDARD: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

/// Of built-in kinds each finalizer has the name of a domain before it.
fn domains(kind: &KindInfo, object: &Value, causes: &mut Vec<Cause>) {
    let all = object["metadata"].get("finalizers").and_then(Value::as_array).into_iter().flatten();
    for (index, name) in all.enumerate().filter(|_| !kind.is_custom()) {
        if name.as_str().is_some_and(|name| !name.contains('/') && !STANDARD.contains(&name)) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            causes.push(Cause::invalid(format!("metadata.finalizers[{index}]"), name, why));
        }
    }
}

/// What is wrong with the metadata of a new object.
pub(super) fn create(kind: &KindInfo, object: &Value) -> Vec<Cause> {
    let name: fn(&str) -> Vec<String> = match kind.kind.as_str() {
        "Namespace" => dns_label,
        "Service" => service_label,
        _ => subdomain,
    };
    let mut causes = all(kind, object, name);
    domains(kind, object, &mut causes);
    causes
}

fn all(kind: &KindInfo, object: &Value, name_problems: fn(&str) -> Vec<String>) -> Vec<Cause> {
    let metadata = &object["metadata"];
    let word = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut causes = Vec::new();
    let prefix = word("generateName");
    if !prefix.is_empty() {
        // What is appended makes an end of `-` good.
        let probe = format!("{}a", prefix.trim_end_matches('-'));
        let why = name_problems(&probe);
        causes.extend(why.iter().map(|why| Cause::invalid("metadata.generateName", &json!(prefix), why)));
    }
    let name = word("name");
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else {
        causes.extend(name_problems(name).iter().map(|why| Cause::invalid("metadata.name", &json!(name), why)));
    }
    let namespace = word("namespace");
    match (kind.namespaced, namespace.is_empty()) {
        (true, true) => causes.push(Cause::required("metadata.namespace", "")),
        (true, false) => {
            let why = dns_label(namespace);
            causes.extend(why.iter().map(|why| Cause::invalid("metadata.namespace", &json!(namespace), why)));
        }
        (false, false) => causes.push(Cause::forbidden("metadata.namespace", "not allowed on this type")),
        (false, true) => {}
    }
    if let Some(generation) = metadata.get("generation").filter(|number| number.as_i64().is_some_and(|n| n < 0)) {
        causes.push(Cause::invalid("metadata.generation", generation, "must be greater than or equal to 0"));
    }
    labels("metadata.labels", metadata.get("labels"), &mut causes);
    annotations(metadata, &mut causes);
    owners(metadata, &mut causes);
    finalizers(metadata, &mut causes);
    causes
}

fn annotations(metadata: &Value, causes: &mut Vec<Cause>) {
    let mut size = 0;
    for (key, value) in metadata.get("annotations").and_then(Value::as_object).into_iter().flatten() {
        let why = qualified_name(&key.to_lowercase());
        causes.extend(why.iter().map(|why| Cause::invalid("metadata.annotations", &json!(key), why)));
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > ANNOTATIONS {
        causes.push(Cause::too_long("metadata.annotations", ANNOTATIONS));
    }
}

fn owners(metadata: &Value, causes: &mut Vec<Cause>) {
    let owners = metadata.get("ownerReferences");
    let mut controller: Option<String> = None;
    for owner in owners.and_then(Value::as_array).into_iter().flatten() {
        let word = |name: &str| owner.get(name).and_then(Value::as_str).unwrap_or_default();
        for (name, why) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if word(name).is_empty() {
                causes.push(Cause::invalid(format!("metadata.ownerReferences.{name}"), &json!(""), why));
            }
        }
        if (word("apiVersion"), word("kind")) == ("v1", "Event") {
            let why = "/v1, Kind=Event is disallowed from being an owner";
            causes.push(Cause::invalid("metadata.ownerReferences", owner, why));
        }
        if owner.get("controller").and_then(Value::as_bool).unwrap_or_default() {
            let this = format!("{}/{}", word("kind"), word("name"));
            match &controller {
                Some(first) => {
                    let why = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    );
                    causes.push(Cause::invalid("metadata.ownerReferences", owners.unwrap_or(&Value::Null), &why));
                }
                None => controller = Some(this),
            }
        }
    }
}

fn finalizers(metadata: &Value, causes: &mut Vec<Cause>) {
    let all = metadata.get("finalizers");
    let names: Vec<&str> = all.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for name in &names {
        let why = qualified_name(name);
        causes.extend(why.iter().map(|why| Cause::invalid("metadata.finalizers", &json!(name), why)));
    }
    if names.contains(&"orphan") && names.contains(&"foregroundDeletion") {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        causes.push(Cause::invalid("metadata.finalizers", all.unwrap_or(&Value::Null), why));
    }
}

/// What is wrong with the metadata of an object that is to replace another one. Kinds look at it once more on their own, so
/// that what was changed in spite of everything is named twice.
pub(super) fn update(kind: &KindInfo, object: &Value, old: &Value) -> Vec<Cause> {
    let path_segment = |_: &str| Vec::new();
    let mut causes = all(kind, object, path_segment);
    let changed = changed(object, old);
    causes.extend(changed.clone());
    causes.extend(changed);
    causes
}

fn changed(object: &Value, old: &Value) -> Vec<Cause> {
    let (new, was) = (&object["metadata"], &old["metadata"]);
    let mut causes = Vec::new();
    if was.get("deletionTimestamp").is_some() {
        let names = |metadata: &Value| -> Vec<String> {
            let list = metadata.get("finalizers").and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let there = names(was);
        let mut added: Vec<String> = names(new).into_iter().filter(|name| !there.contains(name)).collect();
        added.sort();
        if !added.is_empty() {
            let shown: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                shown.join(", ")
            );
            causes.push(Cause::forbidden("metadata.finalizers", &why));
        }
    }
    for name in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let value = new.get(name).unwrap_or(&Value::Null);
        if value != was.get(name).unwrap_or(&Value::Null) {
            causes.push(Cause::invalid(format!("metadata.{name}"), value, IMMUTABLE));
        }
    }
    labels("metadata.labels", new.get("labels"), &mut causes);
    annotations(new, &mut causes);
    owners(new, &mut causes);
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_dns_takes() {
        for name in ["a", "a-b", "a.b", "1", &"a".repeat(253)] {
            assert_eq!(subdomain(name), [] as [String; 0], "{name}");
        }
        for name in ["", "A", "a_b", "-a", "a-", "a..b", ".a", &"a".repeat(254)] {
            assert_eq!(subdomain(name).len(), 1, "{name}");
        }
        assert_eq!(dns_label("a.b").len(), 1);
        assert_eq!(service_label("1a").len(), 1);
    }

    #[test]
    fn keys_have_a_name_and_may_have_a_prefix() {
        for key in ["a", "A_b.c", "a.b/C", "kubernetes.io/metadata.name"] {
            assert_eq!(qualified_name(key), [] as [String; 0], "{key}");
        }
        for key in ["", "/a", "a/", "a/b/c", "A.b/c", "-a"] {
            assert!(!qualified_name(key).is_empty(), "{key}");
        }
    }
}
