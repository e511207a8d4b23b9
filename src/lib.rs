//! Paramedic takes Alertmanager's webhook, matches alerts against remediation policies, and repairs what is broken
//! through the Kubernetes API. ARCHITECTURE.md is the map.

pub mod action;
pub mod alert;
pub mod api;
pub mod clients;
pub mod policy;
pub mod remediation;
pub mod target;
pub mod triage;
