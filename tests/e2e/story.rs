//! A story: a namespace of its own, what happens to its pods, and what it leaves for the table at the end.

use std::{
    collections::BTreeSet,
    fmt::Write,
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use k8s_openapi::api::{
    admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Namespace, events::v1::Event,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use paramedic::api::{ClusterRemediationPolicy, Remediation};
use serde_json::{Value, json};

use crate::{
    alerts::Alert,
    pods::PodLog,
    wait::{PATIENCE, WATCHED, throughout, until},
    workloads::PodRef,
    world::{PARAMEDIC, World},
};

/// On everything of a story that is not in its namespace: the story's namespace.
pub const STORY_LABEL: &str = "e2e.paramedic.dev/story";

/// A story that is being told. Clones are the same story.
#[derive(Clone)]
pub struct Story(Arc<Inner>);

/// What a story has.
pub struct Inner {
    /// Its namespace.
    pub namespace: String,
    /// The cluster.
    pub world: &'static World,
    /// What happens to its pods.
    pub pods: PodLog,
    pub(crate) fired: Mutex<Vec<Alert>>,
    figures: Mutex<Vec<String>>,
}

impl Deref for Story {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Story {
    /// Begins in a new namespace.
    pub async fn in_namespace(world: &'static World, namespace: &str) -> Self {
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        if namespaces.get_opt(namespace).await.expect("namespaces can be read").is_some() {
            let _ = namespaces.delete(namespace, &DeleteParams::default()).await;
            until(PATIENCE, "the namespace of an earlier run is gone", || async {
                match namespaces.get_opt(namespace).await {
                    Ok(None) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
        }
        let object = json!({"metadata": {"name": namespace, "labels": {STORY_LABEL: namespace}}});
        let object = serde_json::from_value(object).expect("it is a namespace");
        namespaces.create(&PostParams::default(), &object).await.expect("a namespace can be made");
        let pods = PodLog::watch(world.api(namespace));
        let (fired, figures) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { namespace: namespace.to_owned(), world, pods, fired, figures }))
    }

    /// Notes a figure for the table.
    pub fn figure(&self, text: impl Into<String>) {
        self.figures.lock().expect("not poisoned").push(text.into());
    }

    /// The figures noted so far.
    pub fn figures(&self) -> String {
        self.figures.lock().expect("not poisoned").join("; ")
    }

    /// Annotates the story's namespace.
    pub async fn annotate_namespace(&self, name: &str, value: &str) {
        let namespaces: Api<Namespace> = Api::all(self.world.client.clone());
        let patch = json!({"metadata": {"annotations": {name: value}}});
        let patched = namespaces.patch(&self.namespace, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.expect("the namespace can be annotated");
    }

    /// Creates an object from a manifest with kubectl, as a user would; its namespace is the story's.
    pub fn apply(&self, manifest: &Value) {
        let file = std::env::temp_dir().join(format!("{}-{:016x}.json", self.namespace, fastrand::u64(..)));
        std::fs::write(&file, manifest.to_string()).expect("a temporary file can be written");
        let path = file.to_string_lossy().into_owned();
        let applied = self.world.kubectl(&["-n", &self.namespace, "apply", "-f", &path]);
        let _ = std::fs::remove_file(&file);
        applied.unwrap_or_else(|error| panic!("{error}\n{manifest:#}"));
    }

    /// Exactly these pods are ended, each by one request where the audit log tells; and then no other one.
    pub async fn expect_only_ended(&self, pods: &[&PodRef]) {
        let mut sorted: Vec<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
        sorted.sort_unstable();
        self.expect_ended(pods, |asked| asked == sorted).await;
    }

    /// Exactly this pod is ended, by one request at most that was answered well: of one whose client has died meanwhile,
    /// the audit log need not say that it was.
    pub async fn expect_only_ended_perhaps_unheard(&self, pod: &PodRef) {
        self.expect_ended(&[pod], |asked| asked.is_empty() || asked == [pod.name.as_str()]).await;
    }

    /// Exactly these pods are ended, and the requests that were answered with success, by their pods' names, are right.
    async fn expect_ended(&self, pods: &[&PodRef], are_right: impl Fn(&[&str]) -> bool) {
        let expected: BTreeSet<String> = pods.iter().map(|pod| pod.uid.clone()).collect();
        let look = || async {
            let ended = self.pods.ended();
            let asked = self.world.audit.as_ref().map(|audit| audit.pods_ended(&self.namespace));
            let right = asked.as_ref().is_none_or(|asked| {
                let mut names: Vec<&str> = asked.iter().map(|asked| asked.name.as_str()).collect();
                names.sort_unstable();
                are_right(&names)
            });
            if ended == expected && right {
                return Ok(());
            }
            let names: Vec<_> = ended.iter().filter_map(|uid| Some(self.pods.get(uid)?.name)).collect();
            Err(format!("pods ended: {names:?}; requests that ended one: {asked:?}"))
        };
        let what = format!("exactly {} ended", list(pods));
        until(PATIENCE, &what, look).await;
        throughout(WATCHED, &what, look).await;
    }

    /// No pod is ended, now and for a while.
    pub async fn expect_untouched(&self) {
        self.expect_only_ended(&[]).await;
    }

    /// The Events of the story's namespace about an object.
    pub async fn events_about(&self, uid: &str) -> Vec<Event> {
        let list = self.world.api::<Event>(&self.namespace).list(&ListParams::default()).await;
        let about = |event: &Event| event.regarding.as_ref().is_some_and(|object| object.uid.as_deref() == Some(uid));
        list.expect("Events can be read").items.into_iter().filter(about).collect()
    }

    /// Ends the story: its alerts are over, and what it made is deleted; its namespace only where it went well.
    pub async fn end(&self, went_well: bool) {
        self.pods.stop();
        let fired: Vec<Alert> = self.fired.lock().expect("not poisoned").drain(..).collect();
        for alert in fired {
            alert.resolve_if_possible().await;
        }
        let client = &self.world.client;
        let mine = ListParams::default().labels(&format!("{STORY_LABEL}={}", self.namespace));
        let hooks: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
        let _ = hooks.delete_collection(&DeleteParams::default(), &mine).await;
        let policies: Api<ClusterRemediationPolicy> = Api::all(client.clone());
        let _ = policies.delete_collection(&DeleteParams::default(), &mine).await;
        if went_well {
            let namespaces: Api<Namespace> = Api::all(client.clone());
            let _ = namespaces.delete(&self.namespace, &DeleteParams::default()).await;
        }
    }

    /// What helps to understand a failure: records, Events, and what Paramedic's logs say.
    pub async fn dump(&self) -> String {
        let mut text = format!("--- namespace {} is kept\n", self.namespace);
        for namespace in [self.namespace.as_str(), PARAMEDIC] {
            match self.world.api::<Remediation>(namespace).list(&ListParams::default()).await {
                Ok(records) => {
                    for record in records.items.iter().filter(|record| self.is_mine(record)) {
                        let _ = writeln!(
                            text,
                            "--- Remediation {namespace}/{}",
                            record.metadata.name.as_deref().unwrap_or_default()
                        );
                        let status = serde_json::to_string_pretty(&record.status).unwrap_or_default();
                        let _ = writeln!(text, "alert {:?}\nstatus {status}", record.spec.alert);
                    }
                }
                Err(error) => _ = writeln!(text, "--- no Remediations of {namespace}: {error}"),
            }
        }
        let namespace = self.namespace.as_str();
        let events = self.world.kubectl(&["-n", namespace, "get", "events", "--sort-by=.metadata.creationTimestamp"]);
        let _ = writeln!(text, "--- Events\n{}", events.unwrap_or_else(|error| error));
        for (pod, log) in self.world.logs(Some(3000)).await {
            let lines: Vec<&str> = log.lines().collect();
            let about: Vec<&str> = lines.iter().copied().filter(|line| line.contains(namespace)).collect();
            let _ = writeln!(text, "--- log of {pod} about this namespace");
            about.iter().rev().take(40).rev().for_each(|line| _ = writeln!(text, "{line}"));
            let _ = writeln!(text, "--- the end of the log of {pod}");
            lines.iter().rev().take(15).rev().for_each(|line| _ = writeln!(text, "{line}"));
        }
        text
    }

    fn is_mine(&self, record: &Remediation) -> bool {
        record.metadata.namespace.as_deref() == Some(&self.namespace)
            || record.spec.alert.labels.0.values().any(|value| *value == self.namespace)
    }
}

fn list(pods: &[&PodRef]) -> String {
    if pods.is_empty() {
        return "no pod is".to_owned();
    }
    pods.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>().join(" and ") + " is"
}

/// For waits that are known to be longer than usual.
pub const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}
