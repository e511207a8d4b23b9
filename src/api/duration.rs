//! The text of a duration, read without ever computing with what it says before that is known to be in range.
//!
//! Not kube's own parser: it multiplies a floating-point number, and panics where the product is too large. One such
//! text in one object of the API would end every process that watches it.

use std::time::Duration;

/// How long a text may be, in characters; the schema says the same.
pub(super) const LONGEST: usize = 32;

/// A century is more than anybody means, and keeps every sum with a timestamp in range.
const CENTURY: Duration = Duration::from_hours(100 * 366 * 24);

/// The units as Go writes them, in nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3600 * 1_000_000_000),
];

/// Why a text is no duration above zero.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DurationError {
    /// Too long to be worth showing.
    #[error("a duration such as 30s or 1h30m has {LONGEST} characters at most, not {0}")]
    TooManyCharacters(usize),
    /// Not of the form.
    #[error("`{text}` is not a duration such as 30s or 1h30m: {why}")]
    Syntax {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// Zero, or below.
    #[error("`{0}` must be more than zero")]
    NotPositive(String),
    /// Longer than anybody means.
    #[error("`{0}` is longer than a century")]
    TooLong(String),
}

/// Reads a duration of more than zero and at most a century: numbers, each with its unit, as in `1h30m` or `1.5s`. What
/// is finer than a nanosecond is cut off.
pub(super) fn parse(text: &str) -> Result<Duration, DurationError> {
    let characters = text.chars().count();
    if characters > LONGEST {
        return Err(DurationError::TooManyCharacters(characters));
    }
    let syntax = |why: String| DurationError::Syntax { text: text.to_owned(), why };
    if text.is_empty() {
        return Err(syntax("it is empty".to_owned()));
    }
    if let Some(rest) = text.strip_prefix('-') {
        // Said of what would be one: `-soon` is none either way.
        return Err(
            parse(rest).map_or_else(|_| syntax(no_number(text)), |_| DurationError::NotPositive(text.to_owned()))
        );
    }
    if text == "0" {
        return Err(DurationError::NotPositive(text.to_owned()));
    }
    let mut total: u128 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        if whole.is_empty() {
            return Err(syntax(no_number(rest)));
        }
        let (part, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("0", after),
        };
        if part.is_empty() {
            return Err(syntax("there is no digit behind the point".to_owned()));
        }
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let Some((_, nanos)) = UNITS.iter().find(|(known, _)| *known == unit) else {
            return Err(syntax(no_unit(unit)));
        };
        total = total.saturating_add(number(whole).saturating_mul(*nanos));
        // More digits than these are less than a nanosecond of any unit.
        let part = &part[..part.len().min(18)];
        let scale = part.bytes().fold(1_u128, |scale, _| scale.saturating_mul(10));
        total = total.saturating_add(number(part).saturating_mul(*nanos) / scale);
        rest = after;
    }
    if total == 0 {
        return Err(DurationError::NotPositive(text.to_owned()));
    }
    let nanos = u64::try_from(total).unwrap_or(u64::MAX);
    let duration = Duration::from_nanos(nanos);
    if duration > CENTURY { Err(DurationError::TooLong(text.to_owned())) } else { Ok(duration) }
}

/// The digits that a text begins with, and the rest.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// What digits say; what is too much for the type is the most that it can say.
fn number(digits: &str) -> u128 {
    digits
        .bytes()
        .fold(0, |number: u128, digit| number.saturating_mul(10).saturating_add(u128::from(digit.saturating_sub(b'0'))))
}

fn no_number(text: &str) -> String {
    format!("there is no number before `{text}`")
}

fn no_unit(unit: &str) -> String {
    let known = "write ns, us, ms, s, m or h";
    if unit.is_empty() { format!("a number has no unit; {known}") } else { format!("`{unit}` is no unit; {known}") }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use regex::Regex;

    use super::*;
    use crate::api::PositiveDuration;

    /// What the API server lets through.
    static SCHEMA: LazyLock<Regex> = LazyLock::new(|| {
        let schema = schemars::schema_for!(PositiveDuration);
        assert_eq!(schema.get("maxLength").and_then(serde_json::Value::as_u64), Some(LONGEST as u64));
        Regex::new(schema.get("pattern").and_then(serde_json::Value::as_str).unwrap()).unwrap()
    });

    #[test]
    fn a_number_has_its_unit_and_a_sum_is_exact() {
        for (text, nanos) in [
            ("1ns", 1),
            ("1.9ns", 1),
            ("2us", 2_000),
            ("2µs", 2_000),
            ("1.5ms", 1_500_000),
            ("0.1s", 100_000_000),
            ("1m0.25s", 60_250_000_000),
            ("0.3333333333333333333h", 1_200_000_000_000 - 1),
            ("9007199254740993ns", 9_007_199_254_740_993),
            ("878400h", 878_400 * 3_600_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_text_is_said() {
        for (text, why) in [
            ("", "`` is not a duration such as 30s or 1h30m: it is empty"),
            ("5", "`5` is not a duration such as 30s or 1h30m: a number has no unit; write ns, us, ms, s, m or h"),
            ("7d", "`7d` is not a duration such as 30s or 1h30m: `d` is no unit; write ns, us, ms, s, m or h"),
            ("soon", "`soon` is not a duration such as 30s or 1h30m: there is no number before `soon`"),
            (
                "1h soon",
                "`1h soon` is not a duration such as 30s or 1h30m: `h soon` is no unit; write ns, us, ms, s, m or h",
            ),
            ("1.s", "`1.s` is not a duration such as 30s or 1h30m: there is no digit behind the point"),
            ("0", "`0` must be more than zero"),
            ("0h0.0s", "`0h0.0s` must be more than zero"),
            ("-5m", "`-5m` must be more than zero"),
            ("878401h", "`878401h` is longer than a century"),
            ("5124095576030431h", "`5124095576030431h` is longer than a century"),
            ("99999999999999999999h", "`99999999999999999999h` is longer than a century"),
            ("9999999999999999999999999999999h", "`9999999999999999999999999999999h` is longer than a century"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), why);
        }
        let endless = "9".repeat(1 << 20);
        assert_eq!(parse(&endless), Err(DurationError::TooManyCharacters(1 << 20)));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn what_the_schema_lets_through_is_a_duration_or_one_out_of_range(
            text in r"-?([0-9]{0,32}(\.[0-9]{0,4})?(ns|us|µs|ms|s|m|h|d|e)?){0,4}"
        ) {
            let form = SCHEMA.is_match(&text) && text.chars().count() <= LONGEST;
            match parse(&text) {
                Ok(duration) => {
                    prop_assert!(form && !duration.is_zero() && duration <= CENTURY, "{duration:?}");
                    let written: PositiveDuration = text.parse().unwrap();
                    prop_assert_eq!(written.to_string().parse(), Ok(written));
                }
                Err(DurationError::Syntax { .. } | DurationError::TooManyCharacters(_)) => prop_assert!(!form),
                Err(DurationError::TooLong(_)) => prop_assert!(form),
                Err(DurationError::NotPositive(_)) => prop_assert!(form || text == "0" || text.starts_with('-')),
            }
        }
    }
}
