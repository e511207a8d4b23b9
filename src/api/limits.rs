//! What bounds a policy's actions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CountOrPercent, PositiveDuration};

/// The longest that a policy may ask for.
pub(super) const DAY: PositiveDuration = PositiveDuration::from_secs(24 * 3600);

/// What a policy asks for. What it leaves out is the administrator's default (`limits.defaults` of the configuration),
/// and where there is none the one that is given here; none can be switched off. What it asks beyond the administrator's
/// ceilings (`limits.ceilings`) it does not get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicyLimits {
    /// How long a subject is left alone after an action on it, whichever of its pods was the target and whichever
    /// policy acted. Default `10m`, at most a day.
    #[schemars(extend("x-kubernetes-validations" = at_most_a_day_rule()))]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some_at_most_a_day")]
    pub cooldown: Option<PositiveDuration>,
    /// How many actions this policy may start in a sliding window. Default 5 in `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many of this policy's remediations may act or be verified at the same time. Default 1.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some_positive")]
    pub concurrency: Option<u32>,
    /// How many of the subject's pods must be ready after the action: a number, or a share that is rounded up.
    /// Default `50%`. A target that is not ready itself may always be repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_available: Option<CountOrPercent>,
    /// Consent to restart the only replica of a workload, which nothing can do without an interruption.
    /// Default `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_single_replica: Option<bool>,
    /// When a subject is left to people, because what this policy does there does not help, or not for long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub give_up: Option<GiveUp>,
    /// When the policy stops everywhere, because too much of what it does fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
}

impl PolicyLimits {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What holds where these defaults fill in what is left out, and those of [`Limits`] the rest.
    pub fn or(&self, defaults: &Self) -> Limits {
        let built_in = Limits::default();
        Limits {
            cooldown: self.cooldown.or(defaults.cooldown).unwrap_or(built_in.cooldown),
            rate: self.rate.or(defaults.rate).unwrap_or(built_in.rate),
            concurrency: self.concurrency.or(defaults.concurrency).unwrap_or(built_in.concurrency),
            min_available: self.min_available.or(defaults.min_available).unwrap_or(built_in.min_available),
            allow_single_replica: self
                .allow_single_replica
                .or(defaults.allow_single_replica)
                .unwrap_or(built_in.allow_single_replica),
            give_up: self.give_up.or(defaults.give_up).unwrap_or(built_in.give_up),
            breaker: self.breaker.or(defaults.breaker).unwrap_or(built_in.breaker),
        }
    }
}

impl From<Limits> for PolicyLimits {
    fn from(limits: Limits) -> Self {
        Self {
            cooldown: Some(limits.cooldown),
            rate: Some(limits.rate),
            concurrency: Some(limits.concurrency),
            min_available: Some(limits.min_available),
            allow_single_replica: Some(limits.allow_single_replica),
            give_up: Some(limits.give_up),
            breaker: Some(limits.breaker),
        }
    }
}

/// The limits that a policy has, every default filled in.
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
    /// When a subject is left to people, because what this policy does there does not help, or not for long.
    pub give_up: GiveUp,
    /// When the policy stops everywhere, because too much of what it does fails.
    pub breaker: Breaker,
}

/// When one policy leaves one subject to people: until `per` has passed, or somebody says that it may go on, by the
/// annotation `paramedic.dev/resumed-at` with the time, on the subject or on the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GiveUp {
    /// After so many remediations in a row that acted and failed. Default 3.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(deserialize_with = "positive")]
    pub failures: u32,
    /// After so many remediations that acted within `per`, whatever came of them. Default 5.
    #[schemars(range(min = 1, max = 10000))]
    #[serde(deserialize_with = "positive")]
    pub recurrences: u32,
    /// For so long after the last failure; and the window of the recurrences. Default `4h`, at most a day.
    #[schemars(extend("x-kubernetes-validations" = at_most_a_day_rule()))]
    #[serde(deserialize_with = "at_most_a_day")]
    pub per: PositiveDuration,
}

/// When a policy stops everywhere: until `per` has passed since its last remediation ended, or somebody says that it may
/// go on, by the annotation `paramedic.dev/resumed-at` with the time, on the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Breaker {
    /// So many of the remediations that acted and ended within `per`, or such a share of them, have failed. Default `50%`.
    pub failed: CountOrPercent,
    /// Not before so many have ended. Default 5.
    #[schemars(range(min = 1, max = 10000))]
    #[serde(deserialize_with = "positive")]
    pub least: u32,
    /// The window that slides over them. Default `1h`, at most a day.
    #[schemars(extend("x-kubernetes-validations" = at_most_a_day_rule()))]
    #[serde(deserialize_with = "at_most_a_day")]
    pub per: PositiveDuration,
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
            give_up: GiveUp::default(),
            breaker: Breaker::default(),
        }
    }
}

impl Default for GiveUp {
    fn default() -> Self {
        Self { failures: 3, recurrences: 5, per: PositiveDuration::from_secs(4 * 3600) }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failed: CountOrPercent::Percent(50), least: 5, per: PositiveDuration::from_secs(3600) }
    }
}

pub(super) fn positive<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("must be more than zero")),
        number => Ok(number),
    }
}

fn some_positive<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match Option::deserialize(deserializer)? {
        Some(0) => Err(serde::de::Error::custom("must be more than zero")),
        number => Ok(number),
    }
}

fn some_at_most_a_day<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<PositiveDuration>, D::Error> {
    /// So that the position of an error is that of the value.
    #[derive(Deserialize)]
    struct Day(#[serde(deserialize_with = "at_most_a_day")] PositiveDuration);
    Ok(Option::<Day>::deserialize(deserializer)?.map(|Day(duration)| duration))
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
