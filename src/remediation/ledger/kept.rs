//! What the ledger knows of records that are gone: kept beside the records, so that a new leader knows it too. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Ledger, Mark, Verdict};
use crate::api::ObjectKey;

/// So many actions, and as many ends, are kept at most, the newest.
pub const MOST_KEPT: usize = 1000;
/// So many bytes they may take: names can be long, and a ConfigMap of more than a mebibyte is refused.
const MOST_BYTES: usize = 900_000;

/// Actions and ends of records that are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// In order of time.
    pub marks: Vec<Mark>,
    /// In order of time.
    pub verdicts: Vec<Verdict>,
}

/// Why what was kept cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its line {line} cannot be read: {why}")]
pub struct Unreadable {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Acted(Mark),
    Ended(Verdict),
}

impl Kept {
    fn records(&self) -> impl Iterator<Item = &ObjectKey> {
        let marks = self.marks.iter().map(|mark| &mark.record);
        marks.chain(self.verdicts.iter().map(|verdict| &verdict.record))
    }

    fn records_mut(&mut self) -> impl Iterator<Item = &mut ObjectKey> {
        let marks = self.marks.iter_mut().map(|mark| &mut mark.record);
        marks.chain(self.verdicts.iter_mut().map(|verdict| &mut verdict.record))
    }

    /// A line of JSON each, the oldest first; of more than fits the oldest are left out.
    pub fn to_lines(&self) -> String {
        let acted = self.marks.iter().rev().take(MOST_KEPT).map(|mark| (mark.at, Line::Acted(mark.clone())));
        let ended = self.verdicts.iter().rev().take(MOST_KEPT).map(|end| (end.at, Line::Ended(end.clone())));
        let mut newest: Vec<(Timestamp, Line)> = acted.chain(ended).collect();
        newest.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let mut bytes = 0;
        let lines = newest.into_iter().filter_map(|(_, line)| serde_json::to_string(&line).ok());
        let fit = lines.take_while(|line| {
            bytes += line.len() + 1;
            bytes <= MOST_BYTES
        });
        let mut lines: Vec<String> = fit.collect();
        lines.reverse();
        lines.into_iter().fold(String::new(), |text, line| text + &line + "\n")
    }

    /// What [`Self::to_lines`] gave.
    ///
    /// # Errors
    /// The first line that is not one of these: what it says would be missing, and missing data is no reason to act.
    pub fn from_lines(text: &str) -> Result<Self, Unreadable> {
        let mut kept = Self::default();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            match serde_json::from_str(line) {
                Ok(Line::Acted(mark)) => kept.marks.push(mark),
                Ok(Line::Ended(verdict)) => kept.verdicts.push(verdict),
                Err(error) => return Err(Unreadable { line: number + 1, why: error.to_string() }),
            }
        }
        Ok(kept)
    }
}

impl Ledger {
    /// What is to be kept, as the record that says it is gone, or is about to be.
    pub fn kept(&self, gone: impl Fn(&ObjectKey) -> bool, now: Timestamp) -> Kept {
        let mut without = self.clone();
        without.forget(now);
        let mut kept = Kept {
            marks: without.marks.into_iter().filter(|mark| gone(&mark.record)).collect(),
            verdicts: without.verdicts.into_iter().filter(|verdict| gone(&verdict.record)).collect(),
        };
        let gone: BTreeSet<ObjectKey> = kept.records().cloned().collect();
        for record in gone {
            let nobody = self.nobody(&record);
            for own in kept.records_mut().filter(|own| **own == record) {
                own.clone_from(&nobody);
            }
        }
        kept
    }

    /// What stands for a record that is gone: a new record of its name is another one, and so are two of its name that
    /// are both gone.
    pub(super) fn nobody(&self, record: &ObjectKey) -> ObjectKey {
        if record.name.contains(GONE) {
            return record.clone();
        }
        let marks = self.marks.iter().filter(|mark| mark.record == *record).map(|mark| mark.at);
        let verdicts = self.verdicts.iter().filter(|verdict| verdict.record == *record).map(|verdict| verdict.at);
        let since = marks.chain(verdicts).min().unwrap_or(Timestamp::MIN);
        ObjectKey { namespace: record.namespace.clone(), name: format!("{}{GONE}, of {since})", record.name) }
    }

    /// Takes in what was kept. What a record says that is still there counts once.
    pub fn recall(&mut self, kept: Kept) {
        for mark in kept.marks {
            let same = |known: &Mark| {
                known.at == mark.at && known.target == mark.target && is_same(&known.record, &mark.record)
            };
            if !self.marks.iter().any(same) {
                self.note(mark);
            }
        }
        for verdict in kept.verdicts {
            let same = |known: &Verdict| {
                known.at == verdict.at && known.subject == verdict.subject && is_same(&known.record, &verdict.record)
            };
            if !self.verdicts.iter().any(same) {
                self.conclude(verdict);
            }
        }
    }
}

/// Whether both are one record, be it gone or not.
fn is_same(one: &ObjectKey, other: &ObjectKey) -> bool {
    let name = |record: &ObjectKey| record.name.split(GONE).next().unwrap_or_default().to_owned();
    one.namespace == other.namespace && name(one) == name(other)
}

