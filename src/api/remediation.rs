//! `Remediation`: the durable record of one episode of one alert under one policy.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Approval, Limits, Mode, ObjectKey, ObjectRef, OnFailure, Schedule, Step, TargetSpec,
    policy::{is_default, is_zero},
};
use crate::alert::{Fingerprint, Labels, Matcher};

/// What was decided when the alert arrived. Nobody can change it afterwards.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "paramedic.dev",
    version = "v1alpha1",
    kind = "Remediation",
    shortname = "rem",
    category = "paramedic",
    namespaced,
    status = "RemediationStatus",
    derive = "PartialEq",
    doc = "The record of what was decided and done about one episode of one alert under one policy.",
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policy.name"),
    printcolumn(name = "Alert", type_ = "string", json_path = ".spec.alert.labels.alertname"),
    printcolumn(name = "Target", type_ = "string", json_path = ".status.target.name"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Confirmed", type_ = "string", json_path = ".status.conditions[?(@.type=='Confirmed')].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("a Remediation's spec cannot be changed"))]
pub struct RemediationSpec {
    /// The alert.
    pub alert: AlertRecord,
    /// Counts the episodes of this alert under this policy, from 1.
    pub episode: u32,
    /// The source that delivered it.
    pub source: String,
    /// The policy, as it was.
    pub policy: PolicyRef,
    /// The policy's mode, as it was.
    pub mode: Mode,
    /// The policy's matchers, as they were.
    #[serde(rename = "match")]
    #[schemars(length(max = 32))]
    pub matchers: Vec<Matcher>,
    /// What the policy acts on.
    pub target: TargetSpec,
    /// The service account in whose name the actions are done, in the target's namespace; Paramedic's own where it is
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub service_account_name: Option<String>,
    /// The namespaces that this remediation may touch: those of the policy that its source may name. `*` is all.
    #[schemars(length(max = 1024))]
    pub namespaces: Vec<String>,
    /// The policy's ladder, as it was.
    #[schemars(length(max = 8))]
    pub steps: Vec<Step>,
    /// The limits, defaults filled in, as they were.
    pub limits: Limits,
    /// The policy's schedule, as it was.
    #[serde(default, skip_serializing_if = "Schedule::is_always")]
    pub schedule: Schedule,
    /// Who is told when it failed, as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// How consent is asked for, as it was.
    #[serde(default, skip_serializing_if = "is_default")]
    pub approval: Approval,
    /// The policy's priority, as it was.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// The remediations of the same alert under policies of a higher priority, the highest first, at most 100. Nothing
    /// is done here before they have ended, and nothing at all where one of them succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub outranked_by: Vec<Sibling>,
    /// Where in a trace it was created, as the header `traceparent` says it (W3C Trace Context); absent where that is not
    /// traced. Whichever replica takes it forward continues that trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 55), regex(pattern = r"^00-[0-9a-f]{32}-[0-9a-f]{16}-01$"))]
    pub traceparent: Option<String>,
}

/// A remediation of the same alert under another policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sibling {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its policy, with the namespace where it has one.
    pub policy: String,
    /// Its priority.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
}

impl Sibling {
    /// Its key.
    pub fn key(&self) -> super::ObjectKey {
        super::ObjectKey { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

impl RemediationSpec {
    /// The number of the trace that it is in, as backends show it.
    pub fn trace_id(&self) -> Option<&str> {
        self.traceparent.as_deref()?.get(3..35)
    }

    /// The service account in whose name something is done to an object of that namespace, unless it is Paramedic's own.
    pub fn account(&self, namespace: &str) -> Option<ObjectKey> {
        let name = self.service_account_name.clone()?;
        Some(ObjectKey { namespace: namespace.to_owned(), name })
    }
}

/// The alert of a remediation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertRecord {
    /// The hash of its labels.
    pub fingerprint: Fingerprint,
    /// Its labels.
    pub labels: Labels,
    /// When it began to fire.
    pub starts_at: Timestamp,
    /// When it reached Paramedic.
    pub received_at: Timestamp,
    /// Where its rule can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator_url: Option<String>,
}

/// The two kinds of policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum PolicyKind {
    /// Touches only its own namespace.
    RemediationPolicy,
    /// Touches the namespaces that it lists.
    ClusterRemediationPolicy,
}

impl PolicyKind {
    /// The kind as Kubernetes writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RemediationPolicy => "RemediationPolicy",
            Self::ClusterRemediationPolicy => "ClusterRemediationPolicy",
        }
    }
}

