//! Alerts: fired in Alertmanager, which then calls the webhook for real; or, where there is none, posted to it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    replicas::{Answer, Replica},
    story::Story,
    workloads::{PodRef, Workload},
    world::World,
};

/// For how long an alert fires where nobody says that it is over.
const LASTS: Duration = Duration::from_mins(30);

/// One alert.
#[derive(Clone)]
pub struct Alert {
    world: &'static World,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it began.
    pub starts_at: Timestamp,
}

/// An alert that has not fired yet.
pub struct NewAlert {
    story: Story,
    labels: BTreeMap<String, String>,
}

impl Story {
    /// An alert of this name in the story's namespace.
    pub fn alert(&self, alertname: &str) -> NewAlert {
        let new = NewAlert { story: self.clone(), labels: BTreeMap::new() };
        new.label("alertname", alertname).label("namespace", &self.namespace).label("severity", "warning")
    }
}

impl NewAlert {
    /// One more label.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// It speaks of a pod, as cAdvisor's series do.
    pub fn about(self, pod: &PodRef) -> Self {
        self.label("pod", &pod.name).label("container", "main")
    }

    /// It speaks of a workload, as kube-state-metrics' series do.
    pub fn about_workload(self, workload: &Workload) -> Self {
        self.label(&workload.kind.to_lowercase(), &workload.name)
    }

    /// The alert, though nobody has told of it yet.
    pub fn untold(self) -> Alert {
        let alert = Alert { world: self.story.world, labels: self.labels, starts_at: Timestamp::now() };
        self.story.fired.lock().expect("not poisoned").push(alert.clone());
        alert
    }

    /// It fires.
    pub async fn fire(self) -> Alert {
        let alert = self.untold();
        alert.fire().await;
        alert
    }
}

impl Alert {
    /// Tells Alertmanager, or a replica where there is no Alertmanager, that it fires.
    pub async fn fire(&self) {
        self.tell(Timestamp::now() + LASTS, "firing").await.expect("the alert is taken");
    }

    /// Tells that it is over.
    pub async fn resolve(&self) {
        self.tell(Timestamp::now(), "resolved").await.expect("the end of the alert is taken");
    }

    /// The same at the end of a story, whatever state the cluster is in.
    pub async fn resolve_if_possible(&self) {
        if self.world.alertmanager.is_some() {
            let _ = self.tell(Timestamp::now(), "resolved").await;
        }
    }

    async fn tell(&self, ends_at: Timestamp, status: &str) -> Result<(), String> {
        if let Some(alertmanager) = &self.world.alertmanager {
            let alert = json!({
                "labels": self.labels, "annotations": {"summary": "a story"},
                "startsAt": self.starts_at, "endsAt": ends_at, "generatorURL": "http://prometheus.example/graph",
            });
            return alertmanager.post(&[alert]).await;
        }
        let replicas = self.world.replicas().await;
        let answer = replicas[0].webhook(Some(&self.world.token), &self.body(status)).await?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    }

    /// The webhook's body that Alertmanager makes of it.
    pub fn body(&self, status: &str) -> Value {
        let ends_at = if status == "firing" { json!("0001-01-01T00:00:00Z") } else { json!(Timestamp::now()) };
        let group = json!({"alertname": self.labels.get("alertname"), "namespace": self.labels.get("namespace")});
        json!({
            "version": "4", "groupKey": "{}:{e2e}", "truncatedAlerts": 0, "status": status, "receiver": "paramedic",
            "groupLabels": group, "commonLabels": self.labels, "commonAnnotations": {},
            "externalURL": "http://alertmanager.example",
            "alerts": [{
                "status": status, "labels": self.labels, "annotations": {"summary": "a story"},
                "startsAt": self.starts_at, "endsAt": ends_at, "generatorURL": "http://prometheus.example/graph",
            }],
        })
    }

    /// Posts it straight to a replica, under the source of that token.
    pub async fn deliver(&self, replica: &Replica, token: &str) -> Result<Answer, String> {
        replica.webhook(Some(token), &self.body("firing")).await
    }
}
