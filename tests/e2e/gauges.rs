//! Gauges that a story sets: served by this process, scraped by every Prometheus of the rig, and the rules that they trip.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, routing::get};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{story::Story, workloads::PodRef};

/// Which alert fires about which pod.
type Trouble = Arc<Mutex<BTreeSet<(String, String)>>>;

/// Pods in trouble, as their series say.
pub struct Gauges {
    trouble: Trouble,
    server: JoinHandle<()>,
    targets: PathBuf,
    rules: PathBuf,
}

impl Story {
    /// Serves gauges; a rule for each of these alerts fires at once, without a `for`, where one is 1.
    pub async fn gauges(&self, alertnames: &[&str]) -> Gauges {
        let rig = self.world.rig();
        let listener = TcpListener::bind(SocketAddr::new(rig.host_ip, 0)).await.expect("the address can be bound");
        let address = listener.local_addr().expect("a listener has an address");
        let trouble = Trouble::default();
        let shared = (self.namespace.clone(), Arc::clone(&trouble));
        let app = Router::new().route("/metrics", get(metrics)).with_state(shared);
        let server = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("the gauges are served as long as the story lasts");
        });

        let folder = self.world.setting("PROMETHEUS_TARGETS").expect("the rig says where targets are");
        let targets = PathBuf::from(folder).join(format!("{}.json", self.namespace));
        let target = json!([{"targets": [address.to_string()], "labels": {"job": "gauges"}}]);
        fs::write(&targets, target.to_string()).expect("a target can be written");

        let rules = std::env::temp_dir().join(format!("{}-rules", self.namespace));
        fs::create_dir_all(&rules).expect("a temporary folder can be made");
        let rule = |name: &&str| -> Value {
            json!({"alert": name, "expr": format!("e2e_trouble{{kind=\"{name}\"}} == 1"), "for": "0s"})
        };
        let groups = json!({"groups": [{"name": "gauges", "rules": alertnames.iter().map(rule).collect::<Vec<_>>()}]});
        fs::write(rules.join("gauges.yaml"), groups.to_string()).expect("a rule can be written");
        rig.run("prometheus", &["reload", &rules.to_string_lossy()]);
        Gauges { trouble, server, targets, rules }
    }
}

impl Gauges {
    /// The alert is to fire about the pod.
    pub fn trouble(&self, alertname: &str, pod: &PodRef) {
        self.trouble.lock().expect("not poisoned").insert((alertname.to_owned(), pod.name.clone()));
    }

    /// The pod is gone, and its series with it.
    pub fn gone(&self, pod: &PodRef) {
        self.trouble.lock().expect("not poisoned").retain(|(_, name)| *name != pod.name);
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        self.server.abort();
        let _ = fs::remove_file(&self.targets);
        let _ = fs::remove_dir_all(&self.rules);
    }
}

async fn metrics(State((namespace, trouble)): State<(String, Trouble)>) -> String {
    let mut text = String::from("# TYPE e2e_trouble gauge\n");
    for (kind, pod) in trouble.lock().expect("not poisoned").iter() {
        let labels = format!("kind=\"{kind}\",namespace=\"{namespace}\",pod=\"{pod}\",container=\"main\"");
        let _ = writeln!(text, "e2e_trouble{{{labels}}} 1");
    }
    text
}
