//! Windows and freezes, in zones whose clocks are set.

use jiff::SignedDuration;
use proptest::{prelude::*, sample::select};

use super::*;

fn schedule(yaml: &str) -> Schedule {
    let schedule: Schedule = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!(schedule.problem(), None, "{yaml}");
    let again: Schedule = serde_json::from_value(serde_json::to_value(&schedule).unwrap()).unwrap();
    assert_eq!(again, schedule, "what is written is read again");
    schedule
}

fn utc(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What it says at a time: open, or when it opens.
fn at(schedule: &Schedule, time: &str) -> Result<(), String> {
    schedule.open(utc(time)).map_err(|closed| closed.until.map_or("never".to_owned(), |until| until.to_string()))
}

fn until(time: &str) -> Result<(), String> {
    Err(time.to_owned())
}

#[test]
fn without_a_word_it_is_always_open() {
    assert_eq!(at(&Schedule::default(), "2026-03-01T03:00:00Z"), Ok(()));
    assert_eq!(serde_json::to_string(&Schedule::default()).unwrap(), r#"{"timeZone":"UTC"}"#);
}

#[test]
fn office_hours_are_those_of_the_place() {
    let office = schedule("{timeZone: Europe/Berlin, only: [{days: [Mon-Fri], from: '08:00', to: '18:00'}]}");
    // Friday, in winter an hour ahead of UTC.
    assert_eq!(at(&office, "2026-02-27T06:59:59Z"), until("2026-02-27T07:00:00Z"));
    assert_eq!(at(&office, "2026-02-27T07:00:00Z"), Ok(()));
    assert_eq!(at(&office, "2026-02-27T16:59:59Z"), Ok(()));
    assert_eq!(at(&office, "2026-02-27T17:00:00Z"), until("2026-03-02T07:00:00Z"), "not before Monday");
    // In summer two hours.
    assert_eq!(at(&office, "2026-07-03T06:00:00Z"), Ok(()));
    assert_eq!(at(&office, "2026-03-27T17:00:00Z"), until("2026-03-30T06:00:00Z"), "the clocks are set that weekend");
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
    let night = schedule("only: [{days: [Fri], from: '22:00', to: '02:00'}]");
    assert_eq!(at(&night, "2026-02-27T21:59:59Z"), until("2026-02-27T22:00:00Z"));
    assert_eq!(at(&night, "2026-02-27T23:00:00Z"), Ok(()));
    assert_eq!(at(&night, "2026-02-28T01:59:59Z"), Ok(()), "Saturday, but Friday's window");
    assert_eq!(at(&night, "2026-02-28T02:00:00Z"), until("2026-03-06T22:00:00Z"));
    assert_eq!(at(&night, "2026-02-28T22:30:00Z"), until("2026-03-06T22:00:00Z"));
}

#[test]
fn a_window_whose_beginning_is_left_out_opens_when_the_clocks_are_set() {
    // On 2026-03-29 the clocks of Berlin go from 02:00 to 03:00, at 01:00Z.
    let early = schedule("{timeZone: Europe/Berlin, only: [{days: [Sun], from: '02:30', to: '04:00'}]}");
    assert_eq!(at(&early, "2026-03-29T00:59:59Z"), until("2026-03-29T01:00:00Z"));
    assert_eq!(at(&early, "2026-03-29T01:00:00Z"), Ok(()));
    assert_eq!(at(&early, "2026-03-29T02:00:00Z"), until("2026-04-05T00:30:00Z"), "04:00");
    let left_out = schedule("{timeZone: Europe/Berlin, only: [{days: [Sun], from: '02:10', to: '02:50'}]}");
    assert_eq!(at(&left_out, "2026-03-29T00:00:00Z"), until("2026-04-05T00:10:00Z"), "that hour does not come");
}

#[test]
fn an_hour_that_comes_twice_is_in_the_window_twice() {
    // On 2026-10-25 the clocks of Berlin go from 03:00 back to 02:00, at 01:00Z.
    let early = schedule("{timeZone: Europe/Berlin, only: [{days: [Sun], from: '02:15', to: '02:45'}]}");
    assert_eq!(at(&early, "2026-10-25T00:15:00Z"), Ok(()));
    assert_eq!(at(&early, "2026-10-25T00:45:00Z"), until("2026-10-25T01:15:00Z"));
    assert_eq!(at(&early, "2026-10-25T01:15:00Z"), Ok(()));
    assert_eq!(at(&early, "2026-10-25T01:45:00Z"), until("2026-11-01T01:15:00Z"));
}

#[test]
fn a_freeze_goes_before_every_window_and_says_why() {
    let holidays = schedule(
        "{timeZone: Europe/Berlin, only: [{days: [Mon-Fri], from: '08:00', to: '18:00'}],
          freeze: [{from: '2026-12-21T00:00', to: '2027-01-04T00:00', reason: no changes over the holidays},
                   {from: '2027-01-04T07:00:00Z', to: '2027-01-04T09:00:00Z', reason: stock-taking}]}",
    );
    let closed = holidays.open(utc("2026-12-22T10:00:00Z")).unwrap_err();
    assert_eq!(closed.freeze.as_deref(), Some("no changes over the holidays"));
    assert_eq!(closed.until, Some(utc("2027-01-04T09:00:00Z")), "the first window's beginning is frozen as well");
    assert_eq!(at(&holidays, "2026-12-18T17:00:00Z"), until("2027-01-04T09:00:00Z"), "Friday evening");
    let weekend = holidays.open(utc("2026-12-19T10:00:00Z")).unwrap_err();
    assert_eq!(weekend.freeze, None, "outside of the windows, but not frozen yet");
    assert_eq!(at(&holidays, "2027-01-04T09:00:00Z"), Ok(()));
}

#[test]
fn between_two_long_freezes_it_opens_with_the_first_window() {
    let long = schedule(
        "{only: [{days: [Mon], from: '08:00', to: '09:00'}],
          freeze: [{from: '2026-03-01', to: '2026-04-01', reason: one}, {from: '2026-05-01', to: '2026-06-01T08:30', reason: two}]}",
    );
    assert_eq!(at(&long, "2026-03-02T08:00:00Z"), until("2026-04-06T08:00:00Z"));
    assert_eq!(at(&long, "2026-04-27T09:00:00Z"), until("2026-06-01T08:30:00Z"));
}

