//! From an alert to the records it leads to.

use proptest::prelude::*;

use super::*;
use crate::{
    alert::{AlertState, Labels},
    api::{Phase, Reason},
    policy::Origin,
    remediation::{RecordIndex, fixtures::*},
};

const RULES: Rules<'_> = Rules { own_namespace: "paramedic", open_per_policy: 100, delivery: Delivery::Webhook };

fn alert(labels: Labels) -> Alert {
    Alert {
        state: AlertState::Firing,
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: BTreeMap::new(),
        starts_at: at(-MINUTE),
        ends_at: None,
        generator_url: Some("http://prometheus/graph".to_owned()),
    }
}

fn leak() -> Alert {
    alert(leak_of("cart-1"))
}

/// Triage of an alert from a source that may touch these namespaces.
struct Desk {
    policies: PolicySet,
    known: RecordIndex,
    source: Vec<String>,
}

fn desk(policies: Vec<Policy>) -> Desk {
    let (policies, refused) = PolicySet::build(policies);
    assert!(refused.is_empty());
    Desk { policies, known: RecordIndex::default(), source: vec!["*".to_owned()] }
}

fn usual() -> Desk {
    desk(vec![a_policy("restart-cart").build()])
}

impl Desk {
    fn knows(self, record: &RecordFixture) -> Self {
        self.known.put(&record.object());
        self
    }

    fn from(mut self, namespaces: &[&str]) -> Self {
        self.source = namespaces.iter().copied().map(str::to_owned).collect();
        self
    }

    fn matches(&self, alert: &Alert, now: i64) -> Vec<Match> {
        self.matches_by(RULES, alert, now)
    }

    /// The same alert, but read from Alertmanager.
    fn polled(&self, alert: &Alert, now: i64) -> Match {
        self.matches_by(Rules { delivery: Delivery::Poll, ..RULES }, alert, now).remove(0)
    }

    fn matches_by(&self, rules: Rules<'_>, alert: &Alert, now: i64) -> Vec<Match> {
        let source = SourceScope { name: "prometheus", namespaces: &self.source };
        match triage(alert, source, &self.policies, &self.known, rules, at(now)) {
            Decision::Matches(matches) => matches,
            Decision::OwnAlert => panic!("it is not our own"),
        }
    }

    fn one(&self, alert: &Alert, now: i64) -> Match {
        let mut matches = self.matches(alert, now);
        assert_eq!(matches.len(), 1, "{matches:?}");
        matches.remove(0)
    }

    fn created(&self, alert: &Alert, now: i64) -> Remediation {
        match self.one(alert, now) {
            Match::Create(record) => *record,
            other => panic!("{other:?}"),
        }
    }
}

fn known(refresh: bool) -> Match {
    Match::Known { key: key("rem-1"), refresh }
}

// ---- what a record is made of

#[test]
fn a_new_alert_leads_to_a_record_with_all_that_was_decided() {
    let policy = a_policy("restart-cart").build();
    let record = usual().created(&leak(), 7);
    assert_eq!(record.metadata.namespace.as_deref(), Some("shop"));
    let labels = record.metadata.labels.unwrap();
    assert_eq!(labels[POLICY_LABEL], "restart-cart");
    assert_eq!(labels[FINGERPRINT_LABEL], leak().fingerprint.to_string());
    let spec = record.spec;
    assert_eq!((spec.episode, spec.source.as_str(), spec.mode), (1, "prometheus", Mode::Enforce));
    assert_eq!((&spec.policy, &spec.steps, &spec.limits), (&policy.reference, &policy.spec.steps, &policy.limits));
    assert_eq!((spec.matchers, spec.namespaces), (policy.spec.matchers, vec!["shop".to_owned()]));
    assert_eq!((spec.alert.starts_at, spec.alert.received_at), (at(-MINUTE), at(7)));
    assert!(record.status.is_none());
}

