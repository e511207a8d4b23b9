//! All that a scenario plays on: the cluster, the application, Paramedic, and who tells it. Started in order, ended as a
//! whole.

pub mod objects;
pub mod replica;
pub mod watchers;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::SocketAddr,
    path::PathBuf,
    sync::PoisonError,
    time::{Duration, Instant},
};

use anyhow::Context;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::{replica::Replica, watchers::Notices};
use super::{
    monitor::{
        alertmanager::{Alertmanager, Place, Service},
        prometheus::{self, Programs, Running, Wiring},
        rule::Rule,
    },
    processes::{ports, runtime::Processes},
    screen::{Mood, Screen, Who},
    seen::{self, Seen},
};
use crate::{
    clock::Clock,
    sim::{
        Cluster, Settings,
        http::{self, Server},
    },
};

/// Where kubectl would look for an API server, Prometheus for an Alertmanager, and Alertmanager for Paramedic.
const USUAL_API: u16 = 6443;
const USUAL_ALERTMANAGER: u16 = 9093;
const USUAL_PROMETHEUS: u16 = 9090;
const USUAL_WEBHOOK: u16 = 8080;
/// The rules' `for` here.
pub const RULE_WAIT: Duration = Duration::from_secs(3);
/// Paramedic's own namespace, and the application's.
pub const OWN_NAMESPACE: &str = "paramedic";
/// The application's.
pub const APP_NAMESPACE: &str = "demo";
/// How often the replicas are looked at.
const REPLICAS_LOOKED_AT: Duration = Duration::from_millis(200);
/// How long children get to end by themselves.
const END_WITHIN: Duration = Duration::from_secs(3);

/// What a scenario wants to play on.
pub struct Wanted {
    /// How many replicas of Paramedic.
    pub replicas: u16,
    /// How many Alertmanagers; none where the real one is asked.
    pub alertmanagers: u16,
    /// The real ones, where they are asked for.
    pub programs: Option<Programs>,
    /// What is watched for; nothing where somebody else does.
    pub rule: Option<Rule>,
    /// What is applied: the application, and the policy.
    pub objects: Vec<serde_json::Value>,
}

/// The stage. Nothing of it outlives it.
pub struct Stage {
    /// Where it is told.
    pub screen: Screen,
    /// Where files are.
    pub dir: PathBuf,
    /// Its API, for others.
    pub api: Server,
    /// How to reach that.
    pub kubeconfig: PathBuf,
    /// The application's containers.
    pub processes: Processes,
    /// Paramedic.
    pub replicas: Vec<Replica>,
    /// Who tells it.
    pub alertmanagers: Vec<Alertmanager>,
    /// Their addresses, also of one that is not played here.
    pub alertmanager_urls: Vec<String>,
    /// Whom they tell.
    pub webhooks: Service,
    /// What the cluster's watches say.
    pub seen: watch::Receiver<Seen>,
    /// What came of notices.
    pub notices: watch::Receiver<Notices>,
    /// When it began.
    pub began: Timestamp,
    monitoring: Option<Running>,
    telling: CancellationToken,
    stop: CancellationToken,
}

/// Why a demonstration did not go as it should.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something did not happen in time.
    #[error("waited {} s in vain for {what}; {so_far}", .within.as_secs())]
    NotInTime {
        /// What should have happened.
        what: String,
        /// In what time.
        within: Duration,
        /// How far it came.
        so_far: String,
    },
    /// A replica ended by itself.
    #[error("{name} ended by itself, with {how}; its log: {log}")]
    Ended {
        /// Which.
        name: String,
        /// How.
        how: String,
        /// Where it says why.
        log: String,
    },
    /// It happened, but not as it should.
    #[error("{0}")]
    Otherwise(String),
    /// The machine, or the cluster, refused something.
    #[error("{0:#}")]
    Refused(#[from] anyhow::Error),
}

