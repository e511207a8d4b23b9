//! The state of the application: every illness that it has at the moment.
//!
//! Nothing here answers a request or waits for one, so a test can make it ill and look at it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::burn::Burner;
use crate::leak::{Leak, LeakReport};
use crate::memory;

/// Everything that can be wrong with the application.
#[derive(Debug)]
pub(crate) struct Patient {
    started: Instant,
    ready: AtomicBool,
    live: AtomicBool,
    leak: Mutex<Leak>,
    hang: Mutex<Hang>,
    exit: watch::Sender<Option<u8>>,
    /// The threads that use the processor.
    pub(crate) burner: Burner,
    /// A directory that it can break.
    pub(crate) scratch: Option<PathBuf>,
}

/// Whether requests are left without an answer.
#[derive(Debug, Clone, Copy)]
enum Hang {
    No,
    Until(Instant),
    Forever,
}

/// The state as `GET /` shows it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The crate's version.
    pub(crate) version: &'static str,
    /// Seconds since it started; small again after a restart.
    pub(crate) uptime_seconds: u64,
    /// Resident memory of the process, where the system tells.
    pub(crate) resident_bytes: Option<u64>,
    /// The memory leak.
    pub(crate) leak: LeakReport,
    /// Whether readiness passes.
    pub(crate) ready: bool,
    /// Whether liveness passes.
    pub(crate) live: bool,
    /// Whether nothing is answered. Over HTTP nobody will see it true.
    pub(crate) hung: bool,
    /// Threads that are kept busy.
    pub(crate) burning_threads: usize,
}

impl Patient {
    /// A healthy one, whose leak would have this rate and limit.
    pub(crate) fn new(rate_mib: u32, limit_mib: u32) -> Self {
        Self {
            started: Instant::now(),
            ready: AtomicBool::new(true),
            live: AtomicBool::new(true),
            leak: Mutex::new(Leak::new(rate_mib, limit_mib)),
            hang: Mutex::new(Hang::No),
            exit: watch::Sender::new(None),
            burner: Burner::default(),
            scratch: None,
        }
    }

    /// The leak, for as long as the guard lives.
    pub(crate) fn leak(&self) -> MutexGuard<'_, Leak> {
        // Neither lock is ever held across code that leaves it half changed, so a panic elsewhere does not matter here.
        self.leak.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the readiness probe pass or fail.
    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Whether the readiness probe passes.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Lets the liveness probe pass or fail.
    pub(crate) fn set_live(&self, live: bool) {
        self.live.store(live, Ordering::Relaxed);
    }

    /// Whether the liveness probe passes.
    pub(crate) fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }

    /// Leaves every request without an answer, for `length` or for good.
    pub(crate) fn hang(&self, length: Option<Duration>) {
        let end = length.map(|length| Instant::now().checked_add(length));
        *self.hang_lock() = end.flatten().map_or(Hang::Forever, Hang::Until);
    }

    /// Returns at once while requests are answered, and else when the hang ends.
    pub(crate) async fn until_it_answers(&self) {
        // Copied out: the lock must not be held while waiting.
        let hang = *self.hang_lock();
        match hang {
            Hang::No => {}
            Hang::Until(end) => sleep_until(end).await,
            Hang::Forever => std::future::pending().await,
        }
    }

    /// Asks the process to end with this code.
    pub(crate) fn request_exit(&self, code: u8) {
        self.exit.send_replace(Some(code));
    }

    /// Waits for a request to end, and returns its code.
    pub(crate) async fn exit_requested(&self) -> u8 {
        let mut requests = self.exit.subscribe();
        loop {
            if let Some(code) = *requests.borrow_and_update() {
                return code;
            }
            // The sender lives in `self`, so there is always another change to wait for.
            if requests.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Is healthy again, and gives back what it leaked.
    pub(crate) fn recover(&self) {
        self.leak().stop(true);
        self.set_ready(true);
        self.set_live(true);
        self.burner.stop();
        *self.hang_lock() = Hang::No;
    }

    /// What is going on at this moment.
    pub(crate) fn report(&self) -> Report {
        let hung = match *self.hang_lock() {
            Hang::No => false,
            Hang::Until(end) => Instant::now() < end,
            Hang::Forever => true,
        };
        Report {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.started.elapsed().as_secs(),
            resident_bytes: memory::resident_bytes(),
            leak: self.leak().report(),
            ready: self.is_ready(),
            live: self.is_live(),
            hung,
            burning_threads: self.burner.running(),
        }
    }

    fn hang_lock(&self) -> MutexGuard<'_, Hang> {
        self.hang.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hang_ends_when_its_time_is_over() {
        let patient = Patient::new(50, 400);
        patient.hang(Some(Duration::from_millis(50)));
        assert!(patient.report().hung);
        patient.until_it_answers().await;
        assert!(!patient.report().hung);
    }

    #[tokio::test]
    async fn a_hang_without_an_end_has_none() {
        let patient = Patient::new(50, 400);
        patient.hang(None);
        let waited = tokio::time::timeout(Duration::from_millis(50), patient.until_it_answers()).await;
        assert!(waited.is_err());
    }

    #[tokio::test]
    async fn an_exit_is_seen_whenever_it_was_asked_for() {
        let patient = Patient::new(50, 400);
        patient.request_exit(3);
        assert_eq!(patient.exit_requested().await, 3);
    }

    #[test]
    fn recovers_from_everything_at_once() {
        let patient = Patient::new(50, 400);
        patient.leak().start(None, None);
        patient.leak().grow(Duration::from_millis(100));
        patient.set_ready(false);
        patient.set_live(false);
        patient.hang(None);
        patient.recover();
        let report = patient.report();
        assert!(report.ready && report.live && !report.hung && !report.leak.active);
        assert_eq!(report.leak.held_bytes, 0);
    }
}
