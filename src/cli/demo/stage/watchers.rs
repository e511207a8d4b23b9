//! What watches the application, and what is heard of the Alertmanagers.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch};

use super::APP_NAMESPACE;
use crate::{
    alert::Labels,
    cli::demo::{
        monitor::{
            alertmanager::{Alertmanager, Told},
            inbox::State,
            rule::{Change, Finding, LEAK_BYTES, Rule, Watch},
        },
        processes::runtime::Processes,
        screen::{Mood, Row, Screen, Who},
        seen::Seen,
        story,
    },
    clock::Clock,
};

/// How often memory is looked at.
const SCRAPE: Duration = Duration::from_millis(250);
/// How often it is told where it cannot be drawn.
const TELL_MEMORY: Duration = Duration::from_secs(2);
/// Memory that nobody wants to hear of.
const QUIET: u64 = 40 * MIB;
/// A crash counts for so long, as a range in a rule does.
const CRASH_COUNTS: SignedDuration = SignedDuration::from_secs(15);
/// So many samples of a pod's memory are drawn at most.
const REMEMBERED: usize = 64;
const MIB: u64 = 1024 * 1024;

/// What came of all notices so far.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    /// Answered 2xx.
    pub taken: usize,
    /// Not answered, or with 5xx.
    pub refused: usize,
    /// Taken while the alert fires, by Alertmanager.
    pub by: BTreeMap<String, usize>,
}

/// Tells what came of each notice, and counts.
pub async fn tell_notices(
    screen: Screen,
    mut heard: mpsc::UnboundedReceiver<Told>,
    notices: watch::Sender<Notices>,
    // Held, so that the channel stays open where nobody tells anything.
    _open: mpsc::UnboundedSender<Told>,
) {
    while let Some(told) = heard.recv().await {
        let Told { by, labels, state, again, repeat, answer } = told;
        let name = labels.alertname().unwrap_or("an alert without a name");
        let about = named_pod(&labels);
        let who = if by.is_empty() { String::new() } else { format!("{by} ") };
        let what = match state {
            State::Firing if repeat => format!("{who}tells once more that {name} fires{about}"),
            State::Firing if again => format!("{who}comes again: {name} fires{about}"),
            State::Firing => format!("{who}tells Paramedic that {name} fires{about}"),
            State::Resolved => format!("{who}tells Paramedic that {name} is over{about}"),
        };
        let taken = answer.as_ref().is_ok_and(|code| (200..300).contains(code));
        let (mood, answer) = match answer {
            Ok(code @ 200..300) => (Mood::Plain, format!("{code}, taken")),
            Ok(503) => (Mood::Held, "503, so it comes again".to_owned()),
            Ok(code) => (Mood::Bad, code.to_string()),
            Err(why) => (Mood::Held, format!("no answer ({why}), so it comes again")),
        };
        screen.tell(Who::Alertmanager, mood, format!("{what}: {answer}"));
        notices.send_modify(|notices| {
            if taken {
                notices.taken += 1;
                if state == State::Firing {
                    *notices.by.entry(by).or_default() += 1;
                }
            } else {
                notices.refused += 1;
            }
        });
    }
}

/// The pod that an alert names, as the end of a sentence; one of somebody's own may name none.
fn named_pod(labels: &Labels) -> String {
    let pod = labels.get("exported_pod").or_else(|| labels.get("pod")).filter(|pod| !pod.is_empty());
    pod.map(|pod| format!(" for {pod}")).unwrap_or_default()
}

/// Watches the application's memory and its crashes.
pub struct Watcher {
    /// Where it is told.
    pub screen: Screen,
    /// The containers.
    pub processes: Processes,
    /// Who is told.
    pub alertmanagers: Vec<Alertmanager>,
    /// The pods.
    pub seen: watch::Receiver<Seen>,
    /// The time.
    pub clock: Clock,
}

impl Watcher {
    /// Looks, evaluates, tells and draws, for ever.
    pub async fn run(self, rule: Option<Rule>) {
        let mut rule = rule.map(Watch::new);
        let mut history: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut crashed: BTreeMap<String, Timestamp> = BTreeMap::new();
        let mut told_at = self.screen.elapsed();
        loop {
            let now = self.clock.now();
            let measured = self.measure(&mut history);
            if let Some(rule) = &mut rule {
                let findings =
                    if rule.rule().alert == "MemoryLeakDetected" { measured } else { self.crashes(&mut crashed, now) };
                let (fired, changes) = rule.evaluate(&findings, now);
                for change in &changes {
                    self.tell(rule.rule(), change);
                }
                for alertmanager in &self.alertmanagers {
                    alertmanager.take(&fired);
                }
            }
            self.draw(&history, &mut told_at);
            tokio::time::sleep(SCRAPE).await;
        }
    }

