//! Ten thousand alerts in one body: they are answered in time, keep every limit, and leave the memory where it was.

use std::{collections::BTreeSet, time::Duration};

use futures::{
    future::join_all,
    stream::{self, StreamExt},
};
use jiff::Timestamp;
use kube::{Api, api::ListParams};
use paramedic::api::{Phase, Remediation};
use serde_json::{Value, json};

use crate::{
    harness::{Entry, story},
    replicas::{Answer, Replica},
    story::{Story, seconds},
    wait::throughout,
    workloads::PodRef,
};

const ALERTS: usize = 10_000;
const WORKLOADS: usize = 50;
/// So many such bodies to each replica.
const STORMS: usize = 10;
/// So many actions may the policy do in the hour.
const RATE: usize = 3;
/// The configuration's `requestDeadline`, which bounds the whole answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// The configuration's `engine.openPerPolicy`.
const OPEN_PER_POLICY: usize = 100;
/// How much more a replica may hold after many storms than after one: what its allocator keeps for the next one.
const GROWTH: u64 = 8 << 20;
/// How much it may hold at all.
const MOST: u64 = 64 << 20;

pub fn stories() -> Vec<Entry> {
    let ten_thousand = story("storm::ten_thousand_alerts_in_one_body", ten_thousand);
    // The source that may speak of that namespace alone is vouched for by no Alertmanager, which would not know of them.
    vec![ten_thousand.in_namespace("e2e-bound").on_the_rig().alone().only_in_full().within(seconds(900))]
}

async fn ten_thousand(story: Story) {
    let workloads = (0..WORKLOADS).map(|number| {
        let new = story.deployment(&format!("app-{number}")).replicas(1);
        async move { new.up().await.pod().await }
    });
    let pods: Vec<PodRef> = stream::iter(workloads).buffered(5).collect().await;
    let policy = story.policy("Storm").limit("rate", json!({"actions": RATE, "per": "1h"}));
    policy.limit("allowSingleReplica", json!(true)).up().await;
    let body = body(&story, &pods);
    let replicas = story.world.replicas().await;

    let calm = resident(&replicas).await;
    let mut slowest = post(&story, &replicas, &body).await;
    throughout(seconds(10), "every limit holds", || limits_hold(&story)).await;
    let after_one = resident(&replicas).await;
    for _ in 1..STORMS {
        slowest = slowest.max(post(&story, &replicas, &body).await);
    }
    // While the records are worked through.
    throughout(seconds(90), "every limit holds", || limits_hold(&story)).await;
    let after_all = resident(&replicas).await;

    let mebi = |all: &[u64]| all.iter().map(|bytes| (bytes >> 20).to_string()).collect::<Vec<_>>().join(" and ");
    let memory = format!("{} MiB, {} after one, {} after {STORMS}", mebi(&calm), mebi(&after_one), mebi(&after_all));
    story.figure(format!("the slowest answer {} ms", slowest.as_millis()));
    story.figure(format!("{} evictions", story.pods.ended().len()));
    story.figure(memory.clone());
    let grew = after_one.iter().zip(&after_all).any(|(before, after)| *after > before + GROWTH || *after > MOST);
    assert!(!grew, "{memory}");
}

/// As many actions as the rate allows, each on another pod; one at a time; and no more open records than there may be.
async fn limits_hold(story: &Story) -> Result<(), String> {
    let asked = story.world.audit.as_ref().expect("the rig has an audit log").pods_ended(&story.namespace);
    let (ended, targets) = (story.pods.ended(), asked.iter().map(|asked| &asked.name).collect::<BTreeSet<_>>());
    if asked.len() > RATE || ended.len() > RATE || targets.len() != asked.len() {
        return Err(format!("{} pods ended, asked for: {asked:?}", ended.len()));
    }
    let records: Api<Remediation> = story.world.api(&story.namespace);
    let records = records.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
    let phases: Vec<Phase> =
        records.iter().map(|record| record.status.as_ref().map(|status| status.phase).unwrap_or_default()).collect();
    let open = phases.iter().filter(|phase| !phase.is_terminal()).count();
    let running = phases.iter().filter(|phase| phase.is_running()).count();
    if open > OPEN_PER_POLICY || running > 1 {
        return Err(format!("{open} records are open, {running} run"));
    }
    Ok(())
}

/// As many series of one alert, about one pod of each workload in turn.
fn body(story: &Story, pods: &[PodRef]) -> Value {
    let now = Timestamp::now();
    let alerts = pods.iter().cycle().take(ALERTS).enumerate().map(|(number, pod)| {
        json!({
            "status": "firing", "startsAt": now, "endsAt": "0001-01-01T00:00:00Z", "annotations": {"summary": "a story"},
            "labels": {
                "alertname": "Storm", "namespace": story.namespace, "pod": pod.name, "container": "main",
                "severity": "critical", "series": number.to_string(),
            },
        })
    });
    json!({ "version": "4", "receiver": "paramedic", "status": "firing", "alerts": alerts.collect::<Vec<_>>() })
}

/// Posts it to both replicas at once; gives how long the slower one took.
async fn post(story: &Story, replicas: &[Replica], body: &Value) -> Duration {
    let posts = replicas.iter().map(|replica| replica.webhook(Some(&story.world.bound_token), body));
    let answers: Vec<Answer> = join_all(posts).await.into_iter().map(|answer| answer.expect("it answers")).collect();
    for answer in &answers {
        // What is over the cap of open records is to come again.
        assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        assert!(answer.took < DEADLINE + Duration::from_secs(1), "it took {:?}", answer.took);
        let outcomes = answer.body["outcomes"].as_object().expect("it says what came to what");
        let counted: u64 = outcomes.values().filter_map(Value::as_u64).sum();
        assert_eq!(counted, u64::try_from(ALERTS).expect("not so many"), "{outcomes:?}");
    }
    answers.iter().map(|answer| answer.took).max().unwrap_or_default()
}

/// What each replica holds.
async fn resident(replicas: &[Replica]) -> Vec<u64> {
    join_all(replicas.iter().map(Replica::resident)).await
}
