//! Every row of the table of states: the state, the event, the next state and the effect.

use super::*;
use crate::{
    api::{Decision, Mode, ObjectKey},
    remediation::{Access, Consents, Ledger, Mark, fixtures::*},
    target::{Rollout, Unnamed, Unresolved},
};

const WAITING: Phase = Phase::Waiting;

fn running(record: &str, policy: &str, subject: &str) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.take(a_mark(-2 * HOUR).by(record).of(policy).on(subject, "another-1"));
    ledger
}

fn missing() -> Unresolved {
    Unresolved::Missing { kind: "Pod", namespace: "shop".to_owned(), name: "cart-1".to_owned() }
}

// ---- Pending: every check passes

#[test]
fn a_pending_record_that_passes_every_check_writes_plan_and_journal_and_then_acts() {
    let next = a_world().next(&a_record(), 5);
    assert_eq!(next.state(), (Phase::Acting, Some(Reason::InProgress)));
    assert_eq!(next.effect, Effect::Act);
    let status = &next.status;
    assert_eq!(status.plan.as_deref(), Some("evict Pod shop/cart-1 (uid uid-cart-1)"));
    assert_eq!(status.target, Some(pod("cart-1")));
    assert_eq!(status.subject, Some(deployment("cart")));
    assert_eq!(status.since, Some(at(5)));
    let [entry] = &status.journal[..] else { panic!("{:?}", status.journal) };
    let written = (entry.step, entry.action.as_str(), &entry.target, entry.started_at, entry.ended_at, entry.outcome);
    assert_eq!(written, (0, "restartPod", &pod("cart-1"), at(5), None, ActionOutcome::Running));
}

#[test]
fn a_dry_run_that_passes_every_check_observes_and_never_acts() {
    let next = a_world().next(&a_record().mode(Mode::DryRun), 5);
    assert_eq!(next.state(), (Phase::Observing, None));
    assert_eq!(next.again_at(), 20);
    assert_eq!(next.outcomes(), [ActionOutcome::DryRun]);
    assert_eq!(next.message(), "would evict Pod shop/cart-1 (uid uid-cart-1)");
}

#[test]
fn a_waiting_record_whose_reason_is_gone_makes_all_checks_anew_and_acts() {
    let record = a_record().waiting(Reason::RateLimited, 10);
    assert_eq!(a_world().next(&record, 100).effect, Effect::Act);
    let paused = a_world().paused(Ok("release")).next(&record, 100);
    assert_eq!(paused.state(), (WAITING, Some(Reason::Paused)), "the old reason is gone, another one is there");
}

#[test]
fn without_a_look_nothing_is_decided() {
    let next = a_world().unseen().next(&a_record(), 5);
    assert_eq!((next.status, next.effect), (a_record().status, Effect::LookAgain(at(5))));
}

// ---- Pending: no target

#[test]
fn a_missing_target_waits_with_back_off_and_is_given_up_after_an_hour() {
    let gone = a_world().unresolved(missing());
    let next = gone.next(&a_record(), 0);
    assert_eq!(next.state(), (WAITING, Some(Reason::TargetUnresolved)));
    assert_eq!(next.message(), "there is no Pod shop/cart-1");

    let record = a_record().waiting(Reason::TargetUnresolved, 0);
    let pauses: Vec<_> = [1, 20, 60, 1000].iter().map(|now| gone.next(&record, *now).again_at() - now).collect();
    assert_eq!(pauses, [2, 5, 15, 30]);

    assert_eq!(gone.next(&record, HOUR - 1).state(), (WAITING, Some(Reason::TargetUnresolved)));
    let next = gone.next(&record, HOUR);
    assert_eq!((next.state(), &next.effect), ((Phase::Skipped, Some(Reason::TargetUnresolved)), &Effect::End));
    assert_eq!(next.status.ended_at, Some(at(HOUR)));
}

#[test]
fn the_hour_of_a_missing_target_goes_on_while_the_api_does_not_answer_and_ends_when_it_does() {
    let record = a_record().waiting(Reason::TargetUnresolved, 0);
    let silent = a_world().unresolved(Unresolved::Api("time-out".to_owned())).next(&record, 2 * HOUR);
    assert_eq!(silent.state(), (WAITING, Some(Reason::TargetUnresolved)), "nobody has looked, so it is not given up");
    assert_eq!(silent.status.since, Some(at(0)));
    assert!(silent.message().ends_with("time-out"), "{}", silent.message());
    let mut record = record;
    record.status = silent.status;
    let next = a_world().unresolved(missing()).next(&record, 2 * HOUR + 1);
    assert_eq!(next.state(), (Phase::Skipped, Some(Reason::TargetUnresolved)));
}

#[test]
fn a_target_that_comes_back_within_the_hour_is_acted_on() {
    let record = a_record().waiting(Reason::TargetUnresolved, 0);
    assert_eq!(a_world().next(&record, HOUR - 1).effect, Effect::Act);
}

#[test]
fn every_reason_for_which_there_is_no_target_leads_where_it_should() {
    let text = || "shop".to_owned();
    let table = [
        (missing(), WAITING, Reason::TargetUnresolved),
        (Unresolved::Unnamed(Unnamed::NoName("pod")), WAITING, Reason::TargetUnresolved),
        (Unresolved::Unnamed(Unnamed::NoNamespace), WAITING, Reason::TargetUnresolved),
        (Unresolved::Terminating(text()), WAITING, Reason::TargetUnresolved),
        (Unresolved::Finished(text()), WAITING, Reason::TargetUnresolved),
        (Unresolved::Ambiguous(text()), WAITING, Reason::TargetAmbiguous),
        (Unresolved::Forbidden { what: text(), why: text() }, WAITING, Reason::Forbidden),
        (Unresolved::Api(text()), WAITING, Reason::ApiUnavailable),
        (Unresolved::Unnamed(Unnamed::Exporter), Phase::Skipped, Reason::TargetIsExporter),
        (Unresolved::Exporter(text()), Phase::Skipped, Reason::TargetIsExporter),
        (Unresolved::NoController(text()), Phase::Skipped, Reason::NoController),
        (Unresolved::NotPermitted(text()), Phase::Skipped, Reason::NotPermitted),
        (Unresolved::Protected(text()), Phase::Skipped, Reason::Protected),
    ];
    for (why, phase, reason) in table {
        let next = a_world().unresolved(why.clone()).next(&a_record(), 5);
        assert_eq!(next.state(), (phase, Some(reason)), "{why:?}");
        assert_eq!(next.message(), why.to_string());
        assert!(next.status.journal.is_empty(), "{why:?}");
    }
}

#[test]
fn an_opted_out_target_is_skipped_and_the_record_says_which_object_is() {
    let next = a_world().found(|found| found.opted_out = Some("namespace shop".to_owned())).next(&a_record(), 5);
    assert_eq!((next.state(), &next.effect), ((Phase::Skipped, Some(Reason::OptedOut)), &Effect::End));
    assert_eq!(next.message(), "namespace shop has the annotation paramedic.dev/disabled");
    assert_eq!(next.status.target, Some(pod("cart-1")), "the record still names its target");
}

// ---- Pending: something stands against it

#[test]
fn a_pause_stops_everything_and_so_does_a_pause_that_cannot_be_asked_for() {
    let next = a_world().paused(Ok("Pause shop/release: release")).next(&a_record(), 5);
    assert_eq!(next.state(), (WAITING, Some(Reason::Paused)));
    assert_eq!(next.message(), "Pause shop/release: release");
    let next = a_world().paused(Err("connection refused")).next(&a_record(), 5);
    assert_eq!(next.state(), (WAITING, Some(Reason::ApiUnavailable)));
    assert!(next.message().ends_with("connection refused"), "{}", next.message());
}