impl Stage {
    /// Builds everything, in order, and tells what it is.
    pub async fn start(screen: Screen, dir: PathBuf, wanted: Wanted) -> Result<Self, Failure> {
        let clock = Clock::system();
        let began = clock.now();
        let stop = CancellationToken::new();
        let telling = stop.child_token();
        let cluster = Cluster::new(Settings { seed: fastrand::u64(..), ..Settings::new(clock.clone()) });
        let listener = port(&screen, "the Kubernetes API", USUAL_API).await?;
        let api = http::serve(cluster.service(), listener, stop.clone()).map_err(anyhow::Error::from)?;
        let kubeconfig = dir.join("kubeconfig");
        let written = http::write_kubeconfig(&kubeconfig, &api.kubeconfig());
        written.with_context(|| format!("{} cannot be written", kubeconfig.display()))?;
        screen.tell(Who::Cluster, Mood::Plain, format!("a Kubernetes API in memory, on https://{}", api.address()));

        let processes = Processes::new(&dir);
        let (controlled, runtime, ending) = (cluster.clone(), processes.clone(), stop.clone());
        tokio::spawn(async move { controlled.run(runtime, ending).await });
        let (says, seen) = watch::channel(Seen::default());
        let following =
            seen::follow(cluster.client(), APP_NAMESPACE.to_owned(), OWN_NAMESPACE.to_owned(), screen.clone(), says);
        spawn(&telling, following);
        objects::apply(&cluster.client(), &wanted.objects).await?;

        let webhooks = Service::default();
        let (told, heard) = mpsc::unbounded_channel();
        let mut alertmanagers = Vec::new();
        for number in 0..wanted.alertmanagers {
            let name = if wanted.alertmanagers == 1 { String::new() } else { format!("alertmanager-{number}") };
            let listener = port(&screen, "Alertmanager", USUAL_ALERTMANAGER.saturating_add(number)).await?;
            let webhooks = webhooks.clone();
            let (told, stop) = (told.clone(), stop.clone());
            let place = Place { name, number: number.into(), webhooks };
            alertmanagers.push(Alertmanager::start(place, listener, clock.clone(), told, stop)?);
        }
        let (counts, notices) = watch::channel(Notices::default());
        spawn(&telling, watchers::tell_notices(screen.clone(), heard, counts, told));
        let watching = watchers::Watcher {
            screen: screen.clone(),
            processes: processes.clone(),
            alertmanagers: alertmanagers.clone(),
            seen: seen.clone(),
            clock,
        };
        spawn(&telling, watching.run(wanted.rule));

        let mut stage = Self {
            screen,
            dir,
            api,
            kubeconfig,
            processes,
            replicas: Vec::new(),
            alertmanager_urls: alertmanagers.iter().map(|alertmanager| alertmanager.url.clone()).collect(),
            alertmanagers,
            webhooks,
            seen,
            notices,
            began,
            monitoring: None,
            telling,
            stop,
        };
        match wanted.programs {
            None => stage.start_replicas(wanted.replicas).await?,
            Some(programs) => stage.start_monitored(&programs, wanted.replicas).await?,
        }
        Ok(stage)
    }

    /// Paramedic, and the real Prometheus and Alertmanager around it.
    async fn start_monitored(&mut self, programs: &Programs, replicas: u16) -> Result<(), Failure> {
        let free = async |whose, usual| -> Result<SocketAddr, Failure> {
            // Given back at once: the program takes it itself.
            Ok(port(&self.screen, whose, usual).await?.local_addr().map_err(anyhow::Error::from)?)
        };
        let (alertmanager, prometheus) =
            (free("Alertmanager", USUAL_ALERTMANAGER).await?, free("Prometheus", USUAL_PROMETHEUS).await?);
        self.alertmanager_urls = vec![format!("http://{alertmanager}")];
        self.start_replicas(replicas).await?;
        let Some(webhook) = self.replicas.first().map(|replica| replica.webhook.clone()) else { return Ok(()) };
        let wiring = Wiring { dir: &self.dir, prometheus, alertmanager, webhook: &webhook, wait: RULE_WAIT };
        self.monitoring = Some(Running::start(programs, &wiring, self.processes.clone()).await?);
        self.screen.tell(Who::Prometheus, Mood::Plain, format!("the real one, on http://{prometheus}"));
        self.screen.tell(Who::Alertmanager, Mood::Plain, format!("the real one, on http://{alertmanager}"));
        spawn(&self.telling, prometheus::tell_alerts(prometheus, self.screen.clone()));
        Ok(())
    }

    async fn start_replicas(&mut self, replicas: u16) -> Result<(), Failure> {
        for number in 0..replicas {
            let usual = USUAL_WEBHOOK.saturating_add(number);
            // Asked for, and given back: the replica takes it itself.
            let free = port(&self.screen, "Paramedic's webhook", usual).await?;
            let address = free.local_addr().map_err(anyhow::Error::from)?;
            drop(free);
            let name = format!("paramedic-{number}");
            let replica = Replica::start(&name, &self.dir, &self.kubeconfig, &self.alertmanager_urls, address).await?;
            let text = format!("{name} is process {}, webhook on {}", replica.pid(), replica.webhook);
            self.screen.tell(Who::Paramedic, Mood::Plain, text);
            self.webhooks.lock().unwrap_or_else(PoisonError::into_inner).push(replica.webhook.clone());
            self.replicas.push(replica);
        }
        Ok(())
    }