#[test]
fn a_freeze_by_the_clocks_is_as_long_as_it_can_be_meant() {
    let twice =
        schedule("{timeZone: Europe/Berlin, freeze: [{from: '2026-10-25T02:30', to: '2026-10-25T02:40', reason: r}]}");
    assert_eq!(at(&twice, "2026-10-25T00:29:59Z"), Ok(()));
    assert_eq!(at(&twice, "2026-10-25T00:30:00Z"), until("2026-10-25T01:40:00Z"));
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_word_on_what_can() {
    let wrong = |yaml: &str| serde_saphyr::from_str::<Schedule>(yaml).unwrap_err().to_string();
    assert!(wrong("timeZone: Europe/Belrin").contains("such as Europe/Berlin"));
    assert!(wrong("only: [{days: [Monday], from: '08:00', to: '18:00'}]").contains("such as Mon-Fri"));
    for time in ["8:00", "24:01", "12:60", "+1:00", "0800", ""] {
        let yaml = format!("only: [{{from: '{time}', to: '18:00'}}]");
        assert!(wrong(&yaml).contains("from 00:00 to 24:00"), "{yaml}");
    }
    assert!(wrong("freeze: [{from: tomorrow, to: '2026-12-20', reason: r}]").contains("2026-12-20T00:00"));
    let problem = |yaml: &str| serde_saphyr::from_str::<Schedule>(yaml).unwrap().problem().unwrap_or_default();
    assert!(problem("only: [{from: '08:00', to: '08:00'}]").contains("only[0]"));
    assert!(problem("only: [{from: '24:00', to: '08:00'}]").contains("00:00 of the next day"));
    assert!(problem("freeze: [{from: '2026-12-20', to: '2026-12-19', reason: r}]").contains("freeze[0]"));
}

fn clock_time() -> impl Strategy<Value = String> {
    (0..24_u8, select(vec![0_u8, 15, 30])).prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}"))
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let zone = select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]);
    let days = proptest::collection::vec(select(vec!["Mon", "Sat-Mon", "Tue-Thu", "Sun", "Mon-Sun"]), 0..3);
    let window = (days, clock_time(), clock_time());
    let freeze = (0..40_i64, 1..200_i64);
    (zone, proptest::collection::vec(window, 0..3), proptest::collection::vec(freeze, 0..3)).prop_map(
        |(zone, windows, freezes)| {
            let only = windows.iter().filter(|(_, from, to)| from != to);
            let only = only.map(|(days, from, to)| serde_json::json!({"days": days, "from": from, "to": to}));
            let start = "2026-03-20T00:30".parse::<DateTime>().unwrap();
            let freeze = freezes.iter().map(|(from, hours)| {
                let from = start.checked_add((*from * 7).hours()).unwrap();
                let to = from.checked_add(hours.hours()).unwrap();
                serde_json::json!({"from": from.to_string(), "to": to.to_string(), "reason": "r"})
            });
            let all = serde_json::json!({
                "timeZone": zone, "only": only.collect::<Vec<_>>(), "freeze": freeze.collect::<Vec<_>>(),
            });
            serde_json::from_value(all).unwrap()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// When it says that it opens, it does, and not a minute sooner: over weeks in which clocks are set.
    #[test]
    fn it_opens_when_it_says(schedule in any_schedule(), minutes in 0..(20 * 24 * 60_i64)) {
        let now = utc("2026-03-22T00:00:00Z").checked_add(SignedDuration::from_mins(minutes)).unwrap();
        match schedule.open(now) {
            Ok(()) => prop_assert!(schedule.frozen(now).is_none()),
            Err(Closed { until: Some(until), .. }) => {
                prop_assert!(until > now);
                prop_assert_eq!(schedule.open(until), Ok(()));
                let mut between = now;
                while between < until {
                    prop_assert!(!schedule.is_open(between), "open at {} already", between);
                    between = between.checked_add(SignedDuration::from_mins(15)).unwrap();
                }
            }
            Err(Closed { until: None, .. }) => prop_assert!(false, "every window comes again: {:?}", schedule),
        }
    }

    /// A window is open as long as it says on every day on which the clocks are not set.
    #[test]
    fn a_day_has_the_minutes_of_its_window(from in 0..24_u16, hours in 1..24_u16, day in 0..5_i64) {
        let to = (from + hours) % 24;
        let yaml = format!("{{timeZone: Europe/Berlin, only: [{{from: '{from:02}:00', to: '{to:02}:00'}}]}}");
        let schedule: Schedule = serde_saphyr::from_str(&yaml).unwrap();
        let start = utc("2026-06-01T00:00:00Z").checked_add((day * 24).hours()).unwrap();
        let open = (0..24 * 60).filter(|minute| {
            schedule.is_open(start.checked_add(SignedDuration::from_mins(*minute)).unwrap())
        });
        prop_assert_eq!(open.count(), usize::from(hours) * 60);
    }
}
