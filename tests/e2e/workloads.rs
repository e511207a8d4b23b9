//! Fixtures: Deployments, `StatefulSet`s and bare pods that do next to nothing, or leak.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::Pod,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{pods::is_ready, story::Story, wait::until};

/// How long images take to start on a busy machine.
const STARTUP: Duration = Duration::from_secs(90);

/// One living pod.
#[derive(Clone, Debug)]
pub struct PodRef {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its address.
    pub ip: String,
}

impl PodRef {
    fn of(pod: &Pod) -> Self {
        let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).unwrap_or_default();
        Self { name: pod.name_any(), uid: pod.uid().unwrap_or_default(), ip }
    }
}

/// A workload to be made.
pub struct NewWorkload {
    story: Story,
    kind: &'static str,
    name: String,
    replicas: u32,
    container: Value,
    grace: u32,
    annotations: Value,
}

/// A workload that is up.
#[derive(Clone)]
pub struct Workload {
    story: Story,
    /// Its kind.
    pub kind: &'static str,
    /// Its name, and the label `app` of its pods.
    pub name: String,
    replicas: u32,
}

impl Story {
    /// A Deployment of pods that do nothing.
    pub fn deployment(&self, name: &str) -> NewWorkload {
        self.workload("Deployment", name)
    }

    /// A `StatefulSet` of pods that do nothing: its pods keep their names.
    pub fn stateful_set(&self, name: &str) -> NewWorkload {
        self.workload("StatefulSet", name)
    }

    fn workload(&self, kind: &'static str, name: &str) -> NewWorkload {
        let container = json!({
            "name": "main", "image": "busybox:e2e", "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", "exec sleep 1000000"],
            "resources": {"limits": {"memory": "32Mi"}, "requests": {"cpu": "1m", "memory": "4Mi"}},
        });
        let (story, name) = (self.clone(), name.to_owned());
        NewWorkload { story, kind, name, replicas: 2, container, grace: 1, annotations: json!({}) }
    }

    /// A pod that nobody would start again.
    pub async fn bare_pod(&self, name: &str) -> PodRef {
        let new = self.workload("Pod", name);
        let pod = json!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"containers": [new.container], "terminationGracePeriodSeconds": 1},
        });
        let pod = serde_json::from_value(pod).expect("it is a pod");
        self.world.api::<Pod>(&self.namespace).create(&PostParams::default(), &pod).await.expect("a pod can be made");
        let bare = Workload { story: self.clone(), kind: "Pod", name: name.to_owned(), replicas: 1 };
        bare.pods().await.remove(0)
    }

    /// A budget for the pods of a workload: so many must stay.
    pub async fn budget(&self, workload: &Workload, min_available: u32) {
        let budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": workload.name},
            "spec": {"minAvailable": min_available, "selector": {"matchLabels": {"app": workload.name}}},
        });
        let api: Api<PodDisruptionBudget> = self.world.api(&self.namespace);
        let parameters = PatchParams::apply("e2e").force();
        api.patch(&workload.name, &parameters, &Patch::Apply(&budget)).await.expect("a budget can be made");
        let seen = "the disruption controller has seen the budget";
        until(STARTUP, seen, || async {
            let budget = api.get_status(&workload.name).await.map_err(|error| error.to_string())?;
            let status = budget.status.unwrap_or_default();
            let desired = i32::try_from(min_available).expect("a few");
            let counted = status.observed_generation == budget.metadata.generation && status.desired_healthy == desired;
            if counted { Ok(()) } else { Err(format!("{status:?}")) }
        })
        .await;
    }
}

impl NewWorkload {
    /// So many pods; 2 where it is not said.
    pub fn replicas(mut self, number: u32) -> Self {
        self.replicas = number;
        self
    }

    /// An annotation of the workload itself.
    pub fn annotated(mut self, name: &str, value: &str) -> Self {
        self.annotations[name] = json!(value);
        self
    }

    /// Another image, with arguments for its own program.
    pub fn running(mut self, image: &str, arguments: &[&str]) -> Self {
        self.container["image"] = json!(image);
        self.container["args"] = json!(arguments);
        if let Some(fields) = self.container.as_object_mut() {
            fields.remove("command");
        }
        self
    }

    /// More fields of the container.
    pub fn container(mut self, name: &str, value: Value) -> Self {
        self.container[name] = value;
        self
    }

