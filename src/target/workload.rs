//! What the API says about a workload, in the terms that decisions need. Pure.

use k8s_openapi::{
    api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

/// How a workload replaces its pods when its template changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// New ones start beside the old ones; how many of these may end before, [`WorkloadState::unavailable`] says.
    Surging,
    /// Old ones end first, as many at a time as [`WorkloadState::unavailable`] says.
    OneByOne,
    /// All end at once.
    AllAtOnce,
    /// Not at all: on deletion only, or the workload is paused, or it is of a kind that does not roll.
    Never,
}

/// The part of a workload that decisions are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadState {
    /// How many pods it should have.
    pub desired: u32,
    /// How many are ready, by its status.
    pub ready: u32,
    /// How many are of the current template; `None` where the kind does not say.
    pub updated: Option<u32>,
    /// Whether its controller has seen the latest change of its spec.
    pub observed: bool,
    /// How many pods exist, old ones included; `None` where the kind does not say.
    pub total: Option<u32>,
    /// How it rolls.
    pub rollout: Rollout,
    /// How many pods a rollout may take away before their successors are ready.
    pub unavailable: u32,
    /// Its selector.
    pub selector: LabelSelector,
}

/// Whether a subject is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// As many ready pods as there should be, all of the current template.
    Healthy,
    /// Not yet, and why.
    Unhealthy(String),
    /// It could not be read.
    Unknown(String),
}

impl WorkloadState {
    /// Whether it is well.
    pub fn health(&self) -> Health {
        let Self { desired, ready, .. } = *self;
        if !self.observed {
            return Health::Unhealthy("its controller has not seen the last change yet".to_owned());
        }
        if ready < desired {
            return Health::Unhealthy(format!("{ready} of {desired} pods are ready"));
        }
        if let Some(updated) = self.updated.filter(|updated| *updated < desired) {
            return Health::Unhealthy(format!("{updated} of {desired} pods are of the current template"));
        }
        if let Some(total) = self.total.filter(|total| *total > desired) {
            return Health::Unhealthy(format!("{} pods more than the {desired} it should have", total - desired));
        }
        Health::Healthy
    }

    /// Whether a change of its template is still on its way through its pods.
    pub fn is_rolling(&self) -> bool {
        !self.observed || self.updated.is_some_and(|updated| updated < self.desired)
    }

