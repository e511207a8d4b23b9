//! An open record in the leader's hands. Pure.

use std::{cmp::Reverse, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{
    index::is_older,
    look::PausesSeen,
    world::{Recovery, Seen},
};
use crate::{
    action::Outcome,
    api::{ActionOutcome, AlertPhase, Phase, Reason, Remediation, RemediationStatus},
};

/// An open record, and what is known of it beyond what is written.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// The newest version that is known.
    pub(super) record: Remediation,
    /// When it is to be looked at. Like every wait inside the process by the clock that nobody sets.
    pub(super) due: Instant,
    /// Something is under way for it.
    pub(super) busy: bool,
    /// What is under way is the write of a decision.
    pub(super) writing: bool,
    /// The outcome of its action, until it is written.
    pub(super) outcome: Option<Outcome>,
    /// Its action got no answer: since when it may no longer have an effect that nobody saw, and what was said instead.
    pub(super) unanswered: Option<(Instant, String)>,
    /// Since when it cannot be found out whether its action was done.
    pub(super) unknown_since: Option<Instant>,
    /// Since when its subject has been well and its alert quiet, without a break.
    pub(super) good_since: Option<Timestamp>,
    /// How long that must last for the alert's rule, by whoever knew it last.
    pub(super) quiet_for: Option<SignedDuration>,
    /// What is known may not be what is written: it has to be read again first.
    pub(super) stale: bool,
    /// How far the pauses were seen when it was looked at last.
    pub(super) pauses: PausesSeen,
    /// A write that began an action got no answer.
    pub(super) in_doubt: Option<Doubt>,
}

/// A write without an answer. It may be carried out until somebody else's write goes over the version it was made for.
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    over: Option<String>,
    since: Instant,
}

/// The order of admission: the highest priority first, then the oldest, then by name.
pub(super) type Order<'a> = (Reverse<i32>, Option<Timestamp>, &'a str);

impl Held {
    pub(super) fn new(record: Remediation, due: Instant) -> Self {
        Self {
            record,
            due,
            busy: false,
            writing: false,
            outcome: None,
            unanswered: None,
            unknown_since: None,
            good_since: None,
            quiet_for: None,
            stale: false,
            pauses: PausesSeen::default(),
            in_doubt: None,
        }
    }

    pub(super) fn status(&self) -> RemediationStatus {
        self.record.status.clone().unwrap_or_default()
    }

    pub(super) fn phase(&self) -> Phase {
        self.record.status.as_ref().map(|status| status.phase).unwrap_or_default()
    }

    /// The order in which records are attended to: first an outcome that is to be written, then what runs, then by
    /// priority and age.
    pub(super) fn urgency(&self) -> (bool, bool, Order<'_>) {
        (self.outcome.is_none(), !self.phase().is_running(), self.order())
    }

    /// Whether this is another object of the same name.
    pub(super) fn is_another(&self, seen: &Remediation) -> bool {
        self.record.metadata.uid != seen.metadata.uid
    }

