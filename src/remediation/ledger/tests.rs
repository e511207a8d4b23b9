//! The limits' memory: what it allows, until when it refuses, and that it is the same after a restart.

use proptest::prelude::*;

use super::*;
use crate::remediation::fixtures::*;

fn limits() -> Limits {
    Limits { rate: rate(3, HOUR), ..Limits::default() }
}

fn policy(name: &str) -> PolicyKey {
    a_mark(0).of(name).policy
}

fn until(limited: Result<(), Limited>) -> Option<Timestamp> {
    match limited {
        Ok(()) => None,
        Err(Limited::Cooldown { until, .. } | Limited::Rate { until, .. }) => Some(until),
        Err(other) => panic!("{other:?}"),
    }
}

// ---- cooldown

#[test]
fn a_cooldown_belongs_to_the_subject_whichever_policy_and_pod_it_was() {
    let ledger = a_ledger([a_mark(0).of("another-policy").on("cart", "cart-3").by("other")]);
    let cooldown = |subject: &str, now: i64| ledger.cooldown(subject, &limits(), &key("asker"), at(now));
    assert_eq!(until(cooldown("uid-cart", 599)), Some(at(600)));
    assert_eq!(cooldown("uid-cart", 600), Ok(()));
    assert_eq!(cooldown("uid-till", 1), Ok(()));
    assert_eq!(cooldown("uid-cart", 1), Err(Limited::Cooldown { until: at(600), by: key("other") }));
}

#[test]
fn a_ladder_goes_on_at_once_but_not_past_another_records_cooldown() {
    let ledger = a_ledger([a_mark(0).by("asker"), a_mark(10).by("other"), a_mark(20).by("asker")]);
    let cooldown = ledger.cooldown("uid-cart", &limits(), &key("asker"), at(30));
    assert_eq!(cooldown, Err(Limited::Cooldown { until: at(610), by: key("other") }));
    let own = a_ledger([a_mark(0).by("asker")]);
    assert_eq!(own.cooldown("uid-cart", &limits(), &key("asker"), at(1)), Ok(()));
}

#[test]
fn a_clock_that_was_set_back_does_not_shorten_a_cooldown() {
    let ledger = a_ledger([a_mark(100).by("before"), a_mark(-400).by("after")]);
    let cooldown = ledger.cooldown("uid-cart", &limits(), &key("asker"), at(-390));
    assert_eq!(until(cooldown), Some(at(700)));
    assert!(ledger.ended_lately(at(-390)).contains("uid-cart-1"));
}

// ---- rate

#[test]
fn a_rate_slides_and_names_the_second_at_which_a_slot_is_free() {
    let marks = [0, 100, 2000].map(|time| a_mark(time).on("cart", "pod"));
    let full = a_ledger(marks.clone());
    let slot = |ledger: &Ledger, now: i64| until(ledger.rate(&policy("restart-cart"), limits().rate, at(now)));
    assert_eq!(slot(&a_ledger(marks[..2].to_vec()), 2000), None, "two of three");
    assert_eq!(slot(&full, 2000), Some(at(HOUR)), "when the first is an hour old");
    assert_eq!(slot(&full, HOUR - 1), Some(at(HOUR)));
    assert_eq!(slot(&full, HOUR), None);
    let refilled = a_ledger(marks.into_iter().chain([a_mark(HOUR)]));
    assert_eq!(slot(&refilled, HOUR), Some(at(HOUR + 100)));
    assert_eq!(until(full.rate(&policy("another-policy"), limits().rate, at(2000))), None, "per policy");
}

#[test]
fn a_rate_that_was_lowered_waits_until_enough_are_over() {
    let ledger = a_ledger([0, 10, 20, 30].map(a_mark));
    let taken = ledger.rate(&policy("restart-cart"), rate(2, HOUR), at(40));
    assert_eq!(until(taken), Some(at(HOUR + 20)), "of four, three must be over for one of two to be free");
}

