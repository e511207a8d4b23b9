//! The report for people. Pure.

use std::fmt::{self, Write as _};

use super::report::{CheckPart, Report};
use crate::{
    cli::output::{Table, age},
    clock::to_the_second,
};

/// The report; with what would have turned each check where `wide`, else that of the one that decided.
pub fn of(report: &Report, wide: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, report, wide);
    text
}

fn write(text: &mut String, report: &Report, wide: bool) -> fmt::Result {
    let reason = report.reason.map(|reason| format!(" ({})", reason.as_str())).unwrap_or_default();
    let since = age(report.at.duration_since(report.since));
    let ended = if report.phase.is_terminal() { "ago" } else { "long" };
    writeln!(text, "Remediation {} is {}{reason}, {since} {ended}", report.remediation, report.phase.as_str())?;
    if let Some(message) = &report.message {
        writeln!(text, "  {message}")?;
    }
    if let Some(turned_by) = report.turned_by {
        writeln!(text, "  would have been different with: {turned_by}")?;
    }
    if let Some(next) = &report.next {
        writeln!(text, "  next: {next}")?;
    }

    let alert = &report.alert;
    writeln!(text, "\nAlert {}, from source {}", alert.labels.alertname().unwrap_or("without a name"), alert.source)?;
    writeln!(text, "  its labels name {}", alert.names)?;
    writeln!(text, "  began {}, received {}", to_the_second(alert.starts_at), to_the_second(alert.received_at))?;
    if let Some(ends_at) = alert.ends_at {
        writeln!(text, "  over at {}, as its sender says", to_the_second(ends_at))?;
    } else if let Some(last_seen) = alert.last_seen {
        writeln!(text, "  last said to fire at {}", to_the_second(last_seen))?;
    }

    let policy = &report.policy;
    writeln!(text, "\nPolicy {} ({:?}, generation {})", policy.name, policy.mode, policy.generation)?;
    for matched in &policy.matched {
        writeln!(text, "  {matched}")?;
    }
    for (number, step) in policy.steps.iter().enumerate() {
        writeln!(text, "  step {number}: {step}")?;
    }

    match report.checked_at {
        None => writeln!(
            text,
            "\nNo checks are on record: it was not decided yet whether to act, or it never came to that."
        )?,
        Some(at) => {
            writeln!(text, "\nChecks of {}; the first that says no decides", to_the_second(at))?;
            text.push_str(&checks(&report.checks, wide));
        }
    }
    if !report.journal.is_empty() {
        writeln!(
            text,
            "\nDone{}",
            report.subject.as_ref().map(|subject| format!(" to {subject}")).unwrap_or_default()
        )?;
        text.push_str(&journal(report));
    }
    Ok(())
}

fn checks(checks: &[CheckPart], wide: bool) -> String {
    let mut table = Table::new(["CHECK", "SAID", "LOOKED AT"]);
    for check in checks {
        let said = match (check.passed, check.decided) {
            (true, _) => "pass",
            (false, true) => "NO <=",
            (false, false) => "no",
        };
        let turned = check.turned_by.filter(|_| wide || !check.passed);
        let turned = turned.map(|turned| format!("would have been turned by: {turned}"));
        table.row_with_note([check.name.clone(), said.to_owned(), check.figures.clone()], turned.as_deref());
    }
    table.to_text(2)
}

fn journal(report: &Report) -> String {
    let mut table = Table::new(["STEP", "ACTION", "TARGET", "BEGUN", "TOOK", "OUTCOME"]);
    for entry in &report.journal {
        let took = entry.ended_at.map(|ended| ended.duration_since(entry.started_at));
        table.row_with_note(
            [
                entry.step.to_string(),
                entry.action.clone(),
                entry.target.to_string(),
                to_the_second(entry.started_at).to_string(),
                took.map_or_else(|| "-".to_owned(), |took| format!("{:.1}s", took.as_secs_f64())),
                entry.outcome.as_str().to_owned(),
            ],
            entry.message.as_deref(),
        );
    }
    table.to_text(2)
}
