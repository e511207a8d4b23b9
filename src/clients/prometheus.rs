//! Prometheus' HTTP API (docs/querying/api.md of prometheus/prometheus): its rules, when it was started, and queries.
//! What else speaks it (Thanos, Mimir, VictoriaMetrics) leaves out fields, so none is asked for that can be done without.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};

use super::{ClientError, Endpoint};
use crate::alert::Labels;

/// An alerting rule, and what its last evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertingRule {
    /// The labels that it adds to its alerts, templates included.
    pub labels: Labels,
    /// Its `for`: how long its expression must hold before it fires.
    pub pending_for: Duration,
    /// How often it is evaluated.
    pub interval: Duration,
    /// Whether the last evaluation went well; `Err` says what is known of why not.
    pub health: Result<(), String>,
    /// When that was; `None` before the first one.
    pub evaluated_at: Option<Timestamp>,
    /// The alerts that it found, pending or firing.
    pub alerts: Vec<RuleAlert>,
}

/// An alert as Prometheus knows it: without the labels that it adds, or takes away, on the way to Alertmanager.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleAlert {
    /// Its labels.
    pub labels: Labels,
    /// Whether it fires, or is only pending.
    pub firing: bool,
    /// Since when the rule's expression has held for it.
    pub active_at: Timestamp,
}

/// What a query gave.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryResult {
    /// The values of the series that it left.
    Vector(Vec<f64>),
    /// Something else, by the name that the API has for it.
    Other(String),
}

/// One Prometheus. Cheap to clone.
#[derive(Clone)]
pub struct Prometheus {
    endpoint: Endpoint,
}

/// What every answer is wrapped in.
#[derive(Deserialize)]
struct Envelope<T> {
    status: String,
    data: Option<T>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct RawGroups {
    #[serde(default)]
    groups: Vec<RawGroup>,
}

#[derive(Deserialize)]
struct RawGroup {
    #[serde(default)]
    interval: f64,
    #[serde(default)]
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRule {
    name: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    duration: f64,
    #[serde(default)]
    health: String,
    #[serde(default)]
    last_error: String,
    last_evaluation: Option<Timestamp>,
    alerts: Option<Vec<RawAlert>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAlert {
    labels: Labels,
    state: String,
    active_at: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRuntime {
    start_time: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawQuery {
    result_type: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct RawSeries {
    value: (f64, String),
}

impl Prometheus {
    /// The one at this address (with its route prefix, without `/api/v1`).
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        self.endpoint.url()
    }

    /// Its alerting rules of this name.
    pub async fn rules(&self, alertname: &str) -> Result<Vec<AlertingRule>, ClientError> {
        // Older ones do not know `rule_name[]`, and give all that there are.
        let query = [("type", "alert".to_owned()), ("rule_name[]", alertname.to_owned())];
        let RawGroups { groups } = self.ask("/api/v1/rules", &query).await?;
        let rules = groups
            .into_iter()
            .flat_map(|RawGroup { interval, rules }| rules.into_iter().map(move |rule| (seconds(interval), rule)));
        let named = rules.filter(|(_, rule)| rule.name == alertname && rule.kind != "recording");
        Ok(named.map(|(interval, rule)| rule.read(interval)).collect())
    }

    /// When it was started. What it evaluates just after that may lack what it has not scraped again yet.
    pub async fn started_at(&self) -> Result<Timestamp, ClientError> {
        let RawRuntime { start_time } = self.ask("/api/v1/status/runtimeinfo", &[]).await?;
        Ok(start_time)
    }

    /// What a query gives now. An answer with warnings is none: something was left out.
    pub async fn query(&self, promql: &str) -> Result<QueryResult, ClientError> {
        let RawQuery { result_type, result } = self.ask("/api/v1/query", &[("query", promql.to_owned())]).await?;
        if result_type != "vector" {
            return Ok(QueryResult::Other(result_type));
        }
        let series: Vec<RawSeries> = serde_json::from_value(result).map_err(|error| self.no_answer(error.into()))?;
        let values: Result<Vec<f64>, _> =
            series.into_iter().map(|RawSeries { value: (_, value) }| value.parse()).collect();
        Ok(QueryResult::Vector(values.map_err(|error: std::num::ParseFloatError| self.no_answer(error.into()))?))
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, ClientError> {
        let (status, body) = self.endpoint.get(path, query).await?;
        let url = || self.url().to_owned();
        match serde_json::from_slice::<Envelope<T>>(&body) {
            Ok(Envelope { status: said, warnings, .. }) if said == "success" && !warnings.is_empty() => {
                Err(self.no_answer(format!("it warns that the answer is not whole: {}", warnings.join("; ")).into()))
            }
            Ok(Envelope { status: said, data: Some(data), .. }) if said == "success" => Ok(data),
            Ok(Envelope { error: Some(said), .. }) => {
                Err(ClientError::Refused { url: url(), status, said: Some(said) })
            }
            _ if !status.is_success() => Err(ClientError::Refused { url: url(), status, said: None }),
            Ok(_) => Err(self.no_answer("its answer says neither what went well nor what did not".into())),
            Err(error) => Err(self.no_answer(error.into())),
        }
    }

    fn no_answer(&self, source: super::Cause) -> ClientError {
        ClientError::NoAnswer { url: self.url().to_owned(), source }
    }
}

impl RawRule {
    fn read(self, interval: Duration) -> AlertingRule {
        let health = match self.health.as_str() {
            "ok" => Ok(()),
            "err" => Err(self.last_error),
            _ => Err("it has not been evaluated yet".to_owned()),
        };
        let alert = |RawAlert { labels, state, active_at }| RuleAlert { labels, firing: state == "firing", active_at };
        AlertingRule {
            labels: self.labels,
            pending_for: seconds(self.duration),
            interval,
            health,
            // Go's zero time, year 1, means 'not yet'.
            evaluated_at: self.last_evaluation.filter(|at| *at > Timestamp::UNIX_EPOCH),
            alerts: self.alerts.unwrap_or_default().into_iter().map(alert).collect(),
        }
    }
}

/// What is no time at all (negative, infinite) counts as none.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests;
