//! PUT of objects: what may change, what not, and over which version.

use serde_json::json;

use crate::{
    objects::{With, budget, configmap, cronjob, deployment, job, lease, pause, pod, policy, remediation, statefulset},
    suite::{Case, case},
};

pub fn cases() -> Vec<Case> {
    vec![
        case("a write over the newest version is taken", |c| async move {
            let made = c.post("configmaps", configmap("a")).await;
            c.put("configmaps/a", made.body.with(json!({"data": {"key": "another"}}))).await;
        }),
        case("a write over an older version is a conflict", |c| async move {
            let made = c.given("configmaps", configmap("a")).await;
            c.put("configmaps/a", made.body.clone().with(json!({"data": {"key": "second"}}))).await;
            c.messages();
            c.put("configmaps/a", made.body.with(json!({"data": {"key": "third"}}))).await;
        }),
        case("a write over an older version of a custom kind is a conflict", |c| async move {
            let made = c.given("pauses", pause("a")).await;
            c.put("pauses/a", made.body.clone().with(json!({"spec": {"reason": "second"}}))).await;
            c.messages();
            c.put("pauses/a", made.body.with(json!({"spec": {"reason": "third"}}))).await;
        }),
        case("some built-in kinds are written without a version, and some are not", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.put("configmaps/a", configmap("a").with(json!({"data": {"key": "another"}}))).await;
            c.given("leases", lease("a")).await;
            c.put("leases/a", lease("a")).await;
            c.given("pods", pod("a")).await;
            c.put("pods/a", pod("a").labelled(json!({"x": "y"}))).await;
            c.given("deployments", deployment("a")).await;
            c.put("deployments/a", deployment("a").labelled(json!({"x": "y"}))).await;
            c.given("poddisruptionbudgets", budget("a")).await;
            c.put("poddisruptionbudgets/a", budget("a")).await;
            c.given("cronjobs", cronjob("a")).await;
            c.put("cronjobs/a", cronjob("a")).await;
            c.given("statefulsets", statefulset("a")).await;
            c.put("statefulsets/a", statefulset("a").labelled(json!({"x": "y"}))).await;
        }),
        case("custom kinds are not written without a version", |c| async move {
            c.given("pauses", pause("a")).await;
            c.put("pauses/a", pause("a")).await;
            c.given("remediations", remediation("a")).await;
            c.put("remediations/a", remediation("a")).await;
            c.given("remediationpolicies", policy("a")).await;
            c.put("remediationpolicies/a/status", policy("a")).await;
        }),
        case("a write of what is there already changes nothing", |c| async move {
            let made = c.given("configmaps", configmap("a")).await;
            let same = c.put("configmaps/a", made.body.clone()).await;
            c.note("the version is the same", made.rv() == same.rv());
        }),
        case("a write to another uid is a conflict", |c| async move {
            let made = c.given("configmaps", configmap("a")).await;
            let other = json!({"metadata": {"uid": "00000000-0000-0000-0000-000000000001"}});
            c.put("configmaps/a", made.body.with(other)).await;
        }),
        case("a write of another name than the path is 400", |c| async move {
            let made = c.given("configmaps", configmap("a")).await;
            c.put("configmaps/b", made.body).await;
        }),
        case("a write of another namespace than the path is 400", |c| async move {
            let made = c.given("configmaps", configmap("a")).await;
            c.put("configmaps/a", made.body.with(json!({"metadata": {"namespace": "another"}}))).await;
        }),
        case("a write to what is not there is 404", |c| async move {
            c.put("configmaps/a", configmap("a")).await;
            c.put("deployments/a", deployment("a")).await;
            c.put("pauses/a", pause("a").with(json!({"metadata": {"resourceVersion": "1"}}))).await;
        }),
        case("a lease can be created by a write", |c| async move {
            c.put("leases/a", lease("a")).await;
        }),
        case("an event can be created by a write", |c| async move {
            c.put("events/a", crate::objects::event("a")).await;
        }),
        case("a write that creates forgets the version it came with", |c| async move {
            c.put("leases/a", lease("a").with(json!({"metadata": {"resourceVersion": "7"}}))).await;
        }),
        case("a version that is no number is refused", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.put("configmaps/a", configmap("a").with(json!({"metadata": {"resourceVersion": "abc"}}))).await;
        }),
        case("the generation grows with the spec alone", |c| async move {
            let made = c.given("deployments", deployment("a")).await;
            let named = c.merge("deployments/a", json!({"metadata": {"labels": {"x": "y"}}})).await;
            c.note("after a label", named.at("/metadata/generation"));
            let paused = c.merge("deployments/a", json!({"spec": {"paused": true}})).await;
            c.note("after the spec", paused.at("/metadata/generation"));
            c.note("it began at", made.at("/metadata/generation"));
        }),
        case("the generation of a custom kind grows with what is not metadata or status", |c| async move {
            c.given("pauses", pause("a")).await;
            c.merge("pauses/a", json!({"metadata": {"labels": {"x": "y"}}})).await;
            c.merge("pauses/a", json!({"spec": {"reason": "another"}})).await;
        }),
        case("the generation that a client writes is not taken", |c| async move {
            let made = c.given("cronjobs", cronjob("a")).await;
            c.put("cronjobs/a", made.body.with(json!({"metadata": {"generation": 9}}))).await;
        }),
        case("a deployment's generation grows with its annotations too", |c| async move {
            c.given("deployments", deployment("a")).await;
            c.merge("deployments/a", json!({"metadata": {"annotations": {"x": "y"}}})).await;
        }),
        case("a pod's spec cannot be changed", |c| async move {
            let made = c.given("pods", pod("a")).await;
            c.put("pods/a", made.body.clone().with(json!({"spec": {"restartPolicy": "Never"}}))).await;
            c.put("pods/a", made.body.with(json!({"spec": {"terminationGracePeriodSeconds": 5}}))).await;
        }),
        case("a pod's image can be changed", |c| async move {
            c.also(&["spec.containers[0].image"]);
            let mut made = c.given("pods", pod("a")).await;
            made.body["spec"]["containers"][0]["image"] = json!("busybox:other");
            c.put("pods/a", made.body).await;
        }),
        case("a pod's deadline can be set, and then only come nearer", |c| async move {
            c.also(&["spec.activeDeadlineSeconds"]);
            c.given("pods", pod("a")).await;
            c.merge("pods/a", json!({"spec": {"activeDeadlineSeconds": 100}})).await;
            c.merge("pods/a", json!({"spec": {"activeDeadlineSeconds": 50}})).await;
            c.merge("pods/a", json!({"spec": {"activeDeadlineSeconds": 200}})).await;
        }),
        case("a pod's tolerations can only become more", |c| async move {
            let tolerations = json!([{"key": "a", "operator": "Exists"}]);
            c.given("pods", pod("a").with(json!({"spec": {"tolerations": tolerations}}))).await;
            let another = json!({"key": "x", "operator": "Exists"});
            c.json_patch("pods/a", json!([{"op": "add", "path": "/spec/tolerations/-", "value": another}])).await;
            c.merge("pods/a", json!({"spec": {"tolerations": []}})).await;
        }),
        case("a deployment's selector cannot be changed", |c| async move {
            c.given("deployments", deployment("a")).await;
            let labels = json!({"app": "b"});
            let other = json!({"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}});
            c.merge("deployments/a", json!({"spec": other})).await;
        }),
        case("a stateful set's fields but for a few cannot be changed", |c| async move {
            c.given("statefulsets", statefulset("a")).await;
            c.merge("statefulsets/a", json!({"spec": {"serviceName": "b"}})).await;
            c.merge("statefulsets/a", json!({"spec": {"podManagementPolicy": "Parallel"}})).await;
            c.merge("statefulsets/a", json!({"spec": {"minReadySeconds": 5}})).await;
        }),
        case("a job's template cannot be changed", |c| async move {
            c.given("jobs", job("a")).await;
            c.merge("jobs/a", json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}})).await;
            c.merge("jobs/a", json!({"spec": {"completions": 5}})).await;
            c.merge("jobs/a", json!({"spec": {"completionMode": "Indexed"}})).await;
            c.merge("jobs/a", json!({"spec": {"managedBy": "example.com/other"}})).await;
        }),
        case("a job's parallelism and back-off can be changed", |c| async move {
            c.also(&["spec.parallelism", "spec.backoffLimit"]);
            c.given("jobs", job("a")).await;
            c.merge("jobs/a", json!({"spec": {"parallelism": 2, "backoffLimit": 1}})).await;
        }),
        case("a config map that is immutable stays as it is", |c| async move {
            c.given("configmaps", configmap("a").with(json!({"immutable": true}))).await;
            c.merge("configmaps/a", json!({"data": {"key": "another"}})).await;
            c.merge("configmaps/a", json!({"immutable": false})).await;
            c.merge("configmaps/a", json!({"metadata": {"labels": {"x": "y"}}})).await;
        }),
        case("a budget's spec can be changed", |c| async move {
            c.also(&["spec"]);
            c.given("poddisruptionbudgets", budget("a")).await;
            c.merge("poddisruptionbudgets/a", json!({"spec": {"minAvailable": 2}})).await;
        }),
        case("an object's uid and deletion cannot be written, and its creation stays", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.merge("configmaps/a", json!({"metadata": {"uid": "00000000-0000-0000-0000-000000000001"}})).await;
            c.merge("configmaps/a", json!({"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}})).await;
            c.merge("configmaps/a", json!({"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}})).await;
            c.merge("configmaps/a", json!({"metadata": {"name": "b"}})).await;
        }),
        case("a dry run of a write changes nothing", |c| async move {
            let made = c.given("configmaps", configmap("a")).await;
            let dry = c.put("configmaps/a?dryRun=All", made.body.clone().with(json!({"data": {"key": "dry"}}))).await;
            c.note("the version is the old one", dry.rv() == made.rv());
            c.get("configmaps/a").await;
        }),
        case("an invalid write is refused with its fields", |c| async move {
            let made = c.given("deployments", deployment("a")).await;
            c.settled("deployments/a").await;
            c.put("deployments/a", made.body.with(json!({"metadata": {"resourceVersion": null}, "spec": {"replicas": -1}})))
                .await;
        }),
    ]
}