/// No name of an object has a space in it.
const GONE: &str = " (deleted";

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        api::{ActionOutcome, Limits, Phase},
        remediation::{Limited, fixtures::*},
    };

    fn records(number: usize) -> Vec<crate::api::Remediation> {
        let record = |number: usize| {
            let seconds = i64::try_from(number).unwrap() * 20 * MINUTE - 3 * HOUR;
            let phase = if number.is_multiple_of(2) { Phase::Failed } else { Phase::Succeeded };
            let record = a_record().named(&format!("rem-{number}")).journal(ActionOutcome::Done, seconds);
            record.in_phase(phase, seconds + MINUTE).object()
        };
        (0..number).map(record).collect()
    }

    #[test]
    fn what_is_kept_is_read_again_and_counts_as_the_records_did() {
        let records = records(6);
        let (ledger, _) = Ledger::of(&records, at(0));
        let kept = ledger.kept(|_| true, at(0));
        let again = Kept::from_lines(&kept.to_lines()).unwrap();
        assert_eq!(again, kept);
        let mut rebuilt = Ledger::default();
        rebuilt.recall(again);
        let policy = a_mark(0).policy;
        let limits = Limits::default();
        for now in [0, 300, HOUR, 3 * HOUR] {
            let says = |ledger: &Ledger| {
                let rate = ledger.rate(&policy, rate(3, HOUR), at(now));
                let breaker = ledger.breaker(&policy, limits.breaker, None, at(now));
                let resumed = Some(at(-2 * HOUR));
                let gives_up = ledger.gives_up(&policy, "uid-cart", limits.give_up, resumed, &key("asker"), at(now));
                let cooldown = ledger.cooldown("uid-cart", &limits, &key("asker"), at(now)).is_ok();
                (rate, breaker, gives_up, cooldown)
            };
            assert_eq!(says(&rebuilt), says(&ledger), "after {now} s");
        }
    }

    #[test]
    fn a_new_record_of_the_name_of_one_that_is_gone_does_not_own_what_that_did() {
        let (mut ledger, _) = Ledger::of(&records(1), at(0));
        let kept = ledger.kept(|record| *record == key("rem-0"), at(0));
        assert_eq!(kept.marks[0].record.name, format!("rem-0 (deleted, of {})", kept.marks[0].at));
        assert_eq!(kept.verdicts[0].record, kept.marks[0].record);
        let mut later = Ledger::default();
        later.recall(kept.clone());
        let cooldown = Limits { cooldown: seconds(DAY), ..Limits::default() };
        let limited = later.cooldown("uid-cart", &cooldown, &key("rem-0"), at(0));
        assert!(matches!(limited, Err(Limited::Cooldown { .. })), "{limited:?}");
        // Kept again, it keeps its name; and one whose record is still there is not counted twice.
        assert_eq!(later.kept(|_| true, at(0)), kept);
        ledger.recall(kept);
        assert_eq!(ledger.kept(|_| true, at(0)).marks.len(), 1);
    }

    #[test]
    fn what_no_limit_asks_for_is_not_kept_and_neither_is_what_is_still_on_record() {
        let (ledger, _) = Ledger::of(&records(4), at(0));
        assert_eq!(ledger.kept(|_| false, at(0)), Kept::default());
        assert_eq!(ledger.kept(|_| true, at(25 * HOUR)), Kept::default());
        assert_eq!(ledger.kept(|record| *record == key("rem-2"), at(0)).marks.len(), 1);
    }

    #[test]
    fn two_records_of_one_name_that_are_both_gone_are_two() {
        let mut ledger = Ledger::default();
        let begun = |number: i64| a_mark(number * 10 * MINUTE).by("rem-0");
        for number in 0..5 {
            ledger.note(begun(number));
            ledger.disown(&key("rem-0"));
        }
        let mut later = Ledger::default();
        later.recall(Kept::from_lines(&ledger.kept(|_| true, at(HOUR)).to_lines()).unwrap());
        for ledger in [ledger, later] {
            let mark = begun(0);
            let limit = Limits::default().give_up;
            let limited = ledger.gives_up(&mark.policy, &mark.subject, limit, None, &key("rem-0"), at(HOUR));
            assert!(matches!(limited, Err(Limited::Recurring { times: 5, .. })), "{limited:?}");
        }
    }

    #[test]
    fn of_too_much_the_newest_is_kept_and_it_fits_into_an_object() {
        let marks = (0..3000).map(|number| a_mark(number).by(&"r".repeat(63)).on(&"s".repeat(36), &"t".repeat(36)));
        let text = Kept { marks: marks.collect(), verdicts: Vec::new() }.to_lines();
        let kept = Kept::from_lines(&text).unwrap();
        assert_eq!((kept.marks.len(), kept.marks[0].at), (MOST_KEPT, at(2000)));
        let long = (0..3000).map(|number| {
            let mut mark = a_mark(number).by(&"r".repeat(253)).on(&"s".repeat(36), &"t".repeat(36));
            mark.policy.name = "p".repeat(253);
            mark
        });
        let text = Kept { marks: long.collect(), verdicts: Vec::new() }.to_lines();
        let kept = Kept::from_lines(&text).unwrap();
        assert!(text.len() <= MOST_BYTES && kept.marks.len() > 500, "{} in {} bytes", kept.marks.len(), text.len());
        assert_eq!(kept.marks.last().unwrap().at, at(2999));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let good = Kept { marks: vec![a_mark(0)], verdicts: Vec::new() }.to_lines();
        let error = Kept::from_lines(&format!("{good}\n{{\"acted\":{{}}}}\n")).unwrap_err();
        assert_eq!(error.line, 3);
        assert!(error.to_string().starts_with("its line 3 cannot be read: missing field"), "{error}");
    }

    proptest! {
        #[test]
        fn reading_is_total(lines in vec(".{0,80}", 0..5)) {
            let _ = Kept::from_lines(&lines.join("\n"));
        }
    }
}
