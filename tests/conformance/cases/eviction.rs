//! Eviction, and the budgets that refuse it.

use serde_json::{Value, json};

use crate::{
    objects::{With, bound_pod, budget, pod},
    suite::{Case, case},
    talk::Talk,
};

fn eviction(name: &str) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "NS"}})
}

/// A pod that runs, as far as anybody can see.
async fn running(c: &Talk, name: &str, ready: bool) {
    c.given("pods", bound_pod(name)).await;
    let ready = if ready { "True" } else { "False" };
    let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]});
    c.given_patch(&format!("pods/{name}/status"), json!({"status": status})).await;
}

pub fn cases() -> Vec<Case> {
    vec![
        case("a pod without a budget is evicted", |c| async move {
            running(&c, "a", true).await;
            c.post("pods/a/eviction", eviction("a")).await;
            c.get("pods/a").await;
        }),
        case("an evicted pod says so in its conditions", |c| async move {
            running(&c, "a", true).await;
            c.post("pods/a/eviction", eviction("a")).await;
            let pod = c.look("pods/a").await;
            let conditions = pod.at("/status/conditions");
            for condition in conditions.as_array().into_iter().flatten() {
                c.note("condition", format!("{} {} {}", condition["type"], condition["status"], condition["reason"]));
            }
        }),
        case("a budget with room lets one go and refuses the next", |c| async move {
            running(&c, "a", true).await;
            running(&c, "b", true).await;
            c.given("poddisruptionbudgets", budget("keeps-one")).await;
            c.given_budget_status("keeps-one", 2, 1, 2).await;
            c.post("pods/a/eviction", eviction("a")).await;
            c.post("pods/b/eviction", eviction("b")).await;
        }),
        case("a budget without room refuses with its cause", |c| async move {
            running(&c, "a", true).await;
            c.given("poddisruptionbudgets", budget("keeps-one")).await;
            c.given_budget_status("keeps-one", 1, 1, 1).await;
            c.messages();
            c.post("pods/a/eviction", eviction("a")).await;
            c.get("pods/a").await;
        }),
        case("an eviction's dry run asks the budget and evicts nobody", |c| async move {
            running(&c, "a", true).await;
            running(&c, "b", true).await;
            c.given("poddisruptionbudgets", budget("keeps-one")).await;
            c.given_budget_status("keeps-one", 2, 1, 2).await;
            c.post("pods/a/eviction?dryRun=All", eviction("a")).await;
            c.post("pods/b/eviction", eviction("b").with(json!({"deleteOptions": {"dryRun": ["All"]}}))).await;
            c.get("pods/a").await;
            c.also(&["status.disruptionsAllowed"]);
            c.get("poddisruptionbudgets/keeps-one").await;
        }),
        case("an eviction's dry run is refused by a budget without room", |c| async move {
            running(&c, "a", true).await;
            c.given("poddisruptionbudgets", budget("keeps-one")).await;
            c.given_budget_status("keeps-one", 1, 1, 1).await;
            c.post("pods/a/eviction?dryRun=All", eviction("a")).await;
        }),
        case("an eviction takes from what the budget allows", |c| async move {
            running(&c, "a", true).await;
            running(&c, "b", true).await;
            c.given("poddisruptionbudgets", budget("keeps-one")).await;
            c.given_budget_status("keeps-one", 2, 1, 2).await;
            c.post("pods/a/eviction", eviction("a")).await;
            c.until("poddisruptionbudgets/keeps-one", "/status/disruptionsAllowed", json!(0)).await;
        }),
        case("a pod with two budgets cannot be evicted at all", |c| async move {
            running(&c, "a", true).await;
            c.given("poddisruptionbudgets", budget("one").with(json!({"spec": {"minAvailable": 0}}))).await;
            c.given("poddisruptionbudgets", budget("two").with(json!({"spec": {"minAvailable": 0}}))).await;
            c.given_budget_status("one", 1, 0, 1).await;
            c.given_budget_status("two", 1, 0, 1).await;
            c.messages();
            c.post("pods/a/eviction", eviction("a")).await;
        }),
        case("a budget of other pods has no say", |c| async move {
            running(&c, "a", true).await;
            let others = json!({"spec": {"selector": {"matchLabels": {"app": "b"}}}});
            c.given("poddisruptionbudgets", budget("others").with(others)).await;
            c.post("pods/a/eviction", eviction("a")).await;
        }),
        case("an empty selector is all pods of the namespace", |c| async move {
            running(&c, "a", true).await;
            let all = json!({"spec": {"minAvailable": 1, "selector": {"matchLabels": null}}});
            c.given("poddisruptionbudgets", budget("all").with(all)).await;
            c.given_budget_status("all", 1, 1, 1).await;
            c.post("pods/a/eviction", eviction("a")).await;
        }),
        case("a pod that does not run yet is evicted past its budget", |c| async move {
            c.given("pods", bound_pod("a")).await;
            c.given("poddisruptionbudgets", budget("keeps-one")).await;
            c.given_budget_status("keeps-one", 0, 1, 1).await;
            c.post("pods/a/eviction", eviction("a")).await;
        }),
        case("a pod that has finished is evicted past its budget", |c| async move {
            c.given("pods", bound_pod("a")).await;
            c.given_patch("pods/a/status", json!({"status": {"phase": "Failed"}})).await;
            c.given("poddisruptionbudgets", budget("keeps-one")).await;
            c.given_budget_status("keeps-one", 0, 1, 1).await;
            c.post("pods/a/eviction", eviction("a")).await;
            c.get("pods/a").await;
        }),
        case("a pod that is not ready is held while its budget is short", |c| async move {
            running(&c, "a", false).await;
            c.given("poddisruptionbudgets", budget("keeps-one")).await;
            c.given_budget_status("keeps-one", 0, 1, 1).await;
            c.post("pods/a/eviction", eviction("a")).await;
        }),
        case("a pod that is not ready is evicted when its budget is met by others", |c| async move {
            running(&c, "a", false).await;
            running(&c, "b", true).await;
            c.given("poddisruptionbudgets", budget("keeps-one")).await;
            c.given_budget_status("keeps-one", 1, 1, 2).await;
            c.post("pods/a/eviction", eviction("a")).await;
            c.post("pods/b/eviction", eviction("b")).await;
        }),
        case("a pod that is not ready is always evicted when its budget says so", |c| async move {
            running(&c, "a", false).await;
            let always = json!({"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}});
            c.given("poddisruptionbudgets", budget("keeps-one").with(always)).await;
            c.given_budget_status("keeps-one", 0, 1, 1).await;
            c.post("pods/a/eviction", eviction("a")).await;
        }),
        case("an eviction for another uid is a conflict", |c| async move {
            running(&c, "a", true).await;
            let other = json!({"deleteOptions": {"preconditions": {"uid": "00000000-0000-0000-0000-000000000001"}}});
            c.post("pods/a/eviction", eviction("a").with(other)).await;
            let uid = c.look("pods/a").await.uid();
            c.post(
                "pods/a/eviction",
                eviction("a").with(json!({"deleteOptions": {"preconditions": {"uid": uid}}})),
            )
            .await;
        }),
        case("an eviction over an older version is a conflict", |c| async move {
            let made = c.given("pods", bound_pod("a")).await;
            c.given_patch("pods/a", json!({"metadata": {"labels": {"x": "y"}}})).await;
            let older = json!({"deleteOptions": {"preconditions": {"resourceVersion": made.rv()}}});
            c.post("pods/a/eviction", eviction("a").with(older)).await;
        }),
        case("an eviction for another uid takes nothing from the budget", |c| async move {
            running(&c, "a", true).await;
            running(&c, "b", true).await;
            c.given("poddisruptionbudgets", budget("keeps-one")).await;
            c.given_budget_status("keeps-one", 2, 1, 2).await;
            let other = json!({"deleteOptions": {"preconditions": {"uid": "00000000-0000-0000-0000-000000000001"}}});
            c.post("pods/a/eviction", eviction("a").with(other)).await;
        }),
        case("an eviction may say how long the grace is", |c| async move {
            running(&c, "a", true).await;
            c.post("pods/a/eviction", eviction("a").with(json!({"deleteOptions": {"gracePeriodSeconds": 5}}))).await;
            c.get("pods/a").await;
        }),
        case("an eviction without grace is at once", |c| async move {
            running(&c, "a", true).await;
            c.post("pods/a/eviction", eviction("a").with(json!({"deleteOptions": {"gracePeriodSeconds": 0}}))).await;
            c.get("pods/a").await;
        }),
        case("a pod that is being deleted can be evicted again", |c| async move {
            running(&c, "a", true).await;
            c.post("pods/a/eviction", eviction("a")).await;
            c.post("pods/a/eviction", eviction("a")).await;
        }),
        case("a pod that nobody schedules is gone when it is evicted", |c| async move {
            c.given("pods", pod("a")).await;
            c.post("pods/a/eviction", eviction("a")).await;
            c.get("pods/a").await;
        }),
        case("a pod that is not there cannot be evicted", |c| async move {
            c.post("pods/a/eviction", eviction("a")).await;
        }),
        case("an eviction of another name than the path is 400", |c| async move {
            running(&c, "a", true).await;
            c.post("pods/a/eviction", eviction("b")).await;
        }),
        case("an eviction names its pod as the path does", |c| async move {
            running(&c, "a", true).await;
            c.post("pods/a/eviction", json!({"apiVersion": "policy/v1", "kind": "Eviction"})).await;
        }),
        case("an eviction of another kind is 400", |c| async move {
            running(&c, "a", true).await;
            c.post("pods/a/eviction", pod("a")).await;
        }),
        case("an eviction cannot be read", |c| async move {
            running(&c, "a", true).await;
            c.get("pods/a/eviction").await;
        }),
        case("an eviction's unknown field is dropped, as delete_options is", |c| async move {
            running(&c, "a", true).await;
            let other = json!({"delete_options": {"preconditions": {"uid": "00000000-0000-0000-0000-000000000001"}}});
            c.post("pods/a/eviction", eviction("a").with(other)).await;
        }),
    ]
}
