//! What every replica remembers of the records.

use super::*;
use crate::{alert::Labels, api::Phase, remediation::fixtures::*};

fn index(records: &[RecordFixture]) -> RecordIndex {
    let index = RecordIndex::default();
    for record in records {
        assert!(index.put(&record.object()));
    }
    index
}

fn leak() -> Fingerprint {
    Fingerprint::of(&leak_of("cart-1"))
}

fn closes(index: &RecordIndex, ends_at: i64) -> Vec<String> {
    index.resolved_by("prometheus", leak(), at(ends_at)).into_iter().map(|open| open.key.name).collect()
}

#[test]
fn a_resolved_notice_closes_by_fingerprint_what_began_before_it_ended() {
    let index = index(&[
        a_record().named("before").alert_began(-60),
        a_record().named("at-its-end").alert_began(100),
        a_record().named("after").alert_began(101),
        a_record().named("another").about("cart-2"),
        a_record().named("over").in_phase(Phase::Failed, 10),
    ]);
    assert_eq!(closes(&index, 100), ["at-its-end", "before"]);
}

#[test]
fn a_resolved_notice_that_is_on_record_is_not_written_again_but_a_later_end_is() {
    let index = index(&[a_record().resolved_at(100)]);
    assert_eq!(closes(&index, 100), Vec::<String>::new());
    assert_eq!(closes(&index, 99), Vec::<String>::new());
    assert_eq!(closes(&index, 101), ["rem-1"]);
}

#[test]
fn the_newest_record_is_the_one_of_the_highest_episode_under_that_policy() {
    let other = a_policy("another-policy").build();
    let index = index(&[
        a_record().named("tenth").episode(10).in_phase(Phase::Failed, 50).resolved_at(40),
        a_record().named("ninth").episode(9),
        a_record_of(&other).named("other").episode(11),
        a_record().named("cart-2").about("cart-2").episode(12),
    ]);
    let newest = index.newest(&a_record().policy(), "prometheus", leak()).unwrap();
    assert_eq!((newest.key.name.as_str(), newest.episode), ("tenth", 10));
    assert_eq!((newest.ended_at, newest.resolved_at), (Some(at(50)), Some(at(40))));
    assert_eq!(index.newest(&a_record().policy(), "prometheus", Fingerprint::of(&Labels::default())), None);
}

#[test]
fn an_older_version_does_not_overwrite_a_newer_one() {
    let index = index(&[a_record().version(20).in_phase(Phase::Failed, 50)]);
    assert!(!index.put(&a_record().version(9).object()), "versions are numbers, not texts");
    assert_eq!(index.newest(&a_record().policy(), "prometheus", leak()).unwrap().ended_at, Some(at(50)));
    assert!(index.put(&a_record().version(20).object()), "the same again");
    assert_eq!(index.resource_version(&key("rem-1")).as_deref(), Some("20"));
}

#[test]
fn open_records_are_counted_by_policy_through_every_change() {
    let open = |index: &RecordIndex| index.open(&a_record().policy());
    let index = index(&[a_record().named("one"), a_record().named("two").about("cart-2")]);
    assert_eq!(open(&index), 2);
    index.put(&a_record().named("one").version(2).in_phase(Phase::Verifying, 1).object());
    assert_eq!(open(&index), 2);
    index.put(&a_record().named("one").version(3).in_phase(Phase::Succeeded, 1).object());
    assert_eq!(open(&index), 1);
    index.remove(&key("one"), None);
    index.remove(&key("one"), None);
    assert_eq!(open(&index), 1);
    index.remove(&key("two"), None);
    assert_eq!((open(&index), index.is_empty()), (0, true));
    let records = index.lock();
    assert!(records.by_alert.is_empty() && records.open.is_empty(), "nothing is left behind");
}

#[test]
fn what_ended_long_ago_and_was_not_heard_of_since_may_be_removed() {
    let index = index(&[
        a_record().named("old").in_phase(Phase::Failed, 100),
        a_record().named("still-firing").about("cart-2").in_phase(Phase::Failed, 100).last_seen(500),
        a_record().named("open").about("cart-3"),
        a_record().named("young").about("cart-4").in_phase(Phase::Failed, 200),
    ]);
    assert_eq!(index.ended_before(at(200)), [key("old")]);
}

#[test]
fn an_answer_that_comes_after_the_news_of_the_deletion_brings_nothing_back() {
    let index = index(&[a_record().version(5)]);
    index.remove(&key("rem-1"), Some("9"));
    assert!(!index.put(&a_record().version(5).object()), "the answer to its creation");
    assert!(!index.put(&a_record().version(8).object()), "the answer to a later write");
    assert!(!index.contains(&key("rem-1")));
    assert!(index.put(&a_record().version(12).object()), "another one of that name");

    index.remove(&key("rem-1"), None);
    assert!(!index.put(&a_record().version(12).object()), "what was known is not known any more");
}

#[test]
fn news_of_a_deletion_that_comes_after_another_one_of_that_name_was_made_takes_nothing_away() {
    let index = index(&[a_record().version(5)]);
    assert!(index.put(&a_record().version(12).object()), "the answer to its creation");
    assert!(!index.remove(&key("rem-1"), Some("9")), "it was another one that was deleted");
    assert!(index.contains(&key("rem-1")));
    assert!(index.remove(&key("rem-1"), Some("15")));
    assert!(!index.contains(&key("rem-1")));
}

#[test]
fn deletions_are_remembered_for_a_while_only() {
    let index = RecordIndex::default();
    for number in 0..BURIED + 10 {
        index.remove(&key(&format!("rem-{number}")), Some("9"));
    }
    let records = index.lock();
    assert_eq!((records.buried.len(), records.burials.len()), (BURIED, BURIED));
    assert!(!records.buried.contains_key(&key("rem-0")));
}
