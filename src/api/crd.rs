//! The CRDs, generated from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use super::{ClusterRemediationPolicy, Pause, Remediation, RemediationApproval, RemediationPolicy};

/// Every CRD, in the order in which they are printed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        ClusterRemediationPolicy::crd(),
        Pause::crd(),
        RemediationApproval::crd(),
        RemediationPolicy::crd(),
        Remediation::crd(),
    ]
}
