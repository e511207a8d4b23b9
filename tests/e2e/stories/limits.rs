//! Limits hold an action back, say so, and let go of it when their reason is gone. Each story has its twin.

use paramedic::api::{Phase, Reason};
use serde_json::json;

use crate::{
    harness::{Cause, Entry, story, twins},
    records::say,
    story::{Story, seconds},
    wait::throughout,
};

pub fn stories() -> Vec<Entry> {
    let mut entries = Vec::new();
    entries.extend(twins("limits::a_budget_at_its_limit", a_disruption_budget));
    entries.extend(twins("limits::a_cooldown", a_cooldown));
    entries.extend(twins("limits::a_single_replica_without_consent", a_single_replica));
    entries.extend(twins("limits::min_available", min_available));
    entries.extend(twins("limits::a_rate_used_up", a_rate));
    entries.extend(twins("limits::concurrency", concurrency));
    entries.extend(twins("limits::a_higher_priority", a_priority));
    entries.push(story("limits::two_policies_on_one_subject_take_turns", two_policies));
    entries
}

/// A PDB that allows no disruption; once it is relaxed, the eviction is made.
async fn a_disruption_budget(story: Story, cause: Cause) {
    let web = story.deployment("web").replicas(3).up().await;
    story.budget(&web, if cause.is_present() { 3 } else { 2 }).await;
    let pod = web.pod().await;
    let policy = story.policy("Budgeted").up().await;
    let alert = story.alert("Budgeted").about(&pod).fire().await;
    if cause.is_present() {
        story.record(&alert, &policy).waits_for(Reason::Disruption).await;
        story.expect_untouched().await;
        story.budget(&web, 2).await;
    }
    story.record(&alert, &policy).acts().await;
    story.expect_only_ended(&[&pod]).await;
}

/// Another pod of the same Deployment, right after the first one was repaired.
async fn a_cooldown(story: Story, cause: Cause) {
    let web = story.deployment("web").replicas(4).up().await;
    let cooldown = if cause.is_present() { "10m" } else { "1s" };
    let policy = story.policy("Repeated").limit("cooldown", json!(cooldown)).up().await;
    let (first, second) = web.two_pods().await;

    let alert = story.alert("Repeated").about(&first).fire().await;
    story.record(&alert, &policy).acts().await;
    alert.resolve().await;
    story.record(&alert, &policy).succeeds().await;

    let again = story.alert("Repeated").about(&second).fire().await;
    if cause.is_present() {
        let record = story.record(&again, &policy).waits_for(Reason::Cooldown).await;
        let until = record.status.and_then(|status| status.until);
        assert!(until.is_some(), "it says until when it waits");
        story.expect_only_ended(&[&first]).await;
    } else {
        story.record(&again, &policy).acts().await;
        story.expect_only_ended(&[&first, &second]).await;
    }
}

async fn a_single_replica(story: Story, cause: Cause) {
    let pod = story.deployment("web").replicas(1).up().await.pod().await;
    let policy = story.policy("Single").limit("allowSingleReplica", json!(!cause.is_present())).up().await;
    let alert = story.alert("Single").about(&pod).fire().await;
    if cause.is_present() {
        let record = story.record(&alert, &policy).waits_for(Reason::SingleReplica).await;
        let message = record.status.and_then(|status| status.message).unwrap_or_default();
        assert!(message.contains("allowSingleReplica"), "it says what would consent: {message}");
        story.expect_untouched().await;
    } else {
        story.record(&alert, &policy).acts().await;
        story.expect_only_ended(&[&pod]).await;
    }
}

async fn min_available(story: Story, cause: Cause) {
    let pod = story.deployment("web").replicas(3).up().await.pod().await;
    let least = if cause.is_present() { json!("67%") } else { json!("66%") };
    let policy = story.policy("Scarce").limit("minAvailable", least).up().await;
    let alert = story.alert("Scarce").about(&pod).fire().await;
    if cause.is_present() {
        // 67 % of 3 are rounded up to 3.
        story.record(&alert, &policy).waits_for(Reason::Availability).await;
        story.expect_untouched().await;
    } else {
        story.record(&alert, &policy).acts().await;
        story.expect_only_ended(&[&pod]).await;
    }
}

