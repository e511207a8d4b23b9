//! The real Prometheus and Alertmanager, where they are asked for: with the shipped rule over what a kubelet would say of
//! the application's memory.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use axum::{Router, routing::get};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::cli::demo::{
    processes::{leash::Leashed, runtime::Processes},
    screen::{Mood, Screen, Who},
};

/// The rule that ships.
const RULES: &str = include_str!("../../../../rules/memory-leak.yaml");
/// How often alerts are asked for, to tell of them.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// The two programs.
#[derive(Clone, Debug)]
pub struct Programs {
    prometheus: PathBuf,
    alertmanager: PathBuf,
}

/// A program that is not there.
#[derive(Debug, thiserror::Error)]
#[error("--prometheus needs {0} on PATH, and it is not there; without --prometheus, demo plays their part itself")]
pub struct NotThere(&'static str);

impl Programs {
    /// Finds them on `PATH`, under the names that Debian has for them too.
    pub fn find() -> Result<Self, NotThere> {
        let path = env::var_os("PATH").unwrap_or_default();
        let find = |names: &[&str]| {
            let in_dir =
                |dir: PathBuf| names.iter().map(move |name| dir.join(name)).find(|file| file.is_file()).into_iter();
            env::split_paths(&path).collect::<Vec<_>>().into_iter().flat_map(in_dir).next()
        };
        Ok(Self {
            prometheus: find(&["prometheus"]).ok_or(NotThere("prometheus"))?,
            alertmanager: find(&["alertmanager", "prometheus-alertmanager"]).ok_or(NotThere("alertmanager"))?,
        })
    }
}

/// Where they are to be, and what they work on.
pub struct Wiring<'a> {
    /// The directory for configurations, data and logs.
    pub dir: &'a Path,
    /// Prometheus's port.
    pub prometheus: SocketAddr,
    /// Alertmanager's port.
    pub alertmanager: SocketAddr,
    /// Paramedic's webhook.
    pub webhook: &'a str,
    /// The rule's `for`.
    pub wait: Duration,
}

/// Both, running.
#[derive(Debug)]
pub struct Running {
    children: [Leashed; 2],
}

impl Running {
    /// Starts them, and what they scrape.
    pub async fn start(programs: &Programs, wiring: &Wiring<'_>, processes: Processes) -> anyhow::Result<Self> {
        let Wiring { dir, prometheus, alertmanager, .. } = wiring;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let scraped = listener.local_addr()?;
        let router = Router::new().route("/metrics", get(move || std::future::ready(exposition(&processes))));
        tokio::spawn(async move { axum::serve(listener, router).await });

        let write = |name: &str, what: &Value| -> anyhow::Result<PathBuf> {
            let file = dir.join(name);
            // JSON is YAML.
            std::fs::write(&file, serde_json::to_string_pretty(what)?).with_context(|| file.display().to_string())?;
            Ok(file)
        };
        write("rules.yml", &rules(wiring.wait)?)?;
        let config = write("prometheus.yml", &prometheus_config(scraped, *alertmanager))?;
        let alertmanager_config = write("alertmanager.yml", &alertmanager_config(wiring.webhook))?;
        let flag = |name: &str, value: &dyn std::fmt::Display| OsString::from(format!("--{name}={value}"));
        let first = leashed(
            &programs.alertmanager,
            [
                flag("config.file", &alertmanager_config.display()),
                flag("storage.path", &dir.join("alertmanager").display()),
                flag("web.listen-address", alertmanager),
                flag("cluster.listen-address", &""),
            ],
            &dir.join("alertmanager.log"),
        )?;
        let second = leashed(
            &programs.prometheus,
            [
                flag("config.file", &config.display()),
                flag("storage.tsdb.path", &dir.join("prometheus").display()),
                flag("web.listen-address", prometheus),
                flag("rules.alert.resend-delay", &"1s"),
            ],
            &dir.join("prometheus.log"),
        )?;
        Ok(Self { children: [first, second] })
    }

    /// Where they write.
    pub fn logs(&self) -> impl Iterator<Item = PathBuf> {
        self.children.iter().map(|child| child.log().to_owned())
    }

    /// Ends both.
    pub fn end_by(&mut self, deadline: Instant) {
        self.children.iter_mut().for_each(Leashed::let_go);
        self.children.iter_mut().for_each(|child| child.end_by(deadline));
    }
}