#[test]
fn what_could_not_be_told_afterwards_is_not_done_and_a_dry_run_does_nothing() {
    let world = a_world().unaudited("the disk is full");
    let next = world.next(&a_record(), 5);
    assert_eq!(next.state(), (WAITING, Some(Reason::AuditUnavailable)));
    assert_eq!(next.message(), "the disk is full");
    assert_eq!(world.next(&a_record().mode(Mode::DryRun), 5).state(), (Phase::Observing, None));
}

#[test]
fn a_right_to_list_pauses_that_is_missing_is_told_from_an_api_that_does_not_answer() {
    let mut world = a_world();
    world.pause = Err(crate::remediation::PauseUnknown { forbidden: true, why: "may not list pauses".to_owned() });
    assert_eq!(world.next(&a_record(), 5).state(), (WAITING, Some(Reason::Forbidden)));
}

#[test]
fn a_limit_waits_until_the_very_second_it_ends_and_says_so_with_figures() {
    let cooling = a_world().ledger(a_ledger([a_mark(-100).by("earlier")])).next(&a_record(), 5);
    assert_eq!(cooling.state(), (WAITING, Some(Reason::Cooldown)));
    assert_eq!((cooling.again_at(), cooling.status.until), (500, Some(at(500))));
    let text = "Deployment shop/cart was acted on for shop/earlier; its cooldown of 10m is not over";
    assert_eq!(cooling.message(), text);

    let others = (0..5).map(|number| a_mark(-1000 + number).on(&format!("other-{number}"), "other"));
    let limited = a_world().ledger(a_ledger(others)).next(&a_record(), 5);
    assert_eq!(limited.state(), (WAITING, Some(Reason::RateLimited)));
    assert_eq!((limited.again_at(), limited.status.until), (2600, Some(at(2600))));
    assert_eq!(limited.message(), "policy shop/restart-cart has used its 5 actions in 1h");
}

#[test]
fn a_subject_that_is_taken_waits_for_whoever_has_it() {
    let next = a_world().ledger(running("other", "another-policy", "cart")).next(&a_record(), 5);
    assert_eq!(next.state(), (WAITING, Some(Reason::SubjectLocked)));
    assert_eq!(next.message(), "Remediation shop/other is running on Deployment shop/cart");
    assert_eq!(next.again_at(), 6);
}

#[test]
fn a_second_record_of_the_same_policy_about_the_same_target_is_superseded() {
    let mut ledger = Ledger::default();
    ledger.take(a_mark(0).by("other").on("cart", "cart-1"));
    let next = a_world().ledger(ledger.clone()).next(&a_record(), 5);
    assert_eq!(next.state(), (Phase::Superseded, Some(Reason::SameTarget)));
    assert!(next.message().contains("shop/other"), "{}", next.message());

    let another_pod = a_world().ledger(ledger).target("cart-2").next(&a_record().about("cart-2"), 5);
    assert_eq!(another_pod.state(), (WAITING, Some(Reason::SubjectLocked)), "another target of the subject waits");
}

#[test]
fn concurrency_of_the_policy_and_in_all_are_limits() {
    let of_policy = a_world().ledger(running("other", "restart-cart", "till")).next(&a_record(), 5);
    assert_eq!(of_policy.state(), (WAITING, Some(Reason::Concurrency)));
    assert_eq!(of_policy.message(), "1 remediations of policy shop/restart-cart are running; it may have 1");

    let in_all = a_world().at_most(1).ledger(running("other", "another-policy", "till"));
    assert_eq!(in_all.next(&a_record(), 5).message(), "1 remediations are running; there may be 1");
    assert_eq!(in_all.at_most(2).next(&a_record(), 5).effect, Effect::Act);
}

#[test]
fn too_few_ready_pods_wait_and_the_message_has_the_figures() {
    let next = a_world().found(|found| found.pods.ready.truncate(2)).next(&a_record(), 5);
    assert_eq!(next.state(), (WAITING, Some(Reason::Availability)));
    let text = "Deployment shop/cart would have 1 ready pods left of 3, and minAvailable 50% asks for 2";
    assert_eq!(next.message(), text);
}

#[test]
fn evidence_that_is_not_firing_never_acts() {
    for record in [a_record(), a_record().waiting(Reason::Paused, 0)] {
        for (evidence, reason) in [
            (Evidence::Unknown("no answer".to_owned()), Reason::EvidenceUnknown),
            (Evidence::Unasked, Reason::EvidenceUnknown),
            (Evidence::Suppressed("silenced by 42".to_owned()), Reason::AlertSuppressed),
        ] {
            let next = a_world().evidence(evidence.clone()).next(&record, 5);
            assert_eq!(next.state(), (WAITING, Some(reason)), "{evidence:?}");
            assert!(matches!(next.effect, Effect::LookAgain(_)));
        }
    }
}

#[test]
fn a_clear_alert_skips_what_has_not_acted_whether_pending_or_waiting() {
    for confirmed in [true, false] {
        let clear = a_world().evidence(Evidence::Clear { confirmed });
        let next = clear.next(&a_record(), 5);
        assert_eq!((next.state(), &next.effect), ((Phase::Skipped, Some(Reason::AlertCleared)), &Effect::End));
        let waited = clear.next(&a_record().waiting(Reason::Cooldown, 0), 5);
        let text = "the alert is over; nothing was done (waited: Cooldown: the reason of the wait)";
        assert_eq!((waited.status.phase, waited.message()), (Phase::Skipped, text));
    }
}

#[test]
fn an_alert_that_clears_between_two_steps_has_not_been_helped() {
    let between = a_record().journal(ActionOutcome::Done, 10).at_step(1).in_phase(Phase::Pending, 400);
    let next = a_world().clear().next(&between, 401);
    assert_eq!(next.state(), (Phase::Failed, Some(Reason::NotHelped)));
}

#[test]
fn a_clear_alert_whose_action_had_no_effect_is_skipped() {
    let refused = a_record().journal(ActionOutcome::Disrupted, 10).waiting(Reason::Disruption, 10);
    assert_eq!(a_world().clear().next(&refused, 20).state(), (Phase::Skipped, Some(Reason::AlertCleared)));
}

// ---- Waiting

#[test]
fn a_wait_with_the_same_reason_and_nothing_else_to_say_is_not_written_again() {
    let world = a_world().paused(Ok("the reason of the wait"));
    let record = a_record().waiting(Reason::Paused, 0);
    let mut expected = record.status.clone();
    expected.target = Some(pod("cart-1"));
    expected.subject = Some(deployment("cart"));
    let first = world.next(&record, 100);
    assert!(first.status.checks.is_some());
    expected.checks.clone_from(&first.status.checks);
    assert_eq!(first.status, expected, "all but the target, which is known now with the checks, is as it was");
    let again = RecordFixture { status: first.status.clone(), ..record };
    assert_eq!(world.next(&again, 200).status, first.status);
}

