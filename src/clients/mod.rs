//! Clients of what Paramedic asks beside Kubernetes: thin, one type each, no decisions.

mod alertmanager;

pub use alertmanager::{Alertmanager, AlertmanagerError, Cause, InProcess, PeerAlert, PeerState};
