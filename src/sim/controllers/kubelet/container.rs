//! One container: when it is started, and when again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStateTerminated, Pod};

use super::{
    super::{
        objects::{after, key_of, time, uid},
        runtime::ContainerState,
    },
    Work,
};

/// The first delay of the back-off, in seconds; it doubles.
const FIRST: i64 = 10;
/// The longest one.
const LONGEST: i64 = 5 * 60;

/// What a kubelet remembers of a container.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    /// Whether it was ever started.
    pub(super) started: bool,
    pub(super) restarts: i32,
    /// How its run before this one ended.
    pub(super) last: Option<ContainerStateTerminated>,
    /// The end of this run that the status tells of already.
    pub(super) noted: Option<Timestamp>,
    /// Whether the status that tells of it was written.
    pub(super) told: bool,
    /// Whether an Event was written that it is held back.
    warned: bool,
    /// Until when it is not started again, and what the delay is called.
    pub(super) held: Option<(Timestamp, i64)>,
    /// The delay in seconds, and when it began to count.
    back_off: Option<(i64, Timestamp)>,
    /// Why it could not be started.
    pub(super) trouble: Option<String>,
}

/// What the status of a pod says about earlier runs, for a kubelet that was not there.
pub(super) fn remembered(pod: &Pod) -> BTreeMap<String, Run> {
    let status = pod.status.as_ref();
    let regular = status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
    let initial = status.and_then(|status| status.init_container_statuses.as_ref()).into_iter().flatten();
    let run = |status: &k8s_openapi::api::core::v1::ContainerStatus| Run {
        started: status.container_id.is_some(),
        restarts: status.restart_count,
        last: status.last_state.as_ref().and_then(|last| last.terminated.clone()),
        ..Run::default()
    };
    regular.chain(initial).map(|status| (status.name.clone(), run(status))).collect()
}

/// A word for how a run ended.
pub(super) fn ended_as(code: i32, reason: Option<&String>) -> String {
    reason.cloned().unwrap_or_else(|| if code == 0 { "Completed" } else { "Error" }.to_owned())
}

/// The identity of a run.
pub(super) fn run_id(pod: &str, container: &str, restarts: i32) -> String {
    format!("simulated://{pod}-{container}-{restarts}")
}

impl Work<'_, '_, '_> {
    /// Starts a container that was never started or has ended and is to run again; gives when it has to be looked at.
    pub(super) fn advance(&mut self, container: &Container, initial: bool) -> Option<Timestamp> {
        let now = self.context.now;
        let state = self.state(&container.name);
        let run = self.local.runs.entry(container.name.clone()).or_default().clone();
        match state {
            ContainerState::Running { .. } => None,
            ContainerState::Unknown => {
                if let Some((until, _)) = run.held.filter(|(until, _)| *until > now) {
                    return Some(until);
                }
                self.start(container, run.started && run.trouble.is_none())
            }
            ContainerState::Exited { code, at, .. } => {
                let fails = code != 0 && !self.restarts_never();
                let again = fails || (!initial && self.restarts_always());
                if !again {
                    return None;
                }
                if run.noted != Some(at) {
                    // The status tells of the end before anything follows from it.
                    let run = self.local.runs.entry(container.name.clone()).or_default();
                    (run.noted, run.told, run.warned) = (Some(at), false, false);
                    let delay = run.back_off.filter(|(_, since)| after(*since, 2 * LONGEST) >= at);
                    run.held = delay.map(|(seconds, _)| (after(at, seconds), seconds));
                    run.back_off = delay;
                    return Some(now);
                }
                if let Some((until, _)) = run.held.filter(|(until, _)| *until > now) {
                    if run.trouble.is_none() && !run.warned {
                        self.local.runs.entry(container.name.clone()).or_default().warned = true;
                        let who = self.described();
                        let message = format!("Back-off restarting failed container {} in pod {who}", container.name);
                        self.note(true, "BackOff", message, Some(container));
                    }
                    return Some(until);
                }
                self.start(container, true)
            }
        }
    }

    /// Starts a container, once more or for the first time.
    fn start(&mut self, container: &Container, again: bool) -> Option<Timestamp> {
        let now = self.context.now;
        let before = self.state(&container.name);
        let result = self.runtime.start(self.pod, &container.name, now);
        let pod = uid(&self.pod.metadata).to_owned();
        let run = self.local.runs.entry(container.name.clone()).or_default();
        let delay = run.back_off.map_or(FIRST, |(seconds, _)| (seconds * 2).min(LONGEST));
        match result {
            Ok(()) => {
                if let ContainerState::Exited { code, reason, since, at } = before {
                    run.last = Some(ContainerStateTerminated {
                        container_id: Some(run_id(&pod, &container.name, run.restarts)),
                        exit_code: code,
                        reason: Some(ended_as(code, reason.as_ref())),
                        started_at: Some(time(since)),
                        finished_at: Some(time(at)),
                        ..ContainerStateTerminated::default()
                    });
                }
                if again {
                    run.restarts += 1;
                    run.back_off = Some((delay, now));
                }
                (run.started, run.noted, run.held, run.trouble) = (true, None, None, None);
                let image = container.image.clone().unwrap_or_default();
                let pulled = format!("Container image {image:?} already present on machine");
                self.note(false, "Pulled", pulled, Some(container));
                self.note(false, "Created", format!("Created container: {}", container.name), Some(container));
                self.note(false, "Started", format!("Started container {}", container.name), Some(container));
                // It may have ended already.
                matches!(self.state(&container.name), ContainerState::Exited { .. }).then_some(now)
            }
            Err(why) => {
                run.back_off = Some((delay, now));
                run.held = Some((after(now, delay), delay));
                run.trouble = Some(why.clone());
                self.note(true, "Failed", format!("Error: {why}"), Some(container));
                Some(after(now, delay))
            }
        }
    }

    /// The pod as kubelets name it in messages.
    pub(super) fn described(&self) -> String {
        let (namespace, name) = key_of(&self.pod.metadata);
        format!("{name}_{namespace}({})", uid(&self.pod.metadata))
    }
}
