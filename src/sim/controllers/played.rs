//! A runtime that plays: its containers do what a program says, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::{ContainerId, ContainerState, Runtime};

/// What a container does, from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    ready_after: Option<Duration>,
    exit: Option<Exit>,
    ends_after: Option<Duration>,
    memory: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Exit {
    after: Duration,
    code: i32,
    reason: Option<String>,
    /// In how many runs; the ones after that stay.
    times: u32,
}

impl Default for Program {
    fn default() -> Self {
        Self::serves()
    }
}

impl Program {
    /// It is ready at once, stays, and ends as soon as it is told to.
    pub const fn serves() -> Self {
        Self { ready_after: Some(Duration::ZERO), exit: None, ends_after: Some(Duration::ZERO), memory: None }
    }

    /// It does its work, for as long as that takes, and exits with 0.
    pub fn works_for(time: Duration) -> Self {
        Self::serves().exits_after(time, 0, u32::MAX)
    }

    /// It is ready after that time only.
    #[must_use]
    pub const fn ready_after(mut self, time: Duration) -> Self {
        self.ready_after = Some(time);
        self
    }

    /// It is never ready.
    #[must_use]
    pub const fn never_ready(mut self) -> Self {
        self.ready_after = None;
        self
    }

    /// It exits by itself after that time, with that code, in its first so many runs.
    #[must_use]
    pub fn exits_after(mut self, time: Duration, code: i32, times: u32) -> Self {
        self.exit = Some(Exit { after: time, code, reason: None, times });
        self
    }

    /// The same for want of memory.
    #[must_use]
    pub fn out_of_memory_after(mut self, time: Duration, times: u32) -> Self {
        self.exit = Some(Exit { after: time, code: 137, reason: Some("OOMKilled".to_owned()), times });
        self
    }

    /// It needs that time to end when it is told to.
    #[must_use]
    pub const fn ends_after(mut self, time: Duration) -> Self {
        self.ends_after = Some(time);
        self
    }

    /// It does not end when it is told to, but when its grace is over.
    #[must_use]
    pub const fn ignores_term(mut self) -> Self {
        self.ends_after = None;
        self
    }

    /// It uses that many bytes.
    #[must_use]
    pub const fn with_memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }
}

type Rule = Box<dyn FnMut(&Pod) -> Option<Program> + Send>;

/// The runtime. Cheap to clone; clones are the same one, so that a test can keep one and change what happens next.
#[derive(Clone)]
pub struct Played(Arc<Mutex<Stage>>);

struct Stage {
    rules: Vec<Rule>,
    otherwise: Program,
    runs: BTreeMap<ContainerId, Run>,
    /// When a container's state changes by itself.
    changes: BTreeSet<(Timestamp, ContainerId)>,
    /// Whose did at another's word.
    changed: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Run {
    program: Program,
    number: u32,
    since: Timestamp,
    ready_at: Option<Timestamp>,
    /// When it ends, how, and why.
    end: Option<(Timestamp, i32, Option<String>)>,
}

impl fmt::Debug for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Played").field("runs", &self.stage().runs).finish_non_exhaustive()
    }
}

impl Default for Played {
    fn default() -> Self {
        Self::new(Program::serves())
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.saturating_add(by).ok()).unwrap_or(Timestamp::MAX)
}

impl Played {
    /// One in which every container follows that program, unless a rule says otherwise.
    pub fn new(otherwise: Program) -> Self {
        let stage = Stage {
            rules: Vec::new(),
            otherwise,
            runs: BTreeMap::new(),
            changes: BTreeSet::new(),
            changed: BTreeSet::new(),
        };
        Self(Arc::new(Mutex::new(stage)))
    }

    /// Asks this of every container that is started from now on, before all rules that were there; the first rule that
    /// gives a program wins.
    #[must_use]
    pub fn by(self, rule: impl FnMut(&Pod) -> Option<Program> + Send + 'static) -> Self {
        self.add(rule);
        self
    }

    /// The same while it runs already.
    pub fn add(&self, rule: impl FnMut(&Pod) -> Option<Program> + Send + 'static) {
        self.stage().rules.insert(0, Box::new(rule));
    }

    /// Pods whose names begin like this follow that program.
    #[must_use]
    pub fn named(self, prefix: &str, program: Program) -> Self {
        let prefix = prefix.to_owned();
        self.by(move |pod| {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            name.starts_with(&prefix).then(|| program.clone())
        })
    }

