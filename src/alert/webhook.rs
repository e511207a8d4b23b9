//! The webhook's body: Alertmanager's version 4, its older forms, and Grafana's.
//!
//! Parsing is lenient: senders add fields while the version stays the same, older ones lack some. Only what cannot be
//! an alert is refused, one alert at a time, so that a bad one does not take its group with it.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use super::{Fingerprint, Labels};

/// As many alerts are taken from one body. An alert costs far more memory than the few bytes that it can be written in,
/// so that the length of the body alone does not bound what it takes.
pub const MAX_ALERTS: usize = 50_000;

/// Whether an alert fires or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertState {
    /// It fires.
    Firing,
    /// It is over, as its sender says.
    Resolved,
}

/// One alert of a notification.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Firing or resolved. The state of the whole body says nothing about one alert.
    pub state: AlertState,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// When it began to fire. Alertmanager moves it to an earlier time when it merges.
    pub starts_at: Timestamp,
    /// When it ended; only a resolved alert has it.
    pub ends_at: Option<Timestamp>,
    /// Where the rule can be seen.
    pub generator_url: Option<String>,
    /// Computed from the labels.
    pub fingerprint: Fingerprint,
}

/// A webhook's body.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The receiver as Alertmanager's configuration names it (without the escapes that arrive with it).
    pub receiver: String,
    /// The alerts, in the order of the body; an `Err` says why one is none.
    pub alerts: Vec<Result<Alert, BodyError>>,
    /// How many alerts the sender left out because of `max_alerts`.
    pub truncated: u64,
}

/// Why a body, or one of its alerts, can never be valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body is no JSON of the webhook's shape.
    #[error("the body is not an Alertmanager notification: {0}")]
    NotANotification(String),
    /// There are more alerts than are taken at once.
    #[error("the body has more than {MAX_ALERTS} alerts; set max_alerts, or group by more labels")]
    TooManyAlerts,
    /// An alert is not of an alert's shape.
    #[error("alert {index}: {why}")]
    NotAnAlert {
        /// Its place in the body, from 0.
        index: usize,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Deserialize)]
#[serde(bound = "A: Deserialize<'de>")]
struct RawNotification<A> {
    #[serde(default)]
    receiver: String,
    alerts: Limited<A>,
    #[serde(default, rename = "truncatedAlerts")]
    truncated_alerts: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAlert {
    status: String,
    labels: Labels,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Timestamp,
    ends_at: Option<Timestamp>,
    #[serde(default, rename = "generatorURL")]
    generator_url: Option<String>,
}

/// Alerts, unless they are more than [`MAX_ALERTS`]: then none is kept, and the rest is read past.
enum Limited<A> {
    Alerts(Vec<A>),
    TooMany,
}

impl<'de, A: Deserialize<'de>> Deserialize<'de> for Limited<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(LimitedVisitor(PhantomData))
    }
}

struct LimitedVisitor<A>(PhantomData<A>);

impl<'de, A: Deserialize<'de>> Visitor<'de> for LimitedVisitor<A> {
    type Value = Limited<A>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of alerts")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
        let mut alerts = Vec::new();
        while alerts.len() < MAX_ALERTS {
            match list.next_element()? {
                Some(alert) => alerts.push(alert),
                None => return Ok(Limited::Alerts(alerts)),
            }
        }
        if list.next_element::<IgnoredAny>()?.is_none() {
            return Ok(Limited::Alerts(alerts));
        }
        drop(alerts);
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Limited::TooMany)
    }
}

impl Notification {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        // Nearly every body is whole, and then one pass does; only otherwise is each alert read by itself.
        if let Ok(raw) = serde_json::from_slice::<RawNotification<RawAlert>>(body) {
            return Self::of(raw, alert);
        }
        let raw = serde_json::from_slice::<RawNotification<serde_json::Value>>(body)
            .map_err(|error| BodyError::NotANotification(error.to_string()))?;
        Self::of(raw, |value| alert(serde_json::from_value(value).map_err(|error| error.to_string())?))
    }

    fn of<A>(raw: RawNotification<A>, read: impl Fn(A) -> Result<Alert, String>) -> Result<Self, BodyError> {
        let Limited::Alerts(alerts) = raw.alerts else { return Err(BodyError::TooManyAlerts) };
        let alerts = alerts.into_iter().enumerate();
        Ok(Self {
            receiver: unescape(&raw.receiver),
            alerts: alerts.map(|(index, a)| read(a).map_err(|why| BodyError::NotAnAlert { index, why })).collect(),
            truncated: raw.truncated_alerts,
        })
    }
}

