//! What the API says about a workload, in the terms that decisions need. Pure.

use k8s_openapi::{
    api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

/// How a workload replaces its pods when its template changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// New ones start before old ones end: no pod is missing in between.
    Surging,
    /// One after another is ended and started again.
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
        let surge = strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.max_surge.clone());
        let surges = !surge.is_some_and(|surge| match surge {
            IntOrString::Int(pods) => pods == 0,
            IntOrString::String(share) => share == "0%" || share == "0",
        });
        let rollout = match (spec.paused.unwrap_or_default(), recreate, surges) {
            (true, ..) => Rollout::Never,
            (_, true, _) => Rollout::AllAtOnce,
            (_, _, true) => Rollout::Surging,
            (_, _, false) => Rollout::OneByOne,
        };
        Some(Self {
            desired: count(spec.replicas.unwrap_or(1)),
            ready: count(status.ready_replicas.unwrap_or_default()),
            updated: Some(count(status.updated_replicas.unwrap_or_default())),
            observed: observed(deployment.metadata.generation, status.observed_generation),
            total: Some(count(status.replicas.unwrap_or_default())),
            rollout,
            selector: spec.selector.clone(),
        })
    }

    /// From a StatefulSet.
    pub fn of_stateful_set(set: &StatefulSet) -> Option<Self> {
        let spec = set.spec.as_ref()?;
        let status = set.status.clone().unwrap_or_default();
        let on_delete = spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        // Until the first update the controller leaves updatedReplicas out; then all are of the only revision.
        let one_revision = status.current_revision == status.update_revision;
        Some(Self {
            desired: count(spec.replicas.unwrap_or(1)),
            ready: count(status.ready_replicas.unwrap_or_default()),
            updated: (!one_revision).then(|| count(status.updated_replicas.unwrap_or_default())),
            observed: observed(set.metadata.generation, status.observed_generation),
            total: Some(count(status.replicas)),
            rollout: if on_delete == Some("OnDelete") { Rollout::Never } else { Rollout::OneByOne },
            selector: spec.selector.clone(),
        })
    }

    /// From a DaemonSet.
    pub fn of_daemon_set(set: &DaemonSet) -> Option<Self> {
        let spec = set.spec.as_ref()?;
        let status = set.status.as_ref()?;
        let on_delete = spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        Some(Self {
            desired: count(status.desired_number_scheduled),
            ready: count(status.number_ready),
            updated: Some(count(status.updated_number_scheduled.unwrap_or_default())),
            observed: observed(set.metadata.generation, status.observed_generation),
            total: None,
            rollout: if on_delete == Some("OnDelete") { Rollout::Never } else { Rollout::OneByOne },
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
            selector: spec.selector.clone(),
        })
    }
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

fn observed(generation: Option<i64>, observed: Option<i64>) -> bool {
    observed >= generation
}

#[cfg(test)]
mod tests;
