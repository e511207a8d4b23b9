//! Without an API server nothing is acknowledged, and nothing is lost; a leader that is asked to go hands over.

use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::DeleteParams};

use crate::{
    harness::{Entry, story},
    pods::PodLog,
    story::{Story, seconds},
    wait::until,
    world::PARAMEDIC,
};

use super::crashes::leading_replica;

pub fn stories() -> Vec<Entry> {
    vec![
        story("outage::without_the_api_server_nothing_is_acknowledged_or_lost", no_api_server).on_the_rig().alone(),
        story("outage::an_api_server_that_hangs_is_no_reason_to_hang", hanging_api_server).on_the_rig().alone(),
        story("outage::a_leader_that_is_told_to_go_hands_over", sigterm).alone(),
    ]
}

/// A body is answered within the intake's deadline of 5 s; the rest is for a busy machine.
const DEADLINE_MILLIS: u128 = 6500;

async fn no_api_server(story: Story) {
    let web = story.deployment("web").up().await;
    let pod = web.pod().await;
    let policy = story.policy("Outage").up().await;
    let replicas = story.world.replicas().await;

    let alert = {
        let _stopped = story.world.rig().stop_apiserver();
        let alert = story.alert("Outage").about(&pod).untold();
        for replica in &replicas {
            let answer = alert.deliver(replica, &story.world.token).await.expect("a replica answers");
            assert_eq!(answer.status, 503, "{}: {answer:?}", replica.name);
            let after: u64 = answer.retry_after.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default();
            assert!(after > 0, "Retry-After says when: {answer:?}");
            let took = answer.took.as_millis();
            assert!(took < DEADLINE_MILLIS, "{}: it took {took} ms", replica.name);
            story.figure(format!("503 after {took} ms"));
        }
        for replica in &replicas {
            until(seconds(30), "it says that it is not ready", || async {
                let answer = replica.get("/readyz").await?;
                if answer.status == 503 { Ok(()) } else { Err(format!("{answer:?}")) }
            })
            .await;
            let alive = replica.get("/healthz").await.expect("a replica answers");
            assert_eq!(alive.status, 200, "a restart would not help against that: {alive:?}");
        }
        // Alertmanager calls, is put off, and calls again.
        alert.fire().await;
        alert
    };
    let back = Instant::now();
    let record = story.record(&alert, &policy).patiently(seconds(120)).written().await;
    story.figure(format!("API server back→record {:.1} s", back.elapsed().as_secs_f64()));
    assert!(record.spec.alert.labels.get("pod").is_some());
    story.record(&alert, &policy).patiently(seconds(90)).acts().await;
    story.expect_only_ended(&[&pod]).await;
    story.world.replicas().await;
    for replica in &replicas {
        until(seconds(30), "it is ready again", || async {
            let answer = replica.get("/readyz").await?;
            if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
    }
}

/// Worse than one that is not there: whoever waits for it without a limit takes Alertmanager's whole window.
async fn hanging_api_server(story: Story) {
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("Hanging").up().await;
    let replicas = story.world.replicas().await;
    let alert = {
        let _paused = story.world.rig().pause_apiserver();
        let alert = story.alert("Hanging").about(&pod).untold();
        for replica in &replicas {
            let answer = alert.deliver(replica, &story.world.token).await.expect("a replica answers");
            assert_eq!(answer.status, 503, "{}: {answer:?}", replica.name);
            assert!(answer.retry_after.is_some(), "Retry-After says when: {answer:?}");
            let took = answer.took.as_millis();
            assert!(took < DEADLINE_MILLIS, "{}: it took {took} ms", replica.name);
            story.figure(format!("503 after {took} ms"));
            let alive = replica.get("/healthz").await.expect("a replica answers");
            assert_eq!(alive.status, 200, "{alive:?}");
        }
        alert.fire().await;
        alert
    };
    story.record(&alert, &policy).patiently(seconds(120)).acts().await;
    story.expect_only_ended(&[&pod]).await;
    let all = story.record(&alert, &policy).all().await.expect("records can be read");
    assert_eq!(all.len(), 1, "one episode has one record");
    story.world.replicas().await;
}

async fn sigterm(story: Story) {
    let pod = story.deployment("web").up().await.pod().await;
    let policy = story.policy("HandOver").up().await;
    let leader = leading_replica(&story).await;
    let paramedics = PodLog::watch(story.world.api(PARAMEDIC));
    let logs = story.world.logs(None).await;
    super::access::keep(&logs);

    let api: Api<Pod> = story.world.api(PARAMEDIC);
    api.delete(&leader.name, &DeleteParams::default()).await.expect("the leader can be deleted");
    let asked = Instant::now();
    let alert = story.alert("HandOver").about(&pod).fire().await;
    let next = until(seconds(20), "another replica leads", || async {
        let holder = story.world.leader().await?;
        if holder == leader.name { Err(format!("{holder} still does")) } else { Ok(holder) }
    })
    .await;
    let took = asked.elapsed();
    story.figure(format!("SIGTERM→{} {:.1} s", "next leader", took.as_secs_f64()));
    // The lease lasts 6 s, an action's time-out 4 s: who waits for those was not handed over to.
    assert!(took < seconds(6), "{next} led only after {} ms: the lease was not released", took.as_millis());

    story.record(&alert, &policy).acts().await;
    story.expect_only_ended(&[&pod]).await;
    let gone = until(seconds(60), "the old leader's process has ended", || async {
        let seen = paramedics.get(&leader.uid).ok_or("it was not seen")?;
        if seen.exit_codes.is_empty() { Err(format!("{seen:?}")) } else { Ok(seen) }
    })
    .await;
    story.figure(format!("SIGTERM→exit < {:.1} s", asked.elapsed().as_secs_f64()));
    assert_eq!(gone.exit_codes, [0], "it drained and ended by itself");
    paramedics.stop();
    story.world.replicas().await;
}
