use std::fmt::Write;

use proptest::prelude::*;

use super::*;

fn time() -> Timestamp {
    "2026-01-01T03:00:00Z".parse().unwrap()
}

/// Lines with their newlines, one an event.
fn lines(from: Position, events: &[Event]) -> Vec<Vec<u8>> {
    let mut at = from;
    let write = |event| {
        let (line, next) = at.line(time(), "paramedic-0", event).unwrap();
        at = next;
        line
    };
    events.iter().map(write).collect()
}

fn checked_by(mut chain: Chain, text: &[u8]) -> Result<Chain, Broken> {
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        chain.check(line.strip_suffix(b"\n").unwrap_or(line))?;
    }
    Ok(chain)
}

fn checked(text: &[u8]) -> Result<Chain, Broken> {
    checked_by(Chain::whole(), text)
}

#[test]
fn a_line_is_bound_to_the_one_before_and_can_be_checked_with_what_every_machine_has() {
    let lines = lines(Position::START, &[Event::LeadershipWon, Event::Removed { remediation: "shop/a".into() }]);
    let text = String::from_utf8(lines.concat()).unwrap();
    insta::assert_snapshot!(text, @r#"
    {"seq":1,"time":"2026-01-01T03:00:00Z","replica":"paramedic-0","prev":"0000000000000000000000000000000000000000000000000000000000000000","event":"LeadershipWon","hash":"88977db3465b6d775d13ad09017105384c9cbe733055b1f0de7cca393424e21a"}
    {"seq":2,"time":"2026-01-01T03:00:00Z","replica":"paramedic-0","prev":"88977db3465b6d775d13ad09017105384c9cbe733055b1f0de7cca393424e21a","event":"Removed","remediation":"shop/a","hash":"4148bcaa05b779cc6e19181cb70a24128aaddd9c2e1baf3e7be7f1d0bdfcd8fc"}
    "#);
    // As `sed 's/,"hash":"[0-9a-f]*"}$/}/' | tr -d '\n' | sha256sum` would.
    let first = text.lines().next().unwrap();
    let without = format!("{}}}", first.split(",\"hash\":").next().unwrap());
    let digest = Sha256::digest(without.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    assert!(first.ends_with(&format!("\"hash\":\"{digest}\"}}")), "{first}");
    assert!(text.lines().nth(1).unwrap().contains(&format!("\"prev\":\"{digest}\"")), "{text}");
    assert_eq!(checked(text.as_bytes()).unwrap().position().unwrap().seq, 2);
}

#[test]
fn a_chain_goes_on_in_another_file_and_what_is_missing_before_it_is_said() {
    let events = vec![Event::LeadershipWon; 5];
    let all = lines(Position::START, &events);
    let (old, new) = (all[..3].concat(), all[3..].concat());
    let after = checked(&old).unwrap();
    let position = after.position().unwrap();
    assert_eq!(checked_by(after, &new).unwrap().position().unwrap().seq, 5);
    assert_eq!(checked(&new).unwrap_err(), Broken::NoBeginning { said: 4 });
    assert_eq!(checked_by(Chain::after(position.hash), &new).unwrap().lines(), 2);
    assert!(matches!(checked_by(Chain::after(Hash::NONE), &new), Err(Broken::Gap { .. } | Broken::NoBeginning { .. })));
    assert_eq!(checked_by(Chain::from_anywhere(), &new).unwrap().lines(), 2);
}

#[test]
fn another_beginning_is_a_break_unless_it_is_allowed() {
    let one = lines(Position::START, &[Event::LeadershipWon, Event::LeadershipLost]).concat();
    let twice = [one.clone(), one.clone()].concat();
    assert_eq!(checked(&twice).unwrap_err(), Broken::Restart);
    assert_eq!(checked_by(Chain::whole().with_restarts(), &twice).unwrap().lines(), 4);
    let cut = one.split_inclusive(|byte| *byte == b'\n').nth(1).unwrap();
    assert!(checked_by(Chain::whole().with_restarts(), cut).is_err(), "a chain without its head is no beginning");
}

#[test]
fn what_is_no_line_is_said_to_be_none() {
    for text in ["", "{}", "hello", "{\"seq\":1}"] {
        assert!(matches!(Chain::whole().check(text.as_bytes()), Err(Broken::NoLine(_))), "{text}");
    }
}

#[test]
fn a_hash_is_read_as_it_is_written() {
    let hash = Hash::of(b"x");
    assert_eq!(hash.to_string().parse(), Ok(hash));
    for bad in ["", "ab", &"g".repeat(64), &hash.to_string().to_uppercase()] {
        assert!(bad.parse::<Hash>().is_err(), "{bad}");
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::LeadershipWon),
        Just(Event::Stopped),
        any::<u64>().prop_map(|events| Event::Lost { events }),
        ".{0,40}".prop_map(|problem| Event::PoliciesRefused { problem }),
        ("[a-z]{1,9}", ".{0,20}").prop_map(|(source, receiver)| Event::Delivered {
            source,
            receiver,
            outcomes: [("Created", 1)].into(),
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_was_written_is_whole(events in prop::collection::vec(event(), 1..12)) {
        let text = lines(Position::START, &events).concat();
        let chain = checked(&text).unwrap();
        prop_assert_eq!(chain.lines(), events.len() as u64);
        prop_assert!(text.split(|byte| *byte == b'\n').count() == events.len() + 1, "one line an event");
    }

    #[test]
    fn any_change_of_any_byte_is_found(
        events in prop::collection::vec(event(), 1..8),
        at in any::<prop::sample::Index>(),
        by in 1_u8..,
    ) {
        let mut text = lines(Position::START, &events).concat();
        // The newline at the very end binds nothing.
        let at = at.index(text.len() - 1);
        text[at] ^= by;
        prop_assert!(checked(&text).is_err());
    }

    #[test]
    fn any_line_that_is_removed_from_between_is_found_and_one_at_the_end_by_the_last_hash(
        events in prop::collection::vec(event(), 1..8),
        at in any::<prop::sample::Index>(),
    ) {
        let mut all = lines(Position::START, &events);
        let last = checked(&all.concat()).unwrap().position();
        let at = at.index(all.len());
        all.remove(at);
        let found = checked(&all.concat());
        prop_assert!(found.is_err() || found.unwrap().position() != last);
    }

    #[test]
    fn any_two_lines_that_are_swapped_are_found(
        events in prop::collection::vec(event(), 2..8),
        one in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
    ) {
        let mut all = lines(Position::START, &events);
        let (one, other) = (one.index(all.len()), other.index(all.len()));
        prop_assume!(one != other);
        all.swap(one, other);
        prop_assert!(checked(&all.concat()).is_err());
    }

    #[test]
    fn any_line_that_is_written_twice_or_comes_from_another_log_is_found(
        events in prop::collection::vec(event(), 1..8),
        foreign in event(),
        at in any::<prop::sample::Index>(),
    ) {
        let all = lines(Position::START, &events);
        let at = at.index(all.len());
        let mut twice = all.clone();
        twice.insert(at, all[at].clone());
        prop_assert!(checked(&twice.concat()).is_err());
        let mut mixed = all.clone();
        let elsewhere = Position { seq: at as u64, hash: Hash::of(b"another") };
        mixed.insert(at, lines(elsewhere, &[foreign]).concat());
        prop_assert!(checked(&mixed.concat()).is_err());
    }
}
