//! The stages: their order, and the table of availability.

use super::*;
use crate::{
    api::{CountOrPercent, RestartPod, RolloutRestart, Step, Verify},
    remediation::{fixtures::*, world::Observed},
};

fn refused(world: &WorldFixture, record: &RecordFixture, now: i64) -> Option<Reason> {
    refusal_of(world, record, now).map(|refusal| refusal.reason)
}

fn refusal_of(world: &WorldFixture, record: &RecordFixture, now: i64) -> Option<Refusal> {
    world.with(&record.key, |world| {
        let policy = match world.policy {
            crate::remediation::PolicyNow::InForce(policy) => policy.clone(),
            _ => panic!("the policy is in force in these stories"),
        };
        let in_force = InForce::of(&record.spec, &policy, world.bounds);
        let Observed::Scene(scene) = &world.observed else { panic!("there is a scene in these stories") };
        let candidate = Candidate { spec: &record.spec, world, in_force: &in_force, step: None, scene, now: at(now) };
        admit(&candidate).err()
    })
}

#[test]
fn the_first_stage_that_refuses_speaks_and_rate_is_the_last() {
    let names: Vec<&str> = STAGES.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.last(), Some(&"rate"), "nothing may refuse after a slot is taken");

    // Everything stands against it; one reason after another goes away.
    let record = a_record();
    let mut ledger = crate::remediation::Ledger::default();
    for number in 0..5 {
        ledger.note(a_mark(-300 + number).on("till", "till-1"));
    }
    ledger.take(a_mark(-200).by("other").of("another-policy").on("cart", "other-pod"));
    let against =
        a_world().paused(Ok("freeze")).unaudited("the disk is full").unknown().ledger(ledger.clone()).found(|found| {
            found.opted_out = Some("Pod shop/cart-1".to_owned());
            found.pods.ready.truncate(1);
        });
    assert_eq!(refused(&against, &record, 0), Some(Reason::Paused));
    let world = WorldFixture { pause: Ok(None), ..against };
    assert_eq!(refused(&world, &record, 0), Some(Reason::AuditUnavailable));
    let world = WorldFixture { audit: None, ..world };
    assert_eq!(refused(&world, &record, 0), Some(Reason::EvidenceUnknown));
    let world = world.evidence(Evidence::Firing);
    assert_eq!(refused(&world, &record, 0), Some(Reason::OptedOut));
    let world = world.found(|found| found.opted_out = None);
    assert_eq!(refused(&world, &record, 0), Some(Reason::SubjectLocked));
    ledger.follow(&key("other"), Phase::Succeeded);
    let world = world.ledger(ledger);
    assert_eq!(refused(&world, &record, 0), Some(Reason::Cooldown));
    assert_eq!(refused(&world, &record, 400), Some(Reason::Availability));
    let world = world.found(|found| found.pods = resolved("cart-1").pods);
    assert_eq!(refused(&world, &record, 400), Some(Reason::RateLimited));
    assert_eq!(refused(&world, &record, HOUR), None);
}

// ---- availability

/// A subject in figures, and what becomes of a restart of one of its pods.
#[derive(Clone, Copy, Debug)]
struct Case {
    desired: u32,
    ready: usize,
    min_available: CountOrPercent,
    target_ready: bool,
    single: bool,
    passes: bool,
}

const fn case(desired: u32, ready: usize, min_available: CountOrPercent, passes: bool) -> Case {
    Case { desired, ready, min_available, target_ready: true, single: false, passes }
}

fn subject(case: Case) -> WorldFixture {
    a_world().found(move |found| {
        found.subject.state.desired = case.desired;
        found.pods.ready = (1..=case.ready).map(|number| format!("uid-cart-{number}")).collect();
        found.target_ready = case.target_ready;
    })
}

fn policy(case: Case) -> PolicyFixture {
    a_policy("restart-cart").limits(move |limits| {
        limits.min_available = case.min_available;
        limits.allow_single_replica = case.single;
    })
}