    /// Pods that do not heed SIGTERM, and have that long to do so.
    pub fn deaf_for(mut self, seconds: u32) -> Self {
        self.container["command"] = json!(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]);
        self.grace = seconds;
        self
    }

    /// Makes it, and waits until all its pods are Ready.
    pub async fn up(self) -> Workload {
        let Self { story, kind, name, replicas, container, grace, annotations } = self;
        let mut object = json!({
            "metadata": {"name": name, "annotations": annotations},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [container], "terminationGracePeriodSeconds": grace},
                },
            },
        });
        let (world, namespace) = (story.world, &story.namespace);
        let parameters = PostParams::default();
        if kind == "StatefulSet" {
            object["spec"]["serviceName"] = json!(name);
            object["spec"]["podManagementPolicy"] = json!("Parallel");
            let set = serde_json::from_value(object).expect("it is a StatefulSet");
            world.api::<StatefulSet>(namespace).create(&parameters, &set).await.expect("a StatefulSet can be made");
        } else {
            let deployment = serde_json::from_value(object).expect("it is a Deployment");
            world
                .api::<Deployment>(namespace)
                .create(&parameters, &deployment)
                .await
                .expect("a Deployment can be made");
        }
        let workload = Workload { story, kind, name, replicas };
        workload.pods().await;
        workload
    }
}

impl Workload {
    /// Its pods by name, once as many are Ready as there should be, and no other one lives.
    pub async fn pods(&self) -> Vec<PodRef> {
        let what = format!("{} pods of {} are Ready", self.replicas, self.name);
        let api: Api<Pod> = self.story.world.api(&self.story.namespace);
        until(STARTUP, &what, || async {
            let list = api.list(&ListParams::default().labels(&format!("app={}", self.name))).await;
            let pods = list.map_err(|error| error.to_string())?.items;
            let mut ready: Vec<PodRef> = pods.iter().filter(|pod| is_ready(pod)).map(PodRef::of).collect();
            ready.sort_by(|one, other| one.name.cmp(&other.name));
            let expected = usize::try_from(self.replicas).expect("a few");
            if ready.len() == expected && pods.len() == expected {
                return Ok(ready);
            }
            Err(format!("{} are, of {}", ready.len(), pods.len()))
        })
        .await
    }

    /// One of its pods.
    pub async fn pod(&self) -> PodRef {
        self.pods().await.remove(0)
    }

    /// Two of its pods.
    pub async fn two_pods(&self) -> (PodRef, PodRef) {
        let mut pods = self.pods().await;
        (pods.remove(0), pods.remove(0))
    }

    /// Annotates the workload itself.
    pub async fn annotate(&self, name: &str, value: &str) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {name: value}}}));
        let (world, namespace, parameters) = (self.story.world, &self.story.namespace, PatchParams::default());
        if self.kind == "StatefulSet" {
            let api = world.api::<StatefulSet>(namespace);
            api.patch(&self.name, &parameters, &patch).await.expect("a StatefulSet can be annotated");
        } else {
            let api = world.api::<Deployment>(namespace);
            api.patch(&self.name, &parameters, &patch).await.expect("a Deployment can be annotated");
        }
    }

    /// How often `rolloutRestart` was done to it: the annotation that `kubectl rollout restart` sets too.
    pub async fn restarted_at(&self) -> Option<String> {
        const ANNOTATION: &str = "kubectl.kubernetes.io/restartedAt";
        let (world, namespace) = (self.story.world, &self.story.namespace);
        let template = if self.kind == "StatefulSet" {
            let set = world.api::<StatefulSet>(namespace).get(&self.name).await.expect("it is there");
            set.spec.and_then(|spec| spec.template.metadata)
        } else {
            let deployment = world.api::<Deployment>(namespace).get(&self.name).await.expect("it is there");
            deployment.spec.and_then(|spec| spec.template.metadata)
        };
        template?.annotations?.remove(ANNOTATION)
    }
}

impl Story {
    /// Annotates one pod.
    pub async fn annotate_pod(&self, pod: &PodRef, name: &str, value: &str) {
        let patch = json!({"metadata": {"annotations": {name: value}}});
        let api: Api<Pod> = self.world.api(&self.namespace);
        api.patch(&pod.name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("a pod can be annotated");
    }
}