#[test]
fn every_policy_that_matches_has_its_record_and_a_disabled_one_none() {
    let policies = vec![
        a_policy("one").build(),
        a_policy("two").matching(&["alertname=~\"MemoryLeak|OutOfMemory\""]).mode(Mode::DryRun).build(),
        a_policy("three").matching(&["namespace=\"shop\""]).build(),
        a_policy("disabled").mode(Mode::Disabled).build(),
        a_policy("another").matching(&["alertname=\"Restarting\""]).build(),
    ];
    let created = desk(policies).matches(&leak(), 0).into_iter().map(|matched| match matched {
        Match::Create(record) => record.spec.policy.name,
        other => panic!("{other:?}"),
    });
    assert_eq!(created.collect::<Vec<_>>(), ["one", "two", "three"]);
    let nobody = desk(vec![a_policy("disabled").mode(Mode::Disabled).build()]);
    assert_eq!(nobody.matches(&leak(), 0), []);
}

/// For each record that is created, by its policy, the policies of those that outrank it.
fn ranks(desk: &Desk) -> Vec<(String, Vec<String>)> {
    let created = desk.matches(&leak(), 0).into_iter().filter_map(|matched| match matched {
        Match::Create(record) => Some(record.spec),
        _ => None,
    });
    let by_policy = |spec: RemediationSpec| {
        (spec.policy.name, spec.outranked_by.into_iter().map(|sibling| sibling.policy).collect())
    };
    created.map(by_policy).collect()
}

fn named(policy: &str, outranked_by: &[&str]) -> (String, Vec<String>) {
    (policy.to_owned(), outranked_by.iter().map(|other| format!("shop/{other}")).collect())
}

#[test]
fn a_record_names_those_of_the_same_alert_that_come_before_it() {
    let high = || a_policy("high").priority(7).build();
    let low = || a_policy("low").priority(-1).build();
    let (one, two) = (a_policy("one").build(), a_policy("two").build());
    let desk = desk(vec![low(), one, high(), two]);
    let expected =
        [named("high", &[]), named("one", &["high"]), named("two", &["high"]), named("low", &["high", "one", "two"])];
    assert_eq!(
        ranks(&desk),
        expected,
        "the highest is created first; those of one priority do not wait for each other"
    );
    let created = desk.matches(&leak(), 0);
    let (Match::Create(first), Match::Create(last)) = (&created[0], &created[3]) else { panic!("{created:?}") };
    assert_eq!(last.spec.outranked_by[0].key(), ObjectKey::of(first.as_ref()));
    assert_eq!((last.spec.priority, last.spec.outranked_by[0].priority), (-1, 7));
}

#[test]
fn a_record_that_is_there_already_comes_before_a_new_one_as_well() {
    let high = a_policy("high").priority(1).build();
    let both = desk(vec![high.clone(), a_policy("low").build()]).knows(&a_record_of(&high));
    assert_eq!(ranks(&both), [named("low", &["high"])]);
    let Match::Create(record) = &both.matches(&leak(), 0)[1] else { panic!("it is new") };
    assert_eq!(record.spec.outranked_by[0].key(), key("rem-1"));
}

#[test]
fn a_dry_run_comes_before_no_policy_that_acts() {
    let watched = || a_policy("watched").priority(2).mode(Mode::DryRun).build();
    let also = a_policy("also").priority(1).mode(Mode::DryRun).build();
    let desk = desk(vec![watched(), also, a_policy("acts").build()]);
    assert_eq!(ranks(&desk), [named("watched", &[]), named("also", &["watched"]), named("acts", &[])]);
}

#[test]
fn our_own_alerts_are_never_answered() {
    let mut own = leak_of("cart-1");
    own.0.insert("raised_by".to_owned(), "paramedic".to_owned());
    let source = SourceScope { name: "prometheus", namespaces: &["*".to_owned()] };
    let everything = desk(vec![a_policy("all").matching(&["alertname=~\".+\""]).build()]);
    let decided = triage(&alert(own), source, &everything.policies, &everything.known, RULES, at(0));
    assert_eq!(decided, Decision::OwnAlert);
    let mut other = leak_of("cart-1");
    other.0.insert("raised_by".to_owned(), "somebody".to_owned());
    assert_eq!(everything.matches(&alert(other), 0).len(), 1, "the twin");
}

#[test]
fn records_lie_beside_a_resource_and_otherwise_in_our_own_namespace() {
    let cluster = |origin| {
        let mut policy = a_policy("restart-cart").build();
        policy.reference.kind = PolicyKind::ClusterRemediationPolicy;
        policy.reference.namespace = None;
        policy.origin = origin;
        policy
    };
    let table = [
        (a_policy("restart-cart").build(), "shop"),
        (a_policy("restart-cart").build_as_file(), "paramedic"),
        (cluster(Origin::Resource), "paramedic"),
        (cluster(Origin::File), "paramedic"),
    ];
    for (policy, namespace) in table {
        let record = desk(vec![policy]).created(&leak(), 0);
        assert_eq!(record.metadata.namespace.as_deref(), Some(namespace));
    }
}

