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
    insta::assert_snapshot!(text::of(&Report::of(&record, at(40)), false), @"");
}

#[test]
fn one_that_acted_says_what_was_looked_at_before_and_what_is_waited_for() {
    let acting = decided(&a_world(), &a_record(), 1);
    let world =
        WorldFixture { observed: Some(Observed::Outcome { outcome: ActionOutcome::Done, message: None }), ..a_world() };
    let record = decided(&world, &acting, 2).object();
    insta::assert_snapshot!(text::of(&Report::of(&record, at(20)), true), @"");
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
