//! Alertmanager's API, as Prometheus and people use it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::wait::until;

/// How long one must have been up before the absence of an alert means anything to Paramedic, and a little more: its
/// `resendInterval` is 90 s by default.
const TRUSTED_AFTER: Duration = Duration::from_secs(95);

/// A client of one Alertmanager.
pub struct Alertmanager {
    http: reqwest::Client,
    url: String,
}

impl Alertmanager {
    /// Of the one at that address.
    pub fn new(http: reqwest::Client, url: &str) -> Self {
        Self { http, url: url.trim_end_matches('/').to_owned() }
    }

    /// Tells it of alerts; one whose `endsAt` has passed is resolved.
    pub async fn post(&self, alerts: &[Value]) -> Result<(), String> {
        let answer = self.http.post(format!("{}/api/v2/alerts", self.url)).json(alerts).send().await;
        let answer = answer.map_err(|error| format!("Alertmanager: {error}"))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(format!("Alertmanager: {status}: {}", answer.text().await.unwrap_or_default()))
    }

    /// The alerts of a namespace that fire.
    pub async fn firing_in(&self, namespace: &str) -> Result<Vec<Value>, String> {
        let filter = format!("namespace=\"{namespace}\"");
        let request = self.http.get(format!("{}/api/v2/alerts", self.url)).query(&[("filter", filter)]);
        let answer = request.send().await.map_err(|error| error.to_string())?;
        answer.json().await.map_err(|error| error.to_string())
    }

    /// Mutes the alerts of a namespace for five minutes.
    pub async fn silence(&self, namespace: &str) -> String {
        let now = Timestamp::now();
        let silence = json!({
            "matchers": [{"name": "namespace", "value": namespace, "isRegex": false, "isEqual": true}],
            "startsAt": now, "endsAt": now + Duration::from_mins(5), "createdBy": "e2e", "comment": "a story",
        });
        let answer = self.http.post(format!("{}/api/v2/silences", self.url)).json(&silence).send().await;
        let answer: Value = answer.expect("Alertmanager answers").json().await.expect("Alertmanager answers in JSON");
        answer["silenceID"].as_str().unwrap_or_else(|| panic!("no silence: {answer}")).to_owned()
    }

    /// Ends a silence.
    pub async fn unsilence(&self, id: &str) {
        let answer = self.http.delete(format!("{}/api/v2/silence/{id}", self.url)).send().await;
        assert!(answer.expect("Alertmanager answers").status().is_success(), "silence {id} cannot be ended");
    }

    /// Waits until it has been up for so long that Paramedic takes its silence for an answer.
    pub async fn trusted(&self) {
        self.up_for(TRUSTED_AFTER).await;
    }

    /// Waits until it has been up for so long.
    pub async fn up_for(&self, span: Duration) {
        until(span + Duration::from_secs(10), "Alertmanager has been up for a while", || async {
            let answer = self.http.get(format!("{}/api/v2/status", self.url)).send().await;
            let status: Value =
                answer.map_err(|error| error.to_string())?.json().await.map_err(|error| error.to_string())?;
            let since = status["uptime"].as_str().unwrap_or_default();
            let since: Timestamp = since.parse().map_err(|error| format!("uptime {since}: {error}"))?;
            let up = Timestamp::now().duration_since(since);
            if up.unsigned_abs() >= span { Ok(()) } else { Err(format!("up for {}s", up.as_secs())) }
        })
        .await;
    }
}
