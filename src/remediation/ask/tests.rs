//! Two played Alertmanagers and a played Prometheus are asked about one alert, each of them answering, silent or wrong.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::Path, http::StatusCode, routing::get};
use serde_json::{Value, json};

use super::*;
use crate::{
    alert::Labels,
    clients::Endpoint,
    config::Access,
    remediation::fixtures::{DAY, MINUTE, a_record, at, leak_of},
};

/// What one of them answers, by the last part of the path; what it does not say is a 503.
type Said = Arc<Mutex<Vec<(&'static str, Value)>>>;

struct Played {
    said: Said,
    url: String,
}

impl Played {
    async fn new(said: Vec<(&'static str, Value)>) -> Self {
        // Where another test did it already, that is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let said = Arc::new(Mutex::new(said));
        let answers = Arc::clone(&said);
        let handle = move |Path(path): Path<String>| async move {
            let answers = answers.lock().unwrap();
            let known = answers.iter().find(|(name, _)| path.ends_with(name));
            known.map(|(_, answer)| Json(answer.clone())).ok_or(StatusCode::SERVICE_UNAVAILABLE)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/{*path}", get(handle))).await.unwrap() });
        Self { said, url }
    }

    /// From now on it answers so.
    fn says(&self, said: Vec<(&'static str, Value)>) {
        *self.said.lock().unwrap() = said;
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::new(&self.url, Duration::from_secs(1), Access::default()).unwrap()
    }
}

fn alertmanager_knows(alerts: &[(&str, Value)]) -> Vec<(&'static str, Value)> {
    let alert = |(pod, status): &(&str, Value)| json!({ "labels": leak_of(pod), "annotations": {}, "startsAt": at(0), "endsAt": at(600), "status": status });
    let alerts: Vec<Value> = alerts.iter().map(alert).collect();
    vec![("/alerts", json!(alerts)), ("/status", json!({ "uptime": at(-DAY) }))]
}

fn active() -> Value {
    json!({ "state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": [] })
}

fn prometheus_finds(alerts: &[(&str, &str)]) -> Vec<(&'static str, Value)> {
    let alert = |(pod, state): &(&str, &str)| {
        let labels: Labels = leak_of(pod);
        json!({ "labels": labels, "annotations": {}, "state": state, "activeAt": at(-300), "value": "1" })
    };
    let alerts: Vec<Value> = alerts.iter().map(alert).collect();
    let rule = json!({ "name": "MemoryLeak", "type": "alerting", "query": "x", "duration": 60, "labels": {}, "health": "ok",
        "lastEvaluation": at(0), "alerts": alerts });
    let groups = json!({ "status": "success", "data": { "groups": [{ "interval": 15, "rules": [rule] }] } });
    vec![("/rules", groups), ("/runtimeinfo", json!({ "status": "success", "data": { "startTime": at(-DAY) } }))]
}

struct House {
    peers: [Played; 2],
    prometheus: Played,
    monitors: Monitors,
}

impl House {
    /// Nobody knows of an alert.
    async fn quiet() -> Self {
        let peers = [Played::new(alertmanager_knows(&[])).await, Played::new(alertmanager_knows(&[])).await];
        let prometheus = Played::new(prometheus_finds(&[])).await;
        let resend_interval = Duration::from_secs(90);
        let alertmanagers = peers.each_ref().map(|peer| Alertmanager::new(peer.endpoint(), resend_interval)).into();
        let monitors = Monitors { alertmanagers, prometheus: vec![Prometheus::new(prometheus.endpoint())] };
        Self { peers, prometheus, monitors }
    }

    /// What all of them together say about the record's alert, now and of its subject after an action.
    async fn say(&self) -> [Evidence; 2] {
        let spec = a_record().spec;
        let answers = Answers::of(&self.monitors, &spec).await;
        let living =
            LivingSubject { namespace: "shop".to_owned(), name: "cart".to_owned(), pods: vec!["cart-1".to_owned()] };
        [answers.alert(&spec, at(5)), answers.subject(&spec, &living, at(-MINUTE), at(5))]
    }

    async fn query(&self, text: &str) -> QueryNow {
        query(&self.monitors, &a_record().spec, &text.parse().unwrap()).await
    }
}

const CLEAR: Evidence = Evidence::Clear { confirmed: true };

#[tokio::test]
async fn all_are_asked_and_one_that_knows_it_is_enough() {
    let house = House::quiet().await;
    assert_eq!(house.say().await, [CLEAR, CLEAR]);
    house.peers[1].says(alertmanager_knows(&[("cart-1", active())]));
    assert_eq!(house.say().await, [Evidence::Firing, Evidence::Firing], "the second of two peers has it");
    house.peers[0].says(vec![]);
    assert_eq!(house.say().await, [Evidence::Firing, Evidence::Firing], "and the first is down");
    let muted = json!({ "state": "suppressed", "silencedBy": [], "inhibitedBy": [], "mutedBy": ["weekends"] });
    house.peers[1].says(alertmanager_knows(&[("cart-1", muted)]));
    let suppressed = Evidence::Suppressed("the alert is muted by the time interval weekends".to_owned());
    assert_eq!(house.say().await, [suppressed.clone(), suppressed]);
}

#[tokio::test]
async fn a_healthy_evaluation_stands_in_for_a_peer_that_is_down_and_a_silent_prometheus_does_not() {
    let house = House::quiet().await;
    house.peers[0].says(vec![]);
    assert_eq!(house.say().await, [CLEAR, CLEAR]);
    house.prometheus.says(vec![]);
    let [before, after] = house.say().await;
    let Evidence::Unknown(why) = &before else { panic!("{before:?}") };
    assert!(why.contains("503") && why.contains(&house.peers[0].url) && why.contains(&house.prometheus.url), "{why}");
    assert_eq!(before, after);
}

#[tokio::test]
async fn what_fires_at_prometheus_alone_is_not_acted_on_and_not_over_either() {
    let house = House::quiet().await;
    house.prometheus.says(prometheus_finds(&[("cart-1", "firing")]));
    let [before, after] = house.say().await;
    assert_eq!(before, Evidence::Unknown("it fires at Prometheus, and no Alertmanager knows of it".to_owned()));
    assert_eq!(after, Evidence::Firing);
    house.prometheus.says(prometheus_finds(&[("cart-1", "pending")]));
    let [before, after] = house.say().await;
    assert_eq!(before, CLEAR);
    assert!(matches!(after, Evidence::Unknown(_)), "it is about to fire again: {after:?}");
}

#[tokio::test]
async fn the_quiet_that_the_rule_asks_for_is_known_while_its_prometheus_answers() {
    let house = House::quiet().await;
    let quiet = async || Answers::of(&house.monitors, &a_record().spec).await.quiet_for(&a_record().spec);
    assert_eq!(quiet().await, Some(SignedDuration::from_secs(90)));
    house.prometheus.says(vec![]);
    assert_eq!(quiet().await, None);
}

#[tokio::test]
async fn a_query_is_asked_about_the_alerts_labels_and_only_series_are_a_yes() {
    let house = House::quiet().await;
    let left = |values: &[&str]| {
        let series: Vec<Value> = values.iter().map(|value| json!({ "metric": {}, "value": [1.0, value] })).collect();
        vec![("/query", json!({ "status": "success", "data": { "resultType": "vector", "result": series } }))]
    };
    house.prometheus.says(left(&["3"]));
    assert_eq!(house.query("up{pod=\"{{ $labels.pod }}\"} > 2").await, QueryNow::Holds);
    house.prometheus.says(left(&["0"]));
    assert_eq!(house.query("up > bool 2").await, QueryNow::No("it holds for 0 of 1 series".to_owned()));
    house.prometheus.says(left(&[]));
    assert!(matches!(house.query("up > 2").await, QueryNow::Unknown(_)));
    house.prometheus.says(vec![]);
    let QueryNow::Unknown(why) = house.query("up > 2").await else { panic!("nobody answered") };
    assert!(why.contains("503"), "{why}");
    let missing = house.query("up{team=\"{{ $labels.team }}\"} > 2").await;
    assert_eq!(missing, QueryNow::Unknown("the alert has no label `team`, which the query asks for".to_owned()));
    let alone = House { monitors: Monitors { prometheus: vec![], ..house.monitors.clone() }, ..house };
    let QueryNow::Unknown(why) = alone.query("up > 2").await else { panic!("nobody was there to be asked") };
    assert!(why.starts_with("no Prometheus is configured for source "), "{why}");
}
