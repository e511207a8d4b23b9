//! Fixtures: policies and pauses, written as users write them.

use jiff::Timestamp;
use kube::{Api, api::DeleteParams};
use paramedic::api::{ClusterRemediationPolicy, Pause, RemediationPolicy};
use serde_json::{Value, json};

use crate::{
    story::{STORY_LABEL, Story},
    wait::{PATIENCE, until},
};

/// A policy to be made.
pub struct NewPolicy {
    story: Story,
    name: String,
    cluster: bool,
    spec: Value,
}

/// A policy in force.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Whether it is a `ClusterRemediationPolicy`, whose records are in Paramedic's own namespace.
    pub cluster: bool,
}

/// A quick verification, for stories about something else.
pub fn verified_quickly() -> Value {
    json!({"within": "60s", "stableFor": "2s"})
}

impl Story {
    /// A policy that evicts the pods that an alert of this name speaks of.
    pub fn policy(&self, alertname: &str) -> NewPolicy {
        let name = format!("answer-{}", alertname.to_lowercase());
        let spec = json!({
            "mode": "Enforce",
            "match": [format!("alertname=\"{alertname}\"")],
            "target": {"kind": "Pod"},
            "steps": [{"restartPod": {}, "verify": verified_quickly()}],
        });
        NewPolicy { story: self.clone(), name, cluster: false, spec }
    }

    /// A pause in the story's namespace.
    pub fn pause(&self, name: &str, expires: Option<Timestamp>) {
        let mut spec = json!({"reason": "a story pauses it"});
        if let Some(at) = expires {
            spec["expiresAt"] = json!(at);
        }
        let metadata = json!({"name": name});
        self.apply(
            &json!({"apiVersion": "paramedic.dev/v1alpha1", "kind": "Pause", "metadata": metadata, "spec": spec}),
        );
    }

    /// Deletes a pause.
    pub async fn unpause(&self, name: &str) {
        let api: Api<Pause> = self.world.api(&self.namespace);
        api.delete(name, &DeleteParams::default()).await.expect("the pause can be deleted");
    }
}

impl NewPolicy {
    /// Another name: where two policies answer one alert.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// `DryRun`, `RequireApproval` or `Disabled` instead of `Enforce`.
    pub fn mode(mut self, mode: &str) -> Self {
        self.spec["mode"] = json!(mode);
        self
    }

    /// Another kind of target than Pod.
    pub fn target(mut self, kind: &str) -> Self {
        self.spec["target"]["kind"] = json!(kind);
        self
    }

    /// Another ladder.
    pub fn steps(mut self, steps: Value) -> Self {
        self.spec["steps"] = steps;
        self
    }

    /// A limit that is not the default.
    pub fn limit(mut self, name: &str, value: Value) -> Self {
        self.spec["limits"][name] = value;
        self
    }

    /// Not at any time.
    pub fn schedule(mut self, schedule: Value) -> Self {
        self.spec["schedule"] = schedule;
        self
    }

    /// Another priority than 0.
    pub fn priority(mut self, priority: i32) -> Self {
        self.spec["priority"] = json!(priority);
        self
    }

    /// Who is told when it failed.
    pub fn on_failure(mut self, on_failure: Value) -> Self {
        self.spec["onFailure"] = on_failure;
        self
    }

    /// For the whole cluster, in these namespaces.
    pub fn in_the_cluster(mut self, namespaces: &[&str]) -> Self {
        self.cluster = true;
        self.name = format!("{}-{}", self.story.namespace, self.name);
        self.spec["namespaces"] = json!(namespaces);
        self
    }

    /// Applies it with kubectl, and waits until Paramedic has accepted it.
    pub async fn up(self) -> Policy {
        let Self { story, name, cluster, spec } = self;
        let kind = if cluster { "ClusterRemediationPolicy" } else { "RemediationPolicy" };
        story.apply(&json!({
            "apiVersion": "paramedic.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name, "labels": {STORY_LABEL: story.namespace}}, "spec": spec,
        }));
        until(PATIENCE, &format!("{kind} {name} is accepted"), || async {
            let world = story.world;
            let status = if cluster {
                let api: Api<ClusterRemediationPolicy> = Api::all(world.client.clone());
                api.get(&name).await.map_err(|error| error.to_string())?.status
            } else {
                let api: Api<RemediationPolicy> = world.api(&story.namespace);
                api.get(&name).await.map_err(|error| error.to_string())?.status
            };
            let accepted = status
                .iter()
                .flat_map(|status| &status.conditions)
                .any(|c| c.type_ == "Accepted" && c.status == "True");
            if accepted { Ok(()) } else { Err(format!("{status:?}")) }
        })
        .await;
        Policy { name, cluster }
    }
}
