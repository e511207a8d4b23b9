//! Events: one object under two groups.

use serde_json::{Value, json};

use crate::{
    objects::{With, event},
    suite::{Case, case},
};

const NEW: &str = "/apis/events.k8s.io/v1/namespaces/NS/events";

fn new(name: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": name, "namespace": "NS"},
        "eventTime": "2020-01-01T00:00:00.000000Z", "reportingController": "x.io/conformance", "reportingInstance": "one",
        "action": "Trying", "reason": "Tried", "type": "Warning", "note": "it was tried",
        "regarding": {"apiVersion": "v1", "kind": "Pod", "namespace": "NS", "name": "a"},
    })
}

pub fn cases() -> Vec<Case> {
    vec![
        case("an event of the core group is one of events.k8s.io", |c| async move {
            c.post("events", event("a")).await;
            c.get(&format!("{NEW}/a")).await;
        }),
        case("an event of events.k8s.io is one of the core group", |c| async move {
            c.post(NEW, new("a")).await;
            c.get("events/a").await;
        }),
        case("an event of events.k8s.io must say who reports what", |c| async move {
            for field in ["eventTime", "reportingController", "reportingInstance", "action", "reason", "type"] {
                c.note("without", field);
                c.post(NEW, new("a").with(json!({field: null}))).await;
            }
        }),
        case("an event of the core group need not", |c| async move {
            let little = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"},
                "involvedObject": {"namespace": "NS"}});
            c.post("events", little).await;
        }),
        case("an event of the core group is in the namespace of its object", |c| async move {
            c.post("events", event("a").with(json!({"involvedObject": {"namespace": "another"}}))).await;
            c.post(NEW, new("a").with(json!({"regarding": {"namespace": "another"}}))).await;
        }),
        case("an event about a cluster's object is in the default namespace", |c| async move {
            c.post("events", event("a").with(json!({"involvedObject": {"namespace": null, "kind": "Node"}}))).await;
        }),
        case("an event of events.k8s.io changes in its series alone", |c| async move {
            c.post(NEW, new("a")).await;
            let series = json!({"count": 2, "lastObservedTime": "2020-01-01T00:01:00.000000Z"});
            c.merge(&format!("{NEW}/a"), json!({"series": series})).await;
            c.merge(&format!("{NEW}/a"), json!({"note": "another"})).await;
            c.merge(&format!("{NEW}/a"), json!({"reason": "Another"})).await;
        }),
        case("an event of the core group can be counted up", |c| async move {
            c.given("events", event("a")).await;
            c.merge("events/a", json!({"count": 2, "lastTimestamp": "2020-01-01T00:01:00Z"})).await;
        }),
        case("an event's name can be generated", |c| async move {
            c.post("events", event("").with(json!({"metadata": {"name": null, "generateName": "a."}}))).await;
        }),
        case("an event's note is short", |c| async move {
            c.post(NEW, new("a").with(json!({"note": "x".repeat(1025)}))).await;
            c.post(NEW, new("b").with(json!({"reason": "x".repeat(129), "action": "x".repeat(129)}))).await;
            c.post(NEW, new("c").with(json!({"type": "Odd"}))).await;
        }),
        case("events of events.k8s.io are selected by their own fields", |c| async move {
            c.given(NEW, new("a")).await;
            c.given(NEW, new("b").with(json!({"regarding": {"name": "b"}}))).await;
            c.get(&format!("{NEW}?fieldSelector=regarding.name%3Db")).await;
            c.get(&format!("{NEW}?fieldSelector=involvedObject.name%3Db")).await;
        }),
        case("an event deleted in one group is gone in the other", |c| async move {
            c.given(NEW, new("a")).await;
            c.delete("events/a").await;
            c.get(&format!("{NEW}/a")).await;
        }),
    ]
}
