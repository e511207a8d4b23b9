//! What the server says that it serves.

use axum::http::Method;
use serde_json::Value;

use crate::{
    suite::{Case, case},
    talk::Talk,
};

/// Writes down what the group says about these resources.
async fn resources(c: &Talk, path: &str, names: &[&str]) {
    let list = c.look(path).await;
    c.note(path, format!("{} {} {}", list.status, list.at("/kind"), list.at("/groupVersion")));
    for name in names {
        let resources = list.at("/resources");
        let found = resources.as_array().into_iter().flatten().find(|resource| resource["name"] == *name);
        let mut found = found.cloned().unwrap_or_default();
        if let Some(found) = found.as_object_mut() {
            found.remove("storageVersionHash");
        }
        for word in found.as_object().into_iter().flatten() {
            c.note(&format!("{name} {}", word.0), word.1);
        }
        if found.is_null() {
            c.note(name, "is not there");
        }
    }
}

/// Writes down those of our group in an aggregated discovery.
fn aggregated(c: &Talk, body: &Value, group: &str) {
    let items = body["items"].as_array().cloned().unwrap_or_default();
    let found = items.iter().find(|item| item["metadata"]["name"] == group || (group.is_empty() && item["metadata"]["name"].is_null()));
    for version in found.into_iter().flat_map(|item| item["versions"].as_array().cloned().unwrap_or_default()) {
        c.note("version", format!("{} {}", version["version"], version["freshness"]));
        for resource in version["resources"].as_array().into_iter().flatten() {
            c.note("resource", resource);
        }
    }
}

pub fn cases() -> Vec<Case> {
    vec![
        case("our group says its kinds", |c| async move {
            let names = [
                "remediationpolicies", "remediationpolicies/status", "clusterremediationpolicies",
                "clusterremediationpolicies/status", "remediations", "remediations/status", "pauses", "pauses/status",
            ];
            resources(&c, "/apis/paramedic.dev/v1alpha1", &names).await;
        }),
        case("our group has one version", |c| async move {
            c.get("/apis/paramedic.dev").await;
        }),
        case("the core group says its kinds", |c| async move {
            let names = [
                "pods", "pods/eviction", "pods/status", "pods/log", "configmaps", "namespaces", "namespaces/status", "events",
                "serviceaccounts", "nodes",
            ];
            resources(&c, "/api/v1", &names).await;
        }),
        case("the other groups say their kinds", |c| async move {
            let apps = ["deployments", "deployments/scale", "deployments/status", "replicasets", "statefulsets", "statefulsets/scale"];
            resources(&c, "/apis/apps/v1", &apps).await;
            resources(&c, "/apis/batch/v1", &["jobs", "jobs/status", "cronjobs", "cronjobs/status"]).await;
            resources(&c, "/apis/policy/v1", &["poddisruptionbudgets", "poddisruptionbudgets/status"]).await;
            resources(&c, "/apis/coordination.k8s.io/v1", &["leases"]).await;
            resources(&c, "/apis/events.k8s.io/v1", &["events"]).await;
        }),
        case("the groups are listed", |c| async move {
            let list = c.look("/apis").await;
            c.note("kind", list.at("/kind"));
            let groups = list.at("/groups");
            for name in ["apps", "batch", "policy", "coordination.k8s.io", "events.k8s.io", "paramedic.dev"] {
                let group = groups.as_array().into_iter().flatten().find(|group| group["name"] == name);
                let group = group.cloned().unwrap_or_default();
                c.note(name, format!("{} {}", group["preferredVersion"], group["versions"]));
            }
        }),
        case("the core's version is listed", |c| async move {
            let list = c.look("/api").await;
            c.note("kind", list.at("/kind"));
            c.note("versions", list.at("/versions"));
        }),
        case("discovery comes in one piece where it is asked for so", |c| async move {
            let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
            let list = c.look_as(Method::GET, "/apis", accept).await;
            c.note("kind", format!("{} {}", list.at("/kind"), list.at("/apiVersion")));
            aggregated(&c, &list.body, "paramedic.dev");
            let list = c.look_as(Method::GET, "/api", accept).await;
            c.note("kind", format!("{} {}", list.at("/kind"), list.at("/apiVersion")));
        }),
        case("a group that is not there is 404", |c| async move {
            let answer = c.look("/apis/nobody.example.com").await;
            c.note("status", answer.status);
            let answer = c.look("/apis/nobody.example.com/v1").await;
            c.note("status", answer.status);
            let answer = c.look("/apis/paramedic.dev/v9").await;
            c.note("status", answer.status);
        }),
        case("the version is said", |c| async move {
            let answer = c.look("/version").await;
            c.note("status", answer.status);
            c.note("major", answer.at("/major"));
            c.note("has a minor", answer.at("/minor").is_string());
            c.note("has a gitVersion", answer.at("/gitVersion").is_string());
        }),
        case("the server says that it is well", |c| async move {
            for path in ["/healthz", "/livez", "/readyz"] {
                let answer = c.look(path).await;
                c.note(path, format!("{} {}", answer.status, answer.body));
            }
        }),
        case("our schemas are in OpenAPI v3", |c| async move {
            let root = c.look("/openapi/v3").await;
            c.note("listed", root.at("/paths/apis~1paramedic.dev~1v1alpha1/serverRelativeURL").is_string());
            let schemas = c.look("/openapi/v3/apis/paramedic.dev/v1alpha1").await;
            c.note("status", schemas.status);
            let schema = schemas.at("/components/schemas/dev.paramedic.v1alpha1.Pause");
            c.note("kind", &schema["x-kubernetes-group-version-kind"]);
            c.note("reason", &schema["properties"]["spec"]["properties"]["reason"]);
            c.note("required", &schema["properties"]["spec"]["required"]);
            let path = schemas.at("/paths/~1apis~1paramedic.dev~1v1alpha1~1namespaces~1{namespace}~1pauses");
            let mut verbs: Vec<&String> = path.as_object().into_iter().flat_map(|path| path.keys()).collect();
            verbs.sort();
            c.note("verbs", format!("{verbs:?}"));
        }),
    ]
}