#[test]
fn a_wait_with_something_else_to_say_is_renewed_at_most_once_a_minute_and_keeps_its_beginning() {
    let paused = |name: &str| a_world().paused(Ok(name));
    let mut record = a_record();
    record.status = paused("freeze").next(&record, 0).status;

    let early = paused("release").next(&record, 50);
    assert_eq!((&early.status, early.again_at()), (&record.status, 60), "and looked at again when it may be written");

    record.status = paused("release").next(&record, 60).status;
    assert_eq!((record.status.message.as_deref(), record.status.since), (Some("release"), Some(at(0))));
    assert_eq!(paused("release").next(&record, 300).status, record.status);

    assert_eq!(paused("freeze").next(&record, 119).status, record.status);
    let renewed = paused("freeze").next(&record, 120).status;
    assert_eq!(
        (renewed.message.as_deref(), renewed.since, renewed.renewed_at),
        (Some("freeze"), Some(at(0)), Some(at(120)))
    );

    let elsewhere = a_world().unknown().next(&RecordFixture { status: renewed, ..record }, 121).status;
    assert_eq!((elsewhere.since, elsewhere.renewed_at), (Some(at(121)), None), "another reason begins anew");
}

#[test]
fn a_cooldown_that_another_action_began_anew_says_until_when() {
    let cooling = |started: i64, by: &str| a_world().ledger(a_ledger([a_mark(started).by(by)]));
    let mut record = a_record();
    record.status = cooling(-100, "earlier").next(&record, 5).status;
    assert_eq!(record.status.until, Some(at(500)));
    let next = cooling(400, "another").next(&record, 500);
    assert_eq!((next.status.until, next.again_at(), next.status.since), (Some(at(1000)), 1000, Some(at(5))));
    assert!(next.message().contains("for shop/another"), "{}", next.message());
}

#[test]
fn a_wait_for_another_reason_is_written() {
    let record = a_record().waiting(Reason::Paused, 0);
    let next = a_world().unknown().next(&record, 100);
    assert_eq!(next.state(), (WAITING, Some(Reason::EvidenceUnknown)));
    assert_eq!(next.status.since, Some(at(100)));
    assert_eq!(next.message(), "Alertmanager does not answer");
}

#[test]
fn nothing_waits_for_more_than_a_day() {
    let paused = a_world().paused(Ok("freeze"));
    let record = a_record().waiting(Reason::Paused, 0);
    assert_eq!(paused.next(&record, DAY).status.phase, WAITING);
    let next = paused.next(&record, DAY + 1);
    assert_eq!((next.state(), &next.effect), ((Phase::Failed, Some(Reason::TimedOut)), &Effect::End));
    let text = "it waited for more than a day (waited: Paused: the reason of the wait)";
    assert_eq!(next.message(), text);
}

#[test]
fn a_wait_whose_reasons_take_turns_ends_after_a_day_too() {
    let reasons = [a_world().paused(Ok("freeze")), a_world().unknown(), a_world().policy_unseen()];
    let mut record = a_record();
    let mut ended = None;
    for quarter in 0..200 {
        let now = quarter * 15 * MINUTE;
        record.status = reasons[usize::try_from(quarter).unwrap() % reasons.len()].next(&record, now).status;
        if record.status.phase.is_terminal() {
            ended = Some(now);
            break;
        }
    }
    assert_eq!(ended, Some(DAY + 15 * MINUTE));
    assert_eq!((record.status.phase, record.status.reason), (Phase::Failed, Some(Reason::TimedOut)));
}

// ---- Acting

#[test]
fn an_action_that_was_done_is_verified() {
    let next = a_world().outcome(ActionOutcome::Done, "evicted").next(&a_record().acting(10), 12);
    assert_eq!(next.state(), (Phase::Verifying, Some(Reason::InProgress)));
    assert_eq!(next.again_at(), 13);
    let [entry] = &next.status.journal[..] else { panic!() };
    assert_eq!((entry.outcome, entry.ended_at), (ActionOutcome::Done, Some(at(12))));
    assert_eq!(entry.message.as_deref(), Some("evicted"));
    assert_eq!(next.message(), format!("done; verified until {}", at(312)));
}

#[test]
fn an_action_whose_outcome_is_not_known_yet_is_looked_into_and_never_done_again() {
    let record = a_record().acting(10);
    for world in [a_world(), a_world().unseen(), a_world().outcome(ActionOutcome::Running, "under way")] {
        let next = world.next(&record, 12);
        assert_eq!((next.status, next.effect), (record.status.clone(), Effect::Observe));
    }
}

#[test]
fn a_budget_that_stands_against_it_makes_it_wait_and_returns_the_slot() {
    let next = a_world().outcome(ActionOutcome::Disrupted, "budget cart").next(&a_record().acting(10), 12);
    assert_eq!(next.state(), (WAITING, Some(Reason::Disruption)));
    assert_eq!((next.outcomes(), next.message()), (vec![ActionOutcome::Disrupted], "budget cart"));
    assert!(!ActionOutcome::Disrupted.counts());
    let record = RecordFixture { status: next.status, ..a_record() };
    assert_eq!(a_world().next(&record, next_look(&a_world(), &record, 12)).effect, Effect::Act, "tried again");
}

/// When a record that is looked at now is looked at again, or now where it acts.
fn next_look(world: &WorldFixture, record: &RecordFixture, now: i64) -> i64 {
    match world.next(record, now).effect {
        Effect::LookAgain(then) => then.duration_since(at(0)).as_secs(),
        _ => now,
    }
}

#[test]
fn a_budget_that_stands_against_it_for_a_day_is_not_asked_so_often_that_the_journal_fills() {
    let mut record = a_record();
    let mut now = 0;
    let mut attempts = Vec::new();
    while !record.status.phase.is_terminal() {
        let next = a_world().next(&record, now);
        record.status = next.status;
        if next.effect == Effect::Act {
            attempts.push(now);
            record.status = a_world().outcome(ActionOutcome::Disrupted, "budget cart").next(&record, now).status;
        }
        // Whatever wakes it, the alert's repeats for example.
        now += 10;
        assert!(now < 2 * DAY, "it never ends");
    }
    assert!(record.status.journal.len() < JOURNAL_LENGTH, "the journal is full after {now}s: {attempts:?}");
    assert_eq!(record.status.reason, Some(Reason::TimedOut));
    assert!(attempts[4] < 2 * MINUTE, "a budget that gives way soon is noticed soon: {attempts:?}");
}

#[test]
fn a_precondition_that_conflicts_decides_anew() {
    let next = a_world().outcome(ActionOutcome::Conflict, "uid differs").next(&a_record().acting(10), 12);
    assert_eq!(next.state(), (Phase::Pending, Some(Reason::TargetChanged)));
    assert_eq!((next.again_at(), next.message()), (12, "the target had changed: uid differs"));
    assert_eq!(next.outcomes(), [ActionOutcome::Conflict]);
}

#[test]
fn what_was_found_not_to_be_done_is_decided_anew_and_later_every_time() {
    let not_done = a_world().outcome(ActionOutcome::NotDone, "the pod is still there");
    let next = not_done.next(&a_record().acting(10), 12);
    assert_eq!(next.state(), (Phase::Pending, Some(Reason::OutcomeUnknown)));
    let mut often = a_record();
    for number in 0..10 {
        often = often.journal(ActionOutcome::NotDone, number);
    }
    assert_eq!(not_done.next(&often.acting(20), 22).again_at(), 32, "10 tries, 10 seconds");
}