#[test]
fn a_slot_is_given_back_once_and_only_the_newest_of_the_record() {
    let mut ledger = a_ledger([a_mark(0).by("one"), a_mark(10).by("two"), a_mark(20).by("one")]);
    ledger.give_back(&key("one"));
    let times = |ledger: &Ledger| ledger.marks.iter().map(|mark| mark.at).collect::<Vec<_>>();
    assert_eq!(times(&ledger), [at(0), at(10)]);
    ledger.give_back(&key("unheard-of"));
    assert_eq!(times(&ledger), [at(0), at(10)]);
    ledger.give_back(&key("one"));
    assert_eq!(times(&ledger), [at(10)]);
}

// ---- locks and concurrency

#[test]
fn a_subject_is_held_while_its_remediation_runs_and_let_go_in_every_other_phase() {
    for phase in Phase::ALL {
        let mut ledger = Ledger::default();
        ledger.take(a_mark(0).by("holder"));
        let locked = Err(Limited::Locked { by: key("holder") });
        assert_eq!(ledger.lock("uid-cart", &key("asker")), locked);
        assert_eq!(ledger.lock("uid-cart", &key("holder")), Ok(()), "its own lock");
        assert_eq!(ledger.lock("uid-till", &key("asker")), Ok(()));
        let runs = matches!(phase, Phase::Acting | Phase::Verifying);
        assert_eq!(ledger.follow(&key("holder"), phase), !runs, "{phase:?}");
        assert_eq!(ledger.lock("uid-cart", &key("asker")).is_err(), runs, "{phase:?}");
        assert!(!ledger.follow(&key("holder"), Phase::Succeeded) || runs, "let go once");
    }
}

#[test]
fn the_same_target_is_known_by_policy_and_uid() {
    let mut ledger = Ledger::default();
    ledger.take(a_mark(0).by("holder").on("cart", "cart-1"));
    let same = |name: &str, target: &str, asker: &str| ledger.same_target(&policy(name), target, &key(asker)).cloned();
    assert_eq!(same("restart-cart", "uid-cart-1", "asker"), Some(key("holder")));
    assert_eq!(same("restart-cart", "uid-cart-2", "asker"), None);
    assert_eq!(same("another-policy", "uid-cart-1", "asker"), None);
    assert_eq!(same("restart-cart", "uid-cart-1", "holder"), None);
}

#[test]
fn concurrency_counts_the_others_that_run() {
    let mut ledger = Ledger::default();
    for number in 0..3 {
        ledger.take(a_mark(0).by(&format!("run-{number}")).on(&format!("subject-{number}"), "pod"));
    }
    let ask = |concurrency: u32, max_total: usize, asker: &str| {
        let limits = Limits { concurrency, ..limits() };
        ledger.concurrency(&policy("restart-cart"), &limits, max_total, &key(asker))
    };
    assert_eq!(ask(4, 4, "asker"), Ok(()));
    assert_eq!(ask(3, 4, "asker"), Err(Limited::PolicyConcurrency { running: 3 }));
    assert_eq!(ask(4, 3, "asker"), Err(Limited::TotalConcurrency { running: 3 }));
    assert_eq!(ask(3, 3, "run-1"), Ok(()), "whoever runs already does not count itself");
    let another = Limits { concurrency: 1, ..limits() };
    assert_eq!(ledger.concurrency(&policy("another-policy"), &another, 4, &key("asker")), Ok(()));
}

// ---- the ladder

#[test]
fn a_ladder_goes_on_within_its_window_and_repeats_its_last_step() {
    let step = |ledger: &Ledger, steps: usize, now: i64| {
        ledger.first_step(&policy("restart-cart"), "uid-cart", steps, at(now))
    };
    let first = a_ledger([a_mark(0)]);
    assert_eq!(step(&Ledger::default(), 3, 0), 0);
    assert_eq!(step(&first, 3, HOUR), 1);
    assert_eq!(step(&first, 3, HOUR + 1), 0, "the window is over");
    let second = a_ledger([a_mark(0), a_mark(100).at_step(1)]);
    assert_eq!(step(&second, 3, 200), 2);
    assert_eq!(step(&second, 2, 200), 1, "the top repeats");
    assert_eq!(step(&second, 1, 200), 0, "also where the ladder is shorter now");
    assert_eq!(step(&second, 0, 200), 0);
    let elsewhere = [a_mark(0).of("another-policy"), a_mark(0).on("till", "till-1")];
    assert_eq!(step(&a_ledger(elsewhere), 3, 100), 0, "position belongs to policy and subject");
}

