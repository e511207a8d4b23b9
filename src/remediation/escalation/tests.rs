use futures::future::BoxFuture;
use kube::client::Body;
use reqwest::Url;

use super::*;
use crate::remediation::Reviewer;
use crate::{
    api::{FailureAlert, OnFailure, Reason},
    clients::{Alertmanager, Cause, InProcess, Monitors},
    clock::Clock,
    remediation::fixtures::*,
};

fn on_failure() -> OnFailure {
    let labels = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
    OnFailure { alert: FailureAlert { severity: "page".to_owned(), labels } }
}

/// A record that failed so many seconds after its alert arrived.
fn failed(name: &str, seconds: i64) -> Remediation {
    let mut record = a_record().named(name).in_phase(Phase::Failed, seconds).object();
    record.spec.on_failure = Some(on_failure());
    let status = record.status.as_mut().unwrap();
    status.reason = Some(Reason::NotHelped);
    status.message = Some("not healthy in time; there is no further step".to_owned());
    status.target = Some(pod("cart-1"));
    status.subject = Some(deployment("cart"));
    status.ended_at = Some(at(seconds));
    record
}

fn newest(record: &Remediation, ended_at: Option<i64>) -> Newest {
    Newest {
        key: ObjectKey::of(record),
        episode: record.spec.episode,
        starts_at: record.spec.alert.starts_at,
        ended_at: ended_at.map(at),
        resolved_at: None,
        last_seen: at(0),
        refused_under: None,
        cancelled_under: None,
    }
}

#[test]
fn it_is_told_until_the_trouble_is_over_or_a_day_has_passed() {
    let record = failed("one", 100);
    let own = newest(&record, Some(100));
    let over = |newest: Option<&Newest>, evidence: &Evidence, now| is_over(&record, newest, evidence, at(now));
    assert!(!over(Some(&own), &Evidence::Firing, 200));
    assert!(over(Some(&own), &Evidence::Clear { confirmed: true }, 200));
    for unknown in [Evidence::Unasked, Evidence::Unknown("no answer".into()), Evidence::Suppressed("silenced".into())] {
        assert!(!over(Some(&own), &unknown, 200), "{unknown:?} is no sign that it is over");
    }
    assert!(over(Some(&own), &Evidence::Firing, 100 + DAY), "a day has passed");
    assert!(over(None, &Evidence::Firing, 200), "the record was deleted");

    let next = failed("two", 900);
    assert!(!over(Some(&newest(&next, None)), &Evidence::Firing, 800), "the next episode is still open");
    assert!(over(Some(&newest(&next, Some(900))), &Evidence::Firing, 901), "it speaks for itself");
}

#[test]
fn only_what_failed_and_wants_to_be_told_is() {
    let record = failed("one", 100);
    assert!(concerns(&record, at(200)));
    let mut quiet = record.clone();
    quiet.spec.on_failure = None;
    assert!(!concerns(&quiet, at(200)));
    let mut well = record;
    well.status.as_mut().unwrap().phase = Phase::Succeeded;
    assert!(!concerns(&well, at(200)));
}

#[test]
fn an_alert_says_what_failed_and_is_the_same_for_every_episode() {
    let alert = raised(&failed("one", 100), at(200)).unwrap();
    insta::assert_yaml_snapshot!(alert, @r#"
    labels:
      alertname: ParamedicRemediationFailed
      failed_alert: MemoryLeak
      failed_fingerprint: f535c64b9b8070b6
      namespace: shop
      policy: shop/restart-cart
      raised_by: paramedic
      severity: page
      team: shop
    annotations:
      description: not healthy in time; there is no further step
      remediation: shop/one
      runbook: kubectl -n shop get remediation one -o yaml
      summary: "MemoryLeak of Deployment shop/cart was not remedied: NotHelped"
    startsAt: "2026-03-01T12:01:40Z"
    endsAt: "2026-03-01T12:08:20Z"
    "#);
    let next = raised(&failed("two", 900), at(1000)).unwrap();
    assert_eq!(alert.labels, next.labels);
    assert_eq!(alert.labels[RAISED_BY_LABEL], RAISED_BY_PARAMEDIC, "intake never matches it");
}

/// An Alertmanager that remembers what it was sent.
#[derive(Clone, Default)]
struct Peer {
    posted: Arc<Mutex<Vec<String>>>,
    fires: Arc<Mutex<bool>>,
    down: bool,
}

impl InProcess for Peer {
    fn get(&self, url: Url) -> BoxFuture<'_, Result<Vec<u8>, Cause>> {
        let fires = *self.fires.lock().unwrap();
        Box::pin(async move {
            let alert = serde_json::json!({
                "labels": leak_of("cart-1"), "startsAt": at(0), "status": { "state": "active" },
            });
            Ok(match url.path() {
                "/api/v2/status" => serde_json::json!({ "uptime": at(-HOUR) }).to_string().into_bytes(),
                _ => serde_json::json!(if fires { vec![alert] } else { vec![] }).to_string().into_bytes(),
            })
        })
    }

    fn post(&self, _: Url, body: Vec<u8>) -> BoxFuture<'_, Result<(), Cause>> {
        Box::pin(async move {
            if self.down {
                return Err("connection refused".into());
            }
            self.posted.lock().unwrap().push(String::from_utf8(body).unwrap());
            Ok(())
        })
    }
}

