//! What the API server fills in while it reads an object of a built-in kind.

use serde_json::{Map, Value, json};

use super::KindInfo;

type Fields = Map<String, Value>;

/// Fills in what is absent.
pub(super) fn complete(kind: &KindInfo, object: &mut Value) {
    let Some(fields) = object.as_object_mut() else { return };
    match kind.kind.as_str() {
        "Pod" => {
            let spec = below(fields, "spec");
            set(spec, "enableServiceLinks", || json!(true));
            pod_spec(spec);
            pod_status(below(fields, "status"));
        }
        "Deployment" => {
            let spec = below(fields, "spec");
            set(spec, "replicas", || json!(1));
            set(spec, "revisionHistoryLimit", || json!(10));
            set(spec, "progressDeadlineSeconds", || json!(600));
            rolling(spec, "strategy", &[("maxSurge", json!("25%")), ("maxUnavailable", json!("25%"))]);
            template(spec);
            below(fields, "status");
        }
        "ReplicaSet" => {
            let spec = below(fields, "spec");
            set(spec, "replicas", || json!(1));
            template(spec);
            numbers(below(fields, "status"), &["replicas"]);
        }
        "StatefulSet" => {
            let spec = below(fields, "spec");
            set(spec, "replicas", || json!(1));
            set(spec, "revisionHistoryLimit", || json!(10));
            set(spec, "podManagementPolicy", || json!("OrderedReady"));
            set(spec, "serviceName", || json!(""));
            rolling(spec, "updateStrategy", &[("partition", json!(0))]);
            let retention = json!({"whenDeleted": "Retain", "whenScaled": "Retain"});
            set(spec, "persistentVolumeClaimRetentionPolicy", || retention);
            template(spec);
            numbers(below(fields, "status"), &["replicas", "availableReplicas"]);
        }
        "DaemonSet" => {
            let spec = below(fields, "spec");
            set(spec, "revisionHistoryLimit", || json!(10));
            rolling(spec, "updateStrategy", &[("maxSurge", json!(0)), ("maxUnavailable", json!(1))]);
            template(spec);
            let all = ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"];
            numbers(below(fields, "status"), &all);
        }
        "Job" => {
            job_spec(below(fields, "spec"));
            below(fields, "status");
        }
        "CronJob" => {
            let spec = below(fields, "spec");
            set(spec, "concurrencyPolicy", || json!("Allow"));
            set(spec, "suspend", || json!(false));
            set(spec, "successfulJobsHistoryLimit", || json!(3));
            set(spec, "failedJobsHistoryLimit", || json!(1));
            template(below(below(spec, "jobTemplate"), "spec"));
            below(fields, "status");
        }
        "PodDisruptionBudget" => {
            below(fields, "spec");
            let all = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
            numbers(below(fields, "status"), &all);
        }
        "Namespace" => namespace(fields),
        "Node" => {
            below(fields, "spec");
            below(fields, "status");
        }
        "Lease" => {
            below(fields, "spec");
        }
        "Secret" => secret(fields),
        "Service" => service(fields),
        "PersistentVolumeClaim" => {
            let spec = below(fields, "spec");
            set(spec, "volumeMode", || json!("Filesystem"));
            below(spec, "resources");
            set(below(fields, "status"), "phase", || json!("Pending"));
        }
        "Event" => event(fields, &kind.group),
        _ => {}
    }
}

/// The object at that name; there is one afterwards.
fn below<'a>(fields: &'a mut Fields, name: &str) -> &'a mut Fields {
    let value = fields.entry(name).or_insert(Value::Null);
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(fields) => fields,
        // It was made one just now.
        _ => unreachable!("an object"),
    }
}

fn set(fields: &mut Fields, name: &str, value: impl FnOnce() -> Value) {
    if fields.get(name).is_none_or(Value::is_null) {
        fields.insert(name.to_owned(), value());
    }
}

