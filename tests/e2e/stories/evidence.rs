//! What is known of an alert beside what a webhook told: read from Alertmanager, and asked of Prometheus.

use crate::{
    harness::{Cause, Entry, story, twins},
    story::{Story, seconds},
    wait::throughout,
};

pub fn stories() -> Vec<Entry> {
    let lost = twins("evidence::a_version_that_does_not_tell_what_is_muted", a_lost_webhook);
    let mut entries: Vec<Entry> = lost.into_iter().map(|entry| entry.on_the_rig().alone().only_in_full()).collect();
    entries.push(story("evidence::a_steps_query_has_to_hold", a_query_that_holds).on_the_rig());
    entries
        .push(story("evidence::a_query_without_data_is_no_success", a_query_without_data).on_the_rig().only_in_full());
    entries
}

/// Alertmanager calls somebody who is not there. From Debian's, which is older than 0.28, nothing is read; from a newer one what
/// fires is.
async fn a_lost_webhook(story: Story, cause: Cause) {
    let rig = story.world.rig();
    let _newer = (!cause.is_present()).then(|| rig.newer_alertmanager());
    let _deaf = rig.deaf_alertmanager();
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("Unheard").up().await;
    let alert = story.alert("Unheard").about(&pod).fire().await;
    let record = story.record(&alert, &policy).patiently(seconds(150));
    if cause.is_present() {
        throughout(seconds(150), "nothing is read from an older Alertmanager", || async {
            let all = record.all().await?;
            if all.is_empty() { Ok(()) } else { Err(format!("{} records", all.len())) }
        })
        .await;
        story.expect_untouched().await;
        return;
    }
    record.acts().await;
    story.expect_only_ended(&[&pod]).await;
    assert_eq!(record.all().await.expect("records can be read").len(), 1, "two replicas read it, and made one record");
}

async fn a_query_that_holds(story: Story) {
    let record = story_with(&story, "vector(3) >= 3 and on() vector(1)").await;
    let message = record.status.and_then(|status| status.message).unwrap_or_default();
    assert!(message.contains("verify.query holds"), "{message}");
}

async fn story_with(story: &Story, query: &str) -> paramedic::api::Remediation {
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("Queried").steps(step(query)).up().await;
    let alert = story.alert("Queried").about(&pod).fire().await;
    story.record(&alert, &policy).acts().await;
    alert.resolve().await;
    story.record(&alert, &policy).patiently(seconds(90)).succeeds().await
}

/// The series has never been there: whether it helped cannot be told, though the alert is over.
async fn a_query_without_data(story: Story) {
    let pod = story.deployment("web").up().await.pod().await;
    let query = "nobody_has_this{pod=\"{{ $labels.pod }}\"} > 0";
    let policy = story.policy("QueriedInVain").steps(step(query)).up().await;
    let alert = story.alert("QueriedInVain").about(&pod).fire().await;
    story.record(&alert, &policy).acts().await;
    alert.resolve().await;
    let record = story.record(&alert, &policy).patiently(seconds(90));
    let unverified =
        |status: &paramedic::api::RemediationStatus| status.reason == Some(paramedic::api::Reason::Unverified);
    record.comes_to("is unverified", unverified).await;
}

fn step(query: &str) -> serde_json::Value {
    serde_json::json!([{ "restartPod": {}, "verify": { "within": "30s", "stableFor": "5s", "query": query } }])
}
