//! What a candidate does about the Lease it has read. Pure.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use tokio::time::Instant;

/// A Lease as it was seen, and since when it has not changed by this process's own monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The version that was read.
    pub resource_version: String,
    /// Since when that version has been the newest, as far as was seen.
    pub since: Instant,
}

impl Sighting {
    /// The sighting after another read.
    pub fn update(earlier: Option<Self>, resource_version: &str, now: Instant) -> Self {
        match earlier {
            Some(sighting) if sighting.resource_version == resource_version => sighting,
            _ => Self { resource_version: resource_version.to_owned(), since: now },
        }
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Somebody may still be leading; wait.
    Wait,
    /// Nobody holds it: the last leader gave it back, with nothing under way.
    TakeReleased,
    /// Its holder has not renewed it for as long as it may lead without.
    TakeExpired,
}

/// Decides. A Lease without a duration is taken to last `default_duration`.
pub fn attempt(spec: &LeaseSpec, sighting: &Sighting, default_duration: Duration, now: Instant) -> Attempt {
    if spec.holder_identity.as_deref().unwrap_or_default().is_empty() {
        return Attempt::TakeReleased;
    }
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let duration = seconds.map_or(default_duration, Duration::from_secs).max(default_duration);
    if now.duration_since(sighting.since) >= duration { Attempt::TakeExpired } else { Attempt::Wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn held() -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some("other".to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_expired_only_after_it_was_watched_unchanged_for_its_duration() {
        let seen = Instant::now();
        let sighting = Sighting::update(None, "1", seen);
        assert_eq!(attempt(&held(), &sighting, LEASE, seen), Attempt::Wait, "its renewTime is another clock's");
        let almost = seen + LEASE.saturating_sub(Duration::from_millis(1));
        assert_eq!(attempt(&held(), &sighting, LEASE, almost), Attempt::Wait);
        assert_eq!(attempt(&held(), &sighting, LEASE, seen + LEASE), Attempt::TakeExpired);
    }

    #[test]
    fn a_renewal_begins_the_watch_anew() {
        let seen = Instant::now();
        let first = Sighting::update(None, "1", seen);
        let same = Sighting::update(Some(first.clone()), "1", seen + LEASE);
        assert_eq!(same, first);
        let renewed = Sighting::update(Some(same), "2", seen + LEASE);
        assert_eq!(attempt(&held(), &renewed, LEASE, seen + LEASE), Attempt::Wait);
    }

    #[test]
    fn a_released_lease_is_free_at_once() {
        let seen = Instant::now();
        let sighting = Sighting::update(None, "1", seen);
        let released = LeaseSpec { holder_identity: Some(String::new()), ..held() };
        assert_eq!(attempt(&released, &sighting, LEASE, seen), Attempt::TakeReleased);
    }

    #[test]
    fn the_longer_of_the_leases_own_duration_and_ours_counts() {
        let seen = Instant::now();
        let sighting = Sighting::update(None, "1", seen);
        let longer = LeaseSpec { lease_duration_seconds: Some(60), ..held() };
        assert_eq!(attempt(&longer, &sighting, LEASE, seen + LEASE), Attempt::Wait);
        let shorter = LeaseSpec { lease_duration_seconds: Some(1), ..held() };
        assert_eq!(attempt(&shorter, &sighting, LEASE, seen + Duration::from_secs(2)), Attempt::Wait);
    }
}