// ---- memory

#[test]
fn what_no_limit_asks_for_is_forgotten() {
    let mut ledger = a_ledger((0..100).map(|hour| a_mark(hour * HOUR)));
    ledger.forget(at(99 * HOUR));
    assert_eq!(ledger.marks.len(), 25, "a day and the mark at its very edge");
    let daily = Limits { rate: rate(24, DAY), ..limits() };
    assert!(ledger.rate(&policy("restart-cart"), daily.rate, at(99 * HOUR)).is_err(), "and a day is still remembered");
}

#[test]
fn memory_is_bounded_by_time_however_many_come_and_go() {
    let mut ledger = Ledger::default();
    for minute in 0..10_000 {
        let record = format!("rem-{minute}");
        ledger.take(a_mark(minute * MINUTE).by(&record));
        ledger.follow(&key(&record), Phase::Failed);
        ledger.forget(at(minute * MINUTE));
    }
    assert_eq!((ledger.marks.len(), ledger.running()), (24 * 60 + 1, 0));
}

// ---- from the records of a LIST

#[test]
fn of_the_records_of_a_list_only_what_may_have_had_an_effect_counts() {
    for outcome in [
        ActionOutcome::Running,
        ActionOutcome::Done,
        ActionOutcome::NotDone,
        ActionOutcome::Disrupted,
        ActionOutcome::Conflict,
        ActionOutcome::Refused,
        ActionOutcome::Unknown,
    ] {
        let record = a_record().journal(outcome, 0).in_phase(Phase::Failed, 10).object();
        let (real, dry) = Ledger::of([&record], at(20));
        let counts = matches!(outcome, ActionOutcome::Running | ActionOutcome::Done | ActionOutcome::Unknown);
        assert_eq!((real.marks.len(), dry.marks.len()), (usize::from(counts), 0), "{outcome:?}");
    }
    let dry_run = a_record().journal(ActionOutcome::DryRun, 0).in_phase(Phase::Observing, 0).object();
    let (real, dry) = Ledger::of([&dry_run], at(20));
    assert_eq!((real.marks.len(), dry.marks.len()), (0, 1));
    assert_eq!((real.running(), dry.running()), (0, 0), "a dry run holds nothing");
}

#[test]
fn what_runs_in_a_list_holds_its_subject() {
    let records = [
        a_record().named("acting").acting(0).object(),
        a_record().named("verifying").about("till-1").verifying(0).object(),
        a_record().named("over").about("shelf-1").journal(ActionOutcome::Done, 0).in_phase(Phase::Failed, 9).object(),
        a_record().named("new").about("desk-1").object(),
    ];
    let (ledger, _) = Ledger::of(&records, at(20));
    let held = |subject: &str| ledger.lock(subject, &key("asker")).is_err();
    let held = ["uid-cart", "uid-till", "uid-shelf", "uid-desk"].map(held);
    assert_eq!(held, [true, true, false, false]);
    assert_eq!(ledger.same_target(&a_record().policy(), "uid-cart-1", &key("asker")), Some(&key("acting")));
}