#[test]
fn what_is_refused_for_good_goes_on_with_the_next_step_or_fails_at_the_last() {
    let refused = a_world().outcome(ActionOutcome::Refused, "forbidden");
    let next = refused.next(&a_record().acting(10), 12);
    assert_eq!(next.state(), (Phase::Pending, Some(Reason::ActionFailed)));
    assert_eq!((next.status.step, next.again_at()), (1, 12));
    let last = refused.next(&a_record().with_steps(vec![restart_pod()]).acting(10), 12);
    assert_eq!((last.state(), &last.effect), ((Phase::Failed, Some(Reason::ActionFailed)), &Effect::End));
    assert_eq!(last.message(), "the API refused it: forbidden; there is no further step");
}

#[test]
fn an_outcome_that_nobody_can_tell_ends_in_failure_and_takes_no_further_step() {
    let next = a_world().outcome(ActionOutcome::Unknown, "time-out").next(&a_record().acting(10), 400);
    assert_eq!((next.state(), &next.effect), ((Phase::Failed, Some(Reason::OutcomeUnknown)), &Effect::End));
    assert_eq!(next.outcomes(), [ActionOutcome::Unknown]);
}

#[test]
fn a_cancel_while_acting_is_honoured_after_the_outcome() {
    let cancelled = a_world().cancelled("wrong pod");
    let record = a_record().acting(10);
    assert_eq!(cancelled.next(&record, 11).effect, Effect::Observe, "the outcome first");
    let done = cancelled.clone().outcome(ActionOutcome::Done, "evicted").next(&record, 12);
    assert_eq!(done.state(), (Phase::Verifying, Some(Reason::InProgress)));
    assert_eq!(done.outcomes(), [ActionOutcome::Done], "what was done is on record");
    let then = cancelled.next(&RecordFixture { status: done.status, ..record }, 13);
    assert_eq!((then.state(), &then.effect), ((Phase::Cancelled, Some(Reason::CancelRequested)), &Effect::End));
    assert_eq!(then.outcomes(), [ActionOutcome::Done]);
}

// ---- Verifying

#[test]
fn success_takes_unbroken_good_time_and_says_how_long_it_took() {
    let record = a_record().verifying(10);
    let early = a_world().well_since(20).next(&record, 79);
    assert_eq!((early.status.phase, early.again_at()), (Phase::Verifying, 80));
    let next = a_world().well_since(20).next(&record, 80);
    assert_eq!((next.state(), &next.effect), ((Phase::Succeeded, Some(Reason::Verified)), &Effect::End));
    assert_eq!(next.message(), "healthy, and the alert is over, 80s after it arrived");
    let [condition] = &next.status.conditions[..] else { panic!() };
    assert_eq!((condition.type_.as_str(), condition.status.as_str()), ("Confirmed", "True"));
}

#[test]
fn a_relapse_begins_the_good_time_anew() {
    let record = a_record().verifying(10);
    let relapsed = a_world().recovery(Health::Unhealthy("2 of 3".to_owned()), Evidence::Firing, None);
    assert_eq!(relapsed.next(&record, 70).status.phase, Phase::Verifying);
    assert_eq!(a_world().well_since(75).next(&record, 100).status.phase, Phase::Verifying);
    assert_eq!(a_world().well_since(75).next(&record, 135).status.phase, Phase::Succeeded);
}

#[test]
fn a_rule_may_ask_for_more_quiet_than_the_step_and_never_for_less() {
    let record = a_record().verifying(10);
    let quiet = |quiet: i64, now: i64| a_world().well_since(20).quiet_for(quiet).next(&record, now).status.phase;
    assert_eq!(quiet(180, 199), Phase::Verifying, "stableFor is a minute, but the rule fires after three only");
    assert_eq!(quiet(180, 200), Phase::Succeeded);
    assert_eq!(quiet(30, 79), Phase::Verifying, "stableFor says more than the rule");
    assert_eq!(quiet(30, 80), Phase::Succeeded);
    assert_eq!(quiet(600, 310), Phase::Verifying, "at the deadline it is good, and watched until it has lasted");
    assert_eq!(quiet(600, 620), Phase::Succeeded);
}

#[test]
fn a_query_that_holds_is_part_of_a_success() {
    let record = a_record().verifying(10);
    let next = a_world().well_since(20).query(QueryNow::Holds).next(&record, 80);
    assert_eq!(next.state(), (Phase::Succeeded, Some(Reason::Verified)));
    assert_eq!(next.message(), "healthy, and the alert is over, and verify.query holds, 80s after it arrived");
}

#[test]
fn a_query_that_does_not_hold_in_time_has_not_helped_and_one_that_nobody_can_tell_of_is_unverified() {
    let record = a_record().verifying(10);
    let well =
        |query: QueryNow| a_world().recovery(Health::Healthy, Evidence::Clear { confirmed: true }, None).query(query);
    let (no, unknown) =
        (|| QueryNow::No("it holds for 0 of 1 series".to_owned()), || QueryNow::Unknown("no data".to_owned()));
    for query in [no(), unknown()] {
        assert_eq!(well(query).next(&record, 309).status.phase, Phase::Verifying, "there is time yet");
    }
    let next = well(no()).next(&record, 310);
    assert_eq!(next.state(), (Phase::Pending, Some(Reason::NotHelped)));
    assert_eq!(next.message(), "step 0: verify.query does not hold: it holds for 0 of 1 series");
    let next = well(unknown()).next(&record, 310);
    assert_eq!(next.state(), (Phase::Failed, Some(Reason::Unverified)));
    assert_eq!(next.message(), "whether it helped cannot be told: verify.query: no data");
    let firing = a_world().recovery(Health::Healthy, Evidence::Firing, None).query(unknown());
    assert_eq!(firing.next(&record, 310).state(), (Phase::Pending, Some(Reason::NotHelped)), "the alert says enough");
    let unasked = a_world().recovery(Health::Healthy, Evidence::Unasked, Some(20)).query(unknown());
    assert_eq!(
        unasked.next(&record, 310).state(),
        (Phase::Failed, Some(Reason::Unverified)),
        "an old good time is none"
    );
}

#[test]
fn a_success_that_only_a_notice_speaks_for_is_not_confirmed() {
    let told = a_world().recovery(Health::Healthy, Evidence::Clear { confirmed: false }, Some(20));
    let next = told.next(&a_record().verifying(10), 80);
    assert_eq!(next.status.phase, Phase::Succeeded);
    assert_eq!(next.status.conditions[0].status, "False");
}

#[test]
fn the_deadline_decides_by_what_is_seen_then() {
    let unhealthy = || Health::Unhealthy("2 of 3 pods are ready".to_owned());
    let unknown = || Health::Unknown("no answer".to_owned());
    let unasked = Evidence::Unasked;
    let no_answer = Evidence::Unknown("no answer".to_owned());
    let suppressed = Evidence::Suppressed("silenced by 42".to_owned());
    let again = (Phase::Pending, Some(Reason::NotHelped));
    let failed = (Phase::Failed, Some(Reason::Unverified));
    let succeeded = (Phase::Succeeded, Some(Reason::Verified));
    let watched = (Phase::Verifying, None);
    let clear = Evidence::Clear { confirmed: true };
    let table = [
        (Health::Healthy, Evidence::Firing, None, again),
        (Health::Healthy, suppressed, None, again),
        (unhealthy(), clear.clone(), None, again),
        (unhealthy(), no_answer.clone(), None, again),
        (unhealthy(), Evidence::Firing, None, again),
        (Health::Healthy, clear.clone(), Some(251), watched),
        (Health::Healthy, clear, Some(250), succeeded),
        (Health::Healthy, no_answer.clone(), None, failed),
        (unknown(), Evidence::Firing, None, failed),
        (unknown(), no_answer, None, failed),
        (Health::Healthy, unasked.clone(), Some(250), succeeded),
        (Health::Healthy, unasked, Some(309), watched),
    ];
    let record = a_record().verifying(10);
    for (health, evidence, good_since, expected) in table {
        let world = a_world().recovery(health.clone(), evidence.clone(), good_since);
        let story = format!("{health:?}, {evidence:?}, good since {good_since:?}");
        let before = world.next(&record, 309);
        assert_eq!((before.status.phase, before.again_at()), (Phase::Verifying, 310), "a second before: {story}");
        assert_eq!(world.next(&record, 310).state(), expected, "{story}");
    }
}

