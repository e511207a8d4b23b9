//! Alerting rules, as Prometheus keeps them: a finding is pending for a while, then it fires, until it is gone. Pure.

use std::{collections::BTreeMap, path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::{
    alert::Labels,
    yaml::{FileProblem, parse},
};

/// The rule that ships for leaks.
const MEMORY_LEAK: &str = include_str!("../../../../rules/memory-leak.yaml");

/// What that rule asks of a working set, as it is written there.
const LEAK_EXPRESSION: &str = "> 300 * 1024 * 1024";

/// The same as a number.
pub const LEAK_BYTES: u64 = 300 * 1024 * 1024;

/// An alerting rule without its expression: what that finds is for others to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The name of its alerts.
    pub alert: String,
    /// How long something must be found before it fires.
    pub wait: Duration,
    /// Labels that it adds.
    pub labels: BTreeMap<String, String>,
    /// What it tells people, with the places that are filled in.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct PrometheusRule {
    spec: Groups,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    alert: String,
    expr: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Why the shipped rule is not the one that is watched here.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] FileProblem),
    /// It says something else than what is measured here.
    #[error("rules/memory-leak.yaml does not say `{LEAK_EXPRESSION}` any more")]
    AnotherExpression,
}

impl Rule {
    /// The rule that ships for leaks, with a wait that fits a demonstration.
    pub fn memory_leak(wait: Duration) -> Result<Self, RuleError> {
        let file: PrometheusRule = parse(Path::new("rules/memory-leak.yaml"), MEMORY_LEAK)?;
        let rules = file.spec.groups.into_iter().flat_map(|group| group.rules);
        let rule = rules.into_iter().find(|rule| rule.expr.contains(LEAK_EXPRESSION));
        let Written { alert, labels, annotations, .. } = rule.ok_or(RuleError::AnotherExpression)?;
        Ok(Self { alert, wait, labels, annotations })
    }

    /// A container that is started again and again, under the name that kubernetes-mixin has for it.
    pub fn crash_loop(wait: Duration) -> Self {
        let pairs = |list: &[(&str, &str)]| {
            list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        Self {
            alert: "KubePodCrashLooping".to_owned(),
            wait,
            labels: pairs(&[("severity", "warning")]),
            annotations: pairs(&[("summary", "Pod {{ $labels.namespace }}/{{ $labels.pod }} is crash looping")]),
        }
    }

    fn annotations_for(&self, finding: &Finding) -> BTreeMap<String, String> {
        let filled = |text: &String| {
            let mut text = text.replace("{{ $value | humanize1024 }}", &humanize1024(finding.value));
            for (name, value) in &finding.labels {
                text = text.replace(&format!("{{{{ $labels.{name} }}}}"), value);
            }
            text
        };
        self.annotations.iter().map(|(name, text)| (name.clone(), filled(text))).collect()
    }
}

/// Bytes, as Prometheus's function of this name writes them.
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn humanize1024(bytes: u64) -> String {
    format!("{:.1}Mi", bytes as f64 / 1024.0 / 1024.0)
}

/// What an expression finds at one time: the labels of a series, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: u64,
}

impl Finding {
    /// About a pod's container.
    pub fn of_container(namespace: &str, pod: &str, container: &str, value: u64) -> Self {
        let labels = [("namespace", namespace), ("pod", pod), ("container", container)];
        Self { labels: labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), value }
    }
}

/// An alert as Prometheus sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// Its labels, with the name.
    pub labels: Labels,
    /// Its annotations, filled in.
    pub annotations: BTreeMap<String, String>,
    /// When it began to fire.
    pub starts_at: Timestamp,
    /// When it ended, where it has.
    pub ends_at: Option<Timestamp>,
}

/// What an evaluation changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The finding is new.
    Pending(Finding),
    /// It has lasted.
    Fires(Finding),
    /// It is over.
    Over(BTreeMap<String, String>),
}

/// A rule over time.
#[derive(Debug)]
pub struct Watch {
    rule: Rule,
    found: BTreeMap<BTreeMap<String, String>, Found>,
}

