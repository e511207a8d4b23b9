//! What taking in a notification means: the seam between the server and the engine.
//!
//! The server authenticates, reads and parses; an [`Intake`] makes durable; [`status`] and [`Answer`] say what the
//! sender is told.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Serialize;
use tokio::time::Instant;

use super::sources::Source;
use crate::{
    alert::{Fingerprint, Notification},
    telemetry::{TraceContext, Traces},
};

/// As many alerts are listed in an answer; the counts are of all.
pub const MAX_LISTED: usize = 100;

/// Makes alerts durable.
pub trait Intake: Send + Sync + 'static {
    /// Whether it can, now. Asked before a body is read.
    fn ready(&self) -> Result<(), NotReady>;

    /// Where its spans are told of, and those of the requests before it.
    fn traces(&self) -> Traces {
        Traces::default()
    }

    /// Decides about every alert and makes what follows durable, until the deadline; what is not durable by then is
    /// [`Outcome::NotDurable`]. May be dropped at any await: the sender will come again. `within` is the span of the
    /// request, where that is recorded.
    fn accept(
        &self,
        source: &Source,
        notification: Notification,
        within: Option<TraceContext>,
        deadline: Instant,
    ) -> impl Future<Output = Report> + Send;
}

/// Why nothing can be taken in now. The sender is told to come again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// What is on record is not known yet.
    #[error("the caches are not synced yet")]
    CachesNotSynced,
    /// What is taken in could not be told afterwards.
    #[error("the audit log cannot be written")]
    AuditUnavailable,
    /// The process is on its way out.
    #[error("shutting down")]
    ShuttingDown,
}

/// What became of every alert of a notification, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One a alert.
    pub outcomes: Vec<AlertOutcome>,
}

/// What became of one alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertOutcome {
    /// Its place in the body, from 0.
    pub index: usize,
    /// Its fingerprint, if it is an alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// What became of it.
    pub outcome: Outcome,
    /// More about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The records it led to, as `namespace/name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remediations: Vec<String>,
}

/// What became of an alert. Where its matches came to different things, the one that asks most of the sender or of
/// people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Outcome {
    /// No policy answers it.
    NoMatch,
    /// Paramedic raised it itself.
    OwnAlert,
    /// It is on record already.
    Known,
    /// It is over, and that is on record.
    Resolved,
    /// It is on record from now on.
    Created,
    /// It is no alert.
    Invalid,
    /// Its policy has as many open records as it may.
    OverCap,
    /// The API refused the record for good, or the source may not.
    Refused,
    /// It is not on record, and may be later: the sender is to come again.
    NotDurable,
}

impl Outcome {
    /// For metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoMatch => "NoMatch",
            Self::OwnAlert => "OwnAlert",
            Self::Known => "Known",
            Self::Resolved => "Resolved",
            Self::Created => "Created",
            Self::Invalid => "Invalid",
            Self::OverCap => "OverCap",
            Self::Refused => "Refused",
            Self::NotDurable => "NotDurable",
        }
    }
}

impl Report {
    /// How many alerts came to what.
    pub fn counts(&self) -> BTreeMap<Outcome, u64> {
        let mut counts = BTreeMap::new();
        for alert in &self.outcomes {
            *counts.entry(alert.outcome).or_default() += 1;
        }
        counts
    }

    /// What was not taken of it, and why, for the log; `None` where every alert was understood and what follows from it is
    /// on record.
    pub fn left_out(&self) -> Option<String> {
        let (all, counts) = (self.outcomes.len(), self.counts());
        let of = |outcome: Outcome| {
            let count = counts.get(&outcome)?;
            let detail =
                self.outcomes.iter().filter(|alert| alert.outcome == outcome).find_map(|alert| alert.detail.as_ref());
            let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
            Some(format!("{count} of {all} alerts {}{detail}", outcome.as_str()))
        };
        let parts: Vec<String> =
            [Outcome::NotDurable, Outcome::OverCap, Outcome::Invalid].into_iter().filter_map(of).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// The answer's status: 503 while anything is not durable, so that the whole comes again; otherwise 200, whatever
/// became of single alerts, as one that is refused for good must not hold up its group. What is over a policy's cap is
/// nowhere on record either, so it has to come again too.
pub fn status(report: &Report) -> StatusCode {
    if report.outcomes.iter().any(|alert| matches!(alert.outcome, Outcome::NotDurable | Outcome::OverCap)) {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    }
}

/// The answer's body.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// How many alerts came to what.
    outcomes: BTreeMap<Outcome, u64>,
    /// What became of each; where there are too many, of those first that something is to be said of.
    alerts: Vec<AlertOutcome>,
    /// How many are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    not_listed: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl From<Report> for Answer {
    fn from(report: Report) -> Self {
        let outcomes = report.counts();
        let mut alerts = report.outcomes;
        let all = alerts.len();
        if all > MAX_LISTED {
            // Stable, so that within both halves the order of the body stays.
            alerts.sort_by_key(|alert| matches!(alert.outcome, Outcome::NoMatch | Outcome::Known | Outcome::OwnAlert));
            alerts.truncate(MAX_LISTED);
        }
        Self { outcomes, not_listed: all - alerts.len(), alerts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: impl IntoIterator<Item = Outcome>) -> Report {
        let outcomes = outcomes.into_iter().enumerate().map(|(index, outcome)| AlertOutcome {
            index,
            fingerprint: None,
            outcome,
            detail: None,
            remediations: Vec::new(),
        });
        Report { outcomes: outcomes.collect() }
    }

    #[test]
    fn only_what_may_yet_become_durable_is_a_503() {
        assert_eq!(status(&Report::default()), StatusCode::OK);
        assert_eq!(status(&report([Outcome::Refused, Outcome::Invalid, Outcome::Known])), StatusCode::OK);
        assert_eq!(status(&report([Outcome::Known, Outcome::OverCap])), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(&report([Outcome::Created, Outcome::NotDurable])), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn what_was_left_out_is_said_with_the_first_reason() {
        assert_eq!(report([Outcome::Created, Outcome::Known, Outcome::NoMatch, Outcome::Refused]).left_out(), None);
        let mut two = report([Outcome::Invalid, Outcome::NotDurable, Outcome::NotDurable]);
        two.outcomes[0].detail = Some("alert 0: missing field `labels`".to_owned());
        let said = "2 of 3 alerts NotDurable; 1 of 3 alerts Invalid (alert 0: missing field `labels`)";
        assert_eq!(two.left_out().as_deref(), Some(said));
    }

    #[test]
    fn an_answer_is_bounded_and_lists_what_matters_first() {
        let mut outcomes = vec![Outcome::NoMatch; 5000];
        outcomes[4999] = Outcome::Refused;
        let answer = Answer::from(report(outcomes));
        assert_eq!(answer.alerts.len(), MAX_LISTED);
        assert_eq!(answer.alerts[0].index, 4999);
        assert_eq!(answer.not_listed, 4900);
        let json = serde_json::to_value(Answer::from(report([Outcome::Created]))).unwrap();
        assert_eq!(json.to_string(), r#"{"alerts":[{"index":0,"outcome":"Created"}],"outcomes":{"Created":1}}"#);
    }
}
