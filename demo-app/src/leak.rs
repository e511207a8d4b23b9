//! The leak: memory that is taken, written to, and never used again.
//!
//! Its pieces are mappings of their own. An allocator keeps what it is given back for the next who asks, so a leak that
//! was freed would still be resident, and the next one would not show.

use std::time::Duration;

use memmap2::MmapMut;
use serde::Serialize;

const MIB: u64 = 1024 * 1024;

/// Below this a piece is not worth a mapping: a process may have some 65,000 of them.
const SMALLEST_PIECE: u64 = 256 * 1024;

/// What was leaked, and whether it still grows.
#[derive(Debug)]
pub(crate) struct Leak {
    active: bool,
    rate: u64,
    limit: u64,
    pieces: Vec<MmapMut>,
    held: u64,
    /// Bytes that are due, but too few for a piece of their own.
    due: u64,
}

/// The leak as `GET /` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LeakReport {
    /// Whether it grows until its limit.
    pub(crate) active: bool,
    /// Bytes that are held.
    pub(crate) held_bytes: u64,
    /// Bytes that are taken in a second.
    pub(crate) bytes_per_second: u64,
    /// Bytes at which it stops growing.
    pub(crate) limit_bytes: u64,
}

impl Leak {
    /// Holds nothing, and does not grow until it is started.
    pub(crate) fn new(rate_mib: u32, limit_mib: u32) -> Self {
        Self {
            active: false,
            rate: u64::from(rate_mib) * MIB,
            limit: u64::from(limit_mib) * MIB,
            pieces: Vec::new(),
            held: 0,
            due: 0,
        }
    }

    /// Starts it, or changes the rate and the limit of one that runs.
    pub(crate) fn start(&mut self, rate_mib: Option<u32>, limit_mib: Option<u32>) {
        self.active = true;
        self.rate = rate_mib.map_or(self.rate, |mib| u64::from(mib) * MIB);
        self.limit = limit_mib.map_or(self.limit, |mib| u64::from(mib) * MIB);
    }

    /// Stops it. What is held stays held, unless it is to be freed.
    pub(crate) fn stop(&mut self, free: bool) {
        self.active = false;
        self.due = 0;
        if free {
            self.pieces = Vec::new();
            self.held = 0;
        }
    }

    /// Takes what is due after `elapsed`, and no more than is left up to the limit.
    pub(crate) fn grow(&mut self, elapsed: Duration) {
        if !self.active {
            return;
        }
        // A process that was stopped for a while must not make up for it with one huge piece.
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(1000).min(1000);
        self.due += self.rate * millis / 1000;
        let left = self.limit.saturating_sub(self.held);
        if left == 0 {
            self.due = 0;
            return;
        }
        if self.due < SMALLEST_PIECE.min(left) {
            return;
        }
        let size = self.due.min(left);
        let Ok(length) = usize::try_from(size) else { return };
        // Where the system has no more to give, the leak has reached its limit by other means.
        let Ok(mut piece) = MmapMut::map_anon(length) else {
            return;
        };
        // A page that nobody wrote to is not resident.
        piece.fill(0xA5);
        self.pieces.push(piece);
        self.held += size;
        self.due = 0;
    }

    /// What it holds and whether it grows.
    pub(crate) fn report(&self) -> LeakReport {
        LeakReport { active: self.active, held_bytes: self.held, bytes_per_second: self.rate, limit_bytes: self.limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(20);

    #[test]
    fn grows_at_its_rate_and_stops_at_its_limit() {
        let mut leak = Leak::new(50, 8);
        leak.start(None, None);
        (0..5).for_each(|_| leak.grow(TICK));
        assert_eq!(leak.report().held_bytes, 5 * MIB);
        (0..50).for_each(|_| leak.grow(TICK));
        assert_eq!(leak.report().held_bytes, 8 * MIB);
    }

    #[test]
    fn holds_nothing_before_it_is_started() {
        let mut leak = Leak::new(50, 8);
        leak.grow(TICK);
        assert_eq!(leak.report().held_bytes, 0);
    }

    #[test]
    fn a_slow_leak_adds_up() {
        let mut leak = Leak::new(1, 8);
        leak.start(None, None);
        (0..100).for_each(|_| leak.grow(TICK));
        let held = leak.report().held_bytes;
        assert!((MIB..=2 * MIB).contains(&held), "{held}");
    }

    #[test]
    fn a_long_pause_counts_as_one_second() {
        let mut leak = Leak::new(2, 100);
        leak.start(None, None);
        leak.grow(Duration::from_hours(1));
        assert_eq!(leak.report().held_bytes, 2 * MIB);
    }

    #[test]
    fn stopping_holds_and_freeing_lets_go() {
        let mut leak = Leak::new(50, 8);
        leak.start(None, Some(2));
        (0..5).for_each(|_| leak.grow(TICK));
        leak.stop(false);
        leak.grow(TICK);
        assert_eq!(leak.report().held_bytes, 2 * MIB);
        leak.stop(true);
        assert_eq!(leak.report().held_bytes, 0);
    }

    #[test]
    fn a_limit_below_what_is_held_takes_nothing_more() {
        let mut leak = Leak::new(50, 8);
        leak.start(None, None);
        (0..5).for_each(|_| leak.grow(TICK));
        leak.start(None, Some(1));
        leak.grow(TICK);
        assert_eq!(leak.report().held_bytes, 5 * MIB);
    }
}