// ---- names

#[test]
fn a_name_is_made_of_policy_source_alert_and_episode_and_of_nothing_else() {
    let name = |record: Remediation| record.metadata.name.unwrap();
    let first = name(usual().created(&leak(), 0));
    assert_eq!(name(usual().created(&Alert { starts_at: at(-HOUR), ..leak() }, 0)), first, "Alertmanager merged it");
    assert_eq!(name(usual().created(&leak(), 999)), first, "a lagging replica collides");
    let mut reworded = leak();
    reworded.annotations.insert("summary".to_owned(), "another text".to_owned());
    assert_eq!(name(usual().created(&reworded, 0)), first);
    let changed = desk(vec![a_policy("restart-cart").mode(Mode::DryRun).build()]);
    assert_eq!(name(changed.created(&leak(), 0)), first, "the policy changed, the episode did not");

    let others = [
        name(usual().created(&alert(leak_of("cart-2")), 0)),
        name(desk(vec![a_policy("another").build()]).created(&leak(), 0)),
        name(desk(vec![a_policy("restart-cart").in_namespace("till").build()]).created(&leak(), 0)),
        record_name(&a_record().policy(), "prometheus", leak().fingerprint, 2),
        record_name(&a_record().policy(), "another", leak().fingerprint, 1),
    ];
    assert!(!others.contains(&first));
}

#[test]
fn names_stay_what_they_are_from_release_to_release() {
    // A changed name would repeat what an older version has on record.
    let name = record_name(&a_record().policy(), "prometheus", leak().fingerprint, 1);
    assert_eq!(name, "restart-cart-5433dafd9093aa6b");
}

proptest! {
    #[test]
    fn a_name_is_one_that_the_api_takes(policy in "[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?", episode in 1_u32..) {
        let policy = PolicyKey { name: policy, ..a_record().policy() };
        let name = record_name(&policy, "prometheus", leak().fingerprint, episode);
        prop_assert!(name.len() <= 63, "{name}");
        prop_assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte)));
        prop_assert!(name.starts_with(|first: char| first.is_ascii_alphanumeric()));
        let label = label_value(&policy.name);
        prop_assert!(label.len() <= 63 && label.ends_with(|last: char| last.is_ascii_alphanumeric()), "{label}");
    }
}

// ---- episodes

#[test]
fn while_a_record_is_open_its_alert_begins_nothing_new() {
    for record in [a_record(), a_record().waiting(Reason::Paused, 0), a_record().acting(0), a_record().verifying(0)] {
        let desk = usual().knows(&record.last_seen(5));
        assert_eq!(desk.one(&leak(), 10), known(false));
        let restarted = Alert { starts_at: at(8), ..leak() };
        assert_eq!(desk.one(&restarted, 10), known(true), "no new episode, unless the record has ended unseen");
    }
}

#[test]
fn a_new_episode_is_an_alert_that_began_after_the_last_ones_resolution() {
    let over = || usual().knows(&a_record().episode(3).resolved_at(100).in_phase(Phase::Succeeded, 160));
    let began = |seconds: i64| Alert { starts_at: at(seconds), ..leak() };
    assert_eq!(over().one(&began(-60), 200), known(false), "a late duplicate");
    assert_eq!(over().one(&began(100), 200), known(false));
    let record = over().created(&began(101), 200);
    assert_eq!(record.spec.episode, 4);
    let unresolved = || usual().knows(&a_record().in_phase(Phase::Failed, 160));
    assert_eq!(unresolved().one(&began(160), 200), known(false), "without a resolution the record's end counts");
    assert_eq!(unresolved().created(&began(161), 200).spec.episode, 2);
}

