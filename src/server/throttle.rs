//! What failed authentications cost, and how many lines of the log what else is not taken may.
//!
//! A valid credential is never throttled: behind one address there may be a good sender and a bad one, and whoever could
//! silence the good one could keep repairs from happening. So this does not bound the rate of guesses; a long random
//! secret makes guessing hopeless. What it bounds is what guessing costs others: each client gets a few answers at
//! once, each with a line in the log; beyond those its wrong guesses are only counted, and answered late, on a connection
//! that is then closed. How many answers are held back at the same time is bounded too. The answer stays 401: to
//! Alertmanager 429 is final as well, and says less.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;

/// Failures of one client that are answered at once, and how many more each minute.
const FAILURES_A_MINUTE: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// Lines of the log that one client's answers of one status get at once, and how many more each minute.
const LINES_A_MINUTE: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// Clients that are told apart; beyond them, all share one count.
const MAX_CLIENTS: usize = 10_000;
/// How long a wrong guess beyond the limit waits for its answer.
const HOLD: Duration = Duration::from_secs(1);
/// Answers that are held back at the same time; beyond them, answers are not held.
const MAX_HELD: usize = 64;
/// How often clients that have calmed down are forgotten.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// Counts failures per client.
pub struct Throttle {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    held: Semaphore,
    /// By client and status.
    lines: DefaultKeyedRateLimiter<(IpAddr, u16)>,
    /// What had no line since the last one.
    untold: AtomicU64,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            limiter: RateLimiter::keyed(Quota::per_minute(FAILURES_A_MINUTE)),
            held: Semaphore::new(MAX_HELD),
            lines: RateLimiter::keyed(Quota::per_minute(LINES_A_MINUTE)),
            untold: AtomicU64::new(0),
        }
    }
}

impl Throttle {
    /// Counts a failure; gives whether the client is over its limit.
    pub fn failed(&self, client: IpAddr) -> bool {
        self.limiter.check_key(&counted(client, self.limiter.len())).is_err()
    }

    /// Whether the log may tell of an answer of that status to that client: `None` where it has told enough of them, else
    /// how many others, to anybody, had no line since the last one.
    pub fn may_tell(&self, client: IpAddr, status: u16) -> Option<u64> {
        if self.lines.check_key(&(counted(client, self.lines.len()), status)).is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.untold.swap(0, Ordering::Relaxed))
    }

    /// Waits as long as an answer to a throttled client is held back.
    pub async fn hold(&self) {
        if let Ok(_place) = self.held.try_acquire() {
            tokio::time::sleep(HOLD).await;
        }
    }

    /// Forgets clients that have calmed down, from time to time, until `stop`.
    pub async fn sweep(self: Arc<Self>, metrics: Arc<Metrics>, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(SWEEP_EVERY)).await.is_some() {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
            self.lines.retain_recent();
            self.lines.shrink_to_fit();
            metrics.throttle_keys(self.limiter.len());
        }
    }

    /// How many clients are being counted.
    pub fn clients(&self) -> usize {
        self.limiter.len()
    }
}

/// Who it is counted as, while so many are.
fn counted(client: IpAddr, known: usize) -> IpAddr {
    if known < MAX_CLIENTS { network(client) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) }
}

/// What counts as one client: an IPv4 address, or the /64 that one IPv6 host has to itself.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_is_an_ipv4_address_or_an_ipv6_network() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("10.0.0.7"), "10.0.0.7");
        assert_eq!(of("::ffff:10.0.0.7"), "10.0.0.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[test]
    fn a_client_has_a_few_failures_and_others_have_theirs() {
        let throttle = Throttle::default();
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        assert_eq!((0..10).filter(|_| throttle.failed(one)).count(), 0);
        assert!(throttle.failed(one));
        assert!(!throttle.failed(other));
    }

    #[test]
    fn the_log_tells_of_a_few_answers_of_each_status_and_counts_the_others() {
        let throttle = Throttle::default();
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let told = (0..50).filter(|_| throttle.may_tell(one, 400).is_some()).count();
        assert_eq!(told, 10);
        assert_eq!(throttle.may_tell(one, 503), Some(40), "another status has its own lines, and says what had none");
        assert_eq!(throttle.may_tell(other, 400), Some(0));
    }

    #[test]
    fn the_number_of_clients_is_bounded() {
        let throttle = Throttle::default();
        for number in 0..20_000_u32 {
            throttle.failed(IpAddr::from(number.to_be_bytes()));
            throttle.may_tell(IpAddr::from(number.to_be_bytes()), 400);
        }
        assert!(throttle.clients() <= MAX_CLIENTS + 1, "{}", throttle.clients());
        assert!(throttle.lines.len() <= MAX_CLIENTS + 1, "{}", throttle.lines.len());
    }
}
