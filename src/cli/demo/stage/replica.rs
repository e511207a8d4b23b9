//! One replica of the real server: this program's `serve`, as a process of its own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{Failure, OWN_NAMESPACE};
use crate::{api::PositiveDuration, cli::demo::processes::leash::Leashed, config::UNAUTHENTICATED};

/// What `serve` says once it has its ports.
const SAYS: &str = "webhook on ";
/// How long it may take to start.
const START_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a Lease holds here, and how long an action may take.
const LEASE: PositiveDuration = PositiveDuration::from_secs(3);
const ACTION: PositiveDuration = PositiveDuration::from_secs(2);
/// So long a leader waits to whom the Lease was not given back.
pub const LEADER_WAITS: Duration = LEASE.get().saturating_add(ACTION.get());

/// A replica.
#[derive(Debug)]
pub struct Replica {
    /// What it calls itself in the Lease.
    pub name: String,
    /// Where it takes alerts.
    pub webhook: String,
    /// Where it writes.
    pub log: PathBuf,
    process: Leashed,
    killed: bool,
}

impl Replica {
    /// Starts it, and waits until it has its ports: those, or others where somebody was faster.
    pub async fn start(
        name: &str,
        dir: &Path,
        kubeconfig: &Path,
        alertmanagers: &[String],
        listen: SocketAddr,
    ) -> Result<Self, Failure> {
        let (log, config) = (dir.join(format!("{name}.log")), dir.join(format!("{name}.yaml")));
        for listen in [listen, SocketAddr::from(([127, 0, 0, 1], 0))] {
            let yaml = configuration(name, listen, alertmanagers).context("its configuration")?;
            std::fs::write(&config, yaml).with_context(|| format!("{} cannot be written", config.display()))?;
            let args = ["serve", "--until-stdin-closes", "--config"].map(PathBuf::from);
            let args = args.into_iter().chain([config.clone(), "--kubeconfig".into(), kubeconfig.to_owned()]);
            let process = Leashed::own(args, [], &log).with_context(|| format!("{name} does not start"))?;
            let mut replica =
                Self { name: name.to_owned(), webhook: String::new(), log: log.clone(), process, killed: false };
            if let Ok(Some(webhook)) = timeout(START_WITHIN, replica.says()).await {
                replica.webhook = webhook;
                return Ok(replica);
            }
        }
        let how = "an error at its start".to_owned();
        Err(Failure::Ended { name: name.to_owned(), how, log: log.display().to_string() })
    }

    /// The webhook's URL, from its log; `None` if it ends without having said one.
    async fn says(&mut self) -> Option<String> {
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let said = log.lines().rev().find_map(|line| line.split_once(SAYS)?.1.split([',', ' ']).next());
            if let Some(webhook) = said {
                return Some(webhook.to_owned());
            }
            if self.process.ended().is_some() {
                return None;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build()?;
        let url = self.webhook.replace("/webhook", "/readyz");
        let asking = async {
            while !client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                sleep(LOOK_EVERY).await;
            }
        };
        if timeout(START_WITHIN, asking).await.is_err() {
            bail!("{} is not ready; its log: {}", self.name, self.log.display());
        }
        Ok(())
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// How it ended, if it has and was not told to.
    pub fn ended(&mut self) -> Option<String> {
        if self.killed { None } else { self.process.ended().map(|status| status.to_string()) }
    }

    /// Whether the demonstration itself ended it.
    pub const fn was_killed(&self) -> bool {
        self.killed
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.killed = true;
        self.process.kill();
    }

    /// Tells it to end.
    pub fn let_go(&mut self) {
        self.killed = true;
        self.process.let_go();
    }

    /// Waits for its end, and kills it where that does not come by then.
    pub fn end_by(&mut self, deadline: Instant) {
        self.process.end_by(deadline);
    }
}

/// The configuration: as `k8s/base` has it, but for shorter times.
fn configuration(name: &str, listen: SocketAddr, alertmanagers: &[String]) -> anyhow::Result<String> {
    let alertmanagers: Vec<_> = alertmanagers
        .iter()
        .map(|url| json!({ "url": url, "source": UNAUTHENTICATED, "resendInterval": "2s" }))
        .collect();
    let config = json!({
        "listen": listen,
        "metricsListen": "127.0.0.1:0",
        "alertmanagers": alertmanagers,
        "leader": { "leaseDuration": LEASE, "renewEvery": "500ms", "actionTimeout": ACTION },
        "shutdownDeadline": "2s",
        "namespace": OWN_NAMESPACE,
        "identity": name,
    });
    Ok(serde_saphyr::to_string(&config)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, load};

    #[test]
    fn the_configuration_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("paramedic.yaml");
        let alertmanagers = ["http://127.0.0.1:9093".to_owned()];
        std::fs::write(&file, configuration("paramedic-0", ([127, 0, 0, 1], 1).into(), &alertmanagers).unwrap())
            .unwrap();
        let config = load(Some(&file), &std::collections::BTreeMap::new(), &Overrides::default()).unwrap();
        assert_eq!((config.identity.as_str(), config.alertmanagers.len()), ("paramedic-0", 1));
    }
}