    /// The order of admission.
    pub(super) fn order(&self) -> Order<'_> {
        let created = self.record.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (Reverse(self.record.spec.priority), created, self.record.metadata.name.as_deref().unwrap_or_default())
    }

    /// Takes in a version that a watch brought, if it is newer. Gives whether it was.
    pub(super) fn merge(&mut self, seen: &Remediation, now: Instant) -> bool {
        let known = self.record.metadata.resource_version.as_deref();
        let newer = is_older(known, seen.metadata.resource_version.as_deref());
        if newer {
            self.record = seen.clone();
            self.due = self.due.min(now);
        }
        newer
    }

    /// Who asked for its end.
    pub(super) fn cancel(&self) -> Option<&str> {
        let annotations = self.record.metadata.annotations.as_ref()?;
        annotations.get(crate::api::CANCEL_ANNOTATION).map(String::as_str)
    }

    /// Whether it waits for others to make room.
    pub(super) fn waits_for_room(&self) -> bool {
        let status = self.record.status.as_ref();
        status.is_some_and(|status| {
            status.phase == Phase::Waiting
                && matches!(status.reason, Some(Reason::SubjectLocked | Reason::Concurrency | Reason::Outranked))
        })
    }

    /// Is to be looked at when the wall clock that shows `now` shows `at`: in so long, whatever that clock is set to
    /// meanwhile.
    pub(super) fn look_again(&mut self, at: Timestamp, now: Timestamp) {
        self.put_off(Duration::try_from(at.duration_since(now)).unwrap_or_default());
    }

    /// Is to be looked at in so long.
    pub(super) fn put_off(&mut self, pause: Duration) {
        let now = Instant::now();
        self.due = now.checked_add(pause).unwrap_or(now);
    }

    /// Whether its alert is about this subject, began after that time, and was not said to be over.
    pub(super) fn speaks_against(&self, policy_uid: &str, subject_uid: &str, acted_at: Timestamp) -> bool {
        let status = self.record.status.as_ref();
        let subject = status.and_then(|status| status.subject.as_ref());
        let alert = status.and_then(|status| status.alert.as_ref());
        self.record.spec.policy.uid == policy_uid
            && subject.is_some_and(|subject| subject.uid == subject_uid)
            && self.record.spec.alert.starts_at > acted_at
            && alert.is_none_or(|alert| alert.state == AlertPhase::Firing)
    }

    /// What a look at the subject adds up to, with the time it has been good.
    pub(super) fn recovery(&mut self, seen: Seen, now: Timestamp) -> Recovery {
        self.good_since = if seen.is_good() { self.good_since.or(Some(now)) } else { None };
        // A Prometheus that does not answer for a moment has not changed its rule.
        self.quiet_for = seen.quiet_for.or(self.quiet_for);
        Recovery { seen: Seen { quiet_for: self.quiet_for, ..seen }, good_since: self.good_since }
    }
}

/// How long after a request was given up it may still be carried out: an admission webhook may hold it for 30 s.
const MAY_STILL_LAND: Duration = Duration::from_secs(35);

/// How long it may take to find out whether an action was done.
const OBSERVE_TIMEOUT: Duration = Duration::from_mins(5);

impl Held {
    /// What a look for an action's effect tells. `None`: nothing yet; it has to be looked for again.
    ///
    /// `Done` is believed at once. `NotDone` only when the request that got no answer cannot land any more; `Unknown`
    /// only after it was asked for a while.
    pub(super) fn believe(&mut self, seen: Outcome, now: Instant) -> Option<Outcome> {
        let attempt = self.unanswered.clone();
        let joined = |seen: Outcome| match &attempt {
            Some((_, why)) => Outcome { message: Some(join(seen.message.as_deref(), why)), ..seen },
            None => seen,
        };
        match seen.outcome {
            ActionOutcome::NotDone => match &attempt {
                Some((since, _)) if now.duration_since(*since) < MAY_STILL_LAND => None,
                _ => Some(joined(seen)),
            },
            ActionOutcome::Unknown => {
                let since = *self.unknown_since.get_or_insert(now);
                (now.duration_since(since) >= OBSERVE_TIMEOUT).then(|| joined(seen))
            }
            _ => Some(joined(seen)),
        }
    }
}

impl Held {
    /// A write over that version, that began an action, got no answer; it was given up now.
    pub(super) fn doubt(&mut self, over: Option<String>, now: Instant) {
        self.in_doubt = Some(Doubt { over, since: now });
    }

    /// Whether this, read from the API server at that time, is the outcome of a write without an answer, or there is no
    /// such write. As long as the version is the one that it was made for, it may still be carried out: then the record
    /// only says that it has not been yet, and what was taken for it is not free.
    pub(super) fn is_settled_by(&self, read: &Remediation, at: Instant) -> bool {
        self.in_doubt.as_ref().is_none_or(|doubt| {
            doubt.over != read.metadata.resource_version || at.duration_since(doubt.since) >= MAY_STILL_LAND
        })
    }
}

fn join(seen: Option<&str>, attempt: &str) -> String {
    match seen {
        Some(seen) => format!("{seen}; the attempt: {attempt}"),
        None => attempt.to_owned(),
    }
}

/// How long a policy may be out of sight before it counts as gone: a file may be between two versions of its mount, a
/// resource between two of a watch.
pub(super) fn unseen_grace(policy_uid: &str) -> SignedDuration {
    if policy_uid.starts_with(crate::policy::FILE_UID_PREFIX) {
        SignedDuration::from_mins(5)
    } else {
        SignedDuration::from_secs(30)
    }
}

#[cfg(test)]
mod tests;
