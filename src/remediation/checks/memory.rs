//! What earlier remediations came to: a subject is left to people, a policy stops. Pure.

use jiff::Timestamp;

use super::{Candidate, Refusal, refusal};
use crate::{api::RESUMED_ANNOTATION, target::Resolved};

/// What the policy does to this subject fails, or does not help for long.
pub(super) fn given_up(candidate: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    let resumed = candidate.resumed(resolved.subject.resumed_at).max(candidate.resumed(candidate.in_force.resumed_at));
    let (limit, subject) = (candidate.in_force.limits.give_up, &resolved.subject.object.uid);
    candidate
        .ledger()
        .gives_up(&candidate.policy(), subject, limit, resumed, candidate.world.key, candidate.now)
        .map_err(|limited| refusal(&limited, candidate, resolved))
}

/// Too much of what the policy does fails.
pub(super) fn breaker(candidate: &Candidate<'_>, resolved: &Resolved) -> Result<(), Refusal> {
    let resumed = candidate.resumed(candidate.in_force.resumed_at);
    for limit in &candidate.in_force.breakers {
        candidate
            .ledger()
            .breaker(&candidate.policy(), *limit, resumed, candidate.now)
            .map_err(|limited| refusal(&limited, candidate, resolved))?;
    }
    Ok(())
}

/// What lets it go on before its time.
pub(super) fn may_go_on(what: &str) -> String {
    format!("to let it go on sooner, set the annotation {RESUMED_ANNOTATION} on {what} to the time")
}

