//! What Prometheus' evaluations of a rule say about its alerts. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::LivingSubject;
use crate::{
    alert::Labels,
    api::RemediationSpec,
    clients::{AlertingRule, QueryResult, RuleAlert},
    remediation::world::{Evidence, QueryNow},
};

/// An evaluation that is this many intervals late, and [`LATE`] more, says nothing about now.
const INTERVALS: u32 = 3;

/// What a Prometheus under load may be late beyond that.
const LATE: Duration = Duration::from_secs(30);

/// How long a Prometheus must have been up at least before it is believed that nothing is there: it has to scrape first.
const SCRAPED_AGAIN: Duration = Duration::from_mins(2);

/// The longest time without a break that a rule can ask of a verification: a remediation may take an hour in all.
const LONGEST_WINDOW: Duration = Duration::from_mins(45);

/// What one Prometheus answered.
#[derive(Clone, Debug, PartialEq)]
pub struct RulesAnswer {
    /// Its URL, for messages.
    pub url: String,
    /// Its alerting rules of the alert's name, or why it did not answer.
    pub rules: Result<Vec<AlertingRule>, String>,
    /// When it was started; `None` where it does not say.
    pub started_at: Option<Timestamp>,
}

/// What the rules say of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evaluated {
    /// It fires.
    Firing,
    /// Its expression holds, but not for as long yet as its rule asks for.
    Pending(String),
    /// The rules were evaluated lately, and did not find it.
    Clear,
    /// Nobody can tell, and why.
    Unknown(String),
    /// No Prometheus is there to be asked.
    Unasked,
}

/// What the rules of this alert say of the alerts that `counts` picks. `counts` is given the rule's `for` too.
///
/// One Prometheus that finds such an alert is enough to know that it fires. That it does not, takes all of them: each has
/// answered, each that has the rule has evaluated it well and lately, one of them has it, and those have been up for so
/// long that they have scraped again and its `for` has passed.
pub fn evaluated(
    answers: &[RulesAnswer],
    labels: &Labels,
    counts: impl Fn(&AlertingRule, &RuleAlert) -> bool,
    now: Timestamp,
) -> Evaluated {
    if answers.is_empty() {
        return Evaluated::Unasked;
    }
    let fitting = || answers.iter().flat_map(|answer| fitting(answer, labels).map(move |rule| (answer, rule)));
    let finds = |rule: &AlertingRule, firing: bool| {
        rule.alerts.iter().any(|alert| alert.firing == firing && counts(rule, alert))
    };
    if fitting().any(|(_, rule)| finds(rule, true)) {
        return Evaluated::Firing;
    }
    if let Some(error) = answers.iter().find_map(|answer| answer.rules.as_ref().err()) {
        return Evaluated::Unknown(error.clone());
    }
    let mut pending = None;
    for (answer, rule) in fitting() {
        if let Some(why) = unbelievable(answer, rule, now) {
            return Evaluated::Unknown(format!("{} {why}", answer.url));
        }
        if finds(rule, false) {
            pending = Some(format!("the alert is pending again at {}", answer.url));
        }
    }
    match pending {
        Some(why) => Evaluated::Pending(why),
        None if fitting().next().is_some() => Evaluated::Clear,
        None => Evaluated::Unknown("no Prometheus that can be asked has the rule of the alert".to_owned()),
    }
}

/// The rules of an answer that the alert may be of: a name may have several, which differ in the labels that they add.
fn fitting<'a>(answer: &'a RulesAnswer, labels: &'a Labels) -> impl Iterator<Item = &'a AlertingRule> {
    let rules = answer.rules.as_ref().map(Vec::as_slice).unwrap_or_default();
    // What a template adds is not known before it has been filled in.
    let literal =
        |rule: &AlertingRule| -> Labels { rule.labels.0.iter().filter(|(_, value)| !value.contains("{{")).collect() };
    rules.iter().filter(move |rule| compatible(&literal(rule), labels))
}

/// Why what a rule did not find may be there all the same.
fn unbelievable(answer: &RulesAnswer, rule: &AlertingRule, now: Timestamp) -> Option<String> {
    if let Err(why) = &rule.health {
        return Some(format!("could not evaluate the rule of the alert: {why}"));
    }
    let Some(evaluated_at) = rule.evaluated_at else {
        return Some("has not evaluated the rule of the alert yet".into());
    };
    let fresh = signed(rule.interval.saturating_mul(INTERVALS).saturating_add(LATE));
    if now.duration_since(evaluated_at) > fresh {
        let at = evaluated_at.round(jiff::Unit::Second).unwrap_or(evaluated_at);
        return Some(format!("evaluated the rule of the alert at {at} for the last time, which is too long ago"));
    }
    let Some(started_at) = answer.started_at else { return Some("does not say how long it has been up".into()) };
    let settled = window(rule).max(SCRAPED_AGAIN);
    if now.duration_since(started_at) < signed(settled) {
        return Some(format!(
            "has not been up for {}s yet, so it may not have found the alert again",
            settled.as_secs()
        ));
    }
    None
}

/// How long the rules of this alert must find nothing before that says that it will not come back at once: `for` and two
/// evaluations. `None` where no rule is known.
pub fn quiet_for(answers: &[RulesAnswer], labels: &Labels) -> Option<SignedDuration> {
    let windows = answers.iter().flat_map(|answer| fitting(answer, labels)).map(window);
    windows.max().map(|window| signed(window.min(LONGEST_WINDOW)))
}