#[test]
fn a_poll_begins_what_no_record_speaks_for_and_repeats_nothing() {
    assert!(matches!(usual().polled(&leak(), 0), Match::Create(_)));
    let ended = || usual().knows(&a_record().in_phase(Phase::Failed, 100));
    let later = 100 + 24 * HOUR;
    assert!(matches!(ended().one(&leak(), later), Match::Create(_)), "its sender says that it fires still");
    assert_eq!(ended().polled(&leak(), later), known(false), "that it fires still is nothing new");
    let anew = Alert { starts_at: at(101), ..leak() };
    assert!(matches!(ended().polled(&anew, 200), Match::Create(_)), "another episode");
    let open = usual().knows(&a_record().last_seen(5));
    assert_eq!(open.one(&leak(), later), known(true));
    assert_eq!(open.polled(&leak(), later), known(false), "and is not written down");
    assert_eq!(open.polled(&anew, later), known(false));
}

#[test]
fn an_alert_that_still_fires_ten_minutes_after_the_end_begins_a_new_episode() {
    let over = || usual().knows(&a_record().in_phase(Phase::Failed, 100));
    assert_eq!(over().one(&leak(), 699), known(false));
    assert_eq!(over().created(&leak(), 700).spec.episode, 2);
}

#[test]
fn what_one_source_has_on_record_does_not_stand_in_for_another() {
    let mut elsewhere = a_record().in_phase(Phase::Skipped, 5);
    elsewhere.spec.source = "staging".to_owned();
    let desk = usual().knows(&elsewhere);
    assert_eq!(desk.created(&leak(), 10).spec.episode, 1, "of its own count");
}

#[test]
fn a_refusal_that_only_people_can_take_away_is_told_ever_more_rarely_and_hourly_at_last() {
    let refused = |reason: Reason, ended: i64| {
        let mut record = a_record().in_phase(Phase::Skipped, ended);
        record.status.reason = Some(reason);
        record.spec.policy = a_policy("restart-cart").build().reference;
        usual().knows(&record)
    };
    // The alert began a minute before it arrived.
    for (ended, pause) in [(0, 10), (9, 10), (14, 15), (29, 30), (59, 60), (600, 60)] {
        let desk = refused(Reason::OptedOut, ended * MINUTE);
        assert_eq!(desk.one(&leak(), (ended + pause) * MINUTE - 1), known(false), "{ended}");
        assert_eq!(desk.created(&leak(), (ended + pause) * MINUTE).spec.episode, 2, "{ended}");
    }
    let cleared = refused(Reason::AlertCleared, 600 * MINUTE);
    assert!(matches!(cleared.one(&leak(), 610 * MINUTE), Match::Create(_)), "that can be different any time");
    let changed = desk(vec![a_policy("restart-cart").mode(Mode::DryRun).build()]);
    let mut record = a_record().in_phase(Phase::Skipped, 600 * MINUTE);
    record.status.reason = Some(Reason::OptedOut);
    assert!(matches!(changed.knows(&record).one(&leak(), 610 * MINUTE), Match::Create(_)), "the policy changed");
    let again = Alert { starts_at: at(601 * MINUTE), ..leak() };
    assert!(matches!(refused(Reason::OptedOut, 600 * MINUTE).one(&again, 602 * MINUTE), Match::Create(_)), "anew");
}

// ---- lastSeen

#[test]
fn last_seen_is_written_at_most_once_a_minute_and_only_for_what_is_open() {
    let open = || usual().knows(&a_record().waiting(Reason::Paused, 0).last_seen(100));
    assert_eq!(open().one(&leak(), 159), known(false));
    assert_eq!(open().one(&leak(), 160), known(true));
    let new = || usual().knows(&a_record());
    assert_eq!(new().one(&leak(), 59), known(false), "it was received when it was created");
    assert_eq!(new().one(&leak(), 60), known(true));
    let over = usual().knows(&a_record().last_seen(0).in_phase(Phase::Failed, 1));
    assert_eq!(over.one(&leak(), 500), known(false));
}

#[test]
fn a_late_duplicate_after_the_resolved_notice_says_nothing_and_a_new_firing_does() {
    let resolved = || usual().knows(&a_record().verifying(0).resolved_at(100));
    assert_eq!(resolved().one(&leak(), 500), known(false));
    assert_eq!(resolved().one(&Alert { starts_at: at(101), ..leak() }, 102), known(true));
}

// ---- bounds

