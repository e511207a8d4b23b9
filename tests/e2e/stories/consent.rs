//! What people say goes before what a policy says: opting out, pausing, dry runs. Each story has its twin.

use std::time::Duration;

use jiff::Timestamp;
use paramedic::api::{ActionOutcome, DISABLED_ANNOTATION, Reason};

use crate::{
    alerts::Alert,
    gate::announcements,
    harness::{Cause, Entry, story, twins},
    policies::Policy,
    story::Story,
    wait::{WATCHED, throughout},
    workloads::PodRef,
};

pub fn stories() -> Vec<Entry> {
    let mut entries = Vec::new();
    entries.extend(twins("consent::a_namespace_opted_out", an_opted_out_namespace));
    entries.extend(twins("consent::a_workload_opted_out", an_opted_out_workload));
    entries.extend(twins("consent::a_pod_opted_out", an_opted_out_pod));
    entries.extend(twins("consent::a_pause", a_pause));
    entries.extend(twins("consent::a_pause_in_the_last_moment", a_pause_in_the_last_moment).map(Entry::on_the_rig));
    entries.push(story("consent::a_pause_that_expires_lets_go", a_pause_that_expires));
    entries.push(story("consent::a_pause_that_has_expired_is_none", a_pause_that_has_expired));
    entries.extend(twins("consent::a_dry_run", a_dry_run));
    entries.extend(twins("consent::a_disabled_policy", a_disabled_policy));
    entries.push(story("consent::a_silence_holds_it_back_until_it_ends", a_silence).with_alertmanager().only_in_full());
    entries
}

/// What all twins do in the end: the pod of the alert is evicted, and no other.
async fn acts(story: &Story, alert: &Alert, policy: &Policy, pod: &PodRef) {
    story.record(alert, policy).acts().await;
    story.expect_only_ended(&[pod]).await;
}

/// `true` opts out, `false` does not.
fn value(cause: Cause) -> &'static str {
    if cause.is_present() { "true" } else { "false" }
}

async fn opted_out(story: &Story, cause: Cause, pod: &PodRef) {
    let policy = story.policy("OptedOut").up().await;
    let alert = story.alert("OptedOut").about(pod).fire().await;
    if cause.is_present() {
        story.record(&alert, &policy).is_skipped_for(Reason::OptedOut).await;
        story.expect_untouched().await;
    } else {
        acts(story, &alert, &policy, pod).await;
    }
}

async fn an_opted_out_namespace(story: Story, cause: Cause) {
    story.annotate_namespace(DISABLED_ANNOTATION, value(cause)).await;
    let pod = story.deployment("web").up().await.pod().await;
    opted_out(&story, cause, &pod).await;
}

async fn an_opted_out_workload(story: Story, cause: Cause) {
    let pod = story.deployment("web").annotated(DISABLED_ANNOTATION, value(cause)).up().await.pod().await;
    opted_out(&story, cause, &pod).await;
}

async fn an_opted_out_pod(story: Story, cause: Cause) {
    let pod = story.deployment("web").up().await.pod().await;
    story.annotate_pod(&pod, DISABLED_ANNOTATION, value(cause)).await;
    opted_out(&story, cause, &pod).await;
}

/// While it is there nothing is done; without it, or once it is deleted, the same alert is answered.
async fn a_pause(story: Story, cause: Cause) {
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("Paused").up().await;
    if cause.is_present() {
        story.pause("hands-off", None);
    }
    let alert = story.alert("Paused").about(&pod).fire().await;
    if cause.is_present() {
        story.record(&alert, &policy).waits_for(Reason::Paused).await;
        story.expect_untouched().await;
        story.unpause("hands-off").await;
    }
    acts(&story, &alert, &policy, &pod).await;
}