fn leashed(program: &Path, flags: [OsString; 4], log: &Path) -> anyhow::Result<Leashed> {
    let args = ["leash".into(), "--".into(), program.as_os_str().to_owned()].into_iter().chain(flags);
    Leashed::own(args, [], log).with_context(|| format!("{} does not start", program.display()))
}

/// What a kubelet's cAdvisor says of each container, as far as the rule asks.
fn exposition(processes: &Processes) -> String {
    let mut text = "# TYPE container_memory_working_set_bytes gauge\n".to_owned();
    for shown in processes.list() {
        let Some(memory) = shown.memory else { continue };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "container_memory_working_set_bytes{{namespace=\"{}\",pod=\"{}\",container=\"{}\"}} {memory}",
            shown.namespace, shown.pod, shown.container
        );
    }
    text
}

/// The shipped rule in Prometheus's own form, with another `for`.
fn rules(wait: Duration) -> anyhow::Result<Value> {
    let mut rule: Value = serde_saphyr::from_str(RULES).context("rules/memory-leak.yaml")?;
    let mut spec =
        rule.get_mut("spec").map(Value::take).ok_or_else(|| anyhow!("rules/memory-leak.yaml has no spec"))?;
    for group in spec["groups"].as_array_mut().into_iter().flatten() {
        group["interval"] = json!("1s");
        for rule in group["rules"].as_array_mut().into_iter().flatten() {
            rule["for"] = json!(format!("{}s", wait.as_secs()));
        }
    }
    Ok(spec)
}

fn prometheus_config(scraped: SocketAddr, alertmanager: SocketAddr) -> Value {
    json!({
        "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
        "rule_files": ["rules.yml"],
        "scrape_configs": [{
            "job_name": "kubelet", "honor_labels": true, "static_configs": [{ "targets": [scraped] }],
        }],
        "alerting": { "alertmanagers": [{ "static_configs": [{ "targets": [alertmanager] }] }] },
    })
}

fn alertmanager_config(webhook: &str) -> Value {
    json!({
        "route": {
            "receiver": "paramedic",
            "group_by": ["alertname", "namespace", "pod"],
            "group_wait": "2s", "group_interval": "1s", "repeat_interval": "8s",
        },
        "receivers": [{ "name": "paramedic", "webhook_configs": [{ "url": webhook, "send_resolved": true }] }],
    })
}

#[derive(Deserialize)]
struct Answer {
    data: Alerts,
}

#[derive(Deserialize)]
struct Alerts {
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    labels: BTreeMap<String, String>,
    state: String,
    value: String,
}

/// Asks Prometheus which alerts there are, for ever, and tells what changes.
pub async fn tell_alerts(prometheus: SocketAddr, screen: Screen) {
    let Ok(client) = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build() else { return };
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        let asked = client.get(format!("http://{prometheus}/api/v1/alerts")).send().await;
        let Ok(asked) = asked else { continue };
        let Ok(Answer { data }) = asked.json().await else { continue };
        let named = |alert: &Alert| {
            let label = |name: &str| alert.labels.get(name).cloned().unwrap_or_default();
            format!("{} for {}", label("alertname"), label("pod"))
        };
        for alert in &data.alerts {
            let name = named(alert);
            if known.insert(name.clone(), alert.state.clone()).as_ref() != Some(&alert.state) {
                let mood = if alert.state == "firing" { Mood::Bad } else { Mood::Plain };
                let mib = alert.value.parse::<f64>().map(|bytes| format!(" at {:.0} MiB", bytes / 1024.0 / 1024.0));
                screen.tell(Who::Prometheus, mood, format!("{name} is {}{}", alert.state, mib.unwrap_or_default()));
            }
        }
        let over: Vec<String> =
            known.keys().filter(|name| !data.alerts.iter().any(|alert| named(alert) == **name)).cloned().collect();
        for name in over {
            known.remove(&name);
            screen.tell(Who::Prometheus, Mood::Good, format!("{name} is over"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rule_is_given_to_prometheus_but_for_its_times() {
        let rules = rules(Duration::from_secs(3)).unwrap();
        let rule = &rules["groups"][0]["rules"][0];
        assert_eq!((rule["alert"].as_str(), rule["for"].as_str()), (Some("MemoryLeakDetected"), Some("3s")));
        assert!(rule["expr"].as_str().unwrap().contains("container_memory_working_set_bytes"));
    }
}
