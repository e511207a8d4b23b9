//! The exporter trap: which pod an alert is about, and which one only reported it.

use serde_json::{Value, json};

use super::*;
use crate::remediation::fixtures::labels;

fn a_pod(name: &str, app: &str, more: &Value) -> Pod {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "labels": { "app": app } },
        "spec": { "containers": [{ "name": "main", "ports": [{ "containerPort": 8080 }] }] },
        "status": { "podIP": "10.0.0.7", "podIPs": [{ "ip": "10.0.0.7" }, { "ip": "fd00::7" }] },
    });
    for (pointer, value) in more.as_object().unwrap() {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        pod.pointer_mut(parent).unwrap()[field] = value.clone();
    }
    serde_json::from_value(pod).unwrap()
}

fn kube_state_metrics() -> Pod {
    a_pod("kube-state-metrics-0", "kube-state-metrics", &json!({}))
}

fn cart() -> Pod {
    a_pod("cart-5d4-x7", "cart", &json!({}))
}

fn subject(name: &str) -> ObjectRef {
    let meta = ObjectMeta { name: Some(name.to_owned()), namespace: Some("shop".to_owned()), ..ObjectMeta::default() };
    reference::<Deployment>(&meta)
}

/// Why a pod is taken for the exporter of an alert with these labels beside its own name.
fn exporter(pod: &Pod, workload: &str, pairs: &[(&str, &str)]) -> Option<String> {
    match scraped_from(pod, &subject(workload), &labels(pairs)) {
        Ok(()) => None,
        Err(Unresolved::Exporter(why)) => Some(why),
        Err(other) => panic!("{other:?}"),
    }
}

// ---- the pod that was scraped

#[test]
fn kube_state_metrics_is_the_exporter_of_its_own_series() {
    for pairs in [
        &[("job", "kube-state-metrics")][..],
        &[("job", "monitoring/kube-state-metrics")],
        &[("instance", "10.0.0.7:8080")],
        &[("instance", "10.0.0.7:8443"), ("job", "anything")],
        &[("instance", "[fd00::7]:8080")],
    ] {
        let why = exporter(&kube_state_metrics(), "kube-state-metrics", pairs).unwrap();
        assert!(why.contains("kube-state-metrics-0") && why.contains("allowScrapeTarget"), "{why}");
    }
}

#[test]
fn a_pod_that_kube_state_metrics_reports_on_is_not_the_exporter() {
    // With honorLabels: `pod` is the object, job and instance are the exporter's.
    let honoured = [("job", "kube-state-metrics"), ("instance", "10.0.0.9:8080"), ("container", "main")];
    assert_eq!(exporter(&cart(), "cart", &honoured), None);
    let cadvisor = [("job", "kubelet"), ("metrics_path", "/metrics/cadvisor"), ("instance", "10.1.0.1:10250")];
    assert_eq!(exporter(&cart(), "cart", &cadvisor), None);
    assert_eq!(exporter(&cart(), "cart", &[]), None);
    assert_eq!(exporter(&cart(), "cart", &[("instance", "node-1")]), None, "no address");
}

#[test]
fn a_job_is_the_pods_own_by_any_of_its_usual_labels_or_its_controllers_name() {
    for label in ["app", "k8s-app", "app.kubernetes.io/name"] {
        let pod = a_pod("some-pod", "-", &json!({ "/metadata/labels": { label: "checkout" } }));
        assert!(exporter(&pod, "another-name", &[("job", "checkout")]).is_some(), "{label}");
        assert!(exporter(&pod, "another-name", &[("job", "shop/checkout")]).is_some(), "{label}");
        assert_eq!(exporter(&pod, "another-name", &[("job", "till")]), None);
    }
    assert!(exporter(&cart(), "cart-v2", &[("job", "cart-v2")]).is_some());
}

#[test]
fn on_the_nodes_network_an_address_alone_is_that_of_every_pod_there() {
    let host = a_pod("proxy-1", "proxy", &json!({ "/spec/hostNetwork": true }));
    assert!(exporter(&host, "proxy", &[("instance", "10.0.0.7:8080")]).is_some(), "its own port");
    assert_eq!(exporter(&host, "proxy", &[("instance", "10.0.0.7:9100")]), None, "node-exporter's");
    assert!(exporter(&cart(), "cart", &[("instance", "10.0.0.7:9100")]).is_some(), "on its own address any port is");
}

