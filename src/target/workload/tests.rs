//! What the API says about workloads, and whether they are well.

use k8s_openapi::Resource;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

/// An object as the API would send it.
fn object<K: Resource + DeserializeOwned>(generation: i64, spec: &Value, status: &Value) -> K {
    serde_json::from_value(json!({
        "apiVersion": K::API_VERSION,
        "kind": K::KIND,
        "metadata": { "name": "cart", "namespace": "shop", "generation": generation },
        "spec": spec,
        "status": status,
    }))
    .unwrap()
}

fn spec(more: &Value) -> Value {
    let mut spec = json!({ "replicas": 3, "serviceName": "cart", "selector": {}, "template": {} });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

fn deployment(more: &Value, status: &Value) -> WorkloadState {
    WorkloadState::of_deployment(&object(2, &spec(more), status)).unwrap()
}

fn stateful_set(more: &Value, status: &Value) -> WorkloadState {
    WorkloadState::of_stateful_set(&object(2, &spec(more), status)).unwrap()
}

fn unhealthy(why: &str) -> Health {
    Health::Unhealthy(why.to_owned())
}

#[test]
fn a_deployment_is_well_when_all_its_pods_are_new_ready_and_no_more_than_there_should_be() {
    let table = [
        (json!({ "observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 3 }), Health::Healthy),
        (
            json!({ "observedGeneration": 1, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 3 }),
            unhealthy("its controller has not seen the last change yet"),
        ),
        (
            json!({ "replicas": 3, "readyReplicas": 3, "updatedReplicas": 3 }),
            unhealthy("its controller has not seen the last change yet"),
        ),
        (
            json!({ "observedGeneration": 2, "replicas": 3, "readyReplicas": 2, "updatedReplicas": 3 }),
            unhealthy("2 of 3 pods are ready"),
        ),
        (json!({ "observedGeneration": 2, "replicas": 3, "updatedReplicas": 3 }), unhealthy("0 of 3 pods are ready")),
        (
            json!({ "observedGeneration": 2, "replicas": 4, "readyReplicas": 4, "updatedReplicas": 1 }),
            unhealthy("1 of 3 pods are of the current template"),
        ),
        (
            json!({ "observedGeneration": 2, "replicas": 4, "readyReplicas": 4, "updatedReplicas": 3 }),
            unhealthy("1 pods more than the 3 it should have"),
        ),
        (json!({}), unhealthy("its controller has not seen the last change yet")),
    ];
    for (status, expected) in table {
        assert_eq!(deployment(&json!({}), &status).health(), expected, "{status}");
    }
    let none = json!({ "observedGeneration": 2 });
    assert_eq!(deployment(&json!({ "replicas": 0 }), &none).health(), Health::Healthy, "scaled to zero on purpose");
}

#[test]
fn a_deployment_rolls_by_its_strategy() {
    let rolling =
        |surge: Value| json!({ "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": surge } } });
    let table = [
        (json!({}), Rollout::Surging),
        (rolling(json!("25%")), Rollout::Surging),
        (rolling(json!(1)), Rollout::Surging),
        (rolling(json!(0)), Rollout::OneByOne),
        (rolling(json!("0%")), Rollout::OneByOne),
        (json!({ "strategy": { "type": "Recreate" } }), Rollout::AllAtOnce),
        (json!({ "paused": true }), Rollout::Never),
        (json!({ "paused": true, "strategy": { "type": "Recreate" } }), Rollout::Never),
    ];
    for (more, expected) in table {
        assert_eq!(deployment(&more, &json!({})).rollout, expected, "{more}");
    }
}

#[test]
fn a_stateful_set_leaves_the_updated_ones_out_until_it_was_updated() {
    let status = |update: &str, updated: u32| {
        json!({
            "observedGeneration": 2, "replicas": 3, "readyReplicas": 3,
            "currentRevision": "one", "updateRevision": update, "updatedReplicas": updated,
        })
    };
    assert_eq!(stateful_set(&json!({}), &status("one", 0)).health(), Health::Healthy, "never updated");
    let half = stateful_set(&json!({}), &status("two", 1));
    assert_eq!(half.health(), unhealthy("1 of 3 pods are of the current template"));
    assert!(half.is_rolling());
    let done = stateful_set(&json!({}), &status("two", 3));
    assert_eq!((done.health(), done.is_rolling()), (Health::Healthy, false));
    assert_eq!(done.rollout, Rollout::OneByOne);
    let on_delete = json!({ "updateStrategy": { "type": "OnDelete" } });
    assert_eq!(stateful_set(&on_delete, &status("one", 0)).rollout, Rollout::Never);
}

#[test]
fn a_daemon_set_should_have_a_pod_on_every_node_that_it_is_for() {
    let set = |more: Value, status: Value| WorkloadState::of_daemon_set(&object(2, &spec(&more), &status));
    let status = |ready: u32, updated: u32| {
        json!({
            "observedGeneration": 2, "desiredNumberScheduled": 5, "currentNumberScheduled": 5, "numberMisscheduled": 0,
            "numberReady": ready, "updatedNumberScheduled": updated,
        })
    };
    assert_eq!(set(json!({}), status(5, 5)).unwrap().health(), Health::Healthy);
    assert_eq!(set(json!({}), status(4, 5)).unwrap().health(), unhealthy("4 of 5 pods are ready"));
    let rolling = set(json!({}), status(5, 4)).unwrap();
    assert_eq!(rolling.health(), unhealthy("4 of 5 pods are of the current template"));
    assert!(rolling.is_rolling());
    assert_eq!(rolling.rollout, Rollout::OneByOne);
    let on_delete = json!({ "updateStrategy": { "type": "OnDelete" } });
    assert_eq!(set(on_delete, status(5, 5)).unwrap().rollout, Rollout::Never);
}

#[test]
fn a_replica_set_of_its_own_never_rolls() {
    let status = json!({ "observedGeneration": 2, "replicas": 3, "readyReplicas": 3 });
    let state = WorkloadState::of_replica_set(&object(2, &spec(&json!({})), &status)).unwrap();
    assert_eq!((state.health(), state.rollout, state.is_rolling()), (Health::Healthy, Rollout::Never, false));
}

#[test]
fn what_came_without_its_spec_is_not_read_as_a_workload_of_none() {
    assert_eq!(WorkloadState::of_deployment(&Deployment::default()), None);
    assert_eq!(WorkloadState::of_stateful_set(&StatefulSet::default()), None);
    assert_eq!(WorkloadState::of_daemon_set(&DaemonSet::default()), None);
    assert_eq!(WorkloadState::of_replica_set(&ReplicaSet::default()), None);
    let without = json!({ "selector": {}, "template": {}, "serviceName": "cart" });
    let defaulted = WorkloadState::of_deployment(&object(1, &without, &json!({}))).unwrap();
    assert_eq!(defaulted.desired, 1, "replicas is 1 where it is absent");
}
