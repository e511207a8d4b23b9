//! The whole loop: a real leak, a real rule, a real Alertmanager, and a pod that is well again.

use std::time::Instant;

use kube::{Api, api::ListParams};
use paramedic::api::{ActionOutcome, AlertPhase, Remediation};
use serde_json::json;

use crate::{
    harness::{Entry, story},
    records::{alert_to_action, confirmed, name},
    story::{Story, seconds},
    wait::{PATIENCE, until},
    workloads::PodRef,
};

pub fn stories() -> Vec<Entry> {
    vec![story("whole_loop::a_leaking_pod_is_evicted_once_and_the_alert_is_resolved", a_leaking_pod).on_the_rig()]
}

/// demo-app leaks → Prometheus → Alertmanager → Paramedic → eviction → the alert is over → the record says so.
async fn a_leaking_pod(story: Story) {
    let readiness = json!({"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1});
    let limits = json!({"limits": {"memory": "512Mi"}, "requests": {"cpu": "10m", "memory": "32Mi"}});
    // The rule asks for a container of this name.
    let app = story.deployment("demo-app").running("demo-app:e2e", &[]);
    let app = app.container("name", json!("demo-app")).container("readinessProbe", readiness);
    let app = app.container("resources", limits).up().await;
    let policy = story
        .policy("MemoryLeakDetected")
        .steps(json!([{"restartPod": {"gracePeriod": "5s"}, "verify": {"within": "3m", "stableFor": "10s"}}]))
        .up()
        .await;
    let (ill, well) = app.two_pods().await;

    let begun = Instant::now();
    leak(&story, &ill).await;
    let record = story.record_under(&policy).patiently(seconds(150)).written().await;
    let alert = &record.spec.alert;
    assert_eq!(alert.labels.get("pod"), Some(ill.name.as_str()), "the alert speaks of the pod that leaks");
    story.figure(format!("leak→alert {} s", begun.elapsed().as_secs()));

    story.expect_only_ended(&[&ill]).await;
    let record = story.record_under(&policy).patiently(seconds(200)).succeeds().await;
    story.figure(format!("leak→succeeded {} s", begun.elapsed().as_secs()));
    let took = alert_to_action(&story, &record).expect("the record has an action");
    story.figure(format!("alert→eviction {took} ms"));
    println!("alert received → eviction: {took} ms");

    assert_eq!(confirmed(&record), Some("True"), "Alertmanager was asked: {:?}", record.status);
    let status = record.status.as_ref().expect("a record that succeeded has a status");
    let entries: Vec<_> = status.journal.iter().map(|entry| (entry.outcome, entry.target.uid.as_str())).collect();
    assert_eq!(entries, [(ActionOutcome::Done, ill.uid.as_str())], "one entry, of the pod that leaked");
    // `stableFor` is 10 s, but the rule's `for` is 30 s and its interval 5 s, as Prometheus says.
    let (ended, acted) = (status.ended_at.expect("it has ended"), status.journal[0].ended_at.expect("it was done"));
    assert!(ended.duration_since(acted).as_secs() >= 40, "acted at {acted}, and a success at {ended} already");
    assert_eq!(status.subject.as_ref().map(|subject| subject.name.as_str()), Some("demo-app"));
    alert_is_over(&story, &record).await;

    let pods = app.pods().await;
    assert!(pods.iter().any(|pod| pod.uid == well.uid), "the pod that was well was left alone");
    assert!(pods.iter().all(|pod| pod.uid != ill.uid), "the pod that leaked is replaced");
    story.expect_only_ended(&[&ill]).await;
    reads_well(&story, &record);
    the_event_is_on_the_pod(&story, &ill).await;
    let records = story.record_under(&policy).all().await.expect("records can be read");
    assert_eq!(records.len(), 1, "one episode, one record: {:?}", records.iter().map(name).collect::<Vec<_>>());
}

async fn leak(story: &Story, pod: &PodRef) {
    let url = format!("http://{}:8080/leak/start", pod.ip);
    let answer = story.world.http.post(url).send().await.expect("demo-app answers");
    assert!(answer.status().is_success(), "demo-app: {}", answer.status());
}

/// The notice that it is resolved reached the record too, or the record was closed before and needs none.
async fn alert_is_over(story: &Story, record: &Remediation) {
    let alertmanager = story.world.alertmanager.as_ref().expect("the rig has an Alertmanager");
    until(PATIENCE, "the alert is over in Alertmanager", || async {
        let firing = alertmanager.firing_in(&story.namespace).await?;
        if firing.is_empty() { Ok(()) } else { Err(format!("{firing:?}")) }
    })
    .await;
    let api: Api<Remediation> = story.world.api(&story.namespace);
    until(PATIENCE, "the record knows that its alert is resolved", || async {
        let list = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let found = list.items.into_iter().find(|other| other.metadata.uid == record.metadata.uid);
        let alert = found.and_then(|record| record.status).and_then(|status| status.alert);
        if alert.as_ref().is_some_and(|alert| alert.state == AlertPhase::Resolved) {
            Ok(())
        } else {
            Err(format!("{alert:?}"))
        }
    })
    .await;
}

fn reads_well(story: &Story, record: &Remediation) {
    let text = story.world.kubectl(&["-n", &story.namespace, "get", "remediations"]).expect("kubectl can list them");
    println!("{text}");
    let header: Vec<&str> = text.lines().next().unwrap_or_default().split_whitespace().collect();
    for column in ["NAME", "POLICY", "ALERT", "TARGET", "PHASE", "REASON", "CONFIRMED", "AGE"] {
        assert!(header.contains(&column), "no column {column}:\n{text}");
    }
    let name = record.metadata.name.as_deref().unwrap_or_default();
    let row = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    for value in ["answer-memoryleakdetected", "MemoryLeakDetected", "demo-app-", "Succeeded", "True"] {
        assert!(row.contains(value), "no {value} in the row of {name}:\n{text}");
    }
}

async fn the_event_is_on_the_pod(story: &Story, pod: &PodRef) {
    let ours = until(PATIENCE, "an Event of Paramedic's on the pod that was evicted", || async {
        let events = story.events_about(&pod.uid).await;
        let by = |event: &k8s_openapi::api::events::v1::Event| event.reporting_controller.clone().unwrap_or_default();
        let ours: Vec<_> = events.iter().filter(|event| by(event).contains("paramedic")).cloned().collect();
        if ours.is_empty() {
            Err(format!("Events by {:?}", events.iter().map(by).collect::<Vec<_>>()))
        } else {
            Ok(ours)
        }
    })
    .await;
    for event in &ours {
        let said = (event.type_.as_deref(), event.reason.as_deref(), event.note.as_deref());
        println!("Event on {}: {said:?}", pod.name);
        assert!(event.action.is_some() && event.reason.is_some(), "an Event says what was done, and why: {event:?}");
        assert_eq!(event.regarding.as_ref().and_then(|object| object.name.as_deref()), Some(pod.name.as_str()));
    }
}
