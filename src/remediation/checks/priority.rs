//! Of the policies that answer one alert the one of the highest priority acts. Pure.

use jiff::SignedDuration;

use super::{Candidate, Refusal};
use crate::{
    api::{Mode, Phase, Reason},
    remediation::{ledger::after, world::SiblingNow},
    target::Resolved,
};

/// How long a remediation that outranks this one may not be there yet: both are created for one notice, and a notice that
/// could not be written down whole comes again.
const STILL_TO_COME: SignedDuration = SignedDuration::from_mins(1);

/// What outranks it comes first. One that only says what it would do holds back none that acts. Each record says its own
/// priority, so that two that were made while priorities changed do not wait for each other.
pub(super) fn outranked(candidate: &Candidate<'_>, _: &Resolved) -> Result<(), Refusal> {
    let spec = candidate.spec;
    let acts = candidate.in_force.mode != Mode::DryRun;
    let age = candidate.now.duration_since(spec.alert.received_at);
    // A record without an answer for one of them was not asked about: that is no reason to act.
    let unasked = SiblingNow::Unknown("it was not asked for".to_owned());
    for (number, sibling) in spec.outranked_by.iter().enumerate() {
        let said = format!(
            "Remediation {} of policy {}, whose priority is {}",
            sibling.key(),
            sibling.policy,
            sibling.priority
        );
        match candidate.scene.siblings.get(number).unwrap_or(&unasked) {
            SiblingNow::There { priority, dry_run, .. } if *priority <= spec.priority || *dry_run && acts => {}
            SiblingNow::There { phase: Phase::Observing | Phase::DryRun, .. } if acts => {}
            SiblingNow::There { phase: Phase::Succeeded, .. } => {
                let message = format!("{said}, has repaired it already");
                return Err(Refusal::end(Phase::Skipped, Reason::Outranked, message));
            }
            SiblingNow::There { phase, .. } if phase.is_terminal() => {}
            SiblingNow::There { phase, .. } => {
                let message = format!("{said}, comes first; it is {}", phase.as_str());
                return Err(Refusal::wait(Reason::Outranked, message));
            }
            SiblingNow::Absent if age >= STILL_TO_COME => {}
            SiblingNow::Absent => {
                let until = after(spec.alert.received_at, STILL_TO_COME);
                return Err(Refusal::wait(Reason::Outranked, format!("{said}, is still to come")).until(until));
            }
            SiblingNow::Unknown(why) => {
                let message = format!("whether {said}, has ended cannot be told: {why}");
                return Err(Refusal::wait(Reason::ApiUnavailable, message));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remediation::fixtures::*;

    /// What follows for a record that is outranked by one in this state.
    fn beside(sibling: SiblingNow, record: &RecordFixture, now: i64) -> (Phase, Option<Reason>) {
        a_world().sibling_now(sibling).next(record, now).state()
    }

    fn there(phase: Phase) -> SiblingNow {
        SiblingNow::There { priority: 10, dry_run: false, phase }
    }

    fn second() -> RecordFixture {
        a_record().outranked_by("first")
    }

    const WAITS: (Phase, Option<Reason>) = (Phase::Waiting, Some(Reason::Outranked));
    const ACTS: (Phase, Option<Reason>) = (Phase::Acting, Some(Reason::InProgress));

    #[test]
    fn it_waits_for_the_end_of_the_first_and_leaves_a_success_alone() {
        for phase in Phase::ALL {
            let expected = match phase {
                Phase::Succeeded => (Phase::Skipped, Some(Reason::Outranked)),
                // What the first would have done, were it allowed to, helps nobody.
                phase if phase.is_terminal() || phase == Phase::Observing => ACTS,
                _ => WAITS,
            };
            assert_eq!(beside(there(phase), &second(), 0), expected, "{phase:?}");
        }
        let next = a_world().sibling(Phase::Verifying).next(&second(), 0);
        let said = "Remediation shop/first of policy shop/first, whose priority is 10, comes first; it is Verifying";
        assert_eq!(next.message(), said);
    }

    #[test]
    fn the_first_is_waited_for_a_minute_where_it_is_not_there_yet() {
        let next = a_world().sibling_now(SiblingNow::Absent).next(&second(), 0);
        assert_eq!((next.state(), next.status.until), (WAITS, Some(at(MINUTE))));
        assert_eq!(beside(SiblingNow::Absent, &second(), MINUTE - 1), WAITS);
        assert_eq!(beside(SiblingNow::Absent, &second(), MINUTE), ACTS);
    }

    #[test]
    fn what_is_not_known_is_no_reason_to_act() {
        let unknown = SiblingNow::Unknown("no answer".to_owned());
        assert_eq!(beside(unknown, &second(), 30 * MINUTE), (Phase::Waiting, Some(Reason::ApiUnavailable)));
        let unasked = a_world().next(&second(), 30 * MINUTE);
        assert_eq!(unasked.state(), (Phase::Waiting, Some(Reason::ApiUnavailable)));
        let one_of_two = a_world().sibling(Phase::Failed).next(&second().outranked_by("other"), 0);
        assert_eq!(one_of_two.state(), (Phase::Waiting, Some(Reason::ApiUnavailable)));
    }

    #[test]
    fn a_dry_run_holds_back_only_dry_runs() {
        let first = SiblingNow::There { priority: 10, dry_run: true, phase: Phase::Pending };
        assert_eq!(beside(first.clone(), &second(), 0), ACTS);
        assert_eq!(beside(first, &second().mode(Mode::DryRun), 0), WAITS);
        assert_eq!(beside(there(Phase::Observing), &second().mode(Mode::DryRun), 0), WAITS);
    }

    #[test]
    fn two_that_name_each_other_do_not_wait_for_each_other() {
        let lower = SiblingNow::There { priority: 0, dry_run: false, phase: Phase::Waiting };
        assert_eq!(beside(lower, &second(), 0), ACTS, "it says itself that it is no higher");
    }
}
