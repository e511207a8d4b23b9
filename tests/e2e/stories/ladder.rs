//! The ladder: what is tried next where a step did not help, and what is remembered of it.

use paramedic::api::{Phase, Reason};
use serde_json::{Value, json};

use crate::{
    harness::{Entry, story},
    policies::verified_quickly,
    story::{Story, seconds},
    wait::{PATIENCE, until},
    workloads::Workload,
};

pub fn stories() -> Vec<Entry> {
    vec![
        story("ladder::a_restart_that_does_not_help_is_followed_by_a_rollout", the_second_step_helps)
            .with_alertmanager(),
        story("ladder::a_restart_that_helps_is_not_followed", the_first_step_helps),
        story("ladder::where_nothing_helps_it_fails_and_says_so", nothing_helps).with_alertmanager(),
        story("ladder::where_nothing_helps_people_are_told_through_alertmanager_until_it_is_over", people_are_told)
            .with_alertmanager(),
        story("ladder::a_pod_on_its_way_out_is_no_success", on_its_way_out),
        story("ladder::a_rollout_restart_of_a_deployment", a_rollout_alone),
        story("ladder::trouble_that_comes_back_starts_at_the_next_step", memory).only_in_full(),
    ]
}

/// Two steps that are given up after a few seconds.
fn two_steps() -> Value {
    let verify = json!({"within": "12s", "stableFor": "2s"});
    json!([{"restartPod": {}, "verify": verify}, {"rolloutRestart": {}, "verify": {"within": "90s", "stableFor": "2s"}}])
}

/// A pod of a `StatefulSet` comes back under its old name, so its alert still names a living pod.
async fn ill(story: &Story) -> Workload {
    story.stateful_set("db").replicas(3).up().await
}

async fn the_second_step_helps(story: Story) {
    let db = ill(&story).await;
    let pod = db.pod().await;
    let policy = story.policy("StillIll").steps(two_steps()).up().await;
    let alert = story.alert("StillIll").about(&pod).fire().await;
    story.record(&alert, &policy).acts().await;
    let record = story.record(&alert, &policy).patiently(seconds(90)).acts_times(2).await;
    let journal = record.status.expect("it has acted").journal;
    let actions: Vec<_> = journal.iter().map(|entry| (entry.step, entry.action.as_str())).collect();
    assert_eq!(actions, [(0, "restartPod"), (1, "rolloutRestart")]);
    let waited = journal[1].started_at.duration_since(journal[0].started_at).as_secs();
    assert!(waited >= 10, "the first step had its time: {waited} s");
    assert!(db.restarted_at().await.is_some(), "the StatefulSet was restarted");
    alert.resolve().await;
    story.record(&alert, &policy).patiently(seconds(120)).succeeds().await;
}

async fn the_first_step_helps(story: Story) {
    let db = ill(&story).await;
    let pod = db.pod().await;
    let policy = story.policy("SoonWell").steps(two_steps()).up().await;
    let alert = story.alert("SoonWell").about(&pod).fire().await;
    story.record(&alert, &policy).acts().await;
    alert.resolve().await;
    story.record(&alert, &policy).succeeds().await;
    story.expect_only_ended(&[&pod]).await;
    assert!(db.restarted_at().await.is_none(), "no second step was taken");
}

async fn nothing_helps(story: Story) {
    let pod = ill(&story).await.pod().await;
    let verify = json!({"within": "12s", "stableFor": "2s"});
    let steps = json!([{"restartPod": {}, "verify": verify}]);
    let policy = story.policy("Incurable").steps(steps).up().await;
    let alert = story.alert("Incurable").about(&pod).fire().await;
    story.record(&alert, &policy).fails_for(Reason::NotHelped).await;
    story.expect_only_ended(&[&pod]).await;
}

