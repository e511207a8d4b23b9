//! The rules of CEL in our definitions, in code.
//!
//! There are a handful, and an engine for CEL would be a parser, a regex crate's worth of build time and a second clock crate
//! in the binary for them. So each is written out here, found by its text; a test asks for every rule of every
//! definition, so that a new one cannot be forgotten.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// Whether a rule holds for a value, and what it replaces.
pub(super) type Holds = fn(&Value, Option<&Value>) -> bool;

const HOUR: f64 = 3_600.0;
const DAY: f64 = 86_400.0;

static SHARE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("^([1-9][0-9]?|100)%$|^[1-9][0-9]{0,8}$").ok());

const RULES: &[(&str, Holds)] = &[
    ("duration(self) <= duration('24h')", |value, _| seconds(value).is_some_and(|seconds| seconds <= DAY)),
    ("type(self) == int ? self > 0 : self.matches('^([1-9][0-9]?|100)%$|^[1-9][0-9]{0,8}$')", |value, _| match value {
        Value::String(text) => SHARE.as_ref().is_some_and(|share| share.is_match(text)),
        number => number.as_i64().is_some_and(|number| number > 0),
    }),
    ("duration(self.within) <= duration('1h')", |value, _| {
        value.get("within").and_then(seconds).is_some_and(|seconds| seconds <= HOUR)
    }),
    ("duration(self.stableFor) <= duration(self.within)", |value, _| {
        let of = |name: &str| value.get(name).and_then(seconds);
        of("stableFor").zip(of("within")).is_some_and(|(stable, within)| stable <= within)
    }),
    ("[has(self.restartPod), has(self.rolloutRestart)].filter(x, x).size() == 1", |value, _| {
        let has = |name: &str| value.get(name).is_some_and(|value| !value.is_null());
        has("restartPod") != has("rolloutRestart")
    }),
    ("self.from != self.to", |value, _| value.get("from") != value.get("to")),
    ("(self.kind == 'RemediationPolicy') == has(self.namespace)", |value, _| {
        let namespaced = value.get("namespace").is_some_and(|namespace| !namespace.is_null());
        (value["kind"] == "RemediationPolicy") == namespaced
    }),
    ("self == oldSelf", |value, old| old.is_none_or(|old| old == value)),
];

/// The rule of that text.
pub(super) fn find(text: &str) -> Option<Holds> {
    RULES.iter().find(|(rule, _)| *rule == text).map(|(_, holds)| *holds)
}

/// A duration as Go writes it, in seconds.
fn seconds(value: &Value) -> Option<f64> {
    let mut rest = value.as_str()?;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::all, *};

    #[test]
    fn every_rule_of_every_definition_is_written_out_here() {
        let texts: Vec<_> =
            all().iter().filter_map(|kind| kind.schema.as_ref()).flat_map(super::super::Schema::rule_texts).collect();
        assert!(texts.len() >= 10, "{texts:?}");
        for (text, known) in texts {
            assert!(known, "no code for the rule {text}");
        }
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, expected) in [("10m", 600.0), ("1h30m", 5400.0), ("1.5s", 1.5), ("100ms", 0.1)] {
            assert_eq!(seconds(&json!(text)), Some(expected), "{text}");
        }
        assert_eq!(seconds(&json!("1d")), None);
    }
}
