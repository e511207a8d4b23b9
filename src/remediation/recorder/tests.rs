//! What is durable when the sender is told so.

use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
};

use axum::http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::{api::Phase, policy::Policy, remediation::fixtures::*, triage::record_name};

fn answer(status: Value) -> kube::Error {
    kube::Error::Api(serde_json::from_value(status).unwrap())
}

#[test]
fn what_will_be_the_same_at_the_next_try_does_not_hold_up_its_group() {
    let terminating = json!({ "causes": [{ "reason": "NamespaceTerminating", "message": "", "field": "" }] });
    for (what, status) in [
        ("invalid", json!({ "code": 422, "reason": "Invalid", "message": "" })),
        ("terminating", json!({ "code": 403, "reason": "Forbidden", "message": "", "details": terminating })),
        ("quota", json!({ "code": 403, "reason": "Forbidden", "message": "exceeded quota: records" })),
        ("denied", json!({ "code": 403, "message": "admission webhook \"x\" denied the request: no" })),
        ("no namespace", json!({ "code": 404, "message": "", "details": { "kind": "namespaces", "name": "x" } })),
    ] {
        assert!(is_final(&answer(status)), "{what}");
    }
}

#[test]
fn what_may_be_different_at_the_next_try_is_asked_for_again() {
    for (what, status) in [
        ("roles not read yet", json!({ "code": 403, "reason": "Forbidden", "message": "User cannot create" })),
        ("kind not known yet", json!({ "code": 404, "reason": "NotFound", "message": "" })),
        ("busy", json!({ "code": 429, "message": "" })),
        ("down", json!({ "code": 503, "message": "" })),
    ] {
        assert!(!is_final(&answer(status)), "{what}");
    }
}

// ---- late and double notices

fn firing(began: i64, seen: i64) -> Notice {
    let status = AlertStatus { state: AlertPhase::Firing, last_seen: at(seen), ends_at: None };
    Notice { status, starts_at: at(began) }
}

fn over(began: i64, ended: i64) -> Notice {
    let status = AlertStatus { state: AlertPhase::Resolved, last_seen: at(began), ends_at: Some(at(ended)) };
    Notice { status, starts_at: at(began) }
}

fn on_record(notices: &[Notice]) -> AlertStatus {
    let mut known = None;
    for notice in notices {
        known = merged(known.as_ref(), notice).or(known);
    }
    known.unwrap()
}

#[test]
fn a_firing_notice_that_comes_after_the_resolved_one_opens_nothing_unless_it_began_after_the_end() {
    let resolved = on_record(&[firing(0, 5), over(0, 100)]);
    assert_eq!((resolved.state, resolved.ends_at), (AlertPhase::Resolved, Some(at(100))));
    for (began, seen) in [(0, 101), (0, 5000), (100, 101)] {
        assert_eq!(merged(Some(&resolved), &firing(began, seen)), None, "began at {began}, arrived at {seen}");
    }
    let anew = merged(Some(&resolved), &firing(101, 110)).unwrap();
    assert_eq!((anew.state, anew.last_seen, anew.ends_at), (AlertPhase::Firing, at(110), Some(at(100))));
}

#[test]
fn a_resolved_notice_that_comes_again_does_not_end_what_began_after_it() {
    let anew = on_record(&[over(0, 100), firing(101, 110)]);
    assert_eq!(merged(Some(&anew), &over(0, 100)), None);
    assert_eq!(merged(Some(&anew), &over(0, 90)), None);
    assert_eq!(merged(Some(&anew), &over(101, 200)).unwrap().state, AlertPhase::Resolved);
}

#[test]
fn last_seen_and_ends_at_only_grow() {
    let known = on_record(&[over(0, 100), firing(101, 300), over(101, 250)]);
    assert_eq!((known.last_seen, known.ends_at), (at(300), Some(at(250))));
    assert_eq!(merged(Some(&known), &firing(101, 400)), None);
    assert_eq!(merged(None, &firing(0, 5)), Some(firing(0, 5).status));
}

// ---- what a cache that lags behind does not know

/// An API of Remediations: what is there, and what was asked of it.
#[derive(Default)]
struct Server {
    records: Mutex<Vec<Remediation>>,
    down: bool,
    asked: Mutex<Vec<(Method, String)>>,
}