/// The policy of a remediation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRef {
    /// Its kind.
    pub kind: PolicyKind,
    /// Its namespace; a cluster policy has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its UID; that of a policy from a file is a hash of kind, namespace and name.
    pub uid: String,
    /// Its generation; 0 for a policy from a file.
    pub generation: i64,
    /// A hash of its spec.
    pub hash: String,
}

impl fmt::Display for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{}", namespace, self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Where a remediation stands, and how it came there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemediationStatus {
    /// The state.
    #[serde(default)]
    pub phase: Phase,
    /// Why it is in that state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same for people, with the figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When a wait ends by itself, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// When it entered the phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When `message` and `until` of a wait were last renewed, where that was after `since`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_at: Option<Timestamp>,
    /// Seconds that count towards the total time-out, up to `since`.
    #[serde(default)]
    pub active_seconds: i64,
    /// What the alert's sender last said; written by intake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertStatus>,
    /// The object that is acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ObjectRef>,
    /// The target's root controller, or the target itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<ObjectRef>,
    /// The step of the ladder it is at, from 0.
    #[serde(default)]
    pub step: u32,
    /// What will be or was done, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The hash of the plan that somebody is asked to approve, or approved: of the action, its parameters, and the object
    /// that it is done to, with its UID. SHA-256, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_hash: Option<String>,
    /// What was done: an entry is written before its action, and completed after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub journal: Vec<JournalEntry>,
    /// The checks that stand behind the last decision to act, to wait or to leave it: what each looked at, and what it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<ChecksMade>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// In `DryRun`: when the alert cleared by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared_after: Option<String>,
    /// `Confirmed`: whether a success was confirmed by the alert's source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// How long [`CheckMade::figures`] may be, in characters.
pub const FIGURES_LENGTH: usize = 512;

/// The checks of one decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChecksMade {
    /// When they were made.
    pub at: Timestamp,
    /// In their order; the first that did not pass decided.
    #[schemars(length(max = 64))]
    pub made: Vec<CheckMade>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckMade {
    /// Its name.
    pub name: String,
    /// Whether it let the action pass.
    pub passed: bool,
    /// What it looked at, in words and figures.
    #[schemars(length(max = 512))]
    pub figures: String,
}

/// What is known of the alert from its notifications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertStatus {
    /// Firing or resolved.
    pub state: AlertPhase,
    /// When it was last said to fire; only grows.
    pub last_seen: Timestamp,
    /// When it ended; only grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

/// Firing or resolved, in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AlertPhase {
    /// It fires.
    Firing,
    /// It is over.
    Resolved,
}

/// One action: what was about to be done, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JournalEntry {
    /// The step, from 0.
    pub step: u32,
    /// The action's name.
    pub action: String,
    /// What it is done to.
    pub target: ObjectRef,
    /// When the entry was written, before the action.
    pub started_at: Timestamp,
    /// When the outcome was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What came of it; `Running` until that is known.
    pub outcome: ActionOutcome,
    /// What the API said, where that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who approved it, where the policy asks for that: the approver, and the object that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<ApprovedBy>,
}

/// Whose consent an action was done on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedBy {
    /// The user.
    pub approver: String,
    /// The name of the `RemediationApproval`.
    pub approval: String,
}

/// What came of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ActionOutcome {
    /// Written before the action; whoever finds it later must look whether it was done.
    Running,
    /// Done.
    Done,
    /// Certainly not done, and nothing refused it.
    NotDone,
    /// A `PodDisruptionBudget` stood against it.
    Disrupted,
    /// The target had changed.
    Conflict,
    /// The API refused it for good.
    Refused,
    /// Nobody can tell.
    Unknown,
    /// It would have been done, were the mode not `DryRun`.
    DryRun,
}