    /// From a Deployment.
    pub fn of_deployment(deployment: &Deployment) -> Option<Self> {
        let spec = deployment.spec.as_ref()?;
        let status = deployment.status.clone().unwrap_or_default();
        let strategy = spec.strategy.as_ref();
        let recreate = strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate");
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let desired = count(spec.replicas.unwrap_or(1));
        let surge = pods(rolling.and_then(|rolling| rolling.max_surge.as_ref()), 25, desired, Rounding::Up);
        let unavailable =
            pods(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), 25, desired, Rounding::Down);
        // Where neither lets anything happen, the controller lets one pod go.
        let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
        let rollout = match (spec.paused.unwrap_or_default(), recreate, surge > 0) {
            (true, ..) => Rollout::Never,
            (_, true, _) => Rollout::AllAtOnce,
            (_, _, true) => Rollout::Surging,
            (_, _, false) => Rollout::OneByOne,
        };
        Some(Self {
            desired,
            ready: count(status.ready_replicas.unwrap_or_default()),
            updated: Some(count(status.updated_replicas.unwrap_or_default())),
            observed: observed(deployment.metadata.generation, status.observed_generation),
            total: Some(count(status.replicas.unwrap_or_default())),
            rollout,
            unavailable,
            selector: spec.selector.clone(),
        })
    }

    /// From a StatefulSet.
    pub fn of_stateful_set(set: &StatefulSet) -> Option<Self> {
        let spec = set.spec.as_ref()?;
        let status = set.status.clone().unwrap_or_default();
        let on_delete = spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        let rolling = spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let desired = count(spec.replicas.unwrap_or(1));
        // A partition only makes it fewer.
        let unavailable = match rolling.and_then(|rolling| rolling.max_unavailable.as_ref()) {
            None => 1,
            given => pods(given, 0, desired, Rounding::Up).max(1),
        };
        // Until the first update the controller leaves updatedReplicas out; then all are of the only revision.
        let one_revision = status.current_revision == status.update_revision;
        Some(Self {
            desired,
            ready: count(status.ready_replicas.unwrap_or_default()),
            updated: (!one_revision).then(|| count(status.updated_replicas.unwrap_or_default())),
            observed: observed(set.metadata.generation, status.observed_generation),
            total: Some(count(status.replicas)),
            rollout: if on_delete == Some("OnDelete") { Rollout::Never } else { Rollout::OneByOne },
            unavailable,
            selector: spec.selector.clone(),
        })
    }

    /// From a DaemonSet.
    pub fn of_daemon_set(set: &DaemonSet) -> Option<Self> {
        let spec = set.spec.as_ref()?;
        let status = set.status.as_ref()?;
        let on_delete = spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        let rolling = spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let desired = count(status.desired_number_scheduled);
        let surge = pods(rolling.and_then(|rolling| rolling.max_surge.as_ref()), 0, desired, Rounding::Up);
        let unavailable = match rolling.and_then(|rolling| rolling.max_unavailable.as_ref()) {
            None => 1,
            given => pods(given, 0, desired, Rounding::Up),
        };
        let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
        let rollout = match (on_delete == Some("OnDelete"), surge > 0) {
            (true, _) => Rollout::Never,
            (_, true) => Rollout::Surging,
            (_, false) => Rollout::OneByOne,
        };
        Some(Self {
            desired,
            ready: count(status.number_ready),
            updated: Some(count(status.updated_number_scheduled.unwrap_or_default())),
            observed: observed(set.metadata.generation, status.observed_generation),
            total: None,
            rollout,
            unavailable,
            selector: spec.selector.clone(),
        })
    }

    /// From a ReplicaSet that no Deployment owns.
    pub fn of_replica_set(set: &ReplicaSet) -> Option<Self> {
        let spec = set.spec.as_ref()?;
        let status = set.status.clone().unwrap_or_default();
        Some(Self {
            desired: count(spec.replicas.unwrap_or(1)),
            ready: count(status.ready_replicas.unwrap_or_default()),
            updated: None,
            observed: observed(set.metadata.generation, status.observed_generation),
            total: Some(count(status.replicas)),
            rollout: Rollout::Never,
            unavailable: 0,
            selector: spec.selector.clone(),
        })
    }
}

/// Which way a share of pods becomes a whole number.
#[derive(Clone, Copy)]
enum Rounding {
    Up,
    Down,
}