fn alert(raw: RawAlert) -> Result<Alert, String> {
    if raw.labels.0.is_empty() {
        return Err("it has no labels".to_owned());
    }
    let state = match raw.status.as_str() {
        "firing" => AlertState::Firing,
        "resolved" => AlertState::Resolved,
        other => return Err(format!("its status is `{other}`, neither firing nor resolved")),
    };
    // Go's zero time, year 1, means 'not yet'.
    let ends_at = raw.ends_at.filter(|at| *at > Timestamp::UNIX_EPOCH);
    let ends_at = match state {
        AlertState::Firing => None,
        AlertState::Resolved => Some(ends_at.ok_or("it is resolved but has no endsAt")?),
    };
    Ok(Alert {
        state,
        fingerprint: Fingerprint::of(&raw.labels),
        labels: raw.labels,
        annotations: raw.annotations,
        starts_at: raw.starts_at,
        ends_at,
        generator_url: raw.generator_url.filter(|url| !url.is_empty()),
    })
}

/// Alertmanager passes the receiver's name through Go's `regexp.QuoteMeta`: `web.hook` arrives as `web\.hook`.
fn unescape(receiver: &str) -> String {
    let mut characters = receiver.chars();
    let mut name = String::with_capacity(receiver.len());
    while let Some(character) = characters.next() {
        name.push(if character == '\\' { characters.next().unwrap_or('\\') } else { character });
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(alerts: &str) -> Notification {
        Notification::parse(format!(r#"{{"receiver":"web\\.hook","alerts":[{alerts}]}}"#).as_bytes()).unwrap()
    }

    const FIRING: &str = r#"{"status":"firing","labels":{"alertname":"A"},"startsAt":"2026-01-01T00:00:00+08:00",
        "endsAt":"0001-01-01T00:00:00Z","somethingNew":{"x":1}}"#;

    #[test]
    fn an_alert_without_fingerprint_and_with_unknown_fields_is_read() {
        let notification = body(FIRING);
        assert_eq!(notification.receiver, "web.hook");
        let alert = notification.alerts[0].as_ref().unwrap();
        assert_eq!(alert.state, AlertState::Firing);
        assert_eq!(alert.ends_at, None, "Go's zero time is no end");
        assert_eq!(alert.starts_at.to_string(), "2025-12-31T16:00:00Z");
        assert_eq!(alert.fingerprint, Fingerprint::of(&alert.labels));
    }

    #[test]
    fn one_bad_alert_does_not_take_its_group_with_it() {
        let notification =
            body(&format!(r#"{FIRING},{{"status":"odd","labels":{{"a":"b"}},"startsAt":"x"}},{FIRING}"#));
        let good: Vec<bool> = notification.alerts.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, false, true]);
        assert!(matches!(&notification.alerts[1], Err(BodyError::NotAnAlert { index: 1, .. })));
    }

    #[test]
    fn a_resolved_alert_needs_its_end() {
        let without = FIRING.replace("firing", "resolved");
        assert!(body(&without).alerts[0].is_err());
        let with = without.replace("0001-01-01", "2026-01-02");
        assert_eq!(body(&with).alerts[0].as_ref().unwrap().ends_at.unwrap().to_string(), "2026-01-02T00:00:00Z");
    }

    #[test]
    fn more_alerts_than_are_taken_at_once_are_refused_whole_or_not() {
        let tiny = |count: usize, alert: &str| format!(r#"{{"alerts":[{}]}}"#, vec![alert; count].join(","));
        for alert in ["0", FIRING] {
            assert_eq!(Notification::parse(tiny(MAX_ALERTS, alert).as_bytes()).unwrap().alerts.len(), MAX_ALERTS);
            for count in [MAX_ALERTS + 1, 3 * MAX_ALERTS] {
                let refused = Notification::parse(tiny(count, alert).as_bytes());
                assert_eq!(refused, Err(BodyError::TooManyAlerts), "{count} of {alert}");
            }
        }
    }

    #[test]
    fn what_is_no_notification_is_refused() {
        for bad in ["", "[]", "{}", r#"{"alerts":{}}"#, "{\"alerts\":[}"] {
            assert!(matches!(Notification::parse(bad.as_bytes()), Err(BodyError::NotANotification(_))), "{bad}");
        }
    }
}
