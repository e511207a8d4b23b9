//! What is to be looked at, now and later, in a fixed order.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::objects::Key;

/// One thing to look at. The order is the order of work: what happens to pods comes before what is said of them, so that
/// it is said once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    /// An object whose owners may be gone, or that waits for its dependents: where it is held, and which one.
    Collect(usize, Key),
    /// A namespace that may need what each has.
    Namespace(String),
    /// The nodes have changed.
    Nodes,
    /// A claim for a volume.
    Claim(Key),
    /// A job: it counts a pod that was told to end before that has ended.
    Job(Key),
    /// A pod, for the scheduler and its kubelet.
    Pod(Key),
    /// A pod that is gone, by its UID.
    Forget(String),
    ReplicaSet(Key),
    StatefulSet(Key),
    DaemonSet(Key),
    CronJob(Key),
    Deployment(Key),
    /// A PodDisruptionBudget.
    Budget(Key),
}

/// The tasks.
#[derive(Debug, Default)]
pub(super) struct Queue {
    now: BTreeSet<Task>,
    later: BTreeMap<Task, Timestamp>,
    times: BTreeSet<(Timestamp, Task)>,
}

impl Queue {
    pub(super) fn add(&mut self, task: Task) {
        self.now.insert(task);
    }

    pub(super) fn extend(&mut self, tasks: impl IntoIterator<Item = Task>) {
        self.now.extend(tasks);
    }

    /// Sets when a task is due by itself, in place of what was set before.
    pub(super) fn at(&mut self, task: &Task, at: Option<Timestamp>) {
        if let Some(before) = self.later.remove(task) {
            self.times.remove(&(before, task.clone()));
        }
        if let Some(at) = at {
            self.later.insert(task.clone(), at);
            self.times.insert((at, task.clone()));
        }
    }

    /// What is due becomes work.
    pub(super) fn wake(&mut self, now: Timestamp) {
        while let Some((at, task)) = self.times.first().cloned().filter(|(at, _)| *at <= now) {
            self.times.remove(&(at, task.clone()));
            self.later.remove(&task);
            self.now.insert(task);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.now.is_empty()
    }

    /// The next task.
    pub(super) fn take(&mut self) -> Option<Task> {
        self.now.pop_first()
    }

    /// When the next task is due by itself.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.times.first().map(|(at, _)| *at)
    }
}
