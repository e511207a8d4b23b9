//! GET of one object and of lists.

use serde_json::json;

use crate::{
    objects::{With, configmap, deployment, lease, pod},
    suite::{Case, case},
};

pub fn cases() -> Vec<Case> {
    vec![
        case("an object is read as it was written", |c| async move {
            c.given("configmaps", configmap("a").labelled(json!({"x": "y"}))).await;
            c.get("configmaps/a").await;
        }),
        case("an object that is not there is 404 with its group and kind", |c| async move {
            c.get("configmaps/a").await;
            c.get("deployments/a").await;
            c.get("remediations/a").await;
            c.get("/api/v1/namespaces/not-there").await;
        }),
        case("a list in a namespace that is not there is empty", |c| async move {
            c.get("/apis/coordination.k8s.io/v1/namespaces/not-there/leases").await;
        }),
        case("an object in a namespace that is not there is 404", |c| async move {
            c.get("/api/v1/namespaces/not-there/pods/a").await;
        }),
        case("a list is in the order of names", |c| async move {
            for name in ["b", "c", "a", "a-b", "a.b"] {
                c.given("leases", lease(name)).await;
            }
            c.get("leases").await;
        }),
        case("an empty list has no items and a resourceVersion", |c| async move {
            c.get("leases").await;
            c.get("pods").await;
            c.get("remediations").await;
        }),
        case("items of a list of built-in kinds have no kind of their own", |c| async move {
            c.given("leases", lease("a")).await;
            let list = c.get("leases").await;
            c.note("kind", list.at("/items/0/kind"));
            c.note("apiVersion", list.at("/items/0/apiVersion"));
        }),
        case("items of a list of custom kinds have their kind", |c| async move {
            c.given("pauses", crate::objects::pause("a")).await;
            let list = c.get("pauses").await;
            c.note("kind", list.at("/items/0/kind"));
            c.note("apiVersion", list.at("/items/0/apiVersion"));
        }),
        case("a list over all namespaces finds the labelled ones", |c| async move {
            let own = c.namespace().to_owned();
            c.given("leases", lease("a").labelled(json!({"conformance": own}))).await;
            c.get("/apis/coordination.k8s.io/v1/leases?labelSelector=conformance%3DNS").await;
        }),
        case("a list over all namespaces by field finds those of one namespace", |c| async move {
            c.given("leases", lease("a")).await;
            c.get("/apis/coordination.k8s.io/v1/leases?fieldSelector=metadata.namespace%3DNS").await;
        }),
        case("a list of version zero is answered", |c| async move {
            c.given("leases", lease("a")).await;
            c.until("leases?resourceVersion=0", "/items/0/metadata/name", json!("a")).await;
            c.get("leases?resourceVersion=0").await;
        }),
        case("a list not older than a version has what that version wrote", |c| async move {
            let first = c.given("leases", lease("a")).await;
            c.get(&format!("leases?resourceVersion={}", first.rv())).await;
            c.get(&format!("leases?resourceVersion={}&resourceVersionMatch=NotOlderThan", first.rv())).await;
        }),
        case("a list at exactly a version does not have what came later", |c| async move {
            let first = c.given("leases", lease("a")).await;
            c.given("leases", lease("b")).await;
            c.given_patch("leases/a", json!({"metadata": {"labels": {"later": "yes"}}})).await;
            c.get(&format!("leases?resourceVersion={}&resourceVersionMatch=Exact", first.rv())).await;
        }),
        case("a list with a match and no version is 422", |c| async move {
            c.get("leases?resourceVersionMatch=NotOlderThan").await;
        }),
        case("a list with an unknown match is refused", |c| async move {
            c.get("leases?resourceVersion=1&resourceVersionMatch=Nearly").await;
        }),
        case("a list exactly at version zero is refused", |c| async move {
            c.get("leases?resourceVersion=0&resourceVersionMatch=Exact").await;
        }),
        case("a version that is no number is 400", |c| async move {
            c.get("leases?resourceVersion=abc").await;
        }),
        case("an object is read at a version that has come", |c| async move {
            let first = c.given("leases", lease("a")).await;
            c.get(&format!("leases/a?resourceVersion={}", first.rv())).await;
            c.until("leases/a?resourceVersion=0", "/metadata/name", json!("a")).await;
            c.get("leases/a?resourceVersion=0").await;
        }),
        case("an unknown query parameter is ignored", |c| async move {
            c.given("leases", lease("a")).await;
            c.get("leases/a?pretty=true&nonsense=1").await;
        }),
        case("a pod is read with the defaults it was given", |c| async move {
            c.also(&["status", "spec.containers", "spec.restartPolicy", "spec.dnsPolicy", "spec.schedulerName"]);
            c.also(&["spec.securityContext", "spec.terminationGracePeriodSeconds", "spec.enableServiceLinks"]);
            c.also(&["spec.preemptionPolicy", "spec.priority", "spec.serviceAccountName", "spec.serviceAccount"]);
            c.given("pods", pod("a")).await;
            c.get("pods/a").await;
        }),
        case("a deployment is read with the defaults it was given", |c| async move {
            c.also(&["spec"]);
            c.given("deployments", deployment("a")).await;
            c.settled("deployments/a").await;
            c.get("deployments/a").await;
        }),
        case("an object can be asked for as partial metadata", |c| async move {
            c.given("leases", lease("a").labelled(json!({"x": "y"}))).await;
            let accept = [("accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json")];
            c.raw(axum::http::Method::GET, "leases/a", &accept, Vec::new()).await;
        }),
        case("a list can be asked for as partial metadata", |c| async move {
            c.given("leases", lease("a").labelled(json!({"x": "y"}))).await;
            let accept =
                [("accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json")];
            c.raw(axum::http::Method::GET, "leases", &accept, Vec::new()).await;
        }),
        case("an accept header that nothing fits is 406", |c| async move {
            c.given("leases", lease("a")).await;
            c.raw(axum::http::Method::GET, "leases/a", &[("accept", "text/html")], Vec::new()).await;
        }),
    ]
}
