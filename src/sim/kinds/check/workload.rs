//! Deployments, replica sets and stateful sets.

use serde_json::{Value, json};

use super::{Found, number, or_empty, pod, share, text};
use crate::sim::{LabelSelector, kinds::meta, status::Cause};

pub(super) fn deployment(spec: &Value, found: &mut Found) {
    found.not_negative("spec", spec, &["replicas"]);
    template(spec, "deployment", found);
    strategy(&spec["strategy"], found);
    found.not_negative("spec", spec, &["minReadySeconds", "revisionHistoryLimit"]);
    if let Some(deadline) = spec.get("progressDeadlineSeconds") {
        found.not_negative("spec", spec, &["progressDeadlineSeconds"]);
        if number(spec, "progressDeadlineSeconds") <= number(spec, "minReadySeconds") {
            found.add(Cause::invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"));
        }
    }
}

pub(super) fn replica_set(spec: &Value, found: &mut Found) {
    found.not_negative("spec", spec, &["replicas", "minReadySeconds"]);
    template(spec, "deployment", found);
}

pub(super) fn stateful_set(spec: &Value, found: &mut Found) {
    if !["OrderedReady", "Parallel"].contains(&text(spec, "podManagementPolicy")) {
        let why = "must be 'OrderedReady' or 'Parallel'";
        found.add(Cause::invalid("spec.podManagementPolicy", &spec["podManagementPolicy"], why));
    }
    let strategy = &spec["updateStrategy"];
    match text(strategy, "type") {
        "OnDelete" if strategy.get("rollingUpdate").is_some() => {
            let why = "only allowed for updateStrategy 'RollingUpdate'";
            found.add(Cause::invalid("spec.updateStrategy.rollingUpdate", &strategy["rollingUpdate"], why));
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            found.not_negative("spec.updateStrategy.rollingUpdate", &strategy["rollingUpdate"], &["partition"]);
        }
        _ => found.add(Cause::invalid("spec.updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'")),
    }
    found.not_negative("spec", spec, &["replicas", "minReadySeconds"]);
    template(spec, "statefulset", found);
}

/// Most of a stateful set is as it was made.
pub(super) fn stateful_set_update(spec: &Value, old: &Value, found: &mut Found) {
    stateful_set(spec, found);
    let mut comparable = spec.clone();
    let may_change = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    if let Some(fields) = comparable.as_object_mut() {
        for name in may_change {
            match old.get(name) {
                Some(value) => drop(fields.insert(name.to_owned(), value.clone())),
                None => drop(fields.remove(name)),
            }
        }
    }
    if comparable != *old {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
                   'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        found.add(Cause::forbidden("spec", why));
    }
}

/// The selector and the template that must fit each other.
fn template(spec: &Value, kind: &str, found: &mut Found) {
    let template = &spec["template"];
    match spec.get("selector") {
        None => found.add(Cause::required("spec.selector", "")),
        Some(selector) => {
            found.selector("spec.selector", selector);
            if LabelSelector::of_object(selector).is_some_and(|selector| selector.is_empty()) {
                let why = format!("empty selector is invalid for {kind}");
                found.add(Cause::invalid("spec.selector", selector, &why));
            }
        }
    }
    // Without a selector nothing fits.
    match (spec.get("selector"), spec.get("selector").and_then(LabelSelector::of_object)) {
        (Some(selector), None) => found.add(Cause::invalid("spec.selector", selector, "invalid label selector")),
        (_, Some(selector)) if selector.is_empty() || selector.matches(template) => {}
        _ => {
            let labels = or_empty(template["metadata"].get("labels"));
            let why = "`selector` does not match template `labels`";
            found.add(Cause::invalid("spec.template.metadata.labels", &labels, why));
        }
    }
    pod_template("spec.template", template, found);
    let policy = text(&template["spec"], "restartPolicy");
    if ["OnFailure", "Never"].contains(&policy) {
        found.add(Cause::not_supported("spec.template.spec.restartPolicy", &json!(policy), &["Always"]));
    }
    if template["spec"].get("activeDeadlineSeconds").is_some() {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        found.add(Cause::forbidden("spec.template.spec.activeDeadlineSeconds", &why));
    }
}

/// A template of pods.
pub(super) fn pod_template(path: &str, template: &Value, found: &mut Found) {
    meta::labels(&format!("{path}.labels"), template["metadata"].get("labels"), &mut found.0);
    pod::spec(&format!("{path}.spec"), &template["spec"], found);
}

fn strategy(strategy: &Value, found: &mut Found) {
    let rolling = strategy.get("rollingUpdate");
    match (text(strategy, "type"), rolling) {
        ("Recreate", Some(_)) => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            found.add(Cause::forbidden("spec.strategy.rollingUpdate", why));
        }
        ("Recreate", None) => {}
        ("RollingUpdate", Some(rolling)) => {
            let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
            let path = "spec.strategy.rollingUpdate.maxUnavailable";
            found.count_or_share(path, unavailable);
            found.count_or_share("spec.strategy.rollingUpdate.maxSurge", surge);
            let none = |value: Option<&Value>| {
                value.is_none_or(|value| share(value).map_or_else(|| value.as_i64() == Some(0), |share| share == 0))
            };
            if none(unavailable) && none(surge) {
                let value = unavailable.unwrap_or(&Value::Null);
                found.add(Cause::invalid(path, value, "may not be 0 when `maxSurge` is 0"));
            }
            found.at_most_all(path, unavailable);
        }
        ("RollingUpdate", None) => {
            let why = "this should be defaulted and never be nil";
            found.add(Cause::required("spec.strategy.rollingUpdate", why));
        }
        _ => found.add(Cause::not_supported("spec.strategy", strategy, &["Recreate", "RollingUpdate"])),
    }
}

pub(super) fn deployment_status(status: &Value, found: &mut Found) {
    let parts = ["updatedReplicas", "readyReplicas", "availableReplicas"];
    let numbers = ["observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
    found.not_negative("status", status, &numbers);
    found.not_negative("status", status, &["unavailableReplicas", "collisionCount", "terminatingReplicas"]);
    parts_of_replicas(status, &parts, "cannot be greater than status.replicas", found);
    available_are_ready(status, "cannot be greater than readyReplicas", found);
}

pub(super) fn replica_set_status(status: &Value, found: &mut Found) {
    let parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    found.not_negative("status", status, &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"]);
    found.not_negative("status", status, &["observedGeneration", "terminatingReplicas"]);
    parts_of_replicas(status, &parts, "cannot be greater than status.replicas", found);
    available_are_ready(status, "cannot be greater than readyReplicas", found);
}

pub(super) fn stateful_set_status(status: &Value, found: &mut Found) {
    let parts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    found.not_negative("status", status, &["replicas", "readyReplicas", "currentReplicas", "updatedReplicas"]);
    found.not_negative("status", status, &["availableReplicas", "observedGeneration", "collisionCount"]);
    parts_of_replicas(status, &parts, "cannot be greater than status.replicas", found);
    available_are_ready(status, "cannot be greater than status.readyReplicas", found);
}

fn parts_of_replicas(status: &Value, parts: &[&str], why: &str, found: &mut Found) {
    for part in parts.iter().filter(|part| number(status, part) > number(status, "replicas")) {
        found.add(Cause::invalid(format!("status.{part}"), &json!(number(status, part)), why));
    }
}

fn available_are_ready(status: &Value, why: &str, found: &mut Found) {
    let available = number(status, "availableReplicas");
    if available > number(status, "readyReplicas") {
        found.add(Cause::invalid("status.availableReplicas", &json!(available), why));
    }
}