#[test]
fn a_restart_leaves_as_many_ready_pods_as_min_available_asks_for() {
    use CountOrPercent::{Count, Percent};
    let table = [
        // ready − 1 >= ceil(minAvailable · desired)
        case(2, 2, Percent(50), true),
        case(2, 1, Percent(50), false),
        case(3, 3, Percent(50), true),  // 2 left, 2 needed: 1.5 rounds up
        case(3, 2, Percent(50), false), // 1 left
        case(3, 3, Percent(67), false), // 2.01 rounds up to 3
        case(3, 3, Percent(66), true),
        case(3, 3, Percent(1), true), // 0.03 rounds up to 1
        case(3, 1, Percent(1), false),
        case(10, 10, Percent(90), true),
        case(10, 10, Percent(91), false),
        case(10, 10, Percent(100), false),
        case(10, 3, Count(2), true),
        case(10, 2, Count(2), false),
        case(10, 10, Count(10), false),
        case(4, 5, Count(4), true), // more than it should have, during a rollout
        case(3, 0, Percent(50), false),
        // Its target is not ready: nothing is taken away.
        Case { target_ready: false, ..case(3, 0, Percent(100), true) },
        Case { target_ready: false, ..case(3, 2, Percent(100), true) },
        Case { target_ready: false, ..case(1, 0, Percent(50), true) },
        // A single replica.
        case(1, 1, Percent(50), false),
        Case { single: true, ..case(1, 1, Percent(100), true) },
        case(0, 1, Percent(50), false),
        Case { single: true, ..case(0, 1, Percent(50), true) },
        // Consent to a single replica says nothing about two.
        Case { single: true, ..case(2, 1, Percent(50), false) },
    ];
    for case in table {
        let policy = policy(case);
        let record = a_record_of(&policy.clone().build());
        let refusal = refused(&subject(case).policy(policy), &record, 0);
        let expected = match case {
            Case { passes: true, .. } => None,
            Case { desired: 0 | 1, .. } => Some(Reason::SingleReplica),
            _ => Some(Reason::Availability),
        };
        assert_eq!(refusal, expected, "{case:?}");
    }
}

#[test]
fn min_available_of_then_and_of_now_both_hold_and_so_does_consent() {
    let strict = || a_policy("restart-cart").limits(|limits| limits.min_available = count(3));
    let lax = || a_policy("restart-cart").limits(|limits| limits.min_available = percent(1));
    let cases = [(lax(), lax(), None), (strict(), lax(), Some(())), (lax(), strict(), Some(()))];
    for (then, now, expected) in cases {
        let refusal = refused(&a_world().policy(now), &a_record_of(&then.build()), 0);
        assert_eq!(refusal, expected.map(|()| Reason::Availability));
    }
    let single = || a_world().found(|found| found.subject.state.desired = 1);
    let consent = |consents: bool| a_policy("restart-cart").limits(|limits| limits.allow_single_replica = consents);
    for (then, now) in [(true, false), (false, true)] {
        let refusal = refused(&single().policy(consent(now)), &a_record_of(&consent(then).build()), 0);
        assert_eq!(refusal, Some(Reason::SingleReplica), "then {then}, now {now}");
    }
    assert_eq!(refused(&single().policy(consent(true)), &a_record_of(&consent(true).build()), 0), None);
}

#[test]
fn the_message_names_the_min_available_that_refuses() {
    let strict = a_policy("restart-cart").limits(|limits| limits.min_available = count(3));
    let refusal = refusal_of(&a_world().policy(strict), &a_record(), 0).unwrap();
    let text = "Deployment shop/cart would have 2 ready pods left of 3, and minAvailable 3 asks for 3";
    assert_eq!(refusal.message, text);
}

