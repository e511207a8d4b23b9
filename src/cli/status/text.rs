//! The report for people. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::{
    api::{ObjectRef, PauseScope, Reason},
    cli::output::{Table, age, counted, or_none},
    clock::to_the_second,
    people::status::{PauseRow, RecordRow, Report},
};

/// The report, with more columns where `wide`.
pub fn of(report: &Report, wide: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = head(&mut text, report);
    pauses(&mut text, report);
    records(&mut text, report, wide);
    text
}

fn head(text: &mut String, report: &Report) -> std::fmt::Result {
    let place = report.namespace.as_ref().map(|namespace| format!(", of namespace {namespace}")).unwrap_or_default();
    writeln!(text, "Paramedic in namespace {}{place}, at {}", report.paramedic_namespace, to_the_second(report.at))?;
    for problem in &report.problems {
        writeln!(text, "  ! {problem}")?;
    }
    let leader = report.leader.identity.as_deref().filter(|_| report.leader.leads);
    let since = report.leader.since.filter(|_| report.leader.leads).map(|since| ago(report, since));
    writeln!(
        text,
        "\nLeader    {}{}",
        leader.unwrap_or("nobody"),
        since.map(|since| format!(", for {since}")).unwrap_or_default()
    )?;
    if !report.replicas.is_empty() {
        let ready = report.replicas.iter().filter(|replica| replica.ready).count();
        let restarts: i32 = report.replicas.iter().map(|replica| replica.restarts).sum();
        let restarted = if restarts > 0 { format!(", restarted {restarts} times") } else { String::new() };
        writeln!(text, "Replicas  {ready} of {} ready{restarted}", report.replicas.len())?;
    }
    let modes = report.policies.in_force.iter().map(|(mode, count)| format!("{count} {mode:?}"));
    let in_force = modes.collect::<Vec<_>>().join(", ");
    let refused = report.policies.not_accepted.len();
    let refused = if refused > 0 { format!("; {refused} not accepted") } else { String::new() };
    let in_force = if in_force.is_empty() { "none in force".to_owned() } else { in_force };
    writeln!(text, "Policies  {in_force}{refused} (custom resources; those from files are not in the API)")?;
    let day = report.ended_last_day.iter().map(|(phase, count)| format!("{count} {}", phase.as_str()));
    let day = day.collect::<Vec<_>>().join(", ");
    writeln!(text, "24 hours  {}", if day.is_empty() { "nothing ended".to_owned() } else { day })
}

fn pauses(text: &mut String, report: &Report) {
    if report.pauses.is_empty() {
        text.push_str("Pauses    none\n");
        return;
    }
    let what = counted(report.pauses.len(), "pause is in force", "pauses are in force");
    let _ = writeln!(text, "\nPAUSED: {what}, nothing new is done there");
    let mut table = Table::new(["NAME", "HOLDS", "FOR", "ENDS", "REASON"]);
    for pause in &report.pauses {
        table.row([
            format!("{}/{}", pause.namespace, pause.name),
            holds(pause),
            or_none(pause.since.map(|since| ago(report, since))),
            pause.expires_at.map_or_else(
                || "when it is resumed".to_owned(),
                |at| format!("in {}", age(at.duration_since(report.at))),
            ),
            pause.reason.clone(),
        ]);
    }
    text.push_str(&table.to_text(2));
}

fn holds(pause: &PauseRow) -> String {
    match pause.scope {
        PauseScope::Cluster => "everything".to_owned(),
        PauseScope::Namespace => format!("namespace {}", pause.namespace),
    }
}

fn records(text: &mut String, report: &Report, wide: bool) {
    if report.open.is_empty() {
        text.push_str("\nNo remediation is open.\n");
    } else {
        let _ = writeln!(text, "\nOpen: {}", report.open.len());
        text.push_str(&table(report, &report.open, "FOR", wide));
    }
    if !report.ended.is_empty() {
        text.push_str("\nEnded last\n");
        text.push_str(&table(report, &report.ended, "AGO", wide));
    }
}

fn table(report: &Report, rows: &[RecordRow], since: &'static str, wide: bool) -> String {
    let more = if wide { &["POLICY", "SOURCE", "ACTIONS"][..] } else { &[] };
    let mut table =
        Table::new(["NAME", "ALERT", "TARGET", "PHASE", "REASON", since].into_iter().chain(more.iter().copied()));
    for row in rows {
        let mut cells = vec![
            format!("{}/{}", row.namespace, row.name),
            or_none(row.alert.clone()),
            or_none(row.target.as_ref().map(short)),
            row.phase.as_str().to_owned(),
            or_none(row.reason.map(Reason::as_str)),
            ago(report, row.since),
        ];
        if wide {
            cells.extend([row.policy.clone(), row.source.clone(), row.actions.to_string()]);
        }
        let until = row.until.filter(|until| *until > report.at);
        let until = until.map(|until| format!(" (for another {})", age(until.duration_since(report.at))));
        let note = row.message.as_ref().map(|message| format!("{message}{}", until.unwrap_or_default()));
        table.row_with_note(cells, note.as_deref());
    }
    table.to_text(2)
}

fn short(target: &ObjectRef) -> String {
    format!("{}/{}", target.kind, target.name)
}

fn ago(report: &Report, since: Timestamp) -> String {
    age(report.at.duration_since(since))
}
