//! What a client may not say about its objects, and what the API server says in its place.

use serde_json::{Map, Value, json};

use super::{Generation, KindInfo};

/// A new object, after its uid was given.
pub(super) fn create(kind: &KindInfo, object: &mut Value) {
    if kind.generation != Generation::None {
        object["metadata"]["generation"] = json!(1);
    }
    match kind.kind.as_str() {
        "Pod" => pod(object),
        "Job" => job(object),
        "Namespace" => {
            object["spec"]["finalizers"] = json!(["kubernetes"]);
            object["status"] = json!({"phase": "Active"});
        }
        "Service" => object["status"] = json!({"loadBalancer": {}}),
        "PersistentVolumeClaim" => object["status"] = json!({"phase": "Pending"}),
        "Deployment" | "CronJob" => object["status"] = json!({}),
        "ReplicaSet" => object["status"] = json!({"replicas": 0}),
        "StatefulSet" => object["status"] = json!({"replicas": 0, "availableReplicas": 0}),
        "DaemonSet" => {
            object["status"] = json!({
                "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
            });
        }
        "PodDisruptionBudget" => {
            object["status"] =
                json!({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0});
        }
        _ if kind.is_custom() && kind.has("status") => {
            if let Some(fields) = object.as_object_mut() {
                fields.remove("status");
            }
        }
        _ => {}
    }
}

/// A pod is Pending, has a class, and the account and priority that pods have unless they ask for others.
fn pod(pod: &mut Value) {
    let class = class(&pod["spec"]);
    pod["status"] = json!({"phase": "Pending", "qosClass": class});
    let spec = &mut pod["spec"];
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        spec["terminationGracePeriodSeconds"] = json!(1);
    }
    if spec.get("serviceAccountName").is_none() {
        spec["serviceAccountName"] = json!("default");
        spec["serviceAccount"] = json!("default");
    }
    if spec.get("priority").is_none() {
        spec["priority"] = json!(0);
    }
    if spec.get("preemptionPolicy").is_none() {
        spec["preemptionPolicy"] = json!("PreemptLowerPriority");
    }
}

/// The quality of service that a pod's requests and limits make.
fn class(spec: &Value) -> &'static str {
    let mut asked = false;
    let mut guaranteed = true;
    for container in ["containers", "initContainers"].into_iter().filter_map(|name| spec[name].as_array()).flatten() {
        let figure = |kind: &str, name: &str| {
            let text = container["resources"][kind].get(name)?;
            Some(text.as_str().map_or_else(|| text.to_string(), str::to_owned)).filter(|text| text != "0")
        };
        for name in ["cpu", "memory"] {
            let (request, limit) = (figure("requests", name), figure("limits", name));
            asked |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (asked, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// A job selects its pods by its own uid.
fn job(job: &mut Value) {
    job["status"] = json!({});
    let uid = job["metadata"]["uid"].clone();
    let name = job["metadata"]["name"].clone();
    let by_hand = job["spec"]["manualSelector"].as_bool().unwrap_or_default();
    if !by_hand {
        let labels = &mut job["spec"]["template"]["metadata"]["labels"];
        for (label, value) in [
            ("batch.kubernetes.io/controller-uid", &uid),
            ("batch.kubernetes.io/job-name", &name),
            ("controller-uid", &uid),
            ("job-name", &name),
        ] {
            labels[label] = value.clone();
        }
        if job["spec"].get("selector").is_none() {
            job["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
        }
    }
    if job["metadata"].get("labels").is_none() && job["spec"]["template"]["metadata"].get("labels").is_some() {
        job["metadata"]["labels"] = job["spec"]["template"]["metadata"]["labels"].clone();
    }
}

/// An object that is to replace `old`, or its status.
pub(super) fn update(kind: &KindInfo, object: &mut Value, old: &Value, subresource: Option<&str>) {
    let generation = old["metadata"].get("generation").cloned();
    put(object, "generation", generation);
    if subresource == Some("status") {
        if kind.is_custom() {
            let managed = object["metadata"].get("managedFields").cloned();
            let status = object.get("status").cloned();
            *object = old.clone();
            put(object, "managedFields", managed);
            take(object, "status", status);
            return;
        }
        status(kind, object, old);
    } else {
        if kind.has("status") {
            take(object, "status", old.get("status").cloned());
        }
        if kind.kind == "Namespace" && subresource.is_none() {
            let finalizers = old["spec"].get("finalizers").cloned();
            let spec = object["spec"].as_object_mut();
            if let (Some(spec), Some(finalizers)) = (spec, finalizers) {
                spec.insert("finalizers".to_owned(), finalizers);
            }
        }
        grow(kind, object, old);
    }
    let job = kind.kind == "Job" && object["metadata"].get("labels").is_none();
    if job && let Some(labels) = object.pointer("/spec/template/metadata/labels").cloned() {
        put(object, "labels", Some(labels));
    }
}

/// A built-in kind's object whose status is to replace the one of `old`.
fn status(kind: &KindInfo, object: &mut Value, old: &Value) {
    take(object, "spec", old.get("spec").cloned());
    match kind.kind.as_str() {
        "Pod" => {
            put(object, "deletionTimestamp", None);
            put(object, "ownerReferences", old["metadata"].get("ownerReferences").cloned());
            if object["status"].get("qosClass").is_none() {
                let class = old["status"].get("qosClass").cloned();
                if let (Some(class), Some(status)) = (class, object["status"].as_object_mut()) {
                    status.insert("qosClass".to_owned(), class);
                }
            }
        }
        "Deployment" => put(object, "labels", old["metadata"].get("labels").cloned()),
        _ => {}
    }
}

/// Sets or removes a field of the metadata.
pub(super) fn put(object: &mut Value, name: &str, value: Option<Value>) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        put_in(metadata, name, value);
    }
}

fn take(object: &mut Value, name: &str, value: Option<Value>) {
    if let Some(fields) = object.as_object_mut() {
        put_in(fields, name, value);
    }
}

fn put_in(fields: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(fields.insert(name.to_owned(), value)),
        None => drop(fields.remove(name)),
    }
}

fn grow(kind: &KindInfo, object: &mut Value, old: &Value) {
    let grows = match kind.generation {
        Generation::None => false,
        Generation::Spec => object.get("spec") != old.get("spec"),
        Generation::SpecOrAnnotations => {
            object.get("spec") != old.get("spec")
                || object["metadata"].get("annotations") != old["metadata"].get("annotations")
        }
        Generation::Custom => {
            let rest = |object: &Value| {
                object.as_object().map_or(0, |fields| fields.keys().filter(|name| *name != "metadata").count())
            };
            let fields = object.as_object().into_iter().flatten().filter(|(name, _)| *name != "metadata");
            rest(object) != rest(old) || fields.into_iter().any(|(name, value)| old.get(name) != Some(value))
        }
    };
    if grows {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or_default();
        object["metadata"]["generation"] = json!(generation + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_limits_make_the_class() {
        let of = |resources: Value| class(&json!({"containers": [{"resources": resources}]}));
        assert_eq!(of(json!({})), "BestEffort");
        assert_eq!(of(json!({"requests": {"cpu": "1"}})), "Burstable");
        assert_eq!(
            of(json!({"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1", "memory": "1"}})),
            "Guaranteed"
        );
        assert_eq!(of(json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}})), "Burstable");
    }
}