proptest! {
    /// In whatever order a LIST brings the records, the verdicts are the same.
    #[test]
    fn a_rebuilt_ledger_does_not_depend_on_the_order_of_the_list(
        times in proptest::collection::vec((0_i64..2 * DAY, 0..4_usize, any::<bool>()), 0..20),
        now in 0_i64..2 * DAY,
        turn in 0..20_usize,
    ) {
        let records: Vec<_> = times.iter().enumerate().map(|(number, (started, subject, done))| {
            let outcome = if *done { ActionOutcome::Done } else { ActionOutcome::Disrupted };
            let record = a_record().named(&format!("rem-{number}")).about(&format!("app{subject}-1"));
            record.journal(outcome, *started).in_phase(Phase::Failed, *started).object()
        }).collect();
        let mut turned = records.clone();
        turned.rotate_left(turn % records.len().max(1));
        turned.reverse();
        let (one, _) = Ledger::of(&records, at(now));
        let (other, _) = Ledger::of(&turned, at(now));
        prop_assert_eq!(one.marks, other.marks);
    }
}

// ---- what a leader finds written

#[test]
fn a_lost_answer_to_the_end_of_a_verification_does_not_take_its_action_off_the_record() {
    let mut ledger = a_ledger([a_mark(0).by("one")]);
    let ended = a_record().named("one").verifying(10).in_phase(Phase::Succeeded, 60).object();
    ledger.reconcile(&ended, Side::Real);
    assert_eq!(ledger.running(), 0, "it does not hold the subject any more");
    let subject = ended.status.as_ref().unwrap().subject.as_ref().unwrap().uid.clone();
    assert!(ledger.cooldown(&subject, &limits(), &key("other"), at(70)).is_err(), "what it did still counts");
}

#[test]
fn a_record_that_turns_out_to_act_after_all_holds_its_subject_and_its_slot() {
    let mut ledger = Ledger::default();
    let acting = a_record().named("one").acting(10).object();
    ledger.reconcile(&acting, Side::Real);
    let subject = acting.status.as_ref().unwrap().subject.as_ref().unwrap().uid.clone();
    assert!(ledger.lock(&subject, &key("other")).is_err());
    assert!(ledger.cooldown(&subject, &limits(), &key("other"), at(20)).is_err());
    ledger.reconcile(&acting, Side::Real);
    assert_eq!((ledger.running(), ledger.marks.len()), (1, 1), "twice is once");
}

#[test]
fn a_new_record_of_a_deleted_ones_name_does_not_inherit_the_right_to_go_on() {
    let mut ledger = a_ledger([a_mark(0).by("one")]);
    assert_eq!(ledger.cooldown("uid-cart", &limits(), &key("one"), at(10)), Ok(()), "its own ladder goes on at once");
    ledger.disown(&key("one"));
    assert!(ledger.cooldown("uid-cart", &limits(), &key("one"), at(10)).is_err());
    assert_eq!(ledger.running(), 0);
}

// ---- what a watch brings

#[test]
fn what_runs_on_a_subject_that_is_free_is_taken_in_and_nothing_is_ever_freed() {
    let mut ledger = Ledger::default();
    ledger.adopt(&a_record().named("late").acting(100).object());
    let locked = Err(Limited::Locked { by: key("late") });
    assert_eq!(ledger.lock("uid-cart", &key("asker")), locked);
    assert_eq!(ledger.marks.len(), 1, "its slot as well");
    ledger.adopt(&a_record().named("late").waiting(crate::api::Reason::Paused, 200).object());
    assert_eq!(ledger.lock("uid-cart", &key("asker")), locked, "a watch can lag");
    ledger.adopt(&a_record().named("second").acting(300).object());
    assert_eq!(ledger.lock("uid-cart", &key("asker")), locked);
}

#[test]
fn what_has_ended_is_so_for_ever_however_late_that_is_seen() {
    let mut ledger = Ledger::default();
    ledger.adopt(&a_record().named("late").acting(100).object());
    let ended = a_record().named("late").journal(ActionOutcome::Done, 100).in_phase(Phase::Failed, 200);
    ledger.adopt(&ended.object());
    assert_eq!(ledger.lock("uid-cart", &key("asker")), Ok(()));
    assert_eq!((ledger.marks.len(), ledger.verdicts.len()), (1, 1));
}
