//! Watches: what comes, in which order, and from when.

use std::time::Duration;

use axum::http::Method;
use serde_json::json;

use crate::{
    objects::{With, bound_pod, lease, pause, pod, policy, remediation},
    suite::{Case, case},
};

pub fn cases() -> Vec<Case> {
    vec![
        case("a watch from a list's version has what comes after it, in order", |c| async move {
            c.given("leases", lease("before")).await;
            let now = c.moment("leases").await;
            let mut watch = c.watch(&format!("leases?watch=1&resourceVersion={now}")).await;
            c.given("leases", lease("a")).await;
            c.given("leases", lease("b")).await;
            c.given_patch("leases/a", json!({"metadata": {"labels": {"x": "y"}}})).await;
            c.delete("leases/b").await;
            c.given_patch("leases/before", json!({"metadata": {"labels": {"x": "y"}}})).await;
            watch.events(5).await;
            watch.quiet().await;
        }),
        case("a watch from an object's version has what comes after it", |c| async move {
            let made = c.given("leases", lease("a")).await;
            c.given_patch("leases/a", json!({"metadata": {"labels": {"x": "y"}}})).await;
            c.given("leases", lease("b")).await;
            let mut watch = c.watch(&format!("leases?watch=true&resourceVersion={}", made.rv())).await;
            watch.events(2).await;
            watch.quiet().await;
        }),
        case("a watch without a version begins with what is there", |c| async move {
            c.given("leases", lease("b")).await;
            c.given("leases", lease("a")).await;
            let mut watch = c.watch("leases?watch=1").await;
            watch.events(2).await;
            c.given("leases", lease("c")).await;
            watch.events(1).await;
        }),
        case("a watch from version zero begins with what is there", |c| async move {
            c.given("leases", lease("a")).await;
            c.until("leases?resourceVersion=0", "/items/0/metadata/name", json!("a")).await;
            let mut watch = c.watch("leases?watch=1&resourceVersion=0").await;
            watch.events(1).await;
            c.given("leases", lease("b")).await;
            watch.events(1).await;
        }),
        case("a watch that streams its list marks the end of it", |c| async move {
            c.given("leases", lease("b")).await;
            c.given("leases", lease("a")).await;
            let query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
            let mut watch = c.watch(&format!("leases?{query}")).await;
            watch.events(3).await;
            c.given("leases", lease("c")).await;
            watch.events(1).await;
        }),
        case("a watch that streams an empty list marks the end of it", |c| async move {
            let query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
            let mut watch = c.watch(&format!("pauses?{query}")).await;
            watch.events(1).await;
            c.given("pauses", pause("a")).await;
            watch.events(1).await;
        }),
        case("a watch that streams its list must say how old it may be", |c| async move {
            c.watch("leases?watch=1&sendInitialEvents=true&allowWatchBookmarks=true").await;
            c.watch("leases?watch=1&resourceVersionMatch=NotOlderThan").await;
            c.watch("leases?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=Exact").await;
            c.get("leases?sendInitialEvents=true&resourceVersionMatch=NotOlderThan").await;
        }),
        case("a watch without initial events begins now", |c| async move {
            c.given("leases", lease("a")).await;
            let query = "watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
            let mut watch = c.watch(&format!("leases?{query}")).await;
            // A real server reads the present version from its store only after it has answered.
            tokio::time::sleep(Duration::from_millis(500)).await;
            c.given("leases", lease("b")).await;
            watch.events(1).await;
        }),
        case("a deletion's event has a version of its own and the last state", |c| async move {
            c.also(&["metadata.labels"]);
            let made = c.post("leases", lease("a").labelled(json!({"x": "y"}))).await;
            let mut watch = c.watch(&format!("leases?watch=1&resourceVersion={}", made.rv())).await;
            c.delete("leases/a").await;
            watch.events(1).await;
        }),
        case("a deletion with grace is a change, and then a deletion", |c| async move {
            c.also(&["metadata.deletionGracePeriodSeconds"]);
            let made = c.given("pods", bound_pod("a")).await;
            let mut watch = c.watch(&format!("pods?watch=1&resourceVersion={}", made.rv())).await;
            c.delete_with("pods/a", json!({"gracePeriodSeconds": 20})).await;
            c.delete_with("pods/a", json!({"gracePeriodSeconds": 0})).await;
            watch.events(2).await;
            watch.quiet().await;
        }),
        case("a deletion that a finalizer holds is a change, and then a deletion", |c| async move {
            c.also(&["metadata.finalizers"]);
            let made = c.given("leases", lease("a").with(json!({"metadata": {"finalizers": ["x.io/held"]}}))).await;
            let mut watch = c.watch(&format!("leases?watch=1&resourceVersion={}", made.rv())).await;
            c.delete("leases/a").await;
            c.merge("leases/a", json!({"metadata": {"finalizers": null}})).await;
            watch.events(2).await;
            watch.quiet().await;
        }),
        case("a pod that nobody runs is deleted in two events", |c| async move {
            let made = c.given("pods", pod("a")).await;
            let mut watch = c.watch(&format!("pods?watch=1&resourceVersion={}", made.rv())).await;
            c.delete("pods/a").await;
            watch.quiet().await;
        }),
        case("a write that changes nothing is no event", |c| async move {
            let made = c.given("leases", lease("a")).await;
            let mut watch = c.watch(&format!("leases?watch=1&resourceVersion={}", made.rv())).await;
            c.merge("leases/a", json!({"spec": {"holderIdentity": "somebody"}})).await;
            c.put("leases/a", made.body).await;
            watch.quiet().await;
        }),
        case("a dry run is no event", |c| async move {
            let now = c.moment("leases").await;
            let mut watch = c.watch(&format!("leases?watch=1&resourceVersion={now}")).await;
            c.post("leases?dryRun=All", lease("a")).await;
            watch.quiet().await;
        }),
        case("a status is an event", |c| async move {
            c.also(&["status.phase"]);
            let made = c.given("remediations", remediation("a")).await;
            let mut watch = c.watch(&format!("remediations?watch=1&resourceVersion={}", made.rv())).await;
            c.given_patch("remediations/a/status", json!({"status": {"phase": "Waiting"}})).await;
            watch.events(1).await;
        }),
        case("an object that comes to fit a selector is added, one that no longer does deleted", |c| async move {
            c.also(&["metadata.labels"]);
            let made = c.given("leases", lease("a").labelled(json!({"x": "no"}))).await;
            let mut watch = c.watch(&format!("leases?watch=1&labelSelector=x%3Dyes&resourceVersion={}", made.rv())).await;
            c.given_patch("leases/a", json!({"metadata": {"labels": {"x": "yes"}}})).await;
            c.given_patch("leases/a", json!({"metadata": {"labels": {"y": "too"}}})).await;
            c.given_patch("leases/a", json!({"metadata": {"labels": {"x": "no"}}})).await;
            c.given_patch("leases/a", json!({"metadata": {"labels": {"y": "again"}}})).await;
            c.delete("leases/a").await;
            watch.events(3).await;
            watch.quiet().await;
        }),
        case("a selector holds for the first events too", |c| async move {
            c.given("leases", lease("a").labelled(json!({"x": "no"}))).await;
            c.given("leases", lease("b").labelled(json!({"x": "yes"}))).await;
            let mut watch = c.watch("leases?watch=1&labelSelector=x%3Dyes").await;
            watch.quiet().await;
        }),
        case("one object is watched by its name", |c| async move {
            let made = c.given("leases", lease("a")).await;
            let query = format!("watch=1&fieldSelector=metadata.name%3Da&resourceVersion={}", made.rv());
            let mut watch = c.watch(&format!("leases?{query}")).await;
            c.given("leases", lease("b")).await;
            c.given_patch("leases/a", json!({"metadata": {"labels": {"x": "y"}}})).await;
            c.delete("leases/b").await;
            c.delete("leases/a").await;
            c.given("leases", lease("a")).await;
            watch.events(3).await;
            watch.quiet().await;
        }),
        case("pods are watched by their phase", |c| async move {
            let made = c.given("pods", bound_pod("a")).await;
            let query = format!("watch=1&fieldSelector=status.phase%3DRunning&resourceVersion={}", made.rv());
            let mut watch = c.watch(&format!("pods?{query}")).await;
            c.given_patch("pods/a/status", json!({"status": {"phase": "Running"}})).await;
            c.given_patch("pods/a/status", json!({"status": {"phase": "Succeeded"}})).await;
            watch.events(2).await;
            watch.quiet().await;
        }),
        case("a watch of one namespace has nothing of another", |c| async move {
            let now = c.moment("leases").await;
            let path = format!("/apis/coordination.k8s.io/v1/namespaces/not-there/leases?watch=1&resourceVersion={now}");
            let mut watch = c.watch(&path).await;
            c.given("leases", lease("a")).await;
            watch.quiet().await;
        }),
        case("a watch over all namespaces has what fits", |c| async move {
            let now = c.moment("leases").await;
            let path = "/apis/coordination.k8s.io/v1/leases?watch=1&labelSelector=conformance%3DNS";
            let mut watch = c.watch(&format!("{path}&resourceVersion={now}")).await;
            c.given("leases", lease("a").labelled(json!({"conformance": "NS"}))).await;
            watch.events(1).await;
        }),
        case("a watch ends when its time is over", |c| async move {
            let mut watch = c.watch("leases?watch=1&timeoutSeconds=1").await;
            watch.end().await;
        }),
        case("a watch from the far past is too old", |c| async move {
            let mut watch = c.watch("pauses?watch=1&resourceVersion=1").await;
            watch.end().await;
        }),
        case("a watch from no version that there can be is refused", |c| async move {
            c.watch("leases?watch=1&resourceVersion=abc").await;
            c.watch("leases?watch=1&resourceVersion=-1").await;
        }),
        case("a list from the future is too large a version", |c| async move {
            c.get("leases?resourceVersion=999999999").await;
        }),
        case("an object from the future is too large a version", |c| async move {
            c.given("leases", lease("a")).await;
            c.get("leases/a?resourceVersion=999999999").await;
        }),
        case("a watch with a selector that is none is 400", |c| async move {
            c.watch("leases?watch=1&labelSelector=a+b").await;
            c.watch("leases?watch=1&fieldSelector=spec.odd%3Da").await;
        }),
        case("versions of two kinds are one order", |c| async move {
            let one = c.post("leases", lease("a")).await;
            let two = c.post("pauses", pause("a")).await;
            let three = c.post("remediationpolicies", policy("a")).await;
            let number = |version: String| version.parse::<u64>().unwrap_or(0);
            c.note("in order", number(one.rv()) < number(two.rv()) && number(two.rv()) < number(three.rv()));
            let mut watch = c.watch(&format!("pauses?watch=1&resourceVersion={}", one.rv())).await;
            watch.quiet().await;
        }),
        case("two watches have the same", |c| async move {
            let now = c.moment("leases").await;
            let mut one = c.watch(&format!("leases?watch=1&resourceVersion={now}")).await;
            let mut two = c.watch(&format!("leases?watch=1&resourceVersion={now}")).await;
            c.given("leases", lease("a")).await;
            c.given("leases", lease("b")).await;
            one.events(2).await;
            two.events(2).await;
        }),
        case("an eviction is an event of its pod", |c| async move {
            c.also(&["metadata.deletionGracePeriodSeconds"]);
            let made = c.given("pods", bound_pod("a")).await;
            let mut watch = c.watch(&format!("pods?watch=1&resourceVersion={}", made.rv())).await;
            let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}});
            c.post("pods/a/eviction", eviction).await;
            watch.quiet().await;
        }),
        case("a watch can be asked for as a Table", |c| async move {
            let made = c.given("pauses", pause("a")).await;
            let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
            let path = format!("pauses?watch=1&timeoutSeconds=1&resourceVersion={}", made.rv());
            c.given_patch("pauses/a", json!({"spec": {"reason": "another"}})).await;
            let answer = c.look_as(Method::GET, &path, accept).await;
            let text = answer.body.as_str().map_or_else(|| answer.body.to_string(), str::to_owned);
            for line in text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
                let object = &line["object"];
                let columns = object["columnDefinitions"].as_array().map_or(0, Vec::len);
                c.note(
                    "event",
                    format!("{} {} columns {columns} row {}", line["type"], object["kind"], object["rows"][0]["object"]["metadata"]["name"]),
                );
            }
        }),
        case("a watch of partial metadata has no spec", |c| async move {
            c.also(&["spec"]);
            let made = c.given("leases", lease("a")).await;
            c.given_patch("leases/a", json!({"metadata": {"labels": {"x": "y"}}})).await;
            let accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json";
            let path = format!("leases?watch=1&timeoutSeconds=1&resourceVersion={}", made.rv());
            let answer = c.look_as(Method::GET, &path, accept).await;
            c.note("event", format!("{} {}", answer.at("/type"), answer.at("/object/kind")));
            c.note("spec", answer.at("/object/spec"));
        }),
    ]
}
