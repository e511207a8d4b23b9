//! Paramedic's pods one by one: their `/webhook` and `/readyz`. On the rig the machine reaches them itself; elsewhere
//! through `kubectl port-forward`, as the API server's proxy takes the Authorization header away.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use kube::ResourceExt;
use serde_json::Value;

use crate::{
    wait::{PATIENCE, until},
    world::{PARAMEDIC, World},
};

/// One pod of Paramedic's.
pub struct Replica {
    /// The pod's name.
    pub name: String,
    /// The pod's UID.
    pub uid: String,
    http: reqwest::Client,
    base: String,
    forward: Option<Child>,
}

/// What a replica answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The body, as text where it is not JSON.
    pub body: Value,
    /// How long it took.
    pub took: Duration,
}

impl World {
    /// Paramedic's replicas, once there are two that are Ready.
    pub async fn replicas(&self) -> Vec<Replica> {
        until(PATIENCE, "two replicas of Paramedic are Ready", || async {
            let pods = self.paramedics().await?;
            let ready: Vec<_> = pods.iter().filter(|pod| crate::pods::is_ready(pod)).collect();
            if ready.len() != 2 || pods.len() != 2 {
                return Err(format!("{} of {} are", ready.len(), pods.len()));
            }
            Ok(ready.into_iter().map(|pod| self.replica(pod)).collect())
        })
        .await
    }

    fn replica(&self, pod: &k8s_openapi::api::core::v1::Pod) -> Replica {
        let name = pod.name_any();
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).unwrap_or_default();
        let (base, forward) = if self.rig.is_some() {
            (format!("http://{address}:8080"), None)
        } else {
            let (port, child) = self.forward(&name, 8080);
            (format!("http://127.0.0.1:{port}"), Some(child))
        };
        Replica { name, uid: pod.uid().unwrap_or_default(), http: self.http.clone(), base, forward }
    }

    /// Forwards a port of this machine to one of a pod's, as long as kubectl runs.
    pub fn forward(&self, pod: &str, port: u16) -> (u16, Child) {
        let program = self.setting("KUBECTL").unwrap_or_else(|| "kubectl".to_owned());
        let mut child = Command::new(program)
            .env("KUBECONFIG", &self.kubeconfig)
            .args(["-n", PARAMEDIC, "port-forward", &format!("pod/{pod}"), &format!(":{port}")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl can be run");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("its output is piped");
        BufReader::new(output).read_line(&mut line).expect("kubectl says where it listens");
        let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        (port.unwrap_or_else(|| panic!("kubectl port-forward said: {line}")), child)
    }
}

impl Replica {
    /// Posts a body to its webhook.
    pub async fn webhook(&self, token: Option<&str>, body: &Value) -> Result<Answer, String> {
        let mut request = self.http.post(format!("{}/webhook", self.base)).json(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        answer(request).await
    }

    /// Its resident memory in bytes, as its metrics have it. On the rig alone, where their port can be reached.
    pub async fn resident(&self) -> u64 {
        let url = format!("{}/metrics", self.base.replace(":8080", ":9090"));
        let text = self.http.get(url).send().await.expect("it answers").text().await.expect("its metrics are text");
        let line = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        line.and_then(|bytes| bytes.parse().ok()).unwrap_or_else(|| panic!("no resident memory in {text}"))
    }

    /// Asks one of its health endpoints.
    pub async fn get(&self, path: &str) -> Result<Answer, String> {
        answer(self.http.get(format!("{}{path}", self.base))).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer, String> {
    let begun = Instant::now();
    let response = request.send().await.map_err(|error| format!("{error:?}"))?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (status, retry_after) = (response.status().as_u16(), header("retry-after"));
    let text = response.text().await.map_err(|error| format!("{error:?}"))?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, retry_after, body, took: begun.elapsed() })
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(forward) = &mut self.forward {
            let _ = forward.kill();
            let _ = forward.wait();
        }
    }
}
