//! What people read, of a made-up alert under made-up policies.

use super::*;
use crate::{
    alert::{Alert, AlertState, Fingerprint, Labels},
    api::{Mode, Reason},
    cli::explain::report::{Answer, Report},
    policy::Policy,
    remediation::{explain, fixtures::*},
};

fn alert(labels: Labels) -> Alert {
    Alert {
        state: AlertState::Firing,
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: std::collections::BTreeMap::new(),
        starts_at: at(0),
        ends_at: None,
        generator_url: None,
    }
}

/// What the state machine says in that world.
fn decided(world: &WorldFixture, record: &RecordFixture) -> Answer {
    let (status, now) = (&record.status, at(30));
    let explained = world.with(&record.key, |world| explain(&record.spec, status, world, now));
    Answer::decided(&record.key, status.since.is_some(), status, explained)
}

fn report(labels: Labels, policies: &[Policy], answer: &Answer) -> Report {
    Report::of(&alert(labels), "prometheus", policies.iter(), |_| answer.clone())
}

#[test]
fn an_alert_that_would_be_acted_on_says_what_was_looked_at() {
    let policies = [a_policy("restart-cart").build()];
    let answer = decided(&a_world(), &a_record());
    insta::assert_snapshot!(of(&report(leak_of("cart-1"), &policies, &answer), false, false), @"");
}

#[test]
fn what_stands_in_the_way_is_named_with_what_would_turn_it() {
    let policies = [a_policy("restart-cart").build()];
    let world = a_world().ledger(a_ledger([a_mark(-60).by("other").on("cart", "cart-2")])).found(|found| {
        found.pods.ready.truncate(1);
    });
    let answer = decided(&world, &a_record().waiting(Reason::Cooldown, 10));
    insta::assert_snapshot!(of(&report(leak_of("cart-1"), &policies, &answer), false, false), @"");
}

#[test]
fn a_policy_that_nearly_matches_is_shown_and_others_are_counted() {
    let policies = [
        a_policy("nearly").matching(&["alertname=\"MemoryLeak\"", "severity=~\"critical|warning\""]).build(),
        a_policy("misspelt").matching(&["alertname=\"MemoryLeek\""]).build(),
        a_policy("another").matching(&["alertname=\"DiskFull\""]).build(),
        a_policy("off").mode(Mode::Disabled).matching(&["alertname=\"CertificateExpires\""]).build(),
    ];
    let mut labels = leak_of("cart-1");
    labels.0.insert("severity".to_owned(), "Critical".to_owned());
    let report = report(labels, &policies, &Answer::Nothing { why: String::new() });
    insta::assert_snapshot!(of(&report, false, false), @"");
    let all = of(&report, true, false);
    assert!(all.contains("shop/another does not match") && !all.contains("--all-policies"), "{all}");
}
