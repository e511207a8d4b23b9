//! Tables, as kubectl asks for them.

use serde_json::json;

use crate::{
    objects::{With, bound_pod, budget, configmap, cronjob, deployment, job, lease, pause, policy, remediation, replicaset, statefulset},
    suite::{Case, case},
};

pub fn cases() -> Vec<Case> {
    vec![
        case("a Table of pods says ready, status and restarts", |c| async move {
            c.given("pods", bound_pod("a")).await;
            let container = json!({"name": "main", "ready": true, "restartCount": 3, "image": "i", "imageID": "x",
                "state": {"running": {"startedAt": "2020-01-01T00:00:00Z"}}});
            let status = json!({"phase": "Running", "podIP": "10.1.2.3", "containerStatuses": [container]});
            c.given_patch("pods/a/status", json!({"status": status})).await;
            c.given("pods", bound_pod("b")).await;
            c.table("pods").await;
            c.table("pods/a").await;
        }),
        case("a Table of pods says why one waits or has ended", |c| async move {
            for (name, state) in [
                ("a", json!({"waiting": {"reason": "CrashLoopBackOff"}})),
                ("b", json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})),
                ("c", json!({"terminated": {"exitCode": 2}})),
            ] {
                c.given("pods", bound_pod(name)).await;
                let container = json!({"name": "main", "ready": false, "restartCount": 0, "image": "i", "imageID": "x", "state": state});
                c.given_patch(&format!("pods/{name}/status"), json!({"status": {"phase": "Running", "containerStatuses": [container]}}))
                    .await;
            }
            c.given("pods", bound_pod("d")).await;
            c.delete("pods/d").await;
            c.given("pods", bound_pod("e")).await;
            c.given_patch("pods/e/status", json!({"status": {"phase": "Failed", "reason": "Evicted"}})).await;
            c.table("pods").await;
        }),
        case("a Table of deployments says how many are ready", |c| async move {
            c.given("deployments", deployment("a")).await;
            c.settled("deployments/a").await;
            c.table("deployments").await;
        }),
        case("a Table of replica sets says how many are ready", |c| async move {
            c.given("replicasets", replicaset("a")).await;
            c.settled("replicasets/a").await;
            c.table("replicasets").await;
        }),
        case("a Table of stateful sets says how many are ready", |c| async move {
            c.given("statefulsets", statefulset("a")).await;
            c.settled("statefulsets/a").await;
            c.table("statefulsets").await;
        }),
        case("a Table of jobs says what is done", |c| async move {
            c.given("jobs", job("a")).await;
            c.table("jobs").await;
        }),
        case("a Table of cron jobs says when they run", |c| async move {
            c.given("cronjobs", cronjob("a")).await;
            c.table("cronjobs").await;
        }),
        case("a Table of budgets says what they allow", |c| async move {
            c.given("poddisruptionbudgets", budget("a")).await;
            c.given_budget_status("a", 0, 1, 0).await;
            c.table("poddisruptionbudgets").await;
        }),
        case("a Table of config maps says how many keys they have", |c| async move {
            c.given("configmaps", configmap("a").labelled(json!({"x": "y"}))).await;
            c.table("configmaps?labelSelector=x").await;
        }),
        case("a Table of leases says who holds them", |c| async move {
            c.given("leases", lease("a")).await;
            c.table("leases").await;
        }),
        case("a Table of namespaces says how they are", |c| async move {
            c.table("/api/v1/namespaces/NS").await;
        }),
        case("a Table of policies has the columns of its definition", |c| async move {
            c.given("remediationpolicies", policy("a")).await;
            c.table("remediationpolicies").await;
        }),
        case("a Table of remediations has the columns of its definition", |c| async move {
            c.given("remediations", remediation("a")).await;
            let status = json!({"phase": "Waiting", "message": "m", "target": {"apiVersion": "v1", "kind": "Pod", "name": "p", "namespace": "n", "uid": "u"}});
            c.given_patch("remediations/a/status", json!({"status": status})).await;
            c.table("remediations").await;
        }),
        case("a Table of pauses has the columns of its definition", |c| async move {
            c.given("pauses", pause("a")).await;
            c.table("pauses/a").await;
        }),
        case("an empty Table has its columns", |c| async move {
            c.table("pauses").await;
            c.table("leases").await;
        }),
        case("a Table comes in pages", |c| async move {
            c.given("pauses", pause("a")).await;
            c.given("pauses", pause("b")).await;
            c.table("pauses?limit=1").await;
        }),
        case("a Table may have whole objects, or none", |c| async move {
            c.given("pauses", pause("a")).await;
            let whole = c.table("pauses/a?includeObject=Object").await;
            c.note("spec", whole.at("/rows/0/object/spec/reason"));
            let none = c.table("pauses/a?includeObject=None").await;
            c.note("object", none.at("/rows/0/object"));
        }),
        case("what is not there is 404 as a Table too", |c| async move {
            c.table("pods/a").await;
        }),
    ]
}