impl Candidate<'_> {
    /// A time that is still to come would switch the limit off: it says nothing yet.
    fn resumed(&self, at: Option<Timestamp>) -> Option<Timestamp> {
        at.filter(|at| *at <= self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{ActionOutcome, Mode, Phase, Reason},
        remediation::{Ledger, fixtures::*},
    };

    /// Records of the usual policy on `cart` that ended so, so many seconds after the alert's arrival, oldest first.
    fn ended(ends: &[(i64, Phase)]) -> Ledger {
        ended_on(&ends.iter().map(|(at, phase)| (*at, *phase, "cart-1")).collect::<Vec<_>>())
    }

    fn ended_on(ends: &[(i64, Phase, &str)]) -> Ledger {
        let records = ends.iter().enumerate().map(|(number, (end, phase, pod))| {
            let record = a_record().named(&format!("earlier-{number}")).about(pod);
            record.journal(ActionOutcome::Done, *end - MINUTE).in_phase(*phase, *end).object()
        });
        Ledger::of(&records.collect::<Vec<_>>(), at(0)).0
    }

    fn state(ledger: &Ledger, now: i64) -> (Phase, Option<Reason>, Option<jiff::Timestamp>) {
        let status = a_world().ledger(ledger.clone()).next(&fresh(now), now).status;
        (status.phase, status.reason, status.until)
    }

    /// A record that has just arrived.
    fn fresh(now: i64) -> RecordFixture {
        let mut record = a_record();
        record.spec.alert.received_at = at(now);
        record
    }

    const ACTS: (Phase, Option<Reason>, Option<jiff::Timestamp>) = (Phase::Acting, Some(Reason::InProgress), None);
    const FAILED: Phase = Phase::Failed;

    fn given_up(until: i64) -> (Phase, Option<Reason>, Option<jiff::Timestamp>) {
        (Phase::Waiting, Some(Reason::GivenUp), Some(at(until)))
    }

    #[test]
    fn three_failures_in_a_row_leave_the_subject_to_people_for_four_hours() {
        let two = ended(&[(-3 * HOUR, FAILED), (-2 * HOUR, FAILED)]);
        assert_eq!(state(&two, 0), ACTS);
        let three = ended(&[(-9 * HOUR, FAILED), (-3 * HOUR, FAILED), (-2 * HOUR, FAILED)]);
        assert_eq!(state(&three, 0), given_up(2 * HOUR));
        assert_eq!(state(&three, 2 * HOUR - 1), given_up(2 * HOUR));
        assert_eq!(state(&three, 2 * HOUR), ACTS);
        let message = a_world().ledger(three.clone()).next(&fresh(0), 0).message().to_owned();
        assert!(message.contains("failed 3 times in a row on Deployment shop/cart"), "{message}");
        assert!(message.contains(RESUMED_ANNOTATION), "{message}");
        let again = a_world().ledger(three.clone()).next(&fresh(0), 0).again_at();
        assert_eq!(again, 30, "somebody may say that it may go on");
    }

    #[test]
    fn one_success_in_between_begins_the_row_anew() {
        let mixed = [(-3 * HOUR, FAILED), (-2 * HOUR, Phase::Succeeded), (-90 * MINUTE, FAILED), (-HOUR, FAILED)];
        assert_eq!(state(&ended(&mixed), 0), ACTS);
    }

    #[test]
    fn what_was_ended_by_people_or_not_tried_is_no_failure() {
        let cancelled = ended(&[(-3 * HOUR, Phase::Cancelled), (-2 * HOUR, Phase::Cancelled), (-HOUR, FAILED)]);
        assert_eq!(state(&cancelled, 0), ACTS);
        let waited = (0..4).map(|number| {
            a_record()
                .named(&format!("earlier-{number}"))
                .journal(ActionOutcome::Disrupted, -HOUR)
                .in_phase(FAILED, -HOUR)
        });
        let waited: Vec<_> = waited.map(|record| record.object()).collect();
        assert_eq!(state(&Ledger::of(&waited, at(0)).0, 0), ACTS);
    }

    #[test]
    fn another_policy_or_another_subject_is_not_given_up() {
        let three =
            ended_on(&[(-3 * HOUR, FAILED, "till-1"), (-2 * HOUR, FAILED, "till-1"), (-HOUR, FAILED, "till-1")]);
        assert_eq!(state(&three, 0), ACTS);
        let three = ended(&[(-3 * HOUR, FAILED), (-2 * HOUR, FAILED), (-HOUR, FAILED)]);
        let another = a_policy("another").build();
        let mut record = a_record_of(&another);
        record.spec.alert.received_at = at(0);
        let next = a_world().compiled(&another).ledger(three).next(&record, 0);
        assert_eq!(next.status.phase, Phase::Acting);
    }

    #[test]
    fn trouble_that_comes_back_for_the_fifth_time_in_four_hours_is_left_to_people() {
        let times = |times: &[i64]| ended(&times.iter().map(|at| (*at, Phase::Succeeded)).collect::<Vec<_>>());
        let five = [-230 * MINUTE, -200 * MINUTE, -150 * MINUTE, -100 * MINUTE, -50 * MINUTE];
        assert_eq!(state(&times(&five[1..]), 0), ACTS, "four times");
        // Each counts from when it acted, a minute before its end.
        assert_eq!(state(&times(&five), 0), given_up(9 * MINUTE));
        assert_eq!(state(&times(&five), 9 * MINUTE), ACTS);
    }

    #[test]
    fn somebody_may_resume_on_the_subject_or_on_the_policy_but_not_for_the_future() {
        let three = ended(&[(-3 * HOUR, FAILED), (-2 * HOUR, FAILED), (-HOUR, FAILED)]);
        let world = a_world().ledger(three.clone());
        let phase = |world: &WorldFixture| world.next(&fresh(0), 0).status.phase;
        let on_subject = |when: i64| world.clone().found(|found| found.subject.resumed_at = Some(at(when)));
        assert_eq!(phase(&on_subject(-30 * MINUTE)), Phase::Acting);
        assert_eq!(phase(&on_subject(-150 * MINUTE)), Phase::Acting, "only two failures are left");
        assert_eq!(phase(&on_subject(-4 * HOUR)), Phase::Waiting);
        assert_eq!(phase(&on_subject(1)), Phase::Waiting, "still to come");
        let mut policy = a_policy("restart-cart").build();
        policy.resumed_at = Some(at(-1));
        assert_eq!(phase(&world.clone().compiled(&policy)), Phase::Acting);
    }

    /// Five remediations on as many subjects, so many of which failed.
    fn of_five(failed: usize) -> Ledger {
        let pods = ["a-1", "b-1", "c-1", "d-1", "e-1"];
        let ends = pods.iter().enumerate().map(|(number, pod)| {
            let end = -50 * MINUTE + i64::try_from(number).unwrap() * 10 * MINUTE;
            (end, if number < failed { FAILED } else { Phase::Succeeded }, *pod)
        });
        ended_on(&ends.collect::<Vec<_>>())
    }

    fn unhurried() -> (WorldFixture, RecordFixture) {
        let policy = a_policy("restart-cart").limits(|limits| limits.rate = rate(100, HOUR)).build();
        (a_world().compiled(&policy), a_record_of(&policy))
    }

    #[test]
    fn a_policy_of_which_half_fails_stops_everywhere_for_an_hour_after_the_last() {
        let (world, record) = unhurried();
        let next = |failed: usize, now: i64| world.clone().ledger(of_five(failed)).next(&record, now);
        assert_eq!(next(2, 0).status.phase, Phase::Acting);
        let stopped = next(3, 0);
        assert_eq!(stopped.state(), (Phase::Waiting, Some(Reason::BreakerOpen)));
        assert_eq!(stopped.status.until, Some(at(50 * MINUTE)), "the last one ended ten minutes ago");
        assert!(stopped.message().starts_with("3 of the last 5 remediations of policy shop/restart-cart failed"));
        assert_eq!(next(3, 50 * MINUTE).status.phase, Phase::Acting);
    }

    #[test]
    fn a_breaker_looks_at_as_many_as_it_must_and_not_at_what_is_long_past() {
        let (world, record) = unhurried();
        let four = ended_on(&[
            (-40 * MINUTE, FAILED, "a-1"),
            (-30 * MINUTE, FAILED, "b-1"),
            (-20 * MINUTE, FAILED, "c-1"),
            (-10 * MINUTE, FAILED, "d-1"),
        ]);
        assert_eq!(world.clone().ledger(four).next(&record, 0).status.phase, Phase::Acting);
        let long_past = ended_on(&[
            (-100 * MINUTE, FAILED, "a-1"),
            (-90 * MINUTE, FAILED, "b-1"),
            (-80 * MINUTE, FAILED, "c-1"),
            (-20 * MINUTE, FAILED, "d-1"),
            (-10 * MINUTE, FAILED, "e-1"),
        ]);
        assert_eq!(world.ledger(long_past).next(&record, 0).status.phase, Phase::Acting);
    }

    #[test]
    fn a_breaker_is_reset_on_the_policy_alone() {
        let (world, record) = unhurried();
        let world = world.ledger(of_five(5));
        let on_subject = world.clone().found(|found| found.subject.resumed_at = Some(at(-1)));
        assert_eq!(on_subject.next(&record, 0).state(), (Phase::Waiting, Some(Reason::BreakerOpen)));
        let mut policy = a_policy("restart-cart").limits(|limits| limits.rate = rate(100, HOUR)).build();
        policy.resumed_at = Some(at(-1));
        assert_eq!(world.compiled(&policy).next(&record, 0).status.phase, Phase::Acting);
    }

    #[test]
    fn the_stricter_of_then_and_now_holds() {
        let strict = a_policy("restart-cart").limits(|limits| limits.give_up.failures = 1).build();
        let once = ended(&[(-HOUR, FAILED)]);
        for (then, now) in [(&strict, &a_policy("restart-cart").build()), (&a_policy("restart-cart").build(), &strict)]
        {
            let record = a_record_of(then);
            let next = a_world().compiled(now).ledger(once.clone()).next(&record, 0);
            assert_eq!(next.state(), (Phase::Waiting, Some(Reason::GivenUp)));
        }
    }

    #[test]
    fn a_dry_run_is_not_judged_by_what_was_really_done() {
        let three = ended(&[(-3 * HOUR, FAILED), (-2 * HOUR, FAILED), (-HOUR, FAILED)]);
        let next = a_world().ledger(three).next(&a_record().mode(Mode::DryRun), 0);
        assert_eq!(next.status.phase, Phase::Observing);
    }
}