/// Two Deployments under one policy.
async fn a_rate(story: Story, cause: Cause) {
    let one = story.deployment("one").up().await.pod().await;
    let two = story.deployment("two").up().await.pod().await;
    let actions = if cause.is_present() { 1 } else { 2 };
    let rate = json!({"actions": actions, "per": "1h"});
    let policy = story.policy("Frequent").limit("rate", rate).limit("concurrency", json!(2)).up().await;

    let first = story.alert("Frequent").about(&one).fire().await;
    story.record(&first, &policy).acts().await;
    let second = story.alert("Frequent").about(&two).fire().await;
    if cause.is_present() {
        story.record(&second, &policy).waits_for(Reason::RateLimited).await;
        story.expect_only_ended(&[&one]).await;
    } else {
        story.record(&second, &policy).acts().await;
        story.expect_only_ended(&[&one, &two]).await;
    }
}

/// The second of two subjects waits until the first is verified; its twin does not.
async fn concurrency(story: Story, cause: Cause) {
    let one = story.deployment("one").up().await.pod().await;
    let two = story.deployment("two").up().await.pod().await;
    let at_once = if cause.is_present() { 1 } else { 2 };
    let policy = story
        .policy("Simultaneous")
        .steps(json!([{"restartPod": {}, "verify": {"within": "90s", "stableFor": "15s"}}]))
        .limit("concurrency", json!(at_once))
        .up()
        .await;

    let first = story.alert("Simultaneous").about(&one).fire().await;
    story.record(&first, &policy).acts().await;
    let second = story.alert("Simultaneous").about(&two).fire().await;
    if cause.is_present() {
        story.record(&second, &policy).waits_for(Reason::Concurrency).await;
        story.expect_only_ended(&[&one]).await;
        first.resolve().await;
        story.record(&first, &policy).succeeds().await;
    }
    let record = story.record(&second, &policy).acts().await;
    let began = record.status.expect("it has acted").journal[0].started_at;
    let other = story.record(&first, &policy).written().await.status.expect("it has acted");
    let overlap = other.ended_at.is_none_or(|ended| began < ended);
    assert_eq!(overlap, !cause.is_present(), "the second began at {began}; the first: {}", say(&other));
    story.expect_only_ended(&[&one, &two]).await;
}

/// Of two policies for one alert one cannot act. Where it is the higher one, the other one waits for it.
async fn a_priority(story: Story, cause: Cause) {
    let pod = story.deployment("web").replicas(3).up().await.pod().await;
    // A minimum that no eviction leaves: it waits until the alert is over.
    let stuck = if cause.is_present() { 10 } else { -10 };
    let stuck = story.policy("Ranked").named("stuck").priority(stuck).limit("minAvailable", json!("100%")).up().await;
    let free = story.policy("Ranked").named("free").up().await;
    let alert = story.alert("Ranked").about(&pod).fire().await;
    if cause.is_present() {
        let record = story.record(&alert, &free).waits_for(Reason::Outranked).await;
        assert_eq!(record.spec.outranked_by.len(), 1, "it names the one that comes first");
        story.record(&alert, &stuck).waits_for(Reason::Availability).await;
        story.expect_untouched().await;
    } else {
        story.record(&alert, &free).acts().await;
        story.expect_only_ended(&[&pod]).await;
    }
}

/// Both answer the alert: one acts, the other waits for it, and nothing is done twice.
async fn two_policies(story: Story) {
    let pod = story.deployment("web").replicas(3).up().await.pod().await;
    let one = story.policy("Shared").named("one").up().await;
    let other = story.policy("Shared").named("other").up().await;
    let alert = story.alert("Shared").about(&pod).fire().await;
    let (one, other) = (story.record(&alert, &one), story.record(&alert, &other));
    let (first, second) = (one.written().await, other.written().await);
    assert_ne!(first.metadata.name, second.metadata.name, "each policy has its own record");

    let running = |phase: Phase| matches!(phase, Phase::Acting | Phase::Verifying);
    let phase = |status: Option<paramedic::api::RemediationStatus>| status.unwrap_or_default().phase;
    throughout(seconds(8), "at most one of them runs", || async {
        let phases = [phase(one.written().await.status), phase(other.written().await.status)];
        if phases.iter().filter(|phase| running(**phase)).count() <= 1 { Ok(()) } else { Err(format!("{phases:?}")) }
    })
    .await;
    story.expect_only_ended(&[&pod]).await;
    alert.resolve().await;
    let (first, second) = (one.ends().await, other.ends().await);
    let ends = [phase(first.status), phase(second.status)];
    assert!(ends.contains(&Phase::Succeeded), "one of them helped: {ends:?}");
    assert!(ends.contains(&Phase::Skipped) || ends.contains(&Phase::Superseded), "the other did nothing: {ends:?}");
    story.expect_only_ended(&[&pod]).await;
}