/// As [`nothing_helps`], with somebody to tell.
async fn people_are_told(story: Story) {
    let alertmanager = story.world.alertmanager.as_ref().expect("the rig has an Alertmanager");
    let pod = ill(&story).await.pod().await;
    let steps = json!([{"restartPod": {}, "verify": {"within": "12s", "stableFor": "2s"}}]);
    let on_failure = json!({"alert": {"severity": "page", "labels": {"team": "shop"}}});
    let policy = story.policy("Hopeless").steps(steps).on_failure(on_failure).up().await;
    let alert = story.alert("Hopeless").about(&pod).fire().await;
    let told = async || {
        let firing = alertmanager.firing_in(&story.namespace).await?;
        Ok::<_, String>(firing.into_iter().find(|alert| alert["labels"]["alertname"] == "ParamedicRemediationFailed"))
    };
    assert_eq!(told().await, Ok(None), "nobody is told before it failed");
    story.record(&alert, &policy).fails_for(Reason::NotHelped).await;
    let said = until(PATIENCE, "people are told", || async { told().await?.ok_or_else(|| "not yet".to_owned()) }).await;
    assert_eq!(said["labels"]["severity"], "page", "{said}");
    assert_eq!(said["labels"]["team"], "shop", "{said}");
    assert_eq!(said["labels"]["failed_alert"], "Hopeless", "{said}");
    alert.resolve().await;
    alertmanager.trusted().await;
    until(seconds(60), "people are told that it is over", || async {
        told().await?.map_or(Ok(()), |alert| Err(alert.to_string()))
    })
    .await;
}

/// The pod takes ten seconds to go, and as long its `StatefulSet` still counts it as ready. Longer than `stableFor`: a
/// verification that believes it would call the step a success before there is a new pod.
async fn on_its_way_out(story: Story) {
    let db = story.stateful_set("db").replicas(3).deaf_for(60).up().await;
    let pod = db.pod().await;
    let step = json!({"restartPod": {"gracePeriod": "10s"}, "verify": verified_quickly()});
    let policy = story.policy("SlowToGo").steps(json!([step])).up().await;
    let alert = story.alert("SlowToGo").about(&pod).fire().await;
    story.record(&alert, &policy).acts().await;
    alert.resolve().await;
    let status = story.record(&alert, &policy).succeeds().await.status.expect("it has succeeded");
    let acted = status.journal[0].ended_at.expect("the action is over");
    let took = status.ended_at.expect("it has ended").duration_since(acted).as_secs();
    assert!(took >= 10, "it succeeded after {took} s, while the pod was still there: {:?}", status.message);
    assert!(db.pod().await.uid != pod.uid, "there is a new pod");
    story.expect_only_ended(&[&pod]).await;
}

async fn a_rollout_alone(story: Story) {
    let web = story.deployment("web").replicas(3).up().await;
    let before = web.pods().await;
    let policy = story
        .policy("WholeDeployment")
        .target("Deployment")
        .steps(json!([{"rolloutRestart": {}, "verify": verified_quickly()}]))
        .up()
        .await;
    let alert = story.alert("WholeDeployment").about_workload(&web).fire().await;
    let record = story.record(&alert, &policy).acts().await;
    let entry = &record.status.expect("it has acted").journal[0];
    assert_eq!((entry.action.as_str(), entry.target.name.as_str()), ("rolloutRestart", "web"));
    until(PATIENCE, "every pod is replaced", || async {
        let pods = web.pods().await;
        let old = pods.iter().filter(|pod| before.iter().any(|other| other.uid == pod.uid)).count();
        if old == 0 { Ok(()) } else { Err(format!("{old} of {} are old", pods.len())) }
    })
    .await;
    let first = web.restarted_at().await;
    alert.resolve().await;
    story.record(&alert, &policy).succeeds().await;
    assert_eq!(web.restarted_at().await, first, "it was restarted once");
}

/// The replacement of the pod that was restarted falls ill too: that is a new alert, but the same trouble.
async fn memory(story: Story) {
    let web = story.deployment("web").replicas(3).up().await;
    let policy = story.policy("Recurring").steps(two_steps()).limit("cooldown", json!("1s")).up().await;
    let first = story.alert("Recurring").about(&web.pod().await).fire().await;
    story.record(&first, &policy).acts().await;
    first.resolve().await;
    story.record(&first, &policy).succeeds().await;

    let second = story.alert("Recurring").about(&web.pod().await).fire().await;
    let record = story.record(&second, &policy).acts().await;
    let status = record.status.expect("it has acted");
    let entry = &status.journal[0];
    assert_eq!((entry.step, entry.action.as_str()), (1, "rolloutRestart"), "{:?}", status.journal);
    assert!(matches!(status.phase, Phase::Verifying | Phase::Succeeded), "{status:?}");
}