impl Server {
    fn respond(&self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let name = path.trim_end_matches("/status").rsplit('/').next().unwrap_or_default();
        self.asked.lock().unwrap().push((method.clone(), name.to_owned()));
        if self.down {
            return (500, json!({ "kind": "Status", "code": 500, "message": "down", "reason": "InternalError" }));
        }
        let Some(record) = records.iter_mut().find(|record| record.metadata.name.as_deref() == Some(name)) else {
            let details = json!({ "kind": "remediations", "name": name });
            let status =
                json!({ "kind": "Status", "code": 404, "message": "", "reason": "NotFound", "details": details });
            return (404, status);
        };
        if method == Method::PATCH {
            let applied: Value = serde_json::from_slice(body).unwrap();
            let version = applied["metadata"]["resourceVersion"].as_str();
            if version.is_some_and(|version| record.metadata.resource_version.as_deref() != Some(version)) {
                return (409, json!({ "kind": "Status", "code": 409, "message": "", "reason": "Conflict" }));
            }
            let alert: AlertStatus = serde_json::from_value(applied["status"]["alert"].clone()).unwrap();
            record.status.get_or_insert_default().alert = Some(alert);
            record.metadata.resource_version = Some("100".to_owned());
        }
        (200, serde_json::to_value(&*record).unwrap())
    }

    fn asked(&self) -> Vec<(Method, String)> {
        self.asked.lock().unwrap().clone()
    }
}

struct Replica {
    recorder: Recorder,
    api: Arc<Server>,
}

/// A replica whose cache knows of `known`, and an API that has `there`.
fn replica(api: Server, known: &[RecordFixture]) -> Replica {
    let api = Arc::new(api);
    let answers = Arc::clone(&api);
    let service = tower::service_fn(move |request: Request<Body>| {
        let api = Arc::clone(&answers);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let (code, answer) = api.respond(&parts.method, parts.uri.path(), &body);
            Ok::<_, Infallible>(
                Response::builder().status(code).body(Body::from(answer.to_string().into_bytes())).unwrap(),
            )
        }
    });
    let policies = Arc::new(PolicyStore::default());
    policies.set_resources(vec![policy()]);
    let records = Arc::new(RecordCache::default());
    for record in known {
        records.put(record.object());
    }
    let recorder = Recorder {
        client: Client::new(service, "default"),
        policies,
        records,
        readiness: Readiness::default(),
        clock: Clock::driven(at(120)),
        metrics: Arc::default(),
        own_namespace: "paramedic".to_owned(),
        open_per_policy: 100,
        audit: crate::audit::Audit::default(),
        traces: Traces::default(),
        protections: Protections::default(),
        lost: watch::Sender::default(),
    };
    Replica { recorder, api }
}

fn policy() -> Policy {
    a_policy("restart-cart").build()
}

/// The record that another replica made of the usual alert.
fn made() -> RecordFixture {
    let labels = leak_of("cart-1");
    a_record().named(&record_name(&PolicyKey::from(&policy().reference), "prometheus", Fingerprint::of(&labels), 1))
}

fn with(record: &RecordFixture) -> Server {
    Server { records: Mutex::new(vec![record.object()]), ..Server::default() }
}

impl Replica {
    async fn hears_it_is_over(&self, source: &str) -> AlertOutcome {
        self.hears(source, AlertState::Resolved, at(-60), Some(at(100))).await
    }

    async fn hears(
        &self,
        source: &str,
        state: AlertState,
        starts_at: Timestamp,
        ends_at: Option<Timestamp>,
    ) -> AlertOutcome {
        let labels = leak_of("cart-1");
        let alert = Alert {
            state,
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: std::collections::BTreeMap::default(),
            starts_at,
            ends_at,
            generator_url: None,
        };
        let source = Source { name: source.to_owned(), namespaces: vec!["*".to_owned()], receivers: None };
        let notification = Notification { receiver: "team".to_owned(), alerts: vec![Ok(alert)], truncated: 0 };
        let deadline = Instant::now() + std::time::Duration::from_secs(5);
        let mut report = self.recorder.accept(&source, notification, None, deadline).await;
        report.outcomes.remove(0)
    }

    fn alert_on_record(&self) -> Option<AlertStatus> {
        self.api.records.lock().unwrap()[0].status.clone()?.alert
    }
}

