//! The index says what trying every policy would say.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::remediation::fixtures::*;

fn names<'a>(policies: impl Iterator<Item = &'a Arc<Policy>>) -> Vec<String> {
    let mut names: Vec<String> = policies.map(|policy| policy.reference.name.clone()).collect();
    names.sort();
    names
}

#[test]
fn of_a_resource_and_a_file_of_one_name_the_resource_wins_in_whatever_order() {
    let file = || a_policy("restart-cart").matching(&["alertname=\"File\""]).build_as_file();
    let resource = || a_policy("restart-cart").matching(&["alertname=\"Resource\""]).build();
    for both in [vec![file(), resource()], vec![resource(), file()]] {
        let (set, refused) = PolicySet::build(both);
        assert_eq!((set.len(), refused.len()), (1, 0));
        assert_eq!(set.matching(&labels(&[("alertname", "Resource")])).count(), 1);
        assert_eq!(set.matching(&labels(&[("alertname", "File")])).count(), 0);
        assert!(set.by_uid(&resource().reference.uid).is_some());
        assert!(set.by_uid(&file().reference.uid).is_none());
    }
    let elsewhere = a_policy("restart-cart").in_namespace("till").build_as_file();
    assert_eq!(PolicySet::build([resource(), elsewhere]).0.len(), 2, "of another namespace it is another policy");
}

#[test]
fn the_hundred_and_first_policy_without_an_alertname_is_refused_and_all_others_stay() {
    let unindexed = |number: usize| a_policy(&format!("all-{number:03}")).matching(&["severity=\"critical\""]).build();
    let (set, refused) = PolicySet::build((0..101).map(unindexed).chain([a_policy("indexed").build()]));
    let [(reference, problem)] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!((reference.name.as_str(), problem), ("all-100", &Problem::TooManyUnindexed { max: 100 }));
    assert_eq!(set.len(), 101);
    assert_eq!(set.matching(&labels(&[("severity", "critical")])).count(), 100);
    assert!(set.by_uid(&reference.uid).is_none(), "what is refused is not in force");
    assert_eq!(PolicySet::build((0..100).map(unindexed)).1.len(), 0);
}

#[test]
fn a_policy_that_names_an_alert_twice_matches_it_once() {
    let twice =
        a_policy("twice").matching(&["alertname=~\"MemoryLeak|MemoryLeak\"", "alertname=~\"Memory.*\""]).build();
    let (set, _) = PolicySet::build([twice]);
    assert_eq!(set.matching(&leak_of("cart-1")).count(), 1);
}

fn matcher() -> impl Strategy<Value = String> {
    let name = select(vec!["alertname", "severity", "team"]);
    let value = select(vec!["", "A", "B", "A|B", "A|", "A.*", ".+", "A.B", "a-b", "A|A", "(A|B)", "B|C.*"]);
    (name, select(vec!["=", "!=", "=~", "!~"]), value).prop_map(|(name, op, value)| format!("{name}{op}\"{value}\""))
}

fn alert() -> impl Strategy<Value = Labels> {
    let value = || select(vec!["", "A", "B", "AB", "A.B", "a-b", "C", "A|B"]);
    vec((select(vec!["alertname", "severity", "team"]), value()), 0..4).prop_map(|pairs| labels(&pairs))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_index_says_what_trying_every_policy_says(
        policies in vec(vec(matcher(), 1..4), 0..12),
        alerts in vec(alert(), 1..8),
    ) {
        let build = |(number, matchers): (usize, &Vec<String>)| {
            let matchers: Vec<&str> = matchers.iter().map(String::as_str).collect();
            let mut policy = a_policy(&format!("policy-{number}")).build();
            policy.spec.matchers = a_policy("any").matching(&matchers).spec.matchers;
            policy
        };
        let policies: Vec<Policy> = policies.iter().enumerate().map(build).collect();
        let (set, refused) = PolicySet::build(policies.clone());
        prop_assert!(refused.is_empty());
        for alert in alerts {
            let mut expected: Vec<String> = policies
                .iter()
                .filter(|policy| policy.spec.matchers.iter().all(|matcher| matcher.matches(&alert)))
                .map(|policy| policy.reference.name.clone())
                .collect();
            expected.sort();
            prop_assert_eq!(names(set.matching(&alert)), expected, "{:?}", alert);
        }
    }
}
