//! What happened, in words: lines from how an object was and how it is. Pure; nothing is told that no object says.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::screen::{Line, Mood, Who};
use crate::api::{ActionOutcome, Phase, Reason, Remediation, RemediationStatus};

/// What a record's change tells.
pub fn of_record(before: Option<&Remediation>, after: &Remediation) -> Vec<Line> {
    let mut lines = Vec::new();
    let name = after.metadata.name.as_deref().unwrap_or_default();
    let about = about(after);
    if before.is_none() {
        let text = format!("puts the alert about {about} on record: Remediation {name}");
        lines.push(Line::new(Who::Paramedic, Mood::Plain, text));
    }
    let then = before.and_then(|record| record.status.clone()).unwrap_or_default();
    let Some(now) = &after.status else { return lines };
    if then.phase == now.phase && then.reason == now.reason && then.journal.len() == now.journal.len() {
        return lines;
    }
    lines.extend(outcome(&then, now, &about));
    let message = now.message.clone().unwrap_or_default();
    let reason = now.reason.map(Reason::as_str).unwrap_or_default();
    let told = match now.phase {
        Phase::Pending if then.phase == Phase::Pending => None,
        Phase::Pending => Some((Mood::Plain, format!("decides anew about {about}: {message}"))),
        Phase::Waiting => {
            let until = now.until.map(|until| format!(" (until {} UTC)", until.strftime("%H:%M:%S")));
            let until = until.unwrap_or_default();
            Some((Mood::Held, format!("does not act on {about} yet: {reason}: {message}{until}")))
        }
        Phase::Acting => {
            let plan = now.plan.clone().unwrap_or_default();
            let (step, of) = (now.step.saturating_add(1), after.spec.steps.len());
            Some((Mood::Deed, format!("decides (step {step} of {of}), writes it down, then does it: {plan}")))
        }
        Phase::Verifying => {
            let step = usize::try_from(now.step).ok().and_then(|step| after.spec.steps.get(step));
            let verify = step.map(|step| step.verify.clone()).unwrap_or_default();
            let text = format!(
                "watches whether it helped: healthy, and no alert for {}, within {}",
                verify.stable_for, verify.within
            );
            Some((Mood::Plain, text))
        }
        Phase::AwaitingApproval => Some((Mood::Plain, format!("asks for an approval: {message}"))),
        Phase::Observing => Some((Mood::Plain, format!("would act on {about}: {message}"))),
        Phase::Succeeded => Some((Mood::Good, format!("verified for {about}: {message}"))),
        Phase::Failed => Some((Mood::Bad, format!("gives up on {about}: {reason}: {message}"))),
        Phase::Skipped | Phase::Superseded | Phase::Cancelled | Phase::DryRun => {
            Some((Mood::Plain, format!("is done with {about}: {}: {reason}: {message}", now.phase.as_str())))
        }
    };
    lines.extend(told.map(|(mood, text)| Line::new(Who::Paramedic, mood, text)));
    lines
}

/// What came of the action, once the journal says.
fn outcome(then: &RemediationStatus, now: &RemediationStatus, about: &str) -> Option<Line> {
    let entry = now.journal.last()?;
    let known = then.journal.get(now.journal.len().saturating_sub(1)).is_some_and(|known| known.ended_at.is_some());
    if known || entry.ended_at.is_none() || entry.outcome == ActionOutcome::Running {
        return None;
    }
    let mood = if entry.outcome == ActionOutcome::Done { Mood::Deed } else { Mood::Held };
    let message = entry.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    let text = format!("{} for {about}: {}{message}", entry.action, entry.outcome.as_str());
    Some(Line::new(Who::Paramedic, mood, text))
}

/// The object that a record's alert names.
pub fn about(record: &Remediation) -> String {
    let labels = &record.spec.alert.labels;
    let pod = labels.get("exported_pod").or_else(|| labels.get("pod"));
    pod.or_else(|| labels.alertname()).unwrap_or("something").to_owned()
}

/// Whether a pod is ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.is_some_and(|conditions| {
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    ready && pod.metadata.deletion_timestamp.is_none()
}

/// How a pod is, in a word or two.
pub fn state(pod: &Pod) -> String {
    let waiting = containers(pod).iter().find_map(|status| status.state.as_ref()?.waiting.as_ref()?.reason.clone());
    if pod.metadata.deletion_timestamp.is_some() {
        return "ending".to_owned();
    }
    match waiting {
        _ if is_ready(pod) => "ready".to_owned(),
        Some(reason) => reason,
        None => "not ready".to_owned(),
    }
}

/// How often its containers were started again.
pub fn restarts(pod: &Pod) -> i32 {
    containers(pod).iter().map(|status| status.restart_count).sum()
}

fn containers(pod: &Pod) -> &[ContainerStatus] {
    pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default()
}

