//! Kinds with few rules: budgets, config maps, leases.

use serde_json::{Value, json};

use super::{Found, number};
use crate::sim::status::Cause;

/// A config map's data may be this large together.
const DATA: usize = 1024 * 1024;
const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
                   'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

pub(super) fn budget(spec: &Value, found: &mut Found) {
    let (least, most) = (spec.get("minAvailable"), spec.get("maxUnavailable"));
    if least.is_some() && most.is_some() {
        found.add(Cause::invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"));
    }
    for (path, value) in [("spec.minAvailable", least), ("spec.maxUnavailable", most)] {
        found.count_or_share(path, value);
        found.at_most_all(path, value);
    }
    found.selector("spec.selector", &spec["selector"]);
    let policies = ["AlwaysAllow", "IfHealthyBudget"];
    found.one_of("spec.unhealthyPodEvictionPolicy".to_owned(), spec.get("unhealthyPodEvictionPolicy"), &policies);
}

pub(super) fn config_map(object: &Value, found: &mut Found) {
    let mut size = 0;
    for field in ["data", "binaryData"] {
        for (key, value) in object.get(field).and_then(Value::as_object).into_iter().flatten() {
            let path = format!("{field}[{key}]");
            for why in key_problems(key) {
                found.add(Cause::invalid(path.as_str(), &json!(key), &why));
            }
            if field == "data" && object["binaryData"].get(key).is_some() {
                found.add(Cause::invalid(path, &json!(key), "duplicate of key present in binaryData"));
            }
            size += value.as_str().map_or(0, str::len);
        }
    }
    if size > DATA {
        found.add(Cause::too_long("", DATA));
    }
}

fn key_problems(key: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if key.len() > 253 {
        problems.push("must be no more than 253 bytes".to_owned());
    }
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        problems.push(KEY.to_owned());
    }
    match key {
        "." => problems.push("must not be '.'".to_owned()),
        ".." => problems.push("must not be '..'".to_owned()),
        _ if key.starts_with("..") => problems.push("must not start with '..'".to_owned()),
        _ => {}
    }
    problems
}

pub(super) fn config_map_update(object: &Value, old: &Value, found: &mut Found) {
    let fixed = |object: &Value| object.get("immutable").and_then(Value::as_bool).unwrap_or_default();
    if fixed(old) {
        let why = "field is immutable when `immutable` is set";
        if !fixed(object) {
            found.add(Cause::forbidden("immutable", why));
        }
        for field in ["data", "binaryData"].into_iter().filter(|field| object.get(field) != old.get(field)) {
            found.add(Cause::forbidden(field, why));
        }
    }
    config_map(object, found);
}

pub(super) fn lease(spec: &Value, found: &mut Found) {
    if spec.get("leaseDurationSeconds").is_some() && number(spec, "leaseDurationSeconds") <= 0 {
        found.add(Cause::invalid("spec.leaseDurationSeconds", &spec["leaseDurationSeconds"], "must be greater than 0"));
    }
    found.not_negative("spec", spec, &["leaseTransitions"]);
}
