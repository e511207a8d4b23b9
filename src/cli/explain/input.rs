//! Alerts as people have them at hand: one alert, a webhook's body, what Alertmanager's API lists, what Prometheus lists.
//! Pure.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::alert::{Alert, Notification};

/// Why a text has no alert in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// No JSON.
    #[error("this is no JSON: {0}")]
    NotJson(String),
    /// JSON, but no alert.
    #[error(
        "{what} is no alert: {why}; give one alert with its labels ({{\"labels\": {{\"alertname\": …}}}}), a webhook's \
         body, or what `curl $ALERTMANAGER/api/v2/alerts` says"
    )]
    NotAnAlert {
        /// Which part of the text.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The alerts of a text. One that does not say whether it fires does; one that does not say since when does from now on.
pub fn alerts(text: &str, now: Timestamp) -> Result<Vec<Alert>, InputError> {
    let value: Value = serde_json::from_str(text).map_err(|error| InputError::NotJson(error.to_string()))?;
    let listed = match value {
        Value::Array(alerts) => alerts,
        Value::Object(mut object) => match list_of(&mut object) {
            Some(alerts) => alerts,
            None => vec![Value::Object(object)],
        },
        other => {
            let (what, why) = ("the text".to_owned(), format!("it is {other}"));
            return Err(InputError::NotAnAlert { what, why });
        }
    };
    if listed.is_empty() {
        let (what, why) = ("the text".to_owned(), "its list of alerts is empty".to_owned());
        return Err(InputError::NotAnAlert { what, why });
    }
    let alone = listed.len() == 1;
    let listed: Vec<Value> = listed.into_iter().map(|alert| as_notified(alert, now)).collect();
    let body = json!({ "alerts": listed }).to_string();
    let not_one = |what: String, why: String| InputError::NotAnAlert { what, why };
    let notification =
        Notification::parse(body.as_bytes()).map_err(|why| not_one("the text".to_owned(), why.to_string()))?;
    let numbered = notification.alerts.into_iter().enumerate();
    let read = numbered.map(|(index, alert)| {
        let what = if alone { "the text".to_owned() } else { format!("number {} of the list", index + 1) };
        alert.map_err(|why| not_one(what, why.to_string()))
    });
    read.collect()
}

/// The alerts of a webhook's body, or of an answer of Prometheus' API.
fn list_of(object: &mut Map<String, Value>) -> Option<Vec<Value>> {
    let data = object.get_mut("data").and_then(Value::as_object_mut);
    let holder = if data.as_ref().is_some_and(|data| data.contains_key("alerts")) { data? } else { object };
    match holder.remove("alerts") {
        Some(Value::Array(alerts)) => Some(alerts),
        _ => None,
    }
}

/// An alert as the webhook would have it: `status` is a word, and `startsAt` is there.
fn as_notified(mut alert: Value, now: Timestamp) -> Value {
    let Some(fields) = alert.as_object_mut() else { return alert };
    if !fields.get("status").is_some_and(Value::is_string) {
        fields.insert("status".to_owned(), json!("firing"));
    }
    if !fields.contains_key("startsAt") {
        let since = fields.get("activeAt").cloned().unwrap_or_else(|| json!(now));
        fields.insert("startsAt".to_owned(), since);
    }
    alert
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{alert::AlertState, remediation::fixtures::at};

    fn read(text: &str) -> Result<Vec<Alert>, String> {
        alerts(text, at(0)).map_err(|error| error.to_string())
    }

    #[test]
    fn whatever_people_have_at_hand_is_read() {
        let bare = r#"{"labels": {"alertname": "A"}}"#;
        let webhook = r#"{"receiver": "r", "alerts": [{"status": "resolved", "labels": {"alertname": "A"},
            "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2026-01-01T00:01:00Z"}]}"#;
        let alertmanager = r#"[{"labels": {"alertname": "A"}, "status": {"state": "active"}, "receivers": [],
            "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2026-01-01T00:05:00Z", "fingerprint": "x"}]"#;
        let prometheus = r#"{"status": "success", "data": {"alerts": [{"labels": {"alertname": "A"}, "state": "firing",
            "activeAt": "2026-01-01T00:00:00Z", "value": "1"}]}}"#;
        for text in [bare, webhook, alertmanager, prometheus] {
            let alerts = read(text).unwrap();
            assert_eq!(alerts.len(), 1, "{text}");
            assert_eq!(alerts[0].labels.alertname(), Some("A"), "{text}");
        }
        assert_eq!(read(bare).unwrap()[0].starts_at, at(0), "from now on");
        assert_eq!(read(webhook).unwrap()[0].state, AlertState::Resolved);
        let since = read(prometheus).unwrap()[0].starts_at;
        assert_eq!(
            (since, read(alertmanager).unwrap()[0].state),
            ("2026-01-01T00:00:00Z".parse().unwrap(), AlertState::Firing)
        );
    }

    #[test]
    fn what_is_no_alert_says_what_one_looks_like() {
        assert!(read("alertname: A").unwrap_err().starts_with("this is no JSON: "));
        let said = [r"[]", r"3", r#"{"alertname": "A"}"#, r#"[{"labels": {"a": "b"}}, {"labels": {}}]"#].map(|text| {
            let error = read(text).unwrap_err();
            assert!(error.contains("/api/v2/alerts"), "{error}");
            error
        });
        assert!(said[2].contains("missing field `labels`"), "{}", said[2]);
        assert!(said[3].starts_with("number 2 of the list is no alert"), "{}", said[3]);
    }
}
