//! The kubelets: start the containers of pods that have a node, start them again when they end, end them when their pod
//! is to go, and say in the pod's status how all that is.

mod container;
mod status;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec},
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions},
};

use self::container::Run;
use super::{
    Context, Done, Runtime,
    events::Note,
    nodes,
    objects::{Key, earlier, is_deleting, key_of, uid},
    replicas::{is_over, node_of},
    runtime::{ContainerId, ContainerState},
};
use crate::sim::Status;

const NAME: &str = "kubelet";

/// All kubelets, with what they remember of their pods.
#[derive(Debug, Default)]
pub(super) struct Kubelet {
    pods: BTreeMap<String, Local>,
    /// How many addresses were given out.
    addresses: u32,
}

/// A pod as its kubelet knows it.
#[derive(Debug)]
struct Local {
    key: Key,
    address: String,
    since: Timestamp,
    runs: BTreeMap<String, Run>,
    /// With how many seconds of grace its containers were told to end.
    told: Option<i64>,
    /// Whether the API was told that all have ended.
    ended: bool,
}

impl Kubelet {
    /// The pod with that UID, if it is known.
    pub(super) fn pod(&self, uid: &str) -> Option<Key> {
        self.pods.get(uid).map(|local| local.key.clone())
    }

    /// The pod is gone from the API; whatever still runs of it ends at once.
    pub(super) fn forget(&mut self, uid: &str, runtime: &mut dyn Runtime, now: Timestamp) {
        let Some(local) = self.pods.remove(uid) else { return };
        for container in local.runs.keys() {
            runtime.stop(&id(uid, container), Duration::ZERO, now);
        }
        runtime.forget(uid);
    }

    /// Brings a pod to a node, and what its containers do in line with what is wanted.
    pub(super) fn reconcile(&mut self, context: &mut Context<'_>, runtime: &mut dyn Runtime, key: &Key) -> Done {
        let Some(pod) = context.view.pods.get(key) else { return Ok(None) };
        let Some(spec) = &pod.spec else { return Ok(None) };
        if is_over(&pod) {
            return Ok(None);
        }
        let node = node_of(&pod);
        if node.is_empty() {
            if !is_deleting(&pod.metadata) {
                nodes::schedule(context, key, &pod)?;
            }
            return Ok(None);
        }
        // Nobody works on a node that is down: its pods stay as they are.
        if !context.view.nodes.get(&(String::new(), node.to_owned())).is_some_and(|node| nodes::is_ready(&node)) {
            return Ok(None);
        }
        let local = self.local(&pod, runtime, context.now);
        let mut kubelet = Work { context, runtime, pod: &pod, spec, local };
        if is_deleting(&pod.metadata) { kubelet.end() } else { kubelet.run() }
    }

    fn local(&mut self, pod: &Pod, runtime: &mut dyn Runtime, now: Timestamp) -> &mut Local {
        let uid = uid(&pod.metadata);
        let addresses = &mut self.addresses;
        self.pods.entry(uid.to_owned()).or_insert_with(|| {
            *addresses += 1;
            let number = *addresses;
            let own = || format!("10.244.{}.{}", (number / 250) % 250, number % 250 + 1);
            let status = pod.status.as_ref();
            Local {
                key: key_of(&pod.metadata),
                address: status
                    .and_then(|status| status.pod_ip.clone())
                    .or_else(|| runtime.address(uid))
                    .unwrap_or_else(own),
                since: status.and_then(|status| status.start_time.as_ref()).map_or(now, |time| time.0),
                runs: container::remembered(pod),
                told: None,
                ended: false,
            }
        })
    }
}

/// One pod under work.
struct Work<'c, 's, 'p> {
    context: &'c mut Context<'s>,
    runtime: &'c mut dyn Runtime,
    pod: &'p Pod,
    spec: &'p PodSpec,
    local: &'c mut Local,
}

fn id(pod: &str, container: &str) -> ContainerId {
    ContainerId { pod: pod.to_owned(), container: container.to_owned() }
}

impl Work<'_, '_, '_> {
    fn id(&self, container: &str) -> ContainerId {
        id(uid(&self.pod.metadata), container)
    }

    fn state(&mut self, container: &str) -> ContainerState {
        let id = self.id(container);
        self.runtime.state(&id, self.context.now)
    }

    fn restarts_always(&self) -> bool {
        self.spec.restart_policy.as_deref().unwrap_or("Always") == "Always"
    }

    fn restarts_never(&self) -> bool {
        self.spec.restart_policy.as_deref() == Some("Never")
    }

    /// The pod is wanted: each container runs, or has done what it should.
    fn run(&mut self) -> Done {
        let mut again = None;
        let mut initialized = true;
        for container in self.spec.init_containers.iter().flatten() {
            again = earlier(again, self.advance(container, true));
            initialized = matches!(self.state(&container.name), ContainerState::Exited { code: 0, .. });
            if !initialized {
                break;
            }
        }
        if initialized {
            for container in &self.spec.containers {
                again = earlier(again, self.advance(container, false));
            }
        }
        self.write_status(false)?;
        Ok(again)
    }

    /// The pod is to go: its containers are told to end, and once they have, it is gone.
    fn end(&mut self) -> Done {
        let grace = self.pod.metadata.deletion_grace_period_seconds.unwrap_or_default().max(0);
        let mut running = false;
        let less = self.local.told.is_none_or(|told| grace < told);
        let first = self.local.told.is_none();
        let containers: Vec<&Container> =
            self.spec.init_containers.iter().flatten().chain(&self.spec.containers).collect();
        for container in containers {
            if !matches!(self.state(&container.name), ContainerState::Running { .. }) {
                continue;
            }
            if less {
                let id = self.id(&container.name);
                let seconds = u64::try_from(grace).unwrap_or_default();
                self.runtime.stop(&id, Duration::from_secs(seconds), self.context.now);
                if first {
                    let message = format!("Stopping container {}", container.name);
                    self.note(false, "Killing", message, Some(container));
                }
            }
            running |= matches!(self.state(&container.name), ContainerState::Running { .. });
        }
        if less {
            self.local.told = Some(grace);
        }
        self.write_status(!running)?;
        if running || self.local.ended {
            return Ok(None);
        }
        self.local.ended = true;
        let (namespace, name) = key_of(&self.pod.metadata);
        let options = DeleteOptions {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: self.pod.metadata.uid.clone(), resource_version: None }),
            ..DeleteOptions::default()
        };
        match self.context.state.delete::<Pod>(&namespace, &name, &options) {
            Err(status) if !status.is_not_found() => Err(status),
            _ => Ok(None),
        }
    }

    fn write_status(&mut self, over: bool) -> Result<(), Status> {
        let status = self.status(over);
        for run in self.local.runs.values_mut() {
            run.told = run.noted.is_some();
        }
        if self.pod.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let mut changed = self.pod.clone();
        changed.status = Some(status);
        match self.context.state.update_status(&changed) {
            Err(status) if !status.is_not_found() => Err(status),
            _ => Ok(()),
        }
    }

    /// Writes an Event about the pod, or about one of its containers.
    fn note(&mut self, warns: bool, reason: &str, message: String, container: Option<&Container>) {
        let part = container.map(|container| {
            let regular = self.spec.containers.iter().any(|other| other.name == container.name);
            let list = if regular { "containers" } else { "initContainers" };
            format!("spec.{list}{{{}}}", container.name)
        });
        let host = Some(node_of(self.pod));
        self.context.note(self.pod, Note { warns, reason, message, part, from: NAME, host });
    }
}

#[cfg(test)]
mod tests;
