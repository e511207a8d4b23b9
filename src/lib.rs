//! Paramedic takes Alertmanager's webhook, matches alerts against remediation policies, and repairs what is broken
//! through the Kubernetes API. ARCHITECTURE.md is the map.

pub mod action;
pub mod alert;
pub mod api;
pub mod audit;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod config;
pub mod leader;
pub mod people;
pub mod policy;
pub mod protections;
pub mod remediation;
pub mod replica;
pub mod server;
pub mod sim;
pub mod target;
pub mod telemetry;
pub mod triage;
pub mod yaml;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit of this build, where whoever built it said so in `PARAMEDIC_COMMIT`.
pub const COMMIT: &str = match option_env!("PARAMEDIC_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
