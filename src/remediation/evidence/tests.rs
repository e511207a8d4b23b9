//! What is known about an alert: firing, clear or unknown, and from whom.

use super::*;
use crate::{
    alert::Labels,
    api::{Phase, TargetKind},
    remediation::fixtures::*,
};

fn peer(alerts: &[PeerAlert]) -> PeerAnswer {
    PeerAnswer {
        url: "http://alertmanager".to_owned(),
        alerts: Ok(alerts.to_vec()),
        started_at: Some(at(-DAY)),
        resend_interval: Duration::from_mins(5),
    }
}

fn silent() -> PeerAnswer {
    PeerAnswer { alerts: Err("http://other did not answer".to_owned()), ..peer(&[]) }
}

fn started(seconds: i64) -> PeerAnswer {
    PeerAnswer { started_at: Some(at(seconds)), ..peer(&[]) }
}

fn active(labels: Labels, began: i64) -> PeerAlert {
    PeerAlert { fingerprint: Fingerprint::of(&labels), labels, starts_at: at(began), state: PeerState::Active }
}

fn suppressed(labels: Labels) -> PeerAlert {
    PeerAlert { state: PeerState::Suppressed("silenced by 42".to_owned()), ..active(labels, 0) }
}

fn about_cart(peers: &[PeerAnswer]) -> Evidence {
    asked(peers, same_alert(Fingerprint::of(&leak_of("cart-1"))), at(0))
}

const CLEAR: Evidence = Evidence::Clear { confirmed: true };

#[test]
fn one_peer_that_knows_it_as_active_is_enough_to_know_that_it_fires() {
    let fires = || peer(&[active(leak_of("cart-1"), 0)]);
    assert_eq!(about_cart(&[fires()]), Evidence::Firing);
    for other in [peer(&[]), silent(), started(-1), peer(&[suppressed(leak_of("cart-1"))])] {
        assert_eq!(about_cart(&[fires(), other.clone()]), Evidence::Firing);
        assert_eq!(about_cart(&[other, fires()]), Evidence::Firing);
    }
    assert_eq!(about_cart(&[peer(&[active(leak_of("cart-2"), 0)])]), CLEAR, "another alert's");
}

#[test]
fn what_is_held_back_is_neither_firing_nor_over() {
    let held = peer(&[suppressed(leak_of("cart-1"))]);
    for peers in [vec![held.clone()], vec![peer(&[]), held.clone()], vec![silent(), held]] {
        assert_eq!(about_cart(&peers), Evidence::Suppressed("the alert is silenced by 42".to_owned()));
    }
}

#[test]
fn only_the_absence_at_every_peer_is_the_end_of_an_alert() {
    assert_eq!(about_cart(&[peer(&[])]), CLEAR);
    assert_eq!(about_cart(&[peer(&[]), peer(&[])]), CLEAR);
    for peers in [[peer(&[]), silent()], [silent(), peer(&[])]] {
        assert_eq!(about_cart(&peers), Evidence::Unknown("http://other did not answer".to_owned()));
    }
}

#[test]
fn a_peer_that_was_started_lately_has_not_been_told_all_yet() {
    assert_eq!(about_cart(&[started(-300)]), CLEAR);
    let text = "http://alertmanager does not know the alert, but has not been up for its resendInterval of 300s yet";
    let unknown = Evidence::Unknown(text.to_owned());
    assert_eq!(about_cart(&[started(-299)]), unknown);
    assert_eq!(about_cart(&[peer(&[]), started(-299)]), unknown);
    assert_eq!(about_cart(&[started(60)]), unknown, "by its clock it starts in a minute");
    assert_eq!(about_cart(&[PeerAnswer { started_at: None, ..peer(&[]) }]), unknown, "it did not say when");
}

#[test]
fn nobody_to_ask_is_no_proof_of_anything() {
    assert_eq!(about_cart(&[]), Evidence::Unasked);
}

// ---- where only notices speak

#[test]
fn a_young_firing_notice_proves_firing_and_an_old_one_nothing() {
    let max_age = Duration::from_mins(10);
    let told = |record: &RecordFixture, now: i64| told(&record.spec, &record.status, max_age, at(now));
    assert_eq!(told(&a_record(), 600), Evidence::Firing);
    let old =
        "the alert was last heard of at 2026-03-01T12:00:00Z, longer ago than evidenceMaxAge, and nobody can be asked";
    assert_eq!(told(&a_record(), 601), Evidence::Unknown(old.to_owned()));
    assert_eq!(told(&a_record().last_seen(300), 900), Evidence::Firing, "a repeat makes it young again");
    assert_eq!(told(&a_record().resolved_at(30), 31), Evidence::Clear { confirmed: false });
}

#[test]
fn after_an_action_only_a_newer_notice_about_a_living_object_counts() {
    let told =
        |record: &RecordFixture, subject: &LivingSubject| told_after(&record.spec, &record.status, subject, at(100));
    let living = subject(&["cart-1", "cart-2"]);
    assert_eq!(told(&a_record(), &living), Evidence::Unasked);
    assert_eq!(told(&a_record().last_seen(100), &living), Evidence::Unasked, "of before the action");
    assert_eq!(told(&a_record().last_seen(101), &living), Evidence::Firing);
    assert_eq!(told(&a_record().last_seen(101), &subject(&["cart-2"])), Evidence::Unasked, "its pod is gone");
    assert_eq!(told(&a_record().resolved_at(150), &living), Evidence::Clear { confirmed: false });
}

// ---- whose alerts count in a verification

fn subject(pods: &[&str]) -> LivingSubject {
    let pods = pods.iter().copied().map(str::to_owned).collect();
    LivingSubject { namespace: "shop".to_owned(), name: "cart".to_owned(), pods }
}

#[test]
fn a_verification_hears_of_the_living_and_of_what_is_new() {
    let record = a_record();
    let counts = |alert: PeerAlert, living: &[&str]| about_subject(&record.spec, &subject(living), at(100))(&alert);
    assert!(counts(active(leak_of("cart-1"), -60), &["cart-1"]), "its own alert, though it began before the action");
    assert!(!counts(active(leak_of("cart-1"), -60), &["cart-4"]), "a series of a pod that is gone");
    assert!(counts(active(leak_of("cart-4"), 101), &["cart-4"]), "the new pod leaks as well");
    assert!(!counts(active(leak_of("cart-4"), 100), &["cart-4"]), "a sibling's older alert has its own record");
    assert!(!counts(active(leak_of("till-1"), 101), &["cart-4"]), "another subject's pod");
    let elsewhere = labels(&[("alertname", "MemoryLeak"), ("namespace", "test"), ("pod", "cart-4")]);
    assert!(!counts(active(elsewhere, 101), &["cart-4"]), "a pod of that name in another namespace");
    let another = labels(&[("alertname", "Restarting"), ("namespace", "shop"), ("pod", "cart-4")]);
    assert!(!counts(active(another, 101), &["cart-4"]), "an alert that the policy does not match");
}

#[test]
fn an_alert_about_a_workload_is_about_its_name() {
    let mut record = a_record().in_phase(Phase::Verifying, 0);
    record.spec.target.kind = TargetKind::Deployment;
    let about = |name: &str| labels(&[("alertname", "MemoryLeak"), ("namespace", "shop"), ("deployment", name)]);
    assert!(subject(&[]).is_named_by(&record.spec, &about("cart")));
    assert!(!subject(&["till"]).is_named_by(&record.spec, &about("till")));
    assert!(!subject(&["cart-1"]).is_named_by(&record.spec, &leak_of("cart-1")), "names no Deployment");
}
