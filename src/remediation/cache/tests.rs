//! What a watch brings, and what the leader hears of it.

use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};

use super::*;
use crate::{
    api::{Phase, Reason},
    remediation::fixtures::*,
};

fn object(record: &RecordFixture) -> DeserializeGuard<Remediation> {
    DeserializeGuard(Ok(record.object()))
}

fn unreadable(name: &str) -> DeserializeGuard<Remediation> {
    let text = format!(
        r#"{{"apiVersion":"paramedic.dev/v1alpha1","kind":"Remediation","metadata":{{"namespace":"shop","name":"{name}"}},"spec":1}}"#
    );
    serde_json::from_str(&text).unwrap()
}

/// What changed, in words.
fn changes(cache: &RecordCache) -> Vec<String> {
    let word = |change| match change {
        Change::Seen(record) => format!("seen {}", ObjectKey::of(record.as_ref()).name),
        Change::Deleted(key) => format!("deleted {}", key.name),
        Change::Woken(key) => format!("woken {}", key.name),
    };
    cache.take_changes().into_iter().map(word).collect()
}

fn listed(records: &[RecordFixture]) -> RecordCache {
    let cache = RecordCache::default();
    cache.apply(Init);
    for record in records {
        cache.apply(InitApply(object(record)));
    }
    assert!(!cache.is_synced(), "a list is whole at its end");
    cache.apply(InitDone);
    assert!(cache.is_synced());
    cache
}

#[test]
fn open_records_are_seen_and_ended_ones_only_known() {
    let cache = listed(&[a_record().named("open"), a_record().named("over").in_phase(Phase::Failed, 1)]);
    assert_eq!(changes(&cache), ["seen open", "deleted over"]);
    assert_eq!(changes(&cache), Vec::<String>::new(), "told once");
    assert_eq!(cache.index().len(), 2);
}

#[test]
fn an_open_record_is_woken_once_and_one_that_is_over_is_not() {
    let cache = listed(&[a_record().named("open"), a_record().named("over").in_phase(Phase::Failed, 1)]);
    changes(&cache);
    for name in ["open", "over", "open", "unheard-of"] {
        cache.wake(key(name));
    }
    assert_eq!(changes(&cache), ["woken open"]);
    assert_eq!(changes(&cache), Vec::<String>::new(), "told once");
}

#[test]
fn many_versions_between_two_looks_are_one_change_with_the_newest() {
    let cache = listed(&[a_record()]);
    cache.apply(Apply(object(&a_record().version(2).waiting(Reason::Paused, 1))));
    cache.apply(Apply(object(&a_record().version(5).waiting(Reason::Cooldown, 2))));
    cache.apply(Apply(object(&a_record().version(3).waiting(Reason::Paused, 1))));
    let [Change::Seen(record)] = &cache.take_changes()[..] else { panic!() };
    assert_eq!(record.status.as_ref().unwrap().reason, Some(Reason::Cooldown));
}

#[test]
fn what_a_new_list_does_not_have_any_more_was_deleted_meanwhile() {
    let cache = listed(&[a_record().named("one"), a_record().named("two")]);
    changes(&cache);
    cache.apply(Init);
    cache.apply(InitApply(object(&a_record().named("two"))));
    assert_eq!(cache.index().len(), 2, "while it lists nothing is missing yet");
    cache.apply(InitDone);
    assert_eq!((cache.index().len(), changes(&cache).contains(&"deleted one".to_owned())), (1, true));
    assert!(cache.is_synced());
}

#[test]
fn late_news_of_a_deletion_leaves_the_next_one_of_that_name_alone() {
    let cache = listed(&[a_record().named("one").version(5)]);
    cache.put(a_record().named("one").version(12).object());
    changes(&cache);
    cache.apply(Delete(object(&a_record().named("one").version(9))));
    assert_eq!((cache.index().len(), changes(&cache)), (1, vec![]));
}

#[test]
fn what_is_created_while_a_list_is_read_is_not_missing_in_it() {
    let cache = listed(&[]);
    cache.apply(Init);
    cache.put(a_record().named("one").version(12).object());
    cache.apply(InitDone);
    assert_eq!((cache.index().len(), changes(&cache)), (1, vec!["seen one".to_owned()]));
}

#[test]
fn a_deleted_record_is_gone_whether_it_can_be_read_or_not() {
    let cache = listed(&[a_record().named("one"), a_record().named("two")]);
    changes(&cache);
    cache.apply(Delete(object(&a_record().named("one"))));
    cache.apply(Delete(unreadable("two")));
    assert_eq!((changes(&cache), cache.index().is_empty()), (vec!["deleted one".into(), "deleted two".into()], true));
}

#[test]
fn a_record_that_cannot_be_read_is_left_alone() {
    let cache = listed(&[a_record()]);
    changes(&cache);
    cache.apply(Apply(unreadable("rem-1")));
    assert_eq!((changes(&cache), cache.index().len()), (vec![], 1));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_fails_for_long_is_told_and_a_list_that_only_begins_does_not_end_that() {
    type Event = watcher::Result<watcher::Event<DeserializeGuard<Remediation>>>;
    let (watch, mut events) = tokio::sync::mpsc::unbounded_channel::<Event>();
    let cache = Arc::new(RecordCache::default());
    let following = Arc::clone(&cache);
    tokio::spawn(async move { following.follow(futures::stream::poll_fn(move |task| events.poll_recv(task))).await });
    let says = async |event: Event| {
        watch.send(event).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    says(Ok(watcher::Event::Init)).await;
    says(Ok(watcher::Event::InitDone)).await;
    for attempt in 0..65 {
        assert!(attempt > 55 || cache.watched().broken_for().is_none(), "after {attempt} attempts");
        says(Err(watcher::Error::NoResourceVersion)).await;
        says(Ok(watcher::Event::Init)).await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert!(cache.watched().broken_for().is_some());
    assert!(cache.is_synced(), "what it has is what intake and the leader go on with");
    says(Ok(watcher::Event::InitDone)).await;
    assert_eq!(cache.watched().broken_for(), None);
}
