//! What can be shown: each scenario brings something about, and waits until the cluster shows what should follow.

mod api_server_down;
mod crash_loop;
mod leader_killed;
mod leak;
mod two_alertmanagers;

use std::time::Duration;

use anyhow::anyhow;

use super::{
    monitor::{prometheus::Programs, rule::Rule},
    screen::{Mood, Who},
    seen::Seen,
    stage::{Failure, RULE_WAIT, Stage, Wanted, objects},
};
use crate::api::{ActionOutcome, Phase};

/// How long the application, and Paramedic, may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How many pods the sample has.
const PODS: usize = 3;

/// A scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Two pods of a Deployment leak at once: one is evicted, limits hold the other back until its turn comes
    #[default]
    Leak,
    /// A pod crashes at each start; its kubelet cannot help, a new pod does
    CrashLoop,
    /// Two Alertmanagers report the same alert to two replicas: one record, one eviction
    TwoAlertmanagers,
    /// The Kubernetes API is gone while the alert fires: nothing is acknowledged, nothing is lost
    ApiServerDown,
    /// The leader is killed in the middle of an action: the other replica finds out what was done, and goes on
    LeaderKilled,
    /// Says which there are
    List,
}

impl Scenario {
    /// What it plays on; with these programs, or with their part played.
    pub fn wanted(self, programs: Option<Programs>) -> Result<Wanted, Failure> {
        let crashes = self == Self::CrashLoop;
        let rule = match &programs {
            Some(_) => None,
            None if crashes => Some(Rule::crash_loop(Duration::from_secs(1))),
            None => Some(Rule::memory_leak(RULE_WAIT).map_err(anyhow::Error::from)?),
        };
        Ok(Wanted {
            replicas: if matches!(self, Self::TwoAlertmanagers | Self::LeaderKilled) { 2 } else { 1 },
            alertmanagers: match self {
                _ if programs.is_some() => 0,
                Self::TwoAlertmanagers => 2,
                _ => 1,
            },
            programs,
            rule,
            objects: if crashes { objects::crash_loop()? } else { objects::leak()? },
        })
    }

    /// Plays it.
    pub async fn play(self, stage: &mut Stage) -> Result<(), Failure> {
        ready(stage).await?;
        match self {
            Self::Leak => leak::play(stage).await,
            Self::CrashLoop => crash_loop::play(stage).await,
            Self::TwoAlertmanagers => two_alertmanagers::play(stage).await,
            Self::ApiServerDown => api_server_down::play(stage).await,
            Self::LeaderKilled => leader_killed::play(stage).await,
            Self::List => Ok(()),
        }
    }
}

/// Waits for the application and for Paramedic.
async fn ready(stage: &mut Stage) -> Result<(), Failure> {
    stage.wait("three ready pods", READY_WITHIN, |seen| seen.ready() >= PODS).await?;
    for replica in &stage.replicas {
        replica.ready().await?;
        stage.screen.tell(Who::Paramedic, Mood::Good, format!("{} is ready for alerts", replica.name));
    }
    Ok(())
}

/// The names of so many pods.
fn some_pods(seen: &Seen, how_many: usize) -> Vec<String> {
    seen.pods.keys().take(how_many).cloned().collect()
}

/// Asks the application in a pod for something.
async fn ask(stage: &Stage, pod: &str, what: &str) -> Result<(), Failure> {
    let container = stage.processes.list().into_iter().find(|container| container.pod == pod);
    let address = container.and_then(|container| container.address);
    let address = address.ok_or_else(|| anyhow!("{pod} has no address"))?;
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build();
    let asked = client.map_err(anyhow::Error::from)?.post(format!("http://{address}{what}")).send().await;
    asked.and_then(reqwest::Response::error_for_status).map_err(anyhow::Error::from)?;
    Ok(())
}

/// Lets the application in these pods leak.
async fn let_leak(stage: &Stage, pods: &[String]) -> Result<(), Failure> {
    // At once: those of one Deployment are to be seen together.
    let asked = pods.iter().map(|pod| ask(stage, pod, "/leak/start?rateMib=60&limitMib=400"));
    futures::future::try_join_all(asked).await?;
    for pod in pods {
        stage.screen.tell(Who::App, Mood::Bad, format!("{pod} leaks 60 MiB a second"));
    }
    Ok(())
}

/// That all records succeeded, with one action each: anything else is no success of a scenario.
fn succeeded(seen: &Seen, records: usize) -> Result<(), Failure> {
    if seen.in_phase(Phase::Succeeded).count() != records || seen.records.len() != records {
        let phases: Vec<String> = seen
            .records
            .iter()
            .map(|(name, record)| {
                let status = record.status.clone().unwrap_or_default();
                format!("{name} {}: {}", status.phase.as_str(), status.message.unwrap_or_default())
            })
            .collect();
        return Err(Failure::Otherwise(format!("{records} should have succeeded; {}", phases.join("; "))));
    }
    let done: usize = seen
        .records
        .values()
        .flat_map(|record| &record.status)
        .map(|status| status.journal.iter().filter(|entry| entry.outcome == ActionOutcome::Done).count())
        .sum();
    if done == records {
        return Ok(());
    }
    Err(Failure::Otherwise(format!("each of {records} records should have acted once; the journals say {done}")))
}

/// The same for one record whose action was an eviction: no other pod is gone.
fn one_eviction(seen: &Seen) -> Result<(), Failure> {
    succeeded(seen, 1)?;
    if seen.gone.len() == 1 {
        return Ok(());
    }
    Err(Failure::Otherwise(format!("one pod should have been evicted; gone are {}", seen.gone.join(", "))))
}
