//! The types of the metrics' labels: closed lists, so that no alert can make a new series.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{family::MetricConstructor, histogram::Histogram},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AlertLabels {
    pub source: String,
    pub outcome: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SourceLabel {
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PollLabels {
    pub source: String,
    pub outcome: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SpanLabel {
    pub outcome: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CodeLabel {
    pub code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PolicyLabels {
    pub origin: Word,
    pub accepted: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PolicyLabel {
    pub policy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PhaseLabel {
    pub phase: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TransitionLabels {
    pub phase: Word,
    pub reason: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ActionLabels {
    pub action: Word,
    pub outcome: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabel {
    pub kind: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ApiErrorLabels {
    pub verb: Word,
    pub reason: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CheckLabel {
    pub check: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct VerbLabel {
    pub verb: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    pub reason: Word,
}

/// A value from a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Word(pub &'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.0, encoder)
    }
}

/// Makes the histograms of what takes seconds to an hour.
#[derive(Clone, Copy)]
pub(super) struct Minutes;

impl MetricConstructor<Histogram> for Minutes {
    fn new_metric(&self) -> Histogram {
        Histogram::new([1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0])
    }
}

/// Makes the histograms of what takes milliseconds to seconds.
#[derive(Clone, Copy)]
pub(super) struct Milliseconds;

impl MetricConstructor<Histogram> for Milliseconds {
    fn new_metric(&self) -> Histogram {
        milliseconds()
    }
}

pub(super) fn milliseconds() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

/// What came of asking an Alertmanager what fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollOutcome {
    /// It said so.
    Done,
    /// It is older than 0.28, and was not asked.
    TooOld,
    /// It did not answer.
    Failed,
}

impl PollOutcome {
    /// For metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::TooOld => "TooOld",
            Self::Failed => "Failed",
        }
    }
}

/// What became of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanOutcome {
    /// The collector has it.
    Sent,
    /// It was forgotten: too many waited to be sent.
    Dropped,
    /// The collector does not want it.
    Refused,
}

impl SpanOutcome {
    /// For metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "Sent",
            Self::Dropped => "Dropped",
            Self::Refused => "Refused",
        }
    }
}

/// Why a call of the Kubernetes API failed, as far as a metric tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiErrorReason {
    /// 401 or 403
    Forbidden,
    /// 404
    NotFound,
    /// 409
    Conflict,
    /// 422
    Invalid,
    /// 429
    TooManyRequests,
    /// 5xx
    Server,
    /// Any other answer
    OtherAnswer,
    /// No answer
    NoAnswer,
}

impl ApiErrorReason {
    /// Of an error of the client.
    pub fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                401 | 403 => Self::Forbidden,
                404 => Self::NotFound,
                409 => Self::Conflict,
                422 => Self::Invalid,
                429 => Self::TooManyRequests,
                500.. => Self::Server,
                _ => Self::OtherAnswer,
            },
            _ => Self::NoAnswer,
        }
    }

    /// For metrics and short messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::Conflict => "Conflict",
            Self::Invalid => "Invalid",
            Self::TooManyRequests => "TooManyRequests",
            Self::Server => "Server",
            Self::OtherAnswer => "OtherAnswer",
            Self::NoAnswer => "NoAnswer",
        }
    }
}
