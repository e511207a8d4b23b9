//! The objects that cases are made of, as small as the API takes them, and such that a real cluster's controllers leave
//! them alone: pods have a scheduler that is not there, jobs a manager that is not there, workloads no replicas.

use serde_json::{Value, json};

/// The path before a resource's namespace, and whether it has one.
pub fn resource(plural: &str) -> (&'static str, bool) {
    match plural {
        "pods" | "configmaps" | "secrets" | "services" | "events" | "serviceaccounts" => ("api/v1", true),
        "namespaces" | "nodes" => ("api/v1", false),
        "deployments" | "replicasets" | "statefulsets" | "daemonsets" => ("apis/apps/v1", true),
        "jobs" | "cronjobs" => ("apis/batch/v1", true),
        "poddisruptionbudgets" => ("apis/policy/v1", true),
        "leases" => ("apis/coordination.k8s.io/v1", true),
        "remediationpolicies" | "remediations" | "pauses" => ("apis/paramedic.dev/v1alpha1", true),
        "clusterremediationpolicies" => ("apis/paramedic.dev/v1alpha1", false),
        _ => panic!("no resource {plural}: use a whole path"),
    }
}

/// Changes an object as a merge patch does.
pub fn merge(object: &mut Value, patch: Value) {
    let Value::Object(fields) = patch else {
        *object = patch;
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    let object = object.as_object_mut().expect("it is one now");
    for (name, value) in fields {
        if value.is_null() {
            object.remove(&name);
        } else {
            merge(object.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// An object with changes.
pub trait With {
    /// Changes it as a merge patch does.
    #[must_use]
    fn with(self, patch: Value) -> Self;
    /// Has these labels too.
    #[must_use]
    fn labelled(self, labels: Value) -> Self;
}

impl With for Value {
    fn with(mut self, patch: Value) -> Self {
        merge(&mut self, patch);
        self
    }

    fn labelled(self, labels: Value) -> Self {
        self.with(json!({"metadata": {"labels": labels}}))
    }
}

fn named(version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}})
}

/// A `ConfigMap`. A real cluster has another one in each namespace, so lists of them need a selector.
pub fn configmap(name: &str) -> Value {
    named("v1", "ConfigMap", name).with(json!({"data": {"key": "value"}}))
}

/// A Lease: nobody else makes one in a case's namespace.
pub fn lease(name: &str) -> Value {
    named("coordination.k8s.io/v1", "Lease", name).with(json!({"spec": {"holderIdentity": "somebody"}}))
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "a"}}, "spec": {
        "schedulerName": "nobody",
        "containers": [{"name": "main", "image": "busybox:e2e"}],
    }})
}

/// A pod that nobody schedules.
pub fn pod(name: &str) -> Value {
    named("v1", "Pod", name).with(json!({"metadata": {"labels": {"app": "a"}}, "spec": {
        "schedulerName": "nobody",
        "automountServiceAccountToken": false,
        "containers": [{"name": "main", "image": "busybox:e2e"}],
    }}))
}

/// A pod on a node that is not there: it is deleted with grace, and nobody ends it.
pub fn bound_pod(name: &str) -> Value {
    pod(name).with(json!({"spec": {"nodeName": "nowhere"}}))
}

/// A Deployment without replicas.
pub fn deployment(name: &str) -> Value {
    named("apps/v1", "Deployment", name)
        .with(json!({"spec": {"replicas": 0, "selector": {"matchLabels": {"app": "a"}}, "template": template()}}))
}

/// A `ReplicaSet` without replicas.
pub fn replicaset(name: &str) -> Value {
    deployment(name).with(json!({"kind": "ReplicaSet"}))
}

/// A `StatefulSet` without replicas.
pub fn statefulset(name: &str) -> Value {
    deployment(name).with(json!({"kind": "StatefulSet", "spec": {"serviceName": "a"}}))
}

/// A Job that no controller works on.
pub fn job(name: &str) -> Value {
    let template = template().with(json!({"metadata": null, "spec": {"restartPolicy": "Never"}}));
    named("batch/v1", "Job", name).with(json!({"spec": {"managedBy": "example.com/nobody", "template": template}}))
}

/// A `CronJob` that is suspended.
pub fn cronjob(name: &str) -> Value {
    let template = template().with(json!({"metadata": null, "spec": {"restartPolicy": "Never"}}));
    named("batch/v1", "CronJob", name).with(json!({"spec": {
        "schedule": "*/5 * * * *", "suspend": true, "jobTemplate": {"spec": {"template": template}},
    }}))
}

/// A `PodDisruptionBudget`: one pod of the app must stay.
pub fn budget(name: &str) -> Value {
    named("policy/v1", "PodDisruptionBudget", name)
        .with(json!({"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}}))
}

/// A `RemediationPolicy` with what it must have.
pub fn policy(name: &str) -> Value {
    named("paramedic.dev/v1alpha1", "RemediationPolicy", name).with(json!({"spec": {
        "match": ["alertname=\"A\""], "target": {"kind": "Pod"}, "steps": [{"restartPod": {}}],
    }}))
}

/// A Pause with what it must have.
pub fn pause(name: &str) -> Value {
    named("paramedic.dev/v1alpha1", "Pause", name).with(json!({"spec": {"reason": "because"}}))
}

/// A Remediation with what it must have.
pub fn remediation(name: &str) -> Value {
    named("paramedic.dev/v1alpha1", "Remediation", name).with(json!({"spec": {
        "alert": {
            "fingerprint": "0123456789abcdef", "labels": {"alertname": "A"},
            "startsAt": "2020-01-01T00:00:00Z", "receivedAt": "2020-01-01T00:00:01Z",
        },
        "episode": 1,
        "source": "alertmanager",
        "policy": {"kind": "RemediationPolicy", "name": "p", "namespace": "n", "generation": 1, "hash": "h", "uid": "u"},
        "mode": "Enforce",
        "match": ["alertname=\"A\""],
        "target": {"kind": "Pod"},
        "namespaces": ["n"],
        "steps": [{"restartPod": {}}],
        "limits": {},
    }}))
}

/// An Event of the core group about a pod.
pub fn event(name: &str) -> Value {
    named("v1", "Event", name).with(json!({
        "involvedObject": {"kind": "Pod", "namespace": "NS", "name": "a", "apiVersion": "v1"},
        "reason": "Tried", "message": "it was tried", "type": "Normal", "count": 1,
        "firstTimestamp": "2020-01-01T00:00:00Z", "lastTimestamp": "2020-01-01T00:00:00Z",
        "source": {"component": "conformance"},
    }))
}
