//! What a kubelet says of a pod: phase, conditions, and the state of each container.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState as State, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, HostIP, PodCondition, PodIP, PodStatus,
};

use super::{
    super::{
        nodes,
        objects::{time, uid},
        replicas::node_of,
        runtime::ContainerState,
    },
    Work,
    container::{ended_as, run_id},
};

/// The conditions that are a kubelet's.
const OWN: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

impl Work<'_, '_, '_> {
    /// The status as it is now; `over` says that nothing of the pod will be started any more.
    pub(super) fn status(&mut self, over: bool) -> PodStatus {
        let before = self.pod.status.clone().unwrap_or_default();
        let spec = self.spec;
        let initial: Vec<_> =
            spec.init_containers.iter().flatten().map(|container| self.container(container, true)).collect();
        let regular: Vec<_> = spec.containers.iter().map(|container| self.container(container, false)).collect();
        let phase = self.phase(&initial, &regular, over);
        let host = nodes::address(node_of(self.pod));
        let now = self.context.now;
        let conditions = self.conditions(&before, &initial, &regular, &phase, now);
        let same_phase = before.phase.as_deref() == Some(phase.as_str());
        PodStatus {
            phase: Some(phase),
            conditions: Some(conditions),
            container_statuses: Some(regular),
            init_container_statuses: Some(initial).filter(|initial| !initial.is_empty()),
            host_ip: Some(host.clone()),
            host_ips: Some(vec![HostIP { ip: host }]),
            pod_ip: Some(self.local.address.clone()),
            pod_ips: Some(vec![PodIP { ip: self.local.address.clone() }]),
            start_time: Some(time(self.local.since)),
            observed_generation: self.pod.metadata.generation,
            reason: before.reason.filter(|_| same_phase),
            message: before.message.filter(|_| same_phase),
            qos_class: before.qos_class,
            ..PodStatus::default()
        }
    }

    fn container(&mut self, container: &Container, initial: bool) -> ContainerStatus {
        let now = self.context.now;
        let seen = self.state(&container.name);
        let run = self.local.runs.get(&container.name).cloned().unwrap_or_default();
        let pod = uid(&self.pod.metadata);
        let this = || Some(run_id(pod, &container.name, run.restarts));
        let waiting = |reason: &str, message: Option<String>| State {
            waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message }),
            ..State::default()
        };
        let (mut ready, mut last) = (false, run.last.clone());
        let state = match seen {
            ContainerState::Running { since, ready: is_ready, .. } => {
                ready = is_ready && !initial;
                State { running: Some(ContainerStateRunning { started_at: Some(time(since)) }), ..State::default() }
            }
            ContainerState::Exited { code, reason, since, at } => {
                ready = initial && code == 0;
                let terminated = ContainerStateTerminated {
                    container_id: this(),
                    exit_code: code,
                    reason: Some(ended_as(code, reason.as_ref())),
                    started_at: Some(time(since)),
                    finished_at: Some(time(at)),
                    ..ContainerStateTerminated::default()
                };
                let held = run.held.filter(|(until, _)| run.noted == Some(at) && *until > now);
                match (&run.trouble, held.filter(|_| run.told)) {
                    (Some(why), Some(_)) => waiting("RunContainerError", Some(why.clone())),
                    (None, Some((_, seconds))) => {
                        last = Some(terminated);
                        let message = format!(
                            "back-off {} restarting failed container={} pod={}",
                            shown(seconds),
                            container.name,
                            self.described()
                        );
                        waiting("CrashLoopBackOff", Some(message))
                    }
                    _ => State { terminated: Some(terminated), ..State::default() },
                }
            }
            ContainerState::Unknown => match &run.trouble {
                Some(why) => waiting("RunContainerError", Some(why.clone())),
                None if initial || self.spec.init_containers.iter().flatten().next().is_some() => {
                    waiting("PodInitializing", None)
                }
                None => waiting("ContainerCreating", None),
            },
        };
        let image = container.image.clone().unwrap_or_default();
        ContainerStatus {
            name: container.name.clone(),
            image_id: if run.started { format!("simulated://{image}") } else { String::new() },
            image,
            container_id: run.started.then(this).flatten(),
            ready,
            started: Some(state.running.is_some()),
            restart_count: run.restarts,
            state: Some(state),
            last_state: last.map(|last| State { terminated: Some(last), ..State::default() }),
            ..ContainerStatus::default()
        }
    }

    fn phase(&self, initial: &[ContainerStatus], regular: &[ContainerStatus], over: bool) -> String {
        let code = |status: &ContainerStatus| {
            let state = status.state.as_ref();
            let ended = state.and_then(|state| state.terminated.as_ref());
            let held = state.and_then(|state| state.waiting.as_ref()).and(status.last_state.as_ref());
            ended.or_else(|| held.and_then(|last| last.terminated.as_ref())).map(|end| end.exit_code)
        };
        let running = regular.iter().any(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()));
        let codes: Vec<i32> = regular.iter().filter_map(code).collect();
        let failed_first = initial.iter().any(|status| code(status).is_some_and(|code| code != 0));
        let word = if failed_first && self.restarts_never() {
            "Failed"
        } else if initial.iter().any(|status| !status.ready) && codes.is_empty() && !running {
            "Pending"
        } else if running {
            "Running"
        } else if codes.len() < regular.len() {
            if over && !codes.is_empty() { "Failed" } else { "Pending" }
        } else if over || !self.restarts_always() {
            match codes.iter().all(|code| *code == 0) {
                true => "Succeeded",
                false if over || self.restarts_never() => "Failed",
                false => "Running",
            }
        } else {
            "Running"
        };
        word.to_owned()
    }

    fn conditions(
        &self,
        before: &PodStatus,
        initial: &[ContainerStatus],
        regular: &[ContainerStatus],
        phase: &str,
        now: Timestamp,
    ) -> Vec<PodCondition> {
        let names = |statuses: &[ContainerStatus], ready: bool| -> Vec<String> {
            let those = statuses.iter().filter(|status| status.ready == ready);
            those.map(|status| status.name.clone()).collect()
        };
        let make = |kind: &str, good: bool, reason: Option<&str>, message: Option<String>| {
            let status = if good { "True" } else { "False" };
            let known = before.conditions.iter().flatten().find(|condition| condition.type_ == kind);
            let since =
                known.filter(|known| known.status == status).and_then(|known| known.last_transition_time.clone());
            PodCondition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: reason.map(str::to_owned),
                message,
                last_transition_time: Some(since.unwrap_or_else(|| time(now))),
                observed_generation: self.pod.metadata.generation,
                last_probe_time: None,
            }
        };
        let begun = names(initial, false);
        let initialized = match (phase, begun.is_empty()) {
            ("Succeeded", _) => make("Initialized", true, Some("PodCompleted"), None),
            (_, true) => make("Initialized", true, None, None),
            (_, false) => {
                let message = format!("containers with incomplete status: [{}]", begun.join(" "));
                make("Initialized", false, Some("ContainersNotInitialized"), Some(message))
            }
        };
        let unready = names(regular, false);
        let (good, reason, message) = match phase {
            "Succeeded" => (false, Some("PodCompleted"), None),
            "Failed" => (false, Some("PodFailed"), None),
            _ if unready.is_empty() => (true, None, None),
            _ => {
                let message = format!("containers with unready status: [{}]", unready.join(" "));
                (false, Some("ContainersNotReady"), Some(message))
            }
        };
        let gate = self.spec.readiness_gates.iter().flatten().find(|gate| {
            let found = before.conditions.iter().flatten().find(|condition| condition.type_ == gate.condition_type);
            found.is_none_or(|condition| condition.status != "True")
        });
        let ready = match gate.filter(|_| good) {
            Some(gate) => {
                let message =
                    format!("corresponding condition of pod readiness gate {:?} does not exist.", gate.condition_type);
                make("Ready", false, Some("ReadinessGatesNotReady"), Some(message))
            }
            None => make("Ready", good, reason, message.clone()),
        };
        let others = before.conditions.iter().flatten().filter(|condition| !OWN.contains(&condition.type_.as_str()));
        let mut all: Vec<PodCondition> = others.cloned().collect();
        let over = matches!(phase, "Succeeded" | "Failed");
        all.push(make("PodReadyToStartContainers", !over, None, None));
        all.push(initialized);
        all.push(ready);
        all.push(make("ContainersReady", good, reason, message));
        all.push(make("PodScheduled", true, None, None));
        all
    }
}

/// A number of seconds as Go writes a duration.
fn shown(seconds: i64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}
