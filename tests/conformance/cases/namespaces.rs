//! Namespaces: their making, their end, and what that refuses.

use serde_json::json;

use crate::{
    objects::{With, lease, pause},
    suite::{Case, case},
};

pub fn cases() -> Vec<Case> {
    vec![
        case("a namespace is active, and has its name as a label", |c| async move {
            c.also(&["spec", "status"]);
            c.get("/api/v1/namespaces/NS").await;
        }),
        case("a namespace that is there cannot be created again", |c| async move {
            let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "NS"}});
            c.post("/api/v1/namespaces", body).await;
        }),
        case("a namespace can be labelled", |c| async move {
            c.merge(
                "/api/v1/namespaces/NS",
                json!({"metadata": {"labels": {"x": "y"}, "annotations": {"x": "y"}}}),
            )
            .await;
        }),
        case("a namespace keeps the label of its name", |c| async move {
            c.merge(
                "/api/v1/namespaces/NS",
                json!({"metadata": {"labels": {"kubernetes.io/metadata.name": "x"}}}),
            )
            .await;
            c.merge(
                "/api/v1/namespaces/NS",
                json!({"metadata": {"labels": {"kubernetes.io/metadata.name": null}}}),
            )
            .await;
        }),
        case("a namespace that is going takes nothing new", |c| async move {
            c.also(&["status.phase"]);
            c.given("leases", lease("held").with(json!({"metadata": {"finalizers": ["x.io/held"]}}))).await;
            let going = c.look_delete("/api/v1/namespaces/NS").await;
            c.note("status", going.status);
            c.note("phase", going.at("/status/phase"));
            c.note("is being deleted", going.at("/metadata/deletionTimestamp").is_string());
            c.note("finalizers", going.at("/spec/finalizers"));
            c.until_status("/api/v1/namespaces/NS/configmaps?dryRun=All", 403).await;
            c.post("leases", lease("late")).await;
            c.post("pauses", pause("late")).await;
        }),
        case("a namespace that is going can still be written to", |c| async move {
            c.given("leases", lease("held").with(json!({"metadata": {"finalizers": ["x.io/held"]}}))).await;
            c.look_delete("/api/v1/namespaces/NS").await;
            // Sooner or later what is in it is deleted as well, as far as its finalizer lets it.
            let written = c.given_patch("leases/held", json!({"metadata": {"annotations": {"x": "y"}}})).await;
            c.note("status", written.status);
            c.note("annotations", written.at("/metadata/annotations"));
        }),
        case("a namespace for another uid is not deleted", |c| async move {
            let other = json!({"preconditions": {"uid": "00000000-0000-0000-0000-000000000001"}});
            c.delete_with("/api/v1/namespaces/NS", other).await;
        }),
        case("a namespace's dry run of a deletion deletes nothing", |c| async move {
            c.also(&["status.phase"]);
            c.delete("/api/v1/namespaces/NS?dryRun=All").await;
            c.get("/api/v1/namespaces/NS").await;
        }),
        case("namespaces are no collection to delete", |c| async move {
            // With a selector that fits nothing, should it be possible after all.
            c.delete("/api/v1/namespaces?labelSelector=conformance%3Dnothing").await;
        }),
    ]
}
