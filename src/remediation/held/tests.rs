//! An open record in the leader's hands.

use std::sync::LazyLock;

use super::*;
use crate::{
    action::Outcome,
    api::CANCEL_ANNOTATION,
    clock::Clock,
    remediation::{Evidence, QueryNow, fixtures::*},
    target::Health,
};

const CLEAR: Evidence = Evidence::Clear { confirmed: true };

/// So many seconds after the test began, by the clock that nobody sets.
fn after(seconds: u64) -> Instant {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    *BEGAN + Duration::from_secs(seconds)
}

fn held(record: &RecordFixture) -> Held {
    Held::new(record.object(), after(0))
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_does_not_move_the_next_look() {
    let clock = Clock::driven(at(0));
    let mut held = held(&a_record());
    held.look_again(at(30), clock.now());
    let due = Instant::now() + Duration::from_secs(30);
    clock.set_skew(SignedDuration::from_hours(-3));
    assert_eq!(held.due, due);
    held.look_again(clock.now() + SignedDuration::from_secs(5), clock.now());
    assert_eq!(held.due, Instant::now() + Duration::from_secs(5));
    held.look_again(at(-HOUR * 4), clock.now());
    assert_eq!(held.due, Instant::now(), "what is past is due at once");
}

#[test]
fn good_time_is_unbroken_or_begins_anew() {
    let mut held = held(&a_record().verifying(0));
    let mut since = |healthy: bool, evidence: Evidence, now: i64| {
        let health = if healthy { Health::Healthy } else { Health::Unhealthy("2 of 3".to_owned()) };
        held.recovery(a_look(health, evidence), at(now)).good_since
    };
    assert_eq!(since(true, CLEAR, 10), Some(at(10)));
    assert_eq!(since(true, Evidence::Unasked, 20), Some(at(10)));
    assert_eq!(since(false, CLEAR, 30), None);
    assert_eq!(since(true, CLEAR, 40), Some(at(40)));
    for broken in
        [Evidence::Firing, Evidence::Suppressed("silenced".to_owned()), Evidence::Unknown("no answer".to_owned())]
    {
        assert_eq!(since(true, broken, 50), None);
        assert_eq!(since(true, CLEAR, 60), Some(at(60)));
    }
}

#[test]
fn a_query_that_does_not_hold_breaks_the_good_time() {
    let mut held = held(&a_record().verifying(0));
    let mut since = |query: QueryNow, now: i64| {
        let seen = Seen { query: Some(query), ..a_look(Health::Healthy, CLEAR) };
        held.recovery(seen, at(now)).good_since
    };
    assert_eq!(since(QueryNow::Holds, 10), Some(at(10)));
    assert_eq!(since(QueryNow::Holds, 20), Some(at(10)));
    for broken in [QueryNow::No("0 of 1".to_owned()), QueryNow::Unknown("no data".to_owned())] {
        assert_eq!(since(broken, 30), None);
        assert_eq!(since(QueryNow::Holds, 40), Some(at(40)));
    }
}

#[test]
fn what_a_rule_asks_for_is_kept_while_its_prometheus_does_not_answer() {
    let mut held = held(&a_record().verifying(0));
    let mut asked = |quiet_for: Option<i64>| {
        let quiet_for = quiet_for.map(SignedDuration::from_secs);
        let recovery = held.recovery(Seen { quiet_for, ..a_look(Health::Healthy, CLEAR) }, at(10));
        recovery.seen.quiet_for.map(|quiet| quiet.as_secs())
    };
    assert_eq!([asked(None), asked(Some(180)), asked(None), asked(Some(60))], [None, Some(180), Some(180), Some(60)]);
}

#[test]
fn only_a_newer_version_is_taken_in_and_makes_it_due() {
    let mut held = held(&a_record().version(20));
    held.due = after(100);
    held.merge(&a_record().version(9).waiting(Reason::Paused, 0).object(), after(50));
    assert_eq!((held.phase(), held.due), (Phase::Pending, after(100)));
    held.merge(&a_record().version(21).waiting(Reason::Paused, 0).object(), after(50));
    assert_eq!((held.phase(), held.due), (Phase::Waiting, after(50)));
}

#[test]
fn only_waits_for_others_are_ended_by_others() {
    for (reason, expected) in
        [(Reason::SubjectLocked, true), (Reason::Concurrency, true), (Reason::Cooldown, false), (Reason::Paused, false)]
    {
        assert_eq!(held(&a_record().waiting(reason, 0)).waits_for_room(), expected, "{reason:?}");
    }
    assert!(!held(&a_record()).waits_for_room());
}

#[test]
fn another_record_speaks_against_a_recovery_where_its_alert_is_newer_about_the_same_subject_and_not_over() {
    let newer = || a_record().about("cart-4").alert_began(101).waiting(Reason::SubjectLocked, 102);
    let known = |mut record: RecordFixture| {
        record.status.subject = Some(deployment("cart"));
        record
    };
    let policy = a_record().spec.policy.uid;
    let speaks = |record: RecordFixture| held(&record).speaks_against(&policy, "uid-cart", at(100));
    assert!(speaks(known(newer())));
    assert!(speaks(known(newer().last_seen(110))));
    assert!(!speaks(known(newer().resolved_at(110))), "it is over");
    assert!(!speaks(known(newer().alert_began(100))), "it is older than the action");
    assert!(!speaks(newer()), "its subject is not known");
    let mut elsewhere = newer();
    elsewhere.status.subject = Some(deployment("till"));
    assert!(!speaks(elsewhere));
    assert!(!held(&known(newer())).speaks_against("uid-another", "uid-cart", at(100)));
}

#[test]
fn a_cancel_is_read_from_its_annotation_and_admission_is_in_the_order_of_creation() {
    let mut record = a_record().object();
    assert_eq!(held(&a_record()).cancel(), None);
    record.metadata.annotations = Some([(CANCEL_ANNOTATION.to_owned(), "wrong pod".to_owned())].into());
    assert_eq!(Held::new(record.clone(), after(0)).cancel(), Some("wrong pod"));

    let mut younger = a_record().named("a").object();
    younger.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1)));
    let (older, younger) = (held(&a_record().named("b")), Held::new(younger, after(0)));
    assert!(older.order() < younger.order());
    assert!(held(&a_record().named("a")).order() < older.order(), "by name where they are of one second");
    let mut urgent = younger.clone();
    urgent.record.spec.priority = 1;
    assert!(urgent.order() < older.order(), "priority before age");
}

