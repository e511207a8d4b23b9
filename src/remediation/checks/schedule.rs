//! When something may be begun: the policy's schedule, and the administrator's. Pure.

use super::{Candidate, Refusal};
use crate::api::{Closed, Reason, Schedule};

/// Every schedule must be open; the first that is not speaks.
pub(super) fn schedule(candidate: &Candidate<'_>) -> Result<(), Refusal> {
    let policy = format!("the schedule of policy {}", candidate.spec.policy);
    let of_policy = candidate.in_force.schedules.iter().map(|schedule| (schedule, policy.as_str()));
    let of_all = (&candidate.world.bounds.schedule, "the administrator's schedule");
    for (schedule, whose) in std::iter::once(of_all).chain(of_policy) {
        if let Err(closed) = schedule.open(candidate.now) {
            return Err(refusal(schedule, whose, closed));
        }
    }
    Ok(())
}

fn refusal(schedule: &Schedule, whose: &str, Closed { freeze, until }: Closed) -> Refusal {
    let (reason, message) = match freeze {
        Some(why) => (Reason::Frozen, format!("{whose} has a freeze: {why}")),
        None => (Reason::OutsideSchedule, format!("it is outside of the windows of {whose} ({})", schedule.time_zone)),
    };
    let refusal = Refusal::wait(reason, message);
    match until {
        Some(until) => refusal.until(until),
        None => refusal,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        api::{Mode, Phase},
        remediation::fixtures::*,
    };

    // The usual alert arrives on a Sunday, 2026-03-01, at noon (UTC).
    const WORKDAYS: &str = "{timeZone: Europe/Berlin, only: [{days: [Mon-Fri], from: '08:00', to: '18:00'}]}";
    const SUNDAY: &str = "{timeZone: Europe/Berlin, only: [{days: [Sun], from: '13:00', to: '13:01'}]}";
    const FREEZE: &str = "{freeze: [{from: '2026-03-01T11:00', to: '2026-03-01T13:00', reason: the sale}]}";

    type State = (Phase, Option<Reason>, Option<Timestamp>);

    fn then_and_now(then: &str, now: &str, seconds: i64) -> State {
        let then = a_policy("restart-cart").schedule(then).build();
        let status = a_world().policy(a_policy("restart-cart").schedule(now)).next(&a_record_of(&then), seconds).status;
        (status.phase, status.reason, status.until)
    }

    fn utc(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const ACTS: State = (Phase::Acting, Some(Reason::InProgress), None);

    #[test]
    fn outside_of_the_windows_it_waits_for_the_next_one() {
        let monday: State = (Phase::Waiting, Some(Reason::OutsideSchedule), Some(utc("2026-03-02T07:00:00Z")));
        assert_eq!(then_and_now(WORKDAYS, WORKDAYS, 0), monday);
        assert_eq!(then_and_now(SUNDAY, SUNDAY, 59), ACTS);
        let next: State = (Phase::Waiting, Some(Reason::OutsideSchedule), Some(utc("2026-03-08T12:00:00Z")));
        assert_eq!(then_and_now(SUNDAY, SUNDAY, 60), next);
    }

    #[test]
    fn what_was_said_then_and_what_is_said_now_must_both_be_open() {
        for (then, now) in [(WORKDAYS, "{}"), ("{}", WORKDAYS)] {
            assert_eq!(then_and_now(then, now, 0).1, Some(Reason::OutsideSchedule));
        }
        assert_eq!(then_and_now("{}", "{}", 0), ACTS);
    }

    #[test]
    fn a_freeze_says_why_and_until_when() {
        let frozen: State = (Phase::Waiting, Some(Reason::Frozen), Some(utc("2026-03-01T13:00:00Z")));
        assert_eq!(then_and_now(FREEZE, FREEZE, 0), frozen);
        assert_eq!(then_and_now(FREEZE, FREEZE, HOUR - 1), frozen);
        let world = a_world().policy(a_policy("restart-cart").schedule(FREEZE));
        let message = world.next(&a_record(), 0).message().to_owned();
        assert_eq!(message, "the schedule of policy shop/restart-cart has a freeze: the sale");
    }

    #[test]
    fn an_administrators_schedule_holds_for_every_policy() {
        let frozen = |yaml: &str| a_world().bounds(|bounds| bounds.schedule = serde_saphyr::from_str(yaml).unwrap());
        let next = frozen(FREEZE).next(&a_record(), 0);
        assert_eq!(next.state(), (Phase::Waiting, Some(Reason::Frozen)));
        assert_eq!(next.message(), "the administrator's schedule has a freeze: the sale");
        assert_eq!(frozen("{}").next(&a_record(), 0).status.phase, Phase::Acting);
    }

    #[test]
    fn a_dry_run_keeps_the_hours_as_well_and_what_runs_already_is_finished() {
        let next = a_world().policy(a_policy("restart-cart").schedule(FREEZE)).next(&a_record().mode(Mode::DryRun), 0);
        assert_eq!(next.state(), (Phase::Waiting, Some(Reason::Frozen)));
        let verified = a_world().policy(a_policy("restart-cart").schedule(FREEZE)).well_since(0);
        assert_eq!(verified.next(&a_record().verifying(0), 2 * MINUTE).status.phase, Phase::Succeeded);
    }
}
