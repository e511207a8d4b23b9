//! What is read for our receivers, against a server on loopback that answers as Alertmanager 0.28 does.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::RawQuery, routing::get};
use serde_json::{Value, json};

use super::*;
use crate::config::Access;

async fn answers(body: Value) -> (Alertmanager, Arc<Mutex<Vec<String>>>) {
    // Where another test did it already, that is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&asked);
    let handle = move |RawQuery(query): RawQuery| async move {
        kept.lock().unwrap().push(query.unwrap_or_default());
        Json(body)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/api/v2/{*path}", get(handle));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let endpoint = Endpoint::new(&url, Duration::from_secs(1), Access::default()).unwrap();
    (Alertmanager::new(endpoint, Duration::from_secs(90)), asked)
}

fn alert(pod: &str, status: &Value) -> Value {
    json!({
        "annotations": { "summary": "it leaks" }, "endsAt": "2026-03-01T12:04:00Z", "fingerprint": "0123456789abcdef",
        "receivers": [{ "name": "team.a" }], "startsAt": "2026-03-01T12:00:00Z", "status": status,
        "updatedAt": "2026-03-01T12:00:00Z", "generatorURL": "http://prometheus/graph",
        "labels": { "alertname": "Leak", "pod": pod },
    })
}

fn status(state: &str, muted_by: &[&str]) -> Value {
    json!({ "state": state, "silencedBy": [], "inhibitedBy": [], "mutedBy": muted_by })
}

fn group(receiver: &str, alerts: &[Value]) -> Value {
    json!({ "labels": {}, "receiver": { "name": receiver }, "alerts": alerts })
}

#[tokio::test]
async fn what_fires_for_our_receivers_is_asked_for_and_the_rest_is_left_out_here_too() {
    let active = status("active", &[]);
    let (alertmanager, asked) = answers(json!([
        group(
            "team.a",
            &[alert("a", &active), alert("b", &status("suppressed", &[])), alert("c", &status("active", &["night"]))]
        ),
        group("teamXa", &[alert("d", &active)]),
        group("b", &[alert("e", &status("unprocessed", &[])), alert("f", &active)]),
    ]))
    .await;
    let found = alertmanager.firing(&["team.a".to_owned(), "b".to_owned()]).await.unwrap();
    let pods: Vec<_> = found.iter().filter_map(|alert| alert.labels.get("pod")).collect();
    assert_eq!(pods, ["a", "f"], "not what is held back, has only just come, or goes to somebody else");
    let query = "active=true&silenced=false&inhibited=false&muted=false&receiver=team%5C.a%7Cb";
    assert_eq!(asked.lock().unwrap()[..], [query]);
    assert_eq!(found[0].fingerprint, Fingerprint::of(&found[0].labels), "what it says of itself is not believed");
    assert_eq!((found[0].state, found[0].ends_at), (AlertState::Firing, None));
    assert_eq!(found[0].generator_url.as_deref(), Some("http://prometheus/graph"));
    assert_eq!(found[0].annotations["summary"], "it leaks");
}

#[tokio::test]
async fn its_version_and_its_start_are_read() {
    let body = json!({ "uptime": "2026-03-01T12:00:00Z", "versionInfo": { "version": "0.28.1", "branch": "HEAD" } });
    let (alertmanager, _) = answers(body).await;
    assert_eq!(alertmanager.version().await.unwrap(), "0.28.1");
    assert_eq!(alertmanager.started_at().await.unwrap().to_string(), "2026-03-01T12:00:00Z");
}

#[tokio::test]
async fn an_alert_that_is_muted_by_a_time_interval_is_held_back() {
    let (alertmanager, _) =
        answers(json!([alert("a", &status("suppressed", &["night"])), alert("b", &status("suppressed", &[]))])).await;
    let states: Vec<_> = alertmanager.alerts(&[]).await.unwrap().into_iter().map(|alert| alert.state).collect();
    let held_back = ["muted by the time interval night", "held back"].map(|by| PeerState::Suppressed(by.to_owned()));
    assert_eq!(states, held_back);
}