#[test]
fn a_pod_that_we_ended_lately_is_not_counted_though_it_is_still_listed() {
    // Another policy's, so that neither rate nor cooldown speaks: the record's cooldown is a second long.
    let policy = || a_policy("restart-cart").limits(|limits| limits.cooldown = seconds(1));
    let record = a_record_of(&policy().build());
    let ended = |at: i64| a_ledger([a_mark(at).of("another-policy").on("cart", "cart-2")]);
    let world = |at: i64| a_world().policy(policy()).ledger(ended(at));
    assert_eq!(refused(&world(-60), &record, 0), Some(Reason::Availability), "2 of 3 are left, and then 1");
    assert_eq!(refused(&world(-120), &record, 0), Some(Reason::Availability));
    assert_eq!(refused(&world(-121), &record, 0), None, "by now it would not be listed any more");
    let elsewhere = a_ledger([a_mark(-60).of("another-policy").on("till", "till-2")]);
    assert_eq!(refused(&a_world().policy(policy()).ledger(elsewhere), &record, 0), None);
}

#[test]
fn a_dry_run_sees_the_pods_that_were_really_ended() {
    let policy = || a_policy("restart-cart").mode(Mode::DryRun);
    let ended = a_ledger([a_mark(-60).of("another-policy").on("cart", "cart-2")]);
    let world = a_world().policy(policy()).ledger(ended);
    assert_eq!(refused(&world, &a_record_of(&policy().build()), 0), Some(Reason::Availability));
}

#[test]
fn a_restart_by_rollout_passes_by_how_the_workload_rolls() {
    let step = Step { restart_pod: None, rollout_restart: Some(RolloutRestart {}), verify: Verify::default() };
    let policy =
        |single| a_policy("restart-cart").steps(vec![step.clone()]).limits(|l| l.allow_single_replica = single);
    let available = Some(Reason::Availability);
    let table = [
        (Rollout::Surging, 3, 0, true, false, None),
        (Rollout::Surging, 1, 1, true, false, None),
        (Rollout::OneByOne, 3, 3, true, false, None),
        (Rollout::OneByOne, 3, 2, true, false, available),
        (Rollout::OneByOne, 3, 0, true, false, None),
        (Rollout::OneByOne, 1, 1, true, false, Some(Reason::SingleReplica)),
        (Rollout::OneByOne, 1, 1, true, true, None),
        (Rollout::OneByOne, 1, 0, false, false, None),
        // The alert's pod is not ready, but the rollout may end another one first.
        (Rollout::OneByOne, 2, 1, false, false, available),
        (Rollout::AllAtOnce, 3, 3, true, false, available),
        (Rollout::AllAtOnce, 3, 3, true, true, available),
        (Rollout::AllAtOnce, 1, 1, true, false, available),
        (Rollout::AllAtOnce, 1, 1, true, true, None),
        (Rollout::Never, 3, 3, true, false, Some(Reason::NotPermitted)),
        (Rollout::Never, 1, 1, true, true, Some(Reason::NotPermitted)),
    ];
    for (rollout, desired, ready, target_ready, single, expected) in table {
        let world = subject(Case { target_ready, ..case(desired, ready, percent(50), true) });
        let world = world.policy(policy(single)).found(|found| {
            found.subject.state.rollout = rollout;
            found.subject.state.updated = Some(desired);
        });
        let refusal = refused(&world, &a_record_of(&policy(single).build()), 0);
        let story = format!("{rollout:?} {ready} of {desired}, target ready {target_ready}, single {single}");
        assert_eq!(refusal, expected, "{story}");
    }
}