fn numbers(fields: &mut Fields, names: &[&str]) {
    for name in names {
        set(fields, name, || json!(0));
    }
}

fn each<'a>(fields: &'a mut Fields, name: &str) -> impl Iterator<Item = &'a mut Fields> {
    fields.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// How an update goes on, with its figures where it is a rolling one.
fn rolling(spec: &mut Fields, name: &str, figures: &[(&str, Value)]) {
    let strategy = below(spec, name);
    set(strategy, "type", || json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        let rolling = below(strategy, "rollingUpdate");
        for (name, figure) in figures {
            set(rolling, name, || figure.clone());
        }
    }
}

fn template(spec: &mut Fields) {
    let template = below(spec, "template");
    below(template, "metadata");
    pod_spec(below(template, "spec"));
}

fn job_spec(spec: &mut Fields) {
    let has = |name: &str| spec.get(name).is_some_and(|value| !value.is_null());
    if !has("completions") && !has("parallelism") {
        spec.insert("completions".to_owned(), json!(1));
    }
    set(spec, "parallelism", || json!(1));
    set(spec, "backoffLimit", || json!(6));
    set(spec, "completionMode", || json!("NonIndexed"));
    set(spec, "suspend", || json!(false));
    set(spec, "podReplacementPolicy", || json!("TerminatingOrFailed"));
    if spec.get("podFailurePolicy").is_some() {
        spec.insert("podReplacementPolicy".to_owned(), json!("Failed"));
    }
    template(spec);
}

fn pod_spec(spec: &mut Fields) {
    set(spec, "restartPolicy", || json!("Always"));
    set(spec, "dnsPolicy", || json!("ClusterFirst"));
    set(spec, "schedulerName", || json!("default-scheduler"));
    set(spec, "terminationGracePeriodSeconds", || json!(30));
    below(spec, "securityContext");
    // The two names of one field are kept the same.
    match (spec.get("serviceAccountName").cloned(), spec.get("serviceAccount").cloned()) {
        (Some(name), _) => drop(spec.insert("serviceAccount".to_owned(), name)),
        (None, Some(name)) => drop(spec.insert("serviceAccountName".to_owned(), name)),
        (None, None) => {}
    }
    for list in ["containers", "initContainers"] {
        each(spec, list).for_each(container);
    }
    for volume in each(spec, "volumes") {
        for (source, mode) in [("secret", 420), ("configMap", 420), ("downwardAPI", 420), ("projected", 420)] {
            if let Some(Value::Object(source)) = volume.get_mut(source) {
                set(source, "defaultMode", || json!(mode));
            }
        }
        if volume.len() == 1 {
            volume.insert("emptyDir".to_owned(), json!({}));
        }
    }
}

/// Times that are not known are said to be so.
fn pod_status(status: &mut Fields) {
    set(status, "phase", || json!("Pending"));
    if let Some(address) = status.get("podIP").cloned() {
        set(status, "podIPs", || json!([{"ip": address}]));
    }
    for condition in each(status, "conditions") {
        for name in ["lastProbeTime", "lastTransitionTime"] {
            condition.entry(name).or_insert(Value::Null);
        }
    }
    for container in each(status, "containerStatuses") {
        for state in ["state", "lastState"] {
            let Some(Value::Object(state)) = container.get_mut(state) else { continue };
            for (name, times) in [("running", &["startedAt"][..]), ("terminated", &["startedAt", "finishedAt"])] {
                if let Some(Value::Object(state)) = state.get_mut(name) {
                    for time in times {
                        state.entry(*time).or_insert(Value::Null);
                    }
                }
            }
        }
    }
}

