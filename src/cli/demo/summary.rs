//! What it all came to: a table of what happened and when, and how to go on.

use console::style;
use jiff::Timestamp;

use super::{
    scenario::Scenario,
    stage::{APP_NAMESPACE, Stage},
};
use crate::api::{ActionOutcome, Remediation};

/// One row: a record's times, in seconds since the beginning.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    pod: String,
    fired: f64,
    acted: Option<f64>,
    ended: Option<f64>,
    phase: &'static str,
    held: String,
}

/// Shows the table.
pub fn show(stage: &Stage) {
    let screen = &stage.screen;
    let seen = stage.seen.borrow().clone();
    screen.heading("What happened");
    screen.verbatim("  pod      alert   acted  outcome     over  recovery  held back by");
    let mut rows: Vec<Row> = seen
        .records
        .iter()
        .map(|(name, record)| {
            let held = seen.held.get(name).into_iter().flatten().map(|reason| reason.as_str());
            let waited = waited_for_the_leader(record, seen.acts_from).then_some("the leader's wait");
            row(record, waited.into_iter().chain(held).collect::<Vec<_>>().join(", "), |at| stage.seconds(at))
        })
        .collect();
    rows.sort_by(|a, b| a.acted.unwrap_or(f64::MAX).total_cmp(&b.acted.unwrap_or(f64::MAX)));
    for row in &rows {
        screen.verbatim(&row.paint());
    }
    let notices = stage.notices.borrow();
    let actions: usize = seen.records.values().map(|record| actions(record).count()).sum();
    // What the real Alertmanager tells does not come by here.
    let told = match stage.alertmanagers.len() {
        0 => String::new(),
        _ => format!("notices: {} taken, {} not; ", notices.taken, notices.refused),
    };
    screen.text(&format!(
        "  {told}records: {}; actions: {actions}; pods ready: {}; {:.0} s in all",
        seen.records.len(),
        seen.ready(),
        screen.elapsed().as_secs_f64()
    ));
}

fn actions(record: &Remediation) -> impl Iterator<Item = &crate::api::JournalEntry> {
    let journal = record.status.as_ref().map(|status| status.journal.as_slice()).unwrap_or_default();
    journal.iter().filter(|entry| entry.outcome == ActionOutcome::Done)
}

/// Whether it was on record before the leader could act, and acted on after that.
fn waited_for_the_leader(record: &Remediation, acts_from: Option<Timestamp>) -> bool {
    let acted = actions(record).next().map(|entry| entry.started_at);
    acts_from.is_some_and(|from| record.spec.alert.received_at < from && acted.is_some_and(|acted| acted >= from))
}

fn row(record: &Remediation, held: String, seconds: impl Fn(Timestamp) -> f64) -> Row {
    let status = record.status.clone().unwrap_or_default();
    let name = super::story::about(record);
    Row {
        pod: name.rsplit('-').next().unwrap_or_default().to_owned(),
        fired: seconds(record.spec.alert.starts_at),
        acted: actions(record).next().map(|entry| seconds(entry.started_at)),
        ended: status.ended_at.map(&seconds),
        phase: status.phase.as_str(),
        held,
    }
}

impl Row {
    fn paint(&self) -> String {
        let time = |at: Option<f64>| at.map_or_else(|| "-".to_owned(), |at| format!("{at:.1}s"));
        let recovery = self.ended.map(|ended| ended - self.fired);
        format!(
            "  …{:<6} {:>6}  {:>6}  {:<9} {:>6}  {:>8}  {}",
            self.pod,
            time(Some(self.fired)),
            time(self.acted),
            self.phase,
            time(self.ended),
            style(time(recovery)).bold(),
            self.held
        )
    }
}

/// Says how to go on by oneself: on what still runs, or on another run.
pub fn how_to_go_on(stage: &Stage, scenario: Scenario, keep: bool) {
    let screen = &stage.screen;
    let seen = stage.seen.borrow().clone();
    let pod = seen.pods.keys().next().cloned().unwrap_or_default();
    let record = seen.records.keys().next().cloned().unwrap_or_default();
    let alertname = if scenario == Scenario::CrashLoop { "KubePodCrashLooping" } else { "MemoryLeakDetected" };
    // Of a cluster that is gone the pods are too.
    let about = if keep { pod.as_str() } else { "POD" };
    let alert = stage.alertmanager_urls.first().map(|alertmanager| own_alert(alertmanager, alertname, about));
    // As it was called: it need not be on PATH.
    let program = std::env::args().next().unwrap_or_else(|| "paramedic".to_owned());
    if !keep {
        screen.heading("Go on");
        screen.verbatim(&format!(
            "  {program} demo --keep              stays up, for kubectl and for alerts of your own"
        ));
        screen.verbatim(&format!("  {program} demo --scenario list     what else can be shown"));
        screen.verbatim("While it is up, this sends an alert of your own about a pod:");
        screen.verbatim(&format!("  {}", alert.unwrap_or_default()));
        return;
    }
    screen.heading("It stays up until Ctrl-C. In another terminal:");
    screen.verbatim(&format!("  export KUBECONFIG={}", stage.kubeconfig.display()));
    screen.verbatim(&format!("  {program} status"));
    screen.verbatim(&format!("  {program} why {APP_NAMESPACE}/{record}"));
    screen.verbatim(&format!("  {program} pause -n {APP_NAMESPACE} --reason 'to see what it does'"));
    for command in [
        "get remediations,remediationpolicies,pods -A".to_owned(),
        format!("-n {APP_NAMESPACE} describe remediation {record}"),
        format!("-n {APP_NAMESPACE} get pods -w"),
        format!("-n {APP_NAMESPACE} logs {pod}"),
        format!("-n {APP_NAMESPACE} delete pod {pod}"),
        "explain remediationpolicy.spec".to_owned(),
        format!("apply -f {}", stage.dir.join(super::POLICY_FILE).display()),
    ] {
        screen.verbatim(&format!("  kubectl {command}"));
    }
    let container = stage.processes.list().into_iter().find(|container| container.pod == pod);
    if let Some(address) = container.and_then(|container| container.address) {
        screen.heading("Let a pod leak again");
        screen.verbatim(&format!("  curl -X POST 'http://{address}/leak/start?rateMib=60'"));
    }
    if let Some(alert) = alert {
        screen.heading("Send an alert of your own");
        screen.verbatim(&format!("  {alert}"));
    }
}

/// The command that sends an alert.
fn own_alert(alertmanager: &str, alertname: &str, pod: &str) -> String {
    let labels = serde_json::json!({
        "alertname": alertname, "severity": "warning", "namespace": APP_NAMESPACE, "pod": pod, "container": "demo-app",
    });
    format!("curl {alertmanager}/api/v2/alerts -H 'Content-Type: application/json' -d '[{{\"labels\": {labels}}}]'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_fits_into_eighty_columns() {
        console::set_colors_enabled(false);
        let row = Row {
            pod: "x2x7k".to_owned(),
            fired: 9.5,
            acted: Some(22.6),
            ended: Some(128.7),
            phase: "Succeeded",
            held: "SubjectLocked, Cooldown".to_owned(),
        };
        let painted = row.paint();
        assert!(console::measure_text_width(&painted) <= 80, "{painted}");
        assert!(painted.contains("119.2s"), "{painted}");
    }

    #[test]
    fn an_alert_of_ones_own_is_a_json_list() {
        let command = own_alert("http://127.0.0.1:9093", "MemoryLeakDetected", "a");
        let body = command.split('\'').nth(3).unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body[0]["labels"]["pod"], "a");
    }
}
