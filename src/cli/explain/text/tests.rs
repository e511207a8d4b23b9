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
    insta::assert_snapshot!(of(&report(leak_of("cart-1"), &policies, &answer), false, false), @r#"
    Alert MemoryLeak {namespace="shop", pod="cart-1"}, firing since 2026-03-01T12:00:00Z, from source prometheus

    Policy shop/restart-cart matches (Enforce)
      its labels name Pod shop/cart-1
      step 0: restartPod (Evict), then good for 1m within 5m
      step 1: rolloutRestart, then good for 1m within 5m
      shop/rem-1 would be made; the checks, as of now:
        CHECK         SAYS  BECAUSE
        pause         pass  no Pause is in force
        audit         pass  nothing keeps the audit log from being written
        schedule      pass  at any time
        evidence      pass  the alert fires
        target        pass  Pod shop/cart-1 (uid uid-cart-1) of Deployment shop/cart
        opted out     pass  no paramedic.dev/disabled on target, subject or namespace
        permitted     pass  the target is in shop; the policy may touch shop
        possible      pass  step 0, restartPod, on a Deployment
        same target   pass  no other remediation of the policy runs on it
        priority      pass  no other policy of a higher priority answers the alert
        subject lock  pass  nothing else runs on Deployment shop/cart
        cooldown      pass  no other remediation acted on Deployment shop/cart lately; its cooldown is 10m
        given up      pass  0 of 3 failures in a row, 0 of 5 recurrences in 4h
        breaker       pass  0 of the last 0 failed; it opens at 50% of at least 5 in 1h
        storm         pass  0 workloads are in trouble in namespace shop, 0 in the cluster; a storm is 50%, and 10 at least
        concurrency   pass  0 of 1 run for the policy, 0 of 10 in all
        availability  pass  3 of 3 pods are ready, and the action ends one of them; minAvailable 50% asks for 2
        rollout       pass  3 of 3 pods are of the current template
        access        pass  may create pods/eviction
        rate          pass  0 of 5 actions in 1h
      => It would act now: Acting (InProgress): evict Pod shop/cart-1 (uid uid-cart-1)
    "#);
}

#[test]
fn what_stands_in_the_way_is_named_with_what_would_turn_it() {
    let policies = [a_policy("restart-cart").build()];
    let world = a_world().ledger(a_ledger([a_mark(-60).by("other").on("cart", "cart-2")])).found(|found| {
        found.pods.ready.truncate(1);
    });
    let answer = decided(&world, &a_record().waiting(Reason::Cooldown, 10));
    insta::assert_snapshot!(of(&report(leak_of("cart-1"), &policies, &answer), false, false), @r#"
    Alert MemoryLeak {namespace="shop", pod="cart-1"}, firing since 2026-03-01T12:00:00Z, from source prometheus

    Policy shop/restart-cart matches (Enforce)
      its labels name Pod shop/cart-1
      step 0: restartPod (Evict), then good for 1m within 5m
      step 1: rolloutRestart, then good for 1m within 5m
      shop/rem-1 is open already; the checks, as of now:
        CHECK         SAYS          BECAUSE
        pause         pass          no Pause is in force
        audit         pass          nothing keeps the audit log from being written
        schedule      pass          at any time
        evidence      pass          the alert fires
        target        pass          Pod shop/cart-1 (uid uid-cart-1) of Deployment shop/cart
        opted out     pass          no paramedic.dev/disabled on target, subject or namespace
        permitted     pass          the target is in shop; the policy may touch shop
        possible      pass          step 1, rolloutRestart, on a Deployment
        same target   pass          no other remediation of the policy runs on it
        priority      pass          no other policy of a higher priority answers the alert
        subject lock  pass          nothing else runs on Deployment shop/cart
        cooldown      NO: Cooldown  Deployment shop/cart was acted on for shop/other; its cooldown of 10m is not over
            turned by: time, or a shorter limits.cooldown
        given up      pass          0 of 3 failures in a row, 1 of 5 recurrences in 4h
        breaker       pass          0 of the last 0 failed; it opens at 50% of at least 5 in 1h
        storm         pass          0 workloads are in trouble in namespace shop, 0 in the cluster; a storm is 50%, and 10 at least
        concurrency   pass          0 of 1 run for the policy, 0 of 10 in all
        availability  pass          1 of 3 pods are ready, and a rollout ends 0 of them at once; minAvailable 50% asks for 2
        rollout       pass          3 of 3 pods are of the current template
        access        pass          may get deployments.apps; may patch deployments.apps
        rate          pass          1 of 5 actions in 1h
      => It would not act now: Waiting (Cooldown), until 2026-03-01T12:09:00Z: Deployment shop/cart was acted on for shop/other; its cooldown of 10m is not over
    "#);
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
    insta::assert_snapshot!(of(&report, false, false), @r#"
    Alert MemoryLeak {namespace="shop", pod="cart-1", severity="Critical"}, firing since 2026-03-01T12:00:00Z, from source prometheus

    No policy matches: nothing would be recorded, and nothing done.

    Policy shop/nearly does not match
      yes  alertname="MemoryLeak"
      NO   severity=~"critical|warning": the alert has severity="Critical"; did you mean severity="critical"?

    Policy shop/misspelt does not match
      NO   alertname="MemoryLeek": the alert has alertname="MemoryLeak"; did you mean alertname="MemoryLeek"?

    2 other policies do not match; --all-policies shows why.
    "#);
    let all = of(&report, true, false);
    assert!(all.contains("shop/another does not match") && !all.contains("--all-policies"), "{all}");
}
