//! What is made of Prometheus' answers, and of those of what speaks like it. Against a server on loopback.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::RawQuery as Asked, http::StatusCode, routing::get};
use serde_json::{Value, json};

use super::*;
use crate::config::Access;

/// A server that gives this answer to everything, and keeps what it was asked.
async fn answers(status: u16, body: Value) -> (Prometheus, Arc<Mutex<Vec<String>>>) {
    // Where another test did it already, that is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&asked);
    let handle = move |Asked(query): Asked| async move {
        kept.lock().unwrap().push(query.unwrap_or_default());
        (StatusCode::from_u16(status).unwrap(), Json(body))
    };
    let router = Router::new().route("/prom/api/v1/{*path}", get(handle));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/prom/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let endpoint = Endpoint::new(&url, Duration::from_secs(1), Access::default()).unwrap();
    (Prometheus::new(endpoint), asked)
}

async fn said(status: u16, body: Value) -> Result<QueryResult, String> {
    let (prometheus, _) = answers(status, body).await;
    let url = prometheus.url().to_owned();
    prometheus.query("up").await.map_err(|error| error.to_string().replace(&url, "URL"))
}

fn vector(values: &[&str]) -> Value {
    let series: Vec<Value> = values.iter().map(|value| json!({ "metric": {}, "value": [1.5, value] })).collect();
    json!({ "status": "success", "data": { "resultType": "vector", "result": series } })
}

/// As Prometheus 2.53 answers.
fn rules() -> Value {
    let alert = |pod: &str, state: &str| {
        json!({ "labels": { "alertname": "Leak", "pod": pod }, "annotations": {}, "state": state,
            "activeAt": "2026-03-01T12:00:00.123456789+01:00", "value": "1e+00" })
    };
    json!({ "status": "success", "data": { "groups": [{
        "name": "shop", "file": "/rules.yaml", "interval": 30, "limit": 0, "evaluationTime": 0.1,
        "lastEvaluation": "2026-03-01T12:00:00Z",
        "rules": [
            { "name": "Leak", "type": "alerting", "state": "firing", "query": "leak > 1", "duration": 120,
              "keepFiringFor": 0, "labels": { "severity": "critical" }, "annotations": {}, "health": "ok",
              "evaluationTime": 0.1, "lastEvaluation": "2026-03-01T12:05:00Z",
              "alerts": [alert("cart-1", "firing"), alert("cart-2", "pending")] },
            { "name": "Leaking", "type": "alerting", "query": "x", "duration": 0, "labels": {}, "health": "ok",
              "lastEvaluation": "2026-03-01T12:05:00Z", "alerts": [] },
            { "name": "Leak", "type": "recording", "query": "x", "health": "ok" },
        ],
    }] } })
}

#[tokio::test]
async fn a_rule_is_read_with_its_for_its_interval_and_its_alerts() {
    let (prometheus, asked) = answers(200, rules()).await;
    let found = prometheus.rules("Leak").await.unwrap();
    assert_eq!(asked.lock().unwrap()[..], ["type=alert&rule_name%5B%5D=Leak"]);
    let [rule] = &found[..] else { panic!("{found:?}") };
    assert_eq!((rule.pending_for, rule.interval), (Duration::from_mins(2), Duration::from_secs(30)));
    assert_eq!((rule.health.clone(), rule.evaluated_at), (Ok(()), Some("2026-03-01T12:05:00Z".parse().unwrap())));
    assert_eq!(rule.labels.get("severity"), Some("critical"));
    let seen = |index: usize| (rule.alerts[index].labels.get("pod"), rule.alerts[index].firing);
    assert_eq!([seen(0), seen(1)], [(Some("cart-1"), true), (Some("cart-2"), false)]);
    assert_eq!(rule.alerts[0].active_at, "2026-03-01T11:00:00.123456789Z".parse::<Timestamp>().unwrap());
}

#[tokio::test]
async fn what_leaves_fields_out_is_read_as_knowing_less() {
    let sparse = json!({ "status": "success", "data": { "groups": [{ "rules": [{ "name": "Leak" }] }] } });
    let (prometheus, _) = answers(200, sparse).await;
    let [rule] = &prometheus.rules("Leak").await.unwrap()[..] else { panic!("one rule") };
    assert_eq!(rule.health, Err("it has not been evaluated yet".to_owned()));
    assert_eq!((rule.evaluated_at, rule.alerts.len()), (None, 0));

    let broken = json!({ "status": "success", "data": { "groups": [{ "interval": 1, "rules": [{ "name": "Leak",
        "health": "err", "lastError": "many-to-many", "lastEvaluation": "0001-01-01T00:00:00Z" }] }] } });
    let (prometheus, _) = answers(200, broken).await;
    let [rule] = &prometheus.rules("Leak").await.unwrap()[..] else { panic!("one rule") };
    assert_eq!((rule.health.clone(), rule.evaluated_at), (Err("many-to-many".to_owned()), None));
}

#[tokio::test]
async fn a_query_is_sent_as_it_is_and_its_values_are_read() {
    let (prometheus, asked) = answers(200, vector(&["1", "2.5"])).await;
    assert_eq!(prometheus.query("up{a=\"b c&d\"} > 1").await.unwrap(), QueryResult::Vector(vec![1.0, 2.5]));
    assert_eq!(asked.lock().unwrap()[..], ["query=up%7Ba%3D%22b+c%26d%22%7D+%3E+1"]);
    assert_eq!(said(200, vector(&[])).await, Ok(QueryResult::Vector(vec![])));
    let scalar = json!({ "status": "success", "data": { "resultType": "scalar", "result": [1, "1"] } });
    assert_eq!(said(200, scalar).await, Ok(QueryResult::Other("scalar".to_owned())));
}

#[tokio::test]
async fn an_answer_that_is_none_says_why() {
    let error = json!({ "status": "error", "errorType": "bad_data", "error": "parse error: unexpected )" });
    assert_eq!(said(400, error).await, Err("URL answered 400 Bad Request: parse error: unexpected )".to_owned()));
    assert_eq!(said(502, json!("a proxy's page")).await, Err("URL answered 502 Bad Gateway".to_owned()));
    let mut partial = vector(&["1"]);
    partial["warnings"] = json!(["store-1 did not answer"]);
    let why = said(200, partial).await.unwrap_err();
    assert_eq!(why, "URL did not answer: it warns that the answer is not whole: store-1 did not answer");
    assert!(said(200, json!({ "status": "success" })).await.unwrap_err().contains("neither what went well"));
    assert!(said(200, vector(&["many"])).await.unwrap_err().starts_with("URL did not answer: invalid float"));
}

#[tokio::test]
async fn its_start_is_read() {
    let body = json!({ "status": "success", "data": { "startTime": "2026-03-01T12:00:00.5Z", "goroutineCount": 1 } });
    let (prometheus, _) = answers(200, body).await;
    assert_eq!(prometheus.started_at().await.unwrap().to_string(), "2026-03-01T12:00:00.5Z");
}