#[test]
fn a_policy_has_so_many_open_records_and_no_more() {
    let pod = |number: usize| format!("cart-{}", number + 1000);
    let mut full = usual();
    for number in 0..100 {
        full = full.knows(&a_record().named(&format!("rem-{number}")).about(&pod(number)));
    }
    let policy = a_policy("restart-cart").build();
    assert_eq!(full.one(&leak(), 0), Match::OverCap(policy.reference));
    assert!(matches!(full.one(&alert(leak_of(&pod(5))), 0), Match::Known { .. }), "what is on record stays known");
    full.known.remove(&key("rem-5"), None);
    assert!(matches!(full.one(&leak(), 0), Match::Create(_)), "there is room again");
}

/// A list of names, as a table has them.
type Names = &'static [&'static str];

#[test]
fn a_record_may_touch_what_both_policy_and_source_may() {
    let cluster = |namespaces: &[&str]| {
        let mut policy = a_policy("restart-cart").build();
        policy.namespaces = namespaces.iter().copied().map(str::to_owned).collect();
        policy
    };
    let table: [(Names, Names, Option<Names>); 8] = [
        (&["shop"], &["*"], Some(&["shop"])),
        (&["shop"], &["shop", "till"], Some(&["shop"])),
        (&["shop"], &["till"], None),
        (&["*"], &["till", "shop"], Some(&["till", "shop"])),
        (&["*"], &["*"], Some(&["*"])),
        (&["shop", "till"], &["till", "desk"], Some(&["till"])),
        (&["shop", "till"], &["*"], Some(&["shop", "till"])),
        (&["*"], &[], None),
    ];
    for (policy, source, expected) in table {
        let desk = desk(vec![cluster(policy)]).from(source);
        match (desk.one(&leak(), 0), expected) {
            (Match::Create(record), Some(expected)) => assert_eq!(record.spec.namespaces, expected),
            (Match::NotPermitted(reference), None) => assert_eq!(reference.name, "restart-cart"),
            (other, _) => panic!("{policy:?} and {source:?}: {other:?}"),
        }
    }
}

#[test]
fn an_alert_that_says_it_begins_in_the_future_begins_no_episode_with_every_notice() {
    let desk = usual().knows(&a_record().in_phase(Phase::Failed, 100));
    let mut ahead = leak();
    ahead.starts_at = at(200 + HOUR);
    assert_eq!(desk.one(&ahead, 200), known(false));
    ahead.starts_at = at(200 + MINUTE);
    assert_eq!(desk.created(&ahead, 200).spec.episode, 2, "clocks differ a little");
}

#[test]
fn what_was_cancelled_because_the_policy_changed_is_answered_anew_by_the_policy_as_it_is() {
    let cancelled = a_record().in_phase(Phase::Cancelled, 100).because(Reason::PolicyChanged);
    let desk = usual().knows(&cancelled);
    assert_eq!(desk.one(&leak(), 101), known(false), "another replica may not have seen the change yet");
    let changed = self::desk(vec![a_policy("restart-cart").limits(|limits| limits.concurrency = 7).build()]);
    assert_eq!(changed.knows(&cancelled).created(&leak(), 101).spec.episode, 2);
    let cancelled_by_hand = a_record().in_phase(Phase::Cancelled, 100).because(Reason::CancelRequested);
    let changed = self::desk(vec![a_policy("restart-cart").limits(|limits| limits.concurrency = 7).build()]);
    assert_eq!(changed.knows(&cancelled_by_hand).one(&leak(), 101), known(false));
}

#[test]
fn a_policy_that_may_not_touch_what_the_alert_names_does_not_come_before_one_that_may() {
    let elsewhere = || a_policy("first").in_namespace("bank").priority(1000).build();
    let desk = desk(vec![a_policy("restart-cart").build(), elsewhere()]);
    let outranked_by = |alert: &Alert| {
        let mut matches = desk.matches(alert, 7).into_iter().filter_map(|matched| match matched {
            Match::Create(record) if record.spec.policy.name == "restart-cart" => Some(record.spec.outranked_by),
            _ => None,
        });
        matches.next().unwrap().len()
    };
    assert_eq!(outranked_by(&leak()), 0, "the alert is about the namespace shop");
    let mut nowhere = leak_of("cart-1");
    nowhere.0.remove("namespace");
    assert_eq!(outranked_by(&alert(nowhere)), 1, "it may be about any");
}
