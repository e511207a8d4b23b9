//! Says once that something does not work, and once that it works again.
//!
//! What is tried again every second must not write a line every second: at 3 am the log has to show what happened, not
//! how often it was tried.

use std::{
    error::Error,
    sync::atomic::{AtomicU64, Ordering},
};

use tracing::{debug, info, warn};

/// The state of one thing that is tried again and again.
#[derive(Debug)]
pub struct Outage {
    what: &'static str,
    failures: AtomicU64,
}

impl Outage {
    /// Of `what`, as a log line names it.
    pub const fn of(what: &'static str) -> Self {
        Self { what, failures: AtomicU64::new(0) }
    }

    /// It failed: a warning the first time, after that a line for who debugs.
    pub fn failed(&self, why: &str) {
        let what = self.what;
        if self.failures.fetch_add(1, Ordering::Relaxed) == 0 {
            warn!(why, "{what} does not work; it is tried again");
        } else {
            debug!(why, "{what} still does not work");
        }
    }

    /// It works.
    pub fn works(&self) {
        let failures = self.failures.swap(0, Ordering::Relaxed);
        if failures > 0 {
            info!(failures, "{} works again", self.what);
        }
    }
}

/// An error with all that led to it, on one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the door is shut")]
    struct Shut;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot enter")]
    struct Outside(#[source] Shut);

    #[test]
    fn a_chain_names_every_cause_once() {
        assert_eq!(chain(&Outside(Shut)), "cannot enter: the door is shut");
    }

    #[test]
    fn an_outage_ends_when_it_works() {
        let outage = Outage::of("the door");
        outage.failed("shut");
        outage.failed("shut");
        assert_eq!(outage.failures.load(Ordering::Relaxed), 2);
        outage.works();
        assert_eq!(outage.failures.load(Ordering::Relaxed), 0);
    }
}
