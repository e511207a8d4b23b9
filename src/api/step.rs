//! The steps of a policy's ladder.

use std::time::Duration;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::{PositiveDuration, Query, limits::DAY};

/// One rung: exactly one action, and how to tell that it helped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "StepFields")]
pub struct Step {
    /// Ends the target pod, so that its controller starts a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_pod: Option<RestartPod>,
    /// Restarts every pod of the subject, as `kubectl rollout restart` does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout_restart: Option<RolloutRestart>,
    /// When the step counts as a success.
    pub verify: Verify,
}

/// One rung of the ladder: exactly one action, and how to tell that it helped.
// What [`Step`] is read through, so that a step with no action, or with two, is refused where it stands.
#[derive(Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.restartPod), has(self.rolloutRestart)].filter(x, x).size() == 1")
    .message("a step has exactly one action: restartPod or rolloutRestart"))]
struct StepFields {
    /// Ends the target pod, so that its controller starts a new one.
    restart_pod: Option<RestartPod>,
    /// Restarts every pod of the subject, as `kubectl rollout restart` does.
    rollout_restart: Option<RolloutRestart>,
    /// When the step counts as a success.
    #[serde(default)]
    verify: Verify,
}

impl JsonSchema for Step {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Step".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        StepFields::json_schema(generator)
    }
}

impl TryFrom<StepFields> for Step {
    type Error = &'static str;

    fn try_from(fields: StepFields) -> Result<Self, Self::Error> {
        if usize::from(fields.restart_pod.is_some()) + usize::from(fields.rollout_restart.is_some()) != 1 {
            return Err("a step has exactly one action: restartPod or rolloutRestart");
        }
        if fields.verify.stable_for > fields.verify.within {
            return Err("verify.stableFor is longer than verify.within, so the step could never succeed");
        }
        Ok(Self { restart_pod: fields.restart_pod, rollout_restart: fields.rollout_restart, verify: fields.verify })
    }
}

/// A step's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// [`Step::restart_pod`]
    RestartPod(&'a RestartPod),
    /// [`Step::rollout_restart`]
    RolloutRestart(&'a RolloutRestart),
}

impl Step {
    /// The action. `None` cannot come out of anything that was read, only out of a `Step` put together by hand.
    pub fn action(&self) -> Option<Action<'_>> {
        match (&self.restart_pod, &self.rollout_restart) {
            (Some(restart), None) => Some(Action::RestartPod(restart)),
            (None, Some(restart)) => Some(Action::RolloutRestart(restart)),
            _ => None,
        }
    }
}

impl Action<'_> {
    /// The name of the field that holds it; in journals, metrics and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RestartPod(_) => "restartPod",
            Self::RolloutRestart(_) => "rolloutRestart",
        }
    }
}

/// Ends the target pod; its controller starts another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestartPod {
    /// `Evict` honours PodDisruptionBudgets, `Delete` does not. Default `Evict`.
    #[serde(default)]
    pub method: RestartMethod,
    /// How long the pod gets to shut down, at most a day; the pod's own setting where this is absent.
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "duration(self) <= duration('24h')",
        "message": "is longer than the 24h that a pod may take to shut down",
    }]))]
    #[serde(default, deserialize_with = "at_most_a_day", skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<PositiveDuration>,
}

/// A pod that is still there a day later helps nobody: its remediation has ended long before.
fn at_most_a_day<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<PositiveDuration>, D::Error> {
    let duration = Option::<PositiveDuration>::deserialize(deserializer)?;
    if let Some(duration) = duration.filter(|duration| *duration > DAY) {
        let why = format!("`{duration}` is longer than the 24h that a pod may take to shut down");
        return Err(serde::de::Error::custom(why));
    }
    Ok(duration)
}

/// How a pod is ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestartMethod {
    /// By the eviction API, which refuses while a `PodDisruptionBudget` is at its limit.
    #[default]
    Evict,
    /// By deletion.
    Delete,
}

/// Restarts every pod of a Deployment, `StatefulSet` or `DaemonSet` by a new revision of its template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutRestart {}

/// When a step has helped: the subject is healthy and the alert is gone, unbroken for a while, in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [{
    // The defaults are filled in before this is evaluated.
    "rule": "duration(self.stableFor) <= duration(self.within)",
    "message": "stableFor is longer than within, so the step could never succeed",
}, {
    "rule": "duration(self.within) <= duration('1h')",
    "message": "within is longer than the hour that a remediation may take in all, and would end first; set 1h or less",
}]))]
pub struct Verify {
    /// How long after the action it may take. A remediation may take an hour in all, so those of its steps together must
    /// not be longer. Default `5m`.
    pub within: PositiveDuration,
    /// How long health and silence must last unbroken, at least. Where a Prometheus of the alert's source can be asked, the
    /// rule's `for` plus two evaluations goes before it if that is longer; where none can, set it to that, or a relapse is
    /// taken for a success. Default `1m`.
    pub stable_for: PositiveDuration,
    /// PromQL that must hold, too: a comparison that leaves series, such as `sum(up{job="shop"}) >= 3`. Where it leaves none,
    /// nobody can tell whether it does not hold or there is no data, and that is no success; with `bool`
    /// (`sum(up{job="shop"}) >= bool 3`) a 0 says that it does not hold, and the next step follows. `{{ $labels.NAME }}` in a
    /// string is a label of the alert, escaped. Only Prometheus can tell whether it is right PromQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Query>,
}

impl Default for Verify {
    fn default() -> Self {
        Self { within: PositiveDuration::from_secs(300), stable_for: PositiveDuration::from_secs(60), query: None }
    }
}

impl Verify {
    /// How long after the action the step has failed.
    pub const fn deadline(&self) -> Duration {
        self.within.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_exactly_one_action() {
        let one: Step = serde_json::from_str(r#"{"restartPod":{}}"#).unwrap();
        assert_eq!(one.action().map(Action::name), Some("restartPod"));
        for bad in [r"{}", r#"{"restartPod":{},"rolloutRestart":{}}"#, r#"{"restartPods":{}}"#] {
            assert!(serde_json::from_str::<Step>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pod_has_a_day_to_shut_down_at_most() {
        let with = |grace: &str| serde_json::from_str::<RestartPod>(&format!(r#"{{"gracePeriod":{grace}}}"#));
        assert_eq!(with("null").unwrap().grace_period, None);
        assert_eq!(with(r#""24h""#).unwrap().grace_period, Some(DAY));
        for far in ["25h", "5124095576030431h", "99999999999999999999h"] {
            let error = with(&format!("\"{far}\"")).unwrap_err().to_string();
            assert!(error.contains("is longer than"), "{far}: {error}");
        }
    }

    #[test]
    fn a_verification_that_could_never_succeed_is_refused() {
        let error = serde_json::from_str::<Step>(r#"{"restartPod":{},"verify":{"within":"30s"}}"#).unwrap_err();
        assert!(error.to_string().contains("stableFor"), "{error}");
    }

    #[test]
    fn a_query_that_can_be_none_is_refused_where_it_stands() {
        let step = |query: &str| {
            let step = serde_json::json!({ "restartPod": {}, "verify": { "query": query } });
            serde_json::from_value::<Step>(step)
        };
        let taken = step("sum(up) >= 3").unwrap();
        assert_eq!(taken.verify.query.map(|query| query.to_string()).as_deref(), Some("sum(up) >= 3"));
        assert_eq!(step("sum(up >= 3").unwrap_err().to_string(), "`(` in the query has no counterpart");
    }
}