impl ActionOutcome {
    /// Whether the action counts against limits: all that may have had an effect does.
    pub const fn counts(self) -> bool {
        matches!(self, Self::Running | Self::Done | Self::Unknown)
    }

    /// For metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Done => "Done",
            Self::NotDone => "NotDone",
            Self::Disrupted => "Disrupted",
            Self::Conflict => "Conflict",
            Self::Refused => "Refused",
            Self::Unknown => "Unknown",
            Self::DryRun => "DryRun",
        }
    }
}

/// A remediation's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// To be looked at by the leader.
    #[default]
    Pending,
    /// Something stands against acting now; it is looked at again.
    Waiting,
    /// Every check has passed, and somebody is asked to approve the plan.
    AwaitingApproval,
    /// The journal has an entry, and its action is under way.
    Acting,
    /// The action was done; whether it helped is being watched.
    Verifying,
    /// In `DryRun`: it would have acted; the alert is watched to tell whether that was needed.
    Observing,
    /// It helped. Terminal.
    Succeeded,
    /// It did not, or nobody can tell. Terminal; people are needed.
    Failed,
    /// Nothing was done, for a reason that will not go away. Terminal.
    Skipped,
    /// Another remediation is about the same target. Terminal.
    Superseded,
    /// A person, or the policy's end, stopped it. Terminal.
    Cancelled,
    /// The end of `Observing`. Terminal.
    DryRun,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 12] = [
        Self::Pending,
        Self::Waiting,
        Self::AwaitingApproval,
        Self::Acting,
        Self::Verifying,
        Self::Observing,
        Self::Succeeded,
        Self::Failed,
        Self::Skipped,
        Self::Superseded,
        Self::Cancelled,
        Self::DryRun,
    ];

    /// Whether nothing follows.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Skipped | Self::Superseded | Self::Cancelled | Self::DryRun
        )
    }

    /// Whether the subject is taken: an action is under way, or its effect is being watched.
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Acting | Self::Verifying)
    }

    /// Whether time in it counts towards the total time-out. Waits, and an action's own time, do not.
    pub const fn counts_towards_timeout(self) -> bool {
        matches!(self, Self::Pending | Self::Verifying | Self::Observing)
    }

    /// As in the API, for metrics and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Waiting => "Waiting",
            Self::AwaitingApproval => "AwaitingApproval",
            Self::Acting => "Acting",
            Self::Verifying => "Verifying",
            Self::Observing => "Observing",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
            Self::Superseded => "Superseded",
            Self::Cancelled => "Cancelled",
            Self::DryRun => "DryRun",
        }
    }
}