#[test]
fn what_is_good_at_the_deadline_but_not_for_long_enough_is_watched_until_it_has_lasted_or_broken() {
    let record = a_record().verifying(10);
    for evidence in [Evidence::Clear { confirmed: true }, Evidence::Unasked] {
        let good = a_world().recovery(Health::Healthy, evidence, Some(300));
        for now in [310, 359] {
            let next = good.next(&record, now);
            assert_eq!((next.status.phase, next.again_at()), (Phase::Verifying, now + 1));
        }
        assert_eq!(good.next(&record, 360).state(), (Phase::Succeeded, Some(Reason::Verified)));
    }
    let broken = a_world().recovery(Health::Unhealthy("2 of 3".to_owned()), Evidence::Firing, None);
    assert_eq!(broken.next(&record, 340).state(), (Phase::Pending, Some(Reason::NotHelped)));
}

#[test]
fn where_nobody_can_be_asked_health_until_the_deadline_is_an_unconfirmed_success() {
    let world = a_world().recovery(Health::Healthy, Evidence::Unasked, Some(20));
    assert_eq!(world.next(&a_record().verifying(10), 200).status.phase, Phase::Verifying, "an alert may still come");
    let next = world.next(&a_record().verifying(10), 310);
    assert_eq!(next.status.phase, Phase::Succeeded);
    assert_eq!(next.status.conditions[0].status, "False");
    assert_eq!(next.status.conditions[0].reason, "NobodyToAsk");
}

#[test]
fn a_step_that_did_not_help_is_followed_by_the_next_with_a_fresh_target_and_no_cooldown() {
    let firing = a_world().recovery(Health::Healthy, Evidence::Firing, None);
    let next = firing.next(&a_record().verifying(10), 310);
    assert_eq!((next.status.step, next.again_at()), (1, 310));
    assert_eq!(next.message(), "step 0: the alert still fires");

    // The ledger still has the first step, well within the cooldown; the pod is another one by now.
    let mut ledger = Ledger::default();
    ledger.take(a_mark(10).by("rem-1"));
    ledger.follow(&key("rem-1"), Phase::Pending);
    let record = RecordFixture { status: next.status, ..a_record() };
    let then = a_world().target("cart-4").ledger(ledger).next(&record, 310);
    assert_eq!(then.effect, Effect::Act);
    let entry = then.status.journal.last().unwrap();
    assert_eq!((entry.step, entry.action.as_str()), (1, "rolloutRestart"));
    assert_eq!(entry.target, deployment("cart"), "a restart by rollout acts on the subject");
    assert_eq!(then.status.target, Some(deployment("cart")));
    assert_eq!(then.outcomes(), [ActionOutcome::Done, ActionOutcome::Running]);
}

#[test]
fn after_the_last_step_it_has_failed() {
    let record = a_record().at_step(1).verifying(10);
    let next = a_world().recovery(Health::Healthy, Evidence::Firing, None).next(&record, 310);
    assert_eq!((next.state(), &next.effect), ((Phase::Failed, Some(Reason::NotHelped)), &Effect::End));
    assert_eq!(next.message(), "the alert still fires; there is no further step");
}

#[test]
fn a_first_step_begins_where_the_last_remediation_left_off() {
    let tried = a_ledger([a_mark(-700).by("earlier")]);
    let next = a_world().ledger(tried).next(&a_record(), 5);
    assert_eq!((next.effect, next.status.step), (Effect::Act, 1));
    assert_eq!(next.status.journal[0].action, "rolloutRestart");
    let long_ago = a_ledger([a_mark(-HOUR).by("earlier")]);
    assert_eq!(a_world().ledger(long_ago).next(&a_record(), 5).status.step, 0);
}

#[test]
fn a_verifying_record_without_a_look_waits_for_one() {
    let record = a_record().verifying(10);
    let next = a_world().unseen().next(&record, 400);
    assert_eq!((next.status, next.effect), (record.status, Effect::LookAgain(at(400))));
}

// ---- any open state

#[test]
fn a_cancel_ends_every_open_state_but_acting_at_once() {
    let records = [
        a_record(),
        a_record().waiting(Reason::Cooldown, 0),
        a_record().verifying(10),
        a_record().journal(ActionOutcome::DryRun, 10).in_phase(Phase::Observing, 10),
    ];
    for record in records {
        let next = a_world().cancelled("not now").next(&record, 20);
        assert_eq!(next.state(), (Phase::Cancelled, Some(Reason::CancelRequested)), "{:?}", record.status.phase);
        assert_eq!((next.message(), next.effect), ("cancelled: not now", Effect::End));
    }
}

#[test]
fn a_policy_that_is_gone_cancels_what_has_not_acted() {
    let observing = a_record().mode(Mode::DryRun).journal(ActionOutcome::DryRun, 10).in_phase(Phase::Observing, 10);
    for record in [a_record(), a_record().waiting(Reason::Cooldown, 0), observing] {
        let next = a_world().policy_gone().next(&record, 20);
        assert_eq!(next.state(), (Phase::Cancelled, Some(Reason::PolicyChanged)), "{:?}", record.status.phase);
    }
}

#[test]
fn what_acts_finishes_without_its_policy_but_takes_no_further_step() {
    let gone = a_world().policy_gone();
    let done = gone.clone().outcome(ActionOutcome::Done, "evicted").next(&a_record().acting(10), 12);
    assert_eq!(done.status.phase, Phase::Verifying);
    let verified = gone.clone().well_since(20).next(&a_record().verifying(10), 80);
    assert_eq!(verified.status.phase, Phase::Succeeded);
    let not_helped = gone.recovery(Health::Healthy, Evidence::Firing, None).next(&a_record().verifying(10), 310);
    assert_eq!(not_helped.state(), (Phase::Failed, Some(Reason::NotHelped)));
    let text = "the alert still fires; its policy is gone, so nothing more is done";
    assert_eq!(not_helped.message(), text);
}

#[test]
fn a_policy_that_cannot_be_seen_for_a_moment_is_waited_for() {
    let next = a_world().policy_unseen().next(&a_record(), 5);
    assert_eq!(next.state(), (WAITING, Some(Reason::PolicyUnavailable)));
    assert_eq!(next.again_at(), 6);
}

