//! What a run did, counted: a schedule in which nothing happens proves nothing.

use std::{collections::BTreeMap, fmt};

/// Counts by name, in groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats(BTreeMap<&'static str, BTreeMap<String, u64>>);

impl Stats {
    /// One more.
    pub fn count(&mut self, group: &'static str, what: &str) {
        let counts = self.0.entry(group).or_default();
        match counts.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(counts.insert(what.to_owned(), 1)),
        }
    }

    /// How many there were.
    pub fn of(&self, group: &str, what: &str) -> u64 {
        self.0.get(group).and_then(|counts| counts.get(what)).copied().unwrap_or_default()
    }

    /// How many there were of a group.
    pub fn sum(&self, group: &str) -> u64 {
        self.0.get(group).map(|counts| counts.values().sum()).unwrap_or_default()
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (group, counts) in &other.0 {
            let sums = self.0.entry(group).or_default();
            for (what, count) in counts {
                *sums.entry(what.clone()).or_default() += count;
            }
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (group, counts) in &self.0 {
            let all: Vec<String> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
            writeln!(f, "  {group}: {}", all.join(", "))?;
        }
        Ok(())
    }
}
