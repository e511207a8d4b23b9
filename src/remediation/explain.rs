//! What would follow for a record, and every check behind it: the state machine's own answer, for people. Pure.

use jiff::Timestamp;

use super::{
    checks::{self, Candidate, Check},
    machine::{self, Next},
    world::{InForce, Observed, PolicyNow, World},
};
use crate::api::{RemediationSpec, RemediationStatus};

/// An answer, explained.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// What the state machine says.
    pub next: Next,
    /// Every check in order; the first that refuses is why. Empty where none was made: the policy is not in force, or
    /// nobody has looked at the scene.
    pub checks: Vec<Check>,
}

/// Asks the state machine, and makes every check that it would make.
pub fn explain(spec: &RemediationSpec, status: &RemediationStatus, world: &World<'_>, now: Timestamp) -> Explained {
    let next = machine::next(spec, status, world, now);
    let checks = match (world.policy, &world.observed) {
        (PolicyNow::InForce(policy), Observed::Scene(scene)) => {
            let in_force = InForce::of(spec, policy, world.bounds);
            checks::made(&Candidate::of(spec, status, world, &in_force, scene, now))
        }
        _ => Vec::new(),
    };
    Explained { next, checks }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{Phase, Reason},
        remediation::{Evidence, fixtures::*},
        target::Unresolved,
    };

    fn explained(world: &WorldFixture, now: i64) -> Explained {
        let record = a_record();
        world.with(&record.key, |world| explain(&record.spec, &record.status, world, at(now)))
    }

    #[test]
    fn the_first_check_that_refuses_is_what_the_machine_says() {
        let mut busy = crate::remediation::Ledger::default();
        busy.take(a_mark(-200).by("other").of("another-policy").on("cart", "other-pod"));
        let missing = Unresolved::Missing { kind: "Pod", namespace: "shop".to_owned(), name: "cart-1".to_owned() };
        let against = [
            a_world().paused(Ok("freeze")),
            a_world().paused(Err("the API did not answer")),
            a_world().unknown(),
            a_world().unresolved(missing),
            a_world().found(|found| found.opted_out = Some("namespace shop".to_owned())),
            a_world().ledger(busy),
            a_world().ledger(a_ledger([a_mark(-60).by("other").on("cart", "cart-2")])),
            a_world().found(|found| found.pods.ready.truncate(1)),
        ];
        for world in against {
            let Explained { next, checks } = explained(&world, 0);
            let refusals: Vec<_> = checks.iter().filter_map(|check| check.refusal.as_ref()).collect();
            let first = refusals.first().unwrap_or_else(|| panic!("{checks:?}"));
            assert_eq!(next.state(), (first.phase, Some(first.reason)), "{checks:?}");
        }
        let Explained { next, checks } = explained(&a_world(), 0);
        assert_eq!(next.state(), (Phase::Acting, Some(Reason::InProgress)));
        assert!(checks.iter().all(|check| check.refusal.is_none()), "{checks:?}");
    }

    #[test]
    fn every_check_has_figures_and_says_what_would_turn_it() {
        let Explained { checks, .. } = explained(&a_world(), 0);
        for check in &checks {
            assert!(!check.figures.is_empty(), "{} says nothing: see checks/figures.rs", check.name);
            assert!(crate::remediation::turns(check.name).is_some(), "{}: see checks/figures.rs", check.name);
        }
        let figures: Vec<_> = checks.iter().map(|check| format!("{}: {}", check.name, check.figures)).collect();
        insta::assert_snapshot!(figures.join("\n"), @r#"
        pause: no Pause is in force
        audit: nothing keeps the audit log from being written
        schedule: at any time
        evidence: the alert fires
        target: Pod shop/cart-1 (uid uid-cart-1) of Deployment shop/cart
        opted out: no paramedic.dev/disabled on target, subject or namespace
        permitted: the target is in shop; the policy may touch shop
        possible: step 0, restartPod, on a Deployment
        same target: no other remediation of the policy runs on it
        priority: no other policy of a higher priority answers the alert
        subject lock: nothing else runs on Deployment shop/cart
        cooldown: no other remediation acted on Deployment shop/cart lately; its cooldown is 10m
        given up: 0 of 3 failures in a row, 0 of 5 recurrences in 4h
        breaker: 0 of the last 0 failed; it opens at 50% of at least 5 in 1h
        storm: 0 workloads are in trouble in namespace shop, 0 in the cluster; a storm is 50%, and 10 at least
        concurrency: 0 of 1 run for the policy, 0 of 10 in all
        availability: 3 of 3 pods are ready, and the action ends one of them; minAvailable 50% asks for 2
        rollout: 3 of 3 pods are of the current template
        access: may create pods/eviction
        rate: 0 of 5 actions in 1h
        "#);
    }

    #[test]
    fn what_is_behind_a_decision_goes_on_record_with_it_and_is_no_reason_to_write() {
        let record = a_record();
        let waits = a_world().ledger(a_ledger([a_mark(-60).by("other").on("cart", "cart-2")])).next(&record, 0);
        let checks = waits.status.checks.clone().unwrap();
        assert_eq!(checks.at, at(0));
        let refused: Vec<_> = checks.made.iter().filter(|made| !made.passed).map(|made| made.name.as_str()).collect();
        assert_eq!(refused, ["cooldown"]);

        let waiting = RecordFixture { status: waits.status.clone(), ..record };
        let ledger = || a_ledger([a_mark(-60).by("other").on("cart", "cart-2")]);
        let again = a_world().ledger(ledger()).next(&waiting, 5);
        assert_eq!(again.status, waits.status, "the same wait is not written again");
        let acts = a_world().next(&waiting, 900);
        assert!(acts.status.checks.unwrap().made.iter().all(|made| made.passed));
        let over = a_world().evidence(Evidence::Clear { confirmed: true }).next(&waiting, 10);
        assert_eq!(over.status.checks, waits.status.checks, "what was decided without them leaves them as they were");
    }
}
