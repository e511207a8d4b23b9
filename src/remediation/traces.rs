//! A remediation's spans, made of what its record says. Pure.
//!
//! A record holds where in a trace it was created, and everything else follows from that: the remediation's own span goes by
//! a name below it, and each stay in a phase by one below that. So whichever replica writes the end of a stay tells of it,
//! whoever saw its beginning.

use jiff::Timestamp;

use crate::{
    api::{ActionOutcome, JournalEntry, ObjectRef, Phase, Reason, Remediation, RemediationSpec, RemediationStatus},
    telemetry::{
        TraceContext,
        traces::{Attributes, Parent, Span, SpanEvent, SpanKind, SpanStatus},
    },
};

/// The spans that end with a status: the stay in the phase before it, and the remediation where that is its end. None where
/// the record is in no trace.
pub(super) fn spans(record: &Remediation, before: &RemediationStatus, after: &RemediationStatus) -> Vec<Span> {
    // What renews a wait, or what intake says of the alert, ends nothing.
    let Some(ended) = after.since.filter(|_| after.since != before.since) else { return Vec::new() };
    let Some(created) = created(&record.spec) else { return Vec::new() };
    let whole = created.named(WHOLE);
    let mut spans = vec![stay(&record.spec, whole, before, after, ended)];
    if after.phase.is_terminal() {
        spans.push(remediation(record, created, whole, after, ended));
    }
    spans
}

/// The request of the action that the journal's last entry announces.
pub(super) fn request(record: &Remediation, outcome: &str, began: Timestamp, ended: Timestamp) -> Option<Span> {
    let (index, made) = record.status.as_ref()?.journal.iter().enumerate().next_back()?;
    let action = created(&record.spec)?.named(WHOLE).named(&action_name(index));
    let parent = Parent { context: action, is_remote: false };
    let span = Span::new(action.named("request"), Some(parent), &format!("{} request", made.action), began, ended);
    Some(span.of_kind(SpanKind::Client).with("paramedic.outcome", outcome))
}

/// What the remediation's own span goes by.
const WHOLE: &str = "remediation";

fn created(spec: &RemediationSpec) -> Option<TraceContext> {
    TraceContext::on_record(spec.traceparent.as_deref()?)
}

fn action_name(entry: usize) -> String {
    format!("action {entry}")
}

/// The stay in a phase that has ended.
fn stay(
    spec: &RemediationSpec,
    whole: TraceContext,
    before: &RemediationStatus,
    after: &RemediationStatus,
    ended: Timestamp,
) -> Span {
    let began = before.since.unwrap_or(spec.alert.received_at);
    let parent = Some(Parent { context: whole, is_remote: false });
    if before.phase == Phase::Acting
        && let Some((index, entry)) = after.journal.iter().enumerate().next_back()
    {
        return action(entry, whole.named(&action_name(index)), parent, ended);
    }
    let name = match before.phase {
        Phase::Pending => "admission",
        Phase::Waiting => "wait",
        Phase::AwaitingApproval => "approval",
        Phase::Verifying => "verification",
        Phase::Observing => "observation",
        other => other.as_str(),
    };
    let span = Span::new(whole.named(&format!("{name} {began}")), parent, name, began, ended);
    // Why it was in that phase: of a wait, what for.
    let why = before.reason.filter(|_| before.phase == Phase::Waiting).map(Reason::as_str);
    let span = span.with("paramedic.waited_for", why).with("paramedic.step", after.step);
    leads_to(span, after).with_events(checks(before, after))
}

fn leads_to(span: Span, after: &RemediationStatus) -> Span {
    span.with("paramedic.phase", after.phase.as_str())
        .with("paramedic.reason", after.reason.map(Reason::as_str))
        .with("paramedic.message", after.message.as_deref())
}

/// The checks that were made for this decision: what those that did not pass looked at besides.
fn checks(before: &RemediationStatus, after: &RemediationStatus) -> Vec<SpanEvent> {
    let Some(checks) = after.checks.as_ref().filter(|checks| before.checks.as_ref() != Some(checks)) else {
        return Vec::new();
    };
    let event = |check: &crate::api::CheckMade| {
        let figures = Some(check.figures.as_str()).filter(|_| !check.passed);
        let attributes = Attributes::default()
            .with("paramedic.check", check.name.as_str())
            .with("paramedic.passed", check.passed)
            .with("paramedic.figures", figures);
        SpanEvent { name: "check", at: checks.at, attributes }
    };
    checks.made.iter().map(event).collect()
}

