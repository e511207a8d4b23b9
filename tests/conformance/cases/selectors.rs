//! Label and field selectors of lists.

use std::fmt::Write;

use serde_json::json;

use crate::{
    objects::{With, bound_pod, event, job, lease, pause, pod},
    suite::{Case, case},
    talk::Talk,
};

/// Four leases: two in the tier web, one in the tier data, one without a label.
async fn leases(c: &Talk) {
    c.given("leases", lease("a").labelled(json!({"tier": "web", "number": "1"}))).await;
    c.given("leases", lease("b").labelled(json!({"tier": "web", "number": "5", "x.io/new": ""}))).await;
    c.given("leases", lease("c").labelled(json!({"tier": "data"}))).await;
    c.given("leases", lease("d")).await;
}

fn encoded(selector: &str) -> String {
    selector.bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "%{byte:02X}");
        text
    })
}

/// Writes down which names each selector finds, or how it is refused.
async fn names(c: &Talk, path: &str, parameter: &str, selectors: &[&str]) {
    for selector in selectors {
        let answer = c.look(&format!("{path}?{parameter}={}", encoded(selector))).await;
        let found: Vec<String> = answer
            .at("/items")
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| item["metadata"]["name"].as_str().unwrap_or("-").to_owned())
            .collect();
        let reason = answer.at("/reason").as_str().unwrap_or_default().to_owned();
        c.note(&format!("{path} {parameter} {selector:?}"), format!("{} {reason}{found:?}", answer.status));
    }
}

pub fn cases() -> Vec<Case> {
    vec![
        case("labels are equal or not", |c| async move {
            leases(&c).await;
            let selectors = ["tier=web", "tier==web", "tier!=web", "tier=", "x.io/new=", "tier=nothing", " tier = web "];
            names(&c, "leases", "labelSelector", &selectors).await;
        }),
        case("labels are in a set or not", |c| async move {
            leases(&c).await;
            let selectors = ["tier in (web)", "tier in (web,data)", "tier in (web, )", "tier notin (web)", "tier notin (web,data)"];
            names(&c, "leases", "labelSelector", &selectors).await;
        }),
        case("labels are there or not", |c| async move {
            leases(&c).await;
            names(&c, "leases", "labelSelector", &["tier", "!tier", "x.io/new", "!x.io/new", "none", "!none"]).await;
        }),
        case("labels are numbers above or below", |c| async move {
            leases(&c).await;
            names(&c, "leases", "labelSelector", &["number>3", "number<3", "number>0", "number>a", "tier>1"]).await;
        }),
        case("several requirements all hold", |c| async move {
            leases(&c).await;
            let selectors = ["tier=web,number=5", "tier,!number", "tier in (web,data),number!=1", "tier=web,tier=data", ""];
            names(&c, "leases", "labelSelector", &selectors).await;
        }),
        case("a label selector that is none is 400, but an empty set fits nothing", |c| async move {
            leases(&c).await;
            let selectors = [
                "=", "tier in web", "tier in ()", "tier in (", "a b", "tier=web,", ",", "!", "tier=a b", "a/b/c", "-a=b",
                "tier=*", "tier===web", "tier notin", "()", "tier=web;x",
            ];
            names(&c, "leases", "labelSelector", &selectors).await;
        }),
        case("a label selector that is none answers with a Status", |c| async move {
            c.get("leases?labelSelector=a+b").await;
            c.get("pauses?labelSelector=a+b").await;
        }),
        case("every kind has the fields name and namespace", |c| async move {
            leases(&c).await;
            let own = format!("metadata.namespace={}", c.namespace());
            let selectors = ["metadata.name=a", "metadata.name==a", "metadata.name!=a", "metadata.name=none", own.as_str()];
            names(&c, "leases", "fieldSelector", &selectors).await;
            c.given("pauses", pause("a")).await;
            c.given("pauses", pause("b")).await;
            names(&c, "pauses", "fieldSelector", &["metadata.name=a", "metadata.name!=a", "metadata.namespace!=x"]).await;
        }),
        case("a field that a kind does not have is 400", |c| async move {
            let selectors = ["metadata.uid=a", "spec.holderIdentity=a", "metadata.labels=a", "name=a", "metadata.name"];
            names(&c, "leases", "fieldSelector", &selectors).await;
            names(&c, "pauses", "fieldSelector", &["spec.reason=a", "status.phase=a", "metadata.name="]).await;
            names(&c, "deployments", "fieldSelector", &["status.replicas=0", "spec.replicas=0", "metadata.name=a"]).await;
            names(&c, "configmaps", "fieldSelector", &["data.key=value"]).await;
        }),
        case("a field selector that is none answers with a Status", |c| async move {
            c.get("leases?fieldSelector=metadata.uid%3Da").await;
            c.get("pauses?fieldSelector=spec.reason%3Da").await;
        }),
        case("pods are selected by node, phase and more", |c| async move {
            c.given("pods", pod("a").with(json!({"spec": {"restartPolicy": "Never"}}))).await;
            c.given("pods", bound_pod("b")).await;
            c.given_patch("pods/b/status", json!({"status": {"phase": "Running", "podIP": "10.1.2.3"}})).await;
            let selectors = [
                "spec.nodeName=nowhere", "spec.nodeName=", "spec.nodeName!=nowhere", "status.phase=Running",
                "status.phase!=Running", "spec.restartPolicy=Never", "spec.schedulerName=nobody",
                "spec.serviceAccountName=default", "status.podIP=10.1.2.3", "spec.hostNetwork=false",
                "status.nominatedNodeName=", "status.phase=Running,spec.nodeName=nowhere", "status.phase=Running,metadata.name=a",
                "spec.priority=0", "status.qosClass=BestEffort",
            ];
            names(&c, "pods", "fieldSelector", &selectors).await;
        }),
        case("jobs are selected by success", |c| async move {
            c.given("jobs", job("a")).await;
            names(&c, "jobs", "fieldSelector", &["status.successful=0", "status.successful=1", "status.active=0"]).await;
        }),
        case("events are selected by their object and reason", |c| async move {
            c.given("events", event("a")).await;
            c.given("events", event("b").with(json!({"type": "Warning", "involvedObject": {"name": "b"}}))).await;
            let selectors = [
                "involvedObject.name=a", "involvedObject.kind=Pod", "involvedObject.kind=Pod,involvedObject.name=b",
                "involvedObject.namespace=x", "involvedObject.uid=", "involvedObject.apiVersion=v1", "reason=Tried",
                "type=Warning", "type!=Warning", "source=conformance", "reportingComponent=", "involvedObject.fieldPath=", "count=1",
            ];
            names(&c, "events", "fieldSelector", &selectors).await;
        }),
        case("namespaces are selected by name and phase", |c| async move {
            let own = format!("metadata.name={}", c.namespace());
            let selectors = [own.as_str(), "metadata.name=not-there", "status.phase=Nothing", "spec.finalizers=x"];
            names(&c, "namespaces", "fieldSelector", &selectors).await;
        }),
        case("labels and fields hold together", |c| async move {
            leases(&c).await;
            c.get("leases?labelSelector=tier%3Dweb&fieldSelector=metadata.name%3Db").await;
        }),
    ]
}
