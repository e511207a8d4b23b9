//! What two polls have to find. What becomes of it is told in `tests/evidence`.

use super::*;
use crate::{
    alert::{AlertState, Labels},
    remediation::fixtures::{at, leak_of},
};

fn alert(pod: &str) -> Alert {
    let labels: Labels = leak_of(pod);
    Alert {
        state: AlertState::Firing,
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: BTreeMap::new(),
        starts_at: at(0),
        ends_at: None,
        generator_url: None,
    }
}

/// Polls that find these, so many seconds after the first one.
fn polls(found: &[(u64, &[&str])]) -> Vec<Vec<String>> {
    let mut seen = Found::new(CONFIRMED_AFTER);
    let began = Instant::now();
    let poll = |(after, pods): &(u64, &[&str])| {
        let alerts = pods.iter().map(|pod| alert(pod)).collect();
        let confirmed = seen.again(alerts, began + Duration::from_secs(*after));
        let mut pods: Vec<String> =
            confirmed.iter().filter_map(|alert| Some(alert.labels.get("pod")?.to_owned())).collect();
        pods.sort();
        pods
    };
    found.iter().map(poll).collect()
}

#[test]
fn what_two_polls_in_a_row_find_is_handed_over_and_goes_on_being() {
    let handed_over = polls(&[(0, &["a"]), (30, &["a", "b"]), (90, &["a", "b"])]);
    assert_eq!(handed_over, [vec![], vec!["a"], vec!["a", "b"]]);
}

#[test]
fn two_polls_that_are_too_close_are_one() {
    assert_eq!(polls(&[(0, &["a"]), (5, &["a"]), (29, &["a"]), (34, &["a"])])[..3], [vec![""; 0], vec![], vec![]]);
    assert_eq!(polls(&[(0, &["a"]), (5, &["a"]), (34, &["a"])])[2], ["a"]);
}

#[test]
fn what_was_gone_in_between_has_to_be_found_twice_anew() {
    assert_eq!(polls(&[(0, &["a"]), (60, &[]), (120, &["a"]), (180, &["a"])]), [vec![], vec![], vec![], vec!["a"]]);
}

#[test]
fn an_alert_of_two_groups_is_handed_over_once() {
    assert_eq!(polls(&[(0, &["a", "a"]), (60, &["a", "a"])])[1], ["a"]);
}

#[test]
fn only_versions_that_know_what_is_muted_are_polled() {
    for version in ["0.28.0", "v0.28.1", "0.31.0-rc.0", "1.0.0"] {
        assert!(tells_muted(version), "{version}");
    }
    for version in ["0.25.0", "0.27.0", "v0.9", "", "played by paramedic demo", "28"] {
        assert!(!tells_muted(version), "{version}");
    }
}