fn window(rule: &AlertingRule) -> Duration {
    rule.pending_for.saturating_add(rule.interval.saturating_mul(2))
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Picks the alert of a record, for [`evaluated`]. On the way to Alertmanager labels are added (`external_labels`) and taken
/// away (`alert_relabel_configs`), so an alert is this one unless a label says otherwise.
pub fn same_labels(labels: &Labels) -> impl Fn(&AlertingRule, &RuleAlert) -> bool {
    move |_, alert| compatible(&alert.labels, labels)
}

/// Picks, for [`evaluated`], what [`about_subject`](super::about_subject) picks of an Alertmanager's alerts.
pub fn rule_about_subject<'a>(
    spec: &'a RemediationSpec,
    subject: &'a LivingSubject,
    acted_at: Timestamp,
) -> impl Fn(&AlertingRule, &RuleAlert) -> bool + 'a {
    move |rule, alert| {
        let own = compatible(&alert.labels, &spec.alert.labels);
        let fires_at = alert.active_at.saturating_add(signed(rule.pending_for)).unwrap_or(Timestamp::MAX);
        // The labels that are added on the way are the same for all alerts of one Prometheus.
        let of_policy = || {
            let mut labels = spec.alert.labels.clone();
            labels.0.extend(alert.labels.0.clone());
            spec.matchers.iter().all(|matcher| matcher.matches(&labels))
        };
        (own || (fires_at > acted_at && of_policy())) && subject.is_named_by(spec, &alert.labels)
    }
}

/// Whether no label has another value in one of them than in the other.
fn compatible(one: &Labels, other: &Labels) -> bool {
    one.0.iter().all(|(name, value)| other.0.get(name).is_none_or(|there| there == value))
}

/// Whether the alert fires, right before acting. Only an Alertmanager knows of silences, so where one is to be asked it alone
/// can say that there is something to act on; that there is not, either can.
pub fn before_acting(alertmanagers: Evidence, rules: Evaluated) -> Evidence {
    match (alertmanagers, rules) {
        (Evidence::Unasked, rules) => alone(rules),
        (Evidence::Clear { .. }, Evaluated::Firing) => {
            Evidence::Unknown("it fires at Prometheus, and no Alertmanager knows of it".to_owned())
        }
        (Evidence::Unknown(_), Evaluated::Clear) => Evidence::Clear { confirmed: true },
        (Evidence::Unknown(why), Evaluated::Firing) => {
            Evidence::Unknown(format!("{why}; it fires at Prometheus, which does not know of silences"))
        }
        (Evidence::Unknown(why), Evaluated::Unknown(other)) => Evidence::Unknown(format!("{why}; {other}")),
        (alertmanagers, _) => alertmanagers,
    }
}

/// Whether the alert is over, after an action: not while anybody says that it fires, or is about to again.
pub fn after_acting(alertmanagers: Evidence, rules: Evaluated) -> Evidence {
    match (alertmanagers, rules) {
        (Evidence::Clear { .. } | Evidence::Unknown(_), Evaluated::Firing) => Evidence::Firing,
        (Evidence::Clear { .. }, Evaluated::Pending(why)) => Evidence::Unknown(why),
        (alertmanagers, rules) => before_acting(alertmanagers, rules),
    }
}

fn alone(rules: Evaluated) -> Evidence {
    match rules {
        Evaluated::Firing => Evidence::Firing,
        Evaluated::Clear => Evidence::Clear { confirmed: true },
        Evaluated::Pending(why) | Evaluated::Unknown(why) => Evidence::Unknown(why),
        Evaluated::Unasked => Evidence::Unasked,
    }
}

/// Whether a query holds, by what every Prometheus answered to it.
///
/// A query that compares leaves the series for which that is true: where none is left, it may not be true, or there may be
/// no data, and nobody can tell which. With `bool` (`says_no`) the comparison gives 1 or 0 instead, and 0 is a no.
pub fn query_now(answers: Vec<Result<QueryResult, String>>, says_no: bool) -> QueryNow {
    let mut held = false;
    let mut refused = None;
    // What `bool` gives is exactly 1 or 0; what is no number at all is no yes.
    let is_yes = |value: &&f64| (**value - 1.0).abs() < f64::EPSILON;
    for answer in answers {
        match answer {
            Err(why) => return QueryNow::Unknown(why),
            Ok(QueryResult::Other(kind)) => {
                return QueryNow::Unknown(format!(
                    "it gives a {kind}, not series; compare what it gives with a number"
                ));
            }
            Ok(QueryResult::Vector(values)) if says_no && !values.iter().all(|value| is_yes(&value)) => {
                let (yes, all) = (values.iter().filter(is_yes).count(), values.len());
                refused = Some(format!("it holds for {yes} of {all} series"));
            }
            Ok(QueryResult::Vector(values)) => held |= !values.is_empty(),
        }
    }
    match (refused, held) {
        (Some(why), _) => QueryNow::No(why),
        (None, true) => QueryNow::Holds,
        (None, false) => QueryNow::Unknown("it left no series: it does not hold, or there is no data".to_owned()),
    }
}

#[cfg(test)]
mod tests;
