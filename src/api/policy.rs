//! `RemediationPolicy` and `ClusterRemediationPolicy`: which alerts are answered with what, and within which limits.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Approval, EffectiveLimits, OnFailure, PolicyLimits, Schedule, Step, TargetKind};
use crate::alert::Matcher;

/// What a policy does when it matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Nothing; no record either.
    Disabled,
    /// Records what would have been done, and whether it was needed. The default.
    #[default]
    DryRun,
    /// Acts when somebody has approved the very plan; see `approval`.
    RequireApproval,
    /// Acts.
    Enforce,
}

/// What a policy acts on. The name and the namespace come from the alert's labels, as the kind's metrics have them:
/// `exported_<kind>` before `<kind>`, `exported_namespace` before `namespace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetSpec {
    /// The kind. An alert that names an object of another kind too (its exporter's pod, say) does not lead there.
    pub kind: TargetKind,
    /// The alert is about the very pod that its metrics were scraped from: an application that exports its own. Without
    /// it such a pod is taken for an exporter that reports on something else, and left alone. Default `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_scrape_target: bool,
}

/// Both kinds of policy have these fields; only the cluster's has `namespaces`. (Not a flattened struct, as serde cannot
/// refuse unknown fields through one.)
macro_rules! policy_spec {
    ($(#[$attributes:meta])* $name:ident { $($(#[$extra_attributes:meta])* $extra:ident: $extra_type:ty,)* }) => {
        #[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        $(#[$attributes])*
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            $($(#[$extra_attributes])* pub $extra: $extra_type,)*
            /// What a match leads to. `DryRun` where it is absent.
            #[serde(default)]
            pub mode: Mode,
            /// The alerts that this policy answers: those that every matcher matches. Alertmanager's syntax.
            #[serde(rename = "match")]
            #[schemars(length(min = 1, max = 32))]
            pub matchers: Vec<Matcher>,
            /// What it acts on.
            pub target: TargetSpec,
            /// The service account in whose name the actions are done: that of this name in the target's namespace;
            /// Paramedic's own where it is absent. It needs the rights of the actions, and Paramedic the right to
            /// impersonate it; `paramedic rbac` prints both.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
            pub service_account_name: Option<String>,
            /// The ladder: the first step, and what to try next where a step did not help.
            #[schemars(length(min = 1, max = 8))]
            pub steps: Vec<Step>,
            /// What bounds it.
            #[serde(default, skip_serializing_if = "PolicyLimits::is_empty")]
            pub limits: PolicyLimits,
            /// When it may act. Default: at any time.
            #[serde(default, skip_serializing_if = "Schedule::is_always")]
            pub schedule: Schedule,
            /// Who is told when a remediation failed. Nobody, but by Events and metrics, where it is absent.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub on_failure: Option<OnFailure>,
            /// For the mode `RequireApproval`.
            #[serde(default, skip_serializing_if = "is_default")]
            pub approval: Approval,
            /// Of the policies that match one alert the one with the highest acts; the others wait until its
            /// remediation has ended, and leave the alert to it where it succeeded. Of the remediations that could act
            /// now the highest goes first, whatever their alerts. Default 0, from -1000 to 1000.
            #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "a_priority")]
            #[schemars(range(min = -1000, max = 1000))]
            pub priority: i32,
        }
    };
}

policy_spec! {
    /// Answers alerts about objects of its own namespace.
    #[kube(
        group = "paramedic.dev",
        version = "v1alpha1",
        kind = "RemediationPolicy",
        plural = "remediationpolicies",
        shortname = "rmp",
        category = "paramedic",
        namespaced,
        status = "PolicyStatus",
        derive = "PartialEq",
        doc = "Says which alerts about objects of its namespace are answered with what, and within which limits.",
        printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
        printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.kind"),
        printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type=='Accepted')].status"),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
    )]
    RemediationPolicySpec {}
}

policy_spec! {
    /// Answers alerts about objects of the namespaces that it lists.
    #[kube(
        group = "paramedic.dev",
        version = "v1alpha1",
        kind = "ClusterRemediationPolicy",
        plural = "clusterremediationpolicies",
        shortname = "crmp",
        category = "paramedic",
        status = "PolicyStatus",
        derive = "PartialEq",
        doc = "Says which alerts about objects of the namespaces it lists are answered with what, and within which limits.",
        printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
        printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.kind"),
        printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type=='Accepted')].status"),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
    )]
    ClusterRemediationPolicySpec {
        /// The namespaces that it may touch, by name; `*` alone means all that are not protected.
        #[schemars(length(min = 1, max = 1024))]
        namespaces: Vec<String>,
    }
}

impl From<ClusterRemediationPolicySpec> for RemediationPolicySpec {
    fn from(cluster: ClusterRemediationPolicySpec) -> Self {
        let ClusterRemediationPolicySpec {
            namespaces: _,
            mode,
            matchers,
            target,
            service_account_name,
            steps,
            limits,
            schedule,
            on_failure,
            approval,
            priority,
        } = cluster;
        Self { mode, matchers, target, service_account_name, steps, limits, schedule, on_failure, approval, priority }
    }
}

/// What is as it is by default is not written, so that a policy's hash stays what it was before there was the field.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A field that is absent stays so, and a policy's hash what it was.
#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
pub(super) const fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// The range that the schema gives, for files as well.
fn a_priority<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    match i32::deserialize(deserializer)? {
        priority @ -1000..=1000 => Ok(priority),
        other => Err(serde::de::Error::custom(format!("{other} is not between -1000 and 1000"))),
    }
}

/// What Paramedic says about a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The generation that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The limits that hold for it: what it asks for, the administrator's defaults filled in and his ceilings kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_limits: Option<EffectiveLimits>,
    /// `Accepted`: whether the policy is in force, and if not, why. `Permitted`: whether it gets what it asks for; where an
    /// administrator's ceiling is lower, that holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