    /// Pods with that label follow that program.
    #[must_use]
    pub fn labelled(self, key: &str, value: &str, program: Program) -> Self {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.by(move |pod| {
            let labels = pod.metadata.labels.as_ref();
            (labels.and_then(|labels| labels.get(&key)) == Some(&value)).then(|| program.clone())
        })
    }

    /// Ends what runs of a pod, with that exit code, now. The cluster's loop has to be woken by a write or by time.
    pub fn crash(&self, pod: &str, code: i32, now: Timestamp) {
        let mut stage = self.stage();
        let those: Vec<ContainerId> = stage.runs.keys().filter(|id| id.pod == pod).cloned().collect();
        for id in those {
            stage.end(&id, now, now, code, None);
        }
    }

    /// Makes what runs of a pod ready, or not ready, now.
    pub fn set_ready(&self, pod: &str, ready: bool, now: Timestamp) {
        let mut stage = self.stage();
        for (_, run) in stage.runs.iter_mut().filter(|(id, _)| id.pod == pod) {
            run.ready_at = ready.then_some(now);
        }
        stage.changed.insert(pod.to_owned());
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    /// Lets a run end at a time, unless it ends before that anyway.
    fn end(&mut self, id: &ContainerId, at: Timestamp, now: Timestamp, code: i32, reason: Option<String>) {
        let Some(run) = self.runs.get_mut(id) else { return };
        if run.end.as_ref().is_some_and(|(end, ..)| *end <= at) {
            return;
        }
        run.end = Some((at, code, reason));
        if at <= now {
            self.changed.insert(id.pod.clone());
        } else {
            self.changes.insert((at, id.clone()));
        }
    }
}

impl Runtime for Played {
    fn start(&mut self, pod: &Pod, container: &str, now: Timestamp) -> Result<(), String> {
        let mut stage = self.stage();
        let stage = &mut *stage;
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let id = ContainerId { pod: uid, container: container.to_owned() };
        let before = stage.runs.get(&id);
        let number = before.map_or(0, |run| run.number + 1);
        let program = stage.rules.iter_mut().find_map(|rule| rule(pod)).unwrap_or_else(|| stage.otherwise.clone());
        let ready_at = program.ready_after.map(|time| later(now, time));
        let exit = program.exit.clone().filter(|exit| number < exit.times);
        if let Some(at) = ready_at.filter(|at| *at > now) {
            stage.changes.insert((at, id.clone()));
        }
        stage.runs.insert(id.clone(), Run { program, number, since: now, ready_at, end: None });
        if let Some(exit) = exit {
            stage.end(&id, later(now, exit.after), now, exit.code, exit.reason);
        }
        Ok(())
    }

    fn state(&mut self, id: &ContainerId, now: Timestamp) -> ContainerState {
        let stage = self.stage();
        let Some(run) = stage.runs.get(id) else { return ContainerState::Unknown };
        match &run.end {
            Some((at, code, reason)) if *at <= now => {
                ContainerState::Exited { code: *code, reason: reason.clone(), since: run.since, at: *at }
            }
            _ => ContainerState::Running {
                since: run.since,
                ready: run.ready_at.is_some_and(|at| at <= now),
                memory: run.program.memory,
            },
        }
    }

    fn stop(&mut self, id: &ContainerId, grace: Duration, now: Timestamp) {
        let mut stage = self.stage();
        let Some(run) = stage.runs.get(id) else { return };
        let (time, code) = match run.program.ends_after.filter(|time| *time <= grace && !grace.is_zero()) {
            Some(time) => (time, 0),
            None => (grace, 137),
        };
        stage.end(id, later(now, time), now, code, None);
    }

    fn forget(&mut self, pod: &str) {
        let mut stage = self.stage();
        stage.runs.retain(|id, _| id.pod != pod);
        stage.changes.retain(|(_, id)| id.pod != pod);
        stage.changed.remove(pod);
    }

    fn changed(&mut self, now: Timestamp) -> Vec<String> {
        let mut stage = self.stage();
        let mut changed = std::mem::take(&mut stage.changed);
        while stage.changes.first().is_some_and(|(at, _)| *at <= now) {
            changed.extend(stage.changes.pop_first().map(|(_, id)| id.pod));
        }
        changed.into_iter().collect()
    }

    fn next(&mut self, _now: Timestamp) -> Option<Timestamp> {
        self.stage().changes.first().map(|(at, _)| *at)
    }

    fn log(&mut self, _id: &ContainerId, _previous: bool) -> Option<String> {
        None
    }
}