#[test]
fn a_policy_that_changed_its_steps_its_match_or_its_target_cancels_what_has_not_acted() {
    let changes = [
        ("the policy's steps changed", a_policy("restart-cart").steps(vec![delete_pod()])),
        (
            "the policy does not match the alert any more",
            a_policy("restart-cart").matching(&["alertname=\"MemoryLeak\"", "team=\"blue\""]),
        ),
        (
            "the policy's target changed",
            a_policy("restart-cart").steps(vec![rollout_restart()]).targeting(crate::api::TargetKind::Deployment),
        ),
        ("the policy is disabled", a_policy("restart-cart").mode(Mode::Disabled)),
    ];
    for (text, policy) in changes {
        let record = a_record().with_steps(match text {
            "the policy's target changed" => vec![rollout_restart()],
            _ => vec![restart_pod(), rollout_restart()],
        });
        let next = a_world().policy(policy.clone()).next(&record, 5);
        assert_eq!((next.status.phase, next.message()), (Phase::Cancelled, text));

        let acted = record.at_step(0).journal(ActionOutcome::Done, 1).in_phase(Phase::Pending, 2);
        let next = a_world().policy(policy).next(&acted, 5);
        assert_eq!(next.state(), (Phase::Failed, Some(Reason::NotHelped)), "{text}: it did act");
        assert_eq!(next.message(), format!("{text}, so no further step is taken"));
    }
}

#[test]
fn a_change_that_a_record_can_follow_does_not_cancel_it() {
    let reworded = a_policy("restart-cart").matching(&["alertname=~\"MemoryLeak|OutOfMemory\""]);
    assert_eq!(a_world().policy(reworded).next(&a_record(), 5).effect, Effect::Act);
}

#[test]
fn of_mode_and_limits_the_stricter_of_then_and_now_holds() {
    let dry = a_policy("restart-cart").mode(Mode::DryRun);
    assert_eq!(a_world().policy(dry).next(&a_record(), 5).status.phase, Phase::Observing, "now");
    assert_eq!(a_world().next(&a_record().mode(Mode::DryRun), 5).status.phase, Phase::Observing, "then");

    let cooling = || a_world().ledger(a_ledger([a_mark(-700).by("earlier")]));
    let longer = || a_policy("restart-cart").limits(|limits| limits.cooldown = seconds(HOUR));
    assert_eq!(cooling().next(&a_record(), 5).effect, Effect::Act, "the twin: ten minutes are over");
    let now = cooling().policy(longer()).next(&a_record(), 5);
    assert_eq!((now.status.reason, now.status.until), (Some(Reason::Cooldown), Some(at(2900))), "now");
    let then = cooling().next(&a_record_of(&longer().build()), 5);
    assert_eq!((then.status.reason, then.status.until), (Some(Reason::Cooldown), Some(at(2900))), "then");
}

#[test]
fn of_two_rates_both_hold() {
    let others = |number: i64, from: i64| {
        a_world().ledger(a_ledger((0..number).map(|i| a_mark(from + i).on(&format!("other-{i}"), "other"))))
    };
    let many_a_day = || a_policy("restart-cart").limits(|limits| limits.rate = rate(100, DAY));
    // 100 a day is less in the long run than 5 an hour, but would let 6 pass in this hour.
    let in_this_hour = others(5, -1000).policy(many_a_day()).next(&a_record(), 5);
    assert_eq!(in_this_hour.state(), (WAITING, Some(Reason::RateLimited)));
    assert_eq!(in_this_hour.message(), "policy shop/restart-cart has used its 5 actions in 1h");
    let over_the_day = others(100, -2 * HOUR).policy(many_a_day()).next(&a_record(), 5);
    assert_eq!(over_the_day.message(), "policy shop/restart-cart has used its 100 actions in 24h");
    assert_eq!(others(4, -1000).policy(many_a_day()).next(&a_record(), 5).effect, Effect::Act);
}

#[test]
fn a_policy_that_was_narrowed_does_not_act_in_the_namespaces_it_left() {
    let mut elsewhere = a_policy("restart-cart").build();
    elsewhere.namespaces = vec!["till".to_owned()];
    elsewhere.reference.hash = "another".to_owned();
    let next = a_world().compiled(&elsewhere).next(&a_record(), 5);
    assert_eq!(next.state(), (Phase::Skipped, Some(Reason::NotPermitted)));
    let mut everywhere = elsewhere;
    everywhere.namespaces = vec!["*".to_owned()];
    assert_eq!(a_world().compiled(&everywhere).next(&a_record(), 5).effect, Effect::Act);
}

#[test]
fn the_total_time_out_counts_neither_waits_nor_the_actions_own_time() {
    let timed_out = (Phase::Failed, Some(Reason::TimedOut));
    let pending = a_record().in_phase(Phase::Pending, 0);
    assert_ne!(a_world().next(&pending, HOUR).state(), timed_out);
    assert_eq!(a_world().next(&pending, HOUR + 1).state(), timed_out);

    let verifying = a_record().active_for(HOUR - 30).verifying(0);
    let firing = a_world().recovery(Health::Healthy, Evidence::Firing, None);
    assert_eq!(firing.next(&verifying, 30).status.phase, Phase::Verifying);
    assert_eq!(firing.next(&verifying, 31).state(), timed_out, "both phases are counted together");

    let waiting = a_record().active_for(HOUR - 30).waiting(Reason::Cooldown, 0);
    assert_eq!(a_world().next(&waiting, 10 * HOUR).effect, Effect::Act, "a wait does not count");
    let acting = a_record().active_for(HOUR - 30).acting(0);
    let done = a_world().outcome(ActionOutcome::Done, "at last").next(&acting, 2 * HOUR);
    assert_eq!((done.status.phase, done.status.active_seconds), (Phase::Verifying, HOUR - 30));
}

#[test]
fn time_is_added_up_over_the_phases_that_count() {
    let next = a_world().next(&a_record().active_for(100).in_phase(Phase::Pending, 0), 40);
    assert_eq!(next.status.active_seconds, 140);
    let next = a_world().next(&a_record().active_for(100).waiting(Reason::Cooldown, 0), 40);
    assert_eq!(next.status.active_seconds, 100);
}

// ---- Observing

#[test]
fn a_dry_run_says_whether_the_alert_cleared_by_itself() {
    let record = a_record().mode(Mode::DryRun).journal(ActionOutcome::DryRun, 10).in_phase(Phase::Observing, 10);
    let still = a_world().next(&record, 60);
    assert_eq!((still.status.clone(), still.again_at()), (record.status.clone(), 75));
    let cleared = a_world().clear().next(&record, 70);
    assert_eq!((cleared.state(), &cleared.effect), ((Phase::DryRun, Some(Reason::AlertCleared)), &Effect::End));
    assert_eq!(cleared.status.cleared_after.as_deref(), Some("60s"));
    let text = "would evict Pod shop/cart-1 (uid uid-cart-1); the alert cleared by itself 60s later";
    assert_eq!(cleared.message(), text);
    let needed = a_world().next(&record, 11 + HOUR);
    assert_eq!((needed.state(), needed.effect), ((Phase::DryRun, Some(Reason::TimedOut)), Effect::End));
    assert_eq!(needed.status.cleared_after, None);
    assert!(needed.status.message.unwrap().ends_with("the alert still fired an hour later"));
}

#[test]
fn a_dry_run_ends_where_its_policy_is_none_any_more_so_that_the_next_notice_begins_one_that_acts() {
    let dry = a_policy("restart-cart").mode(Mode::DryRun).build();
    let record = a_record_of(&dry).journal(ActionOutcome::DryRun, 10).in_phase(Phase::Observing, 10);
    let policy = || a_policy("restart-cart");
    assert_eq!(a_world().policy(policy().mode(Mode::DryRun)).next(&record, 20).status.phase, Phase::Observing);
    for mode in [Mode::Enforce, Mode::Disabled] {
        let next = a_world().policy(policy().mode(mode)).next(&record, 20);
        assert_eq!(next.state(), (Phase::Cancelled, Some(Reason::PolicyChanged)), "{mode:?}");
    }
    let limits = policy().mode(Mode::DryRun).limits(|limits| limits.concurrency = 7);
    assert_eq!(a_world().policy(limits).next(&record, 20).status.phase, Phase::Observing, "other changes end nothing");
}

