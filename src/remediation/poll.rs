//! Reads from Alertmanager what its webhooks may have lost, and hands over what two polls in a row found.
//!
//! Runs on every replica, as intake does: a replica that is told of alerts that were left out reads them itself, and two
//! that find the same collide on the record's name. What a poll may begin is decided by triage
//! ([0015](../../docs/decisions/0015-a-poll-delivers-what-was-lost-and-repeats-nothing.md)).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Recorder;
use crate::{
    alert::{Alert, Fingerprint},
    clients::{Alertmanager, Polling},
    server::{
        intake::{Intake, Outcome},
        sources::Source,
    },
    telemetry::{Metrics, Outage, metrics::PollOutcome},
};

/// How far apart at least the two polls are that have to find an alert: by default a route's `group_wait`, in which what
/// inhibits it can come.
const CONFIRMED_AFTER: Duration = Duration::from_secs(30);
/// How far apart two polls of one peer are at least, however often it is said that something was lost.
const AT_MOST_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether anything can be taken in yet.
const NOT_READY: Duration = Duration::from_secs(1);
/// So many alerts are handed over at a time.
const BATCH: usize = 500;
/// From this version on Alertmanager leaves out what a time interval mutes, when it is asked to.
const TELLS_MUTED: (u64, u64) = (0, 28);

/// One Alertmanager that is polled.
pub struct Polled {
    /// The Alertmanager.
    pub alertmanager: Alertmanager,
    /// What is asked of it.
    pub polling: Polling,
    /// The source that it stands for.
    pub source: Arc<Source>,
}

/// Polls.
pub struct Poller {
    /// Takes in what was found.
    pub recorder: Recorder,
    /// Changes when a webhook says that alerts were left out.
    pub lost: watch::Receiver<()>,
    /// Whom to ask.
    pub polled: Vec<Polled>,
    /// How long taking in one batch may take.
    pub deadline: Duration,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Poller {
    /// Polls until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let followed = self.polled.iter().map(|polled| self.follow(polled));
        stop.run_until_cancelled(futures::future::join_all(followed)).await;
        stop.cancelled().await;
    }

    /// Polls one: at the start, whenever something was lost, and every so often.
    async fn follow(&self, polled: &Polled) {
        let mut found = Found::new(CONFIRMED_AFTER.min(polled.polling.every));
        let (mut lost, outage) = (self.lost.clone(), Outage::of("polling an Alertmanager"));
        let mut told_too_old = false;
        let mut confirms = true;
        loop {
            while self.recorder.ready().is_err() {
                tokio::time::sleep(NOT_READY).await;
            }
            let (url, source) = (polled.alertmanager.url(), &polled.source.name);
            let outcome = match self.poll(polled, &mut found).await {
                Ok(Poll::Done) => {
                    outage.works();
                    PollOutcome::Done
                }
                Ok(Poll::TooOld(version)) => {
                    if !std::mem::replace(&mut told_too_old, true) {
                        info!(
                            url,
                            version,
                            "not polled: it is older than 0.28 and does not say what is muted; what its webhooks lose stays lost"
                        );
                    }
                    PollOutcome::TooOld
                }
                Err(why) => {
                    outage.failed(&why);
                    PollOutcome::Failed
                }
            };
            self.metrics.polled(source, outcome);
            let pause = if confirms { found.confirmed_after } else { polled.polling.every };
            let least = AT_MOST_EVERY.min(pause);
            tokio::time::sleep(least).await;
            confirms = tokio::select! {
                biased;
                // Where nobody can say so any more, nothing is taken in either.
                said = lost.changed() => said.is_ok(),
                () = tokio::time::sleep(pause.saturating_sub(least)) => false,
            };
        }
    }

    async fn poll(&self, polled: &Polled, found: &mut Found) -> Result<Poll, String> {
        let version = polled.alertmanager.version().await.map_err(|error| error.to_string())?;
        if !tells_muted(&version) {
            return Ok(Poll::TooOld(version));
        }
        let alerts = polled.alertmanager.firing(&polled.polling.receivers).await.map_err(|error| error.to_string())?;
        let confirmed = found.again(alerts, Instant::now());
        for batch in confirmed.chunks(BATCH) {
            let deadline = Instant::now() + self.deadline;
            let report = self.recorder.take_polled(&polled.source, batch.to_vec(), deadline).await;
            for (outcome, count) in report.counts() {
                if !matches!(outcome, Outcome::Known | Outcome::NoMatch | Outcome::OwnAlert) {
                    self.metrics.alerts_polled(&polled.source.name, outcome, count);
                }
                if outcome == Outcome::Created {
                    warn!(alerts = count, source = polled.source.name, "recorded what no webhook had told of");
                }
            }
        }
        Ok(Poll::Done)
    }
}

/// What came of asking.
enum Poll {
    Done,
    TooOld(String),
}

/// Since when which alerts have been found by every poll.
struct Found {
    confirmed_after: Duration,
    since: HashMap<Fingerprint, Instant>,
}

impl Found {
    fn new(confirmed_after: Duration) -> Self {
        Self { confirmed_after, since: HashMap::new() }
    }

    /// Takes in what a poll found; gives what an earlier one had found, too, and every one between them.
    fn again(&mut self, alerts: Vec<Alert>, now: Instant) -> Vec<Alert> {
        // An alert of several routes is in several groups.
        let alerts: BTreeMap<Fingerprint, Alert> = alerts.into_iter().map(|alert| (alert.fingerprint, alert)).collect();
        let since = |fingerprint: &Fingerprint| self.since.get(fingerprint).copied().unwrap_or(now);
        self.since = alerts.keys().map(|fingerprint| (*fingerprint, since(fingerprint))).collect();
        let confirmed = |fingerprint: &Fingerprint| {
            let since = self.since.get(fingerprint);
            since.is_some_and(|since| now.saturating_duration_since(*since) >= self.confirmed_after)
        };
        alerts.into_iter().filter(|(fingerprint, _)| confirmed(fingerprint)).map(|(_, alert)| alert).collect()
    }
}

/// Whether an Alertmanager of this version can say what is muted. What says no version that can be read is none.
fn tells_muted(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(|number| number.parse::<u64>().ok());
    let version = numbers.next().flatten().zip(numbers.next().flatten());
    version.is_some_and(|version| version >= TELLS_MUTED)
}

#[cfg(test)]
mod tests;