fn action(entry: &JournalEntry, context: TraceContext, parent: Option<Parent>, ended: Timestamp) -> Span {
    let status = match entry.outcome {
        ActionOutcome::Done => SpanStatus::Well,
        ActionOutcome::Running | ActionOutcome::DryRun => SpanStatus::Unset,
        ActionOutcome::NotDone
        | ActionOutcome::Disrupted
        | ActionOutcome::Conflict
        | ActionOutcome::Refused
        | ActionOutcome::Unknown => SpanStatus::badly(entry.message.as_deref().unwrap_or(entry.outcome.as_str())),
    };
    let span = Span::new(context, parent, &entry.action, entry.started_at, entry.ended_at.unwrap_or(ended));
    let span = span.with("paramedic.step", entry.step).with("paramedic.outcome", entry.outcome.as_str());
    about(span, &entry.target).ending(status)
}

fn remediation(
    record: &Remediation,
    created: TraceContext,
    whole: TraceContext,
    after: &RemediationStatus,
    ended: Timestamp,
) -> Span {
    let (spec, metadata) = (&record.spec, &record.metadata);
    let status = match after.phase {
        Phase::Succeeded => SpanStatus::Well,
        Phase::Failed => SpanStatus::badly(after.message.as_deref().unwrap_or_default()),
        _ => SpanStatus::Unset,
    };
    // The span of its creation may be another process's.
    let parent = Some(Parent { context: created, is_remote: true });
    let span = Span::new(whole, parent, WHOLE, spec.alert.received_at, ended)
        .with("paramedic.remediation.namespace", metadata.namespace.as_deref())
        .with("paramedic.remediation.name", metadata.name.as_deref())
        .with("paramedic.policy", &spec.policy.to_string())
        .with("paramedic.source", &spec.source)
        .with("paramedic.episode", spec.episode)
        .with("paramedic.alert.name", spec.alert.labels.alertname())
        .with("paramedic.alert.fingerprint", &spec.alert.fingerprint.to_string())
        .with("paramedic.actions", after.journal.len());
    let span = match &after.target {
        Some(target) => about(span, target),
        None => span,
    };
    leads_to(span, after).ending(status)
}

