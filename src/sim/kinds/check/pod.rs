//! Pods, and the templates of pods.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Found, items, number, text};
use crate::sim::{kinds::meta, quantity::Quantity, status::Cause};

const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
const RESTART_POLICIES: &[&str] = &["Always", "OnFailure", "Never"];
const DNS_POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const UPDATABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
                         `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
                         existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
                         previously negative)";

/// The spec of a pod or of a template.
pub(super) fn spec(path: &str, spec: &Value, found: &mut Found) {
    let mut names = BTreeSet::new();
    if items(spec, "containers").next().is_none() {
        found.add(Cause::required(format!("{path}.containers"), ""));
    }
    for list in ["containers", "initContainers"] {
        for (index, container) in items(spec, list).enumerate() {
            let path = format!("{path}.{list}[{index}]");
            self::container(&path, container, found);
            let name = text(container, "name");
            if !name.is_empty() && !names.insert(name) {
                found.add(Cause::duplicate(format!("{path}.name"), &json!(name)));
            }
        }
    }
    found.one_of(format!("{path}.restartPolicy"), spec.get("restartPolicy"), RESTART_POLICIES);
    found.one_of(format!("{path}.dnsPolicy"), spec.get("dnsPolicy"), DNS_POLICIES);
    if let Some(seconds) = spec.get("activeDeadlineSeconds").filter(|seconds| seconds.as_i64().is_some_and(|s| s < 1)) {
        let why = "must be between 1 and 2147483647, inclusive";
        found.add(Cause::invalid(format!("{path}.activeDeadlineSeconds"), seconds, why));
    }
    let account = text(spec, "serviceAccountName");
    if !account.is_empty() {
        for why in meta::subdomain(account) {
            found.add(Cause::invalid(format!("{path}.serviceAccountName"), &json!(account), &why));
        }
    }
    meta::labels(&format!("{path}.nodeSelector"), spec.get("nodeSelector"), &mut found.0);
}

fn container(path: &str, container: &Value, found: &mut Found) {
    let name = text(container, "name");
    if name.is_empty() {
        found.add(Cause::required(format!("{path}.name"), ""));
    } else {
        for why in meta::dns_label(name) {
            found.add(Cause::invalid(format!("{path}.name"), &json!(name), &why));
        }
    }
    if text(container, "image").is_empty() {
        found.add(Cause::required(format!("{path}.image"), ""));
    }
    found.one_of(format!("{path}.imagePullPolicy"), container.get("imagePullPolicy"), PULL_POLICIES);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(fields) = container.get(probe) {
            self::probe(&format!("{path}.{probe}"), fields, found);
        }
    }
    let (requests, limits) = (&container["resources"]["requests"], &container["resources"]["limits"]);
    for (name, request) in requests.as_object().into_iter().flatten() {
        let amount = Quantity::of(request);
        let limit = limits.get(name).and_then(Quantity::of);
        if amount.zip(limit).is_some_and(|(amount, limit)| amount.is_above(limit)) {
            let shown = limits[name].as_str().unwrap_or_default();
            let why = format!("must be less than or equal to {name} limit of {shown}");
            found.add(Cause::invalid(format!("{path}.resources.requests"), request, &why));
        }
    }
}

fn probe(path: &str, probe: &Value, found: &mut Found) {
    let handlers = ["exec", "httpGet", "tcpSocket", "grpc"].into_iter().filter(|name| probe.get(name).is_some());
    match handlers.count() {
        0 => found.add(Cause::required(path, "must specify a handler type")),
        1 => {}
        _ => found.add(Cause::forbidden(path, "may not specify more than 1 handler type")),
    }
    let numbers = ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
    found.not_negative(path, probe, &numbers);
    if !path.ends_with("readinessProbe") && number(probe, "successThreshold") > 1 {
        found.add(Cause::invalid(format!("{path}.successThreshold"), &probe["successThreshold"], "must be 1"));
    }
}

/// A pod's spec that is to replace another one.
pub(super) fn update(new: &Value, old: &Value, found: &mut Found) {
    spec("spec", new, found);
    for list in ["containers", "initContainers"] {
        if items(new, list).count() != items(old, list).count() {
            let why = format!("pod updates may not add or remove {}", list.replace("initC", "init c"));
            return found.add(Cause::forbidden(format!("spec.{list}"), &why));
        }
    }
    let (deadline, was) = (new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds"));
    let path = "spec.activeDeadlineSeconds";
    match (deadline.and_then(Value::as_i64), was.and_then(Value::as_i64)) {
        (Some(seconds), Some(before)) if seconds > before => {
            return found.add(Cause::invalid(path, &json!(seconds), "must be less than or equal to previous value"));
        }
        (None, Some(_)) => {
            found.add(Cause::invalid(path, &Value::Null, "must not update from a positive integer to nil value"));
        }
        _ => {}
    }
    let tolerations: Vec<&Value> = items(new, "tolerations").collect();
    // How long it is tolerated may change.
    let alike = |one: &Value, other: &Value| {
        ["key", "operator", "value", "effect"].iter().all(|name| one.get(name) == other.get(name))
    };
    if items(old, "tolerations").any(|old| !tolerations.iter().any(|new| alike(new, old))) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        found.add(Cause::forbidden("spec.tolerations", why));
    }
    if comparable(new, old) != *old {
        found.add(Cause::forbidden("spec", UPDATABLE));
    }
}

/// The new spec, with what may differ as it was.
fn comparable(new: &Value, old: &Value) -> Value {
    let mut comparable = new.clone();
    for list in ["containers", "initContainers"] {
        for (index, container) in items(old, list).enumerate() {
            comparable[list][index]["image"] = container["image"].clone();
        }
    }
    if let Some(fields) = comparable.as_object_mut() {
        for name in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
            match old.get(name) {
                Some(value) => drop(fields.insert(name.to_owned(), value.clone())),
                None => drop(fields.remove(name)),
            }
        }
    }
    comparable
}

/// A pod's status that is to replace another one.
pub(super) fn status(status: &Value, old: &Value, found: &mut Found) {
    found.unchanged("status", status, old, &["qosClass"]);
    for (index, condition) in items(status, "conditions").enumerate() {
        if number(condition, "observedGeneration") < 0 {
            let path = format!("status.conditions[{index}].observedGeneration");
            found.add(Cause::invalid(path, &condition["observedGeneration"], "must be greater than or equal to 0"));
        }
    }
}