/// Somebody pauses while what is about to be done is being written down: it is not done, and the record says so. Its twin
/// is held up for as long, and nobody pauses.
async fn a_pause_in_the_last_moment(story: Story, cause: Cause) {
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("PausedLate").up().await;
    let mut gate = story.hold(announcements).await;
    let alert = story.alert("PausedLate").about(&pod).fire().await;
    let held = gate.held().await;
    if cause.is_present() {
        story.pause("just-in-time", None);
    }
    gate.open();
    held.release();
    if cause.is_present() {
        let record = story.record(&alert, &policy).waits_for(Reason::Paused).await;
        let journal = record.status.map(|status| status.journal).unwrap_or_default();
        let outcomes: Vec<ActionOutcome> = journal.iter().map(|entry| entry.outcome).collect();
        assert_eq!(outcomes, [ActionOutcome::NotDone], "it was announced, and it was not done");
        story.expect_untouched().await;
        story.unpause("just-in-time").await;
        alert.resolve().await;
        story.record(&alert, &policy).is_skipped_for(Reason::AlertCleared).await;
        story.expect_untouched().await;
        return;
    }
    acts(&story, &alert, &policy, &pod).await;
}

async fn a_pause_that_expires(story: Story) {
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("PausedForAWhile").up().await;
    let expires = Timestamp::now() + Duration::from_secs(10);
    story.pause("a-while", Some(expires));
    let alert = story.alert("PausedForAWhile").about(&pod).fire().await;
    story.record(&alert, &policy).waits_for(Reason::Paused).await;
    let record = story.record(&alert, &policy).acts().await;
    let began = record.status.expect("it has acted").journal[0].started_at;
    assert!(began >= expires, "it acted at {began}, before the pause expired at {expires}");
    story.expect_only_ended(&[&pod]).await;
}

async fn a_pause_that_has_expired(story: Story) {
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("PausedOnce").up().await;
    story.pause("long-ago", Some(Timestamp::now() - Duration::from_mins(1)));
    let alert = story.alert("PausedOnce").about(&pod).fire().await;
    acts(&story, &alert, &policy, &pod).await;
}

/// It says what it would do, and in the end that it was not needed; its twin does it.
async fn a_dry_run(story: Story, cause: Cause) {
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("DryRunning").mode(if cause.is_present() { "DryRun" } else { "Enforce" }).up().await;
    let alert = story.alert("DryRunning").about(&pod).fire().await;
    if !cause.is_present() {
        return acts(&story, &alert, &policy, &pod).await;
    }
    let record = story.record(&alert, &policy).observes().await;
    let plan = record.status.and_then(|status| status.plan).unwrap_or_default();
    assert!(plan.contains(&pod.name), "the plan names the pod: {plan}");
    story.expect_untouched().await;
    alert.resolve().await;
    let record = story.record(&alert, &policy).ends_as_dry_run().await;
    let status = record.status.expect("it has ended");
    assert!(status.cleared_after.is_some(), "it says how long the alert took to clear: {status:?}");
    story.expect_untouched().await;
}

/// A second policy, a witness that only looks on, proves that the alert has arrived.
async fn a_disabled_policy(story: Story, cause: Cause) {
    let pod = story.deployment("web").up().await.pod().await;
    let mode = if cause.is_present() { "Disabled" } else { "Enforce" };
    let policy = story.policy("SwitchedOff").mode(mode).up().await;
    let witness = story.policy("SwitchedOff").named("witness").mode("DryRun").up().await;
    let alert = story.alert("SwitchedOff").about(&pod).fire().await;
    story.record(&alert, &witness).written().await;
    if !cause.is_present() {
        return acts(&story, &alert, &policy, &pod).await;
    }
    throughout(WATCHED, "the disabled policy has no record", || async {
        let all = story.record(&alert, &policy).all().await?;
        if all.is_empty() { Ok(()) } else { Err(format!("{} records", all.len())) }
    })
    .await;
    story.expect_untouched().await;
}

/// A silence that comes after the webhook: Alertmanager then says `suppressed`.
async fn a_silence(story: Story) {
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("Silenced").up().await;
    let alertmanager = story.world.alertmanager.as_ref().expect("the rig has an Alertmanager");
    story.pause("until-it-is-silenced", None);
    let alert = story.alert("Silenced").about(&pod).fire().await;
    story.record(&alert, &policy).waits_for(Reason::Paused).await;
    let silence = alertmanager.silence(&story.namespace).await;
    story.unpause("until-it-is-silenced").await;
    story.record(&alert, &policy).waits_for(Reason::AlertSuppressed).await;
    story.expect_untouched().await;
    alertmanager.unsilence(&silence).await;
    acts(&story, &alert, &policy, &pod).await;
}
