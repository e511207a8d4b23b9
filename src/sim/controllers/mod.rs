//! The control loops of the simulated cluster: what `kube-controller-manager`, `kube-scheduler` and the kubelets do.
//!
//! They are steps over the state and the time: no task, no waiting, one fixed order. [`Controllers::step`] runs them until
//! nothing follows any more, and says when it should be called again. They learn of writes as a watch does, one by one,
//! so that a step without news costs next to nothing.

mod budget;
mod collector;
mod cronjob;
mod daemonset;
mod deployment;
mod events;
mod graph;
mod job;
mod kubelet;
mod nodes;
mod objects;
mod played;
mod queue;
mod replicas;
mod replicaset;
mod revisions;
mod run;
mod runtime;
mod statefulset;
mod view;
mod volumes;

#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use played::{Played, Program};
pub use runtime::{ContainerId, ContainerState, Runtime};

use self::{
    events::Recorder,
    job::Failures,
    kubelet::Kubelet,
    objects::{after, earlier},
    queue::{Queue, Task},
    view::View,
};
use super::{State, Status};

/// How many things a step looks at before it takes a breath: something that never settles must not hold everything.
const MOST: usize = 50_000;

/// After how many seconds something that was refused is tried again.
const RETRY: i64 = 5;

/// The controllers, with what they remember between two steps.
#[derive(Debug)]
pub struct Controllers {
    view: View,
    queue: Queue,
    kubelet: Kubelet,
    recorder: Recorder,
    /// The failures in a row of each job, by its UID.
    failures: BTreeMap<String, Failures>,
    nodes: usize,
}

/// What a controller works with, and on.
struct Context<'a> {
    state: &'a mut State,
    view: &'a View,
    recorder: &'a mut Recorder,
    failures: &'a mut BTreeMap<String, Failures>,
    now: Timestamp,
}

/// When it should be looked at again though nothing changes, or why it could not be done.
type Done = Result<Option<Timestamp>, Status>;

impl Default for Controllers {
    fn default() -> Self {
        Self::new()
    }
}

impl Controllers {
    /// Of a cluster with one node, with Events.
    pub fn new() -> Self {
        Self {
            view: View::new(),
            queue: Queue::default(),
            kubelet: Kubelet::default(),
            recorder: Recorder::new(),
            failures: BTreeMap::new(),
            nodes: 1,
        }
    }

    /// Of a cluster with that many nodes; they are made in the first step, unless there are any.
    #[must_use]
    pub fn with_nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Without Events, which cost a write each.
    #[must_use]
    pub fn without_events(mut self) -> Self {
        self.recorder.silence();
        self
    }

    /// Does all that follows from what was written, and from the time. Gives the time at which it must be called again at
    /// the latest; sooner, whenever something was written.
    pub fn step(&mut self, state: &mut State, runtime: &mut dyn Runtime, now: Timestamp) -> Option<Timestamp> {
        if self.nodes > 0 {
            nodes::furnish(state, std::mem::take(&mut self.nodes), now);
        }
        for _ in 0..MOST {
            self.view.follow(state, &mut self.queue);
            self.queue.wake(now);
            if self.queue.is_empty() {
                for uid in runtime.changed(now) {
                    self.queue.extend(self.kubelet.pod(&uid).map(Task::Pod));
                }
            }
            let Some(task) = self.queue.take() else {
                return earlier(self.queue.next(), runtime.next(now));
            };
            let again = self.work(&task, state, runtime, now);
            self.queue.at(&task, again);
        }
        tracing::error!("the simulated cluster does not settle");
        Some(after(now, 1))
    }

    fn work(&mut self, task: &Task, state: &mut State, runtime: &mut dyn Runtime, now: Timestamp) -> Option<Timestamp> {
        let mut context =
            Context { state, view: &self.view, recorder: &mut self.recorder, failures: &mut self.failures, now };
        let context = &mut context;
        let done = match task {
            Task::Collect(storage, key) => collector::reconcile(context, &(*storage, key.clone())),
            Task::Deployment(key) => deployment::reconcile(context, key),
            Task::ReplicaSet(key) => replicaset::reconcile(context, key),
            Task::Budget(key) => budget::reconcile(context, key),
            Task::Nodes => {
                let waiting = nodes::waiting(context.view);
                self.queue.extend(waiting.into_iter().map(Task::Pod));
                nodes::evict(context)
            }
            Task::Pod(key) => self.kubelet.reconcile(context, runtime, key),
            Task::Forget(uid) => {
                self.kubelet.forget(uid, runtime, now);
                Ok(None)
            }
            Task::Namespace(name) => nodes::account(context, name),
            Task::Claim(key) => volumes::reconcile(context, key),
            Task::StatefulSet(key) => statefulset::reconcile(context, key),
            Task::DaemonSet(key) => daemonset::reconcile(context, key),
            Task::Job(key) => job::reconcile(context, key),
            Task::CronJob(key) => cronjob::reconcile(context, key),
        };
        done.unwrap_or_else(|status| {
            tracing::debug!(?task, message = status.message, "a controller was refused");
            Some(after(now, RETRY))
        })
    }
}

/// One step of controllers that remember nothing: for a test that wants no more.
pub fn step(state: &mut State, runtime: &mut dyn Runtime, now: Timestamp) -> Option<Timestamp> {
    Controllers::new().step(state, runtime, now)
}
