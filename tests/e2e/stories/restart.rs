//! How a pod is ended: by eviction or by deletion, with a grace period, and never another pod than the one meant.

use paramedic::api::ActionOutcome;
use serde_json::json;

use crate::{
    gate::{deletions, evictions},
    harness::{Entry, story},
    policies::verified_quickly,
    story::Story,
    wait::{PATIENCE, until},
};

pub fn stories() -> Vec<Entry> {
    vec![
        story("restart::a_deletion_with_a_grace_period", |story| grace_period(story, "Delete")),
        story("restart::an_eviction_with_a_grace_period", |story| grace_period(story, "Evict")),
        story("restart::a_deletion_names_the_uid", |story| names_the_uid(story, "Delete")).on_the_rig(),
        story("restart::an_eviction_names_the_uid", |story| names_the_uid(story, "Evict")).on_the_rig(),
        story("restart::a_pod_that_was_replaced_meanwhile_is_left_alone", replaced_meanwhile).on_the_rig(),
    ]
}

/// The pods do not heed SIGTERM and would be given 60 s.
async fn grace_period(story: Story, method: &'static str) {
    let pod = story.deployment("web").deaf_for(60).up().await.pod().await;
    let step = json!({"restartPod": {"method": method, "gracePeriod": "3s"}, "verify": verified_quickly()});
    let policy = story.policy("Deaf").steps(json!([step])).up().await;
    let alert = story.alert("Deaf").about(&pod).fire().await;
    story.record(&alert, &policy).acts().await;
    story.expect_only_ended(&[&pod]).await;
    let seen = story.pods.get(&pod.uid).and_then(|pod| pod.grace_seconds);
    assert_eq!(seen, Some(3), "the grace period of the policy");
    if let Some(audit) = &story.world.audit {
        let asked = audit.pods_ended(&story.namespace);
        let verb = if method == "Delete" { "delete" } else { "create" };
        assert!(asked.iter().all(|asked| asked.verb == verb), "by {method}: {asked:?}");
    }
    alert.resolve().await;
    story.record(&alert, &policy).succeeds().await;
}

async fn names_the_uid(story: Story, method: &'static str) {
    let pod = story.deployment("web").up().await.pod().await;
    let step = json!({"restartPod": {"method": method, "gracePeriod": "1s"}, "verify": verified_quickly()});
    let policy = story.policy("Precise").steps(json!([step])).up().await;
    let mut gate = story.hold(if method == "Delete" { deletions } else { evictions }).await;
    let alert = story.alert("Precise").about(&pod).fire().await;
    let held = gate.held().await;
    let options = if method == "Delete" { "/options" } else { "/object/deleteOptions" };
    let precondition = held.request.pointer(options).and_then(|options| options.pointer("/preconditions/uid")).cloned();
    assert_eq!(precondition, Some(json!(pod.uid)), "{:#}", held.request);
    gate.open();
    held.release();
    story.record(&alert, &policy).acts().await;
    story.expect_only_ended(&[&pod]).await;
}

/// While the deletion of `db-0` is held, somebody else replaces `db-0`: the new pod of that name is another one.
async fn replaced_meanwhile(story: Story) {
    let db = story.stateful_set("db").replicas(2).up().await;
    let pod = db.pod().await;
    let step = json!({"restartPod": {"method": "Delete"}, "verify": verified_quickly()});
    let policy = story.policy("Replaced").steps(json!([step])).up().await;
    let mut gate = story
        .hold(|request| deletions(request) && request["userInfo"]["username"] == crate::world::SERVICE_ACCOUNT_USER)
        .await;
    let alert = story.alert("Replaced").about(&pod).fire().await;
    let held = gate.held().await;
    let force = ["-n", &story.namespace, "delete", "pod", &pod.name, "--grace-period=0", "--force", "--wait=false"];
    story.world.kubectl(&force).expect("the pod can be replaced");
    let new = until(PATIENCE, "the pod is replaced", || async {
        let new = db.pod().await;
        if new.uid == pod.uid { Err("it is still the old one".to_owned()) } else { Ok(new) }
    })
    .await;
    alert.resolve().await;
    gate.open();
    held.release();
    let record = story.record(&alert, &policy).ends().await;
    let done = record.status.iter().flat_map(|status| &status.journal);
    let second = done.filter(|entry| entry.outcome == ActionOutcome::Done && entry.target.uid == new.uid).count();
    assert_eq!(second, 0, "the new pod was not meant: {:?}", record.status);
    let ended = story.pods.ended();
    assert!(ended.contains(&pod.uid) && !ended.contains(&new.uid), "the new pod was left alone: {ended:?}");
}