/// By OpenTelemetry's names: `k8s.pod.name` and the like.
fn about(span: Span, target: &ObjectRef) -> Span {
    span.with("k8s.namespace.name", &target.namespace)
        .with(&format!("k8s.{}.name", target.kind.to_ascii_lowercase()), &target.name)
        .with(&format!("k8s.{}.uid", target.kind.to_ascii_lowercase()), &target.uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{CheckMade, ChecksMade},
        remediation::fixtures::*,
        telemetry::traces::Value,
    };

    const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn traced() -> Remediation {
        let mut record = a_record().object();
        record.spec.traceparent = Some(TRACEPARENT.to_owned());
        record
    }

    fn status(phase: Phase, reason: Reason, since: i64) -> RemediationStatus {
        let mut status = a_record().in_phase(phase, since).status;
        status.phase = phase;
        status.reason = Some(reason);
        status.since = Some(at(since));
        status
    }

    fn text<'a>(span: &'a Span, name: &str) -> Option<&'a str> {
        span.attributes.iter().find(|(key, _)| *key == name).and_then(|(_, value)| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    #[test]
    fn a_stay_is_told_of_when_it_ends_and_the_whole_with_the_last_one() {
        let record = traced();
        let (pending, waiting) = (RemediationStatus::default(), status(Phase::Waiting, Reason::Cooldown, 5));
        let admission = spans(&record, &pending, &waiting);
        let names = |spans: &[Span]| spans.iter().map(|span| span.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&admission), ["admission"]);
        assert_eq!((admission[0].began, admission[0].ended), (at(0), at(5)), "from the receipt of the alert");

        let ended = status(Phase::Skipped, Reason::AlertCleared, 65);
        let wait = spans(&record, &waiting, &ended);
        assert_eq!(names(&wait), ["wait", "remediation"]);
        assert_eq!((wait[0].began, wait[0].ended), (at(5), at(65)));
        assert_eq!(text(&wait[0], "paramedic.waited_for"), Some("Cooldown"));
        assert_eq!((wait[1].began, wait[1].ended), (at(0), at(65)));
        assert_eq!(text(&wait[1], "paramedic.reason"), Some("AlertCleared"));

        let whole = wait[1].context;
        assert!(admission.iter().chain(&wait[..1]).all(|span| span.parent.unwrap().context == whole));
        assert_eq!(wait[1].parent.unwrap().context.to_string(), TRACEPARENT, "below the record's creation");
    }

    #[test]
    fn two_replicas_tell_the_same_of_the_same() {
        let (waiting, ended) =
            (status(Phase::Waiting, Reason::Cooldown, 5), status(Phase::Failed, Reason::TimedOut, 65));
        assert_eq!(spans(&traced(), &waiting, &ended), spans(&traced(), &waiting, &ended));
        let later = status(Phase::Waiting, Reason::Cooldown, 6);
        assert_ne!(spans(&traced(), &later, &ended)[0].context, spans(&traced(), &waiting, &ended)[0].context);
    }

    #[test]
    fn what_ends_no_stay_is_no_span() {
        let waiting = status(Phase::Waiting, Reason::Cooldown, 5);
        let renewed =
            RemediationStatus { message: Some("later".to_owned()), renewed_at: Some(at(70)), ..waiting.clone() };
        assert_eq!(spans(&traced(), &waiting, &renewed), []);
    }

    #[test]
    fn a_record_that_is_in_no_trace_has_no_spans_nor_has_one_with_rubbish_in_it() {
        let (waiting, ended) =
            (status(Phase::Waiting, Reason::Cooldown, 5), status(Phase::Failed, Reason::TimedOut, 65));
        let mut record = traced();
        for traceparent in [None, Some("rubbish"), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")] {
            record.spec.traceparent = traceparent.map(str::to_owned);
            assert_eq!(spans(&record, &waiting, &ended), [], "{traceparent:?}");
        }
    }

    #[test]
    fn an_action_is_from_its_entry_to_its_outcome_and_its_request_below_it() {
        let mut record = traced();
        let fixture = a_record().acting(10);
        let before = fixture.status;
        let mut after = status(Phase::Verifying, Reason::InProgress, 12);
        after.journal.clone_from(&before.journal);
        let entry = after.journal.last_mut().unwrap();
        (entry.outcome, entry.ended_at) = (ActionOutcome::Done, Some(at(11)));
        let told = spans(&record, &before, &after);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].name.as_str(), &told[0].status), ("restartPod", &SpanStatus::Well));
        assert_eq!(told[0].ended, at(11));
        assert!(text(&told[0], "k8s.pod.name").is_some());

        record.status = Some(before);
        let request = request(&record, "Done", at(10), at(11)).unwrap();
        assert_eq!(request.parent.unwrap().context, told[0].context);

        after.journal.last_mut().unwrap().outcome = ActionOutcome::Disrupted;
        let told = spans(&record, record.status.as_ref().unwrap(), &after);
        assert_eq!(told[0].status, SpanStatus::badly("Disrupted"));
    }

    #[test]
    fn what_was_checked_is_told_and_of_what_refused_also_what_it_looked_at() {
        let check = |name: &str, passed| CheckMade { name: name.to_owned(), passed, figures: "3 of 3".to_owned() };
        let made = vec![check("pause", true), check("cooldown", false)];
        let mut waiting = status(Phase::Waiting, Reason::Cooldown, 5);
        waiting.checks = Some(ChecksMade { at: at(5), made });
        let told = spans(&traced(), &RemediationStatus::default(), &waiting);
        assert_eq!(told[0].events.len(), 2);
        let figures = |event: &SpanEvent| event.attributes.iter().any(|(name, _)| name == "paramedic.figures");
        assert_eq!((figures(&told[0].events[0]), figures(&told[0].events[1])), (false, true));
        let mut ended = status(Phase::Skipped, Reason::AlertCleared, 65);
        ended.checks.clone_from(&waiting.checks);
        assert_eq!(spans(&traced(), &waiting, &ended)[0].events.len(), 0, "they were told of");
    }
}
