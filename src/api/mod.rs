//! The custom resources as types: `paramedic.dev/v1alpha1`.
//!
//! Takes YAML and JSON; gives typed, validated values and the schemas of the CRDs. What a single value can tell about
//! itself is checked while it is read, so that every reader (a file, the API, `check`) refuses the same things, and can
//! say where. No I/O. Of the rest of the crate it knows only `alert`, whose matchers a policy is written in.

mod approval;
mod bounds;
mod crd;
mod duration;
mod limits;
mod object;
mod on_failure;
mod pause;
mod policy;
mod quantity;
mod query;
mod remediation;
mod schedule;
mod step;

pub use approval::{Approval, ApprovalPolicy, Decision, RemediationApproval, RemediationApprovalSpec};
pub use bounds::{Above, Bounds, EffectiveLimits, Storm};
pub use crd::crds;
pub use limits::{Breaker, GiveUp, Limits, PolicyLimits, Rate};
pub use object::{ObjectKey, ObjectRef, TargetKind};
pub use on_failure::{FailureAlert, OWN_LABELS, OnFailure};
pub use pause::{Pause, PauseScope, PauseSpec};
pub use policy::{
    ClusterRemediationPolicy, ClusterRemediationPolicySpec, Mode, PolicyStatus, RemediationPolicy,
    RemediationPolicySpec, TargetSpec,
};
pub use quantity::{CountOrPercent, PositiveDuration};
pub use query::{NoSuchLabel, Query, QueryError};
pub use remediation::{
    ActionOutcome, AlertPhase, AlertRecord, AlertStatus, ApprovedBy, CheckMade, ChecksMade, FIGURES_LENGTH,
    JournalEntry, Phase, PolicyKind, PolicyRef, Reason, Remediation, RemediationSpec, RemediationStatus, Sibling,
};
pub use schedule::{Closed, Days, Freeze, Moment, Schedule, Window, Zone};
pub use step::{Action, RestartMethod, RestartPod, RolloutRestart, Step, Verify};

/// How long a remediation may take in all, not counting waits and an action's own time.
pub const TOTAL_TIMEOUT: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// When somebody said that an object's failures do not count any more: what its annotation says, where that is a time. A
/// time that is still to come says nothing yet.
pub fn resumed_at(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Option<jiff::Timestamp> {
    metadata.annotations.as_ref()?.get(RESUMED_ANNOTATION)?.trim().parse().ok()
}

/// The API group of every kind here.
pub const GROUP: &str = "paramedic.dev";
/// The API version of every kind here.
pub const VERSION: &str = "v1alpha1";
/// On a target, its subject or its namespace, with the value `true`: Paramedic leaves it alone.
pub const DISABLED_ANNOTATION: &str = "paramedic.dev/disabled";
/// On a policy, or on a subject, with the time as value: what failed before that does not count any more. See
/// [`resumed_at`].
pub const RESUMED_ANNOTATION: &str = "paramedic.dev/resumed-at";
/// On a remediation: whoever sets it wants it to end. The value is the reason.
pub const CANCEL_ANNOTATION: &str = "paramedic.dev/cancel";
/// On a remediation: the name of its policy, for selectors.
pub const POLICY_LABEL: &str = "paramedic.dev/policy";
/// On a remediation: the fingerprint of its alert, for selectors.
pub const FINGERPRINT_LABEL: &str = "paramedic.dev/fingerprint";
