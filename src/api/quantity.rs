//! Durations, counts and shares as Kubernetes writes them, with what would switch a limit off refused.

use std::{fmt, str::FromStr, time::Duration};

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de};

use super::duration;

/// A duration above zero, written as Kubernetes does: `30s`, `10m`, `1h30m`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PositiveDuration(Duration);

impl PositiveDuration {
    /// A whole number of seconds; zero becomes one, so that a constant cannot break the type's promise.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(if seconds == 0 { 1 } else { seconds }))
    }

    /// As the standard library's type.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// As jiff's type, to add to a timestamp.
    pub fn signed(self) -> SignedDuration {
        SignedDuration::try_from(self.0).unwrap_or(SignedDuration::MAX)
    }

    /// Whole seconds, at least 1, as API fields such as `gracePeriodSeconds` want them.
    pub fn as_secs(self) -> i64 {
        i64::try_from(self.0.as_secs()).unwrap_or(i64::MAX).max(1)
    }
}

impl FromStr for PositiveDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        duration::parse(text).map(Self).map_err(|error| error.to_string())
    }
}

impl TryFrom<String> for PositiveDuration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for PositiveDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.subsec_nanos() > 0 {
            return if self.0.subsec_nanos().is_multiple_of(1_000_000) {
                write!(f, "{}ms", self.0.as_millis())
            } else {
                write!(f, "{}ns", self.0.as_nanos())
            };
        }
        let seconds = self.0.as_secs();
        let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
        parts.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, unit)| write!(f, "{count}{unit}"))
    }
}

impl fmt::Debug for PositiveDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<PositiveDuration> for String {
    fn from(duration: PositiveDuration) -> Self {
        duration.to_string()
    }
}

impl JsonSchema for PositiveDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PositiveDuration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": duration::LONGEST,
            "pattern": r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$",
        })
    }
}

/// A number of pods, or a share of them in percent; a share is rounded up.
///
/// `0` and `0%` are refused: a guard that is off should not look like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CountOrPercent {
    /// So many.
    Count(u32),
    /// So many of a hundred, 1 to 100.
    Percent(u32),
}

impl CountOrPercent {
    /// How many that is of a total, rounded up.
    pub fn of(self, total: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => {
                u32::try_from((u64::from(total) * u64::from(percent)).div_ceil(100)).unwrap_or(u32::MAX)
            }
        }
    }
}

impl FromStr for CountOrPercent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is neither a number above 0 nor a percentage from 1% to 100%");
        let parsed = match text.strip_suffix('%') {
            Some(percent) => Self::Percent(percent.parse().map_err(|_| wrong())?),
            None => Self::Count(text.parse().map_err(|_| wrong())?),
        };
        match parsed {
            Self::Count(0) | Self::Percent(0 | 101..) => Err(wrong()),
            good => Ok(good),
        }
    }
}

impl fmt::Display for CountOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Serialize for CountOrPercent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for CountOrPercent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = CountOrPercent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number above 0 or a percentage such as 50%")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for CountOrPercent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CountOrPercent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "x-kubernetes-validations": [{
                "rule": "type(self) == int ? self > 0 : self.matches('^([1-9][0-9]?|100)%$|^[1-9][0-9]{0,8}$')",
                "message": "must be a number above 0 or a percentage from 1% to 100%",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_kubernetes_does_and_come_back() {
        for (text, seconds) in [("30s", 30), ("10m", 600), ("1h30m", 5400), ("90m", 5400)] {
            let duration: PositiveDuration = text.parse().unwrap();
            assert_eq!(duration.get().as_secs(), seconds);
            assert_eq!(duration.to_string().parse::<PositiveDuration>().unwrap(), duration);
        }
        assert_eq!("1500ms".parse::<PositiveDuration>().unwrap().to_string(), "1500ms");
    }

    #[test]
    fn a_duration_that_switches_a_limit_off_is_refused() {
        for bad in ["0s", "-5m", "5", "soon", "", "9999999h"] {
            assert!(bad.parse::<PositiveDuration>().is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_round_up() {
        let half: CountOrPercent = "50%".parse().unwrap();
        assert_eq!([1, 2, 3, 4, 5].map(|total| half.of(total)), [1, 1, 2, 2, 3]);
        assert_eq!("2".parse::<CountOrPercent>().unwrap().of(1), 2);
    }

    #[test]
    fn a_share_that_guards_nothing_is_refused() {
        for bad in ["0", "0%", "101%", "-1", "half", "%", "1.5"] {
            assert!(bad.parse::<CountOrPercent>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<CountOrPercent>("0").is_err());
        assert!(serde_json::from_str::<CountOrPercent>("-3").is_err());
        assert_eq!(serde_json::from_str::<CountOrPercent>("3").unwrap(), CountOrPercent::Count(3));
    }
}
