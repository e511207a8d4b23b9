//! Whether a watch goes on bringing what happens.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::Outage;

/// A watch whose errors go on for so long is broken. An ordinary restart is one error, or a few within seconds.
const TOLERATED: Duration = Duration::from_mins(1);
/// Without another error for so long it works: it is tried again after 60 s at the latest, and an attempt that leads
/// nowhere is given up after 30 s. A watch that works and has nothing to say gives no other sign.
const QUIET: Duration = Duration::from_mins(2);

/// What the events of a watch say about the watch itself.
///
/// An attempt that hangs brings neither errors nor events, and is not seen here; whether the API server answers at all
/// is asked by another check.
#[derive(Debug)]
pub struct Watched {
    kind: &'static str,
    what: &'static str,
    outage: Outage,
    errors: Mutex<Option<Errors>>,
}

/// Errors of which none was followed by an event.
#[derive(Clone, Copy, Debug)]
struct Errors {
    first: Instant,
    last: Instant,
}

impl Watched {
    /// A watch on a kind, and how the log and `/readyz` name it.
    pub const fn new(kind: &'static str, what: &'static str) -> Self {
        Self { kind, what, outage: Outage::of(what), errors: Mutex::new(None) }
    }

    /// What it watches.
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// Its name.
    pub const fn what(&self) -> &'static str {
        self.what
    }

    /// It brought an error.
    pub fn failed(&self, why: &str) {
        self.outage.failed(why);
        let now = Instant::now();
        let mut errors = self.errors();
        let first = errors.filter(|errors| now - errors.last <= QUIET).map_or(now, |errors| errors.first);
        *errors = Some(Errors { first, last: now });
    }

    /// It brought a change, or the end of a list. (The beginning of one says nothing yet.)
    pub fn works(&self) {
        self.outage.works();
        *self.errors() = None;
    }

    /// For how long it has been broken; `None` while it works, as far as can be told.
    pub fn broken_for(&self) -> Option<Duration> {
        let now = Instant::now();
        let errors = (*self.errors())?;
        let goes_on = now - errors.last <= QUIET;
        (goes_on && errors.last - errors.first >= TOLERATED).then(|| now - errors.first)
    }

    fn errors(&self) -> MutexGuard<'_, Option<Errors>> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn after(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_is_broken_when_its_errors_go_on_for_a_minute_and_works_with_the_first_event() {
        let watched = Watched::new("Door", "the watch on doors");
        for seconds in [0, 20, 39] {
            after(seconds).await;
            watched.failed("shut");
            assert_eq!(watched.broken_for(), None);
        }
        after(1).await;
        watched.failed("shut");
        assert_eq!(watched.broken_for(), Some(Duration::from_mins(1)));
        after(30).await;
        assert_eq!(watched.broken_for(), Some(Duration::from_secs(90)), "since it began");
        watched.works();
        assert_eq!(watched.broken_for(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn restarts_now_and_then_do_not_add_up() {
        let watched = Watched::new("Door", "the watch on doors");
        for _ in 0..20 {
            watched.failed("closed by the server");
            for _ in 0..5 {
                after(58).await;
                assert_eq!(watched.broken_for(), None);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_has_nothing_to_say_works_again_when_no_error_follows() {
        let watched = Watched::new("Door", "the watch on doors");
        watched.failed("shut");
        after(60).await;
        watched.failed("shut");
        after(120).await;
        assert!(watched.broken_for().is_some());
        after(1).await;
        assert_eq!(watched.broken_for(), None);
    }
}
