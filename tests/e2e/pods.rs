//! What happened to the pods of a namespace: a watch that remembers each of them, also those that are gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use tokio::task::JoinHandle;

/// A pod that the watch saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Whether it was being deleted, or is gone.
    pub ended: bool,
    /// The grace period that its deletion was given.
    pub grace_seconds: Option<i64>,
    /// The exit codes of its containers, once they are known.
    pub exit_codes: Vec<i32>,
}

type All = BTreeMap<String, Seen>;

/// Remembers the pods of a namespace, by UID.
#[derive(Clone)]
pub struct PodLog {
    seen: Arc<Mutex<All>>,
    task: Arc<JoinHandle<()>>,
}

impl PodLog {
    /// Begins to watch.
    pub fn watch(api: Api<Pod>) -> Self {
        let seen = Arc::new(Mutex::new(All::new()));
        let into = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
            let mut listed = BTreeSet::new();
            loop {
                match events.try_next().await {
                    Ok(Some(event)) => remember(&mut into.lock().expect("not poisoned"), &mut listed, &event),
                    Ok(None) => return,
                    // The API server may be away; the watch comes back by itself.
                    Err(_) => {}
                }
            }
        });
        Self { seen, task: Arc::new(task) }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.seen.lock().expect("not poisoned")
    }

    /// One pod, by UID.
    pub fn get(&self, uid: &str) -> Option<Seen> {
        self.lock().get(uid).cloned()
    }

    /// The UIDs of the pods that were ended, by whomever.
    pub fn ended(&self) -> BTreeSet<String> {
        self.lock().iter().filter(|(_, pod)| pod.ended).map(|(uid, _)| uid.clone()).collect()
    }

    /// Ends the watch.
    pub fn stop(&self) {
        self.task.abort();
    }
}

fn remember(all: &mut All, listed: &mut BTreeSet<String>, event: &watcher::Event<Pod>) {
    match event {
        watcher::Event::Init => listed.clear(),
        watcher::Event::InitApply(pod) => {
            listed.extend(pod.uid());
            note(all, pod, false);
        }
        // Those that went while the watch was down.
        watcher::Event::InitDone => {
            all.iter_mut().filter(|(uid, _)| !listed.contains(*uid)).for_each(|(_, pod)| pod.ended = true);
        }
        watcher::Event::Apply(pod) => note(all, pod, false),
        watcher::Event::Delete(pod) => note(all, pod, true),
    }
}

fn note(all: &mut All, pod: &Pod, gone: bool) {
    let seen = all.entry(pod.uid().unwrap_or_default()).or_default();
    seen.name = pod.name_any();
    seen.ended |= gone || pod.metadata.deletion_timestamp.is_some();
    // A deletion is repeated with 0 s by the kubelet at the end: the first one is what was asked for.
    seen.grace_seconds = seen.grace_seconds.or(pod.metadata.deletion_grace_period_seconds);
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let codes: Vec<i32> =
        statuses.filter_map(|container| Some(container.state.as_ref()?.terminated.as_ref()?.exit_code)).collect();
    if !codes.is_empty() {
        seen.exit_codes = codes;
    }
}

/// Whether a pod is Ready and not on its way out.
pub fn is_ready(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
