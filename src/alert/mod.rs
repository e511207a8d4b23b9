//! Alerts as Alertmanager and its relatives send them.
//!
//! Takes in bytes and label sets; gives typed alerts, fingerprints and matchers. It does no I/O and knows no other
//! module of this crate.

mod fingerprint;
mod labels;
mod matcher;
mod webhook;

pub use fingerprint::Fingerprint;
pub use labels::Labels;
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use webhook::{Alert, AlertState, BodyError, Notification};

/// Alerts that Paramedic itself raises carry this label; intake never matches an alert that has it, so that Paramedic
/// cannot answer itself.
pub const RAISED_BY_LABEL: &str = "raised_by";

/// The value of [`RAISED_BY_LABEL`] on Paramedic's own alerts.
pub const RAISED_BY_PARAMEDIC: &str = "paramedic";