/// Why a remediation is where it is: a closed list, so that it can be a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Reason {
    /// The alert's labels lead to no object, or the object is not there.
    TargetUnresolved,
    /// The labels lead to an object, but not to one subject: its selector selects every pod, its owner is another one.
    TargetAmbiguous,
    /// The alert's `pod` is that of the exporter it was scraped from.
    TargetIsExporter,
    /// The policy or the source may not touch that namespace.
    NotPermitted,
    /// The namespace is protected.
    Protected,
    /// The target, its subject or its namespace has the annotation `paramedic.dev/disabled`.
    OptedOut,
    /// Nothing would start the pod again.
    NoController,
    /// A `Pause` is in force.
    Paused,
    /// It is a time at which nothing may be begun: outside of the windows of a schedule.
    OutsideSchedule,
    /// It is a time at which nothing may be begun: a freeze of a schedule.
    Frozen,
    /// The policy does not act any more, or cannot be seen.
    PolicyUnavailable,
    /// The alert is over.
    AlertCleared,
    /// Whether the alert still fires cannot be told.
    EvidenceUnknown,
    /// Alertmanager holds the alert back: silenced, inhibited or muted.
    AlertSuppressed,
    /// A remediation of the same alert under a policy of a higher priority comes first.
    Outranked,
    /// Another remediation is running on the subject.
    SubjectLocked,
    /// The subject was acted on a short while ago.
    Cooldown,
    /// The policy's rate is used up, or that of the namespace or of everything.
    RateLimited,
    /// What the policy does to the subject does not help, or not for long; it is left to people.
    GivenUp,
    /// Too much of what the policy does fails.
    BreakerOpen,
    /// So many workloads are in trouble at once that no single repair can be the answer.
    Storm,
    /// As many of the policy's remediations as may be are running.
    Concurrency,
    /// Too few pods would be left.
    Availability,
    /// It is the only replica, and the policy does not consent.
    SingleReplica,
    /// A `PodDisruptionBudget` stands against it.
    Disruption,
    /// The API did not answer a question that has to be answered before acting.
    ApiUnavailable,
    /// Paramedic's service account may not ask what has to be answered before acting.
    Forbidden,
    /// The audit log cannot be written.
    AuditUnavailable,
    /// The target changed between the look and the act.
    TargetChanged,
    /// Another remediation is about the same target.
    SameTarget,
    /// Every check has passed, and somebody has to approve the plan.
    ApprovalRequired,
    /// Nobody approved the plan in time.
    ApprovalExpired,
    /// Somebody denied the plan.
    ApprovalDenied,
    /// Somebody approved the plan; every check is made again.
    Approved,
    /// Somebody cancelled it.
    CancelRequested,
    /// The policy was deleted or disabled, or no longer says this.
    PolicyChanged,
    /// It took longer than a remediation may.
    TimedOut,
    /// No step helped.
    NotHelped,
    /// The API refused the action.
    ActionFailed,
    /// Whether the action was done cannot be told.
    OutcomeUnknown,
    /// It could not be told whether the action helped.
    Unverified,
    /// The subject is healthy and the alert is over.
    Verified,
    /// The action is under way.
    InProgress,
}

impl Reason {
    /// Whether it stays until people change something: a policy, an annotation, a workload, what the source may touch.
    pub const fn lasts(self) -> bool {
        matches!(
            self,
            Self::NotPermitted | Self::Protected | Self::OptedOut | Self::NoController | Self::TargetIsExporter
        )
    }

    /// As in the API, for metrics, Events and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TargetUnresolved => "TargetUnresolved",
            Self::TargetAmbiguous => "TargetAmbiguous",
            Self::TargetIsExporter => "TargetIsExporter",
            Self::NotPermitted => "NotPermitted",
            Self::Protected => "Protected",
            Self::OptedOut => "OptedOut",
            Self::NoController => "NoController",
            Self::Paused => "Paused",
            Self::OutsideSchedule => "OutsideSchedule",
            Self::Frozen => "Frozen",
            Self::PolicyUnavailable => "PolicyUnavailable",
            Self::AlertCleared => "AlertCleared",
            Self::EvidenceUnknown => "EvidenceUnknown",
            Self::AlertSuppressed => "AlertSuppressed",
            Self::Outranked => "Outranked",
            Self::SubjectLocked => "SubjectLocked",
            Self::Cooldown => "Cooldown",
            Self::RateLimited => "RateLimited",
            Self::GivenUp => "GivenUp",
            Self::BreakerOpen => "BreakerOpen",
            Self::Storm => "Storm",
            Self::Concurrency => "Concurrency",
            Self::Availability => "Availability",
            Self::SingleReplica => "SingleReplica",
            Self::Disruption => "Disruption",
            Self::ApiUnavailable => "ApiUnavailable",
            Self::Forbidden => "Forbidden",
            Self::AuditUnavailable => "AuditUnavailable",
            Self::TargetChanged => "TargetChanged",
            Self::SameTarget => "SameTarget",
            Self::ApprovalRequired => "ApprovalRequired",
            Self::ApprovalExpired => "ApprovalExpired",
            Self::ApprovalDenied => "ApprovalDenied",
            Self::Approved => "Approved",
            Self::CancelRequested => "CancelRequested",
            Self::PolicyChanged => "PolicyChanged",
            Self::TimedOut => "TimedOut",
            Self::NotHelped => "NotHelped",
            Self::ActionFailed => "ActionFailed",
            Self::OutcomeUnknown => "OutcomeUnknown",
            Self::Unverified => "Unverified",
            Self::Verified => "Verified",
            Self::InProgress => "InProgress",
        }
    }
}