fn container(container: &mut Fields) {
    below(container, "resources");
    set(container, "terminationMessagePath", || json!("/dev/termination-log"));
    set(container, "terminationMessagePolicy", || json!("File"));
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest");
    set(container, "imagePullPolicy", || json!(if latest { "Always" } else { "IfNotPresent" }));
    for port in each(container, "ports") {
        set(port, "protocol", || json!("TCP"));
    }
    for variable in each(container, "env") {
        if let Some(Value::Object(source)) = variable.get_mut("valueFrom")
            && let Some(Value::Object(field)) = source.get_mut("fieldRef")
        {
            set(field, "apiVersion", || json!("v1"));
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(probe)) = container.get_mut(name) {
            for (name, value) in
                [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
            {
                if probe.get(name).is_none_or(|value| value.is_null() || *value == 0) {
                    probe.insert(name.to_owned(), json!(value));
                }
            }
            if let Some(Value::Object(get)) = probe.get_mut("httpGet") {
                set(get, "scheme", || json!("HTTP"));
                set(get, "path", || json!("/"));
            }
            if let Some(Value::Object(call)) = probe.get_mut("grpc") {
                set(call, "service", || json!(""));
            }
        }
    }
    let resources = below(container, "resources");
    if let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() {
        let requests = below(resources, "requests");
        for (name, limit) in limits {
            set(requests, &name, || limit);
        }
    }
}

fn namespace(fields: &mut Fields) {
    let name = fields["metadata"].get("name").cloned().unwrap_or_default();
    if name.as_str().is_some_and(|name| !name.is_empty()) {
        let labels = below(below(fields, "metadata"), "labels");
        labels.insert("kubernetes.io/metadata.name".to_owned(), name);
    }
    below(fields, "spec");
    set(below(fields, "status"), "phase", || json!("Active"));
}

fn secret(fields: &mut Fields) {
    set(fields, "type", || json!("Opaque"));
    // What was written as text is kept as data.
    if let Some(Value::Object(texts)) = fields.remove("stringData") {
        let data = below(fields, "data");
        for (name, text) in texts {
            use base64::Engine as _;
            let text = text.as_str().unwrap_or_default();
            data.insert(name, Value::from(base64::engine::general_purpose::STANDARD.encode(text)));
        }
    }
}

fn service(fields: &mut Fields) {
    let spec = below(fields, "spec");
    set(spec, "type", || json!("ClusterIP"));
    set(spec, "sessionAffinity", || json!("None"));
    set(spec, "internalTrafficPolicy", || json!("Cluster"));
    for port in each(spec, "ports") {
        set(port, "protocol", || json!("TCP"));
        let number = port.get("port").cloned().unwrap_or_default();
        set(port, "targetPort", || number);
    }
    below(below(fields, "status"), "loadBalancer");
}

/// An event of the core group has some fields even when nobody gave them.
fn event(fields: &mut Fields, group: &str) {
    let (source, times) = match group {
        "" => ("source", ["firstTimestamp", "lastTimestamp"]),
        _ => ("deprecatedSource", ["deprecatedFirstTimestamp", "deprecatedLastTimestamp"]),
    };
    below(fields, source);
    for name in times.into_iter().chain(["eventTime"]) {
        fields.entry(name).or_insert(Value::Null);
    }
    if group.is_empty() {
        for name in ["reportingComponent", "reportingInstance"] {
            set(fields, name, || json!(""));
        }
        below(fields, "involvedObject");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::of_kind;

    #[test]
    fn a_container_is_pulled_always_when_its_image_has_no_tag() {
        let kind = of_kind("", "Pod").unwrap();
        for (image, policy) in
            [("a", "Always"), ("h:5000/a", "Always"), ("a:1", "IfNotPresent"), ("a:latest", "Always")]
        {
            let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": image}]}});
            let (pod, _) = kind.read(pod).unwrap();
            assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], policy, "{image}");
            assert_eq!(pod["status"]["phase"], "Pending");
        }
    }

    #[test]
    fn defaults_are_the_same_when_they_are_filled_in_again() {
        let kind = of_kind("apps", "StatefulSet").unwrap();
        let (once, _) = kind.read(json!({"metadata": {"name": "a"}, "spec": {}})).unwrap();
        assert_eq!(kind.read(once.clone()).unwrap().0, once);
    }
}