    /// Waits until the cluster shows that; otherwise says what did not happen, and how far it came.
    pub async fn wait(
        &mut self,
        what: &str,
        within: Duration,
        mut wanted: impl FnMut(&Seen) -> bool,
    ) -> Result<Seen, Failure> {
        let mut seen = self.seen.clone();
        let shown = async { seen.wait_for(|seen| wanted(seen)).await.map(|seen| seen.clone()).ok() };
        tokio::select! {
            biased;
            ended = replica_ends(&mut self.replicas) => return Err(ended),
            shown = tokio::time::timeout(within, shown) => if let Ok(Some(seen)) = shown {
                return Ok(seen);
            },
        }
        let so_far = so_far(&self.seen.borrow());
        Err(Failure::NotInTime { what: what.to_owned(), within, so_far })
    }

    /// Watches the replicas for as long as one of them lives, and tells of each that ends by itself. A replica more is what
    /// there is to see failing; without any, nothing that happens here is answered any more.
    pub async fn last_replica_ends(&mut self) -> Failure {
        let mut told = BTreeSet::new();
        loop {
            for replica in &mut self.replicas {
                let Some(how) = replica.ended().filter(|_| !told.contains(&replica.name)) else { continue };
                let text = format!("{} ended by itself, with {how}; its log: {}", replica.name, replica.log.display());
                self.screen.tell(Who::Paramedic, Mood::Bad, text);
                told.insert(replica.name.clone());
                if self.replicas.iter().all(|replica| replica.was_killed() || told.contains(&replica.name)) {
                    return replica_ends(&mut self.replicas).await;
                }
                break;
            }
            tokio::time::sleep(REPLICAS_LOOKED_AT).await;
        }
    }

    /// Where everything writes, for whoever wants to know why.
    pub fn logs(&self) -> Vec<PathBuf> {
        let monitoring = self.monitoring.iter().flat_map(Running::logs);
        let replicas = self.replicas.iter().map(|replica| replica.log.clone());
        replicas.chain(monitoring).chain([self.dir.join("pods")]).collect()
    }

    /// Seconds since it began, for a time of the cluster's.
    pub fn seconds(&self, at: Timestamp) -> f64 {
        at.duration_since(self.began).as_secs_f64()
    }

    /// Tells nothing more: what follows is the end, and of no interest.
    pub fn quiet(&self) {
        self.telling.cancel();
        self.screen.clear_rows();
    }

    /// Ends everything. The directory is its owner's.
    pub async fn end(mut self) {
        self.quiet();
        let deadline = Instant::now() + END_WITHIN;
        // First those that would report what happens to the others. All are told, then all are waited for.
        self.replicas.iter_mut().for_each(Replica::let_go);
        let processes = self.processes.clone();
        let (mut replicas, mut monitoring) = (std::mem::take(&mut self.replicas), self.monitoring.take());
        let ended = tokio::task::spawn_blocking(move || {
            if let Some(monitoring) = &mut monitoring {
                monitoring.end_by(deadline);
            }
            for replica in &mut replicas {
                replica.end_by(deadline);
            }
            processes.end(deadline.saturating_duration_since(Instant::now()));
        });
        // It panicked or it is done; what is left of the handles kills what is left of the children.
        let _ = ended.await;
        self.stop.cancel();
        // The kubelet may have started something meanwhile.
        self.processes.end(Duration::ZERO);
        let _ = tokio::time::timeout(Duration::from_secs(1), self.api.stopped()).await;
    }
}

/// A task for as long as the stage stands.
fn spawn(stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tokio::spawn(async move {
        stop.run_until_cancelled(task).await;
    });
}

async fn port(screen: &Screen, whose: &str, usual: u16) -> Result<tokio::net::TcpListener, Failure> {
    let taken = ports::take(usual).await.map_err(anyhow::Error::from)?;
    if let (Some(usual), Ok(address)) = (taken.instead_of, taken.listener.local_addr()) {
        let text = format!("port {usual} is taken; {whose} is on {} instead", address.port());
        screen.tell(Who::Demo, Mood::Plain, text);
    }
    Ok(taken.listener)
}

/// The end of a replica that nobody ended.
async fn replica_ends(replicas: &mut [Replica]) -> Failure {
    loop {
        for replica in replicas.iter_mut() {
            if let Some(how) = replica.ended() {
                return Failure::Ended { name: replica.name.clone(), how, log: replica.log.display().to_string() };
            }
        }
        tokio::time::sleep(REPLICAS_LOOKED_AT).await;
    }
}

fn so_far(seen: &Seen) -> String {
    let mut text = format!("{} of {} pods are ready", seen.ready(), seen.pods.len());
    for (name, record) in &seen.records {
        let status = record.status.clone().unwrap_or_default();
        let reason = status.reason.map(|reason| format!(" ({})", reason.as_str())).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = write!(text, "; Remediation {name} is {}{reason}", status.phase.as_str());
    }
    if seen.records.is_empty() {
        text.push_str("; there is no Remediation");
    }
    text
}