#[test]
fn a_restart_by_rollout_leaves_what_min_available_asks_for_though_its_strategy_takes_several_at_once() {
    let available = Some(Reason::Availability);
    let single = Some(Reason::SingleReplica);
    let table = [
        // New pods first, but old ones may go before: ready - unavailable >= 50 % of desired.
        (Rollout::Surging, 3, 3, 0, None),
        (Rollout::Surging, 3, 1, 0, None),
        (Rollout::Surging, 3, 3, 1, None),
        (Rollout::Surging, 3, 2, 1, available),
        (Rollout::Surging, 3, 3, 3, available),
        (Rollout::Surging, 3, 0, 3, None),
        (Rollout::Surging, 1, 1, 0, None),
        (Rollout::Surging, 1, 1, 1, single),
        // Old ones first, several at a time.
        (Rollout::OneByOne, 10, 10, 1, None),
        (Rollout::OneByOne, 10, 10, 5, None),
        (Rollout::OneByOne, 10, 9, 5, available),
        (Rollout::OneByOne, 10, 10, 6, available),
        (Rollout::OneByOne, 3, 3, 3, available),
    ];
    let policy = || a_policy("restart-cart").steps(vec![rollout_restart()]);
    for (rollout, desired, ready, unavailable, expected) in table {
        let world = subject(case(desired, ready, percent(50), true)).policy(policy()).found(|found| {
            found.subject.state.rollout = rollout;
            found.subject.state.unavailable = unavailable;
            found.subject.state.updated = Some(desired);
        });
        let refusal = refused(&world, &a_record_of(&policy().build()), 0);
        assert_eq!(refusal, expected, "{rollout:?} {ready} of {desired}, {unavailable} at once");
    }
}

#[test]
fn what_stands_against_a_restart_by_rollout_says_what_to_do_about_it() {
    let policy = || a_policy("restart-cart").steps(vec![rollout_restart()]);
    let message = |change: fn(&mut Resolved)| {
        let world = a_world().policy(policy()).found(change);
        refusal_of(&world, &a_record_of(&policy().build()), 0).unwrap().message
    };
    let several = message(|found| found.subject.state.unavailable = 3);
    let text = "Deployment shop/cart would have 0 ready pods left of 3 while it rolls, as its strategy lets 3 go at once, \
                and minAvailable 50% asks for 2";
    assert_eq!(several, text);
    let rolling = message(|found| found.subject.state.updated = Some(1));
    let text = "a rollout of Deployment shop/cart is under way already (1 of 3 pods are of the current template); \
                it is not restarted until that is through";
    assert_eq!(rolling, text);
    let all = message(|found| found.subject.state.rollout = Rollout::AllAtOnce);
    assert!(all.contains("no limit consents") && all.contains("change its strategy"), "{all}");
    let only = message(|found| {
        found.subject.state.rollout = Rollout::AllAtOnce;
        found.subject.state.desired = 1;
    });
    assert!(only.ends_with("limits.allowSingleReplica: true consents to it"), "{only}");
}

#[test]
fn a_restart_by_rollout_waits_for_a_rollout_that_is_under_way_and_a_restart_of_a_pod_does_not() {
    let rolling = a_world().found(|found| found.subject.state.updated = Some(1));
    assert_eq!(refused(&rolling, &a_record(), 0), None);
    let by_rollout = a_policy("restart-cart").steps(vec![rollout_restart()]);
    let refusal = refused(&rolling.policy(by_rollout.clone()), &a_record_of(&by_rollout.build()), 0);
    assert_eq!(refusal, Some(Reason::Availability));
}

#[test]
fn what_is_planned_says_what_to_whom() {
    let steps = vec![Step {
        restart_pod: Some(RestartPod { method: crate::api::RestartMethod::Delete, grace_period: None }),
        ..restart_pod()
    }];
    let policy = || a_policy("restart-cart").steps(steps.clone());
    let next = a_world().policy(policy()).next(&a_record_of(&policy().build()), 0);
    assert_eq!(next.message(), "delete Pod shop/cart-1 (uid uid-cart-1)");
    let next = a_world().next(&a_record().at_step(1).journal(crate::api::ActionOutcome::Done, -500), 0);
    assert_eq!(next.message(), "restart the rollout of Deployment shop/cart");
}
