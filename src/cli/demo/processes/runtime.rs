//! What the simulated kubelet has beneath it: containers of demo-app, each a process of this machine.

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container as Spec, Pod};

use super::container::{self, Container, Plan};
use crate::sim::controllers::{ContainerId, ContainerState, Runtime};

/// How often processes are looked at.
const LOOK_EVERY: SignedDuration = SignedDuration::from_millis(100);

/// The image that there is a program for.
const IMAGE: &str = "demo-app";

/// All containers that run, or have run in pods that exist. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Processes(Arc<Mutex<Table>>);

struct Table {
    dir: PathBuf,
    runs: BTreeMap<ContainerId, Run>,
}

struct Run {
    namespace: String,
    pod: String,
    container: Container,
    since: Timestamp,
    exited: Option<(i32, Timestamp)>,
    starts: u32,
    log: PathBuf,
    /// What was last told, so that a change is one.
    told: Option<container::State>,
}

/// A container, for people and for rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
    /// Where it answers, once it does.
    pub address: Option<SocketAddr>,
    /// Resident bytes; `None` where it has ended.
    pub memory: Option<u64>,
}

impl Processes {
    /// None yet. What they write, and their scratch directories, are kept in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self(Arc::new(Mutex::new(Table { dir: dir.to_owned(), runs: BTreeMap::new() })))
    }

    /// Every container there is.
    pub fn list(&self) -> Vec<Shown> {
        let mut table = self.table();
        let shown = table.runs.iter_mut().map(|(id, run)| {
            let runs = matches!(run.container.state(), container::State::Running { .. });
            Shown {
                namespace: run.namespace.clone(),
                pod: run.pod.clone(),
                container: id.container.clone(),
                address: run.container.address().filter(|_| runs),
                memory: run.container.memory().filter(|_| runs),
            }
        });
        shown.collect()
    }

    /// Ends all of them, and forgets them: those that do not go within `grace` are killed.
    pub fn end(&self, grace: Duration) {
        let runs = std::mem::take(&mut self.table().runs);
        let deadline = std::time::Instant::now() + grace;
        let mut containers: Vec<Container> = runs.into_values().map(|run| run.container).collect();
        for container in &mut containers {
            container.stop(grace);
        }
        while std::time::Instant::now() < deadline
            && containers.iter_mut().any(|container| matches!(container.state(), container::State::Running { .. }))
        {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runtime for Processes {
    fn start(&mut self, pod: &Pod, container: &str, now: Timestamp) -> Result<(), String> {
        let spec = pod.spec.as_ref().and_then(|spec| spec.containers.iter().find(|spec| spec.name == container));
        let spec = spec.ok_or_else(|| format!("the pod has no container {container}"))?;
        let image = spec.image.as_deref().unwrap_or_default();
        if repository(image) != IMAGE {
            return Err(format!("{image}: there are no images here, only the program {IMAGE}"));
        }
        let id = ContainerId { pod: pod.metadata.uid.clone().unwrap_or_default(), container: container.to_owned() };
        let mut table = self.table();
        let dir = table.dir.join("pods").join(&id.pod);
        let starts = table.runs.get(&id).map_or(0, |run| run.starts);
        let (started, log) = start(&dir, pod, spec, starts).map_err(|error| error.to_string())?;
        table.runs.insert(
            id,
            Run {
                namespace: pod.metadata.namespace.clone().unwrap_or_default(),
                pod: pod.metadata.name.clone().unwrap_or_default(),
                container: started,
                since: now,
                exited: None,
                starts: starts.saturating_add(1),
                log,
                told: None,
            },
        );
        Ok(())
    }

    fn state(&mut self, id: &ContainerId, now: Timestamp) -> ContainerState {
        let mut table = self.table();
        let Some(run) = table.runs.get_mut(id) else { return ContainerState::Unknown };
        match run.look(now) {
            container::State::Running { ready } => {
                ContainerState::Running { since: run.since, ready, memory: run.container.memory() }
            }
            container::State::Exited { code } => {
                let at = run.exited.map_or(now, |(_, at)| at);
                ContainerState::Exited { code, reason: None, since: run.since, at }
            }
        }
    }

    fn stop(&mut self, id: &ContainerId, grace: Duration, _: Timestamp) {
        if let Some(run) = self.table().runs.get_mut(id) {
            run.container.stop(grace);
        }
    }

    fn forget(&mut self, pod: &str) {
        let mut table = self.table();
        table.runs.retain(|id, _| id.pod != pod);
        let dir = table.dir.join("pods").join(pod);
        drop(table);
        // What a pod wrote is of use after a failure, what it kept for itself is not: as with a node's, it goes with it.
        let _ = fs::remove_dir_all(dir.join("volumes"));
    }

    fn changed(&mut self, now: Timestamp) -> Vec<String> {
        let mut changed = Vec::new();
        for (id, run) in &mut self.table().runs {
            let state = run.look(now);
            if run.told.replace(state) != Some(state) {
                changed.push(id.pod.clone());
            }
        }
        changed.dedup();
        changed
    }

    fn next(&mut self, now: Timestamp) -> Option<Timestamp> {
        let table = self.table();
        let some = table.runs.values().any(|run| run.exited.is_none());
        some.then(|| now.saturating_add(LOOK_EVERY).unwrap_or(now))
    }

    fn log(&mut self, id: &ContainerId, previous: bool) -> Option<String> {
        let table = self.table();
        let run = table.runs.get(id)?;
        if !previous {
            return Some(run.container.log());
        }
        let before = run.starts.checked_sub(2)?;
        Some(container::tail(&log_path(run.log.parent()?, &id.container, before)))
    }

    fn address(&mut self, pod: &str) -> Option<String> {
        let table = self.table();
        let run = table.runs.iter().find(|(id, _)| id.pod == pod);
        run.and_then(|(_, run)| run.container.address()).map(|address| address.ip().to_string())
    }
}

impl Run {
    fn look(&mut self, now: Timestamp) -> container::State {
        if let Some((code, _)) = self.exited {
            return container::State::Exited { code };
        }
        let state = self.container.state();
        if let container::State::Exited { code } = state {
            self.exited = Some((code, now));
        }
        state
    }
}

/// The last part of an image's name, without tag and digest.
fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    name.split(':').next().unwrap_or_default()
}

fn log_path(dir: &Path, container: &str, run: u32) -> PathBuf {
    dir.join(format!("{container}-{run}.log"))
}

/// Starts a container: its environment with the paths of its emptyDirs where these really are.
fn start(dir: &Path, pod: &Pod, spec: &Spec, starts: u32) -> io::Result<(Container, PathBuf)> {
    fs::create_dir_all(dir)?;
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let mut mounts = Vec::new();
    for mount in spec.volume_mounts.iter().flatten() {
        if volumes.iter().any(|volume| volume.name == mount.name && volume.empty_dir.is_some()) {
            let real = dir.join("volumes").join(&mount.name);
            fs::create_dir_all(&real)?;
            mounts.push((mount.mount_path.clone(), real.to_string_lossy().into_owned()));
        }
    }
    let real = |value: &str| {
        let mount = mounts.iter().find(|(path, _)| value == path || value.starts_with(&format!("{path}/")));
        mount.map_or_else(|| value.to_owned(), |(path, real)| value.replacen(path.as_str(), real, 1))
    };
    let log = log_path(dir, &spec.name, starts);
    let plan = Plan {
        args: spec.args.iter().flatten().map(|arg| real(arg)).collect(),
        env: spec
            .env
            .iter()
            .flatten()
            .filter_map(|variable| Some((variable.name.clone(), real(variable.value.as_deref()?))))
            .collect(),
        log: log.clone(),
        readiness: spec.readiness_probe.clone(),
        liveness: spec.liveness_probe.clone(),
    };
    Ok((Container::start(&plan)?, log))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_the_last_part_of_its_name() {
        for image in ["demo-app", "demo-app:0.1.0", "ghcr.io/x/demo-app:1@sha256:00", "localhost:5000/demo-app"] {
            assert_eq!(repository(image), IMAGE, "{image}");
        }
        assert_ne!(repository("nginx:1.27"), IMAGE);
    }

    #[test]
    fn another_image_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let mut processes = Processes::new(dir.path());
        let pod = serde_json::json!({ "metadata": { "uid": "u" }, "spec": { "containers": [{ "name": "c", "image": "nginx" }] } });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let error = processes.start(&pod, "c", Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(error.contains("nginx"), "{error}");
        assert!(processes.list().is_empty());
    }
}
