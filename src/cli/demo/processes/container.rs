//! A container that is a process of this machine: demo-app on a port of its own, with the probes that its pod asks for.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::Probe;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::leash::Leashed;
use crate::telemetry::memory::resident_bytes;

/// How often the log is looked at for the port.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What demo-app says once it has its port.
const LISTENS: &str = "listens on http://";
/// The code of a container that was killed, as container runtimes have it.
const KILLED: i32 = 137;
/// So much of a log is shown; the end of it counts.
const LOG_SHOWN: usize = 256 * 1024;

/// What is to be run.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The container's arguments.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Where it writes.
    pub log: PathBuf,
    /// When it is ready; without one, once it listens.
    pub readiness: Option<Probe>,
    /// When it is killed; without one, never.
    pub liveness: Option<Probe>,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running {
        /// Whether its readiness probe passes.
        ready: bool,
    },
    /// It has ended.
    Exited {
        /// Its code; 137 where it was killed.
        code: i32,
    },
}

/// A started container. It is killed when this is dropped.
#[derive(Debug)]
pub struct Container {
    process: Leashed,
    probed: Arc<Mutex<Probed>>,
    stop: CancellationToken,
    ending: Option<Instant>,
}

#[derive(Debug, Default)]
struct Probed {
    address: Option<SocketAddr>,
    ready: bool,
    dead: bool,
}

impl Container {
    /// Starts it, and its probes, in the current runtime.
    pub fn start(plan: &Plan) -> io::Result<Self> {
        let own = ["demo-app", "--until-stdin-closes", "--listen", "127.0.0.1:0"].map(str::to_owned);
        let process = Leashed::own(own.iter().chain(&plan.args), plan.env.iter().cloned(), &plan.log)?;
        let (probed, stop) = (Arc::<Mutex<Probed>>::default(), CancellationToken::new());
        let probing = probe(plan.clone(), Arc::clone(&probed));
        let stopped = stop.clone();
        tokio::spawn(async move {
            stopped.run_until_cancelled(probing).await;
        });
        Ok(Self { process, probed, stop, ending: None })
    }

    /// How it is now. Where its liveness probe failed, or its grace is over, it is killed.
    pub fn state(&mut self) -> State {
        if let Some(status) = self.process.ended() {
            self.stop.cancel();
            return State::Exited { code: status.code().unwrap_or(KILLED) };
        }
        let probed = lock(&self.probed);
        if probed.dead || self.ending.is_some_and(|end| Instant::now() >= end) {
            self.process.kill();
        }
        State::Running { ready: probed.ready && self.ending.is_none() }
    }

    /// Tells it to end, within `grace`.
    pub fn stop(&mut self, grace: Duration) {
        let end = Instant::now() + grace;
        self.ending = Some(self.ending.map_or(end, |earlier| earlier.min(end)));
        self.process.let_go();
    }

    /// Resident memory in bytes, where the system tells.
    pub fn memory(&self) -> Option<u64> {
        resident_bytes(&self.process.pid().to_string()).and_then(|bytes| u64::try_from(bytes).ok())
    }

    /// Where it answers, once it does.
    pub fn address(&self) -> Option<SocketAddr> {
        lock(&self.probed).address
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        tail(self.process.log())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The end of a log.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let mut from = text.len().saturating_sub(LOG_SHOWN);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..).unwrap_or_default().to_owned()
}

fn lock(probed: &Mutex<Probed>) -> MutexGuard<'_, Probed> {
    probed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Finds the port, then asks as often as the probes say.
async fn probe(plan: Plan, probed: Arc<Mutex<Probed>>) {
    let address = loop {
        let said = std::fs::read_to_string(&plan.log).unwrap_or_default();
        if let Some(address) = address_in(&said) {
            break address;
        }
        sleep(LOOK_EVERY).await;
    };
    lock(&probed).address = Some(address);
    if plan.readiness.is_none() {
        lock(&probed).ready = true;
    }
    let Ok(client) = reqwest::Client::builder().no_proxy().build() else { return };
    let readiness = async {
        let Some(probe) = &plan.readiness else { return };
        let mut failures = 0;
        loop {
            let passes = ask(&client, address, probe).await;
            failures = if passes { 0 } else { failures + 1 };
            if passes {
                lock(&probed).ready = true;
            } else if failures >= probe.failure_threshold.unwrap_or(3) {
                lock(&probed).ready = false;
            }
            sleep(seconds(probe.period_seconds, 10)).await;
        }
    };
    let liveness = async {
        let Some(probe) = &plan.liveness else { return };
        let mut failures = 0;
        while failures < probe.failure_threshold.unwrap_or(3) {
            sleep(seconds(probe.period_seconds, 10)).await;
            failures = if ask(&client, address, probe).await { 0 } else { failures + 1 };
        }
        lock(&probed).dead = true;
    };
    tokio::join!(readiness, liveness);
}

/// The port, in the last line of a log that names one: a restarted container writes into the same.
fn address_in(log: &str) -> Option<SocketAddr> {
    log.lines().rev().find_map(|line| line.split_once(LISTENS)?.1.trim().parse().ok())
}

async fn ask(client: &reqwest::Client, address: SocketAddr, probe: &Probe) -> bool {
    let Some(get) = &probe.http_get else { return true };
    let path = get.path.as_deref().unwrap_or("/");
    let request = client.get(format!("http://{address}{path}")).send();
    match timeout(seconds(probe.timeout_seconds, 1), request).await {
        Ok(Ok(answer)) => answer.status().is_success() || answer.status().is_redirection(),
        _ => false,
    }
}

fn seconds(given: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(given.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_one_that_was_said_last() {
        assert_eq!(address_in("starting\n"), None);
        let log = "demo-app listens on http://127.0.0.1:1\nleaking\ndemo-app listens on http://127.0.0.1:2\n";
        assert_eq!(address_in(log), "127.0.0.1:2".parse().ok());
    }

    #[test]
    fn of_a_long_log_the_end_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "ä".repeat(LOG_SHOWN) + "end").unwrap();
        let shown = tail(&log);
        assert!(shown.ends_with("ääend") && shown.len() <= LOG_SHOWN, "{}", shown.len());
    }
}
