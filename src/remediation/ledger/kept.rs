//! What the ledger knows of records that are gone: kept beside the records, so that a new leader knows it too. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Ledger, Mark, Verdict};
use crate::api::ObjectKey;

/// So many actions, and as many ends, are kept at most, the newest: with a third of a kilobyte each they stay below the
/// megabyte that an object of the API may have.
pub const MOST_KEPT: usize = 1000;

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
    /// A line of JSON each, the oldest first.
    pub fn to_lines(&self) -> String {
        let newest = |length: usize| length.saturating_sub(MOST_KEPT);
        let acted = self.marks.iter().skip(newest(self.marks.len())).cloned().map(Line::Acted);
        let ended = self.verdicts.iter().skip(newest(self.verdicts.len())).cloned().map(Line::Ended);
        let lines = acted.chain(ended).filter_map(|line| serde_json::to_string(&line).ok());
        lines.fold(String::new(), |text, line| text + &line + "\n")
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
        for record in kept.marks.iter_mut().map(|mark| &mut mark.record) {
            *record = nobody(record);
        }
        for record in kept.verdicts.iter_mut().map(|verdict| &mut verdict.record) {
            *record = nobody(record);
        }
        kept
    }

    /// Takes in what was kept. What a record says that is still there counts once.
    pub fn recall(&mut self, kept: Kept) {
        for mark in kept.marks {
            let same = |known: &Mark| known.at == mark.at && known.target == mark.target && known.policy == mark.policy;
            if !self.marks.iter().any(same) {
                self.note(mark);
            }
        }
        for verdict in kept.verdicts {
            let same = |known: &Verdict| {
                known.at == verdict.at && known.subject == verdict.subject && known.policy == verdict.policy
            };
            if !self.verdicts.iter().any(same) {
                self.conclude(verdict);
            }
        }
    }
}

/// What stands for a record that is gone: a new record of its name is another one.
pub(super) fn nobody(record: &ObjectKey) -> ObjectKey {
    if record.name.ends_with(GONE) {
        return record.clone();
    }
    ObjectKey { namespace: record.namespace.clone(), name: format!("{}{GONE}", record.name) }
}

/// No name of an object has a space in it.
const GONE: &str = " (deleted)";

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
        assert_eq!(kept.marks[0].record.name, "rem-0 (deleted)");
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
    fn of_too_much_the_newest_is_kept_and_it_fits_into_an_object() {
        let marks = (0..3000).map(|number| a_mark(number).by(&"r".repeat(63)).on(&"s".repeat(36), &"t".repeat(36)));
        let text = Kept { marks: marks.collect(), verdicts: Vec::new() }.to_lines();
        let kept = Kept::from_lines(&text).unwrap();
        assert_eq!((kept.marks.len(), kept.marks[0].at), (MOST_KEPT, at(2000)));
        assert!(text.len() * 2 < 1_000_000, "{}", text.len());
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
