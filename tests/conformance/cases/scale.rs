//! The scale subresource.

use serde_json::{Value, json};

use crate::{
    objects::{With, deployment, pause, pod, replicaset, statefulset},
    suite::{Case, case},
};

fn scale(name: &str, replicas: i64) -> Value {
    json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": name, "namespace": "NS"},
        "spec": {"replicas": replicas}})
}

pub fn cases() -> Vec<Case> {
    vec![
        case("a scale is read with replicas and selector", |c| async move {
            c.also(&["spec", "status"]);
            c.given("deployments", deployment("a")).await;
            c.get("deployments/a/scale").await;
            c.given("statefulsets", statefulset("a")).await;
            c.get("statefulsets/a/scale").await;
            c.given("replicasets", replicaset("a")).await;
            c.get("replicasets/a/scale").await;
        }),
        case("a scale has the uid and the version of its object", |c| async move {
            c.given("deployments", deployment("a")).await;
            c.settled("deployments/a").await;
            let (scale, object) = (c.get("deployments/a/scale").await, c.look("deployments/a").await);
            c.note("uid", scale.uid() == object.uid());
            c.note("version", scale.rv() == object.rv());
            c.note("creation", scale.at("/metadata/creationTimestamp") == object.at("/metadata/creationTimestamp"));
        }),
        case("a scale can be written", |c| async move {
            c.also(&["spec.replicas"]);
            c.given("deployments", deployment("a")).await;
            c.put("deployments/a/scale", scale("a", 1)).await;
            c.get("deployments/a").await;
            c.given("statefulsets", statefulset("a")).await;
            c.put("statefulsets/a/scale", scale("a", 1)).await;
            c.given("replicasets", replicaset("a")).await;
            c.put("replicasets/a/scale", scale("a", 1)).await;
        }),
        case("a scale can be patched", |c| async move {
            c.also(&["spec.replicas"]);
            c.given("deployments", deployment("a")).await;
            c.merge("deployments/a/scale", json!({"spec": {"replicas": 1}})).await;
            c.json_patch("deployments/a/scale", json!([{"op": "replace", "path": "/spec/replicas", "value": 2}])).await;
            c.strategic("deployments/a/scale", json!({"spec": {"replicas": 0}})).await;
            c.get("deployments/a").await;
        }),
        case("a scale over an older version is a conflict", |c| async move {
            c.given("deployments", deployment("a")).await;
            c.put("deployments/a/scale", scale("a", 1).with(json!({"metadata": {"resourceVersion": "1"}}))).await;
            c.merge(
                "deployments/a/scale",
                json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 1}}),
            )
            .await;
        }),
        case("a scale of another uid is a conflict", |c| async move {
            c.given("deployments", deployment("a")).await;
            let other = json!({"metadata": {"uid": "00000000-0000-0000-0000-000000000001"}});
            c.put("deployments/a/scale", scale("a", 1).with(other)).await;
        }),
        case("a scale below zero is refused", |c| async move {
            c.given("deployments", deployment("a")).await;
            c.put("deployments/a/scale", scale("a", -1)).await;
            c.merge("deployments/a/scale", json!({"spec": {"replicas": -1}})).await;
        }),
        case("a scale of another name than the path is 400", |c| async move {
            c.given("deployments", deployment("a")).await;
            c.put("deployments/a/scale", scale("b", 1)).await;
        }),
        case("a scale of another kind is 400", |c| async move {
            c.given("deployments", deployment("a")).await;
            c.put("deployments/a/scale", deployment("a")).await;
        }),
        case("a scale of what is not there is 404", |c| async move {
            c.get("deployments/a/scale").await;
            c.put("deployments/a/scale", scale("a", 1)).await;
            c.merge("statefulsets/a/scale", json!({"spec": {"replicas": 1}})).await;
        }),
        case("what cannot be scaled has no such path", |c| async move {
            c.given("pods", pod("a")).await;
            c.get("pods/a/scale").await;
            c.given("pauses", pause("a")).await;
            c.get("pauses/a/scale").await;
        }),
        case("a scale's dry run changes nothing", |c| async move {
            c.also(&["spec.replicas"]);
            c.given("deployments", deployment("a")).await;
            c.put("deployments/a/scale?dryRun=All", scale("a", 1)).await;
            c.get("deployments/a").await;
        }),
        case("a scale without replicas is zero", |c| async move {
            c.also(&["spec"]);
            c.given("deployments", deployment("a")).await;
            c.put("deployments/a/scale", scale("a", 0).with(json!({"spec": null}))).await;
        }),
    ]
}
