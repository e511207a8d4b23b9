//! Threads that do nothing but use the processor, for a bounded time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Seconds that a burn lasts when nobody says how long.
pub(crate) const DEFAULT_SECONDS: u64 = 60;

const MOST_THREADS: usize = 64;
const LONGEST: Duration = Duration::from_hours(1);

/// Why no, or not every, thread was started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BurnError {
    /// The request is out of bounds.
    #[error("burn with 1 to {MOST_THREADS} threads, for at most {} seconds", LONGEST.as_secs())]
    OutOfBounds,
    /// The system has no thread left to give; those started before it burn on.
    #[error("cannot start another thread: {0}")]
    NoThread(#[from] io::Error),
}

/// Starts burning threads and counts them. They end by themselves, so nobody has to wait for them.
#[derive(Debug, Default)]
pub(crate) struct Burner {
    running: Arc<AtomicUsize>,
    /// Grows with each stop; a thread that was started under an older number ends.
    round: Arc<AtomicU64>,
}

impl Burner {
    /// Keeps `threads` more threads busy for `length`.
    pub(crate) fn start(&self, threads: usize, length: Duration) -> Result<(), BurnError> {
        let most = MOST_THREADS.saturating_sub(self.running());
        if threads == 0 || threads > most || length > LONGEST {
            return Err(BurnError::OutOfBounds);
        }
        let until = Instant::now() + length;
        let mine = self.round.load(Ordering::Relaxed);
        for _ in 0..threads {
            let round = Arc::clone(&self.round);
            let counted = Counted::new(&self.running);
            thread::Builder::new().name("burn".to_owned()).spawn(move || {
                let _counted = counted;
                while Instant::now() < until && round.load(Ordering::Relaxed) == mine {
                    (0..10_000).for_each(|n: u32| {
                        std::hint::black_box(n);
                    });
                }
            })?;
        }
        Ok(())
    }

    /// Ends all of them within moments.
    pub(crate) fn stop(&self) {
        self.round.fetch_add(1, Ordering::Relaxed);
    }

    /// How many burn now.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

/// One thread in the count, until it is dropped: with its thread, or because that could not be started.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(running: &Arc<AtomicUsize>) -> Self {
        running.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(running))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_until_none_run(burner: &Burner) {
        let give_up = Instant::now() + Duration::from_secs(10);
        while burner.running() > 0 {
            assert!(Instant::now() < give_up, "still burning");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn ends_by_itself() {
        let burner = Burner::default();
        burner.start(1, Duration::from_millis(50)).unwrap();
        assert_eq!(burner.running(), 1);
        wait_until_none_run(&burner);
    }

    #[test]
    fn ends_when_it_is_stopped_and_can_start_again() {
        let burner = Burner::default();
        burner.start(2, Duration::from_mins(1)).unwrap();
        burner.stop();
        wait_until_none_run(&burner);
        burner.start(1, Duration::from_mins(1)).unwrap();
        assert_eq!(burner.running(), 1);
        burner.stop();
    }

    #[test]
    fn stays_within_bounds() {
        let burner = Burner::default();
        assert!(burner.start(0, Duration::from_secs(1)).is_err());
        assert!(burner.start(MOST_THREADS + 1, Duration::from_secs(1)).is_err());
        assert!(burner.start(1, LONGEST + Duration::from_secs(1)).is_err());
        assert_eq!(burner.running(), 0);
    }
}
