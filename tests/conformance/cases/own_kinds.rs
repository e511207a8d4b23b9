//! Paramedic's own kinds: what the schemas fill in, drop and refuse.

use serde_json::{Value, json};

use crate::{
    objects::{With, pause, policy, remediation},
    suite::{Case, case},
};

fn step(step: &Value) -> Value {
    json!({"spec": {"steps": [step]}})
}

pub fn cases() -> Vec<Case> {
    vec![
        case("a policy has defaults", |c| async move {
            c.also(&["spec"]);
            c.post("remediationpolicies", policy("a")).await;
        }),
        case("a pause has defaults", |c| async move {
            c.also(&["spec"]);
            c.post("pauses", pause("a")).await;
        }),
        case("a remediation has defaults and no status", |c| async move {
            c.also(&["spec", "status"]);
            c.post("remediations", remediation("a")).await;
        }),
        case("a cluster policy is in no namespace", |c| async move {
            c.also(&["spec.namespaces", "spec.mode"]);
            let mut cluster = policy("").with(json!({"kind": "ClusterRemediationPolicy", "spec": {"namespaces": ["a"]}}));
            // Its name is the namespace's, which is the only one that no other case has.
            cluster["metadata"] = json!({"name": "NS", "labels": {"conformance": "NS"}});
            c.post("clusterremediationpolicies", cluster.clone()).await;
            c.get("clusterremediationpolicies/NS").await;
            c.post("clusterremediationpolicies", cluster.with(json!({"spec": {"namespaces": []}}))).await;
            c.delete("clusterremediationpolicies/NS").await;
            c.get("/apis/paramedic.dev/v1alpha1/namespaces/NS/clusterremediationpolicies").await;
        }),
        case("a part of the limits is left as it is", |c| async move {
            c.also(&["spec.limits"]);
            c.post("remediationpolicies", policy("a").with(json!({"spec": {"limits": {"cooldown": "1h"}}}))).await;
            c.post("remediationpolicies", policy("b").with(json!({"spec": {"limits": {"minAvailable": 1}}}))).await;
        }),
        case("an explicit null becomes the default where there is one", |c| async move {
            c.also(&["spec.limits", "spec.mode"]);
            let mut object = policy("a");
            object["spec"]["mode"] = Value::Null;
            object["spec"]["limits"] = json!({"minAvailable": null, "cooldown": null});
            c.post("remediationpolicies", object).await;
        }),
        case("a null where null may be stays", |c| async move {
            c.also(&["spec"]);
            let mut object = pause("a");
            object["spec"]["expiresAt"] = Value::Null;
            c.post("pauses", object).await;
        }),
        case("an unknown field is dropped with a warning", |c| async move {
            c.also(&["spec"]);
            c.post("pauses", pause("a").with(json!({"spec": {"nonsense": 1}, "other": {}}))).await;
        }),
        case("an unknown field is refused where the client is strict", |c| async move {
            c.messages();
            c.post("pauses?fieldValidation=Strict", pause("a").with(json!({"spec": {"nonsense": 1}}))).await;
            let odd = step(&json!({"restartPod": {"metod": "Evict"}}));
            c.post("remediationpolicies?fieldValidation=Strict", policy("a").with(odd)).await;
        }),
        case("an unknown field of the metadata is dropped", |c| async move {
            c.post("pauses", pause("a").with(json!({"metadata": {"odd": 1}}))).await;
        }),
        case("metadata of the wrong type is refused", |c| async move {
            c.post("pauses", pause("a").with(json!({"metadata": {"labels": {"x": 1}}}))).await;
        }),
        case("what must be there is missing", |c| async move {
            let mut object = policy("a");
            object["spec"] = json!({});
            c.post("remediationpolicies", object.clone()).await;
            object.as_object_mut().unwrap().remove("spec");
            c.post("remediationpolicies", object).await;
            c.post("pauses", pause("a").with(json!({"spec": {"reason": null}}))).await;
        }),
        case("a value that is not of the enum is refused", |c| async move {
            c.post("remediationpolicies", policy("a").with(json!({"spec": {"mode": "Sometimes"}}))).await;
            c.post("remediationpolicies", policy("a").with(json!({"spec": {"target": {"kind": "Node"}}}))).await;
            c.post("pauses", pause("a").with(json!({"spec": {"scope": "World"}}))).await;
        }),
        case("a value of the wrong type is refused", |c| async move {
            c.post("remediationpolicies", policy("a").with(json!({"spec": {"match": "a"}}))).await;
            c.post("remediationpolicies", policy("a").with(json!({"spec": {"limits": {"concurrency": "1"}}}))).await;
            c.post("remediationpolicies", policy("a").with(json!({"spec": {"limits": {"concurrency": 1.5}}}))).await;
            c.post("remediationpolicies", policy("a").with(json!({"spec": 7}))).await;
        }),
        case("a number out of its bounds is refused", |c| async move {
            c.post("remediationpolicies", policy("a").with(json!({"spec": {"limits": {"concurrency": 0}}}))).await;
            let rate = json!({"spec": {"limits": {"rate": {"actions": 10001, "per": "1h"}}}});
            c.post("remediationpolicies", policy("a").with(rate)).await;
        }),
        case("a list out of its bounds is refused", |c| async move {
            c.post("remediationpolicies", policy("a").with(json!({"spec": {"match": [], "steps": []}}))).await;
            let many: Vec<Value> = (0..9).map(|_| json!({"restartPod": {}})).collect();
            c.post("remediationpolicies", policy("a").with(json!({"spec": {"steps": many}}))).await;
        }),
        case("a text out of its bounds is refused", |c| async move {
            c.post("pauses", pause("a").with(json!({"spec": {"reason": ""}}))).await;
            c.post("pauses", pause("a").with(json!({"spec": {"reason": "x".repeat(1025)}}))).await;
        }),
        case("a text that does not fit its pattern is refused", |c| async move {
            c.post("remediationpolicies", policy("a").with(json!({"spec": {"limits": {"cooldown": "soon"}}}))).await;
            let odd = json!({"spec": {"alert": {"fingerprint": "UPPER"}}});
            c.post("remediations", remediation("a").with(odd)).await;
        }),
        case("a time that is none is refused", |c| async move {
            c.post("pauses", pause("a").with(json!({"spec": {"expiresAt": "tomorrow"}}))).await;
            c.post("pauses", pause("a").with(json!({"spec": {"expiresAt": "2030-01-01T00:00:00Z"}}))).await;
        }),
        case("a rule of CEL refuses a cooldown of more than a day", |c| async move {
            c.messages();
            c.post("remediationpolicies", policy("a").with(json!({"spec": {"limits": {"cooldown": "25h"}}}))).await;
        }),
        case("a rule of CEL refuses a share of nothing", |c| async move {
            c.messages();
            c.post("remediationpolicies", policy("a").with(json!({"spec": {"limits": {"minAvailable": "0%"}}}))).await;
            c.post("remediationpolicies", policy("a").with(json!({"spec": {"limits": {"minAvailable": 0}}}))).await;
            c.post("remediationpolicies", policy("a").with(json!({"spec": {"limits": {"minAvailable": true}}}))).await;
        }),
        case("a rule of CEL wants exactly one action of a step", |c| async move {
            c.messages();
            c.post("remediationpolicies", policy("a").with(step(&json!({})))).await;
            c.post(
                "remediationpolicies",
                policy("a").with(step(&json!({"restartPod": {}, "rolloutRestart": {}}))),
            )
            .await;
        }),
        case("a rule of CEL wants a step that can succeed", |c| async move {
            c.messages();
            let never = json!({"restartPod": {}, "verify": {"stableFor": "10m", "within": "5m"}});
            c.post("remediationpolicies", policy("a").with(step(&never))).await;
        }),
        case("a rule of CEL is asked only of what the schema takes", |c| async move {
            let both = json!({"spec": {"mode": "Odd", "limits": {"cooldown": "25h"}}});
            c.post("remediationpolicies", policy("a").with(both)).await;
        }),
        case("a remediation's spec cannot be changed", |c| async move {
            c.messages();
            c.given("remediations", remediation("a")).await;
            c.merge("remediations/a", json!({"spec": {"episode": 2}})).await;
        }),
        case("a remediation's labels can be changed", |c| async move {
            c.given("remediations", remediation("a")).await;
            c.merge("remediations/a", json!({"metadata": {"labels": {"x": "y"}}})).await;
        }),
        case("a policy's spec can be changed, and is checked again", |c| async move {
            c.given("remediationpolicies", policy("a")).await;
            c.merge("remediationpolicies/a", json!({"spec": {"mode": "Enforce"}})).await;
            c.merge("remediationpolicies/a", json!({"spec": {"mode": "Odd"}})).await;
            c.merge("remediationpolicies/a", json!({"spec": {"limits": {"cooldown": "25h"}}})).await;
        }),
        case("a default that was removed comes back", |c| async move {
            c.also(&["spec.mode"]);
            c.given("remediationpolicies", policy("a").with(json!({"spec": {"mode": "Enforce"}}))).await;
            c.merge("remediationpolicies/a", json!({"spec": {"mode": null}})).await;
        }),
        case("a status has defaults of its own", |c| async move {
            c.also(&["status"]);
            c.given("remediations", remediation("a")).await;
            c.merge("remediations/a/status", json!({"status": {"message": "m"}})).await;
        }),
        case("two conditions of one type are refused", |c| async move {
            c.given("remediationpolicies", policy("a")).await;
            let condition = json!({"type": "Accepted", "status": "True", "reason": "R", "message": "",
                "lastTransitionTime": "2020-01-01T00:00:00Z"});
            c.merge("remediationpolicies/a/status", json!({"status": {"conditions": [condition, condition]}})).await;
        }),
        case("a status at creation is dropped", |c| async move {
            c.also(&["status"]);
            c.post("remediations", remediation("a").with(json!({"status": {"phase": "Failed"}}))).await;
        }),
        case("a status at creation is not even checked", |c| async move {
            c.also(&["status"]);
            c.post("remediations", remediation("a").with(json!({"status": {"phase": "Odd"}}))).await;
        }),
        case("a kind of another version is 400, and its path 404", |c| async move {
            c.post("pauses?fieldValidation=Ignore", pause("a").with(json!({"apiVersion": "paramedic.dev/v1"}))).await;
            c.get("/apis/paramedic.dev/v1/namespaces/NS/pauses").await;
        }),
    ]
}
