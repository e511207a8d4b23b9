//! Deployments: a ReplicaSet for each template, and pods moved from the old ones to the new one.

mod rollout;
mod sets;
mod status;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentSpec, ReplicaSet},
    core::v1::Pod,
};

use super::{
    Context, Done,
    objects::{Key, is_deleting, is_empty, scaled, uid},
    replicas::{claim, is_over},
};
use crate::sim::Status;

const NAME: &str = "deployment-controller";

/// A Deployment under work: what is found out about it is written once, at the end.
struct Work<'c, 's> {
    context: &'c mut Context<'s>,
    /// As it was read.
    before: Arc<Deployment>,
    /// As it is to be.
    deployment: Deployment,
    spec: DeploymentSpec,
    replicas: i32,
    /// The ReplicaSet of the current template.
    new: Option<ReplicaSet>,
    /// All others, oldest first.
    old: Vec<ReplicaSet>,
}

pub(super) fn reconcile(context: &mut Context<'_>, key: &Key) -> Done {
    let Some(before) = context.view.deployments.get(key) else { return Ok(None) };
    let Some(spec) = before.spec.clone() else { return Ok(None) };
    if is_empty(&spec.selector) {
        return Ok(None);
    }
    let sets = claim(context, |view| &view.replica_sets, &*before, &spec.selector, |_| true)?;
    let deployment = Deployment::clone(&before);
    let replicas = spec.replicas.unwrap_or(1);
    let mut work = Work { context, before, deployment, spec, replicas, new: None, old: Vec::new() };
    work.sort(&sets);
    let done = work.go();
    work.finish(done)
}

impl Work<'_, '_> {
    /// Everything but the write of the status; gives when something is due by itself.
    fn go(&mut self) -> Done {
        if is_deleting(&self.deployment.metadata) {
            self.follow_revision()?;
            self.count_status();
            return Ok(None);
        }
        self.note_pause();
        self.follow_revision()?;
        if self.spec.paused.unwrap_or_default() || self.is_scaling() {
            self.scale()?;
            if self.spec.paused.unwrap_or_default() {
                self.clean_up()?;
            }
            self.count_status();
            return Ok(None);
        }
        if self.is_recreate() {
            self.recreate()?;
        } else {
            self.roll()?;
        }
        Ok(self.rollout_status())
    }

    /// Writes what has changed, also when the rest was refused.
    fn finish(self, done: Done) -> Done {
        if self.deployment.status != self.before.status
            || self.deployment.metadata.annotations != self.before.metadata.annotations
        {
            self.context.state.update_status(&self.deployment)?;
        }
        done
    }

    fn is_recreate(&self) -> bool {
        self.spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
    }

    /// How many pods there may be above the number that there should be, and how many may be missing.
    fn fences(&self) -> (i32, i32) {
        if self.is_recreate() {
            return (0, 0);
        }
        let rolling = self.spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let share = |value: Option<&_>, up| value.and_then(|value| scaled(value, self.replicas, up).ok()).unwrap_or(0);
        let surge = share(rolling.and_then(|rolling| rolling.max_surge.as_ref()), true);
        let unavailable = share(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), false);
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        (surge, unavailable.min(self.replicas))
    }

    fn now(&self) -> Timestamp {
        self.context.now
    }

    /// All ReplicaSets.
    fn all(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.old.iter().chain(&self.new)
    }

    /// Whether a pod of an old ReplicaSet still runs.
    fn old_pods_run(&self) -> bool {
        let running = |pod: &Pod| !is_over(pod);
        self.old.iter().any(|set| {
            set.status.as_ref().is_some_and(|status| status.replicas > 0)
                || self.context.view.pods.controlled(uid(&set.metadata)).any(|pod| running(pod))
        })
    }
}

/// How many pods a ReplicaSet should have.
fn size(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// How many of its pods are available.
fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default()
}

/// What the ReplicaSets have in sum.
fn sum<'a>(sets: impl Iterator<Item = &'a ReplicaSet>, of: impl Fn(&ReplicaSet) -> i32) -> i32 {
    sets.map(of).sum()
}

/// What was refused, as conditions say it.
fn why(status: &Status) -> &str {
    &status.message
}

#[cfg(test)]
mod tests;
