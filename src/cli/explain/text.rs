//! The report for people. Pure.

use std::fmt::{self, Write as _};

use super::report::{Answer, CheckRow, Matching, NotMatching, Report, Then};
use crate::{
    api::{Action, Step},
    cli::output::{Table, counted},
    clock::to_the_second,
    triage::MatcherVerdict,
};

/// So many policies that nearly match are shown unasked.
const NEAREST: usize = 3;

/// The report; with every policy where `all`, with what would turn each check where `wide`.
pub fn of(report: &Report, all: bool, wide: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, report, all, wide);
    text
}

fn write(text: &mut String, report: &Report, all: bool, wide: bool) -> fmt::Result {
    let name = report.labels.alertname().unwrap_or("without a name");
    let labels = report.labels.0.iter().filter(|(label, _)| *label != "alertname");
    let labels = labels.map(|(label, value)| format!("{label}={value:?}")).collect::<Vec<_>>().join(", ");
    let state = if report.firing { "firing" } else { "resolved" };
    let since = to_the_second(report.starts_at);
    writeln!(text, "Alert {name} {{{labels}}}, {state} since {since}, from source {}", report.source)?;
    for matching in &report.matching {
        matched(text, matching, wide)?;
    }
    if report.matching.is_empty() {
        writeln!(text, "\nNo policy matches: nothing would be recorded, and nothing done.")?;
    }
    let shown: Vec<&NotMatching> = if all {
        report.not_matching.iter().collect()
    } else {
        report.not_matching.iter().filter(|policy| policy.is_near()).take(NEAREST).collect()
    };
    for policy in &shown {
        writeln!(text, "\nPolicy {} does not match", policy.policy)?;
        for verdict in &policy.matchers {
            writeln!(text, "  {}", matcher(verdict))?;
        }
    }
    let rest = report.not_matching.len().saturating_sub(shown.len());
    if rest > 0 {
        let what = counted(rest, "other policy does", "other policies do");
        writeln!(text, "\n{what} not match; --all-policies shows why.")?;
    }
    Ok(())
}

fn matcher(verdict: &MatcherVerdict) -> String {
    let MatcherVerdict { matcher, matches, actual, nearest } = verdict;
    let name = matcher.split(['=', '!']).next().unwrap_or_default().trim();
    let seen = match actual {
        _ if *matches => return format!("yes  {matcher}"),
        Some(actual) => format!("the alert has {name}={actual:?}"),
        None => format!("the alert has no label {name}"),
    };
    let nearest = nearest.as_ref().map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
    format!("NO   {matcher}: {seen}{nearest}")
}

fn matched(text: &mut String, matching: &Matching, wide: bool) -> fmt::Result {
    let origin = if matching.from_file { ", from a file" } else { "" };
    let priority = if matching.priority == 0 { String::new() } else { format!(", priority {}", matching.priority) };
    writeln!(text, "\nPolicy {} matches ({:?}{priority}{origin})", matching.policy, matching.mode)?;
    writeln!(text, "  its labels name {}", matching.names)?;
    for (number, step) in matching.steps.iter().enumerate() {
        writeln!(text, "  step {number}: {}", self::step(step))?;
    }
    match &matching.answer {
        Answer::Nothing { why } => writeln!(text, "  nothing would be recorded: {why}"),
        Answer::Record { record } => {
            writeln!(
                text,
                "  a record would be made, {record}; what follows is decided on a cluster, which was not asked"
            )
        }
        Answer::Known { record, phase } => writeln!(
            text,
            "  {record} speaks for this alert already, and is {}: paramedic why {record}",
            phase.as_str()
        ),
        Answer::Decide { record, is_there, checks, then } => {
            let is_there = if *is_there { "is open already" } else { "would be made" };
            writeln!(text, "  {record} {is_there}; the checks, as of now:")?;
            text.push_str(&table(checks, wide));
            writeln!(text, "  {}", conclusion(then))
        }
    }
}

/// A step in words.
pub fn step(step: &Step) -> String {
    let action = match step.action() {
        Some(Action::RestartPod(restart)) => format!("restartPod ({:?})", restart.method),
        Some(action) => action.name().to_owned(),
        None => "no action".to_owned(),
    };
    format!("{action}, then good for {} within {}", step.verify.stable_for, step.verify.within)
}

fn table(checks: &[CheckRow], wide: bool) -> String {
    let mut table = Table::new(["CHECK", "SAYS", "BECAUSE"]);
    for check in checks {
        let says = check.reason.map_or_else(|| "pass".to_owned(), |reason| format!("NO: {}", reason.as_str()));
        let turned = check.turned_by.filter(|_| wide || !check.passes);
        let turned = turned.map(|turned| format!("turned by: {turned}"));
        table.row_with_note([check.name.clone(), says, check.figures.clone()], turned.as_deref());
    }
    table.to_text(4)
}

fn conclusion(then: &Then) -> String {
    let reason = then.reason.map(|reason| format!(" ({})", reason.as_str())).unwrap_or_default();
    let message = then.message.as_deref().unwrap_or_default();
    let until = then.until.map(|until| format!(", until {}", to_the_second(until))).unwrap_or_default();
    let verb = if then.acts { "It would act now" } else { "It would not act now" };
    format!("=> {verb}: {}{reason}{until}: {message}", then.phase.as_str())
}

#[cfg(test)]
mod tests;