#[test]
fn a_dry_run_counts_on_the_shadow_ledger_only() {
    let busy = a_ledger((0..5).map(|number| a_mark(-500 + number)));
    let dry = a_record().mode(Mode::DryRun);
    assert_eq!(a_world().ledger(busy.clone()).next(&dry, 5).status.phase, Phase::Observing);
    assert_eq!(a_world().shadow(busy.clone()).next(&dry, 5).status.reason, Some(Reason::Cooldown));
    assert_eq!(a_world().shadow(busy).next(&a_record(), 5).effect, Effect::Act, "and nobody else sees it");
}

// ---- the end

#[test]
fn what_has_ended_stays_as_it_is() {
    for phase in Phase::ALL.into_iter().filter(|phase| phase.is_terminal()) {
        let record = a_record().in_phase(phase, 10);
        for world in [a_world(), a_world().clear(), a_world().cancelled("late"), a_world().policy_gone()] {
            let next = world.next(&record, 2 * DAY);
            assert_eq!((next.status, next.effect), (record.status.clone(), Effect::End));
        }
    }
}

#[test]
fn a_journal_that_is_full_ends_the_record() {
    let mut record = a_record();
    for number in 0..i64::try_from(JOURNAL_LENGTH).unwrap() - 1 {
        record = record.journal(ActionOutcome::NotDone, number);
    }
    let last = a_world().next(&record, 100);
    assert_eq!((last.effect, last.status.journal.len()), (Effect::Act, JOURNAL_LENGTH));
    let next = a_world().next(&record.journal(ActionOutcome::NotDone, 100), 101);
    assert_eq!((next.status.phase, next.status.journal.len()), (Phase::Failed, JOURNAL_LENGTH));
    let text = "its journal has 64 actions, as many as it may; the last one, restartPod of Pod shop/cart-1, came to \
                NotDone";
    assert_eq!(next.message(), text);
}

#[test]
fn a_record_whose_step_is_not_there_fails_instead_of_acting() {
    let mut record = a_record().journal(ActionOutcome::Conflict, 1);
    record.status.step = 9;
    let next = a_world().next(&record, 5);
    assert_eq!(next.state(), (Phase::Failed, Some(Reason::ActionFailed)));
    assert_eq!(next.message(), "the record has no step 9");
}

#[test]
fn a_subject_that_cannot_roll_is_not_restarted_by_rollout() {
    let record = a_record().journal(ActionOutcome::Done, 1).at_step(1).in_phase(Phase::Pending, 2);
    let paused = a_world().found(|found| found.subject.state.rollout = Rollout::Never);
    assert_eq!(paused.next(&record, 5).state(), (Phase::Skipped, Some(Reason::NotPermitted)));
}

#[test]
fn the_asker_is_never_in_its_own_way() {
    let own: Mark = a_mark(0).by("rem-1");
    let mut ledger = Ledger::default();
    ledger.take(own);
    let key: ObjectKey = key("rem-1");
    ledger.follow(&key, Phase::Waiting);
    let record = a_record().journal(ActionOutcome::Done, 0).in_phase(Phase::Pending, 300);
    assert_eq!(a_world().ledger(ledger).next(&record, 300).effect, Effect::Act, "within its own cooldown");
}

// ---- AwaitingApproval

fn by_approval() -> WorldFixture {
    a_world().policy(a_policy("restart-cart").mode(Mode::RequireApproval))
}

#[test]
fn what_passes_every_check_awaits_an_approval_of_that_very_plan() {
    let next = by_approval().next(&a_record().mode(Mode::RequireApproval), 5);
    assert_eq!(next.state(), (Phase::AwaitingApproval, Some(Reason::ApprovalRequired)));
    assert_eq!(next.outcomes(), []);
    assert_eq!(next.again_at(), 20);
    assert_eq!(next.status.until, Some(at(5 + HOUR)));
    assert_eq!((next.status.target, next.status.subject), (Some(pod("cart-1")), Some(deployment("cart"))));
    assert_eq!(next.status.plan.as_deref(), Some("evict Pod shop/cart-1 (uid uid-cart-1)"));
    assert_eq!(next.status.plan_hash.map(|hash| hash.len()), Some(64));
}

#[test]
fn nobody_is_asked_about_what_a_check_refuses() {
    let record = a_record().mode(Mode::RequireApproval);
    let next = by_approval().paused(Ok("release")).next(&record, 5);
    assert_eq!(next.state(), (WAITING, Some(Reason::Paused)));
}

#[test]
fn an_approved_plan_passes_every_check_again_and_is_then_done_and_signed() {
    let record = a_record().awaiting(5);
    let world = by_approval().says(Decision::Approve, &record, 50);
    let approved = world.next(&record, 60);
    assert_eq!(approved.state(), (Phase::Pending, Some(Reason::Approved)));
    assert_eq!((approved.again_at(), approved.outcomes()), (60, vec![]));
    let record = RecordFixture { status: approved.status, ..record };

    let paused = world.clone().paused(Ok("release")).next(&record, 61);
    assert_eq!(paused.state(), (WAITING, Some(Reason::Paused)), "a consent is no way round a check");

    let acting = world.next(&record, 61);
    assert_eq!((acting.status.phase, acting.effect), (Phase::Acting, Effect::Act));
    let by = acting.status.journal[0].approved_by.clone().unwrap();
    assert_eq!((by.approver.as_str(), by.approval.as_str()), ("kim", "rem-1-abcde"));
}

#[test]
fn another_target_is_another_plan_that_somebody_has_to_approve() {
    let record = a_record().awaiting(5);
    let world = by_approval().says(Decision::Approve, &record, 50);
    let approved = RecordFixture { status: world.next(&record, 60).status, ..record.clone() };
    let another = |found: &mut crate::target::Resolved| found.target.uid = "uid-of-the-next-one".to_owned();
    let asked = world.clone().found(another).next(&approved, 61);
    assert_eq!(asked.state(), (Phase::AwaitingApproval, Some(Reason::ApprovalRequired)));
    assert_ne!(asked.status.plan_hash, record.status.plan_hash);
    assert_eq!(asked.status.target.unwrap().uid, "uid-of-the-next-one");
    assert_eq!(asked.status.until, Some(at(61 + HOUR)), "there is an hour for it again");

    // Nobody has answered yet: the question is kept up to date.
    let renewed = by_approval().found(another).next(&record, 20);
    assert_eq!(renewed.state(), (Phase::AwaitingApproval, Some(Reason::ApprovalRequired)));
    assert_ne!(renewed.status.plan_hash, record.status.plan_hash);
    assert!(renewed.message().contains("another one now"), "{}", renewed.message());
    let same = by_approval().next(&record, 20);
    assert_eq!((same.status, same.effect), (record.status, Effect::LookAgain(at(35))));
}

