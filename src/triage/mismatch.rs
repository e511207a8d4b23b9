//! Why a policy does not match an alert: each matcher, what it looked at, and what would have been near. Pure.

use serde::Serialize;

use crate::{
    alert::{Labels, Matcher},
    policy::Policy,
};

/// How alike two words must be for one to be a misspelling of the other.
const NEAR: f64 = 0.8;

/// What one matcher says about one alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MatcherVerdict {
    /// The matcher, as it is written.
    pub matcher: String,
    /// Whether it matches.
    pub matches: bool,
    /// The label's value; absent where the alert has no such label, which counts as an empty one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// What the policy or the alert may have meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
}

/// What every matcher of a policy says, in their order.
pub fn verdicts(policy: &Policy, labels: &Labels) -> Vec<MatcherVerdict> {
    policy.spec.matchers.iter().map(|matcher| verdict(matcher, labels)).collect()
}

fn verdict(matcher: &Matcher, labels: &Labels) -> MatcherVerdict {
    let satisfied = matcher.matches(labels);
    let actual = labels.get(&matcher.name);
    let nearest = if satisfied { None } else { nearest(matcher, actual, labels) };
    MatcherVerdict { matcher: matcher.to_string(), matches: satisfied, actual: actual.map(str::to_owned), nearest }
}

/// A value that the matcher takes and that is near the label's; where there is no such label, one whose name or value is
/// near.
fn nearest(matcher: &Matcher, actual: Option<&str>, labels: &Labels) -> Option<String> {
    let wanted = matcher.literal_values().unwrap_or_default();
    if let Some(actual) = actual {
        return nearest_of(actual, wanted.iter().copied()).map(|value| format!("{}=\"{value}\"", matcher.name));
    }
    let same_value = labels.0.iter().find(|(_, value)| wanted.contains(&value.as_str()));
    let near_name = || {
        let name = nearest_of(&matcher.name, labels.0.keys().map(String::as_str))?;
        labels.0.get_key_value(name)
    };
    same_value.or_else(near_name).map(|(name, value)| format!("{name}=\"{value}\""))
}

fn nearest_of<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |candidate: &str| strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase());
    let near = candidates.map(|candidate| (likeness(candidate), candidate)).filter(|(likeness, _)| *likeness >= NEAR);
    near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remediation::fixtures::{a_policy, labels};

    #[test]
    fn each_matcher_says_what_it_saw_and_what_was_near() {
        let policy = a_policy("p")
            .matching(&[
                "alertname=\"MemoryLeakDetected\"",
                "severity=~\"critical|warning\"",
                "namespace=\"shop\"",
                "team!=\"red\"",
                "env=\"production\"",
            ])
            .build();
        let alert = labels(&[
            ("alertname", "MemoryLeakDetection"),
            ("severity", "Warning"),
            ("exported_namespace", "shop"),
            ("team", "red"),
        ]);
        let said = verdicts(&policy, &alert);
        assert!(said.iter().all(|verdict| !verdict.matches));
        let nearest: Vec<_> = said.iter().map(|verdict| verdict.nearest.as_deref()).collect();
        assert_eq!(
            nearest,
            [
                Some("alertname=\"MemoryLeakDetected\""),
                Some("severity=\"warning\""),
                Some("exported_namespace=\"shop\""),
                None,
                None,
            ]
        );
        assert_eq!(said[2].actual, None);
        assert_eq!(said[3].actual.as_deref(), Some("red"));
    }

    #[test]
    fn what_matches_has_nothing_near() {
        let policy = a_policy("p").matching(&["alertname=\"MemoryLeak\"", "team!=\"red\""]).build();
        let said = verdicts(&policy, &labels(&[("alertname", "MemoryLeak")]));
        assert!(said.iter().all(|verdict| verdict.matches && verdict.nearest.is_none()), "{said:?}");
        assert!(policy.matches(&labels(&[("alertname", "MemoryLeak")])), "as the policy itself says");
    }
}
