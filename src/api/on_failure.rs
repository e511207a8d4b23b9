//! Who is told when a remediation failed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the labels of such an alert are by themselves; a policy's own have other names.
pub const OWN_LABELS: [&str; 7] =
    ["alertname", "raised_by", "severity", "policy", "namespace", "failed_alert", "failed_fingerprint"];

/// So many labels may be added, each value so long, in bytes.
const MOST_LABELS: usize = 16;
const LONGEST_VALUE: usize = 256;

/// What happens when a remediation of this policy failed, so that a person is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OnFailure {
    /// An alert is sent to the Alertmanagers of the source, whose routing sends it to people. It goes on until the alert that
    /// could not be remedied is over, another remediation of it did not fail, or a day has passed.
    pub alert: FailureAlert,
}

/// The alert `ParamedicRemediationFailed` of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailureAlert {
    /// Its label `severity`. Default `critical`.
    #[serde(default = "critical")]
    #[schemars(length(min = 1, max = 64))]
    pub severity: String,
    /// Labels of your own, for your routing, beside `alertname`, `severity`, `policy`, `namespace`, `failed_alert`,
    /// `failed_fingerprint` and `raised_by`, which it has anyway. At most 16.
    #[serde(default, deserialize_with = "labels", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MOST_LABELS))]
    pub labels: BTreeMap<String, String>,
}

fn critical() -> String {
    "critical".to_owned()
}

fn labels<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let labels = BTreeMap::<String, String>::deserialize(deserializer)?;
    let wrong = |why: String| Err(serde::de::Error::custom(why));
    if labels.len() > MOST_LABELS {
        return wrong(format!("{} labels are more than the {MOST_LABELS} that it may have", labels.len()));
    }
    for (name, value) in &labels {
        let mut characters = name.chars();
        let first = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
        if !first || !characters.all(|character| character.is_ascii_alphanumeric() || character == '_') {
            return wrong(format!(
                "`{name}` is no name of a label: letters, digits and `_`, not beginning with a digit"
            ));
        }
        if OWN_LABELS.contains(&name.as_str()) {
            return wrong(format!("`{name}` is set by Paramedic itself; take another name"));
        }
        if value.is_empty() || value.len() > LONGEST_VALUE {
            return wrong(format!("label `{name}` is empty, or longer than {LONGEST_VALUE} bytes"));
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<OnFailure, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn severity_has_a_default_and_labels_are_ones_own() {
        assert_eq!(read(r#"{"alert":{}}"#).unwrap().alert.severity, "critical");
        let on_failure = read(r#"{"alert":{"severity":"page","labels":{"team":"shop"}}}"#).unwrap();
        assert_eq!(on_failure.alert.labels["team"], "shop");
        for (bad, why) in [
            (r#"{"alert":{"labels":{"alertname":"x"}}}"#, "set by Paramedic"),
            (r#"{"alert":{"labels":{"raised_by":"x"}}}"#, "set by Paramedic"),
            (r#"{"alert":{"labels":{"a-b":"x"}}}"#, "no name of a label"),
            (r#"{"alert":{"labels":{"1a":"x"}}}"#, "no name of a label"),
            (r#"{"alert":{"labels":{"":"x"}}}"#, "no name of a label"),
            (r#"{"alert":{"labels":{"team":""}}}"#, "is empty"),
            (r#"{"alert":{"label":{}}}"#, "label"),
            (r"{}", "alert"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
        let many: BTreeMap<String, String> = (0..17).map(|number| (format!("l{number}"), "x".to_owned())).collect();
        let many = serde_json::json!({ "alert": { "labels": many } }).to_string();
        assert!(read(&many).unwrap_err().contains("17 labels"));
    }
}