/// A number of pods, or a share of the desired ones; a share in percent where nothing is given. What cannot be read as
/// either is taken for all of them, which is the most careful reading of what may be missing.
fn pods(given: Option<&IntOrString>, default_percent: u32, desired: u32, rounding: Rounding) -> u32 {
    let percent = match given {
        None => default_percent,
        Some(IntOrString::Int(number)) => return count(*number),
        Some(IntOrString::String(text)) => match text.strip_suffix('%').map(str::parse) {
            Some(Ok(percent)) => percent,
            _ => return text.parse().unwrap_or(desired),
        },
    };
    let hundredths = u64::from(desired) * u64::from(percent);
    let whole = match rounding {
        Rounding::Up => hundredths.div_ceil(100),
        Rounding::Down => hundredths / 100,
    };
    u32::try_from(whole).unwrap_or(u32::MAX)
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

fn observed(generation: Option<i64>, observed: Option<i64>) -> bool {
    observed >= generation
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod rolling {
    use serde_json::{Value, json};

    use super::*;

    /// How it rolls, and how many pods it may take away at once.
    fn rolls(state: Option<WorkloadState>) -> (Rollout, u32) {
        let state = state.unwrap();
        (state.rollout, state.unavailable)
    }

    fn deployment(replicas: i32, strategy: &Value) -> (Rollout, u32) {
        let template = json!({ "metadata": {}, "spec": { "containers": [] } });
        let spec = json!({ "replicas": replicas, "selector": {}, "strategy": strategy, "template": template });
        rolls(WorkloadState::of_deployment(&serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap()))
    }

    #[test]
    fn a_deployment_takes_away_as_many_pods_as_max_unavailable_says_rounded_down() {
        let rolling = |surge: Value, unavailable: Value| json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable } });
        let table = [
            (4, json!({}), (Rollout::Surging, 1)),
            (3, json!({ "type": "RollingUpdate" }), (Rollout::Surging, 0)), // 0.75 of a pod
            (10, json!({ "type": "RollingUpdate" }), (Rollout::Surging, 2)),
            (3, rolling(json!(1), json!(0)), (Rollout::Surging, 0)),
            (3, rolling(json!(1), json!("100%")), (Rollout::Surging, 3)),
            (3, rolling(json!(1), json!("50%")), (Rollout::Surging, 1)),
            (10, rolling(json!(0), json!("50%")), (Rollout::OneByOne, 5)),
            (10, rolling(json!(0), json!(3)), (Rollout::OneByOne, 3)),
            (3, rolling(json!("0%"), json!("25%")), (Rollout::OneByOne, 1)), // neither would let it roll
            (3, rolling(json!(0), json!(0)), (Rollout::OneByOne, 1)),
            (3, rolling(json!("1%"), json!(0)), (Rollout::Surging, 0)), // a share of a surge rounds up
            (3, rolling(json!("x"), json!("y")), (Rollout::Surging, 3)), // nobody can say
        ];
        for (replicas, strategy, expected) in table {
            assert_eq!(deployment(replicas, &strategy), expected, "{replicas} {strategy}");
        }
        assert_eq!(deployment(3, &json!({ "type": "Recreate" })).0, Rollout::AllAtOnce);
    }

    #[test]
    fn a_daemon_set_takes_away_one_pod_unless_it_says_more_or_surges() {
        let rolling = |strategy: &Value| {
            let template = json!({ "metadata": {}, "spec": { "containers": [] } });
            let spec = json!({ "selector": {}, "updateStrategy": strategy, "template": template });
            let status = json!({
                "desiredNumberScheduled": 10, "currentNumberScheduled": 10, "numberMisscheduled": 0, "numberReady": 10,
            });
            let set = json!({ "metadata": {}, "spec": spec, "status": status });
            rolls(WorkloadState::of_daemon_set(&serde_json::from_value(set).unwrap()))
        };
        let table = [
            (json!({}), (Rollout::OneByOne, 1)),
            (json!({ "rollingUpdate": { "maxUnavailable": 3 } }), (Rollout::OneByOne, 3)),
            (json!({ "rollingUpdate": { "maxUnavailable": "25%" } }), (Rollout::OneByOne, 3)), // 2.5 rounds up
            (json!({ "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } }), (Rollout::Surging, 0)),
            (json!({ "type": "OnDelete" }), (Rollout::Never, 1)),
        ];
        for (strategy, expected) in table {
            assert_eq!(rolling(&strategy), expected, "{strategy}");
        }
    }

    #[test]
    fn a_stateful_set_takes_away_one_pod_unless_it_says_more() {
        let rolling = |strategy: &Value| {
            let template = json!({ "metadata": {}, "spec": { "containers": [] } });
            let spec = json!({
                "replicas": 10, "selector": {}, "serviceName": "db", "updateStrategy": strategy, "template": template,
            });
            rolls(WorkloadState::of_stateful_set(
                &serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap(),
            ))
        };
        let table = [
            (json!({}), (Rollout::OneByOne, 1)),
            (json!({ "rollingUpdate": { "partition": 9 } }), (Rollout::OneByOne, 1)),
            (json!({ "rollingUpdate": { "maxUnavailable": 4, "partition": 9 } }), (Rollout::OneByOne, 4)),
            (json!({ "rollingUpdate": { "maxUnavailable": "25%" } }), (Rollout::OneByOne, 3)),
            (json!({ "type": "OnDelete" }), (Rollout::Never, 1)),
        ];
        for (strategy, expected) in table {
            assert_eq!(rolling(&strategy), expected, "{strategy}");
        }
    }
}
