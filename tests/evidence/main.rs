//! What is believed of an alert, told over a whole replica: webhook, polls, leader and actions on the simulated cluster, with
//! played Alertmanagers and a played Prometheus, under a clock that stands still unless all wait.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what does not go as it should fails the story")]

mod house;

use std::time::Duration;

use paramedic::{
    alert::{RAISED_BY_LABEL, RAISED_BY_PARAMEDIC},
    api::{Phase, Reason},
};
use serde_json::json;

use house::{House, Told};

const MINUTE: Duration = Duration::from_mins(1);

// ---- polling

#[tokio::test(start_paused = true)]
async fn an_alert_whose_webhook_was_lost_is_found_by_two_polls_and_answered() {
    let house = House::new(|_| {}).await;
    let pod = house.falls_ill();
    house.passes(Duration::from_secs(25)).await;
    assert_eq!(house.records().len(), 0, "one poll is none");
    let record = house.one_record_in(Phase::Succeeded, MINUTE * 4).await;
    assert_eq!(record.spec.source, "prod", "it counts as delivered by whom the Alertmanager stands for");
    assert_eq!(record.status.unwrap().conditions[0].status, "True");
    assert_eq!(house.ended(), [pod], "two peers were read, and it was answered once");
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_of_what_a_webhook_would_not_have_told() {
    let muted = |told: &mut Told| told.muted = true;
    let silenced = |told: &mut Told| told.state = "suppressed";
    let others = |told: &mut Told| told.receiver = "somebody-else";
    let old = |told: &mut Told| told.version = "0.27.0";
    let own = |told: &mut Told| told.labels.push((RAISED_BY_LABEL.to_owned(), RAISED_BY_PARAMEDIC.to_owned()));
    for (what, change) in [
        ("muted by a time interval", &muted as &dyn Fn(&mut Told)),
        ("silenced", &silenced),
        ("of another receiver", &others),
        ("of an Alertmanager that does not tell what is muted", &old),
        ("raised by Paramedic itself", &own),
    ] {
        let house = House::new(change).await;
        house.falls_ill();
        house.passes(MINUTE * 5).await;
        assert_eq!(house.records().len(), 0, "{what}");
        assert_eq!(house.ended().len(), 0, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_left_alerts_out_makes_it_look_at_once() {
    let house = House::new(|told| told.poll_interval = MINUTE * 60).await;
    house.passes(MINUTE * 5).await;
    house.falls_ill();
    house.passes(MINUTE * 5).await;
    assert_eq!(house.records().len(), 0, "the next poll is in an hour");
    house.webhook(&json!({ "receiver": "paramedic", "truncatedAlerts": 7, "alerts": [] })).await;
    house.passes(Duration::from_secs(45)).await;
    assert_eq!(house.records().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_nothing_helps_is_not_repeated_by_polls() {
    let house = House::new(|told| told.incurable = true).await;
    house.falls_ill();
    house.one_record_in(Phase::Failed, MINUTE * 10).await;
    house.passes(MINUTE * 60).await;
    let record = house.one_record_in(Phase::Failed, MINUTE).await;
    let status = record.status.unwrap();
    assert_eq!(status.reason, Some(Reason::NotHelped), "{:?}", status.message);
    assert_eq!(status.journal.len(), 1, "that it fires on is for its repeat_interval to say");
    house.webhook_of_what_fires().await;
    house.passes(MINUTE).await;
    assert_eq!(house.records().len(), 2, "and then it is");
}

// ---- who says that it is over

#[tokio::test(start_paused = true)]
async fn a_peer_that_was_started_anew_is_not_taken_for_a_success() {
    for restarted in [false, true] {
        let house = House::new(|told| told.resend_interval = MINUTE * 4).await;
        house.falls_ill();
        house.one_record_in(Phase::Verifying, MINUTE * 2).await;
        if restarted {
            house.restarts_a_peer();
        }
        house.passes(MINUTE * 2).await;
        let phase = house.phase();
        assert_eq!(phase, if restarted { Phase::Verifying } else { Phase::Succeeded });
        let record = house.one_record_in(Phase::Succeeded, MINUTE * 4).await;
        assert_eq!(record.status.unwrap().conditions[0].status, "True");
    }
}

#[tokio::test(start_paused = true)]
async fn a_healthy_evaluation_stands_in_for_a_peer_that_is_down() {
    for evaluated in [true, false] {
        let house = House::new(|told| told.has_prometheus = evaluated).await;
        house.falls_ill();
        house.one_record_in(Phase::Verifying, MINUTE * 2).await;
        house.stops_a_peer();
        let end = if evaluated { Phase::Succeeded } else { Phase::Failed };
        let record = house.one_record_in(end, MINUTE * 9).await;
        let reason = record.status.unwrap().reason;
        assert_eq!(reason, Some(if evaluated { Reason::Verified } else { Reason::Unverified }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_cannot_be_evaluated_proves_nothing() {
    let house = House::new(|told| {
        told.has_prometheus = true;
        told.rule_health = "err";
    })
    .await;
    house.falls_ill();
    house.one_record_in(Phase::Verifying, MINUTE * 2).await;
    house.stops_a_peer();
    let record = house.one_record_in(Phase::Failed, MINUTE * 9).await;
    let status = record.status.unwrap();
    assert_eq!(status.reason, Some(Reason::Unverified));
    assert!(
        status.message.as_deref().unwrap_or_default().contains("could not evaluate the rule"),
        "{:?}",
        status.message
    );
}

#[tokio::test(start_paused = true)]
async fn the_rules_own_for_lengthens_the_verification() {
    for (pending_for, phase) in [(0, Phase::Succeeded), (150, Phase::Verifying)] {
        let house = House::new(|told| {
            told.has_prometheus = true;
            told.pending_for = pending_for;
        })
        .await;
        house.falls_ill();
        house.one_record_in(Phase::Verifying, MINUTE * 2).await;
        house.passes(MINUTE * 2).await;
        assert_eq!(house.phase(), phase, "stableFor is a minute, the rule's for {pending_for} s");
        house.one_record_in(Phase::Succeeded, MINUTE * 3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_steps_query_has_to_hold_too() {
    for (values, end, reason) in [
        (Some(vec!["1"]), Phase::Succeeded, Reason::Verified),
        (Some(vec!["0"]), Phase::Failed, Reason::NotHelped),
        (Some(vec![]), Phase::Failed, Reason::Unverified),
        (None, Phase::Failed, Reason::Unverified),
    ] {
        let house = House::new(|told| {
            told.has_prometheus = true;
            told.query = Some("sum(up{namespace=\"{{ $labels.namespace }}\"}) >= bool 3".to_owned());
            told.query_gives.clone_from(&values);
        })
        .await;
        house.falls_ill();
        let record = house.one_record_in(end, MINUTE * 10).await;
        assert_eq!(record.status.unwrap().reason, Some(reason), "{values:?}");
        assert_eq!(house.asked(), "sum(up{namespace=\"shop\"}) >= bool 3");
    }
}
