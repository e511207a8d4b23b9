//! `kill -9` of the leader at the two worst moments. The other replica finishes what it began, and nothing is done twice.

use std::time::Instant;

use paramedic::api::{ActionOutcome, Phase};

use crate::{
    gate::{Held, evictions, outcomes},
    harness::{Entry, story},
    replicas::Replica,
    rig::Rig,
    story::{Story, seconds},
    wait::{PATIENCE, until},
    world::PARAMEDIC,
};

pub fn stories() -> Vec<Entry> {
    vec![
        story("crashes::between_the_journal_and_the_eviction", before_the_eviction).on_the_rig().alone(),
        story("crashes::while_the_eviction_is_let_through", during_the_eviction).on_the_rig().alone().only_in_full(),
        story("crashes::between_the_eviction_and_its_outcome", before_the_outcome).on_the_rig().alone(),
    ]
}

async fn before_the_eviction(story: Story) {
    crash(story, evictions, Held::deny, Heard::Yes).await;
}

/// Whether the API server still carries it out after its client is gone is its own affair: either way it happens once.
async fn during_the_eviction(story: Story) {
    crash(story, evictions, Held::release, Heard::Perhaps).await;
}

async fn before_the_outcome(story: Story) {
    crash(story, outcomes, Held::deny, Heard::Yes).await;
}

/// Whether somebody was there to hear the answer to the eviction, by which the audit log counts it.
#[derive(Clone, Copy)]
enum Heard {
    Yes,
    Perhaps,
}

async fn crash(story: Story, at: fn(&serde_json::Value) -> bool, then: fn(Held), heard: Heard) {
    let web = story.deployment("web").replicas(3).up().await;
    let pod = web.pod().await;
    let policy = story.policy("Crashing").up().await;
    let leader = leading_replica(&story).await;
    let process = story.world.leading_process().await.expect("it leads");
    let mut gate = story.hold(at).await;

    let alert = story.alert("Crashing").about(&pod).fire().await;
    let held = gate.held().await;
    let user = &held.request["userInfo"]["username"];
    assert_eq!(user, crate::world::SERVICE_ACCOUNT_USER, "it is Paramedic's request that is held");
    let record = story.record(&alert, &policy).written().await;
    let journal = record.status.map(|status| status.journal).unwrap_or_default();
    let outcomes: Vec<ActionOutcome> = journal.iter().map(|entry| entry.outcome).collect();
    assert_eq!(outcomes, [ActionOutcome::Running], "the journal was written before, the outcome was not");

    Rig::kill_9(&leader.uid, PARAMEDIC);
    let killed = Instant::now();
    gate.open();
    then(held);

    let record = story.record(&alert, &policy).patiently(seconds(90)).acts().await;
    story.figure(format!("killed→outcome {:.1} s", killed.elapsed().as_secs_f64()));
    // The other replica, as a rule; the killed container's next process, where the kubelet is quicker. Both know nothing but
    // the records.
    let holder = story.world.leading_process().await.expect("somebody leads");
    assert_ne!(holder, process, "another process finishes it");
    let status = record.status.expect("it has acted");
    assert!(matches!(status.phase, Phase::Verifying | Phase::Succeeded), "{status:?}");
    alert.resolve().await;
    story.record(&alert, &policy).succeeds().await;
    match heard {
        Heard::Yes => story.expect_only_ended(&[&pod]).await,
        Heard::Perhaps => story.expect_only_ended_perhaps_unheard(&pod).await,
    }
    let records = story.record(&alert, &policy).all().await.expect("records can be read");
    assert_eq!(records.len(), 1, "one episode has one record");
    // The killed container starts again; the next story wants two replicas.
    story.world.replicas().await;
}

/// The replica that leads.
pub async fn leading_replica(story: &Story) -> Replica {
    until(PATIENCE, "one of the replicas leads", || async {
        let leader = story.world.leader().await?;
        let replicas = story.world.replicas().await;
        let names: Vec<String> = replicas.iter().map(|replica| replica.name.clone()).collect();
        replicas.into_iter().find(|replica| replica.name == leader).ok_or_else(|| format!("{leader}, not of {names:?}"))
    })
    .await
}
