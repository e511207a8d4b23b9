//! One alert, however often and to whomever it is delivered, leads to one record and one action.

use futures::future::join_all;
use kube::{Api, api::ListParams};
use paramedic::api::Remediation;
use serde_json::json;

use crate::{
    harness::{Entry, story},
    records::alert_to_action,
    replicas::Answer,
    story::Story,
    wait::{PATIENCE, WATCHED, throughout, until},
};

pub fn stories() -> Vec<Entry> {
    vec![
        story("deliveries::fifty_of_one_alert_to_both_replicas_at_once_evict_once", fifty_deliveries),
        story("deliveries::a_group_of_alerts_gets_an_outcome_each", a_group),
        story("deliveries::only_a_source_may_post", only_a_source_may_post),
        story("deliveries::a_body_that_can_never_be_valid_is_refused_for_good", never_valid),
    ]
}

async fn fifty_deliveries(story: Story) {
    let web = story.deployment("web").replicas(3).up().await;
    let policy = story.policy("FiftyTimes").up().await;
    let pod = web.pod().await;
    let replicas = story.world.replicas().await;

    let alert = story.alert("FiftyTimes").about(&pod).fire().await;
    let posts = (0..50).flat_map(|_| replicas.iter().map(|replica| alert.deliver(replica, &story.world.token)));
    let answers: Vec<Answer> =
        join_all(posts).await.into_iter().map(|answer| answer.expect("a replica answers")).collect();

    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(refused.is_empty(), "{} of {} were not taken: {:?}", refused.len(), answers.len(), refused.first());
    let slowest = answers.iter().map(|answer| answer.took.as_millis()).max().unwrap_or_default();
    story.figure(format!("{} deliveries, the slowest {slowest} ms", answers.len()));

    story.expect_only_ended(&[&pod]).await;
    let record = story.record(&alert, &policy).acts().await;
    alert.resolve().await;
    story.record(&alert, &policy).succeeds().await;
    story.expect_only_ended(&[&pod]).await;
    let all = story.record(&alert, &policy).all().await.expect("records can be read");
    assert_eq!(all.len(), 1, "one episode has one record");
    if let Some(took) = alert_to_action(&story, &record) {
        story.figure(format!("alert→eviction {took} ms"));
    }
}

/// One that matches, one that names nothing, and one that nobody answers, in one body.
async fn a_group(story: Story) {
    let web = story.deployment("web").up().await;
    let policy = story.policy("Grouped").mode("DryRun").up().await;
    let pod = web.pod().await;
    let replicas = story.world.replicas().await;

    let good = story.alert("Grouped").about(&pod).fire().await;
    let nameless = story.alert("Grouped").fire().await;
    let unknown = story.alert("NobodyAnswersThis").about(&pod).untold();
    let mut body = good.body("firing");
    let alerts = [&good, &nameless, &unknown].map(|alert| alert.body("firing")["alerts"][0].clone());
    body["alerts"] = json!(alerts);
    let answer = replicas[0].webhook(Some(&story.world.token), &body).await.expect("a replica answers");

    assert_eq!(answer.status, 200, "{answer:?}");
    let outcomes = answer.body["alerts"].as_array().cloned().unwrap_or_default();
    assert_eq!(outcomes.len(), 3, "an outcome for each alert: {:#}", answer.body);
    story.record(&good, &policy).observes().await;
    let nowhere = story.record(&nameless, &policy).waits_for(paramedic::api::Reason::TargetUnresolved).await;
    assert!(nowhere.status.expect("it waits").journal.is_empty());
    let all = story.record_under(&policy).all().await.expect("records can be read");
    assert_eq!(all.len(), 2, "the alert that nobody answers has no record");
    story.expect_untouched().await;
}

async fn only_a_source_may_post(story: Story) {
    let web = story.deployment("web").up().await;
    let policy = story.policy("Unauthenticated").mode("DryRun").up().await;
    let alert = story.alert("Unauthenticated").about(&web.pod().await).untold();
    let replicas = story.world.replicas().await;
    let replica = &replicas[0];

    for token in [None, Some("wrong"), Some("")] {
        let answer = replica.webhook(token, &alert.body("firing")).await.expect("a replica answers");
        assert!(matches!(answer.status, 401 | 403), "with the token {token:?}: {answer:?}");
        assert!(!answer.body.to_string().contains(&story.world.token), "the answer does not tell the token");
    }
    throughout(WATCHED, "no record is written", || async {
        let all = story.record(&alert, &policy).all().await?;
        if all.is_empty() { Ok(()) } else { Err(format!("{} records", all.len())) }
    })
    .await;
    // Twin: the same body with the token.
    let answer = alert.deliver(replica, &story.world.token).await.expect("a replica answers");
    assert_eq!(answer.status, 200, "{answer:?}");
    story.record(&alert, &policy).written().await;
}

async fn never_valid(story: Story) {
    let replicas = story.world.replicas().await;
    for (what, body) in [("not an object", json!([1, 2])), ("alerts that are none", json!({"alerts": "none"}))] {
        let answer = replicas[0].webhook(Some(&story.world.token), &body).await.expect("a replica answers");
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
    }
    let api: Api<Remediation> = story.world.api(&story.namespace);
    until(PATIENCE, "no record", || async {
        let list = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        if list.items.is_empty() { Ok(()) } else { Err(format!("{} records", list.items.len())) }
    })
    .await;
}