/// What a pod's change tells; `after` is `None` where it is gone.
pub fn of_pod(before: Option<&Pod>, after: Option<&Pod>) -> Vec<Line> {
    let name = after.or(before).and_then(|pod| pod.metadata.name.clone()).unwrap_or_default();
    let cluster = |mood, text| Line::new(Who::Cluster, mood, text);
    let Some(pod) = after else {
        return vec![cluster(Mood::Plain, format!("{name} is gone"))];
    };
    let mut lines = Vec::new();
    if before.is_none() {
        lines.push(cluster(Mood::Plain, format!("a new pod, {name}")));
    }
    let going = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
    if going(pod) && !before.is_some_and(going) {
        lines.push(cluster(Mood::Plain, format!("{name} is told to end")));
    }
    let restarted = restarts(pod);
    if restarted > before.map(restarts).unwrap_or_default() {
        let code =
            containers(pod).iter().find_map(|status| Some(status.last_state.as_ref()?.terminated.as_ref()?.exit_code));
        let code = code.map(|code| format!(", which ended with code {code}")).unwrap_or_default();
        lines.push(cluster(Mood::Plain, format!("starts the container of {name} again{code} (restart {restarted})")));
    }
    let (then, now) = (before.map(state), state(pod));
    if now.starts_with("CrashLoop") && then.as_deref() != Some(&now) {
        lines.push(cluster(Mood::Bad, format!("{name} crashes again and again: {now}")));
    }
    if is_ready(pod) && !before.is_some_and(is_ready) {
        lines.push(cluster(Mood::Good, format!("{name} is ready")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "a" }, "status": status })).unwrap()
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn a_pod_is_told_from_its_birth_to_its_end() {
        let new = pod(&json!({}));
        let ready = pod(&json!({ "conditions": [{ "type": "Ready", "status": "True" }] }));
        assert_eq!(texts(&of_pod(None, Some(&new))), ["a new pod, a"]);
        assert_eq!(texts(&of_pod(Some(&new), Some(&ready))), ["a is ready"]);
        assert!(of_pod(Some(&ready), Some(&ready)).is_empty());
        let mut going = ready.clone();
        going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(texts(&of_pod(Some(&ready), Some(&going))), ["a is told to end"]);
        assert_eq!(texts(&of_pod(Some(&going), None)), ["a is gone"]);
        assert_eq!((state(&ready).as_str(), state(&going).as_str()), ("ready", "ending"));
    }

    #[test]
    fn crashes_are_counted() {
        let crashed = |restarts, reason| {
            pod(&json!({ "containerStatuses": [{
                "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": restarts,
                "state": { "waiting": { "reason": reason } },
                "lastState": { "terminated": { "exitCode": 3 } },
            }] }))
        };
        let (one, two) = (crashed(1, "CrashLoopBackOff"), crashed(2, "CrashLoopBackOff"));
        let lines = of_pod(Some(&pod(&json!({}))), Some(&one));
        assert_eq!(
            texts(&lines),
            [
                "starts the container of a again, which ended with code 3 (restart 1)",
                "a crashes again and again: CrashLoopBackOff"
            ]
        );
        assert_eq!(of_pod(Some(&one), Some(&two)).len(), 1);
    }

    fn record(status: &Value) -> Remediation {
        let spec = json!({
            "alert": {
                "fingerprint": "0011223344556677", "labels": { "alertname": "A", "pod": "a" },
                "startsAt": "2026-01-01T00:00:00Z", "receivedAt": "2026-01-01T00:00:00Z",
            },
            "episode": 1, "source": "s", "mode": "Enforce", "match": ["alertname=\"A\""], "namespaces": ["demo"],
            "policy": { "kind": "RemediationPolicy", "name": "p", "uid": "u", "generation": 1, "hash": "h" },
            "target": { "kind": "Pod" }, "steps": [{ "restartPod": {} }], "limits": {},
        });
        serde_json::from_value(json!({
            "apiVersion": "paramedic.dev/v1alpha1", "kind": "Remediation", "metadata": { "name": "r" },
            "spec": spec, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_record_is_told_by_its_transitions_alone() {
        let new = record(&json!({}));
        assert_eq!(texts(&of_record(None, &new)), ["puts the alert about a on record: Remediation r"]);
        let waits = record(&json!({
            "phase": "Waiting", "reason": "Cooldown", "message": "not over", "until": "2026-01-01T10:00:00Z",
        }));
        let lines = of_record(Some(&new), &waits);
        assert_eq!(texts(&lines), ["does not act on a yet: Cooldown: not over (until 10:00:00 UTC)"]);
        assert_eq!(lines[0].mood, Mood::Held);
        assert!(of_record(Some(&waits), &waits).is_empty());
        let entry = |outcome: &str, ended: Option<&str>| {
            json!([{
                "step": 0, "action": "restartPod", "startedAt": "2026-01-01T10:00:00Z", "endedAt": ended, "outcome": outcome,
                "target": { "apiVersion": "v1", "kind": "Pod", "namespace": "demo", "name": "a", "uid": "u" },
            }])
        };
        let acts = record(&json!({ "phase": "Acting", "plan": "evict a", "journal": entry("Running", None) }));
        assert_eq!(
            texts(&of_record(Some(&waits), &acts)),
            ["decides (step 1 of 1), writes it down, then does it: evict a"]
        );
        let verifies = record(&json!({ "phase": "Verifying", "journal": entry("Done", Some("2026-01-01T10:00:01Z")) }));
        let lines = of_record(Some(&acts), &verifies);
        assert_eq!(lines[0].text, "restartPod for a: Done");
        assert!(lines[1].text.starts_with("watches whether it helped"), "{lines:?}");
        let done = record(
            &json!({ "phase": "Succeeded", "message": "healthy", "journal": entry("Done", Some("2026-01-01T10:00:01Z")) }),
        );
        assert_eq!(texts(&of_record(Some(&verifies), &done)), ["verified for a: healthy"]);
    }
}
