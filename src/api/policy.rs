//! `RemediationPolicy` and `ClusterRemediationPolicy`: which alerts are answered with what, and within which limits.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Approval, Limits, Step, TargetKind};
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
            /// The ladder: the first step, and what to try next where a step did not help.
            #[schemars(length(min = 1, max = 8))]
            pub steps: Vec<Step>,
            /// What bounds it.
            #[serde(default)]
            pub limits: Limits,
            /// For the mode `RequireApproval`.
            #[serde(default)]
            pub approval: Approval,
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
        let ClusterRemediationPolicySpec { namespaces: _, mode, matchers, target, steps, limits, approval } = cluster;
        Self { mode, matchers, target, steps, limits, approval }
    }
}

/// What Paramedic says about a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The generation that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`: whether the policy is in force, and if not, why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
