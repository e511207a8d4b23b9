//! One trace from an alert's webhook to the end of its remediation, over replicas that are processes of their own; and that
//! nothing depends on it.
#![allow(clippy::unwrap_used, reason = "what does not go as it should fails the story")]

mod house;

use std::{collections::BTreeMap, time::Duration};

use paramedic::{api::Phase, clients::collector::otlp::StatusCode};
use serde_json::json;

use house::{House, Seen};

const SENDERS_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDERS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

const WORKS: &str = "the work begins";
const FOLLOWS: &str = "the caches are synced";

#[test]
fn one_trace_goes_from_the_webhook_to_the_end_over_two_replicas() {
    let house = House::new();
    let first = house.starts("paramedic-0", &house.traced(), WORKS);
    let second = house.starts("paramedic-1", &house.traced(), FOLLOWS);
    let pod = house.pods().remove(0);
    // One takes the alert in, the other one acts, and then the first of them has to see to the end.
    house.tells(&second, "firing", &pod, Some(SENDERS));
    house.is(&pod, Phase::Verifying);
    first.ends();
    house.tells(&second, "resolved", &pod, None);
    house.is(&pod, Phase::Succeeded);
    second.ends();

    let seen = house.collector.seen();
    let trace: Vec<&Seen> = seen.iter().filter(|seen| seen.trace() == SENDERS_TRACE).collect();
    let by_name: BTreeMap<&str, &Seen> = trace.iter().map(|seen| (seen.span.name.as_str(), *seen)).collect();
    assert_eq!(by_name.len(), trace.len(), "each once: {trace:#?}");
    // What, below what, told by whom.
    let family: Vec<_> = [
        ("POST /webhook", "paramedic-1"),
        ("triage", "paramedic-1"),
        ("create Remediation", "paramedic-1"),
        ("remediation", "paramedic-1"),
        ("admission", "paramedic-0"),
        ("restartPod", "paramedic-0"),
        ("restartPod request", "paramedic-0"),
        ("verification", "paramedic-1"),
    ]
    .into();
    assert_eq!(by_name.len(), family.len(), "{:?}", by_name.keys());
    for (name, instance) in &family {
        assert_eq!(by_name[name].instance, *instance, "{name}");
    }
    let below = |name: &str| {
        by_name.values().find(|seen| seen.id() == by_name[name].parent()).map(|seen| seen.span.name.as_str())
    };
    assert_eq!(by_name["POST /webhook"].parent(), "00f067aa0ba902b7", "the sender's span");
    for (name, parent) in [
        ("triage", "POST /webhook"),
        ("create Remediation", "triage"),
        ("remediation", "create Remediation"),
        ("admission", "remediation"),
        ("restartPod", "remediation"),
        ("restartPod request", "restartPod"),
        ("verification", "remediation"),
    ] {
        assert_eq!(below(name), Some(parent), "{name}");
    }

    let whole = by_name["remediation"];
    let ok = |seen: &Seen| seen.span.status.as_ref().is_some_and(|status| status.code == i32::from(StatusCode::Ok));
    assert!(ok(whole) && ok(by_name["restartPod"]));
    assert_eq!(whole.says("paramedic.phase").as_deref(), Some("Succeeded"));
    assert_eq!(whole.says("k8s.pod.name"), Some(pod.clone()));
    for (name, within) in [("admission", whole), ("verification", whole), ("restartPod request", by_name["restartPod"])]
    {
        let (span, within) = (&by_name[name].span, &within.span);
        assert!(span.start_time_unix_nano >= within.start_time_unix_nano, "{name}");
        assert!(span.end_time_unix_nano <= within.end_time_unix_nano, "{name}");
    }
    let checks = by_name["admission"].span.events.iter().filter(|event| event.name == "check").count();
    assert!(checks > 5, "{:?}", by_name["admission"].span.events);
    assert_eq!(by_name["POST /webhook"].says("http.response.status_code").as_deref(), Some("200"));

    // The notice that it is over came without a trace, and began one.
    let others: Vec<&Seen> = seen.iter().filter(|seen| seen.trace() != SENDERS_TRACE).collect();
    assert!(others.iter().any(|seen| seen.span.name == "POST /webhook" && seen.parent().is_empty()), "{others:#?}");
    assert!(!format!("{seen:?}").contains("a-secret"), "an annotation");
    let keys = house.collector.keys();
    assert!(!keys.is_empty() && keys.iter().all(|key| key == "opensesame"), "{keys:?}");
}

#[test]
fn what_a_sender_says_of_traces_is_believed_only_as_far_as_it_is_understood() {
    let house = House::new();
    let replica = house.starts("paramedic-0", &house.traced(), WORKS);
    let pods = house.pods();
    let traceparents = [
        Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01; DROP TABLE"),
        Some("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
        // Well-formed, and not recorded by its sender.
        Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
    ];
    for (pod, traceparent) in pods.iter().zip(traceparents) {
        house.tells(&replica, "firing", pod, traceparent);
    }
    let on_record = |pod: &str| house.record(pod).unwrap().spec.traceparent;
    for pod in &pods[..2] {
        let own = on_record(pod).unwrap();
        assert!(own.len() == 55 && !own.contains("4bf92f35"), "{own}");
    }
    assert_eq!(on_record(&pods[2]), None);
    house.is(&pods[0], Phase::Verifying);
    replica.ends();
    let seen = house.collector.seen();
    let requests: Vec<_> = seen.iter().filter(|seen| seen.span.name == "POST /webhook").collect();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|seen| seen.parent().is_empty() && seen.trace() != SENDERS_TRACE), "{requests:#?}");
}

#[test]
fn a_collector_that_is_down_changes_nothing() {
    let house = House::new();
    // A port that nobody listens on.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let replica = house.starts("paramedic-0", &json!({ "endpoint": format!("http://{nobody}") }), WORKS);
    let pod = house.pods().remove(0);
    house.tells(&replica, "firing", &pod, Some(SENDERS));
    house.is(&pod, Phase::Verifying);
    house.tells(&replica, "resolved", &pod, None);
    house.is(&pod, Phase::Succeeded);
    house.until("a line about the collector", || replica.log().contains("the collector does not get all traces"));
    assert!(!house.metrics(&replica).contains(r#"outcome="Sent"}"#));
    let log = replica.log();
    let took = replica.ends();
    assert!(took < Duration::from_secs(8), "it ended after {took:?}");
    assert_eq!(log.matches("the collector").count(), 1, "{log}");
}

#[test]
fn without_a_collector_nothing_is_traced() {
    let house = House::new();
    let replica = house.starts("paramedic-0", &json!({}), WORKS);
    let pod = house.pods().remove(0);
    house.tells(&replica, "firing", &pod, Some(SENDERS));
    assert_eq!(house.record(&pod).unwrap().spec.traceparent, None);
    house.is(&pod, Phase::Verifying);
    assert!(!house.metrics(&replica).contains("paramedic_trace_spans_total"));
    replica.ends();
    assert_eq!(house.collector.seen().len(), 0);
}
