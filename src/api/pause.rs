//! `Pause`: while one exists, nothing new is done in its scope.

use jiff::Timestamp;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stops new actions in its scope until it expires or is deleted. What is already being done or verified goes on.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "paramedic.dev",
    version = "v1alpha1",
    kind = "Pause",
    namespaced,
    category = "paramedic",
    derive = "PartialEq",
    doc = "While it exists and has not expired, Paramedic starts nothing new in its scope.",
    printcolumn(name = "Scope", type_ = "string", json_path = ".spec.scope"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expiresAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PauseSpec {
    /// `Namespace`: the namespace it is in. `Cluster`: everything, which works only in Paramedic's own namespace.
    #[serde(default)]
    pub scope: PauseScope,
    /// Why; shown wherever the pause stops something.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// When it ends by itself. Without it, when it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// How far a pause reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PauseScope {
    /// The namespace that the pause is in.
    #[default]
    Namespace,
    /// The whole cluster; only in Paramedic's own namespace.
    Cluster,
}
