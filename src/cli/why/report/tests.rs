//! Records that were decided by the state machine itself, explained.

use super::*;
use crate::{
    api::Reason,
    cli::why::text,
    remediation::{Observed, fixtures::*},
};

fn decided(world: &WorldFixture, record: &RecordFixture, now: i64) -> RecordFixture {
    RecordFixture { status: world.next(record, now).status, ..record.clone() }
}

#[test]
fn a_wait_names_the_check_that_decided_and_what_would_have_turned_it() {
    let world = a_world().ledger(a_ledger([a_mark(-60).by("other").on("cart", "cart-2")])).found(|found| {
        found.pods.ready.truncate(1);
    });
    let record = decided(&world, &a_record(), 0).object();
    insta::assert_snapshot!(text::of(&Report::of(&record, at(40)), false), @r#"
    Remediation shop/rem-1 is Waiting (Cooldown), 40s long
      Deployment shop/cart was acted on for shop/other; its cooldown of 10m is not over
      next: it is looked at again at 2026-03-01T12:09:00Z, from nothing; it ends when the alert does

    Alert MemoryLeak, from source prometheus
      its labels name Pod shop/cart-1
      began 2026-03-01T11:59:00Z, received 2026-03-01T12:00:00Z

    Policy shop/restart-cart (Enforce, generation 1)
      alertname="MemoryLeak" matches "MemoryLeak"
      step 0: restartPod (Evict), then good for 1m within 5m
      step 1: rolloutRestart, then good for 1m within 5m

    Checks of 2026-03-01T12:00:00Z; the first that says no decides
      CHECK         SAID   LOOKED AT
      pause         pass   no Pause is in force
      audit         pass   nothing keeps the audit log from being written
      schedule      pass   at any time
      evidence      pass   the alert fires
      target        pass   Pod shop/cart-1 (uid uid-cart-1) of Deployment shop/cart
      opted out     pass   no paramedic.dev/disabled on target, subject or namespace
      permitted     pass   the target is in shop; the policy may touch shop
      possible      pass   step 1, rolloutRestart, on a Deployment
      same target   pass   no other remediation of the policy runs on it
      priority      pass   no other policy of a higher priority answers the alert
      subject lock  pass   nothing else runs on Deployment shop/cart
      cooldown      NO <=  Deployment shop/cart was acted on at 2026-03-01T11:59:00Z for shop/other; its cooldown of 10m ends at 2026-03-01T12:09:00Z
          would have been turned by: time, or a shorter limits.cooldown
      given up      pass   0 of 3 failures in a row, 1 of 5 recurrences in 4h
      breaker       pass   0 of the last 0 failed; it opens at 50% of at least 5 in 1h
      storm         pass   0 workloads are in trouble in namespace shop, 0 in the cluster; a storm is 50%, and 10 at least
      concurrency   pass   0 of 1 run for the policy, 0 of 10 in all
      availability  pass   1 of 3 pods are ready, and a rollout ends 0 of them at once; minAvailable 50% asks for 2
      rollout       pass   3 of 3 pods are of the current template
      access        pass   may get deployments.apps; may patch deployments.apps
      rate          pass   1 of 5 actions in 1h
    "#);
}

#[test]
fn one_that_acted_says_what_was_looked_at_before_and_what_is_waited_for() {
    let acting = decided(&a_world(), &a_record(), 1);
    let world =
        WorldFixture { observed: Some(Observed::Outcome { outcome: ActionOutcome::Done, message: None }), ..a_world() };
    let record = decided(&world, &acting, 2).object();
    insta::assert_snapshot!(text::of(&Report::of(&record, at(20)), false), @r#"
    Remediation shop/rem-1 is Verifying (InProgress), 18s long
      done; verified until 2026-03-01T12:05:02Z
      next: healthy and quiet for 1m unbroken is a success; by 2026-03-01T12:05:02Z, or else the next step begins

    Alert MemoryLeak, from source prometheus
      its labels name Pod shop/cart-1
      began 2026-03-01T11:59:00Z, received 2026-03-01T12:00:00Z

    Policy shop/restart-cart (Enforce, generation 1)
      alertname="MemoryLeak" matches "MemoryLeak"
      step 0: restartPod (Evict), then good for 1m within 5m
      step 1: rolloutRestart, then good for 1m within 5m

    Checks of 2026-03-01T12:00:01Z; the first that says no decides
      CHECK         SAID  LOOKED AT
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

    Done to Deployment shop/cart
      STEP  ACTION      TARGET           BEGUN                 TOOK  OUTCOME
      0     restartPod  Pod shop/cart-1  2026-03-01T12:00:01Z  1.0s  Done
    "#);
}

#[test]
fn one_that_was_never_decided_about_says_so() {
    let cancelled = decided(&a_world().cancelled("by hand"), &a_record(), 5);
    let report = Report::of(&cancelled.object(), at(65));
    assert_eq!((report.phase, report.reason), (Phase::Cancelled, Some(Reason::CancelRequested)));
    let text = text::of(&report, false);
    assert!(text.contains("No checks are on record") && text.contains("nobody asking for its end"), "{text}");
}

#[test]
fn the_check_that_decided_is_what_the_record_gives_as_its_reason() {
    let worlds = [
        (a_world().paused(Ok("freeze")), "pause"),
        (a_world().unknown(), "evidence"),
        (a_world().found(|found| found.opted_out = Some("Pod shop/cart-1".to_owned())), "opted out"),
        (a_world().found(|found| found.pods.ready.truncate(1)), "availability"),
    ];
    for (world, name) in worlds {
        let report = Report::of(&decided(&world, &a_record(), 0).object(), at(1));
        let decided: Vec<_> = report.checks.iter().filter(|check| check.decided).map(|check| &check.name).collect();
        assert_eq!(decided, [name]);
        assert!(report.checks.iter().all(|check| check.turned_by.is_some()), "{report:?}");
    }
}
