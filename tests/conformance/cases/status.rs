//! The status subresource: it leaves the spec alone, and the spec leaves it alone.

use serde_json::json;

use crate::{
    objects::{With, budget, configmap, deployment, job, pause, pod, policy, remediation},
    suite::{Case, case},
};

pub fn cases() -> Vec<Case> {
    vec![
        case("a write of the status leaves the spec as it is", |c| async move {
            c.also(&["spec.restartPolicy", "status"]);
            let made = c.given("pods", pod("a")).await;
            let body = made.body.with(json!({"spec": {"restartPolicy": "Never"}, "status": {"phase": "Running"}}));
            c.put("pods/a/status", body).await;
        }),
        case("a write of the object leaves the status as it is", |c| async move {
            c.also(&["status"]);
            let made = c.given("pods", pod("a")).await;
            let body = made.body.with(json!({"metadata": {"labels": {"x": "y"}}, "status": {"phase": "Running"}}));
            c.put("pods/a", body).await;
        }),
        case("a write of a custom kind's status leaves spec, labels and generation as they are", |c| async move {
            c.also(&["spec.mode", "status"]);
            let made = c.given("remediationpolicies", policy("a")).await;
            let body = made.body.with(json!({
                "metadata": {"labels": {"x": "y"}}, "spec": {"mode": "Enforce"}, "status": {"observedGeneration": 1},
            }));
            c.put("remediationpolicies/a/status", body).await;
        }),
        case("a write of a custom kind leaves the status as it is", |c| async move {
            c.also(&["spec.mode", "status"]);
            let made = c.given("remediationpolicies", policy("a")).await;
            let body = made.body.with(json!({"spec": {"mode": "Enforce"}, "status": {"observedGeneration": 1}}));
            c.put("remediationpolicies/a", body).await;
        }),
        case("a write of the status is over a version too", |c| async move {
            let made = c.given("remediations", remediation("a")).await;
            let body = made.body.with(json!({"status": {"phase": "Pending"}}));
            c.put("remediations/a/status", body.clone()).await;
            c.put("remediations/a/status", body.with(json!({"status": {"phase": "Failed"}}))).await;
        }),
        case("a status can be patched by parts", |c| async move {
            c.also(&["status"]);
            c.given("remediations", remediation("a")).await;
            c.merge("remediations/a/status", json!({"status": {"phase": "Pending", "message": "m"}})).await;
            c.merge("remediations/a/status", json!({"status": {"message": "n"}})).await;
            c.json_patch("remediations/a/status", json!([{"op": "remove", "path": "/status/message"}])).await;
        }),
        case("a patch of the status that is over an older version is a conflict", |c| async move {
            let made = c.given("remediations", remediation("a")).await;
            let body = json!({"metadata": {"resourceVersion": made.rv()}, "status": {"phase": "Pending"}});
            c.merge("remediations/a/status", body.clone()).await;
            c.merge("remediations/a/status", body.with(json!({"status": {"phase": "Failed"}}))).await;
        }),
        case("a patch of the object does not reach the status", |c| async move {
            c.also(&["status"]);
            c.given("remediations", remediation("a")).await;
            c.merge("remediations/a", json!({"status": {"phase": "Pending"}})).await;
        }),
        case("a status that the schema refuses is 422", |c| async move {
            c.given("remediations", remediation("a")).await;
            c.merge("remediations/a/status", json!({"status": {"phase": "Odd"}})).await;
            c.given("remediationpolicies", policy("a")).await;
            let condition = json!({"type": "Accepted"});
            c.merge("remediationpolicies/a/status", json!({"status": {"conditions": [condition]}})).await;
        }),
        case("a status is read at its own path", |c| async move {
            c.also(&["status.phase"]);
            c.given("pods", pod("a")).await;
            c.get("pods/a/status").await;
            c.given("remediations", remediation("a")).await;
            c.get("remediations/a/status").await;
        }),
        case("what has no status has no such path", |c| async move {
            c.given("pauses", pause("a")).await;
            c.get("pauses/a/status").await;
            c.merge("pauses/a/status", json!({})).await;
            c.given("configmaps", configmap("a")).await;
            c.get("configmaps/a/status").await;
        }),
        case("the status of what is not there is 404", |c| async move {
            c.merge("pods/a/status", json!({"status": {"phase": "Running"}})).await;
            c.merge("remediations/a/status", json!({"status": {"phase": "Pending"}})).await;
        }),
        case("a status is not created, nor deleted", |c| async move {
            c.given("pods", pod("a")).await;
            c.post("pods/a/status", pod("a")).await;
            c.delete("pods/a/status").await;
        }),
        case("a pod's status takes conditions and containers", |c| async move {
            c.also(&["status"]);
            c.given("pods", pod("a")).await;
            let container = json!({
                "name": "main", "ready": true, "restartCount": 2, "image": "busybox:e2e", "imageID": "x",
                "state": {"running": {"startedAt": "2020-01-01T00:00:00Z"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            });
            let status = json!({
                "phase": "Running", "podIP": "10.1.2.3", "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [container],
            });
            c.merge("pods/a/status", json!({"status": status})).await;
        }),
        case("a deployment's status can be written, and is no new generation", |c| async move {
            c.given("deployments", deployment("a")).await;
            c.settled("deployments/a").await;
            let answer = c.merge("deployments/a/status", json!({"status": {"replicas": 3, "readyReplicas": 2}})).await;
            c.note("replicas", answer.at("/status/replicas"));
            c.note("readyReplicas", answer.at("/status/readyReplicas"));
        }),
        case("a deployment's status makes sense", |c| async move {
            c.given("deployments", deployment("a")).await;
            c.settled("deployments/a").await;
            c.merge("deployments/a/status", json!({"status": {"replicas": -1}})).await;
            c.merge("deployments/a/status", json!({"status": {"replicas": 1, "readyReplicas": 2}})).await;
        }),
        case("a job's status tells of success", |c| async move {
            c.also(&["status"]);
            c.given("jobs", job("a")).await;
            c.merge("jobs/a/status", json!({"status": {"startTime": "2020-01-01T00:00:00Z", "active": 1}})).await;
        }),
        case("a budget's status can be written", |c| async move {
            c.given("poddisruptionbudgets", budget("a")).await;
            let status = json!({"currentHealthy": 0, "desiredHealthy": 1, "expectedPods": 0, "disruptionsAllowed": 0});
            c.merge("poddisruptionbudgets/a/status", json!({"status": status})).await;
            c.merge("poddisruptionbudgets/a/status", json!({"status": {"currentHealthy": -1}})).await;
        }),
    ]
}