#[tokio::test(start_paused = true)]
async fn a_resolved_notice_that_overtakes_the_news_of_its_record_is_written_all_the_same() {
    let replica = replica(with(&made()), &[]);
    let outcome = replica.hears_it_is_over("prometheus").await;
    assert_eq!((outcome.outcome, outcome.remediations.len()), (Outcome::Resolved, 1));
    let written = replica.alert_on_record().unwrap();
    assert_eq!((written.state, written.ends_at), (AlertPhase::Resolved, Some(at(100))));
}

#[tokio::test(start_paused = true)]
async fn where_no_record_was_made_one_question_is_asked_and_nothing_is_written() {
    let replica = replica(Server::default(), &[]);
    let outcome = replica.hears_it_is_over("prometheus").await;
    assert_eq!((outcome.outcome, outcome.remediations.len()), (Outcome::Resolved, 0));
    assert_eq!(replica.api.asked(), [(Method::GET, made().key.name)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_here_is_not_asked_for() {
    let open = replica(with(&made()), &[made()]);
    assert_eq!(open.hears_it_is_over("prometheus").await.outcome, Outcome::Resolved);
    assert_eq!(open.api.asked(), [(Method::PATCH, made().key.name)]);
    let over = made().in_phase(Phase::Succeeded, 110);
    let over = replica(with(&over), std::slice::from_ref(&over));
    assert_eq!(over.hears_it_is_over("prometheus").await.outcome, Outcome::Resolved);
    assert_eq!(over.api.asked(), []);
}

#[tokio::test(start_paused = true)]
async fn an_api_that_cannot_say_whether_there_is_a_record_makes_the_sender_come_again() {
    let down = replica(Server { down: true, ..Server::default() }, &[]);
    assert_eq!(down.hears_it_is_over("prometheus").await.outcome, Outcome::NotDurable);
    let behind = replica(with(&made().in_phase(Phase::Skipped, 50)), &[]);
    assert_eq!(behind.hears_it_is_over("prometheus").await.outcome, Outcome::NotDurable);
    assert_eq!(behind.hears_it_is_over("prometheus").await.outcome, Outcome::Resolved, "it has caught up");
}

#[tokio::test(start_paused = true)]
async fn alerts_that_were_left_out_are_told_of() {
    let replica = replica(Server::default(), &[]);
    let source = Source { name: "prometheus".to_owned(), namespaces: vec!["*".to_owned()], receivers: None };
    let mut lost = replica.recorder.lost.subscribe();
    for (truncated, told) in [(0, false), (3, true), (0, false)] {
        let notification = Notification { receiver: "team".to_owned(), alerts: Vec::new(), truncated };
        replica.recorder.accept(&source, notification, None, Instant::now()).await;
        assert_eq!(lost.has_changed().unwrap(), told, "{truncated}");
        lost.mark_unchanged();
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_speaks_for_its_own_records_only() {
    let replica = replica(with(&made()), &[made()]);
    assert_eq!(replica.hears_it_is_over("another").await.outcome, Outcome::Resolved);
    assert_eq!(replica.alert_on_record(), None);
}

#[tokio::test(start_paused = true)]
async fn a_firing_alert_whose_record_has_ended_unseen_is_asked_for_again() {
    let replica = replica(with(&made().version(7).in_phase(Phase::Skipped, 50)), &[made().version(3)]);
    let heard = async || replica.hears("prometheus", AlertState::Firing, at(110), None).await.outcome;
    assert_eq!(heard().await, Outcome::NotDurable, "it began after the end, and has no record");
    let posts = || replica.api.asked().iter().filter(|(method, _)| method == Method::POST).count();
    assert_eq!(posts(), 0);
    heard().await;
    assert_eq!(posts(), 1, "what is known has caught up, and a new record is made");
}

// ---- a record that was deleted, though the cache has it

#[tokio::test]
async fn a_record_that_is_gone_does_not_speak_for_an_alert_that_fires() {
    let replica = replica(Server::default(), &[made()]);
    let first = replica.hears("prometheus", AlertState::Firing, at(-60), None).await;
    assert_eq!(first.outcome, Outcome::NotDurable, "{first:?}");
    assert!(replica.recorder.records.index().is_empty(), "the sender comes again, and finds no record");
}

#[tokio::test]
async fn a_record_that_is_gone_needs_no_end() {
    let replica = replica(Server::default(), &[made()]);
    let over = replica.hears_it_is_over("prometheus").await;
    assert_eq!(over.outcome, Outcome::Resolved, "{over:?}");
}
