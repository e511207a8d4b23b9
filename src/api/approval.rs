//! `RemediationApproval`: what a person says to one plan for one target.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PolicyKind, PolicyRef, PositiveDuration};

/// A person's answer to the plan of a `Remediation` that awaits one. It lies in the remediation's namespace, counts for
/// the very plan that it names, and never for another one.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "paramedic.dev",
    version = "v1alpha1",
    kind = "RemediationApproval",
    shortname = "rema",
    category = "paramedic",
    namespaced,
    derive = "PartialEq",
    doc = "What a person says to one plan of a Remediation in the same namespace: yes or no.",
    printcolumn(name = "Remediation", type_ = "string", json_path = ".spec.remediation"),
    printcolumn(name = "Decision", type_ = "string", json_path = ".spec.decision"),
    printcolumn(name = "Approver", type_ = "string", json_path = ".spec.approver"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Comment", type_ = "string", json_path = ".spec.comment", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("a RemediationApproval cannot be changed; create another one"))]
pub struct RemediationApprovalSpec {
    /// The name of the remediation, in the namespace of this object.
    #[schemars(length(min = 1, max = 253))]
    pub remediation: String,
    /// The remediation's policy. Whoever creates this needs the verb `approve` on it.
    pub policy: ApprovalPolicy,
    /// The plan that was seen: `status.planHash` of the remediation.
    #[schemars(length(min = 64, max = 64))]
    pub plan_hash: String,
    /// The UID of the object that it was about: `status.target.uid` of the remediation.
    #[serde(rename = "targetUID")]
    #[schemars(length(min = 1, max = 253))]
    pub target_uid: String,
    /// Yes or no. Where both were said to one plan, it is no.
    pub decision: Decision,
    /// Who says so: the user that creates this, as the API server knows them; it refuses any other name.
    #[schemars(length(min = 1, max = 1024))]
    pub approver: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub comment: Option<String>,
}

/// The policy that an approval is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.kind == 'RemediationPolicy') == has(self.namespace)")
    .message("a RemediationPolicy has a namespace, a ClusterRemediationPolicy has none"))]
pub struct ApprovalPolicy {
    /// Its kind.
    pub kind: PolicyKind,
    /// Its namespace; a cluster policy has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

impl From<&PolicyRef> for ApprovalPolicy {
    fn from(reference: &PolicyRef) -> Self {
        Self { kind: reference.kind, namespace: reference.namespace.clone(), name: reference.name.clone() }
    }
}

/// What a person says to a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Decision {
    /// It is to be done.
    Approve,
    /// It is not to be done, and the remediation ends.
    Deny,
}

/// How a policy in mode `RequireApproval` asks for people's consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Approval {
    /// How long a plan awaits somebody's answer before the remediation fails, and how long an approval that was given
    /// may be acted on: what was right to do yesterday need not be today. Default `1h`, at most a day.
    #[schemars(extend("x-kubernetes-validations" = super::limits::at_most_a_day_rule()))]
    #[serde(deserialize_with = "super::limits::at_most_a_day")]
    pub within: PositiveDuration,
}

impl Default for Approval {
    fn default() -> Self {
        Self { within: PositiveDuration::from_secs(3600) }
    }
}

impl Approval {
    /// The stricter of two: the shorter time.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        Self { within: self.within.min(other.within) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_is_written_as_its_definition_says() {
        let spec = RemediationApprovalSpec {
            remediation: "restart-cart-0011223344556677".to_owned(),
            policy: ApprovalPolicy {
                kind: PolicyKind::RemediationPolicy,
                namespace: Some("shop".to_owned()),
                name: "restart-cart".to_owned(),
            },
            plan_hash: "a".repeat(64),
            target_uid: "uid".to_owned(),
            decision: Decision::Approve,
            approver: "kim".to_owned(),
            comment: None,
        };
        let written = serde_json::to_value(&spec).unwrap();
        let fields: Vec<&str> = written.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["approver", "decision", "planHash", "policy", "remediation", "targetUID"]);
        assert_eq!(serde_json::from_value::<RemediationApprovalSpec>(written).unwrap(), spec);
    }

    #[test]
    fn the_time_for_an_answer_is_an_hour_and_at_most_a_day() {
        let read = |text: &str| serde_json::from_str::<Approval>(text);
        assert_eq!(read("{}").unwrap().within, PositiveDuration::from_secs(3600));
        assert_eq!(read(r#"{"within":"24h"}"#).unwrap().within, PositiveDuration::from_secs(24 * 3600));
        for bad in [r#"{"within":"25h"}"#, r#"{"within":"0s"}"#, r#"{"whithin":"1h"}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