    /// What every container uses; gives those that use too much.
    fn measure(&self, history: &mut BTreeMap<String, Vec<u64>>) -> Vec<Finding> {
        let shown = self.processes.list();
        history.retain(|pod, _| shown.iter().any(|container| container.pod == *pod));
        let mut findings = Vec::new();
        for container in shown.into_iter().filter(|container| container.namespace == APP_NAMESPACE) {
            let memory = container.memory.unwrap_or_default();
            let samples = history.entry(container.pod.clone()).or_default();
            samples.push(memory);
            if samples.len() > REMEMBERED {
                samples.remove(0);
            }
            if memory > LEAK_BYTES {
                let (namespace, pod) = (&container.namespace, &container.pod);
                findings.push(Finding::of_container(namespace, pod, &container.container, memory));
            }
        }
        findings
    }

    /// Pods that have waited after a crash, lately.
    fn crashes(&self, crashed: &mut BTreeMap<String, Timestamp>, now: Timestamp) -> Vec<Finding> {
        let seen = self.seen.borrow();
        for (name, pod) in &seen.pods {
            if story::state(pod).starts_with("CrashLoop") {
                crashed.insert(name.clone(), now);
            }
        }
        crashed.retain(|name, at| seen.pods.contains_key(name) && now.duration_since(*at) <= CRASH_COUNTS);
        crashed.keys().map(|pod| Finding::of_container(APP_NAMESPACE, pod, "demo-app", 1)).collect()
    }

    fn tell(&self, rule: &Rule, change: &Change) {
        let pod = |labels: &BTreeMap<String, String>| labels.get("pod").cloned().unwrap_or_default();
        let how_much = |finding: &Finding| {
            if finding.value > 1 { format!(" at {} MiB", finding.value / MIB) } else { String::new() }
        };
        let (mood, text) = match change {
            Change::Pending(finding) => {
                let text = format!(
                    "{} is pending for {}{}: it fires if that lasts for {} s",
                    rule.alert,
                    pod(&finding.labels),
                    how_much(finding),
                    rule.wait.as_secs()
                );
                (Mood::Plain, text)
            }
            Change::Fires(finding) => {
                (Mood::Bad, format!("{} fires for {}{}", rule.alert, pod(&finding.labels), how_much(finding)))
            }
            Change::Over(labels) => (Mood::Good, format!("{} is over for {}", rule.alert, pod(labels))),
        };
        self.screen.tell(Who::Prometheus, mood, text);
    }

    /// Draws each pod's memory; where that cannot be done, tells it now and then.
    fn draw(&self, history: &BTreeMap<String, Vec<u64>>, told_at: &mut Duration) {
        if self.screen.is_live() {
            let seen = self.seen.borrow();
            let rows = history.iter().map(|(name, memory)| Row {
                name: name.clone(),
                memory: memory.clone(),
                threshold: LEAK_BYTES,
                state: seen.pods.get(name).map(story::state).unwrap_or_default(),
            });
            self.screen.rows(&rows.collect::<Vec<_>>());
            return;
        }
        if self.screen.elapsed().saturating_sub(*told_at) < TELL_MEMORY {
            return;
        }
        *told_at = self.screen.elapsed();
        let now = |memory: &Vec<u64>| memory.last().copied().unwrap_or_default();
        // What grows: memory that just stands there was told already.
        let grows = |memory: &Vec<u64>| {
            let before = memory.len().checked_sub(9).and_then(|at| memory.get(at)).copied().unwrap_or_default();
            now(memory) > QUIET && now(memory) > before.saturating_add(10 * MIB)
        };
        let figures: Vec<String> = history
            .iter()
            .filter(|(_, memory)| grows(memory))
            .map(|(name, memory)| format!("{name} {} MiB", now(memory) / MIB))
            .collect();
        if !figures.is_empty() {
            self.screen.tell(Who::App, Mood::Plain, format!("memory grows: {}", figures.join(", ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_that_names_no_pod_is_told_without_one() {
        let of = |labels: serde_json::Value| named_pod(&serde_json::from_value(labels).unwrap());
        assert_eq!(of(serde_json::json!({ "alertname": "X" })), "");
        assert_eq!(of(serde_json::json!({ "alertname": "X", "pod": "" })), "");
        assert_eq!(of(serde_json::json!({ "alertname": "X", "pod": "a" })), " for a");
        assert_eq!(of(serde_json::json!({ "alertname": "X", "pod": "exporter", "exported_pod": "a" })), " for a");
    }
}
