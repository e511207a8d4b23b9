//! What time it is.
//!
//! The only place that asks the machine. Everything else is given a [`Clock`], or better a time, so that tests and the
//! simulation decide what time it is.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::{SignedDuration, Timestamp, Unit};
use tokio::time::Instant;

/// Tells the time. Cheap to clone; clones of a driven clock share its skew.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    Driven(Arc<Driven>),
}

#[derive(Debug)]
struct Driven {
    base: Timestamp,
    since: Instant,
    skew_millis: AtomicI64,
}

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that shows `base` now and goes on with tokio's: under a paused runtime it stands still until the runtime
    /// is advanced. For tests and the simulation.
    pub fn driven(base: Timestamp) -> Self {
        Self(Kind::Driven(Arc::new(Driven { base, since: Instant::now(), skew_millis: AtomicI64::new(0) })))
    }

    /// Now. What would lie beyond the range of timestamps is its end.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that may")]
            Kind::System => Timestamp::now(),
            Kind::Driven(driven) => {
                let passed = SignedDuration::try_from(driven.since.elapsed()).unwrap_or(SignedDuration::MAX);
                let skew = SignedDuration::from_millis(driven.skew_millis.load(Ordering::Relaxed));
                driven.base.saturating_add(passed.saturating_add(skew)).unwrap_or(driven.base)
            }
        }
    }

    /// Sets how far a driven clock is off, as a machine's may be; the system's is left alone.
    pub fn set_skew(&self, skew: SignedDuration) {
        if let Kind::Driven(driven) = &self.0 {
            driven.skew_millis.store(i64::try_from(skew.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }
}

/// A time as people are told it, to the second.
pub fn to_the_second(at: Timestamp) -> Timestamp {
    at.round(Unit::Second).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_driven_clock_follows_the_runtime_and_can_be_off() {
        let base: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock::driven(base);
        assert_eq!(clock.now(), base);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now().to_string(), "2026-01-01T00:01:30Z");
        clock.set_skew(SignedDuration::from_secs(-30));
        assert_eq!(clock.clone().now().to_string(), "2026-01-01T00:01:00Z", "clones share the skew");
    }
}