#[test]
fn a_pod_without_an_address_yet_was_not_scraped() {
    let new = a_pod("cart-5d4-x7", "cart", &json!({ "/status": {} }));
    assert_eq!(exporter(&new, "cart", &[("instance", "10.0.0.7:8080")]), None);
    let only_ip = a_pod("cart-5d4-x7", "cart", &json!({ "/status": { "podIP": "10.0.0.7" } }));
    assert!(exporter(&only_ip, "cart", &[("instance", "10.0.0.7:8080")]).is_some());
}

// ---- an alert that speaks of another object

fn speaks(pod: &Pod, pairs: &[(&str, &str)]) -> Option<String> {
    let chain =
        [("ReplicaSet", "cart-5d4"), ("Deployment", "cart")].map(|(kind, name)| (kind.to_owned(), name.to_owned()));
    match speaks_of_another(pod, &chain, &labels(pairs)) {
        Ok(()) => None,
        Err(Unresolved::Exporter(why)) => Some(why),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn the_pods_own_owners_and_claims_are_no_other_objects() {
    let claims =
        json!({ "/spec/volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "cart-data" } }] });
    let pod = a_pod("cart-5d4-x7", "cart", &claims);
    for pairs in [
        &[][..],
        &[("deployment", "cart"), ("replicaset", "cart-5d4")],
        &[("persistentvolumeclaim", "cart-data")],
        &[("deployment", "")],
        &[("node", "node-1"), ("container", "main"), ("severity", "critical")],
    ] {
        assert_eq!(speaks(&pod, pairs), None, "{pairs:?}");
    }
}

#[test]
fn an_alert_that_names_another_object_is_about_that_one_and_the_pod_reported_it() {
    for pair in [
        ("deployment", "till"),
        ("replicaset", "cart-6e5"),
        ("statefulset", "cart"),
        ("daemonset", "cart"),
        ("job_name", "cart-backup"),
        ("cronjob", "cart-backup"),
        ("persistentvolumeclaim", "till-data"),
        ("horizontalpodautoscaler", "cart"),
        ("poddisruptionbudget", "cart"),
    ] {
        let why = speaks(&cart(), &[pair]).unwrap();
        assert!(why.starts_with(&format!("the alert names {}=\"{}\"", pair.0, pair.1)), "{why}");
    }
}

// ---- small things that decisions rest on

#[test]
fn what_a_record_may_touch_is_what_it_lists_and_nobody_protects() {
    let names = |names: &[&str]| names.iter().copied().map(str::to_owned).collect::<Vec<_>>();
    let protected = names(&["kube-system", "paramedic"]);
    assert_eq!(permitted("shop", &names(&["shop"]), &protected), Ok(()));
    assert_eq!(permitted("shop", &names(&["*"]), &protected), Ok(()));
    assert_eq!(permitted("till", &names(&["shop"]), &protected), Err(Unresolved::NotPermitted("till".to_owned())));
    assert_eq!(permitted("shop", &[], &protected), Err(Unresolved::NotPermitted("shop".to_owned())));
    let kube_system = Err(Unresolved::Protected("kube-system".to_owned()));
    assert_eq!(permitted("kube-system", &names(&["*"]), &protected), kube_system);
    assert_eq!(permitted("kube-system", &names(&["kube-system"]), &protected), kube_system);
}

#[test]
fn any_value_but_false_opts_out() {
    let opted = |value: &str| {
        let pointer = json!({ "/metadata/annotations": { DISABLED_ANNOTATION: value } });
        disabled(&a_pod("cart-1", "cart", &pointer).metadata)
    };
    assert_eq!(["true", "yes", "", "True", "false"].map(opted), [true, true, true, true, false]);
    assert!(!disabled(&cart().metadata));
}

#[test]
fn a_pod_is_ready_or_finished_as_its_status_says() {
    let pod = |status: Value| a_pod("cart-1", "cart", &json!({ "/status": status }));
    let ready = |value: &str| pod(json!({ "conditions": [{ "type": "Ready", "status": value }] }));
    assert_eq!(["True", "False", "Unknown"].map(|value| is_ready(&ready(value))), [true, false, false]);
    assert!(!is_ready(&pod(json!({}))));
    let phases = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];
    assert_eq!(phases.map(|phase| finished(&pod(json!({ "phase": phase })))), [false, false, true, true, false]);
}
