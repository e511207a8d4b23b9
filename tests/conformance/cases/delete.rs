//! DELETE: preconditions, grace, finalizers, propagation, collections.

use axum::http::Method;
use serde_json::json;

use crate::{
    objects::{With, bound_pod, configmap, cronjob, deployment, job, lease, pause, pod, remediation},
    suite::{Case, case},
};

pub fn cases() -> Vec<Case> {
    vec![
        case("a deleted object is gone, and a Status says which it was", |c| async move {
            c.post("configmaps", configmap("a")).await;
            c.delete("configmaps/a").await;
            c.get("configmaps/a").await;
            c.delete("configmaps/a").await;
        }),
        case("a custom object is deleted as others are", |c| async move {
            c.post("remediations", remediation("a")).await;
            c.delete("remediations/a").await;
            c.get("remediations/a").await;
        }),
        case("what is not there cannot be deleted", |c| async move {
            c.delete("pods/a").await;
            c.delete("deployments/a").await;
            c.delete("pauses/a").await;
        }),
        case("a deletion for another uid is a conflict", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.delete_with(
                "configmaps/a",
                json!({"preconditions": {"uid": "00000000-0000-0000-0000-000000000001"}}),
            )
            .await;
            c.given("pods", pod("a")).await;
            c.delete_with("pods/a", json!({"preconditions": {"uid": "00000000-0000-0000-0000-000000000001"}})).await;
        }),
        case("a deletion for the right uid is done", |c| async move {
            let made = c.given("configmaps", configmap("a")).await;
            c.delete_with("configmaps/a", json!({"preconditions": {"uid": made.uid()}})).await;
        }),
        case("a deletion over an older version is a conflict", |c| async move {
            let made = c.given("configmaps", configmap("a")).await;
            let newer = c.merge("configmaps/a", json!({"data": {"key": "second"}})).await;
            c.delete_with("configmaps/a", json!({"preconditions": {"resourceVersion": made.rv()}})).await;
            c.delete_with("configmaps/a", json!({"preconditions": {"resourceVersion": newer.rv()}})).await;
        }),
        case("a pod that nobody runs is deleted at once", |c| async move {
            c.given("pods", pod("a")).await;
            c.delete("pods/a").await;
            c.get("pods/a").await;
        }),
        case("a pod on a node has its grace", |c| async move {
            c.given("pods", bound_pod("a")).await;
            c.delete("pods/a").await;
            c.get("pods/a").await;
        }),
        case("a deletion may shorten the grace, not lengthen it", |c| async move {
            c.given("pods", bound_pod("a")).await;
            c.delete_with("pods/a", json!({"gracePeriodSeconds": 20})).await;
            c.delete_with("pods/a", json!({"gracePeriodSeconds": 25})).await;
            c.delete_with("pods/a", json!({"gracePeriodSeconds": 10})).await;
        }),
        case("a deletion without grace is at once", |c| async move {
            c.given("pods", bound_pod("a")).await;
            c.delete_with("pods/a", json!({"gracePeriodSeconds": 0})).await;
            c.get("pods/a").await;
        }),
        case("a second deletion without grace ends a pod that is being deleted", |c| async move {
            c.given("pods", bound_pod("a")).await;
            c.delete("pods/a").await;
            c.delete_with("pods/a", json!({"gracePeriodSeconds": 0})).await;
            c.get("pods/a").await;
        }),
        case("the grace can be in the query", |c| async move {
            c.given("pods", bound_pod("a")).await;
            c.delete("pods/a?gracePeriodSeconds=7").await;
        }),
        case("a pod's own grace is its deletion's", |c| async move {
            c.given("pods", bound_pod("a").with(json!({"spec": {"terminationGracePeriodSeconds": 3}}))).await;
            c.delete("pods/a").await;
        }),
        case("a pod that has finished is deleted at once", |c| async move {
            c.given("pods", bound_pod("a")).await;
            c.given_patch("pods/a/status", json!({"status": {"phase": "Succeeded"}})).await;
            c.delete("pods/a").await;
            c.get("pods/a").await;
        }),
        case("a grace below zero is one second", |c| async move {
            c.given("pods", bound_pod("a")).await;
            c.delete_with("pods/a", json!({"gracePeriodSeconds": -5})).await;
        }),
        case("a finalizer keeps the object until it is taken off", |c| async move {
            c.given("configmaps", configmap("a").with(json!({"metadata": {"finalizers": ["x.io/held"]}}))).await;
            c.delete("configmaps/a").await;
            c.get("configmaps/a").await;
            c.merge("configmaps/a", json!({"metadata": {"finalizers": null}})).await;
            c.get("configmaps/a").await;
        }),
        case("a finalizer keeps a custom object too", |c| async move {
            c.given("pauses", pause("a").with(json!({"metadata": {"finalizers": ["x.io/held"]}}))).await;
            c.delete("pauses/a").await;
            c.merge("pauses/a", json!({"metadata": {"finalizers": null}})).await;
            c.get("pauses/a").await;
        }),
        case("what is being deleted takes no new finalizer", |c| async move {
            c.given("configmaps", configmap("a").with(json!({"metadata": {"finalizers": ["x.io/held"]}}))).await;
            c.delete("configmaps/a").await;
            c.merge("configmaps/a", json!({"metadata": {"finalizers": ["x.io/held", "x.io/late"]}})).await;
        }),
        case("what is being deleted can still be written", |c| async move {
            c.given("configmaps", configmap("a").with(json!({"metadata": {"finalizers": ["x.io/held"]}}))).await;
            c.delete("configmaps/a").await;
            c.merge("configmaps/a", json!({"data": {"key": "late"}})).await;
        }),
        case("what is being deleted is there still, for a creation", |c| async move {
            c.given("configmaps", configmap("a").with(json!({"metadata": {"finalizers": ["x.io/held"]}}))).await;
            c.delete("configmaps/a").await;
            c.post("configmaps", configmap("a")).await;
        }),
        case("a deletion of what is being deleted changes nothing", |c| async move {
            c.given("configmaps", configmap("a").with(json!({"metadata": {"finalizers": ["x.io/held"]}}))).await;
            let first = c.delete("configmaps/a").await;
            let second = c.delete("configmaps/a").await;
            c.note("the version is the same", first.rv() == second.rv());
        }),
        case("a pod with a finalizer on a node has both", |c| async move {
            c.given("pods", bound_pod("a").with(json!({"metadata": {"finalizers": ["x.io/held"]}}))).await;
            c.delete("pods/a").await;
            c.delete_with("pods/a", json!({"gracePeriodSeconds": 0})).await;
            c.merge("pods/a", json!({"metadata": {"finalizers": null}})).await;
            c.get("pods/a").await;
        }),
        case("a dry run deletes nothing", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.delete("configmaps/a?dryRun=All").await;
            c.delete_with("configmaps/a", json!({"dryRun": ["All"]})).await;
            c.get("configmaps/a").await;
            c.given("pods", bound_pod("a")).await;
            c.delete("pods/a?dryRun=All").await;
            c.get("pods/a").await;
        }),
        case("foreground is a finalizer of its own", |c| async move {
            // The other finalizer keeps a real cluster's collector from being done with it.
            c.given("configmaps", configmap("a").with(json!({"metadata": {"finalizers": ["x.io/held"]}}))).await;
            c.delete_with("configmaps/a", json!({"propagationPolicy": "Foreground"})).await;
        }),
        case("orphan is a finalizer of its own", |c| async move {
            c.given("configmaps", configmap("a").with(json!({"metadata": {"finalizers": ["x.io/held"]}}))).await;
            c.delete_with("configmaps/a", json!({"propagationPolicy": "Orphan"})).await;
        }),
        case("background needs no finalizer", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.delete_with("configmaps/a", json!({"propagationPolicy": "Background"})).await;
            c.get("configmaps/a").await;
        }),
        case("the propagation can be in the query", |c| async move {
            c.given("deployments", deployment("a").with(json!({"metadata": {"finalizers": ["x.io/held"]}}))).await;
            c.delete("deployments/a?propagationPolicy=Foreground").await;
        }),
        case("a job leaves its pods behind unless it is told otherwise", |c| async move {
            c.given("jobs", job("a").with(json!({"metadata": {"finalizers": ["x.io/held"]}}))).await;
            c.delete("jobs/a").await;
        }),
        case("a job is deleted in the background when told", |c| async move {
            c.given("jobs", job("a")).await;
            c.delete_with("jobs/a", json!({"propagationPolicy": "Background"})).await;
            c.get("jobs/a").await;
        }),
        case("deployments and cron jobs are deleted in the background", |c| async move {
            c.given("deployments", deployment("a")).await;
            c.delete("deployments/a").await;
            c.given("cronjobs", cronjob("a")).await;
            c.delete("cronjobs/a").await;
        }),
        case("an unknown propagation is refused", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.delete_with("configmaps/a", json!({"propagationPolicy": "Sideways"})).await;
            c.delete_with("configmaps/a", json!({"propagationPolicy": "Orphan", "orphanDependents": true})).await;
        }),
        case("options that are no JSON are an error of the server", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.raw(Method::DELETE, "configmaps/a", &[("content-type", "application/json")], "{".into()).await;
        }),
        case("options of another kind are an error of the server", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.raw(Method::DELETE, "configmaps/a", &[("content-type", "application/json")], configmap("a").to_string().into())
                .await;
        }),
        case("a collection is deleted by its selector", |c| async move {
            c.given("leases", lease("a").labelled(json!({"x": "y"}))).await;
            c.given("leases", lease("b")).await;
            c.given("leases", lease("c").labelled(json!({"x": "y"}))).await;
            let answer = c.delete("leases?labelSelector=x%3Dy").await;
            c.note("answered with", answer.at("/kind"));
            c.get("leases").await;
        }),
        case("a whole collection is deleted", |c| async move {
            c.given("pauses", pause("a")).await;
            c.given("pauses", pause("b")).await;
            c.delete("pauses").await;
            c.get("pauses").await;
        }),
        case("a collection that is empty is deleted", |c| async move {
            c.delete("leases").await;
        }),
        case("a collection of pods has its grace", |c| async move {
            c.given("pods", bound_pod("a")).await;
            c.delete_with("pods?labelSelector=app%3Da", json!({"gracePeriodSeconds": 5})).await;
            c.get("pods/a").await;
        }),
        case("a collection's dry run deletes nothing", |c| async move {
            c.given("leases", lease("a")).await;
            c.delete("leases?dryRun=All").await;
            c.get("leases/a").await;
        }),
        case("a collection is deleted by fields", |c| async move {
            c.given("leases", lease("a")).await;
            c.given("leases", lease("b")).await;
            c.delete("leases?fieldSelector=metadata.name%3Da").await;
            c.get("leases").await;
        }),
        case("a name is free again after the deletion, with another uid", |c| async move {
            let first = c.given("configmaps", configmap("a")).await;
            c.delete("configmaps/a").await;
            let second = c.post("configmaps", configmap("a")).await;
            c.note("the uid is another", first.uid() != second.uid());
        }),
    ]
}
