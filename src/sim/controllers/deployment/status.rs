//! What a Deployment says of itself.

use jiff::Timestamp;
#[cfg(test)]
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus, ReplicaSet};

use super::{
    super::objects::{after, name, time},
    Work, available, size, sum,
};

const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const FAILURE: &str = "ReplicaFailure";

fn find<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn reason<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a str> {
    find(status, kind)?.reason.as_deref()
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
    }
}

/// Sets a condition; one of the same status and reason stays as it is.
fn set(status: &mut DeploymentStatus, mut condition: DeploymentCondition) {
    let before = find(status, &condition.type_);
    if let Some(before) = before.filter(|before| before.status == condition.status) {
        if before.reason == condition.reason {
            return;
        }
        condition.last_transition_time.clone_from(&before.last_transition_time);
    }
    remove(status, &condition.type_);
    status.conditions.get_or_insert_default().push(condition);
}

fn condition(kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_update_time: Some(time(now)),
        last_transition_time: Some(time(now)),
    }
}

/// A count; none is not written.
fn some(number: i32) -> Option<i32> {
    Some(number).filter(|number| *number != 0)
}

impl Work<'_, '_> {
    fn deadline(&self) -> Option<i64> {
        self.spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX).map(i64::from)
    }

    fn set(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let condition = condition(kind, status, reason, message, self.now());
        set(self.deployment.status.get_or_insert_default(), condition);
    }

    /// Notes that it was paused, or goes on.
    pub(super) fn note_pause(&mut self) {
        if self.deadline().is_none() {
            return;
        }
        let status = self.deployment.status.clone().unwrap_or_default();
        let noted = reason(&status, PROGRESSING);
        if noted == Some("ProgressDeadlineExceeded") {
            return;
        }
        match (self.spec.paused.unwrap_or_default(), noted == Some("DeploymentPaused")) {
            (true, false) => self.set(PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused"),
            (false, true) => self.set(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed"),
            _ => {}
        }
    }

    pub(super) fn found_new(&mut self) {
        let known = self.deployment.status.as_ref().is_some_and(|status| find(status, PROGRESSING).is_some());
        if let (Some(new), true, false) = (&self.new, self.deadline().is_some(), known) {
            let message = format!("Found new replica set {:?}", name(&new.metadata));
            self.set(PROGRESSING, "True", "FoundNewReplicaSet", &message);
        }
    }

    pub(super) fn created_new(&mut self, name: &str) {
        if self.deadline().is_some() {
            self.set(PROGRESSING, "True", "NewReplicaSetCreated", &format!("Created new replica set {name:?}"));
        }
    }

    pub(super) fn not_created(&mut self, message: &str) {
        if self.deadline().is_some() {
            self.set(PROGRESSING, "False", "ReplicaSetCreateError", message);
        }
    }

    /// Whether the rollout was complete when the status was written last.
    pub(super) fn is_complete(&self) -> bool {
        self.before.status.as_ref().is_some_and(|status| self.completes(status))
    }

    fn completes(&self, status: &DeploymentStatus) -> bool {
        let all = |number: Option<i32>| number.unwrap_or_default() == self.replicas;
        all(status.updated_replicas)
            && all(status.replicas)
            && all(status.available_replicas)
            && status.observed_generation >= self.deployment.metadata.generation
    }

    /// Counts its pods by what the ReplicaSets say.
    pub(super) fn count_status(&mut self) {
        let of = |count: fn(&ReplicaSet) -> i32| sum(self.all(), count);
        let healthy = of(available);
        let replicas = |set: &ReplicaSet| set.status.as_ref().map(|status| status.replicas).unwrap_or_default();
        let before = self.deployment.status.clone().unwrap_or_default();
        let mut status = DeploymentStatus {
            observed_generation: self.deployment.metadata.generation,
            replicas: some(of(replicas)),
            updated_replicas: some(self.new.as_ref().map(replicas).unwrap_or_default()),
            ready_replicas: some(of(|set| {
                set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or_default()
            })),
            available_replicas: some(healthy),
            unavailable_replicas: some((of(size) - healthy).max(0)),
            collision_count: before.collision_count,
            conditions: before.conditions,
            terminating_replicas: None,
        };
        let enough = healthy >= self.replicas - self.fences().1;
        let now = self.now();
        let condition = if enough {
            condition(AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
        } else {
            let message = "Deployment does not have minimum availability.";
            condition(AVAILABLE, "False", "MinimumReplicasUnavailable", message, now)
        };
        set(&mut status, condition);
        self.deployment.status = Some(status);
    }

    /// The same in a rollout, with how it goes on; gives when it has to be looked at again for its deadline.
    pub(super) fn rollout_status(&mut self) -> Option<Timestamp> {
        // Progress is against what was written last, not against what was found out since.
        let before = self.before.status.clone().unwrap_or_default();
        self.count_status();
        let mut status = self.deployment.status.take().unwrap_or_default();
        let (now, deadline) = (self.now(), self.deadline());
        if let Some(deadline) = deadline {
            let noted = find(&status, PROGRESSING).cloned();
            let complete = status.replicas == status.updated_replicas
                && noted.as_ref().and_then(|noted| noted.reason.as_deref()) == Some("NewReplicaSetAvailable");
            if !complete {
                self.progress(&before, &mut status, noted, deadline);
            }
        } else {
            remove(&mut status, PROGRESSING);
        }
        let failures = self.new.iter().chain(&self.old).filter_map(failure);
        match failures.into_iter().next() {
            Some(failure) => set(&mut status, failure),
            None => remove(&mut status, FAILURE),
        }
        let again = deadline.filter(|_| !self.completes(&status)).and_then(|deadline| {
            let noted = find(&status, PROGRESSING)?;
            let stuck = noted.reason.as_deref() == Some("ProgressDeadlineExceeded");
            let since = noted.last_update_time.as_ref()?.0;
            (!stuck).then(|| after(since, deadline + 1)).filter(|at| *at > now)
        });
        self.deployment.status = Some(status);
        again
    }

    fn progress(
        &self,
        before: &DeploymentStatus,
        status: &mut DeploymentStatus,
        noted: Option<DeploymentCondition>,
        deadline: i64,
    ) {
        let now = self.now();
        let own = name(&self.deployment.metadata);
        let who = self
            .new
            .as_ref()
            .map_or_else(|| format!("Deployment {own:?}"), |new| format!("ReplicaSet {:?}", name(&new.metadata)));
        if self.completes(status) {
            let message = format!("{who} has successfully progressed.");
            set(status, condition(PROGRESSING, "True", "NewReplicaSetAvailable", &message, now));
        } else if progresses(before, status) {
            let message = format!("{who} is progressing.");
            let mut condition = condition(PROGRESSING, "True", "ReplicaSetUpdated", &message, now);
            if let Some(noted) = noted.filter(|noted| noted.status == "True") {
                condition.last_transition_time = noted.last_transition_time;
            }
            remove(status, PROGRESSING);
            set(status, condition);
        } else if let Some(noted) = noted {
            let decided =
                matches!(noted.reason.as_deref(), Some("NewReplicaSetAvailable" | "ProgressDeadlineExceeded"));
            let late = noted.last_update_time.is_some_and(|since| after(since.0, deadline) < now);
            if !decided && late {
                let message = format!("{who} has timed out progressing.");
                set(status, condition(PROGRESSING, "False", "ProgressDeadlineExceeded", &message, now));
            }
        }
    }
}

/// Whether the rollout has come further since.
fn progresses(before: &DeploymentStatus, now: &DeploymentStatus) -> bool {
    let number = |number: Option<i32>| number.unwrap_or_default();
    let old = |status: &DeploymentStatus| number(status.replicas) - number(status.updated_replicas);
    now.updated_replicas > before.updated_replicas
        || old(now) < old(before)
        || now.ready_replicas > before.ready_replicas
        || now.available_replicas > before.available_replicas
}

/// The failure of a ReplicaSet as its Deployment repeats it.
fn failure(set: &ReplicaSet) -> Option<DeploymentCondition> {
    let conditions = set.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| condition.type_ == FAILURE)?.clone();
    Some(DeploymentCondition {
        type_: found.type_,
        status: found.status,
        reason: found.reason,
        message: found.message,
        last_update_time: found.last_transition_time.clone(),
        last_transition_time: found.last_transition_time,
    })
}

/// The condition of that type.
#[cfg(test)]
pub(super) fn condition_of<'a>(deployment: &'a Deployment, kind: &str) -> Option<&'a DeploymentCondition> {
    find(deployment.status.as_ref()?, kind)
}
