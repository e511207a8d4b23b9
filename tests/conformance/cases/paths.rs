//! Paths and methods that there are not.

use axum::http::Method;
use serde_json::json;

use crate::{
    objects::{configmap, pause},
    suite::{Case, case},
};

pub fn cases() -> Vec<Case> {
    vec![
        case("a resource that there is not is 404", |c| async move {
            c.get("/api/v1/namespaces/NS/nonsense").await;
            c.get("/apis/apps/v1/namespaces/NS/nonsense/a").await;
            c.get("/apis/paramedic.dev/v1alpha1/namespaces/NS/nonsense").await;
            c.get("/apis/paramedic.dev/v1alpha1/nonsense").await;
        }),
        case("a subresource that there is not is 404", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.get("configmaps/a/nonsense").await;
            c.given("pauses", pause("a")).await;
            c.get("pauses/a/nonsense").await;
        }),
        case("a path of no API is 404", |c| async move {
            for path in ["/nonsense", "/apis/nobody.example.com/v1/things", "/api/v9/pods", "/api/v1/namespaces/NS/pods/a/b/c"] {
                let answer = c.look(path).await;
                c.note(path, answer.status);
            }
        }),
        case("a collection cannot be written as a whole", |c| async move {
            c.put("configmaps", configmap("a")).await;
            c.put("pauses", pause("a")).await;
            c.merge("pauses", json!({})).await;
        }),
        case("a post to a custom object is a creation", |c| async move {
            c.given("pauses", pause("a")).await;
            c.post("pauses/a", pause("a")).await;
        }),
        case("a method that there is not is 405", |c| async move {
            c.given("configmaps", configmap("a")).await;
            c.raw(Method::OPTIONS, "configmaps/a", &[], Vec::new()).await;
        }),
        case("all namespaces can be read, but not created in", |c| async move {
            c.post("/api/v1/configmaps", configmap("a")).await;
            c.post("/apis/paramedic.dev/v1alpha1/pauses", pause("a")).await;
        }),
        case("all namespaces cannot be deleted from at once", |c| async move {
            // With a selector that fits nothing, should it be possible after all.
            c.delete("/apis/coordination.k8s.io/v1/leases?labelSelector=conformance%3Dnothing").await;
        }),
        case("one object is not read without its namespace", |c| async move {
            c.get("/api/v1/configmaps/a").await;
            c.get("/apis/paramedic.dev/v1alpha1/pauses/a").await;
        }),
        case("what is in no namespace is not found in one", |c| async move {
            c.get("/apis/paramedic.dev/v1alpha1/namespaces/NS/clusterremediationpolicies/a").await;
            c.get("/api/v1/namespaces/NS/nodes").await;
        }),
        case("there is no log of a pod that is not there", |c| async move {
            c.get("pods/a/log").await;
        }),
    ]
}