fn escalator(peers: &[&Peer], clock: &Clock) -> Escalator {
    let refuse = tower::service_fn(async |_: axum::http::Request<Body>| {
        Err::<axum::http::Response<Body>, _>(std::io::Error::other("nothing asks the API here"))
    });
    let minute = Duration::from_mins(1);
    let peers = peers.iter().enumerate();
    let peers = peers.map(|(number, peer)| {
        let peer: Arc<dyn InProcess> = Arc::new(Peer::clone(peer));
        Alertmanager::in_process(&format!("http://am-{number}"), peer, minute, minute)
    });
    let monitors = Monitors { alertmanagers: peers.collect(), prometheus: Vec::new() };
    let client = kube::Client::new(refuse, "default");
    let looker = Looker {
        reviewer: Reviewer::new(client.clone()),
        census: crate::target::Census::new(client.clone()),
        client,
        monitors: Arc::new([(a_record().object().spec.source, monitors)].into()),
        own_namespace: "paramedic".to_owned(),
        protected: Arc::default(),
        evidence_max_age: minute,
        clock: clock.clone(),
    };
    let (escalations, records, metrics) = (Escalations::default(), Arc::default(), Arc::default());
    Escalator { escalations, looker, records, metrics }
}

#[tokio::test(start_paused = true)]
async fn every_peer_is_told_again_and_again_and_when_it_is_over() {
    let (one, other) = (Peer::default(), Peer::default());
    let clock = Clock::driven(at(200));
    let escalator = escalator(&[&one, &other], &clock);
    *one.fires.lock().unwrap() = true;
    let record = failed("one", 100);
    escalator.records.put(record.clone());
    let outage = Outage::of("telling");
    let sent = escalator.round(Sent::new(), &outage).await;
    assert!(sent.is_empty() && one.posted.lock().unwrap().is_empty(), "who does not lead tells nobody");

    escalator.escalations.begin([&record], at(200));
    let sent = escalator.round(sent, &outage).await;
    let sent = escalator.round(sent, &outage).await;
    for peer in [&one, &other] {
        let posted = peer.posted.lock().unwrap();
        assert_eq!(posted.len(), 2, "each peer, each time");
        assert!(posted.iter().all(|body| body.contains("\"endsAt\":\"2026-03-01T12:08:20Z\"")), "{posted:?}");
    }
    assert!(escalator.metrics.render().unwrap().contains("paramedic_escalations 1"));

    *one.fires.lock().unwrap() = false;
    let sent = escalator.round(sent, &outage).await;
    assert!(sent.is_empty());
    let posted = other.posted.lock().unwrap().clone();
    assert!(posted[2].contains("\"endsAt\":\"2026-03-01T12:03:20Z\""), "it is over: {posted:?}");
    escalator.round(sent, &outage).await;
    assert_eq!(other.posted.lock().unwrap().len(), 3, "that is said once");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_goes_ends_nothing_and_the_next_one_goes_on_from_the_records() {
    let peer = Peer::default();
    *peer.fires.lock().unwrap() = true;
    let clock = Clock::driven(at(200));
    let outage = Outage::of("telling");
    let record = failed("one", 100);
    let old = escalator(&[&peer], &clock);
    old.records.put(record.clone());
    old.escalations.begin([], at(100));
    old.escalations.ended(&record, at(101));
    let sent = old.round(Sent::new(), &outage).await;
    assert_eq!(sent.len(), 1);
    old.escalations.leave();
    assert!(old.round(sent, &outage).await.is_empty());
    assert_eq!(peer.posted.lock().unwrap().len(), 1, "nothing was resolved");

    let new = escalator(&[&peer], &clock);
    new.records.put(record.clone());
    new.escalations.begin([&record], at(200));
    assert_eq!(new.round(Sent::new(), &outage).await.len(), 1);
    let posted = peer.posted.lock().unwrap().clone();
    assert_eq!(posted[0], posted[1], "the same alert");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_down_is_counted_and_the_other_is_told() {
    let (up, down) = (Peer::default(), Peer { down: true, ..Peer::default() });
    *up.fires.lock().unwrap() = true;
    let clock = Clock::driven(at(200));
    let escalator = escalator(&[&down, &up], &clock);
    let record = failed("one", 100);
    escalator.records.put(record.clone());
    escalator.escalations.begin([&record], at(200));
    escalator.round(Sent::new(), &Outage::of("telling")).await;
    assert_eq!(up.posted.lock().unwrap().len(), 1);
    assert!(escalator.metrics.render().unwrap().contains("paramedic_escalation_failures_total 1"));
}
