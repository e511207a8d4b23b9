//! Paramedic takes Alertmanager's webhook, matches alerts against remediation policies, and repairs what is broken
//! through the Kubernetes API. ARCHITECTURE.md is the map.

pub mod alert;
pub mod api;
pub mod policy;
pub mod triage;