#[test]
fn a_file_may_be_out_of_sight_for_longer_than_a_resource() {
    let file = a_policy("restart-cart").build_as_file();
    assert_eq!(unseen_grace(&file.reference.uid), SignedDuration::from_mins(5));
    assert_eq!(unseen_grace("0b0e8f5a-uid-of-the-api"), SignedDuration::from_secs(30));
}

// ---- what came of an action that got no answer

fn seen(outcome: ActionOutcome) -> Outcome {
    Outcome { outcome, message: None }
}

fn unanswered_at(now: Instant) -> Held {
    let mut held = Held::new(a_record().object(), now);
    held.unanswered = Some((now, "no answer within 10 s".to_owned()));
    held
}

#[test]
fn a_request_without_an_answer_is_not_taken_for_undone_while_it_may_still_land() {
    let now = after(0);
    let mut held = unanswered_at(now);
    assert_eq!(held.believe(seen(ActionOutcome::NotDone), now + Duration::from_secs(34)), None);
    let later = held.believe(seen(ActionOutcome::NotDone), now + Duration::from_secs(35)).unwrap();
    assert_eq!(later.outcome, ActionOutcome::NotDone);
    assert_eq!(later.message.as_deref(), Some("no answer within 10 s"), "what was said instead is kept");
}

#[test]
fn an_effect_that_is_seen_is_believed_at_once() {
    let now = after(0);
    assert!(unanswered_at(now).believe(seen(ActionOutcome::Done), now).is_some());
}

#[test]
fn that_nobody_can_tell_is_believed_only_after_five_minutes_of_asking() {
    let asked = after(3600);
    let mut held = Held::new(a_record().object(), asked);
    assert_eq!(held.believe(seen(ActionOutcome::Unknown), asked), None, "however long ago it was begun");
    assert_eq!(held.believe(seen(ActionOutcome::Unknown), asked + Duration::from_secs(299)), None);
    assert!(held.believe(seen(ActionOutcome::Unknown), asked + Duration::from_mins(5)).is_some());
}

// ---- a write that began an action and got no answer

#[test]
fn a_write_without_an_answer_may_still_be_carried_out_while_its_version_is_the_newest() {
    let mut held = held(&a_record().version(20));
    let read = |version: u64| a_record().version(version).object();
    assert!(held.is_settled_by(&read(20), after(0)), "nothing is in doubt");
    held.doubt(Some("20".to_owned()), after(10));
    assert!(!held.is_settled_by(&read(20), after(11)), "it says only that it has not been carried out yet");
    assert!(!held.is_settled_by(&read(20), after(44)));
    assert!(held.is_settled_by(&read(20), after(45)), "too late for it");
    assert!(held.is_settled_by(&read(21), after(11)), "it was carried out, or another write has made it impossible");
}
