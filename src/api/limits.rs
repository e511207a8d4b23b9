//! What bounds a policy's actions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CountOrPercent, PositiveDuration};

/// The longest that a policy may ask for.
pub(super) const DAY: PositiveDuration = PositiveDuration::from_secs(24 * 3600);

/// Limits of a policy. Each has a default; none can be switched off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// How long a subject is left alone after an action on it, whichever of its pods was the target and whichever
    /// policy acted. Default `10m`, at most a day.
    #[schemars(extend("x-kubernetes-validations" = at_most_a_day_rule()))]
    #[serde(deserialize_with = "at_most_a_day")]
    pub cooldown: PositiveDuration,
    /// How many actions this policy may start in a sliding window. Default 5 in `1h`.
    pub rate: Rate,
    /// How many of this policy's remediations may act or be verified at the same time. Default 1.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(deserialize_with = "positive")]
    pub concurrency: u32,
    /// How many of the subject's pods must be ready after the action: a number, or a share that is rounded up.
    /// Default `50%`. A target that is not ready itself may always be repaired.
    pub min_available: CountOrPercent,
    /// Consent to restart the only replica of a workload, which nothing can do without an interruption.
    /// Default `false`.
    pub allow_single_replica: bool,
}

/// So many actions in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// The number of actions, above zero.
    #[schemars(range(min = 1, max = 10000))]
    #[serde(deserialize_with = "positive")]
    pub actions: u32,
    /// The length of the window that slides over them, at most a day.
    #[schemars(extend("x-kubernetes-validations" = at_most_a_day_rule()))]
    #[serde(deserialize_with = "at_most_a_day")]
    pub per: PositiveDuration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cooldown: PositiveDuration::from_secs(600),
            rate: Rate { actions: 5, per: PositiveDuration::from_secs(3600) },
            concurrency: 1,
            min_available: CountOrPercent::Percent(50),
            allow_single_replica: false,
        }
    }
}

fn positive<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("must be more than zero")),
        number => Ok(number),
    }
}

/// What a limit counts must still be on record, and records are not kept for ever.
pub(super) fn at_most_a_day<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<PositiveDuration, D::Error> {
    let duration = PositiveDuration::deserialize(deserializer)?;
    if duration > DAY {
        return Err(serde::de::Error::custom(format!("`{duration}` is longer than the 24h that a limit may span")));
    }
    Ok(duration)
}

/// The same for the API server, so that `kubectl apply` refuses it.
pub(super) fn at_most_a_day_rule() -> serde_json::Value {
    serde_json::json!([{
        "rule": "duration(self) <= duration('24h')",
        "message": "is longer than the 24h that a limit may span",
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_default() {
        let limits: Limits = serde_json::from_str("{}").unwrap();
        assert_eq!(limits, Limits::default());
    }

    #[test]
    fn a_limit_of_zero_is_refused() {
        for bad in [r#"{"concurrency":0}"#, r#"{"rate":{"actions":0,"per":"1h"}}"#, r#"{"cooldown":"0s"}"#] {
            assert!(serde_json::from_str::<Limits>(bad).is_err(), "{bad}");
        }
    }
}