#[test]
fn a_denied_plan_is_cancelled() {
    let record = a_record().awaiting(5);
    let denied = by_approval().says(Decision::Approve, &record, 40).says(Decision::Deny, &record, 50);
    let next = denied.next(&record, 60);
    assert_eq!((next.state(), next.effect), ((Phase::Cancelled, Some(Reason::ApprovalDenied)), Effect::End));
    assert!(next.message().contains("kim"), "{}", next.message());
    // Also where the yes was seen first.
    let approved = RecordFixture {
        status: by_approval().says(Decision::Approve, &record, 40).next(&record, 45).status,
        ..record.clone()
    };
    assert_eq!(denied.next(&approved, 60).state(), (Phase::Cancelled, Some(Reason::ApprovalDenied)));
}

#[test]
fn a_plan_that_nobody_approves_in_time_fails_and_its_twin_a_second_earlier_acts() {
    let record = a_record().awaiting(5);
    assert_eq!(by_approval().next(&record, 4 + HOUR).status.phase, Phase::AwaitingApproval);
    let late = by_approval().next(&record, 5 + HOUR);
    assert_eq!((late.state(), late.effect), ((Phase::Failed, Some(Reason::ApprovalExpired)), Effect::End));
    assert!(late.message().contains("evict Pod shop/cart-1"), "{}", late.message());
    let just = by_approval().says(Decision::Approve, &record, 4 + HOUR);
    assert_eq!(just.next(&record, 5 + HOUR).status.phase, Phase::Pending, "somebody did, and was not seen in time");
    // Also where it cannot be seen, and where nothing was looked at.
    assert_eq!(by_approval().policy_unseen().next(&record, 5 + HOUR).state().1, Some(Reason::ApprovalExpired));
    assert_eq!(by_approval().unseen().next(&record, 5 + HOUR).state().1, Some(Reason::ApprovalExpired));
}

#[test]
fn a_shorter_time_for_an_answer_than_the_record_was_made_with_holds() {
    let mut policy = a_policy("restart-cart").mode(Mode::RequireApproval);
    policy.spec.approval.within = seconds(10 * MINUTE);
    let asked = a_world().policy(policy).next(&a_record().mode(Mode::RequireApproval), 5);
    assert_eq!(asked.status.until, Some(at(5 + 10 * MINUTE)));
}

#[test]
fn whether_it_is_approved_cannot_be_told_so_nothing_is_done() {
    let record = a_record().awaiting(5);
    let mut world = by_approval();
    world.consents = Consents::Unknown { forbidden: true, why: "forbidden".to_owned() };
    assert_eq!(world.next(&record, 60).status, record.status);
    let pending = a_record().mode(Mode::RequireApproval);
    assert_eq!(world.next(&pending, 60).state(), (WAITING, Some(Reason::Forbidden)));
    world.consents = Consents::Unasked;
    assert_eq!(world.next(&pending, 60).state(), (WAITING, Some(Reason::ApiUnavailable)));
}

#[test]
fn what_ends_a_wait_ends_the_wait_for_an_approval() {
    let record = a_record().awaiting(5);
    assert_eq!(by_approval().clear().next(&record, 60).state(), (Phase::Skipped, Some(Reason::AlertCleared)));
    let cancelled = by_approval().cancelled("enough").next(&record, 60);
    assert_eq!(cancelled.state(), (Phase::Cancelled, Some(Reason::CancelRequested)));
    let gone = by_approval().policy_gone().next(&record, 60);
    assert_eq!(gone.state(), (Phase::Cancelled, Some(Reason::PolicyChanged)));
    let opted_out = by_approval().found(|found| found.opted_out = Some("Pod shop/cart-1".to_owned()));
    assert_eq!(opted_out.next(&record, 60).state(), (Phase::Skipped, Some(Reason::OptedOut)));
    // What passes by itself does not: the checks are made again once somebody has answered.
    assert_eq!(by_approval().paused(Ok("release")).next(&record, 60).status, record.status);
    assert_eq!(by_approval().policy_unseen().next(&record, 60).status, record.status);
    assert_eq!(by_approval().unknown().next(&record, 60).status, record.status);
}

#[test]
fn of_the_mode_then_and_now_the_stricter_asks() {
    let stricter_now = by_approval().next(&a_record(), 5);
    assert_eq!(stricter_now.status.phase, Phase::AwaitingApproval);
    let stricter_then = a_world().next(&a_record().mode(Mode::RequireApproval), 5);
    assert_eq!(stricter_then.status.phase, Phase::AwaitingApproval);
    // And a policy that acts again needs no answer to what it asked meanwhile.
    let mut record = a_record().awaiting(5);
    record.spec.mode = Mode::Enforce;
    assert_eq!(a_world().next(&record, 60).state(), (Phase::Pending, Some(Reason::PolicyChanged)));
    let dry = a_world().policy(a_policy("restart-cart").mode(Mode::DryRun)).next(&record, 60);
    assert_eq!(dry.state(), (Phase::Pending, Some(Reason::PolicyChanged)));
}

#[test]
fn the_next_step_needs_an_approval_of_its_own() {
    let record = a_record().awaiting(5);
    let world = by_approval().says(Decision::Approve, &record, 10);
    let mut second = record.clone().journal(ActionOutcome::Done, 20).at_step(1).in_phase(Phase::Pending, 400);
    second.spec.mode = Mode::RequireApproval;
    let next = world.next(&second, 401);
    assert_eq!(next.state(), (Phase::AwaitingApproval, Some(Reason::ApprovalRequired)));
    assert_ne!(next.status.plan_hash, record.status.plan_hash);
    assert_eq!(next.status.target, Some(deployment("cart")));
}

// ---- what the API server would refuse

#[test]
fn what_would_be_refused_is_not_tried_and_its_twin_acts() {
    let refused = Access::Refused("kim may not create pods/eviction in namespace shop".to_owned());
    let next = a_world().access(&refused).next(&a_record(), 5);
    assert_eq!((next.state(), next.effect), ((Phase::Skipped, Some(Reason::NotPermitted)), Effect::End));
    assert_eq!(next.outcomes(), []);
    assert!(next.message().contains("may not create pods/eviction"), "{}", next.message());
    assert_eq!(a_world().access(&Access::Allowed).next(&a_record(), 5).effect, Effect::Act);
}

#[test]
fn whether_it_would_be_refused_cannot_be_told_so_it_waits() {
    let unknown = |forbidden| Access::Unknown { forbidden, why: "no answer".to_owned() };
    let state = |access: &Access| a_world().access(access).next(&a_record(), 5).state();
    assert_eq!(state(&unknown(false)), (WAITING, Some(Reason::ApiUnavailable)));
    assert_eq!(state(&unknown(true)), (WAITING, Some(Reason::Forbidden)));
    let mut unasked = a_world();
    unasked.access.clear();
    assert_eq!(unasked.next(&a_record(), 5).state(), (WAITING, Some(Reason::ApiUnavailable)));
}

#[test]
fn in_whose_name_it_is_done_is_part_of_the_plan() {
    let mut record = a_record().mode(Mode::RequireApproval);
    let own = by_approval().next(&record, 5).status;
    let mut policy = a_policy("restart-cart").mode(Mode::RequireApproval);
    policy.spec.service_account_name = Some("repairs".to_owned());
    record.spec.service_account_name = Some("repairs".to_owned());
    let theirs = a_world().policy(policy).next(&record, 5).status;
    assert_eq!(theirs.plan.as_deref(), Some("evict Pod shop/cart-1 (uid uid-cart-1), as service account shop/repairs"));
    assert_ne!(theirs.plan_hash, own.plan_hash);
    // And a policy that names another one now is not followed.
    let changed = by_approval().next(&record, 5);
    assert_eq!(changed.state(), (Phase::Cancelled, Some(Reason::PolicyChanged)));
}