#[derive(Debug)]
struct Found {
    since: Timestamp,
    fired: Option<Fired>,
}

impl Watch {
    /// Nothing was found so far.
    pub fn new(rule: Rule) -> Self {
        Self { rule, found: BTreeMap::new() }
    }

    /// The rule.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Takes what the expression finds now; gives what fires, what is over as of now, and what changed.
    pub fn evaluate(&mut self, findings: &[Finding], now: Timestamp) -> (Vec<Fired>, Vec<Change>) {
        let mut changes = Vec::new();
        let mut fired = Vec::new();
        let wait = SignedDuration::try_from(self.rule.wait).unwrap_or(SignedDuration::MAX);
        for finding in findings {
            let found = self.found.entry(finding.labels.clone()).or_insert_with(|| {
                changes.push(Change::Pending(finding.clone()));
                Found { since: now, fired: None }
            });
            if found.fired.is_none() && now.duration_since(found.since) >= wait {
                changes.push(Change::Fires(finding.clone()));
                let mut labels = finding.labels.clone();
                labels.extend(self.rule.labels.clone());
                labels.insert("alertname".to_owned(), self.rule.alert.clone());
                found.fired = Some(Fired {
                    labels: Labels(labels),
                    annotations: self.rule.annotations_for(finding),
                    starts_at: now,
                    ends_at: None,
                });
            }
            fired.extend(found.fired.clone());
        }
        let gone = |labels: &BTreeMap<String, String>| !findings.iter().any(|finding| finding.labels == *labels);
        for (labels, found) in self.found.extract_if(.., |labels, _| gone(labels)) {
            if let Some(alert) = found.fired {
                changes.push(Change::Over(labels));
                fired.push(Fired { ends_at: Some(now), ..alert });
            }
        }
        (fired, changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn leak(pod: &str) -> Finding {
        Finding::of_container("demo", pod, "demo-app", 310 * 1024 * 1024)
    }

    #[test]
    fn the_shipped_rule_is_the_one_that_is_watched() {
        let rule = Rule::memory_leak(Duration::from_secs(3)).unwrap();
        assert_eq!((rule.alert.as_str(), rule.labels["severity"].as_str()), ("MemoryLeakDetected", "warning"));
    }

    #[test]
    fn it_fires_after_its_wait_and_ends_with_the_finding() {
        let mut watch = Watch::new(Rule::memory_leak(Duration::from_secs(3)).unwrap());
        assert_eq!(watch.evaluate(&[leak("a")], at(0)), (vec![], vec![Change::Pending(leak("a"))]));
        assert_eq!(watch.evaluate(&[leak("a")], at(2)), (vec![], vec![]));
        let (fired, changes) = watch.evaluate(&[leak("a")], at(3));
        assert_eq!(changes, [Change::Fires(leak("a"))]);
        assert_eq!((fired[0].starts_at, fired[0].ends_at), (at(3), None));
        assert_eq!(fired[0].labels.alertname(), Some("MemoryLeakDetected"));
        assert_eq!(fired[0].annotations["summary"], "demo/a holds 310.0MiB of memory");
        let (again, changes) = watch.evaluate(&[leak("a")], at(4));
        assert_eq!((again, changes), (fired, vec![]), "it goes on firing since the same time");
        let (over, changes) = watch.evaluate(&[], at(5));
        assert_eq!(over[0].ends_at, Some(at(5)));
        assert_eq!(changes, [Change::Over(leak("a").labels)]);
        assert_eq!(watch.evaluate(&[], at(6)), (vec![], vec![]));
    }

    #[test]
    fn what_is_gone_before_its_wait_was_nothing() {
        let mut watch = Watch::new(Rule::crash_loop(Duration::from_secs(3)));
        watch.evaluate(&[leak("a")], at(0));
        assert_eq!(watch.evaluate(&[], at(2)), (vec![], vec![]));
        let (fired, _) = watch.evaluate(&[leak("a")], at(4));
        assert_eq!(fired, [], "it begins anew");
    }
}
